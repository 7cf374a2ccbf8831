//! `first(x)`, `last(x)`: the value of the earliest and of the latest event where x is not NULL.
//!
//! Earliest and latest by (timestamp, eventId), so two events of one millisecond have an order too. Two users may have an
//! event of one id and instant: where both touch a key, the smaller and the larger value decide, as `min` and `max` have it.

use super::cells::{Arena, Cell, Text};
use super::codec::{get_byte, get_i64, get_str, get_value, put_bytes, put_datum, put_i64, put_value};
use super::extreme::order;
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

/// Whether an event takes the place of the one captured before; `old` is its value.
#[inline]
fn wins<'a>(
    before: Option<(Millis, &[u8])>,
    old: impl FnOnce() -> Datum<'a>,
    (timestamp, event_id, value): (Millis, &str, &Datum),
    wanted: Ordering,
) -> bool {
    before.is_none_or(|before| match (timestamp, event_id.as_bytes()).cmp(&before) {
        Ordering::Equal => tie(&old(), value) == wanted,
        order => order == wanted,
    })
}

/// The order of two values of one instant and id: that of the values, which the SQL of other engines knows too.
#[cold]
pub(super) fn tie(old: &Datum, new: &Datum) -> Ordering {
    let bytes = |datum| {
        let mut out = Vec::new();
        put_datum(&mut out, datum);
        out
    };
    // Of zero and minus zero the first to come must not decide.
    order(new, old).then_with(|| bytes(new).cmp(&bytes(old)))
}

fn place(slot: &Option<Box<Captured>>) -> Option<(Millis, &[u8])> {
    slot.as_ref().map(|captured| (captured.timestamp, captured.event_id.as_bytes()))
}

fn captured(slot: &Option<Box<Captured>>) -> Datum<'_> {
    slot.as_ref().map_or(Datum::Null, |captured| captured.value.datum())
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
        let value = || texts.datum(slot.value);
        if wins(old, value, (input.timestamp, input.event_id, &input.args[0]), wanted) {
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
                let new = (input.timestamp, input.event_id, &input.args[0]);
                if wins(place(&self.0), || captured(&self.0), new, $wanted)
                    && let Some(value) = input.args[0].to_value()
                {
                    let event_id = input.event_id.into();
                    self.0 = Some(Box::new(Captured { timestamp: input.timestamp, event_id, value }));
                }
            }

            fn merge(&mut self, other: &Self) {
                if let Some(theirs) = &other.0
                    && let new = (theirs.timestamp, &*theirs.event_id, &theirs.value.datum())
                    && wins(place(&self.0), || captured(&self.0), new, $wanted)
                {
                    self.0 = Some(theirs.clone());
                }
            }

            /// Of nothing: NULL.
            fn datum(&self, _: Type) -> Datum<'_> {
                captured(&self.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_users_events_of_one_id_and_instant_have_an_order_too() {
        fn of<P: Aggregate>(values: &[&'static str]) -> [Option<Value>; 2] {
            let (mut partial, mut merged, mut lane) = (P::default(), P::default(), P::Lane::default());
            lane.grow(1);
            for value in values {
                let input = Input { args: &[Datum::Str(value)], timestamp: 5, event_id: "e" };
                let mut other = P::default();
                partial.add(&input);
                other.add(&input);
                merged.merge(&other);
                lane.add(0, &input);
            }
            assert_eq!(partial.datum(Type::String), merged.datum(Type::String));
            [partial.datum(Type::String).to_value(), lane.datum(0, Type::String).to_value()]
        }
        for values in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
            assert_eq!(of::<First>(&values), [(); 2].map(|()| Some(Value::Str("a".into()))));
            assert_eq!(of::<Last>(&values), [(); 2].map(|()| Some(Value::Str("c".into()))));
        }
    }

    #[test]
    fn the_values_of_such_events_are_in_their_own_order_not_in_that_of_their_bytes() {
        for (less, more) in [
            (Datum::Str("b"), Datum::Str("bb")),
            (Datum::Str("bb"), Datum::Str("c")),
            (Datum::Int(-1), Datum::Int(0)),
            (Datum::Int(63), Datum::Int(64)),
            (Datum::Double(-0.5), Datum::Double(0.25)),
            (Datum::Double(0.0), Datum::Double(-0.0)),
            (Datum::Bool(false), Datum::Bool(true)),
        ] {
            assert_eq!(tie(&less, &more), Ordering::Greater, "{less:?} {more:?}");
            assert_eq!(tie(&more, &less), Ordering::Less, "{less:?} {more:?}");
            assert_eq!(tie(&less, &less), Ordering::Equal);
        }
    }
}
