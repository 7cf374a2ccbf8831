//! Inputs: plain, gzip, zstd or Parquet, told apart by their first bytes. Parquet is read as a row a line.
//!
//! Decoding never needs more memory than one window, and a broken or cut stream is an
//! error that says where, never a silent end.

use crate::columns::{MAGIC, Rows, begins_as_parquet};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

/// Largest zstd window accepted, as a power of two: 128 MiB, what the zstd tool itself accepts unasked.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const RAW_BUFFER: usize = 128 * 1024;

/// How bytes are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Plain,
    Gzip,
    Zstd,
    Parquet,
}

impl Form {
    /// The form of an input that begins with `bytes`; `None`: more bytes must be seen.
    pub fn of(bytes: &[u8]) -> Option<Form> {
        let begins = |magic: &[u8]| bytes.starts_with(magic);
        // A zstd stream may open with a skippable frame, as parallel compressors write.
        let skippable = matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        if begins(b"\x1f\x8b") {
            Some(Form::Gzip)
        } else if begins(b"\x28\xb5\x2f\xfd") || skippable {
            Some(Form::Zstd)
        } else if begins(MAGIC) {
            Some(Form::Parquet)
        } else if may_become_packed(bytes) {
            None
        } else {
            Some(Form::Plain)
        }
    }

    /// The form a whole input has that begins, and perhaps ends, with `bytes`.
    pub fn of_whole(bytes: &[u8]) -> Form {
        Form::of(bytes).unwrap_or(Form::Plain)
    }

    fn name(self) -> &'static str {
        match self {
            Form::Plain => "plain",
            Form::Gzip => "gzip",
            Form::Zstd => "zstd",
            Form::Parquet => "Parquet",
        }
    }
}

fn may_become_packed(bytes: &[u8]) -> bool {
    let skippable = |bytes: &[u8]| match bytes.split_first() {
        None => true,
        Some((first, rest)) => (0x50..=0x5f).contains(first) && b"\x2a\x4d\x18".starts_with(rest),
    };
    b"\x1f\x8b".starts_with(bytes)
        || MAGIC.starts_with(bytes)
        || b"\x28\xb5\x2f\xfd".starts_with(bytes)
        || skippable(bytes)
}

type Raw = Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;
type Packed = Counted<BufReader<Raw>>;

/// An input decoded as it is read.
pub struct Input {
    form: Form,
    decoder: Decoder,
}

enum Decoder {
    Plain(Raw),
    Gzip(Box<MultiGzDecoder<Packed>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Packed>>),
    Parquet(Box<Rows>),
}

impl Input {
    pub fn form(&self) -> Form {
        self.form
    }

    /// Bytes of the packed input used so far, for progress; `None` for plain input and Parquet.
    pub fn packed_offset(&self) -> Option<u64> {
        match &self.decoder {
            Decoder::Plain(_) | Decoder::Parquet(_) => None,
            Decoder::Gzip(decoder) => Some(decoder.get_ref().used),
            Decoder::Zstd(decoder) => Some(decoder.get_ref().used),
        }
    }

    /// What the decoder complains about, with the place; faults of the system stay as they are.
    fn explain(&self, error: io::Error) -> io::Error {
        let Some(at) = self.packed_offset() else { return error };
        if error.raw_os_error().is_some() || error.kind() == ErrorKind::Interrupted {
            return error;
        }
        let name = self.form.name();
        match error.kind() {
            ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), format!("the {name} data is cut off at byte {at}"))
            }
            _ => io::Error::new(ErrorKind::InvalidData, format!("broken {name} data at byte {at}: {error}")),
        }
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let outcome = match &mut self.decoder {
            Decoder::Plain(raw) => raw.read(out),
            Decoder::Gzip(decoder) => decoder.read(out),
            Decoder::Zstd(decoder) => decoder.read(out),
            Decoder::Parquet(rows) => rows.read(out),
        };
        outcome.map_err(|e| self.explain(e))
    }
}

/// Looks at the first bytes of `input` and decodes it accordingly. Several gzip members or zstd frames in a row are one input.
///
/// Reads no further than the form is certain, so a terminal is not kept waiting. Parquet is kept in a temporary file: it
/// cannot be read before its end is there. `open_file` needs none.
pub fn open_input(mut input: Box<dyn Read + Send>) -> io::Result<Input> {
    let (mut first, mut have) = ([0u8; 4], 0);
    let form = loop {
        if let Some(form) = Form::of(&first[..have]) {
            break form;
        }
        match input.read(&mut first[have..]) {
            Ok(0) => break Form::Plain,
            Ok(n) => have += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    };
    let raw = Cursor::new(first[..have].to_vec()).chain(input);
    let packed = |raw| Counted { inner: BufReader::with_capacity(RAW_BUFFER, raw), used: 0 };
    let decoder = match form {
        Form::Plain => Decoder::Plain(raw),
        Form::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(packed(raw)))),
        Form::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed(raw))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Decoder::Zstd(Box::new(decoder))
        }
        Form::Parquet => Decoder::Parquet(Box::new(Rows::open(spooled(raw)?)?)),
    };
    Ok(Input { form, decoder })
}

fn spooled(mut raw: Raw) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut raw, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// Decodes a file as `open_input` does, a regular one without a copy.
pub fn open_file(file: File) -> io::Result<Input> {
    if file.metadata()?.is_file() && begins_as_parquet(&file)? {
        return Ok(Input { form: Form::Parquet, decoder: Decoder::Parquet(Box::new(Rows::open(file)?)) });
    }
    open_input(Box::new(file))
}

/// Opens a file, or standard input for `-`. A directory is an error.
pub fn open_path(path: &Path) -> io::Result<Input> {
    if path.as_os_str() == "-" {
        // The descriptor itself: the standard library's buffer of 8 KiB would only stand in the way.
        return open_file(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "is a directory"));
    }
    open_file(file)
}

/// How messages and dead letters call an input: its file name as typed, `stdin` for `-`.
pub fn source_name(path: &Path) -> String {
    if path.as_os_str() == "-" { "stdin".into() } else { path.to_string_lossy().into_owned() }
}

/// Counts the bytes taken out of a buffered reader, not those read ahead.
struct Counted<R> {
    inner: R,
    used: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.used += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.used += n as u64;
        self.inner.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{Lines, Text};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).expect("in memory")
    }

    fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        open_input(Box::new(Cursor::new(bytes.to_vec())))?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn body(n: usize) -> Vec<u8> {
        (0..n).flat_map(|i| format!("line {i} {}\n", i * i % 977).into_bytes()).collect()
    }

    #[test]
    fn the_first_bytes_tell_the_form() {
        let text = body(100);
        for (bytes, form) in [
            (text.clone(), Form::Plain),
            (gzip(&text), Form::Gzip),
            (zstd_frame(&text), Form::Zstd),
            ([&b"\x52\x2a\x4d\x18\x02\0\0\0ab"[..], &zstd_frame(&text)].concat(), Form::Zstd),
        ] {
            assert_eq!(decode(&bytes).expect("decodes"), text, "{form:?}");
            let input = open_input(Box::new(Cursor::new(bytes))).expect("opens");
            assert_eq!(input.form(), form);
        }
        for short in [&b""[..], b"\x1f", b"\x28\xb5", b"(", b"P", b"{"] {
            assert_eq!(decode(short).expect("plain"), short);
        }
    }

    #[test]
    fn members_and_frames_in_a_row_are_one_input() {
        let (a, b) = (body(50), body(3));
        assert_eq!(decode(&[gzip(&a), gzip(b""), gzip(&b)].concat()).expect("decodes"), [&a[..], &b].concat());
        assert_eq!(decode(&[zstd_frame(&a), zstd_frame(&b)].concat()).expect("decodes"), [&a[..], &b].concat());
    }

    #[test]
    fn a_cut_stream_is_an_error_with_its_offset_at_every_byte() {
        for (pack, magic) in [(gzip as fn(&[u8]) -> Vec<u8>, 2), (zstd_frame, 4)] {
            let (first, second) = (pack(&body(20)), pack(&body(9)));
            let whole = [&first[..], &second].concat();
            for cut in magic..whole.len() {
                let outcome = decode(&whole[..cut]);
                if cut == first.len() {
                    assert_eq!(outcome.expect("whole members"), body(20));
                    continue;
                }
                let error = outcome.expect_err("cut").to_string();
                assert!(error.contains(&format!("cut off at byte {cut}")), "{cut} of {}: {error}", whole.len());
            }
        }
    }

    #[test]
    fn a_flipped_byte_is_an_error_and_says_where() {
        let mut bytes = gzip(&body(1000));
        let at = bytes.len() - 6; // in the checksum
        bytes[at] ^= 1;
        let error = decode(&bytes).expect_err("a wrong checksum").to_string();
        assert!(error.starts_with("broken gzip data at byte "), "{error}");
    }

    #[test]
    fn a_bomb_is_one_line_too_long() {
        let len = 32 << 20;
        let zeros = || io::repeat(b'0').take(len);
        let mut packed = flate2::read::GzEncoder::new(zeros(), flate2::Compression::fast());
        let mut bomb = Vec::new();
        packed.read_to_end(&mut bomb).expect("in memory");
        for bomb in [bomb, zstd::stream::encode_all(zeros(), 1).expect("in memory")] {
            assert!((bomb.len() as u64) < len / 100);
            let mut lines = Lines::new(open_input(Box::new(Cursor::new(bomb))).expect("opens"));
            let line = lines.next().expect("decodes").expect("a line");
            assert!(matches!(line.text, Text::TooLong { len: seen, .. } if seen == len));
        }
    }

    #[test]
    fn a_zstd_window_beyond_the_limit_is_refused_before_memory_is_taken() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("encoder");
        encoder.window_log(28).expect("a legal window");
        encoder.write_all(&body(10)).expect("in memory");
        let bytes = encoder.finish().expect("in memory");
        let error = decode(&bytes).expect_err("too large a window").to_string();
        assert!(error.starts_with("broken zstd data at byte "), "{error}");
    }
}
