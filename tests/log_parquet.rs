//! Parquet out of the log and into it, with DuckDB as the other side.

mod support;

use std::fs;
use std::process::Command;
use support::Dir;

/// Runs one of the scripts beside this file in a folder; what it prints.
fn script(dir: &Dir, python: &str, name: &str, args: &[&str]) -> String {
    let path = support::project().join("tests/log_parquet").join(name);
    let out = Command::new(python).arg(path).args(args).current_dir(dir.path()).output().expect("python runs");
    assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// Events with all that may be in one.
fn hard_events() -> String {
    let head =
        |id: &str| format!("{{\"eventId\":{id},\"userId\":\"u\",\"eventType\":\"click\",\"timestamp\":1762041600000");
    let bodies = [
        "",
        ",\"amount\":9223372036854.775807",
        ",\"amount\":-9223372036854.775808",
        ",\"amount\":-0.000001",
        ",\"amount\":1.5e2",
        ",\"amount\":null,\"category\":null,\"receivedAt\":null",
        ",\"receivedAt\":1762041600001,\"category\":\"sports\",\"itemId\":\"\",\"tenantId\":\"t\",\"scenarioId\":\"s\"",
        ",\"campaignId\":\"c\",\"sessionId\":\"\\u00e9\\n\\\"\\\\\",\"orderId\":\"\u{1F600}\",\"deviceId\":\"日本\"",
        ",\"z\":1.50,\"a\":{\"b\":[1,2,{\"c\":null}],\"a\":1e400},\"m\":12345678901234567890123",
        ",\"same\":1,\"same\":2,\"\\u00fcnic\\\"k\":\"x\\ty\",\"\":0",
        ",\"extra\":{\"extra\":\"not the column\"}",
        ",\"extra\":\"{\\\"eventId\\\":\\\"no\\\"}\",\"nothing\":null,\"text\":\"=1+1\\u202e\"",
        " , \"spaced\" : [ 1 , 2 ] ",
    ];
    bodies.iter().enumerate().map(|(i, body)| format!("{}{body}}}\n", head(&format!("\"e-{i}\"")))).collect()
}

#[test]
fn duckdb_reads_what_was_exported_and_it_comes_back_the_same() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    dir.adprof("collect").stdin(hard_events()).ok();
    let synthetic = dir.adprof("gen --events 3000").ok();
    dir.adprof("collect").stdin(synthetic).ok();
    dir.adprof("log export -o events.parquet").ok();
    assert_eq!(script(&dir, &python, "compare.py", &["ad-events.log", "events.parquet"]), "same 3013\n");
    let other = dir.read("ad-events.log").replacen("-0.000001", "-0.000002", 1);
    dir.write("other.log", other);
    let compare = support::project().join("tests/log_parquet/compare.py");
    let differs =
        Command::new(&python).arg(compare).args(["other.log", "events.parquet"]).current_dir(dir.path()).output();
    assert!(!differs.expect("python runs").status.success(), "the comparison sees a millionth");
    // Back by path, by stdin as a file and as a pipe.
    dir.adprof("collect --log a.ndjson events.parquet").ok();
    let bytes = fs::read(dir.file("events.parquet")).expect("there");
    dir.adprof("collect --log b.ndjson").stdin(bytes.clone()).ok();
    for log in ["a.ndjson", "b.ndjson"] {
        assert_eq!(script(&dir, &python, "compare.py", &["ad-events.log", log]), "same 3013\n");
    }
    // Again out of that: the same bytes.
    dir.adprof("log export a.ndjson -o again.parquet").ok();
    assert!(fs::read(dir.file("again.parquet")).expect("there") == bytes);
    let patches = dir.adprof("batch --tags all").ok();
    assert_eq!(dir.adprof("batch --tags all --log events.parquet").ok(), patches);
    assert_eq!(dir.adprof("batch --tags all --log -").stdin(bytes).ok(), patches);
}

#[test]
fn what_duckdb_wrote_is_read_whatever_its_types_and_packing() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    script(&dir, &python, "write.py", &["."]);
    for codec in ["snappy", "zstd", "uncompressed"] {
        dir.adprof(&format!("collect --log {codec}.ndjson {codec}.parquet")).ok();
        assert_eq!(script(&dir, &python, "compare.py", &["want.ndjson", &format!("{codec}.ndjson")]), "same 6000\n");
    }
    dir.write(
        "shop.toml",
        "format = \"json\"\n[fields]\neventId = \"id\"\nuserId = \"uid\"\n\
         eventType = { from = \"action\", map = { buy = \"purchase\" } }\n\
         timestamp = { from = \"seconds\", as = \"seconds\" }\namount = \"price\"\n",
    );
    let events = dir.adprof("collect --to - --map shop.toml foreign.parquet").ok();
    assert_eq!(events.lines().count(), 10);
    let first = events.lines().next().expect("a line");
    let begins = r#"{"eventId":"x-0","userId":"0","eventType":"purchase","timestamp":1762041600000,"amount":1.005,"#;
    assert!(first.starts_with(begins), "{first}");
    let said = dir.adprof("collect --map taobao foreign.parquet").exits(2).stderr;
    assert!(said.contains("is Parquet, and the map reads CSV"), "{said}");
    let said = dir.adprof("collect interval.parquet").exits(74).stderr;
    assert!(said.contains("column `span` is of type INTERVAL, which cannot be read"), "{said}");
    // Doubles are taken at their shortest text; what is no exact amount then is refused, not rounded.
    let said = dir.adprof("collect --log d.ndjson doubles.parquet").exits(0).stderr;
    assert!(said.contains("refused: 2 BAD_AMOUNT"), "{said}");
    assert!(dir.read("d.ndjson").contains("\"amount\":2.5"));
}

#[test]
fn a_day_has_a_file_of_its_own_and_a_range_is_a_range() {
    let dir = Dir::new();
    let event = |id: u32, at: i64| {
        format!(
            "{{\"eventId\":\"e-{id}\",\"userId\":\"u\",\"eventType\":\"c\",\"timestamp\":{at},\"receivedAt\":{at}}}\n"
        )
    };
    let day = 86_400_000;
    let events: String = (0..6).map(|i| event(i, 1_793_577_600_000 + i64::from(i) / 2 * day)).collect();
    dir.adprof("collect --log events/").stdin(events).ok();
    dir.adprof("log export events -o out/").ok();
    let count = |file: &str| dir.adprof("collect --to -").arg(file).ok().lines().count();
    for day in ["2026-11-02", "2026-11-03", "2026-11-04"] {
        assert_eq!(count(&format!("out/dt={day}/events.parquet")), 2, "{day}");
    }
    dir.adprof("log export events -o two.parquet --since 2026-11-03 --through 2026-11-04").ok();
    assert_eq!(count("two.parquet"), 4);
    dir.adprof("log seal events").ok();
    dir.adprof("log export events -o sealed.parquet").ok();
    dir.adprof("log export events -o plain.parquet --since 2026-11-02").ok();
    assert_eq!(
        fs::read(dir.file("sealed.parquet")).expect("there"),
        fs::read(dir.file("plain.parquet")).expect("there")
    );
    dir.adprof("log export events -o none.parquet --since 2027-01-01").exits(66);
    dir.adprof("collect --log one.log").stdin(event(1, 1_793_577_600_000)).ok();
    dir.adprof("log export one.log -o x.parquet --since 2026-11-03").exits(2);
    assert!(!dir.file("none.parquet").exists() && !dir.file("x.parquet").exists());
}

#[test]
fn bad_lines_are_counted_and_the_old_file_stays_when_all_are_bad() {
    let dir = Dir::new();
    dir.write("bad.log", "{\"no\":\"event\"}\nnothing\n");
    dir.write("out.parquet", "old");
    let said = dir.adprof("log export bad.log -o out.parquet --dead dead.ndjson").exits(65).stderr;
    assert!(said.contains("every line was bad: 2"), "{said}");
    assert_eq!((dir.read("out.parquet").as_str(), dir.read("dead.ndjson").lines().count()), ("old", 2));
    let good = "{\"eventId\":\"e\",\"userId\":\"u\",\"eventType\":\"c\",\"timestamp\":1762041600000}";
    dir.write("some.log", format!("{good}\nnothing\n{good}"));
    let said = dir.adprof("log export some.log -o out.parquet").exits(0).stderr;
    assert!(said.contains("exported 2 events (1 refused)"), "{said}");
    dir.adprof("log export some.log -o out.parquet --max-errors 0").exits(65);
    assert_eq!(dir.adprof("collect --to - out.parquet").ok().lines().count(), 2);
}

#[test]
fn broken_files_are_errors_and_never_bugs() {
    let dir = Dir::new();
    let events = dir.adprof("gen --events 500").ok();
    dir.adprof("collect").stdin(events).ok();
    dir.adprof("log export -o whole.parquet").ok();
    let whole = fs::read(dir.file("whole.parquet")).expect("there");
    for cut in [4, 8, 100, whole.len() / 2, whole.len() - 1] {
        dir.write("cut.parquet", &whole[..cut]);
        let said = dir.adprof("collect --to - cut.parquet").exits(74).stderr;
        assert!(said.contains("cut.parquet: not a whole Parquet file"), "{cut}: {said}");
        dir.adprof("collect --to -").stdin(&whole[..cut]).exits(74);
        dir.adprof("batch --log cut.parquet").exits(74);
    }
    dir.adprof("collect --log whole.parquet").exits(66);
    for i in 0..150 {
        let mut broken = whole.clone();
        let at = (i * 7919) % whole.len();
        broken[at] ^= 1 << (i % 8);
        dir.write("broken.parquet", &broken);
        let out = dir.adprof("collect --to - broken.parquet").output();
        assert!([0, 65, 74].contains(&out.code), "byte {at}: {}: {}", out.code, out.stderr);
    }
}
