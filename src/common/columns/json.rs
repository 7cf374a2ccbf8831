//! Rows as JSON: what each type of Parquet becomes.
//!
//! Instants are whole milliseconds, as everywhere in adprof; decimals are exact numbers; a missing value is no field.

use super::EXTRA;
use crate::ndjson;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::civil::date;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::data_type::Decimal;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::value::RawValue;

/// How a column is written where its values alone do not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As its value is.
    Value,
    /// Nanoseconds since 1970.
    Nanos,
    /// Nanoseconds since midnight.
    TimeNanos,
    Uuid,
    /// A text that is JSON.
    Json,
    /// The column `extra`: its members are members of the row.
    Extra,
    Group(Vec<Shape>),
}

impl Shape {
    /// The shape of a column of the first level; an error names a column that has no form in JSON.
    pub fn of(column: &Type) -> Result<Shape, String> {
        refuse(column, column.name())?;
        let text = column.is_primitive() && column.get_physical_type() == Physical::BYTE_ARRAY;
        Ok(if text && column.name() == EXTRA { Shape::Extra } else { Shape::inside(column) })
    }

    fn inside(column: &Type) -> Shape {
        let info = column.get_basic_info();
        match info.logical_type_ref() {
            Some(LogicalType::Timestamp(timestamp)) if timestamp.unit == TimeUnit::NANOS => Shape::Nanos,
            Some(LogicalType::Time(time)) if time.unit == TimeUnit::NANOS => Shape::TimeNanos,
            Some(LogicalType::Uuid) => Shape::Uuid,
            Some(LogicalType::Json) => Shape::Json,
            _ if info.converted_type() == ConvertedType::JSON => Shape::Json,
            // Lists and maps have helper groups between, and what is in them is written as its value is.
            Some(LogicalType::List | LogicalType::Map) => Shape::Value,
            _ if column.is_group() => {
                Shape::Group(column.get_fields().iter().map(|field| Shape::inside(field)).collect())
            }
            _ => Shape::Value,
        }
    }
}

/// Types that the library does not read: told before the first row, not in the middle.
fn refuse(column: &Type, path: &str) -> Result<(), String> {
    if column.is_group() {
        return column.get_fields().iter().try_for_each(|field| refuse(field, &format!("{path}.{}", field.name())));
    }
    use ConvertedType as C;
    let converted = column.get_basic_info().converted_type();
    let known = match column.get_physical_type() {
        Physical::INT32 => !matches!(converted, C::UTF8 | C::TIME_MICROS | C::INT_64 | C::UINT_64),
        Physical::INT64 => !matches!(converted, C::UTF8 | C::TIME_MILLIS | C::DATE | C::INT_8 | C::INT_16 | C::INT_32),
        Physical::FIXED_LEN_BYTE_ARRAY => matches!(converted, C::DECIMAL | C::NONE),
        _ => true,
    };
    let wide = converted == C::DECIMAL && column.get_precision() > 38;
    match (known, wide) {
        (true, false) => Ok(()),
        (true, true) => Err(format!("column `{}` has decimals of more than 38 digits", ndjson::shown(path))),
        (false, _) => Err(format!("column `{}` is of type {converted}, which cannot be read", ndjson::shown(path))),
    }
}

/// Appends a row as one line of JSON, without its newline.
pub fn push_row(row: &Row, shapes: &[Shape], out: &mut Vec<u8>) {
    out.push(b'{');
    for ((name, value), shape) in row.get_column_iter().zip(shapes) {
        match (shape, value) {
            (_, Field::Null) => {}
            (Shape::Extra, Field::Str(text)) => push_extra(name, text, out),
            (Shape::Extra, Field::Bytes(bytes)) => match std::str::from_utf8(bytes.data()) {
                Ok(text) => push_extra(name, text, out),
                Err(_) => push_member(name, value, shape, out),
            },
            _ => push_member(name, value, shape, out),
        }
    }
    out.push(b'}');
}

fn push_name(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    ndjson::push_str(out, name);
    out.push(b':');
}

fn push_member(name: &str, value: &Field, shape: &Shape, out: &mut Vec<u8>) {
    push_name(name, out);
    push_value(value, shape, out);
}

/// The members of an object; what is no object stays a field of its own.
fn push_extra(name: &str, text: &str, out: &mut Vec<u8>) {
    let inner = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let (Some(inner), Ok(_)) = (inner, serde_json::from_str::<&RawValue>(text)) else {
        push_name(name, out);
        return ndjson::push_str(out, text);
    };
    if inner.trim().is_empty() {
        return;
    }
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    push_one_line(inner, out);
}

/// Valid JSON on one line: a newline in it stands between two tokens.
fn push_one_line(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().map(|b| if b == b'\n' || b == b'\r' { b' ' } else { b }));
}

fn push_value(value: &Field, shape: &Shape, out: &mut Vec<u8>) {
    match value {
        Field::Null => out.extend_from_slice(b"null"),
        Field::Bool(x) => push(x, out),
        Field::Byte(x) => push(x, out),
        Field::Short(x) => push(x, out),
        Field::Int(x) => push(x, out),
        Field::Long(x) => match shape {
            Shape::Nanos => push(x.div_euclid(1_000_000), out),
            Shape::TimeNanos => push_time(*x, out),
            _ => push(x, out),
        },
        Field::UByte(x) => push(x, out),
        Field::UShort(x) => push(x, out),
        Field::UInt(x) => push(x, out),
        Field::ULong(x) => push(x, out),
        Field::Float16(x) => push_float(f64::from(x.to_f32()), x.to_f32(), out),
        Field::Float(x) => push_float(f64::from(*x), *x, out),
        Field::Double(x) => push_float(*x, *x, out),
        Field::Decimal(x) => push_decimal(x, out),
        Field::Str(text) => push_text(text, shape, out),
        Field::Bytes(bytes) => push_bytes(bytes.data(), shape, out),
        Field::Date(days) => push_date(*days, out),
        Field::TimeMillis(x) => push_time(i64::from(*x) * 1_000_000, out),
        Field::TimeMicros(x) => push_time(x.saturating_mul(1000), out),
        Field::TimestampMillis(x) => push(x, out),
        Field::TimestampMicros(x) => push(x.div_euclid(1000), out),
        Field::Group(row) => {
            out.push(b'{');
            for (i, (name, value)) in row.get_column_iter().enumerate() {
                let shape = if let Shape::Group(shapes) = shape { shapes.get(i) } else { None };
                push_member(name, value, shape.unwrap_or(&Shape::Value), out);
            }
            out.push(b'}');
        }
        Field::ListInternal(list) => {
            out.push(b'[');
            for (i, value) in list.elements().iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                push_value(value, &Shape::Value, out);
            }
            out.push(b']');
        }
        Field::MapInternal(map) => {
            out.push(b'{');
            for (key, value) in map.entries() {
                push_name(&key_text(key), out);
                push_value(value, &Shape::Value, out);
            }
            out.push(b'}');
        }
    }
}

fn push(x: impl std::fmt::Display, out: &mut Vec<u8>) {
    out.extend_from_slice(x.to_string().as_bytes());
}

/// The key of a map: its text, or its value as JSON.
fn key_text(key: &Field) -> String {
    match key {
        Field::Str(text) => text.clone(),
        other => {
            let mut out = Vec::new();
            push_value(other, &Shape::Value, &mut out);
            String::from_utf8_lossy(&out).trim_matches('"').to_string()
        }
    }
}

/// The shortest text that is that number; what JSON has no number for is a text, so that it is not taken for nothing.
fn push_float(x: f64, shown: impl serde::Serialize, out: &mut Vec<u8>) {
    if x.is_finite() {
        return out.extend_from_slice(&serde_json::to_vec(&shown).expect("a finite number"));
    }
    out.extend_from_slice(if x.is_nan() {
        b"\"NaN\""
    } else if x > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    });
}

/// An exact number without zeros at its end.
fn push_decimal(x: &Decimal, out: &mut Vec<u8>) {
    let bytes = x.data();
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    // Up to 38 digits fit; longer arrays repeat the sign in front.
    let unscaled = bytes.iter().fold(if negative { -1i128 } else { 0 }, |n, b| (n << 8) | i128::from(*b));
    let digits = unscaled.unsigned_abs().to_string();
    let scale = x.scale().max(0) as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if negative { "-" } else { "" };
    push(format_args!("{sign}{whole}{point}{fraction}"), out);
}

fn push_text(text: &str, shape: &Shape, out: &mut Vec<u8>) {
    match shape {
        Shape::Json if serde_json::from_str::<&RawValue>(text).is_ok() => push_one_line(text.trim(), out),
        _ => ndjson::push_str(out, text),
    }
}

/// Bytes without a type are text where they can be.
fn push_bytes(bytes: &[u8], shape: &Shape, out: &mut Vec<u8>) {
    match (shape, bytes.len(), std::str::from_utf8(bytes)) {
        (Shape::Uuid, 16, _) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
            push(format_args!("\"{a}-{b}-{c}-{d}-{e}\""), out);
        }
        (_, _, Ok(text)) => push_text(text, shape, out),
        (_, _, Err(_)) => ndjson::push_str(out, &BASE64_STANDARD.encode(bytes)),
    }
}

fn push_date(days: i32, out: &mut Vec<u8>) {
    match date(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).unwrap_or_default()) {
        Ok(day) => push(format_args!("\"{day}\""), out),
        // Beyond the calendar's years.
        Err(_) => push(days, out),
    }
}

fn push_time(nanos: i64, out: &mut Vec<u8>) {
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:09}").trim_end_matches('0').to_string() };
    push(format_args!("\"{hours:02}:{minutes:02}:{seconds:02}{fraction}\""), out);
}
