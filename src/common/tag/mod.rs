//! Tags: a definition file, read and checked, as definitions that the engine runs.
//!
//! Definitions that exist are right: every expression is typed, every window divides into panes, no tag depends on itself.

mod build;
mod derive;
mod entity;
#[cfg(test)]
mod entity_tests;
mod fingerprint;
mod keys;
mod measure;
mod place;
mod point;
mod problem;
mod quality;
mod read;
mod rules;
mod schema;
mod scope;
mod segment;
#[cfg(test)]
mod segment_tests;
#[cfg(test)]
mod tests;
mod window;
mod written;

use crate::agg::{Form, Function};
use crate::expr::{Expr, nearest};
use crate::key::{Key, Prefixes};
use crate::pane::Window;
use crate::patch::is_hidden;
use crate::rows::Projection;
use crate::value::Type;
pub use entity::{Entity, KeyPart, Retain};
pub use point::{EntityPart, Part};
pub use problem::Problem;
pub use quality::{Quality, Share, TagQuality};
pub use schema::schema;
pub use segment::{Schedule, Segment, Status};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The type of a field that every event may have.
pub fn fixed_field(name: &str) -> Option<Type> {
    scope::fixed_fields().find(|(known, _)| *known == name).map(|(_, ty)| ty)
}

/// Everything a definition file says.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// In the order of the file; behind them the hidden ones, which rules of segments need.
    pub tags: Vec<Tag>,
    /// In the order of the file.
    pub segments: Vec<Segment>,
    /// What tags are of: users first, then the others in the order of the file.
    pub entities: Vec<Entity>,
    /// The fields of an event that aggregations and keys look at; their expressions name them by place.
    pub projection: Projection,
    /// The closed set of event types, when there is one.
    pub event_types: Option<Vec<String>>,
    /// The name of the file, as messages show it.
    pub source: String,
    pub text: String,
    /// Where profiles live, as `store = "…"` has it.
    pub store: Option<String>,
    /// What an output must be like to be published.
    pub quality: Quality,
    order: Vec<usize>,
    /// The fields of an event that an expression may name.
    field_types: HashMap<String, Type>,
}

/// One named fact about a user, or about a key of another entity.
#[derive(Clone, Debug)]
pub struct Tag {
    pub code: Arc<str>,
    /// What it is a fact about, by place in `Definitions::entities`.
    pub entity: usize,
    /// The code, when the file gives no name.
    pub name: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    /// The type of the value in the profile. What an aggregation gives may be narrower (`expr::convert` widens it).
    pub ty: Type,
    pub update: Update,
    pub kind: Kind,
    /// Changes when, and only when, the value's meaning changes; names and order in the file do not show.
    pub fingerprint: u64,
    /// What its values must be like to be published; no part of what they mean.
    pub quality: TagQuality,
    /// The line of the file where it begins, from 1.
    pub line: usize,
}

impl Tag {
    /// Whether it was made for the rule of a segment: it is shown to nobody who does not ask for it.
    pub fn is_hidden(&self) -> bool {
        is_hidden(&self.code)
    }
}

/// The first twelve hex digits of a hash.
fn hex12(hasher: Sha256) -> String {
    use sha2::Digest;
    hasher.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Who computes a tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Update {
    /// The stream.
    Realtime,
    /// The batch.
    Daily,
    /// Someone else: values come as patches.
    Import,
}

impl Update {
    pub const ALL: [Update; 3] = [Update::Realtime, Update::Daily, Update::Import];

    /// The name a definition file uses.
    pub fn name(self) -> &'static str {
        match self {
            Update::Realtime => "realtime",
            Update::Daily => "daily",
            Update::Import => "import",
        }
    }

    pub fn from_name(name: &str) -> Option<Update> {
        Update::ALL.into_iter().find(|update| update.name() == name)
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a tag's value comes from.
#[derive(Clone, Debug)]
pub enum Kind {
    Aggregation(Aggregation),
    Derived(Derived),
    Imported,
}

/// A value over the events of a key.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// `count(DISTINCT x)` is `CountDistinct`.
    pub function: Function,
    /// Over the projection. None for `count(*)`. Constants are whole numbers: a count, millionths, milliseconds.
    pub args: Vec<Expr>,
    /// One aggregate for each of its values.
    pub by: Option<Expr>,
    /// So many different values are kept, of `by` and by functions that keep values.
    pub keep: i64,
    /// Which events count; all of them without one.
    pub filter: Option<Expr>,
    /// The whole life of the key without one. What decays has one by nature.
    pub window: Option<Window>,
}

impl Aggregation {
    pub fn form(&self) -> Form {
        Form { function: self.function, by: self.by.is_some() }
    }
}

/// A value over other tags of the same key.
#[derive(Clone, Debug)]
pub struct Derived {
    pub expr: Expr,
    /// Slot i of the expression is the tag at index `inputs[i]`.
    pub inputs: Vec<usize>,
}

/// A tag was asked for that is not defined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownTag {
    pub code: String,
    /// The code that was most likely meant.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown tag: {}", self.code)
    }
}

impl std::error::Error for UnknownTag {}

impl UnknownTag {
    pub fn hint(&self) -> Option<String> {
        self.nearest.as_ref().map(|code| format!("did you mean {code}?"))
    }
}

/// The definition file that `adprof init` writes, and that stands in when there is none.
pub fn sample() -> &'static str {
    include_str!("builtin.toml")
}

impl Definitions {
    /// The five tags that are there without a definition file.
    pub fn built_in() -> Definitions {
        Definitions::parse(sample(), "built-in").expect("the tests parse it")
    }

    /// Reads a definition file. `source` is its name, for messages. The error is everything wrong with it, by place.
    pub fn parse(text: &str, source: &str) -> Result<Definitions, Vec<Problem>> {
        build::build(text, source)
    }

    /// The derived tags, each after those it depends on.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The place of a tag by its code.
    pub fn index(&self, code: &str) -> Option<usize> {
        self.tags.iter().position(|tag| &*tag.code == code)
    }

    /// The place of an entity by its name; users have several.
    pub fn entity(&self, name: &str) -> Option<usize> {
        if entity::is_user(name) {
            return Some(0);
        }
        self.entities.iter().position(|entity| *entity.name == *name)
    }

    /// The entity of a tag.
    pub fn entity_of(&self, tag: usize) -> &Entity {
        &self.entities[self.tags[tag].entity]
    }

    /// The names in Redis that entities ask for.
    pub fn prefixes(&self) -> Prefixes {
        let others = self.entities.iter().filter(|entity| entity.prefix != entity.name && entity.is_declared());
        Prefixes::new(others.map(|entity| (&*entity.name, &*entity.prefix)))
    }

    /// The user that a key is of; `None`: it is of none, or of an entity that is not here.
    pub fn user_of<'k>(&self, key: &'k Key) -> Option<&'k str> {
        self.entities.iter().find(|entity| *entity.name == *key.entity()).and_then(|entity| entity.user_of(key))
    }

    /// The codes of the tags whose values may have the ids of other users in them: those of shared keys that look at `userId`.
    pub fn naming_users(&self) -> Vec<&str> {
        let is_id = |slot: &usize| self.projection.fields[*slot].path == ["userId"];
        let names = |tag: &&Tag| {
            let Kind::Aggregation(aggregation) = &tag.kind else { return false };
            let mut slots = Vec::new();
            aggregation.args.iter().chain(&aggregation.by).for_each(|expr| expr.slots(&mut slots));
            self.entities[tag.entity].is_shared() && slots.iter().any(is_id)
        };
        self.tags.iter().filter(names).map(|tag| &*tag.code).collect()
    }

    /// The tags that one path computes, in the order of the file.
    pub fn by_update(&self, update: Update) -> Vec<usize> {
        (0..self.tags.len()).filter(|i| self.tags[*i].update == update).collect()
    }

    /// The tags of these codes, in the order of the codes.
    pub fn select<S: AsRef<str>>(&self, codes: impl IntoIterator<Item = S>) -> Result<Vec<usize>, UnknownTag> {
        let find = |code: &str| {
            self.index(code).ok_or_else(|| UnknownTag {
                code: code.to_string(),
                nearest: nearest(code, self.tags.iter().map(|tag| &*tag.code)).map(str::to_string),
            })
        };
        codes.into_iter().map(|code| find(code.as_ref())).collect()
    }

    /// A tag and all that it depends on, each once and behind a tag that names it, with the steps from the first one.
    pub fn lineage(&self, tag: usize) -> Vec<(usize, usize)> {
        let (mut lineage, mut stack) = (Vec::new(), vec![(0, tag)]);
        let mut seen = vec![false; self.tags.len()];
        while let Some((depth, tag)) = stack.pop() {
            if std::mem::replace(&mut seen[tag], true) {
                continue;
            }
            lineage.push((depth, tag));
            if let Kind::Derived(derived) = &self.tags[tag].kind {
                stack.extend(derived.inputs.iter().rev().map(|input| (depth + 1, *input)));
            }
        }
        lineage
    }

    /// For every tag whether it must be computed so that the selected ones can be: those, and all they depend on.
    pub fn needed(&self, selected: &[usize]) -> Vec<bool> {
        self.needed_where(selected, |_| true)
    }

    /// The same where only some tags are computed: what the others depend on is not needed.
    pub fn needed_where(&self, selected: &[usize], computed: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut needed = vec![false; self.tags.len()];
        for index in selected {
            needed[*index] = true;
        }
        // From the last to the first: who depends on a tag stands behind it.
        for index in self.order.iter().rev() {
            if let (true, Kind::Derived(derived)) = (needed[*index] && computed(*index), &self.tags[*index].kind) {
                for input in &derived.inputs {
                    needed[*input] = true;
                }
            }
        }
        needed
    }
}
