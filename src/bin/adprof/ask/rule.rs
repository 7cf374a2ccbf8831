//! Rules as they are asked for: a segment of the definitions, or SQL or JSON that was typed.

use super::{Of, of_entity, usage};
use crate::report::{self, Failure};
use adprof::expr::nearest;
use adprof::ndjson::shown;
use adprof::profiles::{Doubt, Profiles};
use adprof::segment::Rule;
use adprof::tag::{Definitions, Problem, Segment};
use anyhow::Result;
use std::io::Read;
use std::path::Path;

/// Longest rule, in bytes: far beyond what an expression may have, and no more than fits in memory with ease.
const RULE_MAX: u64 = 1 << 20;

#[derive(clap::Args, Clone)]
pub struct RuleArgs {
    /// The users this SQL condition over tags is true of, such as: ltv_total >= 100 AND last_click_category = 'sports'
    #[arg(long = "where", value_name = "SQL", conflicts_with = "rule")]
    sql: Option<String>,
    /// The same as JSON, from a file (@FILE), or from stdin (-): {"logic":"AND","conditions":[{"tag_code":…,"op":…,"value":…}]}
    #[arg(long, value_name = "JSON|@FILE|-")]
    rule: Option<String>,
}

/// A rule that was asked for, and the segment whose it is.
pub struct Named {
    pub rule: Rule,
    pub code: Option<String>,
}

impl RuleArgs {
    /// The rule of a segment, or the one that was given, read with these definitions; `None` without one.
    pub fn read(&self, code: Option<&str>, definitions: &Definitions, of: &Of) -> Result<Option<Named>> {
        let named = match code {
            Some(code) => return named(definitions, code, of).map(Some),
            None => self.given(definitions)?.map(|rule| Named { rule, code: None }),
        };
        if let Some(named) = &named {
            named.check(definitions, of)?;
        }
        Ok(named)
    }

    /// Whether one was given.
    pub fn is_given(&self) -> bool {
        self.sql.is_some() || self.rule.is_some()
    }

    /// Whether it was given as JSON.
    pub fn is_json(&self) -> bool {
        self.rule.is_some()
    }

    fn given(&self, definitions: &Definitions) -> Result<Option<Rule>> {
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
        Ok(Some(rule.map_err(of_rule)?))
    }
}

impl Named {
    /// Refuses a rule on other keys than are asked for.
    fn check(&self, definitions: &Definitions, of: &Of) -> Result<()> {
        of_entity(&self.rule.tags(), definitions, of)?;
        report::detail(format_args!("rule: {}", self.rule.sql()));
        Ok(())
    }
}

/// The rule of a segment.
pub fn named(definitions: &Definitions, code: &str, of: &Of) -> Result<Named> {
    let named = Named { rule: Rule::of(segment(definitions, code)?), code: Some(code.to_string()) };
    named.check(definitions, of)?;
    Ok(named)
}

/// A rule in either form. `flag` is what messages call it.
pub fn typed(rule: &str, flag: &str, definitions: &Definitions, of: &Of) -> Result<Named> {
    let named = Named { rule: Rule::from_sql(rule, flag, definitions).map_err(of_rule)?, code: None };
    named.check(definitions, of)?;
    Ok(named)
}

/// Refuses a rule that the store cannot answer, and says where its answer is not whole.
pub fn doubts(profiles: &Profiles, rule: &Rule) -> Result<()> {
    let definitions = profiles.definitions();
    for tag in rule.tags() {
        let definition = &definitions.tags[tag];
        // A hidden tag is called what it counts.
        let name = shown(if definition.is_hidden() { &definition.name } else { &definition.code });
        match profiles.doubt(tag) {
            None => {}
            Some(Doubt::NotThere) => {
                let failure = usage(format!("Redis does not hold what the rule counts: {name}"));
                return Err(failure.hint("ask the embedded store of the stream: --store file:DIR").into());
            }
            Some(Doubt::NotCounted) => {
                report::warn(format_args!("the stream of this store does not count it yet: {name}"));
            }
            Some(Doubt::Warming(warming)) => report::warn(format_args!("not whole yet: {name} {warming}")),
        }
    }
    Ok(())
}

/// The segment of a code.
fn segment<'d>(definitions: &'d Definitions, code: &str) -> Result<&'d Segment> {
    if let Some(segment) = definitions.segment(code) {
        return Ok(segment);
    }
    let failure = usage(format!("unknown segment: {}", shown(code)));
    let codes: Vec<&str> = definitions.segments.iter().map(|segment| &*segment.code).collect();
    let hint = match (nearest(code, codes.iter().copied()), &codes[..]) {
        (Some(meant), _) => format!("did you mean {meant}?"),
        (None, []) => format!("{} has no [[segment]]; --where takes a rule", definitions.source),
        (None, _) => format!("there are {}", codes.join(", ")),
    };
    Err(failure.hint(hint).into())
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
