//! A load for the live path and a clock for it: what scripts/bench-live.sh sends and measures with.
//!
//!     live load --kafka HOST:PORT --topic TOPIC --events N --users M [--rate R] [--span SECONDS] [--hot PERCENT] [--copy FILE]
//!     live latency --kafka HOST:PORT --topic TOPIC --redis URL --users M --rate R --seconds S
//!
//! `load` sends N events of the last `--span` seconds (3000), as fast as it can or R a second, and says how long that took.
//! Users have weights of k^-1/2; --hot gives a share of all events to one of them. `latency` sends R events a second for S
//! seconds and, between them, clicks of users of its own: it looks at a HASH until that shows the click, and says after how
//! many milliseconds. Both print one line of JSON. As `cargo bench` runs it, without arguments, it does nothing.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WAIT: Duration = Duration::from_secs(60);
const CATEGORIES: u64 = 20;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let Some(mode) = args.next() else { return ExitCode::SUCCESS };
    let args: Vec<String> = args.collect();
    let flags: HashMap<&str, &str> = args.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1])).collect();
    match &*mode {
        "load" => load(&Flags(flags)),
        "latency" => latency(&Flags(flags)),
        _ => {
            eprintln!("live: unknown mode: {mode}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

struct Flags<'a>(HashMap<&'a str, &'a str>);

impl<'a> Flags<'a> {
    fn text(&self, name: &str) -> &'a str {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is missing"))
    }

    fn number(&self, name: &str, default: Option<u64>) -> u64 {
        match self.0.get(name) {
            Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} takes a number")),
            None => default.unwrap_or_else(|| panic!("{name} is missing")),
        }
    }
}

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A user, the k-th with a weight of k^-1/2.
    fn user(&mut self, users: u64) -> u64 {
        let share = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((share * share * users as f64) as u64).min(users - 1)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

/// Writes an event of a user; its key is the user's id.
fn event(random: &mut Random, user: &str, timestamp: u64, out: &mut String) {
    out.clear();
    let (id, kind) = (random.next(), random.below(100));
    let kind_name = match kind {
        0..50 => "impression",
        50..75 => "view",
        75..95 => "click",
        _ => "purchase",
    };
    let (category, item, campaign) = (random.below(CATEGORIES), random.below(100_000), random.below(50));
    let written = write!(
        out,
        r#"{{"eventId":"e-{id:016x}","userId":"{user}","eventType":"{kind_name}","timestamp":{timestamp},"category":"category-{category}","itemId":"i-{item:06}","campaignId":"c-{campaign:03}"#
    );
    let closed = match kind {
        95.. => write!(out, r#"","amount":{}.{:02}}}"#, random.below(300), random.below(100)),
        _ => write!(out, r#""}}"#),
    };
    written.and(closed).expect("a String takes all");
}

fn producer(flags: &Flags, linger: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", flags.text("--kafka")).set("linger.ms", linger).set("compression.type", "lz4");
    config.set("partitioner", "murmur2_random").set("queue.buffering.max.messages", "500000");
    config.create().expect("a producer")
}

/// Sends a message, waiting for room.
fn send(producer: &BaseProducer, topic: &str, key: &str, payload: &str) {
    let mut record = BaseRecord::to(topic).key(key).payload(payload);
    while let Err((error, back)) = producer.send(record) {
        if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
            panic!("{error}");
        }
        record = back;
        producer.poll(Duration::from_millis(5));
    }
}

fn load(flags: &Flags) {
    let (events, users) = (flags.number("--events", None), flags.number("--users", None));
    let (rate, span) = (flags.number("--rate", Some(0)), flags.number("--span", Some(3000)));
    let hot = flags.number("--hot", Some(0));
    let topic = flags.text("--topic");
    let mut copy = flags.0.get("--copy").map(|path| BufWriter::new(File::create(path).expect("a file")));
    let producer = producer(flags, "20");
    let (mut random, mut user, mut line) = (Random(flags.number("--seed", Some(1))), String::new(), String::new());
    let (began, first) = (Instant::now(), now() - span * 1000);
    for i in 0..events {
        user.clear();
        let number = if random.below(100) < hot { 0 } else { random.user(users) };
        write!(user, "u-{number:07}").expect("a String takes all");
        let timestamp = if rate > 0 { now() } else { first + i * span * 1000 / events };
        event(&mut random, &user, timestamp, &mut line);
        send(&producer, topic, &user, &line);
        if let Some(copy) = &mut copy {
            writeln!(copy, "{line}").expect("written");
        }
        if i % 64 == 0 {
            producer.poll(Duration::ZERO);
            if rate > 0 {
                let due = Duration::from_secs_f64(i as f64 / rate as f64);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }
    }
    producer.flush(WAIT).expect("all arrived");
    println!("{{\"seconds\":{:.3}}}", began.elapsed().as_secs_f64());
}

/// Sends `rate` events a second until told to stop.
fn background(flags: &Flags, stop: &AtomicBool) {
    let (producer, topic, rate) = (producer(flags, "1"), flags.text("--topic"), flags.number("--rate", None));
    let users = flags.number("--users", None);
    let (mut random, mut user, mut line) = (Random(now()), String::new(), String::new());
    let (began, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        while sent < due {
            user.clear();
            write!(user, "u-{:07}", random.user(users)).expect("a String takes all");
            event(&mut random, &user, now(), &mut line);
            send(&producer, topic, &user, &line);
            sent += 1;
        }
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1));
    }
    producer.flush(WAIT).expect("all arrived");
}

fn latency(flags: &Flags) {
    let span = Duration::from_secs(flags.number("--seconds", None));
    let (topic, stop) = (flags.text("--topic"), AtomicBool::new(false));
    let client = redis::Client::open(flags.text("--redis")).expect("an address");
    let mut redis = client.get_connection().expect("a Redis");
    let producer = producer(flags, "1");
    let (mut random, mut samples) = (Random(now()), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| background(flags, &stop));
        // What happens first, such as finding brokers and warming tables, is of no interest.
        let (began, warm) = (Instant::now(), Duration::from_secs(3));
        let mut n = 0;
        while began.elapsed() < warm + span {
            n += 1;
            let (user, stamp) = (format!("probe-{}", n % 97), format!("probe-{}-{n}", now()));
            let line = format!(
                r#"{{"eventId":"{stamp}","userId":"{user}","eventType":"click","timestamp":{},"category":"{stamp}"}}"#,
                now()
            );
            let sent = Instant::now();
            send(&producer, topic, &user, &line);
            loop {
                producer.poll(Duration::ZERO);
                let shown: Option<String> = redis::cmd("HGET")
                    .arg(format!("profile:{user}"))
                    .arg("last_click_category")
                    .query(&mut redis)
                    .expect("an answer");
                if shown.as_deref() == Some(&stamp) {
                    break;
                }
                assert!(sent.elapsed() < WAIT, "{user} never shows {stamp}");
                std::thread::sleep(Duration::from_micros(200));
            }
            if began.elapsed() > warm {
                samples.push(sent.elapsed());
            }
            std::thread::sleep(Duration::from_micros(random.below(8000)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    samples.sort();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{{\"samples\":{},\"p50\":{:.2},\"p90\":{:.2},\"p99\":{:.2},\"max\":{:.2}}}",
        samples.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}
