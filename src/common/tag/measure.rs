//! Measures: the calls of aggregations, checked, and the hidden tags that behaviour in a rule is kept as.
//!
//! A hidden tag has a code of its meaning, so all rules that say the same share one. Codes that begin with `_` are
//! theirs alone.

use super::fingerprint;
use super::window;
use super::{Aggregation, Entity, Kind, Tag, TagQuality, Update};
use crate::agg::{self, Form, Function, KEEP};
use crate::expr::{AggCall, Expr, ExprError, Measured};
use crate::pane::Window;
use crate::patch::HIDDEN;
use crate::rows::Projection;
use crate::value::Type;
use sha2::{Digest, Sha256};

/// A call whose constants are in the form that partials take.
pub(super) struct Called {
    pub function: Function,
    pub ty: Type,
    /// Of what decays.
    pub own_window: Option<Window>,
}

/// Checks a call and puts its constants into form. `by`: whether there is one aggregate for each value of something.
pub(super) fn called(call: &mut AggCall, by: bool) -> Result<Called, ExprError> {
    let at_name = |message: String| error(call.name_offset, call.name.len(), message);
    let function = if call.distinct { format!("{}_distinct", call.name) } else { call.name.clone() };
    if !agg::NAMES.contains(&function.as_str()) {
        return Err(at_name(format!("`{}` takes no DISTINCT", call.name)));
    }
    if call.star && function != "count" {
        return Err(at_name(format!("`{}` takes no `*`", call.name)));
    }
    if function == "count" && !call.star && call.args.is_empty() {
        let hint = Some("count(*) counts every event".to_string());
        return Err(ExprError { hint, ..at_name("`count` takes 1 argument".to_string()) });
    }
    let function = Function::from_name(&function).expect("the name stands in the registry");
    let constants = constants(function, call)?;
    let types: Vec<Type> = call.args.iter().map(|arg| arg.ty).collect();
    let ty = Form { function, by }.result_type(&types).map_err(|why| {
        let message = format!("`{}` {why}", function.name());
        match call.arg_offsets.first() {
            Some(at) => error(*at, 1, message),
            None => error(call.name_offset, call.name.len(), message),
        }
    })?;
    Ok(Called { function, ty, own_window: function.own_window(&constants) })
}

/// The constants of a call, which are written back as whole numbers.
fn constants(function: Function, call: &mut AggCall) -> Result<Vec<i64>, ExprError> {
    let mut constants = Vec::new();
    let places = call.args.iter_mut().zip(&call.arg_offsets).skip(1);
    for ((arg, offset), constant) in places.zip(function.constants()) {
        let read = match arg.constant() {
            Some(found) => constant.read(found.as_ref()),
            None => Err((format!("{constant} is the same for every event, not an expression over it"), "")),
        };
        let n = read.map_err(|(why, hint)| {
            let hint = (!hint.is_empty()).then(|| hint.to_string());
            ExprError { hint, ..error(*offset, 1, why) }
        })?;
        constants.push(n);
        *arg = Expr::int(n);
    }
    Ok(constants)
}

/// An aggregation in a rule, and what it is kept as where nothing is kept yet.
pub(super) struct Made {
    pub tag: Tag,
    /// The window in its one form.
    pub window: Option<String>,
}

/// Makes the hidden tag of an aggregation in a rule on users. `line`: where the rule stands in the file.
pub(super) fn hidden(
    mut measured: Measured,
    at: (usize, usize),
    projection: &Projection,
    user: &Entity,
    line: usize,
) -> Result<Made, ExprError> {
    let wrong = |message: &str, hint: &str| ExprError { hint: Some(hint.into()), ..error(at.0, at.1, message) };
    let name = measured.call.canonical();
    if measured.call.args.iter().chain(&measured.filter).any(Expr::uses_as_of) {
        return Err(wrong(
            "as_of() inside an aggregation",
            "an aggregation sees one event, not the instant it is looked at; use OVER (RANGE '7d' PRECEDING)",
        ));
    }
    let Called { function, ty, own_window } = called(&mut measured.call, false)?;
    let window = match &measured.window {
        None => own_window,
        Some((_, offset, len)) if own_window.is_some() => {
            let message = format!("`{}` has no window", function.name());
            let hint = Some("its half-life says how far back it looks".to_string());
            return Err(ExprError { hint, ..error(*offset, *len, message) });
        }
        Some((text, offset, len)) => Some(
            window::plain(text)
                .map_err(|(message, hint)| ExprError { hint: Some(hint), ..error(*offset, *len, message) })?,
        ),
    };
    let shown = measured.window.as_ref().and(window).map(|window| window.to_string());
    let Measured { call, filter, .. } = measured;
    let aggregation = Aggregation { function, args: call.args, by: None, keep: KEEP, filter, window };
    let meaning = fingerprint::meaning(&aggregation, projection, user);
    let filter = aggregation.filter.as_ref().map(|filter| format!(" where {}", filter.canonical()));
    let in_window = shown.as_ref().map(|window| format!(" in {window}"));
    let tag = Tag {
        code: code(&meaning).into(),
        entity: 0,
        name: format!("{name}{}{}", filter.unwrap_or_default(), in_window.unwrap_or_default()),
        description: None,
        owner: None,
        ty,
        update: Update::Realtime,
        fingerprint: fingerprint::hash(&meaning),
        kind: Kind::Aggregation(aggregation),
        quality: TagQuality::default(),
        line,
    };
    Ok(Made { tag, window: shown })
}

/// `_` and twelve hex digits.
fn code(meaning: &str) -> String {
    format!("{HIDDEN}{}", super::hex12(Sha256::new().chain_update(meaning)))
}

/// The tag that keeps the same already: by the same path, of the same type.
pub(super) fn kept_as(made: &Tag, tags: &[Tag]) -> Option<usize> {
    tags.iter().position(|tag| is_same(made, tag))
}

/// Whether a tag keeps what another is to keep.
pub(super) fn is_same(made: &Tag, tag: &Tag) -> bool {
    let aggregation = matches!(tag.kind, Kind::Aggregation(_));
    aggregation
        && tag.fingerprint == made.fingerprint
        && (tag.entity, tag.update, tag.ty) == (made.entity, made.update, made.ty)
}

fn error(offset: usize, len: usize, message: impl Into<String>) -> ExprError {
    ExprError { offset, len, message: message.into(), hint: None }
}
