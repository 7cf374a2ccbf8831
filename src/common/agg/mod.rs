//! Aggregations: what is remembered of many events so that one value can be told.
//!
//! Every aggregation is order-free: the same events in any order and any grouping
//! give the same partial, byte for byte. A new one is a file here and a line in `registry!`.

mod average;
mod cells;
pub mod codec;
mod constant;
mod count;
mod counts;
mod decayed;
mod distinct;
mod edge;
mod extreme;
mod grouped;
mod hash;
mod heap;
mod kept;
mod lanes;
mod moments;
mod percentile;
mod several;
mod sketch;
mod sum;
mod wide;

#[cfg(test)]
mod laws;
#[cfg(test)]
pub(crate) mod naive;

use crate::pane::Window;
use crate::rows::{Block, Pick};
use crate::time::Millis;
use crate::value::{Datum, Type, Value, push_between};
pub use constant::Constant;
use grouped::{Grouped, Groups};
pub use lanes::Arguments;
use lanes::Lane;
use std::collections::BTreeMap;

/// Different values that `top_k`, `histogram` and `by` keep where nothing else is said.
pub const KEEP: i64 = 1000;
pub const KEEP_MAX: i64 = 10_000;

/// What one event brings to an aggregation: the arguments and, for ties, its instant and id.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// None of them NULL, except that `count(*)` has none at all. Constants come last, as `Form::arguments` has them.
    pub args: &'a [Datum<'a>],
    pub timestamp: Millis,
    pub event_id: &'a str,
}

/// What is remembered of the events of one pane.
///
/// `merge` is commutative and associative and `Default` its neutral element; `decode(encode(x)) = x`.
trait Aggregate: Clone + Default {
    /// Whether the instant and the id of an event are looked at.
    const ORDERED: bool = false;
    /// What it takes besides the value, in order.
    const CONSTANTS: &'static [Constant] = &[];
    /// Whether it keeps so many values and no more: then that number is its last argument.
    const KEEPS: bool = false;
    /// Many of them: `Vec<Self>`, `Heap<Self>` for those that own memory, or what takes less room or time.
    type Lane: Lane + Default;
    /// The type of the value for arguments of these types; the error says what the function takes.
    fn result_type(args: &[Type]) -> Result<Type, String>;
    fn add(&mut self, input: &Input);
    fn merge(&mut self, other: &Self);
    /// Takes `other` back out, where that is exact; `false` where it is not and nothing was done.
    fn subtract(&mut self, _other: &Self) -> bool {
        false
    }
    /// Whether some values had to be left out.
    fn is_flagged(&self) -> bool {
        false
    }
    /// The value, given the type that `result_type` said, or NULL: of those whose value lies in them as it is.
    fn datum(&self, _: Type) -> Datum<'_> {
        Datum::Null
    }
    /// The value at an instant, for all.
    fn value(&self, ty: Type, _at: Millis) -> Option<Value> {
        self.datum(ty).to_value()
    }
    fn encode(&self, out: &mut Vec<u8>);
    /// `None` when the bytes are not what `encode` writes.
    fn decode(input: &mut &[u8]) -> Option<Self>;
}

macro_rules! registry {
    ($($function:ident, $name:literal, $partial:ty;)*) => {
        /// An aggregate function, by its name in a definition file.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Function { $($function),* }

        /// What one pane remembers, for any function.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Partial { $($function($partial),)* Grouped(Box<Grouped>) }

        /// The partials of many keys, one a place, for any function.
        pub struct Partials(Lanes);

        enum Lanes { $($function(<$partial as Aggregate>::Lane),)* Grouped(Groups) }

        /// The names of all functions.
        pub const NAMES: &[&str] = &[$($name),*];

        impl Function {
            pub const ALL: &[Function] = &[$(Function::$function),*];

            pub fn name(self) -> &'static str {
                match self { $(Function::$function => $name),* }
            }

            pub fn from_name(name: &str) -> Option<Function> {
                match name { $($name => Some(Function::$function),)* _ => None }
            }

            /// The type of the value for arguments of these types; the error says what the function takes.
            pub fn result_type(self, args: &[Type]) -> Result<Type, String> {
                match self { $(Function::$function => <$partial as Aggregate>::result_type(args)),* }
            }

            /// What it takes besides the value, in order.
            pub fn constants(self) -> &'static [Constant] {
                match self { $(Function::$function => <$partial as Aggregate>::CONSTANTS),* }
            }

            /// Whether it keeps so many different values and no more.
            pub fn keeps(self) -> bool {
                match self { $(Function::$function => <$partial as Aggregate>::KEEPS),* }
            }

            fn partials(self, as_of: Millis) -> Partials {
                match self {
                    $(Function::$function => {
                        let mut lane = <<$partial as Aggregate>::Lane>::default();
                        lane.look_at(as_of);
                        Partials(Lanes::$function(lane))
                    })*
                }
            }

            /// The partial of no events.
            fn empty(self) -> Partial {
                match self { $(Function::$function => Partial::$function(Default::default())),* }
            }

            fn decode(self, input: &mut &[u8]) -> Option<Partial> {
                Some(match self { $(Function::$function => Partial::$function(Aggregate::decode(input)?)),* })
            }
        }

        impl Partials {
            /// Makes room for `places` places; new ones have seen no events.
            pub fn grow(&mut self, places: usize) {
                match &mut self.0 { $(Lanes::$function(lane) => lane.grow(places),)* Lanes::Grouped(lane) => lane.grow(places) }
            }

            /// Adds the picked rows of a block, each to its place; rows of which an argument is NULL do not count.
            pub fn add(&mut self, picks: &[Pick], block: &Block, arguments: Arguments<'_>) {
                match &mut self.0 {
                    $(Lanes::$function(lane) => lanes::add(lane, picks, block, arguments),)*
                    Lanes::Grouped(lane) => lanes::add(lane, picks, block, arguments),
                }
            }

            /// Writes the values of the partials at these places, given the type that `result_type` said, each to
            /// column `at` of its own row of `width` in `rows`.
            pub fn data<'a>(&'a self, places: &[u32], ty: Type, rows: &mut [Datum<'a>], width: usize, at: usize) {
                match &self.0 {
                    $(Lanes::$function(lane) => lanes::data(lane, places, ty, rows, width, at),)*
                    Lanes::Grouped(lane) => lanes::data(lane, places, ty, rows, width, at),
                }
            }

            /// Forgets everything, and keeps the memory.
            pub fn clear(&mut self) {
                match &mut self.0 { $(Lanes::$function(lane) => lane.clear(),)* Lanes::Grouped(lane) => lane.clear() }
            }
        }

        impl Partial {
            pub fn form(&self) -> Form {
                match self {
                    $(Partial::$function(_) => Form { function: Function::$function, by: false },)*
                    Partial::Grouped(p) => Form { function: p.function(), by: true },
                }
            }

            pub fn add(&mut self, input: &Input) {
                match self { $(Partial::$function(p) => p.add(input),)* Partial::Grouped(p) => p.add(input) }
            }

            /// Folds `other` in, as if its events had been added here. Both are of one form.
            pub fn merge(&mut self, other: &Partial) {
                match (self, other) {
                    $((Partial::$function(a), Partial::$function(b)) => a.merge(b),)*
                    (Partial::Grouped(a), Partial::Grouped(b)) => a.merge(b),
                    _ => debug_assert!(false, "partials of two functions"),
                }
            }

            /// Takes `other`, merged in before, back out; `false` where the function cannot.
            pub fn subtract(&mut self, other: &Partial) -> bool {
                match (self, other) {
                    $((Partial::$function(a), Partial::$function(b)) => a.subtract(b),)*
                    (Partial::Grouped(a), Partial::Grouped(b)) => a.subtract(b),
                    _ => false,
                }
            }

            /// Whether more different values came than are kept, so that some were left out.
            pub fn is_flagged(&self) -> bool {
                match self { $(Partial::$function(p) => p.is_flagged(),)* Partial::Grouped(p) => p.is_flagged() }
            }

            /// The value at `at`, given the type that `result_type` said.
            pub fn value(&self, ty: Type, at: Millis) -> Option<Value> {
                match self { $(Partial::$function(p) => p.value(ty, at),)* Partial::Grouped(p) => p.value(ty, at) }
            }

            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $(Partial::$function(p) => p.encode(out),)* Partial::Grouped(p) => p.encode(out) }
            }
        }
    };
}

registry! {
    Count, "count", count::Count;
    Sum, "sum", sum::Sum;
    Avg, "avg", average::Average;
    Min, "min", extreme::Min;
    Max, "max", extreme::Max;
    First, "first", edge::First;
    Last, "last", edge::Last;
    CountDistinct, "count_distinct", distinct::Distinct;
    Variance, "variance", moments::Variance;
    Stddev, "stddev", moments::Stddev;
    FirstK, "first_k", several::FirstK;
    LastK, "last_k", several::LastK;
    TopK, "top_k", counts::TopK;
    Histogram, "histogram", counts::Histogram;
    ApproxPercentile, "approx_percentile", percentile::Percentile;
    Decayed, "decayed", decayed::Decayed;
}

/// What is remembered: a function of all events, or one for each value of `by`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Form {
    pub function: Function,
    pub by: bool,
}

impl Form {
    /// What is given to partials for each event: `by` and how many of its values to keep, the arguments of the
    /// function, and how many values it keeps.
    pub fn arguments<T: Clone>(self, by: Option<&T>, args: &[T], keep: &T) -> Vec<T> {
        let by = by.map(|by| [by.clone(), keep.clone()]).into_iter().flatten();
        by.chain(args.iter().cloned()).chain(self.function.keeps().then(|| keep.clone())).collect()
    }

    /// The type of the value for arguments of these types; the error says what the function takes.
    pub fn result_type(self, args: &[Type]) -> Result<Type, String> {
        let ty = self.function.result_type(args)?;
        match self.by {
            true => ty.map_to().ok_or_else(|| format!("gives {ty}, of which there are no maps")),
            false => Ok(ty),
        }
    }

    /// The partials of no keys yet, whose values will be told at `as_of`.
    pub fn partials(self, as_of: Millis) -> Partials {
        match self.by {
            true => Partials(Lanes::Grouped(Groups::new(self.function, as_of))),
            false => self.function.partials(as_of),
        }
    }

    /// The partial of no events.
    pub fn empty(self) -> Partial {
        match self.by {
            true => Partial::Grouped(Box::new(Grouped::new(self.function))),
            false => self.function.empty(),
        }
    }

    /// Reads the bytes of `Partial::encode`.
    pub fn decode(self, input: &mut &[u8]) -> Option<Partial> {
        match self.by {
            true => Grouped::decode(self.function, input).map(|p| Partial::Grouped(Box::new(p))),
            false => self.function.decode(input),
        }
    }
}

impl Function {
    /// The window that a function has by nature, given its arguments: the steps in which it decays.
    pub fn own_window(self, constants: &[i64]) -> Option<Window> {
        match (self, constants) {
            (Function::Decayed, [half_life]) => Some(decayed::window(*half_life)),
            _ => None,
        }
    }

    /// Whether the value changes with every step of its window, not only when a pane is over.
    pub fn changes_by_step(self) -> bool {
        self == Function::Decayed
    }
}

/// A constant as it was checked when the definition was read.
fn whole(constant: Datum) -> usize {
    match constant {
        Datum::Int(n) => usize::try_from(n).unwrap_or(0),
        _ => 0,
    }
}

/// The type of the first of two arguments, the second being a constant.
fn with_constant(args: &[Type], constant: &str) -> Result<Type, String> {
    match args {
        [ty, _] => Ok(*ty),
        _ => Err(format!("takes 2 arguments, a value and {constant}, not {}", args.len())),
    }
}

fn list_type(item: Type) -> Result<Type, String> {
    item.list_of().ok_or_else(|| format!("takes single values, not {item}"))
}

/// Values as a list.
fn list<'v>(values: impl Iterator<Item = &'v Value>) -> Value {
    let mut out = Vec::new();
    let Ok(()) = push_between(&mut out, b"[]", values, |value, out| {
        value.push_json(out);
        Ok::<(), std::convert::Infallible>(())
    });
    json(out)
}

/// A map, by the plain text of its keys; NULL without entries.
fn map(entries: impl Iterator<Item = (Value, Value)>) -> Option<Value> {
    let entries: BTreeMap<String, Value> = entries.map(|(key, value)| (key.to_string(), value)).collect();
    let mut out = Vec::new();
    let Ok(()) = push_between(&mut out, b"{}", &entries, |(key, value), out| {
        crate::ndjson::push_str(out, key);
        out.push(b':');
        value.push_json(out);
        Ok::<(), std::convert::Infallible>(())
    });
    (!entries.is_empty()).then(|| json(out))
}

fn json(bytes: Vec<u8>) -> Value {
    Value::Json(String::from_utf8(bytes).expect("made of texts").into())
}

/// The only argument's type, for functions that take one.
fn one_argument(args: &[Type]) -> Result<Type, String> {
    match args {
        [ty] => Ok(*ty),
        _ => Err(format!("takes 1 argument, not {}", args.len())),
    }
}

fn one_number(args: &[Type]) -> Result<Type, String> {
    match one_argument(args)? {
        ty @ (Type::Int | Type::Decimal | Type::Double) => Ok(ty),
        ty => Err(format!("takes a number, not {ty}")),
    }
}
