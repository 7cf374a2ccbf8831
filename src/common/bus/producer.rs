//! The producer: lines into a topic, each once and in order, however long Kafka is away.
//!
//! `acked` counts the messages that all replicas have, from the first on without a gap:
//! what lies before is safe, and what lies after is sent again by a new producer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use super::acks::Acks;
use super::error::BusError;
use super::link::{Link, Watch, is_refusal};
use super::settings::{Settings, builtin_features};
use super::topic::{Topic, UNKNOWN_GRACE};

/// How often a send that finds the queue full looks again: acknowledgements come in
/// groups, far more than one at a time.
const FULL_WAIT: Duration = Duration::from_millis(2);

const BASE: &[(&str, &str)] = &[
    ("linger.ms", "10"),
    // Memory stays flat while Kafka is away: 64 MiB of messages.
    ("queue.buffering.max.kbytes", "65536"),
    ("queue.buffering.max.messages", "200000"),
    ("batch.num.messages", "20000"),
    ("socket.timeout.ms", "20000"),
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "2000"),
    ("retry.backoff.max.ms", "2000"),
];

const PROMISE: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
    // An outage may last: nothing is given up on.
    ("message.timeout.ms", "0"),
    ("retries", "2147483647"),
];

/// What the client reports to: the link and the acknowledgements.
struct Outbox {
    watch: Watch,
    acks: Mutex<Acks>,
    moved: Condvar,
    acked: AtomicU64,
    /// Whether `acks` holds a failure: looked at for every message sent.
    failed: AtomicBool,
}

impl Outbox {
    fn acks(&self) -> MutexGuard<'_, Acks> {
        self.acks.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl ClientContext for Outbox {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
    fn stats_raw(&self, json: &[u8]) {
        self.watch.stats_raw(json);
    }
}

impl ProducerContext for Outbox {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: usize) {
        let mut acks = self.acks();
        match result {
            Ok(_) => self.acked.store(acks.arrived(sequence as u64), Relaxed),
            Err((e, _)) => {
                acks.failed(sequence as u64, e.to_string());
                self.failed.store(true, Relaxed);
            }
        }
        drop(acks);
        self.moved.notify_all();
    }
}

/// A sender of one topic. Dropping it gives up what is not acknowledged; see `flush`.
pub struct Producer {
    client: ThreadedProducer<Outbox>,
    outbox: Arc<Outbox>,
    settings: Settings,
    sent: u64,
    partitions: i32,
}

impl Producer {
    /// Finds the topic, waiting for a broker as long as the settings say.
    ///
    /// # Errors
    /// `Setting`, `Unavailable`, `Forbidden`, `TopicMissing`.
    pub fn new(settings: &Settings) -> Result<Producer, BusError> {
        let codec = codec(&builtin_features());
        let mut base = BASE.to_vec();
        base.push(("compression.codec", codec));
        let config = settings.config(&base, PROMISE)?;
        let outbox = Outbox {
            watch: Watch::new(settings),
            acks: Mutex::default(),
            moved: Condvar::new(),
            acked: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        };
        let client: ThreadedProducer<Outbox> = config.create_with_context(outbox).map_err(|e| settings.refused(&e))?;
        let outbox = client.client().context().clone();
        let topic = Topic {
            settings,
            watch: &outbox.watch,
            client: client.client(),
            // Its own thread serves it.
            pump: &|| {},
            deadline: Instant::now() + settings.connect_wait(),
            grace: UNKNOWN_GRACE,
        };
        let partitions = topic.partitions()?;
        Ok(Producer { client, outbox, settings: settings.clone(), sent: 0, partitions })
    }

    /// Hands one message over for sending and gives its number, from 1 on. When the queue
    /// is full it waits for room, at most `wait`, and then gives `None`: not taken.
    ///
    /// # Errors
    /// `Undeliverable` when this message or an earlier one can never be sent, `Forbidden`.
    /// After an error nothing more is taken: what comes after would arrive without it.
    pub fn send(&mut self, key: Option<&[u8]>, payload: &[u8], wait: Duration) -> Result<Option<u64>, BusError> {
        let sequence = self.sent + 1;
        let mut deadline = None;
        loop {
            self.check()?;
            let mut record = BaseRecord::with_opaque_to(self.settings.topic(), sequence as usize).payload(payload);
            record.key = key;
            match self.client.send(record) {
                Ok(()) => {
                    self.sent = sequence;
                    return Ok(Some(sequence));
                }
                Err((e, _)) if e.rdkafka_error_code() == Some(Code::QueueFull) => {
                    // The clock is read only when there is no room.
                    let now = Instant::now();
                    let until = *deadline.get_or_insert(now + wait);
                    if now >= until {
                        return Ok(None);
                    }
                    std::thread::sleep(FULL_WAIT.min(until - now));
                }
                Err((e, _)) => {
                    let why = e.to_string();
                    self.outbox.acks().failed(sequence, why.clone());
                    self.outbox.failed.store(true, Relaxed);
                    return Err(self.undeliverable(sequence, &why));
                }
            }
        }
    }

    /// How many messages are in Kafka, from the first one on without a gap.
    pub fn acked(&self) -> u64 {
        self.outbox.acked.load(Relaxed)
    }

    /// How many messages were taken.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Whether Kafka can be reached. Sending goes on by itself when it can again.
    pub fn link(&self) -> Link {
        self.outbox.watch.link()
    }

    /// Sends what is waiting without lingering, and says whether all of it is in Kafka
    /// within `timeout`. What is not stays queued.
    ///
    /// # Errors
    /// As `send`.
    pub fn flush(&self, timeout: Duration) -> Result<bool, BusError> {
        let deadline = Instant::now() + timeout;
        // Only to make it hurry: what has arrived is known from the acknowledgements.
        let _ = self.client.flush(timeout);
        let mut acks = self.outbox.acks();
        while self.acked() < self.sent && acks.failure().is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.outbox.moved.wait_timeout(acks, left);
            acks = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        drop(acks);
        self.check()?;
        Ok(self.acked() == self.sent)
    }

    /// An error once something has failed for good.
    fn check(&self) -> Result<(), BusError> {
        if self.outbox.watch.changes() > 0
            && let Some(why) = self.outbox.watch.forbidden()
        {
            return Err(self.forbidden(why));
        }
        if !self.outbox.failed.load(Relaxed) {
            return Ok(());
        }
        match self.outbox.acks().failure() {
            None => Ok(()),
            Some((sequence, why)) => Err(self.undeliverable(*sequence, why)),
        }
    }

    /// What keeps a message from being sent: where the client has given up, what made it. That may be known here before
    /// the link hears of it.
    fn undeliverable(&self, sequence: u64, why: &str) -> BusError {
        let topic = self.settings.topic().to_owned();
        match self.client.client().fatal_error() {
            Some((code, why)) if is_refusal(code) => self.forbidden(self.settings.mask(&why)),
            Some((_, why)) => BusError::Undeliverable { topic, sequence, why: self.settings.mask(&why) },
            None => BusError::Undeliverable { topic, sequence, why: self.settings.mask(why) },
        }
    }

    fn forbidden(&self, why: String) -> BusError {
        BusError::Forbidden { what: format!("write to topic `{}`", self.settings.topic()), why }
    }
}

/// The best codec of the build for lines of JSON: lz4 costs least for what it saves.
fn codec(features: &str) -> &'static str {
    let built = |name: &str| features.split(',').any(|feature| feature.trim() == name);
    ["lz4", "zstd", "gzip"].into_iter().find(|name| built(name)).unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_is_one_the_build_has() {
        for (features, expected) in
            [("gzip,snappy,lz4,zstd", "lz4"), ("gzip,zstd,ssl", "zstd"), ("gzip", "gzip"), ("", "none")]
        {
            assert_eq!(codec(features), expected, "{features}");
        }
    }
}
