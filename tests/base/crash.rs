//! `kill -9` around the making and the installing of a base: at every call that makes something last.

use super::world::World;
use crate::support::{adprof_path, clean_environment, skipped};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let place = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &place);
        } else {
            fs::copy(&path, &place).expect("copied");
        }
    }
}

/// Runs `args`, killed at the N-th of these calls. Whether it came to its end; `None`: there is no strace here.
fn killed(world: &World, args: &str, calls: &str, n: u32) -> Option<bool> {
    let inject = format!("inject={calls}:signal=SIGKILL:when={n}");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject]).arg(adprof_path());
    command.args(args.split(' ')).current_dir(world.dir.path()).env_clear().envs(clean_environment());
    let Ok(output) = command.stdin(Stdio::null()).output() else {
        skipped("no strace");
        return None;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("ptrace") || stderr.contains("invalid system call") {
        skipped(&format!("strace cannot inject here: {stderr}"));
        return None;
    }
    Some(output.status.success())
}

const CALLS: &str = "fsync,fdatasync,rename,unlink,pwrite64,pwritev";

#[test]
fn a_batch_killed_at_any_call_leaves_a_state_that_is_right_with_the_base_or_without() {
    let world = World::keyed(7, 3);
    world.stream(&world.lines(0..3));
    let (store, kept) = (world.dir.file("s"), world.dir.file("kept"));
    copy(&store, &kept);
    for n in 1..100 {
        copy(&kept, &store);
        let args = format!("batch --log log --through {} --store file:s", world.name(1));
        let Some(through) = killed(&world, &args, CALLS, n) else { return };
        world.is_whole(&format!("killed at {n}"));
        // The stream starts again, and takes the base if there is one by then.
        world.stream("");
        world.is_whole(&format!("killed at {n}, then the stream"));
        if through {
            assert!(n > 8, "killed {} times only", n - 1);
            return;
        }
        assert_eq!(world.base(1, "").code, 0, "killed at {n}");
        world.is_whole(&format!("killed at {n}, then again"));
    }
    panic!("it never came to its end");
}

#[test]
fn a_stream_killed_at_any_call_while_it_installs_a_base_installs_it_at_the_next_start() {
    let world = World::keyed(8, 3);
    world.stream(&world.lines(0..3));
    // Somebody owns the store: the base is made and left there.
    let lock = fs::File::options().write(true).open(world.dir.file("s/writer.lock")).expect("there");
    lock.lock().expect("locked");
    let said = world.base(1, "");
    assert!(said.stderr.contains("the stream that owns the store installs it"), "{}", said.stderr);
    drop(lock);
    let (store, kept) = (world.dir.file("s"), world.dir.file("kept"));
    copy(&store, &kept);
    for n in 1..100 {
        copy(&kept, &store);
        let Some(through) = killed(&world, "stream --store file:s", CALLS, n) else { return };
        world.is_whole(&format!("killed at {n}"));
        let again = world.stream("");
        let installed = format!("base through {} installed", world.name(1));
        world.is_whole(&format!("killed at {n}, then again: {}", again.stderr.contains(&installed)));
        let origin = world.dir.adprof("query --store file:s --origin u1").ok();
        assert!(origin.contains(&format!("\"base\":\"{}\"", world.name(1))), "{n}: {origin}");
        let left = fs::read_dir(world.dir.file("s/base")).expect("listed").count();
        assert_eq!(left, 2, "the files of the base go once it is installed");
        if through {
            assert!(n > 1, "killed {} times only", n - 1);
            return;
        }
    }
    panic!("it never came to its end");
}
