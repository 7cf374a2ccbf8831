//! The topic as the brokers describe it: its partitions and where their logs begin and end.
//!
//! Questions are asked again until the deadline while nobody answers; what the brokers
//! answer for good (no such topic, no right to it) ends at once.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset;

use super::error::{BusError, Place};
use super::link::Watch;
use super::settings::Settings;
use super::start::{StartOffsets, Witness};

/// A topic made a moment ago is not known to every broker at once, and a broker that has just started knows none.
pub(super) const UNKNOWN_GRACE: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Topic<'a, C: ClientContext> {
    pub settings: &'a Settings,
    pub watch: &'a Watch,
    pub client: &'a Client<C>,
    /// Serves the client's callbacks, so that the reason of a failure is heard.
    pub pump: &'a dyn Fn(),
    pub deadline: Instant,
    /// How long a topic may be unknown before that is an answer.
    pub grace: Duration,
}

/// Where one partition is read from.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub partition: i32,
    /// Where the library begins to fetch.
    pub fetch: Offset,
    /// The first offset to hand over.
    pub next: i64,
    /// The end of the partition as it stands now.
    pub high: i64,
    /// The message before `next` must still be this one.
    pub check: Option<Witness>,
}

impl<C: ClientContext> Topic<'_, C> {
    /// How many partitions the topic has.
    pub fn partitions(&self) -> Result<i32, BusError> {
        let name = self.settings.topic();
        self.ask(&format!("topic `{name}`"), |wait| {
            let metadata = self.client.fetch_metadata(Some(name), wait)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            match topic {
                Some(topic) if topic.error().is_none() && !topic.partitions().is_empty() => {
                    Ok(topic.partitions().len() as i32)
                }
                Some(topic) => {
                    Err(KafkaError::MetadataFetch(topic.error().map_or(Code::LeaderNotAvailable, Into::into)))
                }
                None => Err(KafkaError::MetadataFetch(Code::UnknownTopicOrPartition)),
            }
        })
    }

    /// The oldest offset of a partition, and the one after its newest.
    pub fn ends(&self, partition: i32) -> Result<(i64, i64), BusError> {
        let name = self.settings.topic();
        let doing = format!("topic `{name}` partition {partition}");
        self.ask(&doing, |wait| self.client.fetch_watermarks(name, partition, wait))
    }

    /// Repeats a question until it is answered or the time is up.
    pub fn ask<T>(&self, doing: &str, mut question: impl FnMut(Duration) -> KafkaResult<T>) -> Result<T, BusError> {
        let began = Instant::now();
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let e = match question(left.clamp(PAUSE, ATTEMPT)) {
                Ok(answer) => return Ok(answer),
                Err(e) => e,
            };
            (self.pump)();
            self.final_answer(&e, doing, began.elapsed() >= self.grace)?;
            if Instant::now() >= self.deadline {
                let why = self.watch.reason(&e.to_string());
                return Err(BusError::Unavailable {
                    brokers: self.settings.brokers().to_owned(),
                    doing: doing.to_owned(),
                    why,
                });
            }
            thread::sleep(PAUSE);
        }
    }

    /// An error when asking again would not help.
    fn final_answer(&self, e: &KafkaError, doing: &str, known_by_now: bool) -> Result<(), BusError> {
        if let Some(why) = self.watch.forbidden() {
            return Err(BusError::Forbidden { what: format!("use {doing}"), why });
        }
        match e.rdkafka_error_code() {
            Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                Err(BusError::Forbidden { what: format!("use {doing}"), why: self.settings.mask(&e.to_string()) })
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) if known_by_now => {
                Err(missing(self.settings))
            }
            _ => Ok(()),
        }
    }

    /// Where to begin in `partition`; an error when its log does not reach there.
    pub fn begin(
        &self,
        from: &StartOffsets,
        partition: i32,
        since: &dyn Fn(i32) -> Option<i64>,
    ) -> Result<Begin, BusError> {
        let (low, high) = self.ends(partition)?;
        let at = |next: i64| Begin { partition, fetch: Offset::Offset(next), next, high, check: None };
        let exactly = |next: i64| self.within(partition, next, low, high).map(|()| at(next));
        // The oldest message may be deleted while we speak: the broker says which it is.
        let beginning = || Begin { fetch: Offset::Beginning, ..at(low) };
        match from {
            StartOffsets::Beginning => Ok(beginning()),
            StartOffsets::End => Ok(at(high)),
            StartOffsets::At(next) => exactly(*next),
            StartOffsets::Last(n) => Ok(at((high - n).max(low))),
            StartOffsets::Since(_) => Ok(at(since(partition).unwrap_or(high))),
            StartOffsets::Own { offsets, .. } => match offsets.iter().find(|own| own.partition == partition) {
                None => Ok(beginning()),
                Some(own) => {
                    let begin = exactly(own.next)?;
                    // One message earlier, to see whether it is still the same.
                    let check = own.witness.filter(|w| w.offset >= low && w.offset < own.next);
                    let fetch = Offset::Offset(check.map_or(own.next, |w| w.offset));
                    Ok(Begin { check, fetch, ..begin })
                }
            },
        }
    }

    /// An error unless `low <= next <= high`.
    pub fn within(&self, partition: i32, next: i64, low: i64, high: i64) -> Result<(), BusError> {
        let place = || Place { topic: self.settings.topic().to_owned(), partition, offset: next };
        if next < low {
            return Err(BusError::OffsetGone { place: place(), oldest: low });
        }
        if next > high {
            return Err(BusError::OffsetAhead { place: place(), end: high });
        }
        Ok(())
    }
}

pub(super) fn missing(settings: &Settings) -> BusError {
    BusError::TopicMissing { topic: settings.topic().to_owned(), brokers: settings.brokers().to_owned() }
}
