//! adprof: user profiles from ad events, live and nightly, from one definition file.
//!
//! The order of the modules below is the order of knowledge: a module names only
//! modules above it (`tests/layers.rs` reads the imports and holds this).
// Three modules may allow it: `store/embedded/env.rs`, since opening a memory map is unsafe by nature, `reader/vector.rs`,
// since the compiler counts vector instructions so, and `bus/queue.rs`, which asks librdkafka in C.
#![deny(unsafe_code)]

// words: plain data, no I/O
pub mod limits;
pub mod time;
pub mod money;
pub mod ndjson;
pub mod sheet;
pub mod value;
pub mod key;
pub mod event;
pub mod rows;
pub mod reader;
pub mod packed;
pub mod bits;
pub mod patch;

// carriers: bytes in motion and at rest; they know no tags
pub mod parallel;
pub mod disk;
pub mod forgotten;
pub mod columns;
pub mod lines;
pub mod dead;
pub mod maps;
pub mod synth;
pub mod log;
pub mod bus;

// thought: event | patch → patch | event; no I/O, no clock, no threads
pub mod expr;
pub mod pane;
pub mod agg;
pub mod tag;
pub mod engine;

// memory: profiles at rest
pub mod store;
pub mod ledger;
pub mod rollup;

// answers: what profiles are for
pub mod profiles;
pub mod segment;
pub mod quality;
pub mod export;
pub mod sql;

// the two paths: carriers, engine and stores put together
pub mod run;
