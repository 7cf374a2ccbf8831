//! Text functions. Lengths and positions count characters (Unicode scalar values), never bytes.

use crate::value::Datum;
use bumpalo::Bump;

fn str<'a>(args: &[Datum<'a>], i: usize) -> Option<&'a str> {
    match args.get(i) {
        Some(Datum::Str(s)) => Some(s),
        _ => None,
    }
}

pub(super) fn concat<'a>(args: &[Datum<'a>], scratch: &'a Bump) -> Datum<'a> {
    let mut out = bumpalo::collections::String::new_in(scratch);
    for arg in args {
        let Datum::Str(s) = arg else { return Datum::Null };
        out.push_str(s);
    }
    Datum::Str(out.into_bump_str())
}

pub(super) fn length<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    str(args, 0).map_or(Datum::Null, |s| Datum::Int(s.chars().count() as i64))
}

pub(super) fn lower<'a>(args: &[Datum<'a>], scratch: &'a Bump) -> Datum<'a> {
    let same = |s: &str| s.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
    mapped(args, scratch, same, str::to_lowercase)
}

pub(super) fn upper<'a>(args: &[Datum<'a>], scratch: &'a Bump) -> Datum<'a> {
    let same = |s: &str| s.bytes().all(|b| b.is_ascii() && !b.is_ascii_lowercase());
    mapped(args, scratch, same, str::to_uppercase)
}

fn mapped<'a>(
    args: &[Datum<'a>],
    scratch: &'a Bump,
    same: impl Fn(&str) -> bool,
    map: impl Fn(&str) -> String,
) -> Datum<'a> {
    match str(args, 0) {
        None => Datum::Null,
        Some(s) if same(s) => Datum::Str(s),
        Some(s) => Datum::Str(scratch.alloc_str(&map(s))),
    }
}

pub(super) fn trim<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    trimmed(args, true, true)
}

pub(super) fn ltrim<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    trimmed(args, true, false)
}

pub(super) fn rtrim<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    trimmed(args, false, true)
}

/// Takes off blanks, and blanks only, or any of the characters of the second argument.
fn trimmed<'a>(args: &[Datum<'a>], start: bool, end: bool) -> Datum<'a> {
    let Some(mut s) = str(args, 0) else { return Datum::Null };
    let set = str(args, 1).unwrap_or(" ");
    if start {
        s = s.trim_start_matches(|c| set.contains(c));
    }
    if end {
        s = s.trim_end_matches(|c| set.contains(c));
    }
    Datum::Str(s)
}

/// Positions count from 1; 0 is 1, and a negative one counts from the end.
pub(super) fn substring<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    let (Some(s), Some(Datum::Int(start))) = (str(args, 0), args.get(1)) else { return Datum::Null };
    let from = match *start {
        n if n > 0 => n - 1,
        0 => 0,
        n => (s.chars().count() as i64).saturating_add(n),
    };
    let to = match args.get(2) {
        Some(Datum::Int(len)) => from.saturating_add((*len).max(0)),
        _ => i64::MAX,
    };
    let at = |n: i64| match usize::try_from(n) {
        Ok(n) => s.char_indices().nth(n).map_or(s.len(), |(at, _)| at),
        Err(_) => 0,
    };
    Datum::Str(&s[at(from)..at(to).max(at(from))])
}
