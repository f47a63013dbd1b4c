//! Parameters that a `VarMap` of candle-nn holds.

use super::{Parameter, Params, Role};
use crate::error::Error;
use candle_core::{DType, Device, Var};
use candle_nn::VarMap;
use std::sync::PoisonError;

impl Params {
    /// The variables that `map` holds now, in order of their names: for a network made from `VarBuilder::from_varmap`. They
    /// are shared, so what is loaded into one is in the other, too.
    ///
    /// None has a role yet: [`Params::infer_roles`] finds roles, [`Params::buffer`] and [`Params::set_role`] declare them.
    ///
    /// # Errors
    ///
    /// Where a variable is not `f32`, or they are on several devices.
    pub fn from_varmap(map: &VarMap) -> Result<Self, Error> {
        let variables = map.data().lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut variables: Vec<(String, Var)> = variables.into_iter().collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        let device = variables.first().map_or(Device::Cpu, |(_, var)| var.device().clone());
        let params = Self::new(0, &device);
        let mut store = params.lock();
        for (name, var) in variables {
            if var.dtype() != DType::F32 || !var.device().same_device(&device) {
                let (dtype, found, expected) = (var.dtype(), var.device().location(), device.location());
                let message = format!("expected a variable of type f32 on {expected:?}, found {dtype:?} on {found:?}");
                return Err(Error::parameter(&name, message));
            }
            let at = store.entries.len();
            store.index.insert(name.clone(), at);
            store.entries.push(Parameter::new(name, var, Role::Other));
        }
        drop(store);
        Ok(params)
    }

    /// The variables of the trainable parameters.
    pub fn trainable_vars(&self) -> Vec<Var> {
        self.trainable().into_iter().map(|parameter| parameter.var).collect()
    }
}
