//! Events: the one validator behind collect, stream, batch and serve.
//!
//! It works on the bytes of one line. What it accepts is an event for every
//! command; what it refuses carries a code, and the line goes to a dead letter.

mod fields;
mod refusal;

use crate::limits::{EVENT_ID_MAX, FIELD_MAX, FUTURE_MS, LINE_MAX, TENANT_MAX, USER_ID_MAX};
use crate::money::Decimal;
use crate::ndjson;
use crate::time::Millis;
pub use fields::raw_str;
use fields::{
    AMOUNT, EVENT_ID, EVENT_TYPE, KNOWN, RECEIVED_AT, RawFields, STRINGS, TENANT_ID, TIMESTAMP, USER_ID, json_reason,
    known, read_fields,
};
pub use refusal::{Code, Refusal};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The optional fields that are strings wherever they appear.
pub const STRING_FIELDS: [&str; 8] =
    ["category", "itemId", "tenantId", "scenarioId", "campaignId", "sessionId", "orderId", "deviceId"];
/// The prefix of event types that adprof itself makes, refused from outside.
pub const RESERVED_PREFIX: &str = "adprof.";

/// What may be an event besides the form: set by the command and the definition file.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The closed set of event types, when there is one.
    pub event_types: Option<Vec<String>>,
    /// Whether `adprof.*` is legal: true for what adprof itself wrote.
    pub reserved: bool,
}

impl Rules {
    /// Whether an event may be of this type.
    #[inline]
    pub(crate) fn allow(&self, event_type: &[u8]) -> bool {
        // Byte by byte: almost always the first one decides, and it is not worth a call.
        let begins = |(i, b): (usize, &u8)| event_type.get(i) == Some(b);
        (self.reserved || !RESERVED_PREFIX.as_bytes().iter().enumerate().all(begins))
            && self.event_types.as_ref().is_none_or(|closed| closed.iter().any(|known| known.as_bytes() == event_type))
    }
}

/// One valid event, borrowed from its line where no escape stands in the way.
#[derive(Debug)]
pub struct Event<'a> {
    /// The whole line without blanks around it.
    pub line: &'a str,
    pub event_id: Cow<'a, str>,
    pub user_id: Cow<'a, str>,
    pub event_type: Cow<'a, str>,
    pub timestamp: Millis,
    pub received_at: Option<Millis>,
    pub tenant_id: Option<Cow<'a, str>>,
    pub amount: Option<Decimal>,
    fields: RawFields<'a>,
}
impl<'a> Event<'a> {
    /// Validates one line, given without its newline. `Ok(None)`: the line is blank.
    ///
    /// `received` is the instant of receipt for lines that carry no `receivedAt`; one that they carry may be at most 5 min later.
    pub fn parse(line: &'a [u8], received: Millis, rules: &Rules) -> Result<Option<Event<'a>>, Refusal> {
        if line.len() > LINE_MAX {
            return Err(too_long());
        }
        let text = std::str::from_utf8(line).map_err(|e| not_text(line, e.valid_up_to()))?;
        let text = text.trim_matches([' ', '\t', '\r']);
        match text.bytes().next() {
            None => return Ok(None),
            Some(b'{') => {}
            Some(_) => return Err(not_an_object(text)),
        }
        let fields = read_fields(text)?;
        Event::from_fields(text, fields, received, rules).map(Some)
    }

    fn from_fields(
        line: &'a str,
        fields: RawFields<'a>,
        received: Millis,
        rules: &Rules,
    ) -> Result<Event<'a>, Refusal> {
        let event_id = required_id(EVENT_ID, &fields, EVENT_ID_MAX)?;
        let user_id = required_id(USER_ID, &fields, USER_ID_MAX)?;
        let event_type = required_id(EVENT_TYPE, &fields, FIELD_MAX)?;
        let received_at = fields.present(RECEIVED_AT).map(|raw| receipt(raw, received)).transpose()?;
        let Some(timestamp) = fields.present(TIMESTAMP) else {
            return Err(Refusal::new(Code::MissingField, "`timestamp` is missing"));
        };
        let timestamp = instant("timestamp", timestamp)?;
        let receipt = received_at.unwrap_or(received);
        if timestamp > receipt.saturating_add(FUTURE_MS) {
            return Err(Refusal::new(
                Code::FutureTimestamp,
                format!("`timestamp` {timestamp} is more than 5 min after the receipt at {receipt}"),
            ));
        }
        for (place, name) in KNOWN.iter().enumerate().skip(STRINGS) {
            if let Some(raw) = fields.present(place) {
                string(name, raw, if place == TENANT_ID { TENANT_MAX } else { FIELD_MAX })?;
            }
        }
        let tenant_id = fields.present(TENANT_ID).map(|raw| string("tenantId", raw, TENANT_MAX)).transpose()?;
        tenant_id.iter().try_for_each(|tenant| check_id("tenantId", tenant))?;
        let amount = fields.present(AMOUNT).map(amount).transpose()?;
        check_type(&event_type, rules)?;
        Ok(Event { line, event_id, user_id, event_type, timestamp, received_at, tenant_id, amount, fields })
    }

    /// The value of a field by its name, as raw JSON; of duplicated unknown names the last.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        match known(name) {
            Some(place) => self.fields.known[place],
            None => self.fields.others.iter().rev().find(|(key, _)| key == name).map(|(_, raw)| *raw),
        }
    }
}

impl<'a> Event<'a> {
    /// The fields that the form does not know, as raw JSON in the order of the line.
    pub fn others(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.others.iter().map(|(name, raw)| (&**name, *raw))
    }

    /// The text of an optional string field of `STRING_FIELDS`; `None` when it is absent or null.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.raw(name).and_then(raw_str)
    }
}

/// The refusal of a line over `LINE_MAX`, for readers that stop before the validator.
pub fn too_long() -> Refusal {
    Refusal::new(Code::TooLong, format!("the line is longer than {LINE_MAX} bytes"))
}

/// What is wrong with bytes that are no UTF-8 from `valid` on: a text in another encoding, or no text at all.
fn not_text(line: &[u8], valid: usize) -> Refusal {
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        return Refusal::new(Code::NotUtf8, "this looks like UTF-16: write UTF-8");
    }
    let begins = line.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r'));
    let control = |b: &u8| *b < 0x20 && !matches!(b, b'\t' | b'\r');
    if begins != Some(&b'{') && line.iter().any(control) {
        return Refusal::new(Code::NotJson, "binary data, not a JSON object");
    }
    Refusal::new(Code::NotUtf8, format!("invalid UTF-8 at byte {}", valid + 1))
}

fn not_an_object(text: &str) -> Refusal {
    if text.starts_with('\u{feff}') {
        return Refusal::new(Code::BadBom, "a byte order mark stands inside the input");
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Refusal::new(Code::NotObject, "an event is a JSON object"),
        Err(e) => Refusal::new(Code::NotJson, json_reason(&e)),
    }
}

fn string<'a>(name: &str, raw: &'a RawValue, max: usize) -> Result<Cow<'a, str>, Refusal> {
    let text = raw_str(raw).ok_or_else(|| Refusal::new(Code::BadField, format!("`{name}` must be a string")))?;
    if text.len() > max {
        return Err(Refusal::new(Code::BadField, format!("`{name}` is longer than {max} bytes")));
    }
    Ok(text)
}

fn required_id<'a>(place: usize, fields: &RawFields<'a>, max: usize) -> Result<Cow<'a, str>, Refusal> {
    let name = KNOWN[place];
    let Some(raw) = fields.present(place) else {
        return Err(Refusal::new(Code::MissingField, format!("`{name}` is missing")));
    };
    let text = string(name, raw, max)?;
    if text.is_empty() {
        return Err(Refusal::new(Code::MissingField, format!("`{name}` is empty")));
    }
    check_id(name, &text)?;
    Ok(text)
}

/// Whether a terminal would act on something in an id instead of showing it: such an id is refused.
pub(crate) fn is_deceptive(id: &str) -> bool {
    id.chars().any(ndjson::is_deceptive)
}

fn check_id(name: &str, text: &str) -> Result<(), Refusal> {
    // Almost every id is printable ASCII.
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(());
    }
    match text.chars().find(|c| ndjson::is_deceptive(*c)) {
        Some(c) => {
            Err(Refusal::new(Code::CtrlChar, format!("`{name}` holds the control character U+{:04X}", c as u32)))
        }
        None => Ok(()),
    }
}

fn check_type(event_type: &str, rules: &Rules) -> Result<(), Refusal> {
    if event_type.starts_with(RESERVED_PREFIX) && !rules.reserved {
        return Err(Refusal::new(
            Code::ReservedType,
            format!("event types that begin with `{RESERVED_PREFIX}` are made by adprof alone"),
        ));
    }
    if !rules.allow(event_type.as_bytes()) {
        let reason = format!("`{}` is not one of the declared event types", ndjson::shown(event_type));
        return Err(Refusal::new(Code::UnknownType, reason));
    }
    Ok(())
}

/// Reads an instant in milliseconds. The past begins at 1970 and is legal; another unit is recognised by its size.
fn instant(name: &str, raw: &RawValue) -> Result<Millis, Refusal> {
    let text = raw.get();
    let refuse = |why: String| Err(Refusal::new(Code::BadTimestamp, format!("`{name}` {why}")));
    let Ok(n) = text.parse::<i64>() else {
        return refuse(match text.as_bytes()[0] {
            b'"' => "is a string: write milliseconds since 1970 as a number".into(),
            b'-' | b'0'..=b'9' if text.contains(['.', 'e', 'E']) => "is not a whole number of milliseconds".into(),
            b'-' | b'0'..=b'9' => "is beyond 64 bits".into(),
            _ => "is not a number".into(),
        });
    };
    match n {
        ..0 => refuse("is negative".into()),
        // 1973 in seconds, 1973 in milliseconds: what lies between can only be seconds of our time.
        100_000_000..100_000_000_000 => refuse(format!("looks like seconds: write {n}000")),
        100_000_000_000_000..100_000_000_000_000_000 => refuse("looks like microseconds: divide by 1000".into()),
        100_000_000_000_000_000.. => refuse("looks like nanoseconds: divide by 1000000".into()),
        n => Ok(n),
    }
}

/// Reads a `receivedAt` that came with the line; `now` is the instant of its receipt here.
///
/// A receipt in the future would let a `timestamp` in the future pass, and would open a partition nobody reads yet.
fn receipt(raw: &RawValue, now: Millis) -> Result<Millis, Refusal> {
    let at = instant("receivedAt", raw)?;
    if at > now.saturating_add(FUTURE_MS) {
        let reason = format!("`receivedAt` {at} is more than 5 min after now, {now}");
        return Err(Refusal::new(Code::FutureTimestamp, reason));
    }
    Ok(at)
}

fn amount(raw: &RawValue) -> Result<Decimal, Refusal> {
    let text = raw.get();
    if !text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return Err(Refusal::new(Code::BadAmount, "`amount` is not a number"));
    }
    Decimal::parse(text).map_err(|e| Refusal::new(Code::BadAmount, format!("`amount`: {e}")))
}
#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_731_300_000_000;

    fn code_of(line: &str) -> &'static str {
        match Event::parse(line.as_bytes(), NOW, &Rules::default()) {
            Ok(Some(_)) => "A",
            Ok(None) => "T",
            Err(refusal) => refusal.code.name(),
        }
    }

    fn with(extra: &str) -> String {
        format!(r#"{{"eventId":"e","userId":"u","eventType":"click","timestamp":1731296325000{extra}}}"#)
    }

    #[test]
    fn a_minimal_event_is_read_and_borrows_its_line() {
        let line = with(r#","amount":150.75,"category":"sports","nested":{"a":[1,{"b":2}]}"#);
        let event = Event::parse(line.as_bytes(), NOW, &Rules::default()).expect("valid").expect("not blank");
        assert!(matches!(event.event_id, Cow::Borrowed("e")));
        assert_eq!(event.amount, Some(Decimal(150_750_000)));
        assert_eq!(event.raw("nested").map(RawValue::get), Some(r#"{"a":[1,{"b":2}]}"#));
    }

    #[test]
    fn numbers_that_only_the_grammar_refuses_are_bad_amounts() {
        for amount in ["1e400", "+1", ".5", "012", "\"5\"", "0.0000001", "99999999999999", "1.", "-", "true", "[]"] {
            let line = with(&format!(r#","amount":{amount}"#));
            assert_eq!(code_of(&line), "BAD_AMOUNT", "{line}");
        }
        for amount in ["-0.0", "-5", "1e2", "null", " 5 "] {
            assert_eq!(code_of(&with(&format!(r#","amount":{amount}"#))), "A", "{amount}");
        }
        for broken in [r#","amount":NaN"#, r#","amount":True"#, r#","amount":"#, r#","price":+1"#] {
            assert_eq!(code_of(&with(broken)), "NOT_JSON", "{broken}");
        }
    }

    #[test]
    fn depth_is_bounded_wherever_it_stands() {
        let nested = |n: usize| with(&format!(r#","x":{}{}"#, "[".repeat(n), "]".repeat(n)));
        assert_eq!(code_of(&nested(63)), "A");
        assert_eq!(code_of(&nested(64)), "TOO_DEEP");
        assert_eq!(code_of(&nested(50_000)), "TOO_DEEP");
        assert_eq!(
            code_of(&with(r#","x":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[""#)),
            "A"
        );
    }

    #[test]
    fn a_receipt_in_the_future_is_refused_and_lets_no_event_of_the_future_in() {
        let at = |timestamp: Millis, received: Millis| {
            format!(
                r#"{{"eventId":"e","userId":"u","eventType":"click","timestamp":{timestamp},"receivedAt":{received}}}"#
            )
        };
        assert_eq!(code_of(&at(NOW, NOW + FUTURE_MS)), "A");
        assert_eq!(code_of(&at(NOW, NOW + FUTURE_MS + 1)), "FUTURE_TIMESTAMP");
        assert_eq!(code_of(&at(NOW + 30 * 86_400_000, NOW + 30 * 86_400_000)), "FUTURE_TIMESTAMP");
        assert_eq!(code_of(&at(NOW - 1000, NOW - 1000)), "A");
    }

    #[test]
    fn bytes_that_are_no_text_are_told_from_text_in_another_encoding() {
        let code = |line: &[u8]| Event::parse(line, NOW, &Rules::default()).expect_err("refused").code.name();
        assert_eq!(code(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"), "NOT_JSON");
        assert_eq!(code(b"\x89PNG\r\x1a\0\0\xff"), "NOT_JSON");
        assert_eq!(code(b"\0\0\0"), "NOT_JSON");
        assert_eq!(code(b"\xff\xfe{\0\"\0"), "NOT_UTF8");
        assert_eq!(code(b" \t{\"a\":\"\xff\x01\"}"), "NOT_UTF8");
        assert_eq!(code(b"caf\xe9"), "NOT_UTF8");
    }

    #[test]
    fn a_line_that_breaks_inside_a_character_is_refused_like_any_other() {
        for line in ["{\"eventId\":é}", "{\"eventId\":\"a\"é", "{日"] {
            assert_eq!(code_of(line), "NOT_JSON", "{line}");
        }
    }

    #[test]
    fn every_known_name_is_found_at_its_place() {
        for (place, name) in KNOWN.iter().enumerate() {
            assert_eq!(known(name), Some(place));
        }
        assert_eq!(KNOWN[STRINGS..], STRING_FIELDS);
        assert_eq!((KNOWN[TENANT_ID], known("eventIdx"), known(""), known("x")), ("tenantId", None, None, None));
    }

    #[test]
    fn a_known_key_may_stand_once_however_it_is_written() {
        assert_eq!(code_of(&with(r#","userId":"v""#)), "DUP_KEY");
        assert_eq!(code_of(&with(r#","\u0075serId":"v""#)), "DUP_KEY");
        assert_eq!(code_of(&with(r#","x":1,"x":2"#)), "A");
        assert_eq!(code_of(r#"{"\u0065ventId":"e","userId":"u","eventType":"click","timestamp":1731296325000}"#), "A");
    }
}
