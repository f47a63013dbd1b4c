//! Products whose vectors run along the rows of `b`: a value is a chain of fused multiply-adds for each block of
//! terms.
#![allow(unsafe_code, reason = "the register tile reads through pointers; bounds are argued at each block")]

use super::{LANES, Matrix, Product, Store};
use crate::cpu::columns::{load, save};
use crate::cpu::mul_add::mul_add;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Terms that are summed in one chain. A panel of so many rows of `b` stays in the first-level cache.
pub(super) const DEPTH: usize = 128;

/// Rows of a task of [`chains`]: enough for a packed panel to pay, few enough for their values to stay in the
/// second-level cache.
const ROWS: Range<usize> = 64..256;

/// Vectors of a tile, at most.
const VECTORS: usize = 3;

/// Rows up to which `b` is read where it lies: a packed panel would not pay.
const DIRECT: usize = 16;

/// A product with vectors along the rows of `b`.
pub(super) fn chains(kernels: Kernels, product: &Product<'_>, wanted: usize) {
    let (m, n) = (product.a.rows, product.b.columns);
    let rows = m.div_ceil(wanted).clamp(ROWS.start, ROWS.end);
    let panels = n.div_ceil(VECTORS * LANES);
    let splits = wanted.div_ceil(m.div_ceil(rows)).min(panels);
    let tasks = product.tasks(rows, panels.div_ceil(splits) * VECTORS * LANES);
    tasks.into_par_iter().for_each(|(rows, columns)| kernels.run(Chains { product, rows, columns }));
}

/// What a task of [`chains`] computes.
struct Chains<'a> {
    product: &'a Product<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Rows of `b`, some vectors each, `stride` values apart.
#[derive(Clone, Copy)]
struct Panel<'a> {
    values: &'a [f32],
    stride: usize,
    depth: usize,
}

/// Where a tile begins in all three dimensions, and how many columns it has.
#[derive(Clone, Copy)]
struct Place {
    k: usize,
    row: usize,
    column: usize,
    count: usize,
}

/// Room for a packed panel, at a line of the cache.
#[repr(align(64))]
struct Packed([f32; DEPTH * VECTORS * LANES]);

impl WithSimd for Chains<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut packed = Packed([0.0; DEPTH * VECTORS * LANES]);
        for k in (0..self.product.b.rows).step_by(DEPTH) {
            let mut column = self.columns.start;
            while column < self.columns.end {
                let left = self.columns.end - column;
                column += match left.div_ceil(S::F32_LANES) {
                    1 => self.columns::<S, 1>(simd, k, column, left, &mut packed),
                    3.. if S::REGISTER_COUNT >= 32 => self.columns::<S, VECTORS>(simd, k, column, left, &mut packed),
                    _ => self.columns::<S, 2>(simd, k, column, left, &mut packed),
                };
            }
        }
    }
}

impl Chains<'_> {
    /// `V` vectors of columns, one block of terms; returns how many columns those are.
    #[inline(always)]
    fn columns<S: Simd, const V: usize>(
        &self,
        simd: S,
        k: usize,
        column: usize,
        left: usize,
        packed: &mut Packed,
    ) -> usize {
        let Matrix { values, rows, row_stride, .. } = self.product.b;
        let (depth, width) = (DEPTH.min(rows - k), V * S::F32_LANES);
        let count = width.min(left);
        let values = &values[k * row_stride + column..];
        let panel = if count == width && (self.rows.len() <= DIRECT || row_stride == width) {
            Panel { values, stride: row_stride, depth }
        } else {
            pack::<S, V>(simd, values, row_stride, count, &mut packed.0[..depth * width]);
            Panel { values: &packed.0, stride: width, depth }
        };
        let mut row = self.rows.start;
        while row < self.rows.end {
            let place = Place { k, row, column, count };
            row += match self.rows.end - row {
                8.. if S::REGISTER_COUNT >= 32 => self.tile::<S, 8, V>(simd, panel, place),
                6.. if S::REGISTER_COUNT < 32 => self.tile::<S, 6, V>(simd, panel, place),
                4.. => self.tile::<S, 4, V>(simd, panel, place),
                2.. => self.tile::<S, 2, V>(simd, panel, place),
                _ => self.tile::<S, 1, V>(simd, panel, place),
            };
        }
        count
    }

    /// `R` rows by `V` vectors; returns `R`.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&self, simd: S, panel: Panel<'_>, place: Place) -> usize {
        let Matrix { values, row_stride, column_stride, .. } = self.product.a;
        let values = &values[place.row * row_stride + place.k * column_stride..];
        let last = panel.depth - 1;
        assert!((R - 1) * row_stride + last * column_stride < values.len(), "a tile outside of a");
        assert!(last * panel.stride + V * S::F32_LANES <= panel.values.len(), "a tile outside of b");
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let (mut a, mut b) = (values.as_ptr(), panel.values.as_ptr());
        for _ in 0..panel.depth {
            let mut vectors = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                // SAFETY: at most `last` strides in, `V` vectors lie in the panel, as asserted above; a vector is
                // plain values, read unaligned.
                vectors[v] = unsafe { b.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
            }
            for r in 0..R {
                // SAFETY: at most `last` strides in, `R` rows lie in `values`, as asserted above.
                let factor = simd.splat_f32s(unsafe { *a.add(r * row_stride) });
                for v in 0..V {
                    sums[r][v] = mul_add(simd, factor, vectors[v], sums[r][v]);
                }
            }
            (a, b) = (a.wrapping_add(column_stride), b.wrapping_add(panel.stride));
        }
        // A copy, so that the loop above keeps its own in registers.
        let mut done = sums;
        for r in 0..R {
            for v in 0..V {
                done[r][v] = sums[r][v];
            }
        }
        let add = place.k > 0 || self.product.store == Store::Add;
        for r in 0..R {
            // SAFETY: a task has its rows and columns for itself, and the tile lies in them.
            let out = unsafe { self.product.row(place.row + r, place.column, place.count) };
            for v in 0..V {
                let at = v * S::F32_LANES;
                let count = (place.count - at).min(S::F32_LANES);
                let sum = if add { simd.add_f32s(load(simd, out, at, count), done[r][v]) } else { done[r][v] };
                save(simd, out, at, count, sum);
            }
        }
        R
    }
}

/// Copies rows of `count` values, `stride` apart, to rows of `V` vectors, zeros behind them.
#[inline(always)]
fn pack<S: Simd, const V: usize>(simd: S, values: &[f32], stride: usize, count: usize, packed: &mut [f32]) {
    for (k, row) in packed.chunks_exact_mut(V * S::F32_LANES).enumerate() {
        for v in 0..V {
            let at = v * S::F32_LANES;
            let vector = load(simd, values, k * stride + at, (count - at).min(S::F32_LANES));
            save(simd, row, at, S::F32_LANES, vector);
        }
    }
}
