//! A condition written in the JSON form.
//!
//! Law: `read(write(node))` is the same expression.

use crate::expr::canonical::{ago, readable};
use crate::expr::node::{Comparison, Literal, Measure, Node, What};
use crate::ndjson::push_str;
use crate::time::{self, show_span};
use crate::value::Type;

/// The condition as one line of JSON.
pub fn write(node: &Node) -> String {
    let mut out = Vec::new();
    condition(node, &mut out);
    String::from_utf8(out).expect("made of texts")
}

fn condition(node: &Node, out: &mut Vec<u8>) {
    match &node.what {
        What::And(parts) => group("AND", parts.iter(), out),
        What::Or(parts) => group("OR", parts.iter(), out),
        What::Not(inner) => group("NOT", std::iter::once(&**inner), out),
        What::Segment { code, .. } => pair("segment", code, out),
        _ => {
            if !leaf(node, out) {
                pair("sql", &readable(node), out);
            }
        }
    }
}

fn group<'n>(logic: &str, parts: impl Iterator<Item = &'n Node>, out: &mut Vec<u8>) {
    push(out, &format!("{{\"logic\":\"{logic}\",\"conditions\":["));
    for (i, part) in parts.enumerate() {
        push(out, if i > 0 { "," } else { "" });
        condition(part, out);
    }
    push(out, "]}");
}

/// `{"name":"text"}`
fn pair(name: &str, text: &str, out: &mut Vec<u8>) {
    push(out, &format!("{{\"{name}\":"));
    push_str(out, text);
    out.push(b'}');
}

/// Writes a condition on one tag or one aggregation; `false` and nothing where it is none of the JSON form.
fn leaf(node: &Node, out: &mut Vec<u8>) -> bool {
    let Some((subject, op, value)) = parts(node) else { return false };
    out.push(b'{');
    match subject {
        Subject::Tag(code) => {
            push(out, "\"tag_code\":");
            push_str(out, code);
        }
        Subject::Measure(measure) => {
            push(out, "\"aggregate\":");
            push_str(out, &measure.call);
            for (key, text) in [("where", &measure.filter), ("window", &measure.window)] {
                if let Some(text) = text {
                    push(out, &format!(",\"{key}\":"));
                    push_str(out, text);
                }
            }
        }
    }
    push(out, &format!(",\"op\":\"{op}\""));
    if let Some(value) = value {
        push(out, ",\"value\":");
        push(out, &value);
    }
    out.push(b'}');
    true
}

enum Subject<'n> {
    Tag(&'n str),
    Measure(&'n Measure),
}

/// Subject, operator, value as JSON.
type Parts<'n> = (Subject<'n>, &'static str, Option<String>);

fn parts(node: &Node) -> Option<Parts<'_>> {
    Some(match &node.what {
        What::Compare(comparison, a, b) => {
            let (subject, ty) = subject(a)?;
            (subject, symbol(*comparison), Some(value(b, ty)?))
        }
        What::IsNull { node, negated } => (subject(node)?.0, if *negated { "IS NOT NULL" } else { "IS NULL" }, None),
        What::In { node, list, negated } => {
            let (subject, ty) = subject(node)?;
            let op = if *negated { "NOT IN" } else { "IN" };
            (subject, op, Some(values(list.iter(), ty)?))
        }
        What::Between { node, low, high, negated } => {
            let (subject, ty) = subject(node)?;
            let op = if *negated { "NOT BETWEEN" } else { "BETWEEN" };
            (subject, op, Some(values([&**low, &**high].into_iter(), ty)?))
        }
        What::Like { node, pattern, escape, negated, .. } => {
            let (subject, ty) = subject(node)?;
            let What::Literal(Literal::Str(text)) = &pattern.what else { return None };
            match escape {
                _ if ty != Type::String => return None,
                None => (subject, if *negated { "NOT LIKE" } else { "LIKE" }, Some(quoted(text))),
                Some('!') => (subject, if *negated { "NOT CONTAINS" } else { "CONTAINS" }, Some(quoted(&part(text)?))),
                Some(_) => return None,
            }
        }
        What::Call { function, args } if function.name == "CONTAINS" => {
            let (subject, Type::List(item)) = subject(&args[0])? else { return None };
            (subject, "CONTAINS", Some(value(&args[1], *item)?))
        }
        _ => return None,
    })
}

fn subject(node: &Node) -> Option<(Subject<'_>, Type)> {
    match &node.what {
        What::Slot { measure: Some(measure), .. } => Some((Subject::Measure(measure), node.ty?)),
        What::Slot { name, .. } => Some((Subject::Tag(name), node.ty?)),
        _ => None,
    }
}

fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Ne => "!=",
        other => other.symbol(),
    }
}

fn values<'n>(nodes: impl Iterator<Item = &'n Node>, ty: Type) -> Option<String> {
    let values: Vec<String> = nodes.map(|node| value(node, ty)).collect::<Option<_>>()?;
    Some(format!("[{}]", values.join(",")))
}

/// A constant as the JSON that is read as it beside a value of type `ty`; `None` where there is none.
fn value(node: &Node, ty: Type) -> Option<String> {
    if let Some(span) = ago(node) {
        return (ty == Type::Datetime).then(|| format!("{{\"ago\":\"{}\"}}", show_span(span)));
    }
    let What::Literal(literal) = &node.what else { return None };
    Some(match (ty, literal) {
        (Type::String, Literal::Str(text)) => quoted(text),
        (Type::Bool, Literal::Bool(b)) => b.to_string(),
        (Type::Datetime, Literal::Time(t)) => format!("\"{}\"", time::show(*t)),
        (Type::Int | Type::Decimal | Type::Double | Type::Datetime, Literal::Int(n)) => n.to_string(),
        // Beside a double a number with a point is read as a double, and this is none.
        (Type::Int | Type::Decimal, Literal::Decimal(d)) => {
            let text = d.to_string();
            if text.contains('.') { text } else { format!("{text}.0") }
        }
        (Type::Int | Type::Decimal | Type::Double, Literal::Double(x)) => format!("{x:e}"),
        _ => return None,
    })
}

/// The text that `%text%` looks for, where `!` stands before what is not special.
fn part(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = pattern.strip_prefix('%')?.strip_suffix('%')?.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' | '_' => return None,
            '!' => match chars.next()? {
                c @ ('!' | '%' | '_') => out.push(c),
                _ => return None,
            },
            c => out.push(c),
        }
    }
    Some(out)
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    push_str(&mut out, text);
    String::from_utf8(out).expect("made of a text")
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
