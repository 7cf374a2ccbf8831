//! Redis: the HASH goes, the token stays, and an old RDB does not bring the user back.

use super::world::{DAY, FIRST, OTHERS, WHO, day, event, found};
use crate::streams::{Server, hget, now, wait_until};
use crate::support::Dir;
use std::path::PathBuf;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// Everything that stands in Redis, as text.
fn all(redis: &mut redis::Connection) -> String {
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query(redis).expect("answered");
    let mut text = String::new();
    for name in names {
        let kind: String = redis::cmd("TYPE").arg(&name).query(redis).expect("answered");
        let command = if kind == "hash" { "HGETALL" } else { "GET" };
        let value: redis::Value = redis::cmd(command).arg(&name).query(redis).expect("answered");
        text.push_str(&format!("{name} {value:?}\n"));
    }
    text
}

#[test]
fn the_stream_that_publishes_deletes_the_hash_whoever_wrote_it_and_an_old_rdb_is_cleaned_again() {
    let Some(mut server) = Server::start() else { return };
    let (dir, mut redis) = (Dir::new(), server.client());
    let mut stream = dir.start(&format!("stream --store {} --state s", server.url()));
    stream.feed((0..2).map(day).collect::<String>());
    wait_until("profiles", SOON, || hget(&mut redis, WHO, "last_active_ts").is_some());
    let patch = |user: &str| format!("{{\"userId\":\"{user}\",\"asOf\":{},\"tags\":{{\"ltv_total\":5}}}}\n", now());
    dir.adprof(&format!("sink redis {}", server.url())).stdin(patch(WHO) + &patch("anna")).ok();
    let _: () = redis::cmd("SAVE").query(&mut redis).expect("saved");
    let said = dir.adprof(&format!("forget {WHO} --store {} --state s", server.url())).exits(0).stderr;
    assert!(said.contains("s: dropped by the stream that owns it"), "{said}");
    assert!(!all(&mut redis).contains(WHO), "{}", all(&mut redis));
    assert_eq!(hget(&mut redis, "anna", "ltv_total").as_deref(), Some("5"));
    // The stream still publishes under its token, and drops what comes of her.
    stream.feed(day(0) + &event("n", "ben", FIRST + 3 * DAY));
    let last = (FIRST + 3 * DAY).to_string();
    wait_until("the next event", SOON, || hget(&mut redis, "ben", "last_active_ts").as_deref() == Some(&last));
    assert!(!all(&mut redis).contains(WHO));
    // Redis goes back to what it was.
    server.kill();
    server.restart();
    let mut redis = server.client();
    wait_until("published anew", SOON, || hget(&mut redis, "ben", "last_active_ts").as_deref() == Some(&last));
    wait_until("her HASH is gone once more", SOON, || !all(&mut redis).contains(WHO));
    assert_eq!(hget(&mut redis, "anna", "ltv_total").as_deref(), Some("5"));
    stream.close();
    assert_eq!(stream.end().0, 0);
    dir.adprof(&format!("forget {WHO} --store {} --state s", server.url())).ok();
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn without_a_stream_it_is_done_at_once_and_the_next_stream_finds_nothing_amiss() {
    let Some(mut server) = Server::start() else { return };
    let (dir, mut redis) = (Dir::new(), server.client());
    let stream = format!("stream --store {} --state s", server.url());
    dir.adprof(&stream).stdin((0..2).map(day).collect::<String>()).ok();
    let _: () = redis::cmd("SAVE").query(&mut redis).expect("saved");
    let token = |redis: &mut redis::Connection| -> String {
        redis::cmd("GET").arg("adprof:token").query(redis).expect("there")
    };
    let before = token(&mut redis);
    let said = dir.adprof(&format!("forget {WHO} --store {} --state s", server.url())).exits(0).stderr;
    assert!(said.contains(": 1 profiles"), "{said}");
    assert!(!all(&mut redis).contains(WHO));
    assert_eq!(token(&mut redis), before, "the token is the stream's");
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
    let said = dir.adprof(&stream).exits(0).stderr;
    assert!(!said.contains("lost data") && !said.contains("took the projection over"), "{said}");
    for user in OTHERS {
        assert!(hget(&mut redis, user, "last_active_ts").is_some(), "{user}");
    }
    // A Redis that went back while nobody ran.
    dir.adprof(&stream).stdin(day(2)).ok();
    server.kill();
    server.restart();
    let mut redis = server.client();
    assert!(all(&mut redis).contains(WHO), "the old RDB has her");
    dir.adprof(&stream).ok();
    assert!(!all(&mut redis).contains(WHO));
}

#[test]
fn a_stream_that_cannot_reach_redis_is_waited_for_and_does_it_later() {
    let Some(server) = Server::start() else { return };
    let (dir, mut redis) = (Dir::new(), server.client());
    let mut stream = dir.start(&format!("stream --store {} --state s", server.url()));
    stream.feed(day(0));
    wait_until("profiles", SOON, || hget(&mut redis, WHO, "last_active_ts").is_some());
    // The state's own command line names the directory only: Redis is the stream's to clean.
    server.signal("STOP");
    let said = dir.adprof(&format!("forget {WHO} --store file:s --wait 3s")).exits(75).stderr;
    server.signal("CONT");
    assert!(said.contains("has not dropped them yet"), "{said}");
    dir.adprof(&format!("forget {WHO} --store file:s")).exits(0);
    assert!(!all(&mut redis).contains(WHO));
    stream.close();
    assert_eq!(stream.end().0, 0);
}
