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

/// States by their stored keys, in two pieces of memory: there are many.
#[derive(Default)]
pub struct Records {
    keys: String,
    bytes: Vec<u8>,
    /// Where the key and the bytes of each end; `None`: it is to be removed.
    ends: Vec<(usize, Option<usize>)>,
}

/// How much there is of each piece.
#[derive(Default)]
pub struct Size([usize; 3]);

impl Records {
    /// Room for as much as there was the last time, and some more: growing means to copy all of it.
    pub fn like(last: &Size) -> Records {
        let [keys, bytes, ends] = last.0.map(|size| size + size / 4);
        Records { keys: String::with_capacity(keys), bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(ends) }
    }

    pub fn size(&self) -> Size {
        Size([self.keys.len(), self.bytes.len(), self.ends.len()])
    }

    pub fn push(&mut self, key: &str, state: Option<&[u8]>) {
        self.keys.push_str(key);
        self.bytes.extend_from_slice(state.unwrap_or_default());
        self.ends.push((self.keys.len(), state.map(|_| self.bytes.len())));
    }

    fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut from = (0, 0);
        self.ends.iter().map(move |(key, bytes)| {
            let all = (&self.keys[from.0..*key], bytes.map(|end| &self.bytes[from.1..end]));
            from = (*key, bytes.unwrap_or(from.1));
            all
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
    let mut states = Vec::with_capacity(save.states.iter().map(|records| records.ends.len()).sum());
    save.states.iter().for_each(|records| states.extend(records.iter()));
    let changes = Changes { at: save.at, states, meta: &meta, ids: &ids };
    owner.commit_given(changes, &save.patches, &save.heard)
}
