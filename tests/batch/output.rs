//! The output: a file whole or not at all, a reader that goes away, and being told to stop.

use crate::event;
use crate::support::{Dir, Running};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

const TS: i64 = 1_731_296_325_000;

fn names(dir: &Dir) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path()).expect("listed");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("read").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Waits until the file beside the output is there: the work has begun.
fn begun(dir: &Dir) {
    let began = Instant::now();
    while !names(dir).iter().any(|name| name.starts_with(".out.ndjson.")) {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", names(dir));
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_file_holds_what_stdout_would() {
    let dir = Dir::new();
    dir.write("ad-events.log", event("a", "click", TS, ""));
    let want = dir.adprof("batch --tags all").ok();
    assert_eq!(dir.adprof("batch --tags all -o out.ndjson").ok(), "");
    assert_eq!(dir.read("out.ndjson"), want);
    assert_eq!(dir.adprof("batch --tags all -o -").ok(), want);
    dir.adprof("batch -o /dev/null").exits(0);
    assert_eq!(names(&dir), ["ad-events.log", "out.ndjson"]);
    assert_eq!(std::fs::metadata(dir.file("out.ndjson")).expect("there").permissions().mode() & 0o400, 0o400);
    dir.adprof("batch -o nowhere/out.ndjson").exits(74);
}

#[test]
fn killed_at_any_moment_it_leaves_the_old_file_or_the_whole_new_one() {
    let dir = Dir::new();
    let events = dir.adprof("gen --events 20000 --users 20000 --seed 5").ok();
    dir.write("ad-events.log", &events);
    let began = Instant::now();
    let new = dir.adprof("batch --tags all").ok();
    let whole = began.elapsed();
    let mut olds = 0;
    for i in 0..24u32 {
        dir.write("out.ndjson", "old\n");
        let run = dir.start("batch --tags all -o out.ndjson");
        std::thread::sleep(whole * i / 20);
        run.signal_if_there("KILL");
        run.end();
        let left = dir.read("out.ndjson");
        assert!(left == "old\n" || left == new, "after {:?} of {whole:?}: {} bytes", whole * i / 20, left.len());
        olds += u32::from(left == "old\n");
    }
    assert!(olds > 0, "none was killed in time");
}

#[test]
fn killed_while_it_reads_it_leaves_the_old_file() {
    let dir = Dir::new();
    dir.write("out.ndjson", "old\n");
    let mut run = dir.start("batch --log - --tags all -o out.ndjson");
    assert!(run.feed(event("a", "click", TS, "")));
    begun(&dir);
    run.signal("KILL");
    assert_eq!(run.end().0, 128 + 9);
    assert_eq!(dir.read("out.ndjson"), "old\n");
}

#[test]
fn told_to_stop_it_leaves_the_old_file_and_nothing_else_and_does_not_say_that_it_is_done() {
    for (signal, code) in [("TERM", 128 + 15), ("INT", 128 + 2)] {
        let dir = Dir::new();
        dir.write("out.ndjson", "old\n");
        let mut run: Running = dir.start("batch --log - --tags all -o out.ndjson");
        assert!(run.feed(event("a", "click", TS, "")));
        begun(&dir);
        // Held open: at the end of its input it would be done before it hears of the signal.
        let stdin = run.take_stdin();
        run.signal(signal);
        assert_eq!(run.end().0, code);
        drop(stdin);
        assert_eq!((dir.read("out.ndjson").as_str(), names(&dir)), ("old\n", vec!["out.ndjson".to_string()]));
    }
    // Into a pipe, too: half of the patches are no success.
    let mut run = Dir::new().start("batch --log - --tags all");
    assert!(run.feed(event("a", "click", TS, "")));
    let stdin = run.take_stdin();
    run.signal("TERM");
    assert_eq!(run.end().0, 128 + 15);
    drop(stdin);
}

#[test]
fn too_much_bad_input_leaves_the_old_file() {
    let dir = Dir::new();
    dir.write("out.ndjson", "old\n");
    dir.write("ad-events.log", event("a", "click", TS, "") + "nonsense\n");
    dir.adprof("batch --max-errors 0 -o out.ndjson").exits(65);
    assert_eq!(dir.read("out.ndjson"), "old\n");
    dir.adprof("batch --max-errors 1 -o out.ndjson").exits(0);
    assert_eq!(dir.read("out.ndjson").lines().count(), 1);
}

#[test]
fn a_reader_that_has_seen_enough_is_a_success() {
    let dir = Dir::new();
    let events = dir.adprof("gen --events 20000 --users 10000 --seed 5").ok();
    dir.write("ad-events.log", events + "nonsense\n");
    let mut bash = Command::new("bash");
    let adprof = crate::support::adprof_path().display().to_string();
    bash.args(["-c", "set -o pipefail; \"$1\" batch --tags all --dead dead | head -n 1; echo $?", "bash", &adprof]);
    let run = dir.start_command(bash);
    assert!(run.line().expect("a patch").starts_with("{\"userId\":"));
    assert_eq!(run.line().expect("a code"), "0");
    let (code, stderr) = run.end();
    assert_eq!(code, 0);
    assert!(!stderr.contains("adprof batch:") && !stderr.contains("profiles as of"), "{stderr}");
    assert_eq!(dir.read("dead").lines().count(), 1, "what was refused is kept all the same");
}
