//! What the tests of membership share: derived events as they stand in a log, a topic or an output, and what they come to.

use crate::kafka;
use crate::support::Dir;
use adprof::bus::{Assignment, Consumer, Event, Options, Settings, StartOffsets};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub const SOON: Duration = Duration::from_secs(20);

pub fn text(line: &Value, name: &str) -> String {
    line[name].as_str().unwrap_or_default().to_string()
}

/// The derived events among lines.
pub fn derived(lines: &str) -> Vec<Value> {
    let parsed = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(|line| line["eventType"].as_str().is_some_and(|kind| kind.starts_with("adprof."))).collect()
}

/// Those in the files of a log, in the order of the files.
pub fn in_log(dir: &Dir, log: &str) -> Vec<Value> {
    let path = dir.file(log);
    if path.is_file() {
        return derived(&std::fs::read_to_string(path).expect("read"));
    }
    let mut files = Vec::new();
    for day in std::fs::read_dir(path).into_iter().flatten().flatten().filter(|day| day.path().is_dir()) {
        files.extend(std::fs::read_dir(day.path()).expect("listed").flatten().map(|file| file.path()));
    }
    files.retain(|file| file.extension().is_some_and(|kind| kind == "ndjson"));
    files.sort();
    files.iter().flat_map(|file| derived(&std::fs::read_to_string(file).expect("read"))).collect()
}

/// Those in a topic, partition by partition.
pub fn in_topic(broker: &str, topic: &str) -> Vec<Value> {
    let settings = Settings::new(broker, topic).expect("settings");
    let options = Options::new(Assignment::All, StartOffsets::Beginning).until_end();
    let consumer = Consumer::start(&settings, options).expect("started");
    let mut all = Vec::new();
    loop {
        match consumer.recv_timeout(Duration::from_secs(40)).expect("no fault") {
            Some(Event::Batch(batch)) => {
                for message in batch.messages() {
                    let line = String::from_utf8_lossy(message.payload.expect("a value")).into_owned();
                    let line: Value = serde_json::from_str(&line).expect("JSON");
                    assert_eq!(message.key, line["userId"].as_str().map(str::as_bytes));
                    all.push(line);
                }
            }
            Some(Event::End) => return all,
            other => assert!(other.is_some(), "nothing came"),
        }
    }
}

/// Who is in what after all of them: nobody enters twice or leaves what she is not in, and no id comes twice.
pub fn folded(lines: &[Value]) -> BTreeSet<(String, String)> {
    let mut ids = BTreeMap::new();
    let mut members = BTreeSet::new();
    for line in lines {
        let before = ids.insert(text(line, "eventId"), line);
        assert!(before.is_none(), "twice: {line}\n{before:?}");
        let one = (text(line, "userId"), text(line, "segment"));
        let new = match text(line, "eventType").as_str() {
            "adprof.enter" => members.insert(one),
            _ => members.remove(&one),
        };
        assert!(new, "it was so already: {line}");
    }
    members
}

pub fn some_ms(random: &mut crate::streams::Random, below: u64) {
    kafka::pause(random.below(below));
}
