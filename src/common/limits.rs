//! Limits: every bound that input has to respect, in one place.
//!
//! A bound stands here when crossing it gives a user an error or a dead letter.

/// Longest input line in bytes, its newline not counted. Longer: `TOO_LONG`.
pub const LINE_MAX: usize = 256 * 1024;
/// Deepest nesting of objects and arrays in an event, the event itself counted. Deeper: `TOO_DEEP`.
pub const DEPTH_MAX: usize = 64;
/// Longest `eventId` in bytes.
pub const EVENT_ID_MAX: usize = 128;
/// Longest `userId` in bytes.
pub const USER_ID_MAX: usize = 256;
/// Longest `eventType` and optional string field (`category`, `itemId`, …) in bytes.
pub const FIELD_MAX: usize = 1024;
/// Longest `tenantId` in bytes.
pub const TENANT_MAX: usize = 64;
/// How far after its receipt an event may claim to have happened, in milliseconds.
pub const FUTURE_MS: i64 = 5 * 60 * 1000;
/// Tags in one definition file.
pub const TAGS_MAX: usize = 1000;
/// Entities in one definition file, besides users.
pub const ENTITIES_MAX: usize = 100;
/// Parts of a key.
pub const KEY_PARTS_MAX: usize = 8;
/// Keys of one entity that one event touches; of more, those with the smallest hash.
pub const KEYS_MAX: usize = 1000;
/// Slices of time that hold one instant: size over step of `hop`.
pub const HOP_MAX: i64 = 1000;
/// Panes in one window: bounds the state of a hot user.
pub const PANES_MAX: i64 = 10_000;
/// Longest expression in a definition file, in bytes.
pub const EXPR_MAX: usize = 16 * 1024;
/// Deepest nesting of an expression.
pub const EXPR_DEPTH_MAX: usize = 64;
/// Parts of a rule together with all segments that it names.
pub const RULE_NODES_MAX: usize = 20_000;
/// Deepest nesting of a rule together with all segments that it names.
pub const RULE_DEPTH_MAX: usize = 256;
/// Files of one export, and values of the tag that it is divided by.
pub const PARTS_MAX: usize = 1000;
