//! Dead letters: refused lines, each with its code, its reason, its place and its own bytes.
//!
//! One NDJSON line a letter. What `parse` reads gives back the refused bytes exactly,
//! unless only the beginning of an over-long line was kept: then it says so.

mod file;

pub use file::DeadFile;

use crate::event::Refusal;
use crate::limits::LINE_MAX;
use crate::lines::{Line, Text};
use crate::ndjson;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use std::borrow::Cow;

/// Longest letter in bytes: a line of control characters, each written as `\u00XX`, and the words around it.
pub const LETTER_MAX: usize = 6 * LINE_MAX + 64 * 1024;

/// One refused line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// The name of an `event::Code`; newer versions may know more.
    pub code: Cow<'a, str>,
    pub reason: Cow<'a, str>,
    /// A file name, `stdin`, or a topic.
    pub source: Cow<'a, str>,
    pub place: Place,
    pub original: Cow<'a, [u8]>,
    /// The length of the whole line when `original` is only its beginning.
    pub truncated: Option<u64>,
}

/// Where in its source a line stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Line number from 1 and byte offset from 0 in the decoded input.
    Line { line: u64, offset: u64 },
    /// A place in a file whose lines were not counted.
    Byte { offset: u64 },
    /// A message of a Kafka topic.
    Message { partition: i32, offset: i64 },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    line: Option<u64>,
    partition: Option<i32>,
    offset: Option<i64>,
    #[serde(borrow)]
    original: Option<Cow<'a, str>>,
    #[serde(borrow)]
    original_base64: Option<Cow<'a, str>>,
    #[serde(default)]
    truncated: bool,
    length: Option<u64>,
}

impl<'a> DeadLetter<'a> {
    /// The letter of a refused line of a file or pipe.
    pub fn of_line(refusal: &'a Refusal, source: &'a str, line: &Line<'a>) -> DeadLetter<'a> {
        let (original, truncated) = match line.text {
            Text::Whole(bytes) => (bytes, None),
            Text::TooLong { head, len } => (head, Some(len)),
        };
        let place = Place::Line { line: line.number, offset: line.offset };
        DeadLetter { truncated, ..DeadLetter::new(refusal, source, place, original) }
    }

    /// The letter of refused bytes, kept whole.
    pub fn new(refusal: &'a Refusal, source: &'a str, place: Place, original: &'a [u8]) -> DeadLetter<'a> {
        DeadLetter {
            code: refusal.code.name().into(),
            reason: refusal.reason.as_str().into(),
            source: source.into(),
            place,
            original: original.into(),
            truncated: None,
        }
    }

    /// Appends the letter as one NDJSON line, newline included.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"code\":");
        ndjson::push_str(out, &self.code);
        out.extend_from_slice(b",\"reason\":");
        ndjson::push_str(out, &self.reason);
        out.extend_from_slice(b",\"source\":");
        ndjson::push_str(out, &self.source);
        let place = match self.place {
            Place::Line { line, offset } => format!(",\"line\":{line},\"offset\":{offset}"),
            Place::Byte { offset } => format!(",\"offset\":{offset}"),
            Place::Message { partition, offset } => format!(",\"partition\":{partition},\"offset\":{offset}"),
        };
        out.extend_from_slice(place.as_bytes());
        if let Some(length) = self.truncated {
            out.extend_from_slice(format!(",\"truncated\":true,\"length\":{length}").as_bytes());
        }
        match std::str::from_utf8(&self.original) {
            Ok(text) => {
                out.extend_from_slice(b",\"original\":");
                ndjson::push_str(out, text);
            }
            Err(_) => {
                out.extend_from_slice(b",\"originalBase64\":");
                ndjson::push_str(out, &BASE64.encode(&self.original));
            }
        }
        out.extend_from_slice(b"}\n");
    }

    /// Reads one line of a dead-letter file, given without its newline. The error says what is wrong with it.
    pub fn parse(line: &'a [u8]) -> Result<DeadLetter<'a>, String> {
        // serde would read an array as a struct too.
        if line.trim_ascii_start().first() != Some(&b'{') {
            return Err("not a dead letter: not a JSON object".into());
        }
        let wire: Wire<'a> = serde_json::from_slice(line).map_err(|e| format!("not a dead letter: {e}"))?;
        let place = match (wire.line, wire.partition, wire.offset) {
            (Some(line), None, Some(offset @ 0..)) => Place::Line { line, offset: offset as u64 },
            (None, Some(partition), Some(offset)) => Place::Message { partition, offset },
            (None, None, Some(offset @ 0..)) => Place::Byte { offset: offset as u64 },
            // Written by hand: only the original matters.
            (None, None, None) => Place::Byte { offset: 0 },
            _ => return Err("not a dead letter: no place that makes sense".into()),
        };
        let original: Cow<'a, [u8]> = match (wire.original, wire.original_base64) {
            (Some(Cow::Borrowed(text)), None) => Cow::Borrowed(text.as_bytes()),
            (Some(Cow::Owned(text)), None) => Cow::Owned(text.into_bytes()),
            (None, Some(text)) => {
                Cow::Owned(BASE64.decode(text.as_bytes()).map_err(|e| format!("`originalBase64`: {e}"))?)
            }
            (None, None) => return Err("not a dead letter: `original` is missing".into()),
            (Some(_), Some(_)) => return Err("`original` and `originalBase64` exclude each other".into()),
        };
        let truncated = wire.truncated.then(|| wire.length.unwrap_or(original.len() as u64));
        Ok(DeadLetter { code: wire.code, reason: wire.reason, source: wire.source, place, original, truncated })
    }

    /// The bytes to feed back, or why that cannot be.
    pub fn replay(&self) -> Result<&[u8], String> {
        match self.truncated {
            None => Ok(&self.original),
            Some(length) => Err(format!(
                "only the first {} of {length} bytes were kept: the line cannot be replayed",
                self.original.len()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Code, too_long};
    use crate::lines::Lines;
    use proptest::prelude::*;

    fn written(letter: &DeadLetter<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        letter.write(&mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        assert!(!out.contains(&b'\n'));
        out
    }

    #[test]
    fn a_letter_is_one_line_in_a_fixed_order() {
        let refusal = Refusal::new(Code::BadAmount, "`amount` is not a number");
        let place = Place::Line { line: 12, offset: 345 };
        let letter = DeadLetter::new(&refusal, "events.jsonl", place, b"{\"amount\":\"5\"}");
        let want = r#"{"code":"BAD_AMOUNT","reason":"`amount` is not a number","source":"events.jsonl","line":12,"offset":345,"original":"{\"amount\":\"5\"}"}"#;
        assert_eq!(String::from_utf8(written(&letter)).expect("UTF-8"), want);
    }

    proptest! {
        #[test]
        fn the_original_comes_back_byte_for_byte(
            original in proptest::collection::vec(prop_oneof![any::<u8>(), 0u8..0x80], 0..80),
            text in ".{0,40}",
            offset in 0i64..i64::MAX,
        ) {
            let refusal = Refusal::new(Code::NotJson, text.clone());
            for bytes in [&original[..], text.as_bytes()] {
                for place in [
                    Place::Line { line: 7, offset: offset as u64 },
                    Place::Byte { offset: offset as u64 },
                    Place::Message { partition: 3, offset },
                ] {
                    let letter = DeadLetter::new(&refusal, &text, place, bytes);
                    let line = written(&letter);
                    let back = DeadLetter::parse(&line).expect("reads back");
                    prop_assert_eq!(&back, &letter);
                    prop_assert_eq!(back.replay(), Ok(bytes));
                }
            }
        }
    }

    #[test]
    fn the_longest_line_of_the_worst_bytes_fits_into_a_letter() {
        let refusal = Refusal::new(Code::NotJson, "control character");
        for byte in [0u8, b'"', 0xff] {
            let original = vec![byte; LINE_MAX];
            let line = written(&DeadLetter::new(&refusal, "stdin", Place::Byte { offset: 0 }, &original));
            assert!(line.len() <= LETTER_MAX, "{byte}: {}", line.len());
        }
    }

    #[test]
    fn an_over_long_line_is_marked_and_not_replayed() {
        let input = vec![b'x'; LINE_MAX + 9];
        let mut lines = Lines::new(&input[..]);
        let line = lines.next().expect("read").expect("a line");
        let refusal = too_long();
        let bytes = written(&DeadLetter::of_line(&refusal, "stdin", &line));
        let back = DeadLetter::parse(&bytes).expect("reads back");
        assert_eq!(back.truncated, Some(LINE_MAX as u64 + 9));
        assert!(back.replay().expect_err("a part only").contains("only the first 1024 of 262153 bytes"));
    }

    #[test]
    fn what_is_no_letter_is_refused_with_a_reason() {
        for line in [
            "",
            "[1]",
            r#"["A","b","c",1,null,2,"x",null,false,null]"#,
            r#"{"code":"A"}"#,
            r#"{"code":"A","reason":"b"}"#,
            r#"{"code":"A","reason":"b","original":"x","originalBase64":"eA=="}"#,
            r#"{"code":"A","reason":"b","originalBase64":"?"}"#,
            r#"{"code":"A","reason":"b","line":1,"partition":1,"offset":1,"original":"x"}"#,
            r#"{"code":"A","reason":"b","line":1,"offset":-1,"original":"x"}"#,
            r#"{"code":"A","reason":"b","original":"x"} {}"#,
        ] {
            assert!(DeadLetter::parse(line.as_bytes()).is_err(), "{line}");
        }
        let by_hand = DeadLetter::parse(br#"{"code":"A","reason":"b","original":"x","note":[1]}"#).expect("enough");
        assert_eq!(by_hand.replay(), Ok(&b"x"[..]));
    }
}
