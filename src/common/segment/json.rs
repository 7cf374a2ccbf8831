//! The JSON form of a rule, written out as SQL.
//!
//! Every piece of the SQL knows the piece of JSON it comes from, so that whatever is wrong is told with the path and
//! the place in the text the user wrote. Numbers go over digit by digit, never through a double.

use super::{Rule, parse};
use crate::expr::{ExprError, is_reserved, nearest};
use crate::limits::EXPR_DEPTH_MAX;
use crate::ndjson::shown;
use crate::tag::{Definitions, Problem, Tag};
use crate::value::Type;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

const KEYS: [&str; 5] = ["logic", "conditions", "tag_code", "op", "value"];

/// What an operator takes as its value, and its SQL.
#[derive(Clone, Copy)]
enum Takes {
    One(&'static str),
    Two(&'static str),
    Several(&'static str),
    Text(&'static str),
    /// A part of a string, in which nothing is special.
    Part,
    Nothing(&'static str),
}

const OPERATORS: [(&str, Takes); 15] = [
    ("=", Takes::One("=")),
    ("!=", Takes::One("<>")),
    ("<>", Takes::One("<>")),
    (">", Takes::One(">")),
    (">=", Takes::One(">=")),
    ("<", Takes::One("<")),
    ("<=", Takes::One("<=")),
    ("BETWEEN", Takes::Two("BETWEEN")),
    ("IN", Takes::Several("IN")),
    ("NOT IN", Takes::Several("NOT IN")),
    ("LIKE", Takes::Text("LIKE")),
    ("NOT LIKE", Takes::Text("NOT LIKE")),
    ("CONTAINS", Takes::Part),
    ("IS NULL", Takes::Nothing("IS NULL")),
    ("IS NOT NULL", Takes::Nothing("IS NOT NULL")),
];

pub(super) fn read(text: &str, source: &str, definitions: &Definitions) -> Result<Rule, Problem> {
    let root: &RawValue = serde_json::from_str(text).map_err(|e| no_json(text, source, &e))?;
    let mut writer = Writer { text, source, definitions, sql: String::new(), pieces: Vec::new(), depth: 0 };
    writer.node(At { raw: root, path: String::new() })?;
    parse(&writer.sql, definitions).map_err(|e| writer.told_in_json(e))
}

fn no_json(text: &str, source: &str, e: &serde_json::Error) -> Problem {
    let line_start: usize = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
    let at = (line_start + e.column().saturating_sub(1)).min(text.len());
    let what = e.to_string();
    let what = what.split(" at line ").next().unwrap_or(&what);
    Problem::new(source, text, at..at + 1, format!("not JSON: {what}"))
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

struct Writer<'a> {
    text: &'a str,
    source: &'a str,
    definitions: &'a Definitions,
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

impl<'a> Writer<'a> {
    fn problem(&self, at: &At<'_>, message: impl fmt::Display) -> Problem {
        // Raw values are slices of the text: their distance from its start is their place.
        let start = (at.raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let message = if at.path.is_empty() { message.to_string() } else { format!("{}: {message}", at.path) };
        Problem::new(self.source, self.text, start..start + at.raw.get().len(), message)
    }

    fn hinted(&self, at: &At<'_>, message: impl fmt::Display, hint: impl Into<String>) -> Problem {
        Problem { hint: Some(hint.into()), ..self.problem(at, message) }
    }

    /// An error of the SQL, told at the piece it comes from.
    fn told_in_json(&self, e: ExprError) -> Problem {
        let (_, at) = self
            .pieces
            .iter()
            .find(|(range, _)| range.contains(&e.offset) && e.len <= range.len())
            .or(self.pieces.last())
            .expect("the rule as a whole is a piece");
        Problem { hint: e.hint, ..self.problem(at, e.message) }
    }

    fn node(&mut self, at: At<'a>) -> Result<(), Problem> {
        // SQL has this limit too; here it keeps the stack small.
        if self.depth == EXPR_DEPTH_MAX {
            return Err(self.problem(&at, format!("the rule nests deeper than {EXPR_DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let start = self.sql.len();
        let node = self.members(at)?;
        let at = node.at.clone();
        match (node.find("logic").is_some() || node.find("conditions").is_some(), node.find("tag_code").is_some()) {
            (true, false) => self.group(&node)?,
            (false, true) => self.leaf(&node)?,
            (true, true) => return Err(self.problem(&at, "either `logic` and `conditions`, or `tag_code` and `op`")),
            (false, false) => {
                return Err(self.problem(&at, "it needs `tag_code` and `op`, or `logic` and `conditions`"));
            }
        }
        self.depth -= 1;
        self.pieces.push((start..self.sql.len(), at));
        Ok(())
    }

    fn members(&self, at: At<'a>) -> Result<Node<'a>, Problem> {
        if at.kind() != "an object" {
            return Err(self.problem(&at, format!("a condition is an object, not {}", at.kind())));
        }
        let members: Members<'a> = self.decode(&at)?;
        let mut seen: Vec<(String, &RawValue)> = Vec::with_capacity(members.0.len());
        for (key, raw) in members.0 {
            let place = at.key(&shown(&key), raw);
            if !KEYS.contains(&&*key) {
                let problem = self.problem(&place, "unknown key");
                let meant = nearest(&key, KEYS);
                return Err(Problem { hint: meant.map(|meant| format!("did you mean {meant}?")), ..problem });
            }
            if seen.iter().any(|(other, _)| *other == key) {
                return Err(self.problem(&place, "the key is there twice"));
            }
            seen.push((key, raw));
        }
        Ok(Node { at, members: seen })
    }

    fn decode<T: Deserialize<'a>>(&self, at: &At<'a>) -> Result<T, Problem> {
        serde_json::from_str(at.raw.get()).map_err(|e| {
            let what = e.to_string();
            self.problem(at, what.split(" at line ").next().unwrap_or(&what))
        })
    }

    fn need(&self, node: &Node<'a>, key: &str) -> Result<At<'a>, Problem> {
        node.find(key).ok_or_else(|| self.problem(&node.at, format!("it needs `{key}`")))
    }

    fn text(&self, at: &At<'a>, what: &str) -> Result<String, Problem> {
        match at.kind() {
            "a string" => self.decode(at),
            kind => Err(self.problem(at, format!("{what} is a string, not {kind}"))),
        }
    }

    fn list(&self, at: &At<'a>, what: &str) -> Result<Vec<At<'a>>, Problem> {
        if at.kind() != "a list" {
            return Err(self.problem(at, format!("{what}, not {}", at.kind())));
        }
        let items: Vec<&'a RawValue> = self.decode(at)?;
        Ok(items.into_iter().enumerate().map(|(i, raw)| at.item(i, raw)).collect())
    }

    fn only(&self, node: &Node<'a>, keys: &[&str], of: &str) -> Result<(), Problem> {
        match node.members.iter().find(|(key, _)| !keys.contains(&&**key)) {
            Some((key, raw)) => Err(self.problem(&node.at.key(key, raw), format!("{of} takes no `{key}`"))),
            None => Ok(()),
        }
    }

    fn group(&mut self, node: &Node<'a>) -> Result<(), Problem> {
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

    fn leaf(&mut self, node: &Node<'a>) -> Result<(), Problem> {
        let tag = self.tag(node)?;
        let op_at = self.need(node, "op")?;
        let op = self.text(&op_at, "op")?;
        let op = op.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
        let Some((name, takes)) = OPERATORS.iter().find(|(name, _)| *name == op) else {
            let problem = self.problem(&op_at, format!("unknown operator: {}", shown(&op)));
            let known = OPERATORS.iter().map(|(name, _)| *name);
            let hint = match nearest(&op, known.clone()) {
                // Any sign is near any other.
                Some(meant) if op.len() > 1 => format!("did you mean {meant}?"),
                _ => format!("operators are {}", known.collect::<Vec<_>>().join(", ")),
            };
            return Err(Problem { hint: Some(hint), ..problem });
        };
        if let (Takes::Part, Type::List(item)) = (takes, tag.ty) {
            return self.contains(node, *item);
        }
        if tag.ty.is_nested() && !matches!(takes, Takes::Nothing(_)) {
            let hint = "a list takes CONTAINS; lists and maps take IS NULL and IS NOT NULL";
            let message = format!("{name} is for single values, and `{}` is {}", tag.code, a(tag.ty));
            return Err(self.hinted(&op_at, message, hint));
        }
        if matches!(takes, Takes::Text(_) | Takes::Part) && tag.ty != Type::String {
            return Err(self.problem(&op_at, format!("{name} is for strings, and `{}` is {}", tag.code, a(tag.ty))));
        }
        if let Takes::Nothing(sql) = takes {
            self.only(node, &["tag_code", "op"], name)?;
            self.sql.push_str(&format!(" {sql}"));
            return Ok(());
        }
        let value = self.need(node, "value")?;
        self.operand(*takes, name, tag, &value)
    }

    /// `contains(tag, value)`, for a list: its code has just been written.
    fn contains(&mut self, node: &Node<'a>, item: Type) -> Result<(), Problem> {
        let value = self.need(node, "value")?;
        let (range, _) = self.pieces.last_mut().expect("the code is a piece");
        self.sql.insert_str(range.start, "contains(");
        *range = range.start + "contains(".len()..range.end + "contains(".len();
        self.sql.push_str(", ");
        self.literal("an item", item, &value)?;
        self.sql.push(')');
        Ok(())
    }

    fn tag(&mut self, node: &Node<'a>) -> Result<&'a Tag, Problem> {
        let at = self.need(node, "tag_code")?;
        let code = self.text(&at, "a code")?;
        match self.definitions.select([&code]) {
            Ok(places) => {
                let start = self.sql.len();
                self.sql.push_str(&name(&code));
                self.pieces.push((start..self.sql.len(), at));
                Ok(&self.definitions.tags[places[0]])
            }
            Err(unknown) => {
                Err(Problem { hint: unknown.hint(), ..self.problem(&at, format!("unknown tag: {}", shown(&code))) })
            }
        }
    }

    fn operand(&mut self, takes: Takes, name: &str, tag: &'a Tag, value: &At<'a>) -> Result<(), Problem> {
        let of = format!("`{}`", tag.code);
        match takes {
            Takes::One(sql) | Takes::Text(sql) => {
                self.sql.push_str(&format!(" {sql} "));
                self.literal(&of, tag.ty, value)
            }
            Takes::Two(sql) => {
                let items = self.list(value, &format!("{name} takes [low, high]"))?;
                let [low, high] = &items[..] else {
                    return Err(self.problem(value, format!("{name} takes [low, high], not {} values", items.len())));
                };
                self.sql.push_str(&format!(" {sql} "));
                self.literal(&of, tag.ty, low)?;
                self.sql.push_str(" AND ");
                self.literal(&of, tag.ty, high)
            }
            Takes::Several(sql) => {
                let items = self.list(value, &format!("{name} takes a list"))?;
                if items.is_empty() {
                    return Err(self.problem(value, format!("{name} takes at least one value")));
                }
                self.sql.push_str(&format!(" {sql} ("));
                for (i, item) in items.iter().enumerate() {
                    self.sql.push_str(if i > 0 { ", " } else { "" });
                    self.literal(&of, tag.ty, item)?;
                }
                self.sql.push(')');
                Ok(())
            }
            Takes::Part => {
                let part = self.text(value, &format!("what {name} takes"))?;
                let part = part.replace('!', "!!").replace('%', "!%").replace('_', "!_");
                self.sql.push_str(&format!(" LIKE {} ESCAPE '!'", quoted(&format!("%{part}%"))));
                Ok(())
            }
            Takes::Nothing(_) => Ok(()),
        }
    }

    /// One value as a literal of the type of what it is compared with.
    fn literal(&mut self, of: &str, ty: Type, at: &At<'a>) -> Result<(), Problem> {
        let raw = at.raw.get();
        let literal = match (at.kind(), ty) {
            ("a string", Type::String) => quoted(&self.decode::<String>(at)?),
            ("a string", Type::Datetime) => format!("TIMESTAMP {}", quoted(&self.decode::<String>(at)?)),
            ("a bool", Type::Bool) | ("a number", Type::Int | Type::Decimal | Type::Datetime) => raw.to_string(),
            // A double is compared as one, with all its places.
            ("a number", Type::Double) if raw.contains('.') && !raw.contains(['e', 'E']) => format!("{raw}e0"),
            ("a number", Type::Double) => raw.to_string(),
            ("null", _) => {
                let hint = "a missing value is tested with the operator IS NULL";
                return Err(self.hinted(at, "null compares with nothing", hint));
            }
            (kind, ty) => {
                return Err(self.problem(at, format!("{of} is {} and takes {}, not {kind}", a(ty), takes(ty))));
            }
        };
        let start = self.sql.len();
        self.sql.push_str(&literal);
        self.pieces.push((start..self.sql.len(), at.clone()));
        Ok(())
    }
}

/// The type with its article.
fn a(ty: Type) -> String {
    format!("{} {ty}", if ty == Type::Int { "an" } else { "a" })
}

fn takes(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "true or false",
        Type::Int | Type::Decimal | Type::Double => "a number",
        Type::String => "a string",
        Type::Datetime => "milliseconds or an RFC 3339 string",
        Type::List(_) | Type::Map(_) => "no single value",
    }
}

/// A tag's code as a name in SQL.
fn name(code: &str) -> String {
    let plain = code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !is_reserved(code);
    if plain { code.to_string() } else { format!("\"{}\"", code.replace('"', "\"\"")) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
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
