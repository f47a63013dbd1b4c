//! Base optimizers: how a gradient becomes an update.

mod list;

pub use list::{OPTIMIZERS, OptimizerInfo};

use crate::error::Error;
use crate::list::{info_of, read_named};
use crate::method::Form;
use crate::table::{self, Table};
use serde::{Deserialize, Serialize};
use settings::{Mistake, above, at_least, share};

/// A base optimizer: a rule that turns gradients into updates, and what surrounds every rule.
///
/// A rule alone converts: `Optimizer::new(&params, Sgd::default(), …)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Base {
    /// How a gradient becomes an update.
    pub rule: Rule,
    /// Gradients are scaled down to this global norm where theirs is larger, before decay is added, as
    /// `torch.nn.utils.clip_grad_norm_`; `None` never.
    pub clip_norm: Option<f64>,
    /// Radius ρ of sharpness-aware minimization (SAM, arXiv 2010.01412), .05 in the paper; see
    /// [`crate::Optimizer::perturb`]. `None` for plain minimization.
    pub sam_rho: Option<f64>,
}

/// How a gradient becomes an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// See [`Sgd`].
    Sgd(Sgd),
    /// See [`Adam`]; decay is coupled, as in `torch.optim.Adam`.
    Adam(Adam),
    /// See [`Adam`]; decay is decoupled, as in `torch.optim.AdamW` (arXiv 1711.05101).
    AdamW(Adam),
    /// See [`Sgdp`].
    Sgdp(Sgdp),
    /// See [`AdamP`].
    AdamP(AdamP),
    /// See [`Muon`].
    Muon(Muon),
    /// See [`Nero`].
    Nero(Nero),
}

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
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false }
    }
}

/// Adam (arXiv 1412.6980), as `torch.optim.Adam` and `torch.optim.AdamW`:
///
/// `m ← β₁·m + (1−β₁)·g`, `v ← β₂·v + (1−β₂)·g²`, `w ← w − η·m̂ / (√v̂ + ε)` with `m̂ = m/(1−β₁ᵗ)`,
/// `v̂ = v/(1−β₂ᵗ)`. The gradient `g` holds the decay `λ·w` under [`Rule::Adam`]; under [`Rule::AdamW`]
/// `w ← (1−η·λ)·w` comes first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Learning rate η before the schedule.
    pub lr: f64,
    /// Decay rates `[β₁, β₂]` of the moments.
    pub betas: [f64; 2],
    /// ε in the denominator.
    pub eps: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8 }
    }
}

/// SGD with projection (SGDP, arXiv 2006.08217), as `adamp.SGDP`: where gradients look orthogonal to the
/// weight, the part of the update along the weight is removed, per filter or, failing that, per layer.
///
/// A weight `[out, …]` with row length `n` counts as scale-invariant where `max |cos(∇L, w)| < δ/√n`. Without
/// Nesterov's momentum the buffer itself is projected, as the official code does. Decay is
/// `w ← w·(1 − η·λ·r/(1−μ))` with `r = wd_ratio` for projected weights, else 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgdp {
    /// Learning rate η before the schedule.
    pub lr: f64,
    /// Momentum μ; 0 for none.
    pub momentum: f64,
    /// Share of the gradient that is left out of the momentum.
    pub dampening: f64,
    /// Nesterov's momentum.
    pub nesterov: bool,
    /// Added to norms.
    pub eps: f64,
    /// Threshold δ of the cosine.
    pub delta: f64,
    /// Factor of the decay of projected weights.
    pub wd_ratio: f64,
}

impl Default for Sgdp {
    fn default() -> Self {
        Self { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, eps: 1e-8, delta: 0.1, wd_ratio: 0.1 }
    }
}

/// Adam with projection (AdamP, arXiv 2006.08217), as `adamp.AdamP`: the projection of [`Sgdp`] on Adam's
/// update. Decay is `w ← w·(1 − η·λ·r)` with `r = wd_ratio` for projected weights, else 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamP {
    /// Learning rate η before the schedule.
    pub lr: f64,
    /// Decay rates `[β₁, β₂]` of the moments.
    pub betas: [f64; 2],
    /// ε in the denominator, and added to norms.
    pub eps: f64,
    /// Threshold δ of the cosine.
    pub delta: f64,
    /// Factor of the decay of projected weights.
    pub wd_ratio: f64,
    /// Nesterov's momentum: `β₁·m + (1−β₁)·g` in place of `m`.
    pub nesterov: bool,
}

impl Default for AdamP {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, delta: 0.1, wd_ratio: 0.1, nesterov: false }
    }
}

/// Muon (K. Jordan, 2024) with renormalized filters, as `airbench94_muon` has it: a layer, as a matrix `[out, …]` of C
/// filters, is put to norm √C, and then moves by its momentum with all singular values made about 1:
///
/// `b ← μ·b + g`, `d ← g + μ·b` with Nesterov's momentum, else `d ← b`; `w ← √C·w/‖w‖`; `w ← w − η·NS(d)`.
/// `NS` divides by the norm and takes so many steps `X ← a·X + (b·A + c·A²)·X` with `A = X·Xᵀ` and
/// `(a, b, c) = (3.4445, −4.775, 2.0315)`, here in `f32`.
///
/// Parameters that are not scale-invariant are trained by [`Sgd`] with Nesterov's momentum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Muon {
    /// Learning rate η of scale-invariant weights before the schedule.
    pub lr: f64,
    /// Their momentum μ; 0 for none.
    pub momentum: f64,
    /// Whether it is Nesterov's.
    pub nesterov: bool,
    /// Steps of Newton and Schulz.
    pub iterations: u32,
    /// Learning rate of the other parameters before the schedule.
    pub rest_lr: f64,
    /// Their momentum.
    pub rest_momentum: f64,
}

impl Default for Muon {
    fn default() -> Self {
        Self { lr: 0.24, momentum: 0.6, nesterov: true, iterations: 5, rest_lr: 0.05, rest_momentum: 0.85 }
    }
}

impl Muon {
    /// What trains parameters that are not scale-invariant.
    pub(crate) fn rest(&self) -> Sgd {
        let Self { rest_lr, rest_momentum, .. } = *self;
        Sgd { lr: rest_lr, momentum: rest_momentum, dampening: 0.0, nesterov: rest_momentum > 0.0 }
    }

    /// Their learning rate over that of scale-invariant weights; 0 where nothing learns.
    pub(crate) fn rest_ratio(&self) -> f64 {
        if self.lr == 0.0 { 0.0 } else { self.rest_lr / self.lr }
    }
}

/// Nero (arXiv 2102.07227): every neuron (row of a weight `[out, …]`) has mean 0 and norm 1, and turns by
/// about η a step: `s ← β·s + (1−β)·‖g_f‖²`, `f ← f − η·σ·g_f/√(s/(1−βᵗ))`, then centered and normalized.
///
/// A parameter of one dimension is a row of neurons of one value, which are not constrained. `σ` is the mean
/// norm of a parameter's neurons at the start, .01 where that is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nero {
    /// Learning rate η before the schedule.
    pub lr: f64,
    /// Decay rate β of the squared gradient norm.
    pub beta: f64,
}

impl Default for Nero {
    fn default() -> Self {
        Self { lr: 0.01, beta: 0.999 }
    }
}

macro_rules! rule_from {
    ($($settings:ident),*) => {
        $(impl From<$settings> for Rule {
            fn from(settings: $settings) -> Self {
                Self::$settings(settings)
            }
        }
        impl From<$settings> for Base {
            fn from(settings: $settings) -> Self {
                Rule::from(settings).into()
            }
        })*
    };
}
rule_from!(Sgd, Adam, Sgdp, AdamP, Muon, Nero);

impl From<Rule> for Base {
    fn from(rule: Rule) -> Self {
        Self { rule, clip_norm: None, sam_rho: None }
    }
}

impl Rule {
    /// Name in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
            Self::Sgdp(_) => "sgdp",
            Self::AdamP(_) => "adamp",
            Self::Muon(_) => "muon",
            Self::Nero(_) => "nero",
        }
    }

    /// What the list of optimizers says of this one.
    pub fn info(&self) -> &'static OptimizerInfo {
        info_of(OPTIMIZERS, self.name())
    }

    /// The learning rate before the schedule.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(Sgd { lr, .. })
            | Self::Adam(Adam { lr, .. })
            | Self::AdamW(Adam { lr, .. })
            | Self::Sgdp(Sgdp { lr, .. })
            | Self::AdamP(AdamP { lr, .. })
            | Self::Muon(Muon { lr, .. })
            | Self::Nero(Nero { lr, .. }) => *lr,
        }
    }

    /// How parameters that are not scale-invariant decay: alike for all optimizers of a family.
    pub(crate) fn rest_form(&self) -> Form {
        match self {
            Self::Sgd(_) | Self::Sgdp(_) | Self::Muon(_) => Form::Coupled,
            Self::Adam(_) | Self::AdamW(_) | Self::AdamP(_) | Self::Nero(_) => Form::Decoupled,
        }
    }

    /// Whether the settings make sense.
    fn check(&self) -> Result<(), Mistake> {
        let moments = |betas: [f64; 2], eps: f64| {
            betas.iter().try_for_each(|beta| share("betas", *beta))?;
            at_least("eps", eps, 0.0)
        };
        let momentum = |momentum: f64, dampening: f64| {
            share("momentum", momentum)?;
            let wrong = || Err(Mistake::new("dampening", "a number", dampening));
            if dampening.is_finite() { Ok(()) } else { wrong() }
        };
        let projection = |eps: f64, delta: f64, wd_ratio: f64| {
            at_least("eps", eps, 0.0)?;
            at_least("delta", delta, 0.0)?;
            at_least("wd_ratio", wd_ratio, 0.0)
        };
        let without = |beside: &str| Err(Mistake::new("nesterov", format!("{beside} beside it"), "none"));
        at_least("lr", self.lr(), 0.0)?;
        match *self {
            Self::Sgd(Sgd { momentum: mu, dampening, nesterov, .. }) => {
                momentum(mu, dampening)?;
                let alone = nesterov && (mu == 0.0 || dampening != 0.0);
                if alone { without("`momentum` above 0 and `dampening` of 0") } else { Ok(()) }
            }
            Self::Adam(Adam { betas, eps, .. }) | Self::AdamW(Adam { betas, eps, .. }) => moments(betas, eps),
            Self::Sgdp(Sgdp { momentum: mu, dampening, eps, delta, wd_ratio, .. }) => {
                momentum(mu, dampening)?;
                projection(eps, delta, wd_ratio)
            }
            Self::AdamP(AdamP { betas, eps, delta, wd_ratio, .. }) => {
                moments(betas, eps)?;
                projection(eps, delta, wd_ratio)
            }
            Self::Muon(Muon { momentum: mu, nesterov, iterations, rest_lr, rest_momentum, .. }) => {
                momentum(mu, 0.0)?;
                if nesterov && mu == 0.0 {
                    return without("`momentum` above 0");
                }
                if iterations == 0 {
                    return Err(Mistake::new("iterations", "at least 1", 0));
                }
                at_least("rest_lr", rest_lr, 0.0)?;
                share("rest_momentum", rest_momentum)
            }
            Self::Nero(Nero { beta, .. }) => share("beta", beta),
        }
    }
}

/// Keys that every optimizer has.
const COMMON: [&str; 2] = ["clip_norm", "sam_rho"];

impl Base {
    /// Reads a base optimizer from its table, `{ name = "sgd", lr = 0.1, clip_norm = 1.0, … }`.
    ///
    /// # Errors
    ///
    /// Where the name or a key is unknown, or a value has the wrong type or range.
    pub fn from_table(table: &Table) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Common {
            clip_norm: Option<f64>,
            sam_rho: Option<f64>,
        }
        let (name, mut rest) = table::name("optimizer", table)?;
        let common = COMMON.into_iter().filter_map(|key| Some((key.to_owned(), rest.remove(key)?)));
        let Common { clip_norm, sam_rho } = table::read("optimizer", &name, common.collect())?;
        let defaults = Self::from(read_named("optimizer", OPTIMIZERS, &name, Table::new())?).to_table();
        if let Some(key) = rest.keys().find(|key| !defaults.contains_key(*key)) {
            let known: Vec<&str> = defaults.keys().map(String::as_str).filter(|key| *key != "name").collect();
            return Err(Error::settings(format!("optimizer `{name}`"), Mistake::unknown_key(key, known)));
        }
        let rule = read_named("optimizer", OPTIMIZERS, &name, rest)?;
        let base = Self { rule, clip_norm, sam_rho };
        base.check()?;
        Ok(base)
    }

    /// The table that [`Base::from_table`] reads, with every default filled in.
    pub fn to_table(&self) -> Table {
        let name = self.rule.name();
        let mut table = match &self.rule {
            Rule::Sgd(settings) => table::write(name, settings),
            Rule::Adam(settings) | Rule::AdamW(settings) => table::write(name, settings),
            Rule::Sgdp(settings) => table::write(name, settings),
            Rule::AdamP(settings) => table::write(name, settings),
            Rule::Muon(settings) => table::write(name, settings),
            Rule::Nero(settings) => table::write(name, settings),
        };
        table.insert("clip_norm".into(), self.clip_norm.into());
        table.insert("sam_rho".into(), self.sam_rho.into());
        table
    }

    /// An error where a setting is out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let common = [self.clip_norm, self.sam_rho];
        let common = || COMMON.iter().zip(common).try_for_each(|(key, value)| above(key, value.unwrap_or(1.0), 0.0));
        let checked = self.rule.check().and_then(|()| common());
        checked.map_err(|mistake| Error::settings(format!("optimizer `{}`", self.rule.name()), mistake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base(json: serde_json::Value) -> Result<Base, Error> {
        Base::from_table(json.as_object().unwrap())
    }

    #[test]
    fn every_listed_optimizer_is_read_by_its_name_and_writes_its_defaults() {
        for info in OPTIMIZERS {
            let read = base(json!({"name": info.name})).unwrap();
            assert_eq!(read.rule.info().name, info.name);
            assert_eq!(base(read.to_table().into()).unwrap(), read);
        }
        let full = base(json!({"name": "adamp", "betas": [0.8, 0.9], "clip_norm": 2.0, "sam_rho": 0.05})).unwrap();
        assert_eq!(full.clip_norm, Some(2.0));
        assert_eq!(base(full.to_table().into()).unwrap(), full);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |json| base(json).unwrap_err().to_string();
        assert!(message(json!({"name": "admw"})).contains("did you mean `adamw`"));
        assert!(
            message(json!({"name": "sgd", "learning_rate": 1}))
                .contains("`learning_rate`: expected the key `clip_norm`, `dampening`, `lr`, ")
        );
        assert!(message(json!({"name": "sgd", "lr": -1})).contains("`lr`"));
        assert!(message(json!({"name": "sgd", "momentum": 1})).contains("`momentum`"));
        assert!(message(json!({"name": "sgd", "momentum": 0.0, "nesterov": true})).contains("`nesterov`"));
        assert!(message(json!({"name": "sgd", "clip_norm": 0})).contains("`clip_norm`"));
        assert!(message(json!({"name": "sgd", "clip_norm": "x"})).contains("`clip_norm`"));
        assert!(message(json!({"name": "adam", "betas": [0.9, 1.0]})).contains("`betas`"));
        assert!(message(json!({"name": "adam", "betas": 0.9})).contains("`betas`"));
        assert!(message(json!({"name": "muon", "iterations": 0})).contains("`iterations`"));
        assert!(message(json!({"name": "nero", "beta": 1.5})).contains("`beta`"));
        assert!(message(json!({"name": "adamp", "delta": -0.1})).contains("`delta`"));
    }
}
