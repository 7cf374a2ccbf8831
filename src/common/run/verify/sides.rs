//! The store's side: which keys it has, and what it says of their tags.
//!
//! An embedded store is read as of one commit. Redis has no such thing: a profile is whole, two of them are of two instants.

use super::sample::Sample;
use crate::engine::plan::Values;
use crate::engine::plans::Plans;
use crate::expr::Scratch;
use crate::key::Key;
use crate::ledger::{Decoder, Ledger};
use crate::profiles::held;
use crate::run::batch::partition_of;
use crate::store::Error;
use crate::store::embedded::{Entry, Snapshot, Tag};
use crate::store::redis::Redis;
use crate::tag::{Definitions, Kind, Update};
use crate::time::Millis;
use crate::value::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How a store comes to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// It follows events and time.
    Live,
    /// A patch, true at this instant.
    At(Millis),
}

/// One tag as the store tells it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub tag: usize,
    pub value: Option<Value>,
    pub of: Of,
}

/// All that the store says of one key.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub shown: Vec<Shown>,
    /// Values by code, which other tags may be made of.
    pub tags: Vec<Tag>,
    /// Whether the store has anything of the key, asked for or not.
    pub known: bool,
    /// Whether it has anything that follows events and time.
    pub live: bool,
    /// Why the profile cannot be read.
    pub broken: Option<String>,
}

/// The live state of a stream, as of one commit.
pub struct State<'s> {
    pub snapshot: Snapshot<'s>,
    pub ledger: Option<Ledger>,
    /// Of the tags that it holds.
    pub plans: Option<Plans>,
}

impl<'s> State<'s> {
    pub fn open(snapshot: Snapshot<'s>, definitions: &Arc<Definitions>) -> Result<State<'s>, Error> {
        let ledger = Ledger::read(&snapshot)?;
        let plans = ledger.as_ref().map(|ledger| held(ledger, definitions));
        Ok(State { snapshot, ledger, plans })
    }

    /// The live values of a key at an instant, and the tags of which they are told; nothing of a key that it does not know.
    pub fn live(&self, entry: &Entry, at: Millis) -> Result<Option<(Values, Vec<usize>)>, Error> {
        let (Some(ledger), Some(plan)) = (&self.ledger, self.plans.as_ref().and_then(|p| p.of(entry.key.entity())))
        else {
            return Ok(None);
        };
        let given = plan.given_of(entry.tags.iter().map(Tag::dated));
        if entry.state.is_none() && !given.is_known() {
            return Ok(None);
        }
        let decoder = Decoder::new(ledger, plan);
        let state = entry.state.as_deref().map(|bytes| decoder.decode(bytes)).transpose()?;
        let values = plan.values(state.as_ref(), &given, at, &mut Scratch::new());
        Ok(Some((values, plan.told_of(state.is_some()).collect())))
    }
}

/// Who is compared with the log.
pub enum Side<'s> {
    Embedded(State<'s>),
    /// With the state of the stream that publishes there, if somebody names it.
    Redis(Box<Redis>, Option<State<'s>>),
}

/// What a first look at the store found.
#[derive(Default)]
pub struct Look {
    /// By tag, at how many keys it stands and as of when.
    pub kept: BTreeMap<usize, HashMap<Millis, u64>>,
    /// The keys, by entity and partition.
    pub keys: HashMap<(usize, usize), Names>,
    pub count: u64,
    /// Tags that the definitions do not know.
    pub foreign: BTreeMap<Box<str>, u64>,
}

impl Look {
    /// Whether the store keeps any tag that is updated so.
    pub fn has(&self, definitions: &Definitions, update: Update) -> bool {
        self.kept.keys().any(|tag| definitions.tags[*tag].update == update)
    }
}

/// Many keys in little memory.
#[derive(Default)]
pub struct Names {
    text: String,
    ends: Vec<u32>,
}

impl Names {
    fn push(&mut self, key: &Key) {
        self.text.push_str(key.as_str());
        self.ends.push(u32::try_from(self.text.len()).expect("a partition's keys are under 4 GiB"));
    }

    pub fn iter(&self) -> impl Iterator<Item = Key> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).filter_map(|(from, to)| Key::from_stored(&self.text[from as usize..*to as usize]))
    }
}

impl Side<'_> {
    /// The state of the stream, if there is one.
    pub fn state(&self) -> Option<&State<'_>> {
        match self {
            Side::Embedded(state) => Some(state),
            Side::Redis(_, state) => state.as_ref(),
        }
    }

    /// Looks at every key of these entities.
    pub fn look(&mut self, definitions: &Definitions, entities: &[usize], sample: &mut Sample) -> Result<Look, Error> {
        let mut look = Look::default();
        let mut all: HashMap<(usize, usize), Names> = HashMap::new();
        for &place in entities {
            let entity = &definitions.entities[place];
            let mut each = |key: &Key, codes: &mut dyn Iterator<Item = (&str, Millis)>| {
                look.count += 1;
                sample.offer(key);
                all.entry((place, partition_of(key))).or_default().push(key);
                for (code, as_of) in codes {
                    match definitions.index(code) {
                        Some(tag) => *look.kept.entry(tag).or_default().entry(as_of).or_default() += 1,
                        None => *look.foreign.entry(code.into()).or_default() += 1,
                    }
                }
            };
            match self {
                Side::Embedded(state) => state.snapshot.each("", &entity.name, |entry| {
                    let present = entry.tags.iter().filter(|tag| tag.value.is_some());
                    each(&entry.key, &mut present.map(|tag| (&*tag.code, tag.as_of)));
                })?,
                Side::Redis(redis, _) => {
                    for entry in redis.scan("", &entity.name, entity.width()) {
                        let (key, fields) = entry?;
                        let fields = fields.unwrap_or_default();
                        each(&key, &mut fields.iter().map(|(code, _)| (code.as_str(), 0)));
                    }
                }
            }
        }
        sample.close();
        if sample.is_whole() {
            look.keys = all;
            return Ok(look);
        }
        for (place, names) in all {
            let chosen = look.keys.entry(place).or_default();
            names.iter().filter(|key| sample.holds(key)).for_each(|key| chosen.push(&key));
        }
        Ok(look)
    }

    /// What is said of these keys at an instant, in their order.
    pub fn held(&mut self, keys: &[Key], told: &Told, at: Millis) -> Result<Vec<Held>, Error> {
        match self {
            Side::Embedded(state) => {
                let of = |key: &Key| told.embedded(state, state.snapshot.entry(key)?, at);
                keys.iter().map(of).collect()
            }
            Side::Redis(redis, _) => {
                let found = redis.get_many(keys)?;
                Ok(keys.iter().zip(found).map(|(key, fields)| told.redis(key, fields)).collect())
            }
        }
    }
}

/// Which tags are told, and how.
pub struct Told {
    pub definitions: Arc<Definitions>,
    /// Those that follow events and time.
    pub live: Option<Plans>,
    /// By tag that comes as patches, the instant that most of its values are of.
    pub dated: BTreeMap<usize, Millis>,
    /// The tags that somebody asked for.
    pub chosen: Option<Vec<usize>>,
}

impl Told {
    fn is_chosen(&self, tag: usize) -> bool {
        let imported = matches!(self.definitions.tags[tag].kind, Kind::Imported);
        !imported && self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&tag))
    }

    fn embedded(&self, state: &State<'_>, entry: Entry, at: Millis) -> Result<Held, Error> {
        let (values, told) = state.live(&entry, at)?.unwrap_or_default();
        let live = told.iter().any(|tag| values[*tag].is_some());
        let known = live || entry.tags.iter().any(|tag| tag.value.is_some());
        let entity = entry.key.entity();
        let mut shown = Vec::new();
        let patch = |tag: usize| entry.tags.iter().find(|patch| *patch.code == *self.definitions.tags[tag].code);
        let outputs = self.live.as_ref().and_then(|plans| plans.of(entity)).map_or(&[][..], |plan| &plan.outputs);
        for &tag in outputs {
            // One path writes a tag: where the live state tells it, an old patch does not.
            shown.push(match patch(tag).filter(|patch| patch.value.is_some() && !told.contains(&tag)) {
                Some(patch) => self.dated(tag, patch),
                None => Shown { tag, value: values.get(tag).cloned().flatten(), of: Of::Live },
            });
        }
        for (&tag, &usual) in &self.dated {
            if *self.definitions.entity_of(tag).name == *entity && !outputs.contains(&tag) {
                let none = Shown { tag, value: None, of: Of::At(usual) };
                shown.push(patch(tag).map_or(none, |patch| self.dated(tag, patch)));
            }
        }
        shown.retain(|shown| self.is_chosen(shown.tag));
        Ok(Held { shown, tags: entry.tags, known, live, broken: None })
    }

    fn dated(&self, tag: usize, patch: &Tag) -> Shown {
        let ty = self.definitions.tags[tag].ty;
        let value = patch.value.as_ref().and_then(|value| match value {
            Value::Json(_) => Some(value.clone()),
            other => crate::expr::convert(other.datum(), ty, &Scratch::new()).to_value(),
        });
        Shown { tag, value, of: Of::At(patch.as_of) }
    }

    fn redis(&self, key: &Key, fields: Result<Vec<(String, String)>, String>) -> Held {
        let (fields, broken) = match fields {
            Ok(fields) => (fields, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let value = |code: &str, text: &str| {
            let ty = self.definitions.tags[self.definitions.index(code)?].ty;
            Some(Value::parse(text, ty).unwrap_or_else(|| Value::Str(text.into())))
        };
        let tags: Vec<Tag> = fields
            .iter()
            .map(|(code, text)| Tag { code: code.as_str().into(), value: value(code, text), as_of: Millis::MIN })
            .collect();
        let of_tag = |tag: usize| {
            let found = tags.iter().find(|found| *found.code == *self.definitions.tags[tag].code);
            found.and_then(|found| found.value.clone())
        };
        let live = self.live.as_ref().and_then(|plans| plans.of(key.entity())).map_or(&[][..], |plan| &plan.outputs);
        let mut shown: Vec<Shown> =
            live.iter().map(|tag| Shown { tag: *tag, value: of_tag(*tag), of: Of::Live }).collect();
        for (&tag, &at) in &self.dated {
            if *self.definitions.entity_of(tag).name == *key.entity() && !live.contains(&tag) {
                shown.push(Shown { tag, value: of_tag(tag), of: Of::At(at) });
            }
        }
        shown.retain(|shown| self.is_chosen(shown.tag) && !self.definitions.tags[shown.tag].is_hidden());
        let known = broken.is_some() || !fields.is_empty();
        Held { shown, tags, known, live: known, broken }
    }
}
