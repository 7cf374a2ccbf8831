//! The bus when Kafka is not as it should be: nothing lost, nothing skipped in silence.

#[path = "support/bus.rs"]
mod bus;
#[path = "support/kafka.rs"]
mod kafka;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adprof::bus::{Assignment, BusError, Class, Consumer, Event, Link, Options, Owned, Producer, StartOffsets};
use bus::*;

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
fn a_topic_made_anew_and_longer_behind_the_readers_back_stops_it() {
    let Some(broker) = kafka::broker() else { return };
    let _shared = shared();
    let topic = kafka::create_topic(&broker, "behind", 1);
    seed(&broker, &topic, 1000);
    let mut options = all(own(vec![at(0, 0)]));
    (options.batch_messages, options.queue) = (10, 1);
    let consumer = Consumer::start(&settings(&broker, &topic), options).expect("started");
    // It pauses, so that it sees nothing of what happens to the topic.
    kafka::pause(2500);
    kafka::delete_topic(&broker, &topic);
    kafka::create_exactly(&broker, &topic, 1);
    let others: String = (0..3000).map(|n| format!("another {n}\n")).collect();
    kafka::produce_lines(&broker, &topic, &others);
    let mut read = Read::new();
    let e = loop {
        match next(&consumer) {
            Ok(Event::Batch(batch)) => keep(&mut read, &batch),
            Ok(other) => panic!("unexpected: {other:?}"),
            Err(e) => break e,
        }
        assert!(count(&read) < 3000, "it went on as if nothing had happened");
    };
    assert_eq!(e.code(), "TOPIC_REPLACED", "{e}");
    assert!(read[&0] == expected(1000, 1)[&0][..count(&read)], "nothing of the other topic");
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
            5 => {
                let before = cpu();
                kafka::pause(4000);
                assert!(cpu() - before < Duration::from_millis(800), "{:?} of CPU while it waits", cpu() - before);
            }
            0..40 => kafka::pause(50),
            _ => {}
        }
        most = most.max(rss_mb());
    }
    assert_eq!(got, total);
    eprintln!("{} MB of messages: {before} MB resident before, {most} MB at most", total * 408 / (1 << 20));
    assert!(most < before + 120, "{before} MB before, {most} MB at most");
}
