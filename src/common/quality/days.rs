//! Days: the output to be judged and those before it, from manifests or from the patches themselves.

use super::column::TagFigures;
use super::figures::Outcome;
use super::manifest::{Events, Manifest, beside};
use crate::log::partition_day;
use crate::time::Millis;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The mark of a day whose output was published.
pub const PUBLISHED: &str = "_PUBLISHED";
/// The output of a day, in its folder `dt=YYYY-MM-DD`.
const OUTPUT: &str = "patches.ndjson";

/// One output, as far as it is compared.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Day {
    /// Its date, or the file it was read from.
    pub name: String,
    pub as_of: Option<Millis>,
    pub rows: u64,
    /// None where there is no manifest.
    pub events: Option<Events>,
    pub tags: BTreeMap<String, TagFigures>,
}

impl Day {
    /// A day by its manifest; `file` is where that lies.
    pub fn of_manifest(manifest: Manifest, file: &Path) -> Day {
        let name = manifest.date.unwrap_or_else(|| file.display().to_string());
        let Manifest { as_of, output, events, tags, .. } = manifest;
        Day { name, as_of, rows: output.rows, events: Some(events), tags }
    }

    /// A day by its patches.
    pub fn of_patches(outcome: Outcome, file: &Path) -> Day {
        let Outcome { rows, as_of, tags } = outcome;
        Day { name: file.display().to_string(), as_of, rows, events: None, tags }
    }
}

/// The days before one, and what could not be read.
#[derive(Clone, Debug, Default)]
pub struct Days {
    /// The oldest first.
    pub days: Vec<Day>,
    /// Manifests that are none, with the reason.
    pub broken: Vec<String>,
}

/// The last `most` published days below `root` whose values are older than `before`.
///
/// Errors: `root` cannot be listed.
pub fn history(root: &Path, before: Option<Millis>, most: usize) -> io::Result<Days> {
    let mut found = Days::default();
    for name in published(root)?.iter().rev() {
        if found.days.len() == most {
            break;
        }
        let file = beside(&root.join(name).join(OUTPUT));
        let read = fs::read_to_string(&file).map_err(|e| e.to_string()).and_then(|text| Manifest::parse(&text));
        match read {
            Err(why) => found.broken.push(format!("{}: {why}", file.display())),
            Ok(manifest) if before.is_some_and(|before| manifest.as_of.is_none_or(|t| before <= t)) => {}
            Ok(manifest) => found.days.push(Day::of_manifest(manifest, &file)),
        }
    }
    found.days.reverse();
    Ok(found)
}

/// The folders of published days below `root`, by date.
pub fn published(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if partition_day(&name).is_some() && root.join(&name).join(PUBLISHED).exists() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
