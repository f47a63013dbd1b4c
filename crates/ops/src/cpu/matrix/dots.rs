//! Products whose vectors run along the rows of `a` and the columns of `b`: a value is a dot product.
#![allow(unsafe_code, reason = "the register tile reads through pointers; bounds are argued at each block")]

use super::{LANES, Product, Store};
use crate::cpu::columns::{load, save};
use crate::cpu::memory::Scratch;
use crate::cpu::mul_add::mul_add;
use candle_core::Result;
use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Values that a task of [`dots`] computes, at most, and columns of them: what keeps the chains' sums in the
/// second-level cache.
const DOTS: usize = 1024;
const COLUMNS: usize = 64;

/// Terms of the chains that are added at a time: a tile's rows of `a` and `b` stay in the first-level cache.
const TERMS: usize = 1024;

/// A product with vectors along the rows of `a` and the columns of `b`.
pub(super) fn dots(kernels: Kernels, product: &Product<'_>, wanted: usize) -> Result<()> {
    let (m, n) = (product.a.rows, product.b.columns);
    let columns = n.min(COLUMNS);
    let rows = m.div_ceil(wanted.div_ceil(n.div_ceil(columns))).next_multiple_of(4).min(DOTS / columns);
    let tasks = product.tasks(rows, columns);
    tasks
        .into_par_iter()
        .map_init(Scratch::default, |scratch, (rows, columns)| {
            let sums = scratch.get(rows.len() * columns.len() * LANES)?;
            kernels.run(Dots { product, rows, columns, sums });
            Ok(())
        })
        .collect()
}

/// What a task of [`dots`] computes, and room for the chains' sums: `[rows, columns, LANES]`.
struct Dots<'a> {
    product: &'a Product<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    sums: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for k in (0..self.product.b.rows).step_by(TERMS) {
            let mut row = self.rows.start;
            while row < self.rows.end {
                row += match (self.rows.end - row, S::F32_LANES < LANES) {
                    (4.., false) => self.rows::<S, 4, 1>(simd, k, row),
                    (2.., false) => self.rows::<S, 2, 1>(simd, k, row),
                    (_, false) => self.rows::<S, 1, 1>(simd, k, row),
                    (2.., true) => self.rows::<S, 2, 2>(simd, k, row),
                    (_, true) => self.rows::<S, 1, 2>(simd, k, row),
                };
            }
        }
        let columns = self.columns.len();
        for (row, sums) in self.rows.clone().zip(self.sums.chunks_exact(columns * LANES)) {
            // SAFETY: a task has its rows and columns for itself.
            let out = unsafe { self.product.row(row, self.columns.start, columns) };
            for (out, sums) in out.iter_mut().zip(sums.as_chunks().0) {
                let sum = tree(*sums);
                *out = if self.product.store == Store::Add { *out + sum } else { sum };
            }
        }
    }
}

/// The sum of the chains: halves are added until one is left.
#[inline(always)]
pub(super) fn tree(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

impl Dots<'_> {
    /// `R` rows, all columns, the terms from `k` on; a chain's vector is `H` of the processor's. Returns `R`.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const H: usize>(&mut self, simd: S, k: usize, row: usize) -> usize {
        let mut column = self.columns.start;
        while column < self.columns.end {
            column += match self.columns.end - column {
                6.. if H == 1 => self.tile::<S, R, 6, H>(simd, k, row, column),
                4.. if H == 1 => self.tile::<S, R, 4, H>(simd, k, row, column),
                3 if H == 1 => self.tile::<S, R, 3, H>(simd, k, row, column),
                2.. => self.tile::<S, R, 2, H>(simd, k, row, column),
                _ => self.tile::<S, R, 1, H>(simd, k, row, column),
            };
        }
        R
    }

    /// `R` rows by `C` columns; returns `C`.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize, const H: usize>(
        &mut self,
        simd: S,
        k: usize,
        row: usize,
        column: usize,
    ) -> usize {
        let Product { a, b, .. } = self.product;
        let depth = TERMS.min(b.rows - k);
        let (whole, rest) = (depth / LANES, depth % LANES);
        let rows: [&[f32]; R] = std::array::from_fn(|r| &a.values[(row + r) * a.row_stride + k..][..depth]);
        let columns: [&[f32]; C] = std::array::from_fn(|c| &b.values[(column + c) * b.column_stride + k..][..depth]);
        let first = ((row - self.rows.start) * self.columns.len() + column - self.columns.start) * LANES;
        let at = |r: usize, c: usize, h: usize| first + (r * self.columns.len() + c) * LANES + h * S::F32_LANES;
        let mut sums = [[[simd.splat_f32s(0.0); H]; C]; R];
        if k > 0 {
            for r in 0..R {
                for c in 0..C {
                    for h in 0..H {
                        sums[r][c][h] = load(simd, self.sums, at(r, c, h), S::F32_LANES);
                    }
                }
            }
        }
        for i in 0..whole {
            // SAFETY: rows and columns have `whole` times `LANES` values, which are `H` vectors; a vector is plain
            // values, read unaligned.
            let read = |values: &[f32], h: usize| unsafe {
                values.as_ptr().add(i * LANES + h * S::F32_LANES).cast::<S::f32s>().read_unaligned()
            };
            let mut vectors = [[simd.splat_f32s(0.0); H]; C];
            for c in 0..C {
                for h in 0..H {
                    vectors[c][h] = read(columns[c], h);
                }
            }
            for r in 0..R {
                for h in 0..H {
                    let value = read(rows[r], h);
                    for c in 0..C {
                        sums[r][c][h] = mul_add(simd, value, vectors[c][h], sums[r][c][h]);
                    }
                }
            }
        }
        // A copy, so that the loop above keeps its own in registers.
        let mut done = sums;
        for r in 0..R {
            for c in 0..C {
                for h in 0..H {
                    done[r][c][h] = sums[r][c][h];
                }
            }
        }
        for r in 0..R {
            for c in 0..C {
                for h in 0..H {
                    let mut sum = done[r][c][h];
                    if rest > 0 {
                        // Zeros behind the last values: all chains take the same steps.
                        let from = (whole * LANES + h * S::F32_LANES).min(depth);
                        let count = (depth - from).min(S::F32_LANES);
                        let [value, vector] = [rows[r], columns[c]].map(|values| load(simd, values, from, count));
                        sum = mul_add(simd, value, vector, sum);
                    }
                    save(simd, self.sums, at(r, c, h), S::F32_LANES, sum);
                }
            }
        }
        C
    }
}
