//! Reading a map file: TOML in, a checked map out, every error with its place in the file.
//!
//! A map that was read can fail on a line but not on itself: names, paths and options are all known here.

use super::cell::{Cell, Kind};
use super::path::Path;
use super::{Csv, Field, Filter, Format, Map, MapError, MapErrorKind, ORIGINAL, Other, Part, Template, nearest};
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

type Value<'t> = Spanned<DeValue<'t>>;
type Entry<'a, 't> = (&'a Spanned<DeString<'t>>, &'a Value<'t>);

const TOP: [&str; 8] = ["description", "format", "csv", "missing", "rest", "fields", "keep", "drop"];
const CSV: [&str; 4] = ["header", "columns", "delimiter", "quote"];
const FIELD: [&str; 11] =
    ["from", "template", "const", "default", "map", "other", "as", "places", "shift", "format", "tz"];
const REQUIRED: [&str; 4] = ["eventId", "userId", "eventType", "timestamp"];

/// Reads the text of a map file; `place` names it in errors.
pub fn map(text: &str, place: &str) -> Result<Map, MapError> {
    let reader = Reader { text, place };
    let root = DeTable::parse(text).map_err(|e| reader.wrong(e.span().unwrap_or(0..0), one_line(e.message())))?;
    reader.map(root.get_ref())
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

/// The entries of a table in the order of the file.
fn entries<'a, 't>(table: &'a DeTable<'t>) -> Vec<Entry<'a, 't>> {
    let mut all: Vec<_> = table.iter().collect();
    all.sort_by_key(|(key, _)| key.span().start);
    all
}

fn get<'a, 't>(table: &'a DeTable<'t>, name: &str) -> Option<&'a Value<'t>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

struct Reader<'a> {
    text: &'a str,
    place: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, at: Range<usize>, message: impl Into<String>) -> MapError {
        let before = &self.text[..at.start.min(self.text.len())];
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        MapError {
            kind: MapErrorKind::Wrong,
            place: self.place.to_string(),
            position: Some((line, column)),
            message: message.into(),
            hint: None,
        }
    }

    /// An error about a name that is none of `known`.
    fn unknown(&self, at: Range<usize>, what: &str, name: &str, known: &[&str]) -> MapError {
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("one of {}", known.join(", ")),
        };
        MapError { hint: Some(hint), ..self.wrong(at, format!("unknown {what}: {name}")) }
    }

    fn only(&self, table: &DeTable<'_>, known: &[&str]) -> Result<(), MapError> {
        match entries(table).iter().find(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            Some((key, _)) => Err(self.unknown(key.span(), "key", key.get_ref(), known)),
            None => Ok(()),
        }
    }

    fn str<'v>(&self, value: &'v Value<'_>) -> Result<&'v str, MapError> {
        value.get_ref().as_str().ok_or_else(|| self.needs(value, "a string"))
    }

    fn needs(&self, value: &Value<'_>, what: &str) -> MapError {
        self.wrong(value.span(), format!("{what} is needed here, this is a {}", value.get_ref().type_str()))
    }

    fn table<'v, 't>(&self, value: &'v Value<'t>) -> Result<&'v DeTable<'t>, MapError> {
        value.get_ref().as_table().ok_or_else(|| self.needs(value, "a table"))
    }

    fn strings(&self, value: &Value<'_>) -> Result<Vec<String>, MapError> {
        let array = value.get_ref().as_array().ok_or_else(|| self.needs(value, "a list of strings"))?;
        array.iter().map(|element| self.str(element).map(str::to_string)).collect()
    }

    /// The one of `choices` that the value names; the first where it is not given.
    fn choice<T: Copy>(&self, value: Option<&Value<'_>>, choices: &[(&str, T)]) -> Result<T, MapError> {
        let Some(value) = value else { return Ok(choices[0].1) };
        let name = self.str(value)?;
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        let found = choices.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice);
        found.ok_or_else(|| self.unknown(value.span(), "value", name, &known))
    }

    fn map(&self, root: &DeTable<'_>) -> Result<Map, MapError> {
        self.only(root, &TOP)?;
        let end = self.text.len()..self.text.len();
        let fields = get(root, "fields").ok_or_else(|| self.wrong(end, "the map has no table `[fields]`"))?;
        let format = self.format(root)?;
        let mut map = Map {
            description: get(root, "description").map(|v| self.str(v)).transpose()?.unwrap_or_default().to_string(),
            format,
            fields: Vec::new(),
            keep: Vec::new(),
            drop: Vec::new(),
            rest: self.choice(get(root, "rest"), &[("keep", true), ("drop", false)])?,
            missing: get(root, "missing").map(|v| self.strings(v)).transpose()?.unwrap_or_default(),
        };
        map.keep = self.filters(get(root, "keep"), &map.format)?;
        map.drop = self.filters(get(root, "drop"), &map.format)?;
        for (key, value) in entries(self.table(fields)?) {
            map.fields.push(self.field(key, value, &map.format)?);
        }
        if !map.fields.iter().any(|field| field.name == "eventId") {
            map.fields.insert(0, made_id());
        }
        match REQUIRED.iter().find(|name| !map.fields.iter().any(|field| field.name == **name)) {
            Some(name) => Err(self.wrong(fields.span(), format!("the map gives no `{name}`"))),
            None => Ok(map),
        }
    }

    fn format(&self, root: &DeTable<'_>) -> Result<Format, MapError> {
        let Some(named) = get(root, "format") else {
            let message = "the map has no `format`: \"csv\" or \"json\"";
            return Err(self.wrong(0..0, message));
        };
        let csv = get(root, "csv");
        if !self.choice(Some(named), &[("csv", true), ("json", false)])? {
            return match csv {
                Some(csv) => Err(self.wrong(csv.span(), "`[csv]` belongs to `format = \"csv\"`")),
                None => Ok(Format::Json),
            };
        }
        let empty = DeTable::new();
        let table = csv.map(|v| self.table(v)).transpose()?.unwrap_or(&empty);
        self.only(table, &CSV)?;
        let header = match get(table, "header") {
            Some(value) => value.get_ref().as_bool().ok_or_else(|| self.needs(value, "true or false"))?,
            None => get(table, "columns").is_none(),
        };
        let columns = match (header, get(table, "columns")) {
            (true, None) => None,
            (false, Some(columns)) => Some(self.columns(columns)?),
            (true, Some(columns)) => {
                return Err(
                    self.wrong(columns.span(), "`columns` are for a file without a header: the header names them")
                );
            }
            (false, None) => {
                let at = csv.map_or(named.span(), |csv| csv.span());
                return Err(self.wrong(at, "a file without a header needs its `columns`"));
            }
        };
        let delimiter = get(table, "delimiter").map(|v| self.byte(v)).transpose()?.flatten().unwrap_or(b',');
        let quote = get(table, "quote").map_or(Ok(Some(b'"')), |v| self.byte(v))?;
        Ok(Format::Csv(Csv { delimiter, quote, columns }))
    }

    fn columns(&self, value: &Value<'_>) -> Result<Vec<String>, MapError> {
        let columns = self.strings(value)?;
        let doubled = columns.iter().enumerate().find(|(place, name)| columns[..*place].contains(name));
        match doubled {
            Some((_, name)) => Err(self.wrong(value.span(), format!("column `{name}` is there twice"))),
            None => Ok(columns),
        }
    }

    /// One ASCII character, or `None` for the empty text.
    fn byte(&self, value: &Value<'_>) -> Result<Option<u8>, MapError> {
        match self.str(value)?.as_bytes() {
            [] => Ok(None),
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(*byte)),
            _ => Err(self.wrong(value.span(), "one ASCII character is needed here")),
        }
    }

    fn filters(&self, value: Option<&Value<'_>>, format: &Format) -> Result<Vec<Filter>, MapError> {
        let Some(value) = value else { return Ok(Vec::new()) };
        let each = |(key, values): Entry<'_, '_>| {
            Ok(Filter { path: self.path(key.get_ref(), key.span(), format)?, values: self.strings(values)? })
        };
        entries(self.table(value)?).into_iter().map(each).collect()
    }

    fn path(&self, text: &str, at: Range<usize>, format: &Format) -> Result<Path, MapError> {
        match format {
            Format::Json => Path::parse(text).map_err(|why| self.wrong(at, why)),
            Format::Csv(Csv { columns: Some(columns), .. }) if !columns.iter().any(|name| name == text) => {
                let known: Vec<&str> = columns.iter().map(String::as_str).collect();
                Err(self.unknown(at, "column", text, &known))
            }
            Format::Csv(_) => Ok(Path::column(text)),
        }
    }

    fn field(&self, key: &Spanned<DeString<'_>>, value: &Value<'_>, format: &Format) -> Result<Field, MapError> {
        let name = key.get_ref().to_string();
        if name == ORIGINAL || name.is_empty() {
            return Err(self.wrong(key.span(), format!("`{ORIGINAL}` is kept for foreign fields that would collide")));
        }
        let mut field = Field {
            required: REQUIRED.contains(&name.as_str()),
            kind: Kind::of_field(&name),
            name,
            from: Vec::new(),
            template: None,
            default: None,
            values: BTreeMap::new(),
            other: Other::Keep,
        };
        // The short form: a path, or paths of which the first with a value counts.
        let Some(table) = value.get_ref().as_table() else {
            field.from = self.paths(value, format)?;
            return Ok(field);
        };
        self.only(table, &FIELD)?;
        field.from = get(table, "from").map(|v| self.paths(v, format)).transpose()?.unwrap_or_default();
        field.template = get(table, "template").map(|v| self.template(v, format)).transpose()?;
        field.default = get(table, "const").or(get(table, "default")).map(|v| self.constant(v)).transpose()?;
        self.sources(table, value, &field)?;
        let others = [("keep", Other::Keep), ("refuse", Other::Refuse), ("drop", Other::Drop)];
        field.other = self.choice(get(table, "other"), &others)?;
        if let Some(values) = get(table, "map") {
            for (from, to) in entries(self.table(values)?) {
                field.values.insert(from.get_ref().to_string(), self.str(to)?.to_string());
            }
        } else if let Some(other) = get(table, "other") {
            return Err(
                self.wrong(other.span(), "`other` is about a value that `map` does not list: there is no `map`")
            );
        }
        self.kind(table, &mut field.kind)?;
        Ok(field)
    }

    /// A field has one beginning: `const` alone, or `from`, `template` and `default` in that order.
    fn sources(&self, table: &DeTable<'_>, value: &Value<'_>, field: &Field) -> Result<(), MapError> {
        if field.from.is_empty() && field.template.is_none() && field.default.is_none() {
            return Err(self.wrong(value.span(), "a field needs `from`, `template` or `const`"));
        }
        match get(table, "const") {
            Some(constant) if table.len() > 1 + usize::from(get(table, "as").is_some()) => Err(self
                .wrong(constant.span(), "`const` stands alone: `default` is what counts where `from` finds nothing")),
            _ => Ok(()),
        }
    }

    fn paths(&self, value: &Value<'_>, format: &Format) -> Result<Vec<Path>, MapError> {
        let one = |value: &Value<'_>| self.path(self.str(value)?, value.span(), format);
        match value.get_ref() {
            DeValue::String(_) => Ok(vec![one(value)?]),
            DeValue::Array(all) if !all.is_empty() => all.iter().map(one).collect(),
            _ => Err(self.needs(value, "a path, a list of paths or a table")),
        }
    }

    fn constant(&self, value: &Value<'_>) -> Result<Cell<'static>, MapError> {
        Ok(match value.get_ref() {
            DeValue::String(text) => Cell::Text(Cow::Owned(text.to_string())),
            DeValue::Integer(n) if n.radix() == 10 => Cell::Number(Cow::Owned(plain(n.as_str()))),
            DeValue::Float(x) if !x.as_str().ends_with(['n', 'f']) => Cell::Number(Cow::Owned(plain(x.as_str()))),
            DeValue::Boolean(b) => Cell::Bool(*b),
            _ => return Err(self.needs(value, "a string, a decimal number or a boolean")),
        })
    }

    fn template(&self, value: &Value<'_>, format: &Format) -> Result<Template, MapError> {
        let text = self.str(value)?;
        let broken = || self.wrong(value.span(), "a `{` or `}` of the template has no partner");
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_string()));
            }
            let inside = rest[at..].strip_prefix('{').ok_or_else(broken)?;
            let (name, after) = inside.split_once('}').ok_or_else(broken)?;
            parts.push(match name {
                "line" => Part::Line,
                "hash" => Part::Hash,
                "file" => Part::File,
                path => Part::Value(self.path(path, value.span(), format)?),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_string()));
        }
        Ok(Template(parts))
    }

    /// Reads `as` and the options that belong to it.
    fn kind(&self, table: &DeTable<'_>, kind: &mut Kind) -> Result<(), MapError> {
        if let Some(value) = get(table, "as") {
            let name = self.str(value)?;
            *kind =
                Kind::from_name(name).ok_or_else(|| self.unknown(value.span(), "conversion", name, &Kind::NAMES))?;
        }
        for (name, of) in [("places", "decimal"), ("shift", "decimal"), ("format", "datetime"), ("tz", "datetime")] {
            let Some(value) = get(table, name) else { continue };
            match (&mut *kind, name) {
                (Kind::Decimal { places, .. }, "places") => *places = Some(self.int(value, 0..=6)? as u32),
                (Kind::Decimal { shift, .. }, "shift") => *shift = self.int(value, -12..=12)? as i32,
                (Kind::Datetime { format, .. }, "format") => *format = Some(self.str(value)?.to_string()),
                (Kind::Datetime { zone, .. }, "tz") => *zone = self.zone(value)?,
                _ => return Err(self.wrong(value.span(), format!("`{name}` belongs to `as = \"{of}\"`"))),
            }
        }
        Ok(())
    }

    fn int(&self, value: &Value<'_>, range: std::ops::RangeInclusive<i64>) -> Result<i64, MapError> {
        let text = value.get_ref().as_integer().map(|n| plain(n.as_str()));
        text.and_then(|text| text.parse().ok()).filter(|n| range.contains(n)).ok_or_else(|| {
            self.wrong(value.span(), format!("a number from {} to {} is needed here", range.start(), range.end()))
        })
    }

    fn zone(&self, value: &Value<'_>) -> Result<TimeZone, MapError> {
        let name = self.str(value)?;
        TimeZone::get(name).map_err(|_| self.wrong(value.span(), format!("unknown time zone: {name}")))
    }
}

/// A TOML number in JSON's grammar.
fn plain(number: &str) -> String {
    number.replace('_', "").trim_start_matches('+').to_string()
}

/// The id of a map that names none: the line itself, and its number so that equal lines stay two events.
fn made_id() -> Field {
    Field {
        name: "eventId".into(),
        required: true,
        from: Vec::new(),
        template: Some(Template(vec![Part::Hash, Part::Text("-".into()), Part::Line])),
        default: None,
        values: BTreeMap::new(),
        other: Other::Keep,
        kind: Kind::String,
    }
}
