//! The file dead letters go to: appended, never rewritten.
//!
//! A letter torn by a crash stays alone: the next one begins on a line of its own.

use super::DeadLetter;
use crate::disk::Disk;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const FLUSH: usize = 64 * 1024;

/// An append-only file of dead letters, made with the first letter: no bad line, no file.
#[derive(Debug)]
pub struct DeadFile {
    path: PathBuf,
    disk: Option<Disk>,
    buffer: Vec<u8>,
    count: u64,
}

impl DeadFile {
    /// Touches nothing yet.
    pub fn new(path: &Path) -> DeadFile {
        DeadFile { path: path.to_owned(), disk: None, buffer: Vec::new(), count: 0 }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Letters put since it was opened.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds a letter. It is durable after the next `sync`; whole letters only are ever handed to the system.
    pub fn put(&mut self, letter: &DeadLetter<'_>) -> io::Result<()> {
        letter.write(&mut self.buffer);
        self.count += 1;
        if self.buffer.len() >= FLUSH { self.flush() } else { Ok(()) }
    }

    /// Hands the letters to the system: other processes see them, a power cut may still lose them.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let disk = match &mut self.disk {
            Some(disk) => disk,
            None => self.disk.insert(open(&self.path)?),
        };
        disk.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Makes every letter durable. After a failure it refuses for ever.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.disk.as_mut().map_or(Ok(()), Disk::sync)
    }
}

fn open(path: &Path) -> io::Result<Disk> {
    let mut disk = Disk::append(path)?;
    let mut last = [b'\n'];
    if !disk.is_empty() {
        disk.file().read_exact_at(&mut last, disk.len() - 1)?;
    }
    if last != [b'\n'] {
        disk.write(b"\n")?;
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead::Place;
    use crate::event::{Code, Refusal};
    use std::fs;

    #[test]
    fn letters_are_appended_and_a_torn_one_stays_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("dead.ndjson");
        let refusal = Refusal::new(Code::NotJson, "no");
        let put = |text: &[u8]| {
            let mut file = DeadFile::new(&path);
            file.sync().expect("nothing to do");
            file.put(&DeadLetter::new(&refusal, "stdin", Place::Byte { offset: 0 }, text)).expect("put");
            file.sync().expect("synced");
            assert_eq!(file.count(), 1);
        };
        put(b"one");
        put(b"two");
        let whole = fs::read(&path).expect("there");
        fs::write(&path, &whole[..whole.len() - 4]).expect("torn");
        put(b"three");
        let bytes = fs::read(&path).expect("there");
        let lines: Vec<_> = bytes.split(|b| *b == b'\n').map(DeadLetter::parse).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].as_ref().expect("whole").replay(), Ok(&b"one"[..]));
        assert!(lines[1].is_err());
        assert_eq!(lines[2].as_ref().expect("whole").replay(), Ok(&b"three"[..]));
    }

    #[test]
    fn no_letter_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("dead.ndjson");
        DeadFile::new(&path).sync().expect("nothing to do");
        assert!(!path.exists());
    }
}
