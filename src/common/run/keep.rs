//! The live path with a state: fold in memory, checkpoint about once a second, publish as it goes.
//!
//! The truth is the fold of the input up to an offset. The store holds it as of the last
//! checkpoint, Redis as of the last publication, which may be ahead: after a crash the
//! input is read again in silence until it has caught up with what was published.

pub mod bases;
mod people;
mod stored;

use super::feed::{Failure, News, Parcel};
pub use super::projection::Projection;
use super::projection::{Publishing, TOLD, Told};
use super::publish::Offsets;
pub use super::publish::PATIENCE;
use super::saver::{Blob, Covered, Records, Save, Saver};
use super::stream::{Clock, Error, Observer, Report, absorb, is_forgotten, refuse};
use crate::bus::{Owned, StartOffsets};
use crate::engine::dedup::{HashKey, Horizon, Identity};
use crate::engine::given::Given;
use crate::engine::live::{Live, Telling};
use crate::engine::plans::Plans;
use crate::forgotten::Forgotten;
use crate::key::{Key, USER};
use crate::ledger::{Counts, Decoder, Ledger, Source};
use crate::patch::Patch;
use crate::rollup::offer::end_of;
use crate::store::embedded::{Changes, Embedded, Tag, Trace};
use crate::store::{self, Kind};
use crate::time::{Millis, utc_day};
use bases::Bases;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use people::People;
pub use people::{FOLLOWED, followed};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stored::Stored;

const TICK: Duration = Duration::from_millis(20);
const CHECKPOINT: Duration = Duration::from_secs(1);
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
    /// Blobs of ids in the store, by hour.
    blobs: HashMap<i64, Vec<String>>,
    next_blob: u64,
    renumbered: bool,
    dirty: bool,
    saved: Instant,
    bases: Bases,
    stored: Arc<Stored>,
    people: People,
    report: Report,
}

impl Keep {
    /// Opens the state in `dir`, or begins one there. Tells of tags that the state does not know yet.
    ///
    /// Errors: the store's (`Busy` while another process owns it), and `OtherInput`.
    pub fn open(dir: &Path, setup: Setup, observer: &mut dyn Observer) -> Result<Keep, Error> {
        let store = Embedded::create_or_open(dir)?;
        let mut owner = store.begin_owner(setup.input.owner())?;
        let found = Ledger::read(&store.snapshot()?)?;
        let begun = found.as_ref().is_some_and(|ledger| !ledger.progress.only_base);
        if found.is_none() {
            // From here on patches leave traces: those of before are found in the store.
            let nothing: [(Key, Option<&[u8]>); 0] = [];
            owner.commit(Changes { at: (setup.now)(), states: nothing, meta: &[], ids: &[] })?;
        }
        let mut ledger = found.unwrap_or_else(|| Ledger::new(setup.state_id.clone(), setup.hash_key));
        if setup.input == Input::BaseOnly {
            ledger.progress.only_base = !begun;
        } else if begun {
            check_input(&ledger, dir, setup.input.topic())?;
        } else {
            let source = |topic: &str| Source { topic: topic.to_string(), ..Source::default() };
            ledger.progress.source = setup.input.topic().map(source);
            ledger.progress.only_base = false;
        }
        let since = match ledger.progress.tail.base {
            _ if begun => (setup.now)(),
            // What it has of other tags is what comes behind the base.
            Some(base) => end_of(base),
            None => 0,
        };
        ledger.number(&setup.plans, since);
        let numbered = |n: Option<u64>| n.expect("all were just numbered");
        let numbers_of = |plan| ledger.numbers_of(plan).into_iter().map(numbered).collect();
        let numbers = setup.plans.iter().map(|plan| numbers_of(plan)).collect();
        let mut live = Live::new(setup.plans, Telling::Drained, setup.horizon, ledger.progress.hash_key);
        live.number(numbers);
        let stored = Arc::new(Stored::of(store.clone()));
        let people = People::open(&store, &setup.forgotten)?;
        let mut keep = Keep {
            clock: setup.clock,
            now: setup.now,
            before: ledger.progress.counts,
            told: store.meta(TOLD)?.as_deref().and_then(Told::parse),
            ledger,
            live,
            store,
            saver: Saver::start(owner),
            patches: Vec::new(),
            heard: Vec::new(),
            listened: None,
            caught_up: false,
            blobs: HashMap::new(),
            next_blob: 0,
            renumbered: true,
            dirty: true,
            saved: Instant::now(),
            bases: Bases::of(dir),
            stored,
            people,
            report: Report::default(),
        };
        keep.restore(setup.memory)?;
        keep.look_for_forgotten(observer)?;
        keep.wait_for_base(observer)?;
        keep.tell_warming(observer);
        Ok(keep)
    }

    fn restore(&mut self, memory: usize) -> Result<(), Error> {
        let store = self.store.clone();
        let plans = self.live.plans().clone();
        let old = self.ledger.has_no_days().then(|| utc_day((self.now)()));
        let decoders: Vec<Decoder> = plans.iter().map(|plan| Decoder::new(&self.ledger, plan).of_day(old)).collect();
        if self.ledger.progress.now > Millis::MIN {
            self.live.resume(self.ledger.progress.now, self.ledger.progress.newest);
        }
        if old.is_none() {
            self.live.bound(memory, self.stored.clone());
        }
        for entry in store.scan_all() {
            let entry = entry?;
            // What is no longer told stays as it is.
            let Some(plan) = plans.place(entry.key.entity()) else { continue };
            let given = plans[plan].given_of(entry.tags.iter().map(Tag::dated));
            if let Some(bytes) = entry.state {
                self.live.restore(entry.key.clone(), decoders[plan].decode(&bytes)?);
            }
            if given != Given::default() && entry.key.tenant().is_empty() {
                self.live.restore_given(&entry.key, given);
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
        if let Some(today) = old {
            self.ledger.keep_days(today);
            self.live.save_again();
            self.live.bound(memory, self.stored.clone());
        }
        self.live.restore_tail(self.ledger.progress.tail);
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

    /// Takes note of how far the topic is known already: reading it will go on there.
    pub fn knows(&mut self, partitions: i32, reached: Vec<Owned>) {
        if let Some(source) = &mut self.ledger.progress.source {
            (source.partitions, source.reached) = (partitions, reached);
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
        source.part = assigned.len() < usize::try_from(partitions).unwrap_or(usize::MAX);
        if source.part && self.live.tail().base.is_some() {
            let why = format!(
                "the state has a base, with users of all partitions of `{}`: `-p` leaves some out",
                source.topic
            );
            return Err(Error::OtherInput { why });
        }
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
            end = self.hear(news, observer)?;
            self.stored.check()?;
            end = end.or(self.publish(&mut publishing, observer, Duration::ZERO).err().map(End::Failed));
            publishing.iter().for_each(|publishing| publishing.look_at(&self.live, &mut self.report));
            let (free, covered) = self.saver.poll()?;
            self.saved(covered, commit);
            if free {
                self.live.make_room();
                self.listen()?;
            }
            if free && self.dirty && self.saved.elapsed() >= CHECKPOINT {
                self.checkpoint(publishing.as_ref(), observer)?;
            }
            self.look_for_base(observer)?;
            self.tell_of_base(&mut publishing);
            self.look_for_forgotten(observer)?;
            self.people.tell(&mut publishing);
            self.report.look_at(&self.live);
            observer.progress(&self.report);
        }
        self.finish(end, publishing, commit, observer)
    }

    /// A checkpoint is on the disk.
    fn saved(&mut self, covered: Option<Covered>, commit: &dyn Fn(Vec<(i32, i64)>)) {
        if let Some(covered) = covered {
            self.report.saved = Some((self.now)());
            // The group's lag is that of whoever publishes.
            if !self.report.stands_by {
                commit(covered);
            }
            self.bases.saved();
        }
    }

    /// Takes in what comes within a tick, and lets time pass.
    fn hear(&mut self, news: &Receiver<News>, observer: &mut dyn Observer) -> Result<Option<End>, Error> {
        match news.recv_timeout(TICK) {
            Ok(News::Parcel(parcel)) => self.take(parcel, observer)?,
            Ok(News::Words(words)) => observer.say(&words),
            Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return Ok(Some(End::Good)),
            Ok(News::Failed(Failure::Input(e))) => return Ok(Some(End::Failed(Error::Input(e)))),
            Ok(News::Failed(Failure::Bus(e))) => return Ok(Some(End::Failed(Error::Bus(e)))),
            Err(RecvTimeoutError::Timeout) => {}
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

    /// Hands a checkpoint of everything so far to the saver, which must be free.
    fn checkpoint(&mut self, publishing: Option<&Publishing>, observer: &mut dyn Observer) -> Result<(), Error> {
        self.stored.check()?;
        observer.keep_letters().map_err(Error::Letters)?;
        self.saved = Instant::now();
        self.dirty = false;
        let mut states = Records::default();
        self.live.save(|key, state| states.push(key.as_str(), state));
        let ids = self.id_blobs();
        let progress = &mut self.ledger.progress;
        (progress.now, progress.newest) = (self.live.now(), self.live.newest());
        progress.tail = *self.live.tail();
        progress.counts = self.before + self.report.counts;
        if let Some(publishing) = publishing {
            progress.published = publishing.published();
        }
        // Without a projection nobody is told, so that one that comes back has to be told everything.
        let mut meta: Vec<Blob> = vec![(TOLD.to_string(), publishing.map(|publishing| publishing.told(&self.live)))];
        if std::mem::take(&mut self.renumbered) {
            meta.extend(self.ledger.numbering().map(|(name, bytes)| (name.to_string(), Some(bytes))));
        }
        let (name, bytes) = self.ledger.progress();
        meta.push((name.to_string(), Some(bytes)));
        meta.extend(self.people.saving());
        let offsets = self.reached().into_iter().collect();
        let (patches, heard) = (std::mem::take(&mut self.patches), std::mem::take(&mut self.heard));
        self.bases.saving();
        self.saver.save(Save { at: (self.now)(), states, meta, ids, patches, heard, offsets });
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
