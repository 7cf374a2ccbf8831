//! What is asked of a store: the flags that query, segment and export share, and the profiles they mean.
//!
//! The instant is read once, here: an asked one stays, `now` is told as such.

use crate::given::{self, DefinitionArgs, StoreArgs};
use crate::report::{Exit, Failure};
use adprof::profiles::{AsOf, Profiles};
use adprof::tag::{Definitions, Update};
use anyhow::Result;
use jiff::tz::TimeZone;

#[derive(clap::Args, Clone)]
pub struct AskArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// The instant asked about: milliseconds, RFC 3339, a date (UTC), `now`, or 2h for two hours ago [default: now]
    #[arg(long, value_name = "T")]
    as_of: Option<String>,
}

impl AskArgs {
    /// Opens the store that is meant, as of the instant that is meant.
    pub fn open(&self) -> Result<Profiles> {
        let as_of = match self.as_of.as_deref() {
            None | Some("now") => AsOf::Now(given::now()),
            Some(text) => AsOf::At(given::instant(text, &TimeZone::UTC)?),
        };
        let definitions = self.definitions.find()?;
        let location = self.store.choose(definitions.as_ref())?;
        Profiles::open(&location, definitions, as_of).map_err(|e| given::of_store(e).into())
    }
}

#[derive(clap::Args, Clone)]
pub struct TagArgs {
    /// Which tags: all, or codes
    #[arg(long, value_name = "CODE[,CODE...]", value_delimiter = ',')]
    tags: Vec<String>,
}

impl TagArgs {
    /// The places of the tags that are meant, in the order of the definitions; `None` for everything there is.
    pub fn choose(&self, definitions: &Definitions) -> Result<Option<Vec<usize>>> {
        match &self.tags[..] {
            [] => Ok(None),
            [all] if all == "all" => Ok(None),
            codes => {
                let mut tags = given::tags(definitions, codes, Update::Realtime)?;
                tags.sort_unstable();
                tags.dedup();
                Ok(Some(tags))
            }
        }
    }
}

/// Whether a profile's tag is among the chosen ones.
pub fn keeps(chosen: Option<&[usize]>, definitions: &Definitions, code: &str) -> bool {
    chosen.is_none_or(|chosen| chosen.iter().any(|tag| &*definitions.tags[*tag].code == code))
}

/// A usage error.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}
