//! Beside a stream that runs under load nothing is ever found, and behind one that stopped everything is.

use super::causes;
use crate::kafka;
use crate::streams::{Server, now, wait_until};
use crate::support::Dir;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn beside_running_streams_under_load_nothing_is_found() {
    let (Some(broker), Some(server)) = (kafka::broker(), Server::start()) else { return };
    let dir = Dir::new();
    let topic = kafka::create_topic(&broker, "verified", 3);
    let url = server.url();
    let mut collect = dir.start(&format!("collect --log log -b {broker} -t {topic}"));
    let embedded = dir.start(&format!("stream -b {broker} -t {topic} --store file:s"));
    let redis = dir.start(&format!("stream -b {broker} -t {topic} --store {url} --state st"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0u64;
            while !over.load(Ordering::Relaxed) {
                let now = now();
                // Some an hour ago less a moment, so that counts fall all the time.
                let line = |i: u64| {
                    let at = if i.is_multiple_of(3) { now - 3_600_000 + (i % 4000) as i64 } else { now - (i % 50) as i64 };
                    format!("{{\"eventId\":\"e{i}\",\"userId\":\"u{}\",\"eventType\":\"click\",\"timestamp\":{at},\"category\":\"c{}\"}}\n", i % 211, i % 7)
                };
                collect.feed((n..n + 200).map(line).collect::<String>());
                n += 200;
                kafka::pause(20);
            }
            collect.close();
            assert_eq!(collect.end().0, 0);
        });
        wait_until("profiles in both", Duration::from_secs(60), || {
            let query = |store: &str| dir.adprof(&format!("query --store {store} u1")).output().stdout;
            query("file:s").contains("clicks_1h_count") && query(&url).contains("clicks_1h_count")
        });
        for _ in 0..6 {
            for store in ["--store file:s".to_string(), format!("--store {url} --state st")] {
                let right = dir.adprof(&format!("verify --log log {store}")).output();
                assert_eq!((right.code, right.stdout.as_str()), (0, ""), "{store}: {}", right.stderr);
                assert!(right.stderr.contains(" keys, "), "{}", right.stderr);
            }
            kafka::pause(300);
        }
        over.store(true, Ordering::Relaxed);
    });
    // All was shipped: within moments nothing is on its way.
    wait_until("all is read", Duration::from_secs(30), || {
        let exact = |store: &str| dir.adprof(&format!("verify --log log {store} --grace 0")).output().code == 0;
        exact("--store file:s")
    });
    for stream in [embedded, redis] {
        stream.signal("TERM");
        assert_eq!(stream.end().0, 0);
    }
    // Nobody reads any more.
    let at = now();
    dir.adprof("collect --log log")
        .stdin(format!("{{\"eventId\":\"last\",\"userId\":\"u5\",\"eventType\":\"view\",\"timestamp\":{at}}}\n"))
        .ok();
    for store in ["--store file:s".to_string(), format!("--store {url} --state st")] {
        let found = dir.adprof(&format!("verify --log log {store} --grace 0 --tags last_active_ts")).exits(1);
        assert_eq!(causes(&found), ["u5 last_active_ts: late"], "{}", found.stdout);
    }
}
