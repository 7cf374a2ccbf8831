//! Moved files: a reader that listed the log before a file was packed or compacted finds its lines where they are now.

use super::day::file_name;
use super::manifest::Manifest;
use crate::disk::parent;
use crate::lines::open_file;
use crate::log::{LogFile, names};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};

/// The decoded bytes of a file that is no longer there under its name; `None` when they are gone.
pub fn reopen(file: &LogFile) -> io::Result<Option<Box<dyn Read + Send>>> {
    let (dir, name) = (parent(&file.path), names::unpacked(file_name(file)));
    let Ok(Some(manifest)) = Manifest::read(dir) else { return Ok(None) };
    let own = manifest.pieces_in(name);
    let Some(first) = own.first() else { return Ok(None) };
    let len = own.iter().map(|piece| piece.bytes).sum();
    for entry in fs::read_dir(dir)? {
        let found = entry?.file_name().to_string_lossy().into_owned();
        let holds = || Some(names::numbered(&found)?.holds(&names::numbered(name)?));
        if !names::is_data(&found) || (names::unpacked(&found) != name && holds() != Some(true)) {
            continue;
        }
        let mut input = match File::open(dir.join(&found)) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            other => open_file(other?)?,
        };
        let all = manifest.pieces_in(names::unpacked(&found));
        let before = all.iter().take_while(|piece| piece.name != first.name).map(|piece| piece.bytes).sum();
        io::copy(&mut (&mut input).take(before), &mut io::sink())?;
        return Ok(Some(Box::new(input.take(len))));
    }
    Ok(None)
}
