//! Parquet: a column of its true type for each tag, the key before them.
//!
//! Rows are gathered in batches, a batch a row group: memory is that of a batch, however many there are.

use super::form::{Form, Row, SEGMENTS};
use super::shape::{Item, Leaf, Shape, Shredder, columns, required};
use crate::columns::cells::{fault, properties};
use crate::value::{Type, Value};
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type as Node};
use std::io::{self, Write};
use std::sync::Arc;

/// A batch is full at so many rows.
const ROWS: usize = 128 * 1024;
/// What a value costs in memory besides its text, about.
const CELL: usize = 12;

/// A Parquet file of profiles to be.
pub struct Table<W: Write + Send> {
    file: SerializedFileWriter<W>,
    form: Arc<Form>,
    key: usize,
    /// In the order of the columns; the last one is that of segments, where there is one.
    shapes: Vec<Shape>,
    leaves: Vec<Leaf>,
    rows: usize,
    bytes: usize,
    /// A batch is full at so many bytes.
    bytes_max: usize,
    odd: u64,
}

impl<W: Write + Send> Table<W> {
    /// Begins a file whose batches have up to `bytes_max` bytes, some times over.
    pub fn begin(out: W, form: &Arc<Form>, bytes_max: usize) -> io::Result<Table<W>> {
        let mut leaves = Vec::new();
        let (node, key) = required(&form.key, &mut leaves);
        let (mut fields, mut shapes) = (vec![node], Vec::new());
        let tags = form.tags.places().iter().map(|place| &form.definitions.tags[*place]);
        let tags = tags.map(|tag| (&*tag.code, tag.ty));
        let segments = form.segments.then_some((SEGMENTS, Type::List(&Type::String)));
        for (name, ty) in tags.chain(segments) {
            let (node, shape) = columns(name, ty, &mut leaves).map_err(fault)?;
            fields.push(node);
            shapes.push(shape);
        }
        let schema = Node::group_type_builder("profiles").with_fields(fields).build().map_err(fault)?;
        let told = form.provenance.iter().map(|(key, value)| KeyValue::new(format!("adprof.{key}"), value.clone()));
        // Keys are unique: they would only fill a dictionary.
        let properties = properties()
            .set_column_dictionary_enabled(ColumnPath::from(&*form.key), false)
            .set_key_value_metadata(Some(told.collect()));
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build())).map_err(fault)?;
        Ok(Table { file, form: form.clone(), key, shapes, leaves, rows: 0, bytes: 0, bytes_max, odd: 0 })
    }

    pub fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        let key = row.profile.key.text();
        self.bytes += key.len() + CELL * self.leaves.len();
        let mut shredder = Shredder { leaves: &mut self.leaves, odd: &mut self.odd };
        shredder.put(&Shape::Leaf(self.key), Some(Item::Value(&Value::Str(key.as_ref().into()))));
        for (place, shape) in self.form.tags.places().iter().zip(&self.shapes) {
            let value = row.profile.values[*place].as_ref();
            if let Some(Value::Str(text) | Value::Json(text)) = value {
                self.bytes += text.len();
            }
            shredder.put(shape, value.map(Item::Value));
        }
        if let (true, Some(shape)) = (self.form.segments, self.shapes.last()) {
            let mut list = Vec::new();
            self.form.push_segments(row, &mut list);
            self.bytes += list.len();
            shredder.put(shape, Some(Item::Raw(&String::from_utf8_lossy(&list))));
        }
        self.rows += 1;
        if self.rows == ROWS || self.bytes >= self.bytes_max { self.write() } else { Ok(()) }
    }

    /// Writes the batch as a row group.
    fn write(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let empty = self.leaves.iter().map(Leaf::empty).collect();
        let mut group = self.file.next_row_group().map_err(fault)?;
        for leaf in std::mem::replace(&mut self.leaves, empty) {
            leaf.write(&mut group)?;
        }
        group.close().map_err(fault)?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Ends the file: what it was written to, and how many values are missing in it because they are not of their tag's type.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.write()?;
        Ok((self.file.into_inner().map_err(fault)?, self.odd))
    }
}
