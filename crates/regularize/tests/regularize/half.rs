//! Parameters that the network sees in half precision, with masters in f32.

use crate::common::*;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Module, ModuleT, Tensor};
use candle_nn::Init;
use regularize::*;

const HALVES: [DType; 2] = [DType::BF16, DType::F16];

/// What the network sees of `layer`'s weight.
fn seen(params: &Params, layer: &str, dims: &[usize], dtype: DType) -> Tensor {
    let name = if params.all().iter().any(|p| p.name == format!("{layer}.weight_v")) { "weight_v" } else { "weight" };
    params.to_dtype(dtype).pp(layer).get(name, dims, Init::Const(0.0)).unwrap()
}

/// Gradients of step `step`: of what the network sees where `dtype` says as what, else of the parameters, the same numbers.
fn gradients_of(params: &Params, step: usize, dtype: Option<DType>, rounded_to: DType) -> GradStore {
    let mut gradients = GradStore::default();
    for p in params.trainable() {
        let layer = LAYERS
            .iter()
            .find(|(layer, ..)| p.name == format!("{layer}.weight") || p.name == format!("{layer}.weight_v"));
        let exact = random(&format!("{step} {}", p.name), p.var.dims());
        let Some((layer, dims, _)) = layer else {
            gradients.insert(&p.var, exact);
            continue;
        };
        let rounded = exact.to_dtype(rounded_to).unwrap();
        match dtype {
            Some(dtype) => gradients.insert(&seen(params, layer, dims, dtype), rounded),
            None => gradients.insert(&p.var, rounded.to_dtype(DType::F32).unwrap()),
        };
    }
    gradients
}

/// Masters take the steps that f32 parameters take with the same gradients, bit for bit, and the network sees them rounded.
#[test]
fn masters_take_the_steps_of_f32() {
    for (which, (base, method)) in combinations().into_iter().enumerate() {
        let dtype = HALVES[which % 2];
        let [masters, plain] = [(); 2].map(|()| network(LAYERS, &method));
        for (layer, dims, _) in LAYERS {
            assert_eq!(seen(&masters, layer, dims, dtype).dtype(), dtype);
        }
        let make = |params: &Params| Optimizer::new(params, base, 0.03).unwrap();
        let mut optimizers = [make(&masters), make(&plain)];
        for step in 0..3 {
            optimizers[0].step(&gradients_of(&masters, step, Some(dtype), dtype), base.rule.lr()).unwrap();
            optimizers[1].step(&gradients_of(&plain, step, None, dtype), base.rule.lr()).unwrap();
        }
        assert_eq!(masters.digest().unwrap(), plain.digest().unwrap(), "{base:?} {method:?}");
        for (layer, dims, _) in LAYERS {
            let own = masters
                .trainable()
                .into_iter()
                .find(|p| p.name == format!("{layer}.weight") || p.name == format!("{layer}.weight_v"));
            let rounded = own.unwrap().var.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
            let seen = seen(&masters, layer, dims, dtype).to_dtype(DType::F32).unwrap();
            assert_eq!(values(&seen), values(&rounded), "{layer} {base:?} {method:?}");
        }
    }
}

/// Steps too small for a bfloat16 add up in the master, as they do in f64.
#[test]
fn small_steps_are_not_lost() {
    let params = Params::new(0, &Device::Cpu);
    let half = params.to_dtype(DType::BF16).get("w", 4, Init::Const(1.0)).unwrap();
    let mut optimizer = Optimizer::new(&params, Sgd { momentum: 0.5, ..Sgd::default() }, 0.1).unwrap();
    let gradient = [0.5f32, -0.25, 1.0, 0.125];
    let (mut w, mut momentum) = ([1.0f64; 4], [0.0f64; 4]);
    for _ in 0..200 {
        let mut gradients = GradStore::default();
        gradients.insert(&half, Tensor::new(&gradient, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap());
        optimizer.step(&gradients, 1e-4).unwrap();
        for i in 0..4 {
            momentum[i] = 0.5 * momentum[i] + f64::from(gradient[i]) + 0.1 * w[i];
            w[i] -= 1e-4 * momentum[i];
        }
    }
    for (found, expected) in doubles(&params.trainable()[0].var).into_iter().zip(w) {
        assert!((found - expected).abs() < 2e-5, "{found} {expected}");
    }
    let seen = doubles(&half.to_dtype(DType::F32).unwrap());
    for (seen, expected) in seen.into_iter().zip(w) {
        assert!((seen - expected).abs() < 1.0 / 256.0, "{seen} {expected}");
    }
}

/// A first layer in half precision, a batch norm in f32, and a linear layer in half precision.
struct Mixed {
    first: Box<dyn Module>,
    norm: candle_nn::BatchNorm,
    head: candle_nn::Linear,
    /// Of what the first layer is given.
    dims: Vec<usize>,
    dtype: DType,
}

impl Mixed {
    /// With a convolution or, as candle has none in bf16 on the CPU, a linear layer.
    fn new(params: &Params, dtype: DType, convolves: bool) -> Self {
        let (vb, half) = (params.var_builder(), params.to_dtype(dtype).var_builder());
        let (first, dims): (Box<dyn Module>, _) = if convolves {
            let conv = candle_nn::conv2d_no_bias(3, 6, 3, Default::default(), half.pp("first")).unwrap();
            (Box::new(conv), vec![8, 3, 6, 6])
        } else {
            (Box::new(candle_nn::linear_no_bias(20, 6, half.pp("first")).unwrap()), vec![8, 20])
        };
        let norm = candle_nn::batch_norm(6, 1e-5, vb.pp("norm")).unwrap();
        let head = candle_nn::linear(6, 3, vb.pp("head").to_dtype(dtype)).unwrap();
        Self { first, norm, head, dims, dtype }
    }

    fn loss(&self, round: usize) -> candle_core::Result<Tensor> {
        let x = random(&format!("images {}", round % 4), &self.dims).to_dtype(self.dtype)?;
        let x = self.norm.forward_t(&self.first.forward(&x)?.to_dtype(DType::F32)?, true)?.relu()?;
        let x = if x.rank() == 4 { x.mean((2, 3))? } else { x };
        let y = self.head.forward(&x.to_dtype(self.dtype)?)?.to_dtype(DType::F32)?;
        y.sub(&random(&format!("targets {}", round % 4), &[8, 3]))?.sqr()?.mean_all()
    }
}

#[test]
fn a_network_in_half_precision_trains_as_in_f32() {
    let trained = |dtype: DType, convolves: bool| {
        let params = Params::new(0, &Device::Cpu).with_method(Method::Wrs(Wrs::default()));
        let network = Mixed::new(&params, dtype, convolves);
        let inference = params.infer_roles(|round| network.loss(round)).unwrap();
        assert!(matches!(inference.weights[0].verdict, Verdict::ScaleInvariant(_)), "{dtype:?}: {inference}");
        let mut optimizer = Optimizer::new(&params, Sgd::default(), 0.0).unwrap();
        let mut losses = Vec::new();
        for step in 0..40 {
            let loss = network.loss(step).unwrap();
            let scale = if dtype == DType::F16 { 1024.0 } else { 1.0 };
            let gradients = (&loss * scale).unwrap().backward().unwrap();
            optimizer.step(&params.unscale(&gradients, scale).unwrap(), 0.02).unwrap();
            losses.push(f64::from(loss.to_scalar::<f32>().unwrap()));
        }
        [losses[..4].iter().sum::<f64>() / 4.0, losses[36..].iter().sum::<f64>() / 4.0]
    };
    for (dtype, convolves) in [(DType::F16, true), (DType::F16, false), (DType::BF16, false)] {
        let ([start, end], [half_start, half_end]) = (trained(DType::F32, convolves), trained(dtype, convolves));
        assert!(end < 0.9 * start, "{start} {end}");
        assert!((half_start / start - 1.0).abs() < 0.02, "{dtype:?} {half_start} {start}");
        assert!((half_end / end - 1.0).abs() < 0.05, "{dtype:?} {half_end} {end}");
    }
}

#[test]
fn training_goes_on_bit_for_bit() {
    let make = || {
        let params = Params::new(0, &Device::Cpu);
        let network = Mixed::new(&params, DType::BF16, false);
        let optimizer = Optimizer::new(&params, Adam::default(), 0.1).unwrap();
        (params, network, optimizer)
    };
    let train = |(_, network, optimizer): &mut (Params, Mixed, Optimizer), steps: std::ops::Range<usize>| {
        for step in steps {
            let loss = network.loss(step).unwrap();
            optimizer.step(&loss.backward().unwrap(), 0.01).unwrap();
        }
    };
    let mut whole = make();
    train(&mut whole, 0..6);
    let mut first = make();
    train(&mut first, 0..3);
    let saved = first.0.all().into_iter().map(|p| (p.name, p.var.copy().unwrap())).collect();
    let state = first.2.state().unwrap();
    assert!(state.values().all(|tensor| !HALVES.contains(&tensor.dtype())));
    let mut second = make();
    second.2.load_state(&state).unwrap();
    second.0.load(&saved).unwrap();
    train(&mut second, 3..6);
    assert_eq!(second.0.digest().unwrap(), whole.0.digest().unwrap());
    assert_eq!(
        second.1.loss(9).unwrap().to_scalar::<f32>().unwrap().to_bits(),
        whole.1.loss(9).unwrap().to_scalar::<f32>().unwrap().to_bits()
    );
}

/// What methods put between the stored weight and the network is computed in f32 from the rounded weight.
#[test]
fn reparametrized_weights_are_seen_in_half_precision() {
    for method in [
        Method::WeightStandardization(WeightStandardization::default()),
        Method::WeightNormalization(WeightNormalization::default()),
        Method::ForcedWeightNormalization,
    ] {
        let weight = |dtype: DType| {
            let params = Params::new(0, &Device::Cpu).with_method(method);
            let init = Init::Randn { mean: 0.1, stdev: 0.5 };
            let weight = params.to_dtype(dtype).scale_invariant("w", (4, 3, 3, 3), init, Vec::new()).unwrap();
            (weight.tensor().unwrap(), params)
        };
        let (half, params) = weight(DType::BF16);
        assert_eq!(half.dtype(), DType::BF16);
        let gradients = half.to_dtype(DType::F32).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let own = params.unscale(&gradients, 1.0).unwrap();
        assert!(params.trainable().iter().all(|p| own.get(&p.var).is_some()), "{method:?}");
        let full = doubles(&weight(DType::F32).0);
        let largest = full.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for (half, full) in doubles(&half.to_dtype(DType::F32).unwrap()).into_iter().zip(full) {
            assert!((half - full).abs() < largest / 64.0, "{method:?}: {half} {full}");
        }
    }
}

#[test]
fn sharpness_aware_steps_are_seen_too() {
    let params = Params::new(0, &Device::Cpu);
    let half = params.to_dtype(DType::BF16).get("w", 2, Init::Const(1.0)).unwrap();
    let base = Base { sam_rho: Some(0.5), ..Sgd::default().into() };
    let optimizer = Optimizer::new(&params, base, 0.0).unwrap();
    let gradients = half.to_dtype(DType::F32).unwrap().sum_all().unwrap().backward().unwrap();
    let perturbed = optimizer.perturb(&gradients).unwrap().unwrap();
    let now = || doubles(&half.to_dtype(DType::F32).unwrap());
    assert!((now()[0] - (1.0 + 0.5 / 2f64.sqrt())).abs() < 0.01, "{:?}", now());
    perturbed.restore().unwrap();
    assert_eq!(now(), [1.0, 1.0]);
}

#[test]
fn what_half_precision_would_spoil_is_refused() {
    let params = Params::new(0, &Device::Cpu);
    let half = params.to_dtype(DType::BF16);
    let message = candle_nn::batch_norm(4, 1e-5, half.var_builder().pp("norm")).err().unwrap().to_string();
    assert!(message.contains("`norm.running_mean`") && message.contains("f32"), "{message}");
    half.get("w", 2, Init::Const(0.0)).unwrap();
    let message = params.to_dtype(DType::F16).get("w", 2, Init::Const(0.0)).unwrap_err().to_string();
    assert!(message.contains("`w`") && message.contains("BF16"), "{message}");
    let message = params.to_dtype(DType::F64).get("w", 2, Init::Const(0.0)).unwrap_err().to_string();
    assert!(message.contains("F64"), "{message}");
    assert!(params.buffer("w", 2, 0.0).unwrap_err().to_string().contains("`w`"));
    assert!(params.unscale(&GradStore::default(), 0.0).unwrap_err().to_string().contains("loss_scale"));
    // Of another type than either.
    let mut gradients = GradStore::default();
    let of = half.get("w", 2, Init::Const(0.0)).unwrap();
    gradients.insert(&of, random("g", &[2]).to_dtype(DType::F16).unwrap());
    let mut optimizer = Optimizer::new(&params, Sgd::default(), 0.0).unwrap();
    let message = optimizer.step(&gradients, 0.1).unwrap_err().to_string();
    assert!(message.contains("`w`") && message.contains("F16"), "{message}");
}
