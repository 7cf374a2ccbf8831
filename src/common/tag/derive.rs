//! Derived tags: each read after those it names, however they stand in the file.
//!
//! The depth of a chain of tags is bounded by memory, not by the stack.

use super::build::Builder;
use super::fingerprint;
use super::read::{Read, Text};
use super::scope::{State, Tags};
use super::{Derived, Kind};
use crate::expr::{self, Expr, ExprError};

/// What came of reading a derived tag once.
enum Step {
    Done(State),
    /// It names a tag that has to be read first.
    After(usize),
}

/// Brings every waiting tag to `Known` or `Failed`.
pub(super) fn resolve(builder: &mut Builder<'_>, reads: &[Read]) {
    for start in 0..reads.len() {
        let mut stack = vec![start];
        while let Some(&index) = stack.last() {
            if !matches!(builder.states[index], State::Waiting | State::Busy) {
                stack.pop();
                continue;
            }
            builder.states[index] = State::Busy;
            match read_one(builder, reads, index) {
                Step::Done(state) => {
                    builder.states[index] = state;
                    if matches!(state, State::Known(_)) {
                        builder.order.push(index);
                    }
                }
                Step::After(input) if builder.states[input] == State::Waiting => stack.push(input),
                Step::After(input) => {
                    let from = stack.iter().position(|i| *i == input).unwrap_or(0);
                    report_cycle(builder, reads, &stack[from..]);
                    for index in &stack[from..] {
                        builder.states[*index] = State::Failed;
                    }
                }
            }
        }
    }
}

fn read_one(builder: &mut Builder<'_>, reads: &[Read], index: usize) -> Step {
    let read = &reads[index];
    let Some(value) = read.text("value") else { return Step::Done(State::Failed) };
    let mut names = Tags {
        codes: &builder.codes,
        states: &builder.states,
        entity: builder.tag_entities[index],
        entities: &builder.tag_entities,
        inputs: Vec::new(),
        stopped: None,
    };
    let result = expr::parse(&value.value, &mut names);
    let (inputs, stopped) = (names.inputs, names.stopped);
    let expr = match (result, stopped) {
        (Ok(expr), _) => expr,
        (Err(e), None) => return failed(builder, value, e),
        (Err(e), Some(input)) => {
            return match builder.states[input] {
                State::Waiting | State::Busy => Step::After(input),
                State::Failed => Step::Done(State::Failed),
                State::Known(_) => other_entity(builder, reads, index, input, value, e),
            };
        }
    };
    Step::Done(finished(builder, read, index, value, expr, inputs))
}

fn finished(
    builder: &mut Builder<'_>,
    read: &Read,
    index: usize,
    value: &Text,
    expr: Expr,
    inputs: Vec<usize>,
) -> State {
    let Some(ty) = builder.declared_type(read, expr.ty, value) else { return State::Failed };
    let Some(expr) = expr.widened(ty) else { return State::Failed };
    let derived = Derived { expr, inputs };
    let tags = &builder.tags;
    let entity = &builder.entities[builder.tag_entities[index]];
    let fingerprint =
        fingerprint::derived(&derived, entity, |input| tags[input].as_ref().expect("an input is read before"));
    builder.finish(index, read, ty, Kind::Derived(derived), fingerprint)
}

fn failed(builder: &mut Builder<'_>, value: &Text, mut error: ExprError) -> Step {
    let name = value.value.get(error.offset..error.offset + error.len).unwrap_or("");
    if error.message.starts_with("unknown tag") && builder.is_event_field(name) {
        error.message = format!("a derived tag sees tags, not fields of the event: {name}");
        error.hint = Some(format!("aggregate it: last({name})"));
    }
    builder.expr_problem(value, error);
    Step::Done(State::Failed)
}

fn other_entity(
    builder: &mut Builder<'_>,
    reads: &[Read],
    index: usize,
    input: usize,
    value: &Text,
    mut error: ExprError,
) -> Step {
    let code = reads[input].text("code").map_or("", |code| &code.value);
    let [own, other] = [index, input].map(|tag| builder.entities[builder.tag_entities[tag]].name.clone());
    error.message = format!("a derived tag names tags of its own entity only: {code} is of {other}, this tag of {own}");
    error.hint = Some("give both tags the same `entity`".to_string());
    builder.expr_problem(value, error);
    Step::Done(State::Failed)
}

fn report_cycle(builder: &mut Builder<'_>, reads: &[Read], cycle: &[usize]) {
    let code = |index: &usize| reads[*index].text("code").map_or("", |code| &code.value);
    let path: Vec<&str> = cycle.iter().chain(cycle.first()).map(code).collect();
    let at = reads[cycle[0]].text("value").map_or(0..0, |value| builder.reader.within(value, 0, value.value.len()));
    builder.reader.report(at, format!("a tag depends on itself: {}", path.join(" → ")));
}
