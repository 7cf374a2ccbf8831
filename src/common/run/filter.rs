//! The live path as a filter: events in, patches out, nothing kept.
//!
//! Its output is definite: one patch for each event that changes a tag and one for each
//! change by time, at its instant.

use super::feed::{Failure, News, Parcel};
use super::stream::{Clock, Error, Observer, Report, absorb, refuse};
use crate::engine::live::Live;
use crate::forgotten::Forgotten;
use crate::key::SEGMENTS;
use crate::patch::Patch;
use crate::time::Millis;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When patches are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Emit {
    /// For each change.
    Each,
    /// Once for each key at the end, with all its tags.
    Final,
    /// For each changed key, each time so much real time has passed.
    Every(Duration),
}

/// How to filter.
pub struct Job {
    pub clock: Clock,
    pub emit: Emit,
    /// The instant to go on to when the input has ended.
    pub until: Option<Millis>,
    /// Whose events do not count.
    pub forgotten: Arc<Forgotten>,
}

const TICK: Duration = Duration::from_millis(50);
const KEEP_LETTERS: Duration = Duration::from_secs(1);

/// Reads to the end of the news or until `stop`, writing patches to `out`.
pub fn run(
    live: &mut Live,
    job: &Job,
    news: &Receiver<News>,
    stop: &AtomicBool,
    out: &mut impl Write,
    observer: &mut dyn Observer,
) -> Result<Report, Error> {
    let mut filter = Filter::new(live, job);
    let ended = filter.read(news, stop, out, observer);
    // However it ended: what was refused can be mended.
    observer.keep_letters().map_err(Error::Letters)?;
    ended.map(|()| filter.report)
}

struct Filter<'a> {
    live: &'a mut Live,
    job: &'a Job,
    report: Report,
    patches: Vec<Patch>,
    bytes: Vec<u8>,
    told: Instant,
    kept: Instant,
}

impl<'a> Filter<'a> {
    fn new(live: &'a mut Live, job: &'a Job) -> Filter<'a> {
        let now = Instant::now();
        Filter { live, job, report: Report::default(), patches: Vec::new(), bytes: Vec::new(), told: now, kept: now }
    }

    fn read(
        &mut self,
        news: &Receiver<News>,
        stop: &AtomicBool,
        out: &mut impl Write,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        while !stop.load(Ordering::Relaxed) {
            match news.recv_timeout(TICK) {
                Ok(News::Parcel(parcel)) => self.take(parcel, observer)?,
                Ok(News::Words(words)) => observer.say(&words),
                Ok(News::End) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(News::Failed(Failure::Input(e))) => return Err(Error::Input(e)),
                Ok(News::Failed(Failure::Bus(e))) => return Err(Error::Bus(e)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.tick();
            self.write(out)?;
            self.report.look_at(self.live);
            if self.kept.elapsed() >= KEEP_LETTERS {
                self.kept = Instant::now();
                observer.keep_letters().map_err(Error::Letters)?;
            }
            observer.progress(&self.report);
        }
        self.end();
        self.write(out)?;
        self.report.look_at(self.live);
        Ok(())
    }

    fn take(&mut self, parcel: Parcel, observer: &mut dyn Observer) -> Result<(), Error> {
        let (counts, forgotten) = (&mut self.report.counts, &self.job.forgotten);
        counts.consumed += parcel.consumed;
        self.report.outside += parcel.outside;
        self.report.unkeyed += parcel.unkeyed;
        refuse(&parcel, forgotten, counts, observer)?;
        absorb(self.live, self.job.clock, &parcel, forgotten, counts, &mut self.patches);
        Ok(())
    }

    /// What real time brings about.
    fn tick(&mut self) {
        if let Clock::Wall(now) = self.job.clock {
            self.live.advance(now(), &mut self.patches);
        }
        if let Emit::Every(span) = self.job.emit
            && self.told.elapsed() >= span
        {
            self.told = Instant::now();
            self.drain();
        }
        // Nothing is kept, and at the end all is told, so that forgotten keys can be let go.
        if self.job.emit == Emit::Final {
            self.live.forget_untold();
        }
        self.live.forget_unsaved();
    }

    fn end(&mut self) {
        if let Some(until) = self.job.until {
            self.live.advance(until, &mut self.patches);
        }
        match self.job.emit {
            Emit::Each => {}
            Emit::Every(_) => self.drain(),
            Emit::Final => self.live.tell_all(|patch| self.patches.push(patch)),
        }
    }

    /// Tells what has changed; memberships are told as events.
    fn drain(&mut self) {
        let patches = &mut self.patches;
        self.live.drain(usize::MAX, |patch| patches.extend((patch.key.entity() != SEGMENTS).then_some(patch)));
    }

    fn write(&mut self, out: &mut impl Write) -> Result<(), Error> {
        // Each behind the patches that it comes with.
        let mut derived = self.live.take_derived().into_iter().peekable();
        let count = self.patches.len();
        for (i, patch) in self.patches.drain(..).map(Some).chain([None]).enumerate() {
            while let Some(one) = derived.next_if(|one| one.patches <= i || i == count) {
                self.report.derived += 1;
                one.push_line(one.at, &mut self.bytes);
            }
            if let Some(patch) = patch {
                self.report.patches += 1;
                patch.push_line(&mut self.bytes);
            }
            if self.bytes.len() >= 1 << 16 {
                out.write_all(&self.bytes).map_err(Error::Output)?;
                self.bytes.clear();
            }
        }
        out.write_all(&self.bytes).and_then(|()| out.flush()).map_err(Error::Output)?;
        self.bytes.clear();
        Ok(())
    }
}
