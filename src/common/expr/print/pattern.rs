//! LIKE: a constant pattern, written so that nothing but `%` and `_` has a meaning of its own.

use super::{Printed, Printer, not};
use crate::expr::engine::Engine;
use crate::expr::like::{Step, steps};
use crate::expr::node::{Literal, Node};
use crate::value::Type;

/// Characters that may escape, so that one of them is not in the pattern.
const ESCAPES: &str = "!^~#$|@&;:/+=";

impl Printer<'_> {
    pub(super) fn like(&self, node: &Node, pattern: &Node, escape: Option<char>, negated: bool) -> Printed {
        let text = self.node(node, Type::String)?;
        let steps = match self.constant(pattern) {
            Some(Literal::Str(pattern)) => steps(&pattern, escape),
            Some(_) => None,
            None => {
                return Err(self.refuse("LIKE", "the pattern must be a constant, since engines differ in what escapes"));
            }
        };
        // No pattern: nothing is like it, nor unlike.
        let Some(steps) = steps else { return Ok(self.engine.null(Type::Bool)) };
        if self.engine == Engine::Flink && steps.contains(&Step::One) {
            return Ok(format!("({}REGEXP({text}, {}))", not(negated), self.engine.string(&regex(&steps))));
        }
        let (pattern, escape) = match self.engine {
            Engine::ClickHouse => (written(&steps, '\\'), None),
            Engine::DuckDb | Engine::Spark | Engine::Flink => {
                let special = |step: &Step| matches!(step, Step::Char('%' | '_' | '\\'));
                match steps.iter().any(special) {
                    false => (written(&steps, '\0'), None),
                    true => {
                        let free = ESCAPES.chars().find(|c| !steps.contains(&Step::Char(*c)));
                        let escape = free.ok_or_else(|| {
                            self.refuse("LIKE", "the pattern holds every character that could escape")
                        })?;
                        (written(&steps, escape), Some(escape))
                    }
                }
            }
        };
        let escape = escape.map(|c| format!(" ESCAPE '{c}'")).unwrap_or_default();
        Ok(format!("({text} {}LIKE {}{escape})", not(negated), self.engine.string(&pattern)))
    }
}

fn written(steps: &[Step], escape: char) -> String {
    let mut out = String::new();
    for step in steps {
        match step {
            Step::Many => out.push('%'),
            Step::One => out.push('_'),
            Step::Char(c) => {
                if matches!(c, '%' | '_') || *c == escape {
                    out.push(escape);
                }
                out.push(*c);
            }
        }
    }
    out
}

/// The same as a regular expression of Java: Flink's `_` is no line break.
fn regex(steps: &[Step]) -> String {
    let mut out = "(?s)\\A".to_string();
    for step in steps {
        match step {
            Step::Many => out.push_str(".*"),
            Step::One => out.push('.'),
            Step::Char(c) if c.is_alphanumeric() || !c.is_ascii() => out.push(*c),
            Step::Char(c) => {
                out.push('\\');
                out.push(*c);
            }
        }
    }
    out + "\\z"
}
