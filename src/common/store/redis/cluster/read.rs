//! Profiles out of a cluster: by key from the node that has it, or all of them, node by node.

use super::{Cluster, Commands, NOBODY, slot};
use crate::key::{Key, Prefixes};
use crate::store::error::Kind;
use crate::store::redis::fault::{Fault, Retry};
use crate::store::redis::read::{Fields, deleted, fields};
use crate::store::redis::resp;

/// Rounds of a scan after which it gives up: a cluster whose slots are moved all the time is never seen at rest.
const ROUNDS: u32 = 20;

/// How far a scan of all nodes has come.
#[derive(Default)]
pub struct Round {
    /// Those that are still to be scanned, the current one last.
    places: Vec<(String, u16)>,
    cursor: Option<Vec<u8>>,
    /// Who had which slot when it began.
    owners: Option<Vec<(String, u16)>>,
    rounds: u32,
}

impl Cluster {
    /// The profiles of `keys`, in their order.
    pub fn profiles(&mut self, keys: &[Key], names: &Prefixes) -> Result<Vec<Fields>, Fault> {
        let mut commands = Commands::default();
        for key in keys {
            let name = names.name(key);
            commands.plain(slot(name.as_bytes()), &[b"HGETALL", name.as_bytes()]);
        }
        self.run(&commands, false)?.into_iter().map(fields).collect()
    }

    /// Deletes profiles; gives how many were there.
    pub fn delete(&mut self, keys: &[Key], names: &Prefixes) -> Result<u64, Fault> {
        let mut commands = Commands::default();
        for key in keys {
            let name = names.name(key);
            commands.plain(slot(name.as_bytes()), &[b"DEL", name.as_bytes()]);
        }
        self.run(&commands, false)?.into_iter().map(deleted).sum()
    }

    /// One step of a scan: some names, and whether it is over. A key that moves while it lasts may be passed by, so when
    /// the slots are not where they were, all nodes are scanned once more.
    pub fn names(&mut self, round: &mut Round, pattern: &str) -> Result<(Vec<String>, bool), Fault> {
        if round.owners.is_none() {
            round.places = self.places()?;
            round.owners = Some(self.at_rest()?);
            (round.cursor, round.rounds) = (None, round.rounds + 1);
        }
        let Some(place) = round.places.last() else { return Ok((Vec::new(), true)) };
        let cursor = round.cursor.take().unwrap_or_else(|| b"0".to_vec());
        let (next, names) = match self.link(place).and_then(|mut link| link.names(&cursor, pattern)) {
            Ok(step) => step,
            Err(fault) => {
                // A cursor is good for one node and one run of it.
                *round = Round { rounds: round.rounds, ..Round::default() };
                return Err(fault);
            }
        };
        if next != b"0" {
            round.cursor = Some(next);
            return Ok((names, false));
        }
        round.places.pop();
        if !round.places.is_empty() {
            return Ok((names, false));
        }
        self.refresh()?;
        let same = self.at_rest().is_ok_and(|owners| round.owners.as_ref() == Some(&owners));
        if !same {
            *round = Round { rounds: round.rounds, ..Round::default() };
            if round.rounds >= ROUNDS {
                return Err(moving().lasting());
            }
        }
        Ok((names, same))
    }

    /// Who has which slot, unless one is being moved.
    fn at_rest(&mut self) -> Result<Vec<(String, u16)>, Fault> {
        let mut owners = Vec::with_capacity(self.owners.len());
        for at in &self.owners {
            if *at == NOBODY {
                return Err(Fault::unserved(owners.len() as u16));
            }
            owners.push((self.nodes[*at].host.clone(), self.nodes[*at].port));
        }
        for place in self.places()? {
            let mut link = self.link(&place)?;
            resp::command(&mut link.buffer, &[b"CLUSTER", b"NODES"]);
            link.send()?;
            let nodes = link.receive().map(resp::text)?.ok_or_else(|| Fault::unexpected("CLUSTER NODES"))?;
            // `[93-<-…]` and `[77->-…]` stand on the line of the node that is asked.
            if nodes.lines().any(|line| line.contains("myself") && line.contains('[')) {
                return Err(moving());
            }
        }
        Ok(owners)
    }
}

fn moving() -> Fault {
    let why = "slots are being moved, so that not every key would be met".to_string();
    Fault::new(Kind::Unavailable, Retry::Reconnect, why, "again when that is over: redis-cli --cluster check")
}
