//! What the tests share: small networks, gradients, and the lists of what can be combined.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Init;
use regularize::*;

pub(crate) fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn doubles(t: &Tensor) -> Vec<f64> {
    values(t).into_iter().map(f64::from).collect()
}

/// Standard normal numbers, always the same ones for a name.
pub(crate) fn random(name: &str, dims: &[usize]) -> Tensor {
    let params = Params::new(11, &Device::Cpu);
    params.get(name, dims, Init::Randn { mean: 0.0, stdev: 1.0 }).unwrap().copy().unwrap()
}

/// Gradients for `params`, by name, as a backward pass would give them.
pub(crate) fn gradients(params: &Params, of: impl Fn(&str) -> Option<Tensor>) -> GradStore {
    let mut gradients = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap().backward().unwrap();
    for p in params.trainable() {
        if let Some(gradient) = of(&p.name) {
            gradients.insert(&p.var, gradient);
        }
    }
    gradients
}

/// Random gradients for all of `params`, always the same ones for a step.
pub(crate) fn random_gradients(params: &Params, step: usize) -> GradStore {
    let dims = |name: &str| params.trainable().into_iter().find(|p| p.name == name).unwrap().var.dims().to_vec();
    gradients(params, |name| Some(random(&format!("{step} {name}"), &dims(name))))
}

/// Norms of the rows of dimension 0.
pub(crate) fn filter_norms(weight: &Tensor) -> Vec<f64> {
    let len = weight.elem_count() / weight.dims()[0];
    let norm = |f: &[f64]| f.iter().map(|v| v * v).sum::<f64>().sqrt();
    doubles(weight).chunks_exact(len).map(norm).collect()
}

/// Running statistics of a batch norm behind the weight of `layer`: `running_mean`, `running_var`.
pub(crate) fn statistics(layer: &Params, filters: usize) -> (Var, Var) {
    let running_mean = layer.buffer("running_mean", filters, 0.5).unwrap();
    let running_var = layer.buffer("running_var", filters, 2.0).unwrap();
    (running_mean, running_var)
}

/// Says that `weight` is followed by a batch norm, whose running mean and variance it returns.
pub(crate) fn followed_by_norm(params: &Params, weight: &str, filters: usize) -> (Var, Var) {
    let (running_mean, running_var) = statistics(params, filters);
    let normalization =
        Normalization { running_mean: running_mean.clone(), running_var: running_var.clone(), bias: None };
    params.set_role(weight, Role::ScaleInvariant(vec![normalization])).unwrap();
    (running_mean, running_var)
}

/// What comes behind a weight.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Behind {
    /// Nothing that makes it scale-invariant.
    Nothing,
    /// A batch norm.
    Norm,
    /// A bias, then a batch norm.
    BiasAndNorm,
}

/// A layer of a test network: its name, the shape of its weight, and what comes behind.
pub(crate) type Layer = (&'static str, &'static [usize], Behind);

/// Shapes that differ in what may go wrong: a row alone, rows of one value, many rows, one dimension.
pub(crate) const LAYERS: &[Layer] = &[
    ("conv", &[6, 3, 3, 3], Behind::Norm),
    ("biased", &[4, 2, 2, 3], Behind::BiasAndNorm),
    ("depthwise", &[8, 1, 3, 3], Behind::Norm),
    ("row", &[1, 5], Behind::Norm),
    ("column", &[4, 1], Behind::Norm),
    ("fc", &[3, 7], Behind::Nothing),
    ("gain", &[5], Behind::Nothing),
];

/// The layers `layers` as `method` has them, with weights `<layer>.weight`, and `<layer>.bias`,
/// `<layer>.running_mean` and `<layer>.running_var` where there are any.
pub(crate) fn network(layers: &[Layer], method: &Method) -> Params {
    let params = Params::new(7, &Device::Cpu).with_method(*method);
    let init = Init::Randn { mean: 0.1, stdev: 0.5 };
    for (name, dims, behind) in layers {
        let layer = params.pp(name);
        if *behind == Behind::Nothing {
            layer.get("weight", *dims, init).unwrap();
            continue;
        }
        let bias = (*behind == Behind::BiasAndNorm).then(|| {
            layer.get("bias", dims[0], init).unwrap();
            params.trainable().last().unwrap().var.clone()
        });
        let (running_mean, running_var) = statistics(&layer, dims[0]);
        let normalization = Normalization { running_mean, running_var, bias };
        layer.scale_invariant("weight", *dims, init, vec![normalization]).unwrap();
    }
    params
}

/// The two ways in which an optimizer computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Path {
    Fused,
    TensorOperations,
}

pub(crate) const PATHS: [Path; 2] = [Path::Fused, Path::TensorOperations];

pub(crate) fn optimizer(params: &Params, base: Base, method: Method, rest_decay: f64, path: Path) -> Optimizer {
    let optimizer = Optimizer::new(&params.with_method(method), base, rest_decay).unwrap();
    match path {
        Path::Fused => optimizer,
        Path::TensorOperations => optimizer.with_tensor_operations(),
    }
}

/// Every base optimizer in each of its forms.
pub(crate) fn bases() -> Vec<Base> {
    let sgd = Sgd { lr: 0.05, ..Sgd::default() };
    let adam = Adam { lr: 0.02, betas: [0.8, 0.95], ..Adam::default() };
    let sgdp = Sgdp { lr: 0.05, momentum: 0.9, ..Sgdp::default() };
    let adamp = AdamP { lr: 0.02, betas: [0.8, 0.95], ..AdamP::default() };
    let muon = Muon { lr: 0.05, rest_lr: 0.02, ..Muon::default() };
    let clipped = |rule: Rule| Base { clip_norm: Some(0.7), ..rule.into() };
    vec![
        Sgd { momentum: 0.0, ..sgd }.into(),
        sgd.into(),
        Sgd { dampening: 0.3, ..sgd }.into(),
        Sgd { nesterov: true, ..sgd }.into(),
        clipped(sgd.into()),
        adam.into(),
        Rule::AdamW(adam).into(),
        clipped(Rule::AdamW(adam)),
        Sgdp { momentum: 0.0, ..sgdp }.into(),
        sgdp.into(),
        Sgdp { dampening: 0.3, nesterov: true, ..sgdp }.into(),
        adamp.into(),
        AdamP { nesterov: true, ..adamp }.into(),
        muon.into(),
        Muon { momentum: 0.0, nesterov: false, iterations: 3, ..muon }.into(),
        Nero { lr: 0.05, beta: 0.9 }.into(),
    ]
}

/// Every method with each of its settings, one weight rescaling in each of its forms apart.
pub(crate) fn methods() -> Vec<Method> {
    let mut methods = vec![Method::None, Method::ForcedWeightNormalization, Method::Hyperball];
    for scope in [Scope::Everything, Scope::ScaleInvariant] {
        methods.push(Method::GradientCentralization(GradientCentralization { scope, decay: 0.05 }));
        for form in FORMS {
            methods.push(Method::WeightDecay(WeightDecay { decay: 0.05, scope, form }));
        }
    }
    for form in FORMS {
        methods.push(Method::WeightStandardization(WeightStandardization { decay: 0.05, form }));
    }
    for (decay, target) in [(0.0, 1.0), (2.0, 0.5), (2.0, 1.5), (100.0, 1.0)] {
        methods.push(Method::WeightNormControl(WeightNormControl { decay, target }));
    }
    for decay in [0.0, 0.05] {
        methods.push(Method::WeightNormalization(WeightNormalization { decay }));
    }
    for strength in [0.0, 0.1, 1.0] {
        methods.push(Method::SoftWeightRescaling(SoftWeightRescaling { strength }));
    }
    for flag in [false, true] {
        methods.push(Method::Rotational(Rotational { decay: 0.05, zero_mean: flag }));
        for interval in INTERVALS {
            methods.push(Method::Pbwn(Pbwn { interval, riemannian: flag }));
        }
    }
    let wrs = Wrs::default();
    methods.push(Method::Wrs(wrs));
    methods.push(Method::Wrs(Wrs { granularity: Granularity::Layer, target: Target::Init, ..wrs }));
    methods.push(Method::Wrs(Wrs { target: Target::RmsOne, state: MomentumState::Project, ..wrs }));
    methods.push(Method::Wrs(Wrs { interval: Interval::Steps(3), state: MomentumState::Rescale, ..wrs }));
    methods.push(Method::Wrs(Wrs { interval: Interval::Epochs(1), state: MomentumState::Rescale, ..wrs }));
    methods.push(Method::Wrs(Wrs { target: Target::Constant(0.7), rate: MATCHED, ..wrs }));
    methods.push(Method::norm_rule(Leash));
    let listed = METHODS.iter().map(|info| (info.read)(Table::new()).unwrap());
    methods.extend(listed.filter(|method| matches!(method, Method::NormRule(_))));
    methods
}

/// A rule of norms that depends on all that it is told.
#[derive(Debug)]
struct Leash;

const LEASH: MethodInfo = Info {
    name: "leash",
    description: "a test's",
    formula: "",
    source: "",
    limits: "",
    choices: &[],
    read: |_| Ok(Method::norm_rule(Leash)),
};

impl NormRule for Leash {
    fn info(&self) -> &'static MethodInfo {
        &LEASH
    }

    fn table(&self) -> Table {
        Table::from_iter([("name".into(), LEASH.name.into())])
    }

    fn factor(&self, filter: &Filter) -> f64 {
        let Filter { norm, start, len, lr, step } = *filter;
        libm::pow(start / norm, 0.3) * (1.0 - lr / (len as f64).sqrt()) + 0.1 / step as f64
    }
}

/// Weight rescaling in all its forms.
pub(crate) fn rescalings() -> Vec<Method> {
    let mut methods = Vec::new();
    for granularity in [Granularity::Filter, Granularity::Layer] {
        for target in [Target::Unit, Target::Init, Target::RmsOne, Target::RootFilters, Target::Constant(0.7)] {
            for interval in INTERVALS {
                for state in [MomentumState::Keep, MomentumState::Rescale, MomentumState::Project] {
                    methods.push(Method::Wrs(Wrs { granularity, target, interval, state, rate: Rate::Own }));
                    if target != Target::Init {
                        methods.push(Method::Wrs(Wrs { granularity, target, interval, state, rate: MATCHED }));
                    }
                }
            }
        }
    }
    methods
}

const FORMS: [Form; 6] = [Form::Own, Form::Coupled, Form::Decoupled, Form::Cautious, Form::Corrected, Form::Stable];
const INTERVALS: [Interval; 4] = [Interval::Steps(1), Interval::Steps(3), Interval::Epochs(1), Interval::Epochs(2)];
const MATCHED: Rate = Rate::Matched { lr: 0.1, decay: 0.05 };

/// All optimizers with all methods that go with them.
pub(crate) fn combinations() -> Vec<(Base, Method)> {
    let pairs = bases().into_iter().flat_map(|base| methods().into_iter().map(move |method| (base, method)));
    pairs.filter(|(base, method)| method.check_with(base).is_ok()).collect()
}
