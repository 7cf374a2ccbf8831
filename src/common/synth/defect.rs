//! Defects: lines that the validator must refuse, each with the code it must get.
//!
//! Only what the bytes of one line decide is here: `UNKNOWN_TYPE`, `ID_CONFLICT`, `NULL_VALUE`
//! and `BAD_MAP` need a definition file, a second line, Kafka or a map.

use super::write::push_number;
use crate::event::Code;
use crate::limits::LINE_MAX;
use crate::time::Millis;

/// A line with `@I` for an id of its own and `@T` for the time; what a line begins with up to the defect is `@B`.
const SHAPES: [(Code, &[u8]); 51] = [
    (Code::NotJson, br#"@B"#),
    (Code::NotJson, br#"@B,"itemId":"i-1}"#),
    (Code::NotJson, br#"@B} trailing"#),
    (Code::NotJson, br#"@B}@B}"#),
    (Code::NotJson, br#"@B,}"#),
    (Code::NotJson, br#"@B} // a comment"#),
    (Code::NotJson, br#"{'eventId':'@I','userId':'u-1'}"#),
    (Code::NotJson, br#"@B,"score":NaN}"#),
    (Code::NotJson, br#"@B,"member":True}"#),
    (Code::NotJson, b"@B,\"note\":\"a\x01b\"}"),
    (Code::NotJson, br#"@B,"note":"\ud800"}"#),
    (Code::NotJson, b"\0\0\0\0\0\0\0\0"),
    (Code::NotJson, b"ERROR 42: connection reset"),
    (Code::NotUtf8, b"@B,\"note\":\"\xff\xfe\"}"),
    (Code::NotUtf8, b"@B,\"note\":\"\xc0\xaf\"}"),
    (Code::NotUtf8, b"@B,\"note\":\"\xed\xa0\x80\"}"),
    (Code::NotUtf8, b"\xff\xfe{\0}\0"),
    (Code::BadBom, b"\xef\xbb\xbf@B}"),
    (Code::NotObject, br#"["@I","u-1","click",@T]"#),
    (Code::NotObject, br#""@I""#),
    (Code::NotObject, br#"@T"#),
    (Code::NotObject, br#"null"#),
    (Code::TooDeep, br#"@B,"deep":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#),
    (Code::DupKey, br#"@B,"userId":"u-2"}"#),
    (Code::DupKey, br#"@B,"\u0075serId":"u-2"}"#),
    (Code::MissingField, br#"{"userId":"u-1","eventType":"click","timestamp":@T}"#),
    (Code::MissingField, br#"{"eventId":"@I","userId":"","eventType":"click","timestamp":@T}"#),
    (Code::MissingField, br#"{"eventId":"@I","userId":"u-1","eventType":null,"timestamp":@T}"#),
    (Code::MissingField, br#"{"eventId":"@I","userId":"u-1","eventType":"click"}"#),
    (Code::BadField, br#"{"eventId":"@I","userId":1,"eventType":"click","timestamp":@T}"#),
    (Code::BadField, br#"{"eventId":"@I-01234567890123456789012345678901234567890123456789678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890","userId":"u-1","eventType":"click","timestamp":@T}"#),
    (Code::BadField, br#"@B,"category":["sports"]}"#),
    (Code::CtrlChar, br#"{"eventId":"@I\u0000","userId":"u-1","eventType":"click","timestamp":@T}"#),
    (Code::CtrlChar, br#"{"eventId":"@I","userId":"u-1\u001b[2J","eventType":"click","timestamp":@T}"#),
    (Code::CtrlChar, br#"{"eventId":"@I","userId":"u-\u202e1","eventType":"click","timestamp":@T}"#),
    (Code::BadTimestamp, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":"@T"}"#),
    (Code::BadTimestamp, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":@T.5}"#),
    (Code::BadTimestamp, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":1735689600}"#),
    (Code::BadTimestamp, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":1735689600000000}"#),
    (Code::BadTimestamp, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":1735689600000000000}"#),
    (Code::BadTimestamp, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":-1}"#),
    (Code::BadTimestamp, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":99999999999999999999}"#),
    (Code::FutureTimestamp, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":4070908800000}"#),
    (Code::BadAmount, br#"@B,"amount":1e400}"#),
    (Code::BadAmount, br#"@B,"amount":+1}"#),
    (Code::BadAmount, br#"@B,"amount":.5}"#),
    (Code::BadAmount, br#"@B,"amount":012}"#),
    (Code::BadAmount, br#"@B,"amount":"5"}"#),
    (Code::BadAmount, br#"@B,"amount":0.0000001}"#),
    (Code::BadAmount, br#"@B,"amount":99999999999999}"#),
    (Code::ReservedType, br#"{"eventId":"@I","userId":"u-1","eventType":"adprof.derived","timestamp":@T}"#),
];
/// One round through the shapes in so many has a line that is too long: a quarter of a megabyte each.
const LONG_EVERY: u64 = 64;

/// Appends the defective line of this number, its newline included, and tells the code it must get.
///
/// The numbers go round through all shapes; the very first round has a line of every code.
pub fn push(out: &mut Vec<u8>, number: u64, at: Millis) -> Code {
    let round = SHAPES.len() as u64 + 1;
    let place = (number % round) as usize;
    let Some((code, shape)) = SHAPES.get(place) else {
        let long = (number / round).is_multiple_of(LONG_EVERY);
        expand(out, b"@B,\"note\":\"", number, at);
        out.resize(out.len() + if long { LINE_MAX } else { 0 }, b'x');
        out.extend_from_slice(if long { b"\"}\n" } else { b"\n" });
        return if long { Code::TooLong } else { Code::NotJson };
    };
    expand(out, shape, number, at);
    out.push(b'\n');
    *code
}

fn expand(out: &mut Vec<u8>, shape: &[u8], number: u64, at: Millis) {
    let mut rest = shape;
    while let Some(mark) = rest.iter().position(|b| *b == b'@') {
        out.extend_from_slice(&rest[..mark]);
        match rest.get(mark + 1) {
            Some(b'I') => {
                out.extend_from_slice(b"bad-");
                push_number(out, number, 1);
            }
            Some(b'T') => push_number(out, at.unsigned_abs(), 1),
            _ => expand(out, br#"{"eventId":"@I","userId":"u-1","eventType":"click","timestamp":@T"#, number, at),
        }
        rest = &rest[mark + 2..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Rules};
    use std::collections::BTreeSet;

    #[test]
    fn every_defect_is_refused_with_its_code() {
        let now = 1_735_689_600_000;
        let mut codes = BTreeSet::new();
        for number in 0..3 * (SHAPES.len() as u64 + 1) {
            let mut line = Vec::new();
            let code = push(&mut line, number, now);
            let line = line.strip_suffix(b"\n").expect("a whole line");
            assert!(!line.contains(&b'\n'));
            match Event::parse(line, now, &Rules::default()) {
                Err(refusal) => assert_eq!(refusal.code, code, "{number}: {}", line.escape_ascii()),
                Ok(_) => panic!("accepted {number}: {}", line.escape_ascii()),
            }
            codes.insert(code);
        }
        assert_eq!(codes.len(), 14);
    }
}
