//! The laws of the engine, as properties over small random worlds full of ties, duplicates and late events.

use super::dedup::{Dedup, Horizon};
use super::fold::Fold;
use super::live::{Live, Outcome, Telling};
use super::plan::Plan;
use super::state::State;
use crate::event::{Event, Rules};
use crate::key::Key;
use crate::patch::Patch;
use crate::rows::Block;
use crate::tag::Definitions;
use crate::time::Millis;
use crate::value::Value;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks_5s"
value = "count(*)"
where = "eventType = 'click'"
window = "5s"
[[tag]]
code = "clicks"
value = "count(*)"
where = "eventType = 'click'"
[[tag]]
code = "spent_12s"
value = "sum(amount)"
window = "12s"
resolution = "3s"
[[tag]]
code = "spent"
value = "sum(amount)"
[[tag]]
code = "mean_7s"
value = "avg(amount)"
window = "7s"
[[tag]]
code = "largest_4s"
value = "max(amount)"
window = "4s"
[[tag]]
code = "smallest_4s"
value = "min(amount)"
window = "4s"
resolution = "2s"
[[tag]]
code = "last_category"
value = "last(category)"
where = "eventType = 'click'"
[[tag]]
code = "first_category_6s"
value = "first(category)"
window = "6s"
[[tag]]
code = "categories_9s"
value = "count(DISTINCT category)"
window = "9s"
[[tag]]
code = "last_active"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "level"
value = "CASE WHEN spent_12s >= 5 AND clicks_5s > 0 THEN 'hot' WHEN spent > 0 THEN 'buyer' ELSE 'browser' END"
[[tag]]
code = "idle"
value = "as_of() - last_active > 8000"
[[tag]]
code = "quiet"
value = "as_of() - last_active >= 5000"
[[tag]]
code = "warm"
value = "last_active + 3000 > as_of() OR as_of() - last_active BETWEEN 6000 AND 7000"
"#;

type Profiles = BTreeMap<Key, BTreeMap<String, Value>>;

#[derive(Clone, Debug)]
struct Sample {
    id: u8,
    user: u8,
    timestamp: Millis,
    click: bool,
    category: Option<u8>,
    amount: Option<i32>,
}

impl Sample {
    fn line(&self) -> String {
        let category = self.category.map_or(String::new(), |c| format!(r#","category":"c{c}""#));
        let amount = self.amount.map_or(String::new(), |a| format!(r#","amount":{}.{:02}"#, a / 100, a % 100));
        let kind = if self.click { "click" } else { "view" };
        let Sample { id, user, timestamp, .. } = self;
        format!(
            r#"{{"eventId":"e{id}","userId":"u{user}","eventType":"{kind}","timestamp":{timestamp}{category}{amount}}}"#
        )
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    // Whole seconds now and then, so that panes' edges are hit.
    let instant = prop_oneof![0i64..30_000, (0i64..30).prop_map(|s| s * 1000), (1i64..30).prop_map(|s| s * 1000 - 1)];
    (0u8..60, 0u8..3, instant, any::<bool>(), prop::option::of(0u8..4), prop::option::of(0i32..700)).prop_map(
        |(id, user, timestamp, click, category, amount)| Sample { id, user, timestamp, click, category, amount },
    )
}

/// Random events, of which some are sent again; one id has one body.
fn world() -> impl Strategy<Value = Vec<Sample>> {
    (prop::collection::vec(sample(), 1..40), prop::collection::vec(any::<prop::sample::Index>(), 0..8)).prop_map(
        |(mut samples, again)| {
            let mut seen = std::collections::HashSet::new();
            samples.retain(|s| seen.insert((s.user, s.id)));
            for index in again {
                samples.push(samples[index.index(samples.len())].clone());
            }
            samples
        },
    )
}

fn plan() -> Arc<Plan> {
    let definitions = Definitions::parse(DEFINITIONS, "laws").expect("the definitions above are right");
    let all: Vec<usize> = (0..definitions.tags.len()).collect();
    Arc::new(Plan::new(Arc::new(definitions), &all))
}

fn block(plan: &Plan, samples: &[Sample]) -> Block {
    let mut block = Block::new(&plan.definitions.projection);
    for s in samples {
        let line = s.line();
        let event = Event::parse(line.as_bytes(), 0, &Rules::default()).expect("valid").expect("not blank");
        block.push(&event, &plan.definitions.projection);
    }
    block
}

fn apply(profiles: &mut Profiles, patch: Patch) {
    let profile = profiles.entry(patch.key).or_default();
    for (code, value) in patch.tags {
        match value {
            Some(value) => profile.insert(code.to_string(), value),
            None => profile.remove(&*code),
        };
    }
}

fn profiles(patches: impl IntoIterator<Item = Patch>) -> Profiles {
    let mut profiles = Profiles::new();
    patches.into_iter().for_each(|patch| apply(&mut profiles, patch));
    profiles
}

fn batch(plan: &Plan, samples: &[Sample], as_of: Millis) -> Vec<Patch> {
    let mut fold = Fold::new(plan, [1, 2]);
    let until: Vec<Sample> = samples.iter().filter(|s| s.timestamp <= as_of).cloned().collect();
    // Blocks of three rows: the grouping must not matter.
    for part in until.chunks(3) {
        fold.add(&block(plan, part));
    }
    let mut out = Vec::new();
    fold.finish(as_of, |patch| out.push(patch));
    out
}

fn live(plan: &Arc<Plan>, telling: Telling) -> Live {
    Live::new(plan.clone(), telling, Horizon::within(1 << 20), [3, 4])
}

fn numbers(plan: &Plan) -> Vec<u64> {
    plan.counters.iter().map(|c| c.tag as u64).collect()
}

/// Pushes events as a filter does: time follows the largest event time.
fn feed(live: &mut Live, samples: &[Sample], out: &mut Vec<Patch>) -> usize {
    let block = block(&live.plans()[0], samples);
    let mut absorbed = 0;
    for i in 0..block.len() {
        live.advance(block.timestamp(i), out);
        absorbed += usize::from(live.push(&block, i, out) == Outcome::Absorbed);
    }
    absorbed
}

/// A plan's values told as simply as can be: from the list of events, with no state at all.
fn naive(samples: &[Sample], as_of: Millis) -> Profiles {
    let mut seen = std::collections::HashSet::new();
    let events: Vec<&Sample> = samples.iter().filter(|s| s.timestamp <= as_of && seen.insert((s.user, s.id))).collect();
    let mut out = Profiles::new();
    for user in 0..3u8 {
        let mine: Vec<&&Sample> = events.iter().filter(|s| s.user == user).collect();
        if mine.is_empty() {
            continue;
        }
        let within = |s: &Sample, span: i64, r: i64| as_of.div_euclid(r) - s.timestamp.div_euclid(r) < span / r;
        let micros = |s: &&&Sample| i128::from(s.amount.unwrap_or(0)) * 10_000;
        let mut tags = BTreeMap::new();
        let clicks = mine.iter().filter(|s| s.click).count();
        tags.insert("clicks".to_string(), Value::Int(clicks as i64));
        let clicks_5s = mine.iter().filter(|s| s.click && within(s, 5000, 1000)).count() as i64;
        tags.insert("clicks_5s".to_string(), Value::Int(clicks_5s));
        let paid: Vec<&&Sample> = mine.iter().copied().filter(|s| s.amount.is_some()).collect();
        let sum = |span: i64, r: i64| {
            let part: Vec<&&Sample> = paid.iter().copied().filter(|s| within(s, span, r)).collect();
            (!part.is_empty()).then(|| part.iter().map(micros).sum::<i128>())
        };
        let decimal = |n: i128| Value::Decimal(crate::money::Decimal(n));
        if let Some(n) = sum(12_000, 3000) {
            tags.insert("spent_12s".into(), decimal(n));
        }
        if let Some(n) = sum(i64::MAX / 2, 1) {
            tags.insert("spent".into(), decimal(n));
        }
        let largest = paid.iter().filter(|s| within(s, 4000, 1000)).map(micros).max();
        if let Some(n) = largest {
            tags.insert("largest_4s".into(), decimal(n));
        }
        let last =
            mine.iter().filter(|s| s.click && s.category.is_some()).max_by_key(|s| (s.timestamp, format!("e{}", s.id)));
        if let Some(category) = last.and_then(|s| s.category) {
            tags.insert("last_category".into(), Value::Str(format!("c{category}").into()));
        }
        out.insert(Key::user("", &format!("u{user}")), tags);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_fold_equals_the_naive_twin(samples in world(), as_of in 0i64..60_000) {
        let plan = plan();
        let got = profiles(batch(&plan, &samples, as_of));
        let want = naive(&samples, as_of);
        prop_assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
        for (key, tags) in &want {
            for (code, value) in tags {
                prop_assert_eq!(got[key].get(code), Some(value), "{} {}", key, code);
            }
            for code in ["spent_12s", "largest_4s", "last_category", "spent"] {
                prop_assert_eq!(got[key].contains_key(code), tags.contains_key(code), "{} {}", key, code);
            }
        }
    }

    #[test]
    fn stream_in_any_order_equals_batch(samples in world(), order: u64, later in 0i64..40_000) {
        let plan = plan();
        let mut shuffled = samples.clone();
        shuffled.sort_by_key(|s| (u64::from(s.id) ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let as_of = samples.iter().map(|s| s.timestamp).max().unwrap_or(0) + later;
        let want = profiles(batch(&plan, &samples, as_of));

        let (mut told, mut out) = (live(&plan, Telling::Each), Vec::new());
        feed(&mut told, &shuffled, &mut out);
        told.advance(as_of, &mut out);
        prop_assert_eq!(&profiles(out), &want);

        let (mut drained, mut out) = (live(&plan, Telling::Drained), Vec::new());
        for (i, part) in shuffled.chunks(5).enumerate() {
            feed(&mut drained, part, &mut Vec::new());
            if i % 2 == 0 {
                drained.drain(1 + i % 3, |patch| out.push(patch));
            }
        }
        drained.advance(as_of, &mut Vec::new());
        drained.drain(usize::MAX, |patch| out.push(patch));
        prop_assert_eq!(&profiles(out), &want);

        let mut last = Vec::new();
        drained.tell_all(|patch| last.push(patch));
        prop_assert_eq!(last, batch(&plan, &samples, as_of));
    }

    #[test]
    fn every_patch_of_the_stream_is_what_batch_says_at_its_instant(samples in world()) {
        let plan = plan();
        let mut in_order = samples.clone();
        in_order.sort_by_key(|s| s.timestamp);
        let (mut told, mut out) = (live(&plan, Telling::Each), Vec::new());
        feed(&mut told, &in_order, &mut out);
        told.advance(80_000, &mut out);
        let (mut so_far, mut told_at) = (Profiles::new(), None);
        let mut patches = out.into_iter().peekable();
        while let Some(patch) = patches.next() {
            let instant = patch.as_of;
            if told_at.is_none_or(|before| before < instant) {
                // Nothing was told late: what was told before still holds right up to this instant.
                let want = profiles(batch(&plan, &in_order, instant - 1));
                prop_assert_eq!(&so_far, &want, "right before {}", instant);
            }
            told_at = Some(instant);
            apply(&mut so_far, patch);
            if patches.peek().is_none_or(|next| next.as_of > instant) {
                let want = profiles(batch(&plan, &in_order, instant));
                for key in want.keys() {
                    prop_assert_eq!(so_far.get(key), want.get(key), "{} at {}", key, instant);
                }
            }
        }
    }

    #[test]
    fn merge_of_parts_is_the_fold_of_the_whole(samples in world(), cut: prop::sample::Index) {
        let plan = plan();
        let mut unique = samples.clone();
        let mut seen = std::collections::HashSet::new();
        unique.retain(|s| s.user == 0 && seen.insert(s.id));
        prop_assume!(!unique.is_empty());
        let (left, right) = unique.split_at(cut.index(unique.len()));
        let fold = |samples: &[Sample]| {
            let block = block(&plan, samples);
            let mut state = State::new(&plan);
            for (c, counter) in plan.counters.iter().enumerate() {
                for i in 0..block.len() {
                    counter.add(c, &mut state, &block, i, Millis::MIN, &mut Default::default());
                }
            }
            state
        };
        let bytes = |state: &State| {
            let mut out = Vec::new();
            state.encode(&numbers(&plan), &mut out);
            out
        };
        let mut merged = fold(right);
        merged.merge(&fold(left), &plan);
        prop_assert_eq!(bytes(&merged), bytes(&fold(&unique)));
        let place = |n: u64| plan.counters.iter().position(|c| c.tag as u64 == n);
        prop_assert_eq!(State::decode(&plan, place, &bytes(&merged)), Some(merged.clone()));
        // The same from the bytes of the parts, without making states of them.
        let places: Vec<Vec<usize>> = (0..plan.definitions.tags.len()).map(|n| place(n as u64).into_iter().collect()).collect();
        let mut absorbed = State::new(&plan);
        for part in [left, right] {
            prop_assert_eq!(absorbed.absorb(&plan, &places, &bytes(&fold(part))), Some(()));
        }
        prop_assert_eq!(absorbed, merged);
    }

    #[test]
    fn stop_and_resume_anywhere_is_uninterrupted(samples in world(), cut: prop::sample::Index) {
        let plan = plan();
        let (before, after) = samples.split_at(cut.index(samples.len()));
        let (mut whole, mut want) = (live(&plan, Telling::Each), Vec::new());
        feed(&mut whole, &samples, &mut want);
        whole.advance(70_000, &mut want);

        let (mut first, mut got) = (live(&plan, Telling::Each), Vec::new());
        first.number(vec![numbers(&plan)]);
        feed(&mut first, before, &mut got);
        let mut second = live(&plan, Telling::Each);
        first.save(|key, state| {
            let bytes = state.expect("users are not forgotten");
            let place = |n: u64| plan.counters.iter().position(|c| c.tag as u64 == n);
            second.restore(key.clone(), State::decode_days(&plan, place, bytes).expect("it was just packed"));
        });
        let mut ids = Dedup::new(Horizon::within(1 << 20));
        first.save_ids().0.into_iter().for_each(|(slice, new)| ids.restore(slice, new, first.now()));
        second.restore_ids(ids);
        second.resume(first.now(), first.newest());
        let mut on = got.clone();
        feed(&mut second, after, &mut got);
        second.advance(70_000, &mut got);
        prop_assert_eq!(&got, &want);
        // The first goes on as well, from states that it has packed.
        feed(&mut first, after, &mut on);
        first.advance(70_000, &mut on);
        prop_assert_eq!(&on, &want);
    }

    #[test]
    fn advancing_in_steps_is_advancing_at_once(samples in world(), steps in prop::collection::vec(0i64..80_000, 0..10)) {
        let plan = plan();
        let (mut a, mut at_once) = (live(&plan, Telling::Each), Vec::new());
        feed(&mut a, &samples, &mut at_once);
        a.advance(80_000, &mut at_once);
        let (mut b, mut in_steps) = (live(&plan, Telling::Each), Vec::new());
        feed(&mut b, &samples, &mut in_steps);
        let mut steps = steps;
        steps.sort();
        for step in steps.into_iter().chain([80_000, 40_000]) {
            b.advance(step, &mut in_steps);
        }
        prop_assert_eq!(in_steps, at_once);
    }

    #[test]
    fn an_event_sent_twice_counts_once_and_a_patch_twice_is_once(samples in world()) {
        let plan = plan();
        let (mut once, mut twice) = (live(&plan, Telling::Each), live(&plan, Telling::Each));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let absorbed = feed(&mut once, &samples, &mut a);
        let doubled: Vec<Sample> = samples.iter().flat_map(|s| [s.clone(), s.clone()]).collect();
        prop_assert_eq!(feed(&mut twice, &doubled, &mut b), absorbed);
        prop_assert_eq!(&a, &b);
        let each_twice = a.iter().flat_map(|p| [p.clone(), p.clone()]).collect::<Vec<_>>();
        prop_assert_eq!(profiles(each_twice), profiles(a));
    }
}

#[test]
fn a_count_falls_to_zero_by_time_alone_at_the_end_of_its_pane() {
    let plan = plan();
    let (mut live, mut out) = (live(&plan, Telling::Each), Vec::new());
    feed(
        &mut live,
        &[Sample { id: 1, user: 1, timestamp: 1_234, click: true, category: None, amount: None }],
        &mut out,
    );
    out.clear();
    live.advance(5_999, &mut out);
    assert_eq!(told(&out, "clicks_5s"), []);
    live.advance(6_000, &mut out);
    live.advance(10_000, &mut out);
    assert_eq!(told(&out, "clicks_5s"), [(6_000, Some(Value::Int(0)))]);
    assert_eq!(told(&out, "quiet"), [(6_234, Some(Value::Bool(true)))]);
    assert_eq!(told(&out, "idle"), [(9_235, Some(Value::Bool(true)))]);
    let warm = [(4_234, false), (7_234, true), (8_235, false)];
    assert_eq!(told(&out, "warm"), warm.map(|(at, b)| (at, Some(Value::Bool(b)))));
}

/// What was told of one tag, and when.
fn told(patches: &[Patch], code: &str) -> Vec<(Millis, Option<Value>)> {
    let of =
        |patch: &Patch| patch.tags.iter().find(|(c, _)| &**c == code).map(|(_, value)| (patch.as_of, value.clone()));
    patches.iter().filter_map(of).collect()
}
