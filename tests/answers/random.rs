//! Random profiles with missing values, and random rules over them in three spellings of one meaning.

use crate::store::AS_OF;

/// A small generator: the same seed, the same rules.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

const CITIES: [&str; 8] = ["Oslo", "Malmö", "oslo", "it's", "100%", "a_b", "", "日本"];
const PATTERNS: [&str; 6] = ["%o", "_slo", "%", "M%", "%\u{6}%", "日_"];
const PARTS: [&str; 6] = ["o", "%", "_", "'", "sl", ""];

fn value(random: &mut Random, tag: &str) -> String {
    match tag {
        "age" => random.below(60).to_string(),
        "city" => serde_json::to_string(random.pick(&CITIES)).expect("a string"),
        "ltv" => format!("{}.{:02}", random.below(8), random.below(4) * 25),
        "score" => format!("{}", random.below(16) as f64 / 8.0 - 1.0),
        "vip" => (random.below(2) == 0).to_string(),
        _ => (AS_OF - random.below(10) as i64 * 1000).to_string(),
    }
}

const TAGS: [&str; 6] = ["age", "city", "ltv", "score", "vip", "seen"];

/// A profile in which each tag is missing every third time.
pub fn patch(random: &mut Random, i: usize) -> String {
    let mut tags = Vec::new();
    for tag in TAGS {
        if random.below(3) > 0 {
            tags.push(format!("\"{tag}\":{}", value(random, tag)));
        }
    }
    if tags.is_empty() {
        tags.push("\"age\":1".to_string());
    }
    format!("{{\"userId\":\"u-{i:04}\",\"asOf\":{AS_OF},\"tags\":{{{}}}}}", tags.join(","))
}

/// Segments that random rules may name: each of them a random rule that names those before it.
pub struct Segments(Vec<Pair>);

impl Segments {
    pub fn none() -> Segments {
        Segments(Vec::new())
    }

    pub fn some(random: &mut Random, n: usize) -> Segments {
        Segments::none().with_some_more(random, n)
    }

    /// The same ones but for the last `n`, which are others.
    pub fn with_some_more(&self, random: &mut Random, n: usize) -> Segments {
        let kept = self.0.len().saturating_sub(n);
        let mut segments = Segments(self.0[..kept].to_vec());
        for _ in 0..n {
            let rule = rule(random, 1, &segments);
            segments.0.push(rule);
        }
        segments
    }

    /// The segments as a part of a definition file, in one form and the other in turn.
    pub fn definitions(&self) -> String {
        let text = |(i, pair): (usize, &Pair)| {
            let rule = if i % 2 == 0 { &pair.sql } else { &pair.json };
            // A JSON string is a basic string of TOML as well.
            format!("[[segment]]\ncode = \"s{i}\"\nrule = {}\n", serde_json::to_string(rule).expect("a string"))
        };
        self.0.iter().enumerate().map(text).collect()
    }

    fn pick(&self, random: &mut Random) -> Pair {
        let i = random.below(self.0.len() as u64) as usize;
        Pair {
            json: format!("{{\"segment\":\"s{i}\"}}"),
            sql: format!("in_segment('s{i}')"),
            // Who is in has two answers.
            duckdb: format!("COALESCE({}, FALSE)", self.0[i].duckdb),
        }
    }
}

/// One rule: as JSON, as adprof's SQL, and as DuckDB's, written independently of each other.
#[derive(Clone)]
pub struct Pair {
    pub json: String,
    pub sql: String,
    pub duckdb: String,
}

pub fn rule(random: &mut Random, depth: u32, segments: &Segments) -> Pair {
    if depth == 3 || random.below(3) == 0 {
        return if !segments.0.is_empty() && random.below(6) == 0 { segments.pick(random) } else { leaf(random) };
    }
    if random.below(4) == 0 {
        let one = rule(random, depth + 1, segments);
        return Pair {
            json: format!("{{\"logic\":\"NOT\",\"conditions\":[{}]}}", one.json),
            sql: format!("NOT ({})", one.sql),
            duckdb: format!("(NOT {})", one.duckdb),
        };
    }
    let logic = *random.pick(&["AND", "OR"]);
    let parts: Vec<Pair> = (0..2 + random.below(2)).map(|_| rule(random, depth + 1, segments)).collect();
    let join = |separator: &str, part: fn(&Pair) -> &str| parts.iter().map(part).collect::<Vec<_>>().join(separator);
    let word = format!(" {logic} ");
    Pair {
        json: format!("{{\"logic\":\"{logic}\",\"conditions\":[{}]}}", join(",", |p| &p.json)),
        sql: format!("({})", join(&word, |p| &p.sql)),
        duckdb: format!("({})", join(&word, |p| &p.duckdb)),
    }
}

fn leaf(random: &mut Random) -> Pair {
    let tag = *random.pick(&TAGS);
    if tag == "seen" && random.below(2) == 0 {
        return relative(random);
    }
    if random.below(12) == 0 {
        return other(random);
    }
    let ops = ["=", "!=", "<>", ">", ">=", "<", "<=", "BETWEEN", "IN", "NOT IN", "IS NULL", "IS NOT NULL"];
    let op = match random.below(15) {
        n if n < 12 => ops[n as usize],
        _ if tag != "city" => "=",
        12 => "LIKE",
        13 => "NOT LIKE",
        _ => "CONTAINS",
    };
    let json = |value: &str| format!("{{\"tag_code\":\"{tag}\",\"op\":\"{op}\",\"value\":{value}}}");
    let same = |json: String, sql: String| Pair { json, duckdb: format!("({sql})"), sql };
    match op {
        "IS NULL" | "IS NOT NULL" => same(format!("{{\"tag_code\":\"{tag}\",\"op\":\"{op}\"}}"), format!("{tag} {op}")),
        "BETWEEN" => {
            let (low, high) = (value(random, tag), value(random, tag));
            same(json(&format!("[{low},{high}]")), format!("{tag} BETWEEN {} AND {}", sql(&low), sql(&high)))
        }
        "IN" | "NOT IN" => {
            let values: Vec<String> = (0..1 + random.below(4)).map(|_| value(random, tag)).collect();
            let list: Vec<String> = values.iter().map(|v| sql(v)).collect();
            same(json(&format!("[{}]", values.join(","))), format!("{tag} {op} ({})", list.join(", ")))
        }
        "LIKE" | "NOT LIKE" => {
            let pattern = *random.pick(&PATTERNS);
            let text = serde_json::to_string(pattern).expect("a string");
            same(json(&text), format!("{tag} {op} '{pattern}'"))
        }
        "CONTAINS" => {
            let part = *random.pick(&PARTS);
            let escaped = part.replace('%', "#%").replace('_', "#_").replace('\'', "''");
            Pair {
                json: json(&serde_json::to_string(part).expect("a string")),
                sql: format!("{tag} LIKE '%{escaped}%' ESCAPE '#'"),
                duckdb: format!("contains({tag}, '{}')", part.replace('\'', "''")),
            }
        }
        op => {
            let value = value(random, tag);
            same(json(&value), format!("{tag} {op} {}", sql(&value)))
        }
    }
}

/// A comparison with an instant before the one that is asked about, in one of the ways to write it.
fn relative(random: &mut Random) -> Pair {
    let op = *random.pick(&["=", "!=", ">", ">=", "<", "<="]);
    let seconds = 1 + random.below(10);
    let ago = match random.below(3) {
        0 => format!("ago('{seconds}s')"),
        1 => format!("as_of() - INTERVAL '{seconds}' SECOND"),
        _ => format!("as_of() - {}", seconds * 1000),
    };
    Pair {
        json: format!("{{\"tag_code\":\"seen\",\"op\":\"{op}\",\"value\":{{\"ago\":\"{seconds}s\"}}}}"),
        sql: format!("seen {op} {ago}"),
        duckdb: format!("(seen {op} {AS_OF} - {})", seconds * 1000),
    }
}

/// A condition that JSON has no words of its own for.
fn other(random: &mut Random) -> Pair {
    let text = match random.below(7) {
        0 => format!("age % 7 = {}", random.below(7)),
        1 => "vip".to_string(),
        2 => "vip IS NOT TRUE".to_string(),
        3 => "vip IS FALSE".to_string(),
        4 => format!("COALESCE(ltv, 0) < {}", random.below(8)),
        5 => format!("age NOT BETWEEN {} AND {}", random.below(60), random.below(60)),
        _ => format!("CASE WHEN age > {} THEN city ELSE 'Oslo' END = 'Oslo'", random.below(60)),
    };
    let duckdb = text.replace("vip IS NOT TRUE", "vip IS DISTINCT FROM TRUE");
    let duckdb = duckdb.replace("vip IS FALSE", "vip IS NOT DISTINCT FROM FALSE");
    let json = format!("{{\"sql\":{}}}", serde_json::to_string(&text).expect("a string"));
    Pair { json, duckdb: format!("({duckdb})"), sql: format!("({text})") }
}

/// A JSON value as a literal of SQL.
fn sql(value: &str) -> String {
    match serde_json::from_str::<String>(value) {
        Ok(text) => format!("'{}'", text.replace('\'', "''")),
        Err(_) => value.to_string(),
    }
}
