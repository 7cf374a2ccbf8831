//! Lowering: sqlparser's tree to typed nodes.
//!
//! Every check of names, types and depth happens here, each error with its place. What is not lowered is refused by its name.

use super::node::{Comparison, Literal, Node, Operator, What};
use super::source::{Places, too_deep};
use super::{AggCall, Expr, ExprError, Names, cast, like, nearest};
use crate::limits::EXPR_DEPTH_MAX;
use crate::money::{Decimal, DecimalError};
use crate::value::Type;
use sqlparser::ast::{self, BinaryOperator, Expr as Sql, Ident, Spanned, UnaryOperator};

pub(super) type Lowered = Result<Node, ExprError>;

pub(super) struct Lower<'t, 'n> {
    text: &'t str,
    places: Places<'t>,
    pub(super) names: &'n mut dyn Names,
    depth: usize,
}

/// Where in the text: offset and length in bytes.
pub(super) type At = (usize, usize);

impl<'t, 'n> Lower<'t, 'n> {
    pub fn new(text: &'t str, names: &'n mut dyn Names) -> Lower<'t, 'n> {
        Lower { text, places: Places::new(text), names, depth: 0 }
    }

    /// Goes on where another stands, with other names.
    pub(super) fn at_depth(self, depth: usize) -> Lower<'t, 'n> {
        Lower { depth, ..self }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub fn expr(&mut self, tree: Sql) -> Result<Expr, ExprError> {
        let node = self.lower(tree)?;
        Ok(Expr { ty: node.ty.unwrap_or(Type::String), node })
    }

    pub fn aggregation(&mut self, tree: Sql) -> Result<AggCall, ExprError> {
        let at = self.at(&tree);
        match tree {
            Sql::Nested(inner) => self.aggregation(*inner),
            Sql::Function(call) => self.aggregate_call(call, at),
            _ => Err(self.error(at, "expected a call such as `count(*)` or `sum(amount)`")),
        }
    }

    pub(super) fn lower(&mut self, tree: Sql) -> Lowered {
        if self.depth >= EXPR_DEPTH_MAX {
            let at = self.at(&tree);
            return Err(too_deep(at.0, at.1));
        }
        self.depth += 1;
        let node = self.lower_any(tree);
        self.depth -= 1;
        node
    }

    fn lower_any(&mut self, tree: Sql) -> Lowered {
        let at = self.at(&tree);
        match tree {
            // Parentheses are not a level of their own.
            Sql::Nested(inner) => self.lower_any(*inner),
            Sql::Identifier(name) => self.name(&[name], at),
            Sql::CompoundIdentifier(names) => self.name(&names, at),
            Sql::Value(value) => Ok(Node::literal(self.literal(value.value, at)?)),
            Sql::TypedString(typed) => self.typed_string(typed, at),
            Sql::BinaryOp { left, op, right } => self.binary(*left, op, *right, at),
            Sql::UnaryOp { op: UnaryOperator::Not, expr } => {
                let node = self.condition(*expr, "NOT")?;
                Ok(Node::of(What::Not(Box::new(node)), Type::Bool))
            }
            Sql::UnaryOp { op: UnaryOperator::Minus, expr } => self.minus(*expr, at),
            Sql::UnaryOp { op: UnaryOperator::Plus, expr } => self.number(*expr, "+"),
            Sql::IsNull(e) => self.is_null(*e, false),
            Sql::IsNotNull(e) => self.is_null(*e, true),
            Sql::IsTrue(e) => self.is_bool(*e, true, false),
            Sql::IsNotTrue(e) => self.is_bool(*e, true, true),
            Sql::IsFalse(e) => self.is_bool(*e, false, false),
            Sql::IsNotFalse(e) => self.is_bool(*e, false, true),
            Sql::InList { expr, list, negated } => self.in_list(*expr, list, negated, at),
            Sql::Between { expr, negated, low, high } => self.between(*expr, *low, *high, negated),
            Sql::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(*expr, *pattern, escape_char, negated)
            }
            Sql::Case { operand, conditions, else_result, .. } => self.case(operand, conditions, else_result),
            Sql::Interval(interval) => Ok(Node::literal(Literal::Int(self.interval(&interval, at)?))),
            other => self.lower_call(other, at),
        }
    }

    pub(super) fn at(&self, tree: &Sql) -> At {
        match tree {
            // A left-deep chain would be walked to its end at every level.
            Sql::BinaryOp { right, .. } => self.places.span(right.span()),
            other => self.places.span(other.span()),
        }
    }

    pub(super) fn span(&self, span: sqlparser::tokenizer::Span) -> At {
        self.places.span(span)
    }

    pub(super) fn error(&self, (offset, len): At, message: impl Into<String>) -> ExprError {
        ExprError { offset: offset.min(self.text.len()), len, message: message.into(), hint: None }
    }

    pub(super) fn hinted(&self, at: At, message: impl Into<String>, hint: impl Into<String>) -> ExprError {
        ExprError { hint: Some(hint.into()), ..self.error(at, message) }
    }

    fn name(&mut self, parts: &[Ident], at: At) -> Lowered {
        let name = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        if let Some((slot, ty)) = self.names.resolve(&name) {
            return Ok(Node::of(What::Slot { slot, name: name.into(), measure: None }, ty));
        }
        let message = format!("unknown {}: {name}", self.names.noun());
        let known = self.names.known();
        if let Some(meant) = nearest(&name, known.iter().map(String::as_str)) {
            return Err(self.hinted(at, message, format!("did you mean {meant}?")));
        }
        if parts.iter().any(|part| part.quote_style == Some('"')) {
            return Err(self.hinted(at, message, format!("a text takes single quotes: '{name}'")));
        }
        match self.names.unknown_name(&name) {
            Some(hint) => Err(self.hinted(at, message, hint)),
            None => Err(self.error(at, message)),
        }
    }

    fn literal(&self, value: ast::Value, at: At) -> Result<Literal, ExprError> {
        Ok(match value {
            ast::Value::Null => Literal::Null,
            ast::Value::Boolean(b) => Literal::Bool(b),
            ast::Value::SingleQuotedString(s) => Literal::Str(s.into()),
            ast::Value::Number(digits, false) => self.number_literal(&digits, at)?,
            other => return Err(self.error(at, format!("not supported: the literal {other}"))),
        })
    }

    fn number_literal(&self, digits: &str, at: At) -> Result<Literal, ExprError> {
        if digits.contains(['e', 'E']) {
            let value: f64 = digits.parse().map_err(|_| self.error(at, format!("not a number: {digits}")))?;
            return if value.is_finite() {
                Ok(Literal::Double(value))
            } else {
                Err(self.error(at, format!("number out of range: {digits}")))
            };
        }
        let (negative, unsigned) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let whole = match whole.trim_start_matches('0') {
            "" => "0",
            rest => rest,
        };
        if !unsigned.contains('.')
            && let Ok(n) = format!("{negative}{whole}").parse()
        {
            return Ok(Literal::Int(n));
        }
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        match Decimal::parse(&format!("{negative}{whole}.{fraction}")) {
            Ok(d) => Ok(Literal::Decimal(d)),
            Err(DecimalError::Places) => {
                let hint = "a decimal is exact and has six places; write a double as 1.25e-7";
                Err(self.hinted(at, format!("more than 6 decimal places: {digits}"), hint))
            }
            Err(_) => Err(self.error(at, format!("number out of range: {digits}"))),
        }
    }

    /// `TIMESTAMP '2026-11-20 10:00:00'`, `DATE '2026-11-20'`, in UTC.
    fn typed_string(&mut self, typed: ast::TypedString, at: At) -> Lowered {
        use ast::DataType::{Date, Datetime, Timestamp};
        if !matches!(typed.data_type, Date | Datetime(None) | Timestamp(None, _)) {
            return Err(self.error(at, format!("not supported: {} '…'", typed.data_type)));
        }
        let text = typed.value.value.into_string().unwrap_or_default();
        match cast::instant(&text) {
            Some(t) => Ok(Node::literal(Literal::Time(t))),
            None => Err(self.hinted(at, format!("not an instant: {text}"), "write 2026-11-20T10:00:00Z or 2026-11-20")),
        }
    }

    /// A number with its sign is one literal, so that the smallest int can be written.
    fn minus(&mut self, inner: Sql, at: At) -> Lowered {
        if let Sql::Value(ast::ValueWithSpan { value: ast::Value::Number(digits, false), .. }) = &inner {
            return Ok(Node::literal(self.number_literal(&format!("-{digits}"), at)?));
        }
        let node = self.number(inner, "-")?;
        Ok(Node { ty: node.ty, what: What::Negate(Box::new(node)) })
    }

    fn number(&mut self, inner: Sql, operator: &str) -> Lowered {
        let at = self.at(&inner);
        let node = self.lower(inner)?;
        match node.ty {
            None | Some(Type::Int | Type::Decimal | Type::Double) => Ok(node),
            Some(other) => Err(self.error(at, format!("`{operator}` takes a number, not {other}"))),
        }
    }

    /// Something that is true, false or NULL, for `what`.
    pub(super) fn condition(&mut self, tree: Sql, what: &str) -> Lowered {
        let at = self.at(&tree);
        let node = self.lower(tree)?;
        match node.ty {
            None | Some(Type::Bool) => Ok(node),
            Some(other) => Err(self.error(at, format!("`{what}` takes a condition, not {other}"))),
        }
    }

    fn binary(&mut self, left: Sql, op: BinaryOperator, right: Sql, at: At) -> Lowered {
        use BinaryOperator as B;
        match op {
            B::And | B::Or => self.logic(left, op, right),
            B::Eq => self.compare(Comparison::Eq, left, right),
            B::NotEq => self.compare(Comparison::Ne, left, right),
            B::Lt => self.compare(Comparison::Lt, left, right),
            B::LtEq => self.compare(Comparison::Le, left, right),
            B::Gt => self.compare(Comparison::Gt, left, right),
            B::GtEq => self.compare(Comparison::Ge, left, right),
            B::Plus => self.arithmetic(Operator::Add, left, right),
            B::Minus => self.arithmetic(Operator::Sub, left, right),
            B::Multiply => self.arithmetic(Operator::Mul, left, right),
            B::Divide => self.arithmetic(Operator::Div, left, right),
            B::Modulo => self.arithmetic(Operator::Rem, left, right),
            B::StringConcat => self.concat(left, right),
            other => Err(self.error(at, format!("not supported: the operator {other}"))),
        }
    }

    /// A chain of ANDs, or of ORs, is one node however long: taken apart from the right without recursion.
    fn logic(&mut self, left: Sql, op: BinaryOperator, right: Sql) -> Lowered {
        let mut parts = vec![right];
        let mut rest = left;
        loop {
            match rest {
                Sql::BinaryOp { left, op: other, right } if other == op => {
                    parts.push(*right);
                    rest = *left;
                }
                first => {
                    parts.push(first);
                    break;
                }
            }
        }
        let word = op.to_string();
        let parts = parts.into_iter().rev().map(|part| self.condition(part, &word)).collect::<Result<Vec<_>, _>>()?;
        let what = if op == BinaryOperator::And { What::And(parts) } else { What::Or(parts) };
        Ok(Node::of(what, Type::Bool))
    }

    fn compare(&mut self, comparison: Comparison, left: Sql, right: Sql) -> Lowered {
        let at = self.at(&right);
        let (a, b) = (self.lower(left)?, self.lower(right)?);
        self.comparable(&a, &b, at)?;
        Ok(Node::of(What::Compare(comparison, Box::new(a), Box::new(b)), Type::Bool))
    }

    pub(super) fn comparable(&self, a: &Node, b: &Node, at: At) -> Result<(), ExprError> {
        match self.unify(a.ty, b.ty, at, "compare")? {
            Some(ty) if ty.is_nested() => Err(self.no_order(ty, at)),
            _ => Ok(()),
        }
    }

    /// Lists and maps are looked into, not compared.
    pub(super) fn no_order(&self, ty: Type, at: At) -> ExprError {
        let hint = "len(x) tells how many there are, contains(list, value) whether one is among them";
        self.hinted(at, format!("cannot compare {ty} with {ty}"), hint)
    }

    /// The one type that both can have.
    pub(super) fn unify(
        &self,
        a: Option<Type>,
        b: Option<Type>,
        at: At,
        verb: &str,
    ) -> Result<Option<Type>, ExprError> {
        let (Some(a), Some(b)) = (a, b) else { return Ok(a.or(b)) };
        match common(a, b) {
            Some(ty) => Ok(Some(ty)),
            None => Err(self.hinted(at, format!("cannot {verb} {a} with {b}"), cast_hint(a, b))),
        }
    }

    fn arithmetic(&mut self, operator: Operator, left: Sql, right: Sql) -> Lowered {
        let at = self.at(&right);
        let (a, b) = (self.lower(left)?, self.lower(right)?);
        let Some(ty) = arithmetic_type(operator, a.ty, b.ty) else {
            let name = |ty: Option<Type>| ty.map_or("NULL", Type::name);
            let message = format!("cannot calculate {} {} {}", name(a.ty), operator.symbol(), name(b.ty));
            return Err(match (a.ty, b.ty) {
                (Some(Type::String), _) | (_, Some(Type::String)) if operator == Operator::Add => {
                    self.hinted(at, message, "texts are joined by ||")
                }
                (Some(a), Some(b)) => self.hinted(at, message, cast_hint(a, b)),
                _ => self.error(at, message),
            });
        };
        Ok(Node { what: What::Arithmetic(operator, Box::new(a), Box::new(b)), ty })
    }

    fn is_null(&mut self, inner: Sql, negated: bool) -> Lowered {
        let node = Box::new(self.lower(inner)?);
        Ok(Node::of(What::IsNull { node, negated }, Type::Bool))
    }

    fn is_bool(&mut self, inner: Sql, value: bool, negated: bool) -> Lowered {
        let node = Box::new(self.condition(inner, if value { "IS TRUE" } else { "IS FALSE" })?);
        Ok(Node::of(What::IsBool { node, value, negated }, Type::Bool))
    }

    fn in_list(&mut self, inner: Sql, list: Vec<Sql>, negated: bool, at: At) -> Lowered {
        if list.is_empty() {
            return Err(self.error(at, "`IN` takes at least one value"));
        }
        let node = Box::new(self.lower(inner)?);
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let at = self.at(&item);
            let item = self.lower(item)?;
            self.comparable(&node, &item, at)?;
            items.push(item);
        }
        Ok(Node::of(What::In { node, list: items, negated }, Type::Bool))
    }

    fn between(&mut self, inner: Sql, low: Sql, high: Sql, negated: bool) -> Lowered {
        let (low_at, high_at) = (self.at(&low), self.at(&high));
        let (node, low, high) = (self.lower(inner)?, self.lower(low)?, self.lower(high)?);
        self.comparable(&node, &low, low_at)?;
        self.comparable(&node, &high, high_at)?;
        let what = What::Between { node: Box::new(node), low: Box::new(low), high: Box::new(high), negated };
        Ok(Node::of(what, Type::Bool))
    }

    fn like(&mut self, inner: Sql, pattern: Sql, escape: Option<Box<Sql>>, negated: bool) -> Lowered {
        let pattern_at = self.at(&pattern);
        let (node, pattern) = (self.string(inner, "LIKE")?, self.string(pattern, "LIKE")?);
        let escape = escape.map(|escape| self.escape(*escape)).transpose()?;
        let compiled = match &pattern.what {
            What::Literal(Literal::Str(text)) => match like::Pattern::new(text, escape) {
                Some(compiled) => Some(compiled),
                None => return Err(self.error(pattern_at, "the pattern ends in its escape character")),
            },
            _ => None,
        };
        let what = What::Like { node: Box::new(node), pattern: Box::new(pattern), escape, negated, compiled };
        Ok(Node::of(what, Type::Bool))
    }

    fn escape(&mut self, tree: Sql) -> Result<char, ExprError> {
        let at = self.at(&tree);
        if let Sql::Value(value) = tree
            && let ast::Value::SingleQuotedString(text) = value.value
        {
            let mut chars = text.chars();
            if let (Some(c), None) = (chars.next(), chars.next()) {
                return Ok(c);
            }
        }
        Err(self.error(at, "`ESCAPE` takes one character"))
    }

    pub(super) fn string(&mut self, tree: Sql, what: &str) -> Lowered {
        let at = self.at(&tree);
        let node = self.lower(tree)?;
        match node.ty {
            None | Some(Type::String) => Ok(node),
            Some(other) => {
                let hint = "convert it: CAST(… AS VARCHAR)";
                Err(self.hinted(at, format!("`{what}` takes a string, not {other}"), hint))
            }
        }
    }

    fn case(
        &mut self,
        operand: Option<Box<Sql>>,
        conditions: Vec<ast::CaseWhen>,
        otherwise: Option<Box<Sql>>,
    ) -> Lowered {
        let operand = operand.map(|tree| self.lower(*tree)).transpose()?.map(Box::new);
        let mut branches = Vec::with_capacity(conditions.len());
        let mut ty = None;
        for ast::CaseWhen { condition, result } in conditions {
            let (at, result_at) = (self.at(&condition), self.at(&result));
            let when = match &operand {
                None => self.condition(condition, "WHEN")?,
                Some(operand) => {
                    let when = self.lower(condition)?;
                    self.comparable(operand, &when, at)?;
                    when
                }
            };
            let then = self.lower(result)?;
            ty = self.unify(ty, then.ty, result_at, "mix")?;
            branches.push((when, then));
        }
        let otherwise = match otherwise {
            None => None,
            Some(tree) => {
                let at = self.at(&tree);
                let node = self.lower(*tree)?;
                ty = self.unify(ty, node.ty, at, "mix")?;
                Some(Box::new(node.widened(ty)))
            }
        };
        let branches = branches.into_iter().map(|(when, then)| (when, then.widened(ty))).collect();
        Ok(Node { what: What::Case { operand, branches, otherwise }, ty })
    }
}

/// The type in which two types meet.
pub(super) fn common(a: Type, b: Type) -> Option<Type> {
    use Type::{Datetime, Decimal, Double, Int};
    Some(match (a, b) {
        (a, b) if a == b => a,
        (Int, Decimal) | (Decimal, Int) => Decimal,
        (Int | Decimal, Double) | (Double, Int | Decimal) => Double,
        (Int, Datetime) | (Datetime, Int) => Datetime,
        _ => return None,
    })
}

/// The type of a calculation, `Some(None)` for what is always NULL; `None` where there is no such calculation.
fn arithmetic_type(operator: Operator, a: Option<Type>, b: Option<Type>) -> Option<Option<Type>> {
    use Type::{Datetime, Decimal, Double, Int};
    let (Some(a), Some(b)) = (a, b) else {
        let fits = matches!(a.or(b), None | Some(Int | Decimal | Double | Datetime));
        // With one side NULL the value is NULL, of the other side's type.
        return fits.then_some(a.or(b));
    };
    Some(Some(match (a, b) {
        (Datetime, Datetime) if operator == Operator::Sub => Int,
        (Datetime, Int) if matches!(operator, Operator::Add | Operator::Sub) => Datetime,
        (Int, Datetime) if operator == Operator::Add => Datetime,
        (Int, Int) if operator == Operator::Div => Decimal,
        (Int | Decimal | Double, Int | Decimal | Double) => common(a, b)?,
        _ => return None,
    }))
}

fn cast_hint(a: Type, b: Type) -> String {
    let to = if a == Type::String { b } else { a };
    match (a, b) {
        (Type::String, _) | (_, Type::String) => {
            format!("convert one side: CAST(… AS {})", super::canonical::type_name(to))
        }
        _ => "convert one side with CAST".to_string(),
    }
}
