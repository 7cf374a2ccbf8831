//! Memory: rows that do not fit go to a file and come back, and no byte of the output depends on it.

use crate::support::Dir;

fn log(dir: &Dir) {
    let events = dir.adprof("gen --events 60000 --users 9000 --seed 3 --duplicates 5% --late 5%").ok();
    // Half of the users twice as long, so that rows are of every size.
    let events =
        events.replace("\"userId\":\"u-00", "\"userId\":\"a-rather-long-name-of-a-user-who-came-from-elsewhere-u-00");
    dir.write("ad-events.log", events);
}

#[test]
fn rows_beyond_the_memory_change_nothing_in_the_output() {
    let dir = Dir::new();
    log(&dir);
    std::fs::create_dir(dir.file("spill")).expect("made");
    let want = dir.adprof("batch --tags all --memory 4G").ok();
    for flags in ["--memory 1M", "--memory 1", "--memory 4M --threads 1", "--memory 2M --threads 7"] {
        let run = dir.adprof(&format!("batch --tags all --temp-dir spill {flags}")).exits(0);
        assert!(run.stdout == want, "{flags}");
        assert!(run.stderr.contains("of rows by way of a file"), "{flags}: {}", run.stderr);
    }
    assert_eq!(std::fs::read_dir(dir.file("spill")).expect("listed").count(), 0, "the file has no name");
    assert!(!dir.adprof("batch --tags all").exits(0).stderr.contains("by way of a file"));
}

#[test]
fn a_place_for_rows_that_is_none_is_named_before_anything_is_lost() {
    let dir = Dir::new();
    log(&dir);
    let words = dir.adprof("batch --tags all --memory 1 --temp-dir nowhere -o out.ndjson").exits(74).stderr;
    assert!(words.contains("nowhere") && words.contains("--temp-dir"), "{words}");
    assert!(!dir.file("out.ndjson").exists());
    dir.adprof("batch --memory lots").exits(2);
}
