//! Directories that are replaced as a whole: written beside the old one, then put into its place.
//!
//! Under its name there is always a whole export, the old or the new one, however this process ends. What a killed one leaves
//! is `.NAME.adprof-tmp`, which the next writer of the same directory removes. Only what an export has made, to the last
//! file, is ever replaced.

use super::file::{Lock, Unwritable, canonical};
use super::manifest::{Manifest, NAME};
use crate::disk::{exchange, parent, sync_dir};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

const CLEAR_TRIES: usize = 100;

/// A directory to be. Dropped before `commit` it leaves everything as it was.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    beside: PathBuf,
    /// Where the old one stands for a moment, where two names cannot be exchanged.
    aside: PathBuf,
    lock: Lock,
}

impl Directory {
    /// Begins a new version of `path`. A symbolic link stays one: the directory it names is replaced.
    pub fn begin(path: &Path) -> Result<Directory, Unwritable> {
        let path = canonical(path)?;
        let beside = named(&path, ".adprof-tmp")?;
        let aside = named(&path, ".adprof-old")?;
        let lock = Lock::take(&named(&path, ".adprof-lock")?)?;
        restore(&path, &aside)?;
        if !is_absent(&path)? {
            check(&path)?;
        }
        remove(&beside)?;
        remove(&aside)?;
        fs::create_dir(&beside)?;
        Ok(Directory { path, beside, aside, lock })
    }

    /// Where it is written until then.
    pub fn beside(&self) -> &Path {
        &self.beside
    }

    /// Removes what there is of it, from another thread than that which writes: the program is to end.
    pub fn clear(&self) {
        // What is made meanwhile stands in the way once or twice.
        for _ in 0..CLEAR_TRIES {
            if remove(&self.beside).is_ok() {
                break;
            }
        }
        self.lock.release();
    }

    /// Makes it the directory, on the disk when this returns. The files in it are to be there already.
    pub fn commit(self, manifest: &Manifest) -> Result<(), Unwritable> {
        self.commit_by(manifest, exchange)
    }

    fn commit_by(
        self,
        manifest: &Manifest,
        exchange: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(), Unwritable> {
        let mut file = File::create_new(self.beside.join(NAME))?;
        file.write_all(manifest.to_text().as_bytes())?;
        file.sync_all()?;
        sync_dir(&self.beside)?;
        if is_absent(&self.path)? {
            fs::rename(&self.beside, &self.path)?;
        } else {
            // Others may have put something into it meanwhile.
            check(&self.path)?;
            match exchange(&self.beside, &self.path) {
                Ok(()) => {}
                Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                    fs::rename(&self.path, &self.aside)?;
                    fs::rename(&self.beside, &self.path)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(sync_dir(parent(&self.path))?)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What was not finished, or what was replaced. What cannot be removed is left to the next writer.
        let _ = remove(&self.beside);
        let _ = restore(&self.path, &self.aside).and_then(|()| remove(&self.aside));
    }
}

/// Puts the old one back that was renamed when the new one was not yet.
fn restore(path: &Path, aside: &Path) -> io::Result<()> {
    if is_absent(path)? && !is_absent(aside)? { fs::rename(aside, path) } else { Ok(()) }
}

/// `.NAME` and a suffix, beside `path`.
fn named(path: &Path, suffix: &str) -> Result<PathBuf, Unwritable> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(Unwritable::NotADirectory)?);
    name.push(suffix);
    Ok(parent(path).join(name))
}

fn is_absent(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// Removes a directory with all that is in it, and no more than a link where it is one.
fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Refuses what is not an export and nothing else.
fn check(path: &Path) -> Result<(), Unwritable> {
    if !fs::metadata(path)?.is_dir() {
        return Err(Unwritable::NotADirectory);
    }
    let text = match fs::read_to_string(path.join(NAME)) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
            return Err(Unwritable::NotOurs(format!("no export made it: there is no {NAME} in it")));
        }
        other => other?,
    };
    let manifest = Manifest::parse(&text).map_err(|why| Unwritable::NotOurs(format!("{NAME} in it is {why}")))?;
    let mut known: BTreeSet<PathBuf> = manifest.files.iter().map(|file| path.join(&file.name)).collect();
    known.insert(path.join(NAME));
    match foreign(path, &known)? {
        Some(name) => Err(Unwritable::NotOurs(format!("no export made {}, which stands in it", name.display()))),
        None => Ok(()),
    }
}

/// A file in `dir` or below that is not known, by its name there.
fn foreign(dir: &Path, known: &BTreeSet<PathBuf>) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, is_dir) = (entry.path(), entry.file_type()?.is_dir());
        if is_dir {
            if let Some(name) = foreign(&path, known)? {
                return Ok(Some(Path::new(&entry.file_name()).join(name)));
            }
        } else if !known.contains(&path) {
            return Ok(Some(entry.file_name().into()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::manifest;
    use super::*;

    fn put(path: &Path, files: &[(&str, &str)], exchange: fn(&Path, &Path) -> io::Result<()>) {
        let new = Directory::begin(path).expect("begun");
        for (name, text) in files {
            let file = new.beside().join(name);
            fs::create_dir_all(file.parent().expect("below")).expect("made");
            fs::write(file, text).expect("written");
        }
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        new.commit_by(&manifest(&names), exchange).expect("committed");
    }

    fn cannot(_: &Path, _: &Path) -> io::Result<()> {
        Err(ErrorKind::InvalidInput.into())
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|e| e.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_one_stays_until_the_new_one_is_whole_and_is_gone_then() {
        for exchange in [exchange, cannot] {
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().join("out");
            put(&path, &[("a", "1"), ("b=1/c", "2")], exchange);
            assert_eq!(
                (names(&path), names(dir.path())),
                (vec!["_manifest.json".into(), "a".into(), "b=1".into()], vec!["out".into()])
            );
            let given_up = Directory::begin(&path).expect("begun");
            fs::write(given_up.beside().join("half"), "").expect("written");
            assert!(matches!(Directory::begin(&path), Err(Unwritable::Busy)));
            assert!(path.join("a").exists());
            drop(given_up);
            put(&path, &[("d", "3")], exchange);
            assert_eq!(
                (names(&path), names(dir.path())),
                (vec!["_manifest.json".into(), "d".into()], vec!["out".into()])
            );
        }
    }

    #[test]
    fn what_a_killed_one_left_goes_and_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("out");
        put(&path, &[("a", "1")], exchange);
        fs::create_dir(dir.path().join(".out.adprof-tmp")).expect("made");
        fs::write(dir.path().join(".out.adprof-tmp/half"), "").expect("written");
        fs::write(dir.path().join(".out.adprof-lock"), "").expect("written");
        // Between the two renames.
        fs::rename(&path, dir.path().join(".out.adprof-old")).expect("renamed");
        drop(Directory::begin(&path).expect("begun"));
        assert_eq!((names(&path), names(dir.path())), (vec!["_manifest.json".into(), "a".into()], vec!["out".into()]));
    }

    #[test]
    fn what_no_export_made_is_refused_and_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let refused = |path: &Path, why: &str| {
            let error = Directory::begin(path).expect_err("refused").to_string();
            assert!(error.contains(why), "{error}");
        };
        let path = dir.path().join("mine");
        fs::create_dir(&path).expect("made");
        refused(&path, "no _manifest.json");
        fs::write(path.join(NAME), "{}").expect("written");
        refused(&path, "not a manifest");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        refused(&file, "not a directory");
        let path = dir.path().join("out");
        put(&path, &[("t=1/a", "1")], exchange);
        fs::write(path.join("t=1/notes"), "mine").expect("written");
        refused(&path, "t=1/notes");
        assert_eq!(fs::read_to_string(path.join("t=1/notes")).expect("there"), "mine");
        assert_eq!(names(dir.path()), ["file", "mine", "out"]);
        // Put there while the new one was made.
        fs::remove_file(path.join("t=1/notes")).expect("removed");
        let new = Directory::begin(&path).expect("begun");
        fs::write(path.join("notes"), "mine").expect("written");
        assert!(matches!(new.commit(&manifest(&[])), Err(Unwritable::NotOurs(_))));
        assert_eq!(fs::read_to_string(path.join("notes")).expect("there"), "mine");
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().expect("a folder");
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        put(&real, &[("a", "1")], exchange);
        std::os::unix::fs::symlink("real", &link).expect("linked");
        put(&link, &[("b", "2")], exchange);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert!(real.join("b").exists());
    }
}
