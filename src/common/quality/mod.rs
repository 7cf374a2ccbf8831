//! Quality: the figures of an output, and whether they are as they must be.
//!
//! Figures depend on the patches alone, not on their order: the same output has the same figures, whoever
//! computes them, `batch` while it writes or `check` while it reads.

mod column;
mod days;
mod distinct;
mod figures;
mod judge;
mod manifest;
mod scan;

pub use column::TagFigures;
pub use days::{Day, Days, PUBLISHED, history, published};
pub use distinct::EXACT;
pub use figures::{Figures, Outcome};
pub use judge::{Finding, Verdict, judge};
pub use manifest::{Events, Made, Manifest, Written, beside, hex};
