//! The gate: a group of lines is written by a list of the forgotten that was read after the group began.
//!
//! Who writes holds the directory of the list, shared, from a group's first line to its commit. Whoever puts a new list there
//! takes the directory for itself once, an instant: then every group of before is in the log, and all later ones know the
//! list.

use super::Error;
use crate::disk::parent;
use crate::forgotten::{Forgotten, Watched, beside};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Who met a new list stays out for so long, so that its maker is not kept waiting by a writer that never rests.
const REST: Duration = Duration::from_millis(20);

/// A writer's side.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
    list: Option<Watched>,
    /// Held while a group is open. A file system without locks has none.
    held: Option<File>,
    open: bool,
    renewed: bool,
}

impl Gate {
    /// Of the log at `root`.
    pub fn of(root: &Path) -> Gate {
        Gate { path: beside(root), list: None, held: None, open: false, renewed: false }
    }

    /// Who is forgotten, as of the beginning of the group.
    pub fn enter(&mut self) -> Result<&Arc<Forgotten>, Error> {
        if !self.open {
            self.held = File::open(parent(&self.path)).ok().filter(|dir| dir.lock_shared().is_ok());
            self.open = true;
            let failed = Error::io(&self.path, "read");
            match &mut self.list {
                Some(list) => self.renewed = list.refresh().map_err(failed)?,
                none => *none = Some(Watched::open(self.path.clone()).map_err(failed)?),
            }
        }
        Ok(self.list.as_ref().expect("it was just read").list())
    }

    /// The group is in the log.
    pub fn leave(&mut self) {
        (self.held, self.open) = (None, false);
        if std::mem::take(&mut self.renewed) {
            std::thread::sleep(REST);
        }
    }
}

/// Waits until every group that began before now is in the log: the list beside the log was just replaced.
pub fn pass(root: &Path) -> Result<(), Error> {
    let path = beside(root);
    let dir = parent(&path);
    File::open(dir).and_then(|dir| dir.lock()).map_err(Error::io(dir, "lock"))
}
