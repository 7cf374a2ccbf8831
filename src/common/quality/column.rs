//! Columns: the values of one tag over all rows, as they come and as figures.
//!
//! Sums are exact: a double counts as the nearest number of six places, as everywhere in adprof.

use super::distinct::Distinct;
use crate::money::{Decimal, SCALE};
use crate::value::{Type, Value};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cmp::Ordering;

/// The values of one tag so far.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// The type of the definition; without one the values tell.
    declared: Option<Type>,
    rows: u64,
    nulls: u64,
    /// Values that are not of the declared type, or of kinds that do not go together.
    wrong: u64,
    kind: Option<Kind>,
    range: Option<(Value, Value)>,
    sum: Sum,
    distinct: Distinct,
}

/// An exact sum; `None` once it is beyond what 128 bits hold.
#[derive(Clone, Copy, Debug)]
struct Sum(Option<i128>);

impl Default for Sum {
    fn default() -> Sum {
        Sum(Some(0))
    }
}

/// What kind the values are of, numbers from the narrowest to the widest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Int,
    Decimal,
    Double,
    Datetime,
    Bool,
    Text,
    Json,
}

impl Kind {
    fn of(value: &Value) -> Kind {
        match value {
            Value::Int(_) => Kind::Int,
            Value::Decimal(_) => Kind::Decimal,
            Value::Double(_) => Kind::Double,
            Value::Time(_) => Kind::Datetime,
            Value::Bool(_) => Kind::Bool,
            Value::Str(_) => Kind::Text,
            Value::Json(_) => Kind::Json,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Int => "int",
            Kind::Decimal => "decimal",
            Kind::Double => "double",
            Kind::Datetime => "datetime",
            Kind::Bool => "bool",
            Kind::Text => "string",
            Kind::Json => "json",
        }
    }

    /// The kind that holds both; `None`: no kind does.
    fn join(self, other: Kind) -> Option<Kind> {
        if self == other {
            return Some(self);
        }
        (self <= Kind::Double && other <= Kind::Double).then(|| self.max(other))
    }
}

impl Column {
    pub fn new(declared: Option<Type>) -> Column {
        Column { declared, ..Column::default() }
    }

    /// Takes the tag's value in one row.
    pub fn add(&mut self, value: Option<&Value>) {
        self.rows += 1;
        let Some(value) = value else {
            self.nulls += 1;
            return;
        };
        match fitting(value, self.declared) {
            Some(value) => self.take(&value),
            None => self.wrong += 1,
        }
    }

    fn take(&mut self, value: &Value) {
        let kind = Kind::of(value);
        let Some(joined) = self.kind.map_or(Some(kind), |so_far| so_far.join(kind)) else {
            self.wrong += 1;
            return;
        };
        self.kind = Some(joined);
        match value {
            Value::Str(text) => self.distinct.add(b's', text.as_bytes()),
            Value::Json(text) => self.distinct.add(b'j', text.as_bytes()),
            Value::Bool(b) => self.distinct.add(b'b', &[u8::from(*b)]),
            Value::Time(t) => self.distinct.add(b't', &t.to_le_bytes()),
            Value::Double(x) => self.distinct.add(b'd', &x.to_bits().to_le_bytes()),
            // 5 and 5.0 are one value.
            Value::Int(_) | Value::Decimal(_) => {
                let Decimal(micros) = decimal(value).expect("both are decimals");
                self.distinct.add(b'n', &micros.to_le_bytes());
            }
        }
        if matches!(value, Value::Str(_) | Value::Json(_) | Value::Bool(_)) {
            return;
        }
        self.widen(value);
        if !matches!(value, Value::Time(_)) {
            let more = decimal(value);
            self.sum.0 = self.sum.0.and_then(|sum| sum.checked_add(more?.0));
        }
    }

    fn widen(&mut self, value: &Value) {
        match &mut self.range {
            None => self.range = Some((value.clone(), value.clone())),
            Some((low, high)) => {
                if compare(value, low) == Ordering::Less {
                    *low = value.clone();
                }
                if compare(value, high) == Ordering::Greater {
                    *high = value.clone();
                }
            }
        }
    }

    /// Takes what another part of the rows had. Both have the same declaration.
    pub fn merge(&mut self, other: Column) {
        self.rows += other.rows;
        self.nulls += other.nulls;
        self.wrong += other.wrong;
        self.kind = match (self.kind, other.kind) {
            // Parts of different kinds: the second is what does not fit.
            (Some(a), Some(b)) if a.join(b).is_none() => {
                self.wrong += other.rows - other.nulls - other.wrong;
                return;
            }
            (Some(a), Some(b)) => a.join(b),
            (a, b) => a.or(b),
        };
        if let Some((low, high)) = other.range {
            self.widen(&low);
            self.widen(&high);
        }
        self.sum.0 = self.sum.0.zip(other.sum.0).and_then(|(a, b)| a.checked_add(b));
        self.distinct.merge(other.distinct);
    }

    pub fn finish(self) -> TagFigures {
        let (distinct, exact) = self.distinct.count();
        let summed = self.kind.is_some_and(|kind| kind <= Kind::Double);
        let (min, max) = self.range.unzip();
        TagFigures {
            ty: self.declared.map_or_else(|| self.kind.map_or("", Kind::name), Type::name).to_string(),
            rows: self.rows,
            nulls: self.nulls,
            wrong: self.wrong,
            min: min.map(Number),
            max: max.map(Number),
            sum: self.sum.0.filter(|_| summed).map(|sum| Exact(Decimal(sum))),
            distinct,
            exact,
            fingerprint: None,
        }
    }
}

/// The value as one of the declared type; `None` when it is not of that type.
fn fitting(value: &Value, declared: Option<Type>) -> Option<Cow<'_, Value>> {
    let same = Some(Cow::Borrowed(value));
    match (declared, value) {
        (None, _)
        | (Some(Type::Int), Value::Int(_))
        | (Some(Type::Bool), Value::Bool(_))
        | (Some(Type::String), Value::Str(_))
        | (Some(Type::Decimal), Value::Int(_) | Value::Decimal(_))
        | (Some(Type::Double), Value::Double(_))
        | (Some(Type::Datetime), Value::Time(_)) => same,
        (Some(ty @ (Type::List(_) | Type::Map(_))), Value::Json(_)) if value.is(ty) => same,
        (Some(Type::Datetime), Value::Int(t)) => Some(Cow::Owned(Value::Time(*t))),
        // What is printed shortest may look like a narrower number.
        (Some(Type::Double), Value::Int(n)) => Some(Cow::Owned(Value::Double(*n as f64))),
        (Some(Type::Double), Value::Decimal(d)) => d.to_string().parse().ok().map(Value::Double).map(Cow::Owned),
        _ => None,
    }
}

/// A number as a decimal: a double as the nearest one, `None` beyond what a decimal holds.
pub(super) fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Int(n) | Value::Time(n) => Some(Decimal::from_int(*n)),
        Value::Decimal(d) => Some(*d),
        Value::Double(x) => Decimal::from_f64(*x),
        _ => None,
    }
}

/// The order of two numbers.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    if let (Value::Double(a), Value::Double(b)) = (a, b) {
        return a.total_cmp(b);
    }
    match (decimal(a), decimal(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        // One of them is a double beyond all decimals.
        _ => float(a).total_cmp(&float(b)),
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Double(x) => *x,
        other => decimal(other).map_or(0.0, |d| d.0 as f64 / SCALE as f64),
    }
}

/// The figures of one tag.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagFigures {
    /// The name of its type; empty when no value has come and no definition tells.
    #[serde(rename = "type")]
    pub ty: String,
    /// Rows that name the tag.
    pub rows: u64,
    /// Of these, rows in which it is NULL.
    pub nulls: u64,
    /// Of these, rows whose value is not of the type: it counts in no other figure.
    pub wrong: u64,
    /// Of numbers; a datetime in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Number>,
    /// Of numbers, exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<Exact>,
    pub distinct: u64,
    /// Whether `distinct` is exact, or an estimate.
    pub exact: bool,
    /// Of the definition, where it is known: figures of another definition are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl TagFigures {
    /// Rows that have a value of the type.
    pub fn values(&self) -> u64 {
        self.rows.saturating_sub(self.nulls).saturating_sub(self.wrong)
    }
}

/// A value that is written as a JSON number, digit by digit.
#[derive(Clone, PartialEq, Debug)]
pub struct Number(pub Value);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        raw(self.0.to_string()).serialize(s)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Number, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        let value = Value::from_json(raw.get()).map_err(D::Error::custom)?;
        value
            .filter(|value| Kind::of(value) <= Kind::Double)
            .map(Number)
            .ok_or_else(|| D::Error::custom("not a number"))
    }
}

/// An exact sum, written as a JSON number of as many digits as it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exact(pub Decimal);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        raw(self.0.to_string()).serialize(s)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Exact, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        wide(raw.get()).map(Exact).ok_or_else(|| D::Error::custom(format!("not a sum: {}", raw.get())))
    }
}

fn raw(number: String) -> Box<RawValue> {
    RawValue::from_string(number).expect("numbers print as JSON")
}

/// A decimal of any size: `Decimal::parse` takes 64 bits of millionths, a sum may have 128.
fn wide(text: &str) -> Option<Decimal> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    if places.len() > 6 || !(whole.bytes().chain(places.bytes())).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: i128 = format!("{whole}{places:0<6}").parse().ok()?;
    Some(Decimal(if negative { -micros } else { micros }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(declared: Option<Type>, values: &[&str]) -> TagFigures {
        let mut column = Column::new(declared);
        values.iter().for_each(|v| column.add(Value::from_json(v).expect(v).as_ref()));
        column.finish()
    }

    fn shown(figures: &TagFigures) -> String {
        serde_json::to_string(figures).expect("JSON")
    }

    #[test]
    fn figures_are_exact_and_read_back() {
        for (declared, values, want) in [
            (None, &[][..], r#"{"type":"","rows":0,"nulls":0,"wrong":0,"distinct":0,"exact":true}"#),
            (
                None,
                &["1", "2.50", "null", "-0.000001"],
                r#"{"type":"decimal","rows":4,"nulls":1,"wrong":0,"min":-0.000001,"max":2.5,"sum":3.499999,"distinct":3,"exact":true}"#,
            ),
            (
                Some(Type::Decimal),
                &["9223372036854.775807", "9223372036854.775807"],
                r#"{"type":"decimal","rows":2,"nulls":0,"wrong":0,"min":9223372036854.775807,"max":9223372036854.775807,"sum":18446744073709.551614,"distinct":1,"exact":true}"#,
            ),
            (
                Some(Type::Datetime),
                &["1731296325000", "null"],
                r#"{"type":"datetime","rows":2,"nulls":1,"wrong":0,"min":1731296325000,"max":1731296325000,"distinct":1,"exact":true}"#,
            ),
            (
                Some(Type::String),
                &["\"a\"", "\"b\"", "\"a\"", "7"],
                r#"{"type":"string","rows":4,"nulls":0,"wrong":1,"distinct":2,"exact":true}"#,
            ),
            (
                Some(Type::List(&Type::Int)),
                &["[1]", "[1]", "{}", "[]", "null", "5"],
                r#"{"type":"list<int>","rows":6,"nulls":1,"wrong":2,"distinct":2,"exact":true}"#,
            ),
            (
                Some(Type::Double),
                &["1", "0.5", "1e300", "-1e300"],
                r#"{"type":"double","rows":4,"nulls":0,"wrong":0,"min":-1e300,"max":1e300,"distinct":4,"exact":true}"#,
            ),
        ] {
            let figures = of(declared, values);
            assert_eq!(shown(&figures), want);
            let back: TagFigures = serde_json::from_str(want).expect("reads");
            assert_eq!(shown(&back), want);
        }
    }

    #[test]
    fn parts_merge_to_the_whole_where_they_are_cut() {
        let values = ["5", "null", "0.25", "-7", "5.0", "1e3", "12345678.9"];
        for declared in [None, Some(Type::Decimal)] {
            let whole = of(declared, &values);
            for cut in 0..=values.len() {
                let mut left = Column::new(declared);
                let mut right = Column::new(declared);
                values[..cut].iter().for_each(|v| left.add(Value::from_json(v).expect(v).as_ref()));
                values[cut..].iter().for_each(|v| right.add(Value::from_json(v).expect(v).as_ref()));
                left.merge(right);
                assert_eq!(left.finish(), whole, "{cut}");
            }
        }
    }
}
