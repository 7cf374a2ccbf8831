//! The measuring scripts measure the same job: engines that differ are told, and a small run of each script comes to its end.

mod support;

use std::ffi::OsStr;
use std::process::{Command, Output};
use support::{Dir, adprof_path, project};

/// `python -m MODULE` of scripts/, as scripts/bench*.sh start it; `python` has DuckDB.
fn module<S: AsRef<OsStr>>(python: &str, module: &str, dir: &Dir, args: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(python);
    command.args(["-B", "-m", module, "--program"]).arg(adprof_path()).arg("--dir").arg(dir.path()).args(args);
    command.env("PYTHONPATH", project().join("scripts")).env("ADPROF_PEERS_PYTHON", python);
    // Other tests keep the machine busy.
    command.env("ADPROF_BENCH_SETTLE", "0");
    command.output().expect("Python starts")
}

fn told(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    format!("{}{words}", String::from_utf8_lossy(&output.stdout))
}

/// Mutants take long, and are not tried by each run: but each of them must still find its place and its test.
#[test]
fn every_mutant_still_applies() {
    let Some(python) = support::python() else { return };
    let mut command = Command::new(python);
    command.args(["-B", "-m", "mutants", "--check", "--copy"]).arg(project());
    let output = command.env("PYTHONPATH", project().join("scripts")).output().expect("Python starts");
    told(&output);
}

/// Each script writes what it measured into its own part of the page.
#[test]
fn every_part_of_the_benchmarks_page_is_there_once_and_is_written_by_one_script() {
    let page = std::fs::read_to_string(project().join("docs/benchmarks.md")).expect("a page");
    let marks = |what: &str| -> Vec<String> {
        let named = page.lines().filter_map(|line| line.strip_prefix(what)?.strip_suffix(" -->"));
        named.map(str::to_string).collect()
    };
    let parts = marks("<!-- bench: ");
    assert_eq!(parts, marks("<!-- end: "));
    let scripts = std::fs::read_dir(project().join("scripts/bench")).expect("a folder");
    let sources = scripts.map(|file| std::fs::read_to_string(file.expect("a file").path()).unwrap_or_default());
    let sources = sources.collect::<String>();
    for part in &parts {
        assert_eq!(parts.iter().filter(|other| *other == part).count(), 1, "{part}");
        assert_eq!(sources.matches(&format!("publish(\"{part}\",")).count(), 1, "{part}");
    }
    assert_eq!(sources.matches("report.publish(").count(), parts.len());
}

#[test]
fn duckdb_gives_the_eight_tags_of_the_benchmark_on_hard_events_too() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let picture = dir.file("chart.svg");
    let args = ["--quick", "--only", "batch", "--peers", "duckdb", "--events", "3000", "--users", "600", "--picture"];
    let said = told(&module(&python, "bench", &dir, args.map(OsStr::new).iter().chain([&picture.as_os_str()])));
    assert_eq!(said.matches("duckdb: ").count(), 2, "once for the hard file, once for the measured one: {said}");
    assert!(said.contains("duckdb: 100 users equal to adprof's"), "{said}");
    assert!(said.contains("| DuckDB | ") && said.contains("| adprof | "), "{said}");
    assert!(dir.read("chart.svg").contains("logarithmic axis"));
}

#[test]
fn duckdb_gives_the_24_tags_of_the_large_benchmark() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let args = "--events 3000 --users 600 --runs 1 --duckdb-runs 1 --tags 24 --limit none --small 0";
    let said = told(&module(&python, "bench.large", &dir, args.split(' ')));
    assert!(said.contains("users equal to adprof's") && said.contains("| DuckDB | 24 | none |"), "{said}");
}

#[test]
fn every_variant_of_the_cliffs_gets_the_answers_of_the_plain_file() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let said = told(&module(&python, "bench.cliffs", &dir, "--quick --events 2000 --users 400 --limit 0".split(' ')));
    for name in ["mixed", "nested", "escapes", "non-ascii", "uuid", "long-ids", "crlf", "spaces"] {
        assert!(said.contains(&format!("{name}: 38")), "{name}: {said}");
    }
}

#[test]
fn a_night_with_rollups_and_a_full_scan_are_measured_on_the_same_log() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let args = "--events 4000 --users 400 --days 5 --runs 1";
    let said = told(&module(&python, "bench.history", &dir, args.split(' ')));
    assert!(said.contains("write the same bytes") && said.contains("log: 5 days, 4,000 events"), "{said}");
    let row =
        |name: &str| said.lines().find(|line| line.starts_with(&format!("| {name} |"))).expect("a row").to_string();
    assert!(row("full scan").contains("| 0.0 MB |") && !row("one more day").contains("| 0.0 MB |"), "{said}");
}

/// A cent more, a user less, a user twice: each ends the comparison, and equal numbers written differently do not.
#[test]
fn a_difference_between_engines_is_told() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    dir.write(
        "a",
        "{\"userId\":\"u1\",\"asOf\":1,\"tags\":{\"x\":5.50,\"y\":null}}\n{\"userId\":\"u2\",\"tags\":{\"x\":7}}\n",
    );
    for (b, want) in [
        ("{\"userId\":\"u2\",\"x\":7.0}\n{\"userId\":\"u1\",\"x\":5.5}\n", None),
        ("{\"userId\":\"u2\",\"x\":7}\n{\"userId\":\"u1\",\"x\":5.51}\n", Some("1 users differ between a and b")),
        ("{\"userId\":\"u1\",\"x\":5.5}\n", Some("1 users differ between a and b")),
        ("{\"userId\":\"u2\",\"x\":\"7\"}\n{\"userId\":\"u1\",\"x\":5.5}\n", Some("1 users differ between a and b")),
        (
            "{\"userId\":\"u1\",\"x\":5.5}\n{\"userId\":\"u1\",\"x\":5.5}\n{\"userId\":\"u2\",\"x\":7}\n",
            Some("user u1 comes twice"),
        ),
    ] {
        dir.write("b", b);
        let _ = std::fs::remove_dir_all(dir.file("work"));
        let code = "from bench import compare; compare.all_equal({'a': 'a', 'b': 'b'}, 'work', 3)";
        let mut command = Command::new(&python);
        command.args(["-B", "-c", code]).current_dir(dir.path()).env("PYTHONPATH", project().join("scripts"));
        let output = command.output().expect("Python starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), want.is_none(), "{b}: {words}");
        assert!(want.is_none_or(|want| words.contains(want)), "{b}: {words}");
    }
}

/// Rounds in which one engine always ran behind the same other one would tell of the other, too.
#[test]
fn engines_follow_each_other_equally_often() {
    let Some(python) = support::python() else { return };
    let code = "
from collections import Counter
from bench.turns import order
for n in range(2, 8):
    names, rounds = list('abcdefg'[:n]), n * (1 + n % 2)
    turns = [order(names, round_) for round_ in range(1, rounds + 1)]
    assert all(sorted(turn) == names for turn in turns), turns
    pairs = Counter(pair for turn in turns for pair in zip(turn, turn[1:]))
    assert set(pairs.values()) == {1 + n % 2} and len(pairs) == n * (n - 1), pairs
";
    let mut command = Command::new(python);
    command.args(["-B", "-c", code]).env("PYTHONPATH", project().join("scripts"));
    let output = command.output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn duckdb_reads_the_values_of_each_export_that_is_measured() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let said = told(&module(&python, "bench.export", &dir, "--users 2000 --runs 1".split(' ')));
    for name in ["| csv |", "| ndjson |", "| parquet |", "reads the same sums"] {
        assert!(said.contains(name), "{name}: {said}");
    }
}
