//! The link: what librdkafka reports about the brokers, kept for whoever asks.
//!
//! It is the callback object of both clients. Down is said once, when the last broker is
//! gone, and back once, when one is up again; reasons are masked before they are kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use serde::Deserialize;

use super::progress::Progress;
use super::secure;
use super::settings::Settings;

/// Whether Kafka can be reached.
#[derive(Debug, Clone)]
pub enum Link {
    Up,
    /// No broker has answered since then.
    Down {
        since: Instant,
        why: String,
    },
}

#[derive(Debug)]
struct State {
    link: Link,
    /// The last reason heard for any failure.
    reason: String,
    /// Why we may not come in, once a broker has said so.
    forbidden: Option<String>,
    /// A commit has failed since a broker was there last.
    commits_fail: bool,
    /// Why, until somebody is told.
    commit_failed: Option<String>,
    /// The group is not ours to read: no commit will come through.
    group_refused: bool,
}

/// librdkafka's words for a group that the user may not read: in its log they come without their code.
pub const GROUP_REFUSED: &str = "Group authorization failed";

/// What the clients report to.
pub(super) struct Watch {
    settings: Settings,
    state: Mutex<State>,
    /// Counts the changes in `state` that someone may want to tell.
    changes: AtomicU64,
    /// The topic was deleted and made again under its name.
    replaced: AtomicBool,
    /// Partitions of the topic, by the newest metadata.
    topic_partitions: AtomicI32,
    pub progress: OnceLock<std::sync::Arc<Progress>>,
}

impl Watch {
    pub fn new(settings: &Settings) -> Watch {
        let state = State {
            link: Link::Up,
            reason: String::new(),
            forbidden: None,
            commits_fail: false,
            commit_failed: None,
            group_refused: false,
        };
        Watch {
            settings: settings.clone(),
            state: Mutex::new(state),
            changes: AtomicU64::new(0),
            replaced: AtomicBool::new(false),
            topic_partitions: AtomicI32::new(0),
            progress: OnceLock::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way: a poisoned lock still holds whole values.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn link(&self) -> Link {
        self.state().link.clone()
    }

    pub fn forbidden(&self) -> Option<String> {
        self.state().forbidden.clone()
    }

    /// The last reason heard, or `otherwise`.
    pub fn reason(&self, otherwise: &str) -> String {
        let reason = self.state().reason.clone();
        if reason.is_empty() { otherwise.to_owned() } else { reason }
    }

    pub fn take_commit_failure(&self) -> Option<String> {
        self.state().commit_failed.take()
    }

    /// Whether waiting for a commit is idle: no broker is there, or the group is not ours.
    pub fn commits_in_vain(&self) -> bool {
        let state = self.state();
        state.group_refused || matches!(state.link, Link::Down { .. })
    }

    /// A number that moves whenever there may be news in here.
    pub fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    pub fn topic_partitions(&self) -> i32 {
        self.topic_partitions.load(Relaxed)
    }

    /// Whether the topic read is no longer the one that reading began with. Known before
    /// the first message of the other one comes.
    pub fn replaced(&self) -> bool {
        self.replaced.load(Relaxed)
    }

    /// A broker is up. Only the statistics say so: a message may have been waiting here.
    fn up(&self) {
        let mut state = self.state();
        if matches!(state.link, Link::Down { .. }) {
            state.link = Link::Up;
            (state.commits_fail, state.group_refused) = (false, false);
            self.changed();
        }
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Relaxed);
    }

    /// Each second there may be another one: the first is told, and the first after an outage.
    pub fn uncommitted(&self, why: String) {
        let mut state = self.state();
        state.group_refused |= why.contains(GROUP_REFUSED);
        if !std::mem::replace(&mut state.commits_fail, true) {
            state.commit_failed = Some(why);
            self.changed();
        }
    }

    fn down(&self, why: String) {
        let mut state = self.state();
        if matches!(state.link, Link::Up) {
            state.link = Link::Down { since: Instant::now(), why };
            self.changed();
        }
    }
}

/// An id before any was known.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Whether a line of librdkafka's log says that the topic's id was one and is another.
fn had_another_id(line: &str, topic: &str) -> bool {
    let Some((head, ids)) = line.split_once(" changed id from ") else { return false };
    head.ends_with(&format!("Topic {topic}")) && !ids.starts_with(NO_ID)
}

/// The reason in a line such as `Offset commit (manual) failed for 2/2 partition(s) in join-state init: REASON: TOPIC(…)[0]@7(REASON), …`.
fn reason_of_commit<'a>(line: &'a str, topic: &str) -> &'a str {
    let rest = line.split_once(" in join-state ").and_then(|(_, rest)| rest.split_once(": "));
    let why = rest.map_or(line, |(_, why)| why);
    why.split_once(&format!(": {topic}(")).map_or(why, |(why, _)| why)
}

#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    brokers: HashMap<String, BrokerStats>,
    #[serde(default)]
    topics: HashMap<String, TopicStats>,
}

#[derive(Deserialize)]
struct BrokerStats {
    state: String,
    source: String,
}

#[derive(Deserialize)]
struct TopicStats {
    partitions: HashMap<i32, PartitionStats>,
}

#[derive(Deserialize)]
struct PartitionStats {
    hi_offset: i64,
    /// In no metadata (any more).
    unknown: bool,
}

/// Whether a broker says by it that it does not let us: who we are, or what we may.
pub(super) fn is_refusal(code: Code) -> bool {
    let refusals = [
        Code::Authentication,
        Code::SaslAuthenticationFailed,
        Code::TopicAuthorizationFailed,
        Code::ClusterAuthorizationFailed,
    ];
    refusals.contains(&code)
}

impl ClientContext for Watch {
    fn log(&self, _: RDKafkaLogLevel, kind: &str, message: &str) {
        // Failures are heard through `error`. These are what librdkafka says nowhere else:
        // it reads on in the new topic at the old offset (2.12),
        if had_another_id(message, self.settings.topic()) {
            self.replaced.store(true, Relaxed);
        }
        // and a commit that nobody waits for has failed: for those there are no callbacks.
        if kind == "COMMITFAIL" {
            self.uncommitted(self.settings.mask(reason_of_commit(message, self.settings.topic())));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        if code == Code::PartitionEOF {
            return;
        }
        let why = self.settings.mask(reason);
        if self.forbidden().is_none()
            && let Some(why) = secure::refusal(&why, || self.settings.trust())
        {
            self.state().forbidden = Some(why);
            self.changed();
            return;
        }
        match code {
            Code::AllBrokersDown => {
                // Its own text counts brokers, oddly; the failure before it says more.
                let last = self.reason("no broker answers");
                self.down(last);
            }
            code if is_refusal(code) => {
                self.state().forbidden.get_or_insert(why);
                self.changed();
            }
            Code::GroupAuthorizationFailed => {
                // Its coordinator is not told to who may not read the group: a commit would wait for it.
                if self.settings.group().is_some() {
                    self.uncommitted(why);
                }
            }
            _ => self.state().reason = why,
        }
    }

    fn stats_raw(&self, json: &[u8]) {
        // A statistic that cannot be read costs a second's freshness of the lag, no more.
        let Ok(stats) = serde_json::from_slice::<Stats>(json) else { return };
        if stats.brokers.values().any(|broker| broker.state == "UP" && broker.source != "logical") {
            self.up();
        }
        let Some(topic) = stats.topics.get(self.settings.topic()) else { return };
        let known = topic.partitions.iter().filter(|(number, stats)| **number >= 0 && !stats.unknown);
        if let Some(last) = known.map(|(number, _)| *number).max() {
            self.topic_partitions.store(last + 1, Relaxed);
        }
        let Some(progress) = self.progress.get() else { return };
        for (number, partition) in topic.partitions.iter().filter(|(_, p)| p.hi_offset >= 0) {
            progress.grown(*number, partition.hi_offset);
        }
    }
}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch::new(&Settings::new("b:1", "events").expect("settings"))
    }

    const UP: &[u8] = br#"{"brokers":{"b:1/0":{"state":"UP","source":"learned"}},
        "topics":{"events":{"partitions":{"0":{"hi_offset":7,"unknown":false},"2":{"hi_offset":9,"unknown":false},
        "-1":{"hi_offset":-1001,"unknown":false}}}}}"#;

    #[test]
    fn down_and_back_are_each_said_once() {
        let watch = watch();
        for _ in 0..3 {
            watch.error(KafkaError::Global(Code::BrokerTransportFailure), "b:1: connection refused");
            watch.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        }
        assert!(matches!(watch.link(), Link::Down { why, .. } if why == "b:1: connection refused"));
        assert_eq!(watch.changes(), 1);
        watch.stats_raw(UP);
        watch.stats_raw(UP);
        assert!(matches!(watch.link(), Link::Up));
        assert_eq!(watch.changes(), 2);
    }

    #[test]
    fn a_right_to_the_group_is_missed_where_a_group_was_named_and_forbids_nothing() {
        let settings = || Settings::new("b:1", "events").expect("settings");
        for (settings, expected) in [
            (settings(), None),
            (settings().with_group("g").expect("group"), Some("FindCoordinator: Group authorization failed")),
        ] {
            let watch = Watch::new(&settings);
            let e = KafkaError::MessageConsumption(Code::GroupAuthorizationFailed);
            watch.error(e, "FindCoordinator: Group authorization failed");
            assert_eq!(watch.changes(), u64::from(expected.is_some()));
            assert_eq!(watch.take_commit_failure().as_deref(), expected);
            assert_eq!((watch.forbidden(), watch.reason("none").as_str()), (None, "none"));
        }
    }

    #[test]
    fn commits_that_fail_are_told_once_and_again_after_an_outage() {
        let watch = watch();
        let line = "[thrd:main]: Offset commit (manual) failed for 2/2 partition(s) in join-state init: Broker: No: \
            events((null))[0]@4(Broker: No), events((null))[1]@2(Broker: No)";
        let fails = || watch.log(RDKafkaLogLevel::Warning, "COMMITFAIL", line);
        watch.log(RDKafkaLogLevel::Warning, "FAIL", "Connect failed");
        assert_eq!(watch.take_commit_failure(), None);
        for expected in [Some("Broker: No"), None] {
            fails();
            assert_eq!((watch.take_commit_failure().as_deref(), watch.changes()), (expected, 1));
        }
        watch.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        watch.stats_raw(UP);
        fails();
        assert!(watch.take_commit_failure().is_some());
    }

    #[test]
    fn a_topic_made_anew_is_known_by_its_id() {
        let line = |from: &str, topic: &str| {
            format!("[thrd:main]: Topic {topic} changed id from {from} to 7sLmMCTsTBuOxDkVxpIZhw")
        };
        for (line, expected) in [
            (line(NO_ID, "events"), false),
            (line("k9D6S3NQQPeSdU7AqPwVgg", "events"), true),
            (line("k9D6S3NQQPeSdU7AqPwVgg", "other-events-2"), false),
            ("[thrd:main]: Topic events [0] Leader 1 Epoch 0".into(), false),
        ] {
            let watch = watch();
            watch.log(RDKafkaLogLevel::Debug, "METADATA", &line);
            assert_eq!(watch.replaced(), expected, "{line}");
        }
    }

    #[test]
    fn statistics_tell_the_ends_and_the_number_of_partitions() {
        let watch = watch();
        let progress = std::sync::Arc::new(Progress::new([(0, 3, 3), (1, 0, 0)]));
        watch.progress.set(progress.clone()).expect("first");
        watch.stats_raw(UP);
        watch.stats_raw(b"{not json");
        assert_eq!(watch.topic_partitions(), 3);
        assert_eq!(progress.lag()[0].behind(), 4);
        assert_eq!(progress.lag()[1].behind(), 0);
    }
}
