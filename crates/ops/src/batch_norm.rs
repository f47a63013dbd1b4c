//! Batch normalization (arXiv 1502.03167), with an optional ReLU in the same pass.

use crate::activation::rectify;
use crate::values::{check, gradient, output, values, vectorized, with_values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, Var, bail};
use rayon::prelude::*;

/// Parameters and running statistics of a batch norm over `c` channels; names as in
/// `torch.nn.BatchNorm2d`.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// Scale γ, `[c]`.
    pub weight: Tensor,
    /// Shift β, `[c]`.
    pub bias: Tensor,
    /// Running mean, `[c]`; changed in place by training.
    pub running_mean: Var,
    /// Running unbiased variance, `[c]`; changed in place by training.
    pub running_var: Var,
    /// Added to the variance; torch's default is 1e-5.
    pub eps: f64,
    /// Share of a new batch in the running statistics; torch's default is 0.1.
    pub momentum: f64,
}

/// Which mean and variance normalize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// Those of the batch, which also update the running ones: training.
    Batch,
    /// The running ones, which are constants: evaluation, and frozen layers. A layer in this mode is
    /// not invariant to the scale of the weight before it.
    Running,
}

/// Normalizes `x` `[n, h, w, c]` (or `[n, c]`) per channel: `γ·(x − mean)/√(var + ε) + β`, then
/// `max(·, 0)` where `relu` says so.
///
/// The batch variance that normalizes is biased, the running one unbiased, as in torch. Sums are
/// taken in blocks of rows and added up in `f64`.
///
/// # Errors
///
/// Where shapes differ, or `Statistics::Batch` meets a single value per channel.
pub fn batch_norm(x: &Tensor, norm: &BatchNorm, statistics: Statistics, relu: bool) -> Result<Tensor> {
    check(NAME, "x", x, "[n, h, w, c] or [n, c]", if x.rank() == 2 { 2 } else { 4 })?;
    let channels = x.dims()[x.rank() - 1];
    let running: [&Tensor; 2] = [&norm.running_mean, &norm.running_var];
    for (name, tensor) in ["weight", "bias", "running_mean", "running_var"].into_iter().zip([
        &norm.weight,
        &norm.bias,
        running[0],
        running[1],
    ]) {
        check(NAME, name, tensor, "[c]", 1)?;
        if tensor.dims() != [channels] {
            bail!("{NAME}: x {:?} has {channels} channels, {name} has shape {:?}", x.dims(), tensor.dims());
        }
    }
    let (mean, var) = match statistics {
        Statistics::Running => {
            let read = |tensor| with_values(NAME, tensor, <[f32]>::to_vec);
            (read(running[0])?, read(running[1])?)
        }
        Statistics::Batch => {
            let rows = x.elem_count().checked_div(channels).unwrap_or(0);
            if rows < 2 {
                bail!("{NAME}: expected more than one value per channel to take statistics of, found x {:?}", x.dims());
            }
            let (mean, var) = with_values(NAME, x, |x| moments(x, channels))?;
            let unbiased = rows as f64 / (rows - 1) as f64;
            blend(&norm.running_mean, &mean, 1.0, norm.momentum)?;
            blend(&norm.running_var, &var, unbiased, norm.momentum)?;
            (mean, var)
        }
    };
    let inverse_std = var.iter().map(|var| (1.0 / (f64::from(*var) + norm.eps).sqrt()) as f32).collect();
    x.apply_op3(&norm.weight, &norm.bias, Normalize { mean, inverse_std, statistics, relu })
}

const NAME: &str = "batch_norm";

/// Rows that are summed in `f32` before they are added to an `f64` sum.
const ROWS: usize = 32;

/// Blocks of rows, at most, that the sums over a tensor are split into.
const BLOCKS: usize = 16;

/// `running ← (1 − momentum)·running + momentum·factor·batch`.
fn blend(running: &Var, batch: &[f32], factor: f64, momentum: f64) -> Result<()> {
    let values = with_values(NAME, running, |running| {
        let blend = |(old, new): (&f32, &f32)| {
            ((1.0 - momentum) * f64::from(*old) + momentum * factor * f64::from(*new)) as f32
        };
        running.iter().zip(batch).map(blend).collect::<Vec<_>>()
    })?;
    running.set(&gradient(values, running)?)
}

/// Sums over rows of `terms`, per channel: `partial` adds the terms of a few rows (given as a range of
/// values) to two `f32` sums per channel.
fn sums(
    len: usize,
    channels: usize,
    partial: impl Fn(std::ops::Range<usize>, &mut [f32], &mut [f32]) + Sync,
) -> [Vec<f64>; 2] {
    let rows = len / channels;
    let per_block = rows.div_ceil(BLOCKS).next_multiple_of(ROWS);
    let blocks: Vec<[Vec<f64>; 2]> = (0..rows.div_ceil(per_block))
        .into_par_iter()
        .map(|block| {
            let mut total = [vec![0f64; channels], vec![0f64; channels]];
            let mut part = [vec![0f32; channels], vec![0f32; channels]];
            let end = ((block + 1) * per_block).min(rows);
            for start in (block * per_block..end).step_by(ROWS) {
                let [a, b] = &mut part;
                a.fill(0.0);
                b.fill(0.0);
                vectorized(|| partial(start * channels..(start + ROWS).min(end) * channels, a, b));
                for (total, part) in total.iter_mut().zip(&part) {
                    for (total, part) in total.iter_mut().zip(part) {
                        *total += f64::from(*part);
                    }
                }
            }
            total
        })
        .collect();
    let mut total = [vec![0f64; channels], vec![0f64; channels]];
    for block in &blocks {
        for (total, block) in total.iter_mut().zip(block) {
            for (total, block) in total.iter_mut().zip(block) {
                *total += block;
            }
        }
    }
    total
}

/// Mean and biased variance per channel, in two passes: exact also where the mean is far from 0.
fn moments(x: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = (x.len() / channels) as f64;
    let [sum, _] = sums(x.len(), channels, |range, sum, _| {
        for row in x[range].chunks_exact(channels) {
            for (sum, x) in sum.iter_mut().zip(row) {
                *sum += x;
            }
        }
    });
    let mean: Vec<f32> = sum.iter().map(|sum| (sum / rows) as f32).collect();
    let [squares, deviations] = sums(x.len(), channels, |range, squares, deviations| {
        for row in x[range].chunks_exact(channels) {
            for (((square, deviation), x), mean) in squares.iter_mut().zip(deviations.iter_mut()).zip(row).zip(&mean) {
                let d = x - mean;
                *square += d * d;
                *deviation += d;
            }
        }
    });
    let var = squares.iter().zip(&deviations).map(|(square, deviation)| {
        // The rounding of the mean is taken out again. Not `max`: not-a-number must stay visible.
        let var = (square - deviation * deviation / rows) / rows;
        if var < 0.0 { 0.0 } else { var as f32 }
    });
    let var = var.collect();
    (mean, var)
}

struct Normalize {
    mean: Vec<f32>,
    inverse_std: Vec<f32>,
    statistics: Statistics,
    relu: bool,
}

/// Values a task of the thread pool takes, a whole number of rows.
fn chunk(channels: usize) -> usize {
    channels * (16384 / channels).max(1)
}

impl CustomOp3 for Normalize {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (values(NAME, s1, l1)?, values(NAME, s2, l2)?, values(NAME, s3, l3)?);
        let channels = self.mean.len();
        let scale: Vec<f32> = weight.iter().zip(&self.inverse_std).map(|(weight, inverse)| weight * inverse).collect();
        let mut y = vec![0.0; x.len()];
        if channels > 0 {
            let chunk = chunk(channels);
            y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
                vectorized(|| {
                    for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                        let parameters = scale.iter().zip(&self.mean).zip(bias.iter());
                        for ((y, x), ((scale, mean), bias)) in y.iter_mut().zip(x).zip(parameters) {
                            let value = (x - mean) * scale + bias;
                            *y = if self.relu { rectify(value) } else { value };
                        }
                    }
                });
            });
        }
        Ok(output(y, l1.shape().clone()))
    }

    /// With `d` the gradient behind the ReLU and `x̂ = (x − mean)/σ`: `dβ = Σd`, `dγ = Σd·x̂`, and
    /// `dx = γ/σ·(d − dβ/rows − x̂·dγ/rows)`; without the last two terms where the statistics are constants.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dweight, dbias] = with_values(NAME, x, |x| {
            with_values(NAME, y, |y| {
                with_values(NAME, dy, |dy| with_values(NAME, weight, |weight| self.backward(x, weight, y, dy)))
            })
        })????;
        Ok((Some(gradient(dx, x)?), Some(gradient(dweight, weight)?), Some(gradient(dbias, bias)?)))
    }
}

impl Normalize {
    fn backward(&self, x: &[f32], weight: &[f32], y: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
        let channels = self.mean.len();
        let mut dx = vec![0.0; x.len()];
        if x.is_empty() {
            return [dx, vec![0.0; channels], vec![0.0; channels]];
        }
        // Where there is no ReLU every value passes.
        let passes = |y: f32| !self.relu || y > 0.0;
        let rows = (x.len() / channels) as f64;
        let [sum, products] = sums(x.len(), channels, |range, sum, products| {
            let (x, y, dy) = (&x[range.clone()], &y[range.clone()], &dy[range]);
            for ((x, y), dy) in x.chunks_exact(channels).zip(y.chunks_exact(channels)).zip(dy.chunks_exact(channels)) {
                let sums = sum.iter_mut().zip(products.iter_mut());
                for ((sum, product), (((x, y), dy), mean)) in sums.zip(x.iter().zip(y).zip(dy).zip(&self.mean)) {
                    let d = if passes(*y) { *dy } else { 0.0 };
                    *sum += d;
                    *product += d * (x - mean);
                }
            }
        });
        // dx = d·scale + (x − mean)·slope + shift, per channel.
        let (mut scale, mut slope, mut shift) = (vec![0f32; channels], vec![0f32; channels], vec![0f32; channels]);
        let mut dweight = vec![0f32; channels];
        for c in 0..channels {
            let inverse = f64::from(self.inverse_std[c]);
            let (gamma, dgamma) = (f64::from(weight[c]), products[c] * inverse);
            dweight[c] = dgamma as f32;
            scale[c] = (gamma * inverse) as f32;
            if self.statistics == Statistics::Batch {
                slope[c] = (-gamma * inverse * inverse * dgamma / rows) as f32;
                shift[c] = (-gamma * inverse * sum[c] / rows) as f32;
            }
        }
        let chunk = chunk(channels);
        dx.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).zip(y.par_chunks(chunk)).zip(dy.par_chunks(chunk)).for_each(
            |(((dx, x), y), dy)| {
                vectorized(|| {
                    let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
                    for ((dx, x), (y, dy)) in rows.zip(y.chunks_exact(channels).zip(dy.chunks_exact(channels))) {
                        for c in 0..channels {
                            let d = if passes(y[c]) { dy[c] } else { 0.0 };
                            dx[c] = d * scale[c] + (x[c] - self.mean[c]) * slope[c] + shift[c];
                        }
                    }
                });
            },
        );
        [dx, dweight, sum.iter().map(|sum| *sum as f32).collect()]
    }
}
