//! Care: what is done to a log at rest, while its writers go on: seal, compact, prune, forget, and tell how it stands.
//!
//! At any instant, and after a crash at any point, a reader finds every event once.

mod compact;
mod day;
mod forget;
mod frames;
mod manifest;
mod moved;
mod pack;
mod prune;
mod seal;
mod shipped;
mod stat;

pub use compact::{Compacted, compact_day};
pub use day::{Day, State, days};
pub use forget::{Cleaned, Whose, finish, forget};
pub use frames::{FRAME_BYTES, Frame, FrameWriter, frames, read_frame};
pub use manifest::{Manifest, Piece, SEAL, day_dir};
pub use pack::Packing;
pub use prune::prune_day;
pub use seal::{Sealed, seal_day};
pub use shipped::Topics;
pub use stat::{DayStat, stat_day, stat_file};

pub(super) use manifest::is_sealed;
pub(super) use moved::reopen;

#[cfg(test)]
mod tests;

use super::Error;
use super::lock::{Lock, care};
use crate::limits::FUTURE_MS;
use crate::time::{Millis, day_bounds};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::path::Path;
use std::time::Duration;

const TRIES: u32 = 10;

/// The right to care for a log: one process has it.
pub fn take(root: &Path) -> Result<Lock, Error> {
    let mut tries = 0;
    let taken = loop {
        match Lock::take(&care(root), root) {
            // A writer that looks whether anyone is at work holds the lock for an instant.
            Err(Error::Locked { .. }) if tries < TRIES => tries += 1,
            other => break other,
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    match taken {
        // What a run that was killed had begun.
        Ok(lock) => finish(root).map(|()| lock),
        Err(Error::Locked { holder, .. }) => {
            let holder = holder.map(|pid| format!(": pid {pid}")).unwrap_or_default();
            let why = format!("another `adprof log` or `adprof forget` is at work on it{holder}");
            Err(Error::NotYet { what: root.display().to_string(), why })
        }
        other => other,
    }
}

/// The instant from which a day may be sealed: its end in UTC, and as long again as a receipt may be ahead of the clock.
pub fn over_at(day: Date) -> Result<Millis, Error> {
    let no_day = |_| Error::NotYet { what: day.to_string(), why: "the end of time".into() };
    Ok(day_bounds(day, &TimeZone::UTC).map_err(no_day)?.1 + FUTURE_MS)
}
