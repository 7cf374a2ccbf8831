//! Segments: rules over tags, and who is a member.
//!
//! A rule is one typed expression, whether it was written as SQL or as JSON, in a definition file or on the command
//! line; either form is written from it again.
//!
//! # Missing values
//!
//! The logic is SQL's, with three values. Who has no value for a tag is neither above nor below anything, and `NULL`
//! (unknown) is not true: such a user is a member only of rules that are true without it.
//!
//! | rule | tag missing | a member? |
//! |---|---|---|
//! | `t > 5`, `t = 5`, `t != 5`, `t IN (5)`, `t NOT IN (5)`, `t BETWEEN …`, `t LIKE …` | NULL | no |
//! | `NOT t > 5`, and NOT over any of the above | NULL | no |
//! | `t IS NULL` | true | yes |
//! | `t IS NOT NULL` | false | no |
//!
//! | a | b | `a AND b` | `a OR b` | `NOT a` |
//! |---|---|---|---|---|
//! | true | NULL | NULL | **true** | false |
//! | false | NULL | false | NULL | **true** |
//! | NULL | NULL | NULL | NULL | NULL |

pub mod audience;
pub mod explain;
pub mod index;
pub mod insight;
#[cfg(test)]
mod explain_tests;
pub mod lint;
pub mod matching;
#[cfg(test)]
mod lint_tests;
pub mod lookalike;
#[cfg(test)]
mod tests;

use crate::expr::{Expr, ExprError, Scratch};
use crate::profiles::Profile;
use crate::rows::Row;
use crate::tag::{Definitions, Problem, Segment};
use crate::time::Millis;
use crate::value::{Datum, Value};
use std::sync::Arc;

/// A condition on the tags of a user. Cheap to ask: no memory is taken for a profile once the scratch has grown.
pub struct Rule {
    expr: Arc<Expr>,
    version: String,
    scratch: Scratch,
}

impl Clone for Rule {
    fn clone(&self) -> Rule {
        Rule { expr: self.expr.clone(), version: self.version.clone(), scratch: Scratch::new() }
    }
}

impl Rule {
    /// The rule of a segment of the definition file.
    pub fn of(segment: &Segment) -> Rule {
        Rule { expr: segment.rule.clone(), version: segment.version.clone(), scratch: Scratch::new() }
    }

    /// Reads `ltv_total >= 100 AND last_click_category = 'sports'`, or the JSON form. `source` is what messages call the
    /// text.
    pub fn from_sql(text: &str, source: &str, definitions: &Definitions) -> Result<Rule, Problem> {
        Rule::made(definitions.rule(text), text, source, definitions)
    }

    /// Reads the [JSON form](crate::expr::json).
    pub fn from_json(text: &str, source: &str, definitions: &Definitions) -> Result<Rule, Problem> {
        Rule::made(definitions.json_rule(text), text, source, definitions)
    }

    fn made(
        read: Result<Expr, ExprError>,
        text: &str,
        source: &str,
        definitions: &Definitions,
    ) -> Result<Rule, Problem> {
        let expr = read.map_err(|e| Problem {
            hint: e.hint,
            ..Problem::new(source, text, e.offset..e.offset + e.len, e.message)
        })?;
        Ok(Rule { version: definitions.version(&expr), expr: Arc::new(expr), scratch: Scratch::new() })
    }

    /// Whether the user is a member when looked at at `as_of`, which is what `as_of()` in the rule gives. NULL is not true.
    pub fn matches(&mut self, profile: &Profile, as_of: Millis) -> bool {
        let matches = self.expr.is_true(&Tags { values: &profile.values, as_of }, &self.scratch);
        self.scratch.reset();
        matches
    }

    /// The typed expression. Its slots are places in the definitions.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The tags it looks at, by place in the definitions; by way of other segments too.
    pub fn tags(&self) -> Vec<usize> {
        let mut tags = Vec::new();
        self.expr.slots(&mut tags);
        tags
    }

    /// What the rule means, in twelve hex digits: `Definitions::version`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The rule as SQL, the same text for all ways to write it.
    pub fn sql(&self) -> String {
        self.expr.readable()
    }

    /// The rule in its JSON form, the same text for all ways to write it.
    pub fn json(&self) -> String {
        self.expr.json()
    }
}

/// The values of one user, looked at from one instant.
pub(crate) struct Tags<'a> {
    pub values: &'a [Option<Value>],
    pub as_of: Millis,
}

impl Row for Tags<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.values[slot].as_ref().map_or(Datum::Null, Value::datum)
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(self.as_of)
    }
}
