//! One file that a writer has open.

use super::Error;
use super::opening::still_open;
use crate::disk::Disk;
use jiff::civil::Date;

/// One file open for appending.
#[derive(Debug)]
pub(super) struct Part {
    pub day: Option<Date>,
    /// The file's path inside the log.
    pub key: String,
    pub disk: Disk,
    pub buffer: Vec<u8>,
    pub used: u64,
    /// Whether its lock was let go, so that its day may be sealed.
    pub resting: bool,
}

impl Part {
    pub fn len(&self) -> u64 {
        self.disk.len() + self.buffer.len() as u64
    }

    pub fn flush(&mut self) -> Result<(), Error> {
        self.disk.write(&self.buffer).map_err(Error::io(self.disk.path(), "append to"))?;
        self.buffer.clear();
        Ok(())
    }

    pub fn sync(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        self.disk.sync().map_err(Error::io(self.disk.path(), "sync"))
    }

    /// Lets the lock go between two groups. A lock that stays only holds a sealing up.
    pub fn rest(&mut self) {
        self.resting = self.disk.file().unlock().is_ok();
    }

    /// Takes the lock again; false when the file is no longer one to append to: sealed, packed or gone.
    pub fn wake(&mut self) -> Result<bool, Error> {
        if !self.resting {
            return Ok(true);
        }
        let path = self.disk.path();
        if self.disk.file().try_lock().is_err() || !self.disk.untouched().map_err(Error::io(path, "look at"))? {
            return Ok(false);
        }
        self.resting = false;
        still_open(path).map(|open| open && self.disk.untouched().is_ok_and(|same| same))
    }
}
