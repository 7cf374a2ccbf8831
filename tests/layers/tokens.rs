//! Rust source as a list of tokens, with comments, strings and what only tests see left out.
//!
//! No parser: names, `::` and single signs are enough to see paths, braces and macro calls.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    pub text: &'a str,
    /// Counted from 1.
    pub line: usize,
}

pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let bytes = source.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let len = length(source, at);
        let text = &source[at..at + len];
        let first = bytes[at];
        let skipped = first.is_ascii_whitespace()
            || text.starts_with("//")
            || text.starts_with("/*")
            || text.ends_with(['"', '\'', '#']) && len > 1
            || first == b'\'';
        if !skipped {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        at += len;
    }
    tokens
}

/// The length of the token at `at`, which is also a comment, a string, or a blank.
fn length(source: &str, at: usize) -> usize {
    let rest = &source[at..];
    let first = rest.chars().next().map_or(1, char::len_utf8);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return comment(rest);
    }
    if rest.starts_with("::") {
        return 2;
    }
    if let Some(len) = string(rest, word) {
        return len;
    }
    if rest.starts_with('\'') {
        return quote(rest);
    }
    word.max(first)
}

/// Block comments nest.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let two = rest.as_bytes().get(at..at + 2).unwrap_or_default();
        depth += i32::from(two == b"/*") - i32::from(two == b"*/");
        at += if matches!(two, b"/*" | b"*/") { 2 } else { 1 };
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// A string in any of its forms: "…", b"…", c"…", r"…", r#"…"#, br#"…"#; `word` is the length of what could be its prefix.
fn string(rest: &str, word: usize) -> Option<usize> {
    let prefix = &rest[..word];
    if !matches!(prefix, "" | "b" | "c" | "r" | "br" | "cr") {
        return None;
    }
    let after = &rest[word..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let body = after[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&close).unwrap_or(body.len());
        return Some((word + hashes + 1 + end + close.len()).min(rest.len()));
    }
    let body = after.strip_prefix('"')?;
    let mut escaped = false;
    let end = body.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(word + 1 + end.map_or(body.len(), |end| end + 1))
}

/// A character, or the quote and name of a lifetime.
fn quote(rest: &str) -> usize {
    let inner: Vec<(usize, char)> = rest.char_indices().take(4).collect();
    match inner[..] {
        [_, (_, '\\'), (escaped, c), ..] => {
            let from = escaped + c.len_utf8();
            rest[from..].find('\'').map_or(rest.len(), |end| from + end + 1)
        }
        [_, _, (end, '\''), ..] => end + 1,
        _ => 1 + rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len() - 1),
    }
}

/// The tokens that are built into the program, and the names of the modules in other files that are not:
/// `#[cfg(test)]` takes the item below it away.
pub fn without_tests<'a>(tokens: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<&'a str>) {
    let texts: Vec<&str> = tokens.iter().map(|token| token.text).collect();
    let (mut kept, mut test_files, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if !texts[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let end = at + 7 + item(&texts[at + 7..]);
        if let Some(name) = texts[at..end].windows(3).find(|w| w[0] == "mod" && w[2] == ";") {
            test_files.push(name[1]);
        }
        at = end;
    }
    (kept, test_files)
}

/// The number of tokens of the item that begins here: to its `;` or its closing brace.
fn item(texts: &[&str]) -> usize {
    let mut depth = 0;
    for (i, text) in texts.iter().enumerate() {
        match *text {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    // `use crate::{a, b};` goes on after its brace.
                    return i + 1 + usize::from(texts.get(i + 1) == Some(&";"));
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    texts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> String {
        tokens(source).iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_strings_and_characters_are_left_out() {
        for (source, kept) in [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ d */ e", "a e"),
            (r#"a "b \" // c" d"#, "a d"),
            ("a b\"c\" r\"d\\\" r#\"e\"f\"# br##\"g\"#h\"## i", "a i"),
            (r"a 'b' '\'' '\u{1f600}' '/' '✓' c", "a c"),
            ("f<'a>(x: &'static str)", "f < > ( x : & str )"),
            ("use crate::a::{b, c};", "use crate :: a :: { b , c } ;"),
            ("#[cfg(test)] r#type", "# [ cfg ( test ) ] r # type"),
        ] {
            assert_eq!(words(source), kept, "{source}");
        }
        assert_eq!(tokens("a\n\"b\nc\"\nd").iter().map(|t| t.line).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn what_only_tests_see_is_taken_away() {
        let source = "a; #[cfg(test)] mod tests { fn f() { x } } b; #[cfg(test)] mod laws; #[cfg(test)] use c::{d}; e";
        let all = tokens(source);
        let (kept, files) = without_tests(&all);
        assert_eq!(kept.iter().map(|t| t.text).collect::<String>(), "a;b;e");
        assert_eq!(files, ["laws"]);
    }
}
