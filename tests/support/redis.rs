//! Redis servers of a test's own: plain, with TLS, replicas, sentinels and clusters. They end with their test.
#![allow(dead_code)] // each test file uses its part

use std::collections::HashSet;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A port that nobody listens on, and that no other server of this process was given.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().expect("no panic while it is held");
    let given = given.get_or_insert_default();
    loop {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        if given.insert(port) {
            return port;
        }
    }
}

/// One server, which a test may stop, hold still and kill.
pub struct Node {
    child: Child,
    pub port: u16,
    dir: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Node {
    /// A server that listens on a port of its own; `None` when there is no `redis-server` here.
    pub fn start(arguments: &[&str]) -> Option<Node> {
        let port = free_port();
        let own = port.to_string();
        Node::spawn(port, [&["--port", &own], arguments].concat())
    }

    /// The same, with TLS only.
    pub fn start_tls(arguments: &[&str]) -> Option<Node> {
        let port = free_port();
        let own = port.to_string();
        Node::spawn(port, [&["--port", "0", "--tls-port", &own], arguments].concat())
    }

    /// A sentinel with this configuration.
    pub fn sentinel(lines: &str) -> Option<Node> {
        Node::sentinel_on("port", lines)
    }

    /// The same, with TLS only.
    pub fn sentinel_tls(lines: &str) -> Option<Node> {
        Node::sentinel_on("port 0\ntls-port", lines)
    }

    fn sentinel_on(kind: &str, lines: &str) -> Option<Node> {
        let dir = tempfile::tempdir().expect("a folder");
        let (port, path) = (free_port(), dir.path().join("sentinel.conf"));
        std::fs::write(&path, format!("{kind} {port}\nbind 127.0.0.1\ndir {}\n{lines}", dir.path().display()))
            .expect("written");
        let arguments = vec![path.to_string_lossy().into_owned(), "--sentinel".into()];
        Node::begin(port, dir, arguments)
    }

    fn spawn(port: u16, arguments: Vec<&str>) -> Option<Node> {
        let dir = tempfile::tempdir().expect("a folder");
        let place = dir.path().to_string_lossy().into_owned();
        let usual = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &place];
        let all = usual.iter().copied().chain(arguments).map(str::to_string).collect();
        Node::begin(port, dir, all)
    }

    fn begin(port: u16, dir: tempfile::TempDir, arguments: Vec<String>) -> Option<Node> {
        let spawned = Command::new("redis-server").args(&arguments).stdout(Stdio::null()).spawn();
        let Ok(child) = spawned else {
            let required = std::env::var("ADPROF_REQUIRE_SERVERS").is_ok_and(|v| !v.is_empty() && v != "0");
            assert!(!required, "ADPROF_REQUIRE_SERVERS is set and there is no `redis-server`");
            eprintln!("skipped: no `redis-server`");
            return None;
        };
        let node = Node { child, port, dir, arguments };
        node.wait();
        Some(node)
    }

    fn wait(&self) {
        wait_until("redis-server answers", Duration::from_secs(10), || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Another client, to look and to interfere.
    pub fn client(&self) -> redis::Connection {
        redis::Client::open(self.url()).expect("an address").get_connection().expect("connected")
    }

    /// Sends a command, and gives the answer.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        ask(&mut self.client(), command)
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    pub fn restart(&mut self) {
        self.child = Command::new("redis-server").args(&self.arguments).stdout(Stdio::null()).spawn().expect("again");
        self.wait();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a command, split at blanks, and gives the answer.
pub fn ask<T: redis::FromRedisValue>(client: &mut redis::Connection, command: &str) -> T {
    let mut words = command.split_whitespace();
    let mut asked = redis::cmd(words.next().expect("a command"));
    words.for_each(|word| {
        asked.arg(word);
    });
    asked.query(client).unwrap_or_else(|e| panic!("{command}: {e}"))
}

/// Asks again until it holds; gives how long that took.
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}

/// A certificate authority and what it signs, as files.
pub struct Authority {
    dir: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let dir = tempfile::tempdir().expect("a folder");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = parameters.self_signed(&key).expect("signed");
        std::fs::write(dir.path().join("ca.crt"), certificate.pem()).expect("written");
        Authority { dir, issuer: rcgen::Issuer::new(parameters, key) }
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Signs a certificate for a name, good for the year that is given or for now; its file and that of its key.
    pub fn sign(&self, name: &str, year: Option<i32>) -> (PathBuf, PathBuf) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_string()]).expect("a name");
        if let Some(year) = year {
            parameters.not_before = rcgen::date_time_ymd(year, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(year, 12, 31);
        }
        let certificate = parameters.signed_by(&key, &self.issuer).expect("signed");
        let place = |end: &str| self.dir.path().join(format!("{name}-{}.{end}", year.unwrap_or_default()));
        std::fs::write(place("crt"), certificate.pem()).expect("written");
        std::fs::write(place("key"), key.serialize_pem()).expect("written");
        (place("crt"), place("key"))
    }
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
