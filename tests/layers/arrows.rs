//! The order of knowledge: which module of the library names which, and whether it may.
//!
//! `lib.rs` is read as the drawing it is: the order of its modules, in groups that comments `// name: what` open.
//! A module names only what stands above it, itself apart. Two groups keep more: *thought* never names *carriers*,
//! and neither *words* nor *thought* touches files, sockets, threads or clocks.

use super::source::{Source, test_files};
use super::tokens::{Token, tokens, without_tests};

/// A module of the library.
#[derive(PartialEq, Eq, Debug)]
pub struct Module {
    pub name: String,
    pub group: String,
}

/// The modules in the order of `lib.rs`.
pub fn modules(lib: &str) -> Vec<Module> {
    let mut group = String::new();
    let mut modules = Vec::new();
    for line in lib.lines() {
        let group_of = |rest: &str| rest.split_once(':').map(|(name, _)| name.to_owned());
        if let Some(name) = line.strip_prefix("// ").and_then(group_of)
            && name.chars().all(|c| c.is_ascii_lowercase())
        {
            group = name;
        }
        let declared =
            line.strip_prefix("pub mod ").or(line.strip_prefix("mod ")).or(line.strip_prefix("pub(crate) mod "));
        if let Some(name) = declared.and_then(|rest| rest.strip_suffix(';')) {
            modules.push(Module { name: name.to_owned(), group: group.clone() });
        }
    }
    modules
}

/// Every arrow that points up, and every use of what a group keeps away from. Paths are from `src/common`.
pub fn faults(modules: &[Module], sources: &[Source]) -> Vec<String> {
    let place = |name: &str| modules.iter().position(|module| module.name == name);
    let tests = test_files(sources);
    let mut faults = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| source.path != "lib.rs") {
        let module = module_path(path);
        let Some(here) = place(module[0]) else {
            faults.push(format!("{path}: lib.rs has no module `{}`", module[0]));
            continue;
        };
        let all = tokens(text);
        for (named, line) in roots(&all, &module) {
            match place(named) {
                Some(there) if there > here => {
                    faults.push(format!("{path}:{line}: `{}` names `{named}`, which stands below it", module[0]));
                }
                Some(there) if modules[here].group == "thought" && modules[there].group == "carriers" => {
                    faults.push(format!("{path}:{line}: thought (`{}`) names a carrier (`{named}`)", module[0]));
                }
                None if named == "*" => faults.push(format!("{path}:{line}: `crate::*` names everything")),
                _ => {}
            }
        }
        if matches!(modules[here].group.as_str(), "words" | "thought") && !tests.contains(path) {
            faults.extend(impure(&without_tests(&all).0).map(|fault| format!("{path}:{fault}")));
        }
    }
    faults
}

/// `a/b.rs` and `a/b/mod.rs` are the module a::b.
fn module_path(path: &str) -> Vec<&str> {
    let path = path.trim_end_matches(".rs");
    path.strip_suffix("/mod").unwrap_or(path).split('/').collect()
}

/// The names that follow `crate::`, or as many `super::` as lead to the crate, with their lines.
fn roots<'a>(tokens: &[Token<'a>], module: &[&str]) -> Vec<(&'a str, usize)> {
    let text = |at: usize| tokens.get(at).map_or("", |token: &Token<'a>| token.text);
    let mut roots = Vec::new();
    // Modules written out in this file, each with the depth of braces in which it lies.
    let mut inline: Vec<usize> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while at < tokens.len() {
        match text(at) {
            "mod" if text(at + 2) == "{" => {
                inline.push(depth);
                depth += 1;
                at += 2;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
            }
            "crate" if text(at + 1) == "::" => first_names(tokens, at + 2, &mut roots),
            "super" => {
                let mut ups = 1;
                while text(at + 1) == "::" && text(at + 2) == "super" {
                    (ups, at) = (ups + 1, at + 2);
                }
                if text(at + 1) == "::" && ups >= module.len() + inline.len() {
                    first_names(tokens, at + 2, &mut roots);
                }
            }
            _ => {}
        }
        at += 1;
    }
    roots
}

/// The first name of each path that begins here: one, or those of a group in braces.
fn first_names<'a>(tokens: &[Token<'a>], at: usize, roots: &mut Vec<(&'a str, usize)>) {
    let Some(first) = tokens.get(at) else { return };
    if first.text != "{" {
        return roots.push((first.text, first.line));
    }
    let (mut depth, mut begins) = (1, true);
    for token in &tokens[at + 1..] {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => begins = true,
            _ if begins => {
                roots.push((token.text, token.line));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// Files, sockets, processes, threads and clocks.
fn impure<'a>(tokens: &'a [Token<'a>]) -> impl Iterator<Item = String> + 'a {
    tokens.windows(3).filter_map(|window| {
        let what = match [window[0].text, window[1].text, window[2].text] {
            ["std", "::", what @ ("fs" | "net" | "thread" | "process" | "env")] => format!("std::{what}"),
            [what @ ("SystemTime" | "Instant"), "::", "now"] => format!("{what}::now"),
            ["Timestamp" | "Zoned", "::", "now"] => "the clock".to_owned(),
            _ => return None,
        };
        Some(format!("{}: words and thought know no files, sockets, threads or clocks: {what}", window[0].line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! x: y\n// words: w\npub mod time;\npub mod value;\n// carriers: c\nmod disk;\npub mod log;\n\n\
                       // thought: t\npub mod agg;\n// memory: m\npub mod store;\n";

    fn found(path: &str, text: &str) -> Vec<String> {
        faults(&modules(LIB), &[Source { path: path.into(), text: text.into() }])
    }

    #[test]
    fn the_order_and_the_groups_are_those_of_the_drawing() {
        let modules: Vec<_> = modules(LIB).into_iter().map(|m| format!("{}/{}", m.group, m.name)).collect();
        assert_eq!(
            modules,
            ["words/time", "words/value", "carriers/disk", "carriers/log", "thought/agg", "memory/store"]
        );
    }

    #[test]
    fn an_arrow_that_points_up_is_found_however_it_is_written() {
        for (path, text) in [
            ("time.rs", "use crate::value::Value;"),
            ("time.rs", "use crate::{time::x, value::{a, b}};"),
            ("time.rs", "fn f() -> crate::value::Value {}"),
            ("time.rs", "use super::value;"),
            ("time.rs", "use super::{value};"),
            ("log/file.rs", "use super::super::store::S;"),
            ("log/mod.rs", "use super::store::S;"),
            ("log/file.rs", "mod inner { use super::super::super::store::S; }"),
            ("log/mod.rs", "#[cfg(test)]\nmod tests { use crate::store; }"),
            ("log/mod.rs", "macro_rules! m { () => { $crate::store::f() } }"),
            ("time.rs", "use crate::*;"),
        ] {
            assert_eq!(found(path, text).len(), 1, "{path}: {text}: {:?}", found(path, text));
        }
        assert_eq!(found("time.rs", "\nuse crate::value;"), ["time.rs:2: `time` names `value`, which stands below it"]);
    }

    #[test]
    fn arrows_that_point_down_are_no_fault() {
        for (path, text) in [
            ("value.rs", "use crate::time::{self, Millis}; // crate::store\nconst S: &str = \"crate::store\";"),
            ("log/file.rs", "use super::store; use crate::log::x; use super::{store, disk};"),
            ("log/mod.rs", "mod tests { use super::store; fn f() { if x { y } } } pub(crate) mod z;"),
            ("store.rs", "use crate::{agg, log}; pub(in crate::store) fn f() {}"),
        ] {
            assert_eq!(found(path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn thought_names_no_carrier_and_touches_nothing_outside() {
        assert_eq!(
            found("agg/sum.rs", "use crate::log::Log;"),
            ["agg/sum.rs:1: thought (`agg`) names a carrier (`log`)"]
        );
        for text in ["use std::fs::File;", "fn f() { std::thread::sleep(x) }", "fn f() { Instant::now(); }"] {
            assert_eq!(found("agg/sum.rs", text).len(), 1, "{text}");
            assert_eq!(found("time.rs", text).len(), 1, "{text}");
            assert_eq!(found("store.rs", text), [""; 0], "{text}");
        }
        assert_eq!(found("agg/sum.rs", "#[cfg(test)]\nmod tests { use std::fs; }"), [""; 0]);
    }

    #[test]
    fn a_file_that_no_module_owns_is_found() {
        assert_eq!(found("stray.rs", ""), ["stray.rs: lib.rs has no module `stray`"]);
    }
}
