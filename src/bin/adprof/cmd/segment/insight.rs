//! `adprof segment insight`: who is in an audience, compared with a base.
//!
//! One scan counts all tags; what is told is made of `adprof::segment::insight`, here it is only written down.

mod html;
mod ndjson;
mod text;

use super::count::no_rule;
use crate::ask::{self, AskArgs, HowArgs, Named, Of, RuleArgs, TagArgs, named};
use crate::given::grouped;
use crate::report::{self, Exit, Failure};
use crate::whole;
use adprof::profiles::Profiles;
use adprof::segment::Rule;
use adprof::segment::insight::{Count, Insight, Refusal, SHOWN, Side, Told, VALUES_MAX, What};
use adprof::tag::Definitions;
use adprof::time::{self, Millis};
use anyhow::Result;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `--against` calls everybody.
const ALL: &str = "all";

/// Who is in an audience, compared with a base
///
/// For each tag: how many of the audience have which value, how many of the base, and the index, 100 times the one share by
/// the other. Its interval says how far it may be from what the audience is like; a star marks those that differ from 100 by more than
/// chance in 95 of 100 cases. Cells of fewer people than --min-cell are not told, nor what they could be worked out from.
/// The tags that tell the audience best from the base come first.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment insight sports_fans
  adprof segment insight sports_fans --against buyers
  adprof segment insight --where \"ltv_total >= 100\" --tags last_click_category,clicks_1h_count
  adprof segment insight sports_fans -o fans.html           a page to look at, to print, to send
  adprof segment insight sports_fans --format ndjson | jq -c '.tag, .cells[0]'")]
pub struct InsightArgs {
    /// A segment of the definition file
    #[arg(value_name = "CODE", conflicts_with_all = ["sql", "rule"])]
    code: Option<String>,
    #[command(flatten)]
    rule: RuleArgs,
    /// The base: a segment, or `all` profiles
    #[arg(long, value_name = "CODE|all", default_value = ALL)]
    against: String,
    /// Tell of no fewer people than this
    #[arg(long, value_name = "N", default_value_t = 10)]
    min_cell: u64,
    #[command(flatten)]
    tags: TagArgs,
    #[command(flatten)]
    ask: AskArgs,
    /// How to show it [default: by the name of -o, else text on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write it to a file, which is there as a whole or not at all
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Columns of text [default: those of the terminal, else 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(40..=400))]
    width: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Ndjson,
    Html,
}

/// A group of people: what a result says of it.
struct Group {
    /// `None`: a rule that was typed.
    code: Option<String>,
    version: String,
    /// As SQL.
    rule: String,
    size: u64,
}

/// What there is to be written.
struct Page {
    definitions: Arc<Definitions>,
    as_of: Millis,
    audience: Group,
    /// Without one: all profiles.
    base: Option<Group>,
    total: Count,
    /// All profiles there are.
    all: u64,
    /// What the profiles are called.
    whose: String,
    min_cell: u64,
    /// The tags that the rules name.
    named: Vec<usize>,
    told: Vec<Told>,
}

impl Group {
    fn new(named: &Named) -> Group {
        let (code, rule) = (named.code.clone(), &named.rule);
        Group { code, version: rule.version().into(), rule: rule.sql(), size: 0 }
    }

    fn name(&self) -> &str {
        self.code.as_deref().unwrap_or("the rule")
    }
}

impl Page {
    /// `all profiles`, or the code of the segment.
    fn base_name(&self) -> String {
        self.base.as_ref().map_or_else(|| format!("all {}", self.whose), |base| base.name().to_string())
    }

    fn code(&self, told: &Told) -> &str {
        &self.definitions.tags[told.tag].code
    }

    fn is_named(&self, told: &Told) -> bool {
        self.named.contains(&told.tag)
    }

    /// What has to be known of a tag besides its cells, for people.
    fn remarks(&self, told: &Told) -> Vec<String> {
        let mut remarks = Vec::new();
        if told.untold > 0 {
            remarks
                .push(format!("{} more are not told: beyond the first {SHOWN}, or of too few", grouped(told.untold)));
        }
        if told.full {
            remarks.push(format!(
                "more than {} different values, or long ones: told as other",
                grouped(VALUES_MAX as u64)
            ));
        }
        if told.wrong {
            remarks.push("values that are not of the tag's type count as missing".into());
        }
        if told.cells.iter().any(|cell| matches!(cell.what, What::Other { few: true, .. })) {
            remarks.push(format!("other: some of it is of fewer than {} people", self.min_cell));
        }
        remarks
    }
}

pub fn insight(args: InsightArgs) -> Result<()> {
    let mut profiles = args.ask.open()?;
    let definitions = profiles.definitions().clone();
    let of = args.ask.of(&definitions)?;
    let audience = args.rule.read(args.code.as_deref(), &definitions, &of)?.ok_or_else(no_rule)?;
    let base = match args.against.as_str() {
        ALL => None,
        code => Some(named(&definitions, code, &of)?),
    };
    let rules: Vec<&Rule> = [Some(&audience), base.as_ref()].into_iter().flatten().map(|named| &named.rule).collect();
    rules.iter().try_for_each(|rule| ask::doubts(&profiles, rule))?;
    let named: Vec<usize> = rules.iter().flat_map(|rule| rule.tags()).collect();
    let tags = args.tags.choose(&definitions, &of)?;
    let tags: Vec<usize> = (0..definitions.tags.len())
        .filter(|tag| {
            definitions.tags[*tag].entity == of.place && tags.keeps(&definitions, &definitions.tags[*tag].code)
        })
        .collect();
    let doubtful: Vec<&str> = tags
        .iter()
        .filter(|tag| profiles.doubt(**tag).is_some() && !named.contains(*tag))
        .map(|tag| &*definitions.tags[*tag].code)
        .collect();
    if !doubtful.is_empty() {
        report::warn(format_args!("not whole yet, or not counted by this store: {}", doubtful.join(", ")));
    }
    let (mut of_audience, mut of_base) = (Group::new(&audience), base.as_ref().map(Group::new));
    let (found, all) = count(&mut profiles, &of, &tags, audience.rule, base.map(|base| base.rule))?;
    of_audience.size = found.total().audience();
    if let Some(base) = &mut of_base {
        base.size = found.total().base();
    }
    let told = found.tell(args.min_cell).map_err(|why| refused(why, args.min_cell))?;
    let page = Page {
        definitions,
        as_of: profiles.as_of(),
        audience: of_audience,
        base: of_base,
        total: found.total(),
        all,
        whose: if of.is_users() { "profiles".into() } else { format!("profiles of {}", of.name) },
        min_cell: args.min_cell,
        named,
        told,
    };
    args.write(&page)
}

/// Counts everybody in one scan; how many profiles there are.
fn count(
    profiles: &mut Profiles,
    of: &Of,
    tags: &[usize],
    mut audience: Rule,
    mut base: Option<Rule>,
) -> Result<(Insight, u64)> {
    let (as_of, definitions) = (profiles.as_of(), profiles.definitions().clone());
    let mut found = Insight::new(tags.iter().map(|tag| (*tag, definitions.tags[*tag].ty)), as_of);
    let all = ask::members(profiles, of, None, HowArgs::default(), |profile| {
        let in_base = base.as_mut().is_none_or(|base| base.matches(&profile, as_of));
        if let Some(side) = Side::of(audience.matches(&profile, as_of), in_base) {
            found.take(&profile, side);
        }
        Ok(())
    })?;
    Ok((found, all))
}

fn refused(why: Refusal, least: u64) -> Failure {
    let few = |who: &str| {
        let failure = Failure::new(Exit::NotAllowed, format!("{who}: fewer than {least} people"));
        failure.hint("--min-cell N tells of fewer, where nobody can be hurt by it")
    };
    let empty = |who: &str| {
        let failure = Failure::new(Exit::NoInput, format!("nobody is in {who}: there is nothing to compare"));
        failure.hint("adprof segment explain ID CODE says why somebody is not in it")
    };
    match why {
        Refusal::EmptyAudience => empty("the audience"),
        Refusal::EmptyBase => empty("the base"),
        Refusal::FewInAudience => few("the audience is too small to be told of"),
        Refusal::FewInBase => few("the base is too small to be told of"),
        Refusal::FewBetween => few("audience and base differ by too few to be told of"),
    }
}

impl InsightArgs {
    fn format(&self) -> Format {
        let ends = |end: &str| self.output.as_ref().and_then(|path| path.extension()).is_some_and(|have| have == end);
        match self.format {
            Some(format) => format,
            None if ends("html") || ends("htm") => Format::Html,
            None if ends("txt") => Format::Text,
            None if self.output.is_none() && io::stdout().is_terminal() => Format::Text,
            None => Format::Ndjson,
        }
    }

    fn write(&self, page: &Page) -> Result<()> {
        let output = self.output.as_deref().filter(|path| *path != Path::new("-"));
        let written = match self.format() {
            Format::Text => text::written(page, &text::Manner::new(self.width, output.is_some())),
            Format::Ndjson => ndjson::written(page),
            Format::Html => html::written(page),
        };
        match output {
            Some(path) => whole::into_file(path, |file| Ok(file.write_all(written.as_bytes())?))?,
            None => report::data(written.as_bytes())?,
        }
        if self.format() != Format::Text || output.is_some() {
            report::say(format_args!(
                "{}, version {}, as of {}: {} of {} {}, against {}",
                page.audience.name(),
                page.audience.version,
                time::show(page.as_of),
                grouped(page.audience.size),
                grouped(page.all),
                page.whose,
                page.base_name()
            ));
        }
        Ok(())
    }
}
