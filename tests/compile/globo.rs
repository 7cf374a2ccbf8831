//! Thirty windowed tags over real clicks at five instants: `batch` and the statement for DuckDB.

use super::duckdb::rows;
use crate::support::{self, Dir};
use std::collections::BTreeMap;
use std::fmt::Write;

const FIRST: i64 = 1_506_826_800_026;
const LAST: i64 = 1_508_888_931_578;

fn thirty_tags() -> String {
    let mut text = String::new();
    for window in ["15m", "1h", "6h", "1d", "7d", "20d"] {
        for (name, value) in [
            ("clicks", "count(*)"),
            ("items", "count_distinct(itemId)"),
            ("item", "last(itemId)"),
            ("session", "first(sessionId)"),
            ("at", "max(timestamp)"),
        ] {
            writeln!(text, "[[tag]]\ncode = '{name}_{window}'\nvalue = '{value}'\nwindow = '{window}'")
                .expect("a text");
        }
    }
    text
}

/// A value as it is in JSON; `engine.py` writes a number as `{"n": "5"}`.
fn plain(value: &serde_json::Value) -> String {
    match &value["n"] {
        serde_json::Value::String(number) => number.clone(),
        _ => value.to_string(),
    }
}

#[test]
fn duckdb_gives_thirty_windowed_tags_of_real_clicks_as_batch_does() {
    let (Some(python), Some(data)) = (support::python(), support::data("globo-clicks/events.ndjson.zst")) else {
        return;
    };
    let dir = Dir::new();
    std::fs::copy(data, dir.file("ad-events.log.zst")).expect("copied");
    dir.write("d.toml", thirty_tags());
    let mut values = 0;
    // Right before, at and right behind an edge of panes, in the middle, and at the end.
    let hour = FIRST - FIRST % 3_600_000 + 48 * 3_600_000;
    for at in [hour - 1, hour, hour + 1, (FIRST + LAST) / 2, LAST] {
        let profiles = dir.adprof(&format!("batch -d d.toml --log ad-events.log.zst --tags all --as-of {at}")).ok();
        dir.adprof(&format!("compile --to duckdb -d d.toml --log ad-events.log.zst --tags all --as-of {at} -o q.sql"))
            .ok();
        let answer = rows(&python, &dir.file("q.sql"));
        let theirs: BTreeMap<&str, &serde_json::Value> = answer["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| (row["userId"].as_str().expect("a user"), row))
            .collect();
        assert_eq!(theirs.len(), profiles.lines().count(), "at {at}");
        for line in profiles.lines() {
            let profile: serde_json::Value = serde_json::from_str(line).expect("a profile");
            let user = profile["userId"].as_str().expect("a user");
            for (code, ours) in profile["tags"].as_object().expect("tags") {
                assert_eq!(plain(ours), plain(&theirs[user][code]), "{code} of {user} at {at}");
                values += 1;
            }
        }
    }
    assert!(values > 1_000_000, "{values}");
}
