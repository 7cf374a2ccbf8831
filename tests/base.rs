//! A stream and its base, through the real program: history from the log, the rest from the stream, each event once.

#[path = "base/kafka.rs"]
mod by_kafka;
#[path = "base/redis.rs"]
mod by_redis;
#[path = "base/crash.rs"]
mod crash;
#[path = "base/interleavings.rs"]
mod interleavings;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "base/old_state.rs"]
mod old_state;
mod streams;
mod support;
#[path = "base/warming.rs"]
mod warming;
#[path = "base/world.rs"]
mod world;
