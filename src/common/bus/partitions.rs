//! Partitions as users write them: `0-3,5`, or all of a topic.
//!
//! A set is sorted, without repetition and never empty.

use std::fmt;
use std::str::FromStr;

/// Most partitions that one list may name: bounds `0-2000000000`.
const SET_MAX: usize = 100_000;

/// Some partitions of a topic, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSet(Vec<i32>);

impl PartitionSet {
    /// The set of these partitions; `None` when there is none or one is negative.
    pub fn new(mut partitions: Vec<i32>) -> Option<PartitionSet> {
        partitions.sort_unstable();
        partitions.dedup();
        (partitions.first()? >= &0).then_some(PartitionSet(partitions))
    }

    /// The partitions, ascending.
    pub fn as_slice(&self) -> &[i32] {
        &self.0
    }
}

impl FromStr for PartitionSet {
    type Err = String;

    fn from_str(text: &str) -> Result<PartitionSet, String> {
        let mut partitions = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (number(from, part)?, number(to, part)?);
            if from > to {
                return Err(format!("a range of partitions goes upwards, as 0-3, not: {part}"));
            }
            if partitions.len() + (to - from) as usize >= SET_MAX {
                return Err(format!("more than {SET_MAX} partitions: {part}"));
            }
            partitions.extend(from..=to);
        }
        PartitionSet::new(partitions).ok_or_else(|| "no partitions given".into())
    }
}

fn number(text: &str, part: &str) -> Result<i32, String> {
    let text = text.trim();
    // `parse` takes a sign, a partition has none.
    if text.starts_with('+') {
        return Err(format!("not a partition: {part}"));
    }
    text.parse::<i32>()
        .ok()
        .filter(|n| *n >= 0)
        .ok_or_else(|| format!("partitions are numbers and ranges as `0-3,5`, not: {part}"))
}

impl fmt::Display for PartitionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut comma = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|(a, b)| **a == *b).count();
            let last = rest[run - 1];
            if first == last {
                write!(f, "{comma}{first}")?
            } else {
                write!(f, "{comma}{first}-{last}")?
            }
            comma = ",";
            rest = &rest[run..];
        }
        Ok(())
    }
}

/// Which partitions a process owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// All that the topic has when reading begins.
    All,
    /// These.
    Some(PartitionSet),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_in_order_and_once() {
        for (text, partitions, shown) in
            [("0", vec![0], "0"), ("0-3,5", vec![0, 1, 2, 3, 5], "0-3,5"), ("5, 0-1 ,1-2", vec![0, 1, 2, 5], "0-2,5")]
        {
            let set: PartitionSet = text.parse().expect(text);
            assert_eq!(set.as_slice(), partitions, "{text}");
            assert_eq!(set.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_list_of_partitions_is_refused() {
        for text in ["", ",", "a", "3-1", "-1", "1-", "+1", "0-2000000000", "1.5", "99999999999"] {
            assert!(text.parse::<PartitionSet>().is_err(), "{text}");
        }
    }
}
