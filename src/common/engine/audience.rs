//! Audiences: the rules that the live path keeps current, and which of them a change can touch.
//!
//! A rule is looked at when a value that it names moves over one of its [marks](crate::expr::marks), and at the instants
//! at which the clock alone moves it. The index from tags to rules is made once.

mod row;

use super::given::Given;
use super::plan::{HIDDEN, Plan};
use super::state::State;
use crate::expr::marks::{FAR, Mark, Point};
use crate::expr::{Expr, Scratch};
use crate::rows::Row;
use crate::tag::{Definitions, Schedule, Segment, Status, Update};
use crate::time::Millis;
use crate::value::{Datum, Value};
use row::Source;
pub use row::{Cells, LazyRow};
use std::collections::HashMap;
use std::sync::Arc;

/// As many audiences as a stream keeps current. Those of before that are yet to lose their members come on top.
pub const AUDIENCES_MAX: usize = 1 << 14;

/// A rule whose members are kept.
pub struct Audience {
    pub code: Arc<str>,
    /// Of the rule; of one that is kept no longer, the last one.
    pub version: Arc<str>,
    /// Stands for the code in checkpoints.
    pub number: u64,
    /// `None`: it is kept no longer, and whoever is in has to leave.
    rule: Option<Arc<Expr>>,
    /// Who is in was found by another rule, or is yet to be found.
    stale: bool,
}

/// An audience as a checkpoint knows it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Known {
    pub number: u64,
    pub code: String,
    /// The rule that all members were found by; `None`: they are yet to be found.
    pub version: Option<String>,
}

/// All rules that are kept, and what they look at. Audiences and tags are named by place.
pub struct Audiences {
    pub list: Vec<Audience>,
    /// By number, the places of audiences.
    places: HashMap<u64, u16>,
    /// By tag.
    looks: Vec<Looks>,
    sources: Vec<Source>,
    /// Rules that look at the clock in other ways than by ages.
    clocked: Vec<u16>,
    /// Tags with marks of ages.
    aged: Vec<usize>,
    /// By counter, whether a rule looks at it, itself or by way of derived tags.
    counters: Vec<bool>,
    /// Derived tags that rules look at.
    derived: Vec<usize>,
    /// What may be true of a user of whom nothing was known before the first event, besides what that event moves.
    fresh: Vec<u16>,
}

/// Who looks at a tag, and how.
#[derive(Default)]
struct Looks {
    all: Vec<u16>,
    any: Vec<u16>,
    below: Vec<(Point, u16)>,
    is: HashMap<Point, Vec<u16>>,
    ages: Vec<(Millis, u16)>,
}

/// The segments of a definition file that a stream keeps current.
pub fn live_segments(definitions: &Definitions) -> impl Iterator<Item = &Segment> {
    let live = |segment: &&Segment| segment.status == Status::Active && segment.schedule == Schedule::Live;
    definitions.segments.iter().filter(live)
}

/// The tags that have to be known to keep them current: those that their rules look at, and where a rule may be true of a
/// user without values all that come as patches, since any of them makes a user known.
pub fn watched_tags(definitions: &Definitions) -> Vec<usize> {
    let mut tags = Vec::new();
    live_segments(definitions).for_each(|segment| segment.rule.slots(&mut tags));
    let of_nobody = |rule: &Expr| rule.is_true(&Nothing, &Scratch::new()) || rule.marks().clock;
    if live_segments(definitions).any(|segment| of_nobody(&segment.rule)) {
        let of_users = |tag: &usize| definitions.tags[*tag].entity == 0;
        let patched = |tag: &usize| definitions.tags[*tag].update != Update::Realtime && !tags.contains(tag);
        let more: Vec<usize> = (0..definitions.tags.len()).filter(of_users).filter(patched).collect();
        tags.extend(more);
    }
    tags
}

/// A user without values.
struct Nothing;

impl Row for Nothing {
    fn datum(&self, _: usize) -> Datum<'_> {
        Datum::Null
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(0)
    }
}

impl Audiences {
    /// Those of the plan's definitions; `known`: what a checkpoint knows. `None`: there are none, and there were none.
    pub fn new(plan: &Plan, known: &[Known]) -> Option<Audiences> {
        let next = known.iter().map(|known| known.number + 1).max().unwrap_or(0);
        let mut list: Vec<Audience> = Vec::new();
        for (n, segment) in live_segments(&plan.definitions).enumerate() {
            let before = known.iter().find(|known| *known.code == *segment.code);
            list.push(Audience {
                code: segment.code.clone(),
                version: segment.version.as_str().into(),
                number: before.map_or(next + n as u64, |known| known.number),
                rule: Some(segment.rule.clone()),
                stale: before.is_none_or(|known| known.version.as_ref() != Some(&segment.version)),
            });
        }
        for known in known.iter().filter(|known| !list.iter().any(|one| *one.code == *known.code)).collect::<Vec<_>>() {
            let version = known.version.as_deref().unwrap_or_default().into();
            let (code, number) = (known.code.as_str().into(), known.number);
            list.push(Audience { code, version, number, rule: None, stale: true });
        }
        assert!(list.len() <= usize::from(u16::MAX), "whoever read the definitions has counted them");
        (!list.is_empty()).then(|| Audiences::of(plan, list))
    }

    fn of(plan: &Plan, list: Vec<Audience>) -> Audiences {
        let tags = plan.definitions.tags.len();
        let mut sources = vec![Source::Nothing; tags];
        plan.given.iter().enumerate().for_each(|(place, tag)| sources[*tag] = Source::Given(place));
        for (place, counter) in plan.counters.iter().enumerate().filter(|(_, counter)| counter.tag != HIDDEN) {
            sources[counter.tag] = Source::Counter(place);
        }
        plan.derivations.iter().enumerate().for_each(|(place, d)| sources[d.tag] = Source::Derived(place));
        let mut all = Audiences {
            places: list.iter().zip(0..).map(|(one, place)| (one.number, place)).collect(),
            looks: (0..tags).map(|_| Looks::default()).collect(),
            sources,
            clocked: Vec::new(),
            aged: Vec::new(),
            counters: vec![false; plan.counters.len()],
            derived: Vec::new(),
            fresh: Vec::new(),
            list,
        };
        for place in 0..all.list.len() {
            all.index(place as u16);
        }
        all.looks.iter_mut().for_each(Looks::sort);
        all.aged = (0..tags).filter(|tag| !all.looks[*tag].ages.is_empty()).collect();
        all.find_inputs(plan);
        all.find_fresh(plan);
        all
    }

    fn index(&mut self, place: u16) {
        let Some(rule) = &self.list[usize::from(place)].rule else { return };
        let marks = rule.marks();
        let (mut slots, looks) = (Vec::new(), &mut self.looks);
        rule.slots(&mut slots);
        slots.into_iter().for_each(|slot| looks[slot].all.push(place));
        for (slot, mark) in marks.of {
            match mark {
                Mark::Any => looks[slot].any.push(place),
                Mark::Below(point) => looks[slot].below.push((point, place)),
                Mark::Is(point) => looks[slot].is.entry(point).or_default().push(place),
                Mark::Age(age) => looks[slot].ages.push((age, place)),
                Mark::Known => {}
            }
        }
        if marks.clock {
            self.clocked.push(place);
        }
    }

    /// Which counters and derived tags the rules rest on.
    fn find_inputs(&mut self, plan: &Plan) {
        let mut stack: Vec<usize> = (0..self.looks.len()).filter(|tag| !self.looks[*tag].all.is_empty()).collect();
        let looked_at = stack.clone();
        while let Some(tag) = stack.pop() {
            match self.sources[tag] {
                Source::Counter(place) => self.counters[place] = true,
                Source::Derived(place) => stack.extend(&plan.derivations[place].inputs),
                Source::Nothing | Source::Given(_) => {}
            }
        }
        self.derived = looked_at.into_iter().filter(|tag| matches!(self.sources[*tag], Source::Derived(_))).collect();
    }

    /// Which rules are true of a user with an event that counts nowhere, and those of which that depends on the clock.
    fn find_fresh(&mut self, plan: &Plan) {
        let (state, given) = (State::new(plan), Given::default());
        let mut cells = Cells::new(self.sources.len());
        let mut scratch = Scratch::new();
        let follows = |all: &Audiences, rule: &Expr| {
            let (mut slots, mut seen) = (Vec::new(), vec![false; all.sources.len()]);
            rule.slots(&mut slots);
            while let Some(tag) = slots.pop() {
                if let (Source::Derived(place), false) = (all.sources[tag], std::mem::replace(&mut seen[tag], true)) {
                    let d = &plan.derivations[place];
                    if d.expr.uses_as_of() {
                        return true;
                    }
                    slots.extend(&d.inputs);
                }
            }
            false
        };
        let mut fresh = Vec::new();
        for (place, audience) in self.list.iter().enumerate() {
            let Some(rule) = &audience.rule else { continue };
            let row = self.row(plan, Some(&state), &given, 0, &cells);
            if self.clocked.contains(&(place as u16)) || follows(self, rule) || rule.is_true(&row, &scratch) {
                fresh.push(place as u16);
            }
            cells.clear();
            scratch.reset();
        }
        self.fresh = fresh;
    }

    pub fn fresh(&self) -> &[u16] {
        &self.fresh
    }

    pub fn clocked(&self) -> &[u16] {
        &self.clocked
    }

    pub fn watches(&self, counter: usize) -> bool {
        self.counters[counter]
    }

    /// The derived tags that rules look at.
    pub fn derived(&self) -> &[usize] {
        &self.derived
    }

    /// Whether any rule looks at a tag.
    pub fn looks_at(&self, tag: usize) -> bool {
        !self.looks[tag].all.is_empty()
    }

    /// The audiences whose members were found by another rule, or are yet to be found.
    pub fn stale(&self) -> Vec<u16> {
        (0..self.list.len()).filter(|place| self.list[*place].stale).map(|place| place as u16).collect()
    }

    /// The place of the audience that a number stands for.
    pub fn place(&self, number: u64) -> Option<u16> {
        self.places.get(&number).copied()
    }

    /// What a checkpoint has to know; `found`: everybody was looked at since the start.
    pub fn known(&self, found: bool) -> Vec<Known> {
        let known = |one: &Audience| Known {
            number: one.number,
            code: one.code.to_string(),
            version: (found || !one.stale).then(|| one.version.to_string()),
        };
        // One that is gone and has lost its members is forgotten.
        self.list.iter().filter(|one| one.rule.is_some() || !found).map(known).collect()
    }

    /// Adds the rules that a move of a tag's value, at `now`, may touch.
    pub fn moved(&self, tag: usize, from: Option<&Value>, to: Option<&Value>, now: Millis, out: &mut Vec<u16>) {
        let looks = &self.looks[tag];
        let (Some(from), Some(to)) = (from, to) else { return out.extend(&looks.all) };
        out.extend(&looks.any);
        if !looks.ages.is_empty() {
            match (age(from, now), age(to, now)) {
                (Some(from), Some(to)) => looks.between_ages(from.min(to), from.max(to), out),
                _ => out.extend(&looks.all),
            }
        }
        if looks.below.is_empty() && looks.is.is_empty() {
            return;
        }
        let (Some(from), Some(to)) = (Point::of(from.datum()), Point::of(to.datum())) else {
            return out.extend(&looks.all);
        };
        for point in [&from, &to] {
            out.extend(looks.is.get(point).into_iter().flatten());
        }
        let (low, high) = if from < to { (from, to) } else { (to, from) };
        let first = looks.below.partition_point(|(point, _)| *point <= low);
        let passed = looks.below[first..].iter().take_while(|(point, _)| *point <= high);
        out.extend(passed.map(|(_, place)| *place));
    }

    /// Adds the rules that time alone may touch from `before` to `now`, the values being as they are.
    pub fn aged(&self, row: &LazyRow<'_>, before: Millis, now: Millis, out: &mut Vec<u16>) {
        for tag in &self.aged {
            if let Some(value) = row.value(*tag)
                && let (Some(from), Some(to)) = (age(value, before), age(value, now))
            {
                self.looks[*tag].between_ages(from, to, out);
            }
        }
    }

    /// The first instant after `now` at which the clock alone may touch a rule, the values being as they are.
    pub fn next_change(&self, row: &LazyRow<'_>, now: Millis, scratch: &Scratch) -> Option<Millis> {
        let by_age = self.aged.iter().filter_map(|tag| {
            let value = row.value(*tag)?;
            let ages = &self.looks[*tag].ages;
            let reached = age(value, now)?;
            let (next, _) = ages.get(ages.partition_point(|(age, _)| *age <= reached))?;
            now.checked_add(next.checked_sub(reached)?)
        });
        let by_clock = self.clocked.iter().filter_map(|place| {
            let rule = self.list[usize::from(*place)].rule.as_ref()?;
            rule.next_change(row, now, scratch)
        });
        by_age.chain(by_clock).min()
    }

    /// Whether a rule is true of a user who is known.
    pub fn holds(&self, place: u16, row: &LazyRow<'_>, scratch: &Scratch) -> bool {
        self.list[usize::from(place)].rule.as_ref().is_some_and(|rule| rule.is_true(row, scratch))
    }

    /// Whether time alone may touch a rule of a user at all.
    pub fn follow_clock(&self) -> bool {
        !self.aged.is_empty() || !self.clocked.is_empty()
    }

    pub fn row<'a>(
        &'a self,
        plan: &'a Plan,
        state: Option<&'a State>,
        given: &'a Given,
        as_of: Millis,
        cells: &'a Cells,
    ) -> LazyRow<'a> {
        LazyRow::new(plan, &self.sources, state, given, as_of, cells)
    }
}

impl Looks {
    fn sort(&mut self) {
        self.any.dedup();
        self.below.sort();
        self.below.dedup();
        self.ages.sort_unstable();
        self.ages.dedup();
        self.is.values_mut().for_each(|places| places.dedup());
    }

    /// Rules with a mark above one age and not above the other.
    fn between_ages(&self, low: Millis, high: Millis, out: &mut Vec<u16>) {
        let first = self.ages.partition_point(|(age, _)| *age <= low);
        out.extend(self.ages[first..].iter().take_while(|(age, _)| *age <= high).map(|(_, place)| *place));
    }
}

/// How long ago the instant is that a value says; `None`: it says none.
fn age(value: &Value, now: Millis) -> Option<Millis> {
    match value {
        Value::Int(at) | Value::Time(at) if at.abs() < FAR => now.checked_sub(*at),
        _ => None,
    }
}
