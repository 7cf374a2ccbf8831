//! Profiles out of Redis: by key, or all of an entity.
//!
//! Redis knows text only: the type of a value is the reader's knowledge. A profile that is
//! not there has no fields.

use super::cluster::Round;
use super::fault::{Fault, server_text};
use super::{Link, Redis, resp};
use crate::key::{Key, Prefixes};
use crate::store::error::Error;
use ::redis::Value;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::collections::HashSet;
use std::hash::Hasher;
use std::sync::Arc;

/// The fields of one profile, sorted by name; or why it cannot be read, which is its fault alone.
pub type Fields = Result<Vec<(String, String)>, String>;

/// Profiles asked for in one round trip.
const BATCH_KEYS: usize = 256;
const BATCH_OF_CLUSTER: usize = 2048;
/// Names a SCAN should look at in one step.
const SCAN_COUNT: &[u8] = b"1000";

impl Redis {
    /// The profiles of `keys`, in their order.
    pub fn get_many(&mut self, keys: &[Key]) -> Result<Vec<Fields>, Error> {
        let mut profiles = Vec::with_capacity(keys.len());
        if self.cluster.is_some() {
            for batch in keys.chunks(BATCH_OF_CLUSTER) {
                profiles.extend(self.in_cluster(|cluster, names| cluster.profiles(batch, names))?);
            }
            return Ok(profiles);
        }
        for batch in keys.chunks(BATCH_KEYS) {
            profiles.extend(self.patiently(|link| link.profiles(batch))?);
        }
        Ok(profiles)
    }

    /// Every profile of one entity of one tenant, whose keys have `parts` parts; each once, in no order.
    ///
    /// A profile that is there from beginning to end is met; one that comes or goes meanwhile may be.
    /// Names that adprof does not write (not UTF-8, control characters, another number of parts) are passed over.
    /// Costs 16 bytes of memory a key, and all names of the server are looked at.
    pub fn scan(&mut self, tenant: &str, entity: &str, parts: usize) -> Scan<'_> {
        let of = Naming::new(tenant, entity, parts, &self.names);
        let pattern = format!("{}*", resp::glob_escaped(&of.prefix));
        Scan {
            redis: self,
            of,
            pattern,
            cursor: None,
            round: Round::default(),
            done: false,
            seen: HashSet::new(),
            chunk: Vec::new().into_iter(),
        }
    }
}

impl Redis {
    /// Deletes profiles, whatever wrote their fields. Gives how many were there.
    pub fn delete(&mut self, keys: &[Key]) -> Result<u64, Error> {
        let mut there = 0;
        if self.cluster.is_some() {
            for batch in keys.chunks(BATCH_OF_CLUSTER) {
                there += self.in_cluster(|cluster, names| cluster.delete(batch, names))?;
            }
            return Ok(there);
        }
        for batch in keys.chunks(BATCH_KEYS) {
            there += self.patiently(|link| link.delete(batch))?;
        }
        Ok(there)
    }

    /// Deletes the profiles of an entity, whose keys have `parts` parts, that `gone` chooses, and gives their keys. All names of
    /// the server are looked at.
    pub fn delete_all(&mut self, entity: &str, parts: usize, gone: &dyn Fn(&Key) -> bool) -> Result<Vec<Key>, Error> {
        let mut keys = Vec::new();
        for entry in self.scan("", entity, parts) {
            let (key, _) = entry?;
            keys.extend(gone(&key).then_some(key));
        }
        self.delete(&keys)?;
        keys.sort();
        Ok(keys)
    }
}

impl Link {
    fn delete(&mut self, keys: &[Key]) -> Result<u64, Fault> {
        let names: Vec<String> = keys.iter().map(|key| self.names.name(key)).collect();
        let arguments: Vec<&[u8]> =
            std::iter::once(&b"DEL"[..]).chain(names.iter().map(|name| name.as_bytes())).collect();
        resp::command(&mut self.buffer, &arguments);
        self.send()?;
        deleted(self.receive()?)
    }

    fn profiles(&mut self, keys: &[Key]) -> Result<Vec<Fields>, Fault> {
        for key in keys {
            resp::command(&mut self.buffer, &[b"HGETALL", self.names.name(key).as_bytes()]);
        }
        self.send()?;
        (0..keys.len()).map(|_| fields(self.receive_any()?)).collect()
    }

    /// One step of a scan: the next cursor and some names.
    pub(super) fn names(&mut self, cursor: &[u8], pattern: &str) -> Result<(Vec<u8>, Vec<String>), Fault> {
        resp::command(&mut self.buffer, &[b"SCAN", cursor, b"MATCH", pattern.as_bytes(), b"COUNT", SCAN_COUNT]);
        self.send()?;
        let Value::Array(answer) = self.receive()? else { return Err(Fault::unexpected("SCAN")) };
        match <[Value; 2]>::try_from(answer) {
            Ok([Value::BulkString(cursor), Value::Array(names)]) => {
                let name = |value| match value {
                    Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
                    _ => None,
                };
                Ok((cursor, names.into_iter().filter_map(name).collect()))
            }
            _ => Err(Fault::unexpected("SCAN")),
        }
    }
}

/// The answer to DEL: how many were there.
pub(super) fn deleted(answer: Value) -> Result<u64, Fault> {
    match answer {
        Value::Int(there) => Ok(u64::try_from(there).unwrap_or(0)),
        Value::ServerError(error) => Err(Fault::of_server(&error)),
        _ => Err(Fault::unexpected("DEL")),
    }
}

pub(super) fn fields(answer: Value) -> Result<Fields, Fault> {
    let flat = match answer {
        Value::Array(flat) => flat,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(field, value)| [field, value]).collect(),
        Value::ServerError(error) if error.code() == "WRONGTYPE" => return Ok(Err(server_text(&error))),
        Value::ServerError(error) => return Err(Fault::of_server(&error)),
        _ => return Err(Fault::unexpected("HGETALL")),
    };
    let mut texts = Vec::with_capacity(flat.len());
    for value in flat {
        let Value::BulkString(bytes) = value else { return Err(Fault::unexpected("HGETALL")) };
        match String::from_utf8(bytes) {
            Ok(text) => texts.push(text),
            Err(_) => return Ok(Err("a field or a value is not UTF-8".into())),
        }
    }
    let mut texts = texts.into_iter();
    let mut fields = Vec::with_capacity(texts.len() / 2);
    while let (Some(field), Some(value)) = (texts.next(), texts.next()) {
        fields.push((field, value));
    }
    fields.sort();
    Ok(Ok(fields))
}

/// How the names of one entity's profiles are made.
struct Naming {
    tenant: String,
    entity: String,
    parts: usize,
    prefix: String,
    names: Arc<Prefixes>,
}

impl Naming {
    fn new(tenant: &str, entity: &str, parts: usize, names: &Arc<Prefixes>) -> Naming {
        let prefix = names.name(&Key::new(tenant, entity, [""]));
        Naming { tenant: tenant.into(), entity: entity.into(), parts, prefix, names: names.clone() }
    }

    /// The inverse of `Prefixes::name` for this entity; `None` for a name that is not one of its.
    fn key(&self, name: &str) -> Option<Key> {
        let rest = name.strip_prefix(&self.prefix)?;
        if rest.is_empty() || rest.contains(char::is_control) {
            return None;
        }
        let key = Key::typed(&self.tenant, &self.entity, self.parts, rest)?;
        // A name that would not be written so is somebody else's.
        (self.names.name(&key) == name).then_some(key)
    }
}

/// An iterator over the profiles of an entity; after an error it ends.
pub struct Scan<'r> {
    redis: &'r mut Redis,
    of: Naming,
    pattern: String,
    /// Where the next step goes on; at the beginning when there is none.
    cursor: Option<Vec<u8>>,
    /// The same for all nodes of a cluster.
    round: Round,
    done: bool,
    seen: HashSet<u128>,
    chunk: std::vec::IntoIter<(Key, Fields)>,
}

impl Iterator for Scan<'_> {
    type Item = Result<(Key, Fields), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.chunk.next() {
                return Some(Ok(entry));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.step() {
                self.done = true;
                return Some(Err(error));
            }
        }
    }
}

impl Scan<'_> {
    fn step(&mut self) -> Result<(), Error> {
        let Scan { redis, of, pattern, cursor, round, seen, .. } = self;
        let mut from = cursor.take();
        let fresh = |names: Vec<String>, seen: &HashSet<u128>| -> Vec<Key> {
            names.into_iter().filter(|name| !seen.contains(&hash(name))).filter_map(|name| of.key(&name)).collect()
        };
        let (keys, profiles) = if redis.cluster.is_some() {
            let (keys, profiles, done) = redis.in_cluster(|cluster, prefixes| {
                let (names, done) = cluster.names(round, pattern)?;
                let keys = fresh(names, seen);
                let profiles = cluster.profiles(&keys, prefixes)?;
                Ok((keys, profiles, done))
            })?;
            self.done = done;
            (keys, profiles)
        } else {
            let (next, keys, profiles) = redis.patiently(|link| {
                // A cursor is good for one run of the server: after a fault the scan begins anew, and `seen` keeps each key single.
                let from = from.take().unwrap_or_else(|| b"0".to_vec());
                let (next, names) = link.names(&from, pattern)?;
                let keys = fresh(names, seen);
                let mut profiles = Vec::with_capacity(keys.len());
                for batch in keys.chunks(BATCH_KEYS) {
                    profiles.extend(link.profiles(batch)?);
                }
                Ok((next, keys, profiles))
            })?;
            self.done = next == b"0";
            self.cursor = Some(next);
            (keys, profiles)
        };
        let there = |(key, fields): &(Key, Fields)| {
            // One that has just gone has no fields; one that SCAN gives twice is there already.
            fields.as_ref().map_or(true, |fields| !fields.is_empty()) && seen.insert(hash(&of.names.name(key)))
        };
        self.chunk = keys.into_iter().zip(profiles).filter(there).collect::<Vec<_>>().into_iter();
        Ok(())
    }
}

/// Different names share one only by a chance nobody will meet.
fn hash(name: &str) -> u128 {
    let mut hasher = SipHasher24::new();
    hasher.write(name.as_bytes());
    hasher.finish128().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::USER;

    #[test]
    fn names_turn_back_into_their_keys_and_foreign_ones_into_none() {
        let naming = |tenant: &str, entity: &str, parts| Naming {
            tenant: tenant.into(),
            entity: entity.into(),
            parts,
            prefix: Key::new(tenant, entity, [""]).redis(),
            names: Arc::default(),
        };
        let user = naming("", USER, 1);
        for id in ["u-001", "a:b%3A", "*", "päť", "%"] {
            assert_eq!(user.key(&format!("profile:{id}")), Some(Key::user("", id)), "{id}");
        }
        let item = naming("acme", "item", 2);
        let key = Key::new("acme", "item", ["i:9%3A", "50%"]);
        assert_eq!(item.key(&key.redis()), Some(key));
        for name in ["t:acme:item:a", "t:acme:item:a:b:c", "t:acme:item:50%:b", "t:other:item:a:b", "profile:a"] {
            assert_eq!(item.key(name), None, "{name}");
        }
        for name in ["profile:", "profile:a\0b", "profil:a"] {
            assert_eq!(user.key(name), None, "{name:?}");
        }
    }
}
