//! Rows 20 to 23: disks that are full, fail, are gone, hang, or gave back something else.

use crate::stores::SmallDisk;
use crate::streams::{counts, now, oracle, profiles, query, wait_until};
use crate::support::{Dir, adprof_path, event, ids, skipped};
use crate::world::{SOON, World, ends, injected, thorough};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program with less of something than usual, by util-linux.
fn limited(dir: &Dir, limit: &str, args: &str) -> Option<crate::support::Running> {
    if Command::new("prlimit").arg("--version").stdout(Stdio::null()).status().is_err() {
        skipped("no prlimit");
        return None;
    }
    let mut command = Command::new("prlimit");
    command.arg(limit).arg("--").arg(adprof_path()).args(args.split_whitespace());
    Some(dir.start_command(command))
}

#[test]
fn with_few_open_files_all_of_it_works() {
    let Some(mut world) = World::new("files", &[]) else { return };
    let args = world.args(&world.server.url(), "");
    let Some(stream) = limited(&world.dir, "--nofile=64", &args) else { return };
    world.click(500);
    world.whole(SOON);
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    let Some(mut collect) = limited(&world.dir, "--nofile=64", "collect --ack --log days/") else { return };
    (0..50).for_each(|id| assert!(collect.feed(event(id))));
    assert_eq!(collect.acknowledged(50).1, 50);
    assert_eq!(collect.end().0, 0);
}

#[test]
fn at_a_quota_collect_says_so_leaves_no_torn_line_and_goes_on_when_there_is_room() {
    let dir = Dir::new();
    let Some(mut collect) = limited(&dir, "--fsize=20000", "collect --ack --log log") else { return };
    let mut said = 0;
    for id in 0..1000 {
        if !collect.feed(event(id)) {
            break;
        }
        let Some(line) = collect.line() else { break };
        said = crate::support::ack(&line).1;
    }
    let (code, words) = collect.end();
    // SIGXFSZ ends it before it hears of the error, where nobody holds the signal off.
    assert!(code == 74 || code == 128 + 25, "{code}: {words}");
    assert!(said > 50 && said < 1000, "{said}");
    let log = dir.read("log");
    assert!(ids(&log).len() as u64 >= said, "{said} were acknowledged");
    dir.adprof("collect --log log").stdin(event(5000)).exits(0);
    let log = dir.read("log");
    assert!(log.ends_with('\n') && log.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    assert!(ids(&log).last().is_some_and(|id| id == "e-5000"));
}

/// The state on a full disk: what was published stays right, and the next start goes on.
#[test]
fn a_stream_whose_disk_is_full_ends_with_74_and_goes_on_when_there_is_room() {
    let Some(mut world) = World::new("state-disk", &[]) else { return };
    let Some(disk) = SmallDisk::mount(&world.dir.file("small"), 8) else { return };
    let ballast = disk.0.join("ballast");
    let stream = world.published(200, "--state small/state");
    let _ = std::fs::write(&ballast, vec![0; 8 << 20]);
    world.click(20_000);
    let (code, words) = ends(stream);
    assert!(code == 74 && words.contains("the disk is full"), "{code}: {words}");
    std::fs::remove_file(&ballast).expect("removed");
    world.dir.adprof(&world.args(&world.server.url(), "-e --state small/state")).exits(0);
    world.whole(SOON);
}

#[test]
fn a_sync_that_fails_ends_a_stream_and_the_next_start_is_right() {
    let Some(mut world) = World::new("sync", &[]) else { return };
    world.click(100);
    world.catch_up();
    for call in ["fdatasync", "pwrite64"] {
        for _ in 0..thorough(3, 20) {
            let n = 1 + world.random.below(8);
            world.click(50);
            let args = world.args(&world.server.url(), "-e");
            let Some(command) = injected(&args, &format!("{call}:error=EIO:when={n}")) else { return };
            let (code, words) = world.dir.start_command(command).end();
            assert!(code == 0 || code == 74, "{call} {n}: {code}: {words}");
            assert!(code == 0 || words.to_lowercase().contains("input/output error"), "{words}");
        }
    }
    world.catch_up();
    world.whole(SOON);
    let [consumed, absorbed, duplicates, _] = counts(&world.dir.file("adprof-state"));
    assert_eq!(consumed, absorbed + duplicates);
}

#[test]
fn calls_that_are_interrupted_are_made_again() {
    let dir = Dir::new();
    // Not the reads of the loader, which has no patience.
    for (call, first) in [("write", 3), ("fdatasync", 3), ("read", 40)] {
        let inject = format!("{call}:error=EINTR:when={first}+5");
        let Some(command) = injected("collect --ack --log log", &inject) else { return };
        let mut collect = dir.start_command(command);
        let before = if dir.file("log").exists() { ids(&dir.read("log")).len() } else { 0 };
        for id in 0..20 {
            collect.feed(event(id));
            let Some(line) = collect.line() else {
                let (code, words) = collect.end();
                panic!("{call}: {code}: {words}");
            };
            assert_eq!(crate::support::ack(&line).1, id + 1, "{call}");
        }
        let (code, words) = collect.end();
        assert_eq!(code, 0, "{call}: {words}");
        assert_eq!(ids(&dir.read("log")).len(), before + 20);
    }
}

#[test]
fn a_log_that_becomes_read_only_or_is_deleted_ends_collect_and_no_event_is_lost() {
    let dir = Dir::new();
    let Some(disk) = SmallDisk::mount(&dir.file("small"), 8) else { return };
    let mut collect = dir.start("collect --ack --log small/log/");
    collect.feed(event(0));
    assert_eq!(collect.acknowledged(1).1, 1);
    collect.signal("KILL");
    collect.end();
    disk.remount("ro");
    let told = dir.adprof("collect --log small/log/").stdin(event(1)).output();
    assert!(told.code == 74 || told.code == 77, "{}: {}", told.code, told.stderr);
    disk.remount("rw");
    // With the folder gone under a collector that lives: no word for what is nowhere.
    let mut collect = dir.start("collect --ack --log small/log/");
    collect.feed(event(2));
    assert_eq!(collect.acknowledged(1).1, 1);
    std::fs::remove_dir_all(dir.file("small/log")).expect("removed");
    let mut said = 0;
    for id in 3..200 {
        if !collect.feed(event(id)) {
            break;
        }
        let Some(line) = collect.line() else { break };
        said = crate::support::ack(&line).1;
    }
    let (code, words) = collect.end();
    let left: usize = std::fs::read_dir(dir.file("small/log"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|day| {
            let files = std::fs::read_dir(day.path()).into_iter().flatten().flatten();
            files.map(|file| std::fs::read_to_string(file.path()).map_or(0, |text| ids(&text).len())).sum::<usize>()
        })
        .sum();
    // All but the one that went with the folder.
    assert!(left as u64 + 1 >= said, "{code}: {said} were acknowledged, {left} are there: {words}");
}

/// Behind a disk that hangs nobody is told that his event is safe, and nothing is lost when it goes on.
#[test]
fn on_a_disk_that_hangs_there_is_no_acknowledgement() {
    let dir = Dir::new();
    let Some(command) = injected("collect --ack --log log", "fdatasync:delay_enter=3000000:when=3") else { return };
    let mut collect = dir.start_command(command);
    for id in 0..6 {
        let began = Instant::now();
        collect.feed(event(id));
        assert_eq!(collect.acknowledged(id + 1).1, id + 1);
        let waited = began.elapsed();
        assert_eq!(ids(&dir.read("log")).len() as u64, id + 1);
        assert!(waited < Duration::from_millis(6000), "{waited:?}");
    }
    assert_eq!(collect.end().0, 0);
}

/// Row 23, through the program: cut at every byte of the last three lines.
#[test]
fn a_log_torn_at_any_byte_is_collected_into_and_read_without_a_torn_line() {
    let dir = Dir::new();
    let whole: String = (0..20).map(event).collect();
    let three = (17..20).map(|id| event(id).len()).sum::<usize>();
    let step = thorough(7, 1) as usize;
    for cut in (0..three).step_by(step) {
        let kept = &whole[..whole.len() - cut];
        dir.write("log", kept);
        let lines = kept.matches('\n').count();
        // Of a whole line that lacks its end only, a reader takes the event: logs of others may end so.
        let read = lines + usize::from(kept.ends_with('}'));
        let torn = kept.len() - kept.rfind('\n').expect("lines") - 1;
        let told = dir.adprof("batch --log log --tags clicks_1h_count,last_active_ts").exits(0);
        assert_eq!(told.stdout.lines().count(), read, "cut {cut}: one user an event: {}", told.stderr);
        let told = dir.adprof("collect --log log").stdin(event(99)).exits(0);
        assert_eq!(told.stderr.contains(&format!("the last {torn} bytes")), torn > 0, "cut {cut}: {}", told.stderr);
        let found = ids(&dir.read("log"));
        assert_eq!((found.len(), found.last().map(String::as_str)), (lines + 1, Some("e-99")), "cut {cut}");
        let _ = std::fs::remove_file(dir.file("log.torn"));
    }
}

/// Row 23: a byte of the middle is another: its line is refused with its place, or is an event still; the others count.
#[test]
fn a_byte_changed_in_the_middle_of_a_log_costs_its_line_at_most() {
    let dir = Dir::new();
    let whole: String = (0..20).map(event).collect();
    let mut random = crate::streams::Random(crate::world::seed());
    for _ in 0..thorough(30, 300) {
        let mut bytes = whole.clone().into_bytes();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        dir.write("log", &bytes);
        let told = dir.adprof("batch --log log --tags last_active_ts --dead dead").output();
        assert_eq!(told.code, 0, "{}", told.stderr);
        let refused = if dir.file("dead").exists() { dir.read("dead") } else { String::new() };
        let (users, letters) = (told.stdout.lines().count(), refused.lines().count());
        // A newline that came or went makes two lines of one or one of two.
        assert!(users + letters >= 18 && users >= 18 && letters <= 2, "{at}: {users} users, {letters} refused");
        for letter in refused.lines() {
            let letter: serde_json::Value = serde_json::from_str(letter).expect("JSON");
            assert!(letter["offset"].as_u64().is_some_and(|offset| offset <= at as u64), "{letter}");
        }
        let _ = std::fs::remove_file(dir.file("dead"));
    }
}

/// Row 24: damage that is noticed is repaired from the log; the profiles are those of an independent fold again.
#[test]
fn an_embedded_store_that_is_damaged_is_made_anew_from_the_log() {
    let dir = Dir::new();
    let tags = ["clicks_1h_count", "last_active_ts"];
    // Some minutes ago, whatever the time is.
    let at = (now() / 1_000_000 - 1).to_string();
    let lines: String = (0..3000).map(|id| event(id).replace("1731296", &at)).collect();
    dir.write("log", &lines);
    dir.adprof("stream --store file:s").stdin(lines).exits(0);
    let store = std::fs::read(dir.file("s/data.mdb")).expect("a store");
    let mut random = crate::streams::Random(crate::world::seed());
    let mut noticed = 0;
    for _ in 0..thorough(6, 60) {
        let mut bytes = store.clone();
        match random.below(3) {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            _ => {
                let page = random.below(bytes.len() as u64 / 4096) as usize * 4096;
                bytes[page..page + 4096].iter_mut().for_each(|byte| *byte ^= 0x55);
            }
        }
        dir.write("s/data.mdb", &bytes);
        let told = dir.adprof("query --store file:s u-1 u-2").output();
        assert!([0, 74].contains(&told.code), "{}: {}", told.code, told.stderr);
        let deep = dir.adprof("doctor --store file:s --deep --json").output().stdout;
        noticed += u32::from(told.code == 74 || deep.contains("risk"));
        std::fs::remove_dir_all(dir.file("s")).expect("moved away");
        dir.adprof("rebuild --log log --store file:s").exits(0);
        let as_of = now() + 1000;
        let Some(expected) = oracle(&dir, "log", as_of, &tags) else { return };
        let found = query(&dir, &format!("--store file:s --as-of {as_of}"), expected.keys().cloned());
        crate::streams::assert_same(&profiles(&found, &tags), &expected);
    }
    assert!(noticed > 0, "no damage was noticed");
    wait_until("the store is whole", SOON, || dir.adprof("doctor --store file:s --deep --json").output().code <= 1);
}
