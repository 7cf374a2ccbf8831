//! The oracles that other tests compare adprof with: they give what was worked out by hand, and agree with each other.

mod support;

use std::ffi::OsStr;
use std::process::{Command, Output};
use support::{Dir, project};

/// At 1731299925000 the click of 03:38:45 is exactly an hour old.
const EVENTS: &str = r#"
{"eventId":"b","userId":"u1","eventType":"click","timestamp":1731296325999,"category":"late second"}
{"eventId":"a","userId":"u1","eventType":"click","timestamp":1731296325999,"category":"smaller id"}
{"eventId":"c","userId":"u1","eventType":"click","timestamp":1731296326000,"category":null}
{"eventId":"c","userId":"u1","eventType":"click","timestamp":1731296326000,"category":"a duplicate"}
{"eventId":"d","userId":"u1","eventType":"purchase","timestamp":1731296326001,"amount":0.1}
{"eventId":"e","userId":"u1","eventType":"purchase","timestamp":1731296326001,"amount":0.2}
{"eventId":"f","userId":"u1","eventType":"purchase","timestamp":1731296326001}
{"eventId":"c","userId":"u1","eventType":"click","timestamp":1731296326000,"tenantId":"t"}
{"eventId":"a","userId":"u2","eventType":"purchase","timestamp":1731296326000,"amount":999999999.999999}
{"eventId":"b","userId":"u2","eventType":"purchase","timestamp":1731296326000,"amount":0.000001}
{"eventId":"a","userId":"u3","eventType":"view","timestamp":1731299925001}
{"eventId":"a","userId":"u3","eventType":"view","timestamp":1}
{"eventId":"a","userId":"u4","eventType":"purchase","timestamp":1731299925000,"amount":-5}
"#;

const ANSWER: &str = r#"{"userId":"u1","tags":{"clicks_1h_count":2,"last_click_category":"late second","last_active_ts":1731296326001,"ltv_total":0.3,"segment_id":"buyer"}}
{"userId":"u2","tags":{"clicks_1h_count":0,"last_active_ts":1731296326000,"ltv_total":1000000000,"segment_id":"high_value_user"}}
{"userId":"u4","tags":{"clicks_1h_count":0,"last_active_ts":1731299925000,"ltv_total":-5,"segment_id":"browser"}}
"#;

/// Runs a script; `None` when there is no such Python.
fn run<S: AsRef<OsStr>>(python: &str, script: &str, args: impl IntoIterator<Item = S>) -> Option<Output> {
    let output = Command::new(python).arg("-B").arg(project().join("scripts").join(script)).args(args).output();
    if output.is_err() {
        support::skipped(&format!("no `{python}`"));
    }
    output.ok()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_plain_oracle_gives_what_was_worked_out_by_hand() {
    let dir = Dir::new();
    let events = dir.write("events.ndjson", EVENTS);
    let args = ["--as-of".as_ref(), "1731299925000".as_ref(), events.as_os_str()];
    let Some(output) = run("python3", "oracle.py", args) else { return };
    assert_eq!(stdout(&output), ANSWER);
}

#[test]
fn duckdb_agrees_and_a_difference_is_told() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let (events, answer) = (dir.write("events.ndjson", EVENTS), dir.write("answer.ndjson", ANSWER));
    let wrong = dir.write("wrong.ndjson", ANSWER.replace("\"ltv_total\":0.3,", "\"ltv_total\":0.30000001,"));
    let theirs = dir.file("duckdb.ndjson");
    let args = ["--as-of".as_ref(), "1731299925000".as_ref(), "-o".as_ref(), theirs.as_os_str(), events.as_os_str()];
    stdout(&run(&python, "oracle_duckdb.py", args).expect("it ran before"));
    let compare = |with| run(&python, "oracle_duckdb.py", ["--compare".as_ref(), theirs.as_os_str(), with]);
    assert_eq!(stdout(&compare(answer.as_os_str()).expect("it ran before")), "3 users equal\n");
    let told = compare(wrong.as_os_str()).expect("it ran before");
    assert_eq!(told.status.code(), Some(1));
    let told = String::from_utf8_lossy(&told.stdout);
    assert!(told.starts_with("\"u1\" ltv_total: 0.3 != 0.30000001\n1 differences in 3 users"), "{told}");
}

#[test]
fn the_known_facts_of_the_cdnow_data_hold() {
    let Some(events) = support::data("cdnow/events.ndjson.zst") else { return };
    let Some(output) = run("python3", "oracle.py", [events]) else { return };
    let profiles = stdout(&output);
    assert_eq!(profiles.lines().count(), 23_570);
    for (user, ltv) in [("07592", "13990.93"), ("14048", "8976.33")] {
        let line = profiles.lines().find(|line| line.contains(&format!("\"userId\":\"{user}\""))).expect("known");
        assert!(line.contains(&format!("\"ltv_total\":{ltv},")), "{line}");
    }
}
