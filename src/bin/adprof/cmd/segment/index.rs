//! `adprof segment index`: the index of an embedded store, built, refreshed, checked.

use super::line::Line;
use crate::ask::{AskArgs, Of, usage};
use crate::given::{self, grouped};
use crate::report::{self, Exit, Failure};
use adprof::profiles::Profiles;
use adprof::profiles::index::{Built, Checked, Fault, Flaw, Unused};
use adprof::store::{Error, Kind};
use anyhow::Result;
use std::time::Instant;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment index                       builds it, or brings it up to date
  adprof segment index --check               compares it with a scan
  adprof segment size sports_fans -v         says whether the index answered")]
pub struct IndexArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Make all of it anew, not only what has changed
    #[arg(long, conflicts_with_all = ["check", "drop"])]
    anew: bool,
    /// Compare it with a scan of the store and tell each difference as NDJSON; exit code 1 if there is one
    #[arg(long)]
    check: bool,
    /// Remove it, with the audiences that were built
    #[arg(long, conflicts_with = "check")]
    drop: bool,
}

pub fn index(args: IndexArgs) -> Result<()> {
    let profiles = args.ask.open()?;
    let of = args.ask.of(profiles.definitions())?;
    let Some(store) = profiles.embedded_store() else {
        return Err(usage("Redis has no index").hint("an embedded store has: --store file:DIR").into());
    };
    if args.drop {
        if store.snapshot().and_then(|s| Ok(s.index()?.is_some())).map_err(given::of_store)? {
            store.drop_index().map_err(given::of_store)?;
        }
        report::say("the index is removed");
        return Ok(());
    }
    if args.check {
        return check(&profiles, &of);
    }
    let began = Instant::now();
    let built = match run(&profiles, &of, args.anew) {
        Err(e) if args.anew && e.kind == Kind::Corrupt => {
            report::warn(format_args!("the index cannot be read: it is removed, with the audiences that were built"));
            store.drop_index().map_err(given::of_store)?;
            build(&profiles, &of, false)?
        }
        built => built.map_err(given::of_store)?,
    };
    say(&built, &of, began.elapsed().as_secs_f64());
    Ok(())
}

/// Builds or refreshes the index, with a bar while it lasts.
pub fn build(profiles: &Profiles, of: &Of, anew: bool) -> Result<Built> {
    Ok(run(profiles, of, anew).map_err(given::of_store)?)
}

fn run(profiles: &Profiles, of: &Of, anew: bool) -> std::result::Result<Built, Error> {
    let about = profiles.about()?;
    let bar = report::counting(about.unwrap_or(0), if of.is_users() { "users" } else { "keys" });
    let built = profiles.build_index(of.place, anew, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    built
}

pub fn say(built: &Built, of: &Of, seconds: f64) {
    let keys = if of.is_users() { "users" } else { "keys" };
    report::say(format_args!(
        "the index has {} {keys}: {} new, {} of {} blocks written in {seconds:.1} s",
        grouped(built.keys),
        grouped(built.new),
        built.written,
        built.blocks
    ));
}

fn check(profiles: &Profiles, of: &Of) -> Result<()> {
    match compare(profiles, of, |_| true)? {
        Ok(checked) => verdict(&checked, ""),
        Err(why) => {
            let failure = Failure::new(Exit::Differs, format!("no index to be compared: {why}"));
            Err(failure.hint("make one: adprof segment index").into())
        }
    }
}

/// Compares the index with a scan, and tells each difference that `counts`.
pub fn compare(
    profiles: &Profiles,
    of: &Of,
    counts: impl Fn(&Flaw) -> bool,
) -> Result<std::result::Result<Checked, Unused>> {
    let bar = report::counting(profiles.about().map_err(given::of_store)?.unwrap_or(0), "compared");
    let (mut trouble, mut faults) = (None, 0);
    let checked = profiles.check_index(of.place, &mut |done| bar.set_position(done), &mut |fault| {
        if counts(&fault.flaw) {
            faults += 1;
            if trouble.is_none() {
                trouble = tell(profiles, &fault).err();
            }
        }
    });
    bar.finish_and_clear();
    trouble.map_or(Ok(()), Err)?;
    Ok(checked.map_err(given::of_store)?.map(|checked| Checked { faults, ..checked }))
}

/// Says what was compared, behind `whose`; an error where something differs.
pub fn verdict(checked: &Checked, whose: &str) -> Result<()> {
    let words = format!(
        "{whose}{} keys compared, {} more are answered one by one until the index is refreshed",
        grouped(checked.compared),
        grouped(checked.left)
    );
    if checked.faults == 0 {
        report::say(format_args!("{words}: no difference"));
        return Ok(());
    }
    let failure = Failure::new(Exit::Differs, format!("{words}: {} differences", grouped(checked.faults)));
    Err(failure.hint("make it anew: adprof segment index --anew").into())
}

fn tell(profiles: &Profiles, fault: &Fault) -> Result<()> {
    let code = fault.tag.map(|tag| &*profiles.definitions().tags[tag].code);
    let mut line = Line::new().json("block", fault.block);
    if let Some(key) = &fault.key {
        line = line.text("key", &key.text());
    }
    line = line.optional("tag", code).text("difference", fault.flaw.name());
    if let Flaw::Value { index, store } = &fault.flaw {
        line = line.text("index", index).text("store", store);
    }
    report::data(line.line().as_bytes())
}
