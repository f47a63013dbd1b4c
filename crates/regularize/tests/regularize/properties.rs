//! What holds for all weights: the algebra of scale invariance, and that nothing depends on how an optimizer computes.

use crate::common::*;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Init;
use proptest::prelude::*;
use regularize::*;
use std::collections::HashMap;

/// Every filter times `factor`, a number of its own, in place.
fn scale_filters(weight: &Var, factor: impl Fn(usize) -> f32) {
    let filters = weight.dims()[0];
    let factors = Tensor::from_iter((0..filters).map(factor), &Device::Cpu).unwrap();
    let mut dims = vec![1; weight.rank()];
    dims[0] = filters;
    weight.set(&weight.as_tensor().broadcast_mul(&factors.reshape(dims).unwrap()).unwrap()).unwrap();
}

/// `rows` with each row at norm 1.
fn directions(rows: &Tensor) -> Tensor {
    let rows = rows.reshape((rows.dims()[0], ())).unwrap();
    rows.broadcast_div(&rows.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap()).unwrap()
}

/// A loss of a network whose every filter is normalized: it sees directions only.
fn scale_free_loss(weight: &Tensor, x: &Tensor) -> Tensor {
    let y = x.matmul(&directions(weight).t().unwrap()).unwrap();
    (y.sqr().unwrap() + (&y * 0.7).unwrap()).unwrap().mean_all().unwrap()
}

/// The `weight` of a layer with a batch norm behind it, alone in a network.
fn lone_weight(dims: &[usize], method: &Method) -> (Params, Weight) {
    let params = Params::new(5, &Device::Cpu).with_method(*method);
    let (running_mean, running_var) = statistics(&params, dims[0]);
    let normalization = Normalization { running_mean, running_var, bias: None };
    let init = Init::Randn { mean: 0.0, stdev: 0.4 };
    let weight = params.scale_invariant("weight", dims, init, vec![normalization]).unwrap();
    (params, weight)
}

/// An optimizer's state and all parameters, in order, as bits.
fn bits(params: &Params, optimizer: &Optimizer) -> Vec<(String, Vec<u32>)> {
    let state = optimizer.state().unwrap();
    let all = params.all().into_iter().map(|p| (p.name, p.var.as_tensor().clone())).chain(state);
    let bits = |t: &Tensor| values(&t.to_dtype(DType::F32).unwrap()).into_iter().map(f32::to_bits).collect();
    let mut all: Vec<_> = all.map(|(name, tensor)| (name, bits(&tensor))).collect();
    all.sort();
    all
}

fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![
        Just(Target::Unit),
        Just(Target::Init),
        Just(Target::RmsOne),
        Just(Target::RootFilters),
        Just(Target::Constant(3.0))
    ]
}

fn some_base() -> impl Strategy<Value = Base> {
    let bases: Vec<Base> =
        bases().into_iter().filter(|base| !matches!(base.rule, Rule::Nero(_) | Rule::Muon(_))).collect();
    prop::sample::select(bases)
}

fn path() -> impl Strategy<Value = Path> {
    prop::sample::select(PATHS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn rescaled_weights_have_their_norm_wherever_the_interval_says(
        filters in 1usize..6, shape in (1usize..4, 1usize..4), target in targets(), layer in any::<bool>(),
        interval in 1u64..4, factor in 0.1f64..3.0, base in some_base(), path in path(),
    ) {
        let granularity = if layer { Granularity::Layer } else { Granularity::Filter };
        let method = Method::Wrs(Wrs { granularity, target, interval: Interval::Steps(interval), ..Wrs::default() });
        let dims = [filters, shape.0, shape.1, 3];
        let (params, weight) = lone_weight(&dims, &method);
        let norms = || {
            let weight = weight.tensor().unwrap();
            if layer { filter_norms(&weight.reshape((1, ())).unwrap()) } else { filter_norms(&weight) }
        };
        let len = dims.iter().product::<usize>() / if layer { 1 } else { filters };
        let target = |norm: f64| match target {
            Target::Unit => 1.0,
            Target::Init => norm,
            Target::RmsOne => (len as f64).sqrt(),
            Target::RootFilters if layer => (filters as f64).sqrt(),
            Target::RootFilters => 1.0,
            Target::Constant(c) => c,
        };
        let expected: Vec<f64> = norms().into_iter().map(target).collect();
        let mut optimizer = optimizer(&params, base, method, 0.0, path);
        for step in 0..8 {
            if step % interval == 0 {
                for (norm, expected) in norms().iter().zip(&expected) {
                    prop_assert!((norm / expected - 1.0).abs() < 1e-6, "step {}: {} {}", step, norm, expected);
                }
            }
            optimizer.step(&random_gradients(&params, step as usize), factor * base.rule.lr()).unwrap();
        }
    }

    /// What a convolution and its batch norm compute in evaluation, without ε, does not change when the weight goes
    /// back to its norm.
    #[test]
    fn evaluation_does_not_see_a_rescale(which in 0usize..7, at_step in any::<bool>(), path in path()) {
        let wrs = Wrs { target: Target::Constant(0.8), ..Wrs::default() };
        let epochs = Interval::Epochs(1);
        let methods = [
            Method::Wrs(if at_step { wrs } else { Wrs { interval: epochs, ..wrs } }),
            Method::Wrs(Wrs { granularity: Granularity::Layer, interval: epochs, ..wrs }),
            Method::Pbwn(if at_step { Pbwn::default() } else { Pbwn { interval: epochs, riemannian: true } }),
            Method::SoftWeightRescaling(SoftWeightRescaling { strength: 0.5 }),
            Method::Hyperball,
            Method::Rotational(Rotational { decay: 0.05, zero_mean: false }),
            methods().into_iter().find(|method| method.name() == "leash").unwrap(),
        ];
        let params = network(LAYERS, &methods[which]);
        let var = |name: &str| params.all().into_iter().find(|p| p.name == name).unwrap().var;
        let x = random("x", &[2, 2, 5, 5]);
        let evaluation = || {
            let per_channel = |name: &str| var(name).reshape((1, 4, 1, 1)).unwrap();
            let y = x.conv2d(&var("biased.weight"), 0, 1, 1, 1).unwrap();
            let y = y.broadcast_add(&per_channel("biased.bias")).unwrap();
            let y = y.broadcast_sub(&per_channel("biased.running_mean")).unwrap();
            values(&y.broadcast_div(&per_channel("biased.running_var").sqrt().unwrap()).unwrap())
        };
        let mut optimizer = optimizer(&params, Sgd::default().into(), methods[which], 0.0, path);
        scale_filters(&var("biased.weight"), |filter| 0.5 + filter as f32);
        let (before, norms) = (evaluation(), filter_norms(&var("biased.weight")));
        optimizer.step(&random_gradients(&params, 0), 0.0).unwrap();
        optimizer.begin_epoch().unwrap();
        let changed = filter_norms(&var("biased.weight")).iter().zip(&norms).any(|(a, b)| (a / b - 1.0).abs() > 0.1);
        prop_assert!(changed, "{:?}", norms);
        for (after, before) in evaluation().iter().zip(before) {
            prop_assert!((after - before).abs() < 1e-5 * before.abs().max(1.0), "{} {}", after, before);
        }
    }

    /// `L(c·w) = L(w)` has `w·g = 0`, for the stored weight under every method.
    #[test]
    fn gradients_are_orthogonal_to_scale_invariant_weights(
        filters in 1usize..5, method in prop::sample::select(methods()),
    ) {
        // The loss normalizes the weight once more, so what methods add to norms and deviations makes no difference.
        let (params, weight) = lone_weight(&[filters, 6], &method);
        let loss = scale_free_loss(&weight.tensor().unwrap(), &random("x", &[9, 6]));
        let gradients = loss.backward().unwrap();
        let weights: Vec<_> =
            params.trainable().into_iter().filter(|p| matches!(p.role, Role::ScaleInvariant(_))).collect();
        prop_assert_eq!(weights.len(), 1);
        let (w, g) = (doubles(&weights[0].var), doubles(gradients.get(&weights[0].var).unwrap()));
        for (w, g) in w.chunks_exact(6).zip(g.chunks_exact(6)) {
            let dot: f64 = w.iter().zip(g).map(|(a, b)| a * b).sum();
            prop_assert!(dot.abs() < 1e-5, "{}", dot);
            prop_assert!(g.iter().any(|g| g.abs() > 1e-4), "{:?}", g);
        }
    }

    /// A network whose weight and momentum are rescaled every N steps is the same function as one that never is, and
    /// whose learning rate follows its norm: with `c` the ratio of norms, the rate is `η/c²` for SGD and `η/c` for Adam.
    #[test]
    fn a_rescale_with_its_state_only_changes_the_unit(
        interval in 1u64..5, len in 2usize..7, adam in any::<bool>(), momentum in 0.0f64..0.95, path in path(),
    ) {
        let x = random("x", &[7, len]);
        let base: Base = if adam {
            Adam { lr: 0.02, betas: [momentum, 0.95], eps: 0.0 }.into()
        } else {
            Sgd { lr: 0.05, momentum, ..Sgd::default() }.into()
        };
        let wrs = Wrs { interval: Interval::Steps(interval), state: MomentumState::Rescale, ..Wrs::default() };
        let start = |method: Method| {
            let (params, weight) = lone_weight(&[1, len], &method);
            let optimizer = optimizer(&params, base, method, 0.0, path);
            (params, weight.tensor().unwrap(), optimizer)
        };
        let (_, rescaled, mut rescaling) = start(Method::Wrs(wrs));
        let (_, free, mut growing) = start(Method::None);
        let lr = base.rule.lr();
        for _ in 0..10 {
            let ratio = filter_norms(&rescaled)[0] / filter_norms(&free)[0];
            rescaling.step(&scale_free_loss(&rescaled, &x).backward().unwrap(), lr).unwrap();
            let lr = lr / if adam { ratio } else { ratio * ratio };
            growing.step(&scale_free_loss(&free, &x).backward().unwrap(), lr).unwrap();
            for (a, b) in doubles(&directions(&rescaled)).iter().zip(doubles(&directions(&free))) {
                prop_assert!((a - b).abs() < 1e-4, "{} {}", a, b);
            }
        }
    }

    /// Both ways of computing take the same steps, on any shapes.
    #[test]
    fn both_paths_agree(
        dims in prop::collection::vec(1usize..6, 1..5), rows in 1usize..70,
        (base, method) in prop::sample::select(combinations()),
    ) {
        let dims = [&[rows], &dims[..]].concat();
        // A filter of two values has one direction to turn in, and none less its mean: rounding decides there.
        prop_assume!(dims[1..].iter().product::<usize>() > 8);
        let run = |path: Path| {
            let (params, _) = lone_weight(&dims, &method);
            params.get("other", &dims[..], Init::Randn { mean: 0.1, stdev: 0.5 }).unwrap();
            let mut optimizer = optimizer(&params, base, method, 0.03, path);
            for step in 0..4 {
                optimizer.step(&random_gradients(&params, step), base.rule.lr()).unwrap();
            }
            optimizer.begin_epoch().unwrap();
            params.all().into_iter().map(|p| (p.name, doubles(&p.var))).collect::<Vec<_>>()
        };
        for ((name, fused), (_, tensors)) in run(Path::Fused).into_iter().zip(run(Path::TensorOperations)) {
            let largest = fused.iter().fold(0f64, |max, v| max.max(v.abs()));
            for (a, b) in fused.iter().zip(tensors) {
                prop_assert!((a - b).abs() <= 2e-5 * largest, "{}: {} {}", name, a, b);
            }
        }
    }
}

/// Runs `check` for every optimizer with every method, on both paths.
fn for_all(check: impl Fn(Base, Method, Path)) {
    for (base, method) in combinations() {
        PATHS.into_iter().for_each(|path| check(base, method, path));
    }
}

#[test]
fn a_filter_of_zeros_stays_and_nothing_becomes_nan() {
    for_all(|base, method, path| {
        let params = network(LAYERS, &method);
        let weights: Vec<_> = params.trainable().into_iter().filter(|p| p.name.contains(".weight")).collect();
        for p in &weights {
            scale_filters(&p.var, |filter| if filter == 0 { 0.0 } else { 1.0 });
        }
        // A layer of zeros altogether.
        weights[1].var.set(&weights[1].var.zeros_like().unwrap()).unwrap();
        let mut optimizer = optimizer(&params, base, method, 0.03, path);
        let finite = |at: &str| {
            for p in params.all() {
                assert!(values(&p.var).iter().all(|v| v.is_finite()), "{base:?} {method:?} {path:?} {at}: {}", p.name);
            }
        };
        finite("at the start");
        for step in 0..3 {
            optimizer.step(&gradients(&params, |name| zeros(&params, name)), base.rule.lr()).unwrap();
            optimizer.begin_epoch().unwrap();
            finite(&format!("without gradient, step {step}"));
        }
        for p in &weights {
            let first = p.var.elem_count() / p.var.dims()[0];
            let stays = values(&p.var)[..first].iter().all(|v| *v == 0.0);
            assert!(stays, "{base:?} {method:?} {path:?}: {}", p.name);
        }
        for step in 0..3 {
            optimizer.step(&random_gradients(&params, step), base.rule.lr()).unwrap();
            optimizer.begin_epoch().unwrap();
            finite(&format!("with gradient, step {step}"));
        }
    });
}

fn zeros(params: &Params, name: &str) -> Option<Tensor> {
    params.trainable().iter().find(|p| p.name == name).map(|p| p.var.zeros_like().unwrap())
}

#[test]
fn the_network_sees_a_filter_of_zeros_as_zeros() {
    for method in methods() {
        let (params, weight) = lone_weight(&[3, 4], &method);
        for p in params.trainable() {
            scale_filters(&p.var, |filter| if filter == 1 { 0.0 } else { 1.0 });
        }
        let seen = weight.tensor().unwrap();
        assert_eq!(values(&seen)[4..8], [0.0; 4], "{method:?}");
        let gradients = (seen * random("upstream", &[3, 4])).unwrap().sum_all().unwrap().backward().unwrap();
        for p in params.trainable() {
            let gradient = values(gradients.get(&p.var).unwrap());
            assert!(gradient.iter().all(|g| g.is_finite()), "{method:?} {}: {gradient:?}", p.name);
        }
    }
}

#[test]
fn parameters_without_values_do_nothing() {
    let layers: &[Layer] = &[
        ("no_values", &[3, 0], Behind::BiasAndNorm),
        ("no_filters", &[0, 3], Behind::Norm),
        ("nothing", &[0], Behind::Nothing),
        ("conv", &[2, 5], Behind::Norm),
        ("no_inputs", &[4, 0], Behind::Nothing),
    ];
    for_all(|base, method, path| {
        let params = network(layers, &method);
        let mut optimizer = optimizer(&params, base, method, 0.03, path);
        for step in 0..3 {
            optimizer.step(&random_gradients(&params, step), base.rule.lr()).unwrap();
            optimizer.begin_epoch().unwrap();
        }
        for p in params.all() {
            assert!(values(&p.var).iter().all(|v| v.is_finite()), "{base:?} {method:?} {path:?}: {}", p.name);
        }
        let statistics = params.all().into_iter().find(|p| p.name == "no_values.running_var").unwrap().var;
        assert_eq!(values(&statistics), [2.0; 3], "{base:?} {method:?} {path:?}");
    });
}

#[test]
fn saved_state_goes_on_bit_for_bit() {
    for_all(|base, method, path| {
        let steps = |params: &Params, optimizer: &mut Optimizer, steps: std::ops::Range<usize>| {
            for step in steps {
                if step == 3 || step == 6 {
                    optimizer.begin_epoch().unwrap();
                }
                optimizer.step(&random_gradients(params, step), base.rule.lr()).unwrap();
            }
        };
        let params = network(LAYERS, &method);
        let mut whole = optimizer(&params, base, method, 0.03, path);
        steps(&params, &mut whole, 0..4);
        let state = whole.state().unwrap();
        let weights: HashMap<_, _> = params.all().iter().map(|p| (p.name.clone(), p.var.copy().unwrap())).collect();
        steps(&params, &mut whole, 4..8);

        let again = network(LAYERS, &method);
        let mut resumed = optimizer(&again, base, method, 0.03, path);
        resumed.load_state(&state).unwrap();
        again.load(&weights).unwrap();
        steps(&again, &mut resumed, 4..8);
        assert!(bits(&params, &whole) == bits(&again, &resumed), "{base:?} {method:?} {path:?}");
    });
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let (params, _) = lone_weight(&[3, 5], &Method::None);
    let mut optimizer = Optimizer::new(&params, Adam::default(), 0.0).unwrap();
    optimizer.step(&random_gradients(&params, 0), 0.1).unwrap();
    let (state, before) = (optimizer.state().unwrap(), bits(&params, &optimizer));
    for name in ["exp_avg/weight", "exp_avg_sq/weight"] {
        let mut broken = state.clone();
        broken.insert(name.into(), random("m", &[5, 3]));
        let message = optimizer.load_state(&broken).unwrap_err().to_string();
        assert!(message.contains("`weight`") && message.contains("[3, 5]"), "{message}");
        broken.remove(name);
        assert!(optimizer.load_state(&broken).is_err(), "{name}");
        assert!(before == bits(&params, &optimizer));
    }
    optimizer.load_state(&state).unwrap();
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let layers: &[Layer] = &[
        ("long", &[331, 619], Behind::Norm),
        ("few", &[3, 70_001], Behind::Norm),
        ("conv", &[64, 37, 3, 3], Behind::Norm),
        ("fc", &[331, 619], Behind::Nothing),
        ("vector", &[200_003], Behind::Nothing),
    ];
    let wrs =
        |granularity, rate| Method::Wrs(Wrs { granularity, rate, state: MomentumState::Project, ..Wrs::default() });
    let matched = Rate::Matched { lr: 0.1, decay: 0.05 };
    let sgd: Base = Base { clip_norm: Some(1.0), ..Sgd::default().into() };
    let adamw: Base = Rule::AdamW(Adam::default()).into();
    let stable = WeightDecay { decay: 0.05, form: Form::Stable, ..WeightDecay::default() };
    let pairs = [
        (adamw, Method::WeightDecay(stable)),
        (sgd, Method::GradientCentralization(GradientCentralization::default())),
        (adamw, Method::WeightNormControl(WeightNormControl::default())),
        (sgd, wrs(Granularity::Filter, matched)),
        // Steps without a rescale, too.
        (adamw, Method::Wrs(Wrs { interval: Interval::Steps(3), ..Wrs::default() })),
        (sgd, Method::Pbwn(Pbwn { riemannian: true, ..Pbwn::default() })),
        (adamw, wrs(Granularity::Layer, Rate::Own)),
        (adamw, Method::Rotational(Rotational::default())),
        (adamw, Method::Hyperball),
        (adamw, Method::SoftWeightRescaling(SoftWeightRescaling::default())),
        (adamw, Method::ForcedWeightNormalization),
        (AdamP::default().into(), Method::None),
        (Sgdp { momentum: 0.9, ..Sgdp::default() }.into(), Method::None),
        (Nero::default().into(), Method::None),
    ];
    for (base, method) in pairs {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let params = network(layers, &method);
                let mut optimizer = optimizer(&params, base, method, 0.03, Path::Fused);
                for step in 0..2 {
                    optimizer.step(&random_gradients(&params, step), base.rule.lr()).unwrap();
                }
                bits(&params, &optimizer)
            })
        };
        let one = run(1);
        for threads in [2, 3, 7] {
            assert!(one == run(threads), "{base:?} {method:?}, {threads} threads");
        }
    }
}

/// Products of matrices are most of Muon's step.
#[test]
fn muon_gives_the_same_bits_on_any_number_of_threads() {
    let layers: &[Layer] = &[
        ("wide", &[70, 37, 3, 3], Behind::BiasAndNorm),
        ("tall", &[301, 17], Behind::Norm),
        ("fc", &[331, 619], Behind::Nothing),
    ];
    let base: Base = Muon::default().into();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let params = network(layers, &Method::None);
            let mut optimizer = optimizer(&params, base, Method::None, 0.03, Path::Fused);
            for step in 0..2 {
                optimizer.step(&random_gradients(&params, step), base.rule.lr()).unwrap();
            }
            bits(&params, &optimizer)
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert!(one == run(threads), "{threads} threads");
    }
}

/// As the target goes to 0, weight norm control is decoupled decay after the update: `(1 − ηλ)·(w − η·u)`.
#[test]
fn weight_norm_control_without_a_target_is_decoupled_decay() {
    for path in PATHS {
        let control = Method::WeightNormControl(WeightNormControl { decay: 2.0, target: 1e-9 });
        let trained = |method: Method| {
            let params = network(LAYERS, &method);
            let mut optimizer = optimizer(&params, Rule::AdamW(Adam::default()).into(), method, 0.0, path);
            optimizer.step(&random_gradients(&params, 0), 0.01).unwrap();
            doubles(&params.trainable()[0].var)
        };
        for (controlled, plain) in trained(control).iter().zip(trained(Method::None)) {
            assert!((controlled - 0.98 * plain).abs() < 1e-6, "{path:?}: {controlled} {plain}");
        }
    }
}

/// SAM goes to `w + ρ·g/‖g‖` with the norm of all gradients, and comes back bit for bit, running statistics too.
#[test]
fn sharpness_aware_minimization_goes_and_comes_back() {
    let params = network(LAYERS, &Method::None);
    let store = random_gradients(&params, 0);
    // As candle-nn's batch norm makes it: no buffer, and without a gradient.
    params.get("running_mean of candle", 3, Init::Const(0.5)).unwrap();
    let base = Base { sam_rho: Some(0.05), ..Sgd::default().into() };
    let optimizer = Optimizer::new(&params, base, 0.0).unwrap();
    let all = || params.all().into_iter().map(|p| (p.name, doubles(&p.var))).collect::<Vec<_>>();
    let before = all();
    let of = |p: &Parameter| doubles(store.get(&p.var).unwrap());
    let moved = || params.all().into_iter().filter(|p| store.get(&p.var).is_some());
    let norm = moved().collect::<Vec<_>>().iter().flat_map(of).map(|g| g * g).sum::<f64>().sqrt();

    let perturbed = optimizer.perturb(&store).unwrap().unwrap();
    for (p, (_, before)) in params.all().iter().zip(&before).filter(|(p, _)| store.get(&p.var).is_some()) {
        for ((found, before), g) in doubles(&p.var).iter().zip(before).zip(of(p)) {
            let expected = before + 0.05 * g / (norm + 1e-12);
            assert!((found - expected).abs() < 1e-6, "{}: {found}, expected {expected}", p.name);
        }
    }
    // What a forward pass in training mode does to running statistics.
    for p in params.all().iter().filter(|p| store.get(&p.var).is_none()) {
        p.var.set(&(p.var.as_tensor() + 1.0).unwrap()).unwrap();
    }
    assert_ne!(before, all());
    perturbed.restore().unwrap();
    assert_eq!(before, all());

    let plain = Optimizer::new(&params, Sgd::default(), 0.0).unwrap();
    assert!(plain.perturb(&store).unwrap().is_none());
    assert_eq!(before, all());
}
