//! Keys: the one table of what may stand in a definition file.
//!
//! The reader accepts what is here, the JSON Schema shows what is here, so the two cannot differ.

use super::{Schedule, Status, Update};
use crate::value::Type;

/// A kind of table in the file, and the keys it may have.
pub(super) struct Object {
    /// What it is called in messages.
    pub noun: &'static str,
    pub keys: &'static [Key],
}

pub(super) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    pub doc: &'static str,
}

/// What a value must be.
pub(super) enum Shape {
    Text,
    /// A text with a form of its own, told to editors by a pattern.
    Pattern(&'static str),
    OneOf(fn() -> Vec<&'static str>),
    Texts,
    /// A text, or a list of them.
    TextOrTexts,
    /// A whole number, not negative.
    Count,
    /// A number, exact to six places.
    Number,
    /// A share such as `"5%"`, in a text.
    Share,
    /// `[name]`, or `name = { … }`
    Table(&'static Object),
    /// `[[name]]`
    Tables(&'static Object),
}

/// A span of time as `time::parse_span` reads it.
const SPAN: &str = "^([0-9]+(ms|s|m|h|d|w))+$";
/// A window: a span, or what `window::calendar` reads.
const WINDOW: &str = "^(([0-9]+(ms|s|m|h|d|w))+|day|week|month|([2-9]|[1-9][0-9]+) (days|weeks|months))$";
/// The name of an entity, and what its keys begin with in Redis.
const NAME: &str = "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$";
/// The code of a tag or a segment, as `check_code` has it.
const CODE: &str = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$";

pub(super) static TOP: Object = Object {
    noun: "the file",
    keys: &[
        key(
            "event_types",
            Shape::Texts,
            "The event types there are; all others are refused. Without it any type is legal.",
        ),
        key("store", Shape::Text, "Where profiles live: `file:DIR` or `redis://HOST:PORT`."),
        key(
            "quality",
            Shape::Table(&QUALITY),
            "What a night's output must be like to be published (`adprof check --data`).",
        ),
        key("field", Shape::Tables(&FIELD), "A field of the event that expressions may use besides adprof's own."),
        key("entity", Shape::Tables(&ENTITY), "What tags can be of besides users."),
        key("tag", Shape::Tables(&TAG), "One named fact about a user, or about a key of another entity."),
        key("segment", Shape::Tables(&SEGMENT), "An audience: the users that a rule is true of."),
    ],
};

pub(super) static FIELD: Object = Object {
    noun: "a field",
    keys: &[
        required("path", Shape::Text, "Where it stands in the event: `country`, or `properties.duration`."),
        required("type", Shape::OneOf(types), "What it is read as; a value of another type is NULL."),
    ],
};

pub(super) static ENTITY: Object = Object {
    noun: "an entity",
    keys: &[
        required("name", Shape::Pattern(NAME), "What tags and commands call it: `item`."),
        required(
            "key",
            Shape::TextOrTexts,
            "An SQL expression over one event, or a list of them: the parts of the key. NULL in a part: no key. \
             `properties.tags[]` gives each value of a JSON array, `tumble(timestamp, '1m')` the start of a minute, \
             `hop(timestamp, '1h', '5m')` the starts of all hours that hold it, one each five minutes.",
        ),
        key("prefix", Shape::Pattern(NAME), "What the names of its keys begin with in Redis. Default: the name."),
        key(
            "retain",
            Shape::Pattern(SPAN),
            "Forget a key when its last event is older than this. Tags without a window get this one.",
        ),
    ],
};

pub(super) static TAG: Object = Object {
    noun: "a tag",
    keys: &[
        required("code", Shape::Pattern(CODE), "The field in the profile."),
        key("name", Shape::Text, "What people call it."),
        key("description", Shape::Text, "What it means."),
        key("owner", Shape::Text, "Who answers for it."),
        key("entity", Shape::Text, "What it is a fact about: the name of an entity. Default: the user."),
        key(
            "value",
            Shape::Text,
            "An aggregation over the user's events, such as `sum(amount)`, or an SQL expression over other tags.",
        ),
        key(
            "by",
            Shape::Text,
            "An expression over the event: the tag is a map from each of its values to the aggregate of those events.",
        ),
        key(
            "keep",
            Shape::Count,
            "How many different values `by`, `top_k` and `histogram` keep, at most 10000: those with the smallest hash. \
             Default: 1000.",
        ),
        key("where", Shape::Text, "Which events count: an SQL condition on one event. NULL is not true."),
        key(
            "window",
            Shape::Pattern(WINDOW),
            "How far back to look. A span slides: `1h`, or `1d`, the last 24 hours. A word goes by the calendar of `tz`: \
             `day`, since midnight; `week`, since Monday; `month`; `7 days` or `3 months`, the current one included. \
             Without it: the whole life.",
        ),
        key("tz", Shape::Text, "The time zone of a calendar window, such as `Europe/Berlin`. Default: UTC."),
        key(
            "resolution",
            Shape::Pattern(SPAN),
            "The steps in which a span moves; it must divide the window. \
             Default: 1s for windows up to 1h, 1m up to 1d, 1h up to 31d, else 1d.",
        ),
        key("type", Shape::OneOf(all_types), "The type of the value; needed for `update = \"import\"`, else inferred."),
        key(
            "update",
            Shape::OneOf(updates),
            "Who computes it: stream (`realtime`, the default), batch (`daily`), or someone else (`import`).",
        ),
        key(
            "quality",
            Shape::Table(&TAG_QUALITY),
            "What its values must be like to be published (`adprof check --data`).",
        ),
    ],
};

pub(super) static SEGMENT: Object = Object {
    noun: "a segment",
    keys: &[
        required("code", Shape::Pattern(CODE), "What commands and other rules call it."),
        key("name", Shape::Text, "What people call it."),
        key("description", Shape::Text, "Who is meant."),
        key("owner", Shape::Text, "Who answers for it."),
        key(
            "status",
            Shape::OneOf(statuses),
            "`draft`: checked and counted when asked, never built; `active` (the default); `archived`: kept for its history.",
        ),
        key(
            "schedule",
            Shape::OneOf(schedules),
            "Who keeps it current: the stream (`live`, the default) or a build each night (`daily`).",
        ),
        required(
            "rule",
            Shape::Text,
            "Who is a member: SQL over tags, such as `ltv_total >= 100 AND last_active_ts > ago('7d')`, or the JSON form.",
        ),
    ],
};

pub(super) static QUALITY: Object = Object {
    noun: "`quality`",
    keys: &[
        key("days", Shape::Count, "The last days that a day is compared with: with their median. Default: 7."),
        key("rows_fall_max", Shape::Share, "How far the rows may fall below the median. Default: \"50%\"."),
        key("rows_rise_max", Shape::Share, "How far the rows may rise above the median. Default: any."),
        key("duplicates_max", Shape::Share, "Duplicates among the events of the run. Default: \"50%\"."),
        key("refused_max", Shape::Share, "Refused lines among the lines of the run. Default: \"10%\"."),
        key("change_max", Shape::Share, "`change_max` of every tag that has none of its own. Default: any."),
    ],
};

pub(super) static TAG_QUALITY: Object = Object {
    noun: "`quality` of a tag",
    keys: &[
        key("nulls_max", Shape::Share, "Rows in which it may be NULL."),
        key("min", Shape::Number, "No value is smaller; a datetime in milliseconds."),
        key("max", Shape::Number, "No value is larger; a datetime in milliseconds."),
        key("distinct_min", Shape::Count, "At least so many different values."),
        key("distinct_max", Shape::Count, "At most so many different values."),
        key(
            "change_max",
            Shape::Share,
            "How far the number of its values, and the sum of numbers, may be from the median of the last days.",
        ),
    ],
};

/// What a field of an event can be.
fn types() -> Vec<&'static str> {
    Type::SCALARS.into_iter().map(Type::name).collect()
}

fn all_types() -> Vec<&'static str> {
    Type::all().map(Type::name).collect()
}

fn updates() -> Vec<&'static str> {
    Update::ALL.into_iter().map(Update::name).collect()
}

fn statuses() -> Vec<&'static str> {
    Status::ALL.into_iter().map(Status::name).collect()
}

fn schedules() -> Vec<&'static str> {
    Schedule::ALL.into_iter().map(Schedule::name).collect()
}

const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, required: false, doc }
}

const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, required: true, doc }
}
