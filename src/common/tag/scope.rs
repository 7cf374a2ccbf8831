//! Scopes: what the names in an expression stand for. In an aggregation fields of the event, in a derived tag other tags.

use crate::agg;
use crate::event::STRING_FIELDS;
use crate::expr::{Names, function_names, nearest};
use crate::rows::{Field, Projection};
use crate::value::Type;
use std::collections::HashMap;

/// The fields that every event may have, which need no declaration.
pub(super) fn fixed_fields() -> impl Iterator<Item = (&'static str, Type)> {
    let strings = ["eventId", "userId", "eventType"].into_iter().chain(STRING_FIELDS).map(|name| (name, Type::String));
    strings.chain([("timestamp", Type::Datetime), ("receivedAt", Type::Datetime), ("amount", Type::Decimal)])
}

/// The fields of an event; those that are used get a slot in the projection.
#[derive(Debug)]
pub(super) struct EventFields {
    pub types: HashMap<String, Type>,
    pub projection: Projection,
}

impl Default for EventFields {
    fn default() -> EventFields {
        let types = fixed_fields().map(|(name, ty)| (name.to_string(), ty)).collect();
        EventFields { types, projection: Projection::default() }
    }
}

impl Names for EventFields {
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
        let ty = *self.types.get(name)?;
        Some((self.projection.slot(Field::new(name, ty)), ty))
    }

    fn known(&self) -> Vec<String> {
        sorted(self.types.keys())
    }

    fn unknown_name(&self, name: &str) -> Option<String> {
        Some(format!("declare it: [[field]] path = \"{name}\" type = \"string\" (or another type)"))
    }

    fn unknown_call(&self, name: &str) -> Option<(String, String)> {
        if matches!(name, "tumble" | "hop") {
            let advice = "it stands in the `key` of an entity, as a whole part of it";
            return Some((format!("a slice of time inside an expression: {name}"), advice.to_string()));
        }
        unknown_call(name, "this expression sees one event; aggregate in `value`, at the top")
    }
}

/// How far a tag has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// A derived tag not looked at yet.
    Waiting,
    /// A derived tag that waits for one it names.
    Busy,
    Known(Type),
    /// There is something wrong with it, reported already.
    Failed,
}

/// The tags, as one derived tag sees them.
pub(super) struct Tags<'a> {
    pub codes: &'a HashMap<String, usize>,
    pub states: &'a [State],
    /// Of the tag whose value is read, and of all tags.
    pub entity: usize,
    pub entities: &'a [usize],
    /// By slot.
    pub inputs: Vec<usize>,
    /// The tag that stopped the reading.
    pub stopped: Option<usize>,
}

impl Names for Tags<'_> {
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
        let index = *self.codes.get(name)?;
        let State::Known(ty) = self.states[index] else {
            self.stopped = Some(index);
            return None;
        };
        if self.entities[index] != self.entity {
            self.stopped = Some(index);
            return None;
        }
        let slot = self.inputs.iter().position(|known| *known == index).unwrap_or_else(|| {
            self.inputs.push(index);
            self.inputs.len() - 1
        });
        Some((slot, ty))
    }

    fn known(&self) -> Vec<String> {
        sorted(self.codes.keys())
    }

    fn noun(&self) -> &'static str {
        "tag"
    }

    fn unknown_call(&self, name: &str) -> Option<(String, String)> {
        unknown_call(name, "make a tag of each aggregation, and a derived tag that calculates with them")
    }
}

fn unknown_call(name: &str, advice: &str) -> Option<(String, String)> {
    if agg::NAMES.contains(&name) {
        return Some((format!("an aggregation inside an expression: {name}"), advice.to_string()));
    }
    let functions: Vec<String> = function_names().collect();
    let known = agg::NAMES.iter().copied().chain(functions.iter().map(String::as_str));
    let meant = nearest(name, known).filter(|meant| agg::NAMES.contains(meant))?;
    Some((format!("unknown function: {name}"), format!("did you mean {meant}?")))
}

fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> = names.cloned().collect();
    names.sort_unstable();
    names
}
