//! A base optimizer and a method, applied to parameters.

use crate::base::Base;
use crate::error::Error;
use crate::fused;
use crate::in_place::{change, change_any, current, read, read_any, square_of};
use crate::method::{Interval, Method};
use crate::params::{Normalization, Parameter, Params, Role};
use crate::sam::Perturbed;
use crate::sums::square;
use crate::tensors;
use crate::treatment::{Centre, Moment, Rescale, Treatment};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use std::collections::HashMap;

/// Trains [`Params`] with a base optimizer, under a [`Method`].
///
/// On the CPU a step works in place and in parallel, in one pass over a parameter's memory unless all rows of a
/// weight depend on each other; on other devices it is tensor operations. Parameters without a gradient are left alone, as in torch.
pub struct Optimizer {
    base: Base,
    method: Method,
    params: Params,
    slots: Vec<Slot>,
    steps: u64,
    epochs: u64,
    fused: bool,
    /// Memory for the updates of a layer, used again and again.
    updates: Vec<f32>,
}

/// What the optimizer keeps of one parameter.
struct Slot {
    parameter: Parameter,
    treatment: Treatment,
    /// Gradients seen.
    steps: u64,
    /// As [`Treatment::state_names`]; empty before the first gradient.
    state: Vec<Var>,
    /// As [`Treatment::row_state_name`], `[rows]`.
    row_state: Option<Var>,
    /// Target norms of a method that rescales, `[rows]` or `[1]`.
    targets: Option<Var>,
    /// Nero's σ; 1 for other rules.
    scale: f64,
    /// Sum over [`MEASURED_STEPS`] of the scale-free gradient's squared norm.
    gradient_square: f64,
}

/// Steps over which a matched rate measures the gradient.
const MEASURED_STEPS: u64 = 100;

impl Optimizer {
    /// An optimizer of the trainable parameters of `params`. Where the method rescales, it does so here
    /// for the first time.
    ///
    /// `rest_decay` is the decay of parameters that are not scale-invariant; see [`Method`].
    ///
    /// # Errors
    ///
    /// Where a setting is out of range, `base` and `method` make no sense together, or the method needs
    /// parameters made [`Params::with_method`].
    pub fn new(params: &Params, base: impl Into<Base>, method: Method, rest_decay: f64) -> Result<Self, Error> {
        let base = base.into();
        base.check()?;
        method.check()?;
        method.check_with(&base)?;
        if !(rest_decay.is_finite() && rest_decay >= 0.0) {
            return Err(Error::settings("rest_decay", format!("must be a number of at least 0, found {rest_decay}")));
        }
        for Parameter { name, role, .. } in params.trainable() {
            if matches!(role, Role::ScaleInvariant(_)) && params.seen(&name) != method.reparametrization() {
                let message = format!(
                    "the network does not see it as method `{}` needs it; make it with `Params::scale_invariant`, from \
                     parameters `with_method` this one",
                    method.name()
                );
                return Err(Error::parameter(&name, message));
            }
        }
        let slot = |parameter| Slot::new(&base, &method, rest_decay, parameter);
        let slots = params.trainable().into_iter().map(slot).collect::<Result<_, _>>()?;
        let fused = params.device().is_cpu();
        Ok(Self { base, method, params: params.clone(), slots, steps: 0, epochs: 0, fused, updates: Vec::new() })
    }

    /// This optimizer, working through tensor operations as on other devices than the CPU: slower there, for
    /// comparison.
    #[must_use]
    pub fn with_tensor_operations(self) -> Self {
        Self { fused: false, ..self }
    }

    /// Takes a step at learning rate `lr`, which is the base optimizer's own times [`crate::Schedule::factor`], and
    /// rescales where the method does.
    ///
    /// # Errors
    ///
    /// Where a gradient does not fit its parameter; then nothing is changed.
    pub fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<(), Error> {
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
        let mut scaled = Vec::with_capacity(self.slots.len());
        for slot in &mut self.slots {
            scaled.push(match gradients.get(&slot.parameter.var) {
                Some(gradient) => slot.step(gradient, lr, clip, self.steps, self.fused, &mut self.updates)?,
                None => None,
            });
        }
        // A bias follows after its own update, wherever it stands.
        for (slot, factors) in self.slots.iter().zip(scaled) {
            slot.follow(factors)?;
        }
        Ok(())
    }

    /// Moves the parameters to where sharpness-aware minimization takes its gradient, ρ along `gradients`;
    /// `None` where [`Base::sam_rho`] is none.
    ///
    /// ```
    /// # use regularize::{Base, Error, Method, Optimizer, Params, Sgd};
    /// # fn train(params: &Params, loss: impl Fn() -> candle_core::Result<candle_core::Tensor>) -> Result<(), Error> {
    /// let base = Base { sam_rho: Some(0.05), ..Sgd::default().into() };
    /// let mut optimizer = Optimizer::new(params, base, Method::None, 5e-4)?;
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
        self.base.sam_rho.map(|rho| Perturbed::new(&self.params, gradients, rho)).transpose()
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
            if let Some((rescale, Interval::Epochs(interval))) = slot.treatment.rescale()
                && self.epochs.is_multiple_of(interval)
            {
                slot.follow(slot.rescale(&rescale, self.fused)?)?;
            }
        }
        Ok(())
    }

    /// The rate at which a filter of norm `norm` of the parameter `name` turns per unit of its scale-free
    /// gradient at learning rate `lr`: η/‖f‖² for SGD (van Laarhoven, arXiv 1706.05350), η/‖f‖ for Adam; the
    /// angle of a step where the method sets it.
    pub fn effective_lr(&self, name: &str, lr: f64, norm: f64) -> f64 {
        match self.slots.iter().find(|slot| slot.parameter.name == name) {
            Some(slot) => slot.treatment.effective_lr(slot.lr(lr), norm),
            None => f64::NAN,
        }
    }

    /// The angle per step, in radians, at which scale-invariant weights settle at learning rate `lr` under the
    /// decay that they have; `None` where there is no decay or no formula. See [`crate::equilibrium`].
    pub fn equilibrium_rotation(&self, lr: f64) -> Option<f64> {
        let mut slots = self.slots.iter();
        let slot = slots.find(|slot| matches!(slot.parameter.role, Role::ScaleInvariant(_)))?;
        slot.treatment.rotation(lr)
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
            let numbers = vec![slot.steps as f64, slot.scale, slot.gradient_square];
            state.insert(format!("numbers/{name}"), Tensor::from_vec(numbers, 3, &Device::Cpu)?);
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
            return Err(Error::settings("optimizer state", message));
        };
        let owner = String::from_utf8_lossy(&Keyed(state).get("owner")?.to_vec1::<u8>()?).into_owned();
        if owner != self.owner() {
            let message = format!(
                "expected that of {}, found that of {owner}; make the optimizer as it was, or go on without its state",
                self.owner()
            );
            return Err(Error::settings("optimizer state", message));
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

impl Slot {
    fn new(base: &Base, method: &Method, rest_decay: f64, parameter: Parameter) -> Result<Self, Error> {
        let treatment = Treatment::new(base, method, rest_decay, &parameter);
        let device = parameter.var.device().clone();
        let row_state = match treatment.row_state_name() {
            Some(_) => Some(Var::zeros(treatment.rows, DType::F32, &device)?),
            None => None,
        };
        let (state, targets) = (Vec::new(), None);
        let mut slot =
            Self { parameter, treatment, steps: 0, state, row_state, targets, scale: 1.0, gradient_square: 0.0 };
        if slot.is_empty() {
            return Ok(slot);
        }
        if let Some((rescale, _)) = slot.treatment.rescale() {
            let norms = norms(&slot.parameter.var, slot.treatment.norm_len())?;
            let targets: Vec<f32> = norms.iter().map(|norm| slot.treatment.target(*norm) as f32).collect();
            slot.targets = Some(Var::from_vec(targets, norms.len(), &device)?);
            let centre = if rescale.centre == Centre::AtStart { Centre::Always } else { rescale.centre };
            slot.follow(slot.rescale(&Rescale { centre, ..rescale }, device.is_cpu())?)?;
        }
        if slot.treatment.needs_scale() {
            let norms = norms(&slot.parameter.var, slot.treatment.len)?;
            let mean = norms.iter().sum::<f64>() / norms.len() as f64;
            slot.scale = if mean == 0.0 { 0.01 } else { mean };
        }
        Ok(slot)
    }

    fn is_empty(&self) -> bool {
        self.parameter.var.elem_count() == 0
    }

    fn step(
        &mut self,
        gradient: &Tensor,
        lr: f64,
        clip: f32,
        total_steps: u64,
        fused: bool,
        updates: &mut Vec<f32>,
    ) -> Result<Option<Factors>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        self.steps += 1;
        if self.state.is_empty() {
            for _ in self.treatment.state_names() {
                self.state.push(self.parameter.var.zeros_like().and_then(|zeros| Var::from_tensor(&zeros))?);
            }
        }
        if self.treatment.measures_gradient() && self.steps <= MEASURED_STEPS {
            self.gradient_square += f64::from(clip * clip) * self.measure(gradient)?;
        }
        let moment = Moment { clip, lr: self.lr(lr), step: self.steps, total_steps, scale: self.scale };
        let step = self.treatment.step(&moment);
        let factors = if fused {
            Some(Factors::OnHost(self.in_place(Some(gradient), |rows| fused::step(&step, rows, updates))?))
        } else {
            tensors::step(&step, &self.as_tensors(), gradient)?.map(Factors::OnDevice)
        };
        Ok(factors.filter(|_| step.rescale.is_some_and(|rescale| rescale.follow)))
    }

    /// Puts the weight back to its norms, outside of a step.
    fn rescale(&self, rescale: &Rescale, fused: bool) -> Result<Option<Factors>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let factors = if fused {
            Factors::OnHost(self.in_place(None, |rows| fused::rescale(rescale, rows))?)
        } else {
            Factors::OnDevice(tensors::rescale(rescale, &self.as_tensors())?)
        };
        Ok(Some(factors).filter(|_| rescale.follow))
    }

    /// Calls `f` with the memory of the weight, its gradient and its state.
    fn in_place<R>(&self, gradient: Option<&Tensor>, f: impl FnOnce(fused::Rows<'_>) -> R) -> candle_core::Result<R> {
        let len = self.treatment.len;
        let kernels = current()?;
        let (m, v) = (self.state.first(), self.state.get(1));
        // Each borrows the memory of one variable.
        let borrow = |w: &mut [f32], m: &mut [f32], v: &mut [f32], row_state: &mut [f32], targets: &[f32]| {
            read_any(gradient, |g| {
                f(fused::Rows { kernels, len, w, g, m, v, u: &mut [], row_state, targets, results: &mut [] })
            })
        };
        change(&self.parameter.var, |w| {
            change_any(m, |m| {
                change_any(v, |v| {
                    change_any(self.row_state.as_ref(), |row_state| {
                        change_any(self.targets.as_ref(), |targets| borrow(w, m, v, row_state, targets)).flatten()
                    })
                    .flatten()
                })
                .flatten()
            })
            .flatten()
        })
        .flatten()
    }

    fn as_tensors(&self) -> tensors::Rows<'_> {
        tensors::Rows {
            rows: self.treatment.rows,
            len: self.treatment.len,
            w: &self.parameter.var,
            m: self.state.first(),
            v: self.state.get(1),
            row_state: self.row_state.as_ref(),
            targets: self.targets.as_ref(),
        }
    }

    /// Scales running statistics and bias behind a weight whose rows were scaled by `factors`.
    fn follow(&self, factors: Option<Factors>) -> Result<(), Error> {
        let (Some(factors), Role::ScaleInvariant(normalizations)) = (factors, &self.parameter.role) else {
            return Ok(());
        };
        let followers = |of: &Normalization| {
            let Normalization { running_mean, running_var, bias } = of.clone();
            [(Some(running_mean), false), (Some(running_var), true), (bias, false)]
        };
        for (var, squared) in normalizations.iter().flat_map(followers) {
            let Some(var) = &var else { continue };
            match &factors {
                Factors::OnHost(factors) => change(var, |values| {
                    for (channel, value) in values.iter_mut().enumerate() {
                        let factor = factors.get(if factors.len() == 1 { 0 } else { channel }).copied().unwrap_or(1.0);
                        let factor = if squared { factor * factor } else { factor };
                        *value = (f64::from(*value) * factor) as f32;
                    }
                })?,
                Factors::OnDevice(factors) => {
                    let factors = factors.flatten_all()?;
                    let factors = if squared { factors.sqr()? } else { factors };
                    var.set(&var.broadcast_mul(&factors)?)?;
                }
            }
        }
        Ok(())
    }

    /// The mean over rows of the scale-free gradient's squared norm, `‖g‖²·‖w‖²`.
    fn measure(&self, gradient: &Tensor) -> Result<f64, Error> {
        let len = self.treatment.norm_len();
        let (g, w) = (norms(gradient, len)?, norms(&self.parameter.var, len)?);
        Ok(g.iter().zip(&w).map(|(g, w)| g * w * (g * w)).sum::<f64>() / g.len() as f64)
    }

    /// The learning rate of this parameter where that of the base optimizer is `lr`.
    fn lr(&self, lr: f64) -> f64 {
        let gradient_square = self.gradient_square / self.steps.clamp(1, MEASURED_STEPS) as f64;
        self.treatment.lr(lr, gradient_square)
    }

    /// State variables and what they are called.
    fn vars(&self) -> impl Iterator<Item = (&'static str, &Var)> {
        let named = self.treatment.state_names().iter().copied().zip(&self.state);
        let row_state = self.treatment.row_state_name().zip(self.row_state.as_ref());
        named.chain(row_state).chain(self.targets.as_ref().map(|targets| ("target", targets)))
    }

    /// This slot with the state in `state`.
    fn loaded(&self, state: &Keyed<'_>) -> Result<Self, Error> {
        let name = &self.parameter.name;
        let numbers = state.get(&format!("numbers/{name}"))?.to_vec1::<f64>()?;
        let &[steps, scale, gradient_square] = numbers.as_slice() else {
            let message = format!("expected 3 numbers in the optimizer's state, found {}", numbers.len());
            return Err(Error::parameter(name, message));
        };
        let var = |key: &str, dims: &[usize]| {
            let tensor = state.get(&format!("{key}/{name}"))?;
            if tensor.dims() != dims {
                let message = format!("expected `{key}` of shape {dims:?}, found {:?}", tensor.dims());
                return Err(Error::parameter(name, message));
            }
            let tensor = tensor.to_dtype(DType::F32)?.to_device(self.parameter.var.device())?;
            Ok(Var::from_tensor(&tensor)?)
        };
        let row_state = match (self.treatment.row_state_name(), &self.row_state) {
            (Some(key), Some(present)) => Some(var(key, present.dims())?),
            _ => None,
        };
        let names = if steps > 0.0 { self.treatment.state_names() } else { &[] };
        Ok(Self {
            parameter: self.parameter.clone(),
            treatment: self.treatment.clone(),
            steps: steps as u64,
            state: names.iter().map(|key| var(key, self.parameter.var.dims())).collect::<Result<_, _>>()?,
            row_state,
            targets: self.targets.as_ref().map(|present| var("target", present.dims())).transpose()?,
            scale,
            gradient_square,
        })
    }
}

/// What the rows of a weight were scaled by: one factor a row, or one for all.
enum Factors {
    OnHost(Vec<f64>),
    /// `[rows, 1]` or `[1, 1]`.
    OnDevice(Tensor),
}

/// State by name.
struct Keyed<'a>(&'a HashMap<String, Tensor>);

impl<'a> Keyed<'a> {
    fn get(&self, key: &str) -> Result<&'a Tensor, Error> {
        let missing = || Error::settings("optimizer state", format!("expected `{key}`, found no such tensor"));
        self.0.get(key).ok_or_else(missing)
    }
}

/// The norms of rows of `len` values, at least 1.
fn norms(tensor: &Tensor, len: usize) -> Result<Vec<f64>, Error> {
    let on_cpu = tensor.to_device(&Device::Cpu)?;
    Ok(read(&on_cpu, |values| values.chunks(len).map(|row| square(row).sqrt()).collect())?)
}
