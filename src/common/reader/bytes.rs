//! Bytes: strings and blanks, sixteen bytes at a time.
//!
//! A buffer has `SLACK` bytes behind its last line, control bytes at the latest there, so that every search ends.

use super::vector::{end, odd};

/// So many bytes may be read behind the end of a line.
pub const SLACK: usize = 64;

/// Sixteen bytes from `p` on.
#[inline(always)]
pub fn sixteen(buf: &[u8], p: usize) -> &[u8; 16] {
    buf[p..].first_chunk().expect("a buffer has slack behind its last line")
}

/// All the bytes from `p` on that may be looked at without a look at what they are.
#[inline(always)]
pub fn near(buf: &[u8], p: usize) -> &[u8; SLACK] {
    buf[p..].first_chunk().expect("a buffer has slack behind its last line")
}

/// A string that begins at `p`, behind its quote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Str {
    /// The place of the closing quote.
    pub end: usize,
    /// Something in it is not printable ASCII.
    pub odd: bool,
    /// Something in it is escaped.
    pub escaped: bool,
}

/// The end of the string that begins at `p`; `None`: it is broken, or the judge should see it.
#[inline(always)]
pub fn string(buf: &[u8], p: usize) -> Option<Str> {
    let end = plain(buf, p);
    if buf[end] == b'"' { Some(Str { end, odd: false, escaped: false }) } else { odd_string(buf, end) }
}

/// The first byte from `p` on that is not plain: a quote, a backslash, or no printable ASCII.
#[inline(always)]
pub fn plain(buf: &[u8], mut p: usize) -> usize {
    loop {
        let marks = odd(sixteen(buf, p));
        if marks != 0 {
            return p + marks.trailing_zeros() as usize;
        }
        p += 16;
    }
}

/// The string that goes on at `at`, where the first byte is that is not plain.
#[inline(never)]
pub fn odd_string(buf: &[u8], mut at: usize) -> Option<Str> {
    let mut found = Str { end: 0, odd: false, escaped: false };
    loop {
        match buf[at] {
            b'"' => return Some(Str { end: at, ..found }),
            b'\\' => {
                found.escaped = true;
                at = escape(buf, at)?;
            }
            ..0x20 => return None,
            0x7f.. => {
                found.odd = true;
                at += 1;
            }
            _ => at += 1,
        }
        let marks = end(sixteen(buf, at));
        // To the next byte of interest, or sixteen on.
        let plain = if marks == 0 { 16 } else { marks.trailing_zeros() as usize };
        found.odd |= odd(sixteen(buf, at)) & ((1 << plain) - 1) != 0;
        at += plain;
    }
}

/// Behind the escape that begins at `at`; `None` where it is none or half a surrogate pair.
fn escape(buf: &[u8], at: usize) -> Option<usize> {
    match buf[at + 1] {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => match hex(buf, at + 2)? {
            0xdc00..0xe000 => None,
            0xd800..0xdc00 => {
                let low = (buf[at + 6] == b'\\' && buf[at + 7] == b'u').then(|| hex(buf, at + 8))??;
                (0xdc00..0xe000).contains(&low).then_some(at + 12)
            }
            _ => Some(at + 6),
        },
        _ => None,
    }
}

fn hex(buf: &[u8], at: usize) -> Option<u32> {
    buf[at..at + 4].iter().try_fold(0, |n, b| Some(n << 4 | (*b as char).to_digit(16)?))
}

/// Appends the text of a string that `string` found, its escapes resolved.
pub fn unescape(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(i) = memchr::memchr(b'\\', raw) {
        out.extend_from_slice(&raw[..i]);
        let (c, len) = match raw[i + 1] {
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => match hex(raw, i + 2).expect("it was checked") {
                high @ 0xd800..0xdc00 => {
                    let low = hex(raw, i + 8).expect("it was checked");
                    (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}'), 12)
                }
                unit => (char::from_u32(unit).unwrap_or('\u{fffd}'), 6),
            },
            itself => (itself as char, 2),
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        raw = &raw[i + len..];
    }
    out.extend_from_slice(raw);
}

/// Behind the blanks from `p` on.
#[inline(always)]
pub fn blanks(buf: &[u8], mut p: usize) -> usize {
    while matches!(buf[p], b' ' | b'\t' | b'\r') {
        p += 1;
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn padded(text: &[u8]) -> Vec<u8> {
        let mut buf = text.to_vec();
        buf.extend_from_slice(&[0; SLACK]);
        buf
    }

    proptest! {
        #[test]
        fn a_string_is_what_serde_json_says_it_is(
            parts in proptest::collection::vec(prop_oneof![
                4 => "[ -~é日🦀\u{7f}]{0,20}".prop_map(|s| s.replace(['"', '\\'], "")),
                1 => r#"\\["\\/bfnrtux]"#,
                1 => r"\\u[0-9a-fA-F]{4}",
                1 => r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}",
                1 => "[\u{0}-\u{1f}]",
            ], 0..6),
        ) {
            let text = format!("\"{}\"", parts.concat());
            let judged = serde_json::from_str::<String>(&text);
            let found = string(&padded(text.as_bytes()), 1).filter(|s| s.end == text.len() - 1);
            prop_assert_eq!(found.is_some(), judged.is_ok(), "{}", text);
            if let (Some(found), Ok(want)) = (found, judged) {
                let mut out = Vec::new();
                unescape(&text.as_bytes()[1..found.end], &mut out);
                prop_assert_eq!(found.escaped, text.contains('\\'));
                prop_assert_eq!(found.odd, text.bytes().any(|b| b >= 0x7f));
                prop_assert_eq!(String::from_utf8(out).expect("UTF-8"), want);
            }
        }
    }
}
