//! Every registered aggregation, with and without `by`, through the laws of order-freedom, and against a naive twin.

use super::naive::{Seen, alike, naive};
use super::*;
use crate::money::Decimal;
use proptest::prelude::*;

/// One event as the laws see it.
#[derive(Clone, Debug)]
struct Sample {
    timestamp: Millis,
    id: String,
    number: i64,
    group: i64,
}

/// The step of what decays here, and the instant of all values.
const HALF_LIFE: i64 = 16;
const AT: Millis = 9;

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    // Few instants, few numbers and few groups: ties and repetitions are the rule.
    prop::collection::vec((0i64..5, -4i64..5, 0i64..4), 0..30).prop_map(|rows| {
        let sample = |(i, (timestamp, number, group))| Sample { timestamp, id: format!("e{i}"), number, group };
        rows.into_iter().enumerate().map(sample).collect()
    })
}

fn forms() -> impl Iterator<Item = Form> {
    Function::ALL.iter().flat_map(|function| [false, true].map(|by| Form { function: *function, by }))
}

fn datum(function: Function, number: i64) -> Datum<'static> {
    match function {
        Function::Sum | Function::Avg | Function::Variance | Function::Stddev | Function::Decayed => {
            Datum::Decimal(Decimal(i128::from(number) * 333_333))
        }
        Function::ApproxPercentile => Datum::Decimal(Decimal(i128::from(number) * 31)),
        Function::Min | Function::Max => Datum::Double(number as f64 * 0.5),
        Function::First | Function::Last | Function::FirstK | Function::TopK | Function::Histogram => {
            Datum::Str(["a", "b", "c", "d", "e", "f", "g", "h", "i"][(number + 4) as usize])
        }
        Function::Count | Function::CountDistinct | Function::LastK => Datum::Int(number),
    }
}

fn constants(function: Function) -> Vec<i64> {
    let constant = |constant: &Constant| match constant {
        Constant::Count { .. } => 3,
        Constant::Share => 750_000,
        Constant::HalfLife => HALF_LIFE,
    };
    function.constants().iter().map(constant).collect()
}

fn result_type(form: Form) -> Type {
    let x = match datum(form.function, 0) {
        Datum::Str(_) => Type::String,
        Datum::Decimal(_) => Type::Decimal,
        Datum::Double(_) => Type::Double,
        _ => Type::Int,
    };
    let args: Vec<Type> = [x].into_iter().chain(form.function.constants().iter().map(|_| Type::Int)).collect();
    form.result_type(&args).expect("it takes these")
}

fn fold(form: Form, keep: i64, samples: &[Sample]) -> Partial {
    let mut partial = form.empty();
    for s in samples {
        let constants = constants(form.function).into_iter().map(Datum::Int);
        let args: Vec<Datum> = [datum(form.function, s.number)].into_iter().chain(constants).collect();
        let args = form.arguments(form.by.then_some(&Datum::Int(s.group)), &args, &Datum::Int(keep));
        partial.add(&Input { args: &args, timestamp: s.timestamp, event_id: &s.id });
    }
    partial
}

fn bytes(partial: &Partial) -> Vec<u8> {
    let mut out = Vec::new();
    partial.encode(&mut out);
    out
}

fn seen(form: Form, samples: &[Sample]) -> Vec<Seen> {
    let value = |s: &Sample| datum(form.function, s.number).to_value().expect("not NULL");
    let seen =
        |s: &Sample| Seen { timestamp: s.timestamp, id: s.id.clone(), value: value(s), group: Value::Int(s.group) };
    samples.iter().map(seen).collect()
}

fn keeps() -> impl Strategy<Value = i64> {
    prop_oneof![Just(1i64), Just(3), Just(1000)]
}

proptest! {
    #[test]
    fn any_order_and_any_grouping_give_the_same_bytes(
        samples in samples(), cuts in prop::collection::vec(0usize..4, 30), seed: u64, keep in keeps(),
    ) {
        for form in forms() {
            let whole = fold(form, keep, &samples);
            let mut shuffled = samples.clone();
            shuffled.sort_by_key(|s| s.id.bytes().fold(seed, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b)));
            let mut parts: Vec<Vec<Sample>> = vec![Vec::new(); 4];
            for (i, s) in shuffled.into_iter().enumerate() {
                parts[cuts[i]].push(s);
            }
            let mut merged = form.empty();
            for part in &parts {
                merged.merge(&fold(form, keep, part));
            }
            prop_assert_eq!(bytes(&merged), bytes(&whole), "{:?}", form);
            merged.merge(&form.empty());
            prop_assert_eq!(bytes(&merged), bytes(&whole), "{:?}", form);
        }
    }

    #[test]
    fn the_value_is_that_of_the_naive_twin(samples in samples(), keep in keeps()) {
        for form in forms() {
            let value = fold(form, keep, &samples).value(result_type(form), AT);
            let twin = naive(form, &constants(form.function), keep as usize, &seen(form, &samples), AT);
            prop_assert!(alike(form.function, &value, &twin), "{form:?}: {value:?}, {twin:?}");
        }
    }

    #[test]
    fn a_partial_survives_its_bytes(samples in samples(), keep in keeps()) {
        for form in forms() {
            let whole = fold(form, keep, &samples);
            let encoded = bytes(&whole);
            let mut input = &encoded[..];
            prop_assert_eq!(form.decode(&mut input), Some(whole), "{:?}", form);
            prop_assert!(input.is_empty());
            for cut in 0..encoded.len() {
                let _ = form.decode(&mut &encoded[..cut]);
            }
        }
    }

    #[test]
    fn foreign_bytes_are_no_partial_and_never_panic(mut bytes: Vec<u8>, version in prop::option::of(Just(1u8))) {
        if let (Some(version), Some(first)) = (version, bytes.first_mut()) {
            *first = version;
        }
        for form in forms() {
            if let Some(partial) = form.decode(&mut &bytes[..]) {
                let _ = partial.value(result_type(form), AT);
            }
        }
    }

    #[test]
    fn what_can_be_taken_back_is_taken_back_exactly(a in samples(), b in samples(), keep in keeps()) {
        for form in forms() {
            let (first, second) = (fold(form, keep, &a), fold(form, keep, &b));
            let mut both = first.clone();
            both.merge(&second);
            let before = both.clone();
            if both.subtract(&second) {
                prop_assert_eq!(both.value(result_type(form), AT), first.value(result_type(form), AT), "{:?}", form);
                both.merge(&second);
            }
            prop_assert_eq!(bytes(&both), bytes(&before), "{:?}", form);
        }
    }

    #[test]
    fn a_partial_is_flagged_when_there_was_more_than_it_keeps(samples in samples(), keep in keeps()) {
        let different = |mut of: Vec<i64>| {
            of.sort();
            of.dedup();
            of.len() as i64
        };
        let groups = different(samples.iter().map(|s| s.group).collect());
        for form in forms().filter(|form| !form.by || !form.function.keeps()) {
            let values = different(samples.iter().map(|s| s.number).collect());
            let flagged = if form.by { groups > keep } else { form.function.keeps() && values > keep };
            prop_assert_eq!(fold(form, keep, &samples).is_flagged(), flagged, "{:?}", form);
        }
    }

    #[test]
    fn past_its_exact_size_count_distinct_is_still_of_the_set(cut in 1usize..5000, seed: u64, more in 0u64..200) {
        // Around the size at which the one becomes the other.
        let numbers: Vec<u64> = (0..4000 + more).map(|n| n.wrapping_mul(seed | 1) >> 3).collect();
        let samples = |numbers: &[u64]| -> Vec<Sample> {
            numbers.iter().map(|n| Sample { timestamp: 0, id: String::new(), number: *n as i64, group: 0 }).collect()
        };
        let form = Form { function: Function::CountDistinct, by: false };
        let whole = fold(form, 1, &samples(&numbers));
        let (a, b) = numbers.split_at(cut.min(numbers.len()));
        for (one, other) in [(a, b), (b, a), (a, &numbers), (&numbers, b)] {
            let mut merged = fold(form, 1, &samples(one));
            merged.merge(&fold(form, 1, &samples(other)));
            prop_assert_eq!(bytes(&merged), bytes(&whole));
        }
        prop_assert_eq!(form.decode(&mut &bytes(&whole)[..]), Some(whole.clone()));
        let mut distinct = numbers.clone();
        distinct.sort();
        distinct.dedup();
        let Some(Value::Int(told)) = whole.value(Type::Int, 0) else { panic!("an int") };
        let error = (told as f64 - distinct.len() as f64).abs() / distinct.len() as f64;
        prop_assert!(if distinct.len() <= 4096 { error == 0.0 } else { error < 0.0324 }, "{told} of {}", distinct.len());
    }
}

/// The bytes that states out there hold of the functions there were first: read for ever.
#[test]
fn the_bytes_of_the_first_eight_functions_are_these() {
    let samples: Vec<Sample> =
        [3, 1, 2, 1].iter().map(|n| Sample { timestamp: *n, id: format!("e{n}"), number: *n, group: 0 }).collect();
    let hex = |function| {
        let bytes = bytes(&fold(Form { function, by: false }, 1, &samples));
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    for (function, want) in [
        (Function::Count, "04"),
        (Function::Sum, "a6ea9c0204"),
        (Function::Avg, "a6ea9c0204"),
        (Function::Min, "0103000000000000e03f"),
        (Function::Max, "0103000000000000f83f"),
        (Function::First, "0102026531040166"),
        (Function::Last, "0106026533040168"),
        (Function::CountDistinct, "03020102020104020106"),
    ] {
        assert_eq!(hex(function), want, "{function:?}");
    }
}

#[test]
fn a_set_written_before_there_were_sketches_is_read() {
    let mut old = Vec::new();
    codec::put_u64(&mut old, 5000);
    for n in 0..5000 {
        let mut value = Vec::new();
        codec::put_datum(&mut value, &Datum::Int(n));
        codec::put_bytes(&mut old, &value);
    }
    let form = Form { function: Function::CountDistinct, by: false };
    let samples: Vec<Sample> =
        (0..5000).map(|n| Sample { timestamp: 0, id: String::new(), number: n, group: 0 }).collect();
    assert_eq!(form.decode(&mut &old[..]), Some(fold(form, 1, &samples)));
}

/// One stands in every pane of every key: what is larger owns memory elsewhere.
#[test]
fn a_partial_is_small() {
    assert_eq!(size_of::<Partial>(), 32);
}

#[test]
fn a_function_is_found_by_its_name_alone() {
    for function in Function::ALL {
        assert_eq!(Function::from_name(function.name()), Some(*function));
        assert_eq!(NAMES.iter().filter(|name| **name == function.name()).count(), 1);
    }
    assert_eq!(NAMES.len(), Function::ALL.len());
    assert_eq!(Function::from_name("median"), None);
    assert!(Function::Sum.result_type(&[Type::String]).is_err());
    assert_eq!(Function::Max.result_type(&[Type::Datetime]), Ok(Type::Datetime));
}
