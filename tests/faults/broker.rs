//! Rows 9, 10 and 11: the broker is killed or stands still; the topic is made anew, grows, or its group is forgotten.

use crate::kafka;
use crate::streams::{counts, produce, wait_until};
use crate::support::{Dir, event, skipped};
use crate::world::{SOON, World, fold, thorough};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The broker's process, which can be killed and started again as it was. Others must not use it meanwhile.
struct Broker {
    pid: u32,
    port: u16,
    arguments: Vec<String>,
    dir: std::path::PathBuf,
}

impl Broker {
    /// The broker of the folder that scripts/servers.sh made.
    fn of_script(broker: &str) -> Option<Broker> {
        let pid = kafka::BrokerProcess::find(broker)?.pid();
        let dir = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments = arguments.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
        let port = broker.rsplit(':').next()?.parse().ok()?;
        // The script finds it again by this file.
        dir.join("pid").exists().then_some(Broker { pid, port, arguments, dir })
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid.to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    fn stat(&self) -> Option<Vec<String>> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        Some(stat.rsplit(") ").next()?.split(' ').map(str::to_owned).collect())
    }

    fn kill(&mut self) {
        self.signal("-KILL");
        wait_until("the broker is gone", SOON, || self.stat().is_none_or(|stat| stat[0] == "Z"));
    }

    fn start(&mut self) {
        let log = std::fs::OpenOptions::new().append(true).open(self.dir.join("log")).expect("its log");
        let mut command = Command::new("setsid");
        command.args(&self.arguments).current_dir(&self.dir).stdin(Stdio::null());
        // The script that began it ends it.
        #[expect(clippy::zombie_processes)]
        let child = command.stdout(log.try_clone().expect("a copy")).stderr(log).spawn().expect("started");
        self.pid = child.id();
        wait_until("the broker listens", Duration::from_secs(60), || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        let born = &self.stat().expect("it lives")[19];
        std::fs::write(self.dir.join("pid"), format!("{} {born}\n", self.pid)).expect("written");
    }
}

/// CPU time of a process so far.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    Duration::from_millis((fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")) * 10)
}

/// Collects, ships and streams while `fault` happens to the broker: every event is acknowledged soon, and arrives.
fn survives(name: &str, properties: &str, fault: impl FnOnce(&mut Broker, &mut dyn FnMut())) {
    let Some(world) = World::new(name, &[]) else { return };
    let Some(mut broker) = Broker::of_script(&world.broker) else {
        return skipped("the broker is not scripts/servers.sh's");
    };
    let (dir, brokers, topic) = (&world.dir, &world.broker, &world.topic);
    let stream = world.stream("-X socket.timeout.ms=3000");
    let mut collect = dir.start(&format!("collect --ack --log log -b {brokers} -t {topic} {properties}"));
    let mut sent = 0;
    let mut feed = || {
        for _ in 0..20 {
            collect.feed(event(sent));
            sent += 1;
            collect.acknowledged(sent);
        }
    };
    feed();
    let all_shows = |limit| {
        let expected = fold(dir, "log");
        wait_until("everything shows", limit, || {
            let found = crate::world::everything(&world.server.url());
            expected.as_ref().is_none_or(|expected| found.is_ok_and(|found| found == *expected))
        })
    };
    // A stream that finds no broker at its start ends.
    all_shows(SOON);
    let before = cpu(stream.pid());
    let began = std::time::Instant::now();
    fault(&mut broker, &mut feed);
    let (used, took) = (cpu(stream.pid()) - before, began.elapsed());
    assert!(used < took / 5 + Duration::from_secs(1), "{used:?} of CPU in {took:?}");
    feed();
    all_shows(Duration::from_secs(90));
    let (code, words) = collect.end();
    assert_eq!(code, 0, "{words}");
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("kafka cannot be reached"), "{words}");
}

#[test]
#[ignore = "kills the broker, which must be nobody else's"]
fn a_broker_killed_under_load_loses_no_event() {
    survives("killed", "", |broker, feed| {
        for seconds in [0, 2, 6] {
            broker.kill();
            feed();
            kafka::pause(seconds * 1000);
            feed();
            broker.start();
            kafka::pause(2000);
        }
    });
}

#[test]
#[ignore = "holds the broker still for 90 s"]
fn a_broker_that_stands_still_for_90_s_loses_no_event() {
    survives("paused", "", |broker, feed| {
        broker.signal("-STOP");
        for _ in 0..9 {
            feed();
            kafka::pause(10_000);
        }
        broker.signal("-CONT");
    });
}

#[test]
#[ignore = "holds the broker still"]
fn an_outage_longer_than_a_sender_waits_drops_nothing_and_no_timeout_can_be_set_that_would() {
    let args = "collect -b 127.0.0.1:1 -t events -X message.timeout.ms=5000";
    let told = Dir::new().adprof(args).stdin(event(0)).exits(2);
    assert!(told.stderr.contains("message.timeout.ms"), "{}", told.stderr);
    survives("timeout", "-X socket.timeout.ms=2000", |broker, feed| {
        broker.signal("-STOP");
        feed();
        kafka::pause(12_000);
        feed();
        broker.signal("-CONT");
    });
}

/// What stops a stream, and the repair: the state is made anew from the log and the stream goes on behind it.
fn stops_and_is_repaired(name: &str, code: &str, fault: impl Fn(&World)) {
    let Some(mut world) = World::new(name, &[]) else { return };
    world.click(300);
    world.catch_up();
    fault(&world);
    let args = world.args(&world.server.url(), "-e");
    let told = world.dir.adprof(&args).exits(66);
    assert!(told.stderr.contains(code) && told.stderr.contains("hint: "), "{}", told.stderr);
    assert_eq!(world.dir.adprof(&args).output().code, 66, "again, until somebody repairs it");
    // The state that cannot go on is moved away, and with it what it says of the topic.
    std::fs::remove_dir_all(world.dir.file("adprof-state")).expect("removed");
    let rebuild =
        format!("rebuild --log events.ndjson --store {} -b {} -t {}", world.server.url(), world.broker, world.topic);
    world.dir.adprof(&rebuild).exits(0);
    world.click(200);
    world.catch_up();
    world.whole(SOON);
}

#[test]
fn a_topic_made_anew_shorter_or_longer_or_grown_stops_a_stream_and_a_rebuild_repairs_it() {
    stops_and_is_repaired("shorter", "past the end", |world| {
        kafka::delete_topic(&world.broker, &world.topic);
        kafka::create_exactly(&world.broker, &world.topic, 2);
    });
    stops_and_is_repaired("longer", "made anew", |world| {
        kafka::delete_topic(&world.broker, &world.topic);
        kafka::create_exactly(&world.broker, &world.topic, 2);
        // By their keys they come into both partitions.
        let others: Vec<_> = (0..2000).map(|n| (format!("k{n}"), format!("{{\"another\":{n}}}"))).collect();
        produce(&world.broker, &world.topic, &others);
    });
    stops_and_is_repaired("grown", "has now: 8", |world| kafka::grow(&world.broker, &world.topic, 8));
    stops_and_is_repaired("overtaken", "retention overtook", |world| {
        let more: String = (0..100).map(event).collect();
        kafka::produce_lines(&world.broker, &world.topic, &more);
        let client: BaseConsumer = kafka::config(&world.broker).create().expect("client");
        for partition in 0..2 {
            let (_, end) = client.fetch_watermarks(&world.topic, partition, SOON).expect("answered");
            kafka::delete_before(&world.broker, &world.topic, partition, end);
        }
    });
}

#[test]
fn a_group_that_was_deleted_is_of_no_concern() {
    let Some(mut world) = World::new("group", &[]) else { return };
    let group = kafka::unique("group");
    let args = world.args(&world.server.url(), &format!("-e -G {group}"));
    for _ in 0..thorough(2, 5) {
        world.click(100);
        world.dir.adprof(&args).exits(0);
        let admin: AdminClient<_> = kafka::config(&world.broker).create().expect("admin client");
        let options = AdminOptions::new().operation_timeout(Some(SOON));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        for result in runtime.block_on(admin.delete_groups(&[&group], &options)).expect("answered") {
            result.expect("deleted");
        }
    }
    world.click(100);
    world.dir.adprof(&args).exits(0);
    world.whole(SOON);
    let [consumed, absorbed, duplicates, _] = counts(&world.dir.file("adprof-state"));
    assert_eq!(consumed, absorbed + duplicates);
}
