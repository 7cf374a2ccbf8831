//! Aggregations: which there are, and the type each gives.

use crate::value::Type;

/// Every aggregation; `count_distinct` is written `count(DISTINCT x)`.
pub const NAMES: &[&str] = &["count", "sum", "avg", "min", "max", "first", "last", "count_distinct"];

/// The type of an aggregation over arguments of these types; the error says what it takes.
///
/// `count(*)` has no arguments. Doubles are summed as decimals.
pub fn result_type(name: &str, args: &[Type]) -> Result<Type, String> {
    match (name, args) {
        ("count", [] | [_]) | ("count_distinct", [_]) => Ok(Type::Int),
        ("sum", [Type::Int]) => Ok(Type::Int),
        ("sum" | "avg", [Type::Int | Type::Decimal | Type::Double]) => Ok(Type::Decimal),
        ("sum" | "avg", [other]) => Err(format!("`{name}` takes a number, not {other}")),
        ("min" | "max", [Type::Bool]) => Err(format!("`{name}` does not take bool")),
        ("min" | "max" | "first" | "last", [ty]) => Ok(*ty),
        (known, _) if NAMES.contains(&known) => Err(format!("`{name}` takes 1 argument, not {}", args.len())),
        _ => Err(format!("unknown aggregation: {name}")),
    }
}
