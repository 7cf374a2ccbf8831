//! Flink: a log is a table of files; fields that the definition file declares are read from the line, since its JSON
//! format takes a value of any type for a text or a number.

use super::dialect::{Dialect, Fold, Folded, POSITION, Step, refused};
use super::fields::{is_known, known};
use super::flink_job;
use super::form::{Column, Columns, Form, Place, Source};
use crate::agg::Function;
use crate::expr::engine::Engine;
use crate::value::Type;

pub struct Flink;

const E: Engine = Engine::Flink;

impl Dialect for Flink {
    const ENGINE: Engine = E;

    fn folds_case(&self) -> bool {
        false
    }

    fn knows_order(&self) -> bool {
        false
    }

    fn before(&self, form: &Form<'_>, columns: &Columns) -> Vec<String> {
        match &form.source {
            Source::Table { .. } => Vec::new(),
            Source::Log(places) => {
                let tables = places.iter().enumerate().map(|(i, place)| files(i, place, columns));
                std::iter::once("SET 'execution.runtime-mode' = 'batch';".to_string()).chain(tables).collect()
            }
            Source::Topic(topic) => flink_job::before(topic, form, columns),
        }
    }

    fn into(&self, form: &Form<'_>) -> Option<String> {
        matches!(form.source, Source::Topic(_)).then(|| format!("INSERT INTO {}", flink_job::PROFILES))
    }

    fn sorts_lists(&self) -> bool {
        false
    }

    fn log(&self, places: &[Place], columns: &Columns) -> Result<Vec<Step>, String> {
        let from = |i| format!("SELECT * FROM {}", table_name(i));
        let lines = (0..places.len()).map(from).collect::<Vec<_>>().join("\n    UNION ALL ");
        Ok([vec![Step::new("lines", lines)], read(columns, "lines", None)].concat())
    }

    fn topic(&self, columns: &Columns) -> Result<Vec<Step>, String> {
        Ok(read(columns, flink_job::EVENTS, Some(flink_job::ARRIVED)))
    }

    fn fold(&self, fold: &Fold<'_>) -> Result<Folded, String> {
        let Fold { arg, time, id, ty, .. } = fold;
        // It has no arg_max: the largest of one text of time, id and value, in which the value decides ties alone.
        let edge = |name: &str| {
            let rank = if fold.ties { rank(arg, *ty)? } else { String::new() };
            let key =
                format!("LPAD(CAST({time} AS STRING), 19, '0') || HEX({id}) || '.' || {rank}CAST({arg} AS STRING)");
            let end = if fold.ties { "|" } else { "." };
            let value = format!("SUBSTRING({{0}} FROM POSITION('{end}' IN {{0}}) + 1)");
            let value = if *ty == Type::String { value } else { E.cast(&value, *ty) };
            Ok::<_, String>(Folded::of([format!("{name}({key})")], value))
        };
        let extreme = |name: &str| match ty {
            // It compares texts by units of UTF-16.
            Type::String => Folded::of([format!("{name}(HEX({arg}))")], "DECODE(UNHEX({0}), 'UTF-8')"),
            _ => Folded::one(format!("{name}({arg})")),
        };
        Ok(match fold.function {
            Function::Count => Folded::one(format!("COUNT({arg})")),
            Function::CountDistinct if *ty == Type::Double => Folded::one(format!("COUNT(DISTINCT {arg} + 0)")),
            Function::CountDistinct => Folded::one(format!("COUNT(DISTINCT {arg})")),
            Function::Min => extreme("MIN"),
            Function::Max => extreme("MAX"),
            Function::First => edge("MIN")?,
            Function::Last => edge("MAX")?,
            // Its own sum of ints is of 64 bits and wraps; the cast of a text that does not fit is an error.
            Function::Sum if *ty == Type::Int => {
                Folded::of([format!("SUM(CAST({arg} AS DECIMAL(38, 0)))")], "CAST(CAST({0} AS STRING) AS BIGINT)")
            }
            Function::Sum => Folded::one(format!("SUM({})", self.summand(fold))),
            Function::Avg => Folded::of(
                [format!("SUM({})", self.summand(fold)), format!("COUNT({arg})")],
                "CAST({0} / NULLIF({1}, 0) AS DECIMAL(38, 6))",
            ),
            Function::FirstK | Function::LastK => return Err("it does not sort what it collects".into()),
            function => return refused(function),
        })
    }
}

/// A text before the value that has the order of values, and its end.
fn rank(arg: &str, ty: Type) -> Result<String, String> {
    let text = match ty {
        Type::String => format!("HEX({arg})"),
        Type::Bool => format!("CAST({arg} AS STRING)"),
        // Digits as they are, or of a number below zero each by what is missing to nine.
        Type::Int | Type::Datetime | Type::Decimal => {
            let number = if ty == Type::Decimal { arg.to_string() } else { format!("CAST({arg} AS DECIMAL(38, 0))") };
            let digits = format!("LPAD(CAST(ABS({number}) AS STRING), 40, '0')");
            format!(
                "CASE WHEN {arg} < 0 THEN '-' || TRANSLATE({digits}, '0123456789', '9876543210') ELSE '0' || {digits} END"
            )
        }
        Type::Double | Type::List(_) | Type::Map(_) => {
            return Err(format!(
                "two events of one id and instant are told apart by the value, and a {ty} has no order as text"
            ));
        }
    };
    Ok(format!("{text} || '|' || "))
}

fn table_name(i: usize) -> String {
    if i == 0 { "adprof_log".to_string() } else { format!("adprof_log_{}", i + 1) }
}

fn files(i: usize, place: &Place, columns: &Columns) -> String {
    let (path, only) = match place {
        Place::File(path) => (path, String::new()),
        // What lies beside the data has its name and an ending.
        Place::Directory(path) => {
            (path, ",\n    'source.path.regex-pattern' = '.*/dt=[^/]*/[^/]*\\.ndjson(\\.gz|\\.zst)?'".to_string())
        }
    };
    format!(
        "CREATE TEMPORARY TABLE {} (\n    {}\n) WITH (\n    'connector' = 'filesystem',\n    'path' = {}{only},\n    {}\n);",
        table_name(i),
        declaration(columns),
        E.string(path),
        format_of(columns),
    )
}

/// Whether every field is one that Flink's JSON format reads as we do.
fn is_plain(columns: &Columns) -> bool {
    columns.all.iter().all(|column| known(&column.field).is_some())
}

/// The columns of a table of events as they come.
pub fn declaration(columns: &Columns) -> String {
    if !is_plain(columns) {
        return "`line` STRING".to_string();
    }
    let column = |column: &Column| format!("{} {}", E.ident(&column.field.path[0]), E.ty(column.field.ty));
    columns.all.iter().map(column).collect::<Vec<_>>().join(",\n    ")
}

pub fn format_of(columns: &Columns) -> String {
    if is_plain(columns) { "'format' = 'json'".to_string() } else { "'format' = 'raw'".to_string() }
}

/// The steps from a table of events as they come to `events`; `order` is the column that tells their order.
fn read(columns: &Columns, from: &str, order: Option<&str>) -> Vec<Step> {
    let position = |name: &str| format!("{name} AS {}", E.ident(POSITION));
    let order = order.map(|name| E.ident(name));
    if is_plain(columns) {
        let column = |column: &Column| {
            let name = E.ident(&column.field.path[0]);
            if column.field.path == ["tenantId"] { format!("COALESCE({name}, '') AS {name}") } else { name }
        };
        let all = columns.all.iter().map(column).chain(order.as_deref().map(position));
        return vec![Step::select("events", &all.collect::<Vec<_>>(), from)];
    }
    let inside = |column: &Column| {
        // In brackets a value shows its JSON type.
        let value = format!("JSON_QUERY(`line`, {} WITH UNCONDITIONAL ARRAY WRAPPER)", path(column));
        format!("{value} AS {}", E.ident(&format!("{} json", column.name)))
    };
    let declared = columns.all.iter().filter(|column| known(&column.field).is_none() && is_known(&column.field));
    let parsed: Vec<String> =
        std::iter::once("`line`".to_string()).chain(declared.map(inside)).chain(order.clone()).collect();
    let fields = columns.all.iter().map(|column| format!("{} AS {}", value(column), E.ident(&column.name)));
    let fields: Vec<String> = fields.chain(order.as_deref().map(position)).collect();
    vec![Step::select("parsed", &parsed, from), Step::select("events", &fields, "parsed")]
}

/// A path of SQL/JSON.
fn path(column: &Column) -> String {
    let name = |name: &String| format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"));
    E.string(&format!("lax ${}", column.field.path.iter().map(name).collect::<String>()))
}

fn value(column: &Column) -> String {
    let field = &column.field;
    let text = format!("JSON_VALUE(`line`, {})", path(column));
    let json = E.ident(&format!("{} json", column.name));
    let inner = format!("SUBSTRING({json}, 2, CHAR_LENGTH({json}) - 2)");
    match (known(field), field.ty) {
        (Some(_), Type::String) if field.path == ["tenantId"] => format!("COALESCE({text}, '')"),
        (Some(_), Type::String) => text,
        (Some(ty), _) => E.cast(&text, ty),
        (None, _) if !is_known(field) => E.null(field.ty),
        // Its text: there is no list of values of several types.
        (None, Type::List(_)) => format!("CASE WHEN {json} LIKE '[[%' THEN {inner} END"),
        // No field is one.
        (None, Type::Map(_)) => E.null(field.ty),
        (None, Type::String) => format!("CASE WHEN {json} LIKE '[\"%' THEN {text} END"),
        (None, Type::Bool) => format!("CASE {json} WHEN '[true]' THEN TRUE WHEN '[false]' THEN FALSE END"),
        (None, Type::Int | Type::Datetime) => {
            format!("CASE WHEN REGEXP({json}, '^\\[-?[0-9]+\\]$') THEN TRY_CAST({inner} AS BIGINT) END")
        }
        (None, Type::Double) => {
            let double = format!("TRY_CAST({inner} AS DOUBLE)");
            let finite = format!("ABS({double}) <= {:e}", f64::MAX);
            format!("CASE WHEN REGEXP({json}, '^\\[[-0-9]') AND {finite} THEN {double} END")
        }
        (None, Type::Decimal) => {
            let number = format!("TRY_CAST({inner} AS DECIMAL(38, 18))");
            format!(
                "CASE WHEN REGEXP({json}, '^\\[[-0-9]') AND {number} = ROUND({number}, 6)\n            \
                 AND {number} BETWEEN -9223372036854.775808 AND 9223372036854.775807 THEN CAST({number} AS DECIMAL(38, 6)) END"
            )
        }
    }
}
