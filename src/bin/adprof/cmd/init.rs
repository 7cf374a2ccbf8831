//! `adprof init`: a definition file to begin with, and what a nightly run needs.

mod cron;
mod nightly;
mod settings;
mod systemd;

use crate::report::{self, Exit, Failure};
use adprof::tag;
use anyhow::Result;
use settings::Settings;
use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Write a commented definition file with the five built-in tags, or what runs `batch` every night
///
/// `adprof init` and `adprof init FILE` write the definition file. Three names are others: `nightly` prints the script
/// that computes, checks and publishes a day; `cron` prints a line for a crontab that runs it; `systemd` a service and a
/// timer. These seal the log first, unless --no-seal says that someone else does. With -o DIR they are written there, with
/// the script. (A file of such a name is ./cron.)
///
/// A file that is there already is never overwritten.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof init
  adprof init campaigns.toml
  adprof init - | less
  adprof init nightly -o /opt/adprof
  adprof init cron --log events/ --out nightly/ --store redis --tz Europe/Berlin
  adprof init systemd --log events/ --out nightly/ --store file:profiles -o units/")]
pub struct Args {
    /// Where to write the definition file, `-` prints it; or nightly, cron, systemd
    #[arg(value_name = "FILE|nightly|cron|systemd", default_value = "./adprof.toml")]
    file: PathBuf,
    /// For nightly, cron, systemd: write into this directory, the script too
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    settings: settings::SettingsArgs,
}

pub fn run(args: Args) -> Result<()> {
    let files = match args.file.to_str() {
        Some("nightly") => vec![nightly::script()],
        Some("cron") => cron::files(&settings(&args)?),
        Some("systemd") => systemd::files(&settings(&args)?),
        _ => return definitions(&args),
    };
    match &args.output {
        None => print(&files),
        Some(dir) => write_all(dir, files),
    }
}

fn settings(args: &Args) -> Result<Settings> {
    let settings = args.settings.resolve(args.output.as_deref())?;
    if args.output.is_none() && !Path::new(&settings.script).exists() {
        report::warn(format_args!("{} is not there yet: `adprof init nightly -o DIR` writes it", settings.script));
    }
    Ok(settings)
}

/// A file to be printed or written.
struct File {
    name: &'static str,
    text: String,
    mode: u32,
}

/// One as it is; several each under its name. The script is left out where something else was asked for.
fn print(files: &[File]) -> Result<()> {
    let wanted: Vec<&File> = files.iter().filter(|file| files.len() == 1 || file.name != nightly::NAME).collect();
    let mut out = String::new();
    for file in &wanted {
        if wanted.len() > 1 {
            out.push_str(&format!("# ---- {}\n", file.name));
        }
        out.push_str(&file.text);
    }
    report::data(out.as_bytes())
}

fn write_all(dir: &Path, files: Vec<File>) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|e| report::io(dir, &e))?;
    for file in files {
        let path = dir.join(file.name);
        // The script of this very version may be there from another call.
        if std::fs::read_to_string(&path).is_ok_and(|there| there == file.text) {
            continue;
        }
        write(&path, file.text.as_bytes(), file.mode)?;
        report::say(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

fn definitions(args: &Args) -> Result<()> {
    if args.output.is_some() || args.settings.any() {
        let failure = Failure::new(Exit::Usage, "these flags belong to nightly, cron and systemd");
        return Err(failure.hint("adprof init cron --log DIR --out DIR --store WHERE").into());
    }
    if args.file.as_os_str() == "-" {
        return report::data(tag::sample().as_bytes());
    }
    write(&args.file, tag::sample().as_bytes(), 0o666)?;
    report::say(format_args!("wrote {}; see what it does: adprof check", args.file.display()));
    Ok(())
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            let failure = Failure::new(Exit::Usage, format!("{}: is there already and stays as it is", path.display()));
            failure.hint("name another file, or print the sample with `adprof init -`")
        }
        _ => report::io(path, &e),
    })?;
    let executable = |file: &std::fs::File| match mode & 0o111 {
        0 => Ok(()),
        x => {
            let made = file.metadata()?.permissions().mode();
            // Whoever may read it may run it.
            file.set_permissions(Permissions::from_mode(made | (x & (made >> 2))))
        }
    };
    file.write_all(bytes)
        .and_then(|()| executable(&file))
        .and_then(|()| file.sync_all())
        .map_err(|e| report::io(path, &e).into())
}
