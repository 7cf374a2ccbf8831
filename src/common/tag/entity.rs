//! Entities: what tags can be of besides users, each with the expressions that make its keys from an event.
//!
//! Users come first and are always there. An entity with a mistake is reported and stays, so that its tags are still checked.

use super::Aggregation;
use super::build::Builder;
use super::fingerprint;
use super::read::{Read, Text};
use crate::agg::{Function, KEEP};
use crate::expr::{self, AggCall, Expr, nearest};
use crate::key::{Key, USER};
use crate::limits::{ENTITIES_MAX, HOP_MAX, KEY_PARTS_MAX, PANES_MAX};
use crate::pane::{Calendar, Sliding, Unit, Window, usual_resolution};
use crate::rows::Field;
use crate::time::{DAY, HOUR, Millis, parse_span, show_span};
use crate::value::{Type, Value};
use std::ops::Range;
use std::sync::Arc;

/// The names by which a file may call the user.
const USERS: [&str; 3] = [USER, "userId", "profile"];
/// Longest name and prefix in bytes.
const NAME_MAX: usize = 64;

/// A way to key events.
#[derive(Clone, Debug)]
pub struct Entity {
    pub name: Arc<str>,
    /// What the names of its keys begin with in Redis.
    pub prefix: Arc<str>,
    /// Of users there are none: their key is the `userId`.
    pub parts: Vec<KeyPart>,
    /// How far back it remembers at all; for ever without it.
    pub retain: Option<Retain>,
    /// The part of its keys that is the `userId`, if one is: then each key is of one user.
    by_user: Option<usize>,
    /// What a fingerprint says of it.
    pub(super) meaning: String,
}

/// One part of a key, over the projection. NULL: the event touches no key.
#[derive(Clone, Debug)]
pub enum KeyPart {
    /// The text of a value.
    One(Expr),
    /// Each of the values of the JSON array in this slot.
    Each(usize),
    /// The starts of all slices of time that hold an instant: `size` long, one each `step`, which divides it.
    Slices { at: Expr, size: Millis, step: Millis },
}

/// A key is forgotten when the last of its events is older than this window.
#[derive(Clone, Copy, Debug)]
pub struct Retain {
    pub window: Window,
    /// Of `count(*)` over the window: by it a state knows whether the key is still there.
    pub fingerprint: u64,
}

impl Entity {
    pub(super) fn user() -> Entity {
        let meaning = format!("entity {USER}\n");
        Entity {
            name: USER.into(),
            prefix: "profile".into(),
            parts: Vec::new(),
            retain: None,
            by_user: Some(0),
            meaning,
        }
    }

    /// The user that a key of it is of; `None`: events of many users touch it.
    pub fn user_of<'k>(&self, key: &'k Key) -> Option<&'k str> {
        self.by_user.and_then(|part| key.parts().nth(part))
    }

    /// How many parts its keys have.
    pub fn width(&self) -> usize {
        self.parts.len().max(1)
    }

    /// What it means, as 64 bits that stay the same for ever: its name, its key and how far back it remembers.
    pub fn fingerprint(&self) -> u64 {
        fingerprint::hash(&self.meaning)
    }

    /// Whether a file declares it: users are there without.
    pub fn is_declared(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Whether events of several users may touch one key: none of its parts is the `userId`.
    pub fn is_shared(&self) -> bool {
        self.is_declared() && self.by_user.is_none()
    }
}

/// Whether this is a name of the user entity.
pub(super) fn is_user(name: &str) -> bool {
    USERS.contains(&name)
}

impl Builder<'_> {
    pub fn all_entities(&mut self, reads: &[Read]) {
        self.entities.push(Entity::user());
        for (n, read) in reads.iter().enumerate() {
            if n == ENTITIES_MAX {
                self.reader.report(read.at.clone(), format!("more than {ENTITIES_MAX} entities"));
                return;
            }
            let entity = self.entity(read);
            self.entities.push(entity);
        }
    }

    fn entity(&mut self, read: &Read) -> Entity {
        let name = read.text("name").map_or(String::new(), |name| {
            self.entity_name(name);
            name.value.clone()
        });
        let prefix = match read.text("prefix") {
            Some(text) => {
                self.well_formed(text, "prefix");
                self.free_prefix(text, &name);
                text.value.clone()
            }
            None => {
                read.text("name").into_iter().for_each(|text| self.free_prefix(text, &name));
                name.clone()
            }
        };
        let mut parts = Vec::new();
        if let Some((texts, at)) = read.list("key") {
            if texts.is_empty() {
                self.reader.report_hint(at.clone(), "`key` is empty", "name at least one expression over the event");
            } else if texts.len() > KEY_PARTS_MAX {
                self.reader.report(at, format!("a key of more than {KEY_PARTS_MAX} parts"));
            }
            parts = texts.iter().filter_map(|text| self.key_part(text)).collect();
        }
        let window = read.text("retain").and_then(|text| self.retained(text));
        let by_user = parts.iter().position(|part| match part {
            KeyPart::One(expr) => {
                expr.slot().is_some_and(|slot| self.fields.projection.fields[slot].path == ["userId"])
            }
            _ => false,
        });
        let meaning = fingerprint::entity(&name, &parts, window, &self.fields.projection);
        let mut entity = Entity { name: name.into(), prefix: prefix.into(), parts, retain: None, by_user, meaning };
        entity.retain = window.map(|window| {
            let count = Aggregation {
                function: Function::Count,
                args: Vec::new(),
                by: None,
                keep: KEEP,
                filter: None,
                window: Some(window),
            };
            Retain { window, fingerprint: fingerprint::aggregation(&count, &self.fields.projection, &entity) }
        });
        entity
    }

    fn entity_name(&mut self, name: &Text) {
        let at = self.reader.within(name, 0, name.value.len());
        if is_user(&name.value) {
            let hint = "it is there without being declared, with userId for its key";
            self.reader.report_hint(at, format!("`{}` is the entity of users", name.value), hint);
        } else if self.entities.iter().any(|known| *known.name == *name.value) {
            self.reader.report(at, format!("duplicate entity: {}", name.value));
        } else {
            self.well_formed(name, "name");
        }
    }

    fn well_formed(&mut self, text: &Text, what: &str) {
        let value = &text.value;
        let at = self.reader.within(text, 0, value.len());
        let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if value.len() > NAME_MAX {
            self.reader.report(at, format!("a {what} longer than {NAME_MAX} bytes"));
        } else if !value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !value.chars().all(legal) {
            let message =
                format!("a {what} is made of letters, digits, `_`, `.` and `-` and begins with a letter or `_`");
            self.reader.report(at, format!("{message}: {value:?}"));
        }
    }

    /// Reports a prefix under which something else stands in Redis.
    fn free_prefix(&mut self, text: &Text, name: &str) {
        let whose = match text.value.as_str() {
            "t" => Some("tenants".to_string()),
            "adprof" => Some("adprof's own tokens".to_string()),
            "segments" => Some("the audiences of users".to_string()),
            // A name that is there twice has been told of.
            prefix => {
                let taken = self.entities.iter().find(|known| *known.prefix == *prefix && *known.name != *name);
                taken.map(|known| format!("entity `{}`", known.name))
            }
        };
        if let Some(whose) = whose {
            let at = self.reader.within(text, 0, text.value.len());
            let message = format!("the prefix `{}` is taken: names that begin with it are of {whose}", text.value);
            self.reader.report_hint(at, message, "name another one with `prefix`");
        }
    }

    fn key_part(&mut self, text: &Text) -> Option<KeyPart> {
        if let Some(path) = text.value.trim_end().strip_suffix("[]") {
            return self.values(text, path);
        }
        match expr::top_call(&text.value).map(|name| name.to_ascii_lowercase()).as_deref() {
            Some("tumble") => self.slices(text, &["an instant", "a span such as '1m'"]),
            Some("hop") => self.slices(text, &["an instant", "a span such as '1h'", "a step such as '5m'"]),
            _ => self.one_value(text),
        }
    }

    fn one_value(&mut self, text: &Text) -> Option<KeyPart> {
        let expr = expr::parse(&text.value, &mut self.fields).map_err(|e| self.expr_problem(text, e)).ok()?;
        self.no_as_of(&expr, text, 0);
        if !matches!(expr.ty, Type::String | Type::Int | Type::Bool | Type::Datetime) {
            let at = self.reader.within(text, 0, text.value.len());
            let message = format!("a part of a key is a string, an int, a bool or a datetime, not {}", expr.ty);
            self.reader.report_hint(at, message, "convert it with CAST");
            return None;
        }
        Some(KeyPart::One(expr))
    }

    /// `properties.tags[]`: the values of a JSON array.
    fn values(&mut self, text: &Text, path: &str) -> Option<KeyPart> {
        let from = path.len() - path.trim_start().len();
        let path = path.trim();
        let at = self.reader.within(text, from, path.len());
        let legal = |c: char| c.is_alphanumeric() || "_-".contains(c);
        if !path.split('.').all(|name| !name.is_empty() && name.chars().all(legal)) {
            let hint = "`[]` stands behind the path of a JSON array: properties.tags[]";
            self.reader.report_hint(at, format!("not a path: {path:?}"), hint);
            return None;
        }
        let first = path.split('.').next().unwrap_or(path);
        if super::fixed_field(first).is_some() {
            let hint = format!("leave `[]` away: {first}");
            self.reader.report_hint(at, format!("`{first}` has one value, not an array of them"), hint);
            return None;
        }
        Some(KeyPart::Each(self.fields.projection.slot(Field::new(path, Type::List(&Type::String)))))
    }

    /// `tumble(timestamp, '1m')` and `hop(timestamp, '1h', '5m')`; `wanted`: what the arguments are.
    fn slices(&mut self, text: &Text, wanted: &[&str]) -> Option<KeyPart> {
        let call = expr::parse_aggregation(&text.value, &mut self.fields);
        let call = call.map_err(|e| self.expr_problem(text, e)).ok()?;
        if call.args.len() != wanted.len() || call.distinct || call.star {
            let at = self.reader.within(text, call.name_offset, call.name.len());
            let message = format!("`{}` takes {} arguments: {}", call.name, wanted.len(), wanted.join(", "));
            self.reader.report(at, message);
            return None;
        }
        let at = call.args[0].clone();
        self.no_as_of(&at, text, call.arg_offsets[0]);
        if at.ty != Type::Datetime {
            let place = self.reader.within(text, call.arg_offsets[0], 1);
            let message = format!("`{}` takes an instant, not {}", call.name, at.ty);
            self.reader.report_hint(place, message, format!("{}(timestamp, …)", call.name));
            return None;
        }
        let size = self.span(text, &call, 1)?;
        let step = if wanted.len() > 2 { self.span(text, &call, 2)? } else { size };
        let problem = if size % step != 0 {
            format!("a step of {} does not divide the slice of {}", show_span(step), show_span(size))
        } else if size / step > HOP_MAX {
            format!("more than {HOP_MAX} slices hold each instant: {}", size / step)
        } else {
            return Some(KeyPart::Slices { at, size, step });
        };
        let place = self.reader.within(text, call.arg_offsets[2.min(wanted.len() - 1)], 1);
        self.reader.report(place, problem);
        None
    }

    fn span(&mut self, text: &Text, call: &AggCall, n: usize) -> Option<Millis> {
        let why = match call.args[n].constant() {
            Some(Some(Value::Str(span))) => match parse_span(&span) {
                Ok(span) => return Some(span),
                Err(why) => why,
            },
            _ => format!("`{}` takes a span in quotes, such as '5m'", call.name),
        };
        let at = self.reader.within(text, call.arg_offsets[n], 1);
        self.reader.report(at, why);
        None
    }

    fn retained(&mut self, text: &Text) -> Option<Window> {
        let at = self.reader.within(text, 0, text.value.len());
        let span = match parse_span(&text.value) {
            Ok(span) => span,
            Err(why) => {
                self.reader.report_hint(at, why, "write a span such as 36h, 7d or 30d");
                return None;
            }
        };
        let step = usual_resolution(span);
        if span % step != 0 {
            let message = format!("{} is not a whole number of its steps of {}", show_span(span), show_span(step));
            self.reader.report_hint(at, message, "a window of this length moves in such steps; take a rounder one");
            return None;
        }
        if span / step > PANES_MAX {
            let hint = "leave `retain` out to remember for ever";
            self.reader.report_hint(at, format!("`retain` of more than {PANES_MAX} days"), hint);
            return None;
        }
        Some(Window::sliding(span, step))
    }

    /// The entity a tag names, by place; users where it names none that is there, which is reported.
    pub fn entity_of(&mut self, read: &Read) -> usize {
        let Some(text) = read.text("entity") else { return 0 };
        if is_user(&text.value) {
            return 0;
        }
        if let Some(found) = self.entities.iter().position(|known| *known.name == *text.value) {
            return found;
        }
        let meant = nearest(&text.value, self.entities.iter().map(|known| &*known.name));
        let hint = match meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("declare it: [[entity]] name = \"{}\" key = \"…\"", text.value),
        };
        let at = self.reader.within(text, 0, text.value.len());
        self.reader.report_hint(at, format!("unknown entity: {}", text.value), hint);
        0
    }

    /// The window of a tag of an entity; reported when it looks further back than the entity remembers.
    ///
    /// `at`: what says how far back it looks. So a key whose own window is over holds nothing of any tag.
    pub fn within_retain(
        &mut self,
        entity: usize,
        window: Option<Window>,
        at: Range<usize>,
    ) -> Result<Option<Window>, ()> {
        let Some(retain) = self.entities.get(entity).and_then(|entity| entity.retain) else { return Ok(window) };
        let (Some(window), Window::Sliding(kept)) = (window, retain.window) else { return Ok(Some(retain.window)) };
        if covers(kept, window) {
            return Ok(Some(window));
        }
        let name = self.entities[entity].name.clone();
        let message = format!(
            "it looks further back than `{name}` remembers: {window:#}, and retain = {kept}",
            kept = show_span(kept.span)
        );
        let hint = format!("make `retain` of `{name}` longer, or look back less far");
        self.reader.report_hint(at, message, hint);
        Err(())
    }
}

/// Whether no event counts in `window` at an instant at which it is over in `kept`.
fn covers(kept: Sliding, window: Window) -> bool {
    // How long an event can count, from the start of its pane, and how far that start may be from one of a pane of `kept`.
    let (longest, aligned) = match window {
        Window::Sliding(Sliding { span, resolution }) => (span, resolution % kept.resolution == 0),
        Window::Calendar(Calendar { unit, number, zone }) => {
            let days = match unit {
                Unit::Day => 1,
                Unit::Week => 7,
                Unit::Month => 31,
            };
            let utc = zone.to_string() == "UTC";
            // A day on which clocks are set back has an hour more.
            (number * days * DAY + if utc { 0 } else { HOUR }, utc)
        }
    };
    longest + if aligned { 0 } else { kept.resolution } <= kept.span
}
