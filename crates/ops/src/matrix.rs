//! Matrix products over slices: the only `unsafe` of the crate.
#![allow(unsafe_code, reason = "gemm takes pointers; the bounds are checked here, once")]

/// A read-only matrix in a slice: element (r, c) is `values[r * row_stride + c * column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

/// One more than the largest index of a matrix, 0 for an empty one.
fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values that start `row_stride` apart.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(extent(rows, columns, row_stride, 1) <= values.len(), "matrix larger than its slice");
        Self { values, rows, columns, row_stride, column_stride: 1 }
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

/// `out = a·b`, or `out += a·b` with `add`; rows of `out` start `row_stride` apart. One thread.
pub(crate) fn multiply(out: &mut [f32], row_stride: usize, add: bool, a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(a.columns, b.rows, "inner dimensions differ");
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert!(n <= row_stride, "rows of the product overlap");
    assert!(extent(m, n, row_stride, 1) <= out.len(), "product larger than its slice");
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: gemm reads element (i, j) of `a` (m×k) and `b` (k×n) and writes element (i, j) of `out`
    // (m×n) at the strides given. `Matrix::new` has checked that the last element of each operand
    // lies in its slice (transposing swaps strides with sizes and keeps the set of indices), the
    // assertion above has checked it for `out`, and rows of `out` do not overlap. The slices are
    // borrowed for the call, `out` exclusively, so they neither move nor alias. Strides fit isize
    // because they are at most a slice's length or multiply no index (sizes of 1).
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            row_stride as isize,
            add,
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

    proptest! {
        #[test]
        fn products_equal_a_naive_loop(m in 0usize..20, n in 0usize..20, k in 0usize..40, gap in 0usize..4,
                                       transpose in any::<[bool; 2]>(), add in any::<bool>()) {
            let fill = |len: usize, by: usize| (0..len).map(|i| ((i * by) % 13) as f32 - 6.0).collect::<Vec<_>>();
            let (ra, ca) = if transpose[0] { (k, m) } else { (m, k) };
            let (rb, cb) = if transpose[1] { (n, k) } else { (k, n) };
            let (va, vb) = (fill(ra * (ca + gap), 7), fill(rb * (cb + gap), 5));
            let (mut a, mut b) = (Matrix::new(&va, ra, ca, ca + gap), Matrix::new(&vb, rb, cb, cb + gap));
            if transpose[0] { a = a.transposed() }
            if transpose[1] { b = b.transposed() }
            let stride = n + gap;
            let mut out = fill(m * stride, 3);
            let before = out.clone();
            multiply(&mut out, stride, add, a, b);
            for i in 0..m {
                for j in 0..stride {
                    let old = before[i * stride + j];
                    let expected = if j >= n { old } else {
                        let dot: f32 = (0..k).map(|l| va[i * a.row_stride + l * a.column_stride] * vb[l * b.row_stride + j * b.column_stride]).sum();
                        if add { old + dot } else { dot }
                    };
                    prop_assert_eq!(out[i * stride + j], expected);
                }
            }
        }
    }
}
