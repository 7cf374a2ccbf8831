//! query, segment and export answer what a store holds: equally from the embedded store and from Redis.

#[path = "answers/audiences.rs"]
mod audiences;
#[path = "answers/behaviour.rs"]
mod behaviour;
#[path = "answers/duckdb.rs"]
mod duckdb;
#[path = "answers/export.rs"]
mod export;
#[path = "answers/live.rs"]
mod live;
#[path = "answers/member.rs"]
mod member;
#[path = "answers/query.rs"]
mod query;
#[path = "answers/random.rs"]
mod random;
#[path = "answers/segment.rs"]
mod segment;
#[path = "answers/store.rs"]
mod store;
mod support;
