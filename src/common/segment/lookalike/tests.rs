//! Laws of lookalikes: the solver's minimum, the measures, samples, features.

use super::encode::{Column, LeftOut, WORDS_MAX};
use super::measure::Ranks;
use super::sample::{Sample, is_held_out};
use super::solve::{GRADIENT_MAX, Rows, fit, sigmoid};
use super::{Options, Row, repeating, train};
use crate::key::Key;
use crate::money::Decimal;
use crate::tag::Definitions;
use crate::time::DAY;
use crate::value::Value;
use proptest::prelude::*;

const AS_OF: i64 = 1_731_296_325_000;

fn key(i: usize) -> Key {
    Key::user("", &format!("u-{i:04}"))
}

/// The features of a row that are not zero.
type Sparse = Vec<(u32, f64)>;

/// A problem with few features, each present or not.
fn problem() -> impl Strategy<Value = (Vec<Sparse>, Vec<bool>, f64)> {
    let row = prop::collection::vec(prop::option::of(-3.0f64..3.0), 4);
    let rows = prop::collection::vec((row, any::<bool>()), 4..60);
    (rows, 0.01f64..10.0).prop_filter_map("both sides", |(rows, l2)| {
        let (rows, labels): (Vec<_>, Vec<bool>) = rows.into_iter().unzip();
        let sparse = |row: Vec<Option<f64>>| (0..).zip(row).filter_map(|(i, x)| Some((i, x?))).collect();
        let both = labels.contains(&true) && labels.contains(&false);
        both.then(|| (rows.into_iter().map(sparse).collect(), labels, l2))
    })
}

fn rows(of: &[Sparse]) -> Rows {
    let mut rows = Rows::default();
    of.iter().for_each(|row| rows.push(row));
    rows
}

/// The gradient of the objective, written down once more, densely.
fn gradient(of: &[Sparse], labels: &[bool], at: &[f64], l2: f64) -> Vec<f64> {
    let width = at.len() - 1;
    let mut sums: Vec<f64> = at.iter().map(|w| l2 * w).collect();
    sums[width] = 0.0;
    for (row, label) in of.iter().zip(labels) {
        let margin = at[width] + row.iter().map(|(i, x)| at[*i as usize] * x).sum::<f64>();
        let over = 1.0 / (1.0 + (-margin).exp()) - f64::from(u8::from(*label));
        row.iter().for_each(|(i, x)| sums[*i as usize] += over * x);
        sums[width] += over;
    }
    sums
}

proptest! {
    // The objective is convex: where its gradient is zero is its minimum, however it was found.
    #[test]
    fn no_direction_leads_down_from_what_was_found((of, labels, l2) in problem()) {
        let found = fit(&rows(&of), &labels, 4, l2);
        let mut at = found.weights.clone();
        at.push(found.intercept);
        for part in gradient(&of, &labels, &at, l2) {
            prop_assert!(part.abs() <= 2.0 * GRADIENT_MAX, "{part} at {at:?} after {} steps", found.steps);
        }
    }

    // Each held-out user of the seed copied as often as she counts, ties shared out: the same figures by counting.
    #[test]
    fn measures_are_what_counting_says(
        logits in prop::collection::vec((0u8..6, any::<bool>()), 2..60),
        weight in 1u8..4,
        share in 0.01f64..1.0,
    ) {
        let side = |of: bool, one: f64| {
            let those = logits[2..].iter().filter(|(_, is_seed)| *is_seed == of).map(|(logit, _)| f64::from(*logit));
            those.chain([one]).collect::<Vec<f64>>()
        };
        let (seeds, rest) = (side(true, f64::from(logits[0].0)), side(false, f64::from(logits[1].0)));
        let weight = f64::from(weight);
        let all = seeds.len() as u64 * weight as u64 + rest.len() as u64;
        let size = ((all as f64 * share).round() as u64).max(1);
        let mut ranks = Ranks::new(seeds.clone());
        rest.iter().for_each(|logit| ranks.count(*logit));
        let found = ranks.measure(weight, size, all);
        let mut expected = 0.0;
        for own in &seeds {
            let count = |of: &[f64], than: fn(&f64, &f64) -> bool| of.iter().filter(|x| than(x, own)).count() as f64;
            let above = weight * count(&seeds, |x, own| x > own) + count(&rest, |x, own| x > own);
            let equal = weight * count(&seeds, |x, own| x == own) + count(&rest, |x, own| x == own);
            expected += ((size as f64 - above) / equal).clamp(0.0, 1.0) / seeds.len() as f64;
        }
        prop_assert_eq!((found.size, found.seed, found.others), (size, seeds.len() as u64, rest.len() as u64));
        prop_assert!((found.recall - expected).abs() < 1e-9, "{} {expected}", found.recall);
        prop_assert!((found.lift - expected / (size as f64 / all as f64)).abs() < 1e-9);
        prop_assert!(found.lift_low <= found.lift + 1e-9 && found.lift <= found.lift_high + 1e-9);
        let pair = |s: &f64, o: &f64| if s > o { 1.0 } else if s == o { 0.5 } else { 0.0 };
        let won: f64 = seeds.iter().flat_map(|s| rest.iter().map(move |o| pair(s, o))).sum();
        prop_assert!((found.auc - won / (seeds.len() * rest.len()) as f64).abs() < 1e-9);
    }

    #[test]
    fn a_sample_knows_no_order(order in Just((0..200).collect::<Vec<usize>>()).prop_shuffle(), size in 1usize..250) {
        let taken = |order: &[usize]| {
            let mut sample = Sample::new(size, 7);
            order.iter().for_each(|i| sample.offer(&key(*i), || *i));
            (sample.offered(), sample.split())
        };
        let (offered, (learned, held)) = taken(&order);
        prop_assert_eq!(offered, 200);
        prop_assert_eq!(learned.len() + held.len(), size.min(200));
        prop_assert_eq!(held.len(), (size.min(200) + 2) / 5);
        prop_assert!(learned.iter().chain(&held).all(|(of, i)| *of == key(*i)));
        let sorted: Vec<usize> = (0..200).collect();
        prop_assert_eq!((learned, held), taken(&sorted).1);
    }
}

#[test]
fn another_seed_of_chance_takes_another_sample() {
    let taken = |chance| {
        let mut sample = Sample::new(50, chance);
        (0..200).for_each(|i| sample.offer(&key(i), || i));
        sample.split().1
    };
    assert_ne!(taken(1), taken(2));
    let held = |chance| (0..5_000).filter(|i| is_held_out(chance, &key(*i))).collect::<Vec<usize>>();
    assert!((900..1_100).contains(&held(1).len()), "{}", held(1).len());
    assert_ne!(held(1), held(2));
}

#[test]
fn sides_that_one_feature_parts_have_finite_weights() {
    let of: Vec<Sparse> = (0..40).map(|i| vec![(0, if i < 20 { 1e6 } else { -1e6 })]).collect();
    let labels: Vec<bool> = (0..40).map(|i| i < 20).collect();
    let found = fit(&rows(&of), &labels, 1, 1.0);
    assert!(found.weights[0] > 0.0 && found.weights[0].is_finite() && found.intercept.abs() < 1e-3, "{found:?}");
    assert!((sigmoid(800.0), sigmoid(-800.0)) == (1.0, 0.0));
}

fn definitions(tags: &str) -> Definitions {
    Definitions::parse(tags, "test").unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn imported(ty: &str) -> Definitions {
    definitions(&format!("[[tag]]\ncode = \"t\"\ntype = \"{ty}\"\nupdate = \"import\"\n"))
}

/// The column of some values, and the features of others.
fn features(ty: &str, learned: &[Option<Value>], others: &[Option<Value>]) -> Vec<Sparse> {
    let rows: Vec<Row> = learned.iter().map(|value| vec![value.clone()]).collect();
    let rows: Vec<&Row> = rows.iter().collect();
    let column = Column::learn(&imported(ty), (0, 0), 10, &rows, AS_OF).expect("learned");
    assert_eq!(column.names().len(), column.width() as usize);
    let encode = |value: &Option<Value>| {
        let mut row = Vec::new();
        column.push(value.as_ref(), AS_OF, &mut row);
        row
    };
    others.iter().map(encode).collect()
}

fn text(s: &str) -> Option<Value> {
    Some(Value::Str(s.into()))
}

#[test]
fn numbers_are_standardised_and_kept_in_the_range_that_was_seen() {
    let learned = [1, 2, 3].map(|n| Some(Value::Int(n)));
    let asked = [Some(Value::Int(2)), Some(Value::Int(3)), Some(Value::Int(1_000_000)), None];
    let side = (1.5f64).sqrt();
    let got = features("int", &learned, &asked);
    assert_eq!((got[0][0], got[3][0]), ((10, 0.0), (11, 1.0)));
    assert!((got[1][0].1 - side).abs() < 1e-12 && got[1] == got[2], "{got:?}");
    // The age of an instant, in days.
    let got = features(
        "datetime",
        &[1, 2, 3].map(|days| Some(Value::Time(AS_OF - days * DAY))),
        &[Some(Value::Time(AS_OF - 3 * DAY)), Some(Value::Time(i64::MIN))],
    );
    assert!((got[0][0].1 - side).abs() < 1e-12 && got[0] == got[1], "{got:?}");
}

#[test]
fn heavy_tails_are_looked_at_through_a_logarithm() {
    let tail: Vec<Option<Value>> = (0..20).map(|i| Some(Value::Decimal(Decimal(1_000_000 << i)))).collect();
    let got = features("decimal", &tail, &tail);
    let steps: Vec<f64> = got.windows(2).map(|pair| pair[1][0].1 - pair[0][0].1).collect();
    assert!(steps.iter().all(|step| (0.05..0.3).contains(step)), "{steps:?}");
    let huge = [1e300, -1e300, 2.0, 1e308].map(|x| Some(Value::Double(x)));
    assert!(features("double", &huge, &huge).iter().all(|row| row[0].1.abs() < 3.0));
}

#[test]
fn words_have_a_feature_each_and_rare_ones_one_together() {
    let learned = ["a", "a", "a", "b", "b", "c"].map(text);
    let got = features("string", &learned, &[text("a"), text("b"), text("c"), text("new"), None]);
    assert_eq!(got, [10, 11, 12, 12, 13].map(|feature| vec![(feature, 1.0)]));
    let many: Vec<Option<Value>> = (0..200).map(|i| text(&format!("{:02}", i % 50))).collect();
    let got = features("string", &many, &[text("00"), text("31"), text("32"), text("49")]);
    let other = 10 + WORDS_MAX as u32;
    assert_eq!(got, [10, 41, other, other].map(|feature| vec![(feature, 1.0)]));
}

#[test]
fn lists_and_maps_have_many_words_each_once() {
    let json = |text: &str| Some(Value::Json(text.into()));
    let learned = [r#"["x","y"]"#, r#"["y","y"]"#, r#"["x"]"#, "[]"].map(json);
    let got = features("list<string>", &learned, &[json(r#"["y","x","y"]"#), json("[]"), json(r#"["z","q"]"#)]);
    assert_eq!(got, [vec![(10, 1.0), (11, 1.0)], vec![], vec![(12, 1.0)]]);
    let got = features("list<int>", &["[1,2]", "[1]"].map(json), &[json("[1]"), json("[2]")]);
    assert_eq!(got, [vec![(10, 1.0)], vec![(11, 1.0)]]);
    let got = features("map<int>", &[r#"{"a":1}"#, r#"{"a":9,"b":2}"#].map(json), &[json(r#"{"a":5}"#)]);
    assert_eq!(got, [vec![(10, 1.0)]]);
}

#[test]
fn what_says_nothing_is_left_out_with_the_reason() {
    let learn = |ty: &str, values: Vec<Option<Value>>| {
        let rows: Vec<Row> = values.into_iter().map(|value| vec![value]).collect();
        Column::learn(&imported(ty), (0, 0), 0, &rows.iter().collect::<Vec<_>>(), AS_OF).map(drop)
    };
    assert_eq!(learn("int", vec![None, None]), Err(LeftOut::Missing));
    assert_eq!(learn("int", vec![Some(Value::Int(1)), Some(Value::Int(1))]), Err(LeftOut::Constant));
    assert_eq!(learn("int", vec![Some(Value::Int(1)), None]), Ok(()));
    assert_eq!(learn("string", (0..30).map(|i| text(&format!("id{i}"))).collect()), Err(LeftOut::Identifier));
    assert_eq!(learn("string", (0..30).map(|i| text(&format!("id{}", i / 2))).collect()), Ok(()));
}

#[test]
fn what_repeats_a_rule_is_its_tags_their_inputs_and_all_that_is_made_of_them() {
    let derived = |code: &str, value: &str| format!("[[tag]]\ncode = \"{code}\"\nvalue = \"{value}\"\n");
    let count = |code: &str, kind: &str| {
        format!("[[tag]]\ncode = \"{code}\"\nvalue = \"count(*)\"\nwhere = \"eventType = '{kind}'\"\n")
    };
    let text = count("clicks", "click")
        + &count("views", "view")
        + &derived("ratio", "clicks * 10")
        + &derived("grade", "ratio + 1")
        + &derived("other", "views + 1");
    let definitions = definitions(&text);
    let repeats = |code: &str| {
        let found = repeating(&definitions, &[definitions.index(code).expect("a tag")]);
        found.into_iter().map(|tag| &*definitions.tags[tag].code).collect::<Vec<&str>>()
    };
    assert_eq!(repeats("clicks"), ["clicks", "ratio", "grade"]);
    assert_eq!(repeats("grade"), ["clicks", "ratio", "grade"]);
    assert_eq!(repeats("views"), ["views", "other"]);
    assert_eq!(repeating(&definitions, &[]), [0usize; 0]);
}

/// Of those with `true`, 90 of 100 are of the seed; of the others, 10 of 100: the model has to say just that.
#[test]
fn scores_are_probabilities_of_the_whole_however_small_the_sample_is() {
    let definitions = imported("bool");
    let sampled = |size: usize| {
        let (mut seed, mut others) = (Sample::<Row>::new(size, 3), Sample::<Row>::new(size, 3));
        for i in 0..20_000 {
            let is_true = i % 10 == 0;
            let is_seed = if is_true { i % 100 != 0 } else { i % 10 == 1 };
            let part = if is_seed { &mut seed } else { &mut others };
            if is_seed || !is_held_out(3, &key(i)) {
                part.offer(&key(i), || vec![Some(Value::Bool(is_true))]);
            }
        }
        let options = Options { l2: 1e-3, as_of: AS_OF, others: 16_200 };
        train(&definitions, &[0], seed, others, options)
    };
    for size in [1_000_000, 2_000] {
        let trained = sampled(size);
        let logit = |is_true| {
            let value = Value::Bool(is_true);
            let pulls = trained.model.pulls(|_| Some(&value));
            trained.model.logit(&pulls)
        };
        // 1,800 of 2,000 and 2,000 of 18,000.
        assert!((sigmoid(logit(true)) - 0.9).abs() < 0.02, "{size}: {}", sigmoid(logit(true)));
        assert!((sigmoid(logit(false)) - 1.0 / 9.0).abs() < 0.02, "{size}: {}", sigmoid(logit(false)));
        // Who is like the others on average has the intercept for a logit.
        let at_mean = logit(false) + trained.model.weights[0] * trained.model.means[0];
        assert!((trained.model.intercept - at_mean).abs() < 1e-9);
    }
}
