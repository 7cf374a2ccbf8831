//! `adprof forget` through the real program: what is forgotten is nowhere, byte by byte, and does not come back.

#[path = "forget/kafka.rs"]
mod by_kafka;
#[path = "forget/redis.rs"]
mod by_redis;
#[path = "forget/crash.rs"]
mod crash;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "forget/log.rs"]
mod log;
#[path = "forget/state.rs"]
mod state;
mod streams;
mod support;
#[path = "forget/world.rs"]
mod world;
