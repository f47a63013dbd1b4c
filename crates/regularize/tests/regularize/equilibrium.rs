//! Weights under random gradients, against the formulas of [`regularize::equilibrium`].

use crate::common::*;
use candle_core::{Device, Tensor};
use candle_nn::Init;
use rand_distr::{Distribution, StandardNormal};
use regularize::equilibrium::*;
use regularize::*;

const FILTERS: usize = 3;
const LEN: usize = 1024;

/// A scale-invariant weight under a loss whose gradient is random, orthogonal to each filter, and of norm `1/‖f‖`:
/// the scale-free gradient has norm 1.
struct Simulation {
    params: Params,
    optimizer: Optimizer,
    rng: random::Rng,
    lr: f64,
}

/// Means over filters and steps.
struct Means {
    rotation: f64,
    norm: f64,
}

impl Simulation {
    /// Filters of about norm `norm`, trained at the optimizer's own learning rate.
    fn new(base: Base, method: Method, norm: f64) -> Self {
        let params = Params::new(1, &Device::Cpu);
        let init = Init::Randn { mean: 0.0, stdev: norm / (LEN as f64).sqrt() };
        params.get("weight", (FILTERS, LEN), init).unwrap();
        followed_by_norm(&params, "weight", FILTERS);
        let optimizer = Optimizer::new(&params.with_method(method), base, 0.0).unwrap();
        Self { params, optimizer, rng: random::stream(3, "gradients", &[]), lr: base.rule.lr() }
    }

    /// The mean norm of the filters.
    fn norm(&self) -> f64 {
        filter_norms(&self.params.trainable()[0].var).iter().sum::<f64>() / FILTERS as f64
    }

    fn run(&mut self, steps: usize) -> Means {
        let mut means = Means { rotation: 0.0, norm: 0.0 };
        let var = self.params.trainable()[0].var.clone();
        let mut w = doubles(&var);
        for _ in 0..steps {
            let mut g: Vec<f64> = (0..w.len()).map(|_| StandardNormal.sample(&mut self.rng)).collect();
            for (g, w) in g.chunks_mut(LEN).zip(w.chunks(LEN)) {
                let (along, square) = (dot(g, w) / dot(w, w), dot(w, w));
                g.iter_mut().zip(w).for_each(|(g, w)| *g -= along * w);
                let scale = 1.0 / (dot(g, g) * square).sqrt();
                g.iter_mut().for_each(|g| *g *= scale);
            }
            let g = Tensor::from_iter(g.into_iter().map(|g| g as f32), &Device::Cpu).unwrap();
            let g = g.reshape((FILTERS, LEN)).unwrap();
            self.optimizer.step(&gradients(&self.params, |_| Some(g.clone())), self.lr).unwrap();
            let after = doubles(&var);
            for (before, after) in w.chunks(LEN).zip(after.chunks(LEN)) {
                means.rotation += angle(before, after) / (FILTERS * steps) as f64;
                means.norm += dot(after, after).sqrt() / (FILTERS * steps) as f64;
            }
            w = after;
        }
        means
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The angle between two vectors that are close to each other.
fn angle(a: &[f64], b: &[f64]) -> f64 {
    let (a_norm, b_norm) = (dot(a, a).sqrt(), dot(b, b).sqrt());
    let chord = a.iter().zip(b).map(|(a, b)| a / a_norm - b / b_norm).map(|d| d * d).sum::<f64>().sqrt();
    2.0 * libm::asin(chord / 2.0)
}

#[track_caller]
fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found / expected - 1.0).abs() < tolerance, "{what}: {found}, the formula has {expected}");
}

const LR: f64 = 0.1;
const DECAY: f64 = 5e-4;
const MOMENTUM: f64 = 0.9;

fn sgd() -> Base {
    Sgd { lr: LR, momentum: MOMENTUM, ..Sgd::default() }.into()
}

const ADAM_LR: f64 = 0.01;
const ADAM_DECAY: f64 = 0.1;
const BETAS: [f64; 2] = [0.9, 0.999];

fn adamw() -> Base {
    Rule::AdamW(Adam { lr: ADAM_LR, betas: BETAS, ..Adam::default() }).into()
}

fn weight_decay(decay: f64) -> Method {
    Method::WeightDecay(WeightDecay { decay, ..WeightDecay::default() })
}

#[test]
fn sgd_with_weight_decay_settles_where_the_formulas_say() {
    let norm = sgd_norm(LR, DECAY, MOMENTUM, 1.0);
    let mut simulation = Simulation::new(sgd(), weight_decay(DECAY), 0.9 * norm);
    simulation.run(10_000);
    let settled = simulation.run(10_000);
    close("rotation", settled.rotation, sgd_rotation(LR, DECAY, MOMENTUM), 0.01);
    close("norm", settled.norm, norm, 0.01);
}

#[test]
fn adamw_settles_where_the_formulas_say() {
    let norm = adamw_norm(ADAM_LR, ADAM_DECAY, LEN as f64);
    let mut simulation = Simulation::new(adamw(), weight_decay(ADAM_DECAY), 0.9 * norm);
    simulation.run(10_000);
    let settled = simulation.run(10_000);
    close("rotation", settled.rotation, adamw_rotation(ADAM_LR, ADAM_DECAY, BETAS[0]), 0.01);
    close("norm", settled.norm, norm, 0.01);
}

#[test]
fn the_rotational_variants_turn_by_the_angle_of_the_equilibrium_from_the_start() {
    let sgd_angle = sgd_rotation(LR, DECAY, MOMENTUM);
    let adamw_angle = adamw_rotation(ADAM_LR, ADAM_DECAY, BETAS[0]);
    for (base, decay, expected) in [(sgd(), DECAY, sgd_angle), (adamw(), ADAM_DECAY, adamw_angle)] {
        let method = Method::Rotational(Rotational { decay, ..Rotational::default() });
        let mut simulation = Simulation::new(base, method, 2.0);
        let start = simulation.norm();
        // Adam's first updates are larger than later ones, which the mean of their squares follows with a lag.
        let first = simulation.run(200);
        close("first rotations", first.rotation, expected, 0.06);
        let later = simulation.run(800);
        close("rotation", later.rotation, expected, 0.01);
        close("norm", later.norm, start, 1e-5);
    }
}

#[test]
fn a_matched_rate_turns_weights_as_fast_as_the_weight_decay_it_matches() {
    let sgd_angle = sgd_rotation(LR, DECAY, MOMENTUM);
    let adamw_angle = adamw_rotation(ADAM_LR, ADAM_DECAY, BETAS[0]);
    let sgd_rate = Rate::Matched { lr: LR, decay: DECAY };
    let adamw_rate = Rate::Matched { lr: ADAM_LR, decay: ADAM_DECAY };
    for (base, rate, expected) in [(sgd(), sgd_rate, sgd_angle), (adamw(), adamw_rate, adamw_angle)] {
        for target in [Target::Unit, Target::Constant(3.0)] {
            let mut simulation = Simulation::new(base, Method::Wrs(Wrs { rate, target, ..Wrs::default() }), 1.0);
            simulation.run(200);
            close("rotation", simulation.run(800).rotation, expected, 0.03);
        }
    }
}

#[test]
fn without_decay_norms_grow_as_the_fourth_root_of_time() {
    let (lr, steps) = (0.01, 5000);
    let base = Sgd { lr, momentum: MOMENTUM, ..Sgd::default() };
    let mut simulation = Simulation::new(base.into(), Method::None, 1.0);
    let start = simulation.norm();
    simulation.run(steps);
    close("norm", simulation.norm(), sgd_growth(start, lr, MOMENTUM, 1.0, steps as f64), 0.01);
}

/// From 1.6 times the equilibrium's norm: how the distance shrinks in one relaxation time.
#[test]
fn norms_approach_their_equilibrium_in_the_relaxation_time() {
    let sgd_of = |momentum: f64| Base::from(Sgd { lr: LR, momentum, ..Sgd::default() });
    // Moments that are averaged over far fewer steps than a norm needs to change.
    let (decay, betas) = (0.02, [0.9, 0.99]);
    let adamw = Rule::AdamW(Adam { lr: ADAM_LR, betas, ..Adam::default() }).into();
    let cases = [
        (sgd_of(MOMENTUM), DECAY, 4, sgd_norm(LR, DECAY, MOMENTUM, 1.0), sgd_relaxation(LR, DECAY, MOMENTUM)),
        (sgd_of(0.0), 10.0 * DECAY, 4, sgd_norm(LR, 10.0 * DECAY, 0.0, 1.0), sgd_relaxation(LR, 10.0 * DECAY, 0.0)),
        (adamw, decay, 2, adamw_norm(ADAM_LR, decay, LEN as f64), adamw_relaxation(ADAM_LR, decay)),
    ];
    for (base, decay, power, norm, relaxation) in cases {
        let mut simulation = Simulation::new(base, weight_decay(decay), 1.6 * norm);
        let distance = |simulation: &Simulation| libm::pow(simulation.norm() / norm, f64::from(power)) - 1.0;
        // Momentum and moments settle first.
        simulation.run((relaxation / 4.0) as usize);
        let before = distance(&simulation);
        simulation.run(relaxation.round() as usize);
        close("e-folding", before / distance(&simulation), std::f64::consts::E, 0.06);
    }
}
