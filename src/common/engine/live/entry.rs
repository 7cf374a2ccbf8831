//! Entries: what is remembered of one key, and how it rests between checkpoints.
//!
//! A state with events of its own, partials and panes, takes several times as much as its bytes. A key that an
//! event touches is opened, and packed again by the next checkpoint, which needs the bytes anyway, or before it when too many
//! are open. Where memory is bounded the bytes of those untouched for longest rest in the checkpoint alone.

use crate::engine::given::Given;
use crate::engine::plan::{Plan, Values};
use crate::engine::state::State;
use crate::expr::Scratch;
use crate::key::Key;
use crate::time::Millis;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const NO_TIMER: Millis = Millis::MAX;

/// There is one for each of millions of keys: a line of the processor's cache holds it.
pub(super) struct Entry {
    pub key: Key,
    slot: Slot,
    pub given: Given,
    /// The instant its timer is set to; `NO_TIMER` for none.
    pub next: Millis,
    /// The counters that changed since the last telling.
    pub changed: u64,
    /// The place of its plan.
    pub plan: u16,
    /// Of nobody: there is room for a key to come.
    pub free: bool,
    pub unsaved: bool,
    /// The state is where the codec's `Elsewhere` has it; the slot is empty.
    away: bool,
    /// Packed since the last look for room.
    fresh: bool,
    /// The next telling has all audiences of a user, not only those that changed.
    pub whole: bool,
}

const _: () = assert!(size_of::<Entry>() <= 64);

/// A state; one of nothing where patches alone have named the key, a base took the last of it, or its entity has forgotten it.
enum Slot {
    Open(Box<State>),
    /// As the key's codec writes it; empty: nothing.
    Packed(Box<[u8]>),
}

/// Where states are that memory has no room for: what the last checkpoint holds.
pub trait Elsewhere: Send + Sync {
    /// The bytes of a key's state, as `Live::save` gave them; empty when they are not to be had: from there on `is_sound`
    /// is false, and nothing may be told or saved any more.
    fn bytes(&self, key: &Key) -> Vec<u8>;

    fn is_sound(&self) -> bool;
}

/// How the states of a plan are packed: each counter under its number.
pub(super) struct Codec {
    pub plan: Arc<Plan>,
    numbers: Vec<u64>,
    /// By number, the places of counters.
    places: Vec<(u64, usize)>,
    /// Bytes of packed states in memory, with what the allocator adds.
    held: AtomicUsize,
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// What keeping a packed state costs besides its bytes: the allocator's classes of sizes.
const SLACK: usize = 8;

impl Codec {
    pub fn new(plan: Arc<Plan>, numbers: Vec<u64>) -> Codec {
        let mut places: Vec<(u64, usize)> =
            numbers.iter().enumerate().map(|(place, number)| (*number, place)).collect();
        places.sort_unstable();
        Codec { plan, numbers, places, held: AtomicUsize::new(0), elsewhere: None }
    }

    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn hold(&self, bytes: &[u8]) {
        self.held.fetch_add(bytes.len() + SLACK, Ordering::Relaxed);
    }

    fn let_go(&self, bytes: &[u8]) {
        self.held.fetch_sub(bytes.len() + SLACK, Ordering::Relaxed);
    }

    fn pack(&self, state: &State, out: &mut Vec<u8>) {
        out.clear();
        state.encode_days(&self.numbers, out);
    }

    /// The state of a key that is away.
    fn fetch(&self, key: &Key) -> State {
        let bytes = self.elsewhere.as_ref().map(|elsewhere| elsewhere.bytes(key)).unwrap_or_default();
        if bytes.is_empty() { State::new(&self.plan) } else { self.open(&bytes) }
    }

    fn open(&self, bytes: &[u8]) -> State {
        let places = |number: u64| {
            let first = self.places.partition_point(|(n, _)| *n < number);
            self.places[first..].iter().take_while(move |(n, _)| *n == number).map(|(_, place)| *place)
        };
        State::decode_days(&self.plan, places, bytes).expect("it was packed by this codec")
    }
}

impl Entry {
    /// Of a key of which nothing is known.
    pub fn new(key: Key, plan: usize) -> Entry {
        Entry {
            key,
            slot: Slot::Packed(Box::default()),
            given: Given::default(),
            next: NO_TIMER,
            changed: 0,
            plan: plan as u16,
            free: false,
            unsaved: false,
            away: false,
            fresh: false,
            whole: false,
        }
    }

    /// Something of all that an event will need: looked at early, it need not be waited for later.
    #[inline]
    pub fn glance(&self) -> u8 {
        let state = match &self.slot {
            Slot::Packed(bytes) => bytes.first().copied(),
            Slot::Open(state) => Some(u8::from(state.is_nothing())),
        };
        state.unwrap_or(0) ^ self.key.as_str().as_bytes()[0]
    }

    /// The same of all that an open state holds itself.
    #[inline]
    pub fn glance_inside(&self) -> usize {
        match &self.slot {
            Slot::Packed(_) => 0,
            Slot::Open(state) => state.glance(),
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.slot, Slot::Open(_))
    }

    /// Bytes that an open state takes, lists and texts in its partials left out; 0 of one at rest.
    pub fn open_bytes(&self) -> u32 {
        match &self.slot {
            Slot::Open(state) => u32::try_from(state.bytes()).unwrap_or(u32::MAX),
            Slot::Packed(_) => 0,
        }
    }

    /// Whether no event counts any more: then the key is as one never seen.
    pub fn is_nothing(&self) -> bool {
        match &self.slot {
            Slot::Open(state) => state.is_nothing(),
            Slot::Packed(bytes) => bytes.is_empty() && !self.away,
        }
    }

    pub fn is_known(&self) -> bool {
        !self.is_nothing() || self.given.is_known()
    }

    /// Looks at the state; `None` when it is nothing.
    pub fn look<R>(&self, codec: &Codec, look: impl FnOnce(Option<&State>) -> R) -> R {
        match &self.slot {
            _ if self.is_nothing() => look(None),
            Slot::Open(state) => look(Some(state)),
            Slot::Packed(_) if self.away => look(Some(&codec.fetch(&self.key))),
            Slot::Packed(bytes) => look(Some(&codec.open(bytes))),
        }
    }

    pub fn values(&self, codec: &Codec, at: Millis, scratch: &mut Scratch) -> Values {
        self.look(codec, |state| codec.plan.values(state, &self.given, at, scratch))
    }

    /// The state, to be changed.
    pub fn open(&mut self, codec: &Codec) -> &mut State {
        if let Slot::Packed(bytes) = &self.slot {
            let state = if self.away {
                codec.fetch(&self.key)
            } else if bytes.is_empty() {
                State::new(&codec.plan)
            } else {
                codec.let_go(bytes);
                codec.open(bytes)
            };
            (self.slot, self.away) = (Slot::Open(Box::new(state)), false);
        }
        match &mut self.slot {
            Slot::Open(state) => state,
            Slot::Packed(_) => unreachable!("it was just opened"),
        }
    }

    /// Fetches a state that is away, so that it can be packed here.
    pub fn fetch_if_away(&mut self, codec: &Codec) {
        if self.away {
            self.open(codec);
        }
    }

    /// Puts a state in the place of what is there.
    pub fn set(&mut self, codec: &Codec, state: State) {
        self.clear(codec);
        self.slot = Slot::Open(Box::new(state));
    }

    /// Makes the state nothing.
    pub fn clear(&mut self, codec: &Codec) {
        if let Slot::Packed(bytes) = &self.slot
            && !bytes.is_empty()
        {
            codec.let_go(bytes);
        }
        (self.slot, self.away) = (Slot::Packed(Box::default()), false);
    }

    /// Leaves a packed state to the checkpoint, which has it. One packed since the last time stays for once.
    pub fn leave(&mut self, codec: &Codec) {
        match &self.slot {
            Slot::Packed(bytes) if !bytes.is_empty() && !self.unsaved => {
                if std::mem::take(&mut self.fresh) {
                    return;
                }
                codec.let_go(bytes);
                (self.slot, self.away) = (Slot::Packed(Box::default()), true);
            }
            _ => {}
        }
    }

    /// Makes the key one never seen when its entity has forgotten it.
    pub fn forget_if_over(&mut self, codec: &Codec, now: Millis) -> bool {
        let over = self.look(codec, |state| state.is_some_and(|state| codec.plan.is_over(state, now)));
        if over {
            self.clear(codec);
        }
        over
    }

    /// Packs the state, through `buffer`.
    pub fn pack(&mut self, codec: &Codec, buffer: &mut Vec<u8>) {
        if let Slot::Open(state) = &self.slot {
            codec.pack(state, buffer);
            if !buffer.is_empty() {
                codec.hold(buffer);
            }
            (self.slot, self.fresh) = (Slot::Packed(buffer.as_slice().into()), true);
        }
    }

    /// The bytes of a packed state, unless it is nothing.
    pub fn packed(&self) -> Option<&[u8]> {
        match &self.slot {
            Slot::Packed(bytes) if !bytes.is_empty() => Some(bytes),
            _ => None,
        }
    }
}
