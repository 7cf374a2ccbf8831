//! What is printed, by text: quoting, constants, patterns, and that no function is forgotten. What it means is for engines to say.

use super::{AsOf, Printer};
use crate::expr::engine::Engine;
use crate::expr::function::{FUNCTIONS, Rule};
use crate::expr::{Names, parse};
use crate::value::Type;

struct Fields;

const FIELDS: [(&str, Type); 7] = [
    ("flag", Type::Bool),
    ("n", Type::Int),
    ("d", Type::Decimal),
    ("x", Type::Double),
    ("s", Type::String),
    ("at", Type::Datetime),
    ("list", Type::List(&Type::String)),
];

impl Names for Fields {
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
        FIELDS.iter().position(|(known, _)| *known == name).map(|slot| (slot, FIELDS[slot].1))
    }

    fn known(&self) -> Vec<String> {
        FIELDS.iter().map(|(name, _)| name.to_string()).collect()
    }
}

fn printed(engine: Engine, text: &str) -> Result<String, String> {
    let slot = |slot: usize| FIELDS[slot].0.to_string();
    let expr = parse(text, &mut Fields).unwrap_or_else(|e| panic!("{text}: {e}"));
    Printer { engine, slot: &slot, as_of: AsOf::At(5) }.expr(&expr)
}

#[test]
fn every_function_is_printed_or_refused_by_its_name_for_every_engine() {
    let name_of = |ty: Type| FIELDS.iter().find(|(_, known)| *known == ty).map(|(name, _)| *name).expect("all types");
    for function in FUNCTIONS {
        let args = |n: usize| -> Vec<&str> {
            let arg = |i: usize| match &function.rule {
                Rule::Fixed(params, _) if i > 0 && params[i.min(params.len() - 1)] == Type::Int => "2",
                Rule::Fixed(params, _) => name_of(params[i.min(params.len() - 1)]),
                Rule::Number if i > 0 => "1",
                Rule::Number => "d",
                Rule::Same | Rule::First => "s",
                Rule::Member if i > 0 => "s",
                Rule::Size | Rule::Member => "list",
            };
            (0..n).map(arg).collect()
        };
        for n in [function.arity.0, function.arity.1.min(3)] {
            let call = format!("{}({})", function.name, args(n).join(", "));
            for engine in Engine::ALL {
                let begins = format!("{} in {}: ", function.name, engine.name());
                match printed(engine, &call) {
                    Ok(text) => assert!(text.contains(args(n)[0]), "{call}: {text}"),
                    Err(why) => assert!(why.starts_with(&begins), "{call}: {why}"),
                }
            }
        }
    }
}

#[test]
fn constants_are_quoted_as_the_engine_reads_them() {
    for (engine, text, want) in [
        (Engine::DuckDb, "s = 'it''s \\ %'", r"(s = 'it''s \ %')"),
        (Engine::Flink, "s = 'it''s \\ %'", r"(s = 'it''s \ %')"),
        (Engine::Spark, "s = 'it''s \\ %'", r"(s = 'it\'s \\ %')"),
        (Engine::ClickHouse, "s = 'it''s \\ %'", r"(s = 'it\'s \\ %')"),
        (Engine::Spark, "n = 5", "(n = 5L)"),
        (Engine::DuckDb, "n = -5", "(n = (-5))"),
        (Engine::DuckDb, "d = 1.50", "(d = 1.5)"),
        (Engine::ClickHouse, "d = 1.50", "(d = toDecimal128('1.5', 6))"),
        (Engine::Flink, "d = -9223372036854.775808", "(d = CAST('-9223372036854.775808' AS DECIMAL(38, 6)))"),
    ] {
        assert_eq!(printed(engine, text).as_deref(), Ok(want), "{text} in {}", engine.name());
    }
}

#[test]
fn what_no_field_decides_is_calculated_before_it_is_printed() {
    for (text, want) in [
        ("n > 2 + 3 * 4", "(n > 14)"),
        ("at > as_of() - 3", "(at > 2)"),
        ("s = UPPER('a' || 'b')", "(s = 'AB')"),
        ("n > 1 / 0", "(CAST(n AS DECIMAL(38, 6)) > CAST(NULL AS DECIMAL(38, 6)))"),
        ("s LIKE '100' || '%'", "(s LIKE '100%')"),
    ] {
        assert_eq!(printed(Engine::DuckDb, text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn a_pattern_means_only_what_it_means_here() {
    for (engine, text, want) in [
        (Engine::DuckDb, "s LIKE 'a!_b%' ESCAPE '!'", "(s LIKE 'a!_b%' ESCAPE '!')"),
        (Engine::Spark, r"s LIKE 'a\_'", r"(s LIKE 'a\\_' ESCAPE '!')"),
        (Engine::ClickHouse, "s LIKE 'a!_b%' ESCAPE '!'", r"(s LIKE 'a\\_b%')"),
        (Engine::Flink, "s NOT LIKE 'a_.'", r"(NOT REGEXP(s, '(?s)\Aa.\.\z'))"),
    ] {
        assert_eq!(printed(engine, text).as_deref(), Ok(want), "{text} in {}", engine.name());
    }
    assert_eq!(
        printed(Engine::Spark, "s LIKE s"),
        Err("LIKE in Spark: the pattern must be a constant, since engines differ in what escapes".into())
    );
}
