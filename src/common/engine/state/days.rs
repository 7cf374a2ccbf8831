//! The parts of a state, by the day on which their events were received.
//!
//! Whatever was opened, merged, stored or replaced, `counters` is what the parts come to together.

use super::{Memory, NO_DAY, Parts, State, encode, merge, nothing};
use crate::agg::codec::{get_bytes, get_i64, put_i64, put_sized};
use crate::engine::plan::Plan;
use crate::time::Day;

impl State {
    /// Whether no event of the key is remembered, not even one that no counter took.
    pub fn is_nothing(&self) -> bool {
        self.day == NO_DAY
    }

    /// Whether it has a part of `day` or an earlier one.
    pub fn reaches_back_to(&self, day: Day) -> bool {
        let first = self.parts.as_ref().map_or(self.day, |parts| parts.days[0].0);
        !self.is_nothing() && first <= day
    }

    /// Lets what is added from here on belong to `day`. Parts through `merged` become one.
    #[inline]
    pub fn open(&mut self, plan: &Plan, day: Day, merged: Option<Day>) {
        if self.day != day {
            self.turn_to(plan, day, merged.unwrap_or(NO_DAY));
        }
    }

    fn turn_to(&mut self, plan: &Plan, day: Day, merged: Day) {
        // A state of one part that is merged with the new one, or begins: nothing has to be kept apart.
        if self.parts.is_none() && (self.is_nothing() || (self.day <= merged && day <= merged)) {
            self.day = self.day.max(day);
            return;
        }
        let mut days = self.take_parts();
        let old = days.partition_point(|(part, _)| *part <= merged);
        if old > 1 {
            let rest = days.split_off(old);
            let (newest, mut one) = days.pop().expect("there are two at least");
            days.drain(..).for_each(|(_, part)| merge(&mut one, &part, plan));
            days.push((newest, one));
            days.extend(rest);
        }
        let open = match days.binary_search_by_key(&day, |(part, _)| *part) {
            Ok(open) => open,
            Err(open) => {
                days.insert(open, (day, nothing(plan)));
                open
            }
        };
        if let [(_, _)] = days[..] {
            self.day = day;
            return;
        }
        self.day = day;
        self.parts = Some(Box::new(Parts { days, open }));
    }

    /// The parts in the order of days. `counters` stays what they come to.
    fn take_parts(&mut self) -> Vec<(Day, Box<[Memory]>)> {
        match self.parts.take() {
            Some(parts) => parts.days,
            None if self.is_nothing() => Vec::new(),
            None => vec![(self.day, self.counters.clone())],
        }
    }

    /// Makes these the parts, and `counters` what they come to.
    fn set_parts(&mut self, plan: &Plan, mut days: Vec<(Day, Box<[Memory]>)>) {
        self.day = days.last().map_or(NO_DAY, |(day, _)| *day);
        self.parts = None;
        self.counters = match &days[..] {
            [] => nothing(plan),
            [_] => days.remove(0).1,
            [(_, first), rest @ ..] => {
                let mut all = first.clone();
                rest.iter().for_each(|(_, part)| merge(&mut all, part, plan));
                all
            }
        };
        if let Some(open) = days.len().checked_sub(1) {
            self.parts = Some(Box::new(Parts { days, open }));
        }
    }

    /// Puts `base`, which has no days, in the place of all that was received through `day`; none: the base has nothing of the key.
    pub fn rebase(&mut self, plan: &Plan, day: Day, base: Option<State>) {
        // Most states have one part, of which nothing is left.
        let gone = self.parts.is_none() && self.day <= day;
        let mut days = if gone { Vec::new() } else { self.take_parts() };
        days.retain(|(part, _)| *part > day);
        if let Some(base) = base {
            debug_assert!(base.parts.is_none());
            days.insert(0, (day, base.counters));
        }
        self.set_parts(plan, days);
    }

    /// Takes a state without days as what was received on `day`.
    pub fn received_on(&mut self, day: Day) {
        debug_assert!(self.parts.is_none());
        self.day = day;
    }

    /// Appends the bytes of the parts: for each the days since the one before, and its bytes as `encode` has them.
    pub fn encode_days(&self, numbers: &[u64], out: &mut Vec<u8>) {
        let mut before = 0;
        let mut put = |day: Day, counters: &[Memory]| {
            put_i64(out, i64::from(day) - before);
            put_sized(out, |out| encode(counters, numbers, out));
            before = i64::from(day);
        };
        match &self.parts {
            Some(parts) => parts.days.iter().for_each(|(day, counters)| put(*day, counters)),
            None if self.is_nothing() => {}
            None => put(self.day, &self.counters),
        }
    }

    /// Reads the bytes of `encode_days`; `places` as in `decode`. `None` when the bytes are not a state.
    pub fn decode_days<P>(plan: &Plan, places: impl Fn(u64) -> P + Copy, mut input: &[u8]) -> Option<State>
    where
        P: IntoIterator<Item = usize>,
    {
        let mut days: Vec<(Day, Box<[Memory]>)> = Vec::new();
        let mut before = 0i64;
        while !input.is_empty() {
            let day = before.checked_add(get_i64(&mut input)?)?;
            let part = Day::try_from(day).ok().filter(|part| *part != NO_DAY)?;
            if days.last().is_some_and(|(last, _)| *last >= part) {
                return None;
            }
            let state = State::decode(plan, places, get_bytes(&mut input)?)?;
            if days.is_empty() && input.is_empty() {
                // Most states have one part.
                return Some(State { day: part, ..state });
            }
            days.push((part, state.counters));
            before = day;
        }
        let mut state = State::new(plan);
        state.set_parts(plan, days);
        Some(state)
    }
}
