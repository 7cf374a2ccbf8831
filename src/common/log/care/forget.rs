//! Forgetting: the lines of users become blanks where they stand, so that no byte behind them moves.
//!
//! Positions in files stay true, writers go on, and every reader passes blanks over. A plain file is overwritten in place; a
//! packed one is packed anew beside itself, and the manifest of a sealed day gets the new hashes. What is to be done is
//! written down first, without a word of what the lines say: killed at any instant, whoever cares for the log next ends it.

use super::day::{Day, file_name};
use super::frames::FrameWriter;
use super::manifest::{Manifest, Piece};
use super::pack::{Sum, read_blocks};
use super::seal::clear;
use crate::disk::{self, parent, sync_dir};
use crate::event::Rules;
use crate::forgotten::Forgotten;
use crate::limits::FUTURE_MS;
use crate::lines::{Form, Text, open_file};
use crate::log::{Error, Log, LogFile, names};
use crate::reader::Reader;
use crate::rows::Projection;
use crate::time::Millis;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An instant of receipt at which no line is too early.
const EVER: Millis = Millis::MAX - FUTURE_MS;
static BLANKS: [u8; 64 << 10] = [b' '; 64 << 10];
/// Of zstd: what `log seal` takes unless told otherwise.
const LEVEL: i32 = 3;
const ASIDE: &str = ".forgetting.tmp";

/// Whose lines are to go.
pub trait Whose {
    /// Whether an event of this user and instant goes.
    fn has(&self, user: &[u8], timestamp: Millis) -> bool;
    /// Whether a line that is no event names one of them.
    fn is_named_in(&self, line: &[u8]) -> bool;
}

impl Whose for Forgotten {
    fn has(&self, user: &[u8], timestamp: Millis) -> bool {
        self.drops(user, timestamp)
    }

    fn is_named_in(&self, line: &[u8]) -> bool {
        self.is_named_in(line)
    }
}

/// What was found in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    pub lines: u64,
    pub files: u64,
    /// Files that cannot be overwritten, with the reason; lines of users may stand in them.
    pub left: Vec<(PathBuf, &'static str)>,
}

/// The bytes of lines in a decoded file: where they begin, and how many there are.
type Ranges = Vec<(u64, u64)>;

/// What is left to be done, by the names of files inside the log.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Todo {
    blank: Vec<(String, Ranges)>,
    settle: Vec<String>,
    manifests: Vec<Manifest>,
}

/// Blanks out the lines in a log, a file or a directory; of a directory the caller holds `take(root)`. `dry`: counts only.
pub fn forget(root: &Path, whose: &dyn Whose, dry: bool) -> Result<Cleaned, Error> {
    let mut cleaned = Cleaned::default();
    if !root.is_dir() {
        let log = Log::open(root)?;
        let found = search(log.files(), whose, &mut cleaned)?;
        return if dry { Ok(cleaned) } else { settle(root, None, found).map(|()| cleaned) };
    }
    for day in super::days(root)? {
        one_day(root, day, whose, dry, &mut cleaned)?;
    }
    Ok(cleaned)
}

fn one_day(root: &Path, day: Date, whose: &dyn Whose, dry: bool, cleaned: &mut Cleaned) -> Result<(), Error> {
    let mut seen = Day::read(root, day)?;
    if !dry {
        // Copies that a crash left say the same as what they are copies of.
        clear(&seen)?;
        sweep(&seen.dir)?;
        seen = Day::read(root, day)?;
    }
    let found = search(&seen.files, whose, cleaned)?;
    if dry { Ok(()) } else { settle(root, Some(&seen), found) }
}

/// Blanks out what came into a day in spite of the list, by way of a copy or by hand, before it is sealed.
pub(super) fn obey(root: &Path, day: &Day) -> Result<(), Error> {
    let forgotten = day.files.first().map(|file| file.forgotten.clone()).unwrap_or_default();
    if forgotten.is_empty() {
        return Ok(());
    }
    let mut cleaned = Cleaned::default();
    one_day(root, day.day, &*forgotten, false, &mut cleaned)
}

/// Removes files packed anew of which nothing was written down.
fn sweep(dir: &Path) -> Result<(), Error> {
    let entries: Result<Vec<_>, _> = fs::read_dir(dir).and_then(Iterator::collect);
    for entry in entries.map_err(Error::io(dir, "list"))? {
        if entry.file_name().to_string_lossy().ends_with(ASIDE) {
            fs::remove_file(entry.path()).map_err(Error::io(&entry.path(), "remove"))?;
        }
    }
    Ok(())
}

type Found<'f> = Vec<(&'f LogFile, Ranges)>;

fn search<'f>(
    files: &'f [std::sync::Arc<LogFile>],
    whose: &dyn Whose,
    cleaned: &mut Cleaned,
) -> Result<Found<'f>, Error> {
    let mut all = Vec::new();
    for file in files {
        let ranges = lines_of(file, whose)?;
        if ranges.is_empty() {
            continue;
        }
        let why = match file.form {
            Form::Plain | Form::Zstd => None,
            Form::Gzip => Some("it is packed with gzip"),
            Form::Parquet => Some("it is Parquet"),
        };
        match why {
            Some(why) => cleaned.left.push((file.path.clone(), why)),
            None => {
                cleaned.lines += ranges.len() as u64;
                cleaned.files += 1;
                all.push((&**file, ranges));
            }
        }
    }
    Ok(all)
}

/// Where the lines of users stand in a file.
fn lines_of(file: &std::sync::Arc<LogFile>, whose: &dyn Whose) -> Result<Ranges, Error> {
    let mut reader = Reader::new(&Projection::default(), &Rules { event_types: None, reserved: true });
    let mut is_theirs = |bytes: &[u8]| match reader.read_alone(bytes, EVER) {
        Ok(true) => {
            let line = reader.line();
            whose.has(line.text(line.user(), reader.spare()), line.timestamp())
        }
        Ok(false) => false,
        Err(_) => whose.is_named_in(bytes),
    };
    let mut ranges = Vec::new();
    for chunk in Log::of_file(file).chunks(u64::MAX) {
        let mut lines = chunk.lines()?;
        while let Some(line) = lines.next()? {
            match line.text {
                Text::Whole(bytes) if is_theirs(bytes) => ranges.push((line.offset, bytes.len() as u64)),
                Text::TooLong { head, len } if whose.is_named_in(head) => ranges.push((line.offset, len)),
                _ => {}
            }
        }
        let end = lines.finish();
        // A file made by hand may end so, and a writer that was killed leaves a tail.
        if let Some(torn) = end.torn.filter(|_| is_theirs(&end.last)) {
            ranges.push((torn.offset, torn.len));
        }
    }
    Ok(ranges)
}

/// Writes down what is to be done with the files of a day, or with a log of one file, and does it.
fn settle(root: &Path, day: Option<&Day>, found: Found<'_>) -> Result<(), Error> {
    if found.is_empty() {
        return Ok(());
    }
    let mut todo = Todo::default();
    let mut pieces = Vec::new();
    let manifest = day.and_then(|day| day.manifest.as_ref());
    for (file, ranges) in found {
        let of = manifest.map(|manifest| manifest.pieces_in(names::unpacked(file_name(file)))).unwrap_or_default();
        if file.form == Form::Zstd {
            pieces.extend(pack_anew(file, &ranges, &of)?);
            todo.settle.push(file.name.clone());
        } else {
            if !of.is_empty() {
                pieces.extend(sums(file, &ranges, &of, &mut |_| Ok(()))?);
            }
            todo.blank.push((file.name.clone(), ranges));
        }
    }
    if let Some(manifest) = manifest.filter(|_| !pieces.is_empty()) {
        let new = |piece: &Piece| pieces.iter().find(|new| new.name == piece.name).unwrap_or(piece).clone();
        let files = manifest.files.iter().map(new).collect();
        todo.manifests.push(Manifest::new(manifest.day, files, manifest.sealed_at));
    }
    todo.write(root)?;
    finish(root)
}

/// Does what was written down and is not done yet.
pub fn finish(root: &Path) -> Result<(), Error> {
    let path = Todo::path(root);
    let text = match fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        read => read.map_err(Error::io(&path, "read"))?,
    };
    let damaged = |e: serde_json::Error| Error::Damaged { path: path.clone(), why: e.to_string() };
    let todo: Todo = serde_json::from_slice(&text).map_err(damaged)?;
    let place = |name: &str| if root.is_dir() { root.join(name) } else { root.to_owned() };
    for (name, ranges) in &todo.blank {
        let path = place(name);
        overwrite(&path, ranges).map_err(Error::io(&path, "overwrite"))?;
    }
    for name in &todo.settle {
        let path = place(name);
        match fs::rename(aside(&path), &path) {
            // It was, before the last one stopped.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            renamed => renamed.map_err(Error::io(&path, "write"))?,
        }
        sync_dir(parent(&path)).map_err(Error::io(&path, "sync"))?;
    }
    for manifest in &todo.manifests {
        manifest.write(&super::day_dir(root, manifest.day))?;
    }
    fs::remove_file(&path).and_then(|()| sync_dir(parent(&path))).map_err(Error::io(&path, "remove"))
}

impl Todo {
    /// A hidden file, in a directory or beside a file: no reader takes it for a part of the log.
    fn path(root: &Path) -> PathBuf {
        if root.is_dir() {
            return root.join(".forgetting");
        }
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        parent(root).join(format!(".{name}.forgetting"))
    }

    fn write(&self, root: &Path) -> Result<(), Error> {
        let path = Todo::path(root);
        let text = serde_json::to_vec(self).expect("texts and numbers are always JSON");
        let mut temporary = path.clone().into_os_string();
        temporary.push(".tmp");
        disk::replace(&path, Path::new(&temporary), &text).map_err(Error::io(&path, "write"))
    }
}

/// Puts blanks over some bytes of a plain file, durably. One that was cut or is gone has nothing there.
fn overwrite(path: &Path, ranges: &[(u64, u64)]) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let len = file.metadata()?.len();
    for (at, size) in ranges {
        let (mut at, end) = (*at, (at + size).min(len));
        while at < end {
            let n = (end - at).min(BLANKS.len() as u64);
            file.write_all_at(&BLANKS[..n as usize], at)?;
            at += n;
        }
    }
    file.sync_all()
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ASIDE);
    name.into()
}

/// Packs a file anew beside itself, with blanks for some bytes. Gives the sums of the pieces it holds.
fn pack_anew(file: &LogFile, ranges: &Ranges, of: &[&Piece]) -> Result<Vec<Piece>, Error> {
    let path = aside(&file.path);
    let fail = |e| Error::io(&path, "write")(e);
    let out = File::create(&path).map_err(fail)?;
    let mode = fs::metadata(&file.path).map(|metadata| metadata.permissions());
    mode.and_then(|mode| out.set_permissions(mode)).map_err(fail)?;
    let mut frames = FrameWriter::new(out, LEVEL).map_err(fail)?;
    let pieces = sums(file, ranges, of, &mut |block| frames.write(block))?;
    let out = frames.finish().map_err(fail)?;
    out.sync_all().map_err(fail)?;
    // What was packed is read back before it takes the place of anything.
    let again = LogFile { path: path.clone(), ..file.clone() };
    if sums(&again, &Ranges::new(), of, &mut |_| Ok(()))? != pieces {
        return Err(Error::Damaged { path, why: "what was packed does not read back".into() });
    }
    Ok(pieces)
}

/// The sums of the pieces in a file once some bytes are blanks, and behind them that of what no piece holds; each block goes
/// to `out`.
fn sums(
    file: &LogFile,
    ranges: &Ranges,
    of: &[&Piece],
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Vec<Piece>, Error> {
    let mut read = || -> io::Result<Vec<Piece>> {
        let mut input = open_file(File::open(&file.path)?)?;
        let mut at = 0u64;
        let mut blanked = |input: &mut dyn Read| -> io::Result<Sum> {
            let mut sum = Sum::new();
            let mut scratch = Vec::new();
            read_blocks(input, |block| {
                scratch.clear();
                scratch.extend_from_slice(block);
                blank(&mut scratch, at, ranges);
                at += block.len() as u64;
                sum.add(&scratch);
                out(&scratch)
            })?;
            Ok(sum)
        };
        let mut pieces = Vec::new();
        for piece in of {
            pieces.push(blanked(&mut (&mut input).take(piece.bytes))?.piece(&piece.name));
        }
        let rest = blanked(&mut input)?.piece(file.key());
        pieces.extend((rest.bytes > 0).then_some(rest));
        Ok(pieces)
    };
    read().map_err(Error::io(&file.path, "pack"))
}

/// Puts blanks over what the sorted ranges have of a block that begins at `at`.
fn blank(block: &mut [u8], at: u64, ranges: &[(u64, u64)]) {
    let end = at + block.len() as u64;
    let first = ranges.partition_point(|(from, len)| from + len <= at);
    for (from, len) in ranges[first..].iter().take_while(|(from, _)| *from < end) {
        let (from, to) = ((*from).max(at) - at, (from + len).min(end) - at);
        block[from as usize..to as usize].fill(b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blanks_fall_on_the_ranges_however_the_file_is_cut(
            lens in proptest::collection::vec((0u64..9, 1u64..9), 0..9), cut in 1usize..20,
        ) {
            let (mut ranges, mut at) = (Vec::new(), 0);
            for (gap, len) in lens {
                ranges.push((at + gap, len));
                at += gap + len;
            }
            let whole = vec![b'x'; at as usize + 5];
            let mut naive = whole.clone();
            ranges.iter().for_each(|(at, len)| naive[*at as usize..(at + len) as usize].fill(b' '));
            let mut found = whole.clone();
            for (i, block) in found.chunks_mut(cut).enumerate() {
                blank(block, (i * cut) as u64, &ranges);
            }
            prop_assert_eq!(found, naive);
        }
    }
}
