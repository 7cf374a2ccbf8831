//! Frames: packed files that can be read from many places at once.
//!
//! A packed file is zstd frames of some MiB of whole lines each, and behind them a table of their sizes in the seekable
//! format: any zstd reads the file from its beginning, and who knows the table reads any frame alone.

use memchr::memrchr;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;

/// Bytes of lines in a frame: enough to pack well, few enough that many threads find work in one file.
pub const FRAME_BYTES: usize = 8 << 20;
/// A frame ends inside a line only when the line is longer than this: no event is. Such a file has no table.
const FRAME_MAX: usize = 4 * FRAME_BYTES;
const SKIPPABLE: u32 = 0x184d_2a5e;
const SEEKABLE: u32 = 0x8f92_eab1;
/// Of the table: its header, one entry, its footer.
const HEAD: u64 = 8;
const ENTRY: u64 = 8;
const FOOT: u64 = 9;

/// Packs lines into frames.
pub struct FrameWriter<W> {
    out: W,
    compressor: zstd::bulk::Compressor<'static>,
    waiting: Vec<u8>,
    target: usize,
    /// Packed and decoded size of each frame.
    sizes: Vec<(u32, u32)>,
    /// Whether every frame so far is whole lines.
    whole: bool,
}

impl<W: Write> FrameWriter<W> {
    /// A writer of frames at a zstd level.
    pub fn new(out: W, level: i32) -> io::Result<FrameWriter<W>> {
        FrameWriter::with_target(out, level, FRAME_BYTES)
    }

    fn with_target(out: W, level: i32, target: usize) -> io::Result<FrameWriter<W>> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        // A flipped bit in a frame is an error, never another event.
        compressor.include_checksum(true)?;
        Ok(FrameWriter { out, compressor, waiting: Vec::new(), target, sizes: Vec::new(), whole: true })
    }

    /// Takes lines, cut anywhere.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < self.target {
            return Ok(());
        }
        match memrchr(b'\n', &self.waiting) {
            Some(at) => self.frame(at + 1),
            None if self.waiting.len() > FRAME_MAX => {
                self.whole = false;
                self.frame(self.waiting.len())
            }
            None => Ok(()),
        }
    }

    /// Writes what waits, and the table. A file without a line is one empty frame: it is known by its first bytes.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.waiting.is_empty() || self.sizes.is_empty() {
            self.frame(self.waiting.len())?;
        }
        if !self.whole {
            return Ok(self.out);
        }
        let mut table = SKIPPABLE.to_le_bytes().to_vec();
        let size = self.sizes.len() as u64 * ENTRY + FOOT;
        let size = u32::try_from(size).map_err(|_| io::Error::other("more frames than a table can hold"))?;
        table.extend_from_slice(&size.to_le_bytes());
        for (packed, decoded) in &self.sizes {
            table.extend_from_slice(&packed.to_le_bytes());
            table.extend_from_slice(&decoded.to_le_bytes());
        }
        table.extend_from_slice(&(self.sizes.len() as u32).to_le_bytes());
        table.push(0);
        table.extend_from_slice(&SEEKABLE.to_le_bytes());
        self.out.write_all(&table)?;
        Ok(self.out)
    }

    fn frame(&mut self, len: usize) -> io::Result<()> {
        let packed = self.compressor.compress(&self.waiting[..len])?;
        self.out.write_all(&packed)?;
        let size = |n: usize| u32::try_from(n).map_err(|_| io::Error::other("a line of more than 4 GiB"));
        self.sizes.push((size(packed.len())?, size(len)?));
        self.waiting.drain(..len);
        Ok(())
    }
}

/// One frame of a packed file. It begins with the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its first byte in the file, and how many there are.
    pub offset: u64,
    pub len: u32,
    /// Its first byte in the decoded file, and how many there are.
    pub decoded_offset: u64,
    pub decoded_len: u32,
}

/// The frames of a packed file by the table at its end; `None` when there is none, or one that does not fit the file.
pub fn frames(file: &File) -> io::Result<Option<Vec<Frame>>> {
    let len = file.metadata()?.len();
    let mut foot = [0; FOOT as usize];
    if len < HEAD + FOOT {
        return Ok(None);
    }
    file.read_exact_at(&mut foot, len - FOOT)?;
    let count = u64::from(u32_at(&foot, 0));
    let size = HEAD + count * ENTRY + FOOT;
    if u32_at(&foot, 5) != SEEKABLE || foot[4] != 0 || size > len {
        return Ok(None);
    }
    let mut table = vec![0; (size - FOOT) as usize];
    file.read_exact_at(&mut table, len - size)?;
    if u32_at(&table, 0) != SKIPPABLE || u64::from(u32_at(&table, 4)) != size - HEAD {
        return Ok(None);
    }
    let (mut offset, mut decoded_offset) = (0, 0);
    let mut frames = Vec::with_capacity(count as usize);
    for entry in table[HEAD as usize..].chunks_exact(ENTRY as usize) {
        let (len, decoded_len) = (u32_at(entry, 0), u32_at(entry, 4));
        frames.push(Frame { offset, len, decoded_offset, decoded_len });
        offset += u64::from(len);
        decoded_offset += u64::from(decoded_len);
    }
    Ok((offset == len - size).then_some(frames))
}

/// The lines of one frame.
pub fn read_frame(file: &File, frame: &Frame) -> io::Result<Vec<u8>> {
    let mut packed = vec![0; frame.len as usize];
    file.read_exact_at(&mut packed, frame.offset)?;
    let lines = zstd::bulk::decompress(&packed, frame.decoded_len as usize)?;
    if lines.len() != frame.decoded_len as usize {
        return Err(io::Error::new(ErrorKind::InvalidData, "a frame holds less than the table says"));
    }
    Ok(lines)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::open_input;
    use proptest::prelude::*;
    use std::io::{Read, Seek};

    fn packed(bytes: &[u8], target: usize, step: usize) -> File {
        let mut writer =
            FrameWriter::with_target(tempfile::tempfile().expect("a file"), 3, target).expect("a compressor");
        bytes.chunks(step).for_each(|piece| writer.write(piece).expect("packed"));
        writer.finish().expect("packed")
    }

    proptest! {
        #[test]
        fn frames_are_whole_lines_and_together_the_file_however_it_is_read(
            lines in proptest::collection::vec("[a-f]{0,40}", 0..60), target in 1usize..200, step in 1usize..90,
        ) {
            let bytes = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
            let mut file = packed(&bytes, target, step);
            let frames = frames(&file).expect("reads").expect("a table");
            let mut together = Vec::new();
            for frame in &frames {
                prop_assert_eq!(frame.decoded_offset, together.len() as u64);
                let lines = read_frame(&file, frame).expect("reads");
                prop_assert!(lines.is_empty() && bytes.is_empty() || lines.ends_with(b"\n"));
                together.extend_from_slice(&lines);
            }
            prop_assert_eq!(&together, &bytes);
            if step == 1 && bytes.len() > 1 {
                prop_assert!(frames.len() >= bytes.len() / (target + 41));
            }
            file.rewind().expect("a file");
            let mut streamed = Vec::new();
            open_input(Box::new(file)).expect("zstd").read_to_end(&mut streamed).expect("decodes");
            prop_assert_eq!(streamed, bytes);
        }
    }

    #[test]
    fn a_file_without_a_table_or_with_a_wrong_one_has_no_frames() {
        let mut plain = tempfile::tempfile().expect("a file");
        plain.write_all(&zstd::stream::encode_all(&b"{}\n"[..], 1).expect("in memory")).expect("written");
        assert_eq!(frames(&plain).expect("reads"), None);
        let good = packed(b"{}\n{}\n", 3, 3);
        let mut bytes = vec![0; good.metadata().expect("there").len() as usize];
        good.read_exact_at(&mut bytes, 0).expect("reads");
        for cut in [1, 5, 9, 20] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&bytes[cut..]).expect("written");
            assert_eq!(frames(&file).expect("reads"), None, "the first {cut} bytes are gone");
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&bytes[..bytes.len() - cut]).expect("written");
            assert_eq!(frames(&file).expect("reads"), None, "the last {cut} bytes are gone");
        }
    }

    #[test]
    fn a_line_that_no_frame_holds_takes_the_table_away() {
        let line = [vec![b'x'; FRAME_MAX + 2 * FRAME_BYTES], vec![b'\n']].concat();
        let mut file = packed(&line, FRAME_BYTES, 1 << 20);
        assert_eq!(frames(&file).expect("reads"), None);
        file.rewind().expect("a file");
        let mut streamed = Vec::new();
        open_input(Box::new(file)).expect("zstd").read_to_end(&mut streamed).expect("decodes");
        assert!(streamed == line);
    }

    #[test]
    fn a_flipped_bit_in_a_frame_is_an_error() {
        let file = packed(b"{\"a\":\"some text that is packed\"}\n", 3, 3);
        let frame = frames(&file).expect("reads").expect("a table")[0];
        let mut bytes = vec![0; file.metadata().expect("there").len() as usize];
        file.read_exact_at(&mut bytes, 0).expect("reads");
        for bit in 0..frame.len as usize * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let mut other = tempfile::tempfile().expect("a file");
            other.write_all(&broken).expect("written");
            if let Ok(read) = read_frame(&other, &frame) {
                assert_eq!(read, b"{\"a\":\"some text that is packed\"}\n", "bit {bit}");
            }
        }
    }
}
