//! The laws of given values: events and patches in any order, again, stopped and resumed come to what their twin says.

use super::columns::Columns;
use super::dedup::{Dedup, Horizon};
use super::fold::Range;
use super::given::Given;
use super::live::{Live, Telling};
use super::plan::Plan;
use super::plans::Plans;
use super::state::State;
use crate::event::{Event, Rules};
use crate::key::Key;
use crate::patch::Patch;
use crate::rows::Block;
use crate::sheet::Sheet;
use crate::tag::{Definitions, Update};
use crate::time::Millis;
use crate::value::Value;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks_5s"
value = "count(*)"
window = "5s"
[[tag]]
code = "clicks"
value = "count(*)"
update = "daily"
[[tag]]
code = "score"
type = "int"
update = "import"
[[tag]]
code = "good"
value = "score > 5"
[[tag]]
code = "hot"
value = "CASE WHEN good AND clicks_5s > 0 THEN 'hot' WHEN clicks > 1 THEN 'warm' ELSE 'cold' END"
[[tag]]
code = "busy"
value = "clicks_5s > 1"
[[tag]]
code = "due"
value = "as_of() >= CAST(score * 1000 AS datetime)"
"#;

/// What comes in: of one user, at its instant.
#[derive(Clone, Debug)]
enum Item {
    Event {
        user: u8,
        id: u8,
        timestamp: Millis,
    },
    /// The value of `score`, or that of `clicks`. Of one instant there is one value, so that any order will do.
    Patch {
        user: u8,
        as_of: Millis,
        clicks: bool,
    },
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let item = prop_oneof![
        (0u8..4, 0u8..40, 0i64..20_000).prop_map(|(user, id, timestamp)| Item::Event { user, id, timestamp }),
        (0u8..4, 0i64..12, any::<bool>()).prop_map(|(user, as_of, clicks)| Item::Patch { user, as_of, clicks }),
    ];
    prop::collection::vec(item, 0..40).prop_map(|mut items| {
        let mut seen = HashSet::new();
        items.retain(|item| !matches!(item, Item::Event { user, id, .. } if !seen.insert((*user, *id))));
        items
    })
}

/// What stands in a patch of an instant; now and then a removal.
fn brought(as_of: Millis, clicks: bool) -> Option<i64> {
    if clicks { (as_of % 5 != 4).then_some(as_of % 4) } else { (as_of % 3 != 2).then_some(as_of) }
}

impl Item {
    fn user(&self) -> u8 {
        let (Item::Event { user, .. } | Item::Patch { user, .. }) = self;
        *user
    }

    fn timestamp(&self) -> Option<Millis> {
        if let Item::Event { timestamp, .. } = self { Some(*timestamp) } else { None }
    }

    fn patch(&self) -> Option<Patch> {
        let Item::Patch { user, as_of, clicks } = self else { return None };
        let code = if *clicks { "clicks" } else { "score" };
        let tags = vec![("other".into(), Some(Value::Int(1))), (code.into(), brought(*as_of, *clicks).map(Value::Int))];
        Some(Patch { key: Key::user("", &format!("u{user}")), as_of: *as_of, tags })
    }
}

fn definitions() -> Arc<Definitions> {
    Arc::new(Definitions::parse(DEFINITIONS, "given").unwrap_or_else(|problems| panic!("{problems:?}")))
}

/// The plan of a stream: `clicks` and `score` are given.
fn plan() -> Arc<Plan> {
    let definitions = definitions();
    let realtime = definitions.by_update(Update::Realtime);
    Arc::new(Plan::live(definitions, &realtime))
}

fn block(plan: &Plan, items: &[Item]) -> Block {
    let mut block = Block::new(&plan.definitions.projection);
    for item in items {
        if let Item::Event { user, id, timestamp } = item {
            let line =
                format!(r#"{{"eventId":"e{id}","userId":"u{user}","eventType":"click","timestamp":{timestamp}}}"#);
            let event = Event::parse(line.as_bytes(), 0, &Rules::default()).expect("valid").expect("not blank");
            block.push(&event, &plan.definitions.projection);
        }
    }
    block
}

type Profiles = BTreeMap<String, BTreeMap<String, Value>>;

/// The realtime tags of all users at an instant, told from the list of items with no state at all.
fn twin(items: &[Item], as_of: Millis, clicks_given: bool) -> Profiles {
    let mut out = Profiles::new();
    for user in 0..4u8 {
        let mine: Vec<&Item> = items.iter().filter(|item| item.user() == user).collect();
        let times: Vec<Millis> = mine.iter().filter_map(|item| item.timestamp()).collect();
        let newest = |wanted: bool| {
            let of = |item: &&Item| match item {
                Item::Patch { as_of, clicks, .. } if *clicks == wanted => Some(*as_of),
                _ => None,
            };
            mine.iter().filter_map(of).max().and_then(|as_of| brought(as_of, wanted))
        };
        let (score, seen) = (newest(false), !times.is_empty());
        let clicks = if clicks_given { newest(true) } else { seen.then_some(times.len() as i64) };
        if !seen && score.is_none() && clicks.is_none() {
            continue;
        }
        let clicks_5s = times.iter().filter(|t| as_of.div_euclid(1000) - t.div_euclid(1000) < 5).count() as i64;
        let mut tags = BTreeMap::new();
        if seen {
            tags.insert("clicks_5s".to_string(), Value::Int(clicks_5s));
            tags.insert("busy".to_string(), Value::Bool(clicks_5s > 1));
        }
        if let Some(score) = score {
            tags.insert("good".to_string(), Value::Bool(score > 5));
            tags.insert("due".to_string(), Value::Bool(as_of >= score * 1000));
        }
        let hot = match (score, clicks) {
            (Some(6..), _) if seen && clicks_5s > 0 => "hot",
            (_, Some(2..)) => "warm",
            _ => "cold",
        };
        tags.insert("hot".to_string(), Value::Str(hot.into()));
        out.insert(format!("u{user}"), tags);
    }
    out
}

fn profiles(patches: Vec<Patch>) -> Profiles {
    let mut profiles = Profiles::new();
    for patch in patches {
        let profile = profiles.entry(patch.key.id().to_string()).or_default();
        for (code, value) in patch.tags {
            match value {
                Some(value) => profile.insert(code.to_string(), value),
                None => profile.remove(&*code),
            };
        }
    }
    profiles.retain(|_, tags| !tags.is_empty());
    profiles
}

fn start(plan: &Arc<Plan>, telling: Telling) -> Live {
    Live::new(plan.clone(), telling, Horizon::within(1 << 20), [3, 4])
}

/// Feeds the items, time following the events.
fn feed(live: &mut Live, items: &[Item], out: &mut Vec<Patch>) {
    for item in items {
        let before = live.now();
        match item.patch() {
            Some(patch) => {
                live.give(&patch, out);
                assert_eq!(live.now(), before, "a patch moves no time");
            }
            None => {
                let block = block(&live.plans()[0].clone(), std::slice::from_ref(item));
                live.advance(block.timestamp(0), out);
                live.push(&block, 0, out);
            }
        }
    }
}

/// The values that the patches among the items give.
fn given(plan: &Plan, items: &[Item]) -> BTreeMap<Key, Given> {
    let mut given: BTreeMap<Key, Given> = BTreeMap::new();
    for patch in items.iter().filter_map(Item::patch) {
        given.entry(patch.key.clone()).or_default().take_patch(plan, &patch);
    }
    given
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn events_and_patches_in_any_order_come_to_the_twin(
        items in items(), order: u64, later in 0i64..20_000, again: bool,
    ) {
        let plan = plan();
        let as_of = items.iter().filter_map(Item::timestamp).max().unwrap_or(0) + later;
        let want = twin(&items, as_of, true);
        let place = |i: usize| (i as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|i| place(*i));
        let times = if again { 2 } else { 1 };
        let shuffled: Vec<Item> = order.into_iter().flat_map(|i| vec![items[i].clone(); times]).collect();

        let (mut told, mut out) = (start(&plan, Telling::Each), Vec::new());
        feed(&mut told, &shuffled, &mut out);
        told.advance(as_of, &mut out);
        prop_assert_eq!(&profiles(out), &want, "each");

        let (mut drained, mut out) = (start(&plan, Telling::Drained), Vec::new());
        for (i, part) in shuffled.chunks(5).enumerate() {
            feed(&mut drained, part, &mut Vec::new());
            if i % 2 == 0 {
                drained.drain(1 + i % 3, |patch| out.push(patch));
            }
        }
        drained.advance(as_of, &mut Vec::new());
        drained.drain(usize::MAX, |patch| out.push(patch));
        prop_assert_eq!(&profiles(out), &want, "drained");

        let mut last = Vec::new();
        drained.tell_all(|patch| last.push(patch));
        prop_assert_eq!(last.len(), want.len());
        prop_assert_eq!(&profiles(last), &want, "all");
        let seen: HashSet<u8> = items.iter().filter(|item| item.patch().is_none()).map(Item::user).collect();
        prop_assert_eq!(drained.keys(), seen.len());
    }

    #[test]
    fn stop_and_resume_anywhere_is_uninterrupted(items in items(), cut: prop::sample::Index) {
        let plan = plan();
        let (before, after) = items.split_at(cut.index(items.len() + 1));
        let (mut whole, mut want) = (start(&plan, Telling::Each), Vec::new());
        feed(&mut whole, &items, &mut want);
        whole.advance(50_000, &mut want);

        let (mut first, mut got) = (start(&plan, Telling::Each), Vec::new());
        feed(&mut first, before, &mut got);
        let mut second = start(&plan, Telling::Each);
        let mut saved = 0;
        first.save(|key, state| {
            let bytes = state.expect("no base took it");
            second.restore(key.clone(), State::decode_days(&plan, |n| Some(n as usize), bytes).expect("just packed"));
            saved += 1;
        });
        prop_assert_eq!(saved, first.keys(), "a key that patches alone have named has no state");
        given(&plan, before).into_iter().for_each(|(key, given)| second.restore_given(&key, given));
        let mut ids = Dedup::new(Horizon::within(1 << 20));
        first.save_ids().0.into_iter().for_each(|(slice, new)| ids.restore(slice, new, first.now()));
        second.restore_ids(ids);
        second.resume(first.now(), first.newest());
        feed(&mut second, after, &mut got);
        second.advance(50_000, &mut got);
        prop_assert_eq!(got, want);
    }

    #[test]
    fn a_run_over_the_log_with_imports_comes_to_the_twin(items in items(), later in 0i64..20_000) {
        let definitions = definitions();
        let told: Vec<usize> = (0..definitions.tags.len()).filter(|t| definitions.tags[*t].update != Update::Import).collect();
        let plan = Plan::new(definitions, &told);
        let as_of = items.iter().filter_map(Item::timestamp).max().unwrap_or(0) + later;
        let mut columns = Columns::new(&plan, Range::default(), as_of);
        columns.add(&mut block(&plan, &items));
        let mut sheet = Sheet::default();
        let keys = columns.finish(&given(&plan, &items), &mut sheet);
        let text = String::from_utf8(sheet.written().to_vec()).expect("UTF-8");
        let lines: Vec<Patch> = text.lines().map(|line| Patch::parse(line).expect(line)).collect();
        prop_assert!(lines.is_sorted_by_key(|patch| patch.key.clone()));
        let (mut got, want) = (profiles(lines), twin(&items, as_of, false));
        prop_assert_eq!(keys as usize, want.len());
        got.values_mut().for_each(|tags| drop(tags.remove("clicks")));
        prop_assert_eq!(got, want);
    }
}

#[test]
fn of_equal_instants_the_later_to_come_wins_and_a_value_takes_the_type_of_its_tag() {
    let plan = plan();
    let mut given = Given::default();
    let score = plan.given_place("score").expect("it is given");
    let mut take = |value: Value, as_of| {
        given.take(&plan, score, Some(&value), as_of);
        given.value(score).cloned()
    };
    assert_eq!(take(Value::Int(1), 5), Some(Value::Int(1)));
    assert_eq!(take(Value::Int(2), 5), Some(Value::Int(2)));
    assert_eq!(take(Value::Int(3), 4), Some(Value::Int(2)));
    assert_eq!(take(Value::Str("7".into()), 6), Some(Value::Int(7)));
    assert_eq!(take(Value::Str("many".into()), 7), None);
}

#[test]
fn a_stream_computes_the_daily_tags_it_is_asked_for_and_is_given_the_others() {
    let definitions = definitions();
    let given =
        |plan: Plan| plan.given.iter().map(|tag| plan.definitions.tags[*tag].code.to_string()).collect::<Vec<_>>();
    let place = |code: &str| definitions.index(code).expect("defined");
    let live = |outputs: &[usize]| given(Plan::live(definitions.clone(), outputs));
    assert_eq!(live(&[place("hot")]), ["clicks", "score"]);
    assert_eq!(live(&[place("hot"), place("clicks")]), ["score"]);
    assert_eq!(live(&[place("busy")]), [""; 0]);
    assert_eq!(given(Plan::new(definitions.clone(), &[place("hot")])), ["score"]);
}

#[test]
fn what_is_no_patch_for_a_stream_is_refused_with_its_reason() {
    let plan = plan();
    for (line, why) in [
        (r#"{"userId":"u","asOf":1,"tags":{"score":1,"clicks":null}}"#, ""),
        (r#"{"userId":"u","asOf":1,"tags":{"clicks_5s":1}}"#, "tag `clicks_5s` is computed by this stream"),
        (r#"{"userId":"u","asOf":1,"tags":{"score":1,"hot":"x"}}"#, "tag `hot` is computed by this stream"),
        (r#"{"userId":"u","asOf":1,"tags":{"scores":1}}"#, "tag `scores` is not defined"),
        (r#"{"userId":"u","asOf":1,"tags":{"score":"many"}}"#, "tag `score` is int, which many is not"),
        (r#"{"entity":"item","key":"i","asOf":1,"tags":{"score":1}}"#, "is of an entity without tags in this stream"),
    ] {
        let found = Plans::from(plan.clone()).check(&Patch::parse(line).expect(line)).err().unwrap_or_default();
        assert!(found.contains(why) && found.is_empty() == why.is_empty(), "{line}: {found}");
    }
}
