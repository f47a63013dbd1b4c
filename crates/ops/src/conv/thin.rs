//! Convolution of few pixels with a large weight: deep layers at a small batch.
//!
//! Bringing the weight into another order would cost more than the arithmetic. So the pixels are unfolded
//! into the weight's own order instead, `[in, kh, kw]`, and vectors run along it: an output value is a dot
//! product of two rows, a row of the weight's gradient a sum of rows. A few output channels a task.
#![allow(unsafe_code, reason = "bounds checks keep rows of vectors out of registers")]

use super::{Sizes, Store};
use crate::columns::{load, save};
use crate::elementwise::rectify;
use crate::kernels::{Kernels, mul_add};
use crate::memory::Buffer;
use candle_core::Result;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Output pixels, at most.
const PIXELS: usize = 64;

/// Values of the weight, at least.
const WEIGHTS: usize = 1 << 17;

/// Output channels of a task.
const CHANNELS: usize = 16;

/// Whether `sizes` are those that this module is for.
pub(super) fn fits(sizes: &Sizes) -> bool {
    sizes.geometry.groups == 1 && sizes.n * sizes.out_h * sizes.out_w <= PIXELS && sizes.weights() >= WEIGHTS
}

/// What each output pixel reads, `[pixels, in, kh, kw]`.
fn unfold(sizes: &Sizes, x: &[f32]) -> Result<Buffer> {
    let super::Conv2d { stride, padding, dilation, .. } = sizes.geometry;
    let taps = sizes.k_h * sizes.k_w;
    let row = sizes.in_c * taps;
    let mut unfolded = Buffer::arbitrary(sizes.n * sizes.out_h * sizes.out_w * row)?;
    unfolded.par_chunks_mut(row).enumerate().for_each(|(pixel, row)| {
        let (image, pixel) = (pixel / (sizes.out_h * sizes.out_w), pixel % (sizes.out_h * sizes.out_w));
        let (oy, ox) = (pixel / sizes.out_w, pixel % sizes.out_w);
        for tap in 0..taps {
            // Outside the image the subtraction wraps to a number larger than any side.
            let y = (oy * stride + tap / sizes.k_w * dilation).wrapping_sub(padding);
            let x_at = (ox * stride + tap % sizes.k_w * dilation).wrapping_sub(padding);
            let to = row[tap..].iter_mut().step_by(taps);
            if y < sizes.in_h && x_at < sizes.in_w {
                let at = ((image * sizes.in_h + y) * sizes.in_w + x_at) * sizes.in_c;
                to.zip(&x[at..at + sizes.in_c]).for_each(|(to, x)| *to = *x);
            } else {
                to.for_each(|to| *to = 0.0);
            }
        }
    });
    Ok(unfolded)
}

pub(super) fn forward(
    kernels: Kernels,
    sizes: &Sizes,
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
    store: Store<'_>,
) -> Result<()> {
    let unfolded = unfold(sizes, x)?;
    let (row, channels) = (sizes.fan_in(), sizes.out_c);
    let pixels = sizes.n * sizes.out_h * sizes.out_w;
    // [channels, pixels]
    let mut sums = Buffer::arbitrary(channels * pixels)?;
    sums.par_chunks_mut(CHANNELS * pixels).zip(weight.par_chunks(CHANNELS * row)).for_each(|(sums, weight)| {
        kernels.run(Products { weight, unfolded: &unfolded, row, sums });
    });
    for (channel, sums) in sums.chunks_exact(pixels).enumerate() {
        for (pixel, sum) in sums.iter().enumerate() {
            let at = pixel * channels + channel;
            y[at] = match store {
                Store::Write => *sum,
                Store::Add => y[at] + sum,
                Store::Affine { scale, shift, residual, relu } => {
                    let value = sum * scale[channel] + shift[channel] + residual.map_or(0.0, |residual| residual[at]);
                    if relu { rectify(value) } else { value }
                }
            };
        }
    }
    Ok(())
}

pub(super) fn weight_gradient(
    kernels: Kernels,
    sizes: &Sizes,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    add: bool,
) -> Result<()> {
    let unfolded = unfold(sizes, x)?;
    let row = sizes.fan_in();
    dw.par_chunks_mut(CHANNELS * row).enumerate().for_each(|(task, dw)| {
        let dy = Rows { dy, channels: sizes.out_c, first: task * CHANNELS };
        kernels.run(Sums { dy, unfolded: &unfolded, row, dw, add });
    });
    Ok(())
}

/// Dot products of each row of `weight` with each row of `unfolded`: `sums` `[channels, pixels]`.
struct Products<'a> {
    weight: &'a [f32],
    unfolded: &'a [f32],
    row: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let channels = self.weight.len() / self.row;
        let mut channel = 0;
        while channel < channels {
            channel += match channels - channel {
                4.. if S::REGISTER_COUNT >= 32 => self.pixels::<S, 4>(simd, channel),
                2.. => self.pixels::<S, 2>(simd, channel),
                _ => self.pixels::<S, 1>(simd, channel),
            };
        }
    }
}

impl Products<'_> {
    /// `C` channels, all pixels; returns `C`.
    #[inline(always)]
    fn pixels<S: Simd, const C: usize>(&mut self, simd: S, channel: usize) -> usize {
        let pixels = self.unfolded.len() / self.row;
        let mut pixel = 0;
        while pixel < pixels {
            pixel += match pixels - pixel {
                6.. if S::REGISTER_COUNT >= 32 => self.tile::<S, C, 6>(simd, channel, pixel),
                4.. => self.tile::<S, C, 4>(simd, channel, pixel),
                3 => self.tile::<S, C, 3>(simd, channel, pixel),
                2 => self.tile::<S, C, 2>(simd, channel, pixel),
                _ => self.tile::<S, C, 1>(simd, channel, pixel),
            };
        }
        C
    }

    /// `C` channels by `P` pixels; returns `P`.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    fn tile<S: Simd, const C: usize, const P: usize>(&mut self, simd: S, channel: usize, pixel: usize) -> usize {
        let (row, lanes) = (self.row, S::F32_LANES);
        let whole = row / lanes;
        let weights: [&[f32]; C] = std::array::from_fn(|c| &self.weight[(channel + c) * row..][..row]);
        let pixels: [&[f32]; P] = std::array::from_fn(|p| &self.unfolded[(pixel + p) * row..][..row]);
        let mut sums = [[simd.splat_f32s(0.0); P]; C];
        for i in 0..whole {
            let mut values = [simd.splat_f32s(0.0); P];
            for p in 0..P {
                // SAFETY: a row has `whole` vectors, and a vector is plain values, read unaligned.
                values[p] = unsafe { pixels[p].as_ptr().add(i * lanes).cast::<S::f32s>().read_unaligned() };
            }
            for c in 0..C {
                // SAFETY: as above.
                let weight = unsafe { weights[c].as_ptr().add(i * lanes).cast::<S::f32s>().read_unaligned() };
                for p in 0..P {
                    sums[c][p] = mul_add(simd, weight, values[p], sums[c][p]);
                }
            }
        }
        // A copy, so that the loop above keeps its own in registers.
        let mut done = sums;
        for c in 0..C {
            for p in 0..P {
                done[c][p] = sums[c][p];
            }
        }
        let rest = row - whole * lanes;
        let all = self.unfolded.len() / row;
        for c in 0..C {
            for p in 0..P {
                let mut sum = done[c][p];
                if rest > 0 {
                    let [weight, value] = [weights[c], pixels[p]].map(|row| load(simd, row, whole * lanes, rest));
                    sum = mul_add(simd, weight, value, sum);
                }
                self.sums[(channel + c) * all + pixel + p] = simd.reduce_sum_f32s(sum);
            }
        }
        P
    }
}

/// The gradients of the output channels from `first` on, a row of `channels` a pixel.
struct Rows<'a> {
    dy: &'a [f32],
    channels: usize,
    first: usize,
}

/// Sums of the rows of `unfolded`, each times a gradient: `dw` `[channels, row]`.
struct Sums<'a> {
    dy: Rows<'a>,
    unfolded: &'a [f32],
    row: usize,
    dw: &'a mut [f32],
    add: bool,
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = S::F32_LANES;
        let channels = self.dw.len() / self.row;
        let mut at = 0;
        while at < self.row {
            let left = self.row - at;
            let vectors = if left >= 4 * lanes && S::REGISTER_COUNT >= 32 { 4 } else { 1 };
            let mut channel = 0;
            while channel < channels {
                channel += match (vectors, channels - channel) {
                    (4, 4..) => self.tile::<S, 4, 4>(simd, channel, at, lanes),
                    (4, _) => self.tile::<S, 1, 4>(simd, channel, at, lanes),
                    (_, 4..) => self.tile::<S, 4, 1>(simd, channel, at, left.min(lanes)),
                    _ => self.tile::<S, 1, 1>(simd, channel, at, left.min(lanes)),
                };
            }
            at += vectors * left.min(lanes);
        }
    }
}

impl Sums<'_> {
    /// `C` channels by `V` vectors of `count` values from `at` on; returns `C`.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    fn tile<S: Simd, const C: usize, const V: usize>(
        &mut self,
        simd: S,
        channel: usize,
        at: usize,
        count: usize,
    ) -> usize {
        let mut sums = [[simd.splat_f32s(0.0); V]; C];
        let pixels = self.unfolded.chunks_exact(self.row).zip(self.dy.dy.chunks_exact(self.dy.channels));
        for (values, dy) in pixels {
            let dy = &dy[self.dy.first + channel..][..C];
            let mut vectors = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                vectors[v] = load(simd, values, at + v * count, count);
            }
            for c in 0..C {
                let dy = simd.splat_f32s(dy[c]);
                for v in 0..V {
                    sums[c][v] = mul_add(simd, dy, vectors[v], sums[c][v]);
                }
            }
        }
        // A copy, so that the loop above keeps its own in registers.
        let mut done = sums;
        for c in 0..C {
            for v in 0..V {
                done[c][v] = sums[c][v];
            }
        }
        for c in 0..C {
            for v in 0..V {
                let at = (channel + c) * self.row + at + v * count;
                let mut sum = done[c][v];
                if self.add {
                    sum = simd.add_f32s(sum, load(simd, self.dw, at, count));
                }
                save(simd, self.dw, at, count, sum);
            }
        }
        C
    }
}
