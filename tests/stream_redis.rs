//! `adprof stream` into Redis, through real processes: every profile gets there, none goes back, whatever is killed.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use streams::*;
use support::{Dir, Running};

const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks_total"
value = "count(*)"
[[tag]]
code = "last_active_ts"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "last_item"
value = "last(itemId)"
[[tag]]
code = "clicks_years"
value = "count(*)"
window = "7300d"
[[tag]]
code = "clicks_1h"
value = "count(*)"
window = "1h"
"#;

const SOON: Duration = Duration::from_secs(15);

fn folder() -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    dir
}

/// `n` clicks of 20 users, with ids from `from` on.
fn clicks(from: usize, n: usize) -> Vec<(String, String)> {
    let event = |i: usize| (format!("u{}", i % 20), click(&format!("e{i}"), &format!("u{}", i % 20), now()));
    (from..from + n).map(event).collect()
}

fn total(redis: &mut redis::Connection, user: &str) -> u64 {
    hget(redis, user, "clicks_total").map_or(0, |text| text.parse().expect("a count"))
}

/// Whether each of the 20 users shows `each` clicks.
fn all_show(redis: &mut redis::Connection, each: u64) -> bool {
    (0..20).all(|i| total(redis, &format!("u{i}")) == each)
}

/// Every profile in Redis, in the form of the fold.
fn everything(url: &str, users: impl Iterator<Item = String>) -> BTreeMap<String, Value> {
    let (mut redis, users) = (client(url), users.collect::<Vec<_>>());
    let mut found = BTreeMap::new();
    for part in users.chunks(1000) {
        let mut pipe = redis::pipe();
        for user in part {
            pipe.cmd("HGETALL").arg(format!("profile:{user}"));
        }
        let answers: Vec<BTreeMap<String, String>> = pipe.query(&mut redis).expect("answered");
        for (user, fields) in part.iter().zip(answers) {
            let tags: Map<String, Value> = fields.into_iter().map(|(code, text)| (code, text.into())).collect();
            found.insert(user.clone(), Value::Object(tags));
        }
    }
    found
}

fn fold(dir: &Dir, file: &str) -> Option<BTreeMap<String, Value>> {
    let script = support::project().join("tests/streams/fold.py");
    let output = Command::new("python3").arg("-B").arg(script).arg(now().to_string()).arg(dir.file(file)).output();
    let Ok(output) = output else {
        support::skipped("no python3");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tags = ["clicks_total", "last_active_ts", "last_item", "clicks_years", "clicks_1h"];
    Some(profiles(&String::from_utf8_lossy(&output.stdout), &tags))
}

#[test]
fn two_streams_of_two_partitions_each_give_the_profiles_of_an_independent_fold() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let Some(data) = support::data("globo-clicks/events.ndjson.zst") else { return };
    let dir = folder();
    let Ok(plain) = Command::new("zstd").arg("-dcq").arg(data).output() else { return support::skipped("no zstd") };
    dir.write("events.ndjson", plain.stdout);
    let topic = kafka::create_topic(&broker, "globo", 4);
    produce(&broker, &topic, &keyed(&dir.read("events.ndjson")));
    let start = |partitions: &str| {
        let url = server.url();
        dir.start(&format!("stream -b {broker} -t {topic} -p {partitions} -e --store {url} --state s{partitions}"))
    };
    let streams = [start("0-1"), start("2-3")];
    for stream in streams {
        let (code, words) = stream.end();
        assert_eq!(code, 0, "{words}");
        assert!(!words.contains("not keyed"), "{words}");
    }
    let (one, two) = (counts(&dir.file("s0-1")), counts(&dir.file("s2-3")));
    assert_eq!(one[0] + two[0], 200_000);
    let Some(expected) = fold(&dir, "events.ndjson") else { return };
    assert_same(&everything(&server.url(), expected.keys().cloned()), &expected);
}

#[test]
fn a_backlog_is_told_in_rounds_and_all_of_it_at_its_end() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "backlog", 2);
    produce(&broker, &topic, &clicks(0, 200_000));
    let began = Instant::now();
    let stream = dir.start(&format!("stream -b {broker} -t {topic} -e --store {} --state s", server.url()));
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    assert!(all_show(&mut server.client(), 10_000));
    // Two rounds and the end, and another round every ten seconds; told as they come it would be one for each batch.
    let rounds = 3 + began.elapsed().as_secs() / 10;
    let (told, _) = words.split_once(" patches").expect("it says how many");
    let told = told.rsplit(' ').next().expect("a number").replace(',', "").parse::<u64>().expect("a number");
    assert!((20..=20 * rounds).contains(&told), "{told} patches in {rounds} rounds: {words}");
}

#[test]
fn a_count_falls_in_redis_at_its_instant_while_nothing_comes() {
    let Some(server) = Server::start() else { return };
    let dir = Dir::new();
    dir.write("adprof.toml", "[[tag]]\ncode = \"clicks_3s\"\nvalue = \"count(*)\"\nwindow = \"3s\"\n");
    let mut stream = dir.start(&format!("stream --store {}", server.url()));
    let mut redis = server.client();
    let ts = now();
    stream.feed(click("a", "u1", ts) + "\n");
    wait_until("the click shows", SOON, || hget(&mut redis, "u1", "clicks_3s").as_deref() == Some("1"));
    let instant = ts - ts % 1000 + 3000;
    wait_until("the fall", SOON, || hget(&mut redis, "u1", "clicks_3s").as_deref() == Some("0"));
    let late = now() - instant;
    assert!((0..=300).contains(&late), "{late} ms after its instant");
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}

#[test]
fn killed_again_and_again_no_count_goes_back_and_all_get_there() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "back", 4);
    let command = format!("stream -b {broker} -t {topic} --store {}", server.url());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            for part in 0..40 {
                produce(&broker, &topic, &clicks(part * 1000, 1000));
                kafka::pause(100);
            }
        });
        let reader = scope.spawn(|| {
            let (mut redis, mut seen) = (server.client(), [0; 20]);
            while !over.load(Ordering::Relaxed) {
                for (i, seen) in seen.iter_mut().enumerate() {
                    let count = total(&mut redis, &format!("u{i}"));
                    assert!(count >= *seen, "u{i} went back from {seen} to {count}");
                    *seen = count;
                }
            }
        });
        let mut random = Random(11);
        for i in 0..10 {
            let stream = dir.start(&command);
            kafka::pause(150 + random.below(1500));
            let signal = if i % 4 == 3 { "TERM" } else { "KILL" };
            stream.signal(signal);
            let (code, words) = stream.end();
            assert!(code == 128 + 9 || signal == "TERM" && (code == 0 || code == 128 + 15), "{code}: {words}");
        }
        producer.join().expect("produced");
        let last = dir.adprof(&format!("{command} -e")).output();
        over.store(true, Ordering::Relaxed);
        assert_eq!(last.code, 0, "{}", last.stderr);
        reader.join().expect("no count went back");
    });
    assert!(all_show(&mut server.client(), 2000));
    assert_eq!(counts(&dir.file("adprof-state")), [40_000, 40_000, 0, 0]);
}

#[test]
fn what_was_absorbed_but_not_published_at_a_crash_is_published_at_the_next_start() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "pending", 2);
    let command = format!("stream -b {broker} -t {topic} --store {}", server.url());
    let stream = dir.start(&command);
    let mut redis = server.client();
    produce(&broker, &topic, &clicks(0, 100));
    wait_until("published", SOON, || all_show(&mut redis, 5));
    // What waits here is gone with its connection.
    let _: () = redis::cmd("CLIENT").arg(&["PAUSE", "60000", "WRITE"]).query(&mut redis).expect("paused");
    produce(&broker, &topic, &clicks(100, 100));
    wait_until("a checkpoint", SOON, || counts(&dir.file("adprof-state"))[0] == 200);
    stream.signal("KILL");
    stream.end();
    let _: () = redis::cmd("CLIENT").arg("UNPAUSE").query(&mut redis).expect("goes on");
    assert!(all_show(&mut redis, 5), "nothing got there");
    // No new event: what the state owes to Redis is told all the same.
    dir.adprof(&format!("{command} -e")).exits(0);
    assert!(all_show(&mut redis, 10));
}

/// A stream that has published 5 clicks of each user.
fn published(dir: &Dir, broker: &str, topic: &str, server: &Server) -> Running {
    let stream = dir.start(&format!("stream -b {broker} -t {topic} --store {}", server.url()));
    produce(broker, topic, &clicks(0, 100));
    let mut redis = server.client();
    wait_until("published", SOON, || all_show(&mut redis, 5));
    stream
}

#[test]
fn a_redis_that_lost_its_data_is_told_everything_again_within_seconds() {
    let (Some(broker), Some(mut server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "lost", 2);
    let stream = published(&dir, &broker, &topic, &server);
    // While it is idle, and while it has something to say.
    for more in [0, 100] {
        let mut redis = server.client();
        let _: () = redis::cmd("FLUSHALL").query(&mut redis).expect("emptied");
        produce(&broker, &topic, &clicks(100, more));
        wait_until("all of it again", Duration::from_secs(5), || all_show(&mut redis, 5 + more as u64 / 20));
    }
    server.kill();
    kafka::pause(500);
    server.restart();
    let mut redis = server.client();
    wait_until("all of it again", Duration::from_secs(8), || all_show(&mut redis, 10));
    // While no stream runs.
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("redis has lost data: all profiles are published again"), "{words}");
    let _: () = redis::cmd("FLUSHALL").query(&mut redis).expect("emptied");
    dir.adprof(&format!("stream -b {broker} -t {topic} -e --store {}", server.url())).exits(0);
    assert!(all_show(&mut redis, 10));
}

#[test]
fn an_emptied_redis_gets_profiles_as_a_whole_and_one_that_stands_there_loses_what_is_no_more() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "bare", 2);
    let stream = published(&dir, &broker, &topic, &server);
    let mut redis = server.client();
    let mut tell = |command: &str| {
        let words: Vec<&str> = command.split(' ').collect();
        let _: redis::Value = redis::cmd(words[0]).arg(&words[1..]).query(&mut redis).expect("done");
    };
    tell("CONFIG RESETSTAT");
    tell("FLUSHALL");
    wait_until("all of it again", SOON, || all_show(&mut server.client(), 5));
    let stats = |server: &Server| -> String {
        redis::cmd("INFO").arg("commandstats").query(&mut server.client()).expect("answered")
    };
    // One try of the form, which is removed, and the profiles. No click has an item: there is nothing to remove.
    let told = stats(&server);
    assert!(told.contains("cmdstat_restore:calls=21,") && told.contains("cmdstat_hdel:calls=1,"), "{told}");
    assert!(!told.contains("cmdstat_hset:"), "{told}");
    // Only the token is lost: what stands there may be of any time, and what others have put there is theirs.
    tell("HSET profile:u7 last_item old mine theirs");
    tell(&format!("DEL adprof:token:{topic}"));
    wait_until("the old value gone", SOON, || hget(&mut server.client(), "u7", "last_item").is_none());
    assert_eq!(hget(&mut server.client(), "u7", "mine").as_deref(), Some("theirs"));
    // Without the right to it they are told as ever.
    tell("ACL SETUSER default -restore");
    tell("CONFIG RESETSTAT");
    tell("FLUSHALL");
    wait_until("all of it again", SOON, || all_show(&mut server.client(), 5));
    let told = stats(&server);
    assert!(told.contains("cmdstat_hset:") && !told.contains("cmdstat_restore:calls=2"), "{told}");
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}

#[test]
fn a_state_far_behind_redis_catches_up_in_silence() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "silence", 2);
    let stream = published(&dir, &broker, &topic, &server);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
    let copy = |from: &str, to: &str| {
        let status = Command::new("cp").args(["-a", from, to]).current_dir(dir.path()).status();
        assert!(status.expect("cp runs").success());
    };
    // An old checkpoint under a newer Redis: what a crash leaves behind, only more so.
    copy("adprof-state", "old");
    produce(&broker, &topic, &clicks(100, 150_000));
    let command = format!("stream -b {broker} -t {topic} -e --store {}", server.url());
    dir.adprof(&command).exits(0);
    assert!(all_show(&mut server.client(), 7505));
    std::fs::remove_dir_all(dir.file("adprof-state")).expect("removed");
    copy("old", "adprof-state");
    // With a tag more there is something to tell at once.
    let another = "[[tag]]\ncode = \"items\"\nvalue = \"count(DISTINCT itemId)\"\n";
    dir.write("adprof.toml", [DEFINITIONS, another].concat());
    let stream = dir.start(&command);
    let (mut redis, mut asked) = (server.client(), 0);
    while std::fs::exists(format!("/proc/{}/exe", stream.pid())).is_ok_and(|there| there) && asked < 1_000_000 {
        assert!(all_show(&mut redis, 7505), "a count went back");
        asked += 1;
    }
    let (code, words) = stream.end();
    assert!(code == 0 && !words.contains("lost"), "{code}: {words}");
    assert!(all_show(&mut redis, 7505));
}

#[test]
fn another_state_on_the_same_topic_takes_over_and_the_first_is_fenced_with_75() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "fence", 2);
    let first = published(&dir, &broker, &topic, &server);
    let second = dir.start(&format!("stream -b {broker} -t {topic} --store {} --state other", server.url()));
    // It learns of it though it has nothing to say.
    let (code, words) = first.end();
    assert_eq!(code, 75, "{words}");
    assert!(words.contains("another process has taken over the projection"), "{words}");
    produce(&broker, &topic, &clicks(100, 100));
    let mut redis = server.client();
    wait_until("the second publishes", SOON, || all_show(&mut redis, 10));
    second.signal("TERM");
    let (code, words) = second.end();
    assert!(code == 0 && words.contains("took the projection over from another state"), "{code}: {words}");
    // Back again: the first state has missed nothing.
    produce(&broker, &topic, &clicks(200, 100));
    dir.adprof(&format!("stream -b {broker} -t {topic} -e --store {}", server.url())).exits(0);
    assert!(all_show(&mut redis, 15));
}

#[test]
fn a_key_of_the_wrong_type_is_reported_once_and_the_others_flow() {
    let Some(server) = Server::start() else { return };
    let dir = folder();
    let mut redis = server.client();
    let _: () = redis::cmd("SET").arg("profile:u3").arg("mine").query(&mut redis).expect("set");
    let mut stream = dir.start(&format!("stream --store {}", server.url()));
    for round in 1..=3 {
        let lines: String = clicks(round * 20, 20).into_iter().map(|(_, line)| line + "\n").collect();
        stream.feed(lines);
        wait_until("the others", SOON, || {
            (0..20).filter(|i| *i != 3).all(|i| total(&mut redis, &format!("u{i}")) == round as u64)
        });
    }
    stream.close();
    let (code, words) = stream.end();
    assert_eq!((code, words.matches("redis refused a profile: `profile:u3`").count()), (0, 1), "{words}");
}

#[test]
fn a_redis_that_is_down_at_the_start_is_69_and_leaves_no_state() {
    let dir = folder();
    let output = dir.adprof("stream --store redis://127.0.0.1:1").exits(69);
    assert!(output.stderr.contains("hint: is Redis running there?"), "{}", output.stderr);
    assert!(!dir.file("adprof-state").exists());
}

#[test]
fn a_redis_that_stands_still_is_waited_for_and_memory_stays_flat() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "still", 2);
    let stream = published(&dir, &broker, &topic, &server);
    server.signal("STOP");
    let began = std::time::Instant::now();
    produce(&broker, &topic, &clicks(100, 50_000));
    kafka::pause(500);
    let before = stream.peak_memory();
    produce(&broker, &topic, &clicks(50_100, 50_000));
    // Longer than an answer is waited for, and all tries.
    kafka::pause(9000u64.saturating_sub(began.elapsed().as_millis() as u64));
    let grown = stream.peak_memory() - before;
    server.signal("CONT");
    let mut redis = server.client();
    wait_until("it goes on", SOON, || all_show(&mut redis, 5005));
    assert!(grown < 32 << 20, "{} MiB more", grown >> 20);
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert!(
        code == 0 && words.contains("redis cannot be reached, waiting for it") && words.contains("redis is back"),
        "{code}: {words}"
    );
}

#[test]
fn told_to_stop_while_redis_is_away_it_says_69_and_tells_it_the_rest_the_next_time() {
    let Some(mut server) = Server::start() else { return };
    let dir = folder();
    let mut stream = dir.start(&format!("stream --store {}", server.url()));
    let mut redis = server.client();
    let lines = |from| -> String { clicks(from, 20).into_iter().map(|(_, line)| line + "\n").collect() };
    stream.feed(lines(0));
    wait_until("published", SOON, || all_show(&mut redis, 1));
    server.kill();
    stream.feed(lines(20));
    wait_until("a checkpoint", SOON, || counts(&dir.file("adprof-state"))[0] == 40);
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert_eq!(code, 69, "{words}");
    server.restart();
    dir.adprof(&format!("stream --store {}", server.url())).exits(0);
    assert!(all_show(&mut server.client(), 2));
}
