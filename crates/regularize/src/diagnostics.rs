//! How the norms and directions of scale-invariant weights move.

use crate::error::Error;
use crate::in_place::{read, square_of};
use crate::optimizer::Optimizer;
use crate::params::{Parameter, Params, Role};
use crate::sums::square;
use candle_core::Device;
use candle_core::backprop::GradStore;

/// The scale-invariant weights before a step, to be compared with those after it.
pub struct Before(Vec<Layer>);

struct Layer {
    parameter: Parameter,
    weight: Vec<f32>,
    gradient_norm: f64,
}

/// How one scale-invariant weight moved in a step.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorms {
    /// Name of the weight.
    pub name: String,
    /// Norm of the whole weight after the step.
    pub weight_norm: f64,
    /// Norm of its smallest filter.
    pub filter_norm_min: f64,
    /// Norm of its median filter.
    pub filter_norm_median: f64,
    /// Norm of the loss gradient, without decay.
    pub gradient_norm: f64,
    /// [`Optimizer::effective_lr`] of the median filter: η/‖f‖² for SGD, η/‖f‖ for Adam.
    pub effective_lr: f64,
    /// Median over filters of the angle, in radians, between the filter before and after the step.
    pub rotation: f64,
}

impl Before {
    /// Copies the scale-invariant weights of `params`.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn new(params: &Params, gradients: &GradStore) -> Result<Self, Error> {
        let full = params.full_gradients(gradients)?;
        let gradients = full.as_ref().unwrap_or(gradients);
        let invariant = params.trainable().into_iter().filter(|p| matches!(p.role, Role::ScaleInvariant(_)));
        let layer = |parameter: Parameter| {
            let cpu = parameter.var.to_device(&Device::Cpu)?;
            let gradient_norm = match gradients.get(&parameter.var) {
                Some(gradient) => square_of(gradient)?.sqrt(),
                None => 0.0,
            };
            Ok(Layer { weight: read(&cpu, <[f32]>::to_vec)?, gradient_norm, parameter })
        };
        Ok(Self(invariant.map(layer).collect::<Result<_, Error>>()?))
    }

    /// Compares with the weights after a step at learning rate `lr`.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn after(self, optimizer: &Optimizer, lr: f64) -> Result<Vec<LayerNorms>, Error> {
        let compare = |layer: Layer| {
            let filters = layer.parameter.var.dims().first().copied().unwrap_or(1).max(1);
            let len = (layer.weight.len() / filters).max(1);
            read(&layer.parameter.var.to_device(&Device::Cpu)?, |after| {
                let norms: Vec<f64> = after.chunks_exact(len).map(|f| square(f).sqrt()).collect();
                let rows = layer.weight.chunks_exact(len).zip(after.chunks_exact(len));
                let filter_norm_median = median(norms.clone());
                LayerNorms {
                    name: layer.parameter.name.clone(),
                    weight_norm: square(after).sqrt(),
                    filter_norm_min: norms.iter().copied().fold(f64::INFINITY, f64::min),
                    filter_norm_median,
                    gradient_norm: layer.gradient_norm,
                    effective_lr: optimizer.effective_lr(&layer.parameter.name, lr, filter_norm_median),
                    rotation: median(rows.map(|(a, b)| angle(a, b)).collect()),
                }
            })
        };
        Ok(self.0.into_iter().map(compare).collect::<Result<_, _>>()?)
    }
}

impl Params {
    /// The norm of each filter of the scale-invariant weights, in their order.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn filter_norms(&self) -> Result<Vec<f64>, Error> {
        let mut norms = Vec::new();
        for Parameter { var, .. } in self.trainable().iter().filter(|p| matches!(p.role, Role::ScaleInvariant(_))) {
            let filters = var.dims().first().copied().unwrap_or(1).max(1);
            let len = (var.elem_count() / filters).max(1);
            norms.extend(read(&var.to_device(&Device::Cpu)?, |values| {
                values.chunks_exact(len).map(|f| square(f).sqrt()).collect::<Vec<_>>()
            })?);
        }
        Ok(norms)
    }
}

/// The middle value, or the mean of the two middle ones; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => values[n / 2],
        _ => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// The angle between two vectors in radians, exact also where it is tiny (Kahan): with unit vectors
/// `u`, `v` it is `2·atan2(‖u − v‖, ‖u + v‖)`. 0 where one of them is 0.
fn angle(a: &[f32], b: &[f32]) -> f64 {
    let (norm_a, norm_b) = (square(a).sqrt(), square(b).sqrt());
    if norm_a == 0.0 || norm_b == 0.0 {
        return 0.0;
    }
    let (mut apart, mut together) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (u, v) = (f64::from(*a) / norm_a, f64::from(*b) / norm_b);
        apart += (u - v) * (u - v);
        together += (u + v) * (u + v);
    }
    2.0 * libm::atan2(apart.sqrt(), together.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles() {
        assert!((angle(&[1.0, 0.0], &[0.0, 3.0]) - std::f64::consts::FRAC_PI_2).abs() < 1e-12);
        assert!((angle(&[1.0, 0.0], &[-2.0, 0.0]) - std::f64::consts::PI).abs() < 1e-12);
        assert!((angle(&[1.0, 0.0], &[1.0, 1e-6]) - f64::from(1e-6f32)).abs() < 1e-15);
        assert_eq!(angle(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
