//! Pooling on the CPU: a row of windows, or of pixels, a task.

use super::columns::{load, save};
use crate::pool::Windows;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

pub(super) fn max_pool(kernels: Kernels, windows: Windows, x: &[f32], y: &mut [f32], from: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    let rows = y.par_chunks_mut(windows.row_out()).zip(from.par_chunks_mut(windows.row_out()));
    rows.enumerate().for_each(|(row, (y, from))| kernels.run(Largest { windows, x, row, y, from }));
}

pub(super) fn avg_pool(kernels: Kernels, windows: Windows, x: &[f32], count_include_pad: bool, y: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    y.par_chunks_mut(windows.row_out())
        .enumerate()
        .for_each(|(row, y)| kernels.run(Mean { windows, x, row, y, count_include_pad }));
}

/// Writes the gradient of the pixels, or adds it, by `rule`.
pub(super) fn backward(kernels: Kernels, windows: Windows, dy: &[f32], rule: Rule<'_>, dx: &mut [f32], add: bool) {
    if dx.is_empty() {
        return;
    }
    dx.par_chunks_mut(windows.row_in())
        .enumerate()
        .for_each(|(row, dx)| kernels.run(PoolBackward { windows, dy, rule, row, dx, add }));
}

pub(super) fn global_avg_pool(kernels: Kernels, x: &[f32], pixels: usize, c: usize, y: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    y.par_chunks_mut(c).zip(x.par_chunks(pixels * c)).for_each(|(y, x)| {
        kernels.run(
            #[inline(always)]
            || {
                y.fill(0.0);
                for pixel in x.chunks_exact(c) {
                    for (sum, x) in y.iter_mut().zip(pixel) {
                        *sum += x;
                    }
                }
                for sum in y {
                    *sum /= pixels as f32;
                }
            },
        );
    });
}

pub(super) fn global_avg_pool_backward(
    kernels: Kernels,
    dy: &[f32],
    pixels: usize,
    c: usize,
    dx: &mut [f32],
    add: bool,
) {
    if dx.is_empty() {
        return;
    }
    dx.par_chunks_mut(pixels * c).zip(dy.par_chunks(c)).for_each(|(dx, dy)| {
        kernels.run(
            #[inline(always)]
            || {
                for pixel in dx.chunks_exact_mut(c) {
                    for (dx, dy) in pixel.iter_mut().zip(dy) {
                        let share = dy / pixels as f32;
                        *dx = if add { *dx + share } else { share };
                    }
                }
            },
        );
    });
}

/// One row of windows, counted over all images: the largest values, and the taps they are from.
struct Largest<'a> {
    windows: Windows,
    x: &'a [f32],
    row: usize,
    y: &'a mut [f32],
    from: &'a mut [f32],
}

impl WithSimd for Largest<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, x, row, y, from } = self;
        let Windows { kernel, stride, padding, in_h, in_w, c, out_h, out_w, .. } = windows;
        let (image, oy) = (row / out_h, row % out_h);
        for ox in 0..out_w {
            let [rows, columns] = windows.taps([oy, ox]);
            for start in (0..c).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(c - start);
                let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
                let mut taken = simd.splat_f32s((rows.start * kernel + columns.start) as f32);
                for ky in rows.clone() {
                    let line = (image * in_h + oy * stride + ky - padding) * in_w;
                    for kx in columns.clone() {
                        let pixel = line + ox * stride + kx - padding;
                        let value = load(simd, x, pixel * c + start, count);
                        let number = simd.equal_f32s(value, value);
                        let larger = simd.or_m32s(simd.less_than_f32s(largest, value), simd.not_m32s(number));
                        largest = simd.select_f32s(larger, value, largest);
                        taken = simd.select_f32s(larger, simd.splat_f32s((ky * kernel + kx) as f32), taken);
                    }
                }
                save(simd, y, ox * c + start, count, largest);
                save(simd, from, ox * c + start, count, taken);
            }
        }
    }
}

/// One row of windows, counted over all images: the means.
struct Mean<'a> {
    windows: Windows,
    x: &'a [f32],
    row: usize,
    y: &'a mut [f32],
    count_include_pad: bool,
}

impl WithSimd for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, x, row, y, count_include_pad } = self;
        let Windows { stride, padding, in_h, in_w, c, out_h, out_w, .. } = windows;
        let (image, oy) = (row / out_h, row % out_h);
        for ox in 0..out_w {
            let [rows, columns] = windows.taps([oy, ox]);
            let share = simd.splat_f32s(windows.share([oy, ox], count_include_pad));
            for start in (0..c).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(c - start);
                let mut sum = simd.splat_f32s(0.0);
                for ky in rows.clone() {
                    let line = (image * in_h + oy * stride + ky - padding) * in_w;
                    for kx in columns.clone() {
                        let pixel = line + ox * stride + kx - padding;
                        sum = simd.add_f32s(sum, load(simd, x, pixel * c + start, count));
                    }
                }
                save(simd, y, ox * c + start, count, simd.mul_f32s(sum, share));
            }
        }
    }
}

/// What of a window's gradient goes to a pixel.
#[derive(Clone, Copy)]
pub(super) enum Rule<'a> {
    /// All of it where the window's value is from that tap.
    From(&'a [f32]),
    /// Its share of the mean.
    Share { count_include_pad: bool },
}

/// One row of pixels, counted over all images: the gradients of all windows that read them.
struct PoolBackward<'a> {
    windows: Windows,
    dy: &'a [f32],
    rule: Rule<'a>,
    row: usize,
    dx: &'a mut [f32],
    add: bool,
}

impl WithSimd for PoolBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, dy, rule, row, dx, add } = self;
        let Windows { kernel, stride, padding, in_h, in_w, c, out_h, out_w, .. } = windows;
        let (image, y) = (row / in_h, row % in_h);
        let zero = simd.splat_f32s(0.0);
        for x in 0..in_w {
            let [rows, columns] = windows.readers([y, x]);
            for start in (0..c).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(c - start);
                let mut sum = if add { load(simd, dx, x * c + start, count) } else { zero };
                for oy in rows.clone() {
                    for ox in columns.clone() {
                        let at = ((image * out_h + oy) * out_w + ox) * c + start;
                        let d = load(simd, dy, at, count);
                        sum = match rule {
                            Rule::From(from) => {
                                let tap = (y + padding - oy * stride) * kernel + x + padding - ox * stride;
                                let here = simd.equal_f32s(load(simd, from, at, count), simd.splat_f32s(tap as f32));
                                simd.add_f32s(sum, simd.select_f32s(here, d, zero))
                            }
                            Rule::Share { count_include_pad } => {
                                let share = simd.splat_f32s(windows.share([oy, ox], count_include_pad));
                                simd.add_f32s(sum, simd.mul_f32s(d, share))
                            }
                        };
                    }
                }
                save(simd, dx, x * c + start, count, sum);
            }
        }
    }
}
