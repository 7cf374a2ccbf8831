//! Feeds: which rows of a block reach which aggregation, worked out once for all that share them.
//!
//! Rows are selected once for every different filter and once for every window over it; aggregations over
//! the same rows share computed arguments too.

use crate::agg::{Arguments, Partials};
use crate::engine::plan::{Counter, Plan};
use crate::expr::select::{Filter, keep};
use crate::expr::{Expr, Scratch};
use crate::rows::{Block, Pick};
use crate::time::Millis;
use crate::value::{Datum, Type};

/// The partials of all counters of a plan, and how rows come to them.
pub struct Feeds {
    selections: Vec<Selection>,
    feeds: Vec<Feed>,
    /// In the order of the plan's counters.
    partials: Vec<Partials>,
}

/// Some of the rows that count.
struct Selection {
    /// The selection it is made from; `None`: all rows that count.
    from: Option<usize>,
    by: By,
    picks: Vec<Pick>,
}

enum By {
    Filter(Filter),
    /// Events from this instant on.
    Since(Millis),
}

/// Counters that are fed the same rows and the same arguments.
struct Feed {
    selection: Option<usize>,
    args: Args,
    counters: Vec<usize>,
}

enum Args {
    None,
    Field(usize),
    Computed(Vec<Expr>),
}

impl Feeds {
    pub fn new(plan: &Plan, as_of: Millis) -> Feeds {
        let (mut selections, mut feeds) = (Shared::default(), Shared::default());
        for (place, counter) in plan.counters.iter().enumerate() {
            let selection = select(&mut selections, counter, as_of);
            let feed = feeds.place((selection, arguments(counter)), || Feed {
                selection,
                args: Args::of(counter),
                counters: Vec::new(),
            });
            feeds.items[feed].counters.push(place);
        }
        let partials = plan.counters.iter().map(|counter| counter.form.partials(as_of)).collect();
        Feeds { selections: selections.items, feeds: feeds.items, partials }
    }

    /// The partials, in the order of the plan's counters.
    pub fn partials(&self) -> &[Partials] {
        &self.partials
    }

    /// Makes room for so many places.
    pub fn grow(&mut self, places: usize) {
        self.partials.iter_mut().for_each(|partials| partials.grow(places));
    }

    pub fn clear(&mut self) {
        self.partials.iter_mut().for_each(Partials::clear);
    }

    /// Adds the picked rows of a block, whose places are below `places`.
    pub fn add(&mut self, block: &Block, picks: &[Pick], places: usize, scratch: &mut Scratch) {
        for at in 0..self.selections.len() {
            let (before, rest) = self.selections.split_at_mut(at);
            let selection = &mut rest[0];
            let from = selection.from.map_or(picks, |from| &before[from].picks);
            match &selection.by {
                By::Filter(filter) => filter.select(block, from, &mut selection.picks, scratch),
                By::Since(since) => {
                    selection.picks.clear();
                    selection.picks.extend_from_slice(from);
                    let timestamps = block.timestamps();
                    keep(&mut selection.picks, |row| timestamps[row] >= *since);
                }
            }
        }
        for feed in &self.feeds {
            let picks = feed.selection.map_or(picks, |selection| &self.selections[selection].picks);
            let mut computed = Vec::new();
            let arguments = match &feed.args {
                Args::None => Arguments::None,
                Args::Field(slot) => Arguments::Field(block.column(*slot)),
                Args::Computed(exprs) => {
                    compute(exprs, block, picks, scratch, &mut computed);
                    Arguments::Computed { width: exprs.len(), values: &computed }
                }
            };
            for counter in &feed.counters {
                let partials = &mut self.partials[*counter];
                partials.grow(places);
                partials.add(picks, block, arguments);
            }
            drop(computed);
            scratch.reset();
        }
    }
}

/// The values of the expressions for every pick, one pick after the other.
fn compute<'a>(exprs: &[Expr], block: &'a Block, picks: &[Pick], scratch: &'a Scratch, out: &mut Vec<Datum<'a>>) {
    out.reserve(picks.len() * exprs.len());
    for pick in picks {
        let row = scratch.alloc(block.row(pick.row as usize));
        out.extend(exprs.iter().map(|expr| expr.eval(row, scratch)));
    }
}

/// What a selection is known by: a filter's canonical text, or the first instant of one of another.
#[derive(PartialEq)]
enum Which {
    Filter(String),
    Since(Option<usize>, Millis),
}

/// The selection of a counter's rows; `None`: all that count.
fn select(selections: &mut Shared<Which, Selection>, counter: &Counter, as_of: Millis) -> Option<usize> {
    let mut selection = None;
    if let Some(filter) = &counter.filter {
        let by = || Selection { from: None, by: By::Filter(Filter::new(filter)), picks: Vec::new() };
        selection = Some(selections.place(Which::Filter(filter.canonical()), by));
    }
    if let Some(window) = counter.window {
        let (from, since) = (selection, window.since(as_of));
        let by = || Selection { from, by: By::Since(since), picks: Vec::new() };
        selection = Some(selections.place(Which::Since(from, since), by));
    }
    selection
}

/// Stands for the arguments of a counter: equal where they are.
fn arguments(counter: &Counter) -> Vec<(String, Type)> {
    counter.args.iter().map(|arg| (arg.canonical(), arg.ty)).collect()
}

impl Args {
    fn of(counter: &Counter) -> Args {
        match &counter.args[..] {
            [] => Args::None,
            [one] => one.slot().map_or_else(|| Args::Computed(vec![one.clone()]), Args::Field),
            several => Args::Computed(several.to_vec()),
        }
    }
}

/// Things made once for each different key, by place.
struct Shared<K, T> {
    keys: Vec<K>,
    items: Vec<T>,
}

impl<K, T> Default for Shared<K, T> {
    fn default() -> Shared<K, T> {
        Shared { keys: Vec::new(), items: Vec::new() }
    }
}

impl<K: PartialEq, T> Shared<K, T> {
    fn place(&mut self, key: K, make: impl FnOnce() -> T) -> usize {
        if let Some(place) = self.keys.iter().position(|known| *known == key) {
            return place;
        }
        self.keys.push(key);
        self.items.push(make());
        self.items.len() - 1
    }
}
