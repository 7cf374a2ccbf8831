//! Printing: a checked expression as the SQL of an engine, meaning there what `eval` gives here.
//!
//! What an engine cannot say exactly is refused with a reason. An operand stands in parentheses or is a call, so that
//! no engine's order of operators matters.

mod cast;
mod compare;
pub(super) mod functions;
mod number;
mod pattern;
#[cfg(test)]
mod tests;

pub use cast::decimal_of_double;

use super::engine::Engine;
use super::eval::eval;
use super::function::Function;
use super::node::{Literal, Node, What};
use super::{Expr, Scratch};
use crate::rows::Row;
use crate::time::Millis;
use crate::value::{Datum, Type};

/// The SQL, or what cannot be said and why: `LOWER in DuckDB: …`.
pub type Printed = Result<String, String>;

/// How an expression is printed: for whom, and what its names stand for.
pub struct Printer<'a> {
    pub engine: Engine,
    /// The column of a slot, of the type that `Engine::ty` says.
    pub slot: &'a dyn Fn(usize) -> String,
    /// What `as_of()` stands for: a constant, or an expression of type int.
    pub as_of: AsOf<'a>,
}

/// The instant that a statement tells values of.
#[derive(Clone, Copy, Debug)]
pub enum AsOf<'a> {
    At(Millis),
    Of(&'a str),
}

impl Row for AsOf<'_> {
    fn datum(&self, _: usize) -> Datum<'_> {
        Datum::Null
    }

    fn as_of(&self) -> Datum<'_> {
        match self {
            AsOf::At(t) => Datum::Time(*t),
            AsOf::Of(_) => Datum::Null,
        }
    }
}

/// A call to be printed.
pub(crate) struct Call<'p, 'a> {
    pub printer: &'p Printer<'a>,
    name: &'static str,
    pub args: &'p [Node],
    /// Of the result.
    pub ty: Type,
}

impl Printer<'_> {
    pub fn expr(&self, expr: &Expr) -> Printed {
        self.node(&expr.node, expr.ty)
    }

    /// The node as a value of its type, or of `want` where it is always NULL.
    fn node(&self, node: &Node, want: Type) -> Printed {
        let Some(ty) = node.ty else { return Ok(self.engine.null(want)) };
        match self.constant(node) {
            None => {}
            Some(Literal::Null) => return Ok(self.engine.null(ty)),
            Some(literal) => return Ok(self.literal(&literal)),
        }
        Ok(match &node.what {
            What::Literal(literal) => self.literal(literal),
            What::Slot { slot, .. } => (self.slot)(*slot),
            What::Segment { rule, .. } => self.is_bool(&rule.node, true, false)?,
            What::AsOf => match self.as_of {
                AsOf::At(t) => self.engine.int(t),
                AsOf::Of(text) => text.to_string(),
            },
            What::Compare(comparison, a, b) => self.compare(*comparison, a, b)?,
            What::And(parts) => self.joined(parts, " AND ")?,
            What::Or(parts) => self.joined(parts, " OR ")?,
            What::Not(node) => format!("(NOT {})", self.node(node, Type::Bool)?),
            What::IsNull { node, negated } => {
                let text = self.node(node, Type::String)?;
                format!("({text} IS {}NULL)", not(*negated))
            }
            What::IsBool { node, value, negated } => self.is_bool(node, *value, *negated)?,
            What::In { node, list, negated } => self.among(node, list, *negated)?,
            What::Between { node, low, high, negated } => self.between(node, low, high, *negated)?,
            What::Like { node, pattern, escape, negated, .. } => self.like(node, pattern, *escape, *negated)?,
            What::Arithmetic(operator, a, b) => self.arithmetic(*operator, a, b, ty)?,
            What::Negate(inner) => self.negate(inner, ty)?,
            What::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref(), ty)?
            }
            What::Call { function, args } => self.call(function, args, ty)?,
            What::Cast { node: inner, .. } => match inner.ty {
                None => self.engine.null(ty),
                Some(from) => self.converted(inner, from, ty)?,
            },
        })
    }

    /// The value of a node that reads no field: calculated here, where it is known to be right.
    fn constant(&self, node: &Node) -> Option<Literal> {
        let mut reads = false;
        let open = matches!(self.as_of, AsOf::Of(_));
        node.walk(&mut |node| {
            reads |= matches!(node.what, What::Slot { .. }) || open && matches!(node.what, What::AsOf)
        });
        if reads {
            return None;
        }
        Literal::of(eval(node, &self.as_of, &Scratch::new()))
    }

    fn literal(&self, literal: &Literal) -> String {
        match literal {
            Literal::Null => self.engine.null(Type::String),
            Literal::Bool(b) => self.engine.bool(*b).to_string(),
            Literal::Int(n) | Literal::Time(n) => self.engine.int(*n),
            Literal::Decimal(d) => self.engine.decimal(*d),
            Literal::Double(x) => self.engine.double(*x),
            Literal::Str(text) => self.engine.string(text),
        }
    }

    fn joined(&self, parts: &[Node], separator: &str) -> Printed {
        let parts = parts.iter().map(|part| self.node(part, Type::Bool)).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("({})", parts.join(separator)))
    }

    /// NULL is neither true nor false.
    fn is_bool(&self, node: &Node, value: bool, negated: bool) -> Printed {
        let text = self.node(node, Type::Bool)?;
        let known = format!("COALESCE({text}, {})", self.engine.bool(!value));
        Ok(if value != negated { known } else { format!("(NOT {known})") })
    }

    fn case(&self, operand: Option<&Node>, branches: &[(Node, Node)], otherwise: Option<&Node>, ty: Type) -> Printed {
        let mut out = "CASE".to_string();
        for (when, then) in branches {
            // Not `CASE x WHEN y`: ClickHouse takes NULL for equal to NULL there.
            let when = match operand {
                None => self.node(when, Type::Bool)?,
                Some(operand) => self.compare(super::node::Comparison::Eq, operand, when)?,
            };
            out += &format!(" WHEN {when} THEN {}", self.node(then, ty)?);
        }
        if let Some(otherwise) = otherwise {
            out += &format!(" ELSE {}", self.node(otherwise, ty)?);
        }
        Ok(out + " END")
    }

    fn call(&self, function: &Function, args: &[Node], ty: Type) -> Printed {
        (function.print)(&Call { printer: self, name: function.name, args, ty })
    }

    /// Why something cannot be printed.
    fn refuse(&self, what: &str, why: &str) -> String {
        format!("{what} in {}: {why}", self.engine.name())
    }
}

impl Call<'_, '_> {
    pub fn engine(&self) -> Engine {
        self.printer.engine
    }

    /// An argument as a value of its own type, or of the result's where it is always NULL.
    pub fn arg(&self, i: usize) -> Printed {
        self.arg_as(i, self.ty)
    }

    /// An argument as a value of its own type, or of `want` where it is always NULL.
    pub fn arg_as(&self, i: usize, want: Type) -> Printed {
        self.printer.node(&self.args[i], want)
    }

    /// An argument that no field decides: `None` where there is none, an error where a field does.
    pub fn constant(&self, i: usize, what: &str) -> Result<Option<Literal>, String> {
        let Some(node) = self.args.get(i) else { return Ok(None) };
        self.printer.constant(node).map(Some).ok_or_else(|| self.refuse(&format!("{what} must be a constant")))
    }

    /// Why the call cannot be printed.
    pub fn refuse(&self, why: &str) -> String {
        self.printer.refuse(self.name, why)
    }

    pub fn all(&self) -> Result<Vec<String>, String> {
        (0..self.args.len()).map(|i| self.arg(i)).collect()
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}
