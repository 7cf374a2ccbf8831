//! Money: exact decimal numbers of six places, as a whole number of millionths.
//!
//! A decimal never passes through a float: it is read from text and written as text.

use std::fmt;

/// Millionths in one unit.
pub const SCALE: i128 = 1_000_000;
const MILLION: u64 = SCALE as u64;
/// The longest text there is: 39 digits, a sign and a point.
const TEXT_MAX: usize = 41;

/// An exact decimal of up to six places: the number of millionths.
// Packed: there are millions of values, and each would take a third more for an alignment that the processor does not ask for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[repr(C, packed(8))]
pub struct Decimal(pub i128);

/// Why a text is not a decimal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecimalError {
    /// Not a number in JSON's grammar.
    Syntax,
    /// More than six places after the point.
    Places,
    /// Beyond ±9,223,372,036,854.775807.
    Range,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecimalError::Syntax => "not a number",
            DecimalError::Places => "more than 6 decimal places",
            DecimalError::Range => "out of range (±9223372036854.775807)",
        })
    }
}

impl Decimal {
    pub const ZERO: Decimal = Decimal(0);

    /// A whole number as a decimal.
    pub fn from_int(n: i64) -> Decimal {
        Decimal(i128::from(n) * SCALE)
    }

    /// The nearest decimal to a double, halves away from zero; `None` when not finite or beyond 10²⁷.
    pub fn from_f64(x: f64) -> Option<Decimal> {
        let scaled = (x * 1e6).round();
        (scaled.abs() < 1e33).then_some(Decimal(scaled as i128))
    }

    /// `self / n`, rounded to six places, halves away from zero; `None` for n = 0.
    pub fn checked_div_int(self, n: i128) -> Option<Decimal> {
        div_round(self.0, n).map(Decimal)
    }

    /// `self * other`, rounded to six places, halves away from zero; `None` on overflow.
    pub fn checked_mul(self, other: Decimal) -> Option<Decimal> {
        div_round(self.0.checked_mul(other.0)?, SCALE).map(Decimal)
    }

    /// Appends what `Display` writes.
    pub fn push(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text(&mut [0; TEXT_MAX]).as_bytes());
    }

    /// The number as text, without zeros at the end: written from the last digit to the first.
    fn text(self, buffer: &mut [u8; TEXT_MAX]) -> &str {
        let n = self.0.unsigned_abs();
        let mut at = TEXT_MAX;
        let mut put = |byte: u8| {
            at -= 1;
            buffer[at] = byte;
        };
        // Nearly all fit 64 bits, where a division costs a tenth.
        let (mut whole, mut fraction) = match u64::try_from(n) {
            Ok(n) => (u128::from(n / MILLION), n % MILLION),
            Err(_) => (n / u128::from(MILLION), (n % u128::from(MILLION)) as u64),
        };
        if fraction != 0 {
            let mut significant = false;
            for _ in 0..6 {
                significant |= fraction % 10 != 0;
                if significant {
                    put(b'0' + (fraction % 10) as u8);
                }
                fraction /= 10;
            }
            put(b'.');
        }
        while whole > u128::from(u64::MAX) {
            put(b'0' + (whole % 10) as u8);
            whole /= 10;
        }
        let mut whole = whole as u64;
        loop {
            put(b'0' + (whole % 10) as u8);
            whole /= 10;
            if whole == 0 {
                break;
            }
        }
        if self.0 < 0 {
            put(b'-');
        }
        std::str::from_utf8(&buffer[at..]).expect("digits are ASCII")
    }

    /// Reads a number in JSON's grammar, exactly.
    ///
    /// Six places at most and within 64 bits of millionths; trailing zeros do not count as places.
    pub fn parse(text: &str) -> Result<Decimal, DecimalError> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = split_exponent(rest)?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let well_formed =
            digits(whole) && (whole == "0" || !whole.starts_with('0')) && (!mantissa.contains('.') || digits(fraction));
        if !well_formed {
            return Err(DecimalError::Syntax);
        }
        let micros = scale_digits(whole, fraction, exponent)?;
        let micros = if negative { -micros } else { micros };
        i64::try_from(micros).map_err(|_| DecimalError::Range)?;
        Ok(Decimal(micros))
    }
}

/// `a / b` rounded to the nearest whole number, halves away from zero; `None` for b = 0.
pub fn div_round(a: i128, b: i128) -> Option<i128> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let away = rest.unsigned_abs() >= b.unsigned_abs() - rest.unsigned_abs();
    let step = if (a < 0) == (b < 0) { 1 } else { -1 };
    if away && rest != 0 { quotient.checked_add(step) } else { Some(quotient) }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn split_exponent(text: &str) -> Result<(&str, i32), DecimalError> {
    let Some(at) = text.find(['e', 'E']) else { return Ok((text, 0)) };
    let exponent = &text[at + 1..];
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !digits(unsigned) {
        return Err(DecimalError::Syntax);
    }
    // An exponent too long for an i32 is out of range or, for zero, meaningless either way.
    let value = exponent.parse::<i32>().unwrap_or(if exponent.starts_with('-') { -1_000_000 } else { 1_000_000 });
    Ok((&text[..at], value.clamp(-1_000_000, 1_000_000)))
}

/// The digits `whole.fraction × 10^exponent` as millionths.
fn scale_digits(whole: &str, fraction: &str, exponent: i32) -> Result<i128, DecimalError> {
    let significant = |b: &u8| *b != b'0';
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let Some(first) = all.iter().position(significant) else { return Ok(0) };
    let last = all.iter().rposition(significant).expect("a first one exists");
    // The last significant digit stands for 10^unit millionths.
    let unit = whole.len() as i64 - 1 - last as i64 + i64::from(exponent) + 6;
    if unit < 0 {
        return Err(DecimalError::Places);
    }
    if unit + (last - first) as i64 > 20 {
        return Err(DecimalError::Range);
    }
    let value = all[first..=last].iter().fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
    Ok(value * 10i128.pow(unit as u32))
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; TEXT_MAX]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_the_round_trip_exactly() {
        for text in ["0", "1", "-1", "150.75", "0.000001", "-0.5", "9223372036854.775807", "-9223372036854.775808"] {
            assert_eq!(Decimal::parse(text).expect(text).to_string(), text);
        }
        for (text, printed) in [
            ("-0.0", "0"),
            ("1e2", "100"),
            ("1.50", "1.5"),
            ("1.0000000", "1"),
            ("2.5E-3", "0.0025"),
            ("0e999999999999", "0"),
        ] {
            assert_eq!(Decimal::parse(text).expect(text).to_string(), printed);
        }
    }

    #[test]
    fn numbers_of_any_size_are_written_as_their_digits() {
        for n in
            [i128::MAX, i128::MIN, i128::from(u64::MAX) * SCALE + 10, i128::from(u64::MAX), 1 << 64, -1, 0, 999_999]
        {
            let digits = format!("{:07}", n.unsigned_abs());
            let (whole, fraction) = digits.split_at(digits.len() - 6);
            let naive = format!("{}{whole}.{fraction}", if n < 0 { "-" } else { "" });
            assert_eq!(Decimal(n).to_string(), naive.trim_end_matches('0').trim_end_matches('.'));
            let mut out = Vec::new();
            Decimal(n).push(&mut out);
            assert_eq!(out, Decimal(n).to_string().as_bytes());
        }
    }

    #[test]
    fn what_is_not_an_exact_amount_is_refused_with_its_reason() {
        use DecimalError::*;
        for (text, why) in [
            ("", Syntax),
            ("+1", Syntax),
            (".5", Syntax),
            ("1.", Syntax),
            ("012", Syntax),
            ("1e", Syntax),
            ("--1", Syntax),
            ("NaN", Syntax),
            ("0.0000001", Places),
            ("1e-7", Places),
            ("1e400", Range),
            ("1e99999999999999", Range),
            ("9223372036854.775808", Range),
        ] {
            assert_eq!(Decimal::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn halves_round_away_from_zero() {
        for (a, b, want) in
            [(5, 2, 3), (-5, 2, -3), (5, -2, -3), (4, 3, 1), (-4, 3, -1), (1, 3, 0), (6, 3, 2), (-1, 2, -1)]
        {
            assert_eq!(div_round(a, b), Some(want), "{a}/{b}");
        }
        assert_eq!(div_round(1, 0), None);
    }
}
