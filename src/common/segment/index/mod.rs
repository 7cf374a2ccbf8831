//! Who a rule is true of, by the index: columns for the keys it speaks for, the rule itself for the others.
//!
//! Both sides of three-valued logic are asked for on their own, who a part is true of and who it is false of: who is in
//! neither is unknown, and NOT changes the sides without a set being made.

pub mod guard;
mod sets;
mod step;

use super::Rule;
use crate::bits::Bits;
use crate::key::Key;
use crate::parallel;
use crate::profiles::Profile;
use crate::profiles::index::{Block, Dictionary, Indexed, Stored, stored_order};
use crate::store::Error;
use crate::tag::Definitions;
use crate::time::Millis;
use sets::{Asking, Found};
use step::{Maker, Step};

/// The members of an audience, as of one instant and one transaction.
#[derive(Default)]
pub struct Members {
    /// By block.
    pub blocks: Vec<Bits>,
    /// Those in no block.
    pub unnumbered: Vec<Key>,
    pub size: u64,
    /// All keys with a profile.
    pub all: u64,
    /// Keys that were looked up one by one.
    pub looked_up: u64,
}

/// What the columns of a block tell.
struct Told {
    /// How many keys with a profile it speaks for.
    clean: usize,
    /// Those of them whom the rule is true of, and how many they are.
    found: Bits,
    size: usize,
    /// Keys that it does not speak for, and those of the others whom no column tells, where there are any.
    others: Option<Bits>,
    open: Option<Bits>,
}

fn tell(stored: &Stored<'_, '_>, step: &Step, definitions: &Definitions, as_of: Millis) -> Result<Told, Error> {
    let Block { clean, others, .. } = stored.read()?;
    let mut found = Found::default();
    if !clean.is_empty() {
        found = Asking::new(stored, &clean, definitions, as_of).having(step, true, None)?;
        found.keep(&clean);
    }
    let some = |bits: Bits| (!bits.is_empty()).then_some(bits);
    let (size, others, open) = (found.sure.count(), some(others), found.open.and_then(some));
    Ok(Told { clean: clean.count(), found: found.sure, size, others, open })
}

impl Members {
    /// Asks the index: its columns by so many threads, then the store for each key that they do not tell.
    pub fn find(
        indexed: &Indexed<'_>,
        definitions: &Definitions,
        rule: &mut Rule,
        threads: usize,
    ) -> Result<Members, Error> {
        let as_of = indexed.as_of();
        let maker = Maker { definitions, as_of, has_columns: &|tag| indexed.has_columns(tag) };
        let step = maker.step(&rule.expr().node);
        let tags = step.tags();
        let find = |number| indexed.stored(number as u32, &tags);
        let told =
            parallel::fed(threads, indexed.blocks() as usize, find, |stored| tell(&stored, &step, definitions, as_of))?;
        let mut members = Members::default();
        for (number, told) in (0..).zip(told) {
            members.take(indexed, number, rule, told)?;
        }
        for key in indexed.unnumbered() {
            let profile = indexed.profile(key)?;
            members.looked_up += 1;
            members.all += u64::from(!profile.is_empty());
            if !profile.is_empty() && rule.matches(&profile, as_of) {
                members.unnumbered.push(key.clone());
                members.size += 1;
            }
        }
        Ok(members)
    }

    /// Takes in a block: those its columns found, and of all others whoever it is true of in the store.
    fn take(&mut self, indexed: &Indexed<'_>, number: u32, rule: &mut Rule, told: Told) -> Result<(), Error> {
        let Told { clean, mut found, size, others, open } = told;
        self.all += clean as u64;
        self.size += size as u64;
        let keys = if others.is_some() || open.is_some() { indexed.keys(number)? } else { Vec::new() };
        for (places, are_new) in [(others, true), (open, false)] {
            for place in places.iter().flat_map(Bits::iter) {
                let profile = indexed.profile(&keys[usize::from(place)])?;
                self.looked_up += 1;
                if profile.is_empty() {
                    continue;
                }
                self.all += u64::from(are_new);
                if rule.matches(&profile, indexed.as_of()) {
                    found.insert(place);
                    self.size += 1;
                }
            }
        }
        self.blocks.push(found);
        Ok(())
    }

    /// Gives each key in the order of a scan. Those whose number does not follow it are in memory meanwhile.
    pub fn keys<E: From<Error>>(
        &self,
        dictionary: &Dictionary<'_>,
        mut each: impl FnMut(&Key) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut late = self.unnumbered.clone();
        let mut last: Option<Key> = None;
        let mut run: Vec<(u32, &Bits)> = Vec::new();
        for (number, members) in self.blocks.iter().enumerate() {
            let number = number as u32;
            match dictionary.span(number)? {
                Some((first, end)) if last.as_ref().is_none_or(|last| stored_order(last, &first).is_lt()) => {
                    last = Some(end);
                    run.push((number, members));
                }
                _ if members.is_empty() => {}
                _ => late.extend(chosen(dictionary, number, members)?),
            }
        }
        late.sort_by(stored_order);
        let mut late = late.into_iter().peekable();
        for (number, members) in run.into_iter().filter(|(_, members)| !members.is_empty()) {
            for key in chosen(dictionary, number, members)? {
                while let Some(before) = late.next_if(|late| stored_order(late, &key).is_lt()) {
                    each(&before)?;
                }
                each(&key)?;
            }
        }
        late.try_for_each(|key| each(&key))
    }

    /// The same, with the profile of each.
    pub fn profiles<E: From<Error>>(
        &self,
        indexed: &Indexed<'_>,
        mut each: impl FnMut(Profile) -> Result<(), E>,
    ) -> Result<(), E> {
        self.keys(&indexed.dictionary(), |key| each(indexed.profile(key)?))
    }
}

fn chosen(dictionary: &Dictionary<'_>, number: u32, members: &Bits) -> Result<Vec<Key>, Error> {
    let keys = dictionary.keys(number)?;
    let mut chosen = Vec::with_capacity(members.count());
    for (place, key) in keys.into_iter().enumerate() {
        if members.contains(place as u16) {
            chosen.push(key);
        }
    }
    Ok(chosen)
}
