//! Maps: small data files that say how foreign lines (CSV, other JSON) become events.
//!
//! A map renames and converts; it never judges. What a converter writes is one line
//! of JSON that goes through `Event::parse` like any line that needed no map.

mod cell;
mod convert;
mod number;
mod path;
mod read;
mod record;
#[cfg(test)]
mod tests;

pub use convert::Converter;

use cell::{Cell, Kind};
use path::Path;
use std::collections::BTreeMap;
use std::fmt;

/// The maps that come with adprof: their names and their files.
const BUILTIN: [(&str, &str); 5] = [
    ("taobao", include_str!("builtin/taobao.toml")),
    ("segment-track", include_str!("builtin/segment-track.toml")),
    ("snowplow", include_str!("builtin/snowplow.toml")),
    ("ga4", include_str!("builtin/ga4.toml")),
    ("cloudevents", include_str!("builtin/cloudevents.toml")),
];

/// The field that takes what would collide: a foreign field whose name the map gives to something else.
const ORIGINAL: &str = "original";

/// How foreign lines become events: a map file that was read and checked.
#[derive(Clone, Debug)]
pub struct Map {
    /// One sentence about what the map reads.
    pub description: String,
    format: Format,
    fields: Vec<Field>,
    keep: Vec<Filter>,
    drop: Vec<Filter>,
    /// Whether fields that the map does not name stay in the event.
    rest: bool,
    /// Texts that mean that there is no value; the empty text always does.
    missing: Vec<String>,
}

#[derive(Clone, Debug)]
enum Format {
    Csv(Csv),
    Json,
}

#[derive(Clone, Debug)]
struct Csv {
    delimiter: u8,
    quote: Option<u8>,
    /// `None`: the first line names the columns.
    columns: Option<Vec<String>>,
}

/// One field of the event: where its value comes from and what is done to it.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    required: bool,
    from: Vec<Path>,
    template: Option<Template>,
    default: Option<Cell<'static>>,
    values: BTreeMap<String, String>,
    other: Other,
    kind: Kind,
}

/// What becomes of a value that a value map does not list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Other {
    Keep,
    Refuse,
    Drop,
}

#[derive(Clone, Debug)]
struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Debug)]
enum Part {
    Text(String),
    Value(Path),
    /// The number of the line in its source.
    Line,
    /// The hash of the line's bytes, 32 hex digits.
    Hash,
    /// The name of the source.
    File,
}

/// A condition on a line: the value under `path` is one of `values`.
#[derive(Clone, Debug)]
struct Filter {
    path: Path,
    values: Vec<String>,
}

impl Map {
    /// The map of that name, or the one in that file; a name wins (`./taobao` is always a file).
    pub fn named_or_file(name: &str) -> Result<Map, MapError> {
        if let Some((_, text)) = BUILTIN.iter().find(|(known, _)| *known == name) {
            return Map::parse(text, name);
        }
        match std::fs::read_to_string(name) {
            Ok(text) => Map::parse(&text, name),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(unknown(name)),
            Err(e) => Err(MapError {
                kind: MapErrorKind::Unreadable,
                place: name.to_string(),
                position: None,
                message: format!("cannot read the map: {e}"),
                hint: None,
            }),
        }
    }

    /// Reads the text of a map file; `place` names it in errors.
    pub fn parse(text: &str, place: &str) -> Result<Map, MapError> {
        read::map(text, place)
    }

    /// The names of the maps that come with adprof.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Whether the map reads CSV; otherwise it reads one JSON object a line.
    pub fn is_csv(&self) -> bool {
        matches!(self.format, Format::Csv(_))
    }

    /// Whether the first line of a source names its columns: without it no other line can be read.
    pub fn has_header(&self) -> bool {
        matches!(&self.format, Format::Csv(csv) if csv.columns.is_none())
    }
}

fn unknown(name: &str) -> MapError {
    let all = Map::names().collect::<Vec<_>>().join(", ");
    let hint = match nearest(name, Map::names()) {
        Some(near) => format!("did you mean {near}? maps: {all}; or the path of a map file"),
        None => format!("maps: {all}; or the path of a map file"),
    };
    MapError {
        kind: MapErrorKind::Unknown,
        place: name.to_string(),
        position: None,
        message: "no map of this name and no such file".into(),
        hint: Some(hint),
    }
}

/// The candidate that `name` is most likely a slip of.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What kind of fault a map error is; each has its own exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapErrorKind {
    /// Neither a shipped map nor a file.
    Unknown,
    /// The file is there and cannot be read.
    Unreadable,
    /// The file is not a map.
    Wrong,
}

/// Why a map cannot be used: where, what, and in `hint` what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapError {
    pub kind: MapErrorKind,
    /// The name or the path that was asked for.
    pub place: String,
    /// Line and column, both from 1; the column counts characters.
    pub position: Option<(usize, usize)>,
    pub message: String,
    pub hint: Option<String>,
}

/// `shop.toml:12:9: unknown key: form`, without the hint.
impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for MapError {}
