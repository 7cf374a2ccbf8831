//! Lint: what is told, what is not told, and that what is told is so.

use super::lint::{Strange, lint};
use super::*;
use crate::key::Key;
use proptest::prelude::*;

const TAGS: &str = r#"
[[tag]]
code = "n"
type = "int"
update = "import"
[[tag]]
code = "d"
type = "decimal"
update = "import"
[[tag]]
code = "s"
type = "string"
update = "import"
[[tag]]
code = "b"
type = "bool"
update = "import"
[[tag]]
code = "t"
type = "datetime"
update = "import"
"#;

fn definitions(rules: &[&str]) -> Definitions {
    let segment = |(i, rule): (usize, &&str)| format!("[[segment]]\ncode = \"s{i}\"\nrule = '''{rule}'''\n");
    let text = format!("{TAGS}{}", rules.iter().enumerate().map(segment).collect::<String>());
    Definitions::parse(&text, "t").unwrap_or_else(|problems| panic!("{text}\n{problems:?}"))
}

fn kinds(rule: &str) -> Vec<Strange> {
    lint(&definitions(&[rule])).into_iter().map(|finding| finding.kind).collect()
}

#[test]
fn rules_that_are_never_or_always_true_are_found() {
    for (rule, want) in [
        ("n > 5 AND n < 3", Some(Strange::NeverTrue)),
        ("n > 5 AND n < 7", None),
        ("n > 5 AND n < 6", Some(Strange::NeverTrue)),
        ("d > 5 AND d < 6", None),
        ("d > 5 AND d < 5.000001", Some(Strange::NeverTrue)),
        ("n > 5.5 AND n < 6.5", None),
        ("n = NULL", Some(Strange::NeverTrue)),
        ("n > 5 OR n <= 5", None),
        ("n > 5 OR n <= 5 OR n IS NULL", Some(Strange::AlwaysTrue)),
        ("COALESCE(n, 0) > 1 OR NOT COALESCE(n, 0) > 1", None),
        ("s = 'a' AND s IN ('b', 'c')", Some(Strange::NeverTrue)),
        ("s > 'a' AND s < 'b'", None),
        ("s < ''", Some(Strange::NeverTrue)),
        ("b AND NOT b", Some(Strange::NeverTrue)),
        ("b OR NOT b", None),
        ("(b IS TRUE) OR (b IS NOT TRUE)", Some(Strange::AlwaysTrue)),
        ("s LIKE 'a%' AND NOT s LIKE 'a%'", Some(Strange::NeverTrue)),
        ("s LIKE 'a%' AND n > 5 AND n < 3", Some(Strange::NeverTrue)),
        ("t > ago('7d') AND t < ago('9d')", None),
        ("t > TIMESTAMP '2024-01-02' AND t < TIMESTAMP '2024-01-01'", Some(Strange::NeverTrue)),
        ("in_segment('s1')", None),
    ] {
        let mut rules = vec![rule];
        if rule.contains("s1") {
            rules.push("n > 1");
        }
        let found: Vec<Strange> =
            lint(&definitions(&rules)).into_iter().filter(|f| f.segment == 0).map(|f| f.kind).collect();
        let known: Vec<Strange> = want.into_iter().collect();
        // What names one other segment and nothing more has a rule of its own.
        assert_eq!(found, known, "{rule}");
    }
}

#[test]
fn other_strange_things_are_found() {
    assert_eq!(kinds("CAST(as_of() AS VARCHAR) > s"), [Strange::Unsolved]);
    assert_eq!(kinds("t > ago('1d')"), []);
    let text = format!(
        "{TAGS}[[segment]]\ncode = 'a'\nrule = 'n > 1'\n[[segment]]\ncode = 'b'\nstatus = 'archived'\nrule = '(n) > 1'\n\
         [[segment]]\ncode = 'c'\nrule = \"in_segment('b') AND s = 'x'\"\n"
    );
    let found = lint(&Definitions::parse(&text, "t").expect("read"));
    let told: Vec<(usize, Strange, &str)> = found.iter().map(|f| (f.segment, f.kind, &*f.message)).collect();
    assert_eq!(
        told,
        [
            (1, Strange::SameRule, "it has the rule of `a`"),
            (2, Strange::NotActive, "it is active and names `b`, which is archived")
        ]
    );
}

fn condition() -> impl Strategy<Value = String> {
    let op = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (op.clone(), -2i64..3).prop_map(|(op, n)| format!("n {op} {n}")),
        (op.clone(), -4i64..5).prop_map(|(op, n)| format!("d {op} {n}")),
        (op.clone(), -4i64..5).prop_map(|(op, n)| format!("n {op} {}.5", n)),
        (op, prop::sample::select(vec!["a", "b", ""])).prop_map(|(op, s)| format!("s {op} '{s}'")),
        prop::sample::select(vec![
            "b",
            "NOT b",
            "n IS NULL",
            "s IS NOT NULL",
            "n IN (0, 1)",
            "d BETWEEN 0 AND 1",
            "b IS NOT TRUE"
        ])
        .prop_map(str::to_string),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" AND "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("NOT ({part})")),
        ]
    })
}

fn profile() -> impl Strategy<Value = Profile> {
    let n = prop::option::of((-3i64..4).prop_map(Value::Int));
    let d = prop::option::of((-5_000_000i128..6_000_000).prop_map(|n| Value::Decimal(crate::money::Decimal(n))));
    let s = prop::option::of(prop::sample::select(vec!["", "a", "ab", "b", "c"]).prop_map(|s| Value::Str(s.into())));
    let b = prop::option::of(any::<bool>().prop_map(Value::Bool));
    (n, d, s, b).prop_map(|(n, d, s, b)| Profile {
        key: Key::user("", "u"),
        as_of: 0,
        values: vec![n, d, s, b, None],
        others: Vec::new(),
    })
}

proptest! {
    /// What is said to be never or always true is so of every profile, and what is neither has both kinds.
    #[test]
    fn what_is_told_is_so(rule in condition(), profiles in prop::collection::vec(profile(), 1..40)) {
        let definitions = definitions(&[&rule]);
        let mut read = Rule::of(&definitions.segments[0]);
        let told = lint(&definitions);
        for profile in &profiles {
            let member = read.matches(profile, 0);
            for finding in &told {
                match finding.kind {
                    Strange::NeverTrue => prop_assert!(!member, "{rule}"),
                    Strange::AlwaysTrue => prop_assert!(member, "{rule}"),
                    _ => {}
                }
            }
        }
    }
}
