//! The log's side: the rows of the key, read once for all tags.

use crate::given;
use crate::letters::Letters;
use crate::report::{self, Failure};
use crate::whole_log;
use adprof::engine::plan::Plan;
use adprof::event::Rules;
use adprof::key::Key;
use adprof::parallel;
use adprof::run::key_rows::{self, Found, Search};
use adprof::tag::Definitions;
use adprof::time::Millis;
use anyhow::Result;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Reads the log for the events that touch `key` of the entity of `tag`; refused lines are told as `batch` tells them.
pub fn read(paths: &[PathBuf], definitions: &Arc<Definitions>, tag: usize, key: &Key, as_of: Millis) -> Result<Found> {
    let log = whole_log::open(paths)?;
    let letters = Letters::new(None);
    let progress = AtomicU64::new(0);
    let bar = report::progress(whole_log::plain_size(&log), "explain");
    let watching = report::watch(&bar, &progress);
    let rules = Rules { event_types: definitions.event_types.clone(), reserved: true };
    let plan = Plan::new(definitions.clone(), &[tag]);
    let search = Search {
        log: &log,
        key,
        plan: &plan,
        rules: &rules,
        received: given::now(),
        as_of,
        threads: parallel::cores(),
        refused: &|refused| letters.take(refused),
        progress: &progress,
    };
    let found = std::thread::scope(|scope| {
        scope.spawn(|| watching.run());
        let found = key_rows::read(&search);
        watching.stop();
        found
    });
    bar.finish_and_clear();
    let found = found.map_err(given::of_log)?;
    match given::check_errors(None, found.refused, found.lines) {
        Ok(()) => Ok(found),
        Err(error) => Err(match error.downcast::<Failure>() {
            Ok(failure) => failure.hint("adprof batch --dead FILE keeps each refused line with its reason").into(),
            Err(error) => error,
        }),
    }
}
