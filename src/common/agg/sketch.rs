//! Sketches: how many different values there are, about, in 16 KiB (HyperLogLog).
//!
//! A register holds the longest run of zeros seen in the hashes that fall to it, so a sketch rests on the set of values
//! alone. The standard error is 1.04 / √16384 = 0.81 %. The estimate is Ertl's (arXiv:1702.01284): no table, no
//! logarithm, so that all machines agree to the last bit.

const BITS: u32 = 14;
const REGISTERS: usize = 1 << BITS;
/// The largest run that fits the rest of a hash, and one.
const RUN_MAX: usize = 64 - BITS as usize + 1;
/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

#[derive(Clone, PartialEq, Debug)]
pub struct Sketch(Box<[u8]>);

impl Default for Sketch {
    fn default() -> Sketch {
        Sketch(vec![0; REGISTERS].into())
    }
}

impl Sketch {
    pub fn add(&mut self, hash: u64) {
        let register = &mut self.0[(hash >> (64 - BITS)) as usize];
        let run = (hash << BITS | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
        *register = run.max(*register);
    }

    pub fn merge(&mut self, other: &Sketch) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, theirs)| *own = (*own).max(*theirs));
    }

    pub fn estimate(&self) -> i64 {
        let mut runs = [0u32; RUN_MAX + 1];
        self.0.iter().for_each(|run| runs[*run as usize] += 1);
        let m = REGISTERS as f64;
        let share = |run: usize| f64::from(runs[run]) / m;
        let full = m * tau(1.0 - share(RUN_MAX));
        let rest = (1..RUN_MAX).rev().fold(full, |z, run| 0.5 * (z + f64::from(runs[run])));
        (ALPHA * m * m / (rest + m * sigma(share(0)))).round() as i64
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// `None` for bytes that are no sketch.
    pub fn from_bytes(bytes: &[u8]) -> Option<Sketch> {
        let fits = bytes.len() == REGISTERS && bytes.iter().all(|run| usize::from(*run) <= RUN_MAX);
        fits.then(|| Sketch(bytes.into()))
    }
}

/// x + Σ x^(2^k) · 2^(k-1).
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// (1 - x - Σ (1 - x^(2^-k))² · 2^-k) / 3.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::hash;
    use super::*;

    #[test]
    fn the_error_is_what_is_promised() {
        let mut worst = 0f64;
        let mut squares = 0f64;
        let mut looks = 0;
        for set in 0..20u64 {
            let mut sketch = Sketch::default();
            let mut next = 1000;
            for n in 1..=200_000u64 {
                sketch.add(hash(&[set.to_le_bytes(), n.to_le_bytes()].concat()));
                if n == next {
                    let error = (sketch.estimate() as f64 - n as f64) / n as f64;
                    (worst, squares, looks) = (worst.max(error.abs()), squares + error * error, looks + 1);
                    next += next / 2;
                }
            }
        }
        let error = (squares / f64::from(looks)).sqrt();
        assert!(error < 0.0081 && worst < 0.0324, "standard error {error}, worst of {looks}: {worst}");
        assert_eq!(Sketch::default().estimate(), 0);
    }

    #[test]
    fn a_sketch_is_of_its_set_and_reads_back() {
        let hashes: Vec<u64> = (0..5000u64).map(|n| hash(&n.to_le_bytes())).collect();
        let of = |hashes: &[u64]| {
            let mut sketch = Sketch::default();
            hashes.iter().for_each(|hash| sketch.add(*hash));
            sketch
        };
        let mut merged = of(&hashes[2000..]);
        merged.merge(&of(&hashes[..3000]));
        assert_eq!(merged, of(&hashes));
        assert_eq!(Sketch::from_bytes(merged.bytes()), Some(merged));
        assert_eq!(Sketch::from_bytes(&[0; REGISTERS - 1]), None);
        assert_eq!(Sketch::from_bytes(&[RUN_MAX as u8 + 1; REGISTERS]), None);
        // All zeros behind the register's bits, and all ones.
        assert_eq!(of(&[0]).bytes()[0], RUN_MAX as u8);
        assert_eq!(of(&[u64::MAX]).bytes()[REGISTERS - 1], 1);
    }
}
