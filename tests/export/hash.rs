//! Hashed ids: as Python hashes them, and the plain ones in no byte of what leaves.

use crate::support::{Dir, python};
use crate::world::{files, hard, unpacked};
use std::fs;
use std::path::Path;
use std::process::Command;

const HASHES: &str = r#"
import hashlib, hmac, json, sys
key = open(sys.argv[2], "rb").read().rstrip(b"\n") if len(sys.argv) > 2 else None
for line in open("plain.ndjson", encoding="utf-8"):
    id = json.loads(line)["userId"]
    if sys.argv[1] == "normal": id = id.strip().lower()
    id = id.encode("utf-8")
    print(hmac.new(key, id, hashlib.sha256).hexdigest() if key else hashlib.sha256(id).hexdigest())
"#;

/// Users as ad platforms know them, and such as only adprof may meet.
fn people() -> Dir {
    let dir = hard();
    let ids = [
        " Anna.Example@X.ORG",
        "ÅSA@örebro.se\u{a0}",
        "ΟΔΥΣΣΕΥΣ",
        "İstanbul",
        "+46 70 123 45 67",
        "ß",
        "\u{3000}wide\u{3000}",
    ];
    let patches: String = ids
        .iter()
        .map(|id| format!("{{\"userId\":{},\"asOf\":1,\"tags\":{{\"age\":44}}}}\n", serde_json::json!(id)))
        .collect();
    dir.adprof("sink file").stdin(patches).ok();
    dir.adprof("export -q -o plain.ndjson").ok();
    dir.write("key", "a secret of some length, longer than a block of the hash, which is sixty-four bytes\n");
    dir.write("short", [0xff, 0x00, 0x61]);
    dir
}

#[test]
fn hashes_are_those_of_python() {
    let dir = people();
    let Some(python) = python() else { return };
    for (flags, args) in [
        ("--hash sha256", vec!["normal"]),
        ("--hash sha256 --hash-raw", vec!["raw"]),
        ("--hash sha256 --salt-file key", vec!["normal", "key"]),
        ("--hash sha256 --salt-file short --hash-raw", vec!["raw", "short"]),
    ] {
        let told =
            Command::new(&python).args(["-c", HASHES]).args(args).current_dir(dir.path()).output().expect("python");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let want = String::from_utf8(told.stdout).expect("UTF-8");
        let csv = dir.adprof(&format!("export -q --tags vip {flags}")).ok();
        let got: String =
            csv.lines().skip(1).map(|line| format!("{}\n", line.split(',').next().expect("an id"))).collect();
        assert_eq!(got, want, "{flags}");
    }
}

/// All values of a file of Parquet, as text; nothing for another, and without DuckDB.
fn values(path: &Path) -> Vec<u8> {
    if path.extension().is_none_or(|ending| ending != "parquet") {
        return Vec::new();
    }
    let Some(python) = python() else { return Vec::new() };
    let script = "import duckdb, sys\nprint(duckdb.sql(f\"SELECT COLUMNS(*)::VARCHAR FROM '{sys.argv[1]}'\").fetchall(), duckdb.sql(f\"SELECT decode(value) FROM parquet_kv_metadata('{sys.argv[1]}')\").fetchall())";
    let told = Command::new(python).args(["-c", script]).arg(path).output().expect("python");
    assert!(told.status.success() && told.stdout.len() > 100, "{}", String::from_utf8_lossy(&told.stderr));
    told.stdout
}

#[test]
fn the_plain_id_is_in_no_byte_of_a_hashed_export() {
    let dir = people();
    let ids: Vec<String> = dir
        .read("plain.ndjson")
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["userId"]
                .as_str()
                .expect("a text")
                .trim()
                .to_lowercase()
        })
        .filter(|id| id.len() > 4)
        .collect();
    assert!(ids.len() > 10);
    for (n, args) in [
        "--format csv --partitions 3",
        "--format csv --compress gzip",
        "--format ndjson --partition-by age",
        "--format parquet --partitions 2",
        "--format parquet --segment adults --segment vips",
        "--format openrtb --compress zstd",
    ]
    .iter()
    .enumerate()
    {
        let out = format!("out-{n}");
        dir.adprof(&format!("export -q {args} --hash sha256 --salt-file key -o {out}/")).ok();
        for name in files(&dir.file(&out)) {
            let path = dir.file(&out).join(&name);
            // The pages of Parquet are packed: what is in them is what DuckDB reads.
            let rows = values(&path);
            for bytes in [unpacked(&path), fs::read(&path).expect("there"), name.clone().into_bytes(), rows] {
                let text = String::from_utf8_lossy(&bytes).to_lowercase();
                let found = ids.iter().find(|id| text.contains(id.as_str()));
                assert_eq!(found, None, "{args}: {name}");
                assert!(!text.contains("a secret of"), "{args}: {name}");
            }
        }
        assert!(dir.read(&format!("{out}/_manifest.json")).contains("\"hash\": \"hmac-sha256\""));
    }
    // The test sees an id where there is one.
    dir.adprof("export -q --format csv --compress zstd -o plain/").ok();
    let text = String::from_utf8_lossy(&unpacked(&dir.file("plain/part-00000.csv.zst"))).to_lowercase();
    assert!(ids.iter().all(|id| text.contains(&id.replace('"', "\"\"")) || id.starts_with('+')));
}

#[test]
fn a_key_comes_from_a_file_and_says_what_is_wrong_with_it() {
    let dir = people();
    dir.write("empty", "\n");
    dir.write("long", "x".repeat(5000));
    for (args, code, why) in [
        ("--hash md5", 2, "sha256"),
        ("--hash-raw", 2, "--hash"),
        ("--salt-file key", 2, "--hash"),
        ("--hash sha256 --salt-file empty", 2, "no key in it"),
        ("--hash sha256 --salt-file long", 2, "at most 4096 bytes"),
        ("--hash sha256 --salt-file gone", 66, "gone"),
    ] {
        let out = dir.adprof(&format!("export {args}")).exits(code);
        assert!(out.stderr.contains(why), "{args}: {}", out.stderr);
    }
}
