//! The forgotten: users whose events no longer count, as a list that does not say who they are.
//!
//! An event of a forgotten user counts for nothing when its `timestamp` is at or before the instant of forgetting; a later
//! one begins the user anew. The list holds a salted hash for each id, so it can lie beside the data it keeps clean:
//!
//! ```text
//! events/forgotten                of a log that is a directory
//! ad-events.log.forgotten         of a log of one file
//! adprof-state/forgotten          of a live state or an embedded store
//! ```

use crate::disk;
use crate::ndjson::shown;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The name of a list in a directory, and what a log of one file adds to its own.
pub const NAME: &str = "forgotten";
const VERSION: u32 = 1;

/// 128 bits of SHA-256 over the salt and the id: enough that no two users are one.
type Hash = [u8; 16];

/// Who is forgotten, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// One, unless lists of several origins came together.
    lists: Vec<Salted>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Salted {
    salt: Hash,
    users: BTreeMap<Hash, Millis>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    lists: Vec<WireList>,
}

#[derive(Serialize, Deserialize)]
struct WireList {
    salt: String,
    /// By the hash of the id, the last instant whose events are forgotten.
    users: BTreeMap<String, Millis>,
}

/// The list that lies with a log, a file or a directory; also with a store, which is a directory.
pub fn beside(place: &Path) -> PathBuf {
    if place.is_dir() {
        return place.join(NAME);
    }
    let mut name: OsString = place.components().collect::<PathBuf>().into_os_string();
    name.push(".");
    name.push(NAME);
    name.into()
}

impl Forgotten {
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// How many users are in it.
    pub fn len(&self) -> usize {
        self.lists.iter().map(|list| list.users.len()).sum()
    }

    /// Until which instant the events of a user are forgotten; `None`: they never were.
    pub fn until(&self, user: &[u8]) -> Option<Millis> {
        self.lists.iter().filter_map(|list| list.users.get(&hash(&list.salt, user)).copied()).max()
    }

    /// Whether an event of this user and instant counts for nothing.
    #[inline]
    pub fn drops(&self, user: &[u8], timestamp: Millis) -> bool {
        !self.lists.is_empty() && self.until(user).is_some_and(|until| timestamp <= until)
    }

    /// Whether a line that is no event names a forgotten user: as its `userId`, or, where it is no JSON object with one, as a
    /// word of it. One whose `timestamp` can be read and is later is the user's who began anew.
    pub fn is_named_in(&self, line: &[u8]) -> bool {
        if self.lists.is_empty() {
            return false;
        }
        match Named::of(line) {
            Some((user, timestamp)) => self.drops(user.as_bytes(), timestamp.unwrap_or(Millis::MIN)),
            None => words(line).any(|word| self.until(word).is_some()),
        }
    }

    /// The same, where the ids of some are known: no way to write one as a word is overlooked.
    pub fn is_named_in_by(&self, line: &[u8], ids: &[String]) -> bool {
        let word = || Named::of(line).is_none() && ids.iter().any(|id| is_word_of(line, id.as_bytes()));
        self.is_named_in(line) || word()
    }

    /// Forgets users, all that is at or before `until`; `salt` is random, and of use only where the list is empty.
    pub fn add<'a>(&mut self, users: impl IntoIterator<Item = &'a str>, until: Millis, salt: Hash) {
        if self.lists.is_empty() {
            self.lists.push(Salted { salt, users: BTreeMap::new() });
        }
        let list = &mut self.lists[0];
        for user in users {
            let known = list.users.entry(hash(&list.salt, user.as_bytes())).or_insert(until);
            *known = (*known).max(until);
        }
    }

    /// Takes over who is in another list: the later instant counts.
    pub fn merge(&mut self, other: &Forgotten) {
        for list in other.lists.iter().filter(|list| !list.users.is_empty()) {
            match self.lists.iter_mut().find(|own| own.salt == list.salt) {
                None => self.lists.push(list.clone()),
                Some(own) => {
                    for (user, until) in &list.users {
                        let known = own.users.entry(*user).or_insert(*until);
                        *known = (*known).max(*until);
                    }
                }
            }
        }
    }

    /// Who is in this list and not in `known`, or only up to an earlier instant.
    pub fn since(&self, known: &Forgotten) -> Forgotten {
        let lists = self.lists.iter().map(|list| {
            let before = known.lists.iter().find(|own| own.salt == list.salt);
            let is_new = |user: &Hash, until: &Millis| before.and_then(|own| own.users.get(user)) < Some(until);
            let users = list.users.iter().filter(|(user, until)| is_new(user, until));
            Salted { salt: list.salt, users: users.map(|(user, until)| (*user, *until)).collect() }
        });
        Forgotten { lists: lists.filter(|list| !list.users.is_empty()).collect() }
    }

    /// The salt of the list, for another one of the same users.
    pub fn salt(&self) -> Option<Hash> {
        self.lists.first().map(|list| list.salt)
    }

    /// Reads a list; one that is not there is empty. One that cannot be read is an error: it would bring everybody back.
    pub fn load(path: &Path) -> io::Result<Forgotten> {
        match fs::read(path) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Forgotten::default()),
            Err(e) => Err(e),
            Ok(bytes) => Forgotten::parse(&bytes).map_err(|why| {
                let path = shown(&path.to_string_lossy()).into_owned();
                io::Error::new(ErrorKind::InvalidData, format!("{path}: not a list of forgotten users: {why}"))
            }),
        }
    }

    /// The inverse of `bytes`; the error says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Forgotten, String> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if wire.version != VERSION {
            return Err(format!("version {}, this adprof knows {VERSION}", wire.version));
        }
        let list = |list: WireList| {
            let users = list.users.iter().map(|(user, until)| Some((unhex(user)?, *until)));
            Some(Salted { salt: unhex(&list.salt)?, users: users.collect::<Option<_>>()? })
        };
        let lists: Option<Vec<Salted>> = wire.lists.into_iter().map(list).collect();
        Ok(Forgotten { lists: lists.ok_or("a hash has 32 hex digits")? })
    }

    pub fn bytes(&self) -> Vec<u8> {
        let lists = self.lists.iter().map(|list| {
            let users = list.users.iter().map(|(user, until)| (hex(user), *until)).collect();
            WireList { salt: hex(&list.salt), users }
        });
        let wire = Wire { version: VERSION, lists: lists.collect() };
        let mut bytes = serde_json::to_vec(&wire).expect("texts and numbers are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Puts it in the place of the list at `path`, durably and at once.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        disk::replace(path, Path::new(&temporary), &self.bytes())
    }
}

/// Changes the list at `path`, one process after the other. Gives what it is now.
pub fn update(path: &Path, change: impl FnOnce(&mut Forgotten)) -> io::Result<Forgotten> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&name)?;
    lock.lock()?;
    let before = Forgotten::load(path)?;
    let mut list = before.clone();
    change(&mut list);
    if list != before {
        list.write(path)?;
    }
    Ok(list)
}

/// 16 random bytes of the system.
pub fn new_salt() -> io::Result<Hash> {
    let mut salt = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut salt)?;
    Ok(salt)
}

fn hash(salt: &Hash, user: &[u8]) -> Hash {
    let whole = Sha256::new().chain_update(salt).chain_update(user).finalize();
    *whole.first_chunk().expect("SHA-256 has 32 bytes")
}

fn hex(bytes: &Hash) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let number = if text.len() == 32 { u128::from_str_radix(text, 16).ok()? } else { return None };
    Some(number.to_be_bytes())
}

/// Whom a line that is no event names all the same.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, rename = "userId")]
    user: Cow<'a, str>,
    timestamp: Option<serde_json::Value>,
}

impl Named<'_> {
    fn of(line: &[u8]) -> Option<(String, Option<Millis>)> {
        let object = line.trim_ascii_start().first() == Some(&b'{');
        let named: Named<'_> = serde_json::from_slice(line).ok().filter(|_| object)?;
        Some((named.user.into_owned(), named.timestamp.and_then(|at| at.as_i64())))
    }
}

/// Whether a byte may stand next to an id without being part of it.
fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",;|\"'{}[]()<>=\\/".contains(&byte)
}

/// The words of a text that may be ids, with `:` and `/` in them and without.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let fine = line.split(|b| is_between(*b) || *b == b':');
    let coarse = line.split(|b| is_between(*b) && *b != b'/');
    fine.chain(coarse).filter(|word| !word.is_empty())
}

/// Whether `id` stands in a text as a word of its own.
pub fn is_word_of(text: &[u8], id: &[u8]) -> bool {
    let apart = |byte: Option<&u8>| byte.is_none_or(|b| is_between(*b) || *b == b':');
    memchr::memmem::find_iter(text, id)
        .any(|at| apart(at.checked_sub(1).and_then(|before| text.get(before))) && apart(text.get(at + id.len())))
}

/// A list that others may replace, read again when they have.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    mark: Option<Mark>,
    list: Arc<Forgotten>,
}

type Mark = (u64, u64, SystemTime);

impl Watched {
    /// The list at `path`, there or not.
    pub fn open(path: PathBuf) -> io::Result<Watched> {
        let mut watched = Watched { path, mark: None, list: Arc::default() };
        watched.refresh().map(|_| watched)
    }

    pub fn list(&self) -> &Arc<Forgotten> {
        &self.list
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the list again if it was replaced; whether it was.
    pub fn refresh(&mut self) -> io::Result<bool> {
        let mark = match fs::metadata(&self.path) {
            Ok(found) => Some((found.ino(), found.len(), found.modified()?)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
            Err(e) => return Err(e),
        };
        if mark == self.mark {
            return Ok(false);
        }
        self.list = Arc::new(Forgotten::load(&self.path)?);
        self.mark = mark;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Hash = [7; 16];

    fn of(users: &[(&str, Millis)]) -> Forgotten {
        let mut list = Forgotten::default();
        users.iter().for_each(|(user, until)| list.add([*user], *until, SALT));
        list
    }

    #[test]
    fn an_event_at_the_instant_is_forgotten_and_the_next_begins_anew() {
        let list = of(&[("u-1", 100)]);
        for (user, at, dropped) in
            [("u-1", 99, true), ("u-1", 100, true), ("u-1", 101, false), ("u-10", 1, false), ("u-", 1, false)]
        {
            assert_eq!(list.drops(user.as_bytes(), at), dropped, "{user} {at}");
        }
        assert!(!Forgotten::default().drops(b"u-1", 0));
    }

    #[test]
    fn a_list_reads_back_says_nobody_s_name_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        assert!(Forgotten::load(&path).expect("none").is_empty());
        let list = of(&[("somebody", 5), ("else", 7)]);
        list.write(&path).expect("written");
        assert_eq!(Forgotten::load(&path).expect("whole"), list);
        let bytes = fs::read(&path).expect("there");
        assert!(memchr::memmem::find(&bytes, b"somebody").is_none());
        for bad in ["", "{}", r#"{"version":2,"lists":[]}"#, r#"{"version":1,"lists":[{"salt":"7","users":{}}]}"#] {
            fs::write(&path, bad).expect("written");
            assert!(Forgotten::load(&path).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_several_lists_the_later_instant_counts_in_any_order() {
        let (mut one, mut other) = (of(&[("a", 5), ("b", 7)]), Forgotten::default());
        other.add(["a", "c"], 9, [8; 16]);
        let (first, second) = (one.clone(), other.clone());
        one.merge(&second);
        other.merge(&first);
        for list in [&one, &other] {
            assert_eq!(["a", "b", "c", "d"].map(|user| list.until(user.as_bytes())), [Some(9), Some(7), Some(9), None]);
        }
        let mut same = first.clone();
        same.merge(&first);
        assert_eq!(same, first);
    }

    #[test]
    fn what_is_new_in_a_list_is_who_came_and_who_is_forgotten_again() {
        let (before, after) = (of(&[("a", 5), ("b", 5)]), of(&[("a", 5), ("b", 9), ("c", 9)]));
        let new = after.since(&before);
        assert_eq!(["a", "b", "c"].map(|user| new.until(user.as_bytes())), [None, Some(9), Some(9)]);
        assert!(after.since(&after).is_empty() && before.since(&after).is_empty());
    }

    #[test]
    fn a_refused_line_is_a_users_by_its_field_or_by_a_word_of_it() {
        let list = of(&[("u-1", 100), ("a@b.c", 100)]);
        for (line, named) in [
            (r#"{"userId":"u-1"}"#, true),
            (r#"{"userId":"\u0075-1","timestamp":100}"#, true),
            (r#"{"timestamp":101,"userId":"u-1"}"#, false),
            (r#"{"userId":"u-2","friend":"u-1"}"#, false),
            (r#"{"user_id":"u-1"}"#, true),
            (r#"{"userId":"u-1""#, true),
            (r#"{"userId":"u-10""#, false),
            ("12,u-1,click", true),
            ("to:a@b.c now", true),
            ("", false),
        ] {
            assert_eq!(list.is_named_in(line.as_bytes()), named, "{line}");
            assert!(
                !named
                    || line.contains('\\')
                    || ["u-1", "a@b.c"].iter().any(|id| is_word_of(line.as_bytes(), id.as_bytes()))
            );
        }
        assert!(!Forgotten::default().is_named_in(b"u-1"));
    }

    #[test]
    fn a_list_that_was_replaced_is_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut watched = Watched::open(dir.path().join(NAME)).expect("none");
        assert!(!watched.refresh().expect("none") && watched.list().is_empty());
        of(&[("a", 5)]).write(watched.path()).expect("written");
        assert!(watched.refresh().expect("read") && watched.list().len() == 1);
        assert!(!watched.refresh().expect("read"));
    }
}
