//! Numbers from text: moved by powers of ten without ever being a float.
//!
//! The grammar is that of foreign files: JSON's, and also `+5`, `.5`, `5.` and `007`.

use crate::money::DecimalError;

/// What happens to digits behind the last place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rounding {
    /// They must be zeros.
    Exact,
    /// Towards the past: an instant belongs to the millisecond it lies in.
    Floor,
    /// To the nearest, halves away from zero.
    Nearest,
}

/// The whole number `text × 10^shift`.
pub fn scaled(text: &str, shift: i32, rounding: Rounding) -> Result<i128, DecimalError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::Syntax);
    }
    let zeros = all.iter().take_while(|b| **b == b'0').count();
    let point = whole.len() as i64 + exponent + i64::from(shift) - zeros as i64;
    let (kept, rest) = cut(&all[zeros..], point)?;
    let up = match rounding {
        Rounding::Exact if rest.iter().any(|b| *b != b'0') => return Err(DecimalError::Places),
        Rounding::Exact => false,
        Rounding::Floor => negative && rest.iter().any(|b| *b != b'0'),
        // Before the point only zeros follow a negative one: then the rest is under a half.
        Rounding::Nearest => point >= 0 && rest.first().is_some_and(|b| *b >= b'5'),
    };
    let value = kept + i128::from(up);
    Ok(if negative { -value } else { value })
}

/// The digits before `point` as a number, and those behind it.
fn cut(digits: &[u8], point: i64) -> Result<(i128, &[u8]), DecimalError> {
    if digits.is_empty() || point <= 0 {
        return Ok((0, digits));
    }
    // 10³⁰ is beyond every instant and amount, and far from the end of an i128.
    if point > 30 {
        return Err(DecimalError::Range);
    }
    let point = point as usize;
    let (kept, rest) = digits.split_at(point.min(digits.len()));
    let value = kept.iter().fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
    Ok((value * 10i128.pow((point - kept.len()) as u32), rest))
}

fn exponent(text: &str) -> Result<i64, DecimalError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    // Beyond a million the sign alone decides.
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000);
    Ok(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seconds_with_a_fraction_are_exact_milliseconds() {
        for (text, shift, want) in [
            ("1669113415.317", 3, 1_669_113_415_317),
            ("1669113415", 3, 1_669_113_415_000),
            ("1669113415.3179999", 3, 1_669_113_415_317),
            ("1.669113415317E9", 3, 1_669_113_415_317),
            ("1669113415317123", -3, 1_669_113_415_317),
            ("1669113415317123456", -6, 1_669_113_415_317),
            ("0.0004", 3, 0),
            ("-0.0004", 3, -1),
            ("007.", 0, 7),
            ("+.5", 1, 5),
            ("0e999999999999", 0, 0),
            ("1e-999999999999", 0, 0),
        ] {
            assert_eq!(scaled(text, shift, Rounding::Floor), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_has_a_reason() {
        for text in ["", "-", ".", "1.2.3", "abc", "1e", "0x10", "1_000", "NaN", "1,5", "--1", "e5", "1e+-2"] {
            assert_eq!(scaled(text, 0, Rounding::Floor), Err(DecimalError::Syntax), "{text}");
        }
        assert_eq!(scaled("1e400", 0, Rounding::Floor), Err(DecimalError::Range));
        assert_eq!(scaled("1.5", 0, Rounding::Exact), Err(DecimalError::Places));
        assert_eq!(scaled("1.500", 1, Rounding::Exact), Ok(15));
        assert_eq!(scaled("30.000000000000004", 6, Rounding::Nearest), Ok(30_000_000));
        assert_eq!(scaled("-0.5", 0, Rounding::Nearest), Ok(-1));
        assert_eq!(scaled("0.05", 0, Rounding::Nearest), Ok(0));
        assert_eq!(scaled("0.9999999", 6, Rounding::Nearest), Ok(1_000_000));
    }

    proptest! {
        #[test]
        fn a_whole_number_shifted_up_and_down_is_itself(n in any::<i64>(), places in 0usize..9) {
            let digits = n.unsigned_abs().to_string();
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            let text = format!("{}{whole}.{fraction}", if n < 0 { "-" } else { "" });
            prop_assert_eq!(scaled(&text, places as i32, Rounding::Exact), Ok(i128::from(n)));
            prop_assert_eq!(scaled(&format!("{n}e-{places}"), places as i32, Rounding::Exact), Ok(i128::from(n)));
        }
    }
}
