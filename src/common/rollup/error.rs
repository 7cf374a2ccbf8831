//! What can go wrong with roll-ups: the disk, another writer, or damage, which is mended by reading the log again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub enum Error {
    /// The system refused.
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    /// Another process makes roll-ups there: try again later.
    Locked { path: PathBuf, holder: Option<u32> },
    /// A file is not what was written under its name: whatever hangs on it is to be made anew.
    Damaged { name: String, why: &'static str },
}

impl Error {
    pub fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, doing, source }
    }

    pub fn damaged(name: &str, why: &'static str) -> Error {
        Error::Damaged { name: name.to_owned(), why }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, doing, source } => write!(f, "cannot {doing} `{}`: {source}", path.display()),
            Error::Locked { path, holder: Some(pid) } => {
                write!(f, "`{}` is in use by another process: pid {pid}", path.display())
            }
            Error::Locked { path, holder: None } => write!(f, "`{}` is in use by another process", path.display()),
            Error::Damaged { name, why } => write!(f, "`{name}` is damaged: {why}"),
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
