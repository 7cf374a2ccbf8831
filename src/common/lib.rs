//! adprof: user profiles from ad events, live and nightly, from one definition file.
//!
//! The order of the modules below is the order of knowledge: a module names only
//! modules above it (`tests/layers.rs` reads the imports and holds this).
#![forbid(unsafe_code)]

// words: plain data, no I/O
pub mod limits;
pub mod time;
pub mod money;
pub mod ndjson;
pub mod value;
pub mod key;
pub mod event;
pub mod patch;
pub mod rows;

// thought: event | patch → patch | event; no I/O, no clock, no threads
pub mod pane;
pub mod agg;
