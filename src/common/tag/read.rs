//! Reading: TOML to tables whose keys and shapes are as `keys` has them, every value with its place.
//!
//! All that is wrong is reported, not only the first.

use super::keys::{Key, Object, Shape};
use super::place;
use super::problem::Problem;
use super::quality::Share;
use crate::expr::nearest;
use crate::money::Decimal;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file and what has been found wrong in it so far.
pub(super) struct Reader<'t> {
    pub source: &'t str,
    pub text: &'t str,
    pub problems: Vec<Problem>,
}

/// A text and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub value: String,
    /// With its quotes.
    pub at: Range<usize>,
}

/// A table that has been read: the values of the keys that stand in it.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub at: Range<usize>,
    /// The keys that stand in it, with a value of the right shape or not.
    keys: Vec<&'static str>,
    texts: Vec<(&'static str, Text)>,
    lists: Vec<(&'static str, Vec<Text>, Range<usize>)>,
    /// Counts, numbers, and shares in percent.
    numbers: Vec<(&'static str, Decimal, Range<usize>)>,
    tables: Vec<(&'static str, Vec<Read>)>,
}

impl Read {
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(&key)
    }

    /// Where the value of a key stands, a text or a number.
    pub fn at(&self, key: &str) -> Option<Range<usize>> {
        self.text(key).map(|text| text.at.clone()).or_else(|| self.number(key).map(|(_, at)| at))
    }

    pub fn text(&self, key: &str) -> Option<&Text> {
        self.texts.iter().find(|(name, _)| *name == key).map(|(_, text)| text)
    }

    pub fn list(&self, key: &str) -> Option<(&[Text], Range<usize>)> {
        self.lists.iter().find(|(name, ..)| *name == key).map(|(_, list, at)| (&list[..], at.clone()))
    }

    pub fn number(&self, key: &str) -> Option<(Decimal, Range<usize>)> {
        self.numbers.iter().find(|(name, ..)| *name == key).map(|(_, number, at)| (*number, at.clone()))
    }

    /// The table of a key that takes one.
    pub fn table(&self, key: &str) -> Option<&Read> {
        self.tables(key).first()
    }

    pub fn tables(&self, key: &str) -> &[Read] {
        self.tables.iter().find(|(name, _)| *name == key).map_or(&[], |(_, tables)| tables)
    }
}

impl<'t> Reader<'t> {
    /// `None` when the file is not TOML.
    pub fn file(&mut self, object: &Object) -> Option<Read> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().unwrap_or(0..0);
            self.report(at, format!("not TOML: {}", error.message().trim_end().replace('\n', ", ")));
        }
        errors.is_empty().then(|| self.table(object, table.get_ref(), table.span()))
    }

    pub fn report(&mut self, at: Range<usize>, message: impl Into<String>) -> &mut Problem {
        self.problems.push(Problem::new(self.source, self.text, at, message));
        self.problems.last_mut().expect("just pushed")
    }

    pub fn report_hint(&mut self, at: Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.report(at, message).hint = Some(hint.into());
    }

    /// Bytes of the file for bytes of a text's value.
    pub fn within(&self, text: &Text, offset: usize, len: usize) -> Range<usize> {
        let raw = &self.text[text.at.clone()];
        let start = place::in_raw(raw, offset);
        let end = if len == 0 { start } else { place::in_raw(raw, offset + len) };
        text.at.start + start..text.at.start + end
    }

    fn table(&mut self, object: &Object, table: &DeTable<'_>, at: Range<usize>) -> Read {
        let mut read = Read { at, ..Read::default() };
        for (name, value) in table {
            match object.keys.iter().find(|key| key.name == name.get_ref()) {
                Some(key) => {
                    read.keys.push(key.name);
                    self.value(key, value, &mut read);
                }
                None => {
                    let message = format!("unknown key in {}: {}", object.noun, name.get_ref());
                    let meant = nearest(name.get_ref(), object.keys.iter().map(|key| key.name));
                    let hint = match meant {
                        Some(meant) => format!("did you mean {meant}?"),
                        None => format!("keys are: {}", names(object)),
                    };
                    self.report_hint(name.span(), message, hint);
                }
            }
        }
        for key in object.keys.iter().filter(|key| key.required) {
            if !read.has(key.name) {
                let at = table.keys().map(Spanned::span).min_by_key(|at| at.start).unwrap_or(read.at.clone());
                self.report(at, format!("{} needs `{}`", object.noun, key.name));
            }
        }
        read
    }

    fn value(&mut self, key: &'static Key, value: &Spanned<DeValue<'_>>, read: &mut Read) {
        match (&key.shape, value.get_ref()) {
            (Shape::Text | Shape::Pattern(_), DeValue::String(text)) => {
                read.texts.push((key.name, Text { value: text.to_string(), at: value.span() }));
            }
            (Shape::OneOf(choices), DeValue::String(text)) => {
                let text = Text { value: text.to_string(), at: value.span() };
                if self.is_choice(key, &text, &choices()) {
                    read.texts.push((key.name, text));
                }
            }
            (Shape::TextOrTexts, DeValue::String(text)) => {
                let text = Text { value: text.to_string(), at: value.span() };
                read.lists.push((key.name, vec![text], value.span()));
            }
            (Shape::Texts | Shape::TextOrTexts, DeValue::Array(items)) => {
                let mut list = Vec::new();
                for item in items {
                    match item.get_ref() {
                        DeValue::String(text) => list.push(Text { value: text.to_string(), at: item.span() }),
                        other => self.wrong(key, item.span(), "strings", other),
                    }
                }
                read.lists.push((key.name, list, value.span()));
            }
            (Shape::Count | Shape::Number | Shape::Share, found) => match number(&key.shape, found) {
                Ok(number) => read.numbers.push((key.name, number, value.span())),
                Err(wanted) => self.wrong(key, value.span(), wanted, found),
            },
            (Shape::Table(object), DeValue::Table(table)) => {
                let table = self.table(object, table, value.span());
                read.tables.push((key.name, vec![table]));
            }
            (Shape::Table(_), other) => self.wrong(key, value.span(), "a table", other),
            (Shape::Tables(object), DeValue::Array(items)) => {
                let mut tables = Vec::new();
                for item in items {
                    match item.get_ref() {
                        DeValue::Table(table) => tables.push(self.table(object, table, item.span())),
                        other => self.wrong(key, item.span(), "tables", other),
                    }
                }
                read.tables.push((key.name, tables));
            }
            (Shape::Tables(_), DeValue::Table(_)) => {
                let hint = format!("write [[{}]]", key.name);
                self.report_hint(value.span(), format!("`{}` is a list of tables", key.name), hint);
            }
            (Shape::TextOrTexts, other) => self.wrong(key, value.span(), "a string or a list of strings", other),
            (Shape::Texts, other) => self.wrong(key, value.span(), "a list of strings", other),
            (Shape::Tables(_), other) => self.wrong(key, value.span(), "a list of tables", other),
            (_, other) => self.wrong(key, value.span(), "a string", other),
        }
    }

    fn is_choice(&mut self, key: &Key, text: &Text, choices: &[&str]) -> bool {
        if choices.contains(&text.value.as_str()) {
            return true;
        }
        let hint = match nearest(&text.value, choices.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("it is one of: {}", choices.join(", ")),
        };
        let at = self.within(text, 0, text.value.len());
        self.report_hint(at, format!("unknown {}: {}", key.name, text.value), hint);
        false
    }

    fn wrong(&mut self, key: &Key, at: Range<usize>, wanted: &str, found: &DeValue<'_>) {
        let found = match found {
            // What is wrong with a text or a number is the text or the number.
            DeValue::String(text) if matches!(key.shape, Shape::Share) => format!("{text:?}"),
            DeValue::Integer(n) if matches!(key.shape, Shape::Count | Shape::Number) => n.to_string(),
            DeValue::Float(x) if matches!(key.shape, Shape::Number) => x.to_string(),
            other => other.type_str().to_string(),
        };
        self.report(at, format!("`{}` takes {wanted}, not {found}", key.name));
    }
}

/// A value of one of the three numeric shapes; the error says what is wanted.
fn number(shape: &Shape, value: &DeValue<'_>) -> Result<Decimal, &'static str> {
    let whole = |n: &toml::de::DeInteger<'_>| i64::from_str_radix(n.as_str(), n.radix()).ok();
    match (shape, value) {
        (Shape::Count, DeValue::Integer(n)) => {
            whole(n).filter(|n| *n >= 0).map(Decimal::from_int).ok_or("a whole number, not negative")
        }
        (Shape::Count, _) => Err("a whole number, not negative"),
        (Shape::Number, DeValue::Integer(n)) => whole(n).map(Decimal::from_int).ok_or("a number of 64 bits"),
        (Shape::Number, DeValue::Float(x)) => {
            Decimal::parse(x.as_str().trim_start_matches('+')).map_err(|_| "a number of at most six places")
        }
        (Shape::Number, _) => Err("a number"),
        (_, DeValue::String(text)) => Share::parse(text).map(|share| share.0).ok_or("a share such as \"5%\""),
        _ => Err("a share such as \"5%\""),
    }
}

fn names(object: &Object) -> String {
    object.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}
