//! Explanations: the truth of each part, the fewest changes against trying all, and time.

use super::explain::{Goal, Membership, Part, tree};
use super::*;
use crate::engine::plan::Values;
use crate::profiles::Look;
use proptest::prelude::*;

const FLAGS: usize = 6;

fn definitions(rules: &[String]) -> Definitions {
    let flags: String =
        (0..FLAGS).map(|i| format!("[[tag]]\ncode = \"b{i}\"\ntype = \"bool\"\nupdate = \"import\"\n")).collect();
    let seen = "[[tag]]\ncode = \"seen\"\ntype = \"datetime\"\nupdate = \"import\"\n";
    let segment = |(i, rule): (usize, &String)| format!("[[segment]]\ncode = \"s{i}\"\nrule = \"{rule}\"\n");
    let text = format!("{flags}{seen}{}", rules.iter().enumerate().map(segment).collect::<String>());
    Definitions::parse(&text, "t").unwrap_or_else(|problems| panic!("{text}\n{problems:?}"))
}

/// A rule in which each flag stands once at most; some parts of it are segments of their own, which come before it.
#[derive(Clone, Debug)]
enum Shape {
    Leaf,
    And(Vec<Shape>),
    Or(Vec<Shape>),
    Not(Box<Shape>),
    Segment(Box<Shape>),
}

fn shape() -> impl Strategy<Value = Shape> {
    Just(Shape::Leaf).prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Shape::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Shape::Or),
            inner.clone().prop_map(|shape| Shape::Not(Box::new(shape))),
            inner.prop_map(|shape| Shape::Segment(Box::new(shape))),
        ]
    })
}

/// The text; beyond the last flag a leaf is the constant that decides nothing in an AND.
fn text(shape: &Shape, next: &mut usize, segments: &mut Vec<String>) -> String {
    let mut join = |parts: &[Shape], word: &str| {
        let parts: Vec<String> = parts.iter().map(|part| text(part, next, segments)).collect();
        format!("({})", parts.join(word))
    };
    match shape {
        Shape::And(parts) => join(parts, " AND "),
        Shape::Or(parts) => join(parts, " OR "),
        Shape::Not(part) => format!("(NOT {})", text(part, next, segments)),
        Shape::Segment(part) => {
            let rule = text(part, next, segments);
            segments.push(rule);
            format!("in_segment('s{}')", segments.len() - 1)
        }
        Shape::Leaf => {
            *next += 1;
            format!("b{}", (*next - 1) % FLAGS)
        }
    }
}

fn values(truths: &[Option<bool>]) -> Values {
    truths.iter().map(|truth| truth.map(Value::Bool)).chain([None]).collect()
}

proptest! {
    /// The oracle tries every way to set the flags.
    #[test]
    fn the_fewest_changes_are_the_fewest_and_do_it(shape in shape(), truths in prop::collection::vec(prop::option::of(any::<bool>()), FLAGS)) {
        let (mut leaves, mut segments) = (0, Vec::new());
        let rule = text(&shape, &mut leaves, &mut segments);
        prop_assume!(leaves <= FLAGS);
        segments.push(rule.clone());
        let definitions = definitions(&segments);
        let rule = &definitions.segments.last().expect("the rule").rule;
        let found = tree(rule, &values(&truths), 0);
        let member = |truths: &[Option<bool>]| tree(rule, &values(truths), 0).is_member();
        prop_assert_eq!(found.is_member(), rule.is_true(&Tags { values: &values(&truths), as_of: 0 }, &Scratch::new()));

        let fewest = (0..3usize.pow(FLAGS as u32)).filter_map(|n| {
            let mut rest = n;
            let other: Vec<Option<bool>> = (0..FLAGS).map(|_| {
                let digit = rest % 3;
                rest /= 3;
                [None, Some(false), Some(true)][digit]
            }).collect();
            let changed = other.iter().zip(&truths).filter(|(a, b)| a != b).count();
            (member(&other) != found.is_member()).then_some(changed)
        }).min();
        let takes = found.takes();
        prop_assert_eq!(Some(takes.len()), fewest, "{:?}", segments);
        let mut after = truths.clone();
        for change in &takes {
            after[change.condition.tags[0]] = match change.to {
                Goal::True | Goal::NotFalse => Some(true),
                Goal::False => Some(false),
                Goal::NotTrue => None,
            };
        }
        prop_assert!(member(&after) != found.is_member(), "{:?} {takes:?}", segments);
    }
}

#[test]
fn each_part_has_its_truth_and_a_segment_has_two() {
    let definitions = definitions(&["b0 AND b1".into(), "NOT in_segment('s0') OR b2".into()]);
    let told = tree(&definitions.segments[1].rule, &values(&[Some(true), None, None, None, None, None]), 0);
    assert_eq!((told.part, told.truth), (Part::Or, Some(true)));
    let [not, b2] = &told.steps[..] else { panic!("two parts") };
    assert_eq!((not.truth, b2.truth), (Some(true), None));
    let segment = &not.steps[0];
    assert_eq!((&segment.part, segment.truth), (&Part::Segment("s0".into()), Some(false)));
    // Inside it the rule itself is open.
    assert_eq!((segment.steps[0].truth, segment.steps[0].steps[0].truth), (None, Some(true)));
}

#[test]
fn the_clock_is_asked_for_the_instants_at_which_it_changes_a_rule() {
    let definitions = definitions(&["seen > ago('7d') AND NOT seen > ago('1d')".into()]);
    let mut seen = values(&[None; FLAGS]);
    seen[FLAGS] = Some(Value::Time(1_000));
    let mut look = Membership(&definitions.segments[0].rule);
    const DAY: i64 = 86_400_000;
    let (mut at, mut changes) = (1_000, Vec::new());
    let mut before = look.look(&seen, at).0;
    while let (_, Some(next)) = look.look(&seen, at) {
        at = next;
        let now = look.look(&seen, at).0;
        if now != before {
            changes.push((at, now));
        }
        before = now;
    }
    assert_eq!(changes, [(1_000 + DAY, true), (1_000 + 7 * DAY, false)]);
}
