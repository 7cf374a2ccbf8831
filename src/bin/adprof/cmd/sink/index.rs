//! The index of a store that patches were written into: brought up to date where there is one.

use crate::ask::Of;
use crate::cmd::segment::{build_index, tell_index};
use crate::{given, report};
use adprof::profiles::{AsOf, Profiles};
use adprof::store::{Embedded, Location};
use adprof::tag::Definitions;
use anyhow::Result;
use std::time::Instant;

/// Fewer than one in so many changed keys are left to be looked up: a block is written for the first of them.
const SHARE: u64 = 100;

/// Refreshes the index of every entity that has one.
pub fn refresh(place: &Location, definitions: Option<Definitions>) -> Result<()> {
    let Location::Embedded(dir) = place else { return Ok(()) };
    if !Embedded::exists(dir) {
        return Ok(());
    }
    let store = Embedded::open_existing(dir).map_err(given::of_store)?;
    let changed;
    let entities = {
        let snapshot = store.snapshot().map_err(given::of_store)?;
        let view = snapshot.index().map_err(given::of_store)?;
        let Some(view) = view else { return Ok(()) };
        changed = view.changes().map_err(given::of_store)?;
        view.entities().map_err(given::of_store)?
    };
    let profiles = Profiles::open(place, definitions, AsOf::Now(given::now())).map_err(given::of_store)?;
    for name in entities {
        // One that is defined no more is left as it is: nobody asks for it.
        let Some(entity) = profiles.definitions().entity(&name) else { continue };
        // Made anew by whoever writes without the definitions that others ask with, it would help nobody.
        if !profiles.is_index_of_these(entity).map_err(given::of_store)? {
            report::detail("the index is of other definitions, and is left to `adprof segment index`");
            continue;
        }
        if changed.saturating_mul(SHARE) < profiles.about().map_err(given::of_store)?.unwrap_or(0) {
            report::detail(format_args!("the index leaves {} changed keys to be looked up", given::grouped(changed)));
            continue;
        }
        let of = Of::named(Some(&profiles.definitions().entities[entity].name), profiles.definitions())?;
        let began = Instant::now();
        tell_index(&build_index(&profiles, &of, false)?, &of, began.elapsed().as_secs_f64());
    }
    Ok(())
}
