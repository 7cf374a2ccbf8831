//! Every registered aggregation through the laws of order-freedom, and against a naive twin.

use super::*;
use crate::money::Decimal;
use proptest::prelude::*;

/// One event as the laws see it.
#[derive(Clone, Debug)]
struct Sample {
    timestamp: Millis,
    id: String,
    number: i64,
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    // Few instants and few numbers: ties and repetitions are the rule.
    prop::collection::vec((0i64..5, -4i64..5), 0..30).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(i, (timestamp, number))| Sample { timestamp, id: format!("e{i}"), number })
            .collect()
    })
}

fn datum(function: Function, number: i64) -> Datum<'static> {
    match function {
        Function::Sum | Function::Avg => Datum::Decimal(Decimal(i128::from(number) * 333_333)),
        Function::Min | Function::Max => Datum::Double(number as f64 * 0.0f64.max(0.5)),
        Function::First | Function::Last => {
            Datum::Str(["a", "b", "c", "d", "e", "f", "g", "h", "i"][(number + 4) as usize])
        }
        Function::Count | Function::CountDistinct => Datum::Int(number),
    }
}

fn fold(function: Function, samples: &[Sample]) -> Partial {
    let mut partial = function.empty();
    for s in samples {
        partial.add(&Input { args: &[datum(function, s.number)], timestamp: s.timestamp, event_id: &s.id });
    }
    partial
}

fn bytes(partial: &Partial) -> Vec<u8> {
    let mut out = Vec::new();
    partial.encode(&mut out);
    out
}

/// What the function means, told as simply as can be.
fn naive(function: Function, samples: &[Sample]) -> Option<Value> {
    let total: i128 = samples.iter().map(|s| i128::from(s.number) * 333_333).sum();
    let mut by_time: Vec<&Sample> = samples.iter().collect();
    by_time.sort_by_key(|s| (s.timestamp, s.id.clone()));
    let value = |s: &&Sample| datum(function, s.number).to_value();
    let mut numbers: Vec<i64> = samples.iter().map(|s| s.number).collect();
    numbers.sort();
    numbers.dedup();
    match function {
        Function::Count => Some(Value::Int(samples.len() as i64)),
        Function::CountDistinct => Some(Value::Int(numbers.len() as i64)),
        Function::Sum => (!samples.is_empty()).then_some(Value::Decimal(Decimal(total))),
        Function::Avg => Decimal(total).checked_div_int(samples.len() as i128).map(Value::Decimal),
        Function::Min => numbers.first().and_then(|n| datum(function, *n).to_value()),
        Function::Max => numbers.last().and_then(|n| datum(function, *n).to_value()),
        Function::First => by_time.first().and_then(value),
        Function::Last => by_time.last().and_then(value),
    }
}

proptest! {
    #[test]
    fn any_order_and_any_grouping_give_the_same_bytes(samples in samples(), cuts in prop::collection::vec(0usize..4, 30), seed: u64) {
        for function in Function::ALL.iter().copied() {
            let whole = fold(function, &samples);
            let mut shuffled = samples.clone();
            shuffled.sort_by_key(|s| s.id.bytes().fold(seed, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b)));
            let mut parts: Vec<Vec<Sample>> = vec![Vec::new(); 4];
            for (i, s) in shuffled.into_iter().enumerate() {
                parts[cuts[i]].push(s);
            }
            let mut merged = function.empty();
            for part in &parts {
                merged.merge(&fold(function, part));
            }
            prop_assert_eq!(bytes(&merged), bytes(&whole), "{}", function.name());
            merged.merge(&function.empty());
            prop_assert_eq!(bytes(&merged), bytes(&whole), "{}", function.name());
        }
    }

    #[test]
    fn the_value_is_that_of_the_naive_twin(samples in samples()) {
        for function in Function::ALL.iter().copied() {
            let ty = match function {
                Function::Sum | Function::Avg => Type::Decimal,
                Function::Min | Function::Max => Type::Double,
                Function::First | Function::Last => Type::String,
                _ => Type::Int,
            };
            prop_assert_eq!(fold(function, &samples).value(ty), naive(function, &samples), "{}", function.name());
        }
    }

    #[test]
    fn a_partial_survives_its_bytes(samples in samples()) {
        for function in Function::ALL.iter().copied() {
            let whole = fold(function, &samples);
            let encoded = bytes(&whole);
            let mut input = &encoded[..];
            prop_assert_eq!(function.decode(&mut input), Some(whole), "{}", function.name());
            prop_assert!(input.is_empty());
            for cut in 0..encoded.len() {
                let _ = function.decode(&mut &encoded[..cut]);
            }
        }
    }

    #[test]
    fn what_can_be_taken_back_is_taken_back_exactly(a in samples(), b in samples()) {
        for function in Function::ALL.iter().copied() {
            let (first, second) = (fold(function, &a), fold(function, &b));
            let mut both = first.clone();
            both.merge(&second);
            if both.subtract(&second) {
                prop_assert_eq!(bytes(&both), bytes(&first), "{}", function.name());
            }
        }
    }
}

#[test]
fn a_function_is_found_by_its_name_alone() {
    for function in Function::ALL {
        assert_eq!(Function::from_name(function.name()), Some(*function));
    }
    assert_eq!(NAMES.len(), Function::ALL.len());
    assert!(result_type("median", &[Type::Int]).is_err());
    assert!(result_type("sum", &[Type::String]).is_err());
    assert_eq!(result_type("max", &[Type::Datetime]), Ok(Type::Datetime));
}
