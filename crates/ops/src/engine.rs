//! The seam between what an operation is and what computes it.
//!
//! Operations (`conv`, `norm`, `pool`, …) know shapes, the graph and the order of work; an [`Engine`] knows arithmetic and
//! memory. Values between operations are [`Buffer`]s, which only their engine looks into; parameters, logits and targets
//! are candle tensors. An engine for another device is another implementation of this trait.

use crate::activation::Activation;
use crate::conv::ConvSizes;
use crate::cpu::norm::{Moments, Normalization};
use crate::cpu::{Cpu, HostBuffer};
use crate::loss::{Binary, Distance, Factors};
use crate::norm::BatchNorm;
use crate::pool::Windows;
use crate::reference::Reference;
use crate::resize::Taps;
use candle_core::{Result, Tensor};
use kernels::Kernels;
use std::fmt::Debug;

/// What computes the operations on a map, and their gradients.
pub(crate) type Compute = &'static dyn Engine;

/// The engine that computes with a set of kernels.
pub(crate) fn engine(kernels: Kernels) -> Compute {
    match kernels {
        Kernels::Avx512 => &Cpu(Kernels::Avx512),
        Kernels::Avx2 => &Cpu(Kernels::Avx2),
        Kernels::Portable => &Cpu(Kernels::Portable),
        Kernels::Candle => &Reference,
    }
}

/// Values of a map or a gradient, in the memory of the engine that made it.
#[derive(Debug)]
pub(crate) enum Buffer {
    Host(HostBuffer),
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        let Self::Host(values) = self;
        values.len()
    }

    /// The values, for engines that compute on the host.
    pub(crate) fn host(&self) -> &[f32] {
        let Self::Host(values) = self;
        values
    }

    /// As [`Buffer::host`], to be written.
    pub(crate) fn host_mut(&mut self) -> &mut [f32] {
        let Self::Host(values) = self;
        values
    }
}

/// What happens to the result of a convolution while it is at hand.
#[derive(Clone, Copy)]
pub(crate) enum Epilogue<'a> {
    None,
    /// `[out]` is added to each pixel.
    Bias(&'a Tensor),
    /// It is normalized, `residual` is added, then `max(·, 0)` taken where `relu` says so.
    Normalize {
        by: &'a Normalization,
        residual: Option<&'a Buffer>,
        relu: bool,
    },
}

/// Arithmetic on buffers. Shapes have been checked. Arguments named `add` say whether a result is added to what is in
/// its buffer; else what is there is arbitrary.
pub(crate) trait Engine: Debug + Send + Sync {
    /// Distinguishes engines: maps of different ones do not meet in an operation.
    fn name(&self) -> &'static str;

    /// Room for `len` values, which are arbitrary.
    fn allocate(&self, len: usize) -> Result<Buffer>;

    /// A buffer of `values`.
    fn upload(&self, values: &[f32]) -> Result<Buffer>;

    /// Another buffer of the same values.
    fn copy(&self, buffer: &Buffer) -> Result<Buffer>;

    /// The values of a buffer.
    fn download(&self, buffer: &Buffer) -> Result<Vec<f32>>;

    /// The values of a buffer that nobody needs any more.
    fn take_values(&self, buffer: Buffer) -> Result<Vec<f32>>;

    /// `to = values`.
    fn assign(&self, to: &mut Buffer, values: &Buffer) -> Result<()>;

    /// `sum += values`.
    fn add_assign(&self, sum: &mut Buffer, values: &Buffer) -> Result<()>;

    /// `y = a + b`.
    fn add(&self, a: &Buffer, b: &Buffer, y: &mut Buffer) -> Result<()>;

    /// `y = f(x)`.
    fn activate(&self, f: Activation, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// Replaces `dy` by the gradient of the input of `f`; `kept` is what [`Activation::keeps`] says.
    fn activate_backward(&self, f: Activation, kept: &Buffer, dy: &mut Buffer) -> Result<()>;

    /// Puts the columns of all `parts`, each of so many columns, side by side into rows of `y`.
    fn concat(&self, parts: &[(&Buffer, usize)], y: &mut Buffer) -> Result<()>;

    /// Takes `columns` columns from `start` on out of rows of `width` values.
    fn split(&self, dy: &Buffer, width: usize, start: usize, columns: usize, dx: &mut Buffer, add: bool) -> Result<()>;

    /// The sum of each of `width` columns.
    fn column_sums(&self, values: &Buffer, width: usize) -> Result<Buffer>;

    /// Convolves `x` with `weight` `[out, in / groups, kh, kw]`.
    fn conv(
        &self,
        sizes: &ConvSizes,
        x: &Buffer,
        weight: &Tensor,
        y: &mut Buffer,
        epilogue: Epilogue<'_>,
    ) -> Result<()>;

    /// Convolves `x` with `weight`, and takes the moments of each channel of the result.
    fn conv_moments(&self, sizes: &ConvSizes, x: &Buffer, weight: &Tensor, y: &mut Buffer) -> Result<Moments>;

    /// The gradient of a convolution's input.
    fn conv_input_gradient(
        &self,
        sizes: &ConvSizes,
        dy: &Buffer,
        weight: &Tensor,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()>;

    /// The gradient of a convolution's weight.
    fn conv_weight_gradient(
        &self,
        sizes: &ConvSizes,
        x: &Buffer,
        dy: &Buffer,
        dw: &mut Buffer,
        add: bool,
    ) -> Result<()>;

    /// The moments of each of `channels` columns.
    fn moments(&self, x: &Buffer, channels: usize) -> Result<Moments>;

    /// `running ← (1 − momentum)·running + momentum·batch`, the variance unbiased.
    fn update_running(&self, norm: &BatchNorm, batch: &Moments) -> Result<()>;

    /// How `norm` normalizes by the moments of a batch; by its running statistics where there are none.
    fn normalization(&self, norm: &BatchNorm, batch: Option<&Moments>) -> Result<Normalization>;

    /// Normalizes `x` to `y`, adds `residual`, then takes `max(·, 0)` where `relu` says so.
    fn normalize(
        &self,
        by: &Normalization,
        x: &Buffer,
        residual: Option<&Buffer>,
        relu: bool,
        y: &mut Buffer,
    ) -> Result<()>;

    /// Replaces `x`, which was normalized, by its gradient; with `keep`, also `dy` by the gradient before the ReLU. `y` is
    /// the result of a ReLU, where there was one. Returns the gradients of γ and β.
    fn normalize_backward(
        &self,
        by: &Normalization,
        x: &mut Buffer,
        dy: &mut Buffer,
        y: Option<&Buffer>,
        keep: bool,
    ) -> Result<[Buffer; 2]>;

    /// The largest value of each window, and the number of the tap that it is from.
    fn max_pool(&self, windows: &Windows, x: &Buffer, y: &mut Buffer, from: &mut Buffer) -> Result<()>;

    /// Gives each window's gradient to the pixel that its value is from.
    fn max_pool_backward(
        &self,
        windows: &Windows,
        dy: &Buffer,
        from: &Buffer,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()>;

    /// The mean of each window.
    fn avg_pool(&self, windows: &Windows, x: &Buffer, count_include_pad: bool, y: &mut Buffer) -> Result<()>;

    /// Gives each window's gradient to its pixels in equal shares.
    fn avg_pool_backward(
        &self,
        windows: &Windows,
        dy: &Buffer,
        count_include_pad: bool,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()>;

    /// The mean over the `pixels` of each image, of `c` channels.
    fn global_avg_pool(&self, x: &Buffer, pixels: usize, c: usize, y: &mut Buffer) -> Result<()>;

    /// Gives each mean's gradient to its pixels in equal shares.
    fn global_avg_pool_backward(&self, dy: &Buffer, pixels: usize, c: usize, dx: &mut Buffer, add: bool) -> Result<()>;

    /// Reads each pixel of `y` through `taps`.
    fn resize(&self, taps: &Taps, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// Gives the gradient of each pixel of the result to the pixels it was read from.
    fn resize_backward(&self, taps: &Taps, dy: &Buffer, dx: &mut Buffer, add: bool) -> Result<()>;

    /// `x · weightᵀ + bias` with `x` `[n, in]` and `weight` `[out, in]`.
    fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Buffer>;

    /// The gradient of the input of a linear layer, `dy` `[n, out]`.
    fn linear_input_gradient(&self, dy: &Buffer, weight: &Tensor, n: usize) -> Result<Buffer>;

    /// The gradient of the weight of a linear layer, `dy` `[n, outputs]`.
    fn linear_weight_gradient(&self, dy: &Buffer, x: &Tensor, outputs: usize) -> Result<Buffer>;

    /// The loss, and what its gradient needs: of each row two numbers about its softmax.
    fn cross_entropy(&self, logits: &Tensor, targets: &[u32], factors: &Factors) -> Result<(f64, Buffer)>;

    /// The gradient of the logits; `kept` is what the forward pass returned.
    fn cross_entropy_backward(
        &self,
        logits: &Tensor,
        targets: &[u32],
        factors: &Factors,
        kept: &Buffer,
        dloss: f64,
    ) -> Result<Buffer>;

    /// The sum of the terms of all logits.
    fn binary(&self, logits: &Tensor, targets: &Tensor, terms: Binary) -> Result<f64>;

    /// The gradient of the logits, times `scale`.
    fn binary_backward(&self, logits: &Tensor, targets: &Tensor, terms: Binary, scale: f64) -> Result<Buffer>;

    /// The sum of the terms of all elements.
    fn distance(&self, input: &Tensor, target: &Tensor, terms: Distance) -> Result<f64>;

    /// The gradient of the input, times `scale`.
    fn distance_backward(&self, input: &Tensor, target: &Tensor, terms: Distance, scale: f64) -> Result<Buffer>;

    /// Of each class `[Σ p·g, Σ p, Σ g]` over the rows that count, with `p` the softmax and `g` 1 at a row's target.
    fn class_sums(&self, logits: &Tensor, targets: &[u32], ignore: Option<u32>) -> Result<Vec<[f64; 3]>>;

    /// The gradient of the logits where a loss has the derivatives `by_class` by those sums, times `dloss`.
    fn class_sums_backward(
        &self,
        logits: &Tensor,
        targets: &[u32],
        ignore: Option<u32>,
        by_class: &[[f64; 2]],
        dloss: f64,
    ) -> Result<Buffer>;
}
