//! A state, or any embedded store: without a stream the file is written anew without the users; a stream that owns it drops
//! them itself.

use super::People;
use crate::disk::sync_dir;
use crate::forgotten::{self, Forgotten};
use crate::key::Key;
use crate::ledger::Ledger;
use crate::log::Lock;
use crate::rollup::offer::Shelf;
use crate::run::keep::{FOLLOWED, followed};
use crate::run::outbox;
use crate::run::projection::{TOLD, Told};
use crate::run::rebuild::{beside, carry_over, clear, exchange, lock, only_a_state};
use crate::store::embedded::{Changes, Owner};
use crate::store::{Embedded, Error, Kind};
use crate::tag::Definitions;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

const DATA: &str = "data.mdb";
/// A file in the directory of a state: its pages have bytes of forgotten users, and it is to be written anew.
const MARK: &str = "forgotten.pages";
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a state. `index`: it had one, which is gone, with the audiences built of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its file has no byte of the users; it was written anew for that, or never had any.
    Clean { rewritten: bool, index: bool },
    /// A stream owns it and has dropped them; the file keeps bytes in pages that are not used again yet, or none.
    Dropped { bytes_left: bool, index: bool },
    /// A stream owns it and has not answered in time.
    Waiting,
}

/// Puts the users into the list of the state in `dir`, and drops them there. `wait`: how long a stream that owns it has.
///
/// Errors: the store's; `Busy` while a base is made or the state is rebuilt.
pub fn state(dir: &Path, people: &People, wait: Duration) -> Result<State, Error> {
    let failed = |e: io::Error| Error::new(Kind::Io, format!("{}: {e}", dir.display()));
    let _rebuilding = Lock::take(&lock(dir), &beside(dir)).map_err(busy)?;
    // Made from a log that had them.
    let shelf = Shelf::of(dir);
    let _baking = if shelf.dir.is_dir() { Some(shelf.lock().map_err(busy)?) } else { None };
    let list = forgotten::update(&forgotten::beside(dir), |list| list.merge(&people.list)).map_err(failed)?;
    let store = Embedded::open_existing(dir)?;
    leftovers(dir, &store)?;
    let definitions = definitions(&store)?;
    let gone = |key: &Key| definitions.user_of(key).is_some_and(|user| people.ids.iter().any(|id| id == user));
    match store.begin_owner("adprof forget") {
        Err(e) if e.kind == Kind::Busy => running(dir, &store, &list, &gone, people, wait),
        Err(e) => Err(e),
        Ok(owner) => {
            shelf.withdraw();
            alone(dir, store, owner, &list, &gone, people)
        }
    }
}

fn busy(e: impl std::fmt::Display) -> Error {
    Error::new(Kind::Busy, e.to_string()).hint("let it end, and run this again")
}

/// The definitions by which keys are known.
fn definitions(store: &Embedded) -> Result<Definitions, Error> {
    let ledger = Ledger::read(&store.snapshot()?)?;
    let kept = ledger.map(|ledger| ledger.definitions()).transpose()?.flatten();
    Ok(kept.unwrap_or_else(Definitions::built_in))
}

/// What a run that was killed has left beside the state: half a new file, or the old one after it was replaced.
fn leftovers(dir: &Path, store: &Embedded) -> Result<(), Error> {
    let left = beside(dir);
    if Embedded::exists(&left)
        && let Ok(left) = Embedded::open_existing(&left)
    {
        carry_over(&left, store)?;
    }
    clear(dir)
}

/// Nothing runs on it.
fn alone(
    dir: &Path,
    store: Embedded,
    mut owner: Owner,
    list: &Forgotten,
    gone: &dyn Fn(&Key) -> bool,
    people: &People,
) -> Result<State, Error> {
    let failed = |e: io::Error| Error::new(Kind::Io, format!("{}: {e}", dir.display()));
    let committed = store.stats()?.committed_at;
    if !has_bytes(dir, people).map_err(failed)? {
        if let Some(at) = committed {
            follow(&mut owner, at, list, &[])?;
        }
        mark(dir, false).map_err(failed)?;
        return Ok(State::Clean { rewritten: false, index: false });
    }
    let index = store.has_index()?;
    renew(dir, store, owner, list, gone)?;
    Ok(State::Clean { rewritten: true, index })
}

/// Writes the store anew beside itself, without some keys, and puts it into its place.
fn renew(
    dir: &Path,
    store: Embedded,
    owner: Owner,
    list: &Forgotten,
    gone: &dyn Fn(&Key) -> bool,
) -> Result<(), Error> {
    let failed = |e: io::Error| Error::new(Kind::Io, format!("{}: {e}", dir.display()));
    only_a_state(dir)?;
    let (path, committed) = (beside(dir), store.stats()?.committed_at);
    let new = Embedded::create_or_open(&path)?;
    forgotten::update(&forgotten::beside(&path), |to| to.merge(list)).map_err(failed)?;
    let told = store.meta(TOLD)?;
    let waiting = outbox::blobs(&store)?;
    let but: Vec<&str> = [TOLD, FOLLOWED].into_iter().chain(waiting.iter().map(|(name, _)| &**name)).collect();
    store.copy_into(&new, gone, &but)?;
    if let Some(at) = committed {
        let told = told.and_then(|told| Told::without(&told, gone)).map(|told| (TOLD.to_string(), told));
        let left = waiting.into_iter().map(|(name, lines)| (name, outbox::without(&lines, gone)));
        follow(&mut new.begin_owner("adprof forget")?, at, list, &told.into_iter().chain(left).collect::<Vec<_>>())?;
    }
    let letters = dir.join("dead.ndjson");
    if letters.exists() {
        fs::copy(&letters, path.join("dead.ndjson")).map_err(failed)?;
        File::open(path.join("dead.ndjson")).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    drop(new);
    exchange(dir)?;
    // Closed before its directory is opened under another name.
    drop((owner, store));
    // Once more, for what came as patches since.
    carry_over(&Embedded::open_existing(&path)?, &Embedded::open_existing(dir)?)?;
    clear(dir)
}

/// Writes the store in `dir` anew if a stream had to leave bytes of forgotten users in its file. Before the stream opens it.
pub fn renew_if_marked(dir: &Path) -> Result<(), Error> {
    if !dir.join(MARK).exists() {
        return Ok(());
    }
    let _rebuilding = Lock::take(&lock(dir), &beside(dir)).map_err(busy)?;
    let store = Embedded::open_existing(dir)?;
    leftovers(dir, &store)?;
    let (owner, list) = (store.begin_owner("adprof stream")?, followed(&store)?);
    renew(dir, store, owner, &list, &|_| false)
}

fn mark(dir: &Path, marked: bool) -> io::Result<()> {
    let path = dir.join(MARK);
    match (marked, path.exists()) {
        (true, false) => File::create(&path)?.sync_all()?,
        (false, true) => fs::remove_file(&path)?,
        _ => return Ok(()),
    }
    sync_dir(dir)
}

/// Notes that the list was followed, and what else there is to write.
fn follow(owner: &mut Owner, at: i64, list: &Forgotten, more: &[(String, Vec<u8>)]) -> Result<(), Error> {
    let bytes = list.bytes();
    let mut meta = vec![(FOLLOWED, Some(&bytes[..]))];
    meta.extend(more.iter().map(|(name, bytes)| (&**name, Some(&bytes[..]))));
    let states: [(Key, Option<&[u8]>); 0] = [];
    owner.commit(Changes { at, states, meta: &meta, ids: &[] })
}

/// A stream owns it: it looks at the list every second.
fn running(
    dir: &Path,
    store: &Embedded,
    list: &Forgotten,
    gone: &dyn Fn(&Key) -> bool,
    people: &People,
    wait: Duration,
) -> Result<State, Error> {
    let until = Instant::now() + wait;
    while !list.since(&followed(store)?).is_empty() {
        if Instant::now() >= until {
            return Ok(State::Waiting);
        }
        std::thread::sleep(PAUSE);
    }
    // What came as patches is nobody's own.
    let mut keys = Vec::new();
    for entry in store.scan_all() {
        let entry = entry?;
        if !entry.tags.is_empty() && gone(&entry.key) {
            keys.push(entry.key);
        }
    }
    store.remove_tags(&keys)?;
    // Names and values of hers stand among those of others, and audiences list her.
    let index = store.has_index()?;
    if index {
        store.drop_index()?;
    }
    let failed = |e: io::Error| Error::new(Kind::Io, format!("{}: {e}", dir.display()));
    let bytes_left = has_bytes(dir, people).map_err(failed)?;
    if bytes_left {
        mark(dir, true).map_err(failed)?;
    }
    Ok(State::Dropped { bytes_left, index })
}

/// Whether one of the ids stands somewhere in the file of a store, in use or not.
pub fn has_bytes(dir: &Path, people: &People) -> io::Result<bool> {
    const BLOCK: usize = 1 << 20;
    let longest = people.ids.iter().map(String::len).max().unwrap_or(1);
    let mut file = File::open(dir.join(DATA))?;
    let mut block = Vec::with_capacity(BLOCK + longest);
    loop {
        let read = (&mut file).take(BLOCK as u64).read_to_end(&mut block)?;
        if people.is_in(&block) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        // An id may lie over the cut.
        let keep = block.len().saturating_sub(longest - 1);
        block.drain(..keep);
    }
}
