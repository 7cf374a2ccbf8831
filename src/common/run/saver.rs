//! The saver: checkpoints written by a thread of their own, one at a time.
//!
//! The fold never waits for the disk. A checkpoint that failed is the last one: what the
//! disk holds stays as it was.

use crate::patch::Patch;
use crate::store::Error;
use crate::store::embedded::{Changes, Owner, Trace};
use crate::time::Millis;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::thread::JoinHandle;
use std::time::Duration;

/// A named blob to write, or to remove.
pub type Blob = (String, Option<Vec<u8>>);

/// For each partition the offset up to which it is on the disk.
pub type Covered = Vec<(i32, i64)>;

/// One checkpoint.
pub struct Save {
    pub at: Millis,
    /// In any order, each key once.
    pub states: [Records; 2],
    pub meta: Vec<Blob>,
    pub ids: Vec<Blob>,
    /// Patches that came with the events.
    pub patches: Vec<Patch>,
    /// Traces of other patches, which have been heard.
    pub heard: Vec<Trace>,
    /// For the group's offsets: how far each partition is read once this is on the disk.
    pub offsets: Covered,
}

/// States by their stored keys, in pieces of memory: there are many, and one that grows would be copied and be there twice.
#[derive(Default)]
pub struct Records {
    pieces: Vec<Vec<u8>>,
    places: Vec<Place>,
}

/// Where a record lies: its key and behind it its state.
struct Place {
    piece: u32,
    from: u32,
    key: u32,
    /// `None`: it is to be removed.
    state: Option<u32>,
}

/// Bytes of a piece; a longer record has one for itself.
const PIECE: usize = 1 << 20;

impl Records {
    /// Makes room for the places of so many more.
    pub fn reserve(&mut self, records: usize) {
        self.places.reserve(records);
    }

    pub fn push(&mut self, key: &str, state: Option<&[u8]>) {
        let bytes = state.unwrap_or_default();
        let len = key.len() + bytes.len();
        if self.pieces.last().is_none_or(|piece| piece.capacity() - piece.len() < len) {
            self.pieces.push(Vec::with_capacity(len.max(PIECE)));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let place = |n: usize| u32::try_from(n).expect("a state has less than 4 GiB");
        let (piece_no, from) = (place(number), place(piece.len()));
        piece.extend_from_slice(key.as_bytes());
        piece.extend_from_slice(bytes);
        let state = state.map(|bytes| place(bytes.len()));
        self.places.push(Place { piece: piece_no, from, key: place(key.len()), state });
    }

    fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.places.iter().map(|place| {
            let (key, rest) = self.pieces[place.piece as usize][place.from as usize..].split_at(place.key as usize);
            let key = std::str::from_utf8(key).expect("it was pushed as a text");
            (key, place.state.map(|len| &rest[..len as usize]))
        })
    }
}

pub struct Saver {
    orders: Option<Sender<Save>>,
    answers: Receiver<Result<Covered, Error>>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Saver {
    pub fn start(mut owner: Owner) -> Saver {
        let (orders, inbox) = bounded::<Save>(1);
        let (outbox, answers) = bounded(1);
        let thread = std::thread::spawn(move || {
            for save in inbox {
                let offsets = save.offsets.clone();
                let done = commit(&mut owner, save).map(|()| offsets);
                if outbox.send(done).is_err() {
                    return;
                }
            }
        });
        Saver { orders: Some(orders), answers, thread: Some(thread), busy: false }
    }

    /// Whether a checkpoint may be handed over; gives what the last one covered when it has just been done.
    pub fn poll(&mut self) -> Result<(bool, Option<Covered>), Error> {
        let mut covered = None;
        if self.busy
            && let Ok(answer) = self.answers.try_recv()
        {
            self.busy = false;
            covered = Some(answer?);
        }
        Ok((!self.busy, covered))
    }

    /// Hands a checkpoint over. Only when `poll` said that it may be.
    pub fn save(&mut self, save: Save) {
        debug_assert!(!self.busy);
        self.busy = true;
        let orders = self.orders.as_ref().expect("it is taken only by finish");
        orders.send(save).expect("the thread lives as long as the sender");
    }

    /// Waits until the checkpoint handed over is on the disk.
    pub fn wait(&mut self) -> Result<Option<Covered>, Error> {
        loop {
            match self.poll()? {
                (true, covered) => return Ok(covered),
                (false, _) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn commit(owner: &mut Owner, save: Save) -> Result<(), Error> {
    fn borrowed(blobs: &[Blob]) -> Vec<(&str, Option<&[u8]>)> {
        blobs.iter().map(|(name, bytes)| (name.as_str(), bytes.as_deref())).collect()
    }
    let (meta, ids) = (borrowed(&save.meta), borrowed(&save.ids));
    let mut states = Vec::with_capacity(save.states.iter().map(|records| records.places.len()).sum());
    save.states.iter().for_each(|records| states.extend(records.iter()));
    let changes = Changes { at: save.at, states, meta: &meta, ids: &ids };
    owner.commit_given(changes, &save.patches, &save.heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in_however_long_they_are() {
        let long = vec![7; PIECE + 1];
        let nearly = vec![8; PIECE - 3];
        let pushed: [(&str, Option<&[u8]>); 7] = [
            ("a", Some(b"one")),
            ("b", None),
            ("", Some(b"")),
            ("c", Some(&nearly)),
            ("d", Some(&long)),
            ("\u{e9}", Some(b"two")),
            ("e", None),
        ];
        let mut records = Records::default();
        records.reserve(2);
        pushed.iter().for_each(|(key, state)| records.push(key, *state));
        assert!(records.iter().eq(pushed));
    }
}
