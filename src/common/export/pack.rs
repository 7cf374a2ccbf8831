//! Packing: bytes gathered, compressed where that is asked for, and handed on in large pieces.
//!
//! Each piece is a gzip member or a zstd frame of its own, which all readers of the two read on over. So what is not written
//! yet costs no more than a piece, however many files are open at once.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    pub const ALL: [Packing; 3] = [Packing::None, Packing::Gzip, Packing::Zstd];

    pub fn name(self) -> &'static str {
        match self {
            Packing::None => "none",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Packing> {
        Packing::ALL.into_iter().find(|packing| packing.name() == name)
    }

    /// What names of files end with.
    pub fn ending(self) -> &'static str {
        match self {
            Packing::None => "",
            Packing::Gzip => ".gz",
            Packing::Zstd => ".zst",
        }
    }

    /// Bytes of a piece that is worth its head, where memory is no matter.
    pub fn piece(self) -> usize {
        if self == Packing::None { 1 << 16 } else { 1 << 20 }
    }

    fn write_piece(self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        match self {
            Packing::None => out.write_all(bytes),
            Packing::Gzip => {
                let mut packed = GzEncoder::new(Vec::new(), Compression::default());
                packed.write_all(bytes)?;
                out.write_all(&packed.finish()?)
            }
            Packing::Zstd => out.write_all(&zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        }
    }
}

/// Packs what is written.
pub struct Packed<W> {
    out: W,
    packing: Packing,
    gathered: Vec<u8>,
    piece: usize,
    /// Whether `out` has something: an empty file is no gzip.
    begun: bool,
}

impl<W: Write> Packed<W> {
    /// `piece`: bytes that are gathered before they go to `out`.
    pub fn new(out: W, packing: Packing, piece: usize) -> Packed<W> {
        Packed { out, packing, gathered: Vec::new(), piece, begun: false }
    }

    /// Writes what is left and gives back where it went.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.gathered.is_empty() || !self.begun {
            self.hand_on()?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.begun = true;
        self.packing.write_piece(&self.gathered, &mut self.out)?;
        self.gathered.clear();
        Ok(())
    }
}

impl<W: Write> Write for Packed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= self.piece {
            self.hand_on()?;
        }
        Ok(bytes.len())
    }

    /// Does nothing: pieces go when they are full, and the last one at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn pieces_read_back_as_one_and_nothing_is_a_file_too() {
        let text: Vec<u8> = (0..10_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        for bytes in [&text[..], b""] {
            for packing in Packing::ALL {
                let mut packed = Packed::new(Vec::new(), packing, 1000);
                bytes.chunks(77).for_each(|part| packed.write_all(part).expect("written"));
                let packed = packed.finish().expect("finished");
                assert!(packing == Packing::None || !packed.is_empty());
                let mut read = Vec::new();
                match packing {
                    Packing::None => read = packed,
                    Packing::Gzip => {
                        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut read).map(drop).expect("gzip");
                    }
                    Packing::Zstd => read = zstd::decode_all(&packed[..]).expect("zstd"),
                }
                assert!(read == bytes, "{packing:?}");
            }
        }
    }
}
