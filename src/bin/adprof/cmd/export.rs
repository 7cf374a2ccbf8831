//! `adprof export`: profiles, or an audience, in files.
//!
//! What is named with `-o` is replaced when the new one is whole and on the disk, not before.

mod audience;
mod files;
mod kafka;
mod redis;

use crate::ask::{AskArgs, Of, TagArgs, usage};
use crate::given::{self, grouped, rate};
use crate::kafka::KafkaArgs;
use crate::report;
use crate::whole;
use adprof::export::{Cells, Columns, Form, Format, Layout, Packing, SEGMENTS, Told};
use adprof::limits::PARTS_MAX;
use adprof::ndjson::shown;
use adprof::tag::Definitions;
use adprof::time::{self, Millis};
use anyhow::Result;
use audience::{Audience, WhoArgs, told};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Write profiles, or an audience, as CSV, NDJSON, Parquet or OpenRTB
///
/// CSV has the column userId, or one named as the entity, and one for each of its tags; a missing value is an empty cell, a datetime
/// is in milliseconds. Cells that a spreadsheet would run as a formula (= + - @ TAB CR LF in front) get a ' in front,
/// ids too; plain numbers stay. NDJSON has the profiles as `query` shows them. Parquet has columns of the tags' own types.
/// OpenRTB has the user object of version 2.6 with the segments that each is in.
///
/// A file or a directory is there as a whole, the old one or the new one, whatever happens. A directory has a _manifest.json:
/// its files with rows, bytes and SHA-256, the rule's version and the instant.
#[derive(clap::Args)]
#[command(after_help = r#"Examples:
  adprof export -o profiles.csv
  adprof export --where "ltv_total >= 100" --tags ltv_total,segment_id -o buyers.csv
  adprof export --format ndjson --compress zstd > profiles.ndjson.zst
  adprof export --segment sports_fans -o fans.parquet --manifest
  adprof export --segment sports_fans --segment buyers --partitions 8 -o audience/
  adprof export --format parquet --partition-by segment_id -o by-segment/
  adprof export --segment sports_fans --tags ltv_total --hash sha256 -o upload.csv.gz
  adprof export --format openrtb --provider example.com -o segments.ndjson
  adprof export --segment sports_fans --to redis --set audience:sports_fans --expire 7d
  adprof export --segment sports_fans --to kafka -b localhost:9092 -t audience
  adprof export --rule @rule.json --as-of 2026-11-20T10:00:00Z -o audience.csv"#)]
pub struct Args {
    #[command(flatten)]
    who: WhoArgs,
    #[command(flatten)]
    tags: TagArgs,
    #[command(flatten)]
    ask: AskArgs,
    /// csv, ndjson, parquet or openrtb [default: what the name of the file says, else csv]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true,
        value_parser = one_of(Format::ALL.map(Format::name), Format::from_name))]
    format: Option<Format>,
    /// none, gzip or zstd [default: what the name of the file says; Parquet has zstd in itself]
    #[arg(long, value_name = "HOW", hide_possible_values = true,
        value_parser = one_of(Packing::ALL.map(Packing::name), Packing::from_name))]
    compress: Option<Packing>,
    /// Where to write; what is there is replaced at the end, at once. With / at its end: a directory. Without it, or with `-`: standard output
    #[arg(short, long, value_name = "FILE|DIR/")]
    output: Option<PathBuf>,
    /// Divide it by the key into so many files of a directory: a user is in the same one each time
    #[arg(long, value_name = "N", requires = "output", conflicts_with = "partition_by",
        value_parser = clap::value_parser!(u32).range(1..=PARTS_MAX as i64))]
    partitions: Option<u32>,
    /// Divide it by the values of this tag: DIR/TAG=VALUE/part-00000.csv
    #[arg(long, value_name = "TAG", requires = "output")]
    partition_by: Option<String>,
    /// Write rows, bytes, SHA-256, the rule's version and the instant beside the file [default: OUTPUT.manifest.json]
    #[arg(long, value_name = "FILE", num_args = 0..=1, requires = "output")]
    // The inner one: whether a name was given.
    #[allow(clippy::option_option)]
    manifest: Option<Option<PathBuf>>,
    /// Who tells segments in OpenRTB: the id and the name of `data`
    #[arg(long, value_name = "NAME", default_value = "adprof")]
    provider: String,
    /// Leave CSV cells that look like formulas as they are
    #[arg(long)]
    raw: bool,
    /// Write ids into a SET of Redis (redis: the one of REDIS_URL), or a message for each into Kafka (kafka)
    #[arg(long, value_name = "redis|redis://…|kafka", conflicts_with = "output", help_heading = "Other targets")]
    to: Option<String>,
    /// The name of the SET; it is replaced at the end, at once, and without ids it goes
    #[arg(long, value_name = "KEY", requires = "to", help_heading = "Other targets")]
    set: Option<String>,
    /// When the SET goes away [default: never]
    #[arg(long, value_name = "SPAN", requires = "set", value_parser = given::span, help_heading = "Other targets")]
    expire: Option<Millis>,
    #[command(flatten)]
    kafka: KafkaArgs,
    /// How long to wait for a Kafka that takes nothing
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = given::span, requires = "topic", help_heading = "Kafka")]
    ship_timeout: Millis,
}

/// Reads one of some names, for clap.
fn one_of<const N: usize, T: Clone + Send + Sync + 'static>(
    names: [&'static str; N],
    from_name: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names).map(move |name| from_name(&name).expect("one of the names"))
}

/// Profiles that were written, and that there are.
type Count = (u64, u64);

/// What is to be written.
struct Job {
    audience: Audience,
    form: Arc<Form>,
    told: Told,
    began: Millis,
}

/// Where it goes.
enum To {
    Stdout,
    File { path: PathBuf, manifest: Option<PathBuf> },
    Directory(PathBuf),
    Set(redis::Target),
    Topic(kafka::Target),
}

pub fn run(args: Args) -> Result<()> {
    let (started, began) = (Instant::now(), given::now());
    let to = args.to()?;
    let (format, packing) = args.form_of(&to)?;
    let mut profiles = args.ask.open()?;
    let definitions = profiles.definitions().clone();
    let audience = args.who.read(&args.ask, &definitions, format == Format::OpenRtb)?;
    let layout = args.layout(&definitions, &audience.of)?;
    let form = args.form(&definitions, &audience, (format, packing), layout, &to)?;
    let rules = audience.asked(&definitions);
    let rules_told = told(&rules);
    let told = Told::new(&form, &audience.ids, &audience.of.name, profiles.as_of(), rules);
    let told = told.divided(&definitions, layout);
    let form = Arc::new(Form { provenance: told.provenance(), ..form });
    let as_of = profiles.as_of();
    let job = Job { audience, form, told, began };
    let (rows, all) = match &to {
        To::Stdout => files::to_stdout(job, &mut profiles)?,
        To::File { path, manifest } => files::to_file(job, &mut profiles, path, manifest.as_deref())?,
        To::Directory(path) => files::to_directory(job, &mut profiles, path, layout.unwrap_or(Layout::Keys(1)))?,
        To::Set(target) => redis::to_set(job, &mut profiles, target)?,
        To::Topic(target) => kafka::to_topic(job, &mut profiles, target)?,
    };
    let seconds = started.elapsed().as_secs_f64();
    let of = if rows == all { String::new() } else { format!(" of {}", grouped(all)) };
    report::say(format_args!(
        "exported {}{of} profiles{} in {seconds:.1} s, {} profiles/s; {rules_told}as of {}",
        grouped(rows),
        to.told(),
        rate(all, seconds),
        time::show(as_of)
    ));
    Ok(())
}

impl To {
    fn told(&self) -> String {
        match self {
            To::Stdout => String::new(),
            To::File { path, .. } | To::Directory(path) => format!(" into {}", shown(&path.display().to_string())),
            To::Set(target) => format!(" into the set {} of {}", shown(&target.name), target.at),
            To::Topic(target) => format!(" into topic {}", target.settings.topic()),
        }
    }
}

impl Args {
    fn to(&self) -> Result<To> {
        let is_divided = self.partitions.is_some() || self.partition_by.is_some();
        let is_of_files = is_divided || self.manifest.is_some();
        let topic = self.kafka.settings()?;
        match (self.to.as_deref(), topic) {
            (Some(_), _) if is_of_files => {
                let failure = usage("--partitions, --partition-by and --manifest are of files");
                return Err(failure.hint("-o names a file or a directory").into());
            }
            (Some("kafka"), Some(settings)) => {
                self.no_set()?;
                let patience = Duration::from_millis(self.ship_timeout.unsigned_abs());
                return Ok(To::Topic(kafka::Target { settings, patience }));
            }
            (Some("kafka"), None) => return Err(usage("no topic named").hint("-t TOPIC, and -b HOST:PORT").into()),
            (_, Some(_)) => return Err(usage("a topic is for Kafka").hint("--to kafka").into()),
            (Some(to), None) => return self.to_set(to),
            (None, None) => {}
        }
        let Some(path) = self.output.clone().filter(|path| path != Path::new("-")) else {
            return match is_of_files {
                true => Err(usage("standard output is one stream").hint("-o names a file or a directory").into()),
                false => Ok(To::Stdout),
            };
        };
        if is_divided || path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return match &self.manifest {
                Some(_) => Err(usage("a directory has its manifest in itself").hint("leave --manifest out").into()),
                None => Ok(To::Directory(path)),
            };
        }
        let place = self.manifest.as_ref().map(|given| whole::manifest_of(&path, given.as_deref())).transpose()?;
        Ok(To::File { path, manifest: place })
    }

    fn to_set(&self, to: &str) -> Result<To> {
        let Some(name) = self.set.clone().filter(|name| !name.is_empty()) else {
            return Err(usage("no name for the set").hint("--set KEY").into());
        };
        if self.format.is_some() || self.compress.is_some() {
            return Err(usage("a set has ids and no format").hint("leave --format and --compress out").into());
        }
        if self.expire.is_some_and(|span| span <= 0) {
            return Err(usage("--expire: a set cannot be gone at once").hint("write a span such as 7d").into());
        }
        Ok(To::Set(redis::Target { at: self.ask.redis().locate(to)?, name, expire: self.expire }))
    }

    fn no_set(&self) -> Result<()> {
        match (&self.set, self.compress) {
            (Some(_), _) => Err(usage("a set is for Redis").hint("--to redis --set KEY").into()),
            (None, Some(_)) => Err(usage("Kafka compresses by itself").hint("leave --compress out").into()),
            (None, None) => Ok(()),
        }
    }

    /// Format and packing, as they were named or as the file's name says.
    fn form_of(&self, to: &To) -> Result<(Format, Packing)> {
        let (format, packing) = match to {
            To::File { path, .. } => Format::of_file(path),
            To::Topic(_) => (Some(Format::Ndjson), None),
            To::Stdout | To::Directory(_) | To::Set(_) => (None, None),
        };
        let format = self.format.or(format).unwrap_or(Format::Csv);
        if matches!(to, To::Topic(_)) && matches!(format, Format::Csv | Format::Parquet) {
            return Err(usage("a message is a line of JSON").hint("--format ndjson, or openrtb").into());
        }
        let packing = self.compress.or(packing).unwrap_or(Packing::None);
        if format == Format::Parquet && packing != Packing::None {
            return Err(usage("Parquet is compressed in itself").hint("leave --compress out, and .gz or .zst").into());
        }
        let is_binary = format == Format::Parquet || packing != Packing::None;
        if is_binary && matches!(to, To::Stdout) && io::stdout().is_terminal() {
            return Err(usage("this is nothing for a terminal").hint("-o FILE names a file").into());
        }
        if format == Format::OpenRtb && self.who.names_rule() {
            return Err(usage("OpenRTB names segments, and a typed rule has no name")
                .hint("write it as a [[segment]] into the definition file, and --segment CODE")
                .into());
        }
        if format == Format::OpenRtb && self.tags.is_given() {
            return Err(usage("OpenRTB has segments and no tags").hint("leave --tags and --hidden out").into());
        }
        Ok((format, packing))
    }

    fn layout(&self, definitions: &Definitions, of: &Of) -> Result<Option<Layout>> {
        let Some(code) = &self.partition_by else { return Ok(self.partitions.map(Layout::Keys)) };
        let tag = given::tag(definitions, "--partition-by", code)?;
        crate::ask::of_entity(&[tag], definitions, of)?;
        if definitions.tags[tag].ty.is_nested() {
            return Err(usage(format!(
                "--partition-by: `{code}` is a {}: it has many values",
                definitions.tags[tag].ty
            ))
            .into());
        }
        Ok(Some(Layout::Tag(tag)))
    }

    fn form(
        &self,
        definitions: &Arc<Definitions>,
        audience: &Audience,
        (format, packing): (Format, Packing),
        layout: Option<Layout>,
        to: &To,
    ) -> Result<Form> {
        let Audience { of, .. } = audience;
        let chosen = self.tags.choose(definitions, of)?;
        let own = |tag: &usize| {
            // The name of its directory says the value already, as readers of such directories have it.
            let is_named = layout == Some(Layout::Tag(*tag));
            let definition = &definitions.tags[*tag];
            definition.entity == of.place && !is_named && chosen.keeps(definitions, &definition.code)
        };
        let form = Form {
            format,
            packing,
            definitions: definitions.clone(),
            key: if of.is_users() { "userId".into() } else { of.name.clone() },
            tags: Columns::new(definitions, (0..definitions.tags.len()).filter(own).collect()),
            others: chosen.tags.is_none(),
            hidden: chosen.hidden,
            cells: match (self.raw, to) {
                (true, _) => Cells::Raw,
                (false, To::Stdout) if io::stdout().is_terminal() => Cells::Shown,
                (false, _) => Cells::Safe,
            },
            segments: audience.is_of_several(),
            provider: self.provider.clone(),
            provenance: Vec::new(),
        };
        check_columns(&form)?;
        Ok(form)
    }
}

/// Refuses two columns of one name.
fn check_columns(form: &Form) -> Result<()> {
    if !matches!(form.format, Format::Csv | Format::Parquet) {
        return Ok(());
    }
    let taken = |code: &str| *code == *form.key || (form.segments && code == SEGMENTS);
    let codes = form.tags.places().iter().map(|tag| &*form.definitions.tags[*tag].code);
    match codes.into_iter().find(|code| taken(code)) {
        Some(code) => {
            let failure = usage(format!("`{code}` is a tag, and the name of another column"));
            Err(failure.hint("choose other tags with --tags, or --format ndjson").into())
        }
        None => Ok(()),
    }
}
