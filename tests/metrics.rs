//! `adprof stream --metrics`: what it shows over HTTP is what it does.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use streams::*;
use support::Dir;

const SOON: Duration = Duration::from_secs(20);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The samples of the page by name and labels; every line must be one of the text format.
fn samples(port: u16) -> BTreeMap<String, f64> {
    let answer = ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap_or_default();
    let Some((head, page)) = answer.split_once("\r\n\r\n") else { return BTreeMap::new() };
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    let (mut samples, mut families) = (BTreeMap::new(), Vec::new());
    for line in page.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            families.push(family.split(' ').next().expect("a name").to_string());
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert_eq!(name.split('{').next(), families.last().map(String::as_str), "not of its family: {line}");
            assert!(samples.insert(name.to_string(), value.parse().expect("a number")).is_none(), "twice: {line}");
        }
    }
    samples
}

#[test]
fn counters_lag_and_times_are_shown_while_it_runs() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let (dir, port) = (Dir::new(), free_port());
    let topic = kafka::create_topic(&broker, "metrics", 2);
    let url = server.url();
    let stream = dir.start(&format!("stream -b {broker} -t {topic} --store {url} --metrics {port} --stats 200ms"));
    let event = |i: usize| (format!("u{}", i % 7), click(&format!("e{}", i % 90), &format!("u{}", i % 7), now()));
    let mut events: Vec<_> = (0..100).map(event).collect();
    events.push(("u1".into(), "no event".into()));
    produce(&broker, &topic, &events);
    wait_until("everything shows", SOON, || {
        let seen = samples(port);
        let is = |name: &str, value: f64| seen.get(name) == Some(&value);
        is("adprof_consumed_total", 101.0)
            && is("adprof_keys_waiting", 0.0)
            && seen.contains_key("adprof_checkpoint_seconds")
    });
    let seen = samples(port);
    let became = |what: &str| seen[&format!("adprof_events_total{{became=\"{what}\"}}")];
    let all: f64 = seen.iter().filter(|(name, _)| name.starts_with("adprof_events_total")).map(|(_, n)| n).sum();
    assert_eq!((all, became("refused"), seen["adprof_keys"]), (101.0, 1.0, 7.0));
    // Ids belong to users: i % 90 comes again with another user but for multiples of 630.
    assert_eq!((became("absorbed"), became("duplicate")), (100.0, 0.0));
    let of_topic = |name: &str| -> f64 {
        let label = format!("adprof_{name}{{topic=\"{topic}\",partition=");
        let values: Vec<f64> = seen.iter().filter(|(name, _)| name.starts_with(&label)).map(|(_, n)| *n).collect();
        assert_eq!(values.len(), 2, "{name}");
        values.iter().sum()
    };
    assert_eq!((of_topic("lag_messages"), of_topic("position")), (0.0, 101.0));
    let age = now() as f64 / 1000.0 - seen["adprof_checkpoint_seconds"];
    assert!((-1.0..20.0).contains(&age), "{age} s since the checkpoint");
    assert_eq!((seen["adprof_standby"], seen["adprof_redis_down"]), (0.0, 0.0));

    server.signal("STOP");
    produce(&broker, &topic, &[("u1".into(), click("more", "u1", now()))]);
    wait_until("that Redis is down shows", SOON, || samples(port).get("adprof_redis_down") == Some(&1.0));
    server.signal("CONT");
    wait_until("that it is back shows", SOON, || samples(port).get("adprof_redis_down") == Some(&0.0));
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert!(code == 0 && words.contains(&format!("metrics at http://127.0.0.1:{port}/metrics")), "{code}: {words}");
    assert!(words.contains(" events/s, 0 messages behind; 101 ids"), "{words}");
}

#[test]
fn whoever_asks_slowly_or_wrongly_is_cut_and_holds_nobody_up() {
    let (dir, port) = (Dir::new(), free_port());
    let mut stream = dir.start(&format!("stream --metrics 127.0.0.1:{port}"));
    wait_until("it listens", SOON, || !samples(port).is_empty());
    let mut slow = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost").expect("sent");
    let began = Instant::now();
    assert!(!samples(port).is_empty());
    for (request, status) in [
        ("GET /other HTTP/1.1\r\nHost: x\r\n\r\n".to_string(), "404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_string(), "405"),
        ("what is this\r\n\r\n".to_string(), "400"),
        (format!("GET /metrics HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n", "x".repeat(60_000)), "431"),
    ] {
        // Of a head that is too long it may close before it was all sent.
        let answer = ask(port, &request).unwrap_or_default();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) || status == "431" && answer.is_empty(), "{answer}");
    }
    slow.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let _ = slow.read_to_end(&mut Vec::new());
    let after = began.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(9)).contains(&after), "cut after {after:?}");
    stream.close();
    assert_eq!(stream.end().0, 0);
}

#[test]
fn an_address_that_is_taken_is_an_error_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let output = Dir::new().adprof(&format!("stream --metrics {port}")).exits(74);
    assert!(output.stderr.contains(&format!("cannot listen for metrics at `{port}`")), "{}", output.stderr);
    assert!(output.stderr.contains("hint: name a free address"), "{}", output.stderr);
}
