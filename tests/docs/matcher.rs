//! Whether a command printed what its page shows.
//!
//! A line `...` stands for any number of lines, `…` or `[..]` inside a line for any text. Blanks at the end of a line
//! and empty lines at the end of the output do not count. All else is compared byte for byte.

/// Whether `got` is what `expected` describes.
pub fn matches(expected: &[String], got: &[String]) -> bool {
    lines_match(trimmed(expected), trimmed(got))
}

fn trimmed(lines: &[String]) -> &[String] {
    let end = lines.iter().rposition(|line| !line.trim_end().is_empty()).map_or(0, |i| i + 1);
    &lines[..end]
}

/// Greedy with one way back, to the last `...`: enough, since a later `...` can only leave more to it.
fn lines_match(expected: &[String], got: &[String]) -> bool {
    let (mut e, mut g) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        if e < expected.len() && expected[e].trim() == "..." {
            back = Some((e, g));
            e += 1;
        } else if g == got.len() {
            return e == expected.len();
        } else if e < expected.len() && line_matches(expected[e].trim_end(), got[g].trim_end()) {
            e += 1;
            g += 1;
        } else if let Some((dots, from)) = back {
            back = Some((dots, from + 1));
            (e, g) = (dots + 1, from + 1);
        } else {
            return false;
        }
    }
}

/// The same for one line.
pub fn line_matches(expected: &str, got: &str) -> bool {
    let expected = expected.replace("[..]", "…");
    let Some((head, rest)) = expected.split_once('…') else {
        return expected == got;
    };
    let Some(mut got) = got.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match got.find(part) {
            Some(at) => got = &got[at + part.len()..],
            None => return false,
        }
    }
    got.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_a_page_shows_matches_what_it_means_and_nothing_else() {
        for (expected, got, outcome) in [
            ("", "", true),
            ("", "x", false),
            ("x", "", false),
            ("x", "x\n\n", true),
            ("x\n\n", "x", true),
            ("x  ", "x", true),
            (" x", "x", false),
            ("a\nb", "a\nb\nc", false),
            ("...", "", true),
            ("...", "a\nb", true),
            ("a\n...", "a", true),
            ("a\n...\nd", "a\nb\nc\nd", true),
            ("a\n...\nd", "a\nd", true),
            ("a\n...\nd", "a\nb\nc", false),
            ("...\nb\n...\nb", "b\na\nb\nb", true),
            ("...\nb\nc", "b\nb\nc", true),
            ("...\na\n...\nb\n...", "b\na", false),
            ("a ... b", "a x b", false),
            ("took … s", "took 1.5 s", true),
            ("took … s", "took  s", true),
            ("took [..] s, [..]/s", "took 1.5 s, 400 k events/s", true),
            ("took … s", "took 1.5 ms", false),
            ("…b…", "abc", true),
            ("ab…ba", "aba", false),
            ("a…b…c", "a c b", false),
            ("…", "", false),
        ] {
            assert_eq!(matches(&lines(expected), &lines(got)), outcome, "{expected:?} against {got:?}");
        }
    }
}
