//! Rules: what the condition of a segment may name, and the segments of a file, each read after those it names.

use super::build::Builder;
use super::measure::{self, Made};
use super::read::{Read, Text};
use super::scope::{EventFields, State};
use super::segment::{self, Schedule, Segment, Status};
use super::{Definitions, Problem, Tag};
use crate::agg;
use crate::expr::{self, Expr, ExprError, Kept, Measured, Names, nearest};
use crate::limits::TAGS_MAX;
use crate::value::Type;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// How far the segment at a place in the file has come.
#[derive(Clone)]
enum Reached {
    Waiting,
    Busy,
    Known(Arc<Expr>),
    /// There is something wrong with it, reported already.
    Failed,
}

/// What stopped the reading of a rule, other than a mistake in it.
enum Stop {
    /// A segment that has to be read first.
    After(usize),
    /// A tag or a segment with a mistake of its own.
    Failed,
}

/// The segments of a file on their way.
struct Reading<'r> {
    reads: &'r [Read],
    codes: HashMap<&'r str, usize>,
    reached: Vec<Reached>,
}

impl Builder<'_> {
    /// Reads all segments; hidden tags go behind the tags of the file.
    pub fn all_segments(&mut self, reads: &[Read]) -> Vec<Segment> {
        let mut reading = Reading { reads, codes: HashMap::new(), reached: vec![Reached::Waiting; reads.len()] };
        for (index, read) in reads.iter().enumerate() {
            let Some(code) = read.text("code") else { continue };
            self.check_code(code);
            match reading.codes.get(code.value.as_str()) {
                Some(first) => self.duplicate(code, &reads[*first]),
                None => {
                    reading.codes.insert(&code.value, index);
                }
            }
        }
        for start in 0..reads.len() {
            self.segment_and_named(&mut reading, start);
        }
        let known = |(read, reached): (&Read, &Reached)| match reached {
            Reached::Known(rule) => self.segment(read, rule),
            _ => None,
        };
        reads.iter().zip(&reading.reached).filter_map(known).collect()
    }

    /// Reads a segment after those it names: from a stack of its own, since chains may be long.
    fn segment_and_named(&mut self, reading: &mut Reading<'_>, start: usize) {
        let mut stack = vec![start];
        while let Some(&index) = stack.last() {
            if !matches!(reading.reached[index], Reached::Waiting | Reached::Busy) {
                stack.pop();
                continue;
            }
            reading.reached[index] = Reached::Busy;
            match self.rule(reading, index) {
                Ok(reached) => reading.reached[index] = reached,
                Err(named) if matches!(reading.reached[named], Reached::Waiting) => stack.push(named),
                Err(named) => {
                    let from = stack.iter().position(|i| *i == named).unwrap_or(0);
                    self.report_segment_cycle(reading, &stack[from..]);
                    stack[from..].iter().for_each(|index| reading.reached[*index] = Reached::Failed);
                }
            }
        }
    }

    /// Reads the rule of one segment; the error is a segment that has to be read first.
    fn rule(&mut self, reading: &Reading<'_>, index: usize) -> Result<Reached, usize> {
        let read = &reading.reads[index];
        let Some(text) = read.text("rule") else { return Ok(Reached::Failed) };
        let line = Problem::new("", self.reader.text, read.at.clone(), "").line;
        let mut names = FileNames {
            tags: &mut self.tags,
            states: &self.states,
            codes: &self.codes,
            entities: &self.entities,
            fields: &mut self.fields,
            segments: reading,
            line,
            stop: None,
        };
        let result = expr::condition(&text.value, &mut names);
        match (result, names.stop) {
            (Ok(rule), _) => Ok(Reached::Known(Arc::new(rule))),
            (Err(_), Some(Stop::After(named))) => Err(named),
            (Err(_), Some(Stop::Failed)) => Ok(Reached::Failed),
            (Err(e), None) => {
                self.expr_problem(text, e);
                Ok(Reached::Failed)
            }
        }
    }

    fn segment(&self, read: &Read, rule: &Arc<Expr>) -> Option<Segment> {
        let code = &read.text("code")?.value;
        let owned = |key: &str| read.text(key).map(|text| text.value.clone());
        let one_of = |key: &str| read.text(key).map(|text| text.value.as_str());
        let tag = |slot: usize| self.tags[slot].as_ref().expect("a rule that was read names tags that were read");
        Some(Segment {
            code: code.as_str().into(),
            name: owned("name").unwrap_or_else(|| code.clone()),
            description: owned("description"),
            owner: owned("owner"),
            status: one_of("status").and_then(Status::from_name).unwrap_or(Status::Active),
            schedule: one_of("schedule").and_then(Schedule::from_name).unwrap_or(Schedule::Live),
            rule: rule.clone(),
            version: segment::version(rule, tag),
            line: Problem::new("", self.reader.text, read.at.clone(), "").line,
        })
    }

    /// Reports a code that stands in the file before.
    pub fn duplicate(&mut self, code: &Text, first: &Read) {
        let first = first.text("code").map_or(0..0, |code| code.at.clone());
        let line = Problem::new("", self.reader.text, first, "").line;
        let at = self.reader.within(code, 0, code.value.len());
        let message = format!("duplicate code: {}", code.value);
        self.reader.report_hint(at, message, format!("it stands in line {line} too"));
    }

    fn report_segment_cycle(&mut self, reading: &Reading<'_>, cycle: &[usize]) {
        let code = |index: &usize| reading.reads[*index].text("code").map_or("", |code| &code.value);
        let path: Vec<&str> = cycle.iter().chain(cycle.first()).map(code).collect();
        let whole = |rule: &Text| -> Range<usize> { self.reader.within(rule, 0, rule.value.len()) };
        let at = reading.reads[cycle[0]].text("rule").map_or(0..0, whole);
        self.reader.report(at, format!("a segment is made of itself: {}", path.join(" -> ")));
    }
}

/// The names in a rule of the file that is being read.
struct FileNames<'a, 'r> {
    tags: &'a mut Vec<Option<Tag>>,
    states: &'a [State],
    codes: &'a HashMap<String, usize>,
    entities: &'a [super::Entity],
    fields: &'a mut EventFields,
    segments: &'a Reading<'r>,
    /// Of the segment.
    line: usize,
    stop: Option<Stop>,
}

impl Names for FileNames<'_, '_> {
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
        let index = *self.codes.get(name)?;
        match (&self.tags[index], self.states[index]) {
            (Some(tag), State::Known(ty)) if tag.entity == 0 => Some((index, ty)),
            (Some(_), _) => None,
            (None, _) => {
                self.stop = Some(Stop::Failed);
                None
            }
        }
    }

    fn known(&self) -> Vec<String> {
        self.tags.iter().flatten().filter(|tag| tag.entity == 0).map(|tag| tag.code.to_string()).collect()
    }

    fn noun(&self) -> &'static str {
        "tag"
    }

    fn unknown_name(&self, name: &str) -> Option<String> {
        unknown(name, self.codes.contains_key(name), self.fields)
    }

    fn unknown_call(&self, name: &str) -> Option<(String, String)> {
        unknown_call(name)
    }

    fn is_aggregation(&self, name: &str) -> bool {
        agg::NAMES.contains(&name)
    }

    fn events(&mut self) -> Option<&mut dyn Names> {
        Some(self.fields)
    }

    fn measure(&mut self, measured: Measured, at: (usize, usize)) -> Result<Kept, ExprError> {
        let Made { tag, window } =
            measure::hidden(measured, at, &self.fields.projection, &self.entities[0], self.line)?;
        let same = |known: &Option<Tag>| known.as_ref().is_some_and(|known| measure::is_same(&tag, known));
        let slot = match self.tags.iter().position(same) {
            Some(slot) => slot,
            None if self.tags.len() >= TAGS_MAX => {
                let message = format!("more than {TAGS_MAX} tags, with one for each aggregation in a rule");
                return Err(ExprError { offset: at.0, len: at.1, message, hint: None });
            }
            None => {
                self.tags.push(Some(tag.clone()));
                self.tags.len() - 1
            }
        };
        Ok(Kept { slot, ty: tag.ty, code: tag.code.to_string(), window })
    }

    fn segment(&mut self, code: &str) -> Result<Arc<Expr>, (String, Option<String>)> {
        let Some(&index) = self.segments.codes.get(code) else {
            return Err(unknown_segment(code, self.segments.codes.keys().copied()));
        };
        match &self.segments.reached[index] {
            Reached::Known(rule) => return Ok(rule.clone()),
            Reached::Failed => self.stop = Some(Stop::Failed),
            Reached::Waiting | Reached::Busy => self.stop = Some(Stop::After(index)),
        }
        Err((String::new(), None))
    }
}

/// The names in a rule over definitions that are there.
struct Given<'a> {
    definitions: &'a Definitions,
    fields: EventFields,
}

impl Definitions {
    /// Reads a rule in either form, as `expr::condition` does. Its slots are places in `tags`.
    ///
    /// Behaviour in it must be kept by a tag already: of what nobody counted nothing can be told.
    pub fn rule(&self, text: &str) -> Result<Expr, ExprError> {
        expr::condition(text, &mut self.names())
    }

    /// Reads a rule that must be in the JSON form.
    pub fn json_rule(&self, text: &str) -> Result<Expr, ExprError> {
        expr::json_condition(text, &mut self.names())
    }

    fn names(&self) -> Given<'_> {
        let fields = EventFields { types: self.field_types.clone(), projection: self.projection.clone() };
        Given { definitions: self, fields }
    }
}

impl Names for Given<'_> {
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
        let place = self.definitions.index(name)?;
        Some((place, self.definitions.tags[place].ty))
    }

    fn known(&self) -> Vec<String> {
        self.definitions.tags.iter().filter(|tag| !tag.is_hidden()).map(|tag| tag.code.to_string()).collect()
    }

    fn noun(&self) -> &'static str {
        "tag"
    }

    fn unknown_name(&self, name: &str) -> Option<String> {
        unknown(name, false, &self.fields)
    }

    fn unknown_call(&self, name: &str) -> Option<(String, String)> {
        unknown_call(name)
    }

    fn is_aggregation(&self, name: &str) -> bool {
        agg::NAMES.contains(&name)
    }

    fn events(&mut self) -> Option<&mut dyn Names> {
        Some(&mut self.fields)
    }

    fn measure(&mut self, measured: Measured, at: (usize, usize)) -> Result<Kept, ExprError> {
        let definitions = self.definitions;
        let Made { tag, window } = measure::hidden(measured, at, &self.fields.projection, &definitions.entities[0], 0)?;
        match measure::kept_as(&tag, &definitions.tags) {
            Some(slot) => Ok(Kept { slot, ty: tag.ty, code: definitions.tags[slot].code.to_string(), window }),
            None => {
                let message = format!("nothing counts this: {}", tag.name);
                let hint = "put the rule into a [[segment]] of the definition file, or make a tag of it: then the stream counts it";
                Err(ExprError { offset: at.0, len: at.1, message, hint: Some(hint.to_string()) })
            }
        }
    }

    fn segment(&mut self, code: &str) -> Result<Arc<Expr>, (String, Option<String>)> {
        match self.definitions.segment(code) {
            Some(segment) => Ok(segment.rule.clone()),
            None => Err(unknown_segment(code, self.definitions.segments.iter().map(|segment| &*segment.code))),
        }
    }
}

fn unknown_segment<'a>(code: &str, known: impl Iterator<Item = &'a str>) -> (String, Option<String>) {
    let meant = nearest(code, known).map(|meant| format!("did you mean {meant}?"));
    (format!("unknown segment: {}", crate::ndjson::shown(code)), meant)
}

/// The hint for a name that no tag of users has.
fn unknown(name: &str, of_other: bool, fields: &EventFields) -> Option<String> {
    if of_other {
        return Some("it is of another entity: a rule sees the tags of users".to_string());
    }
    let known = fields.types.contains_key(name);
    known.then(|| format!("it is a field of events: aggregate it, as in last({name}) = '…'"))
}

/// A misspelt aggregation.
fn unknown_call(name: &str) -> Option<(String, String)> {
    let functions: Vec<String> = expr::function_names().collect();
    let known = agg::NAMES.iter().copied().chain(functions.iter().map(String::as_str)).chain(["in_segment"]);
    let meant = nearest(name, known)?;
    Some((format!("unknown function: {name}"), format!("did you mean {meant}?")))
}
