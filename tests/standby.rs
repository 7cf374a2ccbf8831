//! `adprof stream --standby` through real processes: one of two publishes, and when it is gone the other does.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use streams::*;
use support::{Dir, Running};

const SOON: Duration = Duration::from_secs(20);
const USERS: usize = 20;

/// Two streams of one topic into one Redis, each with a state of its own.
struct Pair {
    dir: Dir,
    server: Server,
    broker: String,
    topic: String,
    produced: usize,
}

impl Pair {
    fn new(name: &str) -> Option<Pair> {
        let (broker, server) = (kafka::broker()?, Server::start()?);
        let dir = Dir::new();
        dir.write("adprof.toml", "[[tag]]\ncode = \"clicks_total\"\nvalue = \"count(*)\"\n");
        let topic = kafka::create_topic(&broker, name, 2);
        Some(Pair { dir, server, broker, topic, produced: 0 })
    }

    fn start(&self, state: &str, flags: &str) -> Running {
        let (broker, topic, url) = (&self.broker, &self.topic, self.server.url());
        self.dir.start(&format!("stream -b {broker} -t {topic} --store {url} --state {state} {flags}"))
    }

    /// `rounds` clicks more of each user.
    fn click(&mut self, rounds: usize) {
        let event = |i: usize| (format!("u{}", i % USERS), click(&format!("e{i}"), &format!("u{}", i % USERS), now()));
        let events: Vec<_> = (self.produced..self.produced + rounds * USERS).map(event).collect();
        produce(&self.broker, &self.topic, &events);
        self.produced += rounds * USERS;
    }

    /// Waits until every user shows every click, and gives how long that took.
    fn whole(&self, limit: Duration) -> Duration {
        let (mut redis, each) = (self.server.client(), (self.produced / USERS) as u64);
        wait_until("every click shows", limit, || (0..USERS).all(|i| clicks(&mut redis, i) == each))
    }

    /// The name of the state that publishes now.
    fn writer(&self) -> Option<String> {
        let name = format!("adprof:token:{}", self.topic);
        let text: Option<String> = redis::cmd("GET").arg(name).query(&mut self.server.client()).expect("answered");
        let token: serde_json::Value = serde_json::from_str(&text?).expect("a token");
        Some(token["state"].as_str().expect("a name").to_string())
    }

    /// Waits until another than `before` publishes.
    fn other_writer(&self, before: &Option<String>) -> Duration {
        wait_until("another publishes", SOON, || self.writer() != *before)
    }
}

fn clicks(redis: &mut redis::Connection, user: usize) -> u64 {
    hget(redis, &format!("u{user}"), "clicks_total").map_or(0, |text| text.parse().expect("a count"))
}

fn wait_for_checkpoint(pair: &Pair, state: &str) {
    let all = pair.produced as u64;
    let state = pair.dir.file(state);
    wait_until("the other follows", SOON, || adprof::store::Embedded::exists(&state) && counts(&state)[0] == all);
}

#[test]
fn a_standby_is_silent_while_the_first_lives_and_takes_over_seconds_after_it_was_killed() {
    let Some(mut pair) = Pair::new("standby-killed") else { return };
    let first = pair.start("one", "");
    pair.click(5);
    pair.whole(SOON);
    let writer = pair.writer();
    let second = pair.start("two", "--standby 2s");
    pair.click(5);
    pair.whole(SOON);
    wait_for_checkpoint(&pair, "two");
    // Idle for longer than the span: the first gives signs of life.
    kafka::pause(3500);
    assert_eq!(pair.writer(), writer, "it took over from one that lives");
    first.signal("KILL");
    first.end();
    pair.click(5);
    let silence = pair.other_writer(&writer);
    assert!(silence < Duration::from_secs(5), "{silence:?}");
    pair.whole(SOON);
    second.signal("TERM");
    let (code, words) = second.end();
    assert!(code == 0 && words.contains("standing by: "), "{code}: {words}");
    assert!(words.contains("took the projection over from another state"), "{words}");
}

#[test]
fn one_that_stops_in_good_order_is_not_waited_for() {
    let Some(mut pair) = Pair::new("standby-left") else { return };
    let first = pair.start("one", "");
    pair.click(5);
    pair.whole(SOON);
    let writer = pair.writer();
    let _second = pair.start("two", "--standby 30s");
    wait_for_checkpoint(&pair, "two");
    first.signal("TERM");
    assert_eq!(first.end().0, 0);
    let silence = pair.other_writer(&writer);
    assert!(silence < Duration::from_secs(5), "{silence:?} of a span of 30 s");
    pair.click(5);
    pair.whole(SOON);
}

#[test]
fn a_zombie_finds_itself_fenced_when_it_wakes() {
    let Some(mut pair) = Pair::new("standby-zombie") else { return };
    let first = pair.start("one", "");
    pair.click(5);
    pair.whole(SOON);
    let writer = pair.writer();
    let _second = pair.start("two", "--standby 2s");
    wait_for_checkpoint(&pair, "two");
    first.signal("STOP");
    pair.click(50);
    pair.other_writer(&writer);
    pair.whole(SOON);
    let writer = pair.writer();
    first.signal("CONT");
    let (code, words) = first.end();
    assert_eq!(code, 75, "{words}");
    assert!(words.contains("another process has taken over the projection"), "{words}");
    assert_eq!(pair.writer(), writer);
    pair.click(5);
    pair.whole(SOON);
}

#[test]
fn two_that_stand_by_for_each_other_change_places_again_and_again_and_no_count_goes_back() {
    let Some(mut pair) = Pair::new("standby-turns") else { return };
    let streams = [pair.start("one", "--standby 2s"), pair.start("two", "--standby 2s")];
    pair.click(1);
    pair.whole(SOON);
    let over = AtomicBool::new(false);
    let mut changes = 0;
    std::thread::scope(|scope| {
        let (server, over) = (&pair.server, &over);
        let reader = scope.spawn(move || {
            let (mut redis, mut seen) = (server.client(), [0; USERS]);
            while !over.load(Ordering::Relaxed) {
                for (i, seen) in seen.iter_mut().enumerate() {
                    let count = clicks(&mut redis, i);
                    assert!(count >= *seen, "u{i} went back from {seen} to {count}");
                    *seen = count;
                }
            }
        });
        let mut produced = 1;
        let (broker, topic) = (&pair.broker, &pair.topic);
        let mut writer = pair.writer();
        for turn in 0..6 {
            // One of them is held still: the writer every other time, since they have changed places.
            streams[turn % 2].signal("STOP");
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(3500) {
                let event = |i: usize| {
                    let user = format!("u{}", i % USERS);
                    (user.clone(), click(&format!("e{i}"), &user, now()))
                };
                let events: Vec<_> = (produced * USERS..(produced + 5) * USERS).map(event).collect();
                self::produce(broker, topic, &events);
                produced += 5;
                kafka::pause(50);
            }
            streams[turn % 2].signal("CONT");
            let now = pair.writer();
            changes += usize::from(now != writer);
            writer = now;
        }
        let (mut redis, each) = (pair.server.client(), produced as u64);
        wait_until("every click shows", SOON, || (0..USERS).all(|i| clicks(&mut redis, i) == each));
        over.store(true, Ordering::Relaxed);
        reader.join().expect("no count went back");
    });
    assert!(changes >= 3, "{changes} changes of the writer in 6 turns");
    for stream in streams {
        stream.signal("TERM");
        let (code, words) = stream.end();
        assert_eq!(code, 0, "{words}");
    }
    let [one, two] = ["one", "two"].map(|state| counts(&pair.dir.file(state)));
    assert_eq!(one, two, "each has folded everything once");
}

#[test]
fn a_redis_that_lost_the_last_signs_of_life_has_lost_nothing() {
    let Some(mut pair) = Pair::new("standby-signs") else { return };
    let first = pair.start("one", "");
    pair.click(5);
    pair.whole(SOON);
    let name = format!("adprof:token:{}", pair.topic);
    let mut redis = pair.server.client();
    let mut get = || -> String { redis::cmd("GET").arg(&name).query(&mut redis).expect("answered") };
    let early = get();
    wait_until("signs of life", SOON, || get() != early);
    // What a restart from a file of a second ago brings back.
    let _: () = redis::cmd("SET").arg(&name).arg(&early).query(&mut pair.server.client()).expect("set");
    pair.click(5);
    pair.whole(SOON);
    kafka::pause(1500);
    first.signal("TERM");
    let (code, words) = first.end();
    assert!(code == 0 && !words.contains("lost"), "{code}: {words}");
}

#[test]
fn stopped_while_it_must_be_silent_it_keeps_what_redis_may_show() {
    let Some(mut pair) = Pair::new("standby-silent") else { return };
    pair.click(20_000);
    let name = format!("adprof:token:{}", pair.topic);
    let put = |batch: u64, reached: i64| {
        let token =
            format!(r#"{{"state":"another","round":1,"batch":{batch},"reached":{{"0":{reached},"1":{reached}}}}}"#);
        let _: () = redis::cmd("SET").arg(&name).arg(token).query(&mut pair.server.client()).expect("set");
    };
    put(7, 1_000_000);
    let mut redis = pair.server.client();
    let _: () = redis::cmd("CONFIG").arg("RESETSTAT").query(&mut redis).expect("answered");
    let stream = pair.start("one", "");
    wait_until("it has read the token", SOON, || {
        let told: String = redis::cmd("INFO").arg("commandstats").query(&mut redis).expect("answered");
        told.contains("cmdstat_get:")
    });
    // While it catches up the other one goes on.
    put(8, 2_000_000);
    wait_until("it claims", SOON, || pair.writer().as_deref() != Some("another"));
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    let text: String = redis::cmd("GET").arg(&name).query(&mut pair.server.client()).expect("answered");
    let token: serde_json::Value = serde_json::from_str(&text).expect("a token");
    assert_eq!(token["reached"], serde_json::json!({ "0": 2_000_000, "1": 2_000_000 }), "{text}");
}

#[test]
fn a_standby_for_an_embedded_store_is_refused() {
    let output = Dir::new().adprof("stream --store file:s --standby").exits(2);
    assert!(output.stderr.contains("--standby is for profiles in Redis"), "{}", output.stderr);
}
