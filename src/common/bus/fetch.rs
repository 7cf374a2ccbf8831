//! The reading thread: takes messages from librdkafka, gathers batches, and hands them over.
//!
//! Offsets of a partition are handed over ascending, each once. When the receiver is
//! slow it waits; when it waits long, the partitions are paused, so that librdkafka's
//! memory is given back and its events are still served.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

use crossbeam_channel::{SendTimeoutError, Sender, bounded};
use rdkafka::client::ClientContext as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::batch::{Batch, Message};
use super::consumer::{Control, Delivery, Event, Options, failed};
use super::error::{BusError, Place};
use super::link::Link;
use super::progress::Progress;
use super::queue::Queue;
use super::settings::Settings;
use super::start::Witness;
use super::topic::{Begin, Topic, UNKNOWN_GRACE, missing};

/// Longest time without a look at the stop flag.
const TICK: Duration = Duration::from_millis(100);
/// How long the last commit may be over before that is noticed.
const LISTEN: Duration = Duration::from_millis(10);
/// How long a receiver may keep us waiting before the partitions are paused: resuming
/// fetches again what was waiting in librdkafka.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to ask for the ends of the log when an offset is out of range.
const DIAGNOSIS: Duration = Duration::from_secs(10);

pub(super) struct Fetcher {
    settings: Settings,
    options: Options,
    parts: Vec<Part>,
    /// Number of a partition → its index in `parts`.
    index: Vec<Option<usize>>,
    /// Parts with messages gathered, each once.
    touched: Vec<usize>,
    gathered_messages: usize,
    gathered_bytes: usize,
    /// Parts that have not come to their end yet.
    open: usize,
    topic_partitions: i32,
    changes_seen: u64,
    down_since: Option<Instant>,
    out: Sender<Delivery>,
    control: Arc<Control>,
    progress: Arc<Progress>,
}

struct Part {
    partition: i32,
    next: i64,
    /// Where `-e` ends.
    end: Option<i64>,
    done: bool,
    check: Option<Witness>,
    batch: Batch,
}

/// Why the thread ends.
enum Stop {
    /// It was asked to, or nobody listens any more, or the end is reached.
    Quiet,
    Failed(BusError),
}

impl From<BusError> for Stop {
    fn from(e: BusError) -> Stop {
        Stop::Failed(e)
    }
}

impl Fetcher {
    pub fn new(
        settings: &Settings,
        options: Options,
        begins: Vec<Begin>,
        topic_partitions: i32,
        out: Sender<Delivery>,
        control: Arc<Control>,
        progress: Arc<Progress>,
    ) -> Fetcher {
        let mut index = vec![None; topic_partitions as usize];
        let mut parts = Vec::with_capacity(begins.len());
        for begin in begins {
            index[begin.partition as usize] = Some(parts.len());
            parts.push(Part::new(begin, options.until_end));
        }
        Fetcher {
            settings: settings.clone(),
            open: parts.iter().filter(|part| !part.done).count(),
            options,
            parts,
            index,
            touched: Vec::new(),
            gathered_messages: 0,
            gathered_bytes: 0,
            topic_partitions,
            changes_seen: 0,
            down_since: None,
            out,
            control,
            progress,
        }
    }

    /// Reads until told to stop, the end, or an error, which is the last delivery. Lets go of `alive` when there is nothing
    /// left to wait for.
    pub fn run(mut self, queue: &Queue, alive: &mut Option<Sender<()>>) {
        if let Err(Stop::Failed(e)) = self.read(queue)
            // What was read before the error is good, but for a topic made anew.
            && (queue.client().context().replaced() || self.flush(queue).is_ok())
        {
            let _ = self.send(queue, Err(e));
        }
        self.control.over.store(true, Release);
        // Whoever receives learns at once that nothing follows.
        self.out = bounded(0).0;
        self.last_commit(queue, alive);
    }

    /// What was read is committed when it is kept, which may be after its end: waits for the stop and sends the newest offsets.
    fn last_commit(&self, queue: &Queue, alive: &mut Option<Sender<()>>) {
        if self.settings.group().is_none() {
            return;
        }
        let all = self.list(self.parts.iter().map(|part| (part.partition, part.next)));
        let _ = queue.client().pause(&all);
        while !self.control.stop.load(Relaxed) {
            queue.client().poll(TICK);
        }
        let offsets = self.control.commit.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let watch = queue.client().context();
        let mut listen = || {
            if let Some(why) = watch.take_commit_failure() {
                *self.control.uncommitted.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(why);
            }
            if watch.commits_in_vain() {
                *alive = None;
            }
        };
        let list = self.list(offsets.into_iter().flatten());
        listen();
        if list.count() == 0 || watch.commits_in_vain() {
            return;
        }
        let client = queue.client();
        // A commit waits for a coordinator, which is not named to who may not read the group: that is heard beside it.
        std::thread::scope(|scope| {
            let commit = scope.spawn(|| client.commit(&list, CommitMode::Sync));
            while !commit.is_finished() {
                queue.client().poll(LISTEN);
                listen();
            }
            if let Ok(Err(e)) = commit.join() {
                watch.uncommitted(self.settings.mask(&e.to_string()));
            }
        });
        listen();
    }

    fn read(&mut self, queue: &Queue) -> Result<(), Stop> {
        loop {
            if self.control.stop.load(Relaxed) {
                return Err(Stop::Quiet);
            }
            self.serve(queue)?;
            self.tell_news(queue)?;
            self.commit_hint(queue);
            if self.options.until_end && self.open == 0 {
                self.flush(queue)?;
                self.send(queue, Ok(Event::End))?;
                return Ok(());
            }
            self.gather(queue)?;
        }
    }

    /// Takes what is there, waiting a moment for the first message, and hands it over.
    fn gather(&mut self, queue: &Queue) -> Result<(), Stop> {
        let mut wait = TICK;
        let mut lingered = self.options.linger.is_zero();
        let mut error = None;
        while error.is_none() && !self.is_full() {
            let mut taken = Ok(());
            let any = queue.take(wait, |message| {
                match message.read() {
                    Ok(read) => taken = self.take(message.partition(), &read),
                    Err(e) => error = Some(e),
                }
                if taken.is_err() || error.is_some() || self.is_full() {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            taken?;
            if any {
                wait = Duration::ZERO;
            } else if self.gathered_messages == 0 || lingered {
                break;
            } else {
                (wait, lingered) = (self.options.linger, true);
            }
        }
        // That the topic is another one is said before its first message comes, and perhaps only since we last listened.
        self.serve(queue)?;
        if let Some((e, reason)) = error {
            queue.client().context().error(e.clone(), &reason);
            self.on_error(queue, &e)?;
        }
        self.flush(queue)
    }

    /// Hears what is not about a partition.
    fn serve(&mut self, queue: &Queue) -> Result<(), Stop> {
        for _ in 0..queue.beside() {
            match queue.client().poll(Duration::ZERO) {
                None => {}
                Some(Err(e)) => self.on_error(queue, &e)?,
                Some(Ok(_)) => {
                    let why = "a message came beside the queue of its partition".into();
                    return Err(BusError::Client { doing: "read".into(), why }.into());
                }
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.gathered_messages >= self.options.batch_messages || self.gathered_bytes >= self.options.batch_bytes
    }

    /// Puts a message into its batch, unless it is only a witness or beyond the end.
    fn take(&mut self, partition: i32, message: &Message<'_>) -> Result<(), Stop> {
        let Some(Some(index)) = self.index.get(partition as usize).copied() else { return Ok(()) };
        let part = &mut self.parts[index];
        if let Some(witness) = part.check.take() {
            // Compaction may have removed it: then there is nothing to compare.
            if message.offset == witness.offset && Witness::of(message) != witness {
                return Err(self.replaced(index).into());
            }
        }
        if part.done || message.offset < part.next {
            return Ok(());
        }
        if part.end.is_none_or(|end| message.offset < end) {
            if part.batch.is_empty() {
                self.touched.push(index);
            }
            let before = part.batch.bytes();
            part.batch.push(message);
            part.next = message.offset + 1;
            self.gathered_messages += 1;
            self.gathered_bytes += part.batch.bytes() - before;
        }
        if self.parts[index].end.is_some_and(|end| message.offset + 1 >= end) {
            self.finish(index);
        }
        Ok(())
    }

    fn finish(&mut self, index: usize) {
        if !std::mem::replace(&mut self.parts[index].done, true) {
            self.open -= 1;
        }
    }

    /// The topic is another one than that whose last message was handed over.
    fn replaced(&self, index: usize) -> BusError {
        let partition = self.parts[index].partition;
        let lag = self.progress.lag();
        let position = lag.iter().find(|lag| lag.partition == partition).map_or(0, |lag| lag.position);
        BusError::Replaced { place: Place { topic: self.settings.topic().to_owned(), partition, offset: position - 1 } }
    }

    /// Hands over everything gathered, unless some of it may come from another topic.
    fn flush(&mut self, queue: &Queue) -> Result<(), Stop> {
        if queue.client().context().replaced() {
            let part = self.touched.first().copied().unwrap_or_default();
            self.touched.clear();
            return Err(self.replaced(part).into());
        }
        while let Some(index) = self.touched.pop() {
            let batch = self.parts[index].batch.take();
            let Some(next) = batch.next_offset() else { continue };
            self.send(queue, Ok(Event::Batch(batch)))?;
            self.progress.reached(index, next);
        }
        (self.gathered_messages, self.gathered_bytes) = (0, 0);
        Ok(())
    }

    /// Waits until the receiver has room.
    fn send(&mut self, queue: &Queue, delivery: Delivery) -> Result<(), Stop> {
        let began = Instant::now();
        let mut delivery = delivery;
        while began.elapsed() < PATIENCE {
            match self.offer(delivery)? {
                None => return Ok(()),
                Some(back) => delivery = back,
            }
        }
        self.send_paused(queue, delivery)
    }

    /// As `send`, with nothing fetched meanwhile.
    fn send_paused(&mut self, queue: &Queue, delivery: Delivery) -> Result<(), Stop> {
        let all = self.list(self.parts.iter().map(|part| (part.partition, part.next)));
        queue.client().pause(&all).map_err(|e| failed("pause", &self.settings, &e))?;
        let mut delivery = delivery;
        while let Some(back) = self.offer(delivery)? {
            delivery = back;
            self.serve(queue)?;
        }
        queue.client().resume(&all).map_err(|e| failed("resume", &self.settings, &e).into())
    }

    /// One try of a tick's length; gives the delivery back when there was no room.
    fn offer(&self, delivery: Delivery) -> Result<Option<Delivery>, Stop> {
        if self.control.stop.load(Relaxed) {
            return Err(Stop::Quiet);
        }
        match self.out.send_timeout(delivery, TICK) {
            Ok(()) => Ok(None),
            Err(SendTimeoutError::Timeout(back)) => Ok(Some(back)),
            Err(SendTimeoutError::Disconnected(_)) => Err(Stop::Quiet),
        }
    }

    /// Passes on what has changed about the brokers and the topic.
    fn tell_news(&mut self, queue: &Queue) -> Result<(), Stop> {
        let watch = queue.client().context();
        let now = watch.topic_partitions();
        if now != 0 && now != self.topic_partitions {
            let (topic, was) = (self.settings.topic().to_owned(), self.topic_partitions);
            return Err(BusError::PartitionsChanged { topic, was, now }.into());
        }
        let changes = watch.changes();
        if changes == self.changes_seen {
            return Ok(());
        }
        self.changes_seen = changes;
        if let Some(why) = watch.forbidden() {
            return Err(BusError::Forbidden { what: format!("read topic `{}`", self.settings.topic()), why }.into());
        }
        match (watch.link(), self.down_since) {
            (Link::Down { since, why }, None) => {
                self.down_since = Some(since);
                self.send(queue, Ok(Event::Down { why }))?;
            }
            (Link::Up, Some(since)) => {
                self.down_since = None;
                self.send(queue, Ok(Event::Back { after: since.elapsed() }))?;
            }
            _ => {}
        }
        match watch.take_commit_failure() {
            Some(why) => self.send(queue, Ok(Event::CommitFailed { why })),
            None => Ok(()),
        }
    }

    /// Sends the newest offsets to the group.
    fn commit_hint(&self, queue: &Queue) {
        let offsets = self.control.commit.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let list = self.list(offsets.into_iter().flatten());
        if list.count() > 0 {
            // What comes of it is heard by the `Watch`.
            let _ = queue.client().commit(&list, CommitMode::Async);
        }
    }

    fn list(&self, offsets: impl Iterator<Item = (i32, i64)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, next) in offsets {
            // Refused are negative offsets only, which nobody has reached.
            let _ = list.add_partition_offset(self.settings.topic(), partition, Offset::Offset(next));
        }
        list
    }

    fn on_error(&mut self, queue: &Queue, e: &KafkaError) -> Result<(), Stop> {
        if let KafkaError::PartitionEOF(partition) = e {
            return self.on_end(queue, *partition);
        }
        let watch = queue.client().context();
        match e.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation) => {
                Err(self.out_of_range(queue).into())
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                Err(missing(&self.settings).into())
            }
            // librdkafka would go on behind them.
            Some(Code::BadMessage | Code::InvalidMessage) => {
                let (topic, why) = (self.settings.topic().to_owned(), watch.reason(&e.to_string()));
                Err(BusError::Damaged { topic, why }.into())
            }
            // Told as news by `tell_news`, or of no concern without a group.
            Some(code) if passes(code) => Ok(()),
            _ => Err(BusError::Client { doing: "read".into(), why: watch.reason(&e.to_string()) }.into()),
        }
    }

    fn on_end(&mut self, queue: &Queue, partition: i32) -> Result<(), Stop> {
        let Some(Some(index)) = self.index.get(partition as usize).copied() else { return Ok(()) };
        self.flush(queue)?;
        self.progress.at_end(index);
        if self.options.until_end {
            self.finish(index);
        }
        Ok(())
    }

    /// librdkafka does not say which offset was refused, nor whether it was too old.
    fn out_of_range(&self, queue: &Queue) -> BusError {
        let watch = queue.client().context();
        let why = watch.reason("an offset is out of range");
        let topic = Topic {
            settings: &self.settings,
            watch,
            client: queue.client().client(),
            // Nothing may be taken from the queue here: it holds messages.
            pump: &|| {},
            deadline: Instant::now() + DIAGNOSIS,
            grace: UNKNOWN_GRACE,
        };
        for part in &self.parts {
            let within =
                topic.ends(part.partition).and_then(|(low, high)| topic.within(part.partition, part.next, low, high));
            if let Err(e) = within {
                return e;
            }
        }
        BusError::Truncated { topic: self.settings.topic().to_owned(), why }
    }
}

impl Part {
    fn new(begin: Begin, until_end: bool) -> Part {
        let first = begin.check.map_or(begin.next, |witness| witness.offset);
        Part {
            partition: begin.partition,
            next: begin.next,
            end: until_end.then_some(begin.high),
            done: until_end && first >= begin.high,
            check: begin.check,
            batch: Batch::new(begin.partition),
        }
    }
}

/// Whether librdkafka goes on by itself after this, without having skipped anything.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::Retry
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::GroupAuthorizationFailed
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::KafkaStorageError
            | Code::SSL
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}
