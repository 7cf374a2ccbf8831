//! The outbox: derived events between the state that they come from and the place where they go.
//!
//! A checkpoint holds them together with the memberships and the offsets that they come from; they are handed over only
//! when it is on the disk, and leave the outbox when they are at their place. After a crash what is left in it is handed
//! over again, without what the place has already.

use super::emit::{Answer, Emitter, Sink, Target};
use super::saver::Blob;
use super::stream::Error;
use crate::engine::derived::Derived;
use crate::key::Key;
use crate::store::embedded::Embedded;
use crate::store::{self, Kind};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The name under which a checkpoint keeps what is known of the outbox.
const HEAD: &str = "outbox";
/// A blob of events ends at this many bytes.
const BLOB_BYTES: usize = 1 << 20;

/// Where the outbox stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// The number of the next blob; blobs before `done` are at their place.
    next: u64,
    done: u64,
    /// The place, by its name, and how far it had come when `done` was true of it.
    target: Option<String>,
    reached: String,
    /// By which the files of a log are known again, whoever wrote into them in between.
    writer: String,
}

pub struct Outbox {
    head: Head,
    /// The oldest blob in the store.
    oldest: u64,
    /// What the checkpoint on its way to the disk has.
    saving: u64,
    emitter: Option<Emitter>,
    /// Events handed over in this run.
    pub emitted: u64,
}

/// The name of a blob of events.
pub fn blob(number: u64) -> String {
    format!("{HEAD}/{number:020}")
}

/// What waits in the outbox of a store: lines, by the names they stand under.
pub fn blobs(store: &Embedded) -> Result<Vec<(String, Vec<u8>)>, store::Error> {
    let head = read(store)?.unwrap_or_default();
    let lines = |number| Ok(store.meta(&blob(number))?.map(|lines| (blob(number), lines)));
    (head.done..head.next).map(lines).filter_map(Result::transpose).collect()
}

/// All that an outbox has in a store, without the events of some users.
pub fn all(store: &Embedded, gone: &dyn Fn(&Key) -> bool) -> Result<Vec<(String, Vec<u8>)>, store::Error> {
    let mut all = blobs(store)?;
    all.iter_mut().for_each(|(_, lines)| *lines = without(lines, gone));
    all.extend(store.meta(HEAD)?.map(|head| (HEAD.to_string(), head)));
    Ok(all)
}

fn read(store: &Embedded) -> Result<Option<Head>, store::Error> {
    let broken = |e| store::Error::new(Kind::Corrupt, format!("embedded store: its outbox is broken: {e}"));
    store.meta(HEAD)?.map(|bytes| serde_json::from_slice(&bytes).map_err(broken)).transpose()
}

/// The lines of a blob without those of some users.
pub fn without(lines: &[u8], gone: &dyn Fn(&Key) -> bool) -> Vec<u8> {
    let stays = |line: &&[u8]| {
        let user = user_of(line);
        !user.is_some_and(|user| gone(&Key::user("", &user)))
    };
    lines.split_inclusive(|b| *b == b'\n').filter(stays).collect::<Vec<_>>().concat()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    event_id: String,
    user_id: String,
    received_at: Millis,
}

/// The user of a derived event.
pub fn user_of(line: &[u8]) -> Option<String> {
    serde_json::from_slice::<Line>(line).ok().map(|line| line.user_id)
}

/// The id of an event and the instant of its receipt.
pub fn id_of(line: &[u8]) -> Option<(String, Millis)> {
    serde_json::from_slice::<Line>(line).ok().map(|line| (line.event_id, line.received_at))
}

impl Outbox {
    pub fn open(store: &Embedded) -> Result<Outbox, Error> {
        let head = read(store)?.unwrap_or_default();
        Ok(Outbox { oldest: head.done, saving: head.next, head, emitter: None, emitted: 0 })
    }

    /// From here on events go to `target`. What is left of before goes there first, behind a checkpoint that names the
    /// place and has no more of users who were forgotten.
    pub fn emit_to(&mut self, target: Target, state_id: &str, store: &Embedded) -> Result<(), Error> {
        if self.head.writer.is_empty() {
            self.head.writer = format!("stream-{state_id}");
        }
        let sink = Sink::open(target, &self.head.writer)?;
        let same = self.head.target.as_deref() == Some(sink.name());
        let reached = if same { self.head.reached.clone() } else { sink.reached()? };
        (self.head.target, self.head.reached) = (Some(sink.name().to_string()), reached.clone());
        let left = self.head.done..self.head.next;
        let emitter = Emitter::start(sink, store.clone(), left, same.then_some(reached));
        self.emitter = Some(emitter);
        Ok(())
    }

    /// What a checkpoint with these events has to write.
    pub fn saving(&mut self, derived: &[Derived], received: Millis) -> Vec<Blob> {
        let mut blobs: Vec<Blob> = (self.oldest..self.head.done).map(|number| (blob(number), None)).collect();
        self.oldest = self.head.done;
        let mut lines = Vec::new();
        for (i, one) in derived.iter().enumerate() {
            one.push_line(received, &mut lines);
            if lines.len() >= BLOB_BYTES || i + 1 == derived.len() {
                blobs.push((blob(self.head.next), Some(std::mem::take(&mut lines))));
                self.head.next += 1;
            }
        }
        self.saving = self.head.next;
        if self.head != Head::default() {
            let head = serde_json::to_vec(&self.head).expect("plain data has a JSON form");
            blobs.push((HEAD.to_string(), Some(head)));
        }
        blobs
    }

    /// The checkpoint is on the disk.
    pub fn saved(&mut self) {
        if let Some(emitter) = &mut self.emitter {
            emitter.emit(self.saving);
        }
    }

    /// Hears of what is at its place by now. Whether anything has come there, which the next checkpoint has to say.
    pub fn hear(&mut self) -> Result<bool, Error> {
        let mut news = false;
        while let Some(answer) = self.emitter.as_mut().and_then(|emitter| emitter.answer(Duration::ZERO)) {
            match answer {
                Answer::Done { done, reached, events } => {
                    (self.head.done, self.head.reached, news) = (done, reached, true);
                    self.emitted += events;
                }
                Answer::Failed(e) => {
                    self.emitter = None;
                    return Err(e);
                }
            }
        }
        Ok(news)
    }

    /// Waits until all is at its place, or for so long. Whether anything has come there.
    pub fn settle(&mut self, patience: Duration) -> Result<bool, Error> {
        let (until, mut news) = (Instant::now() + patience, false);
        loop {
            news |= self.hear()?;
            let waits = self.emitter.is_some() && self.head.done < self.saving;
            if !waits || Instant::now() >= until {
                return Ok(news);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Takes the events of some users out of what waits. Gives the blobs that are others now.
    pub fn erase(&mut self, store: &Embedded, gone: &dyn Fn(&Key) -> bool) -> Result<Vec<Blob>, Error> {
        let mut changed = Vec::new();
        for number in self.head.done..self.head.next {
            let Some(lines) = store.meta(&blob(number))? else { continue };
            let left = without(&lines, gone);
            if left != lines {
                changed.push((blob(number), Some(left)));
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::derived::Cause;
    use crate::store::embedded::Changes;
    use std::path::{Path, PathBuf};

    fn derived(user: &str) -> Derived {
        let (segment, version) = ("fans".into(), "931eebfe07a1".into());
        let cause = Cause::Event("e-17".into());
        Derived { key: Key::user("", user), segment, version, since: None, at: 5, cause, nth: 0, patches: 0 }
    }

    fn checkpoint(store: &Embedded, blobs: &[Blob]) {
        let meta: Vec<(&str, Option<&[u8]>)> = blobs.iter().map(|(name, bytes)| (&**name, bytes.as_deref())).collect();
        let states: [(Key, Option<&[u8]>); 0] = [];
        let mut owner = store.begin_owner("a test").expect("free");
        owner.commit(Changes { at: 1, states, meta: &meta, ids: &[] }).expect("written");
    }

    fn lines(path: &Path) -> usize {
        std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
    }

    fn begun(store: &Embedded, target: &Path) -> Outbox {
        let mut outbox = Outbox::open(store).expect("opened");
        outbox.emit_to(Target::Log(target.to_path_buf()), "id", store).expect("a place");
        outbox
    }

    /// Hands over what waits, as a run does that is killed before the next checkpoint.
    fn killed_behind(outbox: &mut Outbox, store: &Embedded, events: &[Derived]) {
        checkpoint(store, &outbox.saving(events, 6));
        outbox.saved();
        outbox.settle(Duration::from_secs(20)).expect("handed over");
    }

    #[test]
    fn what_is_left_goes_elsewhere_only_behind_a_checkpoint_that_names_the_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| -> PathBuf { dir.path().join(name) };
        let store = Embedded::create_or_open(&path("s")).expect("a store");
        checkpoint(&store, &begun(&store, &path("a")).saving(&[derived("u1"), derived("u2")], 6));
        let mut second = begun(&store, &path("b"));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!((second.hear().ok(), lines(&path("b"))), (Some(false), 0));
        drop(second);
        killed_behind(&mut begun(&store, &path("b")), &store, &[]);
        assert_eq!((lines(&path("a")), lines(&path("b"))), (0, 2));
        // It stands there, and was not confirmed.
        killed_behind(&mut begun(&store, &path("b")), &store, &[derived("u3")]);
        assert_eq!(lines(&path("b")), 3);
    }

    #[test]
    fn users_who_are_forgotten_go_out_of_what_waits_and_nobody_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Embedded::create_or_open(&dir.path().join("s")).expect("a store");
        let mut outbox = Outbox::open(&store).expect("opened");
        checkpoint(&store, &outbox.saving(&[derived("u1"), derived("u2"), derived("u1")], 6));
        let changed = outbox.erase(&store, &|key| key.id() == "u1").expect("erased");
        checkpoint(&store, &changed);
        assert!(outbox.erase(&store, &|key| key.id() == "u1").expect("erased").is_empty());
        let left = blobs(&store).expect("read");
        assert_eq!(left.len(), 1);
        assert_eq!(user_of(&left[0].1).as_deref(), Some("u2"));
    }
}
