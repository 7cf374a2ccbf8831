//! The index of a cell: its share in the audience by its share in the base, with an interval.
//!
//! Only figures that are published go into it, so that the interval tells nothing more than they do.

use super::count::Count;

/// The two-sided 95 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// 100 × share in the audience / share in the base, and the 95 % interval of what that would be over and over again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Index {
    pub value: f64,
    pub low: f64,
    /// Infinite where the base outside the audience gives no bound.
    pub high: f64,
}

impl Index {
    /// The index of a cell with these counts, of these totals; `None` where nobody of the base is in it.
    ///
    /// People are seen as drawn from a larger world, in which those of the audience fall into the cell with the
    /// probability p and the rest of the base with q. An audience inside its base makes up π of it: the base has the
    /// share πp + (1−π)q, and the index is 100 / (π + (1−π) q/p), which rises with the ratio p/q. The audience and
    /// the rest have nobody in common, so the ratio has the score interval of two independent shares: P. A. R. Koopman,
    /// "Confidence intervals for the ratio of two binomial proportions", Biometrics 40 (1984), 513–517. Its ends put into
    /// the formula give those of the index. So the index is at most 100/π, and one of an audience that is the
    /// whole base is exactly 100. The interval leaves out 100 where, and only where, the chi-square test of the
    /// two shares (without correction) finds a difference at 5 %.
    ///
    /// The same holds with the roles exchanged where the base lies inside the audience, and with π = 0 where they have
    /// nobody in common. Where each has people whom the other has not, the two shares are correlated by about
    /// |A∩B|/√(|A||B|), and the interval is made from their Wilson intervals: A. Donner, G. Y. Zou, "Closed-form confidence
    /// intervals for functions of the normal mean and standard deviation", Stat. Methods Med. Res. 21 (2012), 347–359.
    pub fn of(cell: Count, total: Count) -> Option<Index> {
        let (a, b) = (cell.audience() as f64, cell.base() as f64);
        let (of_a, of_b) = (total.audience() as f64, total.base() as f64);
        if b == 0.0 || of_a == 0.0 {
            return None;
        }
        let value = (a / of_a) / (b / of_b);
        let (low, high) = match (total.only, total.both, total.rest) {
            (0, _, 0) => (1.0, 1.0),
            (0, _, rest) => {
                let (low, high) = ratio((a, of_a), (b - a, rest as f64));
                let part = of_a / of_b;
                let share = |r: f64| if r == 0.0 { 0.0 } else { 1.0 / (part + (1.0 - part) / r) };
                (share(low), share(high))
            }
            (only, _, 0) => {
                let (low, high) = ratio((a - b, only as f64), (b, of_b));
                let part = of_b / of_a;
                (part + (1.0 - part) * low, part + (1.0 - part) * high)
            }
            (_, 0, _) => ratio((a, of_a), (b, of_b)),
            (_, both, _) => correlated((a, of_a), (b, of_b), both as f64 / (of_a * of_b).sqrt()),
        };
        // The ends are found to a billionth: what was measured lies between them.
        Some(Index { value: 100.0 * value, low: 100.0 * low.min(value), high: 100.0 * high.max(value) })
    }

    /// Whether chance alone would differ from 100 so much in fewer than one of twenty cells.
    pub fn differs(&self) -> bool {
        self.low > 100.0 || self.high < 100.0
    }
}

/// The score interval of the ratio of two independent shares, `x` of `n` by `y` of `m`.
fn ratio((x, n): (f64, f64), (y, m): (f64, f64)) -> (f64, f64) {
    let apart = |log: f64| score((x, n), (y, m), log.exp()) > Z * Z;
    // Beyond these no counts of 64 bits reach.
    const FAR: f64 = 90.0;
    let middle = match (x > 0.0, y > 0.0) {
        (false, false) => return (0.0, f64::INFINITY),
        (true, true) => ((x / n) / (y / m)).ln(),
        (true, false) => FAR,
        (false, true) => -FAR,
    };
    let end = |far: f64| {
        let (mut inside, mut outside) = (middle, far);
        for _ in 0..80 {
            let half = (inside + outside) / 2.0;
            if apart(half) { outside = half } else { inside = half }
        }
        inside.exp()
    };
    (if x > 0.0 { end(-FAR) } else { 0.0 }, if y > 0.0 { end(FAR) } else { f64::INFINITY })
}

/// Chi-square of the ratio being `r`: how far the counts are from the likeliest shares of that ratio.
fn score((x, n): (f64, f64), (y, m): (f64, f64), r: f64) -> f64 {
    let sum = r * (n + y) + x + m;
    // Of the two roots the one below 1, in the form that does not cancel.
    let p = 2.0 * r * (x + y) / (sum + (sum * sum - 4.0 * r * (n + m) * (x + y)).max(0.0).sqrt());
    let q = p / r;
    let variance = p * (1.0 - p).max(0.0) / n + r * r * q * (1.0 - q).max(0.0) / m;
    let difference = x / n - r * y / m;
    if difference == 0.0 { 0.0 } else { difference * difference / variance }
}

/// The interval of a ratio of two shares that are correlated by `r`, from the interval of each.
fn correlated((x, n): (f64, f64), (y, m): (f64, f64), r: f64) -> (f64, f64) {
    let ((p, l, u), (q, k, v)) = (wilson(x, n), wilson(y, m));
    let end = |side: f64, own: f64, other: f64| {
        let middle = p * q + r * (p - own) * (q - other);
        let under = middle * middle - own * other * (2.0 * p - own) * (2.0 * q - other);
        (middle + side * under.max(0.0).sqrt()) / (other * (2.0 * q - other))
    };
    // Where the share of the base may be nearly nothing there is no upper end.
    (end(-1.0, l, v).max(0.0), if k > 0.0 && 2.0 * q > k { end(1.0, u, k) } else { f64::INFINITY })
}

/// A share and its Wilson interval.
fn wilson(x: f64, n: f64) -> (f64, f64, f64) {
    let (p, zz) = (x / n, Z * Z);
    let middle = (p + zz / (2.0 * n)) / (1.0 + zz / n);
    let half = Z / (1.0 + zz / n) * (p * (1.0 - p) / n + zz / (4.0 * n * n)).sqrt();
    (p, (middle - half).max(0.0), (middle + half).min(1.0))
}
