//! A log of the last days with late events, duplicates across midnight, and several users.

use crate::streams::{Random, assert_same, now, profiles, query};
use crate::support::{Dir, Output};
use serde_json::Value;
use std::collections::BTreeMap;

pub const DAY: i64 = 86_400_000;
pub const TAGS: [&str; 6] = ["clicks", "clicks_2d", "spent", "spent_7d", "last_category", "level"];
const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks"
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

pub struct World {
    pub dir: Dir,
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
                lines.push(format!(
                    r#"{{"eventId":"e{ids}","userId":"u{}","eventType":"{kind}","timestamp":{},"category":"c{}","amount":{}.25,"receivedAt":{received}}}"#,
                    random.below(9),
                    received - random.below(late) as i64,
                    random.below(7),
                    random.below(40)
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
        let world = World { dir, today, days: all };
        for (i, lines) in world.days.iter().enumerate() {
            world.dir.write(&format!("log/dt={}/web-00001.ndjson", world.name(i)), text(lines));
        }
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
        let as_of = now() + 400_000;
        let batch = self.dir.adprof(&format!("batch --log log --tags all --as-of {as_of}")).ok();
        let expected: BTreeMap<String, Value> = profiles(&batch, &TAGS);
        let found = query(&self.dir, &format!("--store file:s --as-of {as_of}"), expected.keys().cloned());
        eprintln!("{told}");
        assert_same(&profiles(&found, &TAGS), &expected);
    }
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
