//! Elementwise loops over buffers.

use crate::activation::Activation;
use kernels::Kernels;
use rayon::prelude::*;

/// Values a task takes.
pub(crate) const CHUNK: usize = 1 << 14;

/// `max(x, 0)` that keeps not-a-number, so that a diverging run is seen.
#[inline(always)]
pub(crate) fn rectify(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
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

/// `y = f(x)`.
pub(super) fn activate(kernels: Kernels, f: Activation, x: &[f32], y: &mut [f32]) {
    match f {
        Activation::Relu => combine(kernels, y, x, |y, x| *y = rectify(x)),
        Activation::Relu6 => combine(kernels, y, x, |y, x| *y = if x > 6.0 { 6.0 } else { rectify(x) }),
        Activation::LeakyRelu { negative_slope } => {
            combine(kernels, y, x, |y, x| *y = if x > 0.0 { x } else { negative_slope * x });
        }
    }
}

/// Replaces `dy` by the gradient of the input of `f`.
pub(super) fn activate_backward(kernels: Kernels, f: Activation, kept: &[f32], dy: &mut [f32]) {
    match f {
        Activation::Relu => combine(kernels, dy, kept, |dy, y| *dy = if y <= 0.0 { 0.0 } else { *dy }),
        Activation::Relu6 => {
            combine(kernels, dy, kept, |dy, y| *dy = if y <= 0.0 || y >= 6.0 { 0.0 } else { *dy });
        }
        // What is kept has the sign of the input.
        Activation::LeakyRelu { negative_slope } => {
            combine(kernels, dy, kept, |dy, kept| *dy = if kept > 0.0 { *dy } else { negative_slope * *dy });
        }
    }
}
