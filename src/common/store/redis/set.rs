//! Sets of ids: an audience under one name, put there in one step.
//!
//! Ids are gathered under a name of their own, in the same slot of a cluster, and renamed at the end: a reader sees the
//! former set whole or the new one whole. What a killed writer leaves goes away by itself.

use super::cluster::slot;
use super::fault::Fault;
use super::{Redis, resp};
use crate::ndjson::shown;
use crate::store::address::Deployment;
use crate::store::error::{Error, Kind};
use crate::time::Millis;
use ::redis::Value;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Ids in one step, and in one command of it.
const STEP: usize = 10_000;
const COMMAND: usize = 1_000;
/// How long ids that nobody adds to wait for their set, in milliseconds.
const KEPT: &str = "3600000";

/// Adds the ids to KEYS[1], which is gone ARGV[1] ms later: in one step, lest a writer killed between the two leave it
/// there for good. How many were new.
const ADD: &str = "local added = redis.call('SADD', KEYS[1], unpack(ARGV, 2)) \
redis.call('PEXPIRE', KEYS[1], ARGV[1]) return added";

/// Renames KEYS[1], which holds ARGV[1] ids, to KEYS[2], which is gone after ARGV[2] ms, or stays where that is 0.
/// 1: done; 0: other ids are there than were written; -1: what has the name is no set.
const PUT: &str = "local kind = redis.call('TYPE', KEYS[2])['ok'] \
if kind ~= 'set' and kind ~= 'none' then redis.call('DEL', KEYS[1]) return -1 end \
if redis.call('SCARD', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end \
if ARGV[1] == '0' then redis.call('DEL', KEYS[2]) return 1 end \
if ARGV[2] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
redis.call('RENAME', KEYS[1], KEYS[2]) return 1";

/// A set to be.
pub struct NewSet<'r> {
    redis: &'r mut Redis,
    name: String,
    temporary: String,
    waiting: Vec<String>,
    /// Ids that are in Redis.
    size: u64,
}

impl Redis {
    /// Begins a set that takes the name `name` when it is whole.
    ///
    /// Errors: `Usage` for a name with braces of which no other name of its slot can be made.
    pub fn new_set(&mut self, name: &str) -> Result<NewSet<'_>, Error> {
        let own = format!(":adprof-tmp:{:016x}", RandomState::new().build_hasher().finish());
        let near = [format!("{name}{own}"), format!("{{{name}}}{own}")];
        let slot_of = |name: &str| slot(name.as_bytes());
        let is_cluster = self.url.deployment() == Deployment::Cluster;
        let temporary = near.into_iter().find(|other| !is_cluster || slot_of(other) == slot_of(name));
        let Some(temporary) = temporary else {
            let error = Error::new(Kind::Usage, format!("a set in a cluster cannot have this name: {}", shown(name)));
            return Err(error.hint("leave the braces out, or write them as a hash tag: {audience}:fans"));
        };
        Ok(NewSet { redis: self, name: name.into(), temporary, waiting: Vec::new(), size: 0 })
    }

    /// The answers to commands on one key, in their order.
    fn on_key(&mut self, key: &str, commands: &[Vec<&[u8]>]) -> Result<Vec<Value>, Error> {
        if self.cluster.is_some() {
            return self.in_cluster(|cluster, _| cluster.on_key(key, commands));
        }
        self.look_for_another();
        self.patiently(|link| {
            for command in commands {
                resp::command(&mut link.buffer, command);
            }
            link.send()?;
            commands.iter().map(|_| link.receive()).collect()
        })
    }
}

impl NewSet<'_> {
    pub fn add(&mut self, id: &str) -> Result<(), Error> {
        self.waiting.push(id.into());
        if self.waiting.len() == STEP { self.write() } else { Ok(()) }
    }

    /// Writes what waits. What was written before must be there still: a server may have lost it.
    fn write(&mut self) -> Result<(), Error> {
        let name = self.temporary.as_bytes();
        let count: Vec<&[u8]> = vec![b"SCARD", name];
        let mut commands = vec![count.clone()];
        for ids in self.waiting.chunks(COMMAND) {
            let command = [b"EVAL", ADD.as_bytes(), b"1", name, KEPT.as_bytes()];
            commands.push(command.into_iter().chain(ids.iter().map(String::as_bytes)).collect());
        }
        commands.push(count);
        let answers = self.redis.on_key(&self.temporary, &commands)?;
        let numbers: Option<Vec<u64>> = answers.iter().map(number).collect();
        let Some([before, added @ .., after]) = numbers.as_deref() else { return Err(self.unexpected()) };
        // Where an answer was lost on the way, some of these ids are there from the first attempt.
        if *before < self.size || *after != before + added.iter().sum::<u64>() {
            return Err(self.lost());
        }
        self.size = *after;
        self.waiting.clear();
        Ok(())
    }

    /// Gives it its name, for so many milliseconds or for good, in the place of the former set; without ids that goes away.
    /// How many ids it has.
    pub fn put(mut self, expire: Option<Millis>) -> Result<u64, Error> {
        if !self.waiting.is_empty() {
            self.write()?;
        }
        let (size, expire) = (self.size.to_string(), expire.unwrap_or(0).to_string());
        let (temporary, name) = (self.temporary.clone(), self.name.clone());
        let command = ["EVAL", PUT, "2", &temporary, &name, &size, &expire].map(str::as_bytes).to_vec();
        match &self.redis.on_key(&temporary, &[command])?[..] {
            [Value::Int(1)] => Ok(self.size),
            [Value::Int(0)] => Err(self.lost()),
            [Value::Int(-1)] => {
                let message = format!("{}: what is called {} is not a SET", self.redis.url, shown(&self.name));
                Err(Error::new(Kind::Usage, message).hint("choose another name, or remove it yourself"))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn lost(&self) -> Error {
        let message = format!("{}: ids were lost before their set was whole", self.redis.url);
        Error::new(Kind::Unavailable, message)
            .hint("run it again; the former set is as it was, unless this one took its place already")
    }

    fn unexpected(&self) -> Error {
        Fault::unexpected("SADD").into_error(&self.redis.url)
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}
