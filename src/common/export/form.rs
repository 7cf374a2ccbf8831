//! Forms: what is written of each profile, and how.

use super::csv::Cells;
use super::pack::Packing;
use crate::ndjson::push_str;
use crate::patch::is_hidden;
use crate::profiles::Profile;
use crate::tag::Definitions;
use crate::value::push_between;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

/// What a line of NDJSON ends with.
const END: &[u8] = b"}\n";

/// The column of segments.
pub const SEGMENTS: &str = "segments";

/// A file format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Csv,
    Ndjson,
    Parquet,
    /// The `user` object of OpenRTB 2.6 with its segments, a line each.
    OpenRtb,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::Csv, Format::Ndjson, Format::Parquet, Format::OpenRtb];

    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
            Format::Parquet => "parquet",
            Format::OpenRtb => "openrtb",
        }
    }

    /// What names of files end with.
    fn ending(self) -> &'static str {
        match self {
            Format::OpenRtb => Format::Ndjson.name(),
            other => other.name(),
        }
    }

    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What the name of a file says: `a.csv`, `a.ndjson.zst`; `None` where it does not say.
    pub fn of_file(path: &Path) -> (Option<Format>, Option<Packing>) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let packing =
            Packing::ALL.into_iter().find(|packing| name.ends_with(packing.ending()) && *packing != Packing::None);
        let inner = packing.map_or(&*name, |packing| &name[..name.len() - packing.ending().len()]);
        let format = inner.rsplit_once('.').and_then(|(_, ending)| match ending {
            "jsonl" => Some(Format::Ndjson),
            other => Format::ALL.into_iter().find(|format| format.ending() == other),
        });
        (format, packing)
    }
}

/// What is written of each profile.
pub struct Form {
    pub format: Format,
    pub packing: Packing,
    pub definitions: Arc<Definitions>,
    /// The name of the column of keys.
    pub key: String,
    pub tags: Columns,
    /// Whether tags stand in lines that the definitions do not have, and of them those that are hidden.
    pub others: bool,
    pub hidden: bool,
    pub cells: Cells,
    /// Whether the segments of each stand beside its tags.
    pub segments: bool,
    /// Who says so in OpenRTB: the id and the name of `data`.
    pub provider: String,
    /// What files that have a place for it say of themselves.
    pub provenance: Vec<(&'static str, String)>,
}

/// The tags that are written.
pub struct Columns {
    /// Places in the definitions, in the order they are written.
    places: Vec<usize>,
    /// By place.
    kept: Vec<bool>,
}

impl Columns {
    pub fn new(definitions: &Definitions, places: Vec<usize>) -> Columns {
        let mut kept = vec![false; definitions.tags.len()];
        places.iter().for_each(|place| kept[*place] = true);
        Columns { places, kept }
    }

    pub fn places(&self) -> &[usize] {
        &self.places
    }
}

/// One profile on its way out.
pub struct Row<'a> {
    pub profile: &'a Profile,
    /// Those of the asked segments that it is in, by place in the definitions.
    pub segments: &'a [usize],
}

impl Form {
    /// Whether the tag of this code is written.
    pub fn keeps(&self, code: &str) -> bool {
        match self.definitions.index(code) {
            Some(tag) => self.tags.kept[tag],
            None => self.others && (self.hidden || !is_hidden(code)),
        }
    }

    /// What the names of its files end with: `.csv.gz`.
    pub fn ending(&self) -> String {
        format!(".{}{}", self.format.ending(), self.packing.ending())
    }

    /// Appends a row as a line of JSON, its newline included.
    pub fn push_line(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        if self.format == Format::OpenRtb {
            return self.push_openrtb(row, out);
        }
        row.profile.push_line(&self.definitions, |code| self.keeps(code), out);
        if self.segments {
            out.truncate(out.len() - END.len());
            out.extend_from_slice(b",\"segments\":");
            self.push_segments(row, out);
            out.extend_from_slice(END);
        }
    }

    /// Appends the codes of the segments as a JSON array.
    pub fn push_segments(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        push_list(out, row.segments, |place, out| push_str(out, &self.definitions.segments[place].code));
    }

    fn push_openrtb(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        push_str(out, &row.profile.key.text());
        out.extend_from_slice(b",\"data\":[{\"id\":");
        push_str(out, &self.provider);
        out.extend_from_slice(b",\"name\":");
        push_str(out, &self.provider);
        out.extend_from_slice(b",\"segment\":");
        push_list(out, row.segments, |place, out| {
            let segment = &self.definitions.segments[place];
            out.extend_from_slice(b"{\"id\":");
            push_str(out, &segment.code);
            out.extend_from_slice(b",\"name\":");
            push_str(out, &segment.name);
            out.push(b'}');
        });
        out.extend_from_slice(b"}]}\n");
    }
}

fn push_list(out: &mut Vec<u8>, places: &[usize], push: impl Fn(usize, &mut Vec<u8>)) {
    let Ok(()) = push_between(out, b"[]", places, |place, out| {
        push(*place, out);
        Ok::<_, Infallible>(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_format_and_packing() {
        for (name, want) in [
            ("a.csv", (Some(Format::Csv), None)),
            ("a.CSV.GZ", (Some(Format::Csv), Some(Packing::Gzip))),
            ("b.c/a.ndjson.zst", (Some(Format::Ndjson), Some(Packing::Zstd))),
            ("a.jsonl", (Some(Format::Ndjson), None)),
            ("a.parquet", (Some(Format::Parquet), None)),
            ("a.openrtb", (None, None)),
            ("a.gz", (None, Some(Packing::Gzip))),
            ("csv", (None, None)),
            ("a.txt", (None, None)),
        ] {
            assert_eq!(Format::of_file(Path::new(name)), want, "{name}");
        }
    }
}
