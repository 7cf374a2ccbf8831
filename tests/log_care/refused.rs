//! What is refused, with which code, and that nothing changes then.

use super::*;
use std::fs::{self, File};

#[test]
fn only_days_that_are_over_are_sealed() {
    let dir = Dir::new();
    let now = jiff::Timestamp::now();
    dir.adprof("collect --log events/").stdin(event_at(1, now.as_millisecond())).ok();
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    for how in ["--date", "--through"] {
        let said = dir.adprof(&format!("log seal events {how} {today}")).exits(75).stderr;
        assert!(said.contains("not over before"), "{said}");
    }
    // Asked for nothing in particular, it seals what it may.
    dir.adprof("log seal events").ok();
    assert!(!dir.file(&format!("events/dt={today}/_SUCCESS")).exists());
    dir.adprof(&format!("log prune events --before {}", today.tomorrow().expect("a day"))).exits(2);
    dir.adprof(&format!("log prune events --before {today}")).ok();
    assert_eq!(lines(&dir.file("events")).len(), 1);
    assert!(dir.adprof("log seal events --date 2026-11-03").exits(66).stderr.contains("no events on 2026-11-03"));
}

#[test]
fn a_log_of_one_file_has_no_days_but_can_be_looked_at() {
    let dir = Dir::new();
    dir.adprof("collect").stdin(event_at(1, DAY_2)).ok();
    for command in ["seal", "compact", "prune --keep 1d"] {
        let said = dir.adprof(&format!("log {command}")).exits(2).stderr;
        assert!(said.contains("a log of one file has no days"), "{said}");
    }
    assert!(dir.adprof("log stat").ok().starts_with("{\"day\":null,\"state\":\"open\",\"files\":1,"));
    for command in ["stat", "seal", "compact", "prune --keep 1d", "export -o x"] {
        dir.adprof(&format!("log {command}")).arg("nowhere").exits(66);
    }
    dir.adprof("log prune events").exits(2);
    dir.adprof("log prune events --keep 36h").exits(2);
}

#[test]
fn a_day_that_is_being_written_is_refused() {
    let dir = Dir::new();
    log_of_days(&dir);
    let file = File::open(dir.file("events/dt=2026-11-02/web-00002.ndjson")).expect("there");
    file.lock().expect("as a writer in the middle of a group holds it");
    let said = dir.adprof("log seal events").exits(75).stderr;
    assert!(said.contains("`dt=2026-11-02/web-00002.ndjson` is being written"), "{said}");
    assert!(!dir.file("events/dt=2026-11-02/_SUCCESS").exists());
    assert!(dir.file("events/dt=2026-11-03/_SUCCESS").exists(), "the other days are sealed all the same");
    drop(file);
    dir.adprof("log seal events").ok();
}

#[test]
fn one_command_works_on_a_log_at_a_time() {
    let dir = Dir::new();
    log_of_days(&dir);
    let lock = dir.write("events/.care.lock", "4711\n");
    let lock = File::open(lock).expect("there");
    lock.lock().expect("held");
    for command in ["seal", "compact", "prune --keep 1d"] {
        let said = dir.adprof(&format!("log {command} events")).exits(75).stderr;
        assert!(said.contains("another `adprof log` or `adprof forget` is at work on it: pid 4711"), "{said}");
    }
}

#[test]
fn what_is_not_shipped_is_neither_sealed_nor_removed() {
    let dir = Dir::new();
    log_of_days(&dir);
    let place = |web: u64| {
        let app = fs::metadata(dir.file("events/dt=2026-11-02/app-00001.ndjson")).map_or(9999, |m| m.len());
        format!(
            "{{\"topic\":\"t\",\"files\":{{\"dt=2026-11-02/app-00001.ndjson\":{app},\"dt=2026-11-02/web-00001.ndjson.zst\":1,\"dt=2026-11-02/web-00002.ndjson\":{web}}}}}\n"
        )
    };
    let web = fs::metadata(dir.file("events/dt=2026-11-02/web-00002.ndjson")).expect("there").len();
    dir.write("events.ship-t.json", place(web - 1));
    let said = dir.adprof("log seal events --through 2026-11-02").exits(75).stderr;
    assert!(said.contains("`dt=2026-11-02/web-00002.ndjson` is not yet shipped to topic t"), "{said}");
    assert!(said.contains("hint: adprof collect --ship"), "{said}");
    dir.write("events.ship-t.json", place(web));
    dir.adprof("log seal events/ --through 2026-11-02").ok();
    dir.write("events.ship-u.json", "{\"topic\":\"u\",\"files\":{}}");
    for command in ["prune events --before 2026-11-03", "compact events"] {
        let said = dir.adprof(&format!("log {command}")).exits(75).stderr;
        assert!(said.contains("is not yet shipped to topic u"), "{said}");
    }
    dir.write("events.ship-u.json", "half a fi");
    let said = dir.adprof("log prune events --before 2026-11-03").exits(75).stderr;
    assert!(said.contains("cannot be known"), "{said}");
    fs::remove_file(dir.file("events.ship-u.json")).expect("removed");
    dir.adprof("log compact events").ok();
    dir.adprof("log prune events --before 2026-11-03").ok();
}

#[test]
fn unsealed_days_stay_and_the_others_go() {
    let dir = Dir::new();
    log_of_days(&dir);
    dir.adprof("log seal events --date 2026-11-03").ok();
    let said = dir.adprof("log prune events --before 2026-11-20").exits(75).stderr;
    assert!(said.contains("2026-11-03: removed") && said.contains("2026-11-02: stays: not sealed"), "{said}");
    assert_eq!(lines(&dir.file("events")).len(), 240);
}

#[test]
fn damage_is_told_and_nothing_is_made_of_it() {
    let dir = Dir::new();
    log_of_days(&dir);
    dir.adprof("log seal events --no-compress").ok();
    // Another byte in a file of the same size.
    let path = dir.file("events/dt=2026-11-03/app-00001.ndjson");
    let mut bytes = fs::read(&path).expect("there");
    let at = bytes.iter().position(|b| *b == b'7').expect("a digit");
    bytes[at] = b'8';
    fs::write(&path, bytes).expect("written");
    let said = dir.adprof("log seal events").exits(74).stderr;
    assert!(said.contains("it is not what was sealed"), "{said}");
    assert!(path.exists() && !names(&dir, "2026-11-03").iter().any(|name| name.ends_with(".tmp")));
    // A file that is gone.
    fs::remove_file(dir.file("events/dt=2026-11-02/app-00001.ndjson.zst")).expect("packed and removed");
    let stat = dir.adprof("log stat events").ok();
    assert!(stat.contains("\"state\":\"damaged\"") && stat.contains("\"gone\":[\"app-00001.ndjson\"]"), "{stat}");
    for command in
        ["seal events --date 2026-11-02", "compact events --through 2026-11-02", "prune events --before 2026-11-03"]
    {
        let said = dir.adprof(&format!("log {command}")).exits(74).stderr;
        assert!(said.contains("gone or shorter since: app-00001.ndjson"), "{said}");
    }
    // A seal of another maker.
    dir.write("events/dt=2026-11-05/_SUCCESS", "");
    let said = dir.adprof("log seal events --date 2026-11-05").exits(74).stderr;
    assert!(said.contains("not the manifest of a sealed day"), "{said}");
    dir.adprof("collect --log events/ --writer app").stdin(event_at(1, DAY_2 + 3 * DAY)).ok();
}
