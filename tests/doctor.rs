//! `adprof doctor` against real servers and files in each of the states it warns of.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use streams::Server;
use support::Dir;

/// Level and words by check.
type Findings = BTreeMap<String, (String, String)>;

/// Runs the doctor, whose exit code must say whether there is a risk.
fn doctor(dir: &Dir, args: &str, env: &[(&str, &str)]) -> Findings {
    let mut run = dir.adprof(&format!("doctor --json {args}"));
    for (name, value) in env {
        run = run.env(name, value);
    }
    let output = run.output();
    let findings: Findings = output
        .stdout
        .lines()
        .map(|line| {
            let finding: Value = serde_json::from_str(line).expect("NDJSON");
            let text = |name: &str| finding[name].as_str().unwrap_or_default().to_string();
            (text("check"), (text("level"), format!("{} {}", text("what"), text("hint"))))
        })
        .collect();
    let risks = findings.values().filter(|(level, _)| level == "risk").count();
    assert_eq!(output.code, i32::from(risks > 0), "{findings:?}\n{}", output.stderr);
    findings
}

#[track_caller]
fn finds(findings: &Findings, check: &str, level: &str, words: &str) {
    let found = findings.get(check).unwrap_or_else(|| panic!("no {check} in {findings:?}"));
    assert!(found.0 == level && found.1.contains(words), "{check}: {found:?}, wanted {level}: {words}");
}

fn set(server: &Server, command: &[&str]) {
    let mut to = redis::cmd(command[0]);
    command[1..].iter().for_each(|argument| {
        to.arg(*argument);
    });
    to.exec(&mut server.client()).expect("done");
}

#[test]
fn redis_is_judged_by_what_it_says_of_itself() {
    let Some(server) = Server::start() else { return };
    let dir = Dir::new();
    let url = server.url();
    let look = || doctor(&dir, &format!("--store {url}"), &[]);

    let found = look();
    finds(&found, "redis", "ok", "Redis ");
    finds(&found, "redis.role", "ok", "primary");
    finds(&found, "redis.persistence", "risk", "nothing is kept");
    finds(&found, "redis.eviction", "ok", "noeviction");
    finds(&found, "redis.memory", "ok", "the machine");
    finds(&found, "redis.clock", "ok", "agrees");

    set(&server, &["CONFIG", "SET", "save", "3600 1"]);
    finds(&look(), "redis.persistence", "risk", "snapshots only (save 3600 1)");
    set(&server, &["CONFIG", "SET", "appendonly", "yes"]);
    set(&server, &["CONFIG", "SET", "appendfsync", "no"]);
    finds(&look(), "redis.persistence", "risk", "when the system likes");
    set(&server, &["CONFIG", "SET", "appendfsync", "everysec"]);
    finds(&look(), "redis.persistence", "ok", "everysec");

    set(&server, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    finds(&look(), "redis.eviction", "risk", "allkeys-lru");
    set(&server, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    set(&server, &["CONFIG", "SET", "maxmemory", "1000000"]);
    finds(&look(), "redis.memory", "risk", "maxmemory");
    set(&server, &["CONFIG", "SET", "maxmemory", "0"]);

    set(
        &server,
        &["ACL", "SETUSER", "reader", "on", ">canary-7", "~*", "+info", "+time", "+ping", "+hello", "+client"],
    );
    let address = url.replace("redis://", "redis://reader:canary-7@");
    let found = doctor(&dir, "", &[("REDIS_URL", &address)]);
    finds(&found, "redis.persistence", "ok", "append-only file");
    assert!(found.values().all(|(_, words)| !words.contains("canary-7")), "{found:?}");
    let found = doctor(&dir, "", &[("REDIS_URL", &address.replace("canary-7", "canary-8"))]);
    finds(&found, "redis", "risk", "REDIS_URL");
    assert!(found.values().all(|(_, words)| !words.contains("canary-8")), "{found:?}");

    set(&server, &["REPLICAOF", "127.0.0.1", "1"]);
    finds(&look(), "redis.role", "risk", "slave");
    drop(server);
    finds(&look(), "redis", "risk", "connection refused");
}

#[test]
fn a_topic_is_judged_by_its_copies_and_settings() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let topic = kafka::create_topic(&broker, "doctor", 3);
    let look = |topic: &str| doctor(&dir, &format!("-b {broker} -t {topic} --store file:none"), &[]);

    let found = look(&topic);
    finds(&found, "kafka", "ok", "3 partitions, 1 brokers, about 0 messages");
    finds(&found, "kafka.leaders", "ok", "");
    finds(&found, "kafka.copies", "risk", "one copy");
    finds(&found, "kafka.retention", "ok", "for ever");
    finds(&found, "store", "risk", "no store is there");
    for absent in ["kafka.compaction", "kafka.size", "kafka.elections", "kafka.retention_bytes"] {
        assert!(!found.contains_key(absent), "{absent}: {found:?}");
    }

    let settings = [
        ("retention.ms", "3600000"),
        ("retention.bytes", "1048576"),
        ("max.message.bytes", "100000"),
        ("cleanup.policy", "compact,delete"),
        ("unclean.leader.election.enable", "true"),
    ];
    kafka::alter(&broker, &topic, &settings);
    let found = look(&topic);
    finds(&found, "kafka.retention", "risk", "for 1h only");
    finds(&found, "kafka.retention_bytes", "risk", "1.0 MiB");
    finds(&found, "kafka.size", "risk", "256.0 KiB");
    finds(&found, "kafka.compaction", "risk", "compact");
    finds(&found, "kafka.elections", "risk", "unclean");

    finds(&look("no-such-topic"), "kafka", "risk", "no-such-topic");
    let found = doctor(&dir, "-b 127.0.0.1:1 -t x --store file:none", &[]);
    finds(&found, "kafka", "risk", "127.0.0.1:1");
}

#[test]
fn an_offset_that_retention_overtook_is_found_before_the_stream_meets_it() {
    let Some(broker) = kafka::broker() else { return };
    let dir = Dir::new();
    let topic = kafka::create_topic(&broker, "doctor", 1);
    let lines: String = (0..20).map(|n| streams::click(&format!("e{n}"), "u-1", streams::now()) + "\n").collect();
    streams::produce(&broker, &topic, &streams::keyed(&lines));
    dir.adprof(&format!("stream -b {broker} -t {topic} -e --store file:s")).ok();
    let look = || doctor(&dir, &format!("-b {broker} -t {topic} --store file:s"), &[]);
    finds(&look(), "store.offsets", "ok", "0 messages behind");
    streams::produce(&broker, &topic, &streams::keyed(&lines));
    finds(&look(), "store.offsets", "ok", "20 messages behind");
    kafka::delete_before(&broker, &topic, 0, 21);
    finds(&look(), "store.offsets", "risk", "partition 0 (next 20, there are 21 to 40)");
}

#[test]
fn a_store_is_judged_by_its_pages_its_age_and_its_definitions() {
    let dir = Dir::new();
    dir.adprof("stream --store file:s").stdin(streams::click("e", "u-1", streams::now()) + "\n").ok();
    let found = doctor(&dir, "--store file:s --deep", &[]);
    finds(&found, "store.pages", "ok", "whole");
    finds(&found, "store.age", "ok", "old");
    finds(&found, "store.definitions", "ok", "every live tag");
    finds(&found, "definitions", "ok", "5 tags");
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 1, "no probe stays");

    dir.write("adprof.toml", "[[tag]]\ncode = \"views\"\nvalue = \"count(*)\"\nwhere = \"eventType = 'view'\"\n");
    finds(&doctor(&dir, "--store file:s", &[]), "store.definitions", "risk", "does not count: views");
    dir.write("adprof.toml", "[[tag]]\ncode = \"views\"\nvalue = \"cuont(*)\"\n");
    finds(&doctor(&dir, "--store file:s", &[]), "definitions", "risk", "adprof.toml:3:");
    fs::remove_file(dir.file("adprof.toml")).expect("removed");

    // Every copy of the user's record is damaged: one of them is in use.
    let data = dir.file("s").join("data.mdb");
    let mut bytes = fs::read(&data).expect("read");
    let found: Vec<usize> = (0..bytes.len() - 3).filter(|at| &bytes[*at..*at + 3] == b"u-1").collect();
    found.iter().for_each(|at| bytes[*at] ^= 0x20);
    assert!(!found.is_empty());
    fs::write(&data, bytes).expect("written");
    finds(&doctor(&dir, "--store file:s --deep", &[]), "store.pages", "risk", "make it anew");
}

#[test]
fn a_log_is_judged_by_its_disk() {
    let dir = Dir::new();
    let event = streams::click("e", "u-1", streams::now()) + "\n";
    dir.adprof("collect").stdin(event).ok();
    let found = doctor(&dir, "--store file:none", &[]);
    finds(&found, "log.sync", "ok", "fdatasync takes");
    finds(&found, "files", "ok", "files");
    finds(&doctor(&dir, "--store file:none --log absent/x.log", &[]), "log.disk", "risk", "no such file");
    // What is kept in memory is there on every Linux.
    if Path::new("/dev/shm").is_dir() {
        finds(&doctor(&dir, "--store file:none --log /dev/shm/x.log", &[]), "log.disk", "risk", "kept in memory");
    }
}

#[test]
fn a_growing_log_is_given_its_days() {
    let dir = Dir::new();
    for day in ["2026-11-18", "2026-11-19", "2026-11-20"] {
        let folder = dir.file(&format!("log/dt={day}"));
        fs::create_dir_all(&folder).expect("made");
        // The last day has not ended: its size says nothing.
        let size = if day == "2026-11-20" { 1 << 40 } else { 3 << 20 };
        fs::File::create(folder.join("a-000.ndjson")).expect("made").set_len(size).expect("sparse");
    }
    finds(&doctor(&dir, "--store file:none --log log", &[]), "log.growth", "ok", "3.0 MiB a day lately");
    let whole = fs::File::options().write(true).open(dir.file("log/dt=2026-11-19/a-000.ndjson")).expect("open");
    whole.set_len(1 << 42).expect("sparse");
    finds(&doctor(&dir, "--store file:none --log log", &[]), "log.growth", "risk", "room for");
}
