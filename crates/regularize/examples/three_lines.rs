//! A training loop of candle's that gains momentum and weight rescaling by three changed lines:
//! `cargo run --release -p regularize --example three_lines`.

mod network;

use candle_core::{DType, Device::Cpu, Tensor};
use candle_nn::{Optimizer as _, SGD, VarBuilder, VarMap};
use network::{Network, batches, tell_roles};
use regularize::{Method, Optimizer, Params, Sgd, Wrs};
use std::error::Error;

const EPOCHS: usize = 5;

/// The loop as one writes it with candle-nn.
fn before(batches: &[(Tensor, Tensor)]) -> Result<(), Box<dyn Error>> {
    let params = VarMap::new();
    let network = Network::new(&VarBuilder::from_varmap(&params, DType::F32, &Cpu))?;
    let mut optimizer = SGD::new(params.all_vars(), 0.1)?;
    for epoch in 1..=EPOCHS {
        let mut sum = 0.0;
        for batch in batches {
            let loss = network.loss(batch)?;
            optimizer.backward_step(&loss)?;
            sum += loss.to_scalar::<f32>()?;
        }
        report(epoch, sum / batches.len() as f32, &network)?;
    }
    Ok(())
}

/// The same loop: where parameters come from, the optimizer and its step have changed, and the network's layers say
/// which weights are scale-invariant.
fn after(batches: &[(Tensor, Tensor)]) -> Result<(), Box<dyn Error>> {
    let params = Params::new(0, &Cpu).with_method(Method::Wrs(Wrs::default()));
    let network = Network::new(&params.var_builder())?;
    tell_roles(&params)?;
    let mut optimizer = Optimizer::new(&params, Sgd::default(), 5e-4)?;
    let mut means = Vec::new();
    for epoch in 1..=EPOCHS {
        let mut sum = 0.0;
        for batch in batches {
            let loss = network.loss(batch)?;
            optimizer.step(&loss.backward()?, 0.1)?;
            sum += loss.to_scalar::<f32>()?;
        }
        means.push(sum / batches.len() as f32);
        report(epoch, sum / batches.len() as f32, &network)?;
    }
    let (smallest, largest) = network.filter_norms()?;
    if (smallest - 1.0).abs() > 1e-5 || (largest - 1.0).abs() > 1e-5 {
        return Err(format!("expected filters of norm 1, found {smallest} to {largest}").into());
    }
    match means[..] {
        [first, .., last] if last < 0.8 * first => Ok(()),
        _ => Err(format!("expected a falling loss, found {means:?}").into()),
    }
}

fn report(epoch: usize, loss: f32, network: &Network) -> Result<(), Box<dyn Error>> {
    let (smallest, largest) = network.filter_norms()?;
    println!("epoch {epoch}: loss {loss:.3}, filter norms from {smallest:.4} to {largest:.4}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let batches = batches(16, 32)?;
    println!("candle's SGD");
    before(&batches)?;
    println!("SGD with momentum and weight rescaling");
    after(&batches)
}
