//! Saving: what a checkpoint holds.

use super::Keep;
use crate::engine::dedup::{Identity, Slice};
use crate::engine::live::{Gone, Live, Unsaved};
use crate::run::projection::{Publishing, TOLD};
use crate::run::saver::{Blob, Covered, Records, Save};
use crate::run::stream::{Error, Observer};
use std::time::Instant;

/// Keys to pack from which on a thread is begun for half of them: one takes about half a microsecond, and the fold waits.
const WORTH_A_THREAD: usize = 2000;

impl Keep {
    /// A checkpoint is on the disk.
    pub(super) fn saved(&mut self, covered: Option<Covered>, commit: &dyn Fn(Vec<(i32, i64)>)) {
        if let Some(covered) = covered {
            self.report.saved = Some((self.now)());
            // The group's lag is that of whoever publishes.
            if !self.report.stands_by {
                commit(covered);
            }
            self.bases.saved();
            self.outbox.saved();
        }
    }

    /// Hands a checkpoint of everything so far to the saver, which must be free.
    pub(super) fn checkpoint(
        &mut self,
        publishing: Option<&Publishing>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        self.stored.check()?;
        observer.keep_letters().map_err(Error::Letters)?;
        self.saved = Instant::now();
        self.dirty = false;
        let states = records(&mut self.live);
        let ids = self.id_blobs();
        let progress = &mut self.ledger.progress;
        (progress.now, progress.newest) = (self.live.now(), self.live.newest());
        progress.tail = *self.live.tail();
        progress.counts = self.before + self.report.counts;
        if let Some(publishing) = publishing {
            progress.published = publishing.published();
        }
        let audiences = self.audience_blobs();
        // Without a projection nobody is told, so that one that comes back has to be told everything.
        let mut meta: Vec<Blob> = vec![(TOLD.to_string(), publishing.map(|publishing| publishing.told(&self.live)))];
        if std::mem::take(&mut self.renumbered) {
            meta.extend(self.ledger.numbering().map(|(name, bytes)| (name.to_string(), Some(bytes))));
        }
        let (name, bytes) = self.ledger.progress();
        meta.push((name.to_string(), Some(bytes)));
        meta.extend(self.people.saving());
        meta.append(&mut self.rewritten);
        meta.extend(audiences);
        let offsets = self.reached().into_iter().collect();
        let (patches, heard) = (std::mem::take(&mut self.patches), std::mem::take(&mut self.heard));
        self.bases.saving();
        self.saver.save(Save { at: (self.now)(), states, meta, ids, patches, heard, offsets });
        Ok(())
    }

    /// New ids as one blob a slice, and the blobs of forgotten slices to remove.
    fn id_blobs(&mut self) -> Vec<Blob> {
        let (fresh, forgotten) = self.live.save_ids();
        let mut blobs = Vec::new();
        for slice in forgotten {
            blobs.extend(self.blobs.remove(&slice).unwrap_or_default().into_iter().map(|name| (name, None)));
        }
        for (slice, ids) in fresh {
            let name = format!("{slice}/{}", self.next_blob);
            self.next_blob += 1;
            self.blobs.entry(slice).or_default().push(name.clone());
            blobs.push((name, Some(ids.into_iter().map(Identity::to_le_bytes).collect::<Vec<_>>().into_flattened())));
        }
        blobs
    }
}

/// What changed in the states since the last time.
fn records(live: &mut Live) -> [Records; 2] {
    let mut records = <[Records; 2]>::default();
    let [one, two] = &mut records;
    let pack = |half: Unsaved, into: &mut Records| {
        into.reserve(half.len());
        half.pack(|key, state| into.push(key.as_str(), state))
    };
    live.save_by(|[low, high]| {
        if high.len() < WORTH_A_THREAD {
            return [pack(low, one), pack(high, two)];
        }
        std::thread::scope(|scope| {
            let other = scope.spawn(|| pack(high, two));
            let gone: Gone = pack(low, one);
            [gone, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
        })
    });
    records
}

/// The slice whose ids a blob of this name holds, and its number.
pub(super) fn parse_blob(name: &str) -> Option<(Slice, u64)> {
    let (slice, number) = name.split_once('/')?;
    Some((slice.parse().ok()?, number.parse().ok()?))
}
