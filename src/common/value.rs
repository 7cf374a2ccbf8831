//! Values: what a field of an event or a tag of a profile can be.
//!
//! A `Datum` borrows from the row it came from; a `Value` owns. NULL is
//! `Datum::Null`, and for an owned value its absence (`Option<Value>`).

use crate::money::Decimal;
use crate::ndjson;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

/// The type of an expression or of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    Bool,
    /// 64 bits.
    Int,
    /// Exact, six places.
    Decimal,
    Double,
    String,
    /// Milliseconds since the epoch.
    Datetime,
    /// Values of one type, in an order.
    List(&'static Type),
    /// Texts, each with a value of one type.
    Map(&'static Type),
}

/// Every type with the name a definition file uses. Nothing nests deeper than a list or a map in a map.
static TYPES: [(&str, Type); 30] = [
    ("bool", Type::Bool),
    ("int", Type::Int),
    ("decimal", Type::Decimal),
    ("double", Type::Double),
    ("string", Type::String),
    ("datetime", Type::Datetime),
    ("list<bool>", Type::List(&Type::Bool)),
    ("list<int>", Type::List(&Type::Int)),
    ("list<decimal>", Type::List(&Type::Decimal)),
    ("list<double>", Type::List(&Type::Double)),
    ("list<string>", Type::List(&Type::String)),
    ("list<datetime>", Type::List(&Type::Datetime)),
    ("map<bool>", Type::Map(&Type::Bool)),
    ("map<int>", Type::Map(&Type::Int)),
    ("map<decimal>", Type::Map(&Type::Decimal)),
    ("map<double>", Type::Map(&Type::Double)),
    ("map<string>", Type::Map(&Type::String)),
    ("map<datetime>", Type::Map(&Type::Datetime)),
    ("map<list<bool>>", Type::Map(&Type::List(&Type::Bool))),
    ("map<list<int>>", Type::Map(&Type::List(&Type::Int))),
    ("map<list<decimal>>", Type::Map(&Type::List(&Type::Decimal))),
    ("map<list<double>>", Type::Map(&Type::List(&Type::Double))),
    ("map<list<string>>", Type::Map(&Type::List(&Type::String))),
    ("map<list<datetime>>", Type::Map(&Type::List(&Type::Datetime))),
    ("map<map<bool>>", Type::Map(&Type::Map(&Type::Bool))),
    ("map<map<int>>", Type::Map(&Type::Map(&Type::Int))),
    ("map<map<decimal>>", Type::Map(&Type::Map(&Type::Decimal))),
    ("map<map<double>>", Type::Map(&Type::Map(&Type::Double))),
    ("map<map<string>>", Type::Map(&Type::Map(&Type::String))),
    ("map<map<datetime>>", Type::Map(&Type::Map(&Type::Datetime))),
];

impl Type {
    /// The types of one value: what a field of an event can be.
    pub const SCALARS: [Type; 6] = [Type::Bool, Type::Int, Type::Decimal, Type::Double, Type::String, Type::Datetime];

    /// All there are: what a tag can be.
    pub fn all() -> impl Iterator<Item = Type> {
        TYPES.iter().map(|(_, ty)| *ty)
    }

    /// The name a definition file uses.
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|(_, ty)| *ty == self).map_or("json", |(name, _)| name)
    }

    pub fn from_name(name: &str) -> Option<Type> {
        TYPES.iter().find(|(known, _)| *known == name).map(|(_, ty)| *ty)
    }

    /// The type of lists of this one; `None` where there are none.
    pub fn list_of(self) -> Option<Type> {
        Type::all().find(|ty| matches!(ty, Type::List(item) if **item == self))
    }

    /// The type of maps to this one; `None` where there are none.
    pub fn map_to(self) -> Option<Type> {
        Type::all().find(|ty| matches!(ty, Type::Map(value) if **value == self))
    }

    /// Whether it is made of many values: a list or a map.
    pub fn is_nested(self) -> bool {
        matches!(self, Type::List(_) | Type::Map(_))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A borrowed value, or NULL.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Datum<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    Double(f64),
    Str(&'a str),
    Time(i64),
    /// A list or a map, as its JSON text.
    Json(&'a str),
}

impl Datum<'_> {
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    pub fn to_value(&self) -> Option<Value> {
        Some(match *self {
            Datum::Null => return None,
            Datum::Bool(b) => Value::Bool(b),
            Datum::Int(n) => Value::Int(n),
            Datum::Decimal(d) => Value::Decimal(d),
            Datum::Double(x) => Value::Double(x),
            Datum::Str(s) => Value::Str(s.into()),
            Datum::Time(t) => Value::Time(t),
            Datum::Json(json) => Value::Json(json.into()),
        })
    }

    /// Appends the value as JSON.
    #[inline]
    pub fn push_json(&self, out: &mut Vec<u8>) {
        match *self {
            Datum::Null => out.extend_from_slice(b"null"),
            Datum::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            Datum::Int(n) | Datum::Time(n) => ndjson::push_int(out, n),
            Datum::Decimal(d) => d.push(out),
            Datum::Double(x) => write!(out, "{}", Double(x)).expect("memory takes what is written"),
            Datum::Str(s) => ndjson::push_str(out, s),
            Datum::Json(json) => out.extend_from_slice(json.as_bytes()),
        }
    }
}

/// An owned value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    Double(f64),
    Str(Box<str>),
    Time(i64),
    /// A list or a map, as JSON text: without blanks, keys in the order of their bytes, numbers as tags write them.
    Json(Box<str>),
}

impl Value {
    pub fn datum(&self) -> Datum<'_> {
        match self {
            Value::Bool(b) => Datum::Bool(*b),
            Value::Int(n) => Datum::Int(*n),
            Value::Decimal(d) => Datum::Decimal(*d),
            Value::Double(x) => Datum::Double(*x),
            Value::Str(s) => Datum::Str(s),
            Value::Time(t) => Datum::Time(*t),
            Value::Json(json) => Datum::Json(json),
        }
    }

    /// Appends the value as JSON.
    pub fn push_json(&self, out: &mut Vec<u8>) {
        self.datum().push_json(out);
    }

    /// Reads a JSON value; `None` for null. A whole number is an int, a number of at most six places a decimal.
    pub fn from_json(raw: &str) -> Result<Option<Value>, serde_json::Error> {
        let raw = raw.trim();
        Ok(Some(match raw.as_bytes().first() {
            Some(b'n') => return serde_json::from_str::<()>(raw).map(|()| None),
            Some(b't' | b'f') => Value::Bool(serde_json::from_str(raw)?),
            Some(b'"') => Value::Str(serde_json::from_str::<String>(raw)?.into()),
            Some(b'{' | b'[') => {
                // The judge first: it knows the grammar and how deep a text may nest.
                serde_json::from_str::<serde::de::IgnoredAny>(raw)?;
                let mut out = Vec::with_capacity(raw.len());
                push_nested(raw, &mut out)?;
                Value::Json(String::from_utf8(out).expect("made of JSON texts").into())
            }
            _ => Value::from_number(raw)?,
        }))
    }

    fn from_number(raw: &str) -> Result<Value, serde_json::Error> {
        if let Ok(n) = raw.parse::<i64>()
            && raw != "-0"
        {
            // JSON's grammar is narrower than Rust's (`+1`, `007`): let the judge decide.
            return serde_json::from_str::<i64>(raw).map(|_| Value::Int(n));
        }
        // serde_json knows the grammar; its doubles may be off by one in the last place, those of the standard library not.
        let near: f64 = serde_json::from_str(raw)?;
        let double = raw.parse().unwrap_or(near);
        Ok(match Decimal::parse(raw) {
            Ok(d) => Value::Decimal(d),
            Err(_) => Value::Double(double),
        })
    }

    /// Reads the plain text form (`Display`) back, given the type.
    ///
    /// `None` when the text is not of that type.
    pub fn parse(text: &str, ty: Type) -> Option<Value> {
        Some(match ty {
            Type::Bool => Value::Bool(text.parse().ok()?),
            Type::Int => Value::Int(text.parse().ok()?),
            Type::Decimal => Value::Decimal(Decimal::parse(text).ok()?),
            Type::Double => Value::Double(text.parse().ok()?),
            Type::String => Value::Str(text.into()),
            Type::Datetime => Value::Time(text.parse().ok()?),
            Type::List(_) | Type::Map(_) => Value::from_json(text).ok()?.filter(|value| value.is(ty))?,
        })
    }

    /// Whether a list or a map is one of this type, as far as its brackets tell; true for what is neither.
    pub fn is(&self, ty: Type) -> bool {
        match (self, ty) {
            (Value::Json(json), Type::List(_)) => json.starts_with('['),
            (Value::Json(json), Type::Map(_)) => json.starts_with('{'),
            (Value::Json(_), _) => false,
            _ => !ty.is_nested(),
        }
    }
}

/// Appends a JSON text in the one form it has here.
fn push_nested(raw: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match raw.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw)?;
            push_between(out, b"[]", items, |item, out| push_nested(item.get(), out))
        }
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw)?;
            push_between(out, b"{}", members, |(key, value), out| {
                ndjson::push_str(out, &key);
                out.push(b':');
                push_nested(value.get(), out)
            })
        }
        _ => {
            match Value::from_json(raw)? {
                Some(value) => value.push_json(out),
                None => Datum::Null.push_json(out),
            }
            Ok(())
        }
    }
}

/// Appends things in brackets, with commas between them.
pub fn push_between<T, E>(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(T, &mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    out.push(brackets[0]);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(item, out)?;
    }
    out.push(brackets[1]);
    Ok(())
}

/// Plain text, as a Redis field holds it: `sports`, `5`, `150.75`, `true`; a datetime in milliseconds.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) | Value::Time(n) => write!(f, "{n}"),
            Value::Decimal(d) => write!(f, "{d}"),
            Value::Double(x) => Double(*x).fmt(f),
            Value::Str(s) | Value::Json(s) => f.write_str(s),
        }
    }
}

/// The shortest text that reads back as the number; whole numbers without a point.
struct Double(f64);

impl fmt::Display for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        if x.fract() == 0.0 && x.abs() < 1e15 {
            // Adding zero turns -0 into 0.
            write!(f, "{}", (x + 0.0) as i64)
        } else if x.abs() >= 1e-5 && x.abs() < 1e16 {
            write!(f, "{x}")
        } else {
            write!(f, "{x:e}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_reads_back_to_the_same_bytes() {
        for json in [
            "true",
            "5",
            "-7",
            "150.75",
            "\"sports\"",
            "[1,2]",
            "{\"a\":1}",
            "0.3333333333333333",
            "0.9666666666666667",
            "1e300",
            "-2.5e-9",
            "9223372036854775807",
        ] {
            let value = Value::from_json(json).expect(json).expect("not null");
            let mut out = Vec::new();
            value.push_json(&mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), json);
        }
        assert_eq!(Value::from_json("null").expect("null"), None);
    }

    #[test]
    fn what_is_not_json_is_not_a_value() {
        for text in ["", "+1", "007", "nul", "NaN", "1 2", "'a'", "[1", "tru", "[1,]", "{\"a\"}", "[007]", "{1:2}"] {
            assert!(Value::from_json(text).is_err(), "{text}");
        }
        assert!(Value::from_json(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn lists_and_maps_have_one_text() {
        for (text, want) in [
            (" [ 1 , 2.50, null, \"a\" ] ", "[1,2.5,null,\"a\"]"),
            ("{\"b\":1,\"a\":[true,{}],\"B\":{\"y\":1,\"x\":2}}", "{\"B\":{\"x\":2,\"y\":1},\"a\":[true,{}],\"b\":1}"),
            ("{\"a\":1,\"a\":2}", "{\"a\":2}"),
            // More digits than a double holds.
            ("[9223372036854.775807,0.1]", "[9223372036854.775807,0.1]"),
            ("[\"caf\\u00e9\"]", "[\"café\"]"),
        ] {
            let value = Value::from_json(text).expect(text).expect("not null");
            assert_eq!(value.to_string(), want);
            assert_eq!(Value::from_json(want).expect(want), Some(value));
        }
    }

    #[test]
    fn every_type_has_a_name_of_its_own_and_nests_as_it_says() {
        for ty in Type::all() {
            assert_eq!(Type::from_name(ty.name()), Some(ty));
        }
        for ty in Type::SCALARS {
            assert_eq!(ty.list_of().expect("a list").name(), format!("list<{ty}>"));
            assert_eq!(ty.map_to().and_then(Type::map_to).expect("a map").name(), format!("map<map<{ty}>>"));
        }
        assert_eq!(Type::Int.map_to().and_then(Type::map_to).and_then(Type::map_to), None);
        assert_eq!(Value::parse("[1]", Type::Map(&Type::Int)), None);
        assert_eq!(Value::parse("[1]", Type::List(&Type::Int)), Some(Value::Json("[1]".into())));
    }
}
