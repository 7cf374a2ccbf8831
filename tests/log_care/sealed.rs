//! What sealing, compaction and pruning leave behind.

use super::*;
use std::process::{Command, Stdio};

/// The hash of bytes by another program.
fn sha256(bytes: &[u8]) -> String {
    use std::io::Write;
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum runs");
    child.stdin.take().expect("piped").write_all(bytes).expect("written");
    let out = child.wait_with_output().expect("ended").stdout;
    String::from_utf8(out).expect("UTF-8")[..64].to_string()
}

#[test]
fn a_sealed_day_is_packed_written_down_and_reads_the_same() {
    let dir = Dir::new();
    log_of_days(&dir);
    let (before, patches_before) = (lines(&dir.file("events")), patches(&dir));
    let plain = std::fs::read(dir.file("events/dt=2026-11-03/app-00001.ndjson")).expect("plain");
    let said = dir.adprof("log seal events/").exits(0).stderr;
    assert!(
        said.contains("2026-11-02: sealed: files 3, lines 120") && said.contains("no events on 2026-11-04"),
        "{said}"
    );
    assert_eq!(
        names(&dir, "2026-11-03"),
        ["_SUCCESS", "app-00001.ndjson.zst", "web-00001.ndjson.zst", "web-00002.ndjson.zst"]
    );
    assert_eq!((lines(&dir.file("events")), patches(&dir)), (before.clone(), patches_before.clone()));
    let manifest = manifest(&dir, "2026-11-03");
    assert_eq!((&manifest["version"], &manifest["day"]), (&1.into(), &"2026-11-03".into()));
    let app = &manifest["files"][0];
    let lines_of = plain.iter().filter(|b| **b == b'\n').count();
    assert_eq!(app["name"], "app-00001.ndjson");
    assert_eq!(app["sha256"], sha256(&plain));
    assert_eq!((app["bytes"].as_u64(), app["lines"].as_u64()), (Some(plain.len() as u64), Some(lines_of as u64)));
    assert_eq!(manifest["lines"], 120);
    assert!(manifest["sealedAt"].as_i64().expect("ms") > DAY_2);
    // Again: nothing changes.
    let success = dir.read("events/dt=2026-11-03/_SUCCESS");
    let said = dir.adprof("log seal events --json").exits(0);
    assert!(said.stdout.lines().all(|line| line.contains("\"state\":\"already\"")), "{}", said.stdout);
    assert_eq!(dir.read("events/dt=2026-11-03/_SUCCESS"), success);
    let stat = dir.adprof("log stat events").ok();
    assert_eq!(stat.matches("\"state\":\"sealed\"").count(), 3, "{stat}");
    assert!(stat.contains("\"gaps\":[\"2026-11-04\"]") && stat.contains("\"lines\":360"), "{stat}");
}

#[test]
fn without_packing_the_files_stay_and_can_be_packed_later() {
    let dir = Dir::new();
    log_of_days(&dir);
    let before = lines(&dir.file("events"));
    dir.adprof("log seal events --no-compress").ok();
    let success = dir.read("events/dt=2026-11-02/_SUCCESS");
    assert!(names(&dir, "2026-11-02").contains(&"app-00001.ndjson".to_string()));
    // Sealed though plain: what comes for the day is a new file.
    dir.adprof("collect --log events/ --writer app").stdin(event_at(9999, DAY_2)).ok();
    assert!(names(&dir, "2026-11-02").contains(&"app-00002.ndjson".to_string()));
    std::fs::remove_file(dir.file("events/dt=2026-11-02/app-00002.ndjson")).expect("removed");
    dir.adprof("log seal events --level 12 --threads 2").ok();
    assert!(names(&dir, "2026-11-02").iter().all(|name| name == "_SUCCESS" || name.ends_with(".zst")));
    assert_eq!(dir.read("events/dt=2026-11-02/_SUCCESS"), success, "what it holds is the same");
    assert_eq!(lines(&dir.file("events")), before);
}

#[test]
fn what_comes_late_is_a_new_file_and_the_day_is_sealed_again() {
    let dir = Dir::new();
    log_of_days(&dir);
    dir.adprof("log seal events").ok();
    dir.adprof("collect --log events/ --writer web").stdin(event_at(7777, DAY_2 + 5)).ok();
    let stat = dir.adprof("log stat events").ok();
    assert!(stat.contains("\"state\":\"changed\"") && stat.contains("\"late\":[\"web-00003.ndjson\"]"), "{stat}");
    dir.adprof("log compact events").exits(75);
    let before = lines(&dir.file("events"));
    let said = dir.adprof("log seal events --date 2026-11-02").exits(0).stderr;
    assert!(said.contains("sealed again, since this came late: web-00003.ndjson"), "{said}");
    assert_eq!((lines(&dir.file("events")), manifest(&dir, "2026-11-02")["lines"].as_u64()), (before, Some(121)));
}

#[test]
fn a_torn_tail_is_set_aside_and_the_day_is_sealed_without_it() {
    let dir = Dir::new();
    dir.write("events/dt=2026-11-02/web-00001.ndjson", format!("{}{{\"half", event_at(1, DAY_2)));
    let said = dir.adprof("log seal events").exits(0).stderr;
    assert!(said.contains("the last 6 bytes") && said.contains("lines 1"), "{said}");
    assert!(dir.read("events/dt=2026-11-02/web-00001.ndjson.torn").contains("TORN_TAIL"));
    assert_eq!(lines(&dir.file("events")).len(), 1);
    assert!(dir.adprof("log stat events").ok().contains("\"torn\":1"));
}

#[test]
fn compaction_keeps_the_order_the_bytes_and_the_manifest() {
    let dir = Dir::new();
    log_of_days(&dir);
    // A writer whose files stand between those of another: only neighbours become one.
    for (name, id) in [("web-00001-00001", 501), ("web-00003", 502), ("web-00002-00001", 503), ("web-00004", 504)] {
        dir.write(&format!("events/dt=2026-11-02/{name}.ndjson"), event_at(id, DAY_2));
    }
    dir.adprof("log seal events").ok();
    let (before, patches_before) = (lines(&dir.file("events")), patches(&dir));
    let success = dir.read("events/dt=2026-11-02/_SUCCESS");
    let said = dir.adprof("log compact events --through 2026-11-02").exits(0).stderr;
    assert!(said.contains("2026-11-02: compacted: files 5 from 7"), "{said}");
    assert_eq!(
        names(&dir, "2026-11-02"),
        [
            "_SUCCESS",
            "app-00001.ndjson.zst",
            "web-00001-00001.ndjson.zst",
            "web-00001.ndjson.zst",
            "web-00002+00004.ndjson.zst",
            "web-00002-00001.ndjson.zst"
        ]
    );
    assert_eq!((lines(&dir.file("events")), patches(&dir)), (before.clone(), patches_before));
    assert_eq!(dir.read("events/dt=2026-11-02/_SUCCESS"), success);
    // Other days were not asked for; a second time there is nothing to do; plain files come out the same.
    assert!(names(&dir, "2026-11-03").contains(&"web-00002.ndjson.zst".to_string()));
    assert_eq!(dir.adprof("log compact events --through 2026-11-02").exits(0).stderr, "");
    dir.adprof("log compact events --no-compress").ok();
    assert!(names(&dir, "2026-11-03").contains(&"web-00001+00002.ndjson".to_string()));
    assert_eq!(lines(&dir.file("events")), before);
    // What comes late goes on behind the compacted file, and can be compacted into it.
    dir.adprof("collect --log events/ --writer web").stdin(event_at(8888, DAY_2 + DAY)).ok();
    assert!(names(&dir, "2026-11-03").contains(&"web-00003.ndjson".to_string()));
    let before = lines(&dir.file("events"));
    dir.adprof("log seal events").ok();
    dir.adprof("log compact events").ok();
    assert!(names(&dir, "2026-11-03").contains(&"web-00001+00003.ndjson.zst".to_string()));
    assert_eq!(lines(&dir.file("events")), before);
    let stat = dir.adprof("log stat events").ok();
    assert_eq!(stat.matches("\"state\":\"sealed\"").count(), 3, "{stat}");
}

#[test]
fn pruning_removes_whole_days_and_says_which() {
    let dir = Dir::new();
    log_of_days(&dir);
    dir.adprof("log seal events").ok();
    let asked = dir.adprof("log prune events --before 2026-11-04 --dry-run").exits(0).stderr;
    assert!(asked.contains("2026-11-02: would be removed: lines 120") && asked.contains("2026-11-03"), "{asked}");
    assert_eq!(lines(&dir.file("events")).len(), 360);
    dir.write("events/.pruned-dt=2026-10-01/web-00001.ndjson", "a crash left this");
    let said = dir.adprof("log prune events --before 2026-11-04 --json").ok();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        lines(&dir.file("events")).iter().all(|line| line.contains("\"receivedAt\":17938")),
        "only the fifth is left"
    );
    let mut left: Vec<_> = std::fs::read_dir(dir.file("events"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    left.sort();
    assert_eq!(left, [".care.lock", "app.lock", "dead", "dt=2026-11-05", "web.lock"]);
    dir.adprof("log prune events --keep 40000d").ok();
    assert_eq!(lines(&dir.file("events")).len(), 120);
}

#[test]
fn packed_files_are_frames_that_the_zstd_tool_reads_too() {
    let dir = Dir::new();
    let line = format!("{{\"x\":\"{}\"}}\n", "y".repeat(1000));
    let body = line.repeat(20_000);
    dir.write("events/dt=2026-11-02/web-00001.ndjson", &body);
    dir.adprof("log seal events").ok();
    let path = dir.file("events/dt=2026-11-02/web-00001.ndjson.zst");
    let file = std::fs::File::open(&path).expect("there");
    let frames = adprof::log::care::frames(&file).expect("reads").expect("a table");
    assert_eq!(frames.len(), 3, "20 MB in frames of 8 MiB");
    for frame in &frames {
        assert!(adprof::log::care::read_frame(&file, frame).expect("reads").ends_with(b"\"}\n"));
    }
    match Command::new("zstd").arg("-dc").arg(&path).output() {
        Ok(out) => assert!(out.stdout == body.as_bytes(), "zstd gives other bytes"),
        Err(_) => support::skipped("no zstd tool"),
    }
}
