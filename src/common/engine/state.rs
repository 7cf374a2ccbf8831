//! States: what is remembered of one key, a partial for every aggregation and pane.
//!
//! A state has one entry for each counter of its plan. Panes are kept in order of time;
//! those a window has left behind are dropped by `expire` and never counted by `value`.
//!
//! The live path keeps what was received on different days in parts (`tail.rs`), and what they come to together:
//! values are told from that, as if there were no parts. One part is all there is, and costs nothing.

mod days;

use super::plan::{Counter, Plan};
use crate::agg::codec::{get_bytes, get_i64, get_u64, put_i64, put_sized, put_u64};
use crate::agg::{Form, Input, Partial};
use crate::pane::Window;
use crate::time::{Day, Millis};
use crate::value::Value;

/// With more panes than this a window keeps their merged total too, so that a hot user costs no more than others.
const TOTAL_FROM: usize = 8;

/// What is remembered of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What all parts come to.
    counters: Box<[Memory]>,
    /// The day of the part that events are added to; `NO_DAY`: nobody opened one.
    day: Day,
    /// The parts, where there are several: the one part of a state is `counters`.
    parts: Option<Box<Parts>>,
}

const NO_DAY: Day = Day::MIN;

/// What was received on different days, at least two of them.
#[derive(Clone, Debug, PartialEq)]
struct Parts {
    /// In the order of days, none twice.
    days: Vec<(Day, Box<[Memory]>)>,
    /// The place of the one that events are added to.
    open: usize,
}

#[derive(Clone, Debug, PartialEq, Default)]
enum Memory {
    #[default]
    Nothing,
    /// A lifetime tag: one partial.
    Whole(Partial),
    Panes(Box<Panes>),
}

#[derive(Clone, Debug, Default)]
struct Panes {
    /// In order of time, none twice.
    panes: Vec<(i64, Partial)>,
    /// The merge of all of them; a convenience that is never stored.
    total: Option<Box<Partial>>,
}

impl PartialEq for Panes {
    fn eq(&self, other: &Panes) -> bool {
        self.panes == other.panes
    }
}

impl State {
    pub fn new(plan: &Plan) -> State {
        State { counters: nothing(plan), day: NO_DAY, parts: None }
    }

    pub(super) fn add(&mut self, place: usize, counter: &Counter, input: &Input) {
        self.counters[place].add(counter, input);
        if let Some(parts) = &mut self.parts {
            parts.days[parts.open].1[place].add(counter, input);
        }
    }

    /// Something of every counter.
    #[inline]
    pub fn glance(&self) -> usize {
        self.counters.iter().filter(|memory| matches!(memory, Memory::Nothing)).count()
    }

    /// Bytes in memory, without those that partials hold outside of themselves.
    pub fn bytes(&self) -> usize {
        let memory = |memory: &Memory| match memory {
            Memory::Panes(panes) => size_of::<Panes>() + panes.panes.capacity() * size_of::<(i64, Partial)>(),
            Memory::Nothing | Memory::Whole(_) => 0,
        };
        let counters = |counters: &[Memory]| size_of_val(counters) + counters.iter().map(memory).sum::<usize>();
        let parts = self.parts.iter().flat_map(|parts| &parts.days);
        size_of::<State>() + counters(&self.counters) + parts.map(|(_, part)| counters(part)).sum::<usize>()
    }

    /// Folds `other` in, as if its events had been added here. Both are of one plan and have no days.
    pub fn merge(&mut self, other: &State, plan: &Plan) {
        debug_assert!(self.parts.is_none() && other.parts.is_none());
        merge(&mut self.counters, &other.counters, plan);
    }

    /// The value of a counter's tag at `as_of`. Every event absorbed counts unless its pane is over.
    pub fn value(&self, place: usize, counter: &Counter, as_of: Millis) -> Option<Value> {
        match (&self.counters[place], counter.window) {
            (Memory::Whole(partial), _) => counter.value(partial, as_of),
            (Memory::Panes(panes), Some(window)) => panes.value(counter, window.oldest(as_of), as_of),
            _ => counter.value(&counter.form.empty(), as_of),
        }
    }

    /// Whether a counter has left values out, since there were more than it keeps.
    pub fn is_flagged(&self, place: usize) -> bool {
        match &self.counters[place] {
            Memory::Nothing => false,
            Memory::Whole(partial) => partial.is_flagged(),
            Memory::Panes(panes) => match &panes.total {
                Some(total) => total.is_flagged(),
                None => panes.panes.first().is_some_and(|(_, p)| panes.merged(p.form(), i64::MIN).is_flagged()),
            },
        }
    }

    /// The panes kept of a counter, in order of time; of a lifetime tag there are none.
    pub fn kept(&self, place: usize) -> &[(i64, Partial)] {
        match &self.counters[place] {
            Memory::Panes(panes) => &panes.panes,
            Memory::Nothing | Memory::Whole(_) => &[],
        }
    }

    /// Drops the panes that are over at `now`. Returns the bits of the counters that lost one, and of those that time
    /// alone has changed.
    pub fn expire(&mut self, plan: &Plan, now: Millis) -> u64 {
        for (_, part) in self.parts.iter_mut().flat_map(|parts| &mut parts.days) {
            expire(part, plan, now);
        }
        expire(&mut self.counters, plan, now)
    }

    /// The first instant at which a pane now kept is over, or the first after `after` at which a value moves a step.
    pub fn next_change(&self, plan: &Plan, after: Millis) -> Option<Millis> {
        let change = |(counter, memory): (&Counter, &Memory)| match (memory, counter.window) {
            (Memory::Panes(panes), Some(window)) => {
                let (first, _) = panes.panes.first()?;
                Some(counter.next_step(after).map_or(window.expiry(*first), |step| step.min(window.expiry(*first))))
            }
            _ => None,
        };
        plan.counters.iter().zip(&self.counters).filter_map(change).min()
    }

    /// Appends the state's bytes; `numbers` are the durable numbers of the counters' definitions.
    ///
    /// Counters with nothing to remember take no room, and each is length-prefixed: a reader can skip what it does not know.
    pub fn encode(&self, numbers: &[u64], out: &mut Vec<u8>) {
        encode(&self.counters, numbers, out);
    }

    /// Reads the bytes of `encode`; `places` gives the counters of a durable number: none for one that is no longer
    /// defined, several where definitions mean the same.
    ///
    /// `None` when the bytes are not a state.
    pub fn decode<P>(plan: &Plan, places: impl Fn(u64) -> P, mut input: &[u8]) -> Option<State>
    where
        P: IntoIterator<Item = usize>,
    {
        let mut state = State::new(plan);
        while !input.is_empty() {
            let number = get_u64(&mut input)?;
            let payload = get_bytes(&mut input)?;
            for place in places(number) {
                let counter = &plan.counters[place];
                state.counters[place] = decode_panes(counter.form, counter.window, payload)?;
            }
        }
        Some(state)
    }

    /// Folds in the bytes of `encode`, as if their events had been added here.
    ///
    /// `places` gives for each number the counters it stands for: none where it is not wanted, several where definitions
    /// mean the same. `None` when the bytes are not a state; this one may then hold a part of them.
    pub fn absorb(&mut self, plan: &Plan, places: &[Vec<usize>], mut input: &[u8]) -> Option<()> {
        while !input.is_empty() {
            let number = usize::try_from(get_u64(&mut input)?).ok()?;
            let payload = get_bytes(&mut input)?;
            for &place in places.get(number)? {
                let counter = &plan.counters[place];
                let memory = decode_panes(counter.form, counter.window, payload)?;
                match &mut self.counters[place] {
                    Memory::Nothing => self.counters[place] = memory,
                    ours => ours.merge(counter.form, &memory),
                }
            }
        }
        Some(())
    }
}

fn nothing(plan: &Plan) -> Box<[Memory]> {
    plan.counters.iter().map(|_| Memory::Nothing).collect()
}

fn merge(ours: &mut [Memory], theirs: &[Memory], plan: &Plan) {
    for ((ours, theirs), counter) in ours.iter_mut().zip(theirs).zip(&plan.counters) {
        ours.merge(counter.form, theirs);
    }
}

fn expire(counters: &mut [Memory], plan: &Plan, now: Millis) -> u64 {
    let mut lost = 0;
    for (place, counter) in plan.counters.iter().enumerate() {
        if let (Memory::Panes(panes), Some(window)) = (&mut counters[place], counter.window)
            && (panes.expire(window.oldest(now), counter.form) || counter.form.function.changes_by_step())
        {
            lost |= bit(place);
            if panes.panes.is_empty() {
                counters[place] = Memory::Nothing;
            }
        }
    }
    lost
}

fn encode(counters: &[Memory], numbers: &[u64], out: &mut Vec<u8>) {
    for (number, memory) in numbers.iter().zip(counters) {
        if let Memory::Nothing = memory {
            continue;
        }
        put_u64(out, *number);
        put_sized(out, |out| match memory {
            Memory::Nothing => {}
            // A lifetime tag is a window of one pane.
            Memory::Whole(partial) => encode_panes([(0, partial)].into_iter(), out),
            Memory::Panes(panes) => encode_panes(panes.panes.iter().map(|(pane, p)| (*pane, p)), out),
        });
    }
}

impl Memory {
    fn add(&mut self, counter: &Counter, input: &Input) {
        match counter.window {
            None => self.whole(counter.form).add(input),
            Some(window) => self.panes().add(window.pane(input.timestamp), counter.form, input),
        }
    }

    fn whole(&mut self, form: Form) -> &mut Partial {
        if !matches!(self, Memory::Whole(_)) {
            *self = Memory::Whole(form.empty());
        }
        match self {
            Memory::Whole(partial) => partial,
            _ => unreachable!("it was just made one"),
        }
    }

    fn panes(&mut self) -> &mut Panes {
        if !matches!(self, Memory::Panes(_)) {
            *self = Memory::Panes(Box::default());
        }
        match self {
            Memory::Panes(panes) => panes,
            _ => unreachable!("it was just made one"),
        }
    }

    fn merge(&mut self, form: Form, other: &Memory) {
        match other {
            Memory::Nothing => {}
            Memory::Whole(partial) => self.whole(form).merge(partial),
            Memory::Panes(theirs) => {
                let ours = self.panes();
                for (pane, partial) in &theirs.panes {
                    ours.merge(*pane, partial);
                }
            }
        }
    }
}

/// The bit of a counter in a mask; the last one stands for every counter from the 64th on.
pub fn bit(place: usize) -> u64 {
    1 << place.min(63)
}

fn encode_panes<'p>(panes: impl ExactSizeIterator<Item = (i64, &'p Partial)>, out: &mut Vec<u8>) {
    put_u64(out, panes.len() as u64);
    let mut previous = 0;
    for (pane, partial) in panes {
        put_i64(out, pane - previous);
        partial.encode(out);
        previous = pane;
    }
}

fn decode_panes(form: Form, window: Option<Window>, mut input: &[u8]) -> Option<Memory> {
    let n = get_u64(&mut input)?;
    if let (None, 1) = (window, n) {
        get_i64(&mut input)?;
        return form.decode(&mut input).filter(|_| input.is_empty()).map(Memory::Whole);
    }
    // What is told is not believed: each pane takes two bytes at least.
    let mut panes: Vec<(i64, Partial)> = Vec::with_capacity((n as usize).min(input.len() / 2));
    let mut previous = 0i64;
    for i in 0..n {
        let pane = previous.checked_add(get_i64(&mut input)?)?;
        if i > 0 && pane <= previous {
            return None;
        }
        panes.push((pane, form.decode(&mut input)?));
        previous = pane;
    }
    if !input.is_empty() || panes.is_empty() {
        return None;
    }
    Some(match window {
        None => {
            let mut parts = panes.into_iter().map(|(_, partial)| partial);
            let mut whole = parts.next()?;
            parts.for_each(|part| whole.merge(&part));
            Memory::Whole(whole)
        }
        Some(_) => Memory::Panes(Box::new(Panes { panes, total: None })),
    })
}

impl Panes {
    fn pane(&mut self, pane: i64, form: Form) -> &mut Partial {
        // Events come nearly in order, so the last pane is nearly always the one.
        let at = match self.panes.last() {
            Some((last, _)) if *last == pane => Ok(self.panes.len() - 1),
            Some((last, _)) if *last < pane => Err(self.panes.len()),
            _ => self.panes.binary_search_by_key(&pane, |(p, _)| *p),
        };
        let at = at.unwrap_or_else(|at| {
            // By half, not twice as many, and one at first: most keys have few.
            if self.panes.len() == self.panes.capacity() {
                self.panes.reserve_exact(self.panes.len() / 2 + 1);
            }
            self.panes.insert(at, (pane, form.empty()));
            at
        });
        &mut self.panes[at].1
    }

    fn add(&mut self, pane: i64, form: Form, input: &Input) {
        self.pane(pane, form).add(input);
        match &mut self.total {
            Some(total) => total.add(input),
            None if self.panes.len() > TOTAL_FROM => self.total = Some(Box::new(self.merged(form, i64::MIN))),
            None => {}
        }
    }

    fn merge(&mut self, pane: i64, partial: &Partial) {
        self.pane(pane, partial.form()).merge(partial);
        if let Some(total) = &mut self.total {
            total.merge(partial);
        }
    }

    fn merged(&self, form: Form, oldest: i64) -> Partial {
        let mut total = form.empty();
        for (_, partial) in self.panes.iter().filter(|(pane, _)| *pane >= oldest) {
            total.merge(partial);
        }
        total
    }

    fn value(&self, counter: &Counter, oldest: i64, as_of: Millis) -> Option<Value> {
        let all_count = self.panes.first().is_none_or(|(pane, _)| *pane >= oldest);
        match (&self.total, &self.panes[..]) {
            (Some(total), _) if all_count => counter.value(total, as_of),
            (_, [(_, only)]) if all_count => counter.value(only, as_of),
            _ => counter.value(&self.merged(counter.form, oldest), as_of),
        }
    }

    /// Whether any pane was dropped.
    fn expire(&mut self, oldest: i64, form: Form) -> bool {
        let over = self.panes.partition_point(|(pane, _)| *pane < oldest);
        if over == 0 {
            return false;
        }
        let gone: Vec<Partial> = self.panes.drain(..over).map(|(_, partial)| partial).collect();
        if let Some(total) = &mut self.total
            && !gone.iter().all(|partial| total.subtract(partial))
        {
            self.total = None;
        }
        if self.panes.len() <= TOTAL_FROM {
            self.total = None;
        } else if self.total.is_none() {
            self.total = Some(Box::new(self.merged(form, i64::MIN)));
        }
        true
    }
}
