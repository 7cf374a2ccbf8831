//! Numbers: calculation whose overflow is NULL, as in `expr::number`.
//!
//! Whole numbers are calculated wider and brought back. Doubles are calculated as they are and looked at once at the
//! end: what is not finite stays so through `+`, `-` and `*`; a divisor, which could hide it, is looked at by itself.

use super::{Printed, Printer};
use crate::expr::engine::Engine;
use crate::expr::node::{Node, Operator, What};
use crate::value::Type;

impl Printer<'_> {
    pub(super) fn arithmetic(&self, operator: Operator, a: &Node, b: &Node, ty: Type) -> Printed {
        match arithmetic_type(a, b, ty) {
            Type::Double => Ok(finite(&self.doubles(operator, a, b)?)),
            Type::Decimal => {
                let (a, b) = (self.as_type(a, Type::Decimal)?, self.as_type(b, Type::Decimal)?);
                Ok(decimals(self.engine, operator, &a, &b))
            }
            _ => {
                let (a, b) = (self.node(a, Type::Int)?, self.node(b, Type::Int)?);
                Ok(ints(self.engine, operator, &a, &b))
            }
        }
    }

    pub(super) fn negate(&self, inner: &Node, ty: Type) -> Printed {
        let text = self.node(inner, ty)?;
        Ok(match ty {
            Type::Int => ints(self.engine, Operator::Sub, &self.engine.int(0), &text),
            _ => format!("(-({text}))"),
        })
    }

    /// Perhaps not finite.
    fn doubles(&self, operator: Operator, a: &Node, b: &Node) -> Printed {
        let left = self.raw(a)?;
        if matches!(operator, Operator::Div | Operator::Rem) {
            let divisor = format!("NULLIF({}, {})", self.as_type(b, Type::Double)?, self.engine.double(0.0));
            if operator == Operator::Rem && self.engine == Engine::Flink {
                return Err(self.refuse("`%` of doubles", "it has it for exact numbers only"));
            }
            return Ok(format!("({left} {} {divisor})", operator.symbol()));
        }
        Ok(format!("({left} {} {})", operator.symbol(), self.raw(b)?))
    }

    fn raw(&self, node: &Node) -> Printed {
        match &node.what {
            What::Arithmetic(operator, a, b) if node.ty == Some(Type::Double) => self.doubles(*operator, a, b),
            _ => self.as_type(node, Type::Double),
        }
    }
}

/// The type in which two nodes are calculated.
fn arithmetic_type(a: &Node, b: &Node, result: Type) -> Type {
    match (a.ty, b.ty) {
        (Some(Type::Double), _) | (_, Some(Type::Double)) => Type::Double,
        _ => result,
    }
}

/// The value of a calculation in doubles, NULL where it is not finite.
pub(super) fn finite(text: &str) -> String {
    format!("CASE WHEN ABS({text}) <= {:e} THEN {text} END", f64::MAX)
}

/// A whole number, wider than 64 bits.
pub(super) fn wide(engine: Engine, text: &str) -> String {
    match engine {
        Engine::DuckDb => format!("CAST({text} AS HUGEINT)"),
        Engine::Spark => format!("CAST({text} AS DECIMAL(38, 0))"),
        Engine::Flink => format!("CAST({text} AS DECIMAL(19, 0))"),
        Engine::ClickHouse => format!("toInt128({text})"),
    }
}

/// A wide whole number as one of 64 bits, NULL where it does not fit.
pub(super) fn narrow(engine: Engine, text: &str) -> String {
    match engine {
        Engine::DuckDb => format!("TRY_CAST({text} AS BIGINT)"),
        Engine::Spark => format!("try_cast({text} AS BIGINT)"),
        // By way of text: a decimal that does not fit would lose its highest bits.
        Engine::Flink => format!("TRY_CAST(CAST({text} AS STRING) AS BIGINT)"),
        Engine::ClickHouse => format!("accurateCastOrNull({text}, 'Int64')"),
    }
}

fn ints(engine: Engine, operator: Operator, a: &str, b: &str) -> String {
    if operator == Operator::Rem {
        let zero = format!("NULLIF({b}, {})", engine.int(0));
        return match engine {
            Engine::Spark => format!("({a} % {zero})"),
            Engine::Flink => format!("CAST(MOD({a}, {zero}) AS BIGINT)"),
            // The smallest int % -1 overflows there.
            Engine::DuckDb | Engine::ClickHouse => {
                narrow(engine, &format!("({} % {})", wide(engine, a), wide(engine, &zero)))
            }
        };
    }
    match (engine, operator) {
        (Engine::Spark, Operator::Add) => format!("try_add({a}, {b})"),
        (Engine::Spark, Operator::Sub) => format!("try_subtract({a}, {b})"),
        (Engine::Spark, _) => format!("try_multiply({a}, {b})"),
        _ => narrow(engine, &format!("{} {} {}", wide(engine, a), operator.symbol(), wide(engine, b))),
    }
}

/// Both sides are of six places, and so is the result, halves rounded away from zero.
///
/// Products and dividends beyond 10²⁶, which no 128 bits hold with twelve places, are NULL as they are here.
fn decimals(engine: Engine, operator: Operator, a: &str, b: &str) -> String {
    let zero = format!("NULLIF({b}, 0)");
    let symbol = operator.symbol();
    match engine {
        Engine::DuckDb => match operator {
            // One place more than is kept is enough to round halves away from zero.
            Operator::Div => format!(
                "TRY(CAST(CAST({a} * 1000000 AS HUGEINT) * 10000000 // CAST({zero} * 1000000 AS HUGEINT) * 0.0000001 \
                 AS DECIMAL(38, 6)))"
            ),
            Operator::Rem => format!("TRY(CAST({a} % {zero} AS DECIMAL(38, 6)))"),
            _ => format!("TRY(CAST({a} {symbol} {b} AS DECIMAL(38, 6)))"),
        },
        Engine::Spark => match operator {
            Operator::Add => format!("try_add({a}, {b})"),
            Operator::Sub => format!("try_subtract({a}, {b})"),
            Operator::Mul => format!("CAST(try_cast(try_multiply({a}, {b}) AS DECIMAL(32, 6)) AS DECIMAL(38, 6))"),
            Operator::Div => format!("try_divide(try_cast({a} AS DECIMAL(32, 6)), {b})"),
            Operator::Rem => format!("CAST(({a} % {zero}) AS DECIMAL(38, 6))"),
        },
        Engine::Flink => match operator {
            Operator::Mul => format!("CAST(CAST({a} * {b} AS DECIMAL(32, 6)) AS DECIMAL(38, 6))"),
            Operator::Div => format!("CAST(CAST({a} AS DECIMAL(32, 6)) / {zero} AS DECIMAL(38, 6))"),
            Operator::Rem => format!("CAST(MOD({a}, {zero}) AS DECIMAL(38, 6))"),
            Operator::Add | Operator::Sub => format!("CAST({a} {symbol} {b} AS DECIMAL(38, 6))"),
        },
        Engine::ClickHouse => {
            let wide = |text: &str| format!("CAST({text} AS Nullable(Decimal(76, 6)))");
            let (wide_a, wide_b) = (wide(a), wide(b));
            let result = match operator {
                Operator::Mul => format!("round(accurateCastOrNull({wide_a} * {wide_b}, 'Decimal(38, 12)'), 6)"),
                // It divides by what lies under a NULL too.
                Operator::Div => {
                    let dividend = wide(&format!("accurateCastOrNull({wide_a}, 'Decimal(38, 12)')"));
                    let divisor = format!("COALESCE(NULLIF({wide_b}, 0), 1)");
                    format!("CASE WHEN {b} <> 0 THEN round(divideDecimal({dividend}, {divisor}, 7), 6) END")
                }
                Operator::Rem => format!("({wide_a} % NULLIF({wide_b}, 0))"),
                Operator::Add | Operator::Sub => format!("({wide_a} {symbol} {wide_b})"),
            };
            format!("accurateCastOrNull({result}, 'Decimal(38, 6)')")
        }
    }
}

/// To the nearest whole number, halves away from zero.
pub(super) fn round_double(engine: Engine, x: &str) -> String {
    match engine {
        Engine::DuckDb | Engine::Spark => format!("ROUND({x})"),
        Engine::Flink => format!("ROUND({x}, 0)"),
        // Its ROUND takes halves to the even neighbour.
        Engine::ClickHouse => format!("(trunc({x}) + sign({x}) * (abs({x} - trunc({x})) >= 0.5))"),
    }
}
