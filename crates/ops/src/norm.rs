//! Batch normalization (arXiv 1502.03167), alone or behind a convolution, with a residual and a ReLU in the
//! same pass.

use crate::candle;
use crate::columns::{self, Columns, Terms, load, save};
use crate::conv::{Affine, Conv2d, Sizes};
use crate::feature_map::{Body, FeatureMap, mixed};
use crate::graph::{Edge, Gradient, is_no_grad};
use crate::kernels::{Kernels, mul_add};
use crate::memory::Buffer;
use crate::values::{check, with_values};
use candle_core::{Result, Tensor, Var, bail};
use pulp::Simd;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

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

/// Normalizes `x` `[n, h, w, c]` per channel: `γ·(x − mean)/√(var + ε) + β`, then `max(·, 0)` where `relu`
/// says so.
///
/// The batch variance that normalizes is biased, the running one unbiased, as in torch. Sums are taken in
/// blocks of rows and added up in `f64`.
///
/// # Errors
///
/// Where shapes differ, or `Statistics::Batch` meets a single value per channel.
pub fn batch_norm(x: &FeatureMap, norm: &BatchNorm, statistics: Statistics, relu: bool) -> Result<FeatureMap> {
    const NAME: &str = "batch_norm";
    norm.check(NAME, x.dims(), statistics)?;
    let dims = x.dims();
    let x = match x.body() {
        Body::Candle(x) => return Ok(FeatureMap::candle(dims, candle::batch_norm(x, norm, statistics, None, relu)?)),
        Body::Kernels(x) => x,
    };
    let kernels = x.kernels;
    let moments = match statistics {
        Statistics::Batch => {
            let moments = Moments::of(kernels, &x.values, dims[3]);
            norm.update(&moments)?;
            moments
        }
        Statistics::Running => norm.running()?,
    };
    let (weight_edge, dweight) = Edge::enter(NAME, &norm.weight)?;
    let (bias_edge, dbias) = Edge::enter(NAME, &norm.bias)?;
    let normalize = Normalize::new(kernels, norm, &moments, statistics, relu)?;
    let mut y = Buffer::arbitrary(x.values.len())?;
    normalize.forward(&x.values, None, &mut y);
    let (y, dy) = (Arc::new(y), Gradient::default());
    let node = Edge::node(NAME, &[&x.edge, &weight_edge, &bias_edge], {
        let (y, dy, x) = (y.clone(), dy.clone(), x.clone());
        move || {
            let mut dx = Buffer::copy(&x.values)?;
            let mut dy = dy.take(NAME)?;
            normalize.backward(&mut dx, &mut dy, &y, false, &dweight, &dbias)?;
            if x.edge.is_tracked() {
                x.gradient.add_buffer(dx);
            }
            Ok(())
        }
    })?;
    Ok(FeatureMap::kernels(dims, kernels, y, node, dy))
}

/// A convolution without bias, the batch norm behind it, plus `residual` where there is one, then
/// `max(·, 0)` where `relu` says so: one layer of a residual network in one operation.
///
/// `x` is `[n, h, w, in]`, `weight` `[out, in / groups, kh, kw]`, `residual` and the result
/// `[n, h', w', out]`. Faster and smaller than the operations apart: statistics are taken while the
/// convolution's result is in the cache, its gradient replaces it in memory, and under
/// [`no_grad`](crate::no_grad) with running statistics nothing is computed twice.
///
/// # Errors
///
/// As [`conv2d`](crate::conv2d) and [`batch_norm`], and where `residual` has another shape than the result.
pub fn conv_bn(
    x: &FeatureMap,
    weight: &Tensor,
    geometry: Conv2d,
    norm: &BatchNorm,
    statistics: Statistics,
    residual: Option<&FeatureMap>,
    relu: bool,
) -> Result<FeatureMap> {
    const NAME: &str = "conv_bn";
    let sizes = Sizes::check(NAME, x, weight, geometry)?;
    let dims = sizes.output();
    norm.check(NAME, dims, statistics)?;
    if let Some(residual) = residual
        && residual.dims() != dims
    {
        bail!("{NAME}: expected a residual of the result's shape {dims:?}, found {:?}", residual.dims());
    }
    let (x, residual) = match (x.body(), residual.map(FeatureMap::body)) {
        (Body::Candle(x), None) => {
            let y = candle::conv2d(x, weight, None, geometry)?;
            return Ok(FeatureMap::candle(dims, candle::batch_norm(&y, norm, statistics, None, relu)?));
        }
        (Body::Candle(x), Some(Body::Candle(residual))) => {
            let y = candle::conv2d(x, weight, None, geometry)?;
            return Ok(FeatureMap::candle(dims, candle::batch_norm(&y, norm, statistics, Some(residual), relu)?));
        }
        (Body::Kernels(x), None) => (x.clone(), None),
        (Body::Kernels(x), Some(Body::Kernels(residual))) if residual.kernels == x.kernels => {
            (x.clone(), Some(residual.clone()))
        }
        _ => return mixed(NAME),
    };
    let kernels = x.kernels;
    let mut z = Buffer::arbitrary(dims.iter().product())?;
    let added: Option<&[f32]> = residual.as_ref().map(|residual| &**residual.values);
    if is_no_grad() && statistics == Statistics::Running {
        let normalize = Normalize::new(kernels, norm, &norm.running()?, statistics, relu)?;
        let affine = Affine { scale: &normalize.scale, shift: &normalize.shift(), residual: added, relu };
        with_values(NAME, weight, |weight| sizes.forward(kernels, &x.values, weight, &mut z, Some(affine), None))??;
        return Ok(FeatureMap::kernels(dims, kernels, Arc::new(z), Edge::NONE, Gradient::default()));
    }
    let moments = match statistics {
        Statistics::Batch => {
            let blocks = sizes.blocks();
            let parts = Mutex::new(vec![None; blocks.unwrap_or(0)]);
            let finish = |index: usize, block: &[f32]| {
                let part = Moments::of_block(kernels, block, dims[3]);
                parts.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(part);
            };
            let fused = blocks.map(|_| &finish as &(dyn Fn(usize, &[f32]) + Sync));
            with_values(NAME, weight, |weight| sizes.forward(kernels, &x.values, weight, &mut z, None, fused))??;
            let moments = match fused {
                Some(_) => {
                    let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
                    Moments::merge(parts.into_iter().flatten(), dims[3])
                }
                None => Moments::of(kernels, &z, dims[3]),
            };
            norm.update(&moments)?;
            moments
        }
        Statistics::Running => {
            with_values(NAME, weight, |weight| sizes.forward(kernels, &x.values, weight, &mut z, None, None))??;
            norm.running()?
        }
    };
    let (kernel_edge, dkernel) = Edge::enter(NAME, weight)?;
    let (weight_edge, dweight) = Edge::enter(NAME, &norm.weight)?;
    let (bias_edge, dbias) = Edge::enter(NAME, &norm.bias)?;
    let residual_edge = residual.as_ref().map_or(Edge::NONE, |residual| residual.edge.clone());
    let normalize = Normalize::new(kernels, norm, &moments, statistics, relu)?;
    let edges = [&x.edge, &kernel_edge, &weight_edge, &bias_edge, &residual_edge];
    if is_no_grad() || edges.iter().all(|edge| !edge.is_tracked()) {
        normalize.forward_in_place(&mut z, added);
        return Ok(FeatureMap::kernels(dims, kernels, Arc::new(z), Edge::NONE, Gradient::default()));
    }
    let mut y = Buffer::arbitrary(z.len())?;
    normalize.forward(&z, added, &mut y);
    let (y, dy) = (Arc::new(y), Gradient::default());
    let node = Edge::node(NAME, &edges, {
        let (x, y, dy, weight) = (x.clone(), y.clone(), dy.clone(), weight.clone());
        let tracks_kernel = kernel_edge.is_tracked();
        let residual = residual.filter(|residual| residual.edge.is_tracked()).map(|residual| residual.gradient);
        move || {
            let mut dy = dy.take(NAME)?;
            // From here on, `z` is the gradient of the convolution.
            normalize.backward(&mut z, &mut dy, &y, residual.is_some(), &dweight, &dbias)?;
            drop(y);
            match residual {
                Some(residual) => residual.add_buffer(dy),
                None => drop(dy),
            }
            if tracks_kernel {
                dkernel.add(sizes.weights(), |dw, add| sizes.weight_gradient(kernels, &x.values, &z, dw, add))?;
            }
            if x.edge.is_tracked() {
                with_values(NAME, &weight, |weight| {
                    x.gradient.add(x.values.len(), |dx, add| sizes.input_gradient(kernels, &z, weight, dx, add))
                })??;
            }
            Ok(())
        }
    })?;
    Ok(FeatureMap::kernels(dims, kernels, y, node, dy))
}

impl BatchNorm {
    fn check(&self, op: &str, dims: [usize; 4], statistics: Statistics) -> Result<()> {
        let channels = dims[3];
        let running: [&Tensor; 2] = [&self.running_mean, &self.running_var];
        let tensors = [&self.weight, &self.bias, running[0], running[1]];
        for (name, tensor) in ["weight", "bias", "running_mean", "running_var"].into_iter().zip(tensors) {
            check(op, name, tensor, "[c]", 1)?;
            if tensor.dims() != [channels] {
                bail!("{op}: the map to normalize, {dims:?}, has {channels} channels; {name} is {:?}", tensor.dims());
            }
        }
        if statistics == Statistics::Batch && dims[0] * dims[1] * dims[2] < 2 {
            bail!("{op}: expected more than one value per channel to take statistics of, found {dims:?}");
        }
        Ok(())
    }

    /// `running ← (1 − momentum)·running + momentum·batch`, the variance unbiased.
    fn update(&self, batch: &Moments) -> Result<()> {
        let blend = |running: &Var, batch: &dyn Fn(usize) -> f64| {
            let values = with_values("batch_norm", running, |running| {
                let blend = |(i, old): (usize, &f32)| {
                    ((1.0 - self.momentum) * f64::from(*old) + self.momentum * batch(i)) as f32
                };
                running.iter().enumerate().map(blend).collect::<Vec<_>>()
            })?;
            running.set(&Tensor::from_vec(values, running.shape().clone(), running.device())?)
        };
        blend(&self.running_mean, &|i| batch.mean[i])?;
        blend(&self.running_var, &|i| batch.squares[i] / (batch.count - 1.0))
    }

    fn running(&self) -> Result<Moments> {
        let read = |tensor: &Tensor| {
            with_values("batch_norm", tensor, |values| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>())
        };
        Ok(Moments { count: 1.0, mean: read(&self.running_mean)?, squares: read(&self.running_var)? })
    }
}

/// Mean and sum of squared deviations of each column of a matrix.
#[derive(Debug, Clone)]
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
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
    fn of(kernels: Kernels, x: &[f32], channels: usize) -> Self {
        let block = columns::chunk(channels);
        let parts: Vec<_> = x.par_chunks(block).map(|x| Self::of_block(kernels, x, channels)).collect();
        Self::merge(parts.into_iter(), channels)
    }

    /// Of a few rows, on this thread.
    fn of_block(kernels: Kernels, x: &[f32], channels: usize) -> Self {
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
    fn merge(parts: impl Iterator<Item = Self>, channels: usize) -> Self {
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

/// `x·scale + shift`, and what its gradient needs.
struct Normalize {
    kernels: Kernels,
    mean: Vec<f32>,
    inverse_std: Vec<f64>,
    gamma: Vec<f32>,
    scale: Vec<f32>,
    beta: Vec<f32>,
    statistics: Statistics,
    relu: bool,
}

impl Normalize {
    fn new(kernels: Kernels, norm: &BatchNorm, moments: &Moments, statistics: Statistics, relu: bool) -> Result<Self> {
        let gamma = with_values("batch_norm", &norm.weight, <[f32]>::to_vec)?;
        let beta = with_values("batch_norm", &norm.bias, <[f32]>::to_vec)?;
        // Not `max`: not-a-number must stay visible.
        let variance = moments.squares.iter().map(|squares| squares / moments.count);
        let rounded = statistics == Statistics::Batch;
        let variance = variance.map(|var| if rounded && var < 0.0 { 0.0 } else { var });
        let inverse_std: Vec<f64> = variance.map(|var| 1.0 / (var + norm.eps).sqrt()).collect();
        let scale = gamma.iter().zip(&inverse_std).map(|(gamma, inverse)| (f64::from(*gamma) * inverse) as f32);
        let scale = scale.collect();
        let mean = moments.mean.iter().map(|mean| *mean as f32).collect();
        Ok(Self { kernels, mean, inverse_std, gamma, scale, beta, statistics, relu })
    }

    /// What is added after `x·scale`, for those who do not subtract the mean first.
    fn shift(&self) -> Vec<f32> {
        let shift = self.beta.iter().zip(&self.scale).zip(&self.mean);
        shift.map(|((beta, scale), mean)| (f64::from(*beta) - f64::from(*mean) * f64::from(*scale)) as f32).collect()
    }

    fn forward(&self, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
        let (width, chunk) = (self.mean.len(), columns::chunk(self.mean.len()));
        y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).enumerate().for_each(|(index, (y, x))| {
            let residual = residual.map(|residual| &residual[index * chunk..][..x.len()]);
            let rows = x.len() / width;
            let mut apply = Apply { normalize: self, x: Some(x), residual, y };
            columns::for_each(self.kernels, rows, width, 0..width, &mut apply);
        });
    }

    fn forward_in_place(&self, x: &mut [f32], residual: Option<&[f32]>) {
        let (width, chunk) = (self.mean.len(), columns::chunk(self.mean.len()));
        x.par_chunks_mut(chunk).enumerate().for_each(|(index, y)| {
            let residual = residual.map(|residual| &residual[index * chunk..][..y.len()]);
            let rows = y.len() / width;
            let mut apply = Apply { normalize: self, x: None, residual, y };
            columns::for_each(self.kernels, rows, width, 0..width, &mut apply);
        });
    }

    /// Replaces `x` by its gradient; with `keep`, `dy` by the gradient before the ReLU.
    ///
    /// With `d` the gradient before the ReLU and `x̂ = (x − mean)/σ`: `dβ = Σd`, `dγ = Σd·x̂`, and
    /// `dx = γ/σ·(d − dβ/rows − x̂·dγ/rows)`; without the last two terms where the statistics are constants.
    fn backward(
        &self,
        x: &mut [f32],
        dy: &mut [f32],
        y: &[f32],
        keep: bool,
        dweight: &Gradient,
        dbias: &Gradient,
    ) -> Result<()> {
        let width = self.mean.len();
        let rows = x.len() / width.max(1);
        let mask = self.relu.then_some(y);
        let [sum, products] = {
            let (x, dy): (&[f32], &[f32]) = (x, dy);
            columns::sum(self.kernels, rows, width, |start, count| {
                let range = start * width..(start + count) * width;
                Products {
                    x: &x[range.clone()],
                    dy: &dy[range.clone()],
                    mask: mask.map(|y| &y[range]),
                    mean: &self.mean,
                }
            })
        };
        // dx = d·scale + x·slope + shift, per channel.
        let (mut slope, mut shift) = (vec![0f32; width], vec![0f32; width]);
        let mut dgamma = vec![0f32; width];
        for c in 0..width {
            let (gamma, inverse) = (f64::from(self.gamma[c]), self.inverse_std[c]);
            let product = products[c] * inverse;
            dgamma[c] = product as f32;
            if self.statistics == Statistics::Batch {
                let factor = -gamma * inverse * inverse * product / rows as f64;
                slope[c] = factor as f32;
                shift[c] = (-gamma * inverse * sum[c] / rows as f64) as f32;
            }
        }
        let dbeta: Vec<f32> = sum.iter().map(|sum| *sum as f32).collect();
        dweight.add_buffer(Buffer::copy(&dgamma)?);
        dbias.add_buffer(Buffer::copy(&dbeta)?);
        let chunk = columns::chunk(width);
        x.par_chunks_mut(chunk).zip(dy.par_chunks_mut(chunk)).enumerate().for_each(|(index, (x, dy))| {
            let mask = mask.map(|y| &y[index * chunk..][..x.len()]);
            let rows = x.len() / width;
            let mut unapply =
                Unapply { scale: &self.scale, mean: &self.mean, slope: &slope, shift: &shift, x, dy, mask, keep };
            columns::for_each(self.kernels, rows, width, 0..width, &mut unapply);
        });
        Ok(())
    }
}

struct Apply<'a> {
    normalize: &'a Normalize,
    /// Where the values come from; `None`: from `y`.
    x: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl Columns for Apply<'_> {
    type State<S: Simd> = [S::f32s; 3];

    #[inline(always)]
    fn begin<S: Simd>(&self, simd: S, column: usize, columns: usize) -> Self::State<S> {
        let Normalize { mean, scale, beta, .. } = self.normalize;
        [mean, scale, beta].map(|values| load(simd, values, column, columns))
    }

    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, [mean, scale, beta]: &mut Self::State<S>, at: usize, columns: usize) {
        let x = match self.x {
            Some(x) => load(simd, x, at, columns),
            None => load(simd, self.y, at, columns),
        };
        let mut value = mul_add(simd, simd.sub_f32s(x, *mean), *scale, *beta);
        if let Some(residual) = self.residual {
            value = simd.add_f32s(value, load(simd, residual, at, columns));
        }
        if self.normalize.relu {
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

struct Unapply<'a> {
    scale: &'a [f32],
    mean: &'a [f32],
    slope: &'a [f32],
    shift: &'a [f32],
    x: &'a mut [f32],
    dy: &'a mut [f32],
    mask: Option<&'a [f32]>,
    keep: bool,
}

impl Columns for Unapply<'_> {
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
