//! Optimizers and methods on cases small enough to work out by hand.

use crate::common::*;
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use regularize::*;

#[test]
fn rest_decay_reaches_what_is_not_scale_invariant_and_nothing_else() {
    let decayed = |method: Method| {
        let params = Params::new(0, &Device::Cpu);
        params.get("conv.weight", (2, 4), Init::Const(1.0)).unwrap();
        params.get("fc.weight", (2, 4), Init::Const(1.0)).unwrap();
        params.get("unused", (2, 4), Init::Const(1.0)).unwrap();
        followed_by_norm(&params, "conv.weight", 2);
        let rule = Sgd { momentum: 0.0, ..Sgd::default() };
        let mut optimizer = Optimizer::new(&params.with_method(method), rule, 0.5).unwrap();
        let zero = |name: &str| (name != "unused").then(|| Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap());
        optimizer.step(&gradients(&params, zero), 0.1).unwrap();
        params.trainable().iter().map(|p| values(&p.var)[0]).collect::<Vec<_>>()
    };
    assert_eq!(decayed(Method::None), [1.0, 0.95, 1.0]);
    let weight_decay = |scope| Method::WeightDecay(WeightDecay { decay: 0.25, scope, form: Form::Own });
    assert_eq!(decayed(weight_decay(Scope::ScaleInvariant)), [0.975, 0.95, 1.0]);
    assert_eq!(decayed(weight_decay(Scope::Everything)), [0.975, 0.975, 1.0]);
    assert_eq!(decayed(Method::Wrs(Wrs::default())), [0.5, 0.95, 1.0]);
}

/// All optimizers of a family decay what is not scale-invariant alike: coupled under SGD, decoupled under Adam.
#[test]
fn rest_decay_has_one_form_in_a_family() {
    let trained = |base: Base| {
        let params = Params::new(0, &Device::Cpu);
        params.get("gain", 3, Init::Const(1.0)).unwrap();
        let mut optimizer = Optimizer::new(&params, base, 0.1).unwrap();
        for step in 0..3 {
            optimizer.step(&random_gradients(&params, step), base.rule.lr()).unwrap();
        }
        values(&params.trainable()[0].var)
    };
    let (lr, momentum) = (0.1, 0.9);
    let sgd = trained(Sgd { lr, momentum, ..Sgd::default() }.into());
    assert_eq!(sgd, trained(Sgdp { lr, momentum, ..Sgdp::default() }.into()));
    let nesterov = trained(Sgd { lr, momentum, nesterov: true, ..Sgd::default() }.into());
    assert_eq!(nesterov, trained(Muon { lr, rest_lr: lr, rest_momentum: momentum, ..Muon::default() }.into()));
    let adam = trained(Adam { lr, ..Adam::default() }.into());
    assert_eq!(adam, trained(Rule::AdamW(Adam { lr, ..Adam::default() }).into()));
    assert_eq!(adam, trained(AdamP { lr, ..AdamP::default() }.into()));
}

/// What decay takes off in one step.
#[test]
fn e_foldings_of_decay_are_those_of_the_step() {
    let efolds = |base: Base, method: Method| {
        let params = network(LAYERS, &method);
        let mut optimizer = optimizer(&params, base, method, 0.5, Path::Fused);
        optimizer.step(&random_gradients(&params, 0), 0.05).unwrap();
        optimizer.decay_efolds(0.05)
    };
    let decay = |decay, form| Method::WeightDecay(WeightDecay { decay, form, ..WeightDecay::default() });
    let (sgd, adamw): (Base, Base) = (Sgd::default().into(), Rule::AdamW(Adam::default()).into());
    let close = |found: Option<f64>, expected: f64| {
        assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}, expected {expected}");
    };
    close(efolds(sgd, decay(0.01, Form::Own)), 4.0 * 0.05 * 0.01 / 0.1);
    close(efolds(sgd, decay(0.01, Form::Decoupled)), 4.0 * 0.05 * 0.01);
    close(efolds(sgd, decay(0.01, Form::Corrected)), 4.0 * 0.05 * 0.05 / 0.1 * 0.01);
    close(efolds(sgd, decay(0.01, Form::Stable)), 4.0 * 0.05 * 0.01 / 0.1);
    close(efolds(adamw, decay(0.01, Form::Own)), 4.0 * 0.05 * 0.01);
    close(efolds(sgd, decay(0.0, Form::Own)), 0.0);
    let standardization =
        |decay| Method::WeightStandardization(WeightStandardization { decay, ..WeightStandardization::default() });
    close(efolds(sgd, standardization(0.01)), 4.0 * 0.05 * 0.01 / 0.1);
    assert!(efolds(adamw, decay(0.01, Form::Stable)).unwrap() > 0.0);
    for (base, method) in [
        (sgd, Method::None),
        (sgd, Method::Wrs(Wrs::default())),
        (sgd, standardization(0.0)),
        (sgd, decay(0.01, Form::Cautious)),
        (Adam::default().into(), decay(0.01, Form::Own)),
    ] {
        assert_eq!(efolds(base, method), None, "{base:?} {method:?}");
    }
}

#[test]
fn clipping_is_torchs() {
    // torch.nn.utils.clip_grad_norm_ with a norm of 5 and max_norm 1 multiplies by 1 / (5 + 1e-6).
    let params = Params::new(0, &Device::Cpu);
    params.get("a", 2, Init::Const(0.0)).unwrap();
    let rule = Sgd { momentum: 0.0, ..Sgd::default() };
    let base = Base { clip_norm: Some(1.0), ..rule.into() };
    let mut optimizer = Optimizer::new(&params, base, 0.0).unwrap();
    let step = |optimizer: &mut Optimizer, g: [f32; 2]| {
        optimizer.step(&gradients(&params, |_| Some(Tensor::new(&g, &Device::Cpu).unwrap())), 1.0).unwrap();
        values(&params.trainable()[0].var)
    };
    let clipped = step(&mut optimizer, [3.0, 4.0]);
    assert!((clipped[0] + 0.6).abs() < 1e-6 && (clipped[1] + 0.8).abs() < 1e-6, "{clipped:?}");
    let free = step(&mut optimizer, [0.3, 0.4]);
    assert!((free[0] + 0.9).abs() < 1e-6 && (free[1] + 1.2).abs() < 1e-6, "{free:?}");
}

/// As with torch's, a global norm that is not a number reaches every parameter, and is seen.
#[test]
fn clipping_by_a_norm_that_is_no_number_hides_nothing() {
    let params = Params::new(0, &Device::Cpu);
    params.get("a", 2, Init::Const(0.0)).unwrap();
    params.get("b", 2, Init::Const(0.0)).unwrap();
    let base = Base { clip_norm: Some(1.0), ..Sgd::default().into() };
    let mut optimizer = Optimizer::new(&params, base, 0.0).unwrap();
    let mut store = gradients(&params, |_| Some(random("g", &[2])));
    store.insert(&params.trainable()[0].var.clone(), Tensor::new(&[f32::NAN, 0.0], &Device::Cpu).unwrap());
    optimizer.step(&store, 0.1).unwrap();
    assert!(values(&params.trainable()[1].var).iter().all(|value| value.is_nan()));
}

#[test]
fn impossible_settings_are_refused() {
    let params = Params::new(0, &Device::Cpu);
    let refused = |base: Base| Optimizer::new(&params, base, 0.0).err().unwrap().to_string();
    assert!(refused(Sgd { lr: f64::NAN, ..Sgd::default() }.into()).contains("`lr`"));
    assert!(refused(Sgd { momentum: 1.0, ..Sgd::default() }.into()).contains("`momentum`"));
    assert!(refused(Sgd { momentum: 0.0, nesterov: true, ..Sgd::default() }.into()).contains("`nesterov`"));
    assert!(refused(Adam { betas: [0.9, 1.0], ..Adam::default() }.into()).contains("`betas`"));
    assert!(refused(Base { clip_norm: Some(0.0), ..Sgd::default().into() }).contains("`clip_norm`"));
    assert!(refused(Base { sam_rho: Some(-1.0), ..Sgd::default().into() }).contains("`sam_rho`"));
    let wrs = Method::Wrs(Wrs { target: Target::Constant(0.0), ..Wrs::default() });
    assert!(
        Optimizer::new(&params.with_method(wrs), Sgd::default(), 0.0).err().unwrap().to_string().contains("`target`")
    );
    let plain = Params::new(0, &Device::Cpu);
    let message = |decay| Optimizer::new(&plain, Sgd::default(), decay).err().unwrap().to_string();
    assert!(message(f64::NAN).contains("rest_decay"));
}

#[test]
fn statistics_and_bias_follow_the_weight() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (2, 4), Init::Const(2.0)).unwrap();
    params.get("bias", 2, Init::Const(3.0)).unwrap();
    let running_mean = params.buffer("mean", 2, 0.5).unwrap();
    let running_var = params.buffer("var", 2, 2.0).unwrap();
    let bias = Some(params.trainable()[1].var.clone());
    let normalization = Normalization { running_mean: running_mean.clone(), running_var: running_var.clone(), bias };
    params.set_role("w", Role::ScaleInvariant(vec![normalization])).unwrap();
    // Filters of norm 4 come to norm 1.
    Optimizer::new(&params.with_method(Method::Wrs(Wrs::default())), Sgd::default(), 0.0).unwrap();
    assert_eq!(values(&params.trainable()[0].var), [0.5; 8]);
    assert_eq!(values(&params.trainable()[1].var), [0.75; 2]);
    assert_eq!(values(&running_mean), [0.125; 2]);
    assert_eq!(values(&running_var), [0.125; 2]);
}

#[test]
fn statistics_of_every_normalization_follow_a_shared_weight() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (2, 4), Init::Const(2.0)).unwrap();
    let normalizations = ["fine", "coarse"].map(|level| Normalization {
        running_mean: params.pp(level).buffer("mean", 2, 0.5).unwrap(),
        running_var: params.pp(level).buffer("var", 2, 2.0).unwrap(),
        bias: None,
    });
    params.set_role("w", Role::ScaleInvariant(normalizations.to_vec())).unwrap();
    Optimizer::new(&params.with_method(Method::Wrs(Wrs::default())), Sgd::default(), 0.0).unwrap();
    for normalization in &normalizations {
        assert_eq!(values(&normalization.running_mean), [0.125; 2]);
        assert_eq!(values(&normalization.running_var), [0.125; 2]);
    }
}

#[test]
fn weights_before_frozen_normalizations_are_not_rescaled() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (2, 4), Init::Const(2.0)).unwrap();
    followed_by_norm(&params, "w", 2);
    params.freeze_normalizations();
    assert!(params.trainable().iter().all(|p| matches!(p.role, Role::Other)));
    Optimizer::new(&params.with_method(Method::Wrs(Wrs::default())), Sgd::default(), 0.0).unwrap();
    assert_eq!(values(&params.trainable()[0].var), [2.0; 8]);
}

#[test]
fn momentum_projects() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (1, 2), Init::Const(1.0)).unwrap();
    followed_by_norm(&params, "w", 1);
    let method = Method::Wrs(Wrs { state: MomentumState::Project, ..Wrs::default() });
    let mut optimizer = Optimizer::new(&params.with_method(method), Sgd::default(), 0.0).unwrap();
    for _ in 0..3 {
        let g = |_: &str| Some(Tensor::new(&[[0.4f32, 0.1]], &Device::Cpu).unwrap());
        optimizer.step(&gradients(&params, g), 0.1).unwrap();
        let (w, m) = (values(&params.trainable()[0].var), values(&optimizer.state().unwrap()["momentum_buffer/w"]));
        assert!((w[0] * m[0] + w[1] * m[1]).abs() < 1e-6, "{w:?} {m:?}");
    }
}

#[test]
fn epochs_are_an_interval() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (2, 4), Init::Const(2.0)).unwrap();
    followed_by_norm(&params, "w", 2);
    let method = Method::Wrs(Wrs { interval: Interval::Epochs(2), ..Wrs::default() });
    let mut optimizer = Optimizer::new(&params.with_method(method), Sgd::default(), 0.0).unwrap();
    let norm = || filter_norms(&params.trainable()[0].var)[0];
    assert!((norm() - 1.0).abs() < 1e-6);
    let mut step = || optimizer.step(&gradients(&params, |_| Some(random("g", &[2, 4]))), 0.5).unwrap();
    step();
    let moved = norm();
    assert!((moved - 1.0).abs() > 1e-2);
    optimizer.begin_epoch().unwrap();
    assert_eq!(norm(), moved);
    optimizer.begin_epoch().unwrap();
    assert!((norm() - 1.0).abs() < 1e-6);
}

#[test]
fn diagnostics_measure_norms_rates_and_angles() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (2, 2), Init::Const(0.0)).unwrap();
    params.trainable()[0].var.set(&Tensor::new(&[[3f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap()).unwrap();
    followed_by_norm(&params, "w", 2);
    let rule = Sgd { momentum: 0.0, ..Sgd::default() };
    let mut optimizer = Optimizer::new(&params, rule, 0.0).unwrap();
    let g = gradients(&params, |_| Some(Tensor::new(&[[0f32, 30.0], [-10.0, 0.0]], &Device::Cpu).unwrap()));
    let before = Before::new(&params, &g).unwrap();
    optimizer.step(&g, 0.1).unwrap();
    let [layer] = before.after(&optimizer, 0.1).unwrap().try_into().unwrap();
    // Both filters turn by 45 degrees: to (3, −3) and (1, 1).
    assert!((layer.rotation - std::f64::consts::FRAC_PI_4).abs() < 1e-7);
    assert!((layer.weight_norm - 20f64.sqrt()).abs() < 1e-6);
    assert!((layer.filter_norm_min - 2f64.sqrt()).abs() < 1e-6);
    assert!((layer.filter_norm_median - (18f64.sqrt() + 2f64.sqrt()) / 2.0).abs() < 1e-6);
    assert!((layer.gradient_norm - 1000f64.sqrt()).abs() < 1e-5);
    assert!((layer.effective_lr - 0.1 / layer.filter_norm_median / layer.filter_norm_median).abs() < 1e-12);
}

/// A bias in front of the batch norm is scaled after its own update, whether it was made before the weight or not.
#[test]
fn a_bias_follows_wherever_it_stands() {
    let trained = |names: [&str; 2]| {
        let params = Params::new(0, &Device::Cpu);
        for name in names {
            let shape = if name == "w" { vec![2, 4] } else { vec![2] };
            params.get(name, shape, Init::Const(1.5)).unwrap();
        }
        let var = |name: &str| params.all().into_iter().find(|p| p.name == name).unwrap().var;
        let (running_mean, running_var) = statistics(&params, 2);
        let normalization = Normalization { running_mean, running_var, bias: Some(var("bias")) };
        params.set_role("w", Role::ScaleInvariant(vec![normalization])).unwrap();
        let method = Method::Wrs(Wrs { target: Target::Constant(2.0), ..Wrs::default() });
        let mut optimizer =
            Optimizer::new(&params.with_method(method), Adam { lr: 0.3, ..Adam::default() }, 0.0).unwrap();
        for step in 0..3 {
            let of = |name: &str| Some(random(&format!("{step} {name}"), if name == "w" { &[2, 4] } else { &[2] }));
            optimizer.step(&gradients(&params, of), 0.3).unwrap();
        }
        (values(&var("w")), values(&var("bias")))
    };
    assert_eq!(trained(["w", "bias"]), trained(["bias", "w"]));
}

#[test]
fn a_network_that_sees_other_weights_than_the_method_needs_is_refused() {
    let standardization = Method::WeightStandardization(WeightStandardization::default());
    let params = Params::new(0, &Device::Cpu).with_method(standardization);
    params.get("plain", (2, 4), Init::Const(1.0)).unwrap();
    followed_by_norm(&params, "plain", 2);
    let message = Optimizer::new(&params.with_method(standardization), Sgd::default(), 0.0).err().unwrap().to_string();
    assert!(message.contains("`plain`") && message.contains("`weight-standardization`"), "{message}");
    let params = network(LAYERS, &standardization);
    assert!(Optimizer::new(&params.with_method(standardization), Sgd::default(), 0.0).is_ok());
    assert!(Optimizer::new(&params.with_method(Method::None), Sgd::default(), 0.0).is_err());
}

#[test]
fn state_of_another_rule_or_method_is_refused() {
    let params = network(LAYERS, &Method::None);
    let make = |base: Base, target| {
        Optimizer::new(&params.with_method(Method::Wrs(Wrs { target, ..Wrs::default() })), base, 0.0).unwrap()
    };
    let state = make(Adam::default().into(), Target::Unit).state().unwrap();
    let faster = Adam { lr: 0.1, ..Adam::default() };
    make(faster.into(), Target::Unit).load_state(&state).unwrap();
    for mut other in [make(Adam::default().into(), Target::RmsOne), make(AdamP::default().into(), Target::Unit)] {
        let message = other.load_state(&state).unwrap_err().to_string();
        assert!(message.contains("`adam`") && message.contains("unit"), "{message}");
    }
}

#[test]
fn a_gradient_that_does_not_fit_changes_nothing() {
    let params = Params::new(0, &Device::Cpu);
    params.get("a", 2, Init::Const(1.0)).unwrap();
    params.get("b", 2, Init::Const(1.0)).unwrap();
    let mut store = gradients(&params, |_| Some(random("g", &[2])));
    let b = params.trainable()[1].var.clone();
    store.insert(&b, random("g", &[2]).to_dtype(DType::F16).unwrap());
    let mut optimizer = Optimizer::new(&params, Sgd::default(), 0.0).unwrap();
    let message = optimizer.step(&store, 0.1).unwrap_err().to_string();
    assert!(message.contains("`b`") && message.contains("F16"), "{message}");
    assert_eq!(values(&params.trainable()[0].var), [1.0; 2]);
}
