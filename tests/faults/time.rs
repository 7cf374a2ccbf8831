//! Rows 25 and 26: clocks that jump or stand, events of 2099 and 1970, a partition with nothing in it.

use crate::kafka;
use crate::streams::{counts, hget, now};
use crate::support::{adprof_path, skipped};
use crate::world::{SOON, World};
use std::process::Command;

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Feeds these lines to a stream whose clock is another one: `+1d`, `-1d`, `@2026-01-01 00:00:00 x0` (standing still).
/// On stdin: librdkafka computes its waits from the date and would wait as long as the clock is wrong.
fn with_clock(world: &World, clock: &str, lines: &str) -> Option<String> {
    if !std::path::Path::new(FAKETIME).exists() {
        skipped("no libfaketime (apt-get install libfaketime)");
        return None;
    }
    let mut command = Command::new("env");
    // Timers go on as they are: it is the date that is wrong.
    command.args([&format!("LD_PRELOAD={FAKETIME}"), &format!("FAKETIME={clock}"), "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
    command.arg(adprof_path()).args(["stream", "--store", &world.server.url()]);
    let mut stream = world.dir.start_command(command);
    assert!(stream.feed(lines));
    let (code, words) = stream.end();
    // 65: of this run every line was refused.
    assert!(code == 0 || code == 65 && clock == "-1d", "{clock}: {code}: {words}");
    Some(words)
}

/// The events that were made since `from` bytes of the file.
fn since(world: &World, from: &mut usize) -> String {
    let text = world.dir.read("events.ndjson");
    let new = text[*from..].to_string();
    *from = text.len();
    new
}

/// A clock that was wrong for a while: no event is lost, and with the right clock lifetime values and windows are right.
#[test]
fn a_clock_that_jumps_a_day_loses_no_event_and_no_window() {
    for clock in ["+1d", "+3h", "-1d", "-2m"] {
        let Some(mut world) = World::new("clock", &[]) else { return };
        let mut from = 0;
        let stdin = |world: &World, lines: String| {
            world.dir.adprof(&format!("stream --store {}", world.server.url())).stdin(lines).exits(0)
        };
        world.click(100);
        stdin(&world, since(&world, &mut from));
        world.whole(SOON);
        world.click(100);
        if with_clock(&world, clock, &since(&world, &mut from)).is_none() {
            return;
        }
        let [consumed, absorbed, duplicates, refused] = counts(&world.dir.file("adprof-state"));
        assert_eq!(consumed, absorbed + duplicates + refused, "{clock}");
        // A day behind, the events lie in its future: refused, and kept as dead letters. That state is as it was.
        assert_eq!(refused, if clock == "-1d" { 100 } else { 0 }, "{clock}");
        if refused > 0 {
            let letters = world.dir.read("adprof-state/dead.ndjson");
            assert_eq!(letters.matches("FUTURE_TIMESTAMP").count() as u64, refused);
            let mended = world.dir.adprof("collect --replay --to - adprof-state/dead.ndjson").ok();
            stdin(&world, mended);
        }
        world.click(50);
        stdin(&world, since(&world, &mut from));
        let ahead = clock.starts_with('+');
        let expected = world.expected().unwrap_or_default();
        let mut redis = world.server.client();
        for (user, tags) in expected {
            // A state that has been at tomorrow stays there until tomorrow: its windows are those of then.
            let compared = if ahead { ["clicks_total", "last_active_ts"] } else { ["clicks_total", "clicks_1h"] };
            for tag in compared {
                assert_eq!(hget(&mut redis, &user, tag).as_deref(), tags[tag].as_str(), "{clock}: {user} {tag}");
            }
        }
    }
}

#[test]
fn a_clock_that_stands_still_holds_up_no_event() {
    let Some(mut world) = World::new("frozen", &[]) else { return };
    world.click(200);
    let instant = jiff::Timestamp::from_second(now() / 1000 + 1).expect("in range");
    let clock = instant.strftime("@%Y-%m-%d %H:%M:%S x0.0001").to_string();
    let lines = world.dir.read("events.ndjson");
    if with_clock(&world, &clock, &lines).is_some() {
        world.whole(SOON);
    }
}

#[test]
fn one_event_of_2099_one_of_1970_and_an_idle_partition_change_nothing_for_the_others() {
    let Some(world) = World::new("bad-clock", &[]) else { return };
    kafka::grow(&world.broker, &world.topic, 3);
    let line =
        |id: &str, at: i64| format!(r#"{{"eventId":"{id}","userId":"odd","eventType":"click","timestamp":{at}}}"#);
    let (far, early) = (line("far", 4_070_908_800_000), line("early", 0));
    let stream = world.stream("");
    kafka::produce(&world.broker, &world.topic, [(Some("odd"), Some(&*far)), (Some("odd"), Some(&*early))]);
    // Two of three partitions get something.
    let lines: String = (0..200).map(|i| line(&format!("a{i}"), now()).replace("odd", "busy") + "\n").collect();
    kafka::produce(&world.broker, &world.topic, lines.lines().map(|line| (Some("busy"), Some(line))));
    let text = lines + &early + "\n";
    world.dir.write("events.ndjson", text);
    world.whole(SOON);
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert!(code == 0 && words.contains("FUTURE_TIMESTAMP"), "{code}: {words}");
}
