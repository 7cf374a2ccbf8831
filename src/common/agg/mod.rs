//! Aggregations: what is remembered of many events so that one value can be told.
//!
//! Every aggregation is order-free: the same events in any order and any grouping
//! give the same partial, byte for byte. A new one is a file here and a line in `registry!`.

mod average;
mod cells;
pub mod codec;
mod count;
mod distinct;
mod edge;
mod extreme;
mod lanes;
mod sum;

#[cfg(test)]
mod laws;

use crate::rows::{Block, Pick};
use crate::time::Millis;
use crate::value::{Datum, Type, Value};
pub use lanes::Arguments;
use lanes::Lane;

/// What one event brings to an aggregation: the arguments and, for ties, its instant and id.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// None of them NULL, except that `count(*)` has none at all.
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
    /// Many of them: `Vec<Self>`, or what takes less room or time and means the same.
    type Lane: Lane;
    /// The type of the value for arguments of these types; the error says what the function takes.
    fn result_type(args: &[Type]) -> Result<Type, String>;
    fn add(&mut self, input: &Input);
    fn merge(&mut self, other: &Self);
    /// Takes `other` back out, where that is exact; `false` where it is not and nothing was done.
    fn subtract(&mut self, _other: &Self) -> bool {
        false
    }
    /// The value, given the type that `result_type` said, or NULL.
    fn datum(&self, ty: Type) -> Datum<'_>;
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
        pub enum Partial { $($function($partial)),* }

        /// The partials of many keys, one a place, for any function.
        pub struct Partials(Lanes);

        enum Lanes { $($function(<$partial as Aggregate>::Lane)),* }

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

            /// The partials of no keys yet.
            pub fn partials(self) -> Partials {
                match self { $(Function::$function => Partials(Lanes::$function(Default::default()))),* }
            }

            /// The partial of no events.
            pub fn empty(self) -> Partial {
                match self { $(Function::$function => Partial::$function(Default::default())),* }
            }

            pub fn decode(self, input: &mut &[u8]) -> Option<Partial> {
                Some(match self { $(Function::$function => Partial::$function(Aggregate::decode(input)?)),* })
            }
        }

        impl Partials {
            /// Makes room for `places` places; new ones have seen no events.
            pub fn grow(&mut self, places: usize) {
                match &mut self.0 { $(Lanes::$function(lane) => lane.grow(places)),* }
            }

            /// Adds the picked rows of a block, each to its place; rows of which an argument is NULL do not count.
            pub fn add(&mut self, picks: &[Pick], block: &Block, arguments: Arguments<'_>) {
                match &mut self.0 { $(Lanes::$function(lane) => lanes::add(lane, picks, block, arguments)),* }
            }

            /// Writes the values of the partials at these places, given the type that `result_type` said, each to
            /// column `at` of its own row of `width` in `rows`.
            pub fn data<'a>(&'a self, places: &[u32], ty: Type, rows: &mut [Datum<'a>], width: usize, at: usize) {
                match &self.0 { $(Lanes::$function(lane) => lanes::data(lane, places, ty, rows, width, at)),* }
            }

            /// Forgets everything, and keeps the memory.
            pub fn clear(&mut self) {
                match &mut self.0 { $(Lanes::$function(lane) => lane.clear()),* }
            }
        }

        impl Partial {
            pub fn function(&self) -> Function {
                match self { $(Partial::$function(_) => Function::$function),* }
            }

            pub fn add(&mut self, input: &Input) {
                match self { $(Partial::$function(p) => p.add(input)),* }
            }

            /// Folds `other` in, as if its events had been added here. Both are of one function.
            pub fn merge(&mut self, other: &Partial) {
                match (self, other) {
                    $((Partial::$function(a), Partial::$function(b)) => a.merge(b),)*
                    _ => debug_assert!(false, "partials of two functions"),
                }
            }

            /// Takes `other`, merged in before, back out; `false` where the function cannot.
            pub fn subtract(&mut self, other: &Partial) -> bool {
                match (self, other) {
                    $((Partial::$function(a), Partial::$function(b)) => a.subtract(b),)*
                    _ => false,
                }
            }

            pub fn value(&self, ty: Type) -> Option<Value> {
                match self { $(Partial::$function(p) => p.datum(ty).to_value()),* }
            }

            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $(Partial::$function(p) => p.encode(out)),* }
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
}

/// The type of `name(args)`; the error says what is wrong with the arguments or that there is no such function.
pub fn result_type(name: &str, args: &[Type]) -> Result<Type, String> {
    match Function::from_name(name) {
        Some(function) => function.result_type(args).map_err(|why| format!("`{name}` {why}")),
        None => Err(format!("unknown aggregation: {name}")),
    }
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
