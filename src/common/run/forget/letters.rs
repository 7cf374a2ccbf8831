//! Dead letters of users become blanks where they stand: a file of letters may be open for appending.

use super::People;
use crate::dead::DeadLetter;
use crate::log::care::Whose;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The files of dead letters, and of torn tails, that lie with a log or in a directory.
pub fn dead_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if root.is_dir() {
        gather(root, 0, false, &mut found)?;
    } else {
        let beside = |ending: &str| {
            let mut name = root.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        found.extend([beside(".dead"), beside(".torn")].into_iter().filter(|path| path.is_file()));
    }
    found.sort();
    Ok(found)
}

/// `all`: the directory is one of dead letters.
fn gather(dir: &Path, depth: u32, all: bool, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let named = ["dead.ndjson", "dead-letters.ndjson"].contains(&&*name);
        let ends = [".torn", ".dead", ".dead.ndjson"].iter().any(|ending| name.ends_with(ending));
        let kind = entry?;
        if kind.is_dir() && depth == 0 && (name == "dead" || name.starts_with("dt=")) {
            gather(&path, 1, name == "dead", found)?;
        } else if kind.is_file() && (named || ends || (all && name.ends_with(".ndjson"))) {
            found.push(path);
        }
    }
    Ok(())
}

/// Blanks out the letters of a file that name the users; gives how many there were. `dry`: counts only.
pub fn letters(path: &Path, people: &People, dry: bool) -> io::Result<u64> {
    let file = match OpenOptions::new().read(true).write(!dry).open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    let mut lines = BufReader::new(File::open(path)?);
    let (mut line, mut at, mut found) = (Vec::new(), 0u64, 0);
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if goes(text, people) {
            found += 1;
            if !dry {
                file.write_all_at(&vec![b' '; text.len()], at)?;
            }
        }
        at += read as u64;
    }
    if found > 0 && !dry {
        file.sync_all()?;
    }
    Ok(found)
}

fn goes(text: &[u8], people: &People) -> bool {
    match DeadLetter::parse(text) {
        Ok(letter) => people.is_named_in(&letter.original),
        Err(_) if text.trim_ascii().is_empty() => false,
        // Begun and not ended by a run that was killed: every letter is an object from its first byte to its last.
        Err(_) if text.starts_with(b" ") || text.ends_with(b" ") => true,
        Err(_) => people.is_named_in(text),
    }
}
