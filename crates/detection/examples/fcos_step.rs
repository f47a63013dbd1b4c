//! Times training steps of the detector, or forward passes in evaluation, on random images of 320×240 pixels with 20
//! objects each.
//!
//! Prints one line of JSON; `tools/peers` compares it with PyTorch's.

#[path = "../../vision/examples/step/timing.rs"]
mod timing;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::Parser;
use data::Object;
use detection::{Detector, ModelConfig, loss};
use ops::Statistics;
use rand::RngExt;
use rand_distr::StandardNormal;
use regularize::{Method, Optimizer, Params, Sgd, WeightDecay};

const CLASSES: usize = 3;
const LR: f64 = 0.01;
const SIZE: [usize; 2] = [240, 320];
const OBJECTS: usize = 20;

#[derive(Parser)]
#[command(about)]
struct Cli {
    /// The detector: a ResNet-18 of half its width.
    #[arg(value_parser = ["fcos18"])]
    model: String,
    #[command(flatten)]
    timing: timing::Timing,
}

fn main() -> Result<()> {
    let Cli { model, timing } = Cli::parse();
    timing.run(&model, || {
        let params = Params::new(0, &Device::Cpu);
        let config =
            ModelConfig { depth: 18, width: 32, stride: 8, levels: 3, channels: 96, convs: 2, freeze_norms: false };
        let network = Detector::new(&params, 3, CLASSES, config)?;
        let decay = Method::WeightDecay(WeightDecay { decay: 5e-4, ..WeightDecay::default() });
        let mut optimizer =
            Optimizer::new(&params.with_method(decay), Sgd { lr: LR, momentum: 0.9, ..Sgd::default() }, 0.0)?;

        let ([height, width], batch) = (SIZE, timing.batch as usize);
        let mut rng = random::stream(0, "images", &[]);
        let pixels: Vec<f32> = (0..batch * height * width * 3).map(|_| rng.sample(StandardNormal)).collect();
        let images = Tensor::from_vec(pixels, (batch, height, width, 3), &Device::Cpu)?;
        let mut object = || {
            let mut between = |most: usize| rng.random_range(0.0..most as f32);
            let (x, y, w, h) = (between(width), between(height), 10.0 + between(70), 10.0 + between(70));
            Object { class: rng.random_range(0..CLASSES as u32), corners: [x, y, x + w, y + h], ignore: false }
        };
        let objects: Vec<Vec<Object>> = (0..batch).map(|_| (0..OBJECTS).map(|_| object()).collect()).collect();

        let eval = timing.eval;
        Ok(move || {
            if eval {
                ops::no_grad(|| network.forward(&images, Statistics::Running))?;
                return Ok(None);
            }
            let loss = loss(&network.forward(&images, Statistics::Batch)?, &objects)?;
            optimizer.step(&ops::backward(&loss)?, LR)?;
            Ok(Some(loss.to_scalar()?))
        })
    })
}
