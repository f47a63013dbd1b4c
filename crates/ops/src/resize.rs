//! Maps of another size.

use crate::candle;
use crate::columns::{load, save};
use crate::feature_map::{Body, FeatureMap};
use crate::memory::Buffer;
use crate::values::elements;
use candle_core::{Result, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// How [`resize`] finds a pixel's value; names as the modes of `torch.nn.functional.interpolate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The pixel `⌊i · in / out⌋`, computed in `f32`.
    Nearest,
    /// A weighted mean of the four pixels around a point.
    Bilinear {
        /// Whether the centres of the corner pixels lie upon each other (point `i · (in − 1) / (out − 1)`),
        /// or the corners of the images (point `max((i + ½) · in / out − ½, 0)`).
        align_corners: bool,
    },
}

/// The images of `x` `[n, h, w, c]` in the size `[h', w']`: `[n, h', w', c]`, as
/// `torch.nn.functional.interpolate(x, size=size, mode=…)`.
///
/// # Errors
///
/// Where a side of the input or of the result is 0, or memory is short.
pub fn resize(x: &FeatureMap, size: [usize; 2], mode: Resize) -> Result<FeatureMap> {
    let [n, in_h, in_w, c] = x.dims();
    let [out_h, out_w] = size;
    if [in_h, in_w, out_h, out_w].contains(&0) {
        bail!("{NAME}: expected sides of at least 1, found x {:?} and the size {size:?}", x.dims());
    }
    if size == x.size() {
        return Ok(x.unchanged());
    }
    let dims = [n, out_h, out_w, c];
    elements(NAME, x.dims())?;
    let len = elements(NAME, dims)?;
    let (rows, columns) = (taps(mode, in_h, out_h)?, taps(mode, in_w, out_w)?);
    let x = match x.body() {
        Body::Candle(x) => return Ok(FeatureMap::candle(dims, candle::resize(x, &rows, &columns)?)),
        Body::Kernels(x) => x,
    };
    let mut y = Buffer::arbitrary(len)?;
    let kernels = x.kernels;
    let (row_in, row_out) = (in_w * c, out_w * c);
    if len > 0 {
        y.par_chunks_mut(row_out).enumerate().for_each(|(row, y)| {
            let image = &x.values[row / out_h * in_h * row_in..][..in_h * row_in];
            kernels.run(Mix { image, row: rows[row % out_h], columns: &columns, row_in, c, y });
        });
    }
    let (gradient, len) = (x.gradient.clone(), x.values.len());
    x.then(NAME, dims, Arc::new(y), move |dy| {
        gradient.add(len, |dx, add| {
            if len > 0 {
                let readers: Vec<_> = (0..in_w).map(|column| readers(&columns, column)).collect();
                dx.par_chunks_mut(row_in).enumerate().for_each(|(row, dx)| {
                    let (image, row) = (row / in_h, row % in_h);
                    let lines: Vec<_> = self::readers(&rows, row)
                        .map(|oy| (rows[oy].weight(row), &dy[(image * out_h + oy) * row_out..][..row_out]))
                        .collect();
                    kernels.run(Unmix { lines: &lines, columns: &columns, readers: &readers, c, dx, add });
                });
            }
            Ok(())
        })
    })
}

const NAME: &str = "resize";

/// What one row or column of the result reads: `(1 − share) · low + share · high`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) low: usize,
    /// `low` or its successor; `low` exactly where `share` is 0.
    pub(crate) high: usize,
    pub(crate) share: f32,
}

impl Tap {
    /// The weight of row or column `from`, one of the two.
    #[inline(always)]
    fn weight(&self, from: usize) -> f32 {
        if from == self.low { 1.0 - self.share } else { self.share }
    }
}

/// The taps that read row or column `from`: neighbours, as taps rise.
fn readers(taps: &[Tap], from: usize) -> Range<usize> {
    taps.partition_point(|tap| tap.high < from)..taps.partition_point(|tap| tap.low <= from)
}

/// The taps of `output` rows or columns in `input` ones, in rising order. In `f32` and in torch's order, so
/// that both round to the same pixel.
fn taps(mode: Resize, input: usize, output: usize) -> Result<Vec<Tap>> {
    let mut taps = Vec::new();
    if taps.try_reserve_exact(output).is_err() {
        bail!("{NAME}: no memory for a side of {output} pixels");
    }
    let ratio = input as f32 / output as f32;
    taps.extend((0..output).map(|i| {
        let point = match mode {
            Resize::Nearest => (i as f32 * ratio).floor(),
            Resize::Bilinear { align_corners: false } => (ratio * (i as f32 + 0.5) - 0.5).max(0.0),
            Resize::Bilinear { align_corners: true } if output == 1 => 0.0,
            Resize::Bilinear { align_corners: true } => (input - 1) as f32 / (output - 1) as f32 * i as f32,
        };
        let low = (point as usize).min(input - 1);
        let share = if low == input - 1 { 0.0 } else { (point - low as f32).clamp(0.0, 1.0) };
        Tap { low, high: if share > 0.0 { low + 1 } else { low }, share }
    }));
    Ok(taps)
}

/// One row of the result, read from `image` through the taps of the row and its columns.
struct Mix<'a> {
    image: &'a [f32],
    row: Tap,
    columns: &'a [Tap],
    row_in: usize,
    c: usize,
    y: &'a mut [f32],
}

impl WithSimd for Mix<'_> {
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
struct Unmix<'a> {
    /// The gradients of the rows that read it, and its weights there.
    lines: &'a [(f32, &'a [f32])],
    columns: &'a [Tap],
    /// For each pixel the columns that read it.
    readers: &'a [Range<usize>],
    c: usize,
    dx: &'a mut [f32],
    add: bool,
}

impl WithSimd for Unmix<'_> {
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
