//! What Redis says of audiences: which of them are current, so that whoever asks need not work them out.

use super::Publishing;
use crate::engine::audience::Known;
use crate::engine::live::Live;
use crate::key::{Key, OWN, SEGMENTS};
use crate::patch::{ALL_OTHERS, Patch};
use crate::value::Value;

/// What Redis says of audiences.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// Nobody knows.
    Anything,
    Nothing,
    /// Nothing, until so many keys more were told: then everybody was.
    NothingUntil(usize),
    /// All of them are current.
    Current,
}

impl Says {
    /// What is to be said now, with so many keys to be told: that all are current, or none.
    fn next(&mut self, untold: usize, finding: bool) -> Option<bool> {
        if *self == Says::Nothing && !finding {
            // Those that wait are told before all that come later.
            *self = Says::NothingUntil(untold);
        }
        let (next, current) = match self {
            Says::Anything => (Says::Nothing, false),
            Says::NothingUntil(0) => (Says::Current, true),
            _ => return None,
        };
        *self = next;
        Some(current)
    }

    /// So many of the keys that waited longest were handed over.
    pub(super) fn told(&mut self, keys: usize) {
        if let Says::NothingUntil(left) = self {
            *left = left.saturating_sub(keys);
        }
    }
}

impl Publishing {
    /// What Redis has to say of audiences next: nothing until everybody was told, then which of them are current.
    pub(super) fn audiences(&mut self, live: &Live) -> Option<Patch> {
        if !self.only || !live.is_watching() || !self.is_free() {
            return None;
        }
        let current = if self.says.next(live.untold(), live.is_finding())? { live.audiences() } else { Vec::new() };
        let says = |one: Known| Some((one.code.into(), Some(Value::Str(one.version?.into()))));
        let tags = std::iter::once((ALL_OTHERS.into(), None)).chain(current.into_iter().filter_map(says)).collect();
        Some(Patch { key: Key::new("", OWN, [SEGMENTS]), as_of: live.now(), tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_current_once_all_who_waited_were_told_however_many_wait_by_then() {
        let mut says = Says::Anything;
        assert_eq!(says.next(5, true), Some(false));
        says.told(3);
        assert_eq!(says.next(9, true), None, "members are yet to be found");
        assert_eq!(says.next(5, false), None);
        says.told(3);
        assert_eq!(says.next(7, false), None);
        says.told(3);
        assert_eq!(says.next(9, false), Some(true));
        assert_eq!(says.next(0, false), None, "it is said once");
    }
}
