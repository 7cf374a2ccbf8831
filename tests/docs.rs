//! The console blocks of the documentation run: what a page shows is what a reader gets.
//!
//! Each page is one bash session in one empty folder (`docs/session.rs`); a block's first line says what it needs
//! (`docs/page.rs`) and its output is compared by `docs/matcher.rs`. Only stdout is compared, unless the command says
//! `2>&1`. A command has to succeed, except where the next one is `echo $?`, which then shows its exit code.
//!
//! ADPROF_DOCS_WRITE=1 rewrites the output that differs, ADPROF_DOCS_WRITE=all also that which is a lone `...`.

#[path = "docs/matcher.rs"]
mod matcher;
#[path = "docs/page.rs"]
mod page;
#[path = "docs/session.rs"]
mod session;
mod support;

use page::Step;
use session::Printed;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A test for each page. Each has a database of Redis of its own, so that pages may run side by side.
macro_rules! pages {
    ($($(#[$attribute:meta])* $database:literal $name:ident $path:literal;)*) => {
        $(#[test] $(#[$attribute])* fn $name() { check_page($path, $database); })*
        const PAGES: &[&str] = &[$($path),*];
    };
}

pages! {
    1 readme "README.md";
    2 tour "docs/tour.md";
    3 definition_file "docs/definition-file.md";
    4 architecture "docs/architecture.md";
    5 operators "docs/operators.md";
    6 benchmarks "docs/benchmarks.md";
    7 export "docs/export.md";
    8 audiences "docs/audiences.md";
    9 nightly_history "docs/nightly-history.md";
    10 nightly "docs/nightly.md";
    11 log "docs/log.md";
    12 aggregations "docs/aggregations.md";
    13 explain "docs/explain.md";
    14 scale_out "docs/scale-out.md";
    15 base_and_tail "docs/base-and-tail.md";
    16 entities "docs/entities.md";
    17 verify "docs/verify.md";
    18 forget "docs/forget.md";
    19 redis "docs/redis.md";
    20 reliability "docs/reliability.md";
    #[cfg_attr(feature = "kafka-tls", ignore = "it shows what a build without the feature says")]
    21 kafka "docs/kafka.md";
    22 maps "docs/maps.md";
    23 insight "docs/insight.md";
    24 lookalike "docs/lookalike.md";
}

#[test]
fn every_page_is_listed() {
    let docs = fs::read_dir(support::project().join("docs")).expect("a folder");
    let mut found: BTreeSet<String> = docs
        .map(|entry| format!("docs/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    found.insert("README.md".into());
    let listed: BTreeSet<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    assert_eq!(found, listed, "list the pages in `pages!` above");
}

fn check_page(path: &str, database: u8) {
    let file = support::project().join(path);
    let page = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
    let steps = page::steps(&page).unwrap_or_else(|e| panic!("{path}:{e}"));
    let (vars, steps) = prepare(steps, database);
    let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
    let printed = session::run(&commands, &vars);
    if let Ok(what) = std::env::var("ADPROF_DOCS_WRITE") {
        let changed = changed(&steps, &printed, what == "all");
        fs::write(&file, page::rewrite(&page, &changed)).expect("a writable page");
    }
    let wrong: Vec<String> = (0..steps.len()).filter_map(|i| wrong(path, &steps, i, &printed[i])).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The variables that the servers need, and the steps that can run with the servers that are there.
fn prepare(steps: Vec<Step>, database: u8) -> (Vec<(&'static str, String)>, Vec<Step>) {
    let redis = if steps.iter().any(|step| step.needs.redis) { support::redis() } else { None };
    let kafka = if steps.iter().any(|step| step.needs.kafka) { support::kafka() } else { None };
    let can = |step: &Step| !(step.needs.redis && redis.is_none() || step.needs.kafka && kafka.is_none());
    let steps = steps.into_iter().filter(can).collect();
    let mut vars = Vec::new();
    if let Some(url) = &redis {
        empty_database(url, database);
        vars.push(("REDIS_URL", format!("{}/{database}", url.trim_end_matches('/'))));
    }
    if let Some(brokers) = kafka {
        vars.push(("KAFKA", brokers));
        vars.extend(std::env::var("ADPROF_TEST_KAFKA_LIBS").ok().map(|libs| ("ADPROF_TEST_KAFKA_LIBS", libs)));
    }
    (vars, steps)
}

fn empty_database(url: &str, database: u8) {
    let address = url.trim_start_matches("redis://").trim_end_matches('/');
    let mut redis = TcpStream::connect(address).unwrap_or_else(|e| panic!("{url}: {e}"));
    redis.write_all(format!("SELECT {database}\r\nFLUSHDB\r\nQUIT\r\n").as_bytes()).expect("a request");
    let mut reply = String::new();
    redis.read_to_string(&mut reply).expect("a reply");
    assert!(reply.starts_with("+OK\r\n+OK\r\n"), "{url}: {reply}");
}

/// The steps whose output should be written anew.
fn changed<'a>(steps: &'a [Step], printed: &[Printed], all: bool) -> Vec<(&'a Step, Vec<String>)> {
    let open = |step: &Step| all && step.expected.iter().all(|line| line.trim() == "...") && !step.expected.is_empty();
    steps
        .iter()
        .zip(printed)
        .filter(|(step, printed)| open(step) || !matcher::matches(&step.expected, &printed.stdout))
        .map(|(step, printed)| (step, rewritten(step, printed)))
        .collect()
}

/// What was printed, where a line of the page is not still right: that one may hold a `…`.
fn rewritten(step: &Step, printed: &Printed) -> Vec<String> {
    let line = |(i, got): (usize, &String)| match step.expected.get(i) {
        Some(expected) if matcher::line_matches(expected, got) => expected.clone(),
        _ => got.clone(),
    };
    printed.stdout.iter().enumerate().map(line).collect()
}

/// What is wrong with a step, for people; nothing when it is right.
fn wrong(path: &str, steps: &[Step], i: usize, printed: &Printed) -> Option<String> {
    let step = &steps[i];
    let code_is_shown = steps.get(i + 1).is_some_and(|next| next.command.trim() == "echo $?");
    let code = match printed.code {
        None => "the session ended here or before, or took too long".to_owned(),
        Some(0) => String::new(),
        Some(_) if code_is_shown => String::new(),
        Some(code) => format!("exit code {code}"),
    };
    if code.is_empty() && matcher::matches(&step.expected, &printed.stdout) {
        return None;
    }
    Some(format!(
        "{path}:{}: $ {}\n{code}\n--- expected\n{}\n--- got\n{}\n--- on stderr\n{}",
        step.line,
        step.command,
        step.expected.join("\n"),
        printed.stdout.join("\n"),
        printed.stderr
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(page: &str) -> Vec<String> {
        let steps = page::steps(page).expect("well formed");
        let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
        let printed = session::run(&commands, &[]);
        (0..steps.len()).filter_map(|i| wrong("p.md", &steps, i, &printed[i])).collect()
    }

    #[test]
    fn a_page_that_shows_what_happens_is_right() {
        assert_eq!(judged("```console\n$ echo a; echo words >&2\na\n$ false\n$ echo $?\n1\n```\n"), [""; 0]);
    }

    #[test]
    fn rewriting_keeps_the_lines_that_are_right() {
        let steps = page::steps("```console\n$ x\na…\nold\n```\n").expect("well formed");
        let stdout = ["abc", "new", "more"].map(str::to_owned).to_vec();
        let printed = Printed { stdout, stderr: String::new(), code: Some(0) };
        assert_eq!(rewritten(&steps[0], &printed), ["a…", "new", "more"]);
    }

    #[test]
    fn wrong_output_and_unannounced_failure_are_told_with_page_and_line() {
        let wrong = judged("x\n```console\n$ echo a\nb\n$ (exit 7)\n```\n");
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].starts_with("p.md:3: $ echo a\n\n--- expected\nb\n--- got\na\n"), "{}", wrong[0]);
        assert!(wrong[1].starts_with("p.md:5: $ (exit 7)\nexit code 7\n"), "{}", wrong[1]);
    }
}
