//! Positions: how far each file of a log has been written, or read.
//!
//! Files are named by their path inside the log, so a log can be moved. An offset
//! counts decoded bytes, so a file may be packed between two readings.

use super::names;
use std::collections::BTreeMap;

/// File → byte offset. Writes as one JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    files: BTreeMap<String, u64>,
}

impl Position {
    pub fn get(&self, file: &str) -> Option<u64> {
        self.files.get(file).copied()
    }

    /// How far a file was read, under whichever name it had then; `file` is its name before packing.
    pub fn read_of(&self, file: &str) -> Option<u64> {
        let packed = || names::PACKED.iter().find_map(|suffix| self.get(&format!("{file}{suffix}")));
        self.get(file).or_else(packed)
    }

    /// Whether something was read of a file that is part of the compacted file `file` now. Only files that every reader
    /// had read to their ends are compacted: then this one was read too.
    pub fn has_part_of(&self, file: &str) -> bool {
        let Some((day, name)) = file.rsplit_once('/') else { return false };
        let Some(all) = names::numbered(name).filter(|all| all.first < all.last) else { return false };
        let own = format!("{day}/{}-", all.writer);
        let mut known = self.files.range(own.clone()..).take_while(|(file, _)| file.starts_with(&own));
        known.any(|(file, _)| names::numbered(&file[day.len() + 1..]).is_some_and(|part| all.swallows(&part)))
    }

    pub fn set(&mut self, file: &str, offset: u64) {
        // Almost always there already: no allocation a line.
        match self.files.get_mut(file) {
            Some(known) => *known = offset,
            None => {
                self.files.insert(file.to_owned(), offset);
            }
        }
    }

    pub fn forget(&mut self, file: &str) {
        self.files.remove(file);
    }

    /// Takes over what `other` knows: its files win.
    pub fn merge(&mut self, other: &Position) {
        for (file, offset) in other.iter() {
            self.set(file, offset);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|(file, offset)| (file.as_str(), *offset))
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.files).expect("strings and integers are always JSON")
    }

    /// Reads what `to_json` wrote; the error says what is wrong.
    pub fn from_json(text: &str) -> Result<Position, String> {
        let files = serde_json::from_str(text).map_err(|e| format!("not a position in a log: {e}"))?;
        Ok(Position { files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_the_names_it_had() {
        let mut position = Position::default();
        position.set("dt=2026-11-20/web-00002.ndjson.zst", 12);
        assert_eq!(position.read_of("dt=2026-11-20/web-00002.ndjson"), Some(12));
        for (file, part) in [
            ("dt=2026-11-20/web-00001+00003.ndjson", true),
            ("dt=2026-11-20/web-00003+00004.ndjson", false),
            ("dt=2026-11-20/web-00002.ndjson", false),
            ("dt=2026-11-21/web-00001+00003.ndjson", false),
            ("dt=2026-11-20/we-00001+00003.ndjson", false),
        ] {
            assert_eq!(position.has_part_of(file), part, "{file}");
        }
    }

    #[test]
    fn a_position_reads_back() {
        let mut position = Position::default();
        position.set("dt=2026-11-20/web-00001.ndjson", 12);
        position.set("dt=2026-11-20/web-00001.ndjson", 34);
        position.set("dt=2026-11-21/web-00001.ndjson", u64::MAX);
        assert_eq!(Position::from_json(&position.to_json()), Ok(position));
        assert!(Position::from_json("[1]").is_err());
        assert!(Position::from_json(r#"{"a":-1}"#).is_err());
    }
}
