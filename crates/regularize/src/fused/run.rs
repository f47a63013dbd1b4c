//! Rows of a parameter, and passes over them in parallel.

use kernels::Kernels;
use std::cell::RefCell;

/// Values of a task: enough to be worth a thread.
const TASK: usize = 1 << 15;

/// A parameter and its state, or a part of its rows. Slices without values stand for what there is none of.
pub(crate) struct Rows<'a> {
    /// Whose instructions compute.
    pub(crate) kernels: Kernels,
    /// Values of a row, at least 1; the last row may be shorter.
    pub(crate) len: usize,
    pub(crate) w: &'a mut [f32],
    pub(crate) g: &'a [f32],
    /// Momentum.
    pub(crate) m: &'a mut [f32],
    /// Second moment.
    pub(crate) v: &'a mut [f32],
    /// Updates, where they are kept between passes.
    pub(crate) u: &'a mut [f32],
    /// State with one value a row.
    pub(crate) row_state: &'a mut [f32],
    /// Target norms, one a row or one for all.
    pub(crate) targets: &'a [f32],
    /// What a pass says of each row.
    pub(crate) results: &'a mut [Sums],
}

/// Up to three sums over a row.
pub(crate) type Sums = [f64; 3];

/// What a pass sees of one row.
pub(super) struct Row<'a> {
    pub(super) w: &'a mut [f32],
    pub(super) g: &'a [f32],
    pub(super) m: &'a mut [f32],
    pub(super) v: &'a mut [f32],
    pub(super) u: &'a mut [f32],
    pub(super) row_state: Option<&'a mut f32>,
    pub(super) target: f64,
    pub(super) result: Option<&'a mut Sums>,
}

/// What is done with each row.
pub(super) trait Pass: Sync {
    fn row(&self, row: Row<'_>);
}

thread_local! {
    /// The update of a row, where it is not kept.
    static UPDATE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Does `pass` with all rows, in parallel.
pub(super) fn run(pass: &impl Pass, rows: Rows<'_>) {
    if rows.w.len() > TASK && rows.w.len() > rows.len {
        let (left, right) = rows.split();
        rayon::join(|| run(pass, left), || run(pass, right));
        return;
    }
    let longest = rows.len.min(rows.w.len());
    UPDATE.with_borrow_mut(|update| {
        if rows.u.is_empty() {
            update.resize(update.len().max(longest), 0.0);
        }
        rows.kernels.run(Each { pass, rows, update });
    });
}

/// A pass over rows, to be compiled for the machine's instructions.
struct Each<'a, 'b, P> {
    pass: &'a P,
    rows: Rows<'b>,
    update: &'a mut [f32],
}

impl<P: Pass> pulp::NullaryFnOnce for Each<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { pass, rows, update } = self;
        let Rows { len, w, g, m, v, u, row_state, targets, results, .. } = rows;
        let kept = !u.is_empty();
        let (mut g, mut m, mut v) = (g.chunks(len), m.chunks_mut(len), v.chunks_mut(len));
        let (mut u, mut row_state, mut results) = (u.chunks_mut(len), row_state.iter_mut(), results.iter_mut());
        for (index, w) in w.chunks_mut(len).enumerate() {
            let target = targets.get(if targets.len() == 1 { 0 } else { index }).map_or(0.0, |t| f64::from(*t));
            let u = if kept { u.next().unwrap_or_default() } else { &mut update[..w.len()] };
            let (m, v) = (m.next().unwrap_or_default(), v.next().unwrap_or_default());
            let g = g.next().unwrap_or_default();
            pass.row(Row { w, g, m, v, u, row_state: row_state.next(), target, result: results.next() });
        }
    }
}

impl<'a> Rows<'a> {
    /// The same rows, to be used again later, with other results.
    pub(super) fn reborrow<'b>(&'b mut self, results: &'b mut [Sums]) -> Rows<'b> {
        Rows { results, ..self.reborrow_all() }
    }

    pub(super) fn reborrow_all(&mut self) -> Rows<'_> {
        let Self { kernels, len, w, g, m, v, u, row_state, targets, results } = self;
        Rows { kernels: *kernels, len: *len, w, g, m, v, u, row_state, targets, results }
    }

    /// Two halves at the border of a row.
    fn split(self) -> (Self, Self) {
        fn cut<T>(values: &mut [T], at: usize) -> (&mut [T], &mut [T]) {
            if values.is_empty() { (&mut [], &mut []) } else { values.split_at_mut(at) }
        }
        let Self { kernels, len, w, g, m, v, u, row_state, targets, results } = self;
        let row = w.len().div_ceil(len).div_ceil(2);
        let at = row * len;
        let g = if g.is_empty() { (g, g) } else { g.split_at(at) };
        let (w, m, v, u) = (cut(w, at), cut(m, at), cut(v, at), cut(u, at));
        let (row_state, results) = (cut(row_state, row), cut(results, row));
        let targets = if targets.len() > 1 { targets.split_at(row) } else { (targets, targets) };
        (
            Self {
                kernels,
                len,
                w: w.0,
                g: g.0,
                m: m.0,
                v: v.0,
                u: u.0,
                row_state: row_state.0,
                targets: targets.0,
                results: results.0,
            },
            Self {
                kernels,
                len,
                w: w.1,
                g: g.1,
                m: m.1,
                v: v.1,
                u: u.1,
                row_state: row_state.1,
                targets: targets.1,
                results: results.1,
            },
        )
    }
}
