//! Bad input through the real program: every kind of bad line is refused with its code, its place and its own bytes.
//!
//! One bad line never touches its neighbours: between all rows stand good events that must arrive byte for byte.

mod support;

use adprof::dead::{DeadLetter, Place};
use adprof::event::Code;
use adprof::limits::LINE_MAX;
use adprof::lines::HEAD_MAX;
use adprof::synth::{Options, Synth};
use std::collections::BTreeMap;
use std::io::Write;
use support::Dir;

/// What must become of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Want {
    Accepted,
    /// Passed over without a word: blank.
    Tolerated,
    Refused(&'static str),
}
use Want::{Accepted, Refused, Tolerated};

/// A good event with something more in it.
fn with(more: &str) -> Vec<u8> {
    format!(r#"{{"eventId":"e-1","userId":"u-001","eventType":"click","timestamp":1731296325000{more}}}"#).into()
}

/// A good event with another value in one of its fields.
fn set(field: &str, value: &str) -> Vec<u8> {
    let fields = [
        ("eventId", r#""e-1""#),
        ("userId", r#""u-001""#),
        ("eventType", r#""click""#),
        ("timestamp", "1731296325000"),
    ];
    let fields = fields.map(|(name, usual)| format!("\"{name}\":{}", if name == field { value } else { usual }));
    format!("{{{}}}", fields.join(",")).into()
}

fn without(field: &str) -> Vec<u8> {
    let whole = String::from_utf8(set(field, "@")).expect("UTF-8");
    let gone = format!("\"{field}\":@");
    whole.replace(&format!("{gone},"), "").replace(&format!(",{gone}"), "").into()
}

fn utf16(text: &str, mark: bool) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).filter(|b| *b != b'\n').collect()
}

fn soon(ms: i64) -> String {
    (jiff::Timestamp::now().as_millisecond() + ms).to_string()
}

/// Reliability: bad input, row by row.
fn table() -> Vec<(&'static str, Vec<u8>, Want)> {
    let mut rows: Vec<(&str, Vec<u8>, Want)> = Vec::new();
    let mut row = |name, line: &dyn AsRef<[u8]>, want| rows.push((name, line.as_ref().to_vec(), want));

    row("minimal", &with(""), Accepted);
    row("unknown fields, nested", &with(r#","properties":{"a":[1,{"b":null}]},"x":true"#), Accepted);
    row(
        "another order",
        &r#"{"timestamp":1731296325000,"eventType":"click","userId":"u-001","eventId":"e-1"}"#,
        Accepted,
    );
    row(
        "escaped keys",
        &r#"{"\u0065ventId":"e-1","userId":"u-001","eventType":"click","timestamp":1731296325000}"#,
        Accepted,
    );

    row("carriage return", &[with(""), b"\r".to_vec()].concat(), Accepted);
    row("blanks around", &[b" \t ".to_vec(), with(""), b"  \t".to_vec()].concat(), Accepted);
    row("empty", b"", Tolerated);
    row("only blanks", b" \t \r", Tolerated);

    row("byte order mark inside", &[b"\xef\xbb\xbf".to_vec(), with("")].concat(), Refused("BAD_BOM"));
    row("UTF-16 with its mark", &utf16(r#"{"eventId":"e"}"#, true), Refused("NOT_UTF8"));
    row("UTF-16 without a mark", &utf16(r#"{"eventId":"e"}"#, false), Refused("NOT_JSON"));
    row("invalid UTF-8", &[with("").as_slice(), b"\xff\xfe"].concat(), Refused("NOT_UTF8"));
    row("overlong UTF-8", b"{\"eventId\":\"\xc0\xaf\"}", Refused("NOT_UTF8"));
    row("raw surrogate", b"{\"eventId\":\"\xed\xa0\x80\"}", Refused("NOT_UTF8"));
    row("Latin-1 words", b"caf\xe9", Refused("NOT_UTF8"));
    row("lone escaped surrogate", &with(r#","x":"\ud800""#), Refused("NOT_JSON"));
    row("lone escaped surrogate in an id", &set("userId", r#""\ud800""#), Refused("NOT_JSON"));

    row("zeros", &[0; 64], Refused("NOT_JSON"));
    row("binary", b"\x89PNG\r\x1a\x00\x00\xff\xd8\x01", Refused("NOT_JSON"));
    row("gzip magic", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb", Refused("NOT_JSON"));

    let whole = with("");
    row("truncated object", &&whole[..whole.len() - 1], Refused("NOT_JSON"));
    row("truncated name", &&whole[..9], Refused("NOT_JSON"));
    row("unclosed string", &with(r#","x":"abc"#), Refused("NOT_JSON"));
    row("trailing garbage", &[with(""), b"x".to_vec()].concat(), Refused("NOT_JSON"));
    row("two objects", &[with(""), with("")].concat(), Refused("NOT_JSON"));
    row("trailing comma", &with(","), Refused("NOT_JSON"));
    row("comment", &[with(""), b" // c".to_vec()].concat(), Refused("NOT_JSON"));
    row("comment inside", &with("/* c */"), Refused("NOT_JSON"));
    row("single quotes", &"{'eventId':'e'}", Refused("NOT_JSON"));
    row("NaN", &with(r#","x":NaN"#), Refused("NOT_JSON"));
    row("True", &with(r#","x":True"#), Refused("NOT_JSON"));
    row("words", &"ERROR 42: connection reset", Refused("NOT_JSON"));

    for (name, line) in [("array", "[1,2]"), ("string", "\"e\""), ("number", "42"), ("null", "null")] {
        row(name, &line, Refused("NOT_OBJECT"));
    }
    row("array of an event's values", &r#"["e-1","u-001","click",1731296325000]"#, Refused("NOT_OBJECT"));

    row("raw control byte in a string", &with(",\"x\":\"a\x01b\""), Refused("NOT_JSON"));
    row("NUL in an id", &set("eventId", r#""a\u0000b""#), Refused("CTRL_CHAR"));
    row("escape in an id", &set("userId", r#""a\u001b[2J""#), Refused("CTRL_CHAR"));
    row("bidi override in an id", &set("userId", "\"a\u{202e}b\""), Refused("CTRL_CHAR"));
    row("bidi override in free text", &with(",\"note\":\"a\u{202e}b\\u001b[2J\""), Accepted);

    row("known key twice", &with(r#","userId":"u-002""#), Refused("DUP_KEY"));
    row("known key twice, once escaped", &with(r#","\u0075serId":"u-002""#), Refused("DUP_KEY"));
    for field in ["eventId", "userId", "eventType", "timestamp"] {
        row("missing", &without(field), Refused("MISSING_FIELD"));
        row("null", &set(field, "null"), Refused("MISSING_FIELD"));
    }
    for field in ["eventId", "userId", "eventType"] {
        row("empty", &set(field, "\"\""), Refused("MISSING_FIELD"));
        row("a number", &set(field, "7"), Refused("BAD_FIELD"));
        row("an object", &set(field, "{}"), Refused("BAD_FIELD"));
        row("too long", &set(field, &format!("\"{}\"", "x".repeat(2000))), Refused("BAD_FIELD"));
    }
    row("longest event id", &set("eventId", &format!("\"{}\"", "x".repeat(128))), Accepted);
    row("event id a byte too long", &set("eventId", &format!("\"{}\"", "x".repeat(129))), Refused("BAD_FIELD"));
    row("longest user id", &set("userId", &format!("\"{}\"", "x".repeat(256))), Accepted);
    row("user id a byte too long", &set("userId", &format!("\"{}\"", "x".repeat(257))), Refused("BAD_FIELD"));
    row("optional field of another type", &with(r#","category":["sports"]"#), Refused("BAD_FIELD"));

    row("the same event again", &with(""), Accepted);
    row("the same id with another body", &with(r#","amount":5"#), Accepted);
    for id in ["a b", "a:b", "{}", "*", "../../etc/passwd", "😀", "用户一", "مستخدم", "a\\\"b", "a\\\\b"] {
        row("id of any text", &set("userId", &format!("\"{id}\"")), Accepted);
    }

    for value in ["\"1731296325000\"", "1731296325000.0", "1.731e12", "1731296325", "1731296325000000"] {
        row("timestamp", &set("timestamp", value), Refused("BAD_TIMESTAMP"));
    }
    for value in ["1731296325000000000", "-1", "99999999999999999999", "true", "{}"] {
        row("timestamp", &set("timestamp", value), Refused("BAD_TIMESTAMP"));
    }
    row("timestamp of 1970", &set("timestamp", "0"), Accepted);
    row("timestamp a minute ahead", &set("timestamp", &soon(60_000)), Accepted);
    row("timestamp ten minutes ahead", &set("timestamp", &soon(600_000)), Refused("FUTURE_TIMESTAMP"));
    row("timestamp of 2099", &set("timestamp", "4070908800000"), Refused("FUTURE_TIMESTAMP"));
    row("receipt of 2099", &with(r#","receivedAt":4070908800000"#), Refused("FUTURE_TIMESTAMP"));
    row(
        "event and receipt of 2099",
        &r#"{"eventId":"e","userId":"u","eventType":"click","timestamp":4070908800000,"receivedAt":4070908800000}"#,
        Refused("FUTURE_TIMESTAMP"),
    );
    row("receipt in seconds", &with(r#","receivedAt":1731296325"#), Refused("BAD_TIMESTAMP"));

    row("type outside the closed set", &set("eventType", "\"sneeze\""), Refused("UNKNOWN_TYPE"));
    row("reserved type", &set("eventType", "\"adprof.entered\""), Refused("RESERVED_TYPE"));

    for value in ["1e400", "+1", ".5", "012", "\"5\"", "0.0000001", "99999999999999", "1.", "-", "true", "[]"] {
        row("amount", &with(&format!(",\"amount\":{value}")), Refused("BAD_AMOUNT"));
    }
    for value in ["-0.0", "-12.5", "0.000001", "1e2", "null"] {
        row("amount", &with(&format!(",\"amount\":{value}")), Accepted);
    }

    row("depth 64", &with(&format!(",\"x\":{}{}", "[".repeat(63), "]".repeat(63))), Accepted);
    row("depth 65", &with(&format!(",\"x\":{}{}", "[".repeat(64), "]".repeat(64))), Refused("TOO_DEEP"));
    row("depth 50,000", &with(&format!(",\"x\":{}{}", "[".repeat(50_000), "]".repeat(50_000))), Refused("TOO_DEEP"));
    let keys: String = (0..100_000).map(|i| format!(",\"k{i}\":1")).collect();
    row("100,000 keys", &with(&keys), Refused("TOO_LONG"));
    let keys: String = (0..20_000).map(|i| format!(",\"k{i}\":1")).collect();
    row("20,000 keys", &with(&keys), Accepted);
    row("a megabyte of digits", &with(&format!(",\"x\":{}", "9".repeat(1 << 20))), Refused("TOO_LONG"));

    for text in ["=cmd|' /C calc'!A0", "@SUM(1)", "*1\\r\\n$4\\r\\nQUIT", "return redis.call()", "'; DROP TABLE t"] {
        row("text that other programs would run", &with(&format!(",\"note\":\"{text}\"")), Accepted);
    }
    for text in ["%s%n{}{0}", "<script>alert(1)</script>", "$(reboot)`reboot`"] {
        row("text that other programs would run", &with(&format!(",\"note\":\"{text}\"")), Accepted);
    }
    rows
}

/// The text that an accepted line has in the log, with `@` for the instant of receipt.
fn logged(line: &[u8]) -> String {
    let text = std::str::from_utf8(line).expect("accepted lines are UTF-8").trim_matches([' ', '\t', '\r']);
    format!("{},\"receivedAt\":@}}", text.strip_suffix('}').expect("an object"))
}

fn without_receipt(line: &str) -> String {
    let (head, tail) = line.rsplit_once("\"receivedAt\":").expect("stamped");
    let instant: String = tail.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(instant.len(), 13, "{tail}");
    format!("{head}\"receivedAt\":@{}", &tail[instant.len()..])
}

#[test]
fn every_kind_of_line_gets_what_the_table_says_and_its_neighbours_are_untouched() {
    let dir = Dir::new();
    dir.write("adprof.toml", "event_types = [\"click\"]\n\n[[tag]]\ncode = \"n\"\nvalue = \"count(*)\"\n");
    // A byte order mark at the very start is no part of the first line.
    let mut input = b"\xef\xbb\xbf".to_vec();
    let (mut log, mut letters) = (Vec::new(), Vec::new());
    let mut number = 0;
    for (i, (name, line, want)) in table().into_iter().enumerate() {
        assert!(!line.contains(&b'\n'), "{name}");
        let neighbour =
            format!(r#"{{"eventId":"good-{i}","userId":"u-{i}","eventType":"click","timestamp":1731296325000}}"#);
        log.push((name, logged(neighbour.as_bytes())));
        input.extend_from_slice(neighbour.as_bytes());
        input.push(b'\n');
        match want {
            Accepted => log.push((name, logged(&line))),
            Tolerated => {}
            Refused(code) => letters.push((name, code, number + 2, input.len() as u64, line.clone())),
        }
        number += 2;
        input.extend_from_slice(&line);
        input.push(b'\n');
    }
    // No newline at the end of the input.
    input.extend_from_slice(&with(r#","last":true"#));
    log.push(("last", logged(&with(r#","last":true"#))));
    dir.write("events.jsonl", &input);

    let output = dir.adprof("collect events.jsonl").exits(0);

    let found = dir.read("ad-events.log");
    let mut lines = found.lines();
    for (name, line) in &log {
        assert_eq!(without_receipt(lines.next().expect("an event")), *line, "{name}");
    }
    assert_eq!(lines.next(), None);
    let found = dir.read("ad-events.log.dead");
    let mut lines = found.lines();
    for (name, code, line, offset, original) in &letters {
        let letter = DeadLetter::parse(lines.next().expect("a letter").as_bytes()).expect("a dead letter");
        assert!(*code == letter.code, "{name}: {} {}", letter.code, letter.reason);
        assert_eq!(letter.place, Place::Line { line: *line, offset: *offset }, "{name}");
        assert_eq!(letter.source, "events.jsonl", "{name}");
        let kept = if original.len() > LINE_MAX { &original[..HEAD_MAX] } else { &original[..] };
        assert_eq!(letter.original, kept, "{name}");
        assert_eq!(letter.truncated, (original.len() > LINE_MAX).then_some(original.len() as u64), "{name}");
        assert!(!letter.reason.is_empty());
    }
    assert_eq!(lines.next(), None);

    let told: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("warning: events.jsonl:")).collect();
    assert_eq!(told.len(), 3, "{}", output.stderr);
    let (_, code, line, ..) = letters[0];
    assert!(told[0].starts_with(&format!("warning: events.jsonl:{line}: {code}: ")), "{}", told[0]);
    assert!(output.stderr.contains(&format!("{} refused → ad-events.log.dead", letters.len())), "{}", output.stderr);
    assert!(!output.stderr.contains(['\u{1b}', '\u{202e}']), "nothing that a terminal would act on");
}

#[test]
fn a_timestamp_of_another_unit_is_told_with_the_unit() {
    let dir = Dir::new();
    for (value, word) in [
        ("1731296325", "seconds"),
        ("1731296325000000", "microseconds"),
        ("1731296325000000000", "nanoseconds"),
        ("\"1731296325000\"", "string"),
    ] {
        let output = dir.adprof("collect").stdin(set("timestamp", value)).exits(65);
        assert!(output.stderr.contains(word), "{value}: {}", output.stderr);
    }
}

#[test]
fn a_line_without_an_end_costs_no_memory_and_its_neighbours_nothing() {
    const LONG: u64 = 300 << 20;
    let dir = Dir::new();
    let mut collect = dir.start("collect --ack");
    let block = vec![b'x'; 1 << 20];
    collect.feed([with(""), b"\n".to_vec()].concat());
    for _ in 0..LONG >> 20 {
        assert!(collect.feed(&block));
    }
    collect.feed([b"\n".to_vec(), with(""), b"\n".to_vec()].concat());
    assert_eq!(collect.acknowledged(3), (3, 2, 1));
    let memory = collect.peak_memory();
    assert_eq!(collect.end().0, 0);
    assert!(memory < 64 << 20, "{memory} bytes");
    assert_eq!(dir.read("ad-events.log").lines().count(), 2);
    let letters = dir.read("ad-events.log.dead");
    let letter = DeadLetter::parse(letters.trim_end().as_bytes()).expect("one letter");
    assert_eq!((&*letter.code, letter.truncated), ("TOO_LONG", Some(LONG)));
}

#[test]
fn a_hundred_thousand_lines_with_every_defect_are_counted_by_code_in_flat_memory() {
    let dir = Dir::new();
    let mut synth = Synth::new(Options { bad: 2.0, ..Options::default() }).expect("legal options");
    let mut collect = dir.start("collect --ack");
    let (mut block, mut lines) = (Vec::new(), 0);
    while synth.fill(&mut block) {
        lines += block.iter().filter(|b| **b == b'\n').count() as u64;
        assert!(collect.feed(&block));
        block.clear();
    }
    let bad: u64 = synth.defects().values().sum();
    assert!(bad > 1500 && synth.defects().contains_key(&Code::TooLong));
    assert_eq!(collect.acknowledged(lines), (lines, synth.made(), bad));
    let memory = collect.peak_memory();
    let (code, stderr) = collect.end();
    assert_eq!(code, 0, "{stderr}");
    assert!(memory < 64 << 20, "{memory} bytes");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in dir.read("ad-events.log.dead").lines() {
        let letter = DeadLetter::parse(line.as_bytes()).expect("a letter");
        *counts.entry(letter.code.into_owned()).or_default() += 1;
    }
    let want: BTreeMap<String, u64> = synth.defects().iter().map(|(code, n)| (code.to_string(), *n)).collect();
    assert_eq!(counts, want);
    assert_eq!(dir.read("ad-events.log").lines().count() as u64, synth.made());
}

#[test]
fn too_much_bad_input_is_an_error_by_number_by_share_or_when_nothing_was_good() {
    let mut input = Vec::new();
    for i in 0..10 {
        input.extend_from_slice(&if i < 3 { b"bad".to_vec() } else { with("") });
        input.push(b'\n');
    }
    for (flags, code) in [
        ("", 0),
        ("--max-errors 3", 0),
        ("--max-errors 2", 65),
        ("--max-errors 30%", 0),
        ("--max-errors 29.9%", 65),
        ("--max-errors 0", 65),
    ] {
        let dir = Dir::new();
        let output = dir.adprof(&format!("collect {flags}")).stdin(input.clone()).exits(code);
        assert_eq!(dir.read("ad-events.log").lines().count(), 7, "{flags}: the good ones are collected all the same");
        assert_eq!(output.stderr.contains("too much bad input"), code == 65, "{}", output.stderr);
    }
    let dir = Dir::new();
    let output = dir.adprof("collect").stdin("bad\n\nworse\n").exits(65);
    assert!(output.stderr.contains("every line was bad: 2"), "{}", output.stderr);
    assert!(output.stderr.contains("hint: "), "{}", output.stderr);
    dir.adprof("collect").stdin("\n \n").exits(0);
}

#[test]
fn mended_letters_are_collected_and_the_others_refused_again_with_their_old_place() {
    let dir = Dir::new();
    let bad = [with(r#","amount":"5""#), with(r#","x":"#), b"\xff\xfe?".to_vec(), vec![b'x'; LINE_MAX + 1]];
    dir.write("events.jsonl", bad.join(&b'\n'));
    dir.adprof("collect events.jsonl").exits(65);
    let letters = dir.read("ad-events.log.dead");
    assert_eq!(letters.lines().count(), 4);
    let mended = letters.replace(r#"\"amount\":\"5\""#, r#"\"amount\":5"#);
    dir.write("mended.ndjson", format!("{mended}no letter\n"));
    let output = dir.adprof("collect --replay mended.ndjson --dead again.ndjson").exits(0);
    assert!(output.stderr.contains("events.jsonl:2: NOT_JSON"), "{}", output.stderr);
    let log = dir.read("ad-events.log");
    assert_eq!(without_receipt(log.trim_end()), logged(&with(r#","amount":5"#)));
    let again = dir.read("again.ndjson");
    let again: Vec<_> = again.lines().map(|line| DeadLetter::parse(line.as_bytes()).expect("a letter")).collect();
    let old: Vec<_> = letters.lines().map(|line| DeadLetter::parse(line.as_bytes()).expect("a letter")).collect();
    assert_eq!(again.len(), 4);
    for (again, old) in again.iter().zip(&old[1..]) {
        let facts = |letter: &DeadLetter<'_>| (letter.place, letter.original.to_vec(), letter.truncated);
        assert_eq!(facts(again), facts(old));
        assert_eq!((&again.code, &again.source), (&old.code, &old.source));
    }
    assert_eq!((&*again[3].original, &*again[3].source), (&b"no letter"[..], "mended.ndjson"));
}

#[test]
fn letters_replayed_from_the_file_they_are_refused_to_are_read_once() {
    let dir = Dir::new();
    dir.adprof("collect").stdin("bad\nworse\n").exits(65);
    dir.adprof("collect --replay ad-events.log.dead").exits(65);
    assert_eq!(dir.read("ad-events.log.dead").lines().count(), 4);
}

#[test]
fn packed_input_is_read_whole_or_its_fault_is_told_with_its_place() {
    let dir = Dir::new();
    let lines = [with(""), b"\n".to_vec()].concat().repeat(10_000);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("in memory");
        encoder.finish().expect("in memory")
    };
    let two = [gzip(&lines), gzip(&lines)].concat();
    dir.write("two.gz", &two);
    dir.adprof("collect --log two.log two.gz").exits(0);
    assert_eq!(dir.read("two.log").lines().count(), 20_000);

    dir.write("cut.gz", &two[..two.len() - 100]);
    let output = dir.adprof("collect --log cut.log cut.gz").exits(74);
    assert!(output.stderr.contains("cut.gz: the gzip data is cut off at byte "), "{}", output.stderr);
    let kept = dir.read("cut.log").lines().count();
    assert!((10_000..20_000).contains(&kept), "what came before is collected: {kept}");
}
