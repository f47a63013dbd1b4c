//! Parameters that a network sees in half precision.

use super::{Parameter, Params, Role};
use crate::error::Error;
use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var, bail};

impl Params {
    /// A handle to the same parameters through which a network sees them as `dtype`: `f32`, `bf16` or `f16`. Its
    /// [`Params::get`], [`Params::scale_invariant`] and [`Params::var_builder`] return rounded copies, as does
    /// `VarBuilder::to_dtype`.
    ///
    /// Parameters, the optimizer's state and what is saved stay `f32` (master weights, arXiv 1710.03740, section 3.1): a
    /// step changes the parameter and rounds it again. Running statistics must be seen as `f32`, because rounding would
    /// lose their small steps.
    #[must_use]
    pub fn to_dtype(&self, dtype: DType) -> Self {
        Self { dtype, ..self.clone() }
    }

    /// Rounds the parameters again to the copies that the network sees in half precision. Optimizers and
    /// [`Params::load`] call this; a program that sets [`Parameter::var`] itself has to.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn sync_half(&self) -> Result<()> {
        for entry in &self.lock().entries {
            if let Some(half) = &entry.half {
                half.set(&entry.rounded(half.dtype())?)?;
            }
        }
        Ok(())
    }

    /// The gradients of all parameters in `f32`, divided by `loss_scale`: what [`crate::Optimizer::step`] takes after
    /// `(loss * loss_scale)?.backward()`, which keeps small gradients from vanishing in `f16`. Not needed for a scale of 1.
    ///
    /// # Errors
    ///
    /// Where `loss_scale` is not a number above 0, or a tensor operation fails.
    pub fn unscale(&self, gradients: &GradStore, loss_scale: f64) -> std::result::Result<GradStore, Error> {
        settings::above("loss_scale", loss_scale, 0.0).map_err(|mistake| Error::settings("gradients", mistake))?;
        let mut unscaled = GradStore::default();
        for entry in &self.lock().entries {
            if let Some(gradient) = entry.gradient(gradients)? {
                let gradient = if loss_scale == 1.0 { gradient } else { (gradient / loss_scale)? };
                unscaled.insert(&entry.var, gradient);
            }
        }
        Ok(unscaled)
    }

    /// The gradients of all parameters in `f32`; `None` where `gradients` are these, because the network sees all of them
    /// in `f32`.
    pub(crate) fn full_gradients(&self, gradients: &GradStore) -> std::result::Result<Option<GradStore>, Error> {
        let some_half = self.lock().entries.iter().any(|entry| entry.half.is_some());
        some_half.then(|| self.unscale(gradients, 1.0)).transpose()
    }
}

impl Parameter {
    /// What the network sees of it as `dtype`.
    pub(super) fn seen_as(&mut self, dtype: DType) -> Result<Tensor> {
        let name = &self.name;
        match (dtype, &self.half) {
            (DType::F32, _) => Ok(self.var.as_tensor().clone()),
            (DType::BF16 | DType::F16, _) if self.is_statistic() => bail!(
                "parameter `{name}`: expected running statistics to be f32, found {dtype:?}; make the normalization from \
                 parameters `to_dtype` f32, and give it f32"
            ),
            (DType::BF16 | DType::F16, Some(half)) if half.dtype() != dtype => {
                bail!("parameter `{name}`: expected {:?} as elsewhere in the network, found {dtype:?}", half.dtype())
            }
            (DType::BF16 | DType::F16, Some(half)) => Ok(half.as_tensor().clone()),
            (DType::BF16 | DType::F16, None) => {
                let half = Var::from_tensor(&self.rounded(dtype)?)?;
                Ok(self.half.insert(half).as_tensor().clone())
            }
            _ => bail!("parameter `{name}`: expected f32, bf16 or f16, found {dtype:?}"),
        }
    }

    /// Whether it is a buffer, or by its name a running statistic that a layer of candle-nn made.
    pub(crate) fn is_statistic(&self) -> bool {
        matches!(self.role, Role::Buffer) || self.name.ends_with("running_mean") || self.name.ends_with("running_var")
    }

    fn rounded(&self, dtype: DType) -> Result<Tensor> {
        self.var.as_detached_tensor().to_dtype(dtype)
    }

    /// Its gradient, to which those of the parameter and of its rounded copy add up. That of the copy is converted to `f32`
    /// if it has the type of the copy; others are for [`crate::Optimizer::step`] to reject.
    fn gradient(&self, gradients: &GradStore) -> Result<Option<Tensor>> {
        let full = gradients.get(&self.var);
        let Some((half, gradient)) = self.half.as_ref().and_then(|half| Some((half, gradients.get(half)?))) else {
            return Ok(full.cloned());
        };
        let gradient = if gradient.dtype() == half.dtype() { gradient.to_dtype(DType::F32)? } else { gradient.clone() };
        match full {
            Some(full) => Ok(Some((full + gradient)?)),
            None => Ok(Some(gradient)),
        }
    }
}
