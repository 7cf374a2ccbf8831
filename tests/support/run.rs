//! Running adprof: in a folder of its own, with nothing of the caller's environment that could change what it does.
//!
//! A run that does not end within `LIMIT` is killed and fails its test: a test never hangs.

use assert_cmd::Command;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};
use tempfile::TempDir;

/// Longer than any single run of a test takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

/// The program that cargo built for this test.
pub fn adprof_path() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_adprof"))
}

/// An empty folder in which commands run one after another; gone when dropped.
pub struct Dir(TempDir);

impl Dir {
    pub fn new() -> Dir {
        Dir(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file of this folder, and the folders above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a written file");
        path
    }

    /// A file of this folder as text.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// `adprof ARGS…`, split at blanks: `dir.adprof("query u-001 --format table")`.
    pub fn adprof(&self, args: &str) -> Run {
        self.adprof_args(args.split_whitespace())
    }

    pub fn adprof_args<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        let mut command = Command::new(adprof_path());
        command
            .current_dir(self.path())
            .env_clear()
            .envs(clean_environment())
            .timeout(LIMIT)
            .args(args)
            .write_stdin("");
        Run(command)
    }
}

/// What a process needs to work at all; no `REDIS_URL`, no `ADPROF_*`, a known zone, no colours.
pub fn clean_environment() -> Vec<(&'static str, String)> {
    let mut vars: Vec<_> = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE"]
        .into_iter()
        .filter_map(|name| Some((name, env::var(name).ok()?)))
        .collect();
    vars.extend([("LANG", "C.UTF-8".into()), ("TZ", "UTC".into()), ("NO_COLOR", "1".into())]);
    vars
}

/// One run to be.
pub struct Run(Command);

impl Run {
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.0.write_stdin(bytes.into());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Run {
        self.0.env(name, value);
        self
    }

    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Run {
        self.0.arg(arg);
        self
    }

    /// Runs it to its end, whatever that is. Without `stdin` its input is empty.
    pub fn output(mut self) -> Output {
        let shown = format!("{:?}", self.0);
        let output = self.0.output().unwrap_or_else(|e| panic!("{shown}: {e}"));
        Output {
            // A signal has no code: the limit above, or a crash.
            code: output.status.code().unwrap_or_else(|| panic!("{shown}: {}", output.status)),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
            shown,
        }
    }

    /// Runs it; its stdout when it exits with 0, a failed test otherwise.
    pub fn ok(self) -> String {
        self.exits(0).stdout
    }

    /// Runs it and fails the test unless it exits with `code`.
    pub fn exits(self, code: i32) -> Output {
        let output = self.output();
        assert_eq!(output.code, code, "{}\n{}", output.shown, output.stderr);
        output
    }
}

/// What a run left behind.
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}
