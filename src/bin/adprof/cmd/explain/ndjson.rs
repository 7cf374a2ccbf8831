//! The explanation for programs: one object, with its fields in a fixed order.

use super::subject::{Book, Change, FromLog, Subject};
use super::text;
use adprof::engine::explain::{Fact, Pane};
use adprof::ndjson::{push_int, push_str};
use adprof::profiles::Origin;
use adprof::tag::{Definitions, Kind};
use adprof::time::{self, Day, Millis};
use adprof::value::Value;

/// Appends one line: the tag that was asked for, with its inputs in a list behind.
pub fn push(book: &Book, out: &mut Vec<u8>) {
    let mut line = Object::begin(out);
    line.text("userId", book.user.id());
    line.raw("known", if book.known { b"true" } else { b"false" });
    let (first, inputs) = book.subjects.split_first().expect("the tag that was asked for is the first");
    subject(&mut line, book, first);
    line.list("inputs", inputs, |input, out| {
        let mut object = Object::begin(out);
        object.int("depth", input.depth as i64);
        subject(&mut object, book, input);
        object.end();
    });
    line.end();
    out.push(b'\n');
}

fn subject(object: &mut Object<'_>, book: &Book, subject: &Subject) {
    let tag = &book.definitions.tags[subject.tag];
    object.text("tag", &tag.code);
    object.instant("asOf", "asOfTime", Some(subject.as_of));
    object.value("value", subject.value.as_ref());
    object.text("from", subject.from());
    object.text("how", &text::from(subject, book.store.as_ref()));
    // Of a live state only, and only what there is to say.
    if let Some(warming) = subject.told.as_ref().and_then(|told| told.warming) {
        object.object("warming", |object| {
            object.instant("since", "sinceTime", Some(warming.since));
            object.text("base", &time::show_day(warming.base()));
            object.instant("until", "untilTime", warming.until);
        });
    }
    let tail = book.store.as_ref().and_then(|store| store.tail).filter(|tail| tail.base.is_some());
    if let (Some(tail), Some(Origin::State { .. })) = (tail, subject.told.as_ref().map(|told| told.from)) {
        object.object("base", |object| {
            object.day("through", tail.base);
            object.day("tailFrom", tail.from);
        });
    }
    object.object("definition", |object| definition(object, &book.definitions, subject.tag));
    let aggregation = match &tag.kind {
        Kind::Aggregation(aggregation) => Some(aggregation),
        _ => None,
    };
    match (&subject.explanation, aggregation) {
        (Some(explanation), Some(aggregation)) => object.object("window", |object| {
            object.instant("from", "fromTime", explanation.since);
            object.instant("to", "toTime", Some(explanation.as_of));
            match aggregation.window {
                Some(window) => object.text("size", &format!("{window:#}")),
                None => object.raw("size", b"null"),
            }
        }),
        _ => object.raw("window", b"null"),
    }
    let panes = subject.explanation.as_ref().map_or(&[][..], |explanation| &explanation.panes);
    object.list("panes", panes, pane);
    object.object("next", |object| next(object, subject));
    match &subject.log {
        Some(log) => object.object("log", |object| from_log(object, subject, log)),
        None => object.raw("log", b"null"),
    }
}

fn definition(object: &mut Object<'_>, definitions: &Definitions, place: usize) {
    let tag = &definitions.tags[place];
    object.text("code", &tag.code);
    object.text("name", &tag.name);
    object.text("type", tag.ty.name());
    object.text("update", tag.update.name());
    for (key, text) in definitions.written(place) {
        if !["code", "name", "type", "update"].contains(&key) {
            object.text(key, &text);
        }
    }
    if let Kind::Derived(derived) = &tag.kind {
        object.list("inputs", &derived.inputs, |input, out| push_str(out, &definitions.tags[*input].code));
    }
    object.text("source", &definitions.source);
    object.int("line", tag.line as i64);
    object.text("fingerprint", &format!("{:016x}", tag.fingerprint));
}

fn pane(pane: &Pane, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.instant("start", "startTime", Some(pane.start));
    object.instant("end", "endTime", Some(pane.end));
    object.instant("until", "untilTime", Some(pane.until));
    object.value("value", pane.value.as_ref());
    object.end();
}

fn next(object: &mut Object<'_>, subject: &Subject) {
    let (by, change) = match subject.change() {
        Change::Time(at, then) => ("time", Some((at, then))),
        Change::Event => ("event", None),
        Change::EventOrPatch => ("event_or_patch", None),
        Change::Clock => ("clock", None),
        Change::Patch => ("patch", None),
        Change::Unknown => ("unknown", None),
    };
    object.text("by", by);
    object.instant("at", "atTime", change.map(|(at, _)| at));
    object.value("value", change.and_then(|(_, then)| then));
}

fn from_log(object: &mut Object<'_>, subject: &Subject, log: &FromLog) {
    object.value("value", log.value.as_ref());
    match (&subject.told, &subject.difference) {
        (None, _) => object.raw("agrees", b"null"),
        (Some(_), None) => object.raw("agrees", b"true"),
        (Some(_), Some(_)) => object.raw("agrees", b"false"),
    }
    match &subject.difference {
        Some(why) => object.text("difference", why),
        None => object.raw("difference", b"null"),
    }
    object.int("duplicates", log.duplicates as i64);
    object.list("events", &log.events, |event, out| fact(event, &log.arguments, out));
}

fn fact(event: &Fact, names: &[String], out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.instant("timestamp", "time", Some(event.timestamp));
    object.text("eventId", &event.event_id);
    object.object("arguments", |object| {
        names.iter().zip(&event.arguments).for_each(|(name, value)| object.value(name, value.as_ref()));
    });
    object.end();
}

/// A JSON object on its way.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object { out, empty: true }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        push_str(self.out, key);
        self.out.push(b':');
    }

    fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        push_str(self.out, text);
    }

    fn int(&mut self, key: &str, n: i64) {
        self.key(key);
        push_int(self.out, n);
    }

    fn value(&mut self, key: &str, value: Option<&Value>) {
        self.key(key);
        match value {
            Some(value) => value.push_json(self.out),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    /// An instant in milliseconds, and once more as RFC 3339.
    fn instant(&mut self, key: &str, again: &str, at: Option<Millis>) {
        match at {
            Some(at) => {
                self.int(key, at);
                self.text(again, &time::show(at));
            }
            None => [key, again].into_iter().for_each(|key| self.raw(key, b"null")),
        }
    }

    fn day(&mut self, key: &str, day: Option<Day>) {
        match day {
            Some(day) => self.text(key, &time::show_day(day)),
            None => self.raw(key, b"null"),
        }
    }

    fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        let mut inner = Object::begin(self.out);
        fill(&mut inner);
        inner.end();
    }

    fn list<T>(&mut self, key: &str, items: &[T], push: impl Fn(&T, &mut Vec<u8>)) {
        self.key(key);
        self.out.push(b'[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            push(item, self.out);
        }
        self.out.push(b']');
    }
}
