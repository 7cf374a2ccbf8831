//! Bringing roll-ups up to date: what is missing or no longer true is made from the log, day by day.
//!
//! The days rolled up are always the first ones of the log without a gap: a day that cannot be rolled up yet is read,
//! and so are those behind it, because what they leave out as seen before may stand in it.

use super::Failure;
use super::day::{Live, counts};
use super::rows::{self, DayRows};
use super::seen::{self, Ids};
use super::work::{Work, cutoff, days, finish, place};
use crate::engine::dedup::Identity;
use crate::engine::fold::Tally;
use crate::engine::plan::Plan;
use crate::engine::state::State;
use crate::key::Key;
use crate::log::Log;
use crate::parallel;
use crate::rollup::file::{Reader, Section, Stored, Writer};
use crate::rollup::part::{self, States};
use crate::rollup::{Day, Error, FileRef, Marks, PARTS, checksum, filter, ids};
use crate::time::Millis;
use std::collections::HashSet;
use std::sync::atomic::Ordering;

/// With more files for later definitions than this, those that nothing asks for any more go.
const MORE_MAX: usize = 8;

/// What became of a day.
enum Ensured {
    /// It is rolled up; in memory, too, where its roll-up is of a later instant than the run.
    Rolled(Option<Live>),
    /// It cannot be, for now. Its rows, if they were read to know.
    Not(Option<DayRows>),
}

/// The log is rolled up through this day, if any, and these are the days to be taken from memory.
pub struct Current {
    pub through: Option<String>,
    pub live: Vec<Live>,
}

impl Work<'_> {
    /// Rolls up what can be, and reads what cannot.
    pub fn bring_up(&mut self) -> Result<Current, Failure> {
        let days = days(self.job.log)?;
        self.leave_gone(&days)?;
        let mut current = Current { through: None, live: Vec::new() };
        let mut open: Option<Vec<HashSet<Identity>>> = None;
        for (name, log) in &days {
            let mut rows = None;
            if open.is_none() {
                match self.ensure(name, log)? {
                    Ensured::Rolled(live) => {
                        current.live.extend(live);
                        current.through = Some(name.clone());
                        self.checkpoint()?;
                        continue;
                    }
                    Ensured::Not(read) => rows = read,
                }
            }
            let open = open.get_or_insert_with(|| vec![HashSet::new(); PARTS]);
            let rows = match rows {
                Some(rows) => rows,
                None => self.rows(name, log, Millis::MAX)?,
            };
            current.live.push(self.unrolled(&rows, current.through.as_deref(), open)?);
        }
        self.known.clear();
        self.commit()?;
        Ok(current)
    }

    /// Days whose partition is gone: what others left out because of them counts again.
    fn leave_gone(&mut self, days: &[(String, Log)]) -> Result<(), Error> {
        let Some((last, _)) = days.last() else { return Ok(()) };
        let known = self.manifest.through(last).map(|(name, _)| name.clone());
        let gone: Vec<String> = known.filter(|name| !days.iter().any(|(there, _)| there == name)).collect();
        for name in gone {
            let ids = self.ids_known(&name)?;
            self.mark_stale(&name, ids.as_ref())?;
            self.manifest_mut().days.remove(&name);
        }
        Ok(())
    }

    fn ensure(&mut self, name: &str, log: &Log) -> Result<Ensured, Failure> {
        let marks = Marks::of(log.files())?;
        if self.still_true(name, log, &marks)? {
            self.complement(name, log)?;
            let live = if cutoff(name) > self.as_of { Some(self.again(name, log)?) } else { None };
            return Ok(Ensured::Rolled(live));
        }
        if cutoff(name) >= self.job.received {
            return Ok(Ensured::Not(None));
        }
        let rows = self.rows(name, log, cutoff(name))?;
        if rows.unsettled {
            self.unsettled = Some(name.to_owned());
            return Ok(Ensured::Not(Some(rows)));
        }
        let earlier = self.roll_up(name, &rows, marks)?;
        let live = (cutoff(name) > self.as_of).then(|| self.live(&rows, &earlier));
        Ok(Ensured::Rolled(live))
    }

    /// Whether the roll-up of a day is that of its files as they are.
    fn still_true(&mut self, name: &str, log: &Log, marks: &Marks) -> Result<bool, Error> {
        let Some(day) = self.manifest.days.get(name) else { return Ok(false) };
        if day.stale || day.damaged || day.rules != self.rules {
            return Ok(false);
        }
        if day.marks.untouched(marks) {
            // Sealed since: what the seal says of the content is good to know once the files are packed.
            if marks.sealed()
                && day.marks != *marks
                && let Some(day) = self.manifest_mut().days.get_mut(name)
            {
                day.marks = marks.clone();
            }
            return Ok(true);
        }
        let (same, read) = day.marks.same_content(log.files())?;
        self.log_bytes.fetch_add(read, Ordering::Relaxed);
        if same && let Some(day) = self.manifest_mut().days.get_mut(name) {
            day.marks = marks.clone().sealed_as(&day.marks);
        }
        Ok(same)
    }

    fn rows(&mut self, name: &str, log: &Log, late_from: Millis) -> Result<DayRows, Failure> {
        self.read.insert(name.to_owned());
        self.log_bytes.fetch_add(log.size(), Ordering::Relaxed);
        let rows = rows::read(self.job, log, &self.job.plan.definitions.projection, late_from)?;
        self.torn.extend(rows.torn.iter().cloned());
        Ok(rows)
    }

    /// Makes the roll-up of a day and marks the later days that it makes untrue. What it gives: the ids seen before.
    fn roll_up(&mut self, name: &str, rows: &DayRows, marks: Marks) -> Result<Ids, Error> {
        let key = self.manifest.hash_key;
        let all: Ids = parallel::all(self.job.threads, PARTS, |p| Ok::<_, Error>(rows::ids(&key, &rows.parts[p])))?;
        let ids_digest = digest(&all);
        self.mark_later(name, &all, ids_digest)?;
        self.known.settle();
        let before: Vec<&Day> = self.manifest.before(name).map(|(_, day)| day).collect();
        let earlier = seen::before(self.dir, &before, &self.known, &all, self.job.threads, &self.meter)?;
        let file = self.manifest_mut().next_name(name, ".day");
        let (main, tally) = self.write_day(&file, cutoff(name), rows, &all, &earlier)?;
        let counts = counts(rows, tally);
        let (rules, ids) = (self.rules, all.iter().map(|ids| ids.len() as u64).sum());
        let day = Day { marks, rules, main, more: Vec::new(), ids, ids_digest, counts, stale: false, damaged: false };
        self.known.push(&day.main.name, all);
        self.manifest_mut().days.insert(name.to_owned(), day);
        Ok(earlier)
    }

    /// What a day had, and has no more, or has anew, changes every later day that has it, too.
    fn mark_later(&mut self, name: &str, now: &Ids, digest: u64) -> Result<(), Error> {
        match self.manifest.days.get(name) {
            Some(day) if day.ids_digest == digest => Ok(()),
            Some(_) => {
                let changed = self.ids_known(name)?.map(|before| {
                    before.iter().zip(now).map(|(before, now)| ids::difference(before, now)).collect::<Ids>()
                });
                self.mark_stale(name, changed.as_ref())
            }
            None => self.mark_stale(name, Some(now)),
        }
    }

    /// The ids of a day that is rolled up; `None`: they cannot be told.
    fn ids_known(&self, name: &str) -> Result<Option<Ids>, Error> {
        match self.manifest.days.get(name) {
            Some(day) if !day.damaged => match seen::of_day(self.dir, day, &self.meter) {
                Err(Error::Damaged { .. }) => Ok(None),
                ids => ids.map(Some),
            },
            _ => Ok(None),
        }
    }

    /// Marks the days behind `name` that share an id with `changed`; all of them when nobody knows what changed.
    fn mark_stale(&mut self, name: &str, changed: Option<&Ids>) -> Result<(), Error> {
        if changed.is_some_and(seen::is_empty) {
            return Ok(());
        }
        let later: Vec<(&String, &Day)> = self.manifest.behind(name).collect();
        let shares = |i: usize| -> Result<bool, Error> {
            let Some(changed) = changed else { return Ok(true) };
            match seen::in_day(self.dir, later[i].1, changed, &self.meter) {
                // Made anew, it takes in whatever changed.
                Err(Error::Damaged { .. }) => Ok(true),
                found => found.map(|found| !seen::is_empty(&found)),
            }
        };
        let shares = parallel::all(self.job.threads, later.len(), shares)?;
        let stale: Vec<String> =
            later.iter().zip(shares).filter(|(_, s)| *s).map(|((name, _), _)| (*name).clone()).collect();
        for name in stale {
            if let Some(day) = self.manifest_mut().days.get_mut(&name) {
                day.stale = true;
            }
        }
        Ok(())
    }

    fn write_day(
        &self,
        file: &str,
        cutoff: Millis,
        rows: &DayRows,
        all: &Ids,
        earlier: &Ids,
    ) -> Result<(FileRef, Tally), Error> {
        let mut writer = Writer::create(self.dir, file)?;
        let (mut filter_bytes, mut tally) = (Vec::new(), Tally::default());
        let work = |p: usize, states| {
            let mut sections = Vec::from(encode(&self.plans[p / PARTS], states, cutoff, true).stored(p));
            let mut bytes = Vec::new();
            if p >= PARTS {
                return (sections, bytes);
            }
            sections.push(part::late(p, rows::late(&self.manifest.hash_key, &rows.parts[p], &earlier[p])));
            sections.push(Stored::new(p, Section::Ids, ids::encode(&all[p])));
            sections.push(Stored::new(p, Section::Earlier, ids::encode(&earlier[p])));
            filter::build(&all[p], &mut bytes);
            (sections, bytes)
        };
        self.states_of(&self.plans, rows, earlier, cutoff, work, |_, (sections, bytes), part| {
            filter_bytes.extend_from_slice(&bytes);
            tally.add(part);
            sections.iter().try_for_each(|section| writer.put(section))
        })?;
        writer.put_filter(&filter_bytes)?;
        Ok((finish(writer, &self.plans)?, tally))
    }

    /// Makes what a day lacks for definitions that are new; its other states, and its ids, hold.
    fn complement(&mut self, name: &str, log: &Log) -> Result<(), Failure> {
        let Some(day) = self.manifest.days.get(name) else { return Ok(()) };
        let Some(plans) = self.missing(day) else { return Ok(()) };
        let rows = self.rows(name, log, Millis::MAX)?;
        let earlier = self.earlier(name)?;
        let file = self.manifest_mut().next_name(name, ".more");
        let mut writer = Writer::create(self.dir, &file)?;
        let cutoff = cutoff(name);
        // All users are in the main file; of an entity each file has all keys, since any of them may go.
        let work = |p: usize, states| encode(&plans[p / PARTS], states, cutoff, p >= PARTS).stored(p);
        self.states_of(&plans, &rows, &earlier, cutoff, work, |_, sections: [Stored; 2], _| {
            sections.iter().try_for_each(|section| writer.put(section))
        })?;
        let more = finish(writer, &plans)?;
        let crowded = self.manifest.days.get(name).filter(|day| day.more.len() >= MORE_MAX);
        let unwanted: Vec<String> = crowded.iter().flat_map(|day| self.unwanted(day)).collect();
        if let Some(day) = self.manifest_mut().days.get_mut(name) {
            day.more.retain(|file| !unwanted.contains(&file.name));
            day.more.push(more);
        }
        Ok(())
    }

    /// The ids of a day that is rolled up which earlier days have.
    fn earlier(&self, name: &str) -> Result<Ids, Error> {
        let Some(day) = self.manifest.days.get(name) else { return Ok(vec![Vec::new(); PARTS]) };
        let file = Reader::open(self.dir, &day.main, &self.meter)?;
        (0..PARTS).map(|p| ids::read(&file, p, Section::Earlier)).collect()
    }

    /// A day that is rolled up, as of the run's earlier instant.
    fn again(&mut self, name: &str, log: &Log) -> Result<Live, Failure> {
        let earlier = self.earlier(name)?;
        let rows = self.rows(name, log, Millis::MAX)?;
        Ok(self.live(&rows, &earlier))
    }

    /// A day that is not rolled up, behind the days through `through`, which are, and those whose ids are in `open`.
    fn unrolled(&self, rows: &DayRows, through: Option<&str>, open: &mut [HashSet<Identity>]) -> Result<Live, Error> {
        let key = self.manifest.hash_key;
        let all: Ids = parallel::all(self.job.threads, PARTS, |p| Ok::<_, Error>(rows::ids(&key, &rows.parts[p])))?;
        let before: Vec<&Day> = match through {
            Some(through) => self.manifest.through(through).map(|(_, day)| day).collect(),
            None => Vec::new(),
        };
        let mut earlier = seen::before(self.dir, &before, &self.known, &all, self.job.threads, &self.meter)?;
        for ((earlier, all), open) in earlier.iter_mut().zip(&all).zip(open) {
            earlier.extend(all.iter().filter(|id| open.contains(id)));
            open.extend(all);
        }
        Ok(self.live(rows, &earlier))
    }

    /// The files of a day for later definitions that nothing asks for any more.
    fn unwanted(&self, day: &Day) -> Vec<String> {
        let asked = |file: &&FileRef| {
            self.plans.iter().any(|plan| {
                let Some((_, held)) = place(file, plan) else { return false };
                let keys_only = plan.entity > 0 && plan.counters.is_empty();
                keys_only || plan.counters.iter().any(|counter| held.contains(&counter.fingerprint))
            })
        };
        day.more.iter().filter(|file| !asked(file)).map(|file| file.name.clone()).collect()
    }
}

/// The bytes of states without what is over at `at`. `all`: keys with nothing to remember, too, for they are there.
pub fn encode(plan: &Plan, states: Vec<(Key, State)>, at: Millis, all: bool) -> States {
    let numbers: Vec<u64> = (0..plan.counters.len() as u64).collect();
    let (mut out, mut bytes) = (States::default(), Vec::new());
    for (key, mut state) in states {
        bytes.clear();
        state.expire(plan, at);
        state.encode(&numbers, &mut bytes);
        if all || !bytes.is_empty() {
            out.push(key.as_str(), &bytes);
        }
    }
    out
}

fn digest(all: &Ids) -> u64 {
    all.iter().enumerate().fold(0, |digest, (p, ids)| checksum(digest ^ p as u64, &ids::encode(ids)))
}
