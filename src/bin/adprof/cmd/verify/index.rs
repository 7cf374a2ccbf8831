//! The index of a store that is verified: answers come from it, so it is compared with the store as the store is with the log.

use crate::ask::Of;
use crate::cmd::segment::{compare_index, index_verdict};
use crate::{given, report};
use adprof::profiles::index::Flaw;
use adprof::profiles::{AsOf, Profiles};
use adprof::store::Location;
use adprof::tag::Definitions;
use anyhow::Result;

/// Compares the index of every entity that has one, or of this entity. Each difference goes to stdout; then it is an error.
pub fn check(place: &Location, definitions: &Definitions, entity: Option<usize>) -> Result<()> {
    let profiles =
        Profiles::open(place, Some(definitions.clone()), AsOf::Now(given::now())).map_err(given::of_store)?;
    let Some(store) = profiles.embedded_store() else { return Ok(()) };
    let entities = {
        let snapshot = store.snapshot().map_err(given::of_store)?;
        let view = snapshot.index().map_err(given::of_store)?;
        view.map_or(Ok(Vec::new()), |view| view.entities()).map_err(given::of_store)?
    };
    for name in entities {
        let known = definitions.entity(&name).filter(|place| entity.is_none_or(|asked| asked == *place));
        // Nobody asks for one that is defined no more.
        let Some(known) = known else { continue };
        let of = Of::named(Some(&definitions.entities[known].name), definitions)?;
        // Blocks of other definitions do not answer: their keys are looked up in the store.
        match compare_index(&profiles, &of, |flaw| *flaw != Flaw::OtherDefinitions)? {
            Ok(checked) => index_verdict(&checked, "the index: ")?,
            Err(why) => report::detail(format_args!("the index does not answer and is not compared: {why}")),
        }
    }
    Ok(())
}
