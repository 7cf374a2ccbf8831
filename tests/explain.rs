//! `adprof explain`, through the real program: what it announces comes true, and store and log are compared.

mod support;

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use support::{Dir, redis};

const T: i64 = 1_731_296_325_000;
const EVENTS: &str = r#"{"eventId":"e-1","userId":"u-001","eventType":"click","timestamp":1731296325000,"category":"sports"}
{"eventId":"e-2","userId":"u-001","eventType":"purchase","timestamp":1731296385000,"amount":150.75}
{"eventId":"e-4","userId":"u-001","eventType":"click","timestamp":1731296400250,"category":"books"}
{"eventId":"e-1","userId":"u-001","eventType":"click","timestamp":1731296399000,"category":"garden"}
{"eventId":"e-3","userId":"u-001","eventType":"click","timestamp":1731296400250,"category":"toys"}
{"eventId":"e-9","userId":"u-002","eventType":"view","timestamp":1731296410000,"category":"books"}
"#;

fn folder() -> Dir {
    let dir = Dir::new();
    dir.write("log", EVENTS);
    dir
}

fn explained(dir: &Dir, args: &str) -> Value {
    serde_json::from_str(&dir.adprof(&format!("explain {args}")).ok()).expect("one line of JSON")
}

#[test]
fn a_count_is_told_with_its_window_panes_events_and_next_change() {
    let dir = folder();
    let as_of = T + 76_000;
    let found = dir.adprof(&format!("explain u-001 clicks_1h_count --log log --as-of {as_of} --format text")).ok();
    let want = "clicks_1h_count of u-001  3
  as of       2024-11-11T03:40:01.000Z  1731296401000
  name        Clicks in the last hour
  value       count(*)
  where       eventType = 'click'
  window      1h in steps of 1s
  type        int
  update      realtime
  defined     built-in:24, fingerprint 4cc83a2a217a333e
  from        the log
  events      from 2024-11-11T02:40:02.000Z  1731292802000 to 2024-11-11T03:40:01.000Z  1731296401000
  panes       2 in the window
    2024-11-11T03:38:45.000Z to 2024-11-11T03:38:46.000Z  holds 1, until 2024-11-11T04:38:45.000Z
    2024-11-11T03:40:00.000Z to 2024-11-11T03:40:01.000Z  holds 2, until 2024-11-11T04:40:00.000Z
  next change 2024-11-11T04:38:45.000Z  1731299925000, to 2, without an event
  log         3; 3 events count; 1 duplicate of the user was dropped
    2024-11-11T03:38:45.000Z  1731296325000  e-1
    2024-11-11T03:40:00.250Z  1731296400250  e-3
    2024-11-11T03:40:00.250Z  1731296400250  e-4
";
    assert_eq!(found, want);
    let found = explained(&dir, &format!("u-001 clicks_1h_count --log log --as-of {as_of}"));
    assert_eq!(found["window"]["from"], T + 76_000 + 1000 - 3_600_000);
    let next = json!({"by":"time","at":T + 3_600_000,"atTime":"2024-11-11T04:38:45.000Z","value":2});
    assert_eq!((&found["value"], &found["next"], &found["log"]["agrees"]), (&json!(3), &next, &Value::Null));
    // The fields stand in one order, whatever is in them.
    let line = dir.adprof("explain u-001 last_active_ts --json --log log").ok();
    let order = [
        "userId",
        "known",
        "tag",
        "asOf",
        "asOfTime",
        "value",
        "from",
        "how",
        "definition",
        "window",
        "panes",
        "next",
        "log",
        "inputs",
    ];
    let at: Vec<usize> = order.iter().map(|key| line.find(&format!("\"{key}\":")).expect(key)).collect();
    assert!(at.is_sorted(), "{line}");
}

#[test]
fn a_lifetime_tag_counts_all_events_and_brings_their_arguments() {
    let dir = folder();
    let found = explained(&dir, &format!("u-001 last_click_category --log log --as-of {}", T + 80_000));
    assert_eq!(
        (&found["value"], &found["next"]["by"], &found["window"]["from"]),
        (&json!("books"), &json!("event"), &Value::Null)
    );
    let events: Vec<(&str, &Value)> = found["log"]["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| (event["eventId"].as_str().expect("an id"), &event["arguments"]["category"]))
        .collect();
    // Of equal instants the larger id is the last; the second e-1 is a duplicate though it is another.
    assert_eq!(events, [("e-1", &json!("sports")), ("e-3", &json!("toys")), ("e-4", &json!("books"))]);
    assert_eq!((&found["log"]["duplicates"], &found["panes"]), (&json!(1), &json!([])));
}

#[test]
fn a_derived_tag_is_followed_by_the_tags_it_is_made_of() {
    let dir = folder();
    dir.write("adprof.toml", DERIVED);
    let found = explained(&dir, &format!("u-001 mood --log log --as-of {}", T + 76_000));
    let inputs: Vec<(i64, &str, &Value)> = found["inputs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|input| {
            (input["depth"].as_i64().expect("a number"), input["tag"].as_str().expect("a code"), &input["value"])
        })
        .collect();
    let warm = json!(true);
    assert_eq!(inputs, [(1, "clicks", &json!(2)), (1, "warm", &warm), (2, "last_seen", &json!(T + 75_250))]);
    assert_eq!(found["value"], "eager");
    assert_eq!(found["definition"]["inputs"], json!(["clicks", "warm"]));
    // By the clock alone: the tag `warm` turns before the panes of `clicks` are over.
    assert_eq!(found["next"], json!({"by":"time","at":T + 79_250,"atTime":"2024-11-11T03:40:04.250Z","value":"calm"}));
    let text = dir.adprof(&format!("explain u-001 mood --log log --as-of {} --format text", T + 76_000)).ok();
    assert!(text.contains("\n  warm  true\n    as of  ") && text.contains("\n    last_seen  2024-11-11T"), "{text}");
    assert!(text.contains("\n  value       CASE WHEN clicks > 0 AND warm THEN 'eager' ELSE 'calm' END\n"), "{text}");
}

const DERIVED: &str = r#"
[[tag]]
code = "clicks"
value = "count(*)"
where = "eventType = 'click' AND category <> 'sports'"
window = "10s"
[[tag]]
code = "last_seen"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "warm"
value = "as_of() - last_seen < 4000"
[[tag]]
code = "mood"
value = '''CASE WHEN clicks > 0 AND warm
  THEN 'eager' ELSE 'calm' END'''
"#;

/// A small generator: the same seed, the same questions.
struct Random(u64);

impl Random {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as i64 % n
    }
}

#[test]
fn what_is_announced_comes_true_for_random_users_tags_and_instants() {
    let dir = Dir::new();
    dir.write("log", dir.adprof("gen --events 4000 --users 60 --days 3 --duplicates 5 --late 5 --seed 11").ok());
    dir.write("adprof.toml", GENERATED);
    let log = dir.read("log");
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let mut random = Random(7);
    let (mut announced, mut told_never) = (0, 0);
    for _ in 0..30 {
        let event = &events[random.below(events.len() as i64) as usize];
        let user = event["userId"].as_str().expect("an id");
        let as_of = event["timestamp"].as_i64().expect("an instant") + random.below(4_000_000);
        let tag =
            ["clicks_1h_count", "spent_1d", "categories_2h", "mood", "last_click_category"][random.below(5) as usize];
        let found = explained(&dir, &format!("{user} {tag} --log log --as-of {as_of}"));
        // The events known at the instant, and no others, are the future that was announced.
        let known: String = log
            .lines()
            .zip(&events)
            .filter(|(_, event)| event["timestamp"].as_i64().expect("an instant") <= as_of)
            .map(|(line, _)| format!("{line}\n"))
            .collect();
        dir.write("known", known);
        let batch = |at: i64| -> Value {
            let lines = dir.adprof(&format!("batch --log known --tags {tag} --as-of {at}")).ok();
            let patches = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a patch"));
            patches
                .filter(|patch| patch["userId"] == *user)
                .map(|patch| patch["tags"][tag].clone())
                .next()
                .expect("hers")
        };
        let question = format!("{user} {tag} at {as_of}: {found}");
        assert_eq!(found["value"], batch(as_of), "{question}");
        match found["next"]["at"].as_i64() {
            Some(at) => {
                announced += 1;
                assert_eq!(batch(at - 1), found["value"], "right before: {question}");
                assert_eq!(batch(at), found["next"]["value"], "at it: {question}");
                assert_ne!(batch(at), found["value"], "{question}");
            }
            None => {
                told_never += 1;
                assert_eq!(found["next"]["by"], "event", "{question}");
                assert_eq!(batch(as_of + 10 * 86_400_000), found["value"], "{question}");
            }
        }
        let counted = found["log"]["events"].as_array().expect("a list").len();
        if tag == "clicks_1h_count" {
            assert_eq!(found["value"], counted, "{question}");
            let panes = found["panes"].as_array().expect("a list");
            let held: i64 = panes.iter().map(|pane| pane["value"].as_i64().expect("a count")).sum();
            assert_eq!(found["value"], held, "{question}");
        }
    }
    assert!(announced >= 5 && told_never >= 3, "{announced} announced, {told_never} never");
}

const GENERATED: &str = r#"
[[tag]]
code = "clicks_1h_count"
value = "count(*)"
where = "eventType = 'click'"
window = "1h"
[[tag]]
code = "spent_1d"
value = "sum(amount)"
window = "1d"
[[tag]]
code = "categories_2h"
value = "count(DISTINCT category)"
window = "2h"
[[tag]]
code = "last_click_category"
value = "last(category)"
where = "eventType = 'click'"
[[tag]]
code = "last_seen"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "mood"
value = "CASE WHEN as_of() - last_seen < 1800000 THEN 'here' WHEN clicks_1h_count > 0 THEN 'near' ELSE 'away' END"
"#;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

#[test]
fn a_stream_that_read_all_of_a_log_agrees_with_it() {
    let dir = Dir::new();
    let start = now() - 2 * 86_400_000;
    let log =
        dir.adprof(&format!("gen --events 3000 --users 40 --days 1 --duplicates 5 --late 5 --start {start}")).ok();
    dir.write("adprof.toml", GENERATED);
    dir.write("log", &log);
    dir.adprof("stream --store file:s").stdin(log).ok();
    for (i, tag) in
        ["clicks_1h_count", "spent_1d", "categories_2h", "mood", "last_click_category"].into_iter().enumerate()
    {
        for user in [1, 7, 20 + i] {
            let found = explained(&dir, &format!("u-{user:07} {tag} --store file:s --log log"));
            assert_eq!((&found["log"]["agrees"], &found["from"]), (&json!(true), &json!("state")), "{found}");
            assert_eq!(found["value"], found["log"]["value"], "{found}");
            assert!(found["how"].as_str().is_some_and(|how| how.contains("the live state in file:s")), "{found}");
        }
    }
}

#[test]
fn a_store_behind_its_log_is_told_with_the_reason_and_exit_1() {
    let dir = folder();
    let part: String = EVENTS.lines().take(2).map(|line| format!("{line}\n")).collect();
    dir.adprof("stream --clock event --store file:s").stdin(part).ok();
    let as_of = T + 80_000;
    let command = format!("explain u-001 clicks_1h_count --store file:s --log log --as-of {as_of}");
    let out = dir.adprof(&command).exits(1);
    let why = "the store says 1, the log 3: the store is behind the log: \
               its newest event is of 2024-11-11T03:39:45.000Z, that of the log of 2024-11-11T03:40:00.250Z";
    assert_eq!(out.stderr, format!("adprof explain: clicks_1h_count of u-001: {why}\n"));
    let found: Value = serde_json::from_str(&out.stdout).expect("told all the same");
    assert_eq!((&found["log"]["agrees"], &found["log"]["difference"]), (&json!(false), &json!(why)));
    assert_eq!((&found["value"], &found["log"]["value"]), (&json!(1), &json!(3)));
    let text = dir.adprof(&format!("{command} --format text")).exits(1).stdout;
    assert!(
        text.contains(&format!("\n  log         {why}; 3 events count; 1 duplicate of the user was dropped\n")),
        "{text}"
    );
    // At an instant before what it lacks, it agrees.
    let found = explained(&dir, &format!("u-001 clicks_1h_count --store file:s --log log --as-of {}", T + 60_000));
    assert_eq!(found["log"]["agrees"], true, "{found}");
}

#[test]
fn a_state_of_another_definition_or_of_a_later_time_is_told() {
    let dir = folder();
    dir.adprof("stream --clock event --store file:s").stdin(EVENTS).ok();
    let base = "[[tag]]\ncode = 'clicks_1h_count'\nvalue = 'count(*)'\nwindow = '1h'\n";
    dir.write("other.toml", base);
    let out = dir.adprof(&format!(
        "explain u-001 clicks_1h_count -d other.toml --store file:s --log log --as-of {}",
        T + 90_000
    ));
    let stderr = out.exits(1).stderr;
    assert!(stderr.contains("the store says nothing, the log 4: another definition: the state holds the tag under fingerprint 4cc83a2a217a333e"), "{stderr}");
    dir.write("new.toml", base.replace("clicks_1h_count", "events_1h"));
    let found = explained(&dir, "u-001 events_1h -d new.toml --store file:s");
    assert!(found["how"].as_str().is_some_and(|how| how.contains("does not run with this definition")), "{found}");
    // By the wall clock these events are long over: the state has let their panes go.
    dir.adprof("stream --store file:w").stdin(EVENTS).ok();
    let stderr = dir
        .adprof(&format!("explain u-001 clicks_1h_count --store file:w --log log --as-of {}", T + 90_000))
        .exits(1)
        .stderr;
    assert!(stderr.contains("the store says 0, the log 3: the state has gone on to 20"), "{stderr}");
}

#[test]
fn a_daily_tag_is_looked_at_from_the_instant_of_its_patch() {
    let dir = folder();
    let patches = dir.adprof(&format!("batch --log log --as-of {}", T + 70_000)).ok();
    dir.adprof("sink file").stdin(patches).ok();
    let found = explained(&dir, "u-001 segment_id --store file:adprof-store --log log");
    assert_eq!(
        (&found["value"], &found["from"], &found["asOf"]),
        (&json!("high_value_user"), &json!("patch"), &json!(T + 70_000))
    );
    assert_eq!((&found["next"]["by"], &found["log"]["agrees"]), (&json!("patch"), &json!(true)));
    let input = &found["inputs"][0];
    assert_eq!((&input["tag"], &input["value"]), (&json!("ltv_total"), &json!(150.75)));
    assert_eq!(input["log"]["events"][0]["arguments"], json!({"amount": 150.75}));
    // What is bought later counts where the instant is named; of an input it is told as well.
    let more = EVENTS.replace(
        "\"e-9\",\"userId\":\"u-002\",\"eventType\":\"view\"",
        "\"e-9\",\"userId\":\"u-001\",\"amount\":7,\"eventType\":\"purchase\"",
    );
    dir.write("more", more);
    assert_eq!(explained(&dir, "u-001 ltv_total --store file:adprof-store --log more")["log"]["agrees"], true);
    let out = dir
        .adprof(&format!("explain u-001 segment_id --store file:adprof-store --log more --as-of {}", T + 90_000))
        .exits(1);
    let why = "the store says 150.75, the log 157.75: the store may be behind the log: its value is of 2024-11-11T03:39:55.000Z";
    assert_eq!(out.stderr, format!("adprof explain: ltv_total of u-001: {why}\n"));
    // A value that no log gave.
    dir.adprof("sink file")
        .stdin(format!("{{\"userId\":\"u-001\",\"asOf\":{},\"tags\":{{\"ltv_total\":1}}}}\n", T + 200_000))
        .ok();
    let stderr = dir.adprof("explain u-001 ltv_total --store file:adprof-store --log log").exits(1).stderr;
    assert!(stderr.contains("was made of other events, or with another definition"), "{stderr}");
}

#[test]
fn of_nobody_the_value_of_no_events_is_told_and_an_unknown_tag_is_named() {
    let dir = folder();
    dir.adprof("stream --clock event --store file:s").stdin(EVENTS).ok();
    let found = explained(&dir, "nobody clicks_1h_count --store file:s --log log");
    assert_eq!((&found["known"], &found["value"], &found["log"]["agrees"]), (&json!(false), &json!(0), &json!(true)));
    assert_eq!(explained(&dir, "nobody last_click_category --store file:s")["value"], Value::Null);
    let text = dir.adprof("explain nobody clicks_1h_count --store file:s --format text").ok();
    assert!(
        text.starts_with("nothing is known of nobody: ") && text.contains("\nclicks_1h_count of nobody  0\n"),
        "{text}"
    );
    // Known, but not for this: that is no zero.
    let found = explained(&dir, "u-001 ltv_total --store file:s");
    assert_eq!((&found["known"], &found["value"], &found["next"]["by"]), (&json!(true), &Value::Null, &json!("patch")));
    let out = dir.adprof("explain u-001 clicks_1h_coun --store file:s").exits(2);
    assert_eq!(out.stderr, "adprof explain: unknown tag: clicks_1h_coun\nhint: did you mean clicks_1h_count?\n");
    assert_eq!(
        dir.adprof_args(["explain", "", "ltv_total"]).exits(2).stderr,
        "adprof explain: not an id: it is empty\n"
    );
    dir.adprof("explain u-001 ltv_total --log nowhere").exits(66);
    dir.write("junk", "no\nevent\n");
    let stderr = dir.adprof("explain u-001 ltv_total --log junk").exits(65).stderr;
    assert!(stderr.contains("every line was bad: 2\nhint: adprof batch --dead FILE keeps each"), "{stderr}");
    let stderr = dir.adprof("explain u-001 clicks_1h_count --store file:s --as-of 2024-11-11").exits(2).stderr;
    assert!(stderr.contains("cannot go back"), "{stderr}");
}

#[test]
fn long_lists_are_cut_in_text_and_whole_in_ndjson() {
    let dir = Dir::new();
    let event = |i: i64| {
        format!("{{\"eventId\":\"e-{i}\",\"userId\":\"u\",\"eventType\":\"click\",\"timestamp\":{}}}\n", T + 1000 * i)
    };
    dir.write("log", (0..50).map(event).collect::<String>());
    let args = format!("u clicks_1h_count --log log --as-of {}", T + 60_000);
    let text = dir.adprof(&format!("explain {args} --format text")).ok();
    assert_eq!(text.matches("    and 30 more before these: --all\n").count(), 2, "{text}");
    assert!(text.contains("  e-49\n") && text.contains("  e-30\n") && !text.contains("  e-29\n"), "{text}");
    let text = dir.adprof(&format!("explain {args} --all --format text")).ok();
    assert!(text.contains("  e-0\n") && !text.contains("more before"), "{text}");
    let found = explained(&dir, &args);
    let count = |list: &Value| list.as_array().expect("a list").len();
    assert_eq!((count(&found["panes"]), count(&found["log"]["events"])), (50, 50));
}

#[test]
fn a_store_of_values_says_so_and_the_log_fills_in() {
    let dir = folder();
    let Some(url) = redis() else { return };
    let url = format!("{url}/15");
    let as_of = T + 80_000;
    let patches = dir.adprof(&format!("batch --log log --tags all --as-of {as_of}")).ok();
    dir.adprof("sink redis").env("REDIS_URL", &url).stdin(patches).ok();
    let found = explained(&dir, &format!("u-001 ltv_total --store {url}"));
    assert_eq!(
        (&found["from"], &found["value"], &found["next"]["by"]),
        (&json!("value"), &json!(150.75), &json!("unknown"))
    );
    assert!(found["how"].as_str().is_some_and(|how| how.contains("holds values only")), "{found}");
    let found = explained(&dir, &format!("u-001 ltv_total --store {url} --log log"));
    assert_eq!((&found["log"]["agrees"], &found["next"]["by"]), (&json!(true), &json!("event")));
    // The clicks are long over, and the value in Redis is as old as the patch.
    let stderr = dir.adprof(&format!("explain u-001 clicks_1h_count --store {url} --log log")).exits(1).stderr;
    assert!(
        stderr.contains(
            "the store says 3, the log 0: the store may be behind the log, which ends at 2024-11-11T03:40:10.000Z"
        ),
        "{stderr}"
    );
    assert!(
        dir.adprof(&format!("explain u-001 ltv_total --store {url} --as-of {as_of}"))
            .exits(2)
            .stderr
            .contains("newest values only")
    );
}
