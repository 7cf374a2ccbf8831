//! Rules that are typed, in both forms, and both forms against DuckDB.

use crate::duckdb;
use crate::random::{self, Random};
use crate::store::{DEFINITIONS, filled, three, three_in_redis};
use adprof::key::Key;
use adprof::profiles::{AsOf, Profile, Profiles};
use adprof::segment::Rule;
use adprof::store::Location;
use adprof::tag::{Definitions, Problem};

#[test]
fn members_are_ids_and_size_is_a_number() {
    let dir = three();
    let where_ = ["--where", "age >= 18 OR vip = false"];
    assert_eq!(dir.adprof_args(["segment", "members"].into_iter().chain(where_)).ok(), "u-001\nu-002\n");
    assert_eq!(dir.adprof_args(["segment", "size"].into_iter().chain(where_)).ok(), "2\n");
    let rule = r#"{"tag_code":"age","op":"IS NULL"}"#;
    let ndjson = |what| ["segment", what, "--format", "ndjson", "--rule", rule];
    let members = dir.adprof_args(ndjson("members")).arg("--as-of").arg("1731296326000").ok();
    let version = Rule::from_json(rule, "", &Definitions::parse(DEFINITIONS, "").expect("read")).expect("read");
    let version = version.version();
    assert_eq!(members, format!("{{\"userId\":\"u-003\",\"version\":\"{version}\",\"asOf\":1731296326000}}\n"));
    let size = dir.adprof_args(ndjson("size")).arg("--as-of").arg("1731296326000").ok();
    assert_eq!(size, format!("{{\"version\":\"{version}\",\"asOf\":1731296326000,\"size\":1,\"of\":3}}\n"));
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
        (vec!["segment", "size"], "adprof segment: no rule given\nhint: name a segment, or write --where"),
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

#[test]
fn random_rules_find_the_users_that_duckdb_finds() {
    random_rules(300, 0x5eed_2026);
}

/// The same for many more rules: `cargo test --test answers -- --ignored --nocapture thousands`, with
/// `ADPROF_TEST_RULES` for their number and `ADPROF_TEST_SEED` for others.
#[test]
#[ignore = "a minute's work"]
fn thousands_of_random_rules_find_the_users_that_duckdb_finds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    random_rules(number("ADPROF_TEST_RULES").unwrap_or(2_000) as usize, number("ADPROF_TEST_SEED").unwrap_or(7));
}

/// Rules in both forms, each converted into the other and back, against DuckDB's own reading of the SQL over the
/// exported NDJSON. Some of them name segments, which name others.
fn random_rules(rules: usize, seed: u64) {
    const USERS: usize = 400;
    let Some(python) = crate::support::python() else { return };
    let mut random = Random::new(seed);
    let patches: Vec<String> = (0..USERS).map(|i| random::patch(&mut random, i)).collect();
    let dir = filled(&patches.iter().map(String::as_str).collect::<Vec<_>>());
    let segments = random::Segments::some(&mut random, 12);
    let text = format!("{DEFINITIONS}{}", segments.definitions());
    dir.write("adprof.toml", &text);
    let definitions =
        Definitions::parse(&text, "test").unwrap_or_else(|problems| panic!("seed {seed:x}: {problems:?}"));
    dir.adprof("export -o all.ndjson").ok();
    let rules: Vec<random::Pair> = (0..rules).map(|_| random::rule(&mut random, 0, &segments)).collect();
    let mut queries = String::new();
    for rule in &rules {
        queries.push_str(&serde_json::to_string(&rule.duckdb).expect("a string"));
        queries.push('\n');
    }
    dir.write("rules.ndjson", queries);
    let found = duckdb::members(&python, dir.path(), "all.ndjson", "rules.ndjson");
    assert_eq!(found.len(), rules.len());

    let profiles = all_profiles(&dir.file("adprof-store"));
    let (mut some, mut most, mut read, mut differ) = (0, 0, 0, Vec::new());
    for (rule, want) in rules.iter().zip(&found) {
        for (text, mut rule) in forms(rule, &definitions, seed) {
            let members: Vec<&str> =
                profiles.iter().filter(|p| rule.matches(p, crate::store::AS_OF)).map(|p| p.key.id()).collect();
            read += 1;
            if &members != want {
                differ.push(text);
            }
        }
        some += usize::from(!want.is_empty());
        most += usize::from(want.len() > profiles.len() / 2);
    }
    eprintln!(
        "{} rules read in {read} ways over {USERS} users: {} differ from DuckDB ({some} rules find somebody, {most} most)",
        rules.len(),
        differ.len()
    );
    assert!(differ.is_empty(), "seed {seed:x}: {differ:#?}");
    // Rules that find nobody, or everybody, would prove little.
    assert!(some > rules.len() / 2 && most < rules.len() * 2 / 3, "{some} {most}");
    for rule in rules.iter().take(10) {
        let as_of = crate::store::AS_OF.to_string();
        let asked = |flag, rule: &str| dir.adprof_args(["segment", "members", "--as-of", &as_of, flag, rule]).ok();
        assert_eq!(asked("--where", &rule.sql), asked("--rule", &rule.json), "seed {seed:x}: {}", rule.sql);
    }
}

/// A rule as it was written in both forms, and as either is when it has been converted into the other and back.
fn forms(rule: &random::Pair, definitions: &Definitions, seed: u64) -> Vec<(String, Rule)> {
    let told = |form: &str, e: Problem| -> Rule { panic!("seed {seed:x}: {form}\n{e}") };
    let sql = |text: &str| Rule::from_sql(text, "--where", definitions).unwrap_or_else(|e| told(text, e));
    let json = |text: &str| Rule::from_json(text, "--rule", definitions).unwrap_or_else(|e| told(text, e));
    let mut all = vec![(rule.sql.clone(), sql(&rule.sql)), (rule.json.clone(), json(&rule.json))];
    // What JSON says is said in SQL and said again in JSON without a change.
    let canonical = all[1].1.json();
    let back = sql(&all[1].1.sql());
    assert_eq!(json(&canonical).json(), canonical, "seed {seed:x}");
    assert_eq!(back.json(), canonical, "seed {seed:x}: {}", all[1].1.sql());
    assert_eq!((json(&canonical).version(), back.version()), (all[1].1.version(), all[1].1.version()), "{canonical}");
    let converted = all[0].1.json();
    all.push((converted.clone(), json(&converted)));
    assert_eq!(all[2].1.version(), all[0].1.version(), "seed {seed:x}: {}\n{converted}", rule.sql);
    all.push((back.sql(), back));
    all
}

fn all_profiles(store: &std::path::Path) -> Vec<Profile> {
    let definitions = Definitions::parse(DEFINITIONS, "test").expect("well formed");
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
