//! Every registered aggregation, lifetime and windowed, with and without `by`, as a definition file has it: the laws of
//! states, and the values of a brute-force twin at any instant.

use super::columns::Columns;
use super::dedup::Horizon;
use super::fold::{Fold, Range};
use super::given::Given;
use super::live::{Live, Telling};
use super::plan::Plan;
use super::state::State;
use crate::agg::naive::{Seen, alike, naive};
use crate::agg::{Form, Function};
use crate::event::{Event, Rules};
use crate::expr::Scratch;
use crate::pane::Window;
use crate::patch::Patch;
use crate::rows::Block;
use crate::sheet::Sheet;
use crate::tag::{Definitions, Kind};
use crate::time::Millis;
use crate::value::Value;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// How each is called here, the field it looks at, and its constants as a definition keeps them.
fn call(function: Function) -> (&'static str, &'static str, Vec<i64>) {
    match function {
        Function::Count => ("count(category)", "category", vec![]),
        Function::Sum => ("sum(amount)", "amount", vec![]),
        Function::Avg => ("avg(amount)", "amount", vec![]),
        Function::Min => ("min(category)", "category", vec![]),
        Function::Max => ("max(amount)", "amount", vec![]),
        Function::First => ("first(category)", "category", vec![]),
        Function::Last => ("last(amount)", "amount", vec![]),
        Function::CountDistinct => ("count_distinct(category)", "category", vec![]),
        Function::Variance => ("variance(amount)", "amount", vec![]),
        Function::Stddev => ("stddev(amount)", "amount", vec![]),
        Function::FirstK => ("first_k(category, 2)", "category", vec![2]),
        Function::LastK => ("last_k(amount, 3)", "amount", vec![3]),
        Function::TopK => ("top_k(category, 2)", "category", vec![2]),
        Function::Histogram => ("histogram(amount)", "amount", vec![]),
        // Millionths so few that the twin is exact.
        Function::ApproxPercentile => ("approx_percentile(amount * 0.0001, 0.75)", "amount", vec![750_000]),
        Function::Decayed => ("decayed(amount, '8s')", "amount", vec![8000]),
    }
}

/// One tag that is looked at.
struct Case {
    code: String,
    form: Form,
    field: &'static str,
    constants: Vec<i64>,
    window: Option<Window>,
    plan: Plan,
}

const KEEP: usize = 2;

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let mut text = String::new();
    let mut shapes = Vec::new();
    for function in Function::ALL {
        for (windowed, by) in [(false, false), (true, false), (false, true), (true, true)] {
            // What decays has its window by nature.
            if windowed && *function == Function::Decayed {
                continue;
            }
            let form = Form { function: *function, by };
            let code =
                format!("{}{}{}", function.name(), if windowed { "_5s" } else { "" }, if by { "_by" } else { "" });
            text.push_str(&format!("[[tag]]\ncode = '{code}'\nvalue = \"{}\"\n", call(*function).0));
            text.push_str(if windowed { "window = '5s'\n" } else { "" });
            text.push_str(if by { "by = 'itemId'\n" } else { "" });
            if by || function.keeps() {
                text.push_str(&format!("keep = {KEEP}\n"));
            }
            shapes.push((code, form));
        }
    }
    let definitions = Definitions::parse(&text, "every").unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
    let definitions = Arc::new(definitions);
    let case = |(place, (code, form)): (usize, (String, Form))| {
        let Kind::Aggregation(a) = &definitions.tags[place].kind else { panic!("an aggregation") };
        let (_, field, constants) = call(form.function);
        Case { code, form, field, constants, window: a.window, plan: Plan::new(definitions.clone(), &[place]) }
    };
    shapes.into_iter().enumerate().map(case).collect()
});

#[derive(Clone, Debug)]
struct Sample {
    timestamp: Millis,
    category: Option<u8>,
    amount: Option<i32>,
    item: Option<u8>,
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let instant = prop_oneof![0i64..20_000, (0i64..20).prop_map(|s| s * 1000), (1i64..20).prop_map(|s| s * 1000 - 1)];
    let amount = prop_oneof![Just(None), (-120i32..120).prop_map(Some), (-3i32..3).prop_map(|n| Some(n * 100))];
    let sample = (instant, prop::option::of(0u8..4), amount, prop::option::weighted(0.8, 0u8..4));
    let sample = sample.prop_map(|(timestamp, category, amount, item)| Sample { timestamp, category, amount, item });
    prop::collection::vec(sample, 0..24)
}

fn block<'s>(plan: &Plan, samples: impl IntoIterator<Item = (usize, &'s Sample)>) -> Block {
    let mut block = Block::new(&plan.definitions.projection);
    for (id, Sample { timestamp, category, amount, item }) in samples {
        let mut line = format!(r#"{{"eventId":"e{id}","userId":"u","eventType":"view","timestamp":{timestamp}"#);
        if let Some(category) = category {
            line.push_str(&format!(r#","category":"c{category}""#));
        }
        if let Some(amount) = amount {
            line.push_str(&format!(r#","amount":{amount}e-2"#));
        }
        if let Some(item) = item {
            line.push_str(&format!(r#","itemId":"i{item}""#));
        }
        line.push('}');
        let event = Event::parse(line.as_bytes(), 0, &Rules::default()).expect(&line).expect("not blank");
        block.push(&event, &plan.definitions.projection);
    }
    block
}

/// The state of the one user.
fn state<'s>(plan: &Plan, samples: impl IntoIterator<Item = (usize, &'s Sample)>, range: Range) -> State {
    let mut fold = Fold::new(plan, [1, 2]).within(range);
    fold.add(&block(plan, samples));
    fold.into_states().pop().map_or_else(|| State::new(plan), |(_, state)| state)
}

fn bytes(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    state.encode(&[7], &mut out);
    out
}

impl Case {
    fn value(&self, state: &State, at: Millis) -> Option<Value> {
        let mut scratch = Scratch::new();
        self.plan.values(Some(state), &Given::default(), at, &mut scratch)[self.plan.outputs[0]].clone()
    }

    /// What the twin says of the events that count at `at` by the law of windows.
    fn twin(&self, samples: &[Sample], at: Millis) -> Option<Value> {
        let counts = |s: &Sample| {
            let edge = |w: Window| w.expiry(w.pane(s.timestamp));
            s.timestamp <= at && self.window.is_none_or(|w| at < edge(w))
        };
        let seen = |(id, s): (usize, &Sample)| {
            let value = match self.field {
                "category" => Value::Str(format!("c{}", s.category?).into()),
                _ => {
                    let scale = if self.form.function == Function::ApproxPercentile { 1 } else { 10_000 };
                    Value::Decimal(crate::money::Decimal(i128::from(s.amount?) * scale))
                }
            };
            let group = match self.form.by {
                true => Value::Str(format!("i{}", s.item?).into()),
                false => Value::Bool(true),
            };
            Some(Seen { timestamp: s.timestamp, id: format!("e{id}"), value, group })
        };
        let seen: Vec<Seen> = samples.iter().enumerate().filter(|(_, s)| counts(s)).filter_map(seen).collect();
        naive(self.form, &self.constants, KEEP, &seen, at)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_aggregation_obeys_every_law(samples in samples(), cut in 0usize..24, turn in 0usize..24) {
        let numbered: Vec<(usize, &Sample)> = samples.iter().enumerate().collect();
        let newest = samples.iter().map(|s| s.timestamp).max().unwrap_or(0);
        for case in CASES.iter() {
            let Case { plan, code, .. } = case;
            let whole = state(plan, numbered.clone(), Range::default());
            // What has fallen out of the window by now may or may not be kept: that is where order could show.
            let settled = |mut state: State| {
                state.expire(plan, newest);
                state
            };
            let whole = settled(whole);
            let mut turned = numbered.clone();
            turned.rotate_left(turn.min(numbered.len().saturating_sub(1)));
            turned.reverse();
            prop_assert_eq!(bytes(&settled(state(plan, turned.clone(), Range::default()))), bytes(&whole), "order: {}", code);
            let (a, b) = turned.split_at(cut.min(turned.len()));
            let mut merged = state(plan, a.to_vec(), Range::default());
            merged.merge(&state(plan, b.to_vec(), Range::default()), plan);
            let merged = settled(merged);
            prop_assert_eq!(bytes(&merged), bytes(&whole), "grouping: {}", code);
            let decoded = State::decode(plan, |n| (n == 7).then_some(0), &bytes(&whole));
            prop_assert_eq!(decoded.as_ref(), Some(&whole), "bytes: {}", code);
            let mut absorbed = state(plan, a.to_vec(), Range::default());
            let places: Vec<Vec<usize>> = (0..8).map(|n| if n == 7 { vec![0] } else { vec![] }).collect();
            let part = bytes(&state(plan, b.to_vec(), Range::default()));
            prop_assert_eq!(absorbed.absorb(plan, &places, &part), Some(()));
            prop_assert_eq!(bytes(&settled(absorbed)), bytes(&whole), "absorbed: {}", code);

            // From change to change by time alone: the same in between, and what the twin says.
            let (mut state, mut now) = (whole, newest);
            for _ in 0..12 {
                let value = case.value(&state, now);
                let twin = case.twin(&samples, now);
                prop_assert!(alike(case.form.function, &value, &twin), "{code} at {now}: {value:?}, {twin:?}");
                let Some(next) = state.next_change(plan, now) else {
                    prop_assert_eq!(case.value(&state, now + 1_000_000_000), value, "for ever: {}", code);
                    break;
                };
                prop_assert!(next > now, "{code}: {next} is not after {now}");
                prop_assert_eq!(case.value(&state, (now + next) / 2), value.clone(), "between: {}", code);
                prop_assert_eq!(case.value(&state, next - 1), value.clone(), "right before: {}", code);
                let changed = state.expire(plan, next);
                prop_assert_eq!(changed, 1, "not told: {}", code);
                // Of a map with more than it keeps, one that comes may be equal to one that goes.
                if case.form.function == Function::Count && !case.form.by {
                    prop_assert_ne!(case.value(&state, next), value, "no change: {}", code);
                }
                now = next;
            }
        }
    }

    #[test]
    fn a_stream_comes_to_what_batch_says_of_every_aggregation(
        samples in samples(), later in 0i64..30_000, drained: bool, stop in 0usize..24,
    ) {
        let definitions = CASES[0].plan.definitions.clone();
        let all: Vec<usize> = (0..definitions.tags.len()).collect();
        let plan = Arc::new(Plan::new(definitions, &all));
        let newest = samples.iter().map(|s| s.timestamp).max().unwrap_or(0);
        let telling = if drained { Telling::Drained } else { Telling::Each };
        let start = || Live::new(plan.clone(), telling, Horizon::within(1 << 20), [3, 4]);
        let (mut live, mut told) = (start(), BTreeMap::new());
        let mut tell = |live: &mut Live, patches: Vec<Patch>| {
            let mut take = |patch: Patch| told.extend(patch.tags);
            patches.into_iter().for_each(&mut take);
            live.drain(usize::MAX, take);
        };
        let block = block(&plan, samples.iter().enumerate());
        for i in 0..block.len() {
            let mut out = Vec::new();
            live.advance(block.timestamp(i), &mut out);
            live.push(&block, i, &mut out);
            tell(&mut live, out);
            if i == stop {
                // Stopped, and resumed from its checkpoint.
                let (mut kept, mut resumed) = (Vec::new(), start());
                live.save(|key, state| {
                    kept.push((key.clone(), state.expect("users are not forgotten").to_vec()));
                });
                for (key, bytes) in kept {
                    let state = State::decode_days(&plan, |n| Some(n as usize), &bytes).expect("it was just written");
                    resumed.restore(key, state);
                }
                resumed.resume(live.now(), live.newest());
                live = resumed;
            }
        }
        let mut out = Vec::new();
        live.advance(newest + later, &mut out);
        tell(&mut live, out);
        let mut fold = Fold::new(&plan, [1, 2]);
        fold.add(&block);
        let mut batch = BTreeMap::new();
        fold.finish(newest + later, |patch| batch.extend(patch.tags));
        // A filter tells changes: what never had a value was never told.
        told.retain(|_, value| value.is_some());
        batch.retain(|_, value| value.is_some());
        prop_assert_eq!(told, batch);
    }

    #[test]
    fn every_value_is_that_of_the_twin_at_every_edge(samples in samples(), any in prop::collection::vec(0i64..40_000, 3)) {
        let around = |t: Millis| [t - 1, t, t + 1];
        let edges = samples.iter().take(6).flat_map(|s| {
            let start = s.timestamp - s.timestamp.rem_euclid(1000);
            [s.timestamp, start, start + 1000, start + 5000]
        });
        let mut instants: Vec<Millis> = edges.flat_map(around).chain(any).collect();
        instants.sort();
        instants.dedup();
        for case in CASES.iter() {
            for at in &instants {
                let range = Range { since: None, as_of: Some(*at) };
                let state = state(&case.plan, samples.iter().enumerate(), range);
                let (value, twin) = (case.value(&state, *at), case.twin(&samples, *at));
                prop_assert!(alike(case.form.function, &value, &twin), "{} at {at}: {value:?}, {twin:?}", case.code);
                // And by columns, where no states are made.
                let mut columns = Columns::new(&case.plan, range, *at);
                columns.add(&mut block(&case.plan, samples.iter().enumerate()));
                let mut line = Sheet::default();
                if columns.finish(&Default::default(), &mut line) == 1 {
                    let value = value.map_or("null".to_string(), |value| {
                        let mut out = Vec::new();
                        value.push_json(&mut out);
                        String::from_utf8(out).expect("UTF-8")
                    });
                    let want = format!("{{\"userId\":\"u\",\"asOf\":{at},\"tags\":{{\"{}\":{value}}}}}\n", case.code);
                    prop_assert_eq!(String::from_utf8(line.written().to_vec()), Ok(want));
                }
            }
        }
    }
}
