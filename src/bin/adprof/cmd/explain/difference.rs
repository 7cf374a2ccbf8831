//! Differences between a store and a log, with the likely reason.

use super::subject::{Store, Subject};
use crate::cmd::query::readable;
use adprof::profiles::{Origin, Told, Why};
use adprof::run::key_rows::Found;
use adprof::time::{self, Millis};
use adprof::value::Value;

/// In what the two differ, in one line; `None` where they agree or only one was asked.
pub fn find(subject: &Subject, store: &Store, log: &Found, as_of: Millis) -> Option<String> {
    let (told, from_log) = (subject.told.as_ref()?, subject.log.as_ref()?);
    if told.value == from_log.value {
        return None;
    }
    let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_string(), readable);
    let why = reason(told, store, log, as_of);
    Some(format!("the store says {}, the log {}: {why}", side(&told.value), side(&from_log.value)))
}

/// The likely reason: the first that can be.
fn reason(told: &Told, store: &Store, log: &Found, as_of: Millis) -> String {
    let behind = |newest: Millis| log.newest.filter(|last| *last > newest);
    let ends =
        |at: Option<Millis>| at.map_or_else(|| "is empty".to_string(), |at| format!("ends at {}", time::show(at)));
    match told.from {
        Origin::Nothing(Why::OtherDefinition(other)) => {
            format!("another definition: the state holds the tag under fingerprint {other:016x}")
        }
        Origin::Nothing(why) if !matches!(why, Why::NoEvent) => nothing(why).to_string(),
        Origin::Patch(at) if at < as_of && log.newest.is_some_and(|last| last > at) => {
            format!("the store may be behind the log: its value is of {}", time::show(at))
        }
        Origin::Patch(at) => {
            format!("the patch of {} was made of other events, or with another definition", time::show(at))
        }
        Origin::Value => format!("the store may be behind the log, which {}", ends(log.newest)),
        Origin::State { .. } | Origin::Nothing(_) => match (store.newest, told.from) {
            (Some(newest), _) if let Some(last) = behind(newest) => format!(
                "the store is behind the log: its newest event is of {}, that of the log of {}",
                time::show(newest),
                time::show(last)
            ),
            _ if let Some(now) = store.moved_to.filter(|now| *now > as_of) => {
                format!("the state has gone on to {} and forgotten what was over by then", time::show(now))
            }
            (_, Origin::State { since }) if since > 0 => {
                format!("the state counts this tag since {} only, not from the beginning", time::show(since))
            }
            (Some(newest), _) if log.newest.is_none_or(|last| last < newest) => {
                format!("the store has absorbed events up to {}, the log {}", time::show(newest), ends(log.newest))
            }
            _ => "both end at the same instant: one of them lacks events from before".to_string(),
        },
    }
}

/// Why a store has no value.
pub fn nothing(why: Why) -> &'static str {
    match why {
        Why::NoState => "no stream has written into the store",
        Why::NoEvent => "its live state has seen no event of it",
        Why::New => "the stream does not run with this definition yet",
        Why::OtherDefinition(_) => "its live state holds the tag under another definition",
        Why::NoPatch => "no patch has brought one",
        Why::NoValue => "it holds none",
    }
}
