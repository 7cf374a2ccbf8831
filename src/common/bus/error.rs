//! What can go wrong between adprof and Kafka: what, where, why, and the way out.
//!
//! Each error has a stable code word, the class that decides the exit code, and, where
//! there is one, a hint. No text in here holds a secret: reasons are masked before.

use std::fmt;
use std::path::PathBuf;

use super::secure;

/// A place in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic `{}` partition {} offset {}", self.topic, self.partition, self.offset)
    }
}

/// Kinds of failure by what a user has to do next; each has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A flag or a property is wrong.
    Usage,
    /// There is no such topic or partition.
    NoInput,
    /// What should be read next is no longer there: a person must choose the repair.
    DataGone,
    /// Kafka does not answer: the same command may work later.
    Unavailable,
    /// The client library says what should not be possible.
    Internal,
    /// A file of ours cannot be read or written.
    Io,
    /// Kafka refuses us.
    NotAllowed,
}

impl Class {
    /// The exit code of a command that ends with this.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Usage => 2,
            Class::NoInput | Class::DataGone => 66,
            Class::Unavailable => 69,
            Class::Internal => 70,
            Class::Io => 74,
            Class::NotAllowed => 77,
        }
    }
}

/// Why the bus stopped.
#[derive(Debug)]
pub enum BusError {
    /// A setting that cannot be used as given. `what` names it with its origin.
    Setting { what: String, why: String, hint: Option<String> },
    /// No broker answered in time.
    Unavailable { brokers: String, doing: String, why: String },
    /// The brokers refuse: wrong credentials or no right to the topic.
    Forbidden { what: String, why: String },
    /// The topic does not exist (any more).
    TopicMissing { topic: String, brokers: String },
    /// A partition was asked for that the topic does not have.
    PartitionMissing { topic: String, partition: i32, partitions: i32 },
    /// The topic has another number of partitions than when reading began.
    PartitionsChanged { topic: String, was: i32, now: i32 },
    /// Retention overtook the reader: the oldest message left is at `oldest`.
    OffsetGone { place: Place, oldest: i64 },
    /// The log ends before the place that was reached: recreated shorter, or truncated.
    OffsetAhead { place: Place, end: i64 },
    /// Another message stands where one was read before: the topic was recreated.
    Replaced { place: Place },
    /// The log was cut below the place that was reached, as the brokers' leader epochs tell.
    Truncated { topic: String, why: String },
    /// What arrived is not what its checksum says. Nothing of it was handed over.
    Damaged { topic: String, why: String },
    /// A message cannot be delivered, now or later. Nothing after it is counted as acknowledged.
    Undeliverable { topic: String, sequence: u64, why: String },
    /// The client library failed.
    Client { doing: String, why: String },
    /// A file could not be read or written.
    File { path: PathBuf, doing: &'static str, why: String },
    /// A position file that holds something else.
    BadPosition { path: PathBuf, why: String },
}

impl BusError {
    /// The class, and by it the exit code.
    pub fn class(&self) -> Class {
        match self {
            BusError::Setting { .. } | BusError::PartitionMissing { .. } => Class::Usage,
            BusError::Unavailable { .. } => Class::Unavailable,
            BusError::Forbidden { .. } => Class::NotAllowed,
            BusError::TopicMissing { .. } => Class::NoInput,
            BusError::PartitionsChanged { .. }
            | BusError::OffsetGone { .. }
            | BusError::OffsetAhead { .. }
            | BusError::Replaced { .. }
            | BusError::Truncated { .. } => Class::DataGone,
            BusError::Undeliverable { .. } | BusError::Client { .. } => Class::Internal,
            BusError::Damaged { .. } | BusError::File { .. } | BusError::BadPosition { .. } => Class::Io,
        }
    }

    /// A stable word for scripts and logs.
    pub fn code(&self) -> &'static str {
        match self {
            BusError::Setting { .. } => "BAD_SETTING",
            BusError::Unavailable { .. } => "KAFKA_UNAVAILABLE",
            BusError::Forbidden { .. } => "KAFKA_FORBIDDEN",
            BusError::TopicMissing { .. } => "TOPIC_MISSING",
            BusError::PartitionMissing { .. } => "PARTITION_MISSING",
            BusError::PartitionsChanged { .. } => "PARTITIONS_CHANGED",
            BusError::OffsetGone { .. } => "OFFSET_GONE",
            BusError::OffsetAhead { .. } => "OFFSET_AHEAD",
            BusError::Replaced { .. } => "TOPIC_REPLACED",
            BusError::Truncated { .. } => "LOG_TRUNCATED",
            BusError::Damaged { .. } => "MESSAGE_DAMAGED",
            BusError::Undeliverable { .. } => "UNDELIVERABLE",
            BusError::Client { .. } => "KAFKA_CLIENT",
            BusError::File { .. } => "FILE",
            BusError::BadPosition { .. } => "BAD_POSITION",
        }
    }

    /// The next step, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            BusError::Setting { hint, .. } => return hint.clone(),
            BusError::Unavailable { brokers, why, .. } => match secure::hint_for_silence(why) {
                Some(hint) => hint.into(),
                None => format!("is the broker running, and is `-b {brokers}` its advertised address?"),
            },
            BusError::Forbidden { why, .. } => secure::hint_for_refusal(why).into(),
            BusError::TopicMissing { topic, .. } => {
                format!("create it, or look for its name: kcat -L -b BROKER | grep {topic}")
            }
            BusError::PartitionMissing { partitions, .. } => format!("it has partitions 0-{}", partitions - 1),
            BusError::PartitionsChanged { .. } => {
                "keys moved to other partitions: begin a new state at the beginning of the topic".into()
            }
            BusError::OffsetGone { .. } => {
                "messages were deleted unread: rebuild the state from the log, and give the topic a longer retention"
                    .into()
            }
            BusError::OffsetAhead { .. } | BusError::Replaced { .. } | BusError::Truncated { .. } => {
                "the topic was recreated or lost its tail: rebuild the state from the log or from the topic's beginning"
                    .into()
            }
            BusError::Damaged { .. } => {
                "start it again: the messages are read anew; if they fail again the broker's copy is damaged".into()
            }
            BusError::BadPosition { .. } => {
                "remove it to send everything again: readers drop the events they have already seen".into()
            }
            BusError::Undeliverable { .. } | BusError::Client { .. } | BusError::File { .. } => return None,
        };
        Some(hint)
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BusError::Setting { what, why, .. } => write!(f, "{what}: {why}"),
            BusError::Unavailable { brokers, doing, why } => write!(f, "kafka at {brokers}: {doing}: {why}"),
            BusError::Forbidden { what, why } => write!(f, "not allowed to {what}: {why}"),
            BusError::TopicMissing { topic, brokers } => write!(f, "kafka at {brokers} has no topic: {topic}"),
            BusError::PartitionMissing { topic, partition, partitions } => {
                write!(f, "topic `{topic}` has {partitions} partitions, and no partition: {partition}")
            }
            BusError::PartitionsChanged { topic, was, now } => {
                write!(f, "topic `{topic}` had {was} partitions when reading began, and has now: {now}")
            }
            BusError::OffsetGone { place, oldest } => {
                write!(f, "{place} is gone, retention overtook it; the oldest message left is at: {oldest}")
            }
            BusError::OffsetAhead { place, end } => write!(f, "{place} is past the end of the partition: {end}"),
            BusError::Replaced { place } => {
                write!(f, "{place} holds another message than the one read there: the topic was made anew")
            }
            BusError::Truncated { topic, why } => write!(f, "topic `{topic}` lost messages that had been read: {why}"),
            BusError::Damaged { topic, why } => write!(f, "messages of topic `{topic}` arrived damaged: {why}"),
            BusError::Undeliverable { topic, sequence, why } => {
                write!(f, "message {sequence} cannot be sent to topic `{topic}`: {why}")
            }
            BusError::Client { doing, why } => write!(f, "kafka client: {doing}: {why}"),
            BusError::File { path, doing, why } => write!(f, "cannot {doing} `{}`: {why}", path.display()),
            BusError::BadPosition { path, why } => {
                write!(f, "`{}` is not a position file: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for BusError {}
