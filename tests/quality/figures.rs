//! Figures: of the same patches by Python and by DuckDB, and the same from `batch`, from `check`, and on any threads.

use crate::support::{self, Dir, project};
use serde_json::Value;
use std::process::Command;

/// A tag of each type, with NULLs, numbers beyond 64 bits when summed, and texts of every kind.
pub const DEFINITIONS: &str = r#"
[[tag]]
code = "events"
value = "count(*)"
[[tag]]
code = "spent"
value = "sum(amount)"
where = "eventType = 'purchase'"
[[tag]]
code = "usual"
value = "avg(amount)"
[[tag]]
code = "category"
value = "last(category)"
[[tag]]
code = "last_seen"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "buyer"
value = "spent > 100"
[[tag]]
code = "ratio"
value = "CAST(spent AS double) / 3"
[[tag]]
code = "session"
value = "last(sessionId)"
"#;

/// The figures of each tag by Python: its numbers are decimals of any length.
const PYTHON: &str = r#"
import json, sys
from decimal import Decimal, getcontext
getcontext().prec = 200
rows, tags = 0, {}
types = json.loads(sys.argv[2])
for line in open(sys.argv[1], encoding="utf-8"):
    rows += 1
    for code, value in json.loads(line, parse_float=Decimal)["tags"].items():
        tags.setdefault(code, []).append(value)
out = {}
for code, values in tags.items():
    there = [v for v in values if v is not None]
    out[code] = {"type": types[code], "rows": len(values), "nulls": len(values) - len(there), "wrong": 0,
                 "distinct": len(set(there)), "exact": True}
    if types[code] in ("int", "decimal", "double", "datetime") and there:
        number = lambda x: format(Decimal(x).normalize(), "f")
        out[code]["min"], out[code]["max"] = number(min(there)), number(max(there))
        if types[code] in ("int", "decimal"):
            out[code]["sum"] = number(sum(map(Decimal, there)))
        if types[code] == "double":
            # A double counts as so many millionths as its product with 10^6 is, rounded: adprof's rule for all doubles.
            micros = lambda v: Decimal(float(v) * 1e6).quantize(Decimal(1), "ROUND_HALF_UP")
            out[code]["sum"] = number(sum(map(micros, there)) / 10**6)
print(json.dumps({"rows": rows, "tags": out}))
"#;

/// The same by DuckDB. Sums from the text of the line: its JSON functions read numbers as doubles.
const DUCKDB: &str = r#"
import duckdb, json, sys
out = {}
con = duckdb.connect()
con.execute("create table p as select line, json_extract(line, '$.tags') as t from read_csv(?, columns={'line':'varchar'}, delim='\x01', quote='', escape='', header=false) as f(line)", [sys.argv[1]])
for code in sys.argv[2].split(","):
    at = f"json_extract_string(t, '$.{code}')"
    row = con.execute(f"select count(*), count(*) - count({at}), count(distinct {at}), sum(try_cast(regexp_extract(line, '\"{code}\":([-0-9.]+)', 1) as decimal(38,6)))::varchar from p").fetchone()
    out[code] = list(row)
print(json.dumps(out))
"#;

fn python(program: &str, code: &str, args: &[&str]) -> Option<Value> {
    let output = Command::new(program).arg("-B").arg("-c").arg(code).args(args).output();
    let Ok(output) = output else {
        support::skipped(&format!("no {program}"));
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// A folder with a log of many kinds, the definitions, and `p.ndjson` with its manifest.
fn made(threads: u32) -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    let mut log = dir.adprof("gen --events 30000 --users 4000 --duplicates 5% --days 5").ok();
    log += "junk\n[1]\njunk\n";
    for (i, text) in ["a\\\"b", "ü,}", "\\u2028", " ", "null", "5"].iter().enumerate() {
        log += &format!(
            "{{\"eventId\":\"x{i}\",\"userId\":\"ö\\\"{i}\",\"eventType\":\"purchase\",\"timestamp\":1735689600000,\
             \"category\":\"{text}\",\"amount\":9223372036854.775807}}\n"
        );
    }
    dir.write("log.ndjson", log);
    let args = format!("batch --log log.ndjson --tags all -o p.ndjson --manifest --max-errors 50% --threads {threads}");
    dir.adprof(&args).exits(0);
    dir
}

fn manifest(dir: &Dir) -> Value {
    serde_json::from_str(&dir.read("p.ndjson.manifest.json")).expect("JSON")
}

/// The numbers of a text of JSON as texts: serde would round them.
fn exact(text: &str) -> Option<Value> {
    let code = "import json, sys\nfrom decimal import Decimal\nn = lambda x: format(Decimal(x).normalize(), 'f')\n\
                d = json.loads(sys.argv[1], parse_float=Decimal)\n\
                for t in d['tags'].values():\n t.pop('fingerprint', None)\n for k in ('min', 'max', 'sum'):\n  \
                if k in t: t[k] = n(t[k])\nprint(json.dumps({'rows': d.get('rows') or d['output']['rows'], 'tags': d['tags']}))";
    python("python3", code, &[text])
}

#[test]
fn the_figures_are_those_that_python_and_duckdb_find() {
    let dir = made(2);
    let types = r#"{"events":"int","spent":"decimal","usual":"decimal","category":"string","last_seen":"datetime","buyer":"bool","ratio":"double","session":"string"}"#;
    let path = dir.file("p.ndjson").display().to_string();
    let Some(want) = python("python3", PYTHON, &[&path, types]) else { return };
    assert!(want["rows"].as_u64().expect("a number") > 1000, "{want}");
    for code in ["spent", "category", "buyer", "ratio"] {
        assert!(want["tags"][code]["nulls"].as_u64().is_some_and(|n| n > 0), "{code}: {want}");
    }
    let mut by_batch = exact(&dir.read("p.ndjson.manifest.json")).expect("as before");
    let mut by_check = exact(&dir.adprof("check --data p.ndjson --json").ok()).expect("as before");
    for tag in ["usual", "ratio"] {
        // Python has the largest and the smallest double in all their digits, adprof in the fewest that tell it.
        for key in ["min", "max"] {
            for side in [&mut by_batch, &mut by_check] {
                let ours: f64 = side["tags"][tag][key].as_str().expect("a number").parse().expect("a number");
                let theirs: f64 = want["tags"][tag][key].as_str().expect("a number").parse().expect("a number");
                assert_eq!(ours, theirs, "{tag} {key}");
                side["tags"][tag][key] = want["tags"][tag][key].clone();
            }
        }
    }
    assert_eq!(by_batch, want);
    assert_eq!(by_check, want);
    let Some(program) = support::python() else { return };
    let codes = "events,spent,category,last_seen,buyer";
    let duckdb = python(&program, DUCKDB, &[&path, codes]).expect("it is there");
    for code in codes.split(',') {
        let (theirs, ours) = (&duckdb[code], &want["tags"][code]);
        assert_eq!((&theirs[0], &theirs[1], &theirs[2]), (&ours["rows"], &ours["nulls"], &ours["distinct"]), "{code}");
        if let Some(sum) = ours["sum"].as_str() {
            let theirs = theirs[3].as_str().expect("a sum").trim_end_matches('0').trim_end_matches('.').to_owned();
            assert_eq!(theirs, sum, "{code}");
        }
    }
}

#[test]
fn the_manifest_says_what_the_output_and_the_run_are() {
    let dir = made(1);
    let manifest = manifest(&dir);
    let bytes = std::fs::read(dir.file("p.ndjson")).expect("there");
    assert_eq!(manifest["output"]["bytes"], bytes.len());
    let sum = Command::new("sha256sum").arg(dir.file("p.ndjson")).output().expect("sha256sum");
    assert_eq!(manifest["output"]["sha256"], String::from_utf8_lossy(&sum.stdout)[..64]);
    assert_eq!(manifest["output"]["rows"], bytes.iter().filter(|b| **b == b'\n').count());
    // Every line of the log is one of four things.
    let log = dir.read("log.ndjson");
    let events = &manifest["events"];
    let n = |name: &str| events[name].as_u64().expect("a number");
    let refused: u64 =
        events["refused"].as_object().expect("by code").values().map(|n| n.as_u64().expect("a number")).sum();
    assert!(refused > 0 && n("duplicates") > 0);
    assert_eq!(n("counted") + n("duplicates") + n("outside") + refused, n("lines"));
    assert_eq!(n("lines"), log.lines().filter(|line| !line.trim().is_empty()).count() as u64);
    let tags = dir.read("p.ndjson");
    let last = tags.lines().map(|line| {
        let patch: Value = serde_json::from_str(line).expect("JSON");
        patch["tags"]["last_seen"].as_i64().expect("a time")
    });
    assert_eq!(events["last"].as_i64(), last.max());
    assert_eq!((&manifest["version"], &manifest["asOf"]), (&1.into(), &events["last"]));
    assert!(events["first"].as_i64() < events["last"].as_i64());
    // Nothing of threads or of the clock is in it.
    let other = made(3);
    assert_eq!(other.read("p.ndjson.manifest.json"), dir.read("p.ndjson.manifest.json"));
    // The flag changes no byte of the output.
    dir.adprof("batch --log log.ndjson --tags all -o q.ndjson --max-errors 50%").exits(0);
    assert_eq!(dir.read("q.ndjson"), dir.read("p.ndjson"));
    assert!(!dir.file("q.ndjson.manifest.json").exists());
}

#[test]
fn many_distinct_values_are_estimated_and_say_so() {
    let dir = Dir::new();
    let patch =
        |n: u32| format!("{{\"userId\":\"u{n}\",\"asOf\":1,\"tags\":{{\"few\":{},\"many\":\"s{n}\"}}}}\n", n % 16384);
    dir.write("p.ndjson", (0..50_000).map(patch).collect::<String>());
    let told: Value = serde_json::from_str(&dir.adprof("check --data p.ndjson --json").ok()).expect("JSON");
    let (few, many) = (&told["tags"]["few"], &told["tags"]["many"]);
    assert_eq!((few["distinct"].as_u64(), few["exact"].as_bool()), (Some(16_384), Some(true)));
    let about = many["distinct"].as_u64().expect("a number");
    assert!(many["exact"] == false && about.abs_diff(50_000) < 1500, "{about}");
}

#[test]
fn a_manifest_belongs_to_a_file_and_is_written_last() {
    let dir = Dir::new();
    dir.write("log.ndjson", support::event(1));
    for (args, words) in [
        ("batch --log log.ndjson --tags all --manifest", "--output"),
        ("batch --log log.ndjson --tags all -o /dev/null --manifest", "/dev/null: not a file"),
        ("batch --log log.ndjson --tags all -o p --manifest p", "are one file"),
        ("batch --log log.ndjson --tags all -o p --through 2024-11-11", "log.ndjson: not a log of date partitions"),
    ] {
        let output = dir.adprof(args).exits(2);
        assert!(output.stderr.contains(words), "{args}: {}", output.stderr);
    }
    dir.adprof("batch --log log.ndjson --tags all -o p --manifest m.json --date 2024-11-11 --tz Asia/Tokyo").ok();
    let manifest: Value = serde_json::from_str(&dir.read("m.json")).expect("JSON");
    assert_eq!((&manifest["date"], &manifest["tz"]), (&"2024-11-11".into(), &"Asia/Tokyo".into()));
    // Too much bad input leaves both as they were.
    dir.write("log.ndjson", "junk\n");
    let before = (dir.read("p"), dir.read("m.json"));
    dir.adprof("batch --log log.ndjson --tags all -o p --manifest m.json").exits(65);
    assert_eq!((dir.read("p"), dir.read("m.json")), before);
    assert!(project().join("scripts/nightly.sh").exists());
}
