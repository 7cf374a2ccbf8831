//! The oracles of `scripts/`, run as programs: an independent fold of the events, and a comparison of profiles.

use super::{project, skipped};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `scripts/oracle.py` makes of a log at an instant, as a file; `None`, and a word, where there is no Python.
pub fn oracle(log: &Path, as_of: Option<i64>) -> Option<PathBuf> {
    with_calendars(log, as_of, &[])
}

/// The same with the clicks of these windows, `CODE=WINDOW@ZONE`, by Python's time zones.
fn with_calendars(log: &Path, as_of: Option<i64>, calendars: &[String]) -> Option<PathBuf> {
    let mut command = script("oracle.py");
    for calendar in calendars {
        command.args(["--calendar", calendar]);
    }
    if let Some(as_of) = as_of {
        command.args(["--as-of", &as_of.to_string()]);
    }
    let output = run(command.arg(log))?;
    let name = format!("oracle-{}.ndjson", as_of.map_or("end".into(), |ms| ms.to_string()));
    let path = std::env::temp_dir().join(format!("{}-{name}", super::unique()));
    std::fs::write(&path, output.stdout).expect("a written file");
    Some(path)
}

/// Fails the test unless `profiles`, as text, and the oracle's answer at this instant are the same in every tag.
/// False where there is no oracle.
pub fn agrees(log: &Path, as_of: Option<i64>, profiles: &str) -> bool {
    agrees_with(log, as_of, &[], profiles)
}

/// The same with windows of the calendar, `CODE=WINDOW@ZONE`.
pub fn agrees_with(log: &Path, as_of: Option<i64>, calendars: &[String], profiles: &str) -> bool {
    let Some(theirs) = with_calendars(log, as_of, calendars) else { return false };
    let ours = theirs.with_extension("ours");
    std::fs::write(&ours, profiles).expect("a written file");
    let told = script("oracle_duckdb.py").arg("--compare").arg(&ours).arg(&theirs).output().expect("it ran before");
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "as of {as_of:?}:\n{out}{err}");
    let _ = (std::fs::remove_file(&ours), std::fs::remove_file(&theirs));
    true
}

fn script(name: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(project().join("scripts").join(name));
    command
}

fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(output)
        }
        Err(e) => {
            skipped(&format!("no `python3` for the oracle: {e}"));
            None
        }
    }
}
