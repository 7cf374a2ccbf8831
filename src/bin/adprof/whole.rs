//! Output into a file, or a directory, that appears whole or not at all, for every command with `-o`.
//!
//! Whoever had the old file keeps it, whatever happens before the end. A stop by signal leaves nothing behind.

use crate::report::{self, Exit, Failure};
use crate::stop;
use adprof::export::{Directory, Manifest, Replacement, Unwritable};
use adprof::quality::beside;
use anyhow::Result;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Lets `write` fill a file that takes the name `path` when `write` succeeds.
///
/// What is not a file, such as a device or a pipe, is written as it stands: replacing it would destroy it.
pub fn into_file<T>(path: &Path, write: impl FnOnce(&mut File) -> Result<T>) -> Result<T> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let mut there = File::options().write(true).open(path).map_err(|e| cannot(path, &e))?;
        return write(&mut there).map_err(|e| named(path, e));
    }
    // Before there is anything to leave behind.
    stop::flag();
    let mut new = Replacement::begin(path).map_err(|why| unwritable(path, &why))?;
    let beside = new.beside().to_owned();
    let clear = || drop(fs::remove_file(&beside));
    let done = unless_stopped(clear, || write(new.file())).map_err(|e| named(path, e))?;
    new.commit().map_err(|e| cannot(path, &e))?;
    Ok(done)
}

/// Lets `write` fill a directory that takes the name `path` when `write` succeeds; what it gives is the manifest.
pub fn into_directory(path: &Path, write: impl FnOnce(&Path) -> Result<Manifest>) -> Result<Manifest> {
    stop::flag();
    let new = Directory::begin(path).map_err(|why| unwritable(path, &why))?;
    let manifest = unless_stopped(|| new.clear(), || write(new.beside())).map_err(|e| named(path, e))?;
    new.commit(&manifest).map_err(|why| unwritable(path, &why))?;
    Ok(manifest)
}

/// Where the manifest of an output goes that is to have one: beside it, where nobody says.
pub fn manifest_of(output: &Path, given: Option<&Path>) -> Result<PathBuf> {
    if fs::metadata(output).is_ok_and(|there| !there.is_file()) {
        let message = format!("{}: not a file: a manifest describes a file", output.display());
        return Err(Failure::new(Exit::Usage, message).hint("name a file with -o").into());
    }
    let place = given.map_or_else(|| beside(output), Path::to_owned);
    if place == output {
        return Err(Failure::new(Exit::Usage, "the manifest and the output are one file").into());
    }
    Ok(place)
}

/// Runs `work`; told to stop meanwhile, the program clears up and ends at once.
fn unless_stopped<T>(clear: impl Fn() + Sync, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if stop::asked() {
                    clear();
                    std::process::exit(stop::code());
                }
                thread::park_timeout(Duration::from_millis(50));
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        done
    })
}

/// An error of the system with the name of what it is about.
fn named(path: &Path, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<io::Error>() {
        Ok(e) => cannot(path, &e).into(),
        Err(other) => other,
    }
}

fn unwritable(path: &Path, why: &Unwritable) -> Failure {
    match why {
        Unwritable::Io(e) => cannot(path, e),
        Unwritable::NotAFile => Failure::new(Exit::Usage, format!("{}: {why}", path.display()))
            .hint("write to standard output instead, without -o"),
        Unwritable::NotADirectory => Failure::new(Exit::Usage, format!("{}: {why}", path.display()))
            .hint("files of several parts go into a directory: -o DIR/"),
        Unwritable::NotOurs(_) => Failure::new(Exit::Usage, format!("{}: {why}", path.display()))
            .hint("only what an export has made is replaced: name another directory, or take it away yourself"),
        Unwritable::Busy => Failure::new(Exit::TryAgain, format!("{}: {why}", path.display())),
    }
}

/// A place that is not there is no missing input: nothing can be written to it.
fn cannot(path: &Path, error: &io::Error) -> Failure {
    let told = report::io(path, error);
    if error.kind() == io::ErrorKind::NotFound { Failure::new(Exit::Io, told.to_string()) } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

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
