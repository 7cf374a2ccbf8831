//! Columns: events as Parquet, written and read.
//!
//! The fields that an event's form knows are columns of their own type; all others stand together as JSON in the column
//! `extra`, so nothing is lost. Read back, a row is a line of JSON, and it is judged as any line is.

pub(crate) mod cells;
mod json;
mod reader;
mod writer;
#[cfg(test)]
mod tests;

pub use reader::{MAGIC, Rows, begins_as_parquet, is_decoding};
pub use writer::{Batch, Writer};

/// The column that holds, as a JSON object, what has no column of its own.
pub const EXTRA: &str = "extra";
