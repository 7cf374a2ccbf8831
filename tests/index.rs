//! The index of profiles: by it an audience is the one that a scan finds, at every instant and after every change.

#[path = "index/built.rs"]
mod built;
#[path = "answers/duckdb.rs"]
mod duckdb;
#[path = "index/laws.rs"]
mod laws;
#[path = "index/live.rs"]
mod live;
#[path = "index/program.rs"]
mod program;
#[path = "answers/random.rs"]
mod random;
#[allow(dead_code)] // The tests of answers use all of it.
#[path = "answers/store.rs"]
mod store;
mod support;

use adprof::key::Key;
use adprof::profiles::Profiles;
use adprof::profiles::index::Unused;
use adprof::segment::Rule;
use adprof::segment::index::Members;
use adprof::store::Error;

/// What a scan, or the index, says of a rule.
#[derive(PartialEq, Debug)]
pub struct Answer {
    pub members: Vec<Key>,
    pub all: u64,
}

pub fn by_scan(profiles: &mut Profiles, rule: &Rule) -> Answer {
    let (mut rule, as_of) = (rule.clone(), profiles.as_of());
    let mut answer = Answer { members: Vec::new(), all: 0 };
    let scanned = profiles.scan(0, |profile| {
        answer.all += 1;
        if rule.matches(&profile, as_of) {
            answer.members.push(profile.key);
        }
        Ok::<(), Error>(())
    });
    scanned.expect("scanned");
    answer
}

/// What the index says, and how many keys it had to look up.
pub fn by_index(profiles: &Profiles, rule: &Rule) -> Result<(Answer, u64), Unused> {
    let store = profiles.embedded_store().expect("embedded");
    let snapshot = store.snapshot().expect("a snapshot");
    let indexed = profiles.indexed(snapshot.index().expect("read"), 0).expect("read")?;
    let found = Members::find(&indexed, profiles.definitions(), &mut rule.clone(), 3).expect("found");
    let mut members = Vec::new();
    let listed = found.keys(&indexed.dictionary(), |key| {
        members.push(key.clone());
        Ok::<(), Error>(())
    });
    listed.expect("listed");
    assert_eq!(found.size, members.len() as u64, "{}", rule.sql());
    Ok((Answer { members, all: found.all }, found.looked_up))
}

/// Fails unless both say the same. Gives how many keys were looked up.
pub fn agree(profiles: &mut Profiles, rule: &Rule, when: &str) -> u64 {
    let want = by_scan(profiles, rule);
    let (found, looked_up) = by_index(profiles, rule).unwrap_or_else(|why| panic!("{when}: {why}"));
    assert_eq!(found, want, "{when}: {}", rule.sql());
    looked_up
}
