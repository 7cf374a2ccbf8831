//! Guards: a condition on one value that has to be true for a rule to be.

use super::step::{Maker, Step};
use crate::bits::Range;
use crate::expr::Expr;
use crate::expr::node::{Comparison, Literal, Node, What};
use crate::profiles::index::numbers_of;
use crate::tag::Definitions;
use crate::value::Type;

/// What a tag has to be.
#[derive(Clone, PartialEq, Debug)]
pub enum Guard {
    /// One of these texts; of a bool `true` or `false`.
    Texts(usize, Vec<Box<str>>),
    /// A number in this range, as the index counts it.
    Numbers(usize, Range),
}

/// What a rule needs of single values, the same at every instant.
pub struct Guards {
    /// Each has to hold.
    pub all: Vec<Guard>,
    /// Where they all hold the rule is true if this is; `None`: it is true.
    pub rest: Option<Expr>,
}

pub fn guards(rule: &Expr, definitions: &Definitions) -> Guards {
    let maker = Maker { definitions, as_of: 0, has_columns: &|_| true };
    let mut all = Vec::new();
    let parts = match &rule.node.what {
        What::And(parts) => parts,
        _ => std::slice::from_ref(&rule.node),
    };
    let mut rest: Vec<Node> = parts.iter().filter(|part| !find(part, &maker, &mut all)).cloned().collect();
    let rest = match rest.len() {
        0 => None,
        1 => rest.pop(),
        _ => Some(Node::of(What::And(rest), Type::Bool)),
    };
    Guards { all, rest: rest.map(|node| Expr { ty: Type::Bool, node }) }
}

/// Takes what a condition needs; whether that is all it needs.
fn find(node: &Node, maker: &Maker<'_>, guards: &mut Vec<Guard>) -> bool {
    let mut take = |guard: Option<Guard>| {
        let is_one = guard.is_some();
        guards.extend(guard);
        is_one
    };
    match &node.what {
        What::And(parts) => each(parts, |part| find(part, maker, guards)),
        What::Not(part) => find_not(part, maker, guards),
        // The rule of a segment that has to be true.
        What::Segment { rule, .. } => find(&rule.node, maker, guards),
        What::Slot { slot, .. } if node.ty == Some(Type::Bool) => take(Some(told(*slot, true))),
        What::IsBool { node, value, negated: false } => take(slot(node).map(|slot| told(slot, *value))),
        What::Compare(comparison @ (Comparison::Eq | Comparison::Ne), a, b) if truth(a, b).is_some() => {
            take(truth(a, b).map(|(slot, value)| told(slot, value == (*comparison == Comparison::Eq))))
        }
        What::Compare(Comparison::Eq, a, b) if is_text(a) => take(texts(a, std::slice::from_ref(b))),
        What::Compare(Comparison::Eq, a, b) if is_text(b) => take(texts(b, std::slice::from_ref(a))),
        What::In { node, list, negated: false } if is_text(node) => take(texts(node, list)),
        What::Compare(..) | What::Between { negated: false, .. } if !follows_clock(node) => {
            let parts = match maker.step(node) {
                Step::And(parts) => parts,
                part => vec![part],
            };
            each(parts, |part| take(numbers(part, maker)))
        }
        _ => false,
    }
}

/// The same of a condition that has to be false.
fn find_not(node: &Node, maker: &Maker<'_>, guards: &mut Vec<Guard>) -> bool {
    match &node.what {
        What::Or(parts) => each(parts, |part| find_not(part, maker, guards)),
        What::Not(part) => find(part, maker, guards),
        What::Slot { slot, .. } if node.ty == Some(Type::Bool) => {
            guards.push(told(*slot, false));
            true
        }
        What::Compare(comparison, a, b) => {
            let other = match comparison {
                Comparison::Eq if truth(a, b).is_some() => Comparison::Ne,
                Comparison::Ne if truth(a, b).is_some() => Comparison::Eq,
                Comparison::Lt => Comparison::Ge,
                Comparison::Le => Comparison::Gt,
                Comparison::Gt => Comparison::Le,
                Comparison::Ge => Comparison::Lt,
                _ => return false,
            };
            find(&Node::of(What::Compare(other, a.clone(), b.clone()), Type::Bool), maker, guards)
        }
        _ => false,
    }
}

/// Whether it is so of each; all of them are asked.
fn each<T>(parts: impl IntoIterator<Item = T>, mut is_so: impl FnMut(T) -> bool) -> bool {
    parts.into_iter().fold(true, |all, part| all & is_so(part))
}

fn numbers(part: Step, maker: &Maker<'_>) -> Option<Guard> {
    match part {
        Step::Within { tag, range: Some(range), domain, .. }
            if domain == numbers_of(maker.definitions.tags[tag].ty) =>
        {
            Some(Guard::Numbers(tag, range))
        }
        _ => None,
    }
}

/// That a tag is one of these texts, if they are texts.
fn texts<N: std::borrow::Borrow<Node>>(tag: &Node, list: &[N]) -> Option<Guard> {
    Some(Guard::Texts(slot(tag)?, list.iter().map(|node| text(node.borrow())).collect::<Option<_>>()?))
}

/// A tag of a bool beside a constant, on either side.
fn truth(a: &Node, b: &Node) -> Option<(usize, bool)> {
    let of = |tag: &Node, constant: &Node| match constant.what {
        What::Literal(Literal::Bool(value)) if tag.ty == Some(Type::Bool) => Some((slot(tag)?, value)),
        _ => None,
    };
    of(a, b).or_else(|| of(b, a))
}

fn told(slot: usize, value: bool) -> Guard {
    Guard::Texts(slot, vec![value.to_string().into()])
}

fn is_text(node: &Node) -> bool {
    node.ty == Some(Type::String) && slot(node).is_some()
}

fn slot(node: &Node) -> Option<usize> {
    match node.what {
        What::Slot { slot, .. } => Some(slot),
        _ => None,
    }
}

fn text(node: &Node) -> Option<Box<str>> {
    match &node.what {
        What::Literal(Literal::Str(text)) => Some(text.clone()),
        _ => None,
    }
}

fn follows_clock(node: &Node) -> bool {
    let mut follows = false;
    node.walk(&mut |node| follows |= matches!(node.what, What::AsOf));
    follows
}
