//! A Redis Cluster: each slot's commands go to the node that has it, wherever that is by now.
//!
//! A run of commands has at most one for a slot where their order matters, and each is the same however often it is
//! sent: so those without an answer are sent again, to whoever has the slot then.

mod read;
mod script;
mod slot;
mod write;

use super::dial::Dialer;
use super::fault::{Fault, Retry};
use super::{Link, Patience, Waiting, resp};
use crate::store::error::Kind;
use ::redis::{ServerError, Value};
pub(super) use read::Round;
use script::{SCRIPTS, Script};
use slot::SLOTS;
pub(super) use slot::slot;
pub(super) use write::Hold;

const NOBODY: usize = usize::MAX;

/// The nodes of a cluster that have slots.
pub(super) struct Cluster {
    dialer: Dialer,
    patience: Patience,
    nodes: Vec<Node>,
    /// For each slot the place of its node.
    owners: Vec<usize>,
    /// Whether the map of slots has to be read anew, and from whom next.
    stale: bool,
    turn: usize,
    /// The names of the scripts, once one node has them.
    scripts: Option<[Vec<u8>; SCRIPTS.len()]>,
    hold: Option<Hold>,
}

struct Node {
    host: String,
    port: u16,
    link: Option<Link>,
    /// Whether the scripts were loaded over this link.
    loaded: bool,
}

/// Commands on their way, each for one slot.
#[derive(Default)]
struct Commands {
    bytes: Vec<u8>,
    /// The slot and where the bytes end.
    each: Vec<(u16, usize)>,
}

impl Commands {
    /// Ends a command whose bytes were just written.
    fn end(&mut self, slot: u16) {
        self.each.push((slot, self.bytes.len()));
    }

    fn plain(&mut self, slot: u16, arguments: &[&[u8]]) {
        resp::command(&mut self.bytes, arguments);
        self.end(slot);
    }

    fn bytes(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.each[i - 1].1 };
        &self.bytes[start..self.each[i].1]
    }
}

/// A command without an answer, by its number, and who is to be asked for this once.
type Left = (usize, Option<(String, u16)>);

/// What a node answered to one command.
enum Outcome {
    Done(Value),
    /// Another node has the slot, or will.
    Elsewhere,
    /// For this once the named node is to be asked.
    Ask(String, u16),
    /// Later.
    Wait(Fault),
}

impl Cluster {
    /// Finds the nodes by those that are named.
    pub fn connect(dialer: Dialer, patience: Patience) -> Result<Cluster, Fault> {
        let mut cluster = Cluster {
            dialer,
            patience,
            nodes: Vec::new(),
            owners: vec![NOBODY; SLOTS],
            stale: true,
            turn: 0,
            scripts: None,
            hold: None,
        };
        cluster.refresh()?;
        Ok(cluster)
    }

    /// Reads the map of slots from the first node that tells it.
    fn refresh(&mut self) -> Result<(), Fault> {
        let known = self.nodes.iter().map(|node| (node.host.clone(), node.port));
        let places: Vec<(String, u16)> = known.chain(self.dialer.places().iter().cloned()).collect();
        let mut last = None;
        for _ in 0..places.len() {
            // Another one each time: one that is cut off tells an old map for as long as it is.
            self.turn = (self.turn + 1) % places.len();
            let (host, port) = &places[self.turn];
            match self.dialer.to(host, *port, self.patience).and_then(|mut link| link.slots(host)) {
                Ok(ranges) => {
                    self.adopt(ranges);
                    return Ok(());
                }
                Err(fault) if fault.retry == Retry::Never => return Err(fault),
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.expect("an address names a node"))
    }

    fn adopt(&mut self, ranges: Vec<Range>) {
        let mut old = std::mem::take(&mut self.nodes);
        self.owners.fill(NOBODY);
        for Range { start, end, host, port } in ranges {
            let at = self.nodes.iter().position(|node| node.host == host && node.port == port).unwrap_or_else(|| {
                let kept = old.iter().position(|node| node.host == host && node.port == port);
                let new = Node { host, port, link: None, loaded: false };
                self.nodes.push(kept.map_or(new, |kept| old.swap_remove(kept)));
                self.nodes.len() - 1
            });
            self.owners[usize::from(start)..=usize::from(end)].fill(at);
        }
        self.stale = false;
    }

    /// The answers to commands, in their order. `scripts`: they call them.
    fn run(&mut self, commands: &Commands, scripts: bool) -> Result<Vec<Value>, Fault> {
        let done = self.run_all(commands, scripts);
        if done.is_err() {
            // Answers may still be on their way in any of them.
            self.nodes.iter_mut().for_each(|node| node.link = None);
        }
        done
    }

    fn run_all(&mut self, commands: &Commands, scripts: bool) -> Result<Vec<Value>, Fault> {
        let mut answers: Vec<Option<Value>> = commands.each.iter().map(|_| None).collect();
        let mut waiting: Vec<Left> = (0..answers.len()).map(|i| (i, None)).collect();
        let mut patience = Waiting::new(self.patience);
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut fault = if self.stale { self.refresh().err() } else { None };
            if fault.is_none() {
                (waiting, fault) = self.round(commands, waiting, scripts, &mut answers)?;
            }
            let Some(fault) = fault else { continue };
            if waiting.len() < before {
                patience.again();
            }
            patience.wait(fault)?;
        }
        Ok(answers.into_iter().map(|answer| answer.expect("nothing is waited for any more")).collect())
    }

    /// Sends what waits to where it belongs by now and reads the answers. What still waits, and why.
    fn round(
        &mut self,
        commands: &Commands,
        waiting: Vec<Left>,
        scripts: bool,
        answers: &mut [Option<Value>],
    ) -> Result<(Vec<Left>, Option<Fault>), Fault> {
        let (mut left, mut why) = (Vec::new(), None);
        let mut parts: Vec<Vec<(usize, bool)>> = self.nodes.iter().map(|_| Vec::new()).collect();
        for (i, ask) in waiting {
            let owner = match &ask {
                Some((host, port)) => {
                    let known = self.nodes.iter().position(|node| node.host == *host && node.port == *port);
                    known.unwrap_or_else(|| {
                        // A node that has no slot yet.
                        self.nodes.push(Node { host: host.clone(), port: *port, link: None, loaded: false });
                        parts.push(Vec::new());
                        self.nodes.len() - 1
                    })
                }
                None => self.owners[usize::from(commands.each[i].0)],
            };
            if owner == NOBODY {
                self.stale = true;
                why = Some(Fault::unserved(commands.each[i].0));
                left.push((i, None));
            } else {
                parts[owner].push((i, ask.is_some()));
            }
        }
        for (at, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            if let Err(fault) = self.hand_over(at, part, commands, scripts) {
                if fault.retry == Retry::Never {
                    return Err(fault);
                }
                (self.nodes[at].link, self.stale) = (None, true);
                why = Some(fault);
            }
        }
        for (at, part) in parts.iter().enumerate() {
            for (n, (i, asked)) in part.iter().enumerate() {
                let outcome = match self.nodes[at].link.as_mut() {
                    Some(link) => link.outcome(*asked),
                    // It was lost on the way, or before: none of the rest has an answer.
                    None => {
                        left.extend(part[n..].iter().map(|(i, _)| (*i, None)));
                        break;
                    }
                };
                match outcome {
                    Ok(Outcome::Done(value)) => answers[*i] = Some(value),
                    Ok(Outcome::Elsewhere) => {
                        self.stale = true;
                        left.push((*i, None));
                    }
                    Ok(Outcome::Ask(host, port)) => {
                        let host = if host.is_empty() { self.nodes[at].host.clone() } else { host };
                        left.push((*i, Some((host, port))));
                    }
                    Ok(Outcome::Wait(fault)) => {
                        (self.stale, self.nodes[at].loaded) = (true, false);
                        why = Some(fault);
                        left.push((*i, None));
                    }
                    Err(fault) if fault.retry == Retry::Never => return Err(fault),
                    Err(fault) => {
                        (self.nodes[at].link, self.stale) = (None, true);
                        why = Some(fault);
                        left.push((*i, None));
                    }
                }
            }
        }
        Ok((left, why))
    }

    /// Sends a node its part, over a new link where there is none.
    fn hand_over(
        &mut self,
        at: usize,
        part: &[(usize, bool)],
        commands: &Commands,
        scripts: bool,
    ) -> Result<(), Fault> {
        let node = &mut self.nodes[at];
        if node.link.is_none() {
            (node.link, node.loaded) = (Some(self.dialer.to(&node.host, node.port, self.patience)?), false);
        }
        let link = node.link.as_mut().expect("it was just made");
        if scripts && !node.loaded {
            self.scripts = Some(link.load()?);
            node.loaded = true;
        }
        for (i, asked) in part {
            if *asked {
                resp::command(&mut link.buffer, &[b"ASKING"]);
            }
            link.buffer.extend_from_slice(commands.bytes(*i));
        }
        link.send()
    }

    /// The name of a script, loaded into a node where none has it yet.
    fn script(&mut self, which: Script) -> Result<Vec<u8>, Fault> {
        if self.scripts.is_none() {
            if self.stale {
                self.refresh()?;
            }
            let node = self.nodes.first_mut().ok_or_else(|| Fault::unserved(0))?;
            self.scripts = Some(self.dialer.to(&node.host, node.port, self.patience)?.load()?);
        }
        Ok(self.scripts.as_ref().expect("they were just loaded")[which as usize].clone())
    }

    /// The answers to commands on one key, which is in one slot. While that moves they may be done in another order: who
    /// needs this one has to see it in the answers.
    pub fn on_key(&mut self, key: &str, commands: &[Vec<&[u8]>]) -> Result<Vec<Value>, Fault> {
        let mut all = Commands::default();
        commands.iter().for_each(|command| all.plain(slot::slot(key.as_bytes()), command));
        self.run(&all, false)
    }

    /// The nodes that have slots, for what is asked of each.
    pub fn places(&mut self) -> Result<Vec<(String, u16)>, Fault> {
        self.refresh()?;
        let owns = |at: &usize| self.owners.contains(at);
        Ok((0..self.nodes.len()).filter(owns).map(|at| (self.nodes[at].host.clone(), self.nodes[at].port)).collect())
    }

    /// A link of its own to a node.
    pub fn link(&self, (host, port): &(String, u16)) -> Result<Link, Fault> {
        self.dialer.to(host, *port, self.patience)
    }
}

/// Slots from `start` to `end`, both included, and who has them.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Range {
    start: u16,
    end: u16,
    host: String,
    port: u16,
}

impl Link {
    /// The map of slots as the node `host` knows it.
    fn slots(&mut self, host: &str) -> Result<Vec<Range>, Fault> {
        resp::command(&mut self.buffer, &[b"CLUSTER", b"SLOTS"]);
        self.send()?;
        let ranges = match self.receive_any()? {
            Value::Array(ranges) => ranges,
            Value::ServerError(error)
                if error.details().is_some_and(|text| text.contains("cluster support disabled")) =>
            {
                let why = "that is no cluster".to_string();
                return Err(Fault::new(Kind::Usage, Retry::Never, why, "write redis://host:port"));
            }
            Value::ServerError(error) => return Err(Fault::of_server(&error)),
            _ => return Err(Fault::unexpected("CLUSTER SLOTS")),
        };
        let range = |value: Value| {
            let Value::Array(parts) = value else { return None };
            let [Value::Int(start), Value::Int(end), Value::Array(node), ..] = &parts[..] else { return None };
            let [name, Value::Int(port), ..] = &node[..] else { return None };
            // A node that does not know its own name is reached by the one that it was asked by.
            let named = resp::text(name.clone()).filter(|name| !name.is_empty() && name != "?");
            let number = |n: &i64| u16::try_from(*n).ok();
            let (start, end) = (number(start)?, number(end)?);
            (start <= end && usize::from(end) < SLOTS).then_some(())?;
            Some(Range { start, end, host: named.unwrap_or_else(|| host.to_string()), port: number(port)? })
        };
        ranges.into_iter().map(range).collect::<Option<_>>().ok_or_else(|| Fault::unexpected("CLUSTER SLOTS"))
    }

    /// Loads the scripts and gives their names.
    fn load(&mut self) -> Result<[Vec<u8>; SCRIPTS.len()], Fault> {
        for script in SCRIPTS {
            resp::command(&mut self.buffer, &[b"SCRIPT", b"LOAD", script.as_bytes()]);
        }
        self.send()?;
        let mut names: [Vec<u8>; SCRIPTS.len()] = Default::default();
        for name in &mut names {
            let Value::BulkString(bytes) = self.receive()? else { return Err(Fault::unexpected("SCRIPT LOAD")) };
            *name = bytes;
        }
        Ok(names)
    }

    fn outcome(&mut self, asked: bool) -> Result<Outcome, Fault> {
        if asked {
            self.receive()?;
        }
        let error = match self.receive_any()? {
            Value::ServerError(error) => error,
            value => return Ok(Outcome::Done(value)),
        };
        Ok(match error.code() {
            "MOVED" => Outcome::Elsewhere,
            "ASK" => match place(&error) {
                Some((host, port)) => Outcome::Ask(host, port),
                None => Outcome::Elsewhere,
            },
            // A profile of the wrong type is its own fault alone.
            "WRONGTYPE" => Outcome::Done(Value::ServerError(error)),
            "NOSCRIPT" => Outcome::Wait(Fault::unexpected("EVALSHA")),
            _ => {
                let fault = Fault::of_server(&error);
                if fault.retry == Retry::Never {
                    return Err(fault);
                }
                Outcome::Wait(fault)
            }
        })
    }
}

/// Where `ASK 3999 127.0.0.1:6381` points; no host for that of the node that says so.
fn place(error: &ServerError) -> Option<(String, u16)> {
    let (host, port) = error.details()?.split_whitespace().nth(1)?.rsplit_once(':')?;
    Some((host.to_string(), port.parse().ok()?))
}
