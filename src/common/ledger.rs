//! The ledger: what a live state is in a store, besides the states of its keys.
//!
//! It says how far the input was read, what became of it, which number stands for which
//! definition, and the definitions themselves. It changes in the transaction that changes the states.

use crate::bus::Owned;
use crate::engine::dedup::HashKey;
use crate::engine::plan::Plan;
use crate::engine::state::State;
use crate::store::embedded::Snapshot;
use crate::store::{Error, Kind};
use crate::tag::Definitions;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

const PROGRESS: &str = "live";
const NUMBERS: &str = "tags";
const DEFINITIONS: &str = "definitions";

/// What became of the input: consumed = absorbed + duplicates + refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub consumed: u64,
    pub absorbed: u64,
    pub duplicates: u64,
    pub refused: u64,
}

impl std::ops::Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts {
            consumed: self.consumed + other.consumed,
            absorbed: self.absorbed + other.absorbed,
            duplicates: self.duplicates + other.duplicates,
            refused: self.refused + other.refused,
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
}

/// A definition and the number that stands for it in the states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Numbered {
    number: u64,
    code: String,
    fingerprint: u64,
    /// The instant since which every event was counted: the state's first one, or when the tag was added.
    since: Millis,
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
        let progress = Progress { state_id, hash_key, now: Millis::MIN, newest: Millis::MIN, ..Progress::default() };
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

    /// Numbers the definitions of a plan that have none yet, complete since `since`. Gives the codes of those that are new or changed.
    pub fn number(&mut self, plan: &Plan, since: Millis) -> Vec<String> {
        let mut new = Vec::new();
        for counter in &plan.counters {
            if self.find(counter.fingerprint).is_none() {
                let told = plan.definitions.tags.get(counter.tag);
                // No tag has a code with a blank in it.
                let code = told.map_or(format!("{} retain", plan.entity().name), |tag| tag.code.to_string());
                let number = self.numbers.iter().map(|n| n.number + 1).max().unwrap_or(0);
                self.numbers.push(Numbered { number, code: code.clone(), fingerprint: counter.fingerprint, since });
                new.extend(told.map(|_| code));
            }
        }
        let definitions = &plan.definitions;
        self.definitions = Some(Kept { source: definitions.source.clone(), text: definitions.text.clone() });
        new
    }

    fn find(&self, fingerprint: u64) -> Option<&Numbered> {
        self.numbers.iter().find(|n| n.fingerprint == fingerprint)
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
        Decoder { plan, places }
    }

    /// The state that `bytes` are. Definitions the plan does not have are passed over.
    pub fn decode(&self, bytes: &[u8]) -> Result<State, Error> {
        State::decode(self.plan, |number| self.places.get(&number).into_iter().flatten().copied(), bytes)
            .ok_or_else(|| broken("a state is broken"))
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
