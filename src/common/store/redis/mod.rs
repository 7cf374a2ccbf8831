//! Profiles in Redis: one HASH a key, whose fields are the tags and nothing else.
//!
//! Values are absolute, so sending again after an unknown outcome is safe. Redis holds no
//! as-of: what is sent last stays, and the order is the sender's duty.
//!
//! One blocking connection of its own carries everything, so that a WATCH on it watches for
//! nobody else. Commands are written into one reused buffer, hundreds at a time.

mod cluster;
mod dial;
mod dump;
mod facts;
mod fault;
mod read;
mod resp;
mod sentinel;
mod set;
mod write;

pub use facts::Facts;
pub use read::{Fields, Scan};
pub use set::NewSet;
pub use write::{Encoded, Encoder, Published, Refused, Written};

use super::address::{Deployment, RedisUrl};
use super::error::Error;
use crate::key::{Key, Prefixes};
use ::redis::{Connection, Value};
use cluster::Cluster;
use dial::Dialer;
use fault::{Fault, Retry};
use std::sync::Arc;
use std::time::{Duration, Instant};
use write::{Queued, Watch};

/// How long to wait for Redis, each time in its own way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// For a connection to be made.
    pub connect: Duration,
    /// For one answer; a batch is sent again on a new connection after that.
    pub reply: Duration,
    /// From the first fault on, without progress: after that no new attempt is made.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { connect: Duration::from_secs(5), reply: Duration::from_secs(10), give_up: Duration::from_secs(30) }
    }
}

/// How often sentinels are asked by whoever writes.
const LOOK: Duration = Duration::from_secs(1);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A Redis server, reconnected to when needed.
pub struct Redis {
    url: RedisUrl,
    dialer: Dialer,
    names: Arc<Prefixes>,
    patience: Patience,
    link: Option<Link>,
    /// When sentinels were last asked whether the primary is still the same.
    looked: Instant,
    /// In place of the link, where there are several servers.
    cluster: Option<Box<Cluster>>,
}

/// One connection and what is known about it.
struct Link {
    connection: Connection,
    /// A token that the server watches for this connection.
    watch: Option<Watch>,
    /// What it has queued for a transaction that may never come.
    queued: Option<Queued>,
    names: Arc<Prefixes>,
    buffer: Vec<u8>,
}

impl Redis {
    /// Connects and says hello. A server that refuses is an error at once; one that is still loading is waited for.
    ///
    /// Errors: `Unavailable`, `Denied`, `Usage` for a cluster.
    pub fn connect(url: &RedisUrl, patience: Patience) -> Result<Redis, Error> {
        let dialer = Dialer::new(url)?;
        let (names, url) = (Arc::default(), url.clone());
        if url.deployment() == Deployment::Cluster {
            let cluster = Cluster::connect(dialer, patience).map_err(|fault| fault.into_error(&url))?;
            let dialer = Dialer::new(&url)?;
            return Ok(Redis {
                url,
                dialer,
                names,
                patience,
                link: None,
                looked: Instant::now(),
                cluster: Some(Box::new(cluster)),
            });
        }
        let mut redis = Redis { url, dialer, names, patience, link: None, looked: Instant::now(), cluster: None };
        redis.link = Some(redis.dial().map_err(|fault| fault.into_error(&redis.url))?);
        redis.ping()?;
        Ok(redis)
    }

    /// The same, with the names that definitions ask for.
    pub fn with_names(mut self, names: Prefixes) -> Redis {
        self.names = Arc::new(names);
        self.link.iter_mut().for_each(|link| link.names = self.names.clone());
        self
    }

    /// The name of a key's HASH.
    pub fn name(&self, key: &Key) -> String {
        self.names.name(key)
    }

    /// Patches that are best published together: in a cluster each slot costs a step of its own.
    pub fn batch(&self) -> usize {
        if self.cluster.is_some() { 10_000 } else { 500 }
    }

    /// The address, which prints without its password.
    pub fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Asks for an answer.
    pub fn ping(&mut self) -> Result<(), Error> {
        if self.cluster.is_some() {
            return self.in_cluster(|cluster, _| cluster.places().map(|_| ()));
        }
        self.patiently(|link| {
            resp::command(&mut link.buffer, &[b"PING"]);
            link.send()?;
            link.receive().map(|_| ())
        })
    }

    /// Drops the connection to a server that the sentinels do not call the primary any more.
    fn look_for_another(&mut self) {
        if self.dialer.has_sentinels() && self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if self.dialer.is_outdated(self.patience) {
                self.link = None;
            }
        }
    }

    /// Does `work` with the cluster that there is, once more after faults that may pass, until it is done or patience ends.
    fn in_cluster<T>(&mut self, mut work: impl FnMut(&mut Cluster, &Prefixes) -> Result<T, Fault>) -> Result<T, Error> {
        let cluster = self.cluster.as_mut().expect("asked for by those who know that it is one");
        let mut patience = Waiting::new(self.patience);
        loop {
            match work(cluster, &self.names) {
                Ok(done) => return Ok(done),
                Err(fault) => patience.wait(fault).map_err(|fault| fault.into_error(&self.url))?,
            }
        }
    }

    /// Does `work`, on new connections after faults that may pass, until it is done or patience ends.
    fn patiently<T>(&mut self, mut work: impl FnMut(&mut Link) -> Result<T, Fault>) -> Result<T, Error> {
        self.on_link(|link| {
            link.discard()?;
            work(link)
        })
    }

    /// The same, with what the server may have queued.
    fn on_link<T>(&mut self, mut work: impl FnMut(&mut Link) -> Result<T, Fault>) -> Result<T, Error> {
        let mut patience = Waiting::new(self.patience);
        loop {
            let link = match self.link.take() {
                Some(link) => Ok(link),
                None => self.dial(),
            };
            let fault = match link.and_then(|mut link| work(&mut link).map(|done| (done, link))) {
                Ok((done, link)) => {
                    self.link = Some(link);
                    return Ok(done);
                }
                // The link is dropped: answers may still be on their way in it.
                Err(fault) => fault,
            };
            patience.wait(fault).map_err(|fault| fault.into_error(&self.url))?;
        }
    }

    fn dial(&self) -> Result<Link, Fault> {
        let mut link = self.dialer.dial(self.patience)?;
        link.names = self.names.clone();
        Ok(link)
    }
}

/// The pauses between attempts, until patience ends.
struct Waiting {
    give_up: Duration,
    deadline: Option<Instant>,
    pause: Duration,
}

impl Waiting {
    fn new(patience: Patience) -> Waiting {
        Waiting { give_up: patience.give_up, deadline: None, pause: PAUSE_FIRST }
    }

    /// Waits before the next attempt; the fault itself when there is none.
    fn wait(&mut self, fault: Fault) -> Result<(), Fault> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.give_up);
        if fault.retry == Retry::Never || Instant::now() + self.pause > deadline {
            return Err(fault);
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    /// There was progress: patience begins anew.
    fn again(&mut self) {
        (self.deadline, self.pause) = (None, PAUSE_FIRST);
    }
}

impl Link {
    fn new(connection: Connection) -> Link {
        Link { connection, watch: None, queued: None, names: Arc::default(), buffer: Vec::new() }
    }

    /// Sends what stands in the buffer and empties it.
    fn send(&mut self) -> Result<(), Fault> {
        let sent = self.connection.send_packed_command(&self.buffer);
        self.buffer.clear();
        Ok(sent?)
    }

    /// The next answer; an error of the server is a fault.
    fn receive(&mut self) -> Result<Value, Fault> {
        match self.receive_any()? {
            Value::ServerError(error) => Err(Fault::of_server(&error)),
            value => Ok(value),
        }
    }

    /// The next answer, an error of the server too.
    fn receive_any(&mut self) -> Result<Value, Fault> {
        loop {
            match self.connection.recv_response()? {
                Value::Push { .. } => {}
                value => return Ok(value),
            }
        }
    }
}
