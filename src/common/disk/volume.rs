//! Volumes: what holds a directory, how much room is left there, and how long it takes until bytes are safe on it.

use rustix::fs::{StatVfsMountFlags, statfs, statvfs};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of one probe, and how many probes there are.
const PROBE: [u8; 4096] = [b'\n'; 4096];
const PROBES: usize = 9;

/// What a file system says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    pub size: u64,
    /// What this user may still write.
    pub free: u64,
    /// `(left, all)`; `None` where files are not numbered in advance.
    pub inodes: Option<(u64, u64)>,
    pub read_only: bool,
    pub kind: Kind,
}

/// How long what is written to a file system stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Local,
    /// Gone when the machine stops.
    Memory,
    /// Shared between machines: locks and memory maps do not hold there.
    Shared(&'static str),
}

impl Volume {
    /// The volume of a directory or a file.
    pub fn of(path: &Path) -> io::Result<Volume> {
        let room = statvfs(path)?;
        Ok(Volume {
            size: room.f_blocks * room.f_frsize,
            free: room.f_bavail * room.f_frsize,
            inodes: (room.f_files > 0).then_some((room.f_favail, room.f_files)),
            read_only: room.f_flag.contains(StatVfsMountFlags::RDONLY),
            kind: kind(path)?,
        })
    }
}

/// The kind of file system that a path is on.
#[cfg(target_os = "linux")]
pub fn kind(path: &Path) -> io::Result<Kind> {
    // The field's width and sign differ by machine; the magic numbers have 32 bits.
    Ok(of_magic(statfs(path)?.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
pub fn kind(_: &Path) -> io::Result<Kind> {
    Ok(Kind::Local)
}

/// The kind by the number that statfs gives (statfs(2)).
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn of_magic(magic: u32) -> Kind {
    match magic {
        0x0102_1994 | 0x8584_58f6 => Kind::Memory,
        0x6969 => Kind::Shared("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Kind::Shared("SMB"),
        0x00c3_6400 => Kind::Shared("Ceph"),
        0x5346_414f | 0x6b41_4653 => Kind::Shared("AFS"),
        _ => Kind::Local,
    }
}

/// How long fdatasync takes in a directory: the median of a few, over four kilobytes each in a file that is removed again.
pub fn sync_time(dir: &Path) -> io::Result<Duration> {
    let mut probe = tempfile::Builder::new().prefix(".adprof-probe").tempfile_in(dir)?;
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        probe.write_all(&PROBE)?;
        let from = Instant::now();
        probe.as_file().sync_data()?;
        times.push(from.elapsed());
    }
    times.sort_unstable();
    Ok(times[PROBES / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn kinds_are_told_by_their_number() {
        assert_eq!((of_magic(0xef53), of_magic(0x0102_1994)), (Kind::Local, Kind::Memory));
        assert_eq!((of_magic(0x6969), of_magic(0xff53_4d42)), (Kind::Shared("NFS"), Kind::Shared("SMB")));
    }

    #[test]
    fn a_directory_has_room_and_takes_time_to_sync() {
        let dir = tempfile::tempdir().expect("a directory");
        let volume = Volume::of(dir.path()).expect("a volume");
        assert!(volume.size >= volume.free && volume.free > 0 && !volume.read_only, "{volume:?}");
        assert!(sync_time(dir.path()).expect("a time") > Duration::ZERO);
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0, "the probe is gone");
        assert!(Volume::of(Path::new("/no/such/dir")).is_err() && sync_time(Path::new("/no/such/dir")).is_err());
    }
}
