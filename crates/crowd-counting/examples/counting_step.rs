//! Times training steps of the counting networks, or forward passes in evaluation, on random images of 320×240 pixels.
//!
//! Prints one line of JSON; `tools/peers` compares it with PyTorch's.

#[path = "../../vision/examples/step/timing.rs"]
mod timing;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::Parser;
use crowd_counting::{Counter, Loss, LossConfig, ModelConfig, People, Scale};
use ops::Statistics;
use rand::RngExt;
use rand_distr::StandardNormal;
use regularize::{Method, Optimizer, Params, Sgd, WeightDecay};

const LR: f64 = 0.01;
const SIZE: [usize; 2] = [240, 320];
const PEOPLE: usize = 120;
const SPREAD: f64 = 4.0;

#[derive(Parser)]
#[command(about)]
struct Cli {
    /// CSRNet of a quarter of its width, or MCNN
    #[arg(value_parser = ["csrnet16", "mcnn16"])]
    model: String,
    #[command(flatten)]
    timing: timing::Timing,
}

fn main() -> Result<()> {
    let Cli { model, timing } = Cli::parse();
    timing.run(&model, || {
        let params = Params::new(0, &Device::Cpu);
        let config = match model.as_str() {
            "mcnn16" => ModelConfig::Mcnn { width: 16 },
            _ => ModelConfig::Csrnet { width: 16 },
        };
        let loss = LossConfig::default();
        let network = Counter::new(&params, 3, config, loss.sign(), 1.0)?;
        let loss = Loss::new(loss, Scale { cell: 1.0, pixel: 1.0 }, config.stride());
        let decay = Method::WeightDecay(WeightDecay { decay: 5e-4, ..WeightDecay::default() });
        let mut optimizer =
            Optimizer::new(&params.with_method(decay), Sgd { lr: LR, momentum: 0.9, ..Sgd::default() }, 0.0)?;

        let ([height, width], batch) = (SIZE, timing.batch as usize);
        let mut rng = random::stream(0, "images", &[]);
        let pixels: Vec<f32> = (0..batch * height * width * 3).map(|_| rng.sample(StandardNormal)).collect();
        let images = Tensor::from_vec(pixels, (batch, height, width, 3), &Device::Cpu)?;
        let mut point = || [width, height].map(|side| rng.random_range(0.0..side as f32));
        let mut crowd = || People { points: (0..PEOPLE).map(|_| point()).collect(), spreads: vec![SPREAD; PEOPLE] };
        let people: Vec<People> = (0..batch).map(|_| crowd()).collect();

        let eval = timing.eval;
        Ok(move || {
            if eval {
                ops::no_grad(|| network.forward(&images, Statistics::Running))?;
                return Ok(None);
            }
            let loss = loss.of(&network.forward(&images, Statistics::Batch)?, &people)?;
            optimizer.step(&ops::backward(&loss)?, LR)?;
            Ok(Some(loss.to_scalar()?))
        })
    })
}
