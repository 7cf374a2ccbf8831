//! Expressions against an engine that is not ours: DuckDB, through a Python that has it.
//!
//! `ADPROF_TEST_PYTHON=/path/to/python cargo test --test expr_duckdb`; without it the test says that it did nothing.
//! By design different, and generated around: `/` of ints and decimals (here a decimal), rounding of products to six
//! places, CAST to int (here towards zero), CONCAT of NULL (here NULL), division by zero (here NULL).

mod expr_gen;

use adprof::expr::{self, Scratch};
use adprof::value::Datum;
use expr_gen::{COLUMNS, Cells, Columns, Pair, Random};
use std::process::Command;

const EXPRESSIONS: usize = 600;
const ROWS: usize = 40;

/// Reads {columns, rows, expressions}; writes for each expression a list of values, or the error as a text.
const SCRIPT: &str = r#"
import duckdb, json, sys, decimal
task = json.load(open(sys.argv[1]))
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute("CREATE TABLE t (n BIGINT, " + ", ".join(f"{n} {t}" for n, t in task["columns"]) + ")")
for n, row in enumerate(task["rows"]):
    db.execute(f"INSERT INTO t VALUES ({n}, {', '.join(row)})")
def plain(v):
    if isinstance(v, decimal.Decimal): return str(int(v.scaleb(6)))
    if isinstance(v, float): return v.hex()
    if hasattr(v, "isoformat"): return v.isoformat(sep=" ", timespec="milliseconds")
    return v
out = []
for e in task["expressions"]:
    try:
        out.append([plain(r[0]) for r in db.execute(f"SELECT {e} FROM t ORDER BY n").fetchall()])
    except Exception as error:
        out.append(str(error))
json.dump(out, open(sys.argv[2], "w"))
"#;

#[test]
fn duckdb_gives_the_same_values() {
    let Ok(python) = std::env::var("ADPROF_TEST_PYTHON") else {
        eprintln!("skipped: ADPROF_TEST_PYTHON does not name a python with duckdb");
        return;
    };
    let seed = std::env::var("ADPROF_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = Random(seed);
    let rows: Vec<Cells> = (0..ROWS).map(|_| random.cells()).collect();
    let pairs: Vec<Pair> = (0..EXPRESSIONS).map(|_| random.any(4)).collect();
    let answers = ask(&python, &rows, &pairs);
    let (mut compared, mut known, mut refused) = (0, 0, 0);
    for (pair, answer) in pairs.iter().zip(&answers) {
        let expr = expr::parse(&pair.ours, &mut Columns).unwrap_or_else(|e| panic!("{}: {e}", pair.ours));
        // Overflow is an error there and NULL here: such an expression says nothing.
        if let serde_json::Value::String(error) = answer {
            assert!(
                error.contains("Overflow")
                    || error.contains("Out of Range")
                    || error.contains("out of range")
                    || error.contains("Conversion"),
                "{}: {error}",
                pair.duck
            );
            refused += 1;
            continue;
        }
        for (row, theirs) in rows.iter().zip(answer.as_array().expect("values")) {
            let scratch = Scratch::new();
            let ours = plain(expr.eval(row, &scratch));
            let theirs = double(theirs, expr.ty);
            assert_eq!(ours, theirs, "seed {seed}\nours {}\nduck {}\nrow {:?}", pair.ours, pair.duck, row.0);
            compared += 1;
            known += usize::from(!ours.is_null());
        }
    }
    eprintln!(
        "{compared} values ({known} not NULL) of {} expressions agree; {refused} expressions overflow in DuckDB",
        pairs.len()
    );
    assert!(known * 3 > compared, "too many values are NULL to say much: {known} of {compared} are not");
    assert!(refused * 10 < pairs.len(), "too many expressions say nothing: {refused}");
}

fn ask(python: &str, rows: &[Cells], pairs: &[Pair]) -> Vec<serde_json::Value> {
    let task = serde_json::json!({
        "columns": COLUMNS.iter().map(|(name, _, duck)| (name, duck)).collect::<Vec<_>>(),
        "rows": rows.iter().map(|row| row.0.iter().map(literal).collect::<Vec<_>>()).collect::<Vec<_>>(),
        "expressions": pairs.iter().map(|pair| &pair.duck).collect::<Vec<_>>(),
    });
    let dir = tempfile::tempdir().expect("a folder");
    let [script, input, output] = ["ask.py", "in.json", "out.json"].map(|name| dir.path().join(name));
    std::fs::write(&script, SCRIPT).expect("written");
    std::fs::write(&input, task.to_string()).expect("written");
    let status = Command::new(python).args([&script, &input, &output]).status().expect("python runs");
    assert!(status.success(), "python failed");
    serde_json::from_slice(&std::fs::read(&output).expect("an answer")).expect("JSON")
}

fn literal(cell: &Datum<'_>) -> String {
    match cell {
        Datum::Null => "NULL".to_string(),
        Datum::Str(s) => format!("'{}'", s.replace('\'', "''")),
        Datum::Time(t) => format!("make_timestamp({t} * 1000::BIGINT)"),
        Datum::Double(x) => format!("{x:e}"),
        other => other.to_value().map_or(String::new(), |v| v.to_string()),
    }
}

fn plain(value: Datum<'_>) -> serde_json::Value {
    match value {
        Datum::Null => serde_json::Value::Null,
        Datum::Bool(b) => b.into(),
        Datum::Int(n) => n.into(),
        Datum::Decimal(d) => { d.0 }.to_string().into(),
        // Zero has no sign worth comparing.
        Datum::Double(x) => (x + 0.0).into(),
        Datum::Str(s) | Datum::Json(s) => s.into(),
        Datum::Time(t) => adprof::time::show(t).replace('T', " ").trim_end_matches('Z').into(),
    }
}

/// Python writes a double in hexadecimal, so that nothing is lost on the way.
fn double(value: &serde_json::Value, ty: adprof::value::Type) -> serde_json::Value {
    match (value, ty) {
        (serde_json::Value::String(hex), adprof::value::Type::Double) => (hex_float(hex) + 0.0).into(),
        (other, _) => other.clone(),
    }
}

fn hex_float(text: &str) -> f64 {
    let (sign, rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let (mantissa, exponent) = rest.trim_start_matches("0x").split_once('p').expect("an exponent");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).expect("hexadecimal");
    let exponent: i32 = exponent.parse().expect("a number");
    sign * digits as f64 * 2f64.powi(exponent - 4 * fraction.len() as i32)
}
