//! Marks: the values of a slot at which a condition may turn out otherwise.
//!
//! Between two neighbouring marks of its slots, the others being as they are, a condition stays what it is. So whoever
//! keeps many conditions current looks only at those with a mark between the value that was and the one that is.

use super::Expr;
use super::node::{Comparison, Literal, Node, Operator, What};
use super::select::constant;
use crate::money::Decimal;
use crate::time::Millis;
use crate::value::{Datum, Type};

/// A place in the order of values; numbers are in millionths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Point {
    Number(i128),
    /// A text, or right behind it.
    Text(Box<str>, bool),
}

/// How a condition looks at a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Any change of the value may matter.
    Any,
    /// Whether the value lies below the point.
    Below(Point),
    /// Whether the value is this one.
    Is(Point),
    /// Whether so many milliseconds or more have passed since the instant that the value is.
    Age(Millis),
    /// Whether there is a value. Every mark says that, too.
    Known,
}

/// How a condition looks at its slots and at the clock.
#[derive(Clone, Default, Debug)]
pub struct Marks {
    pub of: Vec<(usize, Mark)>,
    /// Whether it looks at the clock in other ways than by ages.
    pub clock: bool,
}

/// A datetime beyond this is no instant that ages can be told of: sums with it may have no value.
pub const FAR: Millis = 1 << 60;
/// The same for constants.
const LARGE: i128 = 1 << 53;

impl Point {
    /// Where a value stands; `None` for one without such an order.
    pub fn of(value: Datum<'_>) -> Option<Point> {
        Some(match value {
            Datum::Int(n) | Datum::Time(n) => Point::Number(Decimal::from_int(n).0),
            Datum::Decimal(d) => Point::Number(d.0),
            Datum::Str(text) => Point::Text(text.into(), false),
            _ => return None,
        })
    }

    fn behind(self) -> Point {
        match self {
            Point::Number(n) => Point::Number(n + 1),
            Point::Text(text, _) => Point::Text(text, true),
        }
    }
}

impl Expr {
    /// The marks of a condition, by way of other segments too.
    pub fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        marks.condition(&self.node);
        marks
    }
}

impl Marks {
    fn condition(&mut self, node: &Node) {
        match &node.what {
            What::And(parts) | What::Or(parts) => parts.iter().for_each(|part| self.condition(part)),
            What::Not(inner) | What::IsBool { node: inner, .. } => self.condition(inner),
            What::Segment { rule, .. } => self.condition(&rule.node),
            What::Compare(comparison, a, b) => self.compare(*comparison, a, b),
            What::Between { node, low, high, .. } => {
                self.compare(Comparison::Ge, node, low);
                self.compare(Comparison::Le, node, high);
            }
            What::In { node, list, .. } => list.iter().for_each(|item| self.compare(Comparison::Eq, node, item)),
            What::IsNull { node: inner, .. } => match inner.what {
                What::Slot { slot, .. } => self.of.push((slot, Mark::Known)),
                _ => self.any(inner),
            },
            _ => self.any(node),
        }
    }

    fn any(&mut self, node: &Node) {
        node.walk(&mut |node| match node.what {
            What::Slot { slot, .. } => self.of.push((slot, Mark::Any)),
            What::AsOf => self.clock = true,
            _ => {}
        });
    }

    fn compare(&mut self, comparison: Comparison, a: &Node, b: &Node) {
        match (slot(a), constant(b), constant(a), slot(b)) {
            (Some(slot), Some(constant), ..) => return self.with_constant(slot, comparison, &constant),
            (.., Some(constant), Some(slot)) => return self.with_constant(slot, turned(comparison), &constant),
            _ => {}
        }
        let Some(line) = line(a).zip(line(b)).and_then(|(a, b)| a.minus(b)) else {
            self.any(a);
            return self.any(b);
        };
        // What is compared with zero: value * slot + clock * as_of() + constant.
        let Line { slot, value, clock, constant } = line;
        match (slot, value, clock) {
            (Some(slot), 1, -1) => self.age(slot, turned(comparison), constant),
            (Some(slot), -1, 1) => self.age(slot, comparison, -constant),
            (Some(slot), 1, 0) => self.number(slot, comparison, -constant * Decimal::from_int(1).0),
            (Some(slot), -1, 0) => self.number(slot, turned(comparison), constant * Decimal::from_int(1).0),
            _ => {
                self.any(a);
                self.any(b);
            }
        }
    }

    fn with_constant(&mut self, slot: usize, comparison: Comparison, constant: &Literal) {
        match Point::of(constant.datum()) {
            // Compared with NULL it is NULL whatever the value.
            None if *constant == Literal::Null => {}
            None => self.of.push((slot, Mark::Any)),
            Some(point) => self.point(slot, comparison, point),
        }
    }

    fn number(&mut self, slot: usize, comparison: Comparison, constant: i128) {
        self.point(slot, comparison, Point::Number(constant));
    }

    fn point(&mut self, slot: usize, comparison: Comparison, point: Point) {
        let mark = match comparison {
            Comparison::Lt | Comparison::Ge => Mark::Below(point),
            Comparison::Le | Comparison::Gt => Mark::Below(point.behind()),
            Comparison::Eq | Comparison::Ne => Mark::Is(point),
        };
        self.of.push((slot, mark));
    }

    /// The age is compared with `bound`.
    fn age(&mut self, slot: usize, comparison: Comparison, bound: i128) {
        let bound = bound as Millis;
        let (at, behind) = (Mark::Age(bound), Mark::Age(bound + 1));
        match comparison {
            Comparison::Lt | Comparison::Ge => self.of.push((slot, at)),
            Comparison::Le | Comparison::Gt => self.of.push((slot, behind)),
            Comparison::Eq | Comparison::Ne => self.of.extend([(slot, at), (slot, behind)]),
        }
    }
}

/// The comparison with its sides exchanged.
fn turned(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Lt => Comparison::Gt,
        Comparison::Le => Comparison::Ge,
        Comparison::Gt => Comparison::Lt,
        Comparison::Ge => Comparison::Le,
        same => same,
    }
}

fn exact(ty: Option<Type>) -> bool {
    matches!(ty, Some(Type::Int | Type::Decimal | Type::Datetime))
}

/// The slot that a node is, widened or not.
fn slot(node: &Node) -> Option<usize> {
    match &node.what {
        What::Slot { slot, .. } if exact(node.ty) || node.ty == Some(Type::String) => Some(*slot),
        What::Cast { node: inner, implicit: true } if exact(node.ty) && exact(inner.ty) => slot(inner),
        _ => None,
    }
}

/// `value * slot + clock * as_of() + constant`, in whole milliseconds.
struct Line {
    slot: Option<usize>,
    value: i8,
    clock: i8,
    constant: i128,
}

impl Line {
    fn negated(self) -> Line {
        Line { value: -self.value, clock: -self.clock, constant: -self.constant, ..self }
    }

    fn plus(self, other: Line) -> Option<Line> {
        let slot = match (self.slot, other.slot) {
            (Some(_), Some(_)) => return None,
            (a, b) => a.or(b),
        };
        let (value, clock) = (self.value + other.value, self.clock.checked_add(other.clock)?);
        let constant = self.constant + other.constant;
        (constant.abs() < LARGE).then_some(Line { slot, value, clock, constant })
    }

    fn minus(self, other: Line) -> Option<Line> {
        self.plus(other.negated())
    }
}

fn line(node: &Node) -> Option<Line> {
    let whole = matches!(node.ty, Some(Type::Int | Type::Datetime));
    let of = |slot, value, clock, constant| Some(Line { slot, value, clock, constant });
    match &node.what {
        _ if !whole => None,
        What::AsOf => of(None, 0, 1, 0),
        What::Slot { slot, .. } => of(Some(*slot), 1, 0, 0),
        What::Literal(Literal::Int(n) | Literal::Time(n)) if i128::from(*n).abs() < LARGE => {
            of(None, 0, 0, i128::from(*n))
        }
        What::Arithmetic(Operator::Add, a, b) => line(a)?.plus(line(b)?),
        What::Arithmetic(Operator::Sub, a, b) => line(a)?.minus(line(b)?),
        What::Negate(inner) => line(inner).map(Line::negated),
        What::Cast { node: inner, implicit: true } => line(inner),
        _ => None,
    }
}
