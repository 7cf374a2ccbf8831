//! Explanations: how the value of a tag comes about, and when it changes though nothing happens.
//!
//! The engine itself is asked, in small steps: no value is computed here in a way of its own.

use super::dedup::HashKey;
use super::fold::{Fold, Range, Tally};
use super::given::Given;
use super::plan::{Counter, HIDDEN, Plan, Values};
use super::state::State;
use crate::expr::{Expr, Scratch};
use crate::rows::Block;
use crate::time::Millis;
use crate::value::Value;

/// One tag of one key, looked at from one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub as_of: Millis,
    /// Of a key that has no state: the value of no events.
    pub value: Option<Value>,
    /// The first instant whose events can count; `None` for a lifetime tag, and for one that no events make.
    pub since: Option<Millis>,
    /// What the window holds, in order of time.
    pub panes: Vec<Pane>,
    pub next: Next,
}

/// One pane of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Pane {
    pub start: Millis,
    /// The first instant behind it.
    pub end: Millis,
    /// The first instant at which it no longer counts.
    pub until: Millis,
    /// The value that its events alone would give.
    pub value: Option<Value>,
}

/// When a value changes though no event comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// At this instant, to this value; not before.
    At(Millis, Option<Value>),
    Never,
    /// It follows `as_of()` in a way that is not solved for an instant.
    Unsolved,
}

/// Explains the one tag that `plan` tells, from the state and the given values of a key.
pub fn explain(plan: &Plan, state: Option<State>, given: &Given, as_of: Millis) -> Explanation {
    let tag = told(plan);
    // Of a key that is known by its given values alone, nothing but these counts.
    let has_events = state.is_some() || !given.is_known();
    let mut state = state.unwrap_or_else(|| State::new(plan));
    state.expire(plan, as_of);
    let value = plan.values(has_events.then_some(&state), given, as_of, &mut Scratch::new())[tag].clone();
    let own = plan.counters.iter().position(|counter| counter.tag == tag);
    let window = own.and_then(|place| Some((place, plan.counters[place].window?)));
    let panes = window.map_or_else(Vec::new, |(place, window)| {
        let pane = |(pane, partial): &(i64, _)| Pane {
            start: window.start(*pane),
            end: window.start(pane + 1),
            until: window.expiry(*pane),
            value: plan.counters[place].value(partial, as_of),
        };
        state.kept(place).iter().map(pane).collect()
    });
    let since = window.map(|(_, window)| window.since(as_of));
    let course = Course { plan, state, has_events, given: given.clone(), scratch: Scratch::new() };
    let next = next(course, tag, &value, as_of);
    Explanation { as_of, value, since, panes, next }
}

fn told(plan: &Plan) -> usize {
    *plan.outputs.first().expect("a plan that is explained tells one tag")
}

/// Goes from one possible change to the next, as the live engine does, until the value is another.
fn next(mut course: Course<'_>, tag: usize, value: &Option<Value>, as_of: Millis) -> Next {
    if !course.is_solvable() {
        return Next::Unsolved;
    }
    let mut now = as_of;
    loop {
        let (mut values, next) = course.at(now);
        if values[tag] != *value {
            return Next::At(now, values[tag].take());
        }
        match next {
            Some(at) => now = at,
            None => return Next::Never,
        }
    }
}

/// The values of a key as time passes and nothing else happens.
pub struct Course<'p> {
    plan: &'p Plan,
    state: State,
    /// Of a key that is known by its given values alone, nothing but these counts.
    has_events: bool,
    given: Given,
    scratch: Scratch,
}

impl<'p> Course<'p> {
    /// A key without a state is one of no events.
    pub fn new(plan: &'p Plan, state: Option<State>, given: Given) -> Course<'p> {
        let has_events = state.is_some() || !given.is_known();
        let state = state.unwrap_or_else(|| State::new(plan));
        Course { plan, state, has_events, given, scratch: Scratch::new() }
    }

    /// Whether every instant at which a value changes by time is known.
    pub fn is_solvable(&self) -> bool {
        self.plan.derivations.iter().filter(|d| d.expr.uses_as_of()).all(|d| d.expr.is_solvable())
    }

    /// The values at `now`, which only grows from call to call, and the next instant at which one of them may change.
    pub fn at(&mut self, now: Millis) -> (Values, Option<Millis>) {
        self.state.expire(self.plan, now);
        let state = self.has_events.then_some(&self.state);
        let values = self.plan.values(state, &self.given, now, &mut self.scratch);
        let by_clock = match self.plan.follows_clock() {
            true => self.plan.next_derived_change(&values, now, &mut self.scratch),
            false => None,
        };
        let next = [self.state.next_change(self.plan, now), by_clock].into_iter().flatten().min();
        (values, next.filter(|at| *at > now))
    }
}

/// What a log has of one key for one plan.
pub struct Fed {
    /// `None` where no event of the key counts.
    pub state: Option<State>,
    /// The events that made it: those that a counter of the plan took, by (timestamp, eventId).
    pub events: Vec<Fact>,
    pub tally: Tally,
}

/// An event that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub timestamp: Millis,
    pub event_id: Box<str>,
    /// The arguments of the one aggregation of the plan, as `argument_names` has them; none where there are several.
    pub arguments: Vec<Option<Value>>,
}

/// Folds all events of one key, in the order of the log, as batch does, and keeps those that count.
pub fn feed(plan: &Plan, rows: &[Block], as_of: Millis, hash_key: HashKey) -> Fed {
    let mut fold = Fold::new(plan, hash_key).within(Range { since: None, as_of: Some(as_of) });
    let (mut state, mut events, mut scratch) = (State::new(plan), Vec::new(), Scratch::new());
    for block in rows {
        for i in 0..block.len() {
            if !fold.admit(block, i) {
                continue;
            }
            let mut counts = false;
            for (place, counter) in plan.counters.iter().enumerate() {
                let taken = counter.add(place, &mut state, block, i, as_of, &mut scratch);
                counts |= taken && counter.tag != HIDDEN;
            }
            if counts {
                let arguments = match plan.own_counters() {
                    [only] => arguments(only, block, i, &mut scratch),
                    _ => Vec::new(),
                };
                let (timestamp, event_id) = (block.timestamp(i), block.event_id(i).into());
                events.push(Fact { timestamp, event_id, arguments });
            }
        }
    }
    events.sort_by(|a, b| (a.timestamp, &a.event_id).cmp(&(b.timestamp, &b.event_id)));
    Fed { state: (fold.tally.absorbed > 0).then_some(state), events, tally: fold.tally }
}

/// The expressions whose values events bring, for a plan of one aggregation.
pub fn argument_names(plan: &Plan) -> Vec<String> {
    match plan.own_counters() {
        [only] => brought(only).map(Expr::canonical).collect(),
        _ => Vec::new(),
    }
}

/// The arguments that read a field: what is constant says nothing of an event.
fn brought(counter: &Counter) -> impl Iterator<Item = &Expr> {
    counter.args.iter().filter(|arg| {
        let mut slots = Vec::new();
        arg.slots(&mut slots);
        !slots.is_empty()
    })
}

fn arguments(counter: &Counter, block: &Block, i: usize, scratch: &mut Scratch) -> Vec<Option<Value>> {
    let row = block.row(i);
    let values = brought(counter).map(|arg| arg.eval(&row, scratch).to_value()).collect();
    scratch.reset();
    values
}

#[cfg(test)]
mod tests;
