//! Redis and Kafka as targets: the real ones, read by other clients.

use crate::kafka;
use crate::support::{adprof_path, clean_environment, project, redis, unique};
use crate::world::{hard, many};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What `redis-cli` says.
fn ask(url: &str, command: &[&str]) -> Vec<String> {
    let out = Command::new("redis-cli").args(["-u", url]).args(command).output().expect("redis-cli runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut lines: Vec<String> = String::from_utf8(out.stdout).expect("UTF-8").lines().map(str::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn a_set_has_the_members_and_takes_its_place_at_once() {
    let Some(url) = redis() else { return };
    let dir = hard();
    let (set, run) = (unique(), |args: &str| dir.adprof(&format!("export {args}")).env("REDIS_URL", &url));
    let out = run(&format!("--segment vips --to redis --set {set}")).exits(0);
    assert!(out.stderr.contains(&format!("exported 2 of 9 profiles into the set {set} of redis://")), "{}", out.stderr);
    assert_eq!(
        (ask(&url, &["SMEMBERS", &set]), ask(&url, &["TTL", &set])),
        (vec!["Anna@Example.org".into(), "u-001".into()], vec!["-1".into()])
    );
    // Others, for a while.
    run(&format!("-q --where age=17 --to {url} --set {set} --expire 7d")).ok();
    assert_eq!(ask(&url, &["SMEMBERS", &set]), ["u-002"]);
    let left: u64 = ask(&url, &["TTL", &set])[0].parse().expect("seconds");
    assert!((600_000..=604_800).contains(&left), "{left}");
    // Again for good.
    run(&format!("-q --where age=17 --to redis --set {set} --hash sha256")).ok();
    assert_eq!(ask(&url, &["SMEMBERS", &set]), [sha256("u-002")]);
    assert_eq!(ask(&url, &["TTL", &set]), ["-1"]);
    // Nobody is no set, also where none was.
    for _ in 0..2 {
        run(&format!("-q --where age=1000 --to redis --set {set}")).ok();
        assert_eq!(ask(&url, &["EXISTS", &set]), ["0"]);
    }
    // What is not a set stays.
    ask(&url, &["HSET", &set, "a", "b"]);
    for rule in ["age=17", "age=1000"] {
        let out = run(&format!("--where {rule} --to redis --set {set}")).exits(2);
        assert!(out.stderr.contains("is not a SET"), "{}", out.stderr);
    }
    assert_eq!(
        (ask(&url, &["HGET", &set, "a"]), ask(&url, &["KEYS", &format!("*{set}*")])),
        (vec!["b".into()], vec![set.clone()])
    );
    ask(&url, &["DEL", &set]);
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_user_of_redis_needs_the_rights_that_the_manual_names_and_each_of_them() {
    let Some(url) = redis() else { return };
    let (dir, set) = (hard(), unique());
    let page = std::fs::read_to_string(project().join("docs/redis.md")).expect("a page");
    let line = page.lines().find(|line| line.contains("`export --to redis`")).expect("a line");
    let rights: Vec<String> =
        line.rsplit('`').nth(1).expect("rights").split(' ').map(|right| right.replace("KEY", &set)).collect();
    assert!(rights.len() == 10 && rights[0] == format!("~{set}*"), "{rights:?}");
    let own = url.replacen("redis://", &format!("redis://{set}@"), 1);
    let code = |rights: &[&String]| {
        let mut command = vec!["ACL", "SETUSER", &set, "reset", "on", ">pw"];
        command.extend(rights.iter().map(|right| right.as_str()));
        ask(&url, &command);
        let runs = ["--where age=17 --expire 1d", "--where age=17", "--where age=1000"].map(|flags| {
            let run = dir.adprof(&format!("export -q {flags} --to redis --set {set}"));
            run.env("REDIS_URL", &own).env("REDIS_PASSWORD", "pw").output().code
        });
        runs.into_iter().max().expect("three")
    };
    assert_eq!(code(&rights.iter().collect::<Vec<_>>()), 0);
    for one in &rights {
        assert_eq!(code(&rights.iter().filter(|right| *right != one).collect::<Vec<_>>()), 77, "without {one}");
    }
    ask(&url, &["ACL", "DELUSER", &set]);
    ask(&url, &["DEL", &set]);
}

#[test]
fn killed_in_the_middle_readers_keep_the_former_set_and_what_is_left_goes_by_itself() {
    const USERS: usize = 60_000;
    let Some(url) = redis() else { return };
    let (dir, set) = (many(USERS), unique());
    dir.adprof(&format!("export -q --where age=5 --to redis --set {set}")).env("REDIS_URL", &url).ok();
    let former = ask(&url, &["SCARD", &set]);
    let temporary = format!("{set}:adprof-tmp:*");
    let mut cut = false;
    for _ in 0..20 {
        let mut child = Command::new(adprof_path())
            .args(["export", "-q", "--to", "redis", "--set", &set])
            .current_dir(dir.path())
            .env_clear()
            .envs(clean_environment())
            .env("REDIS_URL", &url)
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        while ask(&url, &["KEYS", &temporary]) == [""] && child.try_wait().expect("asked").is_none() {}
        child.kill().expect("killed");
        child.wait().expect("ended");
        let size = ask(&url, &["SCARD", &set]);
        assert!(size == former || size == [USERS.to_string()], "{size:?}");
        let left = ask(&url, &["KEYS", &temporary]);
        if left != [""] {
            assert_eq!(size, former);
            let ms: i64 = ask(&url, &["PTTL", &left[0]])[0].parse().expect("ms");
            assert!(ms > 0 && ms <= 3_600_000, "{ms}");
            ask(&url, &["DEL", &left[0]]);
            cut = true;
            break;
        }
        dir.adprof(&format!("export -q --where age=5 --to redis --set {set}")).env("REDIS_URL", &url).ok();
    }
    assert!(cut, "no run was caught in the middle");
    dir.adprof(&format!("export -q --to redis --set {set}")).env("REDIS_URL", &url).ok();
    assert_eq!(ask(&url, &["SCARD", &set]), [USERS.to_string()]);
    ask(&url, &["DEL", &set]);
}

/// An address before the server: so many bytes get through to it, and then nothing more, for as long as a client waits.
fn passing(bytes: usize, url: &str) -> String {
    let server = url.trim_start_matches("redis://").trim_end_matches('/').to_string();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = format!("redis://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        let left = Arc::new(Mutex::new(bytes));
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&server) else { continue };
            let copy = |stream: &TcpStream| stream.try_clone().expect("a copy");
            let (mut from, mut to, left) = (copy(&client), copy(&server), left.clone());
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    let mut left = left.lock().expect("no panic");
                    let pass = n.min(*left);
                    *left -= pass;
                    if to.write_all(&buffer[..pass]).is_err() {
                        return;
                    }
                }
            });
            let (mut from, mut to) = (server, client);
            thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    own
}

#[test]
fn wherever_a_writer_is_cut_off_what_it_leaves_goes_by_itself() {
    let Some(url) = redis() else { return };
    let (dir, set) = (many(9_000), unique());
    let temporary = format!("{set}:adprof-tmp:*");
    let mut left_by = 0;
    for step in 1..12 {
        let mut child = Command::new(adprof_path())
            .args(["export", "-q", "--to", "redis", "--set", &set])
            .current_dir(dir.path())
            .env_clear()
            .envs(clean_environment())
            .env("REDIS_URL", passing(step * 12_000, &url))
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let until = Instant::now() + Duration::from_secs(5);
        let found = loop {
            let found = ask(&url, &["KEYS", &temporary]);
            if found != [""] || Instant::now() > until || child.try_wait().expect("asked").is_some() {
                break found;
            }
        };
        child.kill().expect("killed");
        child.wait().expect("ended");
        for key in found.iter().filter(|key| !key.is_empty()) {
            let ms: i64 = ask(&url, &["PTTL", key])[0].parse().expect("ms");
            assert!(ms > 0 && ms <= 3_600_000, "after {} bytes: {ms}", step * 12_000);
            ask(&url, &["DEL", key]);
            left_by += 1;
        }
    }
    assert!(left_by > 5, "{left_by} of 11 writers left ids");
    assert_eq!(ask(&url, &["EXISTS", &set]), ["0"]);
}

/// Everything in a topic.
fn messages(broker: &str, topic: &str) -> Vec<(String, String)> {
    let wait = Duration::from_secs(20);
    let consumer: BaseConsumer = kafka::config(broker).set("group.id", "test").create().expect("consumer");
    let metadata = consumer.fetch_metadata(Some(topic), wait).expect("metadata");
    let (mut list, mut total) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), wait).expect("watermarks");
        total += (high - low) as usize;
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("added");
    }
    consumer.assign(&list).expect("assigned");
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("there").to_vec()).expect("UTF-8");
    let mut found = Vec::new();
    while found.len() < total {
        let message = consumer.poll(wait).expect("a message in time").expect("no fault");
        found.push((text(message.key()), text(message.payload())));
    }
    found
}

#[test]
fn a_topic_has_a_message_for_each_member_under_his_id() {
    let Some(broker) = kafka::broker() else { return };
    let dir = many(5_000);
    let topic = kafka::create_topic(&broker, "export", 3);
    let out = dir.adprof(&format!("export --segment adults --tags age --to kafka -b {broker} -t {topic}")).exits(0);
    let lines = dir.adprof("export -q --segment adults --tags age --format ndjson").ok();
    let want: BTreeMap<String, String> =
        lines.lines().map(|line| (line.split('"').nth(3).expect("an id").to_string(), line.to_string())).collect();
    assert!(
        out.stderr.contains(&format!("delivered {} messages to topic {topic}", grouped(want.len()))),
        "{}",
        out.stderr
    );
    let found = messages(&broker, &topic);
    assert_eq!(found.len(), want.len(), "each once");
    assert!(found.into_iter().collect::<BTreeMap<_, _>>() == want);
    // Hashed, as OpenRTB.
    let topic = kafka::create_topic(&broker, "export", 1);
    let flags = "--format openrtb --segment adults --hash sha256";
    dir.adprof(&format!("export -q {flags} --to kafka -b {broker} -t {topic}")).ok();
    let found = messages(&broker, &topic);
    assert_eq!(found.len(), want.len());
    for (key, value) in &found {
        assert!(
            value.starts_with(&format!("{{\"id\":\"{key}\",\"data\":[{{\"id\":\"adprof\"")) && key.len() == 64,
            "{value}"
        );
    }
    let keys: std::collections::BTreeSet<_> = found.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, want.keys().map(|id| sha256(id)).collect());
}

fn grouped(n: usize) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", n / 1000, n % 1000) }
}

#[test]
fn a_kafka_that_is_away_is_69_and_a_topic_that_is_not_there_66() {
    let dir = many(10);
    let began = Instant::now();
    let out = dir.adprof("export --to kafka -b 127.0.0.1:1 -t audience --ship-timeout 1s").exits(69);
    assert!(out.stderr.contains("127.0.0.1:1") && began.elapsed() < Duration::from_secs(20), "{}", out.stderr);
    let out = dir.adprof("export --to redis://127.0.0.1:1 --set a").exits(69);
    assert!(out.stderr.contains("is Redis running there?") && !out.stderr.contains("--store"), "{}", out.stderr);
    let Some(broker) = kafka::broker() else { return };
    let out = dir.adprof(&format!("export --to kafka -b {broker} -t {}", kafka::unique("none"))).exits(66);
    assert!(out.stderr.contains("has no topic"), "{}", out.stderr);
}

#[test]
fn what_does_not_go_together_says_so() {
    let dir = many(1);
    for (args, why) in [
        ("--to redis", "--set KEY"),
        ("--set a", "--to"),
        ("--to kafka", "no topic named"),
        ("-t a -b b:1", "--to kafka"),
        ("--to kafka -t a -b b:1 --set x", "a set is for Redis"),
        ("--to kafka -t a -b b:1 --format csv", "a line of JSON"),
        ("--to kafka -t a -b b:1 --compress gzip", "by itself"),
        ("--to redis --set a --format csv", "no format"),
        ("--to redis --set a --expire 0s", "--expire"),
        ("--to redis --set a -o out.csv", "cannot be used with"),
        ("--to redis://:secret@h --set a", "password on the command line"),
        ("--to file:dir --set a", "--to names a Redis"),
        ("--to elsewhere --set a", "elsewhere"),
        ("--to redis --set a --manifest", "are of files"),
        ("--to redis --set a --partitions 2", "are of files"),
    ] {
        let out = dir.adprof(&format!("export {args}")).exits(2);
        assert!(out.stderr.contains(why), "{args}: {}", out.stderr);
    }
}
