//! Every aggregation through the real program: stream, batch and query say the same, and DuckDB says it too.

mod support;

use adprof::agg::Function;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use support::{Dir, python};

/// How each is called here.
fn call(function: Function) -> &'static str {
    match function {
        Function::Count => "count(*)",
        Function::Sum => "sum(amount)",
        Function::Avg => "avg(properties.duration)",
        Function::Min => "min(amount)",
        Function::Max => "max(timestamp)",
        Function::First => "first(category)",
        Function::Last => "last(itemId)",
        Function::CountDistinct => "count_distinct(itemId)",
        Function::Variance => "variance(properties.duration)",
        Function::Stddev => "stddev(amount)",
        Function::FirstK => "first_k(category, 3)",
        Function::LastK => "last_k(itemId, 3)",
        Function::TopK => "top_k(category, 3)",
        Function::Histogram => "histogram(category)",
        Function::ApproxPercentile => "approx_percentile(properties.duration, 0.9)",
        Function::Decayed => "decayed(1, '2h')",
    }
}

/// A definition file that has them all, lifetime and windowed, with and without `by`.
fn definitions() -> String {
    let mut text = "[[field]]\npath = \"properties.duration\"\ntype = \"int\"\n".to_string();
    for function in Function::ALL {
        for (suffix, more) in [
            ("", ""),
            ("_3h", "window = \"3h\"\nresolution = \"10m\"\n"),
            ("_by_type", "by = \"eventType\"\n"),
            ("_by_category_1d", "window = \"1d\"\nresolution = \"1h\"\nby = \"category\"\nkeep = 4\n"),
        ] {
            let more = match function {
                // It has its window by nature. So two tags mean the same, and both are kept.
                Function::Decayed => {
                    more.lines().filter(|line| line.starts_with(['b', 'k'])).collect::<Vec<_>>().join("\n")
                }
                _ => more.to_string(),
            };
            let (code, value) = (function.name(), call(*function));
            text.push_str(&format!("[[tag]]\ncode = \"{code}{suffix}\"\nvalue = \"{value}\"\n{more}\n"));
        }
    }
    text
}

fn generated(args: &str) -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", definitions());
    let events = dir.adprof(&format!("gen --events 3000 --users 60 {args}")).ok();
    dir.write("events.ndjson", events);
    dir
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The tags of each user that have a value.
fn tags(lines: &str) -> BTreeMap<String, BTreeMap<String, Value>> {
    let one = |line: &str| {
        let patch: Value = serde_json::from_str(line).expect("a patch");
        let tags = patch["tags"].as_object().expect("tags").iter().filter(|(_, value)| !value.is_null());
        (patch["userId"].as_str().expect("an id").to_string(), tags.map(|(c, v)| (c.clone(), v.clone())).collect())
    };
    lines.lines().map(one).collect()
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

#[test]
fn stream_batch_and_query_say_the_same_of_every_aggregation() {
    // Of the last day, because a state follows the clock.
    let dir = generated(&format!("--duplicates 5 --late 5 --days 1 --start {}", now() - 90_000_000));
    let events = dir.read("events.ndjson");
    let mut turned: Vec<&str> = events.lines().collect();
    turned.reverse();
    let turned = turned.join("\n") + "\n";
    dir.adprof("check adprof.toml").ok();
    dir.adprof("stream --store file:s").stdin(turned.clone()).exits(0);
    let now = now();
    for as_of in [now, now + 1, now + 3_600_000, now + 7 * 86_400_000] {
        let batch = dir.adprof(&format!("batch --log events.ndjson --tags all --as-of {as_of}")).ok();
        assert!(batch.lines().count() > 40, "{}", batch.lines().count());
        let stream = dir.adprof(&format!("stream --emit final --as-of {as_of}")).stdin(turned.clone()).ok();
        assert!(sorted(&stream) == sorted(&batch), "as of {as_of} stream and batch differ");
        let users: Vec<String> = tags(&batch).into_keys().collect();
        let query = dir.adprof(&format!("query --store file:s --as-of {as_of} -")).stdin(users.join("\n")).ok();
        let (query, batch) = (tags(&query), tags(&batch));
        for (user, want) in &batch {
            for code in want.keys().chain(query[user].keys()) {
                assert_eq!(query[user].get(code), want.get(code), "{code} of {user} as of {as_of}");
            }
        }
    }
    // Through a sink, and out again in every format.
    let batch = dir.adprof("batch --log events.ndjson --tags all").ok();
    dir.adprof("sink file:sunk").stdin(batch.clone()).exits(0);
    assert_eq!(tags(&dir.adprof("export --store file:sunk --format ndjson").ok()), tags(&batch));
    let csv = dir.adprof("export --store file:sunk --tags histogram,last_k").ok();
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    for row in rows.records() {
        let row = row.expect("a row");
        let known = &tags(&batch)[&row[0]];
        for (cell, code) in [(&row[1], "last_k"), (&row[2], "histogram")] {
            let value = (!cell.is_empty()).then(|| serde_json::from_str::<Value>(cell).expect("JSON"));
            assert_eq!(value.as_ref(), known.get(code), "{code} of {}", &row[0]);
        }
    }
    let rule = "contains(top_k, 'sports') AND len(histogram) > 1";
    let members = dir.adprof_args(["segment", "members", "--store", "file:sunk", "--where", rule]).ok();
    let want = tags(&batch).into_iter().filter(|(_, tags)| {
        let top = tags.get("top_k").and_then(Value::as_array).cloned().unwrap_or_default();
        top.iter().any(|v| v == "sports") && tags["histogram"].as_object().is_some_and(|h| h.len() > 1)
    });
    assert_eq!(sorted(&members), want.map(|(user, _)| user).collect::<Vec<_>>());
    let table = dir.adprof("query --store file:sunk --format table --tags top_k u-0000001").ok();
    assert!(table.contains("top_k  [\""), "{table}");
}

#[test]
fn redis_holds_lists_and_maps_as_json() {
    let Some(redis) = support::redis() else { return };
    let dir = Dir::new();
    let user = support::unique();
    let tags = r#"{"last_k":["b","a"],"histogram":{"a":1,"b":2}}"#;
    dir.write("adprof.toml", definitions());
    dir.write("p.ndjson", format!("{{\"userId\":\"{user}\",\"asOf\":5,\"tags\":{tags}}}\n"));
    dir.adprof(&format!("sink redis {redis}")).stdin(dir.read("p.ndjson")).exits(0);
    let shown = dir.adprof(&format!("query --store {redis} {user}")).ok();
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["tags"], serde_json::from_str::<Value>(tags).expect("JSON"));
}

#[test]
fn a_sample_with_more_values_than_are_kept_is_told() {
    let dir = generated("");
    let told = dir.adprof("check adprof.toml --sample events.ndjson").exits(0).stderr;
    let warning = "tag `histogram_by_category_1d`: more than 4 different values for ";
    assert!(told.contains(warning) && told.contains("hint: raise `keep`, to 10,000 at most"), "{told}");
    assert!(!told.contains("tag `histogram`:"), "{told}");
}

const DUCKDB: &str = r#"
import duckdb, json, sys
db = duckdb.connect()
db.execute("""CREATE TABLE e AS SELECT userId u, eventId id, timestamp ts, category c, itemId i, amount a, properties.duration d
    FROM read_json(?, format='newline_delimited', columns={'userId': 'VARCHAR', 'eventId': 'VARCHAR', 'timestamp': 'BIGINT',
        'category': 'VARCHAR', 'itemId': 'VARCHAR', 'amount': 'DECIMAL(18,6)', 'properties': 'STRUCT(duration BIGINT)'})""", [sys.argv[1]])
rows = db.execute("""
    SELECT u, var_samp(d), stddev_samp(a),
        (list(c ORDER BY ts, id) FILTER (c IS NOT NULL))[1:3],
        (list(i ORDER BY ts DESC, id DESC) FILTER (i IS NOT NULL))[1:3],
        count(DISTINCT i), quantile_disc(d, 0.9)
    FROM e GROUP BY u""").fetchall()
out = {u: dict(zip(["variance", "stddev", "first_k", "last_k", "count_distinct", "approx_percentile"], row)) for u, *row in rows}
for u, top, keys, counts in db.execute("""
    SELECT u, list(c ORDER BY n DESC, c)[1:3], list(c ORDER BY c), list(n ORDER BY c)
    FROM (SELECT u, c, count(*) n FROM e WHERE c IS NOT NULL GROUP BY u, c) GROUP BY u""").fetchall():
    out[u]["top_k"] = top
    out[u]["histogram"] = dict(zip(keys, counts))
print(json.dumps(out))
"#;

#[test]
fn duckdb_gives_the_same_values() {
    let Some(python) = python() else { return };
    let dir = generated("");
    let output =
        Command::new(python).args(["-c", DUCKDB, "events.ndjson"]).current_dir(dir.path()).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_slice(&output.stdout).expect("JSON");
    let ours = tags(&dir.adprof("batch --log events.ndjson --tags all").ok());
    assert_eq!(ours.len(), theirs.len());
    let mut compared = 0;
    for (user, tags) in &theirs {
        for (code, value) in tags {
            let own = ours[user].get(code).unwrap_or(&Value::Null);
            // What DuckDB calculates in doubles, and what is told to within 1/128.
            let error = match code.as_str() {
                "variance" | "stddev" => 1e-9,
                "approx_percentile" => 1.0 / 128.0,
                _ => 0.0,
            };
            let equal = match (own.as_f64(), value.as_f64()) {
                (Some(own), Some(theirs)) => (own - theirs).abs() <= error * theirs.abs(),
                _ => own == value,
            };
            assert!(equal, "{code} of {user}: {own}, DuckDB {value}");
            compared += usize::from(!value.is_null());
        }
    }
    assert!(compared > theirs.len() * 6, "too little was compared: {compared}");
}
