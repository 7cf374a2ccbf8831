//! What was given: flags that several commands share, resolved to what they mean.

use crate::redis::{self, RedisArgs};
use crate::report::{self, Exit, Failure};
use adprof::store::{self, Choice, Embedded, Location, Origin, choose};
use adprof::tag::{Definitions, Update};
use adprof::time::{Millis, parse_instant, parse_span};
use anyhow::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the definition file lies when nobody says.
pub const DEFINITIONS: &str = "adprof.toml";
/// The embedded store of a directory.
pub const STORE_HERE: &str = "adprof-store";

/// The wall clock: the one place where the program reads it.
pub fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

#[derive(clap::Args, Clone)]
pub struct DefinitionArgs {
    /// The definition file [default: ./adprof.toml if there, else the built-in five tags]
    #[arg(short, long, value_name = "FILE", env = "ADPROF_DEFINITIONS")]
    pub definitions: Option<PathBuf>,
}

impl DefinitionArgs {
    /// The definitions that are meant. All problems of the file are told.
    pub fn load(&self) -> Result<Definitions> {
        Ok(self.find()?.unwrap_or_else(Definitions::built_in))
    }

    /// The definitions of the file that was named or lies here; `None` without one.
    pub fn find(&self) -> Result<Option<Definitions>> {
        match &self.definitions {
            Some(path) => read_definitions(path).map(Some),
            None if Path::new(DEFINITIONS).exists() => read_definitions(Path::new(DEFINITIONS)).map(Some),
            None => Ok(None),
        }
    }
}

fn read_definitions(path: &Path) -> Result<Definitions> {
    let bytes = std::fs::read(path).map_err(|e| report::io(path, &e))?;
    let text = String::from_utf8(bytes).map_err(|e| not_utf8(path, &e.as_bytes()[..e.utf8_error().valid_up_to()]))?;
    Definitions::parse(&text, &path.display().to_string()).map_err(|problems| {
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(Exit::Definitions, text.join("\n")).into()
    })
}

/// The error of a definition file that is not UTF-8 behind `before`.
fn not_utf8(path: &Path, before: &[u8]) -> Failure {
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    let message = format!("{}:{line}:{column}: not UTF-8", path.display());
    Failure::new(Exit::Definitions, message).hint("save the file as UTF-8 in your editor")
}

/// The tags that `--tags` names: `all`, or codes; without it those of one update.
pub fn tags(definitions: &Definitions, asked: &[String], usual: Update) -> Result<Vec<usize>> {
    match asked {
        [] => Ok(definitions.by_update(usual)),
        [all] if all == "all" => {
            Ok((0..definitions.tags.len()).filter(|t| definitions.tags[*t].update != Update::Import).collect())
        }
        codes => {
            let codes: Vec<String> = codes.iter().map(|code| code.trim().to_string()).collect();
            select(definitions, "--tags", &codes)
        }
    }
}

/// The tag that a flag names.
pub fn tag(definitions: &Definitions, flag: &str, code: &str) -> Result<usize> {
    Ok(select(definitions, flag, &[code])?[0])
}

fn select<S: AsRef<str>>(definitions: &Definitions, flag: &str, codes: &[S]) -> Result<Vec<usize>> {
    definitions.select(codes).map_err(|unknown| {
        let failure = Failure::new(Exit::Usage, format!("{flag}: {unknown}"));
        failure.hint(unknown.hint().unwrap_or_else(|| all_tags(definitions))).into()
    })
}

/// Names the tags there are, as far as a line holds them.
pub fn all_tags(definitions: &Definitions) -> String {
    const SHOWN: usize = 10;
    let codes: Vec<&str> =
        definitions.tags.iter().filter(|tag| !tag.is_hidden()).take(SHOWN).map(|tag| &*tag.code).collect();
    let more = if definitions.tags.len() > SHOWN { ", …" } else { "" };
    format!("the tags are {}{more}", codes.join(", "))
}

#[derive(clap::Args, Clone)]
pub struct StoreArgs {
    /// Where profiles live: file:DIR or redis://… [default: ADPROF_STORE, adprof.toml, ./adprof-store, REDIS_URL, redis://127.0.0.1:6379]
    #[arg(long, value_name = "WHERE")]
    pub store: Option<String>,
    #[command(flatten)]
    pub redis: RedisArgs,
}

impl StoreArgs {
    /// The store that is meant.
    pub fn choose(&self, definitions: Option<&Definitions>) -> Result<Location> {
        self.decide(definitions).map(|(location, _)| location)
    }

    /// The store that is meant; `None` where nothing names one.
    pub fn named(&self, definitions: Option<&Definitions>) -> Result<Option<Location>> {
        let (location, origin) = self.decide(definitions)?;
        Ok((origin != Origin::Default).then_some(location))
    }

    fn decide(&self, definitions: Option<&Definitions>) -> Result<(Location, Origin)> {
        let environment = std::env::var("ADPROF_STORE").ok();
        let redis_url = std::env::var("REDIS_URL").ok();
        let (location, origin) = choose(Choice {
            flag: self.store.as_deref(),
            environment: environment.as_deref(),
            definitions: definitions.and_then(|d| d.store.as_deref()),
            here: Embedded::exists(Path::new(STORE_HERE)),
            redis_url: redis_url.as_deref(),
        })
        .map_err(of_store)?;
        if let (Some(_), Location::Redis(url)) = (&self.store, &location) {
            redis::without_password(url)?;
        }
        report::detail(format_args!("store: {location} ({origin})"));
        Ok((self.redis.reach(location)?, origin))
    }
}

/// The Redis of `REDIS_URL`, or the one on this machine.
pub fn redis_of_environment() -> Result<Location, store::Error> {
    let redis_url = std::env::var("REDIS_URL").ok();
    choose(Choice { redis_url: redis_url.as_deref(), ..Choice::default() }).map(|(location, _)| location)
}

/// A store's error with its exit code.
pub fn of_store(error: store::Error) -> Failure {
    let exit = match error.kind {
        store::Kind::Usage => Exit::Usage,
        store::Kind::NoInput => Exit::NoInput,
        store::Kind::Unavailable => Exit::Unavailable,
        store::Kind::Io | store::Kind::Format | store::Kind::Corrupt => Exit::Io,
        store::Kind::Busy => Exit::TryAgain,
        store::Kind::Denied => Exit::NotAllowed,
    };
    with_hint(Failure::new(exit, report::plain(&error.message)), error.hint)
}

/// Kafka's error with its exit code.
pub fn of_bus(error: adprof::bus::BusError) -> Failure {
    use adprof::bus::Class;
    let exit = match error.class() {
        Class::Usage => Exit::Usage,
        Class::NoInput | Class::DataGone => Exit::NoInput,
        Class::Unavailable => Exit::Unavailable,
        Class::Internal => Exit::Bug,
        Class::Io => Exit::Io,
        Class::NotAllowed => Exit::NotAllowed,
    };
    with_hint(Failure::new(exit, of_kafka(&error.to_string())), error.hint())
}

/// librdkafka's words without its bookkeeping: `(after 0ms in state CONNECT, 1 identical error(s) suppressed)`.
pub fn of_kafka(words: &str) -> String {
    let Some((before, after)) = words.split_once(" (after ") else { return words.to_string() };
    let mut depth = 1usize;
    let end = after.find(|c| {
        depth = match c {
            '(' => depth + 1,
            ')' => depth - 1,
            _ => depth,
        };
        depth == 0
    });
    match end {
        Some(end) => format!("{before}{}", of_kafka(&after[end + 1..])),
        None => words.to_string(),
    }
}

/// The log's error with its exit code.
pub fn of_log(error: adprof::log::Error) -> Failure {
    use adprof::log::Error;
    let exit = match &error {
        Error::Locked { .. } => Exit::TryAgain,
        Error::Io { source, .. } => report::exit_of(source),
        Error::BadName { .. } => Exit::Usage,
        Error::NotALog { .. } | Error::Escape { .. } => Exit::NoInput,
        Error::NotYet { .. } | Error::NotShipped { .. } => Exit::TryAgain,
        Error::Poisoned { .. } | Error::Shrunk { .. } | Error::Damaged { .. } => Exit::Io,
        Error::Newline | Error::NoDay { .. } => Exit::Bug,
    };
    let hint = match &error {
        Error::Locked { .. } => "stop it; or give each writer a name in a log directory: --log DIR/ --writer NAME",
        Error::Io { doing: "open", source, .. } if source.kind() == ErrorKind::NotFound => {
            "`adprof collect` writes a log; --log names another"
        }
        Error::NotShipped { .. } => "adprof collect --ship; of a topic that is no longer fed, remove the position file",
        _ => return Failure::new(exit, report::plain(&error.to_string())),
    };
    Failure::new(exit, report::plain(&error.to_string())).hint(hint)
}

fn with_hint(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Reads the name of a time zone.
pub fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        let failure = Failure::new(Exit::Usage, format!("unknown time zone: {name}"));
        failure.hint("write a name such as UTC or Europe/Berlin").into()
    })
}

/// Reads an instant as `--as-of`, `--since` and `--until` take it.
pub fn instant(text: &str, zone: &TimeZone) -> Result<Millis> {
    parse_instant(text, now(), zone).map_err(|why| match why.split_once(" (write ") {
        Some((what, how)) => {
            Failure::new(Exit::Usage, what).hint(format!("write {}", how.trim_end_matches(')'))).into()
        }
        None => Failure::new(Exit::Usage, why).into(),
    })
}

/// Reads a span such as `5s` as milliseconds, for clap.
pub fn span(text: &str) -> Result<Millis, String> {
    parse_span(text)
}

/// Reads a size such as `512M` as bytes, for clap.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1u64 << 40,
        _ => return Err("write a size such as 512M or 2G".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "write a size such as 512M or 2G".to_string())?;
    number.checked_mul(unit).ok_or_else(|| "too large".into())
}

/// How much bad input is too much: a number of lines, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxErrors {
    Lines(u64),
    Percent(f64),
}

impl MaxErrors {
    /// For clap: `100` or `0.5%`.
    pub fn parse(text: &str) -> Result<MaxErrors, String> {
        let wrong = || "write a number of lines (100) or a share of them (0.5%)".to_string();
        match text.strip_suffix('%') {
            Some(share) => {
                share.parse().ok().filter(|p| (0.0..=100.0).contains(p)).map(MaxErrors::Percent).ok_or_else(wrong)
            }
            None => text.parse().map(MaxErrors::Lines).map_err(|_| wrong()),
        }
    }
}

/// The error of too much bad input; none by default unless every line was bad.
pub fn check_errors(limit: Option<MaxErrors>, refused: u64, lines: u64) -> Result<()> {
    let too_many = match limit {
        None => refused > 0 && refused == lines,
        Some(MaxErrors::Lines(n)) => refused > n,
        Some(MaxErrors::Percent(p)) => refused as f64 * 100.0 > p * lines as f64,
    };
    if !too_many {
        return Ok(());
    }
    let message = match limit {
        None => format!("every line was bad: {lines}"),
        Some(_) => format!("too much bad input: {refused} of {lines} lines"),
    };
    Err(Failure::new(Exit::BadInput, message).hint("the dead letters name each line, its code and its reason").into())
}

/// `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `512 B`, `4.1 MiB`: a size for people.
pub fn bytes(n: u64) -> String {
    let mut size = n as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{n} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// `412 k`, `3.1 M`: a rate a second for people.
pub fn rate(n: u64, seconds: f64) -> String {
    let per = n as f64 / seconds.max(1e-9);
    match per {
        ..1e3 => format!("{per:.0}"),
        ..1e6 => format!("{:.0} k", per / 1e3),
        _ => format!("{:.1} M", per / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_shares_and_numbers_read_and_print() {
        assert_eq!((size("512M"), size("2GiB"), size("7")), (Ok(512 << 20), Ok(2 << 30), Ok(7)));
        assert!(size("x").is_err() && size("5Q").is_err() && size("99999999999T").is_err());
        assert_eq!(MaxErrors::parse("0.5%"), Ok(MaxErrors::Percent(0.5)));
        assert!(MaxErrors::parse("101%").is_err() && MaxErrors::parse("-1").is_err());
        assert_eq!((grouped(1_234_567), grouped(12)), ("1,234,567".to_string(), "12".to_string()));
        assert_eq!((rate(3_100_000, 1.0), rate(412_000, 1.0)), ("3.1 M".to_string(), "412 k".to_string()));
    }

    #[test]
    fn the_words_of_librdkafka_lose_their_bookkeeping() {
        let words = "b: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT, 1 identical error(s) suppressed); x";
        assert_eq!(of_kafka(words), "b: Connect to ipv4#127.0.0.1:1 failed: Connection refused; x");
        assert_eq!(of_kafka("a (after"), "a (after");
        assert_eq!(of_kafka("a (after (b"), "a (after (b");
    }

    #[test]
    fn bad_input_is_too_much_when_all_of_it_is_bad_or_as_told() {
        assert!(
            check_errors(None, 0, 0).is_ok() && check_errors(None, 2, 3).is_ok() && check_errors(None, 3, 3).is_err()
        );
        assert!(
            check_errors(Some(MaxErrors::Lines(2)), 2, 9).is_ok()
                && check_errors(Some(MaxErrors::Lines(2)), 3, 9).is_err()
        );
        assert!(check_errors(Some(MaxErrors::Percent(10.0)), 1, 10).is_ok());
        assert!(check_errors(Some(MaxErrors::Percent(10.0)), 2, 10).is_err());
    }
}
