//! The form: what is asked of an engine, before any of its words.

use crate::engine::plan::Plan;
use crate::rows::Field;
use crate::tag::KeyPart;
use crate::time::Millis;
use crate::value::Type;

/// The tags of a plan, over some events, as of an instant.
pub struct Form<'p> {
    pub plan: &'p Plan,
    pub source: Source,
    pub instant: Instant,
    /// A script that runs by itself, where there is one; else the statement alone.
    pub job: Option<Job>,
}

/// What a job does with the rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// A topic for Flink, a folder for Spark; without one the rows are printed.
    pub into: Option<String>,
}

/// The instant of the values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instant {
    At(Millis),
    /// The time of the last event.
    Last,
    /// None: every event counts as it comes, and nothing changes by time alone.
    Live,
}

/// Where the events are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A log: files of one event a line, in the order of the log.
    Log(Vec<Place>),
    /// A table or a view with a column for each field.
    Table {
        /// As it is written in SQL: `events`, `warehouse.events`.
        name: String,
        /// The column that says which of two events of one identity came first.
        order: Option<String>,
    },
    /// A topic of Kafka, read for as long as the job runs.
    Topic(Topic),
}

/// A topic that a job reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub brokers: String,
    pub name: String,
    /// Whether the job ends where the topic ended when it began.
    pub bounded: bool,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(String),
    /// A directory of date partitions.
    Directory(String),
}

/// The fields that every statement reads.
const KEYS: [(&str, Type); 4] =
    [("tenantId", Type::String), ("userId", Type::String), ("eventId", Type::String), ("timestamp", Type::Datetime)];

/// Columns that the steps before `events` have.
const RESERVED: [&str; 5] = ["e", "json", "k", "line", "value"];

/// A field of the events and the name of its column.
#[derive(Clone, Debug)]
pub struct Column {
    pub field: Field,
    pub name: String,
}

/// The columns of the events, and which of them a slot of an expression reads.
pub struct Columns {
    pub all: Vec<Column>,
    of_slot: Vec<Option<usize>>,
}

impl Columns {
    /// The identity and the time, and what the keys and the expressions of the plan look at.
    pub fn of(plan: &Plan) -> Columns {
        let mut columns = Columns { all: Vec::new(), of_slot: vec![None; plan.definitions.projection.fields.len()] };
        for (name, ty) in KEYS {
            columns.place(&Field::new(name, ty));
        }
        if plan.definitions.event_types.is_some() {
            columns.place(&Field::new("eventType", Type::String));
        }
        for slot in slots(plan) {
            columns.of_slot[slot] = Some(columns.place(&plan.definitions.projection.fields[slot]));
        }
        columns
    }

    fn place(&mut self, field: &Field) -> usize {
        if let Some(place) = self.all.iter().position(|column| column.field == *field) {
            return place;
        }
        // Some engines take two names that differ in case only for one. Names with a blank are ours.
        let path = field.path.join(".");
        let taken = RESERVED.iter().copied().chain(self.all.iter().map(|column| column.name.as_str()));
        let plain = !path.contains(' ') && taken.into_iter().all(|name| !name.eq_ignore_ascii_case(&path));
        let name = if plain { path } else { format!("field {}", self.all.len() + 1) };
        self.all.push(Column { field: field.clone(), name });
        self.all.len() - 1
    }

    pub fn of_slot(&self, slot: usize) -> &str {
        &self.all[self.of_slot[slot].expect("every slot that is read has a column")].name
    }

    /// Whether one of them is a list.
    pub fn has_lists(&self) -> bool {
        self.all.iter().any(|column| matches!(column.field.ty, Type::List(_)))
    }

    /// The column of a field that has one.
    pub fn named(&self, path: &str) -> &str {
        let is = |column: &&Column| column.field.path.join(".") == path;
        self.all.iter().find(is).map_or("", |column| &column.name)
    }
}

/// The slots that the keys and the tags of a plan read.
fn slots(plan: &Plan) -> Vec<usize> {
    let mut slots = Vec::new();
    for part in &plan.entity().parts {
        match part {
            KeyPart::Each(slot) => slots.push(*slot),
            KeyPart::One(expr) | KeyPart::Slices { at: expr, .. } => expr.slots(&mut slots),
        }
    }
    for counter in plan.own_counters() {
        counter.args.iter().chain(&counter.filter).for_each(|expr| expr.slots(&mut slots));
    }
    slots
}
