//! The commands, a file each: the manual on top, what can be typed, `run`.

pub mod batch;
pub mod check;
pub mod collect;
pub mod compile;
pub mod completions;
pub mod day;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod forget;
pub mod r#gen;
pub mod init;
pub mod log;
pub mod man;
pub mod query;
pub mod schema;
pub mod rebuild;
pub mod segment;
pub mod sink;
pub mod stream;
pub mod verify;
