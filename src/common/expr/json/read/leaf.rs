//! Leaves of the JSON form: conditions on tags and aggregations, segments, and SQL.

use super::{At, Members, Node, SQL, Writer};
use crate::expr::json::{OPERATORS, Takes};
use crate::expr::{self, ExprError, is_plain_name, nearest};
use crate::ndjson::shown;
use crate::time::parse_span;
use crate::value::Type;

impl<'a> Writer<'a, '_> {
    pub(super) fn tag_leaf(&mut self, node: &Node<'a>) -> Result<(), ExprError> {
        self.only(node, &["tag_code", "op", "value"], "a condition on a tag")?;
        let (code, ty) = self.tag(node)?;
        self.compared(node, &Subject { name: format!("`{code}`"), ty, keys: &["tag_code", "op"] })
    }

    /// An aggregation, parsed piece by piece, so that none of them can end where another begins.
    pub(super) fn aggregate_leaf(&mut self, node: &Node<'a>) -> Result<(), ExprError> {
        self.only(node, &["aggregate", "where", "window", "op", "value"], "an aggregation")?;
        let start = self.sql.len();
        let at = self.need(node, "aggregate")?;
        let text = self.text(&at, "an aggregation")?;
        let none = self.problem(&at, "an aggregation has no place here");
        let Some(events) = self.names.events() else { return Err(none) };
        let call = expr::parse_aggregation(&text, events).map_err(|e| self.of_sql(&at, e))?;
        if !self.names.is_aggregation(&call.name) {
            return Err(self.problem(&at, format!("not an aggregation: {}", shown(&call.name))));
        }
        self.piece(&call.canonical(), &at);
        if let Some(at) = node.find("where") {
            let text = self.text(&at, "a condition on events")?;
            let Some(events) = self.names.events() else { return Err(none) };
            let filter = expr::parse(&text, events).map_err(|e| self.of_sql(&at, e))?;
            self.sql.push_str(" FILTER (WHERE ");
            self.piece(&filter.canonical(), &at);
            self.sql.push(')');
        }
        if let Some(at) = node.find("window") {
            let text = self.text(&at, "a window")?;
            self.sql.push_str(" OVER (RANGE ");
            self.piece(&quoted(&text), &at);
            self.sql.push_str(" PRECEDING)");
        }
        // It is read once more as a part of the whole: what it is kept as is the same.
        let sql = self.sql[start..].to_string();
        let read = match expr::parse(&sql, self.names) {
            Ok(read) => read,
            Err(e) => {
                let piece = self.pieces.iter().find(|(range, _)| range.contains(&(e.offset + start)));
                return Err(self.of_sql(piece.map_or(&node.at, |(_, at)| at), e));
            }
        };
        let keys = &["aggregate", "where", "window", "op"];
        self.compared(node, &Subject { name: format!("`{}`", call.canonical()), ty: read.ty, keys })
    }

    pub(super) fn segment_leaf(&mut self, node: &Node<'a>) -> Result<(), ExprError> {
        self.only(node, &["segment"], "a segment")?;
        let at = self.need(node, "segment")?;
        let code = self.text(&at, "a code")?;
        self.sql.push_str("in_segment(");
        self.piece(&quoted(&code), &at);
        self.sql.push(')');
        Ok(())
    }

    pub(super) fn sql_leaf(&mut self, node: &Node<'a>) -> Result<(), ExprError> {
        self.only(node, &[SQL], "a condition in SQL")?;
        let at = self.need(node, SQL)?;
        let text = self.text(&at, "a condition in SQL")?;
        let expr = expr::parse(&text, self.names).map_err(|e| self.of_sql(&at, e))?;
        // What is always NULL is a condition, too.
        if expr.ty != Type::Bool && expr.node.ty.is_some() {
            return Err(self.problem(&at, format!("a condition is true or false, not {}", expr.ty)));
        }
        self.sql.push('(');
        self.piece(&expr.canonical(), &at);
        self.sql.push(')');
        Ok(())
    }

    /// Appends SQL that comes from `at`.
    fn piece(&mut self, sql: &str, at: &At<'a>) {
        let start = self.sql.len();
        self.sql.push_str(sql);
        self.pieces.push((start..self.sql.len(), at.clone()));
    }

    /// The operator and the value of a condition whose subject has just been written.
    fn compared(&mut self, node: &Node<'a>, of: &Subject<'_>) -> Result<(), ExprError> {
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
            return Err(ExprError { hint: Some(hint), ..problem });
        };
        if let (Takes::Part | Takes::NoPart, Type::List(item)) = (takes, of.ty) {
            let call = if matches!(takes, Takes::Part) { "contains(" } else { "NOT contains(" };
            return self.contains(node, call, *item);
        }
        if of.ty.is_nested() && !matches!(takes, Takes::Nothing(_)) {
            let hint = "a list takes CONTAINS; lists and maps take IS NULL and IS NOT NULL";
            let message = format!("{name} is for single values, and {} is {}", of.name, a(of.ty));
            return Err(self.hinted(&op_at, message, hint));
        }
        if matches!(takes, Takes::Text(_) | Takes::Part | Takes::NoPart) && of.ty != Type::String {
            return Err(self.problem(&op_at, format!("{name} is for strings, and {} is {}", of.name, a(of.ty))));
        }
        if let Takes::Nothing(sql) = takes {
            self.only(node, of.keys, name)?;
            self.sql.push_str(&format!(" {sql}"));
            return Ok(());
        }
        let value = self.need(node, "value")?;
        self.operand(*takes, name, of, &value)
    }

    /// `contains(subject, value)`, for a list: the subject has just been written.
    fn contains(&mut self, node: &Node<'a>, call: &str, item: Type) -> Result<(), ExprError> {
        let value = self.need(node, "value")?;
        let subject = if node.find("aggregate").is_some() { "aggregate" } else { "tag_code" };
        let path = self.need(node, subject)?.path;
        let first = self.pieces.iter().rposition(|(_, at)| at.path == path).expect("the subject is a piece");
        let start = self.pieces[first].0.start;
        self.sql.insert_str(start, call);
        for (range, _) in &mut self.pieces[first..] {
            *range = range.start + call.len()..range.end + call.len();
        }
        self.sql.push_str(", ");
        self.literal("an item", item, &value)?;
        self.sql.push(')');
        Ok(())
    }

    /// Writes the name of the tag of a leaf; its code and type.
    fn tag(&mut self, node: &Node<'a>) -> Result<(String, Type), ExprError> {
        let at = self.need(node, "tag_code")?;
        let code = self.text(&at, "a code")?;
        let Some((_, ty)) = self.names.resolve(&code) else {
            let problem = self.problem(&at, format!("unknown {}: {}", self.names.noun(), shown(&code)));
            let known = self.names.known();
            let hint = nearest(&code, known.iter().map(String::as_str)).map(|meant| format!("did you mean {meant}?"));
            return Err(ExprError { hint: hint.or_else(|| self.names.unknown_name(&code)), ..problem });
        };
        self.piece(&name(&code), &at);
        Ok((code, ty))
    }

    fn operand(&mut self, takes: Takes, name: &str, subject: &Subject<'_>, value: &At<'a>) -> Result<(), ExprError> {
        let of = subject.name.as_str();
        match takes {
            Takes::One(sql) | Takes::Text(sql) => {
                self.sql.push_str(&format!(" {sql} "));
                self.literal(of, subject.ty, value)
            }
            Takes::Two(sql) => {
                let items = self.list(value, &format!("{name} takes [low, high]"))?;
                let [low, high] = &items[..] else {
                    return Err(self.problem(value, format!("{name} takes [low, high], not {} values", items.len())));
                };
                self.sql.push_str(&format!(" {sql} "));
                self.literal(of, subject.ty, low)?;
                self.sql.push_str(" AND ");
                self.literal(of, subject.ty, high)
            }
            Takes::Several(sql) => {
                let items = self.list(value, &format!("{name} takes a list"))?;
                if items.is_empty() {
                    return Err(self.problem(value, format!("{name} takes at least one value")));
                }
                self.sql.push_str(&format!(" {sql} ("));
                for (i, item) in items.iter().enumerate() {
                    self.sql.push_str(if i > 0 { ", " } else { "" });
                    self.literal(of, subject.ty, item)?;
                }
                self.sql.push(')');
                Ok(())
            }
            Takes::Part | Takes::NoPart => {
                let part = self.text(value, &format!("what {name} takes"))?;
                let like = if matches!(takes, Takes::Part) { "LIKE" } else { "NOT LIKE" };
                let part = part.replace('!', "!!").replace('%', "!%").replace('_', "!_");
                self.sql.push_str(&format!(" {like} {} ESCAPE '!'", quoted(&format!("%{part}%"))));
                Ok(())
            }
            Takes::Nothing(_) => Ok(()),
        }
    }

    /// One value as a literal of the type of what it is compared with.
    fn literal(&mut self, of: &str, ty: Type, at: &At<'a>) -> Result<(), ExprError> {
        let raw = at.raw.get();
        let literal = match (at.kind(), ty) {
            ("an object", Type::Datetime) => self.ago(at)?,
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
        self.piece(&literal, at);
        Ok(())
    }

    /// `{"ago":"7d"}`.
    fn ago(&self, at: &At<'a>) -> Result<String, ExprError> {
        let members: Members<'a> = self.decode(at)?;
        let [(key, raw)] = &members.0[..] else {
            return Err(self.problem(at, "a relative date is {\"ago\":\"7d\"}"));
        };
        let at = at.key(&shown(key), raw);
        if key != "ago" {
            return Err(self.hinted(&at, "unknown key", "a relative date is {\"ago\":\"7d\"}"));
        }
        let text = self.text(&at, "a span of time")?;
        parse_span(&text).map_err(|why| self.problem(&at, why))?;
        Ok(format!("ago({})", quoted(&text)))
    }
}

/// What a condition is on: its name in messages, its type, and the keys that it takes beside an operator alone.
struct Subject<'s> {
    name: String,
    ty: Type,
    keys: &'s [&'s str],
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
        Type::Datetime => "milliseconds, an RFC 3339 string or {\"ago\":\"7d\"}",
        Type::List(_) | Type::Map(_) => "no single value",
    }
}

/// A tag's code as a name in SQL.
fn name(code: &str) -> String {
    if is_plain_name(code) { code.to_string() } else { format!("\"{}\"", code.replace('"', "\"\"")) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
