//! A definition file with everything in it, against SQL written by hand and run by DuckDB.

use crate::support::{self, Dir, project};
use std::process::Command;

const START: i64 = 1_735_689_600_000;

#[test]
fn every_aggregation_window_and_type_gives_what_duckdb_gives() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let script = project().join("tests/batch/definitions.py");
    let run = |args: &[&str]| {
        let output = Command::new(&python).arg("-B").arg(&script).args(args).current_dir(dir.path()).output();
        let output = output.expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["write", "ad-events.log", "cells.csv"]);
    std::fs::copy(project().join("tests/batch/definitions.toml"), dir.file("adprof.toml")).expect("copied");
    let hour = 3_600_000;
    for as_of in [START, START + hour - 1, START + hour, START + 2 * hour, START + 25 * hour, START + 24 * 41 * hour] {
        let told = dir.adprof(&format!("batch --tags all --as-of {as_of} -o patches.ndjson")).exits(0);
        assert!(!told.stderr.contains("refused"), "{}", told.stderr);
        let said = run(&["compare", "cells.csv", &as_of.to_string(), "patches.ndjson"]);
        assert_eq!(said, "8 users, 38 tags equal\n");
    }
}
