//! Imports: files of patches that bring a run over a log the values it cannot compute.
//!
//! Of one tag the newest as-of that is no later than the run's wins, in whatever order lines and files come. Only tags
//! that the plan needs are kept. What is no patch ends the run: a file that a machine wrote is right or wrong as a whole.

use super::batch::{PARTITIONS, partition_of};
use crate::engine::given::Given;
use crate::engine::plan::Plan;
use crate::key::{Key, USER};
use crate::lines::{Lines, Text, open_path, source_name};
use crate::patch::Patch;
use crate::time::Millis;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The given values of some keys.
pub type Part = BTreeMap<Key, Given>;

/// The values by entity, and by the partition of their key; none at all where nothing is needed.
#[derive(Default)]
pub struct Imports(Vec<(Arc<str>, Vec<Part>)>);

/// Why imports could not be read.
#[derive(Debug)]
pub enum Error {
    Io(PathBuf, io::Error),
    /// A line that is not a patch, or brings a value that its tag cannot have: where, and why.
    Bad {
        place: String,
        why: String,
    },
}

static NOTHING: Part = Part::new();

impl Imports {
    /// Reads files of NDJSON, packed or not, for the tags that plans need and do not compute. Each plan is of its own entity.
    pub fn read(paths: &[PathBuf], plans: &[&Plan], as_of: Millis) -> Result<Imports, Error> {
        let needy: Vec<&Plan> = plans.iter().copied().filter(|plan| !plan.given.is_empty()).collect();
        let none = |plan: &&Plan| (plan.entity().name.clone(), (0..PARTITIONS).map(|_| Part::new()).collect());
        let mut imports = Imports(needy.iter().map(none).collect());
        if !needy.is_empty() {
            paths.iter().try_for_each(|path| imports.read_one(path, &needy, as_of))?;
        }
        Ok(imports)
    }

    fn read_one(&mut self, path: &Path, plans: &[&Plan], as_of: Millis) -> Result<(), Error> {
        let failed = |e: io::Error| Error::Io(path.to_path_buf(), e);
        let mut lines = Lines::new(open_path(path).map_err(failed)?);
        while let Some(line) = lines.next().map_err(failed)? {
            let taken = match line.text {
                Text::TooLong { .. } => Err("the line is too long".to_string()),
                Text::Whole(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) if text.trim().is_empty() => Ok(()),
                    Ok(text) => self.take(text, plans, as_of),
                    Err(_) => Err("not UTF-8".to_string()),
                },
            };
            taken.map_err(|why| Error::Bad { place: format!("{}:{}", source_name(path), line.number), why })?;
        }
        Ok(())
    }

    fn take(&mut self, text: &str, plans: &[&Plan], as_of: Millis) -> Result<(), String> {
        let patch = Patch::parse(text)?;
        let own = plans.iter().zip(&mut self.0).find(|(plan, _)| *plan.entity().name == *patch.key.entity());
        let Some((plan, (_, parts))) = own else { return Ok(()) };
        let wanted = patch.tags.iter().any(|(code, _)| plan.given_place(code).is_some());
        if !wanted || patch.as_of > as_of {
            return Ok(());
        }
        for (code, value) in &patch.tags {
            if let (Some(place), Some(value)) = (plan.given_place(code), value) {
                plan.fits(plan.given[place], value)?;
            }
        }
        let part = &mut parts[partition_of(&patch.key)];
        part.entry(patch.key.clone()).or_default().take_patch(plan, &patch);
        Ok(())
    }

    /// The values of users.
    pub fn part(&self, partition: usize) -> &Part {
        self.part_of(USER, partition)
    }

    /// The values of keys of an entity, by its name.
    pub fn part_of(&self, entity: &str, partition: usize) -> &Part {
        let parts = self.0.iter().find(|(name, _)| **name == *entity).map(|(_, parts)| parts);
        parts.and_then(|parts| parts.get(partition)).unwrap_or(&NOTHING)
    }
}
