//! Definition files that take turns: of users and of entities, each with its own mix of functions and windows.

const TAGS: &str = r#"
[[tag]]
code = "clicks_1h"
value = "count(*)"
where = "eventType = 'click'"
window = "1h"
[[tag]]
code = "clicks_2d"
update = "daily"
value = "count(*)"
where = "eventType = 'click'"
window = "2d"
[[tag]]
code = "spent_7d"
value = "sum(amount)"
window = "7d"
[[tag]]
code = "clicks_day"
value = "count(*)"
where = "eventType = 'click'"
window = "day"
tz = "Europe/Berlin"
[[tag]]
code = "spent_2_weeks"
value = "sum(amount)"
window = "2 weeks"
tz = "America/New_York"
[[tag]]
code = "spent"
value = "sum(amount)"
update = "daily"
[[tag]]
code = "last_category"
value = "last(category)"
[[tag]]
code = "kind"
value = "CASE WHEN spent > 100 THEN 'much' WHEN clicks_2d > 2 THEN 'some' ELSE 'none' END"
update = "daily"
"#;

const MORE: &str = r#"
[[tag]]
code = "kinds_30d"
value = "count(DISTINCT category)"
window = "30d"
[[tag]]
code = "first_of_month"
value = "first(category)"
window = "month"
tz = "Asia/Kolkata"
[[tag]]
code = "clicks_again"
value = "count(*)"
where = "eventType = 'click'"
window = "2d"
[[tag]]
code = "first_category"
value = "first(category)"
[[tag]]
code = "mean"
value = "avg(amount)"
[[tag]]
code = "least"
value = "min(amount)"
window = "3d"
[[tag]]
code = "active"
type = "datetime"
value = "max(timestamp)"
update = "daily"
[[tag]]
code = "spread"
value = "stddev(amount)"
window = "3d"
[[tag]]
code = "last_three"
value = "last_k(category, 3)"
[[tag]]
code = "most_often"
value = "top_k(category, 2)"
window = "7d"
keep = 2
[[tag]]
code = "by_type"
value = "approx_percentile(amount, 0.5)"
by = "eventType"
[[tag]]
code = "warmth"
value = "decayed(1, '12h')"
[[tag]]
code = "seconds"
value = "sum(properties.duration)"
[[field]]
path = "properties.duration"
type = "int"
"#;

/// Entities of one key and of many, of all kinds of parts, that remember for ever, for days, and for hours.
const KEYS: &str = r#"
[[entity]]
name = "item"
key = "itemId"
[[entity]]
name = "minute"
key = ["category", "tumble(timestamp, '1m')"]
retain = "2d"
[[entity]]
name = "label"
key = ["properties.tags[]", "eventType"]
retain = "6h"
[[entity]]
name = "slot"
key = ["hop(timestamp, '2h', '30m')", "properties.tags[]"]
retain = "36h"
[[tag]]
code = "item_events"
entity = "item"
value = "count(*)"
update = "daily"
[[tag]]
code = "item_users_2d"
entity = "item"
value = "count(DISTINCT userId)"
window = "2d"
[[tag]]
code = "item_last"
entity = "item"
value = "last(userId)"
[[tag]]
code = "item_kind"
entity = "item"
value = "CASE WHEN item_events > 4 THEN 'much' WHEN item_users_2d > 1 THEN 'some' ELSE 'none' END"
update = "daily"
[[tag]]
code = "minute_spent"
entity = "minute"
value = "sum(amount)"
update = "daily"
[[tag]]
code = "label_hour"
entity = "label"
value = "count(*)"
window = "1h"
[[tag]]
code = "label_users"
entity = "label"
value = "count(DISTINCT userId)"
update = "daily"
[[tag]]
code = "slot_first"
entity = "slot"
value = "first(userId)"
where = "eventType = 'click'"
"#;

const MORE_KEYS: &str = r#"
[[entity]]
name = "pair"
key = ["userId", "category"]
[[tag]]
code = "pair_week"
entity = "pair"
value = "count(*)"
window = "week"
tz = "Europe/Berlin"
[[tag]]
code = "item_most_often"
entity = "item"
value = "top_k(category, 2)"
window = "7d"
keep = 2
[[tag]]
code = "item_warmth"
entity = "item"
value = "decayed(amount, '12h')"
[[tag]]
code = "minute_again"
entity = "minute"
value = "count(*)"
window = "2d"
[[tag]]
code = "slot_middle"
entity = "slot"
value = "approx_percentile(amount, 0.5)"
window = "1d"
"#;

/// The definition files there are. Of users: fewer tags, more, renamed ones, another window, a closed set of event types.
/// Behind them: other keys, an entity that remembers longer, one that is only there, and no entities at all.
pub fn definitions() -> [String; 9] {
    let (few, more) = (format!("{TAGS}{KEYS}"), format!("{TAGS}{MORE}{KEYS}{MORE_KEYS}"));
    [
        few.clone(),
        more.clone(),
        more.replace("\"clicks_2d\"", "\"hits\"").replace("clicks_2d >", "hits >"),
        more.replace("window = \"7d\"", "window = \"5d\""),
        format!("event_types = [\"click\", \"purchase\"]\n{few}"),
        few.replace("\"itemId\"", "\"lower(itemId)\"").replace("'1m'", "'2m'"),
        more.replace("retain = \"2d\"", "retain = \"3d\"")
            .replace("\"2d\"\n[[tag]]\ncode = \"slot", "\"3d\"\n[[tag]]\ncode = \"slot"),
        format!(
            "{TAGS}\n[[entity]]\nname = \"item\"\nkey = \"itemId\"\n[[tag]]\ncode = \"item_there\"\nentity = \"item\"\nvalue = \"'yes'\"\n"
        ),
        TAGS.to_owned(),
    ]
}
