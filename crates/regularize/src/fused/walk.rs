//! The update of each value: one walk over a row's gradient and state.

use super::run::Row;
use crate::step::{Direction, Step};
use crate::sums::{BLOCK, LANES, sum_lanes};

/// What is done with the update of each value of a row, and summed over the row.
pub(super) trait Sink {
    fn walk(self, row: &mut Row<'_>, update: impl Fn(f32, f32, &mut f32, &mut f32) -> f32) -> f64;
}

/// Keeps updates in `u`, and sums `w·u`.
pub(super) struct Write;

impl Sink for Write {
    #[inline(always)]
    fn walk(self, row: &mut Row<'_>, update: impl Fn(f32, f32, &mut f32, &mut f32) -> f32) -> f64 {
        let Row { w, g, m, v, u, .. } = row;
        for_each::<true>(
            [w, u, m, v],
            g,
            #[inline(always)]
            move |w, u, g, m, v| {
                *u = update(*w, g, m, v);
                *w * *u
            },
        )
    }
}

/// Applies updates, `w ← w·shrink − rate·u`, and sums `w²`.
pub(super) struct Apply {
    pub(super) shrink: f32,
    pub(super) rate: f32,
}

impl Sink for Apply {
    #[inline(always)]
    fn walk(self, row: &mut Row<'_>, update: impl Fn(f32, f32, &mut f32, &mut f32) -> f32) -> f64 {
        let Self { shrink, rate } = self;
        let Row { w, g, m, v, .. } = row;
        for_each::<false>(
            [w, &mut [], m, v],
            g,
            #[inline(always)]
            move |w, _, g, m, v| {
                *w = *w * shrink - rate * update(*w, g, m, v);
                *w * *w
            },
        )
    }
}

/// Calls `f` with the values of a row, and sums what it says; `m` and `v` may be empty, and `u` is where `U`
/// says so.
#[inline(always)]
fn for_each<const U: bool>(
    [w, u, m, v]: [&mut [f32]; 4],
    g: &[f32],
    f: impl Fn(&mut f32, &mut f32, f32, &mut f32, &mut f32) -> f32,
) -> f64 {
    let (mut no_u, mut no_m, mut no_v) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let (w, w_tail) = w.as_chunks_mut::<LANES>();
    let (g, g_tail) = g.as_chunks::<LANES>();
    let (u, u_tail) = u.as_chunks_mut::<LANES>();
    let (m, m_tail) = m.as_chunks_mut::<LANES>();
    let (v, v_tail) = v.as_chunks_mut::<LANES>();
    let (mut u, mut m, mut v) = (u.iter_mut(), m.iter_mut(), v.iter_mut());
    let mut total = 0.0;
    for (w, g) in w.chunks_mut(BLOCK / LANES).zip(g.chunks(BLOCK / LANES)) {
        let mut lanes = [0.0f32; LANES];
        for (w, g) in w.iter_mut().zip(g) {
            // The compiler drops what is written to an array that nobody reads.
            let u = if U { u.next().unwrap_or(&mut no_u) } else { &mut [0.0; LANES] };
            let (m, v) = (m.next().unwrap_or(&mut no_m), v.next().unwrap_or(&mut no_v));
            for lane in 0..LANES {
                lanes[lane] += f(&mut w[lane], &mut u[lane], g[lane], &mut m[lane], &mut v[lane]);
            }
        }
        total += sum_lanes(lanes);
    }
    let at = |tail: &[f32], index: usize| tail.get(index).copied().unwrap_or_default();
    for (index, (w, g)) in w_tail.iter_mut().zip(g_tail).enumerate() {
        let (mut u, mut m, mut v) = (at(u_tail, index), at(m_tail, index), at(v_tail, index));
        total += f64::from(f(w, &mut u, *g, &mut m, &mut v));
        for (tail, value) in [(&mut *u_tail, u), (&mut *m_tail, m), (&mut *v_tail, v)] {
            if let Some(place) = tail.get_mut(index) {
                *place = value;
            }
        }
    }
    total
}

/// Walks over a row with the update of the step's direction, where `pull·w − mean` is added to the gradient.
#[inline(always)]
pub(super) fn walk(step: &Step, [pull, mean]: [f32; 2], row: &mut Row<'_>, sink: impl Sink) -> f64 {
    let clip = step.clip;
    let gradient = move |w: f32, g: f32| clip * g + pull * w - mean;
    match step.direction {
        Direction::Sgd { momentum, keep, take, nesterov } if !row.m.is_empty() => {
            if nesterov {
                sink.walk(
                    row,
                    #[inline(always)]
                    move |w, g, m, _| {
                        let g = gradient(w, g);
                        *m = keep * *m + take * g;
                        g + momentum * *m
                    },
                )
            } else {
                sink.walk(
                    row,
                    #[inline(always)]
                    move |w, g, m, _| {
                        *m = keep * *m + take * gradient(w, g);
                        *m
                    },
                )
            }
        }
        Direction::Adam { betas: [beta1, beta2], correction1, correction2, eps, nesterov } => {
            let (rest1, rest2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
            let (beta1, beta2) = (beta1 as f32, beta2 as f32);
            // A factor of 0 for the gradient leaves the momentum as it is.
            let (keep, take) = if nesterov { (beta1, rest1) } else { (1.0, 0.0) };
            sink.walk(
                row,
                #[inline(always)]
                move |w, g, m, v| {
                    let g = gradient(w, g);
                    *m = beta1 * *m + rest1 * g;
                    *v = beta2 * *v + rest2 * g * g;
                    let first = keep * *m + take * g;
                    first * correction1 / (v.sqrt() * correction2 + eps)
                },
            )
        }
        Direction::Sgd { .. } | Direction::Nero { .. } => sink.walk(
            row,
            #[inline(always)]
            move |w, g, _, _| gradient(w, g),
        ),
    }
}
