//! Lint: what a sample of events says against the definitions.
//!
//! Each warning names a tag's line. They are doubts, not errors: a sample may be too small.

use super::column::Column;
use crate::given::grouped;
use adprof::agg::KEEP_MAX;
use adprof::engine::plan::{Counter, Plan};
use adprof::expr::{Expr, Scratch, nearest};
use adprof::ndjson::shown;
use adprof::pane::{Sliding, Unit, Window};
use adprof::rows::Block;
use adprof::tag::{Definitions, Kind, Tag};
use adprof::time::{DAY, HOUR};
use std::collections::BTreeMap;

/// Different event types remembered.
const TYPES_MAX: usize = 10_000;

/// The event types of a sample and how often each occurs.
#[derive(Default)]
pub struct Types(BTreeMap<String, u64>);

impl Types {
    pub fn add(&mut self, name: &str) {
        if let Some(n) = self.0.get_mut(name) {
            *n += 1;
        } else if !self.is_full() {
            self.0.insert(name.into(), 1);
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() >= TYPES_MAX
    }

    /// `click (120), view (30)`: the types there are.
    fn most_frequent(&self) -> String {
        let mut types: Vec<(&String, &u64)> = self.0.iter().collect();
        types.sort_by(|a, b| b.1.cmp(a.1));
        let shown: Vec<String> =
            types.iter().take(5).map(|(name, n)| format!("{} ({})", shown(name), grouped(**n))).collect();
        shown.join(", ")
    }
}

/// What the profiles of a plan are of, for people: users, or keys of an entity.
pub fn noun(plan: &Plan) -> String {
    if plan.entity().is_declared() { format!("keys of {}", plan.entity().name) } else { "users".into() }
}

/// What was seen of a sample.
pub struct Lint<'p> {
    plan: &'p Plan,
    /// Events that passed the filter, a counter each.
    matched: Vec<u64>,
    /// Events in which a field of the projection had a value of its type.
    present: Vec<u64>,
    events: u64,
    scratch: Scratch,
}

impl<'p> Lint<'p> {
    pub fn new(plan: &'p Plan) -> Lint<'p> {
        Lint {
            plan,
            matched: vec![0; plan.counters.len()],
            present: vec![0; plan.definitions.projection.fields.len()],
            events: 0,
            scratch: Scratch::new(),
        }
    }

    pub fn plan(&self) -> &'p Plan {
        self.plan
    }

    /// Tries every filter on every row.
    pub fn look(&mut self, block: &Block) {
        self.events += block.len() as u64;
        for i in 0..block.len() {
            let row = block.row(i);
            for (counter, matched) in self.plan.counters.iter().zip(&mut self.matched) {
                *matched += u64::from(counter.filter.as_ref().is_none_or(|f| f.is_true(&row, &self.scratch)));
            }
            for (slot, present) in self.present.iter_mut().enumerate() {
                *present += u64::from(!block.datum(slot, i).is_null());
            }
            self.scratch.reset();
        }
    }

    /// The warnings, in the order of the tags. `flagged` are the users of whom a counter left values out.
    pub fn finish(&self, types: &Types, columns: &[Column], users: u64, flagged: &[u64]) -> Vec<String> {
        let (mut warnings, noun) = (Vec::new(), noun(self.plan));
        for column in columns {
            let tag = &self.plan.definitions.tags[column.tag];
            let mut why = match self.plan.counters.iter().position(|c| c.tag == column.tag) {
                Some(place) => {
                    let left_out = left_out(tag, flagged[place], users, &noun);
                    self.counter(types, place).into_iter().chain(left_out).collect()
                }
                None => Vec::new(),
            };
            if column.users == 0 && why.is_empty() {
                let message = format!("NULL for every one of {} {noun}", grouped(users));
                why.push((message, null_hint(tag).map(String::from)));
            }
            warnings.extend(why.into_iter().map(|(message, hint)| self.at(tag, &message, hint)));
        }
        warnings
    }

    /// What is strange about one aggregation.
    fn counter(&self, types: &Types, place: usize) -> Vec<(String, Option<String>)> {
        let counter = &self.plan.counters[place];
        let mut out = Vec::new();
        for name in self.unseen_types(types, counter) {
            let meant = nearest(&name, types.0.keys().map(String::as_str));
            let hint = match meant {
                Some(meant) => format!("did you mean '{}'?", shown(meant)),
                None => format!("the sample has {}", types.most_frequent()),
            };
            out.push((format!("event type '{}' does not occur in the sample", shown(&name)), Some(hint)));
        }
        for slot in self.absent_fields(counter) {
            let field = &self.plan.definitions.projection.fields[slot];
            let message = format!("field `{}` never holds a value of type {}", field.path.join("."), field.ty);
            out.push((message, Some("see how the events spell it, and its `type` under [[field]]".into())));
        }
        if self.matched[place] == 0 && out.is_empty() {
            out.push((format!("`where` matches none of {} events", grouped(self.events)), None));
        }
        out
    }

    /// Event types that the tag's expressions compare with, and that no event has.
    fn unseen_types(&self, types: &Types, counter: &Counter) -> Vec<String> {
        let fields = &self.plan.definitions.projection.fields;
        let Some(slot) = fields.iter().position(|field| field.path == ["eventType"]) else { return Vec::new() };
        let mut out: Vec<String> = Vec::new();
        for name in expressions(counter).flat_map(|e| e.texts_compared_with(slot)) {
            if !types.is_full() && !types.0.contains_key(name) && !out.iter().any(|o| o == name) {
                out.push(name.to_string());
            }
        }
        out
    }

    fn absent_fields(&self, counter: &Counter) -> Vec<usize> {
        let mut slots = Vec::new();
        expressions(counter).for_each(|e| e.slots(&mut slots));
        slots.retain(|slot| self.present[*slot] == 0);
        slots
    }

    fn at(&self, tag: &Tag, message: &str, hint: Option<String>) -> String {
        // A hidden tag is known to people by the rule it stands in.
        let what = if tag.is_hidden() { ("in a rule", &*tag.name) } else { ("tag", &*tag.code) };
        let place = format!("{}:{}: {} `{}`: {message}", self.plan.definitions.source, tag.line, what.0, what.1);
        match hint {
            Some(hint) => format!("{place}\nhint: {hint}"),
            None => place,
        }
    }
}

/// Notes on spans that look like a window of the calendar in the same file: `1d` beside `day`.
pub fn look_alikes(definitions: &Definitions) -> Vec<String> {
    let windows = || {
        definitions.tags.iter().filter_map(|tag| match &tag.kind {
            Kind::Aggregation(aggregation) => Some((tag, aggregation.window?)),
            _ => None,
        })
    };
    let mut notes = Vec::new();
    for (tag, window) in windows() {
        let Window::Sliding(Sliding { span, .. }) = window else { continue };
        let alike = |(_, other): &(&Tag, Window)| match other {
            Window::Calendar(calendar) => calendar.number.checked_mul(days(calendar.unit)) == Some(span / DAY),
            Window::Sliding(_) => false,
        };
        if span % DAY == 0
            && let Some((other, calendar)) = windows().find(alike)
        {
            notes.push(format!(
                "{}:{}: tag `{}`: \"{window}\" is the last {} hours; \"{calendar}\" of tag `{}` goes by the calendar",
                definitions.source,
                tag.line,
                tag.code,
                span / HOUR,
                other.code
            ));
        }
    }
    notes
}

/// As many days as a unit is taken for.
fn days(unit: Unit) -> i64 {
    match unit {
        Unit::Day => 1,
        Unit::Week => 7,
        Unit::Month => 30,
    }
}

fn expressions(counter: &Counter) -> impl Iterator<Item = &Expr> {
    counter.filter.iter().chain(&counter.args)
}

/// That a tag keeps fewer different values than there are.
fn left_out(tag: &Tag, flagged: u64, users: u64, noun: &str) -> Option<(String, Option<String>)> {
    let Kind::Aggregation(a) = &tag.kind else { return None };
    let message = format!(
        "more than {} different values for {} of {} {noun}: those with the smallest hash were kept",
        grouped(a.keep as u64),
        grouped(flagged),
        grouped(users)
    );
    let hint = format!("raise `keep`, to {} at most", grouped(KEEP_MAX as u64));
    (flagged > 0).then_some((message, (a.keep < KEEP_MAX).then_some(hint)))
}

fn null_hint(tag: &Tag) -> Option<&'static str> {
    match &tag.kind {
        Kind::Derived(_) => Some("NULL in a tag that it names makes most expressions NULL: COALESCE gives a default"),
        Kind::Aggregation(a) if a.window.is_some() => Some("no event of it lies in the window before the last event"),
        _ => None,
    }
}
