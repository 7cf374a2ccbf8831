//! What the tests of `stream` with a state share: events, an independent fold, profiles as they are read, a Redis of one's own.
#![allow(dead_code)] // each test file uses its part

use crate::support::{self, Dir};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

pub fn click(id: &str, user: &str, ts: i64) -> String {
    format!(r#"{{"eventId":"{id}","userId":"{user}","eventType":"click","timestamp":{ts},"category":"c-{id}"}}"#)
}

/// Events as (userId, line), to be produced with the key that belongs to them.
pub fn keyed(text: &str) -> Vec<(String, String)> {
    let user = |line: &str| serde_json::from_str::<Value>(line).ok()?["userId"].as_str().map(str::to_string);
    text.lines().map(|line| (user(line).unwrap_or_default(), line.to_string())).collect()
}

pub fn produce(broker: &str, topic: &str, messages: &[(String, String)]) {
    crate::kafka::produce(broker, topic, messages.iter().map(|(k, v)| (Some(k.as_str()), Some(v.as_str()))));
}

/// The tags of each user that the plain oracle finds in `files`, with the named tags only.
pub fn oracle(dir: &Dir, file: &str, as_of: i64, tags: &[&str]) -> Option<BTreeMap<String, Value>> {
    let script = support::project().join("scripts/oracle.py");
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .args(["--as-of", &as_of.to_string()])
        .arg(dir.file(file))
        .output();
    let Ok(output) = output else {
        support::skipped("no python3");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(profiles(&String::from_utf8_lossy(&output.stdout), tags))
}

/// Lines of profiles or patches by user, with the named tags only.
pub fn profiles(text: &str, tags: &[&str]) -> BTreeMap<String, Value> {
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).expect("a profile");
        let mut told = value["tags"].take();
        told.as_object_mut().expect("tags").retain(|code, value| tags.contains(&code.as_str()) && !value.is_null());
        (value["userId"].as_str().expect("an id").to_string(), told)
    };
    text.lines().map(line).collect()
}

/// Says which users differ, not a hundred thousand lines.
pub fn assert_same(found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    assert_eq!(found.len(), expected.len(), "users");
    let differ: Vec<_> = expected.iter().filter(|(user, tags)| found.get(*user) != Some(tags)).collect();
    let shown = differ.first().map(|(user, tags)| format!("{user}: {:?} is not {tags}", found.get(*user)));
    assert!(differ.is_empty(), "{} users differ: {shown:?}", differ.len());
}

/// The profiles of `users` in a store.
pub fn query(dir: &Dir, flags: &str, users: impl Iterator<Item = String>) -> String {
    let ids: String = users.map(|user| user + "\n").collect();
    dir.adprof(&format!("query {flags} --format ndjson -")).stdin(ids).ok()
}

/// What the ledger of a state says: consumed, absorbed, duplicates, refused. Nothing before the first checkpoint.
pub fn counts(state: &std::path::Path) -> [u64; 4] {
    let store = adprof::store::Embedded::open_existing(state).expect("a store");
    let ledger = adprof::ledger::Ledger::read(&store.snapshot().expect("a snapshot")).expect("read");
    let counts = ledger.map(|ledger| ledger.progress.counts).unwrap_or_default();
    [counts.consumed, counts.absorbed, counts.duplicates, counts.refused]
}

/// Asks again until it holds.
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}

/// A number below `below`, another one each time, the same in each run of the tests.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A Redis that a test may kill, hold still and empty.
pub struct Server {
    child: Child,
    port: u16,
    arguments: Vec<String>,
    dir: tempfile::TempDir,
}

impl Server {
    /// One that keeps nothing. `None` when there is no `redis-server` here.
    pub fn start() -> Option<Server> {
        Server::start_with(&[])
    }

    /// The same with settings of one's own, `--name value`.
    pub fn start_with(arguments: &[&str]) -> Option<Server> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_string()).collect();
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let dir = tempfile::tempdir().expect("a folder");
        let Some(child) = Server::spawn(port, dir.path(), &arguments) else {
            let required = std::env::var("ADPROF_REQUIRE_SERVERS").is_ok_and(|v| !v.is_empty() && v != "0");
            assert!(!required, "ADPROF_REQUIRE_SERVERS is set and there is no `redis-server`");
            support::skipped("no `redis-server`");
            return None;
        };
        let server = Server { child, port, arguments, dir };
        server.wait();
        Some(server)
    }

    fn spawn(port: u16, dir: &std::path::Path, arguments: &[String]) -> Option<Child> {
        let port = port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]).arg(dir);
        command.args(arguments).stdout(Stdio::null()).spawn().ok()
    }

    fn wait(&self) {
        wait_until("redis-server answers", Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub fn client(&self) -> redis::Connection {
        client(&self.url())
    }

    /// A command whose answer is of no concern.
    pub fn tell(&self, words: &[&str]) {
        redis::cmd(words[0]).arg(&words[1..]).exec(&mut self.client()).unwrap_or_else(|e| panic!("{words:?}: {e}"));
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    pub fn restart(&mut self) {
        self.child = Server::spawn(self.port, self.dir.path(), &self.arguments).expect("started again");
        self.wait();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn client(url: &str) -> redis::Connection {
    redis::Client::open(url).expect("an address").get_connection().expect("connected")
}

/// One field of a user's profile as it stands in Redis.
pub fn hget(redis: &mut redis::Connection, user: &str, tag: &str) -> Option<String> {
    redis::cmd("HGET").arg(format!("profile:{user}")).arg(tag).query(redis).expect("answered")
}
