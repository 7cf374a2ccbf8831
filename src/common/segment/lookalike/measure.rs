//! How well a model finds users of the seed that it has never seen.
//!
//! The held-out seed lies hidden among the held-out others; a random list of the same length is what it is measured by.
//! Every one of the held-out others is counted, however many there are: what is kept is how many lie between the users
//! of the seed. Users with equal scores share the places they take, so that an order of ids is no merit.

/// The 97.5th percentile of the normal distribution: two of them make 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// The held-out seed, and how many others are above, beside and between.
#[derive(Clone, Debug)]
pub struct Ranks {
    /// The distinct logits of the seed, falling, each with the users who have it.
    seed: Vec<(f64, u64)>,
    /// Others above the first, between two and below the last.
    between: Vec<u64>,
    /// Others with the same logit.
    beside: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Held out.
    pub seed: u64,
    pub others: u64,
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

impl Ranks {
    /// The ranks of the held-out seed, of at least one user.
    pub fn new(mut logits: Vec<f64>) -> Ranks {
        logits.sort_by(|a, b| b.total_cmp(a));
        let seed: Vec<(f64, u64)> = logits.chunk_by(|a, b| a == b).map(|tied| (tied[0], tied.len() as u64)).collect();
        Ranks { between: vec![0; seed.len() + 1], beside: vec![0; seed.len()], seed }
    }

    /// Counts one of the others.
    pub fn count(&mut self, logit: f64) {
        let above = self.seed.partition_point(|(own, _)| *own > logit);
        match self.seed.get(above) {
            Some((own, _)) if *own == logit => self.beside[above] += 1,
            _ => self.between[above] += 1,
        }
    }

    /// Measures. One of the held-out seed stands for `weight` users, one of the others for herself; `size` users are
    /// asked for of `all`.
    pub fn measure(&self, weight: f64, size: u64, all: u64) -> Measured {
        let seed = self.seed.iter().map(|(_, own)| own).sum::<u64>();
        let others = self.between.iter().chain(&self.beside).sum::<u64>();
        let seeds = seed as f64 * weight;
        let people = seeds + others as f64;
        let size = (size as f64 * people / all as f64).round().clamp(1.0, people.max(1.0).floor());
        let (mut place, mut found, mut above, mut pairs) = (0.0, 0.0, 0.0, 0.0);
        for (((_, own), between), beside) in self.seed.iter().zip(&self.between).zip(&self.beside) {
            let (own, between, beside) = (*own as f64, *between as f64, *beside as f64);
            place += between;
            above += between;
            let takes = own * weight + beside;
            found += own * ((size - place) / takes).clamp(0.0, 1.0);
            place += takes;
            // Pairs in which the user of the seed comes after the other, a tie counting half.
            pairs += own * (above + beside / 2.0);
            above += beside;
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
            // Of nobody nothing is known.
            auc: if others == 0 { 0.5 } else { 1.0 - pairs / (seed as f64 * others as f64) },
        }
    }
}

/// Wilson's interval of a share among `n`.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z2 = Z * Z / n;
    let middle = share + z2 / 2.0;
    let width = (share * (1.0 - share) * z2 + z2 * z2 / 4.0).max(0.0).sqrt();
    (((middle - width) / (1.0 + z2)).max(0.0), ((middle + width) / (1.0 + z2)).min(1.0))
}
