//! What a nightly run is set to: the flags of `init cron` and `init systemd`, with whole paths.

use super::nightly;
use crate::given;
use crate::redis;
use crate::report::{self, Exit, Failure};
use adprof::store::Location;
use anyhow::Result;
use std::path::{Path, PathBuf, absolute};

#[derive(clap::Args)]
pub struct SettingsArgs {
    /// The log, a directory
    #[arg(long, value_name = "DIR", help_heading = "cron and systemd")]
    log: Option<PathBuf>,
    /// Where the outputs of the nights go
    #[arg(long, value_name = "DIR", help_heading = "cron and systemd")]
    out: Option<PathBuf>,
    /// Where the profiles go: file:DIR, redis (its address in REDIS_URL), redis://HOST:PORT, or none
    #[arg(long, value_name = "WHERE", help_heading = "cron and systemd")]
    store: Option<String>,
    /// The definition file [default: ./adprof.toml if there]
    #[arg(short, long, value_name = "FILE", help_heading = "cron and systemd")]
    definitions: Option<PathBuf>,
    /// The time zone of the days
    #[arg(long, value_name = "ZONE", help_heading = "cron and systemd")]
    tz: Option<String>,
    /// Leave it to someone else to seal the log, as when it is copied here from other machines
    #[arg(long, help_heading = "cron and systemd")]
    no_seal: bool,
    /// Where nightly.sh lies [default: in the directory of -o, else here]
    #[arg(long, value_name = "FILE", help_heading = "cron and systemd")]
    script: Option<PathBuf>,
}

/// All that a nightly run needs to know, as words of its command line.
pub struct Settings {
    /// This very program.
    pub adprof: String,
    pub script: String,
    pub log: String,
    pub out: String,
    pub store: String,
    pub definitions: Option<String>,
    pub tz: String,
    /// Whether the run seals the log.
    pub seal: bool,
}

/// How long a run waits for the log to be sealed, in seconds.
const WAIT: u32 = 4 * 3600;

impl SettingsArgs {
    /// Whether any of them was typed.
    pub fn any(&self) -> bool {
        let paths = [&self.log, &self.out, &self.definitions, &self.script];
        paths.iter().any(|path| path.is_some()) || self.store.is_some() || self.tz.is_some() || self.no_seal
    }

    /// The settings; `dir` is where the script will be written.
    pub fn resolve(&self, dir: Option<&Path>) -> Result<Settings> {
        let needed = |path: &Option<PathBuf>, flag| whole(path.as_deref().ok_or_else(|| missing(flag))?);
        let tz = self.tz.clone().unwrap_or_else(|| "UTC".into());
        given::zone(&tz)?;
        let store = store_of(self.store.as_deref().ok_or_else(|| missing("--store"))?)?;
        let here = Path::new(given::DEFINITIONS);
        let definitions = self.definitions.as_deref().or_else(|| here.exists().then_some(here));
        let script = self.script.clone().unwrap_or_else(|| dir.unwrap_or(Path::new(".")).join(nightly::NAME));
        let program = std::env::current_exe().map_err(|e| report::io(Path::new("adprof"), &e))?;
        Ok(Settings {
            adprof: whole(&program)?,
            script: whole(&script)?,
            log: needed(&self.log, "--log")?,
            out: needed(&self.out, "--out")?,
            store,
            definitions: definitions.map(whole).transpose()?,
            tz,
            seal: !self.no_seal,
        })
    }
}

impl Settings {
    /// The words of the command, the script first.
    pub fn command(&self) -> Vec<String> {
        let mut words = vec![self.script.clone()];
        let flags = [("--log", &self.log), ("--out", &self.out), ("--store", &self.store), ("--tz", &self.tz)];
        for (flag, value) in flags.into_iter().chain(self.definitions.as_ref().map(|file| ("-d", file))) {
            words.extend([flag.to_string(), value.clone()]);
        }
        words.extend(self.seal.then(|| "--seal".into()));
        words.extend(["--catch-up".into(), "--wait".into(), WAIT.to_string()]);
        words
    }
}

fn missing(flag: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{flag} is not given")).hint("adprof init cron --log DIR --out DIR --store WHERE")
}

/// A store as the script takes it; its address must hold no password, for it stands in a file.
fn store_of(text: &str) -> Result<String> {
    if text == "redis" || text == "none" {
        return Ok(text.into());
    }
    match Location::parse(text).map_err(given::of_store)? {
        Location::Redis(url) => redis::without_password(&url).map(|()| text.to_string()),
        Location::Embedded(dir) => Ok(format!("file:{}", whole(&dir)?)),
    }
}

/// A path from the root, as text of one line.
fn whole(path: &Path) -> Result<String> {
    let path = absolute(path).map_err(|e| report::io(path, &e))?;
    // `absolute` keeps `.` at the end of a path, and `..` everywhere.
    let text = path.components().collect::<PathBuf>().into_os_string().into_string();
    let told = || Failure::new(Exit::Usage, format!("{}: not a name for a crontab or a unit", path.display()));
    Ok(text.ok().filter(|text| !text.contains(char::is_control)).ok_or_else(told)?)
}
