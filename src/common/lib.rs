//! adprof: user profiles from ad events, live and nightly, from one definition file.
//!
//! The order of the modules below is the order of knowledge: a module names only
//! modules above it (`tests/layers.rs` reads the imports and holds this).
#![forbid(unsafe_code)]

// words: plain data, no I/O
pub mod event;
pub mod key;
pub mod limits;
pub mod money;
pub mod ndjson;
pub mod patch;
pub mod rows;
pub mod time;
pub mod value;

// thought: events and time to values; no I/O, no clock, no threads
// (blank lines keep the formatter from sorting these: their order means something)
pub mod expr;

pub mod agg;

pub mod tag;
