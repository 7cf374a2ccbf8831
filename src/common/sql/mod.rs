//! SQL: a set of definitions as one statement of another engine, with a row per key as of an instant.
//!
//! `form` is what every engine is told: the plan that `batch` runs, where the events are, and the instant. `statement`
//! is what all of them are told in the same words, `keys` what comes before for tags of other entities than users; a file for
//! each engine has the words that differ. What an engine cannot
//! say exactly is a problem at the definition that asks for it.

mod clickhouse;
mod dialect;
mod duckdb;
mod fields;
mod flink;
mod flink_job;
mod form;
mod keys;
mod lists;
mod numbers;
mod spark;
mod statement;

pub use crate::expr::engine::Engine;
use crate::tag::Problem;
pub use form::{Form, Instant, Job, Place, Source, Topic};

/// The definitions as SQL, with a semicolon at the end. The error is everything the engine cannot say, by place.
pub fn compile(engine: Engine, form: &Form<'_>) -> Result<String, Vec<Problem>> {
    match engine {
        Engine::DuckDb => statement::write(&duckdb::DuckDb, form),
        Engine::Spark => statement::write(&spark::Spark, form),
        Engine::ClickHouse => statement::write(&clickhouse::ClickHouse, form),
        Engine::Flink => statement::write(&flink::Flink, form),
    }
}
