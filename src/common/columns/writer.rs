//! The writer: events gathered in batches, a batch a row group.
//!
//! Memory is that of a batch. The same events in the same batches are the same bytes.

use super::EXTRA;
use crate::event::{Event, STRING_FIELDS};
use crate::ndjson;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use std::io::{self, Write};
use std::sync::Arc;

/// A batch is full at so many rows, or so many bytes of text: what one costs in memory, some times over.
const ROWS: usize = 128 * 1024;
const BYTES: usize = 32 << 20;
/// An amount has up to 19 digits: more than 64-bit decimals hold by the format's rules.
const AMOUNT_BYTES: usize = 9;

/// One column of text, the values behind each other.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    levels: Vec<i16>,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) {
        self.levels.push(i16::from(text.is_some()));
        if let Some(text) = text {
            self.bytes.extend_from_slice(text.as_bytes());
            self.ends.push(self.bytes.len());
        }
    }

    /// The values, all in one allocation.
    fn values(self) -> (Vec<ByteArray>, Vec<i16>) {
        let all = ByteArray::from(self.bytes);
        let mut start = 0;
        let each = |end: usize| {
            let value = all.slice(start, end - start);
            start = end;
            value
        };
        (self.ends.into_iter().map(each).collect(), self.levels)
    }
}

/// Events on their way into a row group.
#[derive(Default)]
pub struct Batch {
    rows: usize,
    size: usize,
    /// eventId, userId, eventType.
    ids: [Texts; 3],
    timestamps: Vec<i64>,
    received: Vec<i64>,
    received_levels: Vec<i16>,
    amounts: Vec<FixedLenByteArray>,
    amount_levels: Vec<i16>,
    /// In the order of `STRING_FIELDS`.
    strings: [Texts; STRING_FIELDS.len()],
    extra: Texts,
    others: Vec<u8>,
}

impl Batch {
    pub fn push(&mut self, event: &Event<'_>) {
        for (texts, id) in self.ids.iter_mut().zip([&event.event_id, &event.user_id, &event.event_type]) {
            texts.push(Some(id));
        }
        self.timestamps.push(event.timestamp);
        self.received.extend(event.received_at);
        self.received_levels.push(i16::from(event.received_at.is_some()));
        let amount = event.amount.map(|amount| amount.0.to_be_bytes()[16 - AMOUNT_BYTES..].to_vec());
        self.amount_levels.push(i16::from(amount.is_some()));
        self.amounts.extend(amount.map(FixedLenByteArray::from));
        for (texts, name) in self.strings.iter_mut().zip(STRING_FIELDS) {
            texts.push(event.text(name).as_deref());
        }
        self.push_others(event);
        self.rows += 1;
        self.size += event.line.len();
    }

    fn push_others(&mut self, event: &Event<'_>) {
        let mut out = std::mem::take(&mut self.others);
        out.clear();
        for (name, raw) in event.others() {
            out.push(if out.is_empty() { b'{' } else { b',' });
            ndjson::push_str(&mut out, name);
            out.push(b':');
            out.extend_from_slice(raw.get().as_bytes());
        }
        if out.is_empty() {
            self.extra.push(None);
        } else {
            out.push(b'}');
            self.extra.push(Some(std::str::from_utf8(&out).expect("made of texts")));
        }
        self.others = out;
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether it is time to write it.
    pub fn full(&self) -> bool {
        self.rows >= ROWS || self.size >= BYTES
    }
}

/// A Parquet file of events to be.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
}

impl<W: Write + Send> Writer<W> {
    pub fn new(out: W) -> io::Result<Writer<W>> {
        let schema = parse_message_type(&schema()).expect("the schema below is well formed");
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("adprof version ", env!("CARGO_PKG_VERSION")).to_string())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("a level of zstd")));
        // What hardly ever comes twice only fills a dictionary.
        for name in ["eventId", "timestamp", "receivedAt"] {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
        }
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build())).map_err(fault)?;
        Ok(Writer { file })
    }

    /// Writes one row group; nothing for an empty batch.
    pub fn write(&mut self, batch: Batch) -> io::Result<()> {
        if batch.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(fault)?;
        let required = |texts: Texts| (texts.values().0, None);
        for texts in batch.ids {
            column::<_, ByteArrayType>(&mut group, required(texts))?;
        }
        column::<_, Int64Type>(&mut group, (batch.timestamps, None))?;
        column::<_, Int64Type>(&mut group, (batch.received, Some(batch.received_levels)))?;
        column::<_, FixedLenByteArrayType>(&mut group, (batch.amounts, Some(batch.amount_levels)))?;
        for texts in batch.strings.into_iter().chain([batch.extra]) {
            let (values, levels) = texts.values();
            column::<_, ByteArrayType>(&mut group, (values, Some(levels)))?;
        }
        group.close().map(drop).map_err(fault)
    }

    /// Ends the file and gives back what it was written to.
    pub fn finish(self) -> io::Result<W> {
        self.file.into_inner().map_err(fault)
    }
}

fn column<W: Write + Send, T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    (values, levels): (Vec<T::T>, Option<Vec<i16>>),
) -> io::Result<()> {
    let column = group.next_column().map_err(fault)?;
    let mut column = column.expect("as many columns as the schema has");
    column.typed::<T>().write_batch(&values, levels.as_deref(), None).map_err(fault)?;
    column.close().map_err(fault)
}

fn schema() -> String {
    let strings: String = STRING_FIELDS.iter().map(|name| format!("OPTIONAL BYTE_ARRAY {name} (STRING); ")).collect();
    format!(
        "message events {{ REQUIRED BYTE_ARRAY eventId (STRING); REQUIRED BYTE_ARRAY userId (STRING); \
         REQUIRED BYTE_ARRAY eventType (STRING); REQUIRED INT64 timestamp (TIMESTAMP(MILLIS,true)); \
         OPTIONAL INT64 receivedAt (TIMESTAMP(MILLIS,true)); \
         OPTIONAL FIXED_LEN_BYTE_ARRAY ({AMOUNT_BYTES}) amount (DECIMAL(19,6)); {strings}\
         OPTIONAL BYTE_ARRAY {EXTRA} (JSON); }}"
    )
}

/// A fault of the system as it was; anything else in the library's words.
fn fault(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(e) => *e,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
