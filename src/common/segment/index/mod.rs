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
use crate::profiles::index::{Block, Columns, Dictionary, Indexed, stored_order};
use crate::store::Error;
use crate::tag::Definitions;
use sets::{Asking, Found};
use step::Maker;

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
        let blocks: Vec<Block> = (0..indexed.blocks()).map(|number| indexed.block(number)).collect::<Result<_, _>>()?;
        let speaks = |block: &&Block| !block.clean.is_empty();
        let columns = blocks.iter().filter(speaks).map(|block| Ok((block.columns(&tags)?, block.clean.clone())));
        let columns: Vec<(Columns, Bits)> = columns.collect::<Result<_, Error>>()?;
        let told = parallel::all(threads, columns.len(), |i| {
            let (columns, clean) = &columns[i];
            let mut found = Asking::new(columns, clean, definitions, as_of).having(&step, true, None)?;
            found.keep(clean);
            Ok::<Found, Error>(found)
        })?;
        let mut told = told.into_iter();
        let mut members = Members::default();
        for block in &blocks {
            let Found { sure, open } = Some(block).filter(speaks).and_then(|_| told.next()).unwrap_or_default();
            members.ask(indexed, block, rule, sure, open)?;
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

    /// Takes in a block: those its columns found, and of the others and the open ones whoever it is true of in the store.
    fn ask(
        &mut self,
        indexed: &Indexed<'_>,
        block: &Block<'_, '_>,
        rule: &mut Rule,
        mut found: Bits,
        open: Option<Bits>,
    ) -> Result<(), Error> {
        self.all += block.clean.count() as u64;
        let asked = [Some(&block.others), open.as_ref()].into_iter().flatten().flat_map(Bits::iter);
        let mut asked = asked.peekable();
        if asked.peek().is_some() {
            let keys = block.keys()?;
            for place in asked {
                let profile = indexed.profile(&keys[usize::from(place)])?;
                self.looked_up += 1;
                self.all += u64::from(!profile.is_empty() && block.others.contains(place));
                if !profile.is_empty() && rule.matches(&profile, indexed.as_of()) {
                    found.insert(place);
                }
            }
        }
        self.size += found.count() as u64;
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
