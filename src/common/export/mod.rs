//! Exports: profiles as CSV or NDJSON, into a file that is whole or not there at all.

mod csv;
mod file;

pub use csv::{Cells, Csv};
pub use file::{Replacement, Unwritable};
