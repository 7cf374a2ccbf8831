//! `adprof segment diff` and `plan`: two audiences compared, user by user.

use super::count::no_rule;
use super::line::{Line, array};
use super::list::columns;
use super::{Shown, usual};
use crate::ask::{self, AskArgs, HowArgs, Named, Of, RuleArgs, usage};
use crate::given::{self, DefinitionArgs, grouped};
use crate::report;
use adprof::key::Key;
use adprof::patch::push_key;
use adprof::profiles::{AsOf, Profiles};
use adprof::segment::Rule;
use adprof::tag::{Definitions, Status};
use adprof::time::{self, Millis};
use anyhow::Result;
use jiff::tz::TimeZone;
use std::collections::HashSet;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment diff fans big_fans                       two segments
  adprof segment diff fans --where \"clicks_7d >= 5\"        a segment and a rule
  adprof segment diff --before \"ltv_total > 5\" --where \"ltv_total > 9\"
  adprof segment diff fans --against deployed.toml        its rule there and its rule here
  adprof segment diff fans --then 2026-12-01              now, and then if nothing happens
  adprof segment diff fans big_fans --members             who enters and who leaves")]
pub struct DiffArgs {
    /// The segment before
    #[arg(value_name = "CODE", required_unless_present = "before", conflicts_with = "before")]
    code: Option<String>,
    /// The segment after
    #[arg(value_name = "OTHER", conflicts_with_all = ["sql", "rule", "against", "then"])]
    other: Option<String>,
    #[command(flatten)]
    rule: RuleArgs,
    /// The rule before, where it is no segment: SQL, or JSON that begins with {
    #[arg(long, value_name = "RULE")]
    before: Option<String>,
    /// A definition file: before is the segment as it stands there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sql", "rule"])]
    against: Option<PathBuf>,
    /// Another instant: after is the same rule as of then
    #[arg(long, value_name = "T", conflicts_with_all = ["sql", "rule", "against"])]
    then: Option<String>,
    /// Who enters and who leaves, as NDJSON, one a line
    #[arg(long)]
    members: bool,
    #[command(flatten)]
    ask: AskArgs,
    /// How to show it [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum, conflicts_with = "members")]
    format: Option<Shown>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment plan fans
  adprof segment plan fans --against deployed.toml
  adprof segment plan --where \"ltv_total >= 100\"")]
pub struct PlanArgs {
    /// A segment of the definition file
    #[arg(value_name = "CODE", conflicts_with_all = ["sql", "rule"])]
    code: Option<String>,
    #[command(flatten)]
    rule: RuleArgs,
    /// Compare with the segment of this definition file [default: with the definitions that the stream runs with]
    #[arg(long, value_name = "FILE", requires = "code")]
    against: Option<PathBuf>,
    #[command(flatten)]
    ask: AskArgs,
    /// How to show it [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Shown>,
}

/// One audience to be compared, and where it is looked for.
struct Side {
    profiles: Profiles,
    of: Of,
    rule: Rule,
    code: Option<String>,
}

impl Side {
    fn new(profiles: Profiles, of: Of, Named { rule, code }: Named) -> Side {
        Side { profiles, of, rule, code }
    }

    fn as_of(&self) -> Millis {
        self.profiles.as_of()
    }

    fn told(&self, size: u64) -> Line {
        let line = Line::new().optional("segment", self.code.as_deref()).text("version", self.rule.version());
        line.json("asOf", self.as_of()).json("size", size)
    }

    /// The members: each is in memory, for a scan of the other side to be held against them.
    fn members(&mut self) -> Result<HashSet<Key>> {
        let mut members = HashSet::new();
        let rule = self.rule.clone();
        ask::keys(&mut self.profiles, &self.of, rule, HowArgs::default(), |key| {
            members.insert(key.clone());
            Ok(())
        })?;
        Ok(members)
    }

    fn row(&self, name: &str, size: u64) -> [String; 5] {
        let code = self.code.clone().unwrap_or("the rule".into());
        [name.into(), code, self.rule.version().into(), time::show(self.as_of()), grouped(size)]
    }
}

/// How two audiences differ.
#[derive(Default)]
struct Difference {
    before: u64,
    after: u64,
    entered: u64,
    left: u64,
}

/// Compares two sides; gives those that enter (true) and leave (false) to `each`, leaving ones last.
fn compare(before: &mut Side, after: &mut Side, mut each: impl FnMut(&Key, bool) -> Result<()>) -> Result<Difference> {
    let mut gone = before.members()?;
    let mut found = Difference { before: gone.len() as u64, ..Difference::default() };
    let rule = after.rule.clone();
    ask::keys(&mut after.profiles, &after.of, rule, HowArgs::default(), |key| {
        found.after += 1;
        if !gone.remove(key) {
            found.entered += 1;
            each(key, true)?;
        }
        Ok(())
    })?;
    found.left = gone.len() as u64;
    let mut gone: Vec<Key> = gone.into_iter().collect();
    gone.sort();
    gone.iter().try_for_each(|key| each(key, false))?;
    Ok(found)
}

impl DiffArgs {
    /// A segment, or without one the rule before.
    fn named(&self, code: Option<&str>, definitions: &Definitions, of: &Of) -> Result<Named> {
        match (code, &self.before) {
            (Some(code), _) => ask::named(definitions, code, of),
            (None, Some(rule)) => ask::typed(rule, "--before", definitions, of),
            (None, None) => Err(no_rule().into()),
        }
    }
}

pub fn diff(args: DiffArgs) -> Result<()> {
    let instant = args.ask.instant()?;
    let after_at = match &args.then {
        Some(text) => AsOf::At(given::instant(text, &TimeZone::UTC)?),
        None => instant,
    };
    let profiles = args.ask.open_as_of(after_at)?;
    let of = args.ask.of(profiles.definitions())?;
    let after = match (&args.other, args.rule.read(None, profiles.definitions(), &of)?) {
        (_, Some(rule)) => rule,
        (None, None) if args.against.is_none() && args.then.is_none() => {
            let hint = "name a second segment, or give --where, --rule, --against FILE or --then T";
            return Err(usage("there is nothing to compare it with").hint(hint).into());
        }
        (other, None) => {
            let code = other.as_deref().or(args.code.as_deref());
            args.named(code, profiles.definitions(), &of)?
        }
    };
    let mut after = Side::new(profiles, of.clone(), after);
    let profiles = match &args.against {
        Some(path) => args.ask.open_with(&DefinitionArgs { definitions: Some(path.clone()) }, instant)?,
        None => args.ask.open_as_of(instant)?,
    };
    let before = args.named(args.code.as_deref(), profiles.definitions(), &of)?;
    let mut before = Side::new(profiles, of, before);
    let (versions, as_of) = ((before.rule.version().to_string(), after.rule.version().to_string()), after.as_of());
    let found = compare(&mut before, &mut after, |key, enters| {
        if !args.members {
            return Ok(());
        }
        let mut out = b"{".to_vec();
        push_key(&mut out, key);
        let change = if enters { "enter" } else { "leave" };
        let (from, version) = &versions;
        let rest =
            format!(",\"change\":\"{change}\",\"from\":\"{from}\",\"version\":\"{version}\",\"asOf\":{as_of}}}\n");
        out.extend_from_slice(rest.as_bytes());
        report::data(&out)
    })?;
    if args.members {
        return Ok(());
    }
    let text = match usual(args.format) {
        Shown::Ndjson => Line::new()
            .json("before", before.told(found.before).end())
            .json("after", after.told(found.after).end())
            .json("entered", found.entered)
            .json("left", found.left)
            .line(),
        Shown::Table => {
            let head = ["", "segment", "version", "as of", "size"].map(String::from);
            let rows = [head, before.row("before", found.before), after.row("after", found.after)];
            format!("{}entered {}, left {}\n", columns(&rows), grouped(found.entered), grouped(found.left))
        }
    };
    report::data(text.as_bytes())
}

/// Another active segment, as it meets the planned one.
struct Overlap {
    code: String,
    rule: Rule,
    size: u64,
    both: u64,
}

pub fn plan(args: PlanArgs) -> Result<()> {
    let instant = args.ask.instant()?;
    let profiles = args.ask.open_as_of(instant)?;
    let definitions = profiles.definitions().clone();
    let of = args.ask.of(&definitions)?;
    let named = args.rule.read(args.code.as_deref(), &definitions, &of)?.ok_or_else(no_rule)?;
    let mut planned = Side::new(profiles, of.clone(), named);
    let mut live = args.live(instant, &of)?;
    let others =
        definitions.segments.iter().filter(|s| s.status == Status::Active && Some(&*s.code) != args.code.as_deref());
    let mut overlaps: Vec<Overlap> = others
        .filter(|_| of.is_users())
        .map(|s| Overlap { code: s.code.to_string(), rule: Rule::of(s), size: 0, both: 0 })
        .collect();
    let mut gone = live.as_mut().map(Side::members).transpose()?.unwrap_or_default();
    let (was, as_of) = (gone.len() as u64, planned.as_of());
    let (mut size, mut joins, mut rule) = (0u64, 0u64, planned.rule.clone());
    overlaps.iter().map(|o| &o.rule).chain([&rule]).try_for_each(|rule| ask::doubts(&planned.profiles, rule))?;
    let all = ask::members(&mut planned.profiles, &of, None, HowArgs::default(), |profile| {
        let member = rule.matches(&profile, as_of);
        if member {
            size += 1;
            joins += u64::from(!gone.remove(&profile.key));
        }
        for other in &mut overlaps {
            let in_other = other.rule.matches(&profile, as_of);
            other.size += u64::from(in_other);
            other.both += u64::from(in_other && member);
        }
        Ok(())
    })?;
    let leaves = gone.len() as u64;
    let text = match usual(args.format) {
        Shown::Ndjson => {
            let overlap = |o: &Overlap| {
                let line = Line::new().text("segment", &o.code).text("version", o.rule.version());
                line.json("size", o.size).json("both", o.both).end()
            };
            planned
                .told(size)
                .json("of", all)
                .json("against", live.as_ref().map_or("null".into(), |live| live.told(was).end()))
                .json("joins", joins)
                .json("leaves", leaves)
                .json("overlap", array(overlaps.iter().map(overlap)))
                .line()
        }
        Shown::Table => {
            let mut rows = vec![["", "segment", "version", "as of", "size"].map(String::from)];
            rows.extend(live.as_ref().map(|live| live.row("live", was)));
            rows.push(planned.row("planned", size));
            let mut text = columns(&rows);
            text += &format!("of {}; {} join, {} leave\n", grouped(all), grouped(joins), grouped(leaves));
            if !overlaps.is_empty() {
                let mut rows = vec![["overlap with", "version", "size", "both"].map(String::from)];
                rows.extend(
                    overlaps
                        .iter()
                        .map(|o| [o.code.clone(), o.rule.version().into(), grouped(o.size), grouped(o.both)]),
                );
                text += &columns(&rows);
            }
            text
        }
    };
    report::data(text.as_bytes())
}

impl PlanArgs {
    /// The segment as it is live: of the file that is named, or of the definitions that the stream runs with.
    fn live(&self, instant: AsOf, of: &Of) -> Result<Option<Side>> {
        let Some(code) = &self.code else { return Ok(None) };
        let profiles = match &self.against {
            Some(path) => self.ask.open_with(&DefinitionArgs { definitions: Some(path.clone()) }, instant)?,
            None => self.ask.open_kept(instant)?,
        };
        let definitions = profiles.definitions().clone();
        let Some(segment) = definitions.segment(code) else { return Ok(None) };
        let named = Named { rule: Rule::of(segment), code: Some(code.clone()) };
        Ok(Some(Side::new(profiles, of.clone(), named)))
    }
}
