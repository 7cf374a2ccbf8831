//! Disks: room, kind, and how long it takes until bytes are safe.

use super::{Finding, directory};
use crate::given::bytes;
use crate::report::plain;
use adprof::disk::volume::{Kind, Volume, sync_time};
use adprof::log::care;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Less room than this is a risk: a share of the disk, and bytes.
const FREE_SHARE: u64 = 20;
const FREE_LEAST: u64 = 1 << 30;
/// `collect` acknowledges after a sync, so that this is what a producer waits for.
const SYNC_SLOW: Duration = Duration::from_millis(50);
/// So many of the newest days tell how fast the log grows, and so many days there should be room for.
const GROWTH_DAYS: usize = 7;
const DAYS_LEAST: u64 = 7;
/// A day of the log, a store, brokers and a Redis are some dozens.
const DESCRIPTORS_LEAST: u64 = 256;

/// The checks of one volume: `of` is `log` or `store`.
pub fn look(path: &Path, of: &'static str, findings: &mut Vec<Finding>) {
    let dir = directory(path);
    let (disk, room, inodes, sync) = match of {
        "log" => ("log.disk", "log.room", "log.inodes", "log.sync"),
        _ => ("store.disk", "store.room", "store.inodes", "store.sync"),
    };
    let volume = match Volume::of(dir) {
        Ok(volume) => volume,
        Err(e) => {
            findings.push(Finding::risk(disk, format!("{}: {}", dir.display(), plain(&e.to_string()))));
            return;
        }
    };
    findings.push(match (volume.read_only, volume.kind) {
        (true, _) => Finding::risk(disk, format!("{}: the file system is read-only", dir.display())),
        (_, Kind::Memory) => {
            Finding::risk(disk, format!("{}: kept in memory: gone when the machine stops", dir.display()))
                .hint("put it on a disk")
        }
        (_, Kind::Shared(name)) => {
            Finding::risk(disk, format!("{}: on {name}: locks may not hold there", dir.display()))
                .hint("put it on a local disk")
        }
        (_, Kind::Local) => Finding::ok(disk, format!("{}: a local file system", dir.display())),
    });
    findings.push(free(room, &volume));
    if let Some((left, all)) = volume.inodes
        && left < all / 100
    {
        findings.push(Finding::risk(inodes, format!("{left} of {all} inodes are left")).hint("remove files"));
    }
    findings.push(match sync_time(dir) {
        Ok(time) if time > SYNC_SLOW => Finding::risk(sync, format!("fdatasync takes {} ms", time.as_millis()))
            .hint("an acknowledgement waits for it: a faster disk, or larger batches of lines"),
        Ok(time) => Finding::ok(sync, format!("fdatasync takes {:.1} ms", time.as_secs_f64() * 1e3)),
        Err(e) => Finding::risk(sync, format!("{}: {}", dir.display(), plain(&e.to_string())))
            .hint("the user that runs adprof must be able to write there"),
    });
}

fn free(check: &'static str, volume: &Volume) -> Finding {
    let words = format!("{} of {} are free", bytes(volume.free), bytes(volume.size));
    if volume.free < FREE_LEAST || volume.free < volume.size / FREE_SHARE {
        Finding::risk(check, words).hint("make room: adprof log compact, adprof log prune")
    } else {
        Finding::ok(check, words)
    }
}

/// How many days of log there is still room for, by the newest ones.
pub fn days_left(log: &Path) -> Option<Finding> {
    let days = care::days(log).ok().filter(|days| log.is_dir() && days.len() > 1)?;
    // The last one has not ended.
    let over = &days[..days.len() - 1];
    let newest = &over[over.len().saturating_sub(GROWTH_DAYS)..];
    let size: u64 = newest.iter().map(|day| size_of(&log.join(format!("dt={day}")))).sum();
    let a_day = (size / newest.len() as u64).max(1);
    let left = Volume::of(log).ok()?.free / a_day;
    let words = format!("{} a day lately: room for {left} days", bytes(a_day));
    Some(if left < DAYS_LEAST {
        Finding::risk("log.growth", words).hint("make room: adprof log seal, adprof log prune")
    } else {
        Finding::ok("log.growth", words)
    })
}

fn size_of(dir: &Path) -> u64 {
    let Ok(files) = fs::read_dir(dir) else { return 0 };
    files.flatten().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// Whether the process may open enough files.
pub fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(most) if most < DESCRIPTORS_LEAST => Finding::risk("files", format!("a process may open {most} files"))
            .hint("ulimit -n 1024, or LimitNOFILE=1024"),
        Some(most) => Finding::ok("files", format!("a process may open {most} files")),
        None => Finding::ok("files", "a process may open any number of files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::doctor::finding::Level;

    #[test]
    fn a_full_disk_is_a_risk_by_share_and_by_bytes() {
        let volume = |free, size| Volume { size, free, inodes: None, read_only: false, kind: Kind::Local };
        let level = |free, size| super::free("log.room", &volume(free, size)).level;
        assert_eq!(level(100 << 30, 1000 << 30), Level::Ok);
        assert_eq!(level(49 << 30, 1000 << 30), Level::Risk);
        assert_eq!(level((1 << 30) - 1, 2 << 30), Level::Risk);
        assert_eq!(level(1 << 30, 2 << 30), Level::Ok);
    }
}
