//! The projection's side of a run: what Redis has been told, what it still lacks, and when to keep silent.
//!
//! A checkpoint names the keys that were not yet told. What was told since is read again from
//! the input, in silence up to where the token says that events may show: then both are told.

mod says;
mod told;

use super::publish::{Answer, Offsets, Order, Publisher, Token};
use super::standby::{SIGN_OF_LIFE, Standby};
use super::stream::{Error, Observer, Report};
use crate::engine::live::Live;
use crate::engine::plans::Plans;
use crate::forgotten::Forgotten;
use crate::key::{Key, SEGMENTS};
use crate::ledger::Progress;
use crate::patch::Patch;
use crate::store::redis::Redis;
use crossbeam_channel::Receiver;
use says::Says;
use siphasher::sip::SipHasher13;
use std::collections::HashSet;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use told::{TOLD, Told};

/// Keys in one publication: enough to fill Redis's pipe, few enough to keep patches few.
const PUBLISH_KEYS: usize = 10_000;
/// Of the backlog that was there at the start what changes is told in rounds, from the begin of one to that of the next at least
/// this long: a key that changes often is told once a round, and nobody has seen its last value before that anyway.
pub const ROUND: Duration = Duration::from_secs(10);
/// So many untold keys are named in a checkpoint; of more it says that all are to be told.
const NAMED: usize = 20_000;
/// How long a stream that stops waits for its last sign of life to be taken.
const LEAVE: Duration = Duration::from_secs(2);
/// So many profiles that Redis refuses are named.
const SHOWN: usize = 20;

/// Where profiles are published besides.
pub struct Projection {
    pub redis: Redis,
    /// The name of the token.
    pub token: String,
    /// Where each partition ended when reading began: nothing behind it can have been published.
    pub ends: Offsets,
    /// Publish only after whoever does so now has been silent for so long.
    pub standby: Option<Duration>,
    /// Whether it is the only one there: then it says which audiences it keeps current.
    pub only: bool,
    /// Whether profiles may stand there of keys that the state has never had: then these are told to be nothing.
    pub foreign: bool,
}

/// A projection while it is published.
pub struct Publishing {
    publisher: Publisher,
    name: String,
    token: Token,
    plan: u64,
    claimed: bool,
    /// While another publishes: what is seen of it.
    standby: Option<Standby>,
    /// Being fenced it stands by again, for so long.
    span: Option<Duration>,
    /// The token by which it was decided to take over: nothing else is claimed then.
    over: Option<Option<String>>,
    /// The token that was found at the start.
    first: Option<Token>,
    /// Publish nothing until every partition was read to here: Redis may show it already.
    silent_until: Offsets,
    /// Where the backlog ends.
    backlog: Offsets,
    /// When the last round of it began, and the keys left to be told in it.
    round: (Option<Instant>, usize),
    /// What was handed over and is not answered, and what is handed over next, with how far the input was read for it.
    flying: Arc<Vec<Patch>>,
    /// What was answered last: given back once Redis has something to do.
    spent: Arc<Vec<Patch>>,
    ready: Option<(Arc<Vec<Patch>>, Offsets)>,
    looked: Instant,
    foreign: bool,
    only: bool,
    says: Says,
    /// Entities that forget, or all, until it is known whether Redis shows keys that the state no longer has.
    sweep: Vec<(String, usize)>,
    /// Whose profiles must not stand there, and whether somebody has to look.
    forgotten: Arc<Forgotten>,
    purge: bool,
    refused: HashSet<String>,
    down: bool,
}

impl Publishing {
    /// Looks at the token and marks what Redis has to be told.
    pub fn start(
        projection: Projection,
        progress: &Progress,
        told: Option<Told>,
        live: &mut Live,
    ) -> Result<Publishing, Error> {
        let Projection { mut redis, token: name, ends, standby: span, only, foreign } = projection;
        let plan = fingerprint(live.plans());
        let told = told.filter(|told| told.plan == plan);
        let round = told.as_ref().map_or(0, |told| told.round);
        let told = told.filter(|told| told.audiences || !live.is_watching());
        let found = redis.token(&name)?.as_deref().and_then(Token::parse);
        let mut silent_until = found.as_ref().map(|found| found.reached.clone()).unwrap_or_default();
        // What does not lie ahead is not waited for: a partition of others, a topic made anew.
        for (partition, offset) in &mut silent_until {
            *offset = (*offset).min(ends.get(partition).copied().unwrap_or(0));
        }
        let mut sweep = Vec::new();
        match told.and_then(|told| told.untold) {
            Some(keys) => keys.iter().filter_map(|key| Key::from_stored(key)).for_each(|key| live.tell(&key)),
            None => {
                live.tell_again();
                sweep = swept(live, foreign);
            }
        }
        let state = progress.state_id.clone();
        let batch = progress.published;
        let token = Token { state, round, batch, claim: 0, beat: 0, left: false, reached: Offsets::new() };
        Ok(Publishing {
            publisher: Publisher::start(redis, name.clone(), token.clone()),
            name,
            token,
            plan,
            claimed: false,
            standby: span.map(Standby::new),
            span,
            over: None,
            first: found,
            silent_until,
            backlog: ends,
            round: (None, 0),
            flying: Arc::default(),
            spent: Arc::default(),
            ready: None,
            looked: Instant::now(),
            foreign,
            only,
            says: Says::Anything,
            sweep,
            forgotten: Arc::default(),
            purge: false,
            refused: HashSet::new(),
            down: false,
        })
    }

    /// A base has come, with the input read up to `reached`. Of what is read again in silence it may cover a part, so that
    /// nobody would hear of a key that Redis shows as it was for a while: everything is told.
    pub fn rebased(&mut self, live: &mut Live, reached: &Offsets) {
        let behind = |(partition, offset): (&i32, &i64)| reached.get(partition).copied().unwrap_or(0) < *offset;
        if self.silent_until.iter().any(behind) {
            live.tell_again();
            self.sweep = swept(live, self.foreign);
        }
    }

    /// These users are forgotten; `newly`: some of them since the last call, and the profiles that stand there have to go.
    pub fn forget(&mut self, forgotten: &Arc<Forgotten>, newly: bool) {
        self.forgotten = forgotten.clone();
        self.purge |= newly && !self.stands_by();
    }

    /// Whether no profile of a forgotten user stands there by what this stream has written.
    pub fn is_purged(&self) -> bool {
        !self.purge || self.stands_by()
    }

    /// What Redis shows is of another time or another state: forgotten users may be back.
    fn doubt(&mut self, live: &mut Live) {
        self.says = Says::Anything;
        live.tell_again();
        self.sweep = swept(live, self.foreign);
        self.purge = !self.forgotten.is_empty();
    }

    /// Told to stop: a Redis that is down is not waited for any more.
    pub fn hurry(&mut self) {
        self.publisher.hurry();
        self.backlog.clear();
    }

    /// Whether Redis shows everything, or must not be told more for now.
    pub fn is_done(&self, live: &Live) -> bool {
        let told = live.untold() == 0 && self.ready.is_none() && self.sweep.is_empty() && !self.purge;
        let told = told && (!self.only || !live.is_watching() || live.is_finding() || self.says == Says::Current);
        !self.publisher.is_busy() && (told || !self.silent_until.is_empty() || self.stands_by())
    }

    /// Whether it reads what was there before it began.
    pub fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether another stream publishes, and this one waits for its end.
    pub fn stands_by(&self) -> bool {
        self.standby.is_some()
    }

    pub fn look_at(&self, live: &Live, report: &mut Report) {
        report.waiting = self.waiting(live);
        (report.redis_down, report.stands_by) = (self.down, self.stands_by());
    }

    /// Tells a standby that it need not wait: nothing is published after this.
    pub fn leave(&mut self, reached: Offsets) {
        // While it must be silent Redis may show more than was read, and the token has to go on saying so.
        if self.claimed && self.silent_until.is_empty() && !self.publisher.is_busy() {
            self.publisher.order(Order::Beat { reached, left: true });
            // Without an answer the standby waits for silence.
            self.publisher.answer(LEAVE);
        }
    }

    /// Where answers arrive, while one is waited for.
    pub fn answers(&self) -> Option<&Receiver<Answer>> {
        self.publisher.is_busy().then(|| self.publisher.answers())
    }

    /// Batches that Redis has acknowledged.
    pub fn published(&self) -> u64 {
        self.token.batch
    }

    /// Changes that Redis has not answered.
    fn handed(&self) -> [&[Patch]; 2] {
        [&self.flying, self.ready.as_ref().map_or(&[], |(patches, _)| patches)]
    }

    fn waiting(&self, live: &Live) -> usize {
        live.untold() + self.handed().map(<[Patch]>::len).iter().sum::<usize>()
    }

    /// What was handed over is void: all of it is told anew, or by another.
    fn drop_handed(&mut self) {
        (self.flying, self.ready) = (Arc::default(), None);
    }

    /// What a checkpoint of `live` has to say.
    pub fn told(&self, live: &Live) -> Vec<u8> {
        // While it stands by it takes no note of what Redis is told.
        let named = !self.stands_by() && self.waiting(live) <= NAMED;
        let untold = named.then(|| {
            let named = |key: &Key| key.as_str().to_string();
            let handed = self.handed().into_iter().flatten().map(|patch| match patch.key.entity() {
                SEGMENTS => named(&Key::user("", patch.key.id())),
                _ => named(&patch.key),
            });
            handed.chain(live.untold_keys().map(named)).collect()
        });
        let audiences = live.is_watching();
        let told = Told { round: self.token.round, plan: self.plan, audiences, untold };
        serde_json::to_vec(&told).expect("plain data has a JSON form")
    }

    /// Takes answers in, waiting up to `wait` for one, and hands over what has changed. `reached`: how far the input was read.
    pub fn step(
        &mut self,
        live: &mut Live,
        reached: Offsets,
        report: &mut Report,
        observer: &mut dyn Observer,
        wait: Duration,
    ) -> Result<(), Error> {
        if let Some(answer) = self.publisher.answer(wait) {
            self.take(answer, live, observer)?;
        }
        if let Some(standby) = &self.standby {
            live.forget_untold();
            if !self.publisher.is_busy() && standby.is_due(Instant::now()) {
                self.publisher.order(Order::Watch);
            }
            return Ok(());
        }
        self.silent_until.retain(|partition, offset| reached.get(partition).copied().unwrap_or(0) < *offset);
        if !self.silent_until.is_empty() {
            return Ok(());
        }
        if !self.publisher.is_busy() {
            self.order(live, reached.clone(), report);
        }
        self.spent = Arc::default();
        // With many waiting the next ones are worked out while Redis takes these.
        if !self.flying.is_empty() && live.untold() >= PUBLISH_KEYS {
            self.prepare(live, reached, report);
        }
        Ok(())
    }

    /// Gives the publisher, which is free, the next thing to do.
    fn order(&mut self, live: &mut Live, reached: Offsets, report: &mut Report) {
        // Before any patch: what Redis says of audiences may be another writer's word.
        if let Some(patch) = self.audiences(live) {
            self.flying = Arc::new(vec![patch]);
            self.publisher.order(Order::Patches { patches: self.flying.clone(), reached });
            return;
        }
        self.prepare(live, reached.clone(), report);
        if !self.claimed {
            self.publisher.order(Order::Claim { reached, only: self.over.take() });
        } else if let Some((patches, reached)) = self.ready.take() {
            // Before a purge: a user forgotten meanwhile may be among them.
            self.flying = patches.clone();
            self.publisher.order(Order::Patches { patches, reached });
        } else if self.purge {
            let (forgotten, definitions) = (self.forgotten.clone(), live.plans().definitions().clone());
            self.publisher.order(Order::Purge { forgotten, definitions });
        } else if !self.sweep.is_empty() {
            self.publisher.order(Order::Sweep { entities: std::mem::take(&mut self.sweep) });
        } else if self.looked.elapsed() >= SIGN_OF_LIFE / 4 {
            self.looked = Instant::now();
            self.publisher.order(Order::Beat { reached, left: false });
        }
    }

    /// Whether nothing goes before what changes.
    fn is_free(&self) -> bool {
        self.claimed && !self.purge && self.sweep.is_empty() && self.ready.is_none()
    }

    /// Works out what is told next, if it is time for it.
    fn prepare(&mut self, live: &mut Live, reached: Offsets, report: &mut Report) {
        if !self.is_free() {
            return;
        }
        let keys = self.due(live.untold(), &reached);
        if keys == 0 {
            return;
        }
        let mut patches = Vec::with_capacity(keys);
        live.drain(keys, |patch| patches.push(patch));
        self.says.told(keys);
        if !live.is_sound() {
            // Whoever keeps the state stops for it.
            return;
        }
        patches.retain_mut(|patch| patch.key.entity() == SEGMENTS || patch.keep_shown());
        report.patches += patches.len() as u64;
        self.ready = Some((Arc::new(patches), reached));
    }

    /// How many of the untold keys are told next; none while the round after this one has to wait.
    fn due(&mut self, untold: usize, reached: &Offsets) -> usize {
        self.backlog.retain(|partition, end| reached.get(partition).copied().unwrap_or(0) < *end);
        if self.backlog.is_empty() {
            return untold.min(PUBLISH_KEYS);
        }
        let (began, left) = &mut self.round;
        if *left == 0 && began.is_none_or(|began| began.elapsed() >= ROUND) {
            (*began, *left) = (Some(Instant::now()), untold);
        }
        let keys = untold.min(*left).min(PUBLISH_KEYS);
        *left -= keys;
        keys
    }

    fn take(&mut self, answer: Answer, live: &mut Live, observer: &mut dyn Observer) -> Result<(), Error> {
        match answer {
            Answer::Claimed { token, found, sound } => {
                if !sound {
                    self.doubt(live);
                }
                if found.as_ref().is_some_and(|found| found.state != token.state) {
                    observer.say(&format!("took the projection over from another state: `{}`", self.name));
                }
                if found != self.first {
                    // Its writer went on until it was taken over.
                    self.silent_until = found.map(|found| found.reached).unwrap_or_default();
                }
                (self.token, self.claimed) = (token, true);
            }
            Answer::Done { batch, refused } => {
                (self.token.batch, self.looked) = (batch, Instant::now());
                self.spent = std::mem::take(&mut self.flying);
                self.report_refused(refused, observer);
            }
            // Of the keys that are there, all are told as they are; of the others, that they are not.
            Answer::Swept { keys } if self.foreign => keys.iter().for_each(|key| live.tell_whatever_it_is(key)),
            Answer::Swept { keys } => keys.iter().for_each(|key| live.tell(key)),
            Answer::Purged { keys } => {
                self.purge = false;
                // Who began anew is told once more.
                keys.iter().for_each(|key| live.tell(key));
            }
            Answer::Lost => {
                observer.say("redis has lost data: all profiles are published again");
                self.drop_handed();
                (self.claimed, self.says) = (false, Says::Anything);
                live.tell_again();
                self.purge = !self.forgotten.is_empty();
            }
            Answer::Seen { text } => self.see(text, live, observer),
            Answer::Fenced => match self.span {
                Some(span) => {
                    self.drop_handed();
                    (self.claimed, self.standby) = (false, Some(Standby::new(span)));
                }
                None => return Err(Error::Fenced { token: self.name.clone() }),
            },
            Answer::Failed(e) => return Err(Error::Store(e)),
            Answer::Down { why } => {
                self.down = true;
                observer.say(&format!("redis cannot be reached, waiting for it: {why}"));
            }
            Answer::Back { after } => {
                self.down = false;
                self.standby.iter_mut().for_each(Standby::interrupted);
                observer.say(&format!("redis is back after {:.1} s", after.as_secs_f64()));
            }
        }
        Ok(())
    }

    /// The token of another stream was read. When that one is gone, everything will be told: what it knew, nobody knows.
    fn see(&mut self, text: Option<String>, live: &mut Live, observer: &mut dyn Observer) {
        let Some(standby) = &mut self.standby else { return };
        if standby.is_new() {
            observer.note(&format!("standing by: `{}` is another stream's until that falls silent", self.name));
        }
        if !standby.see(text.clone(), Instant::now()) {
            return;
        }
        self.standby = None;
        self.first = text.as_deref().and_then(Token::parse);
        self.silent_until = self.first.as_ref().map(|found| found.reached.clone()).unwrap_or_default();
        self.over = Some(text);
        self.doubt(live);
    }

    /// Names each key that Redis refuses once.
    fn report_refused(&mut self, refused: Vec<(String, String)>, observer: &mut dyn Observer) {
        for (key, why) in refused {
            if self.refused.len() < SHOWN && !self.refused.contains(&key) {
                observer.say(&format!("redis refused a profile: `{key}`: {why}"));
                self.refused.insert(key);
            }
        }
    }
}

/// The entities whose keys are forgotten, or all of them, with the number of their parts.
fn swept(live: &Live, all: bool) -> Vec<(String, usize)> {
    let plans = live.plans().iter().filter(|plan| all || plan.hidden().is_some());
    plans.map(|plan| (plan.entity().name.to_string(), plan.entity().width())).collect()
}

/// Stands for the definitions and the tags that are told: with others Redis has to be told everything.
fn fingerprint(plans: &Plans) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(plans.definitions().text.as_bytes());
    for tag in plans.iter().flat_map(|plan| &plan.outputs) {
        hasher.write_u64(*tag as u64);
    }
    hasher.finish()
}
