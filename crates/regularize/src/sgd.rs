//! Stochastic gradient descent.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent with momentum, as `torch.optim.SGD`:
///
/// `g ← ∇L + λ·w`; `b ← g` at the first step, then `b ← μ·b + (1 − dampening)·g`;
/// `d ← g + μ·b` with Nesterov's momentum, else `d ← b`; `w ← w − η·d`. The decay `λ` of each
/// parameter comes from the method.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Learning rate η before the schedule.
    pub lr: f64,
    /// Momentum μ; 0 for none.
    pub momentum: f64,
    /// Share of the gradient that is left out of the momentum.
    pub dampening: f64,
    /// Nesterov's momentum; needs `momentum > 0` and `dampening = 0`.
    pub nesterov: bool,
    /// Gradients are scaled down to this global norm where theirs is larger, before decay is added, as
    /// `torch.nn.utils.clip_grad_norm_`; `None` never.
    pub clip_norm: Option<f64>,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, clip_norm: None }
    }
}

/// Values that a task updates: enough to be worth a task.
const CHUNK: usize = 1 << 15;

impl Sgd {
    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let finite = |v: f64| v.is_finite() && v >= 0.0;
        if !finite(self.lr) {
            return Some(format!("`lr` must be a number of at least 0, found {}", self.lr));
        }
        if !finite(self.momentum) || self.momentum >= 1.0 {
            return Some(format!("`momentum` must be at least 0 and below 1, found {}", self.momentum));
        }
        if !self.dampening.is_finite() {
            return Some(format!("`dampening` must be a number, found {}", self.dampening));
        }
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Some("`nesterov` needs `momentum` above 0 and `dampening` of 0".into());
        }
        match self.clip_norm {
            Some(norm) if !(norm.is_finite() && norm > 0.0) => {
                Some(format!("`clip_norm` must be a number above 0, found {norm}"))
            }
            _ => None,
        }
    }

    /// Updates `w` with the gradient `g` scaled by `clip`; `buffer` is empty before the first step.
    pub(crate) fn update(&self, w: &mut [f32], buffer: &mut Vec<f32>, g: &[f32], clip: f32, lr: f64, decay: f64) {
        let (lr, decay) = (lr as f32, decay as f32);
        let gradient = |w: f32, g: f32| if decay == 0.0 { g * clip } else { g * clip + decay * w };
        if self.momentum == 0.0 {
            w.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).for_each(|(w, g)| {
                for (w, g) in w.iter_mut().zip(g) {
                    *w -= lr * gradient(*w, *g);
                }
            });
            return;
        }
        let momentum = self.momentum as f32;
        let (keep, take) = match buffer.is_empty() {
            true => {
                buffer.resize(w.len(), 0.0);
                (0.0, 1.0)
            }
            false => (momentum, (1.0 - self.dampening) as f32),
        };
        let chunks = w.par_chunks_mut(CHUNK).zip(buffer.par_chunks_mut(CHUNK)).zip(g.par_chunks(CHUNK));
        chunks.for_each(|((w, b), g)| {
            for ((w, b), g) in w.iter_mut().zip(b).zip(g) {
                let g = gradient(*w, *g);
                *b = keep * *b + take * g;
                *w -= lr * if self.nesterov { g + momentum * *b } else { *b };
            }
        });
    }
}
