//! One log, however it lies: the same bytes. And the right ones, by an independent fold.

use crate::support::{Dir, adprof_path, agrees};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

const START: i64 = 1_735_689_600_000;
const HOUR: i64 = 3_600_000;

/// Synthetic events of three days with duplicates and late ones: several chunks of a log.
fn synthetic(dir: &Dir) -> String {
    dir.adprof("gen --events 40000 --users 3000 --days 3 --seed 7 --duplicates 5% --late 5%").ok()
}

/// The lines in another order, the same one each time.
fn shuffled(text: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut seed = 1u64;
    for i in (1..lines.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        lines.swap(i, (seed >> 33) as usize % (i + 1));
    }
    lines.concat()
}

/// Every third line twice, the second one later on.
fn doubled(text: &str) -> String {
    let again: String = text.split_inclusive('\n').step_by(3).collect();
    format!("{text}{again}")
}

/// Pieces of about equal numbers of lines.
fn pieces(text: &str, n: usize) -> Vec<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.chunks(lines.len().div_ceil(n)).map(|piece| piece.concat()).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).expect("in memory");
    packer.finish().expect("in memory")
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::stream::encode_all(text.as_bytes(), 1).expect("in memory")
}

#[test]
fn the_same_events_give_the_same_bytes_however_they_lie() {
    let dir = Dir::new();
    let events = synthetic(&dir);
    assert!(events.len() > 4 << 20, "several chunks: {}", events.len());
    dir.write("one.ndjson", &events);
    let want = dir.adprof("batch --log one.ndjson --tags all").ok();
    assert!(want.lines().count() > 1000);
    let same = |what: &str, bytes: String| {
        // Not `assert_eq`, which would print megabytes.
        assert!(bytes == want, "{what}: other bytes");
    };
    for threads in [1, 2, 7] {
        same("threads", dir.adprof(&format!("batch --log one.ndjson --tags all --threads {threads}")).ok());
    }
    for (name, bytes) in [
        ("shuffled.ndjson", shuffled(&events).into_bytes()),
        ("doubled.ndjson", doubled(&events).into_bytes()),
        ("all.ndjson", shuffled(&doubled(&events)).into_bytes()),
        ("crlf.ndjson", events.replace('\n', "\r\n\r\n").into_bytes()),
        ("open.ndjson", events.trim_end().as_bytes().to_vec()),
        ("one.gz", gzip(&events)),
        ("one.zst", zstd(&events)),
        ("members.gz", pieces(&events, 3).iter().flat_map(|piece| gzip(piece)).collect()),
        ("members.zst", pieces(&events, 3).iter().flat_map(|piece| zstd(piece)).collect()),
    ] {
        dir.write(name, &bytes);
        same(name, dir.adprof(&format!("batch --tags all --threads 3 --log {name}")).ok());
        if name.starts_with("one.") || name == "shuffled.ndjson" {
            same(name, dir.adprof("batch --log - --tags all").stdin(bytes).ok());
        }
    }
    let mut flags = String::new();
    for (i, piece) in pieces(&events, 4).iter().enumerate() {
        let (name, bytes) = match i {
            0 => ("0.ndjson", piece.clone().into_bytes()),
            1 => ("1.gz", gzip(piece)),
            2 => ("2.zst", zstd(piece)),
            _ => ("3.ndjson", shuffled(piece).into_bytes()),
        };
        dir.write(name, bytes);
        flags.insert_str(0, &format!(" --log {name}"));
    }
    same("files", dir.adprof(&format!("batch --tags all{flags}")).ok());
}

#[test]
fn a_directory_of_partitions_gives_the_bytes_of_one_file() {
    let dir = Dir::new();
    let events = synthetic(&dir);
    dir.write("one.ndjson", &events);
    let want = dir.adprof("batch --log one.ndjson --tags all").ok();
    let mut days: BTreeMap<i64, String> = BTreeMap::new();
    for line in events.split_inclusive('\n') {
        let at = line.find("\"timestamp\":").expect("an event") + 12;
        let ts: i64 = line[at..at + 13].parse().expect("milliseconds");
        days.entry((ts - START).div_euclid(24 * HOUR)).or_default().push_str(line);
    }
    assert!(days.len() >= 3);
    for (day, text) in &days {
        let name = format!("events/dt=2025-01-{:02}/web-00001.ndjson", day + 1);
        match day {
            1 => dir.write(&format!("{name}.gz"), gzip(text)),
            2 => dir.write(&format!("{name}.zst"), zstd(text)),
            _ => dir.write(&name, text),
        };
    }
    assert!(dir.adprof("batch --log events --tags all").ok() == want);
    // And through `collect`, which cuts the log by the day of receipt.
    std::fs::create_dir(dir.file("log")).expect("made");
    dir.adprof("collect --log log --writer web").stdin(events).exits(0);
    assert!(dir.file("log").join("web.lock").exists() || dir.file("log").read_dir().expect("listed").count() > 0);
    assert!(dir.adprof("batch --log log --tags all").ok() == want);
}

#[test]
fn an_independent_fold_gives_the_same_values_at_every_instant() {
    let dir = Dir::new();
    let events = synthetic(&dir);
    let log = dir.write("events.ndjson", &events);
    if !agrees(&log, None, &dir.adprof("batch --log events.ndjson --tags all").ok()) {
        return;
    }
    let one = events.lines().nth(20_000).expect("an event");
    let at = one.find("\"timestamp\":").expect("an event") + 12;
    let exactly: i64 = one[at..at + 13].parse().expect("milliseconds");
    for as_of in [START + 30 * HOUR, exactly - 1, exactly, exactly - exactly % 1000 + HOUR, START + 24 * 40 * HOUR] {
        let ours = dir.adprof(&format!("batch --log events.ndjson --tags all --as-of {as_of}")).ok();
        assert!(ours.lines().all(|line| line.contains(&format!("\"asOf\":{as_of},"))));
        assert!(agrees(&log, Some(as_of), &ours));
    }
}

#[test]
fn bad_lines_between_them_change_nothing() {
    let dir = Dir::new();
    let mut generator = Command::new(adprof_path());
    generator.args("gen --events 20000 --users 1500 --seed 3 --duplicates 5% --late 5% --bad 3%".split(' '));
    // Bad lines are not UTF-8, either.
    let mut raw = generator.output().expect("it runs").stdout;
    // What adprof itself has made may stand in a log and may not come from outside: no bad line here.
    raw = raw
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| !line.windows(8).any(|w| w == b"\"adprof."))
        .collect::<Vec<_>>()
        .concat();
    dir.write("raw.ndjson", &raw);
    let told = dir.adprof("batch --log raw.ndjson --tags all --threads 3 --dead dead.ndjson").exits(0);
    assert!(told.stderr.contains("20,000 events, "), "{}", told.stderr);
    dir.adprof("collect").stdin(raw).exits(0);
    assert_eq!(dir.read("dead.ndjson").lines().count(), dir.read("ad-events.log.dead").lines().count());
    assert!(dir.adprof("batch --tags all").ok() == told.stdout);
    agrees(&dir.file("ad-events.log"), None, &told.stdout);
}
