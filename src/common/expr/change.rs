//! Changes by time alone: when a comparison with `as_of()` in it will turn out otherwise.
//!
//! A comparison whose sides are sums and differences is a line in time; the instant at which it
//! crosses zero is solved exactly. An expression that uses `as_of()` in any other way has no such instant.

use super::Scratch;
use super::eval::eval;
use super::node::{Node, Operator, What};
use crate::money::Decimal;
use crate::rows::Row;
use crate::time::Millis;
use crate::value::{Datum, Type};

/// Whether every `as_of()` in it stands in a comparison that can be solved.
pub(super) fn solvable(node: &Node) -> bool {
    if let Some(pairs) = pairs(node) {
        let (lines, rest): (Vec<&Node>, Vec<&Node>) = node
            .children()
            .into_iter()
            .partition(|child| pairs.iter().any(|(a, b)| std::ptr::eq(*a, *child) || std::ptr::eq(*b, *child)));
        return lines.into_iter().all(linear) && rest.into_iter().all(solvable);
    }
    !matches!(node.what, What::AsOf) && node.children().into_iter().all(solvable)
}

/// The first instant after `after` at which any comparison with `as_of()` may turn out otherwise.
pub(super) fn next<R: Row>(node: &Node, row: &R, after: Millis, scratch: &Scratch) -> Option<Millis> {
    let mut first: Option<Millis> = None;
    node.walk(&mut |node| {
        for (a, b) in pairs(node).unwrap_or_default() {
            if uses_as_of(a) || uses_as_of(b) {
                let crossing = crossing(a, b, row, after, scratch);
                first = match (first, crossing) {
                    (Some(x), Some(y)) => Some(x.min(y)),
                    (x, y) => x.or(y),
                };
            }
        }
    });
    first
}

/// The sides that a node compares with each other.
fn pairs(node: &Node) -> Option<Vec<(&Node, &Node)>> {
    Some(match &node.what {
        What::Compare(_, a, b) => vec![(a, b)],
        What::Between { node, low, high, .. } => vec![(node, low), (node, high)],
        What::In { node, list, .. } => list.iter().map(|item| (&**node, item)).collect(),
        What::Case { operand: Some(operand), branches, .. } => {
            branches.iter().map(|(when, _)| (&**operand, when)).collect()
        }
        _ => return None,
    })
}

fn uses_as_of(node: &Node) -> bool {
    let mut uses = false;
    node.walk(&mut |node| uses |= matches!(node.what, What::AsOf));
    uses
}

/// A sum or difference in which `as_of()` stands for itself: its graph over time is a line.
fn linear(node: &Node) -> bool {
    match &node.what {
        What::AsOf => true,
        What::Arithmetic(Operator::Add | Operator::Sub, a, b) => linear(a) && linear(b),
        What::Negate(inner) => linear(inner),
        What::Cast { node: inner, .. } if uses_as_of(inner) => exact(node.ty) && exact(inner.ty) && linear(inner),
        _ => !uses_as_of(node),
    }
}

fn exact(ty: Option<Type>) -> bool {
    matches!(ty, Some(Type::Int | Type::Decimal | Type::Datetime))
}

fn crossing<R: Row>(a: &Node, b: &Node, row: &R, after: Millis, scratch: &Scratch) -> Option<Millis> {
    let difference = |as_of| {
        let at = At { row, as_of };
        millionths(eval(a, &at, scratch))?.checked_sub(millionths(eval(b, &at, scratch))?)
    };
    let now = difference(after)?;
    let slope = difference(after.checked_add(1)?)? - now;
    if slope == 0 || (now != 0 && (now > 0) == (slope > 0)) {
        return None;
    }
    // At zero it is left at the next instant; before it, zero is reached or passed in so many steps.
    let steps = if now == 0 { 1 } else { now.unsigned_abs().div_ceil(slope.unsigned_abs()) };
    after.checked_add(Millis::try_from(steps).ok()?)
}

fn millionths(datum: Datum) -> Option<i128> {
    match datum {
        Datum::Int(n) | Datum::Time(n) => Some(Decimal::from_int(n).0),
        Datum::Decimal(d) => Some(d.0),
        _ => None,
    }
}

/// A row looked at from another instant.
struct At<'a, R> {
    row: &'a R,
    as_of: Millis,
}

impl<R: Row> Row for At<'_, R> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.row.datum(slot)
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(self.as_of)
    }
}
