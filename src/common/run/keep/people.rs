//! The forgotten of a running state: a list beside it that others may replace, looked at every second.
//!
//! Who is new in it is dropped from memory and from the store, and the profiles in Redis are deleted. Then the list as it was
//! followed is saved with the states: that is how whoever forgets knows that it is done, and a state that was stopped in
//! between what is left.

use super::{Keep, audiences};
use crate::forgotten::{self, Forgotten, Watched};
use crate::key::Key;
use crate::run::projection::Publishing;
use crate::run::saver::Blob;
use crate::run::stream::{Error, Observer};
use crate::store::embedded::Embedded;
use crate::store::{self, Kind};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_secs(1);
/// The name under which a store keeps the list as its state has followed it.
pub const FOLLOWED: &str = "forgotten";

pub(super) struct People {
    watched: Watched,
    looked: Option<Instant>,
    /// What the state has followed, Redis apart.
    followed: Arc<Forgotten>,
    /// Redis is to be told.
    new: bool,
    /// It is not on the disk yet that this list was followed.
    waiting: bool,
    /// Redis has no profile of theirs: the next checkpoint says so.
    done: bool,
}

/// The list that a store says it has followed.
pub fn followed(store: &Embedded) -> Result<Forgotten, store::Error> {
    let bytes = store.meta(FOLLOWED)?;
    let list = bytes.map(|bytes| Forgotten::parse(&bytes)).transpose();
    list.map(Option::unwrap_or_default).map_err(|why| {
        store::Error::new(Kind::Corrupt, format!("embedded store: the list of the forgotten cannot be read: {why}"))
    })
}

fn failed(path: &Path, e: &io::Error) -> Error {
    let message = format!("{}: {e}", path.display());
    let hint = "without the list forgotten users would come back: put it back from the one beside the log";
    Error::Store(store::Error::new(Kind::Io, message).hint(hint))
}

impl People {
    /// Of a store; `others` is what others know.
    pub fn open(store: &Embedded, others: &Forgotten) -> Result<People, Error> {
        let path = forgotten::beside(store.dir());
        if !others.is_empty() {
            forgotten::update(&path, |list| list.merge(others)).map_err(|e| failed(&path, &e))?;
        }
        let followed = Arc::new(followed(store)?);
        let watched = Watched::open(path.clone()).map_err(|e| failed(&path, &e))?;
        Ok(People { watched, looked: None, followed, new: false, waiting: false, done: false })
    }

    /// Whose events count for nothing.
    pub fn list(&self) -> Arc<Forgotten> {
        self.followed.clone()
    }

    /// Whether Redis is still to be told.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Tells the projection, and hears from it.
    pub fn tell(&mut self, publishing: &mut Option<Publishing>) {
        if let Some(publishing) = publishing.as_mut().filter(|_| std::mem::take(&mut self.new)) {
            publishing.forget(&self.followed, true);
        }
        self.done |= self.waiting && publishing.as_ref().is_none_or(Publishing::is_purged);
    }

    /// What a checkpoint has to say.
    pub fn saving(&mut self) -> Option<Blob> {
        if !self.done {
            return None;
        }
        (self.done, self.waiting) = (false, false);
        Some((FOLLOWED.to_string(), Some(self.followed.bytes())))
    }
}

impl Keep {
    /// Looks whether users were forgotten since the last look, and drops them.
    pub(super) fn look_for_forgotten(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        // One list after the other.
        if self.people.looked.is_some_and(|looked| looked.elapsed() < LOOK) || self.people.done {
            self.dirty |= self.people.done;
            return Ok(());
        }
        self.people.looked = Some(Instant::now());
        self.people.watched.refresh().map_err(|e| failed(self.people.watched.path(), &e))?;
        let list = self.people.watched.list().clone();
        let new = list.since(&self.people.followed);
        if new.is_empty() {
            return Ok(());
        }
        let definitions = self.live.plans().definitions().clone();
        let gone = |key: &Key| definitions.user_of(key).is_some_and(|user| new.until(user.as_bytes()).is_some());
        let erased = self.live.erase(gone);
        self.patches.retain(|patch| !gone(&patch.key));
        self.rewritten.extend(self.outbox.erase(&self.store, &gone)?);
        if !self.live.is_watching() {
            self.rewritten.extend(audiences::without(&self.store, &gone)?);
        }
        self.withdraw_base();
        // Those of before, too: it may be that the list here is shorter than what was followed.
        let mut followed = (*self.people.followed).clone();
        followed.merge(&list);
        self.people.followed = Arc::new(followed);
        (self.people.new, self.people.waiting, self.dirty) = (true, true, true);
        observer.note(&format!("users forgotten: {}, of whom the state knew {erased}", new.len()));
        Ok(())
    }
}
