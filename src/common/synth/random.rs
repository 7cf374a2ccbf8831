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

    /// A whole number from 0 to `n` − 1, for any n; the bias is under n / 2⁶⁴.
    fn wide_below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
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

/// How unequal ranks are: rank k has a weight of k^−s. Only exponents whose integral needs no more than square roots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Skew {
    /// s = 0: all alike.
    Even,
    /// s = ½. Of a million the first has 0.05 % of the weight.
    Half,
    /// s = ¾. Of a million the first has 0.8 % of the weight.
    #[default]
    ThreeQuarters,
}

impl Skew {
    fn weight(self, x: f64) -> f64 {
        match self {
            Skew::Even => 1.0,
            Skew::Half => 1.0 / x.sqrt(),
            Skew::ThreeQuarters => {
                let root = x.sqrt();
                1.0 / (root * root.sqrt())
            }
        }
    }

    /// The integral of the weight: x, 2·x^½ or 4·x^¼.
    fn integral(self, x: f64) -> f64 {
        match self {
            Skew::Even => x,
            Skew::Half => 2.0 * x.sqrt(),
            Skew::ThreeQuarters => 4.0 * x.sqrt().sqrt(),
        }
    }

    fn inverse(self, y: f64) -> f64 {
        match self {
            Skew::Even => y,
            Skew::Half => {
                let half = y / 2.0;
                half * half
            }
            Skew::ThreeQuarters => {
                let quarter = y / 4.0;
                let square = quarter * quarter;
                square * square
            }
        }
    }
}

/// Ranks from 1 to n, rank k with the weight that `Skew` gives it, in constant time and memory.
///
/// Rejection-inversion (Hörmann, Derflinger 1996): two integrals and one inverse a draw.
#[derive(Clone, Debug)]
pub struct Zipf {
    skew: Skew,
    n: u64,
    low: f64,
    high: f64,
    sure: f64,
}

impl Zipf {
    pub fn new(n: u64, skew: Skew) -> Zipf {
        let n = n.max(1);
        Zipf {
            skew,
            n,
            low: skew.integral(1.5) - 1.0,
            high: skew.integral(n as f64 + 0.5),
            sure: 2.0 - skew.inverse(skew.integral(2.5) - skew.weight(2.0)),
        }
    }

    pub fn rank(&self, random: &mut Random) -> u64 {
        if self.skew == Skew::Even {
            return 1 + random.wide_below(self.n);
        }
        loop {
            let u = self.high + random.unit() * (self.low - self.high);
            let x = self.skew.inverse(u);
            let k = ((x + 0.5) as u64 as f64).clamp(1.0, self.n as f64);
            if k - x <= self.sure || u >= self.skew.integral(k + 0.5) - self.skew.weight(k) {
                return k as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_follow_the_law() {
        let skews = [Skew::Even, Skew::Half, Skew::ThreeQuarters];
        for (skew, n) in skews.into_iter().flat_map(|skew| [1u64, 2, 3, 10, 1000].map(|n| (skew, n))) {
            let (zipf, mut random) = (Zipf::new(n, skew), Random::new(n));
            let draws = 200_000;
            let mut seen = vec![0u32; n as usize];
            for _ in 0..draws {
                seen[zipf.rank(&mut random) as usize - 1] += 1;
            }
            let total: f64 = (1..=n).map(|k| skew.weight(k as f64)).sum();
            for k in [1, 2, 3, 10, 100, 1000].into_iter().filter(|k| *k <= n) {
                let want = draws as f64 * skew.weight(k as f64) / total;
                let got = f64::from(seen[k as usize - 1]);
                assert!((got - want).abs() < 5.0 * want.sqrt() + 1.0, "{skew:?} n {n} k {k}: {got} against {want}");
            }
        }
    }

    #[test]
    fn ten_million_ranks_stay_in_range() {
        for skew in [Skew::Even, Skew::Half, Skew::ThreeQuarters] {
            let (zipf, mut random) = (Zipf::new(10_000_000, skew), Random::new(7));
            let ranks: Vec<u64> = (0..100_000).map(|_| zipf.rank(&mut random)).collect();
            assert!(ranks.iter().all(|k| (1..=10_000_000).contains(k)), "{skew:?}");
            assert!(ranks.iter().max() > Some(&9_900_000), "{skew:?}");
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        // Reference values of SplitMix64 for the state 1234567.
        let mut random = Random(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
