//! Insight as NDJSON: a line for each tag, the most telling first, each with what it is of.

use super::super::line::{Line, array};
use super::{Group, Page};
use adprof::money::Decimal;
use adprof::ndjson::push_str;
use adprof::segment::insight::{Cell, Told, What};
use adprof::time::HOUR;
use adprof::value::Type;

pub fn written(page: &Page) -> String {
    page.told.iter().map(|told| line(page, told)).collect()
}

fn line(page: &Page, told: &Told) -> String {
    let group = |line: Line, group: &Group| {
        let line = line.optional("segment", group.code.as_deref()).text("version", &group.version);
        line.text("rule", &group.rule).json("size", group.size)
    };
    let base = match &page.base {
        Some(base) => group(Line::new(), base).end(),
        None => Line::new().text("segment", super::ALL).json("size", page.all).end(),
    };
    group(Line::new(), &page.audience)
        .json("asOf", page.as_of)
        .json("against", base)
        .json("both", page.total.both)
        .json("minCell", page.min_cell)
        .text("tag", page.code(told))
        .text("type", told.ty.name())
        .json("named", page.is_named(told))
        .json("distance", number(told.distance, 4))
        .json("untold", told.untold)
        .json("full", told.full)
        .json("cells", array(told.cells.iter().map(|cell| object(cell, told.ty))))
        .line()
}

fn object(cell: &Cell, ty: Type) -> String {
    let line = Line::new().text("kind", cell.what.kind(ty)).text("label", &cell.what.label(ty));
    let line = match &cell.what {
        What::Value(text) if ty == Type::Bool => line.json("value", text),
        What::Value(text) => line.json("value", quoted(text)),
        What::Number(n) => line.json("value", Decimal(*n)),
        What::Interval(interval) => {
            let line = end(line, "from", interval.from, ty);
            end(line, "below", interval.below, ty)
        }
        What::Rest | What::Other { .. } | What::Missing => line,
    };
    let line = match cell.what {
        What::Other { few, with_missing } => line.json("few", few).json("withMissing", with_missing),
        _ => line,
    };
    let index = cell.index.map_or_else(|| "null".to_string(), |index| number(index.value, 1));
    let bound = |n: Option<f64>| n.filter(|n| n.is_finite()).map_or_else(|| "null".to_string(), |n| number(n, 1));
    line.json("count", cell.audience)
        .json("base", cell.base)
        .json("share", number(cell.share, 6))
        .json("baseShare", number(cell.base_share, 6))
        .json("index", index)
        .json("low", bound(cell.index.map(|index| index.low)))
        .json("high", bound(cell.index.map(|index| index.high)))
        .json("differs", cell.differs())
        .end()
}

/// An end of an interval: a number, or an age in milliseconds.
fn end(line: Line, key: &str, n: Option<i128>, ty: Type) -> Line {
    match n {
        Some(hours) if ty == Type::Datetime => line.json(key, hours * i128::from(HOUR)),
        Some(n) => line.json(key, Decimal(n)),
        None => line.json(key, "null"),
    }
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    push_str(&mut out, text);
    String::from_utf8(out).expect("made of a text")
}

/// A number of so many places, without zeros at its end.
fn number(n: f64, places: usize) -> String {
    let text = format!("{n:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}
