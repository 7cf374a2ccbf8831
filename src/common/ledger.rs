//! The ledger: what a live state is in a store, besides the states of its keys.
//!
//! It says how far the input was read, what became of it, which number stands for which
//! definition, and the definitions themselves. It changes in the transaction that changes the states.

use crate::bus::Owned;
use crate::engine::dedup::HashKey;
use crate::engine::plan::{Counter, Plan};
use crate::engine::plans::Plans;
use crate::engine::state::State;
use crate::engine::tail::Tail;
use crate::limits::FUTURE_MS;
use crate::store::embedded::Snapshot;
use crate::store::{Error, Kind};
use crate::tag::Definitions;
use crate::time::{self, Day, Millis, day_start, show_day, utc_day};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

const PROGRESS: &str = "live";
const NUMBERS: &str = "tags";
const DEFINITIONS: &str = "definitions";

/// What became of the input: consumed = absorbed + duplicates + covered + refused + given + forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub consumed: u64,
    pub absorbed: u64,
    pub duplicates: u64,
    /// Received on a day that the base holds: not added.
    #[serde(default)]
    pub covered: u64,
    pub refused: u64,
    /// Patches between the events. A state of an older version has none.
    #[serde(default)]
    pub given: u64,
    /// Events and patches of forgotten users, and refused lines that name one.
    #[serde(default)]
    pub forgotten: u64,
}

impl std::ops::Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts {
            consumed: self.consumed + other.consumed,
            absorbed: self.absorbed + other.absorbed,
            duplicates: self.duplicates + other.duplicates,
            covered: self.covered + other.covered,
            refused: self.refused + other.refused,
            given: self.given + other.given,
            forgotten: self.forgotten + other.forgotten,
        }
    }
}

/// Where the input comes from and how far it was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub topic: String,
    /// Partitions of the whole topic when reading began.
    pub partitions: i32,
    pub reached: Vec<Owned>,
    /// Only some of them are read: the state has a part of the users.
    #[serde(default)]
    pub part: bool,
}

/// How far a live state has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Names the state for ever, so that another one is not taken for it.
    pub state_id: String,
    pub hash_key: HashKey,
    /// How far time had come, and the largest event time absorbed.
    pub now: Millis,
    pub newest: Millis,
    pub counts: Counts,
    /// `None`: standard input.
    pub source: Option<Source>,
    /// Publications made into a projection so far.
    pub published: u64,
    /// The form of the states' bytes.
    #[serde(default = "first_form")]
    form: u32,
    /// Which events the base has, and which the state counts itself.
    #[serde(default)]
    pub tail: Tail,
    /// The digest of the base that is installed.
    #[serde(default)]
    pub base: Option<u64>,
    /// No stream has begun: there is a base at most.
    #[serde(default)]
    pub only_base: bool,
}

/// States by day of receipt. Those of form 1 have no days.
const FORM: u32 = 2;

fn first_form() -> u32 {
    1
}

/// A definition and the number that stands for it in the states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Numbered {
    number: u64,
    code: String,
    fingerprint: u64,
    /// The instant since which every event received was counted; 0: all, from the first one on, or by way of a base.
    since: Millis,
    /// Not counted any more: should the definition come back, it begins anew.
    #[serde(default)]
    retired: bool,
}

/// Why a tag is not whole yet, and when it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warming {
    /// Events received from here on are counted.
    pub since: Millis,
    /// The instant at which its window has left behind what was not counted; none: a lifetime tag.
    pub until: Option<Millis>,
}

impl Warming {
    /// A base through this day, or a later one, makes it whole.
    pub fn base(&self) -> Day {
        utc_day(self.since)
    }
}

/// `counts events received since …, until a base through … is installed`.
impl fmt::Display for Warming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (since, day) = (time::show(self.since), show_day(self.base()));
        write!(f, "counts events received since {since} only, until a base through {day} or a later day is installed")?;
        self.until.map_or(Ok(()), |until| write!(f, ", or until {}", time::show(until)))
    }
}

/// A definition file as it was when the state was last written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    source: String,
    text: String,
}

/// What a store says of its live state.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub progress: Progress,
    numbers: Vec<Numbered>,
    definitions: Option<Kept>,
}

impl Ledger {
    /// The ledger of a state that begins now.
    pub fn new(state_id: String, hash_key: HashKey) -> Ledger {
        let (now, newest) = (Millis::MIN, Millis::MIN);
        let progress = Progress { state_id, hash_key, now, newest, form: FORM, ..Progress::default() };
        Ledger { progress, numbers: Vec::new(), definitions: None }
    }

    /// Reads the ledger of a store; `None` when no live state was ever begun there.
    pub fn read(snapshot: &Snapshot<'_>) -> Result<Option<Ledger>, Error> {
        let Some(progress) = snapshot.meta(PROGRESS)? else { return Ok(None) };
        let numbers = snapshot.meta(NUMBERS)?.unwrap_or_else(|| b"[]".to_vec());
        let definitions = snapshot.meta(DEFINITIONS)?.map(|bytes| parse(&bytes)).transpose()?;
        Ok(Some(Ledger { progress: parse(&progress)?, numbers: parse(&numbers)?, definitions }))
    }

    /// The definitions the state was made with.
    pub fn definitions(&self) -> Result<Option<Definitions>, Error> {
        let Some(kept) = &self.definitions else { return Ok(None) };
        let parsed = Definitions::parse(&kept.text, &kept.source);
        parsed.map(Some).map_err(|_| broken("its definitions cannot be read by this version"))
    }

    /// Numbers the definitions of the plans that have none yet, complete since `since`; others are counted no more. Gives
    /// the codes of those that are new or changed.
    pub fn number(&mut self, plans: &Plans, since: Millis) -> Vec<String> {
        let mut new = Vec::new();
        let counted = |fingerprint| plans.iter().flat_map(|plan| &plan.counters).any(|c| c.fingerprint == fingerprint);
        for known in &mut self.numbers {
            known.retired |= !counted(known.fingerprint);
        }
        for (plan, counter) in plans.iter().flat_map(|plan| plan.counters.iter().map(move |counter| (plan, counter))) {
            if self.find(counter.fingerprint).is_none() {
                let told = plan.definitions.tags.get(counter.tag);
                // No tag has a code with a blank in it.
                let code = told.map_or(format!("{} retain", plan.entity().name), |tag| tag.code.to_string());
                let number = self.numbers.iter().map(|n| n.number + 1).max().unwrap_or(0);
                let fingerprint = counter.fingerprint;
                self.numbers.push(Numbered { number, code: code.clone(), fingerprint, since, retired: false });
                new.extend(told.map(|_| code));
            }
        }
        let definitions = plans.definitions();
        self.definitions = Some(Kept { source: definitions.source.clone(), text: definitions.text.clone() });
        new
    }

    fn find(&self, fingerprint: u64) -> Option<&Numbered> {
        self.numbers.iter().find(|n| n.fingerprint == fingerprint && !n.retired)
    }

    /// The fingerprint of the definition under which the state knows a tag; of several the one that was added last.
    pub fn known_as(&self, code: &str) -> Option<u64> {
        self.numbers.iter().rev().find(|n| n.code == code).map(|n| n.fingerprint)
    }

    /// The instant since which the state counts every event for a definition, 0 from its first one on; `None` where it
    /// does not hold it.
    pub fn complete_since(&self, fingerprint: u64) -> Option<Millis> {
        self.find(fingerprint).map(|n| n.since)
    }

    /// Why a tag is not whole at `now`; `None`: it is, as far as the state goes, or the state does not hold it.
    pub fn warming(&self, definitions: &Arc<Definitions>, tag: usize, now: Millis) -> Option<Warming> {
        let of = |counter: &Counter| {
            let since = self.complete_since(counter.fingerprint).filter(|since| *since > 0)?;
            // An event may be ahead of its receipt by so much: what was received before may lie behind.
            let whole_from = since.saturating_add(FUTURE_MS);
            let until = counter.window.map(|window| window.expiry(window.pane(whole_from - 1)));
            until.is_none_or(|until| now < until).then_some(Warming { since, until })
        };
        let plan = Plan::new(definitions.clone(), &[tag]);
        let later = |a: Warming, b: Warming| Warming {
            since: a.since.max(b.since),
            until: a.until.zip(b.until).map(|(a, b)| a.max(b)),
        };
        plan.counters.iter().filter_map(of).reduce(later)
    }

    /// Takes note of a base that was installed, with all events received through `day`.
    pub fn installed(&mut self, day: Day, digest: u64) {
        self.progress.base = Some(digest);
        for known in self.numbers.iter_mut().filter(|known| !known.retired && known.since < day_start(day + 1)) {
            known.since = 0;
        }
    }

    /// Whether the state has the users of some partitions only.
    pub fn is_part(&self) -> bool {
        self.progress.source.as_ref().is_some_and(|source| source.part)
    }

    /// Whether the states have no days: what was received on which of them nobody knows.
    pub fn has_no_days(&self) -> bool {
        self.progress.form < FORM
    }

    /// From here on states are written by day; what there is counts as received through `day`.
    pub fn keep_days(&mut self, day: Day) {
        self.progress.form = FORM;
        self.progress.tail = Tail::of_old(day);
    }

    /// The places, in some definitions, of the aggregations that the state holds.
    pub fn held(&self, definitions: &Definitions) -> Vec<usize> {
        let held = |tag: &usize| self.find(definitions.tags[*tag].fingerprint).is_some();
        (0..definitions.tags.len()).filter(held).collect()
    }

    /// What to write when the numbering changed.
    pub fn numbering(&self) -> [(&'static str, Vec<u8>); 2] {
        [(NUMBERS, json(&self.numbers)), (DEFINITIONS, json(&self.definitions))]
    }

    /// What to write in each transaction.
    pub fn progress(&self) -> (&'static str, Vec<u8>) {
        (PROGRESS, json(&self.progress))
    }

    /// For each counter of a plan its number in the states; `None` where the state does not hold it.
    pub fn numbers_of(&self, plan: &Plan) -> Vec<Option<u64>> {
        plan.counters.iter().map(|c| self.find(c.fingerprint).map(|n| n.number)).collect()
    }
}

/// Reads states of a store for a plan.
pub struct Decoder<'p> {
    plan: &'p Plan,
    places: HashMap<u64, Vec<usize>>,
    /// Of states without days: the day that stands for all.
    day: Option<Day>,
}

impl<'p> Decoder<'p> {
    pub fn new(ledger: &Ledger, plan: &'p Plan) -> Decoder<'p> {
        let numbers = ledger.numbers_of(plan);
        let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
        for (place, number) in numbers.into_iter().enumerate() {
            if let Some(number) = number {
                places.entry(number).or_default().push(place);
            }
        }
        Decoder { plan, places, day: ledger.has_no_days().then_some(0) }
    }

    /// States without days are those of this one.
    pub fn of_day(self, day: Option<Day>) -> Decoder<'p> {
        Decoder { day, ..self }
    }

    /// The state that `bytes` are. Definitions the plan does not have are passed over.
    pub fn decode(&self, bytes: &[u8]) -> Result<State, Error> {
        let places = |number| self.places.get(&number).into_iter().flatten().copied();
        let state = match self.day {
            None => State::decode_days(self.plan, places, bytes),
            Some(day) => State::decode(self.plan, places, bytes).map(|mut state| {
                state.received_on(day);
                state
            }),
        };
        state.ok_or_else(|| broken("a state is broken"))
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data has a JSON form")
}

fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| broken(&format!("its ledger is broken: {e}")))
}

fn broken(why: &str) -> Error {
    Error::new(Kind::Corrupt, format!("embedded store: {why}")).hint("move it away and make it anew from the log")
}
