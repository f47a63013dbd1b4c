//! Times training steps, or forward passes in evaluation, on random images of 32×32 pixels.
//!
//! Prints one line of JSON; `tools/peers` compares it with PyTorch's.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use clap::{Parser, ValueEnum};
use ops::{CrossEntropy, Kernels, Statistics};
use rand::RngExt;
use rand_distr::StandardNormal;
use regularize::{Method, Optimizer, Params, Sgd, WeightDecay};
use serde::Serialize;
use std::time::Instant;
use vision::{Classifier, ResNet, ResNetConfig, Stem, VggBn, VggConfig};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLASSES: usize = 10;
const LR: f64 = 0.01;
/// Steps before the timed ones: they fill the memory pool.
const WARM_UP: usize = 2;

#[derive(Parser)]
#[command(about)]
struct Args {
    model: Model,
    /// Images of a step.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Timed steps, of which the median counts.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Time the forward pass alone, with running statistics.
    #[arg(long)]
    eval: bool,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[value(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Model {
    Resnet18,
    Resnet20,
    Vgg16Bn,
}

impl Model {
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

/// The line that is printed; its keys are those of `tools/peers/torch_step.py`.
#[derive(Serialize)]
struct Line {
    model: Model,
    batch: u32,
    layout: &'static str,
    threads: usize,
    /// The version, which all crates of the workspace share.
    ops: &'static str,
    kernels: &'static str,
    images_per_s: f64,
    step_ms: f64,
    /// Largest resident memory of the process; none where the system does not say.
    peak_rss_mib: Option<u64>,
    /// Of the first four steps, warm-up included; empty in evaluation.
    losses: Vec<f64>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    // Inside the pool, so that small parallel loops do not wait for a worker.
    let line = rayon::scope(|_| measure(&args))?;
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

fn measure(args: &Args) -> Result<Line> {
    let params = Params::new(0, &Device::Cpu);
    let network = args.model.network(&params)?;
    let decay = Method::WeightDecay(WeightDecay { decay: 5e-4, ..WeightDecay::default() });
    let mut optimizer = Optimizer::new(&params, Sgd { lr: LR, momentum: 0.9, ..Sgd::default() }, decay, 0.0)?;

    let batch = args.batch as usize;
    let mut rng = random::stream(0, "images", &[]);
    let pixels: Vec<f32> = (0..batch * 32 * 32 * 3).map(|_| rng.sample(StandardNormal)).collect();
    let images = Tensor::from_vec(pixels, (batch, 32, 32, 3), &Device::Cpu)?;
    let labels: Vec<u32> = (0..batch).map(|_| rng.random_range(0..CLASSES as u32)).collect();

    let mut step = || -> Result<Option<f32>> {
        if args.eval {
            ops::no_grad(|| network.forward(&images, Statistics::Running))?;
            return Ok(None);
        }
        let logits = network.forward(&images, Statistics::Batch)?;
        let loss = ops::cross_entropy(&logits, &labels, &CrossEntropy::default())?;
        optimizer.step(&ops::backward(&loss)?, LR)?;
        Ok(Some(loss.to_scalar()?))
    };
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    for index in 0..WARM_UP + args.steps as usize {
        let start = Instant::now();
        let loss = step()?;
        if index >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
        losses.extend(loss.filter(|_| index < 4).map(|loss| rounded(f64::from(loss), 5)));
    }
    let median = median(seconds).context("expected at least one timed step")?;
    Ok(Line {
        model: args.model,
        batch: args.batch,
        layout: "nhwc",
        threads: rayon::current_num_threads(),
        ops: env!("CARGO_PKG_VERSION"),
        kernels: Kernels::current()?.name(),
        images_per_s: rounded(batch as f64 / median, 1),
        step_ms: rounded(1e3 * median, 1),
        peak_rss_mib: peak_rss_mib(),
        losses,
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// What `getrusage` calls `ru_maxrss`, in MiB.
fn peak_rss_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}
