//! ClickHouse: the log is read line by line; numbers beyond what a double holds are read from the line's text.

use super::dialect::{Dialect, Fold, Folded, POSITION, Step, refused};
use super::fields::{is_known, known};
use super::form::{Column, Columns, Place};
use super::numbers::{EXACT, number_of_key};
use crate::agg::Function;
use crate::expr::engine::Engine;
use crate::value::Type;

pub struct ClickHouse;

const E: Engine = Engine::ClickHouse;

impl Dialect for ClickHouse {
    const ENGINE: Engine = E;

    fn folds_case(&self) -> bool {
        false
    }

    fn log(&self, places: &[Place], columns: &Columns) -> Result<Vec<Step>, String> {
        Ok(log(places, columns))
    }

    fn zero(&self) -> String {
        "toDecimal128(0, 6)".to_string()
    }

    fn fold(&self, fold: &Fold<'_>) -> Result<Folded, String> {
        let (arg, order) = (fold.arg, fold.order());
        Ok(match fold.function {
            Function::Count => Folded::one(format!("toInt64(count({arg}))")),
            Function::CountDistinct if fold.ty == Type::Double => Folded::one(format!("toInt64(uniqExact({arg} + 0))")),
            Function::CountDistinct => Folded::one(format!("toInt64(uniqExact({arg}))")),
            Function::Min => Folded::one(format!("minOrNull({arg})")),
            Function::Max => Folded::one(format!("maxOrNull({arg})")),
            Function::First => Folded::one(format!("argMinOrNull({arg}, ({order}))")),
            Function::Last => Folded::one(format!("argMaxOrNull({arg}, ({order}))")),
            // Its own sum of ints is of 64 bits and wraps.
            Function::Sum if fold.ty == Type::Int => {
                Folded::of([format!("sumOrNull(toInt128({arg}))")], "accurateCast({0}, 'Nullable(Int64)')")
            }
            Function::Sum => Folded::one(format!("sumOrNull({})", self.summand(fold))),
            Function::Avg => Folded::of(
                [format!("sumOrNull({})", self.summand(fold)), format!("count({arg})")],
                "CAST(round(divideDecimal(CAST({0} AS Nullable(Decimal(76, 6))), \
                 toDecimal256(greatest({1}, 1), 0), 7), 6) AS Nullable(Decimal(38, 6)))",
            ),
            Function::FirstK | Function::LastK => return Err("it has no NULL for a list of nothing".into()),
            function => return refused(function),
        })
    }

    fn after(&self) -> &'static str {
        "\nSETTINGS precise_float_parsing = 1"
    }
}

fn log(places: &[Place], columns: &Columns) -> Vec<Step> {
    let read = |(i, place): (usize, &Place)| {
        let (from, path) = match place {
            Place::File(path) => ("file", path.clone()),
            Place::Directory(path) => {
                ("file", format!("{}/dt=*/*{{.ndjson,.ndjson.gz,.ndjson.zst}}", path.trim_end_matches('/')))
            }
        };
        let from = if path.starts_with("s3://") { "s3" } else { from };
        format!(
            "SELECT ({i}, _path, _row_number) AS {}, json\n    FROM {from}({}, 'JSONAsString', 'json String')",
            E.ident(POSITION),
            E.string(&path)
        )
    };
    let lines = places.iter().enumerate().map(read).collect::<Vec<_>>().join("\n    UNION ALL ");
    let fixed = columns.all.iter().filter(|column| known(&column.field).is_some_and(|ty| ty != Type::Decimal));
    let types = fixed.map(|column| format!("{} {}", E.ident(&column.field.path[0]), E.ty(column.field.ty)));
    let tuple = format!("Tuple({})", types.collect::<Vec<_>>().join(", "));
    let position = E.ident(POSITION);
    let numbers = columns.all.iter().filter(|column| column.field.ty == Type::Decimal && is_known(&column.field));
    let numbers = numbers.map(|column| {
        let (double, text, all) = candidates(column);
        let name = |what: &str| E.ident(&format!("{} {what}", column.name));
        [
            format!("{double} AS {}", name("double")),
            format!("{text} AS {}", name("text")),
            format!("{all} AS {}", name("all")),
        ]
    });
    let broken = E.ident("broken line");
    let parsed = [
        position.clone(),
        "json".to_string(),
        format!("JSONExtract(json, {}) AS e", E.string(&tuple)),
        format!("throwIf(NOT isValidJSON(json), 'a line that ClickHouse cannot read') AS {broken}"),
    ];
    let parsed: Vec<String> = parsed.into_iter().chain(numbers.flatten()).collect();
    let fields = columns.all.iter().map(|column| format!("{} AS {}", value(column), E.ident(&column.name)));
    let fields: Vec<String> = std::iter::once(position).chain(fields).collect();
    vec![
        Step::new("lines", lines),
        Step::select("parsed", &parsed, "lines"),
        Step::select("events", &fields, &format!("parsed WHERE {broken} = 0")),
    ]
}

fn value(column: &Column) -> String {
    let field = &column.field;
    let fixed = format!("tupleElement(parsed.e, {})", E.string(&field.path[0]));
    let path = path(column);
    let is =
        |kinds: &str, value: String| format!("CASE WHEN toString(JSONType(json{path})) IN ({kinds}) THEN {value} END");
    match (known(field), field.ty) {
        (_, Type::Decimal) if is_known(field) => decimal(column),
        (Some(_), _) if field.path == ["tenantId"] => format!("COALESCE({fixed}, '')"),
        (Some(_), _) => fixed,
        (None, _) if !is_known(field) => E.null(field.ty),
        (None, ty) => {
            let value = format!("JSONExtract(json{path}, '{}')", E.ty(ty));
            match ty {
                Type::Bool => is("'Bool'", value),
                Type::String => is("'String'", value),
                Type::Int | Type::Datetime => is("'Int64', 'UInt64'", value),
                Type::Double | Type::Decimal => is("'Int64', 'UInt64', 'Double'", value),
                Type::List(_) => texts(column),
                // No field is one.
                Type::Map(_) => E.null(ty),
            }
        }
    }
}

/// The texts, whole numbers and booleans of an array, as texts. It takes a number of more than 64 bits for a text: the line
/// shows whether it stands in quotes, and where it does both ways, nobody knows.
fn texts(column: &Column) -> String {
    let path = path(column);
    let ty = format!("toString(JSONType(json{path}, i))");
    let text = format!("JSONExtract(json{path}, i, 'String')");
    let long = format!("length({text}) >= 20 AND match({text}, '^-?[0-9]+$')");
    let (all, quoted) =
        (format!("countSubstrings(json, {text})"), format!("countSubstrings(json, concat('\"', {text}, '\"'))"));
    let message = E.string(&format!("{}: a number that cannot be read exactly", column.field.path.join(".")));
    format!(
        "arrayMap(i -> multiIf({ty} = 'String', if(NOT ({long}) OR {all} = {quoted}\n            \
         OR throwIf({long} AND {all} <> {quoted} AND {quoted} > 0, {message}) = 1, {text}, NULL),\n            \
         {ty} IN ('Int64', 'UInt64'), toString(JSONExtract(json{path}, i, 'Nullable(Int64)')),\n            \
         {ty} = 'Bool', JSONExtractRaw(json{path}, i), NULL),\n            \
         range(1, if(toString(JSONType(json{path})) = 'Array', JSONLength(json{path}) + 1, 1)))"
    )
}

/// The path to a field, as arguments of a function.
fn path(column: &Column) -> String {
    column.field.path.iter().map(|name| format!(", {}", E.string(name))).collect()
}

/// The number as a double, its text, and the numbers of the line that give the same double.
fn candidates(column: &Column) -> (String, String, String) {
    let path = path(column);
    let double = format!(
        "CASE WHEN toString(JSONType(json{path})) IN ('Int64', 'UInt64', 'Double') THEN JSONExtract(json{path}, 'Nullable(Float64)') END"
    );
    let text = format!("JSONExtractRaw(json{path})");
    let pattern = number_of_key(&column.field.path[column.field.path.len() - 1]);
    (double, text, format!("extractAll(json, {})", E.string(&pattern)))
}

/// Six places and 64 bits of millionths, or NULL; an error where it is not known which number it is.
fn decimal(column: &Column) -> String {
    let name = |what: &str| E.ident(&format!("{} {what}", column.name));
    let (double, text, all) = (name("double"), name("text"), name("all"));
    let same = format!(
        "arrayDistinct(arrayMap(x -> toDecimal256OrNull(x, 40), arrayFilter(x -> toFloat64OrNull(x) = {double}, {all})))"
    );
    let number = format!("if(abs({double}) < {EXACT}, toDecimal256OrNull({text}, 40), {same}[1])");
    let message = E.string(&format!("{}: a number that cannot be read exactly", column.name));
    format!(
        "CASE WHEN throwIf(COALESCE(abs({double}) >= {EXACT}, 0) AND length({same}) <> 1, {message}) = 0 \
         AND {double} IS NOT NULL AND {number} = round({number}, 6)\n            \
         AND {number} BETWEEN toDecimal256('-9223372036854.775808', 6) AND toDecimal256('9223372036854.775807', 6) \
         THEN CAST({number} AS Nullable(Decimal(38, 6))) END"
    )
}
