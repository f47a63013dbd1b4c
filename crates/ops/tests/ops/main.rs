//! Every operation on every set of kernels: against finite differences, against the same composed of others,
//! and against PyTorch's numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bits;
mod golden;
mod layers;
mod losses;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use ops::{FeatureMap, Kernels};
use rand::RngExt;

/// Runs `test` with each set of kernels of this machine.
fn on_each(test: impl Fn(Kernels)) {
    for kernels in Kernels::available() {
        kernels.scope(|| test(kernels)).unwrap();
    }
}

fn tensor(values: Vec<f32>, dims: &[usize]) -> Tensor {
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

/// Values in −1..1 that depend on `name` alone.
fn random(name: &str, dims: &[usize]) -> Tensor {
    let mut rng = random::stream(0, name, &[]);
    tensor((0..dims.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect(), dims)
}

/// Distinct values at least 0.1 apart and 0.05 from 0, so that a small step crosses no kink.
fn spread(name: &str, dims: &[usize]) -> Tensor {
    let len: usize = dims.iter().product();
    let order = random::permutation(len, &mut random::stream(1, name, &[]));
    tensor(order.into_iter().map(|i| 0.1 * (i as f32 - (len / 2) as f32) + 0.05).collect(), dims)
}

fn var(tensor: &Tensor) -> Var {
    Var::from_tensor(tensor).unwrap()
}

fn map(x: &Tensor) -> FeatureMap {
    FeatureMap::from_tensor(x).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The gradients of `Σ output·upstream`.
fn gradients_under(output: &Tensor, upstream: &Tensor) -> GradStore {
    (output * upstream).unwrap().sum_all().unwrap().backward().unwrap()
}

/// Within 1e-5 of `expected`, relative to its largest value, or absolutely where that is below 1.
fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (values(found), values(expected));
    let scale = expected.iter().fold(1f32, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!((f - e).abs() <= 1e-5 * scale, "{what}: value {i}: found {f}, expected {e}");
    }
}

/// Compares, on each set of kernels, the derivative of `Σ output·u` (u fixed, random) in random directions of
/// each input with central differences.
fn check_gradient(name: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    on_each(|kernels| check_gradient_here(&format!("{name} on {kernels:?}"), name, inputs, &f));
}

fn check_gradient_here(what: &str, name: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(var).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let output = f(&tracked).unwrap();
    let upstream = random(&format!("{name} upstream"), output.dims());
    let gradients = gradients_under(&output, &upstream);
    let dot = |a: &Tensor, b: &Tensor| -> f64 {
        values(a).iter().zip(values(b)).map(|(a, b)| f64::from(*a) * f64::from(b)).sum()
    };
    for (i, var) in vars.iter().enumerate() {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{what}: input {i} has no gradient"));
        for trial in 0..4 {
            let direction = random(&format!("{name} direction {i} {trial}"), var.dims());
            let analytic = dot(gradient, &direction);
            let h = 1e-2;
            let at = |h: f64| {
                let mut moved = inputs.to_vec();
                moved[i] = (&inputs[i] + (&direction * h).unwrap()).unwrap();
                dot(&f(&moved).unwrap(), &upstream)
            };
            // Richardson's extrapolation of central differences: the error is of fourth order in h.
            let central = |h: f64| (at(h) - at(-h)) / (2.0 * h);
            let numeric = (4.0 * central(h / 2.0) - central(h)) / 3.0;
            let scale = dot(gradient, gradient).sqrt().max(1e-3);
            assert!(
                (analytic - numeric).abs() <= 2e-3 * scale,
                "{what}: input {i}, trial {trial}: gradient says {analytic}, differences say {numeric}"
            );
        }
    }
}

/// Asserts that `run` gives the same bits with 1, 2 and 3 threads.
fn assert_same_bits(what: &str, run: impl Fn() -> Vec<Tensor> + Sync) {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let bits = |t: &Tensor| values(t).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        pool.install(|| run().iter().map(bits).collect::<Vec<_>>())
    };
    let one = with(1);
    assert!(one == with(2), "{what}: two threads differ from one");
    assert!(one == with(3), "{what}: three threads differ from one");
}
