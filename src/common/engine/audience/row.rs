//! Rows of tags, each worked out when a rule asks for it.

use crate::engine::given::Given;
use crate::engine::plan::Plan;
use crate::engine::state::State;
use crate::expr::Scratch;
use crate::rows::Row;
use crate::time::Millis;
use crate::value::{Datum, Value};
use std::cell::{OnceCell, RefCell};

/// Where the value of a tag comes from.
#[derive(Clone, Copy)]
pub enum Source {
    Nothing,
    Counter(usize),
    Given(usize),
    Derived(usize),
}

/// Values of tags that were asked for; the same memory serves one user after another.
pub struct Cells {
    values: Vec<OnceCell<Option<Value>>>,
    used: RefCell<Vec<usize>>,
}

impl Cells {
    pub fn new(tags: usize) -> Cells {
        let values = (0..tags).map(|_| OnceCell::new()).collect();
        Cells { values, used: RefCell::default() }
    }

    pub fn clear(&mut self) {
        self.used.get_mut().drain(..).for_each(|tag| drop(self.values[tag].take()));
    }
}

/// The tags of a user at one instant, each worked out when it is asked for.
pub struct LazyRow<'a> {
    plan: &'a Plan,
    sources: &'a [Source],
    /// `None`: no event counts.
    state: Option<&'a State>,
    given: &'a Given,
    as_of: Millis,
    cells: &'a Cells,
}

impl<'a> LazyRow<'a> {
    pub fn new(
        plan: &'a Plan,
        sources: &'a [Source],
        state: Option<&'a State>,
        given: &'a Given,
        as_of: Millis,
        cells: &'a Cells,
    ) -> LazyRow<'a> {
        LazyRow { plan, sources, state, given, as_of, cells }
    }

    pub fn value(&self, tag: usize) -> Option<&Value> {
        let cell = &self.cells.values[tag];
        cell.get_or_init(|| {
            self.cells.used.borrow_mut().push(tag);
            self.compute(tag)
        })
        .as_ref()
    }

    fn compute(&self, tag: usize) -> Option<Value> {
        match self.sources[tag] {
            Source::Nothing => None,
            Source::Given(place) => self.given.value(place).cloned(),
            Source::Counter(place) => self.state?.value(place, &self.plan.counters[place], self.as_of),
            Source::Derived(place) => {
                let d = &self.plan.derivations[place];
                if self.state.is_none() && !d.over_given {
                    return None;
                }
                let inputs = Inputs { row: self, inputs: &d.inputs };
                d.expr.eval(&inputs, &Scratch::new()).to_value()
            }
        }
    }
}

impl Row for LazyRow<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.value(slot).map_or(Datum::Null, Value::datum)
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(self.as_of)
    }
}

/// The same, as the expression of a derived tag names them.
struct Inputs<'a> {
    row: &'a LazyRow<'a>,
    inputs: &'a [usize],
}

impl Row for Inputs<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.row.datum(self.inputs[slot])
    }

    fn as_of(&self) -> Datum<'_> {
        self.row.as_of()
    }
}
