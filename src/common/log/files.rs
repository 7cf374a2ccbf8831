//! The files of a log, in the order in which the log is read: day, then file name.
//!
//! Nothing outside the directory is ever opened, and nothing inside it is passed over
//! without being either known to lie beside the data or reported.

use super::opening::file_key;
use super::{Error, names};
use crate::forgotten::{self, Forgotten};
use crate::lines::Form;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a file is not read that is there twice.
pub(super) const COPY_OF_PLAIN: &str = "a packed copy of a file that is there too";
pub(super) const COPY_OF_COMPACTED: &str = "its lines are in a compacted file";

/// A log as it stood when it was opened: bytes appended later are not seen.
#[derive(Clone, Debug)]
pub struct Log {
    files: Vec<Arc<LogFile>>,
    strays: Vec<Stray>,
}

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    pub path: PathBuf,
    /// The path inside the log.
    pub name: String,
    /// The day of its partition.
    pub day: Option<Date>,
    pub form: Form,
    /// The size on disk in bytes; `None` for a pipe.
    pub size: Option<u64>,
    /// Whose events in it count for nothing: whoever reads the lines leaves them out.
    pub forgotten: Arc<Forgotten>,
}

impl LogFile {
    /// The name in a position: that before packing.
    pub fn key(&self) -> &str {
        names::unpacked(&self.name)
    }
}

/// Something in the directory that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    pub path: PathBuf,
    pub why: &'static str,
}

impl Log {
    /// Lists a file (plain, gzip or zstd by its first bytes), a pipe, a directory of date partitions, or standard input (`-`).
    pub fn open(path: &Path) -> Result<Log, Error> {
        if path.as_os_str() == "-" {
            return Ok(Log::stdin());
        }
        let metadata = fs::metadata(path).map_err(Error::io(path, "open"))?;
        if metadata.is_dir() {
            return list(path, None);
        }
        let regular = metadata.is_file();
        let file = LogFile {
            path: path.to_owned(),
            name: file_key(path),
            day: None,
            form: if regular { form_of(path)? } else { Form::Plain },
            size: regular.then_some(metadata.len()),
            forgotten: forgotten_by(path)?,
        };
        Ok(Log { files: vec![Arc::new(file)], strays: Vec::new() })
    }

    /// One day of a directory, all others passed over.
    pub(super) fn of_day(root: &Path, day: Date) -> Result<Log, Error> {
        list(root, Some(day))
    }

    /// Standard input is read as a pipe, whatever it is: opened by a name it might be out of reach, or at another place.
    fn stdin() -> Log {
        let file = LogFile {
            path: "-".into(),
            name: "stdin".into(),
            day: None,
            form: Form::Plain,
            size: None,
            forgotten: Arc::default(),
        };
        Log { files: vec![Arc::new(file)], strays: Vec::new() }
    }

    /// One file of a log alone.
    pub fn of_file(file: &Arc<LogFile>) -> Log {
        Log { files: vec![file.clone()], strays: Vec::new() }
    }

    /// Keeps the partitions of the days in `since..until`, the end not included. A log without partitions is kept whole.
    pub fn between(mut self, since: Option<Date>, until: Option<Date>) -> Log {
        self.files.retain(|file| {
            file.day.is_none_or(|day| since.is_none_or(|since| since <= day) && until.is_none_or(|until| day < until))
        });
        self
    }

    /// The log with another one behind it. Who is forgotten in one of them is so in both.
    pub fn and(mut self, other: Log) -> Log {
        self.files.extend(other.files);
        self.strays.extend(other.strays);
        let mut all = Forgotten::default();
        self.files.iter().for_each(|file| all.merge(&file.forgotten));
        if !all.is_empty() {
            let all = Arc::new(all);
            self.files.iter_mut().for_each(|file| Arc::make_mut(file).forgotten = all.clone());
        }
        self
    }

    /// Who is forgotten in it.
    pub fn forgotten(&self) -> Arc<Forgotten> {
        self.files.first().map(|file| file.forgotten.clone()).unwrap_or_default()
    }

    pub fn files(&self) -> &[Arc<LogFile>] {
        &self.files
    }

    /// What lies in the directory and is not part of the log: worth a warning.
    pub fn strays(&self) -> &[Stray] {
        &self.strays
    }

    /// Bytes on disk, packed files as they are.
    pub fn size(&self) -> u64 {
        self.files.iter().filter_map(|file| file.size).sum()
    }
}

fn forgotten_by(log: &Path) -> Result<Arc<Forgotten>, Error> {
    let path = forgotten::beside(log);
    Forgotten::load(&path).map(Arc::new).map_err(Error::io(&path, "read"))
}

fn form_of(path: &Path) -> Result<Form, Error> {
    let mut first = Vec::with_capacity(4);
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut first));
    read.map_err(Error::io(path, "read"))?;
    Ok(Form::of_whole(&first))
}

fn list(root: &Path, only: Option<Date>) -> Result<Log, Error> {
    let within = fs::canonicalize(root).map_err(Error::io(root, "open"))?;
    let forgotten = forgotten_by(root)?;
    let mut found = Found { within, files: BTreeMap::new(), strays: Vec::new(), forgotten };
    for (name, entry) in sorted(root)? {
        let path = entry.path();
        if only.is_some() && names::parse_partition(&name) != only {
            continue;
        }
        let kind = entry.file_type().map_err(Error::io(&path, "look at"))?;
        match names::parse_partition(&name) {
            _ if kind.is_symlink() => found.link(&path)?,
            Some(day) if kind.is_dir() => found.partition(&path, &name, day)?,
            _ if names::is_beside(&name) => {}
            _ => found.stray(path, "not a partition `dt=YYYY-MM-DD`"),
        }
    }
    Ok(Log { files: found.files.into_values().map(Arc::new).collect(), strays: found.strays })
}

struct Found {
    within: PathBuf,
    /// By the day and the name before packing: the order of the log, each file once.
    files: BTreeMap<(Date, String), LogFile>,
    strays: Vec<Stray>,
    forgotten: Arc<Forgotten>,
}

impl Found {
    fn stray(&mut self, path: PathBuf, why: &'static str) {
        self.strays.push(Stray { path, why });
    }

    /// A link inside the log leads to what is read anyway; any other would make the log more, or less, than it seems.
    fn link(&mut self, path: &Path) -> Result<(), Error> {
        match fs::canonicalize(path) {
            Ok(target) if target.starts_with(&self.within) => {
                self.stray(path.to_owned(), "a symbolic link");
                Ok(())
            }
            _ => Err(Error::Escape { path: path.to_owned() }),
        }
    }

    fn partition(&mut self, dir: &Path, partition: &str, day: Date) -> Result<(), Error> {
        let entries = sorted(dir)?;
        // A compacted file takes its name at once and whole: from then on those it was made of are copies.
        let compacted: Vec<_> = entries
            .iter()
            .filter_map(|(name, _)| names::numbered(name))
            .filter(|file| file.first < file.last)
            .collect();
        for (name, entry) in &entries {
            let path = entry.path();
            let metadata = entry.metadata().map_err(Error::io(&path, "look at"))?;
            if metadata.is_symlink() {
                self.link(&path)?;
            } else if names::is_beside(name) {
                continue;
            } else if !metadata.is_file() || !names::is_data(name) {
                self.stray(path, "not an `.ndjson` file");
            } else if names::numbered(name).is_some_and(|file| compacted.iter().any(|all| all.swallows(&file))) {
                self.stray(path, COPY_OF_COMPACTED);
            } else {
                // In the order of names the plain file comes before its packed twin.
                let key = (day, names::place(name));
                if self.files.contains_key(&key) {
                    self.stray(path, COPY_OF_PLAIN);
                    continue;
                }
                let name = format!("{partition}/{name}");
                let form = form_of(&path)?;
                let (size, forgotten) = (Some(metadata.len()), self.forgotten.clone());
                self.files.insert(key, LogFile { path, name, day: Some(day), form, size, forgotten });
            }
        }
        Ok(())
    }
}

/// The entries of a directory by name; a name that is not UTF-8 is shown as well as it can be, and will match nothing.
fn sorted(dir: &Path) -> Result<Vec<(String, fs::DirEntry)>, Error> {
    let entries: Result<Vec<_>, _> = fs::read_dir(dir).and_then(Iterator::collect);
    let mut entries: Vec<_> = entries
        .map_err(Error::io(dir, "list"))?
        .into_iter()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use std::os::unix::fs::symlink;

    fn put(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    fn names_of(log: &Log) -> Vec<&str> {
        log.files().iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn files_come_by_day_and_name_and_the_rest_is_known_or_reported() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        for name in [
            "dt=2026-11-21/a-00001.ndjson",
            "dt=2026-11-20/b-00001.ndjson",
            "dt=2026-11-20/a-00002.ndjson",
            "dt=2026-11-20/a-00001.ndjson",
            "dt=2026-11-20/a-00001.ndjson.gz",
            "dt=2026-11-20/c-00001.ndjson.zst",
            "dt=2026-11-20/a-00001.ndjson.torn",
            "dt=2026-11-20/x.tmp",
            "dt=2026-11-20/readme.md",
            "a.lock",
            "dead.ndjson",
            "events.ndjson",
            "dt=2026-11-3/a-00001.ndjson",
        ] {
            put(root, name, b"{}\n");
        }
        let log = Log::open(root).expect("a log");
        let day = ["dt=2026-11-20/a-00001.ndjson", "dt=2026-11-20/a-00002.ndjson", "dt=2026-11-20/b-00001.ndjson"];
        let all = [&day[..], &["dt=2026-11-20/c-00001.ndjson.zst", "dt=2026-11-21/a-00001.ndjson"]].concat();
        assert_eq!(names_of(&log), all);
        let strays: Vec<_> = log.strays().iter().map(|s| s.path.strip_prefix(root).expect("inside")).collect();
        let want = ["dt=2026-11-20/a-00001.ndjson.gz", "dt=2026-11-20/readme.md", "dt=2026-11-3", "events.ndjson"]
            .map(Path::new);
        assert_eq!(strays, want);
        assert_eq!(names_of(&log.clone().between(Some(date(2026, 11, 21)), None)), all[4..]);
        assert_eq!(names_of(&log.clone().between(Some(date(2026, 11, 20)), Some(date(2026, 11, 21)))), all[..4]);
        assert!(log.between(None, Some(date(2026, 11, 20))).files().is_empty());
    }

    #[test]
    fn no_link_leads_out_of_the_directory() {
        let outside = tempfile::tempdir().expect("a directory");
        put(outside.path(), "dt=2026-11-20/a-00001.ndjson", b"{}\n");
        for (target, link) in [
            ("dt=2026-11-20", "dt=2026-11-20"),
            ("dt=2026-11-20/a-00001.ndjson", "dt=2026-11-21/a-00001.ndjson"),
            ("nowhere", "dt=2026-11-21/a-00001.ndjson"),
        ] {
            let root = tempfile::tempdir().expect("a directory");
            put(root.path(), "dt=2026-11-21/b-00001.ndjson", b"{}\n");
            symlink(outside.path().join(target), root.path().join(link)).expect("linked");
            assert!(matches!(Log::open(root.path()), Err(Error::Escape { .. })), "{link}");
        }
        let root = tempfile::tempdir().expect("a directory");
        put(root.path(), "dt=2026-11-21/b-00001.ndjson", b"{}\n");
        symlink("b-00001.ndjson", root.path().join("dt=2026-11-21/a-00001.ndjson")).expect("linked");
        let log = Log::open(root.path()).expect("a log");
        assert_eq!((log.files().len(), log.strays().len()), (1, 1));
    }

    #[test]
    fn the_first_bytes_decide_the_form_not_the_name() {
        let root = tempfile::tempdir().expect("a directory");
        put(root.path(), "x.log", b"\x1f\x8b\x08\0");
        assert_eq!(Log::open(&root.path().join("x.log")).expect("a log").files()[0].form, Form::Gzip);
        assert_eq!(
            Log::open(&root.path().join("y.log")).expect_err("absent").io_kind(),
            Some(std::io::ErrorKind::NotFound)
        );
    }
}
