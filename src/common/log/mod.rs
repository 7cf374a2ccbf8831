//! The log: the durable history of events, a file or a directory of date partitions.
//!
//! A line is an event once its newline is on disk; a last line without one was never
//! acknowledged, and no reader gives it out. Files only ever grow at their end.
//!
//! ```text
//! ad-events.log                          one file, one writer
//! events/dt=2026-11-20/web-00001.ndjson  a day by receipt, the writer's name, a number
//! events/dt=2026-11-20/web-00001+00004.ndjson.zst  the files 1 to 4, compacted and packed
//! events/dt=2026-11-20/_SUCCESS          the manifest of a day that is sealed
//! events/forgotten                      whose events count for nothing (`forgotten.rs`)
//! events/web.lock                        held by the writer while it lives
//! ….torn                                 what a crash left of a line, set aside
//! ```

pub mod care;
mod chunk;
mod collect;
mod error;
mod files;
mod gate;
mod lock;
mod names;
mod opening;
mod part;
mod position;
mod tail;
mod torn;
mod writer;

pub use chunk::{Block, Chunk, ChunkEnd, ChunkLines, Line, line_number};
pub use collect::{Collector, Offered, admit, stamp};
pub use error::Error;
pub use files::{Log, LogFile, Stray};
pub use gate::pass;
pub use lock::Lock;
pub use names::{parse_partition as partition_day, partition as partition_of, writer_of};
pub use position::Position;
pub use tail::{LogReader, Shipped};
pub use torn::Torn;
pub use writer::{LogWriter, Options};
