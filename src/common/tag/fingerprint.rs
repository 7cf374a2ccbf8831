//! Fingerprints: what a tag's value means, as 64 bits that stay the same for ever.
//!
//! State kept under a fingerprint is only ever read by a definition that means the same. A declared `type` does not
//! show: the state does not depend on it.

use super::{Aggregation, Derived, Entity, KeyPart, Tag};
use crate::expr::Expr;
use crate::pane::{Calendar, Sliding, Window};
use crate::rows::Projection;
use crate::value::Type;
use siphasher::sip::SipHasher24;
use std::fmt::Write;
use std::hash::Hasher;

/// Never changed: state on disks out there is kept under what it gives.
const KEYS: (u64, u64) = (0x6164_7072_6f66_2e74, 0x6167_2e76_3100_0000);

/// What an entity adds to the meaning of its tags. Keys in a store are found by the name, so it shows; the prefix does not.
pub(super) fn entity(name: &str, parts: &[KeyPart], retain: Option<Window>, projection: &Projection) -> String {
    let mut text = format!("entity {name}\n");
    for part in parts {
        match part {
            KeyPart::One(expr) => write_expr(&mut text, "key", expr, projection),
            KeyPart::Each(slot) => write_text(&mut text, "each", &projection.fields[*slot].path.join(".")),
            KeyPart::Slices { at, size, step } => {
                write_expr(&mut text, "slices", at, projection);
                let _ = writeln!(text, "by {size} {step}");
            }
        }
    }
    if let Some(Window::Sliding(Sliding { span, resolution })) = retain {
        let _ = writeln!(text, "retain {span} {resolution}");
    }
    text
}

pub(super) fn aggregation(aggregation: &Aggregation, projection: &Projection, entity: &Entity) -> u64 {
    hash(&meaning(aggregation, projection, entity))
}

/// All that an aggregation means, as one text.
pub(super) fn meaning(aggregation: &Aggregation, projection: &Projection, entity: &Entity) -> String {
    let mut text = format!("aggregation\n{}function {}\n", entity.meaning, aggregation.function.name());
    for arg in &aggregation.args {
        write_expr(&mut text, "arg", arg, projection);
    }
    if let Some(by) = &aggregation.by {
        write_expr(&mut text, "by", by, projection);
    }
    if aggregation.by.is_some() || aggregation.function.keeps() {
        let _ = writeln!(text, "keep {}", aggregation.keep);
    }
    if let Some(filter) = &aggregation.filter {
        write_expr(&mut text, "where", filter, projection);
    }
    match aggregation.window {
        None => {}
        Some(Window::Sliding(Sliding { span, resolution })) => {
            let _ = writeln!(text, "window {span} {resolution}");
        }
        Some(Window::Calendar(Calendar { unit, number, zone })) => {
            let _ = writeln!(text, "calendar {} {number} {zone}", unit.name());
        }
    }
    text
}

/// `tags` gives an input's code and fingerprint: a change further up is a change here.
pub(super) fn derived<'a>(derived: &Derived, entity: &Entity, tag: impl Fn(usize) -> &'a Tag) -> u64 {
    let mut text = format!("derived\n{}", entity.meaning);
    write_text(&mut text, "value", &derived.expr.canonical());
    for input in &derived.inputs {
        let tag = tag(*input);
        let _ = writeln!(text, "input {} {:016x}", tag.code, tag.fingerprint);
    }
    hash(&text)
}

pub(super) fn imported(code: &str, ty: Type, entity: &Entity) -> u64 {
    let meaning = &entity.meaning;
    hash(&format!("imported\n{meaning}type {ty}\ncode {code}\n"))
}

/// The canonical text, and the fields it reads with the types they are read as.
fn write_expr(text: &mut String, what: &str, expr: &Expr, projection: &Projection) {
    write_text(text, what, &expr.canonical());
    let mut slots = Vec::new();
    expr.slots(&mut slots);
    for slot in slots {
        let field = &projection.fields[slot];
        let _ = writeln!(text, "field {} {}", field.path.join("."), field.ty);
    }
}

/// With its length, so that no text can pass for the lines after it.
fn write_text(text: &mut String, what: &str, written: &str) {
    let _ = writeln!(text, "{what} {} {written}", written.len());
}

pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
    hasher.write(text.as_bytes());
    hasher.finish()
}
