//! Records: how a key and its value stand in a database of the embedded store.
//!
//! Every record carries a checksum over its database, its key and its value, so that
//! a damaged one is an error and never a wrong answer. A key too long for LMDB stands
//! under its beginning and a hash, with the whole key in the value.

use crate::key::Key;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::borrow::Cow;
use std::hash::Hasher;

/// LMDB's longest key. A stored key has this length exactly when it is hashed.
const KEY_MAX: usize = 511;
const HASH_LEN: usize = 16;
/// Bytes of a long key that stand before its hash.
const HEAD_LEN: usize = KEY_MAX - HASH_LEN;
const CHECKSUM_LEN: usize = 4;

/// Which database a record stands in; part of its checksum, so that none can be taken for another's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    Meta = 0,
    State = 1,
    Tags = 2,
    Ids = 3,
    Index = 4,
    Ordinals = 5,
    Changed = 6,
}

/// The bytes under which `key` is stored.
pub(super) fn stored(key: &str) -> Cow<'_, [u8]> {
    if key.len() < KEY_MAX {
        return Cow::Borrowed(key.as_bytes());
    }
    let mut hasher = SipHasher24::new();
    hasher.write(key.as_bytes());
    let mut bytes = key.as_bytes()[..HEAD_LEN].to_vec();
    bytes.extend_from_slice(&hasher.finish128().as_bytes());
    Cow::Owned(bytes)
}

/// The beginning that the stored forms of all keys starting with `prefix` share.
pub(super) fn stored_prefix(prefix: &str) -> &[u8] {
    &prefix.as_bytes()[..prefix.len().min(HEAD_LEN)]
}

/// Writes the record of `key` (any text, a name too) into `out`, which is cleared first.
pub(super) fn encode(out: &mut Vec<u8>, of: Of, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend_from_slice(&[0; CHECKSUM_LEN]);
    if key.len() >= KEY_MAX {
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(key.as_bytes());
    }
    value(out);
    let sum = checksum(of, &stored(key), &out[CHECKSUM_LEN..]);
    out[..CHECKSUM_LEN].copy_from_slice(&sum.to_le_bytes());
}

/// The whole key and the value of a record; the error says what is wrong with it.
pub(super) fn decode<'a>(of: Of, stored: &'a [u8], record: &'a [u8]) -> Result<(&'a str, &'a [u8]), String> {
    let damaged = || format!("checksum of a record in `{of:?}` does not match: {}", shown_key(stored));
    let (sum, body) = record.split_first_chunk::<CHECKSUM_LEN>().ok_or_else(damaged)?;
    if u32::from_le_bytes(*sum) != checksum(of, stored, body) {
        return Err(damaged());
    }
    let (key, value) = if stored.len() == KEY_MAX {
        let (len, rest) = body.split_first_chunk::<4>().ok_or_else(damaged)?;
        rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(damaged)?
    } else {
        (stored, body)
    };
    Ok((std::str::from_utf8(key).map_err(|_| damaged())?, value))
}

/// As `decode`, for a record that was looked up: one of another key is an error, since two long keys would share a hash.
pub(super) fn value_of<'a>(of: Of, key: &str, stored: &'a [u8], record: &'a [u8]) -> Result<&'a [u8], String> {
    let (found, value) = decode(of, stored, record)?;
    if found == key { Ok(value) } else { Err(format!("two keys have one hash: {}", shown_key(stored))) }
}

fn checksum(of: Of, stored: &[u8], body: &[u8]) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(of as u64, stored.len() as u64);
    hasher.write(stored);
    hasher.write(body);
    hasher.finish() as u32
}

fn shown_key(stored: &[u8]) -> String {
    let text = String::from_utf8_lossy(stored);
    match Key::from_stored(&text) {
        Some(key) => key.to_string(),
        None => crate::ndjson::shown(&text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, Of::State, key, |out| out.extend_from_slice(value));
        out
    }

    #[test]
    fn keys_of_every_length_read_back_and_stay_apart() {
        let mut seen = std::collections::HashSet::new();
        for len in 1..1500 {
            let key = "k".repeat(len);
            let bytes = stored(&key).into_owned();
            assert!(bytes.len() <= KEY_MAX && bytes.starts_with(stored_prefix(&key)), "{len}");
            assert_eq!(decode(Of::State, &bytes, &record(&key, b"v")), Ok((key.as_str(), &b"v"[..])), "{len}");
            assert!(seen.insert(bytes), "{len}");
        }
    }

    /// Format 1 for ever: a change here needs another number in `format.rs`.
    #[test]
    fn the_bytes_of_format_1_are_these() {
        assert_eq!(record("\0\0u-001", b"state"), b"\xc7\x2c\x34\x9astate");
        let hash = [185, 250, 21, 204, 29, 1, 215, 237, 189, 16, 77, 81, 245, 45, 77, 234];
        assert_eq!(stored(&"k".repeat(600))[HEAD_LEN..], hash);
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        for key in ["\0\0u-001", &"k".repeat(600)] {
            let bytes = stored(key).into_owned();
            let record = record(key, b"some state");
            for bit in 0..record.len() * 8 {
                let mut bad = record.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(value_of(Of::State, key, &bytes, &bad).is_err(), "{bit}");
            }
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(Of::State, &bad, &record).is_err(), "{bit}");
            }
            assert!(decode(Of::Tags, &bytes, &record).is_err());
            assert!(decode(Of::State, &bytes, &record[..3]).is_err());
        }
    }

    #[test]
    fn two_keys_of_one_hash_are_an_error_and_never_mixed() {
        let (one, other) = ("k".repeat(600), format!("{}x", "k".repeat(599)));
        let bytes = stored(&one).into_owned();
        // The record another key would have left under this hash.
        let mut body = (other.len() as u32).to_le_bytes().to_vec();
        body.extend_from_slice(other.as_bytes());
        let mut forged = checksum(Of::State, &bytes, &body).to_le_bytes().to_vec();
        forged.extend(body);
        assert!(value_of(Of::State, &one, &bytes, &forged).expect_err("mixed").contains("one hash"));
    }
}
