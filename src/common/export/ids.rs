//! Ids as they leave: as they are, or hashed as ad platforms take them.
//!
//! A key that was hashed here is one for all that is written: the plain one is not there any more.

use crate::key::Key;
use crate::quality::hex;
use sha2::{Digest, Sha256};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// How ids leave.
#[derive(Clone)]
pub enum Ids {
    Plain,
    /// SHA-256, or HMAC-SHA256 under a key, in lower-case hex.
    Hashed {
        by: By,
        text: Text,
    },
}

/// What hashes.
#[derive(Clone)]
pub enum By {
    Sha256,
    Hmac(Box<Hmac>),
}

/// What of an id is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text {
    /// Without blanks around it, in lower case.
    Normal,
    /// Byte for byte.
    Raw,
}

impl Ids {
    /// The key as it leaves. Of several parts it is hashed as one text, as `Key::text` joins them.
    pub fn leave(&self, key: Key) -> Key {
        match self {
            Ids::Plain => key,
            Ids::Hashed { by, text } => {
                let plain = key.text();
                let hash = match text {
                    Text::Normal => by.hash(plain.trim().to_lowercase().as_bytes()),
                    Text::Raw => by.hash(plain.as_bytes()),
                };
                Key::new(key.tenant(), key.entity(), [&*hash])
            }
        }
    }

    /// What manifests call it; `None` for plain ids.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Ids::Plain => None,
            Ids::Hashed { by: By::Sha256, text: Text::Normal } => Some("sha256"),
            Ids::Hashed { by: By::Sha256, text: Text::Raw } => Some("sha256-raw"),
            Ids::Hashed { by: By::Hmac(_), text: Text::Normal } => Some("hmac-sha256"),
            Ids::Hashed { by: By::Hmac(_), text: Text::Raw } => Some("hmac-sha256-raw"),
        }
    }
}

impl By {
    fn hash(&self, bytes: &[u8]) -> String {
        match self {
            By::Sha256 => hex(&Sha256::digest(bytes)),
            By::Hmac(hmac) => hmac.hash(bytes),
        }
    }
}

/// HMAC-SHA256 (RFC 2104) under one key.
#[derive(Clone)]
pub struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    pub fn new(key: &[u8]) -> Hmac {
        let mut block = [0; BLOCK];
        match key.len() {
            ..=BLOCK => block[..key.len()].copy_from_slice(key),
            _ => block[..32].copy_from_slice(&Sha256::digest(key)),
        }
        let begun = |pad: u8| Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
        Hmac { inner: begun(0x36), outer: begun(0x5c) }
    }

    fn hash(&self, bytes: &[u8]) -> String {
        let inner = self.inner.clone().chain_update(bytes).finalize();
        hex(&self.outer.clone().chain_update(inner).finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        for (key, text, want) in [
            (&[0x0b; 20][..], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(Hmac::new(key).hash(text), want);
        }
    }

    #[test]
    fn blanks_around_and_case_are_no_part_of_an_id_unless_raw() {
        let id = |text, key: &str| Ids::Hashed { by: By::Sha256, text }.leave(Key::user("", key)).id().to_string();
        let plain = id(Text::Raw, "ann@x.org");
        assert_eq!(plain, hex(&Sha256::digest(b"ann@x.org")));
        for other in [" Ann@X.org", "ANN@X.ORG\u{a0}"] {
            assert_eq!(id(Text::Normal, other), plain);
            assert_ne!(id(Text::Raw, other), plain);
        }
    }

    #[test]
    fn a_key_of_several_parts_is_hashed_as_one_text() {
        let key = Ids::Hashed { by: By::Sha256, text: Text::Raw }.leave(Key::new("", "pair", ["a:b", "c"]));
        assert_eq!((key.entity(), key.parts().count()), ("pair", 1));
        assert_eq!(key.id(), hex(&Sha256::digest(b"a%3Ab:c")));
    }
}
