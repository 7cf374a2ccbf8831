//! Acknowledgements: how many messages, from the first one on, are in Kafka.
//!
//! Partitions answer in any order; the count only passes a message when all before it
//! are in. A message that failed for good is never passed, nor is anything after it.

use std::collections::VecDeque;

/// Which of the messages sent have arrived. Messages are numbered from 1.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// Messages 1..=done have all arrived.
    done: u64,
    /// One bit for each message after `done`, in words of 64 from `base` + 1 on.
    window: VecDeque<u64>,
    /// A multiple of 64, at most `done`.
    base: u64,
    failed: Option<(u64, String)>,
}

impl Acks {
    /// Message `sequence` is in Kafka. Returns how many are, without a gap.
    pub fn arrived(&mut self, sequence: u64) -> u64 {
        if sequence <= self.done {
            return self.done;
        }
        let at = sequence - 1 - self.base;
        let word = (at / 64) as usize;
        if word >= self.window.len() {
            self.window.resize(word + 1, 0);
        }
        self.window[word] |= 1 << (at % 64);
        self.advance();
        self.done
    }

    fn advance(&mut self) {
        while let Some(&first) = self.window.front() {
            self.done = self.base + u64::from(first.trailing_ones());
            if first != u64::MAX {
                return;
            }
            self.window.pop_front();
            self.base += 64;
        }
    }

    /// Message `sequence` will never be in Kafka. The earliest failure is kept.
    pub fn failed(&mut self, sequence: u64, why: String) {
        if self.failed.as_ref().is_none_or(|(first, _)| sequence < *first) {
            self.failed = Some((sequence, why));
        }
    }

    pub fn failure(&self) -> Option<&(u64, String)> {
        self.failed.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_count_is_the_longest_run_without_a_gap(
            order in Just((1..=300u64).collect::<Vec<_>>()).prop_shuffle(),
            lost in proptest::option::of(1..=300u64),
        ) {
            let mut acks = Acks::default();
            let mut naive = std::collections::BTreeSet::new();
            for sequence in order {
                if Some(sequence) == lost {
                    acks.failed(sequence, "lost".into());
                    continue;
                }
                naive.insert(sequence);
                let expected = (1..).take_while(|n| naive.contains(n)).count() as u64;
                prop_assert_eq!(acks.arrived(sequence), expected);
                prop_assert_eq!(acks.arrived(sequence), expected);
            }
            prop_assert!(acks.window.len() <= 5);
        }
    }

    #[test]
    fn the_earliest_failure_is_the_one_told() {
        let mut acks = Acks::default();
        for sequence in [9, 3, 5] {
            acks.failed(sequence, sequence.to_string());
        }
        assert_eq!(acks.failure(), Some(&(3, "3".to_owned())));
    }
}
