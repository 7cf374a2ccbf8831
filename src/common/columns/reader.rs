//! The reader: a Parquet file as lines of JSON, a row a line, as it is read.
//!
//! Memory is that of a few pages of each column. Rows come in the order of the file.

use super::json::{Shape, push_row};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The first bytes of a Parquet file, and its last.
pub const MAGIC: &[u8; 4] = b"PAR1";
/// Bytes of lines made at a time.
const READY: usize = 128 * 1024;

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, tells of a damaged file and is no bug.
pub fn is_decoding() -> bool {
    DECODING.get()
}

/// Whether a regular file begins as Parquet does.
pub fn begins_as_parquet(file: &File) -> io::Result<bool> {
    let mut first = [0; 4];
    match file.read_exact_at(&mut first, 0) {
        Ok(()) => Ok(&first == MAGIC),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// The rows of a Parquet file as NDJSON.
pub struct Rows {
    rows: RowIter<'static>,
    shapes: Vec<Shape>,
    ready: Vec<u8>,
    given: usize,
    /// Rows so far, for messages.
    count: u64,
}

impl Rows {
    /// Opens a file from its beginning to its end. An error for what is not Parquet, and for columns that have no form in JSON.
    pub fn open(file: File) -> io::Result<Rows> {
        decoding(|| Rows::begin(file), || "not a whole Parquet file".to_string())
    }

    fn begin(file: File) -> io::Result<Rows> {
        let reader = SerializedFileReader::new(file).map_err(|e| broken(&e, "not a whole Parquet file"))?;
        let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
        let shapes = schema.get_fields().iter().map(|field| Shape::of(field)).collect::<Result<_, _>>();
        let shapes = shapes.map_err(|why| io::Error::new(ErrorKind::InvalidData, why))?;
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok(Rows { rows, shapes, ready: Vec::new(), given: 0, count: 0 })
    }

    fn more(&mut self) -> io::Result<()> {
        let before = self.count;
        decoding(|| self.decode(), || format!("broken Parquet data behind row {before}"))
    }

    fn decode(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        while self.ready.len() < READY {
            let Some(row) = self.rows.next() else { return Ok(()) };
            let row = row.map_err(|e| broken(&e, &format!("broken Parquet data after row {}", self.count)))?;
            push_row(&row, &self.shapes, &mut self.ready);
            self.ready.push(b'\n');
            self.count += 1;
        }
        Ok(())
    }
}

/// Decodes. The library panics at some kinds of damage: that is damage, and nothing more.
fn decoding<T>(decode: impl FnOnce() -> io::Result<T>, what: impl FnOnce() -> String) -> io::Result<T> {
    DECODING.set(true);
    let done = catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(false);
    done.unwrap_or_else(|_| Err(io::Error::new(ErrorKind::InvalidData, what())))
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() {
            self.more()?;
        }
        let n = out.len().min(self.ready.len() - self.given);
        out[..n].copy_from_slice(&self.ready[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

fn broken(error: &ParquetError, what: &str) -> io::Error {
    let why = error.to_string();
    let why = why.split_once(": ").map_or(why.as_str(), |(_, why)| why);
    io::Error::new(ErrorKind::InvalidData, format!("{what}: {}", why.trim_end_matches('.')))
}
