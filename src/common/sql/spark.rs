//! Spark: the log is text, read as JSON by a schema; where a value's JSON type matters, as a VARIANT beside it.

use super::dialect::{Dialect, Fold, Folded, POSITION, Step, refused};
use super::fields::{Tree, is_known, known};
use super::form::{Column, Columns, Form, Place};
use crate::agg::Function;
use crate::expr::engine::Engine;
use crate::value::Type;

pub struct Spark;

const E: Engine = Engine::Spark;

impl Dialect for Spark {
    const ENGINE: Engine = E;

    fn folds_case(&self) -> bool {
        true
    }

    fn before(&self, form: &Form<'_>, _: &Columns) -> Vec<String> {
        // What spark-sql itself starts, for clusters that only take what is submitted.
        let driver = "--class org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver spark-internal";
        let lines = format!("-- spark-sql -f THIS.sql\n-- spark-submit {driver} -f THIS.sql");
        form.job.iter().map(|_| lines.clone()).collect()
    }

    fn into(&self, form: &Form<'_>) -> Option<String> {
        let folder = form.job.as_ref()?.into.as_ref()?;
        Some(format!("INSERT OVERWRITE DIRECTORY {} USING parquet", E.string(folder)))
    }

    fn log(&self, places: &[Place], columns: &Columns) -> Result<Vec<Step>, String> {
        log(places, columns)
    }

    fn fold(&self, fold: &Fold<'_>) -> Result<Folded, String> {
        let Fold { arg, time, id, .. } = fold;
        let order = fold.order();
        let edge = |name: &str| Folded::one(format!("{name}({arg}, struct({order})) FILTER (WHERE {arg} IS NOT NULL)"));
        let several = |sort: &str| {
            let all = format!(
                "collect_list(struct({time} AS time, {id} AS id, {arg} AS value)) FILTER (WHERE {arg} IS NOT NULL)"
            );
            let all = if fold.ties { format!("array_distinct({all})") } else { all };
            let sorted =
                if sort == "array_sort" { format!("array_sort({all})") } else { format!("sort_array({all}, false)") };
            let value = format!(
                "CASE WHEN size({{0}}) > 0 THEN transform(slice({{0}}, 1, {}), e -> e.value) END",
                fold.constant
            );
            Folded::of([sorted], value)
        };
        Ok(match fold.function {
            Function::Count => Folded::one(format!("COUNT({arg})")),
            Function::CountDistinct if fold.ty == Type::Double => Folded::one(format!("COUNT(DISTINCT {arg} + 0)")),
            Function::CountDistinct => Folded::one(format!("COUNT(DISTINCT {arg})")),
            Function::Min => Folded::one(format!("MIN({arg})")),
            Function::Max => Folded::one(format!("MAX({arg})")),
            Function::First => edge("min_by"),
            Function::Last => edge("max_by"),
            // Its own sum of ints is of 64 bits, and wraps where ANSI mode is off.
            Function::Sum if fold.ty == Type::Int => Folded::of(
                [format!("SUM(CAST({arg} AS DECIMAL(28, 0)))")],
                "CASE WHEN {0} BETWEEN -9223372036854775808 AND 9223372036854775807 THEN CAST({0} AS BIGINT) \
                 WHEN {0} IS NOT NULL THEN raise_error('a sum beyond 64 bits') END",
            ),
            Function::Sum => Folded::one(format!("SUM({})", self.summand(fold))),
            Function::Avg => Folded::of(
                [format!("SUM({})", self.summand(fold)), format!("COUNT({arg})")],
                "try_divide({0}, CAST({1} AS DECIMAL(20, 0)))",
            ),
            Function::FirstK => several("array_sort"),
            // Newest first.
            Function::LastK => several("sort_array"),
            function => return refused(function),
        })
    }
}

fn log(places: &[Place], columns: &Columns) -> Result<Vec<Step>, String> {
    let mut types = Tree::default();
    let mut kinds = Tree::default();
    for Column { field, .. } in columns.all.iter().filter(|column| is_known(&column.field)) {
        // Which items it has, and of which type each is.
        if matches!(field.ty, Type::List(_)) {
            kinds.insert(&field.path, "VARIANT")?;
            continue;
        }
        let ty = match (known(field), field.ty) {
            (Some(Type::Decimal), _) => E.ty(Type::Decimal),
            (Some(ty), _) => E.ty(ty),
            (None, Type::Decimal) => "DECIMAL(38, 18)".into(),
            (None, ty) => E.ty(ty),
        };
        types.insert(&field.path, &ty)?;
        // These two take a value of another JSON type as well.
        if known(field).is_none() && matches!(field.ty, Type::String | Type::Decimal) {
            kinds.insert(&field.path, "VARIANT")?;
        }
    }
    let parse = |tree: &Tree, name: &str| match tree.is_empty() {
        true => None,
        false => Some(format!("from_json(value, {}) AS {name}", E.string(&tree.written("STRUCT<", ">", E)))),
    };
    let read = |(i, place): (usize, &Place)| {
        let path = match place {
            Place::File(path) => path.clone(),
            Place::Directory(path) => {
                format!("{}/dt=*/*{{.ndjson,.ndjson.gz,.ndjson.zst}}", path.trim_end_matches('/'))
            }
        };
        // In one part of a file rows are numbered as they stand.
        format!(
            "SELECT struct({i} AS part, _metadata.file_path AS file, _metadata.file_block_start AS block, \
             monotonically_increasing_id() AS row) AS {},\n        value\n    FROM text.{}",
            E.ident(POSITION),
            E.ident(&path)
        )
    };
    let lines = places.iter().enumerate().map(read).collect::<Vec<_>>().join("\n    UNION ALL ");
    let position = E.ident(POSITION);
    let parsed = [Some(position.clone()), parse(&types, "e"), parse(&kinds, "k")];
    let parsed: Vec<String> = parsed.into_iter().flatten().collect();
    let fields = columns.all.iter().map(|column| format!("{} AS {}", value(column), E.ident(&column.name)));
    let fields: Vec<String> = std::iter::once(position).chain(fields).collect();
    Ok(vec![
        Step::new("lines", lines),
        Step::select("parsed", &parsed, "lines"),
        Step::select("events", &fields, "parsed"),
    ])
}

fn value(column: &Column) -> String {
    let field = &column.field;
    let path = |root: &str| {
        let path: Vec<String> = field.path.iter().map(|name| E.ident(name)).collect();
        format!("{root}.{}", path.join("."))
    };
    let (text, kind) = (path("e"), format!("schema_of_variant({})", path("k")));
    match (known(field), field.ty) {
        (Some(_), _) if field.path == ["tenantId"] => format!("COALESCE({text}, '')"),
        (Some(_), _) => text,
        (None, _) if !is_known(field) => E.null(field.ty),
        (None, Type::List(_)) => format!(
            "transform(try_variant_get({}, '$', 'ARRAY<VARIANT>'),\n            \
             x -> CASE WHEN schema_of_variant(x) IN ('STRING', 'BIGINT', 'BOOLEAN') THEN CAST(x AS STRING) END)",
            path("k")
        ),
        // No field is one.
        (None, Type::Map(_)) => E.null(field.ty),
        (None, Type::Bool | Type::Int | Type::Datetime) => text,
        (None, Type::Double) => format!("CASE WHEN ABS({text}) <= {:e} THEN {text} END", f64::MAX),
        (None, Type::String) => format!("CASE WHEN {kind} = 'STRING' THEN CAST({} AS STRING) END", path("k")),
        (None, Type::Decimal) => format!(
            "CASE WHEN {kind} <> 'STRING' AND {text} = ROUND({text}, 6)\n            \
             AND {text} BETWEEN -9223372036854.775808 AND 9223372036854.775807 THEN CAST({text} AS DECIMAL(38, 6)) END"
        ),
    }
}
