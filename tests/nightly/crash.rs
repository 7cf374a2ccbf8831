//! Crashes: the script and all it started, killed at each call of a program, then run again.

use super::night::{Night, date, listed};
use crate::support::{self, Dir, adprof_path};
use std::collections::BTreeMap;
use std::env;
use std::fs;

/// The programs that the script calls and that change something, or could.
const TOOLS: [&str; 7] = ["adprof", "mv", "rm", "ln", "mkdir", "sync", "flock"];

/// Counts its calls; at the one that is meant it kills its process group: the script, itself, and what they started.
fn tool(real: &str) -> String {
    format!(
        "#!/bin/bash\n\
         read -r n 2>/dev/null <\"$COUNT\" || n=0\n\
         n=$((n + 1))\n\
         echo $n >\"$COUNT\"\n\
         if [[ $n != \"$AT\" ]]; then exec {real} \"$@\"; fi\n\
         case $MODE in\n\
         before) kill -9 0 ;;\n\
         during) {real} \"$@\" & sleep \"$AFTER\"; kill -9 0 ;;\n\
         after) {real} \"$@\"; kill -9 0 ;;\n\
         esac\n"
    )
}

fn tools(night: &Night) {
    for name in TOOLS {
        let real = match name {
            "adprof" => adprof_path().display().to_string(),
            other => which(other),
        };
        night.tool(name, &tool(&real));
    }
}

fn which(name: &str) -> String {
    let path = env::var("PATH").expect("a PATH");
    let found = env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no {name}")).display().to_string()
}

/// One night with the tools, killed at call `at` (0: never); how many calls there were, and the exit code.
fn night_killed(night: &Night, store: &str, vars: &[(&str, &str)], at: u32, mode: &str, after: &str) -> (u32, i32) {
    tools(night);
    let folder = night.0.file("tools").display().to_string();
    let count = night.0.file("tools/count").display().to_string();
    let _ = fs::remove_file(&count);
    let path = format!("{folder}:{}", env::var("PATH").expect("a PATH"));
    let (adprof, at) = (format!("{folder}/adprof"), at.to_string());
    let mut all = vec![
        ("ADPROF", &*adprof),
        ("PATH", &*path),
        ("COUNT", &*count),
        ("AT", &*at),
        ("MODE", mode),
        ("AFTER", after),
    ];
    all.extend(vars);
    let (code, ..) = night.run_with(&format!("--store {store} --date {}", date(19)), &all);
    (fs::read_to_string(&count).expect("counted").trim().parse().expect("a number"), code)
}

/// What is there after two nights without trouble, and how many calls the second one made.
fn reference() -> (BTreeMap<String, Vec<u8>>, String, u32) {
    let night = Night::with_days([18, 19, 20]);
    night.quiet(&format!("--date {}", date(18)));
    let (calls, code) = night_killed(&night, "file:store", &[], 0, "never", "0");
    assert_eq!(code, 0);
    assert!(calls >= 12, "{calls} calls: are the tools in use?");
    (night.outputs(), exported(&night.0), calls)
}

fn exported(dir: &Dir) -> String {
    dir.adprof("export --format ndjson --store file:store").ok()
}

fn crash_everywhere(mode: &str, after: &str) {
    let (outputs, profiles, calls) = reference();
    assert_eq!(profiles.lines().count(), 20);
    for at in 1..=calls {
        let night = Night::with_days([18, 19, 20]);
        night.quiet(&format!("--date {}", date(18)));
        let (_, code) = night_killed(&night, "file:store", &[], at, mode, after);
        assert_eq!(code, 128 + 9, "{mode} call {at} of {calls}");
        // A reader of the last published day finds it whole at any time.
        assert!(night.exists("out/latest/patches.ndjson"), "{mode} call {at}:\n{}", listed(&night.outputs()));
        night.quiet(&format!("--date {}", date(19)));
        assert!(night.outputs() == outputs, "{mode} call {at}:\n{}\n{}", listed(&night.outputs()), listed(&outputs));
        assert_eq!(exported(&night.0), profiles, "{mode} call {at}");
    }
}

#[test]
fn killed_before_any_call_and_run_again_it_gives_the_same_bytes() {
    crash_everywhere("before", "0");
}

#[test]
fn killed_after_any_call_and_run_again_it_gives_the_same_bytes() {
    crash_everywhere("after", "0");
}

#[test]
fn killed_while_a_call_runs_and_run_again_it_gives_the_same_bytes() {
    crash_everywhere("during", "0.004");
}

#[test]
fn in_redis_too_a_night_that_was_killed_and_run_again_is_as_one_that_was_not() {
    let Some(url) = support::redis() else { return };
    let url = format!("{}/13", url.trim_end_matches('/'));
    let vars = [("REDIS_URL", &*url)];
    let flush = || {
        let client = redis::Client::open(&*url).expect("an address");
        redis::cmd("FLUSHDB").exec(&mut client.get_connection().expect("a connection")).expect("flushed");
    };
    let both = |at: u32, mode: &str| {
        flush();
        let night = Night::with_days([18, 19, 20]);
        let (code, _, stderr) = night.run_with(&format!("--store redis --date {}", date(18)), &vars);
        assert_eq!((code, &*stderr), (0, ""));
        let (calls, _) = night_killed(&night, "redis", &vars, at, mode, "0.004");
        let (code, _, stderr) = night.run_with(&format!("--store redis --date {}", date(19)), &vars);
        assert_eq!((code, &*stderr), (0, ""), "{mode} call {at}");
        // Redis knows no order and no as-of: `export` says the instant at which it asked.
        let profiles = night.0.adprof(&format!("export --format csv --store {url}")).env("REDIS_URL", &url).ok();
        let mut lines: Vec<String> = profiles.lines().map(str::to_owned).collect();
        lines.sort();
        (night.outputs(), lines, calls)
    };
    let (outputs, profiles, calls) = both(0, "never");
    assert_eq!(profiles.len(), 21);
    for at in 1..=calls {
        for mode in ["during", "after"] {
            let (there, stored, _) = both(at, mode);
            assert!(there == outputs && stored == profiles, "{mode} call {at}:\n{stored:?}\n{}", listed(&there));
        }
    }
    flush();
}
