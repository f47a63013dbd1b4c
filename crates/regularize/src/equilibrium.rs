//! Rotation and norm of scale-invariant weights: what weight decay settles at, and how norms grow without it.
//!
//! A loss `L(c·w) = L(w)` has `w·g = 0` and `g(c·w) = g(w)/c`, so a step of SGD lengthens the weight,
//! `‖w′‖² = ‖w‖² + η²‖g‖²`, and decay shortens it; they balance at the values below (arXiv 2305.17212).
//! The formulas hold for random gradients and a constant learning rate, after a few times the relaxation time:
//! [`sgd_relaxation`], [`adamw_relaxation`].
//!
//! `lr` is η, `decay` λ, `momentum` μ, `gradient_square` is `L_g = E‖g̃‖²` of the scale-free gradient
//! `g̃ = ‖w‖·g`; rotations are angles in radians per step.

/// Rotation per step of SGD with momentum and coupled weight decay in equilibrium: `√(2ηλ/(1+μ))`.
pub fn sgd_rotation(lr: f64, decay: f64, momentum: f64) -> f64 {
    (2.0 * lr * decay / (1.0 + momentum)).sqrt()
}

/// Norm of a weight under SGD with momentum and coupled weight decay in equilibrium:
/// `‖w‖⁴ = η·L_g / (λ(1−μ)(2 − ηλ/(1+μ)))`.
pub fn sgd_norm(lr: f64, decay: f64, momentum: f64, gradient_square: f64) -> f64 {
    (lr * gradient_square / (decay * (1.0 - momentum) * (2.0 - lr * decay / (1.0 + momentum)))).sqrt().sqrt()
}

/// Rotation per step of AdamW in equilibrium: `√(2ηλ(1−β₁)/(1+β₁))`.
pub fn adamw_rotation(lr: f64, decay: f64, beta1: f64) -> f64 {
    (2.0 * lr * decay * (1.0 - beta1) / (1.0 + beta1)).sqrt()
}

/// Norm of a weight of `dimension` values under AdamW in equilibrium, about `√(ηd/2λ)`.
pub fn adamw_norm(lr: f64, decay: f64, dimension: f64) -> f64 {
    (lr * dimension / (2.0 * decay)).sqrt()
}

/// Steps in which the distance of `‖w‖⁴` from its equilibrium shrinks by the factor e under SGD with momentum and coupled
/// weight decay: `(1−μ)/(4ηλ)`. With `η̂ = η/(1−μ)`, `‖w‖²` changes by `−2η̂λ‖w‖² + η̂²·(1−μ)·L_g/‖w‖²` a step, so
/// `‖w‖⁴` has the rate `4η̂λ`. A momentum of 0 gives decoupled decay: `1/(4ηλ)`.
pub fn sgd_relaxation(lr: f64, decay: f64, momentum: f64) -> f64 {
    (1.0 - momentum) / (4.0 * lr * decay)
}

/// Steps in which the distance of `‖w‖²` from its equilibrium shrinks by the factor e under AdamW: `1/(2ηλ)`. The norm of
/// Adam's update does not depend on that of the weight, so it is the square of the norm that relaxes.
pub fn adamw_relaxation(lr: f64, decay: f64) -> f64 {
    1.0 / (2.0 * lr * decay)
}

/// The learning rate at which SGD with momentum turns a weight of norm 1 as fast as weight decay `decay` at
/// `lr` does in equilibrium: `√(2ηλ(1−μ)/L_g)`. Times `‖w‖²` for another norm.
pub fn matched_sgd_lr(lr: f64, decay: f64, momentum: f64, gradient_square: f64) -> f64 {
    (2.0 * lr * decay * (1.0 - momentum) / gradient_square).sqrt()
}

/// The learning rate at which Adam turns a weight of norm 1 and `fan_in` values as fast as AdamW with `decay`
/// at `lr` does in equilibrium: `√(2ηλ/fan_in)`. Times `‖w‖` for another norm.
pub fn matched_adam_lr(lr: f64, decay: f64, fan_in: f64) -> f64 {
    (2.0 * lr * decay / fan_in).sqrt()
}

/// Norm after `steps` steps of SGD with momentum without decay, from `start`:
/// `‖w‖⁴ = ‖w₀‖⁴ + 2η²·L_g·t/(1−μ)²`.
pub fn sgd_growth(start: f64, lr: f64, momentum: f64, gradient_square: f64, steps: f64) -> f64 {
    let rate = lr / (1.0 - momentum);
    let square = start * start;
    (square * square + 2.0 * rate * rate * gradient_square * steps).sqrt().sqrt()
}
