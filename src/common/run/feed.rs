//! The feed: lines and messages as parcels of rows, parsed on a thread of its own.
//!
//! Parcels keep the order of the input. A parcel is sent as soon as nothing more is
//! there to be read at once, so a slow input is not held back.

use crate::bus::{Batch, BusError, Delivery, Event as Bus, Owned};
use crate::dead::Place;
use crate::event::{Code, Event, Refusal, Rules, too_long};
use crate::lines::{Lines, Text};
use crate::rows::{Block, Projection};
use crate::time::Millis;
use crossbeam_channel::{Receiver, Sender};
use std::io::{self, Read};

/// A parcel is sent at this many rows or bytes of text at the latest.
const ROWS: usize = 4096;
const TEXT_BYTES: usize = 1 << 20;

/// A refused line or message, with all that its dead letter needs.
#[derive(Clone, Debug)]
pub struct Letter {
    pub refusal: Refusal,
    pub place: Place,
    pub original: Vec<u8>,
    /// The length of the whole line when `original` is only its beginning.
    pub truncated: Option<u64>,
}

/// Rows read in one go, and what else there was.
#[derive(Debug)]
pub struct Parcel {
    pub block: Block,
    /// Lines or messages that these are; blank lines do not count.
    pub consumed: u64,
    /// Events after the instant asked about.
    pub outside: u64,
    /// Messages whose key is not the userId in them.
    pub unkeyed: u64,
    pub letters: Vec<Letter>,
    /// How far a partition was read with this parcel.
    pub reached: Option<Owned>,
}

/// What comes from the input. After `End` or an error nothing does.
#[derive(Debug)]
pub enum News {
    Parcel(Parcel),
    Words(String),
    End,
    Failed(Failure),
}

/// Why an input ended before its end.
#[derive(Debug)]
pub enum Failure {
    Input(io::Error),
    Bus(BusError),
}

/// How lines become rows.
#[derive(Clone)]
pub struct Parser {
    pub projection: Projection,
    pub rules: Rules,
    /// The wall clock, for events that carry no `receivedAt`.
    pub now: fn() -> Millis,
    /// Events after this instant do not count.
    pub until: Option<Millis>,
}

/// Reads lines to their end.
pub fn lines(input: impl Read, parser: &Parser, out: &Sender<News>) {
    let mut lines = Lines::new(input);
    let mut parcel = parser.parcel();
    loop {
        match lines.next() {
            Ok(None) => {
                return close(out, parcel, News::End);
            }
            Err(e) => {
                return close(out, parcel, News::Failed(Failure::Input(e)));
            }
            Ok(Some(line)) => {
                let place = Place::Line { line: line.number, offset: line.offset };
                match line.text {
                    Text::Whole(bytes) => parser.take(bytes, None, place, &mut parcel),
                    Text::TooLong { head, len } => {
                        parcel.consumed += 1;
                        let letter =
                            Letter { refusal: too_long(), place, original: head.to_vec(), truncated: Some(len) };
                        parcel.letters.push(letter);
                    }
                }
            }
        }
        if !lines.ready() || parcel.is_full() {
            let full = std::mem::replace(&mut parcel, parser.parcel());
            // Whoever listened has gone: nothing is left to do.
            if out.send(News::Parcel(full)).is_err() {
                return;
            }
        }
    }
}

/// Sends the last parcel and why nothing follows, if somebody still listens.
fn close(out: &Sender<News>, parcel: Parcel, last: News) {
    if out.send(News::Parcel(parcel)).is_ok() {
        let _ = out.send(last);
    }
}

/// Turns what a consumer delivers into parcels, one for each batch.
pub fn messages(deliveries: &Receiver<Delivery>, parser: &Parser, out: &Sender<News>) {
    for delivery in deliveries {
        let (news, last) = match delivery {
            Ok(Bus::Batch(batch)) => (News::Parcel(parser.batch(&batch)), false),
            Ok(Bus::Down { why }) => (News::Words(format!("kafka cannot be reached, waiting for it: {why}")), false),
            Ok(Bus::Back { after }) => {
                (News::Words(format!("kafka is back after {:.1} s", after.as_secs_f64())), false)
            }
            Ok(Bus::CommitFailed { why }) => {
                (News::Words(format!("the group's offsets were not committed, only lag tools notice: {why}")), false)
            }
            Ok(Bus::End) => (News::End, true),
            Err(e) => (News::Failed(Failure::Bus(e)), true),
        };
        if out.send(news).is_err() || last {
            return;
        }
    }
}

impl Parcel {
    fn is_full(&self) -> bool {
        self.block.len() + self.letters.len() >= ROWS || self.block.text_len() >= TEXT_BYTES
    }
}

impl Parser {
    fn parcel(&self) -> Parcel {
        Parcel {
            block: Block::new(&self.projection),
            consumed: 0,
            outside: 0,
            unkeyed: 0,
            letters: Vec::new(),
            reached: None,
        }
    }

    fn batch(&self, batch: &Batch) -> Parcel {
        let mut parcel = self.parcel();
        for message in batch.messages() {
            let place = Place::Message { partition: batch.partition(), offset: message.offset };
            match message.payload {
                Some(bytes) => self.take(bytes, Some(message.key), place, &mut parcel),
                None => {
                    parcel.consumed += 1;
                    let refusal = Refusal::new(Code::NullValue, "the message has no value");
                    parcel.letters.push(Letter { refusal, place, original: Vec::new(), truncated: None });
                }
            }
        }
        parcel.reached =
            batch.next_offset().map(|next| Owned { partition: batch.partition(), next, witness: batch.witness() });
        parcel
    }

    /// Takes one line in. `key`: what the message had for a key, if it was one.
    fn take(&self, bytes: &[u8], key: Option<Option<&[u8]>>, place: Place, parcel: &mut Parcel) {
        let received = (self.now)();
        match Event::parse(bytes, received, &self.rules) {
            Ok(None) if key.is_none() => {}
            Ok(None) => self.refuse(Refusal::new(Code::NotJson, "the message is empty"), bytes, place, parcel),
            Err(refusal) => self.refuse(refusal, bytes, place, parcel),
            Ok(Some(event)) => {
                parcel.consumed += 1;
                if key.is_some_and(|key| key != Some(event.user_id.as_bytes())) {
                    parcel.unkeyed += 1;
                }
                if self.until.is_some_and(|until| event.timestamp > until) {
                    parcel.outside += 1;
                } else {
                    parcel.block.push(&event, &self.projection);
                }
            }
        }
    }

    fn refuse(&self, refusal: Refusal, bytes: &[u8], place: Place, parcel: &mut Parcel) {
        parcel.consumed += 1;
        parcel.letters.push(Letter { refusal, place, original: bytes.to_vec(), truncated: None });
    }
}
