//! Entities that forget, values from patches, bases: compared like all else.

use super::{HOUR, causes, event, history};
use crate::streams::{Server, now};
use crate::support::Dir;

const DEFINITIONS: &str = r#"
[[entity]]
name = "topic"
key = ["category", "eventType"]
prefix = "tp"
[[entity]]
name = "minute"
key = "tumble(timestamp, '1m')"
retain = "2h"

[[tag]]
code = "clicks"
value = "count(*)"
where = "eventType = 'click'"
[[tag]]
code = "spent"
value = "sum(amount)"
update = "daily"
[[tag]]
code = "grade"
type = "string"
update = "import"
[[tag]]
code = "mood"
value = "CASE WHEN spent > 50 THEN 'rich' WHEN grade = 'a' THEN 'good' WHEN clicks > 3 THEN 'busy' ELSE 'calm' END"
[[tag]]
code = "recent"
value = "CASE WHEN as_of() - seen < 7200000 THEN 1 ELSE 0 END"
[[tag]]
code = "seen"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "topic_events"
entity = "topic"
value = "count(*)"
[[tag]]
code = "topic_users"
entity = "topic"
value = "count(DISTINCT userId)"
window = "1d"
[[tag]]
code = "topic_hot"
entity = "topic"
value = "topic_users > 1"
[[tag]]
code = "minute_events"
entity = "minute"
value = "count(*)"
"#;

/// Events of few categories, some of them within the last two hours.
fn log(now: i64) -> String {
    let mut log = history(60, now);
    for i in 0..60 {
        log = log.replacen(&format!("\"c-e{i}-0\""), &format!("\"c{}\"", i % 4), 1);
    }
    for i in 0..40 {
        log += &event(&format!("r{i}"), &format!("u{}", i % 7), now - HOUR - i * 120_000, "view", None);
    }
    log
}

#[test]
fn tags_of_every_kind_are_compared() {
    let dir = Dir::new();
    let now = now();
    dir.write("adprof.toml", DEFINITIONS);
    dir.write("log", log(now));
    dir.adprof("stream --store file:s").stdin(dir.read("log")).exits(0);
    let patches = dir.adprof(&format!("batch --log log --as-of {}", now - HOUR)).ok();
    dir.adprof("sink file:s").stdin(patches).ok();
    let graded: String = (0..60)
        .step_by(3)
        .map(|i| format!("{{\"userId\":\"u{i}\",\"asOf\":{now},\"tags\":{{\"grade\":\"a\"}}}}\n"))
        .chain([format!("{{\"userId\":\"graded only\",\"asOf\":{now},\"tags\":{{\"grade\":\"a\"}}}}\n")])
        .collect();
    dir.adprof("sink file:s").stdin(graded).ok();
    let right = dir.adprof("verify --log log --store file:s --grace 0").exits(0);
    assert!(right.stderr.contains("values compared, without grade: no difference"), "{}", right.stderr);
    for entity in ["user", "topic", "minute"] {
        let one = dir.adprof(&format!("verify --log log --store file:s --entity {entity}")).exits(0);
        assert!(!one.stderr.contains(" 0 keys"), "{}", one.stderr);
    }
    dir.adprof("verify --log log --store file:s --sample 20").exits(0);
    // An event more: its user, its topic and its minute are late, and a daily tag of before is not.
    dir.write("log", dir.read("log") + &event("late", "u1", now - 600_000, "click", None));
    let found =
        dir.adprof("verify --log log --store file:s --tags clicks,topic_events,minute_events,spent --grace 0").exits(1);
    assert_eq!(found.stdout.lines().count(), 3, "{}", found.stdout);
    assert!(found.stdout.lines().all(|line| line.contains("\"cause\":\"late\"")), "{}", found.stdout);
    // One that belongs into the night that is over: the daily value was made before.
    dir.write("log", dir.read("log") + &event("later", "u2", now - 2 * HOUR, "purchase", Some("5")));
    let found = dir.adprof("verify --log log --store file:s --tags spent").exits(1);
    assert_eq!(causes(&found), ["u2 spent: late"], "{}", found.stdout);
}

#[test]
fn redis_behind_a_stream_is_compared_with_all_its_entities() {
    let Some(server) = Server::start() else { return };
    let dir = Dir::new();
    let now = now();
    dir.write("adprof.toml", DEFINITIONS);
    dir.write("log", log(now));
    let url = server.url();
    dir.adprof(&format!("stream --store {url} --state st")).stdin(dir.read("log")).exits(0);
    let verify = format!("verify --log log --store {url} --state st");
    let right = dir.adprof(&verify).exits(0);
    assert!(right.stderr.contains(": no difference"), "{}", right.stderr);
    let mut redis = server.client();
    let _: i64 = redis::cmd("DEL").arg("tp:c1:click").query(&mut redis).expect("deleted");
    let _: i64 = redis::cmd("HSET").arg("tp:c2:click").arg("topic_events").arg(77).query(&mut redis).expect("set");
    let found = dir.adprof(&verify).exits(1);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", found.stdout);
    assert!(
        lines.iter().any(|l| l.contains(r#""key":["c1","click"],"tag":null,"cause":"missing""#)),
        "{}",
        found.stdout
    );
    let wrong = lines.iter().find(|l| l.contains(r#""key":["c2","click"]"#)).expect("told");
    assert!(wrong.contains(r#""store":77"#) && wrong.ends_with("the state of the stream has it right\"}"), "{wrong}");
}

#[test]
fn a_state_with_a_base_is_compared_base_and_tail() {
    let dir = Dir::new();
    let now = now();
    let day = 86_400_000;
    let (today, yesterday) = (now / day, now / day - 1);
    let name = |d: i64| adprof::time::show_day(d as i32);
    let part = |d: i64, lines: &str| {
        std::fs::create_dir_all(dir.file(&format!("events/dt={}", name(d)))).expect("a folder");
        dir.write(&format!("events/dt={}/web-00001.ndjson", name(d)), lines);
    };
    let midnight = today * day;
    let lines = |from: i64, n: i64, at: i64| -> String {
        (from..from + n)
            .map(|i| event(&format!("b{i}"), &format!("u{}", i % 9), at - i * 1000, "click", None))
            .collect()
    };
    part(yesterday, &lines(0, 50, midnight - 60_000));
    dir.write("adprof.toml", "[[tag]]\ncode = \"clicks\"\nvalue = \"count(*)\"\n");
    // The stream has never read the day before.
    let tail = lines(50, 30, now.max(midnight + 200_000) - 61_000).replace("\"receivedAt\":", "\"x\":");
    let tail = tail.replace("}\n", &format!(",\"receivedAt\":{}}}\n", now.max(midnight + 1)));
    part(today, &tail);
    dir.adprof("stream --store file:s").stdin(tail).exits(0);
    let found = dir.adprof("verify --log events --store file:s --grace 0").exits(1);
    assert!(!found.stdout.is_empty());
    dir.adprof(&format!("batch --log events --through {} --store file:s", name(yesterday))).ok();
    let right = dir.adprof("verify --log events --store file:s --grace 0").exits(0);
    assert!(right.stderr.contains("9 keys, "), "{}", right.stderr);
}
