//! The explanation for people.

use super::difference::nothing;
use super::subject::{Book, Change, FromLog, Store, Subject};
use crate::cmd::query::{ago, readable};
use crate::given::grouped;
use crate::report;
use adprof::engine::explain::{Explanation, Fact, Pane};
use adprof::ndjson::shown;
use adprof::profiles::Origin;
use adprof::tag::{Definitions, Kind};
use adprof::time::{self, Millis};
use adprof::value::Value;
use std::fmt::Write as _;

/// So many panes and events are shown unless all are asked for: the newest.
const SHOWN: usize = 20;
/// Inputs are indented by two blanks a step, up to so many steps.
const INDENTED: usize = 10;
/// Width of the labels.
const WIDTH: usize = 12;

/// Appends the explanation of the tag and, indented, of its inputs.
pub fn push(book: &Book, all: bool, out: &mut Vec<u8>) {
    if !book.known {
        let told =
            format!("nothing is known of {}: the values are those of no events, and no profile has them\n", book.user);
        out.extend_from_slice(told.as_bytes());
    }
    for subject in &book.subjects {
        let mut page = Page { text: String::new(), indent: 2 * subject.depth.min(INDENTED) };
        page.subject(book, subject, if all { usize::MAX } else { SHOWN });
        out.extend_from_slice(page.text.as_bytes());
    }
}

struct Page {
    text: String,
    indent: usize,
}

impl Page {
    fn line(&mut self, words: &str) {
        let _ = writeln!(self.text, "{:1$}{words}", "", self.indent);
    }

    fn row(&mut self, label: &str, words: &str) {
        self.line(&format!("  {label:WIDTH$}{words}"));
    }

    fn item(&mut self, words: &str) {
        self.line(&format!("    {words}"));
    }

    fn subject(&mut self, book: &Book, subject: &Subject, most: usize) {
        let tag = &book.definitions.tags[subject.tag];
        let whose = if subject.depth == 0 { format!(" of {}", book.user) } else { String::new() };
        let value = value(subject.value.as_ref());
        self.line(&format!("{}{whose}  {value}", report::strong(&shown(&tag.code))));
        self.row("as of", &instant(subject.as_of));
        self.definition(&book.definitions, subject.tag);
        self.row("from", &from(subject, book.store.as_ref()));
        if let Some(warming) = subject.told.as_ref().and_then(|told| told.warming) {
            self.row("warming", &warming.to_string());
        }
        if let Some(explanation) = &subject.explanation {
            self.window(&book.definitions, subject, explanation, most);
        }
        self.row("next change", &next(subject));
        if let Some(log) = &subject.log {
            self.log(subject, log, matches!(tag.kind, Kind::Aggregation(_)), most);
        }
    }

    fn definition(&mut self, definitions: &Definitions, place: usize) {
        let tag = &definitions.tags[place];
        if *tag.name != *tag.code {
            self.row("name", &shown(&tag.name));
        }
        for (key, text) in definitions.written(place) {
            match (key, &tag.kind) {
                ("code" | "name" | "type" | "update" | "resolution", _) => {}
                ("window", Kind::Aggregation(a)) if let Some(window) = a.window => {
                    self.row("window", &format!("{window:#}"))
                }
                (key, _) => self.row(key, &shown(&on_one_line(&text))),
            }
        }
        self.row("type", tag.ty.name());
        self.row("update", tag.update.name());
        let place = format!("{}:{}, fingerprint {:016x}", definitions.source, tag.line, tag.fingerprint);
        self.row("defined", &shown(&place));
    }

    fn window(&mut self, definitions: &Definitions, subject: &Subject, explanation: &Explanation, most: usize) {
        let Explanation { as_of, since, panes, .. } = explanation;
        match (since, &definitions.tags[subject.tag].kind) {
            (Some(since), _) => {
                self.row("events", &format!("from {} to {}", instant(*since), instant(*as_of)));
                let count = if panes.is_empty() { "none" } else { &*grouped(panes.len() as u64) };
                self.row("panes", &format!("{count} in the window"));
                self.newest(panes, most, pane);
            }
            (None, Kind::Aggregation(_)) => self.row("events", &format!("all up to {}", instant(*as_of))),
            (None, _) => {}
        }
    }

    fn log(&mut self, subject: &Subject, log: &FromLog, events: bool, most: usize) {
        let mut words = value(log.value.as_ref());
        match (&subject.difference, &subject.told) {
            (Some(why), _) => words = why.clone(),
            (None, Some(_)) => words.push_str(", as the store has it"),
            (None, None) => {}
        }
        if events {
            words.push_str(&match log.events.len() {
                0 => "; no event counts".to_string(),
                1 => "; 1 event counts".to_string(),
                n => format!("; {} events count", grouped(n as u64)),
            });
        }
        match log.duplicates {
            0 => {}
            1 => words.push_str("; 1 duplicate of the user was dropped"),
            n => words.push_str(&format!("; {} duplicates of the user were dropped", grouped(n))),
        }
        self.row("log", &words);
        self.newest(&log.events, most, |event| fact(event, &log.arguments));
    }

    /// The last of some items, and how many there are before.
    fn newest<T>(&mut self, items: &[T], most: usize, show: impl Fn(&T) -> String) {
        let before = items.len().saturating_sub(most);
        if before > 0 {
            self.item(&format!("and {} more before these: --all", grouped(before as u64)));
        }
        items[before..].iter().for_each(|item| self.item(&show(item)));
    }
}

/// An expression may stand on several lines of its file.
fn on_one_line(text: &str) -> String {
    text.trim().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

fn instant(at: Millis) -> String {
    format!("{}  {at}", time::show(at))
}

fn value(value: Option<&Value>) -> String {
    value.map_or_else(|| "no value".to_string(), readable)
}

fn pane(pane: &Pane) -> String {
    let Pane { start, end, until, value: held } = pane;
    format!(
        "{} to {}  holds {}, until {}",
        time::show(*start),
        time::show(*end),
        value(held.as_ref()),
        time::show(*until)
    )
}

fn fact(event: &Fact, names: &[String]) -> String {
    let mut words = format!("{}  {}", instant(event.timestamp), shown(&event.event_id));
    for (name, argument) in names.iter().zip(&event.arguments) {
        let argument =
            argument.as_ref().map_or_else(|| "NULL".to_string(), |value| shown(&value.to_string()).into_owned());
        words.push_str(&format!("  {} {argument}", shown(name)));
    }
    words
}

/// Where the value comes from, in a sentence.
pub fn from(subject: &Subject, store: Option<&Store>) -> String {
    let (Some(told), Some(store)) = (&subject.told, store) else {
        return match subject.log {
            Some(_) => "the log".to_string(),
            None => "nowhere: its values come as patches, and no store was asked".to_string(),
        };
    };
    let place = &store.location;
    match told.from {
        Origin::State { .. } => {
            let mut words = format!("the live state in {place}, computed for this instant");
            if let Some(age) = store.age {
                words.push_str(&format!("; its last checkpoint was {}", ago(age)));
            }
            if let Some(tail) = store.tail.filter(|tail| tail.base.is_some()) {
                words.push_str(&format!("; {tail}"));
            }
            words
        }
        Origin::Patch(at) => format!("a patch in {place} of {}", time::show(at)),
        Origin::Value => format!("{place}, which holds values only: how old they are it does not say"),
        Origin::Nothing(why) => format!("{place} has no value: {}", nothing(why)),
    }
}

fn next(subject: &Subject) -> String {
    match subject.change() {
        Change::Time(at, then) => format!("{}, to {}, without an event", instant(at), value(then)),
        Change::Event => "never without an event".to_string(),
        Change::EventOrPatch => "never without an event or a patch".to_string(),
        Change::Clock => "at any instant: it follows as_of()".to_string(),
        Change::Patch => "with the next patch that brings one".to_string(),
        Change::Unknown => "not known: the store does not say".to_string(),
    }
}
