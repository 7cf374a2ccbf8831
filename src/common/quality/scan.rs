//! Scanning: the lines that adprof writes, cut into the raw values of known tags without building a patch.
//!
//! Only the very form of `Patch::push_line` is understood; of anything else it says so, and the line is parsed.

use crate::time::Millis;
use std::ops::Range;

/// Finds the as-of, and the raw JSON of each tag's value; `keys` are the tags as written: `"code":`, in their order.
///
/// `None`: the line is of another form, and `values` means nothing.
pub fn scan(line: &[u8], keys: &[Vec<u8>], values: &mut Vec<Range<usize>>) -> Option<Millis> {
    values.clear();
    // Inside a string every `"` has a `\` before it, so this can only be the key.
    let from = memchr::memmem::find(line, b",\"asOf\":")? + b",\"asOf\":".len();
    let mut at = from + line[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'-').count();
    let as_of = std::str::from_utf8(&line[from..at]).ok()?.parse().ok()?;
    at = line.len() - line[at..].strip_prefix(b",\"tags\":{")?.len();
    for (i, key) in keys.iter().enumerate() {
        if i > 0 {
            (line.get(at) == Some(&b',')).then_some(())?;
            at += 1;
        }
        line[at..].starts_with(key).then_some(())?;
        at += key.len();
        let len = value(&line[at..])?;
        values.push(at..at + len);
        at += len;
    }
    (&line[at..] == b"}}").then_some(as_of)
}

/// The length of a plain value; `None` for lists, maps, and texts with an escape.
fn value(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b'"' => {
            let end = 1 + memchr::memchr2(b'"', b'\\', &rest[1..])?;
            (rest[end] == b'"').then_some(end + 1)
        }
        b'[' | b'{' => None,
        _ => memchr::memchr2(b',', b'}', rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw<'a>(line: &'a str, codes: &[&str]) -> Option<Vec<&'a str>> {
        let keys: Vec<Vec<u8>> = codes.iter().map(|code| format!("\"{code}\":").into_bytes()).collect();
        let mut values = Vec::new();
        scan(line.as_bytes(), &keys, &mut values)?;
        Some(values.into_iter().map(|at| &line[at]).collect())
    }

    #[test]
    fn our_own_lines_are_cut_and_others_are_left_to_the_parser() {
        let line = r#"{"userId":"a\",\"asOf\":7","asOf":-5,"tags":{"n":null,"d":1.50,"s":"x,}","b":true}}"#;
        assert_eq!(raw(line, &["n", "d", "s", "b"]), Some(vec!["null", "1.50", "\"x,}\"", "true"]));
        assert_eq!(raw(r#"{"userId":"u","asOf":1,"tags":{}}"#, &[]), Some(vec![]));
        for (line, codes) in [
            (r#"{"userId":"u","asOf":1,"tags":{"a":1,"b":2}}"#, &["a"][..]),
            (r#"{"userId":"u","asOf":1,"tags":{"a":1}}"#, &["a", "b"]),
            (r#"{"userId":"u","asOf":1,"tags":{"b":1}}"#, &["a"]),
            (r#"{"userId":"u","asOf":1,"tags":{"a":"\""}}"#, &["a"]),
            (r#"{"userId":"u","asOf":1,"tags":{"a":[1]}}"#, &["a"]),
            (r#"{"userId":"u", "asOf":1,"tags":{"a":1}}"#, &["a"]),
            (r#"{"userId":"u","asOf":1,"tags":{"a":1}} "#, &["a"]),
            ("", &["a"]),
        ] {
            assert_eq!(raw(line, codes), None, "{line}");
        }
    }
}
