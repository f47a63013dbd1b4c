//! Losses: candle tensors in, a scalar out.
//!
//! Logits are read twice, forward and backward; what is kept between is two numbers a row of a softmax.
//! Terms are computed in `f32` and summed in `f64`, in blocks that depend on the shape alone.

use crate::candle_loss;
use crate::elementary::{exp_negative, ln_1p_unit};
use crate::elementwise::CHUNK;
use crate::graph::Edge;
use crate::kernels::Kernels;
use crate::memory::Buffer;
use crate::values::{check, kernels_for, with_values};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

/// What [`cross_entropy`] can do beyond the plain mean; names as in `torch.nn.CrossEntropyLoss`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropy {
    /// A target that stands for "no label": such rows count neither in the sum nor in the mean.
    pub ignore_index: Option<u32>,
    /// Share of the target's probability that is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f64,
    /// A weight of each class, at least 0. The mean is then over weights: `Σ wᵧ·loss / Σ wᵧ`.
    pub weight: Option<Vec<f32>>,
}

/// The mean softmax cross-entropy in nats of `logits` `[rows, classes]` against class indices `targets`, one a
/// row; a scalar. `CrossEntropy::default()` is the plain mean.
///
/// As `torch.nn.functional.cross_entropy`, but for one case: where no row counts (there is none, or all are
/// ignored or of weight 0), the loss and its gradient are 0, while torch's are not-a-number. A batch of images
/// without a labelled pixel then changes nothing, instead of ending the training.
///
/// Finite for all finite logits.
///
/// # Errors
///
/// Where the lengths differ, a target is neither a class nor ignored, or an option is out of its range.
pub fn cross_entropy(logits: &Tensor, targets: &[u32], options: &CrossEntropy) -> Result<Tensor> {
    const NAME: &str = "cross_entropy";
    check(NAME, "logits", logits, "[rows, classes]", 2)?;
    let (rows, classes) = logits.dims2()?;
    if rows != targets.len() {
        bail!("{NAME}: expected a target a row, found logits {:?} and {} targets", logits.dims(), targets.len());
    }
    let factors = Factors::new(NAME, classes, targets, options)?;
    let Some(kernels) = kernels_for(logits)? else {
        return candle_loss::cross_entropy(logits, targets, &factors);
    };
    let mut softmax = Buffer::arbitrary(2 * rows)?;
    let loss = with_values(NAME, logits, |logits| factors.forward(kernels, logits, targets, &mut softmax))?;
    let (edge, gradient) = Edge::enter(NAME, logits)?;
    let (logits, targets) = (logits.clone(), targets.to_vec());
    edge.exit(NAME, vec![loss as f32], (), move |dloss| {
        let mut dx = Buffer::arbitrary(logits.elem_count())?;
        with_values(NAME, &logits, |logits| {
            factors.backward(kernels, logits, &targets, &softmax, f64::from(dloss[0]), &mut dx);
        })?;
        gradient.add_buffer(dx);
        Ok(())
    })
}

/// The loss as a sum over rows of `−hit[y]·ln pᵧ − Σ spread[c]·ln p_c`.
pub(crate) struct Factors {
    pub(crate) ignore: Option<u32>,
    /// By target: `(1 − label_smoothing)·weight / total weight`.
    pub(crate) hit: Vec<f64>,
    /// By class: `label_smoothing·weight / classes / total weight`; empty where nothing is spread.
    pub(crate) spread: Vec<f64>,
}

impl Factors {
    fn new(op: &str, classes: usize, targets: &[u32], options: &CrossEntropy) -> Result<Self> {
        let CrossEntropy { ignore_index: ignore, label_smoothing, ref weight } = *options;
        if !(0.0..=1.0).contains(&label_smoothing) {
            bail!("{op}: expected a label_smoothing of 0 to 1, found {label_smoothing}");
        }
        let mut weights = vec![1.0; classes];
        if let Some(weight) = weight {
            if weight.len() != classes {
                bail!("{op}: expected a weight for each of {classes} classes, found {}", weight.len());
            }
            if let Some((class, weight)) = weight.iter().enumerate().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
                bail!("{op}: expected finite weights of at least 0, found {weight} for class {class}");
            }
            weights = weight.iter().copied().map(f64::from).collect();
        }
        let mut counts = vec![0usize; classes];
        for (row, target) in targets.iter().enumerate() {
            match counts.get_mut(*target as usize) {
                _ if Some(*target) == ignore => {}
                Some(count) => *count += 1,
                None => {
                    bail!("{op}: expected targets below {classes}, the number of classes; found {target} in row {row}")
                }
            }
        }
        let total: f64 = counts.iter().zip(&weights).map(|(count, weight)| *count as f64 * weight).sum();
        let share = if total > 0.0 { 1.0 / total } else { 0.0 };
        let scaled = |by: f64| weights.iter().map(|weight| by * weight * share).collect::<Vec<_>>();
        let spread = if label_smoothing > 0.0 { scaled(label_smoothing / classes as f64) } else { Vec::new() };
        Ok(Self { ignore, hit: scaled(1.0 - label_smoothing), spread })
    }

    /// Rows a task takes.
    fn block(&self) -> usize {
        (CHUNK / self.hit.len().max(1)).max(1)
    }

    /// The loss. `softmax` gets what `backward` needs: each row's largest logit, and the inverse of its sum of
    /// `exp(logit − largest)`.
    fn forward(&self, kernels: Kernels, logits: &[f32], targets: &[u32], softmax: &mut [f32]) -> f64 {
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
            loss += (self.hit[target] + total) * sum.ln() - self.hit[target] * below(row[target]);
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
    fn backward(&self, kernels: Kernels, logits: &[f32], targets: &[u32], softmax: &[f32], dloss: f64, dx: &mut [f32]) {
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

/// The mean over all elements of the cross-entropy in nats between `σ(logits)` and `targets`, probabilities in a
/// tensor of the same shape; a scalar.
///
/// As `torch.nn.functional.binary_cross_entropy_with_logits`; the mean over no elements is 0. Finite for all
/// finite logits, and so is its gradient. Targets are constants: they get no gradient.
///
/// # Errors
///
/// Where the shapes differ.
pub fn binary_cross_entropy_with_logits(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let terms = Binary { positive: 1.0, negative: 1.0, gamma: 0.0 };
    binary("binary_cross_entropy_with_logits", logits, targets, terms, 1.0 / logits.elem_count().max(1) as f64)
}

/// Parameters of [`sigmoid_focal_loss`]; names and defaults as in `torchvision.ops.sigmoid_focal_loss`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FocalLoss {
    /// Weight of positive examples, 0 to 1; negative ones get `1 − alpha`. `None`: both 1 (torchvision: −1).
    pub alpha: Option<f64>,
    /// Exponent that lowers the weight of easy examples, at least 0.
    pub gamma: f64,
}

impl Default for FocalLoss {
    fn default() -> Self {
        Self { alpha: Some(0.25), gamma: 2.0 }
    }
}

/// The focal loss (arXiv 1708.02002) of `logits` against `targets`, 0 or 1 in a tensor of the same shape,
/// *summed* over all elements; a scalar: `α·(1 − p)^γ·(−ln p)` with `p` the probability of the target.
///
/// As `torchvision.ops.sigmoid_focal_loss` with `reduction="sum"`; detectors divide by the number of positive
/// examples. Finite for all finite logits, and so is its gradient. Targets are constants: they get no gradient.
///
/// # Errors
///
/// Where the shapes differ or a parameter is out of its range.
pub fn sigmoid_focal_loss(logits: &Tensor, targets: &Tensor, focal: FocalLoss) -> Result<Tensor> {
    const NAME: &str = "sigmoid_focal_loss";
    let FocalLoss { alpha, gamma } = focal;
    if !(gamma >= 0.0 && gamma.is_finite()) || alpha.is_some_and(|alpha| !(0.0..=1.0).contains(&alpha)) {
        bail!("{NAME}: expected an alpha of 0 to 1 and a finite gamma of at least 0, found {focal:?}");
    }
    let (positive, negative) = alpha.map_or((1.0, 1.0), |alpha| (alpha, 1.0 - alpha));
    let terms = Binary { positive: positive as f32, negative: negative as f32, gamma: gamma as f32 };
    binary(NAME, logits, targets, terms, 1.0)
}

/// `scale` times the sum of `terms`.
fn binary(op: &'static str, logits: &Tensor, targets: &Tensor, terms: Binary, scale: f64) -> Result<Tensor> {
    if logits.dims() != targets.dims() {
        bail!("{op}: expected logits and targets of one shape, found {:?} and {:?}", logits.dims(), targets.dims());
    }
    check(op, "logits", logits, "any", logits.rank())?;
    check(op, "targets", targets, "any", targets.rank())?;
    let Some(kernels) = kernels_for(logits)? else {
        return candle_loss::binary(logits, targets, terms, scale);
    };
    let sum = with_values(op, logits, |x| with_values(op, targets, |t| terms.forward(kernels, x, t)))??;
    let (edge, gradient) = Edge::enter(op, logits)?;
    let (logits, targets) = (logits.clone(), targets.detach());
    edge.exit(op, vec![(scale * sum) as f32], (), move |dloss| {
        let mut dx = Buffer::arbitrary(logits.elem_count())?;
        let scale = (scale * f64::from(dloss[0])) as f32;
        with_values(op, &logits, |x| with_values(op, &targets, |t| terms.backward(kernels, x, t, scale, &mut dx)))??;
        gradient.add_buffer(dx);
        Ok(())
    })
}

/// The terms `a·q^γ·l` of a logit `x` and its target `t`, with `p = σ(x)`, `p̄ = 1 − p`:
/// the weight `a = t·positive + (1 − t)·negative`, the probability `q = t·p̄ + (1 − t)·p` of being wrong, and
/// the cross-entropy `l = −t·ln p − (1 − t)·ln p̄`.
///
/// `l = t·max(−x, 0) + (1 − t)·max(x, 0) + ln(1 + u)`, and `p` and `p̄` are `1/(1 + u)` and `u/(1 + u)`, with
/// `u = exp(−|x|)`: nothing overflows, and no two numbers of almost the same size are subtracted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binary {
    pub(crate) positive: f32,
    pub(crate) negative: f32,
    pub(crate) gamma: f32,
}

impl Binary {
    fn forward(self, kernels: Kernels, x: &[f32], t: &[f32]) -> f64 {
        match self.gamma {
            0.0 => self.sum(kernels, x, t, |_| 1.0),
            2.0 => self.sum(kernels, x, t, |q| q * q),
            gamma => self.sum(kernels, x, t, |q| q.powf(gamma)),
        }
    }

    fn sum(self, kernels: Kernels, x: &[f32], t: &[f32], power: impl Fn(f32) -> f32 + Sync) -> f64 {
        let sums: Vec<f64> = x
            .par_chunks(CHUNK)
            .zip(t.par_chunks(CHUNK))
            .map(|(x, t)| {
                kernels.run(|| {
                    let mut terms = vec![0.0; x.len()];
                    for ((term, x), t) in terms.iter_mut().zip(x).zip(t) {
                        *term = self.at(*x, *t, &power)[0];
                    }
                    sum(&terms)
                })
            })
            .collect();
        sums.iter().sum()
    }

    fn backward(self, kernels: Kernels, x: &[f32], t: &[f32], scale: f32, dx: &mut [f32]) {
        match self.gamma {
            0.0 => self.slopes(kernels, x, t, scale, dx, |_| 1.0),
            2.0 => self.slopes(kernels, x, t, scale, dx, |q| q * q),
            gamma => self.slopes(kernels, x, t, scale, dx, |q| q.powf(gamma)),
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
        let pairs = x.par_chunks(CHUNK).zip(t.par_chunks(CHUNK));
        dx.par_chunks_mut(CHUNK).zip(pairs).for_each(|(dx, (x, t))| {
            kernels.run(|| {
                for ((dx, x), t) in dx.iter_mut().zip(x).zip(t) {
                    *dx = scale * self.at(*x, *t, &power)[1];
                }
            });
        });
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
