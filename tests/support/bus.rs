//! What the tests of the bus share: how to read, what to expect, and what it costs.
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use adprof::bus::{
    Assignment, Batch, BusError, Consumer, Event, Options, Owned, Producer, Settings, StartOffsets, partition_of,
};

use crate::kafka;

/// Tests that hold the broker still or measure this process run alone.
pub static MACHINE: RwLock<()> = RwLock::new(());

pub fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub fn settings(broker: &str, topic: &str) -> Settings {
    Settings::new(broker, topic).expect("settings")
}

pub fn with(broker: &str, topic: &str, properties: &[&str]) -> Settings {
    let mut settings = settings(broker, topic);
    properties.iter().for_each(|property| settings.property(property).expect("property"));
    settings
}

pub fn all(from: StartOffsets) -> Options {
    Options::new(Assignment::All, from)
}

pub fn own(offsets: Vec<Owned>) -> StartOffsets {
    StartOffsets::Own { offsets, partitions: None }
}

pub fn at(partition: i32, next: i64) -> Owned {
    Owned { partition, next, witness: None }
}

pub type Read = BTreeMap<i32, Vec<(i64, Option<String>, Option<String>)>>;

pub fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8"))
}

pub fn keep(read: &mut Read, batch: &Batch) {
    assert!(!batch.is_empty());
    let messages = read.entry(batch.partition()).or_default();
    messages.extend(batch.messages().map(|m| (m.offset, text(m.key), text(m.payload))));
}

/// The next event of interest, or the error that ended it.
pub fn next(consumer: &Consumer) -> Result<Event, BusError> {
    let event = consumer.recv_timeout(Duration::from_secs(40))?;
    Ok(event.unwrap_or_else(|| panic!("nothing came; over: {}", consumer.is_over())))
}

pub fn read_to_end(consumer: &Consumer) -> Result<Read, BusError> {
    let mut read = Read::new();
    loop {
        match next(consumer)? {
            Event::Batch(batch) => keep(&mut read, &batch),
            Event::End => return Ok(read),
            other => panic!("unexpected: {other:?}"),
        }
    }
}

pub fn count(read: &Read) -> usize {
    read.values().map(Vec::len).sum()
}

/// The error that a start, or what follows it, ends with.
pub fn error_of(started: Result<Consumer, BusError>) -> BusError {
    let consumer = match started {
        Ok(consumer) => consumer,
        Err(e) => return e,
    };
    loop {
        match next(&consumer) {
            Ok(Event::End) => panic!("no error"),
            Ok(_) => {}
            Err(e) => {
                assert!(consumer.recv_timeout(Duration::from_secs(2)).expect("no second error").is_none());
                assert!(consumer.is_over());
                return e;
            }
        }
    }
}

pub fn send_all(producer: &mut Producer, messages: impl Iterator<Item = (String, String)>) {
    for (key, value) in messages {
        let sent = producer.send(Some(key.as_bytes()), value.as_bytes(), Duration::from_secs(30)).expect("sent");
        assert_eq!(sent, Some(producer.sent()));
    }
}

pub fn message(n: usize) -> (String, String) {
    (format!("u-{:03}", n * 7919 % 997), format!("{{\"n\":{n}}}"))
}

/// What each partition must hold after `message(0..n)`.
pub fn expected(n: usize, partitions: i32) -> Read {
    let mut expected = Read::new();
    for (key, value) in (0..n).map(message) {
        let messages = expected.entry(partition_of(key.as_bytes(), partitions)).or_default();
        messages.push((messages.len() as i64, Some(key), Some(value)));
    }
    expected
}

pub fn seed(broker: &str, topic: &str, n: usize) {
    let messages: Vec<_> = (0..n).map(message).collect();
    kafka::produce(broker, topic, messages.iter().map(|(k, v)| (Some(k.as_str()), Some(v.as_str()))));
}

/// User and system time of this process.
pub fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    Duration::from_millis(ticks * 10)
}

pub fn rss_mb() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).expect("resident").parse::<usize>().expect("pages") / 256
}
