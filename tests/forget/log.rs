//! The log and what nights make of it.

use super::world::{DAY, FIRST, OTHERS, WHO, age, day, event, found, name, strange};
use crate::support::Dir;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Three days: one packed, one sealed as it is, one open; a state with a base, roll-ups, letters, torn tails, nights.
fn world() -> Dir {
    let dir = Dir::new();
    for n in 0..3 {
        let path = format!("events/dt={}/web-00001.ndjson", name(n));
        dir.write(&path, day(n) + &strange(n) + &event(&format!("m-{n}"), "anna", FIRST + n * DAY + 90_000));
    }
    // What she is to others is theirs.
    let mention = event("x", "anna", FIRST + 2 * DAY).replace("\"amount\":2", "\"friend\":\"carol\"");
    dir.write(&format!("events/dt={}/web-00002.ndjson", name(2)), mention);
    dir.adprof(&format!("log seal events --date {}", name(0))).ok();
    dir.adprof(&format!("log seal events --date {} --no-compress", name(1))).ok();
    let bad = format!("{{\"userId\":\"{WHO}\",\"eventId\":\n{{\"eventId\":\"b\",\"userId\":\"{WHO}\"}}\nnobody\n");
    dir.adprof("collect --log events --max-errors 9").stdin(bad).ok();
    let torn = format!(
        "{{\"code\":\"TORN_TAIL\",\"reason\":\"r\",\"source\":\"s\",\"offset\":0,\"original\":\"{{\\\"userId\\\":\\\"{WHO}\\\",\"}}\n"
    );
    dir.write(&format!("events/dt={}/web-00001.ndjson.torn", name(2)), torn);
    for n in 0..3 {
        let args = format!(
            "batch --log events --through {} --rollups rollups -o nights/dt={1}/patches.ndjson",
            name(n),
            name(n)
        );
        fs::create_dir_all(dir.file(&format!("nights/dt={}", name(n)))).expect("made");
        dir.adprof(&format!("{args} --manifest")).ok();
    }
    dir.adprof(&format!("batch --log events --through {} --store file:s -q", name(1))).ok();
    dir.adprof("sink file s").stdin(dir.read(&format!("nights/dt={}/patches.ndjson", name(2)))).ok();
    let all: String = (0..3).map(|n| day(n) + &strange(n)).collect();
    dir.adprof("stream --store file:s").stdin(all).ok();
    dir
}

const FORGET: &str = "forget carol@example.org --log events --store file:s --rollups rollups --nights nights";

fn all_files(dir: &Dir) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(place: PathBuf, all: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(place).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { walk(path, all) } else { all.push((path.clone(), fs::read(&path).expect("read"))) }
        }
    }
    let mut all = Vec::new();
    walk(dir.path().to_owned(), &mut all);
    all.retain(|(path, _)| !path.to_string_lossy().contains("lock"));
    all.sort();
    all
}

#[test]
fn a_user_is_nowhere_the_others_are_as_they_were_and_a_replay_changes_nothing() {
    let dir = world();
    let before = found(dir.path());
    for part in ["events/dt=2024-11-10", "events/dt=2024-11-12", "dead", "rollups/", "nights/", "s/data.mdb", ".torn"] {
        assert!(before.iter().any(|path| path.to_string_lossy().contains(part)), "{part}: {before:?}");
    }
    let sizes = |dir: &Dir| fs::metadata(dir.file("events/dt=2024-11-12/web-00001.ndjson")).expect("there").len();
    let (size, untouched) = (sizes(&dir), all_files(&dir));
    let said = dir.adprof(FORGET).arg("--dry-run").exits(0).stderr;
    assert!(said.contains("events: 6 lines in 3 files") && said.contains("s: 1 profiles"), "{said}");
    assert_eq!(all_files(&dir), untouched, "a dry run changed something");

    let said = dir.adprof(FORGET).exits(0).stderr;
    assert!(said.contains("events: 6 lines in 3 files"), "{said}");
    assert!(said.contains("s: written anew without them"), "{said}");
    assert!(said.contains("nights: 3 patches in 3 files"), "{said}");
    let nowhere = |told: &str| assert_eq!(found(dir.path()), Vec::<PathBuf>::new(), "{told}");
    nowhere("forgotten");
    assert_eq!(sizes(&dir), size, "positions in the file hold");
    assert!(dir.read("events/dt=2024-11-12/web-00002.ndjson").contains("carol"), "what others say of her is theirs");
    let dead = dir.read("events/dead/collect.ndjson");
    assert!(dead.contains("nobody") && dead.lines().filter(|line| !line.trim().is_empty()).count() == 1, "{dead}");

    // The days are what their seals say.
    let stat = dir.adprof("log stat events").ok();
    assert_eq!(stat.matches("\"state\":\"sealed\"").count(), 2, "{stat}");
    dir.adprof("log seal events").ok();
    dir.adprof("log compact events").ok();
    for n in 0..3 {
        let night = format!("nights/dt={}/patches.ndjson", name(n));
        dir.adprof(&format!("check --data {night}")).exits(0);
        assert_eq!(dir.read(&night).lines().count(), OTHERS.len());
    }
    let others = dir.adprof("query --store file:s --format ndjson anna ben dora emil").ok();
    assert_eq!(others.matches("\"last_active_ts\":").count(), OTHERS.len(), "{others}");
    assert!(others.contains("\"ltv_total\":6"), "given values stay: {others}");

    // Again, and again from everywhere.
    let said = dir.adprof(FORGET).exits(0).stderr;
    assert!(said.contains("events: 0 lines in 0 files") && said.contains("s: has nothing of them"), "{said}");
    let old: String = (0..3).map(|n| day(n) + &strange(n)).collect();
    let acknowledged = dir
        .adprof("collect --log events --ack --max-errors 9")
        .stdin(old.clone() + &format!("{{\"userId\":\"{WHO}\"\n"))
        .ok();
    assert!(acknowledged.ends_with("{\"lines\":19,\"accepted\":12,\"refused\":0,\"forgotten\":7}\n"), "{acknowledged}");
    let letter = format!(
        "{{\"code\":\"NOT_JSON\",\"reason\":\"r\",\"source\":\"s\",\"line\":1,\"offset\":0,\"original\":{}}}\n",
        Value::from(event("again", WHO, FIRST).trim_end())
    );
    dir.adprof("collect --log events --replay").stdin(letter).ok();
    nowhere("collected again");
    let night = dir.adprof(&format!("batch --log events --through {} --rollups rollups", name(2))).ok();
    assert_eq!(night, dir.adprof(&format!("batch --log events --through {}", name(2))).ok());
    assert_eq!(night.lines().count(), OTHERS.len());
    let said = dir.adprof("rebuild --log events --store file:s").exits(0).stderr;
    assert!(said.contains("4 users"), "{said}");
    let patch = format!("{{\"userId\":\"{WHO}\",\"asOf\":{FIRST},\"tags\":{{\"ltv_total\":5}}}}\n");
    let said = dir.adprof("sink file s").stdin(patch).exits(0).stderr;
    assert!(said.contains("1 patches of forgotten users were left out"), "{said}");
    let said = dir.adprof("stream --store file:s").stdin(old).exits(0).stderr;
    assert!(said.contains("6 forgotten"), "{said}");
    dir.adprof("verify --log events --store file:s").exits(0);
    nowhere("replayed");
}

#[test]
fn a_reader_of_a_log_leaves_out_what_came_in_by_a_copy_and_sealing_blanks_it_out() {
    let dir = world();
    dir.adprof(FORGET).ok();
    // From a machine that has not heard of it.
    let path = format!("events/dt={}/copy-00001.ndjson", name(2));
    dir.write(&path, event("c-1", WHO, FIRST + 2 * DAY) + &event("c-2", "anna", FIRST + 2 * DAY) + WHO + "\nnobody\n");
    let batch = |more: &str| dir.adprof(&format!("batch --log events --tags all {more}")).exits(0);
    let said = batch("--dead d.ndjson");
    assert!(said.stderr.contains("1 forgotten, 2 refused"), "{}", said.stderr);
    assert!(!said.stdout.contains(WHO) && !dir.read("d.ndjson").contains(WHO), "{}", said.stdout);
    let rolled = dir.adprof(&format!("batch --log events --through {} --rollups rollups", name(2))).exits(0);
    assert!(rolled.stderr.contains("1 forgotten"), "{}", rolled.stderr);
    assert!(!rolled.stdout.contains(WHO));
    assert_eq!(found(&dir.file("rollups")), Vec::<PathBuf>::new());
    let explained = dir.adprof(&format!("explain {WHO} last_active_ts --log events")).output();
    assert!(!explained.stdout.contains("c-1"), "{}", explained.stdout);
    dir.adprof("log export events -o e.parquet").ok();
    assert!(!dir.adprof("collect --to - e.parquet").ok().contains(WHO));
    dir.adprof("verify --log events --store file:s").output();
    dir.adprof("rebuild --log events --store file:s").ok();
    assert_eq!(found(&dir.file("s")), Vec::<PathBuf>::new());
    assert!(!found(&dir.file("events")).is_empty(), "it lies there all the same");
    dir.adprof("log seal events").ok();
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_later_event_begins_the_user_anew() {
    let dir = world();
    dir.adprof(FORGET).ok();
    age(&dir, &["events/forgotten"]);
    let (early, late) = (FIRST + 10 * DAY, FIRST + 10 * DAY + 1);
    let lines = event("n-1", WHO, early) + &event("n-2", WHO, late);
    let said = dir.adprof("collect --log events").stdin(lines.clone()).exits(0).stderr;
    assert!(said.contains("forgotten: 1 lines") && said.contains("collected 1 events"), "{said}");
    let said = dir.adprof("stream --store file:new --forgotten events/forgotten").stdin(lines).exits(0).stderr;
    assert!(said.contains("1 events, 1 forgotten"), "{said}");
    for told in [
        dir.adprof("batch --log events --tags all").ok(),
        dir.adprof("query --store file:new --format ndjson carol@example.org").ok(),
    ] {
        let mine = told.lines().find(|line| line.contains(WHO)).unwrap_or_else(|| panic!("{told}"));
        assert!(mine.contains(&format!("\"last_active_ts\":{late}")), "{mine}");
    }
    // And is forgotten once more.
    dir.adprof(FORGET).arg("--store=file:new").ok();
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_collector_that_runs_hears_of_it_and_goes_on_in_the_same_file() {
    for log in ["ad-events.log", "events/"] {
        let dir = Dir::new();
        let mut collector = dir.start(&format!("collect --log {log} --ack"));
        collector.feed(day(0));
        while collector.line().is_some_and(|line| !line.contains("\"lines\":5")) {}
        let path = if log == "events/" { format!("events/dt={}/collect-00001.ndjson", name(0)) } else { log.into() };
        let before = dir.read(&path);
        assert!(before.contains(WHO));
        let said = dir.adprof(&format!("forget {WHO} --log {log}")).exits(0).stderr;
        assert!(said.contains("1 lines in 1 files"), "{said}");
        assert_eq!(found(dir.path()), Vec::<PathBuf>::new(), "{log}");
        collector.feed(day(0));
        while collector.line().is_some_and(|line| !line.contains("\"lines\":10")) {}
        collector.close();
        assert_eq!(collector.end().0, 0);
        let after = dir.read(&path);
        let four: String = day(0).lines().filter(|line| !line.contains(WHO)).map(|line| format!("{line}\n")).collect();
        assert_eq!(after[before.len()..], four, "appended behind what was there");
        assert_eq!(found(dir.path()), Vec::<PathBuf>::new(), "{log}");
        let said = dir.adprof(&format!("batch --log {log}")).exits(0).stderr;
        assert!(said.contains("4 events, 4 duplicates"), "{said}");
    }
}

#[test]
fn what_cannot_be_cleaned_is_named_and_the_rest_is_done_all_the_same() {
    let dir = world();
    dir.adprof("log export events -o export.parquet").ok();
    let said = dir.adprof(&format!("{FORGET} --log export.parquet")).exits(74).stderr;
    assert!(said.contains("export.parquet: it is Parquet: lines of the users are still in it"), "{said}");
    fs::remove_file(dir.file("export.parquet")).expect("removed");
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
    for (args, code, why) in [
        ("forget", 2, "required"),
        ("forget -", 2, "no user was named"),
        ("forget u --log nowhere", 66, "nowhere"),
        ("forget u --store file:nowhere", 66, "no store there"),
    ] {
        let said = dir.adprof(args).exits(code).stderr;
        assert!(said.contains(why), "{args}: {said}");
    }
    dir.write("s/forgotten", "{}");
    let said = dir.adprof("stream --store file:s").exits(74).stderr;
    assert!(said.contains("not a list of forgotten users"), "{said}");
}

#[test]
fn ids_come_on_stdin_and_one_that_begins_like_another_is_not_it() {
    let dir = Dir::new();
    let lines: String = ["u-1", "u-10", "u", "v"].iter().map(|user| event(user, user, FIRST)).collect();
    dir.adprof("collect").stdin(lines.clone()).ok();
    dir.adprof("stream --store file:s").stdin(lines).ok();
    dir.adprof("forget - --store file:s").stdin("u-1\r\nv\n\n").ok();
    let left = |text: String| ["u-1", "u-10", "u", "v"].map(|user| text.contains(&format!("\"{user}\",")));
    assert_eq!(left(dir.read("ad-events.log")), [false, true, true, false]);
    assert_eq!(left(dir.adprof("batch --tags all").ok()), [false, true, true, false]);
    let told = dir.adprof("export --store file:s --format ndjson").ok();
    assert_eq!(left(told), [false, true, true, false]);
}
