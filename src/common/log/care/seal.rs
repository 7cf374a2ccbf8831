//! Sealing: a day that is over is hashed, written down and packed.
//!
//! The manifest comes first: from then on nothing is appended to its files, so packing them can wait, stop and go on.

use super::day::{Day, State, file_name};
use super::forget::obey;
use super::manifest::{Manifest, Piece};
use super::pack::{Aside, Packing, pack, packed_path, sum};
use super::shipped::Topics;
use crate::disk::{Disk, sync_dir};
use crate::lines::Form;
use crate::log::files::{COPY_OF_COMPACTED, COPY_OF_PLAIN};
use crate::log::torn::{Torn, heal};
use crate::log::{Error, LogFile, names};
use crate::time::Millis;
use jiff::civil::Date;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a writer is waited for that appends to the day just now.
const PATIENCE: Duration = Duration::from_secs(2);

/// What sealing a day did.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub manifest: Manifest,
    /// Whether it was sealed before: then `late` says what came since.
    pub again: bool,
    pub late: Vec<String>,
    /// Whether anything of the manifest was written.
    pub written: bool,
    /// Files packed now.
    pub packed: usize,
    pub torn: Vec<Torn>,
}

/// Seals a day of the log at `root` whose time has come: see `over_at`. The caller holds `take(root)`.
///
/// Errors: `NotYet` while a writer appends to it, `NotShipped` where a topic lacks some of it, `Damaged` when what was sealed is gone.
pub fn seal_day(root: &Path, day: Date, topics: &Topics, packing: Packing, now: Millis) -> Result<Sealed, Error> {
    let seen = Day::read(root, day)?;
    if seen.state() == State::Sealed && (packing.level.is_none() || !seen.files.iter().any(|file| is_plain(file))) {
        clear(&seen)?;
        let manifest = seen.manifest.expect("it is sealed");
        return Ok(Sealed { manifest, again: true, late: Vec::new(), written: false, packed: 0, torn: Vec::new() });
    }
    obey(root, &seen)?;
    let (held, torn) = hold(&seen)?;
    // As it is now that the tails are healed. A file that came since is not ours to touch: it is late.
    let mut seen = Day::read(root, day)?;
    let ours = |file: &LogFile| !is_plain(file) || held.iter().any(|disk| disk.path() == file.path);
    let known: Vec<bool> = seen.files.iter().map(|file| ours(file) || seen.known(file).is_some()).collect();
    let mut known = known.into_iter();
    seen.files.retain(|_| known.next() == Some(true));
    let late = match seen.state() {
        State::Damaged { gone } => {
            let why = format!("sealed, and gone or shorter since: {}", gone.join(", "));
            return Err(Error::Damaged { path: seen.dir, why });
        }
        State::Changed { late } => late,
        State::Open | State::Sealed => Vec::new(),
    };
    topics.require(&seen)?;
    clear(&seen)?;
    let done = work_all(&seen, packing)?;
    settle(&seen, done, late, torn, now)
}

/// Locks the plain files of a day that are not sealed, and sets their torn tails aside.
fn hold(day: &Day) -> Result<(Vec<Disk>, Vec<Torn>), Error> {
    let until = Instant::now() + PATIENCE;
    let (mut held, mut torn) = (Vec::new(), Vec::new());
    for file in day.files.iter().filter(|file| is_plain(file) && day.known(file).is_none()) {
        let mut disk = lock(day, file, until)?;
        torn.extend(heal(&mut disk)?);
        held.push(disk);
    }
    Ok((held, torn))
}

/// Locks one file, as long as it is.
fn lock(day: &Day, file: &LogFile, until: Instant) -> Result<Disk, Error> {
    loop {
        let disk = Disk::existing(&file.path).map_err(Error::io(&file.path, "open"))?;
        if disk.file().try_lock().is_ok() && disk.untouched().map_err(Error::io(&file.path, "look at"))? {
            return Ok(disk);
        }
        if Instant::now() >= until {
            let why = format!("`{}` is being written", file.name);
            return Err(Error::NotYet { what: day.day.to_string(), why });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes what a crash left: files half packed, and copies of what a packed or compacted file holds.
pub(super) fn clear(day: &Day) -> Result<(), Error> {
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, "remove")(e)),
        _ => Ok(()),
    };
    for stray in &day.strays {
        if stray.why == COPY_OF_COMPACTED || stray.why == COPY_OF_PLAIN {
            remove(&stray.path)?;
        }
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(&day.dir).and_then(Iterator::collect);
    for entry in entries.map_err(Error::io(&day.dir, "list"))? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_suffix(".tmp").is_some_and(|name| names::is_data(name) || name == super::SEAL) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// What was found out about one file, and its packed form in waiting.
struct Done {
    pieces: Vec<Piece>,
    aside: Option<Aside>,
}

/// Hashes what is not known yet and packs what is plain, on several threads.
fn work_all(day: &Day, packing: Packing) -> Result<Vec<Done>, Error> {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Option<Result<Done, Error>>>> = day.files.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..packing.threads.clamp(1, day.files.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = day.files.get(i) else { return };
                    let done = work(day, file, packing.level);
                    *outcomes[i].lock().expect("a panic ends the program") = Some(done);
                }
            });
        }
    });
    let outcomes = outcomes.into_iter().map(|outcome| outcome.into_inner().expect("a panic ends the program"));
    let (mut all, mut failed) = (Vec::new(), None);
    for outcome in outcomes {
        match outcome.expect("every file has its turn") {
            Ok(done) => all.push(done),
            Err(e) => failed = failed.or(Some(e)),
        }
    }
    match failed {
        None => Ok(all),
        Some(e) => {
            all.iter().filter_map(|done| done.aside.as_ref()).for_each(Aside::forget);
            Err(e)
        }
    }
}

fn work(day: &Day, file: &LogFile, level: Option<i32>) -> Result<Done, Error> {
    let name = names::unpacked(file_name(file));
    let known = day.known(file).map(|pieces| pieces.into_iter().cloned().collect::<Vec<_>>());
    if is_plain(file) && level.is_some() {
        let (aside, found) = pack(&[(file.path.clone(), name.to_owned())], &packed_path(&file.path), level)?;
        return match known {
            // A compacted file is checked as a whole when it is made.
            Some(known) if known.len() == 1 && known != found => {
                aside.forget();
                let why = "it is not what was sealed: its bytes have another hash".into();
                Err(Error::Damaged { path: file.path.clone(), why })
            }
            Some(known) => Ok(Done { pieces: known, aside: Some(aside) }),
            None => Ok(Done { pieces: found, aside: Some(aside) }),
        };
    }
    match known {
        Some(pieces) => Ok(Done { pieces, aside: None }),
        None => Ok(Done { pieces: vec![sum(&file.path, name)?], aside: None }),
    }
}

fn is_plain(file: &LogFile) -> bool {
    file.form == Form::Plain
}

/// Writes the manifest where it is news, then lets the packed files take their places.
fn settle(day: &Day, done: Vec<Done>, late: Vec<String>, torn: Vec<Torn>, now: Millis) -> Result<Sealed, Error> {
    let pieces: Vec<Piece> = done.iter().flat_map(|done| done.pieces.iter().cloned()).collect();
    let before = day.manifest.as_ref();
    let written = before.is_none_or(|before| before.files != pieces);
    let manifest = match before {
        Some(before) if !written => before.clone(),
        _ => Manifest::new(day.day, pieces, now),
    };
    if written {
        // The hashes are of what the disk holds: a plain file may never have been synced by a writer that died.
        sync_dir(&day.dir).map_err(Error::io(&day.dir, "sync"))?;
        manifest.write(&day.dir)?;
    }
    let packed: Vec<&Aside> = done.iter().filter_map(|done| done.aside.as_ref()).collect();
    if !packed.is_empty() {
        packed.iter().try_for_each(|aside| aside.settle())?;
        // Before the plain ones go.
        sync_dir(&day.dir).map_err(Error::io(&day.dir, "sync"))?;
        for aside in &packed {
            let plain = aside.target().with_extension("");
            fs::remove_file(&plain).map_err(Error::io(&plain, "remove"))?;
        }
        sync_dir(&day.dir).map_err(Error::io(&day.dir, "sync"))?;
    }
    Ok(Sealed { manifest, again: before.is_some(), late, written, packed: packed.len(), torn })
}
