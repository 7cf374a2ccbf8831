//! Lanes: the partials of one aggregation for many keys, one a place, fed a batch of rows at a time.
//!
//! A lane at a place gives what a partial of its own would that was fed the same rows:
//! it differs in how it lies in memory, not in what it means.

use super::{Aggregate, Input};
use crate::money::Decimal;
use crate::rows::{Block, ColumnView, Pick};
use crate::time::Millis;
use crate::value::{Datum, Type};

/// Partials of one function, by place.
pub(super) trait Lane {
    /// Whether the instant and the id of an event are looked at.
    const ORDERED: bool;
    /// Fixes the instant at which values will be told, for those that depend on it.
    fn look_at(&mut self, _as_of: Millis) {}
    /// Makes room for `places` places; new ones have seen no events.
    fn grow(&mut self, places: usize);
    fn add(&mut self, place: usize, input: &Input);
    fn datum(&self, place: usize, ty: Type) -> Datum<'_>;
    /// Forgets everything, and keeps the memory.
    fn clear(&mut self);
}

/// Partials that are small and own nothing can lie side by side as they are.
impl<P: Aggregate> Lane for Vec<P> {
    const ORDERED: bool = P::ORDERED;

    fn grow(&mut self, places: usize) {
        self.resize(places, P::default());
    }

    #[inline(always)]
    fn add(&mut self, place: usize, input: &Input) {
        self[place].add(input);
    }

    #[inline(always)]
    fn datum(&self, place: usize, ty: Type) -> Datum<'_> {
        self[place].datum(ty)
    }

    fn clear(&mut self) {
        self.clear();
    }
}

/// What picked rows bring to an aggregation.
#[derive(Clone, Copy)]
pub enum Arguments<'a> {
    /// `count(*)`.
    None,
    /// A field of the event.
    Field(ColumnView<'a>),
    /// So many values for each picked row, one row after the other.
    Computed { width: usize, values: &'a [Datum<'a>] },
}

/// Adds the picked rows to a lane; rows of which an argument is NULL do not count.
#[inline(always)]
pub(super) fn add<L: Lane>(lane: &mut L, picks: &[Pick], block: &Block, arguments: Arguments<'_>) {
    match arguments {
        Arguments::None => picks.iter().for_each(|pick| add_row(lane, pick, block, &[])),
        Arguments::Field(column) => {
            // A loop for each type, in which the type is a constant.
            macro_rules! typed {
                ($datum:expr) => {
                    for pick in picks {
                        if column.present[pick.row as usize] {
                            add_row(lane, pick, block, &[$datum(pick.row as usize)]);
                        }
                    }
                };
            }
            let words = column.words;
            match column.ty {
                Type::Bool => typed!(|i: usize| Datum::Bool(words[i] != 0)),
                Type::Int => typed!(|i: usize| Datum::Int(words[i] as i64)),
                Type::Decimal => typed!(|i: usize| Datum::Decimal(Decimal(i128::from(words[i] as i64)))),
                Type::Double => typed!(|i: usize| Datum::Double(f64::from_bits(words[i]))),
                Type::String => typed!(|i: usize| column.datum(i)),
                Type::Datetime => typed!(|i: usize| Datum::Time(words[i] as i64)),
                // No field of an event is one.
                Type::List(_) | Type::Map(_) => {}
            }
        }
        Arguments::Computed { width, values } => {
            for (pick, args) in picks.iter().zip(values.chunks_exact(width)) {
                if !args.iter().any(Datum::is_null) {
                    add_row(lane, pick, block, args);
                }
            }
        }
    }
}

// Inlined into each loop: there the type of the arguments is known, and an unordered lane looks up no id.
#[inline(always)]
fn add_row<L: Lane>(lane: &mut L, pick: &Pick, block: &Block, args: &[Datum]) {
    let row = pick.row as usize;
    let (timestamp, event_id) = if L::ORDERED { (block.timestamp(row), block.event_id(row)) } else { (0, "") };
    lane.add(pick.place as usize, &Input { args, timestamp, event_id });
}

/// The values at these places, each to column `at` of its own row.
#[inline(always)]
pub(super) fn data<'a, L: Lane>(
    lane: &'a L,
    places: &[u32],
    ty: Type,
    rows: &mut [Datum<'a>],
    width: usize,
    at: usize,
) {
    // The places lie anywhere: with nothing else in the loop, the machine waits for several of them at a time.
    for (row, place) in rows.chunks_exact_mut(width).zip(places) {
        row[at] = lane.datum(*place as usize, ty);
    }
}
