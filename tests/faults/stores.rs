//! Rows 12 to 17: Redis is killed, loses or rewinds its data, stands still, is full, refuses, or a key of it is harmed.

use crate::kafka;
use crate::proxy::{Fault, Proxy};
use crate::streams::{Server, client, hget, wait_until};
use crate::world::{SOON, World, ends, seed, thorough};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const AT_ONCE: Duration = Duration::from_secs(8);

/// A stream that has published, its Redis having these settings; then the fault, with events before, while and after.
fn survives(name: &str, redis: &[&str], times: u64, mut fault: impl FnMut(&mut World)) -> String {
    let Some(mut world) = World::new(name, redis) else { return String::new() };
    let stream = world.published(200, "");
    for _ in 0..times {
        fault(&mut world);
        world.click(50);
        world.whole(SOON);
    }
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    words
}

fn killed_under_load(world: &mut World) {
    world.click(2000);
    kafka::pause(world.random.below(300));
    world.server.kill();
    kafka::pause(world.random.below(1000));
    world.server.restart();
    wait_until("it has read its file", SOON, || {
        redis::cmd("PING").query::<String>(&mut client(&world.server.url())).is_ok_and(|pong| pong == "PONG")
    });
}

#[test]
fn a_redis_killed_under_load_shows_everything_again_whatever_it_keeps() {
    let times = thorough(2, 10);
    survives("aof-always", &["--appendonly", "yes", "--appendfsync", "always"], times, killed_under_load);
    survives("aof-second", &["--appendonly", "yes", "--appendfsync", "everysec"], times, killed_under_load);
    let words = survives("aof-off", &[], times, killed_under_load);
    assert!(words.is_empty() || words.contains("redis has lost data"), "{words}");
}

/// Waits for `PING`, as after a change of role.
fn quiet(server: &Server) {
    kafka::pause(200);
    wait_until("it answers", SOON, || redis::cmd("PING").query::<String>(&mut server.client()).is_ok());
}

#[test]
fn a_data_set_emptied_swapped_or_rewound_is_noticed_and_told_again() {
    survives("flushall", &[], thorough(2, 10), |world| world.server.tell(&["FLUSHALL"]));
    survives("swapdb", &[], thorough(2, 10), |world| {
        world.server.tell(&["SWAPDB", "0", "1"]);
        if world.random.below(2) == 0 {
            // What was written meanwhile is gone with it.
            world.click(50);
            kafka::pause(300);
            world.server.tell(&["SWAPDB", "0", "1"]);
        }
    });
    survives("rewound", &[], thorough(2, 10), |world| {
        world.server.tell(&["SAVE"]);
        let kept = std::fs::read(world.server.file("dump.rdb")).expect("saved");
        world.click(300);
        world.whole(SOON);
        world.server.kill();
        std::fs::write(world.server.file("dump.rdb"), &kept).expect("written");
        world.server.restart();
        quiet(&world.server);
    });
}

fn follows(server: &Server, master: u16) {
    server.tell(&["REPLICAOF", "127.0.0.1", &master.to_string()]);
    wait_until("it follows", SOON, || {
        let told: String = redis::cmd("INFO").arg("replication").query(&mut server.client()).expect("answered");
        told.contains("master_link_status:up")
    });
}

/// While the roles change nobody gets through, as with a name or a proxy that leads to the master.
#[test]
fn a_failover_that_lost_the_last_writes_is_noticed() {
    let (Some(mut world), Some(replica)) = (World::new("failover", &[]), Server::start()) else { return };
    let proxy = Proxy::new(world.server.port(), seed());
    let stream = world.dir.start(&world.args(&proxy.url(), ""));
    world.click(200);
    world.whole(SOON);
    for _ in 0..thorough(2, 8) {
        follows(&replica, world.server.port());
        // It misses what is written from now on; then its data set takes the place of the master's.
        replica.tell(&["REPLICAOF", "NO", "ONE"]);
        world.click(300);
        world.whole(SOON);
        proxy.set(Fault::Refuse);
        proxy.cut();
        follows(&world.server, replica.port());
        world.server.tell(&["REPLICAOF", "NO", "ONE"]);
        assert!(!world.is_whole(), "nothing was lost");
        proxy.set(Fault::None);
        world.whole(SOON);
    }
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert!(code == 0 && words.contains("redis has lost data"), "{code}: {words}");
}

#[test]
fn a_redis_that_sleeps_pauses_or_cuts_its_clients_is_waited_for() {
    let seconds = thorough(3, 10).to_string();
    survives("sleep", &["--enable-debug-command", "yes"], 1, |world| {
        // Longer than an answer is waited for, when thorough.
        let (url, seconds) = (world.server.url(), seconds.clone());
        let sleeper = std::thread::spawn(move || {
            redis::cmd("DEBUG").arg("SLEEP").arg(seconds).exec(&mut client(&url)).expect("slept");
        });
        world.click(500);
        sleeper.join().expect("slept");
    });
    survives("cut", &[], 1, |world| {
        for _ in 0..thorough(10, 60) {
            world.click(50);
            world.server.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
            world.server.tell(&["SCRIPT", "FLUSH"]);
            kafka::pause(200);
        }
    });
}

#[test]
#[ignore = "heavy: Redis stands still for 30 s"]
fn a_redis_that_stands_still_for_half_a_minute_costs_no_memory() {
    let Some(mut world) = World::new("half-minute", &[]) else { return };
    let stream = world.published(200, "");
    world.server.signal("STOP");
    world.click(20_000);
    kafka::pause(2000);
    let before = stream.peak_memory();
    for _ in 0..14 {
        world.click(20_000);
        kafka::pause(1800);
    }
    let grown = stream.peak_memory() - before;
    world.server.signal("CONT");
    world.whole(SOON);
    assert!(grown < 48 << 20, "{} MiB more", grown >> 20);
}

#[test]
fn a_redis_that_is_full_stalls_the_stream_which_says_so_and_goes_on() {
    let words = survives("full", &[], thorough(1, 5), |world| {
        world.server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
        world.click(100);
        kafka::pause(3000);
        assert!(!world.is_whole());
        world.server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    });
    assert!(words.is_empty() || words.contains("redis cannot be reached") && words.contains("OOM"), "{words}");
}

/// What is evicted nobody tells anybody: `doctor` warns of the policy, `verify` finds it, a token gone repairs it.
#[test]
fn what_an_eviction_policy_threw_away_is_found_by_verify_and_told_again_without_the_token() {
    let Some(mut world) = World::new("evicted", &[]) else { return };
    let stream = world.published(500, "");
    let url = world.server.url();
    let told = world.dir.adprof(&format!("doctor --store {url} --json")).output().stdout;
    assert!(told.contains(r#""check":"redis.eviction","level":"ok""#), "{told}");
    world.server.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let told = world.dir.adprof(&format!("doctor --store {url} --json")).output().stdout;
    assert!(told.contains(r#""check":"redis.eviction","hint""#), "{told}");
    world.server.tell(&["DEL", "profile:u7", "profile:u8"]);
    found_and_repaired(&world, 2);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}

/// `verify` finds so many users that lack everything; the token taken away, they are back.
fn found_and_repaired(world: &World, users: usize) {
    let args = format!("verify --log events.ndjson --store {} --state adprof-state --grace 0", world.server.url());
    let found = world.dir.adprof(&args).exits(1);
    assert!(found.stdout.lines().count() >= users && found.stdout.contains("\"missing\""), "{}", found.stdout);
    world.server.tell(&["DEL", &format!("adprof:token:{}", world.topic)]);
    world.whole(AT_ONCE);
}

#[test]
fn one_profile_deleted_or_of_the_wrong_type_holds_nobody_up() {
    let Some(mut world) = World::new("one", &[]) else { return };
    let stream = world.published(500, "");
    world.server.tell(&["DEL", "profile:u3"]);
    found_and_repaired(&world, 1);
    world.server.tell(&["DEL", "profile:u4"]);
    world.server.tell(&["SET", "profile:u4", "mine"]);
    world.click(500);
    let mut expected = world.expected().unwrap_or_default();
    expected.remove("u4");
    let total = |user: &str, redis: &mut redis::Connection| hget(redis, user, "clicks_total");
    let mut redis = world.server.client();
    wait_until("the others", SOON, || {
        expected.iter().all(|(user, tags)| total(user, &mut redis).as_deref() == tags["clicks_total"].as_str())
    });
    // The name is free again, and everything is told.
    world.server.tell(&["DEL", "profile:u4", &format!("adprof:token:{}", world.topic)]);
    world.whole(AT_ONCE);
    stream.signal("TERM");
    let (code, words) = stream.end();
    assert!(code == 0 && words.contains("redis refused a profile: `profile:u4`"), "{code}: {words}");
}

/// Runs a stream as a user of Redis; the password is in the environment.
fn as_user(world: &World, user: &str, password: &str) -> crate::support::Running {
    let mut command = Command::new("env");
    command.arg(format!("REDIS_URL=redis://{user}:{password}@127.0.0.1:{}", world.server.port()));
    command.arg(crate::support::adprof_path());
    command.args(world.args("redis", "").split_whitespace());
    world.dir.start_command(command)
}

#[test]
fn a_right_that_is_revoked_and_a_wrong_password_end_it_with_77_and_nothing_is_skipped() {
    let Some(mut world) = World::new("acl", &[]) else { return };
    let rights = ["ACL", "SETUSER", "writer", "on", ">canary", "~*", "+@all"];
    world.server.tell(&rights);
    world.click(100);
    let stream = as_user(&world, "writer", "canary");
    world.whole(SOON);
    world.server.tell(&["ACL", "SETUSER", "writer", "-hset", "-hdel"]);
    world.click(100);
    let (code, words) = ends(stream);
    assert!(code == 77 && !words.contains("canary"), "{code}: {words}");
    let (code, words) = ends(as_user(&world, "writer", "canaryx"));
    assert!(code == 77 && !words.contains("canary"), "{code}: {words}");
    world.server.tell(&rights);
    let stream = as_user(&world, "writer", "canary");
    world.whole(SOON);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}

#[test]
fn a_master_that_became_a_replica_ends_it_with_77_and_as_a_master_it_gets_everything() {
    let Some(mut world) = World::new("replica", &[]) else { return };
    let stream = world.published(100, "");
    let other = Server::start().expect("there is one already");
    world.server.tell(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    world.click(100);
    let (code, words) = ends(stream);
    assert!(code == 77 && words.contains("READONLY"), "{code}: {words}");
    world.server.tell(&["REPLICAOF", "NO", "ONE"]);
    world.catch_up();
    world.whole(SOON);
}

/// A file system of its own, of so many MiB; unmounted when dropped.
pub struct SmallDisk(pub std::path::PathBuf);

impl SmallDisk {
    pub fn mount(at: &Path, mib: u32) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(at).stderr(std::process::Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            crate::support::skipped("no right to mount a small disk");
        }
        mounted.then(|| SmallDisk(at.to_owned()))
    }

    pub fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status();
        assert!(status.expect("mount runs").success(), "{how}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_redis_whose_disk_is_full_stalls_the_stream_until_there_is_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&dir.path().join("small"), 4) else { return };
    let ballast = disk.0.join("ballast");
    let at = disk.0.display().to_string();
    // The last `--dir` counts.
    let settings = ["--dir", &at, "--appendonly", "yes", "--appendfsync", "everysec"];
    let words = survives("redis-disk", &settings, 1, |world| {
        let _ = std::fs::write(&ballast, vec![0; 4 << 20]);
        world.click(2000);
        kafka::pause(4000);
        std::fs::remove_file(&ballast).expect("removed");
    });
    eprintln!("{words}");
}
