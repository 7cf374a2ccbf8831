//! What all columns are made of: texts in one piece of memory, and how they get into a row group.

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedRowGroupWriter;
use std::io::{self, Write};

/// One column of bytes, the values behind each other.
#[derive(Default)]
pub struct Bytes {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Bytes {
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    /// The values, all in one allocation.
    pub fn values(self) -> Vec<ByteArray> {
        let all = ByteArray::from(self.bytes);
        let mut start = 0;
        let each = |end: usize| {
            let value = all.slice(start, end - start);
            start = end;
            value
        };
        self.ends.into_iter().map(each).collect()
    }
}

/// How adprof writes Parquet.
pub fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(concat!("adprof version ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("a level of zstd")))
}

/// Writes the next column of a row group. Levels are left out where all values are there, or none repeats.
pub fn column<W: Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    definition: Option<&[i16]>,
    repetition: Option<&[i16]>,
) -> io::Result<()> {
    let column = group.next_column().map_err(fault)?;
    let mut column = column.expect("as many columns as the schema has");
    column.typed::<T>().write_batch(values, definition, repetition).map_err(fault)?;
    column.close().map_err(fault)
}

/// A fault of the system as it was; anything else in the library's words.
pub fn fault(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(e) => *e,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
