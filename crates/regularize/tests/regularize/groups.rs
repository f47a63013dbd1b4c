//! Groups of parameters: against torch's `param_groups`, and against a training at another learning rate.

use crate::common::*;
use candle_core::{Device, Tensor};
use candle_nn::Init;
use golden::Vectors;
use regularize::*;

/// The group that `settings` has for the prefix of `name`.
fn of_prefix(settings: &serde_json::Value, name: &str) -> Option<Group> {
    let number = |at: usize| settings["groups"][name.split('.').next().unwrap()][at].as_f64();
    Some(Group { lr_factor: number(0)?, rest_decay: number(1) })
}

#[test]
fn golden_steps_of_groups() {
    let vectors = Vectors::open(env!("CARGO_MANIFEST_DIR"), "groups.safetensors");
    let (of_all, cases) = vectors.cases("groups").next().unwrap();
    let tensor = |name: &str| {
        let (dims, all) = vectors.floats(&format!("{of_all}/{name}"));
        Tensor::from_vec(all, dims, &Device::Cpu).unwrap()
    };
    let cases = cases.as_object().unwrap();
    assert_eq!(cases.len(), 2);
    for ((case, settings), path) in cases.iter().flat_map(|case| PATHS.map(|path| (case, path))) {
        let lr = settings["lr"].as_f64().unwrap();
        let base: Base = match settings["class"].as_str().unwrap() {
            "SGD" => Sgd { lr, momentum: settings["momentum"].as_f64().unwrap(), ..Sgd::default() }.into(),
            _ => Rule::AdamW(Adam { lr, ..Adam::default() }).into(),
        };
        let params = Params::new(0, &Device::Cpu);
        for name in ["conv.weight", "bn.weight", "bn.bias", "fc.weight", "fc.bias"] {
            let start = tensor(&format!("init/{name}"));
            params.get(name, start.shape().clone(), Init::Const(0.0)).unwrap();
            params.trainable().last().unwrap().var.set(&start).unwrap();
        }
        let optimizer = optimizer(&params, base, Method::None, 0.7, path);
        let mut optimizer = optimizer.with_groups(|name| of_prefix(settings, name)).unwrap();
        for step in 0..settings["steps"].as_u64().unwrap() {
            let of = |name: &str| Some(tensor(&format!("grad/{step:02}/{name}")));
            optimizer.step(&gradients(&params, of), lr).unwrap();
            for p in params.trainable() {
                let name = format!("{of_all}/{case}/{step:02}/{}", p.name);
                vectors.assert_close(&format!("{path:?}"), &name, &values(&p.var));
            }
        }
    }
}

/// All parameters after three steps.
fn trained(base: Base, method: Method, lr: f64, group: Option<Group>) -> Vec<(String, Vec<f32>)> {
    let params = network(LAYERS, &method);
    let mut optimizer = Optimizer::new(&params, base, 0.03).unwrap();
    if group.is_some() {
        optimizer = optimizer.with_groups(|_| group).unwrap();
    }
    for step in 0..3 {
        optimizer.step(&random_gradients(&params, step), lr).unwrap();
    }
    params.all().into_iter().map(|p| (p.name, values(&p.var))).collect()
}

fn with_lr(base: Base, factor: f64) -> Base {
    let mut base = base;
    match &mut base.rule {
        Rule::Sgd(sgd) => sgd.lr *= factor,
        Rule::Adam(adam) | Rule::AdamW(adam) => adam.lr *= factor,
        Rule::Sgdp(sgdp) => sgdp.lr *= factor,
        Rule::AdamP(adamp) => adamp.lr *= factor,
        Rule::Muon(muon) => (muon.lr, muon.rest_lr) = (muon.lr * factor, muon.rest_lr * factor),
        Rule::Nero(nero) => nero.lr *= factor,
    }
    base
}

/// A group of everything at half the learning rate is a training at half the learning rate, whatever the rule and the method.
#[test]
fn a_group_of_all_is_another_learning_rate() {
    for (base, method) in combinations() {
        let lr = base.rule.lr();
        let own = Group::default();
        assert_eq!(trained(base, method, lr, Some(own)), trained(base, method, lr, None), "{base:?} {method:?}");
        if matches!(method, Method::Wrs(Wrs { rate: Rate::Matched { .. }, .. })) {
            // The rate is the method's own.
            continue;
        }
        let half = Group { lr_factor: 0.5, ..own };
        let slower = trained(with_lr(base, 0.5), method, lr * 0.5, None);
        assert_eq!(trained(base, method, lr, Some(half)), slower, "{base:?} {method:?}");
    }
}

#[test]
fn a_matched_rate_is_multiplied_too() {
    let rate = Rate::Matched { lr: 0.1, decay: 0.05 };
    for base in [Sgd::default().into(), Base::from(Rule::AdamW(Adam::default()))] {
        let effective = |factor: f64| {
            let method = Method::Wrs(Wrs { rate, ..Wrs::default() });
            let params = network(LAYERS, &method);
            let optimizer = Optimizer::new(&params, base, 0.0).unwrap();
            let group = Group { lr_factor: factor, ..Group::default() };
            let mut optimizer = optimizer.with_groups(|name| (name == "conv.weight").then_some(group)).unwrap();
            optimizer.step(&random_gradients(&params, 0), base.rule.lr()).unwrap();
            ["conv.weight", "biased.weight"].map(|name| optimizer.effective_lr(name, base.rule.lr(), 1.0))
        };
        let ([in_group, other], [whole, same]) = (effective(0.25), effective(1.0));
        assert_eq!((4.0 * in_group, other), (whole, same));
    }
}

#[test]
fn state_does_not_depend_on_groups() {
    let params = network(LAYERS, &Method::None);
    let make = || Optimizer::new(&params, Adam::default(), 0.1).unwrap();
    let slow = Group { lr_factor: 0.0, rest_decay: Some(0.0) };
    let mut grouped = make().with_groups(|name| name.starts_with("conv.").then_some(slow)).unwrap();
    let before = values(&params.trainable()[0].var);
    grouped.step(&random_gradients(&params, 0), 0.1).unwrap();
    assert_eq!(values(&params.trainable()[0].var), before);
    let state = grouped.state().unwrap();
    let mut plain = make();
    plain.load_state(&state).unwrap();
    let mut names: Vec<_> = plain.state().unwrap().into_keys().collect();
    let mut expected: Vec<_> = state.into_keys().collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn groups_that_make_no_sense_are_refused() {
    let params = network(LAYERS, &Method::None);
    let refused = |method: Method, of: &str, group: Group| {
        let optimizer = Optimizer::new(&params.with_method(method), Sgd::default(), 0.0).unwrap();
        optimizer.with_groups(|name| name.starts_with(of).then_some(group)).err().unwrap().to_string()
    };
    let group = Group::default();
    let none = refused(Method::None, "backbone.", group);
    assert!(none.contains("groups") && none.contains("gain.weight"), "{none}");
    let negative = refused(Method::None, "fc.", Group { lr_factor: -1.0, ..group });
    assert!(negative.contains("`fc.weight`") && negative.contains("`lr_factor`"), "{negative}");
    let decay = Group { rest_decay: Some(f64::NAN), ..group };
    assert!(refused(Method::None, "fc.", decay).contains("`rest_decay`"));
    let everything = WeightDecay { scope: Scope::Everything, ..WeightDecay::default() };
    let message = refused(Method::WeightDecay(everything), "fc.", Group { rest_decay: Some(0.0), ..group });
    assert!(message.contains("scope `scale-invariant`"), "{message}");
}
