//! The fixed hash of a value's bytes: the same on every machine and in every version, since states hold what it decides.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// Never changed: which values stay past `keep`, and what a sketch holds, follow from it.
const KEYS: (u64, u64) = (0x6164_7072_6f66_2e61, 0x6767_2e76_3100_0000);

pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_states_have_always_held() {
        // Computed when the format of states was new.
        assert_eq!([hash(b""), hash(b"sports")], [8_288_221_685_003_424_556, 6_619_086_384_498_500_692]);
    }
}
