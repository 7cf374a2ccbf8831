//! From the log into Kafka: every event arrives with its key, and a Kafka that is away stops nobody.

#[path = "support/kafka.rs"]
mod kafka;
mod support;

use adprof::bus::partition_of;
use adprof::synth::{Options, Synth};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::{Dir, event, field, ids};

/// Everything in a topic: partition, key, payload.
fn consume(broker: &str, topic: &str) -> Vec<(i32, Option<Vec<u8>>, Vec<u8>)> {
    let wait = Duration::from_secs(20);
    let consumer: BaseConsumer = kafka::config(broker).set("group.id", "test").create().expect("consumer");
    let metadata = consumer.fetch_metadata(Some(topic), wait).expect("metadata");
    let mut list = TopicPartitionList::new();
    let mut total = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), wait).expect("watermarks");
        total += (high - low) as usize;
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("added");
    }
    consumer.assign(&list).expect("assigned");
    let mut messages = Vec::new();
    while messages.len() < total {
        let message = consumer.poll(wait).expect("a message in time").expect("no fault");
        let payload = message.payload().expect("a value").to_vec();
        messages.push((message.partition(), message.key().map(<[u8]>::to_vec), payload));
    }
    messages
}

/// How often each line arrived; keys and partitions are checked.
fn arrived(broker: &str, topic: &str, partitions: i32) -> BTreeMap<String, u64> {
    let mut lines = BTreeMap::new();
    for (partition, key, payload) in consume(broker, topic) {
        let user = field(&payload, "userId");
        assert_eq!(key.as_deref(), Some(user.as_bytes()));
        assert_eq!(partition, partition_of(user.as_bytes(), partitions), "as Java places it");
        *lines.entry(String::from_utf8(payload).expect("UTF-8")).or_default() += 1;
    }
    lines
}

fn synth(events: u64) -> String {
    let mut synth = Synth::new(Options { events, ..Options::default() }).expect("legal");
    let mut bytes = Vec::new();
    while synth.fill(&mut bytes) {}
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn events_are_in_kafka_while_the_collector_runs() {
    let Some(broker) = kafka::broker() else { return };
    let topic = kafka::create_topic(&broker, "live", 2);
    let dir = Dir::new();
    let mut collect = dir.start(&format!("collect --ack -b {broker} -t {topic}"));
    for i in 0..3 {
        collect.feed(event(i));
        collect.acknowledged(i + 1);
        let began = Instant::now();
        while (arrived(&broker, &topic, 2).len() as u64) < i + 1 {
            assert!(began.elapsed() < Duration::from_secs(20), "it ships only at the end");
        }
    }
    let (code, stderr) = collect.end();
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(&format!("shipped 3 events to topic {topic}")), "{stderr}");
    let shipped: Vec<String> = arrived(&broker, &topic, 2).into_keys().collect();
    let mut log: Vec<String> = dir.read("ad-events.log").lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(shipped, log, "the lines of the log, byte for byte");
}

#[test]
fn what_a_run_before_has_left_is_shipped_although_nothing_comes() {
    let Some(broker) = kafka::broker() else { return };
    let topic = kafka::create_topic(&broker, "left", 2);
    for log in ["ad-events.log", "events/"] {
        let dir = Dir::new();
        dir.write("events.jsonl", synth(200));
        dir.adprof(&format!("collect --log {log} events.jsonl")).ok();
        let before = arrived(&broker, &topic, 2).values().sum::<u64>();
        let collect = dir.start(&format!("collect --log {log} -b {broker} -t {topic}"));
        let began = Instant::now();
        while arrived(&broker, &topic, 2).values().sum::<u64>() < before + 200 {
            assert!(began.elapsed() < Duration::from_secs(20), "{log}: it ships with the next event only");
        }
        assert_eq!(collect.end().0, 0);
    }
}

#[test]
fn killed_while_shipping_and_run_again_every_event_arrives_with_its_key() {
    let Some(broker) = kafka::broker() else { return };
    let topic = kafka::create_topic(&broker, "killed", 3);
    let dir = Dir::new();
    dir.write("events.jsonl", synth(150_000));
    let position = dir.file(&format!("ad-events.log.ship-{topic}.json"));
    let mut killed = 0;
    let mut args = format!("collect events.jsonl -b {broker} -t {topic}");
    for _ in 0..3 {
        let before = std::fs::read(&position).ok();
        let mut run = dir.start(&args);
        // Killed when it has got somewhere, wherever it is then.
        let began = Instant::now();
        while std::fs::read(&position).ok() == before && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        run.signal("KILL");
        run.close();
        killed += u64::from(run.end().0 == 128 + 9);
        args = format!("collect --ship -b {broker} -t {topic}");
    }
    assert!(killed > 0);
    dir.adprof(&args).ok();
    let arrived = arrived(&broker, &topic, 3);
    let log = dir.read("ad-events.log");
    let mut lines = 0;
    for line in log.lines() {
        lines += 1;
        assert!(arrived.contains_key(line), "not shipped: {line}");
    }
    assert!(lines > 0 && arrived.len() == lines, "{} lines, {} arrived", lines, arrived.len());
    let messages: u64 = arrived.values().sum();
    eprintln!("{killed} kills: {lines} events, {messages} messages");
    let output = dir.adprof(&args).exits(0);
    assert!(output.stderr.contains("shipped 0 events"), "it goes on where it was: {}", output.stderr);
}

#[test]
fn without_kafka_collecting_goes_on_and_the_next_run_ships_it() {
    let dir = Dir::new();
    let began = Instant::now();
    let args = "collect -b 127.0.0.1:1 -t events --ship-timeout 1s";
    let mut run = dir.start(&format!("{args} --ack"));
    for i in 0..10 {
        run.feed(event(i));
        assert_eq!(run.acknowledged(i + 1).1, i + 1);
    }
    let (code, stderr) = run.end();
    assert_eq!(code, 69, "{stderr}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(stderr.contains("collect --ship"), "{stderr}");
    assert_eq!(ids(&dir.read("ad-events.log")).len(), 10);

    let Some(broker) = kafka::broker() else { return };
    let topic = kafka::create_topic(&broker, "later", 1);
    dir.adprof(&format!("collect --ship -b {broker} -t {topic}")).ok();
    assert_eq!(arrived(&broker, &topic, 1).len(), 10);
}

#[test]
fn a_log_replaced_by_another_is_shipped_from_its_beginning() {
    let Some(broker) = kafka::broker() else { return };
    let topic = kafka::create_topic(&broker, "replaced", 1);
    let dir = Dir::new();
    let args = format!("collect -b {broker} -t {topic}");
    dir.adprof(&args).stdin(event(0) + &event(1)).ok();
    std::fs::rename(dir.file("ad-events.log"), dir.file("old.log")).expect("renamed");
    // Longer than the first: the old place lies in its middle.
    let output = dir.adprof(&args).stdin((2..10).map(event).collect::<String>()).exits(0);
    assert!(output.stderr.contains("not the log that was shipped before"), "{}", output.stderr);
    assert_eq!(arrived(&broker, &topic, 1).len(), 10);
}

#[test]
fn a_signal_does_not_wait_for_kafka() {
    let dir = Dir::new();
    let mut run = dir.start("collect --ack -b 127.0.0.1:1 -t events --ship-timeout 60s");
    run.feed(event(0));
    run.acknowledged(1);
    let began = Instant::now();
    run.signal("TERM");
    let stdin = run.take_stdin();
    let (code, stderr) = run.end();
    drop(stdin);
    assert_eq!(code, 0, "{stderr}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(stderr.contains("the next run goes on there"), "{stderr}");
}

#[test]
fn a_broker_that_stands_still_stops_no_acknowledgement() {
    let Some(broker) = kafka::broker() else { return };
    let Some(process) = kafka::BrokerProcess::find(&broker) else { return support::skipped("the broker is elsewhere") };
    let topic = kafka::create_topic(&broker, "held", 1);
    let dir = Dir::new();
    let mut run = dir.start(&format!("collect --ack -b {broker} -t {topic}"));
    run.feed(event(0));
    run.acknowledged(1);
    {
        let _held = process.hold();
        for i in 1..200 {
            let began = Instant::now();
            run.feed(event(i));
            run.acknowledged(i + 1);
            assert!(began.elapsed() < Duration::from_secs(2));
        }
    }
    let (code, stderr) = run.end();
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(arrived(&broker, &topic, 1).len(), 200);
}

#[test]
fn a_topic_that_is_not_there_is_told_and_costs_no_event() {
    let Some(broker) = kafka::broker() else { return };
    let topic = kafka::unique("missing");
    let dir = Dir::new();
    let output = dir.adprof(&format!("collect -b {broker} -t {topic}")).stdin(event(0)).exits(66);
    assert!(output.stderr.contains(&format!("no topic: {topic}")), "{}", output.stderr);
    assert_eq!(ids(&dir.read("ad-events.log")), ["e-0"]);
    dir.adprof(&format!("collect --ship -b {broker} -t {topic}")).exits(66);
}

#[test]
fn two_writers_of_a_directory_share_the_shipping_and_nothing_is_missing() {
    let Some(broker) = kafka::broker() else { return };
    let topic = kafka::create_topic(&broker, "shared", 2);
    let dir = Dir::new();
    let start = |name: &str| dir.start(&format!("collect --log events/ --writer {name} --ack -b {broker} -t {topic}"));
    let mut runs = [start("a"), start("b")];
    for i in 0..100 {
        let run = &mut runs[(i % 2) as usize];
        run.feed(event(i));
        run.acknowledged(i / 2 + 1);
    }
    for run in runs {
        let (code, stderr) = run.end();
        assert_eq!(code, 0, "{stderr}");
    }
    let arrived = arrived(&broker, &topic, 2);
    let mut found: Vec<u64> =
        arrived.keys().map(|line| field(line.as_bytes(), "eventId")[2..].parse().expect("a number")).collect();
    found.sort_unstable();
    assert_eq!(found, (0..100).collect::<Vec<_>>());
}

/// Runs a command until it is no longer told to try again.
fn in_time(dir: &Dir, args: &str) {
    let began = Instant::now();
    while dir.adprof(args).output().code != 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "{args}: never in time");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_log_is_sealed_and_compacted_while_it_is_shipped_and_each_event_arrives_once() {
    let Some(broker) = kafka::broker() else { return };
    let topic = kafka::create_topic(&broker, "cared-for", 2);
    let dir = Dir::new();
    let mut collect = dir.start(&format!("collect --ack --log events/ -b {broker} -t {topic}"));
    let received = |id: u64, at: i64| event(id).replace("}\n", &format!(",\"receivedAt\":{at}}}\n"));
    for id in 0..60 {
        // Two days of long ago, in turn: each round brings late files to both.
        collect.feed(received(id, 1_793_577_600_000 + id as i64 % 2 * 86_400_000));
        collect.acknowledged(id + 1);
        if id % 20 == 19 {
            // Refused (75) until Kafka has it all.
            in_time(&dir, "log seal events");
            in_time(&dir, "log compact events");
        }
    }
    let (code, stderr) = collect.end();
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("shipped 60 events"), "{stderr}");
    let names: Vec<_> = std::fs::read_dir(dir.file("events/dt=2026-11-02")).expect("a folder").collect();
    assert_eq!(names.len(), 2, "one file, and the seal");
    let said = dir.adprof(&format!("collect --ship --log events/ -b {broker} -t {topic}")).exits(0).stderr;
    assert!(said.contains("shipped 0 events"), "{said}");
    let lines = arrived(&broker, &topic, 2);
    assert!(lines.len() == 60 && lines.values().all(|n| *n == 1), "{lines:?}");
    // A topic that never had any of it gets all of it.
    let new = kafka::create_topic(&broker, "cared-for-new", 2);
    dir.adprof(&format!("collect --ship --log events/ -b {broker} -t {new}")).ok();
    let lines = arrived(&broker, &new, 2);
    assert!(lines.len() == 60 && lines.values().all(|n| *n == 1), "{lines:?}");
}
