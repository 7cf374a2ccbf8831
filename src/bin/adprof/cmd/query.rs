//! `adprof query`: the profiles of users, or of keys of another entity.
//!
//! Each profile is answered as of the moment its batch was asked, in the order of the ids.

mod origin;

use crate::ask::{AskArgs, Chosen, Of, TagArgs, usage};
use crate::{given, report};
use adprof::key::Key;
use adprof::ndjson::shown;
use adprof::profiles::{Profile, Profiles};
use adprof::tag::Definitions;
use adprof::time;
use adprof::value::Value;
use anyhow::Result;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};

/// Ids answered together, from one state of the store.
const BATCH: usize = 1000;

/// Show the profiles of users
///
/// Windowed values are computed for the instant asked about, even when no stream runs. A user without a
/// profile is no error: the table says so, and in NDJSON `tags` is empty.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof query u-001
  adprof query --tags clicks_1h_count,ltv_total u-001 u-002
  adprof query --as-of 2026-11-20T10:00:00Z u-001
  adprof query --store redis://127.0.0.1:6379 u-001 | jq .tags
  cut -f1 users.tsv | adprof query -
  adprof query --entity item i-9                       keys of another entity")]
pub struct Args {
    /// Ids of users, or `-`: one a line on standard input, answered as they come
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    ask: AskArgs,
    #[command(flatten)]
    tags: TagArgs,
    /// Say how far the base of the live state goes, from which day on it counted itself, and which tags are not whole yet
    #[arg(long)]
    origin: bool,
    /// How to show a profile [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Ndjson,
}

pub fn run(args: Args) -> Result<()> {
    let from_stdin = args.ids == ["-"];
    let read = |of: &Of| match from_stdin {
        true => Ok(Vec::new()),
        false => args.ids.iter().enumerate().map(|(i, id)| key(of, i, id)).collect::<Result<Vec<Key>>>(),
    };
    // Ids of users are looked at first: a wrong one needs no store to be wrong.
    let early = if args.ask.names_entity() { None } else { Some(read(&Of::users())?) };
    let profiles = args.ask.open()?;
    let of = args.ask.of(profiles.definitions())?;
    let keys = early.map_or_else(|| read(&of), Ok)?;
    let chosen = args.tags.choose(profiles.definitions(), &of)?;
    let usual = if io::stdout().is_terminal() { Format::Table } else { Format::Ndjson };
    let origin = origin::Told::of(&profiles, &of, chosen.tags.as_deref());
    if args.origin || report::is_verbose() || io::stderr().is_terminal() {
        origin.note();
    }
    let origin = args.origin.then_some(origin);
    let mut answers = Answers { profiles, of, chosen, format: args.format.unwrap_or(usual), origin, told: 0 };
    match from_stdin {
        true => answers.stream(io::stdin().lock()),
        false => keys.chunks(BATCH).try_for_each(|batch| answers.answer(batch)),
    }
}

fn key(of: &Of, place: usize, id: &str) -> Result<Key> {
    if id == "-" {
        return Err(usage("`-` stands alone: ids come as arguments or from standard input").into());
    }
    of.key(id).map_err(|why| usage(format!("argument {}: not an id: {why}", place + 1)).into())
}

/// Answers batch after batch.
struct Answers {
    profiles: Profiles,
    of: Of,
    chosen: Chosen,
    format: Format,
    /// Where it is asked for.
    origin: Option<origin::Told>,
    told: u64,
}

impl Answers {
    /// Answers each line. A batch ends where no whole line is waiting, so that who asks slowly is answered at once.
    fn stream(&mut self, input: impl Read) -> Result<()> {
        let mut ids =
            Ids { input: BufReader::with_capacity(1 << 16, input), of: self.of.clone(), line: 0, bytes: Vec::new() };
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let next = ids.next();
            // What came before a bad line is answered before the error is told.
            let ends = !matches!(next, Ok(Some(_)));
            if let Ok(Some(Some(key))) = &next {
                batch.push(key.clone());
            }
            if ends || batch.len() == BATCH || !ids.has_line() {
                self.profiles.move_to(given::now());
                self.answer(&batch)?;
                batch.clear();
            }
            match next {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn answer(&mut self, keys: &[Key]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let found = self.profiles.get_many(keys).map_err(given::of_store)?;
        let definitions = self.profiles.definitions().clone();
        let keep = |code: &str| self.chosen.keeps(&definitions, code);
        let mut out = Vec::new();
        match self.format {
            Format::Ndjson => {
                for profile in &found {
                    profile.push_line(&definitions, keep, &mut out);
                    if let Some(origin) = &self.origin {
                        origin.push(&mut out);
                    }
                }
            }
            Format::Table => {
                let age = self.profiles.age(given::now()).map_err(given::of_store)?;
                for profile in &found {
                    if self.told > 0 {
                        out.push(b'\n');
                    }
                    self.told += 1;
                    out.extend_from_slice(table(profile, &definitions, keep, age).as_bytes());
                }
            }
        }
        report::data(&out)
    }
}

/// Ids, one a line. CRLF, empty lines and a byte order mark at the very start are tolerated.
struct Ids<R> {
    input: BufReader<R>,
    of: Of,
    line: u64,
    bytes: Vec<u8>,
}

impl<R: Read> Ids<R> {
    /// The key of the next line, `Some(None)` for an empty line, `None` at the end.
    fn next(&mut self) -> Result<Option<Option<Key>>> {
        self.bytes.clear();
        // Room for the longest id with its line end and a mark: a line that fills it is too long.
        let longest = self.of.longest();
        let room = longest as u64 + 8;
        if (&mut self.input).take(room).read_until(b'\n', &mut self.bytes)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let mut id = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        id = id.strip_suffix(b"\r").unwrap_or(id);
        if self.line == 1 {
            id = id.strip_prefix(b"\xef\xbb\xbf").unwrap_or(id);
        }
        if id.is_empty() {
            return Ok(Some(None));
        }
        let wrong = |why: String| usage(format!("standard input:{}: not an id: {why}", self.line));
        if id.len() > longest {
            return Err(wrong(format!("it is longer than {longest} bytes")).into());
        }
        let id = std::str::from_utf8(id).map_err(|_| wrong("it is not UTF-8".into()))?;
        self.of.key_of_line(id).map(|key| Some(Some(key))).map_err(|why| wrong(why).into())
    }

    fn has_line(&self) -> bool {
        memchr::memchr(b'\n', self.input.buffer()).is_some()
    }
}

/// One profile for people: a head, then a line for each tag.
fn table(profile: &Profile, definitions: &Definitions, keep: impl Fn(&str) -> bool, age: Option<i64>) -> String {
    let mut out = report::strong(&profile.key.to_string());
    if profile.is_empty() {
        out.push_str("  no profile\n");
        return out;
    }
    let _ = write!(out, "  as of {}", time::show(profile.as_of));
    if let Some(age) = age {
        let _ = write!(out, ", live values as of its last checkpoint, {}", ago(age));
    }
    out.push('\n');
    let rows: Vec<(String, String)> = profile
        .tags(definitions)
        .filter(|(code, _)| keep(code))
        .map(|(code, value)| (shown(code).into_owned(), readable(value)))
        .collect();
    if rows.is_empty() {
        out.push_str("  none of these tags\n");
    }
    let width = rows.iter().map(|(code, _)| code.chars().count()).max().unwrap_or(0);
    for (code, value) in rows {
        let _ = writeln!(out, "  {code:width$}  {value}");
    }
    out
}

/// `0.8 s ago`, `3 min ago`: how old something is.
pub(super) fn ago(age: i64) -> String {
    match age.max(0) {
        age if age < time::MINUTE => format!("{}.{} s ago", age / 1000, age % 1000 / 100),
        age if age < time::HOUR => format!("{} min ago", age / time::MINUTE),
        age if age < 2 * time::DAY => format!("{} h ago", age / time::HOUR),
        age => format!("{} days ago", age / time::DAY),
    }
}

/// A value for people: an instant in both forms, and nothing that a terminal would act on.
pub(super) fn readable(value: &Value) -> String {
    match value {
        Value::Time(t) => format!("{}  {t}", time::show(*t)),
        other => shown(&other.to_string()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adprof::limits::USER_ID_MAX;

    #[test]
    fn an_age_is_told_in_the_unit_people_think_in() {
        for (age, want) in [
            (-5, "0.0 s ago"),
            (850, "0.8 s ago"),
            (59_999, "59.9 s ago"),
            (3 * time::MINUTE, "3 min ago"),
            (5 * time::HOUR, "5 h ago"),
            (50 * time::HOUR, "2 days ago"),
        ] {
            assert_eq!(ago(age), want);
        }
    }

    #[test]
    fn lines_are_ids_byte_for_byte() {
        let input = "\u{feff}u-001\r\n\n a b \nemoji 🎈".as_bytes();
        let mut ids = Ids { input: BufReader::new(input), of: Of::users(), line: 0, bytes: Vec::new() };
        let mut read = Vec::new();
        while let Some(line) = ids.next().expect("ids") {
            read.extend(line.map(|key| key.id().to_string()));
        }
        assert_eq!(read, ["u-001", " a b ", "emoji 🎈"]);
    }

    #[test]
    fn what_cannot_be_an_id_is_named_by_its_line() {
        let long = "x".repeat(USER_ID_MAX + 1);
        let endless = "y".repeat(1 << 20);
        for (input, why) in [
            (b"u\na\tb\n".as_slice(), "standard input:2: not an id: it holds a control character: a\\u0009b"),
            (b"\xff\n", "standard input:1: not an id: it is not UTF-8"),
            (long.as_bytes(), "standard input:1: not an id: it is longer than 256 bytes"),
            (endless.as_bytes(), "standard input:1: not an id: it is longer than 256 bytes"),
        ] {
            let mut ids = Ids { input: BufReader::new(input), of: Of::users(), line: 0, bytes: Vec::new() };
            let error = (0..3).find_map(|_| ids.next().err()).expect("refused");
            assert_eq!(error.to_string(), why);
        }
    }
}
