//! Errors of a store: what went wrong, and the class that decides what to do about it.
//!
//! A message never holds a password, and every byte of foreign text in it is shown safely.

use std::fmt;

/// The class of an error; a program turns it into an exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// What was asked for makes no sense: a malformed location, an unsupported server (2).
    Usage,
    /// There is no such store (66).
    NoInput,
    /// The server is down, full, or did not answer in time (69); trying again later may help.
    Unavailable,
    /// The disk or the file system failed, or the store is full (74).
    Io,
    /// The store was written by another version of adprof, or is no store at all (74).
    Format,
    /// The store is damaged: rebuild it from the log (74).
    Corrupt,
    /// Another process holds what was asked for (75).
    Busy,
    /// Not allowed: permissions, credentials, a read-only server (77).
    Denied,
}

/// What went wrong, where, and what to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    pub kind: Kind,
    /// Lower case, no final period; names the store.
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None }
    }

    /// The same error with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }
}

/// The message alone: the printer writes the hint on its own line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
