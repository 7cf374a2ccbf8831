//! `init`, `check` and `schema` as processes: a first definition file, what is said about a broken one, a dry run on events.

mod support;

use serde_json::Value;
use std::fmt::Write as _;
use support::{Dir, Output};

fn has(output: &Output, words: &[&str]) {
    words.iter().for_each(|w| assert!(output.stderr.contains(w), "no {w:?} in:\n{}", output.stderr));
}

#[test]
fn the_file_that_init_writes_passes_check_and_is_never_overwritten() {
    let dir = Dir::new();
    has(&dir.adprof("check").exits(66), &["adprof check: adprof.toml: no such file", "hint: `adprof init` writes one"]);
    dir.adprof("init").ok();
    let output = dir.adprof("check").exits(0);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", "adprof.toml: 5 tags, no problems\n"));
    dir.write("adprof.toml", "# mine\n");
    has(&dir.adprof("init").exits(2), &["adprof.toml: is there already", "hint: "]);
    assert_eq!(dir.read("adprof.toml"), "# mine\n");
    assert_eq!(dir.adprof("init -").ok(), adprof::tag::sample());
    dir.adprof("init other.toml").ok();
    assert_eq!(dir.adprof("check other.toml").exits(0).stderr, "other.toml: 5 tags, no problems\n");
    assert_eq!(
        dir.adprof("check").env("ADPROF_DEFINITIONS", "other.toml").exits(0).stderr,
        "other.toml: 5 tags, no problems\n"
    );
    dir.adprof("init no/such/folder.toml").exits(66);
}

#[test]
fn every_mistake_is_shown_with_its_place_a_caret_and_advice() {
    let dir = Dir::new();
    for (text, words) in [
        (
            "[[tag]]\ncode = 'a'\nvalue = 'sum(amonut)'\n",
            &["bad.toml:3:14: unknown field: amonut", "^^^^^^", "hint: did you mean amount?"][..],
        ),
        ("[[tag]]\ncode = 'a'\nvalue = 'cuont(*)'\n", &["bad.toml:3:", "^", "hint: did you mean count?"]),
        (
            "[[tag]]\ncode = 'a'\nvalue = 'count(*)'\nwindwo = '1h'\n",
            &["bad.toml:4:1: ", "^", "hint: did you mean window?"],
        ),
        (
            "[[tag]]\ncode = 'a'\nvalue = 'count(*)'\nwhere = 'eventType'\n",
            &["bad.toml:4:10: `where` takes a condition", "^^^^^^^^^", "hint: "],
        ),
        ("[[tag]]\ncode = 'select'\nvalue = 'count(*)'\n", &["bad.toml:2:9: reserved word", "^", "hint: "]),
        ("[[tag]\n", &["bad.toml:1:", "^"]),
    ] {
        dir.write("bad.toml", text);
        let output = dir.adprof("check bad.toml").exits(78);
        assert!(output.stderr.starts_with("adprof check: bad.toml:"), "{}", output.stderr);
        has(&output, words);
    }
    dir.write("bad.toml", "[[tag]]\ncode = 'a'\nvalue = 'sum(x)'\n[[tag]]\ncode = 'b'\nvalue = 'sum(y)'\n");
    has(
        &dir.adprof("check bad.toml").exits(78),
        &["bad.toml:3:14: unknown field: x", "bad.toml:6:14: unknown field: y"],
    );
    dir.write("bad.toml", b"[[tag]]\ncode = 'a\xff'\n");
    has(&dir.adprof("check bad.toml").exits(78), &["bad.toml:2:10: not UTF-8", "hint: "]);
}

/// Ten users, each with an event of every kind, an hour and more apart.
fn events() -> String {
    let mut out = String::new();
    for user in 0..10 {
        for (i, kind) in ["view", "click", "purchase"].iter().enumerate() {
            let at = 1_731_290_000_000 + i * 1000 + user;
            writeln!(
                out,
                r#"{{"eventId":"{user}-{kind}","userId":"u-{user:03}","eventType":"{kind}","timestamp":{at},"category":"sports","amount":{user}.5}}"#
            )
            .expect("in memory");
        }
    }
    out
}

#[test]
fn a_sample_gives_profiles_on_stdout_and_a_table_on_stderr() {
    let dir = Dir::new();
    let output = dir.adprof("check --sample - -n 2").stdin(format!("{0}{0}junk\n", events())).exits(0);
    let want = r#"{"userId":"u-000","asOf":1731290002009,"tags":{"clicks_1h_count":1,"last_click_category":"sports","last_active_ts":1731290002000,"ltv_total":0.5,"segment_id":"buyer"}}"#;
    assert_eq!(output.stdout.lines().next(), Some(want));
    assert_eq!(output.stdout.lines().count(), 2);
    has(
        &output,
        &[
            "built-in: 5 tags, no problems",
            "stdin:61: NOT_JSON",
            "sample: 60 events, 30 duplicates, 1 line refused, 10 users, as of 2024-11-11T01:53:22.009Z",
            "clicks_1h_count      10 of 10  1\n",
            "last_click_category  10 of 10  sports (10)\n",
            "last_active_ts       10 of 10  2024-11-11T01:53:22.000Z … 2024-11-11T01:53:22.009Z\n",
            "ltv_total            10 of 10  0.5 … 9.5\n",
        ],
    );
    assert!(!output.stderr.contains("hint"), "no doubt about the built-in tags:\n{}", output.stderr);
    dir.write("events.ndjson", "junk\n");
    dir.adprof("check --sample events.ndjson").exits(65);
    dir.adprof("check --sample absent.ndjson").exits(66);
    assert_eq!(dir.adprof("check --sample -").stdin("").ok(), "");
}

#[test]
fn tags_that_cannot_be_meant_as_they_are_written_are_doubted() {
    let dir = Dir::new();
    let tag = |code: &str, rest: &str| format!("[[tag]]\ncode = '{code}'\n{rest}\n");
    let text = [
        "[[field]]\npath = 'properties.duration'\ntype = 'int'\n".to_string(),
        tag("a", "value = 'count(*)'\nwhere = \"eventType = 'clik'\""),
        tag("b", "value = 'count(*)'\nwhere = \"eventType = 'login'\""),
        tag("c", "value = 'count(*)'\nwhere = \"amount > 1000\""),
        tag("d", "value = 'sum(properties.duration)'"),
        tag("e", "value = 'last(category)'\nwhere = \"category = 'nowhere'\""),
        tag("f", "value = 'e'"),
        tag("g", "value = 'count(*)'"),
    ];
    dir.write("adprof.toml", text.concat());
    let output = dir.adprof("check --sample - -n 0").stdin(events()).exits(0);
    has(
        &output,
        &[
            "adprof.toml:4: tag `a`: event type 'clik' does not occur in the sample\nhint: did you mean 'click'?",
            "tag `b`: event type 'login' does not occur in the sample\nhint: the sample has click (10), purchase (10), view (10)",
            "tag `c`: `where` matches none of 30 events",
            "tag `d`: field `properties.duration` never holds a value of type int\nhint: ",
            "tag `e`: `where` matches none of 30 events",
            "tag `f`: NULL for every one of 10 users\nhint: ",
        ],
    );
    assert!(!output.stderr.contains("tag `g`"), "{}", output.stderr);
    assert_eq!(output.stdout, "");
}

/// Every key that stands in `file` must be a property in `schema`.
fn covered(file: &Value, schema: &Value, path: &str) {
    match file {
        Value::Object(object) => {
            for (name, inner) in object {
                let property = &schema["properties"][name];
                assert!(property.is_object(), "{path}.{name} is not in the schema");
                covered(inner, property, &format!("{path}.{name}"));
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(object.contains_key(name.as_str().expect("a name")), "{path} lacks {name}");
            }
        }
        Value::Array(items) => items.iter().for_each(|item| covered(item, &schema["items"], path)),
        _ => assert!(schema["type"] == "string", "{path} is {file}, the schema says {}", schema["type"]),
    }
}

#[test]
fn the_schema_knows_every_key_of_the_sample_file() {
    let schema: Value = serde_json::from_str(&Dir::new().adprof("schema").ok()).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let uncommented: String =
        adprof::tag::sample().replace("# [[field]]", "[[field]]").replace("# path", "path").replace("# type", "type");
    for text in [adprof::tag::sample(), &uncommented] {
        let file: Value = toml::from_str(text).expect("TOML");
        covered(&file, &schema, "file");
    }
}
