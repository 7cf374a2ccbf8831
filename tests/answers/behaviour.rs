//! Random behaviour in rules: counted by stream and by batch, and by DuckDB over the events themselves.

use crate::duckdb;
use crate::random::Random;
use crate::support::Dir;
use std::fmt::Write as _;

const USERS: u64 = 60;
const EVENTS: usize = 4_000;
const RULES: usize = 100;
const SEED: u64 = 0xbe4a_2026;
const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
/// 2024-11-11T03:38:45Z: within a pane of each width.
const AS_OF: i64 = 1_731_296_325_000;

const MEMBERS: &str = r#"
import duckdb, json, sys
db = duckdb.connect()
db.execute("""CREATE TABLE e AS SELECT * FROM read_json(?, format='newline_delimited', columns={'userId': 'VARCHAR',
    'eventType': 'VARCHAR', 'category': 'VARCHAR', 'timestamp': 'BIGINT', 'amount': 'DECIMAL(18,6)'})""", [sys.argv[1]])
for line in open(sys.argv[2], encoding='utf-8'):
    rows = db.execute("SELECT userId FROM e WHERE timestamp <= " + sys.argv[3] + " GROUP BY userId HAVING "
                      + json.loads(line) + " ORDER BY userId").fetchall()
    print(json.dumps([r[0] for r in rows]))
"#;

fn events(random: &mut Random) -> String {
    let mut lines = String::new();
    for i in 0..EVENTS {
        // Some lie behind the instant that is asked about.
        let at = AS_OF + 2 * DAY - (random.below(45 * DAY as u64) as i64);
        let kind = random.pick(&["click", "view", "purchase", "impression"]);
        let user = random.below(USERS);
        let _ = write!(lines, r#"{{"eventId":"e{i}","userId":"u-{user:03}","eventType":"{kind}","timestamp":{at}"#);
        if random.below(3) > 0 {
            let _ = write!(lines, r#","category":"{}""#, random.pick(&["sports", "news", "it's"]));
        }
        if *kind == "purchase" {
            let _ = write!(lines, r#","amount":{}.{:02}"#, random.below(50), random.below(4) * 25);
        }
        lines.push_str("}\n");
    }
    lines
}

/// A rule in the two forms that adprof reads, and as a condition on a group of events.
struct Rule {
    sql: String,
    json: String,
    duckdb: String,
}

fn rule(random: &mut Random) -> Rule {
    let one = leaf(random);
    match random.below(3) {
        0 => one,
        1 => Rule {
            sql: format!("NOT ({})", one.sql),
            json: format!("{{\"logic\":\"NOT\",\"conditions\":[{}]}}", one.json),
            duckdb: format!("NOT ({})", one.duckdb),
        },
        _ => {
            let (other, logic) = (leaf(random), random.pick(&["AND", "OR"]));
            Rule {
                sql: format!("({}) {logic} ({})", one.sql, other.sql),
                json: format!("{{\"logic\":\"{logic}\",\"conditions\":[{},{}]}}", one.json, other.json),
                duckdb: format!("({}) {logic} ({})", one.duckdb, other.duckdb),
            }
        }
    }
}

fn leaf(random: &mut Random) -> Rule {
    let filter = *random.pick(&[
        "",
        "eventType = 'click'",
        "eventType = 'purchase'",
        "category = 'sports'",
        "category <> 'sports'",
        "eventType IN ('click', 'view') AND category IS NOT NULL",
        "amount > 20",
    ]);
    let (window, millis, step) = *random.pick(&[
        ("", 0, 1),
        ("1h", HOUR, 1_000),
        ("1d", DAY, 60_000),
        ("7d", 7 * DAY, HOUR),
        ("30d", 30 * DAY, HOUR),
        ("35d", 35 * DAY, DAY),
    ]);
    let (call, theirs, value) = match random.below(7) {
        0 | 1 => {
            // About as many as a user has in that time.
            let most = if millis == 0 || millis > 7 * DAY { 30 } else { 1 + 10 * millis / (7 * DAY) };
            ("count(*)", "count(*)", random.below(most as u64).to_string())
        }
        2 => ("count(DISTINCT category)", "count(DISTINCT category)", random.below(4).to_string()),
        3 => ("sum(amount)", "sum(amount)", format!("{}.5", random.below(500))),
        4 => ("max(amount)", "max(amount)", random.below(50).to_string()),
        5 => ("min(category)", "min(category)", "'news'".to_string()),
        _ => ("max(timestamp)", "max(timestamp)", (AS_OF - random.below(30 * DAY as u64) as i64).to_string()),
    };
    let op = *random.pick(&["=", "!=", "<", "<=", ">", ">="]);
    let said = if filter.is_empty() { String::new() } else { format!(" FILTER (WHERE {filter})") };
    let over = match random.below(2) {
        _ if window.is_empty() => String::new(),
        0 => format!(" OVER (RANGE '{window}' PRECEDING)"),
        _ => format!(" OVER (RANGE BETWEEN INTERVAL '{}' HOUR PRECEDING AND CURRENT ROW)", millis / HOUR),
    };
    let mut json = format!("{{\"aggregate\":\"{call}\"");
    for (key, text) in [("where", filter), ("window", window)] {
        if !text.is_empty() {
            let _ = write!(json, ",\"{key}\":{}", serde_json::to_string(text).expect("a string"));
        }
    }
    let _ = write!(json, ",\"op\":\"{op}\",\"value\":{}}}", value.replace('\'', "\""));
    // The law of windows, as docs/definition-file.md has it.
    let within = format!("{AS_OF} // {step} - timestamp // {step} < {}", millis / step);
    let conditions: Vec<&str> =
        [filter, if window.is_empty() { "" } else { &within }].into_iter().filter(|text| !text.is_empty()).collect();
    let theirs = match conditions.is_empty() {
        true => theirs.to_string(),
        false => format!("{theirs} FILTER (WHERE {})", conditions.join(" AND ")),
    };
    Rule { sql: format!("{call}{said}{over} {op} {value}"), json, duckdb: format!("{theirs} {op} {value}") }
}

#[test]
fn random_behaviour_finds_the_users_that_duckdb_finds() {
    let Some(python) = crate::support::python() else { return };
    let mut random = Random::new(SEED);
    let dir = Dir::new();
    dir.write("events.ndjson", events(&mut random));
    let rules: Vec<Rule> = (0..RULES).map(|_| rule(&mut random)).collect();
    let (mut definitions, mut queries) = ("[[tag]]\ncode = \"n\"\nvalue = \"count(*)\"\n".to_string(), String::new());
    let toml = |text: &str| serde_json::to_string(text).expect("a string");
    for (i, rule) in rules.iter().enumerate() {
        let _ = write!(definitions, "[[segment]]\ncode = \"sql{i}\"\nrule = {}\n", toml(&rule.sql));
        let _ = write!(definitions, "[[segment]]\ncode = \"json{i}\"\nrule = {}\n", toml(&rule.json));
        queries.push_str(&(toml(&rule.duckdb) + "\n"));
    }
    dir.write("adprof.toml", definitions);
    dir.write("rules.ndjson", queries);
    let as_of = AS_OF.to_string();
    let lines = duckdb::run(&python, dir.path(), MEMBERS, &["events.ndjson", "rules.ndjson", &as_of]);
    let found: Vec<Vec<String>> = lines.lines().map(|line| serde_json::from_str(line).expect("ids")).collect();
    assert_eq!(found.len(), RULES);

    // A stream to which nothing has come from behind the instant, and a batch as of it.
    let has_happened = |line: &&str| {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event["timestamp"].as_i64().expect("an instant") <= AS_OF
    };
    let events = dir.read("events.ndjson");
    let events: Vec<&str> = events.lines().filter(has_happened).collect();
    dir.adprof("stream --store file:live --clock event").stdin(events.join("\n")).ok();
    let patches = dir.adprof_args(["batch", "--log", "events.ndjson", "--tags", "all", "--as-of", &as_of]).ok();
    dir.adprof("sink file nightly").stdin(patches).ok();
    let users: Vec<String> = (0..USERS).map(|user| format!("u-{user:03}")).collect();
    let mut some = 0;
    for store in ["file:live", "file:nightly"] {
        let args = ["segment", "match", "--as-of", &as_of, "--store", store];
        let told = dir.adprof_args(args.into_iter().chain(users.iter().map(String::as_str))).ok();
        let told: Vec<(String, Vec<String>)> = told.lines().map(segments).collect();
        for (i, (rule, want)) in rules.iter().zip(&found).enumerate() {
            for (form, text) in [("sql", &rule.sql), ("json", &rule.json)] {
                let code = format!("{form}{i}");
                let members: Vec<&String> =
                    told.iter().filter(|(_, of)| of.contains(&code)).map(|(user, _)| user).collect();
                assert_eq!(members, want.iter().collect::<Vec<_>>(), "seed {SEED:x}: {store}: {text}");
            }
            some += usize::from(!want.is_empty() && want.len() < users.len());
        }
    }
    assert!(some > RULES / 2, "rules that find nobody or everybody prove little: {some} of {}", 2 * RULES);
}

/// The user of a line of `segment match`, and the segments.
fn segments(line: &str) -> (String, Vec<String>) {
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let code = |segment: &serde_json::Value| segment["segment"].as_str().expect("a code").to_string();
    let of = line["segments"].as_array().expect("a list").iter().map(code).collect();
    (line["userId"].as_str().expect("an id").to_string(), of)
}
