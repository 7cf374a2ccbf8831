//! Measures: an aggregation over events as a value in a condition, and segments that a condition names.
//!
//! `count(*) FILTER (WHERE category = 'sports') OVER (RANGE '7d' PRECEDING) >= 3`. What stands inside the aggregation
//! sees one event; whoever reads the condition says what the whole of it is kept as.

use super::lower::{At, Lower, Lowered};
use super::node::{Measure, Node, What};
use super::{AggCall, Expr, ExprError, source};
use crate::time::show_span;
use crate::value::Type;
use sqlparser::ast::{self, Expr as Sql, WindowFrameBound, WindowFrameUnits, WindowType};

/// An aggregation as it stands in a condition.
#[derive(Clone, Debug)]
pub struct Measured {
    pub call: AggCall,
    /// Which events count.
    pub filter: Option<Expr>,
    /// How far back, as the `window` of a tag has it: a span or words of the calendar, and where it stands.
    pub window: Option<(String, usize, usize)>,
}

/// What an aggregation is kept as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    pub slot: usize,
    pub ty: Type,
    pub code: String,
    /// The window in its one form.
    pub window: Option<String>,
}

const FRAME: &str = "write OVER (RANGE '7d' PRECEDING); without OVER it is the whole life of the user";

impl Lower<'_, '_> {
    /// Lowers a call that the names take for an aggregation.
    pub(super) fn measure(&mut self, mut call: ast::Function, at: At) -> Lowered {
        let window = call.over.take().map(|over| self.frame(over, at)).transpose()?;
        let filter = call.filter.take();
        let (text, depth) = (self.text(), self.depth());
        let none = self.error(at, "an aggregation has no place here");
        let Some(events) = self.names.events() else { return Err(none) };
        let mut inner = Lower::new(text, events).at_depth(depth);
        let call = inner.aggregate_call(call, at)?;
        let filter = match filter {
            None => None,
            Some(tree) => {
                let node = inner.condition(*tree, "FILTER")?;
                Some(Expr { ty: Type::Bool, node })
            }
        };
        let mut written =
            Measure { call: call.canonical(), filter: filter.as_ref().map(Expr::canonical), window: None };
        let Kept { slot, ty, code, window } = self.names.measure(Measured { call, filter, window }, at)?;
        written.window = window;
        Ok(Node::of(What::Slot { slot, name: code.into(), measure: Some(Box::new(written)) }, ty))
    }

    /// The window of `OVER (RANGE '7d' PRECEDING)`, or of `RANGE BETWEEN '7d' PRECEDING AND CURRENT ROW`.
    fn frame(&self, over: WindowType, at: At) -> Result<(String, usize, usize), ExprError> {
        let other = || self.hinted(at, "not a window of an aggregation", FRAME);
        let WindowType::WindowSpec(spec) = over else { return Err(other()) };
        let Some(frame) = spec.window_frame else { return Err(other()) };
        let to_now = matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow));
        let plain = spec.window_name.is_none() && spec.partition_by.is_empty() && spec.order_by.is_empty();
        if frame.units != WindowFrameUnits::Range || !to_now || !plain {
            return Err(other());
        }
        let WindowFrameBound::Preceding(Some(bound)) = frame.start_bound else { return Err(other()) };
        let Sql::Interval(interval) = &*bound else { return Err(other()) };
        let place = self.at(&interval.value);
        // The parser takes a bare text for an interval too.
        let before = self.text()[..place.0.min(self.text().len())].trim_end();
        let is_interval = before.len() >= 8
            && before.is_char_boundary(before.len() - 8)
            && before[before.len() - 8..].eq_ignore_ascii_case("interval");
        if is_interval || interval.leading_field.is_some() {
            let span = self.interval(interval, place)?;
            return if span > 0 { Ok((show_span(span), place.0, place.1)) } else { Err(other()) };
        }
        let text = source::constant_text(&interval.value).ok_or_else(other)?;
        Ok((text.to_string(), place.0, place.1))
    }

    /// `in_segment('code')`.
    pub(super) fn segment(&mut self, args: &[Sql], at: At) -> Lowered {
        let [arg] = args else {
            return Err(self.hinted(at, "`in_segment` takes one code", "write in_segment('sports_fans')"));
        };
        let place = self.at(arg);
        let Some(code) = source::constant_text(arg).map(str::to_string) else {
            return Err(self.hinted(place, "`in_segment` takes a code", "write in_segment('sports_fans')"));
        };
        match self.names.segment(&code) {
            Ok(rule) => {
                let extent = rule.node.extent();
                Ok(Node::of(What::Segment { code: code.into(), rule, extent }, Type::Bool))
            }
            Err((message, Some(hint))) => Err(self.hinted(place, message, hint)),
            Err((message, None)) => Err(self.error(place, message)),
        }
    }
}

impl AggCall {
    /// The call as its canonical text: `count(DISTINCT category)`.
    pub fn canonical(&self) -> String {
        let args: Vec<String> = self.args.iter().map(Expr::canonical).collect();
        let args = if self.star { "*".to_string() } else { args.join(", ") };
        format!("{}({}{args})", self.name, if self.distinct { "DISTINCT " } else { "" })
    }
}
