//! How long one profile takes from an embedded store of a million: p50, p99, and ids a second in batches.
//!
//!   cargo bench --bench query -- [--users N] [--lookups N] [--store DIR]
//!
//! The store has a live state and daily tags for every user, read with the built-in definitions. With `--store` it is
//! kept, and used as it is when it is there already; `scripts/bench-query.sh` goes on with it.

use adprof::engine::dedup::Horizon;
use adprof::engine::live::{Live, Telling};
use adprof::engine::plan::Plan;
use adprof::event::{Event, Rules};
use adprof::key::Key;
use adprof::ledger::Ledger;
use adprof::patch::Patch;
use adprof::profiles::{AsOf, Profiles};
use adprof::rows::Block;
use adprof::store::embedded::Changes;
use adprof::store::{Embedded, Location};
use adprof::tag::{Definitions, Update};
use adprof::value::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const START: i64 = 1_790_000_000_000;
const CHUNK: usize = 50_000;

struct Options {
    users: usize,
    lookups: usize,
    store: Option<PathBuf>,
}

fn main() {
    let options = options();
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dir = options.store.clone().unwrap_or_else(|| temporary.path().join("store"));
    if !Embedded::exists(&dir) {
        let began = Instant::now();
        fill(&dir, options.users);
        println!("filled with {} users in {:.1} s", options.users, began.elapsed().as_secs_f64());
    }
    let store = Embedded::open_existing(&dir).expect("a store");
    println!("store: {:?}", store.stats().expect("stats"));
    drop(store);
    let as_of = AsOf::Now(START + 3_600_000);
    let mut profiles = Profiles::open(&Location::Embedded(dir), None, as_of).expect("opened");
    let mut random = 7;
    // Once over the file, so that the disk is not what is measured.
    let mut warm = 0usize;
    profiles
        .scan(0, |profile| {
            warm += usize::from(!profile.is_empty());
            Ok::<(), adprof::store::Error>(())
        })
        .expect("scanned");
    assert_eq!(warm, options.users, "a store of another number of users");
    let mut known = || id(next(&mut random) as usize % options.users);
    single("one key, known", &mut profiles, options.lookups, &mut known);
    let mut unknown = || format!("nobody-{}", next(&mut random));
    single("one key, unknown", &mut profiles, options.lookups, &mut unknown);
    let keys: Vec<Key> =
        (0..options.lookups).map(|_| Key::user("", &id(next(&mut random) as usize % options.users))).collect();
    let began = Instant::now();
    let found: usize = keys
        .chunks(1000)
        .map(|batch| profiles.get_many(batch).expect("read").iter().filter(|p| !p.is_empty()).count())
        .sum();
    assert_eq!(found, keys.len());
    println!("batches of 1000: {:.0} ids/s", keys.len() as f64 / began.elapsed().as_secs_f64());
}

fn options() -> Options {
    let mut options = Options { users: 1_000_000, lookups: 100_000, store: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} takes a value"));
        match arg.as_str() {
            "--users" => options.users = value().parse().expect("a number"),
            "--lookups" => options.lookups = value().parse().expect("a number"),
            "--store" => options.store = Some(value().into()),
            // Cargo adds it.
            "--bench" => {}
            other => panic!("unknown: {other}"),
        }
    }
    options
}

/// Asks for one key at a time and prints how long that took.
fn single(what: &str, profiles: &mut Profiles, lookups: usize, id: &mut dyn FnMut() -> String) {
    let mut nanos = Vec::with_capacity(lookups);
    for _ in 0..lookups {
        let key = [Key::user("", &id())];
        let began = Instant::now();
        let found = profiles.get_many(&key).expect("read");
        nanos.push(began.elapsed().as_nanos() as u64);
        std::hint::black_box(found);
    }
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let max = at(1.0);
    println!("{what}: p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs, max {max:.0} µs", at(0.5), at(0.99), at(0.999));
}

fn id(i: usize) -> String {
    format!("u-{i:07}")
}

/// splitmix64
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A click of every user in the live state, and two daily tags.
fn fill(dir: &Path, users: usize) {
    let definitions = Arc::new(Definitions::built_in());
    let plan = Arc::new(Plan::new(definitions.clone(), &definitions.by_update(Update::Realtime)));
    let store = Embedded::create_or_open(dir).expect("a store");
    let mut ledger = Ledger::new("bench".into(), [1, 2]);
    ledger.number(&plan.clone().into(), START);
    let numbers: Vec<u64> = ledger.numbers_of(&plan).into_iter().map(|n| n.expect("numbered")).collect();
    let mut owner = store.begin_owner("bench").expect("owned");
    let codes: Vec<Arc<str>> = ["ltv_total", "segment_id"].map(Into::into).to_vec();
    for first in (0..users).step_by(CHUNK) {
        let range = first..users.min(first + CHUNK);
        let mut live = Live::new(plan.clone(), Telling::Drained, Horizon { span: 3_600_000, ids: 2 * CHUNK }, [1, 2]);
        live.number(vec![numbers.clone()]);
        let mut block = Block::new(&definitions.projection);
        for i in range.clone() {
            let ts = START + (i % 3_600_000) as i64;
            let line = format!(
                r#"{{"eventId":"e{i}","userId":"{}","timestamp":{ts},"eventType":"click","category":"c{}"}}"#,
                id(i),
                i % 50
            );
            let event = Event::parse(line.as_bytes(), ts, &Rules::default()).expect("valid").expect("not blank");
            block.push(&event, &definitions.projection);
        }
        live.advance(START, &mut Vec::new());
        for i in 0..block.len() {
            live.push(&block, i, &mut Vec::new());
        }
        ledger.progress.newest = ledger.progress.newest.max(live.newest());
        let mut states: Vec<(Key, Option<Vec<u8>>)> = Vec::with_capacity(CHUNK);
        live.save(|key, state| {
            let bytes = state.expect("users are not forgotten");
            states.push((key.clone(), Some(bytes.to_vec())));
        });
        let (progress, numbering) = (ledger.progress(), ledger.numbering());
        let meta: Vec<(&str, Option<&[u8]>)> =
            [&progress, &numbering[0], &numbering[1]].map(|(name, bytes)| (*name, Some(&bytes[..]))).to_vec();
        owner.commit(Changes { at: START, states, meta: &meta, ids: &[] }).expect("committed");
        let patches: Vec<Patch> = range
            .map(|i| Patch {
                key: Key::user("", &id(i)),
                as_of: START,
                tags: vec![
                    (codes[0].clone(), Some(Value::Int((i % 500) as i64))),
                    (
                        codes[1].clone(),
                        Some(Value::Str(if i % 500 >= 100 { "high_value_user" } else { "buyer" }.into())),
                    ),
                ],
            })
            .collect();
        store.apply_patches(&patches).expect("applied");
    }
}
