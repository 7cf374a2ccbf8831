//! Engines: those that definitions can be written for, and how each writes names, constants and types.

use crate::money::{Decimal, SCALE};
use crate::value::Type;

/// An engine whose SQL can be printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Engine {
    Spark,
    Flink,
    DuckDb,
    ClickHouse,
}

impl Engine {
    pub const ALL: [Engine; 4] = [Engine::Spark, Engine::Flink, Engine::DuckDb, Engine::ClickHouse];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Spark => "Spark",
            Engine::Flink => "Flink",
            Engine::DuckDb => "DuckDB",
            Engine::ClickHouse => "ClickHouse",
        }
    }

    /// A name, always in quotes: words that one engine reserves are names to another.
    pub fn ident(self, name: &str) -> String {
        match self {
            Engine::DuckDb => format!("\"{}\"", name.replace('"', "\"\"")),
            Engine::Spark | Engine::Flink => format!("`{}`", name.replace('`', "``")),
            Engine::ClickHouse => format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")),
        }
    }

    /// A text constant.
    pub fn string(self, text: &str) -> String {
        match self {
            Engine::DuckDb | Engine::Flink => format!("'{}'", text.replace('\'', "''")),
            Engine::Spark | Engine::ClickHouse => {
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
            }
        }
    }

    /// A whole number of 64 bits.
    pub fn int(self, n: i64) -> String {
        let text = match self {
            // Without it a number is of 32 bits, and so is what is calculated with it.
            Engine::Spark => format!("{n}L"),
            Engine::Flink if i32::try_from(n).is_err() => format!("CAST('{n}' AS BIGINT)"),
            Engine::DuckDb | Engine::Flink | Engine::ClickHouse => n.to_string(),
        };
        if n < 0 { format!("({text})") } else { text }
    }

    /// An exact number of six places.
    pub fn decimal(self, d: Decimal) -> String {
        let text = if d.0 % SCALE == 0 { format!("{d}.0") } else { d.to_string() };
        match self {
            // A number with a point is a double there.
            Engine::ClickHouse => format!("toDecimal128('{text}', 6)"),
            // It takes a long number for a double out of range.
            Engine::Flink => self.cast(&format!("'{text}'"), Type::Decimal),
            Engine::DuckDb | Engine::Spark => self.cast(&text, Type::Decimal),
        }
    }

    pub fn double(self, x: f64) -> String {
        match self {
            Engine::Spark => format!("CAST('{x:e}' AS DOUBLE)"),
            Engine::DuckDb | Engine::ClickHouse | Engine::Flink => format!("CAST({x:e} AS {})", self.ty(Type::Double)),
        }
    }

    pub fn bool(self, b: bool) -> &'static str {
        if b { "TRUE" } else { "FALSE" }
    }

    /// The type that values of `ty` have: an instant is milliseconds, as in the events.
    pub fn ty(self, ty: Type) -> String {
        let nested = |item: &Type| self.ty(*item);
        match (self, ty) {
            (Engine::ClickHouse, Type::Bool) => "Nullable(Bool)".into(),
            (Engine::ClickHouse, Type::Int | Type::Datetime) => "Nullable(Int64)".into(),
            (Engine::ClickHouse, Type::Decimal) => "Nullable(Decimal(38, 6))".into(),
            (Engine::ClickHouse, Type::Double) => "Nullable(Float64)".into(),
            (Engine::ClickHouse, Type::String) => "Nullable(String)".into(),
            (Engine::ClickHouse, Type::List(item)) => format!("Array({})", nested(item)),
            (Engine::ClickHouse, Type::Map(value)) => format!("Map(String, {})", nested(value)),
            (_, Type::Bool) => "BOOLEAN".into(),
            (_, Type::Int | Type::Datetime) => "BIGINT".into(),
            (_, Type::Decimal) => "DECIMAL(38, 6)".into(),
            (_, Type::Double) => "DOUBLE".into(),
            (Engine::DuckDb, Type::String) => "VARCHAR".into(),
            (_, Type::String) => "STRING".into(),
            (Engine::DuckDb, Type::List(item)) => format!("{}[]", nested(item)),
            (Engine::DuckDb, Type::Map(value)) => format!("MAP(VARCHAR, {})", nested(value)),
            (_, Type::List(item)) => format!("ARRAY<{}>", nested(item)),
            (_, Type::Map(value)) => format!("MAP<STRING, {}>", nested(value)),
        }
    }

    pub fn null(self, ty: Type) -> String {
        self.cast("NULL", ty)
    }

    /// A cast that cannot fail, written as it is.
    pub fn cast(self, text: &str, ty: Type) -> String {
        format!("CAST({text} AS {})", self.ty(ty))
    }
}
