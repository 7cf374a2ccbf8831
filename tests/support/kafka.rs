//! A real Kafka for tests: topics with names of their own, lines into them, and faults.
//!
//! The broker is named by `ADPROF_TEST_KAFKA=host:port`. Without it a test says that it
//! was skipped, or fails when `ADPROF_REQUIRE_SERVERS=1`.
#![allow(dead_code)] // each test file uses its part

use std::future::Future;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

/// The broker to test with.
pub fn broker() -> Option<String> {
    let broker = std::env::var("ADPROF_TEST_KAFKA").ok().filter(|broker| !broker.is_empty());
    if broker.is_none() {
        let required = std::env::var("ADPROF_REQUIRE_SERVERS").is_ok_and(|v| !v.is_empty() && v != "0");
        assert!(!required, "ADPROF_REQUIRE_SERVERS is set and ADPROF_TEST_KAFKA is not");
        eprintln!("skipped: no Kafka; ADPROF_TEST_KAFKA=host:port names one");
    }
    broker
}

/// A topic name that no other test and no earlier run has.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    format!("{name}-{}-{now}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Makes a topic with a name that begins with `name`, and returns its whole name.
pub fn create_topic(broker: &str, name: &str, partitions: i32) -> String {
    let topic = unique(name);
    create_exactly(broker, &topic, partitions);
    topic
}

/// Makes the topic `topic`; after a deletion it waits until the name is free.
pub fn create_exactly(broker: &str, topic: &str, partitions: i32) {
    for _ in 0..100 {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        match block_on(admin(broker).create_topics([&new], &options())).expect("answered").pop() {
            Some(Ok(_)) => return,
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => pause(50),
            other => panic!("topic {topic} was not made: {other:?}"),
        }
    }
    panic!("topic {topic} is still there");
}

/// Removes a topic and waits until it is gone.
pub fn delete_topic(broker: &str, topic: &str) {
    for result in block_on(admin(broker).delete_topics(&[topic], &options())).expect("answered") {
        result.expect("deleted");
    }
}

/// Gives a topic more partitions.
pub fn grow(broker: &str, topic: &str, partitions: usize) {
    let new = NewPartitions::new(topic, partitions);
    for result in block_on(admin(broker).create_partitions([&new], &options())).expect("answered") {
        result.expect("grown");
    }
}

/// Removes the messages of one partition below `offset`, as retention does.
pub fn delete_before(broker: &str, topic: &str, partition: i32, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("added");
    block_on(admin(broker).delete_records(&list, &options())).expect("deleted");
}

/// Sends (key, value) pairs as Java would place them, and waits until all have arrived.
/// A key or value of `None` is Kafka's null.
pub fn produce<'a>(broker: &str, topic: &str, messages: impl IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>) {
    let producer = producer(broker);
    for (key, value) in messages {
        let mut record = BaseRecord::<str, str>::to(topic);
        (record.key, record.payload) = (key, value);
        send(&producer, record);
    }
    producer.flush(Duration::from_secs(30)).expect("all arrived");
}

/// Sends lines without a key.
pub fn produce_lines(broker: &str, topic: &str, lines: &str) {
    produce(broker, topic, lines.lines().map(|line| (None, Some(line))));
}

fn send(producer: &BaseProducer, mut record: BaseRecord<'_, str, str>) {
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((e, back)) if e.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                producer.poll(Duration::from_millis(10));
                record = back;
            }
            Err((e, _)) => panic!("not sent: {e}"),
        }
    }
}

/// A plain client of the library, to check ours against.
pub fn config(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker);
    config
}

fn producer(broker: &str) -> BaseProducer {
    let mut config = config(broker);
    config.set("partitioner", "murmur2_random").set("enable.idempotence", "true").set("linger.ms", "5");
    config.create().expect("producer")
}

fn admin(broker: &str) -> AdminClient<DefaultClientContext> {
    config(broker).create().expect("admin client")
}

fn options() -> AdminOptions {
    let wait = Some(Duration::from_secs(20));
    AdminOptions::new().operation_timeout(wait).request_timeout(wait)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
}

pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// The broker's process, to be stopped for a while.
pub struct BrokerProcess {
    pid: u32,
}

impl BrokerProcess {
    /// The process that listens on the broker's port on this machine (Linux).
    pub fn find(broker: &str) -> Option<BrokerProcess> {
        let port: u16 = broker.rsplit(':').next()?.parse().ok()?;
        let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| listener(table, port))?;
        let socket = format!("socket:[{inode}]");
        let pids = std::fs::read_dir("/proc").ok()?.flatten();
        let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let pid = pids.find(|pid| {
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|to| to.as_os_str() == socket.as_str())
        })?;
        Some(BrokerProcess { pid })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Holds the broker still until the guard is dropped.
    pub fn hold(&self) -> Held<'_> {
        self.signal("-STOP");
        Held(self)
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid.to_string()]).status().expect("kill runs");
        assert!(status.success(), "kill {signal} {}", self.pid);
    }
}

/// While it lives the broker stands still.
pub struct Held<'a>(&'a BrokerProcess);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.signal("-CONT");
    }
}

/// The inode of the socket that listens on `port`, from a table of the kernel.
fn listener(table: &str, port: u16) -> Option<String> {
    let text = std::fs::read_to_string(table).ok()?;
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
        (local == port && fields.get(3) == Some(&"0A")).then(|| fields.get(9).map(|inode| inode.to_string()))?
    })
}

/// Sets settings of a topic; those set before and not named here go back to their defaults.
pub fn alter(broker: &str, topic: &str, settings: &[(&str, &str)]) {
    use rdkafka::admin::{AlterConfig, ResourceSpecifier};
    let change = settings
        .iter()
        .fold(AlterConfig::new(ResourceSpecifier::Topic(topic)), |all, (name, value)| all.set(name, value));
    for result in block_on(admin(broker).alter_configs([&change], &options())).expect("answered") {
        result.expect("altered");
    }
}
