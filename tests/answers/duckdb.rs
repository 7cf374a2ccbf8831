//! DuckDB through Python, as the other program that reads what adprof writes.

use std::path::Path;
use std::process::Command;

const MEMBERS: &str = r#"
import duckdb, json, sys
db = duckdb.connect()
db.execute("""CREATE TABLE p AS SELECT userId,
    tags.age::BIGINT age, tags.city::VARCHAR city, tags.ltv::DECIMAL(18,6) ltv, tags.score::DOUBLE score,
    tags.vip::BOOLEAN vip, tags.seen::BIGINT seen
    FROM read_json(?, format='newline_delimited', columns={'userId': 'VARCHAR', 'asOf': 'BIGINT',
        'tags': 'STRUCT(age BIGINT, city VARCHAR, ltv DECIMAL(18,6), score DOUBLE, vip BOOLEAN, seen BIGINT)'})""", [sys.argv[1]])
for line in open(sys.argv[2], encoding='utf-8'):
    rows = db.execute("SELECT userId FROM p WHERE " + json.loads(line) + " ORDER BY userId").fetchall()
    print(json.dumps([r[0] for r in rows]))
"#;

/// For each rule of a file the users that DuckDB finds in exported NDJSON, sorted.
pub fn members(python: &str, dir: &Path, profiles: &str, rules: &str) -> Vec<Vec<String>> {
    let lines = run(python, dir, MEMBERS, &[profiles, rules]);
    lines.lines().map(|line| serde_json::from_str(line).expect("a list of ids")).collect()
}

/// What a Python script prints.
pub fn run(python: &str, dir: &Path, script: &str, args: &[&str]) -> String {
    let out = Command::new(python).arg("-c").arg(script).args(args).current_dir(dir).output().expect("Python runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}
