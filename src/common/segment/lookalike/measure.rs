//! How well a model finds users of the seed that it has never seen.
//!
//! The held-out seed lies hidden among the held-out others; a random list of the same length is what it is measured by.
//! Where only a sample was looked at, each user stands for as many as the sample left out. Users with equal scores share
//! the places they take, so that an order of ids is no merit.

/// The 97.5th percentile of the normal distribution: two of them make 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A user who was held out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    pub is_seed: bool,
    pub logit: f64,
}

/// How many users one that was held out stands for.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    pub seed: f64,
    pub others: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Held out.
    pub seed: usize,
    pub others: usize,
    /// Users looked at from the top: the asked size, scaled to the held-out part.
    pub size: u64,
    /// The share of the seed among them.
    pub recall: f64,
    /// The largest share that so many places can hold.
    pub at_most: f64,
    /// The share that a random list would have.
    pub random: f64,
    /// `recall / random`, and its 95 % interval: Wilson's, of a share among the held-out seed.
    pub lift: f64,
    pub lift_low: f64,
    pub lift_high: f64,
    /// The chance that a user of the seed has a higher score than another.
    pub auc: f64,
}

impl Measured {
    /// Whether it is better than a random list with 95 % certainty.
    pub fn is_better_than_random(&self) -> bool {
        self.lift_low > 1.0
    }
}

/// Measures. `size` users are asked for of `all`. There is at least one of the seed and one other.
pub fn measure(mut held: Vec<Held>, weights: Weights, size: u64, all: u64) -> Measured {
    held.sort_by(|a, b| b.logit.total_cmp(&a.logit));
    let seed = held.iter().filter(|one| one.is_seed).count();
    let others = held.len() - seed;
    let (seeds, rest) = (seed as f64 * weights.seed, others as f64 * weights.others);
    let people = seeds + rest;
    let size = (size as f64 * people / all as f64).round().clamp(1.0, people.max(1.0).floor());
    let (mut place, mut found, mut above, mut pairs) = (0.0, 0.0, 0.0, 0.0);
    for tied in held.chunk_by(|a, b| a.logit == b.logit) {
        let own = tied.iter().filter(|one| one.is_seed).count() as f64;
        let other = tied.len() as f64 - own;
        let takes = own * weights.seed + other * weights.others;
        found += own * ((size - place) / takes).clamp(0.0, 1.0);
        place += takes;
        // Pairs in which the user of the seed comes after the other, a tie counting half.
        pairs += own * (above + other / 2.0);
        above += other;
    }
    let recall = found / seed as f64;
    let random = size / people;
    let (low, high) = wilson(recall, seed as f64);
    Measured {
        seed,
        others,
        size: size as u64,
        recall,
        at_most: (size / seeds).min(1.0),
        random,
        lift: recall / random,
        lift_low: low / random,
        lift_high: high / random,
        auc: 1.0 - pairs / (seed as f64 * others as f64),
    }
}

/// Wilson's interval of a share among `n`.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z2 = Z * Z / n;
    let middle = share + z2 / 2.0;
    let width = (share * (1.0 - share) * z2 + z2 * z2 / 4.0).max(0.0).sqrt();
    (((middle - width) / (1.0 + z2)).max(0.0), ((middle + width) / (1.0 + z2)).min(1.0))
}
