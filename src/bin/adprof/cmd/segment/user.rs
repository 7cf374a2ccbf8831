//! `adprof segment match` and `explain`: segments as they are of one user.

use super::count::no_rule;
use super::line::{Line, array};
use super::{Shown, usual};
use crate::ask::{AskArgs, Named, Of, RuleArgs, doubts, usage};
use crate::cmd::query::readable;
use crate::{given, report};
use adprof::key::Key;
use adprof::ndjson::{push_str, shown};
use adprof::profiles::{Foreseen, Profile};
use adprof::segment::Rule;
use adprof::segment::explain::{Condition, Membership, Part, Step, tree};
use adprof::segment::matching::Matcher;
use adprof::tag::{Definitions, Segment, Status};
use adprof::time;
use anyhow::Result;
use std::fmt::Write as _;

/// Users answered together, from one state of the store.
const BATCH: usize = 1000;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment match u-001
  adprof segment match u-001 u-002 --as-of 2026-11-20T10:00:00Z")]
pub struct MatchArgs {
    /// Ids of users
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    #[command(flatten)]
    ask: AskArgs,
    /// How to show them [default: lines on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Shown>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment explain u-001 sports_fans
  adprof segment explain u-001 --where \"ltv_total >= 100 AND last_active_ts > ago('7d')\"")]
pub struct ExplainArgs {
    /// The id of the user
    #[arg(value_name = "USER")]
    user: String,
    /// A segment of the definition file
    #[arg(value_name = "CODE", conflicts_with_all = ["sql", "rule"])]
    code: Option<String>,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    ask: AskArgs,
    /// How to show it [default: text on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Shown>,
}

pub fn matching(args: MatchArgs) -> Result<()> {
    let keys = args.users.iter().map(|id| key(&Of::users(), id)).collect::<Result<Vec<Key>>>()?;
    let mut profiles = args.ask.open()?;
    let (definitions, as_of) = (profiles.definitions().clone(), profiles.as_of());
    let active = || definitions.segments.iter().filter(|segment| segment.status == Status::Active);
    let kept = profiles.kept_audiences().map_err(given::of_store)?;
    let is_kept = |segment: &&Segment| {
        kept.iter().any(|(code, version)| (&**code, version) == (&*segment.code, &segment.version))
    };
    // A stream has worked these out; the others are worked out here.
    let kept: Vec<(&str, &str)> = active().filter(is_kept).map(|segment| (&*segment.code, &*segment.version)).collect();
    let others = active().filter(|segment| !is_kept(segment));
    let rules: Vec<(&str, Rule)> = others.map(|segment| (&*segment.code, Rule::of(segment))).collect();
    if rules.is_empty() && kept.is_empty() {
        report::say(format_args!("{}: no active segment", definitions.source));
    }
    let format = usual(args.format);
    rules.iter().try_for_each(|(_, rule)| doubts(&profiles, rule))?;
    let mut matcher = Matcher::new(rules.iter().map(|(_, rule)| rule.clone()).collect(), &definitions);
    for batch in keys.chunks(BATCH) {
        let mut out = String::new();
        let members = match kept.is_empty() {
            true => vec![Vec::new(); batch.len()],
            false => profiles.memberships(batch).map_err(given::of_store)?,
        };
        let found = match rules.is_empty() {
            true => Vec::new(),
            false => profiles.get_many(batch).map_err(given::of_store)?,
        };
        for (i, key) in batch.iter().enumerate() {
            let mut of: Vec<(&str, &str)> =
                kept.iter().copied().filter(|(code, _)| members[i].iter().any(|member| member == code)).collect();
            if let Some(profile) = found.get(i) {
                let mine = matcher.matches(&definitions, profile, as_of).iter().map(|place| &rules[*place as usize]);
                of.extend(mine.map(|(code, rule)| (*code, rule.version())));
            }
            let place = |code: &str| definitions.segments.iter().position(|segment| &*segment.code == code);
            if !kept.is_empty() && !found.is_empty() {
                of.sort_by_key(|(code, _)| place(code));
            }
            out += &match format {
                Shown::Ndjson => {
                    let segment = |(code, version): (&str, &str)| {
                        Line::new().text("segment", code).text("version", version).end()
                    };
                    let segments = array(of.into_iter().map(segment));
                    Line::new().text("userId", key.id()).json("asOf", as_of).json("segments", segments).line()
                }
                Shown::Table => {
                    let codes: Vec<&str> = of.into_iter().map(|(code, _)| code).collect();
                    format!("{}  {}\n", report::strong(&shown(key.id())), codes.join(", "))
                }
            };
        }
        report::data(out.as_bytes())?;
    }
    Ok(())
}

fn key(of: &Of, id: &str) -> Result<Key> {
    of.key(id).map_err(|why| usage(format!("not an id: {why}")).into())
}

/// A rule as it is of one user.
struct Told<'a> {
    definitions: &'a Definitions,
    profile: &'a Profile,
    tree: &'a Step,
    foreseen: Foreseen<bool>,
}

pub fn explain(args: ExplainArgs) -> Result<()> {
    let mut profiles = args.ask.open()?;
    let (definitions, as_of) = (profiles.definitions().clone(), profiles.as_of());
    let of = args.ask.of(&definitions)?;
    let key = key(&of, &args.user)?;
    let named = args.rule.read(args.code.as_deref(), &definitions, &of)?;
    let Named { rule, code } = named.ok_or_else(no_rule)?;
    doubts(&profiles, &rule)?;
    let (profile, foreseen) = match rule.expr().is_solvable() {
        true => profiles.foresee(&key, &rule.tags(), &mut Membership(rule.expr())).map_err(given::of_store)?,
        false => {
            let found = profiles.get_many(std::slice::from_ref(&key)).map_err(given::of_store)?;
            (found.into_iter().next().expect("one for each key"), Foreseen::Unsolved)
        }
    };
    let tree = tree(rule.expr(), &profile.values, as_of);
    let told = Told { definitions: &definitions, profile: &profile, tree: &tree, foreseen };
    let text = match usual(args.format) {
        Shown::Ndjson => Line::new()
            .text("userId", profile.key.id())
            .optional("segment", code.as_deref())
            .text("version", rule.version())
            .json("asOf", as_of)
            .json("member", tree.is_member())
            .json("rule", told.step(&tree))
            .json("takes", told.takes())
            .json("byTime", told.by_time())
            .line(),
        Shown::Table => {
            let whose = code.as_deref().unwrap_or("the rule");
            let head = format!("{} {} {whose}", shown(profile.key.id()), is_in(tree.is_member()));
            format!(
                "{}  version {}, as of {}\n{}",
                report::strong(&head),
                rule.version(),
                time::show(as_of),
                told.text()
            )
        }
    };
    report::data(text.as_bytes())
}

fn is_in(member: bool) -> &'static str {
    if member { "is in" } else { "is not in" }
}

fn word(truth: Option<bool>) -> &'static str {
    match truth {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    }
}

impl Told<'_> {
    fn step(&self, step: &Step) -> String {
        let line = Line::new();
        let parts = || array(step.steps.iter().map(|step| self.step(step)));
        match &step.part {
            Part::And => line.text("logic", "AND").json("truth", word(step.truth)).json("conditions", parts()),
            Part::Or => line.text("logic", "OR").json("truth", word(step.truth)).json("conditions", parts()),
            Part::Not => line.text("logic", "NOT").json("truth", word(step.truth)).json("conditions", parts()),
            Part::Segment(code) => {
                line.text("segment", code).json("truth", word(step.truth)).json("conditions", parts())
            }
            Part::Condition(condition) => line
                .text("condition", &condition.text)
                .json("truth", word(step.truth))
                .json("values", self.values(condition)),
        }
        .end()
    }

    /// `{"ltv_total":57.2}`
    fn values(&self, condition: &Condition) -> String {
        let mut out = b"{".to_vec();
        for (i, tag) in condition.tags.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b"," } else { b"" });
            push_str(&mut out, &self.definitions.tags[*tag].code);
            out.push(b':');
            match &self.profile.values[*tag] {
                Some(value) => value.push_json(&mut out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
        String::from_utf8(out).expect("made of texts")
    }

    fn takes(&self) -> String {
        array(self.tree.takes().into_iter().map(|change| {
            let values = self.values(&change.condition);
            Line::new()
                .text("condition", &change.condition.text)
                .text("to", change.to.name())
                .json("values", values)
                .end()
        }))
    }

    fn by_time(&self) -> String {
        match self.foreseen {
            Foreseen::At(at, member) => Line::new().json("at", at).json("member", member).end(),
            Foreseen::Never => "null".to_string(),
            Foreseen::Unsolved => Line::new().json("solved", false).end(),
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        self.push(self.tree, 1, &mut out);
        let takes = self.tree.takes();
        if !takes.is_empty() {
            out += if self.tree.is_member() { "to leave it takes\n" } else { "to enter it takes\n" };
        }
        for change in takes {
            let _ =
                writeln!(out, "  {} to be {}{}", change.condition.text, change.to.name(), self.of(&change.condition));
        }
        let _ = match self.foreseen {
            Foreseen::At(at, member) => {
                writeln!(out, "by time alone: {} from {} on", if member { "in" } else { "out" }, time::show(at))
            }
            Foreseen::Never => writeln!(out, "by time alone: no change"),
            Foreseen::Unsolved => writeln!(out, "by time alone: not known"),
        };
        out
    }

    fn push(&self, step: &Step, depth: usize, out: &mut String) {
        let what = match &step.part {
            Part::And => "AND".to_string(),
            Part::Or => "OR".to_string(),
            Part::Not => "NOT".to_string(),
            Part::Segment(code) => format!("segment {code}"),
            Part::Condition(condition) => shown(&condition.text).into_owned() + &self.of(condition),
        };
        let _ = writeln!(out, "{:width$}{:5}  {what}", "", word(step.truth), width = 2 * depth);
        step.steps.iter().for_each(|step| self.push(step, depth + 1, out));
    }

    /// `   ltv_total is 57.2`
    fn of(&self, condition: &Condition) -> String {
        let value = |tag: &usize| {
            let definition = &self.definitions.tags[*tag];
            let name = if definition.is_hidden() { "it" } else { &*definition.code };
            let value = self.profile.values[*tag].as_ref().map_or("missing".to_string(), readable);
            format!("{name} is {value}")
        };
        let values: Vec<String> = condition.tags.iter().map(value).collect();
        if values.is_empty() { String::new() } else { format!("   ({})", values.join(", ")) }
    }
}
