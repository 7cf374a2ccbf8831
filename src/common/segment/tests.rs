//! Laws of rules: the truth table of missing values, one meaning for both forms, and errors that point at their cause.

use super::*;
use crate::key::Key;

const TAGS: &str = r#"
[[tag]]
code = "age"
type = "int"
update = "import"
[[tag]]
code = "city"
type = "string"
update = "import"
[[tag]]
code = "ltv"
type = "decimal"
update = "import"
[[tag]]
code = "score"
type = "double"
update = "import"
[[tag]]
code = "vip"
type = "bool"
update = "import"
[[tag]]
code = "seen-at.web"
type = "datetime"
update = "import"
[[tag]]
code = "cities"
type = "list<string>"
update = "import"
[[tag]]
code = "counts"
type = "map<int>"
update = "import"
"#;

fn definitions() -> Definitions {
    Definitions::parse(TAGS, "test").expect("well formed")
}

fn profile(tags: &[(&str, Value)]) -> Profile {
    let definitions = definitions();
    let mut values = vec![None; definitions.tags.len()];
    for (code, value) in tags {
        values[definitions.index(code).expect(code)] = Some(value.clone());
    }
    Profile { key: Key::user("", "u"), as_of: 0, values, others: Vec::new() }
}

fn sql(text: &str) -> Rule {
    Rule::from_sql(text, "--where", &definitions()).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn json(text: &str) -> Rule {
    Rule::from_json(text, "--rule", &definitions()).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

#[test]
fn the_truth_table_of_missing_values() {
    let missing = profile(&[]);
    let there = profile(&[("age", Value::Int(5)), ("city", Value::Str("x".into()))]);
    // rule, a member when the tags are missing, when age is 5 and city is 'x'
    for (rule, when_missing, when_there) in [
        ("age > 4", false, true),
        ("NOT age > 4", false, false),
        ("NOT age > 5", false, true),
        ("age = 5", false, true),
        ("age != 5", false, false),
        ("age != 6", false, true),
        ("age IN (5, 6)", false, true),
        ("age NOT IN (6)", false, true),
        ("NOT age IN (6)", false, true),
        ("age NOT IN (6, NULL)", false, false),
        ("age BETWEEN 5 AND 6", false, true),
        ("age NOT BETWEEN 6 AND 7", false, true),
        ("city LIKE 'x%'", false, true),
        ("city NOT LIKE 'y%'", false, true),
        ("age IS NULL", true, false),
        ("age IS NOT NULL", false, true),
        ("NOT age IS NULL", false, true),
        ("age = NULL", false, false),
        ("age = 5 OR age IS NULL", true, true),
        ("age > 4 AND city = 'x'", false, true),
        // true OR NULL, false AND NULL, and NOT over them
        ("age IS NULL OR city = 'y'", true, false),
        ("age IS NOT NULL AND city = 'x'", false, true),
        ("NOT (age IS NOT NULL AND city = 'x')", true, false),
        ("NOT (age IS NULL AND city = 'y')", false, true),
        ("(age > 4) IS NOT TRUE", true, false),
        ("COALESCE(age, 0) < 5", true, false),
    ] {
        let mut rule_read = sql(rule);
        assert_eq!(rule_read.matches(&missing, 0), when_missing, "{rule}, missing");
        assert_eq!(rule_read.matches(&there, 0), when_there, "{rule}, there");
    }
}

#[test]
fn to_be_in_a_segment_has_two_answers() {
    let four = "[[segment]]\ncode = 'four'\nrule = 'age > 4'\n[[segment]]\ncode = 'six'\nrule = 'age > 6'\n";
    let definitions = Definitions::parse(&format!("{TAGS}{four}"), "test").expect("well formed");
    let (missing, there) = (profile(&[]), profile(&[("age", Value::Int(5))]));
    for (rule, when_missing, when_there) in [
        ("in_segment('four')", false, true),
        ("NOT in_segment('four')", true, false),
        ("NOT age > 4", false, false),
        ("NOT in_segment('six')", true, true),
        ("in_segment('four') IS NULL", false, false),
        ("in_segment('four') = in_segment('six')", true, false),
    ] {
        let mut read = Rule::from_sql(rule, "--where", &definitions).unwrap_or_else(|e| panic!("{rule}\n{e}"));
        assert_eq!((read.matches(&missing, 0), read.matches(&there, 0)), (when_missing, when_there), "{rule}");
        let json = Rule::from_json(&read.json(), "--rule", &definitions).unwrap_or_else(|e| panic!("{rule}\n{e}"));
        assert_eq!(json.version(), read.version(), "{rule}");
    }
}

#[test]
fn rules_look_into_lists_and_maps() {
    let json = |text: &str| Value::Json(text.into());
    let user = profile(&[("cities", json(r#"["Oslo","Malmö"]"#)), ("counts", json(r#"{"a":1}"#))]);
    for (rule, member) in [
        ("contains(cities, 'Oslo')", true),
        ("contains(cities, 'Os')", false),
        ("NOT contains(cities, 'Rome')", true),
        ("len(cities) = 2 AND len(counts) < 2", true),
        ("cities IS NULL OR counts IS NULL", false),
    ] {
        assert_eq!(sql(rule).matches(&user, 0), member, "{rule}");
        assert!(!sql(rule).matches(&profile(&[]), 0) || rule.contains("IS NULL"), "{rule}, missing");
    }
    let wrong = |rule: &str| Rule::from_json(rule, "r", &definitions()).err().map(|p| p.message).unwrap_or_default();
    assert_eq!(
        wrong(r#"{"tag_code":"cities","op":"=","value":"Oslo"}"#),
        "op: = is for single values, and `cities` is a list<string>"
    );
    assert_eq!(
        wrong(r#"{"tag_code":"cities","op":"CONTAINS","value":5}"#),
        "value: an item is a string and takes a string, not a number"
    );
    assert_eq!(
        wrong(r#"{"tag_code":"counts","op":"CONTAINS","value":"a"}"#),
        "op: CONTAINS is for single values, and `counts` is a map<int>"
    );
}

#[test]
fn a_json_rule_is_the_sql_it_stands_for() {
    for (rule, same) in [
        (r#"{"tag_code":"cities","op":"CONTAINS","value":"it's"}"#, "contains(cities, 'it''s')"),
        (r#"{"tag_code":"counts","op":"IS NOT NULL"}"#, "counts IS NOT NULL"),
        (r#"{"tag_code":"cities","op":"NOT CONTAINS","value":"x"}"#, "NOT contains(cities, 'x')"),
        (r#"{"tag_code":"city","op":"NOT CONTAINS","value":"%"}"#, "city NOT LIKE '%!%%' ESCAPE '!'"),
        (r#"{"tag_code":"age","op":"NOT BETWEEN","value":[1,2]}"#, "age NOT BETWEEN 1 AND 2"),
        (r#"{"tag_code":"seen-at.web","op":">","value":{"ago":"90m"}}"#, "\"seen-at.web\" > as_of() - 5400000"),
        (r#"{"sql":"lower(city) = 'x' -- why"}"#, "lower(city) = 'x'"),
        (r#"{"tag_code":"age","op":">","value":18}"#, "age > 18"),
        (r#"{"tag_code":"age","op":"<>","value":-18}"#, "age != -18"),
        (r#"{"tag_code":"age","op":"between","value":[1,2.5]}"#, "age BETWEEN 1 AND 2.5"),
        (r#"{"tag_code":"age","op":"=","value":9007199254740993}"#, "age = 9007199254740993"),
        (r#"{"tag_code":"city","op":"IN","value":["it's","a\"b\n"]}"#, "city IN ('it''s', 'a\"b\n')"),
        (r#"{"tag_code":"city","op":"not  in","value":["a"]}"#, "city NOT IN ('a')"),
        (r#"{"tag_code":"city","op":"NOT LIKE","value":"a%_"}"#, "city NOT LIKE 'a%_'"),
        (r#"{"tag_code":"city","op":"CONTAINS","value":"5%_!'"}"#, "city LIKE '%5!%!_!!''%' ESCAPE '!'"),
        (r#"{"tag_code":"vip","op":"=","value":true}"#, "vip = true"),
        (r#"{"tag_code":"score","op":">=","value":0.12345678}"#, "score >= 0.12345678e0"),
        (r#"{"tag_code":"ltv","op":"<","value":100.25}"#, "ltv < 100.25"),
        (r#"{"tag_code":"seen-at.web","op":">","value":1731296325000}"#, "\"seen-at.web\" > 1731296325000"),
        (
            r#"{"tag_code":"seen-at.web","op":">","value":"2024-11-11T03:38:45Z"}"#,
            "\"seen-at.web\" > TIMESTAMP '2024-11-11T03:38:45Z'",
        ),
        (r#"{"tag_code":"age","op":"IS NULL"}"#, "age IS NULL"),
        (r#"{"logic":"NOT","conditions":[{"tag_code":"age","op":"IS NOT NULL"}]}"#, "NOT age IS NOT NULL"),
        (
            r#"{"logic":"AND","conditions":[{"tag_code":"age","op":">","value":18},
                {"logic":"or","conditions":[{"tag_code":"city","op":"=","value":"Oslo"},{"tag_code":"vip","op":"=","value":true}]}]}"#,
            "age > 18 AND (city = 'Oslo' OR vip = true)",
        ),
    ] {
        assert_eq!(json(rule).sql(), sql(same).sql(), "{rule}");
    }
}

#[test]
fn what_is_wrong_in_json_is_told_with_its_path_and_place() {
    let mut wrong = Vec::new();
    let deep = "{\"logic\":\"NOT\",\"conditions\":[".repeat(100) + &"]}".repeat(100);
    for (rule, place, message, hint) in [
        ("", "--rule:1:1", "not JSON: EOF", ""),
        ("[]", "--rule:1:1", "a condition is an object, not a list", ""),
        ("{\"op\":\n  \"=\",}", "--rule:2:7", "not JSON: key must be a string", ""),
        (r#"{"tag_code":"age"}"#, "--rule:1:1", "it needs `op`", ""),
        (r#"{"tag_code":"age","op":"="}"#, "--rule:1:1", "it needs `value`", ""),
        (
            r#"{"tag_code":"agee","op":"=","value":1}"#,
            "--rule:1:13",
            "tag_code: unknown tag: agee",
            "did you mean age?",
        ),
        (r#"{"tagcode":"age","op":"="}"#, "--rule:1:12", "tagcode: unknown key", "did you mean tag_code?"),
        (r#"{"op":"=","op":"="}"#, "--rule:1:16", "op: the key is there twice", ""),
        (
            r#"{"tag_code":"age","op":"NOT LIK","value":1}"#,
            "--rule:1:24",
            "op: unknown operator",
            "did you mean NOT LIKE?",
        ),
        (r#"{"tag_code":"age","op":"~","value":1}"#, "--rule:1:24", "op: unknown operator: ~", "operators are ="),
        (
            r#"{"tag_code":"age","op":"LIKE","value":"1"}"#,
            "--rule:1:24",
            "op: LIKE is for strings, and `age` is an int",
            "",
        ),
        (r#"{"tag_code":"age","op":"=","value":null}"#, "--rule:1:36", "value: null compares with nothing", "IS NULL"),
        (
            r#"{"tag_code":"age","op":"=","value":[1]}"#,
            "--rule:1:36",
            "`age` is an int and takes a number, not a list",
            "",
        ),
        (
            r#"{"tag_code":"age","op":"BETWEEN","value":[1]}"#,
            "--rule:1:42",
            "BETWEEN takes [low, high], not 1 values",
            "",
        ),
        (r#"{"tag_code":"age","op":"IN","value":1}"#, "--rule:1:37", "value: IN takes a list, not a number", ""),
        (r#"{"tag_code":"age","op":"IN","value":[]}"#, "--rule:1:37", "value: IN takes at least one value", ""),
        (r#"{"tag_code":"age","op":"IS NULL","value":1}"#, "--rule:1:42", "value: IS NULL takes no `value`", ""),
        (r#"{"tag_code":"ltv","op":"=","value":1.1234567}"#, "--rule:1:36", "value: more than 6 decimal places", "six"),
        (r#"{"tag_code":"age","op":"IN","value":[1,1e999]}"#, "--rule:1:40", "value[1]: number out of range", ""),
        (
            r#"{"tag_code":"seen-at.web","op":"=","value":"soon"}"#,
            "--rule:1:44",
            "value: not an instant: soon",
            "write 2026",
        ),
        (r#"{"tag_code":"seen-at.web","op":">","value":{"ago":"7y"}}"#, "--rule:1:51", "value.ago: not a span", ""),
        (r#"{"tag_code":"seen-at.web","op":">","value":{"in":"7d"}}"#, "--rule:1:50", "value.in: unknown key", "ago"),
        (r#"{"sql":"age > "}"#, "--rule:1:8", "sql: expected an expression", ""),
        (r#"{"sql":"age"}"#, "--rule:1:8", "sql: a condition is true or false, not int", ""),
        (r#"{"segment":"x"}"#, "--rule:1:12", "segment: unknown segment: x", ""),
        (r#"{"segment":"x","op":"="}"#, "--rule:1:21", "op: a segment takes no `op`", ""),
        (r#"{"aggregate":"age","op":">","value":1}"#, "--rule:1:14", "aggregate: expected a call", ""),
        (r#"{"aggregate":"count(*)","where":"x = ","op":">","value":1}"#, "--rule:1:33", "where: expected", ""),
        (r#"{"aggregate":"count(*)","window":"7y","op":">","value":1}"#, "--rule:1:34", "window: not a window", ""),
        (
            r#"{"aggregate":"count(*)","op":">","value":1}"#,
            "--rule:1:14",
            "aggregate: nothing counts this",
            "[[segment]]",
        ),
        (r#"{"logic":"XOR","conditions":[]}"#, "--rule:1:10", "logic: not a logic: XOR", "AND, OR or NOT"),
        (r#"{"logic":"AND","conditions":[]}"#, "--rule:1:29", "conditions: at least one condition", ""),
        (r#"{"logic":"AND","conditions":{}}"#, "--rule:1:29", "conditions: conditions are a list, not an object", ""),
        (r#"{"logic":"AND","op":"=","tag_code":"age"}"#, "--rule:1:1", "either `logic` and `conditions`", ""),
        (
            "{\"logic\":\"AND\",\"conditions\":[\n{\"tag_code\":\"age\",\"op\":\">\",\"value\":1},\n{\"tag_code\":\"vip\",\"op\":\"=\",\"value\":\"yes\"}]}",
            "--rule:3:36",
            "conditions[1].value: `vip` is a bool and takes true or false, not a string",
            "",
        ),
        (&deep, "--rule:1:", "the rule nests deeper than 64 levels", ""),
    ] {
        let problem = Rule::from_json(rule, "--rule", &definitions()).map(|r| r.sql()).expect_err(rule);
        let text = problem.to_string();
        let hinted = problem.hint.as_deref().unwrap_or("").contains(hint);
        if !text.starts_with(place) || !text.contains(message) || !hinted {
            wrong.push(format!("{rule}\nexpected {place}: {message} ({hint})\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_is_wrong_in_sql_is_told_with_its_place() {
    for (rule, message, hint) in [
        ("age > 18 AND citty = 'x'", "--where:1:14: unknown tag: citty", "did you mean city?"),
        ("age > '18'", "--where:1:7: cannot compare int with string", "CAST"),
        ("age + 1", "--where:1:1: a rule is a condition, not int", "compare"),
        ("sum(age) > 3", "--where:1:5: unknown field: age", "declare it"),
        ("count(*) > 3", "--where:1:1: nothing counts this: count(*)", "[[segment]]"),
        ("cuont(*) > 3", "--where:1:1: unknown function: cuont", "did you mean count?"),
        ("category = 'x'", "--where:1:1: unknown tag: category", "aggregate it, as in last(category)"),
        ("in_segment('vips')", "--where:1:12: unknown segment: vips", ""),
        ("", "--where:1:1: the expression is empty", ""),
        ("age >\n", "--where:1:6: expected", ""),
    ] {
        let problem = Rule::from_sql(rule, "--where", &definitions()).map(|r| r.sql()).expect_err(rule);
        assert!(problem.to_string().starts_with(message), "{rule}\n{problem}");
        assert!(problem.hint.as_deref().unwrap_or("").contains(hint), "{rule}\n{problem}");
    }
}

#[test]
fn as_of_is_the_instant_that_is_asked_about() {
    let user = profile(&[("seen-at.web", Value::Time(1_000))]);
    let mut rule = sql("as_of() - \"seen-at.web\" < 500");
    assert!(rule.matches(&user, 1_400) && !rule.matches(&user, 1_500) && !rule.matches(&profile(&[]), 1_400));
}

#[test]
fn asking_again_and_again_takes_no_more_memory() {
    let user = profile(&[("city", Value::Str("SPORTS".into()))]);
    let mut rule = sql("LOWER(city) || '!' = 'sports!'");
    assert!(rule.matches(&user, 0));
    let taken = rule.scratch.allocated_bytes();
    assert!((0..10_000).all(|_| rule.matches(&user, 0)));
    assert_eq!(rule.scratch.allocated_bytes(), taken);
}
