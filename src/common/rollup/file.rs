//! One file of roll-ups: sections by part, each packed on its own and with its own checksum.
//!
//! ```text
//! magic · sections, one behind the other · index · its length, its checksum, magic
//! ```
//! The checksum of the index covers those of all sections: it is the digest by which the manifest knows the file.
//!
//! The first `PARTS` parts are of users, and so many more of each entity that the manifest says the file holds.

use super::manifest::{FileRef, Span};
use super::{Error, PARTS, checksum};
use crate::agg::codec::{get_u64, put_u64};
use crate::disk::{parent, sync_dir};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use zstd::bulk::{Compressor, Decompressor};

/// The number in it is the version of the format.
const MAGIC: &[u8; 8] = b"adprofR1";
const TRAILER: u64 = 24;
/// zstd's fastest level but one: sections are small and read more often than written.
const LEVEL: i32 = 1;
const INDEX_SEED: u64 = u64::MAX;
pub const FILTER_SEED: u64 = u64::MAX - 1;

thread_local! {
    // One a thread: to make one takes longer than to pack the few bytes that most sections have.
    static PACKER: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(LEVEL).expect("memory for a packer is there"));
    static UNPACKER: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("memory for an unpacker is there"));
}

/// What a section of a part holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// Keys in their order.
    Keys,
    /// For each key its state.
    States,
    /// Whole lines of events that are later than the cutoff.
    Late,
    /// The ids of all events, sorted (`ids.rs`).
    Ids,
    /// Those of them that an earlier day has, too.
    Earlier,
}

const SECTIONS: usize = 5;
/// The places of users, or of one entity.
const PLACES: usize = PARTS * SECTIONS;

impl Section {
    /// Hashes do not shrink, and single blocks of them are read.
    fn packed(self) -> bool {
        !matches!(self, Section::Ids | Section::Earlier)
    }
}

fn place(part: usize, section: Section) -> usize {
    part * SECTIONS + section as usize
}

/// A section ready to be written: made on any thread.
pub struct Stored {
    place: usize,
    bytes: Vec<u8>,
    len: u64,
    hash: u64,
}

impl Stored {
    pub fn new(part: usize, section: Section, raw: Vec<u8>) -> Stored {
        let (place, len) = (place(part, section), raw.len() as u64);
        let bytes = if section.packed() && !raw.is_empty() {
            PACKER.with_borrow_mut(|packer| packer.compress(&raw)).expect("memory takes what is written to it")
        } else {
            raw
        };
        Stored { place, hash: checksum(place as u64, &bytes), len, bytes }
    }
}

/// A file in the making: under a temporary name until it is whole and durable.
pub struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    temporary: PathBuf,
    at: u64,
    spans: Vec<Span>,
    /// The place of the first section that may still come.
    next: usize,
    filter: Option<Span>,
}

impl Writer {
    pub fn create(dir: &Path, name: &str) -> Result<Writer, Error> {
        let (path, temporary) = (dir.join(name), dir.join(format!("{name}.tmp")));
        let file = File::create(&temporary).map_err(Error::io(&temporary, "create"))?;
        let spans = vec![Span::default(); PLACES];
        let mut writer = Writer {
            out: BufWriter::with_capacity(1 << 18, file),
            path,
            temporary,
            at: 0,
            spans,
            next: 0,
            filter: None,
        };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::io(&self.temporary, "write"))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Puts the next section: by part, and within it in the order of `Section`. What is left out is empty.
    pub fn put(&mut self, section: &Stored) -> Result<(), Error> {
        let stored = section.bytes.len() as u64;
        assert!(self.filter.is_none() && self.next <= section.place, "sections come in their order");
        self.next = section.place + 1;
        if self.spans.len() < self.next {
            self.spans.resize(self.next.next_multiple_of(PLACES), Span::default());
        }
        self.spans[section.place] = Span { offset: self.at, stored, len: section.len, hash: section.hash };
        self.write(&section.bytes)
    }

    /// Puts the filter of the whole file behind the sections: its place is kept by the manifest.
    pub fn put_filter(&mut self, filter: &[u8]) -> Result<(), Error> {
        let len = filter.len() as u64;
        self.filter = Some(Span { offset: self.at, stored: len, len, hash: checksum(FILTER_SEED, filter) });
        self.write(filter)
    }

    /// Makes the file durable under its name.
    pub fn finish(mut self, counters: Vec<u64>) -> Result<FileRef, Error> {
        let mut index = Vec::new();
        for span in &self.spans {
            put_u64(&mut index, span.stored);
            if span.stored > 0 {
                put_u64(&mut index, span.len);
                index.extend_from_slice(&span.hash.to_le_bytes());
            }
        }
        let digest = checksum(INDEX_SEED, &index);
        self.write(&index)?;
        self.write(&(index.len() as u64).to_le_bytes())?;
        self.write(&digest.to_le_bytes())?;
        self.write(MAGIC)?;
        let fail = |doing| Error::io(&self.temporary, doing);
        self.out.flush().map_err(fail("write"))?;
        self.out.get_ref().sync_all().map_err(fail("make durable"))?;
        fs::rename(&self.temporary, &self.path).map_err(fail("rename"))?;
        sync_dir(parent(&self.path)).map_err(fail("make durable"))?;
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(FileRef { name, digest, bytes: self.at, counters, entities: Vec::new(), filter: self.filter })
    }
}

/// A file that the manifest names. Opened for each read: there may be more of them than a process may hold open.
pub struct Reader<'a> {
    path: PathBuf,
    file: &'a FileRef,
    spans: Vec<Span>,
    meter: &'a AtomicU64,
}

impl<'a> Reader<'a> {
    /// Reads the index; `meter` counts all bytes read.
    pub fn open(dir: &Path, file: &'a FileRef, meter: &'a AtomicU64) -> Result<Reader<'a>, Error> {
        let mut reader = Reader { path: dir.join(&file.name), file, spans: Vec::new(), meter };
        let trailer = reader.bytes(file.bytes.saturating_sub(TRAILER), TRAILER)?;
        let word = |at: usize| u64::from_le_bytes(trailer[at..at + 8].try_into().expect("eight bytes"));
        let (len, digest) = (word(0), word(8));
        if &trailer[16..] != MAGIC || digest != file.digest || len > file.bytes {
            return Err(Error::damaged(&file.name, "not the file that was written"));
        }
        let index = reader.bytes((file.bytes - TRAILER).saturating_sub(len), len)?;
        if checksum(INDEX_SEED, &index) != digest {
            return Err(Error::damaged(&file.name, "the checksum of its index is wrong"));
        }
        reader.spans = spans(&index).ok_or_else(|| Error::damaged(&file.name, "its index cannot be read"))?;
        Ok(reader)
    }

    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// The raw bytes of a section.
    pub fn read(&self, part: usize, section: Section) -> Result<Vec<u8>, Error> {
        let place = place(part, section);
        let span = self.span(place)?;
        let bytes = self.bytes(span.offset, span.stored)?;
        if checksum(place as u64, &bytes) != span.hash && span.stored > 0 {
            return Err(Error::damaged(&self.file.name, "a checksum is wrong"));
        }
        if !section.packed() || bytes.is_empty() {
            return Ok(bytes);
        }
        let raw = UNPACKER.with_borrow_mut(|unpacker| unpacker.decompress(&bytes, span.len as usize));
        raw.map_err(|_| Error::damaged(&self.file.name, "a section cannot be unpacked"))
    }

    fn span(&self, place: usize) -> Result<&Span, Error> {
        self.spans.get(place).ok_or_else(|| Error::damaged(&self.file.name, "it lacks what it should hold"))
    }

    /// How long a section is that is not packed.
    pub fn len(&self, part: usize, section: Section) -> Result<u64, Error> {
        Ok(self.span(place(part, section))?.stored)
    }

    /// Some bytes of a section that is not packed: it has checksums of its own inside.
    pub fn some(&self, part: usize, section: Section, from: u64, len: u64) -> Result<Vec<u8>, Error> {
        self.bytes(self.span(place(part, section))?.offset + from, len)
    }

    fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        read_at(&self.path, self.file, offset, len, self.meter)
    }
}

/// The filter of a file, without its index.
pub fn filter(dir: &Path, file: &FileRef, meter: &AtomicU64) -> Result<Vec<u8>, Error> {
    let span = file.filter.as_ref().ok_or_else(|| Error::damaged(&file.name, "it has no filter"))?;
    let bytes = read_at(&dir.join(&file.name), file, span.offset, span.stored, meter)?;
    if checksum(FILTER_SEED, &bytes) != span.hash {
        return Err(Error::damaged(&file.name, "the checksum of its filter is wrong"));
    }
    Ok(bytes)
}

/// A file that is gone or too short is as good as damaged; any other fault is the system's.
fn read_at(path: &Path, file: &FileRef, offset: u64, len: u64, meter: &AtomicU64) -> Result<Vec<u8>, Error> {
    if offset.checked_add(len).is_none_or(|end| end > file.bytes) {
        return Err(Error::damaged(&file.name, "its index points outside"));
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        File::open(path)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    };
    meter.fetch_add(len, Ordering::Relaxed);
    read().map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::damaged(&file.name, "it is gone"),
        ErrorKind::UnexpectedEof => Error::damaged(&file.name, "it is too short"),
        _ => Error::io(path, "read")(e),
    })
}

/// The index: for each section its length, and, if there is any, that without packing and the checksum. They stand
/// one behind the other.
fn spans(mut index: &[u8]) -> Option<Vec<Span>> {
    let mut spans = Vec::with_capacity(PLACES);
    let mut offset = MAGIC.len() as u64;
    while !index.is_empty() {
        let stored = get_u64(&mut index)?;
        let mut span = Span { offset, stored, ..Span::default() };
        if stored > 0 {
            span.len = get_u64(&mut index)?;
            let (hash, rest) = index.split_first_chunk::<8>()?;
            (span.hash, index) = (u64::from_le_bytes(*hash), rest);
        }
        offset = offset.checked_add(stored)?;
        spans.push(span);
    }
    (!spans.is_empty() && spans.len().is_multiple_of(PLACES)).then_some(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_come_back_and_any_changed_byte_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = Writer::create(dir.path(), "x.day").expect("created");
        let keys = b"some keys, some keys, some keys".to_vec();
        writer.put(&Stored::new(3, Section::Keys, keys.clone())).expect("written");
        writer.put(&Stored::new(3, Section::Ids, vec![7; 40])).expect("written");
        // Of an entity.
        writer.put(&Stored::new(PARTS + 9, Section::Keys, keys.clone())).expect("written");
        writer.put_filter(b"filter").expect("written");
        let file = writer.finish(vec![1, 2]).expect("finished");
        let meter = AtomicU64::new(0);
        let all = |file: &FileRef| -> Result<(), Error> {
            let reader = Reader::open(dir.path(), file, &meter)?;
            let seen = (reader.read(3, Section::Keys)?, reader.read(3, Section::Ids)?, reader.read(9, Section::Late)?);
            assert_eq!(seen, (keys.clone(), vec![7; 40], Vec::new()));
            assert_eq!(filter(dir.path(), file, &meter)?, b"filter");
            let of_entity = (reader.read(PARTS + 9, Section::Keys)?, reader.read(2 * PARTS - 1, Section::States)?);
            assert_eq!(of_entity, (keys.clone(), Vec::new()));
            assert!(matches!(reader.read(2 * PARTS, Section::Keys), Err(Error::Damaged { .. })), "no second entity");
            Ok(())
        };
        all(&file).expect("whole");
        assert!(meter.into_inner() > 0);
        let path = dir.path().join("x.day");
        let whole = fs::read(&path).expect("read");
        let meter = AtomicU64::new(0);
        let all = |file: &FileRef| -> Result<(), Error> {
            let reader = Reader::open(dir.path(), file, &meter)?;
            reader.read(3, Section::Keys)?;
            reader.read(3, Section::Ids)?;
            reader.read(PARTS + 9, Section::Keys)?;
            filter(dir.path(), file, &meter)?;
            Ok(())
        };
        // The magic at the very start is for people and `file`: nothing is read from it.
        for at in MAGIC.len()..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).expect("written");
            assert!(matches!(all(&file), Err(Error::Damaged { .. })), "byte {at}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).expect("written");
        assert!(matches!(all(&file), Err(Error::Damaged { .. })));
        fs::remove_file(&path).expect("removed");
        assert!(matches!(all(&file), Err(Error::Damaged { .. })));
    }
}
