//! Slots: the part of a cluster in which a key lies, by its name alone.

/// How many slots a cluster has.
pub const SLOTS: usize = 16384;

/// The slot of a key: of what stands between its first `{` and the next `}`, where that is not nothing, else of all of it.
///
/// An id with braces so chooses its slot: it may crowd one, and nothing goes wrong.
pub fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS as u16
}

/// For each slot a text that lies in it, the shortest number there is.
pub fn tags() -> Vec<String> {
    let mut tags = vec![String::new(); SLOTS];
    let mut missing = SLOTS;
    for number in 0_u32.. {
        let text = number.to_string();
        let place = &mut tags[usize::from(slot(text.as_bytes()))];
        if place.is_empty() {
            *place = text;
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    tags
}

/// CRC-16/XMODEM, as the specification of Redis Cluster has it.
fn crc16(bytes: &[u8]) -> u16 {
    let step = |crc: u16, _: u32| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ (u16::from(*byte) << 8), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // What CLUSTER KEYSLOT says.
        for (key, want) in [
            ("foo", 12182),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
            ("bar", 5061),
        ] {
            assert_eq!(slot(key.as_bytes()), want, "{key}");
        }
    }

    #[test]
    fn each_slot_has_a_tag() {
        for (i, tag) in tags().iter().enumerate() {
            assert_eq!(usize::from(slot(format!("adprof:token:x:{{{tag}}}").as_bytes())), i);
        }
    }
}
