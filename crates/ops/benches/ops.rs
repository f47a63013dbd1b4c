//! Speed of the operations on the layers of a ResNet-18 and a ResNet-20: `cargo bench -p regularize-ops`.
//!
//! Rates are in arithmetic operations, an addition and a multiplication being two: `Gelem/s` reads as GFLOP/s.
//! A backward pass of a convolution (two gradients) is counted as twice its forward pass. `RAYON_NUM_THREADS`
//! sets the number of threads, `OPS_KERNELS` the kernels.

use candle_core::{Device::Cpu, Result, Tensor, Var};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use ops::{BatchNorm, Conv2d, FeatureMap, MaxPool2d, Statistics};
use std::time::Duration;

/// A convolution: its name, batch, channels in and out, side, kernel and stride.
struct Layer(&'static str, usize, [usize; 2], usize, usize, usize);

const LAYERS: &[Layer] = &[
    Layer("resnet18 3×3, 64 at 32²", 16, [64, 64], 32, 3, 1),
    Layer("resnet18 3×3/2, 64 to 128 at 32²", 16, [64, 128], 32, 3, 2),
    Layer("resnet18 1×1/2, 64 to 128 at 32²", 16, [64, 128], 32, 1, 2),
    Layer("resnet18 3×3, 128 at 16²", 16, [128, 128], 16, 3, 1),
    Layer("resnet18 3×3, 256 at 8²", 16, [256, 256], 8, 3, 1),
    Layer("resnet18 3×3, 512 at 4²", 16, [512, 512], 4, 3, 1),
    Layer("resnet20 3×3, 16 at 32²", 16, [16, 16], 32, 3, 1),
    Layer("resnet20 3×3, 32 at 16²", 16, [32, 32], 16, 3, 1),
    Layer("resnet20 3×3, 64 at 8²", 16, [64, 64], 8, 3, 1),
];

impl Layer {
    fn geometry(&self) -> Conv2d {
        let &Self(_, _, _, _, kernel, stride) = self;
        Conv2d { stride, padding: kernel / 2, ..Conv2d::default() }
    }

    /// `[n, h, w, in]` and `[out, in, kernel, kernel]`. Variables, so that both gradients are computed.
    fn tensors(&self) -> Result<(Var, Var)> {
        let &Self(_, n, [inputs, outputs], side, kernel, _) = self;
        Ok((values(&[n, side, side, inputs])?, values(&[outputs, inputs, kernel, kernel])?))
    }

    /// Arithmetic operations of the forward pass.
    fn operations(&self) -> u64 {
        let &Self(_, n, [inputs, outputs], side, kernel, stride) = self;
        2 * (n * side.div_ceil(stride).pow(2) * inputs * outputs * kernel * kernel) as u64
    }
}

/// Arbitrary values of both signs, close to zero.
fn values(dims: &[usize]) -> Result<Var> {
    let value = |index: usize| (index * 7919 % 1009) as f32 / 1009.0 - 0.5;
    Var::from_vec((0..dims.iter().product()).map(value).collect(), dims, &Cpu)
}

fn norm(channels: usize) -> Result<BatchNorm> {
    let vector = |value: f32| Var::from_vec(vec![value; channels], channels, &Cpu);
    Ok(BatchNorm {
        weight: vector(1.0)?.into_inner(),
        bias: vector(0.0)?.into_inner(),
        running_mean: vector(0.0)?,
        running_var: vector(1.0)?,
        eps: 1e-5,
        momentum: 0.1,
    })
}

/// The gradient of the mean of `y` (a scalar loss as in training), up to the variables.
fn backward(y: &FeatureMap) -> Result<()> {
    ops::backward(&ops::global_avg_pool2d(y)?.mean_all()?).map(drop)
}

/// Measures `work`, of so many arithmetic operations; a failure is printed with its name.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    layer: &str,
    operations: u64,
    mut work: impl FnMut() -> Result<()>,
) -> Result<()> {
    work()?;
    let mut result = Ok(());
    group.throughput(Throughput::Elements(operations));
    group.bench_function(BenchmarkId::new(name, layer), |bencher| {
        bencher.iter(|| {
            if result.is_ok() {
                result = work();
            }
        });
    });
    result
}

fn conv2d(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<()> {
    for layer in LAYERS {
        let (x, weight) = layer.tensors()?;
        let constant = FeatureMap::from_tensor(&x.as_detached_tensor())?;
        measure(group, "forward", layer.0, layer.operations(), || {
            ops::no_grad(|| ops::conv2d(&constant, &weight, None, layer.geometry())).map(drop)
        })?;
        measure(group, "forward and backward", layer.0, 3 * layer.operations(), || {
            backward(&ops::conv2d(&FeatureMap::from_tensor(&x)?, &weight, None, layer.geometry())?)
        })?;
    }
    Ok(())
}

/// Candle's own convolution, batch norm and ReLU, for comparison with [`conv2d`] and [`conv_bn`].
fn candle(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<()> {
    for layer in [&LAYERS[3], &LAYERS[7]] {
        let (x, weight) = layer.tensors()?;
        let x = Var::from_tensor(&x.as_detached_tensor().permute((0, 3, 1, 2))?.contiguous()?)?;
        let Conv2d { stride, padding, dilation, groups } = layer.geometry();
        let conv2d = |x: &Tensor| x.conv2d(&weight, padding, stride, dilation, groups);
        let constant = x.as_detached_tensor();
        measure(group, "conv2d forward", layer.0, layer.operations(), || conv2d(&constant).map(drop))?;
        measure(group, "conv2d forward and backward", layer.0, 3 * layer.operations(), || {
            conv2d(&x)?.mean_all()?.backward().map(drop)
        })?;
        let norm = norm(layer.2[1])?;
        let (mean, var) = (norm.running_mean.as_tensor().clone(), norm.running_var.as_tensor().clone());
        let norm = candle_nn::BatchNorm::new(layer.2[1], mean, var, norm.weight, norm.bias, norm.eps)?;
        measure(group, "conv2d, batch norm, relu forward and backward", layer.0, 3 * layer.operations(), || {
            norm.forward_train(&conv2d(&x)?)?.relu()?.mean_all()?.backward().map(drop)
        })?;
    }
    Ok(())
}

fn conv_bn(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<()> {
    for layer in LAYERS {
        let ((x, weight), norm) = (layer.tensors()?, norm(layer.2[1])?);
        measure(group, "forward and backward", layer.0, 3 * layer.operations(), || {
            let x = FeatureMap::from_tensor(&x)?;
            let geometry = layer.geometry();
            backward(&ops::conv_bn(&x, &weight, geometry, &norm, Statistics::Batch, None, true)?)
        })?;
    }
    Ok(())
}

/// Operations without much arithmetic; rates are in values of the input.
fn memory_bound(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<()> {
    for (name, dims) in [("64 at 32²", [16, 32, 32, 64]), ("16 at 32²", [16, 32, 32, 16])] {
        let (x, norm) = (values(&dims)?, norm(dims[3])?);
        let len = dims.iter().product::<usize>() as u64;
        measure(group, "batch_norm and relu forward and backward", name, len, || {
            backward(&ops::batch_norm(&FeatureMap::from_tensor(&x)?, &norm, Statistics::Batch, true)?)
        })?;
        measure(group, "max_pool2d forward and backward", name, len, || {
            let geometry = MaxPool2d { kernel: 3, stride: 2, padding: 1 };
            backward(&ops::max_pool2d(&FeatureMap::from_tensor(&x)?, geometry)?)
        })?;
    }
    Ok(())
}

fn main() -> Result<()> {
    // Sizes whose measurement is fast rather than fine: the whole takes a minute or two.
    let time = Duration::from_secs(1);
    let mut criterion =
        Criterion::default().warm_up_time(time / 4).measurement_time(time).sample_size(20).configure_from_args();
    type Bench = fn(&mut BenchmarkGroup<'_, WallTime>) -> Result<()>;
    let benches: [(&str, Bench); 4] =
        [("conv2d", conv2d), ("conv_bn", conv_bn), ("memory bound", memory_bound), ("candle", candle)];
    for (name, bench) in benches {
        let mut group = criterion.benchmark_group(name);
        bench(&mut group)?;
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}
