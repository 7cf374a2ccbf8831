//! Comparisons: two sides brought to one type first, as `expr::number::order` compares them.

use super::{Printed, Printer, not};
use crate::expr::engine::Engine;
use crate::expr::lower::common;
use crate::expr::node::{Comparison, Literal, Node, What};
use crate::value::Type;

impl Printer<'_> {
    pub(in crate::expr) fn compare(&self, comparison: Comparison, a: &Node, b: &Node) -> Printed {
        let ty = meeting(a, b);
        let (a, b) = (self.side(a, ty)?, self.side(b, ty)?);
        let (a, b) = self.ordered(comparison, ty, a, b);
        Ok(format!("({a} {} {b})", comparison.symbol()))
    }

    /// Two sides so that the engine's order is ours.
    fn ordered(&self, comparison: Comparison, ty: Type, a: String, b: String) -> (String, String) {
        if matches!(comparison, Comparison::Eq | Comparison::Ne) {
            return (a, b);
        }
        match (self.engine, ty) {
            // Flink compares texts that it got from Java by units of UTF-16, not by bytes.
            (Engine::Flink, Type::String) => (format!("HEX({a})"), format!("HEX({b})")),
            (Engine::Flink, Type::Bool) => (format!("CAST({a} AS INT)"), format!("CAST({b} AS INT)")),
            _ => (a, b),
        }
    }

    /// The node's value as `ty`, which it widens to.
    pub(super) fn as_type(&self, node: &Node, ty: Type) -> Printed {
        match node.ty {
            Some(from) if from != ty => self.converted(node, from, ty),
            _ => self.node(node, ty),
        }
    }

    /// The same beside an operator that compares, where a constant needs no cast to mean what it says.
    fn side(&self, node: &Node, ty: Type) -> Printed {
        const SHORT: i64 = 1_000_000_000;
        let plain = ty == Type::Decimal && self.engine != Engine::ClickHouse;
        match &node.what {
            What::Literal(Literal::Decimal(d)) if plain && d.0.unsigned_abs() < SHORT.unsigned_abs().into() => {
                Ok(if d.0 < 0 { format!("({d})") } else { d.to_string() })
            }
            What::Literal(Literal::Int(n)) if plain && n.unsigned_abs() < SHORT.unsigned_abs() => {
                Ok(self.engine.int(*n))
            }
            _ => self.as_type(node, ty),
        }
    }

    pub(super) fn among(&self, node: &Node, list: &[Node], negated: bool) -> Printed {
        let same = list.iter().all(|item| node.ty.is_some() && (item.ty == node.ty || item.ty.is_none()));
        // ClickHouse's IN passes over NULLs in the list.
        let known = self.engine != Engine::ClickHouse || list.iter().all(Node::is_constant);
        if same && known {
            let ty = node.ty.unwrap_or(Type::String);
            let items = list.iter().map(|item| self.node(item, ty)).collect::<Result<Vec<_>, _>>()?;
            return Ok(format!("({} {}IN ({}))", self.node(node, ty)?, not(negated), items.join(", ")));
        }
        let equal = |item: &Node| self.compare(Comparison::Eq, node, item);
        let parts = list.iter().map(equal).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("({}({}))", not(negated), parts.join(" OR ")))
    }

    pub(super) fn between(&self, node: &Node, low: &Node, high: &Node, negated: bool) -> Printed {
        let above = self.compare(Comparison::Ge, node, low)?;
        let below = self.compare(Comparison::Le, node, high)?;
        Ok(format!("({}({above} AND {below}))", not(negated)))
    }
}

/// The type in which two nodes are compared; of two that are always NULL any will do.
fn meeting(a: &Node, b: &Node) -> Type {
    match (a.ty, b.ty) {
        (Some(a), Some(b)) => common(a, b).unwrap_or(a),
        (one, other) => one.or(other).unwrap_or(Type::String),
    }
}
