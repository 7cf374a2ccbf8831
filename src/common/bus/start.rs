//! Where reading begins: an end of the topic, a time, or the offsets a state has reached.
//!
//! A state's own offsets are exact: each carries a witness, the fingerprint of the last
//! message read, so that a topic made anew under the old name is noticed even when it
//! has grown past the offset.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

use super::batch::Message;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// The fingerprint of a message: its offset, and a hash of that, its timestamp, key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    pub offset: i64,
    pub hash: u64,
}

impl Witness {
    /// The fingerprint of `message`. The hash is the same on every machine and version.
    pub fn of(message: &Message<'_>) -> Witness {
        let mut hasher = SipHasher13::new_with_keys(0, 0);
        hasher.write_i64(message.offset.to_le());
        hasher.write_i64(message.timestamp.unwrap_or(i64::MIN).to_le());
        for part in [message.key, message.payload] {
            // Absent and empty differ, and so do ("ab", "c") and ("a", "bc").
            hasher.write_u64(part.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le());
            hasher.write(part.unwrap_or_default());
        }
        Witness { offset: message.offset, hash: hasher.finish() }
    }
}

/// What a state has reached in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    pub partition: i32,
    /// The offset of the message to read next.
    pub next: i64,
    /// The last message read, when one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartOffsets {
    /// At the oldest message there is.
    Beginning,
    /// After the newest message there is.
    End,
    /// At this offset, in every partition. It must exist or be the end.
    At(i64),
    /// This many messages before the end of each partition, or at its beginning.
    Last(i64),
    /// At the first message stamped at or after this instant (ms since the epoch).
    Since(i64),
    /// Where a state has got to. A partition it does not name begins at its beginning.
    Own {
        offsets: Vec<Owned>,
        /// How many partitions the topic had then; another number stops. `None`: any.
        partitions: Option<i32>,
    },
}

impl FromStr for StartOffsets {
    type Err = String;

    /// Reads kcat's `-o`: `beginning`, `end`, an offset, `-N` (the last N), `s@MS` (since).
    fn from_str(text: &str) -> Result<StartOffsets, String> {
        let bad = || format!("an offset is `beginning`, `end`, N, -N or s@MS, not: {text}");
        match text {
            "beginning" | "earliest" => return Ok(StartOffsets::Beginning),
            "end" | "latest" => return Ok(StartOffsets::End),
            _ => {}
        }
        if let Some(ms) = text.strip_prefix("s@") {
            return ms.parse().ok().filter(|ms| *ms >= 0).map(StartOffsets::Since).ok_or_else(bad);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let n = digits.parse().map_err(|_| bad())?;
        Ok(if text.starts_with('-') { StartOffsets::Last(n) } else { StartOffsets::At(n) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kcats_words_mean_what_they_mean_there() {
        for (text, start) in [
            ("beginning", StartOffsets::Beginning),
            ("end", StartOffsets::End),
            ("17", StartOffsets::At(17)),
            ("-5", StartOffsets::Last(5)),
            ("s@1731296325000", StartOffsets::Since(1_731_296_325_000)),
        ] {
            assert_eq!(text.parse(), Ok(start), "{text}");
        }
        for text in ["", "-", "stored", "s@", "s@-1", "+3", "1e3", "--2", "99999999999999999999"] {
            assert!(text.parse::<StartOffsets>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_witness_differs_when_anything_of_the_message_does() {
        let message = Message { offset: 4, timestamp: Some(9), key: Some(b"ab"), payload: Some(b"c") };
        let others = [
            Message { offset: 5, ..message },
            Message { timestamp: None, ..message },
            Message { key: Some(b"a"), payload: Some(b"bc"), ..message },
            Message { key: None, ..message },
            Message { payload: None, ..message },
            Message { payload: Some(b""), ..message },
        ];
        for other in &others {
            assert_ne!(Witness::of(&message).hash, Witness::of(other).hash, "{other:?}");
        }
        // Stored in states: it may never change.
        assert_eq!(Witness::of(&message).hash, 2_962_914_106_004_060_419);
    }
}
