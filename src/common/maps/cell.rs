//! Cells: one foreign value, and what an event's field makes of it.
//!
//! No value passes through a float: numbers stay the text they came as until they are exact.

use super::number::{Rounding, scaled};
use crate::event::raw_str;
use crate::money::{Decimal, DecimalError};
use crate::ndjson;
use jiff::{Timestamp, civil::DateTime, fmt::strtime, tz::TimeZone};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A foreign value that is there. A cell of CSV is always `Text`.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell<'a> {
    Text(Cow<'a, str>),
    /// A JSON number as it was written.
    Number(Cow<'a, str>),
    Bool(bool),
    /// An object or a list.
    Json(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    /// A JSON value; `None` for null.
    pub fn of(raw: &'a RawValue) -> Option<Cell<'a>> {
        let text = raw.get();
        Some(match text.as_bytes().first() {
            Some(b'n') => return None,
            Some(b't') => Cell::Bool(true),
            Some(b'f') => Cell::Bool(false),
            // A lone surrogate is no text; as it stands it goes on to the validator, which refuses it.
            Some(b'"') => raw_str(raw).map_or(Cell::Json(Cow::Borrowed(text)), Cell::Text),
            Some(b'{' | b'[') => Cell::Json(Cow::Borrowed(text)),
            _ => Cell::Number(Cow::Borrowed(text)),
        })
    }

    /// The value as text; an object or a list has none.
    pub fn text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) | Cell::Number(text) => Some(text),
            Cell::Bool(true) => Some("true"),
            Cell::Bool(false) => Some("false"),
            Cell::Json(_) => None,
        }
    }
}

/// What a field is converted to: the `as` of a map file.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// As it stands; text of CSV becomes a string.
    Any,
    String,
    Number,
    Bool,
    /// Exact, moved by `shift` places, then rounded to `places` when there are any.
    Decimal {
        places: Option<u32>,
        shift: i32,
    },
    /// A number that is 10^shift of a millisecond's count, as milliseconds.
    Instant {
        shift: i32,
    },
    /// ISO 8601, or in the form of `strptime`; `zone` where the text names none.
    Datetime {
        format: Option<String>,
        zone: TimeZone,
    },
}

impl Kind {
    /// The names that `as` takes.
    pub const NAMES: [&'static str; 10] =
        ["any", "string", "number", "bool", "decimal", "ms", "seconds", "micros", "nanos", "datetime"];

    pub fn from_name(name: &str) -> Option<Kind> {
        Some(match name {
            "any" => Kind::Any,
            "string" => Kind::String,
            "number" => Kind::Number,
            "bool" => Kind::Bool,
            "decimal" => Kind::Decimal { places: None, shift: 0 },
            "ms" => Kind::Instant { shift: 0 },
            "seconds" => Kind::Instant { shift: 3 },
            "micros" => Kind::Instant { shift: -3 },
            "nanos" => Kind::Instant { shift: -6 },
            "datetime" => Kind::Datetime { format: None, zone: TimeZone::UTC },
            _ => return None,
        })
    }

    /// What a field of the event is when its map does not say.
    pub fn of_field(name: &str) -> Kind {
        match name {
            "eventId" | "userId" | "eventType" => Kind::String,
            "timestamp" | "receivedAt" => Kind::Instant { shift: 0 },
            "amount" => Kind::Decimal { places: None, shift: 0 },
            name if crate::event::STRING_FIELDS.contains(&name) => Kind::String,
            _ => Kind::Any,
        }
    }

    /// Appends `cell`, converted, as JSON; the error says what the cell is not.
    pub fn push(&self, cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(text) = cell.text() else {
            return match (self, cell) {
                (Kind::Any, Cell::Json(raw)) => {
                    out.extend_from_slice(raw.as_bytes());
                    Ok(())
                }
                _ => Err("an object or a list stands where one value is needed".into()),
            };
        };
        match self {
            Kind::String => ndjson::push_str(out, text),
            Kind::Any if matches!(cell, Cell::Text(_)) => ndjson::push_str(out, text),
            Kind::Any => out.extend_from_slice(text.as_bytes()),
            Kind::Number => out.extend_from_slice(json_number(text)?.as_bytes()),
            Kind::Bool => out.extend_from_slice(boolean(text)?.to_string().as_bytes()),
            Kind::Decimal { places, shift } => {
                out.extend_from_slice(decimal(text.trim(), *places, *shift)?.to_string().as_bytes());
            }
            Kind::Instant { shift } => out.extend_from_slice(instant(text.trim(), *shift)?.to_string().as_bytes()),
            Kind::Datetime { format, zone } => {
                let ms = datetime(text.trim(), format.as_deref(), zone)?;
                out.extend_from_slice(ms.to_string().as_bytes());
            }
        }
        Ok(())
    }
}

/// `text` for a message: quoted, cut, nothing in it that a terminal would obey.
pub fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(40).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", ndjson::shown(&cut))
}

fn json_number(text: &str) -> Result<&str, String> {
    let text = text.trim();
    let number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) if number => Ok(text),
        _ => Err(format!("not a number: {}", quoted(text))),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.trim() {
        "true" | "TRUE" | "True" | "t" | "1" => Ok(true),
        "false" | "FALSE" | "False" | "f" | "0" => Ok(false),
        other => Err(format!("not a boolean: {}", quoted(other))),
    }
}

fn decimal(text: &str, places: Option<u32>, shift: i32) -> Result<Decimal, String> {
    let micros = match places {
        None => scaled(text, shift + 6, Rounding::Exact),
        Some(places) => {
            scaled(text, shift + places as i32, Rounding::Nearest).map(|n| n * 10i128.pow(6 - places.min(6)))
        }
    };
    micros
        .and_then(|n| i64::try_from(n).map(|n| Decimal(n.into())).map_err(|_| DecimalError::Range))
        .map_err(|e| format!("{e}: {}", quoted(text)))
}

fn instant(text: &str, shift: i32) -> Result<i64, String> {
    scaled(text, shift, Rounding::Floor).and_then(|n| i64::try_from(n).map_err(|_| DecimalError::Range)).map_err(|e| {
        match e {
            DecimalError::Range => format!("beyond 64 bits of milliseconds: {}", quoted(text)),
            _ => format!("not a number: {}", quoted(text)),
        }
    })
}

fn datetime(text: &str, format: Option<&str>, zone: &TimeZone) -> Result<i64, String> {
    let read = match format {
        Some(format) => formatted(text, format, zone),
        None => iso(text, zone),
    };
    let wanted =
        format.map_or_else(|| "an ISO 8601 date and time".to_string(), |f| format!("of the form {}", quoted(f)));
    read.map(|t| t.as_millisecond()).ok_or_else(|| format!("not {wanted}: {}", quoted(text)))
}

fn iso(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    // `2026-11-20 10:00:00 UTC`, as warehouses print it.
    let (civil, zone) = match text.strip_suffix("UTC") {
        Some(civil) => (civil.trim_end(), &TimeZone::UTC),
        None => (text, zone),
    };
    // Another zone's name would be read as an annotation and its offset lost.
    if civil.contains('[') {
        return None;
    }
    zone.to_timestamp(civil.parse::<DateTime>().ok()?).ok()
}

fn formatted(text: &str, format: &str, zone: &TimeZone) -> Option<Timestamp> {
    let broken = strtime::parse(format, text).ok()?;
    match broken.to_timestamp() {
        Ok(instant) => Some(instant),
        Err(_) => {
            let civil = broken.to_datetime().or_else(|_| broken.to_date().map(|d| d.to_datetime(Default::default())));
            zone.to_timestamp(civil.ok()?).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(kind: &Kind, text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        kind.push(&Cell::Text(Cow::Borrowed(text)), &mut out)?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn instants_are_read_in_every_unit_and_form() {
        let berlin = TimeZone::get("Europe/Berlin").expect("a known zone");
        let iso = Kind::from_name("datetime").expect("known");
        let local = Kind::Datetime { format: None, zone: berlin };
        let form = |f: &str| Kind::Datetime { format: Some(f.into()), zone: TimeZone::UTC };
        let named = |name| Kind::from_name(name).expect("known");
        for (kind, text, want) in [
            (named("ms"), "1669113415317", 1_669_113_415_317i64),
            (named("seconds"), "1669113415.317", 1_669_113_415_317),
            (named("micros"), "1669113415317999", 1_669_113_415_317),
            (named("nanos"), " 1669113415317000001 ", 1_669_113_415_317),
            (iso.clone(), "2022-11-22T10:36:55.317Z", 1_669_113_415_317),
            (iso.clone(), "2022-11-22T11:36:55.317+01:00", 1_669_113_415_317),
            (iso.clone(), "2022-11-22 10:36:55.317", 1_669_113_415_317),
            (iso.clone(), "2022-11-22 10:36:55.317 UTC", 1_669_113_415_317),
            (iso.clone(), "2022-11-22", 1_669_075_200_000),
            (local, "2022-11-22T11:36:55.317", 1_669_113_415_317),
            (form("%d/%m/%Y %H:%M:%S"), "22/11/2022 10:36:55", 1_669_113_415_000),
            (form("%d/%b/%Y:%H:%M:%S %z"), "22/Nov/2022:11:36:55 +0100", 1_669_113_415_000),
            (form("%Y%m%d"), "20221122", 1_669_075_200_000),
        ] {
            assert_eq!(push(&kind, text), Ok(want.to_string()), "{kind:?} {text}");
        }
        for text in ["", "yesterday", "2022-13-01", "1669113415", "22/11/2022", "2022-11-22T10:36[Europe/Berlin]"] {
            assert!(push(&iso, text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_exact_unless_a_map_rounds() {
        let exact = Kind::Decimal { places: None, shift: 0 };
        let cents = Kind::Decimal { places: None, shift: -2 };
        let rounded = Kind::Decimal { places: Some(2), shift: 0 };
        for (kind, text, want) in [
            (&exact, "150.75", Ok("150.75")),
            (&exact, " 150.7500000000 ", Ok("150.75")),
            (&exact, "0.1234567", Err("more than 6 decimal places: \"0.1234567\"")),
            (&exact, "9223372036855", Err("out of range (±9223372036854.775807): \"9223372036855\"")),
            (&exact, "$5", Err("not a number: \"$5\"")),
            (&cents, "15075", Ok("150.75")),
            (&cents, "-5", Ok("-0.05")),
            (&rounded, "30.000000000000004", Ok("30")),
            (&rounded, "-2.675", Ok("-2.68")),
        ] {
            assert_eq!(push(kind, text), want.map(str::to_string).map_err(str::to_string), "{text}");
        }
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_the_value() {
        for (name, text) in [("number", "012"), ("number", "5 6"), ("bool", "yes"), ("ms", "now"), ("number", "true")] {
            let reason = push(&Kind::from_name(name).expect("known"), text).expect_err(text);
            assert!(reason.ends_with(&format!(": \"{text}\"")), "{reason}");
        }
        assert_eq!(quoted("a\u{1b}[31m"), "\"a\\u001b[31m\"");
    }
}
