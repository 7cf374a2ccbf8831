//! Canonical text: one way to write each expression, so that equal ones have equal text.
//!
//! Parsing it gives the same expression, and from that the same text again.

use super::is_plain_name;
use super::node::{Literal, Node, Operator, What};
use crate::time::{self, Millis, show_span};
use crate::value::Type;
use std::fmt::Write;

pub(crate) fn text(node: &Node) -> String {
    let mut out = Out { text: String::new(), ago: false };
    write(node, &mut out);
    out.text
}

/// The same for people: `as_of() - 604800000` is `ago('7d')`. It is read back as the same expression too.
pub(crate) fn readable(node: &Node) -> String {
    let mut out = Out { text: String::new(), ago: true };
    write(node, &mut out);
    out.text
}

/// The span before `as_of()` that a node means, where it is written as one.
pub(crate) fn ago(node: &Node) -> Option<Millis> {
    match &node.what {
        What::Arithmetic(Operator::Sub, a, b) => match (&a.what, &b.what) {
            (What::AsOf, What::Literal(Literal::Int(span))) if *span > 0 => Some(*span),
            _ => None,
        },
        _ => None,
    }
}

/// The text so far.
struct Out {
    text: String,
    /// Whether spans before `as_of()` are written as such.
    ago: bool,
}

impl Out {
    fn push(&mut self, c: char) {
        self.text.push(c);
    }

    fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

impl Write for Out {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.text.write_str(text)
    }
}

fn write(node: &Node, out: &mut Out) {
    if let Some(span) = ago(node).filter(|_| out.ago) {
        let _ = write!(out, "ago('{}')", show_span(span));
        return;
    }
    match &node.what {
        What::Literal(literal) => write_literal(literal, out),
        What::Slot { measure: Some(measure), .. } => out.push_str(&measure.sql()),
        What::Slot { name, .. } => write_name(name, out),
        What::Segment { code, .. } => {
            out.push_str("in_segment(");
            quoted(code, '\'', out);
            out.push(')');
        }
        What::AsOf => out.push_str("as_of()"),
        What::Compare(comparison, a, b) => infix(a, comparison.symbol(), b, out),
        What::Arithmetic(operator, a, b) => infix(a, operator.symbol(), b, out),
        What::And(parts) => joined(parts, " AND ", out),
        What::Or(parts) => joined(parts, " OR ", out),
        What::Not(node) => prefix("NOT ", node, out),
        What::Negate(node) => prefix("-", node, out),
        What::IsNull { node, negated } => postfix(node, if *negated { " IS NOT NULL" } else { " IS NULL" }, out),
        What::IsBool { node, value, negated } => {
            let value = if *value { "TRUE" } else { "FALSE" };
            postfix(node, &format!(" IS {}{value}", not(*negated)), out);
        }
        What::In { node, list, negated } => {
            postfix(node, &format!(" {}IN (", not(*negated)), out);
            comma_separated(list, out);
            out.push(')');
        }
        What::Between { node, low, high, negated } => {
            postfix(node, &format!(" {}BETWEEN ", not(*negated)), out);
            infix(low, "AND", high, out);
        }
        What::Like { node, pattern, escape, negated, .. } => {
            postfix(node, &format!(" {}LIKE ", not(*negated)), out);
            operand(pattern, out);
            if let Some(c) = escape {
                out.push_str(" ESCAPE ");
                quoted(&c.to_string(), '\'', out);
            }
        }
        What::Case { operand, branches, otherwise } => {
            write_case(operand.as_deref(), branches, otherwise.as_deref(), out);
        }
        What::Call { function, args } => {
            out.push_str(function.name);
            out.push('(');
            comma_separated(args, out);
            out.push(')');
        }
        What::Cast { node: inner, implicit: true } => write(inner, out),
        What::Cast { node: inner, implicit: false } => {
            out.push_str("CAST(");
            write(inner, out);
            let ty = node.ty.map_or("VARCHAR", type_name);
            let _ = write!(out, " AS {ty})");
        }
    }
}

/// The name of a type in SQL.
pub(crate) fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "BOOLEAN",
        Type::Int => "BIGINT",
        Type::Decimal => "DECIMAL",
        Type::Double => "DOUBLE",
        Type::String => "VARCHAR",
        Type::Datetime => "TIMESTAMP",
        Type::List(_) | Type::Map(_) => "JSON",
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// Whether the node stands beside an operator without parentheses.
fn is_atom(node: &Node) -> bool {
    match &node.what {
        What::Cast { node, implicit: true } => is_atom(node),
        What::Literal(_)
        | What::Slot { .. }
        | What::Segment { .. }
        | What::AsOf
        | What::Case { .. }
        | What::Call { .. }
        | What::Cast { .. } => true,
        _ => false,
    }
}

fn operand(node: &Node, out: &mut Out) {
    if is_atom(node) || out.ago && ago(node).is_some() {
        return write(node, out);
    }
    out.push('(');
    write(node, out);
    out.push(')');
}

fn infix(a: &Node, symbol: &str, b: &Node, out: &mut Out) {
    operand(a, out);
    let _ = write!(out, " {symbol} ");
    operand(b, out);
}

fn prefix(symbol: &str, node: &Node, out: &mut Out) {
    out.push_str(symbol);
    // `--` would begin a comment, and `-5` is a literal already.
    if symbol == "-" && matches!(node.what, What::Literal(_)) {
        out.push('(');
        write(node, out);
        return out.push(')');
    }
    operand(node, out);
}

fn postfix(node: &Node, symbol: &str, out: &mut Out) {
    operand(node, out);
    out.push_str(symbol);
}

fn joined(parts: &[Node], separator: &str, out: &mut Out) {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        operand(part, out);
    }
}

fn comma_separated(nodes: &[Node], out: &mut Out) {
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write(node, out);
    }
}

fn write_case(operand: Option<&Node>, branches: &[(Node, Node)], otherwise: Option<&Node>, out: &mut Out) {
    out.push_str("CASE");
    let word = |word: &str, node: &Node, out: &mut Out| {
        out.push_str(word);
        write(node, out);
    };
    if let Some(operand) = operand {
        word(" ", operand, out);
    }
    for (when, then) in branches {
        word(" WHEN ", when, out);
        word(" THEN ", then, out);
    }
    if let Some(otherwise) = otherwise {
        word(" ELSE ", otherwise, out);
    }
    out.push_str(" END");
}

fn write_literal(literal: &Literal, out: &mut Out) {
    let _ = match literal {
        Literal::Null => write!(out, "NULL"),
        Literal::Bool(b) => write!(out, "{}", if *b { "TRUE" } else { "FALSE" }),
        Literal::Int(n) => write!(out, "{n}"),
        // The point keeps a whole decimal from being read as an int.
        Literal::Decimal(d) if d.0 % crate::money::SCALE == 0 => write!(out, "{d}.0"),
        Literal::Decimal(d) => write!(out, "{d}"),
        Literal::Double(x) => write!(out, "{x:e}"),
        Literal::Time(t) => write!(out, "TIMESTAMP '{}'", time::show(*t)),
        Literal::Str(s) => {
            quoted(s, '\'', out);
            Ok(())
        }
    };
}

fn write_name(name: &str, out: &mut Out) {
    if name.split('.').all(is_plain_name) {
        out.push_str(name);
    } else {
        quoted(name, '"', out);
    }
}

fn quoted(text: &str, quote: char, out: &mut Out) {
    out.push(quote);
    for c in text.chars() {
        if c == quote {
            out.push(quote);
        }
        out.push(c);
    }
    out.push(quote);
}
