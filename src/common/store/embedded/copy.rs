//! Copies of a store without some of its keys.
//!
//! A key that was removed leaves its bytes in free pages, in gaps, and in the branches above: only a file that never held it
//! is free of it.

use super::env::{Table, corrupt};
use super::owner::Put;
use super::record::{self, Of};
use super::trace;
use super::{Embedded, OF_KEYS};
use crate::key::Key;
use crate::store::error::Error;
use heed::PutFlags;

/// Records in one transaction.
const AT_ONCE: usize = 200_000;

impl Embedded {
    /// Writes all that is here into `to`, a new store, but for keys that `leave`s out, and the names of `meta` that `but` does.
    ///
    /// As of one commit; what others put here meanwhile is not in it. An index is not copied: it has values of every key.
    pub fn copy_into(&self, to: &Embedded, leave: &dyn Fn(&Key) -> bool, but: &[&str]) -> Result<(), Error> {
        let (from, tables) = (self.shared.tables, to.shared.tables);
        for (of, source, target) in [
            (Of::Meta, from.meta, tables.meta),
            (Of::State, from.state, tables.state),
            (Of::Tags, from.tags, tables.tags),
            (Of::Ids, from.ids, tables.ids),
        ] {
            let stays = |name: &str| match of {
                Of::Meta => {
                    let key = || name.strip_prefix(OF_KEYS).and_then(Key::from_stored);
                    !but.contains(&name) && !trace::key_of(name).or_else(key).is_some_and(|key| leave(&key))
                }
                Of::State | Of::Tags => !Key::from_stored(name).is_some_and(|key| leave(&key)),
                Of::Ids => true,
                Of::Index | Of::Ordinals | Of::Changed => false,
            };
            self.copy_table(to, of, source, target, &stays)?;
        }
        Ok(())
    }

    fn copy_table(
        &self,
        to: &Embedded,
        of: Of,
        source: Table,
        target: Table,
        stays: &dyn Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let snapshot = self.snapshot()?;
        let failed = |e| self.shared.error("read", e);
        let mut scratch = Vec::new();
        let mut records = source.iter(&snapshot.txn).map_err(failed)?;
        loop {
            let done = to.shared.write(|txn| {
                for _ in 0..AT_ONCE {
                    let Some(found) = records.next() else { return Ok(true) };
                    let (at, record) = found.map_err(failed)?;
                    let (name, _) = record::decode(of, at, record).map_err(|why| corrupt(&self.shared.dir, why))?;
                    if stays(name) {
                        // The number of a transaction means nothing over there: no trace to come has this one.
                        let record = match of == Of::Meta && trace::key_of(name).is_some() {
                            true => trace::unnumbered(name, &mut scratch),
                            false => record,
                        };
                        // In their order: the pages are filled one behind the other.
                        let put = target.put_with_flags(txn, PutFlags::APPEND, at, record);
                        put.map_err(|e| to.shared.error("write", e))?;
                    }
                }
                Ok(false)
            })?;
            if done {
                return Ok(());
            }
        }
    }

    /// Removes what patches have left of some keys, their traces too; the live state is its owner's. Gives how many had any.
    pub fn remove_tags(&self, keys: &[Key]) -> Result<usize, Error> {
        self.shared.write(|txn| {
            let mut put = Put::new(self, txn)?;
            let mut there = 0;
            for key in keys {
                there += usize::from(put.remove_tags(key)?);
            }
            Ok(there)
        })
    }
}
