//! Plans: a set of definitions made ready to be computed.
//!
//! A plan fixes which tags are remembered, which are derived from them and in what
//! order, and which are told to the outside.

use super::given::Given;
use super::state::{State, bit};
use crate::agg::{Form, Function, Input, KEEP, Partial};
use crate::expr::{Expr, Scratch, convert};
use crate::key::Key;
use crate::pane::Window;
use crate::patch::Patch;
use crate::rows::{Block, Row};
use crate::tag::{Definitions, Kind, Retain, Update};
use crate::time::Millis;
use crate::value::{Datum, Type, Value};
use std::sync::Arc;

/// One aggregation of a plan, ready to take events.
pub struct Counter {
    /// The tag's place in the definitions, or `HIDDEN`.
    pub tag: usize,
    pub form: Form,
    /// As `Form::arguments` has them.
    pub args: Vec<Expr>,
    pub filter: Option<Expr>,
    pub window: Option<Window>,
    /// The type the function gives, and the one the tag is declared to have.
    pub gives: Type,
    pub ty: Type,
    pub fingerprint: u64,
}

/// One derived tag of a plan.
pub struct Derivation {
    pub tag: usize,
    pub expr: Expr,
    /// For each slot of the expression, the tag it reads.
    pub inputs: Vec<usize>,
    /// Whether it reads a given tag, itself or by the tags it names: then it is told of keys without events too.
    pub over_given: bool,
}

/// Definitions made ready to be computed.
pub struct Plan {
    pub definitions: Arc<Definitions>,
    /// What its tags are of, by place in the definitions.
    pub entity: usize,
    /// Of an entity that forgets the last one is `HIDDEN`.
    pub counters: Vec<Counter>,
    /// In an order in which each finds its inputs computed.
    pub derivations: Vec<Derivation>,
    /// The tags that are told, in the order of the definition file.
    pub outputs: Vec<usize>,
    /// The tags that are needed and not computed: their values come as patches.
    pub given: Vec<usize>,
    /// For each tag, the counters and, behind them, the given tags it depends on.
    masks: Vec<u64>,
    /// For each tag, whether a derived tag that follows the clock is made of it.
    clock_inputs: Vec<bool>,
}

/// The tag of the counter by which a key of an entity that forgets is known to be there: `count(*)` over what it
/// remembers. When it is over, every other one is.
pub const HIDDEN: usize = usize::MAX;

/// The mask of a key that is new or in doubt: everything about it is to be told.
pub const ALL_COUNTERS: u64 = u64::MAX;

/// The values of all tags at one instant, by their place in the definitions; what the plan leaves out is `None`.
pub type Values = Vec<Option<Value>>;

impl Plan {
    /// A plan that tells the tags `outputs`, all of one entity, and computes what they need: all that events can tell. For a
    /// whole log.
    pub fn new(definitions: Arc<Definitions>, outputs: &[usize]) -> Plan {
        Plan::computing(definitions, outputs, &[], |_| true)
    }

    /// A plan of the live path. Of the tags that `outputs` need it computes the realtime ones only: one path writes a tag.
    pub fn live(definitions: Arc<Definitions>, outputs: &[usize]) -> Plan {
        Plan::watching(definitions, outputs, &[])
    }

    /// The same, which also knows the values of the tags `watched`, told or not.
    pub fn watching(definitions: Arc<Definitions>, outputs: &[usize], watched: &[usize]) -> Plan {
        let realtime: Vec<bool> = definitions.tags.iter().map(|tag| tag.update == Update::Realtime).collect();
        Plan::computing(definitions, outputs, watched, |tag| realtime[tag] || outputs.contains(&tag))
    }

    fn computing(
        definitions: Arc<Definitions>,
        outputs: &[usize],
        watched: &[usize],
        wanted: impl Fn(usize) -> bool,
    ) -> Plan {
        let computed: Vec<bool> = (0..definitions.tags.len())
            .map(|tag| wanted(tag) && !matches!(definitions.tags[tag].kind, Kind::Imported))
            .collect();
        let roots = [outputs, watched].concat();
        let mut needed = definitions.needed_where(&roots, |tag| computed[tag]);
        let given: Vec<usize> = (0..needed.len()).filter(|tag| needed[*tag] && !computed[*tag]).collect();
        given.iter().for_each(|tag| needed[*tag] = false);
        let mut counters = Vec::new();
        for (tag, definition) in definitions.tags.iter().enumerate().filter(|(tag, _)| needed[*tag]) {
            if let Kind::Aggregation(a) = &definition.kind {
                let types: Vec<Type> = a.args.iter().map(|arg| arg.ty).collect();
                let form = a.form();
                counters.push(Counter {
                    tag,
                    form,
                    args: form.arguments(a.by.as_ref(), &a.args, &Expr::int(a.keep)),
                    filter: a.filter.clone(),
                    window: a.window,
                    gives: form.result_type(&types).unwrap_or(definition.ty),
                    ty: definition.ty,
                    fingerprint: definition.fingerprint,
                });
            }
        }
        let entity = outputs.first().map_or(0, |tag| definitions.tags[*tag].entity);
        debug_assert!(outputs.iter().all(|tag| definitions.tags[*tag].entity == entity), "a plan is of one entity");
        counters.extend(definitions.entities[entity].retain.map(hidden));
        let mut derivations: Vec<Derivation> = Vec::new();
        for &tag in definitions.order().iter().filter(|tag| needed[**tag]) {
            if let Kind::Derived(d) = &definitions.tags[tag].kind {
                let rests = |input: &usize| {
                    given.contains(input) || derivations.iter().any(|d| d.tag == *input && d.over_given)
                };
                let over_given = d.inputs.iter().any(rests);
                derivations.push(Derivation { tag, expr: d.expr.clone(), inputs: d.inputs.clone(), over_given });
            }
        }
        let mut outputs = outputs.to_vec();
        outputs.sort_unstable();
        outputs.dedup();
        let masks = masks(definitions.tags.len(), &counters, &given, &derivations);
        let clock_inputs = clock_inputs(definitions.tags.len(), &derivations);
        Plan { definitions, entity, counters, derivations, outputs, given, masks, clock_inputs }
    }

    /// The place of the hidden counter, of an entity that forgets.
    pub fn hidden(&self) -> Option<usize> {
        self.counters.len().checked_sub(1).filter(|last| self.counters[*last].tag == HIDDEN)
    }

    /// The counters of tags: all but the hidden one.
    pub fn own_counters(&self) -> &[Counter] {
        &self.counters[..self.hidden().unwrap_or(self.counters.len())]
    }

    /// Whether a key with this state is forgotten at `as_of`.
    pub fn is_over(&self, state: &State, as_of: Millis) -> bool {
        let over = |place: usize| {
            let window = self.counters[place].window.expect("the hidden counter has one");
            state.kept(place).last().is_none_or(|(newest, _)| window.expiry(*newest) <= as_of)
        };
        self.hidden().is_some_and(over)
    }

    /// The tenant and the id of the user whose tags row `i` changes; for a plan of users.
    pub fn user<'b>(&self, block: &'b Block, i: usize) -> (&'b str, &'b str) {
        ("", block.user(i))
    }

    /// The values of a key's tags at `as_of`. A key without events (no `state`), or forgotten, has no counts, not even of zero,
    /// and what is derived from nothing but counts neither. One never heard of has no values at all.
    pub fn values(&self, state: Option<&State>, given: &Given, as_of: Millis, scratch: &mut Scratch) -> Values {
        self.compute(state, given, as_of, scratch, |_| true)
    }

    /// The same, of those tags only that the derived tags that follow the clock are made of.
    pub fn clock_inputs(&self, state: Option<&State>, given: &Given, as_of: Millis, scratch: &mut Scratch) -> Values {
        self.compute(state, given, as_of, scratch, |tag| self.clock_inputs[tag])
    }

    /// Whether a derived tag follows the clock.
    pub fn follows_clock(&self) -> bool {
        self.derivations.iter().any(|d| d.expr.uses_as_of())
    }

    fn compute(
        &self,
        state: Option<&State>,
        given: &Given,
        as_of: Millis,
        scratch: &mut Scratch,
        wanted: impl Fn(usize) -> bool,
    ) -> Values {
        let mut values: Values = vec![None; self.definitions.tags.len()];
        let state = state.filter(|state| !self.is_over(state, as_of));
        if state.is_none() && !given.is_known() {
            return values;
        }
        for (place, tag) in self.given.iter().enumerate() {
            values[*tag] = given.value(place).cloned();
        }
        if let Some(state) = state {
            let counters = self.counters.iter().enumerate();
            for (i, counter) in counters.filter(|(_, counter)| counter.tag != HIDDEN && wanted(counter.tag)) {
                values[counter.tag] = state.value(i, counter, as_of);
            }
        }
        self.derive_of(&mut values, state.is_some(), as_of, scratch, wanted);
        values
    }

    /// Computes the derived tags from the values of the others; of a key without events those over given tags.
    pub fn derive(&self, values: &mut Values, has_events: bool, as_of: Millis, scratch: &mut Scratch) {
        self.derive_of(values, has_events, as_of, scratch, |_| true);
    }

    fn derive_of(
        &self,
        values: &mut Values,
        has_events: bool,
        as_of: Millis,
        scratch: &mut Scratch,
        wanted: impl Fn(usize) -> bool,
    ) {
        for derivation in self.derivations.iter().filter(|d| (has_events || d.over_given) && wanted(d.tag)) {
            let row = Tags { values, inputs: &derivation.inputs, as_of };
            values[derivation.tag] = derivation.expr.eval(&row, scratch).to_value();
            scratch.reset();
        }
    }

    /// The first instant after `after` at which a derived tag changes though no other tag does.
    pub fn next_derived_change(&self, values: &Values, after: Millis, scratch: &mut Scratch) -> Option<Millis> {
        let changes = self.derivations.iter().filter(|d| d.expr.uses_as_of()).filter_map(|d| {
            let row = Tags { values, inputs: &d.inputs, as_of: after };
            d.expr.next_change(&row, after, scratch)
        });
        let first = changes.min();
        scratch.reset();
        first
    }

    /// All told tags of a key as one patch; NULL is told as null.
    pub fn patch(&self, key: &Key, as_of: Millis, values: &Values) -> Patch {
        let tags =
            self.outputs.iter().map(|&tag| (self.definitions.tags[tag].code.clone(), values[tag].clone())).collect();
        Patch { key: key.clone(), as_of, tags }
    }

    /// The told tags that `values` computes; of a key without events those over given tags.
    pub fn told_of(&self, has_events: bool) -> impl Iterator<Item = usize> {
        let over_given = |tag: usize| self.derivations.iter().any(|d| d.tag == tag && d.over_given);
        self.outputs.iter().copied().filter(move |tag| has_events || over_given(*tag))
    }

    /// The bit of the given tag at `place` in a mask; those of counters come before.
    pub fn given_bit(&self, place: usize) -> u64 {
        bit(self.counters.len() + place)
    }

    /// The told tags that depend on one of the `counters`, with the values they have.
    pub fn changed(&self, key: &Key, as_of: Millis, values: &Values, counters: u64) -> Patch {
        let changed = self.outputs.iter().filter(|&&tag| counters == ALL_COUNTERS || self.masks[tag] & counters != 0);
        let tags = changed.map(|&tag| (self.definitions.tags[tag].code.clone(), values[tag].clone())).collect();
        Patch { key: key.clone(), as_of, tags }
    }

    /// The told tags that differ between two instants; `None` when none does.
    pub fn difference(&self, key: &Key, as_of: Millis, before: &Values, after: &Values) -> Option<Patch> {
        let changed = self.outputs.iter().filter(|&&tag| before[tag] != after[tag]);
        let tags: Vec<_> = changed.map(|&tag| (self.definitions.tags[tag].code.clone(), after[tag].clone())).collect();
        (!tags.is_empty()).then(|| Patch { key: key.clone(), as_of, tags })
    }
}

fn hidden(retain: Retain) -> Counter {
    let form = Form { function: Function::Count, by: false };
    Counter {
        tag: HIDDEN,
        form,
        args: form.arguments(None, &[], &Expr::int(KEEP)),
        filter: None,
        window: Some(retain.window),
        gives: Type::Int,
        ty: Type::Int,
        fingerprint: retain.fingerprint,
    }
}

/// For each tag whether a derived tag that follows the clock is made of it.
fn clock_inputs(tags: usize, derivations: &[Derivation]) -> Vec<bool> {
    let mut of = vec![false; tags];
    // From the last to the first: who reads a tag stands behind it.
    for d in derivations.iter().rev() {
        if d.expr.uses_as_of() || of[d.tag] {
            d.inputs.iter().for_each(|input| of[*input] = true);
        }
    }
    of
}

/// The counters and given tags each tag depends on, as bits; a tag that follows the clock depends on all.
fn masks(tags: usize, counters: &[Counter], given: &[usize], derivations: &[Derivation]) -> Vec<u64> {
    let mut masks = vec![0; tags];
    let known = counters.iter().map(|counter| counter.tag).chain(given.iter().copied()).enumerate();
    for (place, tag) in known.filter(|(_, tag)| *tag != HIDDEN) {
        masks[tag] = bit(place);
    }
    for d in derivations {
        let inputs = d.inputs.iter().fold(0, |mask, input| mask | masks[*input]);
        masks[d.tag] = if d.expr.uses_as_of() { ALL_COUNTERS } else { inputs };
    }
    masks
}

impl Counter {
    /// The value of a partial at an instant, as the type the tag is declared to have.
    pub(super) fn value(&self, partial: &Partial, as_of: Millis) -> Option<Value> {
        let value = partial.value(self.gives, as_of)?;
        if self.gives == self.ty {
            return Some(value);
        }
        convert(value.datum(), self.ty, &Scratch::new()).to_value()
    }

    /// The step after `after` at which the value changes though no pane is over; for those that change with each step.
    pub(super) fn next_step(&self, after: Millis) -> Option<Millis> {
        let window = self.window.filter(|_| self.form.function.changes_by_step())?;
        Some(window.start(window.pane(after).saturating_add(1)))
    }

    /// Adds row `i` to the partials of its key, if the filter lets it through and no argument is NULL.
    ///
    /// `now` is an instant no later than any at which the state will be looked at. Returns whether anything was added.
    pub fn add(
        &self,
        place: usize,
        state: &mut State,
        block: &Block,
        i: usize,
        now: Millis,
        scratch: &mut Scratch,
    ) -> bool {
        self.add_after(place, state, block, i, now, scratch, |_| {})
    }

    /// The same; `before` sees the state that the row is added to.
    #[allow(clippy::too_many_arguments)] // those of `add` and one more
    pub fn add_after(
        &self,
        place: usize,
        state: &mut State,
        block: &Block,
        i: usize,
        now: Millis,
        scratch: &mut Scratch,
        before: impl FnOnce(&State),
    ) -> bool {
        let added = self.add_row(place, state, block, i, now, scratch, before);
        scratch.reset();
        added
    }

    #[allow(clippy::too_many_arguments)]
    fn add_row(
        &self,
        place: usize,
        state: &mut State,
        block: &Block,
        i: usize,
        now: Millis,
        scratch: &Scratch,
        before: impl FnOnce(&State),
    ) -> bool {
        let row = block.row(i);
        let timestamp = block.timestamp(i);
        if self.window.is_some_and(|w| w.expiry(w.pane(timestamp)) <= now) {
            return false;
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.is_true(&row, scratch)) {
            return false;
        }
        let mut first = [Datum::Null];
        let many: Vec<Datum>;
        // One argument or none is the rule, and needs no allocation.
        let args: &[Datum] = match &self.args[..] {
            [] => &[],
            [one] => {
                first[0] = one.eval(&row, scratch);
                &first
            }
            several => {
                many = several.iter().map(|arg| arg.eval(&row, scratch)).collect();
                &many
            }
        };
        if args.iter().any(Datum::is_null) {
            return false;
        }
        before(state);
        state.add(place, self, &Input { args, timestamp, event_id: block.event_id(i) });
        true
    }
}

impl Derivation {
    /// The value, given one for each slot.
    pub fn value<'a>(&'a self, inputs: &'a [Datum<'a>], as_of: Millis, scratch: &'a Scratch) -> Datum<'a> {
        self.expr.eval(scratch.alloc(Slots { inputs, as_of }), scratch)
    }
}

/// The tags of a key, as a derived tag's expression sees them.
struct Tags<'a> {
    values: &'a [Option<Value>],
    inputs: &'a [usize],
    as_of: Millis,
}

impl Row for Tags<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.values[self.inputs[slot]].as_ref().map_or(Datum::Null, Value::datum)
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(self.as_of)
    }
}

/// The same, given one value for each slot.
struct Slots<'a> {
    inputs: &'a [Datum<'a>],
    as_of: Millis,
}

impl Row for Slots<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.inputs[slot]
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(self.as_of)
    }
}
