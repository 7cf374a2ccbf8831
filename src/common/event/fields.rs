//! Fields: the top level of a line as raw JSON, read once.
//!
//! Every value is well-formed JSON of bounded depth; what it means is for others to say.

use super::refusal::{Code, Refusal};
use crate::limits::DEPTH_MAX;
use crate::ndjson;
use memchr::memchr;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The fields that an event's form knows, by place: what a name is compared with once.
pub(super) const KNOWN: [&str; 14] = [
    "eventId",
    "userId",
    "eventType",
    "timestamp",
    "receivedAt",
    "amount",
    "category",
    "itemId",
    "tenantId",
    "scenarioId",
    "campaignId",
    "sessionId",
    "orderId",
    "deviceId",
];
pub(super) const EVENT_ID: usize = 0;
pub(super) const USER_ID: usize = 1;
pub(super) const EVENT_TYPE: usize = 2;
pub(super) const TIMESTAMP: usize = 3;
pub(super) const RECEIVED_AT: usize = 4;
pub(super) const AMOUNT: usize = 5;
/// From here on strings.
pub(super) const STRINGS: usize = 6;
pub(super) const TENANT_ID: usize = 8;

/// The fields of a line as raw JSON: those the form knows by place, the others in their order.
#[derive(Debug, Default)]
pub(super) struct RawFields<'a> {
    pub known: [Option<&'a RawValue>; KNOWN.len()],
    pub others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> RawFields<'a> {
    /// A known field that is there and not null.
    pub fn present(&self, place: usize) -> Option<&'a RawValue> {
        self.known[place].filter(|raw| !is_null(raw))
    }
}

/// The place of a name in `KNOWN`.
pub(super) fn known(name: &str) -> Option<usize> {
    // No two known names of one length begin alike.
    let place = match (name.len(), name.as_bytes().first()?) {
        (7, b'e') => EVENT_ID,
        (6, b'u') => USER_ID,
        (9, b'e') => EVENT_TYPE,
        (9, b't') => TIMESTAMP,
        (10, b'r') => RECEIVED_AT,
        (6, b'a') => AMOUNT,
        (8, b'c') => 6,
        (6, b'i') => 7,
        (8, b't') => TENANT_ID,
        (10, b's') => 9,
        (10, b'c') => 10,
        (9, b's') => 11,
        (7, b'o') => 12,
        (8, b'd') => 13,
        _ => return None,
    };
    (KNOWN[place] == name).then_some(place)
}

pub(super) fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The line number inside one line is noise; the column is the place.
    let what = text.rsplit_once(" at line").map_or(text.as_str(), |(what, _)| what);
    format!("{what} at column {}", error.column())
}

/// The fields of the object, each value checked to be well-formed JSON of bounded depth.
pub(super) fn read_fields(text: &str) -> Result<RawFields<'_>, Refusal> {
    let mut read = Fields { fields: RawFields::default(), refusal: None };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = deserializer.deserialize_map(&mut read).and_then(|()| deserializer.end());
    if let Err(error) = outcome {
        return Err(broken(text, &error, &read));
    }
    match read.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(read.fields),
    }
}

/// A number that only JSON's grammar refuses (`+1`, `.5`, `012`) under `amount` is a bad amount, not a broken line.
fn broken(text: &str, error: &serde_json::Error, fields: &Fields<'_>) -> Refusal {
    let at = error.column().saturating_sub(1);
    let before = &text.as_bytes()[..at.min(text.len())];
    let numeric = |b: &u8| b.is_ascii_digit() || b"+-.eE".contains(b);
    let start = before.len() - before.iter().rev().take_while(|b| numeric(b)).count();
    // The error may stand inside a character.
    let head = text.get(..start).map_or("", str::trim_end);
    let under_amount = head.strip_suffix(':').is_some_and(|h| h.trim_end().ends_with("\"amount\""));
    if under_amount && !error.is_eof() && text.as_bytes().get(start).is_some_and(numeric) {
        return Refusal::new(Code::BadAmount, "`amount` is not a JSON number");
    }
    match &fields.refusal {
        Some(refusal) if refusal.code == Code::TooDeep => refusal.clone(),
        _ => Refusal::new(Code::NotJson, json_reason(error)),
    }
}

struct Fields<'a> {
    fields: RawFields<'a>,
    refusal: Option<Refusal>,
}

impl<'de> Visitor<'de> for &mut Fields<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            let raw: &'de RawValue = map.next_value()?;
            let place = known(&name);
            let twice = place.is_some_and(|place| self.fields.known[place].is_some());
            let refusal = if twice {
                Some(Refusal::new(Code::DupKey, format!("`{name}` is there twice")))
            } else {
                check_nested(&name, raw.get())
            };
            // The first reason stands, but the whole line must still be JSON.
            if self.refusal.is_none() {
                self.refusal = refusal;
            }
            match place {
                Some(place) => self.fields.known[place] = Some(raw),
                None => self.fields.others.push((name, raw)),
            }
        }
        Ok(())
    }
}

/// serde_json skips a value without looking at its depth or at `\u` escapes: both are judged here.
fn check_nested(name: &str, raw: &str) -> Option<Refusal> {
    if raw.starts_with(['{', '[']) && depth(raw) + 1 > DEPTH_MAX {
        return Some(Refusal::new(
            Code::TooDeep,
            format!("`{}` is nested deeper than {DEPTH_MAX}", ndjson::shown(name)),
        ));
    }
    if memchr(b'\\', raw.as_bytes()).is_some()
        && raw.contains("\\u")
        && let Err(e) = serde_json::from_str::<serde_json::Value>(raw)
    {
        return Some(Refusal::new(Code::NotJson, format!("in `{}`: {}", ndjson::shown(name), json_reason(&e))));
    }
    None
}

/// The nesting of a well-formed value.
fn depth(raw: &str) -> usize {
    let (mut now, mut most, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for b in raw.bytes() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !in_string => now -= 1,
            _ => {}
        }
    }
    most
}

/// A string borrowed unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// The text of a raw JSON string, borrowed unless it holds escapes; `None` when it is not a string.
pub fn raw_str(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if memchr(b'\\', inner.as_bytes()).is_some() {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

pub(super) fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}
