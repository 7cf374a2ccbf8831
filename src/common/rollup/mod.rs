//! Roll-ups: what each day of a log came to, kept so that the day need not be read again.
//!
//! ```text
//! manifest                    which file holds what: replaced as a whole, the point of commit
//! 2026-11-20-000017.day       one day: states by key, events later than its end, the ids of all its events
//! 2026-11-20-000031.more      its states for definitions that came later
//! base-2026-11-20-000032      the states of all days through this one
//! lock                        held by the one writer
//! ```
//! No file but the manifest is ever changed. What the manifest does not name is left over from a crash and means nothing.

mod error;
pub mod file;
pub mod filter;
pub mod ids;
mod input;
mod manifest;
pub mod offer;
pub mod part;

pub use error::Error;
pub use input::{Marks, digest_of};
pub use manifest::{Base, Counts, Day, FileRef, Held, Manifest, lock};

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// Keys are spread over so many parts of a file: those of `batch`, whose output has their order.
pub const PARTS: usize = 256;

/// A checksum against damage, not against malice. `seed` says what the bytes are, so that none pass for others.
pub fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed, 0x726f_6c6c_2d75_7073);
    hasher.write(bytes);
    hasher.finish()
}
