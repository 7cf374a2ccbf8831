//! Records: one foreign line taken apart into its top-level fields.
//!
//! A line is a record: a quoted cell that goes on in the next line is refused, because
//! a stray quote would otherwise swallow its neighbours.

use super::Csv;
use super::cell::Cell;
use super::path::{Path, Step, walk};
use crate::event::{Code, Refusal};
use crate::ndjson;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::io::Read;

/// The fields of a line in their order.
pub enum Record<'a> {
    Csv {
        columns: &'a [String],
        cells: Vec<Cow<'a, str>>,
    },
    Json {
        object: Object<'a>,
        /// The objects inside it, taken apart once for all the paths that lead there.
        inner: Vec<OnceCell<Option<Object<'a>>>>,
    },
}

impl<'a> Record<'a> {
    pub fn json(object: Object<'a>) -> Record<'a> {
        let inner = object.0.iter().map(|_| OnceCell::new()).collect();
        Record::Json { object, inner }
    }

    pub fn len(&self) -> usize {
        match self {
            Record::Csv { cells, .. } => cells.len(),
            Record::Json { object, .. } => object.0.len(),
        }
    }

    pub fn name(&self, place: usize) -> &str {
        match self {
            Record::Csv { columns, .. } => &columns[place],
            Record::Json { object, .. } => &object.0[place].0,
        }
    }

    /// Appends the field at `place` as JSON.
    pub fn push(&self, place: usize, out: &mut Vec<u8>) {
        match self {
            Record::Csv { cells, .. } => ndjson::push_str(out, &cells[place]),
            Record::Json { object, .. } => out.extend_from_slice(object.0[place].1.get().as_bytes()),
        }
    }

    /// Whether the field at `place` is an empty cell of CSV: no value, as against an empty text.
    pub fn is_empty_cell(&self, place: usize) -> bool {
        matches!(self, Record::Csv { cells, .. } if cells[place].is_empty())
    }

    /// The place of the top-level field that `path` begins with.
    pub fn place(&self, path: &Path) -> Result<Option<usize>, Refusal> {
        match self {
            Record::Csv { columns, .. } => Ok(columns.iter().position(|name| *name == path.first)),
            Record::Json { object, .. } => object.place(&path.first),
        }
    }

    /// The value under `path`, whose first name stands at `place`; `None` for null and where the path leads nowhere.
    pub fn value(&self, place: usize, path: &Path) -> Result<Option<Cell<'_>>, Refusal> {
        match self {
            Record::Csv { cells, .. } => Ok(Some(Cell::Text(Cow::Borrowed(&cells[place])))),
            Record::Json { object, inner } => {
                let raw = object.0[place].1;
                let found = match path.steps.split_first() {
                    Some((Step::Name(name), rest)) => {
                        match inner[place].get_or_init(|| Object::of(raw)).as_ref().map(|inner| inner.member(name)) {
                            Some(member) => member?.map_or(Ok(None), |raw| walk(raw, rest))?,
                            None => None,
                        }
                    }
                    _ => walk(raw, &path.steps)?,
                };
                Ok(found.and_then(Cell::of))
            }
        }
    }
}

/// A JSON object: its names and raw values in their order, duplicates included.
pub struct Object<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads one line.
    pub fn read(text: &'a str) -> Result<Object<'a>, Refusal> {
        let begins = text.as_bytes().first();
        if text.starts_with('\u{feff}') {
            return Err(Refusal::new(Code::BadBom, "a byte order mark stands inside the input"));
        }
        serde_json::from_str(text).map_err(|e| {
            if begins != Some(&b'{') && serde_json::from_str::<&RawValue>(text).is_ok() {
                return Refusal::new(Code::NotObject, "a record is a JSON object");
            }
            let message = e.to_string();
            let what = message.rsplit_once(" at line").map_or(message.as_str(), |(what, _)| what);
            Refusal::new(Code::NotJson, format!("{what} at column {}", e.column()))
        })
    }

    /// The object that `raw` is, if it is one.
    pub fn of(raw: &'a RawValue) -> Option<Object<'a>> {
        if raw.get().starts_with('{') { serde_json::from_str(raw.get()).ok() } else { None }
    }

    /// The value of the field of this name.
    pub fn member(&self, name: &str) -> Result<Option<&'a RawValue>, Refusal> {
        Ok(self.place(name)?.map(|place| self.0[place].1))
    }

    fn place(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let mut found = self.0.iter().enumerate().filter(|(_, (key, _))| key == name).map(|(place, _)| place);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(twice(name)),
            (first, _) => Ok(first),
        }
    }
}

/// The refusal of a name that the map reads and that stands twice: which one is meant cannot be known.
fn twice(name: &str) -> Refusal {
    Refusal::new(Code::DupKey, format!("`{}` is there twice", ndjson::shown(name)))
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some((Name(name), raw)) = map.next_entry()? {
                    fields.push((name, raw));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// The cells of a line of CSV.
pub fn cells<'a>(line: &'a str, csv: &Csv) -> Result<Vec<Cow<'a, str>>, Refusal> {
    match csv.quote {
        Some(quote) if line.as_bytes().contains(&quote) => quoted_cells(line, csv.delimiter, quote),
        // Without a quote in it a line is its cells with delimiters between: nothing to unescape.
        _ => Ok(line.split(char::from(csv.delimiter)).map(Cow::Borrowed).collect()),
    }
}

fn quoted_cells<'a>(line: &str, delimiter: u8, quote: u8) -> Result<Vec<Cow<'a, str>>, Refusal> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .quote(quote)
        .buffer_capacity(line.len() + 1)
        .from_reader(line.as_bytes().chain(&b"\n"[..]));
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|e| Refusal::new(Code::BadMap, format!("not a line of CSV: {e}")))?;
    // The line itself holds no newline: only an open quote can have taken in the one at its end.
    if record.iter().any(|cell| cell.contains('\n')) {
        return Err(Refusal::new(
            Code::BadMap,
            format!("the quote of column {} is not closed: a cell cannot go on in the next line", record.len()),
        ));
    }
    Ok(record.iter().map(|cell| Cow::Owned(cell.to_string())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CSV: Csv = Csv { delimiter: b',', quote: Some(b'"'), columns: None };

    #[test]
    fn quotes_hide_delimiters_and_an_open_one_is_refused() {
        for (line, want) in [
            ("a,b,c", vec!["a", "b", "c"]),
            (",,", vec!["", "", ""]),
            (r#""a,b","say ""hi""",c"#, vec!["a,b", "say \"hi\"", "c"]),
            (r#"6" nail,"""""#, vec!["6\" nail", "\""]),
            ("\"\u{4e2d},\u{6587}\",x", vec!["\u{4e2d},\u{6587}", "x"]),
        ] {
            assert_eq!(cells(line, &CSV).expect(line), want);
        }
        let refusal = cells("a,\"b", &CSV).expect_err("an open quote");
        assert_eq!(refusal.reason, "the quote of column 2 is not closed: a cell cannot go on in the next line");
    }

    proptest! {
        #[test]
        fn what_the_csv_writer_writes_reads_back(cells_in in prop::collection::vec("[a-z,\" é]{0,6}", 1..6)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&cells_in).expect("in memory");
            let line = String::from_utf8(writer.into_inner().expect("in memory")).expect("UTF-8");
            prop_assert_eq!(cells(line.trim_end_matches('\n'), &CSV).expect("closed quotes"), cells_in);
        }

        #[test]
        fn the_short_way_and_the_csv_reader_agree(line in "[a-z, é]{1,20}") {
            prop_assert_eq!(cells(&line, &CSV), quoted_cells(&line, b',', b'"'));
        }
    }
}
