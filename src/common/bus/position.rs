//! A position file: a little JSON that survives a crash, for what has been sent so far.
//!
//! After `save` returns, `load` gives what was saved, or something saved later; a crash
//! in between leaves the old file whole. One process writes a file at a time.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::BusError;

/// Replaces the file at `path` durably: written aside, synced, renamed, directory synced.
/// After an error the old file may still be in place; the caller must not go on as if
/// the position were saved.
pub fn save<T: Serialize>(path: &Path, position: &T) -> Result<(), BusError> {
    let mut text = serde_json::to_vec(position)
        .map_err(|e| BusError::BadPosition { path: path.to_owned(), why: e.to_string() })?;
    text.push(b'\n');
    let aside = aside_of(path);
    write_synced(&aside, &text).map_err(failed(&aside, "write"))?;
    fs::rename(&aside, path).map_err(failed(path, "replace"))?;
    let folder = folder_of(path);
    // The rename itself is on disk only when the directory is.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder, "sync"))
}

/// What was saved at `path`; `None` when there is no file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, BusError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(path, "read")(e)),
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|e| BusError::BadPosition { path: path.to_owned(), why: e.to_string() })
}

fn write_synced(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Beside it, since a rename cannot cross file systems.
fn aside_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> BusError {
    let path = path.to_owned();
    move |e| BusError::File { path, doing, why: e.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sent {
        file: String,
        bytes: u64,
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ad-events.log.kafka");
        assert_eq!(load::<Sent>(&path).expect("none yet"), None);
        for bytes in [1, u64::MAX] {
            let sent = Sent { file: "dt=2024-11-11/a.ndjson".into(), bytes };
            save(&path, &sent).expect("saved");
            assert_eq!(load(&path).expect("loaded"), Some(sent));
        }
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_crash_while_saving_leaves_the_old_file() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("p");
        save(&path, &1).expect("saved");
        fs::write(aside_of(&path), "{torn").expect("as a crash leaves it");
        assert_eq!(load(&path).expect("loaded"), Some(1));
        save(&path, &2).expect("saved over the remains");
        assert_eq!(load(&path).expect("loaded"), Some(2));
    }

    #[test]
    fn something_else_in_the_file_is_an_error_with_a_way_out() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("p");
        for text in ["", "{", "[]", "{\"file\":1,\"bytes\":2}"] {
            fs::write(&path, text).expect("written");
            let e = load::<Sent>(&path).expect_err(text);
            assert_eq!((e.class().exit_code(), e.code()), (74, "BAD_POSITION"), "{text}");
            assert!(e.hint().is_some());
        }
        assert!(matches!(save(&dir.path().join("no/such"), &1), Err(BusError::File { .. })));
    }
}
