//! Scans of the embedded store: every key of one entity, or of all, in key order.
//!
//! A scan reads in chunks, each from a snapshot of its own: it never keeps old pages
//! alive, and a key is seen as of the moment its chunk was read.

use super::env::{Shared, corrupt};
use super::index::behind;
use super::record::{self, Of, stored_prefix};
use super::tags::{self, Tag};
use super::{Embedded, Snapshot};
use crate::key::{Key, USER};
use crate::store::error::Error;
use std::ops::Bound;

/// A chunk ends at this many keys or bytes, whichever comes first.
const CHUNK_KEYS: usize = 8192;
const CHUNK_BYTES: usize = 8 << 20;

/// All that is stored of one key.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub key: Key,
    /// The live engine's state.
    pub state: Option<Vec<u8>>,
    /// Tags that came as patches, sorted by code, removed ones too.
    pub tags: Vec<Tag>,
}

/// An iterator over entries; after an error it ends.
///
/// Keys come in byte order, except that keys over 510 bytes which agree in the first 495 come in order of their hash.
pub struct Scan {
    store: Embedded,
    prefix: String,
    after: Option<Vec<u8>>,
    chunk: std::vec::IntoIter<Entry>,
    done: bool,
}

impl Embedded {
    /// Every key of one entity of one tenant; the tenant is empty unless tenants are forced.
    pub fn scan(&self, tenant: &str, entity: &str) -> Scan {
        let entity = if entity == USER { "" } else { entity };
        self.scan_prefix(format!("{tenant}\0{entity}\0"))
    }

    /// Every key of every entity and tenant.
    pub fn scan_all(&self) -> Scan {
        self.scan_prefix(String::new())
    }

    fn scan_prefix(&self, prefix: String) -> Scan {
        Scan { store: self.clone(), prefix, after: None, chunk: Vec::new().into_iter(), done: false }
    }
}

impl Iterator for Scan {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.chunk.next() {
                return Some(Ok(entry));
            }
            if self.done {
                return None;
            }
            let read = self.store.snapshot().and_then(|s| s.chunk(&self.prefix, self.after.as_deref()));
            match read {
                Ok((entries, after)) => {
                    self.done = after.is_none();
                    self.after = after;
                    self.chunk = entries.into_iter();
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Where the next chunk goes on; `None` at the end.
pub(super) type After = Option<Vec<u8>>;

impl Snapshot<'_> {
    /// Gives every key of one entity of one tenant to `each`, all as of this one commit.
    pub fn each(&self, tenant: &str, entity: &str, mut each: impl FnMut(Entry)) -> Result<(), Error> {
        let entity = if entity == USER { "" } else { entity };
        let prefix = format!("{tenant}\0{entity}\0");
        let mut after = None;
        loop {
            let (entries, next) = self.chunk(&prefix, after.as_deref())?;
            entries.into_iter().for_each(&mut each);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn chunk(&self, prefix: &str, after: Option<&[u8]>) -> Result<(Vec<Entry>, After), Error> {
        self.shared.chunk(&self.txn, prefix, after, CHUNK_KEYS)
    }
}

impl Shared {
    /// The next entries behind `after`, at most so many, joined from both tables.
    pub(super) fn chunk(
        &self,
        txn: &heed::RoTxn<'_>,
        prefix: &str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Vec<Entry>, After), Error> {
        let start = stored_prefix(prefix);
        let range = (behind(start, after), Bound::Unbounded);
        let failed = |e| self.error("read", e);
        let mut states = self.tables.state.range(txn, &range).map_err(failed)?;
        let mut patched = self.tables.tags.range(txn, &range).map_err(failed)?;
        let mut next_state = states.next().transpose().map_err(failed)?;
        let mut next_tags = patched.next().transpose().map_err(failed)?;
        let mut entries = Vec::new();
        let (mut seen, mut bytes) = (0, 0);
        let mut last: &[u8] = &[];
        loop {
            let at = match (next_state, next_tags) {
                (Some((s, _)), Some((t, _))) => s.min(t),
                (Some((s, _)), None) => s,
                (None, Some((t, _))) => t,
                (None, None) => return Ok((entries, None)),
            };
            if !at.starts_with(start) {
                return Ok((entries, None));
            }
            if seen >= limit || bytes >= CHUNK_BYTES {
                return Ok((entries, Some(last.to_vec())));
            }
            let state = next_state.filter(|(key, _)| *key == at).map(|(_, record)| record);
            let tags = next_tags.filter(|(key, _)| *key == at).map(|(_, record)| record);
            bytes += at.len() + state.map_or(0, <[u8]>::len) + tags.map_or(0, <[u8]>::len);
            let entry = entry(at, state, tags).map_err(|why| corrupt(&self.dir, why))?;
            if entry.key.as_str().starts_with(prefix) {
                entries.push(entry);
            }
            last = at;
            seen += 1;
            if state.is_some() {
                next_state = states.next().transpose().map_err(failed)?;
            }
            if tags.is_some() {
                next_tags = patched.next().transpose().map_err(failed)?;
            }
        }
    }
}

impl Shared {
    /// The next keys behind `after`, at most so many, joined from both tables.
    pub(super) fn keys(
        &self,
        txn: &heed::RoTxn<'_>,
        prefix: &str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Key>, Error> {
        let start = stored_prefix(prefix);
        let range = (behind(start, after), Bound::Unbounded);
        let failed = |e| self.error("read", e);
        let mut states = self.tables.state.range(txn, &range).map_err(failed)?;
        let mut patched = self.tables.tags.range(txn, &range).map_err(failed)?;
        let mut next_state = states.next().transpose().map_err(failed)?;
        let mut next_tags = patched.next().transpose().map_err(failed)?;
        let mut keys = Vec::new();
        while keys.len() < limit {
            let (of, at, record) = match (next_state, next_tags) {
                (Some((s, record)), Some((t, _))) if s <= t => (Of::State, s, record),
                (Some((s, record)), None) => (Of::State, s, record),
                (_, Some((t, record))) => (Of::Tags, t, record),
                (None, None) => break,
            };
            if !at.starts_with(start) {
                break;
            }
            let (key, _) = record::decode(of, at, record).map_err(|why| corrupt(&self.dir, why))?;
            if key.starts_with(prefix) {
                keys.extend(Key::from_stored(key));
            }
            if next_state.is_some_and(|(s, _)| s == at) {
                next_state = states.next().transpose().map_err(failed)?;
            }
            if next_tags.is_some_and(|(t, _)| t == at) {
                next_tags = patched.next().transpose().map_err(failed)?;
            }
        }
        Ok(keys)
    }
}

fn entry(at: &[u8], state: Option<&[u8]>, tags: Option<&[u8]>) -> Result<Entry, String> {
    let state = state.map(|record| record::decode(Of::State, at, record)).transpose()?;
    let tags = tags.map(|record| record::decode(Of::Tags, at, record)).transpose()?;
    let text = match (state, tags) {
        (Some((a, _)), Some((b, _))) if a != b => return Err("two keys have one hash".into()),
        (Some((key, _)), _) | (None, Some((key, _))) => key,
        (None, None) => return Err("an entry of nothing".into()),
    };
    Ok(Entry {
        key: Key::from_stored(text).ok_or_else(|| format!("not a key: {text:?}"))?,
        state: state.map(|(_, value)| value.to_vec()),
        tags: tags.map_or(Some(Vec::new()), |(_, value)| tags::decode(value)).ok_or("tags of a record are broken")?,
    })
}
