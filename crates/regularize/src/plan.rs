//! Resolves optimizer, method and role of a parameter into the numbers of its steps.
//!
//! An optimizer is a base rule and a method, whatever papers call their pair: AdamW is `adamw` with `weight-decay`,
//! RV-SGDM is `sgd` with `rotational`. Everything after this module (the fused step, the tensor operations,
//! diagnostics) reads only numbers. So a method is an entry in a list, its settings, and a case here. Pairs that make
//! no sense are rejected by name.

use crate::base::{Adam, AdamP, Base, Muon, Nero, Rule, Sgd, Sgdp};
use crate::equilibrium;
use crate::method::{
    Form, GradientCentralization, Granularity, Interval, Method, MomentumState, Pbwn, Rate, Rotational, Scope,
    SoftWeightRescaling, Target, WeightDecay, WeightNormControl, WeightNormalization, WeightStandardization, Wrs,
};
use crate::params::{Parameter, Role};
use crate::step::{Applied, Center, Direction, Projection, Rescale, Ruled, Step, UPDATE_NORM_DECAY};

/// What is done to one parameter.
#[derive(Debug, Clone)]
pub(crate) struct UpdatePlan {
    rule: Rule,
    decay: f64,
    form: Form,
    riemannian: bool,
    /// Whether gradients are centralized.
    centered: bool,
    turn: Turn,
    rate: Rate,
    /// Learning rate over that of the base optimizer, by the rule and by the parameter's group.
    lr_ratio: f64,
    rescale: Option<(Rescale, Interval)>,
    target: Target,
    /// Of weight norm control: what λ pulls the norm to, over its first value.
    control: Option<WeightNormControl>,
    /// Rows of dimension 0, the filters of a weight; values of a vector.
    pub(crate) rows: usize,
    /// Values of a row.
    pub(crate) len: usize,
    vector: bool,
}

/// How an update is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    Straight,
    Rotational(Rotational),
    Hyperball,
    Orthogonal { iterations: u32 },
}

/// What a step depends on besides the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepInputs {
    /// Factor of the gradient.
    pub(crate) clip: f32,
    /// [`UpdatePlan::lr`] at the step.
    pub(crate) lr: f64,
    /// Number of the step for this parameter, from 1.
    pub(crate) step: u64,
    /// Number of the step for the optimizer, from 1: what intervals count.
    pub(crate) total_steps: u64,
    /// See [`Nero`].
    pub(crate) scale: f64,
    /// Root of the mean of Adam's `v̂` over all values that have a gradient, where [`UpdatePlan::shares_moments`].
    pub(crate) root_second_moment: f64,
}

impl UpdatePlan {
    pub(crate) fn new(base: &Base, method: &Method, rest_decay: f64, parameter: &Parameter) -> Self {
        let dims = parameter.var.dims();
        let values = parameter.var.elem_count();
        let vector = dims.len() <= 1;
        let rows = if vector { values } else { dims[0] };
        let len = values.checked_div(rows).unwrap_or(0);
        let invariant = matches!(parameter.role, Role::ScaleInvariant(_));
        let (decay, form) = decay(method, invariant).unwrap_or((rest_decay, base.rule.rest_form()));
        let (rule, lr_ratio) = match base.rule {
            Rule::Muon(muon) if !invariant => (Rule::Sgd(muon.rest()), muon.rest_ratio()),
            rule => (rule, 1.0),
        };
        let mut plan = Self {
            rule,
            decay,
            form: match (form, &base.rule) {
                (Form::Own, Rule::Sgd(_) | Rule::Adam(_)) => Form::Coupled,
                (Form::Own, _) => Form::Decoupled,
                (Form::Corrected, _) if !invariant => Form::Decoupled,
                (form, _) => form,
            },
            riemannian: false,
            centered: centralizes(method, invariant) && !vector && len > 1,
            turn: match rule {
                Rule::Muon(Muon { iterations, .. }) => Turn::Orthogonal { iterations },
                _ => Turn::Straight,
            },
            rate: Rate::Own,
            lr_ratio,
            rescale: None,
            target: Target::Unit,
            control: None,
            rows,
            len,
            vector,
        };
        if invariant {
            plan.constrain(method);
        } else if matches!(base.rule, Rule::Nero(_)) && !vector {
            plan.constrain(&Method::None);
        }
        plan
    }

    /// This plan, in a group whose learning rate is multiplied by `lr_factor`.
    pub(crate) fn in_group(self, lr_factor: f64) -> Self {
        Self { lr_ratio: self.lr_ratio * lr_factor, ..self }
    }

    /// Adds what `method` does to a scale-invariant weight.
    fn constrain(&mut self, method: &Method) {
        let each_step = Interval::Steps(1);
        let plain = Rescale {
            granularity: Granularity::Filter,
            first: false,
            strength: 1.0,
            eps: 0.0,
            center: Center::Never,
            state: MomentumState::Keep,
            rescale_statistics: true,
            rule: None,
        };
        match *method {
            Method::None if matches!(self.turn, Turn::Orthogonal { .. }) => {
                self.target = Target::RootFilters;
                self.rescale = Some((Rescale { granularity: Granularity::Layer, first: true, ..plain }, each_step));
            }
            Method::None if matches!(self.rule, Rule::Nero(_)) => {
                self.rescale = Some((Rescale { center: Center::Always, ..plain }, each_step));
            }
            Method::None
            | Method::WeightDecay(_)
            | Method::GradientCentralization(_)
            | Method::WeightStandardization(_)
            | Method::WeightNormalization(_) => {}
            Method::Wrs(Wrs { granularity, target, interval, state, rate }) => {
                (self.target, self.rate) = (target, rate);
                self.rescale = Some((Rescale { granularity, state, ..plain }, interval));
            }
            Method::Pbwn(Pbwn { interval, riemannian }) => {
                self.riemannian = riemannian;
                self.rescale = Some((plain, interval));
            }
            Method::ForcedWeightNormalization => {
                self.target = Target::RmsOne;
                let eps = 1e-4 * (self.len as f64).sqrt();
                self.rescale = Some((Rescale { eps, rescale_statistics: false, ..plain }, each_step));
            }
            Method::SoftWeightRescaling(SoftWeightRescaling { strength }) => {
                self.target = Target::Init;
                let soft = Rescale { granularity: Granularity::Layer, strength, ..plain };
                self.rescale = Some((soft, each_step));
            }
            Method::WeightNormControl(control) => {
                (self.target, self.control) = (Target::Init, Some(control));
                // Before the first step it is where it starts.
                let start = Rescale { granularity: Granularity::Layer, strength: 0.0, ..plain };
                self.rescale = Some((start, each_step));
            }
            Method::Hyperball => {
                (self.target, self.turn) = (Target::Init, Turn::Hyperball);
                self.rescale = Some((Rescale { granularity: Granularity::Layer, ..plain }, each_step));
            }
            Method::Rotational(rotational) => {
                (self.target, self.turn) = (Target::Init, Turn::Rotational(rotational));
                let center = if rotational.zero_mean { Center::AtStart } else { Center::Never };
                self.rescale = Some((Rescale { center, ..plain }, each_step));
            }
            Method::NormRule(rule) => {
                self.target = Target::Init;
                let rule = Some(Ruled { rule, len: self.len, lr: 0.0, step: 0 });
                self.rescale = Some((Rescale { rule, ..plain }, each_step));
            }
        }
    }

    /// The step for `inputs`.
    pub(crate) fn step(&self, inputs: &StepInputs) -> Step {
        let lr = inputs.lr;
        let power = |base: f64| libm::pow(base, inputs.step as f64);
        let adam = |betas: [f64; 2], eps: f64, nesterov: bool| Direction::Adam {
            betas,
            correction1: (1.0 / (1.0 - power(betas[0]))) as f32,
            correction2: (1.0 / (1.0 - power(betas[1])).sqrt()) as f32,
            eps: eps as f32,
            nesterov,
        };
        let project =
            |delta, eps, wd_ratio, in_place| (!self.vector).then_some(Projection { delta, eps, wd_ratio, in_place });
        let (direction, projection) = match self.rule {
            Rule::Sgd(Sgd { momentum, dampening, nesterov, .. }) => {
                // As in torch, the first buffer is the gradient.
                let (keep, take) = if inputs.step == 1 { (0.0, 1.0) } else { (momentum, 1.0 - dampening) };
                (Direction::Sgd { momentum: momentum as f32, keep: keep as f32, take: take as f32, nesterov }, None)
            }
            Rule::Adam(Adam { betas, eps, .. }) | Rule::AdamW(Adam { betas, eps, .. }) => {
                (adam(betas, eps, false), None)
            }
            Rule::Sgdp(Sgdp { momentum, dampening, nesterov, eps, delta, wd_ratio, .. }) => {
                let (keep, take) = (momentum as f32, (1.0 - dampening) as f32);
                let direction = Direction::Sgd { momentum: momentum as f32, keep, take, nesterov };
                (direction, project(delta, eps, wd_ratio, !nesterov))
            }
            Rule::AdamP(AdamP { betas, eps, delta, wd_ratio, nesterov, .. }) => {
                (adam(betas, eps, nesterov), project(delta, eps, wd_ratio, false))
            }
            Rule::Muon(Muon { momentum, nesterov, .. }) => {
                let momentum = momentum as f32;
                (Direction::Sgd { momentum, keep: momentum, take: 1.0, nesterov }, None)
            }
            Rule::Nero(Nero { beta, .. }) => {
                let correction = 1.0 / (1.0 - power(beta));
                (Direction::Nero { beta, correction, scale: inputs.scale }, None)
            }
        };
        let shrinks = matches!(self.form, Form::Decoupled | Form::Corrected | Form::Stable);
        let decoupled = if shrinks { self.shrink(lr, inputs.root_second_moment) } else { 0.0 };
        Step {
            direction,
            clip: inputs.clip,
            coupled: if self.form == Form::Coupled { self.decay as f32 } else { 0.0 },
            riemannian: self.riemannian,
            centered: self.centered,
            projection,
            decoupled,
            cautious: if self.form == Form::Cautious { (lr * self.decay) as f32 } else { 0.0 },
            lr: lr as f32,
            applied: match self.turn {
                Turn::Straight => Applied::Straight,
                Turn::Hyperball => Applied::Hyperball,
                Turn::Orthogonal { iterations } => Applied::Orthogonal { iterations },
                Turn::Rotational(Rotational { zero_mean, .. }) => Applied::Rotational {
                    angle: self.rotation(lr).unwrap_or(0.0),
                    zero_mean,
                    correction: 1.0 / (1.0 - power(UPDATE_NORM_DECAY)),
                },
            },
            rescale: match self.rescale {
                Some((rescale, Interval::Steps(n))) if inputs.total_steps.is_multiple_of(n) => {
                    let rule = rescale.rule.map(|rule| Ruled { lr, step: inputs.step, ..rule });
                    let strength = self.control.map_or(rescale.strength, |control| (lr * control.decay).min(1.0));
                    Some(Rescale { rule, strength, ..rescale })
                }
                _ => None,
            },
        }
    }

    /// The rescale before the first step, and between epochs.
    pub(crate) fn rescale(&self) -> Option<(Rescale, Interval)> {
        self.rescale
    }

    /// Values that have one norm: of a row, or of the layer.
    pub(crate) fn norm_len(&self) -> usize {
        match self.rescale {
            Some((Rescale { granularity: Granularity::Layer, .. }, _)) => self.rows * self.len,
            _ => self.len,
        }
    }

    /// The target norm of a row (or layer) whose norm is `norm` now.
    pub(crate) fn target(&self, norm: f64) -> f64 {
        match self.target {
            Target::Unit => 1.0,
            Target::Init => norm * self.control.map_or(1.0, |control| control.target),
            Target::RootFilters => (self.norm_len() as f64 / self.len.max(1) as f64).sqrt(),
            Target::RmsOne => (self.norm_len() as f64).sqrt(),
            Target::Constant(norm) => norm,
        }
    }

    /// The learning rate of this parameter where that of the base optimizer is `lr`; see [`Rate`].
    pub(crate) fn lr(&self, lr: f64, gradient_square: f64) -> f64 {
        self.lr_ratio * self.lr_before_ratio(lr, gradient_square)
    }

    fn lr_before_ratio(&self, lr: f64, gradient_square: f64) -> f64 {
        let Rate::Matched { lr: matched, decay } = self.rate else { return lr };
        let len = self.norm_len();
        // A matched rate does not go with targets that depend on the norm.
        let target = self.target(1.0);
        let schedule = if self.rule.lr() == 0.0 { 0.0 } else { lr / self.rule.lr() };
        match self.rule {
            Rule::Sgd(Sgd { momentum, .. }) if gradient_square > 0.0 => {
                let rate = equilibrium::matched_sgd_lr(matched, decay, momentum, gradient_square);
                schedule * target * target * rate
            }
            Rule::Adam(_) | Rule::AdamW(_) => {
                schedule * target * equilibrium::matched_adam_lr(matched, decay, len as f64)
            }
            _ => lr,
        }
    }

    /// What decay takes off the weight in a step at learning rate `lr`, as a share of it: in the mean, where it passes
    /// through a momentum.
    fn shrink(&self, lr: f64, root_second_moment: f64) -> f64 {
        let shrink = lr * self.decay;
        match (self.form, &self.rule) {
            (Form::Corrected, _) => lr * lr / self.largest_lr() * self.decay,
            (Form::Coupled | Form::Stable, Rule::Sgd(Sgd { momentum, dampening, .. })) => {
                (1.0 - dampening) / (1.0 - momentum) * shrink
            }
            (Form::Stable, _) if root_second_moment == 0.0 => 0.0,
            (Form::Stable, _) => shrink / root_second_moment,
            (_, Rule::Sgdp(Sgdp { momentum, .. })) => shrink / (1.0 - momentum),
            _ => shrink,
        }
    }

    /// The learning rate that corrected decay relates others to: the one before any schedule.
    fn largest_lr(&self) -> f64 {
        (self.lr_ratio * self.rule.lr()).max(f64::MIN_POSITIVE)
    }

    /// By how many e-foldings decay alone shrinks `‖w‖⁴` in a step at learning rate `lr`; `None` where that depends on
    /// gradients. Weights that `sgdp` and `adamp` see as scale-invariant decay with their `wd_ratio`.
    pub(crate) fn decay_efolds(&self, lr: f64, root_second_moment: f64) -> Option<f64> {
        let ratio = match (self.form, &self.rule) {
            (Form::Cautious, _) | (Form::Coupled, Rule::Adam(_) | Rule::AdamW(_)) => return None,
            (_, Rule::Sgdp(Sgdp { wd_ratio, .. }) | Rule::AdamP(AdamP { wd_ratio, .. })) => *wd_ratio,
            _ => 1.0,
        };
        Some(4.0 * ratio * self.shrink(lr, root_second_moment))
    }

    /// Whether a step depends on the second moments of all parameters.
    pub(crate) fn shares_moments(&self) -> bool {
        self.form == Form::Stable && self.betas().is_some()
    }

    /// Decay rate of Adam's second moment.
    pub(crate) fn betas(&self) -> Option<[f64; 2]> {
        match self.rule {
            Rule::Adam(Adam { betas, .. }) | Rule::AdamW(Adam { betas, .. }) => Some(betas),
            _ => None,
        }
    }

    /// Whether [`UpdatePlan::lr`] needs the gradient's mean squared norm.
    pub(crate) fn measures_gradient(&self) -> bool {
        matches!((self.rate, self.rule), (Rate::Matched { .. }, Rule::Sgd(_)))
    }

    /// The rate at which a filter of norm `norm` turns per unit of its scale-free gradient, and of Adam's
    /// update, at learning rate `lr`.
    pub(crate) fn effective_lr(&self, lr: f64, norm: f64) -> f64 {
        match (self.turn, &self.rule) {
            (Turn::Hyperball, _) => lr,
            (Turn::Rotational(_), _) => self.rotation(lr).unwrap_or(0.0),
            (_, Rule::Sgd(_) | Rule::Sgdp(_)) => lr / (norm * norm),
            (_, Rule::Adam(_) | Rule::AdamW(_) | Rule::AdamP(_) | Rule::Muon(_) | Rule::Nero(_)) => lr / norm,
        }
    }

    /// The angle per step, in equilibrium, of a weight that decays like this one at learning rate `lr`; `None`
    /// where there is no decay, or no formula.
    pub(crate) fn rotation(&self, lr: f64) -> Option<f64> {
        let (decay, form) = match self.turn {
            Turn::Rotational(Rotational { decay, .. }) => (decay, None),
            _ => (self.decay, Some(self.form)),
        };
        let decay = match form {
            Some(Form::Corrected) => decay * lr / self.largest_lr(),
            _ => decay,
        };
        match (self.rule, form) {
            _ if decay == 0.0 || self.rescale.is_some() && form.is_some() => None,
            (Rule::Sgd(Sgd { momentum, dampening: 0.0, nesterov: false, .. }), None | Some(Form::Coupled)) => {
                Some(equilibrium::sgd_rotation(lr, decay, momentum))
            }
            (
                Rule::Adam(Adam { betas, .. }) | Rule::AdamW(Adam { betas, .. }),
                None | Some(Form::Decoupled | Form::Corrected),
            ) => Some(equilibrium::adamw_rotation(lr, decay, betas[0])),
            _ => None,
        }
    }

    /// Names of the state as large as the parameter, as torch names it.
    pub(crate) fn state_names(&self) -> &'static [&'static str] {
        match self.rule {
            Rule::Sgd(Sgd { momentum: 0.0, .. }) | Rule::Nero(_) => &[],
            Rule::Sgd(_) | Rule::Sgdp(_) | Rule::Muon(_) => &["momentum_buffer"],
            Rule::Adam(_) | Rule::AdamW(_) | Rule::AdamP(_) => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// Name of the state with one value a row.
    pub(crate) fn row_state_name(&self) -> Option<&'static str> {
        match (self.rule, self.turn) {
            (Rule::Nero(_), _) => Some("neuron_exp_avg_sq"),
            (_, Turn::Rotational(_)) => Some("update_norm_sq"),
            _ => None,
        }
    }

    /// Whether the mean norm of rows at the start counts.
    pub(crate) fn needs_scale(&self) -> bool {
        matches!(self.rule, Rule::Nero(_))
    }
}

/// The decay λ of a parameter and its form, where the method says them.
fn decay(method: &Method, invariant: bool) -> Option<(f64, Form)> {
    match *method {
        Method::WeightDecay(WeightDecay { decay, scope: Scope::Everything, form }) => Some((decay, form)),
        _ if !invariant => None,
        Method::WeightDecay(WeightDecay { decay, form, .. })
        | Method::WeightStandardization(WeightStandardization { decay, form }) => Some((decay, form)),
        Method::WeightNormalization(WeightNormalization { decay })
        | Method::GradientCentralization(GradientCentralization { decay, .. }) => Some((decay, Form::Own)),
        _ => Some((0.0, Form::Own)),
    }
}

/// Whether gradients of a parameter are centralized, if it has rows.
fn centralizes(method: &Method, invariant: bool) -> bool {
    match method {
        Method::GradientCentralization(GradientCentralization { scope, .. }) => {
            invariant || *scope == Scope::Everything
        }
        _ => false,
    }
}
