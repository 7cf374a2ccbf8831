//! Constants: what a function takes besides a value of the event, checked when the definition is read.

use crate::money::{Decimal, SCALE};
use crate::time::{Millis, parse_span};
use crate::value::Value;
use std::fmt;

/// An argument that is the same for every event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Constant {
    /// A whole number from 1 to `most`.
    Count { name: &'static str, most: i64 },
    /// A number from 0 to 1.
    Share,
    /// A span of time that eight steps divide into whole milliseconds.
    HalfLife,
}

/// Steps in a half-life.
pub(super) const STEPS: i64 = 8;
/// A hundred years: beyond it nothing decays.
const HALF_LIFE_MAX: Millis = 36_525 * crate::time::DAY;

impl Constant {
    /// The constant as a whole number: a count, millionths, milliseconds. The error says what is wrong, and what to do.
    pub fn read(self, value: Option<&Value>) -> Result<i64, (String, &'static str)> {
        match self {
            Constant::Count { name, most } => match value {
                Some(Value::Int(n)) if (1..=most).contains(n) => Ok(*n),
                Some(Value::Int(n)) => Err((format!("`{name}` is from 1 to {most}, not {n}"), "")),
                other => Err((format!("`{name}` is a whole number from 1 to {most}, not {}", shown(other)), "")),
            },
            Constant::Share => {
                let share = match value {
                    Some(Value::Int(n)) => Some(Decimal::from_int(*n)),
                    Some(Value::Decimal(d)) => Some(*d),
                    Some(Value::Double(x)) => Decimal::from_f64(*x),
                    _ => None,
                };
                match share {
                    Some(p) if (Decimal::ZERO..=Decimal(SCALE)).contains(&p) => Ok(p.0 as i64),
                    _ => Err((format!("`p` is a number from 0 to 1, not {}", shown(value)), "the median is 0.5")),
                }
            }
            Constant::HalfLife => {
                let hint = "write a span such as '7d', '12h' or '90s'";
                let Some(Value::Str(text)) = value else {
                    return Err((format!("a half-life is a span of time, not {}", shown(value)), hint));
                };
                match parse_span(text) {
                    Err(why) => Err((why, hint)),
                    Ok(span) if span > HALF_LIFE_MAX => Err((format!("a half-life of {text} is over 100 years"), hint)),
                    Ok(span) if span % STEPS != 0 => Err((
                        format!("a half-life of {text} does not divide into {STEPS} steps of whole milliseconds"),
                        "a whole number of seconds does",
                    )),
                    Ok(span) => Ok(span),
                }
            }
        }
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Constant::Count { name, .. } => return write!(f, "`{name}`"),
            Constant::Share => "`p`",
            Constant::HalfLife => "a half-life",
        })
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "NULL".to_string(),
        Some(Value::Str(text)) => format!("'{text}'"),
        Some(other) => other.to_string(),
    }
}
