//! Publishing: patches into Redis by a thread of its own, each batch under a token.
//!
//! The token names the state that publishes, counts its batches, and says up to which
//! offsets every event shows in Redis. It changes in the transaction that writes a batch,
//! so a batch is in or it is not, and whoever lost data or a race finds another token.

use crate::patch::Patch;
use crate::store::redis::{Patience, Published, Redis};
use crate::store::{Error, Kind};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Patches in one transaction.
const BATCH: usize = 500;

/// What stands in Redis beside the profiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The state that publishes.
    pub state: String,
    /// Its batches so far.
    pub batch: u64,
    /// For each partition the offset up to which every event shows.
    pub reached: BTreeMap<i32, i64>,
}

impl Token {
    pub fn parse(text: &str) -> Option<Token> {
        serde_json::from_str(text).ok()
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data has a JSON form")
    }
}

/// Patches to publish, and the offsets that every event shows up to once they are in.
pub struct Order {
    pub patches: Vec<Patch>,
    pub reached: BTreeMap<i32, i64>,
    /// Takes the projection over whatever token is found: the first order, and the first after data was lost.
    pub claim: bool,
}

/// What became of an order.
pub enum Answer {
    /// All of it is in. Keys that Redis would not take, with the reason.
    Done {
        batches: u64,
        refused: Vec<String>,
    },
    /// Redis has lost data: everything has to be told again.
    Lost,
    /// Another state publishes under this name.
    Fenced,
    Failed(Error),
}

/// The publishing thread.
pub struct Publisher {
    orders: Option<Sender<Order>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Publisher {
    /// Publishes under the token `name` for the state `state`, whose batches so far were `batches`.
    /// With `hurry` set it does not wait for a Redis that is down.
    pub fn start(redis: Redis, name: String, state: String, batches: u64, hurry: Arc<AtomicBool>) -> Publisher {
        let (orders, inbox) = bounded::<Order>(1);
        let (outbox, answers) = bounded(1);
        let thread = std::thread::spawn(move || {
            let token = Token { state, batch: batches, reached: BTreeMap::new() };
            let mut work = Work { redis, name, token, expected: None, hurry };
            for order in inbox {
                if outbox.send(work.publish(order)).is_err() {
                    return;
                }
            }
        });
        Publisher { orders: Some(orders), answers, thread: Some(thread), busy: false }
    }

    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Hands an order over; only when not busy.
    pub fn order(&mut self, order: Order) {
        debug_assert!(!self.busy);
        self.busy = true;
        let orders = self.orders.as_ref().expect("it is taken only when dropped");
        orders.send(order).expect("the thread lives as long as the sender");
    }

    /// The answer to the last order, when it is there; waits up to `wait` for it.
    pub fn answer(&mut self, wait: Duration) -> Option<Answer> {
        if !self.busy {
            return None;
        }
        let answer = self.answers.recv_timeout(wait).ok()?;
        self.busy = false;
        Some(answer)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How long one try waits before the reason is looked at again.
pub const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(2), reply: Duration::from_secs(5), give_up: Duration::from_secs(8) };

struct Work {
    redis: Redis,
    name: String,
    token: Token,
    /// The token as it was last seen or written; `None`: not there.
    expected: Option<String>,
    hurry: Arc<AtomicBool>,
}

impl Work {
    fn publish(&mut self, order: Order) -> Answer {
        match self.try_publish(order) {
            Ok(answer) => answer,
            Err(e) => Answer::Failed(e),
        }
    }

    fn try_publish(&mut self, order: Order) -> Result<Answer, Error> {
        if order.claim {
            self.expected = self.patiently(|work| work.redis.token(&work.name))?;
        }
        let (mut batches, mut refused) = (0, Vec::new());
        let parts = order.patches.chunks(BATCH).len().max(1);
        for i in 0..parts {
            let part = order.patches.chunks(BATCH).nth(i).unwrap_or(&[]);
            self.token.batch += 1;
            if i + 1 == parts {
                self.token.reached = order.reached.clone();
            }
            let new = self.token.text();
            let published =
                self.patiently(|work| work.redis.apply_with_token(part, &work.name, work.expected.as_deref(), &new))?;
            match published {
                Published::Applied(written) => {
                    batches += 1;
                    refused.extend(written.refused.into_iter().map(|r| format!("{}: {}", r.key, r.why)));
                    self.expected = Some(new);
                }
                Published::Fenced { found } => return Ok(self.fenced(found)),
            }
        }
        Ok(Answer::Done { batches, refused })
    }

    /// Another token than expected: an older one of ours or none means that Redis lost data.
    fn fenced(&self, found: Option<String>) -> Answer {
        match found.as_deref().map(Token::parse) {
            None => Answer::Lost,
            Some(Some(token)) if token.state == self.token.state && token.batch < self.token.batch => Answer::Lost,
            Some(_) => Answer::Fenced,
        }
    }

    /// Tries until Redis answers, for as long as nobody wants to stop: the events wait in Kafka meanwhile.
    fn patiently<T>(&mut self, mut attempt: impl FnMut(&mut Work) -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match attempt(self) {
                Err(e) if e.kind == Kind::Unavailable && !self.hurry.load(Ordering::Relaxed) => {}
                done => return done,
            }
        }
    }
}
