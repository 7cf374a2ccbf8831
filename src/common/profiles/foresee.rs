//! What becomes of a profile when time passes and nothing else happens.

use super::{From, Profile, Profiles, Reader, check_still, published};
use crate::engine::explain::Course;
use crate::engine::plan::{Plan, Values};
use crate::key::Key;
use crate::ledger::Decoder;
use crate::store::Error;
use crate::store::embedded::{Entry, Tag};
use crate::tag::{Kind, Tag as Definition, Update};
use crate::time::Millis;

/// When something is seen otherwise by time alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Foreseen<T> {
    /// From this instant on, and not before.
    At(Millis, T),
    Never,
    /// A value follows `as_of()` in a way that is not solved for an instant, or the store does not know when it falls.
    Unsolved,
}

/// What somebody sees in the values of a profile at an instant, and the next instant at which the clock alone may change
/// it.
pub trait Look {
    type Seen: PartialEq;

    fn look(&mut self, values: &Values, at: Millis) -> (Self::Seen, Option<Millis>);
}

impl Profiles {
    /// The profile of a key, and when what is seen in these tags of it changes by time alone. Tags that no live state
    /// tells stay as they are.
    pub fn foresee<L: Look>(
        &mut self,
        key: &Key,
        tags: &[usize],
        look: &mut L,
    ) -> Result<(Profile, Foreseen<L::Seen>), Error> {
        let (definitions, as_of) = (self.definitions.clone(), self.as_of);
        match &mut self.from {
            From::Redis(redis) => {
                let fields = redis.get_many(std::slice::from_ref(key))?.into_iter().next();
                let fields = fields.unwrap_or_else(|| Ok(Vec::new()));
                let profile = published(key.clone(), fields, &definitions, as_of)?;
                // Redis holds values, not the windows that they fall with.
                let foreseen = match tags.iter().any(|tag| falls(&definitions.tags[*tag])) {
                    true => Foreseen::Unsolved,
                    false => foresee(&profile.values, &[], None, as_of.instant(), look),
                };
                Ok((profile, foreseen))
            }
            From::Embedded { store, live } => {
                let live = live.as_deref();
                let entry = store.get_many([key])?.into_iter().next();
                let entry = entry.unwrap_or_else(|| Entry { key: key.clone(), state: None, tags: Vec::new() });
                let profile = Reader::new(&definitions, live, as_of).profile(entry.clone())?;
                // As a profile is read: what the live state tells of the key, and patches for the rest.
                let whole = live.and_then(|live| Some((live, live.plans.of(key.entity())?)));
                let told: Vec<usize> = match whole {
                    Some((_, plan)) => {
                        let given = plan.given_of(entry.tags.iter().map(Tag::dated));
                        let knows = entry.state.is_some() || given.is_known();
                        let told = plan.told_of(entry.state.is_some()).filter(|tag| knows && tags.contains(tag));
                        told.collect()
                    }
                    None => Vec::new(),
                };
                let foreseen = match live.filter(|_| !told.is_empty()) {
                    None => foresee(&profile.values, &[], None, as_of.instant(), look),
                    Some(live) => {
                        let plan = Plan::live(definitions.clone(), &told);
                        let decoder = Decoder::new(&live.ledger, &plan);
                        let state = entry.state.as_deref().map(|bytes| decoder.decode(bytes)).transpose()?;
                        let given = plan.given_of(entry.tags.iter().map(Tag::dated));
                        let mut course = Course::new(&plan, state, given);
                        foresee(&profile.values, &told, Some(&mut course), as_of.instant(), look)
                    }
                };
                check_still(store, live, as_of)?;
                Ok((profile, foreseen))
            }
        }
    }
}

/// Whether a stream may tell another value of a tag though nothing happens.
fn falls(tag: &Definition) -> bool {
    let moves = match &tag.kind {
        Kind::Aggregation(aggregation) => aggregation.window.is_some(),
        Kind::Derived(_) => true,
        Kind::Imported => false,
    };
    moves && tag.update == Update::Realtime
}

/// Goes from one possible change to the next until something else is seen. `told`: the tags that follow `course`.
fn foresee<L: Look>(
    values: &Values,
    told: &[usize],
    mut course: Option<&mut Course<'_>>,
    as_of: Millis,
    look: &mut L,
) -> Foreseen<L::Seen> {
    if course.as_ref().is_some_and(|course| !course.is_solvable()) {
        return Foreseen::Unsolved;
    }
    let (mut values, mut now, mut first) = (values.clone(), as_of, None);
    loop {
        let by_state = course.as_mut().and_then(|course| {
            let (mut at_now, next) = course.at(now);
            told.iter().for_each(|tag| values[*tag] = at_now[*tag].take());
            next
        });
        let (seen, by_clock) = look.look(&values, now);
        match &first {
            None => first = Some(seen),
            Some(first) if *first != seen => return Foreseen::At(now, seen),
            Some(_) => {}
        }
        match [by_state, by_clock].into_iter().flatten().min() {
            Some(at) if at > now => now = at,
            _ => return Foreseen::Never,
        }
    }
}
