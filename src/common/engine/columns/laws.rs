//! The law of columns: for any definitions and any events they tell what the fold of states tells, byte for byte.

use super::Columns;
use crate::engine::fold::{Fold, Range};
use crate::engine::plan::Plan;
use crate::event::{Event, Rules};
use crate::rows::Block;
use crate::sheet::Sheet;
use crate::tag::Definitions;
use crate::time::Millis;
use proptest::prelude::*;
use std::sync::Arc;

pub(super) const DECLARED: &str = r#"
[[field]]
path = "properties.duration"
type = "int"
[[field]]
path = "score"
type = "double"
[[field]]
path = "paid"
type = "bool"
"#;

/// One event; what is `None` is not in the line.
#[derive(Clone, Debug)]
struct Sample {
    tenant: Option<u8>,
    user: u8,
    id: u8,
    timestamp: Millis,
    kind: u8,
    category: Option<u8>,
    amount: Option<i32>,
    duration: Option<i8>,
    score: Option<i8>,
    paid: Option<bool>,
}

impl Sample {
    fn line(&self) -> String {
        const USERS: [&str; 6] =
            ["u", "u-1", "u-10", "\u{fc}ser", "a\\\"b", "a user with a name longer than sixteen bytes"];
        const KINDS: [&str; 4] = ["click", "view", "purchase", "impression"];
        const CATEGORIES: [&str; 4] = ["toys", "books and everything else there is to read", "\\\"\\u2028", "toy"];
        let Sample { tenant, user, id, timestamp, kind, category, amount, duration, score, paid } = self;
        let mut line = format!(
            r#"{{"eventId":"e{id}","userId":"{}","eventType":"{}","timestamp":{timestamp}"#,
            USERS[*user as usize], KINDS[*kind as usize]
        );
        let mut field = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                line.push_str(&format!(r#","{name}":{value}"#));
            }
        };
        field("tenantId", tenant.map(|t| format!("\"t{t}\"")));
        field("category", category.map(|c| format!("\"{}\"", CATEGORIES[c as usize])));
        field("amount", amount.map(|a| format!("{}.{:02}", a / 100, a % 100)));
        field("properties", duration.map(|d| format!(r#"{{"duration":{d}}}"#)));
        field("score", score.map(|s| format!("{}", f64::from(s) * 0.25)));
        field("paid", paid.map(|p| p.to_string()));
        line + "}"
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    let instant = prop_oneof![0i64..30_000, (0i64..30).prop_map(|s| s * 1000), (1i64..30).prop_map(|s| s * 1000 - 1)];
    let ids = (prop::option::weighted(0.2, 0u8..2), 0u8..6, 0u8..30, instant);
    let amount = prop::option::of(prop_oneof![0i32..2000, any::<u16>().prop_map(|n| i32::from(n) * 30_000)]);
    let fields = (0u8..4, prop::option::of(0u8..4), amount, prop::option::of(-3i8..4), prop::option::of(-3i8..4));
    (ids, fields, any::<Option<bool>>()).prop_map(
        |((tenant, user, id, timestamp), (kind, category, amount, duration, score), paid)| Sample {
            tenant,
            user,
            id,
            timestamp,
            kind,
            category,
            amount,
            duration,
            score,
            paid,
        },
    )
}

/// An aggregation, and the type it is declared to have.
pub(super) fn aggregation() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        ("count(*)", ""),
        ("count(*)", "decimal"),
        ("count(category)", ""),
        ("count(DISTINCT category)", ""),
        ("count(DISTINCT score * 0)", ""),
        ("count(DISTINCT amount)", ""),
        ("sum(amount)", ""),
        ("sum(amount)", "double"),
        ("sum(\"properties.duration\")", ""),
        ("sum(score)", ""),
        ("sum(amount * 1000000)", ""),
        ("avg(amount)", ""),
        ("avg(\"properties.duration\" + 1)", ""),
        ("min(amount)", ""),
        ("max(amount * 1000000000)", ""),
        ("max(timestamp)", "datetime"),
        ("min(timestamp)", ""),
        ("max(category)", ""),
        ("min(score)", ""),
        ("max(score * 0)", ""),
        ("first(category)", ""),
        ("last(category)", ""),
        ("last(upper(category))", ""),
        ("last(amount)", ""),
        ("first(paid)", ""),
        ("last(score)", ""),
        ("first(timestamp)", "datetime"),
        ("variance(score)", ""),
        ("stddev(\"properties.duration\")", ""),
        ("first_k(category, 2)", ""),
        ("last_k(score, 100)", ""),
        ("top_k(category, 2)", ""),
        ("histogram(eventType)", ""),
        ("histogram(amount)", "map<int>"),
        ("approx_percentile(amount, 0.5)", ""),
        ("approx_percentile(score, 1)", "double"),
        ("decayed(amount, '4s')", ""),
        ("decayed(1, '80ms')", "double"),
    ]);
    let by = prop::sample::select(vec!["", "", "", "category", "\"properties.duration\" % 2", "score"]);
    let keep = prop::option::weighted(0.3, 1i64..4);
    let filter = prop::sample::select(vec![
        "",
        "eventType = 'click'",
        "eventType = 'impression'",
        "'purchase' = eventType AND amount > 5",
        "eventType IN ('click', 'view')",
        "amount IS NOT NULL",
        "category IS NULL",
        "paid",
        "score >= 0.25",
        "category LIKE 'toy%' OR paid",
        "timestamp >= 5000 AND timestamp < 20000",
    ]);
    let window = prop::sample::select(vec!["", "1s", "5s", "12s", "1h"]);
    (value, filter, window, by, keep).prop_map(|((value, ty), filter, window, by, keep)| {
        let mut out = format!("value = '''{value}'''\n");
        let window = if value.starts_with("decayed") { "" } else { window };
        // Of maps nothing is wider than they are.
        let ty = if by.is_empty() { ty } else { "" };
        if !by.is_empty() {
            out.push_str(&format!("by = '''{by}'''\n"));
        }
        if let Some(keep) = keep.filter(|_| !by.is_empty() || value.starts_with("top_k") || value.starts_with("hist")) {
            out.push_str(&format!("keep = {keep}\n"));
        }
        for (key, text) in [("type", ty), ("where", filter), ("window", window)] {
            if !text.is_empty() {
                out.push_str(&format!("{key} = '''{text}'''\n"));
            }
        }
        out
    })
}

/// Some aggregations, some tags over them, and which of all are told.
fn definitions() -> impl Strategy<Value = (String, Vec<bool>)> {
    let derived = prop::sample::select(vec![
        "n0",
        "CASE WHEN n0 IS NULL THEN 'none' ELSE 'some' END",
        "concat(CAST(n0 AS VARCHAR), '!')",
        "COALESCE(CAST(n0 AS VARCHAR), '-')",
        "CAST(n0 AS VARCHAR) = CAST(n1 AS VARCHAR)",
        "as_of() > 1000",
    ]);
    let tags = (prop::collection::vec(aggregation(), 2..9), prop::collection::vec(derived, 0..4));
    (tags, prop::collection::vec(any::<bool>(), 12)).prop_map(|((aggregations, derived), told)| {
        let mut text = DECLARED.to_string();
        for (n, body) in aggregations.iter().enumerate() {
            text.push_str(&format!("[[tag]]\ncode = \"n{n}\"\n{body}"));
        }
        for (n, value) in derived.iter().enumerate() {
            text.push_str(&format!("[[tag]]\ncode = \"d{n}\"\nvalue = \"{value}\"\n"));
        }
        (text, told)
    })
}

fn plan(text: &str, told: &[bool]) -> Plan {
    let definitions = Definitions::parse(text, "laws").unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
    let outputs: Vec<usize> = (0..definitions.tags.len()).filter(|tag| told[*tag]).collect();
    Plan::new(Arc::new(definitions), &outputs)
}

fn blocks(plan: &Plan, samples: &[Sample], rows: usize) -> Vec<Block> {
    let block = |samples: &[Sample]| {
        let mut block = Block::new(&plan.definitions.projection);
        for sample in samples {
            let line = sample.line();
            let event = Event::parse(line.as_bytes(), 0, &Rules::default()).expect(&line).expect("not blank");
            block.push(&event, &plan.definitions.projection);
        }
        block
    };
    samples.chunks(rows).map(block).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn columns_tell_what_the_fold_of_states_tells(
        (text, told) in definitions(),
        parts in prop::collection::vec(prop::collection::vec(sample(), 0..60), 1..3),
        rows in 1usize..20,
        since in prop::option::of(0i64..20_000),
        until in prop::option::of(0i64..40_000),
        later in prop_oneof![Just(0i64), 0i64..20_000],
    ) {
        let plan = plan(&text, &told);
        let range = Range { since, as_of: until };
        let held = |s: &&Sample| range.holds(s.timestamp);
        let newest = parts.iter().flatten().filter(held).map(|s| s.timestamp).max().unwrap_or(0);
        let as_of = until.unwrap_or(newest + later);
        let mut columns = Columns::new(&plan, range, as_of);
        let mut got = Sheet::default();
        // One part after the other in the same memory: nothing may be left of the one before.
        for samples in &parts {
            let blocks = blocks(&plan, samples, rows);
            let mut fold = Fold::new(&plan, [3, 4]).within(range);
            columns.reset();
            for block in &blocks {
                fold.add(block);
                columns.add(&mut block.clone());
            }
            prop_assert_eq!(columns.tally, fold.tally);
            let (mut want, mut keys) = (Vec::new(), 0);
            fold.finish(as_of, |patch| {
                patch.push_line(&mut want);
                keys += 1;
            });
            got.clear();
            prop_assert_eq!(columns.finish(&Default::default(), &mut got), keys);
            prop_assert_eq!(std::str::from_utf8(got.written()), std::str::from_utf8(&want), "{}", text);
        }
    }
}
