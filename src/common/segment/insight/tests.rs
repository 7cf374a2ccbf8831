//! Laws of insight: cells add up to everybody, and nothing that is told gives away what is not.

use super::*;
use crate::key::Key;
use crate::money::Decimal;
use crate::value::Value;
use proptest::collection::vec;
use proptest::prelude::*;

const AS_OF: Millis = 1_731_296_325_000;
const TYPES: [Type; 7] = [
    Type::Bool,
    Type::Int,
    Type::Decimal,
    Type::String,
    Type::Datetime,
    Type::List(&Type::String),
    Type::Map(&Type::Int),
];

fn profile(values: Vec<Option<Value>>) -> Profile {
    Profile { key: Key::user("", "u"), as_of: AS_OF, values, others: Vec::new() }
}

/// One profile: a value of each type or none, and where it is.
fn people() -> impl Strategy<Value = Vec<(Vec<Option<Value>>, u8)>> {
    // The first letter is nearly everybody's, the last ones hardly anybody's.
    let letters = || {
        (0u8..40, vec(0u8..5, 0..3), 0u8..60).prop_map(|(often, mut letters, rarely)| {
            letters.extend((often > 0).then_some(5));
            letters.extend((rarely == 0).then_some(6));
            letters.sort_unstable();
            letters.dedup();
            letters
        })
    };
    let json = |text: String| Value::Json(text.into());
    let list = letters().prop_map(move |letters| {
        json(format!("[{}]", letters.iter().map(|l| format!("\"v{l}\"")).collect::<Vec<_>>().join(",")))
    });
    let map = letters().prop_map(move |letters| {
        json(format!("{{{}}}", letters.iter().map(|l| format!("\"k{l}\":1")).collect::<Vec<_>>().join(",")))
    });
    let one = (
        proptest::option::of(any::<bool>().prop_map(Value::Bool)),
        proptest::option::of(prop_oneof![0i64..6, -50i64..2000].prop_map(Value::Int)),
        proptest::option::of(prop_oneof![Just(0i128), 0i128..1 << 40].prop_map(|n| Value::Decimal(Decimal(n)))),
        proptest::option::of((0u64..1 << 24).prop_map(|n| Value::Str(format!("s{}", n.leading_zeros()).into()))),
        proptest::option::of((-5i64..5000).prop_map(|h| Value::Time(AS_OF - h * 3_600_000))),
        proptest::option::of(list),
        proptest::option::of(map),
    );
    let one = one.prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g]);
    (0u8..5, 20usize..400).prop_flat_map(move |(kind, n)| {
        // The audience inside the base, apart from it, overlapping, around it, or with few outside.
        let side = match kind {
            0 => prop_oneof![2 => Just(1u8), 3 => Just(2)].boxed(),
            1 => prop_oneof![2 => Just(0u8), 3 => Just(2)].boxed(),
            2 => (0u8..3).boxed(),
            3 => prop_oneof![2 => Just(0u8), 3 => Just(1)].boxed(),
            _ => prop_oneof![1 => Just(0u8), 40 => Just(1), 60 => Just(2)].boxed(),
        };
        vec((one.clone(), side), n)
    })
}

fn counted(people: &[(Vec<Option<Value>>, u8)]) -> Insight {
    let mut insight = Insight::new(TYPES.iter().copied().enumerate(), AS_OF);
    for (values, side) in people {
        let side = [Side::Audience, Side::Both, Side::Base][usize::from(*side)];
        insight.take(&profile(values.clone()), side);
    }
    insight
}

/// Whether the figures that a reader has of some people, or works out, are of nobody or of enough.
fn is_silent(guard: Guard, audience: u64, base: u64, total: Count) -> bool {
    let good = |n: u64| n == 0 || n >= guard.least();
    let between = match total {
        Count { only: 0, .. } => base - audience,
        Count { rest: 0, .. } => audience - base,
        _ => 0,
    };
    good(audience) && good(base) && good(between)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn cells_add_up_to_everybody(people in people()) {
        let insight = counted(&people);
        let total = insight.total();
        let Ok(told) = insight.tell(0) else { return Ok(()) };
        for told in told.iter().filter(|told| !told.ty.is_nested()) {
            let sums = told.cells.iter().fold((0, 0), |(a, b), cell| (a + cell.audience, b + cell.base));
            prop_assert_eq!(sums, (total.audience(), total.base()), "{:?}", told);
            prop_assert!((0.0..=1.0 + 1e-9).contains(&told.distance));
        }
    }

    /// What is told, and all that is left of everybody when it is taken away, is of nobody or of enough people; and what
    /// is left is of two cells at least. So no sum or difference of figures is of one hidden cell.
    #[test]
    fn nothing_that_is_told_gives_away_what_is_hidden(people in people(), least in 2u64..15) {
        let insight = counted(&people);
        let total = insight.total();
        let (Ok(told), Ok(open)) = (insight.tell(least), insight.tell(0)) else { return Ok(()) };
        let guard = Guard::new(least, total);
        for told in &told {
            for cell in &told.cells {
                prop_assert!(is_silent(guard, cell.audience, cell.base, total), "{:?}", cell);
                if told.ty.is_nested() {
                    let (audience, base) = (total.audience() - cell.audience, total.base() - cell.base);
                    prop_assert!(is_silent(guard, audience, base, total), "without: {:?}", cell);
                }
            }
            let all = open.iter().find(|other| other.tag == told.tag).expect("the same tags");
            let is_told = |what: &What| told.cells.iter().any(|cell| cell.what == *what);
            if told.ty.is_nested() {
                let items = |told: &Told| told.cells.iter().filter(|cell| cell.what != What::Missing).count() as u64;
                prop_assert_eq!(items(told) + told.untold, items(all) + all.untold);
                prop_assert!(told.untold != 1 || all.untold > 0 || items(all) == 1, "one item is hidden: {:?}", told);
                continue;
            }
            let sums = told.cells.iter().fold((0, 0), |(a, b), cell| (a + cell.audience, b + cell.base));
            prop_assert_eq!(sums, (total.audience(), total.base()));
            if told.cells.iter().any(|cell| matches!(cell.what, What::Other { few: true, .. })) {
                let hidden = all.cells.iter().filter(|cell| cell.base + cell.audience > 0 && !is_told(&cell.what));
                let hidden = hidden.filter(|cell| !matches!(cell.what, What::Interval(_))).count();
                let joined = all.cells.iter().any(|cell| matches!(cell.what, What::Interval(_)));
                prop_assert!(joined || hidden >= 2, "{:?} of {:?}", told, all);
            }
        }
    }

    #[test]
    fn the_order_of_profiles_does_not_matter(people in people()) {
        let mut other = people.clone();
        other.reverse();
        let (one, other) = (counted(&people).tell(5), counted(&other).tell(5));
        prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

#[test]
fn beyond_the_table_values_are_told_as_one() {
    let mut insight = Insight::new([(0, Type::String)], AS_OF);
    for i in 0..3 * VALUES_MAX {
        let text = if i % 3 == 0 { "often".to_string() } else { format!("v{i}") };
        insight.take(&profile(vec![Some(Value::Str(text.into()))]), if i % 2 == 0 { Side::Both } else { Side::Base });
    }
    let told = insight.tell(10).expect("told").remove(0);
    assert!(told.full);
    assert_eq!((told.cells[0].what.clone(), told.cells[0].base), (What::Value("often".into()), VALUES_MAX as u64));
    assert_eq!(
        (told.cells[1].what.clone(), told.cells[1].base),
        (What::Other { few: true, with_missing: false }, 2 * VALUES_MAX as u64)
    );
}

#[test]
fn values_of_another_type_are_missing_and_counted() {
    let mut insight = Insight::new([(0, Type::Int)], AS_OF);
    for i in 0..40 {
        let value = if i % 2 == 0 { Value::Int(7) } else { Value::Json("[1]".into()) };
        insight.take(&profile(vec![Some(value)]), Side::Both);
    }
    let told = insight.tell(10).expect("told").remove(0);
    assert_eq!((told.wrong, told.cells.len(), told.cells[1].what.clone()), (true, 2, What::Missing));
}

#[test]
fn long_texts_are_told_as_one() {
    let mut insight = Insight::new([(0, Type::String)], AS_OF);
    for i in 0..40 {
        let text = if i % 2 == 0 { "short".into() } else { "x".repeat(1000) };
        insight.take(&profile(vec![Some(Value::Str(text.into()))]), Side::Both);
    }
    let told = insight.tell(10).expect("told").remove(0);
    assert_eq!(told.cells[1].what, What::Other { few: false, with_missing: false });
    assert!(told.full);
}

#[test]
fn who_has_it_not_may_be_few_too() {
    let mut insight = Insight::new([(0, Type::List(&Type::String))], AS_OF);
    for i in 0..100 {
        let list = if i < 3 {
            "[\"b\"]"
        } else if i < 45 {
            "[\"a\",\"b\"]"
        } else {
            "[\"a\",\"c\"]"
        };
        insight.take(&profile(vec![Some(Value::Json(list.into()))]), if i % 2 == 0 { Side::Both } else { Side::Base });
    }
    // Three have no `a`; told alone, the others would say how many have it.
    let told = insight.tell(4).expect("told").remove(0);
    let items: Vec<&What> = told.cells.iter().map(|cell| &cell.what).collect();
    assert!(items.len() == 1 && !items.contains(&&What::Value("a".into())), "{items:?}");
    assert_eq!(told.untold, 2);
}

#[test]
fn intervals_of_too_few_people_are_joined_and_not_hidden() {
    let mut insight = Insight::new([(0, Type::Decimal)], AS_OF);
    for i in 0..400i128 {
        let side = if (5..100).contains(&i) { Side::Base } else { Side::Both };
        insight.take(&profile(vec![Some(Value::Decimal(Decimal((i + 1) * 1_000_000)))]), side);
    }
    let told = insight.tell(10).expect("told").remove(0);
    assert!(told.cells.len() >= 5, "{told:?}");
    assert!(told.cells.iter().all(|cell| matches!(cell.what, What::Interval(_)) && cell.audience >= 10), "{told:?}");
}
