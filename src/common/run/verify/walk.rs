//! Walks through time: the instants at which a value changes though no event comes, one after the other, as the live engine
//! meets them.

use crate::engine::given::Given;
use crate::engine::plan::{Plan, Values};
use crate::engine::state::State;
use crate::expr::Scratch;
use crate::time::Millis;
use std::cell::Cell;

/// The first stretch of time in `from..=to` in which the values are right: its first instant and its last.
pub fn walk(
    plan: &Plan,
    state: Option<State>,
    given: &Given,
    from: Millis,
    to: Millis,
    right: impl Fn(&Values) -> bool,
    budget: &Cell<u64>,
) -> Option<(Millis, Millis)> {
    let (mut now, mut scratch) = (from, Scratch::new());
    let mut state = state;
    let mut found = None;
    loop {
        if let Some(state) = &mut state {
            state.expire(plan, now);
        }
        let values = plan.values(state.as_ref(), given, now, &mut scratch);
        match (right(&values), found) {
            (true, None) => found = Some(now),
            (false, Some(first)) => return Some((first, now - 1)),
            _ => {}
        }
        let by_clock = if plan.follows_clock() { plan.next_derived_change(&values, now, &mut scratch) } else { None };
        let by_state = state.as_ref().and_then(|state| state.next_change(plan, now));
        let next = [by_state, by_clock].into_iter().flatten().min().filter(|at| *at > now && *at <= to);
        budget.set(budget.get().saturating_sub(1));
        match next {
            Some(at) if budget.get() > 0 => now = at,
            _ => return found.map(|first| (first, to)),
        }
    }
}
