//! Forgetting: what each place does to have no trace of some users, log and Redis apart.
//!
//! Each can be done again, and is right whatever stopped it the last time. First of all the lists say who is forgotten, so that
//! nothing comes back while the rest is cleaned.

mod letters;
mod nights;
mod rollups;
mod state;

pub use letters::{dead_files, letters};
pub use nights::{Night, nights};
pub use rollups::rollups;
pub use state::{State, renew_if_marked, state};

use crate::forgotten::Forgotten;
use crate::log::care::Whose;
use crate::time::Millis;

/// Who is to be forgotten: by name those of this run, by the list all that ever were.
#[derive(Clone, Debug)]
pub struct People {
    pub ids: Vec<String>,
    pub list: Forgotten,
}

impl Whose for People {
    fn has(&self, user: &[u8], timestamp: Millis) -> bool {
        self.list.drops(user, timestamp)
    }

    fn is_named_in(&self, line: &[u8]) -> bool {
        self.list.is_named_in_by(line, &self.ids)
    }
}

impl People {
    /// Whether one of the ids stands somewhere in these bytes.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.ids.iter().any(|id| memchr::memmem::find(bytes, id.as_bytes()).is_some())
    }
}
