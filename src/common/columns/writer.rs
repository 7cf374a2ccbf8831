//! The writer: events gathered in batches, a batch a row group.
//!
//! Memory is that of a batch. The same events in the same batches are the same bytes.

use super::EXTRA;
use super::cells::{Bytes, column, fault, properties};
use crate::event::{Event, STRING_FIELDS};
use crate::ndjson;
use parquet::data_type::{ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use std::io::{self, Write};
use std::sync::Arc;

/// A batch is full at so many rows, or so many bytes of text: what one costs in memory, some times over.
const ROWS: usize = 128 * 1024;
const BYTES: usize = 32 << 20;
/// An amount has up to 19 digits: more than 64-bit decimals hold by the format's rules.
const AMOUNT_BYTES: usize = 9;

/// One column of text.
#[derive(Default)]
struct Texts {
    values: Bytes,
    levels: Vec<i16>,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) {
        self.levels.push(i16::from(text.is_some()));
        if let Some(text) = text {
            self.values.push(text.as_bytes());
        }
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
        let mut properties = properties();
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
        for texts in batch.ids {
            column::<_, ByteArrayType>(&mut group, &texts.values.values(), None, None)?;
        }
        column::<_, Int64Type>(&mut group, &batch.timestamps, None, None)?;
        column::<_, Int64Type>(&mut group, &batch.received, Some(&batch.received_levels), None)?;
        column::<_, FixedLenByteArrayType>(&mut group, &batch.amounts, Some(&batch.amount_levels), None)?;
        for texts in batch.strings.into_iter().chain([batch.extra]) {
            column::<_, ByteArrayType>(&mut group, &texts.values.values(), Some(&texts.levels), None)?;
        }
        group.close().map(drop).map_err(fault)
    }

    /// Ends the file and gives back what it was written to.
    pub fn finish(self) -> io::Result<W> {
        self.file.into_inner().map_err(fault)
    }
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
