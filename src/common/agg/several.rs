//! `first_k(x, k)`, `last_k(x, k)`: the values of the k earliest events, oldest first, and of the k latest, newest first.
//!
//! An ordered partial: the set of (timestamp, eventId, x) of the events that matter. It holds k of them at most, k being
//! at most 100, so a few kilobytes. Events where x is NULL are passed over.

use super::codec::{get_byte, get_i64, get_str, get_u64, get_value, put_bytes, put_i64, put_u64, put_value};
use super::edge::tie;
use super::heap::Heap;
use super::{Aggregate, Constant, Input, list, list_type, whole, with_constant};
use crate::time::Millis;
use crate::value::{Type, Value};

const VERSION: u8 = 1;
pub(super) const K: &[Constant] = &[Constant::Count { name: "k", most: 100 }];

/// The value of an event, with what orders it.
#[derive(Clone, PartialEq, Debug)]
struct Captured {
    timestamp: Millis,
    event_id: Box<str>,
    value: Value,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Set {
    k: usize,
    /// In the order they are told, none twice.
    events: Vec<Captured>,
}

impl Set {
    /// Where an event belongs: `Err` where it may be put in.
    fn place(&self, timestamp: Millis, event_id: &str, value: &Value, latest: bool) -> Result<usize, usize> {
        self.events.binary_search_by(|known| {
            let order = (known.timestamp, known.event_id.as_bytes()).cmp(&(timestamp, event_id.as_bytes()));
            // Two events of one instant and id are those of two users: their values give them an order.
            let order = order.then_with(|| tie(&value.datum(), &known.value.datum()));
            if latest { order.reverse() } else { order }
        })
    }

    fn add(&mut self, timestamp: Millis, event_id: &str, value: &Value, latest: bool) {
        if let Err(at) = self.place(timestamp, event_id, value, latest)
            && at < self.k
        {
            self.events.truncate(self.k - 1);
            self.events.insert(at, Captured { timestamp, event_id: event_id.into(), value: value.clone() });
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.k as u64);
        put_u64(out, self.events.len() as u64);
        for Captured { timestamp, event_id, value } in &self.events {
            put_i64(out, *timestamp);
            put_bytes(out, event_id.as_bytes());
            put_value(out, value);
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Set> {
        let k = usize::try_from(get_u64(input)?).ok()?;
        let n = get_u64(input)?;
        let mut events = Vec::new();
        for _ in 0..n {
            let (timestamp, event_id) = (get_i64(input)?, get_str(input)?.into());
            events.push(Captured { timestamp, event_id, value: get_value(input)? });
        }
        Some(Set { k, events })
    }
}

macro_rules! several {
    ($name:ident, $latest:literal) => {
        // Boxed: a partial stands in every pane of every key, most of them counts of a few bytes.
        #[derive(Clone, Default, PartialEq, Debug)]
        pub struct $name(Option<Box<Set>>);

        impl Aggregate for $name {
            const ORDERED: bool = true;
            const CONSTANTS: &'static [Constant] = K;
            type Lane = Heap<$name>;

            fn result_type(args: &[Type]) -> Result<Type, String> {
                list_type(with_constant(args, "k")?)
            }

            /// Arguments: x, k.
            fn add(&mut self, input: &Input) {
                let set = self.0.get_or_insert_default();
                set.k = whole(input.args[1]);
                if let Some(value) = input.args[0].to_value() {
                    set.add(input.timestamp, input.event_id, &value, $latest);
                }
            }

            fn merge(&mut self, other: &Self) {
                let Some(theirs) = &other.0 else { return };
                let set = self.0.get_or_insert_default();
                set.k = theirs.k;
                for Captured { timestamp, event_id, value } in &theirs.events {
                    set.add(*timestamp, event_id, value, $latest);
                }
            }

            /// Of nothing: NULL.
            fn value(&self, _: Type, _: Millis) -> Option<Value> {
                Some(list(self.0.as_ref()?.events.iter().map(|event| &event.value)))
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.push(VERSION);
                self.0.as_deref().unwrap_or(&Set::default()).encode(out);
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                let set = (get_byte(input)? == VERSION).then(|| Set::decode(input))??;
                Some($name((!set.events.is_empty()).then(|| Box::new(set))))
            }
        }
    };
}

several!(FirstK, false);
several!(LastK, true);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Datum;

    #[test]
    fn two_tenants_events_of_one_id_and_instant_have_an_order_too() {
        let of = |values: [&'static str; 3]| {
            let mut last = LastK::default();
            for value in values {
                last.add(&Input { args: &[Datum::Str(value), Datum::Int(2)], timestamp: 5, event_id: "e" });
            }
            last.value(Type::List(&Type::String), 0)
        };
        assert_eq!(of(["a", "b", "c"]), Some(Value::Json("[\"c\",\"b\"]".into())));
        assert_eq!(of(["c", "a", "b"]), of(["a", "b", "c"]));
    }
}
