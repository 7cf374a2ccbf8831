//! Chunks of every size give the lines of one pass.

use super::*;
use crate::limits::LINE_MAX;
use proptest::prelude::*;
use std::fs;
use std::io::Write;

type Seen = Vec<(u64, Result<Vec<u8>, u64>)>;

fn seen(chunk: &Chunk, out: &mut Seen) -> ChunkEnd {
    let each = |line: Line<'_>| {
        out.push((
            line.offset,
            match line.text {
                Text::Whole(bytes) => Ok(bytes.to_vec()),
                Text::TooLong { len, .. } => Err(len),
            },
        ));
    };
    chunk.for_each_line(each).expect("reads")
}

fn all(path: &Path, target: u64) -> (Seen, ChunkEnd) {
    let (mut out, mut total) = (Vec::new(), ChunkEnd::default());
    for (i, chunk) in Log::open(path).expect("a log").chunks(target).iter().enumerate() {
        assert_eq!(chunk.sequence, i);
        let end = seen(chunk, &mut out);
        total.lines += end.lines;
        total.bytes += end.bytes;
        assert!(total.torn.is_none() || end.torn.is_none(), "one file has one tail");
        total.torn = total.torn.or(end.torn);
    }
    (out, total)
}

fn naive(bytes: &[u8]) -> Seen {
    let mut offset = 0;
    let mut out = Vec::new();
    for piece in bytes.split_inclusive(|b| *b == b'\n') {
        if let Some(text) = piece.strip_suffix(b"\n") {
            out.push((offset, if text.len() > LINE_MAX { Err(text.len() as u64) } else { Ok(text.to_vec()) }));
        }
        offset += piece.len() as u64;
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn chunks_of_any_size_give_the_lines_of_one_pass(
        bytes in proptest::collection::vec(prop_oneof![1 => Just(b'\n'), 4 => b'a'..=b'z'], 0..120),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        fs::write(&path, &bytes).expect("written");
        let want = naive(&bytes);
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1) as u64;
        for target in 1..=bytes.len() as u64 + 1 {
            let (lines, end) = all(&path, target);
            prop_assert_eq!(&lines, &want, "target {}", target);
            prop_assert_eq!((end.lines, end.bytes), (want.len() as u64, whole));
            let torn = end.torn.map(|torn| (torn.offset, torn.len));
            prop_assert_eq!(torn, (whole < bytes.len() as u64).then(|| (whole, bytes.len() as u64 - whole)));
        }
    }
}

#[test]
fn a_line_over_the_limit_is_one_line_of_one_chunk() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let bytes = [&b"{}\n"[..], &vec![b'x'; 3 * LINE_MAX], b"\n{\"a\":1}\n"].concat();
    fs::write(&path, &bytes).expect("written");
    for target in [10_000, 100_000, 1 << 30] {
        assert_eq!(all(&path, target).0, naive(&bytes));
    }
}

#[test]
fn packed_files_are_one_chunk_and_read_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let body: Vec<u8> = (0..20_000).flat_map(|i| format!("{{\"i\":{i}}}\n").into_bytes()).collect();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("in memory");
        encoder.finish().expect("in memory")
    };
    let zstd = |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).expect("in memory");
    let half = body.len() / 2;
    for (name, bytes) in [
        ("a.gz", gzip(&body)),
        ("b.zst", zstd(&body)),
        ("c", [gzip(&body[..half]), gzip(&body[half..])].concat()),
        ("d", [zstd(&body[..half]), zstd(&body[half..])].concat()),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, &bytes).expect("written");
        assert_eq!(Log::open(&path).expect("a log").chunks(1000).len(), 1);
        assert!(all(&path, 1000).0 == naive(&body), "{name}");

        fs::write(&path, &bytes[..bytes.len() - 9]).expect("cut");
        let chunk = &Log::open(&path).expect("a log").chunks(1000)[0];
        let error = chunk.for_each_line(|_| {}).expect_err("cut off").to_string();
        assert!(error.contains(&format!("cut off at byte {}", bytes.len() - 9)), "{name}: {error}");
    }
}

#[test]
fn a_packed_file_with_a_table_of_its_frames_is_many_chunks_and_reads_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let body: Vec<u8> = (0..2_000_000).flat_map(|i| format!("{{\"i\":{i}}}\n").into_bytes()).collect();
    let mut writer = crate::log::care::FrameWriter::new(Vec::new(), 1).expect("a compressor");
    body.chunks(100_000).for_each(|block| writer.write(block).expect("packed"));
    fs::write(&path, writer.finish().expect("packed")).expect("written");
    let want = naive(&body);
    for (target, chunks) in [(1, 4), (9 << 20, 4), (17 << 20, 2), (1 << 40, 1)] {
        assert_eq!(Log::open(&path).expect("a log").chunks(target).len(), chunks, "{target}");
        let (lines, end) = all(&path, target);
        assert!(lines == want && end.bytes == body.len() as u64, "{target}");
    }
}

#[test]
fn a_log_is_read_as_it_stood_when_it_was_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    fs::write(&path, "{}\n{\"half").expect("written");
    let log = Log::open(&path).expect("a log");
    fs::write(&path, "{}\n{\"half\":1}\n{}\n").expect("grown");
    let mut lines = Vec::new();
    let end = seen(&log.chunks(100)[0], &mut lines);
    assert_eq!(lines, naive(b"{}\n"));
    assert_eq!(end.torn.map(|torn| (torn.offset, torn.len)), Some((3, 6)));
    fs::write(&path, "{}\n").expect("shrunk");
    assert!(log.chunks(100)[0].for_each_line(|_| {}).expect_err("shorter").to_string().contains("became shorter"));
}

#[test]
fn a_line_number_is_found_from_its_offset() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    fs::write(&path, "{}\n{}\n\n{}\n").expect("written");
    for (offset, number) in [(0, 1), (2, 1), (3, 2), (6, 3), (7, 4), (99, 5)] {
        assert_eq!(line_number(&path, offset).expect("reads"), number, "{offset}");
    }
}
