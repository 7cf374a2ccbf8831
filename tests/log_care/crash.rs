//! Killed before each of its calls to the system in turn: what is left reads the same, and the next run finishes the work.

use super::*;
use std::process::{Command, Stdio};

/// The calls by which a log changes on the disk.
const CALLS: [&str; 7] = ["openat", "write", "fsync", "fdatasync", "rename", "unlink", "ftruncate"];

/// Runs adprof in a folder and kills it before its `n`-th call of a kind; whether it was killed, `None` without strace.
fn killed(dir: &Dir, call: &str, n: u32, args: &str) -> Option<bool> {
    use std::os::unix::process::ExitStatusExt;
    let mut command = Command::new("strace");
    command.current_dir(dir.path()).env_clear().envs(support::clean_environment());
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]);
    command.arg(support::adprof_path()).args(args.split_whitespace());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Some(false),
        (None, Some(9)) | (Some(137), _) => Some(true),
        _ => None,
    }
}

/// Kills a command before each call of each kind, in a fresh copy of a log each time; how often it was killed.
fn kill_everywhere(make: impl Fn(&Dir), args: &str, check: impl Fn(&Dir, &str)) -> u32 {
    let mut kills = 0;
    for call in CALLS {
        for n in 1.. {
            let dir = Dir::new();
            make(&dir);
            let (before, patches_before) = (lines(&dir.file("events")), patches(&dir));
            match killed(&dir, call, n, args) {
                None => {
                    support::skipped("strace is not there or cannot kill");
                    return 0;
                }
                Some(false) => break,
                Some(true) => kills += 1,
            }
            let at = format!("{args}: killed before {call} {n}");
            assert_eq!(lines(&dir.file("events")), before, "{at}");
            // A collector that starts now is not in the way, nor is it held up.
            dir.adprof("collect --log events/ --writer web").ok();
            dir.adprof(args).ok();
            assert_eq!(lines(&dir.file("events")), before, "{at}, and run again");
            assert_eq!(patches(&dir), patches_before, "{at}, and run again");
            check(&dir, &at);
        }
    }
    kills
}

fn small_log(dir: &Dir) {
    for (name, id, packed) in [("web-00001", 0, true), ("web-00002", 10, false), ("app-00001", 20, false)] {
        let file = format!("events/dt=2026-11-02/{name}.ndjson");
        dir.write(&file, day_of_events(id, 5, DAY_2));
        if packed {
            pack_by_hand(dir, &file);
        }
    }
}

#[test]
fn sealing_can_be_killed_anywhere() {
    let kills = kill_everywhere(small_log, "log seal events --threads 1", |dir, at| {
        let want = ["_SUCCESS", "app-00001.ndjson.zst", "web-00001.ndjson.zst", "web-00002.ndjson.zst"];
        assert_eq!(names(dir, "2026-11-02"), want, "{at}");
        assert_eq!(manifest(dir, "2026-11-02")["lines"], 15, "{at}");
    });
    assert!(kills == 0 || kills > 20, "{kills} kills");
}

#[test]
fn sealing_again_can_be_killed_anywhere() {
    let make = |dir: &Dir| {
        small_log(dir);
        dir.adprof("log seal events").ok();
        dir.write("events/dt=2026-11-02/web-00003.ndjson", format!("{}{{\"torn", event_at(99, DAY_2)));
    };
    let kills = kill_everywhere(make, "log seal events --threads 1", |dir, at| {
        assert_eq!(manifest(dir, "2026-11-02")["lines"], 16, "{at}");
        assert_eq!(names(dir, "2026-11-02").len(), 6, "{at}: four files, the tail, the seal");
    });
    assert!(kills == 0 || kills > 20, "{kills} kills");
}

#[test]
fn compaction_can_be_killed_anywhere() {
    let make = |dir: &Dir| {
        small_log(dir);
        dir.adprof("log seal events").ok();
    };
    let kills = kill_everywhere(make, "log compact events", |dir, at| {
        let want = ["_SUCCESS", "app-00001.ndjson.zst", "web-00001+00002.ndjson.zst"];
        assert_eq!(names(dir, "2026-11-02"), want, "{at}");
    });
    assert!(kills == 0 || kills > 20, "{kills} kills");
}

#[test]
fn a_day_that_is_pruned_is_there_as_a_whole_or_not_at_all() {
    for call in ["rename", "fsync", "unlinkat", "rmdir"] {
        for n in 1.. {
            let dir = Dir::new();
            small_log(&dir);
            dir.adprof("log seal events").ok();
            let args = "log prune events --before 2026-11-03";
            match killed(&dir, call, n, args) {
                None => return support::skipped("strace is not there or cannot kill"),
                Some(false) => break,
                Some(true) => {}
            }
            let left = lines(&dir.file("events")).len();
            assert!(left == 15 || left == 0, "killed before {call} {n}: {left} lines");
            dir.adprof(args).ok();
            assert!(lines(&dir.file("events")).is_empty());
        }
    }
}
