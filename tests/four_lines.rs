//! The four lines on the README's first screen, word for word, in an empty folder with a Redis and a Kafka on their usual
//! ports of localhost: these the test starts itself, where the ports are free and tests with servers are wanted at all.

mod support;

#[path = "support/kafka.rs"]
mod kafka;

use redis::Commands;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Dir, Running, adprof_path, project, skipped};

const LINES: [&str; 4] = [
    "adprof collect < events.jsonl",
    "adprof batch --log ad-events.log | adprof sink redis",
    "adprof query u-001",
    "adprof stream -b localhost:9092 -t realtime-events --store redis://localhost:6379",
];
const BROKER: &str = "localhost:9092";

/// A Redis and a Kafka on their usual ports, ended when dropped.
struct Servers(Dir);

impl Servers {
    /// `None`, and a word, where they cannot be had.
    fn start() -> Option<Servers> {
        // Whoever runs the tests without servers does not want these, either.
        let (Some(_), Some(_)) = (support::redis(), support::kafka()) else { return None };
        for (port, whose) in [(6379, "Redis"), (9092, "Kafka")] {
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
                skipped(&format!("port {port}, where the test would start {whose}, is taken"));
                return None;
            }
        }
        let servers = Servers(Dir::new());
        let mut start = servers.script("start");
        let told = start.args(["--redis-port", "6379", "--kafka-port", "9092"]).arg(servers.0.path()).output();
        let told = told.expect("bash runs");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        Some(servers)
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg(project().join("scripts/servers.sh")).arg(verb);
        command
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.script("stop").arg(self.0.path()).output();
    }
}

/// Starts a line as a shell would, adprof as just built first on PATH; `how` is put in front of it.
fn typed(dir: &Dir, bin: &Path, how: &str, line: &str) -> Running {
    let mut bash = Command::new("bash");
    bash.args(["-c", "set -o pipefail; PATH=$1:$PATH; eval \"$2\"", "bash"]).arg(bin).arg(format!("{how}{line}"));
    dir.start_command(bash)
}

/// Runs a line to its end, which must be a good one; what it printed.
fn run(dir: &Dir, bin: &Path, line: &str) -> String {
    let running = typed(dir, bin, "", line);
    let out = running.rest().join("\n");
    let (code, stderr) = running.end();
    assert_eq!(code, 0, "{line}\n{stderr}");
    out
}

fn events(now: i64) -> String {
    let event = |id: &str, kind: &str, ago: i64, more: &str| {
        format!(
            "{{\"eventId\":\"{id}\",\"userId\":\"u-001\",\"eventType\":\"{kind}\",\"timestamp\":{}{more}}}\n",
            now - ago
        )
    };
    event("e-1", "click", 120_000, ",\"category\":\"music\"")
        + &event("e-2", "click", 60_000, ",\"category\":\"sports\"")
        + &event("e-3", "purchase", 30_000, ",\"amount\":150.75")
}

#[test]
fn the_readme_shows_these_lines() {
    let readme = std::fs::read_to_string(project().join("README.md")).expect("there");
    assert!(readme.contains(&format!("```sh\n{}\n```", LINES.join("\n"))));
}

#[test]
fn the_four_lines_work_word_for_word_in_an_empty_folder() {
    let Some(_servers) = Servers::start() else { return };
    let topic = "realtime-events";
    kafka::create_exactly(BROKER, topic, 1);
    let (dir, tools) = (Dir::new(), Dir::new());
    let bin = tools.path();
    symlink(adprof_path(), bin.join("adprof")).expect("a link");
    let now = jiff::Timestamp::now().as_millisecond();
    let text = events(now);
    dir.write("events.jsonl", &text);

    assert_eq!(run(&dir, bin, LINES[0]), "");
    assert_eq!(run(&dir, bin, LINES[1]), "");
    let profile = run(&dir, bin, LINES[2]);
    let daily = "\"tags\":{\"ltv_total\":150.75,\"segment_id\":\"high_value_user\"}}";
    assert!(profile.starts_with("{\"userId\":\"u-001\",") && profile.ends_with(daily), "{profile}");

    kafka::produce(BROKER, topic, text.lines().map(|line| (Some("u-001"), Some(line))));
    let stream = typed(&dir, bin, "exec ", LINES[3]);
    let mut connection =
        redis::Client::open("redis://localhost:6379").expect("an address").get_connection().expect("up");
    let want: BTreeMap<String, String> = [
        ("clicks_1h_count", "2".to_string()),
        ("last_active_ts", (now - 30_000).to_string()),
        ("last_click_category", "sports".into()),
        ("ltv_total", "150.75".into()),
        ("segment_id", "high_value_user".into()),
    ]
    .map(|(code, value)| (code.into(), value))
    .into();
    let began = Instant::now();
    loop {
        let hash: BTreeMap<String, String> = connection.hgetall("profile:u-001").expect("answered");
        if hash == want {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{hash:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.signal("INT");
    let (code, stderr) = stream.end();
    assert_eq!(code, 0, "{stderr}");
    let profile = run(&dir, bin, LINES[2]);
    assert!(profile.contains("\"clicks_1h_count\":2") && profile.contains("\"ltv_total\":150.75"), "{profile}");
}
