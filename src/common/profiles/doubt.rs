//! What a store cannot tell, or not whole: told before an answer is taken for one.

use super::{From, Profiles};
use crate::ledger::Warming;
use crate::tag::Update;

/// Why the values of a tag in a store may not be what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is a hidden tag, and Redis has none of those.
    NotThere,
    /// The stream does not compute it yet: there are values by patches at most.
    NotCounted,
    Warming(Warming),
}

impl Profiles {
    /// What is doubtful about the values of a tag; `None`: nothing.
    pub fn doubt(&self, tag: usize) -> Option<Doubt> {
        let definition = &self.definitions.tags[tag];
        match &self.from {
            From::Redis(_) => definition.is_hidden().then_some(Doubt::NotThere),
            From::Embedded { live: None, .. } => None,
            From::Embedded { live: Some(live), .. } => {
                let counted = live.plans.iter().any(|plan| plan.outputs.contains(&tag));
                match definition.update == Update::Realtime && !counted {
                    true => Some(Doubt::NotCounted),
                    false => self.warming(tag).map(Doubt::Warming),
                }
            }
        }
    }
}
