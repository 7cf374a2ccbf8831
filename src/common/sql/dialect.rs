//! What an engine has in its own words: where events come from, and how they are folded.

use super::form::{Columns, Form, Place, Source};
use super::statement::table;
use crate::agg::Function;
use crate::expr::engine::Engine;
use crate::expr::print::decimal_of_double;
use crate::money::Decimal;
use crate::value::Type;

/// One engine's words.
pub trait Dialect {
    const ENGINE: Engine;

    /// Steps of a WITH, the last named `events` with `columns`, tenant never NULL, and `POSITION` where the order is known.
    fn events(&self, source: &Source, columns: &Columns) -> Result<Vec<Step>, String> {
        match source {
            Source::Table { order: None, .. } if columns.has_lists() && !self.sorts_lists() => {
                let engine = Self::ENGINE.name();
                Err(format!(
                    "{engine} does not sort by an array: name a column that tells which event came first, --order"
                ))
            }
            Source::Table { name, order } => Ok(vec![table(Self::ENGINE, name, order.as_deref(), columns)]),
            Source::Log(places) => self.log(places, columns),
            Source::Topic(_) => self.topic(columns),
        }
    }

    /// The same of a log.
    fn log(&self, places: &[Place], columns: &Columns) -> Result<Vec<Step>, String>;

    /// The same of a topic.
    fn topic(&self, _columns: &Columns) -> Result<Vec<Step>, String> {
        Err("only Flink reads a topic for as long as a job runs".into())
    }

    /// How many values become one. The error says what the engine cannot do.
    fn fold(&self, fold: &Fold<'_>) -> Result<Folded, String>;

    /// The argument of a sum as a decimal. A double that is no decimal counts as nothing.
    fn summand(&self, fold: &Fold<'_>) -> String {
        match fold.ty {
            Type::Double => {
                let exact = decimal_of_double(Self::ENGINE, fold.arg);
                format!("CASE WHEN {} IS NOT NULL THEN COALESCE({exact}, {}) END", fold.arg, self.zero())
            }
            Type::Decimal => fold.arg.to_string(),
            _ => Self::ENGINE.cast(fold.arg, Type::Decimal),
        }
    }

    /// Zero as a decimal.
    fn zero(&self) -> String {
        Self::ENGINE.decimal(Decimal::ZERO)
    }

    /// What stands before the statement, each with its semicolon.
    fn before(&self, _form: &Form<'_>, _columns: &Columns) -> Vec<String> {
        Vec::new()
    }

    /// Where the rows go, when not to whoever runs the statement: `INSERT INTO …`.
    fn into(&self, _form: &Form<'_>) -> Option<String> {
        None
    }

    /// Whether the order of lines in files is known: `POSITION` then.
    fn knows_order(&self) -> bool {
        true
    }

    /// What ends the statement: settings under which it means what it says.
    fn after(&self) -> &'static str {
        ""
    }

    /// Whether it can put rows into the order of a list.
    fn sorts_lists(&self) -> bool {
        true
    }

    /// Whether `a` and `A` are one name.
    fn folds_case(&self) -> bool;
}

/// The column of `events` that tells its order in the log: smaller came first.
pub const POSITION: &str = "position in the log";
/// The columns that `counted` has besides the arguments. No tag is named with a blank.
pub const TIME: &str = "event time";
pub const ID: &str = "event id";

/// A named part of a statement.
#[derive(Clone)]
pub struct Step {
    pub name: String,
    pub body: String,
}

impl Step {
    pub fn new(name: &str, body: String) -> Step {
        Step { name: name.to_string(), body }
    }

    /// `SELECT columns FROM from`, a column a line.
    pub fn select(name: &str, columns: &[String], from: &str) -> Step {
        Step::new(name, format!("SELECT {}\n    FROM {from}", columns.join(",\n        ")))
    }
}

/// An aggregation over a column that is NULL for the events that do not count.
pub struct Fold<'a> {
    pub function: Function,
    /// The argument of each event; for `count(*)` any value that is not NULL.
    pub arg: &'a str,
    /// Of the argument.
    pub ty: Type,
    /// What the function takes besides: a count, millionths, milliseconds.
    pub constant: i64,
    /// The columns of the event's time and id, for ties.
    pub time: &'a str,
    pub id: &'a str,
    /// Whether two events of one time and id may come together: then the value decides, and of equal ones there is one.
    pub ties: bool,
}

impl Fold<'_> {
    /// What orders the events of a key.
    pub fn order(&self) -> String {
        let Fold { time, id, arg, .. } = self;
        if self.ties { format!("{time}, {id}, {arg}") } else { format!("{time}, {id}") }
    }
}

/// Aggregates, and the value that is calculated from them.
pub struct Folded {
    pub parts: Vec<String>,
    /// `{0}`, `{1}`, …: the parts. Nothing else in braces.
    pub value: String,
}

impl Folded {
    /// The value is the aggregate.
    pub fn one(part: String) -> Folded {
        Folded { parts: vec![part], value: "{0}".to_string() }
    }

    pub fn of(parts: impl Into<Vec<String>>, value: impl Into<String>) -> Folded {
        Folded { parts: parts.into(), value: value.into() }
    }
}

/// Why no engine can say a function as we mean it; those that some can have reasons of their own.
pub fn refused(function: Function) -> Result<Folded, String> {
    Err(match function {
        Function::Variance | Function::Stddev => "its doubles are rounded more than once",
        // Past `keep` of them ours stay by a hash that is ours.
        Function::TopK | Function::Histogram => "past `keep` values other ones would stay",
        Function::ApproxPercentile => "its sketch is another one",
        Function::Decayed => "its numbers are too short for weights of 63 bits",
        Function::Count
        | Function::CountDistinct
        | Function::Sum
        | Function::Avg
        | Function::Min
        | Function::Max
        | Function::First
        | Function::Last
        | Function::FirstK
        | Function::LastK => "it has no such function",
    }
    .into())
}
