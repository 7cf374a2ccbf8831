//! Segments: rules over tags, and who is a member.
//!
//! A rule is one typed expression, whether it was written as SQL or as JSON: a JSON rule is turned into SQL text
//! and read like any other, so that both forms mean the same.
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

mod json;
#[cfg(test)]
mod tests;

use crate::agg;
use crate::expr::{self, Expr, ExprError, Names, Scratch};
use crate::profiles::Profile;
use crate::rows::Row;
use crate::tag::{Definitions, Problem};
use crate::time::Millis;
use crate::value::{Datum, Type, Value};

/// A condition on the tags of a user. Cheap to ask: no memory is taken for a profile once the scratch has grown.
pub struct Rule {
    expr: Expr,
    scratch: Scratch,
}

impl Rule {
    /// Reads `ltv_total >= 100 AND last_click_category = 'sports'`. `source` is what messages call the text.
    pub fn from_sql(text: &str, source: &str, definitions: &Definitions) -> Result<Rule, Problem> {
        parse(text, definitions)
            .map_err(|e| Problem { hint: e.hint, ..Problem::new(source, text, e.offset..e.offset + e.len, e.message) })
    }

    /// Reads the JSON form:
    ///
    /// ```json
    /// {"logic":"AND","conditions":[
    ///   {"tag_code":"age","op":">","value":18},
    ///   {"logic":"OR","conditions":[{"tag_code":"city","op":"IN","value":["Oslo","Malmö"]},
    ///                               {"tag_code":"vip","op":"=","value":true}]}]}
    /// ```
    ///
    /// `logic` is AND, OR, or NOT with one condition. `op` is `=`, `!=`, `<>`, `>`, `>=`, `<`, `<=`, BETWEEN (value: `[low,
    /// high]`, both included), IN, NOT IN (a list), LIKE, NOT LIKE, CONTAINS (a part of a string, as it stands, or an item of a list), IS NULL, IS NOT
    /// NULL (no value). A value has the type of its tag; a datetime is in milliseconds or RFC 3339.
    pub fn from_json(text: &str, source: &str, definitions: &Definitions) -> Result<Rule, Problem> {
        json::read(text, source, definitions)
    }

    /// Whether the user is a member when looked at at `as_of`, which is what `as_of()` in the rule gives. NULL is not true.
    pub fn matches(&mut self, profile: &Profile, as_of: Millis) -> bool {
        let matches = self.expr.is_true(&Tags { values: &profile.values, as_of }, &self.scratch);
        self.scratch.reset();
        matches
    }

    /// The tags it looks at, by place in the definitions.
    pub fn tags(&self) -> Vec<usize> {
        let mut tags = Vec::new();
        self.expr.slots(&mut tags);
        tags
    }

    /// The rule as SQL, the same text for all ways to write it.
    pub fn sql(&self) -> String {
        self.expr.canonical()
    }
}

fn parse(text: &str, definitions: &Definitions) -> Result<Rule, ExprError> {
    let expr = expr::parse(text, &mut Codes(definitions))?;
    if expr.ty != Type::Bool {
        let message = format!("a rule is a condition, not {}", expr.ty);
        let hint = Some("compare the value with another, as in age >= 18".to_string());
        return Err(ExprError { offset: 0, len: text.len(), message, hint });
    }
    Ok(Rule { expr, scratch: Scratch::new() })
}

/// All tags there are, whoever computes them. The slot of a tag is its place in the definitions.
struct Codes<'a>(&'a Definitions);

impl Names for Codes<'_> {
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
        let place = self.0.index(name)?;
        Some((place, self.0.tags[place].ty))
    }

    fn known(&self) -> Vec<String> {
        self.0.tags.iter().map(|tag| tag.code.to_string()).collect()
    }

    fn noun(&self) -> &'static str {
        "tag"
    }

    fn unknown_call(&self, name: &str) -> Option<(String, String)> {
        agg::NAMES.contains(&name).then(|| {
            let message = format!("an aggregation inside a rule: {name}");
            (message, "make a tag of it in the definition file: a rule sees the tags of a user".to_string())
        })
    }
}

struct Tags<'a> {
    values: &'a [Option<Value>],
    as_of: Millis,
}

impl Row for Tags<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.values[slot].as_ref().map_or(Datum::Null, Value::datum)
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(self.as_of)
    }
}
