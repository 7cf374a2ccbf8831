//! Evaluation: a node and a row give a value, with the three-valued logic of SQL.
//!
//! Nothing here fails: what has no value is NULL. Strings made on the way live in the scratch.

use super::cast::cast;
use super::function::Nulls;
use super::like::Pattern;
use super::node::{Comparison, Node, What};
use super::number::{calculate, holds, negate, order};
use crate::rows::Row;
use crate::value::Datum;
use bumpalo::Bump;

pub(crate) fn eval<'a, R: Row>(node: &'a Node, row: &'a R, scratch: &'a Bump) -> Datum<'a> {
    match &node.what {
        What::Literal(literal) => literal.datum(),
        What::Slot { slot, .. } => row.datum(*slot),
        What::AsOf => row.as_of(),
        What::Segment { rule, .. } => Datum::Bool(truth(eval(&rule.node, row, scratch)) == Some(true)),
        What::Compare(comparison, a, b) => {
            compare(*comparison, eval(a, row, scratch), eval(b, row, scratch)).map_or(Datum::Null, Datum::Bool)
        }
        What::And(parts) => all(parts, true, row, scratch),
        What::Or(parts) => all(parts, false, row, scratch),
        What::Not(node) => truth(eval(node, row, scratch)).map_or(Datum::Null, |b| Datum::Bool(!b)),
        What::IsNull { node, negated } => Datum::Bool(eval(node, row, scratch).is_null() != *negated),
        What::IsBool { node, value, negated } => {
            Datum::Bool((truth(eval(node, row, scratch)) == Some(*value)) != *negated)
        }
        What::In { node, list, negated } => negate_if(*negated, contains(eval(node, row, scratch), list, row, scratch)),
        What::Between { node, low, high, negated } => {
            let value = eval(node, row, scratch);
            let above = compare(Comparison::Ge, value, eval(low, row, scratch));
            let below = compare(Comparison::Le, value, eval(high, row, scratch));
            negate_if(*negated, and(above, below))
        }
        What::Like { node, pattern, escape, negated, compiled } => {
            let text = eval(node, row, scratch);
            let pattern = || eval(pattern, row, scratch);
            negate_if(*negated, like(text, compiled.as_ref(), pattern, *escape))
        }
        What::Arithmetic(operator, a, b) => calculate(*operator, eval(a, row, scratch), eval(b, row, scratch)),
        What::Negate(node) => negate(eval(node, row, scratch)),
        What::Case { operand, branches, otherwise } => {
            case(operand.as_deref(), branches, otherwise.as_deref(), row, scratch)
        }
        What::Call { function, args } => {
            let args = scratch.alloc_slice_fill_iter(args.iter().map(|arg| eval(arg, row, scratch)));
            if function.nulls == Nulls::Propagate && args.iter().any(Datum::is_null) {
                return Datum::Null;
            }
            (function.eval)(args, scratch)
        }
        What::Cast { node: inner, .. } => match node.ty {
            Some(to) => cast(eval(inner, row, scratch), to, scratch),
            None => Datum::Null,
        },
    }
}

fn truth(a: Datum<'_>) -> Option<bool> {
    match a {
        Datum::Bool(b) => Some(b),
        _ => None,
    }
}

fn compare(comparison: Comparison, a: Datum<'_>, b: Datum<'_>) -> Option<bool> {
    // Most conditions ask whether two texts are equal, which needs no order.
    match (comparison, a, b) {
        (Comparison::Eq, Datum::Str(a), Datum::Str(b)) => Some(a == b),
        (Comparison::Ne, Datum::Str(a), Datum::Str(b)) => Some(a != b),
        _ => order(a, b).map(|order| holds(comparison, order)),
    }
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn negate_if(negated: bool, a: Option<bool>) -> Datum<'static> {
    a.map_or(Datum::Null, |b| Datum::Bool(b != negated))
}

/// AND for `wanted` true, OR for false: one part against it decides, a NULL leaves it open.
fn all<'a, R: Row>(parts: &'a [Node], wanted: bool, row: &'a R, scratch: &'a Bump) -> Datum<'a> {
    let mut open = false;
    for part in parts {
        match truth(eval(part, row, scratch)) {
            Some(b) if b != wanted => return Datum::Bool(b),
            Some(_) => {}
            None => open = true,
        }
    }
    if open { Datum::Null } else { Datum::Bool(wanted) }
}

/// `x IN (…)`: a NULL in the list is a value nobody knows, so only a match is certain.
fn contains<'a, R: Row>(value: Datum<'a>, list: &'a [Node], row: &'a R, scratch: &'a Bump) -> Option<bool> {
    if value.is_null() {
        return None;
    }
    let mut open = false;
    for item in list {
        match compare(Comparison::Eq, value, eval(item, row, scratch)) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => open = true,
        }
    }
    if open { None } else { Some(false) }
}

fn like<'a>(
    text: Datum<'a>,
    compiled: Option<&Pattern>,
    pattern: impl FnOnce() -> Datum<'a>,
    escape: Option<char>,
) -> Option<bool> {
    let Datum::Str(text) = text else { return None };
    if let Some(compiled) = compiled {
        return Some(compiled.matches(text));
    }
    let Datum::Str(pattern) = pattern() else { return None };
    Some(Pattern::new(pattern, escape)?.matches(text))
}

fn case<'a, R: Row>(
    operand: Option<&'a Node>,
    branches: &'a [(Node, Node)],
    otherwise: Option<&'a Node>,
    row: &'a R,
    scratch: &'a Bump,
) -> Datum<'a> {
    let operand = operand.map(|node| eval(node, row, scratch));
    for (when, then) in branches {
        let when = eval(when, row, scratch);
        let taken = match operand {
            Some(operand) => compare(Comparison::Eq, operand, when),
            None => truth(when),
        };
        if taken == Some(true) {
            return eval(then, row, scratch);
        }
    }
    otherwise.map_or(Datum::Null, |node| eval(node, row, scratch))
}
