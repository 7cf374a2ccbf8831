//! Tags of items, pairs, topics and metric rows through the real program, next to a fold in Python.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;
use streams::*;
use support::Dir;

const DEFINITIONS: &str = include_str!("entities/definitions.toml");
const ENTITIES: [&str; 6] = ["user", "item", "pair", "topic", "minute", "hour"];
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// The instant asked about: a full minute, so that panes end there.
const AT: i64 = 1_763_640_000_000;

/// By entity and parts, the tags that have a value.
type Profiles = BTreeMap<(String, Vec<String>), Map<String, Value>>;

fn folder() -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    dir
}

/// Random events of the five hours before `AT`, some of them twice, in no order; and some at the edges of what is remembered.
fn events(seed: u64, n: u64) -> String {
    let mut random = Random(seed);
    let edges = [2 * HOUR, 30 * MINUTE, 10 * MINUTE, 0].map(|span| AT - span);
    let mut lines: Vec<String> = Vec::new();
    for i in 0..n {
        let timestamp = match random.below(3) {
            0 => edges[random.below(4) as usize] - [0, 1, -1, 999, 1000, 1001, MINUTE][random.below(7) as usize],
            _ => AT - random.below(5 * HOUR as u64) as i64,
        };
        let kind = ["click", "view", "purchase"][random.below(3) as usize];
        let mut event = json!({
            "eventId": format!("e{i}"),
            "userId": format!("u{}", random.below(6)),
            "eventType": kind,
            "timestamp": timestamp,
        });
        if random.below(4) > 0 {
            event["itemId"] = format!("i{}", random.below(9)).into();
        }
        if random.below(4) > 0 {
            event["category"] = ["sports", "a:b", "50%", ""][random.below(4) as usize].into();
        }
        if random.below(2) > 0 {
            event["amount"] = random.below(100).into();
        }
        if random.below(3) > 0 {
            let all = [json!("a"), json!("b"), json!(7), json!("7"), json!(true), json!(null), json!(""), json!([1])];
            let tags: Vec<Value> = (0..random.below(5)).map(|_| all[random.below(8) as usize].clone()).collect();
            event["properties"] = json!({ "tags": tags });
        }
        lines.push(event.to_string());
        if random.below(5) == 0 {
            let again = lines[random.below(lines.len() as u64) as usize].clone();
            lines.push(again);
        }
    }
    for i in 0..lines.len() {
        let other = random.below(lines.len() as u64) as usize;
        lines.swap(i, other);
    }
    lines.join("\n") + "\n"
}

fn fold(dir: &Dir, as_of: i64) -> Option<Profiles> {
    let script = support::project().join("tests/entities/fold.py");
    let run =
        Command::new("python3").arg("-B").arg(script).arg(as_of.to_string()).arg(dir.file("events.ndjson")).output();
    let Ok(output) = run else {
        support::skipped("no python3");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let one = |line: &str| {
        let (entity, parts, tags) = serde_json::from_str(line).expect("three parts");
        ((entity, parts), tags)
    };
    Some(String::from_utf8_lossy(&output.stdout).lines().map(one).collect())
}

/// Patches put on one another.
fn profiles(lines: &str) -> Profiles {
    let mut all = Profiles::new();
    for line in lines.lines() {
        let patch: Value = serde_json::from_str(line).expect("a patch");
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        let key = match (&patch["userId"], &patch["key"]) {
            (Value::String(user), _) => ("user".to_string(), vec![user.clone()]),
            (_, Value::Array(parts)) => (text(&patch["entity"]), parts.iter().map(text).collect()),
            (_, key) => (text(&patch["entity"]), vec![text(key)]),
        };
        let profile = all.entry(key.clone()).or_default();
        for (code, value) in patch["tags"].as_object().expect("tags") {
            match value {
                Value::Null => drop(profile.remove(code)),
                value => drop(profile.insert(code.clone(), value.clone())),
            }
        }
        if profile.is_empty() {
            all.remove(&key);
        }
    }
    all
}

/// Says which keys differ, not hundreds of lines.
fn same(found: &Profiles, wanted: &Profiles, when: &str) {
    let mut keys = found.keys().chain(wanted.keys());
    let differ = keys.find(|key| found.get(*key) != wanted.get(*key));
    let of = |all: &Profiles| differ.and_then(|key| all.get(key).cloned());
    assert!(differ.is_none(), "{when}: {differ:?}: {:?} is not {:?}", of(found), of(wanted));
}

#[test]
fn the_filter_says_what_an_independent_fold_says_at_every_edge() {
    let dir = folder();
    for seed in 1..=3 {
        dir.write("events.ndjson", events(seed, 400));
        for as_of in [AT - 1, AT, AT + 1, AT + 30 * MINUTE - 1, AT + 30 * MINUTE, AT + 2 * HOUR - 1, AT + 2 * HOUR] {
            let Some(wanted) = fold(&dir, as_of) else { return };
            for emit in ["final", "each"] {
                let command = format!("stream --as-of {as_of} --emit {emit}");
                let told = dir.adprof(&command).stdin(dir.read("events.ndjson")).ok();
                same(&profiles(&told), &wanted, &format!("seed {seed}, {command}"));
            }
        }
        let (all, topics) = (fold(&dir, AT).expect("there"), fold(&dir, AT + 30 * MINUTE).expect("there"));
        let of = |all: &Profiles, entity: &str| all.keys().filter(|(name, _)| name == entity).count();
        assert!(ENTITIES.iter().all(|entity| of(&all, entity) > 0) && of(&topics, "topic") < of(&all, "topic"));
    }
}

#[test]
fn a_store_is_asked_by_entity_at_any_later_instant() {
    let dir = folder();
    let lines = events(7, 400);
    dir.write("events.ndjson", &lines);
    let store = "--store file:s";
    // In two runs: what the second one finds was written by the first.
    let half = lines.len() / 2 + lines[lines.len() / 2..].find('\n').expect("a line ends") + 1;
    for part in [&lines[..half], &lines[half..]] {
        dir.adprof(&format!("stream {store} --clock event")).stdin(part).ok();
    }
    for as_of in [AT + 1000, AT + 30 * MINUTE, AT + 2 * HOUR - 1, AT + 2 * HOUR + MINUTE] {
        let Some(wanted) = fold(&dir, as_of) else { return };
        let mut told = String::new();
        for entity in ENTITIES {
            told += &dir.adprof(&format!("export {store} --entity {entity} --format ndjson --as-of {as_of}")).ok();
        }
        same(&profiles(&told), &wanted, &format!("export as of {as_of}"));
        let popular = |tags: &Map<String, Value>| tags.get("item_users").is_some_and(|n| n.as_i64() >= Some(4));
        let size = dir
            .adprof_args([
                "segment",
                "size",
                "--store",
                "file:s",
                "--entity",
                "item",
                "--as-of",
                &as_of.to_string(),
                "--where",
                "item_users >= 4",
            ])
            .ok();
        assert_eq!(size.trim(), wanted.values().filter(|tags| popular(tags)).count().to_string());
    }
    let at = AT + 1000;
    let Some(wanted) = fold(&dir, at) else { return };
    // Keys as Redis writes them, and as arrays on standard input.
    let typed =
        dir.adprof(&format!("query {store} --as-of {at} --entity pair --format ndjson u1:a%3Ab u2:50%25 u9:x")).ok();
    let piped = dir.adprof(&format!("query {store} --as-of {at} --entity pair --format ndjson -"));
    let piped = piped.stdin("[\"u1\",\"a:b\"]\nu2:50%25\r\n[\"u9\",\"x\"]\n").ok();
    assert_eq!(typed, piped);
    let two = |user: &str, category: &str| ("pair".to_string(), vec![user.to_string(), category.to_string()]);
    let mut pairs = wanted.clone();
    pairs.retain(|key, _| *key == two("u1", "a:b") || *key == two("u2", "50%"));
    same(&profiles(&typed), &pairs, "query");
    assert_eq!(typed.lines().count(), 3);
    let members = dir
        .adprof_args([
            "segment",
            "members",
            "--store",
            "file:s",
            "--entity",
            "pair",
            "--as-of",
            &at.to_string(),
            "--where",
            "pair_events > 0",
        ])
        .ok();
    assert!(members.lines().any(|line| line == "u1:a%3Ab"), "{members}");
    let csv = dir.adprof(&format!("export {store} --entity topic --as-of {at}")).ok();
    assert_eq!(csv.lines().next(), Some("topic,topic_events"));
    // Store and log agree, tag by tag.
    for (entity, key, tag) in
        [("item", "i1", "item_stale"), ("topic", "7", "topic_events"), ("pair", "u1:a%3Ab", "pair_events")]
    {
        let command = format!("explain {store} --as-of {at} --entity {entity} --log events.ndjson --json {key} {tag}");
        let told: Value = serde_json::from_str(dir.adprof(&command).ok().trim()).expect("one line");
        let parts = if entity == "pair" { vec!["u1".into(), "a:b".into()] } else { vec![key.to_string()] };
        assert_eq!(told["value"], wanted[&(entity.to_string(), parts)][tag], "{command}: {told}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_reason() {
    let dir = folder();
    dir.adprof("stream --store file:s").stdin(click("e", "u", now()) + "\n").ok();
    for (command, code, why) in [
        (
            "query --store file:s --entity itm i1",
            2,
            "--entity: unknown entity: itm\nhint: there are user, item, pair, topic, minute, hour",
        ),
        (
            "query --store file:s --entity pair u1",
            2,
            "argument 1: not an id: a key of `pair` has 2 parts, joined by `:` (`%3A` for one inside): u1",
        ),
        ("query --store file:s --entity pair u1:", 2, "a key of `pair` has 2 parts"),
        (
            "query --store file:s --entity item --tags clicks i1",
            2,
            "`clicks` is of `user`, not of `item`\nhint: --entity user",
        ),
        ("explain --store file:s u1 item_users", 2, "`item_users` is of `item`, not of `user`\nhint: --entity item"),
        ("segment size --store file:s --where item_users>1", 2, "`item_users` is of `item`, not of `user`"),
        (
            "stream -b localhost:1 -t t -p 0",
            78,
            "adprof.toml:31:11: with -p `item_events_10m` would be wrong: events of one `item` are in every partition",
        ),
        ("compile --to duckdb --tags pair_events", 2, "`pair_events` is of `pair`, not of `user`\nhint: --entity pair"),
    ] {
        let output = dir.adprof(command).exits(code);
        assert!(output.stderr.contains(why), "{command}: {}", output.stderr);
    }
    // A pair is of one user, so that each partition has it whole: Kafka is not there, and that is all.
    let output = dir.adprof("stream -b localhost:1 -t t -p 0 --tags clicks,pair_events").output();
    assert_eq!(output.code, 69, "{}", output.stderr);
}

#[test]
fn a_dry_run_shows_each_entity() {
    let dir = folder();
    dir.write("events.ndjson", events(3, 200));
    let output = dir.adprof("check --sample events.ndjson --users 1").exits(0);
    let Some(wanted) = fold(&dir, AT + MINUTE).or(fold(&dir, AT)) else { return };
    let items = wanted.keys().filter(|(entity, _)| entity == "item").count();
    assert!(output.stderr.contains(&format!(", {items} keys of item, ")), "{}", output.stderr);
    assert_eq!(output.stdout.lines().count(), ENTITIES.len());
}

/// The tags of a HASH.
fn hash(redis: &mut redis::Connection, name: &str) -> BTreeMap<String, String> {
    redis::cmd("HGETALL").arg(name).query(redis).expect("answered")
}

fn names(redis: &mut redis::Connection, pattern: &str) -> Vec<String> {
    let mut names: Vec<String> = redis::cmd("KEYS").arg(pattern).query(redis).expect("answered");
    names.sort();
    names
}

#[test]
fn patches_of_entities_go_into_redis_under_their_prefix() {
    let Some(server) = Server::start() else { return };
    let dir = folder();
    dir.write("events.ndjson", events(5, 100));
    let patches = dir.adprof(&format!("stream --emit final --as-of {AT}")).stdin(dir.read("events.ndjson")).ok();
    dir.adprof(&format!("sink redis {}", server.url())).stdin(patches).ok();
    let Some(wanted) = fold(&dir, AT) else { return };
    let mut redis = server.client();
    for ((entity, parts), tags) in &wanted {
        let prefix = if entity == "user" {
            "profile"
        } else if entity == "item" {
            "i"
        } else {
            entity
        };
        let parts: Vec<String> = match &parts[..] {
            [only] => vec![only.clone()],
            several => several.iter().map(|part| part.replace('%', "%25").replace(':', "%3A")).collect(),
        };
        let found = hash(&mut redis, &format!("{prefix}:{}", parts.join(":")));
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_string);
        let tags: BTreeMap<String, String> = tags.iter().map(|(code, value)| (code.clone(), text(value))).collect();
        assert_eq!(found, tags, "{entity} {parts:?}");
    }
    assert_eq!(names(&mut redis, "*").len(), wanted.len());
    // And out again, by entity.
    let url = server.url();
    let mut told = String::new();
    for entity in ENTITIES {
        told += &dir.adprof(&format!("export --store {url} --entity {entity} --format ndjson")).ok();
    }
    same(&profiles(&told), &wanted, "export from Redis");
}

const FORGETFUL: &str = r#"
[[entity]]
name = "item"
key = "itemId"
prefix = "i"
retain = "4s"
[[entity]]
name = "minute"
key = ["category", "tumble(timestamp, '1m')"]
[[tag]]
code = "clicks"
value = "count(*)"
[[tag]]
code = "item_clicks"
entity = "item"
value = "count(*)"
[[tag]]
code = "minute_clicks"
entity = "minute"
value = "count(*)"
"#;

fn on_item(id: usize, item: &str, ts: i64) -> (String, String) {
    let user = format!("u{}", id % 7);
    let line = format!(
        r#"{{"eventId":"e{id}","userId":"{user}","eventType":"click","timestamp":{ts},"itemId":"{item}","category":"c"}}"#
    );
    (user, line)
}

#[test]
fn killed_again_and_again_every_key_gets_there_and_what_is_forgotten_leaves_redis() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = Dir::new();
    dir.write("adprof.toml", FORGETFUL);
    let topic = kafka::create_topic(&broker, "entities", 2);
    let command = format!("stream -b {broker} -t {topic} --store {}", server.url());
    let mut redis = server.client();
    // A HASH that no state knows: nothing that is forgotten may stay behind, whoever left it there.
    let _: () = redis::cmd("HSET").arg("i:stale").arg("item_clicks").arg(3).query(&mut redis).expect("set");
    let minute = |ts: i64| format!("minute:c:{}", ts / MINUTE * MINUTE);
    let mut minutes: BTreeMap<String, usize> = BTreeMap::new();
    let mut random = Random(5);
    for round in 0..8 {
        let stream = dir.start(&command);
        for part in 0..4 {
            let ts = now();
            let messages: Vec<_> =
                (0..50).map(|i| on_item(round * 200 + part * 50 + i, &format!("n{round}"), ts)).collect();
            *minutes.entry(minute(ts)).or_default() += messages.len();
            produce(&broker, &topic, &messages);
            kafka::pause(random.below(300));
        }
        kafka::pause(random.below(1500));
        stream.signal("KILL");
        stream.end();
    }
    let last = now();
    dir.adprof(&format!("{command} -e")).exits(0);
    for (name, count) in &minutes {
        assert_eq!(hash(&mut redis, name)["minute_clicks"], count.to_string(), "{name}");
    }
    let users: usize =
        (0..7).map(|i| hget(&mut redis, &format!("u{i}"), "clicks").map_or(0, |n| n.parse().expect("a count"))).sum();
    assert_eq!(users, 1600);
    // Nobody ran when the last items were forgotten.
    kafka::pause(4500u64.saturating_sub((now() - last) as u64));
    dir.adprof(&format!("{command} -e")).exits(0);
    assert_eq!(names(&mut redis, "i:*"), [""; 0]);
    let items = dir.adprof("export --store file:adprof-state --entity item --format ndjson").ok();
    assert_eq!(items, "");
    let store = adprof::store::Embedded::open_existing(&dir.file("adprof-state")).expect("a store");
    let kept = store.scan_all().map(|entry| entry.expect("whole").key.entity().to_string());
    assert!(!kept.collect::<Vec<_>>().contains(&"item".to_string()), "the state itself is forgotten");
}

#[test]
fn a_key_leaves_redis_at_its_instant_while_nothing_comes() {
    let Some(server) = Server::start() else { return };
    let dir = Dir::new();
    dir.write("adprof.toml", FORGETFUL);
    let mut stream = dir.start(&format!("stream --store {}", server.url()));
    let mut redis = server.client();
    let ts = now();
    stream.feed(on_item(1, "x", ts).1 + "\n");
    let soon = Duration::from_secs(15);
    wait_until("the click shows", soon, || !hash(&mut redis, "i:x").is_empty());
    wait_until("it is forgotten", soon, || names(&mut redis, "i:*").is_empty());
    let late = now() - (ts - ts % 1000 + 4000);
    assert!((0..=1500).contains(&late), "{late} ms after its instant");
    // An event that comes too late brings nothing back.
    stream.feed(on_item(2, "x", ts).1 + "\n");
    wait_until("it is absorbed", soon, || hash(&mut redis, "profile:u2").contains_key("clicks"));
    assert_eq!(names(&mut redis, "i:*"), [""; 0]);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}
