//! Targets: what was typed as a place, and the store that is written there.

use super::usage;
use crate::given::{self, STORE_HERE};
use crate::redis;
use crate::report;
use adprof::forgotten::{self, Forgotten};
use adprof::key::Prefixes;
use adprof::patch::{Patch, is_hidden};
use adprof::run::stream::is_forgotten;
use adprof::store::redis::{Patience, Refused};
use adprof::store::{Embedded, Kind, Location, Redis, RedisUrl};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Redis is when neither the command line nor REDIS_URL says.
const REDIS: &str = "redis://127.0.0.1:6379";
/// Names that are files to everybody: a store is a directory.
const FILES: [&str; 8] = ["ndjson", "jsonl", "json", "csv", "tsv", "parquet", "gz", "zst"];

/// The place that is meant: `redis [URL]`, `file [DIR]`, or a location as `--store` takes it.
pub fn place(to: &str, at: Option<&str>) -> Result<Location> {
    match (to, at) {
        ("redis", Some(url)) => typed_redis(url),
        ("redis", None) => default_redis(),
        ("file", None) => Ok(Location::Embedded(STORE_HERE.into())),
        ("file", Some(dir)) if dir.starts_with("file:") => file(Location::parse(dir).map_err(given::of_store)?),
        ("file", Some(dir)) if dir.contains("://") => {
            Err(usage("`sink file` takes a directory, not an address", "into Redis: adprof sink redis [URL]"))
        }
        ("file", Some(dir)) => file(Location::Embedded(dir.into())),
        (to, None) if to.starts_with("file:") => file(Location::parse(to).map_err(given::of_store)?),
        (to, None) if to.contains("://") => typed_redis(to),
        (to, _) => {
            let message = format!("no such target: {}", adprof::ndjson::shown(to));
            Err(usage(message, "write `adprof sink redis [URL]` or `adprof sink file [DIR]`"))
        }
    }
}

fn typed_redis(url: &str) -> Result<Location> {
    let url = RedisUrl::parse(url).map_err(given::of_store)?;
    redis::without_password(&url)?;
    Ok(Location::Redis(url))
}

fn default_redis() -> Result<Location> {
    let url = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
    Ok(Location::Redis(RedisUrl::parse(url.as_deref().unwrap_or(REDIS)).map_err(given::of_store)?))
}

fn file(location: Location) -> Result<Location> {
    let Location::Embedded(dir) = &location else { return Ok(location) };
    if dir.as_os_str().is_empty() {
        return Err(usage("no directory named", "without one it is ./adprof-store"));
    }
    let extension = dir.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    if extension.is_some_and(|e| FILES.contains(&e.as_str())) && !dir.is_dir() {
        let name = adprof::ndjson::shown(&dir.to_string_lossy()).into_owned();
        let hint = format!("to keep the patches as they are: adprof batch > {name}");
        return Err(usage(format!("an embedded store is a directory, not a file: {name}"), hint));
    }
    Ok(location)
}

/// A store that takes patches.
pub enum Target {
    Redis(Box<Redis>),
    Embedded(Directory),
    /// A dry run.
    Nowhere,
}

/// An embedded store that is made with the first patch: where nothing comes, nothing is made.
pub struct Directory {
    dir: PathBuf,
    store: Option<Embedded>,
}

/// What became of a batch.
#[derive(Default)]
pub struct Done {
    /// Those that are in the store now.
    pub patches: usize,
    pub tags: usize,
    /// Tags left out because the store holds a newer as-of.
    pub older: usize,
    /// Patches of users whom the store has forgotten since their as-of.
    pub forgotten: usize,
    /// In the order of the batch.
    pub refused: Vec<Refused>,
}

impl Target {
    /// Connects to a server; opens a directory that is a store already.
    ///
    /// `names`: what the names of keys begin with in Redis.
    pub fn open(place: &Location, names: Prefixes) -> Result<Target> {
        match place {
            Location::Redis(url) => {
                let redis = Redis::connect(url, Patience::default()).map_err(of_redis)?;
                Ok(Target::Redis(Box::new(redis.with_names(names))))
            }
            Location::Embedded(dir) => {
                let store = if Embedded::exists(dir) { Some(open(dir)?) } else { None };
                Ok(Target::Embedded(Directory { dir: dir.clone(), store }))
            }
        }
    }

    /// How many patches one write should have: a transaction on the disk pays by the page, so more is better there.
    pub fn batch(&self) -> usize {
        match self {
            Target::Embedded(_) => 100_000,
            Target::Redis(_) | Target::Nowhere => 10_000,
        }
    }

    /// How long patches may wait for others to come: each write of a directory syncs its disk.
    pub fn linger(&self) -> Duration {
        match self {
            Target::Embedded(_) => Duration::from_millis(200),
            Target::Redis(_) | Target::Nowhere => Duration::from_millis(10),
        }
    }

    /// Writes patches; they are in the store when this returns.
    pub fn write(&mut self, patches: &[Patch]) -> Result<Done> {
        let tags = |patches: &[Patch]| patches.iter().map(|patch| patch.tags.len()).sum::<usize>();
        match self {
            Target::Nowhere => Ok(Done { patches: patches.len(), tags: tags(patches), ..Done::default() }),
            Target::Redis(redis) => {
                let shown = without_hidden(patches);
                let patches = shown.as_deref().unwrap_or(patches);
                let written = redis.apply(patches).map_err(of_redis)?;
                let refused: usize = refused_tags(patches, &written.refused);
                let tags = tags(patches) - refused;
                Ok(Done { patches: written.patches, tags, refused: written.refused, ..Done::default() })
            }
            Target::Embedded(directory) => {
                let list = directory.forgotten()?;
                let stays = |patch: &&Patch| !is_forgotten(&list, patch);
                let all: Vec<Patch> =
                    if list.is_empty() { Vec::new() } else { patches.iter().filter(stays).cloned().collect() };
                let kept = if list.is_empty() { patches } else { &all };
                let applied = directory.store()?.apply_patches(kept).map_err(given::of_store)?;
                let (tags, older, forgotten) = (applied.tags, applied.older, patches.len() - kept.len());
                Ok(Done { patches: kept.len(), tags, older, forgotten, refused: Vec::new() })
            }
        }
    }
}

/// The patches without hidden tags, which Redis has none of; `None` where there are none.
fn without_hidden(patches: &[Patch]) -> Option<Vec<Patch>> {
    let hides = |patch: &Patch| patch.tags.iter().any(|(code, _)| is_hidden(code));
    if !patches.iter().any(hides) {
        return None;
    }
    let mut shown = patches.to_vec();
    shown.retain_mut(Patch::keep_shown);
    Some(shown)
}

/// The tags of the refused patches, which are named in the order of `patches`.
fn refused_tags(patches: &[Patch], refused: &[Refused]) -> usize {
    let mut rest = patches.iter();
    let patch_of = |one: &Refused| rest.find(|patch| patch.key == one.key);
    refused.iter().filter_map(patch_of).map(|patch| patch.tags.len()).sum()
}

impl Directory {
    fn forgotten(&self) -> Result<Forgotten> {
        let path = forgotten::beside(&self.dir);
        Ok(Forgotten::load(&path).map_err(|e| report::io(&path, &e))?)
    }

    fn store(&mut self) -> Result<&Embedded> {
        match &mut self.store {
            Some(store) => Ok(store),
            none => Ok(none.insert(open(&self.dir)?)),
        }
    }
}

fn open(dir: &Path) -> Result<Embedded> {
    Embedded::create_or_open(dir).map_err(|e| given::of_store(e).into())
}

/// An error of Redis, with advice for those who have none.
fn of_redis(error: adprof::store::Error) -> anyhow::Error {
    let unreachable = error.kind == Kind::Unavailable && error.hint.as_ref().is_some_and(|h| h.contains("--store"));
    let failure = given::of_store(error);
    if unreachable {
        failure.hint("is Redis running there? without one: adprof sink file").into()
    } else {
        failure.into()
    }
}
