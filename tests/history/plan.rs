//! What a run reads: the newest day and what changed, no more, and the plan says so beforehand.

use crate::definitions::definitions;
use crate::world::{World, pack};

/// A log of ten days, rolled up.
fn rolled() -> World {
    let mut world = World::new(3);
    for day in 0..10 {
        world.add_file(day, 40);
    }
    world.nightly(&flags(9), "first");
    world
}

fn flags(day: i64) -> String {
    format!("--tags all --through {}", World::name(day))
}

/// The days the plan would read from the log, and what the run then says it read: base, roll-ups, log.
fn read(world: &World, day: i64) -> (Vec<String>, String) {
    let plan = world.dir.adprof(&format!("batch --log log {} --rollups rollups --explain-plan", flags(day))).ok();
    let steps: Vec<serde_json::Value> = plan.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let of_log = steps.iter().filter(|step| step["from"] == "log");
    let days = of_log.map(|step| step["day"].as_str().expect("a day").to_owned()).collect();
    let told = world.nightly(&flags(day), "planned").stderr;
    let line = told.lines().find(|line| line.contains(" days: ")).expect("a line of days").to_owned();
    let total = &steps.last().expect("a total")["total"];
    let bytes = format!("{} bytes of the log", grouped(total["log"].as_u64().expect("bytes")));
    assert!(line.contains(&bytes), "the plan said {bytes}: {line}");
    (days, line.split(';').next().expect("a part").to_owned())
}

fn grouped(n: u64) -> String {
    match n {
        ..1000 => n.to_string(),
        _ => format!("{},{:03}", grouped(n / 1000), n % 1000),
    }
}

#[test]
fn a_run_for_one_more_day_reads_that_day_and_the_base() {
    let mut world = rolled();
    world.add_file(10, 40);
    let want = (vec![World::name(10)], "11 days: 10 from the base, 0 from roll-ups, 1 read".to_owned());
    assert_eq!(read(&world, 10), want);
    assert_eq!(read(&world, 10), (vec![], "11 days: 11 from the base, 0 from roll-ups, 0 read".to_owned()));
    // The newest day changes once more: the base before it is still there.
    world.add_file(10, 3);
    assert_eq!(read(&world, 10), want);
    // An older day is as it was: its roll-ups are there, its base is not.
    assert_eq!(read(&world, 4), (vec![], "5 days: 0 from the base, 5 from roll-ups, 0 read".to_owned()));
}

#[test]
fn a_late_file_costs_its_day_and_those_that_share_events_with_it() {
    let world = rolled();
    let line = |id: &str, user: &str| {
        let at = World::end(3) - 5;
        format!("{{\"eventId\":\"{id}\",\"userId\":\"{user}\",\"eventType\":\"click\",\"timestamp\":{at}}}\n")
    };
    world.dir.write(&format!("log/dt={}/zz-00001.ndjson", World::name(3)), line("alone", "late"));
    let want = (vec![World::name(3)], "10 days: 0 from the base, 9 from roll-ups, 1 read".to_owned());
    assert_eq!(read(&world, 9), want);
    // The same event came on a later day, too: there it is a duplicate from now on, and the plan cannot know.
    world.dir.write(&format!("log/dt={}/zz-00001.ndjson", World::name(7)), line("shared", "late"));
    world.nightly(&flags(9), "shared");
    world.dir.write(&format!("log/dt={}/zz-00002.ndjson", World::name(5)), line("shared", "late"));
    let told = world.nightly(&flags(9), "earlier").stderr;
    assert!(told.contains("10 days: 0 from the base, 8 from roll-ups, 2 read"), "{told}");
    // And is not when it goes.
    std::fs::remove_file(world.partition(5).join("zz-00002.ndjson")).expect("removed");
    let told = world.nightly(&flags(9), "gone").stderr;
    assert!(told.contains("10 days: 0 from the base, 8 from roll-ups, 2 read"), "{told}");
}

#[test]
fn definitions_that_mean_the_same_cost_nothing_and_new_ones_read_each_day_once() {
    let world = rolled();
    let [few, more, renamed, other_window, ..] = definitions();
    let all = |n: usize| format!("10 days: {n} from the base, 0 from roll-ups, {} read", 10 - n);
    world.dir.write("adprof.toml", few.replace("'much'", "'very much'"));
    assert_eq!(read(&world, 9).1, all(10), "a derived tag");
    world.dir.write("adprof.toml", &more);
    assert_eq!(read(&world, 9).1, all(0), "new tags");
    world.dir.write("adprof.toml", &renamed);
    assert_eq!(read(&world, 9).1, all(10), "names");
    world.dir.write("adprof.toml", &other_window);
    assert_eq!(read(&world, 9).1, all(0), "a window");
    world.dir.write("adprof.toml", &renamed);
    assert_eq!(read(&world, 9).1, "10 days: 0 from the base, 10 from roll-ups, 0 read", "and back");
}

/// Where the ten days are taken from for these tags.
fn taken(world: &World, tags: &str) -> String {
    let told = world.nightly(&format!("--tags {tags} --through {}", World::name(9)), tags).stderr;
    let line = told.lines().find(|line| line.contains(" days: ")).expect("a line of days");
    line.split(';').next().expect("a part").to_owned()
}

#[test]
fn an_entity_costs_nothing_until_it_is_told_and_then_what_its_meaning_says() {
    let world = rolled();
    let base = "10 days: 10 from the base, 0 from roll-ups, 0 read";
    let days = "10 days: 0 from the base, 10 from roll-ups, 0 read";
    let read = "10 days: 0 from the base, 0 from roll-ups, 10 read";
    for tags in ["spent", "item_kind", "label_hour,minute_spent", "all"] {
        assert_eq!(taken(&world, tags), base, "{tags}");
    }
    let [few, _, _, _, _, other_keys, _, only_there, users] = definitions();
    std::fs::remove_dir_all(world.dir.file("rollups")).expect("removed");
    for (definitions, tags, want) in [
        (&few, "spent", read),
        (&few, "spent,label_hour", read),
        (&few, "label_users", base),
        (&few, "spent", base),
        (&few, "item_events", read),
        (&few, "all", read),
        (&few, "all", base),
        (&few.replace("name = \"item\"", "name = \"item\"\nprefix = \"i\""), "all", base),
        (&few.replace("retain = \"6h\"", "retain = \"7h\""), "label_hour", read),
        (&other_keys, "label_hour", days),
        (&other_keys, "item_events", read),
        (&only_there, "item_there", days),
        (&users, "all", base),
        (&few, "all", days),
    ] {
        world.dir.write("adprof.toml", definitions);
        assert_eq!(taken(&world, tags), want, "{tags} of {definitions}");
    }
}

#[test]
fn keys_stay_when_the_files_of_tags_that_nobody_wants_any_more_go() {
    let [.., users] = definitions();
    let entity = "[[entity]]\nname = \"item\"\nkey = \"itemId\"\n";
    let tag = |code: &str, more: &str| {
        format!("[[tag]]\ncode = \"{code}\"\nentity = \"item\"\nvalue = \"count(*)\"\n{more}\n")
    };
    // Beside the tag that changes there is one that stays, or none.
    for steady in [String::new(), tag("m", "")] {
        let mut world = World::new(6);
        (0..2).for_each(|day| world.add_file(day, 40));
        let flags = |tags: &str| format!("--tags {tags} --through {}", World::name(1));
        world.nightly(&flags("spent"), "users");
        for hours in 1..15 {
            let tags = format!("{steady}{}", tag("n", &format!("window = \"{hours}h\"")));
            world.dir.write("adprof.toml", format!("{users}\n{entity}{tags}"));
            let told = world.nightly(&flags("all"), "another window");
            assert!(told.stderr.contains("keys of item"), "{}", told.stderr);
        }
        let files = std::fs::read_dir(world.dir.file("rollups")).expect("listed");
        let names = files.map(|entry| entry.expect("one").file_name().to_string_lossy().into_owned());
        assert!((2..=18).contains(&names.filter(|name| name.ends_with(".more")).count()));
    }
}

#[test]
fn a_sealed_day_that_is_packed_is_known_by_its_content() {
    let world = rolled();
    let sealed = [2, 4];
    sealed.iter().for_each(|day| world.seal(*day));
    // Sealed after they were rolled up: a night between that and the packing sees it.
    world.nightly(&flags(9), "sealed");
    for day in [2, 4, 6] {
        world.files(day).iter().for_each(pack);
    }
    // Of another content, though sealed with the hash of the old one.
    let changed = world.files(4).remove(0);
    let mut bytes = zstd::stream::decode_all(&std::fs::read(&changed).expect("read")[..]).expect("zstd");
    bytes.extend_from_slice(b"no event\n");
    std::fs::write(&changed, zstd::stream::encode_all(&bytes[..], 1).expect("in memory")).expect("written");
    let told = world.nightly(&flags(9), "packed").stderr;
    assert!(told.contains(", 2 read;"), "{told}");
    let told = world.nightly(&flags(9), "again").stderr;
    assert!(told.contains("10 days: 10 from the base, 0 from roll-ups, 0 read"), "{told}");
}

#[test]
fn a_day_that_is_not_over_or_may_read_otherwise_later_is_not_rolled_up() {
    let mut world = rolled();
    // Without a receipt, and of a time that has not come: refused today, an event one day.
    let line = "{\"eventId\":\"f\",\"userId\":\"u\",\"eventType\":\"click\",\"timestamp\":99999999999999}\n";
    world.dir.write(&format!("log/dt={}/b-00001.ndjson", World::name(8)), line);
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let today = (0..).find(|day| World::name(*day) == now.to_string()).expect("a day to come");
    world.add_file(today, 10);
    for _ in 0..2 {
        let told = world.nightly(&flags(today), "open").stderr;
        assert!(told.contains("11 days: 0 from the base, 8 from roll-ups, 3 read"), "{told}");
        assert!(told.contains(&format!("dt={}: a line is refused only because", World::name(8))), "{told}");
    }
    std::fs::remove_file(world.partition(8).join("b-00001.ndjson")).expect("removed");
    let told = world.nightly(&flags(today), "settled").stderr;
    assert!(told.contains(", 2 read;") || told.contains(", 1 read;"), "{told}");
    assert!(
        world.nightly(&flags(today), "again").stderr.contains("11 days: 10 from the base, 0 from roll-ups, 1 read")
    );
}

#[test]
fn what_cannot_be_is_said() {
    let mut world = World::new(1);
    world.add_file(2, 5);
    world.dir.write("one.ndjson", "");
    let through = World::name(2);
    for (flags, code, words) in [
        (format!("--log one.ndjson --through {through}"), 2, "not a log of date partitions"),
        ("--log log --rollups r".to_owned(), 2, "--through"),
        (format!("--log log --log log --through {through} --rollups r"), 2, "one log only"),
        (format!("--log log --through {through} --rollups r --since 2024-01-01"), 2, "--since"),
        (format!("--log log --through {}", World::name(1)), 66, "no partition up to dt=2024-03-02"),
        (format!("--log log --through {through} --rollups one.ndjson"), 74, "one.ndjson"),
    ] {
        let told = world.dir.adprof(&format!("batch {flags}")).output();
        assert_eq!((told.code, told.stderr.contains(words)), (code, true), "{flags}: {}", told.stderr);
    }
    assert!(!world.dir.file("r").exists());
}
