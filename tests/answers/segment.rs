//! `adprof segment`, and rules in both forms against DuckDB.

use crate::duckdb;
use crate::random::{self, Random};
use crate::store::{DEFINITIONS, filled, three, three_in_redis};
use adprof::key::Key;
use adprof::profiles::{AsOf, Profile, Profiles};
use adprof::segment::Rule;
use adprof::store::Location;

#[test]
fn members_are_ids_and_size_is_a_number() {
    let dir = three();
    let where_ = ["--where", "age >= 18 OR vip = false"];
    assert_eq!(dir.adprof_args(["segment", "members"].into_iter().chain(where_)).ok(), "u-001\nu-002\n");
    assert_eq!(dir.adprof_args(["segment", "size"].into_iter().chain(where_)).ok(), "2\n");
    let rule = r#"{"tag_code":"age","op":"IS NULL"}"#;
    let ndjson = |what| ["segment", what, "--format", "ndjson", "--rule", rule];
    assert_eq!(dir.adprof_args(ndjson("members")).ok(), "{\"userId\":\"u-003\"}\n");
    let size = dir.adprof_args(ndjson("size")).arg("--as-of").arg("1731296326000").ok();
    assert_eq!(size, "{\"size\":1,\"of\":3,\"asOf\":1731296326000}\n");
    assert_eq!(dir.adprof("segment size --rule -").stdin(rule).ok(), "1\n");
    dir.write("rule.json", rule);
    assert_eq!(dir.adprof("segment size --rule @rule.json").ok(), "1\n");
    assert_eq!(dir.adprof("segment members --where vip").ok(), "u-001\n");
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_nothing_is_printed() {
    let dir = three();
    dir.write(
        "rule.json",
        "{\"logic\":\"AND\",\"conditions\":[\n {\"tag_code\":\"age\",\"op\":\">\",\"value\":\"18\"}]}",
    );
    for (args, stderr) in [
        (
            vec!["segment", "size", "--rule", "@rule.json"],
            "adprof segment: rule.json:2:37: conditions[0].value: `age` is an int and takes a number, not a string\n",
        ),
        (
            vec!["segment", "size", "--where", "aeg > 1"],
            "adprof segment: --where:1:1: unknown tag: aeg\n  aeg > 1\n  ^^^\nhint: did you mean age?\n",
        ),
        (vec!["segment", "size"], "adprof segment: no rule given\nhint: write --where"),
        (vec!["segment", "size", "--rule", "@nowhere.json"], "adprof segment: nowhere.json: no such file"),
        (vec!["segment", "size", "--where", "age"], "adprof segment: --where:1:1: a rule is a condition, not int"),
    ] {
        let out = dir.adprof_args(args).output();
        assert!(out.stderr.starts_with(stderr) && out.stdout.is_empty(), "{}", out.stderr);
        assert!([2, 66].contains(&out.code), "{}", out.code);
    }
    assert_eq!(dir.adprof_args(["segment", "size", "--where", "vip", "--rule", "{}"]).exits(2).stdout, "");
}

#[test]
fn both_stores_have_the_same_members() {
    let dir = three();
    let Some(url) = three_in_redis() else { return };
    for rule in ["age > 18", "age IS NULL", "NOT vip", "ltv > 150.5 AND score < 1", "as_of() > seen", "city LIKE '=%'"]
    {
        let members = |store: &str| {
            let out = dir.adprof_args(["segment", "members", "--where", rule, "--store", store]).ok();
            let mut ids: Vec<String> = out.lines().map(str::to_string).collect();
            ids.sort();
            ids
        };
        assert_eq!(members("./adprof-store"), members(&url), "{rule}");
    }
}

/// Both forms of each rule, read by the library, against DuckDB's own reading of the SQL over the exported NDJSON.
#[test]
fn random_rules_find_the_users_that_duckdb_finds() {
    const RULES: usize = 300;
    const SEED: u64 = 0x5eed_2026;
    let Some(python) = crate::support::python() else { return };
    let mut random = Random::new(SEED);
    let patches: Vec<String> = (0..400).map(|i| random::patch(&mut random, i)).collect();
    let dir = filled(&patches.iter().map(String::as_str).collect::<Vec<_>>());
    dir.adprof("export -o all.ndjson").ok();
    let rules: Vec<random::Pair> = (0..RULES).map(|_| random::rule(&mut random, 0)).collect();
    let mut queries = String::new();
    for rule in &rules {
        queries.push_str(&serde_json::to_string(&rule.duckdb).expect("a string"));
        queries.push('\n');
    }
    dir.write("rules.ndjson", queries);
    let found = duckdb::members(&python, dir.path(), "all.ndjson", "rules.ndjson");
    assert_eq!(found.len(), RULES);

    let profiles = all_profiles(&dir.file("adprof-store"));
    let definitions = adprof::tag::Definitions::parse(DEFINITIONS, "test").expect("well formed");
    let (mut some, mut most) = (0, 0);
    for (rule, want) in rules.iter().zip(&found) {
        for (form, read) in [
            (&rule.sql, Rule::from_sql(&rule.sql, "--where", &definitions)),
            (&rule.json, Rule::from_json(&rule.json, "--rule", &definitions)),
        ] {
            let mut read = read.unwrap_or_else(|e| panic!("seed {SEED:x}: {form}\n{e}"));
            let members: Vec<&str> =
                profiles.iter().filter(|p| read.matches(p, crate::store::AS_OF)).map(|p| p.key.id()).collect();
            assert_eq!(&members, want, "seed {SEED:x}: {form}");
        }
        some += usize::from(!want.is_empty());
        most += usize::from(want.len() > profiles.len() / 2);
    }
    // Rules that find nobody, or everybody, would prove little.
    assert!(some > RULES / 2 && most < RULES / 2, "{some} {most}");
    for rule in rules.iter().take(10) {
        let sql = dir.adprof_args(["segment", "members", "--where", &rule.sql]).ok();
        let json = dir.adprof_args(["segment", "members", "--rule", &rule.json]).ok();
        assert_eq!(sql, json, "seed {SEED:x}: {}", rule.sql);
    }
}

fn all_profiles(store: &std::path::Path) -> Vec<Profile> {
    let definitions = adprof::tag::Definitions::parse(DEFINITIONS, "test").expect("well formed");
    let location = Location::Embedded(store.to_owned());
    let mut profiles = Profiles::open(&location, Some(definitions), AsOf::Now(crate::store::AS_OF)).expect("opened");
    let mut all = Vec::new();
    profiles
        .scan(0, |profile| {
            all.push(profile);
            Ok::<(), adprof::store::Error>(())
        })
        .expect("scanned");
    let ids: Vec<&Key> = all.iter().map(|p| &p.key).collect();
    assert!(ids.is_sorted());
    all
}
