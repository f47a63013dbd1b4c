//! Convolution of few pixels with a large weight: deep layers at a small batch.
//!
//! Bringing the weight into another order would cost more than the arithmetic. So the pixels are unfolded
//! into the weight's own order instead, `[in, kh, kw]`, and matrix products do the rest.

use super::Affine;
use crate::conv::ConvSizes;
use crate::cpu::matrix::{Matrix, Store, multiply};
use crate::cpu::memory::HostBuffer;
use candle_core::Result;
use kernels::Kernels;
use rayon::prelude::*;

/// Output pixels, at most.
const PIXELS: usize = 64;

/// Values of the weight, at least.
const WEIGHTS: usize = 1 << 17;

/// Whether `sizes` are those that this module is for.
pub(crate) fn fits(sizes: &ConvSizes) -> bool {
    let pixels = sizes.n * sizes.out_h * sizes.out_w;
    sizes.geometry.groups == 1 && (1..=PIXELS).contains(&pixels) && sizes.weights() >= WEIGHTS
}

/// What each output pixel reads, `[pixels, in, kh, kw]`.
fn unfold(sizes: &ConvSizes, x: &[f32]) -> Result<HostBuffer> {
    let taps = sizes.k_h * sizes.k_w;
    let mut unfolded = HostBuffer::arbitrary(sizes.n * sizes.out_h * sizes.out_w * sizes.fan_in())?;
    unfolded.par_chunks_mut(sizes.fan_in()).enumerate().for_each(|(pixel, row)| {
        for tap in 0..taps {
            let to = row[tap..].iter_mut().step_by(taps);
            match sizes.read_by(pixel, tap) {
                Some(at) => to.zip(&x[at..at + sizes.in_c]).for_each(|(to, x)| *to = *x),
                None => to.for_each(|to| *to = 0.0),
            }
        }
    });
    Ok(unfolded)
}

pub(super) fn forward(
    kernels: Kernels,
    sizes: &ConvSizes,
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
    affine: Option<Affine<'_>>,
) -> Result<()> {
    let unfolded = unfold(sizes, x)?;
    let (row, channels) = (sizes.fan_in(), sizes.out_c);
    let pixels = sizes.n * sizes.out_h * sizes.out_w;
    let mut sums = HostBuffer::arbitrary(channels * pixels)?;
    let read = Matrix::new(&unfolded, pixels, row).transposed();
    multiply(kernels, &mut sums, Matrix::new(weight, channels, row), read, Store::Write)?;
    for (channel, sums) in sums.chunks_exact(pixels).enumerate() {
        for (pixel, sum) in sums.iter().enumerate() {
            let at = pixel * channels + channel;
            y[at] = affine.map_or(*sum, |affine| affine.apply(*sum, channel, at));
        }
    }
    Ok(())
}

pub(super) fn weight_gradient(
    kernels: Kernels,
    sizes: &ConvSizes,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    add: bool,
) -> Result<()> {
    let unfolded = unfold(sizes, x)?;
    let pixels = sizes.n * sizes.out_h * sizes.out_w;
    let read = Matrix::new(&unfolded, pixels, sizes.fan_in());
    let store = if add { Store::Add } else { Store::Write };
    multiply(kernels, dw, Matrix::new(dy, pixels, sizes.out_c).transposed(), read, store)
}

/// Adds to `dx`, or writes it: the rows of the weight, each times a gradient, are the gradient of what the
/// pixels read.
pub(super) fn input_gradient(
    kernels: Kernels,
    sizes: &ConvSizes,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    add: bool,
) -> Result<()> {
    let (row, channels) = (sizes.fan_in(), sizes.out_c);
    let pixels = sizes.n * sizes.out_h * sizes.out_w;
    let mut unfolded = HostBuffer::arbitrary(pixels * row)?;
    let weight = Matrix::new(weight, channels, row);
    multiply(kernels, &mut unfolded, Matrix::new(dy, pixels, channels), weight, Store::Write)?;
    if !add {
        dx.fill(0.0);
    }
    let taps = sizes.k_h * sizes.k_w;
    for (pixel, read) in unfolded.chunks_exact(row).enumerate() {
        for tap in 0..taps {
            let Some(at) = sizes.read_by(pixel, tap) else { continue };
            for (dx, read) in dx[at..at + sizes.in_c].iter_mut().zip(read[tap..].iter().step_by(taps)) {
                *dx += read;
            }
        }
    }
    Ok(())
}

impl ConvSizes {
    /// Where the input begins that an output pixel (of all images) reads through a tap; none outside the image.
    fn read_by(&self, pixel: usize, tap: usize) -> Option<usize> {
        let crate::conv::Conv2d { stride, padding, dilation, .. } = self.geometry;
        let (image, pixel) = (pixel / (self.out_h * self.out_w), pixel % (self.out_h * self.out_w));
        let y = (pixel / self.out_w * stride + tap / self.k_w * dilation).checked_sub(padding)?;
        let x = (pixel % self.out_w * stride + tap % self.k_w * dilation).checked_sub(padding)?;
        (y < self.in_h && x < self.in_w).then(|| ((image * self.in_h + y) * self.in_w + x) * self.in_c)
    }
}
