//! Nodes: the typed form of an expression, a plain tree.
//!
//! What is here has been checked: types fit, names are slots. Evaluation reads it, and so does a printer for another engine.

use super::Expr;
use super::function::Function;
use super::like::Pattern;
use crate::money::Decimal;
use crate::value::{Datum, Type};
use std::sync::Arc;

/// One node and the type of its value; `None` for what is always NULL.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub what: What,
    pub ty: Option<Type>,
}

/// What a node does.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Literal(Literal),
    /// A field of the event, or a tag.
    Slot {
        slot: usize,
        name: Box<str>,
        /// The aggregation that is written instead of a name.
        measure: Option<Box<Measure>>,
    },
    /// `in_segment('code')`: whether the rule of that segment is true, which has two values only.
    Segment {
        code: Box<str>,
        rule: Arc<Expr>,
        /// Of the rule.
        extent: Extent,
    },
    /// `as_of()`.
    AsOf,
    Compare(Comparison, Box<Node>, Box<Node>),
    /// Two parts or more.
    And(Vec<Node>),
    /// Two parts or more.
    Or(Vec<Node>),
    Not(Box<Node>),
    IsNull {
        node: Box<Node>,
        negated: bool,
    },
    /// `x IS [NOT] TRUE`, `x IS [NOT] FALSE`.
    IsBool {
        node: Box<Node>,
        value: bool,
        negated: bool,
    },
    In {
        node: Box<Node>,
        list: Vec<Node>,
        negated: bool,
    },
    Between {
        node: Box<Node>,
        low: Box<Node>,
        high: Box<Node>,
        negated: bool,
    },
    Like {
        node: Box<Node>,
        pattern: Box<Node>,
        escape: Option<char>,
        negated: bool,
        /// The pattern, made once where it is a literal.
        compiled: Option<Pattern>,
    },
    Arithmetic(Operator, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    /// With an operand each condition is compared with it.
    Case {
        operand: Option<Box<Node>>,
        branches: Vec<(Node, Node)>,
        otherwise: Option<Box<Node>>,
    },
    Call {
        function: &'static Function,
        args: Vec<Node>,
    },
    Cast {
        node: Box<Node>,
        /// Not written by anyone: two types met and this one gave way.
        implicit: bool,
    },
}

/// How large a tree is, with all rules that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub nodes: usize,
    pub depth: usize,
}

/// An aggregation as a part of a condition, each piece as its canonical text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Measure {
    /// `count(*)`
    pub call: String,
    /// Which events count; all of them without one.
    pub filter: Option<String>,
    /// How far back; the whole life without one.
    pub window: Option<String>,
}

impl Measure {
    /// `count(*) FILTER (WHERE category = 'sports') OVER (RANGE '7d' PRECEDING)`
    pub fn sql(&self) -> String {
        let mut out = self.call.clone();
        if let Some(filter) = &self.filter {
            out += &format!(" FILTER (WHERE {filter})");
        }
        if let Some(window) = &self.window {
            out += &format!(" OVER (RANGE '{window}' PRECEDING)");
        }
        out
    }
}

/// A constant; its type is its variant.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    Double(f64),
    Str(Box<str>),
    Time(i64),
}

impl Literal {
    /// A value as a constant; `None` for a list or a map, which nothing but events makes.
    pub fn of(datum: Datum<'_>) -> Option<Literal> {
        Some(match datum {
            Datum::Null => Literal::Null,
            Datum::Bool(b) => Literal::Bool(b),
            Datum::Int(n) => Literal::Int(n),
            Datum::Decimal(d) => Literal::Decimal(d),
            Datum::Double(x) => Literal::Double(x),
            Datum::Str(s) => Literal::Str(s.into()),
            Datum::Time(t) => Literal::Time(t),
            Datum::Json(_) => return None,
        })
    }

    pub fn datum(&self) -> Datum<'_> {
        match self {
            Literal::Null => Datum::Null,
            Literal::Bool(b) => Datum::Bool(*b),
            Literal::Int(n) => Datum::Int(*n),
            Literal::Decimal(d) => Datum::Decimal(*d),
            Literal::Double(x) => Datum::Double(*x),
            Literal::Str(s) => Datum::Str(s),
            Literal::Time(t) => Datum::Time(*t),
        }
    }

    pub fn ty(&self) -> Option<Type> {
        Some(match self {
            Literal::Null => return None,
            Literal::Bool(_) => Type::Bool,
            Literal::Int(_) => Type::Int,
            Literal::Decimal(_) => Type::Decimal,
            Literal::Double(_) => Type::Double,
            Literal::Str(_) => Type::String,
            Literal::Time(_) => Type::Datetime,
        })
    }
}

/// How two values are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Comparison {
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Eq => "=",
            Comparison::Ne => "<>",
            Comparison::Lt => "<",
            Comparison::Le => "<=",
            Comparison::Gt => ">",
            Comparison::Ge => ">=",
        }
    }
}

/// `+ - * / %`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

impl Operator {
    pub fn symbol(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Sub => "-",
            Operator::Mul => "*",
            Operator::Div => "/",
            Operator::Rem => "%",
        }
    }
}

impl Node {
    pub fn literal(literal: Literal) -> Node {
        Node { ty: literal.ty(), what: What::Literal(literal) }
    }

    pub fn of(what: What, ty: Type) -> Node {
        Node { what, ty: Some(ty) }
    }

    /// The same value as `ty`, where types meet; what is NULL or of that type already stays as it is.
    pub fn widened(self, ty: Option<Type>) -> Node {
        match (self.ty, ty) {
            (Some(from), Some(to)) if from != to => Node::of(What::Cast { node: Box::new(self), implicit: true }, to),
            _ => self,
        }
    }

    /// A literal that is not NULL.
    pub fn is_constant(&self) -> bool {
        matches!(&self.what, What::Literal(literal) if *literal != Literal::Null)
    }

    /// Calls `visit` with this node and all below it.
    pub fn walk(&self, visit: &mut dyn FnMut(&Node)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// The same, but not into the rules of segments.
    pub fn walk_own<'n>(&'n self, visit: &mut dyn FnMut(&'n Node)) {
        visit(self);
        if !matches!(self.what, What::Segment { .. }) {
            for child in self.children() {
                child.walk_own(visit);
            }
        }
    }

    pub fn extent(&self) -> Extent {
        if let What::Segment { extent, .. } = self.what {
            return Extent { nodes: extent.nodes.saturating_add(1), depth: extent.depth + 1 };
        }
        let mut all = Extent { nodes: 1, depth: 0 };
        for Extent { nodes, depth } in self.children().into_iter().map(Node::extent) {
            all = Extent { nodes: all.nodes.saturating_add(nodes), depth: all.depth.max(depth) };
        }
        Extent { depth: all.depth + 1, ..all }
    }

    /// The nodes right below, in the order they are written.
    pub fn children(&self) -> Vec<&Node> {
        match &self.what {
            What::Literal(_) | What::Slot { .. } | What::AsOf => Vec::new(),
            What::Segment { rule, .. } => vec![&rule.node],
            What::Not(node)
            | What::Negate(node)
            | What::IsNull { node, .. }
            | What::IsBool { node, .. }
            | What::Cast { node, .. } => vec![node],
            What::Compare(_, a, b) | What::Arithmetic(_, a, b) => vec![a, b],
            What::And(parts) | What::Or(parts) | What::Call { args: parts, .. } => parts.iter().collect(),
            What::In { node, list, .. } => std::iter::once(&**node).chain(list).collect(),
            What::Between { node, low, high, .. } => vec![node, low, high],
            What::Like { node, pattern, .. } => vec![node, pattern],
            What::Case { operand, branches, otherwise } => operand
                .as_deref()
                .into_iter()
                .chain(branches.iter().flat_map(|(when, then)| [when, then]))
                .chain(otherwise.as_deref())
                .collect(),
        }
    }
}
