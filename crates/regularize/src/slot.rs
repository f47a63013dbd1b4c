//! What an optimizer keeps of one parameter, and a step of it.

use crate::base::Base;
use crate::error::Error;
use crate::fused;
use crate::in_place::{change, change_any, current, read, read_any};
use crate::method::Method;
use crate::params::{Normalization, Parameter, Role};
use crate::plan::{StepInputs, UpdatePlan};
use crate::step::{Center, Rescale};
use crate::sums::square;
use crate::tensors;
use candle_core::{DType, Device, Tensor, Var};
use std::collections::HashMap;

/// What the optimizer keeps of one parameter.
pub(crate) struct Slot {
    pub(crate) parameter: Parameter,
    pub(crate) plan: UpdatePlan,
    /// Gradients seen.
    steps: u64,
    /// As [`UpdatePlan::state_names`]; empty before the first gradient.
    state: Vec<Var>,
    /// As [`UpdatePlan::row_state_name`], `[rows]`.
    row_state: Option<Var>,
    /// Target norms of a method that rescales, `[rows]` or `[1]`.
    targets: Option<Var>,
    /// Nero's σ; 1 for other rules.
    scale: f64,
    /// Sum over [`MEASURED_STEPS`] of the scale-free gradient's squared norm.
    gradient_square: f64,
    /// Sum over the values of Adam's second moment, where [`UpdatePlan::shares_moments`].
    second_moment: f64,
}

/// What a step of all parameters has in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepContext {
    /// Learning rate of the base optimizer.
    pub(crate) lr: f64,
    /// Factor of gradients.
    pub(crate) clip: f32,
    /// Steps of the optimizer, this one included.
    pub(crate) total_steps: u64,
    pub(crate) root_second_moment: f64,
    /// Whether steps are in place, on the CPU.
    pub(crate) fused: bool,
}

/// Steps over which a matched rate measures the gradient.
const MEASURED_STEPS: u64 = 100;

impl Slot {
    pub(crate) fn new(base: &Base, method: &Method, rest_decay: f64, parameter: Parameter) -> Result<Self, Error> {
        let plan = UpdatePlan::new(base, method, rest_decay, &parameter);
        let device = parameter.var.device().clone();
        let row_state = match plan.row_state_name() {
            Some(_) => Some(Var::zeros(plan.rows, DType::F32, &device)?),
            None => None,
        };
        let (state, targets) = (Vec::new(), None);
        let (steps, scale, gradient_square, second_moment) = (0, 1.0, 0.0, 0.0);
        let mut slot =
            Self { parameter, plan, steps, state, row_state, targets, scale, gradient_square, second_moment };
        if slot.is_empty() {
            return Ok(slot);
        }
        if let Some((rescale, _)) = slot.plan.rescale() {
            let norms = norms(&slot.parameter.var, slot.plan.norm_len())?;
            let targets: Vec<f32> = norms.iter().map(|norm| slot.plan.target(*norm) as f32).collect();
            slot.targets = Some(Var::from_vec(targets, norms.len(), &device)?);
            let center = if rescale.center == Center::AtStart { Center::Always } else { rescale.center };
            slot.rescale_statistics(slot.rescale(&Rescale { center, ..rescale }, device.is_cpu())?)?;
        }
        if slot.plan.needs_scale() {
            let norms = norms(&slot.parameter.var, slot.plan.len)?;
            let mean = norms.iter().sum::<f64>() / norms.len() as f64;
            slot.scale = if mean == 0.0 { 0.01 } else { mean };
        }
        Ok(slot)
    }

    fn is_empty(&self) -> bool {
        self.parameter.var.elem_count() == 0
    }

    /// Takes a step; `updates` is memory that is used again and again.
    pub(crate) fn step(
        &mut self,
        gradient: &Tensor,
        context: &StepContext,
        updates: &mut Vec<f32>,
    ) -> Result<Option<Factors>, Error> {
        let StepContext { lr, clip, total_steps, root_second_moment, fused } = *context;
        if self.is_empty() {
            return Ok(None);
        }
        self.steps += 1;
        if self.state.is_empty() {
            for _ in self.plan.state_names() {
                self.state.push(self.parameter.var.zeros_like().and_then(|zeros| Var::from_tensor(&zeros))?);
            }
        }
        if self.plan.measures_gradient() && self.steps <= MEASURED_STEPS {
            self.gradient_square += f64::from(clip * clip) * self.measure(gradient)?;
        }
        let (lr, step, scale) = (self.lr(lr), self.steps, self.scale);
        let inputs = StepInputs { clip, lr, step, total_steps, scale, root_second_moment };
        let step = self.plan.step(&inputs);
        let factors = if fused {
            Some(Factors::OnHost(self.in_place(Some(gradient), |rows| fused::step(&step, rows, updates))?))
        } else {
            tensors::step(&step, &self.as_tensors(), gradient)?.map(Factors::OnDevice)
        };
        Ok(factors.filter(|_| step.rescale.is_some_and(|rescale| rescale.rescale_statistics)))
    }

    /// Puts the weight back to its norms, outside of a step.
    pub(crate) fn rescale(&self, rescale: &Rescale, fused: bool) -> Result<Option<Factors>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let factors = if fused {
            Factors::OnHost(self.in_place(None, |rows| fused::rescale(rescale, rows))?)
        } else {
            Factors::OnDevice(tensors::rescale(rescale, &self.as_tensors())?)
        };
        Ok(Some(factors).filter(|_| rescale.rescale_statistics))
    }

    /// Calls `f` with the memory of the weight, its gradient and its state.
    fn in_place<R>(&self, gradient: Option<&Tensor>, f: impl FnOnce(fused::Rows<'_>) -> R) -> candle_core::Result<R> {
        let len = self.plan.len;
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
            rows: self.plan.rows,
            len: self.plan.len,
            w: &self.parameter.var,
            m: self.state.first(),
            v: self.state.get(1),
            row_state: self.row_state.as_ref(),
            targets: self.targets.as_ref(),
        }
    }

    /// Scales running statistics and bias behind a weight whose rows were scaled by `factors`.
    pub(crate) fn rescale_statistics(&self, factors: Option<Factors>) -> Result<(), Error> {
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
        let len = self.plan.norm_len();
        let (g, w) = (norms(gradient, len)?, norms(&self.parameter.var, len)?);
        Ok(g.iter().zip(&w).map(|(g, w)| g * w * (g * w)).sum::<f64>() / g.len() as f64)
    }

    /// Moves the sum of Adam's second moments by a gradient of square `square`, and gives it corrected for its start at 0.
    pub(crate) fn second_moment(&mut self, square: f64) -> f64 {
        let Some([_, beta]) = self.plan.betas() else { return 0.0 };
        self.second_moment = beta * self.second_moment + (1.0 - beta) * square;
        // The step that is about to be taken.
        self.second_moment / (1.0 - libm::pow(beta, (self.steps + 1) as f64))
    }

    /// What is kept besides tensors.
    pub(crate) fn numbers(&self) -> [f64; 4] {
        [self.steps as f64, self.scale, self.gradient_square, self.second_moment]
    }

    /// The learning rate of this parameter where that of the base optimizer is `lr`.
    pub(crate) fn lr(&self, lr: f64) -> f64 {
        let gradient_square = self.gradient_square / self.steps.clamp(1, MEASURED_STEPS) as f64;
        self.plan.lr(lr, gradient_square)
    }

    /// State variables and what they are called.
    pub(crate) fn vars(&self) -> impl Iterator<Item = (&'static str, &Var)> {
        let named = self.plan.state_names().iter().copied().zip(&self.state);
        let row_state = self.plan.row_state_name().zip(self.row_state.as_ref());
        named.chain(row_state).chain(self.targets.as_ref().map(|targets| ("target", targets)))
    }

    /// This slot with the state in `state`.
    pub(crate) fn loaded(&self, state: &Keyed<'_>) -> Result<Self, Error> {
        let name = &self.parameter.name;
        let numbers = state.get(&format!("numbers/{name}"))?.to_vec1::<f64>()?;
        let &[steps, scale, gradient_square, second_moment] = numbers.as_slice() else {
            let message = format!("expected 4 numbers in the optimizer's state, found {}", numbers.len());
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
        let row_state = match (self.plan.row_state_name(), &self.row_state) {
            (Some(key), Some(present)) => Some(var(key, present.dims())?),
            _ => None,
        };
        let names = if steps > 0.0 { self.plan.state_names() } else { &[] };
        Ok(Self {
            parameter: self.parameter.clone(),
            plan: self.plan.clone(),
            steps: steps as u64,
            state: names.iter().map(|key| var(key, self.parameter.var.dims())).collect::<Result<_, _>>()?,
            row_state,
            targets: self.targets.as_ref().map(|present| var("target", present.dims())).transpose()?,
            scale,
            gradient_square,
            second_moment,
        })
    }
}

/// What the rows of a weight were scaled by: one factor a row, or one for all.
pub(crate) enum Factors {
    OnHost(Vec<f64>),
    /// `[rows, 1]` or `[1, 1]`.
    OnDevice(Tensor),
}

/// State by name.
pub(crate) struct Keyed<'a>(pub(crate) &'a HashMap<String, Tensor>);

impl<'a> Keyed<'a> {
    pub(crate) fn get(&self, key: &str) -> Result<&'a Tensor, Error> {
        let missing = || Error::State(format!("expected `{key}`, found no such tensor"));
        self.0.get(key).ok_or_else(missing)
    }
}

/// The norms of rows of `len` values, at least 1.
fn norms(tensor: &Tensor, len: usize) -> Result<Vec<f64>, Error> {
    let on_cpu = tensor.to_device(&Device::Cpu)?;
    Ok(read(&on_cpu, |values| values.chunks(len).map(|row| square(row).sqrt()).collect())?)
}
