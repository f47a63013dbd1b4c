//! Optimizers through the trait of candle-nn, in a loop that knows nothing else.

use crate::common::*;
use candle_core::{DType, Device, Module, ModuleT, Tensor, Var};
use candle_nn::{Optimizer as _, VarBuilder, VarMap};
use regularize::*;

/// A convolution, a batch norm and a linear layer.
struct Small(candle_nn::Conv2d, candle_nn::BatchNorm, candle_nn::Linear);

impl Small {
    fn new(vb: &VarBuilder<'_>) -> Self {
        let conv = candle_nn::conv2d_no_bias(3, 4, 3, Default::default(), vb.pp("conv")).unwrap();
        let norm = candle_nn::batch_norm(4, 1e-5, vb.pp("norm")).unwrap();
        Self(conv, norm, candle_nn::linear(4, 2, vb.pp("fc")).unwrap())
    }

    fn loss(&self) -> candle_core::Result<Tensor> {
        let features = self.1.forward_t(&self.0.forward(&random("images", &[8, 3, 6, 6]))?, true)?.relu()?;
        self.2.forward(&features.mean((2, 3))?)?.sub(&random("targets", &[8, 2]))?.sqr()?.mean_all()
    }
}

/// A loop of candle-nn's, for any optimizer.
fn train<O: candle_nn::Optimizer>(network: &Small, vars: Vec<Var>, config: O::Config) -> Vec<f32> {
    let mut optimizer = O::new(vars, config).unwrap();
    let mut losses = Vec::new();
    for step in 0..6 {
        if step == 3 {
            optimizer.set_learning_rate(optimizer.learning_rate() / 2.0);
        }
        let loss = network.loss().unwrap();
        optimizer.backward_step(&loss).unwrap();
        losses.push(loss.to_scalar().unwrap());
    }
    losses
}

/// A network in a `VarMap`, with the values that `Params` would draw.
fn in_var_map() -> (VarMap, Small) {
    let map = VarMap::new();
    let network = Small::new(&VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu));
    let drawn = Params::new(3, &Device::Cpu);
    Small::new(&drawn.var_builder());
    for parameter in drawn.all() {
        map.data().lock().unwrap()[&parameter.name].set(&parameter.var).unwrap();
    }
    (map, network)
}

#[test]
fn a_loop_of_candles_takes_the_same_steps() {
    let (map, network) = in_var_map();
    let method = Method::Wrs(Wrs::default());
    let params = Params::from_varmap(&map).unwrap().with_method(method);
    params.infer_roles(|_| network.loss()).unwrap();
    let base: Base = Sgd::default().into();
    let config = CandleConfig { params: params.clone(), base, rest_decay: 0.01 };
    let losses = train::<CandleOptimizer>(&network, map.all_vars(), config);
    assert!(losses[5] < losses[0], "{losses:?}");
    assert!(
        filter_norms(&params.all()[0].var).iter().all(|norm| (norm - 1.0).abs() < 1e-5),
        "{}",
        params.all()[0].name
    );

    let (map, network) = in_var_map();
    let again = Params::from_varmap(&map).unwrap().with_method(method);
    again.infer_roles(|_| network.loss()).unwrap();
    let mut optimizer = Optimizer::new(&again, base, 0.01).unwrap();
    for (step, expected) in losses.into_iter().enumerate() {
        let loss = network.loss().unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), expected);
        optimizer.step(&loss.backward().unwrap(), if step < 3 { 0.1 } else { 0.05 }).unwrap();
    }
    assert_eq!(again.digest().unwrap(), params.digest().unwrap());
}

#[test]
fn adamw_is_candles() {
    let (map, network) = in_var_map();
    let settings = candle_nn::ParamsAdamW { lr: 0.01, weight_decay: 0.1, ..Default::default() };
    let expected = train::<candle_nn::AdamW>(&network, map.all_vars(), settings);
    let (map, network) = in_var_map();
    let adam = Adam { lr: 0.01, ..Adam::default() };
    let params = Params::from_varmap(&map).unwrap();
    let config = CandleConfig { params, base: Rule::AdamW(adam).into(), rest_decay: 0.1 };
    let found = train::<CandleOptimizer>(&network, map.all_vars(), config);
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-4 * expected, "{found} {expected}");
    }
}

#[test]
fn variables_that_are_left_out_stay_as_they_are() {
    let params = network(LAYERS, &Method::None);
    let config = CandleConfig { params: params.clone(), base: Sgd::default().into(), rest_decay: 0.1 };
    let vars = params.trainable_vars();
    let before: Vec<_> = vars.iter().map(|var| values(var)).collect();
    let mut optimizer = CandleOptimizer::new(vars[..1].to_vec(), config).unwrap();
    assert_eq!(optimizer.learning_rate(), 0.1);
    candle_nn::Optimizer::step(&mut optimizer, &random_gradients(&params, 0)).unwrap();
    let stays: Vec<_> = vars.iter().zip(&before).map(|(var, before)| values(var) == *before).collect();
    assert!(!stays[0] && stays[1..].iter().all(|stays| *stays), "{stays:?}");
}

#[test]
fn groups_and_state_come_with_an_optimizer() {
    let params = network(LAYERS, &Method::None);
    let optimizer = Optimizer::new(&params, Adam::default(), 0.0).unwrap();
    let still = Group { lr_factor: 0.0, ..Group::default() };
    let mut optimizer =
        CandleOptimizer::from(optimizer.with_groups(|name| name.ends_with("bias").then_some(still)).unwrap());
    let before = params.digest().unwrap();
    optimizer.set_learning_rate(0.0);
    candle_nn::Optimizer::step(&mut optimizer, &random_gradients(&params, 0)).unwrap();
    assert_eq!(params.digest().unwrap(), before);
    let state = optimizer.inner().state().unwrap();
    optimizer.inner_mut().load_state(&state).unwrap();
}

#[test]
fn what_the_trait_has_no_place_for_is_refused() {
    let params = network(LAYERS, &Method::None);
    let base = Base { sam_rho: Some(0.05), ..Sgd::default().into() };
    let config = CandleConfig { params: params.clone(), base, rest_decay: 0.0 };
    let mut optimizer = CandleOptimizer::new(params.trainable_vars(), config.clone()).unwrap();
    let message = candle_nn::Optimizer::step(&mut optimizer, &random_gradients(&params, 0)).unwrap_err().to_string();
    assert!(message.contains("`Optimizer::perturb`"), "{message}");
    let other = Var::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let message = CandleOptimizer::new(vec![other], config).err().unwrap().to_string();
    assert!(message.contains("[2, 3]"), "{message}");
    let map = VarMap::new();
    VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu).get(3, "w").unwrap();
    let message = Params::from_varmap(&map).err().unwrap().to_string();
    assert!(message.contains("`w`") && message.contains("F64"), "{message}");
}
