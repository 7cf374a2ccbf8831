//! Emitting: derived events to standard output, a log or a topic, by a thread of its own.
//!
//! | place | after a crash |
//! |---|---|
//! | a log | what the crash left unconfirmed is looked for in the files of this writer: each event stands there once |
//! | a topic | the same in what was stamped since: each stands there once |
//! | standard output | nobody can read it back: what was unconfirmed comes again, under the same ids |

use super::outbox::{blob, id_of, user_of};
use super::stream::Error;
use crate::bus::{Assignment, Consumer, Event as Bus, Options, Producer, Settings, StartOffsets};
use crate::limits::FUTURE_MS;
use crate::lines::open_path;
use crate::log::{Log, LogWriter, Position, writer_of};
use crate::store::embedded::Embedded;
use crate::time::Millis;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a topic that takes nothing is waited for at a time.
const ROOM: Duration = Duration::from_millis(200);
/// What a killed process had on its way to the brokers is in the topic by then.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Where derived events go.
#[derive(Clone)]
pub enum Target {
    Stdout,
    /// A file, or a directory of date partitions.
    Log(PathBuf),
    Topic(Settings),
}

/// A place that takes events.
pub struct Sink {
    name: String,
    to: To,
}

enum To {
    Stdout,
    Log { path: PathBuf, writer_name: String, writer: Box<LogWriter> },
    Topic { settings: Settings, producer: Box<Producer> },
}

impl Sink {
    /// Opens a place; in a directory the files carry `writer` as their writer's name.
    ///
    /// Errors: the log's, `Locked` while another process writes there; the bus's.
    pub fn open(target: Target, writer: &str) -> Result<Sink, Error> {
        Ok(match target {
            Target::Stdout => Sink { name: "-".into(), to: To::Stdout },
            Target::Log(path) => {
                let writer_name = writer.to_string();
                let opened = LogWriter::open(&path, writer, Default::default()).map_err(Error::Log)?;
                let name = format!("log {}", std::path::absolute(&path).unwrap_or_else(|_| path.clone()).display());
                Sink { name, to: To::Log { path, writer_name, writer: Box::new(opened) } }
            }
            Target::Topic(settings) => {
                let producer = Box::new(Producer::new(&settings).map_err(Error::Bus)?);
                Sink { name: format!("kafka {}", settings.topic()), to: To::Topic { settings, producer } }
            }
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far the place has come; nothing where that is not needed.
    pub fn reached(&self) -> Result<String, Error> {
        Ok(match &self.to {
            To::Log { writer, .. } => writer.ends().to_json(),
            To::Stdout | To::Topic { .. } => String::new(),
        })
    }

    /// Takes one event, given without its newline. `false`: there is no room yet.
    fn put(&mut self, line: &[u8], received: Millis) -> Result<bool, Error> {
        match &mut self.to {
            To::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(Error::Output)?;
            }
            To::Log { writer, .. } => writer.append(line, received).map_err(Error::Log)?,
            To::Topic { producer, .. } => {
                let user = user_of(line);
                let sent = producer.send(user.as_deref().map(str::as_bytes), line, ROOM).map_err(Error::Bus)?;
                return Ok(sent.is_some());
            }
        }
        Ok(true)
    }

    /// Whether all that was taken is there for good.
    fn keep(&mut self) -> Result<bool, Error> {
        match &mut self.to {
            To::Stdout => io::stdout().lock().flush().map_err(Error::Output)?,
            To::Log { writer, .. } => drop(writer.commit().map_err(Error::Log)?),
            To::Topic { producer, .. } => return producer.flush(ROOM).map_err(Error::Bus),
        }
        Ok(true)
    }

    /// Which of `pending` are there already; `reached`: how far the place had come before the first of them. `None`: it was
    /// told to hurry before it knew.
    fn read_back(
        &self,
        reached: &str,
        pending: &Pending,
        hurry: &AtomicBool,
    ) -> Result<Option<HashSet<String>>, Error> {
        let mut found = HashSet::new();
        match &self.to {
            To::Stdout => {}
            To::Log { path, writer_name, .. } => {
                let reached = Position::from_json(reached).unwrap_or_default();
                let own = |name: &str| !path.is_dir() || writer_of(name) == writer_name;
                let log = match Log::open(path) {
                    // Nothing was written yet.
                    Err(e) if e.io_kind() == Some(io::ErrorKind::NotFound) => return Ok(Some(found)),
                    other => other.map_err(Error::Log)?,
                };
                for file in log.files().iter().filter(|file| own(&file.name)) {
                    // What is compacted by now is read whole, if it may hold any of them.
                    let from = reached.read_of(file.key()).unwrap_or(0);
                    pending.look_in(file, from, &mut found)?;
                }
            }
            To::Topic { settings, .. } => {
                let mut whole = pending.look_in_topic(settings, hurry, &mut found)?;
                if whole && found.len() < pending.ids.len() {
                    std::thread::sleep(ON_ITS_WAY);
                    whole = pending.look_in_topic(settings, hurry, &mut found)?;
                }
                if !whole {
                    return Ok(None);
                }
            }
        }
        Ok(Some(found))
    }
}

/// Events that the last run left unconfirmed.
#[derive(Default)]
struct Pending {
    ids: HashSet<String>,
    /// When the first of them was made.
    made: Option<Millis>,
}

impl Pending {
    fn add(&mut self, line: &[u8]) {
        if let Some((id, at)) = id_of(line) {
            self.ids.insert(id);
            self.made = Some(self.made.map_or(at, |first| first.min(at)));
        }
    }

    fn look_in(&self, file: &crate::log::LogFile, from: u64, found: &mut HashSet<String>) -> Result<(), Error> {
        let failed =
            |source: io::Error| Error::Log(crate::log::Error::Io { path: file.path.clone(), doing: "read", source });
        if file.size.is_none_or(|size| file.form == crate::lines::Form::Plain && size <= from) {
            return Ok(());
        }
        let mut input = BufReader::new(open_path(&file.path).map_err(failed)?);
        io::copy(&mut (&mut input).take(from), &mut io::sink()).map_err(failed)?;
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            found.extend(id_of(line.trim_ascii_end()).map(|(id, _)| id).filter(|id| self.ids.contains(id)));
            line.clear();
        }
        Ok(())
    }

    /// Messages are stamped when they are sent, which is behind the checkpoint; clocks may have been set a little. `false`: it
    /// was told to hurry before the end.
    fn look_in_topic(
        &self,
        settings: &Settings,
        hurry: &AtomicBool,
        found: &mut HashSet<String>,
    ) -> Result<bool, Error> {
        let Some(first) = self.made else { return Ok(true) };
        let since = StartOffsets::Since((first - FUTURE_MS).max(0));
        let options = Options::new(Assignment::All, since).until_end();
        let consumer = Consumer::start(settings, options).map_err(Error::Bus)?;
        while !hurry.load(Ordering::Relaxed) {
            match consumer.recv_timeout(ROOM).map_err(Error::Bus)? {
                Some(Bus::Batch(batch)) => {
                    let lines = batch.messages().filter_map(|message| message.payload);
                    found.extend(lines.filter_map(id_of).map(|(id, _)| id).filter(|id| self.ids.contains(id)));
                }
                Some(Bus::End) => return Ok(true),
                None if consumer.is_over() => return Ok(true),
                None | Some(Bus::Down { .. } | Bus::Back { .. } | Bus::CommitFailed { .. }) => {}
            }
        }
        Ok(false)
    }
}

/// What became of an order.
pub enum Answer {
    /// Blobs before `done` are there; `events`: those handed over since the last answer.
    Done {
        done: u64,
        reached: String,
        events: u64,
    },
    Failed(Error),
}

/// The emitting thread.
pub struct Emitter {
    orders: Option<Sender<u64>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    hurry: Arc<AtomicBool>,
}

impl Emitter {
    /// Goes on with the blobs `left` of `store`; with `reached` without those events that are at the place already.
    pub fn start(sink: Sink, store: Embedded, left: Range<u64>, reached: Option<String>) -> Emitter {
        let (orders, inbox) = unbounded::<u64>();
        let (outbox, answers) = unbounded();
        let hurry = Arc::new(AtomicBool::new(false));
        let mut work = Work { sink, store, next: left.start, hurry: hurry.clone(), known: HashSet::new() };
        let thread = std::thread::spawn(move || {
            if let Some(reached) = reached.filter(|_| !left.is_empty()) {
                match work.read_back(&left, &reached) {
                    Ok(Some(known)) => work.known = known,
                    Ok(None) => return,
                    Err(e) => return drop(outbox.send(Answer::Failed(e))),
                }
            }
            while let Ok(to) = inbox.recv() {
                // Orders that wait are one.
                let to = inbox.try_iter().last().unwrap_or(to);
                match work.emit(to) {
                    Ok(Some(done)) => drop(outbox.send(done)),
                    Ok(None) => {}
                    Err(e) => return drop(outbox.send(Answer::Failed(e))),
                }
            }
        });
        Emitter { orders: Some(orders), answers, thread: Some(thread), hurry }
    }

    /// Blobs before `to` are in the store now.
    pub fn emit(&mut self, to: u64) {
        let orders = self.orders.as_ref().expect("it is taken only when dropped");
        // A thread that has failed has said so.
        let _ = orders.send(to);
    }

    pub fn answer(&mut self, wait: Duration) -> Option<Answer> {
        self.answers.recv_timeout(wait).ok()
    }
}

impl Drop for Emitter {
    fn drop(&mut self) {
        self.hurry.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    sink: Sink,
    store: Embedded,
    next: u64,
    /// A place that takes nothing is waited for no more.
    hurry: Arc<AtomicBool>,
    /// Ids that are at the place already.
    known: HashSet<String>,
}

impl Work {
    fn lines(&self, number: u64) -> Result<Vec<u8>, Error> {
        Ok(self.store.meta(&blob(number))?.unwrap_or_default())
    }

    fn read_back(&self, left: &Range<u64>, reached: &str) -> Result<Option<HashSet<String>>, Error> {
        let mut pending = Pending::default();
        for number in left.clone() {
            self.lines(number)?.split(|b| *b == b'\n').for_each(|line| pending.add(line));
        }
        self.sink.read_back(reached, &pending, &self.hurry)
    }

    /// Emits the blobs before `to`. `None`: there were none, or it was told to hurry before they were there.
    fn emit(&mut self, to: u64) -> Result<Option<Answer>, Error> {
        let (mut events, mut next) = (0, self.next);
        while next < to {
            for line in self.lines(next)?.split(|b| *b == b'\n') {
                let Some((id, received)) = id_of(line) else { continue };
                if self.known.remove(&id) {
                    continue;
                }
                while !self.sink.put(line, received)? {
                    if self.hurry.load(Ordering::Relaxed) {
                        return Ok(None);
                    }
                }
                events += 1;
            }
            next += 1;
        }
        if next == self.next {
            return Ok(None);
        }
        while !self.sink.keep()? {
            if self.hurry.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        self.next = next;
        Ok(Some(Answer::Done { done: next, reached: self.sink.reached()?, events }))
    }
}
