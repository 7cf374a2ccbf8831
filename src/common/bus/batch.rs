//! A batch: messages of one partition in one piece of memory.
//!
//! Offsets ascend strictly. Keys and values lie one after the other in the arena, so a
//! message costs 40 bytes of bookkeeping and no allocation of its own.

use super::start::Witness;

/// One message, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub offset: i64,
    /// ms since the epoch; `None` when the topic carries none.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: i64,
    timestamp: Option<i64>,
    /// Where its value ends in the arena; its key begins where the previous message ended.
    end: usize,
    /// `u32::MAX`: there is none.
    key: u32,
    has_payload: bool,
}

const NO_KEY: u32 = u32::MAX;

/// Messages of one partition, in order.
#[derive(Debug)]
pub struct Batch {
    partition: i32,
    arena: Vec<u8>,
    marks: Vec<Mark>,
}

impl Batch {
    pub(crate) fn new(partition: i32) -> Batch {
        Batch { partition, arena: Vec::new(), marks: Vec::new() }
    }

    /// Takes out what has been gathered, leaving room for as much again.
    pub(super) fn take(&mut self) -> Batch {
        let arena = Vec::with_capacity(self.arena.len());
        let marks = Vec::with_capacity(self.marks.len());
        Batch {
            partition: self.partition,
            arena: std::mem::replace(&mut self.arena, arena),
            marks: std::mem::replace(&mut self.marks, marks),
        }
    }

    pub(crate) fn push(&mut self, message: &Message<'_>) {
        debug_assert!(self.marks.last().is_none_or(|last| last.offset < message.offset));
        self.arena.extend_from_slice(message.key.unwrap_or_default());
        self.arena.extend_from_slice(message.payload.unwrap_or_default());
        self.marks.push(Mark {
            offset: message.offset,
            timestamp: message.timestamp,
            end: self.arena.len(),
            // A key is bounded by the broker's message size, far below 4 GiB.
            key: message.key.map_or(NO_KEY, |key| key.len() as u32),
            has_payload: message.payload.is_some(),
        });
    }

    /// The partition all of them come from.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// How many messages; never 0 in what a consumer delivers.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is no message in it.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// The offset to read next when this batch is done; `None` when it is empty.
    pub fn next_offset(&self) -> Option<i64> {
        self.marks.last().map(|mark| mark.offset + 1)
    }

    /// The fingerprint of its last message, to be kept with `next_offset`.
    pub fn witness(&self) -> Option<Witness> {
        self.len().checked_sub(1).map(|last| Witness::of(&self.message(last)))
    }

    /// The messages in order.
    pub fn messages(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        (0..self.len()).map(|i| self.message(i))
    }

    /// The message number `index`, from 0; panics past the end.
    pub fn message(&self, index: usize) -> Message<'_> {
        let mark = &self.marks[index];
        let start = if index == 0 { 0 } else { self.marks[index - 1].end };
        let key_len = if mark.key == NO_KEY { 0 } else { mark.key as usize };
        let (key, payload) = self.arena[start..mark.end].split_at(key_len);
        Message {
            offset: mark.offset,
            timestamp: mark.timestamp,
            key: (mark.key != NO_KEY).then_some(key),
            payload: mark.has_payload.then_some(payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let messages = [
            Message { offset: 3, timestamp: Some(1), key: Some(b"k"), payload: Some(b"value") },
            Message { offset: 4, timestamp: None, key: None, payload: Some(b"") },
            Message { offset: 9, timestamp: Some(-1), key: Some(b""), payload: None },
            Message { offset: 10, timestamp: Some(0), key: None, payload: None },
        ];
        let mut batch = Batch::new(7);
        for round in 0..2 {
            messages.iter().for_each(|m| batch.push(m));
            let taken = batch.take();
            assert!(taken.messages().eq(messages.iter().copied()), "round {round}");
            assert_eq!((taken.partition(), taken.len(), taken.bytes()), (7, 4, 6));
            assert_eq!(taken.next_offset(), Some(11));
            assert_eq!(taken.witness(), Some(Witness::of(&messages[3])));
            assert!(batch.is_empty());
        }
    }
}
