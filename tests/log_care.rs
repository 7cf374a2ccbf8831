//! The log at rest: sealing, packing, compaction, retention, beside collectors and after crashes, through the real program.
//!
//! What a reader finds is read with the library's own reader of logs, in order and byte for byte, and through `batch`.

#[path = "log_care/crash.rs"]
mod crash;
#[path = "log_care/live.rs"]
mod live;
#[path = "log_care/refused.rs"]
mod refused;
#[path = "log_care/sealed.rs"]
mod sealed;
mod support;

use adprof::lines::Text;
use adprof::log::Log;
use std::path::Path;
use support::Dir;

/// 2026-11-02T00:00:00Z: over for good.
const DAY_2: i64 = 1_793_577_600_000;
const DAY: i64 = 86_400_000;

/// A good event received at an instant, a second after it happened.
fn event_at(id: u64, received: i64) -> String {
    let user = id % 7;
    format!(
        "{{\"eventId\":\"e-{id}\",\"userId\":\"u-{user}\",\"eventType\":\"purchase\",\"timestamp\":{},\"amount\":{id}.25,\"receivedAt\":{received}}}\n",
        received - 1000
    )
}

/// So many events of one day, spread over it.
fn day_of_events(first_id: u64, count: u64, midnight: i64) -> String {
    (0..count).map(|i| event_at(first_id + i, midnight + i as i64 * 1000)).collect()
}

/// The lines of a log in its order.
fn lines(log: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for chunk in Log::open(log).expect("a log").chunks(1 << 20) {
        let each = |line: adprof::log::Line<'_>| match line.text {
            Text::Whole(bytes) => lines.push(String::from_utf8(bytes.to_vec()).expect("UTF-8")),
            long => panic!("{long:?}"),
        };
        chunk.for_each_line(each).expect("reads");
    }
    lines
}

/// What `batch` makes of the log.
fn patches(dir: &Dir) -> String {
    dir.adprof("batch --log events --tags all --as-of 2026-11-20").ok()
}

/// The names in a day's folder.
fn names(dir: &Dir, day: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir.file(&format!("events/dt={day}"))).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn manifest(dir: &Dir, day: &str) -> serde_json::Value {
    serde_json::from_str(&dir.read(&format!("events/dt={day}/_SUCCESS"))).expect("JSON")
}

/// A log of three days by two writers, several files each.
fn log_of_days(dir: &Dir) {
    for (n, writer) in ["web", "app", "web"].into_iter().enumerate() {
        for day in [0, 1, 3] {
            let id = (n as u64 * 10 + day) * 100;
            let events = day_of_events(id, 40, DAY_2 + day as i64 * DAY + n as i64);
            dir.adprof(&format!("collect --log events/ --writer {writer}")).stdin(events).ok();
            // What is packed is followed by the next number.
            if n == 0 {
                pack_by_hand(dir, &format!("events/dt=2026-11-0{}/web-00001.ndjson", 2 + day));
            }
        }
    }
}

/// Packs a file as `zstd --rm` does.
fn pack_by_hand(dir: &Dir, name: &str) {
    let bytes = std::fs::read(dir.file(name)).expect("a file");
    dir.write(&format!("{name}.zst"), zstd::stream::encode_all(&bytes[..], 1).expect("in memory"));
    std::fs::remove_file(dir.file(name)).expect("removed");
}
