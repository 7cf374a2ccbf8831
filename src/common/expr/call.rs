//! Calls: functions, casts and the constructs that SQL writes like functions.
//!
//! What ends up here and is neither is refused by its name.

use super::function::{Function, Rule};
use super::lower::{At, Lower, Lowered};
use super::node::{Node, What};
use super::{AggCall, Expr, ExprError, canonical, cast, function_names, nearest};
use crate::value::Type;
use sqlparser::ast::{
    self, BinaryOperator, CeilFloorKind, DataType, DuplicateTreatment, ExactNumberInfo, Expr as Sql, FunctionArg,
    FunctionArgExpr, FunctionArguments, ObjectNamePart, TrimWhereField,
};

/// An argument and where it stands.
type Arg = (Node, At);

/// The parts of a call as it is written.
struct Written {
    name: String,
    name_at: At,
    args: Vec<Sql>,
    distinct: bool,
    star: bool,
}

impl Lower<'_, '_> {
    pub(super) fn lower_call(&mut self, tree: Sql, at: At) -> Lowered {
        match tree {
            Sql::Function(call) => self.function(call, at),
            Sql::Cast { expr, data_type, format: None, .. } => self.cast(*expr, &data_type, at),
            Sql::Ceil { expr, field } => self.ceil_floor("CEIL", *expr, &field, at),
            Sql::Floor { expr, field } => self.ceil_floor("FLOOR", *expr, &field, at),
            Sql::Substring { expr, substring_from, substring_for, .. } => {
                let from = substring_from.map_or_else(|| Sql::value(ast::Value::Number("1".into(), false)), |e| *e);
                let args = [Some(*expr), Some(from), substring_for.map(|e| *e)].into_iter().flatten().collect();
                self.named("SUBSTRING", args, at)
            }
            Sql::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "LTRIM",
                    Some(TrimWhereField::Trailing) => "RTRIM",
                    Some(TrimWhereField::Both) | None => "TRIM",
                };
                let what = trim_what.map(|e| *e).into_iter().chain(trim_characters.into_iter().flatten());
                let args = std::iter::once(*expr).chain(what).collect();
                self.named(name, args, at)
            }
            other => Err(self.unsupported(&other, at)),
        }
    }

    pub(super) fn aggregate_call(&mut self, call: ast::Function, at: At) -> Result<AggCall, ExprError> {
        let written = self.written(call, at)?;
        let arg_offsets = written.args.iter().map(|arg| self.at(arg).0).collect();
        let args = written.args.into_iter().map(|arg| self.expr(arg)).collect::<Result<Vec<Expr>, _>>()?;
        Ok(AggCall {
            name: written.name.to_ascii_lowercase(),
            name_offset: written.name_at.0,
            args,
            arg_offsets,
            distinct: written.distinct,
            star: written.star,
        })
    }

    fn function(&mut self, call: ast::Function, at: At) -> Lowered {
        if let [ObjectNamePart::Identifier(name)] = &call.name.0[..]
            && self.names.is_aggregation(&name.value.to_ascii_lowercase())
        {
            return self.measure(call, at);
        }
        let written = self.written(call, at)?;
        if written.name.eq_ignore_ascii_case("as_of") && written.args.is_empty() && !written.star {
            return Ok(Node::of(What::AsOf, Type::Datetime));
        }
        let plain = !written.distinct && !written.star;
        if plain && written.name.eq_ignore_ascii_case("ago") {
            return self.ago(&written.args, written.name_at);
        }
        if plain && written.name.eq_ignore_ascii_case("in_segment") {
            return self.segment(&written.args, written.name_at);
        }
        let Some(function) = Function::find(&written.name) else {
            return Err(self.unknown_function(&written.name, written.name_at));
        };
        if written.distinct || written.star {
            let what = if written.star { "`*`" } else { "DISTINCT" };
            return Err(self.error(written.name_at, format!("`{}` takes no {what}", written.name)));
        }
        self.call(function, written.args, written.name_at)
    }

    fn unknown_function(&self, name: &str, at: At) -> ExprError {
        if let Some((message, hint)) = self.names.unknown_call(&name.to_ascii_lowercase()) {
            return self.hinted(at, message, hint);
        }
        let message = format!("unknown function: {name}");
        let clock = ["now", "current_timestamp", "localtimestamp", "current_date", "getdate", "sysdate"];
        if clock.contains(&name.to_ascii_lowercase().as_str()) {
            return self.hinted(at, message, "the instant of a value is as_of()");
        }
        let known: Vec<String> = function_names().collect();
        match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) => self.hinted(at, message, format!("did you mean {meant}?")),
            None => self.hinted(at, message, format!("functions are: {}", known.join(", "))),
        }
    }

    /// Takes a call apart and refuses the clauses that mean nothing here.
    fn written(&self, call: ast::Function, at: At) -> Result<Written, ExprError> {
        let [ObjectNamePart::Identifier(ident)] = &call.name.0[..] else {
            return Err(self.error(at, format!("unknown function: {}", call.name)));
        };
        let (name, name_at) = (ident.value.clone(), self.span(ident.span));
        let clause = match &call {
            c if c.over.is_some() => Some("OVER"),
            c if c.filter.is_some() => Some("FILTER"),
            c if !c.within_group.is_empty() => Some("WITHIN GROUP"),
            c if c.null_treatment.is_some() => Some("IGNORE NULLS"),
            c if c.uses_odbc_syntax || !matches!(c.parameters, FunctionArguments::None) => Some("this form of a call"),
            _ => None,
        };
        if let Some(clause) = clause {
            let hint = "a condition on events goes into `where`, a span of time into `window`";
            return Err(self.hinted(name_at, format!("not supported: {clause}"), hint));
        }
        let list = match call.args {
            FunctionArguments::List(list) => list,
            FunctionArguments::None => {
                ast::FunctionArgumentList { duplicate_treatment: None, args: vec![], clauses: vec![] }
            }
            FunctionArguments::Subquery(_) => return Err(self.error(name_at, "not supported: a subquery")),
        };
        if let Some(clause) = list.clauses.first() {
            return Err(self.error(name_at, format!("not supported inside a call: {clause}")));
        }
        let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        let mut written = Written { name, name_at, args: Vec::new(), distinct, star: false };
        for arg in list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(tree)) => written.args.push(tree),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => written.star = true,
                other => return Err(self.error(name_at, format!("not supported: the argument {other}"))),
            }
        }
        if written.star && !written.args.is_empty() {
            return Err(self.error(name_at, "`*` stands alone in a call"));
        }
        Ok(written)
    }

    fn named(&mut self, name: &str, args: Vec<Sql>, at: At) -> Lowered {
        let function = Function::find(name).expect("the name stands in the table");
        self.call(function, args, at)
    }

    fn call(&mut self, function: &'static Function, args: Vec<Sql>, at: At) -> Lowered {
        let (fewest, most) = function.arity;
        if args.len() < fewest || args.len() > most {
            return Err(self.error(at, arity_message(function, args.len())));
        }
        let args = args
            .into_iter()
            .map(|tree| {
                let at = self.at(&tree);
                Ok((self.lower(tree)?, at))
            })
            .collect::<Result<Vec<Arg>, ExprError>>()?;
        self.typed(function, args)
    }

    /// Applies the function's rule of types.
    fn typed(&mut self, function: &'static Function, args: Vec<Arg>) -> Lowered {
        let ty = match &function.rule {
            Rule::Fixed(params, result) => {
                for (i, (arg, at)) in args.iter().enumerate() {
                    let wanted = fixed_param(params, i);
                    if let Some(ty) = arg.ty.filter(|ty| *ty != wanted) {
                        return Err(self.wrong_argument(function, wanted.name(), wanted, ty, *at));
                    }
                }
                Some(*result)
            }
            Rule::Number => {
                for (i, (arg, at)) in args.iter().enumerate() {
                    let fits = |ty| ty == Type::Int || i == 0 && matches!(ty, Type::Decimal | Type::Double);
                    if let Some(ty) = arg.ty.filter(|ty| !fits(*ty)) {
                        let wanted = if i == 0 { ("number", Type::Decimal) } else { ("int", Type::Int) };
                        return Err(self.wrong_argument(function, wanted.0, wanted.1, ty, *at));
                    }
                }
                args[0].0.ty
            }
            Rule::Same => {
                let mut ty = None;
                for (arg, at) in &args {
                    ty = self.unify(ty, arg.ty, *at, "mix")?;
                }
                if let (Some(ty), Some((_, at))) = (ty.filter(|ty| ty.is_nested()), args.last())
                    && function.name != "COALESCE"
                {
                    return Err(self.no_order(ty, *at));
                }
                let args = args.into_iter().map(|(arg, _)| arg.widened(ty)).collect();
                return Ok(Node { what: What::Call { function, args }, ty });
            }
            Rule::First => {
                self.comparable(&args[0].0, &args[1].0, args[1].1)?;
                args[0].0.ty
            }
            Rule::Size => {
                self.nested(function, &args[0], "list or a map", |ty| ty.is_nested())?;
                Some(Type::Int)
            }
            Rule::Member => {
                self.nested(function, &args[0], "list", |ty| matches!(ty, Type::List(_)))?;
                if let (Some(Type::List(item)), Some(ty)) = (args[0].0.ty, args[1].0.ty) {
                    self.unify(Some(*item), Some(ty), args[1].1, "compare")?;
                }
                Some(Type::Bool)
            }
        };
        let args: Vec<Node> = args.into_iter().map(|(arg, _)| arg).collect();
        Ok(Node { what: What::Call { function, args }, ty })
    }

    /// Checks an argument that is a list or a map.
    fn nested(
        &self,
        function: &Function,
        (arg, at): &Arg,
        wanted: &str,
        fits: impl Fn(Type) -> bool,
    ) -> Result<(), ExprError> {
        match arg.ty.filter(|ty| !fits(*ty)) {
            Some(ty) => {
                let name = function.name.to_ascii_lowercase();
                Err(self.error(*at, format!("`{name}` takes a {wanted} here, not {ty}")))
            }
            None => Ok(()),
        }
    }

    fn wrong_argument(&self, function: &Function, wanted: &str, to: Type, found: Type, at: At) -> ExprError {
        let message = format!("`{}` takes a {wanted} here, not {found}", function.name.to_ascii_lowercase());
        let message = message.replace("takes a int", "takes an int");
        if cast::possible(found, to) {
            return self.hinted(at, message, format!("convert it: CAST(… AS {})", canonical::type_name(to)));
        }
        self.error(at, message)
    }

    /// `a || b || c` is one call, however long.
    pub(super) fn concat(&mut self, left: Sql, right: Sql) -> Lowered {
        let mut parts = vec![right];
        let mut rest = left;
        loop {
            match rest {
                Sql::BinaryOp { left, op: BinaryOperator::StringConcat, right } => {
                    parts.push(*right);
                    rest = *left;
                }
                first => {
                    parts.push(first);
                    break;
                }
            }
        }
        parts.reverse();
        let args = parts.into_iter().map(|part| self.string(part, "||")).collect::<Result<Vec<_>, _>>()?;
        let function = Function::find("CONCAT").expect("the name stands in the table");
        Ok(Node::of(What::Call { function, args }, Type::String))
    }

    fn ceil_floor(&mut self, name: &str, inner: Sql, field: &CeilFloorKind, at: At) -> Lowered {
        match field {
            CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => self.named(name, vec![inner], at),
            _ => Err(self.error(at, format!("`{}` takes 1 argument", name.to_ascii_lowercase()))),
        }
    }

    fn cast(&mut self, inner: Sql, data_type: &DataType, at: At) -> Lowered {
        let node = self.lower(inner)?;
        let Some(to) = cast_target(data_type) else {
            let hint = "types are BOOLEAN, BIGINT, DECIMAL (six places), DOUBLE, VARCHAR and TIMESTAMP";
            return Err(self.hinted(at, format!("cannot cast to {data_type}"), hint));
        };
        if let Some(from) = node.ty.filter(|from| !cast::possible(*from, to)) {
            let hint = match from.is_nested() {
                true => "a list or a map converts to VARCHAR, as JSON",
                false => "a datetime converts from and to BIGINT (milliseconds) and VARCHAR",
            };
            return Err(self.hinted(at, format!("cannot cast {from} to {to}"), hint));
        }
        Ok(Node::of(What::Cast { node: Box::new(node), implicit: false }, to))
    }

    fn unsupported(&self, tree: &Sql, at: At) -> ExprError {
        let (what, hint) = match tree {
            Sql::Subquery(_) | Sql::InSubquery { .. } | Sql::Exists { .. } => ("a subquery", None),
            Sql::ILike { .. } => ("ILIKE", Some("write LOWER(…) LIKE …")),
            Sql::Like { .. } => ("LIKE ANY", Some("write one LIKE for each pattern, joined by OR")),
            Sql::SimilarTo { .. } | Sql::RLike { .. } => ("a regular expression", Some("use LIKE")),
            Sql::IsDistinctFrom(..) | Sql::IsNotDistinctFrom(..) => {
                ("IS DISTINCT FROM", Some("compare, and test IS NULL"))
            }
            Sql::IsUnknown(_) | Sql::IsNotUnknown(_) => ("IS UNKNOWN", Some("write IS NULL")),
            Sql::Extract { .. } => ("EXTRACT", None),
            Sql::AtTimeZone { .. } => ("AT TIME ZONE", None),
            Sql::Position { .. } => ("POSITION", None),
            Sql::Overlay { .. } => ("OVERLAY", None),
            Sql::Collate { .. } => ("COLLATE", Some("strings are compared by bytes")),
            Sql::Convert { .. } => ("CONVERT", Some("write CAST(… AS …)")),
            Sql::Cast { .. } => ("CAST with FORMAT", None),
            Sql::Tuple(_) => ("a row of several values", None),
            Sql::Array(_) | Sql::InUnnest { .. } | Sql::AnyOp { .. } | Sql::AllOp { .. } => ("an array", None),
            Sql::JsonAccess { .. } | Sql::CompoundFieldAccess { .. } => {
                ("access by subscript", Some("write a path: properties.duration"))
            }
            Sql::Lambda(_) => ("a lambda", None),
            Sql::Wildcard(_) | Sql::QualifiedWildcard(..) => ("`*` outside count(*)", None),
            Sql::UnaryOp { op, .. } => return self.error(at, format!("not supported: the operator {op}")),
            _ => ("this construct", None),
        };
        match hint {
            Some(hint) => self.hinted(at, format!("not supported: {what}"), hint),
            None => self.error(at, format!("not supported: {what}")),
        }
    }
}

/// TRIM's second argument is text and SUBSTRING's third an int: the last type of the list stands for all that follow.
fn fixed_param(params: &[Type], i: usize) -> Type {
    params[i.min(params.len() - 1)]
}

fn arity_message(function: &Function, found: usize) -> String {
    let name = function.name.to_ascii_lowercase();
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    match function.arity {
        (n, usize::MAX) => format!("`{name}` takes at least {n} argument{}, not {found}", plural(n)),
        (n, m) if n == m => format!("`{name}` takes {n} argument{}, not {found}", plural(n)),
        (n, m) => format!("`{name}` takes {n} to {m} arguments, not {found}"),
    }
}

/// Lengths of texts and precisions are not kept, so only those that change nothing are accepted.
fn cast_target(data_type: &DataType) -> Option<Type> {
    use DataType as D;
    Some(match data_type {
        D::Bool | D::Boolean => Type::Bool,
        D::Int(None) | D::Integer(None) | D::BigInt(None) | D::Int64 | D::Int8(None) => Type::Int,
        D::Decimal(info) | D::Numeric(info) | D::Dec(info) if six_places(info) => Type::Decimal,
        D::Double(ExactNumberInfo::None) | D::DoublePrecision | D::Float64 | D::Float8 => Type::Double,
        D::Float(ExactNumberInfo::None) => Type::Double,
        D::Varchar(None) | D::Text | D::String(None) | D::CharacterVarying(None) | D::CharVarying(None) => Type::String,
        D::Timestamp(None, _) | D::Datetime(None) => Type::Datetime,
        _ => return None,
    })
}

fn six_places(info: &ExactNumberInfo) -> bool {
    matches!(info, ExactNumberInfo::None | ExactNumberInfo::PrecisionAndScale(_, 6))
}
