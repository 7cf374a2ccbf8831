//! What a key of an event means to the reader.

use super::line::{EVENT_ID, EVENT_TYPE, RECEIVED, TENANT, TIMESTAMP, USER};
use crate::event::STRING_FIELDS;
use crate::limits::{EVENT_ID_MAX, FIELD_MAX, TENANT_MAX, USER_ID_MAX};
use crate::value::Type;

/// How the value of a key is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Text,
    Instant,
    Amount,
    /// Any JSON.
    Other,
}

/// What a key of an event means to the reader.
#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: Kind,
    /// The lengths of a text that is taken: so many bytes, and how many more.
    pub least: u32,
    pub span: u32,
    /// A text that must not deceive and is never written with escapes.
    pub id: bool,
    pub nullable: bool,
    /// So many objects inside the event it stands.
    pub depth: usize,
    /// Places in `Line::all` that take the value as it is: of the type it has when it is right.
    pub targets: Vec<usize>,
    /// Places that want another type, or something inside.
    pub typed: Vec<Want>,
}

/// A place of the projection that a key fills with something else than its text.
#[derive(Clone, Debug)]
pub struct Want {
    pub place: usize,
    pub ty: Type,
    /// The names below the key.
    pub path: Vec<String>,
}

impl Entry {
    /// The keys that an event's form knows; those that every event has come first, in the order of their places.
    pub fn known() -> Vec<(&'static str, Entry)> {
        let tenant = Entry::id(TENANT, TENANT_MAX);
        let mut known = vec![
            ("eventId", Entry::id(EVENT_ID, EVENT_ID_MAX)),
            ("userId", Entry::id(USER, USER_ID_MAX)),
            ("eventType", Entry::id(EVENT_TYPE, FIELD_MAX)),
            ("tenantId", Entry { least: 0, span: TENANT_MAX as u32, nullable: true, ..tenant }),
            ("timestamp", Entry::number(Kind::Instant, vec![TIMESTAMP], false)),
            ("receivedAt", Entry::number(Kind::Instant, vec![RECEIVED], true)),
            ("amount", Entry::number(Kind::Amount, Vec::new(), true)),
        ];
        let text = Entry { kind: Kind::Text, span: FIELD_MAX as u32, ..Entry::other(0) };
        known.extend(STRING_FIELDS.iter().filter(|name| **name != "tenantId").map(|name| (*name, text.clone())));
        known
    }

    /// A key that an event's form does not know: any JSON, and several times if it must be.
    pub fn other(depth: usize) -> Entry {
        let (targets, typed) = (Vec::new(), Vec::new());
        Entry { kind: Kind::Other, least: 0, span: u32::MAX, id: false, nullable: true, depth, targets, typed }
    }

    fn id(place: usize, max: usize) -> Entry {
        let other = Entry::other(0);
        Entry {
            kind: Kind::Text,
            least: 1,
            span: max as u32 - 1,
            id: true,
            nullable: false,
            targets: vec![place],
            ..other
        }
    }

    fn number(kind: Kind, targets: Vec<usize>, nullable: bool) -> Entry {
        // No text is as long as that.
        Entry { kind, least: u32::MAX, span: 0, nullable, targets, ..Entry::other(0) }
    }

    pub fn want(&mut self, want: Want) {
        let below = !want.path.is_empty();
        match self.kind {
            Kind::Text | Kind::Other if !below && want.ty == Type::String => self.targets.push(want.place),
            Kind::Instant | Kind::Amount if !below => self.targets.push(want.place),
            Kind::Other => self.typed.push(want),
            // Inside a field that is a text or a number there is nothing, and it is nothing else.
            _ => {}
        }
    }

    /// Whether only what is inside of the value is asked for, if anything.
    pub fn is_path(&self) -> bool {
        self.kind == Kind::Other && self.targets.is_empty() && self.typed.iter().all(|want| !want.path.is_empty())
    }
}
