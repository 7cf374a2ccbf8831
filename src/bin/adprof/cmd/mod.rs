//! The commands, a file each: the manual on top, what can be typed, `run`.

pub mod completions;
pub mod export;
pub mod man;
pub mod query;
pub mod segment;
