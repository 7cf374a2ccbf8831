//! The log that `--log` names, once or several times, opened for one reading.

use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::lines::Form;
use adprof::log::Log;
use anyhow::Result;
use std::path::PathBuf;

/// So many things that are not read are named.
const SHOWN: usize = 3;

/// Opens the logs one behind the other, and tells what lies in them and is not read.
pub fn open(paths: &[PathBuf]) -> Result<Log> {
    let mut whole: Option<Log> = None;
    for path in paths {
        let log = Log::open(path).map_err(given::of_log)?;
        whole = Some(match whole {
            None => log,
            Some(before) => before.and(log),
        });
    }
    let log = whole.expect("a log is asked for by its paths");
    for stray in log.strays().iter().take(SHOWN) {
        report::warn(format_args!("{}: not read: {}", stray.path.display(), stray.why));
    }
    if log.strays().len() > SHOWN {
        report::warn(format_args!("{} more are not read", log.strays().len() - SHOWN));
    }
    if log.files().is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let failure = Failure::new(Exit::NoInput, format!("{}: no log in it", names.join(", ")));
        return Err(failure.hint("a log is a file, or a directory of dt=YYYY-MM-DD/*.ndjson").into());
    }
    Ok(log)
}

/// The bytes to be read, for a progress bar; 0 when a part is packed or a pipe and nobody knows.
pub fn plain_size(log: &Log) -> u64 {
    log.files().iter().map(|f| f.size.filter(|_| f.form == Form::Plain)).sum::<Option<u64>>().unwrap_or(0)
}
