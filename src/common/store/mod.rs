//! Stores: profiles at rest, in an embedded directory or in Redis.
//!
//! A store knows keys, patches and bytes; the state of the live engine is opaque to
//! it. Nothing here reads a clock to decide a value.

mod address;
pub mod embedded;
mod error;
mod location;
pub mod redis;

pub use address::{Access, Deployment, Privacy, RedisUrl, Secret};
pub use embedded::Embedded;
pub use error::{Error, Kind};
pub use location::{Choice, HERE, Location, Origin, choose};
pub use redis::Redis;
