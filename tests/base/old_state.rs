//! A state of the first format, whose parts have no days: read as it is, and raised by the next stream.

use super::world::World;
use adprof::agg::codec::{get_bytes, get_i64};
use adprof::key::Key;
use adprof::store::embedded::{Changes, Embedded};
use serde_json::Value;
use std::fs;

/// Makes the store what the first version would have left.
fn age(world: &World) {
    let store = Embedded::open_existing(&world.dir.file("s")).expect("a store");
    let states: Vec<(Key, Option<Vec<u8>>)> = store
        .scan_all()
        .map(|entry| {
            let entry = entry.expect("whole");
            let bytes = entry.state.expect("a state");
            let mut rest = &bytes[..];
            get_i64(&mut rest).expect("a day");
            let payload = get_bytes(&mut rest).expect("its part").to_vec();
            assert!(rest.is_empty(), "one day");
            (entry.key, Some(payload))
        })
        .collect();
    let mut progress: Value = serde_json::from_slice(&store.meta("live").expect("read").expect("there")).expect("JSON");
    let fields = progress.as_object_mut().expect("an object");
    ["form", "tail", "base", "only_base"].iter().for_each(|name| assert!(fields.remove(*name).is_some(), "{name}"));
    assert!(fields["counts"].as_object_mut().expect("an object").remove("covered").is_some());
    let progress = serde_json::to_vec(&progress).expect("JSON");
    let snapshot = store.snapshot().expect("read");
    let mut ids: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    for name in snapshot.ids_names().expect("read") {
        let (minute, number) = name.split_once('/').expect("a slice and a number");
        let hour = (minute.parse::<i64>().expect("a minute") - (1 << 40)) / 60;
        ids.push((format!("{hour}/{number}"), snapshot.ids(&name).expect("read")));
        ids.push((name, None));
    }
    assert!(!ids.is_empty());
    drop(snapshot);
    let ids: Vec<(&str, Option<&[u8]>)> = ids.iter().map(|(name, bytes)| (&**name, bytes.as_deref())).collect();
    let mut owner = store.begin_owner("a test").expect("free");
    owner.commit(Changes { at: 0, states, meta: &[("live", Some(&progress))], ids: &ids }).expect("committed");
    drop((owner, store));
    fs::write(world.dir.file("s/FORMAT"), "adprof store, format 1\n").expect("written");
}

#[test]
fn a_state_of_the_first_format_is_read_and_raised_and_counts_as_received_today() {
    let world = World::new(12, 2);
    // The log of one day: what came before is not in it, nor in the state.
    fs::remove_dir_all(world.dir.file(&format!("log/dt={}", world.name(0)))).expect("removed");
    world.stream(&world.lines(1..2));
    world.is_whole("as it is");
    age(&world);
    world.is_whole("of the first format");
    assert_eq!(world.dir.read("s/FORMAT"), "adprof store, format 1\n", "who reads changes nothing");
    world.dir.write(&format!("log/dt={}/web-00001.ndjson", world.name(0)), "");
    let why = format!("the state has merged what was received through {0}", world.name(1));
    let refused = world.base(0, "");
    assert!(refused.code == 2 && refused.stderr.contains(&why), "{}", refused.stderr);
    // Events that it has seen come again: it knows them by the hour.
    world.stream(&world.lines(1..2));
    assert_eq!(world.dir.read("s/FORMAT"), "adprof store, format 3\n");
    world.is_whole("raised");
    let refused = world.base(0, "");
    assert!(refused.code == 2 && refused.stderr.contains(&why), "{}", refused.stderr);
}
