//! Exports: profiles in files of one form or another, that are whole or not there at all.

mod csv;
mod dir;
mod file;
mod form;
mod ids;
mod manifest;
mod pack;
mod parts;
mod shape;
mod sheet;
mod sum;
mod table;

pub use csv::Cells;
pub use dir::Directory;
pub use file::{Replacement, Unwritable};
pub use form::{Columns, Form, Format, Row, SEGMENTS};
pub use ids::{By, Hmac, Ids, Text};
pub use manifest::{Asked, Manifest, NAME, Part, Told};
pub use pack::Packing;
pub use parts::{Layout, Parts};
pub use sheet::{Done, Sheet};
pub use sum::Summed;
