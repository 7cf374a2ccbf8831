//! Explanations say what batch says, at the instant and at the next change.

use super::*;
use crate::event::{Event, Rules};
use crate::patch::Patch;
use crate::tag::Definitions;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks_5s"
value = "count(*)"
where = "eventType = 'click'"
window = "5s"
[[tag]]
code = "spent_12s"
value = "sum(amount)"
window = "12s"
resolution = "3s"
[[tag]]
code = "largest_4s"
value = "max(amount)"
window = "4s"
[[tag]]
code = "last_category"
value = "last(category)"
where = "eventType = 'click'"
[[tag]]
code = "last_active"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "level"
value = "CASE WHEN spent_12s >= 5 AND clicks_5s > 0 THEN 'hot' WHEN spent_12s > 0 THEN 'buyer' ELSE 'browser' END"
[[tag]]
code = "warm"
value = "last_active + 3000 > as_of() OR as_of() - last_active BETWEEN 6000 AND 7000"
[[tag]]
code = "idle_ms"
value = "CAST(as_of() AS int) - CAST(last_active AS int)"
"#;

#[derive(Clone, Debug)]
struct Sample {
    id: u8,
    timestamp: Millis,
    click: bool,
    category: Option<u8>,
    amount: Option<u16>,
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let instant = prop_oneof![0i64..20_000, (0i64..20).prop_map(|s| s * 1000), (1i64..20).prop_map(|s| s * 1000 - 1)];
    let sample = (0u8..20, instant, any::<bool>(), prop::option::of(0u8..3), prop::option::of(0u16..900));
    let sample =
        sample.prop_map(|(id, timestamp, click, category, amount)| Sample { id, timestamp, click, category, amount });
    prop::collection::vec(sample, 0..25)
}

fn definitions() -> Arc<Definitions> {
    Arc::new(Definitions::parse(DEFINITIONS, "explain").expect("the definitions above are right"))
}

fn block(definitions: &Definitions, samples: &[Sample]) -> Block {
    let mut block = Block::new(&definitions.projection);
    for Sample { id, timestamp, click, category, amount } in samples {
        let kind = if *click { "click" } else { "view" };
        let category = category.map_or(String::new(), |c| format!(r#","category":"c{c}""#));
        let amount = amount.map_or(String::new(), |a| format!(r#","amount":{a}e-2"#));
        let line = format!(
            r#"{{"eventId":"e{id}","userId":"u","eventType":"{kind}","timestamp":{timestamp}{category}{amount}}}"#
        );
        let event = Event::parse(line.as_bytes(), 0, &Rules::default()).expect("valid").expect("not blank");
        block.push(&event, &definitions.projection);
    }
    block
}

/// What batch says of a tag at an instant, from the events up to it.
fn batch(plan: &Plan, rows: &Block, as_of: Millis) -> Option<Option<Value>> {
    let mut fold = Fold::new(plan, [5, 6]).within(Range { since: None, as_of: Some(as_of) });
    fold.add(rows);
    let mut patches: Vec<Patch> = Vec::new();
    fold.finish(as_of, |patch| patches.push(patch));
    patches.pop().map(|patch| patch.tags[0].1.clone())
}

/// The same of those events only that an instant knows, seen from a later one.
fn later(plan: &Plan, rows: &Block, as_of: Millis, at: Millis) -> Option<Value> {
    explain(plan, feed(plan, std::slice::from_ref(rows), as_of, [7, 8]).state, &Given::default(), at).value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_value_is_that_of_batch_and_holds_until_the_next_change(samples in samples(), as_of in 0i64..30_000) {
        let definitions = definitions();
        let rows = block(&definitions, &samples);
        for (tag, definition) in definitions.tags.iter().enumerate() {
            let (plan, code) = (Plan::new(definitions.clone(), &[tag]), &definition.code);
            let fed = feed(&plan, std::slice::from_ref(&rows), as_of, [1, 2]);
            let told = batch(&plan, &rows, as_of);
            prop_assert_eq!(fed.state.is_some(), told.is_some(), "known: {}", code);
            let found = explain(&plan, fed.state, &Given::default(), as_of);
            if let Some(told) = told {
                prop_assert_eq!(&found.value, &told, "{}", code);
            }
            // Events after the instant are unknown to it, so the future is that of the events before.
            let value_at = |at| later(&plan, &rows, as_of, at);
            match &found.next {
                Next::At(at, value) => {
                    prop_assert!(*at > as_of && value != &found.value, "{}: {:?}", code, found);
                    prop_assert_eq!(&value_at(*at), value, "at it: {}", code);
                    for before in [at - 1, as_of + (at - as_of) / 2, as_of + (at - as_of) / 3] {
                        prop_assert_eq!(&value_at(before), &found.value, "{} before {}: {}", before, at, code);
                    }
                }
                Next::Never => {
                    for at in (1..60).map(|s| as_of + s * 997).chain([as_of + 1_000_000_000]) {
                        prop_assert_eq!(&value_at(at), &found.value, "{} for ever: {}", at, code);
                    }
                }
                Next::Unsolved => prop_assert_eq!(&**code, "idle_ms"),
            }
        }
    }

    #[test]
    fn panes_and_events_are_those_that_count(samples in samples(), as_of in 0i64..30_000) {
        let definitions = definitions();
        let rows = block(&definitions, &samples);
        let plan = Plan::new(definitions.clone(), &[0]);
        let fed = feed(&plan, std::slice::from_ref(&rows), as_of, [1, 2]);
        // The law of the window, and of duplicates: the first in the log counts, also when it does not count here.
        let mut ids = BTreeSet::new();
        let first: Vec<&Sample> = samples.iter().filter(|s| ids.insert(s.id)).collect();
        let counts = |s: &&&Sample| s.click && s.timestamp <= as_of && as_of < s.timestamp - s.timestamp % 1000 + 5000;
        let mut want: Vec<(Millis, String)> =
            first.iter().filter(counts).map(|s| (s.timestamp, format!("e{}", s.id))).collect();
        want.sort();
        let found: Vec<(Millis, String)> = fed.events.iter().map(|e| (e.timestamp, e.event_id.to_string())).collect();
        prop_assert_eq!(&found, &want);
        prop_assert_eq!(fed.tally.duplicates as usize, samples.len() - first.len());
        let explained = explain(&plan, fed.state, &Given::default(), as_of);
        prop_assert_eq!(explained.value, Some(Value::Int(want.len() as i64)));
        prop_assert_eq!(explained.since, Some(as_of - as_of % 1000 - 4000));
        for pane in &explained.panes {
            let inside = want.iter().filter(|(ts, _)| (pane.start..pane.end).contains(ts)).count() as i64;
            prop_assert_eq!(&pane.value, &Some(Value::Int(inside)));
            prop_assert!(inside > 0 && pane.end == pane.start + 1000 && pane.until == pane.start + 5000);
            prop_assert!(explained.since <= Some(pane.start) && pane.until > as_of);
        }
        let held = explained.panes.len();
        let different: BTreeSet<Millis> = want.iter().map(|(ts, _)| ts / 1000).collect();
        prop_assert_eq!(held, different.len());
    }

    #[test]
    fn events_bring_their_arguments(samples in samples(), as_of in 0i64..30_000) {
        let definitions = definitions();
        let rows = block(&definitions, &samples);
        let plan = Plan::new(definitions.clone(), &[3]);
        let fed = feed(&plan, std::slice::from_ref(&rows), as_of, [1, 2]);
        let last = fed.events.last().map(|event| event.arguments[0].clone());
        prop_assert_eq!(explain(&plan, fed.state, &Given::default(), as_of).value, last.flatten(), "the last of all is the last event");
    }
}

#[test]
fn of_nobody_the_value_is_that_of_no_events() {
    let definitions = definitions();
    let of = |code: &str| {
        let tag = definitions.index(code).expect("defined");
        explain(&Plan::new(definitions.clone(), &[tag]), None, &Given::default(), 5000)
    };
    assert_eq!((of("clicks_5s").value, of("clicks_5s").next), (Some(Value::Int(0)), Next::Never));
    assert_eq!((of("spent_12s").value, of("last_category").value), (None, None));
    assert_eq!(of("level").value, Some(Value::Str("browser".into())));
}
