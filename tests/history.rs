//! `batch --rollups` through the real program: the bytes of the full scan, whatever happened to the log and the roll-ups.

mod support;

#[path = "history/definitions.rs"]
mod definitions;
#[path = "history/faults.rs"]
mod faults;
#[path = "history/manifest.rs"]
mod manifest;
#[path = "history/plan.rs"]
mod plan;
#[path = "history/random.rs"]
mod random;
#[path = "history/world.rs"]
mod world;
