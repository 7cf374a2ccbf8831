//! Rules made ready for the index: each condition as what its columns are asked.
//!
//! What a condition means is never written down a second time: the expression itself is evaluated, for each text that a
//! column has, or, where it turns over once along the numbers of a type, at as many numbers as it takes to find where.

use crate::bits::Range;
use crate::expr::node::{Comparison, Node, Operator, What};
use crate::expr::{Scratch, truth_of};
use crate::profiles::index::{Shape, numbers_of, value_of};
use crate::rows::Row;
use crate::tag::Definitions;
use crate::time::Millis;
use crate::value::{Datum, Type};

/// A part of a rule.
#[derive(Debug)]
pub(super) enum Step {
    And(Vec<Step>),
    Or(Vec<Step>),
    Not(Box<Step>),
    /// Whether the part has this truth, or another one; never NULL.
    Is {
        part: Box<Step>,
        truth: bool,
        negated: bool,
    },
    /// Whether the part is NULL, or is not.
    IsNull {
        part: Box<Step>,
        negated: bool,
    },
    /// Whether the tag has no value, or has one.
    Missing {
        tag: usize,
        negated: bool,
    },
    Constant(Option<bool>),
    /// True of the numbers in the range, false of others, NULL without one. It is known between the two of `domain` only.
    Within {
        tag: usize,
        ty: Type,
        range: Option<Range>,
        domain: (i128, i128),
    },
    /// Asked of each text; `missing` is its truth without a value.
    Each {
        tag: usize,
        node: Node,
        missing: Option<bool>,
    },
    /// `contains(tag, constant)`, asked of each item.
    Item {
        tag: usize,
        node: Node,
    },
    /// No column tells it but, of one tag, for keys that have no value.
    Open {
        tag: Option<(usize, Option<bool>)>,
    },
}

/// What a rule is made ready with.
pub(super) struct Maker<'a> {
    pub definitions: &'a Definitions,
    pub as_of: Millis,
    pub has_columns: &'a dyn Fn(usize) -> bool,
}

/// A row of one value.
pub(super) struct One<'a> {
    pub tag: usize,
    pub value: Datum<'a>,
    pub as_of: Millis,
}

impl Row for One<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        if slot == self.tag { self.value } else { Datum::Null }
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(self.as_of)
    }
}

impl Maker<'_> {
    pub fn step(&self, node: &Node) -> Step {
        match &node.what {
            What::And(parts) => Step::And(self.cheap_first(parts)),
            What::Or(parts) => Step::Or(self.cheap_first(parts)),
            What::Not(part) => Step::Not(Box::new(self.step(part))),
            What::Segment { rule, .. } => {
                Step::Is { part: Box::new(self.step(&rule.node)), truth: true, negated: false }
            }
            What::IsBool { node, value, negated } => {
                Step::Is { part: Box::new(self.step(node)), truth: *value, negated: *negated }
            }
            What::IsNull { node, negated } => match node.what {
                What::Slot { slot, .. } if (self.has_columns)(slot) => Step::Missing { tag: slot, negated: *negated },
                _ if node.ty == Some(Type::Bool) => Step::IsNull { part: Box::new(self.step(node)), negated: *negated },
                _ => self.leaf(node_of(node, *negated), self.slots(node)),
            },
            _ => self.leaf(node.clone(), self.slots(node)),
        }
    }

    fn cheap_first(&self, parts: &[Node]) -> Vec<Step> {
        let mut steps: Vec<Step> = parts.iter().map(|part| self.step(part)).collect();
        steps.sort_by_key(Step::cost);
        steps
    }

    fn slots(&self, node: &Node) -> Vec<usize> {
        let mut slots = Vec::new();
        node.walk(&mut |node| {
            if let What::Slot { slot, .. } = node.what
                && !slots.contains(&slot)
            {
                slots.push(slot);
            }
        });
        slots
    }

    fn leaf(&self, node: Node, slots: Vec<usize>) -> Step {
        let tag = match slots[..] {
            [] => return Step::Constant(self.truth(&node, 0, Datum::Null)),
            [tag] if (self.has_columns)(tag) => tag,
            _ => return Step::Open { tag: None },
        };
        let ty = self.definitions.tags[tag].ty;
        let missing = self.truth(&node, tag, Datum::Null);
        let open = Step::Open { tag: Some((tag, missing)) };
        match Shape::of(ty) {
            Shape::Texts => Step::Each { tag, node, missing },
            Shape::Numbers => self.numbers(&node, tag, ty).unwrap_or(open),
            Shape::Items if is_contains(&node, tag) => Step::Item { tag, node },
            Shape::Items | Shape::Nothing => open,
        }
    }

    /// A condition on one number; `None` where it may turn over more than once.
    fn numbers(&self, node: &Node, tag: usize, ty: Type) -> Option<Step> {
        let not = |step: Step, negated: bool| if negated { Step::Not(Box::new(step)) } else { step };
        match &node.what {
            What::Compare(comparison, a, b) => self.compare(*comparison, a, b, tag, ty),
            What::Between { node, low, high, negated } => {
                let above = self.compare(Comparison::Ge, node, low, tag, ty)?;
                let below = self.compare(Comparison::Le, node, high, tag, ty)?;
                Some(not(Step::And(vec![above, below]), *negated))
            }
            What::In { node, list, negated } => {
                let equal = |item: &Node| self.compare(Comparison::Eq, node, item, tag, ty);
                Some(not(Step::Or(list.iter().map(equal).collect::<Option<_>>()?), *negated))
            }
            _ => None,
        }
    }

    fn compare(&self, comparison: Comparison, a: &Node, b: &Node, tag: usize, ty: Type) -> Option<Step> {
        let rises = match (course(a)?, course(b)?) {
            (Course::Up, Course::Level | Course::Down) | (Course::Level, Course::Down) => true,
            (Course::Down, Course::Level | Course::Up) | (Course::Level, Course::Up) => false,
            // Of a bound without the tag: the whole is NULL or the same for all.
            (Course::Level, Course::Level) => {
                let node = Node::of(What::Compare(comparison, Box::new(a.clone()), Box::new(b.clone())), Type::Bool);
                return Some(Step::Constant(self.truth(&node, tag, Datum::Null)));
            }
            _ => return None,
        };
        let holds = |comparison: Comparison| {
            Node::of(What::Compare(comparison, Box::new(a.clone()), Box::new(b.clone())), Type::Bool)
        };
        let (meets, passes) = match rises {
            true => (holds(Comparison::Ge), holds(Comparison::Gt)),
            false => (holds(Comparison::Le), holds(Comparison::Lt)),
        };
        // With sums the ends of a type may have no value.
        let (low, high) = numbers_of(ty);
        let domain = [(low, high), (low >> 2, high >> 2), (low >> 32, high >> 32)]
            .into_iter()
            .find(|(low, high)| [low, high].into_iter().all(|n| self.truth(&meets, tag, value_of(*n, ty)).is_some()));
        let Some(domain) = domain else {
            // A bound that is NULL leaves all of them open.
            let is_null =
                [a, b].into_iter().any(|side| matches!(course(side), Some(Course::Level)) && self.is_null(side));
            return is_null.then_some(Step::Constant(None));
        };
        let meets = self.first(&meets, tag, ty, domain);
        let passes = self.first(&passes, tag, ty, domain);
        // Along the numbers it is below, then equal, then above; where the sides fall towards each other, the other way.
        let range = |from: Option<Option<i128>>, to: Option<i128>| from.map(|from| Range { from, to });
        let all = Some(None);
        let range = match (comparison, rises) {
            (Comparison::Eq | Comparison::Ne, _) => range(meets.map(Some), passes),
            (Comparison::Ge, true) | (Comparison::Le, false) => range(meets.map(Some), None),
            (Comparison::Gt, true) | (Comparison::Lt, false) => range(passes.map(Some), None),
            (Comparison::Lt, true) | (Comparison::Gt, false) => range(all, meets),
            (Comparison::Le, true) | (Comparison::Ge, false) => range(all, passes),
        };
        let step = Step::Within { tag, ty, range, domain };
        Some(if comparison == Comparison::Ne { Step::Not(Box::new(step)) } else { step })
    }

    /// The first number of the domain of which the condition is true, which it then stays.
    fn first(&self, node: &Node, tag: usize, ty: Type, (low, high): (i128, i128)) -> Option<i128> {
        let holds = |n: i128| self.truth(node, tag, value_of(n, ty)) == Some(true);
        if !holds(high) {
            return None;
        }
        let (mut low, mut high) = (low, high);
        while low < high {
            // Halfway, rounded down, without leaving the type.
            let middle = (low & high) + ((low ^ high) >> 1);
            (low, high) = if holds(middle) { (low, middle) } else { (middle + 1, high) };
        }
        Some(high)
    }

    fn truth(&self, node: &Node, tag: usize, value: Datum<'_>) -> Option<bool> {
        truth_of(node, &One { tag, value, as_of: self.as_of }, &Scratch::new())
    }

    fn is_null(&self, node: &Node) -> bool {
        let is_null = Node::of(What::IsNull { node: Box::new(node.clone()), negated: false }, Type::Bool);
        self.truth(&is_null, 0, Datum::Null) == Some(true)
    }
}

fn node_of(node: &Node, negated: bool) -> Node {
    Node::of(What::IsNull { node: Box::new(node.clone()), negated }, Type::Bool)
}

fn is_contains(node: &Node, tag: usize) -> bool {
    match &node.what {
        What::Call { function, args } => {
            function.name == "CONTAINS"
                && matches!(args[0].what, What::Slot { slot, .. } if slot == tag)
                && matches!(course(&args[1]), Some(Course::Level))
        }
        _ => false,
    }
}

/// How a side of a comparison goes along the numbers of the one tag in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Level,
    /// It never falls.
    Up,
    /// It never rises.
    Down,
}

impl Course {
    fn turned(self) -> Course {
        match self {
            Course::Level => Course::Level,
            Course::Up => Course::Down,
            Course::Down => Course::Up,
        }
    }
}

/// `None` for what may turn.
fn course(node: &Node) -> Option<Course> {
    let is_number = |ty: Option<Type>| ty.is_some_and(|ty| Shape::of(ty) == Shape::Numbers);
    match &node.what {
        What::Slot { .. } => Some(Course::Up),
        What::Cast { node: inner, .. } if is_number(node.ty) && is_number(inner.ty) => course(inner),
        What::Negate(inner) => course(inner).map(Course::turned),
        What::Arithmetic(operator @ (Operator::Add | Operator::Sub), a, b) => {
            let (a, mut b) = (course(a)?, course(b)?);
            if *operator == Operator::Sub {
                b = b.turned();
            }
            match (a, b) {
                (Course::Level, other) | (other, Course::Level) => Some(other),
                (a, b) => (a == b).then_some(a),
            }
        }
        _ => {
            let mut has_slot = false;
            node.walk(&mut |node| has_slot |= matches!(node.what, What::Slot { .. }));
            (!has_slot).then_some(Course::Level)
        }
    }
}

impl Step {
    /// The tags whose columns it asks.
    pub fn tags(&self) -> Vec<usize> {
        let mut tags = match self {
            Step::Constant(_) | Step::Open { tag: None } => Vec::new(),
            Step::Missing { tag, .. }
            | Step::Within { tag, .. }
            | Step::Each { tag, .. }
            | Step::Item { tag, .. }
            | Step::Open { tag: Some((tag, _)) } => vec![*tag],
            Step::Not(part) | Step::Is { part, .. } | Step::IsNull { part, .. } => part.tags(),
            Step::And(parts) | Step::Or(parts) => parts.iter().flat_map(Step::tags).collect(),
        };
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Roughly how much it reads.
    fn cost(&self) -> usize {
        match self {
            Step::Constant(_) => 0,
            Step::Missing { .. } => 1,
            Step::Each { .. } | Step::Item { .. } => 2,
            // The more digits it has, the fewer of them are read when others have left fewer to be told apart.
            Step::Within { ty: Type::Int, .. } => 4,
            Step::Within { ty: Type::Decimal, .. } => 6,
            Step::Within { .. } => 12,
            Step::Open { .. } => 1000,
            Step::Not(part) | Step::Is { part, .. } | Step::IsNull { part, .. } => part.cost(),
            Step::And(parts) | Step::Or(parts) => parts.iter().map(Step::cost).sum(),
        }
    }
}
