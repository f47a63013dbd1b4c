//! Resizing on the CPU: a row of the result, or of the input's gradient, a task.

use super::columns::{load, save};
use crate::resize::{Tap, Taps, readers};
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

pub(super) fn forward(kernels: Kernels, taps: &Taps, x: &[f32], y: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    let Taps { c, ref rows, ref columns, size_in: [in_h, in_w] } = *taps;
    let row_in = in_w * c;
    y.par_chunks_mut(columns.len() * c).enumerate().for_each(|(row, y)| {
        let image = &x[row / rows.len() * in_h * row_in..][..in_h * row_in];
        kernels.run(Interpolate { image, row: rows[row % rows.len()], columns, row_in, c, y });
    });
}

pub(super) fn backward(kernels: Kernels, taps: &Taps, dy: &[f32], dx: &mut [f32], add: bool) {
    if dx.is_empty() {
        return;
    }
    let Taps { c, ref rows, ref columns, size_in: [in_h, in_w] } = *taps;
    let row_out = columns.len() * c;
    let of_columns: Vec<_> = (0..in_w).map(|column| readers(columns, column)).collect();
    dx.par_chunks_mut(in_w * c).enumerate().for_each(|(row, dx)| {
        let (image, row) = (row / in_h, row % in_h);
        let lines: Vec<_> = readers(rows, row)
            .map(|oy| (rows[oy].weight(row), &dy[(image * rows.len() + oy) * row_out..][..row_out]))
            .collect();
        kernels.run(InterpolateBackward { lines: &lines, columns, readers: &of_columns, c, dx, add });
    });
}

/// One row of the result, read from `image` through the taps of the row and its columns.
struct Interpolate<'a> {
    image: &'a [f32],
    row: Tap,
    columns: &'a [Tap],
    row_in: usize,
    c: usize,
    y: &'a mut [f32],
}

impl WithSimd for Interpolate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { image, row, columns, row_in, c, y } = self;
        let [top, bottom] = [row.low, row.high].map(|row| &image[row * row_in..][..row_in]);
        for (ox, column) in columns.iter().enumerate() {
            for start in (0..c).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(c - start);
                let mut value = across(simd, top, column, c, start, count);
                if row.share > 0.0 {
                    value = blend(simd, value, across(simd, bottom, column, c, start, count), row.share);
                }
                save(simd, y, ox * c + start, count, value);
            }
        }
    }
}

/// What a tap reads from a row: `count` channels from `start` on.
#[inline(always)]
fn across<S: Simd>(simd: S, row: &[f32], column: &Tap, c: usize, start: usize, count: usize) -> S::f32s {
    let low = load(simd, row, column.low * c + start, count);
    if column.share > 0.0 {
        return blend(simd, low, load(simd, row, column.high * c + start, count), column.share);
    }
    low
}

/// `(1 − share) · low + share · high`.
#[inline(always)]
fn blend<S: Simd>(simd: S, low: S::f32s, high: S::f32s, share: f32) -> S::f32s {
    let low = simd.mul_f32s(low, simd.splat_f32s(1.0 - share));
    simd.add_f32s(low, simd.mul_f32s(high, simd.splat_f32s(share)))
}

/// The gradient of one row of the input.
struct InterpolateBackward<'a> {
    /// The gradients of the rows that read it, and its weights there.
    lines: &'a [(f32, &'a [f32])],
    columns: &'a [Tap],
    /// For each pixel the columns that read it.
    readers: &'a [Range<usize>],
    c: usize,
    dx: &'a mut [f32],
    add: bool,
}

impl WithSimd for InterpolateBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { lines, columns, readers, c, dx, add } = self;
        for (x, readers) in readers.iter().enumerate() {
            for start in (0..c).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(c - start);
                let mut sum = if add { load(simd, dx, x * c + start, count) } else { simd.splat_f32s(0.0) };
                for (weight, dy) in lines {
                    for ox in readers.clone() {
                        let weight = simd.splat_f32s(weight * columns[ox].weight(x));
                        let dy = load(simd, dy, ox * c + start, count);
                        sum = simd.add_f32s(sum, simd.mul_f32s(dy, weight));
                    }
                }
                save(simd, dx, x * c + start, count, sum);
            }
        }
    }
}
