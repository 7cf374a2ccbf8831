//! What is told of enters and leaves, and what Redis says of audiences while events come without a pause.

use crate::streams::*;
use crate::support::Dir;
use crate::world::{SOON, derived, text};
use crate::{clicks, folder, redis_keys, second};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn vip(user: &str, as_of: i64, value: &str) -> String {
    format!("{{\"userId\":\"{user}\",\"asOf\":{as_of},\"tags\":{{\"vip\":{value}}}}}\n")
}

#[test]
fn patches_of_one_instant_make_enters_and_leaves_of_as_many_ids() {
    let dir = folder();
    let base = 1_731_296_325_000;
    let mut input = clicks("u1", &[base]) + &clicks("u2", &[base]);
    for (as_of, value) in [(1, "true"), (2, "false"), (3, "true"), (4, "null"), (5, "true")] {
        input += &vip("u1", as_of, value);
        input += &vip("u2", as_of, value);
    }
    let run = || derived(&dir.adprof("stream --derived -").stdin(&*input).ok());
    let told = run();
    let of = |user: &str| -> Vec<String> {
        told.iter().filter(|line| text(line, "userId") == user).map(|line| text(line, "eventType")).collect()
    };
    let (enter, leave) = ("adprof.enter", "adprof.leave");
    assert_eq!(of("u1"), [enter, leave, enter, leave, enter]);
    assert_eq!(of("u2"), of("u1"));
    let ids: BTreeSet<String> = told.iter().map(|line| text(line, "eventId")).collect();
    assert_eq!(ids.len(), 10, "{told:?}");
    assert_eq!(run(), told, "the same input, the same ids");
}

#[test]
fn with_patches_now_and_then_memberships_are_told_as_events_alone() {
    let dir = folder();
    let input = clicks("u1", &[1_731_296_325_000, 1_731_296_325_500]);
    for emit in ["--every 1h", "--emit final"] {
        let out = dir.adprof(&format!("stream --derived - {emit}")).stdin(&*input).ok();
        assert_eq!(derived(&out).len(), 1, "{out}");
        assert!(out.lines().count() == 2 && !out.contains("\"entity\""), "{out}");
    }
}

#[test]
fn redis_says_which_audiences_are_current_while_events_come_without_a_pause() {
    let Some(server) = Server::start() else { return };
    let dir = folder();
    let mut stream = dir.start(&format!("stream --store {} --state s", server.url()));
    let mut stdin = stream.take_stdin();
    let over = Arc::new(AtomicBool::new(false));
    let feeding = std::thread::spawn({
        let (over, start) = (over.clone(), second());
        move || {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let lines: String =
                    (0..200).map(|i| click(&format!("{n}-{i}"), &format!("u{i}"), start) + "\n").collect();
                if stdin.write_all(lines.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    wait_until("it says so", SOON, || {
        let mut redis = server.client();
        let says: usize = redis::cmd("HLEN").arg("adprof:segments").query(&mut redis).expect("answered");
        says == 2
    });
    assert!(!feeding.is_finished(), "events still come");
    over.store(true, Ordering::Relaxed);
    feeding.join().expect("fed");
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
    assert_eq!(redis_keys(&mut server.client(), "segments:*").len(), 200);
}

/// Where a stream of a folder keeps its state.
pub fn state(dir: &Dir) -> adprof::store::Embedded {
    adprof::store::Embedded::open_existing(&dir.file("s")).expect("a store")
}
