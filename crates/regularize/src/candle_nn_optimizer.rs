//! [`Optimizer`] as an optimizer of candle-nn.

use crate::base::Base;
use crate::error::Error;
use crate::optimizer::Optimizer;
use crate::params::{Parameter, Params};
use candle_core::backprop::GradStore;
use candle_core::{Result, Var};
use settings::Mistake;

/// An [`Optimizer`] that keeps its learning rate and implements `candle_nn::Optimizer`: loops written for
/// `candle_nn::AdamW` take it, `backward_step` included.
///
/// `candle_nn::Optimizer::new` makes it from variables and a [`CandleConfig`]; `From` makes it from an [`Optimizer`], with its
/// groups and loaded state. The learning rate starts at that of the base optimizer; `set_learning_rate` changes it.
/// The trait has no epochs and no second backward pass: call [`Optimizer::begin_epoch`] on [`CandleOptimizer::inner_mut`],
/// and use [`Optimizer`] itself for sharpness-aware minimization.
pub struct CandleOptimizer {
    optimizer: Optimizer,
    lr: f64,
}

/// What a [`CandleOptimizer`] is made from besides variables.
#[derive(Clone)]
pub struct CandleConfig {
    /// Names, roles and method of the variables; for those of a `VarMap`, see [`Params::from_varmap`].
    pub params: Params,
    /// The base optimizer, with the learning rate to start from.
    pub base: Base,
    /// Decay of parameters that are not scale-invariant; see [`crate::Method`].
    pub rest_decay: f64,
}

impl CandleOptimizer {
    /// The optimizer inside, for its state and diagnostics.
    pub fn inner(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The optimizer inside, for its epochs and to load state.
    pub fn inner_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }
}

impl From<Optimizer> for CandleOptimizer {
    fn from(optimizer: Optimizer) -> Self {
        let lr = optimizer.base().rule.lr();
        Self { optimizer, lr }
    }
}

impl candle_nn::Optimizer for CandleOptimizer {
    type Config = CandleConfig;

    /// Trains those of `vars` that are trainable parameters of `config.params`; its other parameters stay as they are.
    /// `VarMap::all_vars` includes running statistics, which are no trainable parameters once they have their role.
    fn new(vars: Vec<Var>, CandleConfig { params, base, rest_decay }: CandleConfig) -> Result<Self> {
        let all = params.all();
        let is = |parameter: &Parameter, var: &Var| parameter.var.id() == var.id();
        if let Some(other) = vars.iter().find(|var| !all.iter().any(|parameter| is(parameter, var))) {
            let found = format!("another of shape {:?}", other.dims());
            let mistake = Mistake::new("vars", "variables of its `params`", found)
                .with_hint("make `params` by `Params::from_varmap`, after all layers");
            return Err(candle_core::Error::wrap(Error::settings("optimizer", mistake)));
        }
        let mut trained = params.trainable();
        trained.retain(|parameter| vars.iter().any(|var| is(parameter, var)));
        Optimizer::of(&params, trained, base, rest_decay).map(Self::from).map_err(candle_core::Error::wrap)
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        if let Some(rho) = self.optimizer.base().sam_rho {
            let mistake = Mistake::new("sam_rho", "none, as this trait has no second backward pass", rho)
                .with_hint("call `Optimizer::perturb` and `Optimizer::step` in place of `backward_step`");
            return Err(candle_core::Error::wrap(Error::settings("optimizer", mistake)));
        }
        self.optimizer.step(gradients, self.lr).map_err(candle_core::Error::wrap)
    }

    fn learning_rate(&self) -> f64 {
        self.lr
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.lr = lr;
    }
}
