//! The Redis store against a real server: `ADPROF_TEST_REDIS` names one, or a server of this test's own is started
//! when `redis-server` is there. Without either the tests say so and pass, unless `ADPROF_REQUIRE_SERVERS=1`.

use adprof::key::Key;
use adprof::patch::Patch;
use adprof::store::redis::{Fields, Patience, Published};
use adprof::store::{Kind, Location, Redis};
use redis::Commands;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const QUICK: Patience =
    Patience { connect: Duration::from_secs(2), reply: Duration::from_secs(2), give_up: Duration::from_secs(8) };

/// A server that a test may stop, configure and kill.
struct Server {
    child: Child,
    port: u16,
    arguments: Vec<String>,
    dir: tempfile::TempDir,
}

impl Server {
    /// `None` when there is no `redis-server` here.
    fn start(arguments: &[&str]) -> Option<Server> {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_string()).collect();
        let dir = tempfile::tempdir().expect("a directory");
        let child = Server::spawn(port, &arguments, dir.path())?;
        let server = Server { child, port, arguments, dir };
        server.wait();
        Some(server)
    }

    fn spawn(port: u16, arguments: &[String], dir: &std::path::Path) -> Option<Child> {
        let port = port.to_string();
        Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(dir)
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .ok()
    }

    fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "redis-server does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    fn restart(&mut self) {
        self.child = Server::spawn(self.port, &self.arguments, self.dir.path()).expect("started again");
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn missing(what: &str) {
    let why = format!("skipped: {what} is not there (set ADPROF_TEST_REDIS, install redis-server)");
    assert!(std::env::var("ADPROF_REQUIRE_SERVERS").as_deref() != Ok("1"), "{why}");
    eprintln!("{why}");
}

/// A server of this test's own, for what must not be done to a shared one.
fn own(arguments: &[&str]) -> Option<Server> {
    let server = Server::start(arguments);
    if server.is_none() {
        missing("redis-server");
    }
    server
}

/// The shared server, or one of this test's own.
struct Shared {
    url: String,
    _server: Option<Server>,
}

fn shared() -> Option<Shared> {
    if let Ok(url) = std::env::var("ADPROF_TEST_REDIS") {
        return Some(Shared { url, _server: None });
    }
    let server = own(&[])?;
    Some(Shared { url: server.url(), _server: Some(server) })
}

fn open(url: &str) -> Redis {
    try_open(url).expect("connected")
}

fn try_open(url: &str) -> Result<Redis, adprof::store::Error> {
    open_for(url, QUICK.give_up)
}

fn open_for(url: &str, give_up: Duration) -> Result<Redis, adprof::store::Error> {
    let Location::Redis(url) = Location::parse(url)? else { panic!("not Redis") };
    Redis::connect(&url, Patience { give_up, ..QUICK })
}

/// Another client, to look and to interfere.
fn other(url: &str) -> redis::Connection {
    redis::Client::open(url).expect("a client").get_connection().expect("connected")
}

/// Ids that no other test and no other run uses.
fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
    format!("{what}-{}-{now}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn patch(id: &str, tags: &str) -> Patch {
    Patch::parse(&format!(r#"{{"userId":{id:?},"asOf":1,"tags":{{{tags}}}}}"#)).expect("a patch")
}

fn pairs(fields: &Fields) -> Vec<(&str, &str)> {
    fields.as_ref().expect("readable").iter().map(|(f, v)| (f.as_str(), v.as_str())).collect()
}

#[test]
fn values_are_plain_text_null_removes_and_an_empty_profile_is_gone() {
    let Some(server) = shared() else { return };
    let (mut redis, mut eye) = (open(&server.url), other(&server.url));
    let id = unique("a b:*{}\u{e4}");
    let first = patch(&id, r#""seg":"sports","n":5,"ltv":150.75,"list":["a",1],"map":{"k":true},"evil":"x\r\n*1""#);
    let written = redis.apply(std::slice::from_ref(&first)).expect("applied");
    assert_eq!((written.patches, written.refused.len()), (1, 0));
    let seen: BTreeMap<String, String> = eye.hgetall(format!("profile:{id}")).expect("read");
    let want = [
        ("evil", "x\r\n*1"),
        ("list", r#"["a",1]"#),
        ("ltv", "150.75"),
        ("map", r#"{"k":true}"#),
        ("n", "5"),
        ("seg", "sports"),
    ];
    assert_eq!(seen.iter().map(|(f, v)| (f.as_str(), v.as_str())).collect::<Vec<_>>(), want);
    let keys = [first.key.clone(), Key::user("", &unique("absent")), first.key.clone()];
    let read = redis.get_many(&keys).expect("read");
    assert_eq!((pairs(&read[0]), pairs(&read[1]), pairs(&read[2])), (want.to_vec(), vec![], want.to_vec()));

    let newer = open(&format!("{}?protocol=resp3", server.url)).get_many(&keys).expect("read");
    assert_eq!(newer, read, "the newer protocol gives the same");

    redis.apply(&[patch(&id, r#""seg":null,"n":6"#)]).expect("applied");
    let read = redis.get_many(&keys[..1]).expect("read");
    assert!(pairs(&read[0]).contains(&("n", "6")) && !pairs(&read[0]).iter().any(|(f, _)| *f == "seg"));
    let all = r#""n":null,"ltv":null,"list":null,"map":null,"evil":null,"never":null"#;
    redis.apply(&[patch(&id, all), patch(&id, "")]).expect("applied");
    assert!(!eye.exists::<_, bool>(format!("profile:{id}")).expect("read"));
}

#[test]
fn thousands_of_patches_keep_their_order_and_the_last_one_stays() {
    let Some(server) = shared() else { return };
    let mut redis = open(&server.url);
    let run = unique("many");
    let patches: Vec<Patch> =
        (0..5_000).map(|i| patch(&format!("{run}-{}", i % 1_700), &format!(r#""n":{i}"#))).collect();
    assert_eq!(redis.apply(&patches).expect("applied").patches, 5_000);
    let keys: Vec<Key> = (0..1_700).map(|i| Key::user("", &format!("{run}-{i}"))).collect();
    for (i, fields) in redis.get_many(&keys).expect("read").iter().enumerate() {
        let last = (0..5_000).rev().find(|n| n % 1_700 == i).expect("one").to_string();
        assert_eq!(pairs(fields), [("n", last.as_str())]);
    }
}

#[test]
fn one_name_of_the_wrong_type_is_reported_and_the_others_flow() {
    let Some(server) = shared() else { return };
    let (mut redis, mut eye) = (open(&server.url), other(&server.url));
    let run = unique("wrong");
    let bad = format!("{run}-7");
    let _: () = eye.set(format!("profile:{bad}"), "a string").expect("set");
    let patches: Vec<Patch> = (0..10).map(|i| patch(&format!("{run}-{i}"), r#""n":1,"gone":null"#)).collect();
    let written = redis.apply(&patches).expect("applied");
    assert_eq!((written.patches, written.refused.len()), (9, 1));
    assert_eq!(written.refused[0].key, Key::user("", &bad));
    let Published::Applied(published) = redis.apply_with_token(&patches, &run, None, "1").expect("published") else {
        panic!("fenced")
    };
    assert_eq!(published, written);
    let keys: Vec<Key> = patches.iter().map(|p| p.key.clone()).collect();
    let read = redis.get_many(&keys).expect("read");
    assert!(read[7].as_ref().expect_err("a string").contains("WRONGTYPE"));
    assert_eq!(read.iter().filter(|f| f.as_ref().is_ok_and(|f| f.len() == 1)).count(), 9);
}

#[test]
fn a_token_fences_whoever_does_not_know_it() {
    let Some(server) = shared() else { return };
    let (mut mine, mut rival, mut eye) = (open(&server.url), open(&server.url), other(&server.url));
    let (run, token) = (unique("u"), unique("token"));
    let value = |n: i64| [patch(&run, &format!(r#""n":{n}"#))];
    let applied = |p: Published| matches!(p, Published::Applied(_));
    let fenced = |p: Published| match p {
        Published::Fenced { found } => found,
        Published::Applied(_) | Published::Lost => panic!("applied"),
    };
    assert_eq!(mine.token(&token).expect("read"), None);
    assert!(applied(mine.apply_with_token(&value(1), &token, None, "1:1").expect("published")));
    assert!(applied(mine.apply_with_token(&value(2), &token, Some("1:1"), "1:2").expect("published")));
    // A stranger who has no token, and one who has an old one.
    assert_eq!(
        fenced(rival.apply_with_token(&value(90), &token, None, "9:1").expect("answered")).as_deref(),
        Some("1:2")
    );
    assert_eq!(
        fenced(rival.apply_with_token(&value(91), &token, Some("1:1"), "9:1").expect("answered")).as_deref(),
        Some("1:2")
    );
    // The rival claims it: now the first is fenced, although its watch was already on.
    assert!(applied(rival.apply_with_token(&value(3), &token, Some("1:2"), "2:1").expect("published")));
    assert_eq!(
        fenced(mine.apply_with_token(&value(92), &token, Some("1:2"), "1:3").expect("answered")).as_deref(),
        Some("2:1")
    );
    // Lost altogether, as after a failover.
    let _: () = eye.del(&token).expect("deleted");
    assert_eq!(fenced(rival.apply_with_token(&value(93), &token, Some("2:1"), "2:2").expect("answered")), None);
    assert_eq!(
        eye.hget::<_, _, String>(format!("profile:{run}"), "n").expect("read"),
        "3",
        "nothing fenced was written"
    );
    // An unrelated plain write is not stopped by a watch that is on.
    let _: () = eye.set(&token, "3:1").expect("set");
    assert!(applied(mine.apply_with_token(&value(4), &token, Some("3:1"), "3:2").expect("published")));
    let _: () = eye.set(&token, "4:1").expect("set");
    assert_eq!(mine.apply(&value(5)).expect("applied").patches, 1);
    assert_eq!(eye.hget::<_, _, String>(format!("profile:{run}"), "n").expect("read"), "5");
}

#[test]
fn what_the_server_has_queued_is_written_in_its_turn_or_never() {
    let Some(server) = own(&[]) else { return };
    let (mut mine, mut eye) = (open(&server.url()), other(&server.url()));
    let encoder = mine.encoder(false).expect("a single server");
    let batch = |n: usize| [patch("last", &format!(r#""n":{n}"#)), patch(&format!("u-{n}"), r#""n":1"#)];
    let encoded: Vec<_> = (0..9).map(|n| Arc::new(encoder.encode(&batch(n)))).collect();
    let apply = |mine: &mut Redis, n: usize, expected: Option<&str>, new: &str, next: Option<usize>| {
        let mut next = || next.map(|next| encoded[next].clone());
        match mine.apply_encoded(&batch(n), &encoded[n], "tok", expected, new, &mut next).expect("answered") {
            Published::Applied(written) => Ok((written.patches, written.refused.len())),
            Published::Fenced { found } => Err(found),
            Published::Lost => panic!("a single server says so by the token"),
        }
    };
    let shown = |eye: &mut redis::Connection| eye.hget::<_, _, usize>("profile:last", "n").expect("read");
    assert_eq!(apply(&mut mine, 0, None, "0", Some(1)), Ok((2, 0)));
    assert_eq!(shown(&mut eye), 0, "what is queued is not there yet");
    // A name of the wrong type is found when its turn comes.
    let _: () = eye.set("profile:u-1", "a string").expect("set");
    assert_eq!(apply(&mut mine, 1, Some("0"), "1", Some(2)), Ok((1, 1)));
    assert_eq!(shown(&mut eye), 1);
    // A question in between: what was queued is dropped, and sent again.
    assert_eq!(mine.token("tok").expect("read").as_deref(), Some("1"));
    assert_eq!(apply(&mut mine, 2, Some("1"), "2", Some(3)), Ok((2, 0)));
    // Another batch in its place.
    assert_eq!(apply(&mut mine, 4, Some("2"), "4", Some(5)), Ok((2, 0)));
    assert_eq!(shown(&mut eye), 4);
    // Another writer.
    let _: () = eye.set("tok", "other").expect("set");
    assert_eq!(apply(&mut mine, 5, Some("4"), "5", Some(6)), Err(Some("other".into())));
    assert_eq!(apply(&mut mine, 6, Some("4"), "6", Some(7)), Err(Some("other".into())), "with its own queue");
    assert_eq!(shown(&mut eye), 4);
    assert_eq!(apply(&mut mine, 6, Some("other"), "6", Some(7)), Ok((2, 0)));
    // The connection is cut.
    let _: i64 = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).query(&mut eye).expect("killed");
    assert_eq!(apply(&mut mine, 7, Some("6"), "7", Some(8)), Ok((2, 0)));
    assert_eq!(shown(&mut eye), 7);
    let mut there: Vec<String> = eye.keys("profile:u-*").expect("read");
    there.sort();
    assert_eq!(there, ["profile:u-0", "profile:u-1", "profile:u-2", "profile:u-4", "profile:u-6", "profile:u-7"]);
}

/// Texts and numbers on both sides of each limit of Redis's form.
fn values() -> Vec<String> {
    let mut values: Vec<String> =
        ["true", "150.75", "-0.5", "1e300", "\"\"", "\"-0\"", "\"007\"", "\"+7\"", "\"7 \"", "[1,2]"]
            .map(String::from)
            .into();
    for power in [0, 7, 12, 15, 23, 31, 63] {
        let edge = 1_i128 << power;
        for n in [edge - 1, edge, edge + 1, -edge - 1, -edge, -edge + 1] {
            values.push(format!("\"{n}\""));
            if let Ok(n) = i64::try_from(n) {
                values.push(n.to_string());
            }
        }
    }
    values.extend([1, 63, 64, 65, 5000].map(|length| format!("\"{}\"", "x".repeat(length))));
    values.push("\"zwölf\\r\\n\\u0000\"".into());
    values
}

#[test]
fn what_is_new_stands_there_as_if_it_had_been_set() {
    let Some(server) = own(&[]) else { return };
    let (mut mine, mut eye) = (open(&server.url()), other(&server.url()));
    assert!(mine.takes_new("tok").expect("asked"));
    let fields = |n: usize| (0..n).map(|i| format!(r#""f{i}":{i}"#)).collect::<Vec<_>>().join(",");
    let mut profiles: Vec<String> = values().iter().map(|value| format!(r#""v":{value},"gone":null"#)).collect();
    profiles.extend([1, 2, 127, 128, 129].map(fields));
    profiles.extend([64, 65].map(|length| format!(r#""{}":"x""#, "c".repeat(length))));
    profiles.push(r#""7":"a name that is a number","gone":null"#.into());
    profiles.push(r#""gone":null"#.into());
    let patches = |kind: &str| -> Vec<Patch> {
        profiles.iter().enumerate().map(|(i, tags)| patch(&format!("{kind}-{i}"), tags)).collect()
    };
    let new = patches("new");
    let encoded = mine.encoder(true).expect("a single server").encode(&new);
    let done = mine.apply_encoded(&new, &encoded, "tok", None, "1", &mut || None).expect("answered");
    let Published::Applied(written) = done else { panic!("{done:?}") };
    assert_eq!((written.patches, written.refused.len(), written.again.len()), (new.len(), 0, 0));
    let set = patches("set");
    assert_eq!(mine.apply(&set).expect("applied").patches, set.len());
    let mut ask = |command: &[&str]| -> redis::Value {
        redis::cmd(command[0]).arg(&command[1..]).query(&mut eye).expect("answered")
    };
    for (i, tags) in profiles.iter().enumerate() {
        let [new, set] = ["new", "set"].map(|kind| format!("profile:{kind}-{i}"));
        for what in [&["HGETALL"][..], &["OBJECT", "ENCODING"], &["DUMP"]] {
            assert_eq!(ask(&[what, &[&new]].concat()), ask(&[what, &[&set]].concat()), "{what:?} {tags}");
        }
    }
    let stats = format!("{:?}", ask(&["INFO", "commandstats"]));
    // All but the largest and the one with nothing to set, and the try.
    assert!(stats.contains(&format!("cmdstat_restore:calls={},", profiles.len() - 5 + 1)), "{stats}");
    // The try left nothing behind.
    assert_eq!(ask(&["KEYS", "tok*"]), redis::Value::Array(vec![redis::Value::BulkString(b"tok".to_vec())]));
}

#[test]
fn what_is_taken_for_new_and_stands_there_is_left_as_it_is_and_named() {
    let Some(server) = own(&[]) else { return };
    let (mut mine, mut eye) = (open(&server.url()), other(&server.url()));
    let _: () = eye.hset("profile:u-1", "theirs", "1").expect("set");
    let _: () = eye.set("profile:u-2", "a string").expect("set");
    let patches: Vec<Patch> = (0..4).map(|n| patch(&format!("u-{n}"), r#""n":1,"theirs":null"#)).collect();
    let encoded = mine.encoder(true).expect("a single server").encode(&patches);
    let done = mine.apply_encoded(&patches, &encoded, "tok", None, "1", &mut || None).expect("answered");
    let Published::Applied(written) = done else { panic!("{done:?}") };
    assert_eq!((written.patches, written.refused.len(), written.again), (2, 0, vec![1, 2]));
    let all = |eye: &mut redis::Connection, n: usize| -> BTreeMap<String, String> {
        eye.hgetall(format!("profile:u-{n}")).expect("read")
    };
    let one = |field: &str| BTreeMap::from([(field.to_string(), "1".to_string())]);
    assert_eq!([0, 1, 3].map(|n| all(&mut eye, n)), [one("n"), one("theirs"), one("n")]);
    for right in ["-restore", "resetkeys"] {
        let _: () = redis::cmd("ACL").arg(&["SETUSER", "default", right]).query(&mut eye).expect("set");
        assert!(!mine.takes_new("tok").expect("asked"), "{right}");
    }
}

#[test]
fn two_writers_under_one_token_never_both_win() {
    let Some(server) = shared() else { return };
    let (run, token) = (unique("race"), unique("token"));
    let writer = |name: &'static str| {
        let (url, run, token) = (server.url.clone(), run.clone(), token.clone());
        std::thread::spawn(move || {
            let (mut redis, mut wins, mut last) = (open(&url), Vec::new(), None);
            let encoder = redis.encoder(false).expect("a single server");
            let batch = |i: u32| [patch(&run, &format!(r#""by":"{name}{i}""#))];
            let mut encoded = Arc::new(encoder.encode(&batch(0)));
            for i in 0..300 {
                let new = format!("{name}{i}");
                let next = Arc::new(encoder.encode(&batch(i + 1)));
                let this = std::mem::replace(&mut encoded, next.clone());
                let mut queued = || Some(next.clone());
                let done = redis.apply_encoded(&batch(i), &this, &token, last.as_deref(), &new, &mut queued);
                match done.expect("answered") {
                    Published::Applied(_) => {
                        wins.push((last.clone(), new.clone()));
                        last = Some(new);
                    }
                    Published::Fenced { found } => last = found,
                    Published::Lost => panic!("a single server says so by the token"),
                }
            }
            wins
        })
    };
    let (a, b) = (writer("a"), writer("b"));
    let wins: Vec<_> = [a.join().expect("a"), b.join().expect("b")].concat();
    // Every win replaced another token: they form one chain.
    let mut from: Vec<_> = wins.iter().map(|(from, _)| from.clone()).collect();
    let total = from.len();
    from.sort();
    from.dedup();
    assert_eq!(from.len(), total);
    let end = open(&server.url).token(&token).expect("read").expect("there");
    let fields = open(&server.url).get_many(&[Key::user("", &run)]).expect("read");
    assert_eq!(pairs(&fields[0]), [("by", end.as_str())]);
}

#[test]
fn a_scan_meets_each_profile_once_and_only_its_own_entity() {
    let Some(server) = shared() else { return };
    let mut redis = open(&server.url);
    // A tenant of this run's own, with characters that mean something in a pattern.
    let tenant = unique("t[*]?\\");
    let key = |entity: &str, parts: &[&str]| Key::new(&tenant, entity, parts.iter().copied());
    let mut keys: Vec<Key> = (0..3_000).map(|i| key("user", &[&format!("u:{i}")])).collect();
    keys.extend([key("item", &["a:b", "1"]), key("item", &["c", "2"])]);
    let value = |key: &Key| Patch {
        key: key.clone(),
        as_of: 1,
        tags: vec![("id".into(), Some(adprof::value::Value::Str(key.id().into())))],
    };
    redis.apply(&keys.iter().map(value).collect::<Vec<_>>()).expect("applied");
    let mut scan = |entity, parts| {
        let found: Vec<(Key, Fields)> = redis.scan(&tenant, entity, parts).collect::<Result<_, _>>().expect("scanned");
        assert!(found.iter().all(|(key, fields)| pairs(fields) == [("id", key.id())]));
        let mut keys: Vec<Key> = found.into_iter().map(|(key, _)| key).collect();
        keys.sort();
        keys
    };
    keys.sort();
    let of = |entity: &str| keys.iter().filter(|k| k.entity() == entity).cloned().collect::<Vec<_>>();
    assert_eq!(scan("user", 1), of("user"));
    assert_eq!(scan("item", 2), of("item"));
    assert_eq!(scan("device", 1), []);
    let mut eye = other(&server.url);
    let _: () = redis::pipe().del(keys.iter().map(Key::redis).collect::<Vec<_>>()).query(&mut eye).expect("cleaned");
}

#[test]
fn a_server_killed_and_started_again_loses_nothing_that_was_to_be_written() {
    let Some(mut server) = own(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let url = server.url();
    let mut redis = open(&url);
    let patches: Vec<Patch> =
        (0..200_000).map(|i| patch(&format!("u{}", i % 20_000), &format!(r#""n":{i}"#))).collect();
    let work = std::thread::spawn(move || (redis.apply(&patches).expect("applied").patches, redis));
    std::thread::sleep(Duration::from_millis(60));
    server.kill();
    std::thread::sleep(Duration::from_millis(300));
    server.restart();
    let (written, mut redis) = work.join().expect("done");
    assert_eq!(written, 200_000);
    let keys: Vec<Key> = (0..20_000).map(|i| Key::user("", &format!("u{i}"))).collect();
    for (i, fields) in redis.get_many(&keys).expect("read").iter().enumerate() {
        assert_eq!(pairs(fields), [("n", (180_000 + i).to_string().as_str())]);
    }
}

#[test]
fn connections_cut_again_and_again_change_nothing() {
    let Some(server) = own(&[]) else { return };
    let url = server.url();
    let (mut redis, mut eye) = (open(&url), other(&url));
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stop = done.clone();
    let cutter = std::thread::spawn(move || {
        let mut cuts = 0;
        while !stop.load(Ordering::Relaxed) {
            let kill = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).query(&mut eye);
            cuts += kill.unwrap_or(0);
            std::thread::sleep(Duration::from_millis(40));
        }
        cuts
    });
    let mut token = None;
    for round in 0..8 {
        let patches: Vec<Patch> =
            (0..8_000).map(|i| patch(&format!("u{i}"), &format!(r#""n":{}"#, i + round))).collect();
        assert_eq!(redis.apply(&patches).expect("applied").patches, 8_000);
        let new = format!("t{round}");
        let published =
            redis.apply_with_token(&[patch("last", &format!(r#""n":{round}"#))], "tok", token.as_deref(), &new);
        assert!(matches!(published.expect("published"), Published::Applied(_)), "round {round}");
        token = Some(new);
        let keys: Vec<Key> = (0..8_000).map(|i| Key::user("", &format!("u{i}"))).collect();
        for (i, fields) in redis.get_many(&keys).expect("read").iter().enumerate() {
            assert_eq!(pairs(fields), [("n", (i + round).to_string().as_str())]);
        }
        let mut all: Vec<Key> = redis.scan("", "user", 1).map(|e| e.expect("read").0).collect();
        all.sort();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "a profile was given twice");
        assert_eq!(all.len(), 8_001);
    }
    done.store(true, Ordering::Relaxed);
    assert!(cutter.join().expect("ended") > 5, "too few connections were cut for this to prove anything");
}

#[test]
fn an_answer_that_comes_too_late_under_a_token_is_found_to_have_been_applied() {
    let Some(server) = own(&[]) else { return };
    let mut redis = open(&server.url());
    redis.apply_with_token(&[patch("u", r#""n":1"#)], "tok", None, "1").expect("published");
    // The server freezes for longer than one answer is waited for, with the batch in its socket.
    let signal = |what: &str| Command::new("kill").args([what, &server.child.id().to_string()]).status().expect("kill");
    signal("-STOP");
    let pid = server.child.id();
    std::thread::spawn(move || {
        std::thread::sleep(QUICK.reply + Duration::from_millis(500));
        Command::new("kill").args(["-CONT", &pid.to_string()]).status().expect("kill");
    });
    let published = redis.apply_with_token(&[patch("u", r#""n":2"#)], "tok", Some("1"), "2").expect("published");
    assert!(matches!(published, Published::Applied(written) if written.patches == 1));
    assert_eq!(redis.token("tok").expect("read").as_deref(), Some("2"));
}

#[test]
fn each_fault_has_its_class_and_no_message_has_the_password() {
    let Some(server) = own(&["--requirepass", "canary", "--replica-read-only", "yes"]) else { return };
    let good = format!("redis://:canary@127.0.0.1:{}", server.port);
    let mut eye = other(&good);
    let class = |url: &str| try_open(url).err().expect(url);
    assert_eq!(class(&server.url()).kind, Kind::Denied, "no password");
    let error = class(&format!("redis://:canaryx@127.0.0.1:{}", server.port));
    assert_eq!(error.kind, Kind::Denied, "wrong password: {error}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let error = class(&format!("redis://:canary@127.0.0.1:{free}"));
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("connection refused") && !error.message.contains("canary"), "{error}");
    assert_eq!(class("unix:///nonexistent/redis.sock").kind, Kind::Unavailable);

    let write = |redis: &mut Redis| redis.apply(&[patch("u", r#""n":1"#)]).expect_err("refused");
    // A user without HSET.
    let _: () = redis::cmd("ACL")
        .arg(&["SETUSER", "reader", "on", ">pw", "~*", "+hgetall", "+ping", "+multi", "+exec"])
        .query(&mut eye)
        .expect("set");
    let mut reader = open(&format!("redis://reader:pw@127.0.0.1:{}", server.port));
    assert_eq!(write(&mut reader).kind, Kind::Denied);
    assert_eq!(reader.get_many(&[Key::user("", "u")]).expect("allowed").len(), 1);
    // Full.
    let _: () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).query(&mut eye).expect("set");
    let mut redis = open_for(&good, Duration::from_millis(300)).expect("connected");
    let error = write(&mut redis);
    assert_eq!((error.kind, error.message.contains("OOM")), (Kind::Unavailable, true), "{error}");
    let _: () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).query(&mut eye).expect("set");
    assert_eq!(redis.apply(&[patch("u", r#""n":1"#)]).expect("room again").patches, 1);
    // A replica.
    let _: () = redis::cmd("REPLICAOF").arg(&["127.0.0.1", &free.to_string()]).query(&mut eye).expect("set");
    let error = write(&mut redis);
    assert_eq!((error.kind, error.message.contains("READONLY")), (Kind::Denied, true), "{error}");
}

#[test]
#[ignore = "a measurement: cargo test --release --test store_redis -- --ignored --nocapture"]
fn how_fast_patches_are_written_and_read() {
    let Some(server) = own(&[]) else { return };
    let mut redis = open(&server.url());
    let users: usize = 500_000;
    let make = |round: usize, tags: usize| -> Vec<Patch> {
        let tag = |i: usize, t: usize| format!(r#""clicks_{t}":{}"#, (i * 7 + round) % 1000);
        let all = |i: usize| (0..tags).map(|t| tag(i, t)).collect::<Vec<_>>().join(",");
        (0..users).map(|i| patch(&format!("u-{:07}", i * 7919 % users), &all(i))).collect()
    };
    let rate = |what: &str, started: Instant| {
        println!("{what}: {:.0} k users/s", users as f64 / started.elapsed().as_secs_f64() / 1e3);
    };
    for (what, tags) in [("insert 5 fields", 5), ("overwrite 5 fields", 5), ("overwrite 2 fields", 2)] {
        let patches = make(tags, tags);
        let started = Instant::now();
        redis.apply(&patches).expect("applied");
        rate(&format!("apply, {what}"), started);
    }
    let patches = make(9, 2);
    let (started, mut last) = (Instant::now(), None);
    for (n, batch) in patches.chunks(500).enumerate() {
        let new = n.to_string();
        redis.apply_with_token(batch, "tok", last.as_deref(), &new).expect("published");
        last = Some(new);
    }
    rate("under a token, overwrite 2 fields, 500 a batch", started);
    let mut pipeline_client = other(&server.url());
    let started = Instant::now();
    for batch in patches.chunks(500) {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for patch in batch {
            let fields: Vec<(&str, String)> =
                patch.tags.iter().map(|(c, v)| (&**c, v.as_ref().expect("a value").to_string())).collect();
            pipe.hset_multiple(patch.key.redis(), &fields).ignore();
        }
        let _: () = pipe.query(&mut pipeline_client).expect("applied");
    }
    rate("the crate's atomic pipeline, overwrite 2 fields, 500 a batch", started);
    let keys: Vec<Key> = patches.iter().map(|p| p.key.clone()).collect();
    let started = Instant::now();
    assert_eq!(redis.get_many(&keys).expect("read").len(), users);
    rate("get_many, 5 fields", started);
    let started = Instant::now();
    assert_eq!(redis.scan("", "user", 1).count(), users);
    rate("scan, 5 fields", started);
}
