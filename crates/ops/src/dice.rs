//! The soft Dice loss.

use crate::elementwise::CHUNK;
use crate::graph::Edge;
use crate::memory::Buffer;
use crate::values::{check, kernels_for, recorded, with_values};
use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

/// The soft Dice loss (arXiv 1606.04797 eq. 2, without squares) of `logits` `[rows, classes]` against class indices
/// `targets`, one a row; a scalar, 0 to 1:
/// the mean of `1 − 2·Σ p·g / (Σ p + Σ g)` over the classes that are the target of a row, with `p` the softmax of a row at the
/// class, `g` 1 where the class is the row's target and 0 elsewhere, and sums over the rows whose target is not
/// `ignore_index`.
///
/// As `segmentation_models_pytorch`'s `DiceLoss(mode="multiclass")`, whose mean is over all classes, with 0 for those that
/// are no target. Where no row counts, the loss and its gradient are 0. Sums are taken in `f64`.
///
/// # Errors
///
/// Where the lengths differ, or a target is neither a class nor ignored.
pub fn dice_loss(logits: &Tensor, targets: &[u32], ignore_index: Option<u32>) -> Result<Tensor> {
    check(NAME, "logits", logits, "[rows, classes]", 2)?;
    let (rows, classes) = logits.dims2()?;
    if rows != targets.len() {
        bail!("{NAME}: expected a target a row, found logits {:?} and {} targets", logits.dims(), targets.len());
    }
    let wrong = |target: &u32| *target as usize >= classes && Some(*target) != ignore_index;
    if let Some(row) = targets.iter().position(wrong) {
        bail!("{NAME}: expected targets below {classes}, the number of classes; found {} in row {row}", targets[row]);
    }
    if kernels_for(logits)?.is_none() {
        let logits = recorded(logits);
        let on_host = logits.detach().to_device(&Device::Cpu)?;
        let (loss, slopes) = with_values(NAME, &on_host, |logits| {
            let dice = Dice::new(logits, targets, ignore_index, classes);
            let mut slopes = vec![0.0; logits.len()];
            dice.backward(logits, targets, 1.0, &mut slopes);
            (dice.loss as f32, slopes)
        })?;
        if slopes.is_empty() {
            return Tensor::zeros((), logits.dtype(), logits.device());
        }
        let slopes = Tensor::from_vec(slopes, logits.dims(), logits.device())?;
        // Ignored rows may hold anything.
        let counted = slopes.ne(0f64)?.where_cond(&logits, &logits.zeros_like()?)?;
        // The loss with the gradient `slopes`, on any device.
        return ((&counted - counted.detach())? * slopes)?.sum_all()? + f64::from(loss);
    }
    let dice = with_values(NAME, logits, |logits| Dice::new(logits, targets, ignore_index, classes))?;
    let (edge, gradient) = Edge::enter(NAME, logits)?;
    let (logits, targets) = (logits.clone(), targets.to_vec());
    edge.exit(NAME, vec![dice.loss as f32], (), move |dloss| {
        let mut dx = Buffer::arbitrary(logits.elem_count())?;
        with_values(NAME, &logits, |logits| dice.backward(logits, &targets, f64::from(dloss[0]), &mut dx))?;
        gradient.add_buffer(dx);
        Ok(())
    })
}

const NAME: &str = "dice_loss";

/// The loss, and what its gradient needs.
struct Dice {
    ignore: Option<u32>,
    loss: f64,
    /// Derivatives of the loss by a class's `p` where the row's target is another, and where it is this one.
    other: Vec<f64>,
    own: Vec<f64>,
}

impl Dice {
    fn new(logits: &[f32], targets: &[u32], ignore: Option<u32>, classes: usize) -> Self {
        // Of each class `Σ p·g`, `Σ p` and `Σ g`, block by block: blocks depend on the shape alone.
        let rows = block(classes);
        let blocks: Vec<Vec<[f64; 3]>> = logits
            .par_chunks(rows * classes.max(1))
            .zip(targets.par_chunks(rows))
            .map(|(logits, targets)| {
                let mut sums = vec![[0.0; 3]; classes];
                let mut p = vec![0.0; classes];
                for (row, target) in logits.chunks_exact(classes).zip(targets) {
                    if Some(*target) == ignore {
                        continue;
                    }
                    softmax(row, &mut p);
                    for (sums, p) in sums.iter_mut().zip(&p) {
                        sums[1] += p;
                    }
                    let target = *target as usize;
                    sums[target][0] += p[target];
                    sums[target][2] += 1.0;
                }
                sums
            })
            .collect();
        let mut sums = vec![[0.0; 3]; classes];
        for (sum, block) in blocks.iter().flat_map(|block| block.iter().enumerate()) {
            (0..3).for_each(|part| sums[sum][part] += block[part]);
        }
        let occurring = sums.iter().filter(|[.., g]| *g > 0.0).count() as f64;
        let (mut loss, mut other, mut own) = (0.0, Vec::new(), Vec::new());
        for [both, p, g] in sums {
            let (mut by_both, mut by_p) = (0.0, 0.0);
            if g > 0.0 {
                loss += (1.0 - 2.0 * both / (p + g)) / occurring;
                by_both = -2.0 / (p + g) / occurring;
                by_p = 2.0 * both / (p + g).powi(2) / occurring;
            }
            other.push(by_p);
            own.push(by_p + by_both);
        }
        Self { ignore, loss, other, own }
    }

    /// Writes the gradient `p·(d − Σ p·d)` times `dloss`, with `d` the derivative by `p`.
    fn backward(&self, logits: &[f32], targets: &[u32], dloss: f64, dx: &mut [f32]) {
        let classes = self.other.len();
        let rows = block(classes);
        let blocks = logits.par_chunks(rows * classes.max(1)).zip(targets.par_chunks(rows));
        dx.par_chunks_mut(rows * classes.max(1)).zip(blocks).for_each(|(dx, (logits, targets))| {
            let mut p = vec![0.0; classes];
            let all = dx.chunks_exact_mut(classes).zip(logits.chunks_exact(classes)).zip(targets);
            for ((dx, row), target) in all {
                if Some(*target) == self.ignore {
                    dx.fill(0.0);
                    continue;
                }
                softmax(row, &mut p);
                let target = *target as usize;
                let mean = p.iter().zip(&self.other).map(|(p, other)| p * other).sum::<f64>()
                    + p[target] * (self.own[target] - self.other[target]);
                for ((dx, p), other) in dx.iter_mut().zip(&p).zip(&self.other) {
                    *dx = (p * (other - mean) * dloss) as f32;
                }
                dx[target] = (p[target] * (self.own[target] - mean) * dloss) as f32;
            }
        });
    }
}

/// Rows a task takes.
fn block(classes: usize) -> usize {
    (CHUNK / classes.max(1)).max(1)
}

fn softmax(row: &[f32], p: &mut [f64]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (p, x) in p.iter_mut().zip(row) {
        *p = f64::from((x - largest).exp());
    }
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
}
