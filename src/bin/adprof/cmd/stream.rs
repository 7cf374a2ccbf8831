//! `adprof stream`: the live path, from Kafka or stdin to patches or a store.

mod desk;

use crate::given::{self, DefinitionArgs, MaxErrors};
use crate::kafka::KafkaArgs;
use crate::large_pages;
use crate::redis::RedisArgs;
use crate::report::{self, Exit, Failure};
use crate::stop;
use adprof::bus::{Assignment, Consumer, Options, PartitionSet, Settings, StartOffsets};
use adprof::engine::audience::{AUDIENCES_MAX, live_segments, watched_tags};
use adprof::engine::dedup::{HashKey, Horizon};
use adprof::engine::live::{Live, Telling};
use adprof::engine::plans::Plans;
use adprof::event::Rules;
use adprof::forgotten::Forgotten;
use adprof::lines;
use adprof::run::emit::Target;
use adprof::run::feed::{self, News, Parser};
use adprof::run::filter::{self, Emit};
use adprof::run::forget::renew_if_marked;
use adprof::run::keep::{CHECKPOINT, Input, Keep, PATIENCE, Projection, Setup};
use adprof::run::stream::{Clock, Error, Report};
use adprof::store::redis::Redis;
use adprof::store::{Embedded, Location, RedisUrl};
use adprof::tag::{Definitions, Part, Update};
use adprof::time::Millis;
use anyhow::Result;
use crossbeam_channel::{Receiver, bounded};
use desk::{Desk, tell};
use jiff::tz::TimeZone;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Compute tags as events come, from Kafka or stdin
///
/// Without --store it is a filter: one patch for each event that changes a tag, and one for each
/// change by time alone. With --store it keeps a state on disk, goes on where it stopped, and
/// keeps the profiles in the store right, also when nothing but time passes.
///
/// The segments of the definition file that are active and live are kept current, too: who is in which, since when. With
/// --derived each enter and leave is told as an event of its own.
///
/// A derived tag may name tags with `update = "daily"` or `"import"`: their values come as patches, as lines
/// between the events, or from `adprof sink file` into the store while this runs.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof stream -b localhost:9092 -t realtime-events --store redis://localhost:6379
  adprof stream -b localhost:9092 -t realtime-events -p 0-3 --store file:./adprof-store
  adprof stream -b localhost:9092 -t realtime-events --store redis --state second --standby
  adprof stream < events.jsonl                              patches on stdout
  adprof stream --emit final --tags all < events.jsonl      one line a key at the end
  adprof stream -b localhost:9092 -t realtime-events -e     to the end of the topic, then stop
  adprof stream -b localhost:9092 -t realtime-events --store redis --derived kafka:audience-events
  adprof stream -b localhost:9092 -t realtime-events --store file:./adprof-store --derived derived/")]
pub struct Args {
    #[command(flatten)]
    kafka: KafkaArgs,
    /// Commit offsets to this group, for lag tools
    #[arg(short = 'G', long, value_name = "GROUP", requires = "topic", help_heading = "Kafka")]
    group: Option<String>,
    /// Read these partitions only: 0-3,5
    #[arg(short, long, value_name = "LIST", requires = "topic", help_heading = "Kafka")]
    partitions: Option<PartitionSet>,
    /// Where a filter begins: beginning, end, an offset, -N, s@MS [default: beginning]; a state goes on where it stopped
    #[arg(
        short,
        value_name = "OFFSET",
        requires = "topic",
        conflicts_with = "store",
        allow_hyphen_values = true,
        help_heading = "Kafka"
    )]
    offset: Option<StartOffsets>,
    /// Stop at the end of the topic
    #[arg(short = 'e', long, requires = "topic", help_heading = "Kafka")]
    exit: bool,

    #[command(flatten)]
    definitions: DefinitionArgs,
    /// The tags to compute: all, or codes [default: those with update = "realtime"]
    #[arg(long, value_name = "all|CODE,...", value_delimiter = ',')]
    tags: Vec<String>,
    /// Keep the profiles here: file:DIR, redis://… or redis (the address in REDIS_URL); without it patches go to stdout
    #[arg(long, value_name = "WHERE")]
    store: Option<String>,
    #[command(flatten)]
    redis: RedisArgs,
    /// The directory of the state behind a Redis store
    #[arg(long, value_name = "DIR", default_value = "adprof-state")]
    state: PathBuf,
    /// Fold in silence beside a stream that publishes into the same Redis, and take over when it stops or is silent for SPAN [default: 3s]
    #[arg(long, value_name = "SPAN", value_parser = given::span, num_args = 0..=1, default_missing_value = "3s", requires = "store")]
    standby: Option<Millis>,
    /// When a filter writes: each change, or final: once a user at the end
    #[arg(long, value_enum, default_value_t = When::Each, conflicts_with_all = ["store", "every"])]
    emit: When,
    /// Tell who enters and leaves the live segments: - (stdout), a FILE, a log DIR/, or kafka:TOPIC of the brokers of -b
    #[arg(long, value_name = "WHERE", conflicts_with = "standby")]
    derived: Option<String>,
    /// Write changed users every so often instead of each change
    #[arg(long, value_name = "SPAN", value_parser = given::span, conflicts_with = "store")]
    every: Option<Millis>,
    /// Values at this instant: later events do not count, and time goes on to it at the end
    #[arg(long, value_name = "T", conflicts_with = "store")]
    as_of: Option<String>,
    /// The clock values follow [default: event for a filter, wall for a store]
    #[arg(long, value_enum)]
    clock: Option<Which>,
    /// Memory for the states of keys; the rest of them stays in the store until it is touched [default: what they take]
    #[arg(long, value_name = "SIZE", value_parser = given::size, requires = "store")]
    memory: Option<u64>,
    /// How often what was read is put on the disk: a kill costs reading so much again, and a user who changes often is written once
    /// [default: 1s]
    #[arg(long, value_name = "SPAN", value_parser = checkpoint, requires = "store")]
    checkpoint: Option<Duration>,
    /// Memory for the ids by which duplicates are noticed
    #[arg(long, value_name = "SIZE", value_parser = given::size, default_value = "512M")]
    dedup_memory: u64,
    /// Write refused lines here [default with a store: dead.ndjson beside the state]
    #[arg(long, value_name = "FILE")]
    dead: Option<PathBuf>,
    /// Users who are forgotten: the list beside the log (LOG/forgotten or LOG.forgotten), for a state that begins
    #[arg(long, value_name = "FILE")]
    forgotten: Option<PathBuf>,
    /// Say every so often what was done
    #[arg(long, value_name = "SPAN", value_parser = given::span)]
    stats: Option<Millis>,
    /// Show counters, lag and times as Prometheus text over HTTP here; a port alone is of this machine only
    #[arg(long, value_name = "[HOST:]PORT")]
    metrics: Option<String>,
    /// Fail (65) beyond so many refused lines at the end [default: only when every line was bad]
    #[arg(long, value_name = "N|P%", value_parser = MaxErrors::parse)]
    max_errors: Option<MaxErrors>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    Each,
    Final,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Event,
    Wall,
}

pub fn run(args: Args) -> Result<()> {
    if args.store.is_some() {
        large_pages::ask();
    }
    // Told to stop while a large state is still being read, it ends as if it had run.
    stop::flag();
    let definitions = Arc::new(args.definitions.load()?);
    let mut tags = given::tags(&definitions, &args.tags, Update::Realtime)?;
    if args.tags.is_empty() && args.location()?.is_none() {
        // Nobody will ask what is printed about segments.
        tags.retain(|tag| !definitions.tags[*tag].is_hidden());
    }
    if tags.is_empty() {
        let failure =
            Failure::new(Exit::Definitions, format!("{} has no tag with update = \"realtime\"", definitions.source));
        return Err(failure.hint("name the tags: --tags all, or --tags CODE").into());
    }
    args.of_whole_keys(&definitions, &tags)?;
    if live_segments(&definitions).count() > AUDIENCES_MAX {
        let message = format!("{} has more than {AUDIENCES_MAX} live segments", definitions.source);
        return Err(Failure::new(Exit::Definitions, message).into());
    }
    // What nobody hears of is not kept without a state.
    let watched = match args.store.is_some() || args.derived.is_some() {
        true => watched_tags(&definitions),
        false => Vec::new(),
    };
    let plans = Plans::watching(&definitions, &tags, &watched);
    let started = Instant::now();
    let (report, max_errors) = match args.location()? {
        None => (filter(&args, &plans)?, args.max_errors),
        Some(location) => (keep(&args, &plans, location)?, args.max_errors),
    };
    tell(&report, started);
    given::check_errors(max_errors, report.counts.refused, report.counts.consumed)
}

impl Args {
    fn location(&self) -> Result<Option<Location>> {
        self.store.as_deref().map(|text| self.redis.locate(text)).transpose()
    }

    /// Refuses tags of keys that a part of the partitions would know in part only.
    fn of_whole_keys(&self, definitions: &Definitions, tags: &[usize]) -> Result<()> {
        let shared = |tag: &&usize| definitions.entity_of(**tag).is_shared();
        let (Some(_), Some(&tag)) = (&self.partitions, tags.iter().find(shared)) else { return Ok(()) };
        let (code, entity) = (&definitions.tags[tag].code, &definitions.entity_of(tag).name);
        let message = format!("with -p `{code}` would be wrong: events of one `{entity}` are in every partition");
        let problem = definitions.problem(tag, Part::Entity, message);
        let failure = Failure::new(Exit::Definitions, problem.to_string());
        Err(failure.hint("read all partitions, or name tags of users with --tags").into())
    }

    fn clock(&self, usual: Which) -> Clock {
        match self.clock.unwrap_or(usual) {
            Which::Event => Clock::Event,
            Which::Wall => Clock::Wall(given::now),
        }
    }

    fn horizon(&self) -> Horizon {
        Horizon::within(usize::try_from(self.dedup_memory).unwrap_or(usize::MAX))
    }

    fn as_of(&self) -> Result<Option<Millis>> {
        self.as_of.as_deref().map(|text| given::instant(text, &TimeZone::UTC)).transpose()
    }

    fn forgotten(&self) -> Result<Arc<Forgotten>> {
        let Some(path) = &self.forgotten else { return Ok(Arc::default()) };
        std::fs::metadata(path).map_err(|e| report::io(path, &e))?;
        Ok(Arc::new(Forgotten::load(path).map_err(|e| Failure::new(report::exit_of(&e), e.to_string()))?))
    }

    /// How to reach Kafka, when a topic was given.
    fn settings(&self) -> Result<Option<Settings>> {
        let Some(settings) = self.kafka.settings()? else { return Ok(None) };
        Ok(Some(match &self.group {
            Some(group) => settings.with_group(group).map_err(given::of_bus)?,
            None => settings,
        }))
    }

    /// Where enters and leaves are told.
    fn derived(&self) -> Result<Option<Target>> {
        let Some(text) = &self.derived else { return Ok(None) };
        let Some(topic) = text.strip_prefix("kafka:") else {
            return Ok(Some(if text == "-" { Target::Stdout } else { Target::Log(text.into()) }));
        };
        if self.kafka.topic.as_deref() == Some(topic) {
            let failure = Failure::new(Exit::Usage, format!("--derived: `{topic}` is the topic that is read"));
            return Err(failure.hint("what is told would count as events of the users: name another topic").into());
        }
        let kafka = KafkaArgs { topic: Some(topic.to_string()), ..self.kafka.clone() };
        Ok(kafka.settings()?.map(Target::Topic))
    }

    /// Kafka, read by a thread of its own, where there are settings.
    fn consumer(&self, settings: Option<&Settings>, own: Option<StartOffsets>) -> Result<Option<Consumer>> {
        let Some(settings) = settings else { return Ok(None) };
        let assignment = self.partitions.clone().map_or(Assignment::All, Assignment::Some);
        let from = own.or_else(|| self.offset.clone()).unwrap_or(StartOffsets::Beginning);
        let mut options = Options::new(assignment, from);
        options.until_end = self.exit;
        Ok(Some(Consumer::start(settings, options).map_err(given::of_bus)?))
    }
}

/// Starts the thread that reads and parses the input.
fn feed(consumer: Option<&Consumer>, plans: &Plans, until: Option<Millis>, by_day: bool) -> Receiver<News> {
    let definitions = plans.definitions();
    let rules = Rules { event_types: definitions.event_types.clone(), reserved: true };
    let projection = definitions.projection.clone();
    let parser = Parser { projection, rules, now: given::now, until, plans: Some(plans.clone()), by_day };
    let (out, news) = bounded(8);
    match consumer {
        Some(consumer) => {
            let deliveries = consumer.deliveries().clone();
            thread::spawn(move || feed::messages(&deliveries, &parser, &out));
        }
        None => {
            // Ended with the program: a blocked read of a terminal cannot be called back.
            thread::spawn(move || match lines::open_input(Box::new(io::stdin())) {
                Ok(input) => feed::lines(input, &parser, &out),
                Err(e) => drop(out.send(News::Failed(feed::Failure::Input(e)))),
            });
        }
    }
    news
}

fn filter(args: &Args, plans: &Plans) -> Result<Report> {
    let emit = match (args.every, args.emit) {
        (Some(span), _) => Emit::Every(Duration::from_millis(span.unsigned_abs())),
        (None, When::Each) => Emit::Each,
        (None, When::Final) => Emit::Final,
    };
    let telling = if emit == Emit::Each { Telling::Each } else { Telling::Drained };
    let until = args.as_of()?;
    let mut live = Live::new(plans.clone(), telling, args.horizon(), hash_key());
    match args.derived()? {
        None => {}
        Some(Target::Stdout) => live.watch(&[], true),
        Some(_) => {
            let failure = Failure::new(Exit::Usage, "without --store enters and leaves go to stdout only: --derived -");
            return Err(failure.hint("a state keeps them until they are at their place: --store file:DIR").into());
        }
    }
    let consumer = args.consumer(args.settings()?.as_ref(), None)?;
    let news = feed(consumer.as_ref(), plans, until, false);
    let mut desk = Desk::new(args, args.dead.clone())?;
    desk.watch(consumer.as_ref());
    let job = filter::Job { clock: args.clock(Which::Event), emit, until, forgotten: args.forgotten()? };
    let report = filter::run(&mut live, &job, &news, stop::flag(), &mut io::stdout().lock(), &mut desk);
    report.map_err(of_stream)
}

/// A longer one would look as if the stream stood still: `doctor` and alarms take a minute for that.
const CHECKPOINT_MAX: Duration = Duration::from_secs(30);

fn checkpoint(text: &str) -> Result<Duration, String> {
    let span = Duration::from_millis(given::span(text)?.unsigned_abs());
    if span <= CHECKPOINT_MAX { Ok(span) } else { Err("30s is the longest".into()) }
}

fn keep(args: &Args, plans: &Plans, location: Location) -> Result<Report> {
    let (dir, url) = match location {
        Location::Embedded(dir) => (dir, None),
        Location::Redis(url) => (args.state.clone(), Some(url)),
    };
    if args.standby.is_some() && url.is_none() {
        let failure = Failure::new(Exit::Usage, "--standby is for profiles in Redis: an embedded store has one writer");
        return Err(failure.hint("name the Redis of the stream it stands by for: --store redis://host:6379").into());
    }
    let settings = args.settings()?;
    let topic = settings.as_ref().map(|s| s.topic().to_string());
    // Redis first: a wrong address should not leave a state behind.
    let redis = url.as_ref().map(|url| Redis::connect(url, PATIENCE)).transpose().map_err(given::of_store)?;
    let redis = redis.map(|redis| redis.with_names(plans.definitions().prefixes()));
    let mut desk = Desk::new(args, Some(args.dead.clone().unwrap_or_else(|| dir.join("dead.ndjson"))))?;
    let setup = Setup {
        memory: args.memory.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        plans: plans.clone(),
        clock: args.clock(Which::Wall),
        now: given::now,
        horizon: args.horizon(),
        state_id: state_id(),
        hash_key: hash_key(),
        input: topic.clone().map_or(Input::Stdin, Input::Topic),
        forgotten: args.forgotten()?,
        audiences: true,
        derived: args.derived()?,
        every: args.checkpoint.unwrap_or(CHECKPOINT),
    };
    // A topic that is not there should not leave one behind either.
    let early =
        if Embedded::exists(&dir) { None } else { args.consumer(settings.as_ref(), Some(StartOffsets::Beginning))? };
    if early.is_none() {
        renew_if_marked(&dir).map_err(given::of_store)?;
    }
    let mut keep = Keep::open(&dir, setup, &mut desk).map_err(of_stream)?;
    let consumer = match (early, keep.start_offsets()) {
        (Some(consumer), StartOffsets::Beginning) => Some(consumer),
        (_, own) => args.consumer(settings.as_ref(), Some(own))?,
    };
    desk.watch(consumer.as_ref());
    if let Some(consumer) = &consumer {
        keep.reads(consumer.partitions(), &consumer.assigned()).map_err(of_stream)?;
    }
    let ends = consumer.iter().flat_map(Consumer::lag).map(|lag| (lag.partition, lag.high)).collect();
    let token = token(topic.as_deref(), consumer.as_ref(), args.partitions.as_ref());
    let standby = args.standby.map(|ms| Duration::from_millis(ms.unsigned_abs()));
    let projection =
        redis.map(|redis| Projection { redis, token, ends, standby, only: args.partitions.is_none(), foreign: false });
    report::detail(format_args!("state: {}; {}", dir.display(), told(url.as_ref())));
    let news = feed(consumer.as_ref(), plans, None, true);
    let commit = |offsets| {
        if let Some(consumer) = &consumer {
            consumer.commit(offsets);
        }
    };
    let report = keep.run(&news, stop::flag(), projection, &commit, &mut desk);
    if let Some(why) = consumer.and_then(Consumer::stop) {
        report::warn(feed::uncommitted(&why));
    }
    report.map_err(of_stream)
}

fn told(url: Option<&RedisUrl>) -> String {
    url.map_or("read it with adprof query".to_string(), |url| format!("published into {url}"))
}

/// The token under which a projection is written: one for each part of an input.
pub(super) fn token(topic: Option<&str>, consumer: Option<&Consumer>, partitions: Option<&PartitionSet>) -> String {
    match (topic, consumer, partitions) {
        (Some(topic), Some(consumer), Some(_)) => {
            let list: Vec<String> = consumer.assigned().iter().map(ToString::to_string).collect();
            format!("adprof:token:{topic}:{}", list.join(","))
        }
        (Some(topic), ..) => format!("adprof:token:{topic}"),
        _ => "adprof:token".into(),
    }
}

pub(super) fn hash_key() -> HashKey {
    [RandomState::new().hash_one(0), RandomState::new().hash_one(1)]
}

pub(super) fn state_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

pub(super) fn of_stream(error: Error) -> anyhow::Error {
    match error {
        Error::Bus(e) => given::of_bus(e).into(),
        Error::Store(e) => given::of_store(e).into(),
        Error::Output(e) => anyhow::Error::new(e).context("cannot write the patches"),
        Error::Log(e) => given::of_log(e).into(),
        Error::Fenced { .. } => Failure::new(Exit::TryAgain, error.to_string())
            .hint("if that one should stop instead, stop it and start this one again")
            .into(),
        Error::OtherInput { .. } => {
            Failure::new(Exit::Usage, error.to_string()).hint("name another directory, or move this one away").into()
        }
        Error::Base(_) => Failure::new(Exit::Io, error.to_string())
            .hint("nothing of it was kept: start this again, or make the base anew with `adprof batch`")
            .into(),
        Error::Input(_) | Error::Letters(_) => Failure::new(Exit::Io, error.to_string()).into(),
    }
}
