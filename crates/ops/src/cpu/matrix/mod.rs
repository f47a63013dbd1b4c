//! Matrix products, of which every processor gives the same bits.
//!
//! Where the rows of `b` are contiguous, vectors run along them. A value of `a·b` is then a sum over the inner
//! dimension in blocks of [`chains::DEPTH`] terms: within a block a chain of fused multiply-adds from zero, in order;
//! then the blocks' sums are added, in order. Where the rows of `a` and the columns of `b` are contiguous,
//! vectors run along both, and a value is a dot product: [`LANES`] such chains over all terms, each over every
//! sixteenth, whose sums are added in a fixed tree. Neither the width of vectors nor the split into tasks, which
//! follows from the shapes alone, changes a bit.
#![allow(unsafe_code, reason = "a product's tasks write parts that are not contiguous")]

mod chains;
mod dots;

use crate::cpu::memory::HostBuffer;
use crate::cpu::shared::SharedMut;
use candle_core::Result;
use chains::chains;
use dots::dots;
use kernels::Kernels;
use rayon::prelude::*;
use std::ops::Range;

/// A read-only matrix in a slice: element (r, c) is `values[r * row_stride + c * column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values, one behind the other.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(rows * columns, values.len(), "a matrix of another size than its slice");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Chains of a dot product, and values of the widest vector.
const LANES: usize = 16;

/// Products a task takes at least: fewer would not be worth a task.
const PRODUCTS: usize = 1 << 18;

/// Tasks wanted, so that many threads find work.
const TASKS: usize = 32;

/// Whether a product is written or added to what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Write,
    Add,
}

/// `out = a·b`, or `out += a·b`, rows of `out` one behind the other.
///
/// # Errors
///
/// Where the system has no memory for scratch.
pub(crate) fn multiply(kernels: Kernels, out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, store: Store) -> Result<()> {
    assert_eq!(a.columns, b.rows, "inner dimensions differ");
    assert_eq!(out.len(), a.rows * b.columns, "a product of another size than its slice");
    if a.columns == 0 && store == Store::Write {
        out.fill(0.0);
    }
    if out.is_empty() || a.columns == 0 {
        return Ok(());
    }
    let wanted = (out.len() * a.columns / PRODUCTS).clamp(1, TASKS);
    let out = SharedMut::new(out);
    if b.column_stride == 1 {
        chains(kernels, &Product { a, b, out, store }, wanted);
        Ok(())
    } else if a.column_stride == 1 {
        dots(kernels, &Product { a, b, out, store }, wanted)
    } else {
        let mut rows = HostBuffer::arbitrary(b.rows * b.columns)?;
        rows.par_chunks_mut(b.columns).enumerate().for_each(|(r, row)| {
            let values = b.values[r * b.row_stride..].iter().step_by(b.column_stride);
            row.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
        });
        let b = Matrix::new(&rows, b.rows, b.columns);
        chains(kernels, &Product { a, b, out, store }, wanted);
        Ok(())
    }
}

struct Product<'a> {
    a: Matrix<'a>,
    b: Matrix<'a>,
    out: SharedMut<'a>,
    store: Store,
}

impl Product<'_> {
    /// Splits into ranges of so many rows and columns.
    fn tasks(&self, rows: usize, columns: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let (m, n) = (self.a.rows, self.b.columns);
        let ranges = |end: usize, step: usize| (0..end).step_by(step).map(move |at| at..end.min(at + step));
        ranges(m, rows).flat_map(|rows| ranges(n, columns).map(move |columns| (rows.clone(), columns))).collect()
    }

    /// Values of a row of the result.
    ///
    /// # Safety
    ///
    /// They are of the result, and nobody else reads or writes them meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that it is the only one")]
    unsafe fn row(&self, row: usize, column: usize, count: usize) -> &mut [f32] {
        let at = row * self.b.columns + column;
        debug_assert!(at + count <= self.out.len(), "outside the result");
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.out.at_mut(at), count) }
    }
}

#[cfg(test)]
mod tests {
    use super::chains::DEPTH;
    use super::dots::tree;
    use super::*;
    use proptest::prelude::*;

    /// `rows` by `columns`, transposed where it says so.
    fn matrix(values: &[f32], rows: usize, columns: usize, transpose: bool) -> Matrix<'_> {
        if transpose { Matrix::new(values, columns, rows).transposed() } else { Matrix::new(values, rows, columns) }
    }

    /// The definition, value by value.
    fn naive(a: Matrix<'_>, b: Matrix<'_>, out: f32, store: Store) -> Vec<f32> {
        let chain = |i: usize, j: usize, terms: &mut dyn Iterator<Item = usize>| {
            terms.fold(0f32, |sum, k| {
                let a = a.values[i * a.row_stride + k * a.column_stride];
                a.mul_add(b.values[k * b.row_stride + j * b.column_stride], sum)
            })
        };
        let product = |i: usize, j: usize| {
            let dot = a.column_stride == 1 && b.column_stride != 1;
            let sums: Vec<f32> = if dot {
                vec![tree(std::array::from_fn(|lane| chain(i, j, &mut (lane..a.columns).step_by(LANES))))]
            } else {
                (0..a.columns).step_by(DEPTH).map(|k| chain(i, j, &mut (k..a.columns.min(k + DEPTH)))).collect()
            };
            let first = (store == Store::Add).then_some(out);
            first.into_iter().chain(sums).reduce(|sum, block| sum + block).unwrap_or(0.0)
        };
        (0..a.rows).flat_map(|i| (0..b.columns).map(move |j| product(i, j))).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Fractions, so that another order of a sum has other bits.
    fn fractions(len: usize, by: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * by) % 1009) as f32 / 1009.0 - 0.5).collect()
    }

    fn equals_the_definition(m: usize, n: usize, k: usize, transpose: [bool; 2], store: Store) {
        let (va, vb) = (fractions(m * k, 7919), fractions(k * n, 5003));
        let (a, b) = (matrix(&va, m, k, transpose[0]), matrix(&vb, k, n, transpose[1]));
        let expected = bits(&naive(a, b, 0.3, store));
        for kernels in Kernels::available() {
            let mut out = vec![if store == Store::Add { 0.3 } else { f32::NAN }; m * n];
            multiply(kernels, &mut out, a, b, store).unwrap();
            assert_eq!(bits(&out), expected, "{m}x{k}x{n}, transposed {transpose:?}, {kernels:?}");
        }
    }

    proptest! {
        #[test]
        fn all_kernels_equal_the_definition(m in 0usize..40, n in 0usize..120, k in 0usize..300,
                                            transpose in any::<[bool; 2]>(), add in any::<bool>()) {
            equals_the_definition(m, n, k, transpose, if add { Store::Add } else { Store::Write });
        }
    }

    #[test]
    fn split_products_equal_the_definition() {
        for (m, n, k) in [(1, 1500, 400), (1500, 1, 400), (3, 999, 301), (700, 40, 50), (131, 129, 65)] {
            for transpose in [[false, false], [false, true], [true, false], [true, true]] {
                equals_the_definition(m, n, k, transpose, Store::Write);
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let (m, n, k) = (300, 200, 150);
        let (va, vb) = (fractions(m * k, 7919), fractions(k * n, 5003));
        let products = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![f32::NAN; m * n];
            let (a, b) = (Matrix::new(&va, m, k), Matrix::new(&vb, n, k).transposed());
            pool.install(|| multiply(Kernels::current().unwrap(), &mut out, a, b, Store::Write)).unwrap();
            bits(&out)
        });
        assert!(products.iter().all(|product| *product == products[0]));
    }

    #[test]
    fn a_part_of_a_product_is_the_product_of_a_part() {
        let (m, n, k) = (70, 300, 200);
        let (va, vb) = (fractions(m * k, 7919), fractions(k * n, 5003));
        for kernels in Kernels::available() {
            let product = |rows: usize| {
                let mut out = vec![f32::NAN; rows * n];
                let a = Matrix::new(&va[..rows * k], rows, k);
                multiply(kernels, &mut out, a, Matrix::new(&vb, k, n), Store::Write).unwrap();
                bits(&out)
            };
            assert_eq!(product(m)[..5 * n], product(5), "{kernels:?}");
        }
    }

    #[test]
    fn what_is_not_finite_stays_so_and_spreads_no_further() {
        let (m, n, k) = (9, 50, 130);
        for kernels in Kernels::available() {
            let (mut va, mut vb) = (vec![1.0; m * k], vec![1.0; k * n]);
            va[2 * k + 129] = f32::NAN;
            vb[n + 49] = f32::INFINITY;
            let mut out = vec![0.0; m * n];
            multiply(kernels, &mut out, Matrix::new(&va, m, k), Matrix::new(&vb, k, n), Store::Write).unwrap();
            for (i, row) in out.chunks_exact(n).enumerate() {
                for (j, value) in row.iter().enumerate() {
                    match (i, j) {
                        (2, _) => assert!(value.is_nan()),
                        (_, 49) => assert_eq!(*value, f32::INFINITY),
                        _ => assert_eq!(*value, k as f32),
                    }
                }
            }
        }
    }
}
