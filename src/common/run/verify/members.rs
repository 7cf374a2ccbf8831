//! Memberships: who is in which audience by the state of a stream, and by the rules over the values of the same state.
//!
//! Both are of one commit and as of the instant that the state had come to then, so nothing is on its way but patches that
//! the stream has not heard of.

use super::sides::State;
use super::{Cause, Difference, Job};
use crate::engine::audience::{live_segments, watched_tags};
use crate::engine::live::memberships;
use crate::engine::plan::{Plan, Values};
use crate::expr::Scratch;
use crate::key::{Key, USER};
use crate::ledger::Decoder;
use crate::rows::Row;
use crate::run::keep::audiences_of;
use crate::store::embedded::{Entry, OF_KEYS, Tag};
use crate::store::{self, Kind};
use crate::tag::Segment;
use crate::time::Millis;
use crate::value::{Datum, Value};
use std::sync::Arc;

/// The values of a user, as rules name them.
struct User<'a>(&'a Values, Millis);

impl Row for User<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.0[slot].as_ref().map_or(Datum::Null, Value::datum)
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(self.1)
    }
}

/// Compares the memberships of users whom `asked` is true of. Gives how many audiences are current in the state.
pub fn compare(
    job: &Job<'_>,
    state: &State<'_>,
    asked: &dyn Fn(&Key) -> bool,
    each: &mut dyn FnMut(Difference),
) -> Result<usize, store::Error> {
    let (Some(ledger), Some(plans)) = (&state.ledger, &state.plans) else { return Ok(0) };
    let known = audiences_of(&state.snapshot, ledger)?;
    let number = |segment: &Segment| {
        let same = |one: &&crate::engine::audience::Known| {
            *one.code == *segment.code && one.version.as_ref() == Some(&segment.version)
        };
        known.iter().find(same).map(|one| one.number)
    };
    let kept: Vec<(u64, &Segment)> =
        live_segments(job.definitions).filter_map(|segment| Some((number(segment)?, segment))).collect();
    if kept.is_empty() {
        return Ok(0);
    }
    let told = plans.of(USER).map_or(Vec::new(), |plan| plan.outputs.clone());
    let plan = Arc::new(Plan::watching(job.definitions.clone(), &told, &watched_tags(job.definitions)));
    let (decoder, at) = (Decoder::new(ledger, &plan), ledger.progress.now);
    let differs = |key: &Key, segment: &Segment, is: bool| Difference {
        key: Some(key.clone()),
        tag: None,
        segment: Some(segment.code.clone()),
        cause: Cause::Wrong,
        as_of: at,
        store: Some(Value::Bool(!is)),
        log: Some(Value::Bool(is)),
        why: "its rule over the values of the state says otherwise".into(),
    };
    let members = |key: &Key| -> Result<Vec<u64>, store::Error> {
        let bytes = state.snapshot.meta(&format!("{OF_KEYS}{}", key.as_str()))?.unwrap_or_default();
        memberships(&bytes).map(|all| all.into_iter().map(|(number, _)| number).collect()).ok_or_else(|| {
            store::Error::new(Kind::Corrupt, format!("embedded store: the memberships of {key} are broken"))
        })
    };
    let mut one = |entry: Entry| -> Result<(), store::Error> {
        if !asked(&entry.key) || state.snapshot.is_traced(&entry.key)? {
            return Ok(());
        }
        let given = plan.given_of(entry.tags.iter().map(Tag::dated));
        let decoded = entry.state.as_deref().map(|bytes| decoder.decode(bytes)).transpose()?;
        let decoded = decoded.filter(|state| !plan.is_over(state, at));
        let is_known = decoded.is_some() || given.is_known();
        let (mut scratch, was) = (Scratch::new(), members(&entry.key)?);
        let values = plan.values(decoded.as_ref(), &given, at, &mut scratch);
        for (number, segment) in &kept {
            let is = is_known && segment.rule.is_true(&User(&values, at), &scratch);
            scratch.reset();
            if is != was.contains(number) {
                each(differs(&entry.key, segment, is));
            }
        }
        Ok(())
    };
    let mut failed = Ok(());
    state.snapshot.each("", USER, |entry| {
        if failed.is_ok() {
            failed = one(entry);
        }
    })?;
    failed?;
    // Of whom nothing is known nobody is in any.
    state.snapshot.each_meta(OF_KEYS, |stored, _| {
        let Some(key) = Key::from_stored(stored).filter(|key| asked(key)) else { return Ok(()) };
        let entry = state.snapshot.entry(&key)?;
        if entry.state.is_none() && entry.tags.is_empty() {
            let was = members(&key)?;
            kept.iter().filter(|(number, _)| was.contains(number)).for_each(|(_, one)| each(differs(&key, one, false)));
        }
        Ok(())
    })?;
    Ok(kept.len())
}
