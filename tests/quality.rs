//! Quality: figures that agree with an independent count, thresholds that hold, and messages that say what to do.

#[path = "quality/figures.rs"]
mod figures;
mod support;
#[path = "quality/thresholds.rs"]
mod thresholds;
