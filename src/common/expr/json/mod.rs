//! The JSON form of a condition, which programs write and SQL people can do without.
//!
//! ```json
//! {"logic":"AND","conditions":[
//!   {"tag_code":"age","op":">","value":18},
//!   {"logic":"NOT","conditions":[{"segment":"vip"}]},
//!   {"tag_code":"last_active_ts","op":">","value":{"ago":"7d"}},
//!   {"aggregate":"count(*)","where":"eventType = 'click'","window":"7d","op":">=","value":3},
//!   {"sql":"LOWER(city) = 'oslo'"}]}
//! ```
//!
//! `logic` is AND, OR, or NOT with one condition. A value has the type of what it is compared with; a datetime is
//! milliseconds, RFC 3339 or so long ago. What is written here is read as the same expression.

mod read;
mod write;

pub use read::read;
pub(super) use write::write;

/// What an operator takes as its value, and its SQL.
#[derive(Clone, Copy)]
enum Takes {
    One(&'static str),
    Two(&'static str),
    Several(&'static str),
    Text(&'static str),
    /// A part of a string, in which nothing is special.
    Part,
    /// The NOT of that.
    NoPart,
    Nothing(&'static str),
}

const OPERATORS: [(&str, Takes); 17] = [
    ("=", Takes::One("=")),
    ("!=", Takes::One("<>")),
    ("<>", Takes::One("<>")),
    (">", Takes::One(">")),
    (">=", Takes::One(">=")),
    ("<", Takes::One("<")),
    ("<=", Takes::One("<=")),
    ("BETWEEN", Takes::Two("BETWEEN")),
    ("NOT BETWEEN", Takes::Two("NOT BETWEEN")),
    ("IN", Takes::Several("IN")),
    ("NOT IN", Takes::Several("NOT IN")),
    ("LIKE", Takes::Text("LIKE")),
    ("NOT LIKE", Takes::Text("NOT LIKE")),
    ("CONTAINS", Takes::Part),
    ("NOT CONTAINS", Takes::NoPart),
    ("IS NULL", Takes::Nothing("IS NULL")),
    ("IS NOT NULL", Takes::Nothing("IS NOT NULL")),
];
