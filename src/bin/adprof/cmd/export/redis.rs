//! Exports into Redis: the ids of an audience as a SET, put under its name in one step.

use super::{Count, Job};
use crate::ask::usage;
use crate::given;
use crate::report::Failure;
use adprof::profiles::Profiles;
use adprof::store::redis::Patience;
use adprof::store::{self, Kind, Location, Redis};
use adprof::time::Millis;
use anyhow::Result;

/// A set to be.
pub struct Target {
    pub at: Location,
    pub name: String,
    pub expire: Option<Millis>,
}

pub fn to_set(job: Job, profiles: &mut Profiles, target: &Target) -> Result<Count> {
    let Location::Redis(url) = &target.at else {
        return Err(usage("--to names a Redis, kafka, or nothing")
            .hint("--to redis, or --to redis://HOST:PORT")
            .into());
    };
    let mut redis = Redis::connect(url, Patience::default()).map_err(failure)?;
    let mut set = redis.new_set(&target.name).map_err(failure)?;
    let count = job.audience.each(profiles, |row| Ok(set.add(&row.profile.key.text()).map_err(failure)?))?;
    set.put(target.expire).map_err(failure)?;
    Ok(count)
}

/// An error of the target: another store, which some hints name, would be no help.
fn failure(error: store::Error) -> Failure {
    let is_away = error.kind == Kind::Unavailable && error.hint.as_ref().is_some_and(|hint| hint.contains("--store"));
    let failure = given::of_store(error);
    if is_away { failure.hint("is Redis running there? the former set is as it was") } else { failure }
}
