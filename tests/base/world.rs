//! A log of the last days with late events, duplicates across midnight, and several users.

use crate::streams::{Random, assert_same, now, profiles, query};
use crate::support::{Dir, Output};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub const DAY: i64 = 86_400_000;
pub const TAGS: [&str; 7] = ["clicks", "clicks_too", "clicks_2d", "spent", "spent_7d", "last_category", "level"];
const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks"
value = "count(*)"
where = "eventType = 'click'"
[[tag]]
code = "clicks_too"
value = "count(*)"
where = "eventType = 'click'"
[[tag]]
code = "clicks_2d"
value = "count(*)"
where = "eventType = 'click'"
window = "2d"
[[tag]]
code = "spent"
value = "sum(amount)"
[[tag]]
code = "spent_7d"
value = "sum(amount)"
window = "7d"
[[tag]]
code = "last_category"
value = "last(category)"
[[tag]]
code = "level"
value = "CASE WHEN spent > 100 THEN 'high' WHEN clicks > 2 THEN 'busy' ELSE 'low' END"
"#;

/// Items are forgotten within the log, and touched by base and tail; labels are several an event; an hour has several parts.
const ENTITIES: &str = r#"
[[entity]]
name = "item"
key = "itemId"
prefix = "i"
retain = "30h"
[[entity]]
name = "label"
key = ["properties.labels[]", "category"]
[[entity]]
name = "hour"
key = ["category", "tumble(timestamp, '1h')"]
retain = "7d"
[[tag]]
code = "item_events"
entity = "item"
value = "count(*)"
[[tag]]
code = "item_users"
entity = "item"
value = "count(DISTINCT userId)"
[[tag]]
code = "item_spent_2h"
entity = "item"
value = "sum(amount)"
window = "2h"
[[tag]]
code = "item_hot"
entity = "item"
value = "item_events > 9"
[[tag]]
code = "label_events"
entity = "label"
value = "count(*)"
[[tag]]
code = "label_largest"
entity = "label"
value = "max(amount)"
[[tag]]
code = "hour_spent"
entity = "hour"
value = "sum(amount)"
"#;
const NAMES: [&str; 3] = ["item", "label", "hour"];

/// By the start of its patches, the tags that a key has.
pub type Keyed = BTreeMap<String, Map<String, Value>>;

pub struct World {
    pub dir: Dir,
    /// Whether tags of other entities than users are told, too.
    keyed: bool,
    /// The day of today in UTC, counted from 1970.
    pub today: i64,
    /// Lines by day of receipt, the first day first; today is the last.
    pub days: Vec<Vec<String>>,
}

impl World {
    /// A log of so many days of which today is the last.
    pub fn new(seed: u64, days: i64) -> World {
        let dir = Dir::new();
        dir.write("adprof.toml", DEFINITIONS);
        let today = now().div_euclid(DAY);
        let (mut random, mut ids) = (Random(seed), 0);
        let mut all: Vec<Vec<String>> = Vec::new();
        let mut last: Vec<String> = Vec::new();
        for day in today + 1 - days..=today {
            let end = ((day + 1) * DAY - 1).min(now());
            let mut lines: Vec<String> = Vec::new();
            for _ in 0..60 {
                let received = end - random.below(((end - day * DAY).max(1)) as u64) as i64;
                let late = if random.below(5) == 0 { 3 * DAY as u64 } else { 600_000 };
                ids += 1;
                let kind = ["click", "click", "purchase"][random.below(3) as usize];
                let labels = ["\"a\",\"b:c\"", "\"a\",\"a\"", "7", "null"][random.below(4) as usize];
                lines.push(format!(
                    r#"{{"eventId":"e{ids}","userId":"u{}","eventType":"{kind}","timestamp":{},"category":"c{}","amount":{}.25,"itemId":"i{}","properties":{{"labels":[{labels}]}},"receivedAt":{received}}}"#,
                    random.below(9),
                    received - random.below(late) as i64,
                    random.below(7),
                    random.below(40),
                    random.below(60)
                ));
            }
            // Copies of the day before, sent again after midnight.
            for line in last.iter().take(6) {
                let (head, _) = line.split_once(",\"receivedAt\"").expect("stamped");
                lines.push(format!("{head},\"receivedAt\":{}}}", day * DAY));
            }
            last = lines[..60].to_vec();
            all.push(lines);
        }
        let world = World { dir, keyed: false, today, days: all };
        for (i, lines) in world.days.iter().enumerate() {
            world.dir.write(&format!("log/dt={}/web-00001.ndjson", world.name(i)), text(lines));
        }
        world
    }

    /// The same with tags of items, labels and hours.
    pub fn keyed(seed: u64, days: i64) -> World {
        let world = World { keyed: true, ..World::new(seed, days) };
        world.dir.write("adprof.toml", format!("{DEFINITIONS}{ENTITIES}"));
        world
    }

    /// The name of day `i`.
    pub fn name(&self, i: usize) -> String {
        let day = self.today + 1 - self.days.len() as i64 + i as i64;
        let at = jiff::Timestamp::from_millisecond(day * DAY).expect("in range");
        at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
    }

    /// The lines of some days, as a stream reads them.
    pub fn lines(&self, days: std::ops::Range<usize>) -> String {
        self.days[days].iter().map(|lines| text(lines)).collect()
    }

    pub fn stream(&self, lines: &str) -> Output {
        self.dir.adprof("stream --store file:s").stdin(lines).exits(0)
    }

    /// A base through day `i`.
    pub fn base(&self, i: usize, more: &str) -> Output {
        self.dir.adprof(&format!("batch --log log --through {} --store file:s {more}", self.name(i))).output()
    }

    /// The store says what `batch` says of all days.
    pub fn is_whole(&self, told: &str) {
        let keys = self.is_whole_at(now() + 400_000, told);
        let has = |name| keys.keys().any(|key| key.contains(&format!("\"{name}\"")));
        assert!(!self.keyed || NAMES.iter().all(has), "{keys:?}");
    }

    /// The same at an instant; the keys that are there then.
    pub fn is_whole_at(&self, as_of: i64, told: &str) -> Keyed {
        let (users, keys) = self.batch(as_of);
        let expected: BTreeMap<String, Value> = profiles(&users, &TAGS);
        let found = query(&self.dir, &format!("--store file:s --as-of {as_of}"), expected.keys().cloned());
        eprintln!("{told}");
        assert_same(&profiles(&found, &TAGS), &expected);
        let keys = by_key(&keys);
        if self.keyed {
            let export = |name| format!("export --store file:s --entity {name} --format ndjson --as-of {as_of}");
            let found: String = NAMES.iter().map(|name| self.dir.adprof(&export(name)).ok()).collect();
            let found = by_key(&found);
            let differ = found.keys().chain(keys.keys()).find(|key| found.get(*key) != keys.get(*key));
            let of = |all: &Keyed| differ.and_then(|key| all.get(key).cloned());
            assert!(differ.is_none(), "{differ:?}: {:?} is not {:?}", of(&found), of(&keys));
        }
        keys
    }

    /// What `batch` says of all days: of users, and of other keys.
    pub fn batch(&self, as_of: i64) -> (String, String) {
        let batch = self.dir.adprof(&format!("batch --log log --tags all --as-of {as_of}")).ok();
        let (users, others): (Vec<&str>, Vec<&str>) =
            batch.split_inclusive('\n').partition(|line| line.starts_with("{\"userId\""));
        (users.concat(), others.concat())
    }
}

/// Patches of keys that are no users, by what they begin with; those without a value are left out.
pub fn by_key(lines: &str) -> Keyed {
    let one = |line: &str| {
        let (key, _) = line.split_once(",\"asOf\"").expect("an instant");
        let patch: Value = serde_json::from_str(line).expect("a patch");
        let tags = patch["tags"].as_object().expect("tags").clone();
        let tags: Map<String, Value> = tags.into_iter().filter(|(_, value)| !value.is_null()).collect();
        (key.to_string(), tags)
    };
    lines.lines().map(one).filter(|(_, tags)| !tags.is_empty()).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
