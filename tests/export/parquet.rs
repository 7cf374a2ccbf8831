//! Parquet, as DuckDB reads it: every value is the one that NDJSON tells, of its own type.

use crate::support::python;
use crate::world::{hard, many, random};
use std::fs;
use std::path::Path;
use std::process::Command;

const COMPARE: &str = r#"
import duckdb, json
from decimal import Decimal

def plain(value):
    """As JSON tells it: a decimal stays one, an instant is milliseconds."""
    if isinstance(value, dict): return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list): return [plain(v) for v in value]
    return value

shape = {r[0]: r[1] for r in duckdb.sql("DESCRIBE SELECT * FROM 'out.parquet'").fetchall()}
print(json.dumps(shape))
columns = [c for c in shape if c not in ("userId", "seen")]
rows = duckdb.sql(f"SELECT userId, epoch_ms(seen), {', '.join(columns)} FROM 'out.parquet'").fetchall()
want = [json.loads(line, parse_float=str, parse_int=str) for line in open("out.ndjson", encoding="utf-8")]
assert len(rows) == len(want), (len(rows), len(want))

def number(text, like):
    return Decimal(text) if isinstance(like, Decimal) else float(text) if isinstance(like, float) else int(text)

def same(got, told):
    if isinstance(got, dict): return set(got) == set(told) and all(same(v, told[k]) for k, v in got.items())
    if isinstance(got, list): return len(got) == len(told) and all(same(a, b) for a, b in zip(got, told))
    if got is None or told is None or isinstance(got, bool) or isinstance(told, bool): return got is told
    if isinstance(got, str): return got == told
    return got == number(told, got)

for (user, seen, *values), line in zip(rows, want):
    assert user == line["userId"], (user, line)
    tags = line["tags"]
    for column, value in zip(["seen"] + columns, [seen] + values):
        told = tags.get(column) if column != "segments" else line["segments"]
        assert same(plain(value), told), (user, column, value, told)
print("same", len(rows))
"#;

fn run(python: &str, dir: &Path, script: &str) -> String {
    let out = Command::new(python).arg("-c").arg(script).current_dir(dir).output().expect("python runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

const TYPES: &str = r#"{"userId": "VARCHAR", "age": "BIGINT", "city": "VARCHAR", "ltv": "DECIMAL(38,6)", "score": "DOUBLE", "vip": "BOOLEAN", "seen": "TIMESTAMP WITH TIME ZONE", "likes": "VARCHAR[]", "sums": "DECIMAL(38,6)[]", "counts": "MAP(VARCHAR, BIGINT)", "days": "MAP(VARCHAR, BIGINT[])""#;

#[test]
fn duckdb_reads_the_values_that_ndjson_tells() {
    let Some(python) = python() else { return };
    let dir = hard();
    for (who, users, more) in [("", 9, ""), ("--segment adults --segment vips", 3, r#", "segments": "VARCHAR[]""#)] {
        dir.adprof(&format!("export -q {who} -o out.parquet")).ok();
        dir.adprof(&format!("export -q {who} -o out.ndjson")).ok();
        assert_eq!(run(&python, dir.path(), COMPARE), format!("{TYPES}{more}}}\nsame {users}\n"));
    }
    // What is compared can differ.
    let other = dir.read("out.ndjson").replace("9223372036854.775807", "9223372036854.775806");
    dir.write("out.ndjson", other);
    let differs = Command::new(&python).args(["-c", COMPARE]).current_dir(dir.path()).output().expect("python runs");
    assert!(!differs.status.success(), "a millionth is seen");
}

#[test]
fn values_by_chance_are_the_same_however_deep_and_empty() {
    let Some(python) = python() else { return };
    for seed in [1, 0x5eed, 20_261_122] {
        let dir = random(seed, 400);
        dir.adprof("export -q -o out.parquet").ok();
        dir.adprof("export -q -o out.ndjson").ok();
        assert_eq!(run(&python, dir.path(), COMPARE), format!("{TYPES}}}\nsame 400\n"), "seed {seed}");
    }
}

#[test]
fn a_file_says_where_it_is_from_and_is_written_in_groups() {
    let Some(python) = python() else { return };
    let dir = many(30_000);
    dir.adprof("export -q --segment adults -o out.parquet --as-of 2027-01-02T03:04:05Z").ok();
    let version: serde_json::Value =
        serde_json::from_str(dir.adprof("segment size adults --format ndjson").ok().trim()).expect("JSON");
    let script = "import duckdb\nfor k, v in duckdb.sql(\"SELECT decode(key), decode(value) FROM parquet_kv_metadata('out.parquet') ORDER BY 1\").fetchall(): print(k, v)\nprint(duckdb.sql(\"SELECT DISTINCT compression FROM parquet_metadata('out.parquet')\").fetchall())";
    let told = run(&python, dir.path(), script);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "adprof.asOf 1798859045000");
    assert!(lines[1].starts_with("adprof.definitions ") && lines[1].len() == 19 + 16, "{}", lines[1]);
    assert_eq!(lines[2], format!("adprof.rules [{{\"segment\":\"adults\",\"version\":{}}}]", version["version"]));
    assert_eq!(lines[3], "[('ZSTD',)]");
    // Of many files each gathers less: what is in memory does not grow with the users.
    dir.adprof("export -q --format parquet --partition-by vip -o out/").ok();
    let groups = "import duckdb\nprint(duckdb.sql(\"SELECT min(n), max(rows) FROM (SELECT count(DISTINCT row_group_id) n, max(row_group_num_rows) rows FROM parquet_metadata('out/*/*.parquet') GROUP BY file_name)\").fetchall())\nprint(duckdb.sql(\"SELECT count(*), count(DISTINCT userId), sum(ltv), count(age) FROM 'out/*/*.parquet'\").fetchall())";
    let told = run(&python, dir.path(), groups);
    let (first, sums) = told.split_once('\n').expect("two lines");
    let numbers: Vec<u64> =
        first.trim_matches(|c| "[]()".contains(c)).split(", ").map(|n| n.parse().expect("a number")).collect();
    assert!(numbers[0] > 3 && numbers[1] < 3_000, "{first}");
    let ndjson = dir.adprof("export -q --format ndjson").ok();
    let millionths: i128 = ndjson
        .lines()
        .map(|line| {
            let text = line.split("\"ltv\":").nth(1).expect("a value").split(',').next().expect("a number");
            let (whole, part) = text.split_once('.').expect("places");
            whole.parse::<i128>().expect("digits") * 100 + part.parse::<i128>().expect("digits")
        })
        .sum();
    assert_eq!(
        sums.trim(),
        format!("[(30000, 30000, Decimal('{}.{:02}0000'), 30000)]", millionths / 100, millionths % 100)
    );
}

#[test]
fn a_value_that_is_not_of_its_type_is_null_and_told() {
    let dir = hard();
    let text = dir
        .read("adprof.toml")
        .replace("code = \"likes\"\ntype = \"list<string>\"", "code = \"likes\"\ntype = \"list<int>\"");
    dir.write("adprof.toml", text);
    let out = dir.adprof("export -o out.parquet").exits(0);
    assert!(out.stderr.contains("4 values are NULL in Parquet"), "{}", out.stderr);
    assert!(fs::metadata(dir.file("out.parquet")).expect("there").len() > 500);
}

#[test]
fn no_user_is_a_file_with_columns() {
    let Some(python) = python() else { return };
    let dir = hard();
    dir.adprof("export -q --where age=1000000 --tags ltv,city -o out.parquet").ok();
    let script = "import duckdb\nr = duckdb.sql(\"SELECT * FROM 'out.parquet'\")\nprint(r.columns, r.fetchall())";
    assert_eq!(run(&python, dir.path(), script), "['userId', 'city', 'ltv'] []\n");
}
