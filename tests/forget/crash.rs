//! `kill -9` at every call that makes something last: run again, it ends right.

use super::world::{OTHERS, WHO, day, found, name, strange};
use crate::support::{Dir, adprof_path, clean_environment, skipped};
use std::fs;
use std::path::{Path, PathBuf};
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
fn killed(dir: &Dir, args: &str, calls: &str, n: u32) -> Option<bool> {
    let inject = format!("inject={calls}:signal=SIGKILL:when={n}");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject]).arg(adprof_path());
    command.args(args.split(' ')).current_dir(dir.path()).env_clear().envs(clean_environment());
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

/// Each call apart: of two that come by turns only one would be met at its first turn.
const CALLS: [&str; 5] = ["fsync", "fdatasync", "rename,renameat2", "unlink,unlinkat,rmdir", "pwrite64,pwritev"];

#[test]
fn killed_at_any_call_and_run_again_it_ends_right() {
    let (dir, kept) = (Dir::new(), Dir::new());
    for n in 0..3 {
        dir.write(&format!("events/dt={}/web-00001.ndjson", name(n)), day(n) + &strange(n));
        fs::create_dir_all(dir.file(&format!("nights/dt={}", name(n)))).expect("made");
    }
    dir.adprof(&format!("log seal events --date {}", name(0))).ok();
    dir.adprof(&format!("log seal events --date {} --no-compress", name(1))).ok();
    let batch = format!("batch --log events --through {} --rollups rollups", name(2));
    let night = format!("nights/dt={}/patches.ndjson", name(2));
    dir.adprof(&format!("{batch} --manifest -o {night}")).ok();
    dir.adprof("stream --store file:s").stdin((0..3).map(day).collect::<String>()).ok();
    copy(dir.path(), &kept.file("all"));
    let args = format!("forget {WHO} --log events --store file:s --rollups rollups --nights nights");
    for calls in CALLS {
        for n in 1.. {
            assert!(n < 200, "it never came to its end");
            copy(&kept.file("all"), dir.path());
            let Some(through) = killed(&dir, &args, calls, n) else { return };
            if !through {
                dir.adprof(&args).ok();
            }
            let told = format!("killed at {calls} {n}");
            assert_eq!(found(dir.path()), Vec::<PathBuf>::new(), "{told}");
            let stat = dir.adprof("log stat events").ok();
            assert_eq!(stat.matches("\"state\":\"sealed\"").count(), 2, "{told}: {stat}");
            let lines = dir.adprof("batch --log events --max-errors 0").exits(0);
            assert!(lines.stderr.contains("12 events; 4 profiles"), "{told}: {}", lines.stderr);
            let query = dir.adprof("export --store file:s --format ndjson").ok();
            assert_eq!(query.lines().count(), OTHERS.len(), "{told}: {query}");
            if through {
                assert!(n > 1, "{calls}: never killed");
                break;
            }
            dir.adprof("log seal events").ok();
            dir.adprof(&format!("check --data {night}")).exits(0);
            assert_eq!(dir.adprof(&batch).ok().lines().count(), OTHERS.len(), "{told}");
            assert!(!dir.file("s.rebuild").exists(), "{told}");
        }
    }
}
