//! Random logs of several days, and the definitions they are folded by: tags of users, of items that are forgotten, of
//! several keys an event, and of slices of time.

use crate::engine::plans::Plans;
use crate::event::{Event, Rules};
use crate::rows::Block;
use crate::tag::Definitions;
use crate::time::{DAY, Day, HOUR, MINUTE, Millis, day_start, utc_day};
use std::sync::{Arc, LazyLock};

const DEFINITIONS: &str = r#"
[[tag]]
code = "clicks"
value = "count(*)"
where = "eventType = 'click'"
[[tag]]
code = "clicks_6h"
value = "count(*)"
where = "eventType = 'click'"
window = "6h"
resolution = "1h"
[[tag]]
code = "spent"
value = "sum(amount)"
[[tag]]
code = "spent_2d"
value = "sum(amount)"
window = "2d"
[[tag]]
code = "kinds_today"
value = "count_distinct(category)"
window = "day"
tz = "Europe/Berlin"
[[tag]]
code = "last"
value = "last(category)"
[[tag]]
code = "first"
value = "first(category)"
where = "eventType = 'click'"
[[tag]]
code = "most"
value = "top_k(category, 2)"
keep = 3
[[tag]]
code = "largest_4d"
value = "max(amount)"
window = "4d"
[[tag]]
code = "spread"
value = "stddev(amount)"
[[tag]]
code = "active"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "level"
value = "CASE WHEN spent_2d > 5 THEN 'hot' WHEN clicks > 0 THEN 'warm' END"
[[tag]]
code = "idle"
value = "as_of() - active >= 86400000"

[[entity]]
name = "item"
key = "itemId"
retain = "2d"
[[tag]]
code = "item_clicks"
entity = "item"
value = "count(*)"
where = "eventType = 'click'"
[[tag]]
code = "item_users"
entity = "item"
value = "count(DISTINCT userId)"
[[tag]]
code = "item_spent_6h"
entity = "item"
value = "sum(amount)"
window = "6h"
resolution = "1h"
[[tag]]
code = "item_last"
entity = "item"
value = "last(category)"
[[tag]]
code = "item_hot"
entity = "item"
value = "item_spent_6h > 3 OR item_clicks > 2"

[[entity]]
name = "topic"
key = ["properties.tags[]", "eventType"]
[[tag]]
code = "topic_events"
entity = "topic"
value = "count(*)"
[[tag]]
code = "topic_spent_2d"
entity = "topic"
value = "sum(amount)"
window = "2d"

[[entity]]
name = "quarter"
key = ["category", "hop(timestamp, '6h', '2h')"]
retain = "6h"
[[tag]]
code = "quarter_events"
entity = "quarter"
value = "count(*)"
[[tag]]
code = "quarter_largest"
entity = "quarter"
value = "max(amount)"
"#;

pub static PLANS: LazyLock<Plans> = LazyLock::new(|| {
    let definitions = Definitions::parse(DEFINITIONS, "bases").expect("the definitions above are right");
    let all: Vec<usize> = (0..definitions.tags.len()).collect();
    Plans::new(&Arc::new(definitions), &all)
});

/// The first day of all logs, and how many follow it.
pub const FIRST: Day = 19_800;
pub const DAYS: u64 = 8;
pub const KEY: [u64; 2] = [3, 4];

/// splitmix64
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    pub fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Line {
    pub received: Millis,
    pub timestamp: Millis,
    pub id: u64,
    pub text: String,
}

impl Line {
    fn new(chance: &mut Chance, id: u64) -> Line {
        // Midnight, the edge of all days, more often than chance has it.
        let day = day_start(FIRST) + chance.below(DAYS) as i64 * DAY;
        let in_day =
            if chance.percent(30) { DAY - 1 - chance.below(2) as i64 } else { chance.below(DAY as u64) as i64 };
        let received = day + in_day;
        let timestamp = match chance.below(10) {
            ..6 => received - chance.below(HOUR as u64) as i64,
            6..8 => received - chance.below(3 * DAY as u64) as i64,
            _ => received + chance.below(5 * MINUTE as u64) as i64,
        };
        let kind = ["click", "click", "view"][chance.below(3) as usize];
        let mut text = format!(
            r#"{{"eventId":"e{id}","userId":"u{}","eventType":"{kind}","timestamp":{timestamp}"#,
            chance.below(3)
        );
        if chance.percent(60) {
            text += &format!(r#","category":"c{}""#, chance.below(5));
        }
        if chance.percent(60) {
            text += &format!(r#","amount":{}.{:02}"#, chance.below(6), chance.below(100));
        }
        if chance.percent(70) {
            text += &format!(r#","itemId":"i{}""#, chance.below(4));
        }
        if chance.percent(50) {
            let tags = ["\"a\"", "\"a:b\",\"a\"", "7,\"7\",\"b\"", "null"][chance.below(4) as usize];
            text += &format!(r#","properties":{{"tags":[{tags}]}}"#);
        }
        Line { received, timestamp, id, text: text + "}" }
    }

    pub fn day(&self) -> Day {
        utc_day(self.received)
    }
}

/// A log in the order of receipt. One event in five comes again within a day, mostly across midnight.
pub fn log(chance: &mut Chance) -> Vec<Line> {
    let mut lines: Vec<Line> = (0..4 + chance.below(28)).map(|id| Line::new(chance, id)).collect();
    for i in 0..lines.len() {
        if chance.percent(20) {
            let mut again = lines[i].clone();
            again.received += if chance.percent(50) { 2 } else { chance.below(23 * HOUR as u64) as i64 };
            lines.push(again);
        }
    }
    lines.sort_by_key(|line| line.received);
    lines
}

pub fn block(lines: &[Line]) -> Block {
    let projection = &PLANS.definitions().projection;
    let mut block = Block::new(projection);
    for line in lines {
        let event = Event::parse(line.text.as_bytes(), Millis::MAX / 2, &Rules::default());
        block.push(&event.expect("valid").expect("not blank"), projection);
        block.received_on(line.day());
    }
    block
}
