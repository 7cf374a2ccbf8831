//! Building the index: blocks are read and written one by one, each in a transaction of its own.
//!
//! Nothing is written between reading a key and marking it as indexed, so the index is right at every moment: what is
//! not in a block that fits is answered from the store. A build that was killed goes on where it stopped.

use super::block::{About, Head, NEXT, Shape, broken, column, decode_keys, encode_keys, name, number};
use super::{Reader, Sight, head};
use crate::bits::{BLOCK, Bits, Column};
use crate::key::Key;
use crate::store::embedded::{Embedded, Entry, Indexer, Snapshot, View};
use crate::store::{Error, Kind};
use crate::time::Millis;
use crate::value::{Type, Value};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of different texts in one column, beyond which it tells only who has a value: more would be a copy of the store.
const TEXTS_MAX: usize = 1 << 20;

/// What a build has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Built {
    pub keys: u64,
    /// Keys that had no number before.
    pub new: u64,
    pub blocks: u32,
    /// Blocks that were written.
    pub written: u32,
}

/// Builds or refreshes the index of an entity: every block that keys of have changed in, or whose definitions have, is
/// made anew. `told` hears how many keys are done.
pub(super) fn build(
    store: &Embedded,
    sight: &mut Sight<'_>,
    all: bool,
    told: &mut dyn FnMut(u64),
) -> Result<Built, Error> {
    let mut built = Built::default();
    let work = Work::begin(store, &sight.entity)?;
    let mut done = BTreeSet::new();
    let look = |snapshot: &Snapshot<'_>| -> Result<Option<Vec<Key>>, Error> {
        let Some(view) = snapshot.index()? else { return Ok(None) };
        let is_whole = head(view, &sight.entity)?.is_some_and(|head| head.whole);
        is_whole.then(|| view.changed(&sight.entity)).transpose()
    };
    if let Some(changed) = look(&store.snapshot()?)? {
        let mut rest = &changed[..];
        while !rest.is_empty() {
            let next = &mut |_: &Indexer<'_, '_>, room: usize| Ok(rest[..rest.len().min(room)].to_vec());
            let taken = append(&work, sight, next, &mut done, &mut built)?;
            rest = &rest[taken.min(rest.len())..];
        }
    } else {
        let (mut after, entity): (Option<Key>, _) = (None, sight.entity.clone());
        loop {
            let next = &mut |index: &Indexer<'_, '_>, room: usize| {
                let keys = index.view().keys(&entity, after.as_ref(), room)?;
                after = keys.last().cloned().or(after.take());
                Ok(keys)
            };
            if append(&work, sight, next, &mut done, &mut built)? == 0 {
                break;
            }
            told(built.new);
        }
    }
    let outdated = match store.snapshot()?.index()? {
        Some(view) => outdated(view, sight, all)?,
        None => BTreeSet::new(),
    };
    for (i, block) in outdated.iter().filter(|block| !done.contains(*block)).enumerate() {
        work.change(|index| write(index, sight, *block, &[]))?;
        built.written += 1;
        told(built.new + (i as u64 + 1) * BLOCK as u64);
    }
    work.change(|index| {
        let mut head = head(index.view(), &sight.entity)?.unwrap_or_default();
        head.whole = true;
        (built.keys, built.blocks) = (head.next.into(), head.blocks());
        put_head(index, &sight.entity, &head)
    })?;
    Ok(built)
}

/// One index on its way. Should somebody remove it meanwhile, the work ends: what was written since is marked nowhere, and the
/// next one, begun by another, may not be called whole.
struct Work<'s> {
    store: &'s Embedded,
    born: Vec<u8>,
}

impl<'s> Work<'s> {
    /// Begins where there is no index, or none that knows of all that was written.
    fn begin(store: &'s Embedded, entity: &str) -> Result<Work<'s>, Error> {
        store.begin_index(entity)?;
        if !store.index(|index| index.is_signed())? {
            store.drop_index()?;
            store.begin_index(entity)?;
        }
        let born = store.index(|index| index.view().born())?.ok_or_else(removed)?;
        Ok(Work { store, born })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Indexer<'_, '_>) -> Result<T, Error>) -> Result<T, Error> {
        self.store.index(|index| match index.view().born()? {
            Some(born) if born == self.born => change(index),
            _ => Err(removed()),
        })
    }
}

fn removed() -> Error {
    let error = Error::new(Kind::Busy, "embedded store: its index was removed while it was built");
    error.hint("run this again")
}

fn put_head(index: &mut Indexer<'_, '_>, entity: &str, head: &Head) -> Result<(), Error> {
    let bytes = serde_json::to_vec(head).expect("plain data has a JSON form");
    index.put(&format!("head\0{entity}"), Some(&bytes))
}

/// Which keys come next, given for how many there is room.
type Next<'n> = &'n mut dyn FnMut(&Indexer<'_, '_>, usize) -> Result<Vec<Key>, Error>;

/// Gives numbers to keys that have none, as far as the last block has room, and writes that block. How many keys were
/// looked at.
fn append(
    work: &Work<'_>,
    sight: &mut Sight<'_>,
    next: Next<'_>,
    done: &mut BTreeSet<u32>,
    built: &mut Built,
) -> Result<usize, Error> {
    work.change(|index| {
        let mut head = head(index.view(), &sight.entity)?.unwrap_or_default();
        let room = BLOCK - head.next as usize % BLOCK;
        let block = head.next / BLOCK as u32;
        let keys = next(index, room)?;
        let looked_at = keys.len();
        let mut new = Vec::with_capacity(keys.len());
        for key in keys {
            if index.view().ordinal(key.as_str())?.is_none() {
                new.push(key);
            }
        }
        if new.is_empty() {
            return Ok(looked_at);
        }
        for key in &new {
            index.number(key, head.next)?;
            head.next = head.next.checked_add(1).ok_or_else(broken)?;
        }
        put_head(index, &sight.entity, &head)?;
        write(index, sight, block, &new)?;
        done.insert(block);
        built.new += new.len() as u64;
        built.written += 1;
        Ok(looked_at)
    })
}

/// The blocks that do not tell all they could.
fn outdated(view: View<'_>, sight: &Sight<'_>, all: bool) -> Result<BTreeSet<u32>, Error> {
    let blocks = head(view, &sight.entity)?.unwrap_or_default().blocks();
    let mut outdated = BTreeSet::new();
    for block in 0..blocks {
        let found = view.record(&name("block", &sight.entity, block));
        let about = found.and_then(|bytes| bytes.map(|bytes| About::decode(&bytes)).transpose());
        let is_good = match about {
            // It is made of the store, and needs nothing of what was there.
            Err(e) if e.kind == Kind::Corrupt => false,
            about => about?.is_some_and(|(about, _)| {
                about.signature == sight.signature && about.next.is_none_or(|next| next > sight.reader.as_of.instant())
            }),
        };
        if all || !is_good {
            outdated.insert(block);
        }
    }
    for key in view.changed(&sight.entity)? {
        if let Some(ordinal) = view.ordinal(key.as_str())? {
            outdated.insert(ordinal / BLOCK as u32);
        }
    }
    Ok(outdated)
}

/// Writes a block of the keys it has and `new` ones, as they are now.
fn write(index: &mut Indexer<'_, '_>, sight: &mut Sight<'_>, block: u32, new: &[Key]) -> Result<(), Error> {
    let keys_name = name("keys", &sight.entity, block);
    let mut keys = match index.view().record(&keys_name)? {
        Some(bytes) => decode_keys(&bytes).ok_or_else(broken)?,
        None => Vec::new(),
    };
    if !new.is_empty() {
        keys.extend_from_slice(new);
        index.put(&keys_name, Some(&encode_keys(&keys)))?;
    }
    let mut made = Making::new(sight);
    for key in &keys {
        made.add(index.view().entry(key)?)?;
    }
    let (about, present) = made.finish(&keys, &mut |entity, code, encode| {
        index.put_column(&column(entity, block, code), |name, out| encode(name, out))
    })?;
    index.put(&name("block", &sight.entity, block), Some(&about.encode(&present)))?;
    if index.view().changes()? > 0 {
        keys.iter().try_for_each(|key| index.unmark(key.as_str()))?;
    }
    Ok(())
}

/// Takes the entity, the code and the bytes of a column.
type Keep<'k> = &'k mut dyn FnMut(&str, &str, &mut dyn FnMut(&str, &mut Vec<u8>)) -> Result<(), Error>;

/// A block on its way.
struct Making<'s, 'a> {
    sight: &'s mut Sight<'a>,
    places: usize,
    present: Bits,
    since: Millis,
    newest: Millis,
    next: Vec<Option<i128>>,
    columns: Vec<Gathered>,
}

/// A column on its way.
pub(super) struct Gathered {
    pub tag: usize,
    ty: Type,
    odd: Bits,
    has: Bits,
    numbers: Vec<Option<i128>>,
    texts: BTreeMap<Box<[u8]>, Vec<u16>>,
    bytes: usize,
}

impl<'s, 'a> Making<'s, 'a> {
    fn new(sight: &'s mut Sight<'a>) -> Making<'s, 'a> {
        let columns = sight.tags.iter().map(|tag| Gathered::new(&sight.reader, *tag)).collect();
        let (since, newest) = (Millis::MIN, Millis::MIN);
        Making { sight, places: 0, present: Bits::default(), since, newest, next: Vec::new(), columns }
    }

    /// Takes the next key.
    fn add(&mut self, entry: Entry) -> Result<(), Error> {
        let place = self.places as u16;
        self.places += 1;
        // A removal says as little of the time before as a value does.
        self.newest = entry.tags.iter().map(|tag| tag.as_of).fold(self.newest, Millis::max);
        let (profile, course) = self.sight.look(entry)?;
        if let Some(next) = course {
            self.since = self.since.max(self.sight.reader.as_of.instant());
            self.next.resize(self.places, None);
            self.next[usize::from(place)] = next.map(i128::from);
        }
        if !profile.is_empty() {
            self.present.insert(place);
        }
        for column in &mut self.columns {
            if let Some(value) = &profile.values[column.tag] {
                column.add(place, value);
            }
        }
        Ok(())
    }

    fn finish(mut self, keys: &[Key], keep: Keep<'_>) -> Result<(About, Bits), Error> {
        for column in &mut self.columns {
            let code = &self.sight.reader.definitions.tags[column.tag].code;
            keep(&self.sight.entity, code, &mut |name, out| column.encode(name, self.places, out))?;
        }
        self.next.resize(self.places, None);
        keep(&self.sight.entity, NEXT, &mut |name, out| {
            Column::encode_numbers(name, &Bits::default(), &self.next, out)
        })?;
        let stored = |key: &Key| key.as_str().to_string();
        let rises = keys.is_sorted_by(|a, b| super::stored_order(a, b).is_lt());
        let about = About {
            signature: self.sight.signature,
            since: self.since,
            newest: self.newest,
            next: self.next.iter().flatten().min().map(|next| *next as Millis),
            span: keys.first().zip(keys.last()).filter(|_| rises).map(|(a, b)| (stored(a), stored(b))),
        };
        Ok((about, self.present))
    }
}

impl Gathered {
    pub fn new(reader: &Reader<'_>, tag: usize) -> Gathered {
        Gathered {
            tag,
            ty: reader.definitions.tags[tag].ty,
            odd: Bits::default(),
            has: Bits::default(),
            numbers: Vec::new(),
            texts: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Takes the value of a key; places only rise.
    pub fn add(&mut self, place: u16, value: &Value) {
        self.has.insert(place);
        let is_told = match (self.ty, value) {
            (Type::String, Value::Str(_)) | (Type::Bool, Value::Bool(_)) => {
                self.text(place, &value.to_string());
                true
            }
            (Type::List(_), Value::Json(json)) => {
                let items = serde_json::from_str::<Vec<&RawValue>>(json).ok();
                let is_list = items.is_some();
                items.into_iter().flatten().for_each(|item| self.text(place, item.get()));
                is_list
            }
            (ty, value) if Shape::of(ty) == Shape::Numbers => {
                let n = number(value, ty);
                self.numbers.resize(usize::from(place) + 1, None);
                self.numbers[usize::from(place)] = n;
                n.is_some()
            }
            _ => false,
        };
        if !is_told || self.bytes > TEXTS_MAX {
            self.odd.insert(place);
        }
    }

    fn text(&mut self, place: u16, text: &str) {
        if self.bytes > TEXTS_MAX {
            return;
        }
        let places = match self.texts.get_mut(text.as_bytes()) {
            Some(places) => places,
            None => {
                self.bytes += text.len() + 16;
                self.texts.entry(text.as_bytes().into()).or_default()
            }
        };
        if places.last() != Some(&place) {
            places.push(place);
        }
    }

    /// Appends the column, of so many keys.
    pub fn encode(&mut self, name: &str, keys: usize, out: &mut Vec<u8>) {
        self.numbers.resize(keys, None);
        match Shape::of(self.ty) {
            Shape::Numbers => Column::encode_numbers(name, &self.odd, &self.numbers, out),
            // Too many texts: what was gathered before is dropped with the rest.
            _ if self.bytes > TEXTS_MAX => Column::encode_texts(name, &self.has, &self.has, &BTreeMap::new(), out),
            _ => Column::encode_texts(name, &self.odd, &self.has, &self.texts, out),
        }
    }
}
