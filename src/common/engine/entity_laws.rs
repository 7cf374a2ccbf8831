//! The laws of the engine over several entities, as properties over small random worlds: keys of one part and of two,
//! several keys an event, metric rows, and keys that are forgotten.

use super::dedup::{Dedup, Horizon};
use super::fold::Fold;
use super::live::{Live, Outcome, Telling};
use super::plan::Plan;
use super::plans::Plans;
use super::shelf::Shelf;
use super::state::State;
use crate::event::{Event, Rules};
use crate::key::Key;
use crate::patch::Patch;
use crate::rows::Block;
use crate::tag::Definitions;
use crate::time::Millis;
use crate::value::Value;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const DEFINITIONS: &str = r#"
[[entity]]
name = "topic"
key = "properties.tags[]"
retain = "6s"
[[entity]]
name = "item"
key = "itemId"
retain = "9s"
[[entity]]
name = "pair"
key = ["userId", "itemId"]
[[entity]]
name = "metric"
key = ["itemId", "hop(timestamp, '4s', '2s')"]
[[tag]]
code = "events"
value = "count(*)"
[[tag]]
code = "topic_events"
entity = "topic"
value = "count(*)"
[[tag]]
code = "topic_spent_4s"
entity = "topic"
value = "sum(amount)"
window = "4s"
resolution = "2s"
[[tag]]
code = "item_clicks_5s"
entity = "item"
value = "count(*)"
where = "eventType = 'click'"
window = "5s"
[[tag]]
code = "item_users"
entity = "item"
value = "count(DISTINCT userId)"
[[tag]]
code = "item_last"
entity = "item"
value = "max(timestamp)"
[[tag]]
code = "item_quiet"
entity = "item"
value = "as_of() - item_last >= 3000"
[[tag]]
code = "pair_events"
entity = "pair"
value = "count(*)"
[[tag]]
code = "metric_events"
entity = "metric"
value = "count(*)"
[[tag]]
code = "metric_largest"
entity = "metric"
value = "max(amount)"
"#;

type Profiles = BTreeMap<Key, BTreeMap<String, Value>>;

#[derive(Clone, Debug)]
struct Sample {
    id: u8,
    user: u8,
    timestamp: Millis,
    click: bool,
    item: Option<u8>,
    tags: Vec<u8>,
    amount: Option<u8>,
}

impl Sample {
    fn line(&self) -> String {
        let item = self.item.map_or(String::new(), |n| format!(r#","itemId":"i{n}""#));
        let amount = self.amount.map_or(String::new(), |n| format!(r#","amount":{n}"#));
        let tags: Vec<String> = self.tags.iter().map(|n| format!("\"t{n}\"")).collect();
        let kind = if self.click { "click" } else { "view" };
        let Sample { id, user, timestamp, .. } = self;
        format!(
            r#"{{"eventId":"e{id}","userId":"u{user}","eventType":"{kind}","timestamp":{timestamp}{item}{amount},"properties":{{"tags":[{}]}}}}"#,
            tags.join(",")
        )
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    // Whole seconds now and then, so that panes' edges are hit.
    let instant = prop_oneof![0i64..30_000, (0i64..30).prop_map(|s| s * 1000), (1i64..30).prop_map(|s| s * 1000 - 1)];
    let tags = prop::collection::vec(0u8..3, 0..4);
    (0u8..60, 0u8..2, instant, any::<bool>(), prop::option::of(0u8..2), tags, prop::option::of(0u8..9)).prop_map(
        |(id, user, timestamp, click, item, tags, amount)| Sample { id, user, timestamp, click, item, tags, amount },
    )
}

/// Random events, of which some are sent again; one id has one body.
fn world() -> impl Strategy<Value = Vec<Sample>> {
    (prop::collection::vec(sample(), 1..30), prop::collection::vec(any::<prop::sample::Index>(), 0..8)).prop_map(
        |(mut samples, again)| {
            let mut seen = BTreeSet::new();
            samples.retain(|s| seen.insert((s.user, s.id)));
            for index in again {
                samples.push(samples[index.index(samples.len())].clone());
            }
            samples
        },
    )
}

fn plans() -> Plans {
    let definitions = Arc::new(Definitions::parse(DEFINITIONS, "laws").expect("the definitions above are right"));
    Plans::new(&definitions, &(0..definitions.tags.len()).collect::<Vec<_>>())
}

fn block(plans: &Plans, samples: &[Sample]) -> Block {
    let projection = &plans.definitions().projection;
    let mut block = Block::new(projection);
    for s in samples {
        let line = s.line();
        let event = Event::parse(line.as_bytes(), 0, &Rules::default()).expect("valid").expect("not blank");
        block.push(&event, projection);
    }
    block
}

fn apply(profiles: &mut Profiles, patch: Patch) {
    let profile = profiles.entry(patch.key.clone()).or_default();
    for (code, value) in patch.tags {
        match value {
            Some(value) => profile.insert(code.to_string(), value),
            None => profile.remove(&*code),
        };
    }
    if profile.is_empty() {
        profiles.remove(&patch.key);
    }
}

fn profiles(patches: impl IntoIterator<Item = Patch>) -> Profiles {
    let mut profiles = Profiles::new();
    patches.into_iter().for_each(|patch| apply(&mut profiles, patch));
    profiles
}

/// The nightly twin: one fold an entity.
fn batch(plans: &Plans, samples: &[Sample], as_of: Millis) -> Vec<Patch> {
    let until: Vec<Sample> = samples.iter().filter(|s| s.timestamp <= as_of).cloned().collect();
    let mut out = Vec::new();
    for plan in plans.iter() {
        let mut fold = Fold::new(plan, [1, 2]);
        for part in until.chunks(3) {
            fold.add(&block(plans, part));
        }
        fold.finish(as_of, |patch| out.push(patch));
    }
    out
}

/// Some tags told as simply as can be: from the list of events.
fn naive(samples: &[Sample], as_of: Millis) -> BTreeMap<(String, Vec<String>), BTreeMap<&'static str, Value>> {
    let mut seen = BTreeSet::new();
    let events: Vec<&Sample> = samples.iter().filter(|s| s.timestamp <= as_of && seen.insert((s.user, s.id))).collect();
    // The keys of an event, written out by hand.
    let keys = |s: &Sample| {
        let (user, item) = (format!("u{}", s.user), s.item.map(|n| format!("i{n}")));
        let topics: BTreeSet<u8> = s.tags.iter().copied().collect();
        let mut keys = vec![("user".to_string(), vec![user.clone()])];
        keys.extend(topics.iter().map(|n| ("topic".to_string(), vec![format!("t{n}")])));
        if let Some(item) = item {
            keys.push(("item".to_string(), vec![item.clone()]));
            keys.push(("pair".to_string(), vec![user, item.clone()]));
            let first = s.timestamp / 2000 * 2000;
            for start in [first - 2000, first] {
                keys.push(("metric".to_string(), vec![item.clone(), start.to_string()]));
            }
        }
        keys
    };
    let within = |s: &Sample, span: i64| as_of / 1000 - s.timestamp / 1000 < span / 1000;
    let mut by_key: BTreeMap<(String, Vec<String>), Vec<&Sample>> = BTreeMap::new();
    for s in events {
        for key in keys(s) {
            by_key.entry(key).or_default().push(s);
        }
    }
    let mut out = BTreeMap::new();
    for (key, events) in by_key {
        let mut tags = BTreeMap::new();
        let count = |events: Vec<&&Sample>| Value::Int(events.len() as i64);
        match key.0.as_str() {
            "user" => tags.insert("events", count(events.iter().collect())),
            "pair" => tags.insert("pair_events", count(events.iter().collect())),
            "metric" => tags.insert("metric_events", count(events.iter().collect())),
            "topic" => {
                let alive: Vec<&&Sample> = events.iter().filter(|s| within(s, 6000)).collect();
                if alive.is_empty() {
                    continue;
                }
                tags.insert("topic_events", count(alive))
            }
            _ => {
                let alive: Vec<&&Sample> = events.iter().filter(|s| within(s, 9000)).collect();
                if alive.is_empty() {
                    continue;
                }
                let users: BTreeSet<u8> = alive.iter().map(|s| s.user).collect();
                tags.insert("item_users", Value::Int(users.len() as i64));
                let last = alive.iter().map(|s| s.timestamp).max().unwrap_or(0);
                tags.insert("item_last", Value::Time(last));
                tags.insert("item_quiet", Value::Bool(as_of - last >= 3000));
                tags.insert("item_clicks_5s", count(events.iter().filter(|s| s.click && within(s, 5000)).collect()))
            }
        };
        out.insert(key, tags);
    }
    out
}

fn live(plans: &Plans, telling: Telling) -> Live {
    Live::new(plans.clone(), telling, Horizon::within(1 << 20), [3, 4])
}

fn feed(live: &mut Live, samples: &[Sample], out: &mut Vec<Patch>) -> usize {
    let block = block(live.plans(), samples);
    let mut absorbed = 0;
    for i in 0..block.len() {
        live.advance(block.timestamp(i), out);
        absorbed += usize::from(live.push(&block, i, out) == Outcome::Absorbed);
    }
    absorbed
}

fn restore(live: &mut Live, kept: &BTreeMap<Key, Vec<u8>>) {
    for (key, bytes) in kept {
        let plan: &Plan = &live.plans().of(key.entity()).expect("told").clone();
        let state = State::decode_days(plan, |n| Some(n as usize), bytes).expect("it was just encoded");
        live.restore(key.clone(), state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_fold_equals_the_naive_twin(samples in world(), as_of in 0i64..50_000) {
        let got = profiles(batch(&plans(), &samples, as_of));
        let want = naive(&samples, as_of);
        let keys = |key: &Key| (key.entity().to_string(), key.parts().map(str::to_string).collect::<Vec<_>>());
        prop_assert_eq!(got.keys().map(keys).collect::<BTreeSet<_>>(), want.keys().cloned().collect::<BTreeSet<_>>());
        for (key, tags) in &got {
            for (code, value) in &want[&keys(key)] {
                prop_assert_eq!(tags.get(*code), Some(value), "{} {}", key, code);
            }
        }
    }

    #[test]
    fn stream_in_any_order_equals_batch(
        samples in world(), order: u64, later in 0i64..20_000, memory in prop_oneof![Just(usize::MAX), 0usize..500, 1000usize..5000],
    ) {
        let plans = plans();
        let mut shuffled = samples.clone();
        shuffled.sort_by_key(|s| (u64::from(s.id) ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let as_of = samples.iter().map(|s| s.timestamp).max().unwrap_or(0) + later;
        let nightly = batch(&plans, &samples, as_of);
        let want = profiles(nightly.clone());
        let (mut told, mut out) = (live(&plans, Telling::Each), Vec::new());
        feed(&mut told, &shuffled, &mut out);
        told.advance(as_of, &mut out);
        prop_assert_eq!(&profiles(out), &want);

        let (mut drained, mut out, kept) = (live(&plans, Telling::Drained), Vec::new(), Shelf::default());
        kept.bound(&mut drained, memory);
        for (i, part) in shuffled.chunks(5).enumerate() {
            feed(&mut drained, part, &mut Vec::new());
            // They grow after they were opened.
            prop_assert!(drained.open_bytes() <= memory.saturating_mul(3));
            if i % 2 == 0 {
                drained.drain(1 + i % 3, |patch| out.push(patch));
            }
            if i % 3 == 0 {
                kept.save(&mut drained);
            }
        }
        drained.advance(as_of, &mut Vec::new());
        drained.drain(usize::MAX, |patch| out.push(patch));
        kept.save(&mut drained);
        let kept = kept.states();
        prop_assert_eq!(&profiles(out), &want);
        // What is forgotten takes no room, neither here nor in the store.
        prop_assert_eq!(drained.keys(), want.len());
        prop_assert_eq!(kept.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
        let mut last = Vec::new();
        drained.tell_all(|patch| last.push(patch));
        // Batch tells of forgotten keys too, so that stores drop them: nothing but nulls.
        let there = |patch: &Patch| patch.tags.iter().any(|(_, value)| value.is_some());
        prop_assert_eq!(last, nightly.into_iter().filter(there).collect::<Vec<_>>());
    }

    #[test]
    fn every_patch_of_the_stream_is_what_batch_says_at_its_instant(samples in world()) {
        let plans = plans();
        let mut in_order = samples.clone();
        in_order.sort_by_key(|s| s.timestamp);
        let (mut told, mut out) = (live(&plans, Telling::Each), Vec::new());
        feed(&mut told, &in_order, &mut out);
        told.advance(50_000, &mut out);
        let (mut so_far, mut told_at) = (Profiles::new(), None);
        let mut patches = out.into_iter().peekable();
        while let Some(patch) = patches.next() {
            let instant = patch.as_of;
            if told_at.is_none_or(|before| before < instant) {
                // Nothing was told late: what was told before still holds right up to this instant.
                prop_assert_eq!(&so_far, &profiles(batch(&plans, &in_order, instant - 1)), "right before {}", instant);
            }
            told_at = Some(instant);
            apply(&mut so_far, patch);
            if patches.peek().is_none_or(|next| next.as_of > instant) {
                prop_assert_eq!(&so_far, &profiles(batch(&plans, &in_order, instant)), "at {}", instant);
            }
        }
    }

    #[test]
    fn stop_and_resume_anywhere_is_uninterrupted(samples in world(), cut: prop::sample::Index, early: prop::sample::Index) {
        let plans = plans();
        let cut = cut.index(samples.len());
        let (before, after) = samples.split_at(cut);
        let (mut whole, mut want) = (live(&plans, Telling::Each), Vec::new());
        feed(&mut whole, &samples, &mut want);
        whole.advance(50_000, &mut want);

        let (mut first, mut got, kept) = (live(&plans, Telling::Each), Vec::new(), Shelf::default());
        let (earlier, later) = before.split_at(early.index(before.len().max(1)).min(before.len()));
        feed(&mut first, earlier, &mut got);
        kept.save(&mut first);
        feed(&mut first, later, &mut got);
        kept.save(&mut first);
        let mut second = live(&plans, Telling::Each);
        restore(&mut second, &kept.states());
        let mut ids = Dedup::new(Horizon::within(1 << 20));
        first.save_ids().0.into_iter().for_each(|(slice, new)| ids.restore(slice, new, first.now()));
        second.restore_ids(ids);
        if !before.is_empty() {
            second.resume(first.now(), first.newest());
        }
        feed(&mut second, after, &mut got);
        second.advance(50_000, &mut got);
        prop_assert_eq!(got, want);
    }

    #[test]
    fn advancing_in_steps_is_advancing_at_once(samples in world(), steps in prop::collection::vec(0i64..50_000, 0..10)) {
        let plans = plans();
        let (mut a, mut at_once) = (live(&plans, Telling::Each), Vec::new());
        feed(&mut a, &samples, &mut at_once);
        a.advance(50_000, &mut at_once);
        let (mut b, mut in_steps) = (live(&plans, Telling::Each), Vec::new());
        feed(&mut b, &samples, &mut in_steps);
        let mut steps = steps;
        steps.sort();
        for step in steps.into_iter().chain([50_000, 40_000]) {
            b.advance(step, &mut in_steps);
        }
        prop_assert_eq!(in_steps, at_once);
    }

    #[test]
    fn an_event_sent_twice_counts_once_for_every_key_it_touches(samples in world()) {
        let plans = plans();
        let (mut once, mut twice) = (live(&plans, Telling::Each), live(&plans, Telling::Each));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let absorbed = feed(&mut once, &samples, &mut a);
        let doubled: Vec<Sample> = samples.iter().flat_map(|s| [s.clone(), s.clone()]).collect();
        prop_assert_eq!(feed(&mut twice, &doubled, &mut b), absorbed);
        prop_assert_eq!(a, b);
    }
}

fn one(timestamp: Millis) -> Sample {
    Sample { id: 1, user: 1, timestamp, click: true, item: Some(7), tags: vec![2, 1, 2], amount: Some(3) }
}

#[test]
fn one_event_is_told_once_a_key_users_first_then_entities_in_the_order_of_the_file() {
    let plans = plans();
    let (mut live, mut out) = (live(&plans, Telling::Each), Vec::new());
    assert_eq!(feed(&mut live, &[one(3_500), one(3_500)], &mut out), 1);
    let told: Vec<String> = out.iter().map(|patch| patch.key.redis()).collect();
    let want = ["profile:u1", "topic:t1", "topic:t2", "item:i7", "pair:u1:i7", "metric:i7:0", "metric:i7:2000"];
    assert_eq!(told, want);
}

#[test]
fn a_key_is_forgotten_to_the_millisecond_and_an_event_too_old_for_it_is_told_as_nothing() {
    let plans = plans();
    let (mut live, mut out) = (live(&plans, Telling::Each), Vec::new());
    feed(&mut live, &[one(3_500)], &mut out);
    let keys = live.keys();
    out.clear();
    // Its pane is that of the third second: 3 s + 9 s.
    live.advance(11_999, &mut out);
    assert!(!out.iter().any(|patch| patch.key.entity() == "item" && patch.tags.iter().all(|(_, v)| v.is_none())));
    out.clear();
    live.advance(12_000, &mut out);
    let gone: Vec<&Patch> = out.iter().filter(|patch| patch.key.entity() == "item").collect();
    assert_eq!(gone.len(), 1);
    let codes: Vec<&str> = gone[0].tags.iter().map(|(code, _)| &**code).collect();
    assert_eq!(codes, ["item_clicks_5s", "item_users", "item_last", "item_quiet"]);
    assert!(gone[0].tags.iter().all(|(_, value)| value.is_none()));
    live.save(|_, _| {});
    // Two topics and an item.
    assert_eq!(live.keys(), keys - 3);

    out.clear();
    feed(&mut live, &[Sample { id: 2, ..one(2_999) }, Sample { id: 3, ..one(3_000) }], &mut out);
    let of_item: Vec<&Patch> = out.iter().filter(|patch| patch.key.entity() == "item").collect();
    assert_eq!(of_item.len(), 2);
    assert!(of_item.iter().all(|patch| patch.tags.len() == 4 && patch.tags.iter().all(|(_, value)| value.is_none())));
    live.save(|_, _| {});
    assert_eq!(live.keys(), keys - 3, "but for the metric rows, pairs and users there were");
}

#[test]
fn a_key_of_which_a_state_knows_nothing_is_forgotten_at_the_next_instant() {
    let plans = plans();
    let (mut live, mut out) = (live(&plans, Telling::Drained), Vec::new());
    let item = plans.of("item").expect("told");
    live.restore(Key::new("", "item", ["i1"]), State::new(item));
    live.resume(5_000, 4_000);
    live.advance(5_000, &mut out);
    live.drain(10, |patch| out.push(patch));
    assert_eq!(out.len(), 1);
    assert!(out[0].tags.len() == 4 && out[0].tags.iter().all(|(_, value)| value.is_none()));
    let mut saved = Vec::new();
    live.save(|key, state| saved.push((key.redis(), state.is_none())));
    assert_eq!((saved, live.keys()), (vec![("item:i1".to_string(), true)], 0));
    // One that a checkpoint has to tell, and that was forgotten since.
    for entity in ["item", "pair"] {
        live.tell(&Key::new("", entity, ["i2"]));
    }
    let mut told = Vec::new();
    live.drain(10, |patch| told.push(patch.key.redis()));
    assert_eq!((told, live.keys()), (vec!["item:i2".to_string()], 0));
}
