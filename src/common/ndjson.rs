//! NDJSON: how text is written into JSON and onto a terminal, in one place.
//!
//! What could fool a terminal or a reader (control characters, bidirectional
//! overrides) is always written as `\uXXXX`: the same value, nothing hidden.

/// Appends `text` as a JSON string, quotes included.
pub fn push_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends a whole number.
pub fn push_int(out: &mut Vec<u8>, n: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    // Almost every string is plain: one scan, one copy.
    if text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\') {
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

/// Whether a terminal would act on `c` instead of showing it.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` as it may be shown on a terminal: everything deceptive as `\uXXXX`.
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
