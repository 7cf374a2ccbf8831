//! `adprof stream` as a filter, through the real program: its output is definite, prompt, and the same as batch's.

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Dir, Running, adprof_path};

/// A whole second, some time ago.
const T: i64 = 1_731_296_325_000;
const HOUR: i64 = 3_600_000;

fn click(id: &str, user: &str, ts: i64, category: &str) -> String {
    format!(r#"{{"eventId":"{id}","userId":"{user}","eventType":"click","timestamp":{ts},"category":"{category}"}}"#)
        + "\n"
}

fn view(id: &str, user: &str, ts: i64) -> String {
    format!(r#"{{"eventId":"{id}","userId":"{user}","eventType":"view","timestamp":{ts}}}"#) + "\n"
}

/// 20,000 events with duplicates and late ones, in the order they would arrive.
fn generated(dir: &Dir) -> String {
    let text = dir.adprof("gen --events 20000 --users 3000 --duplicates 5 --late 5").ok();
    dir.write("events.ndjson", &text);
    text
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The lines in another order, always the same one.
fn shuffled(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut random = 42u64;
    for i in (1..lines.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        lines.swap(i, (random >> 33) as usize % (i + 1));
    }
    lines.join("\n") + "\n"
}

#[test]
fn each_event_that_changes_a_tag_gives_one_patch_and_each_fall_comes_at_its_instant() {
    let input = [
        click("a", "u1", T + 250, "shoes"),
        click("a", "u1", T + 250, "a duplicate"),
        click("b", "u1", T + 10_500, "hats"),
        // Changes nothing.
        view("c", "u1", T + 400),
        // Late: it counts in its own second and falls with it.
        click("d", "u1", T + 5_000, "late"),
        view("e", "u2", T + HOUR + 7_000),
        view("f", "u2", T + 2 * HOUR),
    ];
    let patch = |user: &str, at: i64, tags: &str| format!(r#"{{"userId":"{user}","asOf":{at},"tags":{{{tags}}}}}"#);
    let expected = [
        patch(
            "u1",
            T + 250,
            &format!(r#""clicks_1h_count":1,"last_click_category":"shoes","last_active_ts":{}"#, T + 250),
        ),
        patch(
            "u1",
            T + 10_500,
            &format!(r#""clicks_1h_count":2,"last_click_category":"hats","last_active_ts":{}"#, T + 10_500),
        ),
        patch("u1", T + 10_500, r#""clicks_1h_count":3"#),
        patch("u1", T + HOUR, r#""clicks_1h_count":2"#),
        patch("u1", T + HOUR + 5_000, r#""clicks_1h_count":1"#),
        patch("u2", T + HOUR + 7_000, &format!(r#""clicks_1h_count":0,"last_active_ts":{}"#, T + HOUR + 7_000)),
        patch("u1", T + HOUR + 10_000, r#""clicks_1h_count":0"#),
        patch("u2", T + 2 * HOUR, &format!(r#""last_active_ts":{}"#, T + 2 * HOUR)),
    ];
    let output = Dir::new().adprof("stream").stdin(input.concat()).exits(0);
    assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected);
    assert!(output.stderr.starts_with("6 events, 1 duplicates; 2 users, 8 patches in "), "{}", output.stderr);
}

#[test]
fn the_last_word_of_a_stream_is_what_batch_says_in_any_order_of_the_input() {
    let dir = Dir::new();
    let events = generated(&dir);
    let batch = dir.adprof("batch --log events.ndjson --tags all").ok();
    let expected = sorted(&batch);
    assert!(expected.len() > 1000, "{}", expected.len());
    for input in [events.clone(), shuffled(&events)] {
        let stream = dir.adprof("stream --emit final --tags all").stdin(input).ok();
        assert!(sorted(&stream) == expected, "they differ: {} and {} users", stream.lines().count(), expected.len());
    }
    let as_of = T + 60 * 86_400_000;
    let batch = dir.adprof(&format!("batch --log events.ndjson --tags all --as-of {as_of}")).ok();
    let stream = dir.adprof(&format!("stream --emit final --tags all --as-of {as_of}")).stdin(shuffled(&events)).ok();
    assert!(sorted(&stream) == sorted(&batch), "as of {as_of} they differ");
}

#[test]
fn patches_one_after_another_lead_to_the_last_word() {
    let dir = Dir::new();
    let events = generated(&dir);
    let last = dir.adprof("stream --emit final").stdin(events.clone()).ok();
    for each in ["stream", "stream --every 10ms"] {
        let mut users = std::collections::BTreeMap::<String, serde_json::Map<String, serde_json::Value>>::new();
        for line in dir.adprof(each).stdin(events.clone()).ok().lines() {
            let patch: serde_json::Value = serde_json::from_str(line).expect("a patch");
            let tags = users.entry(patch["userId"].as_str().expect("an id").into()).or_default();
            tags.extend(patch["tags"].as_object().expect("tags").clone());
        }
        assert_eq!(last.lines().count(), users.len());
        for line in last.lines() {
            let patch: serde_json::Value = serde_json::from_str(line).expect("a patch");
            let told = patch["tags"].as_object().expect("tags").iter();
            let told: serde_json::Map<_, _> =
                told.filter(|(_, v)| !v.is_null()).map(|(c, v)| (c.clone(), v.clone())).collect();
            let mut tags = users[patch["userId"].as_str().expect("an id")].clone();
            tags.retain(|_, value| !value.is_null());
            assert_eq!(tags, told, "{each}: {line}");
        }
    }
}

#[test]
fn every_so_often_a_changed_user_is_written_once() {
    let mut stream = Dir::new().start("stream --every 300ms");
    for i in 0..50 {
        assert!(stream.feed(click(&format!("e{i}"), "u1", T + i, "shoes")));
    }
    let line = stream.line().expect("a patch");
    assert!(line.contains(r#""clicks_1h_count":50"#), "{line}");
    stream.close();
    assert_eq!(stream.rest(), Vec::<String>::new());
    assert_eq!(stream.end().0, 0);
}

#[test]
fn as_of_leaves_later_events_out_and_time_goes_on_to_it() {
    let input = [click("a", "u1", T, "shoes"), click("b", "u1", T + HOUR + 1, "hats")].concat();
    let output = Dir::new().adprof(&format!("stream --as-of {}", T + HOUR)).stdin(input.clone()).exits(0);
    let expected = [
        format!(
            r#"{{"userId":"u1","asOf":{T},"tags":{{"clicks_1h_count":1,"last_click_category":"shoes","last_active_ts":{T}}}}}"#
        ),
        format!(r#"{{"userId":"u1","asOf":{},"tags":{{"clicks_1h_count":0}}}}"#, T + HOUR),
    ];
    assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected);
    assert!(output.stderr.contains("1 after the instant"), "{}", output.stderr);
    let last = Dir::new().adprof(&format!("stream --emit final --as-of {}", T + HOUR - 1)).stdin(input).ok();
    assert!(last.contains(r#""clicks_1h_count":1"#) && last.contains("shoes"), "{last}");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut stdin = gzip.stdin.take().expect("piped");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = gzip.wait_with_output().expect("packed");
    writer.join().expect("joined").expect("written");
    output.stdout
}

#[test]
fn packed_input_is_unpacked_and_a_cut_one_fails_with_what_was_told_and_refused() {
    let dir = Dir::new();
    let events = generated(&dir);
    let plain = dir.adprof("stream").stdin(events.clone()).ok();
    let packed = gzip(&events);
    assert!(dir.adprof("stream").stdin(packed).ok() == plain);
    let mut cut = gzip(&format!("not an event\n{events}"));
    cut.truncate(cut.len() / 2);
    let output = dir.adprof("stream --dead dead.ndjson").stdin(cut).exits(74);
    assert!(plain.starts_with(&output.stdout) && !output.stdout.is_empty());
    assert!(dir.read("dead.ndjson").contains("NOT_JSON"), "{}", output.stderr);
}

#[test]
fn a_reader_that_goes_away_is_success() {
    let dir = Dir::new();
    generated(&dir);
    let script = r#""$0" stream < events.ndjson | head -n 1; echo "exit ${PIPESTATUS[0]}""#;
    let output =
        Command::new("bash").args(["-c", script]).arg(adprof_path()).current_dir(dir.path()).output().expect("ran");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("{\"userId\"") && text.ends_with("\nexit 0\n"), "{text}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn bad_lines_become_dead_letters_with_their_place_and_all_bad_is_65() {
    let dir = Dir::new();
    let good = click("a", "u1", T, "shoes");
    let input = format!("{good}not json\n\n{}", r#"{"eventId":"b","userId":"u1","eventType":"click"}"#);
    let output = dir.adprof("stream --dead dead.ndjson").stdin(input.clone()).exits(0);
    assert_eq!(output.stdout.lines().count(), 1);
    assert!(
        output.stderr.contains("warning: stdin:2: NOT_JSON") && output.stderr.contains("2 refused"),
        "{}",
        output.stderr
    );
    let letters = dir.read("dead.ndjson");
    let letters: Vec<serde_json::Value> = letters.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let place =
        |l: &serde_json::Value| (l["code"].as_str().expect("code").to_string(), l["line"].as_u64().expect("line"));
    assert_eq!(letters.iter().map(place).collect::<Vec<_>>(), [("NOT_JSON".into(), 2), ("MISSING_FIELD".into(), 4)]);
    assert_eq!(letters[0]["offset"].as_u64(), Some(good.len() as u64));
    dir.adprof("stream").stdin("bad\nbad\n").exits(65);
    dir.adprof("stream --max-errors 2").stdin(input.clone()).exits(0);
    dir.adprof("stream --max-errors 1").stdin(input.clone()).exits(65);
    dir.adprof("stream --max-errors 50%").stdin(input).exits(65);
    dir.adprof("stream").exits(0);
}

/// The line that comes next and how long it took.
fn timed(stream: &Running) -> (String, Duration) {
    let began = Instant::now();
    (stream.line().expect("a line"), began.elapsed())
}

#[test]
fn a_trickling_pipe_gets_each_patch_promptly_and_its_dead_letters_soon() {
    let dir = Dir::new();
    let mut stream = dir.start("stream --dead dead.ndjson");
    stream.feed(click("first", "u0", T, "warm"));
    timed(&stream);
    for i in 0..5 {
        stream.feed("bad\n");
        stream.feed(click(&format!("e{i}"), "u1", T + i, "shoes"));
        let (line, took) = timed(&stream);
        assert!(line.contains(&format!(r#""clicks_1h_count":{}"#, i + 1)), "{line}");
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(dir.read("dead.ndjson").lines().count(), 5);
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}

#[test]
fn wrong_definitions_are_78_and_an_unknown_tag_is_2_with_the_nearest_name() {
    let dir = Dir::new();
    dir.write("bad.toml", "[[tag]]\ncode = \"x\"\nvalue = \"sum(amount\"\n");
    let output = dir.adprof("stream -d bad.toml").exits(78);
    assert!(output.stderr.starts_with("adprof stream: bad.toml:3:"), "{}", output.stderr);
    let output = dir.adprof("stream --tags clicks_1h_cont").exits(2);
    assert!(output.stderr.contains("hint: did you mean clicks_1h_count?"), "{}", output.stderr);
    dir.write("none.toml", "[[tag]]\ncode = \"x\"\nvalue = \"count(*)\"\nupdate = \"daily\"\n");
    let output = dir.adprof("stream -d none.toml").exits(78);
    assert!(output.stderr.contains("--tags all"), "{}", output.stderr);
    dir.adprof("stream --emit final --every 1s").exits(2);
    dir.adprof("stream --store file:s --emit final").exits(2);
}

#[test]
fn a_stopped_filter_writes_its_last_words() {
    let mut stream = Dir::new().start("stream --emit final");
    stream.feed(click("a", "u1", T, "shoes"));
    std::thread::sleep(Duration::from_millis(500));
    stream.signal("TERM");
    assert!(stream.line().expect("a patch").contains("shoes"));
    assert_eq!(stream.end().0, 0);
}

#[test]
fn a_password_is_not_typed_on_the_command_line() {
    let dir = Dir::new();
    let out = dir.adprof("stream --store redis://:canary@localhost:1").exits(2);
    assert!(out.stderr.contains("REDIS_URL") && !out.stderr.contains("canary"), "{}", out.stderr);
    // From the environment it is taken, and shown nowhere.
    let out = dir.adprof("stream --store redis").env("REDIS_URL", "redis://:canary@127.0.0.1:1").exits(69);
    assert!(!out.stderr.contains("canary"), "{}", out.stderr);
}
