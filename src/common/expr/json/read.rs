//! The JSON form, written out as SQL and read like any other.
//!
//! Every piece of the SQL knows the piece of JSON it comes from, so that whatever is wrong is told with the path and
//! the place in the text the user wrote. Numbers go over digit by digit, never through a double.

mod leaf;

use crate::expr::{self, Expr, ExprError, Names, nearest};
use crate::limits::EXPR_DEPTH_MAX;
use crate::ndjson::shown;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

const KEYS: [&str; 9] = ["logic", "conditions", "tag_code", "op", "value", "aggregate", "where", "window", "segment"];
/// The leaf for what the JSON form has no word for; not named in hints.
const SQL: &str = "sql";

/// Reads a condition in its JSON form. Errors have their place in `text`, and the path in the message.
pub fn read(text: &str, names: &mut dyn Names) -> Result<Expr, ExprError> {
    let root: &RawValue = serde_json::from_str(text).map_err(|e| no_json(text, &e))?;
    let mut writer = Writer { text, names, sql: String::new(), pieces: Vec::new(), depth: 0 };
    writer.node(At { raw: root, path: String::new() })?;
    let sql = std::mem::take(&mut writer.sql);
    expr::parse(&sql, writer.names).map_err(|e| writer.told_in_json(e))
}

fn no_json(text: &str, e: &serde_json::Error) -> ExprError {
    let line_start: usize = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
    let mut offset = (line_start + e.column().saturating_sub(1)).min(text.len());
    // Columns count bytes: one may lie within a character.
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let len = text[offset..].chars().next().map_or(0, char::len_utf8);
    let what = e.to_string();
    let what = what.split(" at line ").next().unwrap_or(&what);
    ExprError { offset, len, message: format!("not JSON: {what}"), hint: None }
}

/// A piece of the JSON: itself, and its path.
#[derive(Clone)]
struct At<'a> {
    raw: &'a RawValue,
    path: String,
}

impl<'a> At<'a> {
    fn key(&self, name: &str, raw: &'a RawValue) -> At<'a> {
        let dot = if self.path.is_empty() { "" } else { "." };
        At { raw, path: format!("{}{dot}{name}", self.path) }
    }

    fn item(&self, i: usize, raw: &'a RawValue) -> At<'a> {
        At { raw, path: format!("{}[{i}]", self.path) }
    }

    fn kind(&self) -> &'static str {
        match self.raw.get().as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a bool",
            Some(b'n') => "null",
            _ => "a number",
        }
    }
}

struct Writer<'a, 'n> {
    text: &'a str,
    names: &'n mut dyn Names,
    sql: String,
    /// Which part of the SQL comes from which piece, inner ones first.
    pieces: Vec<(Range<usize>, At<'a>)>,
    depth: usize,
}

/// The keys of one object.
struct Node<'a> {
    at: At<'a>,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Node<'a> {
    fn find(&self, name: &str) -> Option<At<'a>> {
        self.members.iter().find(|(key, _)| key == name).map(|(key, raw)| self.at.key(key, raw))
    }
}

impl<'a> Writer<'a, '_> {
    fn problem(&self, at: &At<'_>, message: impl fmt::Display) -> ExprError {
        // Raw values are slices of the text: their distance from its start is their place.
        let offset = (at.raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let message = if at.path.is_empty() { message.to_string() } else { format!("{}: {message}", at.path) };
        ExprError { offset, len: at.raw.get().len(), message, hint: None }
    }

    fn hinted(&self, at: &At<'_>, message: impl fmt::Display, hint: impl Into<String>) -> ExprError {
        ExprError { hint: Some(hint.into()), ..self.problem(at, message) }
    }

    /// An error of the SQL, told at the piece it comes from.
    fn told_in_json(&self, e: ExprError) -> ExprError {
        let (_, at) = self
            .pieces
            .iter()
            .find(|(range, _)| range.contains(&e.offset) && e.len <= range.len())
            .or(self.pieces.last())
            .expect("the rule as a whole is a piece");
        self.of_sql(at, e)
    }

    fn of_sql(&self, at: &At<'_>, e: ExprError) -> ExprError {
        ExprError { hint: e.hint, ..self.problem(at, e.message) }
    }

    fn node(&mut self, at: At<'a>) -> Result<(), ExprError> {
        // SQL has this limit too; here it keeps the stack small.
        if self.depth == EXPR_DEPTH_MAX {
            return Err(self.problem(&at, format!("the rule nests deeper than {EXPR_DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let start = self.sql.len();
        let node = self.members(at)?;
        let at = node.at.clone();
        let has = |key: &str| node.find(key).is_some();
        let kinds = [has("logic") || has("conditions"), has("tag_code"), has("aggregate"), has("segment"), has(SQL)];
        match kinds {
            [true, false, false, false, false] => self.group(&node)?,
            [false, true, false, false, false] => self.tag_leaf(&node)?,
            [false, false, true, false, false] => self.aggregate_leaf(&node)?,
            [false, false, false, true, false] => self.segment_leaf(&node)?,
            [false, false, false, false, true] => self.sql_leaf(&node)?,
            [false, false, false, false, false] => {
                return Err(self.problem(&at, "it needs `tag_code` and `op`, or `logic` and `conditions`"));
            }
            [true, true, ..] => {
                return Err(self.problem(&at, "either `logic` and `conditions`, or `tag_code` and `op`"));
            }
            _ => {
                let message = "one of `logic`, `tag_code`, `aggregate`, `segment` and `sql`, not several";
                return Err(self.problem(&at, message));
            }
        }
        self.depth -= 1;
        self.pieces.push((start..self.sql.len(), at));
        Ok(())
    }

    fn members(&self, at: At<'a>) -> Result<Node<'a>, ExprError> {
        if at.kind() != "an object" {
            return Err(self.problem(&at, format!("a condition is an object, not {}", at.kind())));
        }
        let members: Members<'a> = self.decode(&at)?;
        let mut seen: Vec<(String, &RawValue)> = Vec::with_capacity(members.0.len());
        for (key, raw) in members.0 {
            let place = at.key(&shown(&key), raw);
            if !KEYS.contains(&&*key) && key != SQL {
                let problem = self.problem(&place, "unknown key");
                let meant = nearest(&key, KEYS);
                return Err(ExprError { hint: meant.map(|meant| format!("did you mean {meant}?")), ..problem });
            }
            if seen.iter().any(|(other, _)| *other == key) {
                return Err(self.problem(&place, "the key is there twice"));
            }
            seen.push((key, raw));
        }
        Ok(Node { at, members: seen })
    }

    fn decode<T: Deserialize<'a>>(&self, at: &At<'a>) -> Result<T, ExprError> {
        serde_json::from_str(at.raw.get()).map_err(|e| {
            let what = e.to_string();
            self.problem(at, what.split(" at line ").next().unwrap_or(&what))
        })
    }

    fn need(&self, node: &Node<'a>, key: &str) -> Result<At<'a>, ExprError> {
        node.find(key).ok_or_else(|| self.problem(&node.at, format!("it needs `{key}`")))
    }

    fn text(&self, at: &At<'a>, what: &str) -> Result<String, ExprError> {
        match at.kind() {
            "a string" => self.decode(at),
            kind => Err(self.problem(at, format!("{what} is a string, not {kind}"))),
        }
    }

    fn list(&self, at: &At<'a>, what: &str) -> Result<Vec<At<'a>>, ExprError> {
        if at.kind() != "a list" {
            return Err(self.problem(at, format!("{what}, not {}", at.kind())));
        }
        let items: Vec<&'a RawValue> = self.decode(at)?;
        Ok(items.into_iter().enumerate().map(|(i, raw)| at.item(i, raw)).collect())
    }

    fn only(&self, node: &Node<'a>, keys: &[&str], of: &str) -> Result<(), ExprError> {
        match node.members.iter().find(|(key, _)| !keys.contains(&&**key)) {
            Some((key, raw)) => Err(self.problem(&node.at.key(key, raw), format!("{of} takes no `{key}`"))),
            None => Ok(()),
        }
    }

    fn group(&mut self, node: &Node<'a>) -> Result<(), ExprError> {
        self.only(node, &["logic", "conditions"], "a group")?;
        let logic_at = self.need(node, "logic")?;
        let logic = self.text(&logic_at, "logic")?.to_uppercase();
        if !["AND", "OR", "NOT"].contains(&&*logic) {
            let message = format!("not a logic: {}", shown(&logic));
            return Err(self.hinted(&logic_at, message, "logic is AND, OR or NOT"));
        }
        let at = self.need(node, "conditions")?;
        let conditions = self.list(&at, "conditions are a list")?;
        if conditions.is_empty() {
            return Err(self.problem(&at, "at least one condition is needed"));
        }
        if logic == "NOT" && conditions.len() > 1 {
            let hint = "say with an AND or an OR inside how they belong together";
            return Err(self.hinted(&at, format!("NOT takes one condition, not {}", conditions.len()), hint));
        }
        self.sql.push_str(if logic == "NOT" { "NOT (" } else { "(" });
        for (i, condition) in conditions.into_iter().enumerate() {
            if i > 0 {
                self.sql.push_str(&format!(" {logic} "));
            }
            self.node(condition)?;
        }
        self.sql.push(')');
        Ok(())
    }
}

/// The members of an object in their order, repeated ones too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        d.deserialize_map(InOrder)
    }
}
