//! Vectors: the bytes among sixteen at which the scan of a string has to look.
//!
//! SSE2 belongs to every x86-64, so one build runs everywhere; other machines get a plain loop that does the same.
// The compiler counts intrinsics as unsafe where the feature is not spelt out, also when it is always there.
#![allow(unsafe_code)]

/// What a plain string of printable ASCII ends or stops at: quotes, backslashes, control bytes, DEL, bytes beyond ASCII.
#[inline(always)]
pub fn odd(chunk: &[u8; 16]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86-64, and nothing here touches memory.
    unsafe {
        use core::arch::x86_64::*;
        let x = vector(chunk);
        // One more than DEL and anything beyond ASCII is, as a signed byte, at most zero, and less than one more than a blank.
        let low = _mm_cmplt_epi8(_mm_add_epi8(x, _mm_set1_epi8(1)), _mm_set1_epi8(0x21));
        let quote = _mm_cmpeq_epi8(x, _mm_set1_epi8(b'"' as i8));
        let slash = _mm_cmpeq_epi8(x, _mm_set1_epi8(b'\\' as i8));
        _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, slash))) as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    mask(chunk, is_odd)
}

/// What any string ends or stops at: quotes, backslashes, control bytes.
#[inline(always)]
pub fn end(chunk: &[u8; 16]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86-64, and nothing here touches memory.
    unsafe {
        use core::arch::x86_64::*;
        let x = vector(chunk);
        let control = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
        let quote = _mm_cmpeq_epi8(x, _mm_set1_epi8(b'"' as i8));
        let slash = _mm_cmpeq_epi8(x, _mm_set1_epi8(b'\\' as i8));
        _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash))) as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    mask(chunk, is_end)
}

/// The digits.
#[inline(always)]
pub fn digits(chunk: &[u8; 16]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        use core::arch::x86_64::*;
        let value = _mm_sub_epi8(vector(chunk), _mm_set1_epi8(b'0' as i8));
        _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value)) as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    mask(chunk, |b| b.is_ascii_digit())
}

/// The places at which two times sixteen bytes are the same.
#[inline(always)]
pub fn same(a: &[u8; 16], b: &[u8; 16]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        use core::arch::x86_64::*;
        _mm_movemask_epi8(_mm_cmpeq_epi8(vector(a), vector(b))) as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::iter::zip(a, b).enumerate().fold(0, |mask, (i, (a, b))| mask | u32::from(a == b) << i)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn vector(chunk: &[u8; 16]) -> core::arch::x86_64::__m128i {
    let n = u128::from_le_bytes(*chunk);
    // SAFETY: as above.
    unsafe { core::arch::x86_64::_mm_set_epi64x((n >> 64) as i64, n as i64) }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn is_odd(b: u8) -> bool {
    !(0x20..0x7f).contains(&b) || b == b'"' || b == b'\\'
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn is_end(b: u8) -> bool {
    b < 0x20 || b == b'"' || b == b'\\'
}

/// Bit i is set where `wanted` holds for byte i.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn mask(chunk: &[u8; 16], wanted: fn(u8) -> bool) -> u32 {
    chunk.iter().enumerate().fold(0, |mask, (i, b)| mask | u32::from(wanted(*b)) << i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_are_those_of_a_plain_loop(chunk: [u8; 16]) {
            prop_assert_eq!(odd(&chunk), mask(&chunk, is_odd));
            prop_assert_eq!(end(&chunk), mask(&chunk, is_end));
            prop_assert_eq!(digits(&chunk), mask(&chunk, |b| b.is_ascii_digit()));
        }

        #[test]
        fn the_same_bytes_are_those_of_a_plain_loop(a: [u8; 16], differ: u16, by in 1..=255u8) {
            let b = std::array::from_fn(|i| if differ >> i & 1 == 1 { a[i] ^ by } else { a[i] });
            prop_assert_eq!(same(&a, &b), u32::from(!differ));
        }
    }
}
