//! Lint: what is strange about a rule that is right.
//!
//! Whether a rule is ever true is decided by trying it: a comparison of a tag with constants has the same truth for all
//! values between two constants, so a few values of each tag stand for all. What compares otherwise is taken for a
//! condition that may be true, false or NULL whatever the rest is. So "never" and "always" are certain, and a rule
//! of which neither is told may still be one of them.

use super::Tags;
use crate::expr::node::{Literal, Node, What};
use crate::expr::{Scratch, readable, truth_of};
use crate::money::{Decimal, SCALE};
use crate::tag::{Definitions, Schedule, Segment, Status};
use crate::value::{Type, Value};
use std::collections::BTreeMap;

/// Combinations that are tried at most.
const TRIES_MAX: usize = 200_000;

/// Something strange about a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The segment's place in the definitions.
    pub segment: usize,
    pub kind: Strange,
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strange {
    NeverTrue,
    AlwaysTrue,
    SameRule,
    /// It names a segment that is not active.
    NotActive,
    /// Time alone changes it at instants that cannot be solved for.
    Unsolved,
}

impl Strange {
    pub fn name(self) -> &'static str {
        match self {
            Strange::NeverTrue => "never-true",
            Strange::AlwaysTrue => "always-true",
            Strange::SameRule => "same-rule",
            Strange::NotActive => "not-active",
            Strange::Unsolved => "unsolved",
        }
    }
}

/// Everything strange about the segments of a file, in their order.
pub fn lint(definitions: &Definitions) -> Vec<Finding> {
    let segments = &definitions.segments;
    (0..segments.len()).flat_map(|place| one(definitions, place)).collect()
}

fn one(definitions: &Definitions, place: usize) -> Vec<Finding> {
    let segment = &definitions.segments[place];
    let mut found = Vec::new();
    let mut tell = |kind, message: String, hint: Option<&str>| {
        found.push(Finding { segment: place, kind, message, hint: hint.map(str::to_string) });
    };
    match always(definitions, &segment.rule.node) {
        Some(true) => tell(Strange::AlwaysTrue, "the rule is true of every user".into(), None),
        Some(false) => tell(
            Strange::NeverTrue,
            "the rule is true of no user".into(),
            Some(
                "conditions that exclude each other stand together with AND; a missing value is found by IS NULL only",
            ),
        ),
        None => {}
    }
    if let Some(first) = definitions.segments[..place].iter().find(|other| other.version == segment.version) {
        let message = format!("it has the rule of `{}`", first.code);
        tell(Strange::SameRule, message, Some("name the other one: in_segment('…')"));
    }
    let kept = |segment: &Segment| segment.status == Status::Active;
    for (code, _) in segment.rule.segments() {
        if let Some(named) = definitions.segment(code).filter(|named| kept(segment) && !kept(named)) {
            let message = format!("it is active and names `{code}`, which is {}", named.status);
            tell(Strange::NotActive, message, None);
        }
    }
    if segment.schedule == Schedule::Live && !segment.rule.is_solvable() {
        tell(
            Strange::Unsolved,
            "when time alone changes it cannot be told: as_of() is calculated with in another way than + and -".into(),
            Some("compare a datetime with ago('7d'); or set schedule = \"daily\""),
        );
    }
    found
}

/// `Some(true)`: true of every user; `Some(false)`: of none; `None`: neither, or it cannot be known.
fn always(definitions: &Definitions, rule: &Node) -> Option<bool> {
    let mut atoms = Atoms::default();
    let tree = atoms.tree(rule);
    let values: Vec<(usize, Vec<Option<Value>>)> =
        atoms.slots.iter().map(|(slot, literals)| (*slot, around(definitions.tags[*slot].ty, literals))).collect();
    let counts = values.iter().map(|(_, values)| values.len()).chain(atoms.free.iter().map(|_| 3));
    let tries = counts.clone().try_fold(1usize, |all, n| all.checked_mul(n)).filter(|n| *n <= TRIES_MAX)?;
    let counts: Vec<usize> = counts.collect();
    let mut profile: Vec<Option<Value>> = vec![None; definitions.tags.len()];
    let (mut scratch, mut some, mut all) = (Scratch::new(), false, true);
    for n in 0..tries {
        let mut rest = n;
        let mut digits = Vec::with_capacity(counts.len());
        for count in &counts {
            digits.push(rest % count);
            rest /= count;
        }
        for ((slot, values), digit) in values.iter().zip(&digits) {
            profile[*slot] = values[*digit].clone();
        }
        let free: Vec<Option<bool>> =
            digits[values.len()..].iter().map(|digit| [None, Some(false), Some(true)][*digit]).collect();
        let is_true = tree.truth(&Tags { values: &profile, as_of: 0 }, &free, &scratch) == Some(true);
        scratch.reset();
        (some, all) = (some || is_true, all && is_true);
        if some && !all {
            return None;
        }
    }
    Some(some)
}

/// The logic of a rule over its conditions.
enum Tree<'n> {
    And(Vec<Tree<'n>>),
    Or(Vec<Tree<'n>>),
    Not(Box<Tree<'n>>),
    /// NULL is false.
    Known(Box<Tree<'n>>),
    /// A tag compared with constants.
    Tried(&'n Node),
    /// By place in `Atoms::free`.
    Free(usize),
}

#[derive(Default)]
struct Atoms<'n> {
    /// The constants that each tag is compared with.
    slots: BTreeMap<usize, Vec<&'n Literal>>,
    /// The texts of conditions of another kind.
    free: Vec<String>,
}

impl<'n> Atoms<'n> {
    fn tree(&mut self, node: &'n Node) -> Tree<'n> {
        let mut trees = |parts: &'n [Node]| parts.iter().map(|part| self.tree(part)).collect();
        match &node.what {
            What::And(parts) => Tree::And(trees(parts)),
            What::Or(parts) => Tree::Or(trees(parts)),
            What::Not(inner) => Tree::Not(Box::new(self.tree(inner))),
            What::Segment { rule, .. } => Tree::Known(Box::new(self.tree(&rule.node))),
            _ => match tried(node) {
                Some((slot, literals)) => {
                    self.slots.entry(slot).or_default().extend(literals);
                    Tree::Tried(node)
                }
                None => {
                    let text = readable(node);
                    let place = self.free.iter().position(|known| *known == text).unwrap_or_else(|| {
                        self.free.push(text);
                        self.free.len() - 1
                    });
                    Tree::Free(place)
                }
            },
        }
    }
}

impl Tree<'_> {
    fn truth(&self, tags: &Tags<'_>, free: &[Option<bool>], scratch: &Scratch) -> Option<bool> {
        let all = |parts: &[Tree<'_>], wanted: bool| {
            let mut whole = Some(wanted);
            for part in parts {
                match part.truth(tags, free, scratch) {
                    Some(b) if b != wanted => return Some(b),
                    Some(_) => {}
                    None => whole = None,
                }
            }
            whole
        };
        match self {
            Tree::And(parts) => all(parts, true),
            Tree::Or(parts) => all(parts, false),
            Tree::Not(inner) => inner.truth(tags, free, scratch).map(|b| !b),
            Tree::Known(inner) => Some(inner.truth(tags, free, scratch) == Some(true)),
            Tree::Tried(node) => truth_of(node, tags, scratch),
            Tree::Free(place) => free[*place],
        }
    }
}

/// The tag and the constants of a condition in which one tag is compared with constants and nothing else.
fn tried(node: &Node) -> Option<(usize, Vec<&Literal>)> {
    let slot = |node: &Node| match node.what {
        What::Slot { slot, .. } if !node.ty.is_some_and(Type::is_nested) => Some(slot),
        _ => None,
    };
    fn literal(node: &Node) -> Option<&Literal> {
        match &node.what {
            What::Literal(literal) => Some(literal),
            _ => None,
        }
    }
    Some(match &node.what {
        What::Slot { .. } => (slot(node)?, Vec::new()),
        What::IsNull { node, .. } | What::IsBool { node, .. } => (slot(node)?, Vec::new()),
        What::Compare(_, a, b) => match slot(a) {
            Some(slot) => (slot, vec![literal(b)?]),
            None => (slot(b)?, vec![literal(a)?]),
        },
        What::In { node, list, .. } => (slot(node)?, list.iter().map(literal).collect::<Option<_>>()?),
        What::Between { node, low, high, .. } => (slot(node)?, vec![literal(low)?, literal(high)?]),
        _ => return None,
    })
}

/// Values that stand for all that a tag can have: each constant, its neighbours, and none.
fn around(ty: Type, literals: &[&Literal]) -> Vec<Option<Value>> {
    let mut values = vec![None];
    let mut add = |value: Value| {
        if !values.contains(&Some(value.clone())) {
            values.push(Some(value));
        }
    };
    match ty {
        Type::Bool => [true, false].map(Value::Bool).into_iter().for_each(add),
        Type::String => {
            add(Value::Str("".into()));
            for literal in literals {
                if let Literal::Str(text) = literal {
                    add(Value::Str((&**text).into()));
                    // The least of all texts behind it.
                    add(Value::Str(format!("{text}\0").into()));
                }
            }
        }
        Type::Int | Type::Datetime => {
            let number = |n: i64| if ty == Type::Int { Value::Int(n) } else { Value::Time(n) };
            add(number(0));
            for n in literals.iter().filter_map(|literal| whole(literal)) {
                for n in [n.saturating_sub(1), n, n.saturating_add(1)] {
                    add(number(n));
                }
            }
        }
        Type::Decimal => {
            add(Value::Decimal(Decimal(0)));
            for n in literals.iter().filter_map(|literal| millionths(literal)) {
                (n - 1..=n + 1).for_each(|n| add(Value::Decimal(Decimal(n))));
            }
        }
        Type::Double => {
            add(Value::Double(0.0));
            for x in literals.iter().filter_map(|literal| double(literal)) {
                [x.next_down(), x, x.next_up()]
                    .into_iter()
                    .filter(|x| x.is_finite())
                    .for_each(|x| add(Value::Double(x)));
            }
        }
        Type::List(_) | Type::Map(_) => {}
    }
    values
}

/// The largest whole number that is not above.
fn whole(literal: &Literal) -> Option<i64> {
    match literal {
        Literal::Int(n) | Literal::Time(n) => Some(*n),
        Literal::Decimal(d) => i64::try_from(d.0.div_euclid(SCALE)).ok(),
        Literal::Double(x) => Some(x.floor() as i64),
        _ => None,
    }
}

fn millionths(literal: &Literal) -> Option<i128> {
    match literal {
        Literal::Int(n) => Some(i128::from(*n) * SCALE),
        Literal::Decimal(d) => Some(d.0),
        Literal::Double(x) => Some((x * SCALE as f64).floor() as i128),
        _ => None,
    }
}

fn double(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Int(n) => Some(*n as f64),
        Literal::Decimal(d) => Some(d.0 as f64 / SCALE as f64),
        Literal::Double(x) => Some(*x),
        _ => None,
    }
}
