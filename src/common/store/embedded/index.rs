//! The index's place in a store: numbers of keys, named bytes, and which keys were written since they were indexed.
//!
//! Every transaction that writes a key of an indexed entity says so beside it, and every transaction signs the index with
//! its number: one that does not, of a program that knows no index, is seen by the number that is missing.
//!
//! Three databases, made with the first index: `index` (name → bytes), `ordinals` (key → number, never used again for
//! another), `changed` (keys).

use super::env::{Indexed, Shared, corrupt};
use super::owner::Put;
use super::record::{self, Of, stored, stored_prefix};
use super::{Embedded, Entry, Snapshot, copy, format};
use crate::bits::Column;
use crate::key::{Key, USER};
use crate::store::error::Error;
use heed::{PutFlags, RoTxn, RwTxn};
use std::ops::Bound;
use std::path::Path;

/// The number of the last transaction that knew of the index.
const SIGNED: &str = "signed";
/// The entities that are indexed, as keys begin with them; one a line.
const ENTITIES: &str = "entities";
/// The number of the transaction that began it: one that was removed and begun again is another.
const BORN: &str = "born";
/// What the names of columns begin with: they are checked as they are read, in parts.
pub(super) const COLUMN: &str = "column\0";

/// How the stored keys of an entity begin.
pub(super) fn prefix_of(entity: &str) -> String {
    format!("\0{}\0", if entity == USER { "" } else { entity })
}

/// The index as of one transaction.
#[derive(Clone, Copy)]
pub struct View<'t> {
    shared: &'t Shared,
    txn: &'t RoTxn<'t>,
    tables: Indexed,
}

/// Bytes of the index that were found and not yet checked: any thread may read them as long as the transaction lives.
pub struct Unread<'t> {
    dir: &'t Path,
    name: String,
    bytes: &'t [u8],
}

impl<'t> Unread<'t> {
    /// Errors: `Corrupt` when it is broken.
    pub fn column(&self) -> Result<Column<'t>, Error> {
        Column::read(&self.name, self.bytes).ok_or_else(|| broken(self.dir))
    }

    /// Gives the value of a record to `read`. Errors: `Corrupt` when it is broken.
    pub fn record<T>(&self, read: impl FnOnce(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
        let at = stored(&self.name);
        read(record::value_of(Of::Index, &self.name, &at, self.bytes).map_err(|why| corrupt(self.dir, why))?)
    }
}

impl Snapshot<'_> {
    /// The index; `None` where there is none.
    pub fn index(&self) -> Result<Option<View<'_>>, Error> {
        Ok(self.indexed.map(|tables| View { shared: self.shared, txn: &self.txn, tables }))
    }
}

impl Embedded {
    /// Begins an index for keys of an entity: from here on what is written of them is marked. Keys that are there are not.
    pub fn begin_index(&self, entity: &str) -> Result<(), Error> {
        // Before anything of it stands there: a program that does not know of indexes is to say so.
        format::raise_to(&self.shared.dir, format::INDEXED)?;
        self.shared.create_index()?;
        self.index(|index| {
            let mut entities = index.view().entities()?;
            if entities.iter().any(|known| known == entity) {
                return Ok(());
            }
            if entities.is_empty() {
                let born = (index.txn.id() as u64).to_le_bytes();
                index.put(BORN, Some(&born))?;
            }
            entities.push(entity.to_string());
            index.put(ENTITIES, Some(entities.join("\n").as_bytes()))
        })
    }

    /// Changes the index in one transaction, on the disk when this returns. There must be one.
    pub fn index<T>(&self, change: impl FnOnce(&mut Indexer<'_, '_>) -> Result<T, Error>) -> Result<T, Error> {
        let Some(tables) = self.shared.indexed()? else {
            return Err(corrupt(&self.shared.dir, "the databases of its index are missing"));
        };
        self.shared.write(|txn| change(&mut Indexer { shared: &self.shared, txn, tables, record: Vec::new() }))
    }

    /// Whether there is an index, finished or not.
    pub fn has_index(&self) -> Result<bool, Error> {
        let snapshot = self.snapshot()?;
        let entities = snapshot.index()?.map_or(Ok(Vec::new()), |view| view.entities())?;
        Ok(!entities.is_empty())
    }

    /// Removes the index and all audiences that were built of it.
    pub fn drop_index(&self) -> Result<(), Error> {
        self.index(|index| {
            let (tables, shared) = (index.tables, index.shared);
            for table in [tables.index, tables.ordinals, tables.changed] {
                table.clear(index.txn).map_err(|e| shared.error("write", e))?;
            }
            Ok(())
        })
    }
}

impl<'t> View<'t> {
    /// Whether every transaction since the index was begun has marked what it wrote.
    pub fn is_signed(&self) -> Result<bool, Error> {
        let signed = self.record(SIGNED)?;
        Ok(signed.as_deref() == Some(&(self.txn.id() as u64).to_le_bytes()))
    }

    /// The entities whose keys are marked.
    pub fn entities(&self) -> Result<Vec<String>, Error> {
        let lines = self.record(ENTITIES)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&lines).lines().map(str::to_string).collect())
    }

    /// Which index it is; `None` where there is none.
    pub fn born(&self) -> Result<Option<Vec<u8>>, Error> {
        self.record(BORN)
    }

    pub fn record(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.unread_record(name)?.map(|unread| unread.record(|bytes| Ok(bytes.to_vec()))).transpose()
    }

    /// The names of records that begin so, sorted.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let failed = |e| self.shared.error("read", e);
        let mut names = Vec::new();
        for entry in self.tables.index.prefix_iter(self.txn, stored_prefix(prefix)).map_err(failed)? {
            let (at, found) = entry.map_err(failed)?;
            let (name, _) = record::decode(Of::Index, at, found).map_err(|why| corrupt(&self.shared.dir, why))?;
            names.push(name.to_string());
        }
        Ok(names)
    }

    /// A column.
    pub fn column(&self, name: &str) -> Result<Option<Column<'t>>, Error> {
        self.unread_column(name)?.map(|unread| unread.column()).transpose()
    }

    pub fn unread_column(&self, name: &str) -> Result<Option<Unread<'t>>, Error> {
        self.unread(format!("{COLUMN}{name}"))
    }

    pub fn unread_record(&self, name: &str) -> Result<Option<Unread<'t>>, Error> {
        self.unread(name.to_string())
    }

    fn unread(&self, name: String) -> Result<Option<Unread<'t>>, Error> {
        let found = self.tables.index.get(self.txn, &stored(&name)).map_err(|e| self.shared.error("read", e))?;
        Ok(found.map(|bytes| Unread { dir: &self.shared.dir, name, bytes }))
    }

    /// What a reader of a column says that turns out to be broken.
    pub fn broken(&self) -> Error {
        broken(&self.shared.dir)
    }

    pub fn ordinal(&self, key: &str) -> Result<Option<u32>, Error> {
        let number =
            |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).map_err(|_| "a number of a key is broken".into());
        self.shared.get(self.txn, self.tables.ordinals, Of::Ordinals, key, number)
    }

    /// How many keys were written since they were indexed, of all entities.
    pub fn changes(&self) -> Result<u64, Error> {
        self.tables.changed.len(self.txn).map_err(|e| self.shared.error("read", e))
    }

    /// The keys of an entity that were written since they were indexed, or never were, in their order.
    pub fn changed(&self, entity: &str) -> Result<Vec<Key>, Error> {
        let failed = |e| self.shared.error("read", e);
        let prefix = prefix_of(entity);
        let mut keys = Vec::new();
        for entry in self.tables.changed.prefix_iter(self.txn, stored_prefix(&prefix)).map_err(failed)? {
            let (at, found) = entry.map_err(failed)?;
            let (key, _) = record::decode(Of::Changed, at, found).map_err(|why| corrupt(&self.shared.dir, why))?;
            keys.extend(Key::from_stored(key));
        }
        Ok(keys)
    }

    /// All that is stored of a key.
    pub fn entry(&self, key: &Key) -> Result<Entry, Error> {
        self.shared.entry(self.txn, key)
    }

    /// Up to `limit` keys of an entity behind `after`, in their order.
    pub fn keys(&self, entity: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, Error> {
        let after = after.map(|key| stored(key.as_str()).into_owned());
        self.shared.keys(self.txn, &prefix_of(entity), after.as_deref(), limit)
    }
}

fn broken(dir: &Path) -> Error {
    corrupt(dir, "a column of its index is broken")
}

/// Changes the index within one transaction.
pub struct Indexer<'p, 't> {
    shared: &'p Shared,
    txn: &'p mut RwTxn<'t>,
    tables: Indexed,
    record: Vec<u8>,
}

impl Indexer<'_, '_> {
    /// The store and the index as they are within this transaction.
    pub fn view(&self) -> View<'_> {
        View { shared: self.shared, txn: self.txn, tables: self.tables }
    }

    /// Whether every transaction before this one has marked what it wrote.
    pub fn is_signed(&self) -> Result<bool, Error> {
        let signed = self.view().record(SIGNED)?;
        Ok(signed.is_none_or(|signed| signed == (self.txn.id() as u64 - 1).to_le_bytes()))
    }

    /// Writes a record, or removes it.
    pub fn put(&mut self, name: &str, bytes: Option<&[u8]>) -> Result<(), Error> {
        let failed = |e| self.shared.error("write", e);
        match bytes {
            None => self.tables.index.delete(self.txn, &stored(name)).map(|_| ()).map_err(failed),
            Some(bytes) => {
                record::encode(&mut self.record, Of::Index, name, |out| out.extend_from_slice(bytes));
                self.tables.index.put(self.txn, &stored(name), &self.record).map_err(failed)
            }
        }
    }

    /// Writes a column; `encode` is given the name that it has to bear.
    pub fn put_column(&mut self, name: &str, encode: impl FnOnce(&str, &mut Vec<u8>)) -> Result<(), Error> {
        let name = format!("{COLUMN}{name}");
        self.record.clear();
        encode(&name, &mut self.record);
        let put = self.tables.index.put(self.txn, &stored(&name), &self.record);
        put.map_err(|e| self.shared.error("write", e))
    }

    /// Gives a key its number.
    pub fn number(&mut self, key: &Key, ordinal: u32) -> Result<(), Error> {
        let failed = |e| self.shared.error("write", e);
        let key = key.as_str();
        record::encode(&mut self.record, Of::Ordinals, key, |out| out.extend_from_slice(&ordinal.to_le_bytes()));
        let at = stored(key);
        let table = self.tables.ordinals;
        // The first index numbers keys in their order: appended, they fill the pages.
        let last = table.last(self.txn).map_err(failed)?;
        let flags = if last.is_none_or(|(last, _)| last < &*at) { PutFlags::APPEND } else { PutFlags::empty() };
        table.put_with_flags(self.txn, flags, &at, &self.record).map_err(failed)
    }

    /// The key is in the index as it is in the store.
    pub fn unmark(&mut self, key: &str) -> Result<(), Error> {
        let deleted = self.tables.changed.delete(self.txn, &stored(key));
        deleted.map(|_| ()).map_err(|e| self.shared.error("write", e))
    }
}

impl Shared {
    /// Says in the index that a transaction knew of it.
    pub(super) fn sign(&self, txn: &mut RwTxn<'_>, tables: Indexed) -> Result<(), Error> {
        let (number, mut bytes) = (txn.id() as u64, Vec::new());
        record::encode(&mut bytes, Of::Index, SIGNED, |out| out.extend_from_slice(&number.to_le_bytes()));
        let failed = |e| self.error("write", e);
        // Once missed, never made good: an index that somebody wrote beside has to be made anew.
        let table = tables.index;
        let signed = self.get(txn, table, Of::Index, SIGNED, copy)?;
        let previous = (number - 1).to_le_bytes();
        if signed.is_none_or(|signed| signed == previous) {
            table.put(txn, &stored(SIGNED), &bytes).map_err(failed)?;
        }
        Ok(())
    }
}

/// The beginnings of keys whose changes are marked, and where.
pub(super) struct Marks {
    changed: super::env::Table,
    prefixes: Vec<String>,
    record: Vec<u8>,
}

impl Marks {
    /// `None` without an index.
    pub fn of(shared: &Shared, txn: &RoTxn<'_>) -> Result<Option<Marks>, Error> {
        let Some(tables) = shared.indexed()? else { return Ok(None) };
        let entities = View { shared, txn, tables }.entities()?;
        let prefixes = entities.iter().map(|entity| prefix_of(entity)).collect();
        Ok(Some(Marks { changed: tables.changed, prefixes, record: Vec::new() }))
    }
}

impl Put<'_, '_> {
    /// Tells the index that this transaction writes a key.
    pub fn mark(&mut self, key: &str) -> Result<(), Error> {
        let Some(marks) = &mut self.marks else { return Ok(()) };
        if !marks.prefixes.iter().any(|prefix| key.starts_with(&**prefix)) {
            return Ok(());
        }
        record::encode(&mut marks.record, Of::Changed, key, |_| ());
        let put = marks.changed.put(self.txn, &stored(key), &marks.record);
        put.map_err(|e| self.store.shared.error("write", e))
    }
}

/// Judges a record of the index as `check_files` reads it.
pub(super) fn check(at: &[u8], record: &[u8]) -> Result<(), String> {
    if !at.starts_with(COLUMN.as_bytes()) {
        return record::decode(Of::Index, at, record).map(|_| ());
    }
    let name = std::str::from_utf8(at).map_err(|_| "a column of the index has a strange name")?;
    match Column::read(name, record).is_some_and(|column| column.check()) {
        true => Ok(()),
        false => Err(format!("a column of the index is broken: {}", name[COLUMN.len()..].replace('\0', " "))),
    }
}

/// Where a range of stored keys begins.
pub(super) fn behind<'b>(start: &'b [u8], after: Option<&'b [u8]>) -> Bound<&'b [u8]> {
    match after {
        Some(after) => Bound::Excluded(after),
        // LMDB has no empty key to begin at.
        None if start.is_empty() => Bound::Unbounded,
        None => Bound::Included(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Patch;

    fn patched(store: &Embedded, user: &str, age: u32) {
        let line = format!("{{\"userId\":\"{user}\",\"asOf\":1,\"tags\":{{\"age\":{age}}}}}");
        store.apply_patches(&[Patch::parse(&line).expect("a patch")]).expect("applied");
    }

    fn signed(store: &Embedded) -> bool {
        store.snapshot().expect("open").index().expect("read").expect("an index").is_signed().expect("read")
    }

    fn changed(store: &Embedded) -> Vec<String> {
        let snapshot = store.snapshot().expect("open");
        let view = snapshot.index().expect("read").expect("an index");
        view.changed(USER).expect("read").iter().map(|key| key.id().to_string()).collect()
    }

    #[test]
    fn what_is_written_is_marked_and_a_transaction_without_a_signature_is_never_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Embedded::create_or_open(&dir.path().join("s")).expect("a store");
        patched(&store, "a", 1);
        assert!(store.snapshot().expect("open").index().expect("read").is_none());
        store.begin_index(USER).expect("begun");
        assert!(signed(&store) && changed(&store).is_empty());
        patched(&store, "b", 1);
        patched(&store, "c", 1);
        store.remove_tags(&[Key::user("", "a")]).expect("removed");
        assert!(signed(&store));
        assert_eq!(changed(&store), ["a", "b", "c"]);
        store.index(|index| index.unmark(Key::user("", "b").as_str())).expect("unmarked");
        // The same once more changes nothing.
        patched(&store, "b", 1);
        assert_eq!(changed(&store), ["a", "c"]);
        assert!(store.index(|index| index.is_signed()).expect("read"));
        store.shared.write_as_before("old");
        assert!(!signed(&store));
        patched(&store, "b", 2);
        assert!(!signed(&store) && !store.index(|index| index.is_signed()).expect("read"));
        assert!(store.has_index().expect("read"));
        store.drop_index().expect("dropped");
        assert!(!store.has_index().expect("read"));
        store.begin_index(USER).expect("begun");
        assert!(signed(&store) && changed(&store).is_empty());
    }

    #[test]
    fn numbers_of_keys_are_kept_and_columns_read_under_their_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Embedded::create_or_open(&dir.path().join("s")).expect("a store");
        store.begin_index(USER).expect("begun");
        let keys: Vec<Key> = ["b", "a", "c"].map(|id| Key::user("", id)).into();
        store
            .index(|index| {
                for (i, key) in keys.iter().enumerate() {
                    index.number(key, i as u32)?;
                }
                index.put_column("one", |name, out| {
                    Column::encode_numbers(name, &crate::bits::Bits::default(), &[Some(7)], out);
                })
            })
            .expect("written");
        let snapshot = store.snapshot().expect("open");
        let view = snapshot.index().expect("read").expect("an index");
        assert_eq!(
            keys.iter().map(|key| view.ordinal(key.as_str()).expect("read")).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(view.ordinal(Key::user("", "d").as_str()).expect("read"), None);
        assert!(view.column("one").expect("read").is_some() && view.column("two").expect("read").is_none());
        drop(snapshot);
        store.check().expect("whole");
    }
}
