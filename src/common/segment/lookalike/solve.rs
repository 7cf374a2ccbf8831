//! Logistic regression with an L2 penalty, over sparse rows.
//!
//! The objective is `Σ ln(1 + exp(-y·m)) + l2/2 · |w|²` with `m = intercept + w·x` and `y` one or minus one; the intercept
//! is free. It is strictly convex, so there is one answer, finite even where a tag parts the two sides without error, and
//! no start or order of the features changes it.
//!
//! The solver is Newton's method, whose steps are found by conjugate gradients: memory is that of the rows. The crates
//! that were looked at (linfa-logistic, smartcore) want dense rows, which of one-hot features are a hundred times as large,
//! and give no bound on how far from the minimum they stop.

/// The gradient is at most this in every direction: no weight is further than `GRADIENT_MAX · √width / l2` from the best.
pub const GRADIENT_MAX: f64 = 1e-6;
/// Far beyond what any data has needed: some ten steps are usual.
const STEPS_MAX: usize = 200;
/// Products with the Hessian in one step.
const PRODUCTS_MAX: usize = 500;

/// Sparse rows one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    ends: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Rows {
    pub fn push(&mut self, row: &[(u32, f64)]) {
        self.columns.extend(row.iter().map(|(column, _)| *column));
        self.values.extend(row.iter().map(|(_, value)| *value));
        self.ends.push(self.columns.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let begin = if i == 0 { 0 } else { self.ends[i - 1] };
        let span = begin..self.ends[i];
        self.columns[span.clone()].iter().map(|column| *column as usize).zip(self.values[span].iter().copied())
    }

    /// `intercept + w·x` of each row; the intercept stands behind the weights.
    fn times(&self, weights: &[f64]) -> Vec<f64> {
        let intercept = weights[weights.len() - 1];
        let product = |i| intercept + self.row(i).map(|(column, x)| weights[column] * x).sum::<f64>();
        (0..self.len()).map(product).collect()
    }

    /// `Σ factor · x`, and behind it the sum of the factors.
    fn gathered(&self, factors: &[f64], width: usize) -> Vec<f64> {
        let mut sums = vec![0.0; width + 1];
        for (i, factor) in factors.iter().enumerate() {
            self.row(i).for_each(|(column, x)| sums[column] += factor * x);
            sums[width] += factor;
        }
        sums
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Fit {
    pub weights: Vec<f64>,
    pub intercept: f64,
    /// Steps of Newton's method.
    pub steps: usize,
    /// The largest part of the gradient that is left.
    pub gradient: f64,
}

/// Finds the weights. `labels`: whether each row is of the seed; `width`: features; `l2` is above zero.
pub fn fit(rows: &Rows, labels: &[bool], width: usize, l2: f64) -> Fit {
    let problem = Problem { rows, labels, width, l2 };
    let mut at = vec![0.0; width + 1];
    let mut margins = rows.times(&at);
    let mut value = problem.value(&at, &margins);
    for steps in 0.. {
        let odds: Vec<f64> = margins.iter().map(|m| sigmoid(*m)).collect();
        let gradient = problem.gradient(&at, &odds);
        let largest = gradient.iter().fold(0.0f64, |max, g| max.max(g.abs()));
        let step = problem.newton(&odds, &gradient);
        let falls = dot(&gradient, &step);
        if largest <= GRADIENT_MAX || steps == STEPS_MAX || falls >= 0.0 {
            let intercept = at.pop().unwrap_or_default();
            return Fit { weights: at, intercept, steps, gradient: largest };
        }
        let along = rows.times(&step);
        let mut length = 1.0;
        loop {
            let next: Vec<f64> = at.iter().zip(&step).map(|(a, s)| a + length * s).collect();
            let moved: Vec<f64> = margins.iter().zip(&along).map(|(m, a)| m + length * a).collect();
            let found = problem.value(&next, &moved);
            // What is below the rounding of the sum decides nothing.
            if found <= value + 1e-4 * length * falls + 1e-12 * value.abs() || length < 1e-9 {
                (at, margins, value) = (next, moved, found);
                break;
            }
            length /= 2.0;
        }
    }
    unreachable!("the steps are bounded")
}

struct Problem<'a> {
    rows: &'a Rows,
    labels: &'a [bool],
    width: usize,
    l2: f64,
}

impl Problem<'_> {
    fn value(&self, at: &[f64], margins: &[f64]) -> f64 {
        let loss = |(m, label): (&f64, &bool)| softplus(if *label { -*m } else { *m });
        let losses: f64 = margins.iter().zip(self.labels).map(loss).sum();
        losses + self.l2 / 2.0 * dot(&at[..self.width], &at[..self.width])
    }

    fn gradient(&self, at: &[f64], odds: &[f64]) -> Vec<f64> {
        let over: Vec<f64> = odds.iter().zip(self.labels).map(|(p, label)| p - f64::from(*label)).collect();
        let mut gradient = self.rows.gathered(&over, self.width);
        gradient[..self.width].iter_mut().zip(at).for_each(|(g, w)| *g += self.l2 * w);
        gradient
    }

    /// Solves `H · step = -gradient` as far as it is worth: the closer to the minimum, the further.
    fn newton(&self, odds: &[f64], gradient: &[f64]) -> Vec<f64> {
        let curve: Vec<f64> = odds.iter().map(|p| p * (1.0 - p)).collect();
        let scale = self.diagonal(&curve);
        let size = dot(gradient, gradient).sqrt();
        let enough = size * size.sqrt().min(0.1);
        let mut step = vec![0.0; gradient.len()];
        let mut rest: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut scaled: Vec<f64> = rest.iter().zip(&scale).map(|(r, s)| r / s).collect();
        let mut along = scaled.clone();
        let mut energy = dot(&rest, &scaled);
        for _ in 0..PRODUCTS_MAX.min(2 * gradient.len()) {
            if dot(&rest, &rest).sqrt() <= enough {
                break;
            }
            let product = self.hessian(&curve, &along);
            let length = energy / dot(&along, &product);
            if !length.is_finite() {
                break;
            }
            step.iter_mut().zip(&along).for_each(|(s, a)| *s += length * a);
            rest.iter_mut().zip(&product).for_each(|(r, p)| *r -= length * p);
            scaled = rest.iter().zip(&scale).map(|(r, s)| r / s).collect();
            let before = std::mem::replace(&mut energy, dot(&rest, &scaled));
            let turn = energy / before;
            along.iter_mut().zip(&scaled).for_each(|(a, s)| *a = s + turn * *a);
        }
        step
    }

    fn diagonal(&self, curve: &[f64]) -> Vec<f64> {
        // The intercept's has no penalty that keeps it from zero.
        let mut scale = vec![self.l2; self.width];
        scale.push(curve.iter().sum::<f64>().max(1e-12));
        for (i, c) in curve.iter().enumerate() {
            self.rows.row(i).for_each(|(column, x)| scale[column] += c * x * x);
        }
        scale
    }

    fn hessian(&self, curve: &[f64], along: &[f64]) -> Vec<f64> {
        let factors: Vec<f64> = self.rows.times(along).iter().zip(curve).map(|(m, c)| m * c).collect();
        let mut product = self.rows.gathered(&factors, self.width);
        product[..self.width].iter_mut().zip(along).for_each(|(p, a)| *p += self.l2 * a);
        product
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The probability of a logit.
pub fn sigmoid(m: f64) -> f64 {
    if m >= 0.0 { 1.0 / (1.0 + (-m).exp()) } else { m.exp() / (1.0 + m.exp()) }
}

/// `ln(1 + exp(m))`, without overflow.
fn softplus(m: f64) -> f64 {
    m.max(0.0) + (-m.abs()).exp().ln_1p()
}
