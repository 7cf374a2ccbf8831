//! What can go wrong with a log, in terms a command can turn into an exit code.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub enum Error {
    /// Another process writes there: try again later.
    Locked { path: PathBuf, holder: Option<u32> },
    /// The system refused.
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    /// A write or sync failed earlier; what this writer knows may be wrong, so it does nothing more.
    Poisoned { cause: String },
    /// Something else stands where a log was expected.
    NotALog { path: PathBuf, why: String },
    /// A name that could lead elsewhere or be mistaken.
    BadName { name: String },
    /// A symbolic link that leads out of the log's directory, or nowhere.
    Escape { path: PathBuf },
    /// A file is shorter than a position in it: it was cut or replaced.
    Shrunk { path: PathBuf, position: u64, len: u64 },
    /// What was asked cannot be done yet: a day is not over, or a file of it is being written.
    NotYet { what: String, why: String },
    /// A topic lacks some of a day, by the position file at `place`.
    NotShipped { file: String, topic: String, place: PathBuf },
    /// A file of the log, or what is said about it, is not as it was left.
    Damaged { path: PathBuf, why: String },
    /// A newline inside what should be one line.
    Newline,
    /// An instant no calendar knows.
    NoDay { received: i64 },
}

impl Error {
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, doing, source }
    }

    /// The kind of the system's error, if it was the system.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Error::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Locked { path, holder: Some(pid) } => {
                write!(f, "`{}` is being written by another process: pid {pid}", path.display())
            }
            Error::Locked { path, holder: None } => {
                write!(f, "`{}` is being written by another process", path.display())
            }
            Error::Io { path, doing, source } => write!(f, "cannot {doing} `{}`: {source}", path.display()),
            Error::Poisoned { cause } => write!(f, "the log takes nothing more after a failure: {cause}"),
            Error::NotALog { path, why } => write!(f, "`{}` is not an event log: {why}", path.display()),
            Error::BadName { name } => write!(
                f,
                "`{}` cannot name a writer: letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 64",
                crate::ndjson::shown(name)
            ),
            Error::Escape { path } => {
                write!(f, "`{}` is a symbolic link that leads out of the log or nowhere", path.display())
            }
            Error::Shrunk { path, position, len } => write!(
                f,
                "`{}` is shorter than the position in it ({len} < {position} bytes): it was cut or replaced",
                path.display()
            ),
            Error::NotYet { what, why } => write!(f, "{what}: {why}"),
            Error::NotShipped { file, topic, place } => {
                write!(f, "`{file}` is not yet shipped to topic {topic}, by {}", place.display())
            }
            Error::Damaged { path, why } => write!(f, "`{}`: {why}", path.display()),
            Error::Newline => f.write_str("an event must be one line: a newline stands inside it"),
            Error::NoDay { received } => write!(f, "no calendar day for the receipt at {received}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
