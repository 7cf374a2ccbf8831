//! CAST, written and implicit: as `expr::cast`, NULL where there is no such value.

use super::number::{narrow, round_double};
use super::{Printed, Printer};
use crate::expr::engine::Engine;
use crate::expr::node::{Literal, Node, What};
use crate::money::Decimal;
use crate::value::Type;

/// What `str::trim` takes off, as a class of regular expressions.
const BLANK: &str = r"[\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]*";

impl Printer<'_> {
    /// The node, which is of type `from`, as `to`.
    pub(super) fn converted(&self, node: &Node, from: Type, to: Type) -> Printed {
        // A constant is written as what it becomes.
        match (&node.what, to) {
            (What::Literal(Literal::Int(n)), Type::Decimal) => return Ok(self.engine.decimal(Decimal::from_int(*n))),
            (What::Literal(Literal::Int(n)), Type::Double) => return Ok(self.engine.double(*n as f64)),
            _ => {}
        }
        self.text_as(self.node(node, from)?, from, to)
    }

    /// The value of `text`, which is of type `from`, as `to`.
    pub fn text_as(&self, text: String, from: Type, to: Type) -> Printed {
        let engine = self.engine;
        Ok(match (from, to) {
            (from, to) if from == to => text,
            (Type::Int, Type::Datetime) | (Type::Datetime, Type::Int) => text,
            (Type::Int | Type::Decimal | Type::Double, Type::Bool) => format!("({text} <> 0)"),
            (Type::String, Type::Bool) => self.bool_of_text(&text),
            (Type::Bool, Type::Int) => engine.cast(&format!("CASE WHEN {text} THEN 1 WHEN NOT {text} THEN 0 END"), to),
            (Type::Bool, Type::Decimal | Type::Double) => {
                engine.cast(&format!("CASE WHEN {text} THEN 1 WHEN NOT {text} THEN 0 END"), to)
            }
            (Type::Decimal, Type::Int) => self.int_of_decimal(&text),
            (Type::Double, Type::Int) => self.int_of_double(&text),
            (Type::String, Type::Int) => self.int_of_text(&text),
            (Type::Int, Type::Decimal | Type::Double) => engine.cast(&text, to),
            (Type::Double, Type::Decimal) => decimal_of_double(engine, &text),
            (Type::Decimal, Type::Double) => double_of_decimal(engine, &text),
            (Type::Bool, Type::String) => match engine {
                Engine::Flink => format!("LOWER(CAST({text} AS STRING))"),
                Engine::ClickHouse => engine.cast(&engine.cast(&text, Type::Bool), to),
                Engine::DuckDb | Engine::Spark => engine.cast(&text, to),
            },
            (Type::Int, Type::String) => engine.cast(&text, to),
            (Type::Decimal, Type::String) => match engine {
                // Its text has no zeros at the end.
                Engine::ClickHouse => format!("toString({text})"),
                Engine::DuckDb => format!("RTRIM(RTRIM({}, '0'), '.')", engine.cast(&text, to)),
                Engine::Spark | Engine::Flink => {
                    format!("TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {}))", engine.cast(&text, to))
                }
            },
            (from, to) => {
                let what = format!("CAST of a {from} to {to}");
                return Err(self.refuse(&what, "it reads or writes such a text in another way"));
            }
        })
    }

    fn bool_of_text(&self, text: &str) -> String {
        let is = |word: &str| {
            let pattern = self.engine.string(&format!("^{BLANK}({word}){BLANK}$"));
            match self.engine {
                Engine::DuckDb => format!("regexp_matches({text}, {pattern})"),
                Engine::Spark => format!("regexp_like({text}, {pattern})"),
                Engine::Flink => format!("REGEXP({text}, {pattern})"),
                Engine::ClickHouse => format!("match({text}, {pattern})"),
            }
        };
        let (yes, no) = (is("[tT][rR][uU][eE]|[tT]|1"), is("[fF][aA][lL][sS][eE]|[fF]|0"));
        format!("CASE WHEN {yes} THEN TRUE WHEN {no} THEN FALSE END")
    }

    fn int_of_text(&self, text: &str) -> String {
        let pattern = self.engine.string(&format!("^{BLANK}([+-]?[0-9]+){BLANK}$"));
        match self.engine {
            Engine::DuckDb => format!("TRY_CAST(regexp_extract({text}, {pattern}, 1) AS BIGINT)"),
            Engine::Spark => format!("try_cast(regexp_extract({text}, {pattern}, 1) AS BIGINT)"),
            Engine::Flink => format!("TRY_CAST(REGEXP_EXTRACT({text}, {pattern}, 1) AS BIGINT)"),
            Engine::ClickHouse => format!("toInt64OrNull(extract({text}, {pattern}))"),
        }
    }

    /// Towards zero.
    fn int_of_decimal(&self, text: &str) -> String {
        match self.engine {
            Engine::DuckDb => narrow(self.engine, &format!("TRUNC({text})")),
            Engine::Spark => narrow(self.engine, text),
            Engine::Flink => narrow(self.engine, &format!("CAST(TRUNCATE({text}, 0) AS DECIMAL(38, 0))")),
            // Its cast that gives NULL throws where a decimal does not fit.
            Engine::ClickHouse => format!("toInt64OrNull(toString(trunc({text})))"),
        }
    }

    fn int_of_double(&self, text: &str) -> String {
        match self.engine {
            Engine::DuckDb => format!("TRY_CAST(TRUNC({text}) AS BIGINT)"),
            Engine::Spark => format!("try_cast({text} AS BIGINT)"),
            // 2⁶³ itself is a double and does not fit.
            Engine::Flink => format!(
                "CASE WHEN {text} >= -9.223372036854775808e18 AND {text} < 9.223372036854775808e18 THEN CAST({text} AS BIGINT) END"
            ),
            Engine::ClickHouse => format!("accurateCastOrNull(trunc({text}), 'Int64')"),
        }
    }
}

/// The double nearest to a decimal: by way of its text where the engine would round twice.
pub(super) fn double_of_decimal(engine: Engine, text: &str) -> String {
    match engine {
        Engine::DuckDb => format!("CAST(CAST({text} AS VARCHAR) AS DOUBLE)"),
        Engine::Spark | Engine::Flink => format!("CAST({text} AS DOUBLE)"),
        Engine::ClickHouse => format!("toFloat64(toString({text}))"),
    }
}

/// The decimal nearest to a double, halves away from zero, from its exact value; NULL from 10²⁷ on.
pub fn decimal_of_double(engine: Engine, text: &str) -> String {
    let whole = round_double(engine, &format!("({text} * 1e6)"));
    // In two parts, each below 2⁵³ and exact: engines make a decimal of the shortest text for a double, or of fewer bits.
    let high = format!("FLOOR({whole} / 4503599627370496e0)");
    let low = format!("({whole} - {high} * 4503599627370496e0)");
    let exact = match engine {
        Engine::DuckDb => format!("CAST(CAST({whole} AS HUGEINT) * 0.000001 AS DECIMAL(38, 6))"),
        Engine::ClickHouse => {
            let sum = format!("toInt128(toInt64({high})) * 4503599627370496 + toInt64({low})");
            format!("(CAST(toString({sum}) AS Nullable(Decimal(38, 0))) * toDecimal128('0.000001', 6))")
        }
        Engine::Spark | Engine::Flink => {
            let part = |text: &str| format!("CAST(CAST({text} AS BIGINT) AS DECIMAL(38, 0))");
            format!("CAST(({} * 4503599627370496 + {}) * 0.000001 AS DECIMAL(38, 6))", part(&high), part(&low))
        }
    };
    format!("CASE WHEN ABS({text} * 1e6) < 1e33 THEN {exact} END")
}
