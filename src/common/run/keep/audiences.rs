//! The audiences of a running state: memberships in its checkpoints, enters and leaves in its outbox.

use super::Keep;
use crate::engine::audience::Known;
use crate::engine::live::memberships;
use crate::forgotten::{self, Forgotten};
use crate::key::Key;
use crate::ledger::Ledger;
use crate::run::emit::Target;
use crate::run::outbox;
use crate::run::projection::Publishing;
use crate::run::saver::Blob;
use crate::run::stream::{Error, Observer};
use crate::store::embedded::{Changes, Embedded, OF_KEYS, Snapshot};
use crate::store::{self, Kind};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// The name under which a store keeps which audiences its memberships are of.
const AUDIENCES: &str = "audiences";
const HELD_AS_OF: &str = "audiences as of";
/// Users looked at between two looks at the input because of audiences that are new or others: few enough that events do
/// not wait long.
const FOUND_AT_ONCE: usize = 20_000;
/// With the memberships of so many users not saved yet the others are looked at behind the next checkpoint.
const UNSAVED: usize = 200_000;

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data has a JSON form")
}

fn corrupt(why: &str) -> store::Error {
    store::Error::new(Kind::Corrupt, format!("embedded store: {why}"))
}

/// What a store says of the memberships in it.
#[derive(Default)]
pub(super) struct Held {
    known: Vec<Known>,
    /// What the state had come to when they were last written.
    as_of: Option<AsOf>,
}

/// Which state memberships belong to. If it is another one, somebody has changed values and did not keep them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct AsOf {
    consumed: u64,
    now: Millis,
    base: Option<u64>,
}

impl AsOf {
    fn of(ledger: &Ledger) -> AsOf {
        let progress = &ledger.progress;
        AsOf { consumed: progress.counts.consumed, now: progress.now, base: progress.base }
    }
}

impl Held {
    pub fn read(snapshot: &Snapshot<'_>) -> Result<Held, store::Error> {
        Ok(Held { known: parse(snapshot, AUDIENCES)?.unwrap_or_default(), as_of: parse(snapshot, HELD_AS_OF)? })
    }

    /// The audiences whose members are known; without a version those to be looked at anew.
    pub fn known(&self, ledger: &Ledger) -> Vec<Known> {
        let current = self.as_of.as_ref() == Some(&AsOf::of(ledger));
        let known = |one: &Known| Known { version: one.version.clone().filter(|_| current), ..one.clone() };
        self.known.iter().map(known).collect()
    }
}

/// The audiences of a state; those without a version are yet to be found.
pub fn known(snapshot: &Snapshot<'_>, ledger: &Ledger) -> Result<Vec<Known>, store::Error> {
    Ok(Held::read(snapshot)?.known(ledger))
}

fn parse<T: for<'de> Deserialize<'de>>(snapshot: &Snapshot<'_>, name: &str) -> Result<Option<T>, store::Error> {
    let broken = |e| corrupt(&format!("its audiences cannot be read: {e}"));
    snapshot.meta(name)?.map(|bytes| serde_json::from_slice(&bytes).map_err(broken)).transpose()
}

/// Carries the memberships of a state, and what is left in its outbox, over to one that was made anew: a stream finds out
/// whom they are no longer true of. Of users who are forgotten by the list of the new one nothing is carried but what they
/// entered since.
pub fn carry_members(from: &Embedded, to: &Embedded, at: Millis) -> Result<(), store::Error> {
    let failed = |e: std::io::Error| store::Error::new(Kind::Io, format!("{}: {e}", to.dir().display()));
    let forgotten = Forgotten::load(&forgotten::beside(to.dir())).map_err(failed)?;
    let gone = |key: &Key| forgotten.until(key.id().as_bytes()).is_some();
    let waiting = outbox::all(from, &gone)?;
    let mut meta: Vec<Blob> = waiting.into_iter().map(|(name, bytes)| (name, Some(bytes))).collect();
    meta.extend(from.meta(AUDIENCES)?.map(|bytes| (AUDIENCES.to_string(), Some(bytes))));
    each_member(&from.snapshot()?, |key, bytes| {
        let since = memberships(bytes).and_then(|all| all.into_iter().map(|(_, since)| since).max());
        if since.is_none_or(|since| !forgotten.drops(key.id().as_bytes(), since)) {
            meta.push((format!("{OF_KEYS}{}", key.as_str()), Some(bytes.to_vec())));
        }
        Ok(())
    })?;
    if meta.is_empty() {
        return Ok(());
    }
    let meta: Vec<(&str, Option<&[u8]>)> = meta.iter().map(|(name, bytes)| (&**name, bytes.as_deref())).collect();
    let states: [(Key, Option<&[u8]>); 0] = [];
    to.begin_owner("adprof rebuild")?.commit(Changes { at, states, meta: &meta, ids: &[] })
}

/// Gives the memberships of every user who is in an audience, as the live engine wrote them.
fn each_member(
    snapshot: &Snapshot<'_>,
    mut each: impl FnMut(&Key, &[u8]) -> Result<(), store::Error>,
) -> Result<(), store::Error> {
    snapshot.each_meta(OF_KEYS, |key, bytes| {
        let key = Key::from_stored(key).ok_or_else(|| corrupt("memberships are of no key"))?;
        each(&key, bytes)
    })
}

/// What a checkpoint has to write so that the memberships of some users go that nobody keeps.
pub(super) fn without(store: &Embedded, gone: &dyn Fn(&Key) -> bool) -> Result<Vec<Blob>, store::Error> {
    let mut blobs = Vec::new();
    each_member(&store.snapshot()?, |key, _| {
        blobs.extend(gone(key).then(|| (format!("{OF_KEYS}{}", key.as_str()), None)));
        Ok(())
    })?;
    Ok(blobs)
}

impl Keep {
    pub(super) fn restore_members(&mut self) -> Result<(), Error> {
        let (store, live) = (self.store.clone(), &mut self.live);
        let snapshot = store.snapshot()?;
        each_member(&snapshot, |key, bytes| match live.restore_members(key, bytes) {
            true => Ok(()),
            false => Err(corrupt(&format!("the memberships of {key} are broken"))),
        })?;
        Ok(())
    }

    /// Has enters and leaves told there.
    pub(super) fn derive_to(&mut self, target: Option<Target>) -> Result<(), Error> {
        let Some(target) = target else { return Ok(()) };
        self.outbox.emit_to(target, &self.ledger.progress.state_id, &self.store)
    }

    /// Looks at some of the users whom definitions that have changed may concern.
    pub(super) fn find_members(&mut self) {
        if self.may_find() && self.live.unsaved_members() < UNSAVED {
            self.live.find_members(FOUND_AT_ONCE);
            self.dirty = true;
        }
    }

    fn may_find(&self) -> bool {
        self.live.is_finding() && self.live.now() > Millis::MIN
    }

    /// Looks at all of them: the input is over.
    pub(super) fn find_all_members(
        &mut self,
        publishing: Option<&Publishing>,
        commit: &dyn Fn(Vec<(i32, i64)>),
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        while self.may_find() {
            self.find_members();
            if self.live.unsaved_members() >= UNSAVED {
                let covered = self.saver.wait()?;
                self.saved(covered, commit);
                self.checkpoint(publishing, observer)?;
            }
        }
        Ok(())
    }

    /// What a checkpoint has to write of audiences; behind the progress it goes with.
    pub(super) fn audience_blobs(&mut self) -> Vec<Blob> {
        let derived = self.live.take_derived();
        let mut blobs = self.outbox.saving(&derived, (self.now)());
        self.live.save_members(|key, bytes| {
            blobs.push((format!("{OF_KEYS}{}", key.as_str()), bytes.map(<[u8]>::to_vec)));
        });
        // Neighbours fall into the same page.
        blobs.sort();
        if !self.live.is_watching() {
            return blobs;
        }
        let (known, as_of) = (self.live.audiences(), Some(AsOf::of(&self.ledger)));
        if known != self.audiences.known {
            blobs.push((AUDIENCES.to_string(), Some(json(&known))));
        }
        if as_of != self.audiences.as_of {
            blobs.push((HELD_AS_OF.to_string(), Some(json(&as_of))));
        }
        self.audiences = Held { known, as_of };
        blobs
    }
}
