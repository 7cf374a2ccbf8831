//! The feed: one input read by a thread of its own, a little ahead of who works on it.
//!
//! So it is known whether more has arrived already, and a signal is heard though nothing
//! comes. What was taken from the input before the signal is still given out.

use crate::stop;
use adprof::lines::open_input;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use memchr::memchr;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A read's worth: what a pipe holds twice over.
const BLOCK: usize = 128 * 1024;
/// Blocks read ahead: what arrives while the disk syncs.
const AHEAD: usize = 32;
/// How often a signal is looked for while nothing comes.
const LOOK: Duration = Duration::from_millis(50);

/// A buffer and how many of its bytes were read.
type Block = (Vec<u8>, usize);

/// An input, decoded and read ahead.
pub struct Feed {
    /// Blocks read ahead in which a line ends.
    ends_ahead: Arc<AtomicUsize>,
    full: Receiver<io::Result<Block>>,
    empty: Sender<Vec<u8>>,
    now: Block,
    given: usize,
}

impl Feed {
    /// Begins to read `raw`, which may be packed. Its faults are told by `read`.
    pub fn start(raw: Box<dyn Read + Send>) -> io::Result<Feed> {
        let (send, full) = bounded(AHEAD);
        let (empty, used) = bounded(AHEAD);
        let ends_ahead = Arc::new(AtomicUsize::new(0));
        let ends = ends_ahead.clone();
        thread::Builder::new().name("input".into()).spawn(move || {
            if let Err(e) = pump(raw, &send, &used, &ends) {
                // Nobody listens any more when this fails.
                let _ = send.send(Err(e));
            }
        })?;
        Ok(Feed { ends_ahead, full, empty, now: (Vec::new(), 0), given: 0 })
    }

    /// Whether no line ends in what has arrived and was not given out: the next line may have to be waited for.
    pub fn idle(&self) -> bool {
        self.ends_ahead.load(Ordering::Acquire) == 0 && !ends_line(&self.now.0[self.given..self.now.1])
    }
}

fn ends_line(bytes: &[u8]) -> bool {
    memchr(b'\n', bytes).is_some()
}

fn pump(
    raw: Box<dyn Read + Send>,
    full: &Sender<io::Result<Block>>,
    used: &Receiver<Vec<u8>>,
    ends_ahead: &AtomicUsize,
) -> io::Result<()> {
    let mut input = open_input(raw)?;
    while !stop::asked() {
        let mut buffer = used.try_recv().unwrap_or_else(|_| vec![0; BLOCK]);
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                // Before it is sent: who takes it counts it down.
                if ends_line(&buffer[..n]) {
                    ends_ahead.fetch_add(1, Ordering::Release);
                }
                if full.send(Ok((buffer, n))).is_err() {
                    return Ok(());
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.now.1 {
            match self.full.recv_timeout(LOOK) {
                Ok(block) => {
                    let (used, _) = std::mem::replace(&mut self.now, block?);
                    self.given = 0;
                    if ends_line(&self.now.0[..self.now.1]) {
                        self.ends_ahead.fetch_sub(1, Ordering::Release);
                    }
                    // The very first is none: read into, it would look like the end. No room: one more than are needed.
                    if !used.is_empty() {
                        let _ = self.empty.try_send(used);
                    }
                }
                // Told to stop, a line that is not whole is none.
                Err(_) if stop::asked() => return Err(io::Error::other(Stopped)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let n = out.len().min(self.now.1 - self.given);
        out[..n].copy_from_slice(&self.now.0[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

/// Why a feed gives no more: the program was told to stop.
#[derive(Debug)]
struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped by a signal")
    }
}

impl std::error::Error for Stopped {}

/// Whether an error of a feed is no fault of the input but the wish to stop.
pub fn is_stop(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_out_in_order_however_much_there_is() {
        let bytes: Vec<u8> = (0..3 * AHEAD * BLOCK + 7).map(|i| b'a' + (i % 23) as u8).collect();
        let mut out = Vec::new();
        let mut feed = Feed::start(Box::new(io::Cursor::new(bytes.clone()))).expect("starts");
        feed.read_to_end(&mut out).expect("no fault");
        assert!(out == bytes && feed.idle());
    }
}
