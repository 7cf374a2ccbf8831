//! The files of the project, and what may not stand in any of them.

use super::tokens::{Token, tokens, without_tests};
use std::fs;
use std::path::{Path, PathBuf};

/// Longer files hold more than one noun.
pub const LINES_MAX: usize = 600;

/// One file of Rust.
pub struct Source {
    /// From the folder that was read, with `/`.
    pub path: String,
    pub text: String,
}

/// Every `.rs` file below a folder, in the order of their names.
pub fn read(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    walk(folder, &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(folder).expect("below it").to_string_lossy().replace('\\', "/");
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    found.iter().map(|path| Source { path: name(path), text: read(path) }).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The files that only tests see: those that their parent declares under `#[cfg(test)]` and what lies below them,
/// and `…_tests.rs`, which stand beside the file they test.
pub fn test_files(sources: &[Source]) -> Vec<String> {
    let mut bases = Vec::new();
    for source in sources {
        let all = tokens(&source.text);
        for name in without_tests(&all).1 {
            bases.push(format!("{}{name}", children(&source.path)));
        }
    }
    let below = |path: &str| bases.iter().any(|b| path == format!("{b}.rs") || path.starts_with(&format!("{b}/")));
    sources.iter().map(|source| source.path.clone()).filter(|path| below(path) || path.ends_with("_tests.rs")).collect()
}

/// The folder, with its slash, in which the modules lie that a file declares.
fn children(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').map_or(("", path), |(folder, file)| (folder, file));
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder,
        other => format!("{folder}{}/", other.trim_end_matches(".rs")),
    }
}

/// What every file under `src/` has to keep: a header, a length, no unfinished work, no panic for want of an answer.
pub fn faults(sources: &[Source]) -> Vec<String> {
    let tests = test_files(sources);
    let mut faults = Vec::new();
    for Source { path, text } in sources {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{path}: {lines} lines, more than {LINES_MAX}: split it by noun"));
        }
        if !text.starts_with("//! ") {
            faults.push(format!("{path}:1: a file begins with `//! ` and what it is responsible for"));
        }
        if !tests.contains(path) {
            faults.extend(forbidden(&without_tests(&tokens(text)).0).map(|fault| format!("{path}:{fault}")));
        }
    }
    faults
}

fn forbidden<'a>(tokens: &'a [Token<'a>]) -> impl Iterator<Item = String> + 'a {
    tokens.windows(4).filter_map(|window| {
        let texts = [window[0].text, window[1].text, window[2].text, window[3].text];
        let what = match texts {
            [".", "unwrap", "(", ")"] => "`unwrap()`: use `expect(\"why it cannot fail\")`",
            ["todo" | "unimplemented" | "dbg", "!", "(" | "[" | "{", _] => "unfinished work",
            _ => return None,
        };
        Some(format!("{}: {what}", window[0].line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn each_fault_is_found_with_its_line() {
        for (text, fault) in [
            ("// no header\n", "a.rs:1: a file begins"),
            ("//! x\nfn f() { g()\n.unwrap(); }", "a.rs:3: `unwrap()`"),
            ("//! x\nfn f() { todo!() }", "a.rs:2: unfinished"),
            ("//! x\nfn f() { unimplemented!(\"x\") }", "a.rs:2: unfinished"),
            ("//! x\nfn f() { dbg!(1); }", "a.rs:2: unfinished"),
            (&format!("//! x\n{}", "\n".repeat(600)), "a.rs: 601 lines"),
        ] {
            let found = faults(&[source("a.rs", text)]);
            assert!(found.len() == 1 && found[0].starts_with(fault), "{text}: {found:?}");
        }
    }

    #[test]
    fn tests_strings_comments_and_names_alike_are_no_fault() {
        let text = "//! x\n// todo!()\nfn todo() { x.unwrap_or(\"dbg!()\"); }\n#[cfg(test)]\nmod tests { fn f() { x.unwrap(); } }";
        assert_eq!(faults(&[source("a.rs", text)]), [""; 0]);
        let files = [
            source("common/a.rs", "//! x\n#[cfg(test)]\nmod laws;"),
            source("common/a/laws.rs", "//! x\nfn f() { x.unwrap(); }"),
            source("common/b/mod.rs", "//! x\n#[cfg(test)]\nmod tests;"),
            source("common/b/tests/deep.rs", "//! x\nfn f() { x.unwrap(); }"),
            source("common/b_tests.rs", "//! x\nfn f() { x.unwrap(); }"),
        ];
        assert_eq!(faults(&files), [""; 0]);
        assert_eq!(test_files(&files), ["common/a/laws.rs", "common/b/tests/deep.rs", "common/b_tests.rs"]);
    }
}
