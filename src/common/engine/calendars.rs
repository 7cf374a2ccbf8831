//! The laws of calendar windows in the engine: fold, columns, stream and a stream that was stopped tell what a list of
//! events and jiff's civil dates say, at every instant around nights on which clocks change.

use super::columns::Columns;
use super::dedup::Horizon;
use super::fold::{Fold, Range};
use super::live::{Live, Telling};
use super::plan::Plan;
use super::state::State;
use crate::event::{Event, Rules};
use crate::patch::Patch;
use crate::rows::Block;
use crate::sheet::Sheet;
use crate::tag::Definitions;
use crate::time::{DAY, HOUR, Millis};
use crate::value::Value;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Zones, each with local dates of interest: clocks change, a month and a week end.
const NIGHTS: [(&str, &str); 10] = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Asia/Kolkata", "2026-03-31"),
    ("Asia/Beirut", "2026-03-29"),
    ("Asia/Beirut", "2026-10-25"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Sao_Paulo", "2018-02-18"),
];

/// A code, an aggregation, a window of a unit and how many of them.
const TAGS: [(&str, &str, &str, i32); 8] = [
    ("n_day", "count(*)", "day", 1),
    ("sum_2d", "sum(amount)", "2 days", 2),
    ("max_week", "max(amount)", "week", 1),
    ("last_day", "last(category)", "day", 1),
    ("first_month", "first(category)", "month", 1),
    ("n_3m", "count(*)", "3 months", 3),
    ("distinct_2w", "count(DISTINCT category)", "2 weeks", 2),
    ("mean_9d", "avg(amount)", "9 days", 9),
];

#[derive(Clone, Debug)]
struct World {
    zone: &'static str,
    /// (timestamp, category, amount); the place is the id.
    events: Vec<(Millis, Option<u8>, Option<u8>)>,
    /// Instants to look at, sorted.
    instants: Vec<Millis>,
}

fn midnight(zone: &str, date: Date) -> Millis {
    let zone = TimeZone::get(zone).expect("known");
    date.to_zoned(zone).expect("in range").timestamp().as_millisecond()
}

fn date(zone: &str, at: Millis) -> Date {
    TimeZone::get(zone).expect("known").to_datetime(Timestamp::from_millisecond(at).expect("in range")).date()
}

fn world() -> impl Strategy<Value = World> {
    select(&NIGHTS[..]).prop_flat_map(|(zone, night)| {
        let night: Date = night.parse().expect("a date");
        let edges: Vec<Millis> = (-3..=3).map(|days| midnight(zone, night + days.days())).collect();
        let instant = prop_oneof![
            3 => (select(edges), select(vec![-HOUR, -1, 0, 1, HOUR])).prop_map(|(edge, off)| edge + off),
            1 => midnight(zone, night) - 40 * DAY..midnight(zone, night) + 2 * DAY,
        ];
        let event = (instant.clone(), prop::option::of(0u8..3), prop::option::of(0u8..50));
        (prop::collection::vec(event, 1..25), prop::collection::vec(instant, 1..12)).prop_map(
            move |(events, mut instants)| {
                instants.sort_unstable();
                World { zone, events, instants }
            },
        )
    })
}

fn plan(zone: &str) -> Arc<Plan> {
    let tag = |(code, value, window, _): &(&str, &str, &str, i32)| {
        format!("[[tag]]\ncode = \"{code}\"\nvalue = \"{value}\"\nwindow = \"{window}\"\ntz = \"{zone}\"\n")
    };
    let text: String = TAGS.iter().map(tag).collect();
    let definitions = Definitions::parse(&text, "calendars").expect("the definitions above are right");
    Arc::new(Plan::new(Arc::new(definitions), &(0..TAGS.len()).collect::<Vec<_>>()))
}

/// The events in this order.
fn block(plan: &Plan, world: &World, order: impl IntoIterator<Item = usize>) -> Block {
    let mut block = Block::new(&plan.definitions.projection);
    for id in order {
        let (at, category, amount) = world.events[id];
        let category = category.map_or(String::new(), |c| format!(r#","category":"c{c}""#));
        let amount = amount.map_or(String::new(), |a| format!(r#","amount":{a}"#));
        let line =
            format!(r#"{{"eventId":"e{id:02}","userId":"u","eventType":"click","timestamp":{at}{category}{amount}}}"#);
        let event = Event::parse(line.as_bytes(), Millis::MAX, &Rules::default()).expect("valid").expect("not blank");
        block.push(&event, &plan.definitions.projection);
    }
    block
}

/// Whether an event counts at an instant: its local day, week or month is the current one or one of those before.
fn counts(zone: &str, window: &str, number: i32, at: Millis, now: Millis) -> bool {
    let (of_event, today) = (date(zone, at), date(zone, now));
    let first = match window.trim_end_matches('s').rsplit(' ').next().expect("a word") {
        "day" => today - (number - 1).days(),
        "week" => today - i32::from(today.weekday().to_monday_zero_offset()).days() - (7 * (number - 1)).days(),
        _ => today.first_of_month() - (number - 1).months(),
    };
    at <= now && of_event >= first
}

/// What the tags are at an instant, told from the list of events.
fn naive(world: &World, now: Millis) -> BTreeMap<&'static str, Value> {
    let mut values = BTreeMap::new();
    if !world.events.iter().any(|event| event.0 <= now) {
        return values;
    }
    for (code, value, window, number) in TAGS {
        let mut events: Vec<(Millis, usize)> = (0..world.events.len())
            .map(|id| (world.events[id].0, id))
            .filter(|(at, _)| counts(world.zone, window, number, *at, now))
            .collect();
        events.sort_unstable();
        let amounts: Vec<i128> = events.iter().filter_map(|(_, id)| world.events[*id].2).map(i128::from).collect();
        let categories: Vec<u8> = events.iter().filter_map(|(_, id)| world.events[*id].1).collect();
        let decimal = |n: i128| Value::Decimal(crate::money::Decimal(n * 1_000_000));
        let text = |c: &u8| Value::Str(format!("c{c}").into());
        let told = match value {
            "count(*)" => Some(Value::Int(events.len() as i64)),
            "sum(amount)" => (!amounts.is_empty()).then(|| decimal(amounts.iter().sum())),
            "max(amount)" => amounts.iter().max().map(|n| decimal(*n)),
            "last(category)" => categories.last().map(text),
            "first(category)" => categories.first().map(text),
            "count(DISTINCT category)" => {
                let different: std::collections::BTreeSet<&u8> = categories.iter().collect();
                Some(Value::Int(different.len() as i64))
            }
            // Halves go up, and nothing here is negative.
            "avg(amount)" => (!amounts.is_empty()).then(|| {
                let (sum, n) = (amounts.iter().sum::<i128>() * 1_000_000, amounts.len() as i128);
                Value::Decimal(crate::money::Decimal((2 * sum + n) / (2 * n)))
            }),
            other => panic!("{other}"),
        };
        values.extend(told.map(|told| (code, told)));
    }
    values
}

fn apply(values: &mut BTreeMap<&'static str, Value>, patch: &Patch) {
    for (code, value) in &patch.tags {
        let code = TAGS.iter().find(|tag| *tag.0 == **code).expect("known").0;
        match value {
            Some(value) => values.insert(code, value.clone()),
            None => values.remove(code),
        };
    }
}

fn live(plan: &Arc<Plan>) -> Live {
    Live::new(plan.clone(), Telling::Each, Horizon::within(1 << 20), [3, 4])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn fold_and_columns_tell_what_the_calendar_says(world in world()) {
        let plan = plan(world.zone);
        for now in &world.instants {
            let range = Range { since: None, as_of: Some(*now) };
            let all = block(&plan, &world, 0..world.events.len());
            let mut fold = Fold::new(&plan, [1, 2]).within(range);
            fold.add(&all);
            let (mut got, mut lines) = (BTreeMap::new(), Vec::new());
            fold.finish(*now, |patch| {
                patch.push_line(&mut lines);
                apply(&mut got, &patch);
            });
            prop_assert_eq!(got, naive(&world, *now), "at {}", now);
            let (mut columns, mut sheet) = (Columns::new(&plan, range, *now), Sheet::default());
            columns.add(&mut all.clone());
            columns.finish(&Default::default(), &mut sheet);
            prop_assert_eq!(std::str::from_utf8(sheet.written()), std::str::from_utf8(&lines));
        }
    }

    #[test]
    fn a_stream_falls_at_the_very_midnight_stopped_on_its_way_or_not(world in world(), cut in 0usize..25) {
        let plan = plan(world.zone);
        let mut order: Vec<usize> = (0..world.events.len()).collect();
        order.sort_by_key(|id| world.events[*id].0);
        let rows = block(&plan, &world, order);
        let (mut stream, mut out) = (live(&plan), Vec::new());
        for i in 0..rows.len() {
            if i == cut {
                let mut next = live(&plan);
                stream.save(|key, state| {
                    let bytes = state.expect("users are not forgotten");
                    let state = State::decode_days(&plan, |n| Some(n as usize), bytes).expect("it was just packed");
                    next.restore(key.clone(), state);
                });
                next.resume(stream.now(), stream.newest());
                stream = next;
            }
            stream.advance(rows.timestamp(i), &mut out);
            stream.push(&rows, i, &mut out);
        }
        let end = world.instants[world.instants.len() - 1].max(rows.timestamp(rows.len() - 1)) + 100 * DAY;
        stream.advance(end, &mut out);
        let mut told = BTreeMap::new();
        let mut patches = out.into_iter().peekable();
        let mut before: Option<Millis> = None;
        while let Some(patch) = patches.next() {
            let at = patch.as_of;
            if before.is_some_and(|before| before < at) {
                prop_assert_eq!(&told, &naive(&world, at - 1), "right before {}", at);
            }
            before = Some(at);
            apply(&mut told, &patch);
            if patches.peek().is_none_or(|next| next.as_of > at) {
                prop_assert_eq!(&told, &naive(&world, at), "at {}", at);
            }
        }
        prop_assert_eq!(&told, &naive(&world, end));
    }

    #[test]
    fn events_in_any_order_come_to_the_same(world in world(), seed: u64) {
        let plan = plan(world.zone);
        let mut order: Vec<usize> = (0..world.events.len()).collect();
        order.sort_by_key(|id| (*id as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rows = block(&plan, &world, order);
        let (mut stream, mut out) = (live(&plan), Vec::new());
        for i in 0..rows.len() {
            stream.advance(rows.timestamp(i), &mut out);
            stream.push(&rows, i, &mut out);
        }
        let mut told = BTreeMap::new();
        out.iter().for_each(|patch| apply(&mut told, patch));
        let now = world.events.iter().map(|event| event.0).max().expect("one");
        prop_assert_eq!(told, naive(&world, now));
    }
}

#[test]
fn the_next_change_is_the_next_midnight() {
    for (zone, night) in NIGHTS {
        let (plan, night) = (plan(zone), night.parse::<Date>().expect("a date"));
        for day in -1..2 {
            let (begins, ends) = (midnight(zone, night + day.days()), midnight(zone, night + (day + 1).days()));
            for at in [begins, begins + 1, ends - 1] {
                let world = World { zone, events: vec![(at, Some(1), Some(5))], instants: Vec::new() };
                let (mut stream, mut out) = (live(&plan), Vec::new());
                stream.advance(at, &mut out);
                stream.push(&block(&plan, &world, [0]), 0, &mut out);
                out.clear();
                stream.advance(ends - 1, &mut out);
                assert_eq!(out, [], "{zone} {at}");
                stream.advance(ends, &mut out);
                let fallen = out.iter().find(|patch| patch.tags.iter().any(|(code, _)| &**code == "n_day"));
                assert_eq!(fallen.map(|patch| patch.as_of), Some(ends), "{zone} {at}");
            }
        }
    }
}
