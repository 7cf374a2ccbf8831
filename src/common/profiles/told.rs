//! What a store says of single tags of a key, and how it comes to say so.

use super::{From, Live, Profiles, Reader, check_still, published};
use crate::engine::explain::{Explanation, explain};
use crate::engine::plan::Plan;
use crate::engine::tail::Tail;
use crate::key::Key;
use crate::ledger::{Decoder, Ledger, Warming};
use crate::store::Error;
use crate::store::embedded::Entry;
use crate::tag::{Definitions, Update};
use crate::time::Millis;
use crate::value::Value;
use std::sync::Arc;

/// One tag of one key, as a store has it.
#[derive(Clone, Debug)]
pub struct Told {
    /// As `query` shows it.
    pub value: Option<Value>,
    pub from: Origin,
    /// Where the live state holds the tag; of a key it does not know, that of no events.
    pub explanation: Option<Explanation>,
    /// Why the live state does not have all of the tag's events.
    pub warming: Option<Warming>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The live state, complete since this instant; 0: from its first event on.
    State { since: Millis },
    /// A patch, true at this instant.
    Patch(Millis),
    /// A store of values only.
    Value,
    /// There is no value.
    Nothing(Why),
}

/// Why a store has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No stream has ever written into the store.
    NoState,
    /// The state has no event of the key.
    NoEvent,
    /// The state does not hold the definition: the stream does not run with it yet.
    New,
    /// The state holds the tag under this other fingerprint.
    OtherDefinition(u64),
    NoPatch,
    /// The store of values has none.
    NoValue,
}

impl Profiles {
    /// The largest event time that the live state has absorbed; `None` without a live state.
    pub fn newest(&self) -> Option<Millis> {
        match &self.from {
            From::Embedded { live: Some(live), .. } => Some(live.ledger.progress.newest),
            _ => None,
        }
    }

    /// What of the live state is its base, and what it counted itself; `None` without a live state.
    pub fn tail(&self) -> Option<Tail> {
        match &self.from {
            From::Embedded { live: Some(live), .. } => Some(live.ledger.progress.tail),
            _ => None,
        }
    }

    /// Why the live state does not have all events of a tag; `None` where it has, or does not tell the tag.
    pub fn warming(&self, tag: usize) -> Option<Warming> {
        match &self.from {
            From::Embedded { live: Some(live), .. } => {
                live.ledger.warming(&self.definitions, tag, self.as_of.instant())
            }
            _ => None,
        }
    }

    /// How far the time of the live state had come; `None` without one.
    pub fn moved_to(&self) -> Option<Millis> {
        match &self.from {
            From::Embedded { live: Some(live), .. } => Some(live.ledger.progress.now),
            _ => None,
        }
    }

    /// What the store says of these tags of a key, all from one state of it, and whether it knows the key at all.
    pub fn explain(&mut self, key: &Key, tags: &[usize]) -> Result<(Vec<Told>, bool), Error> {
        let (definitions, as_of) = (&self.definitions, self.as_of);
        match &mut self.from {
            From::Redis(redis) => {
                let fields = redis.get_many(std::slice::from_ref(key))?.into_iter().next();
                let profile = published(key.clone(), fields.unwrap_or_else(|| Ok(Vec::new())), definitions, as_of)?;
                let told = |tag: &usize| {
                    let value = profile.values[*tag].clone();
                    let from = if value.is_some() { Origin::Value } else { Origin::Nothing(Why::NoValue) };
                    Told { value, from, explanation: None, warming: None }
                };
                Ok((tags.iter().map(told).collect(), !profile.is_empty()))
            }
            From::Embedded { store, live } => {
                let live = live.as_deref();
                let entry = store.get_many([key])?.into_iter().next();
                let entry = entry.unwrap_or_else(|| Entry { key: key.clone(), state: None, tags: Vec::new() });
                let known = entry.state.is_some() || entry.tags.iter().any(|tag| tag.value.is_some());
                let profile = Reader::new(definitions, live, as_of).profile(entry.clone())?;
                let told = |tag: &usize| {
                    let value = profile.values[*tag].clone();
                    told(definitions, live, &entry, *tag, value, as_of.instant())
                };
                let all = tags.iter().map(told).collect::<Result<_, Error>>()?;
                check_still(store, live, as_of)?;
                Ok((all, known))
            }
        }
    }
}

fn told(
    definitions: &Arc<Definitions>,
    live: Option<&Live>,
    entry: &Entry,
    tag: usize,
    value: Option<Value>,
    as_of: Millis,
) -> Result<Told, Error> {
    let held = live.filter(|live| live.plan.outputs.contains(&tag));
    let patch = entry.tags.iter().find(|patch| *patch.code == *definitions.tags[tag].code && patch.value.is_some());
    if let Some(live) = held
        && (entry.state.is_some() || patch.is_none())
    {
        let plan = Plan::new(definitions.clone(), &[tag]);
        let decoder = Decoder::new(&live.ledger, &plan);
        let state = entry.state.as_deref().map(|bytes| decoder.decode(bytes)).transpose()?;
        let from = match &state {
            Some(_) => Origin::State { since: since(&live.ledger, &plan) },
            None => Origin::Nothing(Why::NoEvent),
        };
        let warming = live.ledger.warming(definitions, tag, as_of);
        return Ok(Told { value, from, explanation: Some(explain(&plan, state, as_of)), warming });
    }
    let from = match patch {
        Some(patch) => Origin::Patch(patch.as_of),
        None => Origin::Nothing(why(definitions, live, tag)),
    };
    Ok(Told { value, from, explanation: None, warming: None })
}

/// The instant since which all that a plan needs is complete.
fn since(ledger: &Ledger, plan: &Plan) -> Millis {
    plan.counters.iter().filter_map(|counter| ledger.complete_since(counter.fingerprint)).max().unwrap_or(0)
}

/// Why there is no value of a tag that neither the state nor a patch holds.
fn why(definitions: &Arc<Definitions>, live: Option<&Live>, tag: usize) -> Why {
    if definitions.tags[tag].update != Update::Realtime {
        return Why::NoPatch;
    }
    let Some(live) = live else { return Why::NoState };
    let plan = Plan::new(definitions.clone(), &[tag]);
    let unknown = plan.counters.iter().filter(|counter| live.ledger.complete_since(counter.fingerprint).is_none());
    let known_as = |tag: usize| live.ledger.known_as(&definitions.tags[tag].code);
    unknown.map(|counter| counter.tag).find_map(known_as).map_or(Why::New, Why::OtherDefinition)
}
