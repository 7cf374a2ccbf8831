//! Facts: what a Redis server says of itself that bears on whether profiles last.

use super::fault::Fault;
use super::resp::text;
use super::{Link, Redis, resp};
use crate::store::error::Error;
use crate::time::Millis;
use ::redis::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The settings that are asked for.
const SETTINGS: [&[u8]; 3] = [b"appendfsync", b"save", b"timeout"];

/// A server as it describes itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What INFO says, by field.
    info: BTreeMap<String, String>,
    /// What CONFIG GET says; `None` where it is not allowed, as in managed services.
    settings: Option<BTreeMap<String, String>>,
    /// The server's clock, and how long the question took there and back: the clock is as uncertain as that.
    pub clock: Millis,
    pub round_trip: Duration,
}

impl Facts {
    /// A field of INFO; empty where there is none.
    pub fn info(&self, field: &str) -> &str {
        self.info.get(field).map_or("", String::as_str)
    }

    /// A field of INFO as a whole number.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.info(field).parse().ok()
    }

    /// A setting; `None` where the server does not tell.
    pub fn setting(&self, name: &str) -> Option<&str> {
        Some(self.settings.as_ref()?.get(name).map_or("", String::as_str))
    }
}

impl Redis {
    /// Asks the server about itself, and of a cluster each node that has slots, with where that is. Needs the commands
    /// INFO and TIME; CONFIG GET where it is allowed.
    pub fn facts(&mut self) -> Result<Vec<(String, Facts)>, Error> {
        if self.cluster.is_none() {
            return Ok(vec![(self.url.to_string(), self.patiently(Link::facts)?)]);
        }
        self.in_cluster(|cluster, _| {
            let places = cluster.places()?;
            let facts = |place: &(String, u16)| {
                let facts = cluster.link(place)?.facts()?;
                Ok((format!("{}:{}", place.0, place.1), facts))
            };
            places.iter().map(facts).collect()
        })
    }
}

impl Link {
    fn facts(&mut self) -> Result<Facts, Fault> {
        let asked = Instant::now();
        resp::command(&mut self.buffer, &[b"TIME"]);
        self.send()?;
        let clock = clock(&self.receive()?).ok_or_else(|| Fault::unexpected("TIME"))?;
        let round_trip = asked.elapsed();
        resp::command(&mut self.buffer, &[b"INFO"]);
        self.send()?;
        let info = text(self.receive()?).ok_or_else(|| Fault::unexpected("INFO"))?;
        let fields = info.lines().filter_map(|line| line.split_once(':'));
        let info = fields.map(|(field, value)| (field.to_string(), value.trim().to_string())).collect();
        let mut settings = Some(BTreeMap::new());
        for name in SETTINGS {
            resp::command(&mut self.buffer, &[b"CONFIG", b"GET", name]);
            self.send()?;
            match (pairs(self.receive_any()?), &mut settings) {
                (Some(pairs), Some(settings)) => settings.extend(pairs),
                _ => settings = None,
            }
        }
        Ok(Facts { info, settings, clock, round_trip })
    }
}

/// The answer to TIME: seconds and microseconds.
fn clock(value: &Value) -> Option<Millis> {
    let Value::Array(parts) = value else { return None };
    let number = |i: usize| match parts.get(i)? {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse::<i64>().ok(),
        Value::Int(n) => Some(*n),
        _ => None,
    };
    Some(number(0)? * 1000 + number(1)? / 1000)
}

/// The answer to CONFIG GET; `None` when it is an error.
fn pairs(value: Value) -> Option<Vec<(String, String)>> {
    let flat = match value {
        Value::Array(flat) => flat,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(name, value)| [name, value]).collect(),
        _ => return None,
    };
    let texts: Vec<String> = flat.into_iter().map(text).collect::<Option<_>>()?;
    Some(texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}
