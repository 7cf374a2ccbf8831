//! Why a user is in a segment or not: the rule as a tree with the truth of each part, and what would change it.

use super::Tags;
use crate::engine::plan::Values;
use crate::expr::node::{Node, What};
use crate::expr::{Expr, Scratch, readable, truth_of};
use crate::profiles::Look;
use crate::time::Millis;

/// One part of a rule, as it is of one user.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub part: Part,
    /// `None` is NULL: a missing value leaves it open.
    pub truth: Option<bool>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    And,
    Or,
    Not,
    /// The rule of another segment, which stands below.
    Segment(String),
    Condition(Condition),
}

/// A part in which no other condition is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// As SQL.
    pub text: String,
    /// The tags it looks at, by place in the definitions.
    pub tags: Vec<usize>,
}

/// What has to become of a condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    True,
    False,
    NotTrue,
    NotFalse,
}

impl Goal {
    pub fn name(self) -> &'static str {
        match self {
            Goal::True => "true",
            Goal::False => "false",
            Goal::NotTrue => "not true",
            Goal::NotFalse => "not false",
        }
    }

    fn is_met(self, truth: Option<bool>) -> bool {
        match self {
            Goal::True => truth == Some(true),
            Goal::False => truth == Some(false),
            Goal::NotTrue => truth != Some(true),
            Goal::NotFalse => truth != Some(false),
        }
    }

    /// Of what stands inside a NOT.
    fn inside_not(self) -> Goal {
        match self {
            Goal::True => Goal::False,
            Goal::False => Goal::True,
            Goal::NotTrue => Goal::NotFalse,
            Goal::NotFalse => Goal::NotTrue,
        }
    }

    /// Of the rule of a segment, in which NULL is a no.
    fn inside_segment(self) -> Goal {
        match self {
            Goal::True | Goal::NotFalse => Goal::True,
            Goal::False | Goal::NotTrue => Goal::NotTrue,
        }
    }
}

/// A condition that has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub condition: Condition,
    pub to: Goal,
}

/// The rule as it is of one user, looked at from one instant.
pub fn tree(rule: &Expr, values: &Values, as_of: Millis) -> Step {
    step(&rule.node, &Tags { values, as_of }, &Scratch::new())
}

fn step(node: &Node, tags: &Tags<'_>, scratch: &Scratch) -> Step {
    let truth = truth_of(node, tags, scratch);
    let steps = |parts: &[Node]| parts.iter().map(|part| step(part, tags, scratch)).collect();
    let (part, steps) = match &node.what {
        What::And(parts) => (Part::And, steps(parts)),
        What::Or(parts) => (Part::Or, steps(parts)),
        What::Not(inner) => (Part::Not, vec![step(inner, tags, scratch)]),
        What::Segment { code, rule, .. } => (Part::Segment(code.to_string()), vec![step(&rule.node, tags, scratch)]),
        _ => {
            let mut places = Vec::new();
            node.walk(&mut |node| {
                if let What::Slot { slot, .. } = node.what
                    && !places.contains(&slot)
                {
                    places.push(slot);
                }
            });
            (Part::Condition(Condition { text: readable(node), tags: places }), Vec::new())
        }
    };
    Step { part, truth, steps }
}

impl Step {
    pub fn is_member(&self) -> bool {
        self.truth == Some(true)
    }

    /// The fewest conditions that have to change for the user to enter, or to leave who is a member. Conditions are
    /// taken one by one: whether the same value can be both is not asked.
    pub fn takes(&self) -> Vec<Change> {
        self.fewest(if self.is_member() { Goal::NotTrue } else { Goal::True })
    }

    fn fewest(&self, goal: Goal) -> Vec<Change> {
        if goal.is_met(self.truth) {
            return Vec::new();
        }
        let all = || self.steps.iter().flat_map(|step| step.fewest(goal)).collect();
        let any = || self.steps.iter().map(|step| step.fewest(goal)).min_by_key(Vec::len).unwrap_or_default();
        match &self.part {
            Part::And => match goal {
                Goal::True | Goal::NotFalse => all(),
                Goal::False | Goal::NotTrue => any(),
            },
            Part::Or => match goal {
                Goal::True | Goal::NotFalse => any(),
                Goal::False | Goal::NotTrue => all(),
            },
            Part::Not => self.steps[0].fewest(goal.inside_not()),
            Part::Segment(_) => self.steps[0].fewest(goal.inside_segment()),
            Part::Condition(condition) => vec![Change { condition: condition.clone(), to: goal }],
        }
    }
}

/// Whether a user is a member, as time passes.
pub struct Membership<'r>(pub &'r Expr);

impl Look for Membership<'_> {
    type Seen = bool;

    fn look(&mut self, values: &Values, at: Millis) -> (bool, Option<Millis>) {
        let (tags, scratch) = (Tags { values, as_of: at }, Scratch::new());
        (self.0.is_true(&tags, &scratch), self.0.next_change(&tags, at, &scratch))
    }
}
