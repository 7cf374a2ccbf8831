//! The protocol of Redis: commands written straight into a buffer.
//!
//! A value is always an argument with its length before it, so no byte of it is ever
//! read as a command.

use crate::key::Prefixes;
use crate::patch::{ALL_OTHERS, Patch};
use ::redis::Value;
use std::io::Write;

/// Appends a command of plain arguments.
pub(super) fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    head(out, b'*', arguments.len());
    for argument in arguments {
        bulk(out, argument);
    }
}

/// A token that has to be there, and what takes its place.
pub(super) struct Under<'a> {
    pub token: &'a str,
    pub expected: &'a str,
    pub new: &'a str,
}

/// Appends the call of a script that makes `patches` true: the names as KEYS, and as ARGV for each the number of arguments
/// of its HSET and these, the number of those of its HDEL and these.
pub(super) fn script<'p>(
    out: &mut Vec<u8>,
    sha: &[u8],
    under: Option<Under<'_>>,
    patches: impl Iterator<Item = &'p Patch> + Clone,
    names: &Prefixes,
) {
    let tokens = usize::from(under.is_some());
    let keys = patches.clone().count() + tokens;
    // Two counts a patch; a field that goes is one argument, one that stays two. Without any name all go.
    let set = |patch: &Patch| patch.tags.iter().filter(|(_, value)| value.is_some()).count();
    let gone = |patch: &Patch| usize::from(patch.is_whole()) + patch.removed().count();
    let tags = |patch: &Patch| 2 + 2 * set(patch) + gone(patch);
    head(out, b'*', 3 + keys + 2 * tokens + patches.clone().map(tags).sum::<usize>());
    bulk(out, b"EVALSHA");
    bulk(out, sha);
    number(out, keys);
    if let Some(under) = &under {
        bulk(out, under.token.as_bytes());
    }
    for patch in patches.clone() {
        bulk(out, names.name(&patch.key).as_bytes());
    }
    if let Some(under) = &under {
        bulk(out, under.expected.as_bytes());
        bulk(out, under.new.as_bytes());
    }
    let mut scratch = Vec::new();
    for patch in patches {
        number(out, 2 * set(patch));
        for (code, value) in &patch.tags {
            let Some(value) = value else { continue };
            bulk(out, code.as_bytes());
            scratch.clear();
            write!(scratch, "{value}").expect("memory takes every write");
            bulk(out, &scratch);
        }
        number(out, gone(patch));
        if patch.is_whole() {
            bulk(out, ALL_OTHERS.as_bytes());
        }
        patch.removed().for_each(|code| bulk(out, code.as_bytes()));
    }
}

fn number(out: &mut Vec<u8>, n: usize) {
    bulk(out, n.to_string().as_bytes());
}

/// A text among the answers.
pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// Appends the DEL, HSET and HDEL that make `patch` true; gives the number of commands (0 to 3).
///
/// `scratch` is overwritten.
pub(super) fn patch(out: &mut Vec<u8>, patch: &Patch, names: &Prefixes, scratch: &mut Vec<u8>) -> usize {
    let removed = patch.removed().count();
    let set = patch.tags.iter().filter(|(_, value)| value.is_some()).count();
    let name = names.name(&patch.key);
    let whole = patch.is_whole();
    if whole {
        command(out, &[b"DEL", name.as_bytes()]);
    }
    if set > 0 {
        head(out, b'*', 2 + 2 * set);
        bulk(out, b"HSET");
        bulk(out, name.as_bytes());
        for (code, value) in &patch.tags {
            let Some(value) = value else { continue };
            bulk(out, code.as_bytes());
            scratch.clear();
            write!(scratch, "{value}").expect("memory takes every write");
            bulk(out, scratch);
        }
    }
    if removed > 0 {
        head(out, b'*', 2 + removed);
        bulk(out, b"HDEL");
        bulk(out, name.as_bytes());
        patch.removed().for_each(|code| bulk(out, code.as_bytes()));
    }
    usize::from(whole) + usize::from(set > 0) + usize::from(removed > 0)
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn head(out: &mut Vec<u8>, kind: u8, n: usize) {
    // Almost every length has one or two digits.
    match n {
        0..10 => out.extend_from_slice(&[kind, b'0' + n as u8, b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[kind, b'0' + (n / 10) as u8, b'0' + (n % 10) as u8, b'\r', b'\n']),
        _ => write!(out, "{}{n}\r\n", kind as char).expect("memory takes every write"),
    }
}

/// `text` as a pattern that matches itself only.
pub(super) fn glob_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_a_set_of_what_is_there_and_a_removal_of_the_rest() {
        let line = r#"{"userId":"a b","asOf":1,"tags":{"n":null,"ltv":150.75,"seg":"x\r\n*1","list":[1,2]}}"#;
        let mut out = Vec::new();
        assert_eq!(
            super::patch(&mut out, &Patch::parse(line).expect("a patch"), &Prefixes::default(), &mut Vec::new()),
            2
        );
        let want = "*8\r\n$4\r\nHSET\r\n$11\r\nprofile:a b\r\n$3\r\nltv\r\n$6\r\n150.75\r\n$3\r\nseg\r\n$5\r\nx\r\n*1\r\n\
                    $4\r\nlist\r\n$5\r\n[1,2]\r\n*3\r\n$4\r\nHDEL\r\n$11\r\nprofile:a b\r\n$1\r\nn\r\n";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), want);
    }

    #[test]
    fn a_whole_patch_removes_all_others_first_and_no_patch_of_a_profile_is_one() {
        for (entity, want) in [
            (
                "segments",
                "*2\r\n$3\r\nDEL\r\n$12\r\nsegments:u-1\r\n*4\r\n$4\r\nHSET\r\n$12\r\nsegments:u-1\r\n$1\r\na\r\n$1\r\n5\r\n",
            ),
            ("item", "*4\r\n$4\r\nHSET\r\n$8\r\nitem:u-1\r\n$1\r\na\r\n$1\r\n5\r\n"),
        ] {
            let tags = vec![(ALL_OTHERS.into(), None), ("a".into(), Some(crate::value::Value::Int(5)))];
            let patch = Patch { key: crate::key::Key::new("", entity, ["u-1"]), as_of: 1, tags };
            let mut out = Vec::new();
            super::patch(&mut out, &patch, &Prefixes::default(), &mut Vec::new());
            assert_eq!(String::from_utf8(out).expect("UTF-8"), want);
        }
    }

    #[test]
    fn lengths_of_any_size_are_written() {
        for n in [0, 9, 10, 99, 100, 1_234_567] {
            let mut out = Vec::new();
            head(&mut out, b'$', n);
            assert_eq!(out, format!("${n}\r\n").into_bytes());
        }
    }
}
