//! The feed: lines and messages as parcels of rows, parsed on a thread of its own.
//!
//! Parcels keep the order of the input. A parcel is sent as soon as nothing more is
//! there to be read at once, so a slow input is not held back.

use crate::bus::{Batch, BusError, Delivery, Event as Bus, GROUP_REFUSED, Owned};
use crate::dead::Place;
use crate::engine::plans::Plans;
use crate::event::{Code, Refusal, Rules, too_long};
use crate::lines::{Line, Lines, Text};
use crate::patch::Patch;
use crate::reader::{self, Reader};
use crate::rows::{Block, Projection};
use crate::time::{Millis, utc_day};
use crossbeam_channel::{Receiver, Sender};
use std::io::{self, Read};
use std::ops::Range;

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
    /// Patches, each with the number of rows that came before it.
    pub given: Vec<(usize, Patch)>,
    /// Lines or messages that these are; blank lines do not count.
    pub consumed: u64,
    /// Events and patches after the instant asked about.
    pub outside: u64,
    /// Messages whose key is not the userId in them.
    pub unkeyed: u64,
    pub letters: Vec<Letter>,
    /// How far a partition was read with this parcel.
    pub reached: Option<Owned>,
    /// When the rows added last arrived here: the receipt of events that carry none.
    received: Millis,
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
    /// Events and patches after this instant do not count.
    pub until: Option<Millis>,
    /// The plans that patches between the events are for; without one they are refused like anything that is no event.
    pub plans: Option<Plans>,
    /// Whether rows are told on which day they were received.
    pub by_day: bool,
}

/// Reads lines to their end.
pub fn lines(input: impl Read, parser: &Parser, out: &Sender<News>) {
    let mut lines = Lines::new(input);
    let mut filler = Filler::new(parser);
    loop {
        let outcome = match lines.block() {
            Ok(Some(block)) => {
                let (bytes, n) = filler.block(&lines, block);
                lines.take(bytes, n);
                Ok(true)
            }
            Ok(None) => lines.step().inspect(|more| {
                if *more {
                    filler.odd(&lines.line());
                }
            }),
            Err(e) => Err(e),
        };
        match outcome {
            Ok(true) => {}
            Ok(false) => return close(out, filler.parcel, News::End),
            Err(e) => return close(out, filler.parcel, News::Failed(Failure::Input(e))),
        }
        // Whoever listened has gone: nothing is left to do.
        if (!lines.ready() || filler.parcel.is_full()) && out.send(News::Parcel(filler.hand_over())).is_err() {
            return;
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
    let mut filler = Filler::new(parser);
    for delivery in deliveries {
        let (news, last) = match delivery {
            Ok(Bus::Batch(batch)) => (News::Parcel(filler.batch(&batch)), false),
            Ok(Bus::Down { why }) => (News::Words(format!("kafka cannot be reached, waiting for it: {why}")), false),
            Ok(Bus::Back { after }) => {
                (News::Words(format!("kafka is back after {:.1} s", after.as_secs_f64())), false)
            }
            Ok(Bus::CommitFailed { why }) => (News::Words(uncommitted(&why)), false),
            Ok(Bus::End) => (News::End, true),
            Err(e) => (News::Failed(Failure::Bus(e)), true),
        };
        if out.send(news).is_err() || last {
            return;
        }
    }
}

/// Words for a commit of the group's offsets that failed.
pub fn uncommitted(why: &str) -> String {
    let why = why.trim_end_matches('.');
    let needs = if why.contains(GROUP_REFUSED) { "; the user needs Read on the group" } else { "" };
    format!("the group's offsets were not committed, only lag tools notice: {why}{needs}")
}

impl Parser {
    fn parcel(&self) -> Parcel {
        Parcel {
            block: Block::new(&self.projection),
            given: Vec::new(),
            consumed: 0,
            outside: 0,
            unkeyed: 0,
            letters: Vec::new(),
            reached: None,
            received: 0,
        }
    }
}

/// The parcel being filled, and the reader that fills it.
struct Filler<'a> {
    parser: &'a Parser,
    reader: Reader,
    parcel: Parcel,
}

impl<'a> Filler<'a> {
    fn new(parser: &'a Parser) -> Filler<'a> {
        let reader = Reader::new(&parser.projection, &parser.rules);
        Filler { parser, reader, parcel: parser.parcel() }
    }

    /// The parcel as it is; an empty one takes its place.
    fn hand_over(&mut self) -> Parcel {
        std::mem::replace(&mut self.parcel, self.parser.parcel())
    }

    /// Takes in lines of a block until the parcel is full. Gives their bytes and their number.
    fn block<R: Read>(&mut self, lines: &Lines<R>, block: Range<usize>) -> (usize, u64) {
        // All of the block has arrived.
        let received = (self.parser.now)();
        let buf = lines.buffer();
        self.parcel.received = received;
        let (mut at, mut taken) = (block.start, 0);
        while at < block.end && !self.parcel.is_full() {
            let (to, outcome) = self.reader.read(buf, at, received);
            taken += 1;
            match outcome {
                Ok(true) => self.parcel.event(self.parser, self.reader.line(), buf, None),
                Ok(false) => {}
                Err(refusal) => {
                    let offset = lines.offset() + (at - block.start) as u64;
                    let place = Place::Line { line: lines.number() + taken, offset };
                    self.parcel.no_event(self.parser, *refusal, place, Text::of(&buf[at..to]));
                }
            }
            at = to + 1;
        }
        (at - block.start, taken)
    }

    /// Takes in a line that no block holds: too long, or the last one and not ended.
    fn odd(&mut self, line: &Line<'_>) {
        let place = Place::Line { line: line.number, offset: line.offset };
        self.parcel.received = (self.parser.now)();
        match line.text {
            Text::Whole(bytes) => match self.reader.read_alone(bytes, self.parcel.received) {
                Ok(true) => self.alone(None),
                Ok(false) => {}
                Err(refusal) => self.parcel.no_event(self.parser, refusal, place, line.text),
            },
            Text::TooLong { .. } => self.parcel.refuse(too_long(), place, line.text),
        }
    }

    /// The parcel of a batch of messages.
    fn batch(&mut self, batch: &Batch) -> Parcel {
        let received = (self.parser.now)();
        self.parcel.received = received;
        for message in batch.messages() {
            let place = Place::Message { partition: batch.partition(), offset: message.offset };
            let bytes = message.payload.unwrap_or_default();
            let outcome = match message.payload {
                Some(bytes) => self.reader.read_alone(bytes, received),
                None => Err(Refusal::new(Code::NullValue, "the message has no value")),
            };
            let empty = || Refusal::new(Code::NotJson, "the message is empty");
            match outcome {
                Ok(true) => self.alone(Some(message.key)),
                Ok(false) => self.parcel.refuse(empty(), place, Text::Whole(bytes)),
                Err(refusal) => self.parcel.no_event(self.parser, refusal, place, Text::Whole(bytes)),
            }
        }
        self.parcel.reached =
            batch.next_offset().map(|next| Owned { partition: batch.partition(), next, witness: batch.witness() });
        self.hand_over()
    }

    /// Takes in what `read_alone` read.
    fn alone(&mut self, key: Option<Option<&[u8]>>) {
        self.parcel.event(self.parser, self.reader.line(), self.reader.spare(), key);
    }
}

impl Parcel {
    fn is_full(&self) -> bool {
        self.block.len() + self.letters.len() + self.given.len() >= ROWS || self.block.text_len() >= TEXT_BYTES
    }

    /// Takes in the event of a line read from `buf`. `key`: what the message had for a key, if it was one.
    fn event(&mut self, parser: &Parser, line: &reader::Line, buf: &[u8], key: Option<Option<&[u8]>>) {
        self.consumed += 1;
        if key.is_some_and(|key| key != Some(line.text(line.user(), buf))) {
            self.unkeyed += 1;
        }
        if parser.until.is_some_and(|until| line.timestamp() > until) {
            self.outside += 1;
        } else {
            self.block.push_line(line, buf);
            if parser.by_day {
                self.block.received_on(utc_day(line.received().unwrap_or(self.received)));
            }
        }
    }

    /// Takes in a line that is no event: a patch, or one to be refused.
    fn no_event(&mut self, parser: &Parser, refusal: Refusal, place: Place, text: Text<'_>) {
        match patch(parser, &refusal, text) {
            None => self.refuse(refusal, place, text),
            Some(Err(why)) => self.refuse(Refusal::new(Code::BadPatch, why), place, text),
            Some(Ok(patch)) => {
                self.consumed += 1;
                if parser.until.is_some_and(|until| patch.as_of > until) {
                    self.outside += 1;
                } else {
                    self.given.push((self.block.len(), patch));
                }
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal, place: Place, text: Text<'_>) {
        self.consumed += 1;
        let (original, truncated) = match text {
            Text::Whole(bytes) => (bytes, None),
            Text::TooLong { head, len } => (head, Some(len)),
        };
        self.letters.push(Letter { refusal, place, original: original.to_vec(), truncated });
    }
}

/// What a line that was refused as an event is as a patch; `None` for one that is none by the look of it.
fn patch(parser: &Parser, refusal: &Refusal, text: Text<'_>) -> Option<Result<Patch, String>> {
    let (plans, Text::Whole(bytes), Code::MissingField) = (parser.plans.as_ref()?, text, refusal.code) else {
        return None;
    };
    let text = std::str::from_utf8(bytes).ok()?;
    match Patch::parse(text) {
        Ok(patch) => Some(plans.check(&patch).map(|()| patch)),
        Err(why) if text.contains("\"asOf\"") && !text.contains("\"eventType\"") => Some(Err(why)),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
