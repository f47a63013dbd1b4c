//! Speed of an optimizer's step on the 11.2 million parameters of a ResNet-18: `cargo bench -p regularize`.
//!
//! Rates are in bytes that a step must touch: each value of weight and state is read and written, each gradient
//! read. `copy` is what the machine's memory gives: the same number of values copied, read and written. AdamP and
//! SGDP must see a whole layer's gradient and weight before they can decide what to do with it; that second
//! reading is not counted, nor are Muon's products of matrices, which are most of its step. `RAYON_NUM_THREADS` sets the number of threads.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device::Cpu, Result, Tensor, Var};
use criterion::{BenchmarkId, Criterion, Throughput};
use rayon::prelude::*;
use regularize::{
    Adam, AdamP, Base, Granularity, Method, Muon, Nero, Normalization, Optimizer, Params, Role, Rotational, Sgd, Sgdp,
    Wrs,
};
use std::time::Duration;

/// The convolutions of a ResNet-18 for small images: `[out, in, kernel]`, and how often.
const CONVOLUTIONS: [([usize; 3], usize); 11] = [
    ([64, 3, 3], 1),
    ([64, 64, 3], 4),
    ([128, 64, 3], 1),
    ([128, 128, 3], 3),
    ([128, 64, 1], 1),
    ([256, 128, 3], 1),
    ([256, 256, 3], 3),
    ([256, 128, 1], 1),
    ([512, 256, 3], 1),
    ([512, 512, 3], 3),
    ([512, 256, 1], 1),
];

/// The parameters of a ResNet-18, and gradients for them.
fn resnet18() -> Result<(Params, GradStore)> {
    let params = Params::new(0, &Cpu);
    let init = candle_nn::Init::Randn { mean: 0.0, stdev: 0.05 };
    for (layer, ([out, inputs, kernel], count)) in CONVOLUTIONS.into_iter().enumerate() {
        for copy in 0..count {
            let params = params.pp(format!("{layer}.{copy}"));
            let [running_mean, running_var] =
                [params.buffer("running_mean", out, 0.0)?, params.buffer("running_var", out, 1.0)?];
            params.get("conv.weight", (out, inputs, kernel, kernel), init)?;
            let role = Role::ScaleInvariant(vec![Normalization { running_mean, running_var, bias: None }]);
            params.set_role("conv.weight", role).map_err(candle_core::Error::wrap)?;
            for name in ["bn.weight", "bn.bias"] {
                params.get(name, out, init)?;
            }
        }
    }
    params.get("fc.weight", (10, 512), init)?;
    params.get("fc.bias", 10, init)?;
    let zero = Tensor::zeros((), DType::F32, &Cpu)?;
    let mut gradients = Var::from_tensor(&zero)?.sqr()?.backward()?;
    for parameter in params.trainable() {
        gradients.insert(&parameter.var, parameter.var.randn_like(0.0, 1e-3)?);
    }
    Ok((params, gradients))
}

fn steps(criterion: &mut Criterion) -> Result<()> {
    let filter = Method::Wrs(Wrs::default());
    let layer = Method::Wrs(Wrs { granularity: Granularity::Layer, ..Wrs::default() });
    let adam = Adam::default();
    // The last number is how often each value's four bytes must be touched.
    let cases: [(&str, Base, Method, u64); 12] = [
        ("sgd", Sgd::default().into(), Method::None, 5),
        ("sgd, wrs", Sgd::default().into(), filter, 5),
        ("sgd, wrs per layer", Sgd::default().into(), layer, 5),
        ("sgd, hyperball", Sgd::default().into(), Method::Hyperball, 5),
        ("sgd, rotational", Sgd::default().into(), Method::Rotational(Rotational::default()), 5),
        ("sgdp", Sgdp::default().into(), Method::None, 5),
        ("muon", Muon::default().into(), Method::None, 5),
        ("nero", Nero::default().into(), Method::None, 3),
        ("adamw", regularize::Rule::AdamW(adam).into(), Method::None, 7),
        ("adam", adam.into(), Method::None, 7),
        ("adam, wrs", adam.into(), filter, 7),
        ("adamp", AdamP::default().into(), Method::None, 7),
    ];
    let mut group = criterion.benchmark_group("step");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(50);
    let mut copied = false;
    for (name, base, method, touched) in cases {
        let (params, gradients) = resnet18()?;
        let bytes = 4 * params.count() as u64;
        if !copied {
            let from = vec![1.0f32; params.count()];
            let mut to = vec![0.0f32; params.count()];
            group.throughput(Throughput::Bytes(2 * bytes));
            group.bench_function("copy", |bencher| {
                bencher.iter(|| {
                    let pieces = to.par_chunks_mut(1 << 16).zip(from.par_chunks(1 << 16));
                    pieces.for_each(|(to, from)| to.copy_from_slice(from));
                });
            });
            copied = true;
        }
        let mut optimizer =
            Optimizer::new(&params.with_method(method), base, 5e-4).map_err(candle_core::Error::wrap)?;
        let mut failed = None;
        group.throughput(Throughput::Bytes(touched * bytes));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                if let Err(error) = optimizer.step(&gradients, 1e-4) {
                    failed = Some(error);
                }
            });
        });
        if let Some(error) = failed {
            return Err(candle_core::Error::wrap(error));
        }
    }
    group.finish();
    Ok(())
}

/// What methods add to a step: steps of both in turn on the same parameters, and the median ratio.
fn ratios() -> Result<()> {
    const ROUNDS: usize = 200;
    let wrs = Method::Wrs(Wrs::default());
    let pairs: [(&str, Base); 3] =
        [("sgd", Sgd::default().into()), ("adam", Adam::default().into()), ("adamp", AdamP::default().into())];
    for (name, base) in pairs {
        let (params, gradients) = resnet18()?;
        let make = |method| Optimizer::new(&params.with_method(method), base, 5e-4).map_err(candle_core::Error::wrap);
        let mut optimizers = [make(Method::None)?, make(wrs)?];
        let mut seconds = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (optimizer, seconds) in optimizers.iter_mut().zip(&mut seconds) {
                let start = std::time::Instant::now();
                optimizer.step(&gradients, 1e-4).map_err(candle_core::Error::wrap)?;
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        let mut ratios: Vec<f64> = seconds[1].iter().zip(&seconds[0]).map(|(with, without)| with / without).collect();
        ratios.sort_by(f64::total_cmp);
        let [plain, with] = seconds.map(|mut seconds| {
            seconds.sort_by(f64::total_cmp);
            1e3 * seconds[ROUNDS / 2]
        });
        let ratio = ratios[ROUNDS / 2];
        println!("{name}: {plain:.2} ms, with wrs {with:.2} ms; median ratio of {ROUNDS} pairs {ratio:.3}");
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    // From inside of the pool, a parallel loop starts where it is called.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global().map_err(candle_core::Error::wrap)?;
    steps(&mut criterion)?;
    criterion.final_summary();
    ratios()
}
