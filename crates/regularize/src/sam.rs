//! Sharpness-aware minimization.

use crate::error::Error;
use crate::in_place::square_of;
use crate::params::{Parameter, Params};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

/// Parameters that were moved to where the loss is worse, with what is needed to put them back.
///
/// Sharpness-aware minimization (SAM, arXiv 2010.01412, equations 2 and 3) takes the gradient for a step at
/// `w + ρ·g/‖g‖`, with the global norm of all gradients. Running statistics are put back too, so that the
/// second forward pass leaves no trace in them.
#[must_use = "the parameters stay moved until `restore`"]
pub struct Perturbed {
    params: Params,
    before: Vec<(Var, Tensor)>,
}

impl Perturbed {
    pub(crate) fn new(params: &Params, gradients: &GradStore, rho: f64) -> Result<Self, Error> {
        let mut square = 0.0;
        for Parameter { var, .. } in params.trainable() {
            if let Some(gradient) = gradients.get(&var) {
                square += square_of(gradient)?;
            }
        }
        let scale = rho / (square.sqrt() + 1e-12);
        let mut before = Vec::new();
        for Parameter { var, .. } in params.all() {
            // What has no gradient may be a statistic that the next forward pass moves.
            before.push((var.clone(), var.copy()?));
            if let Some(gradient) = gradients.get(&var) {
                var.set(&(var.as_tensor() + (gradient * scale)?)?)?;
            }
        }
        params.sync_half()?;
        Ok(Self { params: params.clone(), before })
    }

    /// Puts parameters and buffers back, bit for bit.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn restore(self) -> Result<(), Error> {
        for (var, before) in self.before {
            var.set(&before)?;
        }
        Ok(self.params.sync_half()?)
    }
}
