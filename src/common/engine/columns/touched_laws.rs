//! The law of touched keys: whatever an entity's key is, its tags are those of a fold of each key's events on its own, and of
//! what was given of it.

use super::Touched;
use super::laws::{DECLARED, aggregation};
use crate::engine::given::Given;
use crate::engine::plan::{HIDDEN, Plan};
use crate::engine::state::State;
use crate::event::{Event, Rules};
use crate::expr::Scratch;
use crate::key::Key;
use crate::rows::Block;
use crate::sheet::Sheet;
use crate::tag::Definitions;
use crate::time::Millis;
use crate::value::Value;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One event, no other is like it; what is `None` is not in the line, and an empty list is no list.
#[derive(Clone, Debug)]
struct Sample {
    user: u8,
    timestamp: Millis,
    item: Option<&'static str>,
    category: Option<&'static str>,
    /// As JSON.
    labels: Vec<&'static str>,
    amount: Option<u16>,
}

/// A label as a part of a key; `None` where it is none.
fn label(json: &str) -> Option<String> {
    match json {
        "null" | "1.5" | "[\"a\"]" | "\"\"" | "\"\\u0001\"" => None,
        text => Some(text.trim_matches('"').to_string()),
    }
}

impl Sample {
    fn line(&self, id: usize) -> String {
        let Sample { user, timestamp, item, category, labels, amount } = self;
        // Two users' events may have one id.
        let kind = ["click", "view", "purchase"][id % 3];
        let mut line =
            format!(r#"{{"eventId":"e{}","userId":"u{user}","eventType":"{kind}","timestamp":{timestamp}"#, id / 2);
        for (name, value) in [("itemId", item), ("category", category)] {
            value.iter().for_each(|value| line.push_str(&format!(r#","{name}":"{value}""#)));
        }
        amount.iter().for_each(|amount| line.push_str(&format!(r#","amount":{amount}"#)));
        let labels = if labels.is_empty() { "\"none\"".into() } else { format!("[{}]", labels.join(",")) };
        line.push_str(&format!(r#","score":{},"properties":{{"duration":{},"labels":{labels}}}}}"#, id % 4, id % 3));
        line
    }

    /// The parts of the keys it touches.
    fn keys(&self, entity: &str) -> BTreeSet<Vec<String>> {
        let text =
            |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_string).into_iter().collect();
        let slices = |size: Millis, step: Millis| -> Vec<String> {
            let starts =
                (-100..100).map(|n| n * step).filter(|start| *start <= self.timestamp && self.timestamp < start + size);
            starts.map(|start| start.to_string()).collect()
        };
        let labels: Vec<String> = self.labels.iter().filter_map(|json| label(json)).collect();
        let parts: Vec<Vec<String>> = match entity {
            "item" => vec![text(self.item)],
            "minute" => vec![text(self.category), slices(5000, 5000)],
            "label" => vec![labels],
            "trend" => vec![labels, slices(6000, 2000)],
            other => panic!("{other}"),
        };
        let longer = |keys: Vec<Vec<String>>, part: &Vec<String>| {
            keys.iter().flat_map(|key| part.iter().map(|value| [key.clone(), vec![value.clone()]].concat())).collect()
        };
        parts.iter().fold(vec![Vec::new()], longer).into_iter().collect()
    }
}

const ENTITIES: [(&str, &str); 4] = [
    ("item", "'itemId'"),
    ("minute", "['category', \"tumble(timestamp, '5s')\"]"),
    ("label", "'properties.labels[]'"),
    ("trend", "['properties.labels[]', \"hop(timestamp, '6s', '2s')\"]"),
];

fn sample() -> impl Strategy<Value = Sample> {
    let instant = prop_oneof![0i64..30_000, (0i64..30).prop_map(|s| s * 1000), (1i64..30).prop_map(|s| s * 1000 - 1)];
    let item = prop::sample::select(vec![None, Some(""), Some("i"), Some("i:1"), Some("an item with a long name")]);
    let category = prop::sample::select(vec![None, Some("toys"), Some("toy"), Some("\u{fc}")]);
    let labels = vec!["\"a\"", "\"b\"", "\"a\"", "7", "true", "null", "1.5", "[\"a\"]", "\"\"", "\"\\u0001\""];
    let labels = prop::collection::vec(prop::sample::select(labels), 0..6);
    (0u8..4, instant, item, category, labels, prop::option::of(any::<u16>())).prop_map(
        |(user, timestamp, item, category, labels, amount)| Sample { user, timestamp, item, category, labels, amount },
    )
}

/// The plan of an entity; it forgets where its tags let it.
fn plan(entity: usize, retain: Option<&str>, aggregations: &[String]) -> Plan {
    let (name, key) = ENTITIES[entity];
    let text = |retain: Option<&str>| {
        let retain = retain.map_or(String::new(), |span| format!("retain = '{span}'\n"));
        let mut text = format!("{DECLARED}[[entity]]\nname = '{name}'\nkey = {key}\n{retain}");
        for (n, body) in aggregations.iter().enumerate() {
            text.push_str(&format!("[[tag]]\nentity = '{name}'\ncode = 'n{n}'\n{body}"));
        }
        text.push_str(&format!(
            "[[tag]]\nentity = '{name}'\ncode = 'd'\nvalue = \"COALESCE(CAST(n0 AS VARCHAR), '-')\"\n\
            [[tag]]\nentity = '{name}'\ncode = 'score'\ntype = 'int'\nupdate = 'import'\n\
            [[tag]]\nentity = '{name}'\ncode = 'good'\nvalue = \"CASE WHEN score > 5 THEN d ELSE 'no' END\"\n"
        ));
        text
    };
    let parse = |retain| Definitions::parse(&text(retain), "laws");
    let definitions = parse(retain).or_else(|_| parse(None)).unwrap_or_else(|problems| panic!("{problems:?}"));
    let all: Vec<usize> = (0..definitions.tags.len()).collect();
    Plan::new(Arc::new(definitions), &all)
}

fn block<'s>(plan: &Plan, samples: impl IntoIterator<Item = (usize, &'s Sample)>) -> Block {
    let mut block = Block::new(&plan.definitions.projection);
    for (id, sample) in samples {
        let line = sample.line(id);
        let event = Event::parse(line.as_bytes(), 0, &Rules::default()).expect(&line).expect("not blank");
        block.push(&event, &plan.definitions.projection);
    }
    block
}

/// The patch of one key, from its events and its score alone.
fn told(plan: &Plan, key: &Key, block: &Block, score: Option<i64>, retain: Option<Millis>, as_of: Millis) -> Vec<u8> {
    let (mut state, mut scratch, mut out) = (State::new(plan), Scratch::new(), Vec::new());
    let lives = |at: &Millis| retain.is_none_or(|retain| as_of < at.div_euclid(1000) * 1000 + retain);
    let mut values = vec![None; plan.definitions.tags.len()];
    let lives = block.timestamps().iter().any(lives);
    if lives {
        for (place, counter) in plan.counters.iter().enumerate().filter(|(_, counter)| counter.tag != HIDDEN) {
            for row in 0..block.len() {
                counter.add(place, &mut state, block, row, as_of, &mut scratch);
            }
            values[counter.tag] = state.value(place, counter, as_of);
        }
    }
    if lives || score.is_some() {
        values[plan.given[0]] = score.map(Value::Int);
        plan.derive(&mut values, lives, as_of, &mut scratch);
    }
    plan.patch(key, as_of, &values).push_line(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn touched_keys_have_the_values_of_their_own_events(
        entity in 0..ENTITIES.len(),
        retain in prop::sample::select(vec![None, Some(("15s", 15_000)), Some(("1h", 3_600_000))]),
        aggregations in prop::collection::vec(aggregation(), 1..5),
        parts in prop::collection::vec(prop::collection::vec(sample(), 0..60), 1..3),
        rows in 1usize..20,
        back in any::<bool>(),
        later in prop_oneof![Just(0i64), 0i64..20_000],
        edge in prop::option::of((0usize..60, -1i64..=1)),
        shards in 1usize..4,
        scores in prop::collection::vec((0usize..40, prop::option::of(0i64..10)), 0..8),
    ) {
        let plan = plan(entity, retain.map(|(text, _)| text), &aggregations);
        let kept = plan.hidden().and(retain).map(|(_, span)| span);
        let newest = parts.iter().flatten().map(|s| s.timestamp).max().unwrap_or(0);
        let at_edge = edge.zip(kept).map(|((n, by), span)| {
            let one = parts[0].get(n).map_or(0, |s| s.timestamp);
            one.div_euclid(1000) * 1000 + span + by
        });
        let as_of = newest.max(at_edge.unwrap_or(newest + later));
        let mut touched = Touched::new(&plan, as_of);
        for samples in &parts {
            let mut of_key: BTreeMap<Key, Vec<(usize, &Sample)>> = BTreeMap::new();
            for (id, sample) in samples.iter().enumerate() {
                for parts in sample.keys(ENTITIES[entity].0) {
                    let key = Key::new("", ENTITIES[entity].0, parts.iter().map(String::as_str));
                    of_key.entry(key).or_default().push((id, sample));
                }
            }
            // Some of these keys, and some that no event touches; of a removal nothing is left.
            let touched_keys: Vec<Key> = of_key.keys().cloned().collect();
            let mut all_given: BTreeMap<Key, (Given, Option<i64>)> = BTreeMap::new();
            for (n, score) in &scores {
                let width = if entity % 2 == 0 { 1 } else { 2 };
                let other = Key::new("", ENTITIES[entity].0, std::iter::repeat_n(["x", "y"][n % 2], width));
                let key = touched_keys.get(*n).cloned().unwrap_or(other);
                let mut given = Given::default();
                given.take(&plan, 0, score.map(Value::Int).as_ref(), 5);
                all_given.insert(key, (given, *score));
            }
            let shard = |key: &str| key.bytes().map(usize::from).sum::<usize>() % shards;
            // One part of the keys after the other in the same memory: nothing may be left of the one before.
            for mine in 0..shards {
                let own: BTreeMap<&Key, &Vec<_>> = of_key.iter().filter(|(key, _)| shard(key.as_str()) == mine).collect();
                let mut events: Vec<(usize, &Sample)> = own.values().flat_map(|events| events.iter().copied()).collect();
                events.sort_by_key(|(id, _)| *id);
                events.dedup_by_key(|(id, _)| *id);
                if back {
                    events.reverse();
                }
                touched.reset();
                for some in events.chunks(rows) {
                    touched.add(&block(&plan, some.iter().copied()), |key| shard(key) == mine);
                }
                let mut got = Sheet::default();
                let own_given = all_given.iter().filter(|(key, _)| shard(key.as_str()) == mine);
                let given: BTreeMap<Key, Given> = own_given.clone().map(|(key, (given, _))| (key.clone(), given.clone())).collect();
                let known = own_given.filter(|(_, (_, score))| score.is_some()).map(|(key, _)| key);
                let keys: BTreeSet<&Key> = own.keys().copied().chain(known).collect();
                prop_assert_eq!(touched.finish(&given, &mut got) as usize, keys.len());
                let of = |key: &&Key| {
                    let events = own.get(*key).into_iter().flat_map(|events| events.iter().copied());
                    told(&plan, key, &block(&plan, events), all_given.get(*key).and_then(|(_, score)| *score), kept, as_of)
                };
                let want: Vec<u8> = keys.iter().flat_map(of).collect();
                prop_assert_eq!(std::str::from_utf8(got.written()), std::str::from_utf8(&want), "{}", plan.definitions.text);
            }
        }
    }
}
