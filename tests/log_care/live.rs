//! Collectors go on while a log is cared for: nothing acknowledged is lost or doubled, nobody is turned away.

use super::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_day_is_sealed_while_its_collector_lives_and_what_comes_then_is_late() {
    let dir = Dir::new();
    let mut collect = dir.start("collect --log events/ --writer web --ack");
    collect.feed(event_at(1, DAY_2));
    collect.acknowledged(1);
    let said = dir.adprof("log seal events").exits(0).stderr;
    assert!(said.contains("2026-11-02: sealed: files 1, lines 1"), "{said}");
    assert_eq!(names(&dir, "2026-11-02"), ["_SUCCESS", "web-00001.ndjson.zst"]);
    for (id, at) in [(2, DAY_2 + 1), (3, DAY_2 + DAY), (4, DAY_2 + 2)] {
        collect.feed(event_at(id, at));
        collect.acknowledged(id);
    }
    assert_eq!(names(&dir, "2026-11-02"), ["_SUCCESS", "web-00001.ndjson.zst", "web-00002.ndjson"]);
    dir.adprof("log seal events").ok();
    // The file that it had last is gone from under it: the next event finds a new one.
    collect.feed(event_at(5, DAY_2 + 3));
    collect.acknowledged(5);
    let (code, stderr) = collect.end();
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(lines(&dir.file("events")).len(), 5);
    assert!(names(&dir, "2026-11-02").contains(&"web-00003.ndjson".to_string()));
}

#[test]
fn collectors_start_and_write_into_every_day_while_the_log_is_sealed_and_compacted_again_and_again() {
    let dir = Dir::new();
    let over = AtomicBool::new(false);
    let (acknowledged, rounds) = std::thread::scope(|scope| {
        let writers: Vec<_> = ["web", "app"]
            .into_iter()
            .enumerate()
            .map(|(n, writer)| {
                let (dir, over) = (&dir, &over);
                scope.spawn(move || {
                    let mut id = n as u64 * 1_000_000;
                    let mut all = 0;
                    while !over.load(Ordering::Relaxed) {
                        // A new process each time: its recovery meets the sealing too.
                        let mut collect = dir.start(&format!("collect --log events/ --writer {writer} --ack"));
                        for group in 1..=8u64 {
                            let events: String =
                                (0..20).map(|i| event_at(id + i, DAY_2 + (i % 3) as i64 * DAY)).collect();
                            id += 20;
                            let fed = collect.feed(events);
                            let mut acknowledged = 0;
                            while fed && acknowledged < group * 20 {
                                let Some(line) = collect.line() else { break };
                                acknowledged = support::ack(&line).0;
                            }
                            if acknowledged < group * 20 {
                                panic!("a collector ended: {:?}", collect.end());
                            }
                        }
                        all += 160;
                        let (code, stderr) = collect.end();
                        assert_eq!(code, 0, "{stderr}");
                    }
                    all
                })
            })
            .collect();
        let mut rounds = 0;
        let began = std::time::Instant::now();
        while began.elapsed().as_secs() < 6 {
            for command in ["log seal events", "log compact events"] {
                let out = dir.adprof(command).output();
                // A day may be in the middle of a group, or have changed since.
                assert!([0, 66, 75].contains(&out.code), "{command}: {}", out.stderr);
                rounds += u32::from(out.code == 0);
            }
        }
        over.store(true, Ordering::Relaxed);
        (writers.into_iter().map(|writer| writer.join().expect("a writer")).sum::<usize>(), rounds)
    });
    assert!(rounds > 3, "{rounds} rounds went through");
    dir.adprof("log seal events").ok();
    dir.adprof("log compact events").ok();
    let all = lines(&dir.file("events"));
    let mut ids: BTreeMap<String, u32> = BTreeMap::new();
    for line in &all {
        *ids.entry(support::field(line.as_bytes(), "eventId")).or_default() += 1;
    }
    assert_eq!((all.len(), ids.len()), (acknowledged, acknowledged), "each event once");
    assert_eq!(names(&dir, "2026-11-03").len(), 3, "a file for each writer, and the seal");
}
