//! The converter: foreign lines of one source in, events out, by a map.
//!
//! Lines do not know each other: apart from the header of a CSV file, the same line
//! with the same number gives the same event, whatever stood before it.

use super::cell::{Cell, quoted};
use super::path::Path;
use super::record::{Object, Record, cells};
use super::{Csv, Field, Filter, Format, Map, ORIGINAL, Other, Part, Template, nearest};
use crate::event::{Code, Refusal, too_long};
use crate::limits::{EVENT_ID_MAX, LINE_MAX};
use crate::ndjson;
use siphasher::sip128::SipHasher24;
use std::borrow::Cow;
use std::sync::Arc;

/// Converts the lines of one source.
#[derive(Clone, Debug)]
pub struct Converter {
    map: Arc<Map>,
    source: String,
    /// The columns of CSV; `None` until the header was read, and with JSON. With a bad header every row is refused.
    columns: Option<Result<Vec<String>, Refusal>>,
    dropped: u64,
}

impl Converter {
    /// `source` names the file or stream; only the template word `{file}` looks at it.
    pub fn new(map: impl Into<Arc<Map>>, source: &str) -> Converter {
        let map = map.into();
        let columns = match &map.format {
            Format::Csv(csv) => csv.columns.clone().map(Ok),
            Format::Json => None,
        };
        Converter { map, source: source.to_string(), columns, dropped: 0 }
    }

    /// How many records the map dropped so far by its `keep`, `drop` and `other = "drop"`.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Appends the event that `line` makes, without a newline.
    ///
    /// `line` comes without its newline, `line_no` counts from 1 in the source. `Ok(false)`: the line is blank, a
    /// header or dropped by the map, and nothing was appended; nor is anything by a refusal.
    pub fn convert(&mut self, line: &[u8], line_no: u64, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        let start = out.len();
        let made = self.made(line, line_no, out);
        if made != Ok(true) {
            out.truncate(start);
        }
        made
    }

    fn made(&mut self, line: &[u8], line_no: u64, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        if line.len() > LINE_MAX {
            return Err(too_long());
        }
        let line = if line_no == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let text = std::str::from_utf8(line)
            .map_err(|e| Refusal::new(Code::NotUtf8, format!("invalid UTF-8 at byte {}", e.valid_up_to() + 1)))?;
        let map = self.map.clone();
        let record = match &map.format {
            Format::Csv(csv) => {
                let text = text.strip_suffix('\r').unwrap_or(text);
                if text.is_empty() {
                    return Ok(false);
                }
                match &self.columns {
                    None => {
                        let header = header(text, csv).and_then(|columns| map.needs(columns));
                        return self.columns.insert(header).clone().map(|_| false);
                    }
                    Some(Err(refusal)) => {
                        let reason = format!("no row can be read under this header: {}", refusal.reason);
                        return Err(Refusal::new(refusal.code, reason));
                    }
                    Some(Ok(columns)) => csv_record(text, csv, columns)?,
                }
            }
            Format::Json => match text.trim_matches([' ', '\t', '\r']) {
                "" => return Ok(false),
                text => Record::json(Object::read(text)?),
            },
        };
        let hashed = line.trim_ascii();
        let mut event = Making { map: &map, record, used: Vec::new(), line: hashed, line_no, source: &self.source };
        let made = event.push(out)?;
        self.dropped += u64::from(!made);
        Ok(made)
    }
}

impl Map {
    /// `columns`, when they have what every field needs: a slip in a map must not lose a field in silence.
    fn needs(&self, columns: Vec<String>) -> Result<Vec<String>, Refusal> {
        let lacks = |field: &&Field| {
            let has_other = field.template.is_some() || field.default.is_some();
            !has_other && !field.from.iter().any(|path| columns.contains(&path.first))
        };
        let Some(field) = self.fields.iter().find(lacks) else { return Ok(columns) };
        let near = field.from.first().and_then(|path| nearest(&path.first, columns.iter().map(String::as_str)));
        let near = near.map(|near| format!("; there is `{}`", ndjson::shown(near))).unwrap_or_default();
        Err(Refusal::new(
            Code::BadMap,
            format!("the header has no column {} for `{}`{near}", listed(&field.from), field.name),
        ))
    }
}

fn listed(paths: &[Path]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}

/// The column names of a header line.
fn header(text: &str, csv: &Csv) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = cells(text, csv)?.iter().map(|name| name.trim().to_string()).collect();
    let doubled = names.iter().enumerate().find(|(place, name)| name.is_empty() || names[..*place].contains(name));
    match doubled {
        Some((place, name)) if name.is_empty() => {
            Err(Refusal::new(Code::BadMap, format!("column {} of the header has no name", place + 1)))
        }
        Some((_, name)) => {
            Err(Refusal::new(Code::BadMap, format!("the header names column `{}` twice", ndjson::shown(name))))
        }
        None => Ok(names),
    }
}

fn csv_record<'a>(text: &'a str, csv: &Csv, columns: &'a [String]) -> Result<Record<'a>, Refusal> {
    let cells = cells(text, csv)?;
    if cells.len() != columns.len() {
        return Err(Refusal::new(
            Code::BadMap,
            format!("{} cells where there are {} columns", cells.len(), columns.len()),
        ));
    }
    Ok(Record::Csv { columns, cells })
}

/// One line on its way to being an event.
struct Making<'a> {
    map: &'a Map,
    record: Record<'a>,
    /// The top-level fields that the map has taken.
    used: Vec<bool>,
    line: &'a [u8],
    line_no: u64,
    source: &'a str,
}

impl Making<'_> {
    /// Appends the event; `false` when the map drops the line.
    fn push(&mut self, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        self.used = vec![false; self.record.len()];
        if !self.passes()? {
            return Ok(false);
        }
        out.push(b'{');
        for field in &self.map.fields {
            if !self.push_field(field, out)? {
                return Ok(false);
            }
        }
        if self.map.rest {
            self.push_rest(out);
        }
        out.push(b'}');
        Ok(true)
    }

    fn passes(&self) -> Result<bool, Refusal> {
        let matches = |filter: &Filter| -> Result<Option<bool>, Refusal> {
            let value = self.lookup(&filter.path)?.1;
            Ok(value.map(|cell| filter.values.iter().any(|value| cell.text() == Some(value))))
        };
        for filter in &self.map.drop {
            if matches(filter)? == Some(true) {
                return Ok(false);
            }
        }
        for filter in &self.map.keep {
            if matches(filter)? == Some(false) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends one field when it has a value; `false` when its value drops the line.
    fn push_field(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        let Some((place, cell)) = self.source_of(field)? else {
            return if field.required { Err(absent(field)) } else { Ok(true) };
        };
        let cell = match cell.text().and_then(|text| field.values.get(text)) {
            Some(mapped) => Cell::Text(Cow::Borrowed(mapped.as_str())),
            None if field.values.is_empty() || field.other == Other::Keep => cell,
            None if field.other == Other::Drop => return Ok(false),
            None => {
                let value = quoted(cell.text().unwrap_or("an object or a list"));
                return Err(bad(field, &place, &format!("not one of the values of the map: {value}")));
            }
        };
        push_name(&field.name, out);
        field.kind.push(&cell, out).map_err(|why| bad(field, &place, &why))?;
        let place = place.and_then(|(index, path)| path.steps.is_empty().then_some(index));
        if let Some(index) = place {
            self.used[index] = true;
        }
        Ok(true)
    }

    /// The value of a field before conversion, and where it was found.
    fn source_of<'f>(&self, field: &'f Field) -> Result<Option<Found<'f, '_>>, Refusal> {
        for path in &field.from {
            if let (Some(place), Some(cell)) = self.lookup(path)? {
                return Ok(Some((Some((place, path)), cell)));
            }
        }
        let made = field.template.as_ref().map(|template| self.filled(template)).transpose()?.flatten();
        let made = made.map(|text| match field.name.as_str() {
            // An id is only compared: what is too long to be one may as well be its hash.
            "eventId" if text.len() > EVENT_ID_MAX => hex_hash(text.as_bytes()),
            _ => text,
        });
        Ok(made.map(|text| Cell::Text(Cow::Owned(text))).or_else(|| field.default.clone()).map(|cell| (None, cell)))
    }

    /// Where `path` begins, and the value there unless it means that there is none.
    fn lookup(&self, path: &Path) -> Result<(Option<usize>, Option<Cell<'_>>), Refusal> {
        let Some(place) = self.record.place(path)? else { return Ok((None, None)) };
        let value = self.record.value(place, path)?.filter(|cell| !self.is_missing(cell));
        Ok((Some(place), value))
    }

    fn is_missing(&self, cell: &Cell<'_>) -> bool {
        let Cell::Text(text) = cell else { return false };
        text.is_empty() || self.map.missing.iter().any(|missing| *missing == **text)
    }

    /// The template with its values filled in; `None` when one is missing.
    fn filled(&self, template: &Template) -> Result<Option<String>, Refusal> {
        let mut text = String::new();
        for part in &template.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Line => text.push_str(&self.line_no.to_string()),
                Part::Hash => text.push_str(&hex_hash(self.line)),
                Part::File => text.push_str(self.source),
                Part::Value(path) => match self.lookup(path)?.1 {
                    Some(cell) => text.push_str(cell.text().unwrap_or_default()),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(text))
    }

    /// Appends what the map did not take: under its own name, or where that name is taken, inside `original`.
    fn push_rest(&self, out: &mut Vec<u8>) {
        let mut colliding = Vec::new();
        for place in (0..self.record.len()).filter(|place| !self.used[*place] && !self.is_nothing(*place)) {
            let name = self.record.name(place);
            let taken = name == ORIGINAL || name == "receivedAt" || self.map.fields.iter().any(|f| f.name == name);
            let into = if taken { &mut colliding } else { &mut *out };
            push_name(name, into);
            self.record.push(place, into);
        }
        if !colliding.is_empty() {
            push_name(ORIGINAL, out);
            out.push(b'{');
            out.extend_from_slice(&colliding);
            out.push(b'}');
        }
    }

    /// Whether the field at `place` is an empty cell, or one that the map reads and that says there is no value.
    fn is_nothing(&self, place: usize) -> bool {
        let name = self.record.name(place);
        let mut read = self.map.fields.iter().flat_map(|field| &field.from).filter(|p| p.steps.is_empty());
        self.record.is_empty_cell(place)
            || read.any(|path| path.first == name && matches!(self.lookup(path), Ok((_, None))))
    }
}

/// Where a value was found, when it was found in the line, and the value.
type Found<'f, 'r> = (Option<(usize, &'f Path)>, Cell<'r>);

/// Appends `,"name":`, without the comma at the beginning of an object.
fn push_name(name: &str, out: &mut Vec<u8>) {
    if !matches!(out.last(), None | Some(b'{')) {
        out.push(b',');
    }
    ndjson::push_str(out, name);
    out.push(b':');
}

/// 128 bits as hex: the same bytes are the same id on every machine and for ever.
fn hex_hash(bytes: &[u8]) -> String {
    format!("{:032x}", SipHasher24::new().hash(bytes).as_u128())
}

fn bad(field: &Field, place: &Option<(usize, &Path)>, why: &str) -> Refusal {
    let reason = match place {
        Some((_, path)) if path.text != field.name => format!("`{}` from `{path}`: {why}", field.name),
        _ => format!("`{}`: {why}", field.name),
    };
    Refusal::new(Code::BadMap, reason)
}

fn absent(field: &Field) -> Refusal {
    let from: Vec<String> = field.from.iter().map(|path| format!("`{path}`")).collect();
    let template = field.template.iter().flat_map(|template| &template.0).filter_map(|part| match part {
        Part::Value(path) => Some(format!("`{path}`")),
        _ => None,
    });
    let all: Vec<String> = from.into_iter().chain(template).collect();
    Refusal::new(Code::BadMap, format!("`{}` is missing: no value in {}", field.name, all.join(", ")))
}
