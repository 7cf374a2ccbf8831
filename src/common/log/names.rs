//! Names inside a log's directory: partitions, files, and what lies beside them.
//!
//! Every name is made from an allow-list, so none leads out of the directory.

use crate::forgotten;
use jiff::civil::Date;

const NAME_MAX: usize = 64;
/// What packing adds to a name.
pub const PACKED: [&str; 2] = [".gz", ".zst"];
const BESIDE: [&str; 4] = [".lock", ".torn", ".tmp", ".position"];

/// Whether `name` may name a writer.
pub fn is_writer(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    name.len() <= NAME_MAX
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.contains("..")
}

pub fn partition(day: Date) -> String {
    format!("dt={day}")
}

/// The day of a partition's directory; `None`: it is none.
pub fn parse_partition(dir: &str) -> Option<Date> {
    let text = dir.strip_prefix("dt=")?;
    // Ten characters and no other spelling: the order of the names is the order of the days.
    let day: Date = if text.len() == 10 { text.parse().ok()? } else { return None };
    (partition(day) == dir).then_some(day)
}

pub fn file(writer: &str, number: u32) -> String {
    format!("{writer}-{number:05}.ndjson")
}

/// The one file that holds those of a writer from number `first` to `last`; `+` is in no writer's name.
pub fn compacted(writer: &str, first: u32, last: u32) -> String {
    format!("{writer}-{first:05}+{last:05}.ndjson")
}

/// A writer and the numbers of its files that a file holds: one, or as many as were compacted into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered<'a> {
    pub writer: &'a str,
    pub first: u32,
    pub last: u32,
}

impl Numbered<'_> {
    /// Whether the file holds all of the other and more: then the other is a copy.
    pub fn swallows(&self, other: &Numbered<'_>) -> bool {
        self != other && self.holds(other)
    }

    pub fn holds(&self, other: &Numbered<'_>) -> bool {
        self.writer == other.writer && self.first <= other.first && other.last <= self.last
    }
}

/// What the name of a file, packed or not, says; `None` for one that no writer made.
pub fn numbered(name: &str) -> Option<Numbered<'_>> {
    let (writer, text) = unpacked(name).strip_suffix(".ndjson")?.rsplit_once('-')?;
    let number = |text: &str| -> Option<u32> {
        (text.len() >= 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (first, last) = match text.split_once('+') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some(Numbered { writer, first, last })
}

/// Who wrote a file of a log, by its path inside the log; of a file that no writer named, the file itself.
pub fn writer_of(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    numbered(name).map_or(unpacked(path), |file| file.writer)
}

/// The number of a file of this writer, packed or not; the last of a compacted one.
pub fn parse_number(writer: &str, name: &str) -> Option<u32> {
    numbered(name).filter(|file| file.writer == writer).map(|file| file.last)
}

/// The name by which a file takes its place in its day: its own before packing, of a compacted one that of its first.
pub fn place(name: &str) -> String {
    match numbered(name) {
        Some(Numbered { writer, first, last }) if first < last => file(writer, first),
        _ => unpacked(name).to_owned(),
    }
}

/// The name a file had before it was packed.
pub fn unpacked(name: &str) -> &str {
    PACKED.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

pub fn is_data(name: &str) -> bool {
    unpacked(name).ends_with(".ndjson") && !is_beside(name)
}

/// Whether a file is known to lie beside the data: locks, torn tails, unfinished and hidden files, dead letters,
/// the list of the forgotten.
pub fn is_beside(name: &str) -> bool {
    let plain = unpacked(name);
    name.starts_with('.')
        || name == "_SUCCESS"
        || BESIDE.iter().any(|suffix| plain.ends_with(suffix))
        || plain.ends_with(".dead")
        || plain.ends_with(".dead.ndjson")
        || plain == "dead"
        || plain == "dead.ndjson"
        || plain == "dead-letters.ndjson"
        || plain == forgotten::NAME
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn partitions_have_one_spelling() {
        assert_eq!(parse_partition("dt=2026-11-20"), Some(jiff::civil::date(2026, 11, 20)));
        for dir in
            ["dt=2026-11-2", "dt=20261120", "dt=2026-13-01", "dt=2026-02-30", "2026-11-20", "dt=..", "dt=+26-11-20"]
        {
            assert_eq!(parse_partition(dir), None, "{dir}");
        }
    }

    #[test]
    fn numbers_belong_to_one_writer() {
        assert_eq!(parse_number("web", &file("web", 7)), Some(7));
        assert_eq!(parse_number("web", "web-00012.ndjson.zst"), Some(12));
        assert_eq!(parse_number("web", "web-1-00012.ndjson"), None);
        assert_eq!(parse_number("web-1", "web-1-00012.ndjson"), Some(12));
        assert_eq!(parse_number("web", "web-0012.ndjson"), None);
        assert_eq!(parse_number("web", "web-+0012.ndjson"), None);
        assert_eq!(parse_number("web", "web-00003+00012.ndjson.zst"), Some(12));
        assert_eq!(numbered("web-00012+00003.ndjson"), None);
        assert_eq!(place("web-1-00003+00012.ndjson.zst"), "web-1-00003.ndjson");
        let of = |name| numbered(name).expect("numbered");
        assert!(of("web-00003+00012.ndjson").swallows(&of("web-00012.ndjson.zst")));
        assert!(!of("web-00003+00012.ndjson").swallows(&of("web-00003+00012.ndjson.zst")));
        assert!(!of("web-00003+00012.ndjson").swallows(&of("web-1-00005.ndjson")));
    }

    proptest! {
        #[test]
        fn a_writer_s_name_never_leads_elsewhere(name in "[a-z./\\\\ \u{0}-]{0,8}|.{0,8}") {
            if is_writer(&name) {
                let file = file(&name, 1);
                prop_assert_eq!(std::path::Path::new(&file).components().count(), 1);
                prop_assert!(!file.contains("..") && !file.contains('\0') && !file.starts_with('.'));
                prop_assert!(is_data(&file) || is_beside(&file));
            }
        }
    }
}
