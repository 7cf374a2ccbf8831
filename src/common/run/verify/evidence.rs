//! Evidence: why a store says another value than the log.
//!
//! A cause is claimed only where folding the key's events in another way, by the same engine, gives what the store says: without
//! some of them, with some twice, or at an earlier instant. What the state itself remembers (ids, how far it has read) says
//! which of those ways can have been.

use super::Cause;
use super::walk::walk;
use crate::engine::given::Given;
use crate::engine::plan::{Plan, Values};
use crate::engine::state::State;
use crate::expr::Scratch;
use crate::rows::Block;
use crate::time::{Millis, show};
use crate::value::Value;
use std::cell::Cell;

/// Keys with more events than this are asked in fewer ways: single events and stretches are not tried.
const TRIED: usize = 512;
/// Stretches of events are tried of keys with at most so many.
const STRETCHES: usize = 64;

/// What is known about whether the state has read an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The state remembers its id, or has it by its base.
    Read,
    /// The state would remember its id, and does not.
    Unread,
    /// It is too old for the ids, or there is no state to ask.
    Untold,
}

/// One event of a key, the first of its identity in the log.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub timestamp: Millis,
    pub received: Option<Millis>,
    pub block: usize,
    pub row: usize,
    /// How often the log has it.
    pub copies: usize,
    pub known: Known,
    /// Whether the state has gone past it: it has read what was sent behind it.
    pub passed: bool,
    /// Whether it stands behind all that the state has read, by its count; `None` where counting tells nothing.
    pub behind: Option<bool>,
    /// So short ago received that it may be on its way.
    pub young: bool,
}

/// A value that the store tells.
pub type Wanted = (usize, Option<Value>);

/// A key whose values differ.
pub struct Case<'a> {
    pub plan: &'a Plan,
    pub blocks: &'a [Block],
    /// In the order of the log.
    pub events: &'a [Event],
    pub given: &'a Given,
    pub at: Millis,
    /// Values may be as old as this.
    pub lag: Millis,
    /// Of a patch: true at `at`, and no event after that counts.
    pub dated: bool,
    /// Whether the store holds anything of the key.
    pub known: bool,
    /// Events received before this instant were not counted, and the store says so.
    pub warm_since: Option<Millis>,
    /// How many more events may be folded for evidence.
    pub budget: &'a Cell<u64>,
}

/// A cause and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub cause: Cause,
    pub why: String,
}

fn verdict(cause: Cause, why: impl Into<String>) -> Verdict {
    Verdict { cause, why: why.into() }
}

impl Case<'_> {
    /// The state of some events, each given by its place, as often as it comes. Nothing is forgotten in it.
    fn fold(&self, picks: impl IntoIterator<Item = usize>) -> Option<State> {
        let mut state = State::new(self.plan);
        let (mut any, mut scratch) = (false, Scratch::new());
        for pick in picks {
            let event = &self.events[pick];
            if self.dated && event.timestamp > self.at {
                continue;
            }
            any = true;
            self.budget.set(self.budget.get().saturating_sub(1));
            for (place, counter) in self.plan.counters.iter().enumerate() {
                counter.add(place, &mut state, &self.blocks[event.block], event.row, Millis::MIN, &mut scratch);
            }
        }
        any.then_some(state)
    }

    fn values(&self, picks: impl IntoIterator<Item = usize>) -> Values {
        let state = self.fold(picks);
        self.plan.values(state.as_ref(), self.given, self.at, &mut Scratch::new())
    }

    fn gives(&self, picks: impl IntoIterator<Item = usize>, wanted: &[Wanted]) -> bool {
        same(&self.values(picks), wanted)
    }

    fn all(&self) -> std::ops::Range<usize> {
        0..self.events.len()
    }

    fn picks(&self, keep: impl Fn(&Event) -> bool) -> Vec<usize> {
        self.all().filter(|i| keep(&self.events[*i])).collect()
    }

    /// Events that may be on their way to the state: they do not count against it.
    fn in_flight(&self, event: &Event) -> bool {
        let unread = event.known == Known::Unread || event.known == Known::Untold && event.behind == Some(true);
        !self.dated && event.young && unread && !event.passed
    }

    /// The values that the store should have: those of all events but such as may be on their way.
    pub fn expected(&self) -> Values {
        self.values(self.picks(|event| !self.in_flight(event)))
    }

    /// Whether the store is right, as of an instant no longer ago than it may lag.
    pub fn agrees(&self, wanted: &[Wanted]) -> bool {
        if same(&self.expected(), wanted) {
            return true;
        }
        if self.lag == 0 || self.dated {
            return false;
        }
        // A copy of the profiles shows some of the newest events, in their order, and time up to a while ago.
        let first_young = self.events.iter().position(|event| event.young).unwrap_or(self.events.len());
        (first_young..=self.events.len()).rev().any(|n| self.walks(0..n, self.at - self.lag, wanted).is_some())
    }

    fn walks(
        &self,
        picks: impl IntoIterator<Item = usize>,
        from: Millis,
        wanted: &[Wanted],
    ) -> Option<(Millis, Millis)> {
        let state = self.fold(picks);
        walk(self.plan, state, self.given, from, self.at, |values| same(values, wanted), self.budget)
    }

    /// Why the store says what it says; the store is not right.
    pub fn verdict(&self, wanted: &[Wanted]) -> Option<Verdict> {
        if self.events.is_empty() {
            return self.known.then(|| verdict(Cause::Extra, "the log has no event of it"));
        }
        if !self.known {
            let way = self.unread(wanted).filter(|_| self.events.iter().all(|e| e.known != Known::Read));
            let n = self.events.len();
            return way
                .or_else(|| Some(verdict(Cause::Missing, format!("the store has nothing of it, the log {n} events"))));
        }
        if self.dated {
            return self.dated_before(wanted).or_else(|| self.miscounted(wanted));
        }
        self.unread(wanted)
            .or_else(|| self.out_of_date(wanted))
            .or_else(|| self.cut_short(wanted))
            .or_else(|| self.miscounted(wanted))
    }

    /// Events that the state has not read, by what it remembers.
    fn unread(&self, wanted: &[Wanted]) -> Option<Verdict> {
        let waiting = |event: &Event| event.known == Known::Unread && !event.passed;
        if let Some(way) = self.without(wanted, waiting) {
            let why = format!("without {way} the log says the same; the state does not remember having read them");
            return Some(verdict(Cause::Late, why));
        }
        if let Some(way) =
            self.without(wanted, |event| event.behind == Some(true) && !event.passed && event.known != Known::Read)
        {
            let why = format!(
                "without {way} the log says the same; they stand behind all that the state has read, by its count"
            );
            return Some(verdict(Cause::Late, why));
        }
        let lost = |event: &Event| event.known == Known::Unread;
        if let Some(way) = self.without(wanted, lost) {
            let why = format!("without {way} the log says the same; the state has read later events, and not these");
            return Some(verdict(Cause::Lost, why));
        }
        let since = self.warm_since?;
        let early = |event: &Event| event.received.is_none_or(|at| at < since);
        let way = self.without(wanted, early)?;
        Some(verdict(Cause::Late, format!("the tag is warming: without {way} the log says the same")))
    }

    /// Leaves out the events of which `gone` is true, if there are any and what is left gives what is wanted: in words.
    fn without(&self, wanted: &[Wanted], gone: impl Fn(&Event) -> bool) -> Option<String> {
        let out = self.picks(&gone);
        let matches = !out.is_empty() && self.gives(self.picks(|event| !gone(event)), wanted);
        matches.then(|| self.named(&out))
    }

    /// Time has gone on, and the store has not.
    fn out_of_date(&self, wanted: &[Wanted]) -> Option<Verdict> {
        let newest = self.events.iter().map(|event| event.timestamp).max()?;
        if newest >= self.at {
            return None;
        }
        let (from, to) = self.walks(self.all(), newest, wanted)?;
        let why = format!("right from {} to {}: since then time alone has changed it", show(from), show(to));
        Some(verdict(Cause::Stale, why))
    }

    /// The first events of the log give it: those behind were not read, as far as anybody knows; or they were, and are lost.
    fn cut_short(&self, wanted: &[Wanted]) -> Option<Verdict> {
        let n = self.events.len();
        let mut checked = n;
        for first in (1..n).rev() {
            checked -= 1;
            if self.budget.get() == 0 || n - checked > TRIED {
                return None;
            }
            let from = self.events[first - 1].timestamp.min(self.at);
            let right = if self.gives(0..first, wanted) {
                Some((self.at, self.at))
            } else {
                self.walks(0..first, from, wanted)
            };
            let Some((_, to)) = right else { continue };
            let rest: Vec<usize> = (first..n).collect();
            let named = self.named(&rest);
            let when = if to < self.at { format!(", until {}", show(to)) } else { String::new() };
            let has_read = |i: &usize| {
                let event = &self.events[*i];
                event.known == Known::Read || event.passed || event.behind == Some(false)
            };
            return Some(if rest.iter().any(has_read) {
                let why =
                    format!("without {named} the log says the same{when}; the state has read them or what follows");
                verdict(Cause::Lost, why)
            } else {
                verdict(Cause::Late, format!("without {named} the log says the same{when}"))
            });
        }
        None
    }

    /// A patch of an earlier instant, or of a log that ended earlier.
    fn dated_before(&self, wanted: &[Wanted]) -> Option<Verdict> {
        let mut counted = self.picks(|event| event.timestamp <= self.at);
        let n = counted.len();
        for first in (1..n).rev().take(TRIED) {
            if self.gives(counted[..first].iter().copied(), wanted) {
                let named = self.named(&counted[first..]);
                return Some(verdict(Cause::Late, format!("made when the log ended before {named}")));
            }
        }
        counted.sort_by_key(|i| (self.events[*i].timestamp, *i));
        for first in (1..=n).rev().take(TRIED) {
            let from = self.events[counted[first - 1]].timestamp;
            if let Some((from, to)) = self.walks(counted[..first].iter().copied(), from, wanted) {
                let why = format!("right from {} to {}: it was made as of an earlier instant", show(from), show(to));
                return Some(verdict(Cause::Late, why));
            }
        }
        None
    }

    /// Events that were lost or counted twice.
    fn miscounted(&self, wanted: &[Wanted]) -> Option<Verdict> {
        let n = self.events.len();
        let copies = self.picks(|event| event.copies > 1);
        if !copies.is_empty() {
            let often = self.all().flat_map(|i| std::iter::repeat_n(i, self.events[i].copies));
            if self.gives(often, wanted) {
                let why = format!("with every copy of {} counted the log says the same", self.named(&copies));
                return Some(verdict(Cause::Doubled, why));
            }
            for &copy in &copies {
                if self.gives(self.all().chain([copy]), wanted) {
                    let why = format!("with {} twice, as the log has it, the log says the same", self.named(&[copy]));
                    return Some(verdict(Cause::Doubled, why));
                }
            }
        }
        if n > TRIED {
            return None;
        }
        let left_out = |range: std::ops::Range<usize>| self.all().filter(move |i| !range.contains(i));
        let widths = if n <= STRETCHES { 1..n } else { 1..2 };
        for width in widths {
            for first in 0..=n - width {
                if self.budget.get() == 0 {
                    return None;
                }
                let stretch = first..first + width;
                let named = || self.named(&stretch.clone().collect::<Vec<_>>());
                if self.gives(left_out(stretch.clone()), wanted) {
                    let why = format!("without {} the log says the same", named());
                    return Some(verdict(Cause::Lost, why));
                }
                if self.gives(self.all().chain(stretch.clone()), wanted) {
                    let why = format!("with {} twice the log says the same", named());
                    return Some(verdict(Cause::Doubled, why));
                }
            }
        }
        if self.gives(self.all().chain(self.all()), wanted) {
            return Some(verdict(Cause::Doubled, "with every event twice the log says the same"));
        }
        self.gives([], wanted).then(|| verdict(Cause::Lost, "without any event the log says the same"))
    }

    /// `event e-2`, `events e-2 to e-9 (3)`.
    fn named(&self, events: &[usize]) -> String {
        let name = |i: &usize| {
            let event = &self.events[*i];
            let received = event.received.map(|at| format!(", received {}", show(at))).unwrap_or_default();
            format!("{}{received}", crate::ndjson::shown(&event.id))
        };
        match events {
            [] => "no event".into(),
            [only] => format!("event {}", name(only)),
            [first, .., last] => format!("{} events, {} to {}", events.len(), name(first), name(last)),
        }
    }
}

/// Whether the values of all wanted tags are those wanted.
pub fn same(values: &Values, wanted: &[Wanted]) -> bool {
    wanted.iter().all(|(tag, value)| values[*tag] == *value)
}
