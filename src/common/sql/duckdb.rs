//! DuckDB: a log is read line by line in its order; numbers beyond what a double holds are read from the line's text.

use super::dialect::{Dialect, Fold, Folded, POSITION, Step, refused};
use super::fields::{is_known, known};
use super::form::{Column, Columns, Place};
use super::numbers::{EXACT, number_of_key};
use crate::agg::Function;
use crate::expr::engine::Engine;
use crate::rows::Field;
use crate::value::Type;
use serde_json::json;

pub struct DuckDb;

const E: Engine = Engine::DuckDb;

impl Dialect for DuckDb {
    const ENGINE: Engine = E;

    fn folds_case(&self) -> bool {
        true
    }

    fn log(&self, places: &[Place], columns: &Columns) -> Result<Vec<Step>, String> {
        Ok(log(places, columns))
    }

    fn zero(&self) -> String {
        "0".to_string()
    }

    fn fold(&self, fold: &Fold<'_>) -> Result<Folded, String> {
        let (arg, order) = (fold.arg, fold.order());
        let edge = |name: &str| Folded::one(format!("{name}({arg}, ({order})) FILTER (WHERE {arg} IS NOT NULL)"));
        let once = if fold.ties { "DISTINCT " } else { "" };
        let several =
            |name: &str| format!("{name}({once}{arg}, ({order}), {}) FILTER (WHERE {arg} IS NOT NULL)", fold.constant);
        Ok(match fold.function {
            Function::Count => Folded::one(format!("COUNT({arg})")),
            Function::CountDistinct if fold.ty == Type::Double => Folded::one(format!("COUNT(DISTINCT {arg} + 0)")),
            Function::CountDistinct => Folded::one(format!("COUNT(DISTINCT {arg})")),
            Function::Min => Folded::one(format!("MIN({arg})")),
            Function::Max => Folded::one(format!("MAX({arg})")),
            Function::First => edge("arg_min"),
            Function::Last => edge("arg_max"),
            // A sum beyond 64 bits is an error there, not another number.
            Function::Sum if fold.ty == Type::Int => Folded::one(format!("CAST(SUM({arg}) AS BIGINT)")),
            Function::Sum => Folded::one(format!("SUM({})", self.summand(fold))),
            Function::Avg => {
                let sum = format!("SUM({})", self.summand(fold));
                // One place more than is kept is enough to round halves away from zero.
                let value = "CAST(CAST({0} * 1000000 AS HUGEINT) * 10 // NULLIF({1}, 0) * 0.0000001 AS DECIMAL(38, 6))";
                Folded::of([sum, format!("COUNT({arg})")], value)
            }
            Function::FirstK => Folded::one(several("arg_min")),
            Function::LastK => Folded::one(several("arg_max")),
            function => return refused(function),
        })
    }
}

fn log(places: &[Place], columns: &Columns) -> Vec<Step> {
    let patterns = places.iter().map(|place| match place {
        Place::File(path) => E.string(path),
        Place::Directory(path) => E.string(&format!("{}/dt=*/*.ndjson*", path.trim_end_matches('/'))),
    });
    let files = format!("[{}]", patterns.collect::<Vec<_>>().join(", "));
    // What lies beside the data has its name and an ending.
    let only = if places.iter().any(|place| matches!(place, Place::Directory(_))) {
        let beside = places.iter().filter_map(|place| match place {
            Place::File(path) => Some(format!(" OR filename = {}", E.string(path))),
            Place::Directory(_) => None,
        });
        format!(r"{}WHERE regexp_matches(filename, '\.ndjson(\.gz|\.zst)?$'){}", "\n    ", beside.collect::<String>())
    } else {
        String::new()
    };
    let position = E.ident(POSITION);
    let lines = [
        format!("ROW_NUMBER() OVER () AS {position}"),
        "json".to_string(),
        format!("from_json(json, {}) AS e", E.string(&structure(columns).to_string())),
    ];
    let from = format!("read_ndjson_objects({files}, filename = true){only}");
    let numbers = columns.all.iter().filter(|column| column.field.ty == Type::Decimal && is_known(&column.field));
    let numbers: Vec<String> = numbers.map(|column| format!("{} AS {}", candidates(column), read(column))).collect();
    let fields = columns.all.iter().map(|column| format!("{} AS {}", value(column), E.ident(&column.name)));
    let fields: Vec<String> = std::iter::once(position).chain(fields).collect();
    let lines = Step::select("lines", &lines, &from);
    if numbers.is_empty() {
        return vec![lines, Step::select("events", &fields, "lines")];
    }
    let numbers = Step::select("numbers", &[vec!["*".to_string()], numbers].concat(), "lines");
    vec![lines, numbers, Step::select("events", &fields, "numbers")]
}

/// The column with the numbers that a decimal may be.
fn read(column: &Column) -> String {
    E.ident(&format!("{} read", column.name))
}

/// The type of each field at the top of a line; what is declared keeps its JSON, which tells its type.
fn structure(columns: &Columns) -> serde_json::Value {
    let mut types = serde_json::Map::new();
    for Column { field, .. } in &columns.all {
        let ty = match known(field) {
            None if types.contains_key(&field.path[0]) => continue,
            None => "JSON",
            Some(Type::Datetime) => "BIGINT",
            Some(_) => "VARCHAR",
        };
        types.insert(field.path[0].clone(), json!(ty));
    }
    types.into()
}

fn value(column: &Column) -> String {
    let field = &column.field;
    let top = format!("e.{}", E.ident(&field.path[0]));
    match known(field) {
        Some(Type::String) if field.path[0] == "tenantId" => format!("COALESCE({top}, '')"),
        Some(Type::Decimal) => decimal(column),
        Some(_) => top,
        // A field of every event is a text or a number: nothing is inside.
        None if !is_known(field) => E.null(field.ty),
        None => declared(column),
    }
}

/// A value of another JSON type than declared is NULL.
fn declared(column: &Column) -> String {
    let (json, text) = inside(&column.field);
    let value = match column.field.ty {
        Type::Bool => format!("CAST({text} AS BOOLEAN)"),
        Type::Int | Type::Datetime => format!("TRY_CAST({text} AS BIGINT)"),
        Type::Double => format!("CASE WHEN isfinite(CAST({text} AS DOUBLE)) THEN CAST({text} AS DOUBLE) END"),
        Type::Decimal => return decimal(column),
        Type::String => text,
        Type::List(_) => return texts(&json),
        // No field is one.
        Type::Map(_) => return E.null(column.field.ty),
    };
    format!("CASE WHEN {} THEN {value} END", is_of(&json, column.field.ty))
}

/// The texts, whole numbers and booleans of an array, as texts.
fn texts(json: &str) -> String {
    format!(
        "[CASE WHEN json_type(x) IN ('VARCHAR', 'BOOLEAN') THEN (x ->> '$')\n            \
         WHEN json_type(x) IN ('BIGINT', 'UBIGINT') THEN CAST(TRY_CAST((x ->> '$') AS BIGINT) AS VARCHAR) END\n            \
         FOR x IN json_extract({json}, '$[*]')]"
    )
}

/// The JSON of a declared field, and its text.
fn inside(field: &Field) -> (String, String) {
    let top = format!("e.{}", E.ident(&field.path[0]));
    let json = match &field.path[1..] {
        [] => top,
        below => {
            let name = |name: &String| format!(".\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
            let path = below.iter().map(name).collect::<String>();
            format!("json_extract({top}, {})", E.string(&format!("${path}")))
        }
    };
    let text = format!("({json} ->> '$')");
    (json, text)
}

fn is_of(json: &str, ty: Type) -> String {
    let kinds = match ty {
        Type::Bool => "'BOOLEAN'",
        Type::Int | Type::Datetime => "'BIGINT', 'UBIGINT'",
        Type::Decimal | Type::Double => "'BIGINT', 'UBIGINT', 'DOUBLE'",
        Type::String => "'VARCHAR'",
        Type::List(_) | Type::Map(_) => "'ARRAY', 'OBJECT'",
    };
    format!("json_type({json}) IN ({kinds})")
}

/// The numbers that a decimal may be: what DuckDB read, by way of a double, or, where that may be another number, those
/// of the line that give the same double.
fn candidates(column: &Column) -> String {
    let field = &column.field;
    let text = match known(field) {
        Some(_) => format!("e.{}", E.ident(&field.path[0])),
        None => {
            let (json, text) = inside(field);
            format!("CASE WHEN {} THEN {text} END", is_of(&json, field.ty))
        }
    };
    let double = format!("TRY_CAST({text} AS DOUBLE)");
    let pattern = number_of_key(&field.path[field.path.len() - 1]);
    let all = format!("regexp_extract_all(CAST(json AS VARCHAR), {}, 1)", E.string(&pattern));
    format!(
        "CASE WHEN ABS({double}) < {EXACT} THEN [TRY_CAST({text} AS DECIMAL(38, 18))]\n            WHEN {double} IS NOT NULL THEN \
         list_distinct([TRY_CAST(x AS DECIMAL(38, 18)) FOR x IN {all} IF TRY_CAST(x AS DOUBLE) = {double}]) END"
    )
}

/// Six places and 64 bits of millionths, or NULL; an error where it is not known which number it is.
fn decimal(column: &Column) -> String {
    let read = read(column);
    let message = E.string(&format!("{}: a number that cannot be read exactly", column.name));
    format!(
        "CASE WHEN len({read}) <> 1 THEN error({message}) WHEN {read}[1] = ROUND({read}[1], 6)\n            \
         AND {read}[1] BETWEEN -9223372036854.775808 AND 9223372036854.775807 THEN CAST({read}[1] AS DECIMAL(38, 6)) END"
    )
}
