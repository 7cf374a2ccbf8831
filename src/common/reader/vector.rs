//! Vectors: the bytes among sixteen at which the scan of a string has to look.
//!
//! SSE2 belongs to every x86-64, so one build runs everywhere; other machines get a plain loop that does the same. What has
//! to be done to whole lines is done with AVX2 where the machine has it.
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

/// Where the quotes are in the first pieces of a line of printable ASCII without a backslash, and its length; `None` for any
/// other line, and one that is longer.
///
/// A piece is a bit a byte. Behind the newline there must be a whole piece.
#[inline]
pub fn outline(line: &[u8], quotes: &mut [u64]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has it.
        return unsafe { outline_avx2(line, quotes) };
    }
    outline_by(line, quotes, marks)
}

/// With half as many instructions as by sixteen bytes. AVX-512 saves some more of them, and no time that could be measured.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn outline_avx2(line: &[u8], quotes: &mut [u64]) -> Option<usize> {
    outline_by(line, quotes, |piece| {
        use core::arch::x86_64::*;
        let bits = |[low, high]: [__m256i; 2]| {
            u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
        };
        let halves: [__m256i; 2] = std::array::from_fn(|half| {
            let words: [i64; 4] = std::array::from_fn(|n| {
                let eight = piece[half * 32 + n * 8..].first_chunk().expect("half a piece");
                i64::from_le_bytes(*eight)
            });
            _mm256_set_epi64x(words[3], words[2], words[1], words[0])
        });
        let rest = halves.map(|x| {
            // As in `odd`.
            let low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x21), _mm256_add_epi8(x, _mm256_set1_epi8(1)));
            _mm256_or_si256(low, _mm256_cmpeq_epi8(x, _mm256_set1_epi8(b'\\' as i8)))
        });
        (bits(halves.map(|x| _mm256_cmpeq_epi8(x, _mm256_set1_epi8(b'"' as i8)))), bits(rest))
    })
}

#[inline(always)]
fn outline_by(line: &[u8], quotes: &mut [u64], marks: impl Fn(&[u8; 64]) -> (u64, u64)) -> Option<usize> {
    for (n, (piece, quotes)) in line.as_chunks().0.iter().zip(quotes).enumerate() {
        let (found, odd) = marks(piece);
        *quotes = found;
        if odd != 0 {
            let end = odd.trailing_zeros() as usize % 64;
            *quotes &= (1 << end) - 1;
            return (piece[end] == b'\n').then_some(n * 64 + end);
        }
    }
    None
}

/// Of 64 bytes: the quotes, and whatever else is not plain; byte i is bit i.
#[inline(always)]
fn marks(piece: &[u8; 64]) -> (u64, u64) {
    let (chunks, _) = piece.as_chunks::<16>();
    let bits = |of: fn(&[u8; 16]) -> u32| chunks.iter().rev().fold(0, |bits, chunk| bits << 16 | u64::from(of(chunk)));
    (bits(quotes), bits(|chunk| odd(chunk) & !quotes(chunk)))
}

/// Quotes.
#[inline(always)]
fn quotes(chunk: &[u8; 16]) -> u32 {
    same(chunk, &[b'"'; 16])
}

/// A piece of text, and all bits of those of its bytes that are to be compared.
pub type Masked = [[u8; 64]; 2];

/// Whether the line begins with the text of these pieces, as far as it is to be compared.
#[inline]
pub fn begins(line: &[u8], pieces: &[Masked]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has it.
        return unsafe { begins_avx2(line, pieces) };
    }
    begins_by(line, pieces)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn begins_avx2(line: &[u8], pieces: &[Masked]) -> bool {
    begins_by(line, pieces)
}

#[inline(always)]
fn begins_by(line: &[u8], pieces: &[Masked]) -> bool {
    let (there, _) = line.as_chunks::<64>();
    if there.len() < pieces.len() {
        return false;
    }
    let mut differ = [0; 64];
    for (line, [text, mask]) in there.iter().zip(pieces) {
        for i in 0..64 {
            differ[i] |= (line[i] ^ text[i]) & mask[i];
        }
    }
    differ == [0; 64]
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
        fn an_outline_is_that_of_a_plain_loop(line in prop::collection::vec(any::<u8>(), 192), odd: u64, newline in 0..192usize) {
            // Also lines of few odd bytes, or none.
            let tame = |(i, b): (usize, &u8)| if odd >> (i % 64) & odd >> (i % 7) & 1 == 1 && odd % 4 == 3 { *b } else { b'!' + b % 2 };
            let mut line: Vec<u8> = line.iter().enumerate().map(tame).collect();
            line[newline] = b'\n';
            let end = line.iter().position(|b| *b != b'"' && is_odd(*b)).expect("a newline");
            let want = (line[end] == b'\n' && end < 128).then_some(end);
            let quotes: Vec<u64> = line.chunks(64).map(|piece| {
                piece.iter().rev().fold(0, |bits, b| bits << 1 | u64::from(*b == b'"'))
            }).collect();
            for by_marks in [false, true] {
                let mut found = [0; 2];
                let len = if by_marks { outline_by(&line, &mut found, marks) } else { outline(&line, &mut found) };
                prop_assert_eq!(len, want);
                for (n, found) in found.iter().enumerate().filter(|(n, _)| len.is_some_and(|len| n * 64 <= len)) {
                    let upto = (end - n * 64).min(64);
                    let mask = 1u64.checked_shl(upto as u32).map_or(u64::MAX, |bit| bit - 1);
                    prop_assert_eq!(*found, quotes[n] & mask);
                }
            }
        }

        #[test]
        fn a_line_begins_with_a_text_as_far_as_it_is_masked(
            line in prop::collection::vec(any::<u8>(), 128), at in 0..140usize, by in 1..=255u8, masked in 0..128usize, len in 0..3usize,
        ) {
            let mut text = line.clone();
            if let Some(byte) = text.get_mut(at) {
                *byte ^= by;
            }
            let mut mask = [u8::MAX; 128];
            mask[masked] = 0;
            let pieces: Vec<Masked> = text.as_chunks().0.iter().zip(mask.as_chunks().0).map(|(text, mask)| [*text, *mask]).collect();
            let want = at >= len * 64 || at == masked;
            for found in [begins(&line, &pieces[..len.min(2)]), begins_by(&line, &pieces[..len.min(2)])] {
                prop_assert_eq!(found, want || at >= 128);
            }
            prop_assert!(!begins(&line[..100], &pieces));
        }

        #[test]
        fn the_same_bytes_are_those_of_a_plain_loop(a: [u8; 16], differ: u16, by in 1..=255u8) {
            let b = std::array::from_fn(|i| if differ >> i & 1 == 1 { a[i] ^ by } else { a[i] });
            prop_assert_eq!(same(&a, &b), u32::from(!differ));
        }
    }
}
