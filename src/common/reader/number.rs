//! Numbers: digits to integers, eight at a time.

use super::vector;
use crate::time::Millis;

/// An instant of our time in milliseconds, and what is behind it; anything else is for the judge.
#[inline(always)]
pub fn instant(buf: &[u8], at: usize, near: &[u8; 16]) -> Option<(Millis, usize)> {
    // Thirteen digits and then none.
    if vector::digits(near) & 0x3fff == 0x1fff && near[0] != b'0' {
        let number = u128::from_le_bytes(*near);
        // Eight digits, and five more, which three zeros before them make eight.
        let (head, tail) = (number as u64, ((number >> 64) as u64) << 24);
        return Some((eight_digits(head) * 100_000 + eight_digits(tail), at + 13));
    }
    other_instant(buf, at)
}

/// The same of 12 and 14 digits.
#[inline(never)]
fn other_instant(buf: &[u8], at: usize) -> Option<(Millis, usize)> {
    let (n, end) = digits(buf, at);
    ((12..=14).contains(&(end - at)) && buf[at] != b'0').then_some((n, end))
}

/// The length of a short whole number with a comma or a brace behind it.
#[inline(always)]
pub fn whole(near: &[u8; 16]) -> Option<usize> {
    let len = vector::digits(near).trailing_ones() as usize % 16;
    let leads = near[0] != b'0' || len == 1;
    (len > 0 && leads && matches!(near[len], b',' | b'}')).then_some(len)
}

/// An amount in millionths and what is behind it, as long as it is short.
#[inline(never)]
pub fn amount(buf: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = buf[at] == b'-';
    let start = at + usize::from(negative);
    let (whole, mut end) = digits(buf, start);
    let len = end - start;
    if !(1..=12).contains(&len) || (len > 1 && buf[start] == b'0') {
        return None;
    }
    let mut millionths = whole * 1_000_000;
    if buf[end] == b'.' {
        let begins = end + 1;
        let fraction;
        (fraction, end) = digits(buf, begins);
        let places = end - begins;
        if !(1..=6).contains(&places) {
            return None;
        }
        millionths += fraction * [0, 100_000, 10_000, 1000, 100, 10, 1][places];
    }
    Some((if negative { -millionths } else { millionths }, end))
}

/// The digits from `p` on as a number, and where they end. Of more than 18 the number means nothing.
#[inline(always)]
fn digits(buf: &[u8], p: usize) -> (i64, usize) {
    let mut n = 0i64;
    let mut at = p;
    let eight = u64::from_le_bytes(*buf[at..].first_chunk().expect("a buffer has slack behind its last line"));
    if all_digits(eight) {
        n = eight_digits(eight);
        at += 8;
    }
    while buf[at].is_ascii_digit() {
        n = n.wrapping_mul(10).wrapping_add(i64::from(buf[at] - b'0'));
        at += 1;
    }
    (n, at)
}

#[inline(always)]
fn all_digits(eight: u64) -> bool {
    // A digit's upper half is 3, and stays 3 when 6 is added.
    let upper = 0xf0f0_f0f0_f0f0_f0f0;
    (eight & upper) | ((eight.wrapping_add(0x0606_0606_0606_0606) & upper) >> 4) == 0x3333_3333_3333_3333
}

/// Eight digits, the first in the lowest byte: pairs, then fours, then all.
#[inline(always)]
fn eight_digits(eight: u64) -> i64 {
    let n = eight & 0x0f0f_0f0f_0f0f_0f0f;
    let n = (n.wrapping_mul(10) + (n >> 8)) & 0x00ff_00ff_00ff_00ff;
    let n = (n.wrapping_mul(100) + (n >> 16)) & 0x0000_ffff_0000_ffff;
    (n.wrapping_mul(10_000) + (n >> 32)) as u32 as i64
}
