//! Selection: which rows of a block pass a filter, a column at a time.
//!
//! The usual filters, a field compared with constants and such conditions joined by AND, work on
//! whole columns; every other one is evaluated row by row. Both let the same rows through.

use super::eval::eval;
use super::node::{Comparison, Literal, Node, What};
use super::number::holds;
use super::{Expr, Scratch};
use crate::money::Decimal;
use crate::rows::{Block, ColumnView, Pick, Row};
use crate::value::{Datum, Type};

/// A filter made ready for blocks.
pub struct Filter {
    expr: Expr,
    /// All of them must hold; `None` where columns do not suffice.
    tests: Option<Vec<Test>>,
}

/// A condition on one column.
enum Test {
    /// The text is one of these.
    Texts(usize, Vec<Word>),
    /// The value, as a word of its column, stands so to this one.
    Words(usize, Comparison, i64),
    /// There is a value, or there is none.
    Present(usize, bool),
    /// Nothing passes.
    Never,
}

impl Filter {
    pub fn new(expr: &Expr) -> Filter {
        let mut tests = Vec::new();
        let whole = conjunction(&expr.node, &mut tests);
        Filter { expr: expr.clone(), tests: whole.then_some(tests) }
    }

    /// Writes to `out` those of the picked rows that pass, in their order.
    pub fn select(&self, block: &Block, from: &[Pick], out: &mut Vec<Pick>, scratch: &mut Scratch) {
        out.clear();
        out.extend_from_slice(from);
        match &self.tests {
            Some(tests) => tests.iter().for_each(|test| test.keep(block, out)),
            None => out.retain(|pick| {
                let passes = self.expr.is_true(&block.row(pick.row as usize), scratch);
                scratch.reset();
                passes
            }),
        }
    }
}

/// Keeps the picks that pass. Written without a branch on the answer, which the machine could not foresee.
#[inline(always)]
pub fn keep(picks: &mut Vec<Pick>, passes: impl Fn(usize) -> bool) {
    let mut kept = 0;
    for at in 0..picks.len() {
        let pick = picks[at];
        picks[kept] = pick;
        kept += usize::from(passes(pick.row as usize));
    }
    picks.truncate(kept);
}

impl Test {
    fn keep(&self, block: &Block, picks: &mut Vec<Pick>) {
        match self {
            Test::Texts(slot, words) => {
                let column = block.column(*slot);
                match &words[..] {
                    _ if column.distinct => {
                        let places: Vec<u64> = words.iter().filter_map(|word| word.place(&column)).collect();
                        match places[..] {
                            // A text that nobody has; NULL has no text either, and its word may be any.
                            [] => picks.clear(),
                            [place] => keep(picks, |row| column.present[row] & (column.words[row] == place)),
                            _ => keep(picks, |row| column.present[row] & places.contains(&column.words[row])),
                        }
                    }
                    [word] => keep(picks, |row| column.present[row] & word.is(&column, row)),
                    words => keep(picks, |row| column.present[row] && words.iter().any(|word| word.is(&column, row))),
                }
            }
            Test::Words(slot, comparison, with) => {
                let ColumnView { present, words, .. } = block.column(*slot);
                keep(picks, |row| present[row] & holds(*comparison, (words[row] as i64).cmp(with)));
            }
            Test::Present(slot, wanted) => {
                let present = block.column(*slot).present;
                keep(picks, |row| present[row] == *wanted);
            }
            Test::Never => picks.clear(),
        }
    }
}

/// A constant text, compared eight bytes at a time.
struct Word {
    text: Box<str>,
    head: u64,
    mask: u64,
}

impl Word {
    fn new(text: &str) -> Word {
        let mut head = [0u8; 8];
        let mut mask = [0u8; 8];
        for (i, byte) in text.bytes().take(8).enumerate() {
            head[i] = byte;
            mask[i] = 0xff;
        }
        Word { text: text.into(), head: u64::from_le_bytes(head), mask: u64::from_le_bytes(mask) }
    }

    /// The word of the rows that have this text, where equal texts have equal words.
    fn place(&self, column: &ColumnView) -> Option<u64> {
        let row = (0..column.words.len()).find(|row| column.present[*row] && self.is(column, *row))?;
        Some(column.words[row])
    }

    /// Whether it is the text of that row.
    #[inline(always)]
    fn is(&self, column: &ColumnView, row: usize) -> bool {
        let (start, len) = column.span(row);
        let arena = column.text.as_bytes();
        match arena.get(start..start + 8) {
            Some(bytes) => {
                let head = u64::from_le_bytes(bytes.try_into().expect("eight bytes were asked for"));
                let alike = (len == self.text.len()) & ((head ^ self.head) & self.mask == 0);
                alike && (len <= 8 || &arena[start..start + len] == self.text.as_bytes())
            }
            // The last texts of the arena.
            None => &arena[start..start + len] == self.text.as_bytes(),
        }
    }
}

/// Adds the tests that a condition amounts to; `false` where columns do not suffice.
fn conjunction(node: &Node, tests: &mut Vec<Test>) -> bool {
    if let What::And(parts) = &node.what {
        return parts.iter().all(|part| conjunction(part, tests));
    }
    let test = match &node.what {
        What::Compare(comparison, a, b) => match (slot(a), slot(b)) {
            (Some(field), None) => constant(b).and_then(|value| compared(field, *comparison, value)),
            (None, Some(field)) => constant(a).and_then(|value| compared(field, mirrored(*comparison), value)),
            _ => None,
        },
        What::In { node, list, negated: false } => slot(node).and_then(|field| among(field, list)),
        What::IsNull { node, negated } => slot(node).map(|(slot, _)| Test::Present(slot, *negated)),
        _ => None,
    };
    test.map(|test| tests.push(test)).is_some()
}

/// The field that a node is, and its type.
fn slot(node: &Node) -> Option<(usize, Type)> {
    match node.what {
        What::Slot { slot, .. } => Some((slot, node.ty?)),
        _ => None,
    }
}

/// The value of a node that reads no field.
pub(super) fn constant(node: &Node) -> Option<Literal> {
    let mut reads = false;
    node.walk(&mut |node| reads |= matches!(node.what, What::Slot { .. } | What::AsOf));
    if reads {
        return None;
    }
    Literal::of(eval(node, &Nothing, &Scratch::new()))
}

/// A row without fields.
struct Nothing;

impl Row for Nothing {
    fn datum(&self, _: usize) -> Datum<'_> {
        Datum::Null
    }
}

fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Lt => Comparison::Gt,
        Comparison::Le => Comparison::Ge,
        Comparison::Gt => Comparison::Lt,
        Comparison::Ge => Comparison::Le,
        same @ (Comparison::Eq | Comparison::Ne) => same,
    }
}

fn compared((slot, ty): (usize, Type), comparison: Comparison, value: Literal) -> Option<Test> {
    let word = match (ty, value) {
        // Nothing is known of NULL, so nothing is true.
        (_, Literal::Null) => return Some(Test::Never),
        (Type::String, Literal::Str(text)) if comparison == Comparison::Eq => {
            return Some(Test::Texts(slot, vec![Word::new(&text)]));
        }
        (Type::Bool, Literal::Bool(b)) => i64::from(b),
        (Type::Int | Type::Datetime, Literal::Int(n) | Literal::Time(n)) => n,
        (Type::Decimal, Literal::Decimal(d)) => i64::try_from(d.0).ok()?,
        (Type::Decimal, Literal::Int(n)) => i64::try_from(Decimal::from_int(n).0).ok()?,
        _ => return None,
    };
    Some(Test::Words(slot, comparison, word))
}

fn among((slot, ty): (usize, Type), list: &[Node]) -> Option<Test> {
    if ty != Type::String {
        return None;
    }
    let words = list.iter().map(|node| match constant(node) {
        Some(Literal::Str(text)) => Some(Word::new(&text)),
        _ => None,
    });
    Some(Test::Texts(slot, words.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Names, parse};
    use crate::rows::{Field, Head, Projection};
    use proptest::prelude::*;

    const FIELDS: [(&str, Type); 5] = [
        ("kind", Type::String),
        ("amount", Type::Decimal),
        ("visits", Type::Int),
        ("at", Type::Datetime),
        ("paid", Type::Bool),
    ];

    struct Fields;

    impl Names for Fields {
        fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
            FIELDS.iter().position(|(known, _)| *known == name).map(|slot| (slot, FIELDS[slot].1))
        }

        fn known(&self) -> Vec<String> {
            FIELDS.iter().map(|(name, _)| name.to_string()).collect()
        }
    }

    const KINDS: [&str; 9] =
        ["", "a", "click", "clicks", "purchase", "purchases", "impression", "impressive", "größer als acht"];

    fn condition() -> impl Strategy<Value = String> {
        let comparison = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
        let kind = prop::sample::select(KINDS.to_vec());
        let one = prop_oneof![
            (kind.clone(), comparison.clone()).prop_map(|(kind, is)| format!("kind {is} '{kind}'")),
            kind.clone().prop_map(|kind| format!("'{kind}' = kind")),
            prop::collection::vec(kind, 1..4).prop_map(|kinds| format!("kind IN ('{}')", kinds.join("', '"))),
            (comparison.clone(), -2i64..3).prop_map(|(is, n)| format!("visits {is} {n}")),
            (comparison.clone(), -2i64..3).prop_map(|(is, n)| format!("{n} {is} at")),
            (comparison.clone(), -2i64..3).prop_map(|(is, n)| format!("amount {is} {n}")),
            (comparison, -2i64..3).prop_map(|(is, n)| format!("amount {is} {n} * 0.5")),
            prop::sample::select(vec![
                "kind IS NULL",
                "amount IS NOT NULL",
                "kind = NULL",
                "kind IN ('click', NULL)",
                "paid = TRUE",
                "paid",
                "visits > 0.5",
                "kind LIKE 'c%' OR paid",
                "kind NOT IN ('a')",
            ])
            .prop_map(str::to_string),
        ];
        prop::collection::vec(one, 1..4).prop_map(|parts| parts.join(" AND "))
    }

    proptest! {
        #[test]
        fn columns_let_the_same_rows_through_as_rows(
            text in condition(),
            rows in prop::collection::vec((0usize..10, -2i64..3, -2i64..3, 0u8..3, any::<[bool; 3]>()), 0..20),
            once: bool,
        ) {
            let mut projection = Projection::default();
            for (name, ty) in FIELDS {
                projection.slot(Field::new(name, ty));
            }
            let mut block = Block::new(&projection);
            for (kind, number, visits, paid, present) in &rows {
                let or_null = |present: bool, datum| if present { datum } else { Datum::Null };
                let head = Head { tenant: "", user: "", event_id: "", timestamp: 0 };
                block.push_typed(&head, &[
                    KINDS.get(*kind).map_or(Datum::Null, |kind| Datum::Str(kind)),
                    or_null(present[0], Datum::Decimal(Decimal(i128::from(*number) * 500_000))),
                    or_null(present[1], Datum::Int(*visits)),
                    or_null(present[2], Datum::Time(*number)),
                    [Datum::Null, Datum::Bool(false), Datum::Bool(true)][usize::from(*paid)],
                ]);
            }
            if once {
                block.texts_once(0);
                prop_assert!(block.column(0).distinct);
            }
            let expr = parse(&text, &mut Fields).expect("a condition");
            let all: Vec<Pick> = (0..rows.len() as u32).map(|row| Pick { row, place: row + 7 }).collect();
            let mut selected = vec![Pick::default(); 3];
            Filter::new(&expr).select(&block, &all, &mut selected, &mut Scratch::new());
            let passes = |pick: &&Pick| expr.is_true(&block.row(pick.row as usize), &Scratch::new());
            prop_assert_eq!(selected, all.iter().filter(passes).copied().collect::<Vec<_>>(), "{}", text);
        }
    }

    #[test]
    fn the_usual_filters_work_on_columns() {
        for (text, columns) in [
            ("kind = 'purchase'", true),
            ("kind IN ('click', 'view') AND amount > 5 AND visits IS NOT NULL", true),
            ("kind = 'a' OR kind = 'b'", false),
            ("lower(kind) = 'a'", false),
        ] {
            let expr = parse(text, &mut Fields).expect(text);
            assert_eq!(Filter::new(&expr).tests.is_some(), columns, "{text}");
        }
    }
}
