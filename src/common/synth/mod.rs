//! Synthetic events: a stream of ad events that looks like one and is the same bytes for ever.
//!
//! The output depends on the options alone, never on platform, threads or clock. What
//! disturbs it (jitter, late events, duplicates, defects) moves or adds lines; the events stay.

mod defect;
mod random;
mod rhythm;
mod session;
#[cfg(test)]
mod tests;
mod write;

use crate::event::Code;
use crate::time::{DAY, HOUR, MINUTE, Millis};
pub use random::Skew;
use random::{Random, mix};
use rhythm::Rhythm;
use session::{LENGTH_MAX, LENGTH_MEAN, Session, World};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// How many bytes `fill` appends before it returns; one line may go beyond.
const BLOCK: usize = 64 * 1024;
const DUPLICATE_MAX: Millis = 10 * MINUTE;
const LATE_MIN: Millis = MINUTE;
const LATE_MAX: Millis = 6 * HOUR;

/// What to make. Shares are in percent of the events.
#[derive(Clone, Debug)]
pub struct Options {
    /// Distinct events; duplicates and defects come on top.
    pub events: u64,
    /// Users there are; the rare ones may never come.
    pub users: u64,
    /// How unequal the users are.
    pub skew: Skew,
    /// Events of one session on average; 1: each event stands alone and names no session.
    pub session: u32,
    pub seed: u64,
    /// The first instant, and how long the events go on from there, in milliseconds.
    pub start: Millis,
    pub span: Millis,
    /// Every event comes up to so many milliseconds after its time.
    pub jitter: Millis,
    /// Events that come a minute to six hours after their time.
    pub late: f64,
    /// Events that come a second time, byte for byte, within ten minutes.
    pub duplicates: f64,
    /// Lines that the validator must refuse, of every code that one line can have.
    pub bad: f64,
}

impl Default for Options {
    /// 100,000 events of 10,000 users in the first week of 2025, in order and without faults.
    fn default() -> Options {
        Options {
            events: 100_000,
            users: 10_000,
            skew: Skew::default(),
            session: LENGTH_MEAN,
            seed: 1,
            start: 1_735_689_600_000,
            span: 7 * DAY,
            jitter: 0,
            late: 0.0,
            duplicates: 0.0,
            bad: 0.0,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), String> {
        if !(1..=1_000_000_000_000).contains(&self.users) {
            return Err(format!("users must be from 1 to 10^12: {}", self.users));
        }
        // Few sessions are cut at the most they can be while the mean stays at half of it.
        if !(1..=LENGTH_MAX / 2).contains(&self.session) {
            return Err(format!("a session has 1 to {} events on average: {}", LENGTH_MAX / 2, self.session));
        }
        // The validator takes a smaller instant for seconds, a larger one for microseconds.
        let last = self.start.checked_add(self.span).filter(|_| self.span > 0);
        if self.start < 100_000_000_000 || last.is_none_or(|last| last >= 100_000_000_000_000) {
            return Err(format!("events must lie between 1973 and 5138: {} for {} ms", self.start, self.span));
        }
        if !(0..=DAY).contains(&self.jitter) {
            return Err(format!("jitter must be from 0 to a day: {} ms", self.jitter));
        }
        for (name, share) in [("late", self.late), ("duplicates", self.duplicates), ("bad", self.bad)] {
            if !(0.0..=100.0).contains(&share) {
                return Err(format!("`{name}` must be from 0% to 100%: {share}"));
            }
        }
        Ok(())
    }
}

/// The generator.
#[derive(Clone, Debug)]
pub struct Synth {
    options: Options,
    end: Millis,
    world: World,
    rhythm: Rhythm,
    /// Sessions under way, by the time of their next event.
    due: BinaryHeap<Reverse<(Millis, u64, usize)>>,
    sessions: Vec<Session>,
    /// Places in `sessions` that are over.
    free: Vec<usize>,
    started: u64,
    /// Events that the started sessions have or will have.
    promised: u64,
    made: u64,
    ids: u64,
    trouble: Trouble,
}

/// What disturbs the stream, with a random stream of its own: the events do not notice it.
#[derive(Clone, Debug)]
struct Trouble {
    random: Random,
    /// In millionths.
    late: u32,
    duplicates: u32,
    bad: u32,
    jitter: Millis,
    /// Lines on their way, by the time they come.
    held: BinaryHeap<Reverse<(Millis, u64, Vec<u8>)>>,
    holds: u64,
    lines: u64,
    defects: u64,
    codes: BTreeMap<Code, u64>,
}

impl Synth {
    /// The error says which option is out of its range.
    pub fn new(options: Options) -> Result<Synth, String> {
        options.check()?;
        let end = options.start + options.span;
        Ok(Synth {
            end,
            world: World::new(options.users, options.skew, options.session, options.seed),
            rhythm: Rhythm::new(options.start, end),
            due: BinaryHeap::new(),
            sessions: Vec::new(),
            free: Vec::new(),
            started: 0,
            promised: 0,
            made: 0,
            ids: mix(options.seed),
            trouble: Trouble::new(&options),
            options,
        })
    }

    /// Appends some 64 KiB of whole lines; `false` when there is nothing more, and nothing was appended.
    pub fn fill(&mut self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        while out.len() < start + BLOCK {
            if !self.event(out) {
                self.trouble.release(Millis::MAX, out);
                break;
            }
        }
        out.len() > start
    }

    /// Distinct events made so far, of `Options::events`.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// The defective lines written so far, by the code the validator must give them.
    pub fn defects(&self) -> &BTreeMap<Code, u64> {
        &self.trouble.codes
    }

    /// Makes the next event; `false` after the last.
    fn event(&mut self, out: &mut Vec<u8>) -> bool {
        self.start_sessions();
        let Some(mut top) = self.due.peek_mut() else { return false };
        let Reverse((at, number, slot)) = *top;
        let session = &mut self.sessions[slot];
        let step = session.step(&self.world);
        let id = mix(self.ids.wrapping_add(self.made));
        if session.left > 0 {
            *top = Reverse((session.at.min(self.end - 1), number, slot));
            drop(top);
        } else {
            std::collections::binary_heap::PeekMut::pop(top);
            self.free.push(slot);
        }
        self.made += 1;
        self.trouble.release(at, out);
        let before = out.len();
        write::push_event(out, id, self.made, at, &self.sessions[slot], &step);
        self.trouble.disturb(at, before, out);
        true
    }

    /// Starts the sessions that begin before the next event.
    fn start_sessions(&mut self) {
        while self.promised < self.options.events {
            let from = self.rhythm.instant(self.promised, self.options.events);
            if self.due.peek().is_some_and(|Reverse((at, _, _))| *at < from) {
                return;
            }
            let room = self.options.events - self.promised;
            let mut session = Session::new(&self.world, self.started, from, room);
            self.promised += u64::from(session.left);
            // Somewhere in the time that its events stand for: starts without a beat.
            let until = self.rhythm.instant(self.promised, self.options.events);
            let share = mix(self.options.seed ^ mix(self.started)) % ((until - from) as u64 + 1);
            session.at = (from + share as Millis).min(self.end - 1);
            let slot = self.free.pop().unwrap_or(self.sessions.len());
            self.due.push(Reverse((session.at, self.started, slot)));
            self.started += 1;
            if slot == self.sessions.len() {
                self.sessions.push(session);
            } else {
                self.sessions[slot] = session;
            }
        }
    }
}

impl Trouble {
    fn new(options: &Options) -> Trouble {
        let millionths = |percent: f64| (percent * 10_000.0).round() as u32;
        Trouble {
            random: Random::new(!mix(options.seed)),
            late: millionths(options.late),
            duplicates: millionths(options.duplicates),
            bad: millionths(options.bad),
            jitter: options.jitter,
            held: BinaryHeap::new(),
            holds: 0,
            lines: 0,
            defects: 0,
            codes: BTreeMap::new(),
        }
    }

    /// Appends the held lines whose time has come by `now`.
    fn release(&mut self, now: Millis, out: &mut Vec<u8>) {
        while self.held.peek().is_some_and(|Reverse((due, _, _))| *due <= now) {
            let Some(Reverse((_, _, line))) = self.held.pop() else { return };
            out.extend_from_slice(&line);
            self.lines += 1;
        }
    }

    /// Delays, repeats or follows by a defect the line that stands in `out` from `start` on.
    fn disturb(&mut self, at: Millis, start: usize, out: &mut Vec<u8>) {
        if self.duplicates > 0 && self.random.chance(self.duplicates) {
            let delay = 1 + self.random.below(DUPLICATE_MAX as u64) as Millis;
            self.hold(at + self.jitter + delay, out[start..].to_vec());
        }
        let mut delay = 0;
        if self.jitter > 0 {
            delay = self.random.below(self.jitter as u64 + 1) as Millis;
        }
        if self.late > 0 && self.random.chance(self.late) {
            delay = LATE_MIN + self.random.below((LATE_MAX - LATE_MIN) as u64) as Millis;
        }
        if delay > 0 {
            self.hold(at + delay, out.split_off(start));
        } else {
            self.lines += 1;
        }
        // Not before the first line: there a byte order mark would be no defect.
        if self.bad > 0 && self.random.chance(self.bad) && self.lines > 0 {
            *self.codes.entry(defect::push(out, self.defects, at)).or_default() += 1;
            self.defects += 1;
            self.lines += 1;
        }
    }

    fn hold(&mut self, due: Millis, line: Vec<u8>) {
        self.held.push(Reverse((due, self.holds, line)));
        self.holds += 1;
    }
}
