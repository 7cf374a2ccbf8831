//! Wide integers: 256 bits without a sign, for sums of squares and weighted sums, and their one way to a double.

use std::ops::{Shl, Shr};

/// `high` × 2¹²⁸ + `low`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Wide {
    pub high: u128,
    pub low: u128,
}

impl Wide {
    pub const ZERO: Wide = Wide { high: 0, low: 0 };

    /// `a` × `b`, which always fits.
    pub fn product(a: u128, b: u128) -> Wide {
        let (a1, a0, b1, b0) = (a >> 64, a as u64 as u128, b >> 64, b as u64 as u128);
        let low = a0 * b0;
        let middle = a1 * b0 + (low >> 64);
        let carried = a0 * b1 + (middle as u64 as u128);
        Wide { high: a1 * b1 + (middle >> 64) + (carried >> 64), low: carried << 64 | low as u64 as u128 }
    }

    /// The sum modulo 2²⁵⁶: in whatever order, the same.
    pub fn wrapping_add(self, other: Wide) -> Wide {
        let (low, carry) = self.low.overflowing_add(other.low);
        Wide { high: self.high.wrapping_add(other.high).wrapping_add(u128::from(carry)), low }
    }

    /// The difference modulo 2²⁵⁶.
    pub fn wrapping_sub(self, other: Wide) -> Wide {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Wide { high: self.high.wrapping_sub(other.high).wrapping_sub(u128::from(borrow)), low }
    }

    pub fn checked_sub(self, other: Wide) -> Option<Wide> {
        (self >= other).then(|| self.wrapping_sub(other))
    }

    pub fn checked_mul(self, n: u128) -> Option<Wide> {
        let (high, low) = (Wide::product(self.high, n), Wide::product(self.low, n));
        let sum = high.low.checked_add(low.high)?;
        (high.high == 0).then_some(Wide { high: sum, low: low.low })
    }

    /// How many bits it takes to write it; 0 for zero.
    pub fn bits(self) -> u32 {
        256 - if self.high == 0 { 128 + self.low.leading_zeros() } else { self.high.leading_zeros() }
    }

    /// Quotient and remainder; `divisor` is neither 0 nor 2¹²⁷ or more.
    pub fn div_rem(self, divisor: u128) -> (Wide, u128) {
        debug_assert!(divisor != 0 && divisor >> 127 == 0);
        let (mut quotient, mut rest) = (Wide::ZERO, 0u128);
        for bit in (0..self.bits()).rev() {
            rest = rest << 1 | (self >> bit).low & 1;
            quotient = quotient << 1;
            if rest >= divisor {
                rest -= divisor;
                quotient.low |= 1;
            }
        }
        (quotient, rest)
    }

    /// The root, rounded down, and whether it is exact.
    pub fn root(self) -> (u128, bool) {
        let (mut root, mut bit) = (0u128, 1u128 << (self.bits().saturating_sub(1) / 2));
        while bit != 0 {
            let tried = root | bit;
            if Wide::product(tried, tried) <= self {
                root = tried;
            }
            bit >>= 1;
        }
        (root, Wide::product(root, root) == self)
    }

    /// The double nearest to (this number, and a part of one more if `more`) × 2^`exponent`; ties go to even.
    ///
    /// With `more` it has 55 bits or more, so that the part decides ties and nothing else.
    pub fn to_f64(self, more: bool, exponent: i32) -> f64 {
        debug_assert!(!more || self.bits() >= 55);
        let drop = self.bits().saturating_sub(53);
        let mut top = (self >> drop).low as u64;
        if drop > 0 {
            let (rest, half) = (self.wrapping_sub((self >> drop) << drop), Wide { high: 0, low: 1 } << (drop - 1));
            top += u64::from(rest > half || rest == half && (more || top & 1 == 1));
        }
        // A power of two is exact, and so is the product: nothing here comes near the ends of what a double holds.
        top as f64 * f64::from_bits(((1023 + drop as i32 + exponent) as u64) << 52)
    }
}

impl Shl<u32> for Wide {
    type Output = Wide;

    fn shl(self, n: u32) -> Wide {
        match n {
            0 => self,
            1..128 => Wide { high: self.high << n | self.low >> (128 - n), low: self.low << n },
            128..256 => Wide { high: self.low << (n - 128), low: 0 },
            _ => Wide::ZERO,
        }
    }
}

impl Shr<u32> for Wide {
    type Output = Wide;

    fn shr(self, n: u32) -> Wide {
        match n {
            0 => self,
            1..128 => Wide { high: self.high >> n, low: self.low >> n | self.high << (128 - n) },
            128..256 => Wide { high: 0, low: self.high >> (n - 128) },
            _ => Wide::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wide(high: u128, low: u128) -> Wide {
        Wide { high, low }
    }

    proptest! {
        #[test]
        fn the_laws_of_arithmetic_hold(a: u128, b: u128, c: u128, d in 1u128..1 << 127, n in 0u32..256) {
            let (x, y) = (wide(a, b), wide(b, c));
            prop_assert_eq!(x.wrapping_add(y).wrapping_sub(y), x);
            // (a + b)² = a² + 2ab + b², halved so that nothing overflows.
            let (a, b) = (a >> 2, b >> 2);
            let squares = Wide::product(a, a).wrapping_add(Wide::product(b, b));
            prop_assert_eq!(Wide::product(a + b, a + b), squares.wrapping_add(Wide::product(a, b) << 1));
            prop_assert_eq!(Wide::product(a, b).checked_mul(1), Some(Wide::product(b, a)));
            let (quotient, rest) = x.div_rem(d);
            prop_assert!(rest < d);
            prop_assert_eq!(quotient.checked_mul(d).expect("it came from there").wrapping_add(wide(0, rest)), x);
            let (root, exact) = x.root();
            prop_assert!(Wide::product(root, root) <= x);
            prop_assert!(root == u128::MAX || Wide::product(root + 1, root + 1) > x);
            prop_assert_eq!(exact, Wide::product(root, root) == x);
            prop_assert_eq!((x >> n) << n, x.wrapping_sub(x.wrapping_sub((x >> n) << n)));
            prop_assert_eq!(x >> n, (0..n).fold(x, |x, _| x >> 1));
        }

        #[test]
        fn a_double_is_the_nearest_one(low: u128, exponent in -40i32..40) {
            prop_assert_eq!(wide(0, low).to_f64(false, exponent), low as f64 * 2f64.powi(exponent));
        }
    }

    #[test]
    fn a_part_of_one_more_decides_ties_and_nothing_else() {
        let tie = wide(0, (1 << 60) + (1 << 7));
        assert_eq!(tie.to_f64(false, 0), (1u64 << 60) as f64);
        assert_eq!(tie.to_f64(true, 0), ((1u64 << 60) + (1 << 8)) as f64);
        assert_eq!(wide(0, 1 << 60).to_f64(true, 0), (1u64 << 60) as f64);
        assert_eq!(wide(u128::MAX, 0).checked_mul(2), None);
    }
}
