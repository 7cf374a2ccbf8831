//! What a night keeps: patches of users are taken out of its files, and the manifests beside them say so.

use super::People;
use crate::disk;
use crate::key::USER;
use crate::patch::Patch;
use crate::quality::Manifest;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What was taken out of the files of some nights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Night {
    pub files: u64,
    pub rows: u64,
}

/// Takes the patches of users out of the files of a directory with nights (`dt=DAY/patches*.ndjson`), or out of one file.
/// `dry`: counts only.
pub fn nights(place: &Path, people: &People, dry: bool) -> io::Result<Night> {
    let mut all = Night::default();
    for path in files(place)? {
        let rows = one(&path, people, dry)?;
        all.files += u64::from(rows > 0);
        all.rows += rows;
    }
    Ok(all)
}

fn files(place: &Path) -> io::Result<Vec<PathBuf>> {
    if !place.is_dir() {
        fs::metadata(place)?;
        return Ok(vec![place.to_owned()]);
    }
    let mut found = Vec::new();
    for day in fs::read_dir(place)? {
        let day = day?;
        // `latest` is a link to one of them.
        if !day.file_type()?.is_dir() || !day.file_name().to_string_lossy().starts_with("dt=") {
            continue;
        }
        for entry in fs::read_dir(day.path())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("patches") && name.ends_with(".ndjson") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn one(path: &Path, people: &People, dry: bool) -> io::Result<u64> {
    let gone = |line: &[u8]| {
        // Most lines are told apart without being understood.
        if !people.is_in(line) && memchr::memmem::find(line, b"\\u").is_none() {
            return false;
        }
        let patch = std::str::from_utf8(line).ok().and_then(|line| Patch::parse(line).ok());
        patch.is_some_and(|patch| {
            patch.key.entity() == USER && people.list.drops(patch.key.id().as_bytes(), patch.as_of)
        })
    };
    let mut rows = 0;
    each_line(path, |line| {
        rows += u64::from(gone(line));
        Ok(())
    })?;
    if rows == 0 || dry {
        return Ok(rows);
    }
    let aside = named(path, ".forgetting.tmp");
    let mut out = BufWriter::new(File::create(&aside)?);
    out.get_ref().set_permissions(fs::metadata(path)?.permissions())?;
    let (mut hash, mut left, mut bytes) = (Sha256::new(), 0, 0);
    each_line(path, |line| {
        if !gone(line) {
            hash.update(line);
            left += 1;
            bytes += line.len() as u64;
            out.write_all(line)?;
        }
        Ok(())
    })?;
    out.flush()?;
    out.get_ref().sync_all()?;
    // The manifest first: killed in between, the lines are found again and the same is done.
    let place = named(path, ".manifest.json");
    if let Some(mut manifest) = fs::read_to_string(&place).ok().and_then(|text| Manifest::parse(&text).ok()) {
        let sha256 = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        (manifest.output.rows, manifest.output.bytes, manifest.output.sha256) = (left, bytes, sha256);
        disk::replace(&place, &named(&place, ".tmp"), manifest.to_text().as_bytes())?;
    }
    fs::rename(&aside, path)?;
    disk::sync_dir(disk::parent(path))?;
    Ok(rows)
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Gives each line with its newline.
fn each_line(path: &Path, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        each(&line)?;
    }
}
