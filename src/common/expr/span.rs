//! Spans of time in expressions: `INTERVAL '7' DAY`, and `ago('7d')` for `as_of() - INTERVAL '7' DAY`.
//!
//! A span is an int of milliseconds. Months and years are no spans: they are not of one length.

use super::lower::{At, Lower, Lowered};
use super::node::{Literal, Node, Operator, What};
use super::{ExprError, source};
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND, parse_span};
use crate::value::Type;
use sqlparser::ast::{self, DateTimeField, Expr as Sql};

const HOW: &str = "write INTERVAL '7' DAY; units are SECOND, MINUTE, HOUR, DAY and WEEK";

impl Lower<'_, '_> {
    /// Milliseconds of an interval.
    pub(super) fn interval(&self, interval: &ast::Interval, at: At) -> Result<Millis, ExprError> {
        let wrong = |what: &str| self.hinted(at, format!("not an interval: {what}"), HOW);
        let text = source::constant_text(&interval.value).ok_or_else(|| wrong("its length is a number or a text"))?;
        if interval.last_field.is_some() || interval.leading_precision.is_some() {
            return Err(wrong(&interval.to_string()));
        }
        let (number, unit) = match &interval.leading_field {
            Some(field) => (text.trim(), unit(field)),
            None => {
                let (number, word) = text.trim().split_once(' ').ok_or_else(|| wrong(&format!("'{text}'")))?;
                (number, named(word.trim()))
            }
        };
        let unit = unit.ok_or_else(|| wrong("months and years are not of one length"))?;
        let number: i64 = number.parse().map_err(|_| wrong(&format!("'{text}'")))?;
        number.checked_mul(unit).ok_or_else(|| wrong("it is too long"))
    }

    /// `ago('7d')`: the instant so long before `as_of()`.
    pub(super) fn ago(&mut self, args: &[Sql], at: At) -> Lowered {
        let how = "write ago('7d'); units are s, m, h, d and w";
        let text = match args {
            [arg] => source::constant_text(arg),
            _ => None,
        };
        let Some(text) = text else {
            return Err(self.hinted(at, "`ago` takes one span of time", how));
        };
        let span = parse_span(text).map_err(|_| self.hinted(at, format!("not a span: {text:?}"), how))?;
        let [now, span] = [Node::of(What::AsOf, Type::Datetime), Node::literal(Literal::Int(span))].map(Box::new);
        Ok(Node::of(What::Arithmetic(Operator::Sub, now, span), Type::Datetime))
    }
}

fn unit(field: &DateTimeField) -> Option<Millis> {
    Some(match field {
        DateTimeField::Second | DateTimeField::Seconds => SECOND,
        DateTimeField::Minute | DateTimeField::Minutes => MINUTE,
        DateTimeField::Hour | DateTimeField::Hours => HOUR,
        DateTimeField::Day | DateTimeField::Days => DAY,
        DateTimeField::Week(None) | DateTimeField::Weeks => 7 * DAY,
        _ => return None,
    })
}

/// The unit of `INTERVAL '7 days'`.
fn named(word: &str) -> Option<Millis> {
    let word = word.to_ascii_lowercase();
    Some(match word.strip_suffix('s').unwrap_or(&word) {
        "second" => SECOND,
        "minute" => MINUTE,
        "hour" => HOUR,
        "day" => DAY,
        "week" => 7 * DAY,
        _ => return None,
    })
}
