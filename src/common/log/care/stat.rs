//! How a day stands: what is in it, in which form, and what happened to it.
//!
//! Lines of sealed files are known from the manifest; only the others are read.

use super::day::{Day, State};
use super::frames::{frames, read_frame};
use super::pack::read_blocks;
use crate::event::{Event, Rules};
use crate::lines::{Form, open_path};
use crate::log::torn::whole_len;
use crate::log::{Error, Log, LogFile};
use crate::time::Millis;
use jiff::civil::Date;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Of the end of a file, to find its last line.
const END: u64 = 1 << 20;

/// What a day holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayStat {
    pub files: usize,
    pub lines: u64,
    /// Decoded.
    pub bytes: u64,
    pub disk: u64,
    /// `plain`, `zstd`, `gzip`, or `mixed`; empty without a file.
    pub form: &'static str,
    pub state: State,
    /// Receipt of the first line and of the last, as far as the files were written in its order.
    pub first: Option<Millis>,
    pub last: Option<Millis>,
    /// Files of torn tails that were set aside, and plain files that end in one now.
    pub torn: usize,
}

/// Looks at a day. Reads the files that are not sealed.
pub fn stat_day(day: &Day) -> Result<DayStat, Error> {
    add_files(day, DayStat { torn: set_aside(day)?, ..DayStat::new(day) })
}

impl DayStat {
    fn new(day: &Day) -> DayStat {
        let (files, state) = (day.files.len(), day.state());
        DayStat { files, lines: 0, bytes: 0, disk: 0, form: "", state, first: None, last: None, torn: 0 }
    }
}

fn add_files(day: &Day, mut stat: DayStat) -> Result<DayStat, Error> {
    for file in &day.files {
        stat.disk += file.size.unwrap_or(0);
        let form = name_of(file.form);
        stat.form = if stat.form.is_empty() || stat.form == form { form } else { "mixed" };
        match day.known(file) {
            Some(pieces) => {
                stat.lines += pieces.iter().map(|piece| piece.lines).sum::<u64>();
                stat.bytes += pieces.iter().map(|piece| piece.bytes).sum::<u64>();
            }
            None => count(file, &mut stat)?,
        }
        let (first, last) = ends(file).map_err(Error::io(&file.path, "read"))?;
        stat.first = [stat.first, first].into_iter().flatten().min();
        stat.last = stat.last.max(last);
    }
    Ok(stat)
}

/// The same of a log of one file, which is never sealed.
pub fn stat_file(path: &Path) -> Result<DayStat, Error> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".torn");
    let torn = usize::from(Path::new(&aside).exists());
    let log = Log::open(path)?;
    let day =
        Day { day: Date::ZERO, dir: PathBuf::new(), files: log.files().to_vec(), strays: Vec::new(), manifest: None };
    add_files(&day, DayStat { torn, ..DayStat::new(&day) })
}

fn name_of(form: Form) -> &'static str {
    match form {
        Form::Plain => "plain",
        Form::Gzip => "gzip",
        Form::Zstd => "zstd",
        Form::Parquet => "parquet",
    }
}

/// Counts what is not known from a manifest.
fn count(file: &LogFile, stat: &mut DayStat) -> Result<(), Error> {
    let mut last = b'\n';
    let mut read = || -> io::Result<()> {
        read_blocks(&mut open_path(&file.path)?, |block| {
            stat.lines += memchr::memchr_iter(b'\n', block).count() as u64;
            stat.bytes += block.len() as u64;
            last = block.last().copied().unwrap_or(last);
            Ok(())
        })
    };
    read().map_err(Error::io(&file.path, "read"))?;
    stat.torn += usize::from(last != b'\n');
    Ok(())
}

fn set_aside(day: &Day) -> Result<usize, Error> {
    let entries: Result<Vec<_>, _> = fs::read_dir(&day.dir).and_then(Iterator::collect);
    let entries = entries.map_err(Error::io(&day.dir, "list"))?;
    Ok(entries.iter().filter(|entry| entry.file_name().to_string_lossy().ends_with(".torn")).count())
}

/// Receipt of the first and the last line, where they can be had without reading the file.
fn ends(file: &LogFile) -> io::Result<(Option<Millis>, Option<Millis>)> {
    let (Some(size), Ok(open)) = (file.size, File::open(&file.path)) else { return Ok((None, None)) };
    let (head, tail) = match file.form {
        Form::Plain => {
            let whole = whole_len(&open, size)?;
            let take = whole.min(END) as usize;
            let (mut head, mut tail) = (vec![0; take], vec![0; take]);
            open.read_exact_at(&mut head, 0)?;
            open.read_exact_at(&mut tail, whole - take as u64)?;
            (head, tail)
        }
        Form::Gzip | Form::Parquet => return Ok((None, None)),
        Form::Zstd => match frames(&open)?.as_deref() {
            Some([first, .., last]) => (read_frame(&open, first)?, read_frame(&open, last)?),
            Some([only]) => {
                let lines = read_frame(&open, only)?;
                (lines.clone(), lines)
            }
            _ => return Ok((None, None)),
        },
    };
    let first = head.split(|b| *b == b'\n').next().and_then(receipt);
    let last = tail.strip_suffix(b"\n").and_then(|tail| tail.rsplit(|b| *b == b'\n').next()).and_then(receipt);
    Ok((first, last))
}

fn receipt(line: &[u8]) -> Option<Millis> {
    Event::parse(line, Millis::MAX, &Rules { event_types: None, reserved: true }).ok()??.received_at
}
