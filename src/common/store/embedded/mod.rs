//! The embedded store: profiles in a directory, used by several processes at once.
//!
//! One process owns the live state and commits it about once a second; others put
//! patches beside it or read, each as of the last commit, and no reader waits.
//!
//! Four tables: `meta` (name → bytes, and traces of patches for the owner), `state` (key → the live engine's bytes), `tags`
//! (key → values that came as patches), `ids` (name → bytes). A store with an index has three more (`index.rs`).

mod copy;
mod env;
mod format;
mod index;
mod owner;
mod pages;
mod record;
mod scan;
mod tags;
mod trace;

pub use index::{Indexer, Unread, View};
pub use owner::{Changes, Owner};
pub use scan::{Entry, Scan};
pub use tags::{Applied, Tag};
pub use trace::Trace;

/// What the names in `meta` begin with that stand for keys, the key behind it: memberships of the live state.
pub const OF_KEYS: &str = "\0in\0";

use crate::key::Key;
use crate::patch::Patch;
use crate::store::error::Error;
use crate::time::Millis;
use env::{Shared, Table, corrupt};
use owner::{COMMITTED_AT, Put};
use record::{Of, stored, stored_prefix};
use std::path::Path;
use std::sync::Arc;

/// An open store. Clones share it.
///
/// Limits: local disks only. LMDB keeps no checksum of its pages: a record whose bytes changed on the disk is an
/// error here, but a damaged page that joins records can hide keys or end the process that meets it, and cutting
/// the file while it is open ends readers with SIGBUS. `check_files` and `check` find such damage. A writer
/// stopped in the middle of a commit (SIGSTOP) holds up other writers until it goes on or dies, readers never.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

/// How large a store is and how fresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Keys with a live state.
    pub states: u64,
    /// Keys with tags that came as patches.
    pub patched: u64,
    /// Bytes of the data file.
    pub bytes: u64,
    /// The instant the owner gave with its last commit: the live state is as old as that.
    pub committed_at: Option<Millis>,
}

impl Embedded {
    /// Whether a directory holds a store, of whatever version.
    pub fn exists(dir: &Path) -> bool {
        format::exists(dir)
    }

    /// Opens the store in `dir` for reading and for patches.
    ///
    /// Errors: `NoInput` when there is none, `Format`, `Corrupt`, `Usage` on a network file system.
    pub fn open_existing(dir: &Path) -> Result<Embedded, Error> {
        format::check(dir)?;
        Ok(Embedded { shared: env::open(dir, false)? })
    }

    /// Opens the store in `dir`, or makes one when `dir` is absent or empty.
    pub fn create_or_open(dir: &Path) -> Result<Embedded, Error> {
        if format::exists(dir) {
            return Embedded::open_existing(dir);
        }
        format::prepare(dir)?;
        let shared = env::open(dir, true)?;
        let (entries, databases) = shared.contents()?;
        format::refuse_foreign(dir, entries, databases)?;
        format::mark(dir)?;
        Ok(Embedded { shared })
    }

    /// Reads every page and record in `dir` without opening the store, and says whether they are whole.
    ///
    /// `open_existing` looks at headers only: a damaged page may end the process that meets it. This finds
    /// it safely, for the price of reading the file; an owner may ask before it starts. Meant for a store
    /// that nobody writes: beside a writer, use `check`.
    pub fn check_files(dir: &Path) -> Result<(), Error> {
        format::check(dir)?;
        pages::walk(&dir.join(format::DATA), None, &mut check_record).map_err(|why| corrupt(dir, why))
    }

    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// The store as it is now. Keep it short: while it lives, no page of it is used again.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, Error> {
        // Before the transaction: in one that began earlier a database that is opened later cannot be read.
        let indexed = self.shared.indexed()?;
        Ok(Snapshot { shared: &self.shared, txn: self.shared.read()?, indexed })
    }

    /// Takes the tags of `patches` in one transaction, on the disk when this returns.
    ///
    /// Needs no ownership: any process may do it while another owns the live state, one
    /// waiting for the other's commit. Of one tag the newest as-of wins, here and before.
    /// Where there is an owner, or was, each key that changes leaves a trace for it.
    pub fn apply_patches(&self, patches: &[Patch]) -> Result<Applied, Error> {
        let sorted = by_key(patches);
        let mut applied = Applied::default();
        self.shared.write(|txn| {
            let owned = self.shared.get(txn, self.shared.tables.meta, Of::Meta, COMMITTED_AT, copy)?.is_some();
            let mut put = Put::new(self, txn)?;
            self.apply_sorted(&mut put, &sorted, owned, &mut applied)?;
            Ok(applied)
        })
    }

    fn apply_sorted(
        &self,
        put: &mut Put<'_, '_>,
        sorted: &[&Patch],
        traced: bool,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        for group in sorted.chunk_by(|a, b| a.key == b.key) {
            applied.keys += 1;
            if self.apply_to_key(put, group, applied)? && traced {
                put.leave_trace(&group[0].key)?;
            }
        }
        Ok(())
    }

    /// Whether anything changed.
    fn apply_to_key(&self, put: &mut Put<'_, '_>, patches: &[&Patch], applied: &mut Applied) -> Result<bool, Error> {
        let key = &patches[0].key;
        let table = self.shared.tables.tags;
        let before = self.shared.get(put.txn, table, Of::Tags, key.as_str(), decode_tags)?.unwrap_or_default();
        let mut after = before.clone();
        for patch in patches {
            tags::merge(&mut after, patch, applied);
        }
        // The same patch again costs a read and no page.
        if after == before {
            return Ok(false);
        }
        put.mark(key.as_str())?;
        put.encoded(table, Of::Tags, key.as_str(), |out| tags::encode(out, &after)).map(|()| true)
    }

    /// The live engine's state of a key.
    pub fn state(&self, key: &Key) -> Result<Option<Vec<u8>>, Error> {
        self.snapshot()?.state(key)
    }

    /// The tags of a key that came as patches, sorted by code, removed ones too.
    pub fn tags(&self, key: &Key) -> Result<Vec<Tag>, Error> {
        self.snapshot()?.tags(key)
    }

    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.snapshot()?.meta(name)
    }

    /// State and tags of several keys as of one instant, in the order of `keys`.
    pub fn get_many<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Result<Vec<Entry>, Error> {
        let snapshot = self.snapshot()?;
        keys.into_iter().map(|key| snapshot.entry(key)).collect()
    }

    pub fn stats(&self) -> Result<Stats, Error> {
        self.snapshot()?.stats()
    }

    /// Reads every page and record and says whether they are whole: `Corrupt` with the first fault.
    ///
    /// Costs a read of the whole file; runs beside a writer.
    pub fn check(&self) -> Result<(), Error> {
        let mut verdict = Err(String::new());
        // The header of the snapshot stays for one commit more: on a busy store it may need another try.
        for _ in 0..10 {
            let snapshot = self.snapshot()?;
            let at = snapshot.txn.id() as u64;
            verdict = pages::walk(&self.shared.dir.join(format::DATA), Some(at), &mut check_record);
            if verdict.is_ok() {
                break;
            }
        }
        verdict.map_err(|why| corrupt(&self.shared.dir, why))
    }
}

/// How two keys follow each other in a scan, as they are stored.
pub fn order(a: &str, b: &str) -> std::cmp::Ordering {
    stored(a).cmp(&stored(b))
}

/// Patches in the order of their keys; those of one key stay in the order they came in.
fn by_key(patches: &[Patch]) -> Vec<&Patch> {
    let mut sorted: Vec<&Patch> = patches.iter().collect();
    sorted.sort_by(|a, b| stored(a.key.as_str()).cmp(&stored(b.key.as_str())));
    sorted
}

fn check_record(table: &str, stored: &[u8], record: &[u8]) -> Result<(), String> {
    let of = match table {
        "meta" => Of::Meta,
        "state" => Of::State,
        "tags" => Of::Tags,
        "ids" => Of::Ids,
        "ordinals" => Of::Ordinals,
        "changed" => Of::Changed,
        "index" => return index::check(stored, record),
        other => return Err(format!("an unknown database: {other:?}")),
    };
    let (_, value) = record::decode(of, stored, record)?;
    if of == Of::Tags { decode_tags(value).map(|_| ()) } else { Ok(()) }
}

fn decode_tags(value: &[u8]) -> Result<Vec<Tag>, String> {
    tags::decode(value).ok_or_else(|| "tags of a record are broken".into())
}

fn copy(value: &[u8]) -> Result<Vec<u8>, String> {
    Ok(value.to_vec())
}

impl Shared {
    /// Reads one record, whole and of this very key.
    fn get<T>(
        &self,
        txn: &heed::RoTxn<'_>,
        table: Table,
        of: Of,
        key: &str,
        decode: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let stored = stored(key);
        let Some(record) = table.get(txn, &stored).map_err(|e| self.error("read", e))? else { return Ok(None) };
        let value = record::value_of(of, key, &stored, record).and_then(decode);
        value.map(Some).map_err(|why| corrupt(&self.dir, why))
    }
}

impl Shared {
    fn entry(&self, txn: &heed::RoTxn<'_>, key: &Key) -> Result<Entry, Error> {
        let state = self.get(txn, self.tables.state, Of::State, key.as_str(), copy)?;
        let tags = self.get(txn, self.tables.tags, Of::Tags, key.as_str(), decode_tags)?;
        Ok(Entry { key: key.clone(), state, tags: tags.unwrap_or_default() })
    }
}

/// A store as of one commit.
pub struct Snapshot<'s> {
    shared: &'s Shared,
    txn: env::ReadTxn<'s>,
    indexed: Option<env::Indexed>,
}

impl Snapshot<'_> {
    /// The live engine's state of a key.
    pub fn state(&self, key: &Key) -> Result<Option<Vec<u8>>, Error> {
        self.shared.get(&self.txn, self.shared.tables.state, Of::State, key.as_str(), copy)
    }

    /// The tags of a key that came as patches, sorted by code, removed ones too.
    pub fn tags(&self, key: &Key) -> Result<Vec<Tag>, Error> {
        let tags = self.shared.get(&self.txn, self.shared.tables.tags, Of::Tags, key.as_str(), decode_tags)?;
        Ok(tags.unwrap_or_default())
    }

    /// All that is stored of a key: of an unknown one, nothing.
    pub fn entry(&self, key: &Key) -> Result<Entry, Error> {
        self.shared.entry(&self.txn, key)
    }

    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.shared.get(&self.txn, self.shared.tables.meta, Of::Meta, name, copy)
    }

    /// Gives every name of `meta` that begins with `prefix`, in their order, what stands behind that, and the bytes.
    pub fn each_meta(&self, prefix: &str, mut each: impl FnMut(&str, &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let failed = |e| self.shared.error("read", e);
        for entry in self.shared.tables.meta.prefix_iter(&self.txn, stored_prefix(prefix)).map_err(failed)? {
            let (stored, record) = entry.map_err(failed)?;
            let found = record::decode(Of::Meta, stored, record).map_err(|why| corrupt(&self.shared.dir, why))?;
            if let (Some(rest), value) = (found.0.strip_prefix(prefix), found.1) {
                each(rest, value)?;
            }
        }
        Ok(())
    }

    /// A blob of recent ids.
    pub fn ids(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.shared.get(&self.txn, self.shared.tables.ids, Of::Ids, name, copy)
    }

    /// The names of all blobs of recent ids, sorted.
    pub fn ids_names(&self) -> Result<Vec<String>, Error> {
        let failed = |e| self.shared.error("read", e);
        let mut names = Vec::new();
        for entry in self.shared.tables.ids.iter(&self.txn).map_err(failed)? {
            let (stored, record) = entry.map_err(failed)?;
            let (name, _) = record::decode(Of::Ids, stored, record).map_err(|why| corrupt(&self.shared.dir, why))?;
            names.push(name.to_string());
        }
        Ok(names)
    }

    pub fn stats(&self) -> Result<Stats, Error> {
        let count = |table: Table| table.len(&self.txn).map_err(|e| self.shared.error("read", e));
        let at = |bytes: &[u8]| {
            bytes.try_into().map(Millis::from_le_bytes).map_err(|_| "the instant of the last commit is broken".into())
        };
        Ok(Stats {
            states: count(self.shared.tables.state)?,
            patched: count(self.shared.tables.tags)?,
            bytes: self.shared.bytes(),
            committed_at: self.shared.get(&self.txn, self.shared.tables.meta, Of::Meta, COMMITTED_AT, at)?,
        })
    }
}
