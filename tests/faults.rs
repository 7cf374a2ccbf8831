//! Faults that adprof has to survive, row by row of docs/reliability.md: real processes, real Redis and Kafka, a proxy of
//! the tests' own. Heavy ones are ignored here and run by `scripts/faults.sh`, which names the tests of each row.

#[path = "support/kafka.rs"]
mod kafka;
mod streams;
mod support;

#[path = "faults/ledger.rs"]
mod ledger;
#[path = "faults/broker.rs"]
mod broker;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/kills.rs"]
mod kills;
#[path = "faults/link.rs"]
mod link;
#[path = "faults/load.rs"]
mod load;
#[path = "faults/proxy.rs"]
mod proxy;
#[path = "faults/stores.rs"]
mod stores;
#[path = "faults/time.rs"]
mod time;
#[path = "faults/world.rs"]
mod world;
