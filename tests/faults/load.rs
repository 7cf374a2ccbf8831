//! Rows 27, 30 and 31: one user with nearly everything, little memory or CPU, and many who ask for metrics.

use crate::kafka;
use crate::streams::{hget, now, produce, wait_until};
use crate::support::{Running, adprof_path, skipped};
use crate::world::{SOON, World, ends};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Row 27.
#[test]
#[ignore = "heavy: a million events"]
fn a_user_with_nine_events_of_ten_costs_neither_memory_nor_time() {
    let Some(mut world) = World::new("hot", &[]) else { return };
    let stream = world.stream("");
    let (each, began) = (100_000, now());
    let mut peaks = Vec::new();
    for part in 0..10 {
        let event = |i: u64| {
            let n = part * each + i;
            let user = if world.random.below(10) < 9 { "hot".to_string() } else { format!("u{}", n % 5000) };
            let line = format!(
                r#"{{"eventId":"e{n}","userId":"{user}","eventType":"click","timestamp":{began},"itemId":"i{}"}}"#,
                n % 1000
            );
            (user, line)
        };
        let messages: Vec<_> = (0..each).map(event).collect();
        produce(&world.broker, &world.topic, &messages);
        peaks.push(stream.peak_memory() >> 20);
    }
    let mut redis = world.server.client();
    let hot =
        |redis: &mut redis::Connection| hget(redis, "hot", "clicks_total").and_then(|text| text.parse::<u64>().ok());
    wait_until("all of it", Duration::from_secs(120), || hot(&mut redis).is_some_and(|n| n > 890_000 && n < 910_000));
    kafka::pause(1000);
    let (before, began) = (hot(&mut redis).expect("a count"), Instant::now());
    let line = r#"{"eventId":"last","userId":"hot","eventType":"click","timestamp":1}"#;
    produce(&world.broker, &world.topic, &[("hot".into(), line.into())]);
    wait_until("one more", SOON, || hot(&mut redis) == Some(before + 1));
    let latency = began.elapsed();
    eprintln!("peaks after each 100,000 events: {peaks:?} MiB; one more shows after {latency:?}");
    assert!(latency < Duration::from_secs(1), "{latency:?}");
    assert!(peaks[9] < 600, "{peaks:?} MiB");
    stream.signal("KILL");
    let _ = stream.end();
}

/// A control group, of version 1 or 2, gone when dropped.
struct Group(PathBuf);

impl Group {
    fn new(controller: &str, settings: &[(&str, &str, String)]) -> Option<Group> {
        let one = PathBuf::from("/sys/fs/cgroup").join(controller);
        let root = if one.is_dir() { one } else { PathBuf::from("/sys/fs/cgroup") };
        let group = Group(root.join(kafka::unique("adprof-test")));
        let made = std::fs::create_dir(&group.0).is_ok()
            && settings
                .iter()
                .all(|(v1, v2, value)| [v1, v2].iter().any(|name| std::fs::write(group.0.join(name), value).is_ok()));
        if !made {
            skipped(&format!("no right to make a control group of {controller}"));
        }
        made.then_some(group)
    }

    fn start(&self, world: &World, flags: &str) -> Running {
        let mut command = Command::new("sh");
        let join = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", self.0.display());
        command.args(["-c", &join, "sh"]).arg(adprof_path());
        command.args(world.args(&world.server.url(), flags).split_whitespace());
        world.dir.start_command(command)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Row 30.
#[test]
#[ignore = "heavy: half a minute with a twentieth of a core"]
fn with_little_memory_or_cpu_it_stays_under_its_limit_or_goes_on_after_the_kill() {
    for mib in [48, 400] {
        let Some(mut world) = World::new("memory", &[]) else { return };
        let bytes = (mib << 20).to_string();
        let Some(group) = Group::new("memory", &[("memory.limit_in_bytes", "memory.max", bytes)]) else { return };
        let stream = group.start(&world, "--dedup-memory 16M");
        for _ in 0..5 {
            world.click(20_000);
        }
        let began = Instant::now();
        while began.elapsed() < SOON && stream.is_there() && !world.is_whole() {
            kafka::pause(200);
        }
        if stream.is_there() {
            assert!(stream.peak_memory() <= (mib as u64) << 20);
            stream.signal("TERM");
            assert_eq!(stream.end().0, 0);
        } else {
            // The kernel's kill is row 1.
            assert_eq!(ends(stream).0, 128 + 9, "{mib} MiB");
        }
        world.catch_up();
        world.whole(SOON);
    }
    let Some(mut world) = World::new("cpu", &[]) else { return };
    let settings = [("cpu.cfs_quota_us", "cpu.max", "5000".to_string())];
    let Some(group) = Group::new("cpu", &settings) else { return };
    let stream = group.start(&world, "");
    world.click(5000);
    let took = world.whole(Duration::from_secs(60));
    eprintln!("5,000 events with a twentieth of a core: {took:?}");
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}

/// Row 31: the one server there is.
#[test]
fn thousands_who_connect_and_say_nothing_hold_nobody_up_and_cost_no_memory() {
    let Some(mut world) = World::new("http", &[]) else { return };
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let stream = world.stream(&format!("--metrics {port}"));
    wait_until("it listens", SOON, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let before = stream.peak_memory();
    let mut silent = Vec::new();
    for i in 0..crate::world::thorough(800, 10_000) {
        let Ok(mut socket) = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(200))
        else {
            break;
        };
        // Of some the head begins and does not end.
        let _ = if i % 3 == 0 { socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: ") } else { Ok(()) };
        silent.push(socket);
    }
    let began = Instant::now();
    world.click(200);
    world.whole(SOON);
    wait_until("somebody is answered", SOON, || {
        let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        let mut answer = String::new();
        let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
        let asked = socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        asked.is_ok() && socket.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
    });
    let grown = stream.peak_memory() - before;
    eprintln!("{} silent connections: answered after {:?}, {} MiB more", silent.len(), began.elapsed(), grown >> 20);
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
    drop(silent);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}
