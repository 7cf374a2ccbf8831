//! Tags of other entities than users: a row per key, with the keys and the values that `batch` tells.

use super::duckdb::rows;
use crate::support::{self, Dir};
use serde_json::Value;
use std::collections::BTreeMap;

const AT: i64 = 1_763_640_000_000;
const MINUTE: i64 = 60_000;

const DEFINITIONS: &str = "[[entity]]
name = 'item'
key = 'itemId'
retain = '2h'

[[entity]]
name = 'cell'
key = ['properties.tags[]', \"hop(timestamp, '2m', '1m')\", 'category']

[[tag]]
code = 'user_n'
value = 'count(*)'

[[tag]]
code = 'item_n'
entity = 'item'
value = 'count(*)'

[[tag]]
code = 'item_users_10m'
entity = 'item'
value = 'count(DISTINCT userId)'
window = '10m'

[[tag]]
code = 'cell_n'
entity = 'cell'
value = 'count(*)'

[[tag]]
code = 'cell_last'
entity = 'cell'
value = 'last(amount)'
";

fn event(id: &str, user: &str, at: i64, more: &str) -> String {
    format!("{{\"eventId\":\"{id}\",\"userId\":\"{user}\",\"eventType\":\"click\",\"timestamp\":{at}{more}}}\n")
}

fn folder(definitions: &str) -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", definitions);
    dir
}

/// The rows of a statement for DuckDB, by the parts of their keys; numbers and texts as text.
fn asked(python: &str, dir: &Dir, flags: &str, width: usize) -> Result<BTreeMap<Vec<String>, Vec<String>>, String> {
    dir.adprof(&format!("compile --to duckdb -o q.sql {flags}")).ok();
    let answer = rows(python, &dir.file("q.sql"));
    if let Some(error) = answer["error"].as_str() {
        return Err(error.to_string());
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "null".to_string(),
        number => number["n"].as_str().unwrap_or_else(|| panic!("{number}")).to_string(),
    };
    let row = |row: &Value| {
        let names = row.as_object().expect("a row").values().map(text).collect::<Vec<_>>();
        (names[..width].to_vec(), names[width..].to_vec())
    };
    Ok(answer["rows"].as_array().expect("rows").iter().map(row).collect())
}

/// The same of `batch`: keys that are forgotten have no row.
fn told(dir: &Dir, entity: &str, at: i64) -> BTreeMap<Vec<String>, Vec<String>> {
    let text = |value: &Value| if let Value::String(text) = value { text.clone() } else { value.to_string() };
    let mut found = BTreeMap::new();
    for line in dir.adprof(&format!("batch --log log.ndjson --tags all --as-of {at}")).ok().lines() {
        let patch: Value = serde_json::from_str(line).expect("JSON");
        let tags: Vec<String> = patch["tags"].as_object().expect("tags").values().map(text).collect();
        if patch["entity"] == entity && tags.iter().any(|value| value != "null") {
            let key = match &patch["key"] {
                Value::Array(parts) => parts.iter().map(text).collect(),
                part => vec![text(part)],
            };
            found.insert(key, tags);
        }
    }
    found
}

#[test]
fn a_statement_has_the_key_in_front_and_a_file_with_entities_names_the_others() {
    let dir = folder(DEFINITIONS);
    let at = format!("--as-of {AT}");
    let sql = dir.adprof(&format!("compile --to duckdb --tags all --entity cell {at}")).ok();
    assert!(sql.starts_with("-- adprof: the tags of `cell` in adprof.toml, as of 2025-11-20T12:00:00.000Z"), "{sql}");
    assert!(sql.contains("\nSELECT \"cell_1\", \"cell_2\", \"cell_3\", \"cell_n\", \"cell_last\"\nFROM "), "{sql}");
    let output = dir.adprof(&format!("compile --to duckdb --tags all {at}")).exits(0);
    assert!(output.stdout.contains("\nSELECT \"userId\", \"user_n\"\nFROM folded;"), "{}", output.stdout);
    let words =
        "this statement has the tags of users; those of other entities are written by --entity item, --entity cell";
    assert!(output.stderr.contains(words), "{}", output.stderr);
    let named = dir.adprof(&format!("compile --to duckdb --tags all --entity user {at}")).exits(0);
    assert_eq!((named.stdout, named.stderr), (output.stdout, String::new()));
    // Who names tags of users misses none.
    assert_eq!(dir.adprof(&format!("compile --to duckdb --tags user_n {at}")).exits(0).stderr, "");
}

#[test]
fn tags_of_another_entity_than_asked_for_are_told_with_the_flag_that_asks_for_them() {
    let dir = folder(DEFINITIONS);
    for (line, exit, words) in [
        ("--tags item_n", 2, "`item_n` is of `item`, not of `user`\nhint: --entity item"),
        ("--tags user_n --entity item", 2, "`user_n` is of `user`, not of `item`"),
        ("--tags all --entity itm", 2, "--entity: unknown entity: itm\nhint: there are user, item, cell"),
        (
            "--entity item",
            78,
            "adprof.toml has no tag of `item` with update = \"daily\"\nhint: name the tags: --tags all",
        ),
    ] {
        let output = dir.adprof(&format!("compile --to spark {line}")).exits(exit);
        assert!(output.stderr.contains(words), "{line}: no {words:?} in:\n{}", output.stderr);
    }
    let text = DEFINITIONS.replace("[[tag]]\ncode = 'user_n'\nvalue = 'count(*)'\n", "");
    let output = folder(&text).adprof("compile --to spark --tags all").exits(78);
    let words = "adprof.toml has no tag of `user`\nhint: tags of other entities: --entity item, --entity cell";
    assert!(output.stderr.contains(words), "{}", output.stderr);
}

#[test]
fn a_key_is_there_until_the_pane_of_its_newest_event_is_over_as_in_batch() {
    let Some(python) = support::python() else { return };
    let dir = folder(DEFINITIONS);
    let ages = [0, 1, 9 * MINUTE, 10 * MINUTE, 119 * MINUTE, 120 * MINUTE, 121 * MINUTE];
    let lines = ages.iter().enumerate().map(|(i, age)| {
        let more = format!(",\"itemId\":\"i{i}\",\"receivedAt\":{AT}");
        event(&format!("e{i}"), "u", AT - age, &more)
    });
    dir.write("log.ndjson", lines.collect::<String>() + &event("none", "u", AT, ",\"itemId\":\"\""));
    let mut sizes = Vec::new();
    for at in [AT - 1, AT, AT + 1, AT + MINUTE, AT + 119 * MINUTE, AT + 120 * MINUTE - 1, AT + 120 * MINUTE] {
        let ours = told(&dir, "item", at);
        let flags = format!("--log log.ndjson --tags all --entity item --as-of {at}");
        assert_eq!(asked(&python, &dir, &flags, 1), Ok(ours.clone()), "at {at}");
        sizes.push(ours.len());
    }
    assert_eq!(sizes, [5, 5, 5, 4, 1, 1, 0], "the instants stand where keys come and go");
}

#[test]
fn an_event_counts_once_for_each_key_of_the_product_and_a_table_gives_what_the_log_gives() {
    let Some(python) = support::python() else { return };
    let dir = folder(DEFINITIONS);
    let tags = |tags: &str, amount: i64| {
        format!(",\"category\":\"c\",\"amount\":{amount},\"properties\":{{\"tags\":[{tags}]}}")
    };
    let log = event("a", "u", AT, &tags(r#""x","x","y","","a\nb""#, 7))
        // A duplicate of another body, and two events of one id and instant.
        + &event("a", "u", AT, &tags(r#""z""#, 8))
        + &event("twin", "u", AT + 1, &tags(r#""x""#, 64))
        + &event("twin", "v", AT + 1, &tags(r#""x""#, 63));
    dir.write("log.ndjson", log);
    let ours = told(&dir, "cell", AT + 1);
    let at = |back: i64| (AT - back * MINUTE).to_string();
    let key = |tag: &str, back: i64| vec![tag.to_string(), at(back), "c".to_string()];
    // By code: cell_last, cell_n.
    let row = |n: &str, last: &str| vec![last.to_string(), n.to_string()];
    let want = [("x", 0, "3", "64"), ("x", 1, "3", "64"), ("y", 0, "1", "7"), ("y", 1, "1", "7")];
    assert_eq!(ours, want.iter().map(|(tag, back, n, last)| (key(tag, *back), row(n, last))).collect());
    let flags = format!("--entity cell --tags all --as-of {}", AT + 1);
    assert_eq!(asked(&python, &dir, &format!("--log log.ndjson {flags}"), 3), Ok(ours.clone()));
    let here = dir.file("log.ndjson").display().to_string();
    dir.write("q.sql", "");
    let table = format!("(SELECT *, NULL AS tenantId, row_number() OVER () AS n FROM read_json('{here}'))");
    dir.adprof(&format!("compile --to duckdb -o q.sql {flags} --order n --from")).arg(&table).ok();
    let answer = rows(&python, &dir.file("q.sql"));
    assert_eq!(answer["rows"].as_array().map(Vec::len), Some(ours.len()), "{answer}");
}

#[test]
fn an_event_of_a_thousand_keys_is_counted_and_one_of_more_is_an_error() {
    let Some(python) = support::python() else { return };
    let dir = folder(DEFINITIONS);
    let log = |n: usize| {
        let tags: Vec<String> = (0..n).map(|n| format!("\"t{n}\"")).collect();
        let more = format!(",\"category\":\"c\",\"properties\":{{\"tags\":[\"t0\",null,{}]}}", tags.join(","));
        dir.write("log.ndjson", event("many", "u", AT, &more));
        asked(&python, &dir, "--log log.ndjson --entity cell --tags all", 3)
    };
    assert_eq!(log(500), Ok(told(&dir, "cell", AT)));
    assert_eq!(told(&dir, "cell", AT).len(), 1000);
    let error = log(501).expect_err("1,002 keys");
    assert!(error.contains("more than 1000 keys of cell are touched by event many"), "{error}");
}

#[test]
fn a_job_of_flink_has_the_key_for_its_own_and_refuses_what_time_alone_takes_away() {
    let dir = folder(DEFINITIONS);
    let job = "compile --to flink --job --into rows --tags all";
    let script = dir.adprof(&format!("{job} --entity cell")).ok();
    for words in [
        "    `cell_1` STRING,\n    `cell_2` STRING,\n    `cell_3` STRING,\n    `cell_n` BIGINT,\n",
        "PRIMARY KEY (`cell_1`, `cell_2`, `cell_3`) NOT ENFORCED",
        "'key.format' = 'json'",
        "CROSS JOIN UNNEST(",
    ] {
        assert!(script.contains(words), "no {words:?} in:\n{script}");
    }
    let output = dir.adprof(&format!("{job} --entity item")).exits(78);
    let words = "adprof.toml:4:11: `retain` of `item` in Flink: its values change by time alone";
    assert!(output.stderr.contains(words), "{}", output.stderr);
    assert!(output.stderr.contains("\nhint: "), "{}", output.stderr);
    let script = dir.adprof(&format!("{job} --entity item --as-of {AT}")).ok();
    assert!(
        script.contains("'key.format' = 'raw'") && script.contains("PRIMARY KEY (`item`) NOT ENFORCED"),
        "{script}"
    );
}

#[test]
fn what_an_engine_cannot_say_of_a_key_is_refused_where_the_key_stands() {
    let tag = |value: &str| format!("[[tag]]\ncode = 'a'\nentity = 'e'\nvalue = '{value}'\n");
    for (engine, key, tag, words) in [
        (
            "clickhouse",
            "['itemId', \"TRIM(category, 'é')\"]",
            tag("count(*)"),
            "d.toml:3:19: TRIM in ClickHouse: it takes off bytes",
        ),
        (
            "duckdb",
            "[\"hop(timestamp, '1h', '1m')\", \"hop(timestamp, '1m', '1s')\"]",
            tag("count(*)"),
            "d.toml:3:9: each event touches 3600 keys in DuckDB: of more than 1000 other ones would stay",
        ),
        ("flink", "'itemId'", tag("last(CAST(amount AS DOUBLE))"), "d.toml:7:10: last in Flink: two events of one id"),
        (
            "spark",
            "'itemId'",
            "[[tag]]\ncode = 'E'\nentity = 'e'\nvalue = 'count(*)'\n".into(),
            "`E` is the column of the key in Spark",
        ),
    ] {
        let dir = Dir::new();
        dir.write("d.toml", format!("[[entity]]\nname = 'e'\nkey = {key}\n{tag}"));
        let line = format!("compile --to {engine} -d d.toml --entity e --tags all --as-of {AT}");
        let output = dir.adprof(&line).exits(78);
        assert!(output.stderr.contains(words), "no {words:?} in:\n{}", output.stderr);
        assert_eq!(output.stdout, "");
    }
    let dir = folder(DEFINITIONS);
    let line = format!("compile --to flink --from t --entity cell --tags cell_n --as-of {AT}");
    let output = dir.adprof(&line).exits(78);
    assert!(output.stderr.contains("Flink does not sort by an array"), "{}", output.stderr);
    dir.adprof(&format!("{line} --order n")).ok();
}
