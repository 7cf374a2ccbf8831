//! Audiences over many profiles: the size of a rule by the index and by a scan, and which of 1,000 segments one user is in.
//!
//!   cargo bench --bench segments -- --store DIR [--users N] [--runs N] [--lookups N] [--csv FILE] [--redis URL] [--json]
//!
//! The store is filled with generated profiles where there is none, and indexed. `--csv` writes the profiles too, for
//! other engines. With `--redis` only the segments of one user are asked, of profiles that are first put there.
//! `scripts/bench-segments.sh` goes on with what `--json` prints.

use adprof::key::Key;
use adprof::money::Decimal;
use adprof::parallel;
use adprof::patch::Patch;
use adprof::profiles::{AsOf, Profiles};
use adprof::segment::Rule;
use adprof::segment::index::Members;
use adprof::segment::matching::Matcher;
use adprof::store::redis::Patience;
use adprof::store::{Embedded, Error, Location, Redis};
use adprof::tag::Definitions;
use adprof::value::Value;
use serde_json::json;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const AS_OF: i64 = 1_790_000_000_000;
const CHUNK: usize = 100_000;

const TAGS: [(&str, &str); 8] = [
    ("age", "int"),
    ("city", "string"),
    ("plan", "string"),
    ("vip", "bool"),
    ("orders", "int"),
    ("ltv", "decimal"),
    ("score", "int"),
    ("last_active", "datetime"),
];

/// Ten conditions.
const RULE: &str = "age >= 25 AND age < 55 AND (city IN ('city-07', 'city-11', 'city-42') OR plan = 'gold' OR ltv >= 150) \
                    AND NOT (vip = true AND score < 20) AND orders > 2 AND last_active > ago('30d') AND city IS NOT NULL";

fn definitions() -> String {
    let tag = |(code, ty): &(&str, &str)| format!("[[tag]]\ncode = \"{code}\"\ntype = \"{ty}\"\nupdate = \"import\"\n");
    TAGS.iter().map(tag).collect()
}

struct Options {
    users: usize,
    runs: usize,
    lookups: usize,
    store: PathBuf,
    csv: Option<PathBuf>,
    redis: Option<String>,
    json: bool,
}

fn options() -> Options {
    let (store, csv, redis) = (PathBuf::new(), None, None);
    let mut options = Options { users: 1_000_000, runs: 10, lookups: 100_000, store, csv, redis, json: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} takes a value"));
        match arg.as_str() {
            "--users" => options.users = value().parse().expect("a number"),
            "--runs" => options.runs = value().parse().expect("a number"),
            "--lookups" => options.lookups = value().parse().expect("a number"),
            "--store" => options.store = value().into(),
            "--csv" => options.csv = Some(value().into()),
            "--redis" => options.redis = Some(value()),
            "--json" => options.json = true,
            // Cargo adds it.
            "--bench" => {}
            other => panic!("unknown: {other}"),
        }
    }
    assert!(!options.store.as_os_str().is_empty(), "--store DIR is needed");
    options
}

fn main() {
    let options = options();
    if !Embedded::exists(&options.store) {
        fill(&options);
    }
    let mut told = serde_json::Map::new();
    let location = Location::Embedded(options.store.clone());
    let open = || {
        let definitions = Definitions::parse(&definitions(), "bench").expect("well formed");
        Profiles::open(&location, Some(definitions), AsOf::Now(AS_OF)).expect("opened")
    };
    let mut profiles = open();
    if let Some(url) = &options.redis {
        told.insert("match_us".into(), through_redis(url, &profiles, &options));
        return print(&options, told);
    }
    let bare = bytes(&options.store);
    let began = Instant::now();
    let built = profiles.build_index(0, false, &mut |_| ()).expect("built");
    assert_eq!(built.keys, options.users as u64, "a store of another number of users");
    told.insert("users".into(), json!(options.users));
    if built.new > 0 {
        told.insert("index_built_s".into(), json!(began.elapsed().as_secs_f64()));
        told.insert("index_bytes".into(), json!(bytes(&options.store).saturating_sub(bare)));
        told.insert("store_bytes".into(), json!(bare));
    }
    told.insert("rule".into(), json!(RULE));
    let rule = Rule::from_sql(RULE, "bench", profiles.definitions()).expect("well formed");
    let resident = resident();
    let by_index = times(options.runs, || size(&profiles, &rule));
    told.insert("index_ms".into(), json!(by_index.1.iter().map(|ns| ns / 1e6).collect::<Vec<_>>()));
    told.insert("resident_bytes".into(), json!(crate::resident().saturating_sub(resident)));
    let by_scan = times(options.runs.min(3), || scan(&mut profiles, &rule));
    assert_eq!(by_index.0, by_scan.0, "index and scan differ");
    told.insert("size".into(), json!(by_index.0));
    told.insert("scan_ms".into(), json!(by_scan.1.iter().map(|ns| ns / 1e6).collect::<Vec<_>>()));
    let mut matcher = Matcher::new(thousand(profiles.definitions()), profiles.definitions());
    let embedded = matching(&mut profiles, &mut matcher, options.users, options.lookups);
    told.insert("match_us".into(), embedded);
    print(&options, told);
}

fn print(options: &Options, told: serde_json::Map<String, serde_json::Value>) {
    let told = serde_json::Value::Object(told);
    if options.json {
        println!("{told}");
    } else {
        println!("{told:#}");
    }
}

/// The last result, and how long each run took in nanoseconds.
fn times(runs: usize, mut run: impl FnMut() -> u64) -> (u64, Vec<f64>) {
    let (mut last, mut nanos) = (run(), Vec::new());
    for _ in 0..runs {
        let began = Instant::now();
        last = run();
        nanos.push(began.elapsed().as_nanos() as f64);
    }
    (last, nanos)
}

fn size(profiles: &Profiles, rule: &Rule) -> u64 {
    let snapshot = profiles.embedded_store().expect("embedded").snapshot().expect("a snapshot");
    let indexed = profiles.indexed(snapshot.index().expect("read"), 0).expect("read").expect("an index");
    Members::find(&indexed, profiles.definitions(), &mut rule.clone(), parallel::cores()).expect("found").size
}

fn scan(profiles: &mut Profiles, rule: &Rule) -> u64 {
    let (mut rule, mut size) = (rule.clone(), 0);
    let scanned = profiles.scan(0, |profile| {
        size += u64::from(rule.matches(&profile, AS_OF));
        Ok::<(), Error>(())
    });
    scanned.expect("scanned");
    size
}

/// Rules as marketers write them: two to four conditions each.
fn thousand(definitions: &Definitions) -> Vec<Rule> {
    let mut random = 11;
    let rule = |_: usize| {
        let mut pick = |n: u64| next(&mut random) % n;
        let first = match pick(4) {
            0 => format!("city = 'city-{:02}'", pick(100)),
            1 => format!("age BETWEEN {} AND {}", 18 + pick(20), 40 + pick(30)),
            2 => format!("ltv >= {}", pick(500)),
            _ => format!("plan IN ('gold', 'silver') AND score > {}", pick(100)),
        };
        let second = match pick(3) {
            0 => format!("orders >= {}", pick(40)),
            1 => format!("last_active > ago('{}d')", 1 + pick(60)),
            _ => format!("NOT (vip = true OR age < {})", 18 + pick(40)),
        };
        let sql = format!("{first} AND {second}");
        Rule::from_sql(&sql, "bench", definitions).expect("well formed")
    };
    (0..1000).map(rule).collect()
}

/// How long it takes to read one user and say in which segments she is.
fn matching(profiles: &mut Profiles, matcher: &mut Matcher, users: usize, lookups: usize) -> serde_json::Value {
    let (mut random, mut found) = (7, 0);
    let definitions = profiles.definitions().clone();
    let mut nanos = Vec::with_capacity(lookups);
    for _ in 0..lookups {
        let key = [Key::user("", &id(next(&mut random) as usize % users))];
        let began = Instant::now();
        let profile = profiles.get_many(&key).expect("read").remove(0);
        found += matcher.matches(&definitions, &profile, AS_OF).len();
        nanos.push(began.elapsed().as_nanos() as u64);
    }
    quantiles(nanos, found as f64 / lookups as f64)
}

fn through_redis(url: &str, profiles: &Profiles, options: &Options) -> serde_json::Value {
    let Ok(Location::Redis(url)) = Location::parse(url) else { panic!("not Redis: {url}") };
    let users = options.users.min(100_000);
    let mut redis = Redis::connect(&url, Patience::default()).expect("connected");
    for first in (0..users).step_by(10_000) {
        let patches: Vec<Patch> = (first..users.min(first + 10_000)).map(patch).collect();
        redis.apply(&patches).expect("written");
    }
    drop(redis);
    let definitions = Definitions::parse(&profiles.definitions().text, "bench").expect("well formed");
    let mut there = Profiles::open(&Location::Redis(url), Some(definitions), AsOf::Now(AS_OF)).expect("opened");
    let mut matcher = Matcher::new(thousand(there.definitions()), there.definitions());
    matching(&mut there, &mut matcher, users, options.lookups.min(20_000))
}

fn quantiles(mut nanos: Vec<u64>, segments: f64) -> serde_json::Value {
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    json!({"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "segments": segments})
}

fn id(i: usize) -> String {
    format!("u-{i:08}")
}

/// splitmix64
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The profile of user `i`: each tag is missing for one in ten.
fn values(i: usize) -> [Option<Value>; 8] {
    let mut state = i as u64;
    let mut pick = |n: u64| next(&mut state) % n;
    let some = |value: Value, out: u64| (out > 0).then_some(value);
    let plans = ["free", "free", "silver", "gold"];
    let all = [
        (Value::Int(14 + pick(70) as i64), pick(10)),
        (Value::Str(format!("city-{:02}", pick(100)).into()), pick(10)),
        (Value::Str(plans[pick(4) as usize].into()), pick(10)),
        (Value::Bool(pick(20) == 0), pick(10)),
        (Value::Int((pick(8) * pick(8)) as i64), pick(10)),
        (Value::Decimal(Decimal((pick(40) * pick(50)) as i128 * 250_000)), pick(10)),
        (Value::Int(pick(100) as i64), pick(10)),
        (Value::Time(AS_OF - (pick(90 * 86_400) * 1000) as i64), pick(10)),
    ];
    all.map(|(value, out)| some(value, out))
}

fn patch(i: usize) -> Patch {
    let mut tags: Vec<(Arc<str>, Option<Value>)> = Vec::with_capacity(TAGS.len());
    for ((code, _), value) in TAGS.iter().zip(values(i)) {
        if value.is_some() {
            tags.push(((*code).into(), value));
        }
    }
    Patch { key: Key::user("", &id(i)), as_of: AS_OF, tags }
}

fn fill(options: &Options) {
    let store = Embedded::create_or_open(&options.store).expect("a store");
    let mut csv = options.csv.as_ref().map(|path| BufWriter::new(std::fs::File::create(path).expect("a file")));
    if let Some(file) = &mut csv {
        writeln!(file, "id,{}", TAGS.map(|(code, _)| code).join(",")).expect("written");
    }
    for first in (0..options.users).step_by(CHUNK) {
        let patches: Vec<Patch> = (first..options.users.min(first + CHUNK)).map(patch).collect();
        store.apply_patches(&patches).expect("applied");
        if let Some(file) = &mut csv {
            for i in first..options.users.min(first + CHUNK) {
                let cells = values(i).map(|value| value.map_or(String::new(), |value| value.to_string()));
                writeln!(file, "{i},{}", cells.join(",")).expect("written");
            }
        }
    }
    if let Some(file) = &mut csv {
        file.flush().expect("written");
    }
}

fn bytes(store: &Path) -> u64 {
    std::fs::metadata(store.join("data.mdb")).map_or(0, |file| file.len())
}

/// Bytes of this process that are in memory and no file's.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
