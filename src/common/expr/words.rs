//! Words: what SQL keeps for itself, what can be a name without quotes, and what a misspelt name was meant to be.

/// Words that SQL keeps for itself: as a name each needs double quotes, here or in an engine the SQL is written for.
pub const RESERVED: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "ceil",
    "convert",
    "cross",
    "current_date",
    "current_time",
    "current_timestamp",
    "desc",
    "distinct",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "floor",
    "for",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "lambda",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "map",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "overlay",
    "position",
    "prior",
    "returning",
    "right",
    "safe_cast",
    "select",
    "set",
    "some",
    "struct",
    "substr",
    "substring",
    "table",
    "then",
    "trim",
    "true",
    "try_cast",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "when",
    "where",
    "with",
];

/// Whether a word is reserved, in any case.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
}

/// Whether a name needs no quotes.
pub(super) fn is_plain_name(name: &str) -> bool {
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    start && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !is_reserved(name)
}

/// The known name that `name` was most likely meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(&lower, &other.to_lowercase()), other))
        .filter(|(distance, other)| *distance <= 1 + other.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
