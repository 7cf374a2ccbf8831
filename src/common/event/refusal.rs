//! Refusals: why a line is no event, as a code for machines and a reason for people.

use std::fmt;

/// Why a line was refused. The name is the code in the dead letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    TooLong,
    BadBom,
    NotUtf8,
    NotJson,
    NotObject,
    TooDeep,
    DupKey,
    MissingField,
    BadField,
    CtrlChar,
    BadTimestamp,
    FutureTimestamp,
    BadAmount,
    UnknownType,
    ReservedType,
    IdConflict,
    NullValue,
    /// A foreign line that a `--map` could not turn into an event.
    BadMap,
    /// A line for a store that is not a patch.
    BadPatch,
    /// A patch whose key the store holds as something else.
    KeyTaken,
}

impl Code {
    pub const ALL: [Code; 20] = [
        Code::TooLong,
        Code::BadBom,
        Code::NotUtf8,
        Code::NotJson,
        Code::NotObject,
        Code::TooDeep,
        Code::DupKey,
        Code::MissingField,
        Code::BadField,
        Code::CtrlChar,
        Code::BadTimestamp,
        Code::FutureTimestamp,
        Code::BadAmount,
        Code::UnknownType,
        Code::ReservedType,
        Code::IdConflict,
        Code::NullValue,
        Code::BadMap,
        Code::BadPatch,
        Code::KeyTaken,
    ];

    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Code::TooLong => "TOO_LONG",
            Code::BadBom => "BAD_BOM",
            Code::NotUtf8 => "NOT_UTF8",
            Code::NotJson => "NOT_JSON",
            Code::NotObject => "NOT_OBJECT",
            Code::TooDeep => "TOO_DEEP",
            Code::DupKey => "DUP_KEY",
            Code::MissingField => "MISSING_FIELD",
            Code::BadField => "BAD_FIELD",
            Code::CtrlChar => "CTRL_CHAR",
            Code::BadTimestamp => "BAD_TIMESTAMP",
            Code::FutureTimestamp => "FUTURE_TIMESTAMP",
            Code::BadAmount => "BAD_AMOUNT",
            Code::UnknownType => "UNKNOWN_TYPE",
            Code::ReservedType => "RESERVED_TYPE",
            Code::IdConflict => "ID_CONFLICT",
            Code::NullValue => "NULL_VALUE",
            Code::BadMap => "BAD_MAP",
            Code::BadPatch => "BAD_PATCH",
            Code::KeyTaken => "KEY_TAKEN",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal: the code and, for people, the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub code: Code,
    pub reason: String,
}

impl Refusal {
    pub fn new(code: Code, reason: impl Into<String>) -> Refusal {
        Refusal { code, reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}
