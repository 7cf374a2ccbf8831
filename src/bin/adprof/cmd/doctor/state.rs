//! The live state: whether it is whole, fresh, of these definitions, and whether Kafka still holds what it needs next.

use super::{Finding, words};
use crate::given;
use adprof::bus::TopicFacts;
use adprof::engine::plan::Plan;
use adprof::ledger::Ledger;
use adprof::store::Embedded;
use adprof::store::embedded::Stats;
use adprof::tag::{Definitions, Update};
use adprof::time::show_span;
use std::path::Path;
use std::sync::Arc;

/// A stream writes a checkpoint about once a second while there is anything to write.
const STALE: i64 = 60_000;

pub fn look(
    dir: &Path,
    deep: bool,
    definitions: Option<Definitions>,
    topic: Option<&TopicFacts>,
    findings: &mut Vec<Finding>,
) {
    // Damage first: a damaged page may end the process that meets it.
    if deep && let Err(error) = Embedded::check_files(dir) {
        findings.push(Finding::risk("store.pages", words(given::of_store(error))).hint("make it anew from the log"));
        return;
    }
    if deep {
        findings.push(Finding::ok("store.pages", format!("{}: every page is whole", dir.display())));
    }
    let read = || -> Result<(Stats, Option<Ledger>), adprof::store::Error> {
        let store = Embedded::open_existing(dir)?;
        Ok((store.stats()?, Ledger::read(&store.snapshot()?)?))
    };
    let (stats, ledger) = match read() {
        Ok(found) => found,
        Err(error) => {
            findings.push(Finding::risk("store", words(given::of_store(error))));
            return;
        }
    };
    let size = given::bytes(stats.bytes);
    let keys = given::grouped(stats.states.max(stats.patched));
    findings.push(Finding::ok("store", format!("{}: {keys} keys in {size}", dir.display())));
    let Some(ledger) = ledger else { return };
    findings.extend(stats.committed_at.map(|at| age(given::now() - at)));
    findings.extend(definitions.map(|definitions| same(&ledger, definitions)));
    findings.extend(topic.and_then(|topic| kept(&ledger, topic)));
}

fn age(age: i64) -> Finding {
    let words = format!("the last checkpoint is {} old", show_span((age.max(0) / 1000).max(1) * 1000));
    if age > STALE {
        Finding::risk("store.age", words)
            .hint("is `adprof stream` running? values that need new events are as old as that")
    } else {
        Finding::ok("store.age", words)
    }
}

fn same(ledger: &Ledger, definitions: Definitions) -> Finding {
    let definitions = Arc::new(definitions);
    let plan = Plan::new(definitions.clone(), &definitions.by_update(Update::Realtime));
    let known = ledger.numbers_of(&plan);
    let unknown = plan.counters.iter().zip(&known).filter(|(_, number)| number.is_none());
    let codes: Vec<&str> = unknown.map(|(counter, _)| &*definitions.tags[counter.tag].code).collect();
    if codes.is_empty() {
        return Finding::ok("store.definitions", "the state counts every live tag of the definitions");
    }
    Finding::risk("store.definitions", format!("the state does not count: {}", codes.join(", ")))
        .hint("start `adprof stream` again with these definitions")
}

/// Whether the next offsets of the state are still in the topic.
fn kept(ledger: &Ledger, topic: &TopicFacts) -> Option<Finding> {
    let source = ledger.progress.source.as_ref()?;
    let (mut gone, mut behind) = (Vec::new(), 0);
    for owned in &source.reached {
        let found = topic.partitions.iter().find(|p| p.number == owned.partition).and_then(|p| p.ends);
        match found {
            Some((low, high)) if low <= owned.next && owned.next <= high => behind += high - owned.next,
            Some((low, high)) => {
                gone.push(format!("{} (next {}, there are {low} to {high})", owned.partition, owned.next))
            }
            None => {}
        }
    }
    Some(if gone.is_empty() {
        Finding::ok("store.offsets", format!("the stream is {} messages behind", given::grouped(behind.unsigned_abs())))
    } else {
        Finding::risk("store.offsets", format!("what is read next is no longer in partition {}", gone.join(", ")))
            .hint("rebuild the state from the log")
    })
}
