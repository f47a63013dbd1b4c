//! Reference numbers of PyTorch and `adamp`, made by tools/make_optimizer_golden.py.

use crate::common::*;
use candle_core::{Device, Tensor};
use candle_nn::Init;
use golden::Vectors;
use regularize::*;
use serde_json::Value;

fn open(name: &str) -> Vectors {
    Vectors::open(env!("CARGO_MANIFEST_DIR"), name)
}

fn tensor(vectors: &Vectors, name: &str) -> Tensor {
    let (dims, all) = vectors.floats(name);
    Tensor::from_vec(all, dims, &Device::Cpu).unwrap()
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
    let base = match class {
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

/// Optimizer, method and decay of the rest of a relative, from what its script did around torch's optimizer.
fn relative(settings: &Value) -> (Base, Method, f64) {
    let number = |key: &str| settings[key].as_f64().unwrap_or(0.0);
    let flag = |key: &str| settings[key].as_bool().unwrap_or(false);
    let (lr, momentum, decay) = (number("lr"), number("momentum"), number("of_weight_decay"));
    let base: Base = match settings["class"].as_str().unwrap() {
        "SGD" => Sgd { lr, momentum, ..Sgd::default() }.into(),
        _ => Adam { lr, ..Adam::default() }.into(),
    };
    match settings["before"].as_str().unwrap() {
        "centralize" => {
            let scope = if flag("of_conv_only") { Scope::ScaleInvariant } else { Scope::Everything };
            (base, Method::GradientCentralization(GradientCentralization { scope, decay }), decay)
        }
        "muon" => {
            let muon = Muon {
                lr: number("of_lr"),
                momentum: number("of_momentum"),
                nesterov: flag("of_nesterov"),
                iterations: number("of_iterations") as u32,
                rest_lr: lr,
                rest_momentum: momentum,
            };
            (muon.into(), Method::None, 0.0)
        }
        _ => {
            let method = WeightDecay { decay, form: Form::Stable, ..WeightDecay::default() };
            (base, Method::WeightDecay(method), 0.0)
        }
    }
}

/// Takes the steps of a case, and compares the parameters after each.
fn follow(vectors: &Vectors, case: [&str; 2], settings: &Value, (base, method, rest_decay): (Base, Method, f64)) {
    let [of_all, name] = case;
    for path in PATHS {
        let params = Params::new(0, &Device::Cpu);
        for name in ["conv.weight", "bn.weight", "bn.bias", "fc.weight", "fc.bias"] {
            let start = tensor(vectors, &format!("{of_all}/init/{name}"));
            params.get(name, start.shape().clone(), Init::Const(0.0)).unwrap();
            params.trainable().last().unwrap().var.set(&start).unwrap();
        }
        let filters = params.trainable()[0].var.dims()[0];
        followed_by_norm(&params, "conv.weight", filters);
        let mut optimizer = optimizer(&params, base, method, rest_decay, path);
        let compare = |at: &str| {
            for p in params.trainable() {
                vectors.assert_close(
                    &format!("{path:?}"),
                    &format!("{of_all}/{name}/{at}/{}", p.name),
                    &values(&p.var),
                );
            }
        };
        if settings["view"].is_string() {
            compare("start");
        }
        for step in 0..settings["steps"].as_u64().unwrap() {
            let of = |name: &str| Some(tensor(vectors, &format!("{of_all}/grad/{step:02}/{name}")));
            optimizer.step(&gradients(&params, of), base.rule.lr()).unwrap();
            compare(&format!("{step:02}"));
        }
    }
}

#[test]
fn golden_steps_of_every_optimizer() {
    let vectors = open("optimizers.safetensors");
    let (of_all, cases) = vectors.cases("optimizers").next().unwrap();
    let cases = cases.as_object().unwrap();
    assert!(cases.len() >= 15, "{} cases", cases.len());
    for (name, settings) in cases {
        let (base, method) = case(settings);
        follow(&vectors, [of_all, name], settings, (base, method, 0.0));
    }
}

/// Gradient centralization, stable weight decay, and Muon, as transcribed from their authors' code.
#[test]
fn golden_steps_of_relatives() {
    let vectors = open("relatives.safetensors");
    let (of_all, cases) = vectors.cases("relatives").next().unwrap();
    let cases = cases.as_object().unwrap();
    assert!(cases.len() >= 8, "{} cases", cases.len());
    for (name, settings) in cases {
        follow(&vectors, [of_all, name], settings, relative(settings));
    }
}

/// Compares the weight that `method` shows, the output of a convolution with it, and the gradients of the stored
/// parameters. `names` pairs the names of parameters with those in the file.
fn reparametrized(method: Method, case: &str, names: &[(&str, &str)]) {
    let vectors = open("reparametrizations.safetensors");
    let named = |name: &str| tensor(&vectors, &format!("{case}/{name}"));
    let params = Params::new(0, &Device::Cpu).with_method(method);
    let dims = named("v").dims().to_vec();
    let (running_mean, running_var) = statistics(&params, dims[0]);
    let normalization = Normalization { running_mean, running_var, bias: None };
    let weight = params.scale_invariant("weight", dims, Init::Const(1.0), vec![normalization]).unwrap();
    let var = |name: &str| params.trainable().into_iter().find(|p| p.name == name).unwrap().var;
    for (name, start) in names {
        var(name).set(&named(start)).unwrap();
    }
    let seen = weight.tensor().unwrap();
    let output = named("x").conv2d(&seen, 1, 1, 1, 1).unwrap();
    let gradients = (&output * named("upstream")).unwrap().sum_all().unwrap().backward().unwrap();
    let close = |part: &str, found: &Tensor| {
        vectors.assert_close("ours", &format!("{case}/{part}"), &values(found));
    };
    close("weight", &seen);
    close("output", &output);
    for (name, part) in names {
        close(&format!("gradient/{part}"), gradients.get(&var(name)).unwrap());
    }
}

#[test]
fn golden_weight_standardization() {
    let method = Method::WeightStandardization(WeightStandardization::default());
    reparametrized(method, "ws", &[("weight", "v")]);
}

#[test]
fn golden_weight_normalization() {
    let method = Method::WeightNormalization(WeightNormalization::default());
    reparametrized(method, "wn", &[("weight_v", "v"), ("weight_g", "g")]);
}
