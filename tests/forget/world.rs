//! A log of three days with five users, everything that is made of it, and a search for a user in every byte.

use crate::support::Dir;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Who is forgotten. No other id and no other word has it in it.
pub const WHO: &str = "carol@example.org";
pub const OTHERS: [&str; 4] = ["anna", "ben", "dora", "emil"];
pub const DAY: i64 = 86_400_000;
/// 2024-11-10, in milliseconds.
pub const FIRST: i64 = 1_731_196_800_000;

pub fn event(id: &str, user: &str, at: i64) -> String {
    format!(
        "{{\"eventId\":\"{id}\",\"userId\":\"{user}\",\"eventType\":\"purchase\",\"timestamp\":{at},\"amount\":2,\"itemId\":\"i-{id}\",\"receivedAt\":{at}}}\n"
    )
}

/// The events of a day, of everybody.
pub fn day(n: i64) -> String {
    let users = OTHERS.iter().chain([&WHO]).enumerate();
    let one = |(i, user): (usize, &&str)| event(&format!("{n}-{i}"), user, FIRST + n * DAY + i as i64 * 1000);
    users.map(one).collect()
}

/// How she may be written, too: escaped, and in another order with blanks.
pub fn strange(n: i64) -> String {
    let at = FIRST + n * DAY + 60_000;
    format!(
        "{{\"receivedAt\":{at}, \"timestamp\" :{at},\"eventType\":\"view\",\"userId\":\"\\u0063arol@example.org\",\"eventId\":\"s-{n}\"}}\n"
    )
}

pub fn name(n: i64) -> String {
    format!("2024-11-{}", 10 + n)
}

/// The files below a place that have the user in them: as they are, and unpacked wherever something packed begins.
pub fn found(place: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    search(place, &mut all);
    all
}

fn search(place: &Path, all: &mut Vec<PathBuf>) {
    if place.is_dir() && !place.is_symlink() {
        for entry in fs::read_dir(place).expect("listed") {
            search(&entry.expect("an entry").path(), all);
        }
    } else if place.is_file() {
        let bytes = fs::read(place).expect("read");
        let unpacked = memchr::memmem::find_iter(&bytes, b"\x28\xb5\x2f\xfd").any(|at| {
            let mut out = Vec::new();
            let frame = zstd::stream::read::Decoder::new(&bytes[at..]).map(|decoder| decoder.single_frame());
            // Bytes that only look like a frame end in an error, after what they gave.
            let _ = frame.map(|mut frame| frame.read_to_end(&mut out));
            has(&out)
        });
        if has(&bytes) || unpacked {
            all.push(place.to_owned());
        }
    }
}

fn has(bytes: &[u8]) -> bool {
    [WHO, "\\u0063arol"].iter().any(|form| memchr::memmem::find(bytes, form.as_bytes()).is_some())
}

/// Sets the instants of all lists below a place to the past: time has gone on.
pub fn age(dir: &Dir, lists: &[&str]) {
    for list in lists {
        let mut value: serde_json::Value = serde_json::from_str(&dir.read(list)).expect("a list");
        for users in value["lists"].as_array_mut().expect("lists") {
            for until in users["users"].as_object_mut().expect("users").values_mut() {
                *until = (FIRST + 10 * DAY).into();
            }
        }
        dir.write(list, value.to_string());
    }
}
