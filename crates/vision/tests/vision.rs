//! Training of a whole network against PyTorch's numbers, with every set of kernels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use ops::{Kernels, Statistics};
use regularize::{Method, Optimizer, Params, Sgd, WeightDecay};
use safetensors::SafeTensors;
use std::collections::HashMap;
use vision::{Classifier, ResNet, ResNetConfig};

/// The vectors of `name`, made by tools/make_golden.py: those in `$WRS_BENCH_GOLDEN` where it is set, else
/// the committed copy.
fn golden(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("WRS_BENCH_GOLDEN").map_or("tests/golden".into(), std::path::PathBuf::from);
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn tensor(file: &SafeTensors, name: &str) -> Tensor {
    let view = file.tensor(name).unwrap();
    let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Tensor::from_vec(values, view.shape(), &Device::Cpu).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The length of `a - b`, or of `a`.
fn length(a: &Tensor, b: Option<&Tensor>) -> f64 {
    let b = b.map(values);
    let at = |i: usize| b.as_ref().map_or(0.0, |b| f64::from(b[i]));
    values(a).iter().enumerate().map(|(i, a)| f64::from(*a) - at(i)).map(|far| far * far).sum::<f64>().sqrt()
}

/// What a few steps of training leave behind, by name.
struct Trained {
    first_logits: Tensor,
    first_gradients: Vec<(String, Tensor)>,
    losses: Vec<f32>,
    after: Vec<(String, Tensor)>,
    evaluation_logits: Tensor,
}

/// The training that `tools/make_golden.py` does in torch, on images scaled by `scale`.
fn train_resnet20(file: &SafeTensors, scale: f64) -> Trained {
    let params = Params::new(0, &Device::Cpu);
    let backbone = ResNet::new(&params, 3, &ResNetConfig::cifar(20, 16).unwrap()).unwrap();
    let network = Classifier::new(backbone, &params.pp("fc"), 10).unwrap();
    let start: HashMap<String, Tensor> =
        params.all().iter().map(|p| (p.name.clone(), tensor(file, &format!("start/{}", p.name)))).collect();
    params.load(&start).unwrap();
    let x = (tensor(file, "x").permute((0, 2, 3, 1)).unwrap().contiguous().unwrap() * scale).unwrap();
    let labels = file.tensor("labels").unwrap();
    let labels: Vec<u32> =
        labels.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect();

    let decay = Method::WeightDecay(WeightDecay { decay: 5e-4, ..WeightDecay::default() });
    let sgd = Sgd { lr: 0.1, momentum: 0.9, ..Sgd::default() };
    let mut optimizer = Optimizer::new(&params, sgd, decay, 0.0).unwrap();
    let (mut first, mut losses) = (None, Vec::new());
    for _ in 0..3 {
        let logits = network.forward(&x, Statistics::Batch).unwrap();
        let loss = ops::cross_entropy(&logits, &labels, &ops::CrossEntropy::default()).unwrap();
        losses.push(loss.to_scalar().unwrap());
        let gradients = loss.backward().unwrap();
        first.get_or_insert_with(|| {
            let of = |p: &regularize::Parameter| (p.name.clone(), gradients.get(&p.var).unwrap().clone());
            (logits, params.trainable().iter().map(of).collect())
        });
        optimizer.step(&gradients, 0.1).unwrap();
    }
    let (first_logits, first_gradients) = first.unwrap();
    Trained {
        first_logits,
        first_gradients,
        losses,
        after: params.all().iter().map(|p| (p.name.clone(), p.var.copy().unwrap())).collect(),
        evaluation_logits: network.forward(&x, Statistics::Running).unwrap(),
    }
}

#[test]
fn golden_resnet20_logits_gradients_and_losses() {
    let bytes = golden("resnet20.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for kernels in Kernels::available() {
        let ours = kernels.scope(|| train_resnet20(&file, 1.0)).unwrap();
        // Candle rounds more, and one of the last activations is so close to 0 that this takes it to the other
        // side of its ReLU, which moves all gradients behind by 4e-3.
        let tolerance = if kernels == Kernels::Candle { 2e-2 } else { 1e-3 };
        let close = |what: &str, found: &Tensor, expected: &str| {
            let expected = tensor(&file, expected);
            let distance = length(found, Some(&expected)) / length(&expected, None);
            assert!(distance <= tolerance, "{kernels:?}, {what}: relative distance to torch {distance}");
        };
        close("logits", &ours.first_logits, "logits");
        for (name, gradient) in &ours.first_gradients {
            close(&format!("gradient of {name}"), gradient, &format!("grad/{name}"));
        }
        for (step, (found, expected)) in ours.losses.iter().zip(values(&tensor(&file, "losses"))).enumerate() {
            let close = f64::from((found - expected).abs()) <= tolerance * f64::from(expected);
            assert!(close, "{kernels:?}, loss of step {step}: {found}, torch has {expected}");
        }
    }
}

/// Three steps at this learning rate amplify rounding a thousandfold (torch's own layouts differ as much
/// from each other), so each tensor may be as far from torch as rounding-sized changes of the images move
/// it, or 1e-3 of its length.
#[test]
fn golden_resnet20_after_three_steps() {
    let bytes = golden("resnet20.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let nearby: Vec<Trained> =
        [1.0 - 1e-6, 1.0 - 3e-7, 1.0 + 3e-7, 1.0 + 1e-6].map(|s| train_resnet20(&file, s)).into();
    for kernels in Kernels::available() {
        let ours = kernels.scope(|| train_resnet20(&file, 1.0)).unwrap();
        let close = |what: &str, found: &Tensor, expected: &str, moved: &dyn Fn(&Trained) -> Tensor| {
            let expected = tensor(&file, expected);
            let rounding = nearby.iter().map(|n| length(found, Some(&moved(n)))).fold(0.0, f64::max);
            let (distance, scale) = (length(found, Some(&expected)), length(&expected, None));
            // Rounding alone must not explain everything away.
            assert!(rounding <= 0.3 * scale, "{kernels:?}, {what}: rounding moves it by {rounding} of {scale}");
            assert!(
                distance <= 1e-3 * scale + 3.0 * rounding,
                "{kernels:?}, {what}: {distance} from torch, rounding {rounding} of {scale}"
            );
        };
        for (i, (name, found)) in ours.after.iter().enumerate() {
            close(name, found, &format!("after/{name}"), &|trained| trained.after[i].1.clone());
        }
        close("logits in evaluation", &ours.evaluation_logits, "logits_eval_after", &|t| t.evaluation_logits.clone());
    }
}
