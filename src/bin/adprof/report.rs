//! What the program says: data to stdout, words to stderr, and the exit code.
//!
//! One grammar for errors: `adprof stream: what, where: why`, then `hint: the next step`.

use crate::cli::{Color, Global};
use adprof::ndjson;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The exit codes of design §6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// What was compared is not equal; what was looked at is at risk.
    Differs = 1,
    Usage = 2,
    BadInput = 65,
    NoInput = 66,
    Unavailable = 69,
    Bug = 70,
    Io = 74,
    TryAgain = 75,
    NotAllowed = 77,
    Definitions = 78,
}

/// An error with its exit code and, perhaps, the next step.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None }
    }

    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An I/O error on a path, with the exit code its kind asks for.
pub fn io(path: &Path, error: &io::Error) -> Failure {
    Failure::new(exit_of(error), format!("{}: {}", path.display(), plain(&error.to_string())))
}

pub fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Exit::NoInput,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Exit::NotAllowed,
        ErrorKind::WouldBlock | ErrorKind::ResourceBusy => Exit::TryAgain,
        _ => Exit::Io,
    }
}

/// A message with the system's words as ours are: `No space left on device (os error 28)` without its number, in lower case.
pub fn plain(text: &str) -> String {
    let Some((before, after)) = text.split_once(" (os error ") else { return text.to_string() };
    // What some libraries add, such as ` at path "…"`, names files that nobody typed.
    let rest = after.split_once(')').map_or("", |(_, rest)| rest);
    let rest = if rest.starts_with(" at path ") { "" } else { rest };
    let (context, words) =
        before.rsplit_once(": ").map_or(("", before), |(_, words)| before.split_at(before.len() - words.len()));
    let mut chars = words.chars();
    let words: String = chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default();
    format!("{context}{words}{rest}")
}

struct Manner {
    quiet: bool,
    verbose: bool,
    color: bool,
    color_data: bool,
}

static MANNER: OnceLock<Manner> = OnceLock::new();

/// Takes over what was typed about talking.
pub fn set(global: &Global) {
    let color = |terminal: bool| match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && terminal,
    };
    let (color, color_data) = (color(io::stderr().is_terminal()), color(io::stdout().is_terminal()));
    let _ = MANNER.set(Manner { quiet: global.quiet, verbose: global.verbose, color, color_data });
}

fn manner() -> &'static Manner {
    MANNER.get_or_init(|| Manner { quiet: false, verbose: false, color: false, color_data: false })
}

/// Says something unless `--quiet`.
pub fn say(words: impl fmt::Display) {
    if !manner().quiet {
        let _ = writeln!(io::stderr(), "{words}");
    }
}

pub fn is_verbose() -> bool {
    manner().verbose
}

/// Says something only with `--verbose`.
pub fn detail(words: impl fmt::Display) {
    if manner().verbose {
        let _ = writeln!(io::stderr(), "{words}");
    }
}

/// A warning: said even with `--quiet`.
pub fn warn(words: impl fmt::Display) {
    let label = paint("warning:", "33");
    let _ = writeln!(io::stderr(), "{label} {words}");
}

fn paint(text: &str, code: &str) -> String {
    if manner().color { format!("\x1b[1;{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// Text that stands out on stdout, for tables.
pub fn strong(text: &str) -> String {
    if manner().color_data { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
}

/// Whether data on stdout may be coloured.
pub fn is_colored() -> bool {
    manner().color_data
}

/// A bar for things counted one by one, on a terminal only. `total` is 0 when unknown.
pub fn counting(total: u64, what: &'static str) -> ProgressBar {
    if manner().quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = if total == 0 { ProgressBar::no_length() } else { ProgressBar::new(total) };
    let template = if total == 0 {
        "{prefix} {human_pos} {rate} {elapsed}"
    } else {
        "{prefix} {wide_bar} {human_pos}/{human_len} {rate} eta {eta}"
    };
    let style = ProgressStyle::with_template(template).expect("the templates above are well formed");
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // What a bar cannot show it leaves out.
        let _ = write!(out, "{:.0} k/s", state.per_sec() / 1e3);
    };
    bar.set_style(style.with_key("rate", rate));
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Writes data to stdout. A reader that has gone away ends the program in peace.
pub fn data(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("stdout")
}

/// Prints the error and gives the exit code. A closed pipe is success. `command` is empty where none was understood.
pub fn fail(command: &str, error: &anyhow::Error) -> ExitCode {
    let (exit, message, hint) = match error.downcast_ref::<Failure>() {
        Some(failure) => (failure.exit, format!("{error:#}"), failure.hint.clone()),
        None => match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) {
            Some(io) if io.kind() == ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Some(io) => (exit_of(io), plain(&format!("{error:#}")), None),
            None => (Exit::Bug, format!("{error:#}"), None),
        },
    };
    let mut err = io::stderr();
    let name = if command.is_empty() { "adprof:".to_string() } else { format!("adprof {command}:") };
    for (i, line) in message.lines().enumerate() {
        let line = ndjson::shown(line);
        let _ = if i == 0 { writeln!(err, "{} {line}", paint(&name, "31")) } else { writeln!(err, "{line}") };
    }
    if let Some(hint) = hint {
        let _ = writeln!(err, "{} {}", paint("hint:", "36"), ndjson::shown(&hint));
    }
    ExitCode::from(exit as u8)
}

/// A panic is a bug: say so, with the place, and exit 70 even when a thread had it.
pub fn on_panic() {
    std::panic::set_hook(Box::new(|info| {
        if adprof::columns::is_decoding() {
            return;
        }
        let _ = writeln!(
            io::stderr(),
            "adprof: bug: {info}\nhint: please report this with the command line and the input that led here"
        );
        std::process::exit(Exit::Bug as i32);
    }));
}

/// A bar with rate and time left, on a terminal only. `total` in bytes; 0 when unknown.
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    if manner().quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = if total == 0 { ProgressBar::no_length() } else { ProgressBar::new(total) };
    let template = if total == 0 {
        "{prefix} {bytes} {binary_bytes_per_sec} {elapsed}"
    } else {
        "{prefix} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta}"
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the templates above are well formed"));
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Moves a bar along with a number that threads count up.
pub struct Watch<'a> {
    bar: &'a ProgressBar,
    count: &'a AtomicU64,
    done: AtomicBool,
}

/// A watch over `count` for `bar`; `run` belongs on a thread of its own and ends with `stop`.
pub fn watch<'a>(bar: &'a ProgressBar, count: &'a AtomicU64) -> Watch<'a> {
    Watch { bar, count, done: AtomicBool::new(false) }
}

impl Watch<'_> {
    pub fn run(&self) {
        while !self.bar.is_hidden() && !self.done.load(Ordering::Relaxed) {
            self.bar.set_position(self.count.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stop(&self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn the_system_speaks_as_we_do() {
        assert_eq!(plain("stdout: No space left on device (os error 28)"), "stdout: no space left on device");
        assert_eq!(plain("Is a directory (os error 21)"), "is a directory");
        assert_eq!(
            plain("cannot open `X: Y`: Not a directory (os error 20); why"),
            "cannot open `X: Y`: not a directory; why"
        );
        assert_eq!(plain("No such file or directory (os error 2) at path \"/x/.tmp1\""), "no such file or directory");
        assert_eq!(plain("unknown tag: Ltv"), "unknown tag: Ltv");
    }
}
