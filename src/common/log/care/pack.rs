//! Packing: the bytes of a file, hashed and counted, and packed beside it on the way.
//!
//! What was packed is read back and compared before anything is made of it.

use super::frames::FrameWriter;
use super::manifest::Piece;
use crate::lines::open_file;
use crate::log::Error;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

const BLOCK: usize = 256 * 1024;

/// How files are packed.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    /// Of zstd; `None`: not at all.
    pub level: Option<i32>,
    pub threads: usize,
}

/// A file that was read once, in its order and whole.
pub struct Sum {
    hash: Sha256,
    bytes: u64,
    lines: u64,
    last: u8,
}

impl Sum {
    pub fn new() -> Sum {
        Sum { hash: Sha256::new(), bytes: 0, lines: 0, last: b'\n' }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// Whether nothing stands behind the last newline.
    pub fn whole(&self) -> bool {
        self.last == b'\n'
    }

    pub fn piece(self, name: &str) -> Piece {
        let sha256 = self.hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Piece { name: name.to_owned(), bytes: self.bytes, lines: self.lines, sha256 }
    }
}

/// Reads all of `input`, giving each block to `each`.
pub fn read_blocks(input: &mut dyn Read, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match input.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(n) => each(&block[..n])?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The sum of a file, decoded; `name` is what the piece is called.
pub fn sum(path: &Path, name: &str) -> Result<Piece, Error> {
    let read = || -> io::Result<Sum> {
        let mut sum = Sum::new();
        read_blocks(&mut open_file(File::open(path)?)?, |block| {
            sum.add(block);
            Ok(())
        })?;
        Ok(sum)
    };
    let sum = read().map_err(Error::io(path, "read"))?;
    if sum.whole() {
        return Ok(sum.piece(name));
    }
    let why = "it ends in the middle of a line: unpack it, and the tail is set aside".into();
    Err(Error::Damaged { path: path.to_owned(), why })
}

/// A file written beside the one it will be.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    target: PathBuf,
}

impl Aside {
    fn of(target: &Path) -> Aside {
        let mut path = target.as_os_str().to_owned();
        path.push(".tmp");
        Aside { path: path.into(), target: target.to_owned() }
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives it its name. Durable when the directory was synced.
    pub fn settle(&self) -> Result<(), Error> {
        fs::rename(&self.path, &self.target).map_err(Error::io(&self.target, "write"))
    }

    /// It is not wanted after all. What cannot be removed the next one replaces.
    pub fn forget(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes what `sources` hold together into one file beside `target`, packed when a level is given, and reads it back. Gives
/// the sum of each source.
pub fn pack(sources: &[(PathBuf, String)], target: &Path, level: Option<i32>) -> Result<(Aside, Vec<Piece>), Error> {
    let aside = Aside::of(target);
    let packed = write(sources, &aside.path, level).and_then(|pieces| {
        check(&aside.path, &pieces)?;
        Ok(pieces)
    });
    match packed {
        Ok(pieces) => Ok((aside, pieces)),
        Err(e) => {
            aside.forget();
            Err(e)
        }
    }
}

enum Out {
    Plain(File),
    Frames(Box<FrameWriter<File>>),
}

fn write(sources: &[(PathBuf, String)], path: &Path, level: Option<i32>) -> Result<Vec<Piece>, Error> {
    let fail = |e| Error::io(path, "write")(e);
    let file = File::create(path).map_err(fail)?;
    let mode = fs::metadata(&sources[0].0).map(|metadata| metadata.permissions());
    mode.and_then(|mode| file.set_permissions(mode)).map_err(fail)?;
    let mut out = match level {
        Some(level) => Out::Frames(Box::new(FrameWriter::new(file, level).map_err(fail)?)),
        None => Out::Plain(file),
    };
    let mut pieces = Vec::new();
    for (source, name) in sources {
        let mut sum = Sum::new();
        // Told as a fault of writing would be: which of the two it was stands in the system's words.
        let read = File::open(source).and_then(open_file).and_then(|mut input| {
            read_blocks(&mut input, |block| {
                sum.add(block);
                match &mut out {
                    Out::Plain(file) => file.write_all(block),
                    Out::Frames(frames) => frames.write(block),
                }
            })
        });
        read.map_err(Error::io(source, "pack"))?;
        if !sum.whole() {
            let why = "it ends in the middle of a line".into();
            return Err(Error::Damaged { path: source.clone(), why });
        }
        pieces.push(sum.piece(name));
    }
    let file = match out {
        Out::Plain(file) => file,
        Out::Frames(frames) => frames.finish().map_err(fail)?,
    };
    file.sync_all().map_err(fail)?;
    Ok(pieces)
}

/// Reads a packed file back: it holds the pieces, one behind the other.
fn check(path: &Path, pieces: &[Piece]) -> Result<(), Error> {
    let differs = || Error::Damaged { path: path.to_owned(), why: "what was packed does not read back".into() };
    let read = || -> io::Result<bool> {
        let mut input = open_file(File::open(path)?)?;
        for piece in pieces {
            let mut sum = Sum::new();
            read_blocks(&mut (&mut input).take(piece.bytes), |block| {
                sum.add(block);
                Ok(())
            })?;
            if sum.piece(&piece.name) != *piece {
                return Ok(false);
            }
        }
        Ok(input.read(&mut [0; 1])? == 0)
    };
    if read().map_err(Error::io(path, "read back"))? { Ok(()) } else { Err(differs()) }
}

/// The name of the packed form of a file.
pub fn packed_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".zst");
    name.into()
}
