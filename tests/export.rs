//! `adprof export`: what is written, read by others; and what is there when it ends in the middle.

#[path = "export/dirs.rs"]
mod dirs;
#[path = "export/files.rs"]
mod files;
#[path = "export/hash.rs"]
mod hash;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "export/parquet.rs"]
mod parquet;
#[path = "export/segments.rs"]
mod segments;
#[path = "export/targets.rs"]
mod targets;
#[path = "export/world.rs"]
mod world;
mod support;
