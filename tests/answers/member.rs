//! Live membership over random events, patches, rules and restarts, against a second implementation that knows neither an
//! index nor timers: it looks at every user at every millisecond.

use crate::random::{Random, Segments};
use crate::store::AS_OF;
use adprof::engine::dedup::{Dedup, Horizon};
use adprof::engine::derived::Derived;
use adprof::engine::live::{Live, Telling};
use adprof::engine::plan::Plan;
use adprof::engine::state::State;
use adprof::event::{Event, Rules};
use adprof::key::Key;
use adprof::patch::Patch;
use adprof::profiles::Profile;
use adprof::rows::Block;
use adprof::segment::Rule;
use adprof::tag::{Definitions, Schedule, Status, Update};
use adprof::time::Millis;
use adprof::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tags of the random rules, computed from events where that can be.
const TAGS: &str = r#"
[[field]]
path = "properties.age"
type = "int"
[[tag]]
code = "age"
type = "int"
value = "max(properties.age)"
window = "5s"
[[tag]]
code = "city"
value = "last(category)"
[[tag]]
code = "ltv"
value = "sum(amount)"
window = "6s"
resolution = "2s"
[[tag]]
code = "score"
type = "double"
update = "import"
[[tag]]
code = "vip"
type = "bool"
update = "import"
[[tag]]
code = "seen"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "many"
value = "count(*)"
window = "3s"
[[tag]]
code = "level"
value = "CASE WHEN ltv >= 2 AND many > 1 THEN 'hot' WHEN vip THEN 'warm' ELSE 'cold' END"
[[tag]]
code = "idle"
value = "as_of() - seen > 4000"
"#;

const BEGIN: Millis = AS_OF - 9_000;
const USERS: usize = 3;
const CITIES: [&str; 4] = ["Oslo", "oslo", "a_b", "Malm\u{f6}"];

#[derive(Clone, Debug)]
enum Input {
    Event { id: usize, user: usize, ts: Millis, age: Option<u64>, city: Option<&'static str>, amount: Option<u64> },
    Patch { user: usize, as_of: Millis, score: Option<Option<u64>>, vip: Option<Option<bool>> },
}

fn input(random: &mut Random, id: usize, now: Millis) -> Input {
    let user = random.below(USERS as u64) as usize;
    if random.below(4) == 0 {
        let score = (random.below(2) == 0).then(|| (random.below(5) > 0).then(|| random.below(16)));
        let vip = (random.below(2) == 0).then(|| (random.below(5) > 0).then(|| random.below(2) == 0));
        return Input::Patch { user, as_of: now - random.below(3_000) as Millis, score, vip };
    }
    let late = if random.below(5) == 0 { random.below(9_000) as Millis } else { 0 };
    let ts = (now - late).max(BEGIN);
    Input::Event {
        id,
        user,
        // Edges of panes are hit.
        ts: if random.below(3) == 0 { ts / 1000 * 1000 } else { ts },
        age: (random.below(2) == 0).then(|| random.below(60)),
        city: (random.below(2) == 0).then(|| *random.pick(&CITIES)),
        amount: (random.below(2) == 0).then(|| random.below(12) * 25),
    }
}

impl Input {
    fn line(&self) -> String {
        let Input::Event { id, user, ts, age, city, amount } = self else { unreachable!("asked of events") };
        let age = age.map_or(String::new(), |age| format!(r#","properties":{{"age":{age}}}"#));
        let city = city.map_or(String::new(), |city| format!(r#","category":"{city}""#));
        let amount = amount.map_or(String::new(), |n| format!(r#","amount":{}.{:02}"#, n / 100, n % 100));
        format!(r#"{{"eventId":"e{id}","userId":"u{user}","eventType":"click","timestamp":{ts}{age}{city}{amount}}}"#)
    }

    fn patch(&self) -> Patch {
        let Input::Patch { user, as_of, score, vip } = self else { unreachable!("asked of patches") };
        let mut tags: Vec<(Arc<str>, Option<Value>)> = Vec::new();
        tags.extend(score.map(|n| ("score".into(), n.map(|n| Value::Double(n as f64 / 8.0 - 1.0)))));
        tags.extend(vip.map(|b| ("vip".into(), b.map(Value::Bool))));
        Patch { key: key(*user), as_of: *as_of, tags }
    }
}

fn key(user: usize) -> Key {
    Key::user("", &format!("u{user}"))
}

/// The tags of a user, each as simply as can be said; `None`: nothing is known.
fn naive(inputs: &[Input], definitions: &Definitions, user: usize, at: Millis) -> Option<Profile> {
    let mut values: BTreeMap<&str, Value> = BTreeMap::new();
    let (mut events, mut given) = (Vec::new(), [(Millis::MIN, None), (Millis::MIN, None)]);
    for one in inputs {
        match one {
            Input::Event { user: of, .. } if *of == user => events.push(one),
            Input::Patch { user: of, as_of, score, vip } if *of == user => {
                let score = score.map(|n| n.map(|n| Value::Double(n as f64 / 8.0 - 1.0)));
                let vip = vip.map(|b| b.map(Value::Bool));
                for (known, new) in given.iter_mut().zip([score, vip]) {
                    if let Some(new) = new
                        && *as_of >= known.0
                    {
                        *known = (*as_of, new);
                    }
                }
            }
            _ => {}
        }
    }
    if events.is_empty() && given.iter().all(|(_, value)| value.is_none()) {
        return None;
    }
    let [(_, score), (_, vip)] = given;
    values.extend(score.map(|score| ("score", score)));
    let is_vip = vip == Some(Value::Bool(true));
    values.extend(vip.map(|vip| ("vip", vip)));
    let within = |ts: Millis, span: Millis, r: Millis| at.div_euclid(r) - ts.div_euclid(r) < span / r;
    let (mut ages, mut cities, mut amounts, mut seen, mut many) = (vec![], vec![], vec![], vec![], 0);
    for one in &events {
        let Input::Event { id, ts, age, city, amount, .. } = one else { continue };
        seen.push(*ts);
        many += i64::from(within(*ts, 3_000, 1_000));
        ages.extend(age.filter(|_| within(*ts, 5_000, 1_000)));
        cities.extend(city.map(|city| (*ts, format!("e{id}"), city)));
        amounts.extend(amount.filter(|_| within(*ts, 6_000, 2_000)));
    }
    values.extend(ages.iter().max().map(|age| ("age", Value::Int(*age as i64))));
    values.extend(cities.iter().max().map(|(.., city)| ("city", Value::Str((*city).into()))));
    let sum = amounts.iter().sum::<u64>();
    if !amounts.is_empty() {
        values.insert("ltv", Value::Decimal(adprof::money::Decimal(i128::from(sum) * 10_000)));
    }
    values.extend(seen.iter().max().map(|ts| ("seen", Value::Time(*ts))));
    if !events.is_empty() {
        values.insert("many", Value::Int(many));
    }
    let level = match sum >= 200 && many > 1 {
        true => "hot",
        false if is_vip => "warm",
        false => "cold",
    };
    values.insert("level", Value::Str(level.into()));
    values.extend(seen.iter().max().map(|ts| ("idle", Value::Bool(at - ts > 4_000))));
    let of = |tag: &adprof::tag::Tag| values.remove(&*tag.code);
    let values = definitions.tags.iter().map(of).collect();
    Some(Profile { key: key(user), as_of: at, values, others: Vec::new() })
}

/// Who is in what, as the second implementation has it, and what it has to say.
struct Naive {
    rules: Vec<(String, Rule)>,
    members: BTreeMap<(usize, String), Millis>,
}

type Told = (Millis, usize, String, Option<Millis>);

impl Naive {
    fn rules(definitions: &Definitions) -> Vec<(String, Rule)> {
        let live = |s: &&adprof::tag::Segment| s.status == Status::Active && s.schedule == Schedule::Live;
        definitions.segments.iter().filter(live).map(|s| (s.code.to_string(), Rule::of(s))).collect()
    }

    /// Looks at everybody.
    fn look(&mut self, inputs: &[Input], definitions: &Definitions, at: Millis) -> Vec<Told> {
        let mut told = Vec::new();
        for user in 0..USERS {
            let profile = naive(inputs, definitions, user, at);
            let mut all: Vec<String> = self.rules.iter().map(|(code, _)| code.clone()).collect();
            all.extend(self.members.keys().filter(|(of, _)| *of == user).map(|(_, code)| code.clone()));
            all.sort();
            all.dedup();
            for code in all {
                let rule = self.rules.iter_mut().find(|(known, _)| *known == code);
                let is = profile.as_ref().zip(rule).is_some_and(|(profile, (_, rule))| rule.matches(profile, at));
                match self.members.get(&(user, code.clone())).copied() {
                    None if is => {
                        self.members.insert((user, code.clone()), at);
                        told.push((at, user, code, None));
                    }
                    Some(since) if !is => {
                        self.members.remove(&(user, code.clone()));
                        told.push((at, user, code, Some(since)));
                    }
                    _ => {}
                }
            }
        }
        told
    }
}

fn live(definitions: &Arc<Definitions>) -> Live {
    let outputs = definitions.by_update(Update::Realtime);
    let watched = adprof::engine::audience::watched_tags(definitions);
    let plan = Arc::new(Plan::watching(definitions.clone(), &outputs, &watched));
    let numbers = plan.counters.iter().map(|c| c.tag as u64).collect();
    let mut live = Live::new(plan, Telling::Drained, Horizon::within(1 << 20), [3, 4]);
    live.number(vec![numbers]);
    live
}

/// Stops, and goes on from what a checkpoint holds, maybe with other definitions.
fn restart(mut old: Live, definitions: &Arc<Definitions>, inputs: &[Input]) -> Live {
    let mut new = live(definitions);
    let plan = new.plans()[0].clone();
    let known: Vec<_> = old.audiences();
    let known = serde_json::from_slice::<Vec<_>>(&serde_json::to_vec(&known).expect("JSON")).expect("read back");
    new.watch(&known, true);
    new.resume(old.now(), old.newest());
    old.save_again();
    old.save(|key, bytes| {
        let place = |n: u64| plan.counters.iter().position(|c| c.tag as u64 == n);
        if let Some(bytes) = bytes {
            new.restore(key.clone(), State::decode_days(&plan, place, bytes).expect("packed"));
        }
    });
    let mut given: BTreeMap<usize, adprof::engine::given::Given> = BTreeMap::new();
    for one in inputs {
        if let Input::Patch { user, .. } = one {
            given.entry(*user).or_default().take_patch(&plan, &one.patch());
        }
    }
    given.into_iter().for_each(|(user, given)| new.restore_given(&key(user), given));
    let mut saved: BTreeMap<Key, Option<Vec<u8>>> = BTreeMap::new();
    old.save_members(|key, bytes| drop(saved.insert(key.clone(), bytes.map(<[u8]>::to_vec))));
    for user in 0..USERS {
        // Memberships that did not change since the last checkpoint are there already: said again here.
        let of = old.audiences_of(&key(user));
        assert!(saved.get(&key(user)).is_none_or(|bytes| bytes.is_some() != of.is_empty()));
        let bytes = old.encoded_members(&key(user));
        assert_eq!(bytes.is_some(), !of.is_empty());
        assert!(bytes.is_none_or(|bytes| new.restore_members(&key(user), &bytes)));
    }
    let mut ids = Dedup::new(Horizon::within(1 << 20));
    old.save_ids().0.into_iter().for_each(|(slice, saved)| ids.restore(slice, saved, old.now()));
    new.restore_ids(ids);
    new
}

fn told(derived: Vec<Derived>) -> Vec<Told> {
    let user = |d: &Derived| d.key.id()[1..].parse().expect("a number");
    let mut told: Vec<Told> = derived.iter().map(|d| (d.at, user(d), d.segment.to_string(), d.since)).collect();
    told.sort();
    told
}

fn definitions(random: &mut Random, before: Option<&Segments>) -> (Arc<Definitions>, Segments) {
    let segments = match before {
        // Some of them stay as they are.
        Some(before) if random.below(3) > 0 => before.with_some_more(random, 2),
        _ => Segments::some(random, 8),
    };
    let mut text = format!("{TAGS}{}", segments.definitions());
    for (code, rule) in [
        ("hot", "level = 'hot' OR idle"),
        ("window", "many >= 2 AND many < 4"),
        ("quiet", "many = 0 AND as_of() - seen BETWEEN 3500 AND 5000"),
        ("nested", "NOT in_segment('window') AND in_segment('hot')"),
        ("late", "as_of() >= CAST(1731296325000 AS datetime)"),
        ("odd", "CAST(as_of() AS int) % 2 = 0 AND many > 2 AND many < 2"),
    ] {
        let status = ["active", "active", "active", "draft", "archived"][random.below(5) as usize];
        let status = if random.below(2) == 0 { "active" } else { status };
        text += &format!("[[segment]]\ncode = \"{code}\"\nstatus = \"{status}\"\nrule = \"{rule}\"\n");
    }
    let parsed = Definitions::parse(&text, "test").unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    (Arc::new(parsed), segments)
}

fn world(seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let (mut known, mut segments) = definitions(&mut random, None);
    let mut naive = Naive { rules: Naive::rules(&known), members: BTreeMap::new() };
    let mut live = live(&known);
    live.watch(&[], true);
    let (mut inputs, mut now): (Vec<Input>, Millis) = (Vec::new(), BEGIN);
    live.advance(now, &mut Vec::new());
    let mut ids = std::collections::BTreeSet::new();
    let (mut enters, mut by_time) = (0, 0);
    for step in 0..24 {
        let context = |what: &str| format!("seed {seed:#x}, step {step}: {what}");
        // What the start found, if anything.
        assert!(live.find_members(usize::MAX));
        assert_eq!(told(live.take_derived()), naive.look(&inputs, &known, now), "{}", context("definitions"));
        if random.below(4) == 0 {
            if random.below(2) == 0 {
                (known, segments) = definitions(&mut random, Some(&segments));
                naive.rules = Naive::rules(&known);
            }
            live = restart(live, &known, &inputs);
            continue;
        }
        let to = now + random.below(2_500) as Millis;
        live.advance(to, &mut Vec::new());
        let derived = live.take_derived();
        derived.iter().for_each(|d| assert!(ids.insert(d.id()), "{}", context("an id twice")));
        let mut want = Vec::new();
        for at in now + 1..=to {
            want.extend(naive.look(&inputs, &known, at));
        }
        by_time += want.len();
        want.sort();
        assert_eq!(told(derived), want, "{} {now}..{to}\n{inputs:#?}", context("time"));
        now = to;
        let one = input(&mut random, inputs.len(), now);
        match &one {
            Input::Patch { .. } => live.give(&one.patch(), &mut Vec::new()),
            Input::Event { .. } => {
                let plan = live.plans()[0].clone();
                let mut block = Block::new(&plan.definitions.projection);
                let line = one.line();
                let event = Event::parse(line.as_bytes(), now, &Rules::default()).expect("valid").expect("not blank");
                block.push(&event, &plan.definitions.projection);
                live.push(&block, 0, &mut Vec::new());
            }
        }
        inputs.push(one);
        let derived = live.take_derived();
        derived.iter().for_each(|d| assert!(ids.insert(d.id()), "{}", context("an id twice")));
        let mut want = naive.look(&inputs, &known, now);
        enters += want.len();
        want.sort();
        assert_eq!(told(derived), want, "{} {:?}", context("input"), inputs.last());
        // Folded they are what the state holds.
        for user in 0..USERS {
            let mut held = live.audiences_of(&key(user));
            held.sort();
            let want: Vec<(String, Millis)> = naive
                .members
                .iter()
                .filter(|((of, _), _)| *of == user)
                .map(|((_, code), since)| (code.clone(), *since))
                .collect();
            assert_eq!(held, want, "{}", context("held"));
        }
    }
    (enters, by_time)
}

#[test]
fn enters_and_leaves_folded_are_the_memberships_at_every_millisecond() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, worlds) = (number("ADPROF_TEST_SEED").unwrap_or(1), number("ADPROF_TEST_WORLDS").unwrap_or(60));
    let (mut enters, mut by_time) = (0, 0);
    for seed in first..first + worlds {
        let (e, t) = world(seed);
        (enters, by_time) = (enters + e, by_time + t);
    }
    eprintln!("{worlds} worlds: {enters} enters and leaves by events and patches, {by_time} by time");
    assert!(enters as u64 > 10 * worlds && by_time as u64 > 5 * worlds);
}

/// One tag, the number of events, and one segment.
fn counting(rule: &str) -> Arc<Definitions> {
    let text =
        format!("[[tag]]\ncode = \"n\"\nvalue = \"count(*)\"\n[[segment]]\ncode = \"active\"\nrule = \"{rule}\"\n");
    Arc::new(Definitions::parse(&text, "test").unwrap_or_else(|problems| panic!("{problems:?}")))
}

fn push(live: &mut Live, definitions: &Definitions, id: usize, user: usize) {
    let line = Input::Event { id, user, ts: BEGIN, age: None, city: None, amount: None }.line();
    let mut block = Block::new(&definitions.projection);
    let event = Event::parse(line.as_bytes(), BEGIN, &Rules::default()).expect("valid").expect("not blank");
    block.push(&event, &definitions.projection);
    live.push(&block, 0, &mut Vec::new());
}

/// Gone on from a checkpoint that has the membership of user 0, who had two events, and nothing else of her.
fn with_a_membership_alone(definitions: &Arc<Definitions>) -> Live {
    let mut old = live(definitions);
    old.watch(&[], true);
    old.advance(BEGIN, &mut Vec::new());
    (0..2).for_each(|id| push(&mut old, definitions, id, 0));
    old.find_members(1);
    let mut new = live(definitions);
    new.watch(&old.audiences(), true);
    new.resume(BEGIN, BEGIN);
    assert!(new.restore_members(&key(0), &old.encoded_members(&key(0)).expect("she is in")));
    new
}

fn users(derived: Vec<Derived>) -> Vec<(String, bool)> {
    derived.iter().map(|d| (d.key.id().to_string(), d.since.is_some())).collect()
}

#[test]
fn nobody_takes_the_place_of_a_user_before_she_has_left() {
    let definitions = counting("n > 0");
    let mut live = with_a_membership_alone(&definitions);
    live.tell_again();
    live.drain(10, |_| ());
    push(&mut live, &definitions, 2, 1);
    live.advance(BEGIN + 1, &mut Vec::new());
    assert_eq!(users(live.take_derived()), [("u1".to_string(), false), ("u0".to_string(), true)]);
    assert_eq!(live.audiences_of(&key(1)), [("active".to_string(), BEGIN)]);
    assert!(live.audiences_of(&key(0)).is_empty());
}

#[test]
fn who_begins_anew_before_she_has_left_leaves_what_is_no_longer_true_of_her() {
    let definitions = counting("n > 1");
    let mut live = with_a_membership_alone(&definitions);
    push(&mut live, &definitions, 2, 0);
    assert_eq!(users(live.take_derived()), [("u0".to_string(), true)]);
    push(&mut live, &definitions, 3, 0);
    live.advance(BEGIN + 1, &mut Vec::new());
    assert_eq!(users(live.take_derived()), [("u0".to_string(), false)]);
}
