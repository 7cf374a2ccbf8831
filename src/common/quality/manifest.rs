//! The manifest: what an output of `batch` is, in a file beside it.
//!
//! It holds nothing of the clock and nothing of the machine: the same run twice gives the same manifest.

use super::column::TagFigures;
use crate::tag::Definitions;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The version of this format: a larger one is refused.
const VERSION: u32 = 1;

/// What an output is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub version: u32,
    /// The version of the program that made it.
    pub adprof: String,
    /// The instant of the values; none when there were no events.
    pub as_of: Option<Millis>,
    /// The day that was asked for, and its zone.
    pub date: Option<String>,
    pub tz: String,
    /// The last day of receipt that was read, when later ones were left out.
    pub through: Option<String>,
    pub definitions: Made,
    pub output: Written,
    /// The keys of each entity besides users that is told, by its name; the other rows are of users.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, u64>,
    pub events: Events,
    pub tags: BTreeMap<String, TagFigures>,
}

/// What the values were made with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Made {
    /// The definition file, or `built-in`.
    pub source: String,
    /// Changes when, and only when, the meaning, the type or the order of the computed tags does.
    pub fingerprint: String,
}

/// The bytes of the output.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Written {
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
}

/// What became of the lines of the log: each was counted, a duplicate, outside the range, of a forgotten user, or
/// refused.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Events {
    pub lines: u64,
    pub counted: u64,
    pub duplicates: u64,
    pub outside: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    pub forgotten: u64,
    /// By code.
    pub refused: BTreeMap<String, u64>,
    /// The first and the last event time that counted.
    pub first: Option<Millis>,
    pub last: Option<Millis>,
}

fn is_none(n: &u64) -> bool {
    *n == 0
}

impl Events {
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }
}

impl Made {
    /// What `definitions` mean for these tags.
    pub fn with(definitions: &Definitions, tags: &[usize]) -> Made {
        let mut hash = Sha256::new();
        for index in tags {
            let tag = &definitions.tags[*index];
            hash.update(format!("{} {} {:016x}\n", tag.code, tag.ty, tag.fingerprint));
        }
        Made { source: definitions.source.clone(), fingerprint: hex(&hash.finalize()[..8]) }
    }
}

impl Manifest {
    pub const VERSION: u32 = VERSION;

    /// Reads a manifest; the error says why the text is none.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let of: Versioned = serde_json::from_str(text).map_err(|e| format!("not a manifest: {e}"))?;
        if of.version > VERSION {
            return Err(format!("a manifest of version {}: this adprof knows {VERSION}", of.version));
        }
        serde_json::from_str(text).map_err(|e| format!("not a manifest: {e}"))
    }

    /// Whether a text begins as a manifest does, and no patch.
    pub fn looks_like(text: &[u8]) -> bool {
        let rest = text.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
        rest.is_some_and(|rest| rest.starts_with(b"\"version\""))
    }

    /// As a file, its last newline included.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers and texts only");
        text.push('\n');
        text
    }
}

/// Where the manifest of an output lies: `FILE.manifest.json`.
pub fn beside(output: &Path) -> PathBuf {
    let mut name = OsString::from(output);
    name.push(".manifest.json");
    name.into()
}

/// Bytes as lower-case digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Definitions {
        Definitions::parse(text, "a.toml").expect("right")
    }

    #[test]
    fn quality_and_names_are_no_part_of_the_fingerprint_and_meaning_is() {
        let of = |text: &str| Made::with(&parse(text), &[0]).fingerprint;
        let plain = of("[[tag]]\ncode = 'a'\nvalue = 'sum(amount)'");
        let same = "[quality]\ndays = 3\n[[tag]]\ncode = 'a'\nname = 'A'\nvalue = 'sum(amount)'\nquality = { min = 0 }";
        assert_eq!(of(same), plain);
        for other in [
            "[[tag]]\ncode = 'b'\nvalue = 'sum(amount)'",
            "[[tag]]\ncode = 'a'\nvalue = 'max(amount)'",
            "[[tag]]\ncode = 'a'\nvalue = 'sum(amount)'\ntype = 'double'",
        ] {
            assert_ne!(of(other), plain, "{other}");
        }
    }

    #[test]
    fn a_newer_manifest_and_what_is_none_are_refused() {
        assert!(Manifest::parse("{\"version\":2}").is_err_and(|e| e.contains("version 2")));
        assert!(Manifest::parse("{}").is_err_and(|e| e.contains("not a manifest")));
        assert!(Manifest::looks_like(b" {\n \"version\": 1") && !Manifest::looks_like(b"{\"userId\":\"version\"}"));
        assert_eq!(beside(Path::new("a/b.ndjson")), Path::new("a/b.ndjson.manifest.json"));
    }
}
