//! Given values: what patches have told of the tags that a plan reads and does not compute.
//!
//! Of one tag the newest as-of wins, and of equal ones the later to come (`patch::replaces`), so patches may come in any
//! order and again. A removal is remembered, so that an older patch cannot bring a value back.

use super::plan::Plan;
use super::plans::Plans;
use crate::expr::{Scratch, convert};
use crate::patch::{Patch, replaces};
use crate::tag::Update;
use crate::time::Millis;
use crate::value::Value;

/// The given values of one key, in the order of the plan's `given`; nothing is allocated while there is none.
///
/// Thin: a stream remembers one of them for each of millions of keys, and most are none.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::box_collection)]
pub struct Given(Option<Box<Vec<Dated>>>);

/// A value, true at `as_of`.
#[derive(Clone, Debug, PartialEq)]
struct Dated {
    value: Option<Value>,
    as_of: Millis,
}

impl Given {
    /// Takes in a value of the plan's given tag at `place`, as the type it is declared to have. Whether the value is another
    /// one now.
    pub fn take(&mut self, plan: &Plan, place: usize, value: Option<&Value>, as_of: Millis) -> bool {
        let nothing = || Box::new(vec![Dated { value: None, as_of: Millis::MIN }; plan.given.len()]);
        let dated = &mut self.0.get_or_insert_with(nothing)[place];
        if !replaces(as_of, dated.as_of) {
            return false;
        }
        let value = value.and_then(|value| plan.as_declared(plan.given[place], value));
        let changed = dated.value != value;
        *dated = Dated { value, as_of };
        changed
    }

    /// Takes in what a patch has for the plan. Whether anything is another one now.
    pub fn take_patch(&mut self, plan: &Plan, patch: &Patch) -> bool {
        let mut changed = false;
        for (code, value) in &patch.tags {
            if let Some(place) = plan.given_place(code) {
                changed |= self.take(plan, place, value.as_ref(), patch.as_of);
            }
        }
        changed
    }

    /// Whether there is any value.
    pub fn is_known(&self) -> bool {
        self.0.iter().flat_map(|all| all.iter()).any(|dated| dated.value.is_some())
    }

    /// The value of the plan's given tag at `place`.
    pub fn value(&self, place: usize) -> Option<&Value> {
        self.0.as_ref()?.get(place)?.value.as_ref()
    }
}

impl Plans {
    /// Whether a patch that came with the events is one for these plans; the error says why it is not.
    ///
    /// Tags that no derived one names are taken too: they are kept for those who ask for the profile.
    pub fn check(&self, patch: &Patch) -> Result<(), String> {
        match self.of(patch.key.entity()).filter(|_| patch.key.tenant().is_empty()) {
            Some(plan) => plan.check(patch),
            None => Err(format!("`{}` is of an entity without tags in this stream", patch.key)),
        }
    }
}

impl Plan {
    /// The place of a tag among those that are given; `None` for one that is computed, not looked at, or unknown.
    pub fn given_place(&self, code: &str) -> Option<usize> {
        self.given.iter().position(|tag| *self.definitions.tags[*tag].code == *code)
    }

    /// A value of a tag that came from outside, as the type that it is declared to have; `None` where it cannot be one.
    pub fn as_declared(&self, tag: usize, value: &Value) -> Option<Value> {
        convert(value.datum(), self.definitions.tags[tag].ty, &Scratch::new()).to_value()
    }

    fn check(&self, patch: &Patch) -> Result<(), String> {
        for (code, value) in &patch.tags {
            let tag = self.definitions.index(code).ok_or_else(|| format!("tag `{code}` is not defined"))?;
            if self.definitions.tags[tag].entity != self.entity {
                return Err(format!("tag `{code}` is not one of entity `{}`", self.entity().name));
            }
            if self.definitions.tags[tag].update == Update::Realtime || self.computes(tag) {
                return Err(format!("tag `{code}` is computed by this stream: no patch brings its value"));
            }
            value.as_ref().map_or(Ok(()), |value| self.fits(tag, value))?;
        }
        Ok(())
    }

    /// Whether a tag may have a value; the error says what it is instead.
    pub fn fits(&self, tag: usize, value: &Value) -> Result<(), String> {
        let definition = &self.definitions.tags[tag];
        match self.as_declared(tag, value) {
            Some(_) => Ok(()),
            None => Err(format!("tag `{}` is {}, which {value} is not", definition.code, definition.ty)),
        }
    }

    fn computes(&self, tag: usize) -> bool {
        self.counters.iter().map(|c| c.tag).chain(self.derivations.iter().map(|d| d.tag)).any(|own| own == tag)
    }

    /// What the given values of a key are, from its tags at rest.
    pub fn given_of<'t>(&self, tags: impl IntoIterator<Item = (&'t str, Option<&'t Value>, Millis)>) -> Given {
        let mut given = Given::default();
        for (code, value, as_of) in tags {
            if let Some(place) = self.given_place(code) {
                given.take(self, place, value, as_of);
            }
        }
        given
    }
}
