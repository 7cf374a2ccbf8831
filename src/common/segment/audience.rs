//! Built audiences: the members of a segment as of an instant, kept as bits over the numbers of the index.
//!
//! An audience and the line of its history are written in one transaction, so whoever reads sees the former one whole or
//! the new one whole. The newest and the one before are kept; of older ones the history keeps the figures.

use super::Rule;
use super::index::Members;
use crate::bits::Bits;
use crate::key::USER;
use crate::parallel;
use crate::profiles::Profiles;
use crate::profiles::index::{Dictionary, Unused};
use crate::store::embedded::View;
use crate::store::{Error, Kind};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// Builds of one segment that its history tells of.
const HISTORY_MAX: usize = 1000;

/// One build of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// From 1 on, per segment.
    pub number: u32,
    /// Of the rule.
    pub version: String,
    pub as_of: Millis,
    /// The wall clock when it was made.
    pub built_at: Millis,
    pub size: u64,
    /// All users there were.
    pub of: u64,
    /// Against the build before, whatever its version; all of them in the first.
    pub joins: u64,
    pub leaves: u64,
}

/// A build with its members.
pub struct Audience {
    pub build: Build,
    /// By block.
    pub blocks: Vec<Bits>,
}

fn history_name(code: &str) -> String {
    format!("builds\0{code}")
}

fn name(code: &str, number: u32) -> String {
    format!("audience\0{code}\0{number:08x}")
}

fn broken(code: &str) -> Error {
    Error::new(Kind::Corrupt, format!("embedded store: the audience of `{code}` is broken"))
        .hint(format!("build it anew: adprof segment build {code}"))
}

/// All builds of a segment, the newest first.
pub fn history(view: Option<View<'_>>, code: &str) -> Result<Vec<Build>, Error> {
    let Some(view) = view else { return Ok(Vec::new()) };
    let Some(bytes) = view.record(&history_name(code))? else { return Ok(Vec::new()) };
    serde_json::from_slice(&bytes).map_err(|_| broken(code))
}

/// The newest audience of a segment; `None` where none was built.
pub fn newest(view: Option<View<'_>>, code: &str) -> Result<Option<Audience>, Error> {
    let Some(build) = history(view, code)?.into_iter().next() else { return Ok(None) };
    let bytes = view.map_or(Ok(None), |view| view.record(&name(code, build.number)))?.ok_or_else(|| broken(code))?;
    let blocks = decode(&bytes).ok_or_else(|| broken(code))?;
    Ok(Some(Audience { build, blocks }))
}

/// Builds the audience of a segment as of the instant asked about; the index has been refreshed for it.
///
/// `Err(Unused)`: the index cannot answer, or there are new users that it has no number for: refresh it again.
pub fn build(profiles: &Profiles, code: &str, rule: &Rule, built_at: Millis) -> Result<Result<Build, Unused>, Error> {
    let store = profiles.embedded_store().expect("only an embedded store is asked for audiences");
    store.index(|index| {
        let view = index.view();
        let members = match profiles.indexed_now(view, 0)? {
            Ok(indexed) => Members::find(&indexed, profiles.definitions(), &mut rule.clone(), parallel::cores())?,
            Err(why) => return Ok(Err(why)),
        };
        if !members.unnumbered.is_empty() {
            return Ok(Err(Unused::Changed));
        }
        let mut builds = if_whole(history(Some(view), code))?;
        let before = if_whole(newest(Some(view), code))?.map_or(Vec::new(), |audience| audience.blocks);
        let number = builds.first().map_or(1, |last| last.number + 1);
        let build = Build {
            number,
            version: rule.version().to_string(),
            as_of: profiles.as_of(),
            built_at,
            size: members.size,
            of: members.all,
            joins: not_in(&members.blocks, &before),
            leaves: not_in(&before, &members.blocks),
        };
        builds.insert(0, build.clone());
        builds.truncate(HISTORY_MAX);
        index.put(&name(code, number), Some(&encode(&members.blocks)))?;
        if let Some(old) = number.checked_sub(2) {
            index.put(&name(code, old), None)?;
        }
        let history = serde_json::to_vec(&builds).expect("plain data has a JSON form");
        index.put(&history_name(code), Some(&history))?;
        Ok(Ok(build))
    })
}

/// What was built before; nothing where it is broken, as a new build is what mends it.
fn if_whole<T: Default>(found: Result<T, Error>) -> Result<T, Error> {
    match found {
        Err(e) if e.kind == Kind::Corrupt => Ok(T::default()),
        found => found,
    }
}

impl Audience {
    /// Its members, to be listed.
    pub fn members(self) -> Members {
        let (size, all) = (self.build.size, self.build.of);
        Members { blocks: self.blocks, unnumbered: Vec::new(), size, all, looked_up: 0 }
    }
}

/// The numbers of users.
pub fn dictionary(view: View<'_>) -> Dictionary<'_> {
    Dictionary::new(view, USER)
}

/// How many are in the one and not in the other.
fn not_in(these: &[Bits], those: &[Bits]) -> u64 {
    let count = |(block, these): (usize, &Bits)| {
        let mut rest = these.clone();
        those.get(block).iter().for_each(|those| rest.and_not(those));
        rest.count() as u64
    };
    these.iter().enumerate().map(count).sum()
}

fn encode(blocks: &[Bits]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in blocks {
        let begin = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        block.encode(&mut bytes);
        let len = (bytes.len() - begin - 4) as u32;
        bytes[begin..begin + 4].copy_from_slice(&len.to_le_bytes());
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Vec<Bits>> {
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (block, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        blocks.push(Bits::decode(block)?);
        bytes = rest;
    }
    Some(blocks)
}
