//! Which of many rules are true of one profile, without asking all of them.
//!
//! A rule that joins conditions with AND can be true only where each of them is. Those that look at one value alone, the
//! guards, are counted by the profile's own values, and only of rules all of whose guards hold the rest is evaluated, if they
//! have any.

use super::index::guard::{Guard, Guards, guards};
use super::{Rule, Tags};
use crate::expr::{Expr, Scratch};
use crate::profiles::Profile;
use crate::profiles::index::number;
use crate::tag::Definitions;
use crate::time::Millis;
use crate::value::{Type, Value};
use std::collections::HashMap;

/// Number guards: the smallest and the largest number, and the rule.
type Ranges = Vec<(i128, i128, u32)>;

/// Rules, by their places in the order they were given.
pub struct Matcher {
    rules: Vec<Counted>,
    /// By tag.
    texts: Vec<(usize, Texts)>,
    numbers: Vec<(usize, Ranges)>,
    /// Of the last profile: how many guards of each rule hold, and whether a value could not tell.
    held: Vec<(u32, bool)>,
    scratch: Scratch,
    found: Vec<u32>,
}

struct Counted {
    rule: Rule,
    guards: u32,
    /// What has to be true besides them.
    rest: Option<Expr>,
}

/// The text guards of a tag.
#[derive(Default)]
struct Texts {
    /// The rules of each text.
    of: HashMap<Box<str>, Vec<u32>>,
    /// One entry a guard.
    all: Vec<u32>,
}

impl Matcher {
    pub fn new(rules: Vec<Rule>, definitions: &Definitions) -> Matcher {
        let mut texts: HashMap<usize, Texts> = HashMap::new();
        let mut numbers: HashMap<usize, Ranges> = HashMap::new();
        let mut counted = Vec::with_capacity(rules.len());
        for (place, rule) in rules.into_iter().enumerate() {
            let place = place as u32;
            let Guards { all, rest } = guards(rule.expr(), definitions);
            counted.push(Counted { rule, guards: all.len() as u32, rest });
            for guard in all {
                match guard {
                    Guard::Texts(tag, mut of) => {
                        // Each counts once.
                        of.sort_unstable();
                        of.dedup();
                        let known = texts.entry(tag).or_default();
                        known.all.push(place);
                        of.into_iter().for_each(|text| known.of.entry(text).or_default().push(place));
                    }
                    Guard::Numbers(tag, range) => {
                        let (low, high) = range.ends();
                        numbers.entry(tag).or_default().push((low, high, place));
                    }
                }
            }
        }
        let held = vec![(0, false); counted.len()];
        let (texts, numbers) = (texts.into_iter().collect(), numbers.into_iter().collect());
        Matcher { rules: counted, texts, numbers, held, scratch: Scratch::new(), found: Vec::new() }
    }

    /// The places of the rules that are true of the profile at `as_of`, rising.
    pub fn matches(&mut self, definitions: &Definitions, profile: &Profile, as_of: Millis) -> &[u32] {
        let held = &mut self.held;
        held.fill((0, false));
        // Of another type than it is declared: whoever has a say is asked.
        let doubt = |held: &mut (u32, bool)| *held = (held.0 + 1, true);
        for (tag, texts) in &self.texts {
            let text = match (&profile.values[*tag], definitions.tags[*tag].ty) {
                (Some(Value::Str(text)), Type::String) => Some(&**text),
                (Some(Value::Bool(value)), Type::Bool) => Some(if *value { "true" } else { "false" }),
                _ => None,
            };
            match (text, &profile.values[*tag]) {
                (Some(text), _) => {
                    texts.of.get(text).into_iter().flatten().for_each(|rule| held[*rule as usize].0 += 1);
                }
                (None, Some(_)) => texts.all.iter().for_each(|rule| doubt(&mut held[*rule as usize])),
                (None, None) => {}
            }
        }
        for (tag, ranges) in &self.numbers {
            let Some(value) = &profile.values[*tag] else { continue };
            match number(value, definitions.tags[*tag].ty) {
                Some(n) => ranges
                    .iter()
                    .for_each(|(low, high, rule)| held[*rule as usize].0 += u32::from(*low <= n && n <= *high)),
                None => ranges.iter().for_each(|(_, _, rule)| doubt(&mut held[*rule as usize])),
            }
        }
        self.found.clear();
        let row = Tags { values: &profile.values, as_of };
        for (place, (counted, (holding, is_doubtful))) in self.rules.iter_mut().zip(held.iter()).enumerate() {
            if *holding != counted.guards {
                continue;
            }
            let is_member = match &counted.rest {
                _ if *is_doubtful => counted.rule.matches(profile, as_of),
                None => true,
                Some(rest) => rest.is_true(&row, &self.scratch),
            };
            if is_member {
                self.found.push(place as u32);
            }
        }
        self.scratch.reset();
        &self.found
    }
}
