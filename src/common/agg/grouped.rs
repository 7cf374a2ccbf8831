//! `by`: one partial for each value of an expression, told as a map from the value to the aggregate.
//!
//! Past `keep` different values those with the smallest hash stay, with all their events, and the partial is flagged.
//! Memory: `keep` partials at most. Events for which the expression is NULL do not count; a value whose aggregate is NULL
//! is not in the map, and a map of nothing is NULL.

use super::codec::{get_byte, get_value};
use super::distinct::put_distinct;
use super::heap::told;
use super::kept::Kept;
use super::lanes::Lane;
use super::{Function, Input, Partial, map, whole};
use crate::expr::Scratch;
use crate::time::Millis;
use crate::value::{Datum, Type, Value};

const VERSION: u8 = 1;

#[derive(Clone, PartialEq, Debug)]
pub struct Grouped {
    function: Function,
    groups: Kept<Option<Partial>>,
}

impl Grouped {
    pub fn new(function: Function) -> Grouped {
        Grouped { function, groups: Kept::default() }
    }

    pub fn function(&self) -> Function {
        self.function
    }

    /// Arguments: the value of `by`, keep, then those of the function.
    pub fn add(&mut self, input: &Input) {
        let mut bytes = Vec::new();
        put_distinct(&mut bytes, &input.args[0]);
        if let Some(group) = self.groups.of(whole(input.args[1]), &bytes) {
            let input = Input { args: &input.args[2..], ..*input };
            group.get_or_insert_with(|| self.function.empty()).add(&input);
        }
    }

    pub fn merge(&mut self, other: &Grouped) {
        self.groups.merge(&other.groups, |own, theirs| match (own, theirs) {
            (Some(own), Some(theirs)) => own.merge(theirs),
            (own, theirs) => own.clone_from(theirs),
        });
    }

    pub fn subtract(&mut self, other: &Grouped) -> bool {
        let whole = self.groups.is_whole(&other.groups) && !self.has_flagged() && !other.has_flagged();
        // Either all partials of a function can be taken out, or none.
        if !whole || !self.function.empty().subtract(&self.function.empty()) {
            return false;
        }
        let nothing = self.function.empty();
        self.groups.subtract(&other.groups, |own, theirs| match (own, theirs) {
            (Some(own), Some(theirs)) => own.subtract(theirs) && *own != nothing,
            _ => true,
        });
        true
    }

    /// Whether values were left out, of `by` or within one of its groups.
    pub fn is_flagged(&self) -> bool {
        self.groups.is_over() || self.has_flagged()
    }

    fn has_flagged(&self) -> bool {
        self.groups.iter().any(|(_, group)| group.as_ref().is_some_and(Partial::is_flagged))
    }

    pub fn value(&self, ty: Type, at: Millis) -> Option<Value> {
        let Type::Map(of) = ty else { return None };
        map(self
            .groups
            .iter()
            .filter_map(|(mut bytes, group)| Some((get_value(&mut bytes)?, group.as_ref()?.value(*of, at)?))))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.groups.encode(out, |group, out| {
            if let Some(group) = group {
                group.encode(out);
            }
        });
    }

    pub fn decode(function: Function, input: &mut &[u8]) -> Option<Grouped> {
        let of = |input: &mut &[u8]| function.decode(input).map(Some);
        let groups = (get_byte(input)? == VERSION).then(|| Kept::decode(input, of))??;
        Some(Grouped { function, groups })
    }
}

/// The groups of many keys.
pub struct Groups {
    function: Function,
    partials: Vec<Grouped>,
    as_of: Millis,
    texts: Scratch,
}

impl Groups {
    pub fn new(function: Function, as_of: Millis) -> Groups {
        Groups { function, partials: Vec::new(), as_of, texts: Scratch::new() }
    }
}

impl Lane for Groups {
    const ORDERED: bool = true;

    fn grow(&mut self, places: usize) {
        self.partials.resize(places, Grouped::new(self.function));
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
