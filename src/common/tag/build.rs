//! Building: what was read, checked tag by tag, as definitions.
//!
//! A tag with a mistake is reported and left out; the rest is still checked.

use super::derive;
use super::entity::Entity;
use super::fingerprint;
use super::keys::TOP;
use super::measure::{self, Called};
use super::read::{Read, Reader, Text};
use super::scope::{EventFields, State, fixed_fields};
use super::window;
use super::{Aggregation, Definitions, Kind, Problem, Tag, Update};
use crate::agg::{self, Function, KEEP, KEEP_MAX};
use crate::expr::{self, Expr, ExprError};
use crate::limits::TAGS_MAX;
use crate::money::SCALE;
use crate::patch::is_hidden;
use crate::value::Type;
use std::collections::HashMap;

/// Longest code in bytes.
const CODE_MAX: usize = 128;

/// A file on its way to definitions.
pub(super) struct Builder<'t> {
    pub reader: Reader<'t>,
    pub fields: EventFields,
    pub entities: Vec<Entity>,
    /// By place in the file: what a tag is of.
    pub tag_entities: Vec<usize>,
    /// By place in the file; `None` while waiting and for what failed.
    pub tags: Vec<Option<Tag>>,
    pub states: Vec<State>,
    pub codes: HashMap<String, usize>,
    pub order: Vec<usize>,
}

pub(super) fn build(text: &str, source: &str) -> Result<Definitions, Vec<Problem>> {
    let mut reader = Reader { source, text, problems: Vec::new() };
    let Some(file) = reader.file(&TOP) else { return Err(in_order(reader.problems)) };
    let mut builder = Builder {
        reader,
        fields: EventFields::default(),
        entities: Vec::new(),
        tag_entities: Vec::new(),
        tags: Vec::new(),
        states: Vec::new(),
        codes: HashMap::new(),
        order: Vec::new(),
    };
    builder.declare(file.tables("field"));
    let event_types = builder.event_types(&file);
    let quality = builder.quality(&file);
    builder.all_entities(file.tables("entity"));
    builder.all_tags(file.tables("tag"));
    let segments = builder.all_segments(file.tables("segment"));
    let Builder { reader, fields, entities, tags, order, .. } = builder;
    if !reader.problems.is_empty() {
        return Err(in_order(reader.problems));
    }
    Ok(Definitions {
        tags: tags.into_iter().flatten().collect(),
        segments,
        entities,
        field_types: fields.types,
        projection: fields.projection,
        event_types,
        source: source.to_string(),
        text: text.to_string(),
        store: file.text("store").map(|text| text.value.clone()),
        quality,
        order,
    })
}

fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

impl Builder<'_> {
    fn declare(&mut self, fields: &[Read]) {
        for field in fields {
            let (Some(path), Some(ty)) = (field.text("path"), field.text("type")) else { continue };
            let Some(ty) = Type::from_name(&ty.value) else { continue };
            let at = self.reader.within(path, 0, path.value.len());
            if path.value.split('.').any(str::is_empty) {
                self.reader.report(at, format!("not a path: {:?}", path.value));
            } else if fixed_fields().any(|(name, _)| name == path.value) {
                self.reader.report(at, format!("`{}` is a field of every event: it needs no declaration", path.value));
            } else if self.fields.types.insert(path.value.clone(), ty).is_some() {
                self.reader.report(at, format!("duplicate field: {}", path.value));
            }
        }
    }

    fn event_types(&mut self, file: &Read) -> Option<Vec<String>> {
        let (types, at) = file.list("event_types")?;
        if types.is_empty() {
            let hint = "without `event_types` every type is legal";
            self.reader.report_hint(at, "`event_types` is empty: every event would be refused", hint);
        }
        Some(types.iter().map(|text| text.value.clone()).collect())
    }

    fn all_tags(&mut self, tags: &[Read]) {
        if tags.len() > TAGS_MAX {
            let at = tags[TAGS_MAX].text("code").map_or(0..0, |code| code.at.clone());
            self.reader.report(at, format!("more than {TAGS_MAX} tags"));
            return;
        }
        self.tags = tags.iter().map(|_| None).collect();
        self.states = vec![State::Failed; tags.len()];
        for (index, read) in tags.iter().enumerate() {
            if let Some(code) = read.text("code") {
                self.check_code(code);
                if let Some(first) = self.codes.get(&code.value) {
                    self.duplicate(code, &tags[*first]);
                } else {
                    self.codes.insert(code.value.clone(), index);
                }
            }
        }
        self.tag_entities = tags.iter().map(|read| self.entity_of(read)).collect();
        for (index, read) in tags.iter().enumerate() {
            self.states[index] = self.tag(index, read);
        }
        derive::resolve(self, tags);
    }

    pub fn check_code(&mut self, code: &Text) {
        let value = &code.value;
        let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let at = self.reader.within(code, 0, value.len());
        if value.len() > CODE_MAX {
            self.reader.report(at, format!("a code longer than {CODE_MAX} bytes"));
        } else if is_hidden(value) {
            let hint = "tags that adprof makes for the rules of segments begin with `_`";
            self.reader.report_hint(at, format!("a code begins with a letter: {value:?}"), hint);
        } else if !value.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.reader.report(at, format!("a code begins with a letter: {value:?}"));
        } else if let Some(at) = value.find(|c| !legal(c)) {
            let at = self.reader.within(code, at, 1);
            self.reader.report(at, format!("a code is made of letters, digits, `_`, `.` and `-`: {value:?}"));
        } else if expr::is_reserved(value) {
            let hint = format!("another name, such as {value}_tag, can be written in SQL without quotes");
            self.reader.report_hint(at, format!("reserved word in SQL: {value}"), hint);
        }
    }

    /// Checks one tag; a derived one stays waiting, because it needs the types of others.
    fn tag(&mut self, index: usize, read: &Read) -> State {
        let update = update_of(read);
        if update == Update::Import {
            return self.imported(index, read);
        }
        let Some(value) = read.text("value") else {
            if let Some(code) = read.text("code").filter(|_| !read.has("value")) {
                let message = format!("tag `{}` has no `value`", code.value);
                self.reader.report_hint(code.at.clone(), message, "only a tag with update = \"import\" has none");
            }
            return State::Failed;
        };
        match expr::top_call(&value.value).map(|name| name.to_ascii_lowercase()) {
            Some(name) if agg::NAMES.contains(&name.as_str()) => self.aggregation(index, read, value),
            _ => self.waiting(read),
        }
    }

    fn imported(&mut self, index: usize, read: &Read) -> State {
        for key in ["value", "by", "keep", "where", "window", "resolution", "tz"] {
            if let Some(at) = read.at(key) {
                self.reader.report(at, format!("an imported tag has no `{key}`: its values come as patches"));
            }
        }
        let Some(code) = read.text("code") else { return State::Failed };
        let Some(ty) = declared(read) else {
            if !read.has("type") {
                self.reader.report(code.at.clone(), format!("an imported tag needs `type`: {}", code.value));
            }
            return State::Failed;
        };
        let fingerprint = fingerprint::imported(&code.value, ty, &self.entities[self.tag_entities[index]]);
        self.finish(index, read, ty, Kind::Imported, fingerprint)
    }

    fn waiting(&mut self, read: &Read) -> State {
        for key in ["by", "keep", "where", "window", "resolution", "tz"] {
            if let Some(at) = read.at(key) {
                let hint = "put it into the tags that this one names";
                self.reader.report_hint(at, format!("a derived tag has no `{key}`"), hint);
            }
        }
        State::Waiting
    }

    fn aggregation(&mut self, index: usize, read: &Read, value: &Text) -> State {
        let filter = read.text("where").map(|text| self.filter(text)).unwrap_or(Ok(None));
        let window = window::read(&mut self.reader, read);
        let by = read.text("by").map(|text| self.by(text)).unwrap_or(Ok(None));
        let mut call = match expr::parse_aggregation(&value.value, &mut self.fields) {
            Ok(call) => call,
            Err(e) => {
                self.expr_problem(value, e);
                return State::Failed;
            }
        };
        for (arg, offset) in call.args.iter().zip(&call.arg_offsets) {
            self.no_as_of(arg, value, *offset);
        }
        let Called { function, ty, own_window } = match measure::called(&mut call, read.has("by")) {
            Ok(called) => called,
            Err(e) => {
                self.expr_problem(value, e);
                return State::Failed;
            }
        };
        let keep = self.keep(read, function);
        let ty = self.declared_type(read, ty, value);
        let (Ok(filter), Ok(by), Ok(window), Some(ty)) = (filter, by, window, ty) else { return State::Failed };
        let Ok(keep) = keep else { return State::Failed };
        if own_window.is_some() && self.no_window(read, function) {
            return State::Failed;
        }
        let entity = self.tag_entities[index];
        let looks_back = read.text("window").filter(|_| own_window.is_none()).unwrap_or(value).at.clone();
        let Ok(window) = self.within_retain(entity, window.or(own_window), looks_back) else { return State::Failed };
        let aggregation = Aggregation { function, args: call.args, by, keep, filter, window };
        let fingerprint = fingerprint::aggregation(&aggregation, &self.fields.projection, &self.entities[entity]);
        self.finish(index, read, ty, Kind::Aggregation(aggregation), fingerprint)
    }

    fn by(&mut self, text: &Text) -> Result<Option<Expr>, ()> {
        let expr = expr::parse(&text.value, &mut self.fields).map_err(|e| self.expr_problem(text, e))?;
        self.no_as_of(&expr, text, 0);
        Ok(Some(expr))
    }

    fn keep(&mut self, read: &Read, function: Function) -> Result<i64, ()> {
        let Some((keep, at)) = read.number("keep") else { return Ok(KEEP) };
        let keep = (keep.0 / SCALE) as i64;
        if !read.has("by") && !function.keeps() {
            let hint = "it says how many different values `by`, `top_k` and `histogram` keep";
            self.reader.report_hint(at, format!("`{}` keeps no values: it has no `keep`", function.name()), hint);
        } else if !(1..=KEEP_MAX).contains(&keep) {
            self.reader.report(at, format!("`keep` is from 1 to {KEEP_MAX}, not {keep}"));
        } else {
            return Ok(keep);
        }
        Err(())
    }

    /// Reports a window where there is no place for one.
    fn no_window(&mut self, read: &Read, function: Function) -> bool {
        let Some(window) = read.text("window") else { return false };
        let hint = "its half-life says how far back it looks";
        self.reader.report_hint(window.at.clone(), format!("`{}` has no `window`", function.name()), hint);
        true
    }

    fn filter(&mut self, text: &Text) -> Result<Option<Expr>, ()> {
        let expr = expr::parse(&text.value, &mut self.fields).map_err(|e| self.expr_problem(text, e))?;
        self.no_as_of(&expr, text, 0);
        if expr.ty != Type::Bool {
            let at = self.reader.within(text, 0, text.value.len());
            let hint = "compare it with something: eventType = 'click'";
            self.reader.report_hint(at, format!("`where` takes a condition, not {}", expr.ty), hint);
            return Err(());
        }
        Ok(Some(expr))
    }

    pub fn no_as_of(&mut self, expr: &Expr, text: &Text, offset: usize) {
        if expr.uses_as_of() {
            let at = self.reader.within(text, offset, 1);
            let hint = "an aggregation sees one event, not the instant it is looked at; use `window`";
            self.reader.report_hint(at, "as_of() stands in a derived tag only", hint);
        }
    }

    /// The declared type where the value's fits it, else the value's own.
    pub fn declared_type(&mut self, read: &Read, ty: Type, value: &Text) -> Option<Type> {
        let Some(text) = read.text("type") else {
            // A `type` that could not be read has been reported; the value's own stands in for the checks to come.
            return Some(ty);
        };
        let declared = Type::from_name(&text.value)?;
        if expr::widens(Some(ty), declared) {
            return Some(declared);
        }
        let at = self.reader.within(text, 0, text.value.len());
        let hint = format!("write type = \"{ty}\", or convert with CAST in `value`: {}", value.value);
        self.reader.report_hint(at, format!("the value is {ty}, not {declared}"), hint);
        None
    }

    pub fn expr_problem(&mut self, text: &Text, error: ExprError) {
        let at = self.reader.within(text, error.offset, error.len);
        self.reader.report(at, error.message).hint = error.hint;
    }

    pub fn is_event_field(&self, name: &str) -> bool {
        self.fields.types.contains_key(name)
    }

    pub fn finish(&mut self, index: usize, read: &Read, ty: Type, kind: Kind, fingerprint: u64) -> State {
        let Some(code) = read.text("code") else { return State::Failed };
        let owned = |key: &str| read.text(key).map(|text| text.value.clone());
        let update = update_of(read);
        let quality = self.tag_quality(read, ty);
        self.tags[index] = Some(Tag {
            code: code.value.as_str().into(),
            entity: self.tag_entities[index],
            name: owned("name").unwrap_or_else(|| code.value.clone()),
            description: owned("description"),
            owner: owned("owner"),
            ty,
            update,
            kind,
            fingerprint,
            quality,
            line: Problem::new("", self.reader.text, read.at.clone(), "").line,
        });
        State::Known(ty)
    }
}

fn update_of(read: &Read) -> Update {
    read.text("update").and_then(|text| Update::from_name(&text.value)).unwrap_or(Update::Realtime)
}

fn declared(read: &Read) -> Option<Type> {
    read.text("type").and_then(|text| Type::from_name(&text.value))
}
