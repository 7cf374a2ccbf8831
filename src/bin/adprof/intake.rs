//! The intake: lines become events of the log, or dead letters, and then are acknowledged.
//!
//! Nothing is acknowledged before it is durable: the letters, then the events, then the word.

use crate::given;
use crate::report;
use adprof::dead::{DeadFile, DeadLetter, Place};
use adprof::event::{Code, Refusal, Rules, too_long};
use adprof::lines::{Line, Text};
use adprof::log::{Collector, Offered, Position, admit};
use adprof::maps::{Converter, Map};
use adprof::ndjson;
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Refused lines that are told one by one; the rest is counted.
const TOLD: u64 = 3;
/// Bytes echoed at a time.
const ECHO: usize = 256 * 1024;

/// Where accepted events go.
pub enum Target {
    Log(Box<Collector>),
    /// To stdout.
    Echo(Echo),
}

/// Accepted events on their way to stdout.
pub struct Echo {
    rules: Rules,
    out: Vec<u8>,
}

impl Echo {
    pub fn new(rules: Rules) -> Echo {
        Echo { rules, out: Vec::new() }
    }

    fn offer(&mut self, line: &[u8]) -> Offered {
        match admit(line, given::now(), &self.rules, &mut self.out) {
            Ok(Some(_)) => {
                self.out.push(b'\n');
                Offered::Accepted
            }
            Ok(None) => Offered::Blank,
            Err(refusal) => Offered::Refused(refusal),
        }
    }
}

impl Target {
    fn offer(&mut self, line: &[u8]) -> Result<Offered> {
        match self {
            Target::Log(collector) => Ok(collector.offer(line, given::now()).map_err(given::of_log)?),
            Target::Echo(echo) => Ok(echo.offer(line)),
        }
    }

    fn is_forgotten(&mut self, line: &[u8]) -> Result<bool> {
        match self {
            Target::Log(collector) => Ok(collector.is_forgotten(line).map_err(given::of_log)?),
            Target::Echo(_) => Ok(false),
        }
    }

    fn due(&self) -> bool {
        match self {
            Target::Log(collector) => collector.due(),
            Target::Echo(echo) => echo.out.len() >= ECHO,
        }
    }

    fn commit(&mut self) -> Result<()> {
        match self {
            Target::Log(collector) => {
                collector.commit().map_err(given::of_log)?;
            }
            Target::Echo(echo) => {
                report::data(&echo.out)?;
                echo.out.clear();
            }
        }
        Ok(())
    }
}

/// How far one input has come.
pub struct Source {
    name: String,
    converter: Option<Converter>,
}

/// Lines so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    pub lines: u64,
    pub accepted: u64,
    /// Of forgotten users: they go nowhere.
    pub forgotten: u64,
    pub refused: u64,
}

/// What is done to lines besides taking them.
pub struct Manner {
    pub map: Option<Arc<Map>>,
    /// The lines are dead letters: their originals are taken.
    pub replay: bool,
    /// Every commit is told on stdout.
    pub ack: bool,
}

pub struct Intake {
    target: Target,
    dead: DeadFile,
    manner: Manner,
    counts: Counts,
    /// As of the last commit.
    committed: Counts,
    codes: BTreeMap<Code, u64>,
    converted: Vec<u8>,
}

impl Intake {
    pub fn new(target: Target, dead: &Path, manner: Manner) -> Intake {
        Intake {
            target,
            dead: DeadFile::new(dead),
            manner,
            counts: Counts::default(),
            committed: Counts::default(),
            codes: BTreeMap::new(),
            converted: Vec::new(),
        }
    }

    /// An input of this name, whose lines begin.
    pub fn source(&self, name: &str) -> Source {
        let converter = self.manner.map.as_ref().filter(|_| !self.manner.replay);
        Source { name: name.to_owned(), converter: converter.map(|map| Converter::new(map.clone(), name)) }
    }

    /// Takes one line. Errors are those of the log and the dead letters, and final.
    pub fn line(&mut self, line: &Line<'_>, source: &mut Source) -> Result<()> {
        self.counts.lines += 1;
        let offered = match line.text {
            Text::TooLong { .. } => Offered::Refused(too_long()),
            Text::Whole(bytes) if self.manner.replay => return self.letter(bytes, line, &source.name),
            Text::Whole(bytes) => self.offer(bytes, line.number, source.converter.as_mut())?,
        };
        match offered {
            Offered::Accepted => self.counts.accepted += 1,
            Offered::Blank => {}
            Offered::Forgotten => self.counts.forgotten += 1,
            Offered::Refused(refusal) => {
                self.refuse(&refusal, &DeadLetter::of_line(&refusal, &source.name, line))?;
            }
        }
        Ok(())
    }

    fn offer(&mut self, line: &[u8], number: u64, converter: Option<&mut Converter>) -> Result<Offered> {
        let Some(converter) = converter else { return self.target.offer(line) };
        self.converted.clear();
        match converter.convert(line, number, &mut self.converted) {
            Ok(true) => self.target.offer(&self.converted),
            Ok(false) => Ok(Offered::Blank),
            Err(refusal) => Ok(Offered::Refused(refusal)),
        }
    }

    /// Takes a dead letter: its original as the line it was, at the place where it stood.
    fn letter(&mut self, bytes: &[u8], line: &Line<'_>, source: &str) -> Result<()> {
        if bytes.trim_ascii().is_empty() {
            return Ok(());
        }
        let letter = match DeadLetter::parse(bytes) {
            Ok(letter) => letter,
            Err(why) => {
                let refusal = Refusal::new(Code::NotJson, why);
                return self.refuse(&refusal, &DeadLetter::of_line(&refusal, source, line));
            }
        };
        match self.mended(&letter, line.number)? {
            Offered::Accepted => self.counts.accepted += 1,
            Offered::Blank => {}
            Offered::Forgotten => self.counts.forgotten += 1,
            Offered::Refused(refusal) => {
                let again = DeadLetter {
                    code: refusal.code.name().into(),
                    reason: refusal.reason.as_str().into(),
                    ..letter.clone()
                };
                self.refuse(&refusal, &again)?;
            }
        }
        Ok(())
    }

    fn mended(&mut self, letter: &DeadLetter<'_>, number: u64) -> Result<Offered> {
        let original = match letter.replay() {
            Ok(original) if original.contains(&b'\n') => {
                return Ok(Offered::Refused(Refusal::new(Code::NotJson, "a newline stands inside the event")));
            }
            Ok(original) => original,
            Err(why) => return Ok(Offered::Refused(Refusal::new(Code::TooLong, why))),
        };
        let number = match letter.place {
            Place::Line { line, .. } => line,
            _ => number,
        };
        let mut converter = self.manner.map.clone().map(|map| Converter::new(map, &letter.source));
        self.offer(original, number, converter.as_mut())
    }

    fn refuse(&mut self, refusal: &Refusal, letter: &DeadLetter<'_>) -> Result<()> {
        if self.target.is_forgotten(&letter.original)? {
            self.counts.forgotten += 1;
            return Ok(());
        }
        if self.counts.refused < TOLD {
            let place = match letter.place {
                Place::Line { line, .. } => format!("{}:{line}", letter.source),
                Place::Byte { offset } => format!("{}: byte {offset}", letter.source),
                Place::Message { partition, offset } => format!("{}[{partition}]@{offset}", letter.source),
            };
            report::warn(ndjson::shown(&format!("{place}: {refusal}")));
        }
        self.counts.refused += 1;
        *self.codes.entry(refusal.code).or_default() += 1;
        self.dead.put(letter).map_err(|e| self.dead_failed(&e))
    }

    fn dead_failed(&self, error: &std::io::Error) -> anyhow::Error {
        report::io(self.dead.path(), error).into()
    }

    /// Whether enough was taken for a commit, though more is at hand.
    pub fn due(&self) -> bool {
        self.target.due()
    }

    /// Makes everything taken durable, then acknowledges it.
    pub fn commit(&mut self) -> Result<()> {
        if self.counts == self.committed {
            return Ok(());
        }
        self.dead.sync().map_err(|e| self.dead_failed(&e))?;
        self.target.commit()?;
        self.committed = self.counts;
        if self.manner.ack {
            let Counts { lines, accepted, forgotten, refused } = self.counts;
            let forgotten = if forgotten > 0 { format!(",\"forgotten\":{forgotten}") } else { String::new() };
            let word = format!("{{\"lines\":{lines},\"accepted\":{accepted},\"refused\":{refused}{forgotten}}}\n");
            report::data(word.as_bytes())?;
        }
        Ok(())
    }

    /// How far the log reaches durably; `None` when there is no log.
    pub fn ends(&self) -> Option<&Position> {
        match &self.target {
            Target::Log(collector) => Some(collector.log().ends()),
            Target::Echo(_) => None,
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// `2 BAD_AMOUNT, 1 NOT_JSON`, the most frequent first.
    pub fn codes(&self) -> String {
        let mut codes: Vec<_> = self.codes.iter().collect();
        codes.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let words: Vec<String> = codes.iter().map(|(code, n)| format!("{} {code}", given::grouped(**n))).collect();
        words.join(", ")
    }

    pub fn dead(&self) -> &DeadFile {
        &self.dead
    }
}
