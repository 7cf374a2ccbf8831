//! Imported values of items and pairs: a stream, a store and a batch with imports say what a fold by hand says.

use crate::streams::Random;
use crate::support::Dir;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const DEFINITIONS: &str = r#"
[[entity]]
name = "item"
key = "itemId"
retain = "2h"
[[entity]]
name = "pair"
key = ["userId", "itemId"]
[[tag]]
code = "clicks"
value = "count(*)"
[[tag]]
code = "credit"
type = "int"
update = "import"
[[tag]]
code = "trusted"
value = "credit > 5"
[[tag]]
code = "item_clicks"
entity = "item"
value = "count(*)"
[[tag]]
code = "stock"
entity = "item"
type = "int"
update = "import"
[[tag]]
code = "offer"
entity = "item"
value = "CASE WHEN stock > 5 AND item_clicks > 2 THEN 'push' WHEN stock > 5 THEN 'have' WHEN stock IS NULL THEN 'unknown' ELSE 'low' END"
[[tag]]
code = "pair_events"
entity = "pair"
value = "count(*)"
[[tag]]
code = "price"
entity = "pair"
type = "decimal"
update = "import"
[[tag]]
code = "dear"
entity = "pair"
value = "price > 10 AND pair_events > 1"
"#;
const TAGS: &str = "clicks,trusted,item_clicks,offer,pair_events,dear";
const AT: i64 = 1_763_640_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// By entity and key, the tags that have a value.
type Keyed = BTreeMap<(String, String), Map<String, Value>>;

struct Event {
    user: String,
    item: String,
    at: i64,
}

struct Import {
    entity: &'static str,
    key: Value,
    code: &'static str,
    as_of: i64,
    value: Option<u64>,
}

impl Import {
    fn line(&self) -> String {
        let Import { entity, key, code, as_of, value } = self;
        let head = if *entity == "user" { json!({ "userId": key }) } else { json!({ "entity": entity, "key": key }) };
        let head = head.to_string();
        format!("{},\"asOf\":{as_of},\"tags\":{{\"{code}\":{}}}}}\n", &head[..head.len() - 1], json!(value))
    }
}

fn world(seed: u64) -> (Vec<Event>, Vec<Import>) {
    let mut random = Random(seed);
    let events = (0..250).map(|_| Event {
        user: format!("u{}", random.below(5)),
        item: format!("i{}", random.below(12)),
        // Many at the edges of what an item remembers.
        at: match random.below(3) {
            0 => AT - 2 * HOUR - [0, 1, -1, MINUTE - 1, MINUTE, MINUTE + 1][random.below(6) as usize],
            _ => AT - random.below(5 * HOUR as u64) as i64,
        },
    });
    let events: Vec<Event> = events.collect();
    let imports = (0..120).map(|i| {
        let (user, item) = (format!("u{}", random.below(7)), format!("i{}", random.below(18)));
        let (entity, key, code) = match random.below(3) {
            0 => ("user", json!(user), "credit"),
            1 => ("item", json!(item), "stock"),
            _ => ("pair", json!([user, item]), "price"),
        };
        let value = (random.below(6) > 0).then_some(random.below(20));
        // One instant for each, so that no order decides; in no order of time.
        Import { entity, key, code, as_of: AT - 6 * HOUR - (i * 37) % 120, value }
    });
    let imports = imports.collect();
    (events, imports)
}

fn fold(events: &[Event], imports: &[Import], as_of: i64) -> Keyed {
    let id = |key: &Value| key.to_string();
    let mut given: BTreeMap<(&str, String), (i64, Option<u64>)> = BTreeMap::new();
    for import in imports.iter().filter(|import| import.as_of <= as_of) {
        let newest = given.entry((import.entity, id(&import.key))).or_insert((i64::MIN, None));
        *newest = (*newest).max((import.as_of, import.value));
    }
    let mut count: BTreeMap<(&str, String), i64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.at <= as_of) {
        *count.entry(("user", id(&json!(event.user)))).or_default() += 1;
        *count.entry(("pair", id(&json!([event.user, event.item])))).or_default() += 1;
        if as_of < event.at - event.at % MINUTE + 2 * HOUR {
            *count.entry(("item", id(&json!(event.item)))).or_default() += 1;
        }
    }
    let mut all = Keyed::new();
    for (entity, key) in count.keys().chain(given.keys()) {
        let (events, value) = (count.get(&(*entity, key.clone())), given.get(&(*entity, key.clone())));
        let value = value.and_then(|(_, value)| *value);
        if events.is_none() && value.is_none() {
            continue;
        }
        let (counted, derived, told) = match *entity {
            "user" => ("clicks", "trusted", value.map(|credit| json!(credit > 5))),
            "item" => {
                let offer = match value {
                    Some(6..) if events > Some(&2) => "push",
                    Some(6..) => "have",
                    None => "unknown",
                    Some(_) => "low",
                };
                ("item_clicks", "offer", Some(json!(offer)))
            }
            // Three-valued: false with anything is false, NULL with true is NULL.
            _ => {
                let dear = match (value.map(|price| price > 10), events.map(|n| *n > 1)) {
                    (Some(false), _) | (_, Some(false)) => Some(json!(false)),
                    (Some(true), Some(true)) => Some(json!(true)),
                    _ => None,
                };
                ("pair_events", "dear", dear)
            }
        };
        let tags = [(counted, events.map(|n| json!(n))), (derived, told)];
        let tags = tags.into_iter().filter_map(|(code, value)| Some((code.to_string(), value?)));
        all.insert((entity.to_string(), key.clone()), tags.collect());
    }
    all.retain(|_, tags| !tags.is_empty());
    all
}

/// Patches put on one another, of the tags that are computed.
fn told(lines: &str) -> Keyed {
    let mut all = Keyed::new();
    for line in lines.lines() {
        let patch: Value = serde_json::from_str(line).expect("a patch");
        let entity = patch["entity"].as_str().unwrap_or("user");
        let key = if entity == "user" { &patch["userId"] } else { &patch["key"] };
        let profile = all.entry((entity.to_string(), key.to_string())).or_default();
        for (code, value) in patch["tags"].as_object().expect("tags").iter().filter(|(code, _)| TAGS.contains(*code)) {
            match value {
                Value::Null => drop(profile.remove(code)),
                value => drop(profile.insert(code.clone(), value.clone())),
            }
        }
    }
    all.retain(|_, tags| !tags.is_empty());
    all
}

fn same(found: &Keyed, wanted: &Keyed, when: &str) {
    let differ = found.keys().chain(wanted.keys()).find(|key| found.get(*key) != wanted.get(*key));
    let of = |all: &Keyed| differ.and_then(|key| all.get(key).cloned());
    assert!(differ.is_none(), "{when}: {differ:?}: {:?} is not {:?}", of(found), of(wanted));
}

#[test]
fn a_stream_a_store_and_a_batch_with_imports_agree_about_keys_of_entities() {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    for seed in 1..=3 {
        let (events, imports) = world(seed);
        let line = |(i, Event { user, item, at }): (usize, &Event)| {
            format!(
                "{{\"eventId\":\"e{i}\",\"userId\":\"{user}\",\"eventType\":\"click\",\"timestamp\":{at},\"itemId\":\"{item}\"}}\n"
            )
        };
        let lines: Vec<String> = events.iter().enumerate().map(line).collect();
        let patches: Vec<String> = imports.iter().map(Import::line).collect();
        dir.write("events.ndjson", lines.concat());
        // In two files, in another order than that of the stream; and once more.
        dir.write("one.ndjson", patches.iter().rev().step_by(2).map(String::as_str).collect::<String>());
        dir.write("two.ndjson", patches.concat());
        let mixed: String = lines
            .iter()
            .zip(patches.iter().map(Some).chain(std::iter::repeat(None)))
            .fold(String::new(), |all, (line, patch)| all + line + patch.map_or("", String::as_str));
        let flags = "--imports one.ndjson --imports two.ndjson";
        for as_of in [AT, AT + MINUTE - 1, AT + MINUTE, AT + 2 * HOUR] {
            let wanted = fold(&events, &imports, as_of);
            let batch = format!("batch --log events.ndjson --tags {TAGS} --as-of {as_of} {flags}");
            same(&told(&dir.adprof(&batch).ok()), &wanted, &format!("seed {seed}, {batch}"));
            let filter = format!("stream --emit final --as-of {as_of}");
            same(&told(&dir.adprof(&filter).stdin(mixed.as_str()).ok()), &wanted, &format!("seed {seed}, {filter}"));
        }
        let store = format!("file:s{seed}");
        dir.adprof(&format!("stream --store {store} --clock event")).stdin(mixed.as_str()).exits(0);
        for as_of in [AT + MINUTE, AT + 2 * HOUR] {
            let export = |name| format!("export --store {store} --entity {name} --format ndjson --as-of {as_of}");
            let found: String = ["user", "item", "pair"].map(|name| dir.adprof(&export(name)).ok()).concat();
            same(&told(&found), &fold(&events, &imports, as_of), &format!("seed {seed}, export as of {as_of}"));
        }
    }
}

#[test]
fn roll_ups_give_the_bytes_of_the_full_scan_with_imports_of_entities_too() {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    let (events, imports) = world(4);
    // The last events lie an hour before the end of the second day: some items are remembered, others are not.
    let shift = 35 * HOUR;
    let line = |(i, Event { user, item, at }): (usize, &Event)| {
        let ts = at + shift;
        format!(
            "{{\"eventId\":\"e{i}\",\"userId\":\"{user}\",\"eventType\":\"click\",\"timestamp\":{ts},\"itemId\":\"{item}\",\"receivedAt\":{}}}\n",
            ts + 5
        )
    };
    let lines: Vec<String> = events.iter().enumerate().map(line).collect();
    dir.write("log/dt=2025-11-20/a.ndjson", "");
    dir.write("log/dt=2025-11-21/a.ndjson", lines.concat());
    dir.write("imports.ndjson", imports.iter().map(Import::line).collect::<String>());
    let batch = format!("batch --log log --tags {TAGS} --imports imports.ndjson --through 2025-11-21");
    let whole = dir.adprof(&batch).ok();
    assert!(["push", "have", "\"dear\":true"].iter().all(|text| whole.contains(text)), "{whole}");
    for _ in 0..2 {
        assert_eq!(dir.adprof(&format!("{batch} --rollups r")).ok(), whole);
    }
}

#[test]
fn of_a_key_the_newest_import_counts_that_is_no_younger_than_the_run_and_a_bad_one_is_65() {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    dir.write(
        "log.ndjson",
        format!("{{\"eventId\":\"e\",\"userId\":\"u\",\"eventType\":\"click\",\"timestamp\":{AT},\"itemId\":\"i\"}}\n"),
    );
    let output = dir.adprof("batch --log log.ndjson --tags offer").exits(2);
    assert!(output.stderr.contains("`offer` names `stock`, which is imported"), "{}", output.stderr);
    dir.adprof("batch --log log.ndjson --tags offer --imports none.ndjson").exits(66);
    let import = |as_of: i64, value| Import { entity: "item", key: json!("i"), code: "stock", as_of, value }.line();
    dir.write("stock.ndjson", [import(AT - 9, Some(9)), import(AT, Some(1)), import(AT + 1, Some(8))].concat());
    let told = |as_of: i64| {
        dir.adprof(&format!("batch --log log.ndjson --tags offer,stock --imports stock.ndjson --as-of {as_of}")).ok()
    };
    let line = |as_of: i64, stock: u64, offer: &str| {
        format!(
            "{{\"entity\":\"item\",\"key\":\"i\",\"asOf\":{as_of},\"tags\":{{\"stock\":{stock},\"offer\":\"{offer}\"}}}}\n"
        )
    };
    assert_eq!((told(AT), told(AT + 1)), (line(AT, 1, "low"), line(AT + 1, 8, "have")));
    // Long forgotten, it has what was given of it.
    assert_eq!(told(AT + 3 * HOUR), line(AT + 3 * HOUR, 8, "have"));
    // A value of a user's tag says nothing of an item, nor the other way round.
    dir.write(
        "stock.ndjson",
        Import { entity: "item", key: json!("i"), code: "credit", as_of: 1, value: Some(9) }.line(),
    );
    assert_eq!(
        told(AT),
        format!(
            "{{\"entity\":\"item\",\"key\":\"i\",\"asOf\":{AT},\"tags\":{{\"stock\":null,\"offer\":\"unknown\"}}}}\n"
        )
    );
    dir.write("bad.ndjson", import(1, None).replace("null", "\"much\""));
    let output = dir.adprof("batch --log log.ndjson --tags offer --imports bad.ndjson").exits(65);
    assert!(output.stderr.contains("bad.ndjson:1: tag `stock` is int, which much is not"), "{}", output.stderr);
}
