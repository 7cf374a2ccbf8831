//! The live path with a state: fold in memory, checkpoint about once a second, publish as it goes.
//!
//! The truth is the fold of the input up to an offset. The store holds it as of the last
//! checkpoint, Redis as of the last publication, which may be ahead: after a crash the
//! input is read again in silence until it has caught up with what was published.

use super::feed::{Failure, News, Parcel};
pub use super::publish::PATIENCE;
use super::publish::{Answer, Order, Publisher, Token};
use super::saver::{Blob, Save, Saver};
use super::stream::{Clock, Error, Observer, Report, absorb};
use crate::bus::{Owned, StartOffsets};
use crate::engine::dedup::{HashKey, Horizon, Identity};
use crate::engine::live::{Live, Telling};
use crate::engine::plan::Plan;
use crate::ledger::{Decoder, Ledger, Source};
use crate::store::embedded::Embedded;
use crate::store::redis::Redis;
use crate::store::{self, Kind};
use crate::time::Millis;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(20);
const CHECKPOINT: Duration = Duration::from_secs(1);
/// Keys in one publication: enough to fill Redis's pipe, few enough to keep patches few.
const PUBLISH_KEYS: usize = 10_000;

/// What a state is made with.
pub struct Setup {
    pub plan: Arc<Plan>,
    pub clock: Clock,
    /// The wall clock.
    pub now: fn() -> Millis,
    pub horizon: Horizon,
    /// For a state that begins now: its name and the key of its hash, both random.
    pub state_id: String,
    pub hash_key: HashKey,
    /// The topic; `None` for standard input.
    pub topic: Option<String>,
}

/// Where profiles are published besides.
pub struct Projection {
    pub redis: Redis,
    /// The name of the token.
    pub token: String,
    /// Where each partition ended when reading began: nothing behind it can have been published.
    pub ends: BTreeMap<i32, i64>,
}

/// A live state with its store.
pub struct Keep {
    clock: Clock,
    now: fn() -> Millis,
    ledger: Ledger,
    numbers: Vec<u64>,
    live: Live,
    saver: Saver,
    /// Blobs of ids in the store, by hour.
    blobs: HashMap<i64, Vec<String>>,
    next_blob: u64,
    renumbered: bool,
    dirty: bool,
    saved: Instant,
    report: Report,
}

impl Keep {
    /// Opens the state in `dir`, or begins one there. Tells of tags that the state does not know yet.
    ///
    /// Errors: the store's (`Busy` while another process owns it), and `OtherInput`.
    pub fn open(dir: &Path, setup: Setup, observer: &mut dyn Observer) -> Result<Keep, Error> {
        let store = Embedded::create_or_open(dir)?;
        let owner = store.begin_owner("adprof stream")?;
        let found = Ledger::read(&store.snapshot()?)?;
        let begun = found.is_some();
        let mut ledger = found.unwrap_or_else(|| Ledger::new(setup.state_id.clone(), setup.hash_key));
        if begun {
            check_input(&ledger, dir, setup.topic.as_deref())?;
        } else if let Some(topic) = &setup.topic {
            ledger.progress.source = Some(Source { topic: topic.clone(), ..Source::default() });
        }
        let since = if begun { (setup.now)() } else { 0 };
        let new = ledger.number(&setup.plan, since);
        if begun && !new.is_empty() {
            observer.say(&format!(
                "new or changed tags count from now on, not from the beginning: {}; for all of history begin a new state",
                new.join(", ")
            ));
        }
        let numbers = ledger.numbers_of(&setup.plan).into_iter().map(|n| n.expect("all were just numbered")).collect();
        let live = Live::new(setup.plan, Telling::Drained, setup.horizon, ledger.progress.hash_key);
        let report = Report { counts: ledger.progress.counts, ..Report::default() };
        let mut keep = Keep {
            clock: setup.clock,
            now: setup.now,
            ledger,
            numbers,
            live,
            saver: Saver::start(owner),
            blobs: HashMap::new(),
            next_blob: 0,
            renumbered: true,
            dirty: true,
            saved: Instant::now(),
            report,
        };
        keep.restore(&store)?;
        Ok(keep)
    }

    fn restore(&mut self, store: &Embedded) -> Result<(), Error> {
        let plan = self.live.plan().clone();
        let decoder = Decoder::new(&self.ledger, &plan);
        for entry in store.scan_all() {
            let entry = entry?;
            if let Some(bytes) = entry.state {
                self.live.restore(entry.key, decoder.decode(&bytes)?);
            }
        }
        let progress = &self.ledger.progress;
        let snapshot = store.snapshot()?;
        for name in snapshot.ids_names()? {
            let (hour, number) = parse_blob(&name).ok_or_else(|| corrupt("a blob of ids has a strange name"))?;
            for id in snapshot.ids(&name)?.unwrap_or_default().chunks_exact(16) {
                let id = Identity::from_le_bytes(id.try_into().expect("chunks are of 16 bytes"));
                self.live.restore_id(hour, id, progress.now);
            }
            self.next_blob = self.next_blob.max(number + 1);
            self.blobs.entry(hour).or_default().push(name);
        }
        if progress.now > Millis::MIN {
            self.live.resume(progress.now, progress.newest);
        }
        Ok(())
    }

    /// Where reading the topic goes on; a new state begins at the beginning.
    pub fn start_offsets(&self) -> StartOffsets {
        let source = self.ledger.progress.source.as_ref();
        let partitions = source.map(|s| s.partitions).filter(|n| *n > 0);
        let offsets = source.map(|s| s.reached.clone()).unwrap_or_default();
        if offsets.is_empty() && partitions.is_none() {
            StartOffsets::Beginning
        } else {
            StartOffsets::Own { offsets, partitions }
        }
    }

    /// Takes note of the topic as it is read now. Refuses to leave out a partition whose users the state holds.
    pub fn reads(&mut self, partitions: i32, assigned: &[i32]) -> Result<(), Error> {
        let Some(source) = &mut self.ledger.progress.source else { return Ok(()) };
        if let Some(left_out) = source.reached.iter().find(|o| !assigned.contains(&o.partition)) {
            let why = format!(
                "the state holds users of partition {} of `{}`, which `-p` leaves out",
                left_out.partition, source.topic
            );
            return Err(Error::OtherInput { why });
        }
        source.partitions = partitions;
        Ok(())
    }

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
            Some(projection) => Some(Publishing::start(projection, &self.ledger, &mut self.live, observer)?),
            None => None,
        };
        while !stop.load(Ordering::Relaxed) {
            match news.recv_timeout(TICK) {
                Ok(News::Parcel(parcel)) => self.take(parcel, observer)?,
                Ok(News::Words(words)) => observer.say(&words),
                Ok(News::End) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(News::Failed(failure)) => {
                    // What was read before it is good and is kept.
                    self.checkpoint(observer)?;
                    self.saver.wait()?;
                    return Err(match failure {
                        Failure::Input(e) => Error::Input(e),
                        Failure::Bus(e) => Error::Bus(e),
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Clock::Wall(now) = self.clock {
                self.live.advance(now(), &mut Vec::new());
            }
            if let Some(publishing) = &mut publishing {
                publishing.step(&mut self, observer, Duration::ZERO)?;
            } else {
                self.live.forget_untold();
            }
            let (free, covered) = self.saver.poll()?;
            covered.into_iter().for_each(commit);
            if free && self.dirty && self.saved.elapsed() >= CHECKPOINT {
                self.checkpoint(observer)?;
            }
            self.report.look_at(&self.live);
            observer.progress(&self.report);
        }
        self.finish(publishing, commit, observer)
    }

    fn finish(
        mut self,
        mut publishing: Option<Publishing>,
        commit: &dyn Fn(Vec<(i32, i64)>),
        observer: &mut dyn Observer,
    ) -> Result<Report, Error> {
        let mut trouble = None;
        if let Some(publishing) = &mut publishing {
            // A Redis that is down now is told the rest at the next start: the state knows.
            publishing.hurry.store(true, Ordering::Relaxed);
            while trouble.is_none() && !publishing.is_done(&self.live) {
                trouble = publishing.step(&mut self, observer, Duration::from_millis(100)).err();
            }
        }
        self.saver.wait()?.into_iter().for_each(commit);
        self.checkpoint(observer)?;
        self.saver.wait()?.into_iter().for_each(commit);
        self.report.look_at(&self.live);
        match trouble {
            Some(e) => Err(e),
            None => Ok(self.report),
        }
    }

    fn take(&mut self, parcel: Parcel, observer: &mut dyn Observer) -> Result<(), Error> {
        for letter in &parcel.letters {
            observer.refused(letter).map_err(Error::Letters)?;
        }
        absorb(&mut self.live, self.clock, &parcel.block, &mut self.report.counts, &mut Vec::new());
        self.report.counts.consumed += parcel.consumed;
        self.report.counts.refused += parcel.letters.len() as u64;
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

    /// Hands a checkpoint of everything so far to the saver, which must be free.
    fn checkpoint(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        observer.keep_letters().map_err(Error::Letters)?;
        self.saved = Instant::now();
        self.dirty = false;
        let numbers = &self.numbers;
        let mut states = Vec::with_capacity(self.live.unsaved());
        self.live.save(|key, state| {
            let mut bytes = Vec::new();
            state.encode(numbers, &mut bytes);
            states.push((key.clone(), Some(bytes)));
        });
        let ids = self.id_blobs();
        let progress = &mut self.ledger.progress;
        (progress.now, progress.newest, progress.counts) = (self.live.now(), self.live.newest(), self.report.counts);
        let mut meta: Vec<Blob> = Vec::new();
        if std::mem::take(&mut self.renumbered) {
            meta.extend(self.ledger.numbering().map(|(name, bytes)| (name.to_string(), Some(bytes))));
        }
        let (name, bytes) = self.ledger.progress();
        meta.push((name.to_string(), Some(bytes)));
        let offsets = self.reached().into_iter().collect();
        self.saver.save(Save { at: (self.now)(), states, meta, ids, offsets });
        Ok(())
    }

    /// New ids as one blob an hour, and the blobs of forgotten hours to remove.
    fn id_blobs(&mut self) -> Vec<Blob> {
        let (fresh, forgotten) = self.live.save_ids();
        let mut hours: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        for (hour, id) in fresh {
            hours.entry(hour).or_default().extend_from_slice(&id.to_le_bytes());
        }
        let mut blobs = Vec::new();
        for hour in forgotten {
            hours.remove(&hour);
            blobs.extend(self.blobs.remove(&hour).unwrap_or_default().into_iter().map(|name| (name, None)));
        }
        for (hour, bytes) in hours {
            let name = format!("{hour}/{}", self.next_blob);
            self.next_blob += 1;
            self.blobs.entry(hour).or_default().push(name.clone());
            blobs.push((name, Some(bytes)));
        }
        blobs
    }

    /// For each partition the offset read next.
    fn reached(&self) -> BTreeMap<i32, i64> {
        offsets(self.ledger.progress.source.as_ref())
    }
}

fn offsets(source: Option<&Source>) -> BTreeMap<i32, i64> {
    source
        .map(|s| s.reached.iter().map(|Owned { partition, next, .. }| (*partition, *next)).collect())
        .unwrap_or_default()
}

fn check_input(ledger: &Ledger, dir: &Path, topic: Option<&str>) -> Result<(), Error> {
    let was = ledger.progress.source.as_ref().map(|s| s.topic.as_str());
    if was == topic {
        return Ok(());
    }
    let name = |topic: Option<&str>| topic.map_or("standard input".to_string(), |t| format!("topic `{t}`"));
    let why = format!("the state in {} was made from {}, not from {}", dir.display(), name(was), name(topic));
    Err(Error::OtherInput { why })
}

fn parse_blob(name: &str) -> Option<(i64, u64)> {
    let (hour, number) = name.split_once('/')?;
    Some((hour.parse().ok()?, number.parse().ok()?))
}

fn corrupt(why: &str) -> Error {
    Error::Store(store::Error::new(Kind::Corrupt, format!("embedded store: {why}")))
}

/// The projection's side of a run: what was handed over, and when to keep silent.
struct Publishing {
    publisher: Publisher,
    token: String,
    /// Publish nothing until every partition was read to here: Redis shows it already.
    silent_until: BTreeMap<i32, i64>,
    claim: bool,
    /// Keys still to tell before `round` holds for all events.
    left: usize,
    round: BTreeMap<i32, i64>,
    complete: BTreeMap<i32, i64>,
    /// Told to stop: a Redis that is down is not waited for any more.
    hurry: Arc<AtomicBool>,
}

impl Publishing {
    /// Looks at the token and decides what Redis has to be told.
    fn start(
        projection: Projection,
        ledger: &Ledger,
        live: &mut Live,
        observer: &mut dyn Observer,
    ) -> Result<Publishing, Error> {
        let Projection { mut redis, token, ends } = projection;
        let progress = &ledger.progress;
        let found = redis.token(&token)?.as_deref().and_then(Token::parse);
        let mut silent_until = BTreeMap::new();
        let mut batches = progress.published;
        match found {
            Some(found) if found.state == progress.state_id && found.batch >= progress.published => {
                batches = found.batch;
                silent_until = found.reached;
            }
            Some(found) if found.state != progress.state_id => {
                observer.say(&format!("taking the projection over from another state: {token}"));
                silent_until = found.reached;
                live.tell_again();
            }
            // Lost, rewound, or never there.
            _ => live.tell_again(),
        }
        let reached = offsets(progress.source.as_ref());
        // What does not lie ahead is not waited for: a partition of others, a topic made anew.
        silent_until.retain(|partition, offset| {
            *offset = (*offset).min(ends.get(partition).copied().unwrap_or(0));
            reached.get(partition).copied().unwrap_or(0) < *offset
        });
        let hurry = Arc::new(AtomicBool::new(false));
        let publisher = Publisher::start(redis, token.clone(), progress.state_id.clone(), batches, hurry.clone());
        Ok(Publishing {
            publisher,
            token,
            silent_until,
            claim: true,
            left: 0,
            round: BTreeMap::new(),
            complete: reached,
            hurry,
        })
    }

    fn is_done(&self, live: &Live) -> bool {
        !self.publisher.is_busy() && live.untold() == 0 && self.left == 0
    }

    /// Takes an answer in if there is one within `wait`, and hands over what has changed.
    fn step(&mut self, keep: &mut Keep, observer: &mut dyn Observer, wait: Duration) -> Result<(), Error> {
        match self.publisher.answer(wait) {
            None => {}
            Some(Answer::Done { batches, refused }) => {
                keep.ledger.progress.published += batches;
                for words in refused.iter().take(3) {
                    observer.say(&format!("redis refused a profile: {words}"));
                }
            }
            Some(Answer::Lost) => {
                observer.say("redis has lost data: all profiles are published again");
                keep.live.tell_again();
                (self.claim, self.left) = (true, 0);
            }
            Some(Answer::Fenced) => return Err(Error::Fenced { token: self.token.clone() }),
            Some(Answer::Failed(e)) => return Err(Error::Store(e)),
        }
        let reached = keep.reached();
        self.silent_until.retain(|partition, offset| reached.get(partition).copied().unwrap_or(0) < *offset);
        let untold = keep.live.untold();
        if self.publisher.is_busy() || untold == 0 || !self.silent_until.is_empty() {
            return Ok(());
        }
        if self.left == 0 {
            // Keys wait in line: when those waiting now are told, everything read so far shows.
            (self.left, self.round) = (untold, reached);
        }
        let mut patches = Vec::new();
        let n = untold.min(PUBLISH_KEYS).min(self.left);
        keep.live.drain(n, |patch| patches.push(patch));
        self.left -= n;
        if self.left == 0 {
            self.complete = self.round.clone();
        }
        keep.report.patches += patches.len() as u64;
        let order = Order { patches, reached: self.complete.clone(), claim: std::mem::take(&mut self.claim) };
        self.publisher.order(order);
        Ok(())
    }
}
