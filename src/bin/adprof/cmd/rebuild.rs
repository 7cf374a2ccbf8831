//! `adprof rebuild`: state and projection made anew from the log; `stream` then goes on in Kafka where the log ends.

use super::stream::{hash_key, of_stream, state_id, token};
use super::verify::definitions;
use crate::given::{self, DefinitionArgs};
use crate::kafka::KafkaArgs;
use crate::redis::RedisArgs;
use crate::report::{self, Exit, Failure};
use crate::{stop, whole_log};
use adprof::bus::{Assignment, Consumer, Options, Owned, StartOffsets};
use adprof::engine::audience::watched_tags;
use adprof::engine::dedup::Horizon;
use adprof::engine::plans::Plans;
use adprof::event::Rules;
use adprof::forgotten::Forgotten;
use adprof::ledger::Ledger;
use adprof::log::Lock;
use adprof::run::feed::{self, Letter, News, Parser};
use adprof::run::keep::{Input, Keep, PATIENCE, Projection, Setup, carry_members};
use adprof::run::rebuild::{LogRead, beside, carry_over, clear, exchange, lock};
use adprof::run::stream::{Clock, Observer, Report};
use adprof::store::redis::Redis;
use adprof::store::{Embedded, Location, RedisUrl};
use adprof::tag::{Definitions, Update};
use adprof::time::{DAY, show_span};
use anyhow::Result;
use crossbeam_channel::bounded;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use std::{fs, io, thread};

/// Make the state of a stream anew from the log, and the profiles in Redis from that
///
/// The old state stays as it is and readable until the new one is whole; then it is replaced in one step. A stream that is
/// started afterwards goes on in Kafka where the log ends: nothing is lost and nothing counts twice. Daily and
/// imported values are carried over. Killed at any instant it can be run again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof rebuild --log events/ --store file:adprof-store -b localhost:9092 -t realtime-events
  adprof rebuild --log events/ --store redis --state adprof-state -b localhost:9092 -t realtime-events
  adprof rebuild --log ad-events.log --store file:adprof-store      a state that is fed on standard input
  adprof verify --log events/ --store file:adprof-store             and then")]
pub struct Args {
    /// The log: a file or a directory of date partitions; may be given several times
    #[arg(long, value_name = "PATH", default_value = "ad-events.log")]
    log: Vec<PathBuf>,
    /// The store: file:DIR, redis://… or redis (the address in REDIS_URL)
    #[arg(long, value_name = "WHERE")]
    store: String,
    #[command(flatten)]
    redis: RedisArgs,
    /// The directory of the state behind a Redis store
    #[arg(long, value_name = "DIR", default_value = "adprof-state")]
    state: PathBuf,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// The tags to compute, as the stream does: all, or codes [default: those with update = "realtime"]
    #[arg(long, value_name = "all|CODE,...", value_delimiter = ',')]
    tags: Vec<String>,
    /// Memory for the ids by which duplicates are noticed
    #[arg(long, value_name = "SIZE", value_parser = given::size, default_value = "512M")]
    dedup_memory: u64,
}

pub fn run(args: Args) -> Result<()> {
    if args.log.iter().any(|path| path.as_os_str() == "-") {
        let failure = Failure::new(Exit::Usage, "a state that is rebuilt from a pipe cannot be rebuilt again");
        return Err(failure.hint("name a file or a directory: --log PATH").into());
    }
    let (dir, url) = args.place()?;
    // Redis first: a wrong address should not cost a long reading.
    let redis = url.as_ref().map(|url| Redis::connect(url, PATIENCE)).transpose().map_err(given::of_store)?;
    let held = Lock::take(&lock(&dir), &beside(&dir)).map_err(given::of_log)?;
    let old = if Embedded::exists(&dir) { Some(Embedded::open_existing(&dir).map_err(given::of_store)?) } else { None };
    // Held until the new state is in its place: no stream goes on with the old one.
    let owner = old.as_ref().map(|old| old.begin_owner("adprof rebuild")).transpose().map_err(given::of_store)?;
    args.leftovers(&dir, old.as_ref())?;
    let definitions = Arc::new(definitions(args.definitions.find()?, old.as_ref())?);
    let topic = args.topic(&dir, old.as_ref())?;
    let tags = given::tags(&definitions, &args.tags, Update::Realtime)?;
    if tags.is_empty() {
        let failure =
            Failure::new(Exit::Definitions, format!("{} has no tag with update = \"realtime\"", definitions.source));
        return Err(failure.hint("name the tags: --tags all, or --tags CODE").into());
    }
    let plans = Plans::watching(&definitions, &tags, &watched_tags(&definitions));
    // The end of the topic before the log: all that lies before it is in the log by then.
    let ends = topic.as_ref().map(|_| args.ends()).transpose()?;
    let report = args.fold(&dir, &plans, &definitions, topic.clone(), ends.as_ref(), old.as_ref())?;
    tell(&report);
    if let Some(old) = &old {
        let new = Embedded::open_existing(&beside(&dir)).map_err(given::of_store)?;
        carry_over(old, &new).map_err(given::of_store)?;
        carry_members(old, &new, given::now()).map_err(given::of_store)?;
        keep_letters(&dir)?;
    }
    let had_old = old.is_some();
    exchange(&dir).map_err(given::of_store)?;
    drop((owner, old));
    if had_old {
        // Once more, for what came as patches since.
        let old = Embedded::open_existing(&beside(&dir)).map_err(given::of_store)?;
        let new = Embedded::open_existing(&dir).map_err(given::of_store)?;
        carry_over(&old, &new).map_err(given::of_store)?;
    }
    if let Err(e) = clear(&dir) {
        report::warn(format_args!("the old state is left behind: {}", e.message));
    }
    if let Some(redis) = redis {
        let redis = redis.with_names(definitions.prefixes());
        args.publish(&dir, plans, topic, ends, redis)?;
    }
    drop(held);
    Ok(())
}

/// Nobody goes on with a state that is not whole yet, so checkpoints are for bounding what waits for them only.
const CHECKPOINT: Duration = Duration::from_secs(10);

/// The end of each partition, and how many there are.
struct Ends {
    partitions: i32,
    owned: Vec<Owned>,
}

impl Args {
    /// The directory of the state, and where its profiles are published.
    fn place(&self) -> Result<(PathBuf, Option<RedisUrl>)> {
        Ok(match self.redis.locate(&self.store)? {
            Location::Embedded(dir) => (dir, None),
            Location::Redis(url) => (self.state.clone(), Some(url)),
        })
    }

    /// What a run that was killed has left behind: half a state, or the old one after the new one took its place.
    fn leftovers(&self, dir: &Path, old: Option<&Embedded>) -> Result<()> {
        let left = beside(dir);
        if let (true, Some(old)) = (Embedded::exists(&left), old)
            && let Ok(left) = Embedded::open_existing(&left)
        {
            carry_over(&left, old).map_err(given::of_store)?;
        }
        Ok(clear(dir).map_err(given::of_store)?)
    }

    /// The topic that the stream reads; nothing for one that reads standard input.
    fn topic(&self, dir: &Path, old: Option<&Embedded>) -> Result<Option<String>> {
        let named = self.kafka.topic.clone();
        let read = |old: &Embedded| Ledger::read(&old.snapshot()?);
        let ledger = old.map(read).transpose().map_err(given::of_store)?.flatten();
        let Some(ledger) = ledger.filter(|ledger| !ledger.progress.only_base) else { return Ok(named) };
        let place = dir.display();
        let usage = |message: String, hint: &str| Err(Failure::new(Exit::Usage, message).hint(hint).into());
        if ledger.is_part() {
            let message = format!("the state in {place} has the users of some partitions only, the log has all");
            return usage(message, "start its stream with a new --state: it reads its partitions from their beginning");
        }
        match (ledger.progress.source.map(|source| source.topic), named) {
            (Some(was), None) => {
                let message =
                    format!("the state in {place} was made from topic `{was}`, and its stream has to go on there");
                usage(message, "name it: -b HOST:PORT -t TOPIC")
            }
            (Some(was), Some(named)) if was != named => usage(
                format!("the state in {place} was made from topic `{was}`, not from `{named}`"),
                "name that topic, or another store",
            ),
            (None, Some(_)) => usage(
                format!("the state in {place} was made from standard input"),
                "leave out -t, or name another store",
            ),
            (_, named) => Ok(named),
        }
    }

    fn ends(&self) -> Result<Ends> {
        let settings = self.kafka.settings()?.expect("there is a topic");
        let consumer =
            Consumer::start(&settings, Options::new(Assignment::All, StartOffsets::End)).map_err(given::of_bus)?;
        let owned =
            consumer.lag().into_iter().map(|lag| Owned { partition: lag.partition, next: lag.high, witness: None });
        let ends = Ends { partitions: consumer.partitions(), owned: owned.collect() };
        consumer.stop();
        Ok(ends)
    }

    fn setup(&self, plans: Plans, topic: Option<String>, forgotten: Arc<Forgotten>) -> Setup {
        Setup {
            memory: usize::MAX,
            plans,
            clock: Clock::Wall(given::now),
            now: given::now,
            horizon: Horizon::within(usize::try_from(self.dedup_memory).unwrap_or(usize::MAX)),
            state_id: state_id(),
            hash_key: hash_key(),
            input: topic.map_or(Input::Stdin, Input::Topic),
            forgotten,
            // Those of the old state are carried over: the stream finds out who enters and leaves.
            audiences: false,
            derived: None,
            every: CHECKPOINT,
        }
    }

    /// Folds the log into a new state, beside the old one.
    fn fold(
        &self,
        dir: &Path,
        plans: &Plans,
        definitions: &Arc<Definitions>,
        topic: Option<String>,
        ends: Option<&Ends>,
        old: Option<&Embedded>,
    ) -> Result<Report> {
        let log = whole_log::open(&self.log)?;
        let new = beside(dir);
        if let Some(old) = old {
            // Before the fold: derived tags may be made of them.
            let store = Embedded::create_or_open(&new).map_err(given::of_store)?;
            carry_over(old, &store).map_err(given::of_store)?;
        }
        let mut keep = Keep::open(&new, self.setup(plans.clone(), topic, log.forgotten()), &mut Words::default())
            .map_err(of_stream)?;
        if let Some(ends) = ends {
            keep.knows(ends.partitions, ends.owned.clone());
        }
        let rules = Rules { event_types: definitions.event_types.clone(), reserved: true };
        let projection = definitions.projection.clone();
        let parser = Parser { projection, rules, now: given::now, until: None, plans: None, by_day: true };
        let progress = Arc::new(AtomicU64::new(0));
        let input = LogRead::new(&log, progress.clone());
        let (out, news) = bounded(8);
        let reading = thread::spawn(move || feed::lines(input, &parser, &out));
        let bar = report::progress(whole_log::plain_size(&log), "rebuild");
        let watching = report::watch(&bar, &progress);
        let report = thread::scope(|scope| {
            scope.spawn(|| watching.run());
            let report = keep.run(&news, stop::flag(), None, &|_| (), &mut Words::default());
            watching.stop();
            report
        });
        bar.finish_and_clear();
        let report = report.map_err(of_stream)?;
        if stop::flag().load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::new(Exit::TryAgain, "told to stop: the old state is as it was")
                .hint("run it again")
                .into());
        }
        drop(news);
        let _ = reading.join();
        given::check_errors(None, report.counts.refused, report.counts.consumed)?;
        Ok(report)
    }

    /// Publishes all of the new state, under a token of its own: whoever published before is fenced.
    fn publish(&self, dir: &Path, plans: Plans, topic: Option<String>, ends: Option<Ends>, redis: Redis) -> Result<()> {
        let keep = Keep::open(dir, self.setup(plans, topic.clone(), Arc::default()), &mut Words::default())
            .map_err(of_stream)?;
        let reached: BTreeMap<i32, i64> =
            ends.iter().flat_map(|ends| &ends.owned).map(|owned| (owned.partition, owned.next)).collect();
        let projection = Projection {
            redis,
            token: token(topic.as_deref(), None, None),
            ends: reached,
            standby: None,
            only: false,
            foreign: true,
        };
        let (out, news) = bounded(1);
        out.send(News::End).expect("there is room for one");
        let go_on = AtomicBool::new(false);
        let report = keep.run(&news, &go_on, Some(projection), &|_| (), &mut Words::default()).map_err(of_stream)?;
        report::say(format_args!("published {} profiles anew", given::grouped(report.patches)));
        Ok(())
    }
}

/// Dead letters stay with the state.
fn keep_letters(dir: &Path) -> Result<()> {
    let letters = dir.join("dead.ndjson");
    if letters.exists() {
        let to = beside(dir).join("dead.ndjson");
        fs::copy(&letters, &to).map_err(|e| report::io(&to, &e))?;
    }
    Ok(())
}

fn tell(report: &Report) {
    let counts = &report.counts;
    let mut words = format!("{} events", given::grouped(counts.absorbed));
    let others = [(counts.duplicates, "duplicates"), (counts.forgotten, "forgotten"), (counts.refused, "refused")];
    for (n, what) in others {
        if n > 0 {
            words.push_str(&format!(", {} {what}", given::grouped(n)));
        }
    }
    let noun = if report.others { "keys" } else { "users" };
    report::say(format_args!("{words}; {} {noun}", given::grouped(report.keys as u64)));
    if report.horizon < DAY {
        report::warn(format_args!(
            "only {} ids are remembered, those of about the last {}: a copy of an older event counts twice; give more --dedup-memory",
            given::grouped(report.ids as u64),
            show_span(report.horizon / 1000 * 1000)
        ));
    }
}

/// What is said while a state is made.
#[derive(Default)]
struct Words {
    shown: u32,
}

const SHOWN: u32 = 3;

impl Observer for Words {
    fn refused(&mut self, letter: &Letter) -> io::Result<()> {
        if self.shown < SHOWN {
            self.shown += 1;
            report::warn(format_args!("log: {}", letter.refusal));
        }
        Ok(())
    }

    fn keep_letters(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn say(&mut self, words: &str) {
        report::warn(words);
    }

    fn note(&mut self, words: &str) {
        report::say(words);
    }

    fn progress(&mut self, _: &Report) {}
}
