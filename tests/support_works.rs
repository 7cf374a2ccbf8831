//! The test helpers themselves: what other tests rely on without looking.

mod support;

use support::Dir;

#[test]
fn the_program_runs_in_an_empty_folder_with_a_clean_environment() {
    let dir = Dir::new();
    assert!(dir.adprof("--version").ok().starts_with("adprof "));
    for (name, _) in support::clean_environment() {
        assert!(!name.starts_with("ADPROF_") && name != "REDIS_URL", "{name}");
    }
}

#[test]
fn a_usage_error_is_seen_with_its_code_and_words() {
    let output = Dir::new().adprof("no-such-command").stdin("ignored\n").exits(2);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("no-such-command"), "{}", output.stderr);
}

#[test]
fn files_are_written_below_the_folder_and_read_back() {
    let dir = Dir::new();
    dir.write("log/dt=2026-01-01/a.ndjson", "{}\n");
    assert_eq!(dir.read("log/dt=2026-01-01/a.ndjson"), "{}\n");
}

#[test]
fn data_that_is_not_there_is_none() {
    assert_eq!(support::data("no such data set/events.ndjson"), None);
}
