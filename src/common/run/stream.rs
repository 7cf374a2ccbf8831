//! What the two forms of the live path share: the clock they follow, whom they tell, and why they stop.

use super::feed::{Letter, Parcel};
use crate::bus::BusError;
use crate::engine::live::{AHEAD, Live, Outcome};
use crate::forgotten::Forgotten;
use crate::key::USER;
use crate::ledger::Counts;
use crate::log;
use crate::patch::Patch;
use crate::rollup;
use crate::store;
use crate::time::Millis;
use std::fmt;
use std::io;

/// Which clock the values follow.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The largest event time seen: for replays.
    Event,
    /// The wall clock, read by this function.
    Wall(fn() -> Millis),
}

/// Whoever runs a stream hears of it here.
pub trait Observer {
    /// A line or message was refused.
    fn refused(&mut self, letter: &Letter) -> io::Result<()>;
    /// Makes the letters so far durable: their input is about to be left behind.
    fn keep_letters(&mut self) -> io::Result<()>;
    /// Something a person should know.
    fn say(&mut self, words: &str);
    /// What goes as it should.
    fn note(&mut self, words: &str);
    /// Called now and then with what was done so far.
    fn progress(&mut self, report: &Report);
}

/// What a stream has done so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub counts: Counts,
    /// Events after the instant asked about.
    pub outside: u64,
    /// Messages whose key is not the userId in them.
    pub unkeyed: u64,
    pub patches: u64,
    /// Enters and leaves handed over, and memberships.
    pub derived: u64,
    pub memberships: usize,
    pub keys: usize,
    /// Whether keys of other entities than users are among them.
    pub others: bool,
    pub ids: usize,
    /// How far back every duplicate is noticed.
    pub horizon: Millis,
    /// How far time has come.
    pub now: Millis,
    /// Keys whose change is still to be told.
    pub waiting: usize,
    /// When the last checkpoint was on the disk.
    pub saved: Option<Millis>,
    pub redis_down: bool,
    /// Whether another stream publishes, and this one waits for its end.
    pub stands_by: bool,
}

impl Report {
    pub(super) fn look_at(&mut self, live: &Live) {
        self.keys = live.keys();
        self.others = live.plans().iter().any(|plan| plan.entity().is_declared());
        self.ids = live.dedup().len();
        self.now = live.now();
        self.horizon = live.dedup().in_force(live.now());
        self.memberships = live.memberships();
    }
}

/// Why a stream stopped.
#[derive(Debug)]
pub enum Error {
    /// Standard input could not be read.
    Input(io::Error),
    Bus(BusError),
    Store(store::Error),
    /// Patches could not be written.
    Output(io::Error),
    /// Dead letters could not be written.
    Letters(io::Error),
    /// Another process publishes into the same projection.
    Fenced {
        token: String,
    },
    /// The state on disk belongs to another input.
    OtherInput {
        why: String,
    },
    /// A base could not be read to its end: nothing of it is saved.
    Base(rollup::Error),
    /// Derived events could not be written to a log.
    Log(log::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Input(e) => write!(f, "cannot read stdin: {e}"),
            Error::Bus(e) => e.fmt(f),
            Error::Store(e) => e.fmt(f),
            Error::Output(e) => write!(f, "cannot write the patches: {e}"),
            Error::Letters(e) => write!(f, "cannot write the dead letters: {e}"),
            Error::Fenced { token } => {
                write!(f, "another process has taken over the projection: its name is in `{token}`")
            }
            Error::OtherInput { why } => f.write_str(why),
            Error::Base(e) => write!(f, "the base cannot be installed: {e}"),
            Error::Log(e) => write!(f, "cannot write the derived events: {e}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<store::Error> for Error {
    fn from(e: store::Error) -> Error {
        Error::Store(e)
    }
}

/// Tells of the refused lines of a parcel; one that names a forgotten user is no dead letter.
pub(super) fn refuse(
    parcel: &Parcel,
    forgotten: &Forgotten,
    counts: &mut Counts,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    for letter in &parcel.letters {
        if forgotten.is_named_in(&letter.original) {
            counts.forgotten += 1;
        } else {
            counts.refused += 1;
            observer.refused(letter).map_err(Error::Letters)?;
        }
    }
    Ok(())
}

/// Takes the rows and patches of a parcel in, in the order they came, letting time pass as the clock has it.
/// Those of forgotten users are counted and left out.
pub(super) fn absorb(
    live: &mut Live,
    clock: Clock,
    parcel: &Parcel,
    forgotten: &Forgotten,
    counts: &mut Counts,
    out: &mut Vec<Patch>,
) {
    if let Clock::Wall(now) = clock {
        live.advance(now(), out);
    }
    let block = &parcel.block;
    let mut given = parcel.given.iter().peekable();
    let mut ahead = 0..0;
    let forgetful = !forgotten.is_empty();
    for i in 0..=block.len() {
        while let Some((_, patch)) = given.next_if(|(row, _)| *row <= i) {
            if forgetful && is_forgotten(forgotten, patch) {
                counts.forgotten += 1;
                continue;
            }
            counts.given += 1;
            live.give(patch, out);
        }
        if i == block.len() {
            break;
        }
        if forgetful && forgotten.drops(block.user(i).as_bytes(), block.timestamp(i)) {
            counts.forgotten += 1;
            continue;
        }
        if let Clock::Event = clock {
            live.advance(block.timestamp(i), out);
        }
        if i >= ahead.end {
            ahead = i..block.len().min(i + AHEAD);
            live.look_ahead(block, ahead.clone());
        }
        match live.push_ahead(block, i, out) {
            Outcome::Absorbed => counts.absorbed += 1,
            Outcome::Duplicate => counts.duplicates += 1,
            Outcome::Covered => counts.covered += 1,
        }
    }
}

/// Whether a patch brings values of a forgotten user, from before.
pub fn is_forgotten(forgotten: &Forgotten, patch: &Patch) -> bool {
    patch.key.entity() == USER && forgotten.drops(patch.key.id().as_bytes(), patch.as_of)
}

#[cfg(test)]
mod tests {
    use super::super::feed::{News, Parser, lines};
    use super::*;
    use crate::engine::dedup::Horizon;
    use crate::engine::live::Telling;
    use crate::engine::plans::Plans;
    use crate::event::Rules;
    use crate::tag::Definitions;
    use crossbeam_channel::unbounded;
    use std::sync::Arc;

    const FIRST: Millis = 1_731_296_325_000;
    const GONE: &str = "gone";

    /// So many events that it is looked ahead several times; one in ten is a copy of an older one.
    fn parcel(plans: &Plans, gone: &[usize]) -> Parcel {
        let event = |i: usize| {
            let id = if i % 10 == 9 && !gone.contains(&(i - 7)) { i - 7 } else { i };
            let user = if gone.contains(&i) { GONE.to_string() } else { format!("u{}", id % 5) };
            let at = FIRST + id as Millis * 100;
            format!(r#"{{"eventId":"e{id}","userId":"{user}","eventType":"click","timestamp":{at}}}"#) + "\n"
        };
        let input: String = (0..3 * AHEAD).map(event).collect();
        let projection = plans.definitions().projection.clone();
        let rules = Rules::default();
        let parser = Parser { projection, rules, now: || FIRST + 3_600_000, until: None, plans: None, by_day: true };
        let (out, news) = unbounded();
        lines(input.as_bytes(), &parser, &out);
        match news.recv() {
            Ok(News::Parcel(parcel)) if parcel.block.len() == 3 * AHEAD => parcel,
            other => panic!("one parcel of all: {other:?}"),
        }
    }

    #[test]
    fn a_parcel_is_its_rows_one_by_one_wherever_those_of_forgotten_users_stand() {
        let text = "[[tag]]\ncode = \"n\"\nvalue = \"count(*)\"\nwindow = \"5s\"\n";
        let definitions = Arc::new(Definitions::parse(text, "test").expect("right"));
        let plans = Plans::new(&definitions, &[0]);
        let live = || Live::new(plans.clone(), Telling::Each, Horizon::within(1 << 20), [3, 4]);
        let mut forgotten = Forgotten::default();
        forgotten.add([GONE], FIRST + 3_600_000, [7; 16]);
        // Where it looks ahead, right before, right after, and all along.
        let (edge, last) = (AHEAD, 3 * AHEAD - 1);
        let all: Vec<usize> = (edge - 1..=last).collect();
        for gone in [&[][..], &[0], &[edge - 1], &[edge], &[edge + 1], &[edge, edge + 1, 2 * edge], &[last], &all] {
            let parcel = parcel(&plans, gone);
            let (mut counts, mut out) = (Counts::default(), Vec::new());
            absorb(&mut live(), Clock::Event, &parcel, &forgotten, &mut counts, &mut out);
            let (mut twin, mut want, mut absorbed) = (live(), Vec::new(), 0);
            for i in (0..parcel.block.len()).filter(|i| parcel.block.user(*i) != GONE) {
                twin.advance(parcel.block.timestamp(i), &mut want);
                absorbed += u64::from(twin.push(&parcel.block, i, &mut want) == Outcome::Absorbed);
            }
            assert_eq!(out, want, "{gone:?}");
            let there = (3 * AHEAD - gone.len()) as u64;
            let got = (counts.absorbed, counts.duplicates, counts.forgotten);
            assert_eq!(got, (absorbed, there - absorbed, gone.len() as u64), "{gone:?}");
            assert!(gone.len() > 2 || counts.duplicates > 70, "{gone:?}");
        }
    }

    #[test]
    fn what_is_erased_takes_no_room() {
        let definitions =
            Arc::new(Definitions::parse("[[tag]]\ncode = \"n\"\nvalue = \"count(*)\"\n", "test").expect("right"));
        let plans = Plans::new(&definitions, &[0]);
        let mut live = Live::new(plans.clone(), Telling::Drained, Horizon::within(1 << 20), [3, 4]);
        let (mut counts, forgotten) = (Counts::default(), Forgotten::default());
        absorb(&mut live, Clock::Event, &parcel(&plans, &[]), &forgotten, &mut counts, &mut Vec::new());
        live.save(|_, _| {});
        assert!(live.packed_bytes() > 0);
        assert_eq!(live.erase(|_| true), 5);
        assert_eq!(live.packed_bytes(), 0);
    }
}
