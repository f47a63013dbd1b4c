//! Parameters: their names, initial values and digest.

use crate::common::*;
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use regularize::*;
use std::collections::{BTreeMap, HashMap};

#[test]
fn initial_values_depend_on_seed_and_name_alone() {
    let init = Init::Randn { mean: 0.0, stdev: 1.0 };
    let draw = |seed: u64, names: &[&str]| {
        let params = Params::new(seed, &Device::Cpu);
        let draws = names.iter().map(|n| (n.to_string(), values(&params.pp("layer").get(n, (3, 2), init).unwrap())));
        draws.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(draw(0, &["a", "b"]), draw(0, &["b", "a"]));
    assert_ne!(draw(0, &["a"]), draw(1, &["a"]));
    assert_ne!(draw(0, &["a", "b"])["a"], draw(0, &["a", "b"])["b"]);
}

#[test]
fn initial_values_have_the_moments_asked_for() {
    use candle_nn::init::{FanInOut, NonLinearity, NormalOrUniform};
    let params = Params::new(3, &Device::Cpu);
    let (fan, non_linearity) = (FanInOut::FanOut, NonLinearity::ReLU);
    for (i, dist) in [NormalOrUniform::Normal, NormalOrUniform::Uniform].into_iter().enumerate() {
        let w = params.get(&format!("w{i}"), (64, 32, 3, 3), Init::Kaiming { dist, fan, non_linearity }).unwrap();
        let v = values(&w);
        let mean = v.iter().map(|x| f64::from(*x)).sum::<f64>() / v.len() as f64;
        let var = v.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() / v.len() as f64;
        let expected = 2.0 / (64.0 * 9.0);
        assert!(mean.abs() < 4.0 * (expected / v.len() as f64).sqrt(), "{mean}");
        assert!((var / expected - 1.0).abs() < 0.05, "{var} {expected}");
    }
}

#[test]
fn a_shape_mismatch_names_the_parameter() {
    let params = Params::new(0, &Device::Cpu);
    params.get("a", (2, 3), Init::Const(0.0)).unwrap();
    assert!(params.get("a", (3, 2), Init::Const(0.0)).unwrap_err().to_string().contains("`a`"));
    let one = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    assert!(params.load(&HashMap::new()).unwrap_err().to_string().contains("found none"));
    assert!(params.load(&HashMap::from([("a".to_owned(), one)])).unwrap_err().to_string().contains("[2, 3]"));
    assert!(params.set_role("b", Role::Other).unwrap_err().to_string().contains("`b`"));
    let statistic = params.buffer("running", 3, 0.0).unwrap();
    let normalization = Normalization { running_mean: statistic.clone(), running_var: statistic, bias: None };
    assert!(
        params.set_role("a", Role::ScaleInvariant(vec![normalization])).unwrap_err().to_string().contains("2 filters")
    );
}

#[test]
fn the_digest_sees_names_shapes_and_bits() {
    let digest = |name: &str, dims: &[usize], value: f64| {
        let params = Params::new(0, &Device::Cpu);
        params.get(name, dims, Init::Const(value)).unwrap();
        params.digest().unwrap()
    };
    let base = digest("a", &[2, 3], 1.0);
    assert_eq!(base, digest("a", &[2, 3], 1.0));
    for other in [digest("b", &[2, 3], 1.0), digest("a", &[3, 2], 1.0), digest("a", &[2, 3], 1.0 + 1e-7)] {
        assert_ne!(base, other);
    }
    assert_eq!(digest("a", &[2], f64::NAN), digest("a", &[2], -f64::NAN), "any value that is not a number is the same");
}

#[test]
fn a_candle_layer_trains_through_the_var_builder() {
    use candle_nn::Module;
    let params = Params::new(0, &Device::Cpu);
    let layer = candle_nn::linear(3, 2, params.var_builder().pp("fc")).unwrap();
    assert_eq!(params.trainable().iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["fc.weight", "fc.bias"]);
    let x = random("x", &[4, 3]);
    let before = values(&layer.forward(&x).unwrap());
    let mut optimizer = Optimizer::new(&params, Sgd::default(), 0.0).unwrap();
    let loss = layer.forward(&x).unwrap().sqr().unwrap().mean_all().unwrap();
    optimizer.step(&loss.backward().unwrap(), 0.1).unwrap();
    assert_ne!(before, values(&layer.forward(&x).unwrap()));
}

#[test]
fn a_running_statistic_of_a_candle_layer_becomes_a_buffer_and_stays_the_layers() {
    let params = Params::new(0, &Device::Cpu);
    let layer = candle_nn::batch_norm(2, 1e-5, params.var_builder().pp("norm")).unwrap();
    let running_mean = params.pp("norm").buffer("running_mean", 2, 0.0).unwrap();
    running_mean.set(&random("mean", &[2])).unwrap();
    assert_eq!(values(layer.running_mean()), values(&running_mean));
    let names: Vec<String> = params.trainable().into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["norm.running_var", "norm.weight", "norm.bias"]);
}
