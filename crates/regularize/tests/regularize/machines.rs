//! The same bits on every machine.

use crate::common::*;
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use candle_nn::init::{FanInOut, NonLinearity, NormalOrUniform};
use kernels::Kernels;
use proptest::prelude::*;
use regularize::*;

/// Rows that no vector and no block of sums divides, in rows and values enough for several threads.
const ODD: &[Layer] = &[
    ("short", &[5, 7], Behind::Norm),
    ("blocks", &[3, 2113], Behind::BiasAndNorm),
    ("rest", &[3, 67], Behind::Nothing),
    ("gain", &[131], Behind::Nothing),
];

/// The bits of all parameters and all state after `steps` steps, and of what the network sees, its gradients included.
fn bits(base: Base, method: Method, layers: &[Layer], steps: usize) -> Vec<(String, Vec<u64>)> {
    let params = network(layers, &method);
    let mut optimizer = Optimizer::new(&params, base, 0.03).unwrap();
    for step in 0..steps {
        if step == 2 {
            optimizer.begin_epoch().unwrap();
        }
        let gradients = random_gradients(&params, step);
        let before = Before::new(&params, &gradients).unwrap();
        optimizer.step(&gradients, base.rule.lr()).unwrap();
        before.after(&optimizer, base.rule.lr()).unwrap();
    }
    let mut all: Vec<(String, Tensor)> = optimizer.state().unwrap().into_iter().collect();
    all.extend(params.all().into_iter().map(|p| (p.name, p.var.as_tensor().clone())));
    all.extend(seen(&params, layers));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let bits = |t: Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    all.into_iter().map(|(name, t)| (name, bits(t).into_iter().map(f64::to_bits).collect())).collect()
}

/// The weights that the network sees, and the gradients of what is stored.
fn seen(params: &Params, layers: &[Layer]) -> Vec<(String, Tensor)> {
    let mut all = Vec::new();
    for (name, dims, _) in layers.iter().filter(|(.., behind)| *behind != Behind::Nothing) {
        let weight = params.pp(name).scale_invariant("weight", *dims, Init::Const(0.0), Vec::new()).unwrap();
        let weight = weight.tensor().unwrap();
        let gradients = (&weight * random("upstream", dims)).unwrap().sum_all().unwrap().backward().unwrap();
        let of = |p: Parameter| Some((format!("gradient of {}", p.name), gradients.get(&p.var)?.clone()));
        all.extend(params.trainable().into_iter().filter_map(of));
        all.push((format!("{name} as seen"), weight));
    }
    all
}

/// Fails where a set of kernels gives other bits.
fn check(base: Base, method: Method, layers: &[Layer], steps: usize) {
    let run = |kernels: Kernels| kernels.scope(|| bits(base, method, layers, steps)).unwrap();
    let expected = run(Kernels::Portable);
    for kernels in
        [Kernels::Avx512, Kernels::Avx2].into_iter().filter(|kernels| Kernels::available().any(|k| k == *kernels))
    {
        for (found, expected) in run(kernels).iter().zip(&expected) {
            assert!(found == expected, "{}: {} kernels differ, {base:?} {method:?}", found.0, kernels.name());
        }
    }
}

#[test]
fn all_kernels_give_the_same_bits() {
    for (base, method) in combinations() {
        check(base, method, ODD, 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn all_kernels_give_the_same_bits_for_any_rows(
        rows in 1usize..40, len in 1usize..5000, which in any::<prop::sample::Index>(),
    ) {
        let all = combinations();
        let (base, method) = all[which.index(all.len())];
        let dims: &'static [usize] = Box::leak(Box::new([rows, len]));
        check(base, method, &[("any", dims, Behind::BiasAndNorm), ("last", dims, Behind::Nothing)], 2);
    }
}

/// Initial values are the same on every machine: their digest is part of the repository.
#[test]
fn initial_values_never_change() {
    let params = Params::new(3, &Device::Cpu);
    let kaiming = |dist, fan| Init::Kaiming { dist, fan, non_linearity: NonLinearity::ReLU };
    for (name, init) in [
        ("normal", Init::Randn { mean: 0.1, stdev: 0.3 }),
        ("uniform", Init::Uniform { lo: -0.7, up: 0.2 }),
        ("he", kaiming(NormalOrUniform::Normal, FanInOut::FanOut)),
        ("kaiming", kaiming(NormalOrUniform::Uniform, FanInOut::FanIn)),
    ] {
        params.get(name, (64, 32, 3, 3), init).unwrap();
    }
    assert_eq!(params.digest().unwrap(), "2b5210dabf4494bb42123ba9f4694226e2726564f8a254c2c2397be247068b01");
}
