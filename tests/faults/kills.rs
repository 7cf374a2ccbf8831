//! Rows 1, 2, 4, 5 and 6: processes killed at random and at their N-th call, and told to stop.

use crate::kafka;
use crate::streams::{Random, Server, counts, wait_until};
use crate::support::{Dir, Running, ack, adprof_path, event, ids, skipped};
use crate::world::{SOON, World, ends, injected, seed, thorough};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Row 1.
#[test]
#[ignore = "heavy: a minute and a half"]
fn a_stream_killed_fifty_times_is_at_work_again_within_five_seconds() {
    let Some(mut world) = World::new("fifty", &[]) else { return };
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        let stream = world.stream("");
        world.click(500);
        kafka::pause(world.random.below(1500));
        stream.signal("KILL");
        assert_eq!(stream.end().0, 128 + 9);
        // Something that it cannot have published before.
        world.click(20);
        let began = Instant::now();
        let stream = world.stream("");
        world.whole(SOON);
        longest = longest.max(began.elapsed());
        stream.signal("KILL");
        stream.end();
    }
    eprintln!("at work again after {longest:?} at most");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    world.catch_up();
    let [consumed, absorbed, duplicates, refused] = counts(&world.dir.file("adprof-state"));
    assert_eq!([consumed, absorbed, refused], [absorbed + duplicates, 50 * 520, 0]);
}

/// Row 2.
#[test]
fn a_stream_killed_at_its_nth_write_sync_or_send_goes_on() {
    let Some(mut world) = World::new("nth", &[]) else { return };
    world.click(200);
    world.catch_up();
    let most = thorough(4, 200);
    for call in ["pwrite64", "fdatasync", "sendto", "sendmsg"] {
        for step in 1..=most {
            // In CI a few of the first calls, others for another seed.
            let n = if most < 10 { 1 + world.random.below(12) } else { step };
            world.click(20);
            let args = world.args(&world.server.url(), "-e");
            let Some(command) = injected(&args, &format!("{call}:signal=SIGKILL:when={n}")) else { return };
            let (code, words) = world.dir.start_command(command).end();
            assert!(code == 0 || code == 128 + 9, "{call} {n}: {code}: {words}");
            if code == 0 && most > 10 {
                break;
            }
        }
    }
    world.catch_up();
    world.whole(SOON);
    let [consumed, absorbed, duplicates, refused] = counts(&world.dir.file("adprof-state"));
    assert_eq!([consumed, refused], [absorbed + duplicates, 0]);
}

/// Row 4: before the sync, between it and the word, and while it is shipped.
#[test]
fn a_collect_killed_at_its_nth_sync_word_or_send_keeps_its_word_and_ships_the_rest() {
    let Some(broker) = kafka::broker() else { return };
    let (dir, topic) = (Dir::new(), kafka::create_topic(&broker, "word", 2));
    let mut random = Random(seed());
    let (mut sent, mut said) = (0, BTreeSet::new());
    let mut kills = 0;
    for call in ["fdatasync", "write", "sendmsg", "rename"] {
        for _ in 0..thorough(4, 40) {
            let n = 1 + random.below(25);
            let args = format!("collect --ack --log log -b {broker} -t {topic} --ship-timeout 5s");
            let Some(command) = injected(&args, &format!("{call}:signal=SIGKILL:when={n}")) else { return };
            let mut collect = dir.start_command(command);
            let from = sent;
            while sent < from + 12 && collect.feed(event(sent)) {
                sent += 1;
                if collect.line().is_none_or(|line| !said.insert(from + ack(&line).1 - 1)) {
                    break;
                }
            }
            kills += u32::from(collect.end().0 == 128 + 9);
            let log: BTreeSet<String> = ids(&dir.read("log")).into_iter().collect();
            let lost = said.iter().find(|id| !log.contains(&format!("e-{id}")));
            assert!(lost.is_none(), "{call} {n}: {lost:?} was acknowledged");
            // The client has no word of the last one and sends it again.
            sent = said.last().map_or(0, |last| last + 1);
        }
    }
    assert!(kills > 5, "{kills} kills");
    dir.adprof(&format!("collect --ship --log log -b {broker} -t {topic}")).exits(0);
    dir.adprof(&format!("stream -b {broker} -t {topic} -e --store file:s")).exits(0);
    let distinct: BTreeSet<String> = ids(&dir.read("log")).into_iter().collect();
    let [consumed, absorbed, duplicates, refused] = counts(&dir.file("s"));
    assert_eq!([consumed, absorbed, refused], [absorbed + duplicates, distinct.len() as u64, 0]);
}

/// Row 5: the sink. `tests/base/crash.rs`, `tests/history/faults.rs`, `tests/nightly/crash.rs` have the rest.
#[test]
fn a_sink_killed_at_its_nth_send_or_write_is_completed_by_another_run() {
    let Some(server) = Server::start() else { return };
    let dir = Dir::new();
    dir.write("adprof.toml", "[[tag]]\ncode = \"n\"\ntype = \"int\"\nupdate = \"import\"\n");
    let patches = |value: u64| -> String {
        (0..3000)
            .map(|i| format!("{{\"userId\":\"u{i}\",\"asOf\":{},\"tags\":{{\"n\":{value}}}}}\n", value + 1))
            .collect()
    };
    let mut value = 0;
    for (call, target) in [("sendto", server.url()), ("pwrite64", "file:s".into()), ("fdatasync", "file:s".into())] {
        for n in 1..=thorough(4, 30) {
            value += 1;
            dir.write("patches", patches(value));
            let args = format!("sink {target} --batch 500 -i patches");
            let Some(command) = injected(&args, &format!("{call}:signal=SIGKILL:when={n}")) else { return };
            let (code, words) = dir.start_command(command).end();
            assert!(code == 0 || code == 128 + 9, "{call} {n}: {words}");
            dir.adprof(&args).exits(0);
            let told = dir.adprof(&format!("export --store {target} --format ndjson --tags n")).ok();
            let right = told.lines().filter(|line| line.contains(&format!("\"n\":{value}"))).count();
            assert_eq!(right, 3000, "{call} {n}");
        }
    }
}

/// Row 6: the second signal.
#[test]
fn a_stream_that_waits_for_redis_ends_at_once_by_a_second_signal() {
    let Some(mut world) = World::new("second", &[]) else { return };
    let stream = world.published(100, "");
    world.server.signal("STOP");
    world.click(100);
    kafka::pause(500);
    stream.signal("TERM");
    kafka::pause(300);
    let began = Instant::now();
    stream.signal_if_there("TERM");
    let (code, words) = ends(stream);
    world.server.signal("CONT");
    assert!(code == 128 + 15 || code == 0, "{code}: {words}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    world.catch_up();
    world.whole(SOON);
}

/// Row 6: under load, and nothing is in flight for ever.
#[test]
fn a_stream_told_to_stop_under_load_ends_within_thirty_seconds() {
    let Some(mut world) = World::new("load", &[]) else { return };
    for _ in 0..thorough(2, 10) {
        let stream = world.stream("");
        world.click(20_000);
        kafka::pause(world.random.below(800));
        let began = Instant::now();
        stream.signal("TERM");
        let (code, words) = stream.end();
        // Before it listens for signals it ends as any program does.
        assert!(code == 0 || code == 128 + 15 && began.elapsed() < Duration::from_millis(200), "{code}: {words}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    world.catch_up();
    world.whole(SOON);
}

/// Row 8: a state behind Redis, and the log of a collector in a folder.
#[test]
fn the_second_owner_of_a_state_or_a_writer_name_is_told_who_the_first_is() {
    let Some(mut world) = World::new("owner", &[]) else { return };
    let stream = world.published(50, "");
    let told = world.dir.adprof(&world.args(&world.server.url(), "-e")).exits(75);
    assert!(told.stderr.contains(&stream.pid().to_string()), "{}", told.stderr);
    stream.signal("KILL");
    stream.end();
    world.catch_up();
    let mut first: Running = world.dir.start("collect --ack --log log/");
    first.feed(event(0));
    first.acknowledged(1);
    let told = world.dir.adprof("collect --log log/").stdin(event(1)).exits(75);
    assert!(told.stderr.contains(&first.pid().to_string()), "{}", told.stderr);
    wait_until("it is no zombie of ours", SOON, || first.feed(event(2)));
    assert_eq!(first.end().0, 0);
}

/// Row 29.
#[test]
#[ignore = "needs an older adprof: ADPROF_FAULT_OLD=PATH"]
fn an_older_program_and_this_one_take_turns_on_one_state_or_refuse_clearly() {
    let Some(old) = std::env::var_os("ADPROF_FAULT_OLD") else {
        return skipped("ADPROF_FAULT_OLD names no older adprof");
    };
    let Some(mut world) = World::new("turns", &[]) else { return };
    let mut refused = 0;
    for turn in 0..8 {
        world.click(200);
        let program = if turn % 2 == 0 { old.as_os_str() } else { adprof_path().as_os_str() };
        let mut command = Command::new(program);
        command.args(world.args(&world.server.url(), "-e").split(' ')).current_dir(world.dir.path());
        let output = command.env_remove("REDIS_URL").stdin(Stdio::null()).output().expect("it runs");
        let words = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => world.whole(Duration::from_secs(5)),
            // Only the older one may find what it does not know, and then it changes nothing.
            Some(_) if turn % 2 == 0 && words.contains("format") => {
                refused += 1;
                Duration::ZERO
            }
            code => panic!("turn {turn}: {code:?}: {words}"),
        };
    }
    world.catch_up();
    world.whole(SOON);
    eprintln!("the older one refused {refused} times");
}
