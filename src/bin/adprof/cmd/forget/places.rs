//! One place after the other: what is done there, and the line that tells of it.

use super::Work;
use crate::given::{self, grouped};
use crate::report::{self, Exit, Failure};
use adprof::forgotten;
use adprof::key::{Key, SEGMENTS};
use adprof::log::{care, pass};
use adprof::run::forget::{self, State};
use adprof::store::redis::Redis;
use adprof::store::{Embedded, Kind};
use anyhow::Result;
use std::path::Path;

impl Work {
    /// Keeps what went wrong in a place for the end: the others have their turn.
    fn keep(&mut self, outcome: Result<()>) {
        self.failed.extend(outcome.err());
    }

    /// Puts the list into a place.
    pub fn remember(&self, place: &Path) -> Result<()> {
        let path = forgotten::beside(place);
        forgotten::update(&path, |list| list.merge(&self.people.list)).map_err(|e| report::io(&path, &e))?;
        Ok(())
    }

    pub fn log(&mut self, root: &Path) {
        let done = self.clean_log(root);
        self.keep(done);
    }

    fn clean_log(&self, root: &Path) -> Result<()> {
        let _lock = match (self.dry, root.is_dir()) {
            (false, true) => Some(care::take(root).map_err(given::of_log)?),
            (false, false) => {
                care::finish(root).map_err(given::of_log)?;
                None
            }
            (true, _) => None,
        };
        if !self.dry {
            // Whoever was in the middle of writing by the old list is done.
            pass(root).map_err(given::of_log)?;
        }
        let cleaned = care::forget(root, &self.people, self.dry).map_err(given::of_log)?;
        let (lines, files) = (grouped(cleaned.lines), grouped(cleaned.files));
        report::say(format_args!("{}: {lines} lines in {files} files", root.display()));
        for path in forget::dead_files(root).map_err(|e| report::io(root, &e))? {
            self.letters(&path)?;
        }
        match cleaned.left.first() {
            None => Ok(()),
            Some((path, why)) => {
                let message = format!("{}: {why}: lines of the users are still in it", path.display());
                let hint =
                    "adprof did not write it: make it anew from a source without them, or unpack it and run this again";
                Err(Failure::new(Exit::Io, message).hint(hint).into())
            }
        }
    }

    pub fn dead(&mut self, path: &Path) {
        let clean = || -> Result<()> {
            let metadata = std::fs::metadata(path).map_err(|e| report::io(path, &e))?;
            if !metadata.is_dir() {
                return self.letters(path);
            }
            let entries: std::io::Result<Vec<_>> = std::fs::read_dir(path).and_then(Iterator::collect);
            for entry in entries.map_err(|e| report::io(path, &e))? {
                if entry.path().is_file() {
                    self.letters(&entry.path())?;
                }
            }
            Ok(())
        };
        let done = clean();
        self.keep(done);
    }

    fn letters(&self, path: &Path) -> Result<()> {
        let found = forget::letters(path, &self.people, self.dry).map_err(|e| report::io(path, &e))?;
        if found > 0 {
            report::say(format_args!("{}: {} dead letters", path.display(), grouped(found)));
        }
        Ok(())
    }

    pub fn rollups(&mut self, dir: &Path) {
        let done = std::fs::metadata(dir).map_err(|e| report::io(dir, &e).into()).and_then(|_| {
            let dropped = forget::rollups(dir, &self.people, self.dry)
                .map_err(|e| crate::cmd::batch::history::failed(e.into(), Some(dir)))?;
            let again = if dropped > 0 { ": the next night reads those days again" } else { "" };
            report::say(format_args!("{}: {} files of roll-ups{again}", dir.display(), grouped(dropped as u64)));
            Ok(())
        });
        self.keep(done);
    }

    pub fn nights(&mut self, place: &Path) {
        let done =
            forget::nights(place, &self.people, self.dry).map_err(|e| report::io(place, &e).into()).map(|found| {
                let (rows, files) = (grouped(found.rows), grouped(found.files));
                report::say(format_args!("{}: {rows} patches in {files} files", place.display()));
            });
        self.keep(done);
    }

    pub fn state(&mut self, dir: &Path) {
        let done = self.clean_state(dir);
        self.keep(done);
    }

    fn clean_state(&self, dir: &Path) -> Result<()> {
        let place = dir.display();
        if self.dry {
            let store = Embedded::open_existing(dir).map_err(given::of_store)?;
            let entries = store.get_many(&self.user_keys()).map_err(given::of_store)?;
            let there = entries.iter().filter(|entry| entry.state.is_some() || !entry.tags.is_empty()).count();
            report::say(format_args!("{place}: {} profiles", grouped(there as u64)));
            return self.letters(&dir.join("dead.ndjson"));
        }
        // Before the state is written anew: its letters move with it.
        self.letters(&dir.join("dead.ndjson"))?;
        let state = forget::state(dir, &self.people, self.wait).map_err(given::of_store)?;
        match state {
            State::Clean { rewritten: true, .. } => report::say(format_args!("{place}: written anew without them")),
            State::Clean { rewritten: false, .. } => report::say(format_args!("{place}: has nothing of them")),
            State::Dropped { bytes_left: false, .. } => {
                report::say(format_args!("{place}: dropped by the stream that owns it"));
            }
            State::Dropped { bytes_left: true, .. } => report::say(format_args!(
                "{place}: dropped by the stream that owns it; pages of its file that are free keep bytes of them until this is \
                 run once more while no stream runs, or the stream is started again"
            )),
            State::Waiting => {
                let message = format!("{place}: the stream that owns it has not dropped them yet");
                let hint = "it does as soon as it can, Redis being up: run this again to see it";
                return Err(Failure::new(Exit::TryAgain, message).hint(hint).into());
            }
        }
        if let State::Clean { index: true, .. } | State::Dropped { index: true, .. } = state {
            report::say(format_args!(
                "{place}: its index is gone, with the audiences built of it: `adprof segment index` makes it anew"
            ));
        }
        // What the stream wrote until it heard of it.
        self.letters(&dir.join("dead.ndjson"))
    }

    pub fn redis(&mut self, redis: Redis) {
        let done = self.clean_redis(redis);
        self.keep(done);
    }

    fn clean_redis(&self, mut redis: Redis) -> Result<()> {
        let keys = self.user_keys();
        let mut there = if self.dry {
            let profiles = redis.get_many(&keys).map_err(given::of_store)?;
            profiles.iter().filter(|fields| !fields.as_ref().is_ok_and(Vec::is_empty)).count() as u64
        } else {
            let audiences: Vec<Key> = keys.iter().map(|key| Key::new("", SEGMENTS, [key.id()])).collect();
            match redis.delete(&audiences) {
                // Where there are no segments the right to these need not be there either.
                Err(e) if e.kind == Kind::Denied && self.definitions.segments.is_empty() => {}
                done => drop(done.map_err(given::of_store)?),
            }
            redis.delete(&keys).map_err(given::of_store)?
        };
        let gone = |key: &Key| {
            let user = self.definitions.user_of(key);
            user.is_some_and(|user| self.people.ids.iter().any(|id| id == user))
        };
        // Keys of other entities that are of one user each have to be looked for.
        let others = self.definitions.entities.iter().filter(|entity| entity.is_declared() && !entity.is_shared());
        for entity in others.filter(|_| !self.dry) {
            there += redis.delete_all(&entity.name, entity.width(), &gone).map_err(given::of_store)?.len() as u64;
        }
        report::say(format_args!("{}: {} profiles", redis.url(), grouped(there)));
        Ok(())
    }
}
