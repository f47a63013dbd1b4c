//! Weight rescaling.

use crate::error::Error;
use crate::in_place::{change, sum_of_squares};
use crate::params::{Normalization, Parameter, Role};
use candle_core::Var;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Weight rescaling (WRS, arXiv 2102.03497): before the first step, and after each step where the
/// interval says so, every scale-invariant weight is scaled back to its target norm,
/// `w ← target · w / ‖w‖`, and the base optimizer does not decay it.
///
/// Running mean, running variance and bias behind the weight are scaled with it, so evaluation does not
/// change. A weight of norm below 1e-12 is left alone. The defaults are our reading where the paper's
/// public text is silent; per filter and step they equal the projection of arXiv 1710.02338.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wrs {
    /// What has a norm of its own.
    pub granularity: Granularity,
    /// The norm to return to.
    pub target: Target,
    /// When.
    pub interval: Interval,
    /// What happens to the momentum.
    pub state: MomentumState,
}

impl Default for Wrs {
    fn default() -> Self {
        Self {
            granularity: Granularity::Filter,
            target: Target::Unit,
            interval: Interval::Steps(1),
            state: MomentumState::Keep,
        }
    }
}

/// What has a norm of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// Each row of dimension 0: what makes one output channel.
    Filter,
    /// The whole weight. Each of `C` filters then has norm `1/√C` in the mean and turns `C` times as fast.
    Layer,
}

/// The norm that a filter or layer returns to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// 1.
    Unit,
    /// Its norm when the optimizer was made.
    Init,
    /// The square root of its number of values, so that their root mean square is 1.
    RmsOne,
    /// This number.
    Constant(f64),
}

/// When weights are rescaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// After each so many steps.
    Steps(u64),
    /// After each so many epochs.
    Epochs(u64),
}

/// What happens to the momentum of a weight that is scaled by `c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MomentumState {
    /// Nothing.
    Keep,
    /// It is divided by `c`, as the gradient of a scale-invariant weight is.
    Rescale,
    /// Its part along the weight is removed.
    Project,
}

/// Below this norm a direction is noise.
const SMALLEST: f64 = 1e-12;

impl Wrs {
    pub(crate) fn problem(&self) -> Option<String> {
        match (self.target, self.interval) {
            (Target::Constant(norm), _) if !(norm.is_finite() && norm > 0.0) => {
                Some(format!("`target` must be a number above 0, found {norm}"))
            }
            (_, Interval::Steps(0) | Interval::Epochs(0)) => Some("`interval` must be at least 1".into()),
            _ => None,
        }
    }

    /// The target norms of `parameter` as it is now: one a filter, or one for the layer.
    pub(crate) fn targets(&self, parameter: &Parameter) -> Result<Vec<f64>, Error> {
        let len = self.row_length(parameter);
        Ok(change(&parameter.var, |w| {
            w.chunks_exact(len.max(1))
                .map(|row| match self.target {
                    Target::Unit => 1.0,
                    Target::Init => sum_of_squares(row).sqrt(),
                    Target::RmsOne => (len as f64).sqrt(),
                    Target::Constant(norm) => norm,
                })
                .collect()
        })?)
    }

    /// Scales the rows of `parameter` to norms `targets`, and what hangs on them with them.
    /// `momentum` is empty or as long as the weight.
    pub(crate) fn rescale(&self, parameter: &Parameter, targets: &[f64], momentum: &mut [f32]) -> Result<(), Error> {
        let Role::ScaleInvariant(normalization) = &parameter.role else { return Ok(()) };
        let len = self.row_length(parameter).max(1);
        let factors: Vec<f64> = change(&parameter.var, |w| {
            let mut factors = vec![1.0; targets.len()];
            // Small weights are not worth a second thread.
            let least = (1 << 16) / len;
            let rows = w.par_chunks_exact_mut(len).with_min_len(least.max(1)).zip(targets).zip(&mut factors);
            if momentum.is_empty() {
                rows.for_each(|((row, target), factor)| *factor = scale(row, *target));
            } else {
                rows.zip(momentum.par_chunks_exact_mut(len)).for_each(|(((row, target), factor), momentum)| {
                    *factor = scale(row, *target);
                    self.carry(row, *factor, momentum);
                });
            }
            factors
        })?;
        rescale_statistics(normalization, &factors)
    }

    fn row_length(&self, parameter: &Parameter) -> usize {
        let filters = match self.granularity {
            Granularity::Layer => 1,
            Granularity::Filter => parameter.var.dims().first().copied().unwrap_or(1),
        };
        parameter.var.elem_count() / filters.max(1)
    }

    fn carry(&self, row: &[f32], factor: f64, momentum: &mut [f32]) {
        match self.state {
            MomentumState::Keep => {}
            MomentumState::Rescale => {
                for m in momentum {
                    *m = (f64::from(*m) / factor) as f32;
                }
            }
            MomentumState::Project => {
                let square = sum_of_squares(row);
                if square < SMALLEST * SMALLEST {
                    return;
                }
                let dot: f64 = row.iter().zip(momentum.iter()).map(|(w, m)| f64::from(*w) * f64::from(*m)).sum();
                for (m, w) in momentum.iter_mut().zip(row) {
                    *m = (f64::from(*m) - dot / square * f64::from(*w)) as f32;
                }
            }
        }
    }
}

/// Scales `row` to norm `target` and returns the factor; leaves a row of no direction alone.
fn scale(row: &mut [f32], target: f64) -> f64 {
    let norm = sum_of_squares(row).sqrt();
    if norm.is_nan() || norm < SMALLEST {
        return 1.0;
    }
    let factor = target / norm;
    for w in row {
        *w = (f64::from(*w) * factor) as f32;
    }
    factor
}

/// Follows weights that were scaled by `factors`: one a channel, or one for all.
fn rescale_statistics(normalization: &Normalization, factors: &[f64]) -> Result<(), Error> {
    let scale = |var: &Var, power: i32| {
        change(var, |values| {
            for (channel, value) in values.iter_mut().enumerate() {
                let factor = factors[if factors.len() == 1 { 0 } else { channel }];
                *value = (f64::from(*value) * factor.powi(power)) as f32;
            }
        })
    };
    scale(&normalization.running_mean, 1)?;
    scale(&normalization.running_var, 2)?;
    if let Some(bias) = &normalization.bias {
        scale(bias, 1)?;
    }
    Ok(())
}
