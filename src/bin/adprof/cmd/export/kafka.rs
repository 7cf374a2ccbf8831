//! Exports into Kafka: a message for each member, its key the id, its value the line.

use super::{Count, Job};
use crate::given::{self, grouped};
use crate::kafka::at_brokers;
use crate::report::{self, Exit, Failure};
use adprof::bus::{BusError, Link, Producer, Settings};
use adprof::profiles::Profiles;
use anyhow::Result;
use std::time::{Duration, Instant};

/// How long a full queue is waited for at a time.
const ROOM: Duration = Duration::from_millis(100);

/// A topic, and how long to wait when it takes nothing.
pub struct Target {
    pub settings: Settings,
    pub patience: Duration,
}

pub fn to_topic(job: Job, profiles: &mut Profiles, target: &Target) -> Result<Count> {
    let settings = target.settings.clone().with_connect_wait(target.patience);
    let producer = Producer::new(&settings).map_err(given::of_bus)?;
    let mut delivery = Delivery { producer, settings, patience: target.patience, acked: 0, progress: Instant::now() };
    let (form, mut line) = (job.form, Vec::new());
    let count = job.audience.each(profiles, |row| {
        line.clear();
        form.push_line(row, &mut line);
        Ok(delivery.send(row.profile.key.text().as_bytes(), line.trim_ascii_end())?)
    })?;
    delivery.finish()?;
    let (n, topic) = (grouped(delivery.producer.acked()), delivery.settings.topic());
    report::say(format_args!("delivered {n} messages to topic {topic}"));
    Ok(count)
}

/// Messages on their way.
struct Delivery {
    producer: Producer,
    settings: Settings,
    patience: Duration,
    acked: u64,
    /// When Kafka last took something.
    progress: Instant,
}

impl Delivery {
    fn send(&mut self, key: &[u8], line: &[u8]) -> Result<(), Failure> {
        while self.producer.send(Some(key), line, ROOM).map_err(|e| self.failed(e))?.is_none() {
            self.check()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.progress = Instant::now();
        while !self.producer.flush(ROOM).map_err(|e| self.failed(e))? {
            self.check()?;
        }
        Ok(())
    }

    /// An error when Kafka has taken nothing for too long.
    fn check(&mut self) -> Result<(), Failure> {
        let acked = self.producer.acked();
        if acked > self.acked {
            (self.acked, self.progress) = (acked, Instant::now());
        }
        if self.progress.elapsed() < self.patience {
            return Ok(());
        }
        let why = match self.producer.link() {
            Link::Up => "it takes nothing".to_string(),
            Link::Down { why, .. } => why,
        };
        Err(self.told(Failure::new(Exit::Unavailable, at_brokers(&self.settings, &why))))
    }

    fn failed(&self, error: BusError) -> Failure {
        self.told(given::of_bus(error))
    }

    fn told(&self, failure: Failure) -> Failure {
        let (n, topic) = (grouped(self.producer.acked()), self.settings.topic());
        failure.hint(format!(
            "{n} messages are in topic {topic}; run it again: all are sent once more, under the same keys"
        ))
    }
}
