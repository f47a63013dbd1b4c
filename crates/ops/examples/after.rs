//! The network of `before.rs` with the operations of this crate: `cargo run --release -p regularize-ops --example after`.

mod synthetic;

use candle_core::{DType, Device::Cpu, Result, Tensor, Var};
use candle_nn::{Init, Optimizer, SGD, VarBuilder, VarMap, init::DEFAULT_KAIMING_NORMAL};
use ops::{BatchNorm, Conv2d, CrossEntropy, FeatureMap, MaxPool2d, Statistics};
use std::time::Instant;

struct Layer {
    weight: Tensor,
    norm: BatchNorm,
}

impl Layer {
    fn new(vb: &VarBuilder<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = vb.get_with_hints((outputs, inputs, 3, 3), "conv.weight", DEFAULT_KAIMING_NORMAL)?;
        let vector = |name: &str, value: f64| vb.get_with_hints(outputs, name, Init::Const(value));
        let norm = BatchNorm {
            weight: vector("norm.weight", 1.0)?,
            bias: vector("norm.bias", 0.0)?,
            running_mean: Var::from_tensor(&vector("norm.running_mean", 0.0)?)?,
            running_var: Var::from_tensor(&vector("norm.running_var", 1.0)?)?,
            eps: 1e-5,
            momentum: 0.1,
        };
        Ok(Self { weight, norm })
    }

    fn forward(&self, x: &FeatureMap) -> Result<FeatureMap> {
        let geometry = Conv2d { padding: 1, ..Conv2d::default() };
        ops::conv_bn(x, &self.weight, geometry, &self.norm, Statistics::Batch, None, true)
    }
}

struct Network {
    layers: [Layer; 3],
    weight: Tensor,
    bias: Tensor,
}

impl Network {
    fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let layers = [
            Layer::new(&vb.pp("layer1"), 3, 16)?,
            Layer::new(&vb.pp("layer2"), 16, 32)?,
            Layer::new(&vb.pp("layer3"), 32, 64)?,
        ];
        let weight = vb.get_with_hints((synthetic::CLASSES, 64), "head.weight", DEFAULT_KAIMING_NORMAL)?;
        let bias = vb.get_with_hints(synthetic::CLASSES, "head.bias", Init::Const(0.0))?;
        Ok(Self { layers, weight, bias })
    }

    /// `[n, 3, h, w]` to `[n, classes]`.
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let x = self.layers[0].forward(&FeatureMap::from_nchw(images)?)?;
        let x = ops::max_pool2d(&self.layers[1].forward(&x)?, MaxPool2d { kernel: 2, stride: 2, padding: 0 })?;
        let x = self.layers[2].forward(&x)?;
        ops::linear(&ops::global_avg_pool2d(&x)?, &self.weight, Some(&self.bias))
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
            let loss = ops::cross_entropy(&network.forward(images)?, classes, &CrossEntropy::default())?;
            optimizer.step(&ops::backward(&loss)?)?;
            sum += loss.to_scalar::<f32>()?;
        }
        let images = batches.iter().map(|(_, classes)| classes.len()).sum::<usize>() as f32;
        let speed = images / start.elapsed().as_secs_f32();
        println!("epoch {epoch}: loss {:.3}, {speed:.0} images/s", sum / batches.len() as f32);
    }
    Ok(())
}
