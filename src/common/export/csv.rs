//! CSV: a header of `userId`, or the name of another entity, and the tags' codes, then a row for each profile; quoted as RFC 4180 has it, lines end in LF.
//!
//! A missing value is an empty cell, and so is an empty string: NDJSON tells them apart. A datetime is in milliseconds.
//! A cell that a spreadsheet would run as a formula gets a `'` in front, unless it is a plain number.

use super::form::{Form, Row, SEGMENTS};
use crate::ndjson::shown;
use crate::value::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

/// How cells are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cells {
    /// Formulas neutralised: what opens the file runs nothing of it. Such a cell differs from its value by the `'`.
    Safe,
    /// Like `Safe`, and what would act on a terminal is escaped: for people to look at.
    Shown,
    /// Byte for byte.
    Raw,
}

/// Writes profiles as rows.
pub struct Csv<W: Write> {
    out: ::csv::Writer<W>,
    form: Arc<Form>,
    cell: String,
}

impl<W: Write> Csv<W> {
    /// Writes the header.
    pub fn begin(out: W, form: &Arc<Form>) -> io::Result<Csv<W>> {
        let out = ::csv::WriterBuilder::new().terminator(::csv::Terminator::Any(b'\n')).from_writer(out);
        let mut csv = Csv { out, form: form.clone(), cell: String::new() };
        csv.put(&form.key, false)?;
        for tag in form.tags.places() {
            csv.put(&form.definitions.tags[*tag].code, false)?;
        }
        if form.segments {
            csv.put(SEGMENTS, false)?;
        }
        csv.end()?;
        Ok(csv)
    }

    pub fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.put(&row.profile.key.text(), false)?;
        let form = self.form.clone();
        for tag in form.tags.places() {
            match &row.profile.values[*tag] {
                None => self.put("", false)?,
                Some(Value::Str(text) | Value::Json(text)) => self.put(text, false)?,
                Some(value) => {
                    let mut cell = std::mem::take(&mut self.cell);
                    cell.clear();
                    // A String takes whatever is written.
                    let _ = write!(cell, "{value}");
                    self.put(&cell, true)?;
                    self.cell = cell;
                }
            }
        }
        if form.segments {
            let mut list = Vec::new();
            form.push_segments(row, &mut list);
            self.put(&String::from_utf8_lossy(&list), false)?;
        }
        self.end()
    }

    /// Writes what is left and gives back where it went.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        self.out.into_inner().map_err(::csv::IntoInnerError::into_error)
    }

    fn put(&mut self, text: &str, number: bool) -> io::Result<()> {
        let text = match self.form.cells {
            Cells::Raw => text.into(),
            _ if number => text.into(),
            Cells::Safe => neutral(text),
            Cells::Shown => neutral(&shown(text)).into_owned().into(),
        };
        self.out.write_field(&*text).map_err(io::Error::from)
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.write_record(None::<&[u8]>).map_err(io::Error::from)
    }
}

/// `text` with a `'` in front where a spreadsheet would take it for a formula or a command.
fn neutral(text: &str) -> Cow<'_, str> {
    // Some spreadsheets take the full-width forms of the four signs for the signs.
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if formula && !is_plain_number(text) { format!("'{text}").into() } else { text.into() }
}

/// `-5`, `-0.25`, `-1e-7`: what a spreadsheet takes for a number and for nothing else.
fn is_plain_number(text: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(whole) && digits(fraction) && digits(exponent.strip_prefix('-').unwrap_or(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{Columns, Format, Packing};
    use crate::key::Key;
    use crate::profiles::Profile;
    use crate::tag::Definitions;

    const TAGS: &str = "[[tag]]\ncode = \"text\"\ntype = \"string\"\nupdate = \"import\"\n\
                        [[tag]]\ncode = \"n\"\ntype = \"int\"\nupdate = \"import\"\n";

    fn form(tags: Vec<usize>, cells: Cells) -> Arc<Form> {
        let definitions = Arc::new(Definitions::parse(TAGS, "test").expect("well formed"));
        let (format, packing) = (Format::Csv, Packing::None);
        let tags = Columns::new(&definitions, tags);
        Arc::new(Form {
            format,
            packing,
            definitions,
            key: "userId".into(),
            tags,
            others: false,
            hidden: false,
            cells,
            segments: false,
            provider: String::new(),
            provenance: Vec::new(),
        })
    }

    fn written(form: &Arc<Form>, user: &str, values: Vec<Option<Value>>) -> String {
        let mut csv = Csv::begin(Vec::new(), form).expect("written");
        let profile = Profile { key: Key::user("", user), as_of: 0, values, others: Vec::new() };
        csv.row(&Row { profile: &profile, segments: &[] }).expect("written");
        String::from_utf8(csv.finish().expect("written")).expect("UTF-8")
    }

    fn cell(text: &str, cells: Cells) -> String {
        let out = written(&form(vec![0], cells), "u", vec![Some(Value::Str(text.into())), None]);
        out.strip_prefix("userId,text\nu,").expect("a header").strip_suffix('\n').expect("a line").to_string()
    }

    #[test]
    fn formulas_are_neutral_and_numbers_stay() {
        for (text, want) in [
            ("sports", "sports"),
            ("", ""),
            ("=1+1", "'=1+1"),
            ("+46 70 1", "'+46 70 1"),
            ("+5", "'+5"),
            ("-5", "-5"),
            ("-0.25", "-0.25"),
            ("-1e-7", "-1e-7"),
            ("-5+cmd|' /C calc'!A0", "'-5+cmd|' /C calc'!A0"),
            ("-", "'-"),
            ("-.5", "'-.5"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
        ] {
            assert_eq!(cell(text, Cells::Safe), want, "{text:?}");
        }
        assert_eq!(cell("=1+1", Cells::Raw), "=1+1");
        assert_eq!(cell("\u{1b}[2J", Cells::Shown), "\\u001b[2J");
        assert_eq!(cell("\u{1b}[2J", Cells::Safe), "\u{1b}[2J");
    }

    #[test]
    fn a_profile_is_a_row_of_its_tags() {
        let out = written(&form(vec![1, 0], Cells::Safe), "=u", vec![None, Some(Value::Int(-5))]);
        assert_eq!(out, "userId,n,text\n'=u,-5,\n");
    }
}
