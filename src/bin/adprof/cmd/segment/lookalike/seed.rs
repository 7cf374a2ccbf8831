//! The seed: a segment of the definition file, or users in a file.

use crate::ask::{self, Of, doubts, usage};
use crate::given::grouped;
use crate::report;
use adprof::key::Key;
use adprof::ndjson::shown;
use adprof::profiles::{Profile, Profiles};
use adprof::segment::Rule;
use adprof::time::Millis;
use anyhow::Result;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Unknown ids that are named.
const NAMED: usize = 5;

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct SeedArgs {
    /// A segment of the definition file
    #[arg(long = "seed", value_name = "CODE")]
    code: Option<String>,
    /// A file of user ids, one a line
    #[arg(long = "seed-file", value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone)]
pub struct Seed {
    who: Who,
    version: String,
}

#[derive(Clone)]
enum Who {
    Segment(String, Rule),
    /// Those of the ids that were not met yet are the last.
    File(PathBuf, Rc<HashSet<Key>>, HashSet<Key>),
}

impl SeedArgs {
    pub fn read(&self, profiles: &Profiles, of: &Of) -> Result<Seed> {
        let Some(path) = &self.file else {
            let code = self.code.as_deref().unwrap_or_default();
            let rule = ask::named(profiles.definitions(), code, of)?.rule;
            doubts(profiles, &rule)?;
            return Ok(Seed { version: rule.version().to_string(), who: Who::Segment(code.to_string(), rule) });
        };
        let ids = read_ids(path, of)?;
        let mut sorted: Vec<&Key> = ids.iter().collect();
        sorted.sort();
        let mut hasher = Sha256::new();
        sorted.iter().for_each(|key| hasher.update(format!("{}\n", key.text())));
        let version = hasher.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Seed { version, who: Who::File(path.clone(), Rc::new(ids.clone()), ids) })
    }
}

/// The ids of a file. CRLF, empty lines, repeated ids and a byte order mark at the very start are tolerated.
fn read_ids(path: &Path, of: &Of) -> Result<HashSet<Key>> {
    let failed = |e| report::io(path, &e);
    let mut input = BufReader::new(File::open(path).map_err(failed)?);
    let (mut ids, mut bytes, mut number) = (HashSet::new(), Vec::new(), 0u64);
    loop {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            return Ok(ids);
        }
        number += 1;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            continue;
        }
        let wrong = |why: String| usage(format!("{}:{number}: not an id: {why}", path.display()));
        let id = std::str::from_utf8(line).map_err(|_| wrong("it is not UTF-8".into()))?;
        ids.insert(of.key(id).map_err(wrong)?);
    }
}

impl Seed {
    /// Whether a user is in it. Of a file, those that were met are no longer unknown.
    pub fn meets(&mut self, profile: &Profile, as_of: Millis) -> bool {
        match &mut self.who {
            Who::Segment(_, rule) => rule.matches(profile, as_of),
            Who::File(_, all, unknown) => {
                unknown.remove(&profile.key);
                all.contains(&profile.key)
            }
        }
    }

    /// The tags that its rule reads.
    pub fn tags(&self) -> Vec<usize> {
        match &self.who {
            Who::Segment(_, rule) => rule.tags(),
            Who::File(..) => Vec::new(),
        }
    }

    /// Says which ids have no profile. After a scan.
    pub fn tell_unknown(&self) {
        let Who::File(path, all, unknown) = &self.who else { return };
        if unknown.is_empty() {
            return;
        }
        let mut named: Vec<String> = unknown.iter().map(|key| shown(&key.text()).into_owned()).collect();
        named.sort();
        let more = if named.len() > NAMED { ", …" } else { "" };
        named.truncate(NAMED);
        report::warn(format_args!(
            "{}: {} of {} ids have no profile: {}{more}",
            path.display(),
            grouped(unknown.len() as u64),
            grouped(all.len() as u64),
            named.join(", ")
        ));
    }

    /// What it is called.
    pub fn name(&self) -> String {
        match &self.who {
            Who::Segment(code, _) => code.clone(),
            Who::File(path, ..) => path.display().to_string(),
        }
    }

    pub fn segment(&self) -> Option<&str> {
        match &self.who {
            Who::Segment(code, _) => Some(code),
            Who::File(..) => None,
        }
    }

    /// Of the rule; of a file the same for the same ids.
    pub fn version(&self) -> &str {
        &self.version
    }
}
