//! Reference numbers of PyTorch and `adamp`, made by tools/make_golden.py.

use crate::common::*;
use candle_core::{Device, Tensor};
use candle_nn::Init;
use regularize::*;
use safetensors::SafeTensors;
use serde_json::Value;

fn golden(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("WRS_BENCH_GOLDEN").map_or("tests/golden".into(), std::path::PathBuf::from);
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn tensor(file: &SafeTensors, name: &str) -> Tensor {
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Tensor::from_vec(values, view.shape(), &Device::Cpu).unwrap()
}

/// Optimizer and method of a case, from the class and keyword arguments that made it.
fn case(settings: &Value) -> (Base, Method) {
    let number = |key: &str, default: f64| settings[key].as_f64().unwrap_or(default);
    let lr = settings["lr"].as_f64().unwrap();
    let momentum = number("momentum", 0.0);
    let nesterov = settings["nesterov"].as_bool().unwrap_or(false);
    let betas = [0, 1].map(|i| settings["betas"][i].as_f64().unwrap_or([0.9, 0.999][i]));
    let adam = Adam { lr, betas, ..Adam::default() };
    let class = settings["class"].as_str().unwrap();
    let base = match class.rsplit('.').next().unwrap() {
        "SGD" => Sgd { lr, momentum, nesterov, ..Sgd::default() }.into(),
        "Adam" => adam.into(),
        "AdamW" => Rule::AdamW(adam).into(),
        "AdamP" => {
            let (delta, wd_ratio) = (number("delta", f64::NAN), number("wd_ratio", f64::NAN));
            AdamP { lr, betas, delta, wd_ratio, nesterov, ..AdamP::default() }.into()
        }
        "SGDP" => {
            let (delta, wd_ratio) = (number("delta", f64::NAN), number("wd_ratio", f64::NAN));
            Sgdp { lr, momentum, delta, wd_ratio, nesterov, ..Sgdp::default() }.into()
        }
        _ => panic!("no optimizer of class {class}"),
    };
    let method = match settings["view"].as_str() {
        Some("filter") => Method::Wrs(Wrs::default()),
        Some(_) => Method::Wrs(Wrs { granularity: Granularity::Layer, ..Wrs::default() }),
        None => {
            let decay = number("weight_decay", 0.0);
            Method::WeightDecay(WeightDecay { decay, ..WeightDecay::default() })
        }
    };
    (base, method)
}

#[test]
fn every_optimizer_takes_the_steps_of_pytorch() {
    let bytes = golden("optimizers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = metadata.metadata().clone().unwrap();
    let steps: usize = metadata["steps"].parse().unwrap();
    let mut cases: Vec<_> = metadata.iter().filter(|(name, _)| !["steps", "torch"].contains(&name.as_str())).collect();
    cases.sort();
    assert!(cases.len() >= 15, "{} cases", cases.len());
    for ((name, settings), path) in cases.into_iter().flat_map(|case| PATHS.map(|path| (case, path))) {
        let settings: Value = serde_json::from_str(settings).unwrap();
        let (base, method) = case(&settings);
        let params = Params::new(0, &Device::Cpu);
        for name in ["conv.weight", "bn.weight", "bn.bias", "fc.weight", "fc.bias"] {
            let start = tensor(&file, &format!("init/{name}"));
            params.get(name, start.shape().clone(), Init::Const(0.0)).unwrap();
            params.trainable().last().unwrap().var.set(&start).unwrap();
        }
        let filters = params.trainable()[0].var.dims()[0];
        followed_by_norm(&params, "conv.weight", filters);
        let mut optimizer = optimizer(&params, base, method, 0.0, path);
        let compare = |at: &str| {
            for p in params.trainable() {
                let expected = values(&tensor(&file, &format!("{name}/{at}/{}", p.name)));
                for (found, expected) in values(&p.var).iter().zip(&expected) {
                    let tolerance = 1e-5 * expected.abs().max(1.0);
                    assert!(
                        (found - expected).abs() <= tolerance,
                        "{name} {path:?} {at} {}: {found}, torch has {expected}",
                        p.name
                    );
                }
            }
        };
        if settings["view"].is_string() {
            compare("start");
        }
        for step in 0..steps {
            let of = |name: &str| Some(tensor(&file, &format!("grad/{step:02}/{name}")));
            optimizer.step(&gradients(&params, of), base.rule.lr()).unwrap();
            compare(&format!("{step:02}"));
        }
    }
}

/// Compares the weight that `method` shows, the output of a convolution with it, and the gradients of the stored
/// parameters. `starts` and `expected` pair the name of a parameter with that of its value or gradient in the file.
fn reparametrized(method: Method, case: &str, starts: &[(&str, &str)], expected: &[(&str, &str)]) {
    let bytes = golden("reparametrizations.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let params = Params::new(0, &Device::Cpu).with_method(&method);
    let dims = tensor(&file, "weight").dims().to_vec();
    let (running_mean, running_var) = statistics(&params, dims[0]);
    let normalization = Normalization { running_mean, running_var, bias: None };
    let weight = params.scale_invariant("weight", dims, Init::Const(1.0), vec![normalization]).unwrap();
    let var = |name: &str| params.trainable().into_iter().find(|p| p.name == name).unwrap().var;
    for (name, start) in starts {
        var(name).set(&tensor(&file, start)).unwrap();
    }
    let seen = weight.tensor().unwrap();
    let output = tensor(&file, "x").conv2d(&seen, 1, 1, 1, 1).unwrap();
    let gradients = (&output * tensor(&file, "upstream")).unwrap().sum_all().unwrap().backward().unwrap();
    let close = |what: &str, found: &Tensor| {
        let expected = tensor(&file, what);
        assert_eq!(found.dims(), expected.dims(), "{what}");
        let largest = values(&expected).iter().fold(0f32, |max, v| max.max(v.abs()));
        for (found, expected) in values(found).iter().zip(values(&expected)) {
            assert!((found - expected).abs() <= 1e-5 * largest, "{what}: {found}, torch has {expected}");
        }
    };
    close(&format!("{case}/weight"), &seen);
    close(&format!("{case}/output"), &output);
    for (name, gradient) in expected {
        close(gradient, gradients.get(&var(name)).unwrap());
    }
}

#[test]
fn weight_standardization_is_that_of_pytorch() {
    let method = Method::WeightStandardization(WeightStandardization::default());
    reparametrized(method, "ws", &[("weight", "weight")], &[("weight", "ws/grad_weight")]);
}

#[test]
fn weight_normalization_is_that_of_pytorch() {
    let method = Method::WeightNormalization(WeightNormalization::default());
    let starts = [("weight_v", "weight"), ("weight_g", "wn/g")];
    reparametrized(method, "wn", &starts, &[("weight_v", "wn/grad_v"), ("weight_g", "wn/grad_g")]);
}
