//! One step on one parameter, in numbers: what [`crate::plan`] makes of an optimizer and a method, and what
//! [`crate::fused`] and [`crate::tensors`] take.
//!
//! The rules exist three times: as kernels, as tensor operations for other devices, and in the tests as `f64` loops
//! that were written independently. All pairs of optimizer and method must agree.

use crate::method::{Filter, Granularity, MomentumState, NormRule};
use crate::sums::SMALLEST;

/// How weights are put back to their norms: times `strength · target/(‖w‖ + eps) + (1 − strength)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rescale {
    pub(crate) granularity: Granularity,
    /// Whether it comes before the update, rather than after it.
    pub(crate) first: bool,
    pub(crate) strength: f64,
    pub(crate) eps: f64,
    /// Whether the mean of each row is removed first: before the first step, and after each.
    pub(crate) center: Center,
    pub(crate) state: MomentumState,
    /// Whether running statistics behind the weight follow; not where the network sees a normalized weight.
    pub(crate) rescale_statistics: bool,
    /// What says the factor instead.
    pub(crate) rule: Option<Ruled>,
}

/// A rule for the norms of filters, and what it is told of them besides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ruled {
    pub(crate) rule: &'static dyn NormRule,
    pub(crate) len: usize,
    pub(crate) lr: f64,
    /// 0 before the first step, where nothing is scaled.
    pub(crate) step: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Center {
    Never,
    AtStart,
    Always,
}

/// One step on one parameter, in numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) direction: Direction,
    /// Factor of the gradient.
    pub(crate) clip: f32,
    /// λ of `λ·w`, added to the gradient.
    pub(crate) coupled: f32,
    /// Whether the gradient's part along each row of the weight is removed.
    pub(crate) riemannian: bool,
    /// Whether the gradient's mean over each row, decay included, is removed.
    pub(crate) centered: bool,
    pub(crate) projection: Option<Projection>,
    /// `η·λ`: the weight is multiplied with one minus this before the update.
    pub(crate) decoupled: f64,
    /// `η·λ` where update and weight agree in sign.
    pub(crate) cautious: f32,
    pub(crate) lr: f32,
    pub(crate) applied: Applied,
    pub(crate) rescale: Option<Rescale>,
}

/// How a gradient becomes an update `u`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    /// `b ← keep·b + take·g`; `u = b`, or `g + momentum·b`.
    Sgd { momentum: f32, keep: f32, take: f32, nesterov: bool },
    /// `u = m·correction1 / (√v·correction2 + eps)`, with Nesterov's `β₁·m + (1−β₁)·g` in place of `m`.
    Adam { betas: [f64; 2], correction1: f32, correction2: f32, eps: f32, nesterov: bool },
    /// `s ← β·s + (1−β)·‖g‖²` per row; `u = g·scale/√(s·correction)`.
    Nero { beta: f64, correction: f64, scale: f64 },
}

/// When and how the part of an update along the weight is removed (arXiv 2006.08217).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projection {
    pub(crate) delta: f64,
    pub(crate) eps: f64,
    pub(crate) wd_ratio: f64,
    /// Whether the momentum itself is projected.
    pub(crate) in_place: bool,
}

/// How an update is applied in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Applied {
    Straight,
    /// Every row turns by `angle` in the mean; the mean squared update, one a row, is times `correction`.
    Rotational {
        angle: f64,
        zero_mean: bool,
        correction: f64,
    },
    /// The layer's update is normalized; η is the angle.
    Hyperball,
    /// The layer's update becomes a matrix with singular values of about 1, by so many steps of Newton and Schulz.
    Orthogonal {
        iterations: u32,
    },
}

/// Decay rate of the mean squared update of rotational variants.
pub(crate) const UPDATE_NORM_DECAY: f64 = 0.9;

impl Step {
    /// Whether values of a row depend on each other.
    pub(crate) fn by_rows(&self) -> bool {
        self.projection.is_some() || self.rescale.is_some() || self.updates_by_rows()
    }

    /// Whether the update of a value depends on other values of its row, projections aside.
    pub(crate) fn updates_by_rows(&self) -> bool {
        self.riemannian
            || self.centered
            || !matches!(self.applied, Applied::Straight)
            || matches!(self.direction, Direction::Nero { .. })
    }
}

impl Rescale {
    /// The factor that a weight of norm `norm` is multiplied with; 1 where it, or its target, has no direction.
    pub(crate) fn factor(&self, norm: f64, target: f64) -> f64 {
        if norm.is_nan() || norm < SMALLEST || target < SMALLEST {
            return 1.0;
        }
        match self.rule {
            Some(Ruled { step: 0, .. }) => 1.0,
            Some(Ruled { rule, len, lr, step }) => rule.factor(&Filter { norm, start: target, len, lr, step }),
            None => self.strength * target / (norm + self.eps) + (1.0 - self.strength),
        }
    }
}
