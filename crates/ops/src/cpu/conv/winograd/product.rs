//! The register tile of the products: some rows by one or two vectors of columns.
#![allow(unsafe_code, reason = "the register tile reads through pointers; bounds are argued at each block")]

use crate::cpu::columns::{load, save};
use crate::cpu::mul_add::mul_add;
use pulp::Simd;

/// `out = a·b`, or `out += a·b`: each value is a chain of fused multiply-adds from zero, in the order of the terms.
pub(super) struct Product<'a> {
    /// Element (row, term) is `a[row * row_stride + term * term_stride]`.
    pub(super) a: &'a [f32],
    pub(super) rows: usize,
    pub(super) row_stride: usize,
    pub(super) terms: usize,
    pub(super) term_stride: usize,
    /// For each term the vectors of its row.
    pub(super) b: &'a [f32],
    pub(super) b_stride: usize,
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
    pub(super) add: bool,
}

impl Product<'_> {
    /// Computes `vectors` vectors of all rows, one or two.
    #[inline(always)]
    pub(super) fn run<S: Simd>(mut self, simd: S, vectors: usize) {
        match vectors {
            1 => self.columns::<S, 1>(simd),
            _ => self.columns::<S, 2>(simd),
        }
    }

    #[inline(always)]
    fn columns<S: Simd, const V: usize>(&mut self, simd: S) {
        let mut row = 0;
        while row < self.rows {
            row += match (self.rows - row, S::REGISTER_COUNT >= 32) {
                (12.., true) => self.tile::<S, 12, V>(simd, row),
                (8.., true) => self.tile::<S, 8, V>(simd, row),
                (6.., false) => self.tile::<S, 6, V>(simd, row),
                (4.., _) => self.tile::<S, 4, V>(simd, row),
                (2.., _) => self.tile::<S, 2, V>(simd, row),
                _ => self.tile::<S, 1, V>(simd, row),
            };
        }
    }

    /// `R` rows from `row` on by `V` vectors; returns `R`.
    #[allow(clippy::needless_range_loop, reason = "indices of registers, unrolled")]
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, row: usize) -> usize {
        let (lanes, a) = (S::F32_LANES, &self.a[row * self.row_stride..]);
        let Some(last) = self.terms.checked_sub(1) else { return R };
        assert!((R - 1) * self.row_stride + last * self.term_stride < a.len(), "a tile outside of a");
        assert!(last * self.b_stride + V * lanes <= self.b.len(), "a tile outside of b");
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let (mut a, mut b) = (a.as_ptr(), self.b.as_ptr());
        for _ in 0..self.terms {
            let mut vectors = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                // SAFETY: at most `last` strides in, `V` vectors lie in `b`, as asserted above; a vector is plain
                // values, read unaligned.
                vectors[v] = unsafe { b.add(v * lanes).cast::<S::f32s>().read_unaligned() };
            }
            for r in 0..R {
                // SAFETY: at most `last` strides in, `R` rows lie in `a`, as asserted above.
                let factor = simd.splat_f32s(unsafe { *a.add(r * self.row_stride) });
                for v in 0..V {
                    sums[r][v] = mul_add(simd, factor, vectors[v], sums[r][v]);
                }
            }
            (a, b) = (a.wrapping_add(self.term_stride), b.wrapping_add(self.b_stride));
        }
        // A copy, so that the loop above keeps its own in registers.
        let mut done = sums;
        for r in 0..R {
            for v in 0..V {
                done[r][v] = sums[r][v];
            }
        }
        for r in 0..R {
            for v in 0..V {
                let at = (row + r) * self.out_stride + v * lanes;
                let sum = done[r][v];
                let sum = if self.add { simd.add_f32s(load(simd, self.out, at, lanes), sum) } else { sum };
                save(simd, self.out, at, lanes, sum);
            }
        }
        R
    }
}
