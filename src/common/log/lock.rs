//! Locks: one writer a log file, one a name in a directory.
//!
//! The system holds the lock and lets go when the process dies, however it dies; the
//! pid in the file is only for the message.

use super::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a lock that is held is waited for: an instant.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// A held lock. The file stays when it is let go: removing it would let two hold one name.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    /// Takes the lock for the writing of `what`, or names the holder.
    pub fn take(path: &Path, what: &Path) -> Result<Lock, Error> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io(path, "open the lock"))?;
        match patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked { path: what.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(path, "lock")(e)),
        }
        let pid = format!("{}\n", std::process::id());
        let write = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
        write.map_err(Error::io(path, "write the lock"))?;
        Ok(Lock(file))
    }
}

/// The lock of the commands that care for a log at rest, which one process has at a time.
pub fn care(root: &Path) -> PathBuf {
    root.join(".care.lock")
}

/// Whether such a command is at work on the log.
pub fn cared_for(root: &Path) -> bool {
    File::open(care(root)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Locks the log file itself too: a lock file may be deleted by hand, and this way it does no harm.
pub fn guard(file: &File, path: &Path) -> Result<(), Error> {
    match patiently(file) {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_owned(), holder: None }),
        Err(TryLockError::Error(e)) => Err(Error::io(path, "lock")(e)),
    }
}

/// Locks a file; one that is locked for an instant only, by who looks whether it is locked, is waited for.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    file.try_lock()
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
