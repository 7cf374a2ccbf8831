//! Sheets: rows of one form on their way into one file.

use super::csv::Csv;
use super::form::{Form, Format, Row};
use super::pack::Packed;
use super::table::Table;
use std::io::{self, Write};
use std::sync::Arc;

/// Bytes that all files of an export together gather before they are written, some times over.
const MEMORY: usize = 128 << 20;
/// The least that is worth a write.
const PIECE_MIN: usize = 1 << 14;
/// The most that one file of Parquet gathers.
const BATCH_MAX: usize = 32 << 20;

/// A file of profiles to be.
pub struct Sheet<W: Write + Send> {
    form: Arc<Form>,
    body: Body<Packed<W>>,
    rows: u64,
}

enum Body<W: Write + Send> {
    Csv(Box<Csv<W>>),
    Lines(W, Vec<u8>),
    Table(Box<Table<W>>),
}

/// A file that was written.
pub struct Done<W> {
    pub out: W,
    pub rows: u64,
    /// Values that are missing in it, because they are not of the type of their tag.
    pub odd: u64,
}

impl<W: Write + Send> Sheet<W> {
    /// Begins one of `files` files.
    pub fn begin(out: W, form: &Arc<Form>, files: usize) -> io::Result<Sheet<W>> {
        let share = MEMORY / files;
        let out = Packed::new(out, form.packing, share.clamp(PIECE_MIN, form.packing.piece()));
        let body = match form.format {
            Format::Csv => Body::Csv(Box::new(Csv::begin(out, form)?)),
            Format::Ndjson | Format::OpenRtb => Body::Lines(out, Vec::new()),
            Format::Parquet => Body::Table(Box::new(Table::begin(out, form, share.min(BATCH_MAX))?)),
        };
        Ok(Sheet { form: form.clone(), body, rows: 0 })
    }

    pub fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.rows += 1;
        match &mut self.body {
            Body::Csv(csv) => csv.row(row),
            Body::Lines(out, line) => {
                line.clear();
                self.form.push_line(row, line);
                out.write_all(line)
            }
            Body::Table(table) => table.row(row),
        }
    }

    /// Writes what is left.
    pub fn finish(self) -> io::Result<Done<W>> {
        let (out, odd) = match self.body {
            Body::Csv(csv) => (csv.finish()?, 0),
            Body::Lines(out, _) => (out, 0),
            Body::Table(table) => table.finish()?,
        };
        Ok(Done { out: out.finish()?, rows: self.rows, odd })
    }
}
