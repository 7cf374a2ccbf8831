//! Laws that hold for every expression, on random ones.

mod expr_gen;

use adprof::expr::{self, Scratch};
use adprof::value::{Datum, Type};
use expr_gen::{Columns, Random};

fn seeds(n: u64) -> impl Iterator<Item = u64> {
    let first = std::env::var("ADPROF_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    first..first + n
}

#[test]
fn canonical_text_reads_back_as_the_same_expression() {
    for seed in seeds(3000) {
        let mut random = Random(seed);
        let text = random.any(4).ours;
        let rows: Vec<_> = (0..8).map(|_| random.cells()).collect();
        let expr = expr::parse(&text, &mut Columns).unwrap_or_else(|e| panic!("seed {seed}: {text}: {e}"));
        let canonical = expr.canonical();
        let again = expr::parse(&canonical, &mut Columns).unwrap_or_else(|e| panic!("seed {seed}: {canonical}: {e}"));
        assert_eq!(again.canonical(), canonical, "seed {seed}: {text}");
        let scratch = Scratch::new();
        for row in &rows {
            let (a, b) = (expr.eval(row, &scratch), again.eval(row, &scratch));
            assert_eq!(a, b, "seed {seed}: {text} → {canonical}");
        }
    }
}

#[test]
fn a_condition_is_the_same_after_it_has_been_json() {
    for seed in seeds(3000) {
        let text = Random(seed).of(Type::Bool, 4).ours;
        // What is always NULL has no type.
        let Ok(expr) = expr::condition(&text, &mut Columns) else { continue };
        let json = expr.json();
        serde_json::from_str::<serde_json::Value>(&json).unwrap_or_else(|e| panic!("seed {seed}: {json}: {e}"));
        let again = expr::condition(&json, &mut Columns).unwrap_or_else(|e| panic!("seed {seed}: {json}: {e}"));
        assert_eq!(again.canonical(), expr.canonical(), "seed {seed}: {text} → {json}");
        assert_eq!(again.json(), json, "seed {seed}: {text}");
        let readable = expr::condition(&expr.readable(), &mut Columns).expect("read back");
        assert_eq!(readable.canonical(), expr.canonical(), "seed {seed}: {text}");
    }
}

#[test]
fn a_value_has_the_type_that_was_promised() {
    for seed in seeds(3000) {
        let mut random = Random(seed);
        let text = random.any(4).ours;
        let expr = expr::parse(&text, &mut Columns).unwrap_or_else(|e| panic!("seed {seed}: {text}: {e}"));
        let scratch = Scratch::new();
        for _ in 0..8 {
            let row = random.cells();
            let ty = match expr.eval(&row, &scratch) {
                Datum::Null => continue,
                Datum::Bool(_) => Type::Bool,
                Datum::Int(_) => Type::Int,
                Datum::Decimal(_) => Type::Decimal,
                Datum::Double(x) => {
                    assert!(x.is_finite(), "seed {seed}: {text}");
                    Type::Double
                }
                Datum::Str(_) => Type::String,
                Datum::Time(_) => Type::Datetime,
                Datum::Json(_) => panic!("seed {seed}: no function gives a list: {text}"),
            };
            assert_eq!(ty, expr.ty, "seed {seed}: {text}");
        }
    }
}

#[test]
fn a_filter_passes_exactly_what_is_true() {
    for seed in seeds(1000) {
        let mut random = Random(seed);
        let text = random.of(Type::Bool, 4).ours;
        let expr = expr::parse(&text, &mut Columns).unwrap_or_else(|e| panic!("seed {seed}: {text}: {e}"));
        let not = expr::parse(&format!("NOT ({text})"), &mut Columns);
        let scratch = Scratch::new();
        for _ in 0..8 {
            let row = random.cells();
            let value = expr.eval(&row, &scratch);
            assert_eq!(expr.is_true(&row, &scratch), value == Datum::Bool(true), "seed {seed}: {text}");
            if let Ok(not) = &not {
                assert_eq!(not.is_true(&row, &scratch), value == Datum::Bool(false), "seed {seed}: NOT ({text})");
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(3000))]

    #[test]
    fn an_error_lies_within_the_text(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "i1", "s1", "'é'", "日本", "1", "1.5", "1e400", "(", ")", ",", "+", "-", "*", "/", "%", "||", "=", "<>", "::", ".", "'", "\"",
            "CASE", "WHEN", "THEN", "END", "NOT", "AND", "OR", "IN", "LIKE", "ESCAPE", "BETWEEN", "IS", "NULL", "TRUE", "CAST", "AS",
            "BIGINT", "TRIM", "FROM", "SUBSTRING", "FLOOR", "count", "(*)", "DISTINCT", "SELECT", "INTERVAL", "TIMESTAMP", "ARRAY", "[",
            "]", "{", "}", "\n", "\r\n", "--", "/*", "->", "?", "$1", "@", ";", "é", "\u{0}", "x'41'", "N'a'", "U&'\\0041'",
        ]), 0..14), glue in proptest::sample::select(vec!["", " "])) {
        let text = words.join(glue);
        let condition = expr::condition(&text, &mut Columns).err();
        for error in [expr::parse(&text, &mut Columns).err(), condition, expr::parse_aggregation(&text, &mut Columns).err()].into_iter().flatten() {
            assert!(text.is_char_boundary(error.offset), "{text:?}: {error:?}");
            assert!(error.offset + error.len <= text.len(), "{text:?}: {error:?}");
            assert!(!error.message.is_empty());
        }
        let _ = expr::top_call(&text);
    }
    #[test]
    fn an_error_of_json_lies_within_the_text(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"logic\":", "\"conditions\":[", "\"AND\"", "\"NOT\"", "\"tag_code\":", "\"i1\"", "\"s1\"",
            "\"t1\"", "\"op\":", "\"=\"", "\"IN\"", "\"CONTAINS\"", "\"BETWEEN\"", "\"value\":", "1", "1.5", "1e999", "null", "true", "\"é\"",
            "\"sql\":", "\"i1 > 1\"", "\"segment\":", "\"aggregate\":", "\"count(*)\"", "\"where\":", "\"ago\":", "\"7d\"", "\n", "\\u00e9", "'", "\"", "é",
        ]), 0..16)) {
        for text in [format!("{{{}}}", words.concat()), format!("{{{}", words.concat())] {
            if let Err(error) = expr::condition(&text, &mut Columns) {
                assert!(text.get(error.offset..error.offset + error.len).is_some(), "{text:?}: {error:?}");
                assert!(!error.message.is_empty());
            }
        }
    }
}
