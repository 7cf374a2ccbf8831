//! What is told of each tag: the store's side and the log's side put together.

use super::difference;
use crate::given;
use adprof::engine::explain::{Explanation, Fact, Next, argument_names, explain, feed};
use adprof::engine::given::Given;
use adprof::engine::plan::Plan;
use adprof::engine::tail::Tail;
use adprof::key::Key;
use adprof::profiles::{Origin, Profiles, Told, Why};
use adprof::run::key_rows::Found;
use adprof::store::Location;
use adprof::tag::{Definitions, Kind, Update};
use adprof::time::Millis;
use adprof::value::Value;
use anyhow::Result;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// One user, one tag, and all that the tag is made of.
pub struct Book {
    pub user: Key,
    pub definitions: Arc<Definitions>,
    /// Whether anything is known of the user at all.
    pub known: bool,
    pub store: Option<Store>,
    /// The tag that was asked for, then its inputs.
    pub subjects: Vec<Subject>,
}

impl Book {
    /// In what store and log differ, told of the first tag in which they do.
    pub fn difference(&self) -> Option<String> {
        let found = self.subjects.iter().find_map(|subject| Some((subject.tag, subject.difference.as_ref()?)));
        found.map(|(tag, why)| format!("{} of {}: {why}", self.definitions.tags[tag].code, self.user))
    }
}

/// The store that was asked, and what it says.
pub struct Store {
    pub location: String,
    /// The largest event time its live state has absorbed.
    pub newest: Option<Millis>,
    /// How far its time had come: panes over by then are forgotten.
    pub moved_to: Option<Millis>,
    /// How old its live state is.
    pub age: Option<Millis>,
    /// What of its live state is a base, and what it counted itself.
    pub tail: Option<Tail>,
    /// Whether it knows the user at all.
    known: bool,
    /// In the order of the lineage.
    told: Vec<Told>,
}

impl Store {
    /// Asks for all tags of a lineage at once.
    pub fn ask(mut profiles: Profiles, place: &Location, user: &Key, lineage: &[(usize, usize)]) -> Result<Store> {
        let tags: Vec<usize> = lineage.iter().map(|(_, tag)| *tag).collect();
        let (told, known) = profiles.explain(user, &tags).map_err(given::of_store)?;
        let age = profiles.age(given::now()).map_err(given::of_store)?;
        let (newest, moved_to, tail) = (profiles.newest(), profiles.moved_to(), profiles.tail());
        Ok(Store { location: place.to_string(), newest, moved_to, age, tail, known, told })
    }
}

/// One tag.
pub struct Subject {
    pub tag: usize,
    /// Steps from the tag that was asked for.
    pub depth: usize,
    /// The instant at which the value is true.
    pub as_of: Millis,
    pub value: Option<Value>,
    /// What the store says; `None` without a store.
    pub told: Option<Told>,
    pub log: Option<FromLog>,
    /// Of the live state, else of the log.
    pub explanation: Option<Explanation>,
    /// In what store and log differ, and why.
    pub difference: Option<String>,
    /// Whether it is computed from tags that patches bring.
    over_given: bool,
}

/// What the log says of the tag.
pub struct FromLog {
    /// As a profile would have it: none where the log has no event of the user.
    pub value: Option<Value>,
    /// Whether it has an event of the user up to the instant.
    pub known: bool,
    /// Those that count; of a derived tag they stand with its inputs.
    pub events: Vec<Fact>,
    /// What stands before the arguments of the events.
    pub arguments: Vec<String>,
    pub duplicates: u64,
}

/// The two sides that are asked.
pub struct Sides {
    pub definitions: Arc<Definitions>,
    pub store: Option<Store>,
    pub log: Option<Found>,
    pub as_of: Millis,
    /// Whether somebody named the instant: then the log is asked at it, however old a patch is.
    pub named: bool,
}

impl Sides {
    /// The explanation of a lineage: the tag that was asked for, then its inputs.
    pub fn book(self, user: Key, lineage: &[(usize, usize)]) -> Book {
        let subject = |(i, (depth, tag)): (usize, &(usize, usize))| {
            let told = self.store.as_ref().map(|store| store.told[i].clone());
            self.subject(*depth, *tag, told, lineage)
        };
        let mut subjects: Vec<Subject> = lineage.iter().enumerate().map(subject).collect();
        let in_log = |subject: &Subject| subject.log.as_ref().is_some_and(|log| log.known);
        let known = self.store.as_ref().is_some_and(|store| store.known) || subjects.iter().any(in_log);
        if !known {
            subjects.iter_mut().for_each(|subject| self.of_nothing(subject));
        }
        Book { user, definitions: self.definitions, known, store: self.store, subjects }
    }

    fn subject(&self, depth: usize, tag: usize, told: Option<Told>, lineage: &[(usize, usize)]) -> Subject {
        let as_of = match &told {
            Some(Told { from: Origin::Patch(at), .. }) if !self.named => *at,
            _ => self.as_of,
        };
        let (log, from_log) = self.ask_log(tag, as_of, lineage).unzip();
        let value = match (&told, &log) {
            (Some(told), _) => told.value.clone(),
            (None, Some(FromLog { value, .. })) => value.clone(),
            (None, None) => None,
        };
        let explanation = told.as_ref().and_then(|told| told.explanation.clone()).or(from_log);
        let over_given = self.store.is_some() && !self.plan(tag).given.is_empty();
        let mut subject = Subject { tag, depth, as_of, value, told, log, explanation, difference: None, over_given };
        if let (Some(store), Some(log)) = (&self.store, &self.log) {
            subject.difference = difference::find(&subject, store, log, self.as_of);
        }
        subject
    }

    /// Of a user nobody knows: the value of no events.
    fn of_nothing(&self, subject: &mut Subject) {
        if !matches!(self.definitions.tags[subject.tag].kind, Kind::Imported) {
            let explanation = explain(&self.plan(subject.tag), None, &Given::default(), subject.as_of);
            subject.value = explanation.value.clone();
            subject.explanation = Some(explanation);
        }
    }

    /// What computes a tag: of one that is compared with a live state, of the same given values.
    fn plan(&self, tag: usize) -> Plan {
        let live = self.store.is_some() && self.definitions.tags[tag].update == Update::Realtime;
        let plan = if live { Plan::live } else { Plan::new };
        plan(self.definitions.clone(), &[tag])
    }

    /// The values that a plan does not compute, as the store has them; `None` where there is no store to ask.
    fn given(&self, plan: &Plan, lineage: &[(usize, usize)]) -> Option<Given> {
        let mut given = Given::default();
        for (place, tag) in plan.given.iter().enumerate() {
            let told = &self.store.as_ref()?.told;
            let at = lineage.iter().position(|(_, known)| known == tag)?;
            given.take(plan, place, told[at].value.as_ref(), Millis::MIN);
        }
        Some(given)
    }

    /// What the log says; of imported tags nothing, nor of what is made of them where no store has their values.
    fn ask_log(&self, tag: usize, as_of: Millis, lineage: &[(usize, usize)]) -> Option<(FromLog, Explanation)> {
        let log = self.log.as_ref()?;
        let kind = &self.definitions.tags[tag].kind;
        if matches!(kind, Kind::Imported) {
            return None;
        }
        let plan = self.plan(tag);
        let given = self.given(&plan, lineage)?;
        let arguments = argument_names(&plan);
        let hash_key = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        let fed = feed(&plan, &log.rows, as_of, hash_key);
        let events = if matches!(kind, Kind::Aggregation(_)) { fed.events } else { Vec::new() };
        let known = fed.state.is_some();
        let explanation = explain(&plan, fed.state, &given, as_of);
        let value = explanation.value.clone().filter(|_| known || given.is_known());
        Some((FromLog { value, known, events, arguments, duplicates: fed.tally.duplicates }, explanation))
    }
}

/// What makes the value another one next.
pub enum Change<'a> {
    /// Time alone, at this instant, to this value.
    Time(Millis, Option<&'a Value>),
    /// Nothing but an event.
    Event,
    /// Nothing but an event, or a patch of a tag that it is made of.
    EventOrPatch,
    /// Time alone, at any instant.
    Clock,
    /// A newer patch.
    Patch,
    Unknown,
}

impl Subject {
    pub fn change(&self) -> Change<'_> {
        match (&self.explanation, self.told.as_ref().map(|told| told.from)) {
            (_, Some(Origin::Patch(_))) => Change::Patch,
            (Some(explanation), _) => match &explanation.next {
                Next::At(at, value) => Change::Time(*at, value.as_ref()),
                Next::Never if self.over_given => Change::EventOrPatch,
                Next::Never => Change::Event,
                Next::Unsolved => Change::Clock,
            },
            (None, Some(Origin::Nothing(Why::NoPatch))) => Change::Patch,
            (None, _) => Change::Unknown,
        }
    }

    /// Where the value comes from, in one word.
    pub fn from(&self) -> &'static str {
        match self.told.as_ref().map(|told| told.from) {
            Some(Origin::State { .. }) => "state",
            Some(Origin::Patch(_)) => "patch",
            Some(Origin::Value) => "value",
            Some(Origin::Nothing(_)) => "nothing",
            None if self.log.is_some() => "log",
            None => "nothing",
        }
    }
}
