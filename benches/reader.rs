//! How long the reader takes a line, next to a bare newline scan of the same bytes; one run for each way of writing events.
//!
//!   cargo bench --bench reader
//!   ADPROF_LINES=FILE cargo bench --bench reader -- [SHAPE]
//!
//! Reads with the fields of the eight usual tags, on one thread. The lines are synthetic, or the first 16 MiB of FILE; every
//! shape has the same events. Medians of eleven rounds. Columns: nanoseconds a line, GB/s, the share of the newline scan that
//! these are, and how many times the plain lines' time.

use adprof::event::Rules;
use adprof::reader::{Reader, SLACK};
use adprof::synth::{Options, Synth};
use adprof::tag::Definitions;
use serde_json::Value;
use std::fmt::Write;
use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

const ROUNDS: usize = 11;
const EVENTS: u64 = 100_000;
const FILE_MAX: u64 = 16 << 20;

/// Writes the fields of one event, given as names and values in JSON, as some producer would. The number is the event's.
type Shape = fn(&mut String, u64, &[(&str, &str)]);

const SHAPES: [(&str, Shape); 8] = [
    ("plain", |out, _, fields| object(out, fields.iter().copied())),
    ("mixed", |out, n, fields| match mix(n) % 2 {
        0 => object(out, fields.iter().copied()),
        _ => object(out, fields.iter().rev().copied()),
    }),
    ("nested", |out, n, fields| {
        let more = format!(
            r#"{{"duration":{},"device":{{"os":"android","version":"1{}.1"}},"screen":[1080,{}]}}"#,
            mix(n) % 300,
            mix(n) % 5,
            1920 + mix(n) % 3 * 200
        );
        let own = fields.iter().filter(|(name, _)| *name != "properties").copied();
        object(out, own.chain([("properties", more.as_str())]));
    }),
    ("escapes", |out, _, fields| texts(out, fields, |text| format!(r#"{}\u00e9\/\"{}"#, &text[..1], &text[1..]))),
    ("non-ascii", |out, _, fields| texts(out, fields, |text| format!("é日{text}"))),
    ("uuid", |out, _, fields| {
        let user = |text: &str| format!("\"{:08x}-0f5e-4f5e-9c1e-{:012x}\"", hash(text) as u32, hash(text) >> 20);
        let owned: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, if *name == "userId" { user(value) } else { value.to_string() }))
            .collect();
        object(out, owned.iter().map(|(name, value)| (*name, value.as_str())));
    }),
    ("crlf", |out, _, fields| {
        object(out, fields.iter().copied());
        out.push('\r');
    }),
    ("spaces", |out, _, fields| {
        for (i, (name, value)) in fields.iter().enumerate() {
            let _ = write!(out, "{}\"{name}\": {value}", if i == 0 { "{" } else { ", " });
        }
        out.push('}');
    }),
];

fn object<'a>(out: &mut String, fields: impl Iterator<Item = (&'a str, &'a str)>) {
    for (i, (name, value)) in fields.enumerate() {
        let _ = write!(out, "{}\"{name}\":{value}", if i == 0 { '{' } else { ',' });
    }
    out.push('}');
}

/// The event with other texts, ids and types apart.
fn texts(out: &mut String, fields: &[(&str, &str)], other: fn(&str) -> String) {
    let owned: Vec<_> = fields
        .iter()
        .map(|(name, value)| match *value {
            text if matches!(*name, "category" | "itemId" | "campaignId") => {
                (*name, format!("\"{}\"", other(text.trim_matches('"'))))
            }
            value => (*name, value.to_string()),
        })
        .collect();
    object(out, owned.iter().map(|(name, value)| (*name, value.as_str())));
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(7, |n, b| mix(n ^ u64::from(b)))
}

/// splitmix64
fn mix(n: u64) -> u64 {
    let z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn main() {
    let only = std::env::args().skip(1).find(|arg| arg != "--bench");
    let definitions = Definitions::parse(include_str!("../scripts/bench.toml"), "bench.toml").expect("right");
    let lines = lines();
    let mut runs: Vec<Run> = SHAPES
        .into_iter()
        .filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
        .map(|(name, shape)| {
            let (buf, count) = written(&lines, shape);
            let reader = Reader::new(&definitions.projection, &Rules::default());
            Run { name, buf, count, reader, parsing: Vec::new(), scanning: Vec::new() }
        })
        .collect();
    // Round by round, so that what else the machine does falls on all alike.
    for _ in 0..ROUNDS {
        runs.iter_mut().for_each(Run::round);
    }
    println!("{:10} {:>8} {:>6} {:>9} {:>6} {:>7}", "shape", "ns/line", "GB/s", "scan GB/s", "share", "x plain");
    let mut plain = None;
    for run in &mut runs {
        let (parsing, scanning) = (median(&mut run.parsing), median(&mut run.scanning));
        let bytes = (run.buf.len() - SLACK) as f64;
        println!(
            "{:10} {:8.1} {:6.2} {:9.1} {:5.1}% {:7.2}",
            run.name,
            parsing * 1e9 / run.count as f64,
            bytes / parsing / 1e9,
            bytes / scanning / 1e9,
            100.0 * scanning / parsing,
            parsing / *plain.get_or_insert(parsing),
        );
    }
}

/// One shape's lines, what reads them, and the seconds it took.
struct Run {
    name: &'static str,
    buf: Vec<u8>,
    count: usize,
    reader: Reader,
    parsing: Vec<f64>,
    scanning: Vec<f64>,
}

impl Run {
    fn round(&mut self) {
        let began = Instant::now();
        read(&mut self.reader, &self.buf, self.count);
        self.parsing.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        let newlines = memchr::memchr_iter(b'\n', black_box(&self.buf[..self.buf.len() - SLACK])).count();
        self.scanning.push(began.elapsed().as_secs_f64());
        assert_eq!(newlines, self.count);
    }
}

/// The lines of the events, one object each.
fn lines() -> String {
    let mut bytes = Vec::new();
    match std::env::var_os("ADPROF_LINES") {
        Some(path) => {
            let file = std::fs::File::open(&path).expect("ADPROF_LINES names a file");
            file.take(FILE_MAX).read_to_end(&mut bytes).expect("the file can be read");
            bytes.truncate(memchr::memrchr(b'\n', &bytes).expect("lines") + 1);
        }
        None => {
            let options = Options { events: EVENTS, users: 40_000, ..Options::default() };
            let mut synth = Synth::new(options).expect("right");
            while synth.fill(&mut bytes) {}
        }
    }
    String::from_utf8(bytes).expect("events are UTF-8")
}

/// The lines as `shape` writes them, with slack behind, and their number.
fn written(lines: &str, shape: Shape) -> (Vec<u8>, usize) {
    let (mut out, mut count) = (String::new(), 0);
    for line in lines.lines() {
        let fields: Vec<(String, String)> = fields(line);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        shape(&mut out, count as u64, &fields);
        out.push('\n');
        count += 1;
    }
    let mut buf = out.into_bytes();
    buf.resize(buf.len() + SLACK, 0);
    (buf, count)
}

/// The fields of a line in their order.
fn fields(line: &str) -> Vec<(String, String)> {
    let Ok(Value::Object(values)) = serde_json::from_str(line) else { panic!("not an event: {line}") };
    let mut fields: Vec<_> = values.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    fields.sort_by_key(|(name, _)| line.find(&format!("\"{name}\":")));
    fields
}

fn read(reader: &mut Reader, buf: &[u8], count: usize) {
    let (mut at, mut events, mut sum) = (0, 0, 0);
    while at < buf.len() - SLACK {
        let (to, outcome) = reader.read(buf, at, i64::MAX);
        events += usize::from(outcome.is_ok_and(|event| event));
        let line = reader.line();
        sum += line.timestamp() as usize + line.text(line.user(), buf).len();
        at = to + 1;
    }
    black_box(sum);
    assert_eq!((events, reader.judged()), (count, 0), "every line is an event that the first two levels take");
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
