//! Checking the index: what its columns say of each key they speak for, beside what the store says.

use super::build::Gathered;
use super::{AsOf, Indexed, Profiles, Sight, Unused, block};
use crate::bits::{BLOCK, Bits, Body, Column};
use crate::key::Key;
use crate::store::Error;
use crate::store::embedded::View;
use std::collections::BTreeSet;

/// A difference between the index and the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub block: u32,
    /// `None`: of the whole block.
    pub key: Option<Key>,
    pub tag: Option<usize>,
    pub flaw: Flaw,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Flaw {
    /// The block was made with other definitions: its keys are answered one by one.
    OtherDefinitions,
    /// Bytes have changed on the disk.
    Broken,
    /// What the index has, and what the store has.
    Value { index: String, store: String },
    /// The index does not know whether there is a profile.
    Presence,
    /// The key has another number than its place.
    Number,
    /// The key is in the store, and neither in the index nor marked as changed.
    Unknown,
}

impl Flaw {
    pub fn name(&self) -> &'static str {
        match self {
            Flaw::OtherDefinitions => "other definitions",
            Flaw::Broken => "broken",
            Flaw::Value { .. } => "value",
            Flaw::Presence => "presence",
            Flaw::Number => "number",
            Flaw::Unknown => "unknown key",
        }
    }
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub compared: u64,
    /// Keys that the index does not speak for now.
    pub left: u64,
    pub faults: u64,
}

impl Profiles {
    /// Compares the index of an entity with the store, as of one transaction. Every difference goes to `each`.
    pub fn check_index(
        &self,
        entity: usize,
        told: &mut dyn FnMut(u64),
        each: &mut dyn FnMut(Fault),
    ) -> Result<Result<Checked, Unused>, Error> {
        let Some(store) = self.embedded_store() else { return Ok(Err(Unused::None)) };
        let snapshot = store.snapshot()?;
        let view = snapshot.index()?;
        let indexed = match self.indexed(view, entity)? {
            Ok(indexed) => indexed,
            Err(why) => return Ok(Err(why)),
        };
        let mut checked = Checked::default();
        let mut sight = Sight::new(self, self.live(), entity, AsOf::Now(self.as_of.instant()));
        let mut found = |fault: Fault, checked: &mut Checked| {
            checked.faults += 1;
            each(fault);
        };
        for number in 0..indexed.blocks() {
            let faults = check_block(&indexed, &mut sight, number, &mut checked)?;
            faults.into_iter().for_each(|fault| found(fault, &mut checked));
            told(checked.compared + checked.left);
        }
        for key in unknown(indexed.view, &sight.entity)? {
            found(Fault { block: 0, key: Some(key), tag: None, flaw: Flaw::Unknown }, &mut checked);
        }
        checked.left += indexed.unnumbered.len() as u64;
        Ok(Ok(checked))
    }
}

/// Keys of the store that nothing of the index knows of.
fn unknown(view: View<'_>, entity: &str) -> Result<Vec<Key>, Error> {
    let changed: BTreeSet<String> = view.changed(entity)?.iter().map(|key| key.as_str().to_string()).collect();
    let (mut after, mut unknown): (Option<Key>, Vec<Key>) = (None, Vec::new());
    loop {
        let keys = view.keys(entity, after.as_ref(), BLOCK)?;
        let Some(last) = keys.last() else { return Ok(unknown) };
        after = Some(last.clone());
        for key in keys {
            if !changed.contains(key.as_str()) && view.ordinal(key.as_str())?.is_none() {
                unknown.push(key);
            }
        }
    }
}

fn check_block(
    indexed: &Indexed<'_>,
    sight: &mut Sight<'_>,
    number: u32,
    checked: &mut Checked,
) -> Result<Vec<Fault>, Error> {
    let of_block = |tag: Option<usize>, flaw: Flaw| Fault { block: number, key: None, tag, flaw };
    let stored = indexed.stored(number, &sight.tags);
    let (stored, block) = match stored.and_then(|stored| stored.read().map(|block| (stored, block))) {
        Ok(read) => read,
        Err(error) if error.kind == crate::store::Kind::Corrupt => return Ok(vec![of_block(None, Flaw::Broken)]),
        Err(error) => return Err(error),
    };
    let keys = indexed.keys(number)?;
    if !block.is_of(sight.signature) {
        checked.left += keys.len() as u64;
        return Ok(vec![of_block(None, Flaw::OtherDefinitions)]);
    }
    checked.compared += (keys.len() - block.others.count()) as u64;
    checked.left += block.others.count() as u64;
    let mut faults = Vec::new();
    let mut gathered: Vec<Gathered> = sight.tags.iter().map(|tag| Gathered::new(&sight.reader, *tag)).collect();
    for (place, key) in keys.iter().enumerate() {
        let mut of_key = |flaw: Flaw| faults.push(Fault { block: number, key: Some(key.clone()), tag: None, flaw });
        let place = place as u16;
        if indexed.view.ordinal(key.as_str())? != Some(block.first() + u32::from(place)) {
            of_key(Flaw::Number);
        }
        if block.others.contains(place) {
            continue;
        }
        let (profile, _) = sight.look(indexed.view.entry(key)?)?;
        if profile.is_empty() == block.clean.contains(place) {
            of_key(Flaw::Presence);
        }
        for column in &mut gathered {
            if let Some(value) = &profile.values[column.tag] {
                column.add(place, value);
            }
        }
    }
    for column in &mut gathered {
        let tag = column.tag;
        let mut fresh = Vec::new();
        column.encode(block::NEXT, keys.len(), &mut fresh);
        let fresh = Column::read(block::NEXT, &fresh).ok_or_else(block::broken)?;
        let different = match stored.column(tag).ok().map(|stored| differences(&stored, &fresh, &block.others)) {
            Some(Some(different)) => different,
            _ => {
                faults.push(of_block(Some(tag), Flaw::Broken));
                continue;
            }
        };
        for (place, index, store) in different {
            let key = keys.get(usize::from(place)).cloned();
            faults.push(Fault { block: number, key, tag: Some(tag), flaw: Flaw::Value { index, store } });
        }
    }
    Ok(faults)
}

/// The places that two columns have different values at, but for those left out; `None` when one is broken.
fn differences(stored: &Column<'_>, fresh: &Column<'_>, without: &Bits) -> Option<Vec<(u16, String, String)>> {
    let odd = &stored.odd;
    let (stored, fresh) = (texts(stored)?, texts(fresh)?);
    let places = stored.keys().chain(fresh.keys()).copied().collect::<BTreeSet<u16>>();
    let text = |texts: &std::collections::BTreeMap<u16, String>, place: u16| {
        texts.get(&place).cloned().unwrap_or("nothing".to_string())
    };
    let different = places.into_iter().filter(|place| !without.contains(*place));
    // What the column leaves to be looked up is right wherever there is a value.
    let is_left = |place: &u16| odd.as_ref().is_some_and(|odd| odd.contains(*place)) && fresh.contains_key(place);
    let different = different.filter(|place| stored.get(place) != fresh.get(place) && !is_left(place));
    Some(different.map(|place| (place, text(&stored, place), text(&fresh, place))).collect())
}

/// What a column says, place by place.
fn texts(column: &Column<'_>) -> Option<std::collections::BTreeMap<u16, String>> {
    let mut texts = std::collections::BTreeMap::new();
    match &column.body {
        Body::Numbers(numbers) => {
            for (place, n) in numbers.all()?.into_iter().enumerate() {
                n.map(|n| texts.insert(place as u16, n.to_string()));
            }
        }
        Body::Texts(values) => {
            values.has().iter().for_each(|place| drop(texts.insert(place, String::new())));
            for (value, places) in values.all()? {
                for place in places.iter() {
                    *texts.entry(place).or_default() += &format!("{} ", String::from_utf8_lossy(&value));
                }
            }
        }
    }
    let odd = column.odd.iter().flat_map(Bits::iter);
    odd.for_each(|place| *texts.entry(place).or_default() += "a value that is not indexed");
    Some(texts)
}
