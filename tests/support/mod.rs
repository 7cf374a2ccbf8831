//! What process tests share: the program in an empty folder with a clean environment, real servers, real data.
//!
//! What a test needs and the machine lacks is said in one line on stderr, and the test returns; with
//! `ADPROF_REQUIRE_SERVERS=1` a missing server is a failure instead. `scripts/test.sh` sets what is read here.
#![allow(dead_code, unused_imports)] // each test file is a crate of its own and uses a part of this

mod events;
mod oracle;
mod run;
mod running;

pub use events::{event, field, ids};
pub use oracle::{agrees, agrees_with, oracle};
pub use run::{Dir, Output, Run, adprof_path, clean_environment};
pub use running::{Running, ack};

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

/// The address of the tests' Redis, such as `redis://127.0.0.1:20123`.
pub fn redis() -> Option<String> {
    server("ADPROF_TEST_REDIS", "Redis")
}

/// The address of the tests' Kafka, such as `127.0.0.1:20124`. Topics are not created by themselves.
pub fn kafka() -> Option<String> {
    server("ADPROF_TEST_KAFKA", "Kafka")
}

/// A Python that can `import duckdb`.
pub fn python() -> Option<String> {
    let python = setting("ADPROF_TEST_PYTHON");
    if python.is_none() {
        skipped("no Python with duckdb: set ADPROF_TEST_PYTHON or run scripts/test.sh");
    }
    python
}

/// A file or folder of the real data sets, which are not part of this project: `data("cdnow/events.ndjson.zst")`.
/// They lie in `../shared/data` beside it, or where `ADPROF_TEST_DATA` says.
pub fn data(name: &str) -> Option<PathBuf> {
    let path = data_folder().join(name);
    if !path.exists() {
        skipped(&format!("no {}: set ADPROF_TEST_DATA to the folder that holds `{name}`", path.display()));
        return None;
    }
    Some(path)
}

fn data_folder() -> PathBuf {
    setting("ADPROF_TEST_DATA").map_or_else(|| project().join("../shared/data"), PathBuf::from)
}

/// The project's own folder.
pub fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Says why a test does nothing. Past the harness, which would keep what `eprintln` says of a test that passes.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    // In one piece: tests beside it write, too.
    let _ = io::stderr().write_all(format!("skipped {test}: {why}\n").as_bytes());
}

/// A number that no other call of this run had: for names in shared folders.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("adprof-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn server(variable: &str, what: &str) -> Option<String> {
    let address = setting(variable);
    if address.is_none() {
        let why = format!("no {what} for tests: set {variable} or run scripts/test.sh");
        assert!(setting("ADPROF_REQUIRE_SERVERS").is_none_or(|v| v == "0"), "{why}");
        skipped(&why);
    }
    address
}

fn setting(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}
