//! What the writer promises, with the disk failing at every step.

use super::*;
use crate::dead::DeadLetter;
use crate::disk::fault;
use crate::log::Log;
use crate::time::{DAY, HOUR};
use proptest::prelude::*;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::process::Command;

/// 2026-11-20T00:00:00Z.
const MIDNIGHT: Millis = 1_795_132_800_000;

fn open(path: &Path) -> LogWriter {
    LogWriter::open(path, "web", Options::default()).expect("opens")
}

/// Read in crumbs, so that every seam between chunks is crossed.
fn read(path: &Path) -> Vec<String> {
    read_by(path, 7)
}

fn read_whole(path: &Path) -> Vec<String> {
    read_by(path, 1 << 20)
}

fn read_by(path: &Path, target: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for chunk in Log::open(path).expect("a log").chunks(target) {
        chunk
            .for_each_line(|line| match line.text {
                crate::lines::Text::Whole(bytes) => lines.push(String::from_utf8(bytes.to_vec()).expect("UTF-8")),
                long => panic!("{long:?}"),
            })
            .expect("reads");
    }
    lines
}

fn names(root: &Path) -> Vec<String> {
    Log::open(root).expect("a log").files().iter().map(|file| file.name.clone()).collect()
}

#[test]
fn a_tail_torn_at_any_byte_is_ignored_by_readers_and_set_aside_by_the_writer() {
    let lines = ["{\"a\":1}", "{\"b\":\"é\"}", "{}", "{\"long\":\"xxxxxxxxxxxxxxxxxxxx\"}"];
    let whole = lines.map(|line| format!("{line}\n")).concat();
    for cut in lines[0].len() + 1..=whole.len() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ad-events.log");
        fs::write(&path, &whole[..whole.floor_char_boundary(cut)]).expect("written");
        fs::write(&path, &whole.as_bytes()[..cut]).expect("torn");
        let kept = whole.as_bytes()[..cut].iter().filter(|b| **b == b'\n').count();
        let end: usize = lines[..kept].iter().map(|line| line.len() + 1).sum();
        assert_eq!(read(&path), lines[..kept], "cut at {cut}");

        let mut writer = open(&path);
        let torn = writer.recovered().to_vec();
        assert_eq!(torn.len(), usize::from(end < cut));
        writer.append(b"{\"after\":1}", 0).expect("appended");
        writer.commit().expect("durable");
        let want: Vec<_> = lines[..kept].iter().copied().chain(["{\"after\":1}"]).collect();
        assert_eq!(read(&path), want, "cut at {cut}");
        if let Some(torn) = torn.first() {
            assert_eq!((torn.offset, torn.len), (end as u64, (cut - end) as u64));
            let letters = fs::read(dir.path().join("ad-events.log.torn")).expect("set aside");
            let letter = DeadLetter::parse(letters.trim_ascii_end()).expect("a letter");
            assert_eq!(letter.replay(), Ok(&whole.as_bytes()[end..cut]));
        }
    }
}

#[test]
fn zeros_of_a_power_cut_are_set_aside_however_many() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    fs::write(&path, [&b"{}\n"[..], &vec![0; 300_000]].concat()).expect("written");
    assert_eq!(open(&path).recovered(), [Torn { path: path.clone(), offset: 3, len: 300_000 }]);
    assert_eq!(fs::read(&path).expect("there"), b"{}\n");
    let letters = fs::read(dir.path().join("log.torn")).expect("set aside");
    let sizes: Vec<_> = letters
        .split_inclusive(|b| *b == b'\n')
        .map(|line| DeadLetter::parse(line.trim_ascii_end()).expect("a letter").original.len())
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 300_000);
}

#[test]
fn a_second_writer_is_refused_and_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("log");
    for (path, name) in [(file.as_path(), "a"), (dir.path(), "a")] {
        let first = LogWriter::open(path, name, Options::default()).expect("the first");
        match LogWriter::open(path, name, Options::default()) {
            Err(Error::Locked { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        LogWriter::open(path, name, Options::default()).expect("after the first");
    }
    let _a = LogWriter::open(dir.path(), "a", Options::default()).expect("one name");
    let _b = LogWriter::open(dir.path(), "b", Options::default()).expect("another name");
}

#[test]
fn a_deleted_lock_file_lets_nobody_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let mut first = open(&path);
    first.append(b"{}", 0).and_then(|()| first.commit().map(drop)).expect("durable");
    fs::remove_file(dir.path().join("log.lock")).expect("deleted by hand");
    assert!(matches!(LogWriter::open(&path, "web", Options::default()), Err(Error::Locked { .. })));
}

#[test]
fn a_log_that_was_moved_or_deleted_is_not_acknowledged_into() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    for moved in [true, false] {
        let mut writer = open(&path);
        writer.append(b"{}", 0).and_then(|()| writer.commit().map(drop)).expect("durable");
        if moved { fs::rename(&path, dir.path().join("old")) } else { fs::remove_file(&path) }.expect("gone");
        writer.append(b"{}", 0).expect("gathered");
        let error = writer.commit().expect_err("nobody would find it").to_string();
        assert!(error.contains("moved or deleted"), "{error}");
    }
    assert_eq!(read(&dir.path().join("old")), ["{}"], "what was not acknowledged was taken back");
}

/// Not a test of its own: the process that the next one kills.
#[test]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os("ADPROF_TEST_WRITE_TO") else { return };
    let mut writer = open(Path::new(&path));
    let process = std::process::id();
    for group in 0u64.. {
        for i in 0..100 {
            let line = format!("{{\"process\":{process},\"n\":{},\"x\":\"{}\"}}", group * 100 + i, "x".repeat(300));
            writer.append(line.as_bytes(), MIDNIGHT + i as Millis % 2 * DAY).expect("appended");
        }
        writer.commit().expect("durable");
        println!("acknowledged {process} {}", (group + 1) * 100);
    }
}

#[test]
fn killed_at_any_moment_it_loses_nothing_acknowledged_and_starts_again() {
    for target in ["log", "dir/"] {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(target);
        for round in 0..6u64 {
            let mut child = Command::new(std::env::current_exe().expect("this program"))
                .args(["--exact", "log::writer::tests::writes_until_it_is_killed", "--nocapture"])
                .env("ADPROF_TEST_WRITE_TO", &path)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("started");
            let mut pipe = BufReader::new(child.stdout.take().expect("a pipe"));
            let mut out = String::new();
            while !out.contains("acknowledged") {
                assert!(pipe.read_line(&mut out).expect("text") > 0, "the child ended by itself");
            }
            std::thread::sleep(std::time::Duration::from_millis(round * 17));
            child.kill().expect("killed");
            pipe.read_to_string(&mut out).expect("text");
            child.wait().expect("ended");
            // The last line may be cut short by the kill.
            let told = out.rsplit_once('\n').map_or("", |(whole, _)| whole).lines();
            let (_, last) = told.rev().find_map(|line| line.split_once("acknowledged ")).expect("one was seen");
            let (process, count) = last.split_once(' ').expect("two numbers");
            let count: usize = count.parse().expect("a number");
            let own = format!("{{\"process\":{process},");
            let lines = read_whole(&path);
            let kept = lines.iter().filter(|line| line.starts_with(&own)).count();
            assert!(kept >= count, "{kept} of {count}");
            assert!(lines.iter().all(|line| line.ends_with("x\"}")));
        }
        open(&path);
    }
}

#[test]
fn partitions_change_at_midnight_of_the_zone() {
    let berlin = TimeZone::get("Europe/Berlin").expect("a known zone");
    for (zone, midnight) in [(TimeZone::UTC, MIDNIGHT), (berlin, MIDNIGHT - HOUR)] {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("made/on/demand/");
        let options = Options { zone, ..Options::default() };
        let mut writer = LogWriter::open(&root, "web", options).expect("opens");
        for (line, at) in [("{\"n\":1}", midnight - 1), ("{\"n\":2}", midnight), ("{\"n\":3}", midnight - 1)] {
            writer.append(line.as_bytes(), at).expect("appended");
        }
        let ends = writer.commit().expect("durable").clone();
        assert_eq!(names(&root), ["dt=2026-11-19/web-00001.ndjson", "dt=2026-11-20/web-00001.ndjson"]);
        assert_eq!(ends.iter().map(|(_, end)| end).collect::<Vec<_>>(), [16, 8]);
        assert_eq!(read(&root), ["{\"n\":1}", "{\"n\":3}", "{\"n\":2}"]);
    }
}

#[test]
fn history_may_jump_between_more_days_than_files_are_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = open(dir.path());
    for i in 0..400 {
        let day = i * 7 % 40;
        writer.append(format!("{{\"i\":{i}}}").as_bytes(), MIDNIGHT + day * DAY).expect("appended");
        assert!(writer.parts.len() <= OPEN_MAX);
    }
    assert_eq!(writer.commit().expect("durable").iter().count(), 40);
    assert_eq!((names(dir.path()).len(), read(dir.path()).len()), (40, 400));
}

#[test]
fn a_file_that_has_grown_or_was_packed_is_followed_by_the_next_number() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { roll_bytes: 10, ..Options::default() };
    let mut writer = LogWriter::open(dir.path(), "web", options.clone()).expect("opens");
    for _ in 0..3 {
        writer.append(b"{\"aaaa\":1}", MIDNIGHT).expect("appended");
        writer.commit().expect("durable");
    }
    drop(writer);
    let day = dir.path().join("dt=2026-11-20");
    fs::rename(day.join("web-00003.ndjson"), day.join("web-00003.ndjson.gz")).expect("as if packed");
    let mut writer = LogWriter::open(dir.path(), "web", Options::default()).expect("opens");
    writer.append(b"{}", MIDNIGHT).expect("appended");
    writer.commit().expect("durable");
    let want = ["1.ndjson", "2.ndjson", "3.ndjson.gz", "4.ndjson"].map(|end| format!("dt=2026-11-20/web-0000{end}"));
    assert_eq!(names(dir.path()), want);
}

#[test]
fn what_is_no_log_is_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("picture");
    for bytes in [&b"\x89PNG\r\n no newline"[..], b"\x1f\x8b\x08 packed", b"userId,amount\nu,1"] {
        fs::write(&path, bytes).expect("written");
        let error = LogWriter::open(&path, "web", Options::default()).expect_err("not a log").to_string();
        assert!(error.contains("is not an event log"), "{error}");
        assert_eq!(fs::read(&path).expect("there"), bytes);
    }
    for name in ["", "..", "a/b", ".a", "a..b", "-a", "ä"] {
        assert!(matches!(LogWriter::open(dir.path(), name, Options::default()), Err(Error::BadName { .. })), "{name}");
    }
    let nowhere = LogWriter::open(&dir.path().join("no/log"), "web", Options::default()).expect_err("no directory");
    assert_eq!(nowhere.io_kind(), Some(ErrorKind::NotFound));
    assert!(matches!(LogWriter::open(Path::new("/dev/null"), "web", Options::default()), Err(Error::NotALog { .. })));
    let mut writer = open(&dir.path().join("log"));
    assert!(matches!(writer.append(b"{\n}", 0), Err(Error::Newline)));
    writer.append(b"{}", 0).expect("a refused line harms nothing");
}

#[test]
fn a_partition_that_is_a_link_is_not_written_through() {
    let (dir, outside) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    std::os::unix::fs::symlink(outside.path(), dir.path().join("dt=2026-11-20")).expect("linked");
    let mut writer = open(dir.path());
    assert!(matches!(writer.append(b"{}", MIDNIGHT), Err(Error::Escape { .. })));
    assert_eq!(fs::read_dir(outside.path()).expect("there").count(), 0);
}

/// Appends until a fault; gives the lines that were committed, and how it ended.
fn work(path: &Path, from: usize) -> (Vec<String>, Result<(), Error>) {
    let mut committed = Vec::new();
    let mut run = || -> Result<(), Error> {
        let mut writer = LogWriter::open(path, "web", Options { roll_bytes: 60, ..Options::default() })?;
        for group in from..from + 4 {
            let lines: Vec<_> = (0..3).map(|i| format!("{{\"group\":{group},\"line\":{i}}}")).collect();
            let outcome = lines
                .iter()
                .enumerate()
                .try_for_each(|(i, line)| writer.append(line.as_bytes(), MIDNIGHT + i as Millis % 2 * DAY));
            if let Err(e) = outcome.and_then(|()| writer.commit().map(drop)) {
                assert!(matches!(writer.append(b"{}", MIDNIGHT), Err(Error::Poisoned { .. })), "after {e}");
                assert!(matches!(writer.commit(), Err(Error::Poisoned { .. })));
                return Err(e);
            }
            committed.extend(lines);
        }
        Ok(())
    };
    let outcome = run();
    (committed, outcome)
}

#[test]
fn whichever_operation_fails_nothing_committed_is_lost_and_nothing_torn_is_read() {
    for path in ["log", "dir/"] {
        let mut seen = Vec::new();
        for n in 0.. {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join(path);
            fault::set(n);
            let (mut committed, outcome) = work(&path, 0);
            let Some(op) = fault::clear() else { break };
            outcome.expect_err("the fault was told");
            seen.push(op);
            let exists = path.exists();
            let mut lines = if exists { read(&path) } else { Vec::new() };
            lines.sort();
            committed.sort();
            // Nothing was lost; of several files each is whole up to its own sync.
            assert!(committed.iter().all(|line| lines.contains(line)), "{n} {op:?}");
            assert!(lines.iter().all(|line| line.ends_with('}')), "{n} {op:?}");
            // A restart goes on as if nothing had been.
            let (more, outcome) = work(&path, 100);
            outcome.expect("no fault");
            let lines = read(&path);
            assert!(committed.iter().chain(&more).all(|line| lines.contains(line)), "{n} {op:?}");
        }
        assert!(
            [crate::disk::Op::Write, crate::disk::Op::Sync, crate::disk::Op::Dir].iter().all(|op| seen.contains(op))
        );
    }
}

#[test]
fn setting_a_tail_aside_may_fail_anywhere_and_is_done_by_the_next_start() {
    for n in 0.. {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        fs::write(&path, "{\"a\":1}\n{\"half").expect("torn");
        fault::set(n);
        let outcome = LogWriter::open(&path, "web", Options::default());
        let Some(op) = fault::clear() else {
            assert!(n > 4, "opening, setting aside and cutting are more than {n} operations");
            break;
        };
        outcome.expect_err("the fault was told");
        assert_eq!(read(&path), ["{\"a\":1}"], "{n} {op:?}");
        let mut writer = open(&path);
        writer.append(b"{}", 0).and_then(|()| writer.commit().map(drop)).expect("goes on");
        assert_eq!(read(&path), ["{\"a\":1}", "{}"], "{n} {op:?}");
        // At the end of the letters, perhaps behind a torn one, the tail is there.
        let letters = fs::read(dir.path().join("log.torn")).expect("set aside");
        let found = letters
            .split(|b| *b == b'\n')
            .filter_map(|line| DeadLetter::parse(line).ok())
            .any(|letter| letter.replay() == Ok(&b"{\"half"[..]));
        assert!(found, "{n} {op:?}");
    }
}

#[test]
fn a_half_written_line_is_cut_off_again_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let mut writer = open(&path);
    writer.append(b"{\"a\":1}", 0).expect("appended");
    writer.commit().expect("durable");
    writer.append(b"{\"b\":1}", 0).expect("appended");
    fault::set(0);
    writer.commit().expect_err("no space");
    assert_eq!(fault::clear(), Some(crate::disk::Op::Write));
    assert_eq!(fs::read(&path).expect("there"), b"{\"a\":1}\n");
}

#[test]
fn a_full_disk_leaves_no_torn_line_and_room_lets_it_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let mount = dir.path().join("small");
    fs::create_dir(&mount).expect("made");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&mount).output();
    if !mounted.is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let path = mount.join("log");
    let line = format!("{{\"x\":\"{}\"}}", "x".repeat(1000));
    let outcome = std::panic::catch_unwind(|| {
        let mut writer = open(&path);
        let mut acknowledged = 0;
        let error = loop {
            let group = (0..50).try_for_each(|_| writer.append(line.as_bytes(), 0));
            match group.and_then(|()| writer.commit().map(drop)) {
                Ok(()) => acknowledged += 50,
                Err(e) => break e,
            }
        };
        assert_eq!(error.io_kind(), Some(ErrorKind::StorageFull), "{error}");
        assert_eq!(read(&path), vec![line.clone(); acknowledged]);
        drop(writer);
        fs::rename(&path, mount.join("elsewhere")).expect("moved");
        fs::remove_file(mount.join("elsewhere")).expect("room again");
        let mut writer = open(&path);
        writer.append(line.as_bytes(), 0).and_then(|()| writer.commit().map(drop)).expect("goes on");
        assert_eq!(read(&path).len(), 1);
    });
    let _ = Command::new("umount").arg(&mount).status();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_was_appended_is_read_back_in_order_and_pending_counts_it(
        groups in proptest::collection::vec(proptest::collection::vec(0usize..3000, 0..20), 0..6),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let (mut writer, mut want) = (open(&path), Vec::new());
        for group in groups {
            let mut pending = 0;
            for len in group {
                let line = format!("{{\"{}\"}}", "y".repeat(len));
                writer.append(line.as_bytes(), 0).expect("appended");
                pending += line.len() as u64 + 1;
                want.push(line);
            }
            prop_assert_eq!(writer.pending(), pending);
            writer.commit().expect("durable");
            prop_assert_eq!(writer.pending(), 0);
        }
        let mut text = String::new();
        if path.exists() {
            fs::File::open(&path).expect("there").read_to_string(&mut text).expect("UTF-8");
        }
        prop_assert_eq!(text.lines().collect::<Vec<_>>(), want);
    }
}
