//! Derived events: what adprof itself has to say of a user, in the shape of an event.
//!
//! `{"eventId":"…","userId":"u-001","eventType":"adprof.enter","timestamp":…,"segment":"sports_fans",
//! "version":"931eebfe07a1","cause":"event","causeId":"e-17","receivedAt":…}`. The id is a hash of what happened and why,
//! so the same input gives the same ids.

use crate::key::Key;
use crate::ndjson::{push_int, push_str};
use crate::time::Millis;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Why a user enters or leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// An event, by its id.
    Event(Box<str>),
    /// Nothing but time.
    Time,
    /// Values that came as a patch.
    Patch,
    /// A base was installed.
    Base,
    /// The rule is new, another one, or gone.
    Definition,
}

impl Cause {
    pub fn name(&self) -> &'static str {
        match self {
            Cause::Event(_) => "event",
            Cause::Time => "time",
            Cause::Patch => "patch",
            Cause::Base => "base",
            Cause::Definition => "definition",
        }
    }
}

/// A user who enters or leaves an audience.
#[derive(Clone, PartialEq, Debug)]
pub struct Derived {
    pub key: Key,
    pub segment: Arc<str>,
    /// Of the rule.
    pub version: Arc<str>,
    /// `None`: she enters. Else she leaves, and was in since then.
    pub since: Option<Millis>,
    /// The instant from which on it is so.
    pub at: Millis,
    pub cause: Cause,
    /// How often the same has happened at the same instant before: many patches may come in one.
    pub nth: u32,
    /// How many patches were told before it, of those told together with it.
    pub patches: usize,
}

impl Derived {
    pub fn event_type(&self) -> &'static str {
        if self.since.is_none() { "adprof.enter" } else { "adprof.leave" }
    }

    /// 32 hex digits of SHA-256 over the type, the segment, its version, the user and the cause: of an event its id, of
    /// anything else the instant, and how often it happened in that before.
    pub fn id(&self) -> String {
        let cause = match &self.cause {
            Cause::Event(id) => id.to_string(),
            _ if self.nth > 0 => format!("{}/{}", self.at, self.nth),
            _ => self.at.to_string(),
        };
        let parts =
            [self.event_type(), &self.segment, &self.version, self.key.as_str(), self.cause.name(), cause.as_str()];
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Appends the event as one line, its newline included.
    pub fn push_line(&self, received: Millis, out: &mut Vec<u8>) {
        let mut text = |name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            push_str(out, value);
        };
        text("{\"eventId\":", &self.id());
        text(",\"userId\":", self.key.id());
        text(",\"eventType\":", self.event_type());
        let number = |name: &str, value: Millis, out: &mut Vec<u8>| {
            out.extend_from_slice(name.as_bytes());
            push_int(out, value);
        };
        number(",\"timestamp\":", self.at, out);
        let mut text = |name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            push_str(out, value);
        };
        text(",\"segment\":", &self.segment);
        text(",\"version\":", &self.version);
        text(",\"cause\":", self.cause.name());
        if let Cause::Event(id) = &self.cause {
            text(",\"causeId\":", id);
        }
        if let Some(since) = self.since {
            number(",\"since\":", since, out);
        }
        number(",\"receivedAt\":", received, out);
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Rules};

    fn derived() -> Derived {
        Derived {
            key: Key::user("", "u \"1\""),
            segment: "fans".into(),
            version: "931eebfe07a1".into(),
            since: None,
            at: 1_731_296_325_000,
            cause: Cause::Event("e-17".into()),
            nth: 0,
            patches: 0,
        }
    }

    #[test]
    fn it_has_the_shape_of_an_event_that_only_adprof_may_make() {
        let mut line = Vec::new();
        derived().push_line(1_731_296_326_000, &mut line);
        let text = String::from_utf8(line).expect("UTF-8");
        let want = concat!(
            r#"{"eventId":"ID","userId":"u \"1\"","eventType":"adprof.enter","timestamp":1731296325000,"segment":"fans","#,
            r#""version":"931eebfe07a1","cause":"event","causeId":"e-17","receivedAt":1731296326000}"#,
            "\n"
        );
        assert_eq!(text, want.replace("ID", &derived().id()));
        let bytes = text.trim_end().as_bytes();
        let own = Rules { reserved: true, ..Rules::default() };
        assert!(Event::parse(bytes, 1_731_296_326_000, &own).is_ok_and(|event| event.is_some()));
        assert!(Event::parse(bytes, 1_731_296_326_000, &Rules { reserved: false, ..Rules::default() }).is_err());
    }

    #[test]
    fn the_id_says_what_happened_and_why() {
        let all = [
            derived(),
            Derived { key: Key::user("", "u2"), ..derived() },
            Derived { segment: "fan".into(), version: "s931eebfe07a1".into(), ..derived() },
            Derived { version: "000000000000".into(), ..derived() },
            Derived { since: Some(1), ..derived() },
            Derived { cause: Cause::Event("e-18".into()), ..derived() },
            Derived { cause: Cause::Time, ..derived() },
            Derived { cause: Cause::Time, at: 5, ..derived() },
            Derived { cause: Cause::Definition, ..derived() },
            Derived { cause: Cause::Patch, ..derived() },
            Derived { cause: Cause::Patch, nth: 1, ..derived() },
        ];
        let ids: std::collections::BTreeSet<String> = all.iter().map(Derived::id).collect();
        assert_eq!(ids.len(), all.len());
        // When it was noticed that an event counts does not change what it is.
        assert_eq!(Derived { at: 7, ..derived() }.id(), derived().id());
        let leave = Derived { since: Some(1), ..derived() };
        assert_eq!(Derived { since: Some(2), ..leave.clone() }.id(), leave.id());
    }
}
