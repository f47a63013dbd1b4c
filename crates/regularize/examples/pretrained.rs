//! Fine-tunes a pretrained network under weight rescaling: `cargo run --release -p regularize --example pretrained`.
//!
//! Its filters are put to norm 1 without a change of what it computes, because the running statistics of the batch
//! norms follow.

mod network;

use candle_core::{Device::Cpu, Tensor, safetensors::load_buffer};
use network::{Network, batches, tell_roles};
use regularize::{Method, Optimizer, Params, Role, Sgd, WeightDecay, Wrs};
use std::error::Error;

/// Trains with weight decay and gives the parameters and running statistics as a file of safetensors.
fn pretrain(batches: &[(Tensor, Tensor)]) -> Result<Vec<u8>, Box<dyn Error>> {
    let params = Params::new(0, &Cpu).with_method(Method::WeightDecay(WeightDecay::default()));
    let network = Network::new(&params.var_builder())?;
    tell_roles(&params)?;
    let mut optimizer = Optimizer::new(&params, Sgd::default(), 5e-4)?;
    for batch in batches {
        optimizer.step(&network.loss(batch)?.backward()?, 0.1)?;
    }
    let tensors = params.all().into_iter().map(|parameter| (parameter.name, parameter.var.into_inner()));
    Ok(safetensors::serialize(tensors, None)?)
}

fn largest_difference(a: &Tensor, b: &Tensor) -> candle_core::Result<f32> {
    (a - b)?.abs()?.max_all()?.to_scalar()
}

fn main() -> Result<(), Box<dyn Error>> {
    let batches = batches(32, 32)?;
    let file = pretrain(&batches)?;

    let params = Params::new(1, &Cpu).with_method(Method::Wrs(Wrs::default()));
    let network = Network::new(&params.var_builder())?;
    tell_roles(&params)?;
    params.load(&load_buffer(&file, &Cpu)?)?;
    let (images, _) = &batches[0];
    let logits = network.forward(images, false)?;
    let (smallest, largest) = network.filter_norms()?;
    println!("pretrained: filter norms from {smallest:.4} to {largest:.4}");

    let buffers = || params.all().into_iter().filter(|parameter| matches!(parameter.role, Role::Buffer));
    let statistics = buffers().map(|buffer| buffer.var.copy()).collect::<Result<Vec<_>, _>>()?;
    // It rescales for the first time here.
    let mut optimizer = Optimizer::new(&params, Sgd { lr: 0.05, ..Sgd::default() }, 5e-4)?;
    let (smallest, largest) = network.filter_norms()?;
    println!("rescaled:   filter norms from {smallest:.4} to {largest:.4}");

    let moved = largest_difference(&network.forward(images, false)?, &logits)?;
    let followed = buffers().map(|buffer| buffer.var.copy()).collect::<Result<Vec<_>, _>>()?;
    for (buffer, statistic) in buffers().zip(&statistics) {
        buffer.var.set(statistic)?;
    }
    let stale = largest_difference(&network.forward(images, false)?, &logits)?;
    for (buffer, statistic) in buffers().zip(&followed) {
        buffer.var.set(statistic)?;
    }
    let size = logits.abs()?.max_all()?.to_scalar::<f32>()?;
    println!("in evaluation, logits of up to {size:.2} differ by up to {moved:.1e}: rounding, and batch norm's ε");
    println!("had the running statistics not followed, by up to {stale:.1e}");
    if moved > 1e-4 * size || stale < 1e-2 * size {
        return Err("expected the rescaled network to compute the same, thanks to its running statistics".into());
    }

    let mut losses = Vec::new();
    for (step, batch) in batches.iter().enumerate() {
        let loss = network.loss(batch)?;
        optimizer.step(&loss.backward()?, 0.05)?;
        losses.push(loss.to_scalar::<f32>()?);
        if step % 8 == 7 {
            let mean = losses[step - 7..].iter().sum::<f32>() / 8.0;
            println!("fine-tuning, steps {} to {}: mean loss {mean:.3}", step - 6, step + 1);
        }
    }
    Ok(())
}
