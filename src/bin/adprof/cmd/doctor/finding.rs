//! Findings: what a check came to.

use crate::report;
use adprof::ndjson::shown;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Ok,
    /// Nobody told.
    Unknown,
    Risk,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Unknown => "unknown",
            Level::Risk => "risk",
        }
    }
}

/// What one check came to, and what to do about it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// A stable name for scripts, such as `redis.eviction`.
    pub check: &'static str,
    pub level: Level,
    pub words: String,
    pub hint: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, words: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, words: words.into(), hint: None }
    }

    pub fn unknown(check: &'static str, words: impl Into<String>) -> Finding {
        Finding { level: Level::Unknown, ..Finding::ok(check, words) }
    }

    pub fn risk(check: &'static str, words: impl Into<String>) -> Finding {
        Finding { level: Level::Risk, ..Finding::ok(check, words) }
    }

    pub fn hint(self, hint: impl Into<String>) -> Finding {
        Finding { hint: Some(hint.into()), ..self }
    }

    /// As one line of NDJSON, without its newline.
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("check".into(), json!(self.check));
        object.insert("level".into(), json!(self.level.name()));
        object.insert("what".into(), json!(self.words));
        if let Some(hint) = &self.hint {
            object.insert("hint".into(), json!(hint));
        }
        Value::Object(object)
    }
}

/// Findings for people: a line each, the advice below.
pub fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut out = String::new();
    for finding in findings {
        let level = format!("{:7}", finding.level.name());
        let level = if finding.level == Level::Risk { report::strong(&level) } else { level };
        out.push_str(&format!("{level}  {:width$}  {}\n", finding.check, shown(&finding.words)));
        if let Some(hint) = &finding.hint {
            out.push_str(&format!("{:9}{:width$}  hint: {}\n", "", "", shown(hint)));
        }
    }
    out
}
