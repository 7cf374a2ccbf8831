//! Publishing: only what is good, only once, only forwards, and by one run at a time.

use super::night::{Night, date, noon, purchase};
use crate::support::adprof_path;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn success_is_quiet_and_a_published_day_is_left_alone() {
    let night = Night::with_days([18]);
    night.quiet(&format!("--date {}", date(18)));
    let outputs = night.outputs();
    let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
    let want = ["_PUBLISHED", "check.json", "patches.ndjson", "patches.ndjson.manifest.json"];
    let want: Vec<String> = want.iter().map(|name| format!("dt=2024-11-18/{name}")).chain(["latest".into()]).collect();
    assert_eq!(names, want);
    let noted = night.noted();
    assert_eq!(noted.len(), 1);
    assert!(
        noted[0].starts_with("2024-11-18 published: 20 events; 20 profiles as of 2024-11-18T23:59:59.999Z"),
        "{noted:?}"
    );
    // The log has more now: a published day is what it was, until it is asked for again.
    night.receive(&date(18), &purchase("more", "u-01", "500", noon(18)));
    night.quiet(&format!("--date {}", date(18)));
    assert_eq!((night.outputs(), night.noted().len()), (outputs.clone(), 1));
    let (code, _, stderr) = night.run(&format!("--date {} --again", date(18)));
    assert_eq!((code, night.outputs()), (75, outputs.clone()), "{stderr}");
    night.quiet(&format!("--date {} --again --seal", date(18)));
    assert_ne!(night.outputs(), outputs);
    assert!(night.tags("u-01").contains("\"ltv_total\":501.25,"));
    let (code, stdout, stderr) = night.run(&format!("--date {} --again -v", date(18)));
    assert_eq!((code, &*stdout), (0, ""));
    assert!(stderr.contains("nightly.sh: 2024-11-18: published") && stderr.contains("wrote 20 profiles"), "{stderr}");
}

const LIMIT: &str = "[[tag]]
code = \"ltv_total\"
value = \"sum(amount)\"
update = \"daily\"
quality = { max = 100 }

[[tag]]
code = \"segment_id\"
value = \"CASE WHEN ltv_total >= 100 THEN 'high' ELSE 'low' END\"
update = \"daily\"
";

#[test]
fn a_failed_check_keeps_yesterday_and_says_why() {
    let night = Night::with_days([18, 19, 20]);
    night.0.write("adprof.toml", LIMIT);
    night.quiet(&format!("--date {}", date(18)));
    night.receive(&date(19), &purchase("wild", "u-03", "1e6", noon(19)));
    night.seal(&date(19));
    let (code, stdout, stderr) = night.run(&format!("--date {}", date(19)));
    assert_eq!((code, &*stdout), (65, ""));
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines[0].starts_with("adprof check: out/dt=2024-11-19/patches.unchecked.ndjson: 1 of "), "{stderr}");
    assert_eq!(lines[1], "  tag `ltv_total`: max 1000006.5: at most 100 (max); yesterday 19.25", "{stderr}");
    assert!(lines.len() <= 4, "{stderr}");
    assert_eq!(night.tags("u-03"), "{\"ltv_total\":3.25,\"segment_id\":\"low\"}}", "yesterday's values stay");
    assert_eq!(fs::read_link(night.0.file("out/latest")).expect("a link").to_str(), Some("dt=2024-11-18"));
    let names: Vec<String> = night.outputs().into_keys().filter(|name| name.starts_with("dt=2024-11-19")).collect();
    let want = ["check.FAILED.json", "patches.FAILED.ndjson", "patches.FAILED.ndjson.manifest.json"];
    assert_eq!(names, want.map(|name| format!("dt=2024-11-19/{name}")));
    // Again it is the same; in a catch-up the next day is judged for itself.
    assert_eq!(night.run(&format!("--date {} --catch-up", date(20))).0, 65);
    assert!(!night.exists("out/dt=2024-11-20/_PUBLISHED"));
    // A person may know better.
    let (code, _, stderr) = night.run(&format!("--date {} --accept", date(19)));
    assert!(code == 0 && stderr.contains("tag `ltv_total`: max 1000006.5: at most 100"), "{stderr}");
    assert!(
        night.noted().last().expect("a line").starts_with("2024-11-19 published, accepted in spite of its check: ")
    );
    assert!(night.tags("u-03").contains("\"ltv_total\":1000006.5,"));
    assert!(
        !night.exists("out/dt=2024-11-19/patches.FAILED.ndjson") && night.exists("out/dt=2024-11-19/patches.ndjson")
    );
    // Or say so in the definition file.
    night.0.write("adprof.toml", LIMIT.replace("max = 100 }", "max = 2000000 }"));
    night.quiet(&format!("--date {} --catch-up", date(20)));
    assert!(night.exists("out/dt=2024-11-20/_PUBLISHED") && !night.exists("out/dt=2024-11-20/check.FAILED.json"));
}

#[test]
fn a_day_asked_for_again_that_fails_its_check_stays_published_as_it_was() {
    let night = Night::with_days([18]);
    night.0.write("adprof.toml", LIMIT);
    night.quiet(&format!("--date {}", date(18)));
    let before = night.outputs();
    night.receive(&date(18), &purchase("wild", "u-03", "1e6", noon(18)));
    night.seal(&date(18));
    assert_eq!(night.run(&format!("--date {} --again", date(18))).0, 65);
    let mut after = night.outputs();
    after.retain(|name, _| !name.contains("FAILED"));
    assert_eq!(after, before);
    night.quiet(&format!("--date {}", date(18)));
}

#[test]
fn an_older_day_is_written_and_the_store_does_not_go_back() {
    let night = Night::with_days([18, 19, 20]);
    night.quiet(&format!("--date {}", date(20)));
    let (there, latest) = (night.tags("u-04"), fs::read_link(night.0.file("out/latest")).expect("a link"));
    assert!(there.contains("\"ltv_total\":12.75,"), "{there}");
    let (_, stdout, _) = night.run(&format!("--date {} --dry-run", date(18)));
    assert!(stdout.contains("not publish to the store, which has 2024-11-20"), "{stdout}");
    night.quiet(&format!("--date {}", date(18)));
    assert!(night.0.read("out/dt=2024-11-18/patches.ndjson").contains("\"ltv_total\":4.25,"));
    assert_eq!((night.tags("u-04"), fs::read_link(night.0.file("out/latest")).expect("a link")), (there, latest));
    assert!(night.noted()[1].starts_with("2024-11-18 written, not into the store, which has 2024-11-20: "));
    assert!(night.exists("out/dt=2024-11-18/_PUBLISHED"), "it counts among the last days");
}

#[test]
fn a_day_whose_publishing_was_cut_short_counts_as_in_the_store() {
    let night = Night::with_days([18, 19]);
    // Killed right after the sink: the store has the 19th, and no mark says that it was published.
    night.quiet(&format!("--date {}", date(19)));
    fs::rename(night.0.file("out/dt=2024-11-19/_PUBLISHED"), night.0.file("out/dt=2024-11-19/_STORING"))
        .expect("renamed");
    let before = night.tags("u-04");
    night.quiet(&format!("--date {}", date(18)));
    assert_eq!(night.tags("u-04"), before);
    assert!(night.noted()[1].contains("not into the store, which has 2024-11-19"), "{:?}", night.noted());
}

/// A program in place of adprof that does nothing in `batch` until `go` is there.
fn held(night: &Night) -> String {
    let text = format!(
        "#!/bin/bash\nif [[ $1 == batch ]]; then echo $$ >held; until [[ -e go ]]; do sleep 0.02; done; fi\nexec {} \"$@\"\n",
        adprof_path().display()
    );
    night.tool("adprof", &text)
}

fn wait_for(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not come");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn of_two_at_once_the_second_ends_and_names_the_first() {
    let night = Night::with_days([18]);
    let args = format!("--store file:store --date {}", date(18));
    let first = night.start(&args, &[("ADPROF", &held(&night))]);
    wait_for(|| night.exists("held"));
    let (code, stdout, stderr) = night.run(&format!("--date {}", date(18)));
    assert_eq!((code, &*stdout), (75, ""));
    // `env` becomes bash, which becomes the script: one process.
    let want = format!("nightly.sh: another run is at work on out: pid {}, since ", first.pid());
    assert!(stderr.starts_with(&want), "{stderr}");
    night.0.write("go", "");
    assert_eq!(first.end(), (0, String::new()));
    night.quiet(&format!("--date {}", date(18)));
}

#[test]
fn the_lock_lasts_as_long_as_a_step_and_dies_with_it() {
    let night = Night::with_days([18]);
    let args = format!("--store file:store --date {}", date(18));
    let first = night.start(&args, &[("ADPROF", &held(&night))]);
    wait_for(|| night.exists("held"));
    // The script alone is killed: its step goes on, and nobody may begin beside it.
    first.signal("KILL");
    wait_for(|| night.run(&format!("--date {}", date(18))).0 == 75);
    night.0.write("go", "");
    wait_for(|| night.run(&format!("--date {}", date(18))).0 == 0);
    assert!(night.exists("out/dt=2024-11-18/_PUBLISHED"));
    drop(first);
    // Killed with all it started, it holds nobody up, though its lock file is there.
    let night = Night::with_days([18]);
    let second = night.start(&args, &[("ADPROF", &held(&night))]);
    wait_for(|| night.exists("held"));
    let group = format!("-{}", second.pid());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).process_group(0).status().expect("kill").success());
    wait_for(|| night.run(&format!("--date {}", date(18))) == (0, String::new(), String::new()));
}

#[test]
fn trouble_keeps_its_own_exit_code() {
    let night = Night::with_days([18]);
    let with = |args: &str| night.run_with(args, &[]);
    night.0.write("taken/dt=2024-11-18", "no folder");
    for (args, code, words) in [
        ("", 2, "nightly.sh: no store named\nhint: write --store"),
        ("--store redi", 2, "not a store"),
        ("--store redis://:hidden@h:1", 2, "a password on the command line"),
        ("--store none --wait soon", 2, "not a number of seconds: soon"),
        ("--store none --catch-up --again", 2, "--again needs one day"),
        ("--store none --frob", 2, "unknown argument: --frob"),
        ("--store none --date", 2, "--date takes a value"),
        ("--store none --tz Mars/Olympus", 2, "unknown time zone"),
        ("--store redis://127.0.0.1:1 --date 2024-11-18", 69, "127.0.0.1:1"),
        ("--store none --date 2024-11-18 -d no.toml", 66, "no.toml"),
        ("--store none --date 2024-11-18 -d wrong.toml", 78, "wrong.toml"),
        ("--store none --date 2024-11-18 --out wrong.toml", 74, "wrong.toml"),
        ("--store none --date 2024-11-18 --out taken", 74, "taken/dt=2024-11-18"),
        ("--store file:wrong.toml --date 2024-11-18", 74, "cannot create the directory"),
    ] {
        night.0.write("wrong.toml", "[[tag]]\ncode = 'a'\nvalue = 'sum(pirce)'\n");
        let (found, _, stderr) = with(args);
        assert!(found == code && stderr.contains(words), "{args}: {found}\n{stderr}");
        assert!(!stderr.contains("hidden"), "{stderr}");
    }
    let (code, stdout, _) = with("--help");
    assert_eq!(code, 0);
    assert!(stdout.starts_with("nightly.sh: yesterday's values") && stdout.contains("--catch-up [N]"), "{stdout}");
    // The day that could not be stored is published as soon as that is possible.
    night.quiet(&format!("--date {}", date(18)));
}

#[test]
fn settings_may_stand_in_the_environment() {
    let night = Night::with_days([17, 18]);
    let vars = [
        ("ADPROF_STORE", "file:store"),
        ("ADPROF_ROLLUPS", "rolled"),
        ("ADPROF_TZ", "Asia/Tokyo"),
        ("ADPROF_SUMMARY", "runs.log"),
    ];
    let (code, stdout, stderr) = night.run_with(&format!("--date={}", date(18)), &vars);
    assert_eq!((code, &*stdout, &*stderr), (0, "", ""));
    let manifest = night.0.read("out/latest/patches.ndjson.manifest.json");
    assert!(manifest.contains("\"tz\": \"Asia/Tokyo\""), "{manifest}");
    assert!(night.exists("rolled/manifest") && night.exists("store") && !night.exists("out/nightly.log"));
    assert!(night.0.read("runs.log").contains(" 2024-11-18 published: "));
}
