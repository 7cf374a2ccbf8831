//! Members: who is in which audience and since when, kept current with the values.
//!
//! Whoever is in none takes no room. A change is looked at once, right behind what caused it: what it moves is compared
//! with what was there before, and only rules that such a move may touch are evaluated.

use super::entry::{Codec, Entry};
use crate::agg::codec::{get_i64, get_u64, put_i64, put_u64};
use crate::engine::audience::{Audiences, Cells};
use crate::engine::derived::{Cause, Derived};
use crate::engine::state::State;
use crate::expr::Scratch;
use crate::key::{Key, SEGMENTS};
use crate::patch::{ALL_OTHERS, Patch};
use crate::time::Millis;
use crate::value::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// An instant takes so many bits, the place of the audience the rest.
const SINCE_BITS: u32 = 48;
const SINCE_MASK: u64 = (1 << SINCE_BITS) - 1;

/// The audiences of one user, in their order: each with the instant of entering.
type Places = Box<[u64]>;

fn packed(place: u16, since: Millis) -> u64 {
    u64::from(place) << SINCE_BITS | (since.max(0) as u64).min(SINCE_MASK)
}

fn place_of(one: u64) -> u16 {
    (one >> SINCE_BITS) as u16
}

fn since_of(one: u64) -> Millis {
    (one & SINCE_MASK) as Millis
}

pub(super) struct Members {
    pub audiences: Arc<Audiences>,
    /// Of users who are in one at least.
    of: HashMap<u32, Places>,
    /// Memberships of all of them.
    count: usize,
    /// Users whose memberships differ from the checkpoint.
    unsaved: BTreeSet<u32>,
    /// The audiences that a user has entered or left since that was told.
    untold: HashMap<u32, Vec<u16>>,
    /// Whether somebody is told of memberships, and whether somebody hears of enters and leaves; these.
    told: bool,
    heard: bool,
    made: Vec<Derived>,
    /// How often patches have made a user enter or leave at one instant, which may be that of many of them.
    by_patches: (Millis, HashMap<(u32, u16, bool), u32>),
    /// The user to be looked at next, while some audiences are yet to be found.
    finding: Option<u32>,
    stale: Vec<u16>,
    // What serves one user after another.
    was: Vec<(usize, Option<Value>)>,
    touched: Vec<u16>,
    flips: Vec<(u16, bool)>,
    cells: Cells,
}

/// Which rules are looked at besides those that a moved value touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    Moved,
    /// Of a user of whom nothing was known: those that are true of nothing.
    Fresh,
    /// Time has come from this instant to the present.
    Since(Millis),
    All,
    Stale,
}

impl Members {
    pub fn new(audiences: Audiences, tags: usize, heard: bool, told: bool) -> Members {
        let stale = audiences.stale();
        Members {
            audiences: Arc::new(audiences),
            of: HashMap::new(),
            count: 0,
            unsaved: BTreeSet::new(),
            untold: HashMap::new(),
            told,
            heard,
            made: Vec::new(),
            by_patches: (0, HashMap::new()),
            finding: (!stale.is_empty()).then_some(0),
            stale,
            was: Vec::new(),
            touched: Vec::new(),
            flips: Vec::new(),
            cells: Cells::new(tags),
        }
    }

    /// Takes note of the value that a counter has before a row is added.
    pub fn note(&mut self, counter: usize, codec: &Codec, state: &State, now: Millis) {
        if self.audiences.watches(counter) {
            let counted = &codec.plan.counters[counter];
            self.was.push((counted.tag, state.value(counter, counted, now)));
        }
    }

    /// The same of the derived tags that rules look at.
    pub fn note_derived(&mut self, entry: &Entry, codec: &Codec, at: Millis) {
        if self.audiences.derived().is_empty() {
            return;
        }
        let Members { audiences, was, cells, .. } = self;
        entry.look(codec, |state| {
            let row = audiences.row(&codec.plan, state, &entry.given, at, cells);
            was.extend(audiences.derived().iter().map(|tag| (*tag, row.value(*tag).cloned())));
        });
        cells.clear();
    }

    /// The same of the counters that time moves at `now`, as they were before.
    pub fn note_falling(&mut self, entry: &Entry, codec: &Codec, before: Millis, now: Millis) {
        let Members { audiences, was, .. } = self;
        entry.look(codec, |state| {
            let Some(state) = state else { return };
            for (place, counter) in codec.plan.counters.iter().enumerate() {
                let Some(window) = counter.window.filter(|_| audiences.watches(place)) else { continue };
                let over = state.kept(place).first().is_some_and(|(pane, _)| window.expiry(*pane) <= now);
                if over || counter.form.function.changes_by_step() {
                    was.push((counter.tag, state.value(place, counter, before)));
                }
            }
        });
        self.note_derived(entry, codec, before);
    }

    /// The same of any tag.
    pub fn note_value(&mut self, tag: usize, value: Option<Value>) {
        if self.audiences.looks_at(tag) {
            self.was.push((tag, value));
        }
    }

    pub fn forget_noted(&mut self) {
        self.was.clear();
    }

    /// Looks at a user after a change: who has entered or left what. Whether anything.
    #[allow(clippy::too_many_arguments)] // one user at one instant, and why
    pub fn look(
        &mut self,
        place: u32,
        entry: &Entry,
        codec: &Codec,
        now: Millis,
        scope: Scope,
        cause: &dyn Fn() -> Cause,
        patches: usize,
        scratch: &mut Scratch,
    ) -> bool {
        if !entry.is_known() {
            self.was.clear();
            let all: Vec<u16> = self.of.get(&place).into_iter().flatten().map(|one| place_of(*one)).collect();
            self.flips.extend(all.into_iter().map(|audience| (audience, false)));
            return self.flip(place, &entry.key, now, cause, patches);
        }
        if self.was.is_empty() && scope == Scope::Moved {
            return false;
        }
        let Members { audiences, of, was, touched, flips, cells, stale, .. } = self;
        // What was known of her before is gone, and she has yet to leave.
        let scope = if scope == Scope::Fresh && of.contains_key(&place) { Scope::All } else { scope };
        touched.clear();
        entry.look(codec, |state| {
            let row = audiences.row(&codec.plan, state, &entry.given, now, cells);
            for (tag, was) in was.drain(..) {
                let is = row.value(tag);
                if is != was.as_ref() {
                    audiences.moved(tag, was.as_ref(), is, now, touched);
                }
            }
            match scope {
                Scope::Moved => {}
                Scope::Fresh => touched.extend(audiences.fresh()),
                Scope::Since(before) => {
                    audiences.aged(&row, before, now, touched);
                    touched.extend(audiences.clocked());
                }
                Scope::All => touched.extend(0..audiences.list.len() as u16),
                Scope::Stale => touched.extend(stale.iter()),
            }
            if touched.is_empty() {
                return;
            }
            touched.sort_unstable();
            touched.dedup();
            let mine = of.get(&place);
            for audience in touched.iter().copied() {
                let is = audiences.holds(audience, &row, scratch);
                if is != mine.is_some_and(|mine| find(mine, audience).is_ok()) {
                    flips.push((audience, is));
                }
            }
        });
        cells.clear();
        scratch.reset();
        self.flip(place, &entry.key, now, cause, patches)
    }

    fn flip(&mut self, place: u32, key: &Key, now: Millis, cause: &dyn Fn() -> Cause, patches: usize) -> bool {
        if self.flips.is_empty() {
            return false;
        }
        let mut mine = self.of.remove(&place).unwrap_or_default().into_vec();
        for (audience, enters) in self.flips.drain(..) {
            let since = match (find(&mine, audience), enters) {
                (Err(at), true) => {
                    mine.insert(at, packed(audience, now));
                    self.count += 1;
                    None
                }
                (Ok(at), false) => {
                    self.count -= 1;
                    Some(since_of(mine.remove(at)))
                }
                _ => continue,
            };
            let one = &self.audiences.list[usize::from(audience)];
            if self.heard {
                let (segment, version) = (one.code.clone(), one.version.clone());
                let (key, cause) = (key.clone(), cause());
                let nth = match cause {
                    Cause::Patch => nth(&mut self.by_patches, now, (place, audience, enters)),
                    _ => 0,
                };
                self.made.push(Derived { key, segment, version, since, at: now, cause, nth, patches });
            }
            if self.told {
                let untold = self.untold.entry(place).or_default();
                if !untold.contains(&audience) {
                    untold.push(audience);
                }
            }
        }
        if !mine.is_empty() {
            self.of.insert(place, mine.into());
        }
        self.unsaved.insert(place);
        true
    }

    /// The first instant after `now` at which the clock alone may touch a rule.
    pub fn next_change(&mut self, entry: &Entry, codec: &Codec, now: Millis, scratch: &mut Scratch) -> Option<Millis> {
        if !self.audiences.follow_clock() || !entry.is_known() {
            return None;
        }
        let Members { audiences, cells, .. } = self;
        let next = entry.look(codec, |state| {
            let row = audiences.row(&codec.plan, state, &entry.given, now, cells);
            audiences.next_change(&row, now, scratch)
        });
        cells.clear();
        scratch.reset();
        next
    }

    /// Users who are yet to be looked at, up to `most` of them: from one place to another. `None`: nobody.
    pub fn next_to_find(&mut self, most: usize, all: usize) -> Option<std::ops::Range<u32>> {
        let from = self.finding?;
        let to = (from as usize).saturating_add(most).min(all) as u32;
        self.finding = Some(to);
        Some(from..to)
    }

    /// Everybody was looked at.
    pub fn found(&mut self) {
        self.finding = None;
    }

    pub fn is_finding(&self) -> bool {
        self.finding.is_some()
    }

    /// What was made since the last call, in its order.
    pub fn take_made(&mut self) -> Vec<Derived> {
        std::mem::take(&mut self.made)
    }

    /// The audiences of a user, with the instants of entering.
    pub fn of(&self, place: u32) -> impl Iterator<Item = (&str, Millis)> {
        let code = |one: &u64| (&*self.audiences.list[usize::from(place_of(*one))].code, since_of(*one));
        self.of.get(&place).into_iter().flatten().map(code)
    }

    /// Drops what is known of a user, without a word.
    pub fn erase(&mut self, place: u32) {
        self.untold.remove(&place);
        if let Some(mine) = self.of.remove(&place) {
            self.count -= mine.len();
            self.unsaved.insert(place);
        }
    }

    pub fn erase_made(&mut self, mut gone: impl FnMut(&Key) -> bool) {
        self.made.retain(|derived| !gone(&derived.key));
    }

    /// Whether the entry of a user has to stay for what she is in, and for what is to be saved or told.
    pub fn needs(&self, place: u32) -> bool {
        self.of.contains_key(&place) || self.unsaved.contains(&place) || self.untold.contains_key(&place)
    }

    pub fn forget_untold(&mut self) {
        self.untold.clear();
    }

    /// How many users' memberships differ from the checkpoint.
    pub fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    pub fn forget_unsaved(&mut self) {
        self.unsaved.clear();
    }

    /// Users whose memberships differ from the checkpoint, for one.
    pub fn take_unsaved(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.unsaved)
    }

    /// What was not told of a user yet; with `whole` all there is.
    pub fn tell(&mut self, place: u32, key: &Key, now: Millis, whole: bool) -> Option<Patch> {
        let untold = self.untold.remove(&place);
        let mine = self.of.get(&place).map_or(&[][..], |mine| mine);
        let list = &self.audiences.list;
        let mut tags: Vec<(Arc<str>, Option<Value>)> = Vec::new();
        if whole {
            tags.push((ALL_OTHERS.into(), None));
            tags.extend(
                mine.iter()
                    .map(|one| (list[usize::from(place_of(*one))].code.clone(), Some(Value::Time(since_of(*one))))),
            );
        } else {
            tags.extend(untold?.into_iter().map(|audience| {
                let since = find(mine, audience).ok().map(|at| Value::Time(since_of(mine[at])));
                (list[usize::from(audience)].code.clone(), since)
            }));
        }
        Some(Patch { key: Key::new(key.tenant(), SEGMENTS, [key.id()]), as_of: now, tags })
    }

    /// The memberships of a user, under the numbers of audiences; `None`: none.
    pub fn encode(&self, place: u32, out: &mut Vec<u8>) -> bool {
        out.clear();
        let mut before = 0;
        for one in self.of.get(&place).into_iter().flatten() {
            put_u64(out, self.audiences.list[usize::from(place_of(*one))].number);
            put_i64(out, since_of(*one) - before);
            before = since_of(*one);
        }
        !out.is_empty()
    }

    /// The inverse. `None` when the bytes are not that.
    pub fn restore(&mut self, place: u32, input: &[u8]) -> Option<()> {
        let known =
            memberships(input)?.into_iter().map(|(number, since)| Some(packed(self.audiences.place(number)?, since)));
        let mut mine: Vec<u64> = known.collect::<Option<_>>()?;
        mine.sort_unstable();
        self.count += mine.len();
        if !mine.is_empty() {
            self.of.insert(place, mine.into());
        }
        Some(())
    }

    /// How many memberships there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// The memberships of a user as a checkpoint has them: numbers of audiences, each with the instant of entering. `None` when
/// the bytes are not that.
pub fn memberships(mut input: &[u8]) -> Option<Vec<(u64, Millis)>> {
    let (mut all, mut before) = (Vec::new(), 0i64);
    while !input.is_empty() {
        let number = get_u64(&mut input)?;
        before = before.checked_add(get_i64(&mut input)?)?;
        all.push((number, before));
    }
    Some(all)
}

/// How often this has happened at `now` before.
fn nth(known: &mut (Millis, HashMap<(u32, u16, bool), u32>), now: Millis, what: (u32, u16, bool)) -> u32 {
    let (instant, times) = known;
    if std::mem::replace(instant, now) != now {
        times.clear();
    }
    let times = times.entry(what).or_default();
    *times += 1;
    *times - 1
}

fn find(mine: &[u64], audience: u16) -> Result<usize, usize> {
    mine.binary_search_by_key(&audience, |one| place_of(*one))
}
