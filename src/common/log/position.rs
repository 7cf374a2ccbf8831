//! Positions: how far each file of a log has been written, or read.
//!
//! Files are named by their path inside the log, so a log can be moved. An offset
//! counts decoded bytes, so a file may be packed between two readings.

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
