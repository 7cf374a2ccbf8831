//! The best of all who were scored, and how they are written.

use super::{Found, Reasons};
use crate::cmd::query::readable;
use crate::cmd::segment::line::{Line, array};
use crate::cmd::segment::list::columns;
use crate::given::grouped;
use crate::report;
use adprof::key::Key;
use adprof::ndjson::shown;
use adprof::profiles::Profile;
use adprof::segment::lookalike::Model;
use adprof::value::{Datum, Value};
use anyhow::Result;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io::Write;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    Table,
    /// {"userId":…,"score":…,"logit":…,"because":[{"tag":…,"value":…,"pull":…}],"version":…,"asOf":…}
    Ndjson,
    /// Plain ids, one a line
    Ids,
}

/// A user, and why.
struct Scored {
    logit: f64,
    key: Key,
    because: Vec<Reason>,
}

struct Reason {
    tag: usize,
    value: Option<Value>,
    pull: f64,
}

/// The least is the best: a higher score, and of equal ones the smaller id.
impl Ord for Scored {
    fn cmp(&self, other: &Scored) -> Ordering {
        other.logit.total_cmp(&self.logit).then_with(|| self.key.cmp(&other.key))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Scored) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Scored) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scored {}

/// The best so far; the worst of them on top.
pub struct Best<'a> {
    size: u64,
    reasons: Reasons,
    model: &'a Model,
    kept: BinaryHeap<Scored>,
}

impl<'a> Best<'a> {
    pub fn new(size: u64, reasons: Reasons, model: &'a Model) -> Best<'a> {
        Best { size, reasons, model, kept: BinaryHeap::new() }
    }

    /// Takes a user if she is good enough. Her logit.
    pub fn offer(&mut self, profile: Profile) -> f64 {
        let Profile { key, values, .. } = profile;
        let pulls = self.model.pulls(|column| values[column.tag].as_ref());
        let logit = self.model.logit(&pulls);
        let mut scored = Scored { logit, key, because: Vec::new() };
        if self.kept.len() as u64 == self.size {
            match self.kept.peek() {
                Some(worst) if scored < *worst => drop(self.kept.pop()),
                _ => return logit,
            }
        }
        scored.because = self.because(&pulls, values);
        self.kept.push(scored);
        logit
    }

    /// The tags that pulled most; those that pulled away only where all are asked for.
    fn because(&self, pulls: &[f64], mut values: Vec<Option<Value>>) -> Vec<Reason> {
        let Reasons(most) = self.reasons;
        let mut order: Vec<usize> = (0..pulls.len()).filter(|i| most.is_none() || pulls[*i] > 0.0).collect();
        order.sort_by(|a, b| pulls[*b].total_cmp(&pulls[*a]).then(a.cmp(b)));
        order.truncate(most.unwrap_or(usize::MAX));
        let reason = |i: usize| {
            let tag = self.model.columns[i].tag;
            Reason { tag, value: values[tag].take(), pull: pulls[i] }
        };
        order.into_iter().map(reason).collect()
    }

    /// All of them, best first.
    pub fn lines<'f>(self, found: &'f Found<'f>, form: Form, to_terminal: bool) -> Lines<'f> {
        Lines { found, form, to_terminal, scored: self.kept.into_sorted_vec() }
    }
}

/// What is to be written.
pub struct Lines<'a> {
    found: &'a Found<'a>,
    form: Form,
    to_terminal: bool,
    scored: Vec<Scored>,
}

impl Lines<'_> {
    /// Says how many there are.
    pub fn tell(&self) {
        let (Some(first), Some(last)) = (self.scored.first(), self.scored.last()) else { return };
        let n = self.scored.len() as u64;
        let all = if n < self.found.args.size { ", all there are outside of the seed" } else { "" };
        report::say(format_args!(
            "listed: {} users{all}, scores {:.4} to {:.4}",
            grouped(n),
            Model::score(first.logit),
            Model::score(last.logit)
        ));
    }

    pub fn write(&self, mut out: impl Write) -> Result<()> {
        match self.form {
            Form::Table => out.write_all(self.table().as_bytes())?,
            Form::Ndjson => self.scored.iter().try_for_each(|one| out.write_all(self.line(one).as_bytes()))?,
            Form::Ids => self.scored.iter().try_for_each(|one| {
                let id = one.key.text();
                writeln!(out, "{}", if self.to_terminal { shown(&id) } else { id.as_ref().into() })
            })?,
        }
        Ok(out.flush()?)
    }

    fn line(&self, one: &Scored) -> String {
        let reason = |reason: &Reason| {
            let line = Line::new().text("tag", &self.found.definitions.tags[reason.tag].code);
            line.json("value", json(reason.value.as_ref())).json("pull", number(reason.pull)).end()
        };
        Line::new()
            .text("userId", &one.key.text())
            .json("score", number(Model::score(one.logit)))
            .json("logit", number(one.logit))
            .json("because", array(one.because.iter().map(reason)))
            .optional("segment", self.found.seed.segment())
            .text("version", self.found.seed.version())
            .json("asOf", self.found.as_of)
            .line()
    }

    fn table(&self) -> String {
        let mut rows = vec![["user", "score", "because"].map(String::from)];
        rows.extend(self.scored.iter().map(|one| {
            let reason = |reason: &Reason| {
                let value = reason.value.as_ref().map_or("missing".to_string(), readable);
                format!("{} {value} ({:+.2})", self.found.definitions.tags[reason.tag].code, reason.pull)
            };
            let because: Vec<String> = one.because.iter().map(reason).collect();
            [shown(&one.key.text()).into_owned(), format!("{:.4}", Model::score(one.logit)), because.join(", ")]
        }));
        columns(&rows)
    }
}

/// A number as JSON, the shortest text that reads back as it.
pub fn number(x: f64) -> String {
    json(Some(&Value::Double(x)))
}

fn json(value: Option<&Value>) -> String {
    let mut out = Vec::new();
    value.map_or(Datum::Null, Value::datum).push_json(&mut out);
    String::from_utf8(out).expect("made of texts")
}
