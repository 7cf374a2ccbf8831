//! Differences as they are told: a line of JSON each, or the rows of a table.

use crate::cmd::query::readable;
use crate::report;
use adprof::ndjson::{self, shown};
use adprof::patch::push_key;
use adprof::run::verify::Difference;
use adprof::tag::Definitions;
use adprof::value::{Datum, Value};
use anyhow::Result;

/// Rows of a table at most.
const ROWS: usize = 40;
/// Widest column of a table, in characters.
const WIDE: usize = 32;

/// Where differences go.
pub struct Teller<'a> {
    definitions: &'a Definitions,
    /// Of a table.
    rows: Option<Vec<[String; 6]>>,
    more: u64,
    bytes: Vec<u8>,
    failed: Option<anyhow::Error>,
}

impl<'a> Teller<'a> {
    pub fn new(definitions: &'a Definitions, table: bool) -> Teller<'a> {
        Teller { definitions, rows: table.then(Vec::new), more: 0, bytes: Vec::new(), failed: None }
    }

    pub fn take(&mut self, difference: Difference) {
        match &mut self.rows {
            Some(rows) if rows.len() >= ROWS => self.more += 1,
            Some(rows) => rows.push(row(&difference, self.definitions)),
            None => {
                push_line(&difference, self.definitions, &mut self.bytes);
                if self.bytes.len() >= 1 << 16 {
                    self.write();
                }
            }
        }
    }

    fn write(&mut self) {
        if self.failed.is_none() {
            self.failed = report::data(&self.bytes).err();
        }
        self.bytes.clear();
    }

    /// Writes what is left; the first error there was.
    pub fn finish(mut self) -> Result<()> {
        if let Some(rows) = self.rows.take().filter(|rows| !rows.is_empty()) {
            let head = ["KEY", "TAG", "CAUSE", "STORE", "LOG", "WHY"].map(str::to_string);
            let mut widths = [0; 6];
            for row in std::iter::once(&head).chain(&rows) {
                widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
            }
            for row in std::iter::once(&head).chain(&rows) {
                let mut line = String::new();
                for (cell, width) in row.iter().zip(widths) {
                    line.push_str(&format!("{cell:width$}  "));
                }
                self.bytes.extend_from_slice(line.trim_end().as_bytes());
                self.bytes.push(b'\n');
            }
            if self.more > 0 {
                self.bytes.extend_from_slice(format!("and {} more\n", self.more).as_bytes());
            }
        }
        self.write();
        self.failed.map_or(Ok(()), Err)
    }
}

fn row(difference: &Difference, definitions: &Definitions) -> [String; 6] {
    let cut = |text: String| match text.char_indices().nth(WIDE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_string(), |v| cut(readable(v)));
    let key = difference.key.as_ref().map_or_else(|| "all".to_string(), |key| cut(shown(&key.text()).to_string()));
    let tag = match (&difference.segment, difference.tag) {
        (Some(segment), _) => segment.to_string(),
        (None, Some(tag)) => definitions.tags[tag].code.to_string(),
        (None, None) => "all".to_string(),
    };
    let (store, log) = match difference.tag.is_some() || difference.segment.is_some() {
        true if difference.key.is_some() => (value(&difference.store), value(&difference.log)),
        _ => (String::new(), String::new()),
    };
    [key, tag, difference.cause.name().to_string(), store, log, difference.why.clone()]
}

fn push_line(difference: &Difference, definitions: &Definitions, out: &mut Vec<u8>) {
    out.push(b'{');
    if let Some(key) = &difference.key {
        push_key(out, key);
        out.push(b',');
    } else if let Some(tag) = difference.tag {
        out.extend_from_slice(b"\"entity\":");
        ndjson::push_str(out, &definitions.entity_of(tag).name);
        out.push(b',');
    }
    out.extend_from_slice(if difference.segment.is_some() { b"\"segment\":" } else { b"\"tag\":" });
    match (&difference.segment, difference.tag) {
        (Some(segment), _) => ndjson::push_str(out, segment),
        (None, Some(tag)) => ndjson::push_str(out, &definitions.tags[tag].code),
        (None, None) => Datum::Null.push_json(out),
    }
    out.extend_from_slice(
        format!(",\"cause\":\"{}\",\"asOf\":{}", difference.cause.name(), difference.as_of).as_bytes(),
    );
    if difference.key.is_some() && (difference.tag.is_some() || difference.segment.is_some()) {
        for (name, value) in [("store", &difference.store), ("log", &difference.log)] {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            match value {
                Some(value) => value.push_json(out),
                None => Datum::Null.push_json(out),
            }
        }
    }
    out.extend_from_slice(b",\"why\":");
    ndjson::push_str(out, &difference.why);
    out.extend_from_slice(b"}\n");
}
