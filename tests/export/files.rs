//! One file: its name says what it is, and its manifest what is in it.

use crate::world::{hard, many, names, unpacked};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;

#[test]
fn the_name_of_a_file_says_format_and_packing_and_flags_say_otherwise() {
    let dir = hard();
    let (csv, ndjson) = (dir.adprof("export -q").ok(), dir.adprof("export -q --format ndjson").ok());
    for (name, flags, want) in [
        ("a.csv", "", &csv),
        ("a.csv.gz", "", &csv),
        ("a.csv.zst", "", &csv),
        ("a.ndjson", "", &ndjson),
        ("a.ndjson.gz", "", &ndjson),
        ("a.jsonl.zst", "", &ndjson),
        ("a.txt", "", &csv),
        ("a.gz", "--format ndjson", &ndjson),
        ("b.csv.gz", "--format ndjson", &ndjson),
    ] {
        dir.adprof(&format!("export -q {flags} -o {name}")).ok();
        assert_eq!(String::from_utf8(unpacked(&dir.file(name))).expect("UTF-8"), *want, "{name} {flags}");
    }
    dir.adprof("export -q --compress zstd -o a.csv.new").ok();
    assert!(zstd::decode_all(&fs::read(dir.file("a.csv.new")).expect("there")[..]).expect("zstd") == csv.as_bytes());
    dir.adprof("export -q --compress none -o plain.csv.gz").ok();
    assert_eq!(dir.read("plain.csv.gz"), csv);
    let gzip = dir.adprof("export -q --where age>1000 --compress gzip -o none.csv.gz");
    gzip.ok();
    assert!(unpacked(&dir.file("none.csv.gz")).starts_with(b"userId,age,"));
}

#[test]
fn a_result_names_its_version_and_its_instant() {
    let dir = many(100);
    let version: Value =
        serde_json::from_str(dir.adprof("segment size adults --format ndjson").ok().trim()).expect("JSON");
    let version = version["version"].as_str().expect("a version");
    let as_of = "--as-of 2027-01-02T03:04:05Z";
    let out = dir.adprof(&format!("export --segment adults -o a.csv --manifest {as_of}")).exits(0);
    assert!(out.stderr.contains(&format!("; adults, version {version}, as of 2027-01-02T03:04:05")), "{}", out.stderr);
    assert!(out.stderr.starts_with("exported 81 of 100 profiles into a.csv in "), "{}", out.stderr);
    let out = dir.adprof(&format!("export --where age>=18 -o b.csv --manifest made.json {as_of}")).exits(0);
    assert!(out.stderr.contains(&format!("; the rule, version {version}, as of")), "{}", out.stderr);
    let read = |name: &str| serde_json::from_str::<Value>(&dir.read(name)).expect("JSON");
    let (one, other) = (read("a.csv.manifest.json"), read("made.json"));
    let csv = fs::read(dir.file("a.csv")).expect("there");
    let sum: String = Sha256::digest(&csv).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(one["files"], serde_json::json!([{"name": "a.csv", "rows": 81, "bytes": csv.len(), "sha256": sum}]));
    assert_eq!(
        (one["rows"].as_u64(), one["of"].as_u64(), one["asOf"].as_i64()),
        (Some(81), Some(100), Some(1_798_859_045_000))
    );
    assert_eq!(one["rules"], serde_json::json!([{"segment": "adults", "version": version}]));
    assert_eq!(other["rules"], serde_json::json!([{"version": version}]));
    assert_eq!(
        (one["entity"].as_str(), one["format"].as_str(), one["packing"].as_str()),
        (Some("user"), Some("csv"), Some("none"))
    );
    assert_eq!(one["definitions"]["source"], "adprof.toml");
    assert_eq!(one["definitions"], other["definitions"]);
    assert!(one["began"].as_i64() <= one["ended"].as_i64() && one["began"].as_i64() > Some(1_700_000_000_000));
    for (args, why) in [
        ("--manifest", "--output"),
        ("-o - --manifest", "one stream"),
        ("-o a.csv --manifest a.csv", "one file"),
        ("-o /dev/null --manifest m.json", "not a file"),
    ] {
        let out = dir.adprof(&format!("export {args}")).exits(2);
        assert!(out.stderr.contains(why), "{args}: {}", out.stderr);
    }
    assert_eq!(
        names(dir.path()),
        ["a.csv", "a.csv.manifest.json", "adprof-store", "adprof.toml", "b.csv", "made.json"]
    );
}
