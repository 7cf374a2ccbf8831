//! The place a log was shipped up to, in a file beside it: one for each topic.
//!
//! It is of one log: when another stands under the same name, shipping begins again. Events
//! may then arrive twice, none is passed over.

use crate::given;
use crate::report::{self, Failure};
use adprof::bus::position;
use adprof::lines::{Lines, Text, open_path};
use adprof::log::{Error, Lock, Position};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A position file.
pub struct Place {
    path: PathBuf,
    log: PathBuf,
    topic: String,
    /// As it stands in the file.
    saved: Position,
    first: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    topic: String,
    /// The hash of the first line of a log of one file: by it the log is known again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    files: BTreeMap<String, u64>,
}

impl Place {
    /// `LOG.ship-TOPIC.json`; touches nothing yet.
    pub fn new(log: &Path, topic: &str) -> Place {
        // `events/` is the directory `events`.
        let mut name = log.components().collect::<PathBuf>().into_os_string();
        name.push(format!(".ship-{topic}.json"));
        Place {
            path: name.into(),
            log: log.to_owned(),
            topic: topic.to_owned(),
            saved: Position::default(),
            first: None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The right to ship this log to this topic: one process has it.
    pub fn lock(&self) -> Result<Lock, Error> {
        let mut lock = self.path.clone().into_os_string();
        lock.push(".lock");
        Lock::take(Path::new(&lock), &self.path)
    }

    /// How far the log was shipped.
    pub fn load(&mut self) -> Result<Position, Failure> {
        let saved: Option<Saved> = position::load(&self.path).map_err(given::of_bus)?;
        self.saved = Position::default();
        let Some(saved) = saved else { return Ok(Position::default()) };
        self.first = self.first_line();
        if saved.first.is_some() && saved.first != self.first {
            let log = self.log.display();
            report::warn(format_args!("{log}: not the log that was shipped before: shipped from its beginning"));
            return Ok(Position::default());
        }
        for (file, end) in saved.files {
            self.saved.set(&file, end);
        }
        Ok(self.saved.clone())
    }

    /// Writes down durably that the log was shipped up to `reached`.
    pub fn save(&mut self, reached: &Position) -> Result<(), Failure> {
        if self.saved == *reached {
            return Ok(());
        }
        if self.first.is_none() {
            self.first = self.first_line();
        }
        let files = reached.iter().map(|(file, end)| (file.to_owned(), end)).collect();
        let saved = Saved { topic: self.topic.clone(), first: self.first.clone(), files };
        position::save(&self.path, &saved).map_err(given::of_bus)?;
        self.saved = reached.clone();
        Ok(())
    }

    /// Of a log of one file; the files of a directory are never replaced by others of their name.
    fn first_line(&self) -> Option<String> {
        if self.log.is_dir() {
            return None;
        }
        let mut lines = Lines::new(open_path(&self.log).ok()?);
        let line = lines.next().ok()??;
        let (Text::Whole(bytes) | Text::TooLong { head: bytes, .. }) = line.text;
        line.ended.then(|| Sha256::digest(bytes).iter().take(16).map(|b| format!("{b:02x}")).collect())
    }
}
