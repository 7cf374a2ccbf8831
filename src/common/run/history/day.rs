//! The states of one day's rows: those of users part by part, then those of the keys of entities.
//!
//! A row is judged once, among those of its user; where it counts, every key that it touches sees it.

use super::super::batch::{Range, partition};
use super::rows::{DayRows, Piece};
use super::seen::Ids;
use super::work::Work;
use crate::engine::dedup::Identity;
use crate::engine::fold::{Fold, Tally};
use crate::engine::keys::Keys;
use crate::engine::plan::Plan;
use crate::engine::state::State;
use crate::expr::Scratch;
use crate::key::Key;
use crate::parallel;
use crate::rollup::{Counts, PARTS};
use crate::time::Millis;

/// States of the keys of one part, in their order.
pub type States = Vec<(Key, State)>;

/// A day in memory, as of the run's instant: its roll-up serves a later instant, or cannot be made.
pub struct Live {
    /// By part: `PARTS` of users, then so many of each entity.
    pub states: Vec<States>,
    pub counts: Counts,
}

/// Where a row stands: its part, its piece of that part, and its place in the block.
type Place = (usize, u32, u32);

/// The rows of a day that count, and for each part of entities those that touch one of its keys.
struct Touches {
    rows: Vec<Place>,
    by_part: Vec<Vec<u32>>,
}

impl Work<'_> {
    /// A day in memory as of the run's instant.
    pub fn live(&self, rows: &DayRows, earlier: &Ids) -> Live {
        let (mut states, mut tally) = (Vec::new(), Tally::default());
        let take = |_, part, of_part| {
            states.push(part);
            tally.add(of_part);
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(()) = self.states_of(&self.plans, rows, earlier, self.as_of, |_, states| states, take);
        Live { states, counts: counts(rows, tally) }
    }

    /// The states of a day's rows as of `at`, for plans of which the first one is of users: does `work` on each part, on all
    /// threads, and gives the results to `take` in their order, with what became of the rows of users.
    pub fn states_of<T: Send, E: Send>(
        &self,
        plans: &[Plan],
        rows: &DayRows,
        earlier: &Ids,
        at: Millis,
        work: impl Fn(usize, States) -> T + Sync,
        mut take: impl FnMut(usize, T, Tally) -> Result<(), E>,
    ) -> Result<(), E> {
        let (users, entities) = plans.split_first().expect("there is always a plan of users");
        let mut touches = Touches { rows: Vec::new(), by_part: vec![Vec::new(); PARTS * entities.len()] };
        let of_users = |p: usize| {
            let (states, tally, counted) = self.users(users, &rows.parts[p], &earlier[p], at, !entities.is_empty());
            let goals = goals(entities, &rows.parts[p], &counted);
            Ok((work(p, states), tally, counted, goals))
        };
        parallel::ordered(self.job.threads, PARTS, of_users, |p, (made, tally, counted, goals)| {
            touches.add(p, &counted, &goals);
            take(p, made, tally)
        })?;
        let of_entities = |i: usize| Ok(work(PARTS + i, self.touched(&entities[i / PARTS], rows, &touches, i)));
        parallel::ordered(self.job.threads, PARTS * entities.len(), of_entities, |i, made| {
            take(PARTS + i, made, Tally::default())
        })
    }

    /// The users of one part; where it is `wanted`, which rows count, by piece.
    fn users(
        &self,
        plan: &Plan,
        pieces: &[Piece],
        earlier: &[Identity],
        at: Millis,
        wanted: bool,
    ) -> (States, Tally, Vec<(u32, u32)>) {
        let range = Range { since: None, as_of: Some(at) };
        let mut fold = Fold::new(plan, self.manifest.hash_key).within(range).knowing(earlier.iter().copied());
        let mut counted = Vec::new();
        for (n, piece) in (0..).zip(pieces) {
            let picks = fold.add_and_show(&piece.block);
            if wanted {
                counted.extend(picks.iter().map(|pick| (n, pick.row)));
            }
        }
        let tally = fold.tally;
        (fold.into_states(), tally, counted)
    }

    /// The keys of one part of an entity; `i` counts the parts of all entities.
    fn touched(&self, plan: &Plan, rows: &DayRows, touches: &Touches, i: usize) -> States {
        let mut fold = Fold::new(plan, self.manifest.hash_key);
        let places = touches.by_part[i].iter().map(|row| touches.rows[*row as usize]);
        let places: Vec<Place> = places.collect();
        for piece in places.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let block = &rows.parts[piece[0].0][piece[0].1 as usize].block;
            fold.touch(block, piece.iter().map(|place| place.2), |key| partition(key.as_bytes()) == i % PARTS);
        }
        fold.into_states()
    }
}

/// For rows that count the parts of entities that their keys fall into: pairs of the row's number and a part, each once.
fn goals(entities: &[Plan], pieces: &[Piece], counted: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let (mut goals, mut keys, mut scratch) = (Vec::new(), Keys::default(), Scratch::new());
    for (n, plan) in entities.iter().enumerate() {
        for (number, (piece, row)) in (0..).zip(counted) {
            plan.keys(&pieces[*piece as usize].block, *row as usize, &mut keys, &mut scratch);
            let first = goals.len();
            goals.extend(keys.iter().map(|key| (number, (PARTS * n + partition(key.as_bytes())) as u32)));
            if keys.len() > 1 {
                goals[first..].sort_unstable();
            }
        }
    }
    goals.dedup();
    goals
}

impl Touches {
    /// Takes in the rows of the users' part `p` that count.
    fn add(&mut self, p: usize, counted: &[(u32, u32)], goals: &[(u32, u32)]) {
        let first = u32::try_from(self.rows.len()).expect("the rows of a day are in memory: fewer than 2^32");
        self.rows.extend(counted.iter().map(|(piece, row)| (p, *piece, *row)));
        goals.iter().for_each(|(number, part)| self.by_part[*part as usize].push(first + number));
    }
}

/// What became of the lines of a day.
pub fn counts(rows: &DayRows, tally: Tally) -> Counts {
    let Tally { absorbed, duplicates, outside, times } = tally;
    Counts { absorbed, late: outside, duplicates, times, ..rows.counts.clone() }
}
