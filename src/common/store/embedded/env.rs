//! The LMDB environment of a store: opening, sharing within the process, errors by class.
//!
//! One environment per directory and process, whatever opens it: LMDB forbids a second.
//! The memory map is reserved once and never resized.
#![allow(unsafe_code)] // Opening a memory map is unsafe; nothing else here is.

use crate::ndjson::shown;
use crate::store::error::{Error, Kind};
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, MdbError, WithoutTls};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

pub(super) type Table = Database<Bytes, Bytes>;
pub(super) type ReadTxn<'s> = heed::RoTxn<'s, WithoutTls>;

/// The databases of a store, in the order of `Tables`.
pub(super) const NAMES: [&str; 4] = ["meta", "state", "tags", "ids"];
/// Those of a store that has an index, in the order of `Indexed`.
pub(super) const INDEX_NAMES: [&str; 3] = ["index", "ordinals", "changed"];
/// Address space asked for, largest first: a limit on it (`ulimit -v`) makes a smaller one do.
const MAP_SIZES: [u64; 5] = [256 << 30, 64 << 30, 16 << 30, 4 << 30, 1 << 30];
/// A disk with less room than this, in bytes, is full.
const FULL: u64 = 1 << 20;
/// Readers at one time, over all processes.
const READERS: u32 = 1024;

#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub meta: Table,
    pub state: Table,
    pub tags: Table,
    pub ids: Table,
}

/// The databases of an index.
#[derive(Clone, Copy)]
pub(super) struct Indexed {
    /// Name → bytes.
    pub index: Table,
    /// Key → its number.
    pub ordinals: Table,
    /// Keys that were written since they were indexed.
    pub changed: Table,
}

/// An open store, shared by everything in this process that uses it.
pub(super) struct Shared {
    env: Env<WithoutTls>,
    pub tables: Tables,
    /// The unnamed database, which holds the names of the others.
    main: Table,
    /// Once there is an index and somebody has looked.
    indexed: Mutex<Option<Indexed>>,
    pub dir: PathBuf,
    /// Set for good when a commit failed: the disk may have lost what it said it had.
    broken: AtomicBool,
}

static OPEN: Mutex<Vec<(PathBuf, Weak<Shared>)>> = Mutex::new(Vec::new());

/// Opens the environment in `dir`, or shares the one that is open.
///
/// Missing databases are made when `create` is given, and are an error otherwise.
pub(super) fn open(dir: &Path, create: bool) -> Result<Arc<Shared>, Error> {
    let path = dir.canonicalize().map_err(|e| io_error(dir, "open", &e))?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, shared)| shared.strong_count() > 0);
    if let Some(shared) = open.iter().find(|(p, _)| *p == path).and_then(|(_, shared)| shared.upgrade()) {
        return Ok(shared);
    }
    let env = open_env(dir).map_err(|e| error(dir, "open", e))?;
    // Readers that died without a word would keep old pages alive for ever.
    env.clear_stale_readers().map_err(|e| error(dir, "open", e))?;
    let tables = tables(&env, create).map_err(|e| error(dir, "open", e))?;
    let tables = tables.ok_or_else(|| corrupt(dir, "a database is missing"))?;
    let main = main_of(&env).map_err(|e| error(dir, "open", e))?;
    let main = main.ok_or_else(|| corrupt(dir, "the main database is missing"))?;
    let broken = AtomicBool::new(false);
    let shared = Arc::new(Shared { env, tables, main, indexed: Mutex::new(None), dir: dir.to_path_buf(), broken });
    open.push((path, Arc::downgrade(&shared)));
    Ok(shared)
}

fn open_env(dir: &Path) -> heed::Result<Env<WithoutTls>> {
    let mut flags = EnvFlags::empty();
    let mut sizes = MAP_SIZES.iter().filter_map(|size| usize::try_from(*size).ok()).peekable();
    let mut tries = 0;
    loop {
        let size = *sizes.peek().expect("the smallest size ends the loop");
        match open_with(dir, size, flags) {
            Err(heed::Error::Io(e)) if e.kind() == io::ErrorKind::OutOfMemory => {
                sizes.next();
                if sizes.peek().is_none() {
                    return Err(heed::Error::Io(e));
                }
            }
            Err(heed::Error::Io(e)) if read_only(&e) && !flags.contains(EnvFlags::READ_ONLY) => {
                flags |= EnvFlags::READ_ONLY;
            }
            // Another thread has just dropped the last use of it and is still closing.
            Err(heed::Error::EnvAlreadyOpened) if tries < 1000 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other,
        }
    }
}

/// A directory that may only be read can still be read.
fn read_only(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn open_with(dir: &Path, size: usize, flags: EnvFlags) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(size).max_readers(READERS).max_dbs((NAMES.len() + INDEX_NAMES.len()) as u32);
    // SAFETY: the flags are none or READ_ONLY, neither of which weakens LMDB's own locking or syncing.
    unsafe { options.flags(flags) };
    // SAFETY: the file below the map is changed only by LMDB, under its lock: the directory is adprof's own (`format.rs`
    // has checked its mark), file systems where that lock does not hold are refused, and the file's length has been
    // compared with its header. Somebody who cuts the file while it is open can still end the process with SIGBUS.
    unsafe { options.open(dir) }
}

fn tables(env: &Env<WithoutTls>, create: bool) -> heed::Result<Option<Tables>> {
    let txn = env.read_txn()?;
    let mut found = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        found.push(env.open_database(&txn, Some(name))?);
    }
    txn.commit()?;
    if create && found.iter().any(Option::is_none) {
        let mut txn = env.write_txn()?;
        found.clear();
        for name in NAMES {
            found.push(Some(env.create_database(&mut txn, Some(name))?));
        }
        txn.commit()?;
    }
    Ok(match found[..] {
        [Some(meta), Some(state), Some(tags), Some(ids)] => Some(Tables { meta, state, tags, ids }),
        _ => None,
    })
}

fn main_of(env: &Env<WithoutTls>) -> heed::Result<Option<Table>> {
    let txn = env.read_txn()?;
    let main = env.open_database(&txn, None)?;
    txn.commit()?;
    Ok(main)
}

impl Shared {
    /// The databases of the index; `None`: there was none when this was asked.
    pub fn indexed(&self) -> Result<Option<Indexed>, Error> {
        // One at a time: LMDB opens a database for one transaction only.
        let mut known = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            let open = || -> heed::Result<Option<Indexed>> {
                let txn = self.env.read_txn()?;
                let mut found = Vec::with_capacity(INDEX_NAMES.len());
                if self.main.get(&txn, INDEX_NAMES[0].as_bytes())?.is_some() {
                    for name in INDEX_NAMES {
                        found.push(self.env.open_database(&txn, Some(name))?);
                    }
                }
                txn.commit()?;
                Ok(match found[..] {
                    [Some(index), Some(ordinals), Some(changed)] => Some(Indexed { index, ordinals, changed }),
                    _ => None,
                })
            };
            *known = open().map_err(|e| self.error("open", e))?;
        }
        Ok(*known)
    }

    /// Whether there is an index as of this transaction.
    pub fn has_index(&self, txn: &heed::RoTxn<'_>) -> Result<bool, Error> {
        let found = self.main.get(txn, INDEX_NAMES[0].as_bytes()).map_err(|e| self.error("read", e))?;
        Ok(found.is_some())
    }

    /// Makes the databases of an index where there are none.
    pub fn create_index(&self) -> Result<(), Error> {
        if self.indexed()?.is_some() {
            return Ok(());
        }
        let _alone = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
        let create = || -> heed::Result<()> {
            let mut txn = self.env.write_txn()?;
            for name in INDEX_NAMES {
                let _: Table = self.env.create_database(&mut txn, Some(name))?;
            }
            txn.commit()
        };
        create().map_err(|e| self.error("make an index", e))
    }

    pub fn read(&self) -> Result<ReadTxn<'_>, Error> {
        self.env.read_txn().map_err(|e| self.error("read", e))
    }

    /// Runs `write` in one transaction and commits it, synced to the disk.
    ///
    /// Waits while another process writes. After a commit that failed every write fails:
    /// the next sync of that file may say it is well though data is gone.
    pub fn write<T>(&self, write: impl FnOnce(&mut heed::RwTxn<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if self.broken.load(Ordering::Acquire) {
            let error = Error::new(Kind::Io, format!("{}: an earlier write failed", place(&self.dir)));
            return Err(
                error.hint("stop, see to the disk, then start again: the state goes back to its last checkpoint")
            );
        }
        let (mut txn, indexed) = loop {
            let indexed = self.indexed()?;
            let txn = self.env.write_txn().map_err(|e| self.error("write", e))?;
            // Another process may have made an index just now: what is written has to be told to it.
            if indexed.is_some() || !self.has_index(&txn)? {
                break (txn, indexed);
            }
        };
        let done = write(&mut txn)?;
        if let Some(indexed) = indexed {
            self.sign(&mut txn, indexed)?;
        }
        txn.commit().map_err(|e| self.commit_error(e))?;
        Ok(done)
    }

    /// Writes as a program does that knows of no index.
    #[cfg(test)]
    pub fn write_as_before(&self, name: &str) {
        let mut txn = self.env.write_txn().expect("begun");
        self.tables.meta.put(&mut txn, name.as_bytes(), b"x").expect("put");
        txn.commit().expect("committed");
    }

    /// Entries in all four databases, and the number of databases of whatever name.
    pub fn contents(&self) -> Result<(u64, u64), Error> {
        let count = || -> heed::Result<(u64, u64)> {
            let txn = self.env.read_txn()?;
            let main: Option<Table> = self.env.open_database(&txn, None)?;
            let tables = self.tables;
            let mut entries = 0;
            for table in [tables.meta, tables.state, tables.tags, tables.ids] {
                entries += table.len(&txn)?;
            }
            let databases = main.map_or(Ok(0), |main| main.len(&txn))?;
            txn.commit()?;
            Ok((entries, databases))
        };
        count().map_err(|e| self.error("open", e))
    }

    /// Bytes of the file that hold something, free pages within it included.
    pub fn bytes(&self) -> u64 {
        (self.env.info().last_page_number as u64 + 1) * u64::from(self.env.stat().page_size)
    }

    /// The error of a commit that failed, which closes the store to writes unless it was for want of room.
    ///
    /// A full disk or map is no fault of the disk: nothing that was there is lost, and the next
    /// transaction writes all of its pages anew.
    fn commit_error(&self, e: heed::Error) -> Error {
        match &e {
            heed::Error::Mdb(MdbError::MapFull) => self.error("commit", e),
            // LMDB tells a write cut short by a full disk as a plain I/O error.
            heed::Error::Io(_) if disk_is_full(&self.dir) => {
                Error::new(Kind::Io, format!("{}: cannot commit: the disk is full", place(&self.dir)))
                    .hint("make room: nothing that was committed is lost")
            }
            _ => {
                self.broken.store(true, Ordering::Release);
                self.error("commit", e)
            }
        }
    }

    pub fn error(&self, doing: &str, e: heed::Error) -> Error {
        error(&self.dir, doing, e)
    }
}

fn disk_is_full(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL)
}

/// The store as messages name it.
pub(super) fn place(dir: &Path) -> String {
    format!("file:{}", shown(&dir.to_string_lossy()))
}

pub(super) fn corrupt(dir: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(Kind::Corrupt, format!("{}: the store is damaged: {why}", place(dir)))
        .hint("remove the directory and rebuild it from the log or the topic")
}

pub(super) fn io_error(dir: &Path, doing: &str, e: &io::Error) -> Error {
    let kind = if read_only(e) { Kind::Denied } else { Kind::Io };
    Error::new(kind, format!("{}: cannot {doing}: {e}", place(dir)))
}

pub(super) fn error(dir: &Path, doing: &str, e: heed::Error) -> Error {
    match e {
        heed::Error::Io(e) => io_error(dir, doing, &e),
        heed::Error::Mdb(MdbError::MapFull) => Error::new(Kind::Io, format!("{}: the store is full", place(dir)))
            .hint("its size is bounded by the address space it could reserve: lift `ulimit -v`"),
        heed::Error::Mdb(MdbError::ReadersFull) => {
            Error::new(Kind::Busy, format!("{}: more than {READERS} readers at once", place(dir)))
        }
        heed::Error::Mdb(MdbError::MapResized) => {
            Error::new(Kind::Io, format!("{}: the store is larger than the address space here", place(dir)))
                .hint("lift `ulimit -v`")
        }
        heed::Error::Mdb(
            e @ (MdbError::Corrupted
            | MdbError::PageNotFound
            | MdbError::Invalid
            | MdbError::VersionMismatch
            | MdbError::Panic),
        ) => corrupt(dir, format!("cannot {doing}: {e}")),
        e => Error::new(Kind::Io, format!("{}: cannot {doing}: {e}", place(dir))),
    }
}
