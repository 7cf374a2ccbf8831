//! Expressions: SQL text, checked and typed at load, evaluated a row at a time.
//!
//! An `Expr` that exists evaluates: every name is a slot, every type fits, and nothing at run time is an error, only NULL.
//!
//! # Types
//!
//! - Int, decimal and double mix, the narrower becoming the wider; int and decimal are compared and calculated exactly.
//! - `/` gives a decimal (six places, halves away from zero) unless a side is a double. `%` has the sign of the dividend.
//! - A datetime is compared with a datetime or an int of milliseconds; datetime - datetime is an int of milliseconds,
//!   datetime ± int a datetime.
//! - Strings are compared by bytes, and with strings only: `CAST` says what is meant.
//! - Overflow, division by zero and what `CAST` cannot convert are NULL. A double is always finite.
//! - The branches of CASE and the arguments of COALESCE agree in one type; NULL has any type.

mod call;
mod canonical;
mod cast;
mod change;
mod compared;
pub mod engine;
mod eval;
pub(crate) mod function;
mod like;
pub mod json;
mod lower;
pub mod marks;
mod measure;
pub(crate) mod node;
mod number;
pub mod print;
pub mod select;
mod source;
mod span;
#[cfg(test)]
mod tests;
mod text;
mod words;

use crate::limits::{RULE_DEPTH_MAX, RULE_NODES_MAX};
use crate::rows::Row;
use crate::time::Millis;
use crate::value::{Datum, Type, Value};
pub use measure::{Kept, Measured};
use node::{Extent, Node, What};
use std::fmt;
use std::sync::Arc;
use words::is_plain_name;
pub use words::{RESERVED, is_reserved, nearest};

/// Where strings made during evaluation live; the caller resets it between rows.
pub type Scratch = bumpalo::Bump;

/// A checked expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// The type of its value; `string` for what is always NULL.
    pub ty: Type,
    pub(crate) node: Node,
}

/// Who is in scope: the fields of an event, or the tags of a key.
pub trait Names {
    /// The slot and type of a name such as `category` or `properties.duration`.
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)>;

    /// Every name in scope, to find what a misspelt one was meant to be.
    fn known(&self) -> Vec<String>;

    /// What a name stands for, in messages: `unknown field: pirce`.
    fn noun(&self) -> &'static str {
        "field"
    }

    /// A hint for a name that is not in scope and close to none that is.
    fn unknown_name(&self, _name: &str) -> Option<String> {
        None
    }

    /// Whether calls of this name, in lower case, are aggregations over events here.
    fn is_aggregation(&self, _name: &str) -> bool {
        false
    }

    /// The names that stand inside an aggregation, where there can be one.
    fn events(&mut self) -> Option<&mut dyn Names> {
        None
    }

    /// What an aggregation at these bytes of the text is kept as.
    fn measure(&mut self, _measured: Measured, (offset, len): (usize, usize)) -> Result<Kept, ExprError> {
        let message = "an aggregation has no place here".to_string();
        Err(ExprError { offset, len, message, hint: None })
    }

    /// The rule of a segment; the error is message and hint.
    fn segment(&mut self, _code: &str) -> Result<Arc<Expr>, (String, Option<String>)> {
        let hint = "it stands in rules of segments only".to_string();
        Err(("in_segment() has no place here".to_string(), Some(hint)))
    }

    /// Message and hint for a call to a function that expressions do not have, where more is known than that.
    fn unknown_call(&self, _name: &str) -> Option<(String, String)> {
        None
    }
}

/// What is wrong with an expression, and where in its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExprError {
    /// In bytes from the start of the text.
    pub offset: usize,
    /// In bytes.
    pub len: usize,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset + 1, self.message)
    }
}

impl std::error::Error for ExprError {}

/// A call at the top of a text: `count(*)`, `sum(amount)`, `count(DISTINCT category)`.
#[derive(Clone, Debug)]
pub struct AggCall {
    /// In lower case.
    pub name: String,
    /// In bytes from the start of the text.
    pub name_offset: usize,
    pub args: Vec<Expr>,
    /// Where each argument begins, in bytes.
    pub arg_offsets: Vec<usize>,
    pub distinct: bool,
    /// `f(*)`: there are no arguments.
    pub star: bool,
}

/// Reads and checks one expression.
pub fn parse(text: &str, names: &mut dyn Names) -> Result<Expr, ExprError> {
    let tree = source::parse(text)?;
    lower::Lower::new(text, names).expr(tree)
}

/// Reads and checks a condition, in SQL or, where its first character that is no blank is `{`, in the
/// [JSON form](json).
pub fn condition(text: &str, names: &mut dyn Names) -> Result<Expr, ExprError> {
    if text.trim_start().starts_with('{') {
        return json_condition(text, names);
    }
    let expr = parse(text, names)?;
    if expr.ty != Type::Bool {
        let message = format!("a rule is a condition, not {}", expr.ty);
        let hint = Some("compare the value with another, as in age >= 18".to_string());
        return Err(ExprError { offset: 0, len: text.len(), message, hint });
    }
    bounded(expr, text)
}

/// Reads and checks a condition in the JSON form.
pub fn json_condition(text: &str, names: &mut dyn Names) -> Result<Expr, ExprError> {
    bounded(json::read(text, names)?, text)
}

/// Segments of segments are looked into each time, so their size and depth are bounded as a whole.
fn bounded(expr: Expr, text: &str) -> Result<Expr, ExprError> {
    let Extent { nodes, depth } = expr.node.extent();
    if nodes <= RULE_NODES_MAX && depth <= RULE_DEPTH_MAX {
        return Ok(expr);
    }
    let message = format!(
        "with all segments it names the rule has {nodes} parts in {depth} levels, more than {RULE_NODES_MAX} in {RULE_DEPTH_MAX}"
    );
    Err(ExprError { offset: 0, len: text.len(), message, hint: None })
}

/// Reads and checks a call whose name the caller knows; only its arguments are expressions.
pub fn parse_aggregation(text: &str, names: &mut dyn Names) -> Result<AggCall, ExprError> {
    let tree = source::parse(text)?;
    lower::Lower::new(text, names).aggregation(tree)
}

/// The name of the call that the whole text is, as it is written; `None` for anything else and for what cannot be read.
pub fn top_call(text: &str) -> Option<String> {
    source::top_call(&source::parse(text).ok()?).map(str::to_string)
}

/// The names of the functions that an expression may call, in lower case.
pub fn function_names() -> impl Iterator<Item = String> {
    function::FUNCTIONS
        .iter()
        .flat_map(|f| std::iter::once(f.name).chain(f.aliases.iter().copied()))
        .chain(["ago", "as_of", "cast"])
        .map(str::to_ascii_lowercase)
}

/// The value as another type, as CAST has it.
pub fn convert<'a>(value: Datum<'a>, to: Type, scratch: &'a Scratch) -> Datum<'a> {
    cast::cast(value, to, scratch)
}

impl Expr {
    /// The value for a row, or NULL. Strings made on the way live in `scratch`.
    pub fn eval<'a, R: Row>(&self, row: &'a R, scratch: &'a Scratch) -> Datum<'a> {
        if let What::Slot { slot, .. } = self.node.what {
            return row.datum(slot);
        }
        // A literal lives in the expression, which may not outlive the row: its text is copied.
        match eval::eval(&self.node, row, scratch) {
            Datum::Null => Datum::Null,
            Datum::Bool(b) => Datum::Bool(b),
            Datum::Int(n) => Datum::Int(n),
            Datum::Decimal(d) => Datum::Decimal(d),
            Datum::Double(x) => Datum::Double(x),
            Datum::Time(t) => Datum::Time(t),
            Datum::Str(s) => Datum::Str(scratch.alloc_str(s)),
            Datum::Json(json) => Datum::Json(scratch.alloc_str(json)),
        }
    }

    /// Whether the row passes as a filter: NULL is not true.
    pub fn is_true<R: Row>(&self, row: &R, scratch: &Scratch) -> bool {
        matches!(eval::eval(&self.node, row, scratch), Datum::Bool(true))
    }

    /// A whole number.
    pub fn int(n: i64) -> Expr {
        Expr { ty: Type::Int, node: Node::literal(node::Literal::Int(n)) }
    }

    /// Its value where that is the same for every row and at every instant, `Some(None)` for NULL; else `None`.
    pub fn constant(&self) -> Option<Option<Value>> {
        select::constant(&self.node).map(|literal| literal.datum().to_value())
    }

    /// The slot that it is and nothing more.
    pub fn slot(&self) -> Option<usize> {
        match self.node.what {
            What::Slot { slot, .. } => Some(slot),
            _ => None,
        }
    }

    /// Adds the slots it reads, each once.
    pub fn slots(&self, out: &mut Vec<usize>) {
        self.node.walk(&mut |node| {
            if let What::Slot { slot, .. } = node.what
                && !out.contains(&slot)
            {
                out.push(slot);
            }
        });
    }

    /// The segments that it names itself, each once, with their rules.
    pub fn segments(&self) -> Vec<(&str, &Arc<Expr>)> {
        let mut out: Vec<(&str, &Arc<Expr>)> = Vec::new();
        self.node.walk_own(&mut |node| {
            if let What::Segment { code, rule, .. } = &node.what
                && !out.iter().any(|(known, _)| *known == &**code)
            {
                out.push((code, rule));
            }
        });
        out
    }

    /// Adds the slots it reads itself, not by way of segments, each once.
    pub fn own_slots(&self, out: &mut Vec<usize>) {
        self.node.walk_own(&mut |node| {
            if let What::Slot { slot, .. } = node.what
                && !out.contains(&slot)
            {
                out.push(slot);
            }
        });
    }

    /// The text that all ways to write this expression share: blanks, comments, case of keywords and needless
    /// parentheses do not show.
    pub fn canonical(&self) -> String {
        canonical::text(&self.node)
    }

    /// The canonical text, in which a span before `as_of()` is written as one: `seen > ago('7d')`. It is read as the
    /// same expression.
    pub fn readable(&self) -> String {
        canonical::readable(&self.node)
    }

    /// The condition in its [JSON form](json).
    pub fn json(&self) -> String {
        json::write(&self.node)
    }

    /// The string constants that the field or tag in `slot` is compared with by `=`, `<>` or IN.
    pub fn texts_compared_with(&self, slot: usize) -> Vec<&str> {
        compared::texts(&self.node, slot)
    }

    pub fn uses_as_of(&self) -> bool {
        let mut found = false;
        self.node.walk(&mut |node| found |= matches!(node.what, What::AsOf));
        found
    }

    /// Whether the instants at which time alone changes it can be solved: every `as_of()` in it is compared,
    /// alone or within sums and differences. True without `as_of()`.
    pub fn is_solvable(&self) -> bool {
        change::solvable(&self.node)
    }

    /// The first instant after `after` at which time alone may change its value; for solvable expressions.
    pub fn next_change<R: Row>(&self, row: &R, after: Millis, scratch: &Scratch) -> Option<Millis> {
        change::next(&self.node, row, after, scratch)
    }

    /// The same value as a wider type, or between int and datetime; `None` where that would lose something.
    pub fn widened(self, to: Type) -> Option<Expr> {
        widens(self.node.ty, to).then(|| Expr { ty: to, node: self.node.widened(Some(to)) })
    }
}

/// The truth of a part of an expression that is a condition.
pub(crate) fn truth_of<R: Row>(node: &Node, row: &R, scratch: &Scratch) -> Option<bool> {
    match eval::eval(node, row, scratch) {
        Datum::Bool(b) => Some(b),
        _ => None,
    }
}

/// The text of a part of an expression, as `Expr::readable` has it.
pub(crate) fn readable(node: &Node) -> String {
    canonical::readable(node)
}

/// Whether a value of type `from` can stand where `to` is declared: int → decimal → double, datetime ↔ int.
pub fn widens(from: Option<Type>, to: Type) -> bool {
    match from {
        None => true,
        Some(from) if from == to => true,
        Some(from) => matches!(
            (from, to),
            (Type::Int, Type::Decimal | Type::Double | Type::Datetime)
                | (Type::Decimal, Type::Double)
                | (Type::Datetime, Type::Int)
        ),
    }
}
