//! Flink's streaming job: the same statement over a topic of Kafka, its rows upserted into another topic or printed.

use super::flink::{declaration, format_of};
use super::form::{Columns, Form, Topic};
use super::keys::key_columns;
use crate::expr::engine::Engine;

const E: Engine = Engine::Flink;
/// The table of events.
pub const EVENTS: &str = "adprof_events";
/// The table of profiles.
pub const PROFILES: &str = "adprof_profiles";
/// The column that tells in which order events came. No field has a blank in its name here.
pub const ARRIVED: &str = "arrived at";

/// What stands before the statement.
pub fn before(topic: &Topic, form: &Form<'_>, columns: &Columns) -> Vec<String> {
    vec![
        "SET 'execution.runtime-mode' = 'streaming';\nSET 'pipeline.name' = 'adprof';\n\
         SET 'execution.checkpointing.interval' = '10 s';"
            .to_string(),
        source(topic, columns),
        sink(topic, form, &key_columns(form.plan), form.job.as_ref().and_then(|job| job.into.as_deref())),
    ]
}

fn source(topic: &Topic, columns: &Columns) -> String {
    let bounded = if topic.bounded { ",\n    'scan.bounded.mode' = 'latest-offset'" } else { "" };
    format!(
        "CREATE TEMPORARY TABLE {EVENTS} (\n    {},\n    {} AS PROCTIME()\n) WITH (\n    'connector' = 'kafka',\n    \
         'properties.bootstrap.servers' = {},\n    'topic' = {},\n    'scan.startup.mode' = 'earliest-offset'{bounded},\n    {}\n);",
        declaration(columns),
        E.ident(ARRIVED),
        E.string(&topic.brokers),
        E.string(&topic.name),
        format_of(columns),
    )
}

fn sink(topic: &Topic, form: &Form<'_>, key: &[String], into: Option<&str>) -> String {
    let key: Vec<String> = key.iter().map(|name| E.ident(name)).collect();
    let columns = key.iter().map(|name| format!("{name} STRING"));
    let tags = form.plan.outputs.iter().map(|tag| {
        let tag = &form.plan.definitions.tags[*tag];
        format!("{} {}", E.ident(&tag.code), E.ty(tag.ty))
    });
    let columns: Vec<String> = columns.chain(tags).collect();
    // One column is the key of a message as it is.
    let format = if key.len() == 1 { "raw" } else { "json" };
    let options = match into {
        None => "'connector' = 'print'".to_string(),
        Some(into) => format!(
            "'connector' = 'upsert-kafka',\n    'properties.bootstrap.servers' = {},\n    'topic' = {},\n    \
             'key.format' = '{format}',\n    'value.format' = 'json',\n    \
             'value.json.encode.decimal-as-plain-number' = 'true'",
            E.string(&topic.brokers),
            E.string(into),
        ),
    };
    format!(
        "CREATE TEMPORARY TABLE {PROFILES} (\n    {},\n    PRIMARY KEY ({}) NOT ENFORCED\n) WITH (\n    {options}\n);",
        columns.join(",\n    "),
        key.join(", "),
    )
}
