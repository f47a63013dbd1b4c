//! A base optimizer and a method, applied to parameters.
//!
//! Rescaling once per epoch happens when the next epoch begins: after the evaluation between them, and not after the
//! last. A checkpoint between epochs holds the weights that were evaluated. Rescaling also changes the running
//! statistics (mean by c, variance by c²), so that evaluation before and after it agree.

use crate::base::Base;
use crate::error::Error;
use crate::in_place::square_of;
use crate::method::{Interval, Method};
use crate::params::{Parameter, Params, Role};
use crate::sam::Perturbed;
use crate::slot::{Keyed, Slot, StepContext};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;

mod group;

pub use group::Group;

/// Trains [`Params`] with a base optimizer, under a [`Method`].
///
/// On the CPU a step works in place and in parallel, in one pass over a parameter's memory unless all rows of a
/// weight depend on each other; on other devices it is tensor operations. Parameters without a gradient are left alone, as in torch.
pub struct Optimizer {
    base: Base,
    method: Method,
    rest_decay: f64,
    params: Params,
    slots: Vec<Slot>,
    steps: u64,
    epochs: u64,
    fused: bool,
    /// Of the last step; see [`crate::Form::Stable`].
    root_second_moment: f64,
    /// Memory for the updates of a layer, used again and again.
    updates: Vec<f32>,
}

impl Optimizer {
    /// An optimizer of the trainable parameters of `params`, under their [method](Params::method). Where that rescales, it does so here
    /// for the first time.
    ///
    /// `rest_decay` is the decay of parameters that are not scale-invariant; see [`Method`].
    ///
    /// # Errors
    ///
    /// Where a setting is out of range, `base` and `method` make no sense together, or the method needs
    /// parameters made [`Params::with_method`].
    pub fn new(params: &Params, base: impl Into<Base>, rest_decay: f64) -> Result<Self, Error> {
        Self::of(params, params.trainable(), base.into(), rest_decay)
    }

    /// The same, but trains only `trained`, which are parameters of `params`.
    pub(crate) fn of(params: &Params, trained: Vec<Parameter>, base: Base, rest_decay: f64) -> Result<Self, Error> {
        let method = params.method();
        base.check()?;
        method.check()?;
        method.check_with(&base)?;
        let decays = settings::at_least("rest_decay", rest_decay, 0.0);
        decays.map_err(|mistake| Error::settings("optimizer", mistake))?;
        for Parameter { name, role, seen, .. } in &trained {
            if matches!(role, Role::ScaleInvariant(_)) && *seen != method.reparametrization() {
                let message = format!(
                    "the network does not see it as method `{}` needs it; make it with `Params::scale_invariant`, from \
                     parameters `with_method` this one",
                    method.name()
                );
                return Err(Error::parameter(name, message));
            }
        }
        let slot = |parameter| Slot::new(&base, &method, rest_decay, parameter);
        let slots = trained.into_iter().map(slot).collect::<Result<_, _>>()?;
        params.sync_half()?;
        let fused = params.device().is_cpu();
        let params = params.clone();
        let (root_second_moment, updates) = (0.0, Vec::new());
        Ok(Self { base, method, rest_decay, params, slots, steps: 0, epochs: 0, fused, root_second_moment, updates })
    }

    /// This optimizer, working through tensor operations as on other devices than the CPU: slower there, for
    /// comparison.
    #[must_use]
    pub fn with_tensor_operations(self) -> Self {
        Self { fused: false, ..self }
    }

    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// Takes a step at learning rate `lr`, which is the base optimizer's own times [`crate::Schedule::factor`], and
    /// rescales where the method does.
    ///
    /// # Errors
    ///
    /// Where a gradient does not fit its parameter; then nothing is changed.
    pub fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<(), Error> {
        let full = self.params.full_gradients(gradients)?;
        let gradients = full.as_ref().unwrap_or(gradients);
        for Slot { parameter: Parameter { name, var, .. }, .. } in &self.slots {
            let Some(gradient) = gradients.get(var) else { continue };
            if gradient.dims() != var.dims() {
                let message =
                    format!("expected a gradient of its shape, {:?}, found {:?}", var.dims(), gradient.dims());
                return Err(Error::parameter(name, message));
            }
            if gradient.dtype() != DType::F32 || !gradient.device().same_device(var.device()) {
                let (found, device) = (gradient.dtype(), gradient.device().location());
                let message = format!(
                    "expected a gradient of type f32 on {:?}, found {found:?} on {device:?}; train in f32 where the \
                     parameters are",
                    var.device().location()
                );
                return Err(Error::parameter(name, message));
            }
        }
        let clip = self.clip(gradients)?;
        self.steps += 1;
        self.root_second_moment = self.measure_second_moments(gradients, clip)?;
        let (total_steps, root_second_moment) = (self.steps, self.root_second_moment);
        let context = StepContext { lr, clip, total_steps, root_second_moment, fused: self.fused };
        let mut scaled = Vec::with_capacity(self.slots.len());
        for slot in &mut self.slots {
            scaled.push(match gradients.get(&slot.parameter.var) {
                Some(gradient) => slot.step(gradient, &context, &mut self.updates)?,
                None => None,
            });
        }
        // A bias follows after its own update, wherever it stands.
        for (slot, factors) in self.slots.iter().zip(scaled) {
            slot.rescale_statistics(factors)?;
        }
        Ok(self.params.sync_half()?)
    }

    /// Moves the parameters to where sharpness-aware minimization takes its gradient, ρ along `gradients`;
    /// `None` where [`Base::sam_rho`] is none.
    ///
    /// ```
    /// # use regularize::{Base, Error, Optimizer, Params, Sgd};
    /// # fn train(params: &Params, loss: impl Fn() -> candle_core::Result<candle_core::Tensor>) -> Result<(), Error> {
    /// let base = Base { sam_rho: Some(0.05), ..Sgd::default().into() };
    /// let mut optimizer = Optimizer::new(params, base, 5e-4)?;
    /// let mut gradients = loss()?.backward()?;
    /// if let Some(perturbed) = optimizer.perturb(&gradients)? {
    ///     gradients = loss()?.backward()?;
    ///     perturbed.restore()?;
    /// }
    /// optimizer.step(&gradients, 0.1)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn perturb(&self, gradients: &GradStore) -> Result<Option<Perturbed>, Error> {
        let Some(rho) = self.base.sam_rho else { return Ok(None) };
        let full = self.params.full_gradients(gradients)?;
        Perturbed::new(&self.params, full.as_ref().unwrap_or(gradients), rho).map(Some)
    }

    /// Says that an epoch of training begins that is not the first: methods with an interval of epochs act
    /// here, after the evaluation between them and not after the last, as arXiv 1710.02338 asks.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn begin_epoch(&mut self) -> Result<(), Error> {
        self.epochs += 1;
        for slot in &mut self.slots {
            if let Some((rescale, Interval::Epochs(interval))) = slot.plan.rescale()
                && self.epochs.is_multiple_of(interval)
            {
                slot.rescale_statistics(slot.rescale(&rescale, self.fused)?)?;
            }
        }
        Ok(self.params.sync_half()?)
    }

    /// The rate at which a filter of norm `norm` of the parameter `name` turns per unit of its scale-free
    /// gradient at learning rate `lr`: η/‖f‖² for SGD (van Laarhoven, arXiv 1706.05350), η/‖f‖ for Adam; the
    /// angle of a step where the method sets it.
    pub fn effective_lr(&self, name: &str, lr: f64, norm: f64) -> f64 {
        match self.slots.iter().find(|slot| slot.parameter.name == name) {
            Some(slot) => slot.plan.effective_lr(slot.lr(lr), norm),
            None => f64::NAN,
        }
    }

    /// The angle per step, in radians, at which scale-invariant weights settle at learning rate `lr` under the
    /// decay that they have; `None` where there is no decay or no formula. With groups, that of the first such weight. See
    /// [`crate::equilibrium`].
    pub fn equilibrium_rotation(&self, lr: f64) -> Option<f64> {
        let mut slots = self.slots.iter();
        let slot = slots.find(|slot| matches!(slot.parameter.role, Role::ScaleInvariant(_)))?;
        slot.plan.rotation(slot.lr(lr))
    }

    /// By how many e-foldings decay alone would have shrunk the fourth power of the norm of scale-invariant weights in the
    /// step that was taken at learning rate `lr`; `None` where the method does not decay them, or it depends on each
    /// gradient. With groups, that of the first such weight. Summed over a training, it says how far weight decay can
    /// have come: see [`crate::equilibrium::sgd_relaxation`].
    pub fn decay_efolds(&self, lr: f64) -> Option<f64> {
        let mut slots = self.slots.iter().filter(|_| self.method.decays());
        let slot = slots.find(|slot| matches!(slot.parameter.role, Role::ScaleInvariant(_)))?;
        slot.plan.decay_efolds(slot.lr(lr), self.root_second_moment)
    }

    /// Everything that must be kept, besides the parameters, to go on bit for bit.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn state(&self) -> Result<HashMap<String, Tensor>, Error> {
        let mut state = HashMap::new();
        let counters = vec![self.steps as i64, self.epochs as i64];
        state.insert("counters".to_owned(), Tensor::from_vec(counters, 2, &Device::Cpu)?);
        let owner = self.owner().into_bytes();
        let len = owner.len();
        state.insert("owner".to_owned(), Tensor::from_vec(owner, len, &Device::Cpu)?);
        for slot in &self.slots {
            let name = &slot.parameter.name;
            let numbers = slot.numbers().to_vec();
            let len = numbers.len();
            state.insert(format!("numbers/{name}"), Tensor::from_vec(numbers, len, &Device::Cpu)?);
            for (key, var) in slot.vars() {
                state.insert(format!("{key}/{name}"), var.copy()?);
            }
        }
        Ok(state)
    }

    /// Continues from what [`Optimizer::state`] gave. The parameters are loaded apart, afterwards.
    ///
    /// # Errors
    ///
    /// Where something is missing or does not fit the parameters; then nothing is changed.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), Error> {
        let counters = Keyed(state).get("counters")?.to_vec1::<i64>()?;
        let &[steps, epochs] = counters.as_slice() else {
            let message = format!("expected 2 values in `counters`, found {}", counters.len());
            return Err(Error::State(message));
        };
        let owner = String::from_utf8_lossy(&Keyed(state).get("owner")?.to_vec1::<u8>()?).into_owned();
        if owner != self.owner() {
            let message = format!(
                "expected that of {}, found that of {owner}; make the optimizer as it was, or go on without its state",
                self.owner()
            );
            return Err(Error::State(message));
        }
        let loaded = self.slots.iter().map(|slot| slot.loaded(&Keyed(state))).collect::<Result<_, _>>()?;
        (self.steps, self.epochs, self.slots) = (steps as u64, epochs as u64, loaded);
        Ok(())
    }

    /// Whose state this is: learning rates may change between steps, the rule and the method may not.
    fn owner(&self) -> String {
        let method = serde_json::Value::Object(self.method.to_table());
        format!("optimizer `{}` with method {method}", self.base.rule.name())
    }

    /// Moves the sums of Adam's second moments where decay depends on them, and gives the root of their mean.
    fn measure_second_moments(&mut self, gradients: &GradStore, clip: f32) -> Result<f64, Error> {
        let (mut sum, mut values) = (0.0, 0);
        if self.slots.iter().any(|slot| slot.plan.shares_moments()) {
            for slot in &mut self.slots {
                if let Some(gradient) = gradients.get(&slot.parameter.var) {
                    sum += slot.second_moment(f64::from(clip * clip) * square_of(gradient)?);
                    values += gradient.elem_count();
                }
            }
        }
        Ok(if values == 0 { 0.0 } else { (sum / values as f64).sqrt() })
    }

    /// The factor that brings the global norm of all gradients down to `clip_norm`.
    fn clip(&self, gradients: &GradStore) -> Result<f32, Error> {
        let Some(largest) = self.base.clip_norm else { return Ok(1.0) };
        let mut square = 0.0;
        for slot in &self.slots {
            if let Some(gradient) = gradients.get(&slot.parameter.var) {
                square += square_of(gradient)?;
            }
        }
        let factor = largest / (square.sqrt() + 1e-6);
        // As in torch, a norm that is not a number makes the step so.
        Ok(if factor > 1.0 { 1.0 } else { factor as f32 })
    }
}
