//! Loops over the rows of a matrix that keep something per column in registers.

use kernels::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// What is done with each vector of columns.
pub(crate) trait Columns {
    /// What a vector of columns keeps while its rows pass.
    type State<S: Simd>: Copy;

    /// Before the first row; `columns` of them from `column` on.
    fn begin<S: Simd>(&self, simd: S, column: usize, columns: usize) -> Self::State<S>;

    /// One row's values: `columns` of them from `at` on, `at` counted from the first row's first column.
    fn row<S: Simd>(&mut self, simd: S, state: &mut Self::State<S>, at: usize, columns: usize);

    /// Behind the last row.
    fn end<S: Simd>(&mut self, simd: S, state: Self::State<S>, column: usize, columns: usize);
}

/// Calls `columns` for the columns `range` of `rows` rows of `width` values.
pub(crate) fn for_each<C: Columns>(
    kernels: Kernels,
    rows: usize,
    width: usize,
    range: std::ops::Range<usize>,
    columns: &mut C,
) {
    struct Loop<'a, C> {
        rows: usize,
        width: usize,
        range: std::ops::Range<usize>,
        columns: &'a mut C,
    }
    impl<C: Columns> WithSimd for Loop<'_, C> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            all_vectors(simd, self.rows, self.width, self.range, self.columns);
        }
    }
    kernels.run(Loop { rows, width, range, columns });
}

/// The loop of [`for_each`].
#[inline(always)]
fn all_vectors<S: Simd, C: Columns>(
    simd: S,
    rows: usize,
    width: usize,
    range: std::ops::Range<usize>,
    columns: &mut C,
) {
    let mut column = range.start;
    while column < range.end {
        let left = range.end - column;
        column += match left / S::F32_LANES {
            0 => vectors::<S, C, 1>(simd, rows, width, column, left, columns),
            1 => vectors::<S, C, 1>(simd, rows, width, column, S::F32_LANES, columns),
            2 | 3 => vectors::<S, C, 2>(simd, rows, width, column, S::F32_LANES, columns),
            _ => vectors::<S, C, 4>(simd, rows, width, column, S::F32_LANES, columns),
        };
    }
}

/// `V` vectors of `count` columns each; returns how many columns that were.
#[inline(always)]
fn vectors<S: Simd, C: Columns, const V: usize>(
    simd: S,
    rows: usize,
    width: usize,
    column: usize,
    count: usize,
    columns: &mut C,
) -> usize {
    let mut states: [C::State<S>; V] = std::array::from_fn(|v| columns.begin(simd, column + v * count, count));
    for row in 0..rows {
        for (v, state) in states.iter_mut().enumerate() {
            columns.row(simd, state, row * width + column + v * count, count);
        }
    }
    for (v, state) in states.into_iter().enumerate() {
        columns.end(simd, state, column + v * count, count);
    }
    V * count
}

/// A vector of `count` values from `at` on, zeros behind them.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, values: &[f32], at: usize, count: usize) -> S::f32s {
    let values = &values[at..at + count];
    match S::as_simd_f32s(values).0 {
        [vector] => *vector,
        _ => simd.partial_load_f32s(values),
    }
}

/// Stores the first `count` values of a vector from `at` on.
#[inline(always)]
pub(crate) fn save<S: Simd>(simd: S, values: &mut [f32], at: usize, count: usize, vector: S::f32s) {
    let values = &mut values[at..at + count];
    match S::as_mut_simd_f32s(values).0 {
        [to] => *to = vector,
        _ => simd.partial_store_f32s(values, vector),
    }
}

/// Rows that are summed in `f32` before they are added to an `f64` sum. With 128 of them, means and deviations of a batch
/// norm were up to nine times as far from those in `f64` as PyTorch's.
const ROWS: usize = 16;

/// Blocks of rows, at most, that the sums over a matrix are split into.
const BLOCKS: usize = 16;

/// A pair of terms of each value, to be summed per column.
pub(crate) trait Terms: Copy {
    /// What a vector of columns needs to know of its columns.
    type State<S: Simd>: Copy;

    /// See [`Columns::begin`].
    fn begin<S: Simd>(&self, simd: S, column: usize, columns: usize) -> Self::State<S>;

    /// The terms of `columns` values from `at` on; zeros behind them.
    fn terms<S: Simd>(&self, simd: S, state: Self::State<S>, at: usize, columns: usize) -> [S::f32s; 2];
}

struct Sum<'a, T> {
    terms: T,
    /// Offset of the first row.
    from: usize,
    totals: [&'a mut [f64]; 2],
    first: usize,
}

impl<T: Terms> Columns for Sum<'_, T> {
    type State<S: Simd> = (T::State<S>, [S::f32s; 2]);

    #[inline(always)]
    fn begin<S: Simd>(&self, simd: S, column: usize, columns: usize) -> Self::State<S> {
        (self.terms.begin(simd, column, columns), [simd.splat_f32s(0.0); 2])
    }

    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, (state, sums): &mut Self::State<S>, at: usize, columns: usize) {
        let [a, b] = self.terms.terms(simd, *state, self.from + at, columns);
        *sums = [simd.add_f32s(sums[0], a), simd.add_f32s(sums[1], b)];
    }

    #[inline(always)]
    fn end<S: Simd>(&mut self, simd: S, (_, sums): Self::State<S>, column: usize, columns: usize) {
        for (total, sum) in self.totals.iter_mut().zip(sums) {
            let mut lanes = [0f32; 16];
            save(simd, &mut lanes, 0, S::F32_LANES, sum);
            let total = &mut total[column - self.first..];
            let add = |(total, lane): (&mut f64, &f32)| *total += f64::from(*lane);
            // Of a constant number, vectors are made.
            match columns == S::F32_LANES {
                true => total[..S::F32_LANES].iter_mut().zip(&lanes[..S::F32_LANES]).for_each(add),
                false => total.iter_mut().zip(&lanes[..columns]).for_each(add),
            }
        }
    }
}

/// Sums over `rows` rows of `width` values, for the columns `range`, on this thread: added to `totals`, one
/// pair a column of the range.
pub(crate) fn sum_rows<T: Terms>(
    kernels: Kernels,
    rows: usize,
    width: usize,
    range: std::ops::Range<usize>,
    terms: T,
    totals: [&mut [f64]; 2],
) {
    struct Blocks<'a, T> {
        rows: usize,
        width: usize,
        range: std::ops::Range<usize>,
        terms: T,
        totals: [&'a mut [f64]; 2],
    }
    impl<T: Terms> WithSimd for Blocks<'_, T> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self { rows, width, range, terms, totals: [a, b] } = self;
            for start in (0..rows).step_by(ROWS) {
                let mut sum = Sum { terms, from: start * width, totals: [&mut *a, &mut *b], first: range.start };
                all_vectors(simd, ROWS.min(rows - start), width, range.clone(), &mut sum);
            }
        }
    }
    kernels.run(Blocks { rows, width, range, terms, totals });
}

/// Sums over all rows, all columns, on all threads; the blocks depend on the shape alone. `terms` gets the
/// first row of a block and how many there are.
pub(crate) fn sum<T: Terms>(
    kernels: Kernels,
    rows: usize,
    width: usize,
    terms: impl Fn(usize, usize) -> T + Sync,
) -> [Vec<f64>; 2] {
    let per_block = rows.div_ceil(BLOCKS).next_multiple_of(ROWS).max(1);
    let blocks: Vec<[Vec<f64>; 2]> = (0..rows.div_ceil(per_block))
        .into_par_iter()
        .map(|block| {
            let start = block * per_block;
            let count = per_block.min(rows - start);
            let mut totals = [vec![0f64; width], vec![0f64; width]];
            let [a, b] = &mut totals;
            sum_rows(kernels, count, width, 0..width, terms(start, count), [a, b]);
            totals
        })
        .collect();
    let mut totals = [vec![0f64; width], vec![0f64; width]];
    for block in &blocks {
        for (total, block) in totals.iter_mut().zip(block) {
            for (total, block) in total.iter_mut().zip(block) {
                *total += block;
            }
        }
    }
    totals
}

/// Values a task takes in elementwise passes, a whole number of rows of `width`; never 0.
pub(crate) fn chunk(width: usize) -> usize {
    let width = width.max(1);
    width * (16384 / width).max(1)
}

/// Sums of each column of a matrix with `width` columns.
pub(super) fn column_sums(kernels: Kernels, values: &[f32], width: usize) -> Vec<f32> {
    #[derive(Clone, Copy)]
    struct Column<'a>(&'a [f32]);
    impl Terms for Column<'_> {
        type State<S: Simd> = ();

        #[inline(always)]
        fn begin<S: Simd>(&self, _: S, _: usize, _: usize) {}

        #[inline(always)]
        fn terms<S: Simd>(&self, simd: S, (): (), at: usize, columns: usize) -> [S::f32s; 2] {
            [load(simd, self.0, at, columns), simd.splat_f32s(0.0)]
        }
    }
    let rows = values.len() / width.max(1);
    let [sums, _] = sum(kernels, rows, width, |start, count| Column(&values[start * width..][..count * width]));
    sums.iter().map(|sum| *sum as f32).collect()
}

/// Puts the columns of all `parts`, each of so many columns, side by side into rows of `y`.
pub(super) fn concat(parts: &[(&[f32], usize)], y: &mut [f32]) {
    let width: usize = parts.iter().map(|(_, columns)| columns).sum();
    if y.is_empty() {
        return;
    }
    let rows = chunk(width) / width;
    y.par_chunks_mut(rows * width).enumerate().for_each(|(index, y)| {
        let mut start = 0;
        for (x, columns) in parts.iter().filter(|(_, columns)| *columns > 0) {
            let x = &x[index * rows * columns..];
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(*columns)) {
                y[start..start + columns].copy_from_slice(x);
            }
            start += columns;
        }
    });
}

/// Takes `columns` columns from `start` on out of rows of `width` values, and writes them to `dx`, or adds them.
pub(super) fn split(dy: &[f32], width: usize, start: usize, columns: usize, dx: &mut [f32], add: bool) {
    if dx.is_empty() {
        return;
    }
    let rows = chunk(width) / width;
    dx.par_chunks_mut(rows * columns).zip(dy.par_chunks(rows * width)).for_each(|(dx, dy)| {
        for (dx, dy) in dx.chunks_exact_mut(columns).zip(dy.chunks_exact(width)) {
            let dy = &dy[start..start + columns];
            if add {
                dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
            } else {
                dx.copy_from_slice(dy);
            }
        }
    });
}
