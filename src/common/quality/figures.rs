//! Figures: the columns of a whole output, and what it adds up to.

use super::column::{Column, TagFigures};
use super::scan::scan;
use crate::limits::ENTITIES_MAX;
use crate::ndjson;
use crate::patch::Patch;
use crate::tag::Definitions;
use crate::time::Millis;
use crate::value::{Type, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The figures of the patches so far.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    rows: u64,
    as_of: Option<Millis>,
    /// What the definitions say of tags that may come.
    types: Arc<BTreeMap<String, Type>>,
    codes: Vec<Arc<str>>,
    columns: Vec<Column>,
    /// The lists of tags that lines had; those of one entity mostly have the same.
    forms: Vec<Form>,
    /// The form of the line before.
    usual: usize,
    values: Vec<Range<usize>>,
}

/// The tags of a line, in their order.
#[derive(Clone, Debug, Default)]
struct Form {
    columns: Vec<usize>,
    /// As they stand in a line: `"code":`.
    keys: Vec<Vec<u8>>,
}

/// So many forms are known at most: there is one for each entity.
const FORMS: usize = ENTITIES_MAX + 1;

/// What an output adds up to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    pub rows: u64,
    /// The latest of its patches.
    pub as_of: Option<Millis>,
    pub tags: BTreeMap<String, TagFigures>,
}

impl Figures {
    /// Figures of patches whose tags are defined here, or not at all.
    pub fn new(definitions: &Definitions) -> Figures {
        let types = definitions.tags.iter().map(|tag| (tag.code.to_string(), tag.ty)).collect();
        Figures { types: Arc::new(types), ..Figures::default() }
    }

    pub fn add(&mut self, patch: &Patch) {
        self.rows += 1;
        self.as_of = self.as_of.max(Some(patch.as_of));
        let mut columns = Vec::with_capacity(patch.tags.len());
        for (i, (code, value)) in patch.tags.iter().enumerate() {
            let column = self.column(i, code);
            self.columns[column].add(value.as_ref());
            columns.push(column);
        }
        self.known(columns);
    }

    /// Makes a form the usual one.
    fn known(&mut self, columns: Vec<usize>) {
        if self.forms.get(self.usual).is_some_and(|form| form.columns == columns) {
            return;
        }
        if let Some(at) = self.forms.iter().position(|form| form.columns == columns) {
            self.usual = at;
        } else if self.forms.len() < FORMS {
            let key = |column: &usize| {
                let mut key = Vec::new();
                ndjson::push_str(&mut key, &self.codes[*column]);
                key.push(b':');
                key
            };
            self.usual = self.forms.len();
            self.forms.push(Form { keys: columns.iter().map(key).collect(), columns });
        }
    }

    /// Adds a line, without its newline; the error says why it is no patch.
    ///
    /// A line of the form that adprof writes, with the tags of the line before it, is not checked any further.
    pub fn add_line(&mut self, line: &[u8]) -> Result<(), String> {
        let mut values = std::mem::take(&mut self.values);
        let as_of = self.forms.get(self.usual).and_then(|form| scan(line, &form.keys, &mut values));
        let known = as_of.is_some_and(|as_of| self.add_raw(line, as_of, &values).is_some());
        self.values = values;
        if known {
            return Ok(());
        }
        let text = std::str::from_utf8(line).map_err(|e| format!("not UTF-8: {e}"))?;
        Patch::parse(text).map(|patch| self.add(&patch))
    }

    fn add_raw(&mut self, line: &[u8], as_of: Millis, values: &[Range<usize>]) -> Option<()> {
        // All are read before one is taken: a line counts as a whole, or is left to the parser as a whole.
        let mut read = Vec::with_capacity(values.len());
        for at in values {
            read.push(value(std::str::from_utf8(&line[at.clone()]).ok()?)?);
        }
        self.rows += 1;
        self.as_of = self.as_of.max(Some(as_of));
        for (column, value) in self.forms[self.usual].columns.iter().zip(&read) {
            self.columns[*column].add(value.as_ref());
        }
        Some(())
    }

    /// The column of a code, which most often stands where it stood in the line before.
    fn column(&mut self, hint: usize, code: &Arc<str>) -> usize {
        if self.codes.get(hint).is_some_and(|there| **there == **code) {
            return hint;
        }
        if let Some(at) = self.codes.iter().position(|there| **there == **code) {
            return at;
        }
        self.codes.push(Arc::clone(code));
        self.columns.push(Column::new(self.types.get(&**code).copied()));
        self.codes.len() - 1
    }

    /// Takes the figures of another part of the same output.
    pub fn merge(&mut self, other: Figures) {
        self.rows += other.rows;
        self.as_of = self.as_of.max(other.as_of);
        if self.codes.is_empty() {
            (self.types, self.codes, self.columns) = (other.types, other.codes, other.columns);
            (self.forms, self.usual) = (other.forms, other.usual);
            return;
        }
        for (code, column) in other.codes.iter().zip(other.columns) {
            let at = self.column(usize::MAX, code);
            self.columns[at].merge(column);
        }
    }

    pub fn finish(self) -> Outcome {
        let tags = self.codes.iter().zip(self.columns).map(|(code, column)| (code.to_string(), column.finish()));
        Outcome { rows: self.rows, as_of: self.as_of, tags: tags.collect() }
    }
}

/// A value as `scan` cuts it: a text in it has no escapes.
fn value(raw: &str) -> Option<Option<Value>> {
    match raw.strip_prefix('"') {
        Some(text) => Some(Some(Value::Str(text.strip_suffix('"')?.into()))),
        None => Value::from_json(raw).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_value() -> impl Strategy<Value = Option<Value>> {
        prop_oneof![
            Just(None),
            any::<i64>().prop_map(|n| Some(Value::Int(n))),
            any::<i64>().prop_map(|n| Some(Value::Decimal(crate::money::Decimal(n.into())))),
            any::<bool>().prop_map(|b| Some(Value::Bool(b))),
            "[a-z,}\\\\\"é]{0,6}".prop_map(|s| Some(Value::Str(s.into()))),
            (-1e9..1e9f64).prop_map(|x| Some(Value::Double(x))),
            Just(Some(Value::Json("[1,{\"a\":2}]".into()))),
        ]
    }

    fn patches() -> impl Strategy<Value = Vec<Patch>> {
        let row = (".{1,5}", proptest::collection::vec(some_value(), 3), any::<bool>());
        proptest::collection::vec(row, 0..20).prop_map(|rows| {
            let one = |(id, values, all): (String, Vec<Option<Value>>, bool)| {
                let id = id.replace(char::is_control, "_");
                let tags = ["a", "b", "c"].map(Arc::<str>::from).into_iter().zip(values);
                let tags = tags.skip(if all { 0 } else { id.len() % 3 }).collect();
                Patch { key: crate::key::Key::user("", &id), as_of: 5, tags }
            };
            rows.into_iter().map(one).collect()
        })
    }

    proptest! {
        /// The fast way, the slow way, and the slow way in two parts.
        #[test]
        fn a_line_gives_what_its_patch_gives(patches in patches(), cut in 0usize..20) {
            let definitions = Definitions::built_in();
            let [mut fast, mut slow, mut left, mut right] = [(); 4].map(|()| Figures::new(&definitions));
            for (i, patch) in patches.iter().enumerate() {
                let mut line = Vec::new();
                patch.push_line(&mut line);
                let line = &line[..line.len() - 1];
                let parsed = Patch::parse(std::str::from_utf8(line).expect("UTF-8")).expect("our own");
                fast.add_line(line).expect("a patch");
                slow.add(&parsed);
                if i < cut { left.add(&parsed) } else { right.add(&parsed) }
            }
            let slow = slow.finish();
            prop_assert_eq!(fast.finish(), slow.clone());
            // Kinds that do not go together are wrong in the part that comes second, whichever that is.
            if slow.tags.values().all(|tag| tag.wrong == 0) {
                left.merge(right);
                prop_assert_eq!(left.finish(), slow);
            }
        }
    }

    #[test]
    fn what_is_no_patch_is_told() {
        let mut figures = Figures::new(&Definitions::built_in());
        assert!(figures.add_line(b"nonsense").is_err_and(|why| why.contains("not a patch")));
        assert!(figures.add_line(b"\xff").is_err_and(|why| why.contains("UTF-8")));
        assert_eq!(figures.finish(), Outcome::default());
    }
}
