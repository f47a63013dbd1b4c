//! Every optimizer with every method, against the model of the rules.

use crate::common::*;
use crate::model::{Model, Values};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use regularize::*;
use std::collections::BTreeMap;

/// The first difference above 1e-5, relative to the larger of the value and its tensor's largest.
fn difference(expected: &Values, found: &Values) -> Option<String> {
    for (name, expected) in expected {
        let Some(found) = found.get(name) else { return Some(format!("no `{name}`")) };
        if found.len() != expected.len() {
            return Some(format!("`{name}` has {} values, expected {}", found.len(), expected.len()));
        }
        let largest = expected.iter().fold(0f64, |max, v| max.max(v.abs()));
        let mut pairs = found.iter().zip(expected).enumerate();
        if let Some((i, (found, expected))) = pairs.find(|(_, (f, e))| (**f - **e).abs() > 1e-5 * largest || f.is_nan())
        {
            return Some(format!("`{name}`[{i}] is {found}, expected {expected}"));
        }
    }
    None
}

/// Gradient noise of each step for `params`.
fn noise(params: &Params, steps: usize) -> Vec<Values> {
    let noise = |step: usize, p: &Parameter| {
        let noise = values(&random(&format!("{step} {}", p.name), p.var.dims()));
        noise.into_iter().map(|v| f64::from(0.1 * v)).collect()
    };
    let of_step = |step| params.trainable().iter().map(|p| (p.name.clone(), noise(step, p))).collect();
    (0..steps).map(of_step).collect()
}

/// `values` as gradients of `params`.
fn store(params: &Params, values: &Values) -> GradStore {
    let shapes: BTreeMap<_, _> = params.trainable().into_iter().map(|p| (p.name, p.var.shape().clone())).collect();
    gradients(params, |name| {
        let values = values.get(name)?.iter().map(|v| *v as f32);
        Some(Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(&shapes[name]).unwrap())
    })
}

/// Trains `layers` with a falling learning rate and epochs of four steps, and says where the optimizer first departs
/// from the model.
fn departure(layers: &[Layer], base: Base, method: Method, path: Path, noise: &[Values]) -> Option<String> {
    let params = network(layers, &method);
    let mut model = Model::new(&params, base, method, 0.03);
    let mut optimizer = optimizer(&params, base, method, 0.03, path);
    let compare = |model: &Model, optimizer: &Optimizer, at: &str| {
        let found = params.all().into_iter().map(|p| (p.name, doubles(&p.var))).collect();
        let state = optimizer.state().unwrap();
        let expected_state = model.state();
        let state = expected_state.keys().filter_map(|name| Some((name.clone(), doubles(state.get(name)?)))).collect();
        let difference = difference(&model.values(), &found).or_else(|| difference(&expected_state, &state));
        difference.map(|difference| format!("{base:?} {method:?} {path:?} {at}: {difference}"))
    };
    let mut departure = compare(&model, &optimizer, "at the start");
    for (step, noise) in noise.iter().enumerate() {
        if departure.is_some() {
            return departure;
        }
        if step > 0 && step % 4 == 0 {
            model.begin_epoch();
            optimizer.begin_epoch().unwrap();
        }
        let lr = base.rule.lr() * (1.0 - step as f64 / (2 * noise.len().max(20)) as f64);
        let gradients = model.gradients(noise);
        model.step(&gradients, lr);
        optimizer.step(&store(&params, &gradients), lr).unwrap();
        departure = compare(&model, &optimizer, &format!("after step {step}"));
    }
    departure
}

/// `layers` without filters of one value where the method removes what is along a filter: rounding is all that is left.
fn well_conditioned(layers: &[Layer], method: &Method) -> Vec<Layer> {
    let removes = match method {
        Method::Rotational(Rotational { zero_mean, .. }) => !zero_mean,
        Method::Pbwn(Pbwn { riemannian, .. }) => *riemannian,
        Method::Wrs(Wrs { state, .. }) => *state == MomentumState::Project,
        _ => false,
    };
    layers.iter().filter(|(_, dims, _)| !(removes && dims[1..].iter().product::<usize>() == 1)).copied().collect()
}

/// Panics with the first departures of `combinations` on `layers`, over `steps` steps and both paths.
fn compare_all(layers: &[Layer], combinations: impl IntoIterator<Item = (Base, Method)>, steps: usize) {
    let mut noises: BTreeMap<Vec<String>, Vec<Values>> = BTreeMap::new();
    let (mut departures, mut count) = (Vec::new(), 0);
    for (base, method) in combinations {
        let layers = well_conditioned(layers, &method);
        let params = network(&layers, &method);
        let names = params.trainable().into_iter().map(|p| p.name).collect();
        let noise = noises.entry(names).or_insert_with(|| noise(&params, steps));
        departures.extend(PATHS.into_iter().filter_map(|path| departure(&layers, base, method, path, noise)));
        count += 1;
    }
    assert!(count > 0);
    let first = departures.iter().take(10).fold(String::new(), |text, departure| text + departure + "\n");
    assert!(departures.is_empty(), "{} of {} depart:\n{first}", departures.len(), 2 * count);
}

#[test]
fn every_optimizer_with_every_method_follows_its_rule() {
    compare_all(LAYERS, combinations(), 14);
}

#[test]
fn every_optimizer_with_every_form_of_weight_rescaling_follows_its_rule() {
    let pairs = bases().into_iter().flat_map(|base| rescalings().into_iter().map(move |method| (base, method)));
    compare_all(LAYERS, pairs.filter(|(base, method)| method.check_with(base).is_ok()), 14);
}

#[test]
fn a_large_parameter_follows_the_same_rules() {
    let large: &[Layer] = &[("large", &[40, 129], Behind::Norm), ("fc", &[40, 129], Behind::Nothing)];
    compare_all(large, combinations(), 12);
}

#[test]
fn a_matched_rate_is_held_after_100_steps() {
    let layers: &[Layer] = &[("conv", &[3, 2, 3, 3], Behind::Norm), ("fc", &[2, 3], Behind::Nothing)];
    let matched = Rate::Matched { lr: 0.1, decay: 5e-3 };
    let method = Method::Wrs(Wrs { rate: matched, ..Wrs::default() });
    compare_all(layers, [(Sgd::default().into(), method), (Rule::AdamW(Adam::default()).into(), method)], 130);
}

#[test]
fn what_makes_no_sense_is_refused_by_both_names() {
    let heavy_ball = |rule: &Rule| matches!(rule, Rule::Sgd(Sgd { dampening: 0.0, nesterov: false, .. }));
    let makes_sense = |base: &Base, method: &Method| {
        let rule = &base.rule;
        let adam = matches!(rule, Rule::Adam(_) | Rule::AdamW(_));
        let projects = matches!(rule, Rule::Sgdp(_) | Rule::AdamP(_));
        match (rule, method) {
            (_, Method::None) => true,
            (Rule::Nero(_) | Rule::Muon(_), _) => false,
            (
                _,
                Method::WeightDecay(WeightDecay { form, .. })
                | Method::WeightStandardization(WeightStandardization { form, .. }),
            ) => !projects || *form == Form::Own,
            (_, Method::Hyperball) => !projects,
            (_, Method::Rotational(_)) => heavy_ball(rule) || adam,
            (_, Method::Wrs(Wrs { rate: Rate::Matched { .. }, .. })) => heavy_ball(rule) || adam,
            _ => true,
        }
    };
    let params = network(LAYERS, &Method::None);
    let mut refused = 0;
    for base in bases() {
        for method in methods().into_iter().chain(rescalings()) {
            assert_eq!(method.check_with(&base).is_ok(), makes_sense(&base, &method), "{base:?} {method:?}");
            if !makes_sense(&base, &method) {
                let message = Optimizer::new(&params.with_method(method), base, 0.0).err().unwrap().to_string();
                let names = [base.rule.name(), method.name()].map(|name| format!("`{name}`"));
                assert!(names.iter().all(|name| message.contains(name)), "{base:?} {method:?}: {message}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// A step counts for a parameter only where it had a gradient, as in torch.
#[test]
fn a_parameter_without_a_gradient_is_left_alone() {
    let layers: &[Layer] = &[("conv", &[2, 7], Behind::Norm), ("fc", &[2, 7], Behind::Nothing)];
    for ((base, method), path) in combinations().into_iter().flat_map(|pair| PATHS.map(|path| (pair, path))) {
        let params = network(layers, &method);
        let mut model = Model::new(&params, base, method, 0.03);
        let mut optimizer = optimizer(&params, base, method, 0.03, path);
        for (step, mut noise) in noise(&params, 12).into_iter().enumerate() {
            if step % 4 != 2 {
                noise.remove("conv.weight");
            }
            optimizer.step(&store(&params, &noise), base.rule.lr()).unwrap();
            model.step(&noise, base.rule.lr());
            let found = params.all().into_iter().map(|p| (p.name, doubles(&p.var))).collect();
            let difference = difference(&model.values(), &found);
            assert!(difference.is_none(), "{base:?} {method:?} {path:?} step {step}: {}", difference.unwrap());
        }
    }
}
