//! The lane of partials that own memory: side by side, with a place for the texts of their values.

use super::lanes::Lane;
use super::{Aggregate, Input};
use crate::expr::Scratch;
use crate::time::Millis;
use crate::value::{Datum, Type, Value};

/// Partials, by place.
pub struct Heap<P> {
    partials: Vec<P>,
    as_of: Millis,
    /// The values that were told as texts; as long as the output they go into, and freed with the partials.
    texts: Scratch,
}

impl<P> Default for Heap<P> {
    fn default() -> Heap<P> {
        Heap { partials: Vec::new(), as_of: 0, texts: Scratch::new() }
    }
}

impl<P: Aggregate> Lane for Heap<P> {
    const ORDERED: bool = P::ORDERED;

    fn look_at(&mut self, as_of: Millis) {
        self.as_of = as_of;
    }

    fn grow(&mut self, places: usize) {
        self.partials.resize(places, P::default());
    }

    fn add(&mut self, place: usize, input: &Input) {
        self.partials[place].add(input);
    }

    fn datum(&self, place: usize, ty: Type) -> Datum<'_> {
        told(self.partials[place].value(ty, self.as_of), &self.texts)
    }

    fn clear(&mut self) {
        self.partials.clear();
        self.texts.reset();
    }
}

/// A value as a datum; a text goes into `texts`.
pub(super) fn told(value: Option<Value>, texts: &Scratch) -> Datum<'_> {
    match value {
        None => Datum::Null,
        Some(Value::Bool(b)) => Datum::Bool(b),
        Some(Value::Int(n)) => Datum::Int(n),
        Some(Value::Decimal(d)) => Datum::Decimal(d),
        Some(Value::Double(x)) => Datum::Double(x),
        Some(Value::Time(t)) => Datum::Time(t),
        Some(Value::Str(text)) => Datum::Str(texts.alloc_str(&text)),
        Some(Value::Json(json)) => Datum::Json(texts.alloc_str(&json)),
    }
}
