//! Keys: the steps from the events to the keys of an entity that each of them touches, as `engine::keys` has them.
//!
//! `keyed` has the values from which keys are made, `touched_1`, … a row for each value of a part that may have several. A part
//! has each value once, so an event touches each key once.

use super::dialect::{Dialect, Step};
use super::form::Source;
use super::lists::{self, cut};
use super::statement::Writer;
use crate::engine::plan::Plan;
use crate::expr::Expr;
use crate::expr::engine::Engine;
use crate::expr::print::{AsOf, Printer};
use crate::limits::KEYS_MAX;
use crate::tag::{EntityPart, KeyPart};
use crate::time::Millis;
use crate::value::Type;

/// The rows of `from`, called `e`, that count for a key.
pub struct Touched {
    pub columns: Vec<String>,
    pub from: String,
    pub conditions: Vec<String>,
}

/// One part of a key.
struct Written {
    /// The column of `keyed` from which it is made, and its name.
    made_of: (String, String),
    /// Of type string, over `e`.
    text: String,
    /// Without it there is no key; over `keyed`.
    condition: Option<String>,
    several: Option<Several>,
}

/// What becomes rows.
#[derive(Clone)]
struct Several {
    list: String,
    /// How many keys it makes of one.
    length: Length,
    /// The column of an item.
    item: String,
    /// Whether an item is to be read as JSON writes it.
    is_escaped: bool,
    /// Over the rows.
    condition: Option<String>,
}

#[derive(Clone)]
enum Length {
    Fixed(usize),
    /// As SQL.
    Of(String),
}

/// The columns of a key: `userId`, the entity's name, or one with the number of each part.
pub fn key_columns(plan: &Plan) -> Vec<String> {
    let entity = plan.entity();
    match entity.parts.len() {
        0 => vec!["userId".to_string()],
        1 => vec![entity.name.to_string()],
        parts => (1..=parts).map(|n| format!("{}_{n}", entity.name)).collect(),
    }
}

impl<D: Dialect> Writer<'_, D> {
    /// The keys that events touch, up to the instant and as far back as the entity remembers.
    pub fn touched(&mut self, steps: &mut Vec<Step>) -> Touched {
        let mut conditions = self.until();
        let entity = self.form.plan.entity();
        if !entity.is_declared() {
            let user = format!("e.{} AS {}", self.ident(self.columns.named("userId")), self.ident("userId"));
            return Touched { columns: vec![user], from: "once".to_string(), conditions };
        }
        // Every window of its tags lies within `retain`: what is older counts for nothing, not even for being there.
        match entity.retain.map(|retain| self.since(retain.window)).transpose() {
            Ok(since) => conditions.extend(since),
            Err(_) => {
                let why = self.only_by_time(&format!("`retain` of `{}`", entity.name));
                self.problem_of_entity(EntityPart::Retain, why, Some("name an instant: --as-of T"));
            }
        }
        let mut parts = Vec::new();
        for (n, part) in entity.parts.iter().enumerate() {
            match self.part(n, part) {
                Ok(part) => parts.push(part),
                Err(why) => self.problem_of_entity(EntityPart::Key(n), why, None),
            }
        }
        let made_of =
            parts.iter().map(|Written { made_of: (value, name), .. }| format!("{value} AS {}", self.ident(name)));
        let keyed: Vec<String> = std::iter::once("e.*".to_string()).chain(made_of).collect();
        steps.push(Step::select("keyed", &keyed, &format!("once AS e{}", all_of(&conditions))));
        let mut conditions: Vec<String> = parts.iter().filter_map(|part| part.condition.clone()).collect();
        for (n, Several { list, item, is_escaped, condition, .. }) in self.few(&parts).into_iter().enumerate() {
            let item_of = |item: &str| if is_escaped { cut::text(item) } else { item.to_string() };
            let rows = lists::each(D::ENGINE, &last(steps), &list, &self.ident(&item), item_of);
            steps.push(Step::new(&format!("touched_{}", n + 1), rows + &all_of(&conditions)));
            conditions = condition.into_iter().collect();
        }
        let names = key_columns(self.form.plan);
        let columns = parts.iter().zip(&names).map(|(part, name)| format!("{} AS {}", part.text, self.ident(name)));
        Touched { columns: columns.collect(), from: last(steps), conditions }
    }

    fn part(&self, n: usize, part: &KeyPart) -> Result<Written, String> {
        let column = |what: &str| format!("{what} {}", n + 1);
        let of = |column: &str| format!("e.{}", self.ident(column));
        let key = of(&column("key"));
        let known = format!("{key} IS NOT NULL");
        match part {
            KeyPart::One(expr) => {
                let text = match expr.ty {
                    Type::String => key.clone(),
                    Type::Bool => self.text_of(key.clone(), Type::Bool)?,
                    _ => self.text_of(key.clone(), Type::Int)?,
                };
                let condition = if expr.ty == Type::String { lists::is_part(D::ENGINE, &key) } else { known };
                let made_of = (self.over_event(expr)?, column("key"));
                Ok(Written { made_of, text, condition: Some(condition), several: None })
            }
            KeyPart::Slices { at, size, step } => {
                let is_timestamp = at.slot().is_some_and(|slot| self.columns.of_slot(slot) == "timestamp");
                let offset = (size != step).then(|| of(&column("offset")));
                let several = offset.as_deref().map(|offset| Several {
                    list: lists::steps(D::ENGINE, *size, *step),
                    length: Length::Fixed((size / step) as usize),
                    item: column("offset"),
                    is_escaped: false,
                    condition: (!is_timestamp).then(|| begins_later(D::ENGINE, &key, offset, *step)),
                });
                let text = self.text_of(start(D::ENGINE, &key, offset.as_deref(), *step, is_timestamp), Type::Int)?;
                let made_of = (self.over_event(at)?, column("key"));
                Ok(Written { made_of, text, condition: Some(known), several })
            }
            KeyPart::Each(slot) => {
                let list = of(self.columns.of_slot(*slot));
                let values = if self.is_cut() { cut::texts(&list) } else { lists::parts_of(D::ENGINE, &list) };
                let several = Several {
                    list: of(&column("values")),
                    length: Length::Of(lists::length(D::ENGINE, &of(&column("values")))),
                    item: column("key"),
                    is_escaped: self.is_cut(),
                    condition: (D::ENGINE == Engine::Flink).then(|| lists::is_part(D::ENGINE, &key)),
                };
                Ok(Written { made_of: (values, column("values")), text: key, condition: None, several: Some(several) })
            }
        }
    }

    /// What becomes rows, one after another; the first is an error for an event that touches too many keys.
    fn few(&mut self, parts: &[Written]) -> Vec<Several> {
        let mut several: Vec<Several> = parts.iter().filter_map(|part| part.several.clone()).collect();
        // Lists of the events come first: the others are the same for all of them.
        several.sort_by_key(|several| matches!(several.length, Length::Fixed(_)));
        let fixed = several.iter().fold(1usize, |all, several| match several.length {
            Length::Fixed(n) => all.saturating_mul(n),
            Length::Of(_) => all,
        });
        if fixed > KEYS_MAX {
            let why = format!(
                "each event touches {fixed} keys in {}: of more than {KEYS_MAX} other ones would stay",
                D::ENGINE.name()
            );
            self.problem_of_entity(EntityPart::Key(0), why, Some("give `hop` longer steps"));
        }
        let lengths: Vec<String> = several
            .iter()
            .filter_map(|several| if let Length::Of(length) = &several.length { Some(length.clone()) } else { None })
            .chain((fixed > 1).then(|| fixed.to_string()))
            .collect();
        if let Some(Several { list, length: Length::Of(_), .. }) = several.first_mut() {
            let id = format!("e.{}", self.ident(self.columns.named("eventId")));
            *list = lists::few(D::ENGINE, list, &lengths.join(" * "), &self.form.plan.entity().name, &id);
        }
        several
    }

    /// Whether lists are the text of a JSON array.
    fn is_cut(&self) -> bool {
        D::ENGINE == Engine::Flink && !matches!(self.form.source, Source::Table { .. })
    }

    fn over_event(&self, expr: &Expr) -> Result<String, String> {
        let slot = |slot: usize| format!("e.{}", self.ident(self.columns.of_slot(slot)));
        Printer { engine: D::ENGINE, slot: &slot, as_of: AsOf::Of("") }.expr(expr)
    }

    fn text_of(&self, value: String, ty: Type) -> Result<String, String> {
        self.widened(value, ty, Type::String)
    }
}

/// The start of the slice that holds an instant, so far before the newest one; the smallest instant where it would be
/// before it. A timestamp is not negative.
fn start(engine: Engine, at: &str, offset: Option<&str>, step: Millis, is_timestamp: bool) -> String {
    let before = offset.map(|offset| format!(" - {offset}")).unwrap_or_default();
    if is_timestamp {
        return format!("{at} - {at} % {}{before}", engine.int(step));
    }
    let (into, least) = (into_slice(engine, at, step), engine.int(Millis::MIN));
    let back = offset.map_or(into.clone(), |offset| format!("({into} + {offset})"));
    format!("CASE WHEN {at} >= {least} + {back} THEN {at} - {back} ELSE {least} END")
}

/// Whether the slice is another one than that a step later: at the end of time all of them begin at once.
fn begins_later(engine: Engine, at: &str, offset: &str, step: Millis) -> String {
    let (into, least) = (into_slice(engine, at, step), engine.int(Millis::MIN));
    format!("({offset} = 0 OR {at} > {least} + {into} + ({offset} - {}))", engine.int(step))
}

/// How far an instant lies behind the start of its step, before 1970 too.
fn into_slice(engine: Engine, at: &str, step: Millis) -> String {
    let step = engine.int(step);
    format!("({at} % {step} + CASE WHEN {at} % {step} < 0 THEN {step} ELSE 0 END)")
}

fn last(steps: &[Step]) -> String {
    steps.last().map_or(String::new(), |step| step.name.clone())
}

/// ` WHERE …`, or nothing.
pub fn all_of(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}
