//! Cells: what is told of some people, and what it is called.

use super::count::Count;
use super::index::Index;
use super::numbers::Interval;
use crate::money::{Decimal, SCALE};
use crate::value::Type;

/// What the people of a cell have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A text or a truth; an item of a list, or a key of a map.
    Value(Box<str>),
    /// A number, in millionths.
    Number(i128),
    /// Numbers in millionths, or ages in hours.
    Interval(Interval),
    /// Values that have no name any more; told as `Other`.
    Rest,
    /// All other values: rare ones, and those of too few people. `few`: some are of too few people.
    Other { few: bool, with_missing: bool },
    /// No value.
    Missing,
}

/// Some people of an audience and of its base.
#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    pub what: What,
    /// People of the audience.
    pub audience: u64,
    /// People of the base.
    pub base: u64,
    /// Of the audience, from 0 to 1.
    pub share: f64,
    /// Of the base, from 0 to 1.
    pub base_share: f64,
    /// `None` where nobody of the base is in it.
    pub index: Option<Index>,
}

impl Cell {
    pub fn new(what: What, count: Count, total: Count) -> Cell {
        let (audience, base) = (count.audience(), count.base());
        Cell {
            what,
            audience,
            base,
            share: audience as f64 / total.audience() as f64,
            base_share: base as f64 / total.base() as f64,
            index: Index::of(count, total),
        }
    }

    /// Whether the shares differ by more than chance, as `Index::differs` has it; nobody in the base is no index.
    pub fn differs(&self) -> bool {
        self.index.is_some_and(|index| index.differs())
    }
}

impl What {
    /// What people call it: `sports`, `5 to 9`, `1d to under 7d`, `missing`.
    pub fn label(&self, ty: Type) -> String {
        match self {
            What::Value(text) => text.to_string(),
            What::Number(n) => Decimal(*n).to_string(),
            What::Interval(interval) => interval_label(*interval, ty),
            What::Other { with_missing: true, .. } => "other or missing".into(),
            What::Rest | What::Other { .. } => "other".into(),
            What::Missing => "missing".into(),
        }
    }

    /// The word for its kind in NDJSON.
    pub fn kind(&self, ty: Type) -> &'static str {
        match self {
            What::Value(_) if matches!(ty, Type::List(_)) => "item",
            What::Value(_) if matches!(ty, Type::Map(_)) => "key",
            What::Value(_) | What::Number(_) => "value",
            What::Interval(_) => "interval",
            What::Rest | What::Other { .. } => "other",
            What::Missing => "missing",
        }
    }
}

fn interval_label(Interval { from, below }: Interval, ty: Type) -> String {
    let show = |n: i128| if ty == Type::Datetime { hours(n) } else { Decimal(n).to_string() };
    // The least there is above zero: whole numbers are told with both ends.
    let unit = if ty == Type::Int { SCALE } else { 1 };
    match (from, below) {
        (Some(from), Some(below)) if ty != Type::Datetime && below - from == unit => show(from),
        (Some(from), Some(below)) if ty == Type::Int => format!("{} to {}", show(from), show(below - unit)),
        (Some(1), Some(below)) if ty != Type::Datetime => format!("over 0, under {}", show(below)),
        (Some(0), Some(below)) if ty == Type::Datetime => format!("under {}", show(below)),
        (Some(from), Some(below)) => format!("{} to under {}", show(from), show(below)),
        (None, Some(0)) if ty == Type::Datetime => "after as-of".into(),
        (None, Some(below)) => format!("under {}", show(below)),
        (Some(1), None) if ty != Type::Datetime => "over 0".into(),
        (Some(from), None) => format!("{} and more", show(from)),
        (None, None) => "any value".into(),
    }
}

/// An age: `6h`, `3d`.
fn hours(n: i128) -> String {
    if n % 24 == 0 && n != 0 { format!("{}d", n / 24) } else { format!("{n}h") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_plain_names() {
        let named = |ty, from: Option<i128>, below: Option<i128>| {
            let micros = |n: Option<i128>| n.map(|n| if ty == Type::Datetime { n } else { n * SCALE });
            What::Interval(Interval { from: micros(from), below: micros(below) }).label(ty)
        };
        assert_eq!(named(Type::Int, Some(5), Some(10)), "5 to 9");
        assert_eq!(named(Type::Int, Some(0), Some(1)), "0");
        assert_eq!(named(Type::Int, Some(-5), Some(-2)), "-5 to -3");
        assert_eq!(named(Type::Decimal, Some(5), Some(10)), "5 to under 10");
        assert_eq!(named(Type::Decimal, Some(5), None), "5 and more");
        assert_eq!(named(Type::Double, None, Some(-1)), "under -1");
        assert_eq!(named(Type::Datetime, Some(0), Some(6)), "under 6h");
        assert_eq!(named(Type::Datetime, Some(48), Some(168)), "2d to under 7d");
        assert_eq!(named(Type::Datetime, None, Some(0)), "after as-of");
        let above = |below| What::Interval(Interval { from: Some(1), below }).label(Type::Decimal);
        assert_eq!((above(Some(10 * SCALE)), above(None)), ("over 0, under 10".into(), "over 0".into()));
    }
}
