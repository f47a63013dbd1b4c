//! Matrix products over slices, on all threads.
#![allow(unsafe_code, reason = "gemm takes pointers; the bounds are checked here, once")]

use rayon::prelude::*;

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

    /// `count` rows from `start` on.
    fn rows(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.rows, "rows outside the matrix");
        let from = (start * self.row_stride).min(self.values.len());
        Self { values: &self.values[from..], rows: count, ..self }
    }
}

/// Rows a task takes at least: fewer would pack the other operand too often.
const ROWS: usize = 64;
/// Products a task takes about: fewer would not be worth a task.
const PRODUCTS: usize = 1 << 18;

/// `out = a·b`, rows of `out` one behind the other.
pub(crate) fn multiply(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(out.len(), m * n, "a product of another size than its slice");
    if m < 2 * ROWS && n > m && n * m * k > PRODUCTS {
        // Too few rows for several tasks: columns are split, as rows of the transposed product.
        let mut columns = vec![0.0; m * n];
        multiply_rows(&mut columns, b.transposed(), a.transposed());
        for (row, out) in out.chunks_exact_mut(n).enumerate() {
            for (out, column) in out.iter_mut().zip(columns.chunks_exact(m)) {
                *out = column[row];
            }
        }
    } else {
        multiply_rows(out, a, b);
    }
}

/// [`multiply`], with rows split over tasks as the sizes alone say.
fn multiply_rows(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    let (n, k) = (b.columns, a.columns);
    if out.is_empty() {
        return;
    }
    let rows = (PRODUCTS / (n * k).max(1)).next_multiple_of(ROWS).max(ROWS);
    out.par_chunks_mut(rows * n).enumerate().for_each(|(block, out)| {
        multiply_block(out, a.rows(block * rows, out.len() / n), b);
    });
}

/// [`multiply`] on this thread.
fn multiply_block(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    /// One more than the largest index of a matrix, 0 for an empty one.
    fn extent(matrix: Matrix<'_>) -> usize {
        match (matrix.rows, matrix.columns) {
            (0, _) | (_, 0) => 0,
            (rows, columns) => (rows - 1) * matrix.row_stride + (columns - 1) * matrix.column_stride + 1,
        }
    }
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "inner dimensions differ");
    assert_eq!(out.len(), m * n, "a product of another size than its slice");
    assert!(extent(a) <= a.values.len() && extent(b) <= b.values.len(), "a matrix larger than its slice");
    // SAFETY: gemm reads element (i, j) of `a` (m×k) and `b` (k×n) and writes element (i, j) of `out` (m×n) at
    // the strides given. The assertions above have checked that the last element of each lies in its slice. The
    // slices are borrowed for the call, `out` exclusively, so they neither move nor alias. Strides fit isize
    // because they are at most a slice's length or multiply no index (sizes of 1).
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn equals_a_naive_loop(m: usize, n: usize, k: usize, transpose: [bool; 2]) {
        let fill = |len: usize, by: usize| (0..len).map(|i| ((i * by) % 13) as f32 - 6.0).collect::<Vec<_>>();
        let (va, vb) = (fill(m * k, 7), fill(k * n, 5));
        let a = if transpose[0] { Matrix::new(&va, k, m).transposed() } else { Matrix::new(&va, m, k) };
        let b = if transpose[1] { Matrix::new(&vb, n, k).transposed() } else { Matrix::new(&vb, k, n) };
        let mut out = vec![f32::NAN; m * n];
        multiply(&mut out, a, b);
        for (index, out) in out.iter().enumerate() {
            let (i, j) = (index / n, index % n);
            let dot: f32 = (0..k)
                .map(|l| va[i * a.row_stride + l * a.column_stride] * vb[l * b.row_stride + j * b.column_stride])
                .sum();
            assert_eq!(*out, dot, "({i}, {j}) of {m}x{k}x{n}, transposed {transpose:?}");
        }
    }

    proptest! {
        #[test]
        fn products_equal_a_naive_loop(m in 0usize..20, n in 0usize..20, k in 0usize..40,
                                       transpose in any::<[bool; 2]>()) {
            equals_a_naive_loop(m, n, k, transpose);
        }
    }

    #[test]
    fn split_products_equal_a_naive_loop() {
        for (m, n, k) in [(1, 1500, 400), (3, 999, 301), (700, 40, 50), (131, 129, 65)] {
            for transpose in [[false, false], [false, true], [true, false], [true, true]] {
                equals_a_naive_loop(m, n, k, transpose);
            }
        }
    }
}
