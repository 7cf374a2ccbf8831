//! The live path with a state: fold in memory, checkpoint about once a second, publish as it goes.
//!
//! The truth is the fold of the input up to an offset. The store holds it as of the last
//! checkpoint, Redis as of the last publication, which may be ahead: after a crash the
//! input is read again in silence until it has caught up with what was published.

mod audiences;
pub mod bases;
mod opening;
mod people;
mod saving;
mod stored;

use super::emit::Target;
use super::feed::{Failure, News, Parcel};
use super::outbox::Outbox;
pub use super::projection::Projection;
use super::projection::{Publishing, ROUND, Told};
use super::publish::Offsets;
pub use super::publish::PATIENCE;
use super::saver::{Blob, Saver};
use super::stream::{Clock, Error, Observer, Report, absorb, is_forgotten, refuse};
use crate::bus::Owned;
use crate::engine::dedup::{HashKey, Horizon, Slice};
use crate::engine::live::Live;
use crate::engine::plans::Plans;
use crate::forgotten::Forgotten;
use crate::key::USER;
use crate::ledger::{Counts, Ledger};
use crate::patch::Patch;
use crate::store::embedded::{Embedded, Tag, Trace};
use crate::time::Millis;
use audiences::Held;
pub use audiences::{carry_members, known as audiences_of};
use bases::Bases;
use crossbeam_channel::{Receiver, Select, TryRecvError};
use people::People;
pub use people::{FOLLOWED, followed};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stored::Stored;

const TICK: Duration = Duration::from_millis(20);
/// How often what was absorbed is put on the disk, where nothing else is said. While the backlog of a projection is read it is once a
/// round: nobody sees more of it for a checkpoint, and a kill costs no more than reading so much of it again.
pub const CHECKPOINT: Duration = Duration::from_secs(1);
/// More states than this do not wait longer than that, and none do that memory has no room for.
const WAITING: usize = 1 << 20;
/// How often it looks for patches that other processes have put into the store, and how many keys it takes in at once:
/// few enough that events do not wait long.
const LISTEN: Duration = Duration::from_secs(1);
const HEARD_AT_ONCE: usize = 50_000;
/// Told to stop, so long it goes on to publish what waits; the state knows what is left.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a state is made with.
pub struct Setup {
    pub plans: Plans,
    pub clock: Clock,
    /// The wall clock.
    pub now: fn() -> Millis,
    pub horizon: Horizon,
    /// For a state that begins now: its name and the key of its hash, both random.
    pub state_id: String,
    pub hash_key: HashKey,
    /// Where events come from.
    pub input: Input,
    /// Bytes of states that may be in memory; the others rest in the store.
    pub memory: usize,
    /// Who is forgotten by what others know; the state has a list of its own.
    pub forgotten: Arc<Forgotten>,
    /// Whether audiences are kept current; else they stay as they are.
    pub audiences: bool,
    /// Where enters and leaves are told.
    pub derived: Option<Target>,
    /// How often a checkpoint is made: it packs every state that has changed, and the next event of its key unpacks it.
    pub every: Duration,
}

/// Where the events of a state come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Topic(String),
    Stdin,
    /// None come: a base is installed, and that is all.
    BaseOnly,
}

impl Input {
    fn topic(&self) -> Option<&str> {
        match self {
            Input::Topic(topic) => Some(topic),
            Input::Stdin | Input::BaseOnly => None,
        }
    }

    fn owner(&self) -> &'static str {
        if *self == Input::BaseOnly { "adprof batch" } else { "adprof stream" }
    }
}

/// A live state with its store.
pub struct Keep {
    clock: Clock,
    now: fn() -> Millis,
    ledger: Ledger,
    /// What became of the input before this run.
    before: Counts,
    told: Option<Told>,
    live: Live,
    store: Embedded,
    saver: Saver,
    /// Patches that came with the events and traces of others, since the last checkpoint.
    patches: Vec<Patch>,
    heard: Vec<Trace>,
    listened: Option<Instant>,
    /// Whether every trace that was there at the start has been heard.
    caught_up: bool,
    /// Blobs of ids in the store, by slice of time.
    blobs: HashMap<Slice, Vec<String>>,
    next_blob: u64,
    renumbered: bool,
    dirty: bool,
    saved: Instant,
    every: Duration,
    bases: Bases,
    stored: Arc<Stored>,
    people: People,
    outbox: Outbox,
    /// Blobs of the outbox without users who were forgotten.
    rewritten: Vec<Blob>,
    /// The audiences as they stand in the store.
    audiences: Held,
    report: Report,
}

impl Keep {
    /// Reads to the end of the news or until `stop`; then everything is in the store and, if there is one, in the projection.
    pub fn run(
        mut self,
        news: &Receiver<News>,
        stop: &AtomicBool,
        projection: Option<Projection>,
        commit: &dyn Fn(Vec<(i32, i64)>),
        observer: &mut dyn Observer,
    ) -> Result<Report, Error> {
        let mut publishing = match projection {
            Some(projection) => {
                let told = self.told.take();
                Some(Publishing::start(projection, &self.ledger.progress, told, &mut self.live)?)
            }
            None => None,
        };
        self.tell_of_base(&mut publishing);
        if let Some(publishing) = &mut publishing {
            publishing.forget(&self.people.list(), self.people.is_waiting());
        }
        let mut end = None;
        while end.is_none() && !stop.load(Ordering::Relaxed) {
            end = self.hear(news, publishing.as_ref(), observer)?;
            self.stored.check()?;
            self.find_members();
            end = end.or(self.publish(&mut publishing, observer, Duration::ZERO).err().map(End::Failed));
            publishing.iter().for_each(|publishing| publishing.look_at(&self.live, &mut self.report));
            let (free, covered) = self.saver.poll()?;
            self.saved(covered, commit);
            match self.outbox.hear() {
                Ok(news) => self.dirty |= news,
                Err(e) => end = end.or(Some(End::Failed(e))),
            }
            self.report.derived = self.outbox.emitted;
            if free {
                self.live.make_room();
                self.listen()?;
                // What a checkpoint on its way has of them could not be taken out of it.
                self.look_for_forgotten(observer)?;
            }
            let behind = publishing.as_ref().is_some_and(Publishing::is_behind);
            if free && self.dirty && self.saved.elapsed() >= self.every(behind) {
                self.checkpoint(publishing.as_ref(), observer)?;
            }
            self.look_for_base(observer)?;
            self.tell_of_base(&mut publishing);
            self.people.tell(&mut publishing);
            self.report.look_at(&self.live);
            observer.progress(&self.report);
        }
        self.finish(end, publishing, commit, observer)
    }

    /// How long after the last checkpoint the next one is due.
    fn every(&self, behind: bool) -> Duration {
        match self.live.unsaved() >= WAITING || self.live.is_full() {
            true => self.every.min(CHECKPOINT),
            false if behind => self.every.max(ROUND),
            false => self.every,
        }
    }

    /// Takes in what comes within a tick, and lets time pass.
    fn hear(
        &mut self,
        news: &Receiver<News>,
        publishing: Option<&Publishing>,
        observer: &mut dyn Observer,
    ) -> Result<Option<End>, Error> {
        let mut either = Select::new();
        either.recv(news);
        // Redis does not wait for the next order until something comes.
        publishing.and_then(Publishing::answers).map(|answers| either.recv(answers));
        let _ = either.ready_timeout(TICK);
        match news.try_recv() {
            Ok(News::Parcel(parcel)) => self.take(parcel, observer)?,
            Ok(News::Words(words)) => observer.say(&words),
            Ok(News::End) | Err(TryRecvError::Disconnected) => return Ok(Some(End::Good)),
            Ok(News::Failed(Failure::Input(e))) => return Ok(Some(End::Failed(Error::Input(e)))),
            Ok(News::Failed(Failure::Bus(e))) => return Ok(Some(End::Failed(Error::Bus(e)))),
            Err(TryRecvError::Empty) => {}
        }
        if let Clock::Wall(now) = self.clock {
            self.live.advance(now(), &mut Vec::new());
        }
        Ok(None)
    }

    /// Takes in what patches of other processes have changed in the store. Their traces go with the next checkpoint, and
    /// not before that is on the disk does it listen again.
    fn listen(&mut self) -> Result<(), Error> {
        if !self.heard.is_empty() || self.listened.is_some_and(|at| at.elapsed() < LISTEN) {
            return Ok(());
        }
        let traces = self.store.traces(HEARD_AT_ONCE)?;
        self.dirty |= !traces.is_empty();
        // With more waiting it goes on as soon as these are saved.
        self.listened = (traces.len() < HEARD_AT_ONCE).then(Instant::now);
        let forgotten = self.people.list();
        for (trace, tags) in traces {
            if trace.key.tenant().is_empty() {
                let is_gone =
                    |tag: &Tag| trace.key.entity() == USER && forgotten.drops(trace.key.id().as_bytes(), tag.as_of);
                for tag in tags.into_iter().filter(|tag| !is_gone(tag)) {
                    let tags = vec![(tag.code.into(), tag.value)];
                    self.live.give(&Patch { key: trace.key.clone(), as_of: tag.as_of, tags }, &mut Vec::new());
                }
                if !self.caught_up {
                    self.live.look_again(&trace.key);
                    // The store had it at the start already, and whoever is published to may not have heard of it.
                    self.live.tell(&trace.key);
                }
            }
            self.heard.push(trace);
        }
        self.caught_up |= self.listened.is_some();
        Ok(())
    }

    /// Lets the projection know of a base that was installed since the last time.
    fn tell_of_base(&mut self, publishing: &mut Option<Publishing>) {
        if let (true, Some(publishing)) = (self.bases.is_new(), publishing) {
            let reached = self.reached();
            publishing.rebased(&mut self.live, &reached);
        }
    }

    fn publish(
        &mut self,
        publishing: &mut Option<Publishing>,
        observer: &mut dyn Observer,
        wait: Duration,
    ) -> Result<(), Error> {
        let reached = self.reached();
        match publishing {
            Some(publishing) => publishing.step(&mut self.live, reached, &mut self.report, observer, wait),
            None => {
                self.live.forget_untold();
                Ok(())
            }
        }
    }

    /// Tells the projection what waits, and makes the last checkpoint: what was absorbed is good, however the input ended.
    fn finish(
        mut self,
        end: Option<End>,
        mut publishing: Option<Publishing>,
        commit: &dyn Fn(Vec<(i32, i64)>),
        observer: &mut dyn Observer,
    ) -> Result<Report, Error> {
        if let Some(End::Good) = end {
            self.find_all_members(publishing.as_ref(), commit, observer)?;
        }
        let until = end.is_none().then(|| Instant::now() + LAST_WORDS);
        let mut trouble = match end {
            None | Some(End::Good) => Ok(()),
            Some(End::Failed(e)) => Err(e),
        };
        // A Redis that is down now is told the rest at the next start: the state knows.
        publishing.iter_mut().for_each(Publishing::hurry);
        while matches!(trouble, Ok(()) | Err(Error::Input(_) | Error::Bus(_)))
            && publishing.as_ref().is_some_and(|publishing| !publishing.is_done(&self.live))
            && until.is_none_or(|until| Instant::now() < until)
        {
            // Beside it, so that the last checkpoint has little to do.
            let (free, covered) = self.saver.poll()?;
            self.saved(covered, commit);
            if free && self.dirty {
                self.checkpoint(publishing.as_ref(), observer)?;
            }
            let wait = Duration::from_millis(100);
            let told = self.publish(&mut publishing, observer, wait);
            if told.is_err() {
                trouble = trouble.and(told);
                break;
            }
        }
        if !matches!(trouble, Err(Error::Store(_) | Error::Fenced { .. })) {
            publishing.iter_mut().for_each(|publishing| publishing.leave(self.reached()));
        }
        let covered = self.saver.wait()?;
        self.saved(covered, commit);
        self.people.tell(&mut publishing);
        self.checkpoint(publishing.as_ref(), observer)?;
        let covered = self.saver.wait()?;
        self.saved(covered, commit);
        // What its place does not take now is handed over at the next start.
        if self.outbox.settle(LAST_WORDS)? {
            self.checkpoint(publishing.as_ref(), observer)?;
            let covered = self.saver.wait()?;
            self.saved(covered, commit);
        }
        self.report.derived = self.outbox.emitted;
        self.report.look_at(&self.live);
        trouble.map(|()| self.report)
    }

    fn take(&mut self, parcel: Parcel, observer: &mut dyn Observer) -> Result<(), Error> {
        let (forgotten, counts) = (self.people.list(), &mut self.report.counts);
        refuse(&parcel, &forgotten, counts, observer)?;
        absorb(&mut self.live, self.clock, &parcel, &forgotten, counts, &mut Vec::new());
        let given = parcel.given.into_iter().map(|(_, patch)| patch);
        self.patches.extend(given.filter(|patch| !is_forgotten(&forgotten, patch)));
        counts.consumed += parcel.consumed;
        self.report.unkeyed += parcel.unkeyed;
        if let (Some(source), Some(reached)) = (&mut self.ledger.progress.source, parcel.reached) {
            match source.reached.iter_mut().find(|o| o.partition == reached.partition) {
                Some(owned) => *owned = reached,
                None => source.reached.push(reached),
            }
        }
        self.dirty = true;
        Ok(())
    }

    /// For each partition the offset read next.
    fn reached(&self) -> Offsets {
        let source = self.ledger.progress.source.iter();
        source.flat_map(|s| &s.reached).map(|Owned { partition, next, .. }| (*partition, *next)).collect()
    }
}

/// Why reading ended.
enum End {
    Good,
    /// The input or the projection failed.
    Failed(Error),
}
