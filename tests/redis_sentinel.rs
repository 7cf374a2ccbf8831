//! Redis behind real sentinels: the primary is found, also when it is another one, and what a failover loses comes back.

#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/redis.rs"]
mod server;
mod streams;
mod support;

use server::{Node, ask};
use std::process::Command;
use std::time::{Duration, Instant};
use streams::{click, now};
use support::{Dir, Running, adprof_path, clean_environment};

const SOON: Duration = Duration::from_secs(30);
const USERS: usize = 200;

/// A primary, two replicas and three sentinels; servers and sentinels each have a password of their own.
struct Group {
    nodes: Vec<Node>,
    sentinels: Vec<Node>,
}

impl Group {
    fn start() -> Option<Group> {
        let login = ["--requirepass", "data-7", "--masterauth", "data-7"];
        let first = Node::start(&login)?;
        let primary = format!("127.0.0.1 {}", first.port);
        let replica = || Node::start(&[&login[..], &["--replicaof", &primary]].concat());
        let nodes = vec![first, replica()?, replica()?];
        let lines = format!(
            "sentinel monitor main {primary} 2\nsentinel auth-pass main data-7\nsentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 6000\nrequirepass sentinel-7\nsentinel sentinel-pass sentinel-7\n"
        );
        let sentinel = || Node::sentinel(&lines);
        let group = Group { nodes, sentinels: vec![sentinel()?, sentinel()?, sentinel()?] };
        server::wait_until("the sentinels know all", SOON, || {
            group.sentinels.iter().all(|sentinel| {
                let mut client = login_to(sentinel, "sentinel-7");
                let facts: std::collections::HashMap<String, String> = ask(&mut client, "SENTINEL MASTER main");
                facts["num-slaves"] == "2" && facts["num-other-sentinels"] == "2"
            })
        });
        Some(group)
    }

    fn url(&self) -> String {
        let places: Vec<String> = self.sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
        format!("redis+sentinel://{}/main/0", places.join(","))
    }

    /// Which server the sentinels call the primary.
    fn primary(&self) -> usize {
        let mut client = login_to(&self.sentinels[0], "sentinel-7");
        let (_, port): (String, u16) = ask(&mut client, "SENTINEL GET-MASTER-ADDR-BY-NAME main");
        self.nodes.iter().position(|node| node.port == port).expect("one of them")
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = clean_environment();
        environment.push(("REDIS_URL", self.url()));
        environment.push(("REDIS_PASSWORD", "data-7".into()));
        environment.push(("REDIS_SENTINEL_PASSWORD", "sentinel-7".into()));
        environment
    }

    fn stream(&self, dir: &Dir) -> Running {
        dir.write("adprof.toml", "[[tag]]\ncode = \"clicks\"\nvalue = \"count(*)\"\n");
        let mut command = Command::new(adprof_path());
        command.args(["stream", "--store", "redis"]);
        dir.start_with(command, self.environment())
    }

    /// Whether every user shows so many clicks at the primary, as another client reads them.
    fn shows(&self, each: usize) -> bool {
        let node = &self.nodes[self.primary()];
        let url = format!("redis://:data-7@127.0.0.1:{}", node.port);
        let Ok(mut client) = redis::Client::open(url).expect("an address").get_connection() else { return false };
        let mut pipe = redis::pipe();
        for i in 0..USERS {
            pipe.hget(format!("profile:u{i}"), "clicks");
        }
        let found: Vec<Option<String>> = pipe.query(&mut client).unwrap_or_default();
        found.len() == USERS && found.iter().all(|text| text.as_deref() == Some(&each.to_string()))
    }
}

fn login_to(node: &Node, password: &str) -> redis::Connection {
    let url = format!("redis://:{password}@127.0.0.1:{}", node.port);
    redis::Client::open(url).expect("an address").get_connection().expect("connected")
}

/// One more click of each user.
fn round(n: usize) -> String {
    (0..USERS).map(|i| click(&format!("e{n}-{i}"), &format!("u{i}"), now()) + "\n").collect()
}

#[test]
fn a_primary_that_is_killed_is_followed_by_another_and_what_it_lost_is_published_again() {
    let Some(mut group) = Group::start() else { return };
    let dir = Dir::new();
    let mut stream = group.stream(&dir);
    let mut rounds = 0;
    let mut load = |stream: &mut Running, n: usize| {
        for _ in 0..n {
            rounds += 1;
            assert!(stream.feed(round(rounds)), "it has ended");
            kafka::pause(10);
        }
        rounds
    };
    let all = load(&mut stream, 50);
    server::wait_until("published", SOON, || group.shows(all));
    for turn in 0..2 {
        let old = group.primary();
        // The others hear nothing of the last rounds, so that these are lost with the primary.
        let others: Vec<usize> = (0..3).filter(|i| *i != old).collect();
        others.iter().for_each(|i| group.nodes[*i].signal("STOP"));
        // What is on its way to them would be read when they wake.
        let _: i64 = ask(&mut login_to(&group.nodes[old], "data-7"), "CLIENT KILL TYPE slave");
        let all = load(&mut stream, 5);
        server::wait_until("published there", SOON, || group.shows(all));
        group.nodes[old].kill();
        let began = Instant::now();
        others.iter().for_each(|i| group.nodes[*i].signal("CONT"));
        let all = load(&mut stream, 30);
        server::wait_until("another primary", SOON, || group.primary() != old);
        let found = began.elapsed();
        server::wait_until("all of it", SOON, || group.shows(all));
        println!("kill {turn}: another primary after {found:.1?}, whole after {:.1?}", began.elapsed());
        group.nodes[old].restart();
        let port = group.nodes[old].port;
        server::wait_until("the old one is a replica", SOON, || {
            let mut client = login_to(&group.nodes[old], "data-7");
            // A sentinel that makes it a replica cuts its clients off.
            let info = redis::cmd("INFO").arg("replication").query::<String>(&mut client).unwrap_or_default();
            info.contains("role:slave") && info.contains("master_link_status:up") && port > 0
        });
    }
    // In good order: the old one lives on and takes no writes.
    let old = group.primary();
    server::wait_until("the last failover is over", SOON, || {
        let mut client = login_to(&group.sentinels[0], "sentinel-7");
        redis::cmd("SENTINEL").arg("FAILOVER").arg("main").query::<()>(&mut client).is_ok()
    });
    let began = Instant::now();
    let mut all = load(&mut stream, 1);
    server::wait_until("another primary", SOON, || {
        all = load(&mut stream, 1);
        group.primary() != old
    });
    let found = began.elapsed();
    server::wait_until("all of it", SOON, || group.shows(all));
    // For some ten seconds the old one goes on taking writes.
    assert!(
        began.elapsed() - found < Duration::from_secs(6),
        "{:?} after the other was named",
        began.elapsed() - found
    );
    println!("failover in good order: another primary after {found:.1?}, whole after {:.1?}", began.elapsed());
    stream.close();
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    assert!(words.matches("redis has lost data: all profiles are published again").count() >= 2, "{words}");
    assert!(!words.contains("-7"), "a password is shown: {words}");
    assert!(group.shows(all));

    // Other commands find it in the same way.
    let run = |args: &str, change: &[(&str, &str)]| {
        let mut run = dir.adprof(args);
        for (name, value) in group.environment() {
            run = run.env(name, change.iter().find(|(n, _)| *n == name).map_or(&value, |(_, value)| value));
        }
        run.output()
    };
    let shown = run("query u7", &[]);
    assert!(shown.stdout.contains(&format!("\"clicks\":{all}")), "{}{}", shown.stdout, shown.stderr);
    server::wait_until("the demoted one is a replica, and doctor says so", SOON, || {
        run("doctor", &[]).stdout.contains("`main`, known to sentinels, with 2 replicas")
    });
    let wrong = run("query u7", &[("REDIS_SENTINEL_PASSWORD", "canary")]);
    assert_eq!(wrong.code, 77, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("REDIS_SENTINEL_PASSWORD") && !wrong.stderr.contains("canary"), "{}", wrong.stderr);
    assert_eq!(run("query u7", &[("REDIS_PASSWORD", "canary")]).code, 77);
    // Users with few rights, of the servers and of the sentinels.
    let page = std::fs::read_to_string(support::project().join("docs/redis.md")).expect("a page");
    let line = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER adprof on >PASSWORD ")).expect("the line");
    let allow = |node: &Node, login: &str, rights: String| {
        let _: () = ask(&mut login_to(node, login), &format!("ACL SETUSER adprof reset on >pw {rights}"));
    };
    let few = |role: &str, sentinel: &str| {
        group.nodes.iter().for_each(|node| allow(node, "data-7", format!("{line} {role}")));
        group.sentinels.iter().for_each(|node| allow(node, "sentinel-7", format!("-@all {sentinel}")));
        let url = group.url().replace("://", "://adprof@");
        let environment = [
            ("REDIS_URL", &*url),
            ("REDIS_PASSWORD", "pw"),
            ("REDIS_SENTINEL_USERNAME", "adprof"),
            ("REDIS_SENTINEL_PASSWORD", "pw"),
        ];
        let mut run = dir.adprof("query u7");
        for (name, value) in environment {
            run = run.env(name, value);
        }
        run.output().code
    };
    assert_eq!(few("+role", "+sentinel|get-master-addr-by-name"), 0);
    assert_eq!(few("", "+sentinel|get-master-addr-by-name"), 77);
    assert_eq!(few("+role", ""), 77);
    let unknown = run("query u7", &[("REDIS_URL", &group.url().replace("/main", "/other"))]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("no primary of the name `other`"), "{}", unknown.stderr);
    group.sentinels.truncate(1);
    let url = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main", group.sentinels[0].port);
    let mut one = dir.adprof("query u7");
    for (name, value) in group.environment() {
        one = one.env(name, if name == "REDIS_URL" { &url } else { &value });
    }
    one.exits(0);
    let url = "redis+sentinel://127.0.0.1:1,127.0.0.1:2/main";
    assert_eq!(dir.adprof("query u7").env("REDIS_URL", url).output().code, 69);
}
