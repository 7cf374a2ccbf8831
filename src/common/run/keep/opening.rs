//! Opening: a state from its store, and how far its input is known.

use super::audiences::Held;
use super::bases::Bases;
use super::people::People;
use super::stored::Stored;
use super::{Input, Keep, Setup, saving};
use crate::bus::{Owned, StartOffsets};
use crate::engine::dedup::{Dedup, Horizon, Identity, Slice};
use crate::engine::given::Given;
use crate::engine::live::{Live, Telling};
use crate::engine::plans::Plans;
use crate::engine::state::State;
use crate::key::Key;
use crate::ledger::{Decoder, Ledger, Source};
use crate::rollup::offer::end_of;
use crate::run::outbox::Outbox;
use crate::run::projection::{TOLD, Told};
use crate::run::saver::Saver;
use crate::run::stream::{Error, Observer, Report};
use crate::store::embedded::{Changes, Embedded, Entry, Tag};
use crate::store::{self, Kind};
use crate::time::{Millis, utc_day};
use crossbeam_channel::Sender;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

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
        let audiences = Held::read(&store.snapshot()?)?;
        if setup.audiences {
            live.watch(&audiences.known(&ledger), setup.derived.is_some());
        }
        let stored = Arc::new(Stored::of(store.clone()));
        let people = People::open(&store, &setup.forgotten)?;
        let outbox = Outbox::open(&store)?;
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
            every: setup.every,
            bases: Bases::of(dir),
            stored,
            people,
            outbox,
            rewritten: Vec::new(),
            audiences,
            report: Report::default(),
        };
        keep.restore(setup.memory, setup.horizon)?;
        keep.restore_members()?;
        keep.derive_to(setup.derived)?;
        keep.look_for_forgotten(observer)?;
        keep.wait_for_base(observer)?;
        keep.tell_warming(observer);
        Ok(keep)
    }

    /// Puts back what the store has. States are read and decoded beside this thread, and ids by a third.
    fn restore(&mut self, memory: usize, horizon: Horizon) -> Result<(), Error> {
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
        let snapshot = store.snapshot()?;
        self.live.reserve(usize::try_from(snapshot.stats()?.states).unwrap_or_default());
        for name in snapshot.ids_names()? {
            let (slice, number) =
                saving::parse_blob(&name).ok_or_else(|| corrupt("a blob of ids has a strange name"))?;
            self.next_blob = self.next_blob.max(number + 1);
            self.blobs.entry(slice).or_default().push(name);
        }
        drop(snapshot);
        let (live, blobs, now) = (&mut self.live, &self.blobs, self.ledger.progress.now);
        let (send, entries) = crossbeam_channel::bounded(1);
        let ids = std::thread::scope(|scope| {
            let ids = scope.spawn(|| read_ids(&store, blobs, Dedup::new(horizon), now));
            scope.spawn(|| read_entries(&store, &plans, &decoders, send));
            for entry in entries.into_iter().flatten() {
                let Restored { key, state, given } = entry?;
                let given = given.map(|given| (key.clone(), given));
                if let Some(state) = state {
                    live.restore(key, state);
                }
                if let Some((key, given)) = given {
                    live.restore_given(&key, given);
                }
            }
            ids.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        self.live.restore_ids(ids);
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
}

/// What the store has of a key.
struct Restored {
    key: Key,
    state: Option<State>,
    given: Option<Given>,
}

/// Entries that `read_entries` hands over at once.
const AT_ONCE: usize = 4096;

/// Sends every entry of the store that the plans have an entity for, as long as somebody receives them.
fn read_entries(
    store: &Embedded,
    plans: &Plans,
    decoders: &[Decoder],
    send: Sender<Vec<Result<Restored, store::Error>>>,
) {
    let mut entries = store.scan_all().filter_map(|entry| {
        let read = |entry: Entry| {
            // What is no longer told stays as it is.
            let Some(plan) = plans.place(entry.key.entity()) else { return Ok(None) };
            let given = plans[plan].given_of(entry.tags.iter().map(Tag::dated));
            let given = (given != Given::default() && entry.key.tenant().is_empty()).then_some(given);
            let state = entry.state.map(|bytes| decoders[plan].decode(&bytes)).transpose()?;
            Ok(Some(Restored { key: entry.key, state, given }))
        };
        entry.and_then(read).transpose()
    });
    loop {
        let some: Vec<_> = entries.by_ref().take(AT_ONCE).collect();
        if some.is_empty() || send.send(some).is_err() {
            return;
        }
    }
}

/// The ids that the store has in these blobs, slice by slice.
fn read_ids(
    store: &Embedded,
    blobs: &HashMap<Slice, Vec<String>>,
    mut ids: Dedup,
    now: Millis,
) -> Result<Dedup, Error> {
    let snapshot = store.snapshot()?;
    for (slice, names) in blobs {
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend(snapshot.ids(name)?.unwrap_or_default());
        }
        let (chunks, _) = bytes.as_chunks();
        ids.restore(*slice, chunks.iter().map(|id| Identity::from_le_bytes(*id)), now);
    }
    Ok(ids)
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

fn corrupt(why: &str) -> Error {
    Error::Store(store::Error::new(Kind::Corrupt, format!("embedded store: {why}")))
}
