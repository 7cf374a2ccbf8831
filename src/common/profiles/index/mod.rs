//! The index of profiles: for blocks of keys what they have of each tag, as sets of bits, and which keys it can speak for.
//!
//! A block speaks for a key as long as nothing was written of it since (the store marks that), the instant asked about
//! lies before the key's next change by time alone, and the definitions mean what they meant. All other keys are looked
//! up in the store, one by one: so an answer is exact at any instant and however old the index is.

mod block;
mod build;
mod check;

use super::{AsOf, From, Live, Profile, Profiles, Reader, check_still};
use crate::bits::{BLOCK, Bits, Body, Column, Range};
use crate::engine::explain::Course;
use crate::engine::plan::Plan;
use crate::key::Key;
use crate::ledger::Decoder;
use crate::store::embedded::{Entry, Tag, Unread, View};
use crate::store::{Embedded, Error};
use crate::time::Millis;
use block::{About, Head, NEXT, broken};
pub use block::{Shape, number, numbers_of, value_of};
pub use build::Built;
pub use check::{Checked, Fault, Flaw};
use siphasher::sip::SipHasher24;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::Hasher;

/// Raised with every change of what stands in a block.
const LAYOUT: u64 = 1;

/// Of keys in their order, as a scan gives them.
pub(crate) fn stored_order(a: &Key, b: &Key) -> Ordering {
    crate::store::embedded::order(a.as_str(), b.as_str())
}

/// How the keys of an entity are seen with some definitions at an instant.
struct Sight<'a> {
    entity: String,
    /// The tags that have columns.
    tags: Vec<usize>,
    /// What the live state tells of them, and when it may tell otherwise.
    course: Option<(&'a Plan, Decoder<'a>)>,
    /// Whether time changes anything that the live state tells.
    moves: bool,
    /// Tags whose changes by time cannot be foreseen; they have no column.
    unforeseen: Vec<usize>,
    signature: u64,
    reader: Reader<'a>,
}

impl<'a> Sight<'a> {
    fn new(profiles: &'a Profiles, live: Option<&'a Live>, entity: usize, as_of: AsOf) -> Sight<'a> {
        let definitions = &*profiles.definitions;
        let name = definitions.entities[entity].name.to_string();
        let plan = live.and_then(|live| live.plans.of(&name)).map(|plan| &**plan);
        let unforeseen = plan.map(unforeseen).unwrap_or_default();
        let own = (0..definitions.tags.len()).filter(|tag| definitions.tags[*tag].entity == entity);
        let tags = own.filter(|tag| !unforeseen.contains(tag)).collect();
        let moves = plan.is_some_and(|plan| plan.follows_clock() || plan.counters.iter().any(|c| c.window.is_some()));
        let course = plan.zip(live).map(|(plan, live)| (plan, Decoder::new(&live.ledger, plan)));
        let signature = signature(profiles, live, plan, entity);
        let reader = Reader::new(definitions, live, as_of);
        Sight { entity: name, tags, course, moves, unforeseen, signature, reader }
    }

    /// The profile of an entry and, where the live state tells any of it, when that may change by time alone.
    fn look(&mut self, entry: Entry) -> Result<(Profile, Option<Option<Millis>>), Error> {
        let at = self.reader.as_of.instant();
        let course = match &self.course {
            None => None,
            Some((plan, decoder)) => {
                let given = plan.given_of(entry.tags.iter().map(Tag::dated));
                match entry.state.is_some() || given.is_known() {
                    false => None,
                    true if !self.moves => Some(None),
                    true => {
                        let state = entry.state.as_deref().map(|bytes| decoder.decode(bytes)).transpose()?;
                        Some(Course::new(plan, state, given).at(at).1)
                    }
                }
            }
        };
        let mut profile = self.reader.profile(entry)?;
        self.unforeseen.iter().for_each(|tag| profile.values[*tag] = None);
        // Whether there is a profile at all then follows the clock too, be there one now or not.
        let is_open = course.is_some() && !self.unforeseen.is_empty() && profile.is_empty();
        Ok((profile, if is_open { Some(Some(at)) } else { course }))
    }
}

/// The told tags that follow the clock in a way that is not solved, and those made of them.
fn unforeseen(plan: &Plan) -> Vec<usize> {
    let mut tags = Vec::new();
    for d in &plan.derivations {
        let wild = d.expr.uses_as_of() && !d.expr.is_solvable();
        if wild || d.inputs.iter().any(|input| tags.contains(input)) {
            tags.push(d.tag);
        }
    }
    tags
}

/// What the values of an entity depend on besides its records: the same number, the same values.
fn signature(profiles: &Profiles, live: Option<&Live>, plan: Option<&Plan>, entity: usize) -> u64 {
    let mut hasher = SipHasher24::new();
    let mut text = |text: String| {
        hasher.write_u64(text.len() as u64);
        hasher.write(text.as_bytes());
    };
    text(format!("{LAYOUT} {}", BLOCK));
    for tag in profiles.definitions.tags.iter().filter(|tag| tag.entity == entity) {
        text(format!("{} {} {} {:016x}", tag.code, tag.ty, tag.update.name(), tag.fingerprint));
    }
    if let (Some(live), Some(plan)) = (live, plan) {
        text(format!("{:?} {:?} {}", plan.outputs, live.ledger.numbers_of(plan), live.ledger.has_no_days()));
    }
    hasher.finish()
}

fn head(view: View<'_>, entity: &str) -> Result<Option<Head>, Error> {
    let bytes = view.record(&format!("head\0{entity}"))?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|_| broken())).transpose()
}

/// Why a store's index does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// There is none of this entity, or Redis was asked.
    None,
    /// It was never finished.
    Unfinished,
    /// An older program has written into the store.
    Unmarked,
    /// More than a quarter of the keys have changed: a scan is faster.
    Changed,
}

impl std::fmt::Display for Unused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unused::None => "there is none",
            Unused::Unfinished => "it is not finished",
            Unused::Unmarked => "a program that does not know it has written into the store",
            Unused::Changed => "more than a quarter of the keys have changed since",
        })
    }
}

/// Which key has which number.
pub struct Dictionary<'a> {
    view: View<'a>,
    entity: String,
}

impl<'a> Dictionary<'a> {
    pub fn new(view: View<'a>, entity: &str) -> Dictionary<'a> {
        Dictionary { view, entity: entity.to_string() }
    }

    /// The keys of a block, by place.
    pub fn keys(&self, block: u32) -> Result<Vec<Key>, Error> {
        let bytes = self.view.record(&block::name("keys", &self.entity, block))?.ok_or_else(broken)?;
        block::decode_keys(&bytes).ok_or_else(broken)
    }

    /// The first and the last key of a block whose keys rise.
    pub fn span(&self, block: u32) -> Result<Option<(Key, Key)>, Error> {
        let bytes = self.view.record(&block::name("block", &self.entity, block))?.ok_or_else(broken)?;
        let Some((first, last)) = About::decode(&bytes)?.0.span else { return Ok(None) };
        Ok(Key::from_stored(&first).zip(Key::from_stored(&last)))
    }
}

/// An index that answers, as of one transaction and one instant.
pub struct Indexed<'a> {
    view: View<'a>,
    sight: RefCell<Sight<'a>>,
    entity: String,
    as_of: AsOf,
    blocks: u32,
    numbered: u32,
    /// Places of changed keys, by block.
    changed: BTreeMap<u32, Bits>,
    /// Changed keys that have no number.
    unnumbered: Vec<Key>,
}

/// One block as it stands in the store, and what it is read with: any thread may read it.
pub struct Stored<'i, 'a> {
    number: u32,
    about: Unread<'a>,
    /// The instants at which keys change by time alone.
    next: Option<Unread<'a>>,
    columns: Vec<(usize, Unread<'a>)>,
    /// Keys that it has a number for.
    keys: usize,
    /// Of these, those that were written since.
    changed: Option<&'i Bits>,
    signature: u64,
    as_of: AsOf,
}

/// For which of its keys a block speaks.
pub struct Block {
    number: u32,
    /// Keys with a profile that it speaks for.
    pub clean: Bits,
    /// Keys that have to be looked up.
    pub others: Bits,
    about: About,
}

impl Profiles {
    /// The embedded store behind it.
    pub fn embedded_store(&self) -> Option<&Embedded> {
        match &self.from {
            From::Embedded { store, .. } => Some(store),
            From::Redis(_) => None,
        }
    }

    fn live(&self) -> Option<&Live> {
        match &self.from {
            From::Embedded { live, .. } => live.as_deref(),
            From::Redis(_) => None,
        }
    }

    /// Builds or refreshes the index of an entity, as of the instant asked about. `all`: blocks that are good too.
    pub fn build_index(&self, entity: usize, all: bool, told: &mut dyn FnMut(u64)) -> Result<Built, Error> {
        let store = self.embedded_store().expect("only an embedded store is asked for an index");
        let as_of = AsOf::Now(self.as_of.instant());
        build::build(store, &mut Sight::new(self, self.live(), entity, as_of), all, told)
    }

    /// Whether the index of an entity was made with definitions that mean the same as these.
    pub fn is_index_of_these(&self, entity: usize) -> Result<bool, Error> {
        let sight = Sight::new(self, self.live(), entity, self.as_of);
        let Some(store) = self.embedded_store() else { return Ok(false) };
        let snapshot = store.snapshot()?;
        let Some(view) = snapshot.index()? else { return Ok(false) };
        let first = view.record(&block::name("block", &sight.entity, 0))?;
        let about = first.map(|bytes| About::decode(&bytes)).transpose()?;
        Ok(about.is_none_or(|(about, _)| about.signature == sight.signature))
    }

    /// The index of an entity in a view of this store, if it answers.
    pub fn indexed<'a>(&'a self, view: Option<View<'a>>, entity: usize) -> Result<Result<Indexed<'a>, Unused>, Error> {
        let name = self.definitions.entities[entity].name.to_string();
        let Some(view) = view else { return Ok(Err(Unused::None)) };
        let Some(head) = head(view, &name)? else { return Ok(Err(Unused::None)) };
        if !head.whole {
            return Ok(Err(Unused::Unfinished));
        }
        if !view.is_signed()? {
            return Ok(Err(Unused::Unmarked));
        }
        self.checked(view, entity, head)
    }

    /// The same within a transaction that changes the index, which is signed with its end.
    pub fn indexed_now<'a>(&'a self, view: View<'a>, entity: usize) -> Result<Result<Indexed<'a>, Unused>, Error> {
        let name = self.definitions.entities[entity].name.to_string();
        match head(view, &name)? {
            Some(head) if head.whole => self.checked(view, entity, head),
            _ => Ok(Err(Unused::Unfinished)),
        }
    }

    /// The same, where the state has not gone past an instant that was named.
    fn checked<'a>(&'a self, view: View<'a>, entity: usize, head: Head) -> Result<Result<Indexed<'a>, Unused>, Error> {
        let indexed = self.indexed_in(view, entity, head)?;
        // After the view: what it has is no newer than what is looked at here.
        let store = self.embedded_store().expect("a view is of an embedded store");
        check_still(store, self.live(), self.as_of)?;
        Ok(indexed)
    }

    fn indexed_in<'a>(
        &'a self,
        view: View<'a>,
        entity: usize,
        head: Head,
    ) -> Result<Result<Indexed<'a>, Unused>, Error> {
        if view.changes()? > u64::from(head.next / 4).max(BLOCK as u64) {
            return Ok(Err(Unused::Changed));
        }
        let sight = Sight::new(self, self.live(), entity, self.as_of);
        let (mut changed, mut unnumbered): (BTreeMap<u32, Bits>, _) = (BTreeMap::new(), Vec::new());
        for key in view.changed(&sight.entity)? {
            match view.ordinal(key.as_str())? {
                Some(ordinal) => {
                    let (block, place) = (ordinal / BLOCK as u32, ordinal % BLOCK as u32);
                    changed.entry(block).or_default().insert(place as u16);
                }
                None => unnumbered.push(key),
            }
        }
        Ok(Ok(Indexed {
            view,
            entity: sight.entity.clone(),
            sight: RefCell::new(sight),
            as_of: self.as_of,
            blocks: head.blocks(),
            numbered: head.next,
            changed,
            unnumbered,
        }))
    }
}

impl<'a> Indexed<'a> {
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    pub fn dictionary(&self) -> Dictionary<'a> {
        Dictionary::new(self.view, &self.entity)
    }

    /// The instant asked about.
    pub fn as_of(&self) -> Millis {
        self.as_of.instant()
    }

    /// Keys that are in no block.
    pub fn unnumbered(&self) -> &[Key] {
        &self.unnumbered
    }

    /// Whether a tag has columns.
    pub fn has_columns(&self, tag: usize) -> bool {
        self.sight.borrow().tags.contains(&tag)
    }

    /// A key as it is in the store.
    pub fn profile(&self, key: &Key) -> Result<Profile, Error> {
        let entry = self.view.entry(key)?;
        self.sight.borrow_mut().reader.profile(entry)
    }

    /// A block with the columns of some tags.
    pub fn stored(&self, number: u32, tags: &[usize]) -> Result<Stored<'_, 'a>, Error> {
        let (view, sight) = (self.view, self.sight.borrow());
        let mut columns = Vec::with_capacity(tags.len());
        for tag in tags {
            let code = &sight.reader.definitions.tags[*tag].code;
            let unread = view.unread_column(&block::column(&self.entity, number, code))?;
            columns.extend(unread.map(|unread| (*tag, unread)));
        }
        Ok(Stored {
            number,
            about: view.unread_record(&block::name("block", &self.entity, number))?.ok_or_else(broken)?,
            next: view.unread_column(&block::column(&self.entity, number, NEXT))?,
            columns,
            keys: (self.numbered - number * BLOCK as u32).min(BLOCK as u32) as usize,
            changed: self.changed.get(&number),
            signature: sight.signature,
            as_of: self.as_of,
        })
    }

    /// The keys of a block, by place.
    pub fn keys(&self, number: u32) -> Result<Vec<Key>, Error> {
        self.dictionary().keys(number)
    }
}

impl<'a> Stored<'_, 'a> {
    pub fn read(&self) -> Result<Block, Error> {
        let (about, mut clean) = self.about.record(About::decode)?;
        let at = self.as_of.instant();
        let mut others = Bits::default();
        // A patch that is newer than a named instant is an error for whoever looks the key up.
        let too_new = matches!(self.as_of, AsOf::At(t) if about.newest > t);
        if about.signature != self.signature || at < about.since || too_new {
            (clean, others) = (Bits::default(), Bits::first(self.keys));
        } else {
            if about.next.is_some_and(|next| next <= at) {
                others = self.over(at)?;
            }
            if let Some(changed) = self.changed {
                others.or(changed);
            }
            clean.and_not(&others);
        }
        Ok(Block { number: self.number, clean, others, about })
    }

    /// The places whose next change by time alone is not ahead any more.
    fn over(&self, at: Millis) -> Result<Bits, Error> {
        let column = self.next.as_ref().ok_or_else(broken)?.column()?;
        let Body::Numbers(next) = column.body else { return Err(broken()) };
        next.within(Range { from: None, to: Some(i128::from(at) + 1) }, None).ok_or_else(broken)
    }

    /// What its keys have of a tag, which was asked for and has columns.
    pub fn column(&self, tag: usize) -> Result<Column<'a>, Error> {
        let (_, unread) = self.columns.iter().find(|(of, _)| *of == tag).ok_or_else(broken)?;
        unread.column()
    }
}

impl Block {
    /// Whether its columns were made under this signature.
    fn is_of(&self, signature: u64) -> bool {
        self.about.signature == signature
    }

    /// The number of its first key.
    pub fn first(&self) -> u32 {
        self.number * BLOCK as u32
    }
}
