//! What is asked of a store: the flags that query, segment and export share, and the profiles they mean.
//!
//! The instant is read once, here: a named one stays, `now` is told as such.

use crate::given::{self, DefinitionArgs, StoreArgs};
use crate::report::{self, Exit, Failure};
use adprof::profiles::{AsOf, Profile, Profiles};
use adprof::segment::Rule;
use adprof::store::{self, Location};
use adprof::tag::{Definitions, Problem, Update};
use anyhow::Result;
use jiff::tz::TimeZone;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Longest rule, in bytes: far beyond what an expression may have, and no more than fits in memory with ease.
const RULE_MAX: u64 = 1 << 20;

#[derive(clap::Args, Clone)]
pub struct AskArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// The instant asked about: milliseconds, RFC 3339, a date (UTC), `now`, or 2h for two hours ago [default: now]
    #[arg(long, value_name = "T")]
    as_of: Option<String>,
}

impl AskArgs {
    /// The instant that is meant.
    pub fn instant(&self) -> Result<AsOf> {
        Ok(match self.as_of.as_deref() {
            None | Some("now") => AsOf::Now(given::now()),
            Some(text) => AsOf::At(given::instant(text, &TimeZone::UTC)?),
        })
    }

    /// Opens the store that somebody names; where nobody does, the definitions alone.
    pub fn open_if_named(&self, as_of: AsOf) -> Result<Asked> {
        let definitions = self.definitions.find()?;
        match self.store.named(definitions.as_ref())? {
            Some(location) => Asked::open(location, definitions, as_of),
            None => Ok(Asked::Nowhere(Arc::new(definitions.unwrap_or_else(Definitions::built_in)))),
        }
    }

    /// Opens the store that is meant, named or not.
    pub fn open_at(&self, as_of: AsOf) -> Result<Asked> {
        let definitions = self.definitions.find()?;
        Asked::open(self.store.choose(definitions.as_ref())?, definitions, as_of)
    }

    /// Opens the store that is meant, as of the instant that is meant.
    pub fn open(&self) -> Result<Profiles> {
        let as_of = self.instant()?;
        let definitions = self.definitions.find()?;
        let location = self.store.choose(definitions.as_ref())?;
        Profiles::open(&location, definitions, as_of).map_err(|e| given::of_store(e).into())
    }
}

/// Whom there is to ask.
pub enum Asked {
    Store(Box<Profiles>, Location),
    Nowhere(Arc<Definitions>),
}

impl Asked {
    fn open(location: Location, definitions: Option<Definitions>, as_of: AsOf) -> Result<Asked> {
        let profiles = Profiles::open(&location, definitions, as_of).map_err(given::of_store)?;
        Ok(Asked::Store(Box::new(profiles), location))
    }
}

#[derive(clap::Args, Clone)]
pub struct TagArgs {
    /// The tags to show: all, or codes [default: all]
    #[arg(long, value_name = "all|CODE,...", value_delimiter = ',')]
    tags: Vec<String>,
}

impl TagArgs {
    /// The places of the tags that are meant, in the order of the definitions; `None` for everything there is.
    pub fn choose(&self, definitions: &Definitions) -> Result<Option<Vec<usize>>> {
        match &self.tags[..] {
            [] => Ok(None),
            [all] if all == "all" => Ok(None),
            codes => {
                let mut tags = given::tags(definitions, codes, Update::Realtime)?;
                tags.sort_unstable();
                tags.dedup();
                Ok(Some(tags))
            }
        }
    }
}

/// Whether a profile's tag is among the chosen ones.
pub fn keeps(chosen: Option<&[usize]>, definitions: &Definitions, code: &str) -> bool {
    chosen.is_none_or(|chosen| chosen.iter().any(|tag| &*definitions.tags[*tag].code == code))
}

#[derive(clap::Args, Clone)]
pub struct RuleArgs {
    /// The users this SQL condition over tags is true of, such as: ltv_total >= 100 AND last_click_category = 'sports'
    #[arg(long = "where", value_name = "SQL", conflicts_with = "rule")]
    sql: Option<String>,
    /// The same as JSON, from a file (@FILE), or from stdin (-): {"logic":"AND","conditions":[{"tag_code":…,"op":…,"value":…}]}
    #[arg(long, value_name = "JSON|@FILE|-")]
    rule: Option<String>,
}

impl RuleArgs {
    /// The rule that was given, read with these definitions; `None` without one.
    pub fn read(&self, definitions: &Definitions) -> Result<Option<Rule>> {
        let rule = match (&self.sql, self.rule.as_deref()) {
            (Some(sql), _) => Rule::from_sql(sql, "--where", definitions),
            (None, None) => return Ok(None),
            (None, Some("-")) => {
                Rule::from_json(&whole(std::io::stdin(), "standard input")?, "standard input", definitions)
            }
            (None, Some(rule)) => match rule.strip_prefix('@') {
                Some(path) => {
                    let file = std::fs::File::open(path).map_err(|e| report::io(Path::new(path), &e))?;
                    Rule::from_json(&whole(file, path)?, path, definitions)
                }
                None => Rule::from_json(rule, "--rule", definitions),
            },
        };
        let rule = rule.map_err(of_rule)?;
        report::detail(format_args!("rule: {}", rule.sql()));
        Ok(Some(rule))
    }
}

fn whole(input: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    input.take(RULE_MAX + 1).read_to_end(&mut bytes).map_err(|e| report::io(Path::new(name), &e))?;
    if bytes.len() as u64 > RULE_MAX {
        return Err(usage(format!("{name}: a rule is at most {RULE_MAX} bytes long")).into());
    }
    let text = String::from_utf8(bytes).map_err(|_| usage(format!("{name}: not UTF-8")))?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_string))
}

fn of_rule(problem: Problem) -> Failure {
    let hint = problem.hint.clone();
    let failure = usage(Problem { hint: None, ..problem }.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Gives every profile that the rule is true of to `each`, with a bar while it lasts. The number of all profiles.
pub fn members(
    profiles: &mut Profiles,
    mut rule: Option<Rule>,
    mut each: impl FnMut(Profile) -> Result<()>,
) -> Result<u64> {
    let as_of = profiles.as_of();
    let about = profiles.about().map_err(given::of_store)?;
    let bar = report::counting(about.unwrap_or(0), "users");
    let mut all = 0;
    let outcome = profiles.scan(|profile| {
        all += 1;
        if all % 1024 == 0 {
            bar.inc(1024);
        }
        let member = rule.as_mut().is_none_or(|rule| rule.matches(&profile, as_of));
        if member { each(profile).map_err(Stop::Other) } else { Ok(()) }
    });
    bar.finish_and_clear();
    match outcome {
        Ok(()) => Ok(all),
        Err(Stop::Store(error)) => Err(given::of_store(error).into()),
        Err(Stop::Other(error)) => Err(error),
    }
}

/// Why a scan ended early.
enum Stop {
    Store(store::Error),
    Other(anyhow::Error),
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Stop {
        Stop::Store(error)
    }
}

/// A usage error.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}
