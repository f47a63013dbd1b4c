//! Training of a whole network against PyTorch's numbers, with every set of kernels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use golden::Vectors;
use ops::{Kernels, Statistics};
use regularize::{Method, Optimizer, Params, Sgd, WeightDecay};
use std::collections::HashMap;
use vision::{Classifier, ResNet, ResNetConfig};

fn tensor(vectors: &Vectors, name: &str) -> Tensor {
    let (dims, all) = vectors.floats(name);
    Tensor::from_vec(all, dims, &Device::Cpu).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The training that `tools/make_resnet_golden.py` does in torch. `close` is given what comes of it, and its name.
fn train_resnet20(vectors: &Vectors, close: impl Fn(&str, &[f32])) {
    let params = Params::new(0, &Device::Cpu);
    let backbone = ResNet::new(&params, 3, &ResNetConfig::cifar(20, 16).unwrap()).unwrap();
    let network = Classifier::new(backbone, &params.pp("fc"), 10).unwrap();
    let start = |name: &str| tensor(vectors, &format!("resnet20/start/{name}"));
    let start: HashMap<String, Tensor> = params.all().iter().map(|p| (p.name.clone(), start(&p.name))).collect();
    params.load(&start).unwrap();
    let x = tensor(vectors, "resnet20/x").permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
    let (_, labels) = vectors.bytes("resnet20/labels");
    let labels: Vec<u32> = labels.into_iter().map(u32::from).collect();

    let (_, settings) = vectors.cases("resnet20").next().unwrap();
    let sgd = |key: &str| settings["sgd"][key].as_f64().unwrap();
    let decay = Method::WeightDecay(WeightDecay { decay: sgd("weight_decay"), ..WeightDecay::default() });
    let lr = sgd("lr");
    let sgd = Sgd { lr, momentum: sgd("momentum"), ..Sgd::default() };
    let mut optimizer = Optimizer::new(&params.with_method(decay), sgd, 0.0).unwrap();
    let mut losses = Vec::new();
    for step in 0..settings["steps"].as_u64().unwrap() {
        let logits = network.forward(&x, Statistics::Batch).unwrap();
        let loss = ops::cross_entropy(&logits, &labels, &ops::CrossEntropy::default()).unwrap();
        losses.push(loss.to_scalar().unwrap());
        let gradients = loss.backward().unwrap();
        if step == 0 {
            close("logits", &values(&logits));
            for p in params.trainable() {
                close(&format!("grad/{}", p.name), &values(gradients.get(&p.var).unwrap()));
            }
        }
        optimizer.step(&gradients, lr).unwrap();
    }
    close("losses", &losses);
    for p in params.all() {
        close(&format!("after/{}", p.name), &values(&p.var));
    }
    close("logits_eval_after", &values(&network.forward(&x, Statistics::Running).unwrap()));
}

#[test]
fn golden_resnet20_trains_as_in_torch() {
    let vectors = Vectors::open(env!("CARGO_MANIFEST_DIR"), "resnet20.safetensors");
    for kernels in Kernels::available() {
        let close = |name: &str, found: &[f32]| {
            vectors.assert_close(&format!("{kernels:?}"), &format!("resnet20/{name}"), found);
        };
        kernels.scope(|| train_resnet20(&vectors, close)).unwrap();
    }
}
