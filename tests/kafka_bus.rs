//! The bus against a real Kafka: nothing lost, nothing twice, nothing skipped in silence.

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::BTreeMap;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use adprof::bus::{
    Assignment, Batch, BusError, Class, Consumer, Event, Link, Options, Owned, PartitionSet, Producer, Settings,
    StartOffsets, partition_of,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Tests that hold the broker still or measure this process run alone.
static MACHINE: RwLock<()> = RwLock::new(());

fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn settings(broker: &str, topic: &str) -> Settings {
    Settings::new(broker, topic).expect("settings")
}

fn with(broker: &str, topic: &str, properties: &[&str]) -> Settings {
    let mut settings = settings(broker, topic);
    properties.iter().for_each(|property| settings.property(property).expect("property"));
    settings
}

fn all(from: StartOffsets) -> Options {
    Options::new(Assignment::All, from)
}

fn own(offsets: Vec<Owned>) -> StartOffsets {
    StartOffsets::Own { offsets, partitions: None }
}

fn at(partition: i32, next: i64) -> Owned {
    Owned { partition, next, witness: None }
}

type Read = BTreeMap<i32, Vec<(i64, Option<String>, Option<String>)>>;

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8"))
}

fn keep(read: &mut Read, batch: &Batch) {
    assert!(!batch.is_empty());
    let messages = read.entry(batch.partition()).or_default();
    messages.extend(batch.messages().map(|m| (m.offset, text(m.key), text(m.payload))));
}

/// The next event of interest, or the error that ended it.
fn next(consumer: &Consumer) -> Result<Event, BusError> {
    let event = consumer.recv_timeout(Duration::from_secs(40))?;
    Ok(event.unwrap_or_else(|| panic!("nothing came; over: {}", consumer.is_over())))
}

fn read_to_end(consumer: &Consumer) -> Result<Read, BusError> {
    let mut read = Read::new();
    loop {
        match next(consumer)? {
            Event::Batch(batch) => keep(&mut read, &batch),
            Event::End => return Ok(read),
            other => panic!("unexpected: {other:?}"),
        }
    }
}

fn count(read: &Read) -> usize {
    read.values().map(Vec::len).sum()
}

/// The error that a start, or what follows it, ends with.
fn error_of(started: Result<Consumer, BusError>) -> BusError {
    let consumer = match started {
        Ok(consumer) => consumer,
        Err(e) => return e,
    };
    loop {
        match next(&consumer) {
            Ok(Event::End) => panic!("no error"),
            Ok(_) => {}
            Err(e) => {
                assert!(consumer.recv_timeout(Duration::from_secs(2)).expect("no second error").is_none());
                assert!(consumer.is_over());
                return e;
            }
        }
    }
}

fn send_all(producer: &mut Producer, messages: impl Iterator<Item = (String, String)>) {
    for (key, value) in messages {
        let sent = producer.send(Some(key.as_bytes()), value.as_bytes(), Duration::from_secs(30)).expect("sent");
        assert_eq!(sent, Some(producer.sent()));
    }
}

fn message(n: usize) -> (String, String) {
    (format!("u-{:03}", n * 7919 % 997), format!("{{\"n\":{n}}}"))
}

/// What each partition must hold after `message(0..n)`.
fn expected(n: usize, partitions: i32) -> Read {
    let mut expected = Read::new();
    for (key, value) in (0..n).map(message) {
        let messages = expected.entry(partition_of(key.as_bytes(), partitions)).or_default();
        messages.push((messages.len() as i64, Some(key), Some(value)));
    }
    expected
}

fn seed(broker: &str, topic: &str, n: usize) {
    let messages: Vec<_> = (0..n).map(message).collect();
    kafka::produce(broker, topic, messages.iter().map(|(k, v)| (Some(k.as_str()), Some(v.as_str()))));
}

#[test]
fn a_hundred_thousand_messages_arrive_once_and_in_order_where_java_would_put_them() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "order", 4);
    let mut producer = Producer::new(&settings(&broker, &topic)).expect("producer");
    assert_eq!(producer.partitions(), 4);
    send_all(&mut producer, (0..100_000).map(message));
    assert!(producer.flush(Duration::from_secs(30)).expect("flushed"));
    assert_eq!(producer.acked(), 100_000);

    let consumer =
        Consumer::start(&settings(&broker, &topic), all(StartOffsets::Beginning).until_end()).expect("started");
    let read = read_to_end(&consumer).expect("read");
    // Not assert_eq: a difference would print 100,000 lines.
    assert!(read == expected(100_000, 4), "read {} messages", count(&read));
    assert!(consumer.lag().iter().all(|lag| lag.behind() == 0), "{:?}", consumer.lag());
    assert!(consumer.is_over() || consumer.recv_timeout(Duration::from_secs(2)).expect("no error").is_none());
}

#[test]
fn stopping_anywhere_and_going_on_from_own_offsets_reads_each_message_once() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "resume", 3);
    seed(&broker, &topic, 20_000);
    let mut read = Read::new();
    let mut reached: BTreeMap<i32, Owned> = BTreeMap::new();
    for round in 1.. {
        let from = StartOffsets::Own { offsets: reached.values().copied().collect(), partitions: Some(3) };
        let mut options = all(from).until_end();
        options.batch_messages = 500;
        let consumer = Consumer::start(&settings(&broker, &topic), options).expect("started");
        // Another number of batches each time; what is still in the channel is dropped.
        let mut ended = false;
        for _ in 0..round * 2 {
            match next(&consumer).expect("delivery") {
                Event::Batch(batch) => {
                    keep(&mut read, &batch);
                    let (partition, next) = (batch.partition(), batch.next_offset().expect("not empty"));
                    reached.insert(partition, Owned { partition, next, witness: batch.witness() });
                }
                Event::End => ended = true,
                other => panic!("unexpected: {other:?}"),
            }
            if ended {
                break;
            }
        }
        let stopping = Instant::now();
        consumer.stop();
        assert!(stopping.elapsed() < Duration::from_secs(2), "stopping took {:?}", stopping.elapsed());
        if ended {
            assert!(round > 2, "the test should stop on the way");
            break;
        }
    }
    assert!(read == expected(20_000, 3), "read {} messages", count(&read));
}

#[test]
fn two_consumers_on_ranges_of_partitions_share_a_topic_without_overlap() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "ranges", 4);
    seed(&broker, &topic, 10_000);
    let settings = settings(&broker, &topic).with_group("adprof-ranges").expect("group");
    let start = |set: &str| {
        let set: PartitionSet = set.parse().expect("set");
        let options = Options::new(Assignment::Some(set), StartOffsets::Beginning).until_end();
        Consumer::start(&settings, options).expect("started")
    };
    let (low, high) = (start("0-1"), start("2,3"));
    assert_eq!((low.assigned(), high.assigned(), low.partitions()), (vec![0, 1], vec![2, 3], 4));
    let mut read = read_to_end(&low).expect("read");
    let other = read_to_end(&high).expect("read");
    assert!(other.keys().all(|partition| !read.contains_key(partition)));
    read.extend(other);
    assert!(read == expected(10_000, 4), "read {} messages", count(&read));
}

#[test]
fn an_offset_that_is_not_there_stops_with_its_own_code_and_a_repair() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "range", 1);
    seed(&broker, &topic, 100);
    kafka::delete_before(&broker, &topic, 0, 40);
    let s = settings(&broker, &topic);
    let start = |from| error_of(Consumer::start(&s, all(from)));

    let e = start(own(vec![at(0, 39)]));
    assert!(matches!(&e, BusError::OffsetGone { place, oldest: 40 } if place.offset == 39), "{e}");
    assert_eq!((e.code(), e.class().exit_code()), ("OFFSET_GONE", 66));
    assert!(e.hint().expect("hint").contains("rebuild"));

    let e = start(own(vec![at(0, 101)]));
    assert!(matches!(&e, BusError::OffsetAhead { end: 100, .. }), "{e}");
    assert_eq!(e.to_string(), format!("topic `{topic}` partition 0 offset 101 is past the end of the partition: 100"));
    assert_eq!(start(StartOffsets::At(5)).code(), "OFFSET_GONE");

    let e = start(StartOffsets::Own { offsets: vec![at(0, 50)], partitions: Some(2) });
    assert!(matches!(e, BusError::PartitionsChanged { was: 2, now: 1, .. }), "{e}");
    let set = Assignment::Some("0-3".parse().expect("set"));
    let e = error_of(Consumer::start(&s, Options::new(set, StartOffsets::Beginning)));
    assert!(matches!(e, BusError::PartitionMissing { partition: 1, .. }), "{e}");

    let missing = settings(&broker, &kafka::unique("missing"));
    let e = error_of(Consumer::start(&missing, all(StartOffsets::Beginning)));
    assert_eq!((e.code(), e.class()), ("TOPIC_MISSING", Class::NoInput));
    let e = Producer::new(&missing).err().expect("no topic to write to");
    assert_eq!(e.code(), "TOPIC_MISSING");
}

#[test]
fn offsets_as_kcat_writes_them_begin_where_they_say() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "from", 1);
    kafka::produce_lines(&broker, &topic, "a\nb\nc\nd");
    let s = settings(&broker, &topic);
    let far = "s@99999999999999".parse().expect("offset");
    for (from, expected) in [
        ("beginning".parse().expect("offset"), "abcd"),
        ("end".parse().expect("offset"), ""),
        ("2".parse().expect("offset"), "cd"),
        ("-3".parse().expect("offset"), "bcd"),
        ("-9".parse().expect("offset"), "abcd"),
        ("s@0".parse().expect("offset"), "abcd"),
        (far, ""),
        (own(vec![at(0, 1)]), "bcd"),
        (own(vec![]), "abcd"),
    ] {
        let shown = format!("{from:?}");
        let consumer = Consumer::start(&s, all(from).until_end()).expect("started");
        let read = read_to_end(&consumer).expect("read");
        let values: String = read.into_values().flatten().filter_map(|(_, _, value)| value).collect();
        assert_eq!(values, expected, "{shown}");
    }
}

#[test]
fn nulls_and_empty_keys_and_values_arrive_as_they_were_sent() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "nulls", 1);
    let messages = [(Some("k"), None), (None, Some("")), (Some(""), Some("v")), (None, None)];
    kafka::produce(&broker, &topic, messages);
    let consumer = Consumer::start(&settings(&broker, &topic), all(StartOffsets::Beginning).until_end());
    let read = read_to_end(&consumer.expect("started")).expect("read");
    let read: Vec<_> = read[&0].iter().map(|(_, key, value)| (key.as_deref(), value.as_deref())).collect();
    assert_eq!(read, messages);
}

#[test]
fn a_topic_made_anew_is_noticed_shorter_or_longer() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "anew", 1);
    seed(&broker, &topic, 50);
    let s = settings(&broker, &topic);
    let consumer = Consumer::start(&s, all(StartOffsets::Beginning)).expect("started");
    let Event::Batch(batch) = next(&consumer).expect("delivery") else { panic!("no batch") };
    let reached = Owned { partition: 0, next: batch.next_offset().expect("some"), witness: batch.witness() };
    consumer.stop();
    // It goes on while the topic is the same.
    let rest = Consumer::start(&s, all(own(vec![reached])).until_end()).expect("started");
    assert_eq!(count(&read_to_end(&rest).expect("read")) as i64, 50 - reached.next);

    for (lines, code) in [(0, "OFFSET_AHEAD"), (10, "OFFSET_AHEAD"), (80, "TOPIC_REPLACED")] {
        kafka::delete_topic(&broker, &topic);
        kafka::create_exactly(&broker, &topic, 1);
        let lines: String = (0..lines).map(|n| format!("another {n}\n")).collect();
        kafka::produce_lines(&broker, &topic, &lines);
        let e = error_of(Consumer::start(&s, all(own(vec![reached]))));
        assert_eq!((e.code(), e.class()), (code, Class::DataGone), "{e}");
    }
}

#[test]
fn what_happens_to_a_topic_while_it_is_read_stops_the_reader() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let quick = ["topic.metadata.refresh.interval.ms=500", "topic.metadata.propagation.max.ms=500"];
    type Fault = fn(&str, &str);
    let deleted: Fault = kafka::delete_topic;
    let grown: Fault = |broker, topic| kafka::grow(broker, topic, 5);
    for (name, fault, code) in [("deleted", deleted, "TOPIC_MISSING"), ("grown", grown, "PARTITIONS_CHANGED")] {
        let topic = kafka::create_topic(&broker, name, 3);
        seed(&broker, &topic, 10);
        let consumer = Consumer::start(&with(&broker, &topic, &quick), all(StartOffsets::Beginning));
        let consumer = consumer.expect("started");
        let mut read = Read::new();
        while count(&read) < 10 {
            let Event::Batch(batch) = next(&consumer).expect("delivery") else { panic!("no batch") };
            keep(&mut read, &batch);
        }
        fault(&broker, &topic);
        let e = error_of(Ok(consumer));
        assert_eq!(e.code(), code, "{name}: {e}");
    }
}

#[test]
fn retention_that_overtakes_a_slow_reader_stops_it() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "overtaken", 1);
    seed(&broker, &topic, 1000);
    let mut options = all(own(vec![at(0, 0)]));
    (options.batch_messages, options.queue) = (10, 1);
    let consumer = Consumer::start(&settings(&broker, &topic), options).expect("started");
    // Long enough for it to pause and let go of what it had fetched.
    kafka::pause(2500);
    kafka::delete_before(&broker, &topic, 0, 900);
    let mut read = Read::new();
    let e = loop {
        match next(&consumer) {
            Ok(Event::Batch(batch)) => keep(&mut read, &batch),
            Ok(other) => panic!("unexpected: {other:?}"),
            Err(e) => break e,
        }
    };
    let upto = count(&read) as i64;
    assert!(matches!(&e, BusError::OffsetGone { place, oldest: 900 } if place.offset == upto), "{e} after {upto}");
}

#[test]
fn the_end_is_where_it_was_at_the_start_though_the_topic_grows() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "end", 2);
    seed(&broker, &topic, 5000);
    let mut options = all(StartOffsets::Beginning).until_end();
    (options.batch_messages, options.queue) = (100, 1);
    let consumer = Consumer::start(&settings(&broker, &topic), options).expect("started");
    seed(&broker, &topic, 3000);
    let read = read_to_end(&consumer).expect("read");
    assert!(read == expected(5000, 2), "read {} messages", count(&read));
}

#[test]
fn a_group_sees_the_offsets_that_were_committed_as_a_hint() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "hint", 2);
    seed(&broker, &topic, 100);
    let group = kafka::unique("group");
    let s = settings(&broker, &topic).with_group(&group).expect("group");
    let consumer = Consumer::start(&s, all(StartOffsets::Beginning)).expect("started");
    for n in [1, 2, 7] {
        consumer.commit(vec![(0, n), (1, n + 1)]);
    }
    let plain: BaseConsumer = kafka::config(&broker).set("group.id", &group).create().expect("client");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&topic, 0, 1);
        let list = plain.committed_offsets(list, Duration::from_secs(10)).expect("committed");
        let offsets: Vec<Offset> = list.elements().iter().map(|element| element.offset()).collect();
        if offsets == [Offset::Offset(7), Offset::Offset(8)] {
            break;
        }
        assert!(Instant::now() < deadline, "{offsets:?}");
        kafka::pause(100);
    }
}

#[test]
fn lag_follows_a_topic_that_grows() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "lag", 1);
    let mut options = all(StartOffsets::Beginning);
    (options.batch_messages, options.queue) = (10, 1);
    let consumer = Consumer::start(&settings(&broker, &topic), options).expect("started");
    assert_eq!(consumer.lag()[0].behind(), 0);
    seed(&broker, &topic, 1000);
    let deadline = Instant::now() + Duration::from_secs(10);
    while consumer.lag()[0].high < 1000 {
        assert!(Instant::now() < deadline, "{:?}", consumer.lag());
        kafka::pause(100);
    }
    assert!(consumer.lag()[0].behind() >= 900, "{:?}", consumer.lag());
}

#[test]
fn no_broker_is_an_error_after_the_time_given() {
    if kafka::broker().is_none() {
        return;
    }
    let _shared = shared();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("port").port();
    let s = settings(&format!("127.0.0.1:{port}"), "events").with_connect_wait(Duration::from_secs(2));
    for began in [Instant::now(), Instant::now()] {
        let e = error_of(Consumer::start(&s, all(StartOffsets::Beginning)));
        assert_eq!((e.code(), e.class().exit_code()), ("KAFKA_UNAVAILABLE", 69), "{e}");
        assert!(e.to_string().contains("refused"), "{e}");
        assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    }
    let e = Producer::new(&s).err().expect("no broker");
    assert_eq!(e.class(), Class::Unavailable, "{e}");
}

/// User and system time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    Duration::from_millis(ticks * 10)
}

fn rss_mb() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).expect("resident").parse::<usize>().expect("pages") / 256
}

#[test]
fn a_broker_that_stands_still_loses_nothing_and_costs_nothing() {
    let Some(broker) = kafka::broker() else { return };
    let _alone = alone();
    let Some(process) = kafka::BrokerProcess::find(&broker) else {
        eprintln!("skipped: the broker's process is not on this machine");
        return;
    };
    let topic = kafka::create_topic(&broker, "still", 2);
    let s = with(&broker, &topic, &["socket.timeout.ms=1500"]);
    let mut producer = Producer::new(&s).expect("producer");
    let consumer = Consumer::start(&s, all(StartOffsets::Beginning)).expect("started");
    send_all(&mut producer, (0..5000).map(message));
    kafka::pause(500);
    let held = process.hold();
    send_all(&mut producer, (5000..10_000).map(message));
    let before = cpu();
    kafka::pause(6000);
    let used = cpu() - before;
    assert!(used < Duration::from_millis(600), "10 % of a core at most, and it was {used:?} in 6 s");
    assert!(matches!(producer.link(), Link::Down { .. }), "{:?}", producer.link());
    assert!(!producer.flush(Duration::from_millis(200)).expect("no failure"));
    drop(held);
    assert!(producer.flush(Duration::from_secs(30)).expect("flushed"));
    assert_eq!(producer.acked(), 10_000);

    let (mut read, mut news) = (Read::new(), Vec::new());
    while count(&read) < 10_000 || news.len() < 2 {
        match next(&consumer).expect("delivery") {
            Event::Batch(batch) => keep(&mut read, &batch),
            other => news.push(format!("{other:?}").split([' ', '{']).next().expect("word").to_owned()),
        }
    }
    assert!(read == expected(10_000, 2), "read {} messages", count(&read));
    assert_eq!(news, ["Down", "Back"], "each is told once");

    // A stop does not wait for a broker that does not answer.
    let held = process.hold();
    kafka::pause(300);
    let stopping = Instant::now();
    consumer.stop();
    assert!(stopping.elapsed() < Duration::from_secs(2), "stopping took {:?}", stopping.elapsed());
    drop(held);
}

#[test]
fn a_full_queue_gives_a_message_back_instead_of_growing() {
    let Some(broker) = kafka::broker() else { return };
    let _alone = alone();
    let Some(process) = kafka::BrokerProcess::find(&broker) else { return };
    let topic = kafka::create_topic(&broker, "full", 1);
    let s = with(&broker, &topic, &["queue.buffering.max.messages=1000"]);
    let mut producer = Producer::new(&s).expect("producer");
    let held = process.hold();
    let taken = (0..).map(message).take_while(|(key, value)| {
        let sent = producer.send(Some(key.as_bytes()), value.as_bytes(), Duration::from_millis(50));
        sent.expect("no failure").is_some()
    });
    let taken = taken.count();
    drop(held);
    assert_eq!(taken, 1000);
    assert!(producer.flush(Duration::from_secs(30)).expect("flushed"));
    assert_eq!((producer.acked(), producer.sent()), (1000, 1000));
}

#[test]
fn a_message_too_large_stops_the_sender_and_is_never_passed() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "large", 1);
    let mut producer = Producer::new(&settings(&broker, &topic)).expect("producer");
    send_all(&mut producer, (0..10).map(message));
    let e = producer.send(None, &vec![b'x'; 2 << 20], Duration::ZERO).expect_err("too large");
    assert!(matches!(e, BusError::Undeliverable { sequence: 11, .. }), "{e}");
    assert!(producer.send(None, b"small", Duration::ZERO).is_err(), "nothing may overtake it");
    assert!(producer.flush(Duration::from_secs(10)).is_err());
    assert_eq!(producer.acked(), 10);
}

#[test]
fn a_slow_receiver_keeps_memory_flat_and_still_gets_everything() {
    let Some(broker) = kafka::broker() else { return };
    let _alone = alone();
    let topic = kafka::create_topic(&broker, "slow", 4);
    let total = 600_000;
    // As compressible as events are, roughly: a run of 400 x would grow hundredfold when read.
    let mut seed = 1u64;
    let mut payload = || {
        let words = (0..24).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("\"k\":\"{:08x}\",", seed >> 40)
        });
        words.collect::<String>()
    };
    {
        let mut producer = Producer::new(&settings(&broker, &topic)).expect("producer");
        send_all(&mut producer, (0..total).map(|n| (format!("u-{}", n % 997), format!("{n:08}{}", payload()))));
        assert!(producer.flush(Duration::from_secs(60)).expect("flushed"));
    }
    let before = rss_mb();
    let consumer = Consumer::start(&settings(&broker, &topic), all(StartOffsets::Beginning).until_end());
    let consumer = consumer.expect("started");
    let (mut most, mut got, mut last) = (0, 0, BTreeMap::new());
    for turn in 0.. {
        match next(&consumer).expect("delivery") {
            Event::Batch(batch) => {
                let first = batch.message(0).offset;
                assert_eq!(last.insert(batch.partition(), batch.next_offset().expect("some")).unwrap_or(0), first);
                got += batch.len();
            }
            Event::End => break,
            other => panic!("unexpected: {other:?}"),
        }
        // Slow at first, with one stop long enough to pause, and then as fast as it goes.
        match turn {
            5 => kafka::pause(4000),
            0..40 => kafka::pause(50),
            _ => {}
        }
        most = most.max(rss_mb());
    }
    assert_eq!(got, total);
    eprintln!("{} MB of messages: {before} MB resident before, {most} MB at most", total * 408 / (1 << 20));
    assert!(most < before + 120, "{before} MB before, {most} MB at most");
}

/// Not a test: `cargo test --release --test kafka_bus -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed_of_a_million_messages_of_155_bytes() {
    let Some(broker) = kafka::broker() else { return };
    let _alone = alone();
    let topic = kafka::create_topic(&broker, "speed", 4);
    let n = 1_000_000;
    let body = |n: usize| {
        format!(
            "{{\"eventId\":\"e-{n:012}\",\"userId\":\"u-{:06}\",\"eventType\":\"click\",\"timestamp\":{},\
             \"category\":\"sports\",\"itemId\":\"i-{:08}\",\"amount\":{}.50}}",
            n * 7919 % 100_000,
            1_731_296_325_000 + n as u64,
            n * 31 % 1_000_000,
            n % 90 + 10
        )
    };
    let lines: Vec<(String, String)> = (0..n).map(|n| (format!("u-{:06}", n * 7919 % 100_000), body(n))).collect();
    let mut producer = Producer::new(&settings(&broker, &topic)).expect("producer");
    let (began, used) = (Instant::now(), cpu());
    for (key, line) in &lines {
        producer.send(Some(key.as_bytes()), line.as_bytes(), Duration::from_secs(60)).expect("sent").expect("room");
    }
    assert!(producer.flush(Duration::from_secs(60)).expect("flushed"));
    let (took, used) = (began.elapsed(), cpu() - used);
    eprintln!(
        "in: {:.0} messages/s of {} bytes, {used:?} CPU in {took:?}",
        n as f64 / took.as_secs_f64(),
        lines[0].1.len()
    );
    for _ in 0..3 {
        let (began, used) = (Instant::now(), cpu());
        let consumer = Consumer::start(&settings(&broker, &topic), all(StartOffsets::Beginning).until_end());
        let consumer = consumer.expect("started");
        let (mut got, mut batches) = (0, 0);
        loop {
            match next(&consumer).expect("delivery") {
                Event::Batch(batch) => (got, batches) = (got + batch.len(), batches + 1),
                Event::End => break,
                other => panic!("unexpected: {other:?}"),
            }
        }
        let (took, used) = (began.elapsed(), cpu() - used);
        assert_eq!(got, n);
        eprintln!("out: {:.0} messages/s, {batches} batches, {used:?} CPU in {took:?}", n as f64 / took.as_secs_f64());
    }
}
