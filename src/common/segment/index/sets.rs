//! What the columns of a block say of a rule: who it is certainly true of, and who has to be asked.

use super::step::{One, Step};
use crate::bits::{BLOCK, Bits, Body, Column};
use crate::expr::{Scratch, truth_of};
use crate::profiles::index::Stored;
use crate::store::{Error, Kind};
use crate::tag::Definitions;
use crate::time::Millis;
use crate::value::{Datum, Type};
use std::borrow::Cow;
use std::cell::OnceCell;

/// Keys of a block.
#[derive(Default)]
pub(super) struct Found {
    /// Those it is certain of.
    pub sure: Bits,
    /// Those no column tells; never certain ones.
    pub open: Option<Bits>,
}

impl Found {
    fn sure(sure: Bits) -> Found {
        Found { sure, open: None }
    }

    fn with_open(sure: Bits, mut open: Option<Bits>) -> Found {
        open.iter_mut().for_each(|open| open.and_not(&sure));
        Found { sure, open: open.filter(|open| !open.is_empty()) }
    }

    fn of_all(all: bool) -> Found {
        let mut sure = Bits::default();
        if all {
            sure.invert();
        }
        Found::sure(sure)
    }

    fn possible(&self) -> Bits {
        let mut possible = self.sure.clone();
        self.open.iter().for_each(|open| possible.or(open));
        possible
    }

    fn and(&mut self, other: Found) {
        if self.open.is_none() && other.open.is_none() {
            return self.sure.and(&other.sure);
        }
        let mut possible = self.possible();
        possible.and(&other.possible());
        self.sure.and(&other.sure);
        *self = Found::with_open(std::mem::take(&mut self.sure), Some(possible));
    }

    fn or(&mut self, other: Found) {
        self.sure.or(&other.sure);
        if self.open.is_some() || other.open.is_some() {
            let mut open = self.open.take().unwrap_or_default();
            other.open.iter().for_each(|theirs| open.or(theirs));
            *self = Found::with_open(std::mem::take(&mut self.sure), Some(open));
        }
    }

    /// All others; who is open stays so.
    fn others(mut self) -> Found {
        self.sure.invert();
        self.open.iter().for_each(|open| self.sure.and_not(open));
        self
    }

    /// Only those of them that are among these.
    pub fn keep(&mut self, among: &Bits) {
        self.sure.and(among);
        self.open.iter_mut().for_each(|open| open.and(among));
    }

    fn is_none(&self) -> bool {
        self.open.is_none() && self.sure.is_empty()
    }
}

/// Asks the columns of one block.
pub(super) struct Asking<'b, 'a> {
    block: &'b Stored<'b, 'a>,
    /// Keys that it speaks for.
    clean: &'b Bits,
    definitions: &'b Definitions,
    as_of: Millis,
    /// By tag, once they are read: several conditions of a rule may look at one.
    read: Vec<OnceCell<Column<'a>>>,
}

impl<'b, 'a> Asking<'b, 'a> {
    pub fn new(
        block: &'b Stored<'b, 'a>,
        clean: &'b Bits,
        definitions: &'b Definitions,
        as_of: Millis,
    ) -> Asking<'b, 'a> {
        let read = definitions.tags.iter().map(|_| OnceCell::new()).collect();
        Asking { block, clean, definitions, as_of, read }
    }

    fn column(&self, tag: usize) -> Result<&Column<'a>, Error> {
        let read = &self.read[tag];
        match read.get() {
            Some(column) => Ok(column),
            None => self.block.column(tag).map(|column| read.get_or_init(|| column)),
        }
    }

    /// The keys of which a part has this truth. Only places `among` these are asked for, where some are given: of the
    /// others nothing is said. Places that are no key's may be in it.
    pub fn having(&self, step: &Step, truth: bool, among: Option<&Bits>) -> Result<Found, Error> {
        Ok(match step {
            Step::And(parts) => self.join(parts, truth, truth, among)?,
            Step::Or(parts) => self.join(parts, truth, !truth, among)?,
            Step::Not(part) => self.having(part, !truth, among)?,
            Step::Is { part, truth: wanted, negated } => {
                let found = self.having(part, *wanted, among)?;
                if truth == *negated { found.others() } else { found }
            }
            Step::IsNull { part, negated } => {
                let mut known = self.having(part, true, among)?;
                known.or(self.having(part, false, among)?);
                if truth == *negated { known } else { known.others() }
            }
            Step::Missing { tag, negated } => {
                let has = Found::sure(self.column(*tag)?.has());
                if truth == *negated { has } else { has.others() }
            }
            Step::Constant(known) => Found::of_all(*known == Some(truth)),
            Step::Within { tag, range, domain, .. } => {
                let column = self.column(*tag)?;
                let Column { odd, body: Body::Numbers(numbers) } = column else { return Err(broken()) };
                let (low, high) = numbers.bounds();
                let inside = match range {
                    _ if low < domain.0 || high > domain.1 => {
                        return Ok(Found::with_open(Bits::default(), Some(column.has())));
                    }
                    None => Bits::default(),
                    Some(range) => numbers.within(*range, among).ok_or_else(broken)?,
                };
                let mut sure = inside;
                if !truth {
                    let mut has = numbers.has();
                    has.and_not(&sure);
                    sure = has;
                }
                Found::with_open(sure, odd.clone())
            }
            Step::Each { tag, node, missing } => {
                let is_bool = self.definitions.tags[*tag].ty == Type::Bool;
                let mut scratch = Scratch::new();
                self.texts(*tag, *missing == Some(truth), &mut |text| {
                    let value = if is_bool { Datum::Bool(text == "true") } else { Datum::Str(text) };
                    let found = truth_of(node, &One { tag: *tag, value, as_of: self.as_of }, &scratch);
                    scratch.reset();
                    found == Some(truth)
                })?
            }
            Step::Item { tag, node } => {
                let scratch = Scratch::new();
                let mut has_item = self.texts(*tag, false, &mut |item| {
                    let list = format!("[{item}]");
                    let row = One { tag: *tag, value: Datum::Json(&list), as_of: self.as_of };
                    truth_of(node, &row, &scratch) == Some(true)
                })?;
                if !truth {
                    // An item that is missing is no NULL: the list is there.
                    has_item = has_item.others();
                    let is_null =
                        truth_of(node, &One { tag: *tag, value: Datum::Json("[]"), as_of: self.as_of }, &scratch);
                    match is_null {
                        None => return Ok(Found::default()),
                        Some(_) => has_item.and(Found::sure(self.column(*tag)?.has())),
                    }
                }
                has_item
            }
            Step::Open { tag: None } => Found::with_open(Bits::default(), Some(self.clean.clone())),
            Step::Open { tag: Some((tag, missing)) } => {
                let has = self.column(*tag)?.has();
                let mut sure = Bits::default();
                if *missing == Some(truth) {
                    sure = has.clone();
                    sure.invert();
                }
                Found::with_open(sure, Some(has))
            }
        })
    }

    /// Those of which every part has the truth, or any.
    fn join(&self, parts: &[Step], truth: bool, all: bool, among: Option<&Bits>) -> Result<Found, Error> {
        let mut found: Option<Found> = None;
        for part in parts {
            // Nobody is left that the other parts could be true of.
            if all && found.as_ref().is_some_and(Found::is_none) {
                break;
            }
            // Those that the parts before leave are all that the next one has to tell.
            let left = match &found {
                None => None,
                Some(Found { sure, open: None }) if all => Some(Cow::Borrowed(sure)),
                Some(found) if all => Some(Cow::Owned(found.possible())),
                Some(found) => {
                    let mut others = among.cloned().unwrap_or_else(|| Bits::first(BLOCK));
                    others.and_not(&found.sure);
                    Some(Cow::Owned(others))
                }
            };
            let next = self.having(part, truth, left.as_deref().or(among))?;
            match &mut found {
                None => found = Some(next),
                Some(found) if all => found.and(next),
                Some(found) => found.or(next),
            }
        }
        Ok(found.unwrap_or_else(|| Found::of_all(all)))
    }

    /// Those with a text that is wanted, and those without any if these are.
    fn texts(&self, tag: usize, missing: bool, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Found, Error> {
        let Column { odd, body: Body::Texts(texts) } = self.column(tag)? else { return Err(broken()) };
        let mut sure = texts.with(|text| std::str::from_utf8(text).is_ok_and(&mut *wanted)).ok_or_else(broken)?;
        if missing {
            let mut without = texts.has();
            without.invert();
            sure.or(&without);
        }
        odd.iter().for_each(|odd| sure.and_not(odd));
        Ok(Found::with_open(sure, odd.clone()))
    }
}

fn broken() -> Error {
    Error::new(Kind::Corrupt, "embedded store: its index is broken").hint("make it anew: adprof segment index --anew")
}
