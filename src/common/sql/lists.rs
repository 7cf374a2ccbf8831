//! Lists: the values of a JSON array as texts, each of them once, and a row for each; in the words of every engine.

use crate::expr::engine::Engine;
use crate::limits::{FIELD_MAX, KEYS_MAX};
use crate::time::Millis;
use std::fmt::Write;

/// Whether a text can be a part of a key: not empty, not too long, without control characters. NULL of NULL.
pub fn is_part(engine: Engine, text: &str) -> String {
    let control = engine.string(r"\p{Cc}");
    let (length, holds_control) = match engine {
        Engine::DuckDb => (format!("strlen({text}) <= {FIELD_MAX}"), format!("regexp_matches({text}, {control})")),
        Engine::Spark => (format!("octet_length({text}) <= {FIELD_MAX}"), format!("regexp_like({text}, {control})")),
        Engine::ClickHouse => (format!("length({text}) <= {FIELD_MAX}"), format!("match({text}, {control})")),
        Engine::Flink => {
            (format!("CHAR_LENGTH(HEX({text})) <= {}", 2 * FIELD_MAX), format!("REGEXP({text}, {control})"))
        }
    };
    format!("({text} <> '' AND {length} AND NOT {holds_control})")
}

/// Those items of a list of texts that can be a part of a key, each once. Flink cannot leave any out: its rows are looked at.
pub fn parts_of(engine: Engine, list: &str) -> String {
    let is_part = is_part(engine, "x");
    match engine {
        Engine::DuckDb => format!("list_distinct([x FOR x IN {list} IF {is_part}])"),
        Engine::Spark => format!("array_distinct(filter({list}, x -> {is_part}))"),
        Engine::ClickHouse => format!("arrayDistinct(arrayFilter(x -> COALESCE({is_part}, 0), {list}))"),
        Engine::Flink => format!("ARRAY_DISTINCT({list})"),
    }
}

/// How many items a list has; NULL, or none, of NULL.
pub fn length(engine: Engine, list: &str) -> String {
    match engine {
        Engine::DuckDb => format!("len({list})"),
        Engine::Spark => format!("array_size({list})"),
        Engine::ClickHouse => format!("length({list})"),
        Engine::Flink => format!("CARDINALITY({list})"),
    }
}

/// The list, and an error for an event that touches more keys of `entity` than it may.
pub fn few(engine: Engine, list: &str, keys: &str, entity: &str, event_id: &str) -> String {
    let words = engine.string(&format!("more than {KEYS_MAX} keys of {entity} are touched by event "));
    match engine {
        Engine::DuckDb => format!("CASE WHEN {keys} > {KEYS_MAX} THEN error({words} || {event_id}) ELSE {list} END"),
        Engine::Spark => {
            format!("CASE WHEN {keys} > {KEYS_MAX} THEN raise_error({words} || {event_id}) ELSE {list} END")
        }
        // Its message is a constant.
        Engine::ClickHouse => {
            let words = engine.string(&format!("more than {KEYS_MAX} keys of {entity} are touched by one event"));
            format!("if(throwIf({keys} > {KEYS_MAX}, {words}) = 0, {list}, [])")
        }
        // The cast of a text that is no number is an error that shows it.
        Engine::Flink => format!(
            "CASE WHEN {keys} > {KEYS_MAX} THEN ARRAY[CAST(CAST({words} || {event_id} AS BIGINT) AS STRING)] ELSE {list} END"
        ),
    }
}

/// The multiples of `step` from zero up to `size`, as a list.
pub fn steps(engine: Engine, size: Millis, step: Millis) -> String {
    match engine {
        Engine::DuckDb => format!("range(0, {size}, {step})"),
        Engine::Spark => format!("sequence(0L, {}, {})", engine.int(size - step), engine.int(step)),
        Engine::ClickHouse => format!("range(toInt64(0), toInt64({size}), toInt64({step}))"),
        Engine::Flink => {
            let all = (0..size / step).map(|n| engine.int(n * step)).collect::<Vec<_>>();
            format!("ARRAY[{}]", all.join(", "))
        }
    }
}

/// A SELECT that gives a row for each item of a list over the rows of `from`, called `e`: all of the row, and the item, which in
/// Flink is to be read with `item_of`, as `name`.
pub fn each(engine: Engine, from: &str, list: &str, name: &str, item_of: impl Fn(&str) -> String) -> String {
    let one = |function: &str| format!("SELECT e.*,\n        {function}({list}) AS {name}\n    FROM {from} AS e");
    match engine {
        Engine::DuckDb => one("UNNEST"),
        Engine::Spark => one("EXPLODE"),
        Engine::ClickHouse => one("arrayJoin"),
        Engine::Flink => format!(
            "SELECT e.*,\n        {} AS {name}\n    FROM {from} AS e CROSS JOIN UNNEST({list}) AS u (item)",
            item_of("u.item")
        ),
    }
}

/// Flink has no functions over the items of a list, so a JSON array is cut into texts by regular expressions.
pub mod cut {
    use super::*;

    const E: Engine = Engine::Flink;
    /// A text in quotes.
    const TEXT: &str = r#""[^"\\]*+(?:\\.[^"\\]*+)*+""#;
    /// Flink escapes what must be escaped only: behind any other backslash there is a control character.
    const PLAIN_TEXT: &str = r#""(?!")([^"\\\x7f-\x9f]*+(?:\\["\\][^"\\\x7f-\x9f]*+)*+)""#;
    /// Any other scalar.
    const SCALAR: &str = r#"[^,"\[\]{}]++"#;
    /// How deep arrays and objects inside the array may be; deeper ones are an error.
    const DEPTH: usize = 6;

    /// The insides of the texts that can be a part of a key, and whole numbers and booleans as such, of the JSON array in a
    /// column, each once and escaped as in JSON.
    pub fn texts(json: &str) -> String {
        let inner = format!("SUBSTRING({json}, 2, CHAR_LENGTH({json}) - 2)");
        let nested = nested(DEPTH);
        let all = |pattern: String| format!("REGEXP_EXTRACT_ALL({inner}, {}, 1)", E.string(&pattern));
        let texts = all(format!("{PLAIN_TEXT}|{TEXT}|{nested}|{SCALAR}"));
        let others = all(format!("{TEXT}|{nested}|({}|true|false)(?=,|$)|{SCALAR}", int()));
        let whole = E.string(&format!("{TEXT}|{nested}|{SCALAR}"));
        let words = E.string("an array that is nested too deep: ");
        format!(
            "CASE WHEN REGEXP(REGEXP_REPLACE({inner}, {whole}, ''), '[^,]')\n            \
             THEN ARRAY[CAST(CAST({words} || {json} AS BIGINT) AS STRING)]\n            \
             ELSE ARRAY_REMOVE(ARRAY_UNION({texts},\n            {others}), CAST(NULL AS STRING)) END"
        )
    }

    /// The text of one of them.
    pub fn text(escaped: &str) -> String {
        format!("JSON_VALUE('[\"' || {escaped} || '\"]', 'lax $[0]')")
    }

    /// An array or an object with at most so many others around its innermost one.
    fn nested(depth: usize) -> String {
        let inside = if depth == 0 { String::new() } else { format!("|{}", nested(depth - 1)) };
        format!(r#"[\[{{](?:[^"\[\]{{}}]++|{TEXT}{inside})*+[\]}}]"#)
    }

    /// A whole number of 64 bits.
    fn int() -> String {
        let largest = i64::MAX.to_string();
        let mut out = "-?(?:0|[1-9][0-9]{0,17}".to_string();
        for (i, digit) in largest.bytes().enumerate().filter(|(_, digit)| *digit > b'0') {
            let first = if i == 0 { '1' } else { '0' };
            let _ =
                write!(out, "|{}[{first}-{}][0-9]{{{}}}", &largest[..i], (digit - 1) as char, largest.len() - 1 - i);
        }
        out + &format!("|{largest})|{}", i64::MIN)
    }
}
