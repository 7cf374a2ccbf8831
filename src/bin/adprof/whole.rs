//! A file that appears whole or not at all: written beside its place, and moved there when it is on the disk.
//!
//! Whoever had the old file keeps it, whatever happens before the move. A stop by signal leaves nothing behind.

use crate::report::{self, Exit, Failure};
use crate::stop;
use adprof::disk::{parent, sync_dir};
use anyhow::Result;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::NamedTempFile;

/// Lets `write` fill a file that takes the name `path` when `write` succeeds.
///
/// What is not a file, such as a device or a pipe, is written as it stands: replacing it would destroy it.
pub fn into_file<T>(path: &Path, write: impl FnOnce(&mut File) -> Result<T>) -> Result<T> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => {
            Err(Failure::new(Exit::Usage, format!("{}: is a directory", path.display())).into())
        }
        Ok(there) if !there.is_file() => {
            write(&mut File::options().write(true).open(path).map_err(|e| cannot(path, &e))?)
        }
        // Through a link: the link stays, and what it leads to is replaced.
        Ok(there) => replace(&fs::canonicalize(path).map_err(|e| cannot(path, &e))?, Some(there.permissions()), write),
        Err(_) => replace(path, None, write),
    }
}

fn replace<T>(path: &Path, like: Option<Permissions>, write: impl FnOnce(&mut File) -> Result<T>) -> Result<T> {
    let dir = parent(path);
    // Before there is anything to leave behind.
    stop::flag();
    let mut file = beside(path, dir).map_err(|e| cannot(path, &e))?;
    if let Some(permissions) = like {
        file.as_file().set_permissions(permissions).map_err(|e| cannot(path, &e))?;
    }
    let temporary = file.path().to_owned();
    let done = unless_stopped(temporary, || write(file.as_file_mut()))?;
    file.as_file().sync_all().map_err(|e| cannot(path, &e))?;
    file.persist(path).map_err(|e| cannot(path, &e.error))?;
    sync_dir(dir).map_err(|e| cannot(path, &e))?;
    Ok(done)
}

/// A file of a hidden name in the same directory, as readable as any other file made here.
fn beside(path: &Path, dir: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.");
    let usual = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(&prefix).suffix(".tmp").permissions(usual).tempfile_in(dir)
}

/// Runs `work`; told to stop meanwhile, the program removes `temporary` and ends at once.
fn unless_stopped<T>(temporary: PathBuf, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if stop::asked() {
                    let _ = fs::remove_file(&temporary);
                    std::process::exit(stop::code());
                }
                thread::park_timeout(Duration::from_millis(50));
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

/// A place that is not there is no missing input: nothing can be written to it.
fn cannot(path: &Path, error: &io::Error) -> Failure {
    let told = report::io(path, error);
    if error.kind() == io::ErrorKind::NotFound { Failure::new(Exit::Io, told.to_string()) } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn put(path: &Path, text: &str) -> Result<()> {
        into_file(path, |file| Ok(file.write_all(text.as_bytes())?))
    }

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("out");
        put(&path, "old").expect("written");
        let failed: Result<()> = into_file(&path, |file| {
            file.write_all(b"half")?;
            assert_eq!(fs::read_to_string(&path)?, "old");
            anyhow::bail!("no more")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).expect("there"), "old");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_new_file_is_as_others_and_an_old_one_keeps_its_permissions() {
        let dir = tempfile::tempdir().expect("a directory");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let (path, other) = (dir.path().join("out"), dir.path().join("other"));
        fs::write(&other, "").expect("written");
        put(&path, "new").expect("written");
        assert_eq!(mode(&path), mode(&other));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("set");
        put(&path, "newer").expect("written");
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let dir = tempfile::tempdir().expect("a directory");
        let (link, target) = (dir.path().join("link"), dir.path().join("target"));
        fs::write(&target, "old").expect("written");
        symlink("target", &link).expect("linked");
        put(&link, "new").expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(&target).expect("there"), "new");
        put(Path::new("/dev/null"), "gone").expect("written");
        assert!(!fs::metadata("/dev/null").expect("there").is_file());
        assert!(put(dir.path(), "x").is_err());
    }
}
