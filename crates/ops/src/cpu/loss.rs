//! Losses on the CPU: terms in `f32`, sums in `f64`, in blocks that depend on the shape alone.

use super::elementary::{exp_negative, ln_1p_unit};
use super::elementwise::CHUNK;
use crate::loss::{Binary, Distance, Factors};
use kernels::Kernels;
use rayon::prelude::*;

impl Factors {
    /// Rows a task takes.
    fn block(&self) -> usize {
        (CHUNK / self.hit.len().max(1)).max(1)
    }

    /// The loss. `softmax` gets what `backward` needs: each row's largest logit, and the inverse of its sum of
    /// `exp(logit − largest)`.
    pub(super) fn forward(&self, kernels: Kernels, logits: &[f32], targets: &[u32], softmax: &mut [f32]) -> f64 {
        if logits.is_empty() {
            return 0.0;
        }
        let (classes, rows) = (self.hit.len(), self.block());
        let blocks = logits.par_chunks(rows * classes).zip(targets.par_chunks(rows));
        let sums: Vec<f64> = blocks
            .zip(softmax.par_chunks_mut(rows * 2))
            .map(|((logits, targets), softmax)| kernels.run(|| self.forward_block(logits, targets, softmax)))
            .collect();
        sums.iter().sum()
    }

    #[inline(always)]
    fn forward_block(&self, logits: &[f32], targets: &[u32], softmax: &mut [f32]) -> f64 {
        let classes = self.hit.len();
        for (row, softmax) in logits.chunks_exact(classes).zip(softmax.chunks_exact_mut(2)) {
            let larger = |a: f32, b: f32| if b > a { b } else { a };
            softmax[0] = reduce(row, f32::NEG_INFINITY, larger, larger);
        }
        let mut exps = vec![0.0; logits.len()];
        self.exps(logits, softmax, &mut exps);
        let total: f64 = self.spread.iter().sum();
        let mut loss = 0.0;
        let rows = logits.chunks_exact(classes).zip(exps.chunks_exact(classes)).zip(softmax.chunks_exact_mut(2));
        for (((row, exps), softmax), target) in rows.zip(targets) {
            let sum = sum(exps);
            softmax[1] = (1.0 / sum) as f32;
            if Some(*target) == self.ignore {
                continue;
            }
            let below = |x: f32| f64::from(x - softmax[0]);
            let target = *target as usize;
            loss += (self.hit[target] + total) * libm::log(sum) - self.hit[target] * below(row[target]);
            loss -= self.spread.iter().zip(row).map(|(spread, x)| spread * below(*x)).sum::<f64>();
        }
        loss
    }

    /// Writes `exp(logit − largest)`.
    #[inline(always)]
    fn exps(&self, logits: &[f32], softmax: &[f32], exps: &mut [f32]) {
        let classes = self.hit.len();
        let rows = logits.chunks_exact(classes).zip(exps.chunks_exact_mut(classes));
        for ((row, exps), softmax) in rows.zip(softmax.chunks_exact(2)) {
            for (exp, x) in exps.iter_mut().zip(row) {
                *exp = x - softmax[0];
            }
        }
        // A loop of its own: rows may be shorter than a vector.
        for exp in exps {
            *exp = exp_negative(*exp);
        }
    }

    /// Writes the gradient: `(hit[y] + Σ spread)·p − spread`, minus `hit[y]` at the target.
    pub(super) fn backward(
        &self,
        kernels: Kernels,
        logits: &[f32],
        targets: &[u32],
        softmax: &[f32],
        dloss: f64,
        dx: &mut [f32],
    ) {
        if logits.is_empty() {
            return;
        }
        let (classes, rows) = (self.hit.len(), self.block());
        let total: f64 = self.spread.iter().sum();
        let spread: Vec<f32> = self.spread.iter().map(|spread| (spread * dloss) as f32).collect();
        let blocks = logits.par_chunks(rows * classes).zip(targets.par_chunks(rows)).zip(softmax.par_chunks(rows * 2));
        dx.par_chunks_mut(rows * classes).zip(blocks).for_each(|(dx, ((logits, targets), softmax))| {
            kernels.run(|| {
                self.exps(logits, softmax, dx);
                for ((dx, target), softmax) in dx.chunks_exact_mut(classes).zip(targets).zip(softmax.chunks_exact(2)) {
                    if Some(*target) == self.ignore {
                        dx.fill(0.0);
                        continue;
                    }
                    let target = *target as usize;
                    let scale = ((self.hit[target] + total) * f64::from(softmax[1]) * dloss) as f32;
                    for dx in dx.iter_mut() {
                        *dx *= scale;
                    }
                    for (dx, spread) in dx.iter_mut().zip(&spread) {
                        *dx -= spread;
                    }
                    dx[target] -= (self.hit[target] * dloss) as f32;
                }
            });
        });
    }
}

/// Folds `values` in eight interleaved parts, which does not depend on the width of vectors.
#[inline(always)]
fn reduce<T: Copy>(values: &[f32], start: T, each: impl Fn(T, f32) -> T, join: impl Fn(T, T) -> T) -> T {
    let mut parts = [start; 8];
    let chunks = values.chunks_exact(parts.len());
    let rest = chunks.remainder();
    for chunk in chunks {
        for (part, value) in parts.iter_mut().zip(chunk) {
            *part = each(*part, *value);
        }
    }
    for (part, value) in parts.iter_mut().zip(rest) {
        *part = each(*part, *value);
    }
    parts.into_iter().fold(start, join)
}

#[inline(always)]
fn sum(values: &[f32]) -> f64 {
    reduce(values, 0.0, |sum, value| sum + f64::from(value), |a, b| a + b)
}

/// The sum of `term` over pairs.
fn sum_of(kernels: Kernels, x: &[f32], t: &[f32], term: impl Fn(f32, f32) -> f32 + Sync) -> f64 {
    let sums: Vec<f64> = x
        .par_chunks(CHUNK)
        .zip(t.par_chunks(CHUNK))
        .map(|(x, t)| {
            kernels.run(|| {
                let mut terms = vec![0.0; x.len()];
                for ((to, x), t) in terms.iter_mut().zip(x).zip(t) {
                    *to = term(*x, *t);
                }
                sum(&terms)
            })
        })
        .collect();
    sums.iter().sum()
}

/// Writes `slope` of each pair.
fn write_each(kernels: Kernels, x: &[f32], t: &[f32], dx: &mut [f32], slope: impl Fn(f32, f32) -> f32 + Sync) {
    let pairs = x.par_chunks(CHUNK).zip(t.par_chunks(CHUNK));
    dx.par_chunks_mut(CHUNK).zip(pairs).for_each(|(dx, (x, t))| {
        kernels.run(|| {
            for ((dx, x), t) in dx.iter_mut().zip(x).zip(t) {
                *dx = slope(*x, *t);
            }
        });
    });
}

impl Distance {
    pub(super) fn forward(self, kernels: Kernels, x: &[f32], t: &[f32]) -> f64 {
        match self {
            Self::Squared => sum_of(kernels, x, t, |x, t| (x - t) * (x - t)),
            Self::Absolute => sum_of(kernels, x, t, |x, t| (x - t).abs()),
            Self::Smooth { beta } => sum_of(kernels, x, t, |x, t| {
                let far = (x - t).abs();
                if far < beta { 0.5 * far * far / beta } else { far - 0.5 * beta }
            }),
        }
    }

    pub(super) fn backward(self, kernels: Kernels, x: &[f32], t: &[f32], scale: f32, dx: &mut [f32]) {
        match self {
            Self::Squared => write_each(kernels, x, t, dx, |x, t| scale * (2.0 * (x - t))),
            Self::Absolute => write_each(kernels, x, t, dx, |x, t| scale * sign(x - t)),
            Self::Smooth { beta } => write_each(kernels, x, t, dx, |x, t| {
                let d = x - t;
                scale * if d.abs() < beta { d / beta } else { sign(d) }
            }),
        }
    }
}

/// 1 or −1; 0 of 0, and what is not a number of itself.
#[inline(always)]
fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

impl Binary {
    pub(super) fn forward(self, kernels: Kernels, x: &[f32], t: &[f32]) -> f64 {
        match self.gamma {
            0.0 => self.sum(kernels, x, t, |_| 1.0),
            2.0 => self.sum(kernels, x, t, |q| q * q),
            gamma => self.sum(kernels, x, t, |q| libm::powf(q, gamma)),
        }
    }

    fn sum(self, kernels: Kernels, x: &[f32], t: &[f32], power: impl Fn(f32) -> f32 + Sync) -> f64 {
        sum_of(kernels, x, t, |x, t| self.at(x, t, &power)[0])
    }

    pub(super) fn backward(self, kernels: Kernels, x: &[f32], t: &[f32], scale: f32, dx: &mut [f32]) {
        match self.gamma {
            0.0 => self.slopes(kernels, x, t, scale, dx, |_| 1.0),
            2.0 => self.slopes(kernels, x, t, scale, dx, |q| q * q),
            gamma => self.slopes(kernels, x, t, scale, dx, |q| libm::powf(q, gamma)),
        }
    }

    fn slopes(
        self,
        kernels: Kernels,
        x: &[f32],
        t: &[f32],
        scale: f32,
        dx: &mut [f32],
        power: impl Fn(f32) -> f32 + Sync,
    ) {
        write_each(kernels, x, t, dx, |x, t| scale * self.at(x, t, &power)[1]);
    }

    /// The term, and its derivative `a·q^γ·(p − t + γ·l·(1 − 2t)·p·p̄/q)`. `power` raises to γ.
    #[inline(always)]
    fn at(self, x: f32, t: f32, power: impl Fn(f32) -> f32) -> [f32; 2] {
        let rest = 1.0 - t;
        let u = exp_negative(-x.abs());
        let (larger, smaller) = (1.0 / (1.0 + u), u / (1.0 + u));
        let (p, not_p) = if x > 0.0 { (larger, smaller) } else { (smaller, larger) };
        let q = t * not_p + rest * p;
        let loss = t * (-x).max(0.0) + rest * x.max(0.0) + ln_1p_unit(u);
        let weight = (self.negative + (self.positive - self.negative) * t) * power(q);
        // Where q is 0 its power is, or γ is: what stands here must only be finite.
        let share = if q > 0.0 { p * not_p / q } else { 0.0 };
        let slope = rest * p - t * not_p + self.gamma * loss * (1.0 - 2.0 * t) * share;
        [weight * loss, weight * slope]
    }
}
