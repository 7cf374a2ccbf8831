//! The collector: lines in, events in the log.
//!
//! It validates, stamps the receipt and appends; what `commit` returned for was
//! accepted for good. All other bytes of an event stay as they came.

use super::gate::Gate;
use super::{Error, LogWriter, Position};
use crate::event::{Event, Refusal, Rules, too_long};
use crate::limits::LINE_MAX;
use crate::time::Millis;

/// Bytes after which a group is worth a sync: large enough that its cost vanishes, small enough not to make anyone wait.
pub const GROUP_BYTES: u64 = 4 << 20;

/// What became of one line.
#[derive(Debug, PartialEq, Eq)]
pub enum Offered {
    /// In the log after the next `commit`.
    Accepted,
    /// Nothing but blanks.
    Blank,
    /// Of a forgotten user: it goes nowhere.
    Forgotten,
    /// For the dead letters.
    Refused(Refusal),
}

/// Validates lines and appends them to a log. Accepted is acknowledged only after `commit`.
#[derive(Debug)]
pub struct Collector {
    log: LogWriter,
    rules: Rules,
    stamped: Vec<u8>,
    pending: u64,
    gate: Gate,
}

impl Collector {
    pub fn new(log: LogWriter, rules: Rules) -> Collector {
        let gate = Gate::of(log.path());
        Collector { log, rules, stamped: Vec::new(), pending: 0, gate }
    }

    /// Whether a refused line names a forgotten user: then it is no dead letter.
    pub fn is_forgotten(&mut self, line: &[u8]) -> Result<bool, Error> {
        Ok(self.gate.enter()?.is_named_in(line))
    }

    /// Takes one line, given without its newline and received at `now`. Errors are the log's, and final.
    pub fn offer(&mut self, line: &[u8], now: Millis) -> Result<Offered, Error> {
        self.stamped.clear();
        let event = match Event::parse(line, now, &self.rules) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Offered::Blank),
            Err(refusal) => return Ok(Offered::Refused(refusal)),
        };
        if self.gate.enter()?.drops(event.user_id.as_bytes(), event.timestamp) {
            return Ok(Offered::Forgotten);
        }
        if let Err(refusal) = stamp(&event, now, &mut self.stamped) {
            return Ok(Offered::Refused(refusal));
        }
        let received = event.received_at.unwrap_or(now);
        self.log.append(&self.stamped, received)?;
        self.pending += self.stamped.len() as u64 + 1;
        Ok(Offered::Accepted)
    }

    /// Whether enough was accepted since the last commit to make another worth its cost.
    pub fn due(&self) -> bool {
        self.pending >= GROUP_BYTES
    }

    /// Whether anything was accepted since the last commit.
    pub fn waiting(&self) -> bool {
        self.pending > 0
    }

    /// Makes everything accepted durable; now it may be acknowledged.
    pub fn commit(&mut self) -> Result<&Position, Error> {
        self.pending = 0;
        let gate = &mut self.gate;
        self.log.commit().inspect(|_| gate.leave())
    }

    pub fn log(&self) -> &LogWriter {
        &self.log
    }
}

/// Validates one line, appends it stamped and gives the instant of its receipt; `None`: the line is blank.
pub fn admit(line: &[u8], now: Millis, rules: &Rules, out: &mut Vec<u8>) -> Result<Option<Millis>, Refusal> {
    let Some(event) = Event::parse(line, now, rules)? else { return Ok(None) };
    stamp(&event, now, out)?;
    Ok(Some(event.received_at.unwrap_or(now)))
}

/// Appends the event's text with its `receivedAt`: `now` when it has none. Refused when that makes the line too long to be
/// read again.
pub fn stamp(event: &Event<'_>, now: Millis, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let line = event.line.as_bytes();
    let before = out.len();
    if event.received_at.is_some() {
        out.extend_from_slice(line);
        return Ok(());
    }
    let (from, to) = match event.raw("receivedAt") {
        // A null stands there: a second key of the name would make the line invalid.
        Some(raw) => {
            let at = raw.get().as_ptr() as usize - line.as_ptr() as usize;
            out.extend_from_slice(&line[..at]);
            (at + raw.get().len(), line.len())
        }
        None => {
            let brace = line.len() - 1;
            out.extend_from_slice(&line[..brace]);
            out.extend_from_slice(b",\"receivedAt\":");
            (brace, line.len())
        }
    };
    out.extend_from_slice(now.to_string().as_bytes());
    out.extend_from_slice(&line[from..to]);
    if out.len() - before > LINE_MAX {
        out.truncate(before);
        return Err(too_long());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Log, Options};
    use std::fs;

    const NOW: Millis = 1_731_300_000_000;

    fn stamped(line: &str) -> String {
        let event = Event::parse(line.as_bytes(), NOW, &Rules::default()).expect("valid").expect("not blank");
        let mut out = b"kept".to_vec();
        stamp(&event, NOW, &mut out).expect("short");
        String::from_utf8(out).expect("UTF-8").strip_prefix("kept").expect("what was there").to_owned()
    }

    #[test]
    fn the_stamp_goes_before_the_last_brace_and_no_other_byte_changes() {
        let head = r#"{"eventId":"e","userId":"u","eventType":"click","timestamp":1731296325000"#;
        for (line, want) in [
            (format!("{head}}}"), format!("{head},\"receivedAt\":{NOW}}}")),
            (format!(" {head} , \"x\" : {{}} }}\r"), format!("{head} , \"x\" : {{}} ,\"receivedAt\":{NOW}}}")),
            (format!("{head},\"receivedAt\":1731296326000}}"), format!("{head},\"receivedAt\":1731296326000}}")),
            (format!("{head},\"receivedAt\": null ,\"x\":1}}"), format!("{head},\"receivedAt\": {NOW} ,\"x\":1}}")),
            (format!("{head},\"\\u0072eceivedAt\":null}}"), format!("{head},\"\\u0072eceivedAt\":{NOW}}}")),
        ] {
            assert_eq!(stamped(&line), want);
            let event = Event::parse(want.as_bytes(), NOW, &Rules::default()).expect("still valid").expect("an event");
            assert!(event.received_at.is_some());
            assert_eq!(stamped(&want), want, "a second stamp changes nothing");
        }
    }

    #[test]
    fn what_is_accepted_can_be_read_again_up_to_the_last_byte() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let log = LogWriter::open(&path, "c", Options::default()).expect("opens");
        let mut collector = Collector::new(log, Rules::default());
        let line = |len: usize| {
            let head = r#"{"eventId":"e","userId":"u","eventType":"click","timestamp":1731296325000,"x":""#;
            format!("{head}{}\"}}", "x".repeat(len - head.len() - 2)).into_bytes()
        };
        let room = ",\"receivedAt\":1731300000000".len();
        assert_eq!(collector.offer(&line(LINE_MAX - room), NOW).expect("no fault"), Offered::Accepted);
        for len in [LINE_MAX - room + 1, LINE_MAX, LINE_MAX + 1] {
            assert_eq!(collector.offer(&line(len), NOW).expect("no fault"), Offered::Refused(too_long()));
        }
        assert_eq!(collector.offer(b" \r", NOW).expect("no fault"), Offered::Blank);
        assert!(collector.waiting() && !collector.due());
        collector.commit().expect("durable");
        let mut lines = 0;
        for chunk in Log::open(&path).expect("a log").chunks(1 << 20) {
            chunk
                .for_each_line(|line| {
                    let crate::lines::Text::Whole(bytes) = line.text else { panic!("too long") };
                    assert!(Event::parse(bytes, NOW, &Rules::default()).is_ok_and(|event| event.is_some()));
                    lines += 1;
                })
                .expect("reads");
        }
        assert_eq!((lines, fs::metadata(&path).expect("there").len()), (1, LINE_MAX as u64 + 1));
    }
}
