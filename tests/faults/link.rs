//! Rows 18 and 19: the link to Redis and to Kafka is cut, slow, deaf in one direction, or damages what it carries.

use crate::kafka;
use crate::proxy::{Fault, Proxy, Way};
use crate::streams::{counts, wait_until};
use crate::support::{self, Running};
use crate::world::{SOON, World, ends, injected, seed, thorough};
use std::time::{Duration, Instant};

fn behind_proxy(name: &str) -> Option<(World, Proxy)> {
    let world = World::new(name, &[])?;
    let proxy = Proxy::new(world.server.port(), seed());
    Some((world, proxy))
}

fn start(world: &World, proxy: &Proxy) -> Running {
    world.dir.start(&world.args(&proxy.url(), ""))
}

fn stop(stream: Running) -> String {
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    words
}

#[test]
fn a_connection_cut_after_any_byte_loses_and_doubles_nothing() {
    let Some((mut world, proxy)) = behind_proxy("bytes") else { return };
    let stream = start(&world, &proxy);
    world.click(100);
    world.whole(SOON);
    for way in [Way::Up, Way::Down] {
        let (rounds, span) = (thorough(8, 80), if way == Way::Up { 1200 } else { 600 });
        for round in 0..rounds {
            let at = if rounds < 100 { world.random.below(span) } else { round * span / rounds };
            proxy.set(Fault::CutAfter(way, at as usize));
            world.click(5);
            // The fold is an expensive question: each round only that it comes to an end.
            let cuts = proxy.cuts();
            wait_until("the cut", SOON, || proxy.cuts() > cuts || world.is_whole());
            if round % 8 == 7 {
                world.whole(SOON);
            }
        }
        proxy.set(Fault::None);
        world.whole(SOON);
    }
    assert!(proxy.cuts() > 5, "{} cuts", proxy.cuts());
    let words = stop(stream);
    assert!(!words.contains("lost data") && !words.contains("taken over"), "{words}");
}

#[test]
fn an_answer_that_never_comes_is_no_second_writer() {
    let Some((mut world, proxy)) = behind_proxy("answer") else { return };
    let stream = start(&world, &proxy);
    world.click(100);
    world.whole(SOON);
    for way in [Way::Down, Way::Up] {
        proxy.set(Fault::Drop(way));
        world.click(100);
        // Longer than an answer is waited for.
        kafka::pause(thorough(6, 12) * 1000);
        proxy.set(Fault::None);
        proxy.cut();
        world.click(10);
        world.whole(SOON);
    }
    let words = stop(stream);
    assert!(!words.contains("taken over") && !words.contains("lost data"), "{words}");
}

#[test]
fn a_redis_that_refuses_connections_is_waited_for() {
    let Some((mut world, proxy)) = behind_proxy("refuses") else { return };
    let stream = start(&world, &proxy);
    world.click(100);
    world.whole(SOON);
    proxy.set(Fault::Refuse);
    proxy.cut();
    world.click(100);
    kafka::pause(3000);
    assert!(!world.is_whole());
    proxy.set(Fault::None);
    world.whole(SOON);
    stop(stream);
}

/// A value that comes changed is a value: this link needs TCP's checksum or TLS. What must hold: it never panics, its own
/// state stays right, and with the token gone all is told again.
#[test]
fn flipped_bits_do_no_harm_that_a_lost_token_does_not_repair() {
    let Some((mut world, proxy)) = behind_proxy("bits") else { return };
    let mut stream = start(&world, &proxy);
    world.click(200);
    world.whole(SOON);
    for round in 0..thorough(4, 40) {
        proxy.set(Fault::Flip(if round % 2 == 0 { Way::Up } else { Way::Down }, 8_000));
        for _ in 0..4 {
            world.click(200);
            kafka::pause(150);
        }
        proxy.set(Fault::None);
        if !stream.is_there() {
            let (code, words) = ends(stream);
            // A command that Redis does not know, or another's token, as it seems; a protocol nobody speaks.
            assert!([2, 69, 75, 77].contains(&code) && !words.contains("panic"), "{code}: {words}");
            stream = start(&world, &proxy);
        }
    }
    assert!(proxy.flips() > 3, "{} bits", proxy.flips());
    stream.signal("KILL");
    stream.end();
    world.server.tell(&["FLUSHALL"]);
    world.catch_up();
    world.whole(SOON);
    let [consumed, absorbed, duplicates, refused] = counts(&world.dir.file("adprof-state"));
    assert_eq!([consumed, refused], [absorbed + duplicates, 0]);
}

/// The proxy in front of Kafka, and its address. The broker has one listener for it, so one test alone may have it.
fn to_kafka() -> Option<(Proxy, String)> {
    let address = |name: &str| std::env::var(format!("ADPROF_TEST_KAFKA_{name}")).ok();
    let (Some(behind), Some(front)) = (address("BEHIND"), address("PROXY")) else {
        support::skipped("no listener of Kafka for a proxy: run scripts/test.sh");
        return None;
    };
    let port = |address: &str| address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    Some((Proxy::on(port(&front), port(&behind), seed()), front))
}

#[test]
fn what_comes_damaged_from_kafka_is_not_taken_for_an_event() {
    let Some(mut world) = World::new("damaged", &[]) else { return };
    let Some((proxy, front)) = to_kafka() else { return };
    let direct = std::mem::replace(&mut world.broker, front);
    for _ in 0..thorough(3, 20) {
        let proxied = std::mem::replace(&mut world.broker, direct.clone());
        world.click(300);
        world.broker = proxied;
        proxy.set(Fault::FlipIn("\"eventType\""));
        let flips = proxy.flips();
        let output = world.dir.adprof(&world.args(&world.server.url(), "-e")).exits(74);
        assert_eq!(proxy.flips(), flips + 1);
        assert!(output.stderr.contains("arrived damaged") && output.stderr.contains("hint: start it again"));
        world.dir.adprof(&world.args(&world.server.url(), "-e")).exits(0);
        world.whole(SOON);
    }
}

/// Row 19.
#[test]
fn behind_a_slow_link_only_keys_wait_and_memory_stays_flat() {
    let Some((mut world, proxy)) = behind_proxy("slow") else { return };
    // Ids of events are kept whatever the link does.
    let stream = world.dir.start(&world.args(&proxy.url(), "--dedup-memory 8M"));
    world.click(100);
    world.whole(SOON);
    proxy.set(Fault::Slow(4_000));
    // The first time fills what has room: the queues before the fold hold more when that has little of the processor.
    let events = thorough(60_000, 300_000);
    world.click(events);
    kafka::pause(4000);
    let before = stream.peak_memory();
    world.click(events);
    kafka::pause(4000);
    let grown = stream.peak_memory() - before;
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
    proxy.set(Fault::None);
    world.whole(Duration::from_secs(60));
    stop(stream);
}

/// Row 19.
#[test]
fn on_a_slow_disk_it_publishes_at_once_and_stops_in_time() {
    let Some(mut world) = World::new("disk", &[]) else { return };
    let url = world.server.url();
    let Some(command) = injected(&world.args(&url, ""), "fdatasync:delay_enter=700000") else { return };
    let stream = world.dir.start_command(command);
    world.click(50);
    world.whole(SOON);
    for _ in 0..5 {
        world.click(50);
        let began = Instant::now();
        world.whole(SOON);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    // strace passes a signal on to nobody: it goes to the program that it runs.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", stream.pid())).expect("Linux");
    let child = children.split_whitespace().next().expect("a child");
    let began = Instant::now();
    std::process::Command::new("kill").args(["-TERM", child]).status().expect("kill runs");
    let (code, words) = ends(stream);
    assert!(code == 0 && began.elapsed() < Duration::from_secs(30), "{code}: {words}");
}
