//! query, segment and export answer what a store holds: equally from the embedded store and from Redis.

#[path = "answers/store.rs"]
mod store;
mod support;

#[path = "answers/query.rs"]
mod query;
