//! `adprof sink` as a process, into a real Redis and into embedded stores: what is written, again, cut short, and refused.

mod support;

use adprof::store::Embedded;
use redis::Commands;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Dir, Output};

/// One patch a user; users are told apart from those of other tests by `prefix`.
fn patches(prefix: &str, users: usize) -> String {
    let mut out = String::new();
    for i in 0..users {
        let (euros, cents) = (i % 900, i % 89 + 10);
        let segment = if i % 3 == 0 { "null" } else { "\"buyer\"" };
        writeln!(
            out,
            r#"{{"userId":"{prefix}{i:06}","asOf":1731296325000,"tags":{{"ltv_total":{euros}.{cents},"segment_id":{segment}}}}}"#
        )
        .expect("in memory");
    }
    out
}

/// Every HASH of these users with its fields.
fn redis_dump(url: &str, prefix: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut link = redis::Client::open(url).and_then(|c| c.get_connection()).expect("Redis is there");
    let keys: Vec<String> =
        link.scan_match(format!("profile:{prefix}*")).expect("a scan").map(|k| k.expect("a key")).collect();
    keys.into_iter().map(|key| (key.clone(), link.hgetall(&key).expect("a HASH"))).collect()
}

/// Every record of a store, in words.
fn store_dump(dir: &Path) -> Vec<String> {
    let store = Embedded::open_existing(dir).expect("a store");
    store.scan_all().map(|entry| format!("{:?}", entry.expect("whole"))).collect()
}

fn has(output: &Output, words: &[&str]) {
    words.iter().for_each(|w| assert!(output.stderr.contains(w), "no {w:?} in:\n{}", output.stderr));
}

/// Starts `adprof sink ARGS` with an open stdin.
fn start(dir: &Dir, args: &[&str]) -> Child {
    let mut command = Command::new(support::adprof_path());
    command.args(args).current_dir(dir.path()).env_clear().envs(support::clean_environment());
    command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// Writes half of the patches, waits until `begun`, kills with SIGKILL.
fn kill_half_way(mut child: Child, patches: &str, begun: impl Fn() -> bool) {
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&patches.as_bytes()[..patches.len() / 2]).expect("it reads");
    let until = Instant::now() + Duration::from_secs(30);
    while !begun() {
        assert!(Instant::now() < until, "nothing was written before the end of the input");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn redis_holds_the_tags_and_nothing_else_and_a_run_again_changes_nothing() {
    let Some(url) = support::redis() else { return };
    let dir = Dir::new();
    let text = patches("sink-again-", 2500);
    let output = dir.adprof("sink redis").arg(&url).stdin(text.as_str()).exits(0);
    has(&output, &["wrote 2,500 profiles (5,000 tags) into redis://", " users/s"]);
    assert_eq!(output.stdout, "");
    let first = redis_dump(&url, "sink-again-");
    assert_eq!(first.len(), 2500);
    let want =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<BTreeMap<_, _>>();
    assert_eq!(first["profile:sink-again-000001"], want(&[("ltv_total", "1.11"), ("segment_id", "buyer")]));
    assert_eq!(first["profile:sink-again-000003"], want(&[("ltv_total", "3.13")]));
    dir.adprof("sink redis --batch 7").env("REDIS_URL", &url).stdin(text).ok();
    assert_eq!(redis_dump(&url, "sink-again-"), first);
}

#[test]
fn killed_half_way_and_run_again_redis_is_as_if_nothing_had_happened() {
    let Some(url) = support::redis() else { return };
    let dir = Dir::new();
    let text = patches("sink-kill-", 20_000);
    kill_half_way(start(&dir, &["sink", "redis", &url, "--batch", "100"]), &text, || {
        redis_dump(&url, "sink-kill-0000").len() > 50
    });
    assert!(redis_dump(&url, "sink-kill-").len() < 20_000);
    dir.adprof("sink redis").arg(&url).stdin(text.as_str()).ok();
    dir.adprof("sink redis").arg(&url).stdin(text.replace("sink-kill-", "sink-calm-")).ok();
    let named = |dump: BTreeMap<String, _>| dump.into_values().collect::<Vec<BTreeMap<String, String>>>();
    assert_eq!(named(redis_dump(&url, "sink-kill-")), named(redis_dump(&url, "sink-calm-")));
}

#[test]
fn a_key_that_is_no_hash_becomes_a_dead_letter_and_the_others_flow() {
    let Some(url) = support::redis() else { return };
    let dir = Dir::new();
    let mut link = redis::Client::open(url.as_str()).and_then(|c| c.get_connection()).expect("Redis is there");
    let () = link.set("profile:sink-taken-000001", "a string").expect("set");
    let text = patches("sink-taken-", 3);
    let output = dir.adprof("sink redis").arg(&url).stdin(text.as_str()).exits(0);
    has(&output, &["stdin:2: KEY_TAKEN: `profile:sink-taken-000001`", "wrote 2 profiles (4 tags)", "1 line refused"]);
    let letter = dir.read("sink.dead.ndjson");
    let letter = adprof::dead::DeadLetter::parse(letter.trim_end().as_bytes()).expect("a letter");
    assert_eq!(letter.replay(), Ok(text.lines().nth(1).expect("three lines").as_bytes()));
    // That one alone is every line there was.
    let alone = dir.adprof("sink redis").arg(&url).stdin(text.lines().nth(1).expect("three lines")).exits(65);
    has(&alone, &["adprof sink: every line was bad: 1"]);
}

#[test]
fn a_patch_does_not_wait_for_the_end_of_the_input() {
    let Some(url) = support::redis() else { return };
    let dir = Dir::new();
    let mut child = start(&dir, &["sink", "redis", &url]);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(patches("sink-trickle-", 1).as_bytes()).expect("it reads");
    let until = Instant::now() + Duration::from_secs(20);
    while redis_dump(&url, "sink-trickle-").is_empty() {
        assert!(Instant::now() < until, "the patch is held back");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn an_embedded_store_holds_the_patches_and_a_run_again_changes_nothing() {
    let dir = Dir::new();
    let text = patches("u", 2500);
    let output = dir.adprof("sink file").stdin(text.as_str()).exits(0);
    has(&output, &["wrote 2,500 profiles (5,000 tags) into file:adprof-store, "]);
    let first = store_dump(&dir.file("adprof-store"));
    assert_eq!(first.len(), 2500);
    for again in
        ["sink file", "sink file file:adprof-store --batch 13", "sink file:adprof-store", "sink file ./adprof-store"]
    {
        dir.adprof(again).stdin(text.as_str()).ok();
        assert_eq!(store_dump(&dir.file("adprof-store")), first, "{again}");
    }
    let older = dir.adprof("sink file").stdin(text.replace("1731296325000", "1731296324999")).exits(0);
    has(&older, &["wrote 2,500 profiles (0 tags)", "5,000 tags were left out: the store holds newer ones"]);
    assert_eq!(store_dump(&dir.file("adprof-store")), first);
}

#[test]
fn killed_half_way_and_run_again_an_embedded_store_is_as_if_nothing_had_happened() {
    let dir = Dir::new();
    let text = patches("u", 20_000);
    let killed = dir.file("killed");
    kill_half_way(start(&dir, &["sink", "file", "killed", "--batch", "100"]), &text, || {
        Embedded::exists(&killed)
            && Embedded::open_existing(&killed).is_ok_and(|s| s.stats().expect("read").patched > 50)
    });
    assert!(store_dump(&killed).len() < 20_000);
    dir.adprof("sink file killed").stdin(text.as_str()).ok();
    dir.adprof("sink file calm").stdin(text).ok();
    assert_eq!(store_dump(&killed), store_dump(&dir.file("calm")));
}

#[test]
fn patches_are_taken_while_another_process_owns_the_live_state() {
    let dir = Dir::new();
    let store = Embedded::create_or_open(&dir.file("shared")).expect("made");
    let owner = store.begin_owner("a stream").expect("owned");
    dir.adprof("sink file shared").stdin(patches("u", 10)).ok();
    assert_eq!(store.stats().expect("read").patched, 10);
    drop(owner);
}

#[test]
fn input_may_be_a_file_and_packed() {
    let dir = Dir::new();
    let text = patches("u", 500);
    dir.write("patches.ndjson.zst", zstd::encode_all(text.as_bytes(), 1).expect("in memory"));
    has(&dir.adprof("sink file --input patches.ndjson.zst").exits(0), &["wrote 500 profiles"]);
    dir.write("cut.zst", &zstd::encode_all(text.as_bytes(), 1).expect("in memory")[..900]);
    has(
        &dir.adprof("sink file --input cut.zst").exits(74),
        &["cut.zst: the zstd data is cut off at byte 900", "hint: "],
    );
    dir.adprof("sink file --input absent.ndjson").exits(66);
}

#[test]
fn lines_that_are_not_patches_are_dead_letters_and_the_others_are_written() {
    let dir = Dir::new();
    let good = patches("u", 6);
    let bad = [
        r#"{"eventId":"e","userId":"u","eventType":"click","timestamp":1}"#,
        "junk",
        r#"["u",1,{}]"#,
        r#"{"userId":"u"}"#,
    ];
    let text = format!("\u{feff}{}\n\n \r\n{good}", bad.join("\n"));
    let output = dir.adprof("sink file s").stdin(text.as_str()).exits(0);
    has(
        &output,
        &["stdin:1: BAD_PATCH", "stdin:3: BAD_PATCH", "wrote 6 profiles", "4 lines refused → ./sink.dead.ndjson"],
    );
    assert!(!output.stderr.contains("stdin:4"), "three are shown:\n{}", output.stderr);
    let letters = dir.read("sink.dead.ndjson");
    for (letter, original) in letters.lines().zip(bad) {
        let letter = adprof::dead::DeadLetter::parse(letter.as_bytes()).expect("a letter");
        assert_eq!(letter.replay(), Ok(original.as_bytes()));
    }
    assert_eq!(letters.lines().count(), 4);
    dir.adprof("sink file s --max-errors 3").stdin(text.as_str()).exits(65);
    dir.adprof("sink file s --max-errors 40%").stdin(text.as_str()).exits(0);
    let output = dir.adprof("sink file new --dead refused.ndjson").stdin(bad.join("\n")).exits(65);
    has(&output, &["adprof sink: every line was bad: 4", "hint: these look like events"]);
    assert!(!dir.file("new").exists(), "no patch, no store");
    assert_eq!(dir.read("refused.ndjson").lines().count(), 4);
    dir.adprof("sink file new").stdin("").exits(0);
    assert!(!dir.file("new").exists());
}

#[test]
fn a_dry_run_checks_and_writes_nothing() {
    let dir = Dir::new();
    let output = dir.adprof("sink file --dry-run").stdin(format!("{}junk\n", patches("u", 9))).exits(0);
    has(&output, &["would write 9 profiles (18 tags) into file:adprof-store", "1 line would be refused"]);
    dir.adprof("sink redis redis://127.0.0.1:1 --dry-run").stdin("junk\n").exits(65);
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
}

#[test]
fn what_cannot_be_a_target_says_why_and_what_to_do() {
    let dir = Dir::new();
    dir.write("a-file", "x");
    dir.write("thesis/chapter.tex", "x");
    let hash = patches("u", 1);
    for (args, code, words) in [
        ("sink redis redis://127.0.0.1:1", 69, &["redis://127.0.0.1:1: connection refused", "adprof sink file"][..]),
        ("sink redis redis://me:canary@127.0.0.1:1", 2, &["a password on the command line", "hint: ", "REDIS_URL"]),
        ("sink redis://:canary@127.0.0.1:1", 2, &["REDIS_URL"]),
        ("sink redis unix:///tmp/none.sock?pass=canary", 2, &["REDIS_URL"]),
        ("sink redis localhost:6379", 2, &["not a Redis address"]),
        ("sink file out.ndjson", 2, &["an embedded store is a directory", "adprof batch > out.ndjson"]),
        ("sink file out.csv.gz", 2, &["adprof batch > out.csv.gz"]),
        ("sink file redis://127.0.0.1", 2, &["adprof sink redis"]),
        ("sink kafka", 2, &["no such target: kafka", "adprof sink redis [URL]"]),
        ("sink", 2, &["redis|file"]),
        ("sink file a-file", 74, &["file:a-file"]),
        ("sink file a-file/store", 74, &["file:a-file/store"]),
        ("sink file thesis", 74, &["thesis", "hint: name a new directory"]),
    ] {
        let output = dir.adprof(args).stdin(hash.as_str()).exits(code);
        has(&output, words);
        assert!(!output.stderr.contains("canary"), "{args}\n{}", output.stderr);
    }
    let output = dir.adprof("sink redis").env("REDIS_URL", "redis://me:canary@127.0.0.1:1").stdin(hash).exits(69);
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
}
