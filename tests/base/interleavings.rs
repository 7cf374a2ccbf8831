//! Whatever comes first: batch early, late, twice, out of order; the stream behind, ahead, or begun later.

use super::world::World;

#[test]
fn a_base_may_come_before_the_stream_or_after_it_once_or_again() {
    for (seed, more) in [(1, ""), (2, "--rollups rollups")] {
        // The stream first, whole; then a base of what it has counted itself.
        let world = World::new(seed, 4);
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
    for more in ["", "--rollups rollups"] {
        let world = World::new(3, 4);
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
    let world = World::new(4, 3);
    assert_eq!(world.base(1, "").code, 0);
    world.is_at_base();
    // Its topic has the last day only: six of its lines are copies of what the base has.
    world.stream(&world.lines(2..3));
    world.is_whole("the stream begins behind the base");
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
    let world = World::new(5, 6);
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
