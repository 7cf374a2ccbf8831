//! The engine: events in, patches out, the same for the live path, the nightly path and a query.
//!
//! It does no I/O, reads no clock and starts no thread. Time is an argument, and it only moves forward.

pub mod audience;
pub mod columns;
pub mod dedup;
pub mod derived;
pub mod explain;
pub mod fold;
pub mod given;
pub mod keys;
pub mod live;
pub mod plan;
pub mod plans;
pub mod state;
pub mod tail;

use crate::patch::Patch;

/// What the engine makes of its input.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Patch(Patch),
}

#[cfg(test)]
mod shelf;
#[cfg(test)]
mod calendars;
#[cfg(test)]
mod entity_laws;
#[cfg(test)]
mod given_laws;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod every;
#[cfg(test)]
mod bases;
