//! How long the nightly fold takes an event: blocks of partitions of 20,000 events of 4,000 users, as a job of 5 million has.
//!
//!   cargo bench --bench fold -- [--rounds N] [--tags 8|24] [--states]
//!
//! With `--states` it is the fold of states with panes, which the live path and stores need. Prints nanoseconds an event for taking events in and for telling the values, with eight tags and with 24.

use adprof::engine::columns::Columns;
use adprof::engine::fold::{Fold, Range};
use adprof::engine::plan::Plan;
use adprof::event::{Event, Rules};
use adprof::rows::Block;
use adprof::sheet::Sheet;
use adprof::tag::Definitions;
use std::sync::Arc;
use std::time::{Duration, Instant};

const START: i64 = 1_790_000_000_000;
const DAY: i64 = 86_400_000;
/// Different partitions; a round goes over all of them.
const PARTITIONS: usize = 16;
const EVENTS: usize = 20_000;
const USERS: u64 = 4_000;
const ROWS: usize = 2048;

/// What the built-in definitions lack of the eight usual tags.
const THREE_MORE: &str = r#"
[[tag]]
code = "purchases_count"
value = "count(*)"
where = "eventType = 'purchase'"
[[tag]]
code = "first_active_ts"
type = "datetime"
value = "min(timestamp)"
[[tag]]
code = "views_7d"
value = "count(*)"
where = "eventType = 'view'"
window = "7d"
"#;

fn main() {
    let (mut rounds, mut states, mut only) = (16, false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).expect("--rounds takes a number"),
            "--tags" => only = args.next(),
            "--states" => states = true,
            // Cargo adds it.
            "--bench" => {}
            other => panic!("unknown: {other}"),
        }
    }
    let eight = format!("{}{THREE_MORE}", adprof::tag::sample());
    let many = format!("{eight}{}", sixteen_more());
    for (tags, text) in [("8", eight), ("24", many)] {
        if only.as_deref().is_none_or(|only| only == tags) {
            measure(&text, rounds, states);
        }
    }
}

/// Four tags for each of four types of events.
fn sixteen_more() -> String {
    let mut out = String::new();
    for kind in ["view", "click", "purchase", "impression"] {
        let filter = format!("where = \"eventType = '{kind}'\"");
        for (code, value, rest) in [
            ("all", "count(*)", ""),
            ("1d", "count(*)", "window = \"1d\""),
            ("last", "last(category)", ""),
            ("latest", "max(timestamp)", "type = \"datetime\""),
        ] {
            out.push_str(&format!("[[tag]]\ncode = \"{kind}_{code}\"\nvalue = \"{value}\"\n{filter}\n{rest}\n"));
        }
    }
    out
}

fn measure(text: &str, rounds: usize, states: bool) {
    let definitions = Arc::new(Definitions::parse(text, "bench").expect("right"));
    let all: Vec<usize> = (0..definitions.tags.len()).collect();
    let plan = Plan::new(definitions, &all);
    let partitions: Vec<Vec<Block>> = (0..PARTITIONS).map(|p| partition(&plan, p as u64)).collect();
    let as_of = START + 10 * DAY;
    let range = Range { since: None, as_of: Some(as_of) };
    let mut columns = Columns::new(&plan, range, as_of);
    // Of each partition the fastest round: what other programs on the machine cost is not meant.
    let mut best = [(Duration::MAX, Duration::MAX); PARTITIONS];
    let (mut keys, mut bytes) = (0, 0);
    let mut out = Sheet::default();
    let mut lines = Vec::new();
    for _ in 0..rounds {
        (keys, bytes) = (0, 0);
        for (blocks, best) in partitions.iter().zip(&mut best) {
            out.clear();
            lines.clear();
            // Columns keep what they need of a block.
            let mut taken = if states { Vec::new() } else { blocks.clone() };
            let began = Instant::now();
            let added;
            if states {
                let mut fold = Fold::new(&plan, [1, 2]).within(range);
                blocks.iter().for_each(|block| fold.add(block));
                added = Instant::now();
                fold.finish(as_of, |patch| {
                    patch.push_line(&mut lines);
                    keys += 1;
                });
            } else {
                columns.reset();
                columns.reserve(EVENTS);
                taken.iter_mut().for_each(|block| columns.add(block));
                added = Instant::now();
                keys += columns.finish(&Default::default(), &mut out);
            }
            let told = added.elapsed();
            bytes += std::hint::black_box(&out).written().len() + std::hint::black_box(&lines).len();
            *best = (best.0.min(added - began), best.1.min(told));
        }
    }
    let events = (PARTITIONS * EVENTS) as f64;
    let adding: Duration = best.iter().map(|(adding, _)| *adding).sum();
    let telling: Duration = best.iter().map(|(_, telling)| *telling).sum();
    println!(
        "{} tags: add {:.1} ns, finish {:.1} ns an event ({:.0} ns a key); {events} events, {keys} keys, {bytes} bytes",
        all.len(),
        adding.as_nanos() as f64 / events,
        telling.as_nanos() as f64 / events,
        telling.as_nanos() as f64 / keys as f64,
    );
}

/// The events of one partition, in the order of a log.
fn partition(plan: &Plan, p: u64) -> Vec<Block> {
    let projection = &plan.definitions.projection;
    let mut random = p;
    let mut blocks = vec![Block::with_capacity(projection, ROWS, ROWS * 64)];
    for i in 0..EVENTS {
        let r = next(&mut random);
        let user = ((p << 40) | (r % USERS)).wrapping_mul(0x9e37_79b9) % 100_000_000;
        let ts = START + (i as i64 * 10 * DAY) / EVENTS as i64 - ((r >> 20) % 3_000) as i64;
        let (kind, amount) = match (r >> 40) % 100 {
            0..=2 => ("purchase", format!(",\"amount\":{}.{:02}", (r >> 48) % 200, (r >> 56) % 100)),
            3..=19 => ("click", String::new()),
            20..=54 => ("view", String::new()),
            _ => ("impression", String::new()),
        };
        let category = ["toys", "electronics", "books", "sports", "fashion", "garden"][(r >> 32) as usize % 6];
        let id = next(&mut random);
        let line = format!(
            r#"{{"eventId":"e-{id:016x}","userId":"u-{user:08}","eventType":"{kind}","timestamp":{ts},"category":"{category}"{amount}}}"#
        );
        let event = Event::parse(line.as_bytes(), ts, &Rules::default()).expect("valid").expect("not blank");
        let block = blocks.last_mut().expect("there is one");
        block.push(&event, projection);
        if block.len() == ROWS {
            blocks.push(Block::with_capacity(projection, ROWS, ROWS * 64));
        }
    }
    blocks
}

/// splitmix64
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
