//! The bus: Kafka in and out, as bytes with a key, a partition, an offset and a timestamp.
//!
//! It knows no event and no tag. The reader's own offsets are the truth: what it was
//! given it delivers once, in order, without a gap, or it stops and says which offset is
//! missing. What it sends is in Kafka when it says so, and only then.

mod acks;
mod batch;
mod consumer;
mod error;
mod facts;
mod fetch;
mod guard;
mod link;
mod murmur2;
mod partitions;
pub mod position;
mod producer;
mod progress;
mod queue;
mod secure;
mod settings;
mod start;
mod topic;

pub use batch::{Batch, Message};
pub use consumer::{Consumer, Delivery, Event, Options};
pub use error::{BusError, Class, Place};
pub use facts::{PartitionFacts, TopicFacts};
pub use link::{GROUP_REFUSED, Link};
pub use murmur2::{murmur2, partition_of};
pub use partitions::{Assignment, PartitionSet};
pub use producer::Producer;
pub use progress::{Lag, LagGauge};
pub use settings::{Settings, builtin_features};
pub use start::{Owned, StartOffsets, Witness};
