//! The manifest of an export: what is in its files, of whom, and as of when.
//!
//! It is written last: where it stands, every file that it names is whole.

use super::form::Form;
use super::ids::Ids;
use super::parts::Layout;
use crate::quality::{Made, Written};
use crate::tag::Definitions;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// The version of this format: a larger one is refused.
const VERSION: u32 = 1;
/// The name of a directory's manifest.
pub const NAME: &str = "_manifest.json";

/// What an export is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub version: u32,
    /// The version of the program that made it.
    pub adprof: String,
    /// When it began and ended.
    pub began: Millis,
    pub ended: Millis,
    #[serde(flatten)]
    pub told: Told,
    /// Profiles that were written, and that there were.
    pub rows: u64,
    pub of: u64,
    pub files: Vec<Part>,
}

/// Of whom, as of when, and how.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    pub as_of: Millis,
    pub entity: String,
    /// The rules whose members they are; none for everybody.
    pub rules: Vec<Asked>,
    pub definitions: Made,
    pub format: String,
    pub packing: String,
    /// How ids were hashed, where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// What divides it into files, where something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_by: Option<String>,
}

/// A rule, and the segment whose it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Asked {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    pub version: String,
}

/// One file, by its name in the directory.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    #[serde(flatten)]
    pub written: Written,
}

impl Told {
    pub fn new(form: &Form, ids: &Ids, entity: &str, as_of: Millis, rules: Vec<Asked>) -> Told {
        Told {
            as_of,
            entity: entity.into(),
            rules,
            definitions: Made::with(&form.definitions, form.tags.places()),
            format: form.format.name().into(),
            packing: form.packing.name().into(),
            hash: ids.name().map(str::to_string),
            partitions: None,
            partition_by: None,
        }
    }

    /// The same, in the files of a directory.
    pub fn divided(self, definitions: &Definitions, layout: Option<Layout>) -> Told {
        match layout {
            None => self,
            Some(Layout::Keys(n)) => Told { partitions: Some(n), ..self },
            Some(Layout::Tag(tag)) => Told { partition_by: Some(definitions.tags[tag].code.to_string()), ..self },
        }
    }

    /// What a file says of itself, where it has a place for it.
    pub fn provenance(&self) -> Vec<(&'static str, String)> {
        let rules = serde_json::to_string(&self.rules).expect("texts only");
        vec![("asOf", self.as_of.to_string()), ("definitions", self.definitions.fingerprint.clone()), ("rules", rules)]
    }
}

impl Manifest {
    /// Of an export that began at `began` and has just ended.
    pub fn new(told: Told, (began, ended): (Millis, Millis), (rows, of): (u64, u64), files: Vec<Part>) -> Manifest {
        Manifest { version: VERSION, adprof: env!("CARGO_PKG_VERSION").into(), began, ended, told, rows, of, files }
    }

    /// Reads a manifest; the error says why the text is none.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_str(text).map_err(|e| format!("not a manifest of an export: {e}"))?;
        match manifest.version {
            ..=VERSION => Ok(manifest),
            version => Err(format!("a manifest of version {version}: this adprof knows {VERSION}")),
        }
    }

    /// As a file, its last newline included.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers and texts only");
        text.push('\n');
        text
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A manifest that names these files.
    pub fn manifest(names: &[&str]) -> Manifest {
        let told = Told {
            as_of: 1,
            entity: "user".into(),
            rules: vec![Asked { segment: Some("a".into()), version: "0123".into() }],
            definitions: Made { source: "a.toml".into(), fingerprint: "4567".into() },
            format: "csv".into(),
            packing: "none".into(),
            hash: None,
            partitions: None,
            partition_by: None,
        };
        let part = |name: &&str| Part { name: (*name).into(), written: Written::default() };
        Manifest::new(told, (2, 3), (0, 0), names.iter().map(part).collect())
    }

    #[test]
    fn a_manifest_reads_back_and_a_newer_one_is_refused() {
        let manifest = manifest(&["a", "b"]);
        assert_eq!(Manifest::parse(&manifest.to_text()), Ok(manifest.clone()));
        let newer = Manifest { version: VERSION + 1, ..manifest }.to_text();
        assert!(Manifest::parse(&newer).is_err_and(|why| why.contains("version 2")));
    }
}
