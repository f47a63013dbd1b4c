//! The optimizer's step with its method, and weight standardization: one block a filter.

use crate::launch::{Launch, THREADS};

/// A row of the parameters: what the kernels read from a table on the device, 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C)]
pub struct FilterRow {
    /// Its first value.
    pub start: i64,
    /// Its values.
    pub len: i32,
    /// Decay of its weights.
    pub decay: f32,
    /// The norm that it is put back to after the step; negative for none.
    pub target: f32,
    /// Whether decay acts on the weight (1) or through the gradient (0).
    pub decoupled: i32,
    /// Whether its gradient is of the maps' type (1), as convolutions write it, or f32 (0).
    pub narrow: i32,
    /// Padding.
    pub unused: i32,
}

/// What schedules move: in device memory, so that a captured step sees it; 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C)]
pub struct Rates {
    /// Learning rate.
    pub lr: f32,
    /// Momentum, Adam's β₁.
    pub momentum: f32,
    /// Adam's β₂.
    pub beta2: f32,
    /// Adam's ε.
    pub eps: f32,
    /// Nesterov's momentum, 1 or 0.
    pub nesterov: i32,
    /// The step, from 1.
    pub step: i32,
}

/// Addresses of a step of SGD. All but the tables have the same layout.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sgd {
    /// Table of [`FilterRow`].
    pub rows: u64,
    /// [`Rates`].
    pub rates: u64,
    /// Gradients, f32.
    pub g: u64,
    /// Gradients of the maps' type.
    pub maps_g: u64,
    /// Momentum, f32.
    pub m: u64,
    /// Weights, f32.
    pub w: u64,
    /// The copy of the weights that convolutions read, of the maps' type; 0 for none.
    pub copy: u64,
    /// Norms of the rows before they are put back, f32.
    pub norms: u64,
}

impl Sgd {
    /// A step on `rows` rows.
    pub fn launch(&self, rows: usize) -> Launch {
        let Self { rows: table, rates, g, maps_g, m, w, copy, norms } = *self;
        Launch::new("step_sgd", [rows, 1, 1], [THREADS, 1, 1]).addresses([table, rates, g, maps_g, m, w, copy, norms])
    }
}

/// As [`Sgd`], with the second moments of Adam.
#[derive(Debug, Clone, Copy, Default)]
pub struct Adam {
    /// What it has in common with SGD.
    pub sgd: Sgd,
    /// Second moments, f32.
    pub s: u64,
}

impl Adam {
    /// A step on `rows` rows.
    pub fn launch(&self, rows: usize) -> Launch {
        let Sgd { rows: table, rates, g, maps_g, m, w, copy, norms } = self.sgd;
        let launch = Launch::new("step_adam", [rows, 1, 1], [THREADS, 1, 1]);
        launch.addresses([table, rates, g, maps_g, m, self.s, w, copy, norms])
    }
}

/// Counts [`Rates::step`] up: the last kernel of a captured step.
pub fn count_step(rates: u64) -> Launch {
    Launch::new("count_step", [1, 1, 1], [32, 1, 1]).address(rates)
}

/// Addresses of a weight standardization of rows of f32.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standardize {
    /// Weights.
    pub w: u64,
    /// Mean of each row.
    pub mean: u64,
    /// 1/(σ + eps) of each row.
    pub inverse: u64,
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub len: usize,
    /// Added to σ.
    pub eps: f32,
}

impl Standardize {
    /// `y = (w − mean)/(σ + eps)`, of the maps' type.
    pub fn forward(&self, y: u64) -> Launch {
        let launch = Launch::new("standardize", [self.rows, 1, 1], [THREADS, 1, 1]);
        launch.addresses([self.w, y, self.mean, self.inverse]).int(self.len).float(self.eps)
    }

    /// The gradient of w from `dy`, both f32.
    pub fn gradient(&self, dy: u64, dw: u64) -> Launch {
        let launch = Launch::new("standardize_gradient", [self.rows, 1, 1], [THREADS, 1, 1]);
        launch.addresses([self.w, dy, self.mean, self.inverse, dw]).int(self.len).float(self.eps)
    }
}
