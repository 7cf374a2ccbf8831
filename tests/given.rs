//! A derived tag over tags of every kind, live, daily and imported, through whole programs: whatever way patches take, and
//! whatever is killed, it is what an independent fold of events and patches says.

#[path = "given/entities.rs"]
mod entities;
#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;
use streams::*;
use support::Dir;

const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks_1h"
value = "count(*)"
window = "1h"
[[tag]]
code = "ltv"
value = "sum(amount)"
update = "daily"
[[tag]]
code = "credit"
type = "int"
update = "import"
[[tag]]
code = "mood"
value = "CASE WHEN ltv > 99 AND clicks_1h > 0 THEN 'vip now' WHEN ltv > 99 THEN 'vip' WHEN credit > 5 THEN 'trusted' ELSE 'guest' END"
[[tag]]
code = "tier"
value = "CASE WHEN credit > 5 AND ltv > 0 THEN 'gold' ELSE 'none' END"
update = "daily"
"#;

const SOON: Duration = Duration::from_secs(20);
const LIVE: [&str; 2] = ["mood", "clicks_1h"];

fn folder() -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    dir
}

fn event(id: usize, user: usize, ts: i64, amount: Option<u64>) -> String {
    let amount = amount.map_or(String::new(), |amount| format!(",\"amount\":{amount}.25"));
    format!("{{\"eventId\":\"e{id}\",\"userId\":\"u{user}\",\"eventType\":\"click\",\"timestamp\":{ts}{amount}}}\n")
}

fn patch(user: usize, as_of: i64, code: &str, value: Option<u64>) -> String {
    let value = value.map_or("null".to_string(), |value| value.to_string());
    format!("{{\"userId\":\"u{user}\",\"asOf\":{as_of},\"tags\":{{\"{code}\":{value}}}}}\n")
}

/// Events of the last two hours of users 0 to 39, and patches of users 10 to 59, in a random order.
fn mixed(n: usize, seed: u64) -> Vec<String> {
    let (mut random, now) = (Random(seed), now());
    let line = |i: usize| {
        let (back, amount) = (random.below(7_200_000) as i64, random.below(90));
        if random.below(3) > 0 {
            return event(i, random.below(40) as usize, now - back, (amount > 30).then_some(amount));
        }
        let code = if random.below(2) == 0 { "ltv" } else { "credit" };
        // One instant for each, so that no order decides.
        let value = if code == "ltv" { amount * 2 } else { amount / 6 };
        let value = (random.below(6) > 0).then_some(value);
        patch(10 + random.below(50) as usize, now - 10_000_000 + i as i64, code, value)
    };
    (0..n).map(line).collect()
}

/// What the independent fold says; `None` where there is no Python.
fn fold(dir: &Dir, as_of: i64, path: &str, files: &[&str]) -> Option<BTreeMap<String, Value>> {
    let script = support::project().join("tests/streams/given.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).args([&as_of.to_string(), path]).args(files.iter().map(|file| dir.file(file)));
    let Ok(output) = command.output() else {
        support::skipped("no python3");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(profiles(&String::from_utf8_lossy(&output.stdout), &["mood", "clicks_1h", "tier"]))
}

/// The same lines in files of their own: events, patches.
fn apart(dir: &Dir, lines: &[String]) {
    let is_event = |line: &&String| line.contains("eventId");
    dir.write("events.ndjson", lines.iter().filter(is_event).cloned().collect::<String>());
    dir.write("patches.ndjson", lines.iter().filter(|line| !is_event(line)).cloned().collect::<String>());
}

fn mood(redis: &mut redis::Connection, user: &str) -> Option<String> {
    hget(redis, user, "mood")
}

#[test]
fn a_filter_a_store_a_query_and_a_batch_with_imports_agree_with_the_fold() {
    let dir = folder();
    let lines = mixed(3000, 11);
    apart(&dir, &lines);
    let as_of = now() + 600_000;
    let Some(live) = fold(&dir, as_of, "live", &["events.ndjson", "patches.ndjson"]) else { return };
    let told = dir.adprof(&format!("stream --emit final --as-of {as_of}")).stdin(lines.concat()).ok();
    assert_same(&profiles(&told, &LIVE), &live);

    // Into a store: what came between the events is there for every other command.
    let output = dir.adprof("stream --store file:s").stdin(lines.concat()).exits(0);
    let patches = lines.iter().filter(|line| line.contains("asOf")).count();
    let events = lines.len() - patches;
    let words = format!("{events} events {patches} patches taken in; ");
    assert!(output.stderr.replace(',', "").contains(&words), "{words}: {}", output.stderr);
    let all = query(&dir, &format!("--store file:s --as-of {as_of}"), live.keys().cloned());
    assert_same(&profiles(&all, &LIVE), &live);
    let ledger = counts(&dir.file("s"));
    assert_eq!((ledger[0], ledger[1], ledger[3]), (lines.len() as u64, events as u64, 0));
    let vips = |tags: &Value| tags["mood"] == "vip";
    let segment = dir.adprof(&format!("segment members --store file:s --as-of {as_of} --where mood='vip'")).ok();
    assert_eq!(segment.lines().count(), live.values().filter(|tags| vips(tags)).count());

    // The nightly run computes `ltv` itself; the imports come from files, packed too, in any order.
    let Some(log) = fold(&dir, as_of, "log", &["events.ndjson", "patches.ndjson"]) else { return };
    let imports: Vec<&String> = lines.iter().filter(|line| line.contains("credit")).collect();
    dir.write("one.ndjson", imports.iter().rev().step_by(2).map(|line| line.as_str()).collect::<String>());
    dir.write("two.ndjson", imports.iter().rev().skip(1).step_by(2).map(|line| line.as_str()).collect::<String>());
    assert!(Command::new("gzip").arg(dir.file("two.ndjson")).status().expect("gzip").success());
    let batch = format!("batch --log events.ndjson --tags mood,clicks_1h,tier --as-of {as_of}");
    let told = dir.adprof(&format!("{batch} --imports one.ndjson --imports two.ndjson.gz")).ok();
    // A user of whom only `ltv` was given has no event and no import: the log knows nothing of her.
    assert_same(&profiles(&told, &["mood", "clicks_1h", "tier"]), &log);
}

#[test]
fn roll_ups_give_the_bytes_of_the_full_scan_with_imports_too() {
    let dir = folder();
    let (mut random, start) = (Random(3), 1_731_283_200_000);
    for day in 0..3 {
        let lines = |i: i64| {
            let ts = start + day * 86_400_000 + i * 60_000;
            let line = event((day * 1000 + i) as usize, random.below(30) as usize, ts, Some(random.below(60)));
            line.replace("}\n", &format!(",\"receivedAt\":{}}}\n", ts + 5))
        };
        let text: String = (0..300).map(lines).collect();
        dir.write(&format!("log/dt=2024-11-{:02}/a.ndjson", 11 + day), text);
    }
    let imports = (0..40).map(|user| patch(user * 2, start + user as i64, "credit", Some(user as u64 % 9)));
    dir.write("credit.ndjson", imports.collect::<String>());
    let batch = "batch --log log --tags all --imports credit.ndjson --through 2024-11-13";
    let whole = dir.adprof(batch).ok();
    assert_eq!(dir.adprof(&format!("{batch} --rollups r")).ok(), whole);
    assert_eq!(dir.adprof(&format!("{batch} --rollups r")).ok(), whole);
    assert!(whole.contains("\"userId\":\"u78\"") && whole.contains("gold"), "{whole}");
}

#[test]
fn a_batch_without_the_imports_it_needs_is_2_and_a_bad_import_is_65() {
    let dir = folder();
    let ts = 1_731_296_325_000;
    dir.write("log.ndjson", event(1, 1, ts, Some(5)));
    let output = dir.adprof("batch --log log.ndjson").exits(2);
    assert!(output.stderr.contains("`tier` names `credit`, which is imported"), "{}", output.stderr);
    assert!(output.stderr.contains("--imports FILE"), "{}", output.stderr);
    assert_eq!(output.stdout, "");
    dir.adprof("batch --log log.ndjson --tags ltv").exits(0);
    for (line, why) in [
        ("nonsense\n".to_string(), "bad.ndjson:2: not a patch"),
        (
            patch(1, 5, "credit", None).replace("null", "\"much\""),
            "bad.ndjson:2: tag `credit` is int, which much is not",
        ),
    ] {
        dir.write("bad.ndjson", format!("\n{line}"));
        let output = dir.adprof("batch --log log.ndjson --imports bad.ndjson").exits(65);
        assert!(output.stderr.contains(why), "{}", output.stderr);
    }
    dir.adprof("batch --log log.ndjson --imports none.ndjson").exits(66);
    // The newest that is no younger than the run wins.
    let values =
        [patch(1, ts - 9, "credit", Some(9)), patch(1, ts, "credit", Some(1)), patch(1, ts + 1, "credit", Some(8))];
    dir.write("ok.ndjson", values.concat());
    let told = |as_of: &str| dir.adprof(&format!("batch --log log.ndjson --tags tier --imports ok.ndjson{as_of}")).ok();
    assert!(
        told("").contains(r#""tier":"none""#) && told(&format!(" --as-of {}", ts + 1)).contains(r#""tier":"gold""#)
    );
}

#[test]
fn what_is_no_patch_for_the_stream_is_a_dead_letter_and_everything_is_counted() {
    let dir = folder();
    let good = [event(1, 1, now(), None), patch(1, 5, "credit", Some(9)), event(1, 1, now(), None)].concat();
    let bad = [
        patch(1, 5, "mood", None),
        patch(1, 5, "nobody", Some(1)),
        patch(1, 5, "credit", None).replace("null", "\"much\""),
        "{\"userId\":\"u1\",\"asOf\":1,\"tags\":{\"credit\":1},\"x\":1}\n".to_string(),
        "{\"userId\":\"u1\",\"eventType\":\"click\",\"timestamp\":1}\n".to_string(),
    ];
    let output = dir.adprof("stream --store file:s --dead dead.ndjson").stdin(good + &bad.concat()).exits(0);
    assert!(output.stderr.contains("1 events, 1 patches taken in, 1 duplicates, 5 refused"), "{}", output.stderr);
    let dead = dir.read("dead.ndjson");
    let reasons = ["computed by this stream", "`nobody` is not defined", "`credit` is int", "unknown field `x`"];
    for (line, why) in dead.lines().zip(reasons) {
        assert!(line.contains("BAD_PATCH") && line.contains(why), "{line}");
    }
    assert!(dead.lines().nth(4).expect("the fifth").contains("MISSING_FIELD"), "{dead}");
    assert_eq!(counts(&dir.file("s")), [8, 1, 1, 5]);
    // The front door takes events only.
    dir.adprof("collect").stdin(patch(1, 5, "credit", Some(9))).exits(65);
}

#[test]
fn a_query_tells_a_derived_tag_at_any_instant_and_of_users_without_events() {
    let dir = folder();
    let ts = now() - 60_000;
    dir.adprof("stream --store file:s").stdin(event(1, 1, ts, Some(150))).exits(0);
    let sink = |line: String| dir.adprof("sink file s").stdin(line).exits(0);
    sink(patch(1, ts + 1000, "ltv", Some(150)));
    sink(patch(2, ts + 1000, "credit", Some(9)));
    let query = |id: &str, flags: &str| dir.adprof(&format!("query --store file:s {id} {flags}")).output();
    assert!(query("u1", "").stdout.contains(r#""mood":"vip now""#));
    let later = query("u1", &format!("--as-of {}", ts + 4_000_000)).stdout;
    assert!(later.contains(r#""mood":"vip""#) && later.contains(r#""clicks_1h":0"#), "{later}");
    let alone = query("u2", "").stdout;
    assert!(alone.contains(r#""credit":9,"mood":"trusted""#) && !alone.contains("clicks"), "{alone}");
    let before = query("u1", &format!("--as-of {}", ts + 500));
    assert_eq!(before.code, 2, "{}", before.stderr);
    assert!(before.stderr.contains("adprof batch --tags all"), "{}", before.stderr);
    let csv = dir.adprof("export --store file:s --format csv").ok();
    assert!(csv.contains("trusted") && csv.contains("vip now"), "{csv}");
    let explained = dir.adprof("explain u1 mood --store file:s --format text").ok();
    assert!(explained.contains("mood of u1  vip now") && explained.contains("a patch in file:s of "), "{explained}");
    assert!(explained.contains("  ltv  150"), "{explained}");
    let explained = dir.adprof("explain u2 mood --store file:s --json").ok();
    assert!(explained.contains(r#""value":"trusted","from":"state""#), "{explained}");
    assert!(explained.contains(r#""by":"event_or_patch""#), "{explained}");
    // A removal takes the derived tag of a user without events away.
    sink(patch(2, ts + 2000, "credit", None));
    let gone = query("u2", "").stdout;
    assert!(!gone.contains("mood"), "{gone}");
}

#[test]
fn in_redis_it_falls_by_time_alone_and_follows_the_nightly_value() {
    let Some(server) = Server::start() else { return };
    let dir = folder();
    dir.write("adprof.toml", DEFINITIONS.replace("window = \"1h\"", "window = \"4s\""));
    let mut stream = dir.start(&format!("stream --store {} --state s", server.url()));
    let mut redis = server.client();
    let ts = now();
    let lines = event(1, 1, ts, Some(150));
    dir.write("log.ndjson", &lines);
    stream.feed(&lines);
    wait_until("no night yet", SOON, || mood(&mut redis, "u1").as_deref() == Some("guest"));
    dir.write("night.ndjson", dir.adprof(&format!("batch --log log.ndjson --tags ltv --as-of {ts}")).ok());
    dir.adprof("sink file s -i night.ndjson").exits(0);
    wait_until("the night's value", SOON, || mood(&mut redis, "u1").as_deref() == Some("vip now"));
    let instant = ts - ts % 1000 + 4000;
    wait_until("the fall", SOON, || mood(&mut redis, "u1").as_deref() == Some("vip"));
    assert!(now() >= instant, "it fell too early");
    assert_eq!(hget(&mut redis, "u1", "ltv"), None, "one path writes a tag: the stream publishes what it computes");
    dir.adprof("sink file s").stdin(patch(1, ts + 1, "ltv", Some(7))).exits(0);
    wait_until("the next night", SOON, || mood(&mut redis, "u1").as_deref() == Some("guest"));
    // The night before once more: older, and no news.
    dir.adprof("sink file s -i night.ndjson").exits(0);
    stream.feed(patch(1, ts + 2, "credit", Some(9)));
    wait_until("a patch between the events", SOON, || mood(&mut redis, "u1").as_deref() == Some("trusted"));
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}

#[test]
fn killed_between_a_sink_and_the_checkpoint_no_patch_is_lost_and_none_of_redis_stays_old() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "given", 4);
    let command = format!("stream -b {broker} -t {topic} --store {} --state s", server.url());
    let (mut random, mut all) = (Random(5), String::new());
    let start = now();
    for round in 0..12 {
        let stream = dir.start(&command);
        let events: String =
            (0..200).map(|i| event(round * 1000 + i, random.below(60) as usize, now(), None)).collect();
        produce(&broker, &topic, &keyed(&events));
        wait_until("a state", SOON, || dir.file("s/FORMAT").exists());
        kafka::pause(random.below(1500));
        let value = |random: &mut Random| (random.below(5) > 0).then_some(random.below(200));
        let as_of = start + round as i64;
        let patches: String =
            (0..40).map(|_| patch(random.below(80) as usize, as_of, "ltv", value(&mut random))).collect();
        dir.adprof("sink file s").stdin(patches.clone()).exits(0);
        kafka::pause(random.below(1200));
        stream.signal("KILL");
        drop(stream);
        all += &events;
        all += &patches;
        if round % 4 == 3 {
            let while_down: String = (0..20).map(|user| patch(user, as_of, "credit", Some(random.below(12)))).collect();
            dir.adprof("sink file s").stdin(while_down.clone()).exits(0);
            all += &while_down;
        }
    }
    dir.write("all.ndjson", &all);
    let stream = dir.start(&command);
    let Some(expected) = fold(&dir, now(), "live", &["all.ndjson"]) else { return };
    let mut redis = server.client();
    let wrong = |redis: &mut redis::Connection| -> Vec<String> {
        let differs = |user: &String| {
            let want = expected.get(user).and_then(|tags| tags["mood"].as_str().map(str::to_string));
            mood(redis, user) != want
        };
        (0..80).map(|user| format!("u{user}")).filter(differs).collect()
    };
    let mut left = Vec::new();
    wait_until("all moods are right", SOON, || {
        let now_wrong = wrong(&mut redis);
        if now_wrong != left {
            eprintln!("{now_wrong:?}");
            left = now_wrong;
        }
        left.is_empty()
    });
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
    let found = query(&dir, "--store file:s", expected.keys().cloned());
    assert_same(&profiles(&found, &["mood"]), &profiles_of(&expected, "mood"));
}

fn profiles_of(profiles: &BTreeMap<String, Value>, code: &str) -> BTreeMap<String, Value> {
    profiles.iter().map(|(user, tags)| (user.clone(), serde_json::json!({ code: tags[code] }))).collect()
}

#[test]
fn patches_in_the_topic_count_once_whatever_is_killed() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = folder();
    let topic = kafka::create_topic(&broker, "patches", 4);
    let lines = mixed(20_000, 23);
    apart(&dir, &lines);
    let command = format!("stream -b {broker} -t {topic} --store {} --state s", server.url());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for part in lines.chunks(1000) {
                produce(&broker, &topic, &keyed(&part.concat()));
                kafka::pause(100);
            }
        });
        let mut random = Random(9);
        for _ in 0..6 {
            let stream = dir.start(&command);
            kafka::pause(200 + random.below(1200));
            stream.signal("KILL");
        }
    });
    let (code, words) = dir.start(&format!("{command} -e")).end();
    assert_eq!(code, 0, "{words}");
    let Some(expected) = fold(&dir, now(), "live", &["events.ndjson", "patches.ndjson"]) else { return };
    let found = query(&dir, "--store file:s", expected.keys().cloned());
    assert_same(&profiles(&found, &["mood"]), &profiles_of(&expected, "mood"));
    let mut redis = server.client();
    for (user, tags) in &expected {
        assert_eq!(mood(&mut redis, user).as_deref(), tags["mood"].as_str(), "{user}");
    }
    let store = adprof::store::Embedded::open_existing(&dir.file("s")).expect("a store");
    let ledger = adprof::ledger::Ledger::read(&store.snapshot().expect("a snapshot")).expect("read").expect("begun");
    let counts = ledger.progress.counts;
    let patches = lines.iter().filter(|line| line.contains("asOf")).count() as u64;
    assert_eq!((counts.consumed, counts.given, counts.refused), (lines.len() as u64, patches, 0));
    assert_eq!(counts.absorbed + counts.duplicates + counts.given, counts.consumed);
}
