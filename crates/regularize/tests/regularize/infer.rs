//! Roles found by experiments, on networks of candle-nn's layers.

use crate::common::*;
use candle_core::{Device, Module, ModuleT, Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Linear, VarBuilder};
use regularize::*;

const CHANNELS: usize = 6;

fn conv(inputs: usize, vb: VarBuilder<'_>) -> Conv2d {
    candle_nn::conv2d_no_bias(inputs, CHANNELS, 3, Conv2dConfig { padding: 1, ..Default::default() }, vb).unwrap()
}

fn norm(vb: VarBuilder<'_>) -> BatchNorm {
    candle_nn::batch_norm(CHANNELS, 1e-5, vb).unwrap()
}

/// Images of a round.
fn images(round: usize) -> Tensor {
    random(&format!("images {round}"), &[8, 3, 6, 6])
}

/// A loss that has no symmetry, of features `[8, c, h, w]` or `[8, c]`.
fn loss(features: &Tensor, head: &Linear) -> Result<Tensor> {
    let pooled = if features.rank() == 4 { features.mean((2, 3))? } else { features.clone() };
    head.forward(&pooled)?.sub(&random("targets", &[8, 3]))?.sqr()?.mean_all()
}

fn head(vb: &VarBuilder<'_>) -> Linear {
    candle_nn::linear(CHANNELS, 3, vb.pp("head")).unwrap()
}

fn of<'a>(inference: &'a Inference, name: &str) -> &'a InferredWeight {
    inference.weights.iter().find(|weight| weight.name == name).unwrap_or_else(|| panic!("no {name} in {inference}"))
}

fn followers(names: &[&str]) -> Verdict {
    Verdict::ScaleInvariant(names.iter().map(ToString::to_string).collect())
}

/// A stem and a residual block, whose second convolution has a bias.
struct Residual {
    stem: (Conv2d, BatchNorm),
    first: (Conv2d, BatchNorm),
    second: (Conv2d, BatchNorm),
    head: Linear,
}

impl Residual {
    fn new(vb: &VarBuilder<'_>) -> Self {
        let biased = Conv2dConfig { padding: 1, ..Default::default() };
        let biased = candle_nn::conv2d(CHANNELS, CHANNELS, 3, biased, vb.pp("conv2")).unwrap();
        Self {
            stem: (conv(3, vb.pp("stem")), norm(vb.pp("bn"))),
            first: (conv(CHANNELS, vb.pp("conv1")), norm(vb.pp("bn1"))),
            second: (biased, norm(vb.pp("bn2"))),
            head: head(vb),
        }
    }

    fn features(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let apply = |(conv, norm): &(Conv2d, BatchNorm), x: &Tensor| norm.forward_t(&conv.forward(x)?, train);
        let x = apply(&self.stem, x)?.relu()?;
        let branch = apply(&self.second, &apply(&self.first, &x)?.relu()?)?;
        (x + branch)?.relu()
    }

    fn loss(&self, round: usize) -> Result<Tensor> {
        loss(&self.features(&images(round), true)?, &self.head)
    }
}

fn set(params: &Params, name: &str, all: &[f32]) {
    let parameter = params.all().into_iter().find(|p| p.name == name).unwrap();
    parameter.var.set(&Tensor::from_slice(all, parameter.var.shape(), &Device::Cpu).unwrap()).unwrap();
}

#[test]
fn roles_of_a_residual_network() {
    let params = Params::new(0, &Device::Cpu);
    let network = Residual::new(&params.var_builder());
    // As initialized by many: the branch starts at 0.
    set(&params, "bn2.weight", &[0.0; CHANNELS]);
    let before = params.digest().unwrap();
    let inference = params.pp("prefix").infer_roles(|round| network.loss(round)).unwrap();
    assert_eq!(params.digest().unwrap(), before);
    assert_eq!(of(&inference, "stem.weight").verdict, followers(&["bn.running_mean", "bn.running_var"]), "{inference}");
    assert_eq!(of(&inference, "conv1.weight").verdict, followers(&["bn1.running_mean", "bn1.running_var"]));
    let with_bias = followers(&["bn2.running_mean", "bn2.running_var", "conv2.bias"]);
    assert_eq!(of(&inference, "conv2.weight").verdict, with_bias, "{inference}");
    assert_eq!(of(&inference, "head.weight").verdict, Verdict::No);
    assert!(of(&inference, "head.weight").cosine > 0.05);
    assert!(inference.weights.iter().all(|weight| weight.dead.is_empty()), "{inference}");
    assert_eq!(inference.weights.len(), 4);
    assert_eq!(inference.statistics.len(), 6);
    assert!(inference.to_string().contains("stem.weight: scale-invariant, followed by bn.running_mean"));
    let scale_invariant = params.all().into_iter().filter(|p| matches!(p.role, Role::ScaleInvariant(_)));
    assert_eq!(scale_invariant.count(), 3);
    // Nothing is left to find.
    let again = params.infer_roles(|round| network.loss(round)).unwrap();
    assert_eq!(again.weights.len(), 1);
}

/// What roles promise: a rescale is seen neither in training nor in evaluation.
#[test]
fn evaluation_follows_the_roles_found() {
    let params = Params::new(1, &Device::Cpu);
    let network = Residual::new(&params.var_builder());
    set(&params, "conv2.bias", &[0.5, -0.3, 0.2, 0.9, -1.0, 0.1]);
    for round in 0..20 {
        network.loss(round).unwrap();
    }
    params.infer_roles(|round| network.loss(round)).unwrap();
    let before = network.features(&images(0), false).unwrap();
    Optimizer::new(&params.with_method(Method::Wrs(Wrs::default())), Sgd::default(), 0.0).unwrap();
    let after = network.features(&images(0), false).unwrap();
    let largest = values(&before).into_iter().fold(0.0, f32::max);
    for (before, after) in values(&before).into_iter().zip(values(&after)) {
        assert!((before - after).abs() < 1e-3 * largest, "{before} {after}");
    }
}

#[test]
fn a_pre_activation_network_is_told_apart() {
    let params = Params::new(0, &Device::Cpu);
    let vb = params.var_builder();
    let (stem, head) = (conv(3, vb.pp("stem")), head(&vb));
    let convs = ["conv1", "conv2"].map(|name| conv(CHANNELS, vb.pp(name)));
    let norms = ["bn1", "bn2", "bn3"].map(|name| norm(vb.pp(name)));
    let train = |round: usize| {
        let x = stem.forward(&images(round))?;
        let branch = convs[0].forward(&norms[0].forward_t(&x, true)?.relu()?)?;
        let branch = convs[1].forward(&norms[1].forward_t(&branch, true)?.relu()?)?;
        loss(&norms[2].forward_t(&(x + branch)?, true)?.relu()?, &head)
    };
    let inference = params.infer_roles(train).unwrap();
    assert_eq!(of(&inference, "stem.weight").verdict, Verdict::No, "{inference}");
    assert_eq!(of(&inference, "conv1.weight").verdict, followers(&["bn2.running_mean", "bn2.running_var"]));
    assert_eq!(of(&inference, "conv2.weight").verdict, Verdict::No, "{inference}");
    assert_eq!(of(&inference, "head.weight").verdict, Verdict::No);
}

#[test]
fn frozen_normalizations_make_nothing_scale_invariant() {
    let params = Params::new(0, &Device::Cpu);
    let network = Residual::new(&params.var_builder());
    // As in a trained network, variances are of different sizes.
    set(&params, "bn1.running_var", &[9.0, 1e-3, 1e-2, 0.1, 1.0, 4.0]);
    let inference = params.infer_roles(|round| loss(&network.features(&images(round), false)?, &network.head)).unwrap();
    assert!(inference.weights.iter().all(|weight| weight.verdict == Verdict::No), "{inference}");
    assert!(inference.statistics.is_empty());
    assert!(params.all().iter().all(|p| matches!(p.role, Role::Other)));
}

#[test]
fn filters_without_gradient_are_reported_apart() {
    let params = Params::new(0, &Device::Cpu);
    let network = Residual::new(&params.var_builder());
    // Behind its ReLU, channel 2 is 0.
    set(&params, "bn1.bias", &[0.0, 0.0, -20.0, 0.0, 0.0, 0.0]);
    let inference = params.infer_roles(|round| network.loss(round)).unwrap();
    assert_eq!(of(&inference, "conv1.weight").dead, [2], "{inference}");
    assert_eq!(of(&inference, "conv1.weight").verdict, followers(&["bn1.running_mean", "bn1.running_var"]));
    assert!(inference.to_string().contains("filter 2 has no gradient"), "{inference}");
}

#[test]
fn what_can_not_be_told_gets_no_role() {
    let params = Params::new(0, &Device::Cpu);
    let vb = params.var_builder();
    let (a, b, head) =
        (conv(3, vb.pp("a")), conv(3, vb.pp("b")), candle_nn::linear(2 * CHANNELS, 3, vb.pp("head")).unwrap());
    let unused = conv(3, vb.pp("unused"));
    let both = candle_nn::batch_norm(2 * CHANNELS, 1e-5, vb.pp("both")).unwrap();
    let train = |round: usize| {
        let x = Tensor::cat(&[a.forward(&images(round))?, b.forward(&images(round))?], 1)?;
        let unused = (unused.forward(&images(round))?.sum_all()? * 0.0)?;
        loss(&both.forward_t(&x, true)?.relu()?, &head)? + unused
    };
    let inference = params.infer_roles(train).unwrap();
    for (name, reason) in
        [("a.weight", "[12]"), ("b.weight", "both.running"), ("unused.weight", "no filter has a gradient")]
    {
        let Verdict::Unclear(message) = &of(&inference, name).verdict else { panic!("{inference}") };
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(of(&inference, "unused.weight").dead.len(), CHANNELS);
    assert!(params.all().iter().all(|p| !matches!(p.role, Role::ScaleInvariant(_))));
}

#[test]
fn group_norm_is_for_all_filters_together() {
    let params = Params::new(0, &Device::Cpu);
    let vb = params.var_builder();
    let (conv, head) = (conv(3, vb.pp("conv")), head(&vb));
    let norm = candle_nn::group_norm(1, CHANNELS, 1e-8, vb.pp("norm")).unwrap();
    let train = |round: usize| loss(&norm.forward(&conv.forward(&images(round))?)?.relu()?, &head);
    let inference = params.infer_roles(train).unwrap();
    assert_eq!(of(&inference, "conv.weight").verdict, Verdict::Together, "{inference}");
}

/// A weight of one filter with many values, orthogonal to nearly everything: the loss tells.
#[test]
fn few_large_filters_are_told_by_the_loss() {
    let params = Params::new(0, &Device::Cpu);
    let head = candle_nn::linear_no_bias(40_000, 1, params.var_builder().pp("head")).unwrap();
    let train = |round: usize| {
        let x = random(&format!("x {round}"), &[4, 40_000]);
        head.forward(&x)?.sub(&random("targets", &[4, 1]))?.sqr()?.mean_all()
    };
    let inference = params.infer_roles(train).unwrap();
    assert_eq!(of(&inference, "head.weight").verdict, Verdict::No, "{inference}");
}

#[test]
fn a_linear_layer_and_a_shared_weight() {
    let params = Params::new(0, &Device::Cpu);
    let vb = params.var_builder();
    let (shared, head) = (candle_nn::linear(5, CHANNELS, vb.pp("shared")).unwrap(), head(&vb));
    let norms = ["fine", "coarse"].map(|name| norm(vb.pp(name)));
    let train = |round: usize| {
        let x = |level: &str| random(&format!("{level} {round}"), &[8, 5]);
        let fine = norms[0].forward_t(&shared.forward(&x("fine"))?, true)?.relu()?;
        let coarse = norms[1].forward_t(&shared.forward(&x("coarse"))?, true)?.relu()?;
        loss(&(fine + coarse)?, &head)
    };
    let inference = params.infer_roles(train).unwrap();
    let Verdict::ScaleInvariant(names) = &of(&inference, "shared.weight").verdict else { panic!("{inference}") };
    let expected =
        ["fine.running_mean", "fine.running_var", "shared.bias", "coarse.running_mean", "coarse.running_var"];
    assert_eq!(names, &expected, "{inference}");
}

#[test]
fn losses_that_are_no_ground_are_refused() {
    let params = Params::new(0, &Device::Cpu);
    let network = Residual::new(&params.var_builder());
    let before = params.digest().unwrap();
    let mut calls = 0;
    let message = params.infer_roles(|round| {
        calls += 1;
        network.loss(round)? + f64::from(calls)
    });
    let message = message.unwrap_err().to_string();
    assert!(message.contains("dropout"), "{message}");
    let message = params.infer_roles(|round| network.loss(round)? * f64::NAN).unwrap_err().to_string();
    assert!(message.contains("NaN"), "{message}");
    assert_eq!(params.digest().unwrap(), before);
    assert!(params.all().iter().all(|p| matches!(p.role, Role::Other)));
}
