//! `adprof log stat`: how the log stands, day by day.

use super::days::{LogArg, gaps, line, listed};
use crate::given::{self, bytes, grouped};
use crate::report;
use adprof::log::care::{self, Day, DayStat, State};
use adprof::time::{Millis, show};
use anyhow::Result;
use jiff::civil::Date;
use memchr::memchr_iter;
use serde_json::Value;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

/// Show how the log stands, day by day
///
/// Lines and bytes of sealed days are told from what was written down when they were sealed; the files of other days are
/// read. A day is open, sealed, changed (something came after it was sealed: seal it again) or damaged.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof log stat events/
  adprof log stat events/ --json | jq -r 'select(.state == \"changed\") | .day'")]
pub struct Args {
    #[command(flatten)]
    log: LogArg,
    /// Write NDJSON, a line a day and one for all [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long)]
    json: bool,
}

/// All days together.
#[derive(Default)]
struct Total {
    days: usize,
    files: usize,
    lines: u64,
    bytes: u64,
    disk: u64,
    torn: usize,
}

pub fn run(args: Args) -> Result<()> {
    let log = &args.log.log;
    let metadata = fs::metadata(log).map_err(|e| report::io(log, &e))?;
    let days = if metadata.is_dir() { care::days(log).map_err(given::of_log)? } else { Vec::new() };
    let (mut rows, mut total) = (Vec::new(), Total::default());
    for day in &days {
        let stat = Day::read(log, *day).and_then(|day| care::stat_day(&day)).map_err(given::of_log)?;
        rows.push((Some(*day), stat));
    }
    if !metadata.is_dir() {
        rows.push((None, care::stat_file(log).map_err(given::of_log)?));
    }
    for (_, stat) in &rows {
        total.days += 1;
        total.files += stat.files;
        total.lines += stat.lines;
        total.bytes += stat.bytes;
        total.disk += stat.disk;
        total.torn += stat.torn;
    }
    let dead = dead_letters(log, metadata.is_dir())?;
    if args.json || !io::stdout().is_terminal() {
        return ndjson(&rows, &total, dead, &gaps(&days));
    }
    table(&rows, &total, dead, &gaps(&days))
}

fn state(stat: &DayStat) -> (&'static str, &[String]) {
    match &stat.state {
        State::Open => ("open", &[]),
        State::Sealed => ("sealed", &[]),
        State::Changed { late } => ("changed", late),
        State::Damaged { gone } => ("damaged", gone),
    }
}

fn ndjson(rows: &[(Option<Date>, DayStat)], total: &Total, dead: u64, gaps: &[Date]) -> Result<()> {
    let mut out = String::new();
    for (day, stat) in rows {
        let (state, names) = state(stat);
        let mut fields: Vec<(&str, Value)> = vec![
            ("day", day.map(|day| day.to_string()).into()),
            ("state", state.into()),
            ("files", stat.files.into()),
            ("form", stat.form.into()),
            ("lines", stat.lines.into()),
            ("bytes", stat.bytes.into()),
            ("disk", stat.disk.into()),
            ("firstReceivedAt", stat.first.into()),
            ("lastReceivedAt", stat.last.into()),
            ("torn", stat.torn.into()),
        ];
        if !names.is_empty() {
            fields.push((if state == "changed" { "late" } else { "gone" }, names.into()));
        }
        out.push_str(&line(&fields));
    }
    let gaps: Vec<String> = gaps.iter().map(Date::to_string).collect();
    out.push_str(&line(&[
        ("total", true.into()),
        ("days", total.days.into()),
        ("files", total.files.into()),
        ("lines", total.lines.into()),
        ("bytes", total.bytes.into()),
        ("disk", total.disk.into()),
        ("torn", total.torn.into()),
        ("deadLetters", dead.into()),
        ("gaps", gaps.into()),
    ]));
    report::data(out.as_bytes())
}

fn table(rows: &[(Option<Date>, DayStat)], total: &Total, dead: u64, gaps: &[Date]) -> Result<()> {
    let titles = ["day", "state", "files", "form", "lines", "bytes", "on disk", "first receipt", "last receipt"];
    let time = |at: Option<Millis>| at.map(|at| show(at)[11..19].to_string()).unwrap_or_default();
    let mut cells: Vec<Vec<String>> = vec![titles.map(str::to_string).to_vec()];
    for (day, stat) in rows {
        cells.push(vec![
            day.map_or_else(|| "all".into(), |day| day.to_string()),
            state(stat).0.into(),
            stat.files.to_string(),
            stat.form.into(),
            grouped(stat.lines),
            bytes(stat.bytes),
            bytes(stat.disk),
            time(stat.first),
            time(stat.last),
        ]);
    }
    let (files, lines) = (total.files.to_string(), grouped(total.lines));
    let sums = [
        format!("{} days", total.days),
        String::new(),
        files,
        String::new(),
        lines,
        bytes(total.bytes),
        bytes(total.disk),
    ];
    cells.push(sums.into_iter().chain([String::new(), String::new()]).collect());
    let widths: Vec<usize> =
        (0..titles.len()).map(|i| cells.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for (number, row) in cells.iter().enumerate() {
        let padded: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (cell, width))| {
                // Numbers stand at the right.
                if matches!(i, 2 | 4 | 5 | 6) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        let line = padded.join("  ").trim_end().to_string();
        out.push_str(&if number == 0 { report::strong(&line) } else { line });
        out.push('\n');
    }
    report::data(out.as_bytes())?;
    for (n, what) in [(total.torn as u64, "torn tails"), (dead, "dead letters")] {
        if n > 0 {
            report::say(format_args!("{}: {what}", grouped(n)));
        }
    }
    if !gaps.is_empty() {
        report::say(format_args!("no events on {}", listed(gaps)));
    }
    Ok(())
}

/// Lines of the dead letters that lie beside a log.
fn dead_letters(log: &Path, directory: bool) -> Result<u64> {
    let mut files = Vec::new();
    if directory {
        let dir = log.join("dead");
        if dir.is_dir() {
            let entries: io::Result<Vec<_>> = fs::read_dir(&dir).and_then(Iterator::collect);
            files.extend(entries.map_err(|e| report::io(&dir, &e))?.into_iter().map(|entry| entry.path()));
        }
    } else {
        let mut path = log.as_os_str().to_owned();
        path.push(".dead");
        files.push(path.into());
    }
    let mut lines = 0;
    for path in files.iter().filter(|path| path.is_file()) {
        let mut input = adprof::lines::open_path(path).map_err(|e| report::io(path, &e))?;
        let mut block = vec![0; 256 * 1024];
        loop {
            let n = io::Read::read(&mut input, &mut block).map_err(|e| report::io(path, &e))?;
            if n == 0 {
                break;
            }
            lines += memchr_iter(b'\n', &block[..n]).count() as u64;
        }
    }
    Ok(lines)
}
