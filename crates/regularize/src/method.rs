//! The methods that are compared: what keeps, or does not keep, the norm of a weight in bounds.

mod check;
mod list;
mod norm_rule;

pub use list::{METHODS, MethodInfo};
pub use norm_rule::{Filter, NormRule};

use crate::error::Error;
use crate::list::{info_of, read_named};
use crate::table::{self, NoSettings, Table};
use serde::{Deserialize, Serialize};

/// A way to regularize weights, combined with a base optimizer by [`crate::Optimizer`].
///
/// All methods give parameters that are not scale-invariant the optimizer's `rest_decay`, in the form of the optimizer's
/// family: coupled for SGD, SGDP and Muon, decoupled for Adam, AdamW, AdamP and Nero. So rows of a family differ in nothing
/// else; only weight decay on everything replaces it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Nothing holds the norm of scale-invariant weights: the control.
    None,
    /// See [`WeightDecay`].
    WeightDecay(WeightDecay),
    /// See [`Wrs`].
    Wrs(Wrs),
    /// See [`Pbwn`].
    Pbwn(Pbwn),
    /// See [`GradientCentralization`].
    GradientCentralization(GradientCentralization),
    /// See [`WeightStandardization`].
    WeightStandardization(WeightStandardization),
    /// See [`WeightNormalization`].
    WeightNormalization(WeightNormalization),
    /// EDM2's forced weight normalization (arXiv 2312.02696, appendix B.4): before each forward pass every
    /// stored filter is divided by `1e-4 + rms`, and the network sees `w / (1e-4 + rms) / √n` with `n` values
    /// a filter, differentiably.
    ForcedWeightNormalization,
    /// See [`SoftWeightRescaling`].
    SoftWeightRescaling(SoftWeightRescaling),
    /// See [`WeightNormControl`].
    WeightNormControl(WeightNormControl),
    /// Hyperball (arXiv 2606.16899): update and weight of each layer are normalized,
    /// `W ← ‖W₀‖·norm(W − η·‖W₀‖·norm(u))`, so that η is the angle of a step.
    Hyperball,
    /// See [`Rotational`].
    Rotational(Rotational),
    /// Made by [`Method::norm_rule`]; see [`NormRule`].
    NormRule(&'static dyn NormRule),
}

/// Weight decay in one of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightDecay {
    /// Strength λ.
    pub decay: f64,
    /// Which parameters decay with λ.
    pub scope: Scope,
    /// How the decay enters the step.
    pub form: Form,
}

impl Default for WeightDecay {
    fn default() -> Self {
        Self { decay: 5e-4, scope: Scope::Everything, form: Form::Own }
    }
}

/// Which parameters a weight decay acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All trainable parameters, γ, β and biases too: the common default of deep-learning libraries.
    /// `rest_decay` is then without effect.
    Everything,
    /// Scale-invariant weights; the others decay with `rest_decay`.
    ScaleInvariant,
}

/// How a decay enters a step with update `u` (`w ← w − η·u` without decay).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As the base optimizer has it: coupled for SGD and Adam, decoupled for AdamW, SGDP, AdamP and Nero.
    Own,
    /// `λ·w` is added to the gradient, before momentum and moments.
    Coupled,
    /// `w ← w·(1 − η·λ)` before the update (arXiv 1711.05101).
    Decoupled,
    /// `w ← w − η·(u + λ·[u·w ≥ 0]·w)`, value by value (arXiv 2510.12402).
    Cautious,
    /// `w ← w·(1 − η²/η_max·λ)` on scale-invariant weights, which keeps their effective rate from rising at
    /// the end of a schedule (SGDC, AdamC, arXiv 2506.02285); decoupled on the others. `η_max` is the
    /// optimizer's `lr` before the schedule. (arXiv 2512.08217 derives the same scaling otherwise, and disputes that
    /// updates are orthogonal to weights.)
    Corrected,
    /// Stable weight decay (SGDS, AdamS, arXiv 2011.11152): decoupled, in proportion to the effective learning rate.
    /// `w ← w·(1 − η·λ·(1 − dampening)/(1 − μ))` under SGD, `w ← w·(1 − η·λ/√v̄)` under Adam and AdamW, with `v̄` the
    /// mean of `v̂` over the values of all parameters that have a gradient.
    Stable,
}

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
    /// The learning rate of rescaled weights.
    pub rate: Rate,
}

impl Default for Wrs {
    fn default() -> Self {
        Self {
            granularity: Granularity::Filter,
            target: Target::Unit,
            interval: Interval::Steps(1),
            state: MomentumState::Keep,
            rate: Rate::Own,
        }
    }
}

/// What has a norm of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// Each row of dimension 0: what makes one output channel.
    Filter,
    /// The whole weight. Each of `C` filters then has norm `1/√C` in the mean and turns `C` times as fast
    /// under SGD, `√C` times under Adam.
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
    /// The square root of its number of values, so that their root mean square is 1. Under Adam, filters of
    /// all sizes then turn equally fast.
    RmsOne,
    /// The square root of its number of filters, so that the root mean square of their norms is 1: for layers, which then
    /// turn as fast as filters of norm 1 do.
    RootFilters,
    /// This number.
    Constant(f64),
}

/// When weights are rescaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// After each so many steps.
    Steps(u64),
    /// Between epochs, after each so many; see [`crate::Optimizer::begin_epoch`].
    Epochs(u64),
}

/// What happens to the state of the optimizer for a weight that is scaled by `c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MomentumState {
    /// Nothing.
    Keep,
    /// Momentum is divided by `c`, as the gradient of a scale-invariant weight is, and Adam's second moment
    /// by `c²`.
    Rescale,
    /// The part of the momentum along the weight is removed.
    Project,
}

/// The learning rate of rescaled weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// That of the base optimizer.
    Own,
    /// The one at which weights turn as fast as they do in the equilibrium of the base optimizer with the
    /// weight decay given here, so that a comparison with weight decay is not one of learning rates. The
    /// schedule's factor applies to it.
    ///
    /// Under SGD it is [`crate::equilibrium::matched_sgd_lr`] of each weight's own mean squared gradient norm
    /// over its first 100 steps (that far, over those taken), under Adam and AdamW
    /// [`crate::equilibrium::matched_adam_lr`]; both times the target norm, squared under SGD.
    Matched {
        /// Learning rate η of the weight decay to be matched.
        lr: f64,
        /// Its strength λ: coupled under SGD, decoupled under Adam and AdamW.
        decay: f64,
    },
}

/// Projection-based weight normalization (PBWN, arXiv 1710.02338): every filter is put back to norm 1 after
/// each step or between epochs; with `riemannian` the gradient's part along the filter is removed first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pbwn {
    /// When.
    pub interval: Interval,
    /// Whether the gradient is projected on the sphere's tangent: `g ← g − (g·f)·f/‖f‖²`.
    pub riemannian: bool,
}

impl Default for Pbwn {
    fn default() -> Self {
        Self { interval: Interval::Steps(1), riemannian: false }
    }
}

/// Weight standardization (arXiv 1903.10520): the network sees `(w − mean f)/(std f + 1e-5)` per filter, with
/// the unbiased standard deviation; gradients go through both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightStandardization {
    /// Decay λ of the stored weights.
    pub decay: f64,
    /// How it enters the step.
    pub form: Form,
}

impl Default for WeightStandardization {
    fn default() -> Self {
        Self { decay: 0.0, form: Form::Own }
    }
}

/// Gradient centralization (arXiv 2004.01461): from the gradient of every filter its mean is subtracted, decay that is
/// coupled included, before momentum and moments. Filters of one value, which would stop to learn, are left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GradientCentralization {
    /// Which weights: all of more than one dimension, or scale-invariant ones, as the authors' `gc_conv_only`.
    pub scope: Scope,
    /// Decay λ of scale-invariant weights, in the optimizer's own form.
    pub decay: f64,
}

impl Default for GradientCentralization {
    fn default() -> Self {
        Self { scope: Scope::Everything, decay: 0.0 }
    }
}

/// Weight normalization (arXiv 1602.07868): the network sees `w = g·v/‖v‖` per filter; both `weight_g` and
/// `weight_v` are trained, `weight_g` as any other gain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightNormalization {
    /// Decay λ of `weight_v`, in the optimizer's own form.
    pub decay: f64,
}

/// Soft weight rescaling (SWR, arXiv 2507.04683): after each step every scale-invariant weight is multiplied
/// by `c = k·‖w₀‖/‖w‖ + (1 − k)`, with `w₀` the weight at the start, and a bias between weight and batch norm
/// with it. Behind the batch norm the network does not see `c`, so no later bias has to follow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoftWeightRescaling {
    /// Strength k, from 0 (nothing) to 1 (back to the first norm). The default is ours.
    pub strength: f64,
}

impl Default for SoftWeightRescaling {
    fn default() -> Self {
        Self { strength: 0.01 }
    }
}

/// Weight norm control (AdamWN, arXiv 2311.11446): decoupled decay towards a norm other than 0. After each step every
/// scale-invariant layer is multiplied by `1 − k + k·r·‖w₀‖/‖w‖` with `k = η·λ`, at most 1, and `w₀` the weight at the start.
/// With `r` towards 0 it is decoupled decay, after the update rather than before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightNormControl {
    /// Strength λ.
    pub decay: f64,
    /// The target norm r over the norm at the start, above 0.
    pub target: f64,
}

impl Default for WeightNormControl {
    fn default() -> Self {
        Self { decay: 1.0, target: 1.0 }
    }
}

/// A rotational variant of the base optimizer (RV-SGDM, RV-AdamW; arXiv 2305.17212, algorithm 1): every filter
/// turns, in the mean, by the angle at which weight decay λ would have its equilibrium, from the first step.
///
/// With `u` the update without decay, less its mean and its part along the filter,
/// `s ← .9·s + .1·‖u‖²`, `w ← w − θ·‖w₀‖·u/(√ŝ + 1e-8)`, then back to norm `‖w₀‖`; `θ` is
/// [`crate::equilibrium::sgd_rotation`] or [`crate::equilibrium::adamw_rotation`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotational {
    /// The decay λ whose equilibrium sets the angle; no decay takes place.
    pub decay: f64,
    /// Whether filters are centered at the start (at the same norm), and their updates at each step.
    pub zero_mean: bool,
}

impl Default for Rotational {
    fn default() -> Self {
        Self { decay: 5e-4, zero_mean: true }
    }
}

impl Method {
    /// Reads a method from its table, `{ name = "wrs", … }`.
    ///
    /// # Errors
    ///
    /// Where the name or a key is unknown, or a value has the wrong type or range.
    pub fn from_table(table: &Table) -> Result<Self, Error> {
        let (name, rest) = table::name("method", table)?;
        let method = read_named("method", METHODS, &name, rest)?;
        method.check()?;
        Ok(method)
    }

    /// The table that [`Method::from_table`] reads, with every default filled in.
    pub fn to_table(&self) -> Table {
        let name = self.name();
        match self {
            Self::None | Self::ForcedWeightNormalization | Self::Hyperball => table::write(name, &NoSettings {}),
            Self::WeightDecay(settings) => table::write(name, settings),
            Self::Wrs(settings) => table::write(name, settings),
            Self::Pbwn(settings) => table::write(name, settings),
            Self::WeightStandardization(settings) => table::write(name, settings),
            Self::WeightNormalization(settings) => table::write(name, settings),
            Self::GradientCentralization(settings) => table::write(name, settings),
            Self::SoftWeightRescaling(settings) => table::write(name, settings),
            Self::WeightNormControl(settings) => table::write(name, settings),
            Self::Rotational(settings) => table::write(name, settings),
            Self::NormRule(rule) => rule.table(),
        }
    }

    /// Name in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::WeightDecay(_) => "weight-decay",
            Self::Wrs(_) => "wrs",
            Self::Pbwn(_) => "pbwn",
            Self::WeightStandardization(_) => "weight-standardization",
            Self::WeightNormalization(_) => "weight-normalization",
            Self::ForcedWeightNormalization => "forced-weight-normalization",
            Self::GradientCentralization(_) => "gradient-centralization",
            Self::SoftWeightRescaling(_) => "soft-weight-rescaling",
            Self::WeightNormControl(_) => "weight-norm-control",
            Self::Hyperball => "hyperball",
            Self::Rotational(_) => "rotational",
            Self::NormRule(rule) => rule.info().name,
        }
    }

    /// What the list of methods says of this one.
    pub fn info(&self) -> &'static MethodInfo {
        match self {
            Self::NormRule(rule) => rule.info(),
            _ => info_of(METHODS, self.name()),
        }
    }

    /// Whether scale-invariant weights decay, of any strength where that is what the method is for.
    pub(crate) fn decays(&self) -> bool {
        match self {
            Self::WeightDecay(_) => true,
            Self::GradientCentralization(GradientCentralization { decay, .. })
            | Self::WeightStandardization(WeightStandardization { decay, .. })
            | Self::WeightNormalization(WeightNormalization { decay }) => *decay > 0.0,
            _ => false,
        }
    }

    /// Which weight the network sees in place of the stored one.
    pub(crate) fn reparametrization(&self) -> Reparametrization {
        match self {
            Self::WeightStandardization(_) => Reparametrization::Standardized,
            Self::WeightNormalization(_) => Reparametrization::Normalized,
            Self::ForcedWeightNormalization => Reparametrization::Forced,
            _ => Reparametrization::None,
        }
    }
}

/// Which weight the network sees in place of the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reparametrization {
    /// The stored one.
    None,
    /// See [`WeightStandardization`].
    Standardized,
    /// See [`WeightNormalization`].
    Normalized,
    /// See [`Method::ForcedWeightNormalization`].
    Forced,
}

impl Reparametrization {
    /// What the network sees of a filter `w` of `n` values that is stored; `None` where it is `w` itself.
    pub(crate) fn formula(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Standardized => Some("(w - mean(w)) / (std(w) + 1e-5), std with n - 1"),
            Self::Normalized => Some("g * w / norm(w), g the parameter whose name ends in _g in place of _v"),
            Self::Forced => Some("w / (norm(w) + 1e-4 * sqrt(n))"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn method(json: serde_json::Value) -> Result<Method, Error> {
        Method::from_table(json.as_object().unwrap())
    }

    #[test]
    fn every_listed_method_is_read_by_its_name_and_writes_its_defaults() {
        for info in METHODS {
            let read = method(json!({"name": info.name})).unwrap();
            assert_eq!(read.info().name, info.name);
            assert_eq!(Method::from_table(&read.to_table()).unwrap(), read);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let message = |json| method(json).unwrap_err().to_string();
        assert!(message(json!({"name": "weigth-decay"})).contains("did you mean `weight-decay`?"));
        assert!(
            message(json!({"name": "none", "decay": 1}))
                .contains("`decay`: expected no key, found one that is not known")
        );
        assert!(message(json!({"name": "weight-decay", "lambda": 1})).contains("`decay`"));
        assert!(message(json!({"name": "weight-decay", "decay": -1})).contains("at least 0"));
        assert!(
            message(json!({"name": "weight-decay", "decay": "much"}))
                .contains("`decay`: expected a number, found \"much\"")
        );
        assert!(message(json!({"name": "weight-decay", "form": "loose"})).contains("`form`: expected "));
        assert!(
            message(json!({"name": "wrs", "granularity": "channel"}))
                .contains("`granularity`: expected `filter` or `layer`, found `channel`")
        );
        assert!(message(json!({"name": "wrs", "target": {"constant": 0}})).contains("above 0"));
        assert!(message(json!({"name": "wrs", "interval": {"steps": 0}})).contains("at least 1"));
        assert!(message(json!({"name": "wrs", "rate": {"matched": {"lr": -1, "decay": 0}}})).contains("matched.lr"));
        let matched = json!({"matched": {"lr": 0.1, "decay": 5e-4}});
        assert!(message(json!({"name": "wrs", "target": "init", "rate": matched})).contains("found `init`"));
        assert!(message(json!({"name": "pbwn", "interval": {"epochs": 0}})).contains("at least 1"));
        assert!(message(json!({"name": "weight-norm-control", "target": 0})).contains("above 0"));
        assert!(message(json!({"name": "gradient-centralization", "decay": -1})).contains("at least 0"));
        assert!(message(json!({"name": "soft-weight-rescaling", "strength": 2})).contains("0 to 1"));
    }
}
