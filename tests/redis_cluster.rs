//! A real Redis Cluster: every profile gets to the node that has it, wherever that is by now, and what a node loses comes back.
//!
//! Profiles are read by `redis-cli -c`, which knows nothing of ours.

#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/redis.rs"]
mod server;
mod streams;
mod support;

use adprof::key::Key;
use adprof::patch::Patch;
use adprof::store::redis::{Patience, Published};
use adprof::store::{Location, Redis};
use server::{Node, free_port, wait_until};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use streams::{click, now};
use support::{Dir, Running};

const SOON: Duration = Duration::from_secs(40);
const USERS: usize = 2000;

/// Three primaries, with a replica each or none.
struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    fn start() -> Option<Cluster> {
        Cluster::with_replicas(1)
    }

    fn with_replicas(replicas: usize) -> Option<Cluster> {
        let all = 3 * (replicas + 1);
        let node = || {
            let bus = free_port().to_string();
            let at_once = ["--repl-diskless-sync-delay", "0"];
            let flags = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-port", &bus];
            Node::start(&[&flags[..], &at_once].concat())
        };
        let nodes = (0..all).map(|_| node()).collect::<Option<Vec<Node>>>()?;
        let places = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let create = ["--cluster", "create"].map(str::to_string).into_iter().chain(places);
        let made = Command::new("redis-cli")
            .args(create)
            .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
            .output();
        let made = made.expect("redis-cli runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let cluster = Cluster { nodes };
        wait_until("the cluster is whole", SOON, || {
            cluster.nodes.iter().all(|node| {
                let info: String = node.ask("CLUSTER INFO");
                let copies: String = node.ask("INFO replication");
                // A replica that has never had its primary's data does not take its place.
                let has_all = copies.contains("role:master") || copies.contains("master_link_status:up");
                let is_ok = info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{all}"));
                has_all && is_ok
            }) && cluster.primaries().len() == 3
                && cluster.lines().iter().filter(|line| line.contains("slave")).count() == 3 * replicas
        });
        Some(cluster)
    }

    fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port, self.nodes[4].port)
    }

    fn open(&self) -> Redis {
        let patience = Patience {
            connect: Duration::from_secs(2),
            reply: Duration::from_secs(2),
            give_up: Duration::from_secs(10),
        };
        let Location::Redis(url) = Location::parse(&self.url()).expect("an address") else { panic!("not Redis") };
        Redis::connect(&url, patience).expect("connected")
    }

    /// The lines of CLUSTER NODES of those that live.
    fn lines(&self) -> Vec<String> {
        let live = self.nodes.iter().find(|node| is_up(node)).expect("one lives");
        let text: String = live.ask("CLUSTER NODES");
        text.lines().filter(|line| !line.contains("fail")).map(str::to_string).collect()
    }

    /// The places of the primaries with slots among the nodes, and their ids.
    fn primaries(&self) -> Vec<(usize, String)> {
        let node = |line: &String| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let port: u16 = words[1].split(['@', ',']).next()?.rsplit(':').next()?.parse().ok()?;
            let at = self.nodes.iter().position(|node| node.port == port)?;
            (words[2].contains("master") && words.len() > 8).then(|| (at, words[0].to_string()))
        };
        self.lines().iter().filter_map(node).collect()
    }

    /// A field of some profiles, read by another client.
    fn read(&self, ids: &[String], field: &str) -> Option<Vec<String>> {
        let live = self.nodes.iter().find(|node| is_up(node)).expect("one lives");
        let commands: String = ids.iter().map(|id| format!("HGET profile:{id} {field}\n")).collect();
        let mut client = Command::new("redis-cli")
            .args(["-c", "-p", &live.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-cli runs");
        let mut stdin = client.stdin.take().expect("piped");
        let writer = std::thread::spawn(move || stdin.write_all(commands.as_bytes()));
        let output = client.wait_with_output().expect("it ends");
        writer.join().expect("joined").ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with("-> Redirected"));
        let lines: Vec<String> = lines.map(str::to_string).collect();
        (lines.len() == ids.len()).then_some(lines)
    }

    fn shows(&self, each: usize) -> bool {
        let each = each.to_string();
        self.read(&users(), "clicks").is_some_and(|found| found.iter().all(|text| *text == each))
    }

    fn set(&self, key: &str, value: &str) {
        self.cli(&format!("-c -p {} SET {key} {value}", self.nodes[0].port));
    }

    fn cli(&self, args: &str) {
        let output = Command::new("redis-cli").args(args.split_whitespace()).output().expect("redis-cli runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{args}: {text}");
    }
}

fn is_up(node: &Node) -> bool {
    let client = redis::Client::open(node.url()).expect("an address");
    client.get_connection_with_timeout(Duration::from_millis(300)).is_ok()
}

fn users() -> Vec<String> {
    (0..USERS).map(|i| format!("u{i}")).collect()
}

/// One more click of each user.
fn round(n: usize) -> String {
    (0..USERS).map(|i| click(&format!("e{n}-{i}"), &format!("u{i}"), now()) + "\n").collect()
}

/// A stream and how often each user has clicked.
struct Load {
    stream: Running,
    rounds: usize,
}

impl Load {
    fn start(dir: &Dir, cluster: &Cluster, flags: &str) -> Load {
        dir.write("adprof.toml", "[[tag]]\ncode = \"clicks\"\nvalue = \"count(*)\"\n");
        Load { stream: dir.start(&format!("stream --store {} {flags}", cluster.url())), rounds: 0 }
    }

    fn more(&mut self, n: usize) -> usize {
        for _ in 0..n {
            self.rounds += 1;
            assert!(self.stream.feed(round(self.rounds)), "it has ended");
            kafka::pause(20);
        }
        self.rounds
    }

    fn end(mut self) -> String {
        self.stream.close();
        let (code, words) = self.stream.end();
        assert_eq!(code, 0, "{words}");
        words
    }
}

#[test]
fn a_primary_that_is_emptied_or_gives_slots_away_costs_no_value() {
    let Some(cluster) = Cluster::start() else { return };
    let dir = Dir::new();
    let mut load = Load::start(&dir, &cluster, "");
    let all = load.more(20);
    wait_until("published", SOON, || cluster.shows(all));

    // Slots are moved while values come in. Nothing is lost by that, and nothing is said to be.
    let [(_, from), (_, to), _] = &cluster.primaries()[..] else { panic!("not three") };
    let place = format!("127.0.0.1:{}", cluster.nodes[0].port);
    let move_slots =
        format!("--cluster reshard {place} --cluster-from {from} --cluster-to {to} --cluster-slots 300 --cluster-yes");
    let all = std::thread::scope(|scope| {
        let mover = scope.spawn(|| cluster.cli(&move_slots));
        let mut all = load.rounds;
        while !mover.is_finished() {
            all = load.more(1);
        }
        mover.join().expect("moved");
        all
    });
    assert!(all > 21, "too fast to prove anything");
    wait_until("all of it after the move", SOON, || cluster.shows(all));
    let words = load.end();
    assert!(!words.contains("lost"), "a move is no loss: {words}");
    let mut load = Load { rounds: all, ..Load::start(&dir, &cluster, "") };
    let all = load.more(1);
    wait_until("it goes on", SOON, || cluster.shows(all));

    // One is emptied while nothing comes, and not the one with the main token: only a look at its slots shows it.
    let has_token = |at: usize| !cluster.nodes[at].ask::<Vec<String>>("KEYS adprof:token").is_empty();
    let (at, _) = *cluster.primaries().iter().find(|(at, _)| !has_token(*at)).expect("two of them");
    let began = Instant::now();
    let _: () = cluster.nodes[at].ask("FLUSHALL");
    wait_until("noticed and repaired", SOON, || cluster.shows(all));
    println!("FLUSHALL of one: whole after {:.1?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10));
    let words = load.end();
    assert!(words.contains("redis has lost data"), "{words}");
}

#[test]
fn a_primary_that_is_killed_while_its_replica_stands_still_costs_no_value() {
    let Some(mut cluster) = Cluster::start() else { return };
    let dir = Dir::new();
    let mut load = Load::start(&dir, &cluster, "");
    let all = load.more(20);
    wait_until("published", SOON, || cluster.shows(all));
    // What comes from here on is lost with it.
    let (at, _) = cluster.primaries()[0];
    let others: Vec<usize> = cluster.primaries().iter().map(|(at, _)| *at).collect();
    let replicas: Vec<usize> = (0..6).filter(|i| !others.contains(i)).collect();
    replicas.iter().for_each(|i| cluster.nodes[*i].signal("STOP"));
    // What is on its way to a replica would be read when it wakes.
    let _: i64 = cluster.nodes[at].ask("CLIENT KILL TYPE slave");
    let all = load.more(3);
    wait_until("published there", Duration::from_secs(5), || cluster.shows(all));
    cluster.nodes[at].kill();
    replicas.iter().for_each(|i| cluster.nodes[*i].signal("CONT"));
    let began = Instant::now();
    let all = load.more(15);
    wait_until("all of it after the failover", SOON, || cluster.shows(all));
    println!("kill -9 of a primary: whole after {:.1?}", began.elapsed());
    cluster.nodes[at].restart();
    let words = load.end();
    assert!(words.contains("redis has lost data"), "{words}");
    assert!(cluster.shows(all));
    let shown = dir.adprof(&format!("query --store {} u7", cluster.url())).ok();
    assert!(shown.contains(&format!("\"clicks\":{all}")), "{shown}");
}

#[test]
fn a_writer_that_was_asleep_gets_no_value_in_after_another_has_taken_over() {
    let Some(cluster) = Cluster::start() else { return };
    let dir = Dir::new();
    let mut first = Load::start(&dir, &cluster, "--state one");
    let all = first.more(5);
    wait_until("published", SOON, || cluster.shows(all));
    first.stream.signal("STOP");
    let mut second = Load::start(&dir, &cluster, "--state two");
    let all = second.more(9);
    wait_until("the second publishes", SOON, || cluster.shows(all));
    first.stream.signal("CONT");
    let _ = first.stream.feed(round(99));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        assert!(cluster.shows(all), "a value of the first one got in");
    }
    let (code, words) = first.stream.end();
    assert_eq!(code, 75, "{words}");
    let words = second.end();
    assert!(words.contains("took the projection over from another state") && !words.contains("lost"), "{words}");
    assert!(cluster.shows(all));
}

fn line(id: &str, n: usize) -> String {
    format!("{{\"userId\":{id:?},\"asOf\":1,\"tags\":{{\"n\":{n},\"gone\":null}}}}\n")
}

fn patch(id: &str, n: usize) -> Patch {
    Patch::parse(line(id, n).trim_end()).expect("a patch")
}

/// Takes the projection for `state`, in the place of `found`; what stands there then.
fn claim(redis: &mut Redis, found: Option<&str>, number: u64, state: &str) -> String {
    let text = format!("{state}-{number}");
    assert!(redis.newest_claim("adprof:token:t").expect("read").is_some_and(|newest| newest < number));
    let put = redis.apply_with_token(&[], "adprof:token:t", found, &text).expect("answered");
    assert!(matches!(put, Published::Applied(_)), "{put:?}");
    assert!(redis.hold("adprof:token:t", number, state).expect("held"));
    text
}

#[test]
fn each_slot_refuses_a_writer_whose_claim_is_over_even_one_that_has_just_looked() {
    let Some(cluster) = Cluster::start() else { return };
    let (mut old, mut new) = (cluster.open(), cluster.open());
    let ids: Vec<String> = (0..3000).map(|i| format!("u{i}")).collect();
    let patches = |n: usize| ids.iter().map(|id| patch(id, n)).collect::<Vec<_>>();
    let shows = |n: usize| cluster.read(&ids, "n").is_some_and(|found| found.iter().all(|text| *text == n.to_string()));
    let token = claim(&mut old, None, 1, "a");
    let put = old.apply_with_token(&patches(1), "adprof:token:t", Some(&token), "a-2").expect("answered");
    assert!(matches!(put, Published::Applied(written) if written.patches == 3000));
    let taken = claim(&mut new, Some("a-2"), 2, "b");
    let put = new.apply_with_token(&patches(2), "adprof:token:t", Some(&taken), "b-3").expect("answered");
    assert!(matches!(put, Published::Applied(_)));
    // As if the old one had looked at the token just before it was taken.
    cluster.set("adprof:token:t", "a-2");
    let put = old.apply_with_token(&patches(9), "adprof:token:t", Some("a-2"), "a-4").expect("answered");
    assert!(matches!(put, Published::Fenced { .. }), "{put:?}");
    assert!(shows(2), "it wrote into a slot that was taken");
    // And a claim that comes late takes nothing.
    assert!(!old.hold("adprof:token:t", 1, "a").expect("answered"));
    assert!(shows(2));

    // A slot that lost its token, or has an old one, is noticed by the next write there, and by a look without any.
    let put = new.apply_with_token(&patches(3), "adprof:token:t", Some("a-4"), "b-5").expect("answered");
    assert!(matches!(put, Published::Applied(_)), "{put:?}");
    let (at, _) = cluster.primaries()[2];
    let _: () = cluster.nodes[at].ask("FLUSHALL");
    let found = new.token("adprof:token:t").expect("read");
    let put = new.apply_with_token(&patches(4), "adprof:token:t", found.as_deref(), "b-6").expect("answered");
    assert_eq!(put, Published::Lost);
    let now = claim(&mut new, Some("b-6"), 3, "b");
    let put = new.apply_with_token(&patches(5), "adprof:token:t", Some(&now), "b-7").expect("answered");
    assert!(matches!(put, Published::Applied(_)));
    assert!(shows(5));
}

#[test]
fn patches_of_any_id_are_written_read_and_met_once_also_while_slots_move() {
    let Some(cluster) = Cluster::start() else { return };
    let (dir, url) = (Dir::new(), cluster.url());
    let mut ids: Vec<String> = (0..3000).map(|i| format!("u{i}")).collect();
    ids.extend(["{x}a", "{x}b", "a{}b", "}{", "{", "p{\u{e4}}", "a b", "x:%41*"].map(str::to_string));
    let lines: String = ids.iter().enumerate().map(|(n, id)| line(id, n)).collect();
    cluster.set("profile:u7", "mine");
    // The same user twice in one go: the last one stays.
    let again = line("u9", 90_000);
    let output = dir.adprof(&format!("sink redis {url}")).stdin(lines + &again).exits(0);
    assert!(output.stderr.contains("not a HASH"), "{}", output.stderr);
    let mut redis = cluster.open();
    let mut want: BTreeMap<String, String> =
        ids.iter().enumerate().map(|(n, id)| (id.clone(), n.to_string())).filter(|(id, _)| id != "u7").collect();
    want.insert("u9".into(), "90000".into());
    let keys: Vec<Key> = want.keys().map(|id| Key::user("", id)).collect();
    let read = redis.get_many(&keys).expect("read");
    for ((id, n), fields) in want.iter().zip(read) {
        assert_eq!(fields, Ok(vec![("n".to_string(), n.clone())]), "{id}");
    }
    let plain: Vec<String> = (0..3000).filter(|i| *i != 7 && *i != 9).map(|i| format!("u{i}")).collect();
    let read = cluster.read(&plain, "n").expect("read");
    assert!(plain.iter().zip(read).all(|(id, n)| *id == format!("u{n}")));

    let scan = |redis: &mut Redis| {
        let found: Vec<Key> = redis.scan("", "user", 1).map(|entry| entry.expect("scanned").0).collect();
        let mut names: Vec<String> = found.iter().map(|key| key.id().to_string()).collect();
        names.sort();
        names
    };
    let mut all: Vec<String> = ids.clone();
    all.sort();
    assert_eq!(scan(&mut redis), all);
    let [(_, from), (_, to), _] = &cluster.primaries()[..] else { panic!("not three") };
    let place = format!("127.0.0.1:{}", cluster.nodes[0].port);
    let move_slots =
        format!("--cluster reshard {place} --cluster-from {from} --cluster-to {to} --cluster-slots 150 --cluster-yes");
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| cluster.cli(&move_slots));
        let mut scans = 0;
        while !mover.is_finished() || scans == 0 {
            // While slots are moved all the time it may say so; what it gives is whole.
            let entries: Result<Vec<_>, _> = redis.scan("", "user", 1).collect();
            match entries {
                Ok(entries) => assert_eq!(entries.len(), all.len(), "a key was passed by"),
                Err(error) => assert!(error.message.contains("slots are being moved"), "{error}"),
            }
            scans += 1;
        }
        mover.join().expect("moved");
    });
    assert_eq!(scan(&mut redis), all);

    let doctor = dir.adprof(&format!("doctor --store {url}")).output();
    assert!(doctor.stdout.contains("a cluster of 3 primaries with 3 replicas"), "{}", doctor.stdout);
    let one = format!("redis://127.0.0.1:{}", cluster.nodes[0].port);
    let wrong = dir.adprof(&format!("sink redis {one}")).stdin(line("u1", 1) + &again).output();
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("hint: that is a cluster: write redis+cluster://"), "{}", wrong.stderr);
    let Some(single) = Node::start(&[]) else { return };
    let wrong = dir.adprof(&format!("query --store redis+cluster://127.0.0.1:{} u1", single.port)).output();
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("that is no cluster"), "{}", wrong.stderr);
}

#[test]
fn in_a_cluster_a_user_needs_the_rights_that_the_manual_names_and_each_of_them() {
    let Some(cluster) = Cluster::with_replicas(0) else { return };
    let page = std::fs::read_to_string(support::project().join("docs/redis.md")).expect("a page");
    let mut lines = page.lines().filter_map(|line| line.strip_prefix("ACL SETUSER adprof on >PASSWORD "));
    let rights: Vec<&str> = lines.nth(1).expect("the second line").split_whitespace().collect();
    assert!(rights.contains(&"+evalsha"), "{rights:?}");
    let allow = |rights: &[&str]| {
        for node in &cluster.nodes {
            let mut command = redis::cmd("ACL");
            command.arg("SETUSER").arg("adprof").arg("reset").arg("on").arg(">pw").arg(rights);
            let _: () = command.query(&mut node.client()).expect("set");
        }
    };
    let url = format!("redis+cluster://adprof@127.0.0.1:{}", cluster.nodes[0].port);
    let everything = || {
        let dir = Dir::new();
        let runs = [
            ("sink redis".to_string(), line("u1", 1) + &line("u2", 2)),
            ("stream --store redis".into(), click("e1", "u1", now()) + "\n"),
            ("query u1".into(), String::new()),
            ("export".into(), String::new()),
        ];
        for (args, input) in runs {
            let output = dir.adprof(&args).env("REDIS_URL", &url).env("REDIS_PASSWORD", "pw").stdin(input).output();
            if output.code != 0 {
                return (output.code, output.stderr);
            }
        }
        (0, String::new())
    };
    allow(&rights);
    let (code, words) = everything();
    assert_eq!(code, 0, "{words}");
    // Nothing is asked of another node while no slot is moved.
    for one in rights.iter().filter(|right| right.starts_with(['+', '~']) && **right != "+asking") {
        allow(&rights.iter().filter(|right| *right != one).copied().collect::<Vec<_>>());
        let (code, words) = everything();
        assert_eq!(code, 77, "without {one}: {words}");
        assert!(words.contains("hint: "), "without {one}: {words}");
    }
}

#[test]
fn forgotten_users_are_gone_from_every_node() {
    let Some(cluster) = Cluster::start() else { return };
    let dir = Dir::new();
    let patch = |i: usize| format!("{{\"userId\":\"u{i}\",\"asOf\":1,\"tags\":{{\"ltv_total\":{i}}}}}\n");
    let url = cluster.url();
    dir.adprof(&format!("sink redis {url}")).stdin((0..60).map(patch).collect::<String>()).ok();
    let ids: String = (0..50).map(|i| format!("u{i}\n")).collect();
    let said = dir.adprof(&format!("forget - --store {url}")).stdin(ids).exits(0);
    assert!(said.stderr.contains(": 50 profiles"), "{}", said.stderr);
    let left: i64 = cluster.primaries().iter().map(|(node, _)| cluster.nodes[*node].ask::<i64>("DBSIZE")).sum();
    assert_eq!(left, 10);
}

#[test]
fn an_exported_set_is_gathered_in_its_own_slot_and_put_there_in_one_step() {
    let Some(cluster) = Cluster::with_replicas(0) else { return };
    let dir = Dir::new();
    dir.adprof("sink file").stdin((0..USERS).map(|n| line(&format!("u{n}"), n)).collect::<String>()).ok();
    let url = format!("redis+cluster://127.0.0.1:{}", cluster.nodes[0].port);
    let ask = |command: &[&str]| {
        let port = cluster.nodes[1].port.to_string();
        let out = Command::new("redis-cli").args(["-c", "-p", &port]).args(command).output().expect("redis-cli runs");
        String::from_utf8(out.stdout).expect("UTF-8").trim().to_string()
    };
    // In one slot each, on all three nodes, with and without a tag of its own.
    for set in ["fans", "{audience}:fans", "b", "c"] {
        dir.adprof(&format!("export -q --to {url} --set {set}")).ok();
        assert_eq!(ask(&["SCARD", set]), USERS.to_string(), "{set}");
        assert_eq!((ask(&["SISMEMBER", set, "u7"]), ask(&["TTL", set])), ("1".into(), "-1".into()), "{set}");
        dir.adprof(&format!("export -q --to {url} --set {set} --where ltv_total<0")).ok();
        assert_eq!(ask(&["EXISTS", set]), "0", "{set}");
    }
    for set in ["a}b", "x{}y"] {
        let out = dir.adprof(&format!("export --to {url} --set {set}")).exits(2);
        assert!(out.stderr.contains("cannot have this name") && out.stderr.contains("hash tag"), "{}", out.stderr);
    }
}
