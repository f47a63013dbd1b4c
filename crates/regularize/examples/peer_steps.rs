//! Steps of an optimizer with given gradients, as JSON; `tools/peers/optimizers.py` holds them against other
//! implementations.
//!
//! Reads from stdin `{"optimizer": {…}, "method": {…}, "params": [{"name", "dims", "values"}], "gradients": [[[…]]]}`, where
//! `gradients` has a list for each step and in it one for each parameter, and prints the parameters after each step.

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use regularize::{Base, Method, Optimizer, Params, Table};
use serde::Deserialize;
use std::error::Error;

#[derive(Deserialize)]
struct Case {
    optimizer: Table,
    method: Table,
    params: Vec<Start>,
    gradients: Vec<Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct Start {
    name: String,
    dims: Vec<usize>,
    values: Vec<f32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let case: Case = serde_json::from_reader(std::io::stdin().lock())?;
    let (base, method) = (Base::from_table(&case.optimizer)?, Method::from_table(&case.method)?);
    let params = Params::new(0, &Device::Cpu).with_method(method);
    for Start { name, dims, values } in case.params {
        params.get(&name, dims.clone(), Init::Const(0.0))?;
        let Some(parameter) = params.trainable().pop() else { return Err("expected a parameter".into()) };
        parameter.var.set(&Tensor::from_vec(values, dims, &Device::Cpu)?)?;
    }
    let mut optimizer = Optimizer::new(&params, base, 0.0)?;
    let mut steps: Vec<Vec<Vec<f32>>> = Vec::new();
    for of_step in case.gradients {
        let mut gradients = Tensor::zeros((), DType::F32, &Device::Cpu)?.backward()?;
        for (parameter, gradient) in params.trainable().iter().zip(of_step) {
            gradients.insert(&parameter.var, Tensor::from_vec(gradient, parameter.var.dims(), &Device::Cpu)?);
        }
        optimizer.step(&gradients, base.rule.lr())?;
        let values = |parameter: &regularize::Parameter| parameter.var.flatten_all()?.to_vec1();
        steps.push(params.trainable().iter().map(values).collect::<Result<_, candle_core::Error>>()?);
    }
    println!("{}", serde_json::to_string(&steps)?);
    Ok(())
}
