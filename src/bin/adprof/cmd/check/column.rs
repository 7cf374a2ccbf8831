//! Columns: the values of one tag over all users of a sample, summed up for people.

use crate::given::grouped;
use adprof::ndjson::shown;
use adprof::tag::Definitions;
use adprof::time;
use adprof::value::Value;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Different texts counted; of those that come later only their number is kept.
const TEXTS_MAX: usize = 10_000;
/// Texts shown, the most frequent first, each cut to so many characters.
const TOP: usize = 3;
const TEXT_SHOWN: usize = 40;

/// The values of one tag.
pub struct Column {
    /// The tag's place in the definitions.
    pub tag: usize,
    /// Users that have a value.
    pub users: u64,
    range: Option<(Value, Value)>,
    texts: HashMap<String, u64>,
    /// Values beyond `TEXTS_MAX`.
    others: u64,
}

impl Column {
    pub fn new(tag: usize) -> Column {
        Column { tag, users: 0, range: None, texts: HashMap::new(), others: 0 }
    }

    pub fn add(&mut self, value: &Value) {
        self.users += 1;
        match value {
            Value::Bool(_) | Value::Str(_) | Value::Json(_) => self.count(value.to_string()),
            number => self.widen(number),
        }
    }

    fn count(&mut self, text: String) {
        if let Some(n) = self.texts.get_mut(&text) {
            *n += 1;
        } else if self.texts.len() < TEXTS_MAX {
            self.texts.insert(text, 1);
        } else {
            self.others += 1;
        }
    }

    fn widen(&mut self, value: &Value) {
        let Some((low, high)) = &mut self.range else {
            self.range = Some((value.clone(), value.clone()));
            return;
        };
        if compare(value, low) == Ordering::Less {
            *low = value.clone();
        }
        if compare(value, high) == Ordering::Greater {
            *high = value.clone();
        }
    }

    /// `0 … 7`, or `sports (120), tech (30), 5 others`; `-` without any value.
    fn summary(&self) -> String {
        match &self.range {
            Some((low, high)) if low == high => show(low),
            Some((low, high)) => format!("{} … {}", show(low), show(high)),
            None if self.texts.is_empty() => "-".into(),
            None => self.top(),
        }
    }

    fn top(&self) -> String {
        let mut texts: Vec<(&String, &u64)> = self.texts.iter().collect();
        texts.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let mut parts: Vec<String> =
            texts.iter().take(TOP).map(|(text, n)| format!("{} ({})", cut(text), grouped(**n))).collect();
        let rest = texts.len().saturating_sub(TOP) as u64;
        match (rest, self.others) {
            (0, _) => {}
            (1, 0) => parts.push("1 other".into()),
            (n, 0) => parts.push(format!("{} others", grouped(n))),
            (n, _) => parts.push(format!("more than {} others", grouped(n))),
        }
        parts.join(", ")
    }
}

fn cut(text: &str) -> String {
    let text = shown(text);
    if text.chars().count() <= TEXT_SHOWN {
        return text.into_owned();
    }
    text.chars().take(TEXT_SHOWN - 1).chain(['…']).collect()
}

fn show(value: &Value) -> String {
    match value {
        Value::Time(t) => time::show(*t),
        other => other.to_string(),
    }
}

/// The order of two values of one type that has one.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) | (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Decimal(a), Value::Decimal(b)) => a.cmp(b),
        (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
        _ => Ordering::Equal,
    }
}

/// One line a tag: its code, how many users, or what else `noun` says, have it, and its values.
pub fn table(definitions: &Definitions, columns: &[Column], users: u64, noun: &str) -> String {
    let rows: Vec<[String; 3]> = std::iter::once(["tag", noun, "values"].map(String::from))
        .chain(columns.iter().filter(|column| !definitions.tags[column.tag].is_hidden()).map(|column| {
            let code = definitions.tags[column.tag].code.to_string();
            [code, format!("{} of {}", grouped(column.users), grouped(users)), column.summary()]
        }))
        .collect();
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let (code, count) = (width(0), width(1));
    let lines: Vec<String> =
        rows.iter().map(|row| format!("{:code$}  {:count$}  {}", row[0], row[1], row[2])).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[Value]) -> Column {
        let mut column = Column::new(0);
        values.iter().for_each(|value| column.add(value));
        column
    }

    #[test]
    fn numbers_are_a_range_and_texts_the_most_frequent() {
        let text = |text: &str| Value::Str(text.into());
        for (values, want) in [
            (vec![], "-"),
            (vec![Value::Int(5)], "5"),
            (vec![Value::Int(5), Value::Int(-7), Value::Int(0)], "-7 … 5"),
            (vec![Value::Double(0.5), Value::Double(2.0)], "0.5 … 2"),
            (vec![Value::Bool(true), Value::Bool(true), Value::Bool(false)], "true (2), false (1)"),
            (vec![text("b"), text("a"), text("b"), text("d"), text("c")], "b (2), a (1), c (1), 1 other"),
            (vec![text("\u{1b}[31m")], "\\u001b[31m (1)"),
        ] {
            assert_eq!(column(&values).summary(), want);
        }
    }

    #[test]
    fn a_text_is_counted_in_bounded_memory() {
        let values: Vec<Value> = (0..TEXTS_MAX + 50).map(|n| Value::Str(n.to_string().into())).collect();
        let column = column(&values);
        assert_eq!((column.users, column.texts.len(), column.others), (10_050, TEXTS_MAX, 50));
        assert!(column.summary().ends_with("more than 9,997 others"), "{}", column.summary());
    }
}
