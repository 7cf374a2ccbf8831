//! `batch --manifest` with roll-ups: what the run says of its events, written out, as late ones become due.

use crate::world::{DAY, World};
use serde_json::{Value, json};

/// Without a time of receipt: it may be of days to come.
fn event(id: &str, at: i64) -> String {
    format!("{{\"eventId\":\"{id}\",\"userId\":\"u\",\"eventType\":\"click\",\"timestamp\":{at}}}\n")
}

/// What the manifest of a night says of its events; the full scan says the same.
fn events(world: &World, flags: &str) -> Value {
    world.nightly(&format!("--tags all {flags}"), "manifest");
    let text = world.dir.read("rolled.ndjson.manifest.json");
    serde_json::from_str::<Value>(&text).expect("JSON")["events"].take()
}

fn counts([lines, counted, duplicates, outside]: [u64; 4], first: Option<i64>, last: Option<i64>) -> Value {
    json!({
        "lines": lines, "counted": counted, "duplicates": duplicates, "outside": outside,
        "refused": {}, "first": first, "last": last,
    })
}

#[test]
fn an_event_gives_its_time_to_the_manifest_from_the_night_on_in_which_it_counts() {
    let mut world = World::new(1);
    let noon = |day: i64| World::end(day) - DAY / 2;
    let day = |world: &mut World, day: i64, lines: &[String]| {
        world.dir.write(&format!("log/dt={}/a-00001.ndjson", World::name(day)), lines.concat());
        world.days.push(day);
    };
    // Nothing of the first day counts in its own night: one is of the next day, one of the third.
    let (soon, later) = (World::end(0) + 2, World::end(2) - 1);
    day(&mut world, 0, &[event("soon", soon), event("later", later), event("soon", 5)]);
    let through = |day: i64| format!("--through {}", World::name(day));
    assert_eq!(events(&world, &through(0)), counts([3, 0, 1, 2], None, None));
    // In the second night one of them is due: the first of all. The copies of both stay copies.
    day(&mut world, 1, &[event("b", noon(1)), event("later", noon(1) - 3), event("soon", 7)]);
    assert_eq!(events(&world, &through(1)), counts([6, 2, 3, 1], Some(soon), Some(noon(1))));
    // In the third the other, which is the last; an old one goes before all.
    day(&mut world, 2, &[event("c", noon(2)), event("old", noon(0))]);
    assert_eq!(events(&world, &through(2)), counts([8, 5, 3, 0], Some(noon(0)), Some(later)));
    // From the base, from the roll-ups of an older night, and as of an instant in its middle.
    assert_eq!(events(&world, &through(2)), counts([8, 5, 3, 0], Some(noon(0)), Some(later)));
    assert_eq!(events(&world, &through(1)), counts([6, 2, 3, 1], Some(soon), Some(noon(1))));
    let at = |instant: i64| format!("{} --as-of {instant}", through(1));
    assert_eq!(events(&world, &at(noon(1) - 1)), counts([6, 1, 3, 2], Some(soon), Some(soon)));
    assert_eq!(events(&world, &at(later)), counts([6, 3, 3, 0], Some(soon), Some(later)));
    // A late file takes away what came first, and a day that is gone what it gave.
    world.dir.write(&format!("log/dt={}/0.ndjson", World::name(0)), event("later", noon(0) + 9));
    assert_eq!(events(&world, &through(2)), counts([9, 5, 4, 0], Some(noon(0)), Some(noon(2))));
    std::fs::remove_dir_all(world.partition(2)).expect("removed");
    assert_eq!(events(&world, &through(1)), counts([7, 3, 4, 0], Some(noon(0) + 9), Some(noon(1))));
}
