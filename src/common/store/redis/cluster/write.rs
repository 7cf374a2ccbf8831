//! Patches into a cluster: what lies in one slot is written in one step, under a token that lies in that slot, too.
//!
//! So the token shares the fate of its data: moved with it, lost with it, rewound with it. A transaction cannot span
//! slots, so that a batch shows slot by slot. The projection's own token is changed first: it says which events may show.

use super::script::Script;
use super::slot::{SLOTS, slot, tags};
use super::{Cluster, Commands};
use crate::key::Prefixes;
use crate::patch::Patch;
use crate::store::redis::fault::Fault;
use crate::store::redis::resp;
use crate::store::redis::write::{NOT_A_HASH, Published, Refused, Written};
use ::redis::Value;
use std::time::{Duration, Instant};

/// Within this time every slot's token is looked at once.
const LOOK: Duration = Duration::from_secs(2);
/// Patches in one run of commands without a token.
const BATCH: usize = 10_000;

/// The claim on all slots, while it lasts.
pub struct Hold {
    /// The name of each slot's token.
    names: Vec<String>,
    /// What each token of this claim begins with, and of no other; of a later claim it is greater.
    claim: String,
    /// For each slot the batch that was written there last.
    batches: Vec<u64>,
    /// The batches so far.
    batch: u64,
    /// The slot that is looked at next, and when one was.
    next: usize,
    looked: Instant,
}

impl Hold {
    fn text(&self, batch: u64) -> String {
        format!("{}{batch:016x}", self.claim)
    }

    fn expected(&self, slot: usize) -> String {
        self.text(self.batches[slot])
    }

    /// What another token than expected says: a greater one is of a later claim, any other is an old one, or none, and
    /// what was written since is lost.
    fn judge(&self, found: &str) -> Published {
        match found > self.claim.as_str() && !found.starts_with(&self.claim) {
            true => Published::Fenced { found: Some(found.to_string()) },
            false => Published::Lost,
        }
    }
}

/// The patches that lie in one slot, in their order.
struct Group {
    slot: u16,
    patches: Vec<usize>,
}

fn groups(patches: &[Patch], names: &Prefixes) -> Vec<Group> {
    let mut places: Vec<(u16, usize)> =
        patches.iter().enumerate().map(|(i, patch)| (slot(names.name(&patch.key).as_bytes()), i)).collect();
    places.sort_unstable();
    let group = |part: &[(u16, usize)]| Group { slot: part[0].0, patches: part.iter().map(|(_, i)| *i).collect() };
    places.chunk_by(|a, b| a.0 == b.0).map(group).collect()
}

impl Cluster {
    /// Writes patches, one step a slot.
    pub fn apply(&mut self, patches: &[Patch], names: &Prefixes, written: &mut Written) -> Result<(), Fault> {
        let script = self.script(Script::Write)?;
        for part in patches.chunks(BATCH) {
            let groups = groups(part, names);
            let mut commands = Commands::default();
            for group in &groups {
                resp::script(&mut commands.bytes, &script, None, group.patches.iter().map(|i| &part[*i]), names);
                commands.end(group.slot);
            }
            let answers = self.run(&commands, true)?;
            for (group, answer) in groups.iter().zip(answers) {
                account(answer, group, part, written)?;
            }
        }
        Ok(())
    }

    /// The value of a key; `None` when it is not there.
    pub fn get(&mut self, key: &str) -> Result<Option<String>, Fault> {
        let mut commands = Commands::default();
        commands.plain(slot(key.as_bytes()), &[b"GET", key.as_bytes()]);
        let answer = self.run(&commands, false)?.pop().unwrap_or(Value::Nil);
        match answer {
            Value::Nil => Ok(None),
            Value::ServerError(error) => Err(Fault::of_server(&error).lasting()),
            value => Ok(resp::text(value)),
        }
    }

    /// The number of the newest claim that any slot knows of. What was held until now is not held any more.
    pub fn newest_claim(&mut self, token: &str) -> Result<u64, Fault> {
        self.hold = None;
        let mut commands = Commands::default();
        for name in names(token) {
            commands.plain(slot(name.as_bytes()), &[b"GET", name.as_bytes()]);
        }
        let found = self.run(&commands, false)?.into_iter().filter_map(resp::text);
        let claims = found.filter_map(|text| u64::from_str_radix(text.get(..16)?, 16).ok());
        Ok(claims.max().unwrap_or(0))
    }

    /// Puts the token of the claim `number` of `state` into every slot; false when a later one is in one of them.
    pub fn hold(&mut self, token: &str, number: u64, state: &str) -> Result<bool, Fault> {
        let hold = Hold {
            names: names(token),
            claim: format!("{number:016x} {state} "),
            batches: vec![0; SLOTS],
            batch: 0,
            next: 0,
            looked: Instant::now(),
        };
        let (script, text) = (self.script(Script::Raise)?, hold.text(0));
        let mut commands = Commands::default();
        for name in &hold.names {
            let arguments: [&[u8]; 5] = [b"EVALSHA", &script, b"1", name.as_bytes(), text.as_bytes()];
            commands.plain(slot(name.as_bytes()), &arguments);
        }
        let answers = self.run(&commands, true)?;
        let held = answers.iter().all(|answer| *answer == Value::Int(1));
        self.hold = held.then_some(hold);
        Ok(held)
    }

    /// Puts `new` in the place of `expected` as the projection's token and then writes the patches under those of
    /// their slots; looks at some of the other slots, so that within [`LOOK`] each was looked at.
    pub fn publish(
        &mut self,
        patches: &[Patch],
        names: &Prefixes,
        token: &str,
        expected: Option<&str>,
        new: &str,
    ) -> Result<Published, Fault> {
        if let Err(found) = self.exchange(token, expected, new)? {
            return Ok(Published::Fenced { found });
        }
        let mut written = Written::default();
        // Before the slots are held there is nothing to write under: the projection is being claimed.
        let Some(mut hold) = self.hold.take() else {
            debug_assert!(patches.is_empty());
            return Ok(Published::Applied(written));
        };
        let done = self.write_under(&mut hold, patches, names, &mut written).and_then(|trouble| match trouble {
            None => self.look(&mut hold),
            trouble => Ok(trouble),
        });
        self.hold = Some(hold);
        Ok(done?.unwrap_or(Published::Applied(written)))
    }

    /// Puts `new` in the place of `expected`, or gives what is there instead.
    fn exchange(
        &mut self,
        token: &str,
        expected: Option<&str>,
        new: &str,
    ) -> Result<Result<(), Option<String>>, Fault> {
        let script = self.script(Script::Exchange)?;
        let (there, text) = (if expected.is_some() { b"1" } else { b"0" }, expected.unwrap_or_default());
        let mut commands = Commands::default();
        commands.plain(
            slot(token.as_bytes()),
            &[b"EVALSHA", &script, b"1", token.as_bytes(), there, text.as_bytes(), new.as_bytes()],
        );
        match self.run(&commands, true)?.pop() {
            Some(Value::Int(1)) => Ok(Ok(())),
            Some(Value::Nil) => Ok(Err(None)),
            Some(Value::ServerError(error)) => Err(Fault::of_server(&error).lasting()),
            Some(value) => {
                let found = resp::text(value);
                // It is in already: an answer was lost.
                Ok(if found.as_deref() == Some(new) { Ok(()) } else { Err(found) })
            }
            None => Err(Fault::unexpected("EVALSHA")),
        }
    }

    fn write_under(
        &mut self,
        hold: &mut Hold,
        patches: &[Patch],
        names: &Prefixes,
        written: &mut Written,
    ) -> Result<Option<Published>, Fault> {
        if patches.is_empty() {
            return Ok(None);
        }
        let script = self.script(Script::WriteUnder)?;
        let groups = groups(patches, names);
        // The same number until the batch is through: what is in from an attempt that was given up carries it.
        let new = hold.text(hold.batch + 1);
        let mut commands = Commands::default();
        for group in &groups {
            let at = usize::from(group.slot);
            let under = resp::Under { token: &hold.names[at], expected: &hold.expected(at), new: &new };
            resp::script(&mut commands.bytes, &script, Some(under), group.patches.iter().map(|i| &patches[*i]), names);
            commands.end(group.slot);
        }
        // A part that was acknowledged and is lost before the batch is through shows by its slot's token.
        let answers = self.run(&commands, true)?;
        for (group, answer) in groups.iter().zip(answers) {
            match answer {
                Value::BulkString(found) => return Ok(Some(hold.judge(&String::from_utf8_lossy(&found)))),
                answer => account(answer, group, patches, written)?,
            }
        }
        hold.batch += 1;
        groups.iter().for_each(|group| hold.batches[usize::from(group.slot)] = hold.batch);
        Ok(None)
    }

    /// Looks at as many slots as are due.
    fn look(&mut self, hold: &mut Hold) -> Result<Option<Published>, Fault> {
        let share = hold.looked.elapsed().as_secs_f64() / LOOK.as_secs_f64();
        let due = ((share * SLOTS as f64) as usize).min(SLOTS);
        hold.looked = Instant::now();
        let slots: Vec<usize> = (0..due).map(|i| (hold.next + i) % SLOTS).collect();
        let mut commands = Commands::default();
        for &at in &slots {
            commands.plain(at as u16, &[b"GET", hold.names[at].as_bytes()]);
        }
        let answers = self.run(&commands, false)?;
        for (at, answer) in slots.into_iter().zip(answers) {
            let found = resp::text(answer).unwrap_or_default();
            if found != hold.expected(at) {
                return Ok(Some(hold.judge(&found)));
            }
        }
        hold.next = (hold.next + due) % SLOTS;
        Ok(None)
    }
}

/// The names of the slots' tokens: they lie in their slots.
fn names(token: &str) -> Vec<String> {
    tags().iter().map(|tag| format!("{token}:{{{tag}}}")).collect()
}

/// Counts the patches of a slot as written, but for those that the answer names.
fn account(answer: Value, group: &Group, patches: &[Patch], written: &mut Written) -> Result<(), Fault> {
    let refused = match answer {
        Value::Array(refused) => refused,
        Value::ServerError(error) => return Err(Fault::of_server(&error).lasting()),
        _ => return Err(Fault::unexpected("EVALSHA")),
    };
    written.patches += group.patches.len() - refused.len();
    for value in refused {
        let at = match value {
            Value::Int(n) => usize::try_from(n).ok().and_then(|n| group.patches.get(n)),
            _ => None,
        };
        let Some(at) = at else { return Err(Fault::unexpected("EVALSHA")) };
        written.refused.push(Refused { key: patches[*at].key.clone(), why: NOT_A_HASH.into() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_later_claim_fences_and_any_other_means_a_loss() {
        let hold = |number: u64, state: &str| Hold {
            names: Vec::new(),
            claim: format!("{number:016x} {state} "),
            batches: vec![7; SLOTS],
            batch: 7,
            next: 0,
            looked: Instant::now(),
        };
        let ours = hold(9, "b");
        assert_eq!(ours.judge(""), Published::Lost);
        assert_eq!(ours.judge("nonsense"), Published::Fenced { found: Some("nonsense".into()) });
        assert_eq!(ours.judge(&ours.text(6)), Published::Lost);
        assert_eq!(ours.judge(&hold(8, "c").text(99)), Published::Lost);
        for later in [hold(10, "a"), hold(0x10, "a"), hold(9, "c")] {
            assert!(matches!(ours.judge(&later.text(0)), Published::Fenced { .. }), "{}", later.claim);
        }
    }
}
