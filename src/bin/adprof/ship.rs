//! The shipper: what the log holds goes to Kafka, in its order, on a thread of its own.
//!
//! The position beside the log only ever passes events that are in Kafka: a crash sends some
//! again and loses none. One process at a time ships a log to a topic; another waits for its turn.

mod place;

use crate::given;
use crate::kafka::at_brokers;
use crate::report::{self, Exit, Failure};
use crate::stop;
use adprof::bus::{BusError, Class, Link, Producer, Settings};
use adprof::event::{Event, Rules};
use adprof::lines::Text;
use adprof::log::{Error, Lock, LogReader, Position, Shipped};
use adprof::time::Millis;
use anyhow::Result;
use place::Place;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a signal lets it go on.
const AFTER_SIGNAL: Duration = Duration::from_secs(2);
/// How often the position is written: so much is sent again after a crash.
const SAVE: Duration = Duration::from_millis(500);
/// How often it looks whether there is more to do.
const LOOK: Duration = Duration::from_millis(50);
/// How long one attempt to reach Kafka takes, and the pause before the next.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a full queue is waited for at a time.
const ROOM: Duration = Duration::from_millis(100);

/// Whether something else is done meanwhile that a failure must not stop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Only shipping: what cannot be done is told at once.
    Alone,
    /// Beside a collector: it goes on whatever happens to Kafka.
    Beside,
}

/// A running shipper.
pub struct Shipper {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), Failure>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// How far the log of the collector beside it reaches durably.
    ends: Position,
    /// Set when there will be no more: how long to wait for a Kafka that takes nothing, and since when.
    patience: Option<(Duration, Instant)>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic ends the program")
    }

    fn closing(&self) -> bool {
        self.state().patience.is_some()
    }

    /// Waits for news, a little.
    fn wait(&self, known: &Position, time: Duration) {
        let state = self.state();
        if state.ends == *known {
            drop(self.moved.wait_timeout(state, time).expect("a panic ends the program"));
        }
    }
}

impl Shipper {
    /// Begins to ship what `reader` reads of the log at `log`, from where the last run came to.
    pub fn start(reader: LogReader, log: &Path, settings: Settings, role: Role) -> Result<Shipper> {
        let shared = Arc::new(Shared::default());
        let mut work = Work {
            shared: shared.clone(),
            place: Place::new(log, settings.topic()),
            settings: settings.with_connect_wait(CONNECT),
            role,
            limit: Position::default(),
            saved_at: Instant::now(),
            flight: Flight::default(),
            shipped: 0,
            progress: Instant::now(),
            last_chance: None,
            down: false,
        };
        let thread = thread::Builder::new().name("shipper".into()).spawn(move || {
            let outcome = work.run(reader);
            if let Err(failure) = &outcome
                && !work.shared.closing()
                && role == Role::Beside
            {
                report::warn(format_args!("shipping has stopped: {failure}; collecting goes on"));
            }
            outcome
        });
        let thread = thread.map_err(|e| Failure::new(Exit::Io, format!("cannot start a thread: {e}")))?;
        Ok(Shipper { shared, thread })
    }

    /// The log reaches this far now.
    pub fn advance(&self, ends: &Position) {
        let mut state = self.shared.state();
        if state.ends != *ends {
            state.ends = ends.clone();
            self.shared.moved.notify_all();
        }
    }

    /// Ships what is left; an error when Kafka takes nothing for as long as `patience`.
    pub fn finish(self, patience: Duration) -> Result<()> {
        self.shared.state().patience = Some((patience, Instant::now()));
        self.shared.moved.notify_all();
        Ok(self.thread.join().expect("a panic ends the program")?)
    }
}

/// What was sent and is not known to have arrived, and how far everything before has.
#[derive(Default)]
struct Flight {
    /// Number of the message, its file in `names`, the offset behind it.
    waiting: VecDeque<(u64, usize, u64)>,
    names: Vec<String>,
    reached: Position,
}

impl Flight {
    fn sent(&mut self, sequence: u64, file: &str, end: u64) {
        // Nearly always the file of the message before.
        let known = self.waiting.back().map(|(_, name, _)| *name).filter(|name| self.names[*name] == file);
        let name = known.or_else(|| self.names.iter().position(|name| name == file)).unwrap_or_else(|| {
            self.names.push(file.to_owned());
            self.names.len() - 1
        });
        self.waiting.push_back((sequence, name, end));
    }

    /// The messages up to this number are in Kafka. Returns how many of them are news.
    fn arrived(&mut self, acked: u64) -> u64 {
        let mut news = 0;
        while let Some(&(sequence, name, end)) = self.waiting.front()
            && sequence <= acked
        {
            self.reached.set(&self.names[name], end);
            self.waiting.pop_front();
            news += 1;
        }
        news
    }
}

/// Why shipping pauses or ends.
enum Stop {
    /// All of it is in Kafka.
    Done,
    /// Time is up.
    GaveUp,
    /// Kafka failed for good with this producer.
    Bus(BusError),
    Failure(Failure),
}

impl From<BusError> for Stop {
    fn from(e: BusError) -> Stop {
        Stop::Bus(e)
    }
}

struct Work {
    shared: Arc<Shared>,
    place: Place,
    settings: Settings,
    role: Role,
    limit: Position,
    saved_at: Instant,
    flight: Flight,
    shipped: u64,
    /// When Kafka last took something.
    progress: Instant,
    /// Set by a signal.
    last_chance: Option<Instant>,
    down: bool,
}

impl Work {
    fn run(&mut self, mut reader: LogReader) -> Result<(), Failure> {
        let Some(_lock) = self.turn()? else { return Ok(()) };
        self.flight.reached = self.place.load()?;
        let stop = loop {
            reader = reader.at(self.flight.reached.clone());
            self.flight.waiting.clear();
            let Some(mut producer) = self.connect()? else { break Stop::GaveUp };
            let stop = self.ship(&mut reader, &mut producer);
            self.settle(&producer, true)?;
            match stop {
                // A new producer gets further, unless it is stuck at the same message.
                Stop::Bus(BusError::Undeliverable { .. }) if producer.acked() > 0 => {}
                stop => break stop,
            }
        };
        match stop {
            Stop::Done => {
                let (n, topic) = (given::grouped(self.shipped), self.settings.topic());
                report::say(format_args!("shipped {n} events to topic {topic}"));
                Ok(())
            }
            Stop::GaveUp => self.gave_up("it does not answer"),
            Stop::Bus(e) => Err(given::of_bus(e)),
            Stop::Failure(failure) => Err(failure),
        }
    }

    /// Waits until no other process ships this log there; `None` when that has shipped all there is.
    fn turn(&mut self) -> Result<Option<Lock>, Failure> {
        loop {
            match self.place.lock() {
                Ok(lock) => return Ok(Some(lock)),
                Err(e @ Error::Locked { .. }) => {
                    let closing = self.shared.closing();
                    self.limit = self.shared.state().ends.clone();
                    if closing && self.role == Role::Beside && covers(&self.place.load()?, &self.limit) {
                        return Ok(None);
                    }
                    if self.role == Role::Alone || self.time_is_up() {
                        return Err(given::of_log(e));
                    }
                }
                Err(e) => return Err(given::of_log(e)),
            }
            thread::sleep(LOOK);
        }
    }

    /// A producer, as soon as Kafka answers; `None` when the time is up.
    fn connect(&mut self) -> Result<Option<Producer>, Failure> {
        loop {
            let error = match Producer::new(&self.settings) {
                Ok(producer) => {
                    self.heard(true, "");
                    return Ok(Some(producer));
                }
                Err(e) => e,
            };
            match error.class() {
                Class::Unavailable => self.heard(false, &error.to_string()),
                // A topic can be made, a right be given, while the collector goes on.
                Class::NoInput | Class::NotAllowed if self.role == Role::Beside && !self.shared.closing() => {
                    self.heard(false, &error.to_string());
                }
                _ => return Err(given::of_bus(error)),
            }
            if self.time_is_up() {
                return self.gave_up(&error.to_string()).map(|()| None);
            }
            let known = self.shared.state().ends.clone();
            self.shared.wait(&known, CONNECT);
        }
    }

    /// Sends until there is no more to come and all of it has arrived.
    fn ship(&mut self, reader: &mut LogReader, producer: &mut Producer) -> Stop {
        loop {
            match reader.next(&self.limit) {
                Ok(Some(line)) => {
                    if let Err(stop) = self.send(&line, producer) {
                        return stop;
                    }
                }
                Ok(None) => {
                    if let Err(stop) = self.rest(reader, producer) {
                        return stop;
                    }
                }
                Err(e) => return Stop::Failure(self.unreadable(e)),
            }
        }
    }

    fn send(&mut self, line: &Shipped<'_>, producer: &mut Producer) -> Result<(), Stop> {
        let end = line.offset + line.text.len() + 1;
        let Text::Whole(bytes) = line.text else {
            report::warn(format_args!("{}: byte {}: too long to be an event, not shipped", line.file, line.offset));
            return Ok(());
        };
        // What is no event is for the reader of the topic to refuse, with its place there.
        let rules = Rules { event_types: None, reserved: true };
        let event = Event::parse(bytes, Millis::MAX, &rules);
        let key = match &event {
            Ok(None) => return Ok(()),
            Ok(Some(event)) => Some(event.user_id.as_bytes()),
            Err(_) => None,
        };
        loop {
            if let Some(sequence) = producer.send(key, bytes, ROOM)? {
                self.flight.sent(sequence, line.file, end);
                if sequence.is_multiple_of(4096) {
                    self.settle(producer, false).map_err(Stop::Failure)?;
                    self.signalled()?;
                }
                return Ok(());
            }
            self.settle(producer, false).map_err(Stop::Failure)?;
            if self.time_is_up() {
                return Err(Stop::GaveUp);
            }
        }
    }

    /// Everything known was sent: waits for more of the log, or for the end.
    fn rest(&mut self, reader: &LogReader, producer: &Producer) -> Result<(), Stop> {
        let (closing, ends) = {
            let state = self.shared.state();
            (state.patience.is_some(), state.ends.clone())
        };
        let behind = ends != self.limit;
        self.limit = ends;
        if behind {
            return Ok(());
        }
        // At the end nothing lingers.
        let arrived = closing && producer.flush(LOOK)?;
        self.settle(producer, arrived).map_err(Stop::Failure)?;
        if self.flight.waiting.is_empty() {
            self.flight.reached = reader.position().clone();
            if closing {
                self.save().map_err(Stop::Failure)?;
                return Err(Stop::Done);
            }
        }
        if self.time_is_up() {
            return Err(Stop::GaveUp);
        }
        if !closing {
            self.shared.wait(&self.limit, LOOK);
        }
        Ok(())
    }

    /// Takes note of what has arrived, and of whether Kafka can be reached; writes the position when it is time, or `now`.
    fn settle(&mut self, producer: &Producer, now: bool) -> Result<(), Failure> {
        let news = self.flight.arrived(producer.acked());
        if news > 0 {
            self.progress = Instant::now();
            self.shipped += news;
        }
        match producer.link() {
            Link::Up => self.heard(true, ""),
            Link::Down { why, .. } => self.heard(false, &why),
        }
        if now || self.saved_at.elapsed() >= SAVE { self.save() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<(), Failure> {
        self.saved_at = Instant::now();
        self.place.save(&self.flight.reached)
    }

    /// Tells once when Kafka goes away, and once when it is back.
    fn heard(&mut self, up: bool, why: &str) {
        if up && self.down {
            report::say(format_args!("kafka at {} is back", self.settings.brokers()));
        }
        if !up && !self.down {
            report::warn(format_args!("{}; the events are safe in the log", at_brokers(&self.settings, why)));
        }
        self.down = !up;
    }

    /// Whether waiting for Kafka has been long enough: never while the collector goes on.
    fn time_is_up(&mut self) -> bool {
        let Some((patience, since)) = self.shared.state().patience else { return false };
        self.signalled().is_err() || since.max(self.progress).elapsed() >= patience
    }

    /// An error when a signal came long enough ago.
    fn signalled(&mut self) -> Result<(), Stop> {
        if !stop::asked() || !self.shared.closing() {
            return Ok(());
        }
        let until = *self.last_chance.get_or_insert_with(|| Instant::now() + AFTER_SIGNAL);
        if Instant::now() >= until { Err(Stop::GaveUp) } else { Ok(()) }
    }

    /// Told to stop, what is left is for the next run; otherwise it is an error.
    fn gave_up(&self, why: &str) -> Result<(), Failure> {
        let topic = self.settings.topic();
        if stop::asked() {
            report::say(format_args!("not everything was shipped to topic {topic}: the next run goes on there"));
            return Ok(());
        }
        let (log, brokers) = (self.place.log().display(), self.settings.brokers());
        let hint =
            format!("the log is safe; when Kafka is back: adprof collect --ship --log {log} -b {brokers} -t {topic}");
        Err(Failure::new(Exit::Unavailable, at_brokers(&self.settings, why)).hint(hint))
    }

    fn unreadable(&self, error: Error) -> Failure {
        let shrunk = matches!(error, Error::Shrunk { .. });
        let failure = given::of_log(error);
        if !shrunk {
            return failure;
        }
        failure.hint(format!(
            "if the log was replaced, remove {}: it is then shipped from its beginning",
            self.place.path().display()
        ))
    }
}

/// Whether `position` has reached every end.
fn covers(position: &Position, ends: &Position) -> bool {
    ends.iter().all(|(file, end)| position.read_of(file).is_some_and(|at| at >= end))
}
