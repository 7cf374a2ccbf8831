//! Parts: rows divided among the files of a directory, by the key or by the value of a tag.
//!
//! A part has a piece of memory and no open file: that is opened for each piece, so that no number of parts runs into a limit.

use super::form::{Form, Row};
use super::manifest::Part;
use super::sheet::{Done, Sheet};
use super::sum::Summed;
use crate::disk::sync_dir;
use crate::limits::PARTS_MAX;
use crate::quality::Written;
use crate::value::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of those who have no value.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// Longest name of a directory, in bytes.
const NAME_MAX: usize = 255;
/// So many values are counted at most, for the message that there are too many.
const COUNTED: usize = 1_000_000;

/// What divides rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// A number of parts: that of a key is the first 64 bits of its SHA-256 modulo the number.
    Keys(u32),
    /// A part for each value of the tag at this place.
    Tag(usize),
}

/// The files of a directory to be.
pub struct Parts {
    dir: PathBuf,
    form: Arc<Form>,
    layout: Layout,
    files: BTreeMap<String, Sheet<Summed<Opened>>>,
    /// The hashes of the values past the limit.
    beyond: HashSet<u64>,
    /// A value that cannot be the name of a directory, and its length as one.
    too_long: Option<usize>,
}

/// A file that is open while it is written to.
struct Opened(PathBuf);

impl Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        OpenOptions::new().append(true).create(true).open(&self.0)?.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Parts {
    /// Begins the files of `dir`, which is empty.
    pub fn begin(dir: &Path, form: &Arc<Form>, layout: Layout) -> io::Result<Parts> {
        let mut parts = Parts {
            dir: dir.to_owned(),
            form: form.clone(),
            layout,
            files: BTreeMap::new(),
            beyond: HashSet::new(),
            too_long: None,
        };
        if let Layout::Keys(n) = layout {
            for part in 0..n {
                parts.open(parts.name(part))?;
            }
        }
        Ok(parts)
    }

    pub fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        let name = match self.layout {
            Layout::Keys(n) => self.name(part_of(&row.profile.key.text(), n)),
            Layout::Tag(tag) => {
                let code = &self.form.definitions.tags[tag].code;
                let folder = folder(code, row.profile.values[tag].as_ref());
                if folder.len() > NAME_MAX {
                    self.too_long.get_or_insert(folder.len());
                    return Ok(());
                }
                format!("{folder}/{}", self.name(0))
            }
        };
        if let Some(sheet) = self.files.get_mut(&name) {
            return sheet.row(row);
        }
        if self.files.len() == PARTS_MAX {
            // What is written is of no use by now; how many there are is.
            if self.beyond.len() < COUNTED {
                let mut hasher = DefaultHasher::new();
                name.hash(&mut hasher);
                self.beyond.insert(hasher.finish());
            }
            return Ok(());
        }
        self.open(name)?.row(row)
    }

    fn name(&self, part: u32) -> String {
        format!("part-{part:05}{}", self.form.ending())
    }

    fn open(&mut self, name: String) -> io::Result<&mut Sheet<Summed<Opened>>> {
        let path = self.dir.join(&name);
        let files = match self.layout {
            Layout::Keys(n) => n as usize,
            Layout::Tag(_) => {
                fs::create_dir(path.parent().expect("it stands in a directory"))?;
                PARTS_MAX
            }
        };
        let sheet = Sheet::begin(Summed::new(Opened(path)), &self.form, files)?;
        Ok(self.files.entry(name).or_insert(sheet))
    }

    /// Makes the files durable. What is in them, and how many values are not for their type; or in words why they are of no use.
    pub fn finish(self) -> io::Result<Result<(Vec<Part>, u64), String>> {
        if let Some(length) = self.too_long {
            return Ok(Err(format!("a value makes a directory's name of {length} bytes, and {NAME_MAX} is the most")));
        }
        if !self.beyond.is_empty() {
            let more = if self.beyond.len() == COUNTED { "more than " } else { "" };
            let values = PARTS_MAX + self.beyond.len();
            return Ok(Err(format!("there are {more}{values} values, and {PARTS_MAX} is the most")));
        }
        let (mut parts, mut all_odd) = (Vec::with_capacity(self.files.len()), 0);
        for (name, sheet) in self.files {
            let Done { out, rows, odd } = sheet.finish()?;
            let (bytes, sha256) = out.finish();
            all_odd += odd;
            let path = self.dir.join(&name);
            if bytes == 0 {
                // Nothing came that would have made it.
                File::create_new(&path)?;
            }
            File::open(&path)?.sync_all()?;
            if let Layout::Tag(_) = self.layout {
                sync_dir(path.parent().expect("it stands in a directory"))?;
            }
            parts.push(Part { name, written: Written { rows, bytes, sha256 } });
        }
        Ok(Ok((parts, all_odd)))
    }
}

/// The part of a key, of `n`.
fn part_of(key: &str, n: u32) -> u32 {
    let hash = Sha256::digest(key.as_bytes());
    let first = u64::from_be_bytes(*hash.first_chunk().expect("it has 32 bytes"));
    (first % u64::from(n)) as u32
}

/// `tag=value`, percent-escaped.
fn folder(code: &str, value: Option<&Value>) -> String {
    let mut name = format!("{code}=");
    let text = match value {
        None => {
            name.push_str(NULL);
            return name;
        }
        Some(value) => value.to_string(),
    };
    for (i, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        // A text that reads as no value is not one.
        if plain && !(i == 0 && text == NULL) {
            name.push(byte.into());
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_by_the_first_bytes_of_the_sum() {
        // Python: int(hashlib.sha256(b"u-001").hexdigest()[:16], 16) % n
        for (key, n, want) in [("u-001", 7, 3), ("u-001", 1000, 453), ("", 1, 0)] {
            assert_eq!(part_of(key, n), want, "{key} of {n}");
        }
    }

    #[test]
    fn the_name_of_a_directory_says_the_value_and_escapes_it() {
        let text = |text: &str| folder("city", Some(&Value::Str(text.into())));
        for (value, want) in [
            ("Oslo", "city=Oslo"),
            ("", "city="),
            ("..", "city=.."),
            ("a/b=c d", "city=a%2Fb%3Dc%20d"),
            ("Malmö", "city=Malm%C3%B6"),
            ("100%", "city=100%25"),
            (NULL, "city=%5F_HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(text(value), want);
        }
        assert_eq!(folder("age", None), "age=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder("age", Some(&Value::Int(-5))), "age=-5");
    }
}
