//! JSON: where a value ends, checked byte by byte against the grammar.
//!
//! What is found here is what serde_json accepts; where in doubt the answer is `None`, and the judge decides.

use super::Texts;
use super::bytes::{blanks, string};
use crate::limits::DEPTH_MAX;

/// Behind the value that begins at `p`, so many objects inside the event.
pub fn value(buf: &[u8], p: usize, depth: usize, texts: &mut Texts) -> Option<usize> {
    match buf[p] {
        b'"' => {
            let mut own = Texts::default();
            let end = text(buf, p, &mut own)?;
            texts.odd |= own.odd;
            texts.escaped |= own.escaped && depth > 0;
            Some(end)
        }
        b'{' | b'[' => nested(buf, p, depth, texts),
        _ => {
            let found = scalar(buf, p)?;
            texts.huge |= found.huge && depth > 0;
            Some(found.end)
        }
    }
}

/// A number or a word.
struct Scalar {
    end: usize,
    /// A number with an exponent or very many digits: it may be beyond a double, which only some readers refuse.
    huge: bool,
}

fn scalar(buf: &[u8], p: usize) -> Option<Scalar> {
    let word = |text: &[u8]| buf[p..].starts_with(text).then_some(Scalar { end: p + text.len(), huge: false });
    match buf[p] {
        b'-' | b'0'..=b'9' => number(buf, p),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        b'n' => word(b"null"),
        _ => None,
    }
}

fn number(buf: &[u8], p: usize) -> Option<Scalar> {
    let digits = |from: usize| {
        let mut at = from;
        while buf[at].is_ascii_digit() {
            at += 1;
        }
        (at > from).then_some(at)
    };
    let start = p + usize::from(buf[p] == b'-');
    let mut end = if buf[start] == b'0' { start + 1 } else { digits(start)? };
    if buf[end] == b'.' {
        end = digits(end + 1)?;
    }
    let mut huge = end - start > 300;
    if matches!(buf[end], b'e' | b'E') {
        huge = true;
        end = digits(end + 1 + usize::from(matches!(buf[end + 1], b'+' | b'-')))?;
    }
    Some(Scalar { end, huge })
}

/// Behind the object or array that begins at `p`.
fn nested(buf: &[u8], p: usize, around: usize, texts: &mut Texts) -> Option<usize> {
    // One bit a level: whether it is an object.
    let (mut objects, mut depth) = (0u64, 0usize);
    let mut at = p;
    loop {
        // A value begins here.
        match buf[at] {
            open @ (b'{' | b'[') => {
                depth += 1;
                // The event itself is a level too.
                if around + depth >= DEPTH_MAX {
                    return None;
                }
                objects = objects << 1 | u64::from(open == b'{');
                at = blanks(buf, at + 1);
                if buf[at] == open + 2 {
                    // Empty: it ends as any other does.
                } else if open == b'{' {
                    at = key(buf, at, texts)?;
                    continue;
                } else {
                    continue;
                }
            }
            b'"' => at = text(buf, at, texts)?,
            _ => {
                let found = scalar(buf, at)?;
                texts.huge |= found.huge;
                at = found.end;
            }
        }
        // And here one ended.
        loop {
            at = blanks(buf, at);
            let object = objects & 1 == 1;
            match (buf[at], object) {
                (b'}', true) | (b']', false) => {
                    objects >>= 1;
                    depth -= 1;
                    at += 1;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                (b',', true) => {
                    at = key(buf, blanks(buf, at + 1), texts)?;
                    break;
                }
                (b',', false) => {
                    at = blanks(buf, at + 1);
                    break;
                }
                _ => return None,
            }
        }
    }
}

/// Behind the string at `at`, its opening quote included.
fn text(buf: &[u8], at: usize, texts: &mut Texts) -> Option<usize> {
    let found = string(buf, at + 1)?;
    texts.odd |= found.odd;
    texts.escaped |= found.escaped;
    Some(found.end + 1)
}

/// The beginning of the value whose key begins at `at`.
fn key(buf: &[u8], at: usize, texts: &mut Texts) -> Option<usize> {
    if buf[at] != b'"' {
        return None;
    }
    let at = blanks(buf, text(buf, at, texts)?);
    (buf[at] == b':').then(|| blanks(buf, at + 1))
}

/// The bytes of the value under `path` inside the value in `at..end`; of several with one name the last, as JSON has it.
///
/// `Err`: a name is written with escapes, so that only the judge can tell.
pub fn find(buf: &[u8], at: usize, path: &[String]) -> Result<Option<(usize, usize)>, ()> {
    let Some((name, rest)) = path.split_first() else {
        return Ok(value(buf, at, 0, &mut Texts::default()).map(|end| (at, end)));
    };
    if buf[at] != b'{' {
        return Ok(None);
    }
    let (mut found, mut at) = (None, blanks(buf, at + 1));
    while buf[at] == b'"' {
        let this = string(buf, at + 1).ok_or(())?;
        if this.escaped {
            return Err(());
        }
        let begins = blanks(buf, blanks(buf, this.end + 1) + 1);
        if &buf[at + 1..this.end] == name.as_bytes() {
            found = Some(begins);
        }
        at = blanks(buf, value(buf, begins, 0, &mut Texts::default()).ok_or(())?);
        if buf[at] == b',' {
            at = blanks(buf, at + 1);
        }
    }
    found.map_or(Ok(None), |at| find(buf, at, rest))
}

#[cfg(test)]
mod tests {
    use super::super::bytes::SLACK;
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn padded(text: &str) -> Vec<u8> {
        let mut buf = text.as_bytes().to_vec();
        buf.extend_from_slice(&[0; SLACK]);
        buf
    }

    fn whole(text: &str) -> Option<usize> {
        let mut texts = Texts::default();
        value(&padded(text), 0, 0, &mut texts).filter(|_| !(texts.escaped && texts.huge))
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_string()),
            Just("true".to_string()),
            Just("fals".to_string()),
            "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
            "-?[0-9]{0,3}\\.?[0-9]{0,2}",
            "\"[a-zé]{0,5}\"",
            Just(r#""\u00e9\n""#.to_string()),
            Just(r#""\ud800""#.to_string()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let blank = prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\t")];
            prop_oneof![
                (proptest::collection::vec(inner.clone(), 0..4), blank.clone())
                    .prop_map(|(parts, b)| format!("[{b}{}{b}]", parts.join(&format!("{b},{b}")))),
                (proptest::collection::vec(("[ab]{1,2}", inner), 0..4), blank).prop_map(|(parts, b)| {
                    let parts: Vec<_> = parts.iter().map(|(k, v)| format!("{b}\"{k}\"{b}:{b}{v}")).collect();
                    format!("{{{b}{}{b}}}", parts.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_ends_where_serde_json_says(text in json()) {
            let accepted = serde_json::from_str::<&RawValue>(&text).is_ok()
                && (!text.contains("\\u") || serde_json::from_str::<serde_json::Value>(&text).is_ok());
            let found = whole(&text) == Some(text.len());
            // What is not found goes to the judge; what is found must be right.
            prop_assert!(accepted || !found, "{}", text);
            let doubtful = text.contains('\\') && text.contains(['e', 'E']);
            prop_assert!(found || !accepted || doubtful, "{}", text);
        }

        #[test]
        fn a_path_leads_where_serde_json_finds_it(text in json(), path in proptest::collection::vec("[ab]", 1..3)) {
            let Ok(whole) = serde_json::from_str::<serde_json::Value>(&text) else { return Ok(()) };
            let buf = padded(&text);
            let Ok(found) = find(&buf, 0, &path) else {
                prop_assert!(text.contains('\\'), "{}", text);
                return Ok(());
            };
            let want = path.iter().try_fold(&whole, |value, name| value.get(name));
            let found = found.map(|(from, to)| serde_json::from_slice::<serde_json::Value>(&buf[from..to]).expect("JSON"));
            prop_assert_eq!(found.as_ref(), want, "{}", text);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(whole(&nested(DEPTH_MAX - 1)), Some(2 * (DEPTH_MAX - 1)));
        assert_eq!(whole(&nested(DEPTH_MAX)), None);
    }
}
