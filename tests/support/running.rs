//! A program that runs while the test goes on: fed by a pipe, heard line by line, sent signals.
//!
//! Dropped while it runs it is killed: a failed test leaves nothing behind.

use super::run::{Dir, adprof_path, clean_environment};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longer than anything that is waited for takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A running program.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Dir {
    /// Starts `adprof ARGS…` in this folder, split at blanks.
    pub fn start(&self, args: &str) -> Running {
        let mut command = Command::new(adprof_path());
        command.args(args.split_whitespace());
        self.start_command(command)
    }

    /// Starts a program in this folder, with the clean environment.
    pub fn start_command(&self, command: Command) -> Running {
        self.start_with(command, clean_environment())
    }

    /// The same, with this environment.
    pub fn start_with(&self, mut command: Command, environment: Vec<(&'static str, String)>) -> Running {
        command.current_dir(self.path()).env_clear().envs(environment);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut errors = child.stderr.take().expect("piped");
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Running { stdin: child.stdin.take(), child, lines, stderr: Some(stderr) }
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its stdin; false when it no longer listens.
    pub fn feed(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stdin.as_mut().expect("still open").write_all(bytes.as_ref()).is_ok()
    }

    /// Its stdin, for a thread that feeds it.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("still open")
    }

    /// The end of its input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// The next line of its stdout; `None` at the end.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing on stdout for {LIMIT:?}"),
        }
    }

    /// Reads acknowledgements until one has counted `lines` lines, and gives it as (lines, accepted, refused).
    pub fn acknowledged(&self, lines: u64) -> (u64, u64, u64) {
        loop {
            let line = self.line().expect("an acknowledgement");
            let ack = ack(&line);
            if ack.0 >= lines {
                return ack;
            }
        }
    }

    /// `kill -NAME`, to this process alone.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// The same, to a process that may have ended by itself.
    pub fn signal_if_there(&self, name: &str) {
        let _ =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).stderr(Stdio::null()).status();
    }

    /// Whether it still runs (Linux): one that has ended and was not waited for does not.
    pub fn is_there(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// The most memory it has held so far, in bytes (Linux).
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
        let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kib * 1024
    }

    /// Waits for its end and gives the exit code, or 128 + the signal that ended it, and its stderr.
    pub fn end(mut self) -> (i32, String) {
        use std::os::unix::process::ExitStatusExt;
        self.stdin = None;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(began.elapsed() < LIMIT, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal"));
        let stderr = self.stderr.take().expect("once").join().expect("read");
        (code, stderr)
    }

    /// What it wrote to stdout and was not read yet, to the end.
    pub fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An acknowledgement of `collect --ack`: lines, accepted, refused.
pub fn ack(line: &str) -> (u64, u64, u64) {
    let value: serde_json::Value = serde_json::from_str(line).expect("an acknowledgement is JSON");
    let count = |name: &str| value[name].as_u64().expect("a count");
    (count("lines"), count("accepted"), count("refused"))
}
