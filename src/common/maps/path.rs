//! Paths: how a map names a value inside a foreign line.
//!
//! A CSV path is the name of a column. A JSON path is `a.b`, `a[0]`, `["odd.name"]`, or
//! `a[key=x].b`: of the objects in the list `a` the first one whose `key` is `x`.

use super::cell::Cell;
use super::record::Object;
use crate::event::Refusal;
use serde_json::value::RawValue;
use std::fmt;

/// A path and the text it was written as.
#[derive(Clone, PartialEq, Debug)]
pub struct Path {
    pub text: String,
    /// The name at the top of the line.
    pub first: String,
    pub steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    Name(String),
    Index(usize),
    Where(String, String),
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Path {
    /// The column of this name.
    pub fn column(name: &str) -> Path {
        Path { text: name.to_string(), first: name.to_string(), steps: Vec::new() }
    }

    /// Reads a JSON path; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Path, String> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            rest = if let Some(inside) = rest.strip_prefix('[') {
                let (step, after) = bracket(inside).ok_or_else(|| format!("not a path: {text:?}"))?;
                steps.push(step);
                after
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return Err(format!("not a path: {text:?}"));
                }
                steps.push(Step::Name(rest[..end].to_string()));
                &rest[end..]
            };
            match rest.as_bytes().first() {
                None => break,
                Some(b'.') => rest = &rest[1..],
                Some(b'[') => {}
                Some(_) => return Err(format!("not a path: {text:?}")),
            }
        }
        match steps.remove(0) {
            Step::Name(first) => Ok(Path { text: text.to_string(), first, steps }),
            _ => Err(format!("a path begins with a name: {text:?}")),
        }
    }
}

/// What lies under `steps` inside the value `raw`.
pub fn walk<'a>(raw: &'a RawValue, steps: &[Step]) -> Result<Option<&'a RawValue>, Refusal> {
    let mut at = raw;
    for step in steps {
        let next = match step {
            Step::Name(name) => member(at, name)?,
            Step::Index(index) => list(at).and_then(|list| list.get(*index).copied()),
            Step::Where(key, value) => first_where(at, key, value)?,
        };
        match next {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// `0]…`, `"name"]…` or `key=value]…`, with what follows the bracket.
fn bracket(inside: &str) -> Option<(Step, &str)> {
    if let Some(quoted) = inside.strip_prefix('"') {
        let (name, after) = quoted.split_once("\"]")?;
        return Some((Step::Name(name.to_string()), after));
    }
    let (inner, after) = inside.split_once(']')?;
    let step = match inner.split_once('=') {
        Some((key, value)) if !key.is_empty() => Step::Where(key.to_string(), value.to_string()),
        Some(_) => return None,
        None => Step::Index(inner.parse().ok()?),
    };
    Some((step, after))
}

fn member<'a>(raw: &'a RawValue, name: &str) -> Result<Option<&'a RawValue>, Refusal> {
    Object::of(raw).map_or(Ok(None), |object| object.member(name))
}

fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    if raw.get().starts_with('[') { serde_json::from_str(raw.get()).ok() } else { None }
}

fn first_where<'a>(raw: &'a RawValue, key: &str, value: &str) -> Result<Option<&'a RawValue>, Refusal> {
    for element in list(raw).unwrap_or_default() {
        let found = member(element, key)?.and_then(Cell::of);
        if found.and_then(|cell| cell.text().map(|text| text == value)) == Some(true) {
            return Ok(Some(element));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, json: &str) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(json).expect("JSON");
        walk(raw, &Path::parse(path).expect(path).steps).expect("no refusal").map(|raw| raw.get().to_string())
    }

    #[test]
    fn a_path_reaches_into_objects_and_lists() {
        let json = r#"{"b":{"c":1},"l":[{"key":"x","v":{"s":"y"}},{"key":7,"v":2}],"o.d":3}"#;
        for (path, want) in [
            ("a", Some(json)),
            ("a.b.c", Some("1")),
            ("a[\"b\"].c", Some("1")),
            ("a[\"o.d\"]", Some("3")),
            ("a.l[1].key", Some("7")),
            ("a.l[key=x].v.s", Some("\"y\"")),
            ("a.l[key=7].v", Some("2")),
            ("a.l[key=z].v", None),
            ("a.l[2]", None),
            ("a.b[0]", None),
            ("a.l.key", None),
        ] {
            assert_eq!(at(path, json).as_deref(), want, "{path}");
        }
        for path in ["", ".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[0]b", "[0]", "a[=x]"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
