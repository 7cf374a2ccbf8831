//! The judgement of suspects: their events are read once more, one by one, with what the state remembers of them.

use super::compare::instants;
use super::evidence::{Case, Event, Known, Wanted, same};
use super::rows::{self, Found, Place, Search};
use super::sides::{Held, Of, Side, State, Told};
use super::{Cause, Difference, Failure, Job, Report};
use crate::engine::dedup::Identity;
use crate::engine::plan::Plan;
use crate::engine::plans::Plans;
use crate::key::{Key, USER};
use crate::limits::FUTURE_MS;
use crate::profiles::AsOf;
use crate::store::Embedded;
use crate::store::embedded::Tag;
use crate::tag::Kind;
use crate::time::{DAY, MINUTE, Millis, utc_day};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// So often a profile in Redis is looked at before it counts as another one, and the milliseconds between two looks.
const LOOKS: usize = 4;
const PAUSE: u64 = 1_500;
/// Events that are folded for evidence: of all keys, and of one.
const BUDGET: u64 = 200_000_000;
const BUDGET_OF_KEY: u64 = 2_000_000;
/// Ids are remembered for so long after they came, at least; unless memory was short.
const REMEMBERED: Millis = DAY;

/// Who judges.
pub struct Judge<'a> {
    pub job: &'a Job<'a>,
    pub told: &'a Told,
    /// The state behind Redis, to be read anew.
    pub embedded: Option<&'a Embedded>,
    pub at: Millis,
}

/// What is known of the events of all suspects.
struct Memory {
    found: Found,
    position: Position,
}

/// How far the state has read.
#[derive(Default)]
struct Position {
    /// Whether there is a state at all.
    known: bool,
    base: Option<crate::time::Day>,
    /// From here on an event that was read is remembered, by its time and by its receipt.
    remembered: Option<(Millis, Millis)>,
    /// Events read, by lane.
    counted: Option<Vec<u64>>,
}

impl Judge<'_> {
    /// Judges keys that seemed to differ, and tells what does.
    pub fn all(
        &self,
        side: &mut Side<'_>,
        mut keys: Vec<Key>,
        report: &mut Report,
        each: &mut impl FnMut(Difference),
    ) -> Result<(), Failure> {
        let redis = matches!(side, Side::Redis(..));
        let looks = if redis && self.job.grace > 0 { LOOKS } else { 1 };
        let pool = Cell::new(BUDGET);
        for look in 1..=looks {
            if keys.is_empty() {
                return Ok(());
            }
            let held = side.held(&keys, self.told, self.at)?;
            let at = match self.job.as_of {
                AsOf::Now(_) if redis => (self.job.now)(),
                _ => self.at,
            };
            let anew = self.embedded.map(|store| State::open(store.snapshot()?, self.job.definitions)).transpose()?;
            let state = anew.as_ref().or(side.state());
            let memory = self.remember(&keys, state)?;
            let mut left = Vec::new();
            for (place, (key, held)) in keys.into_iter().zip(held).enumerate() {
                let budget = Cell::new(pool.get().min(BUDGET_OF_KEY));
                let before = budget.get();
                let found = self.key(&key, &held, &memory, place, at, state, redis, &budget)?;
                pool.set(pool.get() - (before - budget.get()));
                if found.is_empty() {
                    report.in_flight += 1;
                } else if look < looks {
                    left.push(key);
                } else {
                    found.into_iter().for_each(|difference| report.tell(difference, each));
                }
            }
            keys = left;
            if !keys.is_empty() {
                (self.job.wait)(PAUSE);
            }
        }
        Ok(())
    }

    fn remember(&self, keys: &[Key], state: Option<&State<'_>>) -> Result<Memory, Failure> {
        let position = state.map(Position::of).transpose()?.unwrap_or_default();
        let mut ids: HashSet<Identity> = HashSet::new();
        if let Some(state) = state.filter(|state| state.ledger.is_some()) {
            for name in state.snapshot.ids_names()? {
                let blob = state.snapshot.ids(&name)?.unwrap_or_default();
                let id = |bytes: &[u8]| bytes.try_into().map(Identity::from_le_bytes).ok();
                ids.extend(blob.chunks_exact(16).filter_map(id));
            }
        }
        let ledger = state.and_then(|state| state.ledger.as_ref());
        let lanes = ledger.and_then(|l| l.progress.source.as_ref()).map_or(1, |source| source.partitions.max(1));
        let entities: Vec<Arc<Plan>> = self.entities(keys);
        let places: HashMap<Key, usize> = keys.iter().enumerate().map(|(i, key)| (key.clone(), i)).collect();
        // Opened after the store was read: whatever that has read is in it.
        let log = (self.job.log)()?;
        let search = Search {
            log: &log,
            projection: &self.job.definitions.projection,
            rules: self.job.rules,
            received: (self.job.now)(),
            threads: self.job.threads,
            keys: &places,
            entities: &entities,
            ids: &ids,
            hash_key: ledger.map_or([0, 0], |ledger| ledger.progress.hash_key),
            lanes,
            progress: self.job.progress,
        };
        Ok(Memory { found: rows::read(&search)?, position })
    }

    /// A plan of each entity besides users that some keys are of.
    fn entities(&self, keys: &[Key]) -> Vec<Arc<Plan>> {
        let wanted: HashSet<&str> = keys.iter().map(Key::entity).filter(|entity| *entity != USER).collect();
        let full = self.full();
        full.iter().filter(|plan| wanted.contains(&*plan.entity().name)).cloned().collect()
    }

    /// Plans of all that a log can tell.
    fn full(&self) -> Plans {
        let definitions = self.job.definitions;
        let tags = (0..definitions.tags.len()).filter(|tag| !matches!(definitions.tags[*tag].kind, Kind::Imported));
        Plans::new(definitions, &tags.collect::<Vec<_>>())
    }

    /// In what a key differs.
    #[expect(clippy::too_many_arguments, reason = "one call, from the loop above")]
    fn key(
        &self,
        key: &Key,
        held: &Held,
        memory: &Memory,
        place: usize,
        at: Millis,
        state: Option<&State<'_>>,
        redis: bool,
        budget: &Cell<u64>,
    ) -> Result<Vec<Difference>, Failure> {
        let mut found = Vec::new();
        if let Some(why) = &held.broken {
            let (tag, cause, why) = (None, Cause::Wrong, format!("not a profile: {why}"));
            let (store, log) = (None, None);
            return Ok(vec![Difference {
                key: Some(key.clone()),
                tag,
                segment: None,
                cause,
                as_of: at,
                store,
                log,
                why,
            }]);
        }
        let full = self.full();
        for of in instants(held) {
            let live = self.told.live.as_ref().and_then(|plans| plans.of(key.entity()));
            let (plan, at) = match of {
                Of::Live => (live, at),
                Of::At(at) => (full.of(key.entity()), at),
            };
            let Some(plan) = plan else { continue };
            let events = self.events(memory, place, of, at);
            let given = plan.given_of(held.tags.iter().map(Tag::dated));
            let wanted: Vec<Wanted> =
                held.shown.iter().filter(|s| s.of == of).map(|s| (s.tag, s.value.clone())).collect();
            let warm = |tag: usize| {
                let ledger = state?.ledger.as_ref().filter(|_| of == Of::Live)?;
                ledger.warming(self.job.definitions, tag, at).map(|warming| warming.since)
            };
            let case = Case {
                plan,
                blocks: &memory.found.blocks,
                events: &events,
                given: &given,
                at,
                lag: if redis { self.job.grace } else { 0 },
                dated: of != Of::Live,
                known: if of == Of::Live { held.live } else { held.known },
                warm_since: wanted.iter().filter_map(|(tag, _)| warm(*tag)).max(),
                budget,
            };
            if case.agrees(&wanted) {
                continue;
            }
            let expected = case.expected();
            let together = case.verdict(&wanted);
            if let Some(verdict) = together.as_ref().filter(|v| matches!(v.cause, Cause::Extra) || !case.known) {
                if found.is_empty() {
                    found.push(self.difference(key, None, verdict.cause, at, (None, None), verdict.why.clone()));
                }
                continue;
            }
            for one in &wanted {
                if same(&expected, std::slice::from_ref(one)) {
                    continue;
                }
                let alone = || Case { warm_since: warm(one.0), ..case }.verdict(std::slice::from_ref(one));
                let verdict = together.clone().or_else(alone);
                let (cause, mut why) = verdict.map_or_else(
                    || (Cause::Wrong, "no other reading of the log's events gives it".to_string()),
                    |verdict| (verdict.cause, verdict.why),
                );
                if let (true, Some(state), Of::Live) = (redis, state, of) {
                    let entry = state.snapshot.entry(key)?;
                    let says = state.live(&entry, at)?.and_then(|(values, _)| values[one.0].clone());
                    if says == expected[one.0] {
                        why.push_str("; the state of the stream has it right");
                    } else if says == one.1 {
                        why.push_str("; so says the state of the stream");
                    }
                }
                let values = (one.1.clone(), expected[one.0].clone());
                found.push(self.difference(key, Some(one.0), cause, at, values, why));
            }
        }
        Ok(found)
    }

    fn difference(
        &self,
        key: &Key,
        tag: Option<usize>,
        cause: Cause,
        as_of: Millis,
        (store, log): (Option<crate::value::Value>, Option<crate::value::Value>),
        why: String,
    ) -> Difference {
        Difference { key: Some(key.clone()), tag, segment: None, cause, as_of, store, log, why }
    }

    /// The events of a key, each once, with what is known of them.
    fn events(&self, memory: &Memory, place: usize, of: Of, at: Millis) -> Vec<Event> {
        let Memory { found, position } = memory;
        let mut events: Vec<Event> = Vec::new();
        let mut seen: HashMap<&[u8], usize> = HashMap::new();
        let named = matches!(self.job.as_of, AsOf::At(_));
        for at_place in &found.events[place] {
            let block = &found.blocks[at_place.block];
            let timestamp = block.timestamp(at_place.row);
            if of == Of::Live && named && timestamp > at {
                continue;
            }
            match seen.get(block.identity(at_place.row)) {
                Some(&first) => {
                    let event: &mut Event = &mut events[first];
                    event.copies += 1;
                    // The state may have met a later copy first.
                    let known = position.known_of(at_place, timestamp);
                    if known == Known::Read {
                        event.known = known;
                    }
                }
                None => {
                    seen.insert(block.identity(at_place.row), events.len());
                    events.push(Event {
                        id: block.event_id(at_place.row).to_string(),
                        timestamp,
                        received: at_place.received,
                        block: at_place.block,
                        row: at_place.row,
                        copies: 1,
                        known: position.known_of(at_place, timestamp),
                        passed: found.is_passed(at_place),
                        behind: position.behind(at_place),
                        young: at_place.received.is_some_and(|received| received > at - self.job.grace),
                    });
                }
            }
        }
        events
    }
}

impl Position {
    fn of(state: &State<'_>) -> Result<Position, Failure> {
        let Some(ledger) = &state.ledger else { return Ok(Position::default()) };
        let progress = &ledger.progress;
        let committed = state.snapshot.stats()?.committed_at;
        // A replay keeps the time of its events; then receipts say nothing of when an id came.
        let wall = committed.is_some_and(|at| (at - progress.now).abs() < MINUTE);
        let kept = progress.now.saturating_sub(REMEMBERED).saturating_add(FUTURE_MS);
        let by_receipt = if wall { kept } else { Millis::MAX };
        let counted = match &progress.source {
            _ if progress.only_base => None,
            None => Some(vec![progress.counts.consumed - progress.counts.refused - progress.counts.given]),
            Some(source) => {
                let mut counted = vec![0; source.partitions.max(1) as usize];
                for owned in &source.reached {
                    if let Some(lane) = counted.get_mut(owned.partition as usize) {
                        *lane = u64::try_from(owned.next).unwrap_or(0);
                    }
                }
                Some(counted)
            }
        };
        Ok(Position { known: true, base: progress.tail.base, remembered: Some((kept, by_receipt)), counted })
    }

    fn known_of(&self, place: &Place, timestamp: Millis) -> Known {
        let covered = || {
            let day = place.received.map(utc_day);
            self.base.zip(day).is_some_and(|(base, day)| day <= base)
        };
        if place.read || covered() {
            return Known::Read;
        }
        match self.remembered {
            Some((by_time, by_receipt))
                if timestamp >= by_time || place.received.is_some_and(|at| at >= by_receipt) =>
            {
                Known::Unread
            }
            _ => Known::Untold,
        }
    }

    fn behind(&self, place: &Place) -> Option<bool> {
        self.counted.as_ref().filter(|_| self.known).map(|counted| place.ordinal >= counted[place.lane])
    }
}
