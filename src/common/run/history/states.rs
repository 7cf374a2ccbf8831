//! The states of all days, without a cutoff: what a live state takes for its base.

use super::build::Current;
use super::merge::Sources;
use super::work::{Work, cutoff};
use super::{Failure, History, manifest};
use crate::engine::state::State;
use crate::key::Key;
use crate::parallel;
use crate::rollup::{Counts, PARTS, lock};
use crate::time::Millis;

/// One part: keys in their order, and the last of the times of the events that came late into their day.
pub struct Part {
    pub states: Vec<(Key, State)>,
    pub newest: Option<Millis>,
    pub late: u64,
}

/// Gives the states of all days of the log to `take`, part by part, each event counted, however late or early its time is.
/// The counters are all aggregations of the definitions, in their order.
///
/// `None`: some day cannot be rolled up yet, and nothing was given.
pub fn states<T: Send>(
    history: &History<'_>,
    work_on: impl Fn(usize, Part) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), Failure>,
) -> Result<Option<Counts>, Failure> {
    let _lock = lock(history.dir)?;
    let Some(last) = history.job.log.files().iter().filter_map(|file| file.day).max() else { return Ok(None) };
    let last = last.to_string();
    let mut work = Work::new(history.job, history.dir, cutoff(&last), manifest(history)?);
    let Current { through, live } = work.bring_up()?;
    if !live.is_empty() || through.as_deref() != Some(&last) {
        return Ok(None);
    }
    let sources = work.sources(Some(&last), cutoff(&last), &[]);
    let Sources { base, days, .. } = &sources;
    let mut counts = Counts::default();
    base.iter().map(|base| &base.counts).chain(days.iter().map(|day| &day.counts)).for_each(|one| counts.add(one));
    counts.late = 0;
    let files = work.files(&sources)?;
    let one = |p: usize| -> Result<T, Failure> { Ok(work_on(p, work.whole_part(p, &files)?)) };
    parallel::ordered(history.job.threads, PARTS, one, &mut take)?;
    Ok(Some(counts))
}
