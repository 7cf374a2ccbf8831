//! Offers: a base that lies beside a live state until its owner installs it.
//!
//! ```text
//! base/latest                 which file it is, and what is in it: replaced as a whole, the point of commit
//! base/2026-11-20-000017      the states of all events received through this day by user, and the ids of its last day
//! base/2026-11-20-000018      the same states by item, or whatever else tags are of: a file for each such entity
//! base/lock                   held by whoever makes one
//! ```
//! A file is never changed, and no name is used twice.

use super::file::{Reader, Section, Stored};
use super::manifest::{Counts, FileRef};
use super::{Error, PARTS, checksum, lock};
use crate::agg::codec::{get_i64, get_u64, put_i64, put_u64};
use crate::disk::sync_dir;
use crate::engine::dedup::Identity;
use crate::key::USER;
use crate::log::Lock;
use crate::time::{Day, Millis, day_start, show_day};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

const LATEST: &str = "latest";
const MAGIC: &str = "adprof-base 1 ";
const SEED: u64 = 0x6f66_6665_7265_6421;

/// A base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The state it was made for: its ids are hashed with that one's key.
    pub state_id: String,
    pub through: Day,
    /// The last event time in it.
    pub newest: Millis,
    /// Of users.
    pub file: FileRef,
    pub keys: u64,
    /// `late` is part of `absorbed` here: a base has all events.
    pub counts: Counts,
    /// Of the other entities that have tags. A base of an earlier version has none.
    #[serde(default)]
    pub entities: Vec<Keyed>,
}

/// What a base has of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed {
    pub entity: String,
    pub file: FileRef,
    pub keys: u64,
}

impl Offer {
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        std::iter::once(&self.file).chain(self.entities.iter().map(|keyed| &keyed.file))
    }

    /// The file with the keys of an entity; `None`: the base was made without it.
    pub fn file_of(&self, entity: &str) -> Option<&FileRef> {
        if entity == USER {
            return Some(&self.file);
        }
        self.entities.iter().find(|keyed| keyed.entity == entity).map(|keyed| &keyed.file)
    }

    /// Stands for everything that is in it.
    pub fn digest(&self) -> u64 {
        self.entities.iter().fold(self.file.digest, |digest, Keyed { entity, file, .. }| {
            let numbers = file.counters.iter().chain([&file.digest]).flat_map(|n| n.to_le_bytes());
            checksum(digest, &entity.bytes().chain([0]).chain(numbers).collect::<Vec<u8>>())
        })
    }

    /// The instant its states are as of: windows have forgotten what was over by then.
    pub fn at(&self) -> Millis {
        end_of(self.through)
    }
}

/// The last instant of a day.
pub fn end_of(day: Day) -> Millis {
    day_start(day.saturating_add(1)) - 1
}

/// The place of bases in the directory of a store.
#[derive(Clone, Debug)]
pub struct Shelf {
    pub dir: PathBuf,
}

impl Shelf {
    pub fn of(store: &Path) -> Shelf {
        Shelf { dir: store.join("base") }
    }

    /// The right to make a base here, held until dropped. What a crash left is swept away.
    pub fn lock(&self) -> Result<Lock, Error> {
        let lock = lock(&self.dir)?;
        let latest = self.load()?;
        let is_latest = |name: &str| latest.iter().flat_map(Offer::files).any(|file| file.name == name);
        for entry in fs::read_dir(&self.dir).map_err(Error::io(&self.dir, "list"))? {
            let name = entry.map_err(Error::io(&self.dir, "list"))?.file_name().to_string_lossy().into_owned();
            if is_ours(&name) && !is_latest(&name) {
                self.remove(&name);
            }
        }
        Ok(lock)
    }

    /// A name that was never used before for a file of a base; `salt` is a random number.
    pub fn name(day: Day, salt: u64) -> String {
        format!("{}-{salt:016x}", show_day(day))
    }

    /// Something that changes with each offer; `None`: there is none.
    pub fn mark(&self) -> Option<(u64, std::time::SystemTime)> {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(self.dir.join(LATEST)).ok()?;
        Some((found.ino(), found.modified().ok()?))
    }

    /// The newest offer, installed or not; `None`: there never was one.
    pub fn load(&self) -> Result<Option<Offer>, Error> {
        let path = self.dir.join(LATEST);
        let text = match fs::read_to_string(&path) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound) => return Ok(None),
            read => read.map_err(Error::io(&path, "read"))?,
        };
        parse(&text).map(Some).ok_or_else(|| Error::damaged("base/latest", "it is not what was written"))
    }

    /// Offers a base, durably. Its files must be in place.
    pub fn put(&self, offer: &Offer) -> Result<(), Error> {
        let json = serde_json::to_string(offer).expect("an offer is plain data");
        let text = format!("{MAGIC}{:016x}\n{json}\n", checksum(SEED, json.as_bytes()));
        let temporary = self.dir.join(format!("{LATEST}.tmp"));
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, self.dir.join(LATEST))?;
            sync_dir(&self.dir)
        };
        write().map_err(Error::io(&temporary, "write"))
    }

    /// Removes the newest offer and all files of bases.
    pub fn withdraw(&self) {
        let _ = fs::remove_file(self.dir.join(LATEST));
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_ours(&name) {
                self.remove(&name);
            }
        }
    }

    /// Removes the file of a base that nobody needs any more.
    pub fn remove(&self, name: &str) {
        // What stays is swept when the next one is made.
        let _ = fs::remove_file(self.dir.join(name));
    }
}

fn parse(text: &str) -> Option<Offer> {
    let (hash, json) = text.strip_prefix(MAGIC)?.split_once('\n')?;
    let json = json.strip_suffix('\n')?;
    let right = u64::from_str_radix(hash, 16).ok()? == checksum(SEED, json.as_bytes());
    if right { serde_json::from_str(json).ok() } else { None }
}

/// Whether a file of this name is that of a base, whole or not.
fn is_ours(name: &str) -> bool {
    let whole = name.strip_suffix(".tmp").unwrap_or(name);
    let Some((day, salt)) = whole.rsplit_once('-') else { return false };
    salt.len() == 16 && u64::from_str_radix(salt, 16).is_ok() && day.parse::<jiff::civil::Date>().is_ok()
}

/// Ids by the hour of their event's time, as a section of a part.
pub fn ids(part: usize, mut ids: Vec<(i64, Identity)>) -> Stored {
    ids.sort_unstable();
    ids.dedup();
    let mut out = Vec::new();
    for hour in ids.chunk_by(|a, b| a.0 == b.0) {
        put_i64(&mut out, hour[0].0);
        put_u64(&mut out, hour.len() as u64);
        hour.iter().for_each(|(_, id)| out.extend_from_slice(&id.to_le_bytes()));
    }
    Stored::new(part, Section::Ids, out)
}

/// Gives each id of all parts with its hour to `each`.
pub fn each_id(file: &Reader<'_>, mut each: impl FnMut(i64, Identity)) -> Result<(), Error> {
    for part in 0..PARTS {
        let bytes = file.read(part, Section::Ids)?;
        let mut rest = &bytes[..];
        let mut read = || -> Option<()> {
            while !rest.is_empty() {
                let hour = get_i64(&mut rest)?;
                for _ in 0..get_u64(&mut rest)? {
                    let (id, behind) = rest.split_first_chunk::<{ size_of::<Identity>() }>()?;
                    rest = behind;
                    each(hour, Identity::from_le_bytes(*id));
                }
            }
            Some(())
        };
        read().ok_or_else(|| Error::damaged(file.name(), "its ids cannot be read"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::file::Writer;
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn an_offer_comes_back_any_changed_byte_is_noticed_and_what_a_crash_left_is_swept() {
        let store = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::of(store.path());
        let held = shelf.lock().expect("locked");
        assert_eq!(shelf.load().expect("none"), None);
        let name = Shelf::name(20_000, 7);
        let mut writer = Writer::create(&shelf.dir, &name).expect("created");
        let wanted: Vec<(i64, Identity)> = vec![(-3, 9), (-3, 7), (5, 1 << 100)];
        writer.put(&ids(3, wanted.clone())).expect("written");
        let file = writer.finish(vec![1]).expect("finished");
        let (state_id, counts) = ("s".to_owned(), Counts::default());
        let writer = Writer::create(&shelf.dir, &Shelf::name(20_000, 8)).expect("created");
        let items = Keyed { entity: "item".into(), file: writer.finish(vec![2]).expect("finished"), keys: 0 };
        let entities = vec![items.clone()];
        let offer = Offer { state_id, through: 20_000, newest: 5, file, keys: 0, counts, entities };
        let named = |entity| offer.file_of(entity).map(|file| file.name.as_str());
        assert_eq!(named("user"), Some(Shelf::name(20_000, 7).as_str()));
        assert_eq!((named("item"), named("pair")), (Some(items.file.name.as_str()), None));
        shelf.put(&offer).expect("offered");
        assert_eq!(shelf.load().expect("whole"), Some(offer.clone()));
        let (meter, mut found) = (AtomicU64::new(0), Vec::new());
        let reader = Reader::open(&shelf.dir, &offer.file, &meter).expect("open");
        each_id(&reader, |hour, id| found.push((hour, id))).expect("read");
        assert_eq!(found, [(-3, 7), (-3, 9), (5, 1 << 100)]);
        drop(held);
        for name in [Shelf::name(20_001, 9), format!("{}.tmp", Shelf::name(1, 2)), "notes".into()] {
            fs::write(shelf.dir.join(name), "x").expect("written");
        }
        drop(shelf.lock().expect("locked"));
        let mut left: Vec<_> = fs::read_dir(&shelf.dir).expect("listed").map(|e| e.expect("one").file_name()).collect();
        left.sort();
        assert_eq!(left, [offer.file.name.as_str(), items.file.name.as_str(), "latest", "lock", "notes"]);
        let path = shelf.dir.join(LATEST);
        let whole = fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).expect("written");
            assert!(shelf.load().is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_base_is_known_by_all_of_its_files_and_one_of_users_alone_as_ever() {
        let file = |digest, counters: &[u64]| FileRef {
            entities: Vec::new(),
            name: String::new(),
            digest,
            bytes: 0,
            counters: counters.to_vec(),
            filter: None,
        };
        let keyed = |entity: &str, file| Keyed { entity: entity.into(), file, keys: 0 };
        let offer = |entities| Offer {
            state_id: String::new(),
            through: 0,
            newest: 0,
            file: file(7, &[1]),
            keys: 0,
            counts: Counts::default(),
            entities,
        };
        assert_eq!(offer(Vec::new()).digest(), 7);
        let digests = [
            offer(Vec::new()),
            offer(vec![keyed("a", file(8, &[2]))]),
            offer(vec![keyed("b", file(8, &[2]))]),
            offer(vec![keyed("a", file(9, &[2]))]),
            offer(vec![keyed("a", file(8, &[3]))]),
            offer(vec![keyed("a", file(8, &[2])), keyed("b", file(8, &[2]))]),
        ]
        .map(|offer| offer.digest());
        let distinct: std::collections::BTreeSet<u64> = digests.into_iter().collect();
        assert_eq!(distinct.len(), digests.len());
        // An offer of an earlier version says nothing of entities.
        let json = serde_json::to_string(&offer(Vec::new())).expect("plain data");
        let earlier = json.replace(",\"entities\":[]", "");
        assert_ne!(earlier, json);
        assert_eq!(serde_json::from_str::<Offer>(&earlier).expect("read"), offer(Vec::new()));
    }
}
