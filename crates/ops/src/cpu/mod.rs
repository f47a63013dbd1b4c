//! The engine for CPUs.
//!
//! One arithmetic, whatever the instructions: what is fused, and the order in which each sum is taken, is written in the
//! kernels and does not depend on the width of a vector, on threads, or on the sizes of caches. So all sets of kernels
//! give equal bits.

mod columns;
pub(crate) mod conv;
mod dice;
mod elementary;
mod elementwise;
mod loss;
mod matrix;
mod memory;
mod mul_add;
pub(crate) mod norm;
mod pool;
mod resize;
mod shared;

use crate::activation::Activation;
use crate::conv::ConvSizes;
use crate::engine::{Buffer, Engine, Epilogue};
use crate::loss::{Binary, Distance, Factors};
use crate::norm::BatchNorm;
use crate::pool::Windows;
use crate::resize::Taps;
use crate::values::with_values;
use candle_core::{Result, Tensor};
use conv::Affine;
use kernels::Kernels;
use matrix::{Matrix, Store, multiply};
pub(crate) use memory::HostBuffer;
pub use memory::release_memory;
use norm::{Moments, Normalization};
use std::sync::{Mutex, PoisonError};

/// Computes on the CPU, with a set of kernels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu(pub(crate) Kernels);

impl Engine for Cpu {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn allocate(&self, len: usize) -> Result<Buffer> {
        Ok(Buffer::Host(HostBuffer::arbitrary(len)?))
    }

    fn upload(&self, values: &[f32]) -> Result<Buffer> {
        Ok(Buffer::Host(HostBuffer::copy(values)?))
    }

    fn copy(&self, buffer: &Buffer) -> Result<Buffer> {
        self.upload(buffer.host())
    }

    fn download(&self, buffer: &Buffer) -> Result<Vec<f32>> {
        Ok(buffer.host().to_vec())
    }

    fn take_values(&self, buffer: Buffer) -> Result<Vec<f32>> {
        let Buffer::Host(buffer) = buffer;
        Ok(buffer.into_vec())
    }

    fn assign(&self, to: &mut Buffer, values: &Buffer) -> Result<()> {
        elementwise::combine(self.0, to.host_mut(), values.host(), |to, value| *to = value);
        Ok(())
    }

    fn add_assign(&self, sum: &mut Buffer, values: &Buffer) -> Result<()> {
        elementwise::combine(self.0, sum.host_mut(), values.host(), |sum, value| *sum += value);
        Ok(())
    }

    fn add(&self, a: &Buffer, b: &Buffer, y: &mut Buffer) -> Result<()> {
        elementwise::combine2(self.0, y.host_mut(), a.host(), b.host(), |y, a, b| *y = a + b);
        Ok(())
    }

    fn activate(&self, f: Activation, x: &Buffer, y: &mut Buffer) -> Result<()> {
        elementwise::activate(self.0, f, x.host(), y.host_mut());
        Ok(())
    }

    fn activate_backward(&self, f: Activation, kept: &Buffer, dy: &mut Buffer) -> Result<()> {
        elementwise::activate_backward(self.0, f, kept.host(), dy.host_mut());
        Ok(())
    }

    fn concat(&self, parts: &[(&Buffer, usize)], y: &mut Buffer) -> Result<()> {
        let parts: Vec<_> = parts.iter().map(|(x, columns)| (x.host(), *columns)).collect();
        columns::concat(&parts, y.host_mut());
        Ok(())
    }

    fn split(&self, dy: &Buffer, width: usize, start: usize, columns: usize, dx: &mut Buffer, add: bool) -> Result<()> {
        columns::split(dy.host(), width, start, columns, dx.host_mut(), add);
        Ok(())
    }

    fn column_sums(&self, values: &Buffer, width: usize) -> Result<Buffer> {
        self.upload(&columns::column_sums(self.0, values.host(), width))
    }

    fn conv(
        &self,
        sizes: &ConvSizes,
        x: &Buffer,
        weight: &Tensor,
        y: &mut Buffer,
        epilogue: Epilogue<'_>,
    ) -> Result<()> {
        let (x, y) = (x.host(), y.host_mut());
        with_values(CONV, weight, |weight| match epilogue {
            Epilogue::None => sizes.forward(self.0, x, weight, y, None, None),
            Epilogue::Bias(bias) => with_values(CONV, bias, |shift| {
                let affine = Affine { scale: &vec![1.0; shift.len()], shift, residual: None, relu: false };
                sizes.forward(self.0, x, weight, y, Some(affine), None)
            })?,
            Epilogue::Normalize { by, residual, relu } => {
                let residual = residual.map(Buffer::host);
                let affine = Affine { scale: by.scale(), shift: &by.shift(), residual, relu };
                sizes.forward(self.0, x, weight, y, Some(affine), None)
            }
        })?
    }

    fn conv_moments(&self, sizes: &ConvSizes, x: &Buffer, weight: &Tensor, y: &mut Buffer) -> Result<Moments> {
        let channels = sizes.out_c;
        let blocks = sizes.blocks();
        let parts = Mutex::new(vec![None; blocks.unwrap_or(0)]);
        let finish = |index: usize, block: &[f32]| {
            let part = Moments::of_block(self.0, block, channels);
            parts.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(part);
        };
        let fused = blocks.map(|_| &finish as &(dyn Fn(usize, &[f32]) + Sync));
        let (x, target) = (x.host(), y.host_mut());
        with_values(CONV, weight, |weight| sizes.forward(self.0, x, weight, target, None, fused))??;
        Ok(match fused {
            Some(_) => {
                let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
                Moments::merge(parts.into_iter().flatten(), channels)
            }
            None => Moments::of(self.0, y.host(), channels),
        })
    }

    fn conv_input_gradient(
        &self,
        sizes: &ConvSizes,
        dy: &Buffer,
        weight: &Tensor,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()> {
        let (dy, dx) = (dy.host(), dx.host_mut());
        with_values(CONV, weight, |weight| sizes.input_gradient(self.0, dy, weight, dx, add))?
    }

    fn conv_weight_gradient(
        &self,
        sizes: &ConvSizes,
        x: &Buffer,
        dy: &Buffer,
        dw: &mut Buffer,
        add: bool,
    ) -> Result<()> {
        sizes.weight_gradient(self.0, x.host(), dy.host(), dw.host_mut(), add)
    }

    fn moments(&self, x: &Buffer, channels: usize) -> Result<Moments> {
        Ok(Moments::of(self.0, x.host(), channels))
    }

    fn update_running(&self, norm: &BatchNorm, batch: &Moments) -> Result<()> {
        norm::update_running(norm, batch)
    }

    fn normalization(&self, norm: &BatchNorm, batch: Option<&Moments>) -> Result<Normalization> {
        Normalization::new(norm, batch)
    }

    fn normalize(
        &self,
        by: &Normalization,
        x: &Buffer,
        residual: Option<&Buffer>,
        relu: bool,
        y: &mut Buffer,
    ) -> Result<()> {
        by.apply(self.0, x.host(), residual.map(Buffer::host), relu, y.host_mut());
        Ok(())
    }

    fn normalize_backward(
        &self,
        by: &Normalization,
        x: &mut Buffer,
        dy: &mut Buffer,
        y: Option<&Buffer>,
        keep: bool,
    ) -> Result<[Buffer; 2]> {
        let [dgamma, dbeta] = by.backward(self.0, x.host_mut(), dy.host_mut(), y.map(Buffer::host), keep);
        Ok([self.upload(&dgamma)?, self.upload(&dbeta)?])
    }

    fn max_pool(&self, windows: &Windows, x: &Buffer, y: &mut Buffer, from: &mut Buffer) -> Result<()> {
        pool::max_pool(self.0, *windows, x.host(), y.host_mut(), from.host_mut());
        Ok(())
    }

    fn max_pool_backward(
        &self,
        windows: &Windows,
        dy: &Buffer,
        from: &Buffer,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()> {
        pool::backward(self.0, *windows, dy.host(), pool::Rule::From(from.host()), dx.host_mut(), add);
        Ok(())
    }

    fn avg_pool(&self, windows: &Windows, x: &Buffer, count_include_pad: bool, y: &mut Buffer) -> Result<()> {
        pool::avg_pool(self.0, *windows, x.host(), count_include_pad, y.host_mut());
        Ok(())
    }

    fn avg_pool_backward(
        &self,
        windows: &Windows,
        dy: &Buffer,
        count_include_pad: bool,
        dx: &mut Buffer,
        add: bool,
    ) -> Result<()> {
        pool::backward(self.0, *windows, dy.host(), pool::Rule::Share { count_include_pad }, dx.host_mut(), add);
        Ok(())
    }

    fn global_avg_pool(&self, x: &Buffer, pixels: usize, c: usize, y: &mut Buffer) -> Result<()> {
        pool::global_avg_pool(self.0, x.host(), pixels, c, y.host_mut());
        Ok(())
    }

    fn global_avg_pool_backward(&self, dy: &Buffer, pixels: usize, c: usize, dx: &mut Buffer, add: bool) -> Result<()> {
        pool::global_avg_pool_backward(self.0, dy.host(), pixels, c, dx.host_mut(), add);
        Ok(())
    }

    fn resize(&self, taps: &Taps, x: &Buffer, y: &mut Buffer) -> Result<()> {
        resize::forward(self.0, taps, x.host(), y.host_mut());
        Ok(())
    }

    fn resize_backward(&self, taps: &Taps, dy: &Buffer, dx: &mut Buffer, add: bool) -> Result<()> {
        resize::backward(self.0, taps, dy.host(), dx.host_mut(), add);
        Ok(())
    }

    fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Buffer> {
        let ((n, inputs), (outputs, _)) = (x.dims2()?, weight.dims2()?);
        let mut y = self.allocate(n * outputs)?;
        with_values(LINEAR, x, |x| {
            let x = Matrix::new(x, n, inputs);
            with_values(LINEAR, weight, |weight| {
                let weight = Matrix::new(weight, outputs, inputs).transposed();
                multiply(self.0, y.host_mut(), x, weight, Store::Write)
            })?
        })??;
        if let Some(bias) = bias {
            with_values(LINEAR, bias, |bias| {
                for row in y.host_mut().chunks_exact_mut(outputs.max(1)) {
                    row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                }
            })?;
        }
        Ok(y)
    }

    fn linear_input_gradient(&self, dy: &Buffer, weight: &Tensor, n: usize) -> Result<Buffer> {
        let (outputs, inputs) = weight.dims2()?;
        let mut dx = self.allocate(n * inputs)?;
        let dy = Matrix::new(dy.host(), n, outputs);
        with_values(LINEAR, weight, |weight| {
            multiply(self.0, dx.host_mut(), dy, Matrix::new(weight, outputs, inputs), Store::Write)
        })??;
        Ok(dx)
    }

    fn linear_weight_gradient(&self, dy: &Buffer, x: &Tensor, outputs: usize) -> Result<Buffer> {
        let (n, inputs) = x.dims2()?;
        let mut dw = self.allocate(outputs * inputs)?;
        let dy = Matrix::new(dy.host(), n, outputs).transposed();
        with_values(LINEAR, x, |x| multiply(self.0, dw.host_mut(), dy, Matrix::new(x, n, inputs), Store::Write))??;
        Ok(dw)
    }

    fn cross_entropy(&self, logits: &Tensor, targets: &[u32], factors: &Factors) -> Result<(f64, Buffer)> {
        let mut kept = self.allocate(2 * targets.len())?;
        let loss =
            with_values("cross_entropy", logits, |logits| factors.forward(self.0, logits, targets, kept.host_mut()))?;
        Ok((loss, kept))
    }

    fn cross_entropy_backward(
        &self,
        logits: &Tensor,
        targets: &[u32],
        factors: &Factors,
        kept: &Buffer,
        dloss: f64,
    ) -> Result<Buffer> {
        let mut dx = self.allocate(logits.elem_count())?;
        with_values("cross_entropy", logits, |logits| {
            factors.backward(self.0, logits, targets, kept.host(), dloss, dx.host_mut());
        })?;
        Ok(dx)
    }

    fn binary(&self, logits: &Tensor, targets: &Tensor, terms: Binary) -> Result<f64> {
        with_values(BINARY, logits, |x| with_values(BINARY, targets, |t| terms.forward(self.0, x, t)))?
    }

    fn binary_backward(&self, logits: &Tensor, targets: &Tensor, terms: Binary, scale: f64) -> Result<Buffer> {
        let mut dx = self.allocate(logits.elem_count())?;
        with_values(BINARY, logits, |x| {
            with_values(BINARY, targets, |t| terms.backward(self.0, x, t, scale as f32, dx.host_mut()))
        })??;
        Ok(dx)
    }

    fn distance(&self, input: &Tensor, target: &Tensor, terms: Distance) -> Result<f64> {
        with_values(DISTANCE, input, |x| with_values(DISTANCE, target, |t| terms.forward(self.0, x, t)))?
    }

    fn distance_backward(&self, input: &Tensor, target: &Tensor, terms: Distance, scale: f64) -> Result<Buffer> {
        let mut dx = self.allocate(input.elem_count())?;
        with_values(DISTANCE, input, |x| {
            with_values(DISTANCE, target, |t| terms.backward(self.0, x, t, scale as f32, dx.host_mut()))
        })??;
        Ok(dx)
    }

    fn class_sums(&self, logits: &Tensor, targets: &[u32], ignore: Option<u32>) -> Result<Vec<[f64; 3]>> {
        let (_, classes) = logits.dims2()?;
        with_values(DICE, logits, |logits| dice::class_sums(logits, targets, ignore, classes))
    }

    fn class_sums_backward(
        &self,
        logits: &Tensor,
        targets: &[u32],
        ignore: Option<u32>,
        by_class: &[[f64; 2]],
        dloss: f64,
    ) -> Result<Buffer> {
        let mut dx = self.allocate(logits.elem_count())?;
        with_values(DICE, logits, |logits| {
            dice::backward(logits, targets, ignore, by_class, dloss, dx.host_mut());
        })?;
        Ok(dx)
    }
}

const CONV: &str = "conv2d";
const LINEAR: &str = "linear";
const BINARY: &str = "binary_cross_entropy_with_logits";
const DISTANCE: &str = "smooth_l1_loss";
const DICE: &str = "dice_loss";
