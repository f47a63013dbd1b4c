//! Times training steps of the segmentation networks, or forward passes in evaluation, on random images of 240×180 pixels.
//!
//! Prints one line of JSON; `tools/peers` compares it with PyTorch's.

#[path = "../../vision/examples/step/timing.rs"]
mod timing;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::Parser;
use ops::Statistics;
use rand::RngExt;
use rand_distr::StandardNormal;
use regularize::{Method, Optimizer, Params, Sgd, WeightDecay};
use segmentation::{DeepLabConfig, Loss, LossConfig, ModelConfig, Segmenter};

const CLASSES: u8 = 11;
const LR: f64 = 0.01;
const SIZE: [usize; 2] = [180, 240];

#[derive(Parser)]
#[command(about)]
struct Cli {
    /// DeepLabv3+ on a ResNet-18 of half its width with output stride 8, or a U-Net of a quarter of its width
    #[arg(value_parser = ["deeplab18", "unet16"])]
    model: String,
    #[command(flatten)]
    timing: timing::Timing,
}

fn main() -> Result<()> {
    let Cli { model, timing } = Cli::parse();
    timing.run(&model, || {
        let params = Params::new(0, &Device::Cpu);
        let config = match model.as_str() {
            "unet16" => ModelConfig::Unet { width: 16, levels: 5 },
            _ => ModelConfig::Deeplab(DeepLabConfig {
                depth: 18,
                width: 32,
                output_stride: 8,
                channels: 64,
                low_level: 24,
                rates: Some(vec![6, 12, 18]),
            }),
        };
        let network = Segmenter::new(&params, 3, CLASSES.into(), &config)?;
        let loss = Loss::new(LossConfig::default(), None);
        let decay = Method::WeightDecay(WeightDecay { decay: 5e-4, ..WeightDecay::default() });
        let mut optimizer =
            Optimizer::new(&params.with_method(decay), Sgd { lr: LR, momentum: 0.9, ..Sgd::default() }, 0.0)?;

        let ([height, width], batch) = (SIZE, timing.batch as usize);
        let mut rng = random::stream(0, "images", &[]);
        let pixels: Vec<f32> = (0..batch * height * width * 3).map(|_| rng.sample(StandardNormal)).collect();
        let images = Tensor::from_vec(pixels, (batch, height, width, 3), &Device::Cpu)?;
        let targets: Vec<u8> = (0..batch * height * width).map(|_| rng.random_range(0..CLASSES)).collect();

        let eval = timing.eval;
        Ok(move || {
            if eval {
                ops::no_grad(|| network.forward(&images, Statistics::Running))?;
                return Ok(None);
            }
            let loss = loss.of(&network.forward(&images, Statistics::Batch)?, &targets)?;
            optimizer.step(&ops::backward(&loss)?, LR)?;
            Ok(Some(loss.to_scalar()?))
        })
    })
}
