//! The comparison of a partition: what `batch` tells of its keys beside what the store says. Keys that differ are suspects, no more.

use super::Failure;
use super::asked::Group;
use super::sample::Sample;
use super::sides::{Held, Look, Of, Side, Told};
use crate::engine::plan::{Plan, Values};
use crate::expr::Scratch;
use crate::key::Key;
use crate::patch::Patch;
use crate::run::batch::several::Answers;
use crate::store::embedded::Tag;
use crate::time::Millis;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// What both sides are asked by.
pub struct Compare<'a, 's> {
    pub side: Mutex<&'a mut Side<'s>>,
    pub told: &'a Told,
    pub look: &'a Look,
    pub groups: &'a [Group],
    pub entities: &'a [usize],
    pub sample: &'a Sample,
    pub at: Millis,
}

/// What was found in a partition.
#[derive(Default)]
pub struct Compared {
    pub keys: u64,
    pub values: u64,
    pub suspects: Vec<Key>,
}

/// By question, what the log says of a key.
type FromLog = Vec<Option<Patch>>;

impl Compare<'_, '_> {
    pub fn part(&self, answers: Answers) -> Result<Compared, Failure> {
        let mut found = Compared::default();
        if !self.entities.contains(&answers.entity) {
            return Ok(found);
        }
        let groups: Vec<(&Group, usize)> =
            self.groups.iter().filter_map(|g| Some((g, g.of(answers.entity)?))).collect();
        let mut all: BTreeMap<Key, FromLog> = BTreeMap::new();
        for key in self.look.keys.get(&(answers.entity, answers.partition)).into_iter().flat_map(|names| names.iter()) {
            all.insert(key, Vec::new());
        }
        for (n, sheet) in answers.sheets.iter().enumerate() {
            for line in sheet.written().split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                let text = std::str::from_utf8(line).expect("patches are text");
                let patch = Patch::parse(text).expect("batch writes patches");
                if self.sample.holds(&patch.key) {
                    let of_key = all.entry(patch.key.clone()).or_default();
                    of_key.resize(n + 1, None);
                    of_key[n] = Some(patch);
                }
            }
        }
        let keys: Vec<Key> = all.keys().cloned().collect();
        let held = self.side.lock().expect("a panic ends the program").held(&keys, self.told, self.at)?;
        for ((key, from_log), held) in all.into_iter().zip(held) {
            let (values, right) = compare(&groups, &from_log, &held);
            if values == 0 && !held.known {
                continue;
            }
            found.keys += 1;
            found.values += values;
            if !right {
                found.suspects.push(key);
            }
        }
        Ok(found)
    }
}

impl Group {
    /// The place of its plan for an entity.
    fn of(&self, entity: usize) -> Option<usize> {
        self.plans.iter().position(|plan| plan.entity == entity)
    }
}

/// How many values were compared, and whether all of them are the same.
fn compare(groups: &[(&Group, usize)], from_log: &FromLog, held: &Held) -> (u64, bool) {
    let (mut compared, mut right) = (0, held.broken.is_none());
    for of in instants(held) {
        let shown = held.shown.iter().filter(|shown| shown.of == of);
        let Some(n) = groups.iter().position(|(group, _)| group.of == of) else {
            // Of an instant of its own: looked at by itself.
            compared += shown.count() as u64;
            right = false;
            continue;
        };
        let (group, place) = groups[n];
        let patch = from_log.get(n).and_then(Option::as_ref);
        let values = values(&group.plans[place], patch, &held.tags, group.at);
        for shown in shown {
            compared += u64::from(shown.value.is_some() || values[shown.tag].is_some());
            right &= shown.value == values[shown.tag];
        }
    }
    (compared, right)
}

/// The instants of what is shown, each once.
pub fn instants(held: &Held) -> Vec<Of> {
    let mut all: Vec<Of> = Vec::new();
    for shown in &held.shown {
        if !all.contains(&shown.of) {
            all.push(shown.of);
        }
    }
    all
}

/// The values of a key: what the log counts, and all that is made of it and of what the store was given.
fn values(plan: &Plan, patch: Option<&Patch>, tags: &[Tag], at: Millis) -> Values {
    let definitions = &plan.definitions;
    let mut values: Values = vec![None; definitions.tags.len()];
    let given = plan.given_of(tags.iter().map(Tag::dated));
    for (place, tag) in plan.given.iter().enumerate() {
        values[*tag] = given.value(place).cloned();
    }
    let mut has_events = patch.is_some();
    if let Some(patch) = patch {
        for (code, value) in &patch.tags {
            if let (Some(tag), Some(value)) = (definitions.index(code), value) {
                values[tag] = plan.as_declared(tag, value);
            }
        }
        // Of a forgotten key all is null.
        has_events = plan.hidden().is_none() || patch.tags.iter().any(|(_, value)| value.is_some());
    }
    if has_events || given.is_known() {
        plan.derive(&mut values, has_events, at, &mut Scratch::new());
    }
    values
}
