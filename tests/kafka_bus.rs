//! The bus against a real Kafka: every message once, in order, from where it was asked.

#[path = "support/bus.rs"]
mod bus;
#[path = "support/kafka.rs"]
mod kafka;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adprof::bus::{Assignment, Consumer, Event, Options, Owned, PartitionSet, Producer, StartOffsets};
use bus::*;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

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
    let plain: BaseConsumer = kafka::config(&broker).set("group.id", &group).create().expect("client");
    // Not only the first ones.
    for newest in [7, 9] {
        for n in [1, 2, newest] {
            consumer.commit(vec![(0, n), (1, n + 1)]);
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&topic, 0, 1);
            let list = plain.committed_offsets(list, Duration::from_secs(10)).expect("committed");
            let offsets: Vec<Offset> = list.elements().iter().map(|element| element.offset()).collect();
            if offsets == [Offset::Offset(newest), Offset::Offset(newest + 1)] {
                break;
            }
            assert!(Instant::now() < deadline, "{offsets:?}");
            kafka::pause(100);
        }
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
