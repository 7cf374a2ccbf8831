//! Whatever comes first: batch early, late, twice, out of order; the stream behind, ahead, or begun later.

use super::world::World;

#[test]
fn a_base_may_come_before_the_stream_or_after_it_once_or_again() {
    let worlds = [(World::new(1, 4), ""), (World::new(2, 4), "--rollups rollups"), (World::keyed(16, 4), "")];
    for (world, more) in worlds {
        // The stream first, whole; then a base of what it has counted itself.
        world.stream(&world.lines(0..4));
        world.is_whole("no base");
        let said = world.base(1, more);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(
            said.stderr.contains(&format!("base through {} installed: 9 profiles", world.name(1))),
            "{}",
            said.stderr
        );
        world.is_whole("base behind the stream");
        for _ in 0..2 {
            assert_eq!(world.base(2, more).code, 0);
            world.is_whole("a newer base, twice");
        }
        let refused = world.base(1, more);
        assert_eq!(refused.code, 2);
        let why = format!("no base through {}: a base through {} is installed", world.name(1), world.name(2));
        assert!(refused.stderr.contains(&why), "{}", refused.stderr);
        world.is_whole("an older base was refused");
    }
}

#[test]
fn a_store_that_has_only_a_base_begins_its_stream_at_the_beginning_and_drops_what_is_covered() {
    for (world, more) in [(World::new(3, 4), ""), (World::new(3, 4), "--rollups rollups"), (World::keyed(3, 4), "")] {
        assert_eq!(world.base(2, more).code, 0);
        let said = world.stream(&world.lines(0..4));
        assert!(said.stderr.contains(" in the base; "), "{}", said.stderr);
        world.is_whole("stream days behind");
        let [consumed, absorbed, duplicates, refused] = crate::streams::counts(&world.dir.file("s"));
        assert!(
            absorbed == 60 && duplicates == 6 && refused == 0 && consumed == 4 * 60 + 3 * 6,
            "{absorbed} {duplicates}"
        );
        let origin = world.dir.adprof("query --store file:s --origin u1").ok();
        let told = format!(
            "\"origin\":{{\"base\":\"{}\",\"tailFrom\":\"{}\",\"warming\":{{}}}}}}\n",
            world.name(2),
            world.name(3)
        );
        assert!(origin.ends_with(&told), "{origin}");
        let explained = world.dir.adprof("explain u1 clicks --store file:s --format text").ok();
        let told = format!("base through {}, its own part from {}", world.name(2), world.name(3));
        assert!(explained.contains(&told), "{explained}");
    }
}

#[test]
fn a_stream_that_began_yesterday_knows_the_duplicates_across_midnight() {
    let world = World::keyed(4, 3);
    assert_eq!(world.base(1, "").code, 0);
    world.is_at_base();
    // Its topic has the last day only: six of its lines are copies of what the base has.
    world.stream(&world.lines(2..3));
    world.is_whole("the stream begins behind the base");
}

#[test]
fn keys_of_base_and_tail_are_told_explained_and_forgotten_at_their_instant() {
    let world = World::keyed(14, 3);
    // Of users alone it would be made from the roll-ups.
    let said = world.base(1, "--rollups rollups");
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("the base is made from the log: it has the keys of `item` too"), "{}", said.stderr);
    assert!(said.stderr.contains(" profiles, ") && said.stderr.contains(" keys of item, "), "{}", said.stderr);
    world.stream(&world.lines(2..3));
    let entity = "--store file:s --entity item";
    let origin = world.dir.adprof(&format!("query {entity} --origin i1 --tags item_events,item_hot")).ok();
    let told = format!("\"base\":\"{}\",\"tailFrom\":\"{}\",\"warming\":{{}}}}}}\n", world.name(1), world.name(2));
    assert!(origin.starts_with("{\"entity\":\"item\",\"key\":\"i1\",") && origin.ends_with(&told), "{origin}");
    let day = 86_400_000;
    let mut newest: std::collections::BTreeMap<String, i64> = Default::default();
    for line in world.lines(0..3).lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event");
        let at = newest.entry(event["itemId"].as_str().expect("an item").to_string()).or_default();
        *at = event["timestamp"].as_i64().expect("an instant").max(*at);
    }
    let now = crate::streams::now();
    let mut edges: Vec<(i64, String)> =
        newest.into_iter().map(|(item, at)| (at - at % 3_600_000 + 30 * day / 24, item)).collect();
    edges.retain(|(edge, _)| *edge > now + 1000);
    edges.sort();
    for (edge, item) in [&edges[0], &edges[edges.len() / 2], &edges[edges.len() - 1]] {
        world.is_whole_at(edge - 1, &format!("{item} is there"));
        let there = world.dir.adprof(&format!("query {entity} --as-of {} {item} --format ndjson", edge - 1)).ok();
        assert!(there.contains("\"item_events\":"), "{there}");
        let explain = format!("explain {entity} --as-of {} --json {item} item_events --log log", edge - 1);
        let told: serde_json::Value = serde_json::from_str(world.dir.adprof(&explain).ok().trim()).expect("one line");
        assert!(told["value"].as_i64() > Some(0), "{told}");
        let gone = world.dir.adprof(&format!("query {entity} --as-of {edge} {item} --format ndjson")).ok();
        assert!(!gone.contains("item_events"), "{gone}");
    }
    let (edge, _) = edges[edges.len() / 2];
    world.is_whole_at(edge, "some are forgotten");
    let text = world.dir.adprof(&format!("explain {entity} i1 item_events --format text")).ok();
    let told = format!("base through {}, its own part from {}", world.name(1), world.name(2));
    assert!(text.contains(&told), "{text}");
}

impl World {
    /// Of a store without a stream: what the base has is what the log has up to its day.
    fn is_at_base(&self) {
        let all = self.dir.adprof("query --store file:s u1").ok();
        assert!(all.contains("\"clicks\":"), "{all}");
    }
}

#[test]
fn what_was_merged_is_not_cut_and_the_message_names_the_day_that_would_do() {
    let world = World::keyed(5, 6);
    world.stream(&world.lines(0..6));
    let refused = world.base(1, "");
    assert_eq!(refused.code, 2);
    let why = format!(
        "the state has merged what was received through {0}: {0} is the first day that would do",
        world.name(2)
    );
    assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    assert_eq!(world.base(2, "").code, 0);
    world.is_whole("the first day that does");
    // A straggler, received days ago: the base has it by now.
    let log = format!("log/dt={}/late-00001.ndjson", world.name(1));
    let received = (world.today - 4) * super::world::DAY;
    let late = format!(
        "{{\"eventId\":\"late\",\"userId\":\"u1\",\"eventType\":\"click\",\"timestamp\":{received},\"receivedAt\":{received}}}\n"
    );
    world.dir.write(&log, &late);
    world.stream(&late);
    assert_eq!(world.base(4, "").code, 0);
    world.is_whole("a late file in the log");
}

#[test]
fn what_cannot_be_a_base_is_said_before_anything_is_computed() {
    let world = World::new(6, 2);
    for (flags, code, why) in [
        (format!("--through {} --store file:s", world.name(1)), 75, "is not over in UTC"),
        (format!("--through {} --store redis://127.0.0.1:1", world.name(0)), 2, "lies in a directory"),
        (format!("--through {} --store redis", world.name(0)), 2, "--store file:adprof-state"),
        ("--store file:s".to_string(), 2, "--through"),
    ] {
        let output = world.dir.adprof(&format!("batch --log log {flags}")).exits(code);
        assert!(output.stderr.contains(why) && output.stdout.is_empty(), "{flags}: {}", output.stderr);
    }
    std::fs::remove_dir_all(world.dir.file(&format!("log/dt={}", world.name(0)))).expect("removed");
    world.dir.write("log/dt=2024-01-01/web-00001.ndjson", "");
    let output = world.base(0, "");
    assert_eq!(output.code, 66);
    assert!(output.stderr.contains("no partition dt="), "{}", output.stderr);
    assert!(!world.dir.file("s").exists(), "nothing was made");
}
