//! `adprof verify`, through the real program: each cause is made to happen and found, and nothing else ever is.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;
#[path = "verify/entities.rs"]
mod entities;
#[path = "verify/live.rs"]
mod live;

use adprof::key::Key;
use adprof::store::Embedded;
use adprof::store::embedded::Changes;
use serde_json::Value;
use std::collections::BTreeMap;
use streams::*;
use support::{Dir, Output};

const HOUR: i64 = 3_600_000;

/// An event as `collect` writes it, received when it happened.
fn event(id: &str, user: &str, at: i64, kind: &str, amount: Option<&str>) -> String {
    let amount = amount.map(|amount| format!(",\"amount\":{amount}")).unwrap_or_default();
    format!(
        "{{\"eventId\":\"{id}\",\"userId\":\"{user}\",\"eventType\":\"{kind}\",\"timestamp\":{at},\"category\":\"c-{id}\"{amount},\"receivedAt\":{at}}}\n"
    )
}

/// Many users with clicks and purchases, all of them well in the past of `end`.
fn history(users: usize, end: i64) -> String {
    let mut random = Random(11);
    let mut events: Vec<(i64, String)> = Vec::new();
    for user in 0..users {
        for n in 0..3 + random.below(12) {
            let at = end - 10 * 60_000 - random.below(40 * HOUR as u64) as i64;
            let (kind, amount) = match random.below(3) {
                0 => ("purchase", Some(format!("{}.{}", 1 + random.below(90), 1 + random.below(9)))),
                _ => ("click", None),
            };
            events.push((at, event(&format!("e{user}-{n}"), &format!("u{user}"), at, kind, amount.as_deref())));
        }
    }
    events.sort();
    events.into_iter().map(|(_, line)| line).collect()
}

/// The differences of a run, by key and tag.
fn differences(output: &Output) -> BTreeMap<(String, String), Value> {
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a difference");
        let text = |name: &str| value[name].as_str().unwrap_or("").to_string();
        ((text("userId"), text("tag")), value)
    };
    output.stdout.lines().map(line).collect()
}

/// The causes of a run, by key and tag: `u1 clicks_1h_count: late`.
fn causes(output: &Output) -> Vec<String> {
    let found = differences(output);
    found.iter().map(|((user, tag), d)| format!("{user} {tag}: {}", d["cause"].as_str().expect("a cause"))).collect()
}

#[test]
fn a_redis_that_a_night_filled_is_right_and_each_fault_in_it_is_found() {
    let Some(server) = Server::start() else { return };
    let dir = Dir::new();
    let now = now();
    dir.write("log", history(300, now));
    let url = server.url();
    let patches = dir.adprof(&format!("batch --log log --tags all --as-of {now}")).ok();
    dir.adprof(&format!("sink redis {url}")).stdin(patches).ok();
    let verify = format!("verify --log log --store {url} --as-of {now}");
    let right = dir.adprof(&verify).exits(0);
    assert!(right.stderr.contains("300 keys, ") && right.stderr.contains(": no difference"), "{}", right.stderr);

    let mut redis = server.client();
    let hset = |redis: &mut redis::Connection, user: &str, tag: &str, value: &str| {
        let _: i64 = redis::cmd("HSET").arg(format!("profile:{user}")).arg(tag).arg(value).query(redis).expect("set");
    };
    let spent = |user: &str| {
        let amounts = dir.read("log");
        let of_user = amounts.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
        let micros = |v: &Value| (v["amount"].as_f64().unwrap_or(0.0) * 10.0).round() as i64;
        of_user.filter(|v| v["userId"] == user).map(|v| micros(&v)).collect::<Vec<i64>>()
    };
    let decimal = |tenths: i64| match tenths % 10 {
        0 => format!("{}", tenths / 10),
        rest => format!("{}.{rest}", tenths / 10),
    };
    // Who has bought several times for different money: so no other event explains a difference.
    let buyer = |from: usize| {
        (from..300).map(|i| format!("u{i}")).find(|user| {
            let mut amounts: Vec<i64> = spent(user).into_iter().filter(|a| *a > 0).collect();
            let n = amounts.len();
            amounts.dedup();
            n > 2 && amounts.len() == n
        })
    };
    let (lost, doubled) = (buyer(10).expect("one"), buyer(150).expect("another"));
    let (all, twice) = (spent(&lost), spent(&doubled));
    let middle = |of: &[i64]| *of.iter().filter(|a| **a > 0).nth(1).expect("several");
    hset(&mut redis, &lost, "ltv_total", &decimal(all.iter().sum::<i64>() - middle(&all)));
    hset(&mut redis, &doubled, "ltv_total", &decimal(twice.iter().sum::<i64>() + middle(&twice)));
    hset(&mut redis, "u1", "ltv_total", "0.000001");
    hset(&mut redis, "nobody", "clicks_1h_count", "3");
    let _: i64 = redis::cmd("DEL").arg("profile:u2").query(&mut redis).expect("deleted");
    let _: () = redis::cmd("SET").arg("profile:u3").arg("x").query(&mut redis).map(|_: Value3| ()).unwrap_or(());
    let found = dir.adprof(&verify).exits(1);
    let mut want = vec![
        "nobody : extra".to_string(),
        "u1 ltv_total: wrong".into(),
        "u2 : missing".into(),
        "u3 : wrong".into(),
        format!("{lost} ltv_total: lost"),
        format!("{doubled} ltv_total: doubled"),
    ];
    want.sort();
    let mut causes = causes(&found);
    causes.sort();
    assert_eq!(causes, want, "{}", found.stdout);
    assert!(
        found.stderr.ends_with("6 differences: 1 lost, 1 doubled, 1 missing, 1 extra, 2 wrong\n"),
        "{}",
        found.stderr
    );
    // Sums of an adder of another kind.
    let found = differences(&found);
    assert_eq!(found[&(lost.clone(), "ltv_total".into())]["log"].to_string(), decimal(all.iter().sum()));
    assert_eq!(found[&(doubled.clone(), "ltv_total".into())]["log"].to_string(), decimal(twice.iter().sum()));
}

/// Whatever SET over a hash answers.
type Value3 = redis::Value;

#[test]
fn what_the_log_says_is_what_the_plain_oracle_says() {
    let Some(server) = Server::start() else { return };
    let dir = Dir::new();
    let now = now();
    dir.write("log", history(200, now));
    let url = server.url();
    let tags = ["clicks_1h_count", "last_click_category", "last_active_ts", "ltv_total"];
    let Some(oracle) = oracle(&dir, "log", now, &tags) else { return };
    let mut redis = server.client();
    for user in oracle.keys() {
        for tag in tags {
            let name = format!("profile:{user}");
            let _: i64 = redis::cmd("HSET").arg(name).arg(tag).arg("-7").query(&mut redis).expect("set");
        }
    }
    let found = differences(&dir.adprof(&format!("verify --log log --store {url} --as-of {now}")).exits(1));
    let mut told: BTreeMap<String, Value> = BTreeMap::new();
    for ((user, tag), difference) in &found {
        let tags = told.entry(user.clone()).or_insert_with(|| serde_json::json!({}));
        if !difference["log"].is_null() {
            tags[tag] = difference["log"].clone();
        }
    }
    assert_same(&told, &oracle);
}

#[test]
fn time_that_passes_with_no_stream_is_stale_and_events_that_nobody_read_are_late() {
    let Some(server) = Server::start() else { return };
    let dir = Dir::new();
    let now = now();
    let t0 = now - 5 * HOUR;
    let mut log = event("a", "fresh", t0, "click", None) + &event("b", "other", t0 + 1000, "click", None);
    dir.write("log", &log);
    let url = server.url();
    let patches = dir.adprof(&format!("batch --log log --tags all --as-of {}", t0 + 2000)).ok();
    dir.adprof(&format!("sink redis {url}")).stdin(patches).ok();
    dir.adprof(&format!("verify --log log --store {url} --as-of {}", t0 + 2000)).exits(0);
    dir.adprof(&format!("verify --log log --store {url} --as-of {}", t0 + HOUR - 1)).exits(0);
    let found = dir.adprof(&format!("verify --log log --store {url} --as-of {}", t0 + 2 * HOUR)).exits(1);
    assert_eq!(causes(&found), ["fresh clicks_1h_count: stale", "other clicks_1h_count: stale"]);
    let why = &differences(&found)[&("fresh".to_string(), "clicks_1h_count".to_string())]["why"];
    assert!(why.as_str().is_some_and(|why| why.contains("since then time alone has changed it")), "{why}");

    log += &event("c", "other", t0 + 3000, "click", None);
    dir.write("log", &log);
    let found = dir.adprof(&format!("verify --log log --store {url} --as-of {}", t0 + 120_000)).exits(1);
    let want = ["clicks_1h_count", "last_active_ts", "last_click_category"].map(|tag| format!("other {tag}: late"));
    assert_eq!(causes(&found), want, "{}", found.stdout);
    // A minute is granted; an event that came just now counts against nobody.
    dir.adprof(&format!("verify --log log --store {url} --as-of {}", t0 + 30_000)).exits(0);
    dir.adprof(&format!("verify --log log --store {url} --as-of {} --grace 0", t0 + 30_000)).exits(1);
}

/// What stands in the state of a store, to be put back later.
fn state_of(dir: &Dir, user: &str) -> Option<Vec<u8>> {
    Embedded::open_existing(&dir.file("s")).expect("a store").state(&Key::user("", user)).expect("read")
}

fn put_state(dir: &Dir, user: &str, state: Option<Vec<u8>>, forget: &[String]) {
    let store = Embedded::open_existing(&dir.file("s")).expect("a store");
    let at = store.stats().expect("stats").committed_at.expect("a commit");
    let mut owner = store.begin_owner("a test").expect("free");
    let ids: Vec<(&str, Option<&[u8]>)> = forget.iter().map(|name| (name.as_str(), None)).collect();
    owner.commit(Changes { at, states: [(Key::user("", user), state)], meta: &[], ids: &ids }).expect("written");
}

#[test]
fn an_embedded_store_that_lost_or_doubled_events_is_told_so() {
    let dir = Dir::new();
    let now = now();
    let log = history(100, now);
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let (first, rest) = lines.split_at(lines.len() / 2);
    dir.adprof("stream --store file:s").stdin(first.concat()).exits(0);
    let before: Vec<(String, Option<Vec<u8>>)> =
        (0..100).map(|i| (format!("u{i}"), state_of(&dir, &format!("u{i}")))).collect();
    dir.adprof("stream --store file:s").stdin(rest.concat()).exits(0);
    dir.write("log", &log);
    let right = dir.adprof("verify --log log --store file:s --grace 0").exits(0);
    assert!(right.stderr.contains("100 keys, "), "{}", right.stderr);

    // The state goes back for one user while it remembers having read on: that is a loss.
    let (user, old) = before.iter().find(|(user, old)| old.is_some() && *old != state_of(&dir, user)).expect("one");
    let good = state_of(&dir, user);
    put_state(&dir, user, old.clone(), &[]);
    let found = dir.adprof("verify --log log --store file:s --grace 0").exits(1);
    let found = differences(&found);
    assert!(!found.is_empty() && found.iter().all(|((who, _), d)| who == user && d["cause"] == "lost"), "{found:?}");
    put_state(&dir, user, None, &[]);
    assert_eq!(
        causes(&dir.adprof("verify --log log --store file:s --grace 0").exits(1)),
        [format!("{user} : missing")]
    );
    put_state(&dir, user, good, &[]);
    dir.adprof("verify --log log --store file:s --grace 0").exits(0);

    // Its ids are gone, and the same lines come once more.
    let store = Embedded::open_existing(&dir.file("s")).expect("a store");
    let names = store.snapshot().expect("a snapshot").ids_names().expect("names");
    put_state(&dir, "nobody", None, &names);
    let again: String =
        lines.iter().filter(|line| line.contains("click") && line.contains("\"u7\"")).copied().collect();
    let recent: String = again.lines().map(|line| renewed(line, now) + "\n").collect();
    let log = log + &recent;
    dir.write("log", &log);
    dir.adprof("stream --store file:s").stdin(recent.clone()).exits(0);
    dir.adprof("verify --log log --store file:s --grace 0").exits(0);
    let names = store.snapshot().expect("a snapshot").ids_names().expect("names");
    put_state(&dir, "nobody", None, &names);
    dir.adprof("stream --store file:s").stdin(recent).exits(0);
    let found = dir.adprof("verify --log log --store file:s --grace 0").exits(1);
    assert_eq!(causes(&found), ["u7 clicks_1h_count: doubled"], "{}", found.stdout);
}

/// The same event with a new id, a minute ago.
fn renewed(line: &str, now: i64) -> String {
    let mut value: Value = serde_json::from_str(line).expect("an event");
    value["eventId"] = format!("{}-again", value["eventId"].as_str().expect("an id")).into();
    value["timestamp"] = (now - 60_000).into();
    value["receivedAt"] = (now - 60_000).into();
    value.to_string()
}

#[test]
fn events_behind_the_state_are_on_their_way_for_a_while_and_late_then() {
    let dir = Dir::new();
    let now = now();
    let log = history(50, now);
    dir.adprof("stream --store file:s").stdin(log.clone()).exits(0);
    dir.write("log", log + &event("new", "u1", now - 3000, "click", None));
    let right = dir.adprof("verify --log log --store file:s").exits(0);
    assert!(right.stderr.contains("; of 1 keys events are on their way: no difference"), "{}", right.stderr);
    let found = dir.adprof("verify --log log --store file:s --grace 1s").exits(1);
    let want = ["clicks_1h_count", "last_active_ts", "last_click_category"].map(|tag| format!("u1 {tag}: late"));
    assert_eq!(causes(&found), want, "{}", found.stdout);
}

#[test]
fn a_tag_under_another_definition_is_told_once() {
    let dir = Dir::new();
    let now = now();
    dir.write("log", history(20, now));
    let file = |window: &str| {
        format!(
            "[[tag]]\ncode = \"clicks\"\nvalue = \"count(*)\"\nwindow = \"{window}\"\n[[tag]]\ncode = \"seen\"\nvalue = \"max(timestamp)\"\n"
        )
    };
    dir.write("old.toml", file("1d"));
    dir.write("new.toml", file("2d"));
    dir.adprof("stream -d old.toml --store file:s").stdin(dir.read("log")).exits(0);
    dir.adprof("verify -d old.toml --log log --store file:s").exits(0);
    // Without a file the definitions are those of the state.
    dir.adprof("verify --log log --store file:s").exits(0);
    let found = dir.adprof("verify -d new.toml --log log --store file:s").exits(1);
    assert_eq!(causes(&found), [" clicks: other definition"], "{}", found.stdout);
    assert!(found.stdout.contains("the state counts `clicks` under fingerprint "), "{}", found.stdout);
}

#[test]
fn a_sample_is_the_same_each_time_and_finds_what_is_in_it() {
    let dir = Dir::new();
    let now = now();
    let log = history(400, now);
    dir.write("log", &log);
    dir.adprof("stream --store file:s").stdin(log.clone()).exits(0);
    let all: String =
        (0..400).map(|i| event(&format!("x{i}"), &format!("u{i}"), now - 600_000, "click", None)).collect();
    dir.write("log", log + &all);
    let sample = |seed: u32| {
        let found = dir.adprof(&format!("verify --log log --store file:s --sample 25 --seed {seed}")).exits(1);
        assert!(found.stderr.contains("25 keys, "), "{}", found.stderr);
        let users: std::collections::BTreeSet<String> = differences(&found).into_keys().map(|(user, _)| user).collect();
        assert_eq!(users.len(), 25);
        users
    };
    assert_eq!(sample(1), sample(1));
    assert_ne!(sample(1), sample(2));
    let few = dir.adprof("verify --log log --store file:s --examine 3").exits(1);
    assert!(few.stderr.contains("; 397 keys more that seem to differ were not looked into"), "{}", few.stderr);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let dir = Dir::new();
    dir.write("log", history(3, now()));
    assert!(dir.adprof("verify --log log --store file:none").exits(66).stderr.contains("no store there"));
    dir.adprof("stream --store file:s").stdin(dir.read("log")).exits(0);
    dir.adprof("verify --log none --store file:s").exits(66);
    dir.adprof("verify --log - --store file:s").exits(2);
    dir.adprof("verify --log log --store file:s --entity item").exits(2);
    dir.adprof("verify --log log --store file:s --state s").exits(2);
    let past = dir.adprof("verify --log log --store file:s --as-of 2020-01-01").exits(2);
    assert!(past.stderr.contains("the state has gone on to "), "{}", past.stderr);
    dir.adprof("verify --log log --store redis://127.0.0.1:1").exits(69);
}
