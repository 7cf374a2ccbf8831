//! Segments of a definition file, through the program: listed, checked, counted, and behaviour in their rules.

use crate::store::three;
use crate::support::{Dir, redis};

/// The number of the Redis database that the tests here use.
const DATABASE: u32 = 13;

const SEGMENTS: &str = r#"
[[segment]]
code = "adults"
name = "Adults"
owner = "crm"
rule = "age >= 18"
[[segment]]
code = "others"
status = "draft"
schedule = "daily"
rule = '{"logic":"NOT","conditions":[{"segment":"adults"}]}'
"#;

fn with_segments() -> Dir {
    let dir = three();
    dir.write("adprof.toml", format!("{}{SEGMENTS}", crate::store::DEFINITIONS));
    dir
}

#[test]
fn segments_are_listed_with_their_versions_and_counted_by_their_codes() {
    let dir = with_segments();
    let list = dir.adprof("segment list").ok();
    let lines: Vec<serde_json::Value> = list.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["segment"], &lines[0]["name"], &lines[0]["owner"]),
        (&"adults".into(), &"Adults".into(), &"crm".into())
    );
    assert_eq!((&lines[1]["status"], &lines[1]["schedule"]), (&"draft".into(), &"daily".into()));
    assert_eq!(lines[1]["rule"], "NOT in_segment('adults')");
    let json = dir.adprof("segment list --status active --form json").ok();
    let json: serde_json::Value = serde_json::from_str(&json).expect("one line");
    assert_eq!(json["rule"], serde_json::json!({"tag_code": "age", "op": ">=", "value": 18}));
    let table = dir.adprof("segment list --format table").ok();
    assert!(table.starts_with("segment  version       status  schedule  name    rule\nadults   "), "{table}");

    assert_eq!(dir.adprof("segment members adults").ok(), "u-001\n");
    // Who has no age is not in, so she is in the NOT of it.
    assert_eq!(dir.adprof("segment members others").ok(), "u-002\nu-003\n");
    assert_eq!(dir.adprof_args(["segment", "size", "--where", "NOT age >= 18"]).ok(), "1\n");
    let size = dir.adprof("segment size others --format ndjson --as-of 1731296326000").ok();
    let version = lines[1]["version"].as_str().expect("a version");
    assert_eq!(
        size,
        format!("{{\"segment\":\"others\",\"version\":\"{version}\",\"asOf\":1731296326000,\"size\":2,\"of\":3}}\n")
    );
    let words = dir.adprof("segment size others --as-of 1731296326000").output();
    assert_eq!(words.stdout, "2\n");
    assert_eq!(words.stderr, format!("others, version {version}, as of 2024-11-11T03:38:46.000Z: 2 of 3\n"));
    assert_eq!(dir.adprof_args(["segment", "size", "--where", "in_segment('others') AND vip = false"]).ok(), "1\n");
    let export = dir.adprof("export --segment adults --tags age").ok();
    assert_eq!(export, "userId,age\nu-001,31\n");
    dir.adprof("check").ok();
    assert!(dir.adprof("check").output().stderr.contains("6 tags and 2 segments, no problems"));
}

#[test]
fn a_segment_that_is_not_there_is_told_with_the_nearest() {
    let dir = with_segments();
    for (args, stderr) in [
        (vec!["segment", "size", "adult"], "adprof segment: unknown segment: adult\nhint: did you mean adults?\n"),
        (vec!["export", "--segment", "zzz"], "adprof export: unknown segment: zzz\nhint: there are adults, others\n"),
    ] {
        let out = dir.adprof_args(args).exits(2);
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", stderr));
    }
    dir.adprof_args(["segment", "size", "adults", "--where", "vip"]).exits(2);
    let out = dir.adprof("segment list -d none.toml").exits(66);
    assert!(out.stderr.contains("none.toml"), "{}", out.stderr);
    dir.write("adprof.toml", format!("{}{}", crate::store::DEFINITIONS, SEGMENTS.replace("adults\"}", "x\"}")));
    let out = dir.adprof("segment list").exits(78);
    assert!(
        out.stderr.starts_with("adprof segment: adprof.toml:36:49: conditions[0].segment: unknown segment: x"),
        "{}",
        out.stderr
    );
}

#[test]
fn rules_convert_into_the_other_form_and_back() {
    let dir = with_segments();
    let sql = "age >= 18 AND seen > ago('7d') AND NOT in_segment('others')";
    let json = dir.adprof_args(["segment", "convert", "--where", sql]).ok();
    let want = r#"{"logic":"AND","conditions":[{"tag_code":"age","op":">=","value":18},{"tag_code":"seen","op":">","value":{"ago":"7d"}},{"logic":"NOT","conditions":[{"segment":"others"}]}]}"#;
    assert_eq!(json.trim_end(), want);
    let back = dir.adprof("segment convert --rule -").stdin(json).ok();
    assert_eq!(back.trim_end(), "(age >= 18) AND (seen > ago('7d')) AND (NOT in_segment('others'))");
    assert_eq!(dir.adprof("segment convert adults").ok(), "{\"tag_code\":\"age\",\"op\":\">=\",\"value\":18}\n");
    assert_eq!(dir.adprof("segment convert adults --to sql").ok(), "age >= 18\n");
}

#[test]
fn what_is_strange_is_found_and_exits_with_1() {
    let dir = with_segments();
    assert_eq!(dir.adprof("segment check").ok(), "");
    dir.write(
        "odd.toml",
        format!("{}[[segment]]\ncode = \"none\"\nrule = \"age > 5 AND age < 3\"\n", crate::store::DEFINITIONS),
    );
    let out = dir.adprof("segment check odd.toml").exits(1);
    let line: serde_json::Value = serde_json::from_str(&out.stdout).expect("one line");
    assert_eq!((&line["segment"], &line["finding"]), (&"none".into(), &"never-true".into()));
    assert!(out.stderr.contains("odd.toml: 1 segment, 1 findings"), "{}", out.stderr);
    let out = dir.adprof("check odd.toml").exits(0);
    assert!(out.stderr.contains("odd.toml:26: segment `none`: the rule is true of no user"), "{}", out.stderr);
}

const BEHAVIOUR: &str = r#"
[[tag]]
code = "clicks"
value = "count(*)"
where = "eventType = 'click'"
[[segment]]
code = "fans"
rule = "count(*) FILTER (WHERE eventType = 'click' AND category = 'sports') OVER (RANGE '7d' PRECEDING) >= 2"
[[segment]]
code = "idle_fans"
rule = '''{"logic":"AND","conditions":[{"segment":"fans"},
  {"aggregate":"count(*)","where":"eventType = 'purchase'","window":"30d","op":"=","value":0}]}'''
[[segment]]
code = "clickers"
rule = "count(*) FILTER (WHERE eventType = 'click') >= 3"
"#;

/// Day 0 is 2024-11-11.
fn event(id: usize, user: &str, day: i64, kind: &str, category: &str) -> String {
    let at = 1_731_283_200_000 + day * 86_400_000 + id as i64;
    format!(r#"{{"eventId":"e{id}","userId":"{user}","timestamp":{at},"eventType":"{kind}","category":"{category}"}}"#)
        + "\n"
}

fn behaved() -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", BEHAVIOUR);
    let events = [
        ("a", 0, "click", "sports"),
        ("a", 1, "click", "sports"),
        ("b", 0, "click", "sports"),
        ("b", 1, "click", "sports"),
        ("b", 1, "purchase", "sports"),
        ("c", 1, "click", "sports"),
        ("c", 1, "click", "news"),
        ("c", 1, "click", "news"),
        ("d", 1, "view", "news"),
    ];
    let lines: String = events
        .iter()
        .enumerate()
        .map(|(i, (user, day, kind, category))| event(i, user, *day, kind, category))
        .collect();
    dir.write("events.ndjson", lines);
    dir
}

fn run_stream(dir: &Dir, more: &[&str]) -> String {
    let args = ["stream"].into_iter().chain(more.iter().copied());
    dir.adprof_args(args).stdin(dir.read("events.ndjson")).ok()
}

/// From midnight of day 2 to that of day 32, by when all windows are empty.
const INSTANTS: [&str; 5] =
    ["2024-11-13", "2024-11-17T23:59:59.999Z", "2024-11-18T12:00:00Z", "2024-11-19T01:00:00Z", "2024-12-13"];

#[test]
fn behaviour_in_a_rule_gives_the_same_members_by_stream_and_by_batch() {
    let dir = behaved();
    run_stream(&dir, &["--store", "file:live", "--clock", "event"]);
    let mut sizes = Vec::new();
    for (i, as_of) in INSTANTS.into_iter().enumerate() {
        let patches = dir.adprof_args(["batch", "--log", "events.ndjson", "--tags", "all", "--as-of", as_of]).ok();
        let store = format!("nightly{i}");
        dir.adprof_args(["sink", "file", &store]).stdin(patches).ok();
        for segment in ["fans", "idle_fans", "clickers"] {
            let members =
                |store: &str| dir.adprof_args(["segment", "members", segment, "--as-of", as_of, "--store", store]).ok();
            let live = members("file:live");
            assert_eq!(live, members(&format!("file:{store}")), "{segment} as of {as_of}");
            sizes.push(live.lines().count());
        }
    }
    // fans, idle_fans, clickers: the first clicks leave the window seven days later, in steps of an hour.
    assert_eq!(sizes, [2, 1, 1, 2, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]);
    let rule = "count(*) FILTER (WHERE category = 'sports' AND eventType = 'click') > 0";
    let out = dir.adprof_args(["segment", "size", "--store", "file:live", "--where", rule]).exits(2);
    assert!(out.stderr.contains("nothing counts this: count(*) where"), "{}", out.stderr);
    let known = "count(*) FILTER (WHERE eventType = 'click') OVER (RANGE '90d' PRECEDING) > 0";
    dir.adprof_args(["segment", "size", "--store", "file:live", "--where", known]).exits(2);
    // The rule of `clickers` is a tag of the file already, and so is what a typed rule says.
    let known = "count(*) FILTER (WHERE eventType = 'click') > 0";
    assert_eq!(dir.adprof_args(["segment", "size", "--store", "file:live", "--where", known]).ok(), "3\n");
}

#[test]
fn hidden_tags_are_shown_to_nobody_who_does_not_ask() {
    let dir = behaved();
    run_stream(&dir, &["--store", "file:live", "--clock", "event"]);
    let as_of = ["--as-of", "2024-11-13", "--store", "file:live"];
    let shown = |args: &[&str]| dir.adprof_args(args.iter().copied().chain(as_of)).ok();
    assert_eq!(shown(&["query", "a"]), "{\"userId\":\"a\",\"asOf\":1731456000000,\"tags\":{\"clicks\":2}}\n");
    assert_eq!(shown(&["export"]).lines().next(), Some("userId,clicks"));
    let hidden = shown(&["query", "a", "--hidden"]);
    assert!(hidden.contains("\"clicks\":2,\"_"), "{hidden}");
    let code = hidden.split('"').find(|part| part.starts_with('_')).expect("a hidden tag").to_string();
    assert_eq!(code.len(), 13);
    assert_eq!(
        shown(&["query", "a", "--tags", &code]),
        format!("{{\"userId\":\"a\",\"asOf\":1731456000000,\"tags\":{{\"{code}\":2}}}}\n")
    );
    assert_eq!(shown(&["export", "--hidden"]).lines().next().map(|head| head.split(',').count()), Some(4));

    // As a filter the stream prints them when all tags are asked for, as batch does.
    assert!(!run_stream(&dir, &["--emit", "final"]).contains("\"_"));
    assert!(run_stream(&dir, &["--emit", "final", "--tags", "all"]).contains("\"_"));
    let all = dir.adprof("batch --log events.ndjson --tags all").ok();
    assert!(all.contains("\"_"));
    let sample = dir.adprof("check --sample events.ndjson").output();
    assert!(!sample.stdout.contains("\"_") && !sample.stderr.contains(" _"), "{}{}", sample.stdout, sample.stderr);
    dir.write("typo.toml", BEHAVIOUR.replace("'purchase'", "'purchas'"));
    let typo = dir.adprof("check typo.toml --sample events.ndjson").output();
    let doubt = "in a rule `count(*) where eventType = 'purchas' in 30d`: event type 'purchas' does not occur";
    assert!(typo.stderr.contains(doubt) && typo.stderr.contains("did you mean 'purchase'?"), "{}", typo.stderr);
    assert!(!dir.adprof("compile --to duckdb --tags all --log events.ndjson").ok().contains("\"_"));

    let Some(url) = redis() else { return };
    let url = format!("{url}/{DATABASE}");
    // What the stream below said of audiences, on a server that was here before.
    let mut client = ::redis::Client::open(&*url).and_then(|client| client.get_connection()).expect("a connection");
    ::redis::cmd("DEL").arg("adprof:segments").exec(&mut client).expect("answered");
    for user in ["a", "b", "c", "d"] {
        dir.adprof_args(["sink", "redis", &url])
            .stdin(format!("{{\"userId\":\"{user}\",\"asOf\":1,\"tags\":{{\"clicks\":null}}}}\n"))
            .ok();
    }
    let in_redis = |user: &str| dir.adprof_args(["query", "--hidden", "--store", &url, user]).ok();
    dir.adprof_args(["sink", "redis", &url]).stdin(all).ok();
    // What Redis does not have it does not answer as if it had.
    let fans = dir.adprof_args(["segment", "size", "fans", "--store", &url]).exits(2);
    assert!(fans.stderr.contains("Redis does not hold what the rule counts: count(*) where"), "{}", fans.stderr);
    dir.adprof_args(["segment", "match", "a", "--store", &url]).exits(2);
    let tags = |line: String| line.split_once("\"tags\":").expect("tags").1.to_string();
    assert_eq!(tags(in_redis("a")), "{\"clicks\":2}}\n");
    run_stream(&dir, &["--store", &url, "--state", "state", "--clock", "event"]);
    assert_eq!((tags(in_redis("a")), tags(in_redis("d"))), ("{\"clicks\":2}}\n".into(), "{\"clicks\":0}}\n".into()));
    // It does not hold windows either, and so does not say that nothing will change.
    let explain = ["segment", "explain", "a", "--store", &url, "--where", "clicks > 1"];
    assert_eq!(json(&dir.adprof_args(explain).ok())["byTime"], serde_json::Value::Null);
    dir.write("window.toml", BEHAVIOUR.replacen("where = ", "window = \"1h\"\nwhere = ", 1));
    let explain = dir.adprof_args(explain).arg("-d").arg("window.toml").ok();
    assert_eq!(json(&explain)["byTime"], serde_json::json!({"solved": false}));
    // What Redis lacks the state behind it has, and nobody finds a difference in that.
    let fans = ["segment", "members", "fans", "--store", "file:state", "--as-of", "2024-11-13"];
    assert_eq!(dir.adprof_args(fans).ok(), "a\nb\n");
    for store in [&["--store", "file:state"][..], &["--store", &url, "--state", "state"], &["--store", &url]] {
        let args = ["verify", "--log", "events.ndjson", "--as-of", "2024-11-13"];
        let verified = dir.adprof_args(args.into_iter().chain(store.iter().copied())).output();
        assert_eq!(verified.code, 0, "{store:?} {}{}", verified.stdout, verified.stderr);
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text.trim_end()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn match_names_the_active_segments_of_each_user() {
    let dir = with_segments();
    let text = dir.adprof("segment match u-001 u-002 nobody --as-of 1731296326000").ok();
    let lines: Vec<serde_json::Value> = text.lines().map(json).collect();
    let version = json(dir.adprof("segment list --status active").ok().as_str())["version"].clone();
    assert_eq!(
        lines[0],
        serde_json::json!({"userId": "u-001", "asOf": 1_731_296_326_000i64, "segments": [{"segment": "adults", "version": version}]})
    );
    // `others` is a draft, though u-002 is in it.
    assert_eq!((&lines[1]["userId"], &lines[1]["segments"]), (&"u-002".into(), &serde_json::json!([])));
    assert_eq!((lines.len(), &lines[2]["segments"]), (3, &serde_json::json!([])));
    let table = dir.adprof("segment match u-001 --format table").ok();
    assert_eq!(table, "u-001  adults\n");
}

#[test]
fn explain_tells_the_truth_of_each_part_and_what_it_takes() {
    let dir = with_segments();
    let rule = "age >= 18 AND (city = 'Oslo' OR vip IS NULL)";
    let told =
        json(&dir.adprof_args(["segment", "explain", "u-001", "--as-of", "1731296326000", "--where", rule]).ok());
    assert_eq!(
        (&told["member"], &told["asOf"], &told["byTime"]),
        (&false.into(), &1_731_296_326_000i64.into(), &serde_json::Value::Null)
    );
    assert_eq!(
        told["rule"],
        serde_json::json!({"logic": "AND", "truth": false, "conditions": [
            {"condition": "age >= 18", "truth": true, "values": {"age": 31}},
            {"logic": "OR", "truth": false, "conditions": [
                {"condition": "city = 'Oslo'", "truth": false, "values": {"city": "Malmö"}},
                {"condition": "vip IS NULL", "truth": false, "values": {"vip": true}}]}]})
    );
    assert_eq!(
        told["takes"],
        serde_json::json!([{"condition": "city = 'Oslo'", "to": "true", "values": {"city": "Malmö"}}])
    );
    let text = dir.adprof("segment explain u-003 others --format table").ok();
    assert!(
        text.contains("true   NOT\n    false  segment adults\n      null   age >= 18   (age is missing)\nto leave it takes\n  age >= 18 to be true"),
        "{text}"
    );
}

#[test]
fn explain_names_the_instant_at_which_time_alone_changes_it() {
    let dir = behaved();
    run_stream(&dir, &["--store", "file:live", "--clock", "event"]);
    let told = |user: &str, code: &str, as_of: &str| {
        json(&dir.adprof_args(["segment", "explain", user, code, "--store", "file:live", "--as-of", as_of]).ok())
    };
    let members =
        |as_of: String| dir.adprof_args(["segment", "members", "fans", "--store", "file:live", "--as-of", &as_of]).ok();
    let fan = told("a", "fans", "2024-11-13");
    let at = fan["byTime"]["at"].as_i64().expect("an instant");
    assert_eq!((at, &fan["byTime"]["member"], &fan["member"]), (1_731_888_000_000, &false.into(), &true.into()));
    assert!(members((at - 1).to_string()).starts_with("a\n") && !members(at.to_string()).contains('a'));
    // b is kept out by a purchase until it is 30 days old, but by then the clicks are too.
    assert_eq!(told("b", "idle_fans", "2024-11-13")["byTime"], serde_json::Value::Null);
    // A lifetime count falls never.
    assert_eq!(told("c", "clickers", "2024-11-13")["byTime"], serde_json::Value::Null);
    let of_clock = ["segment", "explain", "a", "--store", "file:live", "--as-of", "2024-11-13", "--where"];
    let clock = |rule: &str| json(&dir.adprof_args(of_clock.into_iter().chain([rule])).ok())["byTime"].clone();
    assert_eq!(
        clock("as_of() > TIMESTAMP '2024-12-01'"),
        serde_json::json!({"at": 1_733_011_200_001i64, "member": true})
    );
    assert_eq!(clock("CAST(as_of() AS VARCHAR) > '3'"), serde_json::json!({"solved": false}));
}

#[test]
fn diff_tells_who_enters_and_who_leaves() {
    let dir = with_segments();
    let told = json(&dir.adprof("segment diff adults others --as-of 1731296326000").ok());
    assert_eq!((&told["before"]["size"], &told["after"]["size"]), (&1.into(), &2.into()));
    assert_eq!((&told["entered"], &told["left"]), (&2.into(), &1.into()));
    assert_eq!((&told["before"]["segment"], &told["after"]["segment"]), (&"adults".into(), &"others".into()));
    assert!(told["before"]["version"] != told["after"]["version"] && told["after"]["asOf"] == 1_731_296_326_000i64);
    let text = dir.adprof("segment diff adults others --members").ok();
    let lines: Vec<serde_json::Value> = text.lines().map(json).collect();
    let changes: Vec<(&str, &str)> =
        lines.iter().map(|l| (l["userId"].as_str().expect("an id"), l["change"].as_str().expect("a word"))).collect();
    assert_eq!(changes, [("u-002", "enter"), ("u-003", "enter"), ("u-001", "leave")]);
    let rule = json(&dir.adprof_args(["segment", "diff", "adults", "--where", "age >= 17"]).ok());
    assert_eq!((&rule["entered"], &rule["left"]), (&1.into(), &0.into()));
    dir.write("old.toml", dir.read("adprof.toml").replace("age >= 18", "age < 18"));
    let files = json(&dir.adprof("segment diff adults --against old.toml").ok());
    assert_eq!((&files["entered"], &files["left"]), (&1.into(), &1.into()));
    let rules = ["segment", "diff", "--before", "age >= 17", "--where", "age >= 18"];
    let rules = json(&dir.adprof_args(rules).ok());
    assert_eq!((&rules["entered"], &rules["left"], &rules["before"]["size"]), (&0.into(), &1.into(), &2.into()));
    let out = dir.adprof_args(["segment", "diff", "--before", "aeg > 1", "--where", "vip"]).exits(2);
    assert!(out.stderr.starts_with("adprof segment: --before:1:1: unknown tag: aeg"), "{}", out.stderr);
    dir.adprof("segment diff adults --before vip --where vip").exits(2);
    let out = dir.adprof("segment diff adults").exits(2);
    assert!(out.stderr.contains("there is nothing to compare it with"), "{}", out.stderr);
    let table = dir.adprof("segment diff adults others --format table").ok();
    assert!(table.ends_with("entered 2, left 1\n"), "{table}");

    let dir = behaved();
    run_stream(&dir, &["--store", "file:live", "--clock", "event"]);
    let then = dir.adprof("segment diff fans --store file:live --as-of 2024-11-13 --then 2024-11-19").ok();
    let then = json(&then);
    assert_eq!((&then["before"]["size"], &then["after"]["size"], &then["left"]), (&2.into(), &0.into(), &2.into()));
}

#[test]
fn plan_tells_what_activating_would_do() {
    let dir = with_segments();
    let fresh = json(&dir.adprof("segment plan others --as-of 1731296326000").ok());
    // No stream runs here: nothing is live.
    assert_eq!((&fresh["size"], &fresh["of"], &fresh["against"]), (&2.into(), &3.into(), &serde_json::Value::Null));
    assert_eq!((&fresh["joins"], &fresh["leaves"]), (&2.into(), &0.into()));
    let overlap = &fresh["overlap"][0];
    assert_eq!((&overlap["segment"], &overlap["size"], &overlap["both"]), (&"adults".into(), &1.into(), &0.into()));
    dir.write("old.toml", dir.read("adprof.toml").replace("age >= 18", "age < 18"));
    let against = json(&dir.adprof("segment plan adults --against old.toml").ok());
    assert_eq!((&against["size"], &against["joins"], &against["leaves"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(against["against"]["size"], 1);

    // With a stream its definitions are what is live; a tag that it does not count yet is named.
    let dir = behaved();
    run_stream(&dir, &["--store", "file:live", "--clock", "event"]);
    dir.write(
        "adprof.toml",
        BEHAVIOUR.replace("'sports') OVER (RANGE '7d' PRECEDING) >= 2", "'sports') OVER (RANGE '7d' PRECEDING) >= 1"),
    );
    let planned = json(&dir.adprof("segment plan fans --store file:live --as-of 2024-11-13").ok());
    let new = dir.adprof_args(["segment", "size", "fans", "--store", "file:live", "-d", "new.toml"]);
    dir.write("new.toml", BEHAVIOUR.replace("'7d'", "'8d'"));
    let new = new.output();
    assert_eq!((new.code, &*new.stdout), (0, "0\n"), "{}", new.stderr);
    assert!(
        new.stderr.contains("warning: the stream of this store does not count it yet: count(*) where"),
        "{}",
        new.stderr
    );
    assert_eq!(
        (&planned["against"]["size"], &planned["size"], &planned["joins"], &planned["leaves"]),
        (&2.into(), &3.into(), &1.into(), &0.into())
    );
    let both = |i: usize| (planned["overlap"][i]["segment"].clone(), planned["overlap"][i]["both"].clone());
    assert_eq!([both(0), both(1)], [("idle_fans".into(), 2.into()), ("clickers".into(), 1.into())]);
    let table = dir.adprof("segment plan fans --store file:live --as-of 2024-11-13 --format table").ok();
    assert!(table.contains("of 4; 1 join, 0 leave"), "{table}");
}
