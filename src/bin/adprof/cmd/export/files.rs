//! Exports into files: one, standard output, or the parts of a directory.

use super::{Count, Job};
use crate::ask::usage;
use crate::given::{self, grouped};
use crate::report;
use crate::whole::{into_directory, into_file};
use adprof::export::{Done, Layout, Manifest, Part, Parts, Sheet, Summed};
use adprof::profiles::Profiles;
use adprof::quality::Written;
use anyhow::Result;
use std::io::{self, Write};
use std::path::Path;

pub fn to_stdout(job: Job, profiles: &mut Profiles) -> Result<Count> {
    Ok(sheet(job, profiles, io::stdout())?.0)
}

/// One file, and its manifest where one is wanted: the file first, the manifest last.
pub fn to_file(job: Job, profiles: &mut Profiles, path: &Path, manifest: Option<&Path>) -> Result<Count> {
    let Some(place) = manifest else {
        return into_file(path, |file| Ok(sheet(job, profiles, file.try_clone()?)?.0));
    };
    let (told, began) = (job.told.clone(), job.began);
    let (count, written) = into_file(path, |file| {
        let (count, Done { out, rows, .. }) = sheet(job, profiles, Summed::new(file.try_clone()?))?;
        let (bytes, sha256) = out.finish();
        Ok((count, Written { rows, bytes, sha256 }))
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let manifest = Manifest::new(told, (began, given::now()), count, vec![Part { name, written }]);
    into_file(place, |file| Ok(file.write_all(manifest.to_text().as_bytes())?))?;
    Ok(count)
}

/// The parts of a directory, its manifest last.
pub fn to_directory(job: Job, profiles: &mut Profiles, path: &Path, layout: Layout) -> Result<Count> {
    let manifest = into_directory(path, |dir| {
        let Job { audience, form, told, began } = job;
        let mut parts = Parts::begin(dir, &form, layout)?;
        let count = audience.each(profiles, |row| Ok(parts.row(row)?))?;
        let (files, odd) = parts.finish()?.map_err(|why| match layout {
            Layout::Keys(_) => usage(why),
            Layout::Tag(tag) => usage(format!("--partition-by {}: {why}", form.definitions.tags[tag].code))
                .hint("--partitions N divides by the key"),
        })?;
        warn_of(odd);
        Ok(Manifest::new(told, (began, given::now()), count, files))
    })?;
    Ok((manifest.rows, manifest.of))
}

fn sheet<W: Write + Send>(job: Job, profiles: &mut Profiles, out: W) -> Result<(Count, Done<W>)> {
    let mut sheet = Sheet::begin(out, &job.form, 1)?;
    let count = job.audience.each(profiles, |row| Ok(sheet.row(row)?))?;
    let done = sheet.finish()?;
    warn_of(done.odd);
    Ok((count, done))
}

fn warn_of(odd: u64) {
    if odd > 0 {
        let n = grouped(odd);
        report::warn(format_args!(
            "{n} values are NULL in Parquet: they are not of the type that their tag has by now"
        ));
    }
}
