//! Places: from a byte of a TOML string's value back to the byte of the file that wrote it.

/// Where byte `offset` of the value begins in `raw`, the string as it is written with its quotes.
///
/// Exact through every escape and in all four kinds of string.
pub(super) fn in_raw(raw: &str, offset: usize) -> usize {
    let quotes = ["'''", "\"\"\"", "'", "\""].into_iter().find(|q| raw.starts_with(q)).map_or(0, str::len);
    let escapes = raw.starts_with('"');
    let mut at = quotes;
    if quotes == 3 {
        // The newline right after the opening quotes is not part of the value.
        at += if raw[at..].starts_with("\r\n") { 2 } else { usize::from(raw[at..].starts_with('\n')) };
    }
    let mut value = 0;
    while value < offset && at < raw.len() {
        let (written, meant) = if escapes { escape(&raw[at..]) } else { None }.unwrap_or_else(|| {
            let len = raw[at..].chars().next().map_or(1, char::len_utf8);
            (len, len)
        });
        at += written;
        value += meant;
    }
    // A line ended by a backslash stands for nothing: the character after it is what is meant.
    while escapes && let Some((written, 0)) = raw.get(at..).and_then(escape) {
        at += written;
    }
    at.min(raw.len())
}

/// Bytes an escape takes in the file and in the value; `None` where there is no escape.
fn escape(rest: &str) -> Option<(usize, usize)> {
    let code = |digits: usize| {
        let hex = rest.get(2..2 + digits)?;
        let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
        Some((2 + digits, c.len_utf8()))
    };
    let after = rest.strip_prefix('\\')?;
    match after.chars().next()? {
        'u' => code(4),
        'U' => code(8),
        'x' => code(2),
        ' ' | '\t' | '\r' | '\n' => {
            let blank = after.len() - after.trim_start_matches([' ', '\t', '\r', '\n']).len();
            Some((1 + blank, 0))
        }
        c => Some((1 + c.len_utf8(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_string_maps_back() {
        for raw in [
            "'a = X'",
            "\"a = X\"",
            "\"\\t\\\"\\\\ \\u00e9 \\U0001F600 X\"",
            "'''\na\n  = X'''",
            "\"\"\"\r\na \\\n   b = X\"\"\"",
            "\"\"\"a \\\n   X\"\"\"",
            "\"\\x41 X\"",
        ] {
            let toml = format!("v = {raw}");
            let table: toml::Table = toml.parse().expect(raw);
            let value = table["v"].as_str().expect("a string");
            let offset = value.find('X').expect("marked");
            assert_eq!(&raw[in_raw(raw, offset)..][..1], "X", "{raw}");
            assert!(in_raw(raw, value.len()) <= raw.len());
        }
    }
}
