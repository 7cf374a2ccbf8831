//! `adprof rebuild`, through the real program: a state made anew from the log, and no event lost or doubled at the seam.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

use adprof::key::Key;
use adprof::store::Embedded;
use adprof::store::embedded::Changes;
use std::collections::BTreeMap;
use std::time::Duration;
use streams::*;
use support::Dir;

const LIVE: [&str; 3] = ["clicks_1h_count", "last_click_category", "last_active_ts"];

/// Events of some users within the last hours, numbered from `from` on.
fn events(from: u64, n: u64) -> String {
    let mut random = Random(from);
    let now = now();
    let line = |i: u64| {
        let at = now - random.below(3 * 3_600_000) as i64;
        format!(
            "{{\"eventId\":\"e{i}\",\"userId\":\"u{}\",\"eventType\":\"{}\",\"timestamp\":{at},\"category\":\"c{}\",\"amount\":{}.25}}\n",
            random.below(97),
            if random.below(3) == 0 { "purchase" } else { "click" },
            random.below(9),
            random.below(50)
        )
    };
    (from..from + n).map(line).collect()
}

/// Whether the store says what an adder of another kind says of the log.
fn agrees_with_the_oracle(dir: &Dir, store: &str) {
    let now = now() + 1000;
    let Some(expected) = oracle(dir, "log", now, &LIVE) else { return };
    let found = profiles(&query(dir, &format!("--store {store} --as-of {now}"), expected.keys().cloned()), &LIVE);
    assert_same(&found, &expected);
}

/// Takes all that the state knows of some users.
fn damage(dir: &Dir, state: &str) {
    let store = Embedded::open_existing(&dir.file(state)).expect("a store");
    let at = store.stats().expect("stats").committed_at.expect("a commit");
    let mut owner = store.begin_owner("a test").expect("free");
    let states: Vec<(Key, Option<Vec<u8>>)> = (0..20).map(|i| (Key::user("", &format!("u{i}")), None)).collect();
    owner.commit(Changes { at, states, meta: &[], ids: &[] }).expect("written");
}

fn names(dir: &Dir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name.starts_with("s") && !name.ends_with(".lock"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_damaged_state_is_made_anew_and_keeps_what_the_log_does_not_have() {
    let dir = Dir::new();
    dir.adprof("collect --log log").stdin(events(0, 4000)).ok();
    dir.adprof("stream --store file:s").stdin(dir.read("log")).exits(0);
    let patches = dir.adprof("batch --log log").ok();
    dir.adprof("sink file:s").stdin(patches).ok();
    dir.adprof("verify --log log --store file:s --grace 0").exits(0);
    damage(&dir, "s");
    dir.adprof("verify --log log --store file:s --grace 0").exits(1);
    let done = dir.adprof("rebuild --log log --store file:s").exits(0);
    assert!(done.stderr.contains("4,000 events; 97 users"), "{}", done.stderr);
    assert_eq!(names(&dir), ["s"]);
    let right = dir.adprof("verify --log log --store file:s --grace 0").exits(0);
    assert!(!right.stderr.contains("without"), "daily tags are still there: {}", right.stderr);
    agrees_with_the_oracle(&dir, "file:s");
    // A sender tries again: the rebuilt state knows its events.
    let more = dir.read("log").lines().take(500).map(|line| format!("{line}\n")).collect::<String>();
    let again = dir.adprof("stream --store file:s").stdin(more).exits(0);
    assert!(again.stderr.contains("0 events, 500 duplicates"), "{}", again.stderr);
    // Where there was no state, one is made.
    dir.adprof("rebuild --log log --store file:s2").exits(0);
    agrees_with_the_oracle(&dir, "file:s2");
}

const ENTITIES: &str = r#"
[[entity]]
name = "topic"
key = ["category", "eventType"]
[[entity]]
name = "minute"
key = "tumble(timestamp, '1m')"
retain = "2h"
[[tag]]
code = "events"
value = "count(*)"
[[tag]]
code = "grade"
type = "string"
update = "import"
[[tag]]
code = "mood"
value = "CASE WHEN grade = 'a' THEN 'good' WHEN events > 30 THEN 'busy' ELSE 'calm' END"
[[tag]]
code = "topic_spent"
entity = "topic"
value = "sum(amount)"
[[tag]]
code = "minute_users"
entity = "minute"
value = "count(DISTINCT userId)"
"#;

#[test]
fn entities_and_imported_values_are_made_anew_too() {
    let dir = Dir::new();
    dir.write("adprof.toml", ENTITIES);
    dir.adprof("collect --log log").stdin(events(0, 2000)).ok();
    dir.adprof("stream --store file:s").stdin(dir.read("log")).exits(0);
    let at = now();
    dir.adprof("sink file:s").stdin(format!("{{\"userId\":\"u1\",\"asOf\":{at},\"tags\":{{\"grade\":\"a\"}}}}\n")).ok();
    let ask = "export --store file:s --entity";
    let before: Vec<String> = ["user", "topic"].map(|entity| dir.adprof(&format!("{ask} {entity}")).ok()).into();
    assert!(before[0].contains(",a,good"), "{}", before[0]);
    dir.adprof("rebuild --log log --store file:s").exits(0);
    let after: Vec<String> = ["user", "topic"].map(|entity| dir.adprof(&format!("{ask} {entity}")).ok()).into();
    assert_eq!(after, before);
    dir.adprof("verify --log log --store file:s --grace 0").exits(0);
    damage(&dir, "s");
    let found = dir.adprof("verify --log log --store file:s --grace 0").exits(1);
    assert!(found.stderr.ends_with(" missing\n"), "{}", found.stderr);
}

#[test]
fn a_patch_that_comes_while_it_is_made_anew_is_taken_over() {
    let dir = Dir::new();
    dir.adprof("collect --log log").stdin(events(0, 400_000)).ok();
    dir.adprof("stream --store file:s").stdin(dir.read("log").lines().take(10).collect::<Vec<_>>().join("\n")).exits(0);
    let run = dir.start("rebuild --log log --store file:s");
    wait_until("it has begun", Duration::from_secs(20), || Embedded::exists(&dir.file("s.rebuild")));
    std::thread::sleep(Duration::from_millis(100));
    run.signal("STOP");
    assert!(Embedded::exists(&dir.file("s.rebuild")), "it is done already");
    dir.adprof("sink file:s").stdin("{\"userId\":\"u1\",\"asOf\":1,\"tags\":{\"ltv_total\":7.25}}\n").ok();
    run.signal("CONT");
    let (code, words) = run.end();
    assert_eq!(code, 0, "{words}");
    let told = dir.adprof("query --store file:s u1").ok();
    assert!(told.contains("\"ltv_total\":7.25"), "{told}");
}

#[test]
fn what_may_not_be_rebuilt_is_refused() {
    let dir = Dir::new();
    dir.adprof("collect --log log").stdin(events(0, 2000)).ok();
    let mut stream = dir.start("stream --store file:s");
    stream.feed(dir.read("log"));
    wait_until("a state", Duration::from_secs(20), || {
        dir.adprof("query --store file:s u1").output().stdout.contains("last_active_ts")
    });
    let busy = dir.adprof("rebuild --log log --store file:s").exits(75);
    assert!(busy.stderr.contains("in use by `adprof stream, process "), "{}", busy.stderr);
    stream.close();
    assert_eq!(stream.end().0, 0);
    dir.adprof("rebuild --log log --store file:s -b localhost:1 -t topic").exits(2);
    dir.adprof("rebuild --log none --store file:s").exits(66);
    dir.adprof("rebuild --log - --store file:s").exits(2);
    dir.adprof("rebuild --log log --store redis://127.0.0.1:1").exits(69);
    dir.adprof("query --store file:s u1").ok();
    // Somebody's folder of that name is not ours to remove.
    dir.write("s.rebuild/notes", "mine");
    let foreign = dir.adprof("rebuild --log log --store file:s").exits(2);
    assert!(foreign.stderr.contains("s.rebuild: holds `notes`, which is not of a state"), "{}", foreign.stderr);
    assert_eq!(dir.read("s.rebuild/notes"), "mine");
}

#[test]
fn at_the_seam_to_kafka_nothing_is_lost_and_nothing_doubled() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let topic = kafka::create_topic(&broker, "rebuilt", 3);
    let kafka = format!("-b {broker} -t {topic}");
    let stream = format!("stream {kafka} -e --store file:s");
    // What was read; what is in Kafka and not read; what is in the log and not in Kafka.
    dir.adprof(&format!("collect --log log {kafka}")).stdin(events(0, 3000)).ok();
    dir.adprof(&stream).exits(0);
    dir.adprof(&format!("collect --log log {kafka}")).stdin(events(3000, 1500)).ok();
    dir.adprof("collect --log log").stdin(events(4500, 1000)).ok();
    damage(&dir, "s");
    let unnamed = dir.adprof("rebuild --log log --store file:s").exits(2);
    assert!(unnamed.stderr.contains("hint: name it: -b HOST:PORT -t TOPIC"), "{}", unnamed.stderr);
    dir.adprof(&format!("rebuild --log log --store file:s {kafka}")).exits(0);
    dir.adprof("verify --log log --store file:s --grace 0").exits(0);
    // The log's rest arrives, and something new.
    dir.adprof(&format!("collect --log log {kafka}")).stdin(events(5500, 700)).ok();
    let went_on = dir.adprof(&stream).exits(0);
    assert!(went_on.stderr.contains("700 events, 1,000 duplicates"), "{}", went_on.stderr);
    dir.adprof("verify --log log --store file:s --grace 0").exits(0);
    agrees_with_the_oracle(&dir, "file:s");
}

#[test]
fn killed_anywhere_it_can_be_run_again_and_readers_never_fail() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let topic = kafka::create_topic(&broker, "rebuild-killed", 2);
    let kafka = format!("-b {broker} -t {topic}");
    dir.adprof(&format!("collect --log log {kafka}")).stdin(events(0, 30_000)).ok();
    dir.adprof(&format!("stream {kafka} -e --store file:s")).exits(0);
    let patches = dir.adprof("batch --log log").ok();
    dir.adprof("sink file:s").stdin(patches).ok();
    damage(&dir, "s");
    let rebuild = format!("rebuild --log log --store file:s {kafka}");
    let mut random = Random(3);
    let mut ended = 0;
    for turn in 0..25 {
        let mut run = dir.start(&rebuild);
        run.close();
        kafka::pause(random.below(30 + 25 * turn));
        run.signal_if_there("KILL");
        ended += i32::from(run.end().0 == 0);
        let read = dir.adprof("query --store file:s u50").exits(0);
        assert!(read.stdout.contains("last_active_ts") && read.stdout.contains("ltv_total"), "{}", read.stdout);
    }
    assert!(ended < 25, "none was killed");
    dir.adprof(&rebuild).exits(0);
    assert_eq!(names(&dir), ["s"]);
    dir.adprof(&format!("collect --log log {kafka}")).stdin(events(30_000, 500)).ok();
    dir.adprof(&format!("stream {kafka} -e --store file:s")).exits(0);
    let right = dir.adprof("verify --log log --store file:s --grace 0 --tags clicks_1h_count,last_active_ts").exits(0);
    assert!(right.stderr.contains("97 keys"), "{}", right.stderr);
    agrees_with_the_oracle(&dir, "file:s");
}

#[test]
fn redis_is_published_anew_strangers_go_and_a_stale_writer_is_fenced() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = Dir::new();
    let topic = kafka::create_topic(&broker, "rebuilt-redis", 2);
    let (kafka, url) = (format!("-b {broker} -t {topic}"), server.url());
    dir.adprof(&format!("collect --log log {kafka}")).stdin(events(0, 3000)).ok();
    dir.adprof(&format!("stream {kafka} -e --store {url} --state st")).exits(0);
    let patches = dir.adprof("batch --log log").ok();
    dir.adprof(&format!("sink redis {url}")).stdin(patches).ok();
    let mut redis = server.client();
    for user in ["stranger", "u1"] {
        let name = format!("profile:{user}");
        let _: i64 = redis::cmd("HSET").arg(name).arg("clicks_1h_count").arg(999).query(&mut redis).expect("set");
    }
    damage(&dir, "st");
    let verify = format!("verify --log log --store {url} --state st --grace 0");
    dir.adprof(&verify).exits(1);
    // Somebody with another state thinks the profiles are his.
    let stale = dir.start(&format!("stream {kafka} --store {url} --state other"));
    wait_until("the other one publishes", Duration::from_secs(30), || {
        hget(&mut server.client(), "u1", "clicks_1h_count").is_none_or(|n| n != "999")
    });
    let done = dir.adprof(&format!("rebuild --log log --store {url} --state st {kafka}")).exits(0);
    assert!(done.stderr.contains("published "), "{}", done.stderr);
    let (code, words) = stale.end();
    assert_eq!(code, 75, "{words}");
    let strangers: i64 = redis::cmd("EXISTS").arg("profile:stranger").query(&mut redis).expect("answered");
    assert_eq!(strangers, 0);
    let ltv = |user: &str| hget(&mut server.client(), user, "ltv_total");
    assert!(ltv("u1").is_some(), "daily tags stay");
    dir.adprof(&format!("verify --log log --store {url} --state st")).exits(0);
    // The stream goes on from there.
    dir.adprof(&format!("collect --log log {kafka}")).stdin(events(3000, 400)).ok();
    let went_on = dir.adprof(&format!("stream {kafka} -e --store {url} --state st")).exits(0);
    assert!(went_on.stderr.contains("400 events;"), "{}", went_on.stderr);
    dir.adprof(&format!("verify --log log --store {url} --state st --tags {}", LIVE.join(","))).exits(0);
    let users: BTreeMap<String, ()> = (0..97).map(|i| (format!("u{i}"), ())).collect();
    let at = now();
    let Some(expected) = oracle(&dir, "log", at, &["last_click_category", "last_active_ts"]) else { return };
    let found = profiles(
        &query(&dir, &format!("--store {url}"), users.into_keys()),
        &["last_click_category", "last_active_ts"],
    );
    assert_same(&found, &expected);
}
