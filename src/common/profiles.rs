//! Profiles as they are read: all tags of a key, from whichever store holds them.
//!
//! From a live state windowed values are computed for the instant asked about, so they
//! are right even when no stream runs. Redis holds what was last published.

mod doubt;
mod foresee;
pub mod index;
mod told;

use crate::engine::plan::{HIDDEN, Plan, Values};
use crate::engine::plans::Plans;
use crate::expr::{Scratch, convert};
use crate::key::{Key, OWN, SEGMENTS};
use crate::ledger::{Decoder, Ledger};
use crate::ndjson;
use crate::patch::push_key;
use crate::store::embedded::{Embedded, Entry, Tag};
use crate::store::redis::{Fields, Patience, Redis};
use crate::store::{Error, Kind, Location};
use crate::tag::{Definitions, Update};
use crate::time::{self, Millis};
use crate::value::{Type, Value};
pub use doubt::Doubt;
pub use foresee::{Foreseen, Look};
use std::sync::Arc;
pub use told::{Origin, Told, Why};

/// All tags of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub key: Key,
    /// The instant the live values are true at; without any, the newest instant of the others.
    pub as_of: Millis,
    /// By place in the definitions.
    pub values: Values,
    /// Tags that are not in the definitions, by code.
    pub others: Vec<(Arc<str>, Value)>,
}

impl Profile {
    fn empty(key: Key, as_of: Millis, definitions: &Definitions) -> Profile {
        Profile { key, as_of, values: vec![None; definitions.tags.len()], others: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.others.is_empty() && self.values.iter().all(Option::is_none)
    }

    /// The tags that have a value: those of the definitions in their order, then the others.
    pub fn tags<'a>(&'a self, definitions: &'a Definitions) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let defined =
            definitions.tags.iter().zip(&self.values).filter_map(|(tag, value)| Some((&*tag.code, value.as_ref()?)));
        defined.chain(self.others.iter().map(|(code, value)| (&**code, value)))
    }

    /// Appends the profile as one line of NDJSON, of the form of a patch.
    pub fn push_line(&self, definitions: &Definitions, keep: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
        out.push(b'{');
        push_key(out, &self.key);
        out.extend_from_slice(format!(",\"asOf\":{},\"tags\":{{", self.as_of).as_bytes());
        for (i, (code, value)) in self.tags(definitions).filter(|(code, _)| keep(code)).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            ndjson::push_str(out, code);
            out.push(b':');
            value.push_json(out);
        }
        out.extend_from_slice(b"}}\n");
    }

    /// Puts in a value that was stored under `code`, as the type its definition declares.
    fn put(&mut self, definitions: &Definitions, code: &str, value: Value) {
        match definitions.index(code) {
            Some(place) => self.values[place] = as_declared(&value, definitions.tags[place].ty),
            None => self.others.push((code.into(), value)),
        }
    }
}

fn as_declared(value: &Value, ty: Type) -> Option<Value> {
    match value {
        // What is there is shown as it is, even where the definition says otherwise by now.
        Value::Json(_) => Some(value.clone()),
        other => convert(other.datum(), ty, &Scratch::new()).to_value(),
    }
}

/// The instant that is asked about.
#[derive(Clone, Copy, Debug)]
pub enum AsOf {
    /// Now, by the wall clock of the caller.
    Now(Millis),
    /// An instant the user named.
    At(Millis),
}

impl AsOf {
    pub fn instant(self) -> Millis {
        match self {
            AsOf::Now(t) | AsOf::At(t) => t,
        }
    }
}

/// Profiles of one store, as of one instant.
pub struct Profiles {
    definitions: Arc<Definitions>,
    as_of: AsOf,
    from: From,
}

enum From {
    Embedded { store: Embedded, live: Option<Box<Live>> },
    Redis(Box<Redis>),
}

/// How to read the live states of a store.
struct Live {
    ledger: Ledger,
    /// Of no tag where the state holds none.
    plans: Plans,
}

impl Profiles {
    /// Opens a store for reading. Without `definitions` those of the store are taken, or the built-in five.
    ///
    /// Errors are the store's; `Usage` for an instant before what the state has absorbed, or any in Redis.
    pub fn open(location: &Location, definitions: Option<Definitions>, as_of: AsOf) -> Result<Profiles, Error> {
        match location {
            Location::Embedded(dir) => Profiles::embedded(Embedded::open_existing(dir)?, definitions, as_of),
            Location::Redis(url) => {
                if let AsOf::At(_) = as_of {
                    let error = Error::new(
                        Kind::Usage,
                        format!("{url} holds the newest values only: it knows no other instant"),
                    );
                    return Err(error.hint("ask the embedded store (--store file:DIR), or use adprof batch --as-of"));
                }
                let redis = Redis::connect(url, Patience::default())?;
                let definitions = Arc::new(definitions.unwrap_or_else(Definitions::built_in));
                let redis = redis.with_names(definitions.prefixes());
                Ok(Profiles { definitions, as_of, from: From::Redis(Box::new(redis)) })
            }
        }
    }

    fn embedded(store: Embedded, definitions: Option<Definitions>, as_of: AsOf) -> Result<Profiles, Error> {
        let ledger = Ledger::read(&store.snapshot()?)?;
        let kept = match &ledger {
            Some(ledger) if definitions.is_none() => ledger.definitions()?,
            _ => None,
        };
        let definitions = Arc::new(definitions.or(kept).unwrap_or_else(Definitions::built_in));
        let live = match ledger {
            None => None,
            Some(ledger) => {
                check_instant(&ledger, as_of)?;
                Some(Box::new(live(ledger, &definitions)))
            }
        };
        Ok(Profiles { definitions, as_of, from: From::Embedded { store, live } })
    }

    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// Looks at the store as of `now` from here on, when it is asked about the present; an instant that was named stays.
    pub fn move_to(&mut self, now: Millis) {
        if let AsOf::Now(t) = &mut self.as_of {
            *t = now;
        }
    }

    /// The instant that is asked about.
    pub fn as_of(&self) -> Millis {
        self.as_of.instant()
    }

    /// Roughly how many profiles there are, never more than there are; `None` where only counting would tell.
    pub fn about(&self) -> Result<Option<u64>, Error> {
        match &self.from {
            From::Embedded { store, .. } => store.stats().map(|stats| Some(stats.states.max(stats.patched))),
            From::Redis(_) => Ok(None),
        }
    }

    /// How old the newest checkpoint of the live state was at `now`; `None` without a live state.
    pub fn age(&self, now: Millis) -> Result<Option<Millis>, Error> {
        match &self.from {
            From::Embedded { store, live: Some(_) } => Ok(store.stats()?.committed_at.map(|at| now - at)),
            _ => Ok(None),
        }
    }

    /// The profiles of `keys`, in their order; empty ones for keys that have none.
    pub fn get_many(&mut self, keys: &[Key]) -> Result<Vec<Profile>, Error> {
        let (definitions, as_of) = (&self.definitions, self.as_of);
        match &mut self.from {
            From::Embedded { store, live } => {
                let mut reader = Reader::new(definitions, live.as_deref(), as_of);
                let found = store.get_many(keys)?.into_iter().map(|entry| reader.profile(entry)).collect();
                check_still(store, live.as_deref(), as_of)?;
                found
            }
            From::Redis(redis) => {
                let fields = redis.get_many(keys)?;
                keys.iter()
                    .zip(fields)
                    .map(|(key, fields)| published(key.clone(), fields, definitions, as_of))
                    .collect()
            }
        }
    }

    /// The audiences that a stream keeps current in Redis, with their versions. Asked at another instant than now there are
    /// none, and none in an embedded store.
    pub fn kept_audiences(&mut self) -> Result<Vec<(String, String)>, Error> {
        match (&mut self.from, self.as_of) {
            (From::Redis(redis), AsOf::Now(_)) => {
                match redis.get_many(&[Key::new("", OWN, [SEGMENTS])]) {
                    // Who may not read it works them out.
                    Err(e) if e.kind == Kind::Denied => Ok(Vec::new()),
                    fields => Ok(fields?.pop().and_then(Result::ok).unwrap_or_default()),
                }
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The audiences that a stream keeps in Redis of each user.
    pub fn memberships(&mut self, users: &[Key]) -> Result<Vec<Vec<String>>, Error> {
        let From::Redis(redis) = &mut self.from else { return Ok(vec![Vec::new(); users.len()]) };
        let keys: Vec<Key> = users.iter().map(|user| Key::new(user.tenant(), SEGMENTS, [user.id()])).collect();
        let codes = |fields: Fields| fields.map(|fields| fields.into_iter().map(|(code, _)| code).collect());
        let broken = |why| Error::new(Kind::Corrupt, format!("the audiences of a user in Redis: {why}"));
        redis.get_many(&keys)?.into_iter().map(|fields| codes(fields).map_err(broken)).collect()
    }

    /// Gives every profile of an entity that is not empty to `each`, which may end it by an error. From the embedded
    /// store in the order of keys.
    ///
    /// `entity`: its place in the definitions.
    pub fn scan<E: std::convert::From<Error>>(
        &mut self,
        entity: usize,
        mut each: impl FnMut(Profile) -> Result<(), E>,
    ) -> Result<(), E> {
        let (definitions, as_of) = (&self.definitions, self.as_of);
        let entity = &definitions.entities[entity];
        match &mut self.from {
            From::Embedded { store, live } => {
                let mut reader = Reader::new(definitions, live.as_deref(), as_of);
                for entry in store.scan("", &entity.name) {
                    let profile = reader.profile(entry?)?;
                    if !profile.is_empty() {
                        each(profile)?;
                    }
                }
                check_still(store, live.as_deref(), as_of)?;
            }
            From::Redis(redis) => {
                for entry in redis.scan("", &entity.name, entity.width()) {
                    let (key, fields) = entry?;
                    let profile = published(key, fields, definitions, as_of)?;
                    if !profile.is_empty() {
                        each(profile)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn live(ledger: Ledger, definitions: &Arc<Definitions>) -> Live {
    let plans = held(&ledger, definitions);
    Live { ledger, plans }
}

/// Plans over every realtime tag that the state holds; of no tag where it holds none.
pub fn held(ledger: &Ledger, definitions: &Arc<Definitions>) -> Plans {
    let mut outputs = definitions.by_update(Update::Realtime);
    let mut unknown = Vec::new();
    for plan in Plans::live(definitions, &outputs).iter() {
        let numbers = ledger.numbers_of(plan);
        let missing = || plan.counters.iter().zip(&numbers).filter(|(_, n)| n.is_none()).map(|(c, _)| c.tag);
        if missing().any(|tag| tag == HIDDEN) {
            // Nothing is known of what the entity remembers by now.
            outputs.retain(|tag| !plan.outputs.contains(tag));
        } else {
            unknown.extend(missing());
        }
    }
    if !unknown.is_empty() {
        // A tag the state never counted must not be told as a count of zero, nor what is derived from it.
        outputs.retain(|tag| {
            let needed = Plan::live(definitions.clone(), &[*tag]);
            !needed.counters.iter().any(|counter| unknown.contains(&counter.tag))
        });
    }
    Plans::live(definitions, &outputs)
}

fn check_instant(ledger: &Ledger, as_of: AsOf) -> Result<(), Error> {
    let newest = ledger.progress.newest;
    match as_of {
        AsOf::At(t) if t < newest => {
            let message = format!(
                "the state has absorbed events up to {} and cannot go back to {}",
                time::show(newest),
                time::show(t)
            );
            Err(Error::new(Kind::Usage, message).hint(format!("the log can: adprof batch --tags all --as-of {t}")))
        }
        _ => Ok(()),
    }
}

/// A stream may have gone past a named instant while the states were read: then what they said is not true at it.
fn check_still(store: &Embedded, live: Option<&Live>, as_of: AsOf) -> Result<(), Error> {
    if let (Some(_), AsOf::At(_)) = (live, as_of)
        && let Some(ledger) = Ledger::read(&store.snapshot()?)?
    {
        return check_instant(&ledger, as_of);
    }
    Ok(())
}

/// Makes profiles of what an embedded store holds.
struct Reader<'a> {
    definitions: &'a Definitions,
    live: Option<(&'a Plans, Vec<Decoder<'a>>)>,
    as_of: AsOf,
    scratch: Scratch,
}

impl<'a> Reader<'a> {
    fn new(definitions: &'a Definitions, live: Option<&'a Live>, as_of: AsOf) -> Reader<'a> {
        let live = live.map(|live| {
            let decoders = live.plans.iter().map(|plan| Decoder::new(&live.ledger, plan));
            (&live.plans, decoders.collect())
        });
        Reader { definitions, live, as_of, scratch: Scratch::new() }
    }

    fn profile(&mut self, entry: Entry) -> Result<Profile, Error> {
        let mut profile = Profile::empty(entry.key, self.as_of.instant(), self.definitions);
        let mut told_live = vec![false; self.definitions.tags.len()];
        let place = self.live.as_ref().and_then(|(plans, _)| plans.place(profile.key.entity()));
        let live = self.live.as_ref().zip(place).map(|((plans, decoders), place)| (&plans[place], &decoders[place]));
        let given = live.map(|(plan, _)| plan.given_of(entry.tags.iter().map(Tag::dated)));
        if let (Some((plan, decoder)), Some(given)) = (live, &given)
            && (entry.state.is_some() || given.is_known())
        {
            let state = entry.state.as_deref().map(|bytes| decoder.decode(bytes)).transpose()?;
            let values = plan.values(state.as_ref(), given, self.as_of.instant(), &mut self.scratch);
            for tag in plan.told_of(state.is_some()) {
                told_live[tag] = true;
                profile.values[tag] = values[tag].clone();
            }
        } else {
            profile.as_of = entry.tags.iter().map(|tag| tag.as_of).max().unwrap_or(profile.as_of);
        }
        for tag in entry.tags {
            let is_given = live.is_some_and(|(plan, _)| plan.given_place(&tag.code).is_some());
            // What was removed since says as little of the time before.
            if let AsOf::At(t) = self.as_of
                && tag.as_of > t
                && (is_given || tag.value.is_some())
            {
                let message = format!(
                    "`{}` of {} is known as of {} only, after {}",
                    tag.code,
                    profile.key,
                    time::show(tag.as_of),
                    time::show(t)
                );
                return Err(Error::new(Kind::Usage, message)
                    .hint(format!("the log can tell: adprof batch --tags all --as-of {t}")));
            }
            let Some(value) = tag.value else { continue };
            // One path writes a tag: where the live state tells it, an old patch does not.
            let live = self.definitions.index(&tag.code).is_some_and(|place| told_live[place]);
            if !live {
                profile.put(self.definitions, &tag.code, value);
            }
        }
        Ok(profile)
    }
}

/// A profile as Redis holds it: plain text, typed by the definitions.
fn published(
    key: Key,
    fields: Result<Vec<(String, String)>, String>,
    definitions: &Definitions,
    as_of: AsOf,
) -> Result<Profile, Error> {
    let fields = fields.map_err(|why| Error::new(Kind::Usage, format!("{key}: {why}")))?;
    let mut profile = Profile::empty(key, as_of.instant(), definitions);
    for (code, text) in fields {
        match definitions.index(&code) {
            Some(place) => {
                let value = Value::parse(&text, definitions.tags[place].ty);
                profile.values[place] = Some(value.unwrap_or_else(|| Value::Str(text.into())));
            }
            None => profile.others.push((code.into(), untyped(text))),
        }
    }
    profile.others.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(profile)
}

/// What no definition types: a number or a list stays one, all else is a string.
fn untyped(text: String) -> Value {
    match text.as_bytes().first() {
        Some(b'-' | b'0'..=b'9' | b'[' | b'{') => match Value::from_json(&text) {
            Ok(Some(value)) if value.to_string() == text => value,
            _ => Value::Str(text.into()),
        },
        _ => Value::Str(text.into()),
    }
}
