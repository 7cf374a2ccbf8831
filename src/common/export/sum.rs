//! Sums: the bytes and the SHA-256 of what is written, as it passes.

use crate::quality::hex;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// A writer that knows what went through it.
pub struct Summed<W> {
    out: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Summed<W> {
    pub fn new(out: W) -> Summed<W> {
        Summed { out, hash: Sha256::new(), bytes: 0 }
    }

    /// How many bytes there were, and their SHA-256 in hex.
    pub fn finish(self) -> (u64, String) {
        (self.bytes, hex(&self.hash.finalize()))
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.bytes += n as u64;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
