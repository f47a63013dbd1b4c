//! Convolution of few pixels with a large weight: deep layers at a small batch.
//!
//! Bringing the weight into another order would cost more than the arithmetic. So the pixels are unfolded
//! into the weight's own order instead, `[in, kh, kw]`, and vectors run along it: an output value is a dot
//! product of two rows, a row of the weight's gradient a sum of rows. A few output channels a task.
#![allow(unsafe_code, reason = "bounds checks keep rows of vectors out of registers")]

use super::Affine;
use crate::conv::ConvSizes;
use crate::cpu::columns::{load, save};
use crate::cpu::memory::HostBuffer;
use crate::kernels::{Kernels, mul_add};
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
    // [channels, pixels]
    let mut sums = HostBuffer::arbitrary(channels * pixels)?;
    sums.par_chunks_mut(CHANNELS * pixels).zip(weight.par_chunks(CHANNELS * row)).for_each(|(sums, weight)| {
        kernels.run(Products { weight, unfolded: &unfolded, row, sums });
    });
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
    let row = sizes.fan_in();
    dw.par_chunks_mut(CHANNELS * row).enumerate().for_each(|(task, dw)| {
        let factors = Factors { values: dy, row: sizes.out_c, first: task * CHANNELS };
        kernels.run(Sums { factors, rows: &unfolded, row, from: 0, width: row, sums: dw, distance: row, add });
    });
    Ok(())
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
    let mut turned = HostBuffer::arbitrary(dy.len())?;
    for (channel, turned) in turned.chunks_exact_mut(pixels).enumerate() {
        turned.iter_mut().zip(dy.iter().skip(channel).step_by(channels)).for_each(|(to, dy)| *to = *dy);
    }
    // [tasks, pixels, COLUMNS]
    let mut unfolded = HostBuffer::arbitrary(row.div_ceil(COLUMNS) * pixels * COLUMNS)?;
    unfolded.par_chunks_mut(pixels * COLUMNS).enumerate().for_each(|(task, sums)| {
        let factors = Factors { values: &turned, row: pixels, first: 0 };
        let from = task * COLUMNS;
        kernels.run(Sums {
            factors,
            rows: weight,
            row,
            from,
            width: COLUMNS.min(row - from),
            sums,
            distance: COLUMNS,
            add: false,
        });
    });
    if !add {
        dx.fill(0.0);
    }
    let taps = sizes.k_h * sizes.k_w;
    for pixel in 0..pixels {
        for tap in 0..taps {
            let Some(at) = sizes.read_by(pixel, tap) else { continue };
            for (i, dx) in dx[at..at + sizes.in_c].iter_mut().enumerate() {
                let column = i * taps + tap;
                *dx += unfolded[(column / COLUMNS * pixels + pixel) * COLUMNS + column % COLUMNS];
            }
        }
    }
    Ok(())
}

/// Columns of a task: a whole number of vectors.
const COLUMNS: usize = 512;

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

/// Columns of a matrix, from `first` on.
struct Factors<'a> {
    values: &'a [f32],
    row: usize,
    first: usize,
}

/// Sums of rows, each times a factor a sum: `sums[s, ·] = Σ_r factors[r, s]·rows[r, from..from + width]`.
struct Sums<'a> {
    factors: Factors<'a>,
    rows: &'a [f32],
    row: usize,
    from: usize,
    width: usize,
    /// `width` values each, `distance` apart.
    sums: &'a mut [f32],
    distance: usize,
    add: bool,
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = S::F32_LANES;
        let count = self.sums.len() / self.distance;
        let mut at = 0;
        while at < self.width {
            let left = self.width - at;
            let vectors = if left >= 4 * lanes && S::REGISTER_COUNT >= 32 { 4 } else { 1 };
            let mut sum = 0;
            while sum < count {
                sum += match (vectors, count - sum) {
                    (4, 4..) => self.tile::<S, 4, 4>(simd, sum, at, lanes),
                    (4, _) => self.tile::<S, 1, 4>(simd, sum, at, lanes),
                    (_, 4..) => self.tile::<S, 4, 1>(simd, sum, at, left.min(lanes)),
                    _ => self.tile::<S, 1, 1>(simd, sum, at, left.min(lanes)),
                };
            }
            at += vectors * left.min(lanes);
        }
    }
}

impl Sums<'_> {
    /// `C` sums of `V` vectors of `count` values from `at` on; returns `C`.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    fn tile<S: Simd, const C: usize, const V: usize>(
        &mut self,
        simd: S,
        first: usize,
        at: usize,
        count: usize,
    ) -> usize {
        let mut sums = [[simd.splat_f32s(0.0); V]; C];
        let rows = self.rows.chunks_exact(self.row).zip(self.factors.values.chunks_exact(self.factors.row));
        for (row, factors) in rows {
            let factors = &factors[self.factors.first + first..][..C];
            let mut vectors = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                vectors[v] = load(simd, row, self.from + at + v * count, count);
            }
            for c in 0..C {
                let factor = simd.splat_f32s(factors[c]);
                for v in 0..V {
                    sums[c][v] = mul_add(simd, factor, vectors[v], sums[c][v]);
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
                let at = (first + c) * self.distance + at + v * count;
                let mut sum = done[c][v];
                if self.add {
                    sum = simd.add_f32s(sum, load(simd, self.sums, at, count));
                }
                save(simd, self.sums, at, count, sum);
            }
        }
        C
    }
}
