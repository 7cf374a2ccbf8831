//! What the rows share: events that are kept beside the topic, a stream of them into Redis, and an independent fold.

use crate::kafka;
use crate::streams::{Random, Server, assert_same, client, now, produce, profiles, wait_until};
use crate::support::{self, Dir, Running, adprof_path};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

pub const SOON: Duration = Duration::from_secs(30);
pub const TAGS: [&str; 5] = ["clicks_total", "last_active_ts", "last_item", "clicks_years", "clicks_1h"];
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

/// The number by which a run of the harness differs from the one before: `ADPROF_FAULT_SEED`, else 1.
pub fn seed() -> u64 {
    let seed = std::env::var("ADPROF_FAULT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    eprintln!("ADPROF_FAULT_SEED={seed}");
    seed
}

/// How often something is done: a little in CI, all of it when `scripts/faults.sh` asks.
pub fn thorough(little: u64, all: u64) -> u64 {
    if std::env::var("ADPROF_FAULT_THOROUGH").is_ok_and(|v| v == "1") { all } else { little }
}

/// A topic, its events in a file, too, and a Redis.
pub struct World {
    pub dir: Dir,
    pub server: Server,
    pub broker: String,
    pub topic: String,
    pub random: Random,
    events: u64,
}

impl World {
    /// `None`, and a word, where a server is missing. `redis`: settings of it.
    pub fn new(name: &str, redis: &[&str]) -> Option<World> {
        let (broker, server) = (kafka::broker()?, Server::start_with(redis)?);
        let dir = Dir::new();
        dir.write("adprof.toml", DEFINITIONS);
        dir.write("events.ndjson", "");
        let topic = kafka::create_topic(&broker, name, 2);
        Some(World { dir, server, broker, topic, random: Random(seed()), events: 0 })
    }

    /// `n` events more, of 50 users; some are sent twice.
    pub fn click(&mut self, n: u64) {
        let (mut messages, mut text) = (Vec::new(), String::new());
        for _ in 0..n {
            let (user, item) = (format!("u{}", self.random.below(50)), self.random.below(40));
            let at = now() - self.random.below(60_000) as i64;
            let line = format!(
                r#"{{"eventId":"e{}","userId":"{user}","eventType":"click","timestamp":{at},"itemId":"i{item}"}}"#,
                self.events
            );
            self.events += 1;
            text += &line;
            text.push('\n');
            if self.random.below(20) == 0 {
                messages.push((user.clone(), line.clone()));
            }
            messages.push((user, line));
        }
        let mut file =
            std::fs::OpenOptions::new().append(true).open(self.dir.file("events.ndjson")).expect("it is there");
        file.write_all(text.as_bytes()).expect("written");
        produce(&self.broker, &self.topic, &messages);
    }

    /// `stream` of the topic into this Redis, by its address or by that of a proxy.
    pub fn args(&self, url: &str, flags: &str) -> String {
        format!("stream -b {} -t {} --store {url} {flags}", self.broker, self.topic)
    }

    pub fn stream(&self, flags: &str) -> Running {
        self.dir.start(&self.args(&self.server.url(), flags))
    }

    /// One that has published `n` events.
    pub fn published(&mut self, n: u64, flags: &str) -> Running {
        let stream = self.stream(flags);
        self.click(n);
        self.whole(SOON);
        stream
    }

    /// Runs `stream -e` to its end.
    pub fn catch_up(&self) {
        self.dir.adprof(&self.args(&self.server.url(), "-e")).exits(0);
    }

    /// What the profiles must be, by the fold.
    pub fn expected(&self) -> Option<BTreeMap<String, Value>> {
        fold(&self.dir, "events.ndjson")
    }

    /// Waits until Redis shows every profile as the fold has it, and nothing else; how long that took.
    pub fn whole(&self, limit: Duration) -> Duration {
        let Some(expected) = self.expected() else { return Duration::ZERO };
        let began = std::time::Instant::now();
        while everything(&self.server.url()).is_ok_and(|found| found != expected) && began.elapsed() < limit {
            kafka::pause(50);
        }
        assert_same(&everything(&self.server.url()).expect("answered"), &expected);
        began.elapsed()
    }

    /// Whether Redis shows what the fold has, now.
    pub fn is_whole(&self) -> bool {
        self.expected().is_none_or(|expected| everything(&self.server.url()).is_ok_and(|found| found == expected))
    }
}

/// The tags of every user that has an event in `file`, by an independent fold. `None`, and a word, without Python.
pub fn fold(dir: &Dir, file: &str) -> Option<BTreeMap<String, Value>> {
    let script = support::project().join("tests/streams/fold.py");
    let output = Command::new("python3").arg("-B").arg(script).arg(now().to_string()).arg(dir.file(file)).output();
    let Ok(output) = output else {
        support::skipped("no python3");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(profiles(&String::from_utf8_lossy(&output.stdout), &TAGS))
}

/// Every profile that stands in Redis, in the form of the fold.
pub fn everything(url: &str) -> redis::RedisResult<BTreeMap<String, Value>> {
    let mut redis = client(url);
    let names: Vec<String> = redis::cmd("KEYS").arg("profile:*").query(&mut redis)?;
    let mut found = BTreeMap::new();
    for name in names {
        let fields: BTreeMap<String, String> = redis::cmd("HGETALL").arg(&name).query(&mut redis)?;
        let tags: Map<String, Value> = fields.into_iter().map(|(code, text)| (code, text.into())).collect();
        found.insert(name["profile:".len()..].to_string(), Value::Object(tags));
    }
    Ok(found)
}

/// `adprof ARGS` by way of strace, with this injection: `fdatasync:error=EIO:when=3`. `None`, and a word, where that
/// cannot be.
pub fn injected(args: &str, inject: &str) -> Option<Command> {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        support::skipped("no strace");
        return None;
    }
    let calls = inject.split(':').next().expect("a call");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &format!("inject={inject}")]);
    command.arg(adprof_path()).args(args.split_whitespace());
    Some(command)
}

/// Waits for a stream that has to end by itself; its code and words.
pub fn ends(stream: Running) -> (i32, String) {
    wait_until("it ends by itself", SOON, || !stream.is_there());
    stream.end()
}
