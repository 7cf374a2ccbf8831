//! collect as a process: what was acknowledged is in the log, whatever happens.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Dir, ack, event, field, ids};

#[test]
fn what_comes_alone_is_acknowledged_without_waiting_for_more() {
    let dir = Dir::new();
    let mut collect = dir.start("collect --ack");
    for i in 0..5 {
        let began = Instant::now();
        collect.feed(event(i));
        assert_eq!(collect.acknowledged(i + 1), (i + 1, i + 1, 0));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(ids(&dir.read("ad-events.log")).len() as u64, i + 1);
    }
    // Half a line is nothing yet; with its end it is.
    collect.feed(&event(5)[..20]);
    std::thread::sleep(Duration::from_millis(150));
    collect.feed(&event(5)[20..]);
    assert_eq!(collect.acknowledged(6), (6, 6, 0));
    assert_eq!(collect.end().0, 0);
}

#[test]
fn killed_under_load_all_that_was_acknowledged_is_in_the_log_and_a_retry_completes_it() {
    let dir = Dir::new();
    let mut acknowledged = 0u64;
    let mut round = 0u64;
    while acknowledged < 120_000 {
        let mut collect = dir.start("collect --ack");
        let mut stdin = collect.take_stdin();
        // The client sends again from the first event it has no word of.
        let from = acknowledged;
        let feeder = std::thread::spawn(move || {
            let mut block = String::new();
            for id in from.. {
                block.push_str(&event(id));
                if block.len() > 8 << 10 {
                    if stdin.write_all(block.as_bytes()).is_err() {
                        return;
                    }
                    block.clear();
                }
            }
        });
        collect.acknowledged(1);
        std::thread::sleep(Duration::from_millis(10 + round * 37 % 90));
        collect.signal("KILL");
        let last = collect.rest().last().map_or(0, |line| ack(line).1);
        assert_eq!(collect.end().0, 128 + 9);
        feeder.join().expect("the feeder ends");
        acknowledged = from + last;
        let seen: BTreeSet<String> = ids(&dir.read("ad-events.log")).into_iter().collect();
        for id in from..acknowledged {
            assert!(seen.contains(&format!("e-{id}")), "round {round}: e-{id} was acknowledged");
        }
        round += 1;
    }
    // Nothing is missing in the middle, whatever came twice.
    let mut all: Vec<u64> =
        ids(&dir.read("ad-events.log")).iter().map(|id| id[2..].parse().expect("a number")).collect();
    all.sort_unstable();
    all.dedup();
    assert!(all.len() as u64 >= acknowledged && all.iter().zip(0..).all(|(id, want)| *id == want));
    assert!(round > 1, "one round was enough: not killed under load");
}

#[test]
fn a_torn_tail_is_set_aside_and_the_next_event_begins_a_line() {
    let dir = Dir::new();
    dir.adprof("collect").stdin(event(0) + &event(1)).ok();
    let mut log = dir.read("ad-events.log");
    log.push_str(&event(2)[..30]);
    dir.write("ad-events.log", &log);
    let output = dir.adprof("collect").stdin(event(3)).exits(0);
    assert!(output.stderr.contains("the last 30 bytes"), "{}", output.stderr);
    assert_eq!(ids(&dir.read("ad-events.log")), ["e-0", "e-1", "e-3"]);
    assert!(dir.read("ad-events.log.torn").contains("TORN_TAIL"));
}

#[test]
fn a_second_collect_on_the_same_log_is_sent_away_and_told_who_holds_it() {
    let dir = Dir::new();
    let mut first = dir.start("collect --ack");
    first.feed(event(0));
    first.acknowledged(1);
    let output = dir.adprof("collect").stdin(event(1)).exits(75);
    assert!(output.stderr.contains(&format!("pid {}", first.pid())), "{}", output.stderr);
    first.feed(event(2));
    first.acknowledged(2);
    assert_eq!(first.end().0, 0);
    assert_eq!(ids(&dir.read("ad-events.log")), ["e-0", "e-2"]);
    dir.adprof("collect").stdin(event(3)).ok();
}

#[test]
fn the_disk_has_it_before_the_word_is_out() {
    let dir = Dir::new();
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "64", "-e", "trace=fdatasync,write", "-o", "trace"]);
    if Command::new("strace").arg("-V").output().is_err() {
        return support::skipped("no strace");
    }
    command.arg(support::adprof_path()).args(["collect", "--ack"]);
    let mut collect = dir.start_command(command);
    for i in 0..5 {
        collect.feed(if i == 3 { "bad\n".into() } else { event(i) });
        if collect.line().is_none() {
            let (_, stderr) = collect.end();
            return support::skipped(&format!("strace cannot trace here: {stderr}"));
        }
    }
    assert_eq!(collect.end().0, 0);
    let (mut dirty, mut syncs, mut acks) = (false, 0, 0);
    for line in dir.read("trace").lines() {
        let writes = |what: &str| line.contains("write(") && line.contains(what);
        if line.contains("fdatasync") && line.ends_with("= 0") {
            dirty = false;
            syncs += 1;
        } else if writes(r#""{\"eventId\""#) || writes(r#""{\"code\""#) {
            dirty = true;
        } else if writes(r#"write(1, "{\"lines\""#) {
            acks += 1;
            assert!(!dirty && syncs >= acks, "acknowledged before it was durable: {line}");
        }
    }
    assert_eq!(acks, 5);
}

#[test]
fn a_sync_that_fails_ends_it_without_an_acknowledgement_and_the_next_run_is_clean() {
    for n in 1..6 {
        let dir = Dir::new();
        if Command::new("strace").arg("-V").output().is_err() {
            return support::skipped("no strace");
        }
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "trace", "-e", "trace=fdatasync"]);
        command.args(["-e", &format!("inject=fdatasync:error=EIO:when={n}")]);
        command.arg(support::adprof_path()).args(["collect", "--ack"]);
        let mut collect = dir.start_command(command);
        let mut acknowledged = 0;
        for id in 0.. {
            if !collect.feed(event(id)) {
                break;
            }
            let Some(line) = collect.line() else { break };
            acknowledged = ack(&line).1;
            assert!(acknowledged < 10, "the fault never came");
        }
        let (code, stderr) = collect.end();
        if !stderr.contains("sync `ad-events.log`") {
            return support::skipped(&format!("strace cannot inject here: {stderr}"));
        }
        assert_eq!(code, 74, "{stderr}");
        assert_eq!(acknowledged, n - 1, "{stderr}");
        dir.adprof("collect").stdin(event(100)).ok();
        let mut want: Vec<String> = (0..acknowledged).map(|id| format!("e-{id}")).collect();
        want.push("e-100".into());
        assert_eq!(ids(&dir.read("ad-events.log")), want, "fault {n}");
    }
}

/// A small disk of its own, gone when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &std::path::Path) -> Option<SmallDisk> {
        std::fs::create_dir(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at).stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_it_says_so_keeps_what_it_acknowledged_and_goes_on_when_there_is_room() {
    let dir = Dir::new();
    let Some(_disk) = SmallDisk::mount(&dir.file("small")) else {
        return support::skipped("no right to mount a small disk");
    };
    dir.write("small/ballast", vec![0; 2 << 20]);
    let mut collect = dir.start("collect --log small/log --ack");
    let mut stdin = collect.take_stdin();
    let feeder = std::thread::spawn(move || (0..50_000).all(|id| stdin.write_all(event(id).as_bytes()).is_ok()));
    let acknowledged = collect.rest().last().map_or(0, |line| ack(line).1);
    let (code, stderr) = collect.end();
    assert!(!feeder.join().expect("the feeder ends"), "it never filled the disk");
    assert_eq!(code, 74, "{stderr}");
    assert!(stderr.to_lowercase().contains("no space left on device"), "{stderr}");
    let log = dir.read("small/log");
    assert!(log.ends_with('\n') || log.is_empty(), "no torn line");
    assert_eq!(ids(&log).len() as u64, acknowledged);
    std::fs::remove_file(dir.file("small/ballast")).expect("removed");
    dir.adprof("collect --log small/log").stdin(event(acknowledged)).ok();
    assert_eq!(ids(&dir.read("small/log")).len() as u64, acknowledged + 1);
}

#[test]
fn told_to_stop_it_commits_what_it_took_and_ends_well() {
    for signal in ["TERM", "INT"] {
        let dir = Dir::new();
        let mut collect = dir.start("collect --ack");
        let mut lines = String::new();
        (0..1000).for_each(|id| lines.push_str(&event(id)));
        collect.feed(&lines);
        // Not a whole line: nobody was promised anything.
        collect.feed(&event(1000)[..40]);
        collect.acknowledged(1000);
        let began = Instant::now();
        collect.signal(signal);
        let stdin = collect.take_stdin();
        let (code, stderr) = collect.end();
        drop(stdin);
        assert_eq!(code, 0, "{stderr}");
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(ids(&dir.read("ad-events.log")).len(), 1000);
        assert!(stderr.contains("collected 1,000 events into ad-events.log"), "{stderr}");
        assert!(!dir.file("ad-events.log.dead").exists(), "half a line is no dead letter");
    }
}

#[test]
fn half_a_line_that_follows_keeps_no_acknowledgement_back() {
    let dir = Dir::new();
    let mut collect = dir.start("collect --ack");
    for id in 0..200 {
        // Two writes: the half may arrive while the whole line is being taken.
        collect.feed(event(2 * id));
        collect.feed(&event(2 * id + 1)[..40]);
        collect.acknowledged(2 * id + 1);
        collect.feed(&event(2 * id + 1)[40..]);
        collect.acknowledged(2 * id + 2);
    }
    collect.close();
    assert_eq!(collect.end().0, 0);
    assert_eq!(ids(&dir.read("ad-events.log")).len(), 400);
}

#[test]
fn the_second_signal_ends_at_once() {
    let dir = Dir::new();
    let mut collect = dir.start("collect --ack -b 127.0.0.1:1 -t events --ship-timeout 60s");
    collect.feed(event(0));
    collect.acknowledged(1);
    collect.signal("TERM");
    std::thread::sleep(Duration::from_millis(200));
    collect.signal("TERM");
    let stdin = collect.take_stdin();
    assert_eq!(collect.end().0, 128 + 15);
    drop(stdin);
    assert_eq!(ids(&dir.read("ad-events.log")), ["e-0"]);
}

#[test]
fn a_directory_is_partitioned_by_day_of_receipt_and_several_writers_share_it() {
    let dir = Dir::new();
    let at = |id: u64, received: i64| event(id).replace("}\n", &format!(",\"receivedAt\":{received}}}\n"));
    // 2024-11-12, 2024-11-13 and the last instant of the 12th.
    let input = at(0, 1_731_369_600_000) + &at(1, 1_731_456_000_000) + &at(2, 1_731_455_999_999) + "bad\n";
    dir.adprof("collect --log events/ --writer web").stdin(input).exits(0);
    let mut app = dir.start("collect --log events --writer app --ack");
    app.feed(at(3, 1_731_369_600_000));
    app.acknowledged(1);
    dir.adprof("collect --log events --writer app").stdin(event(9)).exits(75);
    dir.adprof("collect --log events --writer web").stdin(at(4, 1_731_456_000_000)).ok();
    assert_eq!(app.end().0, 0);
    for (file, want) in [
        ("events/dt=2024-11-12/web-00001.ndjson", vec!["e-0", "e-2"]),
        ("events/dt=2024-11-13/web-00001.ndjson", vec!["e-1", "e-4"]),
        ("events/dt=2024-11-12/app-00001.ndjson", vec!["e-3"]),
    ] {
        assert_eq!(ids(&dir.read(file)), want, "{file}");
    }
    assert!(dir.read("events/dead/web.ndjson").contains("NOT_JSON"));
    let log = adprof::log::Log::open(&dir.file("events")).expect("a log");
    assert!(log.strays().is_empty(), "{:?}", log.strays());
    dir.adprof("collect --log events --writer ../x").stdin(event(9)).exits(2);
}

#[test]
fn a_map_turns_the_real_taobao_rows_into_events() {
    let Some(path) = support::data("taobao-userbehavior/UserBehavior.csv") else { return };
    let rows = std::fs::read_to_string(&path).expect("read").lines().count();
    let dir = Dir::new();
    dir.adprof("collect --map taobao").arg(&path).ok();
    let log = dir.read("ad-events.log");
    assert_eq!(log.lines().count(), rows);
    assert_eq!(ids(&log).into_iter().collect::<BTreeSet<_>>().len(), rows, "every row is an event of its own");
    let first = log.lines().next().expect("an event").as_bytes();
    let names = ["userId", "itemId", "category", "eventType"];
    assert_eq!(names.map(|name| field(first, name)), ["543462", "1715", "1464116", "view"]);
}

#[test]
fn a_map_with_a_header_reads_each_file_under_its_own_and_cannot_replay_single_lines() {
    let dir = Dir::new();
    let map = "format = \"csv\"\n[fields]\neventId = \"id\"\nuserId = \"user\"\neventType = { const = \"click\" }\n\
               timestamp = { from = \"at\", as = \"seconds\" }\n";
    dir.write("shop.toml", map);
    dir.write("a.csv", "id,user,at\n1,u,1731296325\nx\n");
    dir.write("b.csv", "at,id,user\n1731296326,2,v\n");
    dir.adprof("collect --map shop.toml a.csv b.csv").exits(0);
    assert_eq!(ids(&dir.read("ad-events.log")), ["1", "2"]);
    let output = dir.adprof("collect --replay --map shop.toml ad-events.log.dead").exits(2);
    assert!(output.stderr.contains("header"), "{}", output.stderr);
}

#[test]
fn what_is_not_there_or_leads_in_a_circle_is_said_before_anything_is_written() {
    let dir = Dir::new();
    let output = dir.adprof("collect no-such-file.jsonl").exits(66);
    assert!(output.stderr.contains("no-such-file.jsonl: no such file or directory"), "{}", output.stderr);
    dir.adprof("collect --map no-such-map").stdin(event(0)).exits(66);
    dir.adprof("collect --ship -b 127.0.0.1:1 -t events").exits(66);
    dir.adprof("collect -b 127.0.0.1:1").stdin(event(0)).exits(2);
    dir.adprof("collect -t events").stdin(event(0)).exits(2);
    dir.adprof("collect --to - --ack").stdin(event(0)).exits(2);
    assert!(!dir.file("ad-events.log").exists());
    dir.write("broken.toml", "event_types = 5\n");
    dir.adprof("collect -d broken.toml").stdin(event(0)).exits(78);

    dir.adprof("collect").stdin(event(0)).ok();
    dir.adprof("collect ad-events.log").exits(2);
    dir.adprof("collect --log events/").stdin(event(0)).ok();
    let day = std::fs::read_dir(dir.file("events")).expect("there").flatten().map(|entry| entry.file_name());
    let day = day.filter_map(|name| name.into_string().ok()).find(|name| name.starts_with("dt=")).expect("a day");
    dir.adprof(&format!("collect --log events events/{day}/collect-00001.ndjson")).exits(2);
    assert_eq!(ids(&dir.read("ad-events.log")), ["e-0"]);
}

#[test]
fn echoed_events_are_those_the_log_would_have_and_there_is_no_log() {
    let dir = Dir::new();
    let out = dir.adprof("collect --to -").stdin(event(0) + "bad\n" + &event(1)).ok();
    assert_eq!(ids(&out), ["e-0", "e-1"]);
    assert!(out.lines().all(|line| line.contains("\"receivedAt\":")));
    assert!(!dir.file("ad-events.log").exists() && dir.file("ad-events.log.dead").exists());
}

#[test]
fn what_is_no_regular_file_takes_no_log() {
    let output = Dir::new().adprof("collect --log /dev/full").stdin(event(0)).output();
    assert_eq!(output.code, 66, "{}", output.stderr);
    assert!(output.stderr.contains("not a regular file"), "{}", output.stderr);
}
