//! Directories: every layout has what one file has, and a reader sees a whole export, whenever the writer dies.

use crate::support::{Dir, adprof_path, clean_environment, python};
use crate::world::{checked, files, hard, many, names, unpacked};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The lines of all parts, headers aside.
fn lines(dir: &Dir, of: &str, header: bool) -> Vec<String> {
    let mut all = Vec::new();
    for name in files(&dir.file(of)).into_iter().filter(|name| name != "_manifest.json") {
        let text = String::from_utf8(unpacked(&dir.file(of).join(name))).expect("UTF-8");
        all.extend(text.lines().skip(usize::from(header)).map(str::to_string));
    }
    all.sort();
    all
}

#[test]
fn every_layout_has_the_lines_of_the_one_file() {
    let dir = many(2_000);
    for (format, header) in [("csv", true), ("ndjson", false)] {
        let mut want: Vec<String> =
            dir.adprof(&format!("export -q --format {format}")).ok().lines().map(str::to_string).collect();
        if header {
            want.remove(0);
        }
        want.sort();
        for packing in ["none", "gzip", "zstd"] {
            for n in [1, 2, 16, 1000] {
                dir.adprof(&format!("export -q --format {format} --compress {packing} --partitions {n} -o out")).ok();
                let manifest = checked(&dir.file("out"));
                assert_eq!((manifest["rows"].as_u64(), manifest["partitions"].as_u64()), (Some(2_000), Some(n)));
                assert_eq!(manifest["files"].as_array().map(Vec::len), Some(n as usize));
                assert!(lines(&dir, "out", header) == want, "{format} {packing} {n}");
            }
        }
    }
    // Without a number one part.
    dir.adprof("export -q -o one/").ok();
    assert_eq!(names(&dir.file("one")), ["_manifest.json", "part-00000.csv"]);
    assert_eq!(dir.read("one/part-00000.csv"), dir.adprof("export -q").ok());
}

#[test]
fn a_user_is_in_the_same_part_whoever_else_is_exported() {
    let dir = many(500);
    let parts = |rule: &str| {
        dir.adprof("export -q --partitions 7 -o out --where").arg(rule).ok();
        let mut parts = BTreeMap::new();
        for n in 0..7 {
            let text = dir.read(&format!("out/part-{n:05}.csv"));
            parts.extend(text.lines().skip(1).map(|line| (line.split(',').next().expect("an id").to_string(), n)));
        }
        parts
    };
    let (all, some) = (parts("age >= 0"), parts("age < 30"));
    assert!(some.len() > 50 && all.len() == 500 && all.values().collect::<BTreeSet<_>>().len() == 7);
    assert!(some.iter().all(|(user, part)| all[user] == *part));
    // What the page says of it, computed by others.
    let Some(python) = python() else { return };
    let script = "import hashlib, sys\nfor line in sys.stdin:\n  key = line.rstrip('\\n')\n  print(key, int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) % 7)";
    let mut child =
        Command::new(python).args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python");
    let ids: String = all.keys().map(|id| format!("{id}\n")).collect();
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), ids.as_bytes()).expect("fed");
    let told = child.wait_with_output().expect("ended").stdout;
    let want: String = all.iter().map(|(id, part)| format!("{id} {part}\n")).collect();
    assert_eq!(String::from_utf8(told).expect("UTF-8"), want);
}

const BY_CITY: &str = r#"
import duckdb, json, sys
format = sys.argv[1]
if format == "csv":
    read = lambda path: f"read_csv({path}, header=true, all_varchar=true, quote='\"', escape='\"', hive_partitioning=true, hive_types={{'city': VARCHAR}}, files_to_sniff=-1, null_padding=true)"
else:
    read = lambda path: f"read_parquet({path}, hive_partitioning=true, hive_types={{'city': VARCHAR}})"
rows = duckdb.sql(f"SELECT userId, city, age::VARCHAR FROM {read(repr('out/*/*'))} ORDER BY userId").fetchall()
for row in rows: print(json.dumps(row, ensure_ascii=False))
"#;

#[test]
fn a_tag_divides_as_readers_of_such_directories_expect() {
    let dir = hard();
    for format in ["csv", "parquet"] {
        dir.adprof(&format!("export -q --raw --format {format} --partition-by city -o out/")).ok();
        let manifest = checked(&dir.file("out"));
        assert_eq!(manifest["partitionBy"], "city");
        let want = [
            "city=",
            "city=%3D1%2B1",
            "city=%5F_HIVE_DEFAULT_PARTITION__",
            "city=%E6%97%A5%E6%9C%AC%20%F0%9F%98%80",
            "city=..",
            "city=Malm%C3%B6",
            "city=__HIVE_DEFAULT_PARTITION__",
            "city=a%2Fb%3Dc%25",
            "city=two%0Alines%2C%20%22quoted%22",
        ];
        assert_eq!(names(&dir.file("out"))[1..], want);
        assert_eq!(names(&dir.file("out/city=")), [format!("part-00000.{format}")]);
    }
    let Some(python) = python() else { return };
    let told = Command::new(python).args(["-c", BY_CITY, "parquet"]).current_dir(dir.path()).output().expect("python");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let want = [
        r#"[" padded ", "", "9223372036854775807"]"#,
        r#"["Anna@Example.org", "日本 😀", "-7"]"#,
        r#"["a,\"b\"", "two\nlines, \"quoted\"", null]"#,
        r#"["u-001", "Malmö", "31"]"#,
        r#"["u-002", "=1+1", "17"]"#,
        r#"["u-003", null, null]"#,
        r#"["u-004", "a/b=c%", "-9223372036854775808"]"#,
        r#"["u-005", "__HIVE_DEFAULT_PARTITION__", null]"#,
        r#"["u-006", "..", null]"#,
    ];
    assert_eq!(String::from_utf8(told.stdout).expect("UTF-8").lines().collect::<Vec<_>>(), want);
}

#[test]
fn what_cannot_be_divided_is_refused_with_its_figure_and_leaves_nothing() {
    let dir = many(1_100);
    let out = dir.adprof("export --partition-by ltv -o out").exits(2);
    assert!(out.stderr.contains("--partition-by ltv: there are 1100 values, and 1000 is the most"), "{}", out.stderr);
    for (args, why) in [
        ("--partition-by likes -o out", "it has many values"),
        ("--partition-by citi -o out", "did you mean city?"),
        ("--partition-by city --partitions 3 -o out", "cannot be used with"),
        ("--partitions 1001 -o out", "1..=1000"),
        ("--partitions 2", "--output"),
        ("--partitions 2 -o -", "one stream"),
        ("--partitions 2 -o out --manifest", "in itself"),
        ("--partitions 2 -o adprof.toml", "not a directory"),
        ("--format parquet --compress gzip -o out/", "in itself"),
    ] {
        let out = dir.adprof(&format!("export {args}")).exits(2);
        assert!(out.stderr.contains(why), "{args}: {}", out.stderr);
    }
    assert_eq!(names(dir.path()), ["adprof-store", "adprof.toml"]);
    let long = Dir::new();
    long.write("adprof.toml", crate::world::DEFINITIONS);
    let patch = format!(r#"{{"userId":"u","asOf":1,"tags":{{"city":"{}"}}}}"#, "ö".repeat(50));
    long.adprof("sink file").stdin(patch).ok();
    let out = long.adprof("export --partition-by city -o out").exits(2);
    assert!(out.stderr.contains("name of 305 bytes"), "{}", out.stderr);
}

#[test]
fn what_no_export_made_stays() {
    let dir = many(10);
    dir.write("mine/notes", "mine");
    let out = dir.adprof("export -o mine").exits(2);
    assert!(out.stderr.contains("mine: no export made it"), "{}", out.stderr);
    dir.adprof("export -o out/").ok();
    dir.write("out/notes", "mine");
    assert!(dir.adprof("export -o out/").exits(2).stderr.contains("no export made notes"));
    assert!(dir.adprof("export -o adprof-store").exits(2).stderr.contains("no _manifest.json"));
    assert_eq!((dir.read("mine/notes"), dir.read("out/notes")), ("mine".into(), "mine".into()));
    assert_eq!(names(dir.path()), ["adprof-store", "adprof.toml", "mine", "out"]);
}

#[test]
fn killed_at_any_instant_a_reader_finds_the_former_export_whole_or_the_new_one() {
    const USERS: usize = 20_000;
    let dir = many(USERS);
    dir.adprof("export -q --partitions 4 -o out --where age<50").ok();
    let began = std::time::Instant::now();
    dir.adprof("export -q --partitions 4 -o out").ok();
    let whole = began.elapsed();
    let sizes = BTreeSet::from([checked(&dir.file("out"))["rows"].as_u64().expect("rows"), {
        dir.adprof("export -q --partitions 4 -o out --where age<50").ok();
        checked(&dir.file("out"))["rows"].as_u64().expect("rows")
    }]);
    let (mut seen, mut cut) = (BTreeSet::new(), 0);
    for round in 0..24u32 {
        let rule = if round % 2 == 0 { "age >= 0" } else { "age < 50" };
        let mut child = Command::new(adprof_path())
            .args(["export", "-q", "--partitions", "4", "-o", "out", "--where", rule])
            .current_dir(dir.path())
            .env_clear()
            .envs(clean_environment())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        thread::sleep(whole * (round % 12) / 10);
        child.kill().expect("killed");
        child.wait().expect("ended");
        let rows = checked(&dir.file("out"))["rows"].as_u64().expect("rows");
        assert!(sizes.contains(&rows), "{rows}");
        seen.insert(rows);
        cut += usize::from(names(dir.path()).iter().any(|name| name.ends_with(".adprof-tmp")));
    }
    assert!(cut > 0, "no run was caught in the middle");
    dir.adprof("export -q --partitions 4 -o out").ok();
    assert_eq!(names(dir.path()), ["adprof-store", "adprof.toml", "out"]);
    assert_eq!(checked(&dir.file("out"))["rows"].as_u64(), Some(USERS as u64));
}

#[test]
fn told_to_stop_it_leaves_nothing_and_a_second_one_waits_its_turn() {
    let dir = many(40_000);
    let running = dir.start("export -q --partitions 4 --compress gzip -o out");
    let lock = dir.file(".out.adprof-lock");
    while !lock.exists() {
        assert!(running.is_there(), "it was too fast");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(dir.adprof("export -o out/").exits(75).stderr.contains("another process"));
    running.signal("TERM");
    assert_eq!(running.end().0, 143);
    assert_eq!(names(dir.path()), ["adprof-store", "adprof.toml"]);
}

#[test]
fn the_directory_is_replaced_through_a_link_and_keeps_its_place() {
    let dir = many(10);
    dir.adprof("export -q -o real/").ok();
    std::os::unix::fs::symlink("real", dir.file("link")).expect("linked");
    dir.adprof("export -q -o link --where age<50").ok();
    assert!(fs::symlink_metadata(dir.file("link")).expect("there").is_symlink());
    assert!(checked(&dir.file("real"))["rows"].as_u64().expect("rows") < 10);
}
