//! Optimizers and methods: against PyTorch's numbers, and against the algebra of scale invariance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Init;
use proptest::prelude::*;
use regularize::*;
use safetensors::SafeTensors;
use std::collections::{BTreeMap, HashMap};

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Gradients for `params`, by name, as a backward pass would give them.
fn gradients(params: &Params, of: impl Fn(&str) -> Option<Tensor>) -> GradStore {
    let mut sum = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
    for p in params.trainable() {
        if let Some(gradient) = of(&p.name) {
            sum = (sum + (p.var.as_tensor() * gradient).unwrap().sum_all().unwrap()).unwrap();
        }
    }
    sum.backward().unwrap()
}

/// Says that `weight` is followed by a batch norm, whose running mean and variance it returns.
fn followed_by_norm(params: &Params, weight: &str, filters: usize) -> (Var, Var) {
    let running_mean = params.buffer(&format!("{weight}.running_mean"), filters, 0.5).unwrap();
    let running_var = params.buffer(&format!("{weight}.running_var"), filters, 2.0).unwrap();
    let normalization =
        Normalization { running_mean: running_mean.clone(), running_var: running_var.clone(), bias: None };
    params.set_role(weight, Role::ScaleInvariant(normalization)).unwrap();
    (running_mean, running_var)
}

fn random(name: &str, dims: &[usize]) -> Tensor {
    let params = Params::new(11, &Device::Cpu);
    params.get(name, dims, Init::Randn { mean: 0.0, stdev: 1.0 }).unwrap().copy().unwrap()
}

fn filter_norms(weight: &Tensor) -> Vec<f64> {
    let len = weight.elem_count() / weight.dims()[0];
    let norm = |f: &[f32]| f.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    values(weight).chunks_exact(len).map(norm).collect()
}

// Reference numbers of PyTorch, made by tools/make_golden.py.

fn golden() -> Vec<u8> {
    let folder = std::env::var_os("WRS_BENCH_GOLDEN").map_or("tests/golden".into(), std::path::PathBuf::from);
    let path = folder.join("optimizers.safetensors");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn tensor(file: &SafeTensors, name: &str) -> Tensor {
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Tensor::from_vec(values, view.shape(), &Device::Cpu).unwrap()
}

const GOLDEN_CASES: [&str; 6] =
    ["sgd", "sgd_momentum", "sgd_momentum_wd", "sgd_nesterov_wd", "sgd_momentum_wrs_filter", "sgd_momentum_wrs_layer"];

#[test]
fn golden_sgd_and_weight_rescaling() {
    let bytes = golden();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = metadata.metadata().clone().unwrap();
    let steps: usize = metadata["steps"].parse().unwrap();
    for case in GOLDEN_CASES {
        let settings: serde_json::Value = serde_json::from_str(&metadata[case]).unwrap();
        let params = Params::new(0, &Device::Cpu);
        for name in ["conv.weight", "bn.weight", "bn.bias", "fc.weight", "fc.bias"] {
            let start = tensor(&file, &format!("init/{name}"));
            params.get(name, start.shape().clone(), Init::Const(0.0)).unwrap();
            params.trainable().last().unwrap().var.set(&start).unwrap();
        }
        let filters = params.trainable()[0].var.dims()[0];
        followed_by_norm(&params, "conv.weight", filters);
        let rule = Sgd {
            lr: settings["lr"].as_f64().unwrap(),
            momentum: settings["momentum"].as_f64().unwrap_or(0.0),
            nesterov: settings["nesterov"].as_bool().unwrap_or(false),
            ..Sgd::default()
        };
        let method = match settings["view"].as_str() {
            Some("filter") => Method::Wrs(Wrs::default()),
            Some(_) => Method::Wrs(Wrs { granularity: Granularity::Layer, ..Wrs::default() }),
            None => {
                let decay = settings["weight_decay"].as_f64().unwrap_or(0.0);
                Method::WeightDecay(WeightDecay { decay, scope: Scope::Everything })
            }
        };
        let mut optimizer = Optimizer::new(&params, rule, method, 0.0).unwrap();
        let compare = |at: &str| {
            for p in params.trainable() {
                let expected = values(&tensor(&file, &format!("{case}/{at}/{}", p.name)));
                for (found, expected) in values(&p.var).iter().zip(&expected) {
                    let tolerance = 1e-5 * expected.abs().max(1.0);
                    assert!(
                        (found - expected).abs() <= tolerance,
                        "{case} {at} {}: {found}, torch has {expected}",
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
            optimizer.step(&gradients(&params, of), rule.lr).unwrap();
            compare(&format!("{step:02}"));
        }
    }
}

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
        let var = v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / v.len() as f64;
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
    assert!(params.set_role("a", Role::ScaleInvariant(normalization)).unwrap_err().to_string().contains("2 filters"));
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
}

#[test]
fn rest_decay_reaches_what_is_not_scale_invariant_and_nothing_else() {
    let decayed = |method: Method| {
        let params = Params::new(0, &Device::Cpu);
        params.get("conv.weight", (2, 4), Init::Const(1.0)).unwrap();
        params.get("fc.weight", (2, 4), Init::Const(1.0)).unwrap();
        params.get("unused", (2, 4), Init::Const(1.0)).unwrap();
        followed_by_norm(&params, "conv.weight", 2);
        let rule = Sgd { momentum: 0.0, ..Sgd::default() };
        let mut optimizer = Optimizer::new(&params, rule, method, 0.5).unwrap();
        let zero = |name: &str| (name != "unused").then(|| Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap());
        optimizer.step(&gradients(&params, zero), 0.1).unwrap();
        params.trainable().iter().map(|p| values(&p.var)[0]).collect::<Vec<_>>()
    };
    assert_eq!(decayed(Method::None), [1.0, 0.95, 1.0]);
    let weight_decay = |scope| Method::WeightDecay(WeightDecay { decay: 0.25, scope });
    assert_eq!(decayed(weight_decay(Scope::ScaleInvariant)), [0.975, 0.95, 1.0]);
    assert_eq!(decayed(weight_decay(Scope::Everything)), [0.975, 0.975, 1.0]);
    assert_eq!(decayed(Method::Wrs(Wrs::default())), [0.5, 0.95, 1.0]);
}

#[test]
fn clipping_is_torchs() {
    // torch.nn.utils.clip_grad_norm_ with a norm of 5 and max_norm 1 multiplies by 1 / (5 + 1e-6).
    let params = Params::new(0, &Device::Cpu);
    params.get("a", 2, Init::Const(0.0)).unwrap();
    let rule = Sgd { momentum: 0.0, clip_norm: Some(1.0), ..Sgd::default() };
    let mut optimizer = Optimizer::new(&params, rule, Method::None, 0.0).unwrap();
    let step = |optimizer: &mut Optimizer, g: [f32; 2]| {
        optimizer.step(&gradients(&params, |_| Some(Tensor::new(&g, &Device::Cpu).unwrap())), 1.0).unwrap();
        values(&params.trainable()[0].var)
    };
    let clipped = step(&mut optimizer, [3.0, 4.0]);
    assert!((clipped[0] + 0.6).abs() < 1e-6 && (clipped[1] + 0.8).abs() < 1e-6, "{clipped:?}");
    let free = step(&mut optimizer, [0.3, 0.4]);
    assert!((free[0] + 0.9).abs() < 1e-6 && (free[1] + 1.2).abs() < 1e-6, "{free:?}");
}

#[test]
fn impossible_settings_are_refused() {
    let params = Params::new(0, &Device::Cpu);
    let refused = |rule: Sgd| Optimizer::new(&params, rule, Method::None, 0.0).err().unwrap().to_string();
    assert!(refused(Sgd { lr: f64::NAN, ..Sgd::default() }).contains("`lr`"));
    assert!(refused(Sgd { momentum: 1.0, ..Sgd::default() }).contains("`momentum`"));
    assert!(refused(Sgd { momentum: 0.0, nesterov: true, ..Sgd::default() }).contains("`nesterov`"));
    assert!(refused(Sgd { clip_norm: Some(0.0), ..Sgd::default() }).contains("`clip_norm`"));
    let table = |json: serde_json::Value| Optimizer::rule_from_table(json.as_object().unwrap());
    assert!(table(serde_json::json!({"name": "sdg"})).unwrap_err().to_string().contains("did you mean `sgd`"));
    assert!(table(serde_json::json!({"name": "sgd", "learning_rate": 1})).unwrap_err().to_string().contains("`lr`"));
    let rule = Sgd { lr: 0.3, nesterov: true, ..Sgd::default() };
    assert_eq!(Optimizer::rule_from_table(&Optimizer::rule_to_table(&rule)).unwrap(), rule);
}

/// A network whose every filter is normalized: the loss sees directions only.
fn scale_free_loss(params: &Params, x: &Tensor, filters: usize) -> Tensor {
    let w = params.trainable()[0].var.as_tensor().reshape((filters, ())).unwrap();
    let norms = w.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
    let y = x.matmul(&w.broadcast_div(&norms).unwrap().t().unwrap()).unwrap();
    (y.sqr().unwrap() + (&y * 0.7).unwrap()).unwrap().mean_all().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn filters_keep_their_norm(filters in 1usize..6, shape in (1usize..4, 1usize..4), lr in 0.001f64..2.0,
                               target in prop_oneof![Just(Target::Unit), Just(Target::Init), Just(Target::RmsOne), Just(Target::Constant(3.0))],
                               layer in any::<bool>(), momentum in 0.0f64..0.95) {
        let params = Params::new(5, &Device::Cpu);
        let dims = [filters, shape.0, shape.1, 3];
        params.get("w", &dims[..], Init::Randn { mean: 0.0, stdev: 0.4 }).unwrap();
        followed_by_norm(&params, "w", filters);
        let granularity = if layer { Granularity::Layer } else { Granularity::Filter };
        let rows = |w: &Tensor| if layer { filter_norms(&w.reshape((1, ())).unwrap()) } else { filter_norms(w) };
        let var = params.trainable()[0].var.clone();
        let len = var.elem_count() / if layer { 1 } else { filters };
        let expected: Vec<f64> = rows(&var).into_iter().map(|norm| match target {
            Target::Unit => 1.0,
            Target::Init => norm,
            Target::RmsOne => (len as f64).sqrt(),
            Target::Constant(c) => c,
        }).collect();
        let rule = Sgd { momentum, ..Sgd::default() };
        let method = Method::Wrs(Wrs { granularity, target, ..Wrs::default() });
        let mut optimizer = Optimizer::new(&params, rule, method, 0.0).unwrap();
        for step in 0..4 {
            for (norm, expected) in rows(&var).iter().zip(&expected) {
                prop_assert!((norm / expected - 1.0).abs() < 1e-6, "{} {}", norm, expected);
            }
            optimizer.step(&gradients(&params, |_| Some(random(&format!("g{step}"), &dims))), lr).unwrap();
        }
    }

    /// Rescaling every N steps, with the momentum rescaled, is the same training as never rescaling,
    /// where the learning rate follows the square of the norm: here every N steps at the end of an interval.
    #[test]
    fn a_rescale_with_its_state_only_changes_the_unit(interval in 1u64..5, filters in 1usize..4) {
        let x = random("x", &[7, 5]);
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        let run = |target: f64| {
            let params = Params::new(2, &Device::Cpu);
            params.get("w", (filters, 5), init).unwrap();
            followed_by_norm(&params, "w", filters);
            let method = Method::Wrs(Wrs {
                target: Target::Constant(target), interval: Interval::Steps(interval),
                state: MomentumState::Rescale, ..Wrs::default()
            });
            let mut optimizer = Optimizer::new(&params, Sgd::default(), method, 0.0).unwrap();
            for _ in 0..8 {
                let gradients = scale_free_loss(&params, &x, filters).backward().unwrap();
                optimizer.step(&gradients, 0.05 * target * target).unwrap();
            }
            let w = params.trainable()[0].var.clone();
            let norms = filter_norms(&w);
            values(&w).chunks_exact(5).zip(norms).flat_map(|(f, n)| f.iter().map(move |v| f64::from(*v) / n).collect::<Vec<_>>()).collect::<Vec<f64>>()
        };
        for (one, three) in run(1.0).iter().zip(run(3.0)) {
            prop_assert!((one - three).abs() < 1e-4, "{} {}", one, three);
        }
    }

    /// The gradient of a scale-invariant weight is orthogonal to each filter.
    #[test]
    fn gradients_are_orthogonal_to_weights(filters in 1usize..5) {
        let params = Params::new(4, &Device::Cpu);
        params.get("w", (filters, 6), Init::Randn { mean: 0.0, stdev: 1.0 }).unwrap();
        let loss = scale_free_loss(&params, &random("x", &[9, 6]), filters);
        let var = params.trainable()[0].var.clone();
        let gradients = loss.backward().unwrap();
        let g = values(gradients.get(&var).unwrap());
        for (f, g) in values(&var).chunks_exact(6).zip(g.chunks_exact(6)) {
            let dot: f64 = f.iter().zip(g).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!(dot.abs() < 1e-5, "{}", dot);
        }
    }
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
    params.set_role("w", Role::ScaleInvariant(normalization)).unwrap();
    // Filters of norm 4 come to norm 1.
    Optimizer::new(&params, Sgd::default(), Method::Wrs(Wrs::default()), 0.0).unwrap();
    assert_eq!(values(&params.trainable()[0].var), [0.5; 8]);
    assert_eq!(values(&params.trainable()[1].var), [0.75; 2]);
    assert_eq!(values(&running_mean), [0.125; 2]);
    assert_eq!(values(&running_var), [0.125; 2]);
}

#[test]
fn a_filter_of_zeros_stays_and_nothing_becomes_nan() {
    for granularity in [Granularity::Filter, Granularity::Layer] {
        for state in [MomentumState::Keep, MomentumState::Rescale, MomentumState::Project] {
            let params = Params::new(0, &Device::Cpu);
            params.get("w", (3, 4), Init::Const(0.0)).unwrap();
            followed_by_norm(&params, "w", 3);
            let method = Method::Wrs(Wrs { granularity, state, ..Wrs::default() });
            let mut optimizer = Optimizer::new(&params, Sgd::default(), method, 0.0).unwrap();
            let zero = |_: &str| Some(Tensor::zeros((3, 4), DType::F32, &Device::Cpu).unwrap());
            optimizer.step(&gradients(&params, zero), 0.1).unwrap();
            for p in params.all() {
                assert!(values(&p.var).iter().all(|v| v.is_finite()));
            }
            assert_eq!(values(&params.trainable()[0].var), [0.0; 12]);
        }
    }
}

#[test]
fn momentum_projects() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (1, 2), Init::Const(1.0)).unwrap();
    followed_by_norm(&params, "w", 1);
    let method = Method::Wrs(Wrs { state: MomentumState::Project, ..Wrs::default() });
    let mut optimizer = Optimizer::new(&params, Sgd::default(), method, 0.0).unwrap();
    for _ in 0..3 {
        let g = |_: &str| Some(Tensor::new(&[[0.4f32, 0.1]], &Device::Cpu).unwrap());
        optimizer.step(&gradients(&params, g), 0.1).unwrap();
        let (w, m) = (values(&params.trainable()[0].var), values(&optimizer.state().unwrap()["momentum/w"]));
        assert!((w[0] * m[0] + w[1] * m[1]).abs() < 1e-6, "{w:?} {m:?}");
    }
}

#[test]
fn epochs_are_an_interval() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (2, 4), Init::Const(2.0)).unwrap();
    followed_by_norm(&params, "w", 2);
    let method = Method::Wrs(Wrs { interval: Interval::Epochs(2), ..Wrs::default() });
    let mut optimizer = Optimizer::new(&params, Sgd::default(), method, 0.0).unwrap();
    let norm = || filter_norms(&params.trainable()[0].var)[0];
    assert!((norm() - 1.0).abs() < 1e-6);
    let mut step = || optimizer.step(&gradients(&params, |_| Some(random("g", &[2, 4]))), 0.5).unwrap();
    step();
    let moved = norm();
    assert!((moved - 1.0).abs() > 1e-2);
    optimizer.end_epoch().unwrap();
    assert_eq!(norm(), moved);
    optimizer.end_epoch().unwrap();
    assert!((norm() - 1.0).abs() < 1e-6);
}

#[test]
fn saved_state_goes_on_bit_for_bit() {
    let methods =
        [Method::None, Method::Wrs(Wrs { target: Target::Init, interval: Interval::Steps(3), ..Wrs::default() })];
    for method in methods {
        let make = || {
            let params = Params::new(9, &Device::Cpu);
            params.get("w", (3, 5), Init::Randn { mean: 0.0, stdev: 1.0 }).unwrap();
            followed_by_norm(&params, "w", 3);
            params
        };
        let step = |optimizer: &mut Optimizer, params: &Params, i: usize| {
            optimizer.step(&gradients(params, |_| Some(random(&format!("g{i}"), &[3, 5]))), 0.3).unwrap();
        };
        let params = make();
        let mut optimizer = Optimizer::new(&params, Sgd::default(), method.clone(), 0.0).unwrap();
        (0..4).for_each(|i| step(&mut optimizer, &params, i));
        let state = optimizer.state().unwrap();
        let weights = params.all().iter().map(|p| (p.name.clone(), p.var.copy().unwrap())).collect();
        (4..8).for_each(|i| step(&mut optimizer, &params, i));

        let again = make();
        let mut resumed = Optimizer::new(&again, Sgd::default(), method, 0.0).unwrap();
        resumed.load_state(&state).unwrap();
        again.load(&weights).unwrap();
        (4..8).for_each(|i| step(&mut resumed, &again, i));
        assert_eq!(params.digest().unwrap(), again.digest().unwrap());

        let mut broken = state.clone();
        broken.insert("momentum/w".into(), random("m", &[5, 3]));
        assert!(resumed.load_state(&broken).unwrap_err().to_string().contains("momentum of shape"));
        broken.remove("counters");
        assert!(resumed.load_state(&broken).unwrap_err().to_string().contains("counters"));
    }
}

#[test]
fn diagnostics_measure_norms_rates_and_angles() {
    let params = Params::new(0, &Device::Cpu);
    params.get("w", (2, 2), Init::Const(0.0)).unwrap();
    params.trainable()[0].var.set(&Tensor::new(&[[3f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap()).unwrap();
    followed_by_norm(&params, "w", 2);
    let rule = Sgd { momentum: 0.0, ..Sgd::default() };
    let mut optimizer = Optimizer::new(&params, rule, Method::None, 0.0).unwrap();
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
    assert!((layer.effective_lr - 0.1 / layer.filter_norm_median.powi(2)).abs() < 1e-12);
}

#[test]
fn a_candle_layer_trains_through_the_var_builder() {
    use candle_nn::Module;
    let params = Params::new(0, &Device::Cpu);
    let layer = candle_nn::linear(3, 2, params.var_builder().pp("fc")).unwrap();
    assert_eq!(params.trainable().iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["fc.weight", "fc.bias"]);
    let x = random("x", &[4, 3]);
    let before = values(&layer.forward(&x).unwrap());
    let mut optimizer = Optimizer::new(&params, Sgd::default(), Method::None, 0.0).unwrap();
    let loss = layer.forward(&x).unwrap().sqr().unwrap().mean_all().unwrap();
    optimizer.step(&loss.backward().unwrap(), 0.1).unwrap();
    assert_ne!(before, values(&layer.forward(&x).unwrap()));
}
