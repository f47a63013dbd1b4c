//! Elementwise loops over buffers.

use crate::kernels::Kernels;
use rayon::prelude::*;

/// Values a task takes.
pub(crate) const CHUNK: usize = 1 << 14;

/// `max(x, 0)` that keeps not-a-number, so that a diverging run is seen.
#[inline(always)]
pub(crate) fn rectify(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `sum += values`.
pub(crate) fn add_assign(sum: &mut [f32], values: &[f32]) {
    combine(Kernels::Portable, sum, values, |sum, value| *sum += value);
}

/// Applies `f` to each pair of values; `f` must not depend on vector width.
pub(crate) fn combine(kernels: Kernels, to: &mut [f32], from: &[f32], f: impl Fn(&mut f32, f32) + Sync) {
    to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| {
        kernels.run(
            #[inline(always)]
            || {
                for (to, from) in to.iter_mut().zip(from) {
                    f(to, *from);
                }
            },
        );
    });
}

/// As [`combine`], with two sources.
pub(crate) fn combine2(kernels: Kernels, to: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(&mut f32, f32, f32) + Sync) {
    to.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((to, a), b)| {
        kernels.run(
            #[inline(always)]
            || {
                for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
                    f(to, *a, *b);
                }
            },
        );
    });
}
