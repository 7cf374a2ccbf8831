//! Random definitions on random events: every engine that is there gives what `batch` gives.

use crate::support::{adprof_path, project, skipped};
use std::process::Command;

/// Runs `scripts/engines/agree.py` with the engines that are there.
fn agree(engines: &[(&str, &str)], more: &[&str]) {
    let found: Vec<String> = engines
        .iter()
        .filter_map(|(engine, variable)| match std::env::var(variable) {
            Ok(python) if !python.is_empty() => Some(format!("{engine}={python}")),
            _ => {
                skipped(&format!(
                    "no {engine}: set {variable}, or run scripts/engines.sh once and then scripts/test.sh"
                ));
                None
            }
        })
        .collect();
    if found.is_empty() {
        return;
    }
    let mut command = Command::new("python3");
    command.arg("-B").arg(project().join("scripts/engines/agree.py")).arg("--adprof").arg(adprof_path()).args(more);
    command.args(found.iter().flat_map(|engine| ["--engine", engine]));
    let output = command.output().expect("python3 runs");
    let (table, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words}\n{table}");
    println!("{table}");
}

#[test]
fn duckdb_and_clickhouse_give_what_batch_gives() {
    agree(
        &[("duckdb", "ADPROF_TEST_PYTHON"), ("clickhouse", "ADPROF_PEERS_PYTHON")],
        &["--definitions", "150", "--seed", "11"],
    );
}

#[test]
fn spark_and_flink_give_what_batch_gives() {
    agree(
        &[("spark", "ADPROF_PEERS_PYTHON"), ("flink", "ADPROF_FLINK_PYTHON")],
        &["--definitions", "20", "--sets", "20", "--seed", "12"],
    );
}
