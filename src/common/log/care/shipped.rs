//! What of a log is in Kafka: the position files beside it, one a topic.

use super::day::Day;
use crate::lines::Form;
use crate::log::{Error, LogFile, Position};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The topics a log is shipped to, and how far.
#[derive(Clone, Debug, Default)]
pub struct Topics(Vec<Topic>);

#[derive(Clone, Debug)]
struct Topic {
    name: String,
    path: PathBuf,
    position: Position,
}

#[derive(Deserialize)]
struct Saved {
    topic: String,
    files: BTreeMap<String, u64>,
}

impl Topics {
    /// Reads the position files `LOG.ship-TOPIC.json`. What a running shipper sent in the last half second may not be in them.
    pub fn of(log: &Path) -> Result<Topics, Error> {
        // `events/` is the directory `events`.
        let log: PathBuf = log.components().collect();
        let log =
            if log.file_name().is_some() { log } else { fs::canonicalize(&log).map_err(Error::io(&log, "open"))? };
        let begins = format!("{}.ship-", log.file_name().unwrap_or_default().to_string_lossy());
        let beside = crate::disk::parent(&log).to_owned();
        let mut topics = Vec::new();
        let entries: Result<Vec<_>, _> = fs::read_dir(&beside).and_then(Iterator::collect);
        for entry in entries.map_err(Error::io(&beside, "list"))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&begins) && name.ends_with(".json") {
                topics.push(Topic::read(entry.path())?);
            }
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Topics(topics))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An error that names the first topic that a day was not shipped to as a whole.
    pub fn require(&self, day: &Day) -> Result<(), Error> {
        for topic in &self.0 {
            if let Some(file) = day.files.iter().find(|file| !topic.has(day, file)) {
                let (file, topic, place) = (file.name.clone(), topic.name.clone(), topic.path.clone());
                return Err(Error::NotShipped { file, topic, place });
            }
        }
        Ok(())
    }
}

impl Topic {
    fn read(path: PathBuf) -> Result<Topic, Error> {
        let text = fs::read(&path).map_err(Error::io(&path, "read"))?;
        let saved: Saved = serde_json::from_slice(&text).map_err(|e| Error::NotYet {
            what: path.display().to_string(),
            why: format!("how far the log was shipped cannot be known: {e}"),
        })?;
        let mut position = Position::default();
        saved.files.iter().for_each(|(file, end)| position.set(file, *end));
        Ok(Topic { name: saved.topic, path, position })
    }

    /// Whether all of a file is in the topic.
    fn has(&self, day: &Day, file: &LogFile) -> bool {
        let known = day.known(file).map(|pieces| pieces.iter().map(|piece| piece.bytes).sum::<u64>());
        let len = if file.form == Form::Plain { file.size } else { known };
        // Under its packed name it was read to its end.
        let ended = file.form != Form::Plain && self.position.get(&file.name).is_some();
        let read = self.position.read_of(file.key()).unwrap_or(0);
        ended || len.is_some_and(|len| read >= len) || self.position.has_part_of(file.key())
    }
}
