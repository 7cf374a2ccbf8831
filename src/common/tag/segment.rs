//! Segments as a definition file has them: a named rule on the tags of users.
//!
//! A rule is one typed expression, in whichever form it was written; its slots are places in `Definitions::tags`.

use super::{Definitions, Tag};
use crate::expr::Expr;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// One audience.
#[derive(Clone, Debug)]
pub struct Segment {
    pub code: Arc<str>,
    /// The code, when the file gives no name.
    pub name: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub status: Status,
    pub schedule: Schedule,
    pub rule: Arc<Expr>,
    /// Changes when, and only when, who is a member may change: see `Definitions::version`.
    pub version: String,
    /// The line of the file where it begins, from 1.
    pub line: usize,
}

/// What a segment is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Checked and counted when asked; never built nor kept live.
    Draft,
    Active,
    /// Kept for its history.
    Archived,
}

impl Status {
    pub const ALL: [Status; 3] = [Status::Draft, Status::Active, Status::Archived];

    /// The name a definition file uses.
    pub fn name(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Active => "active",
            Status::Archived => "archived",
        }
    }

    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Who keeps a segment current.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schedule {
    /// The stream.
    Live,
    /// A build, each night.
    Daily,
}

impl Schedule {
    pub const ALL: [Schedule; 2] = [Schedule::Live, Schedule::Daily];

    /// The name a definition file uses.
    pub fn name(self) -> &'static str {
        match self {
            Schedule::Live => "live",
            Schedule::Daily => "daily",
        }
    }

    pub fn from_name(name: &str) -> Option<Schedule> {
        Schedule::ALL.into_iter().find(|schedule| schedule.name() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Definitions {
    /// The segment of a code.
    pub fn segment(&self, code: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| &*segment.code == code)
    }

    /// The version of a rule: twelve hex digits of SHA-256 over its canonical text, that of every segment it names, and
    /// what each tag means that any of them looks at.
    pub fn version(&self, rule: &Expr) -> String {
        version(rule, |slot| &self.tags[slot])
    }
}

pub(super) fn version<'t>(rule: &Expr, tag: impl Fn(usize) -> &'t Tag) -> String {
    let mut text = format!("rule {}\n", rule.canonical());
    let mut named: Vec<(&str, &Arc<Expr>)> = rule.segments();
    let mut done = 0;
    while let Some((code, rule)) = named.get(done).copied() {
        text += &format!("segment {code} {}\n", rule.canonical());
        for more in rule.segments() {
            if !named.iter().any(|(known, _)| *known == more.0) {
                named.push(more);
            }
        }
        done += 1;
    }
    let mut slots = Vec::new();
    rule.own_slots(&mut slots);
    named.iter().for_each(|(_, rule)| rule.own_slots(&mut slots));
    let mut tags: Vec<&Tag> = slots.into_iter().map(tag).collect();
    tags.sort_by(|a, b| a.code.cmp(&b.code));
    for tag in tags {
        text += &format!("tag {} {:016x}\n", tag.code, tag.fingerprint);
    }
    super::hex12(Sha256::new().chain_update(&text))
}
