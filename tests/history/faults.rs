//! What a crash at any call leaves behind, and two writers at once.

use crate::support::{adprof_path, clean_environment, skipped};
use crate::world::World;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

/// Kills a run with roll-ups at its N-th call of one of these kinds, for every N, and goes on after each.
fn killed_at_every(calls: &str, tags: &str) {
    let mut world = World::new(77);
    for day in 0..3 {
        world.add_file(day, 20);
    }
    world.nightly(&format!("--tags {tags} --through {}", World::name(2)), "before");
    // The night to be killed has a day to roll up, a late file, and a base to advance.
    world.add_file(3, 20);
    world.add_file(1, 5);
    let flags = format!("--tags {tags} --through {}", World::name(3));
    let (rollups, kept) = (world.dir.file("rollups"), world.dir.file("kept"));
    copy(&rollups, &kept);
    for n in 1..1000 {
        copy(&kept, &rollups);
        let inject = format!("inject={calls}:signal=SIGKILL:when={n}");
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject]).arg(adprof_path());
        command.args(format!("batch --log log {flags} --rollups rollups").split(' '));
        command.current_dir(world.dir.path()).env_clear().envs(clean_environment());
        let output = match command.stdin(Stdio::null()).output() {
            Ok(output) => output,
            Err(_) => return skipped("no strace"),
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        if stderr.contains("ptrace") || stderr.contains("invalid system call") {
            return skipped(&format!("strace cannot inject here: {stderr}"));
        }
        let through = output.status.success();
        let told = world.nightly(&flags, &format!("killed at {calls} {n}"));
        assert!(!told.stderr.contains("damaged"), "{calls} {n}: {}", told.stderr);
        if through {
            assert!(n > 3, "{calls}: killed {} times only", n - 1);
            return;
        }
    }
    panic!("{calls}: never came to its end");
}

#[test]
fn a_run_killed_at_any_rename_or_sync_leaves_what_the_next_one_goes_on_from() {
    killed_at_every("rename,fsync", "all");
}

#[test]
fn a_run_killed_at_any_removal_or_write_to_a_new_file_leaves_what_the_next_one_goes_on_from() {
    // Each part of the output is a write: of few keys there are few.
    killed_at_every("unlink,write", "item_kind,label_users");
}

#[test]
fn the_second_of_two_writers_is_told_to_try_again() {
    let mut world = World::new(5);
    world.add_file(0, 20);
    let flags = format!("--through {}", World::name(0));
    world.nightly(&flags, "first");
    let lock = fs::File::options().write(true).open(world.dir.file("rollups/lock")).expect("a lock");
    lock.lock().expect("held");
    let told = world.dir.adprof(&format!("batch --log log {flags} --rollups rollups")).exits(75);
    assert!(told.stdout.is_empty() && told.stderr.contains("in use by another process"), "{}", told.stderr);
    // To look at the plan needs no lock.
    world.dir.adprof(&format!("batch --log log {flags} --rollups rollups --explain-plan")).ok();
    drop(lock);
    world.nightly(&flags, "after");
}

#[test]
fn a_byte_changed_anywhere_in_the_states_is_noticed_and_what_hung_on_it_is_made_anew() {
    let mut world = World::new(9);
    for day in 0..3 {
        world.add_file(day, 60);
    }
    world.nightly(&format!("--tags all --through {}", World::name(2)), "before");
    let (rollups, kept) = (world.dir.file("rollups"), world.dir.file("kept"));
    copy(&rollups, &kept);
    // Day 1 alone has no base: its values come from the two days.
    for (stem, through) in [("base-", 2), (World::name(1).as_str(), 1)] {
        let names = fs::read_dir(&kept).expect("listed").map(|entry| entry.expect("an entry").file_name());
        let name = names.map(|name| name.to_string_lossy().into_owned()).find(|name| name.starts_with(stem));
        let name = name.expect("a file");
        let whole = fs::read(kept.join(&name)).expect("read");
        let mut noticed = 0;
        for i in 0..40 {
            copy(&kept, &rollups);
            let mut bad = whole.clone();
            let at = 8 + (bad.len() - 8) * i / 40;
            bad[at] ^= 4;
            fs::write(rollups.join(&name), bad).expect("written");
            let told =
                world.nightly(&format!("--tags all --through {}", World::name(through)), &format!("{name} {at}"));
            noticed += usize::from(told.stderr.contains("is damaged"));
        }
        // All of a base is read; of a day not its ids and their filter.
        let want = if stem == "base-" { 40 } else { 10 };
        assert!(noticed >= want, "{name}: {noticed}");
    }
}
