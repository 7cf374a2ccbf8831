//! Live membership through the real program: enters and leaves in a log, a topic and on stdout, each once, whatever is
//! killed; Redis; definitions that change.

#[path = "members/anew.rs"]
mod anew;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "members/kills.rs"]
mod kills;
mod streams;
mod support;
#[path = "members/told.rs"]
mod told;
#[path = "members/world.rs"]
mod world;

use serde_json::Value;
use streams::*;
use support::Dir;
use world::{SOON, derived, folded, in_log, text};

const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks_3s"
value = "count(*)"
where = "eventType = 'click'"
window = "3s"
[[tag]]
code = "clicks"
value = "count(*)"
where = "eventType = 'click'"
[[tag]]
code = "vip"
type = "bool"
update = "import"
[[segment]]
code = "busy"
rule = "clicks_3s >= 2"
[[segment]]
code = "regular"
rule = "clicks >= 3 OR vip"
"#;

fn folder() -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    dir
}

/// Whole seconds, so that panes begin where events are.
fn second() -> i64 {
    now() / 1000 * 1000
}

fn clicks(user: &str, at: &[i64]) -> String {
    at.iter().enumerate().map(|(i, ts)| click(&format!("{user}-{ts}-{i}"), user, *ts) + "\n").collect()
}

#[test]
fn a_filter_tells_enters_and_leaves_behind_the_patches_they_come_with() {
    let dir = folder();
    let base = 1_731_296_325_000;
    let input = clicks("u1", &[base, base + 500, base + 9_000]);
    let out = dir.adprof("stream --derived -").stdin(&*input).ok();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<String> = lines
        .iter()
        .map(|line| match line["eventType"].as_str() {
            None => format!("{}", line["asOf"].as_i64().expect("an instant") - base),
            Some(kind) => {
                let at = line["timestamp"].as_i64().expect("an instant") - base;
                format!("{at} {} {} by {}", &kind[7..], text(line, "segment"), text(line, "cause"))
            }
        })
        .collect();
    let want = [
        "0",
        "500",
        "500 enter busy by event",
        "3000",
        "3000 leave busy by time",
        "9000",
        "9000 enter regular by event",
    ];
    assert_eq!(kinds, want);
    assert_eq!(
        (lines[2]["causeId"].clone(), &lines[4]["since"]),
        (format!("u1-{}-1", base + 500).into(), &(base + 500).into())
    );
    assert_eq!(dir.adprof("stream --derived -").stdin(&*input).ok(), out, "the same input, the same ids");
    assert!(!dir.adprof("stream").stdin(&*input).ok().contains("eventType"));
}

#[test]
fn what_cannot_be_is_refused_with_a_word() {
    let dir = folder();
    for (args, why) in [
        ("stream --derived d/", "without --store enters and leaves go to stdout only"),
        ("stream -b h:1 -t in --store file:s --derived kafka:in", "`in` is the topic that is read"),
        ("stream --store file:s --derived kafka:out", "no broker given for topic `out`"),
        ("stream --store redis --standby --derived d/", "cannot be used with"),
    ] {
        let output = dir.adprof(args).stdin("").exits(2);
        assert!(output.stderr.contains(why), "{args}: {}", output.stderr);
    }
    dir.write("taken.toml", "[[entity]]\nname = \"segments\"\nkey = \"itemId\"\n");
    let output = dir.adprof("stream -d taken.toml").stdin("").exits(78);
    assert!(output.stderr.contains("are of the audiences of users"), "{}", output.stderr);
}

#[test]
fn a_leave_by_time_has_its_exact_instant_though_nobody_ran_then_and_comes_once() {
    let dir = folder();
    let start = second();
    let mut stream = dir.start("stream --store file:s --derived d/");
    stream.feed(clicks("u1", &[start, start + 1]));
    wait_until("it is told", SOON, || in_log(&dir, "d").len() == 1);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
    kafka::pause(3_500);
    for _ in 0..2 {
        dir.adprof("stream --store file:s --derived d/").stdin("").exits(0);
    }
    let told = in_log(&dir, "d");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((text(&told[1], "eventType"), text(&told[1], "cause")), ("adprof.leave".into(), "time".into()));
    assert_eq!(told[1]["timestamp"], start + 3_000);
    assert_eq!(told[1]["since"], told[0]["timestamp"]);
    assert!(told[1]["receivedAt"].as_i64() > Some(start + 3_000));
}

#[test]
fn definitions_that_change_make_members_enter_and_leave_once() {
    let dir = folder();
    let run = |input: &str| dir.adprof("stream --store file:s --derived -").stdin(input).ok();
    let start = second();
    let told = |out: String| -> Vec<String> {
        let line = |line: &Value| {
            let parts = ["userId", "eventType", "segment", "cause"].map(|name| text(line, name));
            format!("{} {} {} {}", parts[0], &parts[1][7..], parts[2], parts[3])
        };
        derived(&out).iter().map(line).collect()
    };
    let input = clicks("u1", &[start - 60_000, start - 50_000, start - 40_000]) + &clicks("u2", &[start - 60_000]);
    assert_eq!(told(run(&input)), ["u1 enter regular event"]);
    // A segment that is new.
    dir.write("adprof.toml", format!("{DEFINITIONS}[[segment]]\ncode = \"some_of\"\nrule = \"clicks > 0\"\n"));
    assert_eq!(told(run("")), ["u1 enter some_of definition", "u2 enter some_of definition"]);
    assert_eq!(run(""), "");
    // Another rule, and a name that does not matter.
    let changed = DEFINITIONS.replace("clicks >= 3", "clicks = 1")
        + "[[segment]]\ncode = \"some_of\"\nname = \"x\"\nrule = \"clicks  >  0\"\n";
    dir.write("adprof.toml", &changed);
    assert_eq!(told(run("")), ["u1 leave regular definition", "u2 enter regular definition"]);
    // Archived, and gone.
    dir.write(
        "adprof.toml",
        changed
            .replace("code = \"regular\"", "code = \"regular\"\nstatus = \"archived\"")
            .replace("\"some_of\"\nname", "\"everybody\"\nname"),
    );
    let mut all = told(run(""));
    all.sort();
    let want = [
        "u1 enter everybody definition",
        "u1 leave some_of definition",
        "u2 enter everybody definition",
        "u2 leave regular definition",
        "u2 leave some_of definition",
    ];
    assert_eq!(all, want);
    assert_eq!(run(""), "");
}

#[test]
fn patches_of_others_count_while_it_runs_and_while_it_did_not() {
    let dir = folder();
    let start = second();
    let vip = |value: &str| format!("{{\"userId\":\"u1\",\"asOf\":{},\"tags\":{{\"vip\":{value}}}}}\n", now());
    let mut stream = dir.start("stream --store file:s --derived d/");
    stream.feed(clicks("u1", &[start - 60_000]));
    wait_until("a state", SOON, || counts_there(&dir));
    dir.adprof("sink file:s").stdin(vip("true")).exits(0);
    wait_until("the enter", SOON, || in_log(&dir, "d").len() == 1);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
    dir.adprof("sink file:s").stdin(vip("false")).exits(0);
    let stream = dir.start("stream --store file:s --derived d/");
    wait_until("the leave", SOON, || in_log(&dir, "d").len() == 2);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
    let told = in_log(&dir, "d");
    assert!(told.iter().all(|line| text(line, "cause") == "patch"), "{told:?}");
    assert!(folded(&told).is_empty());
}

fn counts_there(dir: &Dir) -> bool {
    dir.file("s/FORMAT").exists() && counts(&dir.file("s"))[0] > 0
}

#[test]
fn redis_has_the_audiences_of_a_user_and_loses_nothing_for_good() {
    let Some(mut server) = Server::start() else { return };
    let dir = folder();
    let start = second();
    let args = format!("stream --store {} --state s", server.url());
    let mut stream = dir.start(&args);
    let mut redis = server.client();
    let of = |redis: &mut redis::Connection, user: &str| -> Vec<(String, String)> {
        let all: std::collections::BTreeMap<String, String> =
            redis::cmd("HGETALL").arg(format!("segments:{user}")).query(redis).expect("answered");
        all.into_iter().collect()
    };
    stream.feed(clicks("u1", &[start, start + 1, start + 2]) + &clicks("u2", &[start]));
    wait_until("both", SOON, || of(&mut redis, "u1").len() == 2);
    let since: i64 = of(&mut redis, "u1")[0].1.parse().expect("milliseconds");
    assert!((start..=now()).contains(&since));
    assert!(of(&mut redis, "u2").is_empty());
    wait_until("time alone", SOON, || of(&mut redis, "u1").len() == 1);
    let regular = of(&mut redis, "u1");
    assert_eq!(regular[0].0, "regular");
    // `match` asks for these when they are current: there is no profile any more to work them out from.
    let url = server.url();
    let ask = |users: &str| dir.adprof(&format!("segment match {users} --store {url} --format ndjson")).ok();
    wait_until("it says so", SOON, || !redis_keys(&mut server.client(), "adprof:segments").is_empty());
    server.tell(&["DEL", "profile:u1"]);
    assert!(ask("u1 u2").contains("\"segment\":\"regular\""), "{}", ask("u1 u2"));
    server.tell(&["DEL", "adprof:segments"]);
    assert!(!ask("u1").contains("\"segment\":\"regular\""));
    // Lost data comes back, and what should not be there goes.
    server.tell(&["FLUSHALL"]);
    server.tell(&["HSET", "segments:u2", "old", "1"]);
    wait_until("all is there again", SOON, || of(&mut redis, "u1") == regular && of(&mut redis, "u2").is_empty());
    server.kill();
    server.restart();
    wait_until("and again", SOON, || {
        of(&mut server.client(), "u1") == regular && !redis_keys(&mut server.client(), "adprof:segments").is_empty()
    });
    assert!(ask("u1").contains("\"segment\":\"regular\""));
    // Killed and with other definitions.
    stream.signal("KILL");
    stream.end();
    dir.write("adprof.toml", DEFINITIONS.replace("clicks >= 3", "clicks >= 1"));
    let mut stream = dir.start(&args);
    let mut redis = server.client();
    wait_until("the other rule", SOON, || of(&mut redis, "u2").len() == 1);
    assert_eq!(of(&mut redis, "u1"), regular);
    // Forgotten, a user leaves no trace.
    let out = dir.adprof(&format!("forget u1 --state s --store {}", server.url())).output();
    assert_eq!(out.code, 0, "{}", out.stderr);
    wait_until("gone", SOON, || of(&mut redis, "u1").is_empty());
    stream.feed(clicks("u3", &[start]));
    wait_until("others go on", SOON, || of(&mut redis, "u3").len() == 1);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
    assert!(of(&mut redis, "u1").is_empty());
}

fn redis_keys(redis: &mut redis::Connection, pattern: &str) -> Vec<String> {
    redis::cmd("KEYS").arg(pattern).query(redis).expect("answered")
}

#[test]
fn a_rebuilt_state_tells_only_what_is_different() {
    let dir = folder();
    let start = second();
    let events = clicks("u1", &[start - 60_000, start - 50_000, start - 40_000]) + &clicks("u2", &[start - 60_000]);
    dir.adprof("collect --log log/").stdin(&*events).exits(0);
    let first = dir.adprof("stream --store file:s --derived -").stdin(&*events).ok();
    assert_eq!(derived(&first).len(), 1);
    let output = dir.adprof("rebuild --store file:s --log log/").output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(dir.adprof("stream --store file:s --derived -").stdin("").ok(), "");
    let more = clicks("u2", &[start - 30_000, start - 20_000]);
    let told = derived(&dir.adprof("stream --store file:s --derived -").stdin(more).ok());
    assert_eq!(told.len(), 1);
    assert_eq!((text(&told[0], "userId"), text(&told[0], "segment")), ("u2".into(), "regular".into()));
}

#[test]
fn a_closed_pipe_ends_it_and_what_was_not_taken_comes_again() {
    let dir = folder();
    let start = second();
    let mut stream = dir.start("stream --store file:s --derived -");
    stream.feed(clicks("u1", &[start - 60_000, start - 50_000, start - 40_000]));
    let line = stream.line().expect("an enter");
    assert_eq!(text(&serde_json::from_str(&line).expect("JSON"), "segment"), "regular");
    kafka::pause(1_500);
    stream.signal("KILL");
    stream.end();
    assert_eq!(dir.adprof("stream --store file:s --derived -").stdin("").ok(), "", "it was confirmed by then");
}
