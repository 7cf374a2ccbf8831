//! Parts: the keys and states, and the late lines, of one part of a file, as bytes.

use super::Error;
use super::file::{Reader, Section, Stored};
use crate::agg::codec::{get_bytes, get_str, put_bytes};

/// Keys and states of one part, on their way into a file. Keys come in their order.
#[derive(Default)]
pub struct States {
    keys: Vec<u8>,
    states: Vec<u8>,
}

impl States {
    /// Adds a key whose state has these bytes (`State::encode`, numbers being places in the file's list of counters).
    pub fn push(&mut self, key: &str, state: &[u8]) {
        put_bytes(&mut self.keys, key.as_bytes());
        put_bytes(&mut self.states, state);
    }

    pub fn stored(self, part: usize) -> [Stored; 2] {
        [Stored::new(part, Section::Keys, self.keys), Stored::new(part, Section::States, self.states)]
    }
}

/// Gives every key of a part with the bytes of its state to `each`, which says `None` where they make no sense.
pub fn states(file: &Reader<'_>, part: usize, mut each: impl FnMut(&str, &[u8]) -> Option<()>) -> Result<(), Error> {
    let (keys, states) = (file.read(part, Section::Keys)?, file.read(part, Section::States)?);
    let (mut keys, mut states) = (&keys[..], &states[..]);
    let mut all = || -> Option<()> {
        while !keys.is_empty() {
            each(get_str(&mut keys)?, get_bytes(&mut states)?)?;
        }
        states.is_empty().then_some(())
    };
    all().ok_or_else(|| Error::damaged(file.name(), "a state cannot be read"))
}

/// Lines of late events as one section.
pub fn late<'l>(part: usize, lines: impl IntoIterator<Item = &'l [u8]>) -> Stored {
    let mut bytes = Vec::new();
    lines.into_iter().for_each(|line| put_bytes(&mut bytes, line));
    Stored::new(part, Section::Late, bytes)
}

/// The lines of late events of a part, appended to `out`.
pub fn late_lines(file: &Reader<'_>, part: usize, out: &mut Vec<Box<[u8]>>) -> Result<(), Error> {
    let bytes = file.read(part, Section::Late)?;
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let line = get_bytes(&mut rest).ok_or_else(|| Error::damaged(file.name(), "a line cannot be read"))?;
        out.push(line.into());
    }
    Ok(())
}
