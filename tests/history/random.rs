//! Nights in any order over a log that changes as it likes, with definitions that change and roll-ups that rot.

use crate::definitions::definitions;
use crate::support::{adprof_path, clean_environment};
use crate::world::{DAY, World};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const SEEDS: u64 = 4;
const NIGHTS: usize = 25;

/// More with `ADPROF_TEST_SEEDS=1000-1100`.
fn seeds() -> Vec<u64> {
    let range = std::env::var("ADPROF_TEST_SEEDS").ok();
    let range = range.as_deref().and_then(|text| text.split_once('-'));
    match range.map(|(from, to)| (from.parse::<u64>(), to.parse::<u64>())) {
        Some((Ok(from), Ok(to))) => (from..to).collect(),
        _ => (0..SEEDS).collect(),
    }
}

#[test]
fn the_bytes_are_those_of_the_full_scan_whatever_happens_between_the_nights() {
    for seed in seeds() {
        let mut world = World::new(seed);
        for day in 0..4 {
            world.add_file(day, 25);
        }
        for night in 0..NIGHTS {
            let told = format!("ADPROF_TEST_SEEDS={seed}-{}, night {night}: {}", seed + 1, happens(&mut world));
            let flags = flags(&mut world);
            world.nightly(&flags, &told);
        }
    }
}

/// What may happen between two nights.
fn happens(world: &mut World) -> String {
    match world.chance.below(12) {
        0..5 => {
            let day = world.days.last().map_or(0, |day| day + 1);
            world.add_file(day, 25);
            "a new day".into()
        }
        5..7 => world.change(),
        7 => {
            world.dir.write("adprof.toml", world.chance.one(&definitions()));
            "other definitions".into()
        }
        8 => rot(world),
        9 => {
            let day = *world.chance.one(&world.days.clone());
            world.seal(day);
            format!("{} sealed", World::name(day))
        }
        10 => killed(world),
        _ => "nothing".into(),
    }
}

/// Mostly the newest day as of its end; sometimes an older one, another zone, an instant of its own, or a choice of tags.
fn flags(world: &mut World) -> String {
    let newest = *world.days.last().expect("a day");
    let through = if world.chance.percent(70) { newest } else { *world.chance.one(&world.days.clone()) };
    let mut flags = format!("--through {}", World::name(through));
    match world.chance.below(10) {
        0 => flags += " --tz Europe/Berlin",
        1 => flags += " --tz America/Los_Angeles",
        2 => {
            let before = world.chance.below(6 * DAY as u64) as i64;
            flags += &format!(" --as-of {}", World::end(through) + DAY - before);
        }
        3 => flags += &format!(" --date {}", World::name(through - 1)),
        _ => {}
    }
    // The ids of many days have room, or of few, or of none.
    flags += *world.chance.one(&["", "", " --memory 8K", " --memory 2K", " --memory 1"]);
    flags + *world.chance.one(tags(&world.dir.read("adprof.toml")))
}

/// Choices of tags that a definition file has; most of all of them, some of users or of entities alone.
fn tags(definitions: &str) -> &'static [&'static str] {
    if !definitions.contains("item_events") {
        return &[" --tags all", " --tags all --threads 1", " --tags spent,kind", ""];
    }
    &[
        " --tags all",
        " --tags all",
        " --tags all --threads 1",
        " --tags spent,kind",
        " --tags item_kind",
        " --tags label_hour,minute_spent --threads 3",
        "",
    ]
}

fn rollup_files(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.dir.file("rollups"));
    let mut files: Vec<PathBuf> =
        entries.map_or(Vec::new(), |entries| entries.map(|entry| entry.expect("an entry").path()).collect());
    files.sort();
    files
}

/// A roll-up is deleted, cut, changed in one byte, or replaced by another one.
fn rot(world: &mut World) -> String {
    let files = rollup_files(world);
    if files.is_empty() {
        return "nothing to rot".into();
    }
    let (file, other) = (world.chance.one(&files).clone(), world.chance.one(&files).clone());
    let mut bytes = fs::read(&file).expect("read");
    let at = world.chance.below(bytes.len() as u64) as usize;
    let what = world.chance.below(4);
    match what {
        0 => fs::remove_file(&file).expect("removed"),
        1 => fs::write(&file, &bytes[..at]).expect("written"),
        2 if !bytes.is_empty() => {
            bytes[at] ^= 1 << world.chance.below(8);
            fs::write(&file, bytes).expect("written");
        }
        _ => drop(fs::copy(other, &file).expect("copied")),
    }
    format!("rot {what} of {}", file.display())
}

/// A night that is killed on its way.
fn killed(world: &mut World) -> String {
    let day = world.days.last().map_or(0, |day| day + 1);
    world.add_file(day, 25);
    let flags = format!("batch --log log --rollups rollups --through {}", World::name(day));
    let mut command = Command::new(adprof_path());
    command.args(flags.split(' ')).current_dir(world.dir.path()).env_clear().envs(clean_environment());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    let wait = world.chance.below(30);
    std::thread::sleep(Duration::from_millis(wait));
    child.kill().and_then(|()| child.wait()).expect("killed");
    format!("killed after {wait} ms")
}
