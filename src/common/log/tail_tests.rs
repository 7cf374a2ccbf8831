//! Reading on from a durable position, across files and crashes.

use super::*;
use crate::log::Options;
use crate::time::{DAY, Millis};
use proptest::prelude::*;
use std::fs;
use std::io::Write;

/// 2026-11-20T00:00:00Z.
const MIDNIGHT: Millis = 1_795_132_800_000;

fn drain(reader: &mut LogReader, limit: &Position) -> Vec<String> {
    let mut out = Vec::new();
    while let Some(line) = reader.next(limit).expect("reads") {
        let Text::Whole(bytes) = line.text else { panic!("too long") };
        out.push(String::from_utf8(bytes.to_vec()).expect("UTF-8"));
    }
    out
}

fn writer(path: &Path) -> LogWriter {
    LogWriter::open(path, "web", Options::default()).expect("opens")
}

#[test]
fn a_reader_stopped_after_any_line_goes_on_with_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = writer(dir.path());
    let lines: Vec<_> = (0..9).map(|i| format!("{{\"i\":{i}}}")).collect();
    for (i, line) in lines.iter().enumerate() {
        log.append(line.as_bytes(), MIDNIGHT + i as Millis / 3 * DAY).expect("appended");
    }
    let limit = log.commit().expect("durable").clone();
    for stop in 0..=lines.len() {
        let mut first = LogReader::behind(&log, Position::default());
        for line in &lines[..stop] {
            let shipped = first.next(&limit).expect("reads").expect("a line");
            assert_eq!(shipped.text, Text::Whole(line.as_bytes()));
        }
        let saved = Position::from_json(&first.position().to_json()).expect("reads back");
        assert_eq!(drain(&mut LogReader::behind(&log, saved), &limit), lines[stop..]);
    }
}

#[test]
fn nothing_uncommitted_is_given_out_even_when_the_system_has_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = writer(dir.path());
    let mut reader = LogReader::behind(&log, Position::default());
    let line = format!("{{\"x\":\"{}\"}}", "x".repeat(1000));
    for _ in 0..3000 {
        log.append(line.as_bytes(), MIDNIGHT).expect("appended");
    }
    let on_disk = fs::metadata(dir.path().join("dt=2026-11-20/web-00001.ndjson")).expect("there").len();
    assert!(on_disk > 1 << 20, "the writer has handed over a part");
    assert!(drain(&mut reader, log.ends()).is_empty());
    log.commit().expect("durable");
    assert_eq!(drain(&mut reader, log.ends()).len(), 3000);
    assert!(drain(&mut reader, log.ends()).is_empty());
    drop(log);
    let mut again = writer(dir.path());
    let mut reader = LogReader::behind(&again, reader.position().clone());
    again.append(b"{}", MIDNIGHT + DAY).expect("appended");
    assert!(drain(&mut reader, again.ends()).is_empty());
    again.commit().expect("durable");
    assert_eq!(drain(&mut reader, again.ends()), ["{}"]);
}

#[test]
fn a_torn_tail_is_waited_for_and_a_log_that_is_not_there_is_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let none = Position::default();
    let mut reader = LogReader::from(&path, Position::default());
    assert!(drain(&mut reader, &none).is_empty());
    let mut file = File::create(&path).expect("made");
    for (bytes, want) in [("{\"a\"", vec![]), (":1}\n{\"b\":", vec!["{\"a\":1}"]), ("2}\n", vec!["{\"b\":2}"])] {
        file.write_all(bytes.as_bytes()).expect("written");
        assert_eq!(drain(&mut reader, &none), want);
    }
    file.set_len(3).expect("cut");
    assert!(matches!(reader.next(&none), Err(Error::Shrunk { position: 16, len: 3, .. })));
}

#[test]
fn a_file_may_be_packed_and_unpacked_between_two_readings() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = writer(dir.path());
    for i in 0..4 {
        log.append(format!("{{\"i\":{i}}}").as_bytes(), MIDNIGHT).expect("appended");
    }
    log.commit().expect("durable");
    drop(log);
    let (plain, none) = (dir.path().join("dt=2026-11-20/web-00001.ndjson"), Position::default());
    let packed = plain.with_extension("ndjson.zst");
    let mut reader = LogReader::from(dir.path(), Position::default());
    reader.next(&none).expect("reads").expect("a line");
    let half = reader.position().clone();

    let bytes = fs::read(&plain).expect("there");
    fs::write(&packed, zstd::stream::encode_all(&bytes[..], 1).expect("in memory")).expect("packed");
    fs::remove_file(&plain).expect("removed");
    let mut reader = LogReader::from(dir.path(), half);
    assert_eq!(drain(&mut reader, &none), ["{\"i\":1}", "{\"i\":2}", "{\"i\":3}"]);
    let done = reader.position().clone();
    assert_eq!(done.get("dt=2026-11-20/web-00001.ndjson.zst"), Some(32));
    assert!(drain(&mut LogReader::from(dir.path(), done.clone()), &none).is_empty());

    fs::remove_file(&packed).expect("removed");
    fs::write(&plain, [&bytes[..], b"{}\n"].concat()).expect("unpacked and grown");
    assert_eq!(drain(&mut LogReader::from(dir.path(), done), &none), ["{}"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_committed_line_is_shipped_once_however_writing_and_reading_alternate(
        steps in proptest::collection::vec((0i64..4, 0usize..5, any::<bool>(), any::<bool>()), 1..30),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = LogWriter::open(dir.path(), "web", Options { roll_bytes: 40, ..Options::default() }).expect("opens");
        let mut reader = LogReader::behind(&log, Position::default());
        let (mut written, mut shipped) = (Vec::new(), Vec::new());
        for (n, (day, count, commit, restart)) in steps.into_iter().enumerate() {
            for i in 0..count {
                let line = format!("{{\"n\":{n},\"i\":{i}}}");
                log.append(line.as_bytes(), MIDNIGHT + day * DAY).expect("appended");
                written.push(line);
            }
            if commit {
                log.commit().expect("durable");
            }
            shipped.extend(drain(&mut reader, log.ends()));
            if restart {
                reader = LogReader::behind(&log, reader.position().clone());
            }
        }
        log.commit().expect("durable");
        shipped.extend(drain(&mut reader, log.ends()));
        shipped.sort();
        written.sort();
        prop_assert_eq!(shipped, written);
    }
}
