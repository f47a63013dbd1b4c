//! The oracle of the tests: the same operations through candle's own.
//!
//! Forward passes are put together from candle operations, and gradients are those that candle's backward pass takes
//! through them, so neither shares a formula with the kernels. Slow, and of other bits than theirs.

mod layers;
mod losses;

use crate::activation::Activation;
use crate::conv::ConvSizes;
use crate::cpu::Cpu;
use crate::cpu::norm::{Moments, Normalization};
use crate::engine::{Buffer, Engine, Epilogue};
use crate::loss::{Binary, Distance, Factors};
use crate::norm::BatchNorm;
use crate::pool::{AvgPool2d, MaxPool2d, Windows};
use crate::resize::Taps;
use candle_core::{Device, Result, Shape, Tensor, Var};
use kernels::Kernels;

/// Computes with candle's operations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference;

/// What only moves values is the CPU engine's.
const MEMORY: Cpu = Cpu(Kernels::Portable);

fn tensor(buffer: &Buffer, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_slice(buffer.host(), shape, &Device::Cpu)
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    if tensor.elem_count() == 0 {
        // Candle panics on views of nothing.
        return Ok(Vec::new());
    }
    tensor.flatten_all()?.to_vec1()
}

/// Writes `result` to `buffer`, or adds it.
fn deliver(result: &Tensor, buffer: &mut Buffer, add: bool) -> Result<()> {
    for (to, value) in buffer.host_mut().iter_mut().zip(values(result)?) {
        *to = if add { *to + value } else { value };
    }
    Ok(())
}

/// The gradient of `Σ f(input)·dy`; zeros where `f` does not depend on its input.
fn gradient(input: &Tensor, dy: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if input.elem_count() * dy.elem_count() == 0 {
        // Candle's products of empty matrices have no backward pass.
        return input.zeros_like();
    }
    let input = Var::from_tensor(&input.detach())?;
    let gradients = (f(&input)? * dy)?.sum_all()?.backward()?;
    gradients.get(&input).map_or_else(|| input.zeros_like(), Tensor::contiguous)
}

fn conv(sizes: &ConvSizes, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    layers::conv2d(x, weight, None, sizes.geometry)
}

impl ConvSizes {
    fn input(&self) -> [usize; 4] {
        [self.n, self.in_h, self.in_w, self.in_c]
    }
}

impl Normalization {
    /// Mean, standard deviation, γ and β, each `[1, c]`.
    fn terms(&self) -> Result<[Tensor; 4]> {
        let row = |values: Vec<f32>| Tensor::from_vec(values.clone(), (1, values.len()), &Device::Cpu);
        let std = self.inverse_std.iter().map(|inverse| (1.0 / inverse) as f32).collect();
        Ok([row(self.mean.clone())?, row(std)?, row(self.gamma.clone())?, row(self.beta.clone())?])
    }
}

impl Windows {
    fn input(&self) -> [usize; 4] {
        [self.n, self.in_h, self.in_w, self.c]
    }

    fn max(&self, x: &Tensor) -> Result<Tensor> {
        let Self { kernel, stride, padding, .. } = *self;
        layers::max_pool2d(x, MaxPool2d { kernel, stride, padding }, self.size())
    }

    fn mean(&self, x: &Tensor, count_include_pad: bool) -> Result<Tensor> {
        let Self { kernel, stride, padding, .. } = *self;
        let [out_h, out_w] = self.size();
        let pixels = (0..out_h * out_w).map(|pixel| [pixel / out_w, pixel % out_w]);
        let shares: Vec<f32> = pixels.map(|pixel| self.share(pixel, count_include_pad)).collect();
        let shares = Tensor::from_vec(shares, (1, out_h, out_w, 1), x.device())?;
        layers::avg_pool2d(x, AvgPool2d { kernel, stride, padding, count_include_pad }, &shares)
    }
}

impl Taps {
    /// `[n, h, w, c]` of the map that is read and of the result, one of which has `len` values.
    fn dims(&self, x: Option<&Buffer>, y: Option<&Buffer>) -> [[usize; 4]; 2] {
        let [in_h, in_w] = self.size_in;
        let (out_h, out_w) = (self.rows.len(), self.columns.len());
        let of = |buffer: Option<&Buffer>, image: usize| buffer.map_or(0, |buffer| buffer.len() / image.max(1));
        let n = of(x, in_h * in_w * self.c).max(of(y, out_h * out_w * self.c));
        [[n, in_h, in_w, self.c], [n, out_h, out_w, self.c]]
    }
}

impl Engine for Reference {
    fn name(&self) -> &'static str {
        Kernels::Candle.name()
    }

    fn allocate(&self, len: usize) -> Result<Buffer> {
        MEMORY.allocate(len)
    }

    fn upload(&self, values: &[f32]) -> Result<Buffer> {
        MEMORY.upload(values)
    }

    fn copy(&self, buffer: &Buffer) -> Result<Buffer> {
        MEMORY.copy(buffer)
    }

    fn download(&self, buffer: &Buffer) -> Result<Vec<f32>> {
        MEMORY.download(buffer)
    }

    fn take_values(&self, buffer: Buffer) -> Result<Vec<f32>> {
        MEMORY.take_values(buffer)
    }

    fn assign(&self, to: &mut Buffer, values: &Buffer) -> Result<()> {
        MEMORY.assign(to, values)
    }

    fn add_assign(&self, sum: &mut Buffer, values: &Buffer) -> Result<()> {
        deliver(&tensor(values, values.len())?, sum, true)
    }

    fn add(&self, a: &Buffer, b: &Buffer, y: &mut Buffer) -> Result<()> {
        deliver(&(tensor(a, a.len())? + tensor(b, b.len())?)?, y, false)
    }

    fn activate(&self, f: Activation, x: &Buffer, y: &mut Buffer) -> Result<()> {
        deliver(&layers::activate(f, &tensor(x, x.len())?)?, y, false)
    }

    fn activate_backward(&self, f: Activation, kept: &Buffer, dy: &mut Buffer) -> Result<()> {
        // An activation has the same slope at its result as at its input.
        let (kept, upstream) = (tensor(kept, kept.len())?, tensor(dy, dy.len())?);
        deliver(&gradient(&kept, &upstream, |x| layers::activate(f, x))?, dy, false)
    }

    fn concat(&self, parts: &[(&Buffer, usize)], y: &mut Buffer) -> Result<()> {
        let rows = parts.iter().map(|(x, columns)| x.len() / columns.max(&1)).max().unwrap_or(0);
        let parts = parts.iter().map(|(x, columns)| tensor(x, (rows, *columns))).collect::<Result<Vec<_>>>()?;
        deliver(&Tensor::cat(&parts, 1)?, y, false)
    }

    fn split(&self, dy: &Buffer, width: usize, start: usize, columns: usize, dx: &mut Buffer, add: bool) -> Result<()> {
        let dy = tensor(dy, (dy.len() / width.max(1), width))?;
        deliver(&dy.narrow(1, start, columns)?, dx, add)
    }

    fn column_sums(&self, values: &Buffer, width: usize) -> Result<Buffer> {
        if values.len() == 0 {
            return self.upload(&vec![0.0; width]);
        }
        self.upload(&self::values(&tensor(values, (values.len() / width, width))?.sum(0)?)?)
    }

    fn conv(
        &self,
        sizes: &ConvSizes,
        x: &Buffer,
        weight: &Tensor,
        y: &mut Buffer,
        epilogue: Epilogue<'_>,
    ) -> Result<()> {
        let x = tensor(x, &sizes.input())?;
        let weight = weight.detach();
        match epilogue {
            Epilogue::None => deliver(&conv(sizes, &x, &weight)?, y, false),
            Epilogue::Bias(bias) => {
                deliver(&layers::conv2d(&x, &weight, Some(&bias.detach()), sizes.geometry)?, y, false)
            }
            Epilogue::Normalize { by, residual, relu } => {
                let z = self.upload(&values(&conv(sizes, &x, &weight)?)?)?;
                self.normalize(by, &z, residual, relu, y)
            }
        }
    }

    fn conv_moments(&self, sizes: &ConvSizes, x: &Buffer, weight: &Tensor, y: &mut Buffer) -> Result<Moments> {
        self.conv(sizes, x, weight, y, Epilogue::None)?;
        self.moments(y, sizes.out_c)
    }

    fn conv_input_gradient(
        &self,
        sizes: &ConvSizes,
        dy: &Buffer,
        weight: &Tensor,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()> {
        let x = Tensor::zeros(&sizes.input(), weight.dtype(), weight.device())?;
        let weight = weight.detach();
        let gradient = gradient(&x, &tensor(dy, &sizes.output())?, |x| conv(sizes, x, &weight))?;
        deliver(&gradient, dx, add)
    }

    fn conv_weight_gradient(
        &self,
        sizes: &ConvSizes,
        x: &Buffer,
        dy: &Buffer,
        dw: &mut Buffer,
        add: bool,
    ) -> Result<()> {
        let x = tensor(x, &sizes.input())?;
        let weight = Tensor::zeros(&sizes.weight(), x.dtype(), x.device())?;
        let gradient = gradient(&weight, &tensor(dy, &sizes.output())?, |weight| conv(sizes, &x, weight))?;
        deliver(&gradient, dw, add)
    }

    fn moments(&self, x: &Buffer, channels: usize) -> Result<Moments> {
        let rows = x.len() / channels.max(1);
        if x.len() == 0 {
            return Ok(Moments { count: rows as f64, mean: vec![0.0; channels], squares: vec![0.0; channels] });
        }
        let x = tensor(x, (rows, channels))?;
        let mean = x.mean_keepdim(0)?;
        let squares = x.broadcast_sub(&mean)?.sqr()?.sum(0)?;
        let wide = |tensor: &Tensor| Ok::<_, candle_core::Error>(values(tensor)?.into_iter().map(f64::from).collect());
        Ok(Moments { count: rows as f64, mean: wide(&mean)?, squares: wide(&squares)? })
    }

    fn update_running(&self, norm: &BatchNorm, batch: &Moments) -> Result<()> {
        let blend = |running: &Var, batch: Vec<f64>| {
            let batch: Vec<f32> = batch.into_iter().map(|value| value as f32).collect();
            let batch = Tensor::from_vec(batch, running.shape().clone(), running.device())?;
            let old = (running.as_tensor().detach() * (1.0 - norm.momentum))?;
            running.set(&(old + (batch * norm.momentum)?)?)
        };
        blend(&norm.running_mean, batch.mean.clone())?;
        blend(&norm.running_var, batch.squares.iter().map(|squares| squares / (batch.count - 1.0)).collect())
    }

    fn normalization(&self, norm: &BatchNorm, batch: Option<&Moments>) -> Result<Normalization> {
        MEMORY.normalization(norm, batch)
    }

    fn normalize(
        &self,
        by: &Normalization,
        x: &Buffer,
        residual: Option<&Buffer>,
        relu: bool,
        y: &mut Buffer,
    ) -> Result<()> {
        if x.len() == 0 {
            return Ok(());
        }
        let [mean, std, gamma, beta] = by.terms()?;
        let shape = (x.len() / mean.elem_count(), mean.elem_count());
        let centered = tensor(x, shape)?.broadcast_sub(&mean)?;
        let mut result = centered.broadcast_div(&std)?.broadcast_mul(&gamma)?.broadcast_add(&beta)?;
        if let Some(residual) = residual {
            result = (result + tensor(residual, shape)?)?;
        }
        if relu {
            result = layers::activate(Activation::Relu, &result)?;
        }
        deliver(&result, y, false)
    }

    fn normalize_backward(
        &self,
        by: &Normalization,
        x: &mut Buffer,
        dy: &mut Buffer,
        y: Option<&Buffer>,
        keep: bool,
    ) -> Result<[Buffer; 2]> {
        let [mean, std, gamma, _] = by.terms()?;
        if x.len() == 0 {
            let zeros = vec![0.0; mean.elem_count()];
            return Ok([self.upload(&zeros)?, self.upload(&zeros)?]);
        }
        let shape = (x.len() / mean.elem_count(), mean.elem_count());
        let mut d = tensor(dy, shape)?;
        if let Some(y) = y {
            d = tensor(y, shape)?.le(0f64)?.where_cond(&d.zeros_like()?, &d)?;
        }
        let input = tensor(x, shape)?;
        let standardize = |x: &Tensor| match by.batch_eps {
            Some(eps) => layers::standardize(x, eps),
            None => x.broadcast_sub(&mean)?.broadcast_div(&std),
        };
        let dx = gradient(&input, &d, |x| standardize(x)?.broadcast_mul(&gamma))?;
        let dgamma = (standardize(&input)? * &d)?.sum(0)?;
        deliver(&dx, x, false)?;
        if keep {
            deliver(&d, dy, false)?;
        }
        Ok([self.upload(&values(&dgamma)?)?, self.upload(&values(&d.sum(0)?)?)?])
    }

    fn max_pool(&self, windows: &Windows, x: &Buffer, y: &mut Buffer, from: &mut Buffer) -> Result<()> {
        // The backward pass finds the taps from the input, which is kept in place of their numbers.
        *from = self.copy(x)?;
        deliver(&windows.max(&tensor(x, &windows.input())?)?, y, false)
    }

    fn max_pool_backward(
        &self,
        windows: &Windows,
        dy: &Buffer,
        from: &Buffer,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()> {
        let (x, dy) = (tensor(from, &windows.input())?, tensor(dy, &windows.output())?);
        deliver(&gradient(&x, &dy, |x| windows.max(x))?, dx, add)
    }

    fn avg_pool(&self, windows: &Windows, x: &Buffer, count_include_pad: bool, y: &mut Buffer) -> Result<()> {
        deliver(&windows.mean(&tensor(x, &windows.input())?, count_include_pad)?, y, false)
    }

    fn avg_pool_backward(
        &self,
        windows: &Windows,
        dy: &Buffer,
        count_include_pad: bool,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()> {
        let dy = tensor(dy, &windows.output())?;
        let x = Tensor::zeros(&windows.input(), dy.dtype(), dy.device())?;
        deliver(&gradient(&x, &dy, |x| windows.mean(x, count_include_pad))?, dx, add)
    }

    fn global_avg_pool(&self, x: &Buffer, pixels: usize, c: usize, y: &mut Buffer) -> Result<()> {
        if x.len() == 0 {
            return Ok(());
        }
        deliver(&tensor(x, (y.len() / c, pixels, c))?.mean(1)?, y, false)
    }

    fn global_avg_pool_backward(&self, dy: &Buffer, pixels: usize, c: usize, dx: &mut Buffer, add: bool) -> Result<()> {
        if dx.len() == 0 {
            return Ok(());
        }
        let (n, dy) = (dy.len() / c, tensor(dy, (dy.len() / c, c))?);
        let x = Tensor::zeros((n, pixels, c), dy.dtype(), dy.device())?;
        deliver(&gradient(&x, &dy, |x| x.mean(1))?, dx, add)
    }

    fn resize(&self, taps: &Taps, x: &Buffer, y: &mut Buffer) -> Result<()> {
        let [input, _] = taps.dims(Some(x), None);
        deliver(&layers::resize(&tensor(x, &input)?, &taps.rows, &taps.columns)?, y, false)
    }

    fn resize_backward(&self, taps: &Taps, dy: &Buffer, dx: &mut Buffer, add: bool) -> Result<()> {
        let [input, output] = taps.dims(None, Some(dy));
        let dy = tensor(dy, &output)?;
        let x = Tensor::zeros(&input, dy.dtype(), dy.device())?;
        deliver(&gradient(&x, &dy, |x| layers::resize(x, &taps.rows, &taps.columns))?, dx, add)
    }

    fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Buffer> {
        let bias = bias.map(Tensor::detach);
        self.upload(&values(&layers::linear(&x.detach(), &weight.detach(), bias.as_ref())?)?)
    }

    fn linear_input_gradient(&self, dy: &Buffer, weight: &Tensor, n: usize) -> Result<Buffer> {
        let ((outputs, inputs), weight) = (weight.dims2()?, weight.detach());
        let x = Tensor::zeros((n, inputs), weight.dtype(), weight.device())?;
        self.upload(&values(&gradient(&x, &tensor(dy, (n, outputs))?, |x| layers::linear(x, &weight, None))?)?)
    }

    fn linear_weight_gradient(&self, dy: &Buffer, x: &Tensor, outputs: usize) -> Result<Buffer> {
        let ((n, inputs), x) = (x.dims2()?, x.detach());
        let weight = Tensor::zeros((outputs, inputs), x.dtype(), x.device())?;
        let dy = tensor(dy, (n, outputs))?;
        self.upload(&values(&gradient(&weight, &dy, |weight| layers::linear(&x, weight, None))?)?)
    }

    fn cross_entropy(&self, logits: &Tensor, targets: &[u32], factors: &Factors) -> Result<(f64, Buffer)> {
        let loss = losses::cross_entropy(&logits.detach(), targets, factors)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), self.allocate(0)?))
    }

    fn cross_entropy_backward(
        &self,
        logits: &Tensor,
        targets: &[u32],
        factors: &Factors,
        _: &Buffer,
        dloss: f64,
    ) -> Result<Buffer> {
        let dloss = Tensor::new(dloss as f32, logits.device())?;
        let dx = gradient(logits, &dloss, |logits| losses::cross_entropy(logits, targets, factors))?;
        self.upload(&values(&dx)?)
    }

    fn binary(&self, logits: &Tensor, targets: &Tensor, terms: Binary) -> Result<f64> {
        Ok(f64::from(losses::binary(&logits.detach(), targets, terms)?.to_scalar::<f32>()?))
    }

    fn binary_backward(&self, logits: &Tensor, targets: &Tensor, terms: Binary, scale: f64) -> Result<Buffer> {
        let scale = Tensor::new(scale as f32, logits.device())?;
        self.upload(&values(&gradient(logits, &scale, |logits| losses::binary(logits, targets, terms))?)?)
    }

    fn distance(&self, input: &Tensor, target: &Tensor, terms: Distance) -> Result<f64> {
        Ok(f64::from(losses::distance(&input.detach(), target, terms)?.to_scalar::<f32>()?))
    }

    fn distance_backward(&self, input: &Tensor, target: &Tensor, terms: Distance, scale: f64) -> Result<Buffer> {
        let scale = Tensor::new(scale as f32, input.device())?;
        self.upload(&values(&gradient(input, &scale, |input| losses::distance(input, target, terms))?)?)
    }

    fn class_sums(&self, logits: &Tensor, targets: &[u32], ignore: Option<u32>) -> Result<Vec<[f64; 3]>> {
        let [both, p, g] = [0, 1, 2].map(|row| -> Result<Vec<f32>> {
            losses::class_sums(&logits.detach(), targets, ignore)?.get(row)?.to_vec1()
        });
        let sums = both?.into_iter().zip(p?).zip(g?);
        Ok(sums.map(|((both, p), g)| [both, p, g].map(f64::from)).collect())
    }

    fn class_sums_backward(
        &self,
        logits: &Tensor,
        targets: &[u32],
        ignore: Option<u32>,
        by_class: &[[f64; 2]],
        dloss: f64,
    ) -> Result<Buffer> {
        let slopes = [0, 1].map(|sum| by_class.iter().map(|slopes| (slopes[sum] * dloss) as f32).collect::<Vec<_>>());
        let slopes = [&slopes[0][..], &slopes[1], &vec![0.0; by_class.len()]].concat();
        let slopes = Tensor::from_vec(slopes, (3, by_class.len()), logits.device())?;
        let dx = gradient(logits, &slopes, |logits| losses::class_sums(logits, targets, ignore))?;
        self.upload(&values(&dx)?)
    }
}
