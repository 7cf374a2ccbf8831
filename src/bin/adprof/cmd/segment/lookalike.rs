//! `adprof segment lookalike`: the users outside of an audience who are most like it.
//!
//! Two scans of the store: the first takes samples to learn from, the second scores everybody, those that are held out to
//! measure by among them. The list is written last, when it is known how good it is.

mod list;
mod seed;
mod tell;

use crate::ask::{self, AskArgs, HowArgs, Of, of_entity, usage};
use crate::given::{self, grouped};
use crate::report::{self, Exit, Failure};
use crate::whole::into_file;
use adprof::profiles::Profiles;
use adprof::segment::lookalike::measure::{Measured, Ranks};
use adprof::segment::lookalike::sample::{Sample, is_held_out};
use adprof::segment::lookalike::{Options, Row, SEED_MIN, Trained, repeating, train};
use adprof::tag::{Definitions, Update};
use adprof::time::Millis;
use anyhow::Result;
use list::{Best, Form};
use seed::{Seed, SeedArgs};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// A list of fewer users among those held out shows little, however good it is.
const FEW: u64 = 20;

#[derive(clap::Args)]
#[command(
    after_help = r#"A logistic regression learns from the tags what sets the seed apart from all others, and scores everybody. It does not learn
from the tags that the seed's own rule reads, nor from what is made of them: they would repeat the rule. A fifth of the seed
and of the others is held out; how well the model finds them again is told each time, and a warning says when that is no
better than a random list.

Examples:
  adprof segment lookalike --seed buyers --size 1000
  adprof segment lookalike --seed buyers --size 1000 --format ids -o like-buyers.txt
  adprof segment lookalike --seed-file customers.txt --size 5000 --tags city,age,clicks_7d
  adprof segment lookalike --seed buyers --size 1000 --min-lift 1.5 --report report.json -o like.ndjson
  adprof segment lookalike --seed buyers --size 10 --reasons all | jq .because"#
)]
pub struct LookalikeArgs {
    #[command(flatten)]
    seed: SeedArgs,
    /// How many users to find
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    size: u64,
    #[command(flatten)]
    ask: AskArgs,
    /// The tags to learn from: codes, or all but those that repeat the seed's rule [default: all]
    #[arg(long, value_name = "all|CODE,...", value_delimiter = ',')]
    tags: Vec<String>,
    /// Learn from the tags that repeat the seed's rule, too
    #[arg(long, conflicts_with = "tags")]
    with_rule_tags: bool,
    /// Users learned from, at most so many of the seed and so many others
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    sample: u32,
    /// Chooses the sample and what is held out: the same number, the same result
    #[arg(long, value_name = "N", default_value_t = 1)]
    rng_seed: u64,
    /// How strongly weights are held down: the more, the less the model believes few users
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = penalty)]
    l2: f64,
    /// Exit code 65 and no list, unless the lift is above this with 95 % certainty
    #[arg(long, value_name = "X", value_parser = lift)]
    min_lift: Option<f64>,
    /// Tags told of each user, those that pulled her in most; `all` tells those that pulled her away, too
    #[arg(long, value_name = "N|all", default_value = "3", value_parser = reasons)]
    reasons: Reasons,
    /// How to show them [default: a table on a terminal, NDJSON elsewhere]
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Where to write; what is there is replaced at the end, at once [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write what was learned and how well it does as one JSON object
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the users that were held out with their scores, as NDJSON: what the figures are made of
    #[arg(long, value_name = "FILE")]
    held_out: Option<PathBuf>,
}

/// How many tags are told of a user; `None` for all.
#[derive(Clone, Copy)]
struct Reasons(Option<usize>);

fn reasons(text: &str) -> Result<Reasons, String> {
    match text {
        "all" => Ok(Reasons(None)),
        n => n.parse().map(|n| Reasons(Some(n))).map_err(|_| "write a number, or all".to_string()),
    }
}

fn penalty(text: &str) -> Result<f64, String> {
    let good = |x: &f64| (1e-6..=1e9).contains(x);
    text.parse().ok().filter(good).ok_or_else(|| "write a number from 0.000001 to 1000000000".to_string())
}

fn lift(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| *x >= 0.0 && x.is_finite()).ok_or_else(|| "write a number such as 1.5".into())
}

/// What was asked for, and what was found.
struct Found<'a> {
    definitions: &'a Definitions,
    seed: &'a Seed,
    as_of: Millis,
    args: &'a LookalikeArgs,
    /// The seed, and the others.
    sizes: (u64, u64),
    /// Tags that repeat the rule, and were left out.
    repeats: &'a [usize],
    trained: &'a Trained,
    measured: Measured,
}

pub fn lookalike(args: LookalikeArgs) -> Result<()> {
    let mut profiles = args.ask.open()?;
    if profiles.embedded_store().is_none() {
        return Err(usage("Redis cannot be read twice as of one instant").hint("--store file:DIR").into());
    }
    let definitions = profiles.definitions().clone();
    let of = args.ask.of(&definitions)?;
    if !of.is_users() {
        return Err(usage("lookalikes are users").hint("leave --entity out").into());
    }
    let mut seed = args.seed.read(&profiles, &of)?;
    let (tags, repeats) = args.learned(&definitions, &of, &seed)?;
    let (ours, others, outside) = args.samples(&mut profiles, &of, &mut seed, &tags)?;
    let sizes = (ours.offered(), outside);
    seed.tell_unknown();
    check_sizes(&seed, sizes)?;
    let as_of = profiles.as_of();
    let trained = train(&definitions, &tags, ours, others, Options { l2: args.l2, as_of, others: outside });
    let (best, ranks) = match &args.held_out {
        None => args.score(&mut profiles, &of, &mut seed, &trained, &mut io::sink())?,
        Some(path) => into_file(path, |file| {
            let mut out = BufWriter::new(file);
            let done = args.score(&mut profiles, &of, &mut seed, &trained, &mut out)?;
            out.flush()?;
            Ok(done)
        })?,
    };
    let measured = ranks.measure(trained.weight, args.size, sizes.0 + sizes.1);
    let (definitions, seed, args, repeats, trained) = (&*definitions, &seed, &args, &repeats[..], &trained);
    let found = Found { definitions, seed, as_of, args, sizes, repeats, trained, measured };
    found.tell();
    if let Some(path) = &args.report {
        into_file(path, |file| Ok(file.write_all(found.report().as_bytes())?))?;
    }
    check_lift(args.min_lift, &found.measured)?;
    let to_terminal = args.output.is_none() && io::stdout().is_terminal();
    let form = args.format.unwrap_or(if to_terminal { Form::Table } else { Form::Ndjson });
    let lines = best.lines(&found, form, to_terminal);
    lines.tell();
    match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        None => lines.write(BufWriter::new(io::stdout().lock())),
        Some(path) => into_file(path, |file| lines.write(BufWriter::new(file))),
    }
}

/// Refuses what there is too little of.
fn check_sizes(seed: &Seed, (ours, others): (u64, u64)) -> Result<()> {
    let (message, hint) = if ours < SEED_MIN {
        let message = format!("{}: {} users with profiles: too few to learn from", seed.name(), grouped(ours));
        (message, format!("a seed has {SEED_MIN} at least: take a wider rule, or more ids"))
    } else if others < SEED_MIN {
        let message = format!("{}: {} users are outside of it: too few to choose from", seed.name(), grouped(others));
        (message, format!("there have to be {SEED_MIN} at least: take a narrower rule, or fewer ids"))
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::BadInput, message).hint(hint).into())
}

fn check_lift(min_lift: Option<f64>, measured: &Measured) -> Result<()> {
    if !measured.is_better_than_random() {
        let why = match measured.size {
            size if size < FEW => format!("only {size} of those held out are listed: a larger --size tells more"),
            _ => "these tags do not tell the seed from others".to_string(),
        };
        report::warn(format_args!(
            "NO BETTER THAN A RANDOM LIST: the interval of the lift, {:.2} to {:.2}, {} 1; {why}",
            measured.lift_low,
            measured.lift_high,
            if measured.lift_high < 1.0 { "lies below" } else { "includes" }
        ));
    }
    match min_lift {
        Some(min) if measured.lift_low <= min => {
            let message = format!(
                "the lift is not above {min} with 95 % certainty: {:.2} ({:.2} to {:.2})",
                measured.lift, measured.lift_low, measured.lift_high
            );
            let failure = Failure::new(Exit::BadInput, message);
            Err(failure.hint("take other tags with --tags, or a larger seed; the list was not written").into())
        }
        _ => Ok(()),
    }
}

impl LookalikeArgs {
    /// The tags to learn from, and those that are left out as they repeat the rule.
    fn learned(&self, definitions: &Definitions, of: &Of, seed: &Seed) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut repeats = repeating(definitions, &seed.tags());
        let is_named = !self.tags.is_empty() && self.tags != ["all"];
        let mut tags: Vec<usize> = match is_named {
            false => {
                let own =
                    |tag: &usize| definitions.tags[*tag].entity == of.place && !definitions.tags[*tag].is_hidden();
                (0..definitions.tags.len()).filter(own).collect()
            }
            true => {
                let tags = given::tags(definitions, &self.tags, Update::Realtime)?;
                of_entity(&tags, definitions, of)?;
                tags
            }
        };
        tags.sort_unstable();
        tags.dedup();
        repeats.retain(|tag| tags.contains(tag));
        if self.with_rule_tags || is_named {
            if !repeats.is_empty() {
                let codes = tell::codes(definitions, &repeats);
                report::warn(format_args!("learned from what repeats the seed's rule, which flatters it: {codes}"));
            }
            repeats.clear();
        }
        tags.retain(|tag| !repeats.contains(tag));
        if tags.is_empty() {
            let failure = usage("no tag is left to learn from: the seed's rule reads all there are");
            return Err(failure.hint("define more tags, or take those in with --with-rule-tags").into());
        }
        Ok((tags, repeats))
    }

    /// The first scan: samples of the seed and of those others that are not held out, and how many others there are.
    fn samples(
        &self,
        profiles: &mut Profiles,
        of: &Of,
        seed: &mut Seed,
        tags: &[usize],
    ) -> Result<(Sample<Row>, Sample<Row>, u64)> {
        let as_of = profiles.as_of();
        let sample = || Sample::new(self.sample as usize, self.rng_seed);
        let (mut ours, mut others, mut outside) = (sample(), sample(), 0);
        ask::members(profiles, of, None, HowArgs::default(), |profile| {
            let row = || tags.iter().map(|tag| profile.values[*tag].clone()).collect();
            if seed.meets(&profile, as_of) {
                ours.offer(&profile.key, row);
                return Ok(());
            }
            outside += 1;
            if !is_held_out(self.rng_seed, &profile.key) {
                others.offer(&profile.key, row);
            }
            Ok(())
        })?;
        Ok((ours, others, outside))
    }

    /// The second scan: the best of all others, and the ranks of the held-out seed among those of them who are held out.
    /// `out` takes the users who are.
    fn score<'m>(
        &self,
        profiles: &mut Profiles,
        of: &Of,
        seed: &mut Seed,
        trained: &'m Trained,
        out: &mut impl Write,
    ) -> Result<(Best<'m>, Ranks)> {
        let as_of = profiles.as_of();
        let reasons = if self.format == Some(Form::Ids) { Reasons(Some(0)) } else { self.reasons };
        let (mut best, mut ranks) = (Best::new(self.size, reasons, &trained.model), trained.ranks());
        for (key, logit) in &trained.held {
            out.write_all(tell::held_out(key, true, *logit).as_bytes())?;
        }
        ask::members(profiles, of, None, HowArgs::default(), |profile| {
            if seed.meets(&profile, as_of) {
                return Ok(());
            }
            let is_held = is_held_out(self.rng_seed, &profile.key);
            let key = is_held.then(|| profile.key.clone());
            let logit = best.offer(profile);
            if let Some(key) = key {
                ranks.count(logit);
                out.write_all(tell::held_out(&key, false, logit).as_bytes())?;
            }
            Ok(())
        })?;
        Ok((best, ranks))
    }
}
