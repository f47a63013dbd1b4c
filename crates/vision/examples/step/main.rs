//! Times training steps, or forward passes in evaluation, on random images of 32×32 pixels.
//!
//! Prints one line of JSON; `tools/peers` compares it with PyTorch's.

mod timing;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::{Parser, ValueEnum};
use ops::{CrossEntropy, Statistics};
use rand::RngExt;
use rand_distr::StandardNormal;
use regularize::{Method, Optimizer, Params, Sgd, WeightDecay};
use vision::{Classifier, ResNet, ResNetConfig, Stem, VggBn, VggConfig};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLASSES: usize = 10;
const LR: f64 = 0.01;

#[derive(Parser)]
#[command(about)]
struct Cli {
    model: Model,
    #[command(flatten)]
    timing: timing::Timing,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Model {
    Resnet18,
    Resnet20,
    Vgg16Bn,
}

impl Model {
    fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet20 => "resnet20",
            Self::Vgg16Bn => "vgg16_bn",
        }
    }

    fn network(self, params: &Params) -> Result<Classifier, regularize::Error> {
        let resnet = |config| Classifier::new(ResNet::new(params, 3, &config)?, &params.pp("fc"), CLASSES);
        match self {
            Self::Resnet18 => resnet(ResNetConfig { stem: Stem::Small, ..ResNetConfig::imagenet(18)? }),
            Self::Resnet20 => resnet(ResNetConfig::cifar(20, 16)?),
            Self::Vgg16Bn => {
                let backbone = VggBn::new(params, 3, VggConfig { depth: 16, width: 64 })?;
                Classifier::new(backbone, &params.pp("classifier"), CLASSES)
            }
        }
    }
}

fn main() -> Result<()> {
    let Cli { model, timing } = Cli::parse();
    timing.run(model.name(), || {
        let params = Params::new(0, &Device::Cpu);
        let network = model.network(&params)?;
        let decay = Method::WeightDecay(WeightDecay { decay: 5e-4, ..WeightDecay::default() });
        let mut optimizer =
            Optimizer::new(&params.with_method(decay), Sgd { lr: LR, momentum: 0.9, ..Sgd::default() }, 0.0)?;

        let batch = timing.batch as usize;
        let mut rng = random::stream(0, "images", &[]);
        let pixels: Vec<f32> = (0..batch * 32 * 32 * 3).map(|_| rng.sample(StandardNormal)).collect();
        let images = Tensor::from_vec(pixels, (batch, 32, 32, 3), &Device::Cpu)?;
        let labels: Vec<u32> = (0..batch).map(|_| rng.random_range(0..CLASSES as u32)).collect();

        let eval = timing.eval;
        Ok(move || {
            if eval {
                ops::no_grad(|| network.forward(&images, Statistics::Running))?;
                return Ok(None);
            }
            let logits = network.forward(&images, Statistics::Batch)?;
            let loss = ops::cross_entropy(&logits, &labels, &CrossEntropy::default())?;
            optimizer.step(&ops::backward(&loss)?, LR)?;
            Ok(Some(loss.to_scalar()?))
        })
    })
}
