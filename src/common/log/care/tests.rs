//! Readers, shippers and writers of a log that is cared for meanwhile.

use super::*;
use crate::lines::Text;
use crate::log::{Log, LogReader, LogWriter, Options, Position};
use crate::time::DAY;
use proptest::prelude::*;
use std::fs;

/// 2026-11-02T00:00:00Z.
const MIDNIGHT: Millis = 1_793_577_600_000;
const PACKING: Packing = Packing { level: Some(1), threads: 2 };

fn day() -> Date {
    jiff::civil::date(2026, 11, 2)
}

fn seal(root: &Path) -> Sealed {
    seal_day(root, day(), &Topics::default(), PACKING, 0).expect("sealed")
}

fn lines(log: &Log, target: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for chunk in log.chunks(target) {
        let each = |line: crate::log::Line<'_>| {
            let Text::Whole(bytes) = line.text else { panic!("too long") };
            lines.push(String::from_utf8(bytes.to_vec()).expect("UTF-8"));
        };
        chunk.for_each_line(each).expect("reads");
    }
    lines
}

fn drain(reader: &mut LogReader) -> Vec<String> {
    let mut out = Vec::new();
    while let Some(line) = reader.next(&Position::default()).expect("reads") {
        let Text::Whole(bytes) = line.text else { panic!("too long") };
        out.push(String::from_utf8(bytes.to_vec()).expect("UTF-8"));
    }
    out
}

/// Files of one writer with these lines in them.
fn write(root: &Path, files: &[Vec<String>]) {
    fs::create_dir_all(day_dir(root, day())).expect("a folder");
    for (n, lines) in files.iter().enumerate() {
        let text: String = lines.iter().map(|line| format!("{{\"{line}\"}}\n")).collect();
        fs::write(day_dir(root, day()).join(format!("web-{:05}.ndjson", n + 1)), text).expect("written");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_log_that_was_opened_before_reads_the_same_after(
        files in proptest::collection::vec(proptest::collection::vec("[a-z]{0,9}", 0..9), 1..5),
        target in 1u64..60,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), &files);
        let listed = Log::open(dir.path()).expect("a log");
        let want = lines(&listed, 1 << 20);
        let manifest = seal(dir.path()).manifest;
        prop_assert_eq!(manifest.lines as usize, want.len());
        prop_assert_eq!(lines(&listed, target), &want[..]);
        let packed = Log::open(dir.path()).expect("a log");
        compact_day(dir.path(), day(), &Topics::default(), Some(1)).expect("compacted");
        for log in [&listed, &packed, &Log::open(dir.path()).expect("a log")] {
            prop_assert_eq!(lines(log, target), &want[..]);
        }
        prop_assert_eq!(Log::open(dir.path()).expect("a log").files().len(), 1);
        prop_assert_eq!(Day::read(dir.path(), day()).expect("a day").state(), State::Sealed);
    }
}

#[test]
fn a_shipper_that_had_read_all_reads_nothing_again_and_a_new_one_everything_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let files: Vec<Vec<String>> = (0..4).map(|n| (0..3).map(|i| format!("{n}-{i}")).collect()).collect();
    write(dir.path(), &files);
    let mut reader = LogReader::from(dir.path(), Position::default());
    let all = drain(&mut reader);
    assert_eq!(all.len(), 12);
    seal(dir.path());
    assert!(drain(&mut reader).is_empty());
    compact_day(dir.path(), day(), &Topics::default(), None).expect("compacted");
    assert!(drain(&mut reader).is_empty());
    let saved = Position::from_json(&reader.position().to_json()).expect("reads back");
    fs::write(day_dir(dir.path(), day()).join("web-00005.ndjson"), "{\"late\"}\n").expect("written");
    let mut again = LogReader::from(dir.path(), saved);
    assert_eq!(drain(&mut again), ["{\"late\"}"]);
    seal(dir.path());
    compact_day(dir.path(), day(), &Topics::default(), Some(1)).expect("compacted");
    assert!(drain(&mut again).is_empty());
    let new = drain(&mut LogReader::from(dir.path(), Position::default()));
    assert_eq!((new.len(), &new[..12], new[12].as_str()), (13, &all[..], "{\"late\"}"));
}

#[test]
fn a_shipper_in_the_middle_of_a_day_goes_on_when_it_is_packed() {
    let dir = tempfile::tempdir().expect("a directory");
    let files: Vec<Vec<String>> = (0..4).map(|n| (0..3).map(|i| format!("{n}-{i}")).collect()).collect();
    write(dir.path(), &files);
    for stop in 0..12 {
        let mut reader = LogReader::from(dir.path(), Position::default());
        for _ in 0..stop {
            reader.next(&Position::default()).expect("reads").expect("a line");
        }
        seal(dir.path());
        let rest = drain(&mut reader);
        assert_eq!(rest.len(), 12 - stop, "stopped after {stop}");
        fs::remove_dir_all(day_dir(dir.path(), day())).expect("removed");
        write(dir.path(), &files);
    }
}

#[test]
fn a_writer_makes_way_and_goes_on_with_the_next_number() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = LogWriter::open(dir.path(), "web", Options::default()).expect("opens");
    let append = |writer: &mut LogWriter, n: u32| {
        writer.append(format!("{{\"n\":{n}}}").as_bytes(), MIDNIGHT + i64::from(n) % 2 * DAY).expect("appended");
    };
    append(&mut writer, 0);
    // In the middle of a group the day is not sealed; between two groups it is.
    let refused = seal_day(dir.path(), day(), &Topics::default(), PACKING, 0);
    assert!(matches!(refused, Err(Error::NotYet { .. })), "{refused:?}");
    writer.commit().expect("durable");
    seal(dir.path());
    for n in [1, 2, 3, 4] {
        append(&mut writer, n);
    }
    assert_eq!(writer.commit().expect("durable").get("dt=2026-11-02/web-00002.ndjson"), Some(16));
    let sealed = seal(dir.path());
    assert_eq!((sealed.again, sealed.late.as_slice()), (true, &["web-00002.ndjson".to_string()][..]));
    compact_day(dir.path(), day(), &Topics::default(), Some(1)).expect("compacted");
    append(&mut writer, 6);
    writer.commit().expect("durable");
    let log = Log::open(dir.path()).expect("a log");
    let names: Vec<_> = log.files().iter().map(|file| file.name.as_str()).collect();
    let want = [
        "dt=2026-11-02/web-00001+00002.ndjson.zst",
        "dt=2026-11-02/web-00003.ndjson",
        "dt=2026-11-03/web-00001.ndjson",
    ];
    assert_eq!(names, want);
    assert_eq!(lines(&log, 100), [0, 2, 4, 6, 1, 3].map(|n| format!("{{\"n\":{n}}}")));
}

#[test]
fn the_time_of_a_day_has_come_five_minutes_after_midnight() {
    assert_eq!(over_at(day()).expect("a day"), MIDNIGHT + DAY + 300_000);
}
