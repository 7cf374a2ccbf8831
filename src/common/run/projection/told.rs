//! What a checkpoint says of the projection: which keys it was not told yet.

use crate::key::Key;
use serde::{Deserialize, Serialize};

/// The name under which a checkpoint keeps what Redis lacks.
pub const TOLD: &str = "told";

/// What a checkpoint says of the projection.
#[derive(Serialize, Deserialize)]
pub struct Told {
    pub(super) round: u64,
    /// Stands for the definitions and the tags told.
    pub(super) plan: u64,
    /// Whether audiences are told besides.
    #[serde(default)]
    pub(super) audiences: bool,
    /// Keys not told yet, as they are stored; `None`: all of them.
    pub(super) untold: Option<Vec<String>>,
}

impl Told {
    /// `None` when it cannot be read: then everything is told.
    pub fn parse(bytes: &[u8]) -> Option<Told> {
        serde_json::from_slice(bytes).ok()
    }

    /// The same without some keys, which are told by others; `None` when it cannot be read.
    pub fn without(bytes: &[u8], gone: impl Fn(&Key) -> bool) -> Option<Vec<u8>> {
        let mut told = Told::parse(bytes)?;
        if let Some(untold) = &mut told.untold {
            untold.retain(|key| !Key::from_stored(key).is_some_and(|key| gone(&key)));
        }
        serde_json::to_vec(&told).ok()
    }
}
