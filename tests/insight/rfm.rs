//! RFM of real shops, from one definition file: its sizes are DuckDB's.
//!
//! The data sets are not part of this project; without them the test says that it did nothing.

use crate::support::{Dir, data, project, python};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// The segments as SQL over the events alone; 90 and 270 days in milliseconds.
const SIZES: &str = r#"
import duckdb, json, sys
db = duckdb.connect()
rows = db.execute("""
WITH e AS (SELECT userId, eventType, timestamp, amount FROM read_json($1, format='newline_delimited',
             columns={'userId': 'VARCHAR', 'eventType': 'VARCHAR', 'timestamp': 'BIGINT', 'amount': 'DECIMAL(18,6)'})),
     b AS (SELECT userId, max(timestamp) last, count(*) n, sum(amount) spent FROM e WHERE eventType = 'purchase' GROUP BY userId),
     m AS (SELECT CASE WHEN last >= $2 - 7776000000 THEN 3 WHEN last >= $2 - 23328000000 THEN 2 ELSE 1 END r,
             CASE WHEN n >= 4 THEN 3 WHEN n >= 2 THEN 2 ELSE 1 END f,
             CASE WHEN spent >= 150 THEN 3 WHEN spent >= 40 THEN 2 ELSE 1 END m FROM b)
SELECT CASE WHEN r = 3 AND f = 3 AND m = 3 THEN 'champions' WHEN r >= 2 AND f >= 2 THEN 'loyal' WHEN r >= 2 THEN 'new'
            WHEN f >= 2 OR m = 3 THEN 'at_risk' ELSE 'lost' END segment, count(*) FROM m GROUP BY segment
""", [sys.argv[1], int(sys.argv[2])]).fetchall()
print(json.dumps(dict(rows)))
"#;

const SEGMENTS: [&str; 5] = ["champions", "loyal", "new", "at_risk", "lost"];

/// A store of the set's buyers, and what DuckDB says of their segments.
fn segmented(set: &str, as_of: i64) -> Option<(Dir, BTreeMap<String, u64>)> {
    let (packed, python) = (data(&format!("{set}/events.ndjson.zst"))?, python()?);
    let dir = Dir::new();
    let events = zstd::stream::decode_all(&fs::read(packed).expect("read")[..]).expect("zstd");
    let events = dir.write("events.ndjson", events);
    dir.write("adprof.toml", fs::read(project().join("docs/rfm.toml")).expect("docs/rfm.toml"));
    let patches = dir.adprof(&format!("batch --log events.ndjson --as-of {as_of}")).ok();
    dir.adprof("sink file").stdin(patches).exits(0);
    let out =
        Command::new(python).args(["-c", SIZES]).arg(events).arg(as_of.to_string()).output().expect("Python runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some((dir, serde_json::from_slice(&out.stdout).expect("sizes")))
}

fn holds(set: &str, as_of: i64) {
    let Some((dir, wanted)) = segmented(set, as_of) else { return };
    let mut all = 0;
    for code in SEGMENTS {
        let wanted = wanted.get(code).copied().unwrap_or(0);
        let size: u64 = dir.adprof(&format!("segment size {code}")).ok().trim().parse().expect("a size");
        assert_eq!(size, wanted, "{set}: {code}");
        all += size;
        if size < 10 {
            dir.adprof(&format!("segment insight {code}")).exits(if size == 0 { 66 } else { 77 });
            continue;
        }
        let lines = dir.adprof(&format!("segment insight {code} --as-of {as_of}")).ok();
        for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line")) {
            assert_eq!(line["size"], size, "{set}: {line}");
        }
    }
    assert_eq!(all, wanted.values().sum::<u64>(), "{set}: every buyer is in one segment");
}

#[test]
fn the_buyers_of_cdnow() {
    holds("cdnow", 899_251_200_000);
}

#[test]
fn the_buyers_of_the_raiknef_funnel() {
    holds("raiknef-funnel", 1_785_542_400_000);
}

/// The page of the documentation shows the file as it is.
#[test]
fn the_documentation_shows_the_definition_file() {
    let read = |name: &str| fs::read_to_string(project().join(name)).expect(name);
    let (page, file) = (read("docs/insight.md"), read("docs/rfm.toml"));
    let typed: String = file.lines().map(|line| format!("> {line}").trim_end().to_string() + "\n").collect();
    assert!(page.contains(&typed), "docs/insight.md does not show docs/rfm.toml");
}
