//! Newton and Schulz's iteration, as Muon has it: a matrix whose singular values come to about 1.
//!
//! Products of matrices are sums of their own, so that this crate needs no other for them: every value is summed in the
//! order of the inner dimension, in blocks of a fixed number of terms, without fused products. So the bits depend neither on
//! kernels nor on threads.

use crate::sums::square;
use kernels::Kernels;
use rayon::prelude::*;

/// Of `X ← a·X + (b·A + c·A²)·X` with `A = X·Xᵀ` (K. Jordan, 2024).
pub(crate) const COEFFICIENTS: [f32; 3] = [3.4445, -4.775, 2.0315];

/// Added to the norm that the matrix is divided by first, so that no singular value is above 1.
pub(crate) const NORM_EPS: f64 = 1e-7;

/// Values of memory that [`orthogonalize`] works in, for a matrix of `rows` rows of `len` values.
pub(super) fn workspace(rows: usize, len: usize) -> usize {
    let short = rows.min(len);
    3 * rows * len + 2 * short * short
}

/// Replaces `update`, a matrix with rows of `len` values, by one with the same singular vectors and singular values of about
/// 1, by so many `iterations`; `work` has at least [`workspace`] values.
pub(super) fn orthogonalize(kernels: Kernels, update: &mut [f32], len: usize, work: &mut [f32], iterations: u32) {
    let rows = update.len() / len;
    let (short, long) = (rows.min(len), rows.max(len));
    let size = rows * len;
    let norm = update.chunks(len).map(|row| kernels.run(|| square(row))).sum::<f64>().sqrt() + NORM_EPS;
    let scale = (1.0 / norm) as f32;
    let (mut x, rest) = work.split_at_mut(size);
    let (mut next, rest) = rest.split_at_mut(size);
    let (transposed, rest) = rest.split_at_mut(size);
    let (gram, rest) = rest.split_at_mut(short * short);
    let polynomial = &mut rest[..short * short];
    // The shorter side first: products are the smaller.
    if rows > len {
        transpose(update, x, len);
    } else {
        x.copy_from_slice(update);
    }
    x.iter_mut().for_each(|x| *x *= scale);
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..iterations {
        transpose(x, transposed, long);
        product(kernels, [x, transposed], gram, long);
        product(kernels, [gram, gram], polynomial, short);
        for (p, a) in polynomial.iter_mut().zip(&*gram) {
            *p = b * a + c * *p;
        }
        product(kernels, [polynomial, x], next, short);
        for (next, x) in next.iter_mut().zip(&*x) {
            *next += a * x;
        }
        std::mem::swap(&mut x, &mut next);
    }
    if rows > len {
        transpose(x, update, long);
    } else {
        update.copy_from_slice(x);
    }
}

/// `to` becomes the transposed of `from`, whose rows have `len` values.
fn transpose(from: &[f32], to: &mut [f32], len: usize) {
    /// Rows and columns of a block, so that both sides stay in the cache.
    const SIDE: usize = 32;
    let rows = from.len() / len;
    to.par_chunks_mut(SIDE * rows).enumerate().for_each(|(block, to)| {
        let columns = block * SIDE..(block * SIDE + SIDE).min(len);
        for first in (0..rows).step_by(SIDE) {
            for row in first..(first + SIDE).min(rows) {
                for (column, value) in from[row * len..][columns.clone()].iter().enumerate() {
                    to[column * rows + row] = *value;
                }
            }
        }
    });
}

/// Rows of a task.
const TASK: usize = 64;
/// Terms that are summed before they are added to the result.
const DEPTH: usize = 256;
/// Rows that are summed at once.
const HEIGHT: usize = 4;
/// Columns that are summed at once.
const WIDTH: usize = 16;

/// `out` becomes the product of two matrices with the inner dimension `inner`.
fn product(kernels: Kernels, [left, right]: [&[f32]; 2], out: &mut [f32], inner: usize) {
    let columns = right.len() / inner;
    let tasks = out.par_chunks_mut(TASK * columns).zip(left.par_chunks(TASK * inner));
    tasks.for_each(|(out, left)| kernels.run(Part { left, right, out, inner, columns }));
}

/// Some rows of a product.
struct Part<'a> {
    left: &'a [f32],
    right: &'a [f32],
    out: &'a mut [f32],
    inner: usize,
    columns: usize,
}

impl pulp::NullaryFnOnce for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { left, right, out, inner, columns } = self;
        out.fill(0.0);
        // Columns that all rows of the task read, side by side; those beyond the last stay 0.
        let mut panel = [[0.0f32; WIDTH]; DEPTH];
        for first in (0..inner).step_by(DEPTH) {
            let terms = first..(first + DEPTH).min(inner);
            let panel = &mut panel[..terms.len()];
            for column in (0..columns).step_by(WIDTH) {
                let width = WIDTH.min(columns - column);
                for (row, at) in panel.iter_mut().zip(terms.clone()) {
                    row.fill(0.0);
                    row[..width].copy_from_slice(&right[at * columns + column..][..width]);
                }
                for (out, left) in out.chunks_mut(HEIGHT * columns).zip(left.chunks(HEIGHT * inner)) {
                    // Rows beyond the last are summed, and not kept.
                    let rows: [&[f32]; HEIGHT] = std::array::from_fn(|row| {
                        let row = row.min(left.len() / inner - 1);
                        &left[row * inner..][terms.clone()]
                    });
                    for (out, sums) in out.chunks_mut(columns).zip(tile(panel, rows)) {
                        for (out, sum) in out[column..][..width].iter_mut().zip(sums) {
                            *out += sum;
                        }
                    }
                }
            }
        }
    }
}

/// The sums of four rows over the terms of a panel.
#[inline(always)]
fn tile(panel: &[[f32; WIDTH]], [a, b, c, d]: [&[f32]; HEIGHT]) -> [[f32; WIDTH]; HEIGHT] {
    let [mut of_a, mut of_b, mut of_c, mut of_d] = [[0.0f32; WIDTH]; HEIGHT];
    for ((((right, a), b), c), d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
        for lane in 0..WIDTH {
            of_a[lane] += a * right[lane];
            of_b[lane] += b * right[lane];
            of_c[lane] += c * right[lane];
            of_d[lane] += d * right[lane];
        }
    }
    [of_a, of_b, of_c, of_d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * i * 7919 + i * 31 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0).collect()
    }

    #[test]
    fn a_product_is_that_of_its_definition() {
        for [rows, inner, columns] in [[1, 1, 1], [3, 5, 2], [4, 16, 16], [37, 300, 53], [70, 513, 17]] {
            let (left, right) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
            let mut out = vec![f32::NAN; rows * columns];
            product(Kernels::Portable, [&left, &right], &mut out, inner);
            for (at, found) in out.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let term = |i: usize| f64::from(left[row * inner + i]) * f64::from(right[i * columns + column]);
                let expected: f64 = (0..inner).map(term).sum();
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{rows} {inner} {columns}: {found} {expected}");
            }
        }
    }

    #[test]
    fn singular_values_come_to_about_1() {
        for [rows, len] in [[8, 8], [6, 27], [40, 9]] {
            let mut update = numbers(rows * len, 3);
            let mut work = vec![0.0; workspace(rows, len)];
            // More steps than Muon takes: small singular values need them.
            orthogonalize(Kernels::Portable, &mut update, len, &mut work, 12);
            let short = rows.min(len);
            let square: f64 = update.iter().map(|u| f64::from(u * u)).sum();
            assert!((square / short as f64 - 0.9).abs() < 0.35, "{rows} {len}: {square}");
        }
    }
}
