//! `batch` through the real program: the values, the bytes, the edges of time, bad input, and what a crash leaves.

mod support;

#[path = "batch/bad.rs"]
mod bad;
#[path = "batch/bytes.rs"]
mod bytes;
#[path = "batch/definitions.rs"]
mod definitions;
#[path = "batch/entities.rs"]
mod entities;
#[path = "batch/instants.rs"]
mod instants;
#[path = "batch/memory.rs"]
mod memory;
#[path = "batch/output.rs"]
mod output;

/// An event of user `u`; `more` are further fields, with a comma in front.
fn event(id: &str, kind: &str, timestamp: i64, more: &str) -> String {
    format!("{{\"eventId\":\"{id}\",\"userId\":\"u\",\"eventType\":\"{kind}\",\"timestamp\":{timestamp}{more}}}\n")
}
