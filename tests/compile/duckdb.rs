//! DuckDB over a log and over a table: the values of `batch`, also where reading is hard.

use crate::support::{self, Dir, project};
use std::io::Write;
use std::process::{Command, Stdio};

/// The rows of a statement, as `scripts/engines/engine.py` tells them.
pub fn rows(python: &str, sql: &std::path::Path) -> serde_json::Value {
    let mut child = Command::new(python)
        .arg("-B")
        .arg(project().join("scripts/engines/engine.py"))
        .arg("duckdb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    writeln!(child.stdin.take().expect("piped"), "{}", sql.display()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    serde_json::from_str(text.lines().nth(1).expect("an answer")).expect("JSON")
}

/// `{"n": "5"}` and texts as plain text, by tag.
fn value(answer: &serde_json::Value, user: &str, tag: &str) -> Option<String> {
    let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let row = rows.iter().find(|row| row["userId"] == user).unwrap_or_else(|| panic!("no {user} in {answer}"));
    match &row[tag] {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        number => Some(number["n"].as_str().unwrap_or_else(|| panic!("{number}")).to_string()),
    }
}

fn event(id: &str, more: &str) -> String {
    format!("{{\"eventId\":\"{id}\",\"userId\":\"u\",\"eventType\":\"purchase\",\"timestamp\":1731296325000{more}}}\n")
}

#[test]
fn a_directory_of_days_is_read_in_its_order_packed_or_not() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    for (day, category) in [("2024-11-12", "second"), ("2024-11-11", "first")] {
        std::fs::create_dir_all(dir.file(&format!("log/dt={day}"))).expect("made");
        let line = event("same", &format!(",\"category\":\"{category}\",\"amount\":1.5"));
        dir.write(&format!("log/dt={day}/a-00001.ndjson"), line);
    }
    let zst = zstd::encode_all(event("z", ",\"amount\":2").as_bytes(), 1).expect("packed");
    std::fs::write(dir.file("log/dt=2024-11-12/a-00002.ndjson.zst"), zst).expect("written");
    dir.write("log/dt=2024-11-12/a-00003.ndjson.torn", "{\"eventId\":\"torn\",\"us");
    dir.write("d.toml", "[[tag]]\ncode = 'c'\nvalue = 'last(category)'\n[[tag]]\ncode = 's'\nvalue = 'sum(amount)'\n");
    dir.adprof("compile --to duckdb --log log -d d.toml --tags all -o q.sql").ok();
    let answer = rows(&python, &dir.file("q.sql"));
    assert_eq!(value(&answer, "u", "c").as_deref(), Some("first"));
    assert_eq!(value(&answer, "u", "s").as_deref(), Some("3.5"));
}

#[test]
fn a_window_of_the_calendar_has_a_first_instant_once_the_last_is_known() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    // 2024-11-10 23:00 UTC is midnight in Berlin.
    let at = |id: &str, ts: i64| event(id, "").replace("1731296325000", &ts.to_string());
    dir.write("ad-events.log", at("before", 1_731_279_599_999) + &at("first", 1_731_279_600_000) + &event("last", ""));
    dir.write("d.toml", "[[tag]]\ncode = 'n'\nvalue = 'count(*)'\nwindow = 'day'\ntz = 'Europe/Berlin'\n");
    dir.adprof("compile --to duckdb -d d.toml --tags all --as-of 1731299925000 -o q.sql").ok();
    assert_eq!(value(&rows(&python, &dir.file("q.sql")), "u", "n").as_deref(), Some("2"));
    let output = dir.adprof("compile --to duckdb -d d.toml --tags all").exits(78);
    assert!(output.stderr.contains("a window of the calendar as of the last event in DuckDB"), "{}", output.stderr);
}

#[test]
fn amounts_of_any_size_are_exact_and_one_that_cannot_be_is_an_error() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    dir.write("d.toml", "[[tag]]\ncode = 's'\nvalue = 'sum(amount)'\n");
    let sum = |lines: &str| {
        dir.write("log.ndjson", lines);
        dir.adprof("compile --to duckdb --log log.ndjson -d d.toml --tags all -o q.sql").ok();
        rows(&python, &dir.file("q.sql"))
    };
    // Nested and written in a text: only the number that DuckDB read by way of a double is taken.
    let line = event("a", r#","nested":{"amount":1},"note":"\"amount\": 2","amount":9223372036854.775807"#);
    assert_eq!(value(&sum(&line), "u", "s").as_deref(), Some("9223372036854.775807"));
    // Two numbers give one double: nobody knows which it was.
    let line = event("a", r#","nested":{"amount":9223372036854.775806},"amount":9223372036854.775807"#);
    let error = sum(&line)["error"].to_string();
    assert!(error.contains("amount: a number that cannot be read exactly"), "{error}");
}

#[test]
fn upper_and_lower_case_are_those_of_batch_or_an_error() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    dir.write(
        "d.toml",
        "[[tag]]\ncode = 'l'\nvalue = 'last(LOWER(category))'\n[[tag]]\ncode = 'u'\nvalue = 'last(UPPER(category))'\n",
    );
    let answer = |category: &str, tag: &str| {
        dir.write("log.ndjson", event("a", &format!(",\"category\":\"{category}\"")));
        dir.adprof(&format!("compile --to duckdb --log log.ndjson -d d.toml --tags {tag} -o q.sql")).ok();
        rows(&python, &dir.file("q.sql"))
    };
    assert_eq!(value(&answer("Straße ǆ É", "u"), "u", "u").as_deref(), Some("STRASSE Ǆ É"));
    assert_eq!(value(&answer("İSTANBUL É", "l"), "u", "l").as_deref(), Some("i̇stanbul é"));
    for (category, tag, words) in [("ΑΣ", "l", "LOWER of a text with Σ"), ("ﬁn", "u", "UPPER of a text with letters")]
    {
        let error = answer(category, tag)["error"].to_string();
        assert!(error.contains(words), "{category}: {error}");
    }
}

#[test]
fn a_table_gives_the_values_of_the_log_and_a_column_tells_which_event_was_first() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let log = event("a", ",\"amount\":5,\"properties\":{\"duration\":7}") + &event("a", ",\"amount\":1");
    dir.write("log.ndjson", log);
    dir.write(
        "d.toml",
        "[[field]]\npath = 'properties.duration'\ntype = 'int'\n[[tag]]\ncode = 's'\nvalue = 'sum(amount)'\n\
         [[tag]]\ncode = 'd'\nvalue = 'sum(properties.duration)'\nwindow = '1h'\n",
    );
    let table = "(SELECT *, NULL AS tenantId, 10 - row_number() OVER () AS n FROM read_json('log.ndjson'))";
    for (flags, sum) in [("", "1"), ("--order n", "1")] {
        let line = format!("compile --to duckdb {flags} -d d.toml --tags all -o q.sql --from");
        dir.adprof(&line).arg(table).ok();
        let path = dir.file("q.sql");
        let sql = std::fs::read_to_string(&path).expect("written");
        let here = dir.file("log.ndjson").display().to_string();
        std::fs::write(&path, sql.replace("'log.ndjson'", &format!("'{here}'"))).expect("written");
        assert_eq!(value(&rows(&python, &path), "u", "s").as_deref(), Some(sum), "{flags}");
    }
}
