//! Which of many rules are true of one profile, without asking all of them.
//!
//! A rule that joins conditions with AND can be true only where each of them is. Those that look at one value alone, the
//! guards, are counted by the profile's own values, and only rules all of whose guards hold are evaluated. Of a rule that is
//! nothing but guards they decide.

use super::Rule;
use super::index::guard::{Guard, Guards, guards};
use crate::profiles::Profile;
use crate::profiles::index::number;
use crate::tag::Definitions;
use crate::time::Millis;
use crate::value::Value;
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
    found: Vec<u32>,
}

struct Counted {
    rule: Rule,
    guards: u32,
    /// It is nothing but its guards.
    whole: bool,
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
            let Guards { all, whole } = guards(rule.expr(), definitions);
            counted.push(Counted { rule, guards: all.len() as u32, whole });
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
        Matcher { rules: counted, texts, numbers, held, found: Vec::new() }
    }

    /// The places of the rules that are true of the profile at `as_of`, rising.
    pub fn matches(&mut self, definitions: &Definitions, profile: &Profile, as_of: Millis) -> &[u32] {
        let held = &mut self.held;
        held.fill((0, false));
        // Of another type than it is declared: whoever has a say is asked.
        let doubt = |held: &mut (u32, bool)| *held = (held.0 + 1, true);
        for (tag, texts) in &self.texts {
            match &profile.values[*tag] {
                Some(Value::Str(text)) => {
                    texts.of.get(text).into_iter().flatten().for_each(|rule| held[*rule as usize].0 += 1);
                }
                Some(_) => texts.all.iter().for_each(|rule| doubt(&mut held[*rule as usize])),
                None => {}
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
        for (place, (counted, (holding, is_doubtful))) in self.rules.iter_mut().zip(held.iter()).enumerate() {
            if *holding == counted.guards && (counted.whole && !is_doubtful || counted.rule.matches(profile, as_of)) {
                self.found.push(place as u32);
            }
        }
        &self.found
    }
}
