//! Random numbers that are the same on every machine, and Zipf's law on top of them.
//!
//! Only whole numbers and the float operations that IEEE 754 defines to the last bit
//! (+ − × ÷ √) are used: no `powf`, `ln` or `exp`, whose last bits differ by platform.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(mix(seed ^ GOLDEN))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A whole number from 0 to `n` − 1, for n < 2³²; the bias is under 2⁻³².
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }

    /// Whether an event of `millionths` happens.
    pub fn chance(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < u64::from(millionths)
    }

    /// From 0 up to 1, 53 bits.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A bijection of 64 bits in which every bit depends on every bit: different in, different out.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Ranks from 1 to n, rank k with a weight of k^−¾, in constant time and memory.
///
/// Rejection-inversion (Hörmann, Derflinger 1996). At ¾ the integral of the weight is 4·x^¼, so two square roots and
/// two squares are all it needs. Of a million users the first has 0.8 % of the events.
#[derive(Clone, Debug)]
pub struct Zipf {
    n: f64,
    low: f64,
    high: f64,
    sure: f64,
}

impl Zipf {
    pub fn new(n: u64) -> Zipf {
        let n = n.max(1) as f64;
        Zipf { n, low: integral(1.5) - 1.0, high: integral(n + 0.5), sure: 2.0 - inverse(integral(2.5) - weight(2.0)) }
    }

    pub fn rank(&self, random: &mut Random) -> u64 {
        loop {
            let u = self.high + random.unit() * (self.low - self.high);
            let x = inverse(u);
            let k = ((x + 0.5) as u64 as f64).clamp(1.0, self.n);
            if k - x <= self.sure || u >= integral(k + 0.5) - weight(k) {
                return k as u64;
            }
        }
    }
}

fn weight(x: f64) -> f64 {
    let root = x.sqrt();
    1.0 / (root * root.sqrt())
}

fn integral(x: f64) -> f64 {
    4.0 * x.sqrt().sqrt()
}

fn inverse(y: f64) -> f64 {
    let quarter = y / 4.0;
    let square = quarter * quarter;
    square * square
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_follow_the_law() {
        for n in [1u64, 2, 3, 10, 1000] {
            let (zipf, mut random) = (Zipf::new(n), Random::new(n));
            let draws = 200_000;
            let mut seen = vec![0u32; n as usize];
            for _ in 0..draws {
                seen[zipf.rank(&mut random) as usize - 1] += 1;
            }
            let total: f64 = (1..=n).map(|k| weight(k as f64)).sum();
            for k in [1, 2, 3, 10, 100, 1000].into_iter().filter(|k| *k <= n) {
                let want = draws as f64 * weight(k as f64) / total;
                let got = f64::from(seen[k as usize - 1]);
                assert!((got - want).abs() < 5.0 * want.sqrt() + 1.0, "n {n} k {k}: {got} against {want}");
            }
        }
    }

    #[test]
    fn ten_million_ranks_stay_in_range() {
        let (zipf, mut random) = (Zipf::new(10_000_000), Random::new(7));
        let ranks: Vec<u64> = (0..100_000).map(|_| zipf.rank(&mut random)).collect();
        assert!(ranks.iter().all(|k| (1..=10_000_000).contains(k)));
        assert!(ranks.iter().max() > Some(&9_900_000));
    }

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        // Reference values of SplitMix64 for the state 1234567.
        let mut random = Random(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
