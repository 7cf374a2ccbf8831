//! `first(x)`, `last(x)`: the value of the earliest and of the latest event where x is not NULL.
//!
//! Earliest and latest by (timestamp, eventId), so two events of one millisecond have an order too.

use super::codec::{get_byte, get_i64, get_str, get_value, put_bytes, put_i64, put_value};
use super::{Aggregate, Input, one_argument};
use crate::time::Millis;
use crate::value::{Type, Value};
use std::cmp::Ordering;

/// The value with the instant and the id of the event it came from.
#[derive(Clone, PartialEq, Debug)]
struct Captured {
    timestamp: Millis,
    event_id: Box<str>,
    value: Value,
}

// Boxed: a partial stands in every pane of every key, most of them counts of a few bytes.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct First(Option<Box<Captured>>);

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Last(Option<Box<Captured>>);

fn wins(slot: &Option<Box<Captured>>, timestamp: Millis, event_id: &str, wanted: Ordering) -> bool {
    slot.as_ref().is_none_or(|old| (timestamp, event_id).cmp(&(old.timestamp, &old.event_id)) == wanted)
}

fn encode(slot: &Option<Box<Captured>>, out: &mut Vec<u8>) {
    out.push(u8::from(slot.is_some()));
    if let Some(captured) = slot {
        put_i64(out, captured.timestamp);
        put_bytes(out, captured.event_id.as_bytes());
        put_value(out, &captured.value);
    }
}

fn decode(input: &mut &[u8]) -> Option<Option<Box<Captured>>> {
    if get_byte(input)? == 0 {
        return Some(None);
    }
    Some(Some(Box::new(Captured {
        timestamp: get_i64(input)?,
        event_id: get_str(input)?.into(),
        value: get_value(input)?,
    })))
}

macro_rules! edge {
    ($name:ident, $wanted:expr) => {
        impl Aggregate for $name {
            fn result_type(args: &[Type]) -> Result<Type, String> {
                one_argument(args)
            }

            fn add(&mut self, input: &Input) {
                if wins(&self.0, input.timestamp, input.event_id, $wanted)
                    && let Some(value) = input.args[0].to_value()
                {
                    let event_id = input.event_id.into();
                    self.0 = Some(Box::new(Captured { timestamp: input.timestamp, event_id, value }));
                }
            }

            fn merge(&mut self, other: &Self) {
                if let Some(theirs) = &other.0
                    && wins(&self.0, theirs.timestamp, &theirs.event_id, $wanted)
                {
                    self.0 = Some(theirs.clone());
                }
            }

            /// Of nothing: NULL.
            fn value(&self, _: Type) -> Option<Value> {
                self.0.as_ref().map(|captured| captured.value.clone())
            }

            fn encode(&self, out: &mut Vec<u8>) {
                encode(&self.0, out);
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                decode(input).map(Self)
            }
        }
    };
}

edge!(First, Ordering::Less);
edge!(Last, Ordering::Greater);
