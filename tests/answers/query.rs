//! `adprof query`.

use crate::store::{three, three_in_redis};
use crate::support::{adprof_path, clean_environment};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const U1: &str = r#"{"userId":"u-001","asOf":1731296325000,"tags":{"age":31,"city":"Malmö","ltv":150.75,"score":0.5,"vip":true,"seen":1731296325000}}"#;

#[test]
fn profiles_come_in_the_order_of_the_ids_and_unknown_users_are_no_error() {
    let dir = three();
    let out = dir.adprof("query u-003 u-001").ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines, [r#"{"userId":"u-003","asOf":1731296325002,"tags":{"extra":[1,2]}}"#, U1]);
    let out = dir.adprof("query nobody").ok();
    assert!(out.starts_with(r#"{"userId":"nobody","asOf":"#) && out.ends_with("\"tags\":{}}\n"), "{out}");
}

#[test]
fn chosen_tags_come_alone_and_an_unknown_one_is_named_with_its_nearest() {
    let dir = three();
    let out = dir.adprof("query --tags ltv,age u-001 u-002").ok();
    assert_eq!(
        out,
        "{\"userId\":\"u-001\",\"asOf\":1731296325000,\"tags\":{\"age\":31,\"ltv\":150.75}}\n\
         {\"userId\":\"u-002\",\"asOf\":1731296325001,\"tags\":{\"age\":17}}\n"
    );
    assert_eq!(dir.adprof("query --tags all u-001").ok(), format!("{U1}\n"));
    let out = dir.adprof("query --tags agee u-001").exits(2);
    assert_eq!(out.stderr, "adprof query: --tags: unknown tag: agee\nhint: did you mean age?\n");
}

#[test]
fn a_table_shows_times_for_people_and_everything_harmless() {
    let dir = three();
    let out = dir.adprof("query --format table u-001 nobody").ok();
    assert_eq!(
        out,
        "u-001  as of 2024-11-11T03:38:45.000Z
  age    31
  city   Malmö
  ltv    150.75
  score  0.5
  vip    true
  seen   2024-11-11T03:38:45.000Z  1731296325000

nobody  no profile
"
    );
    let hostile = r#"{"userId":"a\u202eb","asOf":1,"tags":{"city":"\u001b[2J","x\u202ey":"z"}}"#;
    crate::store::fill(&dir, &[hostile]);
    let out = dir.adprof_args(["query", "--format", "table", "a\u{202e}b"]).ok();
    assert_eq!(out, "a\\u202eb  as of 1970-01-01T00:00:00.001Z\n  city      \\u001b[2J\n  x\\u202ey  z\n");
}

#[test]
fn ids_that_no_user_can_have_are_named() {
    let dir = three();
    let long = "x".repeat(257);
    for (args, why) in [
        (vec!["u-001", ""], "argument 2: not an id: it is empty"),
        (vec!["a\nb"], "argument 1: not an id: it holds a control character: a\\u000ab"),
        (vec![&long], "argument 1: not an id: it is longer than 256 bytes"),
        (vec!["u-001", "-"], "`-` stands alone"),
    ] {
        let out = dir.adprof_args(["query"].into_iter().chain(args)).exits(2);
        assert!(out.stderr.contains(why) && out.stdout.is_empty(), "{}", out.stderr);
    }
    // From standard input what stands before the bad line is answered.
    let out = dir.adprof("query -").stdin("u-001\na\tb\n").exits(2);
    assert_eq!(out.stdout, format!("{U1}\n"));
    assert!(out.stderr.contains("standard input:2: not an id"), "{}", out.stderr);
    assert_eq!(dir.adprof("query").exits(2).stdout, "");
}

#[test]
fn who_asks_slowly_is_answered_at_once() {
    let dir = three();
    let mut child = Command::new(adprof_path())
        .args(["query", "-"])
        .current_dir(dir.path())
        .env_clear()
        .envs(clean_environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut ids = child.stdin.take().expect("piped");
    let mut answers = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..3 {
        // The pipe stays open: an answer that waited for more would never come.
        writeln!(ids, "u-001").expect("asked");
        assert_eq!(answers.next().expect("an answer").expect("UTF-8"), U1);
    }
    drop(ids);
    assert!(answers.next().is_none());
    assert!(child.wait().expect("ended").success());
}

#[test]
fn many_ids_on_standard_input_come_back_in_order() {
    let dir = crate::store::many(3000);
    let ids: String = (0..5000).rev().map(|i| format!("u-{i:07}\r\n")).collect();
    let out = dir.adprof("query --tags age -").stdin(ids).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 5000);
    assert!(lines[0].contains("u-0004999") && lines[0].ends_with("\"tags\":{}}"));
    assert_eq!(lines[4998], r#"{"userId":"u-0000001","asOf":1731296325000,"tags":{"age":1}}"#);
}

#[test]
fn an_instant_before_what_is_known_is_refused_with_the_way_to_it() {
    let dir = three();
    let out = dir.adprof("query --as-of 2024-11-11 u-001").exits(2);
    assert!(
        out.stderr.contains("hint: the log can tell: adprof batch --tags all --as-of 1731283200000"),
        "{}",
        out.stderr
    );
    assert_eq!(dir.adprof("query --as-of 1731296325000 u-001").ok(), format!("{U1}\n"));
    assert!(dir.adprof("query --as-of someday u-001").exits(2).stderr.contains("not an instant"));
}

#[test]
fn both_stores_give_the_same_answers() {
    let dir = three();
    let Some(url) = three_in_redis() else { return };
    // Redis has no as-of: only the tags can be equal.
    let tags = |out: String| -> Vec<String> {
        out.lines().map(|line| line.split_once("\"tags\"").expect("tags").1.to_string()).collect()
    };
    let embedded = tags(dir.adprof("query u-001 u-002 u-003 nobody").ok());
    let redis = tags(dir.adprof("query u-001 u-002 u-003 nobody --store").arg(&url).ok());
    assert_eq!(embedded, redis);
    let out = dir.adprof("query u-001 --as-of 2h --store").arg(&url).exits(2);
    assert!(out.stderr.contains("holds the newest values only"), "{}", out.stderr);
}

#[test]
fn a_store_that_is_not_there_is_no_input() {
    let dir = three();
    assert_eq!(dir.adprof("query --store ./nowhere u-001").exits(66).stdout, "");
    assert_eq!(dir.adprof("query --store redis://127.0.0.1:1 u-001").exits(69).stdout, "");
}
