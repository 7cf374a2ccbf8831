//! Sealing: by the run itself, and what a day that is not as it was sealed does to a night.

use super::night::{Night, date, noon, purchase};
use crate::support::Dir;
use std::fs;

/// A log of days that nobody has sealed.
fn open_days(days: impl IntoIterator<Item = u32>) -> Night {
    let night = Night(Dir::new());
    for day in days {
        for user in 0..4 {
            let (id, user) = (format!("{day}-{user}"), format!("u-{user:02}"));
            night.receive(&date(day), &purchase(&id, &user, "1.25", noon(day)));
        }
    }
    night
}

#[test]
fn a_night_seals_what_it_needs_and_no_more_and_says_nothing() {
    let night = open_days([17, 18, 19]);
    let args = format!("--date {}", date(18));
    assert_eq!(night.run(&args).0, 75);
    let (code, stdout, stderr) = night.run(&format!("{args} --seal --dry-run"));
    let want =
        "2024-11-18: would seal the log, compute from the log through 2024-11-18, check, and publish 2024-11-18\n";
    assert_eq!((code, stdout.trim_end(), &*stderr), (0, want.trim_end(), ""));
    assert!(!night.exists("log/dt=2024-11-17/_SUCCESS"), "a dry run seals nothing");
    night.quiet(&format!("{args} --seal"));
    for (day, sealed) in [(17, true), (18, true), (19, false)] {
        assert_eq!(night.exists(&format!("log/dt={}/_SUCCESS", date(day))), sealed, "{day}");
    }
    assert!(night.tags("u-02").contains("\"ltv_total\":2.5,"), "{}", night.tags("u-02"));
    // What came late for a day before is taken in, and counts.
    night.receive(&date(17), &purchase("late", "u-02", "100", noon(17)));
    night.quiet(&format!("--date {} --seal", date(19)));
    assert!(night.tags("u-02").contains("\"ltv_total\":103.75,"), "{}", night.tags("u-02"));
}

#[test]
fn what_cannot_be_sealed_keeps_its_exit_code_and_publishes_nothing() {
    let night = open_days([17, 18]);
    let args = format!("--date {} --seal", date(18));
    // Somebody is in the middle of a line.
    let path = night.0.file("log/dt=2024-11-18/a-00001.ndjson");
    let file = fs::File::open(&path).expect("there");
    file.lock().expect("locked");
    let (code, stdout, stderr) = night.run(&args);
    assert_eq!((code, &*stdout), (75, ""));
    assert!(stderr.starts_with("adprof log: ") && stderr.contains("is being written"), "{stderr}");
    // It is waited for.
    let waiting = night.start(&format!("--store file:store {args} --wait 5"), &[]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(file);
    assert_eq!(waiting.end(), (0, String::new()));
    // A day that is not over.
    let (code, _, stderr) = night.run("--date today --seal");
    assert_eq!((code, stderr.contains("not over")), (75, true), "{stderr}");
    let before = night.outputs();
    // What was sealed is gone: no run mends that.
    night.receive(&date(19), &purchase("next", "u-02", "100", noon(19)));
    let gone = "log/dt=2024-11-17/a-00001.ndjson.zst";
    fs::rename(night.0.file(gone), night.0.file("kept")).expect("packed");
    let (code, _, stderr) = night.run(&format!("--date {} --seal --wait 60", date(19)));
    assert_eq!((code, stderr.contains("gone or shorter since: a-00001.ndjson")), (74, true), "{stderr}");
    assert_eq!(night.outputs(), before);
    fs::rename(night.0.file("kept"), night.0.file(gone)).expect("brought back");
    night.quiet(&format!("--date {} --seal", date(19)));
}

#[test]
fn a_day_that_is_not_what_was_sealed_is_refused_and_says_what_to_do() {
    let night = Night::with_days([17, 18]);
    let day = || night.0.adprof("day 2024-11-18 --log log").output();
    assert_eq!(day().code, 0);
    night.receive(&date(17), &purchase("late", "u-02", "100", noon(17)));
    let (code, _, stderr) = night.run(&format!("--date {}", date(18)));
    let want = "adprof day: 2024-11-18 is not ready: log/dt=2024-11-17 changed since it was sealed: a-00003.ndjson\n\
                hint: `adprof log seal` takes in what came late\n";
    assert_eq!((code, &*stderr), (75, want));
    assert!(night.outputs().is_empty() && !night.exists("store"));
    night.0.adprof("log seal log").ok();
    assert_eq!(day().code, 0);
    // A plain file that is shorter than it was, one that is longer, and one that is gone.
    let night = Night(Dir::new());
    night.receive(&date(18), &purchase("one", "u", "1", noon(18)));
    night.0.adprof("log seal log --no-compress").ok();
    let (path, day) = (night.0.file("log/dt=2024-11-18/a-00001.ndjson"), || night.0.adprof("day 2024-11-18 --log log"));
    let text = fs::read_to_string(&path).expect("there");
    day().ok();
    fs::write(&path, format!("{text}{text}")).expect("written");
    assert!(day().exits(75).stderr.contains("changed since it was sealed: a-00001.ndjson"));
    for step in [Some(&text[..20]), None] {
        match step {
            Some(text) => fs::write(&path, text).expect("written"),
            None => fs::remove_file(&path).expect("removed"),
        }
        let said = day().exits(74).stderr;
        assert!(said.contains("dt=2024-11-18") && said.contains("gone or shorter since: a-00001.ndjson"), "{said}");
        assert!(said.contains("bring them back") && !said.contains("log seal"), "{said}");
    }
}

#[test]
fn a_mark_of_another_maker_seals_nothing() {
    let night = open_days([18]);
    for text in ["", "{\"version\":1}\n", "{\"version\":1,\"day\":\"2024-11-18\",\"files\":[]}\n"] {
        night.0.write("log/dt=2024-11-18/_SUCCESS", text);
        for args in ["", "--seal"] {
            let (code, _, stderr) = night.run(&format!("--date {} {args}", date(18)));
            assert_eq!((code, stderr.contains("not the manifest of a sealed day")), (74, true), "{args}: {stderr}");
        }
        let said = night.0.adprof("day 2024-11-18 --log log").exits(74).stderr;
        assert!(said.contains("hint: is it of another program?"), "{said}");
    }
    assert!(night.outputs().is_empty());
    fs::remove_file(night.0.file("log/dt=2024-11-18/_SUCCESS")).expect("there");
    night.quiet(&format!("--date {} --seal", date(18)));
}
