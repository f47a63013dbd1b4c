//! A base rule and a method, applied to parameters.

use crate::error::Error;
use crate::in_place::{change, read, sum_of_squares};
use crate::method::Method;
use crate::params::{Parameter, Params, Role};
use crate::rescale::Interval;
use crate::settings::{self, Table};
use crate::sgd::Sgd;
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::time::Instant;

/// Trains [`Params`] with a base rule, under a [`Method`].
///
/// Works in place on the CPU, with momentum kept here; parameters without a gradient are left alone, as
/// in torch.
pub struct Optimizer {
    rule: Sgd,
    method: Method,
    rest_decay: f64,
    slots: Vec<Slot>,
    steps: u64,
    epochs: u64,
    seconds: StepSeconds,
}

/// What the optimizer keeps of one parameter.
struct Slot {
    parameter: Parameter,
    /// Empty before the parameter's first gradient, and without momentum.
    momentum: Vec<f32>,
    /// Target norms under weight rescaling, empty for parameters that are not rescaled.
    targets: Vec<f64>,
}

/// Wall-clock seconds, summed over steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepSeconds {
    /// The base rule's update, weight decay included: it is one multiplication in the same pass.
    pub update: f64,
    /// What the method does besides.
    pub method: f64,
}

impl Optimizer {
    /// An optimizer of the trainable parameters of `params`. Where the method rescales, it does so here
    /// for the first time.
    ///
    /// `rest_decay` is the decay of parameters that are not scale-invariant; see [`Method`].
    ///
    /// # Errors
    ///
    /// Where a setting is out of range, or parameters are not on the CPU.
    pub fn new(params: &Params, rule: Sgd, method: Method, rest_decay: f64) -> Result<Self, Error> {
        if let Some(problem) = rule.problem() {
            return Err(Error::settings("optimizer `sgd`", problem));
        }
        if let Some(problem) = method.problem() {
            return Err(Error::settings(format!("method `{}`", method.info().name), problem));
        }
        if !(rest_decay.is_finite() && rest_decay >= 0.0) {
            return Err(Error::settings("rest_decay", format!("must be a number of at least 0, found {rest_decay}")));
        }
        if !params.device().is_cpu() {
            let found = params.device().location();
            return Err(Error::settings("optimizer", format!("works on the CPU, found parameters on {found:?}")));
        }
        let slot = |parameter: Parameter| {
            let targets = match (&method, &parameter.role) {
                (Method::Wrs(wrs), Role::ScaleInvariant(_)) => wrs.targets(&parameter)?,
                _ => Vec::new(),
            };
            Ok::<_, Error>(Slot { parameter, momentum: Vec::new(), targets })
        };
        let slots = params.trainable().into_iter().map(slot).collect::<Result<_, _>>()?;
        let seconds = StepSeconds::default();
        let mut optimizer = Self { rule, method, rest_decay, slots, steps: 0, epochs: 0, seconds };
        optimizer.rescale()?;
        Ok(optimizer)
    }

    /// Reads the base rule from its table, `{ name = "sgd", … }`.
    ///
    /// # Errors
    ///
    /// Where the name or a key is unknown, or a value has the wrong type or range.
    pub fn rule_from_table(table: &Table) -> Result<Sgd, Error> {
        let (name, rest) = settings::name("optimizer", table)?;
        if name != "sgd" {
            return Err(Error::Unknown { kind: "optimizer", name, known: vec!["sgd"] });
        }
        let rule: Sgd = settings::read("optimizer", &name, rest)?;
        match rule.problem() {
            Some(problem) => Err(Error::settings("optimizer `sgd`", problem)),
            None => Ok(rule),
        }
    }

    /// The table that [`Optimizer::rule_from_table`] reads, with every default filled in.
    pub fn rule_to_table(rule: &Sgd) -> Table {
        settings::write("sgd", rule)
    }

    /// Takes a step at learning rate `lr` (the schedule applied), and rescales where the method does.
    ///
    /// # Errors
    ///
    /// Where a gradient does not fit its parameter.
    pub fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<(), Error> {
        let start = Instant::now();
        let clip = self.clip(gradients)?;
        for slot in &mut self.slots {
            let Slot { parameter, momentum, .. } = slot;
            let Some(gradient) = gradients.get(&parameter.var) else { continue };
            if gradient.dims() != parameter.var.dims() {
                let message = format!("has shape {:?}, its gradient {:?}", parameter.var.dims(), gradient.dims());
                return Err(Error::parameter(&parameter.name, message));
            }
            let decay = self.method.decay(&parameter.role, self.rest_decay);
            read(gradient, |g| change(&parameter.var, |w| self.rule.update(w, momentum, g, clip, lr, decay)))??;
        }
        self.steps += 1;
        let updated = Instant::now();
        if let Method::Wrs(wrs) = &self.method
            && let Interval::Steps(interval) = wrs.interval
            && self.steps.is_multiple_of(interval)
        {
            self.rescale()?;
        }
        self.seconds.update += (updated - start).as_secs_f64();
        self.seconds.method += updated.elapsed().as_secs_f64();
        Ok(())
    }

    /// Says that an epoch of training has ended: methods with an interval of epochs act here.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn end_epoch(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        self.epochs += 1;
        if let Method::Wrs(wrs) = &self.method
            && let Interval::Epochs(interval) = wrs.interval
            && self.epochs.is_multiple_of(interval)
        {
            self.rescale()?;
        }
        self.seconds.method += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// Time spent in steps since the optimizer was made.
    pub fn seconds(&self) -> StepSeconds {
        self.seconds
    }

    /// The rate at which a filter of norm `norm` turns per unit of its scale-free gradient at learning
    /// rate `lr`: `lr / norm²` for SGD (van Laarhoven, arXiv 1706.05350).
    pub fn effective_lr(&self, lr: f64, norm: f64) -> f64 {
        lr / (norm * norm)
    }

    /// Everything that must be kept, besides the parameters, to go on bit for bit: momentum, counters and
    /// target norms (as pairs of `f32`).
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn state(&self) -> Result<HashMap<String, Tensor>, Error> {
        let mut state = HashMap::new();
        let counters = Tensor::from_vec(vec![self.steps as i64, self.epochs as i64], 2, &Device::Cpu)?;
        state.insert("counters".to_owned(), counters);
        for slot in &self.slots {
            let name = &slot.parameter.name;
            if !slot.momentum.is_empty() {
                let momentum = Tensor::from_slice(&slot.momentum, slot.parameter.var.shape(), &Device::Cpu)?;
                state.insert(format!("momentum/{name}"), momentum);
            }
            if !slot.targets.is_empty() {
                let targets = Tensor::from_slice(&slot.targets, slot.targets.len(), &Device::Cpu)?;
                state.insert(format!("target/{name}"), targets);
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
        let missing = |key: &str| Error::settings("optimizer state", format!("expected `{key}`, found no such tensor"));
        let counters = state.get("counters").ok_or_else(|| missing("counters"))?.to_vec1::<i64>()?;
        let &[steps, epochs] = counters.as_slice() else { return Err(missing("counters")) };
        let mut loaded = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let name = &slot.parameter.name;
            let momentum = match state.get(&format!("momentum/{name}")) {
                None => Vec::new(),
                Some(momentum) if momentum.dims() == slot.parameter.var.dims() => momentum.flatten_all()?.to_vec1()?,
                Some(momentum) => {
                    let message = format!(
                        "expected momentum of shape {:?}, found {:?}",
                        slot.parameter.var.dims(),
                        momentum.dims()
                    );
                    return Err(Error::parameter(name, message));
                }
            };
            let targets = match state.get(&format!("target/{name}")) {
                None => Vec::new(),
                Some(targets) => targets.to_vec1::<f64>()?,
            };
            if targets.len() != slot.targets.len() {
                let message = format!("expected {} target norms, found {}", slot.targets.len(), targets.len());
                return Err(Error::parameter(name, message));
            }
            loaded.push((momentum, targets));
        }
        (self.steps, self.epochs) = (steps as u64, epochs as u64);
        for (slot, (momentum, targets)) in self.slots.iter_mut().zip(loaded) {
            (slot.momentum, slot.targets) = (momentum, targets);
        }
        Ok(())
    }

    /// The factor that brings the global norm of all gradients down to `clip_norm`.
    fn clip(&self, gradients: &GradStore) -> Result<f32, Error> {
        let Some(largest) = self.rule.clip_norm else { return Ok(1.0) };
        let mut square = 0.0;
        for slot in &self.slots {
            if let Some(gradient) = gradients.get(&slot.parameter.var) {
                square += read(gradient, sum_of_squares)?;
            }
        }
        Ok((largest / (square.sqrt() + 1e-6)).min(1.0) as f32)
    }

    fn rescale(&mut self) -> Result<(), Error> {
        if let Method::Wrs(wrs) = &self.method {
            for slot in self.slots.iter_mut().filter(|slot| !slot.targets.is_empty()) {
                wrs.rescale(&slot.parameter, &slot.targets, &mut slot.momentum)?;
            }
        }
        Ok(())
    }
}
