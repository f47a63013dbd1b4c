//! Batch normalization on the CPU.
//!
//! Sums are taken in blocks of rows, in `f32` over few rows, then in `f64`.

use super::columns::{self, Columns, Terms, load, save};
use crate::cpu::mul_add::mul_add;
use crate::norm::BatchNorm;
use crate::values::with_values;
use candle_core::{Result, Tensor, Var};
use kernels::Kernels;
use pulp::Simd;
use rayon::prelude::*;

/// Mean and sum of squared deviations of each column of a matrix.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: Vec<f64>,
    pub(crate) squares: Vec<f64>,
}

/// `x − shift` and its square: sums that stay exact where the mean is far from 0.
#[derive(Clone, Copy)]
struct Deviations<'a> {
    x: &'a [f32],
    shift: &'a [f32],
}

impl Terms for Deviations<'_> {
    type State<S: Simd> = S::f32s;

    #[inline(always)]
    fn begin<S: Simd>(&self, simd: S, column: usize, columns: usize) -> S::f32s {
        load(simd, self.shift, column, columns)
    }

    #[inline(always)]
    fn terms<S: Simd>(&self, simd: S, shift: S::f32s, at: usize, columns: usize) -> [S::f32s; 2] {
        let d = simd.sub_f32s(load(simd, self.x, at, columns), shift);
        [d, simd.mul_f32s(d, d)]
    }
}

impl Moments {
    /// Of all of `x`, `channels` columns, on all threads.
    pub(super) fn of(kernels: Kernels, x: &[f32], channels: usize) -> Self {
        let block = columns::chunk(channels);
        let parts: Vec<_> = x.par_chunks(block).map(|x| Self::of_block(kernels, x, channels)).collect();
        Self::merge(parts.into_iter(), channels)
    }

    /// Of a few rows, on this thread.
    pub(super) fn of_block(kernels: Kernels, x: &[f32], channels: usize) -> Self {
        let rows = x.len() / channels.max(1);
        // Deviations from the first row: the sums are small where the values are close to each other.
        let shift = x.get(..channels).unwrap_or_default();
        let (mut sum, mut squares) = (vec![0f64; channels], vec![0f64; channels]);
        columns::sum_rows(kernels, rows, channels, 0..channels, Deviations { x, shift }, [&mut sum, &mut squares]);
        let count = rows as f64;
        for ((sum, squares), shift) in sum.iter_mut().zip(&mut squares).zip(shift) {
            *squares -= *sum * *sum / count;
            *sum = *sum / count + f64::from(*shift);
        }
        Self { count, mean: sum, squares }
    }

    /// Chan, Golub and LeVeque's update, in the order of the parts.
    pub(super) fn merge(parts: impl Iterator<Item = Self>, channels: usize) -> Self {
        let mut all = Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] };
        for part in parts {
            let count = all.count + part.count;
            for c in 0..channels {
                let delta = part.mean[c] - all.mean[c];
                all.mean[c] += delta * part.count / count;
                all.squares[c] += part.squares[c] + delta * delta * all.count * part.count / count;
            }
            all.count = count;
        }
        all
    }
}

/// `running ← (1 − momentum)·running + momentum·batch`, the variance unbiased.
pub(super) fn update_running(norm: &BatchNorm, batch: &Moments) -> Result<()> {
    let blend = |running: &Var, batch: &dyn Fn(usize) -> f64| {
        let values = with_values("batch_norm", running, |running| {
            let blend =
                |(i, old): (usize, &f32)| ((1.0 - norm.momentum) * f64::from(*old) + norm.momentum * batch(i)) as f32;
            running.iter().enumerate().map(blend).collect::<Vec<_>>()
        })?;
        running.set(&Tensor::from_vec(values, running.shape().clone(), running.device())?)
    };
    blend(&norm.running_mean, &|i| batch.mean[i])?;
    blend(&norm.running_var, &|i| batch.squares[i] / (batch.count - 1.0))
}

/// A normalization with known moments, `(x − mean)·scale + beta` per channel, and what its gradient needs.
#[derive(Debug)]
pub(crate) struct Normalization {
    pub(crate) mean: Vec<f32>,
    pub(crate) inverse_std: Vec<f64>,
    pub(crate) gamma: Vec<f32>,
    scale: Vec<f32>,
    pub(crate) beta: Vec<f32>,
    /// ε where the moments are those of the batch, and so depend on its values.
    pub(crate) batch_eps: Option<f64>,
}

impl Normalization {
    pub(super) fn new(norm: &BatchNorm, batch: Option<&Moments>) -> Result<Self> {
        let read = |tensor: &Tensor| with_values("batch_norm", tensor, <[f32]>::to_vec);
        let (gamma, beta) = (read(&norm.weight)?, read(&norm.bias)?);
        let (mean, variance): (Vec<f32>, Vec<f64>) = match batch {
            Some(Moments { count, mean, squares }) => (
                mean.iter().map(|mean| *mean as f32).collect(),
                // Rounding may take it below 0. Not `max`: not-a-number must stay visible.
                squares.iter().map(|squares| squares / count).map(|var| if var < 0.0 { 0.0 } else { var }).collect(),
            ),
            None => (read(&norm.running_mean)?, read(&norm.running_var)?.into_iter().map(f64::from).collect()),
        };
        let inverse_std: Vec<f64> = variance.iter().map(|var| 1.0 / (var + norm.eps).sqrt()).collect();
        let scale = gamma.iter().zip(&inverse_std).map(|(gamma, inverse)| (f64::from(*gamma) * inverse) as f32);
        let scale = scale.collect();
        Ok(Self { mean, inverse_std, gamma, scale, beta, batch_eps: batch.map(|_| norm.eps) })
    }

    /// What a value is multiplied with.
    pub(super) fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// What is added after `x·scale`, for those who do not subtract the mean first.
    pub(super) fn shift(&self) -> Vec<f32> {
        let shift = self.beta.iter().zip(&self.scale).zip(&self.mean);
        shift.map(|((beta, scale), mean)| (f64::from(*beta) - f64::from(*mean) * f64::from(*scale)) as f32).collect()
    }

    pub(super) fn apply(&self, kernels: Kernels, x: &[f32], residual: Option<&[f32]>, relu: bool, y: &mut [f32]) {
        let (width, chunk) = (self.mean.len(), columns::chunk(self.mean.len()));
        y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).enumerate().for_each(|(index, (y, x))| {
            let residual = residual.map(|residual| &residual[index * chunk..][..x.len()]);
            let rows = x.len() / width;
            let mut apply = Normalize { by: self, x, residual, relu, y };
            columns::for_each(kernels, rows, width, 0..width, &mut apply);
        });
    }

    /// Replaces `x` by its gradient; with `keep`, `dy` by the gradient before the ReLU. Returns `[dγ, dβ]`.
    ///
    /// With `d` the gradient before the ReLU and `x̂ = (x − mean)/σ`: `dβ = Σd`, `dγ = Σd·x̂`, and
    /// `dx = γ/σ·(d − dβ/rows − x̂·dγ/rows)`; without the last two terms where the statistics are constants.
    pub(super) fn backward(
        &self,
        kernels: Kernels,
        x: &mut [f32],
        dy: &mut [f32],
        y: Option<&[f32]>,
        keep: bool,
    ) -> [Vec<f32>; 2] {
        let width = self.mean.len();
        let rows = x.len() / width.max(1);
        let [sum, products] = {
            let (x, dy): (&[f32], &[f32]) = (x, dy);
            columns::sum(kernels, rows, width, |start, count| {
                let range = start * width..(start + count) * width;
                Products { x: &x[range.clone()], dy: &dy[range.clone()], mask: y.map(|y| &y[range]), mean: &self.mean }
            })
        };
        // dx = d·scale + x·slope + shift, per channel.
        let (mut slope, mut shift) = (vec![0f32; width], vec![0f32; width]);
        let mut dgamma = vec![0f32; width];
        for c in 0..width {
            let (gamma, inverse) = (f64::from(self.gamma[c]), self.inverse_std[c]);
            let product = products[c] * inverse;
            dgamma[c] = product as f32;
            if self.batch_eps.is_some() {
                let factor = -gamma * inverse * inverse * product / rows as f64;
                slope[c] = factor as f32;
                shift[c] = (-gamma * inverse * sum[c] / rows as f64) as f32;
            }
        }
        let chunk = columns::chunk(width);
        x.par_chunks_mut(chunk).zip(dy.par_chunks_mut(chunk)).enumerate().for_each(|(index, (x, dy))| {
            let mask = y.map(|y| &y[index * chunk..][..x.len()]);
            let rows = x.len() / width;
            let [scale, mean, slope, shift] = [&self.scale, &self.mean, &slope, &shift].map(Vec::as_slice);
            let mut backward = NormalizeBackward { scale, mean, slope, shift, x, dy, mask, keep };
            columns::for_each(kernels, rows, width, 0..width, &mut backward);
        });
        [dgamma, sum.iter().map(|sum| *sum as f32).collect()]
    }
}

struct Normalize<'a> {
    by: &'a Normalization,
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    relu: bool,
    y: &'a mut [f32],
}

impl Columns for Normalize<'_> {
    type State<S: Simd> = [S::f32s; 3];

    #[inline(always)]
    fn begin<S: Simd>(&self, simd: S, column: usize, columns: usize) -> Self::State<S> {
        let Normalization { mean, scale, beta, .. } = self.by;
        [mean, scale, beta].map(|values| load(simd, values, column, columns))
    }

    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, [mean, scale, beta]: &mut Self::State<S>, at: usize, columns: usize) {
        let x = load(simd, self.x, at, columns);
        let mut value = mul_add(simd, simd.sub_f32s(x, *mean), *scale, *beta);
        if let Some(residual) = self.residual {
            value = simd.add_f32s(value, load(simd, residual, at, columns));
        }
        if self.relu {
            let zero = simd.splat_f32s(0.0);
            // Not `max`: not-a-number must stay visible.
            value = simd.select_f32s(simd.less_than_f32s(value, zero), zero, value);
        }
        save(simd, self.y, at, columns, value);
    }

    #[inline(always)]
    fn end<S: Simd>(&mut self, _: S, _: Self::State<S>, _: usize, _: usize) {}
}

/// The gradient before a ReLU: 0 where its result is not positive.
#[inline(always)]
fn masked<S: Simd>(simd: S, dy: S::f32s, mask: Option<&[f32]>, at: usize, columns: usize) -> S::f32s {
    match mask {
        Some(y) => {
            let zero = simd.splat_f32s(0.0);
            // Where y is not a number, the gradient passes and stays visible.
            simd.select_f32s(simd.less_than_or_equal_f32s(load(simd, y, at, columns), zero), zero, dy)
        }
        None => dy,
    }
}

/// `d` and `d·(x − mean)`.
#[derive(Clone, Copy)]
struct Products<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    mask: Option<&'a [f32]>,
    mean: &'a [f32],
}

impl Terms for Products<'_> {
    type State<S: Simd> = S::f32s;

    #[inline(always)]
    fn begin<S: Simd>(&self, simd: S, column: usize, columns: usize) -> S::f32s {
        load(simd, self.mean, column, columns)
    }

    #[inline(always)]
    fn terms<S: Simd>(&self, simd: S, mean: S::f32s, at: usize, columns: usize) -> [S::f32s; 2] {
        let d = masked(simd, load(simd, self.dy, at, columns), self.mask, at, columns);
        let deviation = simd.sub_f32s(load(simd, self.x, at, columns), mean);
        [d, simd.mul_f32s(d, deviation)]
    }
}

struct NormalizeBackward<'a> {
    scale: &'a [f32],
    mean: &'a [f32],
    slope: &'a [f32],
    shift: &'a [f32],
    x: &'a mut [f32],
    dy: &'a mut [f32],
    mask: Option<&'a [f32]>,
    keep: bool,
}

impl Columns for NormalizeBackward<'_> {
    type State<S: Simd> = [S::f32s; 4];

    #[inline(always)]
    fn begin<S: Simd>(&self, simd: S, column: usize, columns: usize) -> Self::State<S> {
        [self.scale, self.mean, self.slope, self.shift].map(|values| load(simd, values, column, columns))
    }

    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, [scale, mean, slope, shift]: &mut Self::State<S>, at: usize, columns: usize) {
        let d = masked(simd, load(simd, self.dy, at, columns), self.mask, at, columns);
        if self.keep {
            save(simd, self.dy, at, columns, d);
        }
        let deviation = simd.sub_f32s(load(simd, self.x, at, columns), *mean);
        let rest = mul_add(simd, deviation, *slope, *shift);
        save(simd, self.x, at, columns, mul_add(simd, d, *scale, rest));
    }

    #[inline(always)]
    fn end<S: Simd>(&mut self, _: S, _: Self::State<S>, _: usize, _: usize) {}
}
