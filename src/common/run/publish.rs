//! Publishing: patches into Redis by a thread of its own, each batch under a token.
//!
//! The token names the state that publishes, counts its batches, and says up to which
//! offsets events may show in Redis. It changes in the transaction that writes a batch,
//! so a batch is in or it is not, and whoever lost data or a race finds another token.

use crate::forgotten::Forgotten;
use crate::key::{Key, SEGMENTS};
use crate::patch::Patch;
use crate::store::redis::{Patience, Published, Redis};
use crate::store::{Error, Kind};
use crate::tag::Definitions;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// For each partition an offset.
pub type Offsets = BTreeMap<i32, i64>;

/// What stands in Redis beside the profiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The state that publishes.
    pub state: String,
    /// How often it had to publish everything. A state that knows of fewer does not know what Redis lacks.
    #[serde(default)]
    pub round: u64,
    /// Its batches so far.
    pub batch: u64,
    /// In a cluster, how often it was claimed by anybody: what the tokens of its slots begin with. 0 elsewhere.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub claim: u64,
    /// Signs of life since: they carry nothing, so that losing them loses nothing.
    #[serde(default)]
    pub beat: u64,
    /// Its writer has stopped in good order: whoever stands by need not wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// For each partition the offset below which every event that shows lies: published anew from an
    /// earlier one, a profile would go backwards.
    pub reached: Offsets,
}

fn is_zero(claim: &u64) -> bool {
    *claim == 0
}

impl Token {
    pub fn parse(text: &str) -> Option<Token> {
        serde_json::from_str(text).ok()
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data has a JSON form")
    }

    /// Whether `ours`, which was written after it, has nothing more in it but signs of life.
    fn lacks_only_signs_of(&self, ours: &Token) -> bool {
        (&self.state, self.round, self.batch) == (&ours.state, ours.round, ours.batch) && self.beat < ours.beat
    }

    /// Whether Redis holds all that `known`, read from a checkpoint, says was published.
    fn continues(&self, known: &Token) -> bool {
        self.state == known.state && self.round == known.round && self.batch >= known.batch
    }
}

/// What to do next.
pub enum Order {
    /// Take the projection over: whatever token is found, or `only` while this one stands there.
    Claim { reached: Offsets, only: Option<Option<String>> },
    /// Write these patches, made when the input was read up to `reached`.
    Patches { patches: Arc<Vec<Patch>>, reached: Offsets },
    /// Give a sign of life, or with `left` the last one; so it is seen whether the token still stands.
    Beat { reached: Offsets, left: bool },
    /// Read the token, which is another's.
    Watch,
    /// Name the keys of these entities that stand there, given with the number of their parts.
    Sweep { entities: Vec<(String, usize)> },
    /// Delete the profiles of forgotten users that stand there, with what others have put into them.
    Purge { forgotten: Arc<Forgotten>, definitions: Arc<Definitions> },
}

/// What became of an order.
pub enum Answer {
    /// The projection is ours. `found` stood there before; `sound`: nothing is missing but what the state knows of.
    Claimed {
        token: Token,
        found: Option<Token>,
        sound: bool,
    },
    /// All of it is in. Keys that Redis would not take, with the reason.
    Done {
        batch: u64,
        refused: Vec<(String, String)>,
    },
    Swept {
        keys: Vec<Key>,
    },
    /// These stood there, and do no longer.
    Purged {
        keys: Vec<Key>,
    },
    /// The token as it stands there.
    Seen {
        text: Option<String>,
    },
    /// Redis has lost data: it has to be claimed again.
    Lost,
    /// Another state publishes under this name.
    Fenced,
    Failed(Error),
    /// Redis cannot be reached; the order's answer is still to come.
    Down {
        why: String,
    },
    /// It can be again.
    Back {
        after: Duration,
    },
}

/// The publishing thread.
pub struct Publisher {
    orders: Option<Sender<Order>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
    hurry: Arc<AtomicBool>,
}

impl Publisher {
    /// Publishes under the name `name`, going on from `known`: what the state's checkpoint says of its token.
    pub fn start(redis: Redis, name: String, known: Token) -> Publisher {
        let (orders, inbox) = bounded::<Order>(1);
        let (outbox, answers) = unbounded();
        let hurry = Arc::new(AtomicBool::new(false));
        let mut work =
            Work { redis, name, token: known, expected: None, as_new: false, hurry: hurry.clone(), outbox, down: None };
        let thread = std::thread::spawn(move || {
            for order in inbox {
                let answer = work.follow(order);
                if work.outbox.send(answer).is_err() {
                    return;
                }
            }
        });
        Publisher { orders: Some(orders), answers, thread: Some(thread), busy: false, hurry }
    }

    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// From now on a Redis that is down is not waited for: the order fails.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Hands an order over; only when not busy.
    pub fn order(&mut self, order: Order) {
        debug_assert!(!self.busy);
        self.busy = true;
        let orders = self.orders.as_ref().expect("it is taken only when dropped");
        orders.send(order).expect("the thread lives as long as the sender");
    }

    pub fn answers(&self) -> &Receiver<Answer> {
        &self.answers
    }

    /// The next answer, when it is there; waits up to `wait` for it.
    pub fn answer(&mut self, wait: Duration) -> Option<Answer> {
        if !self.busy {
            return None;
        }
        let answer = self.answers.recv_timeout(wait).ok()?;
        self.busy = matches!(answer, Answer::Down { .. } | Answer::Back { .. });
        Some(answer)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.hurry();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How long one try waits before the reason is told and the wish to stop is looked at.
pub const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(2), reply: Duration::from_secs(5), give_up: Duration::from_secs(2) };
const PAUSE: Duration = Duration::from_millis(200);

struct Work {
    redis: Redis,
    name: String,
    token: Token,
    /// The token as it was last written.
    expected: Option<String>,
    /// Whether what is written is mostly not there, and Redis takes it in the form for that.
    as_new: bool,
    hurry: Arc<AtomicBool>,
    outbox: Sender<Answer>,
    /// Since when Redis cannot be reached.
    down: Option<Instant>,
}

impl Work {
    fn follow(&mut self, order: Order) -> Answer {
        let answer = match order {
            Order::Claim { reached, only } => self.claim(&reached, only.as_ref()),
            Order::Patches { patches, reached } => self.publish(&patches, &reached),
            Order::Beat { reached, left } => self.beat(&reached, left),
            Order::Watch => self.patiently(|work| work.redis.token(&work.name)).map(|text| Answer::Seen { text }),
            Order::Sweep { entities } => self.sweep(&entities),
            Order::Purge { forgotten, definitions } => self.purge(&forgotten, &definitions),
        };
        answer.unwrap_or_else(Answer::Failed)
    }

    /// Puts our token in the place of whatever stands there; tries again while another writer is faster.
    /// In the place of `only` this one it does not: then the other has it.
    fn claim(&mut self, reached: &Offsets, only: Option<&Option<String>>) -> Result<Answer, Error> {
        loop {
            let text = self.patiently(|work| work.redis.token(&work.name))?;
            if only.is_some_and(|only| *only != text) {
                return Ok(Answer::Fenced);
            }
            let found = text.as_deref().and_then(Token::parse);
            let newest = self.patiently(|work| work.redis.newest_claim(&work.name))?;
            // What the slots of a cluster held is known only while they are held.
            let sound = newest.is_none() && found.as_ref().is_some_and(|found| found.continues(&self.token));
            let mut new = self.token.clone();
            new.claim = newest.map_or(0, |newest| newest.max(found.as_ref().map_or(0, |found| found.claim)) + 1);
            if let Some(ours) = found.as_ref().filter(|found| found.state == new.state) {
                (new.round, new.batch) = (new.round.max(ours.round), new.batch.max(ours.batch));
            }
            new.batch += 1;
            (new.beat, new.left) = (0, false);
            new.round += u64::from(!sound);
            new.reached = reached.clone();
            for (partition, offset) in found.iter().flat_map(|found| &found.reached) {
                let ahead = new.reached.entry(*partition).or_insert(*offset);
                *ahead = (*ahead).max(*offset);
            }
            let new_text = new.text();
            let put =
                self.patiently(|work| work.redis.apply_with_token(&[], &work.name, text.as_deref(), &new_text))?;
            // Its own text found there: an attempt whose answer was lost had been applied.
            let is_ours = match put {
                Published::Applied(_) => true,
                Published::Fenced { found } => found.as_ref() == Some(&new_text),
                Published::Lost => false,
            };
            if is_ours {
                if !self.patiently(|work| work.redis.hold(&work.name, new.claim, &new.state))? {
                    return Ok(Answer::Fenced);
                }
                // Where there is no token there is mostly nothing.
                self.as_new = text.is_none() && self.patiently(|work| work.redis.takes_new(&work.name))?;
                (self.token, self.expected) = (new.clone(), Some(new_text));
                return Ok(Answer::Claimed { token: new, found, sound });
            }
        }
    }

    fn publish(&mut self, patches: &[Patch], reached: &Offsets) -> Result<Answer, Error> {
        self.token.reached = reached.clone();
        let (mut refused, mut again) = (Vec::new(), Vec::new());
        let mut outcome = self.write(patches, self.as_new, &mut refused, &mut again)?;
        // Each of those is written twice: that pays while most are new.
        self.as_new &= again.len() * 2 <= patches.len();
        if outcome.is_none() && !again.is_empty() {
            outcome = self.write(&again, false, &mut refused, &mut Vec::new())?;
        }
        Ok(outcome.unwrap_or(Answer::Done { batch: self.token.batch, refused }))
    }

    /// Writes patches of keys that are each there once, part by part. `again`: those that are to be written once more, since
    /// they were taken for new. Gives the answer when that was not all.
    fn write(
        &mut self,
        patches: &[Patch],
        as_new: bool,
        refused: &mut Vec<(String, String)>,
        again: &mut Vec<Patch>,
    ) -> Result<Option<Answer>, Error> {
        let encoder = self.redis.encoder(as_new);
        let mut parts = patches.chunks(self.redis.batch());
        let mut ahead = None;
        while let Some(part) = parts.next() {
            let encode = |part: &[Patch]| encoder.as_ref().map(|encoder| Arc::new(encoder.encode(part)));
            let encoded = ahead.take().or_else(|| encode(part));
            // While Redis takes this part the next one is encoded.
            let mut next = || {
                ahead = ahead.take().or_else(|| parts.clone().next().and_then(encode));
                ahead.clone()
            };
            loop {
                let before = self.token.clone();
                (self.token.batch, self.token.beat) = (before.batch + 1, 0);
                let new = self.token.text();
                let published = self.patiently(|work| {
                    let (name, expected) = (&work.name, work.expected.as_deref());
                    match &encoded {
                        Some(encoded) => work.redis.apply_encoded(part, encoded, name, expected, &new, &mut next),
                        None => work.redis.apply_with_token(part, name, expected, &new),
                    }
                })?;
                match published {
                    Published::Applied(written) => {
                        refused.extend(written.refused.into_iter().map(|r| (self.redis.name(&r.key), r.why)));
                        again.extend(written.again.into_iter().map(|place| part[place].clone()));
                        self.expected = Some(new);
                        break;
                    }
                    // An attempt that was given up had been applied: once more, to hear what was refused.
                    Published::Fenced { found } if found.as_ref() == Some(&new) => self.expected = Some(new),
                    Published::Fenced { found } if lost_only_signs(found.as_deref(), &before) => self.expected = found,
                    Published::Fenced { found } => return Ok(Some(self.fenced(found.as_deref()))),
                    Published::Lost => return Ok(Some(Answer::Lost)),
                }
            }
        }
        Ok(None)
    }

    fn beat(&mut self, reached: &Offsets, left: bool) -> Result<Answer, Error> {
        self.token.reached = reached.clone();
        self.token.left = left;
        loop {
            let before = self.token.clone();
            self.token.beat += 1;
            let new = self.token.text();
            let put =
                self.patiently(|work| work.redis.apply_with_token(&[], &work.name, work.expected.as_deref(), &new))?;
            match put {
                Published::Applied(_) => self.expected = Some(new),
                Published::Fenced { found } if found.as_ref() == Some(&new) => self.expected = found,
                Published::Fenced { found } if lost_only_signs(found.as_deref(), &before) => {
                    self.expected = found;
                    continue;
                }
                Published::Fenced { found } => return Ok(self.fenced(found.as_deref())),
                Published::Lost => return Ok(Answer::Lost),
            }
            return Ok(Answer::Done { batch: self.token.batch, refused: Vec::new() });
        }
    }

    fn sweep(&mut self, entities: &[(String, usize)]) -> Result<Answer, Error> {
        let mut keys = Vec::new();
        for (entity, parts) in entities {
            keys.extend(self.patiently(|work| {
                let scan = work.redis.scan("", entity, *parts);
                scan.map(|entry| entry.map(|(key, _)| key)).collect::<Result<Vec<Key>, Error>>()
            })?);
        }
        Ok(Answer::Swept { keys })
    }

    fn purge(&mut self, forgotten: &Forgotten, definitions: &Definitions) -> Result<Answer, Error> {
        let gone = |key: &Key| definitions.user_of(key).is_some_and(|user| forgotten.until(user.as_bytes()).is_some());
        let mut keys = Vec::new();
        for entity in definitions.entities.iter().filter(|entity| !entity.is_shared()) {
            keys.extend(self.patiently(|work| work.redis.delete_all(&entity.name, entity.width(), &gone))?);
        }
        let gone = |key: &Key| forgotten.until(key.id().as_bytes()).is_some();
        let of = self.patiently(|work| work.redis.delete_all(SEGMENTS, 1, &gone))?;
        keys.extend(of.iter().map(|key| Key::user("", key.id())));
        Ok(Answer::Purged { keys })
    }

    /// Another token than expected: an older one of ours or none means that Redis lost data.
    fn fenced(&self, found: Option<&str>) -> Answer {
        match found.map(Token::parse) {
            None => Answer::Lost,
            Some(Some(token)) if token.state == self.token.state && token.batch < self.token.batch => Answer::Lost,
            Some(_) => Answer::Fenced,
        }
    }

    /// Tries until Redis answers, for as long as nobody wants to stop: the events wait in Kafka meanwhile.
    fn patiently<T>(&mut self, mut attempt: impl FnMut(&mut Work) -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match attempt(self) {
                Err(e) if e.kind == Kind::Unavailable && !self.hurry.load(Ordering::Relaxed) => {
                    if self.down.is_none() {
                        self.down = Some(Instant::now());
                        self.tell(Answer::Down { why: e.message });
                    }
                    std::thread::sleep(PAUSE);
                }
                done => {
                    if let (true, Some(since)) = (done.is_ok(), self.down.take()) {
                        self.tell(Answer::Back { after: since.elapsed() });
                    }
                    return done;
                }
            }
        }
    }

    fn tell(&self, answer: Answer) {
        // Nobody listens any more: the program ends.
        let _ = self.outbox.send(answer);
    }
}

/// Whether what is found is a token of ours from before its last signs of life: Redis lost those and nothing else.
fn lost_only_signs(found: Option<&str>, ours: &Token) -> bool {
    found.and_then(Token::parse).is_some_and(|found| found.lacks_only_signs_of(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(state: &str, round: u64, batch: u64) -> Token {
        Token { state: state.into(), round, batch, claim: 0, beat: 0, left: false, reached: Offsets::from([(0, 7)]) }
    }

    #[test]
    fn redis_holds_what_a_checkpoint_knows_of_when_it_is_as_new_and_of_the_same_round() {
        let known = token("a", 2, 10);
        for (found, sound) in [
            (token("a", 2, 10), true),
            (token("a", 2, 11), true),
            (token("a", 2, 9), false),
            (token("a", 3, 11), false),
            (token("b", 2, 11), false),
        ] {
            assert_eq!(found.continues(&known), sound, "{found:?}");
        }
    }

    #[test]
    fn a_token_reads_back_and_one_of_an_older_version_is_of_no_round() {
        let now = token("a", 2, 10);
        assert_eq!(Token::parse(&now.text()), Some(now));
        let old = Token::parse(r#"{"state":"a","batch":10,"reached":{"0":7}}"#);
        assert_eq!(old, Some(token("a", 0, 10)));
        assert_eq!(Token::parse("mine"), None);
    }

    #[test]
    fn a_lost_sign_of_life_is_no_loss_and_a_lost_batch_is() {
        let ours = Token { beat: 5, ..token("a", 2, 10) };
        for (found, only_signs) in [
            (Token { beat: 4, ..token("a", 2, 10) }, true),
            (Token { beat: 6, ..token("a", 2, 10) }, false),
            (Token { beat: 4, ..token("a", 2, 9) }, false),
            (Token { beat: 4, ..token("a", 1, 10) }, false),
            (Token { beat: 4, ..token("b", 2, 10) }, false),
        ] {
            assert_eq!(lost_only_signs(Some(&found.text()), &ours), only_signs, "{found:?}");
        }
        assert!(!lost_only_signs(None, &ours));
    }
}
