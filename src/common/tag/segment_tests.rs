//! Segments of a definition file: what is read, what is refused and where, and what the versions say.

use super::*;

const TAGS: &str = r#"
[[tag]]
code = "ltv"
value = "sum(amount)"
update = "daily"
[[tag]]
code = "clicks_1h"
value = "count(*)"
where = "eventType = 'click'"
window = "1h"
[[entity]]
name = "item"
key = "itemId"
[[tag]]
code = "views"
entity = "item"
value = "count(*)"
"#;

fn parse(segments: &str) -> Definitions {
    Definitions::parse(&format!("{TAGS}{segments}"), "t").unwrap_or_else(|problems| panic!("{segments}\n{problems:?}"))
}

/// `[[segment]]` for each rule: a, b, c, …
fn file(rules: &[&str]) -> String {
    let segment = |(i, rule): (usize, &&str)| {
        format!("[[segment]]\ncode = \"{}\"\nrule = '''{rule}'''\n", char::from(b'a' + i as u8))
    };
    rules.iter().enumerate().map(segment).collect()
}

#[test]
fn a_segment_is_read_with_all_it_says() {
    let definitions = parse(
        r#"
[[segment]]
code = "big"
name = "Big spenders"
description = "d"
owner = "o"
status = "draft"
schedule = "daily"
rule = "ltv >= 100"
[[segment]]
code = "json"
rule = '{"logic":"NOT","conditions":[{"segment":"big"}]}'
"#,
    );
    let [big, json] = &definitions.segments[..] else { panic!("two segments") };
    assert_eq!((&*big.code, &*big.name, big.line), ("big", "Big spenders", 19));
    assert_eq!((big.description.as_deref(), big.owner.as_deref()), (Some("d"), Some("o")));
    assert_eq!((big.status, big.schedule), (Status::Draft, Schedule::Daily));
    assert_eq!((&*json.name, json.status, json.schedule), ("json", Status::Active, Schedule::Live));
    assert_eq!(json.rule.canonical(), "NOT in_segment('big')");
    assert_eq!(definitions.tags.len(), 3);
}

#[test]
fn segments_name_each_other_however_they_stand_in_the_file() {
    let definitions = parse(&file(&["in_segment('b') AND ltv > 1", "NOT in_segment('c')", "ltv IS NULL"]));
    let slots = |place: usize| {
        let mut slots = Vec::new();
        definitions.segments[place].rule.slots(&mut slots);
        slots
    };
    assert_eq!((slots(0), slots(1)), (vec![0], vec![0]));
}

#[test]
fn what_is_wrong_with_a_segment_is_told_with_its_place() {
    let head = TAGS.lines().count();
    for (text, line, message, hint) in [
        ("[[segment]]\nrule = 'ltv > 1'", 2, "a segment needs `code`", ""),
        ("[[segment]]\ncode = 'a'", 2, "a segment needs `rule`", ""),
        ("[[segment]]\ncode = 'a'\nrule = 'lvt > 1'", 3, "unknown tag: lvt", "did you mean ltv?"),
        ("[[segment]]\ncode = 'a'\nrule = 'views > 1'", 3, "unknown tag: views", "another entity"),
        ("[[segment]]\ncode = 'a'\nrule = '''category = 'x' '''", 3, "unknown tag: category", "aggregate it"),
        ("[[segment]]\ncode = 'a'\nrule = 'ltv'", 3, "a rule is a condition, not decimal", "compare"),
        ("[[segment]]\ncode = 'a'\nstatus = 'live'\nrule = 'ltv > 1'", 3, "unknown status: live", ""),
        ("[[segment]]\ncode = '1a'\nrule = 'ltv > 1'", 2, "a code begins with a letter", ""),
        ("[[segment]]\ncode = 'a'\nrul = 'ltv > 1'\nrule = 'ltv > 1'", 3, "unknown key in a segment: rul", "rule"),
        (
            "[[segment]]\ncode = 'a'\nrule = 'ltv > 1'\n[[segment]]\ncode = 'a'\nrule = 'ltv > 2'",
            5,
            "duplicate code: a",
            "it stands in line",
        ),
        (
            "[[segment]]\ncode = 'fans'\nrule = 'ltv > 1'\n[[segment]]\ncode = 'b'\nrule = \"in_segment('fan')\"",
            6,
            "unknown segment: fan",
            "did you mean fans?",
        ),
        (
            "[[segment]]\ncode = 'a'\nrule = '''{\"logic\":\"AND\",\n\"conditions\":[{\"tag_code\":\"ltv\",\"op\":\">\",\"value\":\"x\"}]}'''",
            4,
            "conditions[0].value: `ltv` is a decimal and takes a number, not a string",
            "",
        ),
        ("[[segment]]\ncode = 'a'\nrule = 'count(*) OVER (RANGE ''x'' PRECEDING) > 1'", 3, "not TOML", ""),
    ] {
        let problems = Definitions::parse(&format!("{TAGS}{text}"), "t").expect_err(text);
        let problem = &problems[0];
        assert_eq!(problems.len(), 1, "{text}\n{problems:?}");
        assert!(problem.message.starts_with(message), "{text}\n{problem}");
        assert_eq!(problem.line, head + line, "{text}\n{problem}");
        assert!(problem.hint.as_deref().unwrap_or("").contains(hint), "{text}\n{problem}");
    }
}

#[test]
fn a_cycle_is_refused_with_its_path_and_once() {
    for (rules, path) in [
        (&["in_segment('a')"][..], "a -> a"),
        (&["in_segment('b')", "ltv > 1 OR in_segment('c')", "NOT in_segment('a')"], "a -> b -> c -> a"),
        (&["in_segment('b')", "in_segment('c')", "in_segment('b')"], "b -> c -> b"),
    ] {
        let problems = Definitions::parse(&format!("{TAGS}{}", file(rules)), "t").expect_err(path);
        let messages: Vec<&str> = problems.iter().map(|problem| &*problem.message).collect();
        assert_eq!(messages, [format!("a segment is made of itself: {path}")]);
    }
}

#[test]
fn a_mistake_in_a_tag_or_a_segment_is_not_told_again_where_it_is_named() {
    let text = "[[tag]]\ncode = 'broken'\nvalue = 'sum(nothing)'\n".to_string()
        + &file(&["broken > 1", "in_segment('c')", "nonsense"]);
    let problems = Definitions::parse(&text, "t").expect_err("broken");
    let messages: Vec<&str> = problems.iter().map(|problem| &*problem.message).collect();
    assert_eq!(messages, ["unknown field: nothing", "unknown tag: nonsense"]);
}

#[test]
fn segments_of_segments_are_bounded_as_a_whole() {
    let twice = |n: usize| {
        let rule = |i: usize| match i {
            0 => "ltv > 1 OR ltv < 0".to_string(),
            _ => format!("in_segment('s{0}') OR NOT in_segment('s{0}')", i - 1),
        };
        let all = (0..n).map(|i| format!("[[segment]]\ncode = 's{i}'\nrule = \"{}\"\n", rule(i)));
        format!("{TAGS}{}", all.collect::<String>())
    };
    assert!(Definitions::parse(&twice(10), "t").is_ok());
    let problems = Definitions::parse(&twice(60), "t").expect_err("too many");
    assert!(problems[0].message.starts_with("with all segments it names the rule has"), "{}", problems[0]);
}

#[test]
fn a_version_changes_with_who_may_be_meant_and_with_nothing_else() {
    let version = |text: &str| parse(text).segments[0].version.clone();
    let plain = version("[[segment]]\ncode = 'a'\nrule = 'ltv >= 100 AND clicks_1h > 2'");
    assert!(plain.len() == 12 && plain.bytes().all(|b| b.is_ascii_hexdigit()));
    for same in [
        "[[segment]]\ncode = 'other'\nname = 'n'\nstatus = 'draft'\nrule = '(ltv>=100) and clicks_1h  > 2'",
        "[[segment]]\ncode = 'a'\nrule = '''{\"logic\":\"AND\",\"conditions\":[{\"tag_code\":\"ltv\",\"op\":\">=\",\"value\":100},{\"tag_code\":\"clicks_1h\",\"op\":\">\",\"value\":2}]}'''",
    ] {
        assert_eq!(version(same), plain, "{same}");
    }
    assert_ne!(version("[[segment]]\ncode = 'a'\nrule = 'ltv >= 100 AND clicks_1h > 3'"), plain);
    let of_tag = |text: &str| {
        let tags = TAGS.replace("window = \"1h\"", text);
        let segment = "[[segment]]\ncode = 'a'\nrule = 'ltv >= 100 AND clicks_1h > 2'";
        Definitions::parse(&format!("{tags}{segment}"), "t").expect("read").segments[0].version.clone()
    };
    assert_eq!(of_tag("window = \"60m\""), plain);
    assert_ne!(of_tag("window = \"2h\""), plain);
    // What a named segment is made of shows, its code too.
    let named = |rule: &str| version(&file(&["in_segment('b')", rule]));
    assert_ne!(named("ltv > 1"), named("ltv > 2"));
    assert_eq!(named("ltv > 1"), named("(ltv > 1)"));
}

#[test]
fn behaviour_in_a_rule_is_kept_by_a_hidden_tag_that_rules_share() {
    let week = "count(*) FILTER (WHERE category = 'sports') OVER (RANGE '7d' PRECEDING) >= 3";
    let definitions = parse(&file(&[
        week,
        "NOT count(*) FILTER (WHERE (category = 'sports')) OVER (RANGE INTERVAL '7' DAY PRECEDING) > 9",
        r#"{"aggregate":"count(*)","where":"category='sports'","window":"168h","op":"<","value":1}"#,
        "count(*) FILTER (WHERE category = 'sports') OVER (RANGE BETWEEN INTERVAL '1' WEEK PRECEDING AND CURRENT ROW) = 0",
        "count(*) FILTER (WHERE category = 'sports') > 3",
        "last(category) = 'x' AND sum(amount) OVER (RANGE 'day' PRECEDING) > 1.5",
    ]));
    let hidden: Vec<&Tag> = definitions.tags.iter().filter(|tag| tag.is_hidden()).collect();
    assert_eq!(hidden.len(), 4, "{hidden:?}");
    assert_eq!(hidden[0].name, "count(*) where category = 'sports' in 7d");
    assert_eq!((hidden[0].code.len(), hidden[0].update, hidden[0].entity), (13, Update::Realtime, 0));
    assert_eq!(definitions.segments[0].rule.canonical(), week);
    assert_eq!(definitions.segments[2].rule.canonical(), week.replace(">= 3", "< 1"));
    let listed = parse(&file(&[
        r#"{"aggregate":"last_k(category, 3)","op":"CONTAINS","value":"sports"}"#,
        r#"{"aggregate":"approx_percentile(amount, 0.9)","where":"eventType = 'purchase'","op":">","value":5}"#,
    ]));
    let canonical = |place: usize| listed.segments[place].rule.canonical();
    assert_eq!(canonical(0), "CONTAINS(last_k(category, 3), 'sports')");
    assert_eq!(canonical(1), "approx_percentile(amount, 0.9) FILTER (WHERE eventType = 'purchase') > 5");
    for segment in &listed.segments {
        let rule = listed.rule(&segment.rule.json()).unwrap_or_else(|e| panic!("{}: {e}", segment.rule.json()));
        assert_eq!(listed.version(&rule), segment.version);
    }
    // The code is the meaning's: another file, other order, the same code.
    let other = parse(&file(&[
        "sum(amount) > 1",
        "count(*) FILTER (WHERE category = 'sports') OVER (RANGE '7d' PRECEDING) = 1",
    ]));
    assert!(other.index(&hidden[0].code).is_some());
    // What is there already is not made again.
    let known = parse(&file(&["count(*) FILTER (WHERE eventType = 'click') OVER (RANGE '1h' PRECEDING) > 2"]));
    assert_eq!(known.tags.len(), 3);
    let mut slots = Vec::new();
    known.segments[0].rule.slots(&mut slots);
    assert_eq!(slots, [1]);
    // The daily ltv is not kept by the stream: the same sum in a rule is.
    assert_eq!(parse(&file(&["sum(amount) > 2"])).tags.len(), 4);
}

#[test]
fn what_is_wrong_with_behaviour_is_told_where_it_stands() {
    let mut wrong = Vec::new();
    for (rule, place, message) in [
        ("count(DISTINCT) > 1", ")", "expected"),
        ("sum(*) > 1", "sum", "`sum` takes no `*`"),
        ("sum(category) > 1", "category", "`sum` takes"),
        ("count(*) FILTER (WHERE ltv > 1) > 1", "ltv", "unknown field: ltv"),
        ("count(*) FILTER (WHERE sum(amount) > 1) > 1", "sum", "an aggregation inside an expression: sum"),
        ("count(*) OVER (RANGE '5y' PRECEDING) > 1", "'5y'", "not a window: '5y'"),
        ("count(*) OVER (RANGE '7days' PRECEDING) > 1", "'7days'", "not a window: '7days'"),
        ("count(*) OVER (ROWS 3 PRECEDING) > 1", "count", "not a window of an aggregation"),
        ("count(*) OVER (PARTITION BY category) > 1", "count", "not a window of an aggregation"),
        ("decayed(1, '7d') OVER (RANGE '8d' PRECEDING) > 1", "'8d'", "`decayed` has no window"),
        ("count(*) FILTER (WHERE timestamp > as_of()) > 1", "count", "as_of() inside an aggregation"),
        ("in_segment(ltv)", "ltv", "`in_segment` takes a code"),
    ] {
        let text = format!("{TAGS}[[segment]]\ncode = 'a'\nrule = \"{rule}\"\n");
        let problem = Definitions::parse(&text, "t").expect_err(rule).remove(0);
        let column = "rule = \"".len() + rule.find(place).expect(place) + 1;
        if !problem.message.starts_with(message) || problem.column != column {
            wrong.push(format!("{rule}: column {column}, {message}\n{problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
