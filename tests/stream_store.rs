//! `adprof stream` from Kafka into the embedded store, through the real program: each message counts once, whatever happens.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::time::{Duration, Instant};
use streams::*;
use support::Dir;

const LIVE: [&str; 3] = ["clicks_1h_count", "last_click_category", "last_active_ts"];

/// Events of the last day with duplicates, late and bad ones. The good ones are in `good.ndjson`.
fn generated(dir: &Dir, n: u32) -> Vec<(String, String)> {
    let start = now() - 86_400_000 - 3_600_000;
    let command = format!("gen --events {n} --users 2000 --duplicates 5 --late 5 --days 1 --start {start}");
    let text = dir.adprof(&command).ok();
    dir.write("good.ndjson", &text);
    let mut events = keyed(&text);
    (0..100).for_each(|i| events.insert(i * 150, ("u".into(), format!("{{\"bad\":{i}}}"))));
    events
}

#[test]
fn profiles_equal_the_batch_at_the_same_instant() {
    let dir = Dir::new();
    generated(&dir, 20_000);
    let output = dir.adprof("stream --store file:s").stdin(dir.read("good.ndjson")).exits(0);
    assert!(output.stderr.contains("20,000 events, "), "{}", output.stderr);
    for as_of in [now(), now() + 3_000_000] {
        let tags = LIVE.join(",");
        let batch = dir.adprof(&format!("batch --log good.ndjson --tags {tags} --as-of {as_of}")).ok();
        let expected = profiles(&batch, &LIVE);
        let found = query(&dir, &format!("--store file:s --as-of {as_of}"), expected.keys().cloned());
        assert_same(&profiles(&found, &LIVE), &expected);
    }
}

#[test]
fn a_second_stream_on_the_same_state_is_75_and_names_the_first() {
    let dir = Dir::new();
    let mut first = dir.start("stream --store file:s");
    first.feed(click("a", "u1", now()) + "\n");
    wait_until("a state", Duration::from_secs(10), || {
        dir.adprof("query --store file:s u1").output().stdout.contains("c-a")
    });
    let output = dir.adprof("stream --store file:s").exits(75);
    assert!(
        output.stderr.contains(&format!("in use by `adprof stream, process {}`", first.pid())),
        "{}",
        output.stderr
    );
    first.close();
    assert_eq!(first.end().0, 0);
    dir.adprof("stream --store file:s").exits(0);
}

#[test]
fn what_was_read_is_on_the_disk_as_often_as_was_said_and_at_the_end() {
    let dir = Dir::new();
    let shows = |event: &str| dir.adprof("query --store file:s u1").output().stdout.contains(event);
    let mut stream = dir.start("stream --store file:s --checkpoint 30s");
    stream.feed(click("a", "u1", now()) + "\n");
    // Twice as long as it would take.
    std::thread::sleep(Duration::from_secs(2));
    assert!(!shows("c-a"));
    stream.close();
    assert_eq!(stream.end().0, 0);
    assert!(shows("c-a"));
    let mut stream = dir.start("stream --store file:s --checkpoint 100ms");
    stream.feed(click("b", "u1", now() + 1) + "\n");
    wait_until("a checkpoint", Duration::from_secs(10), || shows("c-b"));
    stream.close();
    assert_eq!(stream.end().0, 0);
    let output = dir.adprof("stream --store file:s --checkpoint 31s").exits(2);
    assert!(output.stderr.contains("30s is the longest"), "{}", output.stderr);
}

#[test]
fn killed_again_and_again_each_message_counts_once_and_readers_never_fail() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let events = generated(&dir, 40_000);
    let topic = kafka::create_topic(&broker, "killed", 4);
    let command = format!("stream -b {broker} -t {topic} --store file:s");
    let mut random = Random(7);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            for part in events.chunks(events.len() / 30) {
                produce(&broker, &topic, part);
                kafka::pause(100);
            }
        });
        for _ in 0..10 {
            let stream = dir.start(&command);
            let until = Instant::now() + Duration::from_millis(150 + random.below(1200));
            while Instant::now() < until {
                let reader = dir.adprof("query --store file:s u-0000001 u-0000002").output();
                // Before the first checkpoint there may be no store yet.
                assert!(reader.code == 0 || reader.code == 66, "{}", reader.stderr);
                kafka::pause(20);
            }
            stream.signal("KILL");
            assert_eq!(stream.end().0, 128 + 9);
        }
        producer.join().expect("produced");
    });
    let output = dir.adprof(&format!("{command} -e")).exits(0);
    let [consumed, absorbed, duplicates, refused] = counts(&dir.file("s"));
    assert_eq!(consumed, events.len() as u64, "{}", output.stderr);
    assert_eq!([consumed, absorbed], [absorbed + duplicates + refused, 40_000]);
    let as_of = now();
    let Some(expected) = oracle(&dir, "good.ndjson", as_of, &LIVE) else { return };
    let found = query(&dir, &format!("--store file:s --as-of {as_of}"), expected.keys().cloned());
    assert_same(&profiles(&found, &LIVE), &expected);
    // Nothing is left to read: this run's counts, not those of all runs.
    let output = dir.adprof(&format!("{command} -e")).exits(0);
    assert!(output.stderr.contains("0 events; "), "{}", output.stderr);
}

#[test]
fn told_to_stop_under_load_it_ends_soon_and_goes_on_where_it_was() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let events = generated(&dir, 40_000);
    let topic = kafka::create_topic(&broker, "term", 2);
    produce(&broker, &topic, &events);
    let command = format!("stream -b {broker} -t {topic} -G {topic}-group --store file:s");
    for pause in [250, 400, 100] {
        let stream = dir.start(&command);
        kafka::pause(pause);
        stream.signal("TERM");
        let began = Instant::now();
        let (code, words) = stream.end();
        assert!(code == 0 || code == 128 + 15 && pause == 100, "{code}: {words}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
    dir.adprof(&format!("{command} -e --stats 100ms")).exits(0);
    let [consumed, absorbed, ..] = counts(&dir.file("s"));
    assert_eq!([consumed, absorbed], [events.len() as u64, 40_000]);
    assert_eq!(committed(&broker, &topic), events.len() as i64, "the group shows how far it is");
}

/// The sum of the offsets that the group of `topic` has committed.
fn committed(broker: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer =
        kafka::config(broker).set("group.id", format!("{topic}-group")).create().expect("client");
    let mut list = TopicPartitionList::new();
    for partition in 0..2 {
        list.add_partition(topic, partition);
    }
    let found = consumer.committed_offsets(list, Duration::from_secs(10)).expect("answered");
    found.elements().iter().filter_map(|e| e.offset().to_raw()).filter(|offset| *offset > 0).sum()
}

#[test]
fn a_state_belongs_to_its_input() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let (one, two) = (kafka::create_topic(&broker, "one", 2), kafka::create_topic(&broker, "two", 2));
    let events: Vec<String> = (0..20).map(|i| click(&format!("e{i}"), &format!("u{i}"), now())).collect();
    produce(&broker, &one, &keyed(&events.join("\n")));
    dir.adprof(&format!("stream -b {broker} -t {one} -e --store file:s")).exits(0);
    let output = dir.adprof(&format!("stream -b {broker} -t {two} -e --store file:s")).exits(2);
    assert!(output.stderr.contains(&format!("made from topic `{one}`, not from topic `{two}`")), "{}", output.stderr);
    let output = dir.adprof("stream --store file:s").exits(2);
    assert!(output.stderr.contains("not from standard input"), "{}", output.stderr);
    let output = dir.adprof(&format!("stream -b {broker} -t {one} -p 1 -e --store file:s")).exits(2);
    assert!(
        output.stderr.contains("users of partition 0") && output.stderr.contains("`-p` leaves out"),
        "{}",
        output.stderr
    );
}

#[test]
fn new_tags_count_from_now_on_and_a_person_is_told() {
    let dir = Dir::new();
    let tag = |code: &str, value: &str| format!("[[tag]]\ncode = \"{code}\"\nvalue = \"{value}\"\n");
    dir.write("adprof.toml", tag("n", "count(*)"));
    let first: String = (0..3).map(|i| click(&format!("a{i}"), "u1", now()) + "\n").collect();
    dir.adprof("stream --store file:s").stdin(first).exits(0);
    dir.write("adprof.toml", tag("n", "count(*)") + &tag("last", "last(category)"));
    let second: String = (0..2).map(|i| click(&format!("b{i}"), "u1", now() - 5 + i) + "\n").collect();
    let output = dir.adprof("stream --store file:s").stdin(second).exits(0);
    assert!(output.stderr.contains("tags that are warming: last counts events received since"), "{}", output.stderr);
    assert!(output.stderr.contains("2 events; 1 users"), "this run's counts: {}", output.stderr);
    let profile = dir.adprof("query --store file:s u1").ok();
    assert!(profile.contains(r#""n":5"#) && profile.contains(r#""last":"c-b1""#), "{profile}");
    let output = dir.adprof("stream --store file:s").exits(0);
    assert!(output.stderr.contains("warming: last counts"), "still: {}", output.stderr);
}

#[test]
fn messages_without_a_value_are_refused_and_a_foreign_key_is_counted() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let topic = kafka::create_topic(&broker, "odd", 1);
    let (a, b, c) = (click("a", "u1", now()), click("b", "u1", now()), click("c", "u1", now()));
    let messages = [
        (Some("u1"), Some(&*a)),
        (Some("u1"), None),
        (Some("u1"), Some("")),
        (Some("other"), Some(&*b)),
        (None, Some(&*c)),
    ];
    kafka::produce(&broker, &topic, messages);
    let output = dir.adprof(&format!("stream -b {broker} -t {topic} -e --store file:s")).exits(0);
    assert!(output.stderr.contains("3 events, 2 refused"), "{}", output.stderr);
    assert!(output.stderr.contains("warning: 2 messages are not keyed by their userId"), "{}", output.stderr);
    let letters = dir.read("s/dead.ndjson");
    let letters: Vec<serde_json::Value> = letters.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let place = |l: &serde_json::Value| (l["code"].as_str().expect("code").to_string(), l["offset"].as_i64());
    assert_eq!(
        letters.iter().map(place).collect::<Vec<_>>(),
        [("NULL_VALUE".into(), Some(1)), ("NOT_JSON".into(), Some(2))]
    );
    assert!(dir.adprof("query --store file:s u1").ok().contains(r#""clicks_1h_count":3"#));
    assert_eq!(counts(&dir.file("s")), [5, 3, 0, 2]);
}

#[test]
fn no_topic_is_66_and_no_broker_69_and_neither_leaves_a_state() {
    let dir = Dir::new();
    if let Some(broker) = kafka::broker() {
        let output = dir.adprof(&format!("stream -b {broker} -t no-such-topic --store file:s")).exits(66);
        assert!(output.stderr.contains("no-such-topic"), "{}", output.stderr);
        dir.adprof(&format!("stream -b {broker} -t no-such-topic")).exits(66);
    }
    let output =
        dir.adprof("stream -b 127.0.0.1:1 -t t -X socket.connection.setup.timeout.ms=1000 --store file:s").exits(69);
    assert!(output.stderr.contains("hint: is the broker running"), "{}", output.stderr);
    assert!(!dir.file("s").exists());
}

#[test]
fn retention_that_overtook_the_state_is_an_error_of_its_own_and_nothing_is_skipped() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let topic = kafka::create_topic(&broker, "retention", 1);
    let events = |from: usize| -> Vec<_> {
        (from..from + 10).map(|i| ("u1".to_string(), click(&format!("e{i}"), "u1", now()))).collect()
    };
    produce(&broker, &topic, &events(0));
    let command = format!("stream -b {broker} -t {topic} -e --store file:s");
    dir.adprof(&command).exits(0);
    produce(&broker, &topic, &events(10));
    kafka::delete_before(&broker, &topic, 0, 15);
    let output = dir.adprof(&command).exits(66);
    assert!(output.stderr.contains("partition 0 offset 10 is gone, retention overtook it"), "{}", output.stderr);
    assert!(
        output.stderr.contains("hint: messages were deleted unread: rebuild the state from the log"),
        "{}",
        output.stderr
    );
    assert_eq!(counts(&dir.file("s"))[0], 10);
    assert!(dir.adprof("query --store file:s u1").ok().contains(r#""clicks_1h_count":10"#));
}

#[test]
fn states_beyond_the_memory_rest_in_the_store_and_nothing_changes() {
    let dir = Dir::new();
    generated(&dir, 20_000);
    let good = dir.read("good.ndjson");
    let half = good.lines().take(10_000).map(|line| format!("{line}\n")).collect::<String>();
    for (store, memory) in [("all", ""), ("little", "--memory 20K"), ("none", "--memory 1")] {
        // The second run finds the states of the first in the store.
        for input in [&half, &good] {
            dir.adprof(&format!("stream --store file:{store} {memory}")).stdin(input.as_str()).exits(0);
        }
    }
    let as_of = now() + 600_000;
    let export = |store: &str| dir.adprof(&format!("export --store file:{store} --format ndjson --as-of {as_of}")).ok();
    let all = export("all");
    assert!(all.lines().count() > 1000);
    assert!(all == export("little") && all == export("none"));
}
