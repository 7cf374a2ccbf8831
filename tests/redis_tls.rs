//! Sentinels and clusters over TLS, with real servers that speak nothing else.
//!
//! One server over TLS, and whom it must not be taken for, are in `redis_access.rs`.

#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/redis.rs"]
mod server;
mod streams;
mod support;

use server::{Authority, Node, free_port, text, wait_until};
use std::process::Command;
use std::time::Duration;
use streams::{click, now};
use support::{Dir, Running};

const SOON: Duration = Duration::from_secs(40);

/// What a server needs to show who it is, as words of a command line or lines of a file.
fn identity(authority: &Authority) -> Vec<(&'static str, String)> {
    let (certificate, key) = authority.sign("localhost", None);
    let path = |path: &std::path::Path| text(path).to_string();
    vec![
        ("tls-cert-file", path(&certificate)),
        ("tls-key-file", path(&key)),
        ("tls-ca-cert-file", path(&authority.ca())),
        ("tls-auth-clients", "no".into()),
        ("tls-replication", "yes".into()),
    ]
}

fn serve(identity: &[(&'static str, String)], more: &[&str]) -> Option<Node> {
    let words: Vec<String> = identity.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect();
    Node::start_tls(&[&words.iter().map(String::as_str).collect::<Vec<_>>()[..], more].concat())
}

/// Asks a server by the client of Redis.
fn ask(authority: &Authority, port: u16, words: &str) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-h", "localhost", "-p", &port.to_string(), "--tls", "--cacert", text(&authority.ca())]);
    let output = command.args(words.split_whitespace()).output().expect("redis-cli runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A stream from stdin into a Redis over TLS.
fn stream(dir: &Dir, url: &str, authority: &Authority) -> Running {
    dir.write("adprof.toml", "[[tag]]\ncode = \"clicks\"\nvalue = \"count(*)\"\n");
    dir.start(&format!("stream --store {url} --state s --redis-cacert {}", text(&authority.ca())))
}

fn clicks(turn: usize, users: usize) -> String {
    (0..users).map(|i| click(&format!("e{turn}-{i}"), &format!("u{i}"), now()) + "\n").collect()
}

/// Whether each of so many users shows so many clicks, as another process asks.
fn shows(dir: &Dir, url: &str, authority: &Authority, users: usize, each: usize) -> bool {
    let ids: String = (0..users).map(|i| format!("u{i}\n")).collect();
    let output =
        dir.adprof(&format!("query --store {url} --redis-cacert {} -", text(&authority.ca()))).stdin(ids).output();
    output.stdout.lines().filter(|line| line.contains(&format!("\"clicks\":{each}"))).count() == users
}

#[test]
fn sentinels_over_tls_tell_the_primary_and_the_next_one() {
    let authority = Authority::new("ours");
    let identity = identity(&authority);
    // Whoever is named has the name that stands in its certificate.
    let Some(mut first) = serve(&identity, &["--replica-announce-ip", "localhost"]) else { return };
    let primary = format!("localhost {}", first.port);
    let second = serve(&identity, &["--replica-announce-ip", "localhost", "--replicaof", &primary]).expect("started");
    let who: String = identity.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
    let lines = format!(
        "{who}sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\nsentinel monitor main {primary} 1\n\
         sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 6000\n"
    );
    let sentinel = Node::sentinel_tls(&lines).expect("started");
    wait_until("the sentinel knows the replica", SOON, || {
        ask(&authority, sentinel.port, "SENTINEL REPLICAS main").contains(&second.port.to_string())
    });
    let url = format!("rediss+sentinel://localhost:{}/main/0", sentinel.port);
    let dir = Dir::new();
    let mut stream = stream(&dir, &url, &authority);
    assert!(stream.feed(clicks(1, 50)));
    wait_until("published", SOON, || shows(&dir, &url, &authority, 50, 1));
    wait_until("the replica has them", SOON, || ask(&authority, second.port, "DBSIZE").trim() == "51");

    first.kill();
    assert!(stream.feed(clicks(2, 50)));
    wait_until("published at the next one", SOON, || shows(&dir, &url, &authority, 50, 2));
    assert_eq!(ask(&authority, second.port, "HGET profile:u7 clicks").trim(), "2");
    assert_eq!(stream.end().0, 0);

    // Sentinels prove who they are, as servers do.
    let output = dir.adprof(&format!("query --store {url} u1")).output();
    assert_eq!(output.code, 77, "{}", output.stderr);
    assert!(output.stderr.contains("its issuer is not trusted"), "{}", output.stderr);
    // Without TLS nobody there answers.
    let output = dir.adprof(&format!("query --store redis+sentinel://localhost:{}/main/0 u1", sentinel.port)).output();
    assert_eq!(output.code, 69, "{}", output.stderr);
}

#[test]
fn a_cluster_over_tls_gets_every_profile_where_it_belongs() {
    let authority = Authority::new("ours");
    let identity = identity(&authority);
    let node = || {
        let bus = free_port().to_string();
        let flags = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-port", &bus];
        let tls = ["--tls-cluster", "yes", "--cluster-announce-hostname", "localhost"];
        serve(&identity, &[&flags[..], &tls, &["--cluster-preferred-endpoint-type", "hostname"]].concat())
    };
    let Some(nodes) = (0..3).map(|_| node()).collect::<Option<Vec<Node>>>() else { return };
    let mut create = Command::new("redis-cli");
    create.args(["--tls", "--cacert", text(&authority.ca()), "--cluster", "create"]);
    create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port))).arg("--cluster-yes");
    let made = create.output().expect("redis-cli runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    wait_until("the cluster is whole", SOON, || {
        nodes.iter().all(|node| {
            ask(&authority, node.port, "CLUSTER INFO").contains("cluster_state:ok")
                && ask(&authority, node.port, "CLUSTER SLOTS").matches("localhost").count() >= 3
        })
    });
    let url = format!("rediss+cluster://localhost:{}", nodes[0].port);
    let dir = Dir::new();
    let mut stream = stream(&dir, &url, &authority);
    for turn in 1..=2 {
        assert!(stream.feed(clicks(turn, 300)));
        wait_until("published", SOON, || shows(&dir, &url, &authority, 300, turn));
    }
    assert_eq!(stream.end().0, 0);
    for node in &nodes {
        let held = ask(&authority, node.port, "KEYS profile:*").lines().count();
        assert!((50..200).contains(&held), "a third each, and it was {held}");
    }
    let doctor = dir.adprof(&format!("doctor --store {url} --redis-cacert {}", text(&authority.ca()))).output();
    assert!(doctor.stdout.contains("TLS"), "{}", doctor.stdout);
    let output = dir.adprof(&format!("query --store {url} u1")).output();
    assert_eq!(output.code, 77, "{}", output.stderr);
}
