//! `adprof compile` as a process: what it prints, what it refuses, and that engines run it and agree with `batch`.
//!
//! The engines are there where `scripts/engines.sh` has put them; DuckDB wherever `scripts/test.sh` runs.

#[path = "compile/agreement.rs"]
mod agreement;
#[path = "compile/duckdb.rs"]
mod duckdb;
#[path = "compile/entities.rs"]
mod entities;
#[path = "compile/globo.rs"]
mod globo;
#[path = "compile/refusals.rs"]
mod refusals;
mod support;

use support::Dir;

#[test]
fn help_opens_with_what_it_is_for_and_shows_examples() {
    let help = Dir::new().adprof("compile --help").ok();
    for words in ["Print the definitions as one SQL statement", "--to duckdb", "sql-client.sh -f job.sql"] {
        assert!(help.contains(words), "no {words:?} in:\n{help}");
    }
}

#[test]
fn the_statement_goes_into_a_file_whole() {
    let dir = Dir::new();
    let printed = dir.adprof("compile --to spark --from events --as-of 2026-11-20").ok();
    dir.adprof("compile --to spark --from events --as-of 2026-11-20 -o tags.sql").ok();
    assert_eq!(dir.read("tags.sql"), printed);
    assert!(
        printed.starts_with(
            "-- adprof: the tags of built-in, as of 2026-11-20T00:00:00.000Z (1795132800000), for Spark\n"
        )
    );
    assert!(printed.ends_with(";\n"), "{printed}");
}

#[test]
fn a_window_is_a_constant_of_time_and_a_table_has_no_order_unless_a_column_tells() {
    let dir = Dir::new();
    let sql = dir.adprof("compile --to duckdb --from main.events --tags all --as-of 1731299925000").ok();
    // An hour in steps of a second: the second of the instant and 3599 before it.
    assert!(sql.contains(r#"e."timestamp" >= 1731296326000"#), "{sql}");
    assert!(sql.contains(r#"FROM main.events AS s"#), "{sql}");
    assert!(sql.contains(r#"ORDER BY "timestamp", "tenantId","#), "{sql}");
    let sql = dir.adprof("compile --to duckdb --from events --order offset --as-of 1731299925000").ok();
    assert!(sql.contains(r#"s."offset" AS "position in the log""#), "{sql}");
    assert!(sql.contains(r#"ORDER BY "position in the log""#), "{sql}");
}

#[test]
fn a_job_reads_a_topic_and_upserts_into_another() {
    let dir = Dir::new();
    let script = dir.adprof("compile --to flink --job -b kafka:9092 -t clicks --into profiles --tags ltv_total").ok();
    for words in [
        "SET 'execution.runtime-mode' = 'streaming';",
        "'connector' = 'kafka'",
        "'properties.bootstrap.servers' = 'kafka:9092'",
        "'topic' = 'clicks'",
        "'connector' = 'upsert-kafka'",
        "'topic' = 'profiles'",
        "PRIMARY KEY (`userId`) NOT ENFORCED",
        "INSERT INTO adprof_profiles\nWITH ",
    ] {
        assert!(script.contains(words), "no {words:?} in:\n{script}");
    }
    assert!(!script.contains("<="), "a job without an instant counts every event:\n{script}");
    assert!(!script.contains("scan.bounded.mode"), "{script}");
    let script = dir.adprof("compile --to flink --job -e --tags all --as-of 1731299925000").ok();
    assert!(
        script.contains("'scan.bounded.mode' = 'latest-offset'") && script.contains("'connector' = 'print'"),
        "{script}"
    );
}

#[test]
fn a_job_of_spark_has_its_command_line_on_top_and_writes_a_folder() {
    let dir = Dir::new();
    let script = dir.adprof("compile --to spark --job --from events --into /profiles --as-of 2026-11-20").ok();
    for words in [
        "-- spark-sql -f THIS.sql\n-- spark-submit --class ",
        "\nINSERT OVERWRITE DIRECTORY '/profiles' USING parquet\nWITH ",
    ] {
        assert!(script.contains(words), "no {words:?} in:\n{script}");
    }
}
