//! The consumer: whole partitions of a topic, read by a thread of its own.
//!
//! Everything it hands over comes through one bounded channel, in the order of each
//! partition; an error is the last thing to come. Partitions are taken by hand: no group
//! decides who reads what.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed},
};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::batch::Batch;
use super::error::BusError;
use super::fetch::Fetcher;
use super::link::Watch;
use super::partitions::Assignment;
use super::progress::{Lag, LagGauge, Progress};
use super::queue::Queue;
use super::settings::Settings;
use super::start::StartOffsets;
use super::topic::{Begin, Topic, UNKNOWN_GRACE, missing};

/// How long a stop waits for the reading thread before it leaves it to end alone: a
/// broker that does not answer may hold it for longer.
const STOP_WAIT: Duration = Duration::from_millis(1900);
/// The same with a group: a broker that has had none before makes the topic of the groups first, which takes it seconds.
const LAST_COMMIT_WAIT: Duration = Duration::from_millis(4900);

/// What comes from a consumer; after an error nothing does.
pub type Delivery = Result<Event, BusError>;

/// News from Kafka.
#[derive(Debug)]
pub enum Event {
    /// Messages of one partition, never empty.
    Batch(Batch),
    /// No broker can be reached; reading goes on by itself when one can. Told once.
    Down { why: String },
    /// A broker is there again. Told once.
    Back { after: Duration },
    /// The group's offsets could not be committed: only lag tools are the worse for it. Told once, and again after `Back`.
    CommitFailed { why: String },
    /// Every partition was read to where it ended when reading began. Nothing follows.
    End,
}

/// How to read.
#[derive(Debug, Clone)]
pub struct Options {
    pub assignment: Assignment,
    pub from: StartOffsets,
    /// Stop at the end of each partition as it stands at the start (`-e`).
    pub until_end: bool,
    /// Most messages in a batch.
    pub batch_messages: usize,
    /// Bytes at which a batch is full: it holds less than this and one message more.
    pub batch_bytes: usize,
    /// Most batches that wait for the receiver. With the two above this bounds what is
    /// waiting here; librdkafka's own queue is bounded by `queued.max.messages.kbytes`.
    pub queue: usize,
    /// How long to gather after the first message when no more are there.
    pub linger: Duration,
}

impl Options {
    /// Reads these partitions from there on, in batches of up to 8192 messages or 1 MiB.
    pub fn new(assignment: Assignment, from: StartOffsets) -> Options {
        Options {
            assignment,
            from,
            until_end: false,
            batch_messages: 8192,
            batch_bytes: 1 << 20,
            queue: 8,
            linger: Duration::from_millis(1),
        }
    }

    /// The same, to the end and no further.
    pub fn until_end(mut self) -> Options {
        self.until_end = true;
        self
    }
}

/// What the reading thread and the handle share.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub stop: AtomicBool,
    /// Set after the last delivery.
    pub over: AtomicBool,
    /// The newest offsets to commit, until the thread takes them.
    pub commit: Mutex<Option<Vec<(i32, i64)>>>,
    /// Why the last commit failed, when it was too late for a delivery.
    pub uncommitted: Mutex<Option<String>>,
}

/// A reader of whole partitions. Dropping it stops the thread.
pub struct Consumer {
    topic: String,
    deliveries: Receiver<Delivery>,
    control: Arc<Control>,
    progress: Arc<Progress>,
    partitions: i32,
    has_group: bool,
    ended: Receiver<()>,
}

const BASE: &[(&str, &str)] = &[
    // Enough to keep the reader busy, little enough to stay flat: 16 MiB of messages, and
    // one answer more, which is compressed and may be ten times as much in memory.
    ("queued.max.messages.kbytes", "16384"),
    ("queued.min.messages", "100000"),
    ("fetch.max.bytes", "4194304"),
    ("fetch.message.max.bytes", "262144"),
    // When the queue is full; by default a fast reader would then wait a second for more.
    ("fetch.queue.backoff.ms", "20"),
    ("fetch.wait.max.ms", "100"),
    ("fetch.error.backoff.ms", "100"),
    // A silent broker is noticed in 20 s instead of 60.
    ("socket.timeout.ms", "20000"),
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "2000"),
    // New partitions are noticed within half a minute.
    ("topic.metadata.refresh.interval.ms", "30000"),
];

const PROMISE: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    ("isolation.level", "read_committed"),
    ("check.crcs", "true"),
];

impl Consumer {
    /// Finds the topic, checks that each partition's log reaches to where reading is to
    /// begin, and starts to read. Waits for a broker as long as the settings say.
    ///
    /// # Errors
    /// All that end a read can come from here; see [`BusError`].
    pub fn start(settings: &Settings, options: Options) -> Result<Consumer, BusError> {
        let mut config = settings.config(BASE, PROMISE)?;
        config.set("group.id", settings.group_or_none());
        // Its log tells when the topic becomes another one; a few lines at each refresh.
        config.set("debug", "metadata").set_log_level(RDKafkaLogLevel::Debug);
        let client = client(settings, &config)?;
        let (partitions, begins) = look(settings, &client, &options)?;
        let Some(queue) = Queue::new(client, settings.topic(), begins.iter().map(|begin| begin.partition)) else {
            return Err(missing(settings));
        };
        let client = queue.client();
        client.assign(&assignment(settings, &begins)?).map_err(|e| failed("assign", settings, &e))?;

        let progress = Arc::new(Progress::new(begins.iter().map(|b| (b.partition, b.next, b.high))));
        // Nobody else sets it: the client was made here.
        let _ = client.context().progress.set(progress.clone());
        let control = Arc::new(Control::default());
        let (out, deliveries) = bounded(options.queue.max(1));
        let fetcher = Fetcher::new(settings, options, begins, partitions, out, control.clone(), progress.clone());
        let ended = spawn(fetcher, queue)?;
        let has_group = settings.group().is_some();
        let topic = settings.topic().to_string();
        Ok(Consumer { topic, deliveries, control, progress, partitions, has_group, ended })
    }

    /// The next delivery; `None` when nothing came in time, or, at once, when nothing will
    /// come any more (see `is_over`).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Event>, BusError> {
        match self.deliveries.recv_timeout(timeout) {
            Ok(delivery) => delivery.map(Some),
            Err(RecvTimeoutError::Disconnected) if !self.control.over.load(Acquire) => {
                Err(BusError::Client { doing: "read".into(), why: "the reading thread ended without a word".into() })
            }
            Err(_) => Ok(None),
        }
    }

    /// Where deliveries come in, to wait for them along with other things. It is closed
    /// after an error and after `Event::End`.
    pub fn deliveries(&self) -> &Receiver<Delivery> {
        &self.deliveries
    }

    /// Whether everything has been received: nothing will come any more.
    pub fn is_over(&self) -> bool {
        self.control.over.load(Acquire) && self.deliveries.is_empty()
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// The partitions that are read here, ascending.
    pub fn assigned(&self) -> Vec<i32> {
        self.progress.partitions()
    }

    /// Where each partition stands. Never waits; ends are about a second old.
    pub fn lag(&self) -> Vec<Lag> {
        self.progress.lag()
    }

    /// The same for whoever watches.
    pub fn gauge(&self) -> LagGauge {
        LagGauge::new(&self.topic, &self.progress)
    }

    /// Shows Kafka's tools how far the group is: (partition, next offset). A hint, never
    /// waited for; nothing without a group.
    pub fn commit(&self, offsets: Vec<(i32, i64)>) {
        if self.has_group {
            *self.control.commit.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(offsets);
        }
    }

    /// Ends reading within two seconds, with a group within five. Deliveries not taken are dropped. Gives why the group's last offsets were not
    /// committed, where that was heard in time.
    pub fn stop(self) -> Option<String> {
        let control = self.control.clone();
        drop(self);
        control.uncommitted.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.control.stop.store(true, Relaxed);
        // Disconnected when the thread is gone; a timeout leaves it to end by itself.
        let _ = self.ended.recv_timeout(if self.has_group { LAST_COMMIT_WAIT } else { STOP_WAIT });
    }
}

fn client(settings: &Settings, config: &ClientConfig) -> Result<BaseConsumer<Watch>, BusError> {
    config.create_with_context(Watch::new(settings)).map_err(|e| settings.refused(&e))
}

/// Asks for the topic and decides where to begin in each partition that is ours.
fn look(settings: &Settings, client: &BaseConsumer<Watch>, options: &Options) -> Result<(i32, Vec<Begin>), BusError> {
    // Long enough to serve several callbacks; nothing is assigned, so no message comes.
    let pump = || while client.poll(Duration::from_millis(20)).is_some() {};
    let topic = Topic {
        settings,
        watch: client.context(),
        client: client.client(),
        pump: &pump,
        deadline: Instant::now() + settings.connect_wait(),
        // Who has read the topic before waits for it nearly as long as for a broker.
        grace: match options.from {
            StartOffsets::Own { .. } => settings.connect_wait().mul_f32(0.8),
            _ => UNKNOWN_GRACE,
        },
    };
    let partitions = topic.partitions()?;
    match options.from {
        StartOffsets::Own { partitions: Some(was), .. } if was != partitions => {
            return Err(BusError::PartitionsChanged { topic: settings.topic().to_owned(), was, now: partitions });
        }
        _ => {}
    }
    let ours = ours(settings, &options.assignment, partitions)?;
    let times = times(settings, client, &topic, &options.from, &ours)?;
    let since = |partition: i32| times.as_ref().and_then(|t| offset_in(t, settings.topic(), partition));
    let begins = ours.into_iter().map(|partition| topic.begin(&options.from, partition, &since));
    Ok((partitions, begins.collect::<Result<_, _>>()?))
}

/// The partitions of the assignment, all of which must exist.
fn ours(settings: &Settings, assignment: &Assignment, partitions: i32) -> Result<Vec<i32>, BusError> {
    let Assignment::Some(set) = assignment else { return Ok((0..partitions).collect()) };
    match set.as_slice().iter().find(|p| **p >= partitions) {
        None => Ok(set.as_slice().to_vec()),
        Some(partition) => {
            Err(BusError::PartitionMissing { topic: settings.topic().to_owned(), partition: *partition, partitions })
        }
    }
}

/// The first offsets at or after an instant, when that is where to begin.
fn times(
    settings: &Settings,
    client: &BaseConsumer<Watch>,
    topic: &Topic<'_, Watch>,
    from: &StartOffsets,
    ours: &[i32],
) -> Result<Option<TopicPartitionList>, BusError> {
    let StartOffsets::Since(ms) = from else { return Ok(None) };
    let found = topic.ask("offsets by time", |wait| {
        let mut list = TopicPartitionList::new();
        for partition in ours {
            list.add_partition_offset(settings.topic(), *partition, Offset::Offset(*ms))?;
        }
        client.offsets_for_times(list, wait)
    })?;
    Ok(Some(found))
}

fn offset_in(list: &TopicPartitionList, topic: &str, partition: i32) -> Option<i64> {
    match list.find_partition(topic, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        // Nothing is that young.
        _ => None,
    }
}

fn assignment(settings: &Settings, begins: &[Begin]) -> Result<TopicPartitionList, BusError> {
    let mut list = TopicPartitionList::with_capacity(begins.len());
    for begin in begins {
        let added = list.add_partition_offset(settings.topic(), begin.partition, begin.fetch);
        added.map_err(|e| failed("assign", settings, &e))?;
    }
    Ok(list)
}

/// Runs the fetcher on a thread; the receiver is disconnected when that has ended.
fn spawn(fetcher: Fetcher, queue: Queue) -> Result<Receiver<()>, BusError> {
    let (alive, ended): (Sender<()>, _) = bounded(0);
    let thread = thread::Builder::new().name("kafka-in".into());
    let spawned = thread.spawn(move || {
        let mut alive = Some(alive);
        fetcher.run(&queue, &mut alive);
        drop(queue);
        drop(alive);
    });
    spawned.map_err(|e| BusError::Client { doing: "start a thread".into(), why: e.to_string() })?;
    Ok(ended)
}

pub(super) fn failed(doing: &str, settings: &Settings, e: &KafkaError) -> BusError {
    BusError::Client { doing: doing.to_owned(), why: settings.mask(&e.to_string()) }
}
