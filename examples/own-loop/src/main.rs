//! A training loop of your own: layers and variables of candle-nn, roles found by experiment, weight rescaling through
//! candle-nn's optimizer trait, and the loss of `ops`.

use candle_core::{DType, Device::Cpu, Module, ModuleT, Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Linear, Optimizer, VarBuilder, VarMap};
use ops::CrossEntropy;
use regularize::{CandleConfig, CandleOptimizer, Method, Params, Sgd, Wrs};

const CLASSES: usize = 4;
const SIDE: usize = 12;
const EPOCHS: usize = 6;

struct Network {
    conv: Conv2d,
    norm: BatchNorm,
    head: Linear,
}

impl Network {
    fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let geometry = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        Ok(Self {
            conv: candle_nn::conv2d_no_bias(1, 12, 3, geometry, vb.pp("conv"))?,
            norm: candle_nn::batch_norm(12, 1e-5, vb.pp("norm"))?,
            head: candle_nn::linear(12, CLASSES, vb.pp("head"))?,
        })
    }

    /// `[n, 1, h, w]` to `[n, classes]`, in training mode.
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let features = self.norm.forward_t(&self.conv.forward(images)?, true)?.relu()?;
        self.head.forward(&features.mean((2, 3))?)
    }

    fn loss(&self, (images, classes): &(Tensor, Vec<u32>)) -> Result<Tensor> {
        ops::cross_entropy(&self.forward(images)?, classes, &CrossEntropy::default())
    }
}

/// Batches of `n` images `[n, 1, SIDE, SIDE]` of stripes in noise; the direction of the stripes is the class.
fn batches(count: usize, n: usize) -> Result<Vec<(Tensor, Vec<u32>)>> {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut batch = || {
        let (mut images, classes) = (Vec::new(), (0..n).map(|image| (image % CLASSES) as u32));
        for class in classes.clone() {
            let phase = (3.0 * (noise() + 0.5)) as usize;
            for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
                let along = [x, y, x + y, x + SIDE - y][class as usize];
                images.push(f32::from(u8::from((along + phase) % 3 == 0)) + noise());
            }
        }
        Ok((Tensor::from_vec(images, (n, 1, SIDE, SIDE), &Cpu)?, classes.collect()))
    };
    (0..count).map(|_| batch()).collect()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let variables = VarMap::new();
    let network = Network::new(&VarBuilder::from_varmap(&variables, DType::F32, &Cpu))?;
    let batches = batches(8, 32)?;

    let params = Params::from_varmap(&variables)?.with_method(Method::Wrs(Wrs::default()));
    let roles = params.infer_roles(|round| network.loss(&batches[round]))?;
    print!("{roles}");
    let config = CandleConfig { params, base: Sgd { lr: 0.2, ..Sgd::default() }.into(), rest_decay: 5e-4 };
    let mut optimizer = CandleOptimizer::new(variables.all_vars(), config)?;

    let mut means = Vec::new();
    for epoch in 1..=EPOCHS {
        let mut sum = 0.0;
        for batch in &batches {
            let loss = network.loss(batch)?;
            optimizer.step(&ops::backward(&loss)?)?;
            sum += loss.to_scalar::<f32>()?;
        }
        optimizer.set_learning_rate(0.8 * optimizer.learning_rate());
        let mean = sum / batches.len() as f32;
        println!("epoch {epoch}: loss {mean:.3}");
        means.push(mean);
    }
    match means[..] {
        [first, .., last] if last < 0.5 * first => Ok(()),
        _ => Err(format!("expected the loss to fall to a half, found {means:?}").into()),
    }
}
