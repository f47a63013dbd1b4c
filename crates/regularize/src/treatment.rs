//! What an optimizer and a method do to one parameter, and what one step of it is in numbers.

use crate::base::{Adam, AdamP, Base, Nero, Rule, Sgd, Sgdp};
use crate::equilibrium;
use crate::method::{
    Filter, Form, Granularity, Interval, Method, MomentumState, NormRule, Pbwn, Rate, Rotational, Scope,
    SoftWeightRescaling, Target, WeightDecay, WeightNormalization, WeightStandardization, Wrs,
};
use crate::params::{Parameter, Role};

/// Below this norm a direction is noise.
pub(crate) const SMALLEST: f64 = 1e-12;

/// What is done to one parameter.
#[derive(Debug, Clone)]
pub(crate) struct Treatment {
    rule: Rule,
    decay: f64,
    form: Form,
    riemannian: bool,
    turn: Turn,
    rate: Rate,
    rescale: Option<(Rescale, Interval)>,
    target: Target,
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
}

/// How weights are put back to their norms: times `softness · target/(‖w‖ + slack) + (1 − softness)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rescale {
    pub(crate) granularity: Granularity,
    pub(crate) softness: f64,
    pub(crate) slack: f64,
    /// Whether the mean of each row is removed first: before the first step, and after each.
    pub(crate) centre: Centre,
    pub(crate) state: MomentumState,
    /// Whether running statistics behind the weight follow; not where the network sees a normalised weight.
    pub(crate) follow: bool,
    /// What says the factor instead.
    pub(crate) rule: Option<Ruled>,
}

/// A rule for the norms of filters, and what it is told of them besides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ruled {
    rule: &'static dyn NormRule,
    len: usize,
    lr: f64,
    /// 0 before the first step, where nothing is scaled.
    step: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Centre {
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
    /// The layer's update is normalised; η is the angle.
    Hyperball,
}

/// Decay rate of the mean squared update of rotational variants.
pub(crate) const UPDATE_NORM_DECAY: f64 = 0.9;

/// What a step depends on besides the treatment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Factor of the gradient.
    pub(crate) clip: f32,
    /// [`Treatment::lr`] at the step.
    pub(crate) lr: f64,
    /// Number of the step for this parameter, from 1.
    pub(crate) step: u64,
    /// Number of the step for the optimizer, from 1: what intervals count.
    pub(crate) total_steps: u64,
    /// See [`Nero`].
    pub(crate) scale: f64,
}

impl Treatment {
    pub(crate) fn new(base: &Base, method: &Method, rest_decay: f64, parameter: &Parameter) -> Self {
        let dims = parameter.var.dims();
        let values = parameter.var.elem_count();
        let vector = dims.len() <= 1;
        let rows = if vector { values } else { dims[0] };
        let len = values.checked_div(rows).unwrap_or(0);
        let invariant = matches!(parameter.role, Role::ScaleInvariant(_));
        let (decay, form) = decay(method, invariant, rest_decay);
        let mut treatment = Self {
            rule: base.rule,
            decay,
            form: match (form, &base.rule) {
                (Form::Own, Rule::Sgd(_) | Rule::Adam(_)) => Form::Coupled,
                (Form::Own, _) => Form::Decoupled,
                (Form::Corrected, _) if !invariant => Form::Decoupled,
                (form, _) => form,
            },
            riemannian: false,
            turn: Turn::Straight,
            rate: Rate::Own,
            rescale: None,
            target: Target::Unit,
            rows,
            len,
            vector,
        };
        if invariant {
            treatment.constrain(method);
        } else if matches!(base.rule, Rule::Nero(_)) && !vector {
            treatment.constrain(&Method::None);
        }
        treatment
    }

    /// Adds what `method` does to a scale-invariant weight.
    fn constrain(&mut self, method: &Method) {
        let each_step = Interval::Steps(1);
        let plain = Rescale {
            granularity: Granularity::Filter,
            softness: 1.0,
            slack: 0.0,
            centre: Centre::Never,
            state: MomentumState::Keep,
            follow: true,
            rule: None,
        };
        match *method {
            Method::None if matches!(self.rule, Rule::Nero(_)) => {
                self.rescale = Some((Rescale { centre: Centre::Always, ..plain }, each_step));
            }
            Method::None
            | Method::WeightDecay(_)
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
                let slack = 1e-4 * (self.len as f64).sqrt();
                self.rescale = Some((Rescale { slack, follow: false, ..plain }, each_step));
            }
            Method::SoftWeightRescaling(SoftWeightRescaling { strength }) => {
                self.target = Target::Init;
                let soft = Rescale { granularity: Granularity::Layer, softness: strength, ..plain };
                self.rescale = Some((soft, each_step));
            }
            Method::Hyperball => {
                (self.target, self.turn) = (Target::Init, Turn::Hyperball);
                self.rescale = Some((Rescale { granularity: Granularity::Layer, ..plain }, each_step));
            }
            Method::Rotational(rotational) => {
                (self.target, self.turn) = (Target::Init, Turn::Rotational(rotational));
                let centre = if rotational.zero_mean { Centre::AtStart } else { Centre::Never };
                self.rescale = Some((Rescale { centre, ..plain }, each_step));
            }
            Method::NormRule(rule) => {
                self.target = Target::Init;
                let rule = Some(Ruled { rule, len: self.len, lr: 0.0, step: 0 });
                self.rescale = Some((Rescale { rule, ..plain }, each_step));
            }
        }
    }

    /// The step at `moment`.
    pub(crate) fn step(&self, moment: &Moment) -> Step {
        let lr = moment.lr;
        let power = |base: f64| libm::pow(base, moment.step as f64);
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
                let (keep, take) = if moment.step == 1 { (0.0, 1.0) } else { (momentum, 1.0 - dampening) };
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
            Rule::Nero(Nero { beta, .. }) => {
                let correction = 1.0 / (1.0 - power(beta));
                (Direction::Nero { beta, correction, scale: moment.scale }, None)
            }
        };
        let decoupled = match (self.form, &self.rule) {
            (Form::Corrected, _) => lr * lr / self.rule.lr().max(f64::MIN_POSITIVE) * self.decay,
            (Form::Decoupled, Rule::Sgdp(Sgdp { momentum, .. })) => lr * self.decay / (1.0 - momentum),
            (Form::Decoupled, _) => lr * self.decay,
            _ => 0.0,
        };
        Step {
            direction,
            clip: moment.clip,
            coupled: if self.form == Form::Coupled { self.decay as f32 } else { 0.0 },
            riemannian: self.riemannian,
            projection,
            decoupled,
            cautious: if self.form == Form::Cautious { (lr * self.decay) as f32 } else { 0.0 },
            lr: lr as f32,
            applied: match self.turn {
                Turn::Straight => Applied::Straight,
                Turn::Hyperball => Applied::Hyperball,
                Turn::Rotational(Rotational { zero_mean, .. }) => Applied::Rotational {
                    angle: self.rotation(lr).unwrap_or(0.0),
                    zero_mean,
                    correction: 1.0 / (1.0 - power(UPDATE_NORM_DECAY)),
                },
            },
            rescale: match self.rescale {
                Some((rescale, Interval::Steps(n))) if moment.total_steps.is_multiple_of(n) => {
                    let rule = rescale.rule.map(|rule| Ruled { lr, step: moment.step, ..rule });
                    Some(Rescale { rule, ..rescale })
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
            Target::Init => norm,
            Target::RmsOne => (self.norm_len() as f64).sqrt(),
            Target::Constant(norm) => norm,
        }
    }

    /// The learning rate of this parameter where that of the base optimizer is `lr`; see [`Rate`].
    pub(crate) fn lr(&self, lr: f64, gradient_square: f64) -> f64 {
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

    /// Whether [`Treatment::lr`] needs the gradient's mean squared norm.
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
            (_, Rule::Adam(_) | Rule::AdamW(_) | Rule::AdamP(_) | Rule::Nero(_)) => lr / norm,
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
            Some(Form::Corrected) => decay * lr / self.rule.lr().max(f64::MIN_POSITIVE),
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
            Rule::Sgd(_) | Rule::Sgdp(_) => &["momentum_buffer"],
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

impl Step {
    /// Whether values of a row depend on each other.
    pub(crate) fn by_rows(&self) -> bool {
        self.projection.is_some() || self.rescale.is_some() || self.updates_by_rows()
    }

    /// Whether the update of a value depends on other values of its row, projections aside.
    pub(crate) fn updates_by_rows(&self) -> bool {
        self.riemannian
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
            None => self.softness * target / (norm + self.slack) + (1.0 - self.softness),
        }
    }
}

/// The decay λ of a parameter, and its form.
fn decay(method: &Method, invariant: bool, rest_decay: f64) -> (f64, Form) {
    match *method {
        Method::WeightDecay(WeightDecay { decay, scope: Scope::Everything, form }) => (decay, form),
        _ if !invariant => (rest_decay, Form::Own),
        Method::WeightDecay(WeightDecay { decay, form, .. }) => (decay, form),
        Method::WeightStandardization(WeightStandardization { decay })
        | Method::WeightNormalization(WeightNormalization { decay }) => (decay, Form::Own),
        _ => (0.0, Form::Own),
    }
}
