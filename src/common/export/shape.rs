//! Shapes: a tag's type as columns of Parquet, and values taken apart into them.
//!
//! A list is three levels (the list, its items, an item), a map of pairs; what is missing at a level stands in no column
//! below it, but as a number of levels that are there. Everything but keys may be missing.

use crate::columns::cells::{Bytes, column};
use crate::value::{Type, Value};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::{Type as Node, TypePtr};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

/// A decimal has as many digits as the format allows.
const DIGITS: i32 = 38;
const PLACES: i32 = 6;
const DECIMAL_BYTES: i32 = 16;

/// The columns of one tag.
pub enum Shape {
    /// The place of the column.
    Leaf(usize),
    List(Box<Shape>),
    /// The column of keys, and those of values.
    Map(usize, Box<Shape>),
}

/// One column on its way into a row group.
pub struct Leaf {
    ty: Type,
    /// Levels of a value that is there, and of one in a list.
    definition_max: i16,
    repetition_max: i16,
    values: Values,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Decimal(Bytes),
    Text(Bytes),
}

impl Leaf {
    fn new(ty: Type, definition_max: i16, repetition_max: i16) -> Leaf {
        let values = match ty {
            Type::Bool => Values::Bool(Vec::new()),
            Type::Int | Type::Datetime => Values::Int(Vec::new()),
            Type::Double => Values::Double(Vec::new()),
            Type::Decimal => Values::Decimal(Bytes::default()),
            Type::String | Type::List(_) | Type::Map(_) => Values::Text(Bytes::default()),
        };
        Leaf { ty, definition_max, repetition_max, values, definition: Vec::new(), repetition: Vec::new() }
    }

    fn levels(&mut self, repetition: i16, definition: i16) {
        self.repetition.push(repetition);
        self.definition.push(definition);
    }

    /// Takes a value; false when it is not of the column's type.
    fn put(&mut self, value: &Value) -> bool {
        match (&mut self.values, value) {
            (Values::Bool(values), Value::Bool(b)) => values.push(*b),
            (Values::Int(values), Value::Int(n)) => values.push(*n),
            (Values::Int(values), Value::Time(t)) if self.ty == Type::Datetime => values.push(*t),
            (Values::Double(values), Value::Double(x)) => values.push(*x),
            // Text has one form of a number, whatever its type: 5 may be a double.
            (Values::Double(values), Value::Int(_) | Value::Decimal(_)) => match value.to_string().parse() {
                Ok(x) => values.push(x),
                Err(_) => return false,
            },
            (Values::Decimal(values), Value::Decimal(d)) => return put_decimal(values, d.0),
            (Values::Decimal(values), Value::Int(n)) => {
                return put_decimal(values, crate::money::Decimal::from_int(*n).0);
            }
            (Values::Text(values), Value::Str(text)) => values.push(text.as_bytes()),
            _ => return false,
        }
        true
    }

    /// Writes it as the next column of a row group.
    pub fn write<W: Write + Send>(self, group: &mut SerializedRowGroupWriter<'_, W>) -> io::Result<()> {
        let definition = (self.definition_max > 0).then_some(&self.definition[..]);
        let repetition = (self.repetition_max > 0).then_some(&self.repetition[..]);
        match self.values {
            Values::Bool(values) => column::<_, BoolType>(group, &values, definition, repetition),
            Values::Int(values) => column::<_, Int64Type>(group, &values, definition, repetition),
            Values::Double(values) => column::<_, DoubleType>(group, &values, definition, repetition),
            Values::Text(values) => column::<_, ByteArrayType>(group, &values.values(), definition, repetition),
            Values::Decimal(values) => {
                let values: Vec<FixedLenByteArray> = values.values().into_iter().map(Into::into).collect();
                column::<_, FixedLenByteArrayType>(group, &values, definition, repetition)
            }
        }
    }

    /// The same column without values.
    pub fn empty(&self) -> Leaf {
        Leaf::new(self.ty, self.definition_max, self.repetition_max)
    }
}

fn put_decimal(values: &mut Bytes, millionths: i128) -> bool {
    let fits = millionths.unsigned_abs() < 10_u128.pow(DIGITS as u32);
    if fits {
        values.push(&millionths.to_be_bytes());
    }
    fits
}

/// A column of texts that are always there.
pub fn required(name: &str, leaves: &mut Vec<Leaf>) -> (TypePtr, usize) {
    leaves.push(Leaf::new(Type::String, 0, 0));
    (leaf(name, Type::String, Repetition::REQUIRED).expect("a text"), leaves.len() - 1)
}

/// The columns of a tag: its part of the schema, and where the columns are.
pub fn columns(name: &str, ty: Type, leaves: &mut Vec<Leaf>) -> Result<(TypePtr, Shape), ParquetError> {
    below(name, ty, leaves, 0, 0)
}

/// `definition`, `repetition`: the levels of what stands above.
fn below(
    name: &str,
    ty: Type,
    leaves: &mut Vec<Leaf>,
    definition: i16,
    repetition: i16,
) -> Result<(TypePtr, Shape), ParquetError> {
    let (logical, repeated, fields, shape) = match ty {
        Type::List(item) => {
            let (node, shape) = below("element", *item, leaves, definition + 2, repetition + 1)?;
            (LogicalType::List, "list", vec![node], Shape::List(Box::new(shape)))
        }
        Type::Map(value) => {
            let at = leaves.len();
            leaves.push(Leaf::new(Type::String, definition + 2, repetition + 1));
            let key = leaf("key", Type::String, Repetition::REQUIRED)?;
            let (node, shape) = below("value", *value, leaves, definition + 2, repetition + 1)?;
            (LogicalType::Map, "key_value", vec![key, node], Shape::Map(at, Box::new(shape)))
        }
        scalar => {
            leaves.push(Leaf::new(scalar, definition + 1, repetition));
            return Ok((leaf(name, scalar, Repetition::OPTIONAL)?, Shape::Leaf(leaves.len() - 1)));
        }
    };
    let repeated =
        Node::group_type_builder(repeated).with_repetition(Repetition::REPEATED).with_fields(fields).build()?;
    let node = Node::group_type_builder(name)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(logical))
        .with_fields(vec![Arc::new(repeated)])
        .build()?;
    Ok((Arc::new(node), shape))
}

fn leaf(name: &str, ty: Type, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match ty {
        Type::Bool => (Physical::BOOLEAN, None),
        Type::Int => (Physical::INT64, None),
        Type::Double => (Physical::DOUBLE, None),
        Type::Datetime => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        Type::Decimal => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::decimal(PLACES, DIGITS))),
        Type::String | Type::List(_) | Type::Map(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let mut node = Node::primitive_type_builder(name, physical).with_repetition(repetition).with_logical_type(logical);
    if ty == Type::Decimal {
        node = node.with_length(DECIMAL_BYTES).with_precision(DIGITS).with_scale(PLACES);
    }
    node.build().map(Arc::new)
}

/// A value, as it is or as JSON.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    Value(&'a Value),
    Raw(&'a str),
}

/// Takes values apart into columns.
pub struct Shredder<'a> {
    pub leaves: &'a mut [Leaf],
    /// Values that are not of their type, and so missing.
    pub odd: &'a mut u64,
}

impl Shredder<'_> {
    /// Takes a value that has no list around it.
    pub fn put(&mut self, shape: &Shape, value: Option<Item<'_>>) {
        self.item(shape, value, 0, 0, 0);
    }

    /// `repetition` is that of this item, `definition` the levels above it that are there, `depth` the lists around it.
    fn item(&mut self, shape: &Shape, item: Option<Item<'_>>, repetition: i16, definition: i16, depth: i16) {
        let Some(item) = item else { return self.missing(shape, repetition, definition) };
        match shape {
            Shape::Leaf(at) => {
                let there = match item {
                    Item::Value(value) => self.leaves[*at].put(value),
                    Item::Raw(raw) => match self.scalar(*at, raw) {
                        Some(value) => self.leaves[*at].put(&value),
                        None => return self.missing(shape, repetition, definition),
                    },
                };
                *self.odd += u64::from(!there);
                self.leaves[*at].levels(repetition, definition + i16::from(there));
            }
            Shape::List(inner) => match nested::<Vec<&RawValue>>(item) {
                None => self.odd(shape, repetition, definition),
                Some(items) if items.is_empty() => self.missing(shape, repetition, definition + 1),
                Some(items) => {
                    for (i, raw) in items.into_iter().enumerate() {
                        let repetition = if i == 0 { repetition } else { depth + 1 };
                        self.item(inner, there(raw), repetition, definition + 2, depth + 1);
                    }
                }
            },
            Shape::Map(keys, inner) => match nested::<BTreeMap<String, &RawValue>>(item) {
                None => self.odd(shape, repetition, definition),
                Some(items) if items.is_empty() => self.missing(shape, repetition, definition + 1),
                Some(items) => {
                    for (i, (key, raw)) in items.into_iter().enumerate() {
                        let repetition = if i == 0 { repetition } else { depth + 1 };
                        self.leaves[*keys].put(&Value::Str(key.into()));
                        self.leaves[*keys].levels(repetition, definition + 2);
                        self.item(inner, there(raw), repetition, definition + 2, depth + 1);
                    }
                }
            },
        }
    }

    /// A scalar that stands in a list or a map; `None` for what is no value at all.
    fn scalar(&self, leaf: usize, raw: &str) -> Option<Value> {
        match (self.leaves[leaf].ty, Value::from_json(raw).ok()??) {
            (Type::Datetime, Value::Int(t)) => Some(Value::Time(t)),
            (_, value) => Some(value),
        }
    }

    fn odd(&mut self, shape: &Shape, repetition: i16, definition: i16) {
        *self.odd += 1;
        self.missing(shape, repetition, definition);
    }

    fn missing(&mut self, shape: &Shape, repetition: i16, definition: i16) {
        match shape {
            Shape::Leaf(at) => self.leaves[*at].levels(repetition, definition),
            Shape::List(inner) => self.missing(inner, repetition, definition),
            Shape::Map(keys, inner) => {
                self.leaves[*keys].levels(repetition, definition);
                self.missing(inner, repetition, definition);
            }
        }
    }
}

fn there(raw: &RawValue) -> Option<Item<'_>> {
    Some(raw.get()).filter(|raw| *raw != "null").map(Item::Raw)
}

/// A list or a map from its JSON; `None` for anything else.
fn nested<'a, T: serde::Deserialize<'a>>(item: Item<'a>) -> Option<T> {
    match item {
        Item::Value(Value::Json(json)) => serde_json::from_str(json).ok(),
        Item::Value(_) => None,
        Item::Raw(raw) => serde_json::from_str(raw).ok(),
    }
}
