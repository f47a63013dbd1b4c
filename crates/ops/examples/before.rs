//! A small network trained with candle alone: `cargo run --release -p regularize-ops --example before`.
//!
//! `after.rs` is the same network with the operations of this crate.

mod synthetic;

use candle_core::{DType, Device::Cpu, Module, ModuleT, Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Linear, Optimizer, SGD, VarBuilder, VarMap, loss};
use std::time::Instant;

struct Layer {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Layer {
    fn new(vb: &VarBuilder<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        let geometry = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        Ok(Self {
            conv: candle_nn::conv2d_no_bias(inputs, outputs, 3, geometry, vb.pp("conv"))?,
            norm: candle_nn::batch_norm(outputs, 1e-5, vb.pp("norm"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward_t(&self.conv.forward(x)?, true)?.relu()
    }
}

struct Network {
    layers: [Layer; 3],
    head: Linear,
}

impl Network {
    fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let layers = [
            Layer::new(&vb.pp("layer1"), 3, 16)?,
            Layer::new(&vb.pp("layer2"), 16, 32)?,
            Layer::new(&vb.pp("layer3"), 32, 64)?,
        ];
        Ok(Self { layers, head: candle_nn::linear(64, synthetic::CLASSES, vb.pp("head"))? })
    }

    /// `[n, 3, h, w]` to `[n, classes]`.
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let x = self.layers[0].forward(images)?;
        let x = self.layers[1].forward(&x)?.max_pool2d(2)?;
        let x = self.layers[2].forward(&x)?;
        self.head.forward(&x.mean((2, 3))?)
    }
}

fn main() -> Result<()> {
    let variables = VarMap::new();
    let network = Network::new(&VarBuilder::from_varmap(&variables, DType::F32, &Cpu))?;
    let mut optimizer = SGD::new(variables.all_vars(), 0.1)?;
    let batches = synthetic::batches(16, 32)?;
    for epoch in 1..=5 {
        let (start, mut sum) = (Instant::now(), 0.0);
        for (images, classes) in &batches {
            let logits = network.forward(images)?;
            let loss = loss::cross_entropy(&logits, &Tensor::new(classes.as_slice(), &Cpu)?)?;
            optimizer.backward_step(&loss)?;
            sum += loss.to_scalar::<f32>()?;
        }
        let images = batches.iter().map(|(_, classes)| classes.len()).sum::<usize>() as f32;
        let speed = images / start.elapsed().as_secs_f32();
        println!("epoch {epoch}: loss {:.3}, {speed:.0} images/s", sum / batches.len() as f32);
    }
    Ok(())
}
