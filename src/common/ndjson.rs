//! NDJSON: how text is written into JSON and onto a terminal, in one place.
//!
//! What could fool a terminal or a reader (control characters, bidirectional
//! overrides) is always written as an escape: the same value, nothing hidden.

/// Appends `text` as a JSON string, quotes included.
pub fn push_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends a whole number.
#[inline]
pub fn push_int(out: &mut Vec<u8>, n: i64) {
    // Most are small counts.
    if (0..10).contains(&n) {
        return out.push(b'0' + n as u8);
    }
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    // Almost every string is plain: one scan, one copy.
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut buffer = [0u8; 4];
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if is_deceptive(c) => out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
}

/// Whether every byte is printable ASCII that JSON takes as it is. Eight bytes are looked at together.
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    let Some((first, _)) = text.split_first_chunk::<8>() else {
        return text.iter().all(|b| (0x20..0x7f).contains(b) && !matches!(b, b'"' | b'\\'));
    };
    // What is left over at the end is looked at together with some bytes before it.
    let last = text.last_chunk::<8>().unwrap_or(first);
    text.as_chunks::<8>().0.iter().chain([last]).all(|eight| {
        let eight = u64::from_le_bytes(*eight);
        let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
        // The top bit of a byte that is zero; right for the lowest such byte, which is all that `any` needs.
        let zero = |x: u64| x.wrapping_sub(each(1)) & !x;
        let control = eight.wrapping_sub(each(0x20)) & !eight;
        let special = zero(eight ^ each(b'"')) | zero(eight ^ each(b'\\')) | zero(eight ^ each(0x7f));
        (control | special | eight) & each(0x80) == 0
    })
}

/// Whether a terminal would act on `c` instead of showing it.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` as it may be shown on a terminal: everything deceptive, line ends too, as `\u` and four hex digits.
pub fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(is_deceptive) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_deceptive(c) {
            out.push_str(&format!("\\u{:04x}", c as u32));
        } else {
            out.push(c);
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_what_each_byte_alone_is() {
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=255u8 {
                    for around in [b' ', b'a', b'~'] {
                        let mut text = vec![around; len];
                        text[at] = byte;
                        let plain = (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
                        assert_eq!(is_plain(&text), plain, "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_character_reads_back_and_none_deceives() {
        for code in 0..0x11000u32 {
            let Some(c) = char::from_u32(code) else { continue };
            let text = format!("a{c}b");
            let mut out = Vec::new();
            push_str(&mut out, &text);
            assert_eq!(serde_json::from_slice::<String>(&out).expect("valid JSON"), text);
            let written = String::from_utf8(out).expect("UTF-8");
            assert!(!written.chars().any(is_deceptive), "{code:04x}");
            assert!(!shown(&text).chars().any(is_deceptive), "{code:04x}");
        }
    }
}
