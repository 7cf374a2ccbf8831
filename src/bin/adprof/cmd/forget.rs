//! `adprof forget`: users disappear from the log, dead letters, roll-ups, nights, states and Redis, and stay away.

mod places;

use crate::given::{self, DefinitionArgs, grouped};
use crate::redis::RedisArgs;
use crate::report::{self, Exit, Failure};
use adprof::forgotten::{self, Forgotten};
use adprof::key::Key;
use adprof::limits::{FUTURE_MS, USER_ID_MAX};
use adprof::run::forget::People;
use adprof::run::keep::PATIENCE;
use adprof::store::redis::Redis;
use adprof::store::{Embedded, Location};
use adprof::tag::Definitions;
use adprof::time::{Millis, show};
use anyhow::Result;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Make users disappear: from the log, dead letters, roll-ups, nights, states and Redis
///
/// Events of theirs with a time up to now, and five minutes more, count for nothing from here on, wherever they come from: Kafka
/// from its beginning, dead letters, the old lines collected again, `rebuild`. A later one begins the user anew. The lists
/// that say so (LOG/forgotten, STATE/forgotten) hold salted hashes and no id.
///
/// Lines in the log become blanks, so collectors, shippers and positions are not disturbed. A stream that runs on a store drops
/// the users within a second or two, and this waits for it. It can be run again at any time, and has to be when it was killed
/// or a place was busy (75).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof forget u-001                                       ./ad-events.log and the store that query would ask
  adprof forget u-001 u-002 --log events/ --store redis --state adprof-state
  adprof forget - --log events/ --store file:live --rollups rollups --nights nights < ids.txt
  adprof forget u-001 --log events/ --dry-run               what would go

Kafka keeps its messages until their retention is over; streams leave them out by the list in their state. A stream that begins
a new state is told with --forgotten LOG/forgotten.")]
pub struct Args {
    /// The ids of users; - reads them from stdin, one a line
    #[arg(value_name = "USER", required = true)]
    users: Vec<String>,
    /// The log: a file or a directory of date partitions; may be given several times [default: ad-events.log, if there is one]
    #[arg(long, value_name = "PATH")]
    log: Vec<PathBuf>,
    /// Where profiles live: file:DIR, redis://… or redis (the address in REDIS_URL); may be given several times [default: the
    /// store that ADPROF_STORE, adprof.toml or ./adprof-store names]
    #[arg(long, value_name = "WHERE")]
    store: Vec<String>,
    /// The directory of the state behind a Redis store
    #[arg(long, value_name = "DIR", default_value = "adprof-state")]
    state: PathBuf,
    /// Dead letters that do not lie with the log or the state: a file, or a directory of them
    #[arg(long, value_name = "PATH")]
    dead: Vec<PathBuf>,
    /// What `batch --rollups` keeps
    #[arg(long, value_name = "DIR")]
    rollups: Vec<PathBuf>,
    /// What the nightly run keeps: its OUT, or a file of patches
    #[arg(long, value_name = "OUT")]
    nights: Vec<PathBuf>,
    /// How long a stream that owns a state has to drop the users
    #[arg(long, value_name = "SPAN", value_parser = given::span, default_value = "60s")]
    wait: Millis,
    /// Say what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
}

/// What is to be done, and what went wrong so far.
struct Work {
    people: People,
    definitions: Definitions,
    dry: bool,
    wait: Duration,
    failed: Vec<anyhow::Error>,
}

pub fn run(args: Args) -> Result<()> {
    let ids = args.ids()?;
    let definitions = args.definitions.load()?;
    let logs = args.logs()?;
    let (states, redis) = args.stores(&definitions)?;
    let until = given::now() + FUTURE_MS;
    let list = known(logs.iter().chain(&states))?;
    let salt = match list.salt() {
        Some(salt) => salt,
        None => forgotten::new_salt().map_err(|e| report::io(Path::new("/dev/urandom"), &e))?,
    };
    let mut people = People { ids, list };
    people.list.add(people.ids.iter().map(String::as_str), until, salt);
    let wait = Duration::from_millis(args.wait.unsigned_abs());
    let mut work = Work { people, definitions, dry: args.dry_run, wait, failed: Vec::new() };
    // All lists before anything is cleaned: what is gone must not come back from the next place.
    if !work.dry {
        for place in logs.iter().chain(&states) {
            work.remember(place)?;
        }
    }
    logs.iter().for_each(|log| work.log(log));
    args.dead.iter().for_each(|path| work.dead(path));
    args.rollups.iter().for_each(|dir| work.rollups(dir));
    args.nights.iter().for_each(|place| work.nights(place));
    states.iter().for_each(|dir| work.state(dir));
    redis.into_iter().for_each(|redis| work.redis(redis));
    work.finish(until)
}

/// Everybody whom the lists in these places name.
fn known<'p>(places: impl Iterator<Item = &'p PathBuf>) -> Result<Forgotten> {
    let mut all = Forgotten::default();
    for place in places {
        let path = forgotten::beside(place);
        all.merge(&Forgotten::load(&path).map_err(|e| Failure::new(report::exit_of(&e), e.to_string()))?);
    }
    Ok(all)
}

impl Args {
    fn ids(&self) -> Result<Vec<String>> {
        let mut ids = BTreeSet::new();
        for user in &self.users {
            if user == "-" {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(|e| report::io(Path::new("stdin"), &e))?;
                ids.extend(text.lines().map(|line| line.trim_end_matches('\r').to_owned()));
            } else {
                ids.insert(user.clone());
            }
        }
        ids.remove("");
        if let Some(long) = ids.iter().find(|id| id.len() > USER_ID_MAX) {
            let message = format!("no user: an id of {} bytes, and {USER_ID_MAX} is the longest", long.len());
            return Err(Failure::new(Exit::Usage, message).into());
        }
        if ids.is_empty() {
            return Err(Failure::new(Exit::Usage, "no user was named").hint("give ids, or - and one a line").into());
        }
        Ok(ids.into_iter().collect())
    }

    fn logs(&self) -> Result<Vec<PathBuf>> {
        if self.log.is_empty() {
            let usual = PathBuf::from("ad-events.log");
            return Ok(if usual.exists() { vec![usual] } else { Vec::new() });
        }
        for path in &self.log {
            std::fs::metadata(path).map_err(|e| report::io(path, &e))?;
        }
        Ok(self.log.clone())
    }

    /// The states and embedded stores, and the servers.
    fn stores(&self, definitions: &Definitions) -> Result<(Vec<PathBuf>, Vec<Redis>)> {
        let named = given::StoreArgs { store: None, redis: self.redis.clone() };
        let mut places = self.store.iter().map(|text| self.redis.locate(text)).collect::<Result<Vec<Location>>>()?;
        if self.store.is_empty() {
            places.extend(named.named(Some(definitions))?);
        }
        let (mut states, mut redis) = (Vec::new(), Vec::new());
        for place in places {
            match place {
                Location::Embedded(dir) => {
                    Embedded::open_existing(&dir).map_err(given::of_store)?;
                    states.push(dir);
                }
                Location::Redis(url) => {
                    if Embedded::exists(&self.state) && !states.contains(&self.state) {
                        states.push(self.state.clone());
                    }
                    let server = Redis::connect(&url, PATIENCE).map_err(given::of_store)?;
                    redis.push(server.with_names(definitions.prefixes()));
                }
            }
        }
        Ok((states, redis))
    }
}

impl Work {
    fn finish(self, until: Millis) -> Result<()> {
        let users = grouped(self.people.ids.len() as u64);
        let tags = self.definitions.naming_users();
        if !tags.is_empty() {
            report::warn(format_args!(
                "these tags of shared keys may have an id among their values: {}: `adprof rebuild` makes them anew",
                tags.join(", ")
            ));
        }
        let mut failed = self.failed.into_iter();
        if let Some(first) = failed.next() {
            failed.for_each(|e| report::warn(report::plain(&e.to_string())));
            return Err(first);
        }
        if self.dry {
            report::say(format_args!("a dry run: {users} users, nothing was changed"));
            return Ok(());
        }
        report::say(format_args!("forgotten: {users} users, their events up to {}", show(until)));
        report::say(
            "kafka keeps its messages until their retention is over: streams leave them out by the list in their state",
        );
        Ok(())
    }

    fn user_keys(&self) -> Vec<Key> {
        self.people.ids.iter().map(|id| Key::user("", id)).collect()
    }
}
