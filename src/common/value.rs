//! Values: what a field of an event or a tag of a profile can be.
//!
//! A `Datum` borrows from the row it came from; a `Value` owns. NULL is
//! `Datum::Null`, and for an owned value its absence (`Option<Value>`).

use crate::money::Decimal;
use crate::ndjson;
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
}

impl Type {
    pub const ALL: [Type; 6] = [Type::Bool, Type::Int, Type::Decimal, Type::Double, Type::String, Type::Datetime];

    /// The name a definition file uses.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Decimal => "decimal",
            Type::Double => "double",
            Type::String => "string",
            Type::Datetime => "datetime",
        }
    }

    pub fn from_name(name: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|t| t.name() == name)
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
    /// A list or a map, as JSON text without blanks.
    Json(Box<str>),
}

impl Value {
    /// Lists and maps have no datum yet: expressions see them as NULL.
    pub fn datum(&self) -> Datum<'_> {
        match self {
            Value::Bool(b) => Datum::Bool(*b),
            Value::Int(n) => Datum::Int(*n),
            Value::Decimal(d) => Datum::Decimal(*d),
            Value::Double(x) => Datum::Double(*x),
            Value::Str(s) => Datum::Str(s),
            Value::Time(t) => Datum::Time(*t),
            Value::Json(_) => Datum::Null,
        }
    }

    /// Appends the value as JSON.
    pub fn push_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Json(json) => out.extend_from_slice(json.as_bytes()),
            other => other.datum().push_json(out),
        }
    }

    /// Reads a JSON value; `None` for null. A whole number is an int, a number of at most six places a decimal.
    pub fn from_json(raw: &str) -> Result<Option<Value>, serde_json::Error> {
        let raw = raw.trim();
        Ok(Some(match raw.as_bytes().first() {
            Some(b'n') => return serde_json::from_str::<()>(raw).map(|()| None),
            Some(b't' | b'f') => Value::Bool(serde_json::from_str(raw)?),
            Some(b'"') => Value::Str(serde_json::from_str::<String>(raw)?.into()),
            Some(b'{' | b'[') => Value::Json(serde_json::from_str::<serde_json::Value>(raw)?.to_string().into()),
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
        })
    }
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
        for text in ["", "+1", "007", "nul", "NaN", "1 2", "'a'", "[1", "tru"] {
            assert!(Value::from_json(text).is_err(), "{text}");
        }
    }
}
