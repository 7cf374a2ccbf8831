//! States that others have changed or made anew: rebuilt, with a base, without users who were forgotten.

use crate::streams::*;
use crate::support::Dir;
use crate::told::state;
use crate::world::{derived, text};
use crate::{clicks, folder, redis_keys, second};
use adprof::forgotten;
use adprof::key::Key;
use adprof::store::embedded::{Changes, OF_KEYS};

const DAY: i64 = 86_400_000;

#[test]
fn a_rebuilt_state_counts_behaviour_in_rules_though_no_such_tag_is_told() {
    let dir = folder();
    dir.write(
        "adprof.toml",
        "[[tag]]\ncode = \"seen\"\ntype = \"datetime\"\nvalue = \"max(timestamp)\"\n\
         [[segment]]\ncode = \"active\"\nrule = \"count(*) FILTER (WHERE eventType = 'click') OVER (RANGE '1h' PRECEDING) >= 2\"\n",
    );
    let start = second();
    let events = clicks("u1", &[start - 60_000, start - 50_000]) + &clicks("u2", &[start - 60_000]);
    dir.adprof("collect --log log/").stdin(&*events).exits(0);
    let told = |input: String| derived(&dir.adprof("stream --tags seen --store file:s --derived -").stdin(input).ok());
    assert_eq!(told(events).len(), 1);
    dir.adprof("rebuild --tags seen --store file:s --log log/").exits(0);
    assert_eq!(told(String::new()), Vec::<serde_json::Value>::new());
    let more = told(clicks("u2", &[start - 40_000]));
    assert_eq!(more.len(), 1);
    assert_eq!((text(&more[0], "userId"), text(&more[0], "cause")), ("u2".into(), "event".into()));
}

#[test]
fn what_redis_had_lost_when_a_state_was_rebuilt_the_next_stream_brings_back() {
    let Some(server) = Server::start() else { return };
    let dir = folder();
    let start = second();
    let events = clicks("u1", &[start - 60_000, start - 50_000, start - 40_000]) + &clicks("u2", &[start - 60_000]);
    dir.adprof("collect --log log/").stdin(&*events).exits(0);
    let args = format!("stream --store {} --state s", server.url());
    dir.adprof(&args).stdin(&*events).exits(0);
    assert_eq!(redis_keys(&mut server.client(), "segments:*"), ["segments:u1"]);
    server.tell(&["FLUSHALL"]);
    server.tell(&["HSET", "segments:u2", "old", "1"]);
    dir.adprof(&format!("rebuild --store {} --state s --log log/", server.url())).exits(0);
    assert_eq!(redis_keys(&mut server.client(), "profile:*").len(), 2);
    dir.adprof(&args).stdin("").exits(0);
    assert_eq!(redis_keys(&mut server.client(), "segments:*"), ["segments:u1"]);
    assert_eq!(redis_keys(&mut server.client(), "adprof:segments").len(), 1);
}

/// Who is in an audience by the store.
fn members(dir: &Dir) -> Vec<String> {
    let mut members = Vec::new();
    let store = state(dir);
    let each = |key: &str, _: &[u8]| {
        members.push(Key::from_stored(key).expect("a key").id().to_string());
        Ok(())
    };
    store.snapshot().expect("a snapshot").each_meta(OF_KEYS, each).expect("read");
    members
}

/// Two users in an audience, of whom one is forgotten while a stream has the state that is killed before it hears of it.
fn with_one_forgotten(received: i64) -> Dir {
    let dir = folder();
    let line = |user: &str, i: i64| {
        let at = received + i;
        format!("{{\"receivedAt\":{at},") + &click(&format!("{user}-{i}"), user, at)[1..] + "\n"
    };
    let events: String = ["u1", "u2"].iter().flat_map(|user| (0..3).map(|i| line(user, i))).collect();
    dir.adprof("collect --log log/").stdin(&*events).exits(0);
    let out = dir.adprof("stream --store file:s --derived -").stdin(&*events).ok();
    assert_eq!(derived(&out).len(), 2);
    forgotten::update(&forgotten::beside(&dir.file("s")), |list| list.add(["u1"], now(), [7; 16])).expect("written");
    assert_eq!(members(&dir), ["u1", "u2"]);
    dir
}

#[test]
fn who_was_forgotten_when_a_base_came_leaves_no_audience_aloud() {
    let old = second() - 3 * DAY;
    let dir = with_one_forgotten(old);
    let day = jiff::Timestamp::from_millisecond(old).expect("a day").to_string()[..10].to_string();
    let base = dir.adprof(&format!("batch --log log --through {day} --store file:s")).output();
    assert!(base.stderr.contains("users forgotten: 1"), "{}", base.stderr);
    assert_eq!(members(&dir), ["u2"]);
    assert_eq!(dir.adprof("stream --store file:s --derived -").stdin("").ok(), "");
}

#[test]
fn who_was_forgotten_when_a_state_is_rebuilt_leaves_no_audience_aloud() {
    let dir = with_one_forgotten(second() - 60_000);
    dir.adprof("rebuild --store file:s --log log/").exits(0);
    assert_eq!(members(&dir), ["u2"]);
    assert_eq!(dir.adprof("stream --store file:s --derived -").stdin("").ok(), "");
}

#[test]
fn verify_finds_memberships_that_the_rules_do_not_say() {
    let dir = folder();
    let start = second();
    let events = clicks("u1", &[start - 60_000, start - 50_000, start - 40_000]) + &clicks("u2", &[start - 60_000]);
    dir.adprof("collect --log log/").stdin(&*events).exits(0);
    dir.adprof("stream --store file:s").stdin(&*events).exits(0);
    let verify = || dir.adprof("verify --log log/ --store file:s --format ndjson").output();
    let right = verify();
    assert_eq!((right.code, &*right.stdout), (0, ""), "{}", right.stderr);
    assert!(right.stderr.contains("members of 2 segments, without vip: no difference"), "{}", right.stderr);
    // Hers is taken away, others get it, one of whom nothing is known.
    let name = |user: &str| format!("{OF_KEYS}{}", Key::user("", user).as_str());
    let store = state(&dir);
    let bytes = store.meta(&name("u1")).expect("read").expect("she is in one");
    let (u1, u2, u3) = (name("u1"), name("u2"), name("u3"));
    let meta = [(&*u1, None), (&*u2, Some(&*bytes)), (&*u3, Some(&*bytes))];
    let at = store.stats().expect("stats").committed_at.expect("a commit");
    let states: [(Key, Option<&[u8]>); 0] = [];
    store.begin_owner("a test").expect("free").commit(Changes { at, states, meta: &meta, ids: &[] }).expect("written");
    let wrong = verify();
    assert_eq!(wrong.code, 1, "{}", wrong.stderr);
    let mut found: Vec<(String, String, serde_json::Value)> = wrong
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|line| (text(&line, "userId"), text(&line, "segment"), line["store"].clone()))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let want = |user: &str, is: bool| (user.to_string(), "regular".to_string(), is.into());
    assert_eq!(found, [want("u1", false), want("u2", true), want("u3", true)]);
    // A patch that the stream has yet to hear of is no difference, nor is a rule that is another one.
    dir.adprof("rebuild --store file:s --log log/").exits(0);
    dir.adprof("stream --store file:s").stdin("").exits(0);
    dir.adprof("sink file:s")
        .stdin(format!("{{\"userId\":\"u2\",\"asOf\":{start},\"tags\":{{\"vip\":true}}}}\n"))
        .exits(0);
    assert_eq!(verify().code, 0, "{}", verify().stderr);
    dir.write("adprof.toml", crate::DEFINITIONS.replace("clicks >= 3", "clicks >= 1"));
    assert!(verify().stderr.contains("members of 1 segments, without vip: no difference"), "{}", verify().stderr);
}
