//! `adprof export`: what other programs read of it, and what a killed one leaves.

use crate::duckdb;
use crate::store::{fill, many, three, three_in_redis};
use crate::support::{adprof_path, clean_environment, python};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HEADER: &str = "userId,age,city,ltv,score,vip,seen";

#[test]
fn csv_has_a_column_for_each_tag_and_formulas_are_neutral() {
    let dir = three();
    let out = dir.adprof("export").exits(0);
    let want =
        format!("{HEADER}\nu-001,31,Malmö,150.75,0.5,true,1731296325000\nu-002,17,'=1+1,,,false,\nu-003,,,,,,\n");
    assert_eq!(out.stdout, want);
    assert!(out.stderr.starts_with("exported 3 profiles in ") && out.stderr.lines().count() == 1, "{}", out.stderr);
    assert_eq!(
        dir.adprof("export --tags city,age --raw --where age<18").arg("-o").arg("-").ok(),
        "userId,age,city\nu-002,17,=1+1\n"
    );
    assert_eq!(
        dir.adprof("export -q --format ndjson --tags age --where vip").ok(),
        "{\"userId\":\"u-001\",\"asOf\":1731296325000,\"tags\":{\"age\":31}}\n"
    );
}

#[test]
fn a_file_is_replaced_and_its_name_says_the_format() {
    let dir = three();
    dir.write("out.ndjson", "old");
    let out = dir.adprof("export -o out.ndjson --where age>18").exits(0);
    assert!(out.stderr.starts_with("exported 1 of 3 profiles into out.ndjson in "), "{}", out.stderr);
    assert_eq!(dir.read("out.ndjson"), dir.adprof("query u-001").ok());
    assert_eq!(names(&dir), ["adprof-store", "adprof.toml", "out.ndjson"]);
    // A wrong rule leaves it alone.
    dir.adprof("export -o out.ndjson --where agee>18").exits(2);
    assert_eq!(dir.read("out.ndjson"), dir.adprof("query u-001").ok());
    assert!(dir.adprof("export -o adprof-store").exits(2).stderr.contains("no _manifest.json in it"));
    assert!(dir.adprof("export -o no/such/folder.csv").exits(74).stderr.contains("no/such/folder.csv"));
}

#[test]
fn a_reader_that_leaves_is_peace_and_a_full_disk_is_an_error() {
    let dir = many(5_000);
    let run = |command: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-c", command]).current_dir(dir.path()).env_clear().envs(clean_environment());
        bash.env("ADPROF", adprof_path()).output().expect("bash runs")
    };
    for command in ["export", "export --format ndjson", "segment members --where 'age >= 0'"] {
        let out = run(&format!("set -o pipefail; \"$ADPROF\" {command} -q | head -1"));
        assert!(out.status.success() && out.stderr.is_empty(), "{command}: {out:?}");
        let out = run(&format!("\"$ADPROF\" {command} > /dev/full"));
        assert_eq!(out.status.code(), Some(74), "{command}: {out:?}");
    }
}

fn names(dir: &crate::support::Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).expect("a folder");
    let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn an_export_killed_in_the_middle_leaves_the_old_file_and_the_next_one_cleans_up() {
    const USERS: usize = 60_000;
    let dir = many(USERS);
    dir.write("out.csv", "old\n");
    let beside = dir.file(".out.csv.adprof-tmp");
    let mut killed = false;
    for _ in 0..20 {
        let mut child = Command::new(adprof_path())
            .args(["export", "-o", "out.csv"])
            .current_dir(dir.path())
            .env_clear()
            .envs(clean_environment())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let until = Instant::now() + Duration::from_secs(20);
        // Bytes are on their way: it is in the middle.
        while fs::metadata(&beside).map_or(0, |m| m.len()) == 0 && Instant::now() < until {
            if child.try_wait().expect("asked").is_some() {
                break;
            }
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        if beside.exists() {
            killed = true;
            break;
        }
        // It was faster than we are: once more with the old file.
        dir.write("out.csv", "old\n");
    }
    assert!(killed, "no run was caught in the middle");
    assert_eq!(dir.read("out.csv"), "old\n");
    dir.adprof("export -o out.csv").ok();
    assert_eq!(dir.read("out.csv").lines().count(), USERS + 1);
    assert_eq!(names(&dir), ["adprof-store", "adprof.toml", "out.csv"]);
}

#[test]
fn other_programs_read_the_csv() {
    let Some(python) = python() else { return };
    let dir = three();
    fill(
        &dir,
        &[
            r#"{"userId":"a,\"b\"","asOf":1,"tags":{"city":"two\nlines, \"quoted\"","ltv":-5,"score":-0.5}}"#,
            r#"{"userId":"@u","asOf":1,"tags":{"city":"-5","age":-7}}"#,
            r#"{"userId":"u-004","asOf":1,"tags":{"city":"\t=HYPERLINK(1)","ltv":0.1}}"#,
        ],
    );
    dir.adprof("export -o out.csv").ok();
    let script = "import csv, json\nfor row in csv.reader(open('out.csv', newline='', encoding='utf-8')): print(json.dumps(row, ensure_ascii=False))";
    let rows: Vec<Vec<String>> = duckdb::run(&python, dir.path(), script, &[])
        .lines()
        .map(|l| serde_json::from_str(l).expect("a row"))
        .collect();
    let want: Vec<Vec<&str>> = vec![
        HEADER.split(',').collect(),
        vec!["'@u", "-7", "-5", "", "", "", ""],
        vec!["a,\"b\"", "", "two\nlines, \"quoted\"", "-5", "-0.5", "", ""],
        vec!["u-001", "31", "Malmö", "150.75", "0.5", "true", "1731296325000"],
        vec!["u-002", "17", "'=1+1", "", "", "false", ""],
        vec!["u-003", "", "", "", "", "", ""],
        vec!["u-004", "", "'\t=HYPERLINK(1)", "0.1", "", "", ""],
    ];
    assert_eq!(rows, want);
    let script = "import duckdb\nprint(duckdb.sql(\"SELECT count(*), sum(age), sum(ltv), min(score), count(vip), max(seen), count(city) FROM read_csv('out.csv', header=true, quote='\\\"')\").fetchall())";
    let sums = duckdb::run(&python, dir.path(), script, &[]);
    assert_eq!(sums.trim(), "[(6, 41, 145.85, -0.5, 2, 1731296325000, 5)]");
}

#[test]
fn both_stores_export_the_same() {
    let dir = three();
    let Some(url) = three_in_redis() else { return };
    let sorted = |out: String| {
        let mut lines: Vec<String> = out.lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(dir.adprof("export -q").ok()), sorted(dir.adprof("export -q --store").arg(&url).ok()));
}
