//! Streams killed at random: nothing that was derived is lost, nothing is told twice.

use crate::kafka;
use crate::streams::{Random, click, now, produce};
use crate::support::Dir;
use crate::world::{folded, in_log, in_topic, some_ms};
use serde_json::Value;
use std::collections::BTreeSet;

const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks"
value = "count(*)"
where = "eventType = 'click'"
[[tag]]
code = "clicks_2s"
value = "count(*)"
window = "2s"
[[tag]]
code = "last_seen"
type = "datetime"
value = "max(timestamp)"
[[segment]]
code = "odd"
rule = "clicks % 2 = 1"
[[segment]]
code = "many"
rule = "clicks >= 40"
[[segment]]
code = "now"
rule = "clicks_2s > 0 AND in_segment('around')"
[[segment]]
code = "around"
rule = "last_seen > ago('1500s') AND last_seen > ago('3s')"
"#;

const USERS: u64 = 30;
const CODES: [&str; 4] = ["odd", "many", "now", "around"];

/// Kills a stream that tells into `target` again and again, each time at another moment; `told` gives what stands there.
fn killed(name: &str, kills: u64, target: &str, broker: &str, dir: &Dir, told: impl Fn() -> Vec<Value>) {
    dir.write("adprof.toml", DEFINITIONS);
    let seed = std::env::var("ADPROF_FAULT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    eprintln!("ADPROF_FAULT_SEED={seed}");
    let (mut random, mut events) = (Random(seed), 0);
    let topic = kafka::create_topic(broker, name, 2);
    let args = format!("stream -b {broker} -t {topic} --store file:s --derived {target}");
    for _ in 0..kills {
        let stream = dir.start(&args);
        for _ in 0..3 {
            let event = |i: u64| {
                (format!("u{}", i * 7 % USERS), click(&format!("e{i}"), &format!("u{}", i * 7 % USERS), now()))
            };
            produce(broker, &topic, &(events..events + 60).map(event).collect::<Vec<_>>());
            events += 60;
            some_ms(&mut random, 700);
        }
        stream.signal("KILL");
        assert_eq!(stream.end().0, 128 + 9);
        // Nothing is there twice at any time.
        folded(&told());
    }
    // Time empties the windows.
    kafka::pause(3_500);
    let output = dir.adprof(&format!("{args} -e")).exits(0);
    let lines = told();
    let members = folded(&lines);
    let mut want = BTreeSet::new();
    for code in CODES {
        let of = dir.adprof(&format!("segment members {code} --store file:s")).ok();
        want.extend(of.lines().map(|user| (user.to_string(), code.to_string())));
    }
    assert_eq!(members, want, "{}", output.stderr);
    let by_time = lines.iter().filter(|line| line["cause"] == "time").count();
    eprintln!(
        "{kills} kills, {events} events: {} enters and leaves, {by_time} of them by time, each once",
        lines.len()
    );
    assert!(lines.len() as u64 > events && by_time > 0);
    // And nothing more.
    dir.adprof(&format!("{args} -e")).exits(0);
    assert_eq!(told().len(), lines.len());
}

fn many(usual: u64) -> u64 {
    std::env::var("ADPROF_FAULT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn killed_it_tells_each_enter_and_leave_once_into_a_log() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    killed("members-log", many(8), "d/", &broker, &dir, || in_log(&dir, "d"));
}

#[test]
fn killed_it_tells_each_enter_and_leave_once_into_a_file() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    killed("members-file", many(5), "d.ndjson", &broker, &dir, || in_log(&dir, "d.ndjson"));
}

#[test]
fn killed_it_tells_each_enter_and_leave_once_into_a_topic() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let out = kafka::create_topic(&broker, "members-out", 3);
    killed("members-in", many(8), &format!("kafka:{out}"), &broker, &dir, || in_topic(&broker, &out));
}
