//! The rows that touch some keys out of a log, each with its place: what the evidence about a difference rests on.

use crate::bus::partition_of;
use crate::engine::dedup::{HashKey, Identity, identity};
use crate::engine::keys::Keys;
use crate::engine::plan::Plan;
use crate::event::Rules;
use crate::expr::Scratch;
use crate::forgotten::Forgotten;
use crate::key::Key;
use crate::lines::Text;
use crate::log::{Chunk, Error, Log, writer_of};
use crate::parallel;
use crate::reader::Reader;
use crate::rows::{Block, Projection};
use crate::time::Millis;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CHUNK_BYTES: u64 = 4 << 20;

/// A log that is searched for the events of some keys.
pub struct Search<'a> {
    pub log: &'a Log,
    pub projection: &'a Projection,
    pub rules: &'a Rules,
    /// The instant of receipt for events that carry none.
    pub received: Millis,
    pub threads: usize,
    /// By key, its place in what is found.
    pub keys: &'a HashMap<Key, usize>,
    /// A plan of each entity besides users that the keys are of.
    pub entities: &'a [Arc<Plan>],
    /// The ids of events that a live state has read, and the key of their hash.
    pub ids: &'a HashSet<Identity>,
    pub hash_key: HashKey,
    /// Kafka's partitions, if that is how the state reads; else 1.
    pub lanes: i32,
    pub progress: &'a AtomicU64,
}

/// One event that touches a key.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: Arc<str>,
    /// The instant of receipt that the line names.
    pub received: Option<Millis>,
    /// Its partition, and how many events of that stand before it in the log.
    pub lane: usize,
    pub ordinal: u64,
    /// Whether the state remembers its id.
    pub read: bool,
    pub block: usize,
    pub row: usize,
}

/// What was found.
#[derive(Default)]
pub struct Found {
    pub blocks: Vec<Block>,
    /// By key, in the order of the log, duplicates too.
    pub events: Vec<Vec<Place>>,
    /// By writer and lane, behind which ordinal nothing is known to be read.
    pub frontiers: HashMap<(Arc<str>, usize), u64>,
}

impl Found {
    /// Whether the state has read an event that the writer of this one has sent behind it.
    pub fn is_passed(&self, place: &Place) -> bool {
        let writer: Arc<str> = writer_of(&place.file).into();
        self.frontiers.get(&(writer, place.lane)).is_some_and(|end| place.ordinal < *end)
    }
}

/// What one chunk holds; ordinals count from its beginning.
struct Part {
    block: Block,
    events: Vec<(usize, Place)>,
    lanes: Vec<u64>,
    read: Vec<Option<u64>>,
    file: Arc<str>,
}

/// Reads the whole log.
pub fn read(search: &Search<'_>) -> Result<Found, Error> {
    let chunks = search.log.chunks(CHUNK_BYTES);
    let mut all = Found { events: vec![Vec::new(); search.keys.len()], ..Found::default() };
    let mut before = vec![0; search.lanes.max(1) as usize];
    let work = |i: usize| Worker::new(search, &chunks[i]).read(&chunks[i]);
    parallel::ordered(search.threads, chunks.len(), work, |_, part: Part| {
        for (key, mut place) in part.events {
            place.ordinal += before[place.lane];
            place.block = all.blocks.len();
            all.events[key].push(place);
        }
        all.blocks.push(part.block);
        for (lane, last) in part.read.iter().enumerate() {
            if let Some(last) = last {
                let writer = writer_of(&part.file).into();
                let end = all.frontiers.entry((writer, lane)).or_default();
                *end = (*end).max(before[lane] + last + 1);
            }
        }
        before.iter_mut().zip(part.lanes).for_each(|(before, n)| *before += n);
        Ok(())
    })?;
    Ok(all)
}

struct Worker<'a> {
    search: &'a Search<'a>,
    reader: Reader,
    forgotten: Arc<Forgotten>,
    /// A row by itself, and whom it touches.
    row: Block,
    keys: Keys,
    scratch: Scratch,
    part: Part,
}

impl<'a> Worker<'a> {
    fn new(search: &'a Search<'a>, chunk: &Chunk) -> Worker<'a> {
        let lanes = search.lanes.max(1) as usize;
        let file = chunk.file.name.as_str().into();
        let part = Part {
            block: Block::new(search.projection),
            events: Vec::new(),
            lanes: vec![0; lanes],
            read: vec![None; lanes],
            file,
        };
        Worker {
            search,
            reader: Reader::new(search.projection, search.rules),
            forgotten: chunk.file.forgotten.clone(),
            row: Block::new(search.projection),
            keys: Keys::default(),
            scratch: Scratch::new(),
            part,
        }
    }

    fn read(mut self, chunk: &Chunk) -> Result<Part, Error> {
        let mut lines = chunk.lines()?;
        while let Some(line) = lines.next()? {
            // What is refused was told by the first reading.
            if let Text::Whole(bytes) = line.text {
                self.line(bytes);
            }
        }
        let end = lines.finish();
        self.search.progress.fetch_add(end.bytes, Ordering::Relaxed);
        if end.torn.is_some() && !end.last.is_empty() {
            self.line(&end.last);
        }
        Ok(self.part)
    }

    fn line(&mut self, bytes: &[u8]) {
        let Ok(true) = self.reader.read_alone(bytes, self.search.received) else { return };
        let (line, buf) = (self.reader.line(), self.reader.spare());
        self.row.clear();
        self.row.push_line(line, buf);
        let lane = match self.search.lanes {
            ..=1 => 0,
            lanes => partition_of(self.row.user(0).as_bytes(), lanes) as usize,
        };
        let ordinal = self.part.lanes[lane];
        self.part.lanes[lane] += 1;
        let ids = self.search.ids;
        let read = !ids.is_empty() && ids.contains(&identity(&self.search.hash_key, &self.row, 0));
        if read {
            self.part.read[lane] = Some(ordinal);
        }
        let mut found = Vec::new();
        found.extend(self.search.keys.get(&Key::user("", self.row.user(0))).copied());
        for plan in self.search.entities {
            plan.keys(&self.row, 0, &mut self.keys, &mut self.scratch);
            let known = |key: &str| self.search.keys.get(&Key::from_stored(key)?).copied();
            found.extend(self.keys.iter().filter_map(known));
        }
        if found.is_empty() || self.forgotten.drops(self.row.user(0).as_bytes(), self.row.timestamp(0)) {
            return;
        }
        let row = self.part.block.len();
        self.part.block.push_line(line, buf);
        let received = line.received();
        for key in found {
            let place = Place { file: self.part.file.clone(), received, lane, ordinal, read, block: 0, row };
            self.part.events.push((key, place));
        }
    }
}
