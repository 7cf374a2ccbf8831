//! `first(x)`, `last(x)`: the value of the earliest and of the latest event where x is not NULL.
//!
//! Earliest and latest by (timestamp, eventId), so two events of one millisecond have an order too.

use super::cells::{Arena, Cell, Text};
use super::codec::{get_byte, get_i64, get_str, get_value, put_bytes, put_i64, put_value};
use super::lanes::Lane;
use super::{Aggregate, Input, one_argument};
use crate::time::Millis;
use crate::value::{Datum, Type, Value};
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

/// Whether an event takes the place of the one captured before, by (timestamp, eventId).
#[inline]
fn wins(old: Option<(Millis, &[u8])>, timestamp: Millis, event_id: &str, wanted: Ordering) -> bool {
    old.is_none_or(|old| (timestamp, event_id.as_bytes()).cmp(&old) == wanted)
}

fn place(slot: &Option<Box<Captured>>) -> Option<(Millis, &[u8])> {
    slot.as_ref().map(|captured| (captured.timestamp, captured.event_id.as_bytes()))
}

/// What many keys have captured.
#[derive(Default)]
struct Captures {
    slots: Vec<Slot>,
    texts: Arena,
}

/// Captured by one key; no value is NULL, so NULL means that nothing was captured yet.
#[derive(Clone, Copy, Default)]
struct Slot {
    timestamp: Millis,
    event_id: Text,
    value: Cell,
}

impl Captures {
    #[inline(always)]
    fn add(&mut self, place: usize, input: &Input, wanted: Ordering) {
        let Captures { slots, texts } = self;
        let slot = &mut slots[place];
        let old = (!matches!(slot.value, Cell::Null)).then(|| (slot.timestamp, texts.bytes(slot.event_id)));
        if wins(old, input.timestamp, input.event_id, wanted) {
            slot.timestamp = input.timestamp;
            slot.event_id = texts.put(slot.event_id, input.event_id.as_bytes());
            texts.put_cell(&mut slot.value, &input.args[0]);
        }
    }
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
    ($name:ident, $lane:ident, $wanted:expr) => {
        /// What many keys have captured.
        #[derive(Default)]
        pub struct $lane(Captures);

        impl Lane for $lane {
            const ORDERED: bool = true;

            fn grow(&mut self, places: usize) {
                self.0.slots.resize(places, Slot::default());
            }

            #[inline(always)]
            fn add(&mut self, place: usize, input: &Input) {
                self.0.add(place, input, $wanted);
            }

            #[inline(always)]
            fn datum(&self, place: usize, _: Type) -> Datum<'_> {
                self.0.texts.datum(self.0.slots[place].value)
            }

            fn clear(&mut self) {
                self.0.slots.clear();
                self.0.texts.clear();
            }
        }

        impl Aggregate for $name {
            const ORDERED: bool = true;
            type Lane = $lane;

            fn result_type(args: &[Type]) -> Result<Type, String> {
                one_argument(args)
            }

            fn add(&mut self, input: &Input) {
                if wins(place(&self.0), input.timestamp, input.event_id, $wanted)
                    && let Some(value) = input.args[0].to_value()
                {
                    let event_id = input.event_id.into();
                    self.0 = Some(Box::new(Captured { timestamp: input.timestamp, event_id, value }));
                }
            }

            fn merge(&mut self, other: &Self) {
                if let Some(theirs) = &other.0
                    && wins(place(&self.0), theirs.timestamp, &theirs.event_id, $wanted)
                {
                    self.0 = Some(theirs.clone());
                }
            }

            /// Of nothing: NULL.
            fn datum(&self, _: Type) -> Datum<'_> {
                self.0.as_ref().map_or(Datum::Null, |captured| captured.value.datum())
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

edge!(First, Firsts, Ordering::Less);
edge!(Last, Lasts, Ordering::Greater);
